"""Encoders and decoders: a network whose output becomes the parameters of a distribution."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.autodiff import Tensor
from scratchvae.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    KnownEntries,
    Laplace,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)
from scratchvae.errors import InputError
from scratchvae.nn import Module, glorot_uniform
from scratchvae.nn.linear import ACTIVATIONS, check_activation
from scratchvae.noise import Noise

SMALLEST_STD = 1e-3  # of a likelihood of real numbers; about the rounding error of 8-bit pixels, 1 / (255 sqrt(12))
LARGEST_RATE = 2.0**24  # of a likelihood of counts; up to here float32 holds every count
INITIAL_STD = 0.3  # of one that is learned; about the deviation of grey values in [0, 1]
SMALLEST_EXCESS, LARGEST_EXCESS = 1e-2, 1e6  # of degrees of freedom over 2, where the variance becomes finite
INITIAL_EXCESS = 3.0  # five degrees of freedom
SMALLEST_DISPERSION, LARGEST_DISPERSION = 1e-3, 1e6  # a variance of m + 1000 m^2, and that of a Poisson


class GaussianEncoder(Module):
    """q(z | x) = Normal(mu(x), diag(sigma(x)^2)),   where the network gives mu and log sigma side by side

    A network with more inputs, such as ClassConditional, makes an encoder q(z | x, y) with as many.

    Source: deck, "Amortized inference networks".

    Parameters
    ----------
    network : Module
        (N, D) -> (N, 2 K).

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> encoder = sv.models.GaussianEncoder(sv.nn.MLP([6, 4, 4], sv.Noise(0)))
    >>> encoder(numpy.zeros((5, 6), numpy.float32)).mean.shape
    (5, 2)
    """

    def __init__(self, network: Any) -> None:
        self.network = network

    def __call__(self, *x: Any) -> Normal:
        return Normal(*halves(self.network(*x)))

    def __repr__(self) -> str:
        return f"Normal(mean and log std = {self.network})"


class Classifier(Module):
    """q(y | x) = Categorical(softmax(f(x))),   where the network f gives the logits

    network: (N, D) -> (N, C).   Source: deck, "Generative model and inference networks".
    """

    def __init__(self, network: Any) -> None:
        self.network = network

    def __call__(self, x: Any) -> Categorical:
        return Categorical(self.network(x))

    def __repr__(self) -> str:
        return f"Categorical(logits = {self.network})"


class OfLogCounts(Module):
    """f(log(1 + x)),   x counts: f reads counts on the scale on which a Poisson decoder gives its rates"""

    def __init__(self, network: Any) -> None:
        self.network = network

    def __call__(self, x: Any, *y: Any) -> Any:
        return self.network(ops.log1p(x), *y)

    def __repr__(self) -> str:
        return f"{self.network} of log(1 + x)"


class OfKnownEntries(Module):
    """f(x with 0 for missing entries, and beside it 1 for every known entry, 0 for the others)

    Without the indicators a missing entry would be one that is 0. network: (N, 2 D) -> (N, output), or of twice the
    channels.

    Sources: zeros as in Nazabal et al. (2020), "Handling incomplete heterogeneous data using VAEs", and Mattei &
    Frellsen (2019), "MIWAE"; the indicators as in Ivanov, Figurnov & Vetrov (2019), "Variational autoencoder with
    arbitrary conditioning".
    """

    def __init__(self, network: Any) -> None:
        self.network = network

    def __call__(self, x: Any) -> Any:
        known = x == x  # NaN is not; x may be a Tensor, of pseudo-inputs say
        return self.network(ops.concatenate([ops.where(known, x, 0.0), known.astype(x.dtype)], axis=-1))

    def __repr__(self) -> str:
        return f"{self.network} of known entries and where they are"


class DecoderOfKnownEntries(Module):
    """p(x | z) of the known entries of x: an integral over the missing ones, which leaves the other factors

    decoder : one whose likelihood has independent entries
    """

    def __init__(self, decoder: Any) -> None:
        self.decoder, self.likelihood = decoder, decoder.likelihood

    def __call__(self, z: Any) -> KnownEntries:
        return KnownEntries(self.decoder(z))

    def __repr__(self) -> str:
        return f"{self.decoder}, of known entries"


class ClassConditional(Module):
    """f(x, y) = head(a(body(x) + y V)),   y the indicator of a class, (..., C);   V (C, H), a an activation

    With a Linear body this is a perceptron of x and y side by side. The body runs once for each x, however many classes
    it meets: x (N, D) and y (C, 1, C), every class for every row, give (C, N, H) and then the head's (C, N, output).

    body: (N, D) -> (N, H), head: (..., H) -> (..., output); V draws from the noise.
    """

    def __init__(self, body: Any, head: Any, shape: tuple[int, int], noise: Noise, activation: str = "relu") -> None:
        check_activation("ClassConditional", activation)
        self.activation, self.body, self.head = activation, body, head
        self.class_weight = Tensor(glorot_uniform(noise, shape))

    def __call__(self, x: Any, y: Any) -> Any:
        h = self.body(x) + ops.matmul(y, self.class_weight)
        return self.head(ACTIVATIONS[self.activation](h))

    def __repr__(self) -> str:
        entering = " -> ".join(map(str, self.class_weight.shape))
        return f"{self.head} of {self.activation}({self.body} + y ({entering}))"


class Decoder(Module):
    """p(x | z) = likelihood(f(z)),   where the network f gives the parameters of the likelihood

    network: (N, K) -> (N, D), or to the event_ndim axes of one x, three for images. Where a likelihood takes two
    numbers for each entry of x, the network gives them side by side on the last axis.

    A subclass has its class of distributions in `likelihood`, which says what data it takes; `LIKELIHOODS` names them.
    """

    likelihood: type[Distribution]

    def __init__(self, network: Any, event_ndim: int = 1) -> None:
        self.network, self.event_ndim = network, event_ndim

    @classmethod
    def of(cls, network: Any, std: float | str, event_ndim: int) -> Decoder:
        """A decoder with this standard deviation, where the likelihood has one to set."""
        return cls(network, event_ndim)

    @classmethod
    def outputs_per_entry(cls, std: float | str) -> int:
        """Returns how many numbers the network gives for one entry of x."""
        return 1

    @staticmethod
    def reader(network: Any) -> Any:
        """Returns the network of an encoder or a classifier, as it reads data of this likelihood."""
        return network


class BernoulliDecoder(Decoder):
    """p(x | z) = Bernoulli(sigmoid(f(z))),   where the network f gives the logits, (N, K) -> (N, D)

    Source: deck, 'The "hello world" of deep generative models'.
    """

    likelihood = Bernoulli

    def __call__(self, z: Any) -> Bernoulli:
        return Bernoulli(self.network(z), self.event_ndim)

    def __repr__(self) -> str:
        return f"Bernoulli(logits = {self.network})"


class PoissonDecoder(Decoder):
    """p(x | z) = Poisson(r),   where the network f gives the log rates, (N, K) -> (N, D)

    They are bounded from above, smoothly: log r = f - log(1 + exp(f - log s)) with s = 2^24, so that r < s.
    """

    likelihood = Poisson

    @staticmethod
    def reader(network: Any) -> Any:
        """The network reads log(1 + x)."""
        return OfLogCounts(network)

    def __call__(self, z: Any) -> Poisson:
        return Poisson(bounded_above(self.network(z), LARGEST_RATE), self.event_ndim)

    def __repr__(self) -> str:
        return f"Poisson(log rate = {self.network})"


class NegativeBinomialDecoder(Decoder):
    """p(x | z) = NegativeBinomial(m, t),   where the network f gives log m and log t side by side, (N, K) -> (N, 2 D)

    The mean m stays below 2^24, as the rate of a Poisson decoder, and the inverse dispersion t between 1e-3 and 1e6,
    both bounded smoothly.
    """

    likelihood = NegativeBinomial

    @classmethod
    def outputs_per_entry(cls, std: float | str) -> int:
        """Two: the log mean and the log inverse dispersion."""
        return 2

    @staticmethod
    def reader(network: Any) -> Any:
        """The network reads log(1 + x)."""
        return OfLogCounts(network)

    def __call__(self, z: Any) -> NegativeBinomial:
        log_mean, log_dispersion = halves(self.network(z))
        log_dispersion = bounded_above(bounded_below(log_dispersion, SMALLEST_DISPERSION), LARGEST_DISPERSION)
        return NegativeBinomial(bounded_above(log_mean, LARGEST_RATE), log_dispersion, self.event_ndim)

    def __repr__(self) -> str:
        return f"NegativeBinomial(log mean and log inverse dispersion = {self.network})"


class RealDecoder(Decoder):
    """p(x | z) of mean f(z) and standard deviation sigma, x of real numbers: Gaussian, Laplace, Student-t

    std: sigma as a number; "learned" for one learned number, 0.3 at first; "decoder" for one per pixel, near 1 at
    first, where the network, (N, K) -> (N, 2 D) or (N, H, W, 2 C), gives mean and raw log std side by side on the last
    axis. A learned sigma is bounded from below, smoothly: log sigma = log s + log(1 + exp(raw - log s)) with s = 1e-3,
    so that sigma > s.
    """

    def __init__(self, network: Any, std: float | str = 0.1, event_ndim: int = 1) -> None:
        super().__init__(network, event_ndim)
        if std == "learned":
            self.raw_log_std = Tensor(numpy.array(math.log(INITIAL_STD), dtype=numpy.float32))
        elif isinstance(std, Real) and not isinstance(std, bool) and 0 < std < math.inf:
            self.log_std = numpy.array(math.log(std), dtype=numpy.float32)
        elif std != "decoder":
            expected = 'std as a positive number, "learned" or "decoder"'
            raise InputError(type(self).__name__, expected, repr(std))

    @classmethod
    def of(cls, network: Any, std: float | str, event_ndim: int) -> Decoder:
        """A decoder with this standard deviation."""
        return cls(network, std, event_ndim)

    @classmethod
    def outputs_per_entry(cls, std: float | str) -> int:
        """Two where the network gives the standard deviation as well."""
        return 2 if std == "decoder" else 1

    @property
    def std(self) -> float | str:
        """The number, or "learned" or "decoder"; another one is another decoder."""
        if "raw_log_std" in vars(self):
            return "learned"
        return math.exp(self.log_std) if "log_std" in vars(self) else "decoder"

    def parameters_of_x(self, z: Any) -> tuple[Any, Any]:
        """The mean and log sigma of every entry of x.   (N, K) -> (N, D), and (N, D) or ()"""
        if "log_std" in vars(self):  # whose value, on a GPU, is not to be read here: that would wait for it
            return self.network(z), self.log_std
        if self.std == "decoder":
            mean, raw_log_std = halves(self.network(z))
            return mean, bounded_below(raw_log_std, SMALLEST_STD)
        return self.network(z), bounded_below(self.raw_log_std, SMALLEST_STD)

    def __repr__(self) -> str:
        std = self.std if isinstance(self.std, str) else f"{self.std:g}"
        return f"{self.likelihood.__name__}(mean = {self.network}, std = {std})"


class GaussianDecoder(RealDecoder):
    """p(x | z) = Normal(f(z), sigma^2 I),   where the network f gives the mean

    std: sigma, as in RealDecoder.

    Source: deck, "Variational Auto-Encoders".
    """

    likelihood = Normal

    def __call__(self, z: Any) -> Normal:
        return Normal(*self.parameters_of_x(z), self.event_ndim)


class LaplaceDecoder(RealDecoder):
    """p(x | z) = product over the entries of Laplace(f(z), b),   b = sigma / sqrt(2),   f(z) the mean and the median

    std: sigma, as in RealDecoder, and not the scale b: so the same number means the same spread as a Gaussian's.
    """

    likelihood = Laplace

    def __call__(self, z: Any) -> Laplace:
        mean, log_std = self.parameters_of_x(z)
        return Laplace(mean, log_std - 0.5 * math.log(2), self.event_ndim)


class StudentTDecoder(RealDecoder):
    """p(x | z) = product over the entries of StudentT(f(z), s, n),   s = sigma sqrt((n - 2) / n),   f(z) the mean

    The degrees of freedom n are one learned number above 2, at first 5: n = 2 + e, where log e is bounded smoothly to
    1e-2 < e < 1e6. std: sigma, as in RealDecoder, and not the scale s: so the same number means the same spread as a
    Gaussian's, which the decoder becomes for large n.
    """

    likelihood = StudentT

    def __init__(self, network: Any, std: float | str = 0.1, event_ndim: int = 1) -> None:
        super().__init__(network, std, event_ndim)
        self.raw_log_excess = Tensor(numpy.array(math.log(INITIAL_EXCESS), dtype=numpy.float32))

    def __call__(self, z: Any) -> StudentT:
        mean, log_std = self.parameters_of_x(z)
        log_excess = bounded_above(bounded_below(self.raw_log_excess, SMALLEST_EXCESS), LARGEST_EXCESS)
        log_df = math.log(2) + ops.softplus(log_excess - math.log(2))
        return StudentT(mean, log_std + 0.5 * (log_excess - log_df), log_df, self.event_ndim)

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, degrees of freedom learned)"


LIKELIHOODS: dict[str, type[Decoder]] = {
    "bernoulli": BernoulliDecoder,
    "gaussian": GaussianDecoder,
    "laplace": LaplaceDecoder,
    "student-t": StudentTDecoder,
    "poisson": PoissonDecoder,
    "negative-binomial": NegativeBinomialDecoder,
}
"""Name -> the decoder of that likelihood."""


def decoder_named(operation: str, name: str) -> type[Decoder]:
    """The class in LIKELIHOODS. Raises InputError, in the name of the operation, for another name."""
    if not isinstance(name, str) or name not in LIKELIHOODS:
        raise InputError(operation, f"a likelihood among {', '.join(LIKELIHOODS)}", repr(name))
    return LIKELIHOODS[name]


def bounded_below(raw: Any, smallest: float) -> Any:
    """log s + log(1 + exp(raw - log s)): a logarithm that stays above that of s."""
    return math.log(smallest) + ops.softplus(raw - math.log(smallest))


def bounded_above(raw: Any, largest: float) -> Any:
    """raw - log(1 + exp(raw - log s)): a logarithm that stays below that of s."""
    return raw - ops.softplus(raw - math.log(largest))


def halves(output: Any) -> tuple[Any, Any]:
    """The two halves of the last axis.   (..., 2 K) -> (..., K), (..., K)"""
    middle = output.shape[-1] // 2
    return output[..., :middle], output[..., middle:]
