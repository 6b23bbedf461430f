"""Distributions own their parameters, and are the only code that samples, scores or compares."""

from scratchvae.distributions.bernoulli import Bernoulli
from scratchvae.distributions.categorical import Categorical
from scratchvae.distributions.distribution import Distribution
from scratchvae.distributions.kl import kl, register_kl
from scratchvae.distributions.laplace import Laplace
from scratchvae.distributions.normal import Normal
from scratchvae.distributions.poisson import Poisson

__all__ = ["Bernoulli", "Categorical", "Distribution", "Laplace", "Normal", "Poisson", "kl", "register_kl"]
