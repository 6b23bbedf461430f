"""The negative binomial distribution describes counts whose variance exceeds their mean."""

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
from scratchvae.distributions.stirling import stirling_remainder


class NegativeBinomial(Distribution):
    """p(x) = product over the event of Gamma(x + t) / (x! Gamma(t)) (t / (t + m))^t (m / (t + m))^x,   x in {0, 1, ...}

    m is the mean, log m = log_mean, and t the inverse dispersion, log t = log_dispersion. The variance is m + m^2 / t:
    x is a Poisson count whose rate is drawn from a gamma distribution with mean m and shape t. For large t it is
    Poisson(m).

    Source: Lopez, Regier, Cole, Jordan & Yosef (2018), "Deep generative modeling for single-cell transcriptomics", for
    the two parameters.

    Parameters
    ----------
    log_mean : array or Tensor, (N, D)
    log_dispersion : array or Tensor
        log t, in any shape that broadcasts to the mean's, such as (D,) for one number per column.
    event_ndim : int
        The number of trailing axes that make one event: 1 for vectors, 3 for images.

    Attributes
    ----------
    log_mean, log_dispersion, event_ndim
        The parameters of these names.

    See Also
    --------
    Poisson : counts whose variance equals their mean.
    scratchvae.models.NegativeBinomialDecoder : the decoder of this likelihood.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.distributions import NegativeBinomial
    >>> p = NegativeBinomial(numpy.zeros((1, 1)), numpy.zeros(1))  # m = t = 1: p(x) = 2^-(x + 1)
    >>> p.mean, (p.std**2).round(6)
    (array([[1.]]), array([[2.]]))
    >>> float(numpy.exp(p.log_prob(numpy.array([[2]])))[0].round(6))
    0.125
    """

    support = "whole numbers of at least 0"
    data_kinds = "fiu"
    bounds = (0.0, math.inf)

    def __init__(self, log_mean: Any, log_dispersion: Any, event_ndim: int = 1) -> None:
        self.log_mean, self.log_dispersion, self.event_ndim = log_mean, log_dispersion, event_ndim

    @classmethod
    def check_data(cls, x: Any) -> None:
        """Raises DataError for negative values and for values that are not whole numbers."""
        check_counts("negative binomial", cls.support, x)

    @classmethod
    def quantity(cls, x: Any = None) -> str:
        """Returns the same sentence for all counts: the ELBO is a lower bound on the log of their probability."""
        return "lower bound of log p(x), a probability of counts"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the log means."""
        return self.log_mean.shape

    @property
    def mean(self) -> Any:
        """m = exp(log_mean)"""
        return ops.exp(self.log_mean)

    @property
    def std(self) -> Any:
        """sqrt(m + m^2 / t)"""
        return ops.sqrt(self.mean * (1 + ops.exp(self.log_mean - self.log_dispersion)))

    def sample(self, noise: Any) -> Any:
        """x = the first whole number whose cumulated probability exceeds uniform noise: an array.   (..., N, D)

        It is found by bisection between Cantelli's bounds on a quantile, m - s sqrt((1 - u) / u) and
        m + s sqrt(u / (1 - u)), where s is the standard deviation. The cumulated probability is the regularised
        incomplete beta function I(t, x + 1; t / (t + m)). u = 0 counts as the middle of its cell, as in
        `Laplace.sample`.
        """
        with no_grad():
            mean, dispersion = self.mean, ops.exp(self.log_dispersion)
        xp, m, t = array_module(mean), mean.astype(numpy.float64), dispersion.astype(numpy.float64)
        u = xp.maximum(noise, float(xp.finfo(noise.dtype).eps) / 4).astype(numpy.float64)
        std, share = xp.sqrt(m + m * m / t), t / (t + m) + 0 * u
        low = xp.maximum(xp.floor(m - std * xp.sqrt((1 - u) / u)), 0) - 1
        high = xp.ceil(m + std * xp.sqrt(u / (1 - u))) + 1
        t = t + 0 * u
        for _ in range(math.ceil(math.log2(float((high - low).max()))) + 1):  # x lies above low and not above high
            middle = xp.ceil((low + high) / 2)
            exceeds = special(m).betainc(t, middle + 1, share) > u
            low, high = xp.where(exceeds, low, middle), xp.where(exceeds, middle, high)
        return high.astype(mean.dtype)

    def log_prob(self, x: Any) -> Any:
        """log p(x) = sum over the event of log Gamma(x + t) - log Gamma(t) - log x! - t log(1 + m / t)

        - x log(1 + t / m), in nats.   (N, D) -> (N,)

        With the function r of `stirling_remainder` it is computed as

            t log((t + x) / (t + m)) + x log((m / x) (t + x) / (t + m)) - log(1 + x / t) / 2 + r(t + x) - r(t)
            - (log x! - x log x + x)

        These terms are small where p(x) is large, and approach those of `Poisson.log_prob` for large t. The terms of
        the first equation would cancel and lose digits.
        """
        check_event("NegativeBinomial.log_prob", x, self)
        x = x.astype(self.log_mean.dtype, copy=False)
        t, a = ops.exp(self.log_dispersion), self.log_mean - self.log_dispersion
        log_total = ops.softplus(a)  # log(1 + m / t)
        log_x = array_module(x).log(array_module(x).maximum(x, 1))
        log_with_x = ops.where(x > 0, ops.softplus(log_x - self.log_dispersion), 0.0)  # log(1 + x / t)
        moved = log_with_x - log_total
        values = t * moved + x * (self.log_mean - log_x + moved) - 0.5 * log_with_x
        return sum_event(values + stirling_remainder(t + x) - stirling_remainder(t) - stirling_error(x), self)

    def quadrature(self, *others: Distribution) -> tuple[Any, Any]:
        """Returns the sum over the whole numbers up to where the tail falls below rounding, see
        `Distribution.quadrature`.
        """
        rules = []
        for m, t in zip(*entries(self, ops.exp(self.log_mean), ops.exp(self.log_dispersion)), strict=True):
            reach = m + 12 * math.sqrt(m + m * m / t) + 45 / math.log1p(t / m) + 40
            x = numpy.arange(math.ceil(reach) + 1.0)
            rules.append((x, numpy.ones(len(x))))
        return product(self, rules)
