"""The base of all distributions, which says which data one takes, what their ELBO is and how it is summed."""

from __future__ import annotations

import math
from typing import Any

from scratchvae.nn import Module


class Distribution(Module):
    """p(x) of one event x, the trailing event_ndim axes of an array: the base of all distributions.

    A subclass has `shape`, `mean`, `sample` and `log_prob`; for the rows of `scratchvae check` also `quadrature`, and a
    constructor that takes the parameters in the order in which it keeps them. `sample` takes uniform noise, a number
    for every entry. Two kinds have less: sequences have no mean, and draw each step after those before it, from a
    Noise; KnownEntries, which scores the properties of molecules, has no `sample`. The likelihood of a decoder also
    says which data it takes and what their ELBO is; by default it is a density of real numbers.
    """

    event_ndim: int
    support = "real numbers"
    data_kinds = "f"  # of the dtype that data may have
    bounds = (-math.inf, math.inf)  # of the values in the support

    @classmethod
    def check_data(cls, x: Any) -> None:
        """Raise DataError for finite numbers outside the support.   x: array of any shape"""

    @classmethod
    def quantity(cls, x: Any = None) -> str:
        """The sentence that says what the ELBO of the data x is; without x, of data that are not known."""
        advice = "; 8-bit values are to be dequantised" if x is None or _are_bytes(x) else ""
        return f"lower bound of log p(x), a density of real numbers{advice}"

    @property
    def kinks(self) -> tuple[Any, ...]:
        """The points, in arrays of the shape of one event, where the density is not smooth."""
        return ()

    def quadrature(self, *others: Distribution) -> tuple[Any, Any]:
        """Points x and weights w with E[f] = sum of w p(x) f(x), for one event.   NumPy's: (G, *event), (G,)

        It is exact to rounding for a smooth f, and for an f with kinks where the densities of the others have theirs.
        """
        raise NotImplementedError(f"{type(self).__name__} has no quadrature")


def as_likelihood(kind: type) -> type[Distribution]:
    """The class itself; Distribution, which takes any real numbers, for a class that is not derived from it."""
    return kind if issubclass(kind, Distribution) else Distribution


def _are_bytes(x: Any) -> bool:
    """Whether the values are those of 8-bit pixels: 0, 1, ..., 255, or these divided by 255."""
    low, high = float(x.min()), float(x.max())
    if low < 0 or high > 255:
        return False
    pixels = x if high > 1 else 255 * x
    return bool((abs(pixels - pixels.round()) < 1e-3).all())
