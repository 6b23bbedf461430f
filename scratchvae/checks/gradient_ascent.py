"""Plain gradient ascent, written out, is compared with the steps of `fit` for every objective."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy

from scratchvae.autodiff import grad
from scratchvae.backend import asarray
from scratchvae.checks.row import largest
from scratchvae.noise import Noise
from scratchvae.optim import SGD
from scratchvae.training import PosteriorCollapseWarning, fit

RATE, KL_WEIGHT = 0.1, 0.5


def error_of_fit(
    models: tuple[Any, Any],
    x: Any,
    minibatches: Callable[[int], Iterable[tuple[numpy.ndarray, float]]],
    bounds: Callable[[Any, Any, numpy.ndarray, Noise], tuple[Any, Any]],
    quantity: str = "elbo",
    **options: Any,
) -> float:
    """Returns the largest error of `fit` over two epochs, in a final parameter or in an epoch's mean bound.

    models: one model twice, for `fit` and for the loop; its pixels are binarised anew at every step.
    minibatches: gives for an epoch the rows of each step, and the share of this step in the mean of the epoch.
    bounds: gives for (model, pixels, rows, noise) the bound to ascend and the one without weights.
    quantity: the name of the bound in the history of `fit`; options: further ones of `fit`.
    """
    fitted, model = models
    steps = {"optimizer": SGD, "learning_rate": RATE, "kl_weight": KL_WEIGHT, "progress": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PosteriorCollapseWarning)  # a few steps on 24 rows teach nothing
        history = fit(fitted, x, epochs=2, **steps, **options)
    errors, step = [], 0
    for epoch in range(2):
        mean = 0.0
        for rows, share in minibatches(epoch):
            noise = Noise(0, step, model.device)
            pixels = x[asarray(rows, model.device)]
            pixels = (noise.uniform("pixels", pixels.shape) < pixels).astype(pixels.dtype)
            weighted, bound = bounds(model, pixels, rows, noise)
            for parameter, g in zip(model.parameters(), grad(weighted, model.parameters()), strict=True):
                parameter.data = parameter.data + RATE * g
            mean, step = mean + share * float(bound), step + 1
        errors.append(history[quantity][epoch] - mean)
    pairs = zip(fitted.parameters(), model.parameters(), strict=True)
    return largest(*errors, *(a.data - b.data for a, b in pairs))
