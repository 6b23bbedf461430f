"""A convolutional VAE of images 64 x 64 x 3, Gaussian with one learned sigma, relu, batch 64, float32: that of faces.

Four 4 x 4 convolutions of stride 2, to 32, 64, 128 and 256 channels and then to 64 latent units, and the same back.

    loss = -(1/M) sum over the minibatch of log Normal(x; f(z), sigma^2 I) - KL(q(z | x) || p(z)),   z = m + s e
    log sigma = log 1e-3 + softplus(raw - log 1e-3)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy

from benchmarks.cases import steps
from benchmarks.cases.problem import Problem


@dataclass(frozen=True)
class Size:
    """Sizes of the images, of the network and of the minibatch."""

    side: int = 64
    channels: tuple[int, ...] = (32, 64, 128, 256)
    latent: int = 64
    batch: int = 64

    def __str__(self) -> str:
        channels = "-".join(map(str, self.channels))
        return f"convolutional VAE {self.side} x {self.side} x 3, {channels}-{self.latent}, batch {self.batch}"


CASES = {"convolutional": Size()}
REFERENCE = "torch"
LOG_SMALLEST = math.log(1e-3)


def model(size: Size) -> Any:
    """Returns the model before its first step."""
    import scratchvae as sv

    shape = (size.side, size.side, 3)
    return sv.VAE.convolutional(shape, size.latent, size.channels, likelihood="gaussian", std="learned")


def problem(size: Size, data: str | None = None) -> Problem:
    """Returns a minibatch of drawn faces."""
    import scratchvae as sv

    x = sv.data.dequantize(sv.data.draw_faces(size.batch).images, sv.Noise(0))
    parameters = {name: parameter.data for name, parameter in model(size).named_parameters().items()}
    return Problem({"x": x[None]}, (1, size.batch, size.latent), parameters, rate=1e-4)


def scratchvae(size: Size, problem: Problem) -> steps.Step:
    """Returns the step of scratchvae, on the objective that `fit` ascends."""
    from scratchvae.noise import GivenNoise
    from scratchvae.objectives import elbo

    vae = model(size)
    objective = elbo(vae)
    return steps.scratchvae(problem, vae, lambda x, e: -objective.value(x, GivenNoise(e), 1, 1.0)[0])


def torch_parameters(arrays: dict[str, numpy.ndarray], layout: str = "contiguous_format") -> dict[str, Any]:
    """Returns our parameters by name as PyTorch's, kernels as (out, in, height, width) and weights as (out, in)."""
    import torch

    def parameter(array: numpy.ndarray) -> Any:
        if array.ndim == 4:
            kernel = torch.tensor(array.transpose(3, 2, 0, 1))
            return torch.nn.Parameter(kernel.contiguous(memory_format=getattr(torch, layout)))
        return steps.torch_parameter(array.T)

    return {name: parameter(array) for name, array in arrays.items()}


def layers(w: dict[str, Any], part: str) -> list[tuple[Any, Any]]:
    """Returns the kernel and the bias of every convolution of the encoder or the decoder."""
    names = [name.removesuffix("kernel") for name in w if name.startswith(part) and name.endswith(".kernel")]
    return [(w[f"{name}kernel"], w[f"{name}bias"]) for name in names]


def torch_loss(w: dict[str, Any], x: Any, e: Any) -> Any:
    """Returns the loss by PyTorch.   x (M, C, H, W), e (M, K)"""
    from torch.nn.functional import conv2d, conv_transpose2d, linear, relu, softplus

    h = x
    for kernel, b in layers(w, "encoder"):
        h = relu(conv2d(h, kernel, b, stride=2, padding=1))
    innermost, h = h.shape[2], h.permute(0, 2, 3, 1).flatten(1)
    m, log_s = linear(h, w["encoder.network.linear.weight"], w["encoder.network.linear.bias"]).chunk(2, dim=1)
    h = linear(m + log_s.exp() * e, w["decoder.network.linear.weight"], w["decoder.network.linear.bias"])
    h = h.unflatten(1, (innermost, innermost, -1)).permute(0, 3, 1, 2)
    for kernel, b in layers(w, "decoder"):
        h = conv_transpose2d(relu(h), kernel, b, stride=2, padding=1)
    log_sigma = LOG_SMALLEST + softplus(w["decoder.raw_log_std"] - LOG_SMALLEST)
    squares = ((x - h) * (-log_sigma).exp()).square().sum()
    log_likelihood = -0.5 * squares - x.numel() * (log_sigma + 0.5 * math.log(2 * math.pi))
    kl = 0.5 * (m.square() + (2 * log_s).exp() - 2 * log_s - 1).sum()
    return (kl - log_likelihood) / len(x)


def pytorch(size: Size, problem: Problem, layout: str = "contiguous_format", compiled: bool = False) -> steps.Step:
    """Returns the same step by PyTorch, in its own layout (N, C, H, W), or in its memory format "channels_last"."""
    import torch

    w = torch_parameters(problem.parameters, layout)

    def images(x: numpy.ndarray) -> Any:
        return torch.from_numpy(x.transpose(0, 3, 1, 2)).contiguous(memory_format=getattr(torch, layout))

    def loss(x: Any, e: Any) -> Any:
        return torch_loss(w, x, e[0])

    return steps.pytorch(problem, problem.batches(images), list(w.values()), loss, compiled)


def jax_loss(w: dict[str, Any], x: Any, e: Any) -> Any:
    """Returns the loss by JAX, in our layout.   x (M, H, W, C), e (M, K)"""
    import jax
    import jax.numpy as jnp
    from jax import lax

    h, layout = x, ("NHWC", "HWIO", "NHWC")
    for kernel, b in layers(w, "encoder"):
        h = jax.nn.relu(lax.conv_general_dilated(h, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=layout) + b)
    innermost, code = h.shape[1], h.reshape(len(x), -1) @ w["encoder.network.linear.weight"]
    m, log_s = jnp.split(code + w["encoder.network.linear.bias"], 2, axis=1)
    h = (m + jnp.exp(log_s) * e) @ w["decoder.network.linear.weight"] + w["decoder.network.linear.bias"]
    h = h.reshape(len(x), innermost, innermost, -1)
    for kernel, b in layers(w, "decoder"):
        h, options = jax.nn.relu(h), {"dimension_numbers": layout, "transpose_kernel": True}
        h = lax.conv_transpose(h, kernel, (2, 2), "SAME", **options) + b
    log_sigma = LOG_SMALLEST + jax.nn.softplus(w["decoder.raw_log_std"] - LOG_SMALLEST)
    squares = ((x - h) * jnp.exp(-log_sigma)) ** 2
    log_likelihood = -0.5 * squares.sum() - x.size * (log_sigma + 0.5 * math.log(2 * math.pi))
    kl = 0.5 * (m * m + jnp.exp(2 * log_s) - 2 * log_s - 1).sum()
    return (kl - log_likelihood) / len(x)


def jax_jit(size: Size, problem: Problem) -> steps.Step:
    """Returns the same step by JAX."""
    return steps.jax_jit(problem, problem.parameters, lambda w, x, e: jax_loss(w, x, e[0]))


PEERS = {
    "scratchvae": scratchvae,
    "torch": pytorch,
    "torch-channels-last": partial(pytorch, layout="channels_last"),
    "torch-compile": partial(pytorch, compiled=True),
    "jax": jax_jit,
}
