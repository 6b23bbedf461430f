"""This package shows a latent space in the browser: Python writes the page, and plain JavaScript runs in it."""

from scratchvae.explorer.page import Explorer, explorer

__all__ = ["Explorer", "explorer"]
