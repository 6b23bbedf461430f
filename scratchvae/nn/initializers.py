"""Initial values of weights, drawn from a Noise.   shape: (fan_in, fan_out)"""

from __future__ import annotations

import math
from typing import Any

from scratchvae.noise import Noise


def glorot_uniform(noise: Noise, shape: tuple[int, ...]) -> Any:
    """W ~ Uniform(-a, a) with a = sqrt(6 / (fan_in + fan_out)): variance 2 / (fan_in + fan_out).

    The kernel of a convolution, (KH, KW, C_in, C_out) or transposed, has fans of KH KW C_in and KH KW C_out.

    Source: Glorot & Bengio (2010), equation 16.
    """
    return _uniform(noise, shape, math.sqrt(6 / (math.prod(shape[:-2]) * sum(shape[-2:]))))


def he_uniform(noise: Noise, shape: tuple[int, int]) -> Any:
    """W ~ Uniform(-a, a) with a = sqrt(6 / fan_in): variance 2 / fan_in, which keeps the scale through relus.

    Source: He, Zhang, Ren & Sun (2015), equation 10.
    """
    return _uniform(noise, shape, math.sqrt(6 / shape[0]))


def _uniform(noise: Noise, shape: tuple[int, ...], bound: float) -> Any:
    return (2 * noise.uniform("weight", shape) - 1) * bound
