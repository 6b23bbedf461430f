"""Drawings, and what a SketchRNN makes of them or draws itself.

x is an array of sketches (N, T, 5). In one figure all drawings have the same scale, but for those that would not fit in
their cell; each stands in the middle of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from scratchvae.arrays import as_array
from scratchvae.backend import asarray, to_numpy
from scratchvae.data import to_lines
from scratchvae.errors import ShapeError
from scratchvae.plotting.canvas import ORANGE, enlarge_labels

TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)
MARGIN = 0.82  # of a cell's side, which the drawings fill


def drawings(x: Any, prefix: Any = None) -> Figure:
    """Draws sketches in a square, row by row, with a prefix of all of them, (P, 5), in orange.

    x: (N, T, 5). Raises ShapeError for another shape.
    """
    lines = _lines(x)
    n = math.ceil(math.sqrt(len(lines)))
    rows = [lines[i : i + n] for i in range(0, len(lines), n)]
    beginnings = None if prefix is None else [[_begun(prefix)] * len(row) for row in rows]
    figure = Figure(figsize=(6.4, 6.4), layout="constrained", dpi=150)
    _show(figure.add_subplot(), rows, beginnings=beginnings)
    return figure


def sketch_samples(model: Any, n: int = 12, temperatures: Sequence[float] = TEMPERATURES, seed: int = 0) -> Figure:
    """Draws n sketches at each temperature, a row each, from the same z ~ p(z)."""
    rows = [_lines(model.sample(n, seed, temperature)) for temperature in temperatures]
    return _figure(rows, [f"$\\tau = {temperature:g}$" for temperature in temperatures])


def sketch_reconstructions(
    model: Any, x: Any, n: int = 12, temperatures: Sequence[float] = (0.2, 0.5, 1.0), seed: int = 0
) -> Figure:
    """Draws the first n of x, and below them the sketches decoded from the means of q(z | x) at each temperature."""
    x = as_array("sketch_reconstructions", x)[:n]
    rows = [_lines(model.reconstruct(asarray(x, model.device), temperature, seed)) for temperature in temperatures]
    return _figure([_lines(x), *rows], ["x", *(f"$\\tau = {temperature:g}$" for temperature in temperatures)])


def sketch_interpolations(
    model: Any, start: Any, end: Any, n: int = 10, temperature: float = 0.1, seed: int = 0
) -> Figure:
    """Draws, for each pair, the two sketches at the ends, and between them n along the arc that joins their z."""
    start, end = (as_array("sketch_interpolations", x) for x in (start, end))
    between = model.interpolate(asarray(start, model.device), asarray(end, model.device), n, temperature, seed)
    rows = [[a, *_lines(x), b] for a, x, b in zip(_lines(start), between, _lines(end), strict=True)]
    return _figure(rows, [""] * len(rows), inputs=(0, n + 1))


def sketch_completions(
    model: Any, prefixes: Sequence[Any], n: int = 9, temperature: float = 0.3, seed: int = 0
) -> Figure:
    """Draws a row for each prefix (P, 5): the prefix, n completions, and on the left the effective sample size."""
    rows, names, beginnings = [], [], []
    for prefix in prefixes:
        x, effective = model.complete(asarray(prefix, model.device), n, temperature=temperature, seed=seed)
        begun = _begun(prefix)
        rows.append([begun, *_lines(x)])
        beginnings.append([begun] * (n + 1))
        names.append(f"{effective:.0f}")
    return _figure(rows, names, beginnings=beginnings)


def _begun(prefix: Any) -> list[numpy.ndarray]:
    """Returns the lines of a prefix (P, 5)."""
    return _lines(numpy.concatenate([prefix, [[0, 0, 0, 0, 1]]])[None])[0]


def _lines(x: Any) -> list[list[numpy.ndarray]]:
    x = to_numpy(x)
    if x.ndim != 3 or x.shape[2] != 5 or not len(x):
        raise ShapeError("drawings", "sketches (N, T, 5)", f"shape {x.shape}")
    return to_lines(x)


def _figure(rows: Sequence[Any], names: Sequence[str], inputs: Sequence[int] = (), beginnings: Any = None) -> Figure:
    """Draws named rows of drawings, with the input columns and the given beginnings in orange."""
    left, width, height = (0.85 if any(names) else 0.1), 0.8 * len(rows[0]), 0.8 * len(rows)  # inches
    figure = Figure(figsize=(left + width, height), dpi=150)
    axes = figure.add_axes((left / (left + width), 0, width / (left + width), 1))
    _show(axes, rows, inputs, beginnings)
    axes.set_yticks(numpy.arange(len(rows)) + 0.5, names)
    enlarge_labels(axes)
    return figure


def _show(axes: Axes, rows: Sequence[Any], inputs: Sequence[int] = (), beginnings: Any = None) -> None:
    """Draws drawings in cells of side 1, the first row at the top."""
    boxes = [[_box(lines) for lines in row] for row in rows]
    extents = numpy.array([(high - low).max() for row in boxes for low, high in row])
    usual = float(numpy.quantile(extents, 0.9)) or 1.0
    black: list[numpy.ndarray] = []
    orange: list[numpy.ndarray] = []
    for i, row in enumerate(rows):
        for j, lines in enumerate(row):
            low, high = boxes[i][j]
            size = MARGIN / max(usual, float((high - low).max()))
            shift = numpy.array([j + 0.5, i + 0.5]) - size * (low + high) / 2
            (orange if j in inputs else black).extend(size * line + shift for line in lines)
            orange.extend(size * line + shift for line in (beginnings[i][j] if beginnings else ()))
    black, orange = ([line if len(line) > 1 else line[[0, 0]] for line in lines] for lines in (black, orange))
    for lines, colour in ((black, "black"), (orange, ORANGE)):
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=1.4, capstyle="round", joinstyle="round"))
    axes.set(xlim=(0, max(map(len, rows))), ylim=(len(rows), 0), xticks=[], yticks=[], aspect="equal")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _box(lines: Sequence[numpy.ndarray]) -> tuple[numpy.ndarray, numpy.ndarray]:
    points = numpy.concatenate(lines)
    return points.min(axis=0), points.max(axis=0)
