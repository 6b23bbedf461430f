"""Draws of z from where the codes of data lie, by a density that is fitted after training and is not the prior."""

from __future__ import annotations

from typing import Any

from scratchvae.autodiff import no_grad
from scratchvae.backend import array_module
from scratchvae.errors import InputError
from scratchvae.evaluation import prepared
from scratchvae.linear import GaussianMixture
from scratchvae.noise import Noise


def fit_codes(model: Any, x: Any, n_components: int = 10, seed: int = 0) -> GaussianMixture:
    """A mixture of Gaussians fitted by EM to codes z ~ q(z | x), one of every row of x: where the codes lie.

    It approximates the aggregate posterior, the mean of q(z | x) over data. `model.sample(n, codes=mixture)` draws from
    it in place of the prior: pictures look more like data where the two differ, and neither the ELBO nor log p(x) is
    about them. The seed draws codes and the start of EM. Raises InputError for a model with classes.

    Source: Ghosh, Sajjadi, Vergari, Black & Scholkopf (2020), "From variational to deterministic autoencoders",
    section 4, "Ex-post density estimation".
    """
    if hasattr(model, "n_classes"):
        raise InputError("fit_codes", "a model without classes", f"a {type(model).__name__}")
    x = prepared(model, x, seed)
    with no_grad():
        parts = [model.encoder(x[start : start + 1000]) for start in range(0, len(x), 1000)]
    draws = [
        q.sample(Noise(seed, step, model.device).normal("codes", q.shape)).astype("float64")
        for step, q in enumerate(parts)
    ]
    return GaussianMixture(n_components, seed=seed).fit(array_module(draws[0]).concatenate(draws))
