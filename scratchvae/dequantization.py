"""How grey values, and offsets in whole pixels, become data of a density."""

from __future__ import annotations

from typing import Any

from scratchvae.arrays import as_floats
from scratchvae.backend import array_module, is_readable
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


def dequantize_sketches(sketches: Any, noise: Any) -> Any:
    """(dx, dy) in whole pixels -> (dx, dy) + u,   u ~ Uniform(-1/2, 1/2)^2: the same shape and type, (N, T, 5)

    The pen's states do not change, nor do the rows from the end on. The mean of a density over the cell of a lattice
    point is its probability, so that the expectation over u of log p(x) is at most the log probability of the sketch,
    and no model gains by spikes at whole numbers: minus an ELBO of these data, divided by log 2, is in bits.

    Raises DataError unless the sketches are floating-point numbers (N, T, 5), and for offsets that are not whole, if
    the host can read them.
    Source: as for `dequantize`.
    """
    shape = getattr(sketches, "shape", ())
    if getattr(getattr(sketches, "dtype", None), "kind", None) != "f" or len(shape) != 3 or shape[2] != 5:
        raise DataError("dequantize_sketches", "sketches (N, T, 5) of floating-point numbers", f"the shape {shape}")
    xp, offsets = array_module(sketches), sketches[:, :, :2]
    if is_readable(offsets):
        check_whole(offsets)
    u = noise.uniform("dequantization", offsets.shape) - 0.5
    return xp.concatenate([offsets + u * (1 - sketches[:, :, 4:]), sketches[:, :, 2:]], axis=2)


def check_whole(sketches: Any) -> None:
    """Raises DataError unless dx and dy are whole numbers.   (N, T, 2 or more)"""
    offsets = sketches[:, :, :2]
    if not bool((offsets == array_module(offsets).rint(offsets)).all()):
        raise DataError("dequantize_sketches", "offsets that are whole numbers", "others", "they need no noise")
