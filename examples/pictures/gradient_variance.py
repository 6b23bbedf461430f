"""The picture of examples/gradient_variance.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from matplotlib.figure import Figure

from scratchvae.plotting.canvas import BLUE, GREEN, ORANGE, enlarge_labels, open_frame


def gradient_variance(
    n_samples: Sequence[int], variances: Mapping[str, Sequence[float]], values: Mapping[str, Any]
) -> Figure:
    """How much estimators of one gradient scatter: against the number of samples, and one derivative's own estimates.

    Parameters
    ----------
    n_samples : numbers of samples of z
    variances : for each estimator, by name, the variance summed over all parameters at these numbers of samples
    values : for each estimator, by name, many estimates of one derivative, (R,)

    Source: deck, "Reparameterization trick for the encoder".
    """
    figure = Figure(figsize=(11, 4.6), layout="constrained", dpi=120)
    figure.get_layout_engine().set(w_pad=0.1)
    scatter, curve = figure.subplots(1, 2)
    colors = dict(zip(variances, (BLUE, ORANGE, GREEN), strict=False))
    heights = numpy.random.default_rng(0)
    for i, (name, part) in enumerate(values.items()):
        row = len(values) - 1 - i
        scatter.plot(part, row + heights.uniform(-0.25, 0.25, len(part)), ".", color=colors[name], markersize=4)
        for end in (-0.28, 0.28):  # above and below the points
            scatter.plot([part.mean()] * 2, [row + end, row + 1.3 * end], color="black", linewidth=2)
        note = f"{name}\nstandard deviation {part.std(ddof=1):.3g}"
        scatter.text(0.02, row + 0.4, note, transform=scatter.get_yaxis_transform(), color=colors[name], fontsize=12)
    scatter.annotate("mean", (part.mean(), row - 0.36), (8, -4), textcoords="offset points", fontsize=12)
    scatter.set(xlabel="estimate of one derivative, one sample of z", yticks=[], ylim=(-0.5, len(values) - 0.1))
    scatter.set_title("The same mean, another spread")
    for name, part in variances.items():
        curve.plot(n_samples, part, color=colors[name], marker="o", label=name)
        at = next(i for i, value in enumerate(part) if value is not None)
        look = {"textcoords": "offset points", "color": colors[name], "fontsize": 12}
        if name == list(variances)[-1]:  # below the lowest line
            curve.annotate(name, (n_samples[-1], part[-1]), (0, -20), ha="right", **look)
        else:
            curve.annotate(name, (n_samples[at], part[at]), (8, 6), **look)
    curve.set(xscale="log", yscale="log", xlabel="samples of z", ylabel="variance, summed over the encoder")
    curve.set_ylim(bottom=0.5 * curve.get_ylim()[0])
    curve.set_xticks(n_samples, [str(n) for n in n_samples])
    curve.set_xticks([], minor=True)
    curve.set_title("Variance of the gradient")
    for axes in (scatter, curve):
        open_frame(axes)
        enlarge_labels(axes)
    scatter.spines["left"].set_visible(False)
    return figure
