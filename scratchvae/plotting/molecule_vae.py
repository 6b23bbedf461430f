"""Figures of a MoleculeVAE: its strings as structural formulas, and the properties that it predicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from matplotlib.figure import Figure

from scratchvae.backend import to_numpy
from scratchvae.chemistry import why_invalid
from scratchvae.errors import InputError
from scratchvae.plotting.canvas import BLUE, GREY, NUMBERED, enlarge_labels, numbers, open_frame
from scratchvae.plotting.molecules import molecules

MOST_POINTS = 2000
"""The most points in a scatter plot."""


def molecule_samples(model: Any, n: int = 20, seed: int = 0) -> Figure:
    """Draws n strings from z ~ p(z), each with the first property predicted from z; invalid strings appear as text."""
    z = model.prior_draws(n, seed)
    title = "Strings decoded from $z \\sim p(z)$"
    return molecules(model.write(z), _predictions(model, z), title=title)


def molecule_reconstructions(model: Any, x: Sequence[str], n: int = 5) -> Figure:
    """Draws the first n molecules of x, and below them the strings at the means of q(z | x)."""
    x = [str(each) for each in x[:n]]
    written = model.reconstruct(x)
    same = ["exact" if a == b else "" for a, b in zip(x, written, strict=True)]
    title = "Molecules $x$, and the string at the mean of each $q(z\\,|\\,x)$ below it"
    return molecules([*x, *written], ["$x$"] * len(x) + same, len(x), title)


def molecule_interpolation(model: Any, pairs: Sequence[tuple[str, str]], n: int = 4) -> Figure:
    """Draws, for each pair of molecules, both of them, and between them the strings at n points of the arc of z.

    Raises InputError for no pairs.
    """
    if not pairs:
        raise InputError("molecule_interpolation", "at least one pair of molecules", "none")
    rows = [[start, *model.interpolate(start, end, n), end] for start, end in pairs]
    captions = ["$x$", *[""] * n, "$x$"] * len(rows)
    title = "Two molecules $x$, and what is decoded on the arc between their codes"
    return molecules([each for row in rows for each in row], captions, n + 2, title)


def molecule_neighbours(
    model: Any, x: str, n: int = 14, draws: int = 400, spread: float = 0.5, seed: int = 0
) -> Figure:
    """Draws x, and the n molecules decoded most often from `draws` samples of z around its code, by `model.near`.

    The caption of a molecule is its number of draws. Strings that are no molecules are left out.
    """
    counts = Counter(each for each in model.near(x, draws, spread, seed) if why_invalid(each) is None)
    frequent = counts.most_common(n)
    captions = ["$x$", *(f"{count} of {draws}" for _, count in frequent)]
    title = f"A molecule $x$, and the molecules decoded most often from {draws} draws around its code"
    return molecules([x, *(each for each, _ in frequent)], captions, 5, title)


def latent_by_property(model: Any, x: Sequence[str], properties: Mapping[str, Any]) -> Figure:
    """Draws the means of q(z | x), coloured by each property, in the plane in which the property varies most.

    The horizontal axis is the direction w of the least-squares fit t = w'z + b. The vertical axis is the direction with
    the largest variance among those orthogonal to w. At most 2,000 rows with a known property are shown.

    Raises InputError if no property has different values.
    """
    varied = varied_properties(properties)
    if not varied:
        raise InputError("latent_by_property", "a property with different values", ", ".join(properties) or "none")
    figure = Figure(figsize=(4.2 * len(varied), 4.6), layout="constrained", dpi=100)
    for axes, name in zip(figure.subplots(1, len(varied), squeeze=False)[0], varied, strict=True):
        rows = _known_rows(properties[name])
        t = numpy.asarray(properties[name])[rows]
        z = numbers("latent_by_property", model.encode(numpy.asarray(x)[rows]).mean)
        z = z - z.mean(axis=0)
        w = numpy.linalg.lstsq(z, t - t.mean(), rcond=None)[0]
        w = w / (numpy.linalg.norm(w) or 1.0)
        second = numpy.linalg.svd(z - numpy.outer(z @ w, w), full_matrices=False)[2][0]
        points = axes.scatter(z @ w, z @ second, c=t, s=6, cmap=NUMBERED, linewidths=0)
        bar = figure.colorbar(points, ax=axes, location="bottom", aspect=30)
        bar.set_label(name, fontsize=14)
        bar.ax.tick_params(labelsize=12)
        axes.set(xlabel=f"code along the direction of {name}", ylabel="code across it")
        if (z @ w).std() > 0:
            axes.set_title(f"{name}: correlation {numpy.corrcoef(z @ w, t)[0, 1]:.2f}")
        open_frame(axes)
        enlarge_labels(axes)
    return figure


def property_scatter(model: Any, x: Sequence[str], properties: Mapping[str, Any]) -> Figure:
    """Draws E[t | z] at the mean of q(z | x) against t for each common property, of at most 2,000 known rows.

    Raises InputError if no property of the model has a known value.
    """
    names = [name for name in model.property_names if numpy.isfinite(properties.get(name, numpy.nan)).any()]
    if not names:
        received = ", ".join(properties) or "none"
        raise InputError(
            "property_scatter", f"a property among {', '.join(model.property_names) or '(none)'}", received
        )
    figure = Figure(figsize=(4.2 * len(names), 4.2), layout="constrained", dpi=150)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        rows = _known_rows(properties[name])
        t, mean = numpy.asarray(properties[name])[rows], to_numpy(model.predict(numpy.asarray(x)[rows])[name])
        ends = [min(t.min(), mean.min()), max(t.max(), mean.max())]
        axes.plot(ends, ends, color=GREY, linewidth=1, zorder=0)
        axes.scatter(t, mean, s=5, color=BLUE, alpha=0.5, linewidths=0)
        axes.set(xlabel=name, ylabel="predicted", aspect="equal")
        axes.set_title(f"mean absolute error {abs(t - mean).mean():.3g}", fontsize=11)
        enlarge_labels(axes)
    return figure


def varied_properties(properties: Mapping[str, Any]) -> list[str]:
    """Returns the names of the properties that have different known values."""
    return [name for name, t in properties.items() if len(numpy.unique(numpy.asarray(t)[numpy.isfinite(t)])) > 1]


def _known_rows(t: Any) -> numpy.ndarray:
    """Selects at most 2,000 rows whose property is known, evenly chosen."""
    known = numpy.flatnonzero(numpy.isfinite(t))
    return known[:: -(-len(known) // MOST_POINTS)]


def _predictions(model: Any, z: Any) -> list[str] | None:
    if model.property_decoder is None:
        return None
    name, values = next(iter(model.predict_at(z).items()))
    return [f"{name} {value:.2f}" for value in to_numpy(values)]
