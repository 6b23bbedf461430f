"""Functions that shrink axes away: sums, extremes, and the log-sum-exp family.

axis: an int, a tuple of ints, or None for all axes; keepdims keeps the reduced axes with length 1, as in NumPy.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy

from scratchvae.autodiff import broadcast_to, primitive
from scratchvae.backend import array_module
from scratchvae.errors import ShapeError
from scratchvae.ops.elementwise import as_real, exp, where
from scratchvae.ops.structure import reshape

Axis = int | tuple[int, ...] | None
Value = TypeVar("Value")  # an array of an array, a Tensor of a Tensor


@primitive
def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """y = sum of x over the axes,   dy/dx_i = 1"""
    return _add_up(x, axis, keepdims)


sum.defvjp(lambda g, y, x, axis=None, keepdims=False: broadcast_to(_unreduce(g, x, axis), x.shape))


@primitive
def mean(x: Value, axis: Axis = None, keepdims: bool = False) -> Value:
    """y = sum of x / n over the axes,   dy/dx_i = 1 / n.   Raises ShapeError for n = 0."""
    if not _count(x, axis):
        raise ShapeError("mean", "entries to take the mean of", f"shape {x.shape}")
    return x.mean(axis=axis, keepdims=keepdims)


mean.defvjp(
    lambda g, y, x, axis=None, keepdims=False: broadcast_to(_unreduce(g, x, axis) / _count(x, axis), x.shape),
)


@primitive
def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """y = the largest entry of x over the axes. Ties share the gradient equally."""
    return x.max(axis=axis, keepdims=keepdims)


@primitive
def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """y = the smallest entry of x over the axes. Ties share the gradient equally."""
    return x.min(axis=axis, keepdims=keepdims)


def _extreme_rule(g: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    y = _unreduce(y, x, axis)
    chosen = (x >= y) & (x <= y) | (x != x)  # a NaN is the largest and the smallest
    return _unreduce(g, x, axis) * (chosen / chosen.sum(axis=axis, keepdims=True, dtype=x.dtype))


max.defvjp(_extreme_rule)
min.defvjp(_extreme_rule)


@primitive
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """y = log sum exp x over the axes,   dy/dx_i = exp(x_i - y).   The largest entry is taken out first.

    Of entries that are all -infinity y is -infinity, and none of them changes it: there the slope is 0.
    """
    (x,) = as_real(x)
    xp = array_module(x)
    largest = x.max(axis=axis, keepdims=True)
    largest = xp.where(xp.isfinite(largest), largest, 0.0)
    with numpy.errstate(divide="ignore"):  # the log of no probability at all is -infinity
        y = xp.log(_add_up(xp.exp(x - largest), axis, keepdims=True)) + largest
    return y if keepdims else y.squeeze(axis)


def _logsumexp_rule(g: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    y = _unreduce(y, x, axis)
    return _unreduce(g, x, axis) * exp(_less(x, where(y > -math.inf, y, 0.0)))


logsumexp.defvjp(_logsumexp_rule)


def log_softmax(x: Value, axis: int = -1) -> Value:
    """x - log sum exp x.   One entry of +infinity has it all, log 1; entries that are all -infinity have NaN."""
    return _less(x, logsumexp(x, axis=axis, keepdims=True))


def _less(x: Value, y: Any) -> Any:
    """x - y, which is 0 where both are +infinity."""
    infinite = (x >= math.inf) & (y >= math.inf)
    return where(infinite, 0.0, x) - where(infinite, 0.0, y)


def _add_up(x: Value, axis: Axis, keepdims: bool) -> Any:
    """The sum of x over the axes; of float16 by way of float32, as 2048 + 1 is 2048 there."""
    if x.dtype.char == "e":
        return x.sum(axis=axis, keepdims=keepdims, dtype="float32").astype("float16")
    return x.sum(axis=axis, keepdims=keepdims)


def softmax(x: Value, axis: int = -1) -> Value:
    """exp x / sum exp x"""
    return exp(log_softmax(x, axis=axis))


def _unreduce(y: Any, x: Any, axis: Axis) -> Any:
    """y with the reduced axes of x put back, with length 1."""
    axes = _axes(x, axis)
    return reshape(y, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def _count(x: Any, axis: Axis) -> int:
    """The number of entries of x that one sum over the axes adds up."""
    return math.prod(x.shape[i] for i in _axes(x, axis))


def _axes(x: Any, axis: Axis) -> list[int]:
    """The axes of x that are meant, each counted from the first."""
    return [i % x.ndim for i in (range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,))]
