"""Figures of models, of training, and of the engine's graph.

Every function returns a matplotlib Figure made without pyplot: no state, no window, no choice of backend. `save_figure`
writes it. Images are the means of p(x | z). One-channel images that are mostly dark are shown as ink on paper.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from itertools import combinations, cycle, pairwise
from pathlib import Path
from typing import Any

import numpy
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.path import Path as Curve
from matplotlib.patheffects import withStroke

from scratchvae import latent_space
from scratchvae.arrays import as_array
from scratchvae.autodiff import Tensor
from scratchvae.backend import asarray, to_numpy
from scratchvae.errors import InputError, ShapeError

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"
"""Colours that colour-blind readers tell apart (Okabe & Ito), and a grey for what is secondary."""

FILLS = ("#BFE0F2", "#F7E9A0", "#F5C9A5", "#C5E8D6", "#E6CFE0")  # pale forms of the same palette, for boxes with text
MOST_POINTS = 5000  # of a scatter plot
BOX, ROW = 0.28, 0.5  # height of a box and distance of the rows of a graph, in inches


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure in the format of the path's suffix, PNG if it has none; missing folders are made."""
    path = Path(path)
    if not path.name or path.is_dir():
        raise InputError("save_figure", "the name of a file", repr(os.fspath(path)))
    path = path if path.suffix else path.with_suffix(".png")
    formats = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in formats:
        raise InputError("save_figure", f"a suffix among {', '.join(sorted(formats))}", repr(path.suffix))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


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
    """z = F^-1((i + 1/2) / n), i = 0, ..., n - 1, along both axes: the middles of cells of equal prior probability.

    F is the distribution function of Normal(0, 1). float32, (n, n, 2); z1 grows to the right, z2 upwards.
    """
    from scipy.special import ndtri

    z = ndtri((numpy.arange(n) + 0.5) / n).astype(numpy.float32)
    return numpy.stack(numpy.meshgrid(z, z[::-1]), axis=-1)


def decoder_manifold(model: Any, image_shape: Sequence[int] | None = None, n: int = 20) -> Figure:
    """The mean of p(x | z) for z on `latent_grid`: the whole of a 2-D latent space as the prior sees it.

    image_shape: as in `images`. Raises InputError for a latent space of another dimension.

    Source: deck, 'The "hello world" of deep generative models'; Kingma & Welling (2014),
    figure 4.
    """
    from scipy.special import ndtr

    if model.latent_size != 2 or hasattr(model, "n_classes"):
        received = f"a {model.latent_size}-D one" + (" with classes" if hasattr(model, "n_classes") else "")
        raise InputError("decoder_manifold", "a 2-D latent space", received, "samples shows any")
    z = latent_grid(n).reshape(-1, 2)
    figure = Figure(figsize=(6.4, 6.6), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    means = _as_images(model.decode(asarray(z, model.device)).mean, image_shape)
    _show(axes, image_grid(means, n), extent=(0, 1, 0, 1))
    ticks = numpy.array([-1.5, -1, -0.5, 0, 0.5, 1, 1.5])
    axes.set_xticks(ndtr(ticks), [f"${tick:g}$" for tick in ticks])
    axes.set_yticks(ndtr(ticks), [f"${tick:g}$" for tick in ticks])
    axes.set(xlabel="$z_1$", ylabel="$z_2$")
    axes.set_title("Mean of $p(x\\,|\\,z)$, cells of equal prior probability", fontsize=12)
    _large(axes)
    return figure


def latent_scatter(model: Any, x: Any, labels: Any = None) -> Figure:
    """The means of q(z | x) of at most 5,000 rows, evenly chosen, coloured by label.

    Of more than two latent units the two whose means vary most are shown, and named on the axes.
    """
    x = as_array("latent_scatter", x)
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
    means = means[:, [first, second]]
    room, spots = 0.05 * numpy.ptp(means), []  # labels are written near the medians, but this far apart
    for i, label in enumerate(classes):
        points, color = means[labels == label], colormaps["tab10"](i % 10)
        axes.scatter(*points.T, s=5, color=color, alpha=0.7, linewidths=0, label=str(label))
        if len(classes) > 1:
            nearest = points[numpy.linalg.norm(points - numpy.median(points, axis=0), axis=1).argsort()]
            free = (spot for spot in nearest if all(numpy.linalg.norm(spot - other) > room for other in spots))
            spots.append(next(free, nearest[0]))
            text = axes.text(*spots[-1], label, color=color, fontsize=17, weight="bold", ha="center", va="center")
            text.set_path_effects([withStroke(linewidth=3, foreground="white")])
    if len(classes) > 1:
        axes.legend(title="label", markerscale=4, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    for axis, unit in ((axes.xaxis, first), (axes.yaxis, second)):
        note = f"  (of {len(variances)} units; variance {variances[unit]:.2g})" if len(variances) > 2 else ""
        axis.set_label_text(f"mean of $z_{{{unit + 1}}}${note}")
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_title("Means of $q(z\\,|\\,x)$", fontsize=12)
    _large(axes)
    return figure


def reconstructions(model: Any, x: Any, n: int = 10, image_shape: Sequence[int] | None = None) -> Figure:
    """The first n rows of x, and below each the mean of p(x | z) at the mean of q(z | x).

    x and image_shape: as in `images`.
    """
    x = asarray(as_array("reconstructions", x)[:n], model.device)
    pairs = [_as_images(rows, image_shape) for rows in (x, model.reconstruct(x))]
    figure = Figure(figsize=(0.9 * len(x) + 1.4, 2.1), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    _show_rows(axes, numpy.concatenate(pairs), ["original", "reconstruction"])
    return figure


def uncertainty(model: Any, x: Any, n: int = 12) -> Figure:
    """The first n images of x, and below each the mean and the standard deviation of p(x | z), z the mean of q(z | x).

    x: images (N, H, W, C); the standard deviation is the mean over the channels, dark where it is small. For a Gaussian
    likelihood whose decoder gives one for each pixel; raises InputError for another.
    """
    if getattr(model.decoder, "std", None) != "decoder":
        raise InputError("uncertainty", 'a Gaussian likelihood with std="decoder"', str(model.decoder))
    x = asarray(as_array("uncertainty", x)[:n], model.device)
    likelihood = model.decode(model.encode(x).mean)
    std = to_numpy(likelihood.std).mean(axis=-1, keepdims=True)
    shades = colormaps["magma"](std[..., 0] / std.max())[..., :3]
    figure = Figure(figsize=(0.9 * len(x) + 2.2, 3.1), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    rows = [_as_images(x, None), _as_images(likelihood.mean, None), shades]
    cells = numpy.concatenate([numpy.broadcast_to(row, shades.shape) for row in rows])
    _show_rows(axes, cells, ["x", "mean of $p(x\\,|\\,z)$", "its std"])
    scale = figure.colorbar(ScalarMappable(Normalize(0, std.max()), "magma"), ax=axes, fraction=0.02, pad=0.01)
    scale.outline.set_visible(False)
    return figure


def images(x: Any, image_shape: Sequence[int] | None = None) -> Figure:
    """Images in a square, row by row.

    x: images (N, H, W, C), or rows (N, D) with image_shape (H, W) or (H, W, C); by default, or with (D,), rows are
    squares of one channel. Raises ShapeError for rows of another size.
    """
    figure = Figure(figsize=(6.4, 6.4), dpi=150)
    _show_in_square(figure.add_axes((0.01, 0.01, 0.98, 0.98)), x, image_shape)
    return figure


def samples(model: Any, n: int = 100, seed: int = 0, image_shape: Sequence[int] | None = None) -> Figure:
    """The means of p(x | z) for n draws z ~ p(z).   image_shape: as in `images`"""
    return images(model.sample(n, seed), image_shape)


def attribute_traversal(
    model: Any,
    z: Any,
    directions: Mapping[str, Any],
    amounts: Sequence[float] = (-1.5, -1, -0.5, 0, 0.5, 1, 1.5),
    image_shape: Sequence[int] | None = None,
) -> Figure:
    """The mean of p(x | z + a v) for each direction v, a row each, by its name, and each amount a.

    z: a point, (K,), of NumPy, as the directions, which `scratchvae.latent_space.mean_difference` finds. image_shape:
    as in `images`.

    Source: deck, "Perturbations in latent space".
    """
    a = numpy.array(amounts, dtype=numpy.float32)
    rows = [latent_space.traversal(z, direction, a) for direction in directions.values()]
    columns = [f"{amount:+g}" if amount else "z" for amount in amounts]
    title = "Mean of $p(x\\,|\\,z + a v)$ along the direction $v$ of each attribute"
    return _decoded_rows(model, rows, [name.replace("_", " ") for name in directions], columns, title, image_shape)


def interpolation(model: Any, starts: Any, ends: Any, n: int = 9, image_shape: Sequence[int] | None = None) -> Figure:
    """The mean of p(x | z) from each start to its end, (P, K) of NumPy: along a line, and below it along an arc.

    image_shape: as in `images`. Raises what `spherical_interpolation` raises.

    Source: White (2016), "Sampling generative networks".
    """
    interpolations = latent_space.linear_interpolation, latent_space.spherical_interpolation
    ways = [interpolate(starts, ends, n) for interpolate in interpolations]
    rows = [way[i] for i in range(len(starts)) for way in ways]
    columns = [f"{t:.2g}" for t in numpy.linspace(0, 1, n)]
    return _decoded_rows(model, rows, ["line", "arc"] * len(starts), columns, "Mean of $p(x\\,|\\,z(t))$", image_shape)


def unit_sweep(
    model: Any,
    z: Any,
    units: Sequence[int],
    values: Sequence[float] = (-3, -2, -1, 0, 1, 2, 3),
    image_shape: Sequence[int] | None = None,
) -> Figure:
    """The mean of p(x | z) with one unit of z after another, a row each, at each of the values.

    z: a point, (K,), of NumPy. image_shape: as in `images`.
    """
    v = numpy.array(values, dtype=numpy.float32)
    rows = [latent_space.sweep(z, unit, v) for unit in units]
    names, columns = [f"$z_{{{unit + 1}}}$" for unit in units], [f"{value:g}" for value in values]
    return _decoded_rows(model, rows, names, columns, "Mean of $p(x\\,|\\,z)$, one unit of $z$ set", image_shape)


def class_conditional(model: Any, n: int = 8, seed: int = 0, image_shape: Sequence[int] | None = None) -> Figure:
    """The means of p(x | y, z) for n draws z ~ p(z), a row each, and every class y, a column each.

    image_shape: as in `images`.   Source: deck, "Class-conditional simulation".
    """
    n_classes = _n_classes("class_conditional", model)
    z = model.prior_draws(n, seed)
    y = asarray(numpy.tile(numpy.arange(n_classes), (n, 1)), model.device)
    means = to_numpy(model.decode(z[:, None].repeat(n_classes, axis=1), y).mean)
    figure = Figure(figsize=(0.6 * n_classes + 0.6, 0.6 * n + 0.4), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    _show_classes(axes, _as_images(means.reshape(n * n_classes, -1), image_shape), n_classes)
    axes.set_ylabel("one $z \\sim p(z)$ in each row")
    _large(axes)
    return figure


def analogies(model: Any, x: Any, labels: Any = None, image_shape: Sequence[int] | None = None) -> Figure:
    """Each row of x, and beside it the means of p(x | y, z) of every class y at the z that was inferred from it.

    z is the mean of q(z | x, y) at the row's label, or without labels at its most probable class. image_shape: as in
    `images`.

    Source: deck, "Style transfer, or visual analogies"; Kingma et al. (2014), figure 1.
    """
    x = as_array("analogies", x)
    n, n_classes = len(x), _n_classes("analogies", model)
    means = to_numpy(model.analogies(asarray(x, model.device), labels))
    figure = Figure(figsize=(0.6 * n_classes + 1.6, 0.6 * n + 0.7), layout="constrained", dpi=150)
    sources, transferred = figure.subplots(1, 2, width_ratios=(1, n_classes))
    if image_shape is None and numpy.ndim(x) > 2:
        image_shape = x.shape[1:]
    _show(sources, image_grid(_as_images(x, image_shape), 1), extent=(0, 1, 0, n))
    sources.set(xticks=[0.5], yticks=[])
    sources.set_xticklabels(["x"])
    sources.spines[:].set_color(ORANGE)
    sources.spines[:].set_linewidth(2)
    sources.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    _show_classes(transferred, _as_images(means.reshape(n * n_classes, -1), image_shape), n_classes)
    for axes in (sources, transferred):
        _large(axes)
    return figure


def label_curve(results: Sequence[Mapping[str, Any]]) -> Figure:
    """Test error against the number of labels, a line for each method, with confidence intervals.

    results: for each method and number labels, method, error and half (of the interval), in percent.
    """
    figure = Figure(figsize=(7, 4.6), layout="constrained", dpi=120)
    axes = figure.add_subplot()
    methods = list(dict.fromkeys(row["method"] for row in results))
    looks = zip(cycle((BLUE, ORANGE, GREEN, GREY)), cycle("osD^vPX"))
    for i, (method, (color, marker)) in enumerate(zip(methods, looks, strict=False)):
        rows = sorted((row for row in results if row["method"] == method), key=lambda row: row["labels"])
        sizes, errors, halves = (numpy.array([row[name] for row in rows]) for name in ("labels", "error", "half"))
        apart = 1 + 0.03 * (i - (len(methods) - 1) / 2)  # so that intervals of one size stand side by side
        axes.errorbar(sizes * apart, errors, halves, color=color, marker=marker, capsize=4, label=method)
    sizes = sorted({row["labels"] for row in results})
    axes.set(xscale="log", xlabel="labels", ylabel="test error, percent")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_xticks([], minor=True)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=11)
    _plain(axes)
    _large(axes)
    return figure


def style_transfer(
    known: Mapping[str, Any], read: Mapping[str, Any], labels: Any, r_squared: Mapping[str, float]
) -> Figure:
    """Style factors of source images against those read off the digits drawn from their z as every other class.

    By name: known, the factor of each source, (N,); read, that of each drawn digit, (N, C), with r_squared between the
    two, for the title. labels: the sources' classes; colours are the classes drawn.
    """
    n_classes = next(iter(read.values())).shape[1]
    other = numpy.arange(n_classes) != numpy.asarray(labels)[:, None]
    figure = Figure(figsize=(4.6 * len(known), 4.6), layout="constrained", dpi=120)
    for axes, name in zip(figure.subplots(1, len(known), squeeze=False)[0], known, strict=True):
        source = numpy.broadcast_to(numpy.asarray(known[name])[:, None], other.shape)[other]
        drawn, column = read[name][other], numpy.nonzero(other)[1]
        axes.scatter(source, drawn, s=6, c=column, cmap="tab10", vmin=-0.5, vmax=9.5, alpha=0.6, linewidths=0)
        ends = [min(source.min(), drawn.min()), max(source.max(), drawn.max())]
        axes.plot(ends, ends, color=GREY, linewidth=1)
        axes.set_title(f"{name}: $R^2 = {r_squared[name]:.2f}$ within a drawn class", fontsize=13)
        axes.set(xlabel=f"{name} of the source", ylabel=f"{name} read off the drawn digit")
        _plain(axes)
        _large(axes)
    return figure


def conditional_models(
    x: Any,
    drawn: Mapping[str, Any],
    factor: str,
    correlations: Mapping[str, Any],
    bounds: Mapping[str, Mapping[int, Sequence[float]]],
) -> Figure:
    """What models of p(x given y) draw in every class from the z of one image, and what they are worth by data.

    Parameters
    ----------
    x, drawn : images (N, H, W, C); and by name what each model draws from their z, (N, classes, ...)
    factor, correlations : a factor of style; and by name, (classes, classes), its correlation between sources of one
        class (rows) and what is drawn from their z as another (columns), with the mean over different classes as title
    bounds : by name, of log p(x, y) in nats and its standard error, for numbers of images of each class

    Source: deck, "Check-in": "ten independent VAEs (one per class)?"
    """
    n_models, n = len(drawn), len(x)
    n_classes = next(iter(drawn.values())).shape[1]
    figure = Figure(figsize=(7 * n_models, 12), layout="constrained", dpi=90)
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    above, below = figure.subfigures(2, 1, height_ratios=(7.4, 4.6))
    sources, *blocks = above.subplots(1, 1 + n_models, width_ratios=(1, *[n_classes] * n_models))
    _show(sources, image_grid(_as_images(x, None), 1), extent=(0, 1, 0, n))
    sources.set(xticks=[0.5], yticks=[])
    sources.set_xticklabels(["x"])
    sources.spines[:].set_color(ORANGE)
    sources.spines[:].set_linewidth(2)
    sources.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    for axes, (name, pictures) in zip(blocks, drawn.items(), strict=True):
        cells = to_numpy(pictures).reshape(n * n_classes, -1)
        _show_classes(axes, _as_images(cells, numpy.shape(x)[1:]), n_classes)
        axes.set_title(name, fontsize=16)
    *squares, curve = below.subplots(1, n_models + 1, width_ratios=(*[1] * n_models, 1.15))
    different = ~numpy.eye(n_classes, dtype=bool)
    for axes, (name, values) in zip(squares, correlations.items(), strict=True):
        shades = axes.imshow(values, "RdBu_r", vmin=-1, vmax=1)
        mean = to_numpy(values)[different].mean()
        axes.set_title(f"{name}:\nbetween different classes {mean:.2f}", fontsize=13)
        axes.set(xlabel="class drawn", ylabel="class of the source", xticks=range(n_classes), yticks=range(n_classes))
        _large(axes)
    bar = below.colorbar(shades, ax=squares, location="left", shrink=0.8)
    bar.set_label(f"correlation of {factor}, source and drawn", fontsize=13)
    for (name, points), color, marker in zip(bounds.items(), (BLUE, ORANGE, GREEN), "osD", strict=False):
        means, errors = zip(*points.values(), strict=True)
        curve.errorbar(list(points), means, errors, color=color, marker=marker, capsize=4, label=name)
    sizes = sorted({size for points in bounds.values() for size in points})
    curve.set(xscale="log", xlabel="training images of each class", ylabel="$\\log\\,p(x, y)$ of a test image, nats")
    curve.set_xticks(sizes, [f"{size:,}" for size in sizes])
    curve.set_xticks([], minor=True)
    curve.legend(frameon=False, fontsize=12, loc="lower right")
    _plain(curve)
    for axes in (sources, *blocks, curve):
        _large(axes)
    return figure


def latent_comparison(
    models: Mapping[int, Any], n: int = 100, seed: int = 0, image_shape: Sequence[int] | None = None
) -> Figure:
    """Samples of models by their number of latent units, "(a) 2-D latent space" and so on.

    Source: deck, "MNIST: latent space comparison".
    """
    figure = Figure(figsize=(3.3 * len(models), 3.7), layout="constrained", dpi=100)
    panels = figure.subplots(1, len(models), squeeze=False)[0]
    for i, (axes, (latent_size, model)) in enumerate(zip(panels, models.items(), strict=True)):
        _show_in_square(axes, model.sample(n, seed), image_shape)
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
            axes.set_ylim(0, 1.1 * max(1, *history[name]))
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

    log_px, error = column["log_likelihood"], column["log_likelihood_standard_error"]
    bounds.errorbar(sizes, log_px, error, color=BLUE, marker="o", capsize=4)
    bounds.plot(sizes, column["elbo"], "--", color=ORANGE, marker="s")
    style = {"textcoords": "offset points", "ha": "right", "fontsize": 12}
    bounds.annotate("log p(x), importance sampling", (sizes[-1], log_px[-1]), (0, 16), color=BLUE, **style)
    bounds.annotate("ELBO", (sizes[-1], column["elbo"][-1]), (0, -20), color=ORANGE, **style)
    bounds.margins(y=0.15)
    bounds.set_title("Fit to test data", fontsize=13)
    bounds.set_ylabel("nats per datapoint")

    divergence.plot(sizes, column["kl"], color=GREEN, marker="o")
    divergence.set_ylim(bottom=0)
    divergence.set_title("Information in z: KL$(q(z\\,|\\,x)\\,\\|\\,p(z))$", fontsize=13)
    divergence.set_ylabel("nats per datapoint")

    every = numpy.geomspace(sizes[0], sizes[-1])
    active.plot(every, every, ":", color=GREY)
    active.annotate("all K", (sizes[-1], sizes[-1]), (-8, -8), color=GREY, **style)
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


def posterior_contours(
    x: Any,
    posteriors: Sequence[Any],
    approximations: Sequence[Mapping[str, Any]],
    titles: Sequence[str],
    title: str,
    name: str = "p(z\\,|\\,x)",
    together: int = 1,
) -> Figure:
    """The exact p(z | x) of a 2-D latent space for each row of x, with Gaussian approximations drawn over it.

    Shades and lines bound the smallest regions that hold 50, 90 and 99 % of the probability; of an approximation, the
    region of 90 %.

    Parameters
    ----------
    x : images (N, H, W, C), or square ones as rows
    posteriors : for each row what `scratchvae.quadrature.exact_posterior` returns
    approximations : for each row at most two distributions Normal over (1, 2), by name
    titles, title, name : of each panel, of all, and of the posterior
    together : how many panels, side by side, have the same limits
    """
    figure = Figure(figsize=(3.1 * math.ceil(len(posteriors) / 2), 7.2), layout="constrained", dpi=150)
    figure.suptitle(title, fontsize=14)
    panels = figure.subplots(2, math.ceil(len(posteriors) / 2), squeeze=False).flat
    masses, radius = (0.99, 0.9, 0.5), math.sqrt(-2 * math.log(1 - 0.9))
    styles = ({"color": ORANGE}, {"color": GREEN, "linestyle": (0, (4, 2))})
    angle = numpy.linspace(0, 2 * math.pi, 200)
    rows, points = zip(_as_images(x, None), posteriors, approximations, titles, strict=True), []
    for axes, (image, posterior, approximation, panel_title) in zip(panels, rows, strict=False):
        density = posterior.density
        ordered = numpy.sort(density, axis=None)[::-1]
        held = numpy.cumsum(ordered) / ordered.sum()
        levels = [ordered[numpy.searchsorted(held, mass)] for mass in masses]
        axes.contourf(*posterior.axes, density.T, [*levels, density.max()], colors=["#DCEBF5", "#A9CFE8", "#5FA6D3"])
        axes.contour(*posterior.axes, density.T, levels, colors=BLUE, linewidths=0.8)
        inside = numpy.argwhere(density >= levels[0]).T
        shown = [numpy.stack([axis[i] for axis, i in zip(posterior.axes, inside, strict=True)])]
        for (label, q), style in zip(approximation.items(), styles, strict=False):
            mean, std = to_numpy(q.mean)[0], to_numpy(q.std)[0]
            ellipse = mean[:, None] + radius * std[:, None] * numpy.stack([numpy.cos(angle), numpy.sin(angle)])
            axes.plot(*ellipse, linewidth=2, label=label, **style)
            axes.plot(*mean, "+", color=style["color"], markersize=9, markeredgewidth=2)
            shown.append(ellipse)
        points.append(numpy.concatenate(shown, axis=1))
        axes.set_aspect("equal")
        axes.set_title(panel_title, fontsize=11)
        axes.tick_params(labelsize=9)
        inset = axes.inset_axes((0.02, 0.75, 0.23, 0.23))
        _show(inset, image)
        inset.set_xticks([])
        inset.set_yticks([])
    for i, axes in enumerate(figure.axes[: len(points)]):
        shown = numpy.concatenate(points[i - i % together :][:together], axis=1)
        low, high = shown.min(axis=1), shown.max(axis=1)
        middle, reach = (low + high) / 2, 0.68 * (high - low).max()
        axes.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] - reach, middle[1] + reach))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    handles.insert(0, Patch(facecolor="#A9CFE8", edgecolor=BLUE))
    labels.insert(0, f"exact ${name}$: 50, 90, 99 %")
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=12)
    return figure


def gradient_variance(
    draws: Sequence[int], variances: Mapping[str, Sequence[float]], values: Mapping[str, Any]
) -> Figure:
    """How much estimators of one gradient scatter: against the number of draws, and one derivative's own estimates.

    Parameters
    ----------
    draws : numbers of draws of z
    variances : for each estimator, by name, the variance summed over all parameters at these numbers of draws
    values : for each estimator, by name, many estimates of one derivative, (R,)

    Source: deck, "Reparameterization trick for the encoder".
    """
    figure = Figure(figsize=(11, 4.4), layout="constrained", dpi=120)
    scatter, curve = figure.subplots(1, 2)
    colors = dict(zip(variances, (BLUE, ORANGE, GREEN), strict=False))
    reach = max(numpy.quantile(abs(part), 0.98) for part in values.values())
    bins = numpy.linspace(-reach, reach, 41)
    for name, part in values.items():
        label = f"{name}: std {part.std(ddof=1):.3g}"
        scatter.hist(part, bins, density=True, histtype="stepfilled", alpha=0.6, color=colors[name], label=label)
    scatter.legend(frameon=False, fontsize=11, loc="upper left")
    scatter.set_yscale("log")
    scatter.set_ylim(top=8 * scatter.get_ylim()[1])  # room for the legend
    scatter.set(xlabel="estimate of one derivative, one draw of z", ylabel="density")
    scatter.set_title("The same mean, another spread", fontsize=13)
    for name, part in variances.items():
        curve.plot(draws, part, color=colors[name], marker="o", label=name)
    curve.set(xscale="log", yscale="log", xlabel="draws of z", ylabel="variance, summed over the encoder")
    curve.set_xticks(draws, [str(n) for n in draws])
    curve.set_xticks([], minor=True)
    curve.set_title("Variance of the gradient", fontsize=13)
    curve.legend(frameon=False, fontsize=11)
    for axes in (scatter, curve):
        _plain(axes)
        _large(axes)
    return figure


def graph(loss: Tensor, names: Mapping[str, Mapping[str, Any]]) -> Figure:
    """The graph that `grad` walks back from the loss: what was named, and every primitive with the shape it returned.

    Numbers and arrays without a name stand within their primitive, as in "subtract(·, 1)", where · is what comes from
    above.

    Parameters
    ----------
    loss : Tensor
        Computed from others. Every node lies below all that it was computed from, so the loss is at the bottom.
    names : dict of dicts
        Group -> name -> Tensor or array; each group has a colour of its own:
        {"parameters": model.named_parameters(), "data": {"x": x}}.
    """
    if not isinstance(loss, Tensor) or loss.primitive is None:
        raise InputError("graph", "a Tensor that was computed from others", repr(loss))
    name_of = {id(member): name for members in names.values() for name, member in members.items()}
    group_of = {id(member): group for group, members in names.items() for member in members.values()}
    nodes, edges = _ancestors(loss, name_of)
    labels = {key: _node_label(x, name_of.get(key), nodes) for key, x in nodes.items()}
    widths = {key: 0.15 + 0.078 * len(label) for key, label in labels.items()}
    x, row, chains = _layered_layout(nodes, edges, widths)

    left = min(place - widths.get(key, 0) / 2 for key, place in x.items()) - 0.2
    right = max(place + widths.get(key, 0) / 2 for key, place in x.items()) + 0.2
    bottom = -ROW * max(row.values()) - 0.3
    figure = Figure(figsize=(right - left, 0.3 - bottom), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(bottom, 0.3))
    axes.set_axis_off()
    for chain in chains:
        vertices = [(x[chain[0]], -ROW * row[chain[0]])]
        for upper, lower in pairwise(chain):  # down past the upper row, then a bend between the rows
            start, end = -ROW * row[upper] - BOX / 2, -ROW * row[lower] + BOX / 2
            middle = (start + end) / 2
            vertices += [(x[upper], start), (x[upper], middle), (x[lower], middle), (x[lower], end)]
        route = Curve(vertices, [Curve.MOVETO] + [Curve.LINETO, *[Curve.CURVE4] * 3] * (len(chain) - 1))
        axes.add_patch(FancyArrowPatch(path=route, arrowstyle="-|>", mutation_scale=8, color=GREY, linewidth=0.9))
    fills = dict(zip(names, FILLS, strict=False))
    for key in nodes:
        fill, ink = ("black", "white") if key == id(loss) else (fills.get(group_of.get(key), "white"), "black")
        corner = (x[key] - widths[key] / 2, -ROW * row[key] - BOX / 2)
        axes.add_patch(FancyBboxPatch(corner, widths[key], BOX, "round,pad=0,rounding_size=0.08", fc=fill, ec="black"))
        axes.text(x[key], -ROW * row[key], labels[key], color=ink, fontsize=9, ha="center", va="center_baseline")
    keys = fills | {"primitives": "white", "loss": "black"}
    patches = [Patch(facecolor=fill, edgecolor="black", label=label) for label, fill in keys.items()]
    figure.legend(handles=patches, loc="lower left", frameon=False, fontsize=11)
    return figure


def _ancestors(loss: Tensor, name_of: Mapping[int, str]) -> tuple[dict[int, Any], list[tuple[int, int]]]:
    """All Tensors and named arrays that the loss was computed from, by id, and the edges (argument, result)."""
    nodes, edges, waiting = {id(loss): loss}, {}, [loss]
    while waiting:
        node = waiting.pop()
        for x in node.arguments if isinstance(node, Tensor) else ():
            if isinstance(x, Tensor) or id(x) in name_of:
                edges[id(x), id(node)] = None
                if id(x) not in nodes:
                    nodes[id(x)] = x
                    waiting.append(x)
    return nodes, list(edges)


def _node_label(x: Any, name: str | None, nodes: Mapping[int, Any]) -> str:
    """The name or the primitive, with the arguments that are not drawn, and the shape."""
    text = name
    if name is None:
        text = str(x.primitive or "leaf")
        constants = [None if id(argument) in nodes else _constant(argument) for argument in x.arguments]
        if any(constants):
            text += f"({', '.join(constant or '·' for constant in constants)})"
    return f"{text}  {tuple(x.shape)}"


def _constant(value: Any) -> str:
    """A number, an array of one number, or an index, in few letters."""
    if isinstance(value, tuple):
        return ", ".join(map(_constant, value))
    if isinstance(value, slice):
        return ":".join("" if end is None else str(end) for end in (value.start, value.stop))
    if value is Ellipsis:
        return "..."
    numbers = numpy.unique(to_numpy(value))
    return f"{numbers[0]:.3g}" if len(numbers) == 1 else "array"


def _layered_layout(
    nodes: Mapping[int, Any], edges: Sequence[tuple[int, int]], widths: Mapping[int, float]
) -> tuple[dict[Any, float], dict[Any, int], list[list[Any]]]:
    """Where each node stands, x in inches, in which row from above, and the places that each edge passes.

    The row is the length of the longest path from above, or for a leaf the row above its first use. An edge that skips
    rows passes through a place of its own in each. Rows are ordered by the mean place of the neighbours above,
    then below, and so on in turn; the order with the fewest crossings is kept.

    Source: Sugiyama, Tagawa & Toda, "Methods for visual understanding of hierarchical system structures" (1981).
    """
    row: dict[Any, int] = dict.fromkeys(nodes, 0)
    for source, target in sorted(edges, key=lambda edge: nodes[edge[1]].birth):
        row[target] = max(row[target], row[source] + 1)
    for leaf in nodes.keys() - {target for _, target in edges}:
        row[leaf] = min(row[target] for source, target in edges if source == leaf) - 1
    chains = [[source, *((source, r) for r in range(row[source] + 1, row[target])), target] for source, target in edges]
    row |= {key: key[1] for chain in chains for key in chain[1:-1]}
    links = {link: None for chain in chains for link in pairwise(chain)}
    neighbours: tuple[dict[Any, list[Any]], dict[Any, list[Any]]] = ({}, {})
    for upper, lower in links:
        neighbours[0].setdefault(lower, []).append(upper)
        neighbours[1].setdefault(upper, []).append(lower)
    rows: list[list[Any]] = [[] for _ in range(1 + max(row.values()))]
    for key, r in row.items():
        rows[r].append(key)

    x: dict[Any, float] = dict.fromkeys(row, 0.0)

    def place(keys: list[Any], wanted: Mapping[Any, float]) -> None:
        """Move x near to what is wanted, keeping the order and room for the boxes."""
        room = numpy.array([widths.get(key, 0.1) + 0.25 for key in keys])
        offsets = numpy.cumsum(room) - room / 2
        free = numpy.array([wanted[key] for key in keys]) - offsets
        lowest, highest = numpy.maximum.accumulate(free), numpy.minimum.accumulate(free[::-1])[::-1]
        x.update(zip(keys, (lowest + highest) / 2 + offsets, strict=True))

    def mean_place(key: Any, *sides: int) -> float:
        places = [x[other] for side in sides for other in neighbours[side].get(key, [])]
        return sum(places) / len(places) if places else x[key]

    for keys in rows:
        place(keys, x)
    best, fewest = rows, math.inf
    for sweep in range(40):
        side = sweep % 2
        for r in range(len(rows)) if side == 0 else reversed(range(len(rows))):
            wanted = {key: mean_place(key, side) for key in rows[r]}
            rows[r] = sorted(rows[r], key=wanted.__getitem__)
            place(rows[r], wanted)
        position = {key: i for keys in rows for i, key in enumerate(keys)}
        crossings = sum(
            (position[a] - position[c]) * (position[b] - position[d]) < 0
            for (a, b), (c, d) in combinations(links, 2)
            if row[a] == row[c]
        )
        if crossings < fewest:
            best, fewest = [list(keys) for keys in rows], crossings
    for sweep in range(300):
        for keys in best if sweep % 2 else reversed(best):
            place(keys, {key: mean_place(key, 0, 1) for key in keys})
    return x, row, chains


def _as_images(rows: Any, image_shape: Sequence[int] | None) -> numpy.ndarray:
    """(N, ...) -> (N, H, W, C)"""
    rows = to_numpy(rows)
    size = math.prod(rows.shape[1:])
    if image_shape is None or len(image_shape) == 1:
        side = math.isqrt(size)
        image_shape = rows.shape[1:] if rows.ndim > 2 else (side, side)
    if math.prod(image_shape) != size:
        raise ShapeError("images", f"an image_shape (H, W, C) of {size} entries", f"{tuple(image_shape)}")
    if len(image_shape) > 2 and image_shape[2] not in (1, 3):
        raise ShapeError("image_shape", "1 or 3 channels", f"{tuple(image_shape)}")
    return rows.reshape(len(rows), *image_shape, *([1] * (3 - len(image_shape))))


def _show(axes: Axes, picture: numpy.ndarray, extent: Sequence[float] | None = None) -> None:
    """Draw an image. One channel that is mostly dark is ink on paper."""
    ink = picture.shape[-1] == 1 and picture.mean() < 0.3
    cmap = "gray_r" if ink else "gray"
    axes.imshow(numpy.clip(picture, 0, 1), cmap, vmin=0, vmax=1, extent=extent, interpolation="nearest")


def _show_rows(axes: Axes, images: numpy.ndarray, names: Sequence[str]) -> None:
    """Draw images row by row, as many rows as names, which stand on their left."""
    n = len(images) // len(names)
    _show(axes, image_grid(images, n), extent=(0, n, 0, len(names)))
    axes.set_xticks([])
    axes.set_yticks(numpy.arange(len(names))[::-1] + 0.5, names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    _large(axes)


def _show_in_square(axes: Axes, rows: Any, image_shape: Sequence[int] | None) -> None:
    pictures = _as_images(rows, image_shape)
    _show(axes, image_grid(pictures, math.ceil(math.sqrt(len(pictures)))))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("lightgrey")


def _decoded_rows(
    model: Any, rows: Sequence[Any], names: Sequence[str], columns: Sequence[str], title: str, image_shape: Any
) -> Figure:
    """Decoder means of rows of points, (T, K) each, with the name of each row on its left and of each column below."""
    if not rows or any(row.shape != (len(columns), model.latent_size) for row in rows):
        received = ", ".join(str(row.shape) for row in rows) or "none"
        raise ShapeError("rows of images", f"rows of {len(columns)} points of {model.latent_size} units", received)
    n = len(columns)
    cells = _as_images(model.decode(asarray(numpy.concatenate(rows), model.device)).mean, image_shape)
    cell, left, below, above = 0.95, 0.25 + 0.095 * max(map(len, names)), 0.4, 0.45  # inches
    width, height = left + cell * n + 0.1, below + cell * len(rows) + above
    figure = Figure(figsize=(width, height), dpi=150)
    axes = figure.add_axes((left / width, below / height, cell * n / width, cell * len(rows) / height))
    _show_rows(axes, cells, names)
    axes.set_xticks(numpy.arange(n) + 0.5, columns)
    axes.set_title(title, fontsize=12)
    return figure


def _n_classes(operation: str, model: Any) -> int:
    if not hasattr(model, "n_classes"):
        raise InputError(operation, "a model with classes", type(model).__name__)
    return model.n_classes


def _show_classes(axes: Axes, pictures: numpy.ndarray, n_classes: int) -> None:
    """Images row by row, a column for each class, whose number stands above it.   (n C, H, W, channels)"""
    n = len(pictures) // n_classes
    _show(axes, image_grid(pictures, n_classes), extent=(0, n_classes, 0, n))
    axes.set_xticks(numpy.arange(n_classes) + 0.5, [str(k) for k in range(n_classes)])
    axes.set_yticks([])
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_color("lightgrey")


def _plain(axes: Axes) -> None:
    """No box around the data."""
    axes.spines[["top", "right"]].set_visible(False)


def _large(axes: Axes) -> None:
    """Letters that the last row of a lecture hall can read."""
    axes.tick_params(labelsize=11)
    axes.xaxis.label.set_size(13)
    axes.yaxis.label.set_size(13)


# ---- linear models


def two_classifiers(
    x: Any,
    y: Any,
    models: Mapping[str, Any],
    sizes: Sequence[int],
    errors: Mapping[str, Sequence[tuple[float, float]]],
    drawn: Any,
) -> Figure:
    """Two classifiers of rows (N, 2), what they cost in data, and what a generative one takes the classes for.

    Parameters
    ----------
    x, y : rows, (N, 2), and their classes, 0 or 1
    models : fitted to them, by name; of one that has `theta_` and `var_` the densities p(x | y) are drawn too
    sizes, errors : numbers of rows to learn from; for each classifier test errors and their standard errors there
    drawn : images (R, C, H, W) of C classes: one of the data, the mean, and draws below

    Source: deck, "A tale of two binary linear classifiers"; Ng & Jordan (2002), figure 1.
    """
    x, y = to_numpy(x), to_numpy(y)
    figure = Figure(figsize=(12, 9.6), layout="constrained", dpi=80)
    panels = figure.subplots(2, 2)
    low, high = x.min(axis=0), x.max(axis=0)
    room = 0.08 * (high - low)
    axis = [numpy.linspace(a - r, b + r, 201) for a, b, r in zip(low, high, room, strict=True)]
    grid = numpy.stack(numpy.meshgrid(*axis), axis=-1)
    for axes, (name, model) in zip(panels[0], models.items(), strict=True):
        p = to_numpy(model.predict_proba(grid.reshape(-1, 2)))[:, 1].reshape(201, 201)
        axes.contourf(*axis, p, numpy.linspace(0, 1, 11), cmap="PuOr", alpha=0.55)
        axes.contour(*axis, p, [0.5], colors="black", linewidths=2)
        for i, color in enumerate((ORANGE, BLUE)):
            axes.scatter(*x[y == i].T, s=9, color=color, linewidths=0, alpha=0.8)
            if hasattr(model, "theta_"):
                theta, std = to_numpy(model.theta_)[i], numpy.sqrt(to_numpy(model.var_)[i])
                distance = (((grid - theta) / std) ** 2).sum(axis=-1)
                axes.contour(*axis, distance, [1, 4], colors=color, linewidths=2)
        axes.set_title(name, fontsize=13)
        axes.set(xlabel="first principal component", ylabel="second")
        _large(axes)
    curves, sampled = panels[1]
    for (name, values), color, style in zip(errors.items(), (BLUE, ORANGE, ORANGE), ("-o", "-s", ":s"), strict=False):
        mean, error = numpy.array(values).T
        curves.plot(sizes, mean, style, color=color, label=name, markersize=5)
        curves.fill_between(sizes, mean - 2 * error, mean + 2 * error, color=color, alpha=0.2, linewidth=0)
    curves.set(xscale="log", yscale="log", xlabel="rows to learn from", ylabel="test error")
    ticks = [
        tick
        for tick in (0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5)
        if curves.get_ylim()[0] < tick < curves.get_ylim()[1]
    ]
    curves.set_yticks(ticks, [f"{100 * tick:g} %" for tick in ticks])
    curves.set_yticks([], minor=True)
    curves.set_title("Two regimes", fontsize=13)
    curves.legend(frameon=False, fontsize=11)
    _plain(curves)
    _large(curves)
    n_rows, n_classes, *shape = to_numpy(drawn).shape
    _show(sampled, image_grid(to_numpy(drawn).reshape(-1, *shape, 1), n_classes), extent=(0, n_classes, 0, n_rows))
    names = ["a digit", "mean", *["draw"] * (n_rows - 2)]
    sampled.set_yticks(numpy.arange(n_rows)[::-1] + 0.5, names)
    sampled.set_xticks([])
    sampled.tick_params(length=0)
    sampled.set_title("What naive Bayes takes the digits for", fontsize=13)
    _large(sampled)
    return figure


def principal_subspaces(plane: Any, space: Any, models: Sequence[Any], errors: Mapping[str, Any]) -> Figure:
    """PCA as the line nearest to rows (N, 2) and the plane nearest to rows (N, 3), and two ways of finding it.

    Parameters
    ----------
    plane, space : rows, (N, 2) and (N, 3)
    models : PCA with one component, fitted to the first, and with two, fitted to the second
    errors : of each way of alternating minimisation, by name, ||X - Z W'||^2 after its steps, over the smallest

    Source: deck, "PCA: basic example" and "Aside: finding a PCA solution".
    """
    figure = Figure(figsize=(15, 5), layout="constrained", dpi=80)
    line, solid, curves = (figure.add_subplot(1, 3, i + 1, projection="3d" if i == 1 else None) for i in range(3))
    for axes, rows, model in ((line, plane, models[0]), (solid, space, models[1])):
        rows, mean, axis = (to_numpy(part) for part in (rows, model.mean_, model.components_))
        near = to_numpy(model.inverse_transform(model.transform(rows)))
        for pair in numpy.stack([rows, near], axis=1):
            axes.plot(*pair.T, color=GREY, linewidth=0.8)
        axes.plot(*rows.T, "o", color=BLUE, markersize=4)
        axes.plot(*near.T, "o", color=ORANGE, markersize=3)
        reach = 1.1 * abs((rows - mean) @ axis.T).max(axis=0)
        if axes is line:
            axes.axline(mean, mean + axis[0], color=ORANGE, linewidth=2)
            axes.set_aspect("equal")
        else:
            corners = numpy.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * reach @ axis + mean
            axes.plot_surface(*corners.T.reshape(3, 2, 2), color=ORANGE, alpha=0.25)
            axes.view_init(10, 15)
            axes.set(xticklabels=[], yticklabels=[], zticklabels=[])
            axes.set_aspect("equal")
        axes.set_title(f"{axis.shape[1]} columns, K = {len(axis)}", fontsize=13)
    for (name, values), color, style in zip(errors.items(), (ORANGE, BLUE), ("-s", "-o"), strict=False):
        curves.plot(numpy.arange(len(values)) / 2 + 0.5, values, style, color=color, label=name, markersize=4)
    curves.set(yscale="log", xlabel="steps: half of one for z, half for W", ylabel="error / that of the SVD")
    curves.set_ylim(top=10 * max(map(max, errors.values())))  # room for the legend
    curves.set_title("Alternating minimisation", fontsize=13)
    curves.legend(frameon=False, fontsize=11)
    _plain(curves)
    for axes in (line, curves):
        _large(axes)
    return figure


def generative_view(model: Any, x: Any, z: float, limits: Mapping[float, Any]) -> Figure:
    """PPCA with K = 1 and D = 2: p(z), p(x | z) for one z, p(x); and E[z | x], back in the plane, as sigma goes to 0.

    Parameters
    ----------
    model : PPCA with one component, fitted to rows (N, 2)
    x, z : rows, (N, 2), and a value of the latent variable
    limits : for three sigma what E[z | x] is for the rows x, (N, 1), where W'W = 1

    Source: deck, "Probabilistic PCA" and "Probabilistic PCA: Generative viewpoint"; Bishop (2006), figure 12.9.
    """
    figure = Figure(figsize=(15, 8.6), layout="constrained", dpi=70)
    (prior, conditional, marginal), panels = figure.subplots(2, 3)
    x, mean, weight, direction = (to_numpy(p) for p in (x, model.mean_, model.weight_[:, 0], model.components_))
    line = numpy.linspace(-3.2, 3.2, 201)
    density = numpy.exp(-0.5 * line**2) / math.sqrt(2 * math.pi)
    prior.plot(line, density, color=BLUE, linewidth=2)
    prior.plot([z, z], [0, math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)], "--", color=ORANGE, linewidth=2)
    prior.set(xlabel="z", ylim=(0, None))
    prior.set_title("p(z)", fontsize=13)
    reach = 1.1 * abs(x - mean).max()
    axis = numpy.linspace(-reach, reach, 201)
    grid = numpy.stack(numpy.meshgrid(axis, axis), axis=-1) + mean
    point, angle = weight * z + mean, numpy.linspace(0, 2 * math.pi, 100)
    circle = numpy.stack([numpy.cos(angle), numpy.sin(angle)]) * math.sqrt(model.noise_variance_)
    conditional.axline(mean, mean + weight, color=GREY)
    conditional.plot(*mean, "o", color=GREY)
    conditional.plot(*point, "+", color=ORANGE, markersize=10, markeredgewidth=2)
    for radius in (1, 2, 3):
        conditional.plot(*(point[:, None] + radius * circle), color=ORANGE, linewidth=1.5)
    conditional.set_title(f"p(x | z = {z:g}) = Normal(W z + mu, sigma² I)", fontsize=13)
    log_p = to_numpy(model.score_samples(grid.reshape(-1, 2))).reshape(201, 201)
    top = log_p.max()
    marginal.contourf(*(axis[:, None] + mean).T, log_p - top, [-8, -4.5, -2, -0.5, 0], cmap="Blues", alpha=0.8)
    marginal.plot(*x.T, ".", color="black", markersize=3)
    marginal.set_title("p(x) = Normal(mu, W W' + sigma² I)", fontsize=13)
    projected = (x - mean) @ direction.T
    for axes, (sigma, means) in zip(panels, limits.items(), strict=True):
        means = to_numpy(means)
        axes.axline(mean, mean + weight, color=GREY)
        for pair in numpy.stack([x, means @ direction + mean], axis=1):
            axes.plot(*pair.T, color=ORANGE, linewidth=0.8)
        axes.plot(*x.T, ".", color="black", markersize=5)
        axes.plot(*(means @ direction + mean).T, ".", color=ORANGE, markersize=6)
        off = abs(means - projected).max()
        axes.set_title(f"W'W = 1, sigma = {sigma:g}: E[z | x] {off:.2g} off W'x", fontsize=12)
    for axes in (conditional, marginal, *panels):
        axes.set(xlim=mean[0] + numpy.array([-reach, reach]), ylim=mean[1] + numpy.array([-reach, reach]))
        axes.set_aspect("equal")
        axes.set(xlabel="$x_1$", ylabel="$x_2$")
    for axes in (prior, conditional, marginal, *panels):
        _plain(axes)
        _large(axes)
    return figure


def dictionaries(models: Mapping[str, Any], x: Any, image_shape: Sequence[int]) -> Figure:
    """X ~ A B, of one image, by several models: the elements B, each times its weight in A, and their weighted sum.

    Red adds ink and blue takes it away; an element is drawn on its own scale, and so are the weights.

    Parameters
    ----------
    models : fitted factorizations with as many elements each, by name
    x, image_shape : the image as a row, (1, D), and its shape (H, W)

    Source: deck, "Learning linear latent variable models"; Hastie, Tibshirani & Friedman (2009), figure 14.33.
    """
    figure = Figure(figsize=(3.6 * len(models), 9.6), layout="constrained", dpi=60)
    panels = figure.subplots(3, len(models), squeeze=False, height_ratios=(5, 2.4, 2.4))
    for column, (name, model) in zip(panels.T, models.items(), strict=True):
        B, A = to_numpy(model.dictionary_), to_numpy(model.transform(x))[0]
        side = math.ceil(math.sqrt(len(B)))
        height, width = image_shape
        elements = numpy.full((side * side, height + 1, width + 1, 1), numpy.nan)
        elements[: len(B), :-1, :-1, 0] = (B / abs(B).max(axis=1, keepdims=True)).reshape(-1, height, width)
        column[0].imshow(image_grid(elements, side)[..., 0], "RdBu_r", vmin=-1, vmax=1)
        column[0].set_title(f"{name}: B, {len(B)} elements", fontsize=13)
        weights = numpy.full(side * side, numpy.nan)
        weights[: len(B)] = A / abs(A).max()
        column[1].imshow(weights.reshape(side, side), "RdBu_r", vmin=-1, vmax=1)
        column[1].set_title(f"A: {(abs(A) > 0.05 * abs(A).max()).sum()} weights above 5 % of the largest", fontsize=11)
        pair = numpy.concatenate([to_numpy(x), to_numpy(model.inverse_transform(model.transform(x)))])
        _show(column[2], image_grid(pair.reshape(2, height, width, 1), 2))
        column[2].set_title("x, and A B + mean", fontsize=13)
        column[2].set_xlabel(f"|x - A B - mean|² = {((pair[0] - pair[1]) ** 2).sum():.1f}")
        for axes in column:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.xaxis.label.set_size(12)
    return figure


def latent_planes(
    codes: Mapping[str, Any], labels: Any, captions: Sequence[str], x: Any, reconstructed: Mapping[str, Any]
) -> Figure:
    """The same images in the 2-D latent spaces of several models, and what each makes of a few of them.

    Parameters
    ----------
    codes, captions : for each model, by name, the rows z, (N, 2); and a line for below each
    labels : (N,), for the colours
    x, reconstructed : a few images (M, H, W, C), and by model what they become

    Source: deck, "Probabilistic PCA" to "Variational Auto-Encoders".
    """
    labels = to_numpy(labels)
    figure = Figure(figsize=(4.6 * len(codes), 9.4), layout="constrained", dpi=80)
    above, below = figure.subfigures(2, 1, height_ratios=(5.4, 4))
    for axes, (name, z), caption in zip(above.subplots(1, len(codes)), codes.items(), captions, strict=True):
        for i, label in enumerate(numpy.unique(labels)):
            points = to_numpy(z)[labels == label]
            axes.scatter(*points.T, s=9, color=colormaps["tab10"](i % 10), alpha=0.7, linewidths=0)
            text = axes.text(*numpy.median(points, axis=0), label, fontsize=15, weight="bold", ha="center", va="center")
            text.set_color(colormaps["tab10"](i % 10))
            text.set_path_effects([withStroke(linewidth=3, foreground="white")])
        axes.set_title(name, fontsize=13)
        axes.set(xlabel=f"$z_1$\n{caption}", ylabel="$z_2$")
        _plain(axes)
        _large(axes)
    axes = below.subplots()
    rows = {"original": to_numpy(x)} | {name: to_numpy(part) for name, part in reconstructed.items()}
    picture = image_grid(numpy.concatenate(list(rows.values())), len(x))
    _show(axes, picture, extent=(0, len(x), 0, len(rows)))
    axes.set_xticks([])
    axes.set_yticks(numpy.arange(len(rows))[::-1] + 0.5, list(rows))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    _large(axes)
    return figure
