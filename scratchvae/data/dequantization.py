"""How 8-bit grey values become data of a Gaussian likelihood."""

from __future__ import annotations

from typing import Any

from scratchvae.backend import array_module
from scratchvae.errors import DataError


def dequantize(images: Any, noise: Any) -> Any:
    """x in {0, 1/255, ..., 1} -> (255 x + u) / 256,   u ~ Uniform(0, 1): the same shape and type

    The mean of a density over the cell of a grey value is its probability times 256^D, D = H W C. So the expectation
    over u of log p(x), for a density p, is at most the log probability of the 8-bit image plus D log 256, and a model
    cannot gain by spikes at the grey values; see `scratchvae.evaluation.bits_per_dimension`.

    Raises DataError for values that are no multiples of 1/255 in [0, 1].
    Source: Theis, van den Oord & Bethge (2016), "A note on the evaluation of generative models", section 3.1.
    """
    xp = array_module(images)
    values = xp.rint(255 * images)
    if not bool((abs(255 * images - values) < 1e-2).all()) or values.min() < 0 or values.max() > 255:
        raise DataError(
            "dequantize", "multiples of 1/255 from 0 to 1", "other values", "images as sv.data.load has them"
        )
    return (values + noise.uniform("dequantization", images.shape)) / 256
