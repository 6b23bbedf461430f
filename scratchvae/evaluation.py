"""What a trained model is worth: the ELBO, log p(x) by importance sampling, and the latent units that are used."""

from __future__ import annotations

import math
from typing import Any

import numpy

from scratchvae.autodiff import no_grad
from scratchvae.backend import array_module, asarray, to_numpy
from scratchvae.binarization import binarize
from scratchvae.distributions.distribution import as_likelihood
from scratchvae.errors import InputError, whole_number
from scratchvae.noise import Noise

CHUNK_ENTRIES = 2**20
"""Of samples x classes x rows x pixels: log_likelihood decodes as many at a time, evaluate eight times as many."""


def evaluate(model: Any, x: Any, n_samples: int = 1, seed: int = 0, batch_size: int = 1000) -> dict[str, Any]:
    """Mean over the rows of x of L(x), E_q[log p(x | z)] and KL(q(z | x) || p(z)), in nats per datapoint.

    Returns
    -------
    dict with elbo, reconstruction, kl, elbo_standard_error (of the mean over datapoints), active_units, n and binarize.
    What these figures are for such data, a bound or a cross-entropy, `quantity` says.
    """
    n_samples = whole_number("evaluate", "n_samples", n_samples, 1)
    batch_size = whole_number("evaluate", "batch_size", batch_size, 1)
    x = prepared(model, x, seed)
    terms, means = [], []
    with no_grad():
        batch_size = min(batch_size, 8 * _rows_at_once(model, x, n_samples))
        for batch, start in enumerate(range(0, len(x), batch_size)):
            part = x[start : start + batch_size]
            terms.append(
                to_numpy(array_module(x).stack(model.elbo_terms(part, Noise(seed, batch, model.device), n_samples)))
            )
            means.append(to_numpy(model.encode(part).mean))
    reconstruction, kl = numpy.concatenate(terms, axis=1).astype(numpy.float64)
    elbo = reconstruction - kl
    return {
        "elbo": float(elbo.mean()),
        "reconstruction": float(reconstruction.mean()),
        "kl": float(kl.mean()),
        "elbo_standard_error": float(elbo.std(ddof=1) / math.sqrt(len(elbo))) if len(elbo) > 1 else math.inf,
        "active_units": len(_varied(numpy.concatenate(means))),
        "n": len(elbo),
        "binarize": model.binarize,
    }


def log_likelihood(
    model: Any, x: Any, n_samples: int = 5000, seed: int = 0
) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """log p(x) ~ log (1/S) sum over s of w_s,   w_s = p(x, z_s) / q(z_s | x),   z_s ~ q(z | x),   in nats

    Returns
    -------
    log_px, standard_error, effective_sample_size : arrays (N,), float64
        The standard error is Monte Carlo's, sqrt((mean w^2 / (mean w)^2 - 1) / (S - 1)), infinite for one sample; the
        effective sample size is (sum w)^2 / sum w^2, and one near 1 says that log_px is not to be trusted.

    Rows and samples are taken in chunks, so that memory stays bounded. Source: Burda, Grosse & Salakhutdinov (2016),
    section 5; Owen (2013), "Monte Carlo theory, methods and examples", section 9.
    """
    n_samples = whole_number("log_likelihood", "n_samples", n_samples, 1)
    x = prepared(model, x, seed)
    draws = min(n_samples, 100)
    n_rows = _rows_at_once(model, x, draws)
    sums, squares = [], []
    step = 0
    with no_grad():
        for start in range(0, len(x), n_rows):
            part, log_sum, log_square = x[start : start + n_rows], -numpy.inf, -numpy.inf
            for done in range(0, n_samples, draws):
                noise = Noise(seed, step, model.device)
                log_w = to_numpy(model.log_weights(part, noise, min(draws, n_samples - done))).astype(numpy.float64)
                log_sum = numpy.logaddexp(log_sum, numpy.logaddexp.reduce(log_w, axis=0))
                log_square = numpy.logaddexp(log_square, numpy.logaddexp.reduce(2 * log_w, axis=0))
                step += 1
            sums.append(log_sum)
            squares.append(log_square)
    log_sum, log_square = numpy.concatenate(sums), numpy.concatenate(squares)
    effective_sample_size = numpy.exp(2 * log_sum - log_square)
    relative_variance = numpy.maximum(n_samples / effective_sample_size - 1, 0)
    standard_error = numpy.sqrt(relative_variance / (n_samples - 1)) if n_samples > 1 else numpy.full(len(x), numpy.inf)
    return log_sum - math.log(n_samples), standard_error, effective_sample_size


def log_joint(model: Any, x: Any, n_samples: int = 100, seed: int = 0) -> numpy.ndarray:
    """log p(x, y) ~ log (1/S) sum over s of p(x, y, z_s) / q(z_s | x, y) for every class y, in nats.   -> (N, C)

    For a SemiSupervisedVAE. The softmax of a row is p(y | x) by the generative model, without the classifier; float64.
    """
    _check_classes("log_joint", model)
    n_samples = whole_number("log_joint", "n_samples", n_samples, 1)
    x = prepared(model, x, seed)
    classes = array_module(x).arange(model.n_classes)[:, None]
    draws = min(n_samples, 100)
    n_rows = _rows_at_once(model, x, draws)
    parts, step = [], 0
    with no_grad():
        for start in range(0, len(x), n_rows):
            part, log_sum = x[start : start + n_rows], -numpy.inf
            for done in range(0, n_samples, draws):
                noise = Noise(seed, step, model.device)
                log_w = to_numpy(model.joint_log_weights(part, classes, noise, min(draws, n_samples - done)))
                log_sum = numpy.logaddexp(log_sum, numpy.logaddexp.reduce(log_w.astype(numpy.float64), axis=0))
                step += 1
            parts.append(log_sum)
    return numpy.concatenate(parts, axis=1).T - math.log(n_samples)


def classification_error(model: Any, x: Any, labels: Any, n_samples: int = 0, seed: int = 0) -> float:
    """The share of the rows whose most probable class is not their label.

    The class is that of the classifier q(y | x), which sees grey values as they are, also where the model was trained
    on pixels drawn from them; with binarize="threshold" it sees black and white. With n_samples it is that of p(y | x),
    by `log_joint` from so many draws of z, of pixels that are binarised as for every bound.
    """
    _check_classes("classification_error", model)
    rows = observations(model, x)
    labels = to_numpy(model.labels(labels, rows.shape[:1]))
    if n_samples != 0:
        predicted = log_joint(model, x, n_samples, seed).argmax(axis=1)
    else:
        rows = binarize(rows, "threshold", None) if model.binarize == "threshold" else rows
        predicted = numpy.concatenate([to_numpy(model.classify(rows[i : i + 1000])) for i in range(0, len(rows), 1000)])
    return float((predicted != labels).mean())


def active_units(model: Any, x: Any) -> numpy.ndarray:
    """The latent units that carry information: those with Var_x(E_q[z_k | x]) > 0.01 over the rows of x.   (active,)

    Rows are taken in chunks, so that memory stays bounded. Source: Burda, Grosse & Salakhutdinov (2016), section 5.
    """
    x = observations(model, x)
    return _varied(numpy.concatenate([to_numpy(model.encode(x[i : i + 1000]).mean) for i in range(0, len(x), 1000)]))


def _varied(means: numpy.ndarray) -> numpy.ndarray:
    """The columns whose variance exceeds 0.01.   (N, K) -> (active,)"""
    return numpy.flatnonzero(means.var(axis=0) > 0.01)


def bits_per_dimension(elbo: float, n_dimensions: int) -> float:
    """8 - L / (D log 2): an upper bound of -log2 p(8-bit image) / D, for a bound L of log p(x), x of D entries, in nats

    For images from `sv.data.dequantize`, where a density of one on [0, 1]^D stands for 256 equally likely grey values.
    """
    return 8 - elbo / (n_dimensions * math.log(2))


def quantity(model: Any, x: Any = None) -> str:
    """What the model's elbo of the data x is, in words, for every figure that is printed; x is None if unknown."""
    if model.binarize != "none":
        return f"lower bound of log p(x), binarize={model.binarize}"
    return as_likelihood(model.decoder.likelihood).quantity(x)


def observations(model: Any, x: Any) -> Any:
    """Data as the model takes them: moved to its device, and checked."""
    return model.observations(asarray(x, model.device) if hasattr(x, "dtype") else x)


def prepared(model: Any, x: Any, seed: int) -> Any:
    """Data as the model scores them: on its device, checked, and binarised."""
    x, noise = observations(model, x), Noise(seed, device=model.device)
    return model.prepare_batch(model.prepare_data(x, noise), noise)


def _rows_at_once(model: Any, x: Any, n_samples: int) -> int:
    """How many rows of x are decoded at a time, n_samples times, for every class if there are any."""
    return max(1, CHUNK_ENTRIES // (n_samples * getattr(model, "n_classes", 1) * math.prod(x.shape[1:])))


def _check_classes(operation: str, model: Any) -> None:
    if not hasattr(model, "n_classes"):
        raise InputError(operation, "a model with classes", type(model).__name__, "sv.SemiSupervisedVAE.mlp()")
