"""The distribution of the known entries of a vector or an image follows from the distribution of all its entries."""

from __future__ import annotations

import copy
from typing import Any

from scratchvae import ops
from scratchvae.backend import array_module
from scratchvae.distributions.distribution import Distribution
from scratchvae.distributions.event import check_event, sum_event


class KnownEntries(Distribution):
    """p(x_o) = product over the known entries of p_d(x_d), for a distribution of independent entries

    An entry is unknown if it is NaN. Unknown entries are integrated out, which leaves the product of the other entries'
    densities. Infinity counts as known.

    Parameters
    ----------
    of : Distribution
        The distribution of all entries: Normal, Laplace, Bernoulli, Poisson, Categorical, or another one whose
        event_ndim may be 0.

    Attributes
    ----------
    of : Distribution
        The parameter of this name.
    event_ndim, noise
        Those of this distribution.

    See Also
    --------
    scratchvae.models.DecoderOfKnownEntries : the decoder that gives it.
    Columns : a table's row, which leaves out unknown entries by itself.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.distributions import KnownEntries, Normal
    >>> p = Normal(numpy.zeros((1, 2)), numpy.zeros((1, 2)))
    >>> partly = KnownEntries(p).log_prob(numpy.array([[1.0, numpy.nan]]))
    >>> partly == Normal(numpy.zeros((1, 1)), numpy.zeros((1, 1))).log_prob(numpy.array([[1.0]]))
    array([ True])
    """

    def __init__(self, of: Distribution) -> None:
        self.of, self.event_ndim, self.noise = of, of.event_ndim, of.noise

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of x."""
        return self.of.shape

    @property
    def mean(self) -> Any:
        """E[x]"""
        return self.of.mean

    def sample(self, noise: Any) -> Any:
        """Draws all entries from the noise that their distribution takes."""
        return self.of.sample(noise)

    def log_prob(self, x: Any) -> Any:
        """log p(x) = sum over the known entries of their log densities, in nats.   (N, D) -> (N,)"""
        check_event("KnownEntries.log_prob", x, self)
        entries, known = copy.copy(self.of), ~array_module(x).isnan(x)
        entries.event_ndim = 0
        values = array_module(x).where(known, x, 0.0)  # 0 lies in every support
        values = values if "f" in self.of.data_kinds else values.astype(int)
        return sum_event(ops.where(known, entries.log_prob(values), 0.0), self)
