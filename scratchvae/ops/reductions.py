"""Functions that reduce axes: sums, extremes, and the log-sum-exp family.

axis: an int, a tuple of ints, or None for all axes; keepdims keeps the reduced axes with length 1, as in NumPy.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy

from scratchvae.autodiff import broadcast_to, elementwise, primitive
from scratchvae.backend import array_module, device_of
from scratchvae.errors import ShapeError
from scratchvae.kernels import Kernel
from scratchvae.ops.elementwise import as_real, exp, negative, where
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


LONGEST = 128
"""The most entries that one thread of a GPU adds up; longer sums are those of the NumPy lines, shared among threads."""

LOG_SUM = Kernel(
    "logsumexp",
    "T x[], int64 n, int64 inner",
    "T y[i]",
    """
    const long long first = i / inner * n * inner + i % inner;
    T largest = x[first], total = T(0);
    for (long long k = 1; k < n; ++k) if (x[first + k * inner] > largest) largest = x[first + k * inner];
    if (!(largest - largest == T(0))) largest = T(0);
    for (long long k = 0; k < n; ++k) total += exp(x[first + k * inner] - largest);
    y = log(total) + largest;
    """,
)
"""The lines of `logsumexp`: n entries of each sum, `inner` apart. A largest entry is infinite if its x - x is not 0."""

LOG_SUM_SLOPE = Kernel(
    "logsumexp_slope",
    "T g[row], T x[i], T y[row]",
    "T slope[i]",
    """
    const T total = y - y == T(0) || y > T(0) ? y : T(0);
    slope = g * exp(x == total ? T(0) : x - total);
    """,
)
"""The rule of `logsumexp`, in one operation of a GPU."""


@primitive
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """y = log sum exp x over the axes

    :Rule: dx = g exp(x - y)
    :Domain: all numbers; the largest entry is subtracted first, so that nothing overflows

    If all entries are -infinity, so is y, and no single entry changes it: there the slope is 0.
    """
    (x,) = as_real(x)
    y = _logsumexp_by_kernel(x, axis)
    if y is None:
        xp = array_module(x)
        largest = x.max(axis=axis, keepdims=True)
        largest = xp.where(xp.isfinite(largest), largest, 0.0)
        with numpy.errstate(divide="ignore"):  # the log of no probability at all is -infinity
            y = xp.log(_add_up(xp.exp(x - largest), axis, keepdims=True)) + largest
    return y if keepdims else y.squeeze(axis)


def _logsumexp_by_kernel(x: Any, axis: Axis) -> Any:
    """Returns y with keepdims by one operation of a GPU, for sums along neighbouring axes, or None."""
    compiled = LOG_SUM.on_gpu(x)
    if not compiled or not x.size:
        return None
    given = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = sorted(i + x.ndim * (i < 0) for i in given)
    n = math.prod(x.shape[i] for i in axes if 0 <= i < x.ndim)
    if not axes or axes != [i for i in range(x.ndim) if axes[0] <= i <= axes[-1]] or n > LONGEST:
        return None
    before, after = x.shape[: axes[0]], x.shape[axes[-1] + 1 :]
    y = array_module(x).empty((*before, *[1] * len(axes), *after), dtype=x.dtype)
    compiled(x, n, math.prod(after), y)
    return y


def _logsumexp_rule(g: Any, y: Any, x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    g, y = _unreduce(g, x, axis), _unreduce(y, x, axis)
    computed = LOG_SUM_SLOPE.computed(g, x, y)
    return computed[0] if computed else g * exp(_log_ratio(x, where(y > -math.inf, y, 0.0)))


logsumexp.defvjp(_logsumexp_rule)


def log_softmax(x: Value, axis: int = -1) -> Value:
    """y = x - log sum exp x, along the axis

    :Rule: dx = g - exp(y) sum(g), along the axis
    :Domain: all numbers; one entry of +infinity takes all of the probability, entries that are all -infinity give NaN
    """
    return _log_ratio(x, logsumexp(x, axis=axis, keepdims=True))


LOG_RATIO = Kernel("log_ratio", "T x[i], T y[row]", "T out[i]", "out = x == y && x > T(0) ? T(0) : x - y;")
"""The lines of `_log_ratio`, in one operation of a GPU."""

LOG_RATIO_SLOPES = Kernel(
    "log_ratio_slopes",
    "T g[i], T x[i], T y[row]",
    "T dx[i], T dy[i]",
    "dx = x == y && x > T(0) && !(x - x == T(0)) ? T(0) : g; dy = -dx;",
)
"""The rule of `_log_ratio`, likewise."""


@elementwise
def _log_ratio(x: Any, y: Any) -> Any:
    """out = x - y, but 0 where both are infinity: the log of e^x / e^y, which is 1 there

    :Rule: dx = g, dy = -g, and 0 where both are infinity
    :Domain: all numbers; the difference of two -infinities is NaN
    """
    x, y = as_real(x, y)
    computed = LOG_RATIO.computed(x, y)
    if computed:
        return computed[0]
    infinite = _both_infinite(x, y)
    return where.function(infinite, 0.0, x) - where.function(infinite, 0.0, y)


def _log_ratio_rule(wanted: list[int], g: Any, out: Any, x: Any, y: Any) -> list[Any]:
    computed = LOG_RATIO_SLOPES.computed(g, x, y)
    if computed:
        return [computed[i] for i in wanted]
    slope = where(_both_infinite(x, y), 0.0, g)
    return [negative(slope) if i else slope for i in wanted]


_log_ratio.defvjp_together(_log_ratio_rule)


def _both_infinite(x: Any, y: Any) -> Any:
    return (x >= math.inf) & (y >= math.inf)


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
