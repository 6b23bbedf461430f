"""The remainder of Stirling's formula gives differences of log Gamma at large numbers without losing digits."""

from __future__ import annotations

from typing import Any

from scratchvae import ops

COEFFICIENTS = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
LARGE = 8.0  # from here on the seven terms leave an error below 1e-15


def stirling_remainder(y: Any) -> Any:
    """r(y) = log Gamma(y) - (y - 1/2) log y + y - log(2 pi) / 2 for y > 0, entry by entry: about 1 / (12 y)

    Below 8 it follows from r(y + 8), as log Gamma(y) = log Gamma(y + 8) - log y (y + 1) ... (y + 7). All operations
    can be differentiated: the gradient of a learned number of degrees of freedom needs the derivative of log Gamma.

    Source: Abramowitz & Stegun (1964), equations 6.1.15 and 6.1.40.
    """
    is_large = y >= LARGE
    small = ops.where(is_large, 1.0, y)
    z = ops.where(is_large, y, small + LARGE)
    inverse = 1 / z
    square, series = ops.square(inverse), COEFFICIENTS[-1]
    for coefficient in reversed(COEFFICIENTS[:-1]):
        series = series * square + coefficient
    log_product = sum(ops.log((small + i) * (small + (i + 1))) for i in range(0, int(LARGE), 2))
    shift = (small + (LARGE - 0.5)) * ops.log(small + LARGE) - (small - 0.5) * ops.log(small) - LARGE - log_product
    return series * inverse + ops.where(is_large, 0.0, shift)


def log_gamma_half_step(h: Any) -> Any:
    """log Gamma(h + 1/2) - log Gamma(h) - log(h) / 2 for h > 0, which goes to 0 for large h."""
    return h * ops.log1p(0.5 / h) - 0.5 + stirling_remainder(h + 0.5) - stirling_remainder(h)
