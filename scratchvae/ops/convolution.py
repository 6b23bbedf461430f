"""Convolutions of images, channels last.   x (N, H, W, C), kernel (KH, KW, C_in, C_out)

Three primitives are each other's derivatives, since one sum over n, i, j, a, b, c and d has them all:

    sum of  g[n, i, j, d]  x[n, s i + a, s j + b, c]  kernel[a, b, c, d]

`conv2d` leaves out g, `conv_transpose2d` x, and `conv2d_kernel` the kernel. Each gathers the windows that it needs as
the rows of a matrix (im2col), a block at a time, and multiplies; none scatters (col2im).

stride: an int, or (down, across). padding: zeros around the image, as an int, (down, across), ((top, bottom), (left,
right)), "valid" for none, or "same" for as many as make H' = H / stride, rounded up, the odd one below or on the right.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain
from numbers import Integral
from typing import Any

import numpy

from scratchvae.autodiff import broadcast_to, primitive
from scratchvae.backend import array_module, device_of, product
from scratchvae.errors import InputError, ShapeError
from scratchvae.kernels import Kernel
from scratchvae.ops.structure import reshape

Stride = int | tuple[int, int]
Padding = int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]] | str
Margins = Sequence[tuple[int, int]]

COLUMN_BYTES = {"cpu": 2**21, "gpu": 2**28}
"""The most that the columns of a block take (one row of windows, if that is more): what a core's cache holds, and
enough to occupy a GPU."""


@primitive
def conv2d(x: Any, kernel: Any, stride: Stride = 1, padding: Padding = 0) -> Any:
    """y[n, i, j, d] = sum over a, b, c of x[n, s i + a, s j + b, c] kernel[a, b, c, d], with zeros around x

    :Rule: dx = conv_transpose2d(g, kernel), the adjoint; dkernel = conv2d_kernel(x, g)
    :Domain: all numbers; ShapeError for shapes that do not fit

    shape: (N, H, W, C_in), (KH, KW, C_in, C_out) -> (N, H', W', C_out),   H' = (H + top + bottom - KH) // s + 1

    Raises ShapeError for shapes that do not fit, InputError for another stride or padding.   Adjoint: conv_transpose2d
    """
    _check_kernel("conv2d", kernel)
    _check_channels("conv2d", x, kernel, kernel.shape[2])
    stride, margins, size = _geometry("conv2d", x.shape, kernel.shape, stride, padding)
    y = array_module(x).empty((len(x), *size, kernel.shape[3]), dtype=numpy.result_type(x.dtype, kernel.dtype))
    _correlate(x, kernel, stride, margins, y)
    return y


@primitive
def conv_transpose2d(
    x: Any, kernel: Any, stride: Stride = 1, padding: Padding = 0, output_shape: tuple[int, int] | None = None
) -> Any:
    """y[n, s i + a, s j + b, c] = sum of x[n, i, j, d] kernel[a, b, c, d] over all that meet, without the margins

    :Rule: dx = conv2d(g, kernel), the adjoint; dkernel = conv2d_kernel(g, x)
    :Domain: all numbers; ShapeError for shapes that do not fit

    The kernel is that of the convolution which this transposes:

    shape: (N, H, W, C_in), (KH, KW, C_out, C_in) -> (N, H', W', C_out),   H' = s (H - 1) + KH - top - bottom

    output_shape: (H', W'), since a convolution with a stride takes images of several sizes to that of x; if None, the
    smallest of them, and (s H, s W) for padding "same".

    With a = s q + r the rows of y are y[s m + r] = sum over q of x[m - q] kernel[s q + r], the columns likewise: one
    convolution of stride 1, whose channels, s x s phases of C_out each, are dealt out to the pixels of y.

    Raises ShapeError for shapes that do not fit, InputError for another stride or padding.   Adjoint: conv2d
    Source: Shi et al. (2016), "Is the deconvolution layer the same as a convolutional layer?"
    """
    _check_kernel("conv_transpose2d", kernel)
    _check_channels("conv_transpose2d", x, kernel, kernel.shape[3])
    stride, margins, output_shape = _transposed_geometry(x.shape, kernel.shape, stride, padding, output_shape)
    ((top, _), (left, _)), (height, width) = margins, output_shape
    s, t = (min(s, max(k, n)) for s, k, n in zip(stride, kernel.shape, (top + height, left + width), strict=False))
    n, h, w, c = len(x), -(-(top + height) // s), -(-(left + width) // t), kernel.shape[2]
    phases = _phases(kernel, (s, t))
    reach = [(taps - 1, m - size) for taps, m, size in zip(phases.shape, (h, w), x.shape[1:3], strict=False)]
    y = array_module(x).empty((n, h, s, w, t, c), dtype=numpy.result_type(x.dtype, kernel.dtype))
    _correlate(x, phases, (1, 1), reach, y.swapaxes(2, 3))
    return y.reshape(n, h * s, w * t, c)[:, top : top + height, left : left + width]


@primitive
def conv2d_kernel(x: Any, g: Any, kernel_size: tuple[int, int], stride: Stride = 1, padding: Padding = 0) -> Any:
    """y[a, b, c, d] = sum over n, i, j of x[n, s i + a, s j + b, c] g[n, i, j, d]: the rule of conv2d for its kernel

    :Rule: dx = conv_transpose2d(g, h), dg = conv2d(x, h), where h is the cotangent of y
    :Domain: all numbers; ShapeError for shapes that do not fit

    shape: (N, H, W, C_in), (N, H', W', C_out) -> (KH, KW, C_in, C_out), with kernel_size (KH, KW).   The map from g is
    the adjoint of that from the kernel in conv2d.

    Raises ShapeError for shapes that do not fit, InputError for another kernel_size, stride or padding.
    """
    kernel_size = pair_of("conv2d_kernel", "a kernel_size (KH, KW)", kernel_size)
    _check_images("conv2d_kernel", x)
    _check_floats("conv2d_kernel", x, g)
    stride, margins, size = _geometry("conv2d_kernel", x.shape, kernel_size, stride, padding)
    if g.shape[:-1] != (len(x), *size):
        expected = f"g of shape ({', '.join(map(str, (len(x), *size)))}, C_out)"
        raise ShapeError("conv2d_kernel", expected, f"shape {g.shape}")
    shape = (*kernel_size, x.shape[3], g.shape[3])
    parts = (
        product(columns.swapaxes(0, 1), g[block].reshape(len(columns), -1))
        for block, columns in _columns(x, kernel_size, stride, margins)
    )
    y = next(parts, None)
    if y is None:  # no images
        return array_module(x).zeros(shape, dtype=numpy.result_type(x.dtype, g.dtype))
    for part in parts:
        y += part
    return y.reshape(shape)


conv2d.defvjp(
    lambda g, y, x, kernel, stride=1, padding=0: conv_transpose2d(g, kernel, stride, padding, x.shape[1:3]),
    lambda g, y, x, kernel, stride=1, padding=0: conv2d_kernel(x, g, kernel.shape[:2], stride, padding),
)
conv_transpose2d.defvjp(
    lambda g, y, x, kernel, stride=1, padding=0, output_shape=None: conv2d(g, kernel, stride, padding),
    lambda g, y, x, kernel, stride=1, padding=0, output_shape=None: conv2d_kernel(
        g, x, kernel.shape[:2], stride, padding
    ),
)
conv2d_kernel.defvjp(
    lambda g, y, x, other, kernel_size, stride=1, padding=0: conv_transpose2d(other, g, stride, padding, x.shape[1:3]),
    lambda g, y, x, other, kernel_size, stride=1, padding=0: conv2d(x, g, stride, padding),
)


def upsample2d(x: Any, factor: int | tuple[int, int]) -> Any:
    """y[n, i, j, c] = x[n, i // f, j // f, c], the nearest pixel

    :Rule: dx = the sum of g over each block of f x f pixels, the adjoint
    :Domain: all numbers

    shape: (N, H, W, C) -> (N, f H, f W, C). factor: an int, or (down, across).
    """
    down, across = pair_of("upsample2d", "a factor", factor)
    if x.ndim != 4:
        raise ShapeError("upsample2d", "x of shape (N, H, W, C)", f"shape {x.shape}")
    n, h, w, c = x.shape
    return reshape(
        broadcast_to(reshape(x, (n, h, 1, w, 1, c)), (n, h, down, w, across, c)), (n, h * down, w * across, c)
    )


# ---- columns


def _correlate(x: Any, kernel: Any, stride: tuple[int, int], margins: Margins, y: Any) -> None:
    """Writes the product of the kernel and its window at each place on x into y."""
    matrix, buffer = kernel.reshape(-1, kernel.shape[3]), None
    for block, columns in _columns(x, kernel.shape[:2], stride, margins):
        target = y[block]
        if target.flags.c_contiguous:
            product(columns, matrix, target.reshape(len(columns), -1))
            continue
        if buffer is None:
            buffer = array_module(x).empty((len(columns), matrix.shape[1]), dtype=y.dtype)
        target[...] = product(columns, matrix, buffer[: len(columns)]).reshape(target.shape)


def _columns(
    x: Any, kernel_size: Sequence[int], stride: tuple[int, int], margins: Margins
) -> Iterator[tuple[tuple[slice, slice], Any]]:
    """Yields blocks of places with the matrix of their windows (im2col), which the next block overwrites."""
    xp, (top, left), (height, width, channels) = array_module(x), (before for before, _ in margins), x.shape[1:]
    rows, places = (
        (n + sum(margin) - k) // s + 1
        for n, margin, k, s in zip((height, width), margins, kernel_size, stride, strict=True)
    )
    size = places * math.prod(kernel_size) * channels
    compiled = IM2COL.on_gpu(x) if size < LARGEST_NUMERATOR else None  # NumPy's copies are faster than such a loop
    windows = None if compiled else _windows(_with_margins(x, margins), kernel_size, stride)
    columns = None
    for block in _blocks(len(x), rows, size * x.dtype.itemsize, device_of(x)):
        shape = [len(range(n)[part]) for n, part in zip((len(x), rows), block, strict=True)]
        if columns is None:  # no block is larger than the first
            columns = xp.empty((*shape, places, *kernel_size, channels), dtype=x.dtype)
        patches = columns[: shape[0], : shape[1]]
        if compiled:
            above, run = top - block[1].start * stride[0], kernel_size[1] * channels
            divisors = shape[1], places, kernel_size[0], run
            numbers = height, width * channels, *divisors, stride[0], stride[1] * channels, above, left * channels
            compiled(x[block[0]], *numbers, *chain.from_iterable(map(_reciprocal, divisors)), patches)
        else:
            patches[...] = windows[block]
        yield block, patches.reshape(-1, math.prod(kernel_size) * channels)


IM2COL = Kernel(
    "im2col",
    "T x[], int32 height, int32 width, int32 rows, int32 places, int32 kernel_height, int32 run, int32 down, "
    "int32 across, int32 top, int32 left, uint32 of_rows, int32 by_rows, uint32 of_places, int32 by_places, "
    "uint32 of_height, int32 by_height, uint32 of_run, int32 by_run",
    "T columns[i]",
    """
    const unsigned entry = (unsigned)i, number = quotient(entry, of_run, by_run);
    const unsigned place = quotient(number, of_height, by_height), of_image = quotient(place, of_places, by_places);
    const unsigned m = quotient(of_image, of_rows, by_rows);
    const unsigned a = number - place * kernel_height, p = of_image - m * rows, q = place - of_image * places;
    const int row = down * (int)p + (int)a - top, column = across * (int)q + (int)(entry - number * run) - left;
    const bool inside = 0 <= row && row < height && 0 <= column && column < width;
    columns = inside ? x[((ptrdiff_t)m * height + row) * width + column] : T(0);
    """,
    """
    __device__ unsigned quotient(unsigned n, unsigned multiplier, int shift) {
        return (unsigned)(((unsigned long long)n * multiplier) >> shift);
    }
    """,
)
"""`_windows` of `_with_margins`: columns[m, p, q, a, b, c] = x[m, down p + a - top, across q + b - left, c], or zero.

Along a row columns and channels are one axis here, of which a kernel covers a run: width, run, across and left count
entries. Four divisions find an entry, each as a product with `_reciprocal`, as a GPU has no instruction that divides.
top may be negative: for the rows of places from p on it is less by down p.
"""
LARGEST_NUMERATOR = 2**31


def _reciprocal(divisor: int) -> tuple[int, int]:
    """n // divisor = n m >> s for every n below 2^31; returns m, of 32 bits, and s

    m = ceil(2^s / d) exceeds 2^s / d by less than 1, so n m / 2^s exceeds n / d by less than n / 2^s <= 1 / d.
    Source: Granlund & Montgomery (1994), "Division by invariant integers using multiplication", theorem 4.2
    """
    shift = 31 + (divisor - 1).bit_length()
    return -(-(2**shift) // divisor), shift


def _windows(x: Any, kernel_size: Sequence[int], stride: tuple[int, int]) -> Any:
    """Returns a view of the windows of x under a kernel at all its places.   (N, H, W, C) -> (N, H', W', KH, KW, C)"""
    n, h, w, c = x.shape
    size = [(length - k) // s + 1 for length, k, s in zip((h, w), kernel_size, stride, strict=True)]
    of_image, of_row, of_column, of_channel = x.strides
    return array_module(x).lib.stride_tricks.as_strided(
        x,
        (n, *size, *kernel_size, c),
        (of_image, stride[0] * of_row, stride[1] * of_column, of_row, of_column, of_channel),
    )


def _blocks(n: int, rows: int, row_bytes: int, device: str) -> Iterator[tuple[slice, slice]]:
    """Slices n images, and their rows if one image has too many, into parts whose columns take at most COLUMN_BYTES."""
    most_rows = max(1, COLUMN_BYTES[device] // row_bytes)
    images = max(1, most_rows // rows)
    for i in range(0, n, images):
        for j in range(0, rows, most_rows):
            yield slice(i, i + images), slice(j, j + most_rows)


def _with_margins(x: Any, margins: Margins) -> Any:
    """Returns x with zeros around its rows and columns; a negative margin at the end removes rows or columns."""
    if not any(map(any, margins)):
        return x
    (top, bottom), (left, right) = margins
    x = x[:, : x.shape[1] + min(0, bottom), : x.shape[2] + min(0, right)]
    n, height, width, channels = x.shape
    shape = (n, top + height + max(0, bottom), left + width + max(0, right), channels)
    padded = array_module(x).zeros(shape, dtype=x.dtype)
    padded[:, top : top + height, left : left + width] = x
    return padded


def _phases(kernel: Any, stride: tuple[int, int]) -> Any:
    """y[q, r] = kernel[s q + r] for the taps q, in reverse order, and the phases r, with zeros beyond the kernel

    (KH, KW, C_out, C_in) -> (QH, QW, C_in, s s C_out)
    """
    (h, w), (s, t) = kernel.shape[:2], stride
    kernel = array_module(kernel).pad(kernel, ((0, -h % s), (0, -w % t), (0, 0), (0, 0)))
    phases = kernel.reshape(-(-h // s), s, -(-w // t), t, *kernel.shape[2:])[::-1, :, ::-1]
    return phases.transpose(0, 2, 5, 1, 3, 4).reshape(*phases.shape[0:3:2], kernel.shape[3], s * t * kernel.shape[2])


# ---- what the caller gave


def _check_kernel(operation: str, kernel: Any) -> None:
    if kernel.ndim != 4 or 0 in kernel.shape:
        order = "C_out, C_in" if operation == "conv_transpose2d" else "C_in, C_out"
        raise ShapeError(operation, f"a kernel of shape (KH, KW, {order})", f"shape {kernel.shape}")


def _check_images(operation: str, x: Any) -> None:
    if x.ndim != 4 or 0 in x.shape[1:]:
        raise ShapeError(operation, "x of shape (N, H, W, C), each of H, W and C at least 1", f"shape {x.shape}")


def _check_floats(operation: str, x: Any, kernel: Any) -> None:
    if numpy.result_type(x.dtype, kernel.dtype).kind != "f":
        raise InputError(operation, "images or a kernel of floating-point numbers", f"{x.dtype} and {kernel.dtype}")


def _check_channels(operation: str, x: Any, kernel: Any, channels: int) -> None:
    _check_floats(operation, x, kernel)
    if x.ndim != 4 or x.shape[3] != channels:
        first = x.ndim == 4 and x.shape[1] == channels
        hint = "channels come last: x.transpose(0, 2, 3, 1)" if first else ""
        expected = f"x of shape (N, H, W, {channels}) for a kernel of shape {kernel.shape}"
        raise ShapeError(operation, expected, f"shape {x.shape}", hint)
    _check_images(operation, x)


def _geometry(
    operation: str, shape: Sequence[int], kernel: Sequence[int], stride: Stride, padding: Padding
) -> tuple[tuple[int, int], list[tuple[int, int]], list[int]]:
    """Returns (down, across), ((top, bottom), (left, right)) and (H', W') of a convolution of (N, H, W, C)."""
    stride = pair_of(operation, "a stride", stride)
    margins = margins_of(operation, padding, shape[1:3], kernel, stride)
    padded = [n + sum(margin) for n, margin in zip(shape[1:3], margins, strict=True)]
    if any(n < k for n, k in zip(padded, kernel, strict=False)):
        expected = f"images of at least {kernel[0]} x {kernel[1]} pixels with padding, as the kernel"
        raise ShapeError(operation, expected, f"{padded[0]} x {padded[1]} of x of shape {tuple(shape)}")
    return stride, margins, [(n - k) // s + 1 for n, k, s in zip(padded, kernel, stride, strict=False)]


def _transposed_geometry(
    shape: Sequence[int],
    kernel: Sequence[int],
    stride: Stride,
    padding: Padding,
    output_shape: tuple[int, int] | None,
) -> tuple[tuple[int, int], list[tuple[int, int]], tuple[int, int]]:
    """Returns stride, margins and (H', W') of a transposed convolution of x (N, H, W, C), as _geometry does."""
    operation, size = "conv_transpose2d", tuple(shape[1:3])
    stride = pair_of(operation, "a stride", stride)
    if output_shape is not None:
        output_shape = pair_of(operation, "output_shape (H', W')", output_shape)
        if _geometry(operation, (shape[0], *output_shape, kernel[2]), kernel, stride, padding)[2] != list(size):
            expected = f"an output_shape that the convolution takes to the {size[0]} x {size[1]} of x"
            raise ShapeError(operation, expected, str(output_shape))
    elif isinstance(padding, str) and padding == "same":
        output_shape = (stride[0] * size[0], stride[1] * size[1])
    margins = margins_of(operation, padding, output_shape, kernel, stride)
    if output_shape is None:
        output_shape = tuple(
            s * (n - 1) + k - sum(margin) for n, k, s, margin in zip(size, kernel, stride, margins, strict=False)
        )
        if min(output_shape) < 1:
            received = f"{output_shape[0]} x {output_shape[1]} of x of shape {tuple(shape)}, kernel {tuple(kernel)}"
            raise ShapeError(operation, "an output of at least 1 x 1 pixels without padding", received)
    return stride, margins, output_shape


def margins_of(
    operation: str, padding: Padding, size: Sequence[int] | None, kernel: Sequence[int], stride: tuple[int, int]
) -> list[tuple[int, int]]:
    """Returns the margins of zeros ((top, bottom), (left, right)); only padding "same" needs the size (H, W)."""
    if isinstance(padding, str) and padding == "same":
        totals = [max(0, (-(-n // s) - 1) * s + k - n) for n, k, s in zip(size, kernel, stride, strict=False)]
        return [(total // 2, total - total // 2) for total in totals]
    value = 0 if isinstance(padding, str) and padding == "valid" else padding
    sides = value if isinstance(value, (tuple, list)) else (value, value)
    margins = [tuple(side) if isinstance(side, (tuple, list)) else (side, side) for side in sides]
    if len(margins) != 2 or not all(
        len(margin) == 2 and all(isinstance(n, Integral) and n >= 0 for n in margin) for margin in margins
    ):
        expected = 'padding as an int from 0, (h, w), ((top, bottom), (left, right)), "valid" or "same"'
        raise InputError(operation, expected, repr(padding))
    return margins


def pair_of(operation: str, what: str, value: int | tuple[int, int]) -> tuple[int, int]:
    """Returns (down, across), given as one int for both, or as two."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(isinstance(n, Integral) and n >= 1 for n in pair):
        raise InputError(operation, f"{what} of at least 1, one or two integers", repr(value))
    return int(pair[0]), int(pair[1])
