"""Binarization: how grey values become data of a Bernoulli likelihood."""

from __future__ import annotations

import math
from typing import Any

from scratchvae.backend import array_module
from scratchvae.errors import InputError
from scratchvae.kernels import Kernel
from scratchvae.noise import Noise

COIN = Kernel("coin", "T u[i], T x[i]", "T pixel[i]", "pixel = u < x ? T(1) : T(0);")
"""[u < x], in one operation of a GPU."""
MODES = ("none", "threshold", "static", "dynamic")


def binarize(x: Any, mode: str, noise: Any, first_row: int = 0) -> Any:
    """x in [0, 1] -> x in {0, 1}, by the mode of a model's `binarize`; the same shape and type.

    "none"       x as it is; figures are then a Bernoulli cross-entropy on grey values, not a log-likelihood
    "threshold"  1 where x > 1/2
    "dynamic"    1 with probability x, drawn from the noise that is given
    "static"     1 with probability x, drawn from one noise for all time: row i always gets the same draws

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
    start = {"start": first_row * math.prod(x.shape[1:])} if first_row else {}
    u = noise.uniform("pixels", x.shape, **start)
    compiled = COIN.on_gpu(x, u)
    if not compiled:
        return (u < x).astype(x.dtype)
    pixels = array_module(x).empty(x.shape, dtype=x.dtype)
    compiled(u, x, pixels)
    return pixels
