"""The engine's overhead: forward and backward of a chain of 300 operations on 8 x 8 arrays, float64, beside autograd.

y = f(f(... f(x))),   and d sum(y) / dx, whose sum of squares must agree
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy

from benchmarks.cases import steps
from benchmarks.cases.problem import Problem

LENGTH = 300  # operations in a chain
OPERATIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda m, x, c: m.add(x, c),
    "multiply": lambda m, x, c: m.multiply(x, c),
    "divide": lambda m, x, c: m.divide(x, c),
    "negative": lambda m, x, c: m.negative(x),
    "tanh": lambda m, x, c: m.tanh(x),
    "sqrt": lambda m, x, c: m.sqrt(x),
    "abs": lambda m, x, c: m.abs(x),
    "maximum": lambda m, x, c: m.maximum(x, c),
    "matmul": lambda m, x, c: m.matmul(x, c),
    "reshape": lambda m, x, c: m.reshape(x, (8, 8)),
    "transpose": lambda m, x, c: m.transpose(x),
    "sum": lambda m, x, c: m.sum(x, axis=0, keepdims=True),
}
"""Each of a module of functions, values x and a constant array."""

CASES = {f"op:{name}": name for name in OPERATIONS}
REFERENCE = "autograd"


def problem(name: str, data: str | None = None) -> Problem:
    """Returns x and the constant, such that values neither grow nor vanish along the chain; for sqrt, positive ones."""
    rng = numpy.random.default_rng(0)
    x, constant = rng.standard_normal((8, 8)), numpy.linalg.qr(rng.standard_normal((8, 8)))[0]
    if name in ("multiply", "divide"):
        constant = rng.choice([-1.0, 1.0], (8, 8))
    return Problem({"x": (numpy.abs(x) if name == "sqrt" else x)[None], "constant": constant[None]})


def chain(name: str, module: Any, constant: numpy.ndarray, x: Any) -> Any:
    """y = sum of f(f(... f(x)))"""
    for _ in range(LENGTH):
        x = OPERATIONS[name](module, x, constant)
    return module.sum(x)


def scratchvae(name: str, problem: Problem) -> steps.Step:
    """Returns the step by the engine."""
    import scratchvae as sv

    ((start, constant),) = problem.batches()

    def step(e: Any) -> float:
        x = sv.Tensor(start)
        (g,) = sv.grad(chain(name, sv.ops, constant, x), [x])
        return numpy.vdot(g, g)

    return step


def autograd(name: str, problem: Problem) -> steps.Step:
    """Returns the step by HIPS autograd."""
    import autograd
    import autograd.numpy as anp

    ((start, constant),) = problem.batches()
    slope = autograd.grad(partial(chain, name, anp, constant))

    def step(e: Any) -> float:
        g = slope(start)
        return numpy.vdot(g, g)

    return step


PEERS = {"scratchvae": scratchvae, "autograd": autograd}
