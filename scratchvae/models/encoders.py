"""The encoder of vectors and images: a network whose output becomes the parameters of q(z | x)."""

from __future__ import annotations

from typing import Any

from scratchvae.distributions import Normal
from scratchvae.nn import Module


class GaussianEncoder(Module):
    """q(z | x) = Normal(mu(x), diag(sigma(x)^2)),   where the network gives mu and log sigma side by side

    A network with more inputs, such as `ClassConditional`, makes an encoder q(z | x, y) with as many.

    Source: deck, "Amortized inference networks".

    Parameters
    ----------
    network : Module
        (N, D) -> (N, 2 K).

    Attributes
    ----------
    network : Module
        The parameter of this name.

    See Also
    --------
    GaussianDecoder : p(x | z) with a network for its mean.
    scratchvae.VAE : the model that q(z | x) belongs to.

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


def halves(output: Any) -> tuple[Any, Any]:
    """Returns the two halves of the last axis.   (..., 2 K) -> (..., K), (..., K)"""
    middle = output.shape[-1] // 2
    return output[..., :middle], output[..., middle:]
