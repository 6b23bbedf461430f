"""Codes and reconstructions in 2-D latent spaces, for examples/pca_and_vae.py and examples/conditional_models.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from matplotlib.figure import Figure

from scratchvae import to_numpy
from scratchvae.plotting.canvas import CLASS_COLOURS, Shades, enlarge_labels, open_frame, show_rows
from scratchvae.plotting.latent import name_groups


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
    classes = numpy.unique(labels)
    figure = Figure(figsize=(4.6 * len(codes), 9.4), layout="constrained", dpi=80)
    above, below = figure.subfigures(2, 1, height_ratios=(5.4, 4))
    panels = above.subplots(1, len(codes), squeeze=False)[0]
    for axes, (name, z), caption in zip(panels, codes.items(), captions, strict=True):
        groups = [to_numpy(z)[labels == label] for label in classes]
        for i, points in enumerate(groups):
            axes.scatter(*points.T, s=9, color=CLASS_COLOURS[i % 10], alpha=0.7, linewidths=0)
        name_groups(axes, groups, [str(label) for label in classes], inches=3.5)
        axes.set_title(name, fontsize=13)
        axes.set(xlabel=f"$z_1$\n{caption}", ylabel="$z_2$")
        open_frame(axes)
        enlarge_labels(axes)
    rows = {"original": to_numpy(x)} | {name: to_numpy(part) for name, part in reconstructed.items()}
    show_rows(below.subplots(), numpy.concatenate(list(rows.values())), list(rows), Shades.of(x))
    return figure
