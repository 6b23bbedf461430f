"""Several cores at once: blocks of work, which NumPy computes while it lets other threads run.

What is computed of a block does not depend on which thread takes it, so neither do the bits of a result.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from typing import Any

_helpers: list[int] = []  # the system's numbers of the threads in the pool


@cache
def n_threads() -> int:
    """How many threads compute at once: OMP_NUM_THREADS, as for NumPy's products, else one for every core."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(asked)) if asked.isdecimal() else cores


def over_blocks(function: Callable[[Any], object], blocks: Iterable[Any]) -> None:
    """Call function(block) for every block, several at a time; each writes to a place of its own.

    The caller takes blocks like the threads that help it. On a busy machine one that has not begun when all blocks are
    taken is not waited for.
    """
    blocks = list(blocks)
    n_helpers = min(n_threads(), len(blocks)) - 1
    if n_helpers < 1 or threading.get_native_id() in _helpers:
        for block in blocks:
            function(block)
        return
    waiting = iter(blocks)

    def take() -> None:
        for block in waiting:
            function(block)

    _leave_this_core()
    begun = [_pool().submit(copy_context().run, take) for _ in range(n_helpers)]
    try:
        take()
    finally:
        for future in begun:
            if not future.cancel():
                future.result()


@cache
def _pool() -> ThreadPoolExecutor:
    """The threads beside the caller's. They sleep while there is nothing to do."""
    return ThreadPoolExecutor(n_threads() - 1, initializer=lambda: _helpers.append(threading.get_native_id()))


def _leave_this_core() -> None:
    """Keep the helpers off the core that runs the caller: Linux may wake them there, and let the other one idle."""
    if hasattr(os, "sched_setaffinity"):
        others = os.sched_getaffinity(0) - {ctypes.CDLL(None).sched_getcpu()}
        for helper in _helpers if others else ():
            os.sched_setaffinity(helper, others)


def _forget() -> None:
    """In a process that was forked: it has none of the threads."""
    _pool.cache_clear()
    _helpers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
