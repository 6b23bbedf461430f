"""Interleaved timing: what is compared is run in turns, so that a busy moment of the machine meets all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

UNTIMED, TIMED = 2, 3  # calls in a turn: the first ones find caches, and threads of the one before, still busy


def interleaved(
    functions: dict[str, Callable[[], object]], rounds: int, reference: str
) -> dict[str, tuple[float, float]]:
    """For each function the median of its seconds per call, and of its ratio to the reference in the same round."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            for _ in range(UNTIMED):
                function()
            start = time.perf_counter()
            for _ in range(TIMED):
                function()
            seconds[name].append((time.perf_counter() - start) / TIMED)
    return {
        name: (median(times), median(a / b for a, b in zip(times, seconds[reference], strict=True)))
        for name, times in seconds.items()
    }
