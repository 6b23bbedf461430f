"""What every model of this package does with data and with its prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy

from scratchvae.arrays import Array, as_array, as_floats, is_array
from scratchvae.autodiff import Tensor
from scratchvae.backend import array_module, device_of, to_numpy
from scratchvae.binarization import MODES, binarize
from scratchvae.distributions import Bernoulli, Normal
from scratchvae.distributions.distribution import as_likelihood
from scratchvae.errors import DataError, DeviceError, InputError, ShapeError
from scratchvae.models.configuration import Configured
from scratchvae.nn import Module
from scratchvae.noise import Noise
from scratchvae.pixels import Pixels, as_numbers


class LatentVariableModel(Configured):
    """p(x, z) = p(x | z) p(z),   q(z | x) approximates p(z | x): the part that all models of the package share.

    A derived class defines the attributes below; `elbo_terms` and `log_weights`, for `evaluate` and `log_likelihood`;
    and `objectives`, which `fit` ascends.

    Attributes
    ----------
    prior : Distribution
        p(z).
    decoder : Module
        p(x | z), with an attribute `likelihood`.
    observed_shape, binarize, missing
        As in VAE.

    See Also
    --------
    VAE : the plain model.
    SemiSupervisedVAE : a model with classes.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> model = sv.VAE.mlp(input_size=6, latent_size=2, hidden=(4,))
    >>> model.prior_draws(3).shape, model.has_standard_prior, model.quantity(numpy.ones((1, 6)))
    ((3, 2), True, 'lower bound of log p(x), values that are 0 or 1')
    """

    prior: Any
    observed_shape: tuple[int, ...] | None
    binarize: str
    missing: bool = False
    objectives: ClassVar[dict[str, Any]]
    smallest_latent_size: ClassVar[int] = 1

    def set_networks(
        self,
        encoder: Any,
        decoder: Any,
        latent_size: int,
        observed_shape: Sequence[int] | None,
        binarize: str,
        missing: bool = False,
        prior: Any = None,
    ) -> None:
        """Sets encoder, decoder, p(z), by default Normal(0, I), and how data are prepared.

        Raises InputError for parts that do not fit, ShapeError for a prior of another size than the latent variables.
        """
        kind = type(self).__name__
        for name, part in (("encoder", encoder), ("decoder", decoder)):
            if not isinstance(part, Module):
                raise InputError(kind, f"a Module as {name}", type(part).__name__, "else its parameters stay unknown")
        if not isinstance(latent_size, Integral) or latent_size < self.smallest_latent_size:
            raise InputError(kind, f"latent_size of at least {self.smallest_latent_size}", repr(latent_size))
        if not hasattr(decoder, "likelihood"):
            hint = "likelihood = sv.distributions.Bernoulli, say: it decides which data are taken"
            raise InputError(kind, "a decoder with an attribute likelihood", type(decoder).__name__, hint)
        if binarize not in MODES:
            raise InputError(kind, f"binarize among {', '.join(MODES)}", repr(binarize))
        if binarize != "none" and decoder.likelihood is not Bernoulli:
            raise InputError(kind, 'binarize="none" with a likelihood other than Bernoulli', repr(binarize))
        if not isinstance(missing, bool):
            raise InputError(kind, "missing as True or False", repr(missing))
        self.encoder, self.decoder, self.binarize, self.missing = encoder, decoder, binarize, missing
        self.observed_shape = None if observed_shape is None else tuple(observed_shape)
        standard = Normal(*numpy.zeros((2, latent_size), dtype=numpy.float32))
        self.prior = standard if prior is None else _checked_prior(kind, prior, (latent_size,))
        if encoder.parameters():
            self.to(encoder.device)

    def prior_draws(self, n: int, seed: int = 0) -> Array:
        """Returns n draws z ~ p(z).   (n, K)"""
        if not isinstance(n, Integral) or n < 1:
            raise InputError("sample", "n of at least 1", repr(n))
        noise, shape = Noise(seed, device=self.device), (n, self.latent_size)
        if isinstance(self.prior, Normal):
            return self.prior.sample(noise.normal("prior", shape))
        return self.prior.sample(noise.uniform("component", shape[:1]), noise.normal("prior", shape))

    @property
    def has_standard_prior(self) -> bool:
        """Whether p(z) is Normal(0, I)."""
        prior = self.prior
        return type(prior) is Normal and not prior.parameters() and not (prior.mean.any() or prior.log_std.any())

    @property
    def latent_size(self) -> int:
        """K, the number of latent units."""
        return self.prior.shape[0]

    def quantity(self, x: Any = None) -> str:
        """Returns in words what the ELBO of the data x is; x is None if unknown."""
        if self.binarize != "none":
            words = f"lower bound of log p(x), binarize={self.binarize}"
        else:
            x = self._or_pixels(x)
            x = x.some_values() if isinstance(x, Pixels) else x
            known = x[x == x] if self.missing and x is not None else x
            words = as_likelihood(self.decoder.likelihood).quantity(known)
        return f"{words}, of the entries that are known" if self.missing else words

    def preparation(self) -> str:
        """Returns what is done to data before they are scored, as the end of a clause; for `print`."""
        return f", binarize={self.binarize}" + (", missing entries are integrated out" if self.missing else "")

    def entries(self, x: Any) -> int:
        """Returns how many numbers decoder and prior compute at a time for one row of x, by which memory is bounded."""
        return max(math.prod(x.shape[1:]), getattr(self.prior, "n_components", 1) * self.latent_size)

    # ---- the entrance for data

    def rows(self, x: Any) -> Any:
        """Returns x reshaped to (N, *observed_shape), if its rows have as many entries. Raises ShapeError if not.

        Images become vectors and the other way round; images of another height, width or depth are refused.
        """
        x = x if is_array(x) or isinstance(x, (Tensor, Pixels)) else as_array("data", x)
        shape, received = self.observed_shape, x.shape[1:]
        if shape is None or received == shape:
            return x
        reordered = min(len(received), len(shape)) > 1 and [n for n in received if n > 1] != [n for n in shape if n > 1]
        if x.ndim < 2 or math.prod(received) != math.prod(shape) or reordered:
            hint = "channels come last: x.transpose(0, 2, 3, 1)" if received[1:] + received[:1] == shape else ""
            hint = "rows come first: x.transpose(3, 0, 1, 2)" if x.shape[:3] == shape and x.ndim == 4 else hint
            raise ShapeError("VAE", f"rows of {' x '.join(map(str, shape))} entries", f"shape {x.shape}", hint)
        return x.reshape(x.shape[0], *shape)

    def latents(self, z: Any) -> Any:
        """Returns z as an array (..., K), checked: the entrance for latent variables.

        Raises DataError for data that are no array of numbers, ShapeError for another last axis.
        """
        z = as_floats("decode", z)
        if z.shape[-1:] != self.prior.shape:
            raise ShapeError("decode", f"z of shape (..., {self.latent_size})", str(z.shape))
        return z

    def observations(self, x: Any) -> Any:
        """Returns x as the model takes it, checked: the entrance for data.   (N, ...) -> (N, *observed_shape)

        The result has the model's type. An array of uint8 is taken for 8-bit pixels k / 255, unless the likelihood is
        one of counts. It is returned as `Pixels`, which stay bytes and become floats some rows at a time.

        Raises DataError for data that are no array, an empty set, infinities, NaN unless the model takes missing
        entries, other integers unless the likelihood is one of counts, and values outside the likelihood's support.
        Raises DeviceError if x lies on another device than the model, ShapeError for rows of another size.
        """
        likelihood = as_likelihood(self.decoder.likelihood)
        values = self._or_pixels(x if isinstance(x, Pixels) else as_array("data", x))
        if isinstance(values, Pixels):
            if values is not x:
                self._check_device(values.array)
            values = self.rows(values)
            likelihood.check_data(values.some_values())
            return values.astype(self.dtype)
        x = values if values.dtype.kind in likelihood.data_kinds else as_floats("data", x)
        if x.shape[:1] in ((), (0,)):
            raise DataError("data", "at least one row", f"shape {x.shape}")
        self._check_device(x)
        x = self.rows(x)
        xp = array_module(x)
        known = x[~xp.isnan(x)] if self.missing else x
        if not bool(xp.isfinite(known).all()):
            hint = "sv.VAE.mlp(missing=True) takes NaN for missing and learns from the others"
            received = "infinity" if self.missing else "NaN or infinity"
            raise DataError("data", "finite numbers", received, "" if self.missing else hint)
        if known.size:
            likelihood.check_data(known)
        with numpy.errstate(over="ignore"):
            own = x.astype(self.dtype, copy=False)
        if own is not x and bool(xp.isinf(own).any()):
            raise DataError("data", f"numbers that {self.dtype} holds", f"values up to {float(abs(known).max()):.3g}")
        return own

    def _or_pixels(self, x: Any) -> Any:
        """Returns an array of bytes as Pixels, unless the likelihood is one of counts; anything else as it is."""
        is_bytes = is_array(x) and x.dtype == numpy.uint8
        return Pixels.of("data", x) if is_bytes and "u" not in as_likelihood(self.decoder.likelihood).data_kinds else x

    def _check_device(self, x: Any) -> None:
        if device_of(x) != self.device:
            raise DeviceError("data", f"an array on the model's device, {self.device}", f"one on {device_of(x)}")

    def network_input(self, x: Any) -> Any:
        """Returns `observations` of x with pixels as floats, as a network takes them."""
        return as_numbers(self.observations(x), self.device)

    def prepare_data(self, x: Any, noise: Any) -> Any:
        """Returns data as they stay for all of training: binarised, unless pixels are drawn anew at every step.

        Pixels stay bytes, on the model's device if they fit there, and are binarised minibatch by minibatch; with
        binarize="static" they become 0 and 255 here.
        """
        if isinstance(x, Pixels):
            return (self._drawn_once(x, noise) if self.binarize == "static" else x).to(self.device)
        return x if self.binarize == "dynamic" else self._binarized(x, self.binarize, noise)

    def prepare_batch(self, x: Any, noise: Any) -> Any:
        """Returns a minibatch as one step takes it: with binarize="dynamic" pixels are drawn from the step's noise.

        x is an array or Pixels; unchanged models of the package receive Rows on a GPU, which are gathered here.
        """
        if isinstance(x, Pixels) and self.binarize == "threshold":
            return binarize(as_numbers(x, self.device), "threshold", noise)
        return self._binarized(x, "dynamic", noise) if self.binarize == "dynamic" else as_numbers(x, self.device)

    def _binarized(self, x: Any, mode: str, noise: Any) -> Any:
        """Returns x in {0, 1}; missing entries stay NaN."""
        if not self.missing:
            return binarize(x, mode, noise)
        x = as_numbers(x, self.device)
        return array_module(x).where(x == x, binarize(x, mode, noise), x)

    def _drawn_once(self, x: Pixels, noise: Any) -> Pixels:
        """Returns new bytes, each 255 with probability x, else 0, drawn some rows at a time."""
        drawn, done = numpy.empty(x.shape, dtype=numpy.uint8), 0
        for part in x.parts():
            values = binarize(part.numbers(self.device), "static", noise, done)
            drawn[done : done + len(part)] = to_numpy(255 * values)
            done += len(part)
        return Pixels(drawn, dtype=x.dtype)

    def augment(self, x: Any, noise: Any) -> Any:
        """Returns a prepared minibatch as training alone varies it: here unchanged."""
        return x


def _checked_prior(kind: str, prior: Any, shape: tuple[int, ...]) -> Any:
    """Returns the prior, if it can score and draw z of this shape."""
    if not isinstance(prior, Module) or not all(hasattr(prior, name) for name in ("shape", "log_prob", "sample")):
        hint = (
            'sv.distributions.Normal, NormalMixture or sv.models.VampPrior; the constructors take "mixture" and "vamp"'
        )
        raise InputError(kind, "a prior with shape, log_prob and sample", repr(prior), hint)
    if tuple(prior.shape) != shape:
        raise ShapeError(kind, f"a prior of shape {shape}", str(tuple(prior.shape)))
    return prior
