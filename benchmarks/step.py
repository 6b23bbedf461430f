"""One training step of a VAE, 784-400-20 relu, batch 128, float32: the engine, NumPy by hand, PyTorch and JAX.

Each takes the same batch and noise, computes the mean ELBO and all gradients, and updates by Adam. The column
"gradients" leaves Adam out. All run in one process, where the thread pools of the libraries compete: ratios between
libraries are indications, and the README does not repeat them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy

import scratchvae as sv
from benchmarks.timing import interleaved
from scratchvae.noise import GivenNoise

sys.path.append(str(Path(__file__).parents[1] / "examples"))
import vae_from_nothing as by_hand

Step = Callable[[], object]


def engine(x: numpy.ndarray, e: numpy.ndarray) -> tuple[Step, Step]:
    """The gradients alone, and the whole step, by scratchvae."""
    model = sv.VAE.mlp()
    optimizer = sv.optim.Adam(model.parameters())

    def gradients():
        loss = -sv.ops.mean(model.elbo(x, GivenNoise(e[None])))
        sv.grad(loss, optimizer.parameters, out=optimizer.gradients)

    def step():
        gradients()
        optimizer.step()

    return gradients, step


def numpy_by_hand(x: numpy.ndarray, e: numpy.ndarray) -> tuple[Step, Step]:
    """The same by examples/vae_from_nothing.py."""
    parameters = by_hand.initial_parameters(numpy.random.default_rng(0))
    adam = by_hand.Adam(parameters)

    def gradients():
        _, saved = by_hand.elbo(parameters, x, e)
        return by_hand.gradients(parameters, x, e, saved)

    return gradients, lambda: adam.step(gradients())


def pytorch(x: numpy.ndarray, e: numpy.ndarray) -> tuple[Step, Step]:
    """The same by PyTorch, eager."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, linear, relu

    parameters = [
        torch.nn.Parameter(torch.tensor(w.T.copy() if w.ndim == 2 else w))
        for w in by_hand.initial_parameters(numpy.random.default_rng(0))
    ]
    adam = torch.optim.Adam(parameters, lr=1e-3)
    x, e = torch.tensor(x), torch.tensor(e)
    w1, b1, w2, b2, w3, b3, w4, b4 = parameters

    def gradients():
        m, log_s = linear(relu(linear(x, w1, b1)), w2, b2).chunk(2, dim=1)
        z = m + log_s.exp() * e
        a = linear(relu(linear(z, w3, b3)), w4, b4)
        negative_log_likelihood = binary_cross_entropy_with_logits(a, x, reduction="sum")
        kl = 0.5 * (m.square() + (2 * log_s).exp() - 2 * log_s - 1).sum()
        adam.zero_grad()
        ((negative_log_likelihood + kl) / len(x)).backward()

    def step():
        gradients()
        adam.step()

    return gradients, step


def jax(x: numpy.ndarray, e: numpy.ndarray) -> tuple[Step, Step]:
    """The same by JAX, compiled."""
    import jax
    import jax.numpy as jnp

    start = [jnp.asarray(w) for w in by_hand.initial_parameters(numpy.random.default_rng(0))]
    state = {"all": (start, [jnp.zeros_like(w) for w in start], [jnp.zeros_like(w) for w in start], 0)}
    x, e = jnp.asarray(x), jnp.asarray(e)

    def loss(parameters):
        w1, b1, w2, b2, w3, b3, w4, b4 = parameters
        m, log_s = jnp.split(jax.nn.relu(x @ w1 + b1) @ w2 + b2, 2, axis=1)
        a = jax.nn.relu((m + jnp.exp(log_s) * e) @ w3 + b3) @ w4 + b4
        kl = 0.5 * (m * m + jnp.exp(2 * log_s) - 2 * log_s - 1).sum()
        return -((x * a - jax.nn.softplus(a)).sum() - kl) / len(x)

    slope = jax.jit(jax.grad(loss))

    @jax.jit
    def update(parameters, means, squares, t):
        gradients = jax.grad(loss)(parameters)
        means = [0.9 * m + 0.1 * g for m, g in zip(means, gradients, strict=True)]
        squares = [0.999 * v + 0.001 * g * g for v, g in zip(squares, gradients, strict=True)]
        rate, scale = 1e-3 / (1 - 0.9 ** (t + 1)), 1 / (1 - 0.999 ** (t + 1))
        moved = zip(parameters, means, squares, strict=True)
        return [w - rate * m / (jnp.sqrt(v * scale) + 1e-8) for w, m, v in moved], means, squares, t + 1

    def step():
        state["all"] = jax.block_until_ready(update(*state["all"]))

    return lambda: jax.block_until_ready(slope(state["all"][0])), step


def main(arguments: list[str]) -> None:
    """Print milliseconds per step, and ratios to NumPy by hand; a peer that is not installed is left out by name."""
    rng = numpy.random.default_rng(0)
    x, e = rng.random((128, 784), dtype=numpy.float32), rng.standard_normal((128, 20), dtype=numpy.float32)
    pairs, missing = {}, []
    for make in (engine, numpy_by_hand, pytorch, jax):
        try:
            pairs[make.__name__] = make(x, e)
        except ImportError as error:
            missing.append(error.name)
    print("one step of a VAE, 784-400-20 relu, batch 128, float32: milliseconds, and ratio to NumPy by hand")
    print(f"{'':16s}{'gradients':>12s}{'ratio':>8s}{'whole step':>14s}{'ratio':>8s}")
    gradients, steps = (
        interleaved({name: pair[i] for name, pair in pairs.items()}, rounds=60, reference="numpy_by_hand")
        for i in (0, 1)
    )
    for name in pairs:
        (gradient, gradient_ratio), (step, step_ratio) = gradients[name], steps[name]
        print(f"{name:16s}{gradient * 1e3:12.2f}{gradient_ratio:8.2f}{step * 1e3:14.2f}{step_ratio:8.2f}")
    if missing:
        print(f"not installed, so left out: {', '.join(missing)}")
