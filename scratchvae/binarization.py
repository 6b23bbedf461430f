"""Binarization: how grey values become data of a Bernoulli likelihood."""

from __future__ import annotations

import math
from typing import Any

import numpy

from scratchvae.backend import array_module, device_of
from scratchvae.errors import InputError
from scratchvae.kernels import Kernel
from scratchvae.noise import Noise
from scratchvae.philox import COUNTER, PHILOX, WORDS
from scratchvae.pixels import Rows, as_numbers

COIN = Kernel("coin", "T u[i], T x[i]", "T pixel[i]", "pixel = u < x ? T(1) : T(0);")
"""[u < x], in one operation of a GPU."""


def _from_rows(name: str, source: str, value: str) -> Kernel:
    """Returns the kernel of [u < x[rows]], whose four entries at 4 i have the uniforms u of the counter first + i."""
    text = f"""{WORDS}
        long long place = 4 * i / width, column = 4 * i % width, row = 0;
        for (int j = 0; j < 4 && 4 * i + j < n; ++j, ++column) {{
            if (column == width) {{ column = 0;  ++place; }}
            if (j == 0 || column == 0) row = (order[place] % height + height) % height;
            const T u = T(word[j] >> 8) * T(5.9604644775390625e-8);
            out[4 * i + j] = u < {value} ? T(1) : T(0);
        }}
    """
    return Kernel(name, f"{COUNTER}, int64 order[], int64 height, int64 width, {source} x[]", "T out[]", text, PHILOX)


FROM_FLOATS = _from_rows("pixels_from_floats", "T", "x[row * width + column]")
FROM_BYTES = _from_rows("pixels_from_bytes", "uint8", "T((float)x[row * width + column] / 255.0f)")
"""A minibatch of pixels, its rows gathered and drawn in one operation of a GPU; bytes k stand for k / 255."""
MODES = ("none", "threshold", "static", "dynamic")


def binarize(x: Any, mode: str, noise: Any, first_row: int = 0) -> Any:
    """x in [0, 1] -> x in {0, 1}, by the mode of a model's `binarize`; the same shape and type.

    "none"       x as it is; figures are then a Bernoulli cross-entropy on grey values, not a log-likelihood
    "threshold"  1 where x > 1/2
    "dynamic"    1 with probability x, drawn from the noise that is given
    "static"     1 with probability x, drawn from one noise for all time: row i always gets the same draws

    x is an array, or, if its pixels are drawn, Rows or Pixels; the result is always an array.
    first_row: the number of x's first row in a larger array, whose draws there it gets
    """
    if mode not in MODES:
        raise InputError("binarize", f"a mode among {', '.join(MODES)}", repr(mode))
    if mode == "none":
        return x
    if mode == "threshold":
        return (x > 0.5).astype(x.dtype)
    if mode == "static":
        noise = Noise(0, device=noise.device)
    if isinstance(x, Rows) and not first_row:
        drawn = _drawn_from_rows(x, noise)
        if drawn is not None:
            return drawn
    start = {"start": first_row * math.prod(x.shape[1:])} if first_row else {}
    u = noise.uniform("pixels", x.shape, **start)
    x = as_numbers(x, device_of(u))
    computed = COIN.computed(u, x)
    return computed[0] if computed else (u < x).astype(x.dtype)


def _drawn_from_rows(x: Rows, noise: Any) -> Any:
    """Returns [u < x] by the kernel that also gathers the rows, or None where it cannot: on the CPU, for one."""
    kernel = {x.dtype: FROM_FLOATS, numpy.dtype(numpy.uint8): FROM_BYTES}.get(x.array.dtype)
    on_gpu = type(noise) is Noise and noise.device == device_of(x.array) == "gpu"
    if kernel is None or x.rows is None or not on_gpu:
        return None
    pixels = array_module(x.array).empty(x.shape, dtype=x.dtype)
    rows, height, width = x.rows.astype(numpy.int64, copy=False), len(x.array), math.prod(x.shape[1:])
    return pixels if noise.fills(pixels, kernel, "pixels", rows, height, width, x.array) else None
