"""The operations: NumPy's names and signatures wherever NumPy has the function. Tensors are passed by position."""

from scratchvae.autodiff import broadcast_to, sum_to
from scratchvae.ops import operators
from scratchvae.ops.convolution import conv2d, conv2d_kernel, conv_transpose2d, upsample2d
from scratchvae.ops.elementwise import (
    abs,
    add,
    clip,
    divide,
    exp,
    expm1,
    leaky_relu,
    log,
    log1p,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    relu,
    sigmoid,
    softplus,
    sqrt,
    square,
    subtract,
    tanh,
    where,
)
from scratchvae.ops.linalg import affine, matmul
from scratchvae.ops.recurrent import lstm, lstm_step
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
