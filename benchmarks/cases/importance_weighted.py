"""The importance-weighted bound of a VAE 784-200-200-50 tanh, Bernoulli, k = 50 draws of z, batch 100, float32.

    loss = -(1/M) sum over the minibatch of log (1/k) sum over s of p(x, z_s) / q(z_s | x),   z_s = m + s e_s

Source: Burda, Grosse & Salakhutdinov (2016), equation 8, and the network of their experiments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy

from benchmarks.cases import steps
from benchmarks.cases.mlp import jax_perceptrons, torch_perceptrons
from benchmarks.cases.problem import Problem


@dataclass(frozen=True)
class Size:
    """Sizes of the network and of the minibatch; draws is k."""

    hidden: tuple[int, ...] = (200, 200)
    latent: int = 50
    batch: int = 100
    draws: int = 50

    def __str__(self) -> str:
        hidden = "-".join(map(str, self.hidden))
        return f"importance-weighted VAE 784-{hidden}-{self.latent} tanh, k = {self.draws}, batch {self.batch}"


CASES = {"importance-weighted": Size()}
REFERENCE = "torch"


def model(size: Size) -> Any:
    """Returns the model before its first step."""
    import scratchvae as sv

    return sv.VAE.mlp(784, size.latent, size.hidden, "tanh")


def problem(size: Size, data: str | None = None) -> Problem:
    """Returns a minibatch of random bits."""
    x = (numpy.random.default_rng(0).random((1, size.batch, 784)) < 0.2).astype(numpy.float32)
    parameters = {name: parameter.data for name, parameter in model(size).named_parameters().items()}
    return Problem({"x": x}, (size.draws, size.batch, size.latent), parameters)


def scratchvae(size: Size, problem: Problem) -> steps.Step:
    """Returns the step of scratchvae, on the objective that `fit` ascends."""
    from scratchvae.noise import GivenNoise
    from scratchvae.objectives import importance_weighted

    vae = model(size)
    objective = importance_weighted(vae)
    return steps.scratchvae(problem, vae, lambda x, e: -objective.value(x, GivenNoise(e), size.draws, 1.0)[0])


def pytorch(size: Size, problem: Problem, compiled: bool = False) -> steps.Step:
    """Returns the same step by PyTorch. The constants of log p(z) and log q(z | x) cancel, and (z - m) / s is e."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits

    parameters, encoder, decoder = torch_perceptrons(problem, torch.tanh)

    def loss(x: Any, e: Any) -> Any:
        m, log_s = encoder(x).chunk(2, dim=1)
        z = m + log_s.exp() * e
        logits = decoder(z)
        log_px = -binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)
        log_pz, log_q = -0.5 * z.square().sum(-1), -(log_s + 0.5 * e.square()).sum(-1)
        return -(torch.logsumexp(log_px + log_pz - log_q, dim=0) - math.log(len(e))).mean()

    return steps.pytorch(problem, steps.tensors(problem), parameters, loss, compiled)


def jax_jit(size: Size, problem: Problem) -> steps.Step:
    """Returns the same step by JAX."""
    import jax
    import jax.numpy as jnp

    def loss(parameters: Any, x: Any, e: Any) -> Any:
        encoder, decoder = jax_perceptrons(parameters, jnp.tanh)
        m, log_s = jnp.split(encoder(x), 2, axis=1)
        z = m + jnp.exp(log_s) * e
        a = decoder(z)
        log_px = (x * a - jax.nn.softplus(a)).sum(-1)
        log_pz, log_q = -0.5 * (z * z).sum(-1), -(log_s + 0.5 * e * e).sum(-1)
        return -(jax.nn.logsumexp(log_px + log_pz - log_q, axis=0) - math.log(len(e))).mean()

    return steps.jax_jit(problem, list(problem.parameters.values()), loss)


PEERS = {
    "scratchvae": scratchvae,
    "torch": pytorch,
    "torch-compile": partial(pytorch, compiled=True),
    "jax": jax_jit,
}
