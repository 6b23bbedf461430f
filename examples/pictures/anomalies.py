"""The picture of examples/anomalies.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy
from matplotlib.figure import Figure

from scratchvae.plotting.canvas import BLUE, GREEN, ORANGE, Shades, enlarge_labels, open_frame, show_rows


def anomalies(images: Mapping[str, Any], scores: Mapping[str, Mapping[str, Any]], areas: Mapping[str, Any]) -> Figure:
    """Images of the data that a model was trained on and of others, and how it scores them, in several ways.

    Parameters
    ----------
    images : of every set by name, (n, H, W, 1); the first set is the one that the model was trained on
    scores : for each of three ways, by name, the scores of every set by name, (N,)
    areas : for each way, by name, the AUC of every other set: how probably its images score lower
    """
    own = next(iter(images))
    figure = Figure(figsize=(11, 7.4), layout="constrained", dpi=120)
    figure.suptitle(f"How usual does a VAE of {own} find images of other kinds?", fontsize=15)
    panels = figure.subplots(2, 2).ravel()
    pictures = numpy.concatenate(list(images.values()))
    show_rows(panels[0], pictures, list(images), Shades.of(pictures))
    panels[0].set_title(f"Test images; the model was trained on {own}", fontsize=13)
    for axes, (way, of_sets) in zip(panels[1:], scores.items(), strict=True):
        parts = [numpy.asarray(part) for part in of_sets.values()]
        low = min(float(numpy.quantile(part, 0.01)) for part in parts)
        high = max(float(numpy.quantile(part, 0.995)) for part in parts)
        bins = numpy.linspace(low, high, 61)
        for name, part, color in zip(of_sets, parts, (BLUE, ORANGE, GREEN), strict=True):
            label = f"{name}: AUC {areas[way][name]:.2f}" if name in areas[way] else name
            inside = numpy.clip(part, low, high)  # what is lower or higher is counted in the outermost bins
            look = {"facecolor": (color, 0.4), "edgecolor": color, "linewidth": 1.5}
            axes.hist(inside, bins, histtype="stepfilled", label=label, **look)
        axes.set(xlabel="nats per image; the higher, the more usual", ylabel="test images")
        axes.set_title(f"Score: {way}", fontsize=13)
        axes.legend(frameon=False, fontsize=12)
        open_frame(axes)
        enlarge_labels(axes)
    return figure
