"""Decoders: networks whose output becomes the parameters of p(x | z). Here are those of x in [0, 1] and of counts."""

from __future__ import annotations

import math
from typing import Any

from scratchvae import ops
from scratchvae.distributions import Bernoulli, Distribution, KnownEntries, NegativeBinomial, Poisson
from scratchvae.models.encoders import halves
from scratchvae.models.readers import OfLogCounts
from scratchvae.nn import Module

LARGEST_RATE = 2.0**24  # up to here float32 holds every count
SMALLEST_DISPERSION, LARGEST_DISPERSION = 1e-3, 1e6  # a variance of m + 1000 m^2, and that of a Poisson


class Decoder(Module):
    """p(x | z) = likelihood(f(z)),   where the network f gives the parameters of the likelihood

    A subclass has its class of distributions in `likelihood`, which says what data it takes; `LIKELIHOODS` names them.

    Parameters
    ----------
    network : Module
        f, (N, K) -> (N, D), or to the event_ndim axes of one x. Where a likelihood takes two numbers for each entry of
        x, the network gives them side by side on the last axis.
    event_ndim : int
        The number of axes of one x: 1 for vectors, 3 for images.

    Attributes
    ----------
    network, event_ndim
        The parameters of these names.
    likelihood : class
        The distribution that a call returns.

    See Also
    --------
    BernoulliDecoder, GaussianDecoder, PoissonDecoder : three of the decoders.
    GaussianEncoder : the network of q(z | x).

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> class LogitDecoder(sv.models.Decoder):
    ...     likelihood = sv.distributions.Bernoulli
    ...     def __call__(self, z):
    ...         return sv.distributions.Bernoulli(self.network(z), self.event_ndim)
    >>> LogitDecoder(sv.nn.Linear(2, 6, sv.Noise(0)))(numpy.zeros((5, 2), numpy.float32)).mean.shape
    (5, 6)
    """

    likelihood: type[Distribution]

    def __init__(self, network: Any, event_ndim: int = 1) -> None:
        self.network, self.event_ndim = network, event_ndim

    @classmethod
    def of(cls, network: Any, std: float | str, event_ndim: int) -> Decoder:
        """Returns a decoder with this standard deviation, if the likelihood has one to set."""
        return cls(network, event_ndim)

    @classmethod
    def outputs_per_entry(cls, std: float | str) -> int:
        """Returns how many numbers the network gives for one entry of x."""
        return 1

    @staticmethod
    def reader(network: Any) -> Any:
        """Returns the network of an encoder or a classifier, changed so that it reads data of this likelihood."""
        return network


class BernoulliDecoder(Decoder):
    """p(x | z) = Bernoulli(sigmoid(f(z))),   where the network f gives the logits

    Source: deck, 'The "hello world" of deep generative models'.

    Parameters
    ----------
    network : Module
        f, (N, K) -> (N, D), or images (N, H, W, C).
    event_ndim : int
        As in `Decoder`.

    Attributes
    ----------
    network, event_ndim
        The parameters of these names.

    See Also
    --------
    GaussianDecoder : real numbers.
    scratchvae.distributions.Bernoulli : the distribution.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> decoder = sv.models.BernoulliDecoder(sv.nn.Linear(2, 3, sv.Noise(0)))
    >>> decoder(numpy.zeros((1, 2), numpy.float32)).mean.data
    array([[0.5, 0.5, 0.5]], dtype=float32)
    """

    likelihood = Bernoulli

    def __call__(self, z: Any) -> Bernoulli:
        return Bernoulli(self.network(z), self.event_ndim)

    def __repr__(self) -> str:
        return f"Bernoulli(logits = {self.network})"


class PoissonDecoder(Decoder):
    """p(x | z) = Poisson(r),   where the network f gives the log rates, (N, K) -> (N, D)

    They are bounded from above, smoothly: log r = f - log(1 + exp(f - log s)) with s = 2^24, so that r < s. An encoder
    beside this decoder reads log(1 + x), see `OfLogCounts`.

    Parameters
    ----------
    network : Module
        f, (N, K) -> (N, D).
    event_ndim : int
        As in `Decoder`.

    Attributes
    ----------
    network, event_ndim
        The parameters of these names.

    See Also
    --------
    NegativeBinomialDecoder : counts whose variance exceeds their mean.
    scratchvae.distributions.Poisson : the distribution.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> decoder = sv.models.PoissonDecoder(sv.nn.Linear(2, 3, sv.Noise(0)))
    >>> decoder(numpy.zeros((1, 2), numpy.float32)).mean.data.round(3)
    array([[1., 1., 1.]], dtype=float32)
    """

    likelihood = Poisson

    @staticmethod
    def reader(network: Any) -> Any:
        """Returns a network that reads log(1 + x)."""
        return OfLogCounts(network)

    def __call__(self, z: Any) -> Poisson:
        return Poisson(bounded_above(self.network(z), LARGEST_RATE), self.event_ndim)

    def __repr__(self) -> str:
        return f"Poisson(log rate = {self.network})"


class NegativeBinomialDecoder(Decoder):
    """p(x | z) = NegativeBinomial(m, t),   where the network f gives log m and log t side by side, (N, K) -> (N, 2 D)

    The mean m stays below 2^24, as the rate of a Poisson decoder does, and the inverse dispersion t between 1e-3 and
    1e6, both bounded smoothly. An encoder beside this decoder reads log(1 + x), see `OfLogCounts`.

    Parameters
    ----------
    network : Module
        f, (N, K) -> (N, 2 D).
    event_ndim : int
        As in `Decoder`.

    Attributes
    ----------
    network, event_ndim
        The parameters of these names.

    See Also
    --------
    PoissonDecoder : the limit for large t.
    scratchvae.distributions.NegativeBinomial : the distribution.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> decoder = sv.models.NegativeBinomialDecoder(sv.nn.Linear(2, 6, sv.Noise(0)))
    >>> p = decoder(numpy.zeros((1, 2), numpy.float32))
    >>> p.mean.data.round(3), p.std.data.round(3)  # the variance is m + m^2 / t, here 2
    (array([[1., 1., 1.]], dtype=float32), array([[1.414, 1.414, 1.414]], dtype=float32))
    """

    likelihood = NegativeBinomial

    @classmethod
    def outputs_per_entry(cls, std: float | str) -> int:
        """Returns 2: the network gives the log mean and the log inverse dispersion."""
        return 2

    @staticmethod
    def reader(network: Any) -> Any:
        """Returns a network that reads log(1 + x)."""
        return OfLogCounts(network)

    def __call__(self, z: Any) -> NegativeBinomial:
        log_mean, log_dispersion = halves(self.network(z))
        log_dispersion = bounded_above(bounded_below(log_dispersion, SMALLEST_DISPERSION), LARGEST_DISPERSION)
        return NegativeBinomial(bounded_above(log_mean, LARGEST_RATE), log_dispersion, self.event_ndim)

    def __repr__(self) -> str:
        return f"NegativeBinomial(log mean and log inverse dispersion = {self.network})"


class DecoderOfKnownEntries(Module):
    """p(x | z) of the known entries of x: an integral over the missing ones, which leaves the other factors

    Parameters
    ----------
    decoder : Module
        A decoder whose likelihood has independent entries.

    Attributes
    ----------
    decoder : Module
        The parameter of this name.
    likelihood : class
        That of the decoder.

    See Also
    --------
    OfKnownEntries : the network of an encoder that reads NaN.
    scratchvae.distributions.KnownEntries : the distribution.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> decoder = sv.models.BernoulliDecoder(sv.nn.Linear(2, 3, sv.Noise(0)))
    >>> p = sv.models.DecoderOfKnownEntries(decoder)(numpy.zeros((1, 2), numpy.float32))
    >>> numpy.exp(p.log_prob(numpy.array([[1.0, numpy.nan, 0.0]])).data).round(6)  # two entries of probability 1/2
    array([0.25])
    """

    def __init__(self, decoder: Any) -> None:
        self.decoder, self.likelihood = decoder, decoder.likelihood

    def __call__(self, z: Any) -> KnownEntries:
        return KnownEntries(self.decoder(z))

    def __repr__(self) -> str:
        return f"{self.decoder}, of known entries"


def bounded_below(raw: Any, smallest: float) -> Any:
    """Returns log s + log(1 + exp(raw - log s)), a logarithm that stays above that of s, the smallest value."""
    return math.log(smallest) + ops.softplus(raw - math.log(smallest))


def bounded_above(raw: Any, largest: float) -> Any:
    """Returns raw - log(1 + exp(raw - log s)), a logarithm that stays below that of s, the largest value."""
    return raw - ops.softplus(raw - math.log(largest))
