"""The second picture of examples/analogies.py; the first is `scratchvae.plotting.analogies`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy
from matplotlib.figure import Figure

from scratchvae.plotting.canvas import CLASS_COLOURS, GREY, enlarge_labels, open_frame


def style_transfer(
    known: Mapping[str, Any], read: Mapping[str, Any], labels: Any, r_squared: Mapping[str, float]
) -> Figure:
    """Style factors of source images against those read off the digits generated from their z as every other class.

    By name: known, the factor of each source, (N,); read, that of each generated digit, (N, C), with r_squared between
    the two, for the title. labels: the sources' classes; colours are the classes generated.
    """
    n_classes = next(iter(read.values())).shape[1]
    other = numpy.arange(n_classes) != numpy.asarray(labels)[:, None]
    figure = Figure(figsize=(4.6 * len(known), 4.6), layout="constrained", dpi=120)
    for axes, name in zip(figure.subplots(1, len(known), squeeze=False)[0], known, strict=True):
        source = numpy.broadcast_to(numpy.asarray(known[name])[:, None], other.shape)[other]
        generated, column = read[name][other], numpy.nonzero(other)[1]
        axes.scatter(source, generated, s=6, c=[CLASS_COLOURS[k % 10] for k in column], alpha=0.6, linewidths=0)
        ends = [min(source.min(), generated.min()), max(source.max(), generated.max())]
        axes.plot(ends, ends, color=GREY, linewidth=1)
        axes.set_title(f"{name}: $R^2 = {r_squared[name]:.2f}$ within a class", fontsize=13)
        axes.set(xlabel=f"{name} of the source", ylabel=f"{name} read off the generated digit")
        open_frame(axes)
        enlarge_labels(axes)
    return figure
