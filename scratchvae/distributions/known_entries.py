"""A vector of which some entries are not known."""

from __future__ import annotations

from typing import Any

from scratchvae import ops
from scratchvae.backend import array_module
from scratchvae.distributions.distribution import Distribution
from scratchvae.distributions.normal import Normal


class KnownEntries(Distribution):
    """p(t) of the known entries of t, an independent normal distribution each; NaN: not known.

    Infinity is known, and has density 0.
    """

    event_ndim = 1

    def __init__(self, normal: Normal) -> None:
        self.normal = normal

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of t."""
        return self.normal.shape

    @property
    def mean(self) -> Any:
        """E[t]"""
        return self.normal.mean

    def log_prob(self, t: Any) -> Any:
        """log p(t) = sum over the known entries of their log densities, in nats.   (..., P) -> (...)"""
        known = ~array_module(t).isnan(t)
        log_p = self.normal.log_prob(array_module(t).where(known, t, 0.0))
        return ops.sum(ops.where(known, log_p, 0.0), axis=-1)
