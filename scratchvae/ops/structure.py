"""Functions that move entries without computing: each is linear, and its rule is its adjoint."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, TypeVar

from scratchvae.arrays import is_cupy
from scratchvae.autodiff import primitive
from scratchvae.backend import array_module, is_readable
from scratchvae.errors import ShapeError
from scratchvae.kernels import Kernel
from scratchvae.ops.elementwise import as_real

Value = TypeVar("Value")  # an array of an array, a Tensor of a Tensor


@primitive
def reshape(x: Any, shape: int | tuple[int, ...]) -> Any:
    """y = the entries of x, in order, in another shape; one -1 in the shape is filled in

    :Rule: dx = reshape(g, x.shape), the adjoint
    :Domain: a shape of as many entries
    """
    return x.reshape(shape)


reshape.defvjp(lambda g, y, x, shape: reshape(g, x.shape))


def expand_dims(x: Value, axis: int) -> Value:
    """y = x with a new axis of length 1

    :Rule: dx = squeeze(g, axis), the adjoint
    :Domain: an axis from -(n + 1) to n for n axes of x; ShapeError otherwise
    """
    (axis,) = _from_first("expand_dims", axis, x.ndim + 1)
    return reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


def squeeze(x: Value, axis: int | tuple[int, ...] | None = None) -> Value:
    """y = x without the given axes of length 1, or without all such axes

    :Rule: dx = reshape(g, x.shape), the adjoint
    :Domain: axes of length 1; ShapeError otherwise
    """
    if axis is None:
        axis = tuple(i for i, n in enumerate(x.shape) if n == 1)
    axes = _from_first("squeeze", axis, x.ndim)
    if any(x.shape[i] != 1 for i in axes):
        raise ShapeError("squeeze", f"length 1 along axis {axis}", f"shape {x.shape}")
    return reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in axes))


def _from_first(operation: str, axis: int | tuple[int, ...], ndim: int) -> list[int]:
    """Returns the axes as numbers from 0. Raises ShapeError for an axis that x does not have."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    if any(not -ndim <= i < ndim for i in axes):
        raise ShapeError(operation, f"axes from {-ndim} to {ndim - 1}", str(axis))
    return [i % ndim for i in axes]


@primitive
def transpose(x: Any, axes: tuple[int, ...] | None = None) -> Any:
    """y = x with its axes in another order, by default in reverse order

    :Rule: dx = transpose(g, the inverse order), the adjoint
    :Domain: an order that names each axis once
    """
    return x.transpose(axes)


transpose.defvjp(lambda g, y, x, axes=None: transpose(g, axes and _inverse(axes)))


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    axes = [i % len(axes) for i in axes]
    return tuple(axes.index(i) for i in range(len(axes)))


@primitive
def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """y = x with two axes exchanged

    :Rule: dx = swapaxes(g, axis1, axis2), the adjoint
    :Domain: all arrays with these axes
    """
    return x.swapaxes(axis1, axis2)


swapaxes.defvjp(lambda g, y, x, axis1, axis2: swapaxes(g, axis1, axis2))


@primitive
def _concatenate(*arrays: Any, axis: int) -> Any:
    return array_module(arrays[0]).concatenate(arrays, axis=axis)


def _concatenate_rule(wanted: Sequence[int], g: Any, y: Any, *arrays: Any, axis: int) -> list[Any]:
    ends = list(accumulate(x.shape[axis] for x in arrays))
    before = (slice(None),) * (axis % g.ndim)
    return [getitem(g, (*before, slice(ends[i] - arrays[i].shape[axis], ends[i]))) for i in wanted]


_concatenate.defvjp_together(_concatenate_rule)


def concatenate(arrays: Sequence[Any], axis: int = 0) -> Any:
    """y = the arrays joined along an axis

    :Rule: dx_i = the part of g that x_i fills, the adjoint
    :Domain: arrays that agree in all other axes
    """
    return _concatenate(*arrays, axis=axis)


def stack(arrays: Sequence[Any], axis: int = 0) -> Any:
    """y = the arrays joined along a new axis

    :Rule: dx_i = g[i] along that axis, the adjoint
    :Domain: arrays of one shape
    """
    return concatenate([expand_dims(x, axis) for x in arrays], axis=axis)


@primitive
def getitem(x: Any, index: Any) -> Any:
    """y = x[index]: integers, slices, None, Ellipsis, arrays of integers or truth values

    :Rule: dx = scatter_add(g, index, x.shape), the adjoint
    :Domain: an index within bounds; IndexError otherwise
    """
    _check_bounds(index, x.shape)
    return x[index]


AMONG_ZEROS = Kernel(
    "among_zeros",
    "T x[], int32 start, int32 width, int32 length",
    "T y[i]",
    """
    const int column = (int)(i % length) - start;
    y = column >= 0 && column < width ? x[i / length * width + column] : T(0);
    """,
)
"""`scatter_add` to a part of the last axis, in one operation of a GPU."""


@primitive
def scatter_add(x: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """y = zeros of the shape, then y[index] += x; repeated indices add up

    :Rule: dx = getitem(g, index), the adjoint
    :Domain: an index within bounds; IndexError otherwise
    """
    _check_bounds(index, shape)
    (x,) = as_real(x)
    xp = array_module(x)
    columns = _columns(index, shape)
    fits = columns is not None and x.shape == (*shape[:-1], len(columns))
    compiled = AMONG_ZEROS.on_gpu(x) if fits else None
    if compiled:
        y = xp.empty(shape, dtype=x.dtype)
        compiled(x, columns.start, len(columns), shape[-1], y)
        return y
    y = xp.zeros(shape, dtype=x.dtype)
    if all(part is None or part is ... or isinstance(part, (int, slice)) for part in _parts(index)):
        y[index] = x  # such an index meets each entry once
    else:
        xp.add.at(y, index, x)
    return y


def _columns(index: Any, shape: tuple[int, ...]) -> range | None:
    """Returns the range of the last axis that an index such as (..., slice(0, 20)) stands for; None for another one."""
    if not (isinstance(index, tuple) and len(index) == 2 and index[0] is ... and isinstance(index[1], slice)):
        return None
    columns = range(*index[1].indices(shape[-1]))
    return columns if columns.step == 1 else None


def _parts(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _check_bounds(index: Any, shape: tuple[int, ...]) -> None:
    """Raises NumPy's IndexError for arrays on the GPU, where CuPy would wrap around: entry 5 of 2 would be entry 1.

    Entries that the host cannot read are not checked.
    """
    axis, parts = 0, _parts(index)
    if not any(is_cupy(part) for part in parts):
        return
    for i, part in enumerate(parts):
        if is_cupy(part) and part.dtype.kind in "iu" and part.size and is_readable(part):
            low, high, n = int(part.min()), int(part.max()), shape[axis]
            if low < -n or high >= n:
                worst = high if high >= n else low
                raise IndexError(f"index {worst} is out of bounds for axis {axis} with size {n}")
        if part is ...:
            axis = len(shape) - sum(_n_axes(later) for later in parts[i + 1 :])
        else:
            axis += _n_axes(part)


def _n_axes(part: Any) -> int:
    """Returns the number of axes that a part of an index takes: none for None, all of its own for a mask, else one."""
    if part is None:
        return 0
    return part.ndim if hasattr(part, "dtype") and part.dtype.kind == "b" else 1


getitem.defvjp(lambda g, y, x, index: scatter_add(g, index, x.shape))
scatter_add.defvjp(lambda g, y, x, index, shape: getitem(g, index))


@primitive
def pad(x: Any, pad_width: Any) -> Any:
    """y = x with zeros around it, ((before, after), ...) for each axis as in NumPy

    :Rule: dx = crop(g, pad_width), the adjoint
    :Domain: one pair for each axis; ShapeError otherwise
    """
    if not isinstance(pad_width, (tuple, list)) or len(pad_width) != x.ndim:
        raise ShapeError("pad", f"(before, after) for each of {x.ndim} axes", repr(pad_width))
    return array_module(x).pad(x, pad_width)


@primitive
def crop(x: Any, pad_width: Any) -> Any:
    """y = x without its margins, ((before, after), ...) for each axis

    :Rule: dx = pad(g, pad_width), the adjoint
    :Domain: margins that x has
    """
    return x[tuple(slice(before, n - after) for n, (before, after) in zip(x.shape, pad_width, strict=True))]


pad.defvjp(lambda g, y, x, pad_width: crop(g, pad_width))
crop.defvjp(lambda g, y, x, pad_width: pad(g, pad_width))
