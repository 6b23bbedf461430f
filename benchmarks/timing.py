"""Interleaved timing: what is compared is run in turns, so that a busy moment of the machine meets all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median


def interleaved(functions: dict[str, Callable[[], object]], rounds: int, warm_up: int = 3) -> dict[str, float]:
    """The median of seconds per call of each function.

    In every round each function is called twice, and the second call is timed: the first one finds the caches, and
    sometimes the threads, of its predecessor still busy.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for round in range(warm_up + rounds):
        for name, function in functions.items():
            function()
            start = time.perf_counter()
            function()
            if round >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return {name: median(times) for name, times in seconds.items()}
