"""Linear latent variable models, in scikit-learn's estimator conventions."""

from scratchvae.linear.ppca import PPCA

__all__ = ["PPCA"]
