"""Sequences of symbols, each drawn after those before it.

A sequence x (T,) has integers: n symbols, each from 1 to C, then 0, the end; every number behind it is 0 and says
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.autodiff import no_grad
from scratchvae.backend import array_module, device_of, to_numpy
from scratchvae.distributions.categorical import Categorical
from scratchvae.distributions.distribution import Distribution
from scratchvae.errors import DataError, InputError, ShapeError, whole_number
from scratchvae.nn import GRU, Module, Packing

COLDEST = 1e-6
"""The lowest temperature; lower ones would overflow the logits."""


class SymbolSequence(Distribution):
    """p(x) = product over t = 1, ..., n + 1 of p(x_t | x_1, ..., x_(t-1)),   the last one that of the end

    h_t = gru(x_(t-1); h_(t-1), constant),   p(x_t = k | ...) = softmax(head(h_t))_k,   x_0 = 0

    Over all finite sequences p sums to 1, less the probability of never ending.

    Parameters
    ----------
    gru : GRU
        From the symbols 0, ..., C to H.
    head : Module
        (..., H) -> logits (..., C + 1).
    h0, constant : arrays or Tensors
        What a decoder makes of z: (..., N, H), and (..., N, 3 H), which each step adds to its pre-activations.

    Source: deck, "Sequence model for molecules"; Gomez-Bombarelli et al. (2018); Bowman et al. (2016), section 3.
    """

    event_ndim = 1
    support = "integers, 0 at the end"
    data_kinds = "iu"

    def __init__(self, gru: GRU, head: Module, h0: Any, constant: Any) -> None:
        self.gru, self.head, self.h0, self.constant = gru, head, h0, constant

    @classmethod
    def check_data(cls, x: Any) -> None:
        """Raise DataError, with the row, for integers that are no sequences (N, T) of one symbol or more and an end."""
        if x.ndim != 2:
            raise DataError("data", "sequences of symbols, integers of shape (N, T)", f"shape {x.shape}")
        if x.shape[1] == 0:
            raise DataError("data", "symbols in every row", f"shape {x.shape}")
        at_end = x == 0
        mistakes = {
            "a number below 0": (x < 0).any(axis=1),
            "no end": ~at_end[:, -1],
            "no symbol": at_end[:, 0],
            "symbols behind the end": (at_end[:, :-1] & ~at_end[:, 1:]).any(axis=1),
        }
        for mistake, wrong in mistakes.items():
            if bool(wrong.any()):
                received = f"{mistake} in row {int(wrong.argmax())}"
                raise DataError("data", "symbols from 1, and 0 from the end on, in every row", received)

    @classmethod
    def quantity(cls, x: Any = None) -> str:
        """A bound of the probability of a sequence, whatever it is."""
        return "lower bound of log p(x), a probability of strings"

    def log_prob(self, x: Any) -> Any:
        """log p(x) = sum over the n symbols and the end of log p(x_t | x_1, ..., x_(t-1)), in nats.

        Teacher forcing: all steps at once, each after the true symbols before it. Nothing behind the end is read. An x
        without an end is a prefix, and its T symbols are scored.   shape: (N, T) -> (..., N)
        """
        *_, n, _ = shape = self.h0.shape
        if x.ndim != 2 or x.shape[0] != n or x.shape[1] < 1:
            raise ShapeError("SymbolSequence.log_prob", f"sequences of shape ({n}, T)", f"shape {x.shape}")
        xp, samples = array_module(x), math.prod(shape[:-2])
        x = xp.concatenate([x] * samples)
        packing = Packing(numpy.minimum(n_symbols(x) + 1, x.shape[1]), device_of(x))
        before = xp.concatenate([xp.zeros_like(x[:, :1]), x[:, :-1]], axis=1)
        h0, constant = (ops.reshape(part, (len(x), -1)) for part in (self.h0, self.constant))
        h = self.gru(packing.pack(before), packing, h0, constant)
        log_p = Categorical(self.head(h)).log_prob(packing.pack(x))
        return ops.reshape(packing.sum(log_p), shape[:-1])

    def sample(self, noise: Any, temperature: float, longest: int) -> Any:
        """Sequences drawn symbol by symbol, logits divided by the temperature: an array.   (..., N, longest + 1)

        Every sequence ends: one of `longest` symbols was ended there. Raises InputError for a temperature below 1e-6.
        """
        if not COLDEST <= temperature < math.inf:
            expected = f"a positive temperature, of at least {COLDEST:g}"
            raise InputError("SymbolSequence.sample", expected, repr(temperature))
        uniform = noise.uniform("symbols", (longest, math.prod(self.h0.shape[:-1])))
        return self._written(
            lambda t, rows, logits: Categorical(logits / temperature).sample(uniform[t, rows]), longest
        )

    def greedy(self, longest: int) -> Any:
        """Sequences of the most probable symbol at each step, after those chosen before: an array, as `sample`."""
        return self._written(lambda t, rows, logits: logits.argmax(axis=-1), longest)

    def beam(self, width: int, longest: int) -> Any:
        """The most probable of the sequences that a beam search finds: an array, as `sample`.

        Each step extends every kept prefix by one symbol and keeps the `width` most probable; ended ones stay. With a
        width of at least the number of prefixes it finds the most probable sequence.
        """
        width = whole_number("SymbolSequence.beam", "width", width)
        longest = whole_number("SymbolSequence.beam", "longest", longest)
        with no_grad():
            shape = self.h0.shape[:-1]
            n = math.prod(shape)
            h, constant = (ops.reshape(part, (n, -1)).repeat(width, axis=0) for part in (self.h0, self.constant))
            xp = array_module(h)
            x = xp.zeros((n, width, longest + 1), dtype=xp.int64)
            score = xp.full((n, width), -math.inf, dtype=h.dtype)
            score[:, 0] = 0.0  # one empty beginning
            symbol, first = xp.zeros(n * width, dtype=xp.int64), xp.arange(n)[:, None] * width
            for t in range(longest):
                h = self.gru.step(symbol, h, constant)
                log_q = ops.log_softmax(self.head(h)).reshape(n, width, -1)
                if t > 0:
                    ended = x[:, :, t - 1] == 0
                    log_q[ended] = -math.inf
                    log_q[ended, 0] = 0.0
                symbols = log_q.shape[-1]
                scores = (score[:, :, None] + log_q).reshape(n, -1)
                best = (-scores).argsort(axis=1)[:, :width]
                score = xp.take_along_axis(scores, best, axis=1)
                rows, symbol = (first + best // symbols).reshape(-1), (best % symbols).reshape(-1)
                x = x.reshape(n * width, -1)[rows].reshape(x.shape)
                x[:, :, t] = symbol.reshape(n, width)
                h = h[rows]
                if not bool(symbol.any()):
                    break
            return x[:, 0].reshape(*shape, longest + 1)

    def _written(self, choose: Callable[[int, Any, Any], Any], longest: int) -> Any:
        """Sequences, symbol by symbol; those that have ended leave the batch.   choose(t, rows, logits) -> symbols"""
        longest = whole_number("SymbolSequence", "longest", longest)
        with no_grad():
            shape = self.h0.shape[:-1]
            n = math.prod(shape)
            h, constant = (ops.reshape(part, (n, -1)) for part in (self.h0, self.constant))
            xp = array_module(h)
            x, rows, symbol = xp.zeros((n, longest + 1), dtype=xp.int64), xp.arange(n), xp.zeros(n, dtype=xp.int64)
            for t in range(longest):
                h = self.gru.step(symbol, h, constant)
                symbol = choose(t, rows, self.head(h))
                x[rows, t] = symbol
                going = symbol != 0
                if not bool(going.all()):
                    rows, symbol, h, constant = rows[going], symbol[going], h[going], constant[going]
                if not len(rows):
                    break
            return x.reshape(*shape, longest + 1)


def n_symbols(x: Any) -> numpy.ndarray:
    """The number of symbols before the end; all of an x without an end.   (..., T) -> (...), NumPy's"""
    ends = to_numpy(x == 0)
    return numpy.where(ends.any(axis=-1), ends.argmax(axis=-1), x.shape[-1])
