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
    """The model before its first step."""
    import scratchvae as sv

    shape = (size.side, size.side, 3)
    return sv.VAE.convolutional(shape, size.latent, size.channels, likelihood="gaussian", std="learned")


def problem(size: Size, data: str | None = None) -> Problem:
    """A minibatch of drawn faces."""
    import scratchvae as sv

    x = sv.data.dequantize(sv.data.draw_faces(size.batch).images, sv.Noise(0))
    parameters = {name: parameter.data for name, parameter in model(size).named_parameters().items()}
    return Problem({"x": x[None]}, (1, size.batch, size.latent), parameters, rate=1e-4)


def scratchvae(size: Size, problem: Problem) -> steps.Step:
    """The objective that `fit` ascends."""
    from scratchvae.noise import GivenNoise
    from scratchvae.objectives import elbo

    vae = model(size)
    objective = elbo(vae)
    return steps.scratchvae(problem, vae, lambda x, e: -objective.value(x, GivenNoise(e), 1, 1.0)[0])


def pytorch(size: Size, problem: Problem, layout: str = "contiguous_format", compiled: bool = False) -> steps.Step:
    """The same by PyTorch, in its own layout (N, C, H, W), or in its memory format "channels_last"."""
    import torch
    from torch.nn.functional import conv2d, conv_transpose2d, linear, relu, softplus

    memory_format, n, innermost = getattr(torch, layout), len(size.channels), size.side // 2 ** len(size.channels)

    def parameter(array: numpy.ndarray) -> Any:
        if array.ndim == 4:
            kernel = torch.tensor(array.transpose(3, 2, 0, 1))
            return torch.nn.Parameter(kernel.contiguous(memory_format=memory_format))
        return steps.torch_parameter(array.T)

    w = {name: parameter(array) for name, array in problem.parameters.items()}

    def layer(part: str, i: int) -> tuple[Any, Any]:
        name = f"{part}.network.convolutions.{i}"
        return w[f"{name}.kernel"], w[f"{name}.bias"]

    def loss(x: Any, e: Any) -> Any:
        h = x
        for i in range(n):
            h = relu(conv2d(h, *layer("encoder", i), stride=2, padding=1))
        h = h.permute(0, 2, 3, 1).flatten(1)
        m, log_s = linear(h, w["encoder.network.linear.weight"], w["encoder.network.linear.bias"]).chunk(2, dim=1)
        z = m + log_s.exp() * e[0]
        h = linear(z, w["decoder.network.linear.weight"], w["decoder.network.linear.bias"])
        h = h.unflatten(1, (innermost, innermost, -1)).permute(0, 3, 1, 2)
        for i in range(n):
            h = conv_transpose2d(relu(h), *layer("decoder", i), stride=2, padding=1)
        log_sigma = LOG_SMALLEST + softplus(w["decoder.raw_log_std"] - LOG_SMALLEST)
        squares = ((x - h) * (-log_sigma).exp()).square().sum()
        log_likelihood = -0.5 * squares - x.numel() * (log_sigma + 0.5 * math.log(2 * math.pi))
        kl = 0.5 * (m.square() + (2 * log_s).exp() - 2 * log_s - 1).sum()
        return (kl - log_likelihood) / len(x)

    def images(x: numpy.ndarray) -> Any:
        return torch.from_numpy(x.transpose(0, 3, 1, 2)).contiguous(memory_format=memory_format)

    return steps.pytorch(problem, problem.batches(images), list(w.values()), loss, compiled)


def jax_jit(size: Size, problem: Problem) -> steps.Step:
    """The same by JAX, in our layout (N, H, W, C)."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    n, innermost = len(size.channels), size.side // 2 ** len(size.channels)

    def loss(w: Any, x: Any, e: Any) -> Any:
        def layer(part: str, i: int) -> tuple[Any, Any]:
            name = f"{part}.network.convolutions.{i}"
            return w[f"{name}.kernel"], w[f"{name}.bias"]

        h, layout = x, ("NHWC", "HWIO", "NHWC")
        for i in range(n):
            kernel, b = layer("encoder", i)
            h = lax.conv_general_dilated(h, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=layout)
            h = jax.nn.relu(h + b)
        code = h.reshape(len(x), -1) @ w["encoder.network.linear.weight"] + w["encoder.network.linear.bias"]
        m, log_s = jnp.split(code, 2, axis=1)
        z = m + jnp.exp(log_s) * e[0]
        h = z @ w["decoder.network.linear.weight"] + w["decoder.network.linear.bias"]
        h = h.reshape(len(x), innermost, innermost, -1)
        for i in range(n):
            kernel, b = layer("decoder", i)
            h = lax.conv_transpose(
                jax.nn.relu(h), kernel, (2, 2), "SAME", dimension_numbers=layout, transpose_kernel=True
            )
            h = h + b
        log_sigma = LOG_SMALLEST + jax.nn.softplus(w["decoder.raw_log_std"] - LOG_SMALLEST)
        squares = ((x - h) * jnp.exp(-log_sigma)) ** 2
        log_likelihood = -0.5 * squares.sum() - x.size * (log_sigma + 0.5 * math.log(2 * math.pi))
        kl = 0.5 * (m * m + jnp.exp(2 * log_s) - 2 * log_s - 1).sum()
        return (kl - log_likelihood) / len(x)

    return steps.jax_jit(problem, problem.parameters, loss)


PEERS = {
    "scratchvae": scratchvae,
    "torch": pytorch,
    "torch-channels-last": partial(pytorch, layout="channels_last"),
    "torch-compile": partial(pytorch, compiled=True),
    "jax": jax_jit,
}
