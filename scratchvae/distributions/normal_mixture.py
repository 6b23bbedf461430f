"""A mixture of Gaussians with diagonal covariance matrices serves as a prior that can be learned."""

from __future__ import annotations

from typing import Any

from scratchvae import ops
from scratchvae.autodiff import no_grad
from scratchvae.distributions.categorical import Categorical
from scratchvae.distributions.distribution import Distribution
from scratchvae.distributions.event import check_event
from scratchvae.distributions.normal import Normal


class NormalMixture(Distribution):
    """p(z) = sum over c of w_c Normal(z; m_c, diag(s_c^2)),   w = softmax(logits)

    All z of a batch have the same mixture as their distribution.

    Parameters
    ----------
    logits : array or Tensor, (C,)
    means, log_stds : arrays or Tensors, (C, K)

    Attributes
    ----------
    logits, means, log_stds
        The parameters of these names. Tensors are trained with the model that has the mixture as its prior.

    See Also
    --------
    Normal : one component.
    BivariateMixture : components in the plane, each with its own correlation.
    scratchvae.models.VampPrior : a mixture of the encoder's posteriors.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.distributions import NormalMixture
    >>> p = NormalMixture(numpy.log([1.0, 3.0]), numpy.array([[0.0, 4.0], [8.0, 4.0]]), numpy.zeros((2, 2)))
    >>> p, p.mean.round(6)
    (sum over 2 c of w_c Normal(m_c, diag(s_c^2)), array([6., 4.]))
    >>> p.sample(numpy.array([0.2, 0.3]), numpy.zeros((2, 2)))  # the first component below u = 1/4
    array([[0., 4.],
           [8., 4.]])
    """

    event_ndim = 1

    def __init__(self, logits: Any, means: Any, log_stds: Any) -> None:
        self.logits, self.means, self.log_stds = logits, means, log_stds

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one z, (K,)."""
        return self.means.shape[-1:]

    @property
    def n_components(self) -> int:
        """C, the number of components."""
        return len(self.logits)

    @property
    def mean(self) -> Any:
        """sum of w_c m_c.   (K,)"""
        return ops.sum(ops.expand_dims(ops.softmax(self.logits), -1) * self.means, axis=0)

    def log_prob(self, z: Any) -> Any:
        """log p(z) = log sum of w_c Normal(z; m_c, diag(s_c^2)), in nats.   (..., K) -> (...)

        Each z is compared with every component, which takes C K numbers for each z.
        """
        check_event("NormalMixture.log_prob", z, self)
        of_components = Normal(self.means, self.log_stds).log_prob(ops.expand_dims(z, -2))
        return ops.logsumexp(ops.log_softmax(self.logits) + of_components, axis=-1)

    def sample(self, uniform: Any, normal: Any) -> Any:
        """z = m_c + s_c e,   uniform noise chooses c, e is normal noise: an array.   (...), (..., K) -> (..., K)"""
        with no_grad():
            c = Categorical(self.logits).sample(uniform)
            return self.means[c] + ops.exp(self.log_stds)[c] * normal

    def __repr__(self) -> str:
        return f"sum over {self.n_components} c of w_c Normal(m_c, diag(s_c^2))"
