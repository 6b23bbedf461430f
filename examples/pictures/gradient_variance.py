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
    figure = Figure(figsize=(11, 4.4), layout="constrained", dpi=120)
    scatter, curve = figure.subplots(1, 2)
    colors = dict(zip(variances, (BLUE, ORANGE, GREEN), strict=False))
    reach = max(numpy.quantile(abs(part), 0.98) for part in values.values())
    bins = numpy.linspace(-reach, reach, 41)
    for name, part in values.items():
        label = f"{name}: std {part.std(ddof=1):.3g}"
        scatter.hist(part, bins, density=True, histtype="stepfilled", alpha=0.6, color=colors[name], label=label)
    scatter.legend(frameon=False, fontsize=11, loc="upper left")
    scatter.set_yscale("log")
    scatter.set_ylim(top=8 * scatter.get_ylim()[1])  # room for the legend
    scatter.set(xlabel="estimate of one derivative, one sample of z", ylabel="density")
    scatter.set_title("The same mean, another spread", fontsize=13)
    for name, part in variances.items():
        curve.plot(n_samples, part, color=colors[name], marker="o", label=name)
    curve.set(xscale="log", yscale="log", xlabel="samples of z", ylabel="variance, summed over the encoder")
    curve.set_xticks(n_samples, [str(n) for n in n_samples])
    curve.set_xticks([], minor=True)
    curve.set_title("Variance of the gradient", fontsize=13)
    curve.legend(frameon=False, fontsize=11)
    for axes in (scatter, curve):
        open_frame(axes)
        enlarge_labels(axes)
    return figure
