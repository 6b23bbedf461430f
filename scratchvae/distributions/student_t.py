"""Student's t distribution has heavy tails, so that outliers move its location little."""

from __future__ import annotations

import math
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.autodiff import no_grad
from scratchvae.backend import array_module
from scratchvae.distributions.distribution import Distribution
from scratchvae.distributions.event import check_event, sum_event
from scratchvae.distributions.integration import entries, product
from scratchvae.distributions.special import special
from scratchvae.distributions.stirling import log_gamma_half_step


class StudentT(Distribution):
    """p(x) = product over the event of Gamma((n + 1) / 2) / (Gamma(n / 2) sqrt(n pi) s) (1 + u^2 / n)^(-(n + 1) / 2)

    u = (x - m) / s with the location m = mean and the scale s, log s = log_scale; n is the number of degrees of
    freedom, log n = log_df. For large n it is Normal(m, s^2). For n of at most 1 there is no mean, and m is the median.

    Parameters
    ----------
    mean : array or Tensor, (N, D)
    log_scale, log_df : arrays or Tensors
        log s and log n, in any shapes that broadcast to the mean's, such as () for one number.
    event_ndim : int
        The number of trailing axes that make one event: 1 for vectors, 3 for images.

    Attributes
    ----------
    mean, log_scale, log_df, event_ndim
        The parameters of these names.

    See Also
    --------
    Normal : the limit for many degrees of freedom.
    Laplace : tails between those of the two.
    scratchvae.models.StudentTDecoder : the decoder of this likelihood.

    Examples
    --------
    >>> import math, numpy
    >>> from scratchvae.distributions import StudentT
    >>> cauchy = StudentT(numpy.zeros((1, 1)), numpy.zeros(()), numpy.zeros(()))  # n = 1: p(x) = 1 / (pi (1 + x^2))
    >>> math.isclose(cauchy.log_prob(numpy.array([[3.0]]))[0], -math.log(10 * math.pi))
    True
    >>> cauchy.sample(numpy.array([[0.75]])).round(6), float(cauchy.std)
    (array([[1.]]), inf)
    """

    def __init__(self, mean: Any, log_scale: Any, log_df: Any, event_ndim: int = 1) -> None:
        self.mean, self.log_scale, self.log_df, self.event_ndim = mean, log_scale, log_df, event_ndim

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the mean."""
        return self.mean.shape

    @property
    def std(self) -> Any:
        """The standard deviation, s sqrt(n / (n - 2)), infinite for n of at most 2."""
        df = ops.exp(self.log_df)
        wide = df <= 2
        spread = ops.sqrt(df / ops.where(wide, 1.0, df - 2))
        return ops.exp(self.log_scale) * ops.where(wide, math.inf, spread)

    def sample(self, noise: Any) -> Any:
        """x = m +- s sqrt(n b / (1 - b)), - below u = 1/2, for uniform noise u: an array.   (..., N, D) -> the same

        This is the inverse of the distribution function. b solves I(1/2, n/2; b) = |2 u - 1| near the middle, where I
        is the regularised incomplete beta function, and I(n/2, 1/2; 1 - b) = 2 min(u, 1 - u) in the tails, where b is
        near 1. u = 0 counts as the middle of its cell, as in `Laplace.sample`.
        """
        xp = array_module(noise)
        u = xp.maximum(noise, float(xp.finfo(noise.dtype).eps) / 4).astype(numpy.float64)
        with no_grad():
            half_df = ops.exp(self.log_df).astype(numpy.float64) / 2 + 0 * u
            outer, tail = abs(2 * u - 1), 2 * xp.minimum(u, 1 - u)
            near = outer < 0.5
            a, b, level = xp.where(near, 0.5, half_df), xp.where(near, half_df, 0.5), xp.where(near, outer, tail)
            found = xp.maximum(special(u).betaincinv(a, b, level), 1e-300)  # b near the middle, else 1 - b
            square = xp.where(near, found / (1 - found), (1 - found) / found)
            distance = xp.copysign(xp.sqrt(2 * half_df * square), u - 0.5)
            return self.mean + ops.exp(self.log_scale) * distance.astype(noise.dtype)

    def log_prob(self, x: Any) -> Any:
        """log p(x) = sum over the event of c(n) - log s - (n + 1) / 2 log(1 + u^2 / n), in nats.   (N, D) -> (N,)

        c(n) = log Gamma((n + 1) / 2) - log Gamma(n / 2) - log(n pi) / 2, which goes to -log(2 pi) / 2 for large n.
        For w = u / sqrt(n) above 1, log(1 + w^2) is computed as 2 log w + log(1 + w^-2), so that no square overflows.
        """
        check_event("StudentT.log_prob", x, self)
        df = ops.exp(self.log_df)
        w = ops.abs(x - self.mean) * ops.exp(-self.log_scale - 0.5 * self.log_df)
        is_far = w > 1
        far = ops.where(is_far, w, 1.0)
        log_square = ops.log1p(ops.square(ops.where(is_far, 1 / far, w))) + 2 * ops.log(far)
        constant = log_gamma_half_step(0.5 * df) - 0.5 * math.log(2 * math.pi)
        return sum_event(constant - self.log_scale - 0.5 * (df + 1) * log_square, self)

    def quadrature(self, *others: Distribution) -> tuple[Any, Any]:
        """Returns the trapezoidal rule for t in x = m + s sinh(pi / 2 sinh t), |t| < 3.8, see
        `Distribution.quadrature`.

        Source: Takahasi & Mori (1974), "Double exponential formulas for numerical integration".
        """
        t, step = numpy.linspace(-3.8, 3.8, 381, retstep=True)
        inner = math.pi / 2 * numpy.sinh(t)
        slope = math.pi / 2 * numpy.cosh(t) * numpy.cosh(inner)
        locations, scales = entries(self, self.mean, ops.exp(self.log_scale))
        rules = [(m + s * numpy.sinh(inner), s * slope * step) for m, s in zip(locations, scales, strict=True)]
        return product(self, rules)
