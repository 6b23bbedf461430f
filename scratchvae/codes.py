"""`fit_codes` fits a density to the codes of data after training, from which z can be drawn in place of the prior."""

from __future__ import annotations

from numpy.typing import ArrayLike

from scratchvae.autodiff import no_grad
from scratchvae.backend import array_module
from scratchvae.columns import Table
from scratchvae.errors import InputError
from scratchvae.linear import GaussianMixture
from scratchvae.models.latent_variable_model import LatentVariableModel
from scratchvae.noise import Noise
from scratchvae.scoring import prepared


def fit_codes(
    model: LatentVariableModel, x: ArrayLike | Table, n_components: int = 10, seed: int = 0
) -> GaussianMixture:
    """Returns a mixture of Gaussians, fitted by EM to codes z ~ q(z | x), one for every row of x.

    It approximates the aggregate posterior, the mean of q(z | x) over the data. `model.sample(n, codes=mixture)` draws
    from it in place of the prior. If the two differ, such samples look more like the data, but neither the ELBO nor
    log p(x) describes them.

    Source: Ghosh, Sajjadi, Vergari, Black & Scholkopf (2020), "From variational to deterministic autoencoders",
    section 4, "Ex-post density estimation".

    Parameters
    ----------
    model : VAE
        A trained model without classes. Raises InputError for a model with classes.
    x : array (N, ...)
        The data, as for `fit`.
    n_components : int
        The number of Gaussians.
    seed : int
        The seed of the codes and of the start of EM.

    Returns
    -------
    GaussianMixture
        The mixture, a density of z.

    See Also
    --------
    scratchvae.VAE.sample : draws from the mixture by its argument `codes`.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> model = sv.VAE.mlp(input_size=6, latent_size=2, hidden=(4,))
    >>> mixture = sv.fit_codes(model, numpy.ones((50, 6), numpy.float32), n_components=2)
    >>> model.sample(3, codes=mixture).shape
    (3, 6)
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
