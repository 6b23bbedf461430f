"""Functions that reduce axes: sums, extremes, and the log-sum-exp family.

axis: an int, a tuple of ints, or None for all axes; keepdims keeps the reduced axes with length 1, as in NumPy.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy

from scratchvae.autodiff import broadcast_to, primitive
from scratchvae.backend import array_module, device_of
from scratchvae.errors import ShapeError
from scratchvae.ops.elementwise import as_real, exp, where
from scratchvae.ops.structure import reshape

Axis = int | tuple[int, ...] | None
Value = TypeVar("Value")  # an array of an array, a Tensor of a Tensor


@primitive
def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """y = sum of x over the axes

    :Rule: dx = broadcast_to(g, x.shape)
    :Domain: all numbers
    """
    return _add_up(x, axis, keepdims)


sum.defvjp(lambda g, y, x, axis=None, keepdims=False: broadcast_to(_unreduce(g, x, axis), x.shape))


@primitive
def mean(x: Value, axis: Axis = None, keepdims: bool = False) -> Value:
    """y = sum of x / n over the axes, n entries each

    :Rule: dx = broadcast_to(g / n, x.shape)
    :Domain: all numbers, n at least 1; ShapeError otherwise
    """
    n = _count(x, axis)
    if not n:
        raise ShapeError("mean", "entries to take the mean of", f"shape {x.shape}")
    if n == 1 and device_of(x) == "gpu" and x.dtype.kind == "f":  # of one draw, say: a view, without an operation
        return x if keepdims else x.squeeze(axis)
    return x.mean(axis=axis, keepdims=keepdims)


def _mean_rule(g: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    n, g = _count(x, axis), _unreduce(g, x, axis)
    return broadcast_to(g if n == 1 else g / n, x.shape)


mean.defvjp(_mean_rule)


@primitive
def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """y = the largest entry of x over the axes

    :Rule: dx = g / m at each of the m largest entries, else 0
    :Domain: all numbers, at least one entry along the axes
    """
    return x.max(axis=axis, keepdims=keepdims)


@primitive
def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """y = the smallest entry of x over the axes

    :Rule: dx = g / m at each of the m smallest entries, else 0
    :Domain: all numbers, at least one entry along the axes
    """
    return x.min(axis=axis, keepdims=keepdims)


def _extreme_rule(g: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    y = _unreduce(y, x, axis)
    chosen = (x >= y) & (x <= y) | (x != x)  # a NaN is the largest and the smallest
    return _unreduce(g, x, axis) * (chosen / chosen.sum(axis=axis, keepdims=True, dtype=x.dtype))


max.defvjp(_extreme_rule)
min.defvjp(_extreme_rule)


@primitive
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """y = log sum exp x over the axes

    :Rule: dx = g exp(x - y)
    :Domain: all numbers; the largest entry is subtracted first, so that nothing overflows

    If all entries are -infinity, so is y, and no single entry changes it: there the slope is 0.
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
    """y = x - log sum exp x, along the axis

    :Rule: dx = g - exp(y) sum(g), along the axis
    :Domain: all numbers; one entry of +infinity takes all of the probability, entries that are all -infinity give NaN
    """
    return _less(x, logsumexp(x, axis=axis, keepdims=True))


def _less(x: Value, y: Any) -> Any:
    """Returns x - y, and 0 where both are +infinity."""
    infinite = (x >= math.inf) & (y >= math.inf)
    return where(infinite, 0.0, x) - where(infinite, 0.0, y)


def _add_up(x: Value, axis: Axis, keepdims: bool) -> Any:
    """Returns the sum of x over the axes. A float16 is summed in float32, since 2048 + 1 is 2048 in float16."""
    if x.dtype.char == "e":
        return x.sum(axis=axis, keepdims=keepdims, dtype="float32").astype("float16")
    return x.sum(axis=axis, keepdims=keepdims)


def softmax(x: Value, axis: int = -1) -> Value:
    """y = exp x / sum exp x, along the axis

    :Rule: dx = y (g - sum(g y)), along the axis
    :Domain: as for log_softmax
    """
    return exp(log_softmax(x, axis=axis))


def _unreduce(y: Any, x: Any, axis: Axis) -> Any:
    """Returns y with the reduced axes of x restored, with length 1."""
    axes = _axes(x, axis)
    return reshape(y, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def _count(x: Any, axis: Axis) -> int:
    """Returns the number of entries of x that one sum over the axes adds up."""
    return math.prod(x.shape[i] for i in _axes(x, axis))


def _axes(x: Any, axis: Axis) -> list[int]:
    """Returns the axes of x as numbers from 0."""
    return [i % x.ndim for i in (range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,))]
