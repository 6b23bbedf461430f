"""A mixture of Gaussians in the plane, each with its own correlation, describes the offsets of a pen."""

from __future__ import annotations

import math
from typing import Any

from scratchvae import ops
from scratchvae.autodiff import no_grad
from scratchvae.backend import array_module
from scratchvae.distributions.categorical import Categorical
from scratchvae.distributions.distribution import Distribution
from scratchvae.distributions.event import check_event


class BivariateMixture(Distribution):
    """p(x) = sum over k of pi_k N(x; m_k, S_k),   pi = softmax(logits),   x in the plane

    S_k has the standard deviations (s_1, s_2) = exp(log_std) and the correlation rho = tanh r. All real numbers are
    valid parameters, and no formula subtracts nearly equal numbers, however close rho comes to 1 or -1.

    Source: Graves (2013), equations 23 to 25; Ha & Eck (2017), equation 3.

    Parameters
    ----------
    logits : array or Tensor, (..., M)
    means, log_stds : arrays or Tensors, (..., M, 2)
    r : array or Tensor, (..., M)
        The inverse hyperbolic tangents of the correlations.

    Attributes
    ----------
    logits, means, log_stds, r
        The parameters of these names.

    See Also
    --------
    NormalMixture : components with diagonal covariances, in any number of dimensions.
    SketchStep : a pen and an offset from such a mixture.

    Examples
    --------
    >>> import math, numpy
    >>> from scratchvae.distributions import BivariateMixture
    >>> one = BivariateMixture(numpy.zeros(1), numpy.zeros((1, 2)), numpy.zeros((1, 2)), numpy.zeros(1))
    >>> math.isclose(one.log_prob(numpy.zeros(2)), -math.log(2 * math.pi))
    True
    """

    event_ndim = 1

    def __init__(self, logits: Any, means: Any, log_stds: Any, r: Any) -> None:
        self.logits, self.means, self.log_stds, self.r = logits, means, log_stds, r

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a batch of points."""
        return (*self.logits.shape[:-1], 2)

    @property
    def mean(self) -> Any:
        """sum of pi_k m_k.   (..., 2)"""
        return ops.sum(ops.expand_dims(ops.softmax(self.logits), -1) * self.means, axis=-2)

    def log_prob(self, x: Any) -> Any:
        """log p(x) = log sum of pi_k N(x; m_k, S_k), in nats.   (..., 2) -> (...)

        With (u, v) = (x - m) / s,   log N = -log 2 pi - log s_1 - log s_2 - log(1 - rho^2) / 2 - Q / 2   and
        Q = (u^2 - 2 rho u v + v^2) / (1 - rho^2) = ((u - v)^2 (1 + e^2r) + (u + v)^2 (1 + e^-2r)) / 4,
        -log(1 - rho^2) / 2 = log cosh r = log(1 + e^2r) - r - log 2.
        """
        check_event("BivariateMixture.log_prob", x, self)
        standardized = (x[..., None, :] - self.means) * ops.exp(-self.log_stds)
        u, v = standardized[..., 0], standardized[..., 1]
        q = (ops.square(u - v) * (1 + ops.exp(2 * self.r)) + ops.square(u + v) * (1 + ops.exp(-2 * self.r))) / 4
        log_n = _log_cosh(self.r) - ops.sum(self.log_stds, axis=-1) - q / 2 - math.log(2 * math.pi)
        return ops.logsumexp(ops.log_softmax(self.logits) + log_n, axis=-1)

    def at_temperature(self, temperature: float) -> BivariateMixture:
        """Returns the mixture with logits / temperature and variances times temperature.

        Source: Ha & Eck (2017), equation 8.
        """
        return BivariateMixture(
            self.logits / temperature, self.means, self.log_stds + math.log(temperature) / 2, self.r
        )

    def sample(self, uniform: Any, normal: Any) -> Any:
        """x = m_k + (s_1 a, s_2 (rho a + b / cosh r)),   uniform noise chooses k, (a, b) is normal noise: an array.

        shape: (...), (..., 2) -> (..., 2).   1 / cosh r = sqrt(1 - rho^2)
        """
        with no_grad():
            k = Categorical(self.logits).sample(uniform)
            chosen = k[..., None] == array_module(k).arange(self.logits.shape[-1])
            mean = ops.sum(chosen[..., None] * self.means, axis=-2)
            std = ops.exp(ops.sum(chosen[..., None] * self.log_stds, axis=-2))
            r = ops.sum(chosen * self.r, axis=-1)
            a, b = normal[..., 0], normal[..., 1]
            return mean + std * ops.stack([a, ops.tanh(r) * a + ops.exp(-_log_cosh(r)) * b], axis=-1)


def _log_cosh(r: Any) -> Any:
    return ops.softplus(2 * r) - r - math.log(2)
