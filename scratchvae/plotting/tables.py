"""Figures of the columns of a table and their reconstructions."""

from __future__ import annotations

import math
from typing import Any

import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scratchvae.backend import to_numpy
from scratchvae.columns import CATEGORY, Column
from scratchvae.errors import InputError
from scratchvae.plotting.canvas import BLUE, GREY, enlarge_labels, open_frame

MOST_COLUMNS, MOST_LEVELS, ACROSS = 12, 10, 4
"""The most columns in a figure, the most levels in a panel, and the number of panels side by side."""

MOST_POINTS = 2000
"""The most points in a panel."""

LONGEST = 12
"""The most letters of a level's name."""


def table_reconstructions(model: Any, x: Any) -> Figure:
    """Draws the known entries of each column against the mean of p(x | z) of a TableVAE, at the mean of q(z | x).

    Numbers and counts are points around the diagonal, with R² = 1 - sum (x - mean)² / sum (x - average of x)². For a
    category, bars show the percentage of the rows of each level whose most probable level is the true one. At most 12
    columns are shown, with at most 2,000 points, or the ten most frequent levels.

    x: rows (N, D), or a table, as the model takes them. Raises InputError for another model.
    """
    if not hasattr(model, "columns"):
        raise InputError("table_reconstructions", "a TableVAE", type(model).__name__)
    rows = to_numpy(model.observations(x))
    means = to_numpy(model.reconstruct(rows))
    columns = model.columns[:MOST_COLUMNS]
    across = min(ACROSS, len(columns))
    figure = Figure(figsize=(3.6 * across, 3.5 * math.ceil(len(columns) / across)), layout="constrained", dpi=110)
    panels = figure.subplots(math.ceil(len(columns) / across), across, squeeze=False).ravel()
    for axes in panels[len(columns) :]:
        axes.remove()
    for axes, column, entries, predicted in zip(panels, columns, rows.T, means.T, strict=False):
        known = ~numpy.isnan(entries)
        _draw_column(axes, column, entries[known], predicted[known])
        open_frame(axes)
        enlarge_labels(axes)
    return figure


def _draw_column(axes: Axes, column: Column, entries: numpy.ndarray, predicted: numpy.ndarray) -> None:
    """Draws the points of numbers or the bars of levels.   entries, predicted: (N,), without missing entries"""
    name = column.name.replace("$", "\\$")
    if column.kind == CATEGORY:
        levels, counts = numpy.unique(entries.astype(int), return_counts=True)
        levels = numpy.sort(levels[numpy.argsort(-counts, kind="stable")[:MOST_LEVELS]])
        right = [100 * float((predicted[entries == level] == level).mean()) for level in levels]
        texts = [column.levels[level] for level in levels]
        texts = [text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…" for text in texts]
        axes.barh(numpy.arange(len(levels)), right, color=BLUE)
        axes.set_yticks(range(len(levels)), [text.replace("$", "\\$") for text in texts])
        axes.invert_yaxis()
        axes.set(xlabel="rows found, percent", xlim=(0, 100))
        title = name if len(entries) == 0 else f"{name}: {100 * (predicted == entries).mean():.0f} % found"
    else:
        spread = ((entries - entries.mean()) ** 2).sum() if len(entries) else 0.0
        error = ((entries - predicted) ** 2).sum()
        shown = slice(None, None, max(1, math.ceil(len(entries) / MOST_POINTS)))
        axes.plot(entries[shown], predicted[shown], ".", color=BLUE, alpha=0.5, markersize=5, markeredgewidth=0)
        if len(entries):
            both = numpy.concatenate([entries, predicted])
            low, high = both.min(), both.max()
            room = 0.05 * (high - low) or 1.0
            axes.set(xlim=(low - room, high + room), ylim=(low - room, high + room), box_aspect=1)
            axes.plot([low, high], [low, high], color=GREY, linewidth=1.2)
        axes.set(xlabel=f"{name}, in the table", ylabel="reconstructed")
        axes.locator_params(nbins=5)
        title = f"{name}: $R^2 = {1 - error / spread:.2f}$" if spread > 0 else name
    axes.set_title(title)
