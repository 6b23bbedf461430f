"""Layers and their initial values."""

from scratchvae.nn.initializers import glorot_uniform, he_uniform
from scratchvae.nn.linear import MLP, Linear
from scratchvae.nn.module import Module

__all__ = ["MLP", "Linear", "Module", "glorot_uniform", "he_uniform"]
