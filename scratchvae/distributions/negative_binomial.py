"""Counts that vary more than a Poisson distribution lets them."""

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

    with the mean m, log m = log_mean, and the inverse dispersion t, log t = log_dispersion. Its variance is
    m + m^2 / t: x is Poisson of a rate that is drawn from a gamma distribution of mean m and shape t, and for large t
    it is Poisson(m).

    log_mean, log_dispersion: arrays or Tensors, (N, D); the second may have any shape that broadcasts to the first's.

    Source: Lopez, Regier, Cole, Jordan & Yosef (2018), "Deep generative modeling for single-cell transcriptomics", for
    the two parameters.
    """

    support = "whole numbers of at least 0"
    data_kinds = "fiu"
    bounds = (0.0, math.inf)

    def __init__(self, log_mean: Any, log_dispersion: Any, event_ndim: int = 1) -> None:
        self.log_mean, self.log_dispersion, self.event_ndim = log_mean, log_dispersion, event_ndim

    @classmethod
    def check_data(cls, x: Any) -> None:
        """Raise DataError for values that are no counts: negative ones, and those between whole numbers."""
        check_counts("negative binomial", cls.support, x)

    @classmethod
    def quantity(cls, x: Any = None) -> str:
        """A bound of the probability of counts, whatever they are."""
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

        By bisection between the bounds that mean and standard deviation s give to a quantile (Cantelli's inequality),
        m - s sqrt((1 - u) / u) and m + s sqrt(u / (1 - u)); the cumulated probability is the regularised incomplete
        beta function I(t, x + 1; t / (t + m)). u = 0 counts as the middle of its cell, as in `Laplace.sample`.
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

        With r of `stirling_remainder` it is computed as t log((t + x) / (t + m)) + x log((m / x) (t + x) / (t + m))
        - log(1 + x / t) / 2 + r(t + x) - r(t) - (log x! - x log x + x): terms that are small where p(x) is large, and
        that go to those of `Poisson.log_prob` for large t. The terms above would lose digits to each other.
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
        """As in Distribution; the sum over the whole numbers up to where the tail has fallen below rounding."""
        rules = []
        for m, t in zip(*entries(self, ops.exp(self.log_mean), ops.exp(self.log_dispersion)), strict=True):
            reach = m + 12 * math.sqrt(m + m * m / t) + 45 / math.log1p(t / m) + 40
            x = numpy.arange(math.ceil(reach) + 1.0)
            rules.append((x, numpy.ones(len(x))))
        return product(self, rules)
