"""Mixtures of Gaussians with diagonal covariance matrices."""

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

    logits: array or Tensor, (C,); means, log_stds: (C, K). A batch of z shares the one mixture.
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

        Every z meets every component: C K numbers for each z.
        """
        check_event("NormalMixture.log_prob", z, self)
        of_components = Normal(self.means, self.log_stds).log_prob(ops.expand_dims(z, -2))
        return ops.logsumexp(ops.log_softmax(self.logits) + of_components, axis=-1)

    def sample(self, uniform: Any, normal: Any) -> Any:
        """z = m_c + s_c e for e of normal noise, c by uniform noise: an array.   (...), (..., K) -> (..., K)"""
        with no_grad():
            c = Categorical(self.logits).sample(uniform)
            return self.means[c] + ops.exp(self.log_stds)[c] * normal

    def __repr__(self) -> str:
        return f"sum over {self.n_components} c of w_c Normal(m_c, diag(s_c^2))"
