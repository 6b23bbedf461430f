"""Independent coin flips."""

from __future__ import annotations

import math
from typing import Any

from scratchvae import ops
from scratchvae.autodiff import no_grad
from scratchvae.distributions.event import check_event, on_support, sum_event
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
        """log p(x) = sum over the event of x l - log(1 + e^l) for logits l, in nats.   (N, D) -> (N,)

        A logit of infinity makes x = 1 certain, log p = 0, and all else impossible, log p = -infinity; one of -infinity
        does so with x = 0.
        """
        check_event("Bernoulli.log_prob", x, self)
        certain = (self.logits >= math.inf) | (self.logits <= -math.inf)
        logits = ops.where(certain, 0.0, self.logits)
        log_p = ops.where(certain, -math.inf, x * logits - ops.softplus(logits))
        return sum_event(ops.where(certain & (x == (self.logits > 0)), 0.0, log_p), self)

    def log_means(self) -> tuple[Any, Any]:
        """log m = -log(1 + e^-l) and log(1 - m) = -log(1 + e^l), in nats.   (N, D) each"""
        return -ops.softplus(-self.logits), -ops.softplus(self.logits)

    def entropy(self) -> Any:
        """H = sum over the event of -m log m - (1 - m) log(1 - m), in nats.   (N,)"""
        m, opposite = self.mean, ops.sigmoid(-self.logits)
        log_m, log_opposite = self.log_means()
        return -sum_event(m * on_support(log_m, m) + opposite * on_support(log_opposite, opposite), self)
