"""Activations, the functions between the layers of a network, act entry by entry as those of elementwise.py do.

On a GPU each of them, and each rule, is one operation: a kernel computes what the line beside it says.
"""

from __future__ import annotations

from typing import Any

from scratchvae.autodiff import Primitive, elementwise, sum_to
from scratchvae.backend import array_module, sum_of_leading_axes
from scratchvae.errors import InputError
from scratchvae.kernels import Kernel
from scratchvae.ops.elementwise import as_real, expm1, where

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
SOFTPLUS_SLOPE = Kernel("softplus_slope", "T g[i], T y[i]", "T slope[i]", "slope = -g * expm1(-y);")


@elementwise
def softplus(x: Any) -> Any:
    """y = log(1 + e^x)

    :Rule: dx = g (1 - e^-y) = g sigmoid(x)
    :Domain: all numbers; as max(x, 0) + log(1 + e^-abs(x)) it overflows nowhere
    """
    (x,) = as_real(x)
    computed = SOFTPLUS.computed(x)
    if computed:
        return computed[0]
    xp = array_module(x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(xp.copysign(x, -1.0)))


def _softplus_rule(g: Any, y: Any, x: Any) -> Any:
    computed = SOFTPLUS_SLOPE.computed(g, y)
    return computed[0] if computed else -g * expm1(-y)


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

BIASED = {
    activation: Kernel(f"biased_{activation}", "T a[i], T b[i]", "T y[i]", f"const T x = a + b; {text}")
    for activation, text in {
        tanh: "y = tanh(x);",
        sigmoid: SIGMOID.text,
        softplus: SOFTPLUS.text,
        relu: "y = x <= T(0) ? T(0) : x;",
        leaky_relu: f"const T slope = T(0.01); {LEAKY_RELU.text}",
    }.items()
}
"""The activations whose slope can be told from y, each with the kernel of a(x + b)."""


@elementwise
def activated(x: Any, b: Any, *, activation: Any) -> Any:
    """y = a(x + b)

    :Rule: dx = db = g a'(x + b)
    :Domain: all numbers

    activation: a, one of the functions above; InputError otherwise. x + b is not kept: the rule of a reads y, or
    whether its argument is positive, as y then is.
    """
    kernel, (x, b) = kernel_with_bias("activated", activation), as_real(x, b)
    computed = kernel.computed(x, b)
    return computed[0] if computed else activation(x + b)


def kernel_with_bias(operation: str, activation: Any) -> Kernel:
    """Returns the kernel of a(x + b). Raises InputError, in the name of the operation, for another activation."""
    if not isinstance(activation, Primitive) or activation not in BIASED:
        names = ", ".join(map(str, BIASED))
        raise InputError(operation, f"one of the functions {names} of scratchvae.ops", repr(activation))
    return BIASED[activation]


def through_activation(g: Any, y: Any, *_: Any, activation: Any = None) -> Any:
    """g a'(x + b), computed from y = a(x + b), which stands for x + b too. Without an activation it is g."""
    return g if activation is None else activation.rules[0](g, y, y)


def bias_rule(g: Any, y: Any, *arguments: Any, **_: Any) -> Any:
    """db = g summed to the shape of b, the last argument"""
    return sum_to(g, arguments[-1].shape)


def _bias_rule_into(out: Any, g: Any, y: Any, *arguments: Any, **_: Any) -> Any:
    if out.shape == g.shape[-1:]:
        return sum_of_leading_axes(g, g.ndim - 1, out)
    out[...] = sum_to(g, out.shape)
    return out


bias_rule.into = _bias_rule_into
activated.defvjp(lambda g, y, x, b, activation: g, bias_rule, before=through_activation)
