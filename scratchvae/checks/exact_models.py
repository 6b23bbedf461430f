"""Models with an exact marginal likelihood and posterior, from algebra or quadrature, are compared with the package.

Rows with importance sampling or a trained model detect errors as large as their tolerance; all others, errors of 0.1 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy

from scratchvae import data, evaluation
from scratchvae.autodiff import no_grad
from scratchvae.backend import asarray, device_module, device_of, to_numpy
from scratchvae.checks.row import Section, largest
from scratchvae.linear import PPCA, FactorAnalysis
from scratchvae.models import VAE
from scratchvae.noise import GivenNoise, Noise
from scratchvae.optim import ExponentialSchedule
from scratchvae.quadrature import (
    best_normal,
    divergence_from_posterior,
    elbo,
    exact_posterior,
    log_px_around,
    normal_nodes,
)
from scratchvae.training import fit

SECTION = Section("exact models")


def gaussian_rows(n: int = 60, d: int = 8, device: str = "cpu") -> Any:
    """Returns rows drawn from a Gaussian with an unstructured covariance.   (N, D), float64"""
    rng = numpy.random.default_rng(0)
    return asarray(rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + rng.standard_normal(d), device)


def as_vae(ppca: PPCA, device: str = "cpu") -> VAE:
    """Returns the VAE whose decoder is the PPCA's likelihood and whose encoder is its exact posterior, in float64."""
    d, k = ppca.weight_.shape
    model = VAE.mlp(d, k, hidden=(), likelihood="gaussian", std=1.0).to(device, numpy.float64)
    (encoder,), (decoder,) = model.encoder.network.layers, model.decoder.network.layers
    inverse = ppca.weight_ / ppca.explained_variance_
    encoder.weight.data[:, :k], encoder.weight.data[:, k:] = inverse, 0
    encoder.bias.data[:k] = -ppca.mean_ @ inverse
    encoder.bias.data[k:] = ppca.posterior(ppca.mean_[None]).log_std
    decoder.weight.data[...], decoder.bias.data[...] = ppca.weight_.T, ppca.mean_
    model.decoder.log_std[...] = 0.5 * math.log(ppca.noise_variance_)
    return model


def inexact(ppca: PPCA, device: str = "cpu", inflation: float = 1.2) -> VAE:
    """Returns the same model with the standard deviation of the posterior too large by the factor `inflation`."""
    model = as_vae(ppca, device)
    model.encoder.network.layers[0].bias.data[model.latent_size :] += math.log(inflation)
    return model


# ---- Gaussians


def slopes(function: Callable[[numpy.ndarray], float], at: numpy.ndarray, step: float = 1e-4) -> numpy.ndarray:
    """Returns the derivatives of a function with respect to each entry of an array, by central differences."""
    moves = step * numpy.eye(at.size).reshape(-1, *at.shape)
    return numpy.array([(function(at + move) - function(at - move)) / (2 * step) for move in moves]).reshape(at.shape)


def log_density(centred: numpy.ndarray, covariance: numpy.ndarray) -> numpy.ndarray:
    """Returns log Normal(x; 0, C) from the dense covariance, in nats.   (N, D), (D, D) -> (N,)"""
    distance = (numpy.linalg.solve(covariance, centred.T) * centred.T).sum(axis=0)
    return -0.5 * (distance + numpy.linalg.slogdet(2 * numpy.pi * covariance)[1])


def error_of_log_px(model: PPCA | FactorAnalysis, x: Any) -> float:
    """Returns the largest relative error of log p(x) against the density Normal(mu, W W' + Psi) and Bayes' rule.

    mu is the mean of the rows. Bayes' rule is log p(x) = log p(x | z) + log p(z) - log p(z | x), at any z.
    """
    weight, noise_variance = to_numpy(model.weight_), to_numpy(model.noise_variance_)
    d, k = weight.shape
    dense = log_density(to_numpy(x - x.mean(axis=0)), weight @ weight.T + noise_variance * numpy.eye(d))
    z = asarray(numpy.random.default_rng(1).standard_normal((len(x), k)), device_of(x))
    prior = -0.5 * (z**2).sum(axis=1) - 0.5 * k * math.log(2 * math.pi)
    bayes = to_numpy(model.likelihood(z).log_prob(x) + prior - model.posterior(x).log_prob(z))
    received = to_numpy(model.score_samples(x))
    return largest(received / dense - 1, received / bayes - 1)


def slopes_of_likelihood(model: PPCA | FactorAnalysis, x: Any) -> numpy.ndarray:
    """Returns the derivatives of the mean of log Normal(x; mu, W W' + Psi) by mu, W and log Psi, in nats per unit."""
    weight, centred = to_numpy(model.weight_), to_numpy(x - model.mean_)
    d, k = weight.shape

    def likelihood(parameters: numpy.ndarray) -> float:
        mean, w, log_noise = numpy.split(parameters, [d, d + d * k])
        covariance = w.reshape(d, k) @ w.reshape(d, k).T + numpy.exp(log_noise) * numpy.eye(d)
        return float(log_density(centred - mean, covariance).mean())

    log_noise = numpy.log(to_numpy(model.noise_variance_)).ravel()
    return slopes(likelihood, numpy.concatenate([numpy.zeros(d), weight.ravel(), log_noise]))


# ---- probabilistic PCA


@SECTION.row("PPCA: log p(x), dense and by Bayes' rule", tolerance=1e-10)
def marginal_likelihood(device: str = "cpu") -> float:
    """PPCA's log p(x) equals the density with its dense covariance and obeys Bayes' rule, for N > D and N < D."""
    rows = (gaussian_rows(n, device=device) for n in (60, 6))
    return largest(*(error_of_log_px(PPCA(3).fit(x), x) for x in rows))


@SECTION.row("PPCA: the likelihood is at its maximum", tolerance=1e-6)
def maximum_likelihood(device: str = "cpu") -> float:
    """PPCA is at a stationary point of the likelihood, and at the highest one.

    The errors are the slopes of the mean of log p(x), in nats per unit, and its difference, in nats, from
    -(sum of log l_1, ..., log l_K + (D - K) log sigma2 + D log 2 pi + D) / 2 with the largest eigenvalues l.
    Source: Tipping & Bishop (1999), appendix A.
    """
    errors, k = [], 3
    for x in (gaussian_rows(n, device=device) for n in (60, 6)):
        ppca, d = PPCA(k).fit(x), x.shape[1]
        errors.append(slopes_of_likelihood(ppca, x))
        eigenvalues = numpy.linalg.eigvalsh(numpy.cov(to_numpy(x).T, bias=True))[::-1]
        logs = numpy.log(eigenvalues[:k]).sum() + (d - k) * numpy.log(eigenvalues[k:].mean())
        errors.append(ppca.score(x) + 0.5 * (logs + d * math.log(2 * math.pi) + d))
    return largest(*errors)


@SECTION.row("PPCA: zero variance of the weights", tolerance=1e-12)
def zero_variance(device: str = "cpu") -> float:
    """With the exact posterior, log p(x, z) - log q(z | x) = log p(x) for every z; the error is relative."""
    x = gaussian_rows(device=device)
    ppca = PPCA(3).fit(x)
    with no_grad():
        log_w = to_numpy(as_vae(ppca, device).log_weights(x, Noise(0, device=device), n_samples=20))
    return largest(log_w / to_numpy(ppca.score_samples(x)) - 1)


@SECTION.row("PPCA: importance sampling, misses of 20", tolerance=3)
def importance_sampling(device: str = "cpu", n_seeds: int = 20) -> float:
    """Counts the seeds at which the mean of `log_likelihood` misses the exact one by more than two standard errors.

    The proposal is the exact posterior with a standard deviation 1.2 times too large. One miss in 20 is to be expected.
    """
    x = gaussian_rows(device=device)
    ppca = PPCA(3).fit(x)
    model, exact, misses = inexact(ppca, device), ppca.score(x), 0
    for seed in range(n_seeds):
        log_px, error, _ = evaluation.log_likelihood(model, x, n_samples=500, seed=seed)
        misses += not abs(log_px.mean() - exact) <= 2 * numpy.sqrt((error**2).sum()) / len(error)
    return misses


def mean_bounds(model: VAE, x: Any, k: int) -> numpy.ndarray:
    """Returns the expected bound with k samples for each row, by quadrature over one latent unit.   (N, D) -> (N,)"""
    e, w = normal_nodes(k, n=41)
    draws = asarray(e.T[:, :, None].copy(), model.device)
    rows = (x[i : i + 1].repeat(len(e), axis=0) for i in range(len(x)))
    with no_grad():
        return numpy.array([w @ to_numpy(model.importance_weighted_bound(row, GivenNoise(draws), k)) for row in rows])


@SECTION.row("PPCA: bound of one draw, closed form", tolerance=1e-9)
def bound_of_one_draw(device: str = "cpu") -> float:
    """The expected importance-weighted bound with one sample is log p(x) - KL(q || p(z | x)), in closed form."""
    x = gaussian_rows(n=6, device=device)
    ppca = PPCA(1).fit(x)
    gap = 0.5 * (2.0**2 - 1) - math.log(2.0)
    bounds = mean_bounds(inexact(ppca, device, inflation=2.0), x, 1)
    return largest(bounds - (to_numpy(ppca.score_samples(x)) - gap))


@SECTION.row("PPCA: bounds rise with the draws", tolerance=0)
def bounds_rise(device: str = "cpu") -> float:
    """ELBO < bound with 2 samples < bound with 3 samples < log p(x), in expectation over the samples.

    The figure is the shortfall of the smallest of these rises from 0.01 nat.

    Source: Burda, Grosse & Salakhutdinov (2016), theorem 1.
    """
    x = gaussian_rows(n=6, device=device)
    ppca = PPCA(1).fit(x)
    model = inexact(ppca, device, inflation=2.0)
    levels = [*(mean_bounds(model, x, k) for k in (1, 2, 3)), to_numpy(ppca.score_samples(x))]
    return numpy.maximum(0.0, 0.01 - numpy.diff(levels, axis=0).min())


@SECTION.row("PPCA: log p(x) by quadrature over z", tolerance=1e-9)
def quadrature(device: str = "cpu") -> float:
    """`exact_posterior` finds PPCA's log p(x), with one latent unit and with two."""
    x = gaussian_rows(n=60, device=device)
    errors = []
    for k in (1, 2):
        ppca = PPCA(k).fit(x)
        model, exact = as_vae(ppca, device), to_numpy(ppca.score_samples(x))
        errors += [exact_posterior(model, x[i : i + 1]).log_px - exact[i] for i in range(3)]
    return largest(*errors)


def linear_vae_gap(
    x: Any, k: int, epochs: int, batch_size: int, learning_rate: float = 5e-2, device: str = "cpu"
) -> float:
    """Returns PPCA's mean log p(x) minus the mean ELBO of a linear VAE that `fit` trained on the same rows, in nats.

    A VAE with linear encoder and decoder and one learned standard deviation has the likelihood of PPCA as its optimum.
    The ELBO's expectation is exact: E[f(e)] of a quadratic f is its mean over e = +- sqrt(K) along each axis.
    Source: Lucas, Tucker, Grosse & Norouzi (2019), "Don't blame the ELBO!".
    """
    ppca = PPCA(k).fit(x)
    model = VAE.mlp(x.shape[1], k, hidden=(), likelihood="gaussian", std="learned").to(device, x.dtype)
    model.decoder.raw_log_std.data[...] = 0.0  # a wide start: with a narrow one the means learn their scale slowly
    steps = -(-len(x) // batch_size) * epochs
    rate = ExponentialSchedule(learning_rate, 1e-3 ** (1 / steps))
    fit(model, x, epochs=epochs, batch_size=batch_size, learning_rate=rate, progress=False)
    axes = numpy.sqrt(k) * numpy.concatenate([numpy.eye(k), -numpy.eye(k)])
    noise = GivenNoise(asarray(axes[:, None].astype(x.dtype), device))
    with no_grad():
        reached = float(model.elbo(x, noise, n_samples=2 * k).mean())
    return ppca.score(x) - reached


@SECTION.row("linear VAE: distance from PPCA's optimum", tolerance=0.02)
def linear_vae(device: str = "cpu") -> float:
    """A linear VAE trained by `fit` reaches the likelihood of PPCA; the gap is in nats per datapoint."""
    images = data.draw_digits(500, seed=0).images.reshape(500, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(500, 49)
    x = asarray(images.astype(numpy.float64), device)
    return abs(linear_vae_gap(x, k=3, epochs=400, batch_size=50, device=device))


# ---- a non-linear VAE


def digit_vae(device: str = "cpu") -> tuple[VAE, Any]:
    """Returns a VAE with a 2-D latent space, trained by `fit` on small drawn digits, in float64, and its data."""
    return _digit_vae(device, device_module(device))


@cache
def _digit_vae(device: str, xp: ModuleType) -> tuple[VAE, Any]:
    """Trains one VAE per array library, since a test may replace CuPy by another library."""
    images = data.draw_digits(2000, seed=0).images.reshape(2000, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(2000, 196)
    x = asarray((images > 0.5).astype(numpy.float64), device)
    model = VAE.mlp(196, 2, hidden=(64,), activation="tanh").to(device, numpy.float64)
    fit(model, x, epochs=15, batch_size=50, learning_rate=5e-3, progress=False)
    return model, x


def line_vae(device: str = "cpu") -> tuple[VAE, Any]:
    """Returns an untrained VAE with one latent unit and a separate standard deviation for every entry of x."""
    model = VAE.mlp(4, 1, hidden=(6,), activation="tanh", likelihood="gaussian", std="decoder").to(dtype=numpy.float64)
    rng = numpy.random.default_rng(0)
    for parameter in model.parameters():
        parameter.data += 0.5 * rng.standard_normal(parameter.shape)
    return model.to(device), asarray(rng.standard_normal((5, 4)), device)


@SECTION.row("{} VAE: ELBO + KL = log p(x)", tolerance=1e-6, each={"1-D": line_vae, "2-D": digit_vae})
def evidence(model_and_rows: Callable[[str], tuple[VAE, Any]], device: str = "cpu", n: int = 5) -> float:
    """L(x) + KL(q(z | x) || p(z | x)) = log p(x), the ELBO with its analytic KL against a quadrature of both terms.

    Source: deck, "The per-datapoint ELBO".
    """
    model, x = model_and_rows(device)
    errors = []
    for row in (x[i : i + 1] for i in range(n)):
        log_px = exact_posterior(model, row).log_px
        errors.append(log_px - elbo(model, row) - divergence_from_posterior(model, row, model.encode(row), log_px))
    return largest(*errors)


@SECTION.row("2-D VAE: log p(x) by two quadratures", tolerance=1e-5)
def two_quadratures(device: str = "cpu", n: int = 5) -> float:
    """log p(x) on the grid of `exact_posterior` = log p(x) on the nodes of the best Normal, weighted by 1 / q."""
    model, x = digit_vae(device)
    errors = []
    for row in (x[i : i + 1] for i in range(n)):
        best, _ = best_normal(model, row, model.encode(row))
        errors.append(exact_posterior(model, row).log_px - log_px_around(model, row, best))
    return largest(*errors)


@SECTION.row("2-D VAE: importance sampling, quadrature", tolerance=0.05)
def importance_sampling_of_digits(device: str = "cpu", n: int = 10) -> float:
    """Importance sampling with 5,000 samples agrees with quadrature on log p(x); the mean distance is in nats."""
    model, x = digit_vae(device)
    log_px, _, _ = evaluation.log_likelihood(model, x[:n], n_samples=5000)
    return float(numpy.mean([abs(log_px[i] - exact_posterior(model, x[i : i + 1]).log_px) for i in range(n)]))


@SECTION.row("2-D VAE: encoder < best Normal < log p(x)", tolerance=0)
def refinement(device: str = "cpu", n: int = 3) -> float:
    """L(x) with the encoder's q < L(x) with the best Normal for this x < log p(x); the violation is in nats."""
    model, x = digit_vae(device)
    gaps = []
    for row in (x[i : i + 1] for i in range(n)):
        _, best = best_normal(model, row, model.encode(row))
        gaps += [best - elbo(model, row), exact_posterior(model, row).log_px - best]
    return numpy.maximum(0.0, -numpy.min(gaps))
