"""Decoders of real numbers, whose likelihoods have a standard deviation: Gaussian, Laplace and Student-t."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.autodiff import Tensor
from scratchvae.distributions import Laplace, Normal, StudentT
from scratchvae.errors import InputError
from scratchvae.models.decoders import Decoder, bounded_above, bounded_below
from scratchvae.models.encoders import halves

SMALLEST_STD = 1e-3  # about the rounding error of 8-bit pixels, 1 / (255 sqrt(12))
INITIAL_STD = 0.3  # where a learned one starts; about the deviation of grey values in [0, 1]
SMALLEST_EXCESS, LARGEST_EXCESS = 1e-2, 1e6  # degrees of freedom minus 2; above 2 the variance is finite
INITIAL_EXCESS = 3.0  # five degrees of freedom


class RealDecoder(Decoder):
    """p(x | z) of mean f(z) and standard deviation sigma, x of real numbers: Gaussian, Laplace, Student-t

    sigma is a number that is given, one that is learned and starts at 0.3, or one per entry of x that the network gives
    and that starts near 1. A learned sigma is bounded from below, smoothly: log sigma = log s + log(1 + exp(raw - log
    s)) with s = 1e-3, so that sigma > s.

    Parameters
    ----------
    network : Module
        f, (N, K) -> (N, D) or (N, H, W, C). With std="decoder" it gives the mean and the raw log sigma side by side,
        (N, 2 D) or (N, H, W, 2 C).
    std : float, "learned" or "decoder"
        sigma as a number, as one learned number, or from the network.
    event_ndim : int
        As in `Decoder`.

    Attributes
    ----------
    network, std, event_ndim
        The parameters of these names.

    See Also
    --------
    GaussianDecoder, LaplaceDecoder, StudentTDecoder : the decoders of this form.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> decoder = sv.models.GaussianDecoder(sv.nn.Linear(2, 12, sv.Noise(0)), std="decoder")
    >>> mean, log_std = decoder.parameters_of_x(numpy.zeros((5, 2), numpy.float32))
    >>> mean.shape, log_std.shape
    ((5, 6), (5, 6))
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
        """Returns a decoder with this standard deviation."""
        return cls(network, std, event_ndim)

    @classmethod
    def outputs_per_entry(cls, std: float | str) -> int:
        """Returns 2 where the network gives the standard deviation as well, else 1."""
        return 2 if std == "decoder" else 1

    @property
    def std(self) -> float | str:
        """The number, or "learned" or "decoder". It cannot be set: another one needs another decoder."""
        if "raw_log_std" in vars(self):
            return "learned"
        return math.exp(self.log_std) if "log_std" in vars(self) else "decoder"

    def parameters_of_x(self, z: Any) -> tuple[Any, Any]:
        """Returns the mean and log sigma of every entry of x.   (N, K) -> (N, D), and (N, D) or ()"""
        if "log_std" in vars(self):  # `std` would wait for its value on a GPU
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

    Source: deck, "Variational Auto-Encoders".

    Parameters
    ----------
    network : Module
        f, (N, K) -> (N, D), or, with std="decoder", (N, 2 D).
    std : float, "learned" or "decoder"
        sigma: a number, one learned number, or one per entry of x from the network.
    event_ndim : int
        As in `Decoder`.

    Attributes
    ----------
    network, std, event_ndim
        The parameters of these names.

    See Also
    --------
    LaplaceDecoder, StudentTDecoder : heavier tails.
    scratchvae.distributions.Normal : the distribution.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> decoder = sv.models.GaussianDecoder(sv.nn.Linear(2, 6, sv.Noise(0)), std="learned")
    >>> decoder(numpy.zeros((5, 2), numpy.float32)).mean.shape
    (5, 6)
    >>> list(decoder.named_parameters())
    ['raw_log_std', 'network.weight', 'network.bias']
    """

    likelihood = Normal

    def __call__(self, z: Any) -> Normal:
        return Normal(*self.parameters_of_x(z), self.event_ndim)


class LaplaceDecoder(RealDecoder):
    """p(x | z) = product over the entries of Laplace(f(z), b),   b = sigma / sqrt(2),   f(z) the mean and the median

    Parameters
    ----------
    network : Module
        f, as in `GaussianDecoder`.
    std : float, "learned" or "decoder"
        sigma, not the scale b, so that the same number means the same spread as a Gaussian's.
    event_ndim : int
        As in `Decoder`.

    Attributes
    ----------
    network, std, event_ndim
        The parameters of these names.

    See Also
    --------
    StudentTDecoder : tails that are heavier still.
    scratchvae.distributions.Laplace : the distribution.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> decoder = sv.models.LaplaceDecoder(sv.nn.Linear(2, 6, sv.Noise(0)), std=0.5)
    >>> round(float(decoder(numpy.zeros((5, 2), numpy.float32)).std), 6)
    0.5
    """

    likelihood = Laplace

    def __call__(self, z: Any) -> Laplace:
        mean, log_std = self.parameters_of_x(z)
        return Laplace(mean, log_std - 0.5 * math.log(2), self.event_ndim)


class StudentTDecoder(RealDecoder):
    """p(x | z) = product over the entries of StudentT(f(z), s, n),   s = sigma sqrt((n - 2) / n),   f(z) the mean

    The degrees of freedom n are one learned number above 2, at first 5: n = 2 + e, where log e is bounded smoothly to
    1e-2 < e < 1e6. For large n the distribution becomes a Gaussian.

    Parameters
    ----------
    network : Module
        f, as in `GaussianDecoder`.
    std : float, "learned" or "decoder"
        sigma, not the scale s, so that the same number means the same spread as a Gaussian's.
    event_ndim : int
        As in `Decoder`.

    Attributes
    ----------
    network, std, event_ndim
        The parameters of these names.
    raw_log_excess : Tensor ()
        The number that e is computed from.

    See Also
    --------
    GaussianDecoder : the limit for large n.
    scratchvae.distributions.StudentT : the distribution.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> decoder = sv.models.StudentTDecoder(sv.nn.Linear(2, 6, sv.Noise(0)))
    >>> p = decoder(numpy.zeros((5, 2), numpy.float32))
    >>> round(float(numpy.exp(p.log_df.data)), 2)
    5.01
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
