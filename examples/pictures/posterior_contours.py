"""Posteriors in the plane, for examples/exact_posterior.py and examples/conditional_models.py."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from scratchvae import to_numpy
from scratchvae.plotting.canvas import BLUE, GREEN, ORANGE, PALE_BLUES, Shades, as_images, enlarge_labels, show

MASSES = (0.99, 0.9, 0.5)
RADIUS = math.sqrt(-2 * math.log(1 - 0.9))  # of 90 % of a Gaussian in the plane, in standard deviations
STYLES = ({"color": ORANGE}, {"color": GREEN, "linestyle": (0, (4, 2))})


def posterior_contours(
    x: Any,
    posteriors: Sequence[Any],
    approximations: Sequence[Mapping[str, Any]],
    titles: Sequence[str],
    title: str,
    name: str = "p(z\\,|\\,x)",
    together: int = 1,
) -> Figure:
    """The exact p(z | x) of a 2-D latent space for each row of x, and Gaussian approximations over it.

    Shades and lines bound the smallest regions of 50, 90 and 99 % of the probability; of an approximation, the region
    of 90 %.

    Parameters
    ----------
    x : images (N, H, W, C), or square ones as rows
    posteriors : for each row what `scratchvae.quadrature.exact_posterior` returns
    approximations : for each row at most two distributions Normal over (1, 2), by name
    titles, title, name : of each panel, of all, and of the posterior
    together : how many panels, side by side, have the same limits
    """
    n_columns, shades = max(2, math.ceil(len(posteriors) / 2)), Shades.of(x)
    n_rows = math.ceil(len(posteriors) / n_columns)
    figure = Figure(figsize=(2.8 * n_columns, 2.85 * n_rows + 0.9), layout="constrained", dpi=110)
    figure.suptitle(title, fontsize=15)
    panels, parts = figure.subplots(n_rows, n_columns, squeeze=False).flat, []
    rows = zip(as_images(x), posteriors, approximations, titles, strict=True)
    for axes, (image, posterior, approximation, panel_title) in zip(panels, rows, strict=False):
        parts.append([_contours(axes, posterior), *_ellipses(axes, approximation)])
        axes.set_aspect("equal")
        axes.set_title(panel_title)
        axes.set(xlabel="$z_1$", ylabel="$z_2$")
        axes.locator_params(nbins=4)
        enlarge_labels(axes)
        axes.title.set_size(12)
        inset = axes.inset_axes((0.02, 0.75, 0.23, 0.23))
        show(inset, image, shades)
        inset.set(xticks=[], yticks=[])
    for i, axes in enumerate(figure.axes):
        if i >= len(parts):
            axes.set_axis_off()
            continue
        points = numpy.concatenate(sum(parts[i - i % together :][:together], []), axis=1)
        low, high = points.min(axis=1), points.max(axis=1)
        middle, reach = (low + high) / 2, 0.68 * (high - low).max()
        axes.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] - reach, middle[1] + reach))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    handles.insert(0, Patch(facecolor=PALE_BLUES[1], edgecolor=BLUE))
    labels.insert(0, f"exact ${name}$: 50, 90, 99 %")
    figure.legend(handles, labels, loc="outside lower center", ncols=min(3, n_columns), frameon=False, fontsize=13)
    return figure


def _contours(axes: Axes, posterior: Any) -> numpy.ndarray:
    """Draw the smallest regions of the posterior's probability, and return the points of the largest.   (2, P)"""
    density = posterior.density
    ordered = numpy.sort(density, axis=None)[::-1]
    mass = numpy.cumsum(ordered) / ordered.sum()
    levels = [ordered[numpy.searchsorted(mass, share)] for share in MASSES]
    axes.contourf(*posterior.axes, density.T, [*levels, density.max()], colors=PALE_BLUES)
    axes.contour(*posterior.axes, density.T, levels, colors=BLUE, linewidths=0.8)
    inside = numpy.argwhere(density >= levels[0]).T
    return numpy.stack([axis[i] for axis, i in zip(posterior.axes, inside, strict=True)])


def _ellipses(axes: Axes, approximation: Mapping[str, Any]) -> list[numpy.ndarray]:
    """Draw each Gaussian's region of 90 % and its mean, and return the points of the regions.   (2, 200) each"""
    angle, ellipses = numpy.linspace(0, 2 * math.pi, 200), []
    for (label, q), style in zip(approximation.items(), STYLES, strict=False):
        mean, std = to_numpy(q.mean)[0], to_numpy(q.std)[0]
        ellipses.append(mean[:, None] + RADIUS * std[:, None] * numpy.stack([numpy.cos(angle), numpy.sin(angle)]))
        axes.plot(*ellipses[-1], linewidth=2, label=label, **style)
        axes.plot(*mean, "+", color=style["color"], markersize=9, markeredgewidth=2)
    return ellipses
