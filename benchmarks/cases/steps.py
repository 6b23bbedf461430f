"""A training step of each library, given its loss: forward, gradients and Adam, on one minibatch after the other.

A Step takes the noise e, an array of its library, and returns the loss before its update.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import numpy

from benchmarks.cases.problem import Problem

Step = Callable[[Any], Any]


def scratchvae(problem: Problem, model: Any, loss: Callable[..., Any], clip_norm: float | None = None) -> Step:
    """Returns a step of scratchvae on loss(*batch, e), as `fit` takes it."""
    import scratchvae as sv
    from scratchvae.backend import keep_freed_memory

    keep_freed_memory()
    optimizer = sv.optim.Adam(model.parameters(), problem.rate, clip_norm=clip_norm)
    batches = cycle(problem.batches())

    def step(e: Any) -> Any:
        value = loss(*next(batches), e)
        sv.grad(value, optimizer.parameters, out=optimizer.gradients)
        optimizer.step()
        return value.data

    return step


def pytorch(
    problem: Problem,
    batches: list[tuple[Any, ...]],
    parameters: Sequence[Any],
    loss: Callable[..., Any],
    compiled: bool = False,
    clip_norm: float | None = None,
) -> Step:
    """Returns a step of PyTorch on loss(*batch, e), eager with its default Adam, or compiled with its fused Adam."""
    import torch

    adam = torch.optim.Adam(parameters, lr=problem.rate, fused=compiled)
    loss, every = torch.compile(loss) if compiled else loss, cycle(batches)

    def step(e: Any) -> Any:
        adam.zero_grad()
        value = loss(*next(every), e)
        value.backward()
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
        adam.step()
        return value.detach()

    return step


def tensors(problem: Problem) -> list[tuple[Any, ...]]:
    """Returns the minibatches as PyTorch's tensors."""
    import torch

    return problem.batches(torch.from_numpy)


def torch_parameter(array: numpy.ndarray) -> Any:
    """Returns a parameter with a copy of the array."""
    import torch

    return torch.nn.Parameter(torch.tensor(numpy.ascontiguousarray(array)))


def jax_jit(problem: Problem, parameters: Any, loss: Callable[..., Any]) -> Step:
    """Returns a step of JAX on loss(parameters, *batch, e), one compiled function with Adam of Kingma & Ba (2015)."""
    import jax
    import jax.numpy as jnp

    batches, tree = cycle(problem.batches(jnp.asarray)), jax.tree_util.tree_map
    parameters = tree(jnp.array, parameters)
    state = (parameters, tree(jnp.zeros_like, parameters), tree(jnp.zeros_like, parameters), jnp.float32(0))

    def update(w: Any, m: Any, v: Any, t: Any, *arguments: Any) -> Any:
        value, g = jax.value_and_grad(loss)(w, *arguments)
        m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
        rate, scale = problem.rate / (1 - 0.9 ** (t + 1)), 1 / (1 - 0.999 ** (t + 1))
        w = tree(lambda w, m, v: w - rate * m / (jnp.sqrt(v * scale) + 1e-8), w, m, v)
        return value, (w, m, v, t + 1)

    update = jax.jit(update, donate_argnums=(0, 1, 2))

    def step(e: Any) -> Any:
        nonlocal state
        value, state = jax.block_until_ready(update(*state, *next(batches), e))
        return value

    return step
