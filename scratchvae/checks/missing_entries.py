"""Missing entries and mixed columns are checked in models where their distribution given the others is exact.

Rows with importance sampling detect errors as large as their tolerance; all others, errors of 0.1 %.
"""

from __future__ import annotations

from typing import Any

import numpy

from scratchvae import evaluation
from scratchvae.autodiff import no_grad
from scratchvae.backend import array_module, asarray, to_numpy
from scratchvae.checks.exact_models import as_vae, gaussian_rows, log_density
from scratchvae.checks.row import Section, largest
from scratchvae.columns import CATEGORY, COUNT, NUMBER, Column
from scratchvae.distributions import Columns, Normal
from scratchvae.linear import PPCA
from scratchvae.models import VAE, DecoderOfKnownEntries
from scratchvae.nn import Module
from scratchvae.noise import Noise

SECTION = Section("missing entries")


class PosteriorOfKnown(Module):
    """q(z | x_o) of PPCA: Normals with the means and variances of p(z | x_o), the means moved by `shift` deviations.

    p(z | x_o) = Normal(G W_o'(x_o - mu_o) / s^2, G),   G = (I + W_o' W_o / s^2)^-1;   for K = 1 this is q.
    """

    def __init__(self, ppca: PPCA, shift: float) -> None:
        self.mean, self.weight, self.variance, self.shift = ppca.mean_, ppca.weight_, ppca.noise_variance_, shift

    def __call__(self, x: Any) -> Normal:
        xp = array_module(x)
        known = ~xp.isnan(x)
        centred = xp.where(known, x - self.mean, 0.0)
        weight = self.weight * known[..., None]
        identity = xp.eye(weight.shape[-1])
        covariance = xp.linalg.inv(identity + xp.swapaxes(weight, -1, -2) @ weight / self.variance)
        mean = (covariance @ (centred @ self.weight)[..., None])[..., 0] / self.variance
        log_std = 0.5 * xp.log((covariance * identity).sum(axis=-1))
        return Normal(mean + self.shift * xp.exp(log_std), log_std)


def of_known(k: int, device: str, shift: float = 0.0) -> tuple[PPCA, VAE, Any]:
    """Returns PPCA, the VAE of its known entries, and rows without about a third of their entries, except one."""
    x = gaussian_rows(n=24, device=device)
    ppca = PPCA(k).fit(x)
    decoder = DecoderOfKnownEntries(as_vae(ppca, device).decoder)
    model = VAE(PosteriorOfKnown(ppca, shift), decoder, k, x.shape[1:], missing=True).to(device, numpy.float64)
    lost = numpy.random.default_rng(1).random(x.shape) < 0.35
    lost[0], lost[:, 0] = False, False
    return ppca, model, array_module(x).where(asarray(lost, device), numpy.nan, x)


def exact(ppca: PPCA, x: Any) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Returns log p(x_o), x with E[x_m | x_o], and the standard deviation of each entry given x_o, by dense algebra.

    x_o ~ Normal(mu_o, C_oo),   E[x_m | x_o] = mu_m + C_mo C_oo^-1 (x_o - mu_o),   C = W W' + s^2 I
    """
    x, weight, mean = to_numpy(x), to_numpy(ppca.weight_), to_numpy(ppca.mean_)
    covariance = weight @ weight.T + float(ppca.noise_variance_) * numpy.eye(len(mean))
    log_p, filled, std = numpy.empty(len(x)), x.copy(), numpy.zeros_like(x)
    for i, row in enumerate(x):
        o, m = numpy.flatnonzero(~numpy.isnan(row)), numpy.flatnonzero(numpy.isnan(row))
        inner, across = covariance[numpy.ix_(o, o)], covariance[numpy.ix_(m, o)]
        log_p[i] = log_density((row - mean)[None, o], inner)[0]
        filled[i, m] = mean[m] + across @ numpy.linalg.solve(inner, (row - mean)[o])
        within = covariance[numpy.ix_(m, m)] - across @ numpy.linalg.solve(inner, across.T)
        std[i, m] = numpy.sqrt(numpy.diag(within))
    return log_p, filled, std


@SECTION.row("PPCA, known entries: zero variance", tolerance=1e-11)
def zero_variance(device: str = "cpu") -> float:
    """With the exact posterior, log p(x_o, z) - log q(z | x_o) = log p(x_o) for every z; the error is relative."""
    ppca, model, x = of_known(1, device)
    with no_grad():
        log_w = to_numpy(model.log_weights(x, Noise(0, device=device), n_samples=20))
    return largest(log_w / exact(ppca, x)[0] - 1)


@SECTION.row("PPCA, known entries: importance, misses of 20", tolerance=3)
def importance_sampling(device: str = "cpu", n_seeds: int = 20) -> float:
    """Counts the seeds at which the mean of `log_likelihood` misses the exact one by more than two standard errors."""
    ppca, model, x = of_known(3, device)
    log_p, misses = exact(ppca, x)[0].mean(), 0
    for seed in range(n_seeds):
        found, error, _ = evaluation.log_likelihood(model, x, n_samples=500, seed=seed)
        misses += not abs(found.mean() - log_p) <= 2 * numpy.sqrt((error**2).sum()) / len(error)
    return misses


@SECTION.row("PPCA, known entries: the others' means", tolerance=0.02)
def conditional_means(device: str = "cpu") -> float:
    """`impute` gives E[x_m | x_o] from a q that is off by half a deviation: the mean |error|, in deviations given x_o.

    Means without weights are 0.2 off, and those that change a known entry fail as well.
    """
    ppca, model, x = of_known(2, device, shift=0.5)
    _, filled, std = exact(ppca, x)
    found = to_numpy(model.impute(x, n_samples=20_000))
    lost = std > 0
    return float(abs((found - filled)[lost] / std[lost]).mean()) + 1e9 * largest((found - filled)[~lost])


@SECTION.row("PPCA, known entries: the others' spread", tolerance=0.1)
def conditional_spread(device: str = "cpu") -> float:
    """`impute_draws` has the standard deviation of x_m given x_o: the mean of |ratio - 1| over rows and entries."""
    ppca, model, x = of_known(2, device, shift=0.5)
    _, filled, std = exact(ppca, x)
    drawn = to_numpy(model.impute_draws(x, n=500, n_samples=2000))
    lost = std > 0
    return float(abs(numpy.sqrt(((drawn - filled) ** 2).mean(axis=0))[lost] / std[lost] - 1).mean())


# ---- columns

COLUMNS = (
    Column("pair", CATEGORY, ("no", "yes")),
    Column("number", mean=170.0, std=9.0),
    Column("three", CATEGORY, ("a", "b", "c")),
    Column("count", COUNT),
)


def row(device: str = "cpu") -> Columns:
    """Returns p(x) for one row with four columns."""
    outputs = numpy.array([0.4, 0.9, -0.7, 0.2, -1.0, 1.3])
    return Columns(COLUMNS, asarray(outputs, device), asarray(numpy.array([-0.3]), device))


@SECTION.row("Columns: probabilities sum to 1", tolerance=1e-9)
def total(device: str = "cpu") -> float:
    """The sum over levels and counts, and integral over the number in its own unit, of p(x) is 1."""
    x, weight = row().quadrature()
    return abs((weight * numpy.exp(to_numpy(row(device).log_prob(asarray(x, device))))).sum() - 1)


@SECTION.row("Columns: a missing entry is integrated out", tolerance=1e-9)
def marginals(device: str = "cpu") -> float:
    """p(x without x_d) = sum over x_d of p(x), for every column d at the most probable values of the others.

    The weights of counts and levels are 1.
    """
    x, weight = row().quadrature()
    p, errors = numpy.exp(to_numpy(row(device).log_prob(asarray(x, device)))), []
    for d, column in enumerate(COLUMNS):
        others = numpy.delete(x, d, axis=1)
        at = others[p.argmax()]
        same = (others == at).all(axis=1)
        without = asarray(numpy.insert(at, d, numpy.nan)[None], device)
        total = p[same] @ (weight[same] if column.kind == NUMBER else numpy.ones(same.sum()))
        errors.append(total / numpy.exp(to_numpy(row(device).log_prob(without))[0]) - 1)
    return largest(*errors)


@SECTION.row("Columns: moments of draws", tolerance=1e-4)
def moments(device: str = "cpu", n: int = 100_000) -> float:
    """Means of x and cos x, standardised, over samples at evenly spaced u equal those of the density, by quadrature."""
    u = numpy.repeat(((numpy.arange(n) + 0.5) / n)[:, None], len(COLUMNS), axis=1)
    p = row(device)
    drawn = to_numpy(p.sample(asarray(u, device)))
    x, weight = row().quadrature()
    probability = weight * numpy.exp(to_numpy(p.log_prob(asarray(x, device))))
    mean, std = (numpy.array([column[k] for column in COLUMNS]) for k in (3, 4))
    standard = [(values - mean) / std for values in (drawn, x)]
    errors = [f(standard[0]).mean(axis=0) - probability @ f(standard[1]) for f in (numpy.cos, numpy.sin)]
    return largest(*errors)
