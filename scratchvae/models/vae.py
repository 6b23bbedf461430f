"""The variational autoencoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.autodiff import no_grad
from scratchvae.backend import array_module, device_of
from scratchvae.binarization import MODES
from scratchvae.distributions import Bernoulli, Normal, kl
from scratchvae.errors import DataError, DeviceError, InputError, ShapeError
from scratchvae.models.networks import BernoulliDecoder, GaussianDecoder, GaussianEncoder
from scratchvae.nn import MLP, ConvolutionalNetwork, Module, TransposedConvolutionalNetwork
from scratchvae.noise import Noise


class VAE(Module):
    """p(x, z) = p(x | z) p(z),   q(z | x) approximates p(z | x).

    prior    p(z) = Normal(0, I)                        shape (K,)
    encoder  x (N, D) -> Normal over z (N, K)           q(z | x)
    decoder  z (N, K) -> distribution over x (N, D)     p(x | z)

    For x of another shape, images (N, H, W, C) say, read that in place of (N, D).

    Parameters
    ----------
    encoder, decoder : Module
        Called with arrays or Tensors, they return distributions. The decoder has an attribute `likelihood`, its class
        of distributions.
    latent_size : int
        K.
    observed_shape : tuple, optional
        The shape of one x as the encoder takes it. Rows of data with as many entries are reshaped to it.
    binarize : "none", "threshold", "static" or "dynamic"
        How grey values become Bernoulli data: not at all, x > 1/2, drawn once, or drawn anew at every step.

    Source: deck, "Variational Auto-Encoders" to "Summary"; Kingma & Welling (2014), sections 2.1 to 2.4.
    """

    encoder: Any
    decoder: Any
    prior: Normal
    binarize: str
    observed_shape: tuple[int, ...] | None

    def __init__(
        self,
        encoder: Any,
        decoder: Any,
        latent_size: int,
        observed_shape: Sequence[int] | None = None,
        binarize: str = "none",
    ) -> None:
        kind = type(self).__name__
        for name, part in (("encoder", encoder), ("decoder", decoder)):
            if not isinstance(part, Module):
                raise InputError(kind, f"a Module as {name}", type(part).__name__, "else its parameters stay unknown")
        if not isinstance(latent_size, Integral) or latent_size < 1:
            raise InputError(kind, "latent_size of at least 1", repr(latent_size))
        if not hasattr(decoder, "likelihood"):
            hint = "likelihood = sv.distributions.Bernoulli, say: it decides which data are taken"
            raise InputError(kind, "a decoder with an attribute likelihood", type(decoder).__name__, hint)
        if binarize not in MODES:
            raise InputError(kind, f"binarize among {', '.join(MODES)}", repr(binarize))
        if binarize != "none" and decoder.likelihood is not Bernoulli:
            raise InputError(kind, 'binarize="none" with a likelihood other than Bernoulli', repr(binarize))
        self.encoder, self.decoder, self.binarize = encoder, decoder, binarize
        self.observed_shape = None if observed_shape is None else tuple(observed_shape)
        zeros = numpy.zeros(latent_size, dtype=numpy.float32)
        self.prior = Normal(zeros, zeros)
        if encoder.parameters():
            self.to(encoder.device)
        self.configuration: dict[str, Any] | None = None

    @classmethod
    def mlp(
        cls,
        input_size: int = 784,
        latent_size: int = 20,
        hidden: Sequence[int] = (400,),
        activation: str = "relu",
        likelihood: str = "bernoulli",
        std: float | str = 0.1,
        binarize: str = "none",
        seed: int = 0,
    ) -> VAE:
        """A VAE of two multilayer perceptrons, D -> hidden -> 2 K and K -> reversed hidden -> D (or 2 D).

        likelihood: "bernoulli", or "gaussian" with std as in GaussianDecoder. Weights are Glorot uniform, biases zero.
        """
        if not isinstance(hidden, Sequence):
            raise InputError("VAE.mlp", "hidden as a sequence of widths", repr(hidden), "hidden=(400,)")
        configuration = {name: value for name, value in locals().items() if name != "cls"} | {"hidden": list(hidden)}
        outputs = outputs_per_entry("VAE.mlp", likelihood, std) * input_size
        noise = Noise(seed)
        encoder = MLP([input_size, *hidden, 2 * latent_size], noise.child("encoder"), activation)
        decoder = MLP([latent_size, *reversed(hidden), outputs], noise.child("decoder"), activation)
        return cls._of(encoder, decoder, (input_size,), {"constructor": "VAE.mlp"} | configuration)

    @classmethod
    def convolutional(
        cls,
        image_shape: Sequence[int] = (28, 28, 1),
        latent_size: int = 20,
        channels: Sequence[int] = (32, 64),
        activation: str = "relu",
        likelihood: str = "bernoulli",
        std: float | str = 0.1,
        binarize: str = "none",
        seed: int = 0,
    ) -> VAE:
        """A VAE of images (N, H, W, C): 4 x 4 convolutions of stride 2, (H/2, W/2, channels[0]) -> ... -> 2 K and back.

        Halves are rounded down, and sides must be at least 2^len(channels). The innermost step of both networks is
        Linear, and the decoder's others are the encoder's transposed. The rest is as in VAE.mlp.
        """
        configuration = {name: value for name, value in locals().items() if name != "cls"}
        outputs = outputs_per_entry("VAE.convolutional", likelihood, std)
        noise = Noise(seed)
        encoder = ConvolutionalNetwork(image_shape, channels, 2 * latent_size, noise.child("encoder"), activation)
        output_shape = (*image_shape[:2], outputs * image_shape[2])
        decoder = TransposedConvolutionalNetwork(
            latent_size, channels, output_shape, noise.child("decoder"), activation
        )
        configuration |= {"image_shape": list(image_shape), "channels": list(channels)}
        return cls._of(encoder, decoder, image_shape, {"constructor": "VAE.convolutional"} | configuration)

    @classmethod
    def _of(cls, encode: Module, decode: Module, observed_shape: Sequence[int], configuration: dict[str, Any]) -> VAE:
        """A VAE of two networks, with the likelihood that the configuration names."""
        decoder = decoder_of(decode, configuration, len(observed_shape))
        latent_size, binarize = configuration["latent_size"], configuration["binarize"]
        model = cls(GaussianEncoder(encode), decoder, latent_size, observed_shape, binarize)
        if cls is VAE:  # a subclass is not what `load` would build
            model.configuration = configuration
        return model

    def elbo_terms(self, x: Any, noise: Any, n_samples: int = 1) -> tuple[Any, Any]:
        """E_q[log p(x | z)], as a mean over draws of z, and KL(q(z | x) || p(z)), in nats.   (N, D) -> (N,), (N,)"""
        x = self.rows(x)
        q = self.encoder(x)
        z = q.reparameterize(noise.normal("z", (n_samples, *q.shape)))
        return ops.mean(self.decoder(z).log_prob(x), axis=0), kl(q, self.prior)

    def elbo(self, x: Any, noise: Any, n_samples: int = 1) -> Any:
        """L(x) = E_q[log p(x | z)] - KL(q(z | x) || p(z)), in nats.   (N, D) -> (N,)

        Source: deck, "Optimizing the ELBO"; Kingma & Welling (2014), equation 7.
        """
        reconstruction, divergence = self.elbo_terms(x, noise, n_samples)
        return reconstruction - divergence

    def log_weight_terms(self, x: Any, noise: Any, n_samples: int = 1) -> tuple[Any, Any]:
        """log p(x | z) and log q(z | x) - log p(z) for draws z of q(z | x), in nats.   (N, D) -> (S, N), (S, N)

        The mean of the second estimates KL(q(z | x) || p(z)).
        """
        x = self.rows(x)
        q = self.encoder(x)
        z = q.reparameterize(noise.normal("z", (n_samples, *q.shape)))
        return self.decoder(z).log_prob(x), q.log_prob(z) - self.prior.log_prob(z)

    def log_weights(self, x: Any, noise: Any, n_samples: int = 1) -> Any:
        """log w = log p(x | z) + log p(z) - log q(z | x) for draws z of q(z | x), in nats.   (N, D) -> (S, N)

        Their mean is the ELBO by Monte Carlo, without the analytic KL (Kingma & Welling, equation 6); the log of the
        mean of their exponentials estimates log p(x).   Source: deck, "The per-datapoint ELBO".
        """
        reconstruction, divergence = self.log_weight_terms(x, noise, n_samples)
        return reconstruction - divergence

    def importance_weighted_bound(self, x: Any, noise: Any, n_samples: int = 1) -> Any:
        """log (1/S) sum over s of w_s, in nats; its mean rises with S from the ELBO to log p(x).   (N, D) -> (N,)

        Source: Burda, Grosse & Salakhutdinov (2016), equation 8.
        """
        return log_mean_exp(self.log_weights(x, noise, n_samples))

    def encode(self, x: Any) -> Normal:
        """q(z | x), holding arrays.   (N, ...) -> Normal over (N, K)"""
        with no_grad():
            return self.encoder(self.observations(x))

    def decode(self, z: Any) -> Any:
        """p(x | z), holding arrays.   (..., K) -> distribution over (..., D)"""
        with no_grad():
            return self.decoder(self.latents(z))

    def reconstruct(self, x: Any) -> Any:
        """The mean of p(x | z) at the mean of q(z | x), an array in the shape of x."""
        return self.decode(self.encode(x).mean).mean.reshape(x.shape)

    def sample(self, n: int, seed: int = 0) -> Any:
        """The means of p(x | z) for n draws z ~ p(z): an array.   (n, D), or images (n, H, W, C)"""
        return self.decode(self.prior_draws(n, seed)).mean

    def prior_draws(self, n: int, seed: int = 0) -> Any:
        """n draws z ~ p(z): an array.   (n, K)"""
        if not isinstance(n, Integral) or n < 1:
            raise InputError("sample", "n of at least 1", repr(n))
        return self.prior.sample(Noise(seed, device=self.device).normal("prior", (n, self.latent_size)))

    @property
    def latent_size(self) -> int:
        """K, the number of latent units."""
        return self.prior.shape[0]

    def rows(self, x: Any) -> Any:
        """x reshaped to (N, *observed_shape), if its rows have as many entries. Raises ShapeError if not.

        Images become vectors and the other way round; images of another height, width or depth are refused.
        """
        shape, given = self.observed_shape, x.shape[1:]
        if shape is None or given == shape:
            return x
        reordered = min(len(given), len(shape)) > 1 and [n for n in given if n > 1] != [n for n in shape if n > 1]
        if x.ndim < 2 or math.prod(given) != math.prod(shape) or reordered:
            hint = "channels come last: x.transpose(0, 2, 3, 1)" if given[1:] + given[:1] == shape else ""
            raise ShapeError("VAE", f"rows of {' x '.join(map(str, shape))} entries", f"shape {x.shape}", hint)
        return x.reshape(x.shape[0], *shape)

    def latents(self, z: Any) -> Any:
        """z, checked: the entrance for latent variables.   (..., K) -> the same. Raises InputError and ShapeError."""
        if not hasattr(z, "dtype") or z.dtype.kind != "f":
            received = str(getattr(z, "dtype", type(z).__name__))
            raise InputError("decode", "an array of floating-point numbers", received)
        if z.shape[-1:] != self.prior.shape:
            raise ShapeError("decode", f"z of shape (..., {self.latent_size})", str(z.shape))
        return z

    def observations(self, x: Any) -> Any:
        """x as the model takes it, checked: the entrance for data.   (N, ...) -> (N, *observed_shape), the model's type

        Raises DataError for integers, an empty set, NaN, infinities, and for values outside [0, 1] where the likelihood
        is Bernoulli; DeviceError if x lies on another device than the model; ShapeError for rows of another size.
        """
        if not hasattr(getattr(x, "dtype", None), "kind"):
            raise DataError("data", "a NumPy or CuPy array", type(x).__name__)
        if x.dtype.kind != "f":
            hint = "divide by 255: x.astype('float32') / 255" if x.dtype == numpy.uint8 else "x.astype('float32')"
            raise DataError("data", "floating-point numbers", str(x.dtype), hint)
        if x.shape[:1] in ((), (0,)):
            raise DataError("data", "at least one row", f"shape {x.shape}")
        if device_of(x) != self.device:
            raise DeviceError("data", f"an array on the model's device, {self.device}", f"one on {device_of(x)}")
        x = self.rows(x)
        xp = array_module(x)
        if not bool(xp.isfinite(x).all()):
            raise DataError("data", "finite numbers", "NaN or infinity")
        if self.decoder.likelihood is Bernoulli:
            low, high = float(x.min()), float(x.max())
            if low < 0 or high > 1:
                received = f"values from {low:g} to {high:g}"
                hint = "divide by 255" if low >= 0 and 1 < high <= 255 else ""
                raise DataError("data for a Bernoulli likelihood", "values in [0, 1]", received, hint)
        return x.astype(self.dtype, copy=False)

    def __repr__(self) -> str:
        observed = "..." if self.observed_shape is None else ", ".join(map(str, self.observed_shape))
        return (
            f"{type(self).__name__}, {self.count():,} parameters, binarize={self.binarize}\n"
            f"  p(z)      Normal(0, I)    z ({self.latent_size},)    no parameters\n"
            f"  p(x | z)  {self.decoder}    x ({observed})    {self.decoder.count():,} parameters\n"
            f"  q(z | x)  {self.encoder}    z ({self.latent_size},)    {self.encoder.count():,} parameters"
        )


def outputs_per_entry(constructor: str, likelihood: str, std: float | str) -> int:
    """How many numbers a decoder gives for one entry of x: two if the standard deviation is its own."""
    if likelihood not in ("bernoulli", "gaussian"):
        raise InputError(constructor, 'likelihood "bernoulli" or "gaussian"', repr(likelihood))
    return 2 if likelihood == "gaussian" and std == "decoder" else 1


def decoder_of(network: Module, configuration: dict[str, Any], event_ndim: int) -> BernoulliDecoder | GaussianDecoder:
    """The network as a decoder, with the likelihood that the configuration names."""
    if configuration["likelihood"] == "bernoulli":
        return BernoulliDecoder(network, event_ndim)
    return GaussianDecoder(network, configuration["std"], event_ndim)


def log_mean_exp(log_w: Any) -> Any:
    """log (1/S) sum over s of w_s.   (S, N) -> (N,)"""
    return ops.logsumexp(log_w, axis=0) - math.log(len(log_w))
