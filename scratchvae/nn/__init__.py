"""Layers and their initial values."""

from scratchvae.nn.convolution import Conv2d, ConvTranspose2d
from scratchvae.nn.initializers import glorot_uniform, he_uniform
from scratchvae.nn.linear import MLP, Linear
from scratchvae.nn.module import Module
from scratchvae.nn.normalization import GroupNorm

__all__ = [
    "MLP",
    "Conv2d",
    "ConvTranspose2d",
    "GroupNorm",
    "Linear",
    "Module",
    "glorot_uniform",
    "he_uniform",
]
