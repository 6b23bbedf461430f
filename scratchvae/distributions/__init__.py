"""Distributions own their parameters, and are the only code that samples, scores or compares."""

from scratchvae.distributions.bernoulli import Bernoulli
from scratchvae.distributions.bivariate_mixture import BivariateMixture
from scratchvae.distributions.categorical import Categorical
from scratchvae.distributions.columns import Columns
from scratchvae.distributions.distribution import Distribution
from scratchvae.distributions.kl import kl, register_kl
from scratchvae.distributions.known_entries import KnownEntries
from scratchvae.distributions.laplace import Laplace
from scratchvae.distributions.normal import Normal
from scratchvae.distributions.poisson import Poisson
from scratchvae.distributions.sketch import SketchDistribution, SketchStep
from scratchvae.distributions.symbol_sequence import SymbolSequence

__all__ = [
    "Bernoulli",
    "BivariateMixture",
    "Categorical",
    "Columns",
    "Distribution",
    "KnownEntries",
    "Laplace",
    "Normal",
    "Poisson",
    "SketchDistribution",
    "SketchStep",
    "SymbolSequence",
    "kl",
    "register_kl",
]
