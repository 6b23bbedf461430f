"""Distributions own their parameters, and are the only code that samples, scores or compares."""

from scratchvae.distributions.bernoulli import Bernoulli
from scratchvae.distributions.categorical import Categorical
from scratchvae.distributions.kl import kl, register_kl
from scratchvae.distributions.normal import Normal

__all__ = ["Bernoulli", "Categorical", "Normal", "kl", "register_kl"]
