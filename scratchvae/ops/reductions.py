"""Functions that shrink axes away: sums, extremes, and the log-sum-exp family.

axis: an int, a tuple of ints, or None for all axes; keepdims keeps the reduced axes with length 1, as in NumPy.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy

from scratchvae.autodiff import broadcast_to, primitive
from scratchvae.backend import array_module
from scratchvae.ops.elementwise import exp
from scratchvae.ops.structure import reshape

Axis = int | tuple[int, ...] | None
Value = TypeVar("Value")  # an array of an array, a Tensor of a Tensor


@primitive
def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """y = sum of x over the axes,   dy/dx_i = 1"""
    return x.sum(axis=axis, keepdims=keepdims)


sum.defvjp(lambda g, y, x, axis=None, keepdims=False: broadcast_to(_unreduce(g, x, axis), x.shape))


def mean(x: Value, axis: Axis = None, keepdims: bool = False) -> Value:
    """y = sum of x / n over the axes"""
    return sum(x, axis=axis, keepdims=keepdims) / math.prod(x.shape[i] for i in _axes(x, axis))


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
    chosen = (x >= y) & (x <= y)
    return _unreduce(g, x, axis) * (chosen / chosen.sum(axis=axis, keepdims=True, dtype=x.dtype))


max.defvjp(_extreme_rule)
min.defvjp(_extreme_rule)


@primitive
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """y = log sum exp x over the axes,   dy/dx_i = exp(x_i - y).   The largest entry is taken out first."""
    xp = array_module(x)
    largest = x.max(axis=axis, keepdims=True)
    largest = xp.where(xp.isfinite(largest), largest, 0.0)
    with numpy.errstate(divide="ignore"):  # the log of no probability at all is -infinity
        y = xp.log(xp.exp(x - largest).sum(axis=axis, keepdims=True)) + largest
    return y if keepdims else y.squeeze(axis)


logsumexp.defvjp(
    lambda g, y, x, axis=None, keepdims=False: _unreduce(g, x, axis) * exp(x - _unreduce(y, x, axis)),
)


def log_softmax(x: Value, axis: int = -1) -> Value:
    """x - log sum exp x"""
    return x - logsumexp(x, axis=axis, keepdims=True)


def softmax(x: Value, axis: int = -1) -> Value:
    """exp x / sum exp x"""
    return exp(log_softmax(x, axis=axis))


def _unreduce(y: Any, x: Any, axis: Axis) -> Any:
    """y with the reduced axes of x put back, with length 1."""
    axes = _axes(x, axis)
    return reshape(y, tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def _axes(x: Any, axis: Axis) -> list[int]:
    """The axes of x that are meant, each counted from the first."""
    return [i % x.ndim for i in (range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,))]
