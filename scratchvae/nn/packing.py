"""Sequences of different lengths are arranged as rows, which recurrent layers take."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.backend import array_module, asarray, device_of, has_fixed_shapes, to_numpy
from scratchvae.errors import InputError, ShapeError


class Packing:
    """A Packing arranges N sequences of different lengths as R rows without padding: all first steps, then all second
    ones, ...

    Within a step the longest sequence comes first; among sequences of equal length, the one with the smaller number.

    Parameters
    ----------
    lengths : integers (N,)
        The number of steps of each sequence, at least 1.
    device : "cpu" or "gpu"
        The device of the arrays to pack.

    Attributes
    ----------
    counts : list of int
        The number of sequences that have a first step, a second one, ...; R in all.
    order : integers (N,)
        The sequences, the longest first.
    sequence : integers (R,)
        The sequence that each row belongs to.
    step : integers (R,)
        The step of that sequence that each row is.
    last : integers (N,)
        The row of each sequence's last step.
    reversal : integers (R,)
        For each row, the row of the same sequence that is as far from its end as this one from its beginning:
        rows[reversal] are the sequences read backwards.

    See Also
    --------
    LSTM, GRU : layers that take such rows.
    Bidirectional : a layer that reads the rows in both directions.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> packing = sv.nn.Packing(numpy.array([1, 3]))
    >>> x = numpy.array([[1, 0, 0], [4, 5, 6]])
    >>> packing.counts, packing.pack(x), packing.sum(packing.pack(x).astype(float))
    ([2, 1, 1], array([4, 1, 5, 6]), array([ 1., 15.]))
    """

    def __init__(self, lengths: Any, device: str = "cpu") -> None:
        lengths = to_numpy(lengths)
        if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or lengths.size == 0 or lengths.min() < 1:
            raise InputError("Packing", "lengths of at least 1, shape (N,)", f"{lengths.dtype}, shape {lengths.shape}")
        order = numpy.argsort(-lengths.astype(numpy.int64), kind="stable")
        counts = (lengths > numpy.arange(lengths.max())[:, None]).sum(axis=1)
        starts = numpy.cumsum(counts) - counts
        place = numpy.argsort(order)  # of a sequence within each of its steps
        step = numpy.repeat(numpy.arange(len(counts)), counts)
        sequence = order[numpy.arange(len(step)) - starts[step]]
        self.counts: list[int] = counts.tolist()
        self.order, self.sequence, self.step, self.last, self.reversal = (
            asarray(index, device)
            for index in (
                order,
                sequence,
                step,
                starts[lengths - 1] + place,
                starts[lengths[sequence] - 1 - step] + place[sequence],
            )
        )

    def pack(self, x: Any) -> Any:
        """Returns the rows of padded sequences; the padding is not read.   (N, T, ...) -> (R, ...)"""
        if x.shape[0] != self.order.shape[0] or x.ndim < 2 or x.shape[1] < len(self.counts):
            expected = f"sequences of shape ({self.order.shape[0]}, {len(self.counts)} or more, ...)"
            raise ShapeError("Packing.pack", expected, f"shape {x.shape}")
        return x[self.sequence, self.step]

    def ordered(self, x: Any) -> Any:
        """Returns the rows of x, one for each sequence, in the order of the rows of a step.   (N, ...) -> (N, ...)"""
        return x[self.order]

    def from_packed(self, rows: Any) -> Any:
        """Returns numbers that are given in the order of a Packing's rows in the order of these.   (R, ...)"""
        return rows

    def sum(self, values: Any) -> Any:
        """Returns the sum over each sequence's steps, from the first to the last.   (R,) -> (N,)"""
        return ops.scatter_add(values, self.sequence, self.order.shape)


class Padding(Packing):
    """A Padding arranges N sequences as T N rows, as if each had T steps: what follows a sequence's end is padding.

    No shape depends on the lengths, which stay on the GPU, so that one CUDA graph computes any minibatch. Layers
    compute the rows of the padding like all others. Nothing comes of them: no earlier row depends on them, `last` and
    `reversal` of other rows lead to none of them, and `sum` leaves them out, so that their cotangents are 0.

    Parameters
    ----------
    lengths : integers (N,)
        The number of steps of each sequence, from 1 to T, on any device.
    n_steps : int
        T.

    Attributes
    ----------
    counts, order, sequence, step, last, reversal
        As in Packing: counts are T times N, and order is 0, ..., N - 1. A row of the padding is its own reversal.
    within : truth values (T N,)
        Which rows are no padding.

    See Also
    --------
    Packing : the same without padding.
    scratchvae.capture.Capture : the steps that need it.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.nn.packing import Padding
    >>> padding = Padding(numpy.array([1, 3]), n_steps=3)
    >>> x = numpy.array([[1, 0, 0], [4, 5, 6]])
    >>> padding.counts, padding.pack(x), padding.sum(padding.pack(x).astype(float))
    ([2, 2, 2], array([1, 4, 0, 5, 0, 6]), array([ 1., 15.]))
    """

    def __init__(self, lengths: Any, n_steps: int) -> None:
        xp, n = array_module(lengths), len(lengths)
        self.counts, self.order, row = [n] * n_steps, xp.arange(n), xp.arange(n_steps * n)
        self.step, self.sequence = row // n, row % n
        left = lengths[self.sequence] - 1 - self.step
        self.within = left >= 0
        self.last = (lengths - 1) * n + self.order
        self.reversal = xp.where(self.within, left * n + self.sequence, row)
        self._lengths = lengths

    @cached_property
    def packed(self) -> Any:
        """The number of each row among those of a Packing; 0 for the padding."""
        xp, n, order = array_module(self.order), self._lengths, self.order
        earlier = (n[:, None] < n) | (n[:, None] == n) & (order[:, None] > order)
        place, starts = earlier.sum(axis=1), xp.minimum(xp.arange(len(self.counts))[:, None], n).sum(axis=1)
        return xp.where(self.within, starts[self.step] + place[self.sequence], 0)

    def ordered(self, x: Any) -> Any:
        """Returns x: sequences keep their order."""
        return x

    def from_packed(self, rows: Any) -> Any:
        """Returns numbers that are given in the order of a Packing's rows in the order of these.   (T N, ...)"""
        return rows[self.packed]

    def sum(self, values: Any) -> Any:
        """Returns the sum over each sequence's steps without the padding.   (T N,) -> (N,)"""
        return ops.sum(ops.reshape(ops.where(self.within, values, 0.0), (len(self.counts), len(self.order))), axis=0)


def arranged(lengths: Any, n_steps: int) -> Packing:
    """Returns the Packing of sequences with these lengths, (N,), or in a captured step their Padding to n_steps."""
    return Padding(lengths, n_steps) if has_fixed_shapes(lengths) else Packing(lengths, device_of(lengths))
