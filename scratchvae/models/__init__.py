"""The models of the deck."""

from scratchvae.models.networks import BernoulliDecoder, GaussianDecoder, GaussianEncoder
from scratchvae.models.semisupervised_vae import SemiSupervisedVAE
from scratchvae.models.vae import VAE

__all__ = ["VAE", "BernoulliDecoder", "GaussianDecoder", "GaussianEncoder", "SemiSupervisedVAE"]
