"""The base of all distributions says which data they accept, what their ELBO is called, and how to integrate them."""

from __future__ import annotations

import math
from typing import Any

from scratchvae.arrays import shortened
from scratchvae.nn import Module


class Distribution(Module):
    """p(x) for one event x, the trailing event_ndim axes of an array: the base of all distributions

    A subclass defines `shape`, `mean`, `sample` and `log_prob`. For the rows of `scratchvae check` it also defines
    `quadrature`, and its constructor takes the parameters in the order of its attributes. `sample` takes noise, one
    number for every entry: uniform, or normal if `noise` says so. Distributions of sequences have no mean, and their
    `sample` draws one step after the other from a Noise. The likelihood of a decoder also says which data it accepts
    and what their ELBO is called; by default it is a density of real numbers.

    Attributes
    ----------
    event_ndim : int
        The number of trailing axes that make one event.
    support : str
        The values that data may have, in words.
    data_kinds : str
        The kinds of dtype that data may have.
    bounds : (float, float)
        The lowest and the highest value in the support.
    noise : str
        The method of Noise whose numbers `sample` takes.

    See Also
    --------
    scratchvae.kl : the divergence of two distributions.
    Normal, Bernoulli : the most used ones.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.distributions import Bernoulli, Distribution
    >>> p = Bernoulli(numpy.zeros((4, 3)))
    >>> isinstance(p, Distribution), p.shape, p.support, p.noise
    (True, (4, 3), 'values in [0, 1]', 'uniform')
    """

    event_ndim: int
    shape: Any
    mean: Any
    support = "real numbers"
    data_kinds = "f"
    bounds = (-math.inf, math.inf)
    noise = "uniform"

    def __repr__(self) -> str:
        """Returns the parameters, shortened, so that a notebook's cell prints one line and no array."""
        parts = (f"{name}={shortened(value)}" for name, value in vars(self).items())
        return f"{type(self).__name__}({', '.join(parts)})"

    @classmethod
    def check_data(cls, x: Any) -> None:
        """Raises DataError for finite numbers outside the support.   x: array of any shape"""

    @classmethod
    def quantity(cls, x: Any = None) -> str:
        """Returns the sentence that names the ELBO of the data x, or of any data if x is None."""
        advice = "; 8-bit values are to be dequantised" if x is None or _are_bytes(x) else ""
        return f"lower bound of log p(x), a density of real numbers{advice}"

    @property
    def kinks(self) -> tuple[Any, ...]:
        """The points, in arrays of the shape of one event, where the density is not smooth."""
        return ()

    def average(self, weights: Any) -> Any:
        """E[x] = sum over s of w_s E_s[x], the mean of a mixture of S such distributions.   ``(S, N) -> (N, *event)``,
        an array
        """
        return (weights.reshape(*weights.shape, *[1] * self.event_ndim) * self.mean).sum(axis=0)

    def draw(self, noise: Any) -> Any:
        """x ~ p(x), drawn with numbers from a Noise: an array of the distribution's shape

        Distributions of sequences have `sample` alone.
        """
        return self.sample(getattr(noise, self.noise)("x", self.shape))  # type: ignore[attr-defined]

    def quadrature(self, *others: Distribution) -> tuple[Any, Any]:
        """Returns points x and weights w with E[f] = sum of w p(x) f(x), for one event.   ``(G, *event), (G,)``

        Both are NumPy arrays. The sum is exact to rounding for a smooth f, and for an f with kinks at the kinks of the
        other densities.
        """
        raise NotImplementedError(f"{type(self).__name__} has no quadrature")


def as_likelihood(kind: type) -> type[Distribution]:
    """Returns the class itself, or Distribution, which accepts any real numbers, if the class is not a subclass."""
    return kind if issubclass(kind, Distribution) else Distribution


def _are_bytes(x: Any) -> bool:
    """Returns whether the values are 8-bit pixels: 0, 1, ..., 255, or these divided by 255."""
    low, high = float(x.min()), float(x.max())
    if low < 0 or high > 255:
        return False
    pixels = x if high > 1 else 255 * x
    return bool((abs(pixels - pixels.round()) < 1e-3).all())
