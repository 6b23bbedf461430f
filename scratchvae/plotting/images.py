"""Figures of images, of their reconstructions, and of images that a model generates.

The package `scratchvae.plotting` describes x, image_shape and shades.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from scratchvae.arrays import as_array
from scratchvae.backend import asarray, to_numpy
from scratchvae.errors import InputError
from scratchvae.plotting.canvas import (
    Shades,
    as_images,
    shades_of_model,
    show_classes,
    show_rows,
    show_sources,
    show_square,
    write_note,
)


def images(x: Any, image_shape: Sequence[int] | None = None, shades: Shades | None = None) -> Figure:
    """Draws images in a square, row by row; `scratchvae.plotting` describes the arguments.

    Raises ShapeError for rows whose size is not that of image_shape, and InputError for no rows, NaN and infinity.
    """
    pictures = as_images(x, image_shape)
    figure = Figure(figsize=(6.4, 6.4), layout="constrained", dpi=150)
    show_square(figure.add_subplot(), pictures, shades or Shades.of(pictures))
    return figure


def samples(
    model: Any,
    n: int = 100,
    seed: int = 0,
    image_shape: Sequence[int] | None = None,
    shades: Shades | None = None,
    draws: bool = False,
    codes: Any = None,
) -> Figure:
    """Draws the means of p(x | z) for n samples z ~ p(z), or for z from `codes`, a mixture by `sv.fit_codes`.

    draws: whether to show draws x ~ p(x | z) instead of the means;   `scratchvae.plotting` describes the others
    """
    asked = {"draws": draws} | ({} if codes is None else {"codes": codes})
    return images(model.sample(n, seed, **asked), image_shape, shades or shades_of_model(model))


def reconstructions(
    model: Any, x: Any, n: int = 10, image_shape: Sequence[int] | None = None, shades: Shades | None = None
) -> Figure:
    """Draws the first n rows of x, and below each the mean of p(x | z) at the mean of q(z | x).

    `scratchvae.plotting` describes the arguments.
    """
    x = as_array("reconstructions", x)[:n]
    originals, x = as_images(x, image_shape), asarray(x, model.device)
    pictures = numpy.concatenate([originals, as_images(model.reconstruct(x), image_shape)])
    figure = Figure(figsize=(0.9 * len(originals) + 1.4, 2.1), layout="constrained", dpi=150)
    show_rows(figure.add_subplot(), pictures, ["original", "reconstruction"], shades or Shades.of(originals))
    return figure


def uncertainty(model: Any, x: Any, n: int = 8, shades: Shades | None = None) -> Figure:
    """Draws n images x, and below each the mean and standard deviation of p(x | z) at the mean of q(z | x).

    x: images (N, H, W, C). The standard deviation is averaged over the channels, and dark pixels have a small one.
    Raises InputError for a model without a standard deviation for each pixel, which needs std="decoder".
    """
    if getattr(model.decoder, "std", None) != "decoder":
        raise InputError("uncertainty", 'a Gaussian likelihood with std="decoder"', str(model.decoder))
    x = as_array("uncertainty", x)[:n]
    originals = as_images(x)
    likelihood = model.decode(model.encode(asarray(x, model.device)).mean)
    pair = numpy.concatenate([originals, as_images(likelihood.mean)])
    std = to_numpy(likelihood.std).mean(axis=-1)
    shades = shades or Shades.of(originals)
    cells = numpy.concatenate([shades.colours(pair), colormaps["magma"](std / std.max())[..., :3]])
    figure = Figure(figsize=(1.0 * len(originals) + 2.6, 3.7), layout="constrained", dpi=120)
    axes = figure.add_subplot()
    show_rows(axes, cells, ["image $x$", "mean of $p(x\\,|\\,z)$", "standard\ndeviation"], Shades())
    axes.set_title("Mean and standard deviation that the decoder gives each pixel", fontsize=14)
    axes.tick_params(labelsize=13)
    write_note(axes, shades.note(pair))
    scale = figure.colorbar(ScalarMappable(Normalize(0, std.max()), "magma"), ax=axes, fraction=0.03, pad=0.01)
    scale.set_label("standard deviation", fontsize=12)
    scale.ax.tick_params(labelsize=11)
    scale.outline.set_visible(False)
    return figure


def class_conditional(
    model: Any, n: int = 8, seed: int = 0, image_shape: Sequence[int] | None = None, shades: Shades | None = None
) -> Figure:
    """Draws the means of p(x | y, z) with a row for each of n samples z ~ p(z), and a column for every class y.

    `scratchvae.plotting` describes image_shape and shades.   Source: deck, "Class-conditional simulation".
    """
    n_classes = _n_classes("class_conditional", model)
    z = model.prior_draws(n, seed)
    y = asarray(numpy.tile(numpy.arange(n_classes), (n, 1)), model.device)
    means = to_numpy(model.decode(z[:, None].repeat(n_classes, axis=1), y).mean)
    pictures = as_images(means.reshape(n * n_classes, -1), image_shape)
    left, width, height = 0.45, 0.6 * n_classes + 0.55, 0.6 * n + 1.02  # inches
    figure = Figure(figsize=(width, height), dpi=160)
    place = (left / width, 0.4 / height, 0.6 * n_classes / width, 0.6 * n / height)
    axes = figure.add_axes(place)
    show_classes(axes, pictures, n_classes, shades or shades_of_model(model))
    axes.set_title("Mean of $p(x\\,|\\,y, z)$ for every class $y$", fontsize=13)
    axes.set_ylabel("one $z \\sim p(z)$ in each row")
    return figure


def analogies(
    model: Any,
    x: Any,
    labels: Any = None,
    image_shape: Sequence[int] | None = None,
    shades: Shades | None = None,
) -> Figure:
    """Draws each row of x, and beside it the means of p(x | y, z) for every class y, at the z of the row.

    z is the mean of q(z | x, y) for the label y of the row or, without labels, for its most probable class.
    `scratchvae.plotting` describes x, image_shape and shades.

    Source: deck, "Style transfer, or visual analogies"; Kingma et al. (2014), figure 1.
    """
    n_classes = _n_classes("analogies", model)
    sources = as_images(x, image_shape)
    n, shades = len(sources), shades or Shades.of(sources)
    means = to_numpy(model.analogies(asarray(x, model.device), labels))
    cell, edge, gap, above, below = 0.6, 0.1, 0.2, 0.62, 0.4  # inches
    width, height = 2 * edge + gap + cell * (n_classes + 1), above + cell * n + below
    figure = Figure(figsize=(width, height), dpi=160)
    left, right = (
        figure.add_axes((start / width, below / height, cell * columns / width, cell * n / height))
        for start, columns in ((edge, 1), (edge + cell + gap, n_classes))
    )
    show_sources(left, sources, shades)
    show_classes(right, as_images(means.reshape(n * n_classes, -1), sources.shape[1:]), n_classes, shades)
    right.set_title("Mean of $p(x\\,|\\,y, z)$ for every class $y$, at the $z$ of the image $x$", fontsize=13)
    return figure


def _n_classes(operation: str, model: Any) -> int:
    if not hasattr(model, "n_classes"):
        raise InputError(operation, "a model with classes", type(model).__name__)
    return model.n_classes
