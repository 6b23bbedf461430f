"""The first picture of examples/conditional_models.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scratchvae import to_numpy
from scratchvae.plotting.canvas import (
    BLUE,
    GREEN,
    ORANGE,
    SIGNED,
    Shades,
    as_images,
    enlarge_labels,
    open_frame,
    show_classes,
    show_sources,
)


def conditional_models(
    x: Any,
    generated: Mapping[str, Any],
    factor: str,
    correlations: Mapping[str, Any],
    bounds: Mapping[str, Mapping[int, Sequence[float]]],
) -> Figure:
    """What models of p(x given y) generate in every class from the z of one image, and what they are worth by data.

    Parameters
    ----------
    x, generated : images (N, H, W, C); and by name what each model generates from their z, (N, classes, ...)
    factor, correlations : a factor of style; and by name, (classes, classes), its correlation between sources of one
        class (rows) and what is generated from their z as another (columns), with the mean over different classes as
        title
    bounds : by name, of log p(x, y) in nats and its standard error, for numbers of images of each class

    Source: deck, "Check-in": "ten independent VAEs (one per class)?"
    """
    x, shades = as_images(x), Shades.of(x)
    n_models, n_classes = len(generated), next(iter(generated.values())).shape[1]
    figure = Figure(figsize=(6 * n_models, 0.5 * len(x) + 5.2), layout="constrained", dpi=100)
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    above, below = figure.subfigures(2, 1, height_ratios=(0.5 * len(x) + 0.9, 4.3))
    sources, *blocks = above.subplots(1, 1 + n_models, width_ratios=(1, *[n_classes] * n_models))
    show_sources(sources, x, shades)
    for axes, (name, pictures) in zip(blocks, generated.items(), strict=True):
        cells = to_numpy(pictures).reshape(len(x) * n_classes, -1)
        show_classes(axes, as_images(cells, x.shape[1:]), n_classes, shades)
        axes.set_title(name, fontsize=15)
    *squares, curve = below.subplots(1, n_models + 1, width_ratios=(*[1] * n_models, 1.3))
    different = ~numpy.eye(n_classes, dtype=bool)
    for axes, (name, values) in zip(squares, correlations.items(), strict=True):
        colours = axes.imshow(values, SIGNED, vmin=-1, vmax=1)
        mean = to_numpy(values)[different].mean()
        axes.set(xlabel="class generated", ylabel="class of the source")
        axes.set(xticks=range(n_classes), yticks=range(n_classes))
        enlarge_labels(axes)
        axes.set_title(f"{name}:\nbetween different classes {mean:.2f}", fontsize=13)
    bar = below.colorbar(colours, ax=squares, location="bottom", shrink=0.6, aspect=40, ticks=[-1, -0.5, 0, 0.5, 1])
    bar.set_label(f"correlation of {factor}, source and generated", fontsize=13)
    bar.ax.tick_params(labelsize=11)
    _bounds(curve, bounds)
    return figure


def _bounds(axes: Axes, bounds: Mapping[str, Mapping[int, Sequence[float]]]) -> None:
    """log p(x, y) against the number of images, a line for each model."""
    for (name, points), color, marker in zip(bounds.items(), (BLUE, ORANGE, GREEN), "osD", strict=False):
        means, errors = zip(*points.values(), strict=True)
        axes.errorbar(list(points), means, errors, color=color, marker=marker, capsize=4, label=name)
    sizes = sorted({size for points in bounds.values() for size in points})
    axes.set(xscale="log", xlabel="training images of each class", ylabel="$\\log\\,p(x, y)$, nats a test image")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_xticks([], minor=True)
    axes.legend(frameon=False, fontsize=12, loc="lower right")
    open_frame(axes)
    enlarge_labels(axes)
