"""Layers and their initial values."""

from scratchvae.nn.convolution import Conv2d, ConvolutionalNetwork, ConvTranspose2d, TransposedConvolutionalNetwork
from scratchvae.nn.initializers import glorot_uniform, he_uniform
from scratchvae.nn.linear import MLP, Linear
from scratchvae.nn.module import Module
from scratchvae.nn.normalization import GroupNorm

__all__ = [
    "MLP",
    "Conv2d",
    "ConvTranspose2d",
    "ConvolutionalNetwork",
    "GroupNorm",
    "Linear",
    "Module",
    "TransposedConvolutionalNetwork",
    "glorot_uniform",
    "he_uniform",
]
