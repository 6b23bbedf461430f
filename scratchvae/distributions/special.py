"""Special functions come from SciPy or CuPy, and counts are checked before they reach them."""

from __future__ import annotations

from typing import Any

import numpy

from scratchvae.backend import array_module, device_of
from scratchvae.errors import DataError


def special(x: Any) -> Any:
    """Returns the module of special functions for the device of x: SciPy's or CuPy's."""
    if device_of(x) == "cpu":
        from scipy import special
    else:
        from cupyx.scipy import special
    return special


def stirling_error(x: Any) -> Any:
    """log x! - x log x + x for whole numbers x: about log(2 pi x) / 2, and 0 for 0; computed in float64, rounded to
    the type of x
    """
    xp = array_module(x)
    n = x.astype(numpy.float64)
    return (special(n).gammaln(n + 1) - n * xp.log(xp.maximum(n, 1)) + n).astype(x.dtype)


def check_counts(likelihood: str, support: str, x: Any) -> None:
    """Raises DataError, with the name of the likelihood, for negative values and values that are not whole numbers."""
    wrong = x[(x < 0) | (x != array_module(x).floor(x))]
    if wrong.size:
        hint = "sv.data.load divides bytes of type uint8 by 255; another type of integers keeps its values"
        is_grey = 0 <= float(x.min()) and float(x.max()) <= 1
        value = f"{float(wrong[0]):g}"
        raise DataError(f"data for a {likelihood} likelihood", support, value, hint if is_grey else "")
