"""The variational autoencoder."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from numpy.typing import ArrayLike

from scratchvae import ops
from scratchvae.arrays import Array, as_array, is_array
from scratchvae.autodiff import no_grad
from scratchvae.backend import array_module, asarray
from scratchvae.columns import Table
from scratchvae.distributions import Categorical, Normal, kl, kl_with_draws
from scratchvae.distributions.event import draw, log_prob, of_shape
from scratchvae.errors import InputError, whole_number
from scratchvae.linear import GaussianMixture
from scratchvae.models.configuration import Size, constructor
from scratchvae.models.decoders import DecoderOfKnownEntries
from scratchvae.models.encoders import GaussianEncoder
from scratchvae.models.latent_variable_model import LatentVariableModel
from scratchvae.models.likelihoods import decoder_named
from scratchvae.models.priors import prior_named
from scratchvae.models.readers import OfKnownEntries
from scratchvae.nn import MLP, ConvolutionalNetwork, Module, TransposedConvolutionalNetwork
from scratchvae.nn.convolution import feature_maps
from scratchvae.noise import Noise
from scratchvae.objectives import Record, each, elbo, importance_weighted
from scratchvae.pixels import Pixels, as_numbers
from scratchvae.scoring import MOST_SAMPLES, observations, prepared, rows_at_once


class VAE(LatentVariableModel):
    """p(x, z) = p(x | z) p(z),   q(z | x) approximates p(z | x).

    prior    p(z) = Normal(0, I), or another            shape (K,)
    encoder  x (N, D) -> Normal over z (N, K)           q(z | x)
    decoder  z (N, K) -> distribution over x (N, D)     p(x | z)

    (N, D) stands for the shape of any data, such as that of images, (N, H, W, C).

    Source: deck, "Variational Auto-Encoders" to "Summary"; Kingma & Welling (2014), sections 2.1 to 2.4.

    Parameters
    ----------
    encoder, decoder : Module
        Called with arrays or Tensors, they return distributions. The decoder has an attribute `likelihood`, its class
        of distributions.
    latent_size : int
        K, the number of latent units.
    observed_shape : tuple, optional
        The shape of one x as the encoder takes it. Rows of data with as many entries are reshaped to it.
    binarize : "none", "threshold", "static" or "dynamic"
        How grey values become Bernoulli data: not at all, by x > 1/2, by one draw, or by a new draw at every step.
    missing : bool
        Whether entries of x may be NaN, for missing. The encoder then has to take NaN, as OfKnownEntries does, and the
        decoder is a DecoderOfKnownEntries: all bounds are bounds of log p(x_o), where x_o are the known entries.
    prior : Module, optional
        A p(z) other than Normal(0, I), such as a NormalMixture of Tensors or a VampPrior; `fit` trains it too. It
        has shape (K,), log_prob(z), and sample(uniform, normal), where uniform noise chooses the component.

    Attributes
    ----------
    encoder, decoder, prior : Module or Distribution
        q(z | x), p(x | z) and p(z).
    latent_size : int
        K.
    observed_shape, binarize, missing
        The parameters of these names.

    See Also
    --------
    SemiSupervisedVAE : a model with classes, few of which are known.
    TableVAE : a VAE of tables with columns of several kinds.
    scratchvae.fit : trains a model.
    scratchvae.evaluate : scores a model.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> model = sv.VAE.mlp(input_size=6, latent_size=2, hidden=(4,))
    >>> x = numpy.ones((5, 6), numpy.float32)
    >>> model.encode(x).mean.shape, model.reconstruct(x).shape, model.sample(3).shape
    ((5, 2), (5, 6), (3, 6))
    """

    objectives: ClassVar = {"elbo": elbo, "iwae": importance_weighted}
    encoder: Any
    decoder: Any

    def __init__(
        self,
        encoder: Module,
        decoder: Module,
        latent_size: int,
        observed_shape: Sequence[int] | None = None,
        binarize: str = "none",
        missing: bool = False,
        prior: Module | None = None,
    ) -> None:
        self.set_networks(encoder, decoder, latent_size, observed_shape, binarize, missing, prior)

    @classmethod
    @constructor
    def mlp(
        cls,
        input_size: Size = 784,
        latent_size: Size = 20,
        hidden: Sequence[Size] = (400,),
        activation: str = "relu",
        likelihood: str = "bernoulli",
        std: float | str = 0.1,
        binarize: str = "none",
        seed: int = 0,
        missing: bool = False,
        prior: str = "normal",
        n_components: Size = 100,
    ) -> VAE:
        """Returns a VAE of two multilayer perceptrons, D -> hidden -> 2 K and K -> reversed hidden -> D (or 2 D).

        Weights are Glorot uniform, biases zero.

        Parameters
        ----------
        input_size, latent_size : int
            D and K.
        hidden : sequence of int
            The widths of the encoder's hidden layers; the decoder has the same in reverse order.
        activation : str
            As in `scratchvae.nn.MLP`.
        likelihood : str
            A name in `LIKELIHOODS`, such as "bernoulli", "gaussian" or "poisson".
        std : float, "learned" or "decoder"
            The standard deviation of a likelihood of real numbers, as in `GaussianDecoder`.
        binarize : str
            As in VAE.
        seed : int
            The seed of the initial weights.
        missing : bool
            Whether entries of x may be NaN, for missing; the model learns from the others.
        prior : "normal", "mixture" or "vamp"
            Normal(0, I); a mixture of Gaussians, all of it learned; or a VampPrior, whose pseudo-inputs start from
            noise.
        n_components : int
            The number of Gaussians or pseudo-inputs.
        """
        if not isinstance(hidden, Sequence):
            raise InputError("VAE.mlp", "hidden as a sequence of widths", repr(hidden), "hidden=(400,)")
        decoder, noise = decoder_named("VAE.mlp", likelihood), Noise(seed)
        outputs = decoder.outputs_per_entry(std) * input_size
        inputs = (2 if missing else 1) * input_size
        encode = MLP([inputs, *hidden, 2 * latent_size], noise.child("encoder"), activation)
        decode = MLP([latent_size, *reversed(hidden), outputs], noise.child("decoder"), activation)
        encoder = GaussianEncoder(decoder.reader(OfKnownEntries(encode) if missing else encode))
        p_z = prior_named("VAE.mlp", prior, n_components, latent_size, encoder, (input_size,), decoder, noise)
        decoder = decoder.of(decode, std, 1)
        decoder = DecoderOfKnownEntries(decoder) if missing else decoder
        return cls(encoder, decoder, latent_size, (input_size,), binarize, missing, p_z)

    @classmethod
    @constructor
    def convolutional(
        cls,
        image_shape: Sequence[Size] = (28, 28, 1),
        latent_size: Size = 20,
        channels: Sequence[Size] = (32, 64),
        activation: str = "relu",
        likelihood: str = "bernoulli",
        std: float | str = 0.1,
        binarize: str = "none",
        seed: int = 0,
        missing: bool = False,
        prior: str = "normal",
        n_components: Size = 100,
    ) -> VAE:
        """Returns a VAE of images, by 4 x 4 convolutions of stride 2: (H/2, W/2, channels[0]) -> ... -> 2 K and back.

        Halves are rounded down. The innermost layer of both networks is Linear, and the decoder's others are transposed
        convolutions.

        Parameters
        ----------
        image_shape : (int, int, int)
            H, W and C of images (N, H, W, C); H and W are at least 2^len(channels).
        channels : sequence of int
            The number of channels after each convolution.
        latent_size, activation, likelihood, std, binarize, seed, missing, prior, n_components
            As in `mlp`.
        """
        decoder, noise = decoder_named("VAE.convolutional", likelihood), Noise(seed)
        seen = image_shape
        if missing:
            height, width, depth = feature_maps("VAE.convolutional", image_shape, channels)[0]
            seen = (height, width, 2 * depth)
        encode = ConvolutionalNetwork(seen, channels, 2 * latent_size, noise.child("encoder"), activation)
        output_shape = (*image_shape[:2], decoder.outputs_per_entry(std) * image_shape[2])
        decode = TransposedConvolutionalNetwork(latent_size, channels, output_shape, noise.child("decoder"), activation)
        encoder = GaussianEncoder(decoder.reader(OfKnownEntries(encode) if missing else encode))
        p_z = prior_named("VAE.convolutional", prior, n_components, latent_size, encoder, image_shape, decoder, noise)
        decoder = decoder.of(decode, std, 3)
        decoder = DecoderOfKnownEntries(decoder) if missing else decoder
        return cls(encoder, decoder, latent_size, image_shape, binarize, missing, p_z)

    def call_encoder(self, x: Any, noise: Any) -> Any:
        """Returns q(z | x) for the bounds. A subclass whose networks drop out hands them the noise of training."""
        return self.encoder(x)

    def call_decoder(self, z: Any, noise: Any) -> Any:
        """Returns p(x | z) for the bounds, as `call_encoder` does q(z | x)."""
        return self.decoder(z)

    def _inferred(self, x: Any, noise: Any, n_samples: int) -> tuple[Any, Any, Any]:
        """Returns q(z | x), draws z of it, (S, N, K), and log p(x | z), (S, N), in nats."""
        x = self.rows(x)
        q = of_shape("encoder", self.call_encoder(x, noise), (len(x), self.latent_size))
        z = q.reparameterize(noise.normal("z", (n_samples, *q.shape)))
        return q, z, log_prob(self.call_decoder(z, noise), x, z)

    def elbo_terms(self, x: Any, noise: Any, n_samples: int = 1) -> tuple[Any, Any]:
        """E_q[log p(x | z)], as a mean over draws of z, and KL(q(z | x) || p(z)), in nats.   (N, D) -> (N,), (N,)

        The KL of Normal(0, I) has a formula; for a prior without one it is the mean of log q(z | x) - log p(z) over the
        same draws.
        """
        q, z, log_p = self._inferred(x, noise, n_samples)
        return ops.mean(log_p, axis=0), kl_with_draws(q, self.prior, z)

    def elbo(self, x: Any, noise: Any, n_samples: int = 1, kl_weight: float = 1.0, record: Record = each) -> Any:
        """L(x) = E_q[log p(x | z)] - KL(q(z | x) || p(z)), in nats.   (N, D) -> (N,)

        The expectation is a mean over n_samples draws of z. `fit` may multiply the KL by kl_weight, and hands over a
        function `record` that takes both terms; see `scratchvae.objectives`.

        Source: deck, "Optimizing the ELBO"; Kingma & Welling (2014), equation 7.
        """
        reconstruction, divergence = self.elbo_terms(x, noise, n_samples)
        reconstruction, divergence = record(reconstruction=reconstruction, kl=divergence)
        return reconstruction - kl_weight * divergence

    def elbo_by_unit(
        self, x: Any, noise: Any, n_samples: int = 1, kl_weight: float = 1.0, record: Record = each
    ) -> Any:
        """L(x) = E_q[log p(x | z)] - sum over units k of KL(q(z_k | x) || p(z_k)), in nats.   (N, D) -> (N,)

        `record` sees the KL of every unit, (K, N), so that training can give each its own floor. The rest is as in
        `elbo`, with the same noise.
        """
        q, _, log_p = self._inferred(x, noise, n_samples)
        reconstruction = ops.mean(log_p, axis=0)
        units = [Normal(normal.mean, normal.log_std, event_ndim=0) for normal in (q, self.prior)]
        reconstruction, divergences = record(reconstruction=reconstruction, kl=ops.transpose(kl(*units)))
        return reconstruction - kl_weight * ops.sum(divergences, axis=0)

    def log_weight_terms(self, x: Any, noise: Any, n_samples: int = 1) -> tuple[Any, Any]:
        """Returns log p(x | z) and log q(z | x) - log p(z) for draws z of q(z | x), in nats.   (N, D) -> (S, N), (S, N)

        The mean of the second estimates KL(q(z | x) || p(z)).
        """
        q, z, log_p = self._inferred(x, noise, n_samples)
        return log_p, q.log_prob(z) - self.prior.log_prob(z)

    def log_weights(self, x: Any, noise: Any, n_samples: int = 1, kl_weight: float = 1.0, record: Record = each) -> Any:
        """log w = log p(x | z) + log p(z) - log q(z | x) for draws z of q(z | x), in nats.   (N, D) -> (S, N)

        The mean of log w estimates the ELBO without an analytic KL (Kingma & Welling, equation 6); the log of the mean
        of w estimates log p(x). kl_weight and record: as in `elbo`.

        Source: deck, "The per-datapoint ELBO".
        """
        reconstruction, divergence = self.log_weight_terms(x, noise, n_samples)
        record(reconstruction=reconstruction, kl=divergence)
        return reconstruction - kl_weight * divergence

    def importance_weighted_bound(
        self, x: Any, noise: Any, n_samples: int = 1, kl_weight: float = 1.0, record: Record = each
    ) -> Any:
        """log (1/S) sum over s of w_s, in nats; its mean rises with S from the ELBO to log p(x).   (N, D) -> (N,)

        Source: Burda, Grosse & Salakhutdinov (2016), equation 8.
        """
        return log_mean_exp(self.log_weights(x, noise, n_samples, kl_weight, record))

    def encode(self, x: ArrayLike) -> Normal:
        """Returns q(z | x), holding arrays.   (N, ...) -> Normal over (N, K)"""
        with no_grad():
            return self.encoder(self.network_input(x))

    def decode(self, z: ArrayLike) -> Any:
        """Returns p(x | z), holding arrays.   (..., K) -> distribution over (..., D)"""
        with no_grad():
            return self.decoder(self.latents(z))

    def reconstruct(self, x: ArrayLike, draws: bool = False, seed: int = 0) -> Array:
        """Returns the mean of p(x | z) at the mean of q(z | x), an array in the shape of x.

        With draws=True every row is a draw x' ~ p(x' | z) at a draw z ~ q(z | x): the posterior predictive of q.
        """
        x = as_array("data", x)
        q, noise = self.encode(x), Noise(seed, device=self.device)
        if draws:
            return draw(self.decode(q.sample(noise.normal("z", q.shape))), noise).reshape(x.shape)
        return self.decode(q.mean).mean.reshape(x.shape)

    def sample(self, n: int, seed: int = 0, draws: bool = False, codes: GaussianMixture | None = None) -> Array:
        """Returns the means of p(x | z) for n draws z ~ p(z): an array.   (n, D), or images (n, H, W, C)

        With draws=True each is a draw x ~ p(x | z) at the same z: a sample of the model, as noisy as its data. The
        means are smoother. codes: a mixture by `sv.fit_codes`, from which z is then drawn instead of p(z).
        """
        if codes is None:
            z = self.prior_draws(n, seed)
        else:
            z = asarray(codes.sample(n, seed), self.device).astype(self.dtype)
        p = self.decode(z)
        return draw(p, Noise(seed, device=self.device)) if draws else p.mean

    # ---- missing entries

    def impute(self, x: ArrayLike | Table, n_samples: int = 1000, seed: int = 0) -> Array:
        """Returns x with E[x_m | x_o] in place of its missing entries x_m, which are NaN; x_o are the known ones.

        E[x_m | x_o] ~ sum over s of w_s E[x_m | z_s] / sum over s of w_s   for draws z_s ~ q(z | x_o), log w_s as in
        `log_weights`. A category of a table gets its most probable level. n_samples: S, for each row.

        Source: Mattei & Frellsen (2019), "MIWAE: deep generative modelling and imputation of incomplete data sets",
        self-normalised importance sampling.
        """
        draws = self._weighted_draws(x, n_samples, seed)
        means = [p.average(ops.softmax(log_w, axis=0)) for _, p, log_w, _ in draws]
        return self._filled(x, array_module(means[0]).concatenate(means))

    def impute_draws(self, x: ArrayLike | Table, n: int = 10, n_samples: int = 1000, seed: int = 0) -> Array:
        """Returns n copies of x with draws from p(x_m | x_o) in place of the missing entries: an array (n, N, ...)

        One of S draws z of q(z | x_o) is chosen in proportion to its weight, and x_m is a draw of p(x_m | z): for large
        S, one of p(x_m | x_o). The spread of the n copies says how uncertain a missing entry is.

        Source: Mattei & Frellsen (2019), sampling importance resampling; Rubin (1987), multiple imputation.
        """
        n, drawn = whole_number("impute_draws", "n", n, largest=1000), []
        for z, _, log_w, noise in self._weighted_draws(x, n_samples, seed):
            with no_grad():
                chosen = Categorical(log_w.T).sample(noise.uniform("which z", (n, z.shape[1])))
                p = self.decoder(z[chosen, array_module(z).arange(z.shape[1])])
                drawn.append(draw(p, noise))
        return self._filled(x, array_module(drawn[0]).concatenate(drawn, axis=1))

    def _weighted_draws(self, x: Any, n_samples: int, seed: int) -> Iterator[tuple[Any, Any, Any, Noise]]:
        """Yields z_s, p(x | z_s), log w_s, (S, M), and a noise, for M rows at a time, so that memory stays bounded."""
        n_samples = whole_number("impute", "n_samples", n_samples, largest=MOST_SAMPLES)
        if not self.missing:
            raise InputError("impute", "a model that was made with missing=True", "one without")
        x = prepared(self, x, seed)
        size = rows_at_once(self, x, n_samples)
        for step, rows in enumerate(x[start : start + size] for start in range(0, len(x), size)):
            noise = Noise(seed, step, self.device)
            with no_grad():
                q = self.encoder(rows)
                z = q.reparameterize(noise.normal("z", (n_samples, *q.shape)))
                p = self.decoder(z)
                log_w = log_prob(p, rows, z) + self.prior.log_prob(z) - q.log_prob(z)
            yield z, p, log_w, noise

    def _filled(self, x: Any, values: Any) -> Any:
        """Returns x, with the values where it is NaN; x (N, ...), values (..., N, *observed_shape)"""
        rows = as_numbers(observations(self, x), self.device)
        filled = array_module(rows).where(rows == rows, rows, values)
        shape = x.shape if is_array(x) or isinstance(x, Pixels) else rows.shape
        return filled.reshape(*values.shape[: values.ndim - rows.ndim], *shape)

    def __repr__(self) -> str:
        observed = "..." if self.observed_shape is None else ", ".join(map(str, self.observed_shape))
        learned = sum(x.size for name, x in self.named_parameters().items() if name.startswith("prior."))
        prior = "Normal(0, I)" if self.has_standard_prior else self.prior
        prior = "Normal" if type(prior) is Normal else prior
        return (
            f"{type(self).__name__}, {self.count():,} parameters{self.preparation()}\n"
            f"  p(z)      {prior}    z ({self.latent_size},)    {f'{learned:,}' if learned else 'no'} parameters\n"
            f"  p(x | z)  {self.decoder}    x ({observed})    {self.decoder.count():,} parameters\n"
            f"  q(z | x)  {self.encoder}    z ({self.latent_size},)    {self.encoder.count():,} parameters"
        )


SMALLEST_LOG_WEIGHT = -48.0  # where the largest is 0; e^-48 < 2e-21


def log_mean_exp(log_w: Any) -> Any:
    """log (1/S) sum over s of w_s.   (S, N) -> (N,)

    A weight below e^-48 times the largest counts as that much. It changes no digit of the sum, and its gradient is 0
    instead of an array of subnormal numbers, with which a step of 50 draws takes four times as long.
    """
    with no_grad():
        smallest = ops.max(log_w, axis=0, keepdims=True) + SMALLEST_LOG_WEIGHT
    return ops.logsumexp(ops.maximum(log_w, smallest), axis=0) - math.log(len(log_w))
