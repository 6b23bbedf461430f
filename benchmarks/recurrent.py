"""An LSTM forward, and the gradients of its weights, float32, beside PyTorch's torch.nn.LSTM, eager.

100 sequences of 133 inputs a step: of 64 and 128 steps each, and of the lengths of drawn kanji, where PyTorch takes
them padded or packed; the packing is part of the time. Beside them the same by small operations, step by step. Each is
in a process of its own, and threads are as the environment sets them (OPENBLAS_NUM_THREADS, OMP_NUM_THREADS).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy

from benchmarks.timing import interleaved_processes
from scratchvae import ops
from scratchvae.autodiff import grad
from scratchvae.backend import keep_freed_memory
from scratchvae.nn import LSTM, Packing
from scratchvae.noise import Noise

INPUTS = 133  # 5 numbers of a row and 128 latent units, as in Ha & Eck (2017)
KANJI = [
    *(10, 14, 17, 19, 20, 22, 23, 23, 24, 25, 25, 26, 27, 27, 28, 28, 28, 29, 29, 30, 30, 31, 31, 32, 32, 32, 33, 33),
    *(33, 34, 34, 34, 35, 35, 35, 35, 36, 36, 37, 37, 37, 37, 38, 38, 38, 39, 39, 39, 40, 40, 40, 40, 41, 41, 41, 42),
    *(42, 42, 43, 43, 43, 44, 44, 44, 45, 45, 46, 46, 46, 47, 47, 47, 48, 48, 49, 49, 49, 50, 50, 51, 51, 52, 52, 53),
    *(53, 54, 55, 55, 56, 57, 57, 58, 59, 60, 62, 63, 65, 67, 71, 74),
]
"""The percentiles 0.5, 1.5, ..., 99.5 of the lengths of 10,000 sketches, short_kanji of sketch-rnn-datasets."""

CASES: dict[str, tuple[list[int], int]] = {
    **{f"{steps} steps, H {size}": ([steps] * 100, size) for steps in (64, 128) for size in (256, 512)},
    "kanji, H 256": (KANJI, 256),
}
"""Name -> lengths and H."""


def arrays(lengths: Sequence[int], size: int) -> tuple[LSTM, numpy.ndarray, numpy.ndarray]:
    """A layer, x (N, T, D) and the cotangent of all h (N, T, H), which is zero on the padding."""
    rng, shape = numpy.random.default_rng(0), (len(lengths), max(lengths))
    x, g = (rng.standard_normal((*shape, width), dtype=numpy.float32) for width in (INPUTS, size))
    g[numpy.arange(max(lengths)) >= numpy.array(lengths)[:, None]] = 0
    order = rng.permutation(len(lengths))
    return LSTM(INPUTS, size, Noise(0)), x[order], g[order]


def engine(lengths: Sequence[int], size: int) -> Callable[[], list[numpy.ndarray]]:
    """Gradients of weight, recurrent weight and bias by the primitive."""
    lstm, x, g = arrays(lengths, size)
    lengths = (g != 0).any(axis=2).sum(axis=1)
    keep_freed_memory()  # as `fit` does

    def step() -> list[numpy.ndarray]:
        packing = Packing(lengths)
        return grad(ops.sum(lstm(packing.pack(x), packing) * packing.pack(g)), lstm.parameters())

    return step


def small_operations(lengths: Sequence[int], size: int) -> Callable[[], list[numpy.ndarray]]:
    """The same by one `lstm_step` after the other."""
    lstm, x, g = arrays(lengths, size)
    lengths = (g != 0).any(axis=2).sum(axis=1)
    keep_freed_memory()

    def step() -> list[numpy.ndarray]:
        packing = Packing(lengths)
        inputs = ops.affine(packing.pack(x), lstm.weight, lstm.bias)
        h, c, rows, start = *numpy.zeros((2, len(x), size), dtype=numpy.float32), [], 0
        for n in packing.counts:
            h, c = ops.lstm_step(inputs[start : start + n], lstm.recurrent, h[:n], c[:n])
            rows.append(h)
            start += n
        return grad(ops.sum(ops.concatenate(rows) * packing.pack(g)), lstm.parameters())

    return step


def pytorch(lengths: Sequence[int], size: int, packed: bool) -> Callable[[], list[numpy.ndarray]]:
    """The same by PyTorch, whose gates come in the order i, f, g, o and have two biases."""
    import torch

    lstm, x, g = arrays(lengths, size)
    lengths = torch.tensor((g != 0).any(axis=2).sum(axis=1))
    peer = torch.nn.LSTM(INPUTS, size, batch_first=True)
    gates = numpy.arange(4 * size).reshape(4, size)[[0, 1, 3, 2]].ravel()
    with torch.no_grad():
        peer.weight_ih_l0[:] = torch.tensor(lstm.weight.data.T[gates])
        peer.weight_hh_l0[:] = torch.tensor(lstm.recurrent.data.T[gates])
        peer.bias_ih_l0[:], peer.bias_hh_l0[:] = torch.tensor(lstm.bias.data[gates]), 0.0
    x, g, rnn = torch.tensor(x), torch.tensor(g), torch.nn.utils.rnn

    def step() -> list[numpy.ndarray]:
        if packed:
            sequences = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            y, cotangent = peer(sequences)[0].data, rnn.pack_padded_sequence(g, lengths, True, False).data
        else:
            y, cotangent = peer(x)[0], g
        weight, recurrent, bias, _ = (
            a.numpy() for a in torch.autograd.grad((y * cotangent).sum(), list(peer.parameters()))
        )
        return [weight.T, recurrent.T, bias]  # in PyTorch's order of gates: nothing of ours is timed here

    return step


def main(arguments: list[str]) -> None:
    """Print milliseconds and ratios to PyTorch on padded sequences. Needs torch (extra `bench`)."""
    print("LSTM of 100 sequences, float32: forward and the gradients of its weights, milliseconds and ratios to padded")
    print(f"{'':20s}{'padded':>10s}{'packed':>16s}{'scratchvae':>16s}{'small operations':>22s}")
    for name, case in CASES.items():
        makers = {
            "padded": partial(pytorch, *case, packed=False),
            "packed": partial(pytorch, *case, packed=True),
            "scratchvae": partial(engine, *case),
            "small operations": partial(small_operations, *case),
        }
        try:
            times = interleaved_processes(makers, rounds=10, reference="padded")
        except ImportError:
            print("recurrent: torch is not installed (pip install -e '.[bench]')")
            return
        padded, *others = times.values()
        columns = "".join(f"{seconds * 1e3:12.1f}{ratio:6.2f}" for seconds, ratio in others)
        print(f"{name:20s}{padded[0] * 1e3:10.1f}{columns}")
