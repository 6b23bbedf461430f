"""Activations, the functions between the layers of a network, act entry by entry as those of elementwise.py do.

On a GPU each of them, and each rule, is one operation: a kernel computes what the line beside it says.
"""

from __future__ import annotations

from typing import Any

from scratchvae.autodiff import elementwise
from scratchvae.backend import array_module
from scratchvae.kernels import Kernel
from scratchvae.ops.elementwise import as_real, exp, minimum, where

TANH_SLOPE = Kernel("tanh_slope", "T g[i], T y[i]", "T slope[i]", "slope = g * (T(1) - y * y);")


@elementwise
def tanh(x: Any) -> Any:
    """y = tanh x

    :Rule: dx = g (1 - y^2)
    :Domain: all numbers
    """
    (x,) = as_real(x)
    return array_module(x).tanh(x)


def _tanh_rule(g: Any, y: Any, x: Any) -> Any:
    computed = TANH_SLOPE.computed(g, y)
    return computed[0] if computed else g * (1 - y * y)


tanh.defvjp(_tanh_rule)

SIGMOID = Kernel(
    "sigmoid",
    "T x[i]",
    "T y[i]",
    "const T e = exp(x > T(0) ? -x : x); y = (x > T(0) ? T(1) : e) / (T(1) + e);",
)
SIGMOID_SLOPE = Kernel("sigmoid_slope", "T g[i], T y[i]", "T slope[i]", "slope = g * (y * (T(1) - y));")


@elementwise
def sigmoid(x: Any) -> Any:
    """y = 1 / (1 + e^-x)

    :Rule: dx = g y (1 - y)
    :Domain: all numbers; only the exponential of -abs(x) is taken, which overflows nowhere
    """
    (x,) = as_real(x)
    computed = SIGMOID.computed(x)
    if computed:
        return computed[0]
    xp = array_module(x)
    e = xp.exp(xp.copysign(x, -1.0))
    return xp.where(x > 0, 1.0, e) / (1 + e)


def _sigmoid_rule(g: Any, y: Any, x: Any) -> Any:
    computed = SIGMOID_SLOPE.computed(g, y)
    return computed[0] if computed else g * (y * (1 - y))


sigmoid.defvjp(_sigmoid_rule)

SOFTPLUS = Kernel("softplus", "T x[i]", "T y[i]", "y = (x > T(0) ? x : T(0)) + log1p(exp(x > T(0) ? -x : x));")
SOFTPLUS_SLOPE = Kernel(
    "softplus_slope",
    "T g[i], T y[i], T x[i]",
    "T slope[i]",
    "slope = g * exp((x >= T(64) ? T(64) : x) - (y >= T(64) ? T(64) : y));",
)


@elementwise
def softplus(x: Any) -> Any:
    """y = log(1 + e^x)

    :Rule: dx = g e^(x - y) = g sigmoid(x)
    :Domain: all numbers; as max(x, 0) + log(1 + e^-abs(x)) it overflows nowhere

    For x of 64 and above, y equals x to the last digit of float64 and the slope is 1. This includes infinity, where x -
    y is not a number.
    """
    (x,) = as_real(x)
    computed = SOFTPLUS.computed(x)
    if computed:
        return computed[0]
    xp = array_module(x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(xp.copysign(x, -1.0)))


def _softplus_rule(g: Any, y: Any, x: Any) -> Any:
    computed = SOFTPLUS_SLOPE.computed(g, y, x)
    return computed[0] if computed else g * exp(minimum(x, 64.0) - minimum(y, 64.0))


softplus.defvjp(_softplus_rule)

RELU_SLOPE = Kernel("relu_slope", "T g[i], T x[i]", "T slope[i]", "slope = x <= T(0) ? g * T(0) : g;")


@elementwise
def relu(x: Any) -> Any:
    """y = max(x, 0)

    :Rule: dx = g where x > 0, else 0
    :Domain: all numbers
    """
    (x,) = as_real(x)
    return array_module(x).maximum(x, 0)


def _relu_rule(g: Any, y: Any, x: Any) -> Any:
    computed = RELU_SLOPE.computed(g, x)
    return computed[0] if computed else g * ~(x <= 0)


relu.defvjp(_relu_rule)

LEAKY_RELU = Kernel("leaky_relu", "T x[i], T slope", "T y[i]", "y = x > T(0) ? x : slope * x;")
LEAKY_RELU_SLOPE = Kernel("leaky_relu_slope", "T g[i], T x[i], T slope", "T dx[i]", "dx = x > T(0) ? g : slope * g;")


@elementwise
def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """y = x where x > 0, else slope x

    :Rule: dx = g where x > 0, else slope g
    :Domain: all numbers
    """
    (x,) = as_real(x)
    computed = LEAKY_RELU.computed(x, slope) if isinstance(slope, (int, float)) else None
    return computed[0] if computed else array_module(x).where(x > 0, x, slope * x)


def _leaky_relu_rule(g: Any, y: Any, x: Any, slope: float = 0.01) -> Any:
    computed = LEAKY_RELU_SLOPE.computed(g, x, slope) if isinstance(slope, (int, float)) else None
    return computed[0] if computed else where(x > 0, g, slope * g)


leaky_relu.defvjp(_leaky_relu_rule)
