"""Figures for a person, as lines, or for a program, as one line of JSON."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy


def print_json(value: Any) -> None:
    """Print one line of JSON; what is not finite is null, as JSON has no other word for it."""
    print(json.dumps(_plain(value), allow_nan=False, ensure_ascii=False))


def _plain(value: Any) -> Any:
    """Dictionaries, lists, numbers, words and None, of these and of NumPy's."""
    if isinstance(value, dict):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, (numpy.generic, numpy.ndarray)):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
