"""A VAE of two multilayer perceptrons: D -> hidden -> 2 K, K -> reversed hidden -> D, relu, Bernoulli, float32.

    loss = -(1/M) sum over the minibatch of log p(x | z) - KL(q(z | x) || p(z)),   z = m + s e

`nats` is the same step on minibatches of drawn digits in turn: how far a training gets in how many seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy

from benchmarks.cases import steps
from benchmarks.cases.problem import NotHere, Problem

Network = Callable[[Any], Any]


@dataclass(frozen=True)
class Size:
    """Sizes of the network and of the minibatch; n_batches of drawn digits, or one of random numbers."""

    hidden: tuple[int, ...] = (400,)
    latent: int = 20
    batch: int = 128
    n_batches: int = 0

    def __str__(self) -> str:
        return f"VAE 784-{'-'.join(map(str, self.hidden))}-{self.latent} relu, Bernoulli, batch {self.batch}"


CASES = {
    "mlp": Size(),
    "mlp-large": Size((512, 512), 50, 512),
    "nats": Size(n_batches=60),
    **{f"batch:{n}": Size(batch=n) for n in (16, 32, 64, 128, 256, 512, 1024)},
    **{f"width:{n}": Size((n,)) for n in (50, 100, 200, 400, 800, 1600)},
}
REFERENCE = "torch"


def model(size: Size) -> Any:
    """Returns the model before its first step."""
    import scratchvae as sv

    return sv.VAE.mlp(784, size.latent, size.hidden)


def problem(size: Size, data: str | None = None) -> Problem:
    """Minibatches of random grey values, or of drawn digits."""
    if size.n_batches:
        import scratchvae as sv

        x = sv.data.draw_digits(size.n_batches * size.batch).images.reshape(size.n_batches, size.batch, 784)
    else:
        x = numpy.random.default_rng(0).random((1, size.batch, 784), dtype=numpy.float32)
    parameters = {name: parameter.data for name, parameter in model(size).named_parameters().items()}
    return Problem({"x": x}, (1, size.batch, size.latent), parameters)


def scratchvae(size: Size, problem: Problem) -> steps.Step:
    """Returns the step of scratchvae, on the objective that `fit` ascends."""
    from scratchvae.noise import GivenNoise
    from scratchvae.objectives import elbo

    vae = model(size)
    objective = elbo(vae)
    return steps.scratchvae(problem, vae, lambda x, e: -objective.value(x, GivenNoise(e), 1, 1.0)[0])


def numpy_by_hand(size: Size, problem: Problem) -> steps.Step:
    """Returns the step of examples/vae_from_nothing.py, which has every gradient by hand."""
    if len(size.hidden) > 1:
        raise NotHere("written for one hidden layer")
    sys.path.append(str(Path(__file__).parents[2] / "examples"))
    import vae_from_nothing as by_hand

    parameters = [w.copy() for w in problem.parameters.values()]
    adam, batches = by_hand.Adam(parameters, rate=problem.rate), steps.cycle(problem.batches())

    def step(e: numpy.ndarray) -> Any:
        (x,) = next(batches)
        values, saved = by_hand.elbo(parameters, x, e[0])
        adam.step(by_hand.gradients(parameters, x, e[0], saved))
        return -values.mean()

    return step


def pytorch(size: Size, problem: Problem, compiled: bool = False) -> steps.Step:
    """Returns the same step by PyTorch."""
    from torch.nn.functional import binary_cross_entropy_with_logits, relu

    parameters, encoder, decoder = torch_perceptrons(problem, relu)

    def loss(x: Any, e: Any) -> Any:
        m, log_s = encoder(x).chunk(2, dim=1)
        z = m + log_s.exp() * e[0]
        negative_log_likelihood = binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
        kl = 0.5 * (m.square() + (2 * log_s).exp() - 2 * log_s - 1).sum()
        return (negative_log_likelihood + kl) / len(x)

    return steps.pytorch(problem, steps.tensors(problem), parameters, loss, compiled)


def torch_perceptrons(problem: Problem, activation: Callable[[Any], Any]) -> tuple[list[Any], Network, Network]:
    """Returns all parameters of PyTorch, and the equally deep networks of the encoder and the decoder."""
    from torch.nn.functional import linear

    parameters = [steps.torch_parameter(w.T) for w in problem.parameters.values()]

    def perceptron(layers: list[Any], h: Any) -> Any:
        for w, b in layers[:-1]:
            h = activation(linear(h, w, b))
        return linear(h, *layers[-1])

    layers = list(zip(parameters[::2], parameters[1::2], strict=True))
    half = len(layers) // 2
    return parameters, partial(perceptron, layers[:half]), partial(perceptron, layers[half:])


def jax_jit(size: Size, problem: Problem) -> steps.Step:
    """Returns the same step by JAX."""
    import jax
    import jax.numpy as jnp

    def loss(parameters: Any, x: Any, e: Any) -> Any:
        encoder, decoder = jax_perceptrons(parameters, jax.nn.relu)
        m, log_s = jnp.split(encoder(x), 2, axis=1)
        a = decoder(m + jnp.exp(log_s) * e[0])
        kl = 0.5 * (m * m + jnp.exp(2 * log_s) - 2 * log_s - 1).sum()
        return ((jax.nn.softplus(a) - x * a).sum() + kl) / len(x)

    return steps.jax_jit(problem, list(problem.parameters.values()), loss)


def jax_perceptrons(parameters: list[Any], activation: Callable[[Any], Any]) -> tuple[Network, Network]:
    """Returns the equally deep networks of the encoder and the decoder, by JAX."""

    def perceptron(layers: list[Any], h: Any) -> Any:
        for w, b in layers[:-1]:
            h = activation(h @ w + b)
        w, b = layers[-1]
        return h @ w + b

    layers = list(zip(parameters[::2], parameters[1::2], strict=True))
    half = len(layers) // 2
    return partial(perceptron, layers[:half]), partial(perceptron, layers[half:])


PEERS = {
    "scratchvae": scratchvae,
    "numpy": numpy_by_hand,
    "torch": pytorch,
    "torch-compile": partial(pytorch, compiled=True),
    "jax": jax_jit,
}
