"""Interleaved timing: what is compared is run in turns, so that a busy moment of the machine meets all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import cache, partial
from multiprocessing import get_context
from statistics import median

UNTIMED, TIMED = 2, 3  # calls in a turn: the first ones find caches, and threads of the one before, still busy
PAUSE = 0.3  # seconds before a turn in another process: the threads of the one before wait for work that long

Function = Callable[[], object]


def interleaved(functions: dict[str, Function], rounds: int, reference: str) -> dict[str, tuple[float, float]]:
    """For each function the median of its seconds per call, and of its ratio to the reference in the same round."""
    return _compared({name: partial(_turn, function) for name, function in functions.items()}, rounds, reference)


def interleaved_processes(
    makers: dict[str, Callable[[], Function]],
    rounds: int,
    reference: str,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, tuple[float, float]]:
    """The same for functions that are made and called in a process each, which sleeps while another has its turn.

    clock: time.process_time counts CPU seconds of all threads of the process, which other work disturbs less.
    So no library meets the threads or the freed memory of another. What a maker raises is raised here.
    """
    with ExitStack() as stack:
        turns = {}
        for name, make in makers.items():
            process = ProcessPoolExecutor(1, get_context("spawn"), initializer=_hold, initargs=(make,))
            stack.enter_context(process)
            turns[name] = lambda process=process: process.submit(_turn_of_the_made, clock).result()
        return _compared(turns, rounds, reference)


def _compared(turns: dict[str, Callable[[], float]], rounds: int, reference: str) -> dict[str, tuple[float, float]]:
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(rounds):
        for name, turn in turns.items():
            seconds[name].append(turn())
    return {
        name: (median(times), median(a / b for a, b in zip(times, seconds[reference], strict=True)))
        for name, times in seconds.items()
    }


def _turn(function: Function, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds per call."""
    for _ in range(UNTIMED):
        function()
    start = clock()
    for _ in range(TIMED):
        function()
    return (clock() - start) / TIMED


# ---- in the other process

_makers: list[Callable[[], Function]] = []


def _hold(make: Callable[[], Function]) -> None:
    _makers.append(make)


@cache
def _made() -> Function:
    return _makers[0]()


def _turn_of_the_made(clock: Callable[[], float]) -> float:
    time.sleep(PAUSE)
    return _turn(_made(), clock)
