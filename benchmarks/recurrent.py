"""An LSTM and a GRU forward, and the gradients of their weights, float32, beside PyTorch's own layers, eager.

The LSTM reads 100 sequences of 133 numbers a step: of 64 and 128 steps each, and of the lengths of drawn kanji. The GRU
reads 128 sequences of 64 numbers a step: of 60 and 120 steps each, and of the lengths of molecules. PyTorch takes
unequal lengths padded or packed; the packing is part of the time. Beside them the same by small operations, step by
step. Each is in a process of its own, and threads are as the environment sets them (OPENBLAS_NUM_THREADS,
OMP_NUM_THREADS).
"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from functools import partial

import numpy

from benchmarks.timing import interleaved_processes
from scratchvae import ops
from scratchvae.autodiff import grad
from scratchvae.backend import keep_freed_memory
from scratchvae.nn import GRU, LSTM, Packing
from scratchvae.noise import Noise

LAYERS = {"lstm": LSTM, "gru": GRU}
INPUTS = {"lstm": 133, "gru": 64}  # of the LSTM 5 numbers of a row and 128 latent units, as in Ha & Eck (2017)
GATES = {"lstm": [0, 1, 3, 2], "gru": [0, 1, 2]}  # our blocks in PyTorch's order: i, f, g, o and r, u, n
KANJI = [
    *(10, 14, 17, 19, 20, 22, 23, 23, 24, 25, 25, 26, 27, 27, 28, 28, 28, 29, 29, 30, 30, 31, 31, 32, 32, 32, 33, 33),
    *(33, 34, 34, 34, 35, 35, 35, 35, 36, 36, 37, 37, 37, 37, 38, 38, 38, 39, 39, 39, 40, 40, 40, 40, 41, 41, 41, 42),
    *(42, 42, 43, 43, 43, 44, 44, 44, 45, 45, 46, 46, 46, 47, 47, 47, 48, 48, 49, 49, 49, 50, 50, 51, 51, 52, 52, 53),
    *(53, 54, 55, 55, 56, 57, 57, 58, 59, 60, 62, 63, 65, 67, 71, 74),
]
"""The percentiles 0.5, 1.5, ..., 99.5 of the lengths of 10,000 sketches, short_kanji of sketch-rnn-datasets."""

ZINC_COUNTS = {
    **{19: 1, 21: 1, 22: 1, 24: 2, 25: 1, 26: 2, 27: 2, 28: 3, 29: 3, 30: 3, 31: 4, 32: 4, 33: 5, 34: 5, 35: 5, 36: 5},
    **{37: 6, 38: 6, 39: 7, 40: 6, 41: 6, 42: 6, 43: 6, 44: 5, 45: 5, 46: 4, 47: 4, 48: 3, 49: 2, 50: 3, 51: 2, 52: 1},
    **{53: 2, 54: 1, 55: 1, 56: 1, 57: 1, 58: 1, 60: 1, 63: 1},
}
ZINC = [length for length, n in ZINC_COUNTS.items() for _ in range(n)]
"""The quantiles 1/256, 3/256, ..., 255/256 of the tokens, with the end, of 249,455 SMILES of ZINC."""

CASES: dict[str, dict[str, tuple[list[int], int]]] = {
    "lstm": {
        **{f"{steps} steps, H {size}": ([steps] * 100, size) for steps in (64, 128) for size in (256, 512)},
        "kanji, H 256": (KANJI, 256),
    },
    "gru": {
        **{f"{steps} steps, H {size}": ([steps] * 128, size) for steps in (60, 120) for size in (256, 488)},
        **{f"molecules, H {size}": (ZINC, size) for size in (256, 488)},
    },
}
"""Layer -> name -> lengths and H."""

Step = Callable[[], list[numpy.ndarray]]


def arrays(cell: str, lengths: Sequence[int], size: int) -> tuple[LSTM | GRU, numpy.ndarray, numpy.ndarray]:
    """A layer, x (N, T, D) and the cotangent of all h (N, T, H), which is zero on the padding."""
    rng, shape = numpy.random.default_rng(0), (len(lengths), max(lengths))
    x, g = (rng.standard_normal((*shape, width), dtype=numpy.float32) for width in (INPUTS[cell], size))
    g[numpy.arange(max(lengths)) >= numpy.array(lengths)[:, None]] = 0
    order = rng.permutation(len(lengths))
    return LAYERS[cell](INPUTS[cell], size, Noise(0)), x[order], g[order]


def engine(cell: str, lengths: Sequence[int], size: int) -> Step:
    """Gradients of the parameters by the primitive: weight, recurrent weight, bias and the GRU's recurrent bias."""
    layer, x, g = arrays(cell, lengths, size)
    lengths = (g != 0).any(axis=2).sum(axis=1)
    keep_freed_memory()  # as `fit` does

    def step() -> list[numpy.ndarray]:
        packing = Packing(lengths)
        return grad(ops.sum(layer(packing.pack(x), packing) * packing.pack(g)), layer.parameters())

    return step


def small_operations(cell: str, lengths: Sequence[int], size: int) -> Step:
    """The same by one `lstm_step` or `gru_step` after the other."""
    layer, x, g = arrays(cell, lengths, size)
    lengths = (g != 0).any(axis=2).sum(axis=1)
    keep_freed_memory()

    def step() -> list[numpy.ndarray]:
        packing = Packing(lengths)
        inputs = ops.affine(packing.pack(x), layer.weight, layer.bias)
        h, c, rows, start = *numpy.zeros((2, len(x), size), dtype=numpy.float32), [], 0
        for n in packing.counts:
            part = inputs[start : start + n]
            if cell == "lstm":
                h, c = ops.lstm_step(part, layer.recurrent, h[:n], c[:n])
            else:
                h = ops.gru_step(part, layer.recurrent, layer.recurrent_bias, h[:n])
            rows.append(h)
            start += n
        return grad(ops.sum(ops.concatenate(rows) * packing.pack(g)), layer.parameters())

    return step


def pytorch(cell: str, lengths: Sequence[int], size: int, packed: bool) -> Step:
    """The same by PyTorch, whose gates come in another order, and which has a recurrent bias of every gate."""
    import torch

    layer, x, g = arrays(cell, lengths, size)
    lengths = torch.tensor((g != 0).any(axis=2).sum(axis=1))
    peer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell](INPUTS[cell], size, batch_first=True)
    gates = numpy.arange(len(GATES[cell]) * size).reshape(-1, size)[GATES[cell]].ravel()
    with torch.no_grad():
        peer.weight_ih_l0[:] = torch.tensor(layer.weight.data.T[gates])
        peer.weight_hh_l0[:] = torch.tensor(layer.recurrent.data.T[gates])
        peer.bias_ih_l0[:], peer.bias_hh_l0[:] = torch.tensor(layer.bias.data[gates]), 0.0
    x, g, rnn = torch.tensor(x), torch.tensor(g), torch.nn.utils.rnn

    def step() -> list[numpy.ndarray]:
        if packed:
            sequences = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            y, cotangent = peer(sequences)[0].data, rnn.pack_padded_sequence(g, lengths, True, False).data
        else:
            y, cotangent = peer(x)[0], g
        weight, recurrent, bias, recurrent_bias = (
            a.numpy() for a in torch.autograd.grad((y * cotangent).sum(), list(peer.parameters()))
        )
        # in PyTorch's order of gates: nothing of ours is timed here
        return [weight.T, recurrent.T, bias, *([recurrent_bias[2 * size :]] if cell == "gru" else [])]

    return step


def main(arguments: list[str]) -> None:
    """Print milliseconds and ratios to PyTorch on padded sequences. Needs torch (extra `bench`)."""
    parser = ArgumentParser(prog="python -m benchmarks recurrent", description=__doc__)
    parser.add_argument("layers", nargs="*", choices=[*LAYERS, []], help="lstm, gru (default: both)", metavar="LAYER")
    parser.add_argument("--cpu", action="store_true", help="CPU time of all threads, for a machine with other work")
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="turns of each (default: 10)")
    settings = parser.parse_args(arguments)
    clock = time.process_time if settings.cpu else time.perf_counter
    print("forward and the gradients of the weights, float32, milliseconds and ratios to PyTorch on padded sequences")
    print(f"{'':28s}{'padded':>10s}{'packed':>16s}{'scratchvae':>16s}{'small operations':>22s}")
    rows = [(cell, *row) for cell in settings.layers or LAYERS for row in CASES[cell].items()]
    for layer, name, case in rows:
        makers = {
            "padded": partial(pytorch, layer, *case, packed=False),
            "packed": partial(pytorch, layer, *case, packed=True),
            "scratchvae": partial(engine, layer, *case),
            "small operations": partial(small_operations, layer, *case),
        }
        try:
            times = interleaved_processes(makers, rounds=settings.rounds, reference="padded", clock=clock)
        except ImportError:
            print("recurrent: torch is not installed (pip install -e '.[bench]')")
            return
        padded, *others = times.values()
        columns = "".join(f"{seconds * 1e3:12.1f}{ratio:6.2f}" for seconds, ratio in others)
        print(f"{f'{layer.upper()}, {name}':28s}{padded[0] * 1e3:10.1f}{columns}", flush=True)
