"""The Poisson distribution describes counts of independent events."""

from __future__ import annotations

import math
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.autodiff import no_grad
from scratchvae.backend import array_module
from scratchvae.distributions.distribution import Distribution
from scratchvae.distributions.event import check_event, sum_event
from scratchvae.distributions.integration import entries, product
from scratchvae.distributions.special import check_counts, special, stirling_error


class Poisson(Distribution):
    """p(x) = product over the event of r^x e^(-r) / x!,   log r = log_rate,   x in {0, 1, 2, ...}

    The mean and the variance are r.

    Parameters
    ----------
    log_rate : array or Tensor, (N, D)
    event_ndim : int
        The number of trailing axes that make one event: 1 for vectors, 3 for images.

    Attributes
    ----------
    log_rate, event_ndim
        The parameters of these names.

    See Also
    --------
    NegativeBinomial : counts whose variance exceeds their mean.
    scratchvae.models.PoissonDecoder : the decoder of this likelihood.

    Examples
    --------
    >>> import math, numpy
    >>> from scratchvae.distributions import Poisson
    >>> p = Poisson(numpy.log([[2.0, 2.0]]))
    >>> math.isclose(p.log_prob(numpy.array([[0, 3]]))[0], -2 + (math.log(2**3 / 6) - 2))
    True
    >>> p.sample(numpy.array([[0.2, 0.9]]))
    array([[1., 4.]])
    """

    support = "whole numbers of at least 0"
    data_kinds = "fiu"
    bounds = (0.0, math.inf)

    def __init__(self, log_rate: Any, event_ndim: int = 1) -> None:
        self.log_rate, self.event_ndim = log_rate, event_ndim

    @classmethod
    def check_data(cls, x: Any) -> None:
        """Raises DataError for negative values and for values that are not whole numbers."""
        check_counts("Poisson", cls.support, x)

    @classmethod
    def quantity(cls, x: Any = None) -> str:
        """Returns the same sentence for all counts: the ELBO is a lower bound on the log of their probability."""
        return "lower bound of log p(x), a probability of counts"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the log rates."""
        return self.log_rate.shape

    @property
    def mean(self) -> Any:
        """r = exp(log_rate)"""
        return ops.exp(self.log_rate)

    def sample(self, noise: Any) -> Any:
        """x = the first whole number whose cumulated probability exceeds uniform noise: an array.   (..., N, D)

        It is found by bisection within 12 sqrt(r) + 40 of r, where x always lies. The cumulated probability is the
        regularised incomplete gamma function Q(x + 1, r), whose tails SciPy computes for rates up to 1e6. u = 0 counts
        as the middle of its cell, as in `Laplace.sample`.
        """
        with no_grad():
            rate = self.mean
        xp = array_module(rate)
        r, u = rate.astype(numpy.float64), xp.maximum(noise, float(xp.finfo(noise.dtype).eps) / 4)
        spread = 12 * xp.sqrt(r) + 40
        low, high = xp.maximum(xp.floor(r - spread), 0) - 1 + 0 * u, xp.ceil(r + spread) + 0 * u
        for _ in range(math.ceil(math.log2(2 * float(spread.max()) + 2))):  # x lies above low and not above high
            middle = xp.ceil((low + high) / 2)
            exceeds = special(r).gammaincc(middle + 1, r) > u
            low, high = xp.where(exceeds, low, middle), xp.where(exceeds, middle, high)
        return high.astype(rate.dtype)

    def log_prob(self, x: Any) -> Any:
        """log p(x) = sum over the event of x l - e^l - log x! for log rates l, in nats.   (N, D) -> (N,)

        With d = l - log x it is computed as x (d - (e^d - 1)) - (log x! - x log x + x), whose terms are small where
        p(x) is large. The three terms of the first equation would cancel and lose digits for large counts.
        """
        check_event("Poisson.log_prob", x, self)
        x = x.astype(self.log_rate.dtype, copy=False)
        d = self.log_rate - array_module(x).log(array_module(x).maximum(x, 1))
        log_ratio = ops.where(x > 0, x * (d - ops.expm1(d)), -ops.exp(self.log_rate))
        return sum_event(log_ratio - stirling_error(x), self)

    def quadrature(self, *others: Distribution) -> tuple[Any, Any]:
        """Returns the sum over the whole numbers within 12 sqrt(r) + 40 of r, see `Distribution.quadrature`."""
        rules = []
        for r in entries(self, ops.exp(self.log_rate))[0]:
            spread = 12 * math.sqrt(r) + 40
            x = numpy.arange(max(math.floor(r - spread), 0), math.ceil(r + spread) + 1.0)
            rules.append((x, numpy.ones(len(x))))
        return product(self, rules)
