"""Rows are held out of the training, and the others are ordered and divided into minibatches, at random."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from typing import Any

import numpy

from scratchvae.backend import asarray, to_numpy
from scratchvae.errors import DataError, InputError
from scratchvae.noise import Noise


def held_out(
    n: int, share: float, seed: int = 0, classes: numpy.ndarray | None = None, rows: str = "rows"
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Returns the numbers of the rows to train with, and of the rows held out: a random share of n, and of each class.

    Both are in increasing order, have at least one row, and depend on the seed, n and the classes (n,) alone. `rows` is
    the word for rows in messages. Raises InputError for a share that is not between 0 and 1, DataError for one row.
    """
    if not (isinstance(share, Real) and 0 < share < 1):
        raise InputError("hold_out", "a share between 0 and 1", repr(share))
    if n < 2:
        raise DataError("hold_out", f"at least two {rows}", str(n))
    order = Noise(seed).permutation("hold out", n)
    classes = numpy.zeros(n, dtype=int) if classes is None else classes[order]
    place = numpy.empty(n)  # of a row within its class, from 0 to 1: the first places of all classes are held out
    for k in numpy.unique(classes):
        members = order[classes == k]
        place[members] = (numpy.arange(len(members)) + 0.5) / len(members)
    part = numpy.zeros(n, dtype=bool)
    part[order[place[order].argsort(kind="stable")[: min(max(1, round(share * n)), n - 1)]]] = True
    return numpy.flatnonzero(~part), numpy.flatnonzero(part)


def minibatches(n: int, size: int, noise: Noise) -> Iterator[Any]:
    """Returns an iterator over arrays of `size` row numbers, the last perhaps smaller: a permutation of 0, ..., n - 1.

    The permutation depends on the noise's seed and step alone; give every epoch a step of its own.
    """
    order = asarray(noise.permutation("order", n), noise.device)
    return (order[start : start + size] for start in range(0, n, size))


def labelled_minibatches(labels: Any, size: int, noise: Noise) -> Iterator[tuple[Any, Any]]:
    """Yields the row numbers of every minibatch, labelled rows first, and the labels of the labelled rows.

    labels: (N,), negative where a label is unknown. An epoch divides a random permutation of the larger set into
    minibatches, as `minibatches` does. The smaller set is cycled through, in a new order each time: every minibatch
    has its next `size` rows, or all of them if they are fewer.
    """
    labels = to_numpy(labels)
    known, unknown = numpy.flatnonzero(labels >= 0), numpy.flatnonzero(labels < 0)
    n = max(len(known), len(unknown))
    pieces = (_pieces(rows, n, size, noise.child(name)) for name, rows in (("known", known), ("unknown", unknown)))
    for labelled, others in zip(*pieces, strict=True):
        yield asarray(numpy.concatenate([labelled, others]), noise.device), asarray(labels[labelled], noise.device)


def _pieces(rows: numpy.ndarray, n: int, size: int, noise: Noise) -> list[numpy.ndarray]:
    """Returns n / size pieces of row numbers; fewer rows than n are cycled through, in a new order each time."""
    n_pieces, size = -(-n // size), min(size, len(rows))
    n_orders = 1 if len(rows) in (0, n) else -(-n_pieces * size // len(rows))
    order = numpy.concatenate([rows[noise.permutation(f"order {i}", len(rows))] for i in range(n_orders)])
    return [order[i * size : (i + 1) * size] for i in range(n_pieces)]
