"""The operations, under NumPy's names and signatures where NumPy has the function. Tensors are passed by position."""

import sys

from scratchvae import tensor
from scratchvae.autodiff import broadcast_to, sum_to
from scratchvae.ops.activations import activated, leaky_relu, relu, sigmoid, softplus, tanh
from scratchvae.ops.convolution import conv2d, conv2d_kernel, conv_transpose2d, upsample2d
from scratchvae.ops.densities import bernoulli_log_prob, normal_draw, normal_kl, normal_log_prob
from scratchvae.ops.elementwise import (
    abs,
    add,
    clip,
    divide,
    exp,
    expm1,
    log,
    log1p,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    sqrt,
    square,
    subtract,
    where,
)
from scratchvae.ops.gru import gru, gru_step
from scratchvae.ops.linalg import affine, gather_rows, matmul, scatter_rows
from scratchvae.ops.lstm import lstm, lstm_step
from scratchvae.ops.reductions import log_softmax, logsumexp, max, mean, min, softmax, sum
from scratchvae.ops.structure import (
    concatenate,
    crop,
    expand_dims,
    getitem,
    pad,
    reshape,
    scatter_add,
    squeeze,
    stack,
    swapaxes,
    transpose,
)

__all__ = [
    "abs",
    "activated",
    "add",
    "affine",
    "bernoulli_log_prob",
    "broadcast_to",
    "clip",
    "concatenate",
    "conv2d",
    "conv2d_kernel",
    "conv_transpose2d",
    "crop",
    "divide",
    "exp",
    "expand_dims",
    "expm1",
    "gather_rows",
    "getitem",
    "gru",
    "gru_step",
    "leaky_relu",
    "log",
    "log1p",
    "log_softmax",
    "logsumexp",
    "lstm",
    "lstm_step",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "multiply",
    "negative",
    "normal_draw",
    "normal_kl",
    "normal_log_prob",
    "pad",
    "power",
    "relu",
    "reshape",
    "scatter_add",
    "scatter_rows",
    "sigmoid",
    "softmax",
    "softplus",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "subtract",
    "sum",
    "sum_to",
    "swapaxes",
    "tanh",
    "transpose",
    "upsample2d",
    "where",
]

tensor.operations = sys.modules[__name__]
