"""Figures of drawings, and of the reconstructions, completions and samples of a SketchRNN.

x is an array of sketches (N, T, 5). All drawings of a figure have the same scale, except those that would not fit into
their cell, and each is centred in its cell.
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
from scratchvae.errors import InputError, ShapeError
from scratchvae.plotting.canvas import CLASS_COLOURS, ORANGE, enlarge_labels, numbers, open_frame

MOST_ENCODED, MOST_PLACED = 2000, 300
"""The most sketches that are encoded for a picture of the latent space, and the most that are drawn in it."""

TEMPERATURES = (0.2, 0.4, 0.6, 0.8, 1.0)
"""The temperatures of `sketch_samples`."""

MARGIN = 0.82
"""The share of a cell's side that the drawings fill."""


def drawings(x: Any, prefix: Any = None) -> Figure:
    """Draws sketches in a square, row by row; a prefix that all of them share, (P, 5), is orange.

    x: (N, T, 5). Raises ShapeError for another shape.
    """
    lines = _lines(x)
    n = math.ceil(math.sqrt(len(lines)))
    rows = [lines[i : i + n] for i in range(0, len(lines), n)]
    beginnings = None if prefix is None else [[_begun(prefix)] * len(row) for row in rows]
    figure = Figure(figsize=(6.4, 6.4), layout="constrained", dpi=150)
    _show(figure.add_subplot(), rows, beginnings)
    return figure


def sketch_samples(model: Any, n: int = 12, temperatures: Sequence[float] = TEMPERATURES, seed: int = 0) -> Figure:
    """Draws n sketches at each temperature, a row each, from the same z ~ p(z)."""
    rows = [_lines(model.sample(n, seed, temperature)) for temperature in temperatures]
    title = "What the decoder draws at temperature $\\tau$; one $z \\sim p(z)$ in each column"
    return _figure(rows, title, _temperatures(temperatures))


def sketch_reconstructions(
    model: Any, x: Any, n: int = 12, temperatures: Sequence[float] = (0.2, 0.5, 1.0), seed: int = 0
) -> Figure:
    """Draws the first n sketches of x in orange, and below each its reconstructions at the temperatures.

    The reconstructions are decoded from the mean of q(z | x).
    """
    x = as_array("sketch_reconstructions", x)[:n]
    rows = [_lines(model.reconstruct(asarray(x, model.device), temperature, seed)) for temperature in temperatures]
    drawn = _lines(x)
    title = "Drawings $x$, and what the decoder draws from the mean of $q(z\\,|\\,x)$ at temperature $\\tau$"
    names = ["x", *_temperatures(temperatures)]
    nothing: list[Any] = [[] for _ in drawn]
    return _figure([drawn, *rows], title, names, beginnings=[drawn, *[nothing] * len(rows)])


def sketch_interpolations(
    model: Any, start: Any, end: Any, n: int = 10, temperature: float = 0.1, seed: int = 0
) -> Figure:
    """Draws, for each pair of sketches, both of them, and between them n sketches decoded on the arc of z."""
    start, end = (as_array("sketch_interpolations", x) for x in (start, end))
    between = model.interpolate(asarray(start, model.device), asarray(end, model.device), n, temperature, seed)
    rows = [[a, *_lines(x), b] for a, x, b in zip(_lines(start), between, _lines(end), strict=True)]
    beginnings = [[row[0], *[[]] * n, row[-1]] for row in rows]
    title = f"Two drawings (orange), and {n} on the arc between their codes, at temperature $\\tau = {temperature:g}$"
    return _figure(rows, title, beginnings=beginnings)


def sketch_completions(
    model: Any, prefixes: Sequence[Any], n: int = 9, temperature: float = 0.3, seed: int = 0
) -> Figure:
    """Draws a row for each prefix (P, 5), with the prefix, n completions, and the effective sample size on the left."""
    rows, names, beginnings = [], [], []
    for prefix in prefixes:
        x, effective = model.complete(asarray(prefix, model.device), n, temperature=temperature, seed=seed)
        begun = _begun(prefix)
        rows.append([begun, *_lines(x)])
        beginnings.append([begun] * (n + 1))
        names.append(f"{effective:.0f}")
    title = f"A beginning (orange), completed {n} times at temperature $\\tau = {temperature:g}$"
    return _figure(rows, title, names, "effective samples of $z$", beginnings)


def sketch_latent(model: Any, x: Any, labels: Any = None, most: int = MOST_PLACED) -> Figure:
    """Draws sketches at the means of q(z | x), on the plane of the first two principal components of these means.

    At most `most` drawings are shown, and of drawings that would cover each other, the first. The labels are classes,
    each with a colour; without labels, or with more classes than colours, drawings are black.

    x: (N, T, 5). Raises InputError for fewer than two latent units, and ShapeError unless each row has a label.
    """
    x = as_array("sketch_latent", x)
    if labels is not None and to_numpy(labels).shape != (len(x),):
        expected = f"labels of shape ({len(x)},), one for each row"
        raise ShapeError("sketch_latent", expected, str(to_numpy(labels).shape))
    x, labels = x[:MOST_ENCODED], None if labels is None else to_numpy(labels)[:MOST_ENCODED]
    means = numbers("sketch_latent", model.encode(asarray(x, model.device)).mean)
    if means.shape[1] < 2:
        raise InputError("sketch_latent", "at least two latent units", str(means.shape[1]))
    centred = means - means.mean(axis=0)
    _, spread, directions = numpy.linalg.svd(centred, full_matrices=False)
    places, shares = centred @ directions[:2].T, spread[:2] ** 2 / (spread**2).sum()
    shown, side = _apart(places, most)
    figure = Figure(figsize=(8, 8), layout="constrained", dpi=125)
    axes = figure.add_subplot()
    colours = _colours(labels, len(x))
    lines = _lines(x[shown])
    boxes = [_box(each) for each in lines]
    usual = float(numpy.quantile([(high - low).max() for low, high in boxes], 0.9)) or 1.0
    for i, each, box in zip(shown, lines, boxes, strict=True):
        placed = _placed(each, box, places[i] * [1, -1], usual, side)
        axes.add_collection(_strokes([line * [1, -1] for line in placed], colours[i], 1.7))
    axes.autoscale_view()
    axes.set_aspect("equal", adjustable="datalim")
    for axis, name, share in zip((axes.xaxis, axes.yaxis), ("first", "second"), shares, strict=True):
        axis.set_label_text(f"{name} principal component of the codes ({100 * share:.0f} % of their variance)")
    axes.set_title(f"{len(shown)} drawings at the means of their $q(z\\,|\\,x)$", fontsize=14)
    open_frame(axes)
    enlarge_labels(axes)
    return figure


def _colours(labels: Any, n: int) -> list[str]:
    """Returns a colour for each of n rows: black without labels, or with more classes than colours."""
    if labels is None or len(numpy.unique(labels)) > len(CLASS_COLOURS):
        return ["black"] * n
    return [CLASS_COLOURS[k] for k in numpy.unique(labels, return_inverse=True)[1]]


def _apart(places: numpy.ndarray, most: int) -> tuple[list[int], float]:
    """Returns at most `most` rows of places (N, 2) that are at least a side apart in one direction, and the side."""
    side = float(numpy.ptp(places, axis=0).max()) / math.sqrt(2.5 * most) or 1.0
    shown: list[int] = []
    for i, place in enumerate(places):
        if len(shown) < most and (abs(places[shown] - place).max(axis=1) >= side).all():
            shown.append(i)
    return shown, side


def _begun(prefix: Any) -> list[numpy.ndarray]:
    """Returns the lines of a prefix (P, 5)."""
    return _lines(numpy.concatenate([prefix, [[0, 0, 0, 0, 1]]])[None])[0]


def _lines(x: Any) -> list[list[numpy.ndarray]]:
    x = to_numpy(x)
    if x.ndim != 3 or x.shape[2] != 5 or not len(x):
        raise ShapeError("drawings", "sketches (N, T, 5)", f"shape {x.shape}")
    return to_lines(x)


def _temperatures(temperatures: Sequence[float]) -> list[str]:
    return [f"$\\tau = {temperature:g}$" for temperature in temperatures]


def _figure(
    rows: Sequence[Any], title: str, names: Sequence[str] = (), names_are: str = "", beginnings: Any = None
) -> Figure:
    """Returns a figure with named rows of drawings; names_are is the title of the names, and beginnings are orange."""
    left, above = (1.2 if names_are else 0.95 if names else 0.1), 0.45  # inches
    side = min(max(0.8, 8 / len(rows[0])), 1.6)  # of a cell: few drawings are larger ones
    width, height = max(side * len(rows[0]), 7.4), side * len(rows)  # a title is 7.3 inches long
    figure = Figure(figsize=(left + width, above + height), dpi=120)
    place = (left / (left + width), 0, width / (left + width), height / (above + height))
    axes = figure.add_axes(place)
    _show(axes, rows, beginnings)
    axes.set_yticks(numpy.arange(len(rows)) + 0.5 if names else [], names)
    enlarge_labels(axes)
    axes.tick_params(labelsize=14)
    axes.set_ylabel(names_are)
    middle = (left + width / 2) / (left + width), 1 - 0.25 / (above + height)
    figure.text(*middle, title, ha="center", va="center", fontsize=14)
    return figure


def _show(axes: Axes, rows: Sequence[Any], beginnings: Any = None) -> None:
    """Draws drawings in cells of side 1, the first row at the top."""
    boxes = [[_box(lines) for lines in row] for row in rows]
    extents = numpy.array([(high - low).max() for row in boxes for low, high in row])
    usual = float(numpy.quantile(extents, 0.9)) or 1.0
    black: list[numpy.ndarray] = []
    orange: list[numpy.ndarray] = []
    for i, row in enumerate(rows):
        for j, lines in enumerate(row):
            centre = numpy.array([j + 0.5, i + 0.5])
            black.extend(_placed(lines, boxes[i][j], centre, usual))
            orange.extend(_placed(beginnings[i][j] if beginnings else (), boxes[i][j], centre, usual))
    n_points = numpy.mean([sum(map(len, lines)) for row in rows for lines in row])
    width = min(max(0.9, 1.6 * math.sqrt(60 / max(1.0, n_points))), 1.6)  # so that loops stay open
    axes.add_collection(_strokes(black, "black", width))
    axes.add_collection(_strokes(orange, ORANGE, 1.25 * width))
    axes.set(xlim=(0, max(map(len, rows))), ylim=(len(rows), 0), xticks=[], yticks=[], aspect="equal")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _placed(lines: Sequence[Any], box: Any, centre: Any, usual: float, side: float = 1.0) -> list[numpy.ndarray]:
    """Returns the lines of a drawing, moved to a centre; a drawing of usual extent fills MARGIN of a side."""
    low, high = box
    size = side * MARGIN / max(usual, float((high - low).max()))
    return [size * (line - (low + high) / 2) + centre for line in lines]


def _strokes(lines: Sequence[numpy.ndarray], colour: str, width: float) -> LineCollection:
    """Returns lines with round ends; a line with one point is a dot."""
    lines = [line if len(line) > 1 else line[[0, 0]] for line in lines]
    return LineCollection(lines, colors=colour, linewidths=width, capstyle="round", joinstyle="round")


def _box(lines: Sequence[numpy.ndarray]) -> tuple[numpy.ndarray, numpy.ndarray]:
    points = numpy.concatenate(lines)
    return points.min(axis=0), points.max(axis=0)
