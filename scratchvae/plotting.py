"""Figures of models, of training, and of the engine's graph.

Every function returns a matplotlib Figure made without pyplot: no state, no window, no choice of backend. `save_figure`
writes it. Images are the means of p(x | z). One-channel images on an empty ground are shown as ink on paper.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.path import Path as Curve
from matplotlib.patheffects import withStroke

from scratchvae.autodiff import Tensor
from scratchvae.backend import asarray, to_numpy
from scratchvae.errors import InputError, ShapeError

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"
"""Colours that colour-blind readers tell apart (Okabe & Ito), and a grey for what is secondary."""

MOST_POINTS = 5000  # of a scatter plot


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure in the format of the path's suffix, PNG if it has none; missing folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path if path.suffix else path.with_suffix(".png"))


def image_grid(images: Any, n_columns: int) -> numpy.ndarray:
    """One picture of N images side by side, row by row, empty cells zero.   (N, H, W, C) -> (rows H, columns W, C)"""
    images = to_numpy(images)
    n, height, width, channels = images.shape
    n_rows = math.ceil(n / n_columns)
    cells = numpy.zeros((n_rows * n_columns, height, width, channels), dtype=images.dtype)
    cells[:n] = images
    cells = cells.reshape(n_rows, n_columns, height, width, channels)
    return cells.swapaxes(1, 2).reshape(n_rows * height, n_columns * width, channels)


def latent_grid(n: int) -> numpy.ndarray:
    """z = F^-1((i + 1/2) / n) along both axes, F the Gaussian's distribution function: cells of equal prior probability.

    float32, (n, n, 2); z1 grows with the column to the right, z2 with the row upwards.
    """
    from scipy.special import ndtri

    z = ndtri((numpy.arange(n) + 0.5) / n).astype(numpy.float32)
    return numpy.stack(numpy.meshgrid(z, z[::-1]), axis=-1)


def decoder_manifold(model: Any, image_shape: Sequence[int] | None = None, n: int = 20) -> Figure:
    """The mean of p(x | z) for z on `latent_grid`: the whole of a 2-D latent space as the prior sees it.

    image_shape: (H, W) or (H, W, C); by default a square of one channel. Raises InputError for a model whose latent
    space has another dimension.   Source: deck, 'The "hello world" of deep generative models'; Kingma & Welling (2014),
    figure 4.
    """
    from scipy.special import ndtr

    if model.latent_size != 2:
        raise InputError("decoder_manifold", "a 2-D latent space", f"a {model.latent_size}-D one", "samples shows any")
    z = latent_grid(n).reshape(-1, 2)
    figure = Figure(figsize=(6.4, 6.6), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    images = _as_images(model.decode(asarray(z, model.device)).mean, image_shape)
    _show(axes, image_grid(images, n), extent=(0, 1, 0, 1))
    ticks = numpy.array([-1.5, -1, -0.5, 0, 0.5, 1, 1.5])
    axes.set_xticks(ndtr(ticks), [f"{tick:g}" for tick in ticks])
    axes.set_yticks(ndtr(ticks), [f"{tick:g}" for tick in ticks])
    axes.set(xlabel="$z_1$", ylabel="$z_2$")
    axes.set_title("Mean of $p(x\\,|\\,z)$, cells of equal prior probability", fontsize=12)
    _large(axes)
    return figure


def latent_scatter(model: Any, x: Any, labels: Any = None) -> Figure:
    """The means of q(z | x) of at most 5,000 rows, evenly chosen, coloured by label.

    Of more than two latent units the two whose means vary most are shown, and named on the axes.
    """
    step = math.ceil(len(x) / MOST_POINTS)
    means = to_numpy(model.encode(asarray(x[::step], model.device)).mean)
    if means.shape[1] < 2:
        raise InputError("latent_scatter", "at least two latent units", str(means.shape[1]))
    variances = means.var(axis=0)
    first, second = sorted(numpy.argsort(-variances, kind="stable")[:2])
    figure = Figure(figsize=(7.2, 6.4), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    labels = numpy.zeros(len(means), dtype=int) if labels is None else to_numpy(labels)[::step]
    classes = numpy.unique(labels)
    for i, label in enumerate(classes):
        points = means[labels == label]
        color = colormaps["tab10"](i % 10)
        axes.scatter(points[:, first], points[:, second], s=5, color=color, alpha=0.7, linewidths=0, label=str(label))
        if len(classes) > 1:
            x_middle, y_middle = numpy.median(points[:, [first, second]], axis=0)
            outline = [withStroke(linewidth=3, foreground="white")]
            axes.text(
                x_middle, y_middle, label, color=color, fontsize=17, weight="bold", path_effects=outline, ha="center"
            )
    if len(classes) > 1:
        axes.legend(title="label", markerscale=4, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    notes = [
        "" if means.shape[1] == 2 else f"  (of {means.shape[1]} units; its means' variance is {variances[unit]:.2g})"
        for unit in (first, second)
    ]
    axes.set(xlabel=f"mean of $z_{{{first + 1}}}${notes[0]}", ylabel=f"mean of $z_{{{second + 1}}}${notes[1]}")
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_title("Means of $q(z\\,|\\,x)$", fontsize=12)
    _large(axes)
    return figure


def reconstructions(model: Any, x: Any, n: int = 10, image_shape: Sequence[int] | None = None) -> Figure:
    """The first n rows of x, and below each the mean of p(x | z) at the mean of q(z | x).   x: (N, H, W, C) or (N, D)"""
    x = asarray(x[:n], model.device)
    if image_shape is None and x.ndim > 2:
        image_shape = x.shape[1:]
    pairs = [_as_images(images, image_shape) for images in (x, model.reconstruct(x))]
    figure = Figure(figsize=(0.9 * len(x) + 1.4, 2.1), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    _show(axes, image_grid(numpy.concatenate(pairs), len(x)), extent=(0, len(x), 0, 2))
    axes.set_xticks([])
    axes.set_yticks([1.5, 0.5], ["original", "reconstruction"])
    _large(axes)
    return figure


def samples(model: Any, n: int = 100, seed: int = 0, image_shape: Sequence[int] | None = None) -> Figure:
    """The means of p(x | z) for n draws z ~ p(z)."""
    figure = Figure(figsize=(6.4, 6.4), layout="constrained", dpi=150)
    _show_samples(figure.add_subplot(), model, n, seed, image_shape)
    return figure


def latent_comparison(models: Mapping[int, Any], n: int = 100, seed: int = 0) -> Figure:
    """Samples of models by their number of latent units, "(a) 2-D latent space" and so on.

    Source: deck, "MNIST: latent space comparison".
    """
    figure = Figure(figsize=(3.3 * len(models), 3.7), layout="constrained", dpi=100)
    panels = figure.subplots(1, len(models), squeeze=False)[0]
    for i, (axes, (latent_size, model)) in enumerate(zip(panels, models.items(), strict=True)):
        _show_samples(axes, model, n, seed, None)
        axes.set_xlabel(f"({chr(ord('a') + i)}) {latent_size}-D latent space", fontsize=14, labelpad=8)
    return figure


def training_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """ELBO, reconstruction, KL and active units against the epoch, of the history that `fit` returns."""
    figure = Figure(figsize=(9, 6), layout="constrained", dpi=150)
    titles = {
        "elbo": "ELBO",
        "reconstruction": "reconstruction, $E_q[\\log p(x\\,|\\,z)]$",
        "kl": "KL$(q(z\\,|\\,x)\\,\\|\\,p(z))$",
        "active_units": "active units",
    }
    for axes, (name, title) in zip(figure.subplots(2, 2, sharex=True).flat, titles.items(), strict=True):
        axes.plot(history["epoch"], history[name], color=BLUE, marker=".", label="training")
        if f"validation_{name}" in history:
            axes.plot(
                history["epoch"], history[f"validation_{name}"], "--", color=ORANGE, marker=".", label="validation"
            )
        axes.set_title(title, fontsize=12)
        axes.set_ylabel("units" if name == "active_units" else "nats per datapoint")
        if name == "active_units":
            axes.set_ylim(bottom=0)
            axes.yaxis.get_major_locator().set_params(integer=True)
        if axes.get_subplotspec().is_last_row():
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
        _plain(axes)
    if "validation_elbo" in history:
        figure.axes[0].legend(frameon=False, loc="lower right")
    return figure


def latent_size_curve(results: Sequence[Mapping[str, float]]) -> Figure:
    """log p(x), ELBO, KL and active units against the number of latent units: how big should the latent space be?

    results: for each model latent_size, log_likelihood, log_likelihood_standard_error, elbo, kl and active_units.
    """
    results = sorted(results, key=lambda row: row["latent_size"])
    column = {name: numpy.array([row[name] for row in results]) for name in results[0]}
    sizes = column["latent_size"]
    figure = Figure(figsize=(12.5, 4.2), layout="constrained", dpi=100)
    bounds, divergence, active = figure.subplots(1, 3)

    bounds.errorbar(
        sizes,
        column["log_likelihood"],
        column["log_likelihood_standard_error"],
        color=BLUE,
        marker="o",
        capsize=4,
        label="$\\log p(x)$, by importance sampling",
    )
    bounds.plot(sizes, column["elbo"], "--", color=ORANGE, marker="s", label="ELBO")
    bounds.legend(frameon=False, loc="lower right", fontsize=12)
    bounds.set_title("Fit to test data", fontsize=13)
    bounds.set_ylabel("nats per datapoint")

    divergence.plot(sizes, column["kl"], color=GREEN, marker="o")
    divergence.set_ylim(bottom=0)
    divergence.set_title("Information in z: KL$(q(z\\,|\\,x)\\,\\|\\,p(z))$", fontsize=13)
    divergence.set_ylabel("nats per datapoint")

    active.plot(sizes, sizes, ":", color=GREY)
    active.annotate("all units", (sizes[-1], sizes[-1]), (-8, 0), textcoords="offset points", ha="right", color=GREY)
    active.plot(sizes, column["active_units"], color=BLUE, marker="o")
    active.set_ylim(bottom=0)
    active.set_title("Active units", fontsize=13)
    active.set_ylabel("units")

    for axes in (bounds, divergence, active):
        axes.set_xscale("log")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("latent units K")
        _plain(axes)
        _large(axes)
    return figure


def graph(loss: Tensor, names: Mapping[str, Mapping[str, Any]]) -> Figure:
    """The graph that `grad` walks back: every primitive between what was named and the loss, with the shape it returned.

    Constants and arrays without a name stand within their primitive: subtract(·, 1).

    Parameters
    ----------
    loss : Tensor
        Computed from others; each node lies to the right of all that it was computed from.
    names : dict of dicts
        Group -> name -> Tensor or array, each group in a colour of its own:
        {"parameters": model.named_parameters(), "data": {"x": x}}.
    """
    if not isinstance(loss, Tensor) or loss.primitive is None:
        raise InputError("graph", "a Tensor that was computed from Tensors", repr(loss))
    group_of, name_of = {}, {}
    for group, members in names.items():
        for name, member in members.items():
            group_of[id(member)], name_of[id(member)] = group, name

    nodes, edges, waiting = {id(loss): loss}, [], [loss]
    while waiting:
        node = waiting.pop()
        for x in getattr(node, "arguments", ()):
            if isinstance(x, Tensor) or id(x) in name_of:
                edges.append((id(x), id(node)))
                if id(x) not in nodes:
                    nodes[id(x)] = x
                    waiting.append(x)
    columns, heights, routes = _layered(list(nodes), edges)

    n_columns, top, bottom = 1 + max(columns.values()), max(heights.values()), min(heights.values())
    figure = Figure(figsize=(0.98 * n_columns, 0.82 * (top - bottom + 2.2)), layout="constrained", dpi=100)
    axes = figure.add_subplot(xlim=(-0.6, n_columns - 0.4), ylim=(bottom - 0.6, top + 0.6))
    axes.set_axis_off()
    colors = dict(zip(names, ("#BFE0F2", "#F7E9A0", "#F5C9A5", "#C5E8D6", "#E6CFE0"), strict=False))
    for route in routes:
        axes.add_patch(_arrow(route))
    for key, x in nodes.items():
        is_loss = x is loss
        text = f"{_expression(x, nodes) if isinstance(x, Tensor) and x.primitive else ''}\n{_shape(x)}"
        text = f"{name_of[key]}{text if text.startswith(chr(10)) else chr(10) + text}" if key in name_of else text
        face = "#333333" if is_loss else colors.get(group_of.get(key), "white")
        box = FancyBboxPatch(
            (columns[key] - 0.36, heights[key] - 0.27),
            0.72,
            0.54,
            boxstyle="round,pad=0,rounding_size=0.1",
            facecolor=face,
            edgecolor="#333333",
            linewidth=0.9,
            zorder=3,
        )
        axes.add_patch(box)
        axes.text(
            columns[key],
            heights[key],
            text,
            ha="center",
            va="center",
            color="white" if is_loss else "black",
            fontsize=9,
            zorder=4,
        )
    legend = [Patch(facecolor=color, edgecolor="#333333", label=group) for group, color in colors.items()]
    legend.append(Patch(facecolor="white", edgecolor="#333333", label="primitives, with the shapes they return"))
    legend.append(Patch(facecolor="#333333", label="loss"))
    figure.legend(handles=legend, loc="outside lower center", ncols=len(legend), frameon=False, fontsize=12)
    return figure
