"""The second picture of examples/analogies.py; the first is `scratchvae.plotting.analogies`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy
from matplotlib.figure import Figure

from scratchvae.plotting.canvas import BLUE, ORANGE, enlarge_labels, open_frame

UNITS = {"slant": "offset per height", "lean": "radians", "thickness": "pixels"}


def style_transfer(
    known: Mapping[str, Any], read: Mapping[str, Any], labels: Any, r_squared: Mapping[str, float]
) -> Figure:
    """Style factors of source images against those read off the digits generated from their z as every other class.

    By name: known, the factor of each source, (N,); read, that of each generated digit, (N, C), with r_squared between
    the two, for the title. labels: the sources' classes. Points on the line have the same style as their source.
    """
    n_classes = next(iter(read.values())).shape[1]
    other = numpy.arange(n_classes) != numpy.asarray(labels)[:, None]
    figure = Figure(figsize=(4 * len(known), 4.4), layout="constrained", dpi=100)
    for axes, name in zip(figure.subplots(1, len(known), squeeze=False)[0], known, strict=True):
        source = numpy.broadcast_to(numpy.asarray(known[name])[:, None], other.shape)[other]
        generated = read[name][other]
        axes.scatter(source, generated, s=9, color=BLUE, alpha=0.35, linewidths=0)
        ends = [min(source.min(), generated.min()), max(source.max(), generated.max())]
        axes.plot(ends, ends, color=ORANGE, linewidth=2)
        axes.set_title(f"{name}: $R^2 = {r_squared[name]:.2f}$ within a class")
        axes.set(xlabel=f"{name} of the source, {UNITS[name]}", ylabel=f"{name} of the generated digit")
        open_frame(axes)
        enlarge_labels(axes)
    return figure
