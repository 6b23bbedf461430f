"""The Bernoulli distribution describes independent values that are 0 or 1."""

from __future__ import annotations

import math
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.arrays import scaling
from scratchvae.autodiff import no_grad
from scratchvae.backend import device_of, to_numpy
from scratchvae.distributions.distribution import Distribution
from scratchvae.distributions.event import check_event, on_support, sum_event
from scratchvae.distributions.integration import entries, product
from scratchvae.errors import DataError
from scratchvae.ops.densities import TERM


class Bernoulli(Distribution):
    """p(x) = product over the event of m^x (1 - m)^(1 - x),   m = sigmoid(logits),   x in {0, 1}

    For x between 0 and 1 the same formula is a cross-entropy, not a log-likelihood.

    Parameters
    ----------
    logits : array or Tensor, (N, D)
    event_ndim : int
        The number of trailing axes that make one event: 1 for vectors, 3 for images.

    Attributes
    ----------
    logits, event_ndim
        The parameters of these names.

    See Also
    --------
    Categorical : more than two values.
    scratchvae.models.BernoulliDecoder : the decoder of this likelihood.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.distributions import Bernoulli, kl
    >>> p = Bernoulli(numpy.log([[3.0, 1.0]]))  # probabilities 3/4 and 1/2
    >>> round(float(numpy.exp(p.log_prob(numpy.ones((1, 2))))[0]), 6)
    0.375
    >>> kl(p, p)
    array([0.])
    """

    support = "values in [0, 1]"
    bounds = (0.0, 1.0)

    def __init__(self, logits: Any, event_ndim: int = 1) -> None:
        self.logits, self.event_ndim = logits, event_ndim

    @classmethod
    def check_data(cls, x: Any) -> None:
        """Raises DataError for values outside [0, 1]."""
        low, high = float(x.min()), float(x.max())
        if low < 0 or high > 1:
            hint = 'likelihood="gaussian" takes any real numbers' if low < 0 else scaling(low, high)
            raise DataError("data for a Bernoulli likelihood", cls.support, f"values from {low:g} to {high:g}", hint)

    @classmethod
    def quantity(cls, x: Any = None) -> str:
        """Returns "lower bound of log p(x)" for values that are 0 or 1, and "cross-entropy" for grey values, of which
        the formula is no density.
        """
        cross_entropy = "Bernoulli cross-entropy on grey values, not a log-likelihood"
        if x is None:
            return f"{cross_entropy}, unless all values are 0 or 1"
        return "lower bound of log p(x), values that are 0 or 1" if ((x == 0) | (x == 1)).all() else cross_entropy

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the logits."""
        return self.logits.shape

    @property
    def mean(self) -> Any:
        """m = sigmoid(logits)"""
        return ops.sigmoid(self.logits)

    def sample(self, noise: Any) -> Any:
        """x = 1 where u < m, else 0, for uniform noise u: an array.   (..., N, D) -> (..., N, D)"""
        with no_grad():
            m = self.mean
        return (noise < m).astype(m.dtype)

    def log_prob(self, x: Any) -> Any:
        """log p(x) = sum over the event of x l - log(1 + e^l) for logits l, in nats.   (N, D) -> (N,)

        For a logit of infinity log p is 0 at x = 1 and -infinity at all other x; for a logit of -infinity it is 0 at
        x = 0.
        """
        check_event("Bernoulli.log_prob", x, self)
        if TERM.on(x, self.logits):
            return ops.bernoulli_log_prob(x, self.logits, event_ndim=self.event_ndim)
        if device_of(x) == "cpu":  # where a look at the result costs nothing
            with numpy.errstate(invalid="ignore"):
                log_p = ops.bernoulli_log_prob(x, self.logits, event_ndim=self.event_ndim)
            if not numpy.isnan(to_numpy(log_p)).any():
                return log_p
        certain = (self.logits >= math.inf) | (self.logits <= -math.inf)
        logits = ops.where(certain, 0.0, self.logits)
        values = ops.where(certain, -math.inf, x * logits - ops.softplus(logits))
        return sum_event(ops.where(certain & (x == (self.logits > 0)), 0.0, values), self)

    def log_means(self) -> tuple[Any, Any]:
        """log m = -log(1 + e^-l) and log(1 - m) = -log(1 + e^l), in nats.   (N, D) each"""
        return -ops.softplus(-self.logits), -ops.softplus(self.logits)

    def entropy(self) -> Any:
        """H = sum over the event of -m log m - (1 - m) log(1 - m), in nats.   (N,)"""
        m, opposite = self.mean, ops.sigmoid(-self.logits)
        log_m, log_opposite = self.log_means()
        return -sum_event(m * on_support(log_m, m) + opposite * on_support(log_opposite, opposite), self)

    def quadrature(self, *others: Distribution) -> tuple[Any, Any]:
        """Returns the sum over all x as a rule, see `Distribution.quadrature`."""
        both = numpy.array([0.0, 1.0]), numpy.ones(2)
        return product(self, [both for _ in entries(self, self.logits)[0]])
