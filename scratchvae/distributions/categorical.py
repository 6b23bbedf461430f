"""The categorical distribution describes one of C classes."""

from __future__ import annotations

import math
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.autodiff import no_grad
from scratchvae.backend import array_module
from scratchvae.distributions.distribution import Distribution
from scratchvae.distributions.event import on_support
from scratchvae.errors import ShapeError


class Categorical(Distribution):
    """p(y = c) = pi_c,   pi = softmax(logits),   y from 0 to C - 1

    Parameters
    ----------
    logits : array or Tensor, (N, C)

    Attributes
    ----------
    logits
        The parameter of this name.

    See Also
    --------
    Bernoulli : two values, many entries.
    scratchvae.models.Classifier : the network that gives the logits.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.distributions import Categorical
    >>> p = Categorical(numpy.log([[1.0, 2.0, 1.0]]))
    >>> p.mean, float(numpy.exp(p.log_prob(numpy.array([1])))[0])
    (array([[0.25, 0.5 , 0.25]]), 0.5)
    """

    event_ndim = 0
    support = "integers from 0 to C - 1"
    data_kinds = "iu"

    def __init__(self, logits: Any) -> None:
        self.logits = logits

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a batch of labels: that of the logits without the classes."""
        return self.logits.shape[:-1]

    @property
    def mean(self) -> Any:
        """pi, which is the mean of y written as one indicator per class.   (N, C)"""
        return ops.softmax(self.logits)

    def sample(self, noise: Any) -> Any:
        """y = the first class whose cumulated probability exceeds uniform noise: integers.   (..., N) -> (..., N)

        If rounding leaves the last sum below 1 and below the noise, y is the first class that reaches that sum: no
        class of probability 0 is sampled.
        """
        with no_grad():
            cumulated = self.mean.cumsum(axis=-1)
        return ((noise[..., None] >= cumulated) & (cumulated < cumulated[..., -1:])).sum(axis=-1)

    def log_prob(self, y: Any) -> Any:
        """log p(y) = log pi_y, in nats, and -infinity for a y that is no class.   (..., N) -> (..., N)

        Raises ShapeError unless y holds integers.
        """
        if y.dtype.kind not in "iu":
            raise ShapeError("Categorical.log_prob", "integer labels", str(y.dtype))
        classes = array_module(y).arange(self.logits.shape[-1])
        return ops.max(ops.where(y[..., None] == classes, ops.log_softmax(self.logits), -math.inf), axis=-1)

    def entropy(self) -> Any:
        """H = -sum over c of pi_c log pi_c, in nats.   (N,)"""
        pi = self.mean
        return -ops.sum(pi * on_support(ops.log_softmax(self.logits), pi), axis=-1)

    def quadrature(self, *others: Distribution) -> tuple[Any, Any]:
        """Returns the sum over all classes as a rule, see `Distribution.quadrature`."""
        return numpy.arange(self.logits.shape[-1]), numpy.ones(self.logits.shape[-1])
