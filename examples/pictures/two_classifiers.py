"""The picture of examples/two_classifiers.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from matplotlib.figure import Figure

from scratchvae import to_numpy
from scratchvae.plotting.canvas import BETWEEN, BLUE, GREEN, ORANGE, Shades, enlarge_labels, open_frame, show_rows


def two_classifiers(
    x: Any,
    y: Any,
    models: Mapping[str, Any],
    sizes: Sequence[int],
    errors: Mapping[str, Sequence[tuple[float, float]]],
    digits: Any,
    names: Sequence[str],
) -> Figure:
    """Two classifiers of rows (N, 2), what they cost in data, and what a generative one takes the classes for.

    Parameters
    ----------
    x, y : rows, (N, 2), and their classes, 0 or 1
    models : fitted to them, by name; of one that has `theta_` and `var_` the densities p(x | y) are shown, too,
        by ellipses at one and two standard deviations
    sizes, errors : numbers of rows to learn from; for each classifier test errors and their standard errors there
    digits : images (R, C, H, W) of C classes: one of the data, the mean, and samples below
    names : of the two classes

    Source: deck, "A tale of two binary linear classifiers"; Ng & Jordan (2002), figure 1.
    """
    x, y, classes = to_numpy(x), to_numpy(y), [str(name) for name in names]
    figure = Figure(figsize=(11, 8.6), layout="constrained", dpi=110)
    panels = figure.subplots(2, 2)
    low, high = x.min(axis=0), x.max(axis=0)
    room = 0.08 * (high - low)
    axis = [numpy.linspace(a - r, b + r, 201) for a, b, r in zip(low, high, room, strict=True)]
    grid = numpy.stack(numpy.meshgrid(*axis), axis=-1)
    for axes, (name, model) in zip(panels[0], models.items(), strict=True):
        p = to_numpy(model.predict_proba(grid.reshape(-1, 2)))[:, 1].reshape(201, 201)
        axes.contourf(*axis, p, numpy.linspace(0, 1, 11), cmap=BETWEEN)
        axes.contour(*axis, p, [0.5], colors="black", linewidths=2)
        for i, color in enumerate((ORANGE, BLUE)):
            axes.scatter(*x[y == i].T, s=14, color=color, linewidths=0, alpha=0.8, label=classes[i])
            if hasattr(model, "theta_"):
                theta, std = to_numpy(model.theta_)[i], numpy.sqrt(to_numpy(model.var_)[i])
                distance = (((grid - theta) / std) ** 2).sum(axis=-1)
                axes.contour(*axis, distance, [1, 4], colors=color, linewidths=2)
        axes.set_title(name)
        axes.set(xlabel="first principal component", ylabel="second principal component")
        axes.legend(fontsize=11, loc="upper right", markerscale=2, handletextpad=0.1)
        enlarge_labels(axes)
    curves, pictures = panels[1]
    for (name, values), color, style in zip(errors.items(), (BLUE, ORANGE, GREEN), ("-o", "-s", ":D"), strict=False):
        mean, error = numpy.array(values).T
        curves.plot(sizes, mean, style, color=color, label=name, markersize=5)
        curves.fill_between(sizes, mean - 2 * error, mean + 2 * error, color=color, alpha=0.2, linewidth=0)
    curves.set(xscale="log", yscale="log", xlabel="rows to learn from", ylabel="test error, percent")
    ticks = [
        tick
        for tick in (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5)
        if curves.get_ylim()[0] < tick < curves.get_ylim()[1]
    ]
    curves.set_yticks(ticks, [f"{100 * tick:g}" for tick in ticks])
    curves.set_yticks([], minor=True)
    places = [n for n in (1, 10, 100, 1000, 10_000) if min(sizes) <= n <= max(sizes)]
    curves.set_xticks(places, [f"{n:,}" for n in places])
    curves.set_title("Learning curves; bands of two standard errors")
    curves.legend(frameon=False, fontsize=11)
    open_frame(curves)
    enlarge_labels(curves)
    rows = ["a digit", "mean", *["sample"] * (len(digits) - 2)]
    show_rows(pictures, to_numpy(digits).reshape(-1, *digits.shape[2:], 1), rows, Shades.of(digits[0]))
    pictures.set_title("What naive Bayes takes the digits for", fontsize=13)
    return figure
