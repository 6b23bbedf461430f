"""The distribution of a sequence of symbols generates one symbol after the other.

A sequence x (T,) holds n integers from 1 to C, the symbols, and then 0, the end. All numbers after the end are 0 and
carry no information.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from scratchvae import ops
from scratchvae.autodiff import no_grad
from scratchvae.backend import array_module
from scratchvae.distributions.categorical import Categorical
from scratchvae.distributions.distribution import Distribution
from scratchvae.errors import DataError, InputError, ShapeError, whole_number
from scratchvae.nn import GRU, Module
from scratchvae.nn.packing import arranged

COLDEST = 1e-6
"""The lowest temperature; lower ones would overflow the logits."""


class SymbolSequence(Distribution):
    """p(x) = product over t = 1, ..., n + 1 of p(x_t | x_1, ..., x_(t-1)),   where x_(n+1) is the end

    h_t = gru(x_(t-1); h_(t-1), constant),   p(x_t = k | ...) = softmax(head(h_t))_k,   x_0 = 0

    The sum of p over all finite sequences is 1 minus the probability that a sequence never ends.

    Source: deck, "Sequence model for molecules"; Gomez-Bombarelli et al. (2018); Bowman et al. (2016), section 3.

    Parameters
    ----------
    gru : GRU
        The layer that reads the symbols 0, ..., C and gives h, H numbers.
    head : Module
        The network of the next symbol's logits, (..., H) -> (..., C + 1).
    h0 : array or Tensor, (..., N, H)
        The initial state, which a decoder computes from z.
    constant : array or Tensor, (..., N, 3 H)
        Numbers that every step adds to its pre-activations, which a decoder computes from z.

    Attributes
    ----------
    gru, head, h0, constant
        The parameters of these names.

    See Also
    --------
    Categorical : the distribution of one symbol.
    scratchvae.models.SymbolDecoder : the decoder of this likelihood.
    scratchvae.MoleculeVAE : the model.

    Examples
    --------
    >>> import math, numpy, scratchvae as sv
    >>> zeros = lambda noise, shape: numpy.zeros(shape, numpy.float32)
    >>> gru, head = sv.nn.GRU(3, 4, sv.Noise(0)), sv.nn.Linear(4, 3, sv.Noise(1), zeros)  # all symbols equally probable
    >>> h0, constant = numpy.zeros((1, 4), numpy.float32), numpy.zeros((1, 12), numpy.float32)
    >>> p = sv.distributions.SymbolSequence(gru, head, h0, constant)
    >>> log_p = p.log_prob(numpy.array([[2, 1, 0, 0]]))  # two symbols and the end
    >>> math.isclose(float(log_p.data[0]), -3 * math.log(3), rel_tol=1e-6)
    True
    """

    event_ndim = 1
    support = "integers, 0 at the end"
    data_kinds = "iu"

    def __init__(self, gru: GRU, head: Module, h0: Any, constant: Any) -> None:
        self.gru, self.head, self.h0, self.constant = gru, head, h0, constant

    @classmethod
    def check_data(cls, x: Any) -> None:
        """Raises DataError, with the row, for integers that are not sequences (N, T) of symbols followed by an end."""
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
        """Returns the same sentence for all sequences: the ELBO is a lower bound on the log of their probability."""
        return "lower bound of log p(x), a probability of strings"

    def log_prob(self, x: Any) -> Any:
        """log p(x) = sum over the n symbols and the end of log p(x_t | x_1, ..., x_(t-1)), in nats.

        All steps are computed at once, each from the true symbols before it (teacher forcing). Numbers after the end
        are not read. An x without an end is a prefix, for which the sum has its T symbols.   shape: (N, T) -> (..., N)
        """
        *_, n, _ = shape = self.h0.shape
        if x.ndim != 2 or x.shape[0] != n or x.shape[1] < 1:
            raise ShapeError("SymbolSequence.log_prob", f"sequences of shape ({n}, T)", f"shape {x.shape}")
        xp, samples = array_module(x), math.prod(shape[:-2])
        x = xp.broadcast_to(x, (samples, *x.shape)).reshape(-1, x.shape[1])
        packing = arranged(xp.minimum(n_symbols(x) + 1, x.shape[1]), x.shape[1])
        before = xp.concatenate([xp.zeros_like(x[:, :1]), x[:, :-1]], axis=1)
        h0, constant = (ops.reshape(part, (len(x), -1)) for part in (self.h0, self.constant))
        h = self.gru(packing.pack(before), packing, h0, constant)
        log_p = Categorical(self.head(h)).log_prob(packing.pack(x))
        return ops.reshape(packing.sum(log_p), shape[:-1])

    def sample(self, noise: Any, temperature: float, longest: int) -> Any:
        """Draws sequences symbol by symbol, from logits over the temperature, an array.   (..., N, longest + 1)

        Every sequence has an end; one that reaches `longest` symbols is cut there. Raises InputError for a temperature
        below 1e-6.
        """
        if not COLDEST <= temperature < math.inf:
            expected = f"a positive temperature, of at least {COLDEST:g}"
            raise InputError("SymbolSequence.sample", expected, repr(temperature))
        uniform = noise.uniform("symbols", (longest, math.prod(self.h0.shape[:-1])))
        return self._written(
            lambda t, rows, logits: Categorical(logits / temperature).sample(uniform[t, rows]), longest
        )

    def greedy(self, longest: int) -> Any:
        """Returns sequences of the most probable symbol at each step, an array as from `sample`."""
        return self._written(lambda t, rows, logits: logits.argmax(axis=-1), longest)

    def beam(self, width: int, longest: int) -> Any:
        """Returns the most probable sequences that a beam search finds, an array as from `sample`.

        Each step extends every kept prefix by each symbol and keeps the `width` most probable results; sequences with
        an end are kept as they are. A width of at least the number of prefixes finds the most probable sequence.
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
        """Returns sequences whose symbols are given by choose(t, rows, logits), where rows are those without an end."""
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


def n_symbols(x: Any) -> Any:
    """Returns the number of symbols before the end, or T if there is no end.   (..., T) -> integers (...)"""
    ends = x == 0
    return array_module(x).where(ends.any(axis=-1), ends.argmax(axis=-1), x.shape[-1])
