"""Identities of distributions and of estimators: what a gradient check cannot see, such as a scale.

Every function returns (figure, tolerance): the figure is an error that ought to be 0, and an error of 0.1 % in the code
lifts it far above the tolerance. Expectations are exact sums, or the trapezoidal rule, which is exact to rounding for
smooth densities on an interval wide enough.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy

from scratchvae import data, ops
from scratchvae.autodiff import Tensor, grad, no_grad
from scratchvae.backend import asarray, device_of, to_numpy
from scratchvae.checks.gradient_estimators import ESTIMATORS
from scratchvae.checks.quadrature import normal_nodes
from scratchvae.distributions import Bernoulli, Categorical, Normal, kl
from scratchvae.distributions.kl import DIVERGENCES
from scratchvae.models import VAE
from scratchvae.noise import GivenNoise, Noise
from scratchvae.optim import SGD
from scratchvae.training import PosteriorCollapseWarning, fit

Result = tuple[float, float]

# Two of each type, q and p, over events small enough to sum over.
EXAMPLES: dict[type, tuple[Any, Any]] = {
    Normal: (
        Normal(numpy.array([0.3, -0.8]), numpy.array([-0.4, 0.2])),
        Normal(numpy.array([-0.5, 0.1]), numpy.array([0.3, -0.1])),
    ),
    Bernoulli: (Bernoulli(numpy.array([0.7, -1.2, 0.1, 2.0])), Bernoulli(numpy.array([-0.4, 30.0, 1.5, 0.3]))),
    Categorical: (Categorical(numpy.array([0.2, -1.0, 1.3])), Categorical(numpy.array([-0.6, 0.4, 0.8]))),
}


def examples(device: str = "cpu") -> dict[type, tuple[Any, Any]]:
    """EXAMPLES on a device."""
    return {kind: tuple(copy.deepcopy(d).to(device) for d in pair) for kind, pair in EXAMPLES.items()}


def events(distribution: Any) -> tuple[numpy.ndarray, numpy.ndarray | float]:
    """Points x and weights w with E[f] = sum over the points of w p(x) f(x): the whole support, or a fine grid."""
    if isinstance(distribution, Bernoulli):
        return numpy.array(list(product([0.0, 1.0], repeat=distribution.shape[-1]))), 1.0
    if isinstance(distribution, Categorical):
        return numpy.arange(distribution.logits.shape[-1]), 1.0
    axis = numpy.linspace(-12.0, 12.0, 241 if distribution.shape[-1] == 2 else 2401)
    grid = numpy.meshgrid(*[axis] * distribution.shape[-1], indexing="ij")
    return numpy.stack(grid, axis=-1).reshape(-1, distribution.shape[-1]), (axis[1] - axis[0]) ** len(grid)


def log_prob(distribution: Any, x: numpy.ndarray) -> numpy.ndarray:
    """log p(x) of NumPy's x as NumPy's, wherever the distribution lies."""
    return to_numpy(distribution.log_prob(asarray(x, _device(distribution))))


def total(distribution: Any) -> Result:
    """sum of p(x) over all x = 1"""
    x, weight = events(distribution)
    return abs(float((weight * numpy.exp(log_prob(distribution, x))).sum()) - 1), 1e-10


def entropy(distribution: Any) -> Result:
    """H = -E[log p(x)]"""
    x, weight = events(distribution)
    log_p = log_prob(distribution, x)
    return abs(float(-(weight * numpy.exp(log_p) * log_p).sum()) - float(distribution.entropy())), 1e-9


def divergence(q: Any, p: Any) -> Result:
    """KL(q || p) = E_q[log q(x) - log p(x)]"""
    x, weight = events(q)
    log_q, log_p = log_prob(q, x), log_prob(p, x)
    return abs(float((weight * numpy.exp(log_q) * (log_q - log_p)).sum()) - float(kl(q, p))), 1e-9


def score(distribution: Any) -> Result:
    """E[d log p(x) / d parameter] = 0, for every parameter; relative to E|d log p(x) / d parameter| of order 1"""
    x, weight = events(distribution)
    device = _device(distribution)
    probability = asarray(weight * numpy.exp(log_prob(distribution, x)), device)
    parameters = [Tensor(array) for array in distribution.named_buffers().values()]
    options = {"event_ndim": distribution.event_ndim} if "event_ndim" in vars(distribution) else {}
    log_p = type(distribution)(*parameters, **options).log_prob(asarray(x, device))
    return max(float(abs(g).max()) for g in grad(ops.sum(log_p * probability), parameters)), 1e-10


def normal_moments(distribution: Normal) -> Result:
    """Mean and standard deviation of m + s e, e ~ Normal(0, I), are those of the density p, and m and s themselves."""
    standard = Normal(numpy.zeros(distribution.shape), numpy.zeros(distribution.shape), distribution.event_ndim)
    device = _device(distribution)
    moments = []
    for x_of, d in (
        (lambda e: to_numpy(distribution.reparameterize(asarray(e, device))), standard),
        (lambda x: x, distribution),
    ):
        points, weight = events(d)
        probability = (weight * numpy.exp(log_prob(d, points)))[:, None]
        x = x_of(points)
        mean = (probability * x).sum(axis=0)
        moments.append((mean, numpy.sqrt((probability * (x - mean) ** 2).sum(axis=0))))
    (mean, std), density = moments[0], moments[1]
    expected = [*density, to_numpy(distribution.mean), to_numpy(distribution.std)]
    return max(float(abs(a - b).max()) for a, b in zip([mean, std, mean, std], expected, strict=True)), 1e-9


def frequencies(distribution: Bernoulli | Categorical, n: int = 100_000) -> Result:
    """The share of each value among draws by evenly spaced u, to 1 / n by inverse CDF; p(x); and `mean`: all one."""
    u = (numpy.arange(n) + 0.5) / n
    x, _ = events(distribution)
    probability = numpy.exp(log_prob(distribution, x))
    if isinstance(distribution, Bernoulli):
        u, expected = numpy.repeat(u[:, None], distribution.shape[-1], axis=1), probability @ x
    else:
        expected = probability
    drawn = to_numpy(distribution.sample(asarray(u, _device(distribution))))
    shares = drawn.mean(axis=0) if isinstance(distribution, Bernoulli) else numpy.bincount(drawn, minlength=len(x)) / n
    return max(float(abs(part - expected).max()) for part in (shares, to_numpy(distribution.mean))), 2 / n


def extreme_logits(device: str = "cpu") -> Result:
    """log p(x) of Bernoulli and Categorical is -800 for what logits of 800 rule out, and 0 for what they demand."""
    logits = asarray(numpy.array([[800.0, -800.0], [-800.0, 800.0]]), device)
    x = asarray(numpy.array([[1.0, 0.0], [1.0, 1.0]]), device)
    y = asarray(numpy.array([0, 0]), device)
    received = [*to_numpy(Bernoulli(logits).log_prob(x)), *to_numpy(Categorical(logits).log_prob(y))]
    return float(abs(numpy.array(received) - [0, -800, 0, -1600]).max()), 1e-12


def noise(kind: str, device: str = "cpu", n: int = 200_000) -> Result:
    """The largest distance between the distribution functions of n draws and of what they are drawn from.

    Kolmogorov and Smirnov: of n true draws it exceeds 1.95 / sqrt(n) once in a thousand times.
    """
    from scipy.special import ndtr

    draws = numpy.sort(to_numpy(getattr(Noise(0, device=device), kind)("check", (n,)))).astype(numpy.float64)
    expected = ndtr(draws) if kind == "normal" else draws
    return float(abs(expected - (numpy.arange(n) + 0.5) / n).max()), 1.95 / n**0.5


def small_model(device: str, **settings: Any) -> tuple[VAE, Any]:
    """A VAE of 5 observed and 2 latent units in float64, all of whose parameters count, and 24 rows of data for it."""
    model = VAE.mlp(**{"input_size": 5, "latent_size": 2, "hidden": (3,), "activation": "tanh"} | settings)
    model.to(dtype=numpy.float64)
    rng = numpy.random.default_rng(0)
    for parameter in model.parameters():
        parameter.data += 0.3 * rng.standard_normal(parameter.shape)
    return model.to(device), asarray(rng.random((24, 5)), device)


def samples(device: str = "cpu") -> Result:
    """L(x) with several draws of z is the mean of those with one."""
    model, x = small_model(device)
    draws = asarray(numpy.random.default_rng(1).standard_normal((3, len(x), 2)), device)
    with no_grad():
        together = to_numpy(model.elbo(x, GivenNoise(draws), n_samples=3))
        single = [to_numpy(model.elbo(x, GivenNoise(draws[i : i + 1]))) for i in range(3)]
    return float(abs(together - numpy.mean(single, axis=0)).max()), 1e-12


def minibatches(device: str = "cpu", size: int = 6) -> Result:
    """The mean over an epoch's minibatches of d/d parameters (N / M) sum of L(x) equals that of the sum over all N.

    Source: deck, "Mini-batch gradient estimation"; Kingma & Welling (2014), equation 8.
    """
    model, x = small_model(device)
    n = len(x)
    draws = asarray(numpy.random.default_rng(1).standard_normal((n, 2)), device)

    def gradient(rows: Any) -> numpy.ndarray:
        elbo = model.elbo(x[rows], GivenNoise(draws[rows][None]))
        parts = grad(n / len(rows) * ops.sum(elbo), model.parameters())
        return numpy.concatenate([to_numpy(part).ravel() for part in parts])

    full = gradient(asarray(numpy.arange(n), device))
    batches = data.minibatches(n, size, Noise(0, device=device))
    estimate = numpy.mean([gradient(rows) for rows in batches], axis=0)
    return float(abs(estimate - full).max() / abs(full).max()), 1e-12


def step_of_fit(objective: str, device: str = "cpu") -> Result:
    """A step of plain gradient ascent by `fit` adds rate times the gradient of (1/M) sum over the minibatch.

    Of E_q[log p(x | z)] - KL for "elbo", of log (1/S) sum of w_s for "iwae", both written out in exponentials.
    """
    n_samples, rate = 3, 0.1
    (fitted, x), (model, _) = small_model(device), small_model(device)
    options = {"optimizer": SGD, "learning_rate": rate, "objective": objective, "n_samples": n_samples}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PosteriorCollapseWarning)  # one step on 24 rows teaches nothing
        fit(fitted, x, epochs=1, batch_size=len(x), progress=False, **options)
    x = x[next(iter(data.minibatches(len(x), len(x), Noise(0, device=device))))]
    q = model.encoder(x)
    z = q.reparameterize(Noise(0, device=device).normal("z", (n_samples, *q.shape)))
    log_p = model.decoder(z).log_prob(x)
    if objective == "elbo":
        bound = ops.sum(log_p) / n_samples - ops.sum(kl(q, model.prior))
    else:
        weights = ops.exp(log_p + model.prior.log_prob(z) - q.log_prob(z))
        bound = ops.sum(ops.log(ops.sum(weights, axis=0) / n_samples))
    moves = grad(rate / len(x) * bound, model.parameters())
    errors = [
        float(abs(after.data - before.data - move).max() / abs(move).max())
        for after, before, move in zip(fitted.parameters(), model.parameters(), moves, strict=True)
    ]
    return max(errors), 1e-9


def gradient_estimators(device: str = "cpu") -> Result:
    """d/d phi E_q[f(z)] = E_q[f(z) d/d phi log q(z)] = E[d/d phi f(m + s e)] for f = log p(x, z) - log q(z)

    The encoder's gradient by score function and by reparameterisation, expectations by quadrature.
    Source: deck, "Reparameterization trick for the encoder"; Kingma & Welling (2014), sections 2.2 to 2.4.
    """
    model, x = small_model(device)
    e, w = normal_nodes(2)
    x, e, w = x[:1].repeat(len(e), axis=0), asarray(e[None], device), asarray(w, device)
    means = []
    for estimator in ESTIMATORS.values():
        bound = ops.sum(w * estimator(model, x, GivenNoise(e)))
        means.append(numpy.concatenate([to_numpy(g).ravel() for g in grad(bound, model.encoder.parameters())]))
    return float(max(abs(mean - means[0]).max() for mean in means) / abs(means[0]).max()), 1e-9


def identities(device: str = "cpu") -> dict[str, Callable[[], Result]]:
    """Every identity by what it says, to be called without arguments."""
    table: dict[str, Callable[[], Result]] = {}
    pairs = examples(device)
    line = Normal(numpy.array([0.3]), numpy.array([-0.4])).to(device)
    for name, q in {"Normal, 1-D": line, **{kind.__name__: pair[0] for kind, pair in pairs.items()}}.items():
        table[f"{name}: probabilities sum to 1"] = partial(total, q)
        table[f"{name}: entropy"] = partial(entropy, q)
        table[f"{name}: mean score is 0"] = partial(score, q)
        table[f"{name}: moments of draws"] = partial(normal_moments if isinstance(q, Normal) else frequencies, q)
    for kind_q, kind_p in DIVERGENCES:
        table[f"KL({kind_q.__name__}, {kind_p.__name__})"] = partial(divergence, pairs[kind_q][0], pairs[kind_p][1])
    table["log p(x) at logits of 800"] = partial(extreme_logits, device)
    table["noise: normal draws"] = partial(noise, "normal", device)
    table["noise: uniform draws"] = partial(noise, "uniform", device)
    table["ELBO of several draws is their mean"] = partial(samples, device)
    table["N/M estimator is unbiased"] = partial(minibatches, device)
    table["a step of fit ascends the mean ELBO"] = partial(step_of_fit, "elbo", device)
    table["a step of fit ascends the mean bound"] = partial(step_of_fit, "iwae", device)
    table["score function = reparameterised gradient"] = partial(gradient_estimators, device)
    return table


def _device(distribution: Any) -> str:
    return device_of(next(iter(distribution.named_buffers().values())))
