"""A page in the browser that shows a latent space: what goes into it is Python, what runs in it plain JavaScript."""

from scratchvae.explorer.page import Explorer, explorer

__all__ = ["Explorer", "explorer"]
