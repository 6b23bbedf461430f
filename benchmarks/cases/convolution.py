"""A layer of a convolutional encoder: forward and both gradients, kernel 4 x 4, stride 2, padding 1, batch 64, float32.

    y = conv2d(x, kernel),   and the cotangents of x and the kernel for a given one of y

The number that must agree is a sum over y and the cotangent of x for the first image, and the kernel's whole cotangent.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy

from benchmarks.cases import steps
from benchmarks.cases.problem import Problem


class Layer(NamedTuple):
    """A Layer has the height and width of x, and the numbers of channels of x and y."""

    size: int
    inputs: int
    outputs: int

    def __str__(self) -> str:
        return f"conv2d (64, {self.size} x {self.size} x {self.inputs}) to {self.outputs}"


LAYERS = [Layer(64, 3, 32), Layer(32, 32, 64), Layer(16, 64, 128), Layer(8, 128, 256)]
CASES = {f"conv2d:{layer.size}": layer for layer in LAYERS}
REFERENCE = "torch"


def problem(layer: Layer, data: str | None = None) -> Problem:
    """Returns x, kernel and g of a layer."""
    size, inputs, outputs = layer
    rng = numpy.random.default_rng(0)
    shapes = {
        "x": (64, size, size, inputs),
        "kernel": (4, 4, inputs, outputs),
        "g": (64, size // 2, size // 2, outputs),
    }
    return Problem({name: rng.standard_normal((1, *shape), dtype=numpy.float32) for name, shape in shapes.items()})


def scratchvae(layer: Layer, problem: Problem) -> steps.Step:
    """Returns the step of scratchvae, which computes what the rule of ops.conv2d does."""
    from scratchvae import ops
    from scratchvae.backend import keep_freed_memory

    keep_freed_memory()  # as `fit` does
    ((x, kernel, g),) = problem.batches()

    def step(e: Any) -> float:
        y = ops.conv2d(x, kernel, 2, 1)
        g_x = ops.conv_transpose2d(g, kernel, 2, 1)
        g_kernel = ops.conv2d_kernel(x, g, (4, 4), 2, 1)
        return y[0].sum() + g_x[0].sum() + g_kernel.sum()

    return step


def pytorch(layer: Layer, problem: Problem, layout: str = "contiguous_format") -> steps.Step:
    """Returns the same step by PyTorch, with its memory format "contiguous_format" or "channels_last"."""
    import torch

    def in_layout(array: numpy.ndarray, *axes: int) -> Any:
        return torch.tensor(array.transpose(axes)).contiguous(memory_format=getattr(torch, layout))

    ((x, kernel, g),) = problem.batches()
    x, g = in_layout(x, 0, 3, 1, 2).requires_grad_(), in_layout(g, 0, 3, 1, 2)
    kernel = in_layout(kernel, 3, 2, 0, 1).requires_grad_()

    def step(e: Any) -> Any:
        y = torch.nn.functional.conv2d(x, kernel, stride=2, padding=1)
        g_x, g_kernel = torch.autograd.grad(y, [x, kernel], g)
        return y.detach()[0].sum() + g_x[0].sum() + g_kernel.sum()

    return step


PEERS = {"scratchvae": scratchvae, "torch": pytorch, "torch-channels-last": partial(pytorch, layout="channels_last")}
