"""Priors p(z) that are learned along with a VAE: a mixture of Gaussians, and one of the encoder's posteriors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.arrays import as_floats
from scratchvae.autodiff import Tensor, no_grad
from scratchvae.backend import array_module
from scratchvae.distributions import NormalMixture
from scratchvae.errors import InputError, ShapeError
from scratchvae.models.decoders import Decoder
from scratchvae.nn import Module
from scratchvae.nn.initializers import normal
from scratchvae.noise import Noise

SPREAD = 0.5  # the deviation of a mixture's initial means; its components' variance 1 - SPREAD^2 makes the total 1
PSEUDO_MEAN, PSEUDO_STD = 0.05, 0.01  # the mean and the deviation of initial pseudo-inputs


class VampPrior(Module):
    """p(z) = (1/C) sum over c of q(z | u_c):   the aggregate posterior of C pseudo-inputs u_c, which are learned

    A step takes longer with more u_c, as each passes through the encoder.

    Source: Tomczak & Welling (2018), "VAE with a VampPrior"; the authors' code, for clipping.

    Parameters
    ----------
    encoder : Module
        q(z | x), the VAE's own encoder, which the prior then trains too. The prior calls it without the noise by which
        a network drops out.
    pseudo_inputs : array (C, *observed_shape)
        The initial u_c, such as rows of training data.
    bounds : (float, float)
        The lowest and the highest value of data. u_c is clipped to them, and an entry outside has no gradient.

    Attributes
    ----------
    encoder, bounds
        The parameters of these names.
    pseudo_inputs : Tensor (C, *observed_shape)
        The u_c.
    shape : tuple
        (K,).

    See Also
    --------
    scratchvae.distributions.NormalMixture : a mixture of C Gaussians, which are learned themselves.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.models import VAE, VampPrior
    >>> encoder = VAE.mlp(input_size=6, latent_size=2, hidden=(4,)).encoder
    >>> prior = VampPrior(encoder, numpy.zeros((3, 6), numpy.float32), bounds=(0, 1))
    >>> prior.log_prob(numpy.zeros((5, 2), numpy.float32)).shape
    (5,)
    """

    def __init__(self, encoder: Any, pseudo_inputs: Any, bounds: tuple[float, float] = (-math.inf, math.inf)) -> None:
        pseudo_inputs = as_floats("VampPrior", pseudo_inputs)
        if pseudo_inputs.ndim < 2 or 0 in pseudo_inputs.shape:
            raise ShapeError("VampPrior", "rows of pseudo-inputs, (C, ...)", str(pseudo_inputs.shape))
        self.encoder, self.pseudo_inputs, self.bounds = encoder, Tensor(pseudo_inputs.copy()), tuple(bounds)
        with no_grad():
            self.shape = (self.mixture().shape[-1],)

    @property
    def n_components(self) -> int:
        """C, the number of pseudo-inputs."""
        return len(self.pseudo_inputs.data)

    def mixture(self) -> NormalMixture:
        """Returns the mixture of equal weights whose components are q(z | u_c)."""
        q = self.encoder(ops.clip(self.pseudo_inputs, *self.bounds))
        weights = array_module(self.pseudo_inputs.data).zeros(self.n_components, dtype=self.pseudo_inputs.dtype)
        return NormalMixture(weights, q.mean, q.log_std)

    def log_prob(self, z: Any) -> Any:
        """log p(z) = log (1/C) sum over c of q(z | u_c), in nats.   (..., K) -> (...)"""
        return self.mixture().log_prob(z)

    def sample(self, uniform: Any, normal: Any) -> Any:
        """z ~ q(z | u_c) by normal noise, c by uniform noise: an array.   (...), (..., K) -> (..., K)"""
        with no_grad():
            return self.mixture().sample(uniform, normal)

    def __repr__(self) -> str:
        return f"(1/{self.n_components}) sum over {self.n_components} c of q(z | u_c)"


def _mixture(n_components: int, latent_size: int, noise: Noise, **_: Any) -> NormalMixture:
    """Returns a mixture near Normal(0, I): means by noise, equal standard deviations and weights; all is learned."""
    means = normal(noise, (n_components, latent_size), std=SPREAD)
    log_stds = numpy.full(means.shape, 0.5 * math.log(1 - SPREAD**2), dtype=means.dtype)
    return NormalMixture(*(Tensor(part) for part in (numpy.zeros(n_components, means.dtype), means, log_stds)))


def _vamp(
    n_components: int, noise: Noise, encoder: Any, observed_shape: Sequence[int], bounds: tuple[float, float], **_: Any
) -> VampPrior:
    """Returns a VampPrior whose pseudo-inputs are noise around a small number, as in the authors' code."""
    return VampPrior(encoder, normal(noise, (n_components, *observed_shape), PSEUDO_MEAN, PSEUDO_STD), bounds)


PRIORS: dict[str, Callable[..., Any]] = {"normal": lambda **_: None, "mixture": _mixture, "vamp": _vamp}
"""Name -> a function that makes the prior of a new model, or None for Normal(0, I)."""


def prior_named(
    operation: str,
    name: str,
    n_components: int,
    latent_size: int,
    encoder: Any,
    observed_shape: Sequence[int],
    decoder: type[Decoder],
    noise: Noise,
) -> Any:
    """Returns a prior of PRIORS, or None for Normal(0, I). Raises InputError, in the name of the operation, for others.

    encoder: that of the model; decoder: a class of decoders, whose likelihood bounds the values of data.
    """
    if not isinstance(name, str) or name not in PRIORS:
        raise InputError(operation, f"a prior among {', '.join(PRIORS)}", repr(name))
    return PRIORS[name](
        n_components=n_components,
        latent_size=latent_size,
        encoder=encoder,
        observed_shape=observed_shape,
        bounds=decoder.likelihood.bounds,
        noise=noise.child("prior"),
    )
