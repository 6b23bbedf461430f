"""Rules for expectations are points and weights, for one entry or, as a product, for all entries of an event."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy

from scratchvae.backend import to_numpy
from scratchvae.errors import ShapeError

Rule = tuple[numpy.ndarray, numpy.ndarray]
NODES, WEIGHTS = numpy.polynomial.legendre.leggauss(16)


def entries(distribution: Any, *parameters: Any) -> list[numpy.ndarray]:
    """Returns the parameters for every entry of one event: float64, (D,) each.

    Raises ShapeError for a batch of several events.
    """
    shape = distribution.shape
    if math.prod(shape[: len(shape) - distribution.event_ndim]) != 1:
        raise ShapeError(f"{type(distribution).__name__}.quadrature", "one event", f"a batch of shape {shape}")
    return [numpy.broadcast_to(to_numpy(array), shape).astype(numpy.float64).ravel() for array in parameters]


def panels(low: float, high: float, width: float, cuts: Sequence[float] = ()) -> Rule:
    """Returns Gauss-Legendre's rule on the pieces of [low, high] between the cuts, each in panels of at most this
    width.
    """
    borders = sorted({low, high, *(cut for cut in cuts if low < cut < high)})
    edges = [numpy.linspace(a, b, math.ceil((b - a) / width) + 1) for a, b in pairwise(borders)]
    left, right = (numpy.concatenate([part[rows] for part in edges]) for rows in (slice(-1), slice(1, None)))
    halves = (right - left)[:, None] / 2
    return (left[:, None] + halves * (1 + NODES)).ravel(), (halves * WEIGHTS).ravel()


def product(distribution: Any, rules: Sequence[Rule]) -> Rule:
    """Returns the product of the entries' rules.   ``(G, *event), (G,)``"""
    points, weights = (numpy.meshgrid(*parts, indexing="ij") for parts in zip(*rules, strict=True))
    event = distribution.shape[len(distribution.shape) - distribution.event_ndim :]
    return numpy.stack(points, axis=-1).reshape(-1, *event), numpy.prod(weights, axis=0).ravel()


def on_the_line(distribution: Any, others: Sequence[Any], scale: Any, reach: float, width: float) -> Rule:
    """Returns the rule for a density on real numbers: mean +- reach scales, in panels of at most `width` scales.

    The panels end where the distribution or the others have kinks.
    """
    means, scales = entries(distribution, distribution.mean, scale)
    kinks = [entries(distribution, kink)[0] for density in (distribution, *others) for kink in density.kinks]
    return product(
        distribution,
        [
            panels(m - reach * s, m + reach * s, width * s, [kink[i] for kink in kinks])
            for i, (m, s) in enumerate(zip(means, scales, strict=True))
        ],
    )
