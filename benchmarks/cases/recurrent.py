"""An LSTM or a GRU forward, and the gradients of its weights, float32.

The LSTM reads 100 sequences of 133 numbers a step: of 64 and 128 steps each, and of the lengths of drawn kanji. The GRU
reads 128 sequences of 64 numbers a step: of 60 and 120 steps each, and of the lengths of molecules. PyTorch takes
unequal lengths padded or packed; the packing is part of the time. Beside them the same by small operations, step by
step. The number that must agree is the sum of the squares of all gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy

from benchmarks.cases import steps
from benchmarks.cases.problem import Problem

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


class Case(NamedTuple):
    """A Case has a cell, the lengths of the sequences, and H."""

    cell: str
    lengths: list[int]
    size: int

    def __str__(self) -> str:
        lengths = f"{min(self.lengths)} to {max(self.lengths)}"
        return f"{self.cell.upper()}, {len(self.lengths)} sequences of {lengths} steps, H {self.size}"


CASES = {
    **{f"lstm:{n}-{size}": Case("lstm", [n] * 100, size) for n in (64, 128) for size in (256, 512)},
    "lstm:kanji-256": Case("lstm", KANJI, 256),
    **{f"gru:{n}-{size}": Case("gru", [n] * 128, size) for n in (60, 120) for size in (256, 488)},
    **{f"gru:molecules-{size}": Case("gru", ZINC, size) for size in (256, 488)},
}

REFERENCE = "torch"
Gradients = Callable[[], list[numpy.ndarray]]


def problem(case: Case, data: str | None = None) -> Problem:
    """Returns x (N, T, D), the lengths (N,) and the cotangent of all h (N, T, H), which is zero on the padding."""
    cell, lengths, size = case
    rng, shape = numpy.random.default_rng(0), (len(lengths), max(lengths))
    x, g = (rng.standard_normal((*shape, width), dtype=numpy.float32) for width in (INPUTS[cell], size))
    g[numpy.arange(max(lengths)) >= numpy.array(lengths)[:, None]] = 0
    order = rng.permutation(len(lengths))
    parameters = {name: parameter.data for name, parameter in layer(case).named_parameters().items()}
    arrays = {"x": x[order], "lengths": numpy.array(lengths)[order], "g": g[order]}
    return Problem({name: array[None] for name, array in arrays.items()}, None, parameters)


def layer(case: Case) -> Any:
    """Returns our layer before its first step."""
    from scratchvae.nn import GRU, LSTM
    from scratchvae.noise import Noise

    cell, _, size = case
    return {"lstm": LSTM, "gru": GRU}[cell](INPUTS[cell], size, Noise(0))


def step_of(gradients: Gradients) -> steps.Step:
    """Returns a step whose number is the sum of the squares of all gradients."""
    return lambda e: sum(float(numpy.square(g).sum()) for g in gradients())


def scratchvae(case: Case, problem: Problem) -> Gradients:
    """Gradients of the parameters by the primitive: weight, recurrent weight, bias and the GRU's recurrent bias."""
    from scratchvae import grad, ops
    from scratchvae.backend import keep_freed_memory
    from scratchvae.nn import Packing

    keep_freed_memory()  # as `fit` does
    rnn, ((x, lengths, g),) = layer(case), problem.batches()

    def gradients() -> list[numpy.ndarray]:
        packing = Packing(lengths)
        return grad(ops.sum(rnn(packing.pack(x), packing) * packing.pack(g)), rnn.parameters())

    return gradients


def small_operations(case: Case, problem: Problem) -> Gradients:
    """Returns the same step by one `lstm_step` or `gru_step` after the other."""
    from scratchvae import grad, ops
    from scratchvae.backend import keep_freed_memory
    from scratchvae.nn import Packing

    keep_freed_memory()
    (cell, _, size), rnn, ((x, lengths, g),) = case, layer(case), problem.batches()

    def gradients() -> list[numpy.ndarray]:
        packing = Packing(lengths)
        inputs = ops.affine(packing.pack(x), rnn.weight, rnn.bias)
        h, c, rows, start = *numpy.zeros((2, len(x), size), dtype=numpy.float32), [], 0
        for n in packing.counts:
            part = inputs[start : start + n]
            if cell == "lstm":
                h, c = ops.lstm_step(part, rnn.recurrent, h[:n], c[:n])
            else:
                h = ops.gru_step(part, rnn.recurrent, rnn.recurrent_bias, h[:n])
            rows.append(h)
            start += n
        return grad(ops.sum(ops.concatenate(rows) * packing.pack(g)), rnn.parameters())

    return gradients


def pytorch(case: Case, problem: Problem, packed: bool = False) -> Gradients:
    """Returns the same step by PyTorch, whose gates have another order, and a recurrent bias each."""
    import torch

    (cell, _, size), w, (tensors,) = case, problem.parameters, steps.tensors(problem)
    x, lengths, g = tensors
    peer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[cell](INPUTS[cell], size, batch_first=True)
    gates = numpy.arange(len(GATES[cell]) * size).reshape(-1, size)[GATES[cell]].ravel()
    with torch.no_grad():
        peer.weight_ih_l0[:] = torch.tensor(w["weight"].T[gates])
        peer.weight_hh_l0[:] = torch.tensor(w["recurrent"].T[gates])
        peer.bias_ih_l0[:], peer.bias_hh_l0[:] = torch.tensor(w["bias"][gates]), 0.0
    rnn = torch.nn.utils.rnn

    def gradients() -> list[numpy.ndarray]:
        if packed:
            sequences = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            y, cotangent = peer(sequences)[0].data, rnn.pack_padded_sequence(g, lengths, True, False).data
        else:
            y, cotangent = peer(x)[0], g
        weight, recurrent, bias, recurrent_bias = (
            a.numpy() for a in torch.autograd.grad((y * cotangent).sum(), list(peer.parameters()))
        )
        # in PyTorch's order of gates
        return [weight.T, recurrent.T, bias, *([recurrent_bias[2 * size :]] if cell == "gru" else [])]

    return gradients


GRADIENTS = {
    "scratchvae": scratchvae,
    "scratchvae-small-operations": small_operations,
    "torch": pytorch,
    "torch-packed": partial(pytorch, packed=True),
}
PEERS = {name: lambda case, problem, make=make: step_of(make(case, problem)) for name, make in GRADIENTS.items()}
