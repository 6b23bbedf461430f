"""The number of launches on a GPU for one step of `fit`, for every kind of model.

A row has the kernels (including products by cuBLAS), copies, fills and graphs of a step, and the nodes recorded in a
graph. It is the difference between two trainings, the second with every row twice and so with twice as many steps,
which leaves out the other launches of an epoch; for batches of different lengths it is a mean. --plain counts without
this package's kernels, and SCRATCHVAE_CAPTURE=off in the environment counts without graphs.

The counts come from the CUDA runtime if it counts, as an emulated one in host memory does, else from PyTorch's
profiler, which also sees the kernels inside graphs.
"""

from __future__ import annotations

import ctypes
import json
import tempfile
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy

import scratchvae as sv
from benchmarks.arguments import parser as options_of
from benchmarks.rows import Rows, peer
from benchmarks.smoke import EXAMPLES, Example
from scratchvae.backend import gpu_module
from scratchvae.kernels import Kernel

Counts = dict[str, float]

CATEGORIES = {"kernel": "kernels", "gpu_memcpy": "copies", "gpu_memset": "fills"}
"""What is work of the device in a trace of PyTorch's profiler."""
RUNTIME = {"kernels": (0, 7), "copies": (1,), "fills": (2,), "graphs": (5,), "nodes": (6,)}
"""Places in the array of a runtime that counts; 7 is cuBLAS."""


def counted(run: Callable[[], object]) -> Counts:
    """Counts the kernels, copies and fills during run() and, if the runtime counts, graphs and their nodes."""
    before = counts_of_the_runtime()
    if before is None:
        return counts_of_the_profiler(run)
    run()
    return {name: n - before[name] for name, n in counts_of_the_runtime().items()}


def counts_of_the_runtime() -> Counts | None:
    """Returns the counts of the CUDA runtime of this process so far, or None if it does not count."""
    library = ctypes.CDLL("libcuda.so.1")
    if not hasattr(library, "emu_counts"):
        return None
    numbers = (ctypes.c_longlong * 8)()
    library.emu_counts(numbers)
    return {name: sum(numbers[i] for i in places) for name, places in RUNTIME.items()}


def counts_of_the_profiler(run: Callable[[], object]) -> Counts:
    """Counts kernels, copies and fills during run(), and the microseconds of all of them."""
    torch = peer("torch")
    with tempfile.TemporaryDirectory() as folder:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            run()
            gpu_module().cuda.runtime.deviceSynchronize()
        profile.export_chrome_trace(str(Path(folder) / "trace.json"))
        return counts_of_a_trace(json.loads((Path(folder) / "trace.json").read_text()))


def counts_of_a_trace(trace: dict[str, Any]) -> Counts:
    """Counts kernels, copies, fills and their microseconds in a trace. Raises ArithmeticError if it has no kernel."""
    events = [event for event in trace["traceEvents"] if event.get("cat") in CATEGORIES]
    kinds = [CATEGORIES[event["cat"]] for event in events]
    if "kernels" not in kinds:
        raise ArithmeticError("the profiler saw no kernel")
    counts = {name: kinds.count(name) for name in CATEGORIES.values()}
    return counts | {"microseconds": sum(event["dur"] for event in events)}


def of_a_step(make: Callable[[int], Example], batch_size: int = 20) -> Counts:
    """Returns the launches of one step of `fit`, the mean over the steps by which two trainings of one epoch differ."""

    def train(times: int) -> tuple[Counts, int]:
        model, x, options = make(8 * batch_size)
        x, options, history = repeated(x, times), repeated(options, times), {}
        counts = counted(
            lambda: history.update(sv.fit(model, x, 1, batch_size, device="gpu", progress=False, **options))
        )
        return counts, history["step"][-1]

    train(1)  # compiles
    (few, first), (many, last) = train(1), train(2)
    of_graph = {name: few.pop(name) for name in ("nodes",) if name in few}
    return {name: round((many[name] - few[name]) / (last - first), 1) for name in few} | of_graph


def repeated(x: Any, times: int) -> Any:
    """Returns an array or a list with all its rows several times, a dict of such ones, or another value as it is."""
    if isinstance(x, dict):
        return {name: repeated(value, times) for name, value in x.items()}
    if isinstance(x, numpy.ndarray):
        return numpy.concatenate([x] * times)
    return x * times if isinstance(x, list) else x


def main(arguments: list[str]) -> None:
    """Prints a row for every kind of model. The exit status is 1 if one fails."""
    parser = options_of("launches", __doc__)
    parser.add_argument(
        "--plain", action="store_true", help="count without the package's kernels, one launch for each operation"
    )
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", choices=EXAMPLES, help="count these models alone (default: all)"
    )
    chosen = parser.parse_args(arguments)
    rows = Rows(chosen.out)
    without = mock.patch.object(Kernel, "on", lambda self, x, *others: None) if chosen.plain else nullcontext()
    with without, warnings.catch_warnings():
        warnings.simplefilter("ignore", sv.PosteriorCollapseWarning)  # a few steps teach no model
        for name in chosen.only or EXAMPLES:
            rows.attempt(name, partial(of_a_step, EXAMPLES[name]))
    rows.finish()
