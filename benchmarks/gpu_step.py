"""Whole training steps of a VAE, 784-400-20 relu, float32, beside PyTorch and JAX on the same device.

A step takes the next minibatch of the data by an order of rows, draws its pixels and z anew, and updates by Adam.
PyTorch is eager, compiled with CUDA graphs (mode "reduce-overhead") beside a fused Adam, and compiled with the whole
step in one CUDA graph; JAX is one jitted function. None of them computes products in TF32.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial
from statistics import median
from typing import Any

import numpy

import scratchvae as sv
from benchmarks.rows import NotHere, Rows, peer, settings
from scratchvae.backend import asarray, synchronize
from scratchvae.binarization import binarize
from scratchvae.capture import Capture

Step = tuple[Callable[[], object], Callable[[], object]]
"""One step, and what waits for the device to have done all steps."""

BATCHES = 10  # minibatches of the data
SIZES = ((784, 400), (400, 40), (20, 400), (400, 784))


def _data(batch: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    rng = numpy.random.default_rng(0)
    return rng.random((BATCHES * batch, 784), dtype=numpy.float32), rng.permutation(BATCHES * batch)


def ours(batch: int, device: str) -> Step:
    """The step of `fit`."""
    model = sv.VAE.mlp(binarize="dynamic").to(device)
    optimizer = sv.optim.Adam(model.parameters())
    x, order = (asarray(array, device) for array in _data(batch))
    number = iter(range(2**62))

    def step() -> None:
        i = next(number)
        noise = sv.Noise(0, i, device, training=True)
        start = i % BATCHES * batch
        rows = binarize(x[order[start : start + batch]], "dynamic", noise)
        sv.grad(-sv.ops.mean(model.elbo(rows, noise)), optimizer.parameters, out=optimizer.gradients)
        optimizer.step()

    return step, partial(synchronize, device)


def ours_captured(batch: int, device: str) -> Step:
    """The same step as `fit` takes it on a GPU, one CUDA graph, once it has been captured."""
    if device == "cpu":
        raise NotHere("CUDA graphs need a GPU")
    model = sv.VAE.mlp(binarize="dynamic").to(device)
    optimizer = sv.optim.Adam(model.parameters())
    x, order = (asarray(array, device) for array in _data(batch))
    capture, number = Capture(x.dtype), iter(range(2**62))

    def compute(words: Any, numbers: Any, arrays: Any) -> None:
        noise = sv.Noise(0, 0, device, training=True, words=words)
        rows = binarize(x[arrays[0]], "dynamic", noise)
        sv.grad(-sv.ops.mean(model.elbo(rows, noise)), optimizer.parameters, out=optimizer.gradients)
        optimizer.apply(numbers)

    def step() -> None:
        i = next(number)
        start = i % BATCHES * batch
        capture(compute, i, optimizer.next_coefficients(), [order[start : start + batch]])

    capture.__enter__()  # until the process ends
    return step, capture.stream.synchronize


# ---- PyTorch


def torch_loss(parameters: list[Any], x: Any, e: Any) -> Any:
    """Minus the mean ELBO of `sv.VAE.mlp()`, from its parameters in their order.   x (M, 784), e (M, 20)"""
    from torch.nn.functional import binary_cross_entropy_with_logits, relu

    w1, b1, w2, b2, w3, b3, w4, b4 = parameters
    m, log_s = (relu(x @ w1 + b1) @ w2 + b2).chunk(2, dim=1)
    logits = relu((m + log_s.exp() * e) @ w3 + b3) @ w4 + b4
    kl = 0.5 * (m.square() + (2 * log_s).exp() - 2 * log_s - 1).sum()
    return (binary_cross_entropy_with_logits(logits, x, reduction="sum") + kl) / len(x)


class Torch:
    """The loss of the next minibatch, its parameters, and the number of the step, on a device of PyTorch's."""

    def __init__(self, batch: int, device: str) -> None:
        self.torch, self.where = peer("torch"), {"gpu": "cuda", "cpu": "cpu"}[device]
        self.parameters = [
            self.torch.nn.Parameter(self.torch.tensor(sv.to_numpy(x.data), device=self.where))
            for x in sv.VAE.mlp().parameters()
        ]
        self.x, self.order = (self.torch.tensor(array, device=self.where) for array in _data(batch))
        self.within = self.torch.arange(batch, device=self.where)
        self.number, self.batch = self.torch.zeros((), dtype=self.torch.long, device=self.where), batch

    def loss(self) -> Any:
        torch = self.torch
        rows = self.x[self.order[self.number % BATCHES * self.batch + self.within]]
        pixels = (torch.rand_like(rows) < rows).to(rows.dtype)
        return torch_loss(self.parameters, pixels, torch.randn(self.batch, 20, device=self.where))

    def step(self, loss: Callable[[], Any], adam: Any) -> Callable[[], object]:
        def step() -> None:
            adam.zero_grad(set_to_none=True)
            loss().backward()
            adam.step()
            self.number += 1

        return step

    def finish(self) -> None:
        if self.where == "cuda":
            self.torch.cuda.synchronize()


def torch_eager(batch: int, device: str) -> Step:
    """PyTorch, operation by operation, with its default Adam."""
    twin = Torch(batch, device)
    return twin.step(twin.loss, twin.torch.optim.Adam(twin.parameters)), twin.finish


def torch_reduce_overhead(batch: int, device: str) -> Step:
    """Forward and backward compiled, each replayed as a CUDA graph; Adam is one kernel."""
    if device == "cpu":
        raise NotHere("CUDA graphs need a GPU")
    twin = Torch(batch, device)
    adam = twin.torch.optim.Adam(twin.parameters, fused=True, capturable=True)
    return twin.step(twin.torch.compile(twin.loss, mode="reduce-overhead"), adam), twin.finish


def torch_graph(batch: int, device: str) -> Step:
    """Forward and backward compiled, and with Adam recorded as one CUDA graph: one launch a step."""
    if device == "cpu":
        raise NotHere("CUDA graphs need a GPU")
    twin = Torch(batch, device)
    torch, adam = twin.torch, twin.torch.optim.Adam(twin.parameters, fused=True, capturable=True)
    step = twin.step(torch.compile(twin.loss, options={"triton.cudagraphs": False}), adam)
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    adam.zero_grad(set_to_none=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay, twin.finish


# ---- JAX


def jax_loss(parameters: Any, x: Any, e: Any) -> Any:
    """The same by JAX."""
    import jax
    import jax.numpy as jnp

    w1, b1, w2, b2, w3, b3, w4, b4 = parameters
    m, log_s = jnp.split(jax.nn.relu(x @ w1 + b1) @ w2 + b2, 2, axis=1)
    a = jax.nn.relu((m + jnp.exp(log_s) * e) @ w3 + b3) @ w4 + b4
    kl = 0.5 * (m * m + jnp.exp(2 * log_s) - 2 * log_s - 1).sum()
    return ((jax.nn.softplus(a) - x * a).sum() + kl) / len(x)


def jax_jit(batch: int, device: str) -> Step:
    """A whole step as one jitted function, whose arguments give their memory to its results."""
    jax = peer("jax")
    jnp = jax.numpy
    jax.config.update("jax_default_matmul_precision", "highest")
    if (jax.default_backend() == "gpu") != (device == "gpu"):
        raise NotHere(f"this JAX computes on the {jax.default_backend()}")
    x, order = map(jnp.asarray, _data(batch))
    parameters = [jnp.asarray(sv.to_numpy(x.data)) for x in sv.VAE.mlp().parameters()]
    zeros = [jnp.zeros_like(parameter) for parameter in parameters]

    def update(parameters: Any, means: Any, squares: Any, t: Any) -> Any:
        pixels_key, z_key = jax.random.split(jax.random.fold_in(jax.random.key(0), t))
        rows = x[jax.lax.dynamic_slice(order, (t % BATCHES * batch,), (batch,))]
        pixels = (jax.random.uniform(pixels_key, rows.shape) < rows).astype(rows.dtype)
        slopes = jax.grad(jax_loss)(parameters, pixels, jax.random.normal(z_key, (batch, 20)))
        means = [0.9 * m + 0.1 * g for m, g in zip(means, slopes, strict=True)]
        squares = [0.999 * v + 0.001 * g * g for v, g in zip(squares, slopes, strict=True)]
        rate, scale = 1e-3 / (1 - 0.9 ** (t + 1.0)), 1 / (1 - 0.999 ** (t + 1.0))
        moved = zip(parameters, means, squares, strict=True)
        return [w - rate * m / (jnp.sqrt(v * scale) + 1e-8) for w, m, v in moved], means, squares, t + 1

    jitted = jax.jit(update, donate_argnums=(0, 1, 2))
    state = [(parameters, zeros, [jnp.zeros_like(zero) for zero in zeros], jnp.int32(0))]

    def step() -> None:
        state[0] = jitted(*state[0])

    return step, lambda: jax.block_until_ready(state[0])


# ---- times

PEERS: dict[str, Callable[[int, str], Step]] = {
    "PyTorch eager": torch_eager,
    "JAX jit": jax_jit,
    "PyTorch reduce-overhead, fused Adam": torch_reduce_overhead,
    "PyTorch compiled, one CUDA graph": torch_graph,
    "scratchvae, one CUDA graph": ours_captured,
}
"""In the order of the time that they take to be made."""


def seconds(step: Step, n: int) -> float:
    """Seconds per step of n, between two moments at which the device has nothing left to do."""
    run, finish = step
    finish()
    started = time.perf_counter()
    for _ in range(n):
        run()
    finish()
    return (time.perf_counter() - started) / n


def ready(make: Callable[[int, str], Step], batch: int, device: str) -> tuple[Step, float]:
    """A step that has run, and the seconds that it took to get there."""
    started = time.perf_counter()
    step = make(batch, device)
    seconds(step, 3)
    return step, time.perf_counter() - started


def compared(own: Step, make: Callable[[int, str], Step], batch: int, device: str, rounds: int, n: int) -> dict:
    """Milliseconds of a peer and of our step in turns, medians over rounds, and the median of the ratio."""
    other, until_ready = ready(make, batch, device)
    pairs = [(seconds(own, n), seconds(other, n)) for _ in range(rounds)]
    return {
        "milliseconds": 1e3 * median(theirs for _, theirs in pairs),
        "ours": 1e3 * median(our for our, _ in pairs),
        "ours / theirs": median(our / theirs for our, theirs in pairs),
        "seconds until ready": until_ready,
    }


def alone(step: Step, rounds: int, n: int) -> dict[str, Any]:
    """Milliseconds of a step, the median over rounds, the least and the most."""
    times = [1e3 * seconds(step, n) for _ in range(rounds)]
    return {"milliseconds": median(times), "least": min(times), "most": max(times)}


def main(arguments: list[str]) -> None:
    """Print milliseconds of a step, and of every peer beside it, for minibatches of 100 and 1,000 rows."""
    chosen = settings("gpu_step", __doc__, arguments)
    device, rows, (rounds, n) = chosen.device, Rows(chosen.out), (2, 1) if chosen.quick else (7, 100)
    batches = (20,) if chosen.quick else (100, 1000)
    own = cache(lambda batch: ready(ours, batch, device)[0])
    for batch in batches:
        rows.attempt(f"scratchvae, batch {batch}", lambda batch=batch: alone(own(batch), rounds, n))
    for name, make in PEERS.items():
        for batch in batches:
            measure = partial(lambda make, batch: compared(own(batch), make, batch, device, rounds, n), make, batch)
            rows.attempt(f"{name}, batch {batch}", measure)
    rows.finish()
