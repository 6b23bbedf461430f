"""Functions that act entry by entry. Each rule stands below its function and reads as the chain rule, g dy/dx.

Shapes broadcast as in NumPy; the engine undoes it. Constants are Python numbers, so that float32 stays float32, and a
condition such as (x > 0) is multiplied in rather than turned into a number first. Arrays of integers and truth values
count as float64, see `as_real`. A NaN is never hidden: the rules of kinks ask for "not below" where "above" would do,
so that the cotangent passes a NaN.
"""

from __future__ import annotations

import math
from typing import Any

from scratchvae.autodiff import elementwise
from scratchvae.backend import array_module


def as_real(*arguments: Any) -> tuple[Any, ...]:
    """Give the arguments back, arrays of integers or truth values as float64 where no array of floats stands beside.

    Their -x, x y and x^2 need not be numbers of their type: of 8 bits without a sign -1 is 255 and 16^2 is 0.
    """
    for x in arguments:
        if hasattr(x, "dtype") and getattr(x.dtype, "kind", "f") not in "biu":  # PyTorch's types have no kind
            return arguments
    return tuple(x.astype("float64") if hasattr(x, "dtype") else x for x in arguments)


@elementwise
def add(x: Any, y: Any) -> Any:
    """x + y"""
    x, y = as_real(x, y)
    return x + y


add.defvjp(lambda g, out, x, y: g, lambda g, out, x, y: g)


@elementwise
def subtract(x: Any, y: Any) -> Any:
    """x - y"""
    x, y = as_real(x, y)
    return x - y


subtract.defvjp(lambda g, out, x, y: g, lambda g, out, x, y: -g)


@elementwise
def multiply(x: Any, y: Any) -> Any:
    """x y"""
    x, y = as_real(x, y)
    return x * y


multiply.defvjp(lambda g, out, x, y: g * y, lambda g, out, x, y: g * x)


@elementwise
def divide(x: Any, y: Any) -> Any:
    """x / y,   d/dx = 1 / y,   d/dy = -(x / y) / y"""
    x, y = as_real(x, y)
    return x / y


divide.defvjp(lambda g, out, x, y: g / y, lambda g, out, x, y: -(g * out) / y)


@elementwise
def negative(x: Any) -> Any:
    """-x"""
    (x,) = as_real(x)
    return -x


negative.defvjp(lambda g, y, x: -g)


@elementwise
def power(x: Any, p: Any) -> Any:
    """x^p,   d/dx = p x^(p - 1),   d/dp = x^p log x.   Where p = 0 the first is 0, where x = 0 the second is 0."""
    x, p = as_real(x, p)
    return x**p


power.defvjp(
    lambda g, y, x, p: g * (p * x ** _nonzero(p, p - 1)),
    lambda g, y, x, p: g * (y * _log_base(x)),
)


@elementwise
def exp(x: Any) -> Any:
    """e^x,   dy/dx = y"""
    (x,) = as_real(x)
    return array_module(x).exp(x)


exp.defvjp(lambda g, y, x: g * y)


@elementwise
def expm1(x: Any) -> Any:
    """e^x - 1, exact near 0,   dy/dx = e^x"""
    (x,) = as_real(x)
    return array_module(x).expm1(x)


expm1.defvjp(lambda g, y, x: g * exp(x))


@elementwise
def log(x: Any) -> Any:
    """log x,   dy/dx = 1 / x"""
    (x,) = as_real(x)
    return array_module(x).log(x)


log.defvjp(lambda g, y, x: g / x)


@elementwise
def log1p(x: Any) -> Any:
    """log(1 + x), exact near 0,   dy/dx = 1 / (1 + x)"""
    (x,) = as_real(x)
    return array_module(x).log1p(x)


log1p.defvjp(lambda g, y, x: g / (1 + x))


@elementwise
def sqrt(x: Any) -> Any:
    """x^(1/2),   dy/dx = 1 / (2 y)"""
    (x,) = as_real(x)
    return array_module(x).sqrt(x)


sqrt.defvjp(lambda g, y, x: g / (2 * y))


@elementwise
def square(x: Any) -> Any:
    """x^2,   dy/dx = 2 x"""
    (x,) = as_real(x)
    return x * x


square.defvjp(lambda g, y, x: g * (2 * x))


@elementwise
def abs(x: Any) -> Any:
    """|x|,   dy/dx = sign x, and 0 at 0"""
    (x,) = as_real(x)
    return array_module(x).abs(x)


abs.defvjp(lambda g, y, x: g * ~(x <= 0) - g * (x < 0))


@elementwise
def tanh(x: Any) -> Any:
    """tanh x,   dy/dx = 1 - y^2"""
    (x,) = as_real(x)
    return array_module(x).tanh(x)


tanh.defvjp(lambda g, y, x: g * (1 - y * y))


@elementwise
def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x),   dy/dx = y (1 - y).   With e^-|x| it overflows nowhere."""
    (x,) = as_real(x)
    xp = array_module(x)
    e = xp.exp(xp.copysign(x, -1.0))
    return xp.where(x > 0, 1.0, e) / (1 + e)


sigmoid.defvjp(lambda g, y, x: g * (y * (1 - y)))


@elementwise
def softplus(x: Any) -> Any:
    """log(1 + e^x),   dy/dx = e^x / (1 + e^x) = e^(x - y).   As max(x, 0) + log(1 + e^-|x|) it overflows nowhere.

    From 64 on y is x, to the last digit of float64, and the slope 1: at infinity too, where x - y is not a number.
    """
    (x,) = as_real(x)
    xp = array_module(x)
    return xp.maximum(x, 0) + xp.log1p(xp.exp(xp.copysign(x, -1.0)))


softplus.defvjp(lambda g, y, x: g * exp(minimum(x, 64.0) - minimum(y, 64.0)))


@elementwise
def relu(x: Any) -> Any:
    """max(x, 0),   dy/dx = 1 where x > 0, else 0"""
    (x,) = as_real(x)
    return array_module(x).maximum(x, 0)


relu.defvjp(lambda g, y, x: g * ~(x <= 0))


@elementwise
def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """x where x > 0, else slope x;   dy/dx = 1 where x > 0, else slope"""
    (x,) = as_real(x)
    return array_module(x).where(x > 0, x, slope * x)


leaky_relu.defvjp(lambda g, y, x, slope=0.01: where(x > 0, g, slope * g))


@elementwise
def maximum(x: Any, y: Any) -> Any:
    """The larger of x and y. A tie shares the gradient equally."""
    x, y = as_real(x, y)
    return array_module(x, y).maximum(x, y)


maximum.defvjp(
    lambda g, out, x, y: (0.5 * g) * ~(x < y) + (0.5 * g) * ~(x <= y),
    lambda g, out, x, y: (0.5 * g) * ~(y < x) + (0.5 * g) * ~(y <= x),
)


@elementwise
def minimum(x: Any, y: Any) -> Any:
    """The smaller of x and y. A tie shares the gradient equally."""
    x, y = as_real(x, y)
    return array_module(x, y).minimum(x, y)


minimum.defvjp(
    lambda g, out, x, y: (0.5 * g) * ~(x > y) + (0.5 * g) * ~(x >= y),
    lambda g, out, x, y: (0.5 * g) * ~(y > x) + (0.5 * g) * ~(y >= x),
)


@elementwise
def where(condition: Any, x: Any, y: Any) -> Any:
    """x where the condition holds, else y. The condition is an array of truth values, not a Tensor."""
    return array_module(condition).where(condition, x, y)


where.defvjp(
    None,
    lambda g, out, condition, x, y: where(condition, g, 0.0),
    lambda g, out, condition, x, y: where(condition, 0.0, g),
)


@elementwise
def clip(x: Any, low: float, high: float) -> Any:
    """x held within [low, high],   dy/dx = 1 inside and on the bounds, else 0"""
    (x,) = as_real(x)
    return array_module(x).clip(x, low, high)


clip.defvjp(lambda g, y, x, low, high: g * ~((x < low) | (x > high)))


def _nonzero(x: Any, y: Any) -> Any:
    """y where x is not 0, else 1."""
    if isinstance(x, (int, float)):
        return y if x else 1.0
    return where((x > 0) | (x < 0), y, 1.0)


def _log_base(x: Any) -> Any:
    """log x, 0 where x is 0, NaN below; of a Python number a Python number, so that float32 stays float32."""
    if isinstance(x, (int, float)):
        return math.log(x or 1.0) if x >= 0 else math.nan
    return log(_nonzero(x, x))
