"""Initial values of weights, drawn from a Noise.

fans: (fan_in, fan_out), the number of inputs that one output is computed from, and the number of outputs that one input
goes into; by default the two sizes of a matrix, shape (fan_in, fan_out).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from scratchvae.backend import array_module
from scratchvae.errors import InputError, ShapeError
from scratchvae.noise import Noise

_budget: ContextVar[_Budget | None] = ContextVar("budget", default=None)


class _Budget:
    """The budget counts the weights that an operation asks for, up to the number that it may draw."""

    def __init__(self, operation: str, limit: int) -> None:
        self.operation, self.limit, self.n_weights = operation, limit, 0

    def spend(self, n_weights: int) -> None:
        self.n_weights += n_weights
        if self.n_weights > self.limit:
            expected = f"a model of at most {self.limit} parameters, as the arrays have entries"
            raise InputError(self.operation, expected, f"sizes for {self.n_weights}", "a damaged file?")


@contextmanager
def at_most(operation: str, n_weights: int) -> Iterator[None]:
    """Raises InputError inside the block before memory is taken for more weights than these, over all initialisers."""
    before = _budget.set(_Budget(operation, n_weights))
    try:
        yield
    finally:
        _budget.reset(before)


def glorot_uniform(noise: Noise, shape: tuple[int, ...], fans: tuple[float, float] | None = None) -> Any:
    """W ~ Uniform(-a, a) with a = sqrt(6 / (fan_in + fan_out)): variance 2 / (fan_in + fan_out)

    Source: Glorot & Bengio (2010), equation 16.
    """
    return _uniform(noise, shape, math.sqrt(6 / sum(fans or _fans(shape))))


def he_uniform(noise: Noise, shape: tuple[int, ...], fans: tuple[float, float] | None = None) -> Any:
    """W ~ Uniform(-a, a) with a = sqrt(6 / fan_in): variance 2 / fan_in, which keeps the scale through relus

    Source: He, Zhang, Ren & Sun (2015), equation 10.
    """
    return _uniform(noise, shape, math.sqrt(6 / (fans or _fans(shape))[0]))


def orthogonal(noise: Noise, shape: tuple[int, int]) -> Any:
    """W with W' W = I, uniform among the matrices of orthonormal columns; orthonormal rows if there are fewer rows

    W is the factor Q of a matrix of normal numbers, Q R, with the signs of R's diagonal.

    Source: Mezzadri (2007), section 5; Saxe, McClelland & Ganguli (2014) for its use.
    """
    if len(shape) != 2:
        raise ShapeError("orthogonal", "the shape of a matrix", str(shape))
    _spend(shape)
    normal = noise.normal("weight", (max(shape), min(shape)))
    xp = array_module(normal)
    q, r = xp.linalg.qr(normal)
    w = q * xp.where(xp.diagonal(r) < 0, -1.0, 1.0).astype(q.dtype)
    return w if shape[0] >= shape[1] else w.swapaxes(0, 1)


def normal(noise: Noise, shape: tuple[int, ...], mean: float = 0.0, std: float = 1.0) -> Any:
    """W ~ Normal(mean, std^2)"""
    _spend(shape)
    return mean + std * noise.normal("weight", shape)


def _fans(shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) != 2:
        raise ShapeError("initial values", "the shape of a matrix, or fans", str(shape))
    return shape


def _uniform(noise: Noise, shape: tuple[int, ...], bound: float) -> Any:
    _spend(shape)
    return (2 * noise.uniform("weight", shape) - 1) * bound


def _spend(shape: tuple[int, ...]) -> None:
    budget = _budget.get()
    if budget is not None:
        budget.spend(math.prod(shape))
