"""The picture of examples/dictionaries.py."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from matplotlib.figure import Figure

from scratchvae import to_numpy
from scratchvae.plotting.canvas import SIGNED, Shades, enlarge_labels, image_grid, show


def dictionaries(models: Mapping[str, Any], x: Any, image_shape: Sequence[int]) -> Figure:
    """X ~ A B, of one image, by several models: the elements B, each times its weight in A, and their weighted sum.

    Red adds ink and blue takes it away; an element is shown on its own scale, and so are the weights. A weight is in
    use if it is above 5 % of the largest.

    Parameters
    ----------
    models : fitted factorizations with as many elements each, by name
    x, image_shape : the image as a row, (1, D), and its shape (H, W)

    Source: deck, "Learning linear latent variable models"; Hastie, Tibshirani & Friedman (2009), figure 14.33.
    """
    shades = Shades.of(x)
    figure = Figure(figsize=(11, 7.5), layout="constrained", dpi=110)
    figure.get_layout_engine().set(h_pad=0.04, w_pad=0.06)
    panels = figure.subplots(3, len(models), squeeze=False, height_ratios=(2.3, 2.3, 1.25))
    for column, (name, model) in zip(panels.T, models.items(), strict=True):
        B, A = to_numpy(model.dictionary_), to_numpy(model.transform(x))[0]
        side = math.ceil(math.sqrt(len(B)))
        height, width = image_shape
        elements = numpy.full((side * side, height + 1, width + 1, 1), numpy.nan)
        elements[: len(B), :-1, :-1, 0] = (B / abs(B).max(axis=1, keepdims=True)).reshape(-1, height, width)
        column[0].imshow(image_grid(elements, side)[..., 0], SIGNED, vmin=-1, vmax=1)
        column[0].set_title(name)
        weights = numpy.full(side * side, numpy.nan)
        weights[: len(B)] = A / abs(A).max()
        colours = column[1].imshow(weights.reshape(side, side), SIGNED, vmin=-1, vmax=1)
        column[1].set_title(f"{(abs(A) > 0.05 * abs(A).max()).sum()} of {len(A)} in use")
        pair = numpy.concatenate([to_numpy(x), to_numpy(model.inverse_transform(model.transform(x)))])
        show(column[2], image_grid(pair.reshape(2, height, width, 1), 2), shades)
        column[2].set_title(f"squared error {((pair[0] - pair[1]) ** 2).sum():.1f}")
        for axes in column:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            enlarge_labels(axes)
    for axes, name in zip(panels[:, 0], ("elements B", "weights A", "x, and\nA B + mean"), strict=True):
        axes.set_ylabel(name)
    bar = figure.colorbar(colours, ax=panels[1], shrink=0.8, pad=0.01)
    bar.set_ticks([-1, 0, 1], labels=["takes\nink away", "0", "adds\nink"])
    bar.ax.tick_params(labelsize=11, length=0)
    bar.outline.set_visible(False)
    return figure
