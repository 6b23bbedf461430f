"""Curves of the training, and curves of a test error against the number of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy
from matplotlib.figure import Figure

from scratchvae.errors import InputError
from scratchvae.plotting.canvas import BLUE, GREEN, GREY, ORANGE, enlarge_labels, open_frame

TITLES = {
    "elbo": "ELBO",
    "reconstruction": "reconstruction, $E_q[\\log p(x\\,|\\,z)]$",
    "kl": "KL$(q(z\\,|\\,x)\\,\\|\\,p(z))$",
    "active_units": "active units",
}


def training_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Draws ELBO, reconstruction, KL and active units against the epoch, from the history that `fit` returns.

    Raises InputError for a history without epochs.
    """
    if len(history.get("epoch", ())) == 0:
        raise InputError("training_curves", "a history of at least one epoch", "none")
    figure = Figure(figsize=(9, 6), layout="constrained", dpi=150)
    for axes, (name, title) in zip(figure.subplots(2, 2, sharex=True).flat, TITLES.items(), strict=True):
        for prefix, part, color, line in (("", "training", BLUE, "-"), ("validation_", "validation", ORANGE, "--")):
            if prefix + name in history:
                values = history[prefix + name]
                axes.plot(history["epoch"], values, line, color=color, marker=".", label=part)
        axes.set_title(title, fontsize=12)
        axes.set_ylabel("units" if name == "active_units" else "nats per datapoint")
        if name == "active_units":
            axes.set_ylim(0, 1.1 * max(1, *(max(line.get_ydata()) for line in axes.lines)))
            axes.yaxis.get_major_locator().set_params(integer=True)
        if axes.get_subplotspec().is_last_row():
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
        open_frame(axes)
    if "validation_elbo" in history:
        figure.axes[0].legend(frameon=False, loc="lower right")
    return figure


def run_curves(histories: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Draws the validation ELBO against the epoch, one line per run; without validation data, the training ELBO.

    histories: name of a run -> a history as `fit` returns it. Raises InputError for an empty dict.
    """
    if not histories:
        raise InputError("run_curves", "at least one run with a finished epoch", "none")
    figure = Figure(figsize=(8, 5), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    looks = zip(cycle((BLUE, ORANGE, GREEN, GREY)), cycle("osD^vPX"))
    for (name, history), (color, marker) in zip(histories.items(), looks, strict=False):
        validated = "validation_elbo" in history
        values = history["validation_elbo" if validated else "elbo"]
        label = name if validated else f"{name} (training data)"
        axes.plot(history["epoch"], values, color=color, marker=marker, markersize=4, label=label)
    axes.set(xlabel="epoch", ylabel="ELBO, nats per datapoint")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
    open_frame(axes)
    return figure


def label_curve(results: Sequence[Mapping[str, Any]]) -> Figure:
    """Draws the test error against the number of labels, one line per method, with confidence intervals.

    results: one dict for each method and number of labels, with the entries "method", "labels", "error", in percent,
    and "half", half the width of the interval. Raises InputError for an empty list.
    """
    if not results:
        raise InputError("label_curve", "at least one result", "none")
    figure = Figure(figsize=(8, 4.8), layout="constrained", dpi=125)
    axes = figure.add_subplot()
    methods = list(dict.fromkeys(row["method"] for row in results))
    looks = zip(cycle((BLUE, ORANGE, GREEN, GREY)), cycle("osD^vPX"))
    for i, (method, (color, marker)) in enumerate(zip(methods, looks, strict=False)):
        rows = sorted((row for row in results if row["method"] == method), key=lambda row: row["labels"])
        sizes, errors, halves = (numpy.array([row[name] for row in rows]) for name in ("labels", "error", "half"))
        apart = 1 + 0.03 * (i - (len(methods) - 1) / 2)  # so that intervals of one size stand side by side
        look = {"color": color, "marker": marker, "markersize": 8, "linewidth": 2}
        axes.errorbar(sizes * apart, errors, halves, capsize=5, label=method, **look)
    sizes = sorted({row["labels"] for row in results})
    axes.set(xscale="log", xlabel="training images with a label", ylabel="test error, percent")
    axes.set_title("Mean test error and its 95 % interval over choices of the labelled images")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_xticks([], minor=True)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color="lightgrey", linewidth=0.6)
    axes.legend(frameon=False, fontsize=13)
    open_frame(axes)
    enlarge_labels(axes)
    axes.tick_params(labelsize=13)
    return figure
