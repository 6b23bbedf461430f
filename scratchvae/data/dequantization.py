"""How grey values become data of a Gaussian likelihood."""

from __future__ import annotations

from typing import Any

from scratchvae.arrays import as_floats
from scratchvae.backend import array_module
from scratchvae.errors import DataError


def dequantize(images: Any, noise: Any) -> Any:
    """x in [0, 1], rounded to 0, 1/255, ..., 1 -> (255 x + u) / 256,   u ~ Uniform(0, 1): the same shape and type

    The mean of a density over the cell of an 8-bit image is its probability times 256^D, D = H W C. So the expectation
    over u of log p(x), for a density p, is at most the log probability of the image plus D log 256, and no model gains
    by spikes at the grey values; see `scratchvae.evaluation.bits_per_dimension`.

    Raises DataError for what is no floating-point array, an empty one, and values outside [0, 1].
    Source: Theis, van den Oord & Bethge (2016), "A note on the evaluation of generative models", section 3.1.
    """
    images = as_floats("dequantize", images)
    if images.size == 0:
        raise DataError("dequantize", "at least one image", f"shape {images.shape}")
    low, high = float(images.min()), float(images.max())
    if not 0 <= low <= high <= 1:
        raise DataError("dequantize", "values in [0, 1]", f"values from {low:g} to {high:g}", "divide bytes by 255")
    x = array_module(images).rint(255 * images)
    x += noise.uniform("dequantization", images.shape)
    x /= 256
    return x
