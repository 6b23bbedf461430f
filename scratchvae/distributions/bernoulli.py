"""Independent coin flips."""

from __future__ import annotations

from typing import Any

from scratchvae import ops
from scratchvae.autodiff import no_grad
from scratchvae.distributions.event import check_event, sum_event
from scratchvae.nn import Module


class Bernoulli(Module):
    """p(x) = product over the event of m^x (1 - m)^(1 - x),   m = sigmoid(logits),   x in {0, 1}

    logits: array or Tensor, (N, D). For x in between the same formula is a cross-entropy, not a log-likelihood.
    """

    def __init__(self, logits: Any, event_ndim: int = 1) -> None:
        self.logits, self.event_ndim = logits, event_ndim

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the logits."""
        return self.logits.shape

    @property
    def mean(self) -> Any:
        """m = sigmoid(logits)"""
        return ops.sigmoid(self.logits)

    def sample(self, noise: Any) -> Any:
        """x = 1 where u < m, else 0, for uniform noise u: an array.   (..., N, D) -> (..., N, D)"""
        with no_grad():
            m = self.mean
        return (noise < m).astype(m.dtype)

    def log_prob(self, x: Any) -> Any:
        """log p(x) = sum over the event of x l - log(1 + e^l) for logits l, in nats.   (N, D) -> (N,)"""
        check_event("Bernoulli.log_prob", x, self)
        return sum_event(x * self.logits - ops.softplus(self.logits), self)

    def entropy(self) -> Any:
        """H = sum over the event of log(1 + e^l) - m l, in nats.   (N,)"""
        return sum_event(ops.softplus(self.logits) - self.mean * self.logits, self)
