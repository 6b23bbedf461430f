"""Functions that act entry by entry. Each rule stands below its function and reads as the chain rule, dx = g dy/dx.

Shapes broadcast as in NumPy; the engine undoes it. Constants are Python numbers, so that float32 stays float32, and a
condition such as (x > 0) is multiplied in rather than turned into a number first. Arrays of integers and truth values
count as float64, see `as_real`. A NaN is never hidden: the rules at kinks ask for "not below" where "above" would do,
so that the cotangent passes a NaN.
"""

from __future__ import annotations

import math
from typing import Any

from scratchvae.autodiff import elementwise
from scratchvae.backend import array_module


def as_real(*arguments: Any) -> tuple[Any, ...]:
    """Returns the arguments; arrays of integers or truth values become float64 unless an array of floats is among them.

    Their own types cannot hold every -x, x y and x^2: in unsigned bytes -1 is 255 and 16^2 is 0.
    """
    for x in arguments:
        if hasattr(x, "dtype") and getattr(x.dtype, "kind", "f") not in "biu":  # PyTorch's types have no kind
            return arguments
    return tuple(x.astype("float64") if hasattr(x, "dtype") else x for x in arguments)


@elementwise
def add(x: Any, y: Any) -> Any:
    """out = x + y

    :Rule: dx = g, dy = g
    :Domain: all numbers
    """
    x, y = as_real(x, y)
    return x + y


add.defvjp(lambda g, out, x, y: g, lambda g, out, x, y: g)


@elementwise
def subtract(x: Any, y: Any) -> Any:
    """out = x - y

    :Rule: dx = g, dy = -g
    :Domain: all numbers
    """
    x, y = as_real(x, y)
    return x - y


subtract.defvjp(lambda g, out, x, y: g, lambda g, out, x, y: -g)


@elementwise
def multiply(x: Any, y: Any) -> Any:
    """out = x y

    :Rule: dx = g y, dy = g x
    :Domain: all numbers
    """
    x, y = as_real(x, y)
    return x * y


multiply.defvjp(lambda g, out, x, y: g * y, lambda g, out, x, y: g * x)


@elementwise
def divide(x: Any, y: Any) -> Any:
    """out = x / y

    :Rule: dx = g / y, dy = -g out / y
    :Domain: y not 0
    """
    x, y = as_real(x, y)
    return x / y


divide.defvjp(lambda g, out, x, y: g / y, lambda g, out, x, y: -(g * out) / y)


@elementwise
def negative(x: Any) -> Any:
    """y = -x

    :Rule: dx = -g
    :Domain: all numbers
    """
    (x,) = as_real(x)
    return -x


negative.defvjp(lambda g, y, x: -g)


@elementwise
def power(x: Any, p: Any) -> Any:
    """y = x^p

    :Rule: dx = g p x^(p - 1), 0 where p = 0; dp = g y log x, 0 where x = 0
    :Domain: x > 0; x = 0 for p at least 0; x < 0 for whole p, where dp is NaN
    """
    x, p = as_real(x, p)
    return x**p


power.defvjp(
    lambda g, y, x, p: g * (p * x ** _nonzero(p, p - 1)),
    lambda g, y, x, p: g * (y * _log_base(x)),
)


@elementwise
def exp(x: Any) -> Any:
    """y = e^x

    :Rule: dx = g y
    :Domain: all numbers
    """
    (x,) = as_real(x)
    return array_module(x).exp(x)


exp.defvjp(lambda g, y, x: g * y)


@elementwise
def expm1(x: Any) -> Any:
    """y = e^x - 1, exact near 0

    :Rule: dx = g e^x
    :Domain: all numbers
    """
    (x,) = as_real(x)
    return array_module(x).expm1(x)


expm1.defvjp(lambda g, y, x: g * exp(x))


@elementwise
def log(x: Any) -> Any:
    """y = log x

    :Rule: dx = g / x
    :Domain: x > 0
    """
    (x,) = as_real(x)
    return array_module(x).log(x)


log.defvjp(lambda g, y, x: g / x)


@elementwise
def log1p(x: Any) -> Any:
    """y = log(1 + x), exact near 0

    :Rule: dx = g / (1 + x)
    :Domain: x > -1
    """
    (x,) = as_real(x)
    return array_module(x).log1p(x)


log1p.defvjp(lambda g, y, x: g / (1 + x))


@elementwise
def sqrt(x: Any) -> Any:
    """y = x^(1/2)

    :Rule: dx = g / (2 y)
    :Domain: x > 0; at 0 the slope is infinite
    """
    (x,) = as_real(x)
    return array_module(x).sqrt(x)


sqrt.defvjp(lambda g, y, x: g / (2 * y))


@elementwise
def square(x: Any) -> Any:
    """y = x^2

    :Rule: dx = 2 g x
    :Domain: all numbers
    """
    (x,) = as_real(x)
    return x * x


square.defvjp(lambda g, y, x: g * (2 * x))


@elementwise
def abs(x: Any) -> Any:
    """y = max(x, -x)

    :Rule: dx = g sign(x), 0 at 0
    :Domain: all numbers
    """
    (x,) = as_real(x)
    return array_module(x).abs(x)


abs.defvjp(lambda g, y, x: g * ~(x <= 0) - g * (x < 0))


@elementwise
def maximum(x: Any, y: Any) -> Any:
    """out = the larger of x and y

    :Rule: dx = g where x > y, g / 2 where x = y, else 0; dy likewise
    :Domain: all numbers
    """
    x, y = as_real(x, y)
    return array_module(x, y).maximum(x, y)


maximum.defvjp(
    lambda g, out, x, y: (0.5 * g) * ~(x < y) + (0.5 * g) * ~(x <= y),
    lambda g, out, x, y: (0.5 * g) * ~(y < x) + (0.5 * g) * ~(y <= x),
)


@elementwise
def minimum(x: Any, y: Any) -> Any:
    """out = the smaller of x and y

    :Rule: dx = g where x < y, g / 2 where x = y, else 0; dy likewise
    :Domain: all numbers
    """
    x, y = as_real(x, y)
    return array_module(x, y).minimum(x, y)


minimum.defvjp(
    lambda g, out, x, y: (0.5 * g) * ~(x > y) + (0.5 * g) * ~(x >= y),
    lambda g, out, x, y: (0.5 * g) * ~(y > x) + (0.5 * g) * ~(y >= x),
)


@elementwise
def where(condition: Any, x: Any, y: Any) -> Any:
    """out = x where the condition holds, else y

    :Rule: dx = g where the condition holds, else 0; dy = 0 where it holds, else g
    :Domain: all numbers; the condition is an array of truth values, not a Tensor
    """
    return array_module(condition).where(condition, x, y)


where.defvjp(
    None,
    lambda g, out, condition, x, y: where(condition, g, 0.0),
    lambda g, out, condition, x, y: where(condition, 0.0, g),
)


@elementwise
def clip(x: Any, low: float, high: float) -> Any:
    """y = x where low <= x <= high, else the nearer bound

    :Rule: dx = g where low <= x <= high, else 0
    :Domain: all numbers, low <= high
    """
    (x,) = as_real(x)
    return array_module(x).clip(x, low, high)


clip.defvjp(lambda g, y, x, low, high: g * ~((x < low) | (x > high)))


def _nonzero(x: Any, y: Any) -> Any:
    """Returns y where x is not 0, else 1."""
    if isinstance(x, (int, float)):
        return y if x else 1.0
    return where((x > 0) | (x < 0), y, 1.0)


def _log_base(x: Any) -> Any:
    """Returns log x, 0 where x is 0 and NaN below 0. A Python number gives a Python number: float32 stays float32."""
    if isinstance(x, (int, float)):
        return math.log(x or 1.0) if x >= 0 else math.nan
    return log(_nonzero(x, x))
