"""Binarization: how grey values become data of a Bernoulli likelihood."""

from __future__ import annotations

from typing import Any

from scratchvae.errors import InputError
from scratchvae.noise import Noise

MODES = ("none", "threshold", "static", "dynamic")


def binarize(x: Any, mode: str, noise: Any) -> Any:
    """x in [0, 1] -> x in {0, 1}, by the mode of a model's `binarize`; the same shape and type.

    "none"       x as it is; figures are then a Bernoulli cross-entropy on grey values, not a log-likelihood
    "threshold"  1 where x > 1/2
    "dynamic"    1 with probability x, drawn from the noise that is given
    "static"     1 with probability x, drawn from one noise for all time: row i always gets the same draws
    """
    if mode not in MODES:
        raise InputError("binarize", f"a mode among {', '.join(MODES)}", repr(mode))
    if mode == "none":
        return x
    if mode == "threshold":
        return (x > 0.5).astype(x.dtype)
    if mode == "static":
        noise = Noise(0, device=noise.device)
    return (noise.uniform("pixels", x.shape) < x).astype(x.dtype)
