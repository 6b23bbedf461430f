"""The models of the deck."""

from scratchvae.models.networks import BernoulliDecoder, ClassConditional, Classifier, GaussianDecoder, GaussianEncoder
from scratchvae.models.semisupervised_vae import SemiSupervisedVAE
from scratchvae.models.stacked_vae import StackedVAE
from scratchvae.models.vae import VAE

__all__ = [
    "VAE",
    "BernoulliDecoder",
    "ClassConditional",
    "Classifier",
    "GaussianDecoder",
    "GaussianEncoder",
    "SemiSupervisedVAE",
    "StackedVAE",
]
