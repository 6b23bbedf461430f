"""Whole training steps of a VAE with an MLP or convolutions, float32, compared with PyTorch and JAX on the same device.

784-400-20 relu: a step takes the next minibatch of the data by an order of rows, draws its pixels and z anew, and
updates by Adam. The convolutional VAE is that of `benchmarks.cases.convolutional`: images 64 x 64 x 3, batch 64.
PyTorch is eager, compiled with CUDA graphs (mode "reduce-overhead") beside a fused Adam, and compiled with the whole
step in one CUDA graph, its convolutions chosen by cuDNN's own measurement; JAX is one jitted function. None of them
computes products or convolutions in TF32.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import numpy

import scratchvae as sv
from benchmarks.cases import convolutional, steps
from benchmarks.rows import NotHere, Rows, peer, settings
from scratchvae.backend import asarray, synchronize
from scratchvae.binarization import binarize
from scratchvae.capture import Capture


def nothing() -> None:
    """Does nothing."""


class Step(NamedTuple):
    """A Step is a training step; finish() waits until the device has done all steps, and close() frees their memory."""

    run: Callable[[], object]
    finish: Callable[[], object]
    close: Callable[[], object] = nothing


BATCHES = 10  # minibatches of the data


def layers(w: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Returns the weight and the bias of every layer of `sv.VAE.mlp()`, from its parameters by name."""
    names = [f"{part}.network.layers.{i}" for part in ("encoder", "decoder") for i in (0, 1)]
    return [(w[f"{name}.weight"], w[f"{name}.bias"]) for name in names]


def torch_loss(w: dict[str, Any], x: Any, e: Any) -> Any:
    """Minus the mean ELBO of `sv.VAE.mlp()`.   x (M, 784), e (M, 20)"""
    from torch.nn.functional import binary_cross_entropy_with_logits, relu

    (w1, b1), (w2, b2), (w3, b3), (w4, b4) = layers(w)
    m, log_s = (relu(x @ w1 + b1) @ w2 + b2).chunk(2, dim=1)
    logits = relu((m + log_s.exp() * e) @ w3 + b3) @ w4 + b4
    kl = 0.5 * (m.square() + (2 * log_s).exp() - 2 * log_s - 1).sum()
    return (binary_cross_entropy_with_logits(logits, x, reduction="sum") + kl) / len(x)


def torch_parameters(arrays: dict[str, numpy.ndarray]) -> dict[str, Any]:
    """Returns our parameters by name as PyTorch's."""
    return {name: steps.torch_parameter(array) for name, array in arrays.items()}


def jax_loss(w: dict[str, Any], x: Any, e: Any) -> Any:
    """Returns the same step by JAX."""
    import jax
    import jax.numpy as jnp

    (w1, b1), (w2, b2), (w3, b3), (w4, b4) = layers(w)
    m, log_s = jnp.split(jax.nn.relu(x @ w1 + b1) @ w2 + b2, 2, axis=1)
    a = jax.nn.relu((m + jnp.exp(log_s) * e) @ w3 + b3) @ w4 + b4
    kl = 0.5 * (m * m + jnp.exp(2 * log_s) - 2 * log_s - 1).sum()
    return ((jax.nn.softplus(a) - x * a).sum() + kl) / len(x)


@dataclass(frozen=True)
class Case:
    """A Case has a model and its minibatches, and the same model by PyTorch and JAX, from the parameters by name.

    mode : how a step makes pixels of the data, as in `binarize`
    channels_first : whether PyTorch's images are (M, C, H, W)
    """

    model: Callable[[], Any]
    shape: tuple[int, ...]
    latent: int
    mode: str
    torch_parameters: Callable[..., dict[str, Any]]
    torch_loss: Callable[..., Any]
    jax_loss: Callable[..., Any]
    channels_first: bool = False

    def parameters(self) -> dict[str, numpy.ndarray]:
        """Returns the initial parameters."""
        return {name: sv.to_numpy(x.data) for name, x in self.model().named_parameters().items()}

    def data(self, batch: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Returns BATCHES minibatches of numbers in [0, 1), and an order of their rows."""
        rng, n = numpy.random.default_rng(0), BATCHES * batch
        return rng.random((n, *self.shape), dtype=numpy.float32), rng.permutation(n)


MLP = Case(partial(sv.VAE.mlp, binarize="dynamic"), (784,), 20, "dynamic", torch_parameters, torch_loss, jax_loss)
CONVOLUTIONAL = Case(
    partial(convolutional.model, convolutional.Size()),
    (64, 64, 3),
    64,
    "none",
    convolutional.torch_parameters,
    convolutional.torch_loss,
    convolutional.jax_loss,
    channels_first=True,
)


def ours(case: Case, batch: int, device: str) -> Step:
    """Returns the step of `fit`."""
    model = case.model().to(device)
    optimizer = sv.optim.Adam(model.parameters())
    x, order = (asarray(array, device) for array in case.data(batch))
    number = iter(range(2**62))

    def step() -> None:
        i = next(number)
        noise = sv.Noise(0, i, device, training=True)
        start = i % BATCHES * batch
        rows = binarize(x[order[start : start + batch]], case.mode, noise)
        sv.grad(-sv.ops.mean(model.elbo(rows, noise)), optimizer.parameters, out=optimizer.gradients)
        optimizer.step()

    return Step(step, partial(synchronize, device))


def ours_captured(case: Case, batch: int, device: str) -> Step:
    """Returns the step of `fit` on a GPU, one CUDA graph after it has been captured."""
    if device == "cpu":
        raise NotHere("CUDA graphs need a GPU")
    model = case.model().to(device)
    optimizer = sv.optim.Adam(model.parameters())
    x, order = (asarray(array, device) for array in case.data(batch))
    capture, number = Capture(x.dtype), iter(range(2**62))

    def compute(words: Any, numbers: Any, arrays: Any) -> None:
        noise = sv.Noise(0, 0, device, training=True, words=words)
        rows = binarize(x[arrays[0]], case.mode, noise)
        sv.grad(-sv.ops.mean(model.elbo(rows, noise)), optimizer.parameters, out=optimizer.gradients)
        optimizer.apply(numbers)

    def step() -> None:
        i = next(number)
        start = i % BATCHES * batch
        capture(compute, i, optimizer.next_coefficients(), [order[start : start + batch]])

    capture.__enter__()
    return Step(step, capture.stream.synchronize, partial(capture.__exit__, None, None, None))


# ---- PyTorch


class Torch:
    """A Torch has the loss of the next minibatch, the parameters, and the number of the step, on PyTorch's device."""

    def __init__(self, case: Case, batch: int, device: str, layout: str = "contiguous_format") -> None:
        self.torch, self.where = peer("torch"), {"gpu": "cuda", "cpu": "cpu"}[device]
        self.torch.backends.cudnn.allow_tf32, self.torch.backends.cudnn.benchmark = False, True
        self.case, self.batch = case, batch
        options = {"layout": layout} if case.channels_first else {}
        parameters = case.torch_parameters(case.parameters(), **options)
        self.named = {name: self.torch.nn.Parameter(x.detach().to(self.where)) for name, x in parameters.items()}
        self.parameters = list(self.named.values())
        self.x, self.order = (self.torch.tensor(array, device=self.where) for array in case.data(batch))
        if case.channels_first:
            self.x = self.x.permute(0, 3, 1, 2).contiguous(memory_format=getattr(self.torch, layout))
        self.within = self.torch.arange(batch, device=self.where)
        self.number = self.torch.zeros((), dtype=self.torch.long, device=self.where)

    def loss(self) -> Any:
        torch = self.torch
        rows = self.x[self.order[self.number % BATCHES * self.batch + self.within]]
        if self.case.mode == "dynamic":
            rows = (torch.rand_like(rows) < rows).to(rows.dtype)
        return self.case.torch_loss(self.named, rows, torch.randn(self.batch, self.case.latent, device=self.where))

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


def torch_eager(case: Case, batch: int, device: str) -> Step:
    """Returns PyTorch's step, operation by operation, with its default Adam."""
    twin = Torch(case, batch, device)
    return Step(twin.step(twin.loss, twin.torch.optim.Adam(twin.parameters)), twin.finish)


def torch_reduce_overhead(case: Case, batch: int, device: str) -> Step:
    """Returns PyTorch's step with forward and backward compiled, each replayed as a CUDA graph; Adam is one kernel."""
    if device == "cpu":
        raise NotHere("CUDA graphs need a GPU")
    twin = Torch(case, batch, device)
    adam = twin.torch.optim.Adam(twin.parameters, fused=True, capturable=True)
    return Step(twin.step(twin.torch.compile(twin.loss, mode="reduce-overhead"), adam), twin.finish)


def torch_graph(case: Case, batch: int, device: str, layout: str = "contiguous_format") -> Step:
    """Returns PyTorch's step, compiled and recorded with Adam as one CUDA graph: one launch per step."""
    if device == "cpu":
        raise NotHere("CUDA graphs need a GPU")
    twin = Torch(case, batch, device, layout)
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
    return Step(graph.replay, twin.finish)


# ---- JAX


def jax_jit(case: Case, batch: int, device: str) -> Step:
    """Returns JAX's step as one jitted function, whose arguments give their memory to its results."""
    jax = peer("jax")
    jnp, tree = jax.numpy, jax.tree.map
    jax.config.update("jax_default_matmul_precision", "highest")
    if (jax.default_backend() == "gpu") != (device == "gpu"):
        raise NotHere(f"this JAX computes on the {jax.default_backend()}")
    x, order = map(jnp.asarray, case.data(batch))
    parameters = tree(jnp.asarray, case.parameters())
    means, squares = (tree(jnp.zeros_like, parameters) for _ in range(2))

    def update(parameters: Any, means: Any, squares: Any, t: Any) -> Any:
        pixels_key, z_key = jax.random.split(jax.random.fold_in(jax.random.key(0), t))
        rows = x[jax.lax.dynamic_slice(order, (t % BATCHES * batch,), (batch,))]
        if case.mode == "dynamic":
            rows = (jax.random.uniform(pixels_key, rows.shape) < rows).astype(rows.dtype)
        slopes = jax.grad(case.jax_loss)(parameters, rows, jax.random.normal(z_key, (batch, case.latent)))
        means = tree(lambda m, g: 0.9 * m + 0.1 * g, means, slopes)
        squares = tree(lambda v, g: 0.999 * v + 0.001 * g * g, squares, slopes)
        rate, scale = 1e-3 / (1 - 0.9 ** (t + 1.0)), 1 / (1 - 0.999 ** (t + 1.0))
        moved = tree(lambda w, m, v: w - rate * m / (jnp.sqrt(v * scale) + 1e-8), parameters, means, squares)
        return moved, means, squares, t + 1

    jitted = jax.jit(update, donate_argnums=(0, 1, 2))
    state = [(parameters, means, squares, jnp.int32(0))]

    def step() -> None:
        state[0] = jitted(*state[0])

    return Step(step, lambda: jax.block_until_ready(state[0]))


# ---- times

Maker = Callable[[Case, int, str], Step]
PEERS: dict[str, Maker] = {
    "scratchvae, operation by operation": ours,
    "PyTorch eager": torch_eager,
    "PyTorch reduce-overhead, fused Adam": torch_reduce_overhead,
    "PyTorch compiled, one CUDA graph": torch_graph,
    "JAX jit": jax_jit,
}
CHANNELS_LAST = {"PyTorch compiled, one CUDA graph, channels last": partial(torch_graph, layout="channels_last")}


def seconds(step: Step, n: int) -> float:
    """Returns the seconds per step of n steps, between two moments at which the device is idle."""
    step.finish()
    started = time.perf_counter()
    for _ in range(n):
        step.run()
    step.finish()
    return (time.perf_counter() - started) / n


def ready(make: Maker, case: Case, batch: int, device: str) -> tuple[Step, float]:
    """Returns a step that has run once, and the seconds up to the end of that run."""
    started = time.perf_counter()
    step = make(case, batch, device)
    seconds(step, 3)
    return step, time.perf_counter() - started


def compared(own: Step, make: Callable[[], tuple[Step, float]], rounds: int, n: int) -> dict[str, Any]:
    """Milliseconds of a peer and of our step in turns, medians over rounds, and the median of the ratio."""
    other, until_ready = make()
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
    """Prints milliseconds of our step, captured if possible, and of every peer beside it."""
    chosen = settings("gpu_step", __doc__, arguments)
    device, rows, (rounds, n) = chosen.device, Rows(chosen.out), (2, 1) if chosen.quick else (7, 100)
    cases = [("MLP", MLP, 20)] if chosen.quick else [("MLP", MLP, 100), ("MLP", MLP, 1000)]
    cases += [("convolutional", CONVOLUTIONAL, 2 if chosen.quick else 64)]
    for name, case, batch in cases:
        own, _ = ready(ours if device == "cpu" else ours_captured, case, batch, device)
        rows.attempt(f"{name}, batch {batch}: scratchvae", partial(alone, own, rounds, n))
        for peer_name, make in (PEERS | CHANNELS_LAST if case.channels_first else PEERS).items():
            measure = partial(compared, own, partial(ready, make, case, batch, device), rounds, n)
            rows.attempt(f"{name}, batch {batch}: {peer_name}", measure)
        own.close()
    rows.finish()
