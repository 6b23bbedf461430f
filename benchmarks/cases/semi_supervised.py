"""M2, 784-500-50 softplus, Bernoulli, 100 labelled and 100 unlabelled rows a step, float32.

    loss = -J~ / N = -(N^s/N) mean over labelled rows of (L(x, y) + alpha log q(y | x)) - (1 - N^s/N) mean of U(x)
    U(x) = sum over y of q(y | x) L(x, y) + H(q(y | x))

All ten classes of the unlabelled rows are one batch, and x meets the encoder's first layer once for all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy

from benchmarks.cases import steps
from benchmarks.cases.problem import Problem

N, N_LABELLED = 50_000, 100  # rows of the data set, of which the minibatch is a part
ALPHA = 0.1 * N / N_LABELLED


@dataclass(frozen=True)
class Size:
    """Sizes of the network, and rows of each kind in a minibatch."""

    hidden: int = 500
    latent: int = 50
    classes: int = 10
    batch: int = 100

    def __str__(self) -> str:
        return f"M2 784-{self.hidden}-{self.latent} softplus, {self.batch} labelled and {self.batch} unlabelled rows"


CASES = {"semi-supervised": Size()}
REFERENCE = "torch"


def model(size: Size) -> Any:
    """Returns the model before its first step."""
    import scratchvae as sv

    return sv.SemiSupervisedVAE.mlp(784, size.classes, size.latent, (size.hidden,), "softplus")


def problem(size: Size, data: str | None = None) -> Problem:
    """Returns random grey values, and labels of the first half, whose noise precedes that of the classes."""
    rng = numpy.random.default_rng(0)
    x = rng.random((1, 2 * size.batch, 784), dtype=numpy.float32)
    y = rng.integers(size.classes, size=(1, size.batch))
    parameters = {name: parameter.data for name, parameter in model(size).named_parameters().items()}
    return Problem({"x": x, "y": y}, (1 + size.classes, size.batch, size.latent), parameters)


def scratchvae(size: Size, problem: Problem) -> steps.Step:
    """Returns the step of scratchvae, on the objective that `fit` ascends."""
    import scratchvae as sv
    from scratchvae.noise import GivenNoise

    m2 = model(size)
    labels = numpy.where(numpy.arange(N) < N_LABELLED, numpy.arange(N) % size.classes, -1)
    objective = sv.objectives.semi_supervised(m2, labels, ALPHA)

    def loss(x: Any, y: Any, e: Any) -> Any:
        noise = GivenNoise({"labelled": e[:1], "z": e[None, 1:]})
        return -objective.value(x, y, noise, 1, 1.0)[0]

    return steps.scratchvae(problem, m2, loss)


def pytorch(size: Size, problem: Problem, compiled: bool = False) -> steps.Step:
    """Returns the same step by PyTorch."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, linear, one_hot, softplus

    w = {name: steps.torch_parameter(array.T) for name, array in problem.parameters.items()}
    every, share = torch.eye(size.classes)[:, None], N_LABELLED / N

    def layer(h: Any, name: str) -> Any:
        return linear(h, w[f"{name}.weight"], w[f"{name}.bias"])

    def bound(x: Any, y: Any, e: Any) -> Any:
        """Returns L(x, y) for indicators y."""
        h = layer(x, "encoder.network.body") + linear(y, w["encoder.network.class_weight"])
        m, log_s = layer(softplus(h), "encoder.network.head.layers.0").chunk(2, dim=-1)
        z = m + log_s.exp() * e
        code = torch.cat([y.expand(*z.shape[:-1], size.classes), z], dim=-1)
        logits = layer(softplus(layer(code, "decoder.network.layers.0")), "decoder.network.layers.1")
        log_px = -binary_cross_entropy_with_logits(logits, x.expand(logits.shape), reduction="none").sum(-1)
        kl = 0.5 * (m.square() + (2 * log_s).exp() - 2 * log_s - 1).sum(-1)
        return log_px - kl - math.log(size.classes)

    def log_q(x: Any) -> Any:
        return layer(softplus(layer(x, "classifier.network.layers.0")), "classifier.network.layers.1").log_softmax(-1)

    def loss(x: Any, y: Any, e: Any) -> Any:
        (labelled, others), log_prob = x.split(size.batch), log_q(x)
        supervised = bound(labelled, one_hot(y, size.classes).float(), e[0])
        classification = log_prob[: size.batch].gather(1, y[:, None])
        log_prob = log_prob[size.batch :]
        expected, entropy = (log_prob.exp().T * bound(others, every, e[1:])).sum(0), -(log_prob.exp() * log_prob).sum(1)
        unsupervised = (expected + entropy).mean()
        return -share * (supervised.mean() + ALPHA * classification.mean()) - (1 - share) * unsupervised

    return steps.pytorch(problem, steps.tensors(problem), list(w.values()), loss, compiled)


def jax_jit(size: Size, problem: Problem) -> steps.Step:
    """Returns the same step by JAX."""
    import jax
    import jax.numpy as jnp
    from jax.nn import softplus

    share = N_LABELLED / N

    def loss(w: Any, x: Any, y: Any, e: Any) -> Any:
        def layer(h: Any, name: str) -> Any:
            return h @ w[f"{name}.weight"] + w[f"{name}.bias"]

        def bound(x: Any, y: Any, e: Any) -> Any:
            h = layer(x, "encoder.network.body") + y @ w["encoder.network.class_weight"]
            m, log_s = jnp.split(layer(softplus(h), "encoder.network.head.layers.0"), 2, axis=-1)
            z = m + jnp.exp(log_s) * e
            code = jnp.concatenate([jnp.broadcast_to(y, (*z.shape[:-1], size.classes)), z], axis=-1)
            logits = layer(softplus(layer(code, "decoder.network.layers.0")), "decoder.network.layers.1")
            log_px = (x * logits - softplus(logits)).sum(-1)
            kl = 0.5 * (m * m + jnp.exp(2 * log_s) - 2 * log_s - 1).sum(-1)
            return log_px - kl - math.log(size.classes)

        h = softplus(layer(x, "classifier.network.layers.0"))
        log_prob = jax.nn.log_softmax(layer(h, "classifier.network.layers.1"))
        supervised = bound(x[: size.batch], jax.nn.one_hot(y, size.classes), e[0])
        classification = jnp.take_along_axis(log_prob[: size.batch], y[:, None], axis=1)
        log_prob = log_prob[size.batch :]
        expected = (jnp.exp(log_prob).T * bound(x[size.batch :], jnp.eye(size.classes)[:, None], e[1:])).sum(0)
        unsupervised = (expected - (jnp.exp(log_prob) * log_prob).sum(1)).mean()
        return -share * (supervised.mean() + ALPHA * classification.mean()) - (1 - share) * unsupervised

    return steps.jax_jit(problem, problem.parameters, loss)


PEERS = {
    "scratchvae": scratchvae,
    "torch": pytorch,
    "torch-compile": partial(pytorch, compiled=True),
    "jax": jax_jit,
}
