"""The variational autoencoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from scratchvae import ops
from scratchvae.arrays import as_array
from scratchvae.autodiff import no_grad
from scratchvae.backend import asarray
from scratchvae.distributions import Normal, kl_with_draws
from scratchvae.distributions.event import log_prob, of_shape
from scratchvae.errors import InputError
from scratchvae.models.configuration import Size, constructor
from scratchvae.models.latent_variable_model import LatentVariableModel
from scratchvae.models.networks import GaussianEncoder, decoder_named
from scratchvae.models.priors import prior_named
from scratchvae.nn import MLP, ConvolutionalNetwork, TransposedConvolutionalNetwork
from scratchvae.noise import Noise
from scratchvae.objectives import Record, each, elbo, importance_weighted


class VAE(LatentVariableModel):
    """p(x, z) = p(x | z) p(z),   q(z | x) approximates p(z | x).

    prior    p(z) = Normal(0, I), or another            shape (K,)
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
    prior : Module, optional
        Another p(z) than Normal(0, I), such as a NormalMixture of Tensors or a VampPrior, which are trained along. It
        has shape (K,), log_prob(z), and sample(uniform, normal), where uniform noise chooses the component.

    Source: deck, "Variational Auto-Encoders" to "Summary"; Kingma & Welling (2014), sections 2.1 to 2.4.
    """

    objectives: ClassVar = {"elbo": elbo, "iwae": importance_weighted}
    encoder: Any
    decoder: Any

    def __init__(
        self,
        encoder: Any,
        decoder: Any,
        latent_size: int,
        observed_shape: Sequence[int] | None = None,
        binarize: str = "none",
        prior: Any = None,
    ) -> None:
        self.set_networks(encoder, decoder, latent_size, observed_shape, binarize, prior)

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
        prior: str = "normal",
        n_components: Size = 100,
    ) -> VAE:
        """A VAE of two multilayer perceptrons, D -> hidden -> 2 K and K -> reversed hidden -> D (or 2 D).

        likelihood: a name in LIKELIHOODS: "bernoulli"; "gaussian", "laplace" or "student-t", with std as in
        RealDecoder; "poisson" or "negative-binomial".
        prior: "normal", Normal(0, I); "mixture" of n_components Gaussians, all of it learned; "vamp", the VampPrior of
        n_components pseudo-inputs, which start from noise. Weights are Glorot uniform, biases zero.
        """
        if not isinstance(hidden, Sequence):
            raise InputError("VAE.mlp", "hidden as a sequence of widths", repr(hidden), "hidden=(400,)")
        decoder, noise = decoder_named("VAE.mlp", likelihood), Noise(seed)
        outputs = decoder.outputs_per_entry(std) * input_size
        encode = MLP([input_size, *hidden, 2 * latent_size], noise.child("encoder"), activation)
        decode = MLP([latent_size, *reversed(hidden), outputs], noise.child("decoder"), activation)
        encoder = GaussianEncoder(decoder.reader(encode))
        p_z = prior_named("VAE.mlp", prior, n_components, latent_size, encoder, (input_size,), decoder, noise)
        return cls(encoder, decoder.of(decode, std, 1), latent_size, (input_size,), binarize, p_z)

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
        prior: str = "normal",
        n_components: Size = 100,
    ) -> VAE:
        """A VAE of images (N, H, W, C): 4 x 4 convolutions of stride 2, (H/2, W/2, channels[0]) -> ... -> 2 K and back.

        Halves are rounded down, and sides must be at least 2^len(channels). The innermost step of both networks is
        Linear, and the decoder's others are the encoder's transposed. The rest is as in VAE.mlp.
        """
        decoder, noise = decoder_named("VAE.convolutional", likelihood), Noise(seed)
        encode = ConvolutionalNetwork(image_shape, channels, 2 * latent_size, noise.child("encoder"), activation)
        output_shape = (*image_shape[:2], decoder.outputs_per_entry(std) * image_shape[2])
        decode = TransposedConvolutionalNetwork(latent_size, channels, output_shape, noise.child("decoder"), activation)
        encoder = GaussianEncoder(decoder.reader(encode))
        p_z = prior_named("VAE.convolutional", prior, n_components, latent_size, encoder, image_shape, decoder, noise)
        return cls(encoder, decoder.of(decode, std, 3), latent_size, image_shape, binarize, p_z)

    def call_encoder(self, x: Any, noise: Any) -> Any:
        """q(z | x) for `elbo_terms` and `log_weights`; networks that drop out are handed the noise of training."""
        return self.encoder(x)

    def call_decoder(self, z: Any, noise: Any) -> Any:
        """p(x | z), likewise."""
        return self.decoder(z)

    def elbo_terms(self, x: Any, noise: Any, n_samples: int = 1) -> tuple[Any, Any]:
        """E_q[log p(x | z)], as a mean over draws of z, and KL(q(z | x) || p(z)), in nats.   (N, D) -> (N,), (N,)

        The KL is its formula for the Normal(0, I), and for a prior without one E_q[log q(z | x) - log p(z)] by the same
        draws.
        """
        x = self.rows(x)
        q = of_shape("encoder", self.call_encoder(x, noise), (len(x), self.latent_size))
        z = q.reparameterize(noise.normal("z", (n_samples, *q.shape)))
        return ops.mean(log_prob(self.call_decoder(z, noise), x, z), axis=0), kl_with_draws(q, self.prior, z)

    def elbo(self, x: Any, noise: Any, n_samples: int = 1, kl_weight: float = 1.0, record: Record = each) -> Any:
        """L(x) = E_q[log p(x | z)] - KL(q(z | x) || p(z)), in nats.   (N, D) -> (N,)

        The expectation is a mean over n_samples draws of z. Training may weight the KL, and records both terms; see
        `scratchvae.objectives`.

        Source: deck, "Optimizing the ELBO"; Kingma & Welling (2014), equation 7.
        """
        reconstruction, divergence = self.elbo_terms(x, noise, n_samples)
        reconstruction, divergence = record(reconstruction=reconstruction, kl=divergence)
        return reconstruction - kl_weight * divergence

    def log_weight_terms(self, x: Any, noise: Any, n_samples: int = 1) -> tuple[Any, Any]:
        """log p(x | z) and log q(z | x) - log p(z) for draws z of q(z | x), in nats.   (N, D) -> (S, N), (S, N)

        The mean of the second estimates KL(q(z | x) || p(z)).
        """
        x = self.rows(x)
        q = of_shape("encoder", self.call_encoder(x, noise), (len(x), self.latent_size))
        z = q.reparameterize(noise.normal("z", (n_samples, *q.shape)))
        return log_prob(self.call_decoder(z, noise), x, z), q.log_prob(z) - self.prior.log_prob(z)

    def log_weights(self, x: Any, noise: Any, n_samples: int = 1, kl_weight: float = 1.0, record: Record = each) -> Any:
        """log w = log p(x | z) + log p(z) - log q(z | x) for draws z of q(z | x), in nats.   (N, D) -> (S, N)

        Their mean is the ELBO by Monte Carlo, without an analytic KL (Kingma & Welling, equation 6); the log of the
        mean of their exponentials estimates log p(x). kl_weight and record: as in `elbo`.

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
        x = as_array("data", x)
        return self.decode(self.encode(x).mean).mean.reshape(x.shape)

    def sample(self, n: int, seed: int = 0, codes: Any = None) -> Any:
        """The means of p(x | z) for n draws z ~ p(z): an array.   (n, D), or images (n, H, W, C)

        codes: a mixture by `sv.fit_codes`, from which z is then drawn in place of the prior.
        """
        if codes is None:
            return self.decode(self.prior_draws(n, seed)).mean
        return self.decode(asarray(codes.sample(n, seed), self.device).astype(self.dtype)).mean

    def __repr__(self) -> str:
        observed = "..." if self.observed_shape is None else ", ".join(map(str, self.observed_shape))
        learned = sum(x.size for name, x in self.named_parameters().items() if name.startswith("prior."))
        prior = "Normal(0, I)" if self.has_standard_prior else self.prior
        return (
            f"{type(self).__name__}, {self.count():,} parameters{self.preparation()}\n"
            f"  p(z)      {prior}    z ({self.latent_size},)    {f'{learned:,}' if learned else 'no'} parameters\n"
            f"  p(x | z)  {self.decoder}    x ({observed})    {self.decoder.count():,} parameters\n"
            f"  q(z | x)  {self.encoder}    z ({self.latent_size},)    {self.encoder.count():,} parameters"
        )


def log_mean_exp(log_w: Any) -> Any:
    """log (1/S) sum over s of w_s.   (S, N) -> (N,)"""
    return ops.logsumexp(log_w, axis=0) - math.log(len(log_w))
