"""The pictures of examples/pca_ppca.py."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from scratchvae import to_numpy
from scratchvae.plotting.canvas import BLUE, GREY, ORANGE, enlarge_labels, open_frame


def principal_subspaces(plane: Any, space: Any, models: Sequence[Any], errors: Mapping[str, Any]) -> Figure:
    """PCA as the line nearest to rows (N, 2) and the plane nearest to rows (N, 3), and two ways of finding it.

    Parameters
    ----------
    plane, space : rows, (N, 2) and (N, 3)
    models : PCA with one component, fitted to the first, and with two, fitted to the second
    errors : of each way of alternating minimisation, by name, ||X - Z W'||^2 after its steps, over the smallest

    Source: deck, "PCA: basic example" and "Aside: finding a PCA solution".
    """
    figure = Figure(figsize=(11, 4.3), layout="constrained", dpi=120)
    figure.get_layout_engine().set(w_pad=0.08)
    cells = figure.add_gridspec(1, 3, width_ratios=(1, 1.2, 1))
    line, solid, curves = (figure.add_subplot(cells[i], projection="3d" if i == 1 else None) for i in range(3))
    for axes, rows, model in ((line, plane, models[0]), (solid, space, models[1])):
        rows, mean, axis = (to_numpy(part) for part in (rows, model.mean_, model.components_))
        near = to_numpy(model.inverse_transform(model.transform(rows)))
        for pair in numpy.stack([rows, near], axis=1):
            axes.plot(*pair.T, color=GREY, linewidth=1)
        axes.plot(*rows.T, "o", color=BLUE, markersize=4.5, label="row $x$")
        axes.plot(*near.T, "o", color=ORANGE, markersize=3.5, label="nearest point")
        reach = 1.1 * abs((rows - mean) @ axis.T).max(axis=0)
        if axes is line:
            axes.axline(mean, mean + axis[0], color=ORANGE, linewidth=2, zorder=1)
            axes.set_aspect("equal", adjustable="datalim")
            axes.set(xlabel="$x_1$", ylabel="$x_2$")
        else:
            corners = numpy.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * reach @ axis + mean
            axes.plot_surface(*corners.T.reshape(3, 2, 2), color=ORANGE, alpha=0.25)
            _look_along(axes, axis)
        axes.set_title(f"The nearest {'line' if axes is line else 'plane'}: {axis.shape[1]} columns, K = {len(axis)}")
    line.legend(frameon=False, fontsize=11, loc="lower right", handletextpad=0.1)
    for (name, values), color, style in zip(errors.items(), (ORANGE, BLUE), ("-s", "-o"), strict=False):
        curves.plot(numpy.arange(len(values)) / 2 + 0.5, values, style, color=color, label=name, markersize=5)
    curves.set(yscale="log", xlabel="steps: half for z, half for W", ylabel="error / error of the SVD")
    curves.set_ylim(top=10 * max(map(max, errors.values())))  # room for the legend
    curves.set_xticks(range(0, len(values) // 2 + 1, 2))
    curves.set_title("Alternating minimisation")
    curves.legend(frameon=False, fontsize=11, loc="upper right")
    for axes in (line, curves):
        open_frame(axes)
        enlarge_labels(axes)
    solid.title.set_size(13)
    return figure


def _look_along(axes: Any, plane: numpy.ndarray) -> None:
    """Turn axes of three dimensions so that one looks, from 15 degrees above, along the plane that two rows span."""
    x, y, z = numpy.cross(*plane)
    tilt, height = math.sin(math.radians(25)), math.radians(15)  # the line of sight is 25 degrees off the plane
    cosine = (tilt - z * math.sin(height)) / (math.hypot(x, y) * math.cos(height))
    azimuth = math.atan2(y, x) + math.acos(max(-1, min(1, cosine)))
    axes.view_init(math.degrees(height), math.degrees(azimuth))
    axes.set(xticklabels=[], yticklabels=[], zticklabels=[])
    for axis, name in ((axes.xaxis, "$x_1$"), (axes.yaxis, "$x_2$"), (axes.zaxis, "$x_3$")):
        axis.set_label_text(name, fontsize=13)
        axis.labelpad = -12
    axes.zaxis.set_rotate_label(False)  # else it stands on its head
    axes.set_aspect("equal")
    axes.set_box_aspect(None, zoom=1.15)


def generative_view(model: Any, x: Any, z: float, limits: Mapping[float, Any]) -> Figure:
    """PPCA with K = 1 and D = 2: p(z), p(x | z) for one z, p(x); and E[z | x], back in the plane, as sigma goes to 0.

    Parameters
    ----------
    model : PPCA with one component, fitted to rows (N, 2)
    x, z : rows, (N, 2), and a value of the latent variable
    limits : for three sigma what E[z | x] is for the rows x, (N, 1), where W'W = 1

    Source: deck, "Probabilistic PCA" and "Probabilistic PCA: Generative viewpoint"; Bishop (2006), figure 12.9.
    """
    figure = Figure(figsize=(11, 7.2), layout="constrained", dpi=120)
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
    (prior, conditional, marginal), panels = figure.subplots(2, 3)
    x, mean, weight, direction = (to_numpy(p) for p in (x, model.mean_, model.weight_[:, 0], model.components_))
    line = numpy.linspace(-3.2, 3.2, 201)
    density = numpy.exp(-0.5 * line**2) / math.sqrt(2 * math.pi)
    prior.plot(line, density, color=BLUE, linewidth=2)
    prior.plot([z, z], [0, math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)], "--", color=ORANGE, linewidth=2)
    prior.set(xlabel="$z$", ylabel="density", ylim=(0, 0.45), box_aspect=1)
    prior.text(z + 0.15, 0.21, f"$z = {z:g}$", color=ORANGE, fontsize=13)
    prior.set_title("$p(z) = $Normal$(0, 1)$")
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
    conditional.annotate("$\\mu$", mean, (-14, 8), textcoords="offset points", color=GREY, fontsize=14)
    conditional.annotate("$W z + \\mu$", point, (14, -44), textcoords="offset points", color=ORANGE, fontsize=14)
    conditional.set_title(f"$p(x\\,|\\,z = {z:g}) = $Normal$(W z + \\mu, \\sigma^2 I)$")
    log_p = to_numpy(model.score_samples(grid.reshape(-1, 2))).reshape(201, 201)
    top = log_p.max()
    levels = [-8, -4.5, -2, -0.5, 0]  # the lines are at 4, 3, 2 and 1 standard deviations
    marginal.contourf(*(axis[:, None] + mean).T, log_p - top, levels, cmap="Blues", alpha=0.8)
    marginal.plot(*x.T, ".", color="black", markersize=5)
    marginal.set_title("$p(x) = $Normal$(\\mu, W W' + \\sigma^2 I)$")
    projected = (x - mean) @ direction.T
    for axes, (sigma, means) in zip(panels, limits.items(), strict=True):
        means = to_numpy(means)
        axes.axline(mean, mean + weight, color=GREY)
        for pair in numpy.stack([x, means @ direction + mean], axis=1):
            axes.plot(*pair.T, color=ORANGE, linewidth=1)
        axes.plot(*x.T, ".", color="black", markersize=6, label="row $x$")
        axes.plot(*(means @ direction + mean).T, ".", color=ORANGE, markersize=7, label="$W\\,E[z\\,|\\,x] + \\mu$")
        off = abs(means - projected).max()
        axes.set_title(f"$W'W = 1$, $\\sigma = {sigma:g}$:\nat most {off:.2g} from PCA")
    panels[0].legend(frameon=False, fontsize=11, loc="lower right", handletextpad=0.1)
    for axes in (conditional, marginal, *panels):
        axes.set(xlim=mean[0] + numpy.array([-reach, reach]), ylim=mean[1] + numpy.array([-reach, reach]))
        axes.set_aspect("equal")
        axes.set(xlabel="$x_1$", ylabel="$x_2$")
        axes.xaxis.set_major_locator(MultipleLocator(2))
    for axes in (prior, conditional, marginal, *panels):
        open_frame(axes)
        enlarge_labels(axes)
    return figure
