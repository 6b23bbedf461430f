"""Figures of a latent space: the codes of the data, and the images that the decoder makes of points.

The package `scratchvae.plotting` describes image_shape and shades.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from scratchvae import latent_space
from scratchvae.arrays import as_array
from scratchvae.autodiff import no_grad
from scratchvae.backend import asarray, to_numpy
from scratchvae.errors import InputError, ShapeError
from scratchvae.plotting.canvas import (
    CLASS_COLOURS,
    NUMBERED,
    Shades,
    as_images,
    enlarge_labels,
    image_grid,
    letters_on,
    numbers,
    shades_of_model,
    show,
    show_rows,
)

MOST_POINTS = 5000
"""The most points in a scatter plot."""

PRIOR_DRAWS = 10_000
"""The number of draws by which the regions of a prior are found."""

MARKERS = "o^sDvPX"
"""The markers of classes; each marks ten classes, in CLASS_COLOURS."""

MOST_CLASSES = 10 * len(MARKERS)
"""The most classes in a scatter plot."""


def latent_grid(n: int) -> numpy.ndarray:
    """z = F^-1((i + 1/2) / n), i = 0, ..., n - 1, along both axes, the centres of cells of equal prior probability.

    F is the distribution function of Normal(0, 1). float32, (n, n, 2); z1 grows to the right, z2 upwards.
    """
    from scipy.special import ndtri

    z = ndtri((numpy.arange(n) + 0.5) / n).astype(numpy.float32)
    return numpy.stack(numpy.meshgrid(z, z[::-1]), axis=-1)


def decoder_manifold(
    model: Any, image_shape: Sequence[int] | None = None, n: int = 20, shades: Shades | None = None
) -> Figure:
    """Draws the mean of p(x | z) over a grid of z whose cells have equal prior probability, for a 2-D latent space.

    If the prior is not Normal(0, I), the cells have equal size instead, and cover the middle 98 % of the prior's draws
    in each unit.

    `scratchvae.plotting` describes image_shape and shades. Raises InputError for a latent space of another dimension.

    Source: deck, 'The "hello world" of deep generative models'; Kingma & Welling (2014),
    figure 4.
    """
    from scipy.special import ndtr

    if model.latent_size != 2 or hasattr(model, "n_classes"):
        received = f"a {model.latent_size}-D one" + (" with classes" if hasattr(model, "n_classes") else "")
        raise InputError("decoder_manifold", "a 2-D latent space", received, "plotting.samples draws any")
    standard = model.has_standard_prior
    z, extent = (latent_grid(n), (0, 1, 0, 1)) if standard else _even_grid(model, n)
    means = as_images(model.decode(asarray(z.reshape(-1, 2), model.device)).mean, image_shape)
    figure = Figure(figsize=(6.4, 6.6), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    show(axes, image_grid(means, n), shades or shades_of_model(model), extent=extent)
    if standard:
        ticks = numpy.array([-1.5, -1, -0.5, 0, 0.5, 1, 1.5])
        axes.set_xticks(ndtr(ticks), [f"${tick:g}$" for tick in ticks])
        axes.set_yticks(ndtr(ticks), [f"${tick:g}$" for tick in ticks])
    else:
        axes.set_aspect("auto")  # a cell is an image, whatever its sides are in z
        axes.xaxis.set_major_locator(MaxNLocator(7))
        axes.yaxis.set_major_locator(MaxNLocator(7))
    axes.set(xlabel="$z_1$", ylabel="$z_2$")
    cells = "cells of equal prior probability" if standard else "cells of equal size"
    axes.set_title(f"Mean of $p(x\\,|\\,z)$, {cells}", fontsize=12)
    enlarge_labels(axes)
    return figure


def _even_grid(model: Any, n: int) -> tuple[numpy.ndarray, tuple[float, float, float, float]]:
    """Returns the centres of n x n equal cells, and the borders, between which 98 % of the prior's draws lie.

    float32, (n, n, 2); left, right, bottom, top
    """
    low, high = numpy.quantile(to_numpy(model.prior_draws(PRIOR_DRAWS)), [0.01, 0.99], axis=0)
    x, y = (a + (b - a) * (numpy.arange(n) + 0.5) / n for a, b in zip(low, high, strict=True))
    grid = numpy.stack(numpy.meshgrid(x, y[::-1]), axis=-1).astype(numpy.float32)
    return grid, (float(low[0]), float(high[0]), float(low[1]), float(high[1]))


def _draw_prior(axes: Axes, model: Any, n: int = 200) -> None:
    """Draws contours of p(z) around the densest regions that hold 50, 90 and 99 % of the prior's mass."""
    draws = model.prior_draws(PRIOR_DRAWS)
    points = to_numpy(draws)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.1 * (high - low)
    x, y = (numpy.linspace(a, b, n, dtype=points.dtype) for a, b in zip(low - margin, high + margin, strict=True))
    grid = numpy.stack(numpy.meshgrid(x, y), axis=-1)
    with no_grad():
        log_p = to_numpy(model.prior.log_prob(draws))
        on_grid = numpy.stack([to_numpy(model.prior.log_prob(asarray(row, model.device))) for row in grid])
    levels = numpy.unique(numpy.quantile(log_p, [1 - share for share in (0.99, 0.9, 0.5)]))
    axes.contour(
        x, y, on_grid, levels=levels, colors="dimgrey", linewidths=0.8, linestyles=("dotted", "dashed", "solid")
    )


# ---- the codes of the data


def latent_scatter(model: Any, x: Any, labels: Any = None) -> Figure:
    """Draws the means of q(z | x) of at most 5,000 rows, evenly chosen, coloured by label.

    Of more than two latent units, the two with the largest variances of the means are shown; the axes name them.
    Labels are classes, whose names are written near the median of their points. Labels that are fractions, or more
    than 70 different numbers, get a colour scale. Rows with the label NaN or infinity are grey.

    With two units and a prior other than Normal(0, I), lines surround the densest regions of p(z) that hold 50 %
    (solid), 90 % (dashed) and 99 % (dotted) of it.

    Raises InputError for no rows, for fewer than two latent units, and for more than 70 classes of words; and
    ShapeError unless there is a label for each row.
    """
    x = as_array("latent_scatter", x)
    if len(x) == 0:
        raise InputError("latent_scatter", "at least one row", "none")
    step = math.ceil(len(x) / MOST_POINTS)
    means = numbers("latent_scatter", model.encode(asarray(x[::step], model.device)).mean)
    if means.shape[1] < 2:
        raise InputError("latent_scatter", "at least two latent units", str(means.shape[1]))
    variances = means.var(axis=0)
    first, second = sorted(numpy.argsort(-variances, kind="stable")[:2])
    means = means[:, [first, second]]
    figure = Figure(figsize=(7.2, 6.4), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    if labels is None:
        axes.scatter(*means.T, s=5, color=CLASS_COLOURS[0], alpha=0.7, linewidths=0)
    else:
        labels = to_numpy(labels)
        if labels.shape != (len(x),):
            raise ShapeError("latent_scatter", f"labels of shape ({len(x)},), one for each row", str(labels.shape))
        _scatter_labelled(axes, means, labels[::step])
    title = "Means of $q(z\\,|\\,x)$"
    if model.latent_size == 2 and not model.has_standard_prior:
        _draw_prior(axes, model)
        title += ", and the densest 50, 90 and 99 % of $p(z)$"
    for axis, unit in ((axes.xaxis, first), (axes.yaxis, second)):
        note = f"  (of {len(variances)} units; variance {variances[unit]:.2g})" if len(variances) > 2 else ""
        axis.set_label_text(f"mean of $z_{{{unit + 1}}}${note}")
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_title(title, fontsize=12)
    enlarge_labels(axes)
    return figure


def _scatter_labelled(axes: Axes, points: numpy.ndarray, labels: numpy.ndarray) -> None:
    """Draws points (N, 2) in the colours of their labels, with a legend of classes or a scale of numbers."""
    known = numpy.isfinite(labels) if labels.dtype.kind == "f" else numpy.ones(len(labels), dtype=bool)
    if not known.all():
        axes.scatter(*points[~known].T, s=5, color="lightgrey", linewidths=0, label="no label")
    points, labels = points[known], labels[known]
    if labels.dtype.kind == "O":
        labels = labels.astype(str)
    classes = numpy.unique(labels)
    fractions = labels.dtype.kind == "f" and (labels != numpy.round(labels)).any()
    if fractions or (len(classes) > MOST_CLASSES and labels.dtype.kind in "iuf"):
        shown = axes.scatter(*points.T, s=5, c=labels, cmap=NUMBERED, linewidths=0)
        axes.figure.colorbar(shown, ax=axes, label="label", shrink=0.8)
        return
    if len(classes) > MOST_CLASSES:
        raise InputError("latent_scatter", f"at most {MOST_CLASSES} classes", str(len(classes)))
    names = [str(int(label) if labels.dtype.kind == "f" else label) for label in classes]
    names = [(name if len(name) <= 20 else f"{name[:19]}…").replace("$", "\\$") for name in names]
    groups = [points[labels == label] for label in classes]
    for i, (group, name) in enumerate(zip(groups, names, strict=True)):
        look = {"color": CLASS_COLOURS[i % 10], "marker": MARKERS[i // 10]}
        axes.scatter(*group.T, s=9, alpha=0.8, linewidths=0, label=name, **look)
    if len(classes) > 1 or not known.all():
        columns = max(1, math.ceil(len(classes) / 20))
        beside = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
        axes.legend(title="label", markerscale=3 if columns == 1 else 2.5, ncols=columns, frameon=False, **beside)
        axes.figure.set_figwidth(7.2 + 0.8 * (columns - 1))
    if len(classes) > 1:
        name_groups(axes, groups, names, inches=5)


def name_groups(
    axes: Axes, groups: Sequence[numpy.ndarray], names: Sequence[str], inches: float, size: int = 16
) -> None:
    """Writes each name on the point of its group (N, 2) nearest to the median that covers no other name.

    The name has a box in the colour of the group. A name without such a point is in the legend alone. inches: the
    length of the axes; size: the size of the letters in points, reduced to 11 for many or long names.
    """
    size, room = (size, 0.15) if len(groups) <= 10 and max(map(len, names)) <= 3 else (11, 0.05)
    inch = 1.1 * max(numpy.ptp(numpy.concatenate(groups), axis=0).max() / inches, 1e-6)  # in units of the data
    spots: list[numpy.ndarray] = []
    boxes: list[numpy.ndarray] = []
    for i, (points, name) in enumerate(zip(groups, names, strict=True)):
        box = inch * size / 72 * (numpy.array([0.75 * len(name), 1.1]) + 2 * room)
        free = numpy.ones(len(points), dtype=bool)
        for spot, other in zip(spots, boxes, strict=True):
            free &= (abs(points - spot) > (box + other) / 2).any(axis=1)
        if free.any():
            distances = numpy.linalg.norm(points - numpy.median(points, axis=0), axis=1)
            spots.append(points[numpy.where(free, distances, numpy.inf).argmin()])
            boxes.append(box)
            fill = CLASS_COLOURS[i % 10]
            frame = {"boxstyle": f"round,pad={room}", "facecolor": fill, "edgecolor": "white"}
            text = axes.text(*spots[-1], name, fontsize=size, weight="bold", ha="center", va="center", bbox=frame)
            text.set_color(letters_on(fill))


# ---- images along lines and arcs


def attribute_traversal(
    model: Any,
    z: Any,
    directions: Mapping[str, Any],
    amounts: Sequence[float] = (-1.5, -1, -0.5, 0, 0.5, 1, 1.5),
    image_shape: Sequence[int] | None = None,
    shades: Shades | None = None,
) -> Figure:
    """Draws the mean of p(x | z + a v), with a named row for each direction v, and a column for each amount a.

    z: a point, a NumPy array (K,);   directions: name -> NumPy array (K,), as from
    `scratchvae.latent_space.mean_difference`;   `scratchvae.plotting` describes image_shape and shades.

    Source: deck, "Perturbations in latent space".
    """
    a = numpy.array(amounts, dtype=numpy.float32)
    rows = [latent_space.traversal(z, direction, a) for direction in directions.values()]
    names = [name.replace("_", " ") for name in directions]
    columns = [f"{amount:+g}" if amount else "z" for amount in amounts]
    title = "Mean of $p(x\\,|\\,z + a v)$ along the direction $v$ of each attribute"
    return _decoded_rows(model, rows, names, columns, title, image_shape, shades)


def interpolation(
    model: Any,
    starts: Any,
    ends: Any,
    n: int = 9,
    image_shape: Sequence[int] | None = None,
    shades: Shades | None = None,
) -> Figure:
    """Draws the mean of p(x | z) at n points from each start to its end, (P, K): along a line, and below it on an arc.

    `scratchvae.plotting` describes image_shape and shades. Raises the errors of `spherical_interpolation`.

    Source: White (2016), "Sampling generative networks".
    """
    interpolations = latent_space.linear_interpolation, latent_space.spherical_interpolation
    ways = [interpolate(starts, ends, n) for interpolate in interpolations]
    rows = [way[i] for i in range(len(starts)) for way in ways]
    names, columns = ["line", "arc"] * len(starts), [f"{t:.2g}" for t in numpy.linspace(0, 1, n)]
    title = "Mean of $p(x\\,|\\,z(t))$"
    return _decoded_rows(model, rows, names, columns, title, image_shape, shades)


def unit_sweep(
    model: Any,
    z: Any,
    units: Sequence[int],
    values: Sequence[float] = (-3, -2, -1, 0, 1, 2, 3),
    image_shape: Sequence[int] | None = None,
    shades: Shades | None = None,
) -> Figure:
    """Draws the mean of p(x | z) with one unit of z set to each of the values, one row per unit.

    z: a point, a NumPy array (K,);   `scratchvae.plotting` describes image_shape and shades.
    """
    v = numpy.array(values, dtype=numpy.float32)
    rows = [latent_space.sweep(z, unit, v) for unit in units]
    names, columns = [f"$z_{{{unit + 1}}}$" for unit in units], [f"{value:g}" for value in values]
    title = "Mean of $p(x\\,|\\,z)$, one unit of $z$ set"
    return _decoded_rows(model, rows, names, columns, title, image_shape, shades)


def _decoded_rows(
    model: Any,
    rows: Sequence[Any],
    names: Sequence[str],
    columns: Sequence[str],
    title: str,
    image_shape: Sequence[int] | None,
    shades: Shades | None,
) -> Figure:
    """Draws decoder means of rows of points, (T, K) each, with row names on the left and column names below."""
    if not rows or any(row.shape != (len(columns), model.latent_size) for row in rows):
        received = ", ".join(str(row.shape) for row in rows) or "none"
        raise ShapeError("rows of images", f"rows of {len(columns)} points of {model.latent_size} units", received)
    n = len(columns)
    pictures = as_images(model.decode(asarray(numpy.concatenate(rows), model.device)).mean, image_shape)
    cell, left, below, above = 0.95, 0.25 + 0.095 * max(map(len, names)), 0.5, 0.45  # inches
    width, height = left + cell * n + 0.1, below + cell * len(rows) + above
    figure = Figure(figsize=(width, height), dpi=150)
    axes = figure.add_axes((left / width, below / height, cell * n / width, cell * len(rows) / height))
    show_rows(axes, pictures, names, shades or shades_of_model(model))
    axes.set_xticks(numpy.arange(n) + 0.5, columns)
    axes.set_title(title, fontsize=12)
    return figure
