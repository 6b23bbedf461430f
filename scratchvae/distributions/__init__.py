"""Distributions hold their parameters, and are the only code that draws samples and computes log densities and KL
divergences.
"""

from scratchvae.distributions.bernoulli import Bernoulli
from scratchvae.distributions.bivariate_mixture import BivariateMixture
from scratchvae.distributions.categorical import Categorical
from scratchvae.distributions.columns import Columns
from scratchvae.distributions.distribution import Distribution
from scratchvae.distributions.kl import kl, kl_with_draws, register_kl
from scratchvae.distributions.known_entries import KnownEntries
from scratchvae.distributions.laplace import Laplace
from scratchvae.distributions.negative_binomial import NegativeBinomial
from scratchvae.distributions.normal import Normal
from scratchvae.distributions.normal_mixture import NormalMixture
from scratchvae.distributions.poisson import Poisson
from scratchvae.distributions.sketch import SketchDistribution, SketchStep
from scratchvae.distributions.student_t import StudentT
from scratchvae.distributions.symbol_sequence import SymbolSequence

__all__ = [
    "Bernoulli",
    "BivariateMixture",
    "Categorical",
    "Columns",
    "Distribution",
    "KnownEntries",
    "Laplace",
    "NegativeBinomial",
    "Normal",
    "NormalMixture",
    "Poisson",
    "SketchDistribution",
    "SketchStep",
    "StudentT",
    "SymbolSequence",
    "kl",
    "kl_with_draws",
    "register_kl",
]
