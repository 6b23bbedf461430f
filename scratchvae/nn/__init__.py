"""Layers and their initial values."""

from scratchvae.nn.convolution import Conv2d, ConvolutionalNetwork, ConvTranspose2d, TransposedConvolutionalNetwork
from scratchvae.nn.initializers import glorot_uniform, he_uniform, orthogonal
from scratchvae.nn.linear import MLP, Linear
from scratchvae.nn.module import Module
from scratchvae.nn.normalization import GroupNorm
from scratchvae.nn.packing import Packing
from scratchvae.nn.recurrent import GRU, LSTM, Bidirectional

__all__ = [
    "GRU",
    "LSTM",
    "MLP",
    "Bidirectional",
    "Conv2d",
    "ConvTranspose2d",
    "ConvolutionalNetwork",
    "GroupNorm",
    "Linear",
    "Module",
    "Packing",
    "TransposedConvolutionalNetwork",
    "glorot_uniform",
    "he_uniform",
    "orthogonal",
]
