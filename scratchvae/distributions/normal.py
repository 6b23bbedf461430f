"""The normal distribution, with a diagonal covariance matrix, is the distribution of latent variables and real data."""

from __future__ import annotations

import math
from typing import Any

from scratchvae import ops
from scratchvae.autodiff import no_grad
from scratchvae.distributions.distribution import Distribution
from scratchvae.distributions.event import check_event, sum_event
from scratchvae.distributions.integration import on_the_line


class Normal(Distribution):
    """p(x) = product over the event of (2 pi s^2)^(-1/2) exp(-(x - m)^2 / (2 s^2)),   m = mean, log s = log_std

    Parameters
    ----------
    mean : array or Tensor, (N, K)
    log_std : array or Tensor
        log s, in any shape that broadcasts to the mean's, such as () for one standard deviation.
    event_ndim : int
        The number of trailing axes that make one event: 1 for vectors, 3 for images.

    Attributes
    ----------
    mean, log_std, event_ndim
        The parameters of these names.

    See Also
    --------
    NormalMixture : several of them, weighted.
    Laplace, StudentT : heavier tails.
    scratchvae.models.GaussianDecoder : the decoder of this likelihood.

    Examples
    --------
    >>> import math, numpy
    >>> from scratchvae.distributions import Normal
    >>> p = Normal(numpy.array([[1.0, 2.0]]), numpy.log(3.0))
    >>> p.reparameterize(numpy.array([[-1.0, 1.0]])).round(6)
    array([[-2.,  5.]])
    >>> math.isclose(p.log_prob(p.mean)[0], -math.log(2 * math.pi * 9))
    True
    """

    noise = "normal"

    def __init__(self, mean: Any, log_std: Any, event_ndim: int = 1) -> None:
        self.mean, self.log_std, self.event_ndim = mean, log_std, event_ndim

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the mean."""
        return self.mean.shape

    @property
    def std(self) -> Any:
        """s = exp(log_std)"""
        return ops.exp(self.log_std)

    def reparameterize(self, noise: Any) -> Any:
        """x = m + s e for e ~ Normal(0, I): a draw that can be differentiated by m and s.   (..., N, K) -> (..., N, K)

        Source: deck, "Reparameterization trick for the encoder"; Kingma & Welling (2014), section 2.4.
        """
        return ops.normal_draw(self.mean, self.log_std, noise)

    def sample(self, noise: Any) -> Any:
        """Returns the draw of `reparameterize` as an array, without a gradient.   (..., N, K) -> (..., N, K)"""
        with no_grad():
            return self.reparameterize(noise)

    def log_prob(self, x: Any) -> Any:
        """log p(x) = sum over the event of -(x - m)^2 / (2 s^2) - log s - log(2 pi) / 2, in nats.   (N, K) -> (N,)"""
        check_event("Normal.log_prob", x, self)
        return ops.normal_log_prob(x, self.mean, self.log_std, event_ndim=self.event_ndim)

    def entropy(self) -> Any:
        """H = sum over the event of log s + log(2 pi e) / 2, in nats.   (N,)"""
        return sum_event(ops.broadcast_to(self.log_std + 0.5 * math.log(2 * math.pi * math.e), self.shape), self)

    def quadrature(self, *others: Distribution) -> tuple[Any, Any]:
        """Returns the rule over m +- 12 s, in panels of 2 s, see `Distribution.quadrature`."""
        return on_the_line(self, others, ops.exp(self.log_std), reach=12.0, width=2.0)
