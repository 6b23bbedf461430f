"""The bounds of a step on a device: the rate of copies, the rate of float32 products, and the cost of a launch."""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import Any

from benchmarks.gpu_step import MLP, Step, alone, ours, ready, seconds
from benchmarks.launches import counts_of_the_profiler
from benchmarks.rows import NotHere, Rows, settings
from scratchvae.backend import device_module, synchronize


def copy(device: str, n: int) -> dict[str, Any]:
    """Measures terabytes per second, read and written, of a copy of n float32 numbers."""
    xp = device_module(device)
    x = xp.sin(xp.arange(n, dtype=xp.float32))
    y = xp.empty_like(x)
    step = Step(lambda: xp.copyto(y, x), partial(synchronize, device))
    return {"TB/s": 2 * x.nbytes / median(seconds(step, 10) for _ in range(5)) / 1e12, "GiB": x.nbytes / 2**30}


def product(device: str, n: int) -> dict[str, Any]:
    """Measures the teraflops of the product of two n x n matrices."""
    xp = device_module(device)
    x = xp.sin(xp.arange(n * n, dtype=xp.float32)).reshape(n, n)
    y = xp.empty_like(x)
    step = Step(lambda: xp.matmul(x, x, out=y), partial(synchronize, device))
    seconds(step, 1)
    return {"TFLOP/s": 2 * n**3 / median(seconds(step, 5) for _ in range(3)) / 1e12, "n": n}


def launch(device: str, n: int) -> dict[str, Any]:
    """Measures microseconds of an operation on one number, the cost of Python, the array library and the driver."""
    xp = device_module(device)
    x = xp.zeros(1, dtype=xp.float32)
    step = Step(lambda: xp.add(x, 1, out=x), partial(synchronize, device))
    seconds(step, 1)
    return {"microseconds": 1e6 * median(seconds(step, n) for _ in range(5))}


def node(device: str, n: int) -> dict[str, Any]:
    """Measures microseconds of one such operation in a CUDA graph of a hundred in a chain."""
    if device == "cpu":
        raise NotHere("CUDA graphs need a GPU")
    cupy = device_module(device)
    x, stream = cupy.zeros(1, dtype=cupy.float32), cupy.cuda.Stream(non_blocking=True)
    cupy.add(x, 1, out=x)
    cupy.cuda.get_current_stream().synchronize()
    with stream:
        stream.begin_capture()
        for _ in range(100):
            cupy.add(x, 1, out=x)
        graph = stream.end_capture()
    step = Step(lambda: graph.launch(stream), stream.synchronize)
    seconds(step, 1)
    before = float(x[0])
    figures = {"microseconds": 1e6 * median(seconds(step, n) for _ in range(5)) / 100}
    if float(x[0]) != before + 500 * n:
        raise ArithmeticError(f"{500 * n} additions in graphs added {float(x[0]) - before:g}")
    return figures


def launches(device: str, batch: int) -> dict[str, Any]:
    """Counts the launches of one step of the VAE, and the time for which they keep the device busy.

    PyTorch's profiler counts, since it sees the launches of every library in the process.
    """
    if device == "cpu":
        raise NotHere("NumPy launches nothing")
    step, _ = ready(ours, MLP, batch, device)
    return counts_of_the_profiler(partial(seconds, step, 1))


def main(arguments: list[str]) -> None:
    """Prints the rates, the cost of a launch and of a node of a graph, and a step with its launches."""
    chosen = settings("ceilings", __doc__, arguments)
    device, rows, batch = chosen.device, Rows(chosen.out), 20 if chosen.quick else 100
    size, side, n = (2**16, 64, 10) if chosen.quick else (2**28, 8192, 1000) if device == "gpu" else (2**24, 1024, 1000)
    rows.attempt("copy", partial(copy, device, size))
    rows.attempt("float32 product", partial(product, device, side))
    rows.attempt("a launch", partial(launch, device, n))
    rows.attempt("a node of a graph", partial(node, device, n // 10))
    rows.attempt(f"a step, batch {batch}", lambda: alone(ready(ours, MLP, batch, device)[0], 5, n // 10))
    rows.attempt(f"launches of a step, batch {batch}", partial(launches, device, batch))
    rows.finish()
