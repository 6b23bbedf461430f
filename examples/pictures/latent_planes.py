"""Codes and reconstructions in 2-D latent spaces, for examples/pca_and_vae.py and examples/conditional_models.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from matplotlib.figure import Figure

from scratchvae import to_numpy
from scratchvae.plotting.canvas import CLASS_COLOURS, Shades, enlarge_labels, open_frame, show_rows
from scratchvae.plotting.latent import name_groups

WIDTH = 11  # inches


def latent_planes(
    codes: Mapping[str, Any], labels: Any, captions: Sequence[str], x: Any, reconstructed: Mapping[str, Any]
) -> Figure:
    """The same images in the 2-D latent spaces of several models, and what each makes of a few of them.

    Parameters
    ----------
    codes, captions : for each model, by name, the rows z, (N, 2); and a line to stand above each
    labels : (N,), for the colours
    x, reconstructed : a few images (M, H, W, C), and by model what they become

    Source: deck, "Probabilistic PCA" to "Variational Auto-Encoders".
    """
    labels = to_numpy(labels)
    classes = numpy.unique(labels)
    side, n_rows = WIDTH / len(codes), 1 + len(reconstructed)
    heights = (side + 0.65, 0.9 * n_rows)
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained", dpi=110)
    above, below = figure.subfigures(2, 1, height_ratios=heights)
    panels = above.subplots(1, len(codes), squeeze=False)[0]
    for axes, (name, z), caption in zip(panels, codes.items(), captions, strict=True):
        groups = [to_numpy(z)[labels == label] for label in classes]
        for i, points in enumerate(groups):
            axes.scatter(*points.T, s=7, color=CLASS_COLOURS[i % 10], alpha=0.8, linewidths=0)
        points = to_numpy(z)
        middle, reach = (points.max(axis=0) + points.min(axis=0)) / 2, 0.53 * numpy.ptp(points, axis=0).max()
        axes.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] - reach, middle[1] + reach), box_aspect=1)
        name_groups(axes, groups, [str(label) for label in classes], inches=side - 0.9, size=12)
        axes.set_title(f"{name}\n{caption}")
        axes.set(xlabel="$z_1$", ylabel="$z_2$")
        axes.locator_params(nbins=5)
        open_frame(axes)
        enlarge_labels(axes)
        axes.title.set_size(12)
    rows = {"original": to_numpy(x)} | {name: to_numpy(part) for name, part in reconstructed.items()}
    show_rows(below.subplots(), numpy.concatenate(list(rows.values())), list(rows), Shades.of(x))
    return figure
