"""One line of JSON with the figures of a command, for `--json`."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy


def print_json(value: Any) -> None:
    """Prints one line of JSON, with null for NaN and infinity, which JSON cannot express."""
    print(json.dumps(_plain(value), allow_nan=False, ensure_ascii=False))


def _plain(value: Any) -> Any:
    """Converts dictionaries, lists, numbers, words and None, NumPy's included, to plain Python values."""
    if isinstance(value, dict):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, (numpy.generic, numpy.ndarray)):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
