"""Overhead of the engine: forward + backward per op on 8 x 8 arrays, beside HIPS autograd on the same chains of ops."""

from __future__ import annotations

import math

import numpy

import scratchvae as sv
from benchmarks.timing import interleaved

LENGTH = 300  # ops in a chain


def main(arguments: list[str]) -> None:
    """Print a table of microseconds per op, and the ratio. Needs the package autograd (extra `bench`)."""
    try:
        import autograd
        import autograd.numpy as anp
    except ImportError:
        print("engine: autograd is not installed (pip install -e '.[bench]')")
        return

    rng = numpy.random.default_rng(0)
    start, other = rng.standard_normal((8, 8)), 0.3 * rng.standard_normal((8, 8))
    ops = {  # one op each, of values that neither grow nor vanish along the chain
        "add": lambda m, x: m.add(x, other),
        "multiply": lambda m, x: m.multiply(x, other),
        "divide": lambda m, x: m.divide(x, other),
        "negative": lambda m, x: m.negative(x),
        "tanh": lambda m, x: m.tanh(x),
        "sqrt": lambda m, x: m.sqrt(x),
        "abs": lambda m, x: m.abs(x),
        "maximum": lambda m, x: m.maximum(x, other),
        "matmul": lambda m, x: m.matmul(x, other),
        "reshape": lambda m, x: m.reshape(x, (8, 8)),
        "transpose": lambda m, x: m.transpose(x),
        "sum": lambda m, x: m.sum(x, axis=0, keepdims=True),
    }

    def chain(module, op, x):
        for _ in range(LENGTH):
            x = op(module, x)
        return module.sum(x)

    print(f"forward + backward, microseconds per op on 8 x 8 arrays, chains of {LENGTH}")
    print(f"{'op':12s}{'scratchvae':>12s}{'autograd':>12s}{'ratio':>8s}")
    logs = []
    for name, op in ops.items():
        x0 = numpy.abs(start) if name == "sqrt" else start
        slope = autograd.grad(lambda x, op=op: chain(anp, op, x))

        def ours(op=op, x0=x0):
            x = sv.Tensor(x0)
            return sv.grad(chain(sv.ops, op, x), [x])

        functions = {"scratchvae": ours, "autograd": lambda slope=slope, x0=x0: slope(x0)}
        with numpy.errstate(all="ignore"):
            times = interleaved(functions, rounds=7, reference="autograd")
        (our_seconds, ratio), (their_seconds, _) = times.values()
        logs.append(math.log(ratio))
        print(
            f"{name:12s}{our_seconds / LENGTH * 1e6:12.2f}{their_seconds / LENGTH * 1e6:12.2f}{ratio:8.2f}", flush=True
        )
    print(f"{'geometric mean':36s}{math.exp(sum(logs) / len(logs)):8.2f}")
