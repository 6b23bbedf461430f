"""The pictures of examples/latent_sizes.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy
from matplotlib.figure import Figure

from scratchvae.plotting.canvas import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    Shades,
    as_images,
    enlarge_labels,
    open_frame,
    show_square,
)


def latent_comparison(models: Mapping[int, Any], x: Any, n: int = 64, seed: int = 0) -> Figure:
    """Samples of models by their number of latent units, "(a) 2-D latent space" and so on.

    x: the images that they learned from, (N, H, W, C).
    Source: deck, "MNIST: latent space comparison".
    """
    shades = Shades.of(x)
    figure = Figure(figsize=(3.1 * len(models), 3.8), layout="constrained", dpi=120)
    figure.suptitle("Means of $p(x\\,|\\,z)$ for $z \\sim p(z)$, by the size of the latent space", fontsize=16)
    panels = figure.subplots(1, len(models), squeeze=False)[0]
    for i, (axes, (latent_size, model)) in enumerate(zip(panels, models.items(), strict=True)):
        show_square(axes, as_images(model.sample(n, seed), x.shape[1:]), shades)
        axes.set_xlabel(f"({chr(ord('a') + i)}) {latent_size}-D latent space", fontsize=15, labelpad=8)
    return figure


def latent_size_curve(results: Sequence[Mapping[str, float]]) -> Figure:
    """log p(x), ELBO, KL and active units against the number of latent units: how big should the latent space be?

    results: for each model latent_size, log_likelihood, log_likelihood_standard_error, elbo, kl and active_units.
    """
    results = sorted(results, key=lambda row: row["latent_size"])
    column = {name: numpy.array([row[name] for row in results]) for name in results[0]}
    sizes = column["latent_size"]
    figure = Figure(figsize=(12, 4.6), layout="constrained", dpi=120)
    figure.suptitle("How big should the latent space be?", fontsize=16)
    bounds, divergence, active = figure.subplots(1, 3)

    log_px, error = column["log_likelihood"], column["log_likelihood_standard_error"]
    bounds.errorbar(sizes, log_px, error, color=BLUE, marker="o", capsize=4)
    bounds.plot(sizes, column["elbo"], "--", color=ORANGE, marker="s")
    style = {"textcoords": "offset points", "ha": "right", "fontsize": 12}
    bounds.annotate("log p(x), importance sampling", (sizes[-1], log_px[-1]), (0, 16), color=BLUE, **style)
    bounds.annotate("ELBO", (sizes[-1], column["elbo"][-1]), (0, -20), color=ORANGE, **style)
    bounds.margins(y=0.15)
    bounds.set_title("Fit to test data", fontsize=13)
    bounds.set_ylabel("nats per datapoint")

    divergence.plot(sizes, column["kl"], color=GREEN, marker="o")
    divergence.set_ylim(bottom=0)
    divergence.set_title("Information in z: KL$(q(z\\,|\\,x)\\,\\|\\,p(z))$", fontsize=13)
    divergence.set_ylabel("nats per datapoint")

    every = numpy.geomspace(sizes[0], sizes[-1])
    active.plot(every, every, ":", color=GREY)
    active.annotate("all K", (sizes[-1], sizes[-1]), (-8, -8), color=GREY, **style)
    active.plot(sizes, column["active_units"], color=BLUE, marker="o")
    active.set_ylim(bottom=0)
    active.set_title("Active units", fontsize=13)
    active.set_ylabel("units")

    for axes in (bounds, divergence, active):
        axes.set_xscale("log")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("latent units K")
        open_frame(axes)
        enlarge_labels(axes)
    return figure
