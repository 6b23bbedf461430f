"""Four layers of a convolutional encoder: forward and both gradients, float32, beside PyTorch, eager.

Kernels 4 x 4, stride 2, padding 1, batches of 64. PyTorch takes the same numbers in its own layout, (N, C, H, W), and
in channels_last; each in a process of its own. Threads are as the environment sets them (OPENBLAS_NUM_THREADS,
OMP_NUM_THREADS).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy

from benchmarks.timing import interleaved_processes
from scratchvae import ops
from scratchvae.backend import keep_freed_memory

Layer = tuple[int, int, int]

LAYERS: list[Layer] = [(64, 3, 32), (32, 32, 64), (16, 64, 128), (8, 128, 256)]  # (H and W, C_in, C_out)


def arrays(layer: Layer) -> list[numpy.ndarray]:
    """x, kernel and g of a layer."""
    size, inputs, outputs = layer
    rng = numpy.random.default_rng(0)
    shapes = [(64, size, size, inputs), (4, 4, inputs, outputs), (64, size // 2, size // 2, outputs)]
    return [rng.standard_normal(shape, dtype=numpy.float32) for shape in shapes]


def engine(layer: Layer) -> Callable[[], object]:
    """y = conv2d(x, kernel), and what its rules make of g, by scratchvae."""
    x, kernel, g = arrays(layer)
    keep_freed_memory()  # as `fit` does
    return lambda: (
        ops.conv2d(x, kernel, 2, 1),
        ops.conv_transpose2d(g, kernel, 2, 1),
        ops.conv2d_kernel(x, g, (4, 4), 2, 1),
    )


def pytorch(layer: Layer, layout: str) -> Callable[[], object]:
    """The same by PyTorch, with its memory format "contiguous_format" or "channels_last"."""
    import torch

    def in_layout(array, axes):
        return torch.tensor(array.transpose(axes)).contiguous(memory_format=getattr(torch, layout))

    x, kernel, g = arrays(layer)
    x, g = in_layout(x, (0, 3, 1, 2)).requires_grad_(), in_layout(g, (0, 3, 1, 2))
    kernel = in_layout(kernel, (3, 2, 0, 1)).requires_grad_()
    conv2d = torch.nn.functional.conv2d
    return lambda: torch.autograd.grad(conv2d(x, kernel, stride=2, padding=1), [x, kernel], g)


def main(arguments: list[str]) -> None:
    """Print milliseconds per layer and in all, and ratios to PyTorch's own layout. Needs torch (extra `bench`)."""
    rows = []
    for layer in LAYERS:
        makers = {
            "scratchvae": partial(engine, layer),
            "NCHW": partial(pytorch, layer, "contiguous_format"),
            "channels_last": partial(pytorch, layer, "channels_last"),
        }
        try:
            times = interleaved_processes(makers, rounds=20, reference="NCHW")
        except ImportError:
            print("convolution: torch is not installed (pip install -e '.[bench]')")
            return
        size, inputs, outputs = layer
        rows.append((f"(64, {size} x {size} x {inputs}) to {outputs}", [seconds for seconds, _ in times.values()]))
    rows.append(("sum", [sum(column) for column in zip(*(seconds for _, seconds in rows), strict=True)]))
    print("conv2d 4 x 4, stride 2, padding 1, float32: forward and both gradients, milliseconds")
    print(f"{'':24s}{'scratchvae':>12s}{'NCHW':>10s}{'ratio':>8s}{'channels_last':>16s}{'ratio':>8s}")
    for name, (ours, default, last) in rows:
        print(
            f"{name:24s}{ours * 1e3:12.2f}{default * 1e3:10.2f}{ours / default:8.2f}"
            f"{last * 1e3:16.2f}{ours / last:8.2f}"
        )
