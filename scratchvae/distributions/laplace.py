"""The Laplace distribution joins two exponential distributions, one on each side of its mean."""

from __future__ import annotations

import math
from typing import Any

from scratchvae import ops
from scratchvae.autodiff import no_grad
from scratchvae.backend import array_module
from scratchvae.distributions.distribution import Distribution
from scratchvae.distributions.event import check_event, sum_event
from scratchvae.distributions.integration import on_the_line


class Laplace(Distribution):
    """p(x) = product over the event of exp(-abs(x - m) / b) / (2 b),   m = mean, log b = log_scale

    Parameters
    ----------
    mean : array or Tensor, (N, D)
    log_scale : array or Tensor
        log b, in any shape that broadcasts to the mean's, such as () for one scale.
    event_ndim : int
        The number of trailing axes that make one event: 1 for vectors, 3 for images.

    Attributes
    ----------
    mean, log_scale, event_ndim
        The parameters of these names.

    See Also
    --------
    Normal : lighter tails.
    StudentT : heavier tails.

    Examples
    --------
    >>> import math, numpy
    >>> from scratchvae.distributions import Laplace
    >>> p = Laplace(numpy.zeros((1, 2)), numpy.zeros(()))
    >>> math.isclose(p.log_prob(numpy.array([[1.0, -2.0]]))[0], -3 - 2 * math.log(2))
    True
    """

    def __init__(self, mean: Any, log_scale: Any, event_ndim: int = 1) -> None:
        self.mean, self.log_scale, self.event_ndim = mean, log_scale, event_ndim

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the mean."""
        return self.mean.shape

    @property
    def std(self) -> Any:
        """The standard deviation, sqrt(2) b."""
        return math.sqrt(2) * ops.exp(self.log_scale)

    @property
    def kinks(self) -> tuple[Any, ...]:
        """The density has its tip at the mean."""
        return (self.mean,)

    def sample(self, noise: Any) -> Any:
        """x = m +- b log(2 min(u, 1 - u)), + below u = 1/2, for uniform noise u: an array.   (..., N, D) -> the same

        This is the inverse of the distribution function. u = 0, which noise on a grid can hit, counts as the middle of
        its cell, so that x is finite.
        """
        xp = array_module(noise)
        tail = 2 * xp.minimum(noise, 1 - noise)
        distance = xp.log(xp.maximum(tail, float(xp.finfo(noise.dtype).eps) / 2))
        with no_grad():
            return self.mean + ops.exp(self.log_scale) * xp.where(noise < 0.5, distance, -distance)

    def log_prob(self, x: Any) -> Any:
        """log p(x) = sum over the event of -abs(x - m) / b - log b - log 2, in nats.   (N, D) -> (N,)"""
        check_event("Laplace.log_prob", x, self)
        distance = ops.abs(x - self.mean) * ops.exp(-self.log_scale)
        return sum_event(-distance - (self.log_scale + math.log(2)), self)

    def entropy(self) -> Any:
        """H = sum over the event of log b + log(2 e), in nats.   (N,)"""
        return sum_event(ops.broadcast_to(self.log_scale + math.log(2 * math.e), self.shape), self)

    def quadrature(self, *others: Distribution) -> tuple[Any, Any]:
        """Returns the rule over m +- 45 b, in panels of 5 b, see `Distribution.quadrature`."""
        return on_the_line(self, others, ops.exp(self.log_scale), reach=45.0, width=5.0)
