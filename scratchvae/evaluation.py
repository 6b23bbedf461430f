"""These functions score a trained model: by the ELBO, by log p(x) from importance sampling, and by its active units."""

from __future__ import annotations

import math
from typing import Any

import numpy
from numpy.typing import ArrayLike

from scratchvae.autodiff import no_grad
from scratchvae.backend import device_module, to_numpy
from scratchvae.binarization import binarize
from scratchvae.columns import Table
from scratchvae.errors import InputError, whole_number
from scratchvae.models.latent_variable_model import LatentVariableModel
from scratchvae.models.semisupervised_vae import SemiSupervisedModel
from scratchvae.pixels import as_numbers
from scratchvae.scoring import MOST_SAMPLES, elbo_terms, observations, prepared, summed_weights


def evaluate(
    model: LatentVariableModel,
    x: ArrayLike | Table,
    n_samples: int = 1,
    seed: int = 0,
    batch_size: int = 1000,
    same_draws: bool = False,
) -> dict[str, Any]:
    """Returns the means over the rows of x of L(x), E_q[log p(x | z)] and KL(q(z | x) || p(z)), in nats per datapoint.

    The KL is computed by its formula. For a prior without a formula it is estimated from the draws of z that
    E_q[log p(x | z)] uses.

    Parameters
    ----------
    model : LatentVariableModel
        A trained model.
    x : array (N, ...)
        The data, as for `fit`.
    n_samples : int
        The number of draws of z for each row.
    seed : int
        The seed of these draws, and of the draws that binarise x.
    batch_size : int
        The largest number of rows that are scored at once; memory may allow fewer.
    same_draws : bool
        Whether all rows get the same draws, as in `elbo`.

    Returns
    -------
    dict
        elbo, reconstruction, kl, elbo_standard_error (the standard error of the mean over datapoints), active_units, n
        and binarize. `quantity` says whether these figures are a bound or a cross-entropy for such data.

    See Also
    --------
    elbo : L(x) of every row.
    log_likelihood : log p(x) of every row by importance sampling.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> model = sv.VAE.mlp(input_size=6, latent_size=2, hidden=(4,))
    >>> scores = sv.evaluate(model, numpy.ones((5, 6), numpy.float32))
    >>> scores["n"], abs(scores["elbo"] - (scores["reconstruction"] - scores["kl"])) < 1e-6
    (5, True)
    """
    n_samples = whole_number("evaluate", "n_samples", n_samples, largest=MOST_SAMPLES)
    batch_size = whole_number("evaluate", "batch_size", batch_size)
    x = prepared(model, x, seed)
    reconstruction, kl = elbo_terms(model, x, n_samples, seed, same_draws, batch_size)
    values = reconstruction - kl
    return {
        "elbo": float(values.mean()),
        "reconstruction": float(reconstruction.mean()),
        "kl": float(kl.mean()),
        "elbo_standard_error": float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.inf,
        "active_units": len(_varied(model, x, batch_size)),
        "n": len(values),
        "binarize": model.binarize,
    }


def elbo(
    model: LatentVariableModel, x: ArrayLike | Table, n_samples: int = 1, seed: int = 0, same_draws: bool = False
) -> numpy.ndarray:
    """Returns L(x) for every row of x, in nats: a lower bound on log p(x), low for rows that are unlikely.   (N,)

    The rows are checked, moved to the model's device and binarised as for every score, and the mean of the values is
    the elbo of `evaluate`. `model.elbo(x, noise)` is the equation alone, without checks: fast, and differentiable.

    Parameters
    ----------
    model, x, n_samples, seed
        As in `evaluate`.
    same_draws : bool
        Whether every row gets the same draws of e in z = mu(x) + sigma(x) e, so that its score does not depend on the
        other rows. The mean over the rows then needs more samples, because their errors no longer average out.

    Returns
    -------
    array (N,), float64
        The values.

    See Also
    --------
    evaluate : the mean of the values.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> model = sv.VAE.mlp(input_size=6, latent_size=2, hidden=(4,))
    >>> x = numpy.ones((5, 6), numpy.float32)
    >>> values = sv.elbo(model, x)
    >>> values.shape, bool(abs(values.mean() - sv.evaluate(model, x)["elbo"]) < 1e-6)
    ((5,), True)
    """
    n_samples = whole_number("elbo", "n_samples", n_samples, largest=MOST_SAMPLES)
    x = prepared(model, x, seed)
    reconstruction, kl = elbo_terms(model, x, n_samples, seed, same_draws)
    return reconstruction - kl


def log_likelihood(
    model: LatentVariableModel, x: ArrayLike | Table, n_samples: int = 5000, seed: int = 0, same_draws: bool = False
) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """log p(x) ~ log (1/S) sum over s of w_s,   w_s = p(x, z_s) / q(z_s | x),   z_s ~ q(z | x),   in nats

    Rows and samples are processed in chunks, so that memory stays bounded.

    Source: Burda, Grosse & Salakhutdinov (2016), section 5; Owen (2013), "Monte Carlo theory, methods and examples",
    section 9.

    Parameters
    ----------
    model, x, seed, same_draws
        As in `evaluate`.
    n_samples : int
        S, the number of draws of z for each row.

    Returns
    -------
    log_px, standard_error, effective_sample_size : arrays (N,), float64
        The standard error is the Monte Carlo one, sqrt((mean w^2 / (mean w)^2 - 1) / (S - 1)), infinite for one sample.
        The effective sample size is (sum w)^2 / sum w^2; if it is near 1, log_px is not reliable.

    See Also
    --------
    evaluate : the ELBO, a lower bound.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> model = sv.VAE.mlp(input_size=6, latent_size=2, hidden=(4,))
    >>> log_px, standard_error, size = sv.log_likelihood(model, numpy.ones((5, 6), numpy.float32), n_samples=10)
    >>> log_px.shape, bool((size <= 10.001).all())
    ((5,), True)
    """
    n_samples = whole_number("log_likelihood", "n_samples", n_samples)
    x = prepared(model, x, seed)
    log_sum, log_square = summed_weights(model, x, model.log_weights, n_samples, seed, same_draws)
    effective_sample_size = numpy.exp(2 * log_sum - log_square)
    relative_variance = numpy.maximum(n_samples / effective_sample_size - 1, 0)
    infinite = numpy.full(len(log_sum), numpy.inf)
    standard_error = numpy.sqrt(relative_variance / (n_samples - 1)) if n_samples > 1 else infinite
    return log_sum - math.log(n_samples), standard_error, effective_sample_size


def log_joint(model: SemiSupervisedModel, x: ArrayLike, n_samples: int = 100, seed: int = 0) -> numpy.ndarray:
    """log p(x, y) ~ log (1/S) sum over s of p(x, y, z_s) / q(z_s | x, y) for every class y, in nats.   -> (N, C)

    The model is a SemiSupervisedVAE. The softmax of a row, in float64, is p(y | x) according to the generative model,
    without the classifier.
    """
    _check_classes("log_joint", model)
    n_samples = whole_number("log_joint", "n_samples", n_samples)
    x = prepared(model, x, seed)
    classes = device_module(model.device).arange(model.n_classes)[:, None]

    def log_weights(rows: Any, noise: Any, n_samples: int) -> Any:
        return model.joint_log_weights(rows, classes, noise, n_samples)

    log_sum, _ = summed_weights(model, x, log_weights, n_samples, seed)
    return log_sum.T - math.log(n_samples)


def classification_error(
    model: SemiSupervisedModel, x: ArrayLike, labels: ArrayLike, n_samples: int = 0, seed: int = 0
) -> float:
    """Returns the share of the rows whose most probable class is not their label.

    Without n_samples the class is the most probable one according to the classifier q(y | x). The classifier reads grey
    values unchanged, even if the model was trained on pixels drawn from them; with binarize="threshold" it reads black
    and white. With n_samples the class is the most probable one according to p(y | x), which `log_joint` estimates from
    that many draws of z, on pixels that are binarised as for every bound.

    Parameters
    ----------
    model : SemiSupervisedVAE
        A trained model.
    x : array (N, ...)
        The data, as for `fit`.
    labels : array of integers (N,)
        The class of each row.
    n_samples, seed : int
        The number of draws of z for each row and class, or 0, and their seed.

    Returns
    -------
    float
        The share, from 0 to 1.

    See Also
    --------
    scratchvae.SemiSupervisedVAE.classify : q(y | x) for every row.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> model = sv.SemiSupervisedVAE.mlp(input_size=6, n_classes=3, latent_size=2, hidden=(4,))
    >>> x = numpy.ones((5, 6), numpy.float32)
    >>> sv.classification_error(model, x, model.classify(x))
    0.0
    """
    _check_classes("classification_error", model)
    rows = observations(model, x)
    labels = to_numpy(model.labels(labels, rows.shape[:1]))
    if n_samples != 0:
        predicted = log_joint(model, x, n_samples, seed).argmax(axis=1)
    else:
        chunks = (as_numbers(rows[i : i + 1000], model.device) for i in range(0, len(rows), 1000))
        mode = "threshold" if model.binarize == "threshold" else "none"
        predicted = numpy.concatenate([to_numpy(model.classify(binarize(chunk, mode, None))) for chunk in chunks])
    return float((predicted != labels).mean())


def active_units(model: LatentVariableModel, x: ArrayLike | Table) -> numpy.ndarray:
    """Returns the numbers of the units k with Var_x(E_q[z_k | x]) > 0.01 over the rows x: the active ones.   (active,)

    Rows are processed in chunks, so that memory stays bounded.

    Source: Burda, Grosse & Salakhutdinov (2016), section 5.

    Parameters
    ----------
    model : LatentVariableModel
        A trained model.
    x : array (N, ...)
        The data, as for `fit`.

    Returns
    -------
    array of integers (active,)
        Numbers of latent units from 0, in increasing order.

    See Also
    --------
    evaluate : counts the active units.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> model = sv.VAE.mlp(input_size=6, latent_size=2, hidden=(4,))
    >>> sv.active_units(model, numpy.ones((5, 6), numpy.float32)).tolist()  # rows that do not differ
    []
    """
    return _varied(model, observations(model, x), batch_size=1000)


def _varied(model: Any, x: Any, batch_size: int) -> numpy.ndarray:
    """Returns the numbers of the active units, from the means of batch_size rows at a time."""
    with no_grad():
        batches = (x[start : start + batch_size] for start in range(0, len(x), batch_size))
        means = numpy.concatenate([to_numpy(model.encode(rows).mean) for rows in batches])
    return numpy.flatnonzero(means.var(axis=0) > 0.01)


def bits_per_dimension(elbo: float, n_dimensions: int) -> float:
    """bits = 8 - L / (D log 2) >= -log2 p(8-bit image) / D, for L <= log p(x) in nats and x with D entries

    It applies to images from `sv.data.dequantize`, for which a density of 1 on [0, 1]^D stands for 256 equally likely
    grey values.
    """
    return 8 - elbo / (n_dimensions * math.log(2))


def quantity(model: Any, x: Any = None) -> str:
    """Returns the name of the quantity that the model's ELBO is for the data x, or for unknown data if x is None."""
    return model.quantity(x)


def _check_classes(operation: str, model: Any) -> None:
    if not hasattr(model, "n_classes"):
        raise InputError(operation, "a model with classes", type(model).__name__, "sv.SemiSupervisedVAE.mlp()")
