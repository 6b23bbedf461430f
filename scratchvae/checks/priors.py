"""Learned priors are checked by density, draws, Monte Carlo KL, and VampPrior as an aggregate posterior."""

from __future__ import annotations

import math
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.autodiff import no_grad
from scratchvae.backend import asarray, to_numpy
from scratchvae.checks.exact_models import as_vae, gaussian_rows, line_vae
from scratchvae.checks.gradient_ascent import KL_WEIGHT, error_of_fit
from scratchvae.checks.identities import small_model
from scratchvae.checks.row import Section, largest
from scratchvae.distributions import Normal, NormalMixture, kl, kl_with_draws
from scratchvae.linear import PPCA
from scratchvae.models import VampPrior
from scratchvae.models.vae import VAE
from scratchvae.noise import Noise
from scratchvae.quadrature import divergence_from_posterior, elbo, exact_posterior, normal_nodes

SECTION = Section("priors")
LEARNED = {"mixture": "mixture", "vamp": "vamp"}


def mixture(device: str) -> NormalMixture:
    """Returns three components of two units, with unequal weights, means and standard deviations; float64."""
    means = numpy.array([[0.3, -1.2], [1.5, 0.4], [-0.8, 2.0]])
    log_stds = numpy.array([[-0.4, 0.2], [0.1, -0.3], [-0.6, -0.2]])
    return NormalMixture(numpy.array([0.5, -0.7, 0.2]), means, log_stds).to(device)


def density(p: Any, z: numpy.ndarray, device: str) -> numpy.ndarray:
    """Returns p(z); input and result are NumPy arrays."""
    with no_grad():
        return numpy.exp(to_numpy(p.log_prob(asarray(z, device))))


@SECTION.row("NormalMixture: probabilities sum to 1", tolerance=1e-10)
def total(device: str = "cpu") -> float:
    """The integral of p(z) is 1, by the trapezoidal rule on a plane; p(z) is the sum of its weighted components."""
    p = mixture(device)
    axis, step = numpy.linspace(-12, 12, 121, retstep=True)
    z = numpy.stack(numpy.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    values = density(p, z, device)
    logits, means, log_stds = (to_numpy(part) for part in (p.logits, p.means, p.log_stds))
    squares = (((z[:, None] - means) / numpy.exp(log_stds)) ** 2).sum(axis=2)
    components = numpy.exp(-squares / 2) / (2 * math.pi * numpy.exp(log_stds.sum(axis=1)))
    return largest(values.sum() * step**2 - 1, values - components @ (numpy.exp(logits) / numpy.exp(logits).sum()))


@SECTION.row("NormalMixture: moments of draws", tolerance=5e-4)
def draws(device: str = "cpu", n: int = 4000) -> float:
    """E[z], E[cos z] and E[sin z] of each unit agree for samples at evenly spaced u and e, the density, and `mean`."""
    p, (e, w) = mixture(device), normal_nodes(2, n=15)
    u = (numpy.arange(n) + 0.5) / n
    z = to_numpy(p.sample(asarray(u[:, None], device), asarray(0 * u[:, None, None] + e, device)))
    axis, step = numpy.linspace(-12, 12, 121, retstep=True)
    grid = numpy.stack(numpy.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    probability = density(p, grid, device) * step**2
    errors = [
        (w[:, None] * function(z)).sum(axis=1).mean(axis=0) - probability @ function(grid)
        for function in (lambda z: z, numpy.cos, numpy.sin)
    ]
    return largest(*errors, to_numpy(p.mean) - probability @ grid)


def with_prior(name: str, device: str) -> tuple[VAE, Any]:
    """Returns the one-unit model of `line_vae` with another prior of three components, and its data."""
    settings = {"likelihood": "gaussian", "std": "decoder", "prior": name, "n_components": 3, "activation": "tanh"}
    model = VAE.mlp(4, 1, (6,), **settings).to(dtype=numpy.float64)
    plain, x = line_vae()
    for parameter, value in zip(model.parameters(), plain.parameters(), strict=False):
        parameter.data = value.data.copy()
    rng = numpy.random.default_rng(1)
    for parameter in model.parameters()[len(plain.parameters()) :]:
        parameter.data += rng.standard_normal(parameter.shape)
    return model.to(device), asarray(to_numpy(x), device)


@SECTION.row("one standard component = Normal(0, I)", tolerance=1e-10)
def one_component(device: str = "cpu") -> float:
    """The ELBO with a mixture of one component, Normal(0, I), and its sampled KL equals that with the analytic KL."""
    model, x = line_vae(device)
    zeros = asarray(numpy.zeros((1, 1)), device)
    other = VAE(model.encoder, model.decoder, 1, prior=NormalMixture(zeros[0], zeros, zeros)).to(device)
    return largest(*(elbo(model, row) - elbo(other, row) for row in (x[i : i + 1] for i in range(len(x)))))


@SECTION.row("{} prior: ELBO + KL = log p(x)", tolerance=1e-6, each=LEARNED)
def evidence(name: str, device: str = "cpu") -> float:
    """L(x) + KL(q(z | x) || p(z | x)) = log p(x), with the sampled KL of the ELBO integrated over its samples"""
    model, x = with_prior(name, device)
    errors = []
    for row in (x[i : i + 1] for i in range(3)):
        log_px = exact_posterior(model, row).log_px
        errors.append(log_px - elbo(model, row) - divergence_from_posterior(model, row, model.encode(row), log_px))
    return largest(*errors)


@SECTION.row("{} prior: KL by draws, standard errors", tolerance=4, each=LEARNED)
def divergence_by_draws(name: str, device: str = "cpu", n: int = 4000) -> float:
    """KL(q(z | x) || p(z)) from samples of z agrees with quadrature; the distance is in Monte Carlo standard errors."""
    model, x = with_prior(name, device)
    e, w = (asarray(part, device) for part in normal_nodes(1, n=65))
    with no_grad():
        q = model.encoder(x)
        z = q.reparameterize(e[:, None])
        expected = to_numpy((w[:, None] * (q.log_prob(z) - model.prior.log_prob(z))).sum(axis=0))
        z = q.reparameterize(Noise(0, device=device).normal("z", (n, *q.shape)).astype(x.dtype))
        received = to_numpy(kl_with_draws(q, model.prior, z))
        spread = to_numpy(q.log_prob(z) - model.prior.log_prob(z)).std(axis=0) / n**0.5
    return largest((received - expected) / spread)


@SECTION.row("VampPrior of all rows = aggregate posterior", tolerance=1e-9)
def aggregate_posterior(device: str = "cpu") -> float:
    """With the rows of a linear-Gaussian model as pseudo-inputs p(z) = (1/N) sum over n of q(z | x_n), by its formula;

    and the mean of KL(q(z | x_n) || p(z)) is that of KL(q(z | x_n) || Normal(0, I)) less KL(p(z) || Normal(0, I)).

    Source: Hoffman & Johnson (2016), "ELBO surgery", for the second.
    """
    x = gaussian_rows(device=device)
    ppca = PPCA(1).fit(x)
    model, posterior = as_vae(ppca, device), ppca.posterior(x)
    p = VampPrior(model.encoder, x)
    means, std = to_numpy(posterior.mean)[:, 0], float(numpy.exp(to_numpy(posterior.log_std).ravel()[0]))
    axis, step = numpy.linspace(-9, 9, 1801, retstep=True)
    expected = numpy.exp(-(((axis[:, None] - means) / std) ** 2) / 2).mean(axis=1) / (std * math.sqrt(2 * math.pi))
    errors = [density(p, axis[:, None], device) - expected]
    standard = -(axis**2) / 2 - math.log(2 * math.pi) / 2
    marginal = (expected * (numpy.log(expected) - standard)).sum() * step
    e, w = normal_nodes(1, n=129)
    with no_grad():
        q = model.encoder(x)
        z = q.reparameterize(asarray(e[:, None], device))
        by_draws = w @ to_numpy(q.log_prob(z) - p.log_prob(z))
        analytic = to_numpy(kl(q, Normal(0 * q.mean, 0 * q.mean)))
    return largest(*errors, by_draws.mean() - (analytic.mean() - marginal))


@SECTION.row("epochs of fit, {} prior", tolerance=1e-9, each=LEARNED)
def epochs_of_fit(name: str, device: str = "cpu", n_samples: int = 2) -> float:
    """Two epochs of `fit` ascend the mean of E_q[log p(x | z)] - b (log q(z | x) - log p(z)) in all parameters.

    log p(z) is written out: the log of a sum over components, which for a VampPrior are the encoder's q(z | u_c).
    """
    settings = {"binarize": "dynamic", "prior": name, "n_components": 3}
    (fitted, x), (model, _) = (small_model(device, **settings) for _ in range(2))

    def minibatches(epoch: int) -> list[tuple[numpy.ndarray, float]]:
        order = Noise(0, epoch, device).permutation("order", len(x))
        return [(rows, len(rows) / len(x)) for rows in (order[:10], order[10:20], order[20:])]

    def components(model: VAE) -> tuple[Any, Any, Any]:
        if name == "mixture":
            p = model.prior
            return p.logits - ops.log(ops.sum(ops.exp(p.logits))), p.means, p.log_stds
        u = ops.minimum(ops.maximum(model.prior.pseudo_inputs, 0.0), 1.0)
        q = model.encoder(u)
        return asarray(numpy.full(3, -math.log(3)), device), q.mean, q.log_std

    def bounds(model: VAE, pixels: Any, rows: numpy.ndarray, noise: Noise) -> tuple[Any, Any]:
        q = model.encoder(pixels)
        z = q.reparameterize(noise.normal("z", (n_samples, *q.shape)))
        log_w, means, log_stds = components(model)
        log_c = [log_w[c] + Normal(means[c], log_stds[c]).log_prob(z) for c in range(3)]
        log_pz = ops.log(sum((ops.exp(part) for part in log_c[1:]), ops.exp(log_c[0])))
        n = n_samples * len(rows)
        reconstruction = ops.sum(model.decoder(z).log_prob(pixels)) / n
        divergence = ops.sum(q.log_prob(z) - log_pz) / n
        return reconstruction - KL_WEIGHT * divergence, reconstruction - divergence

    return error_of_fit((fitted, model), x, minibatches, bounds, "elbo", batch_size=10, n_samples=n_samples)
