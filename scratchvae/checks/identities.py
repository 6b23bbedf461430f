"""Identities of distributions and estimators reveal errors, such as a wrong scale, that a gradient check cannot see.

Every row gives an error that ought to be 0. Expectations are exact sums, or computed by the trapezoidal rule, which is
exact to rounding for smooth densities on a wide enough interval; there an error of 0.1 % in the code lifts the figure
far above the tolerance. The two rows about noise are subject to chance, and less sensitive.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy

from scratchvae import data, evaluation, ops
from scratchvae.autodiff import Tensor, grad, no_grad
from scratchvae.backend import asarray, to_numpy
from scratchvae.checks.gradient_ascent import KL_WEIGHT, error_of_fit
from scratchvae.checks.row import Section, largest
from scratchvae.distributions import Bernoulli, Categorical, Normal, StudentT, kl
from scratchvae.distributions.kl import DIVERGENCES
from scratchvae.gradient_estimators import ESTIMATORS
from scratchvae.models import LIKELIHOODS, VAE
from scratchvae.models.real_decoders import RealDecoder
from scratchvae.noise import GivenNoise, Noise
from scratchvae.quadrature import normal_nodes

SECTION = Section("identities")

# Two of each type, q and p, over events small enough to sum over.
EXAMPLES: dict[type, tuple[Any, Any]] = {
    Normal: (
        Normal(numpy.array([0.3, -0.8]), numpy.array([-0.4, 0.2])),
        Normal(numpy.array([-0.5, 0.1]), numpy.array([0.3, -0.1])),
    ),
    Bernoulli: (Bernoulli(numpy.array([0.7, -1.2, 0.1, 2.0])), Bernoulli(numpy.array([-0.4, 30.0, 1.5, 0.3]))),
    Categorical: (Categorical(numpy.array([0.2, -1.0, 1.3])), Categorical(numpy.array([-0.6, 0.4, 0.8]))),
    StudentT: (
        StudentT(numpy.array([0.3, -0.8]), numpy.array([-0.4, 0.2]), numpy.array([1.5, 1.8])),
        StudentT(numpy.array([-0.5, 0.1]), numpy.array([0.3, -0.1]), numpy.array([3.0, 2.0])),
    ),
}

OUTPUTS = ([0.3, -0.8, -0.4, 0.2], [-0.5, 0.1, 0.3, -0.1])
"""The outputs of a network for two entries of x, in q and in p; likelihoods of one parameter take the first two."""


def _decoded(decoder: Any, outputs: list[float]) -> Any:
    """Returns the distribution that a decoder makes from the outputs of its network."""
    n = 2 * decoder.outputs_per_entry("decoder")
    return decoder.of(lambda z: z, "decoder", 1)(numpy.array(outputs[:n]))


EXAMPLES |= {
    decoder.likelihood: tuple(_decoded(decoder, outputs) for outputs in OUTPUTS)
    for decoder in LIKELIHOODS.values()
    if decoder.likelihood not in EXAMPLES
}

# By the names of their rows.
DISTRIBUTIONS: dict[str, Any] = {
    "Normal, 1-D": Normal(numpy.array([0.3]), numpy.array([-0.4])),
    **{kind.__name__: q for kind, (q, _) in EXAMPLES.items()},
}
WITH_ENTROPY = {name: q for name, q in DISTRIBUTIONS.items() if hasattr(q, "entropy")}
NORMAL = {name: q for name, q in DISTRIBUTIONS.items() if isinstance(q, Normal)}
FEW_VALUES = {name: q for name, q in DISTRIBUTIONS.items() if isinstance(q, (Bernoulli, Categorical))}
OTHERS = {name: q for name, q in DISTRIBUTIONS.items() if name not in NORMAL | FEW_VALUES}
PAIRS = {f"{q.__name__}, {p.__name__}": (EXAMPLES[q][0], EXAMPLES[p][1]) for q, p in DIVERGENCES}


def on(device: str, distribution: Any) -> Any:
    """Returns a copy of the distribution on a device."""
    return copy.deepcopy(distribution).to(device)


def log_prob(distribution: Any, x: numpy.ndarray, device: str) -> numpy.ndarray:
    """Returns log p(x), computed on a device; input and result are NumPy arrays."""
    return to_numpy(on(device, distribution).log_prob(asarray(x, device)))


@SECTION.row("{}: probabilities sum to 1", tolerance=1e-10, each=DISTRIBUTIONS)
def total(distribution: Any, device: str = "cpu") -> float:
    """sum of p(x) over all x = 1"""
    x, weight = distribution.quadrature()
    return abs((weight * numpy.exp(log_prob(distribution, x, device))).sum() - 1)


@SECTION.row("{}: entropy", tolerance=1e-9, each=WITH_ENTROPY)
def entropy(distribution: Any, device: str = "cpu") -> float:
    """H = -E[log p(x)]"""
    x, weight = distribution.quadrature()
    log_p = log_prob(distribution, x, device)
    return abs(-(weight * numpy.exp(log_p) * log_p).sum() - float(on(device, distribution).entropy()))


@SECTION.row("{}: mean score is 0", tolerance=1e-10, each=DISTRIBUTIONS)
def score(distribution: Any, device: str = "cpu") -> float:
    """E[d log p(x) / d parameter] = 0 for every parameter, relative to E|d log p(x) / d parameter| of order 1"""
    x, weight = distribution.quadrature()
    probability = asarray(weight * numpy.exp(log_prob(distribution, x, device)), device)
    parameters = [Tensor(asarray(array, device)) for array in distribution.named_buffers().values()]
    options = {"event_ndim": distribution.event_ndim} if "event_ndim" in vars(distribution) else {}
    log_p = type(distribution)(*parameters, **options).log_prob(asarray(x, device))
    return largest(*grad(ops.sum(log_p * probability), parameters))


@SECTION.row("{}: moments of draws", tolerance=1e-9, each=NORMAL)
def normal_moments(distribution: Normal, device: str = "cpu") -> float:
    """Mean and standard deviation of m + s e, e ~ Normal(0, I), equal those of the density p, and m and s."""

    def moments(density: Normal, value: Callable[[numpy.ndarray], numpy.ndarray]) -> numpy.ndarray:
        x, weight = density.quadrature()
        probability, value_of_x = (weight * numpy.exp(log_prob(density, x, device)))[:, None], value(x)
        mean = (probability * value_of_x).sum(axis=0)
        return numpy.array([mean, numpy.sqrt((probability * (value_of_x - mean) ** 2).sum(axis=0))])

    moved = on(device, distribution)
    standard = Normal(numpy.zeros(distribution.shape), numpy.zeros(distribution.shape), distribution.event_ndim)
    draws = moments(standard, lambda e: to_numpy(moved.reparameterize(asarray(e, device))))
    parameters = numpy.array([to_numpy(moved.mean), to_numpy(moved.std)])
    return largest(draws - moments(distribution, lambda x: x), draws - parameters)


@SECTION.row("{}: moments of draws", tolerance=2 / 100_000, each=FEW_VALUES)
def frequencies(distribution: Bernoulli | Categorical, device: str = "cpu", n: int = 100_000) -> float:
    """The share of each value among samples at evenly spaced u, to 1 / n by inverse CDF, equals p(x) and `mean`."""
    u = (numpy.arange(n) + 0.5) / n
    x, _ = distribution.quadrature()
    probability = numpy.exp(log_prob(distribution, x, device))
    if isinstance(distribution, Bernoulli):
        u, expected = numpy.repeat(u[:, None], distribution.shape[-1], axis=1), probability @ x
    else:
        expected = probability
    moved = on(device, distribution)
    drawn = to_numpy(moved.sample(asarray(u, device)))
    shares = drawn.mean(axis=0) if isinstance(distribution, Bernoulli) else numpy.bincount(drawn, minlength=len(x)) / n
    return largest(shares - expected, to_numpy(moved.mean) - expected)


@SECTION.row("{}: moments of draws", tolerance=20 / 40_000, each=OTHERS)
def expectations(distribution: Any, device: str = "cpu", n: int = 40_000) -> float:
    """Samples at evenly spaced u, `mean` and `std` have the expectations of the density, by quadrature.

    For each entry x these are E[cos t x] and E[sin t x], which are bounded, so that n samples give them to about 1 / n.
    """
    moved = on(device, distribution)
    u = numpy.repeat(((numpy.arange(n) + 0.5) / n)[:, None], distribution.shape[-1], axis=1)
    draws = to_numpy(moved.sample(asarray(u, device)))
    x, weight = distribution.quadrature()
    probability = weight * numpy.exp(log_prob(distribution, x, device))
    mean = probability @ x
    errors = [mean - to_numpy(moved.mean)]
    if hasattr(moved, "std"):
        errors.append(numpy.sqrt(probability @ (x - mean) ** 2) - to_numpy(moved.std))
    for t in (0.5, 1.0, 2.0):
        errors += [wave(t * draws).mean(axis=0) - probability @ wave(t * x) for wave in (numpy.cos, numpy.sin)]
    return largest(*errors)


@SECTION.row("KL({})", tolerance=1e-9, each=PAIRS)
def divergence(pair: tuple[Any, Any], device: str = "cpu") -> float:
    """KL(q || p) = E_q[log q(x) - log p(x)]"""
    x, weight = pair[0].quadrature(pair[1])
    log_q, log_p = (log_prob(distribution, x, device) for distribution in pair)
    expected = (weight * numpy.exp(log_q) * (log_q - log_p)).sum()
    return abs(expected - float(kl(*(on(device, distribution) for distribution in pair))))


@SECTION.row("log p(x) at logits of 800", tolerance=1e-12)
def extreme_logits(device: str = "cpu") -> float:
    """log p(x) of Bernoulli and Categorical is -800 where logits of 800 exclude x, and 0 where they force it."""
    logits = asarray(numpy.array([[800.0, -800.0], [-800.0, 800.0]]), device)
    x = asarray(numpy.array([[1.0, 0.0], [1.0, 1.0]]), device)
    y = asarray(numpy.array([0, 0]), device)
    received = [*to_numpy(Bernoulli(logits).log_prob(x)), *to_numpy(Categorical(logits).log_prob(y))]
    return largest(numpy.array(received) - [0, -800, 0, -1600])


@SECTION.row("noise: {} draws", tolerance=1.95 / 200_000**0.5, each={"normal": "normal", "uniform": "uniform"})
def noise(kind: str, device: str = "cpu", n: int = 200_000) -> float:
    """The distribution function of n samples is close to the true one; the figure is the largest distance.

    For n draws from the true distribution it exceeds 1.95 / sqrt(n) once in a thousand times (Kolmogorov and Smirnov).
    """
    from scipy.special import ndtr

    draws = numpy.sort(to_numpy(getattr(Noise(0, device=device), kind)("check", (n,)))).astype(numpy.float64)
    expected = ndtr(draws) if kind == "normal" else draws
    return largest(expected - (numpy.arange(n) + 0.5) / n)


def small_model(device: str, **settings: Any) -> tuple[VAE, Any]:
    """Returns a VAE with 5 observed and 2 latent units in float64, all of whose parameters matter, and 24 rows."""
    model = VAE.mlp(**{"input_size": 5, "latent_size": 2, "hidden": (3,), "activation": "tanh"} | settings)
    model.to(dtype=numpy.float64)
    rng = numpy.random.default_rng(0)
    for parameter in model.parameters():
        parameter.data += 0.3 * rng.standard_normal(parameter.shape)
    return model.to(device), asarray(rng.random((24, 5)), device)


@SECTION.row("decoders: mean and standard deviation", tolerance=1e-6)
def decoders(device: str = "cpu") -> float:
    """p(x | z) has the mean and standard deviation that its network and `std` define; relative, in float32."""
    model, _ = small_model(device)
    z = asarray(numpy.random.default_rng(1).standard_normal((6, 2)), device)
    output = to_numpy(model.decoder.network(z))
    with no_grad():
        errors = [to_numpy(model.decoder(z).mean) * (1 + numpy.exp(-output)) - 1]
        model, _ = small_model(device, likelihood="poisson")
        errors.append(to_numpy(model.decoder(z).mean) * (numpy.exp(-output) + 2.0**-24) - 1)
        model, _ = small_model(device, likelihood="negative-binomial")
        log_mean, raw = numpy.split(to_numpy(model.decoder.network(z)), 2, axis=1)
        mean, counts = 1 / (numpy.exp(-log_mean) + 2.0**-24), model.decoder(z)
        variance = mean + mean**2 * (1 / (1e-3 + numpy.exp(raw)) + 1e-6)
        errors += [to_numpy(counts.mean) / mean - 1, to_numpy(counts.std) ** 2 / variance - 1]
        real = [name for name, decoder in LIKELIHOODS.items() if issubclass(decoder, RealDecoder)]
        for likelihood, std in product(real, (0.1, 2.0)):
            model, _ = small_model(device, likelihood=likelihood, std=std)
            errors += [
                to_numpy(model.decoder(z).std) / std - 1,
                to_numpy(model.decoder(z).mean - model.decoder.network(z)),
            ]
    return largest(*errors)


@SECTION.row("ELBO and bound of several draws", tolerance=1e-12)
def samples(device: str = "cpu") -> float:
    """L(x) with several samples of z is the mean of L(x) with one each; the bound is the log of the mean weight."""
    model, x = small_model(device)
    draws = asarray(numpy.random.default_rng(1).standard_normal((3, len(x), 2)), device)
    with no_grad():
        together = to_numpy(model.elbo(x, GivenNoise(draws), n_samples=3))
        single = [to_numpy(model.elbo(x, GivenNoise(draws[i : i + 1]))) for i in range(3)]
        bound = to_numpy(model.importance_weighted_bound(x, GivenNoise(draws), n_samples=3))
        log_w = [to_numpy(model.log_weights(x, GivenNoise(draws[i : i + 1]))[0]) for i in range(3)]
    errors = (together - numpy.mean(single, axis=0), bound - numpy.log(numpy.mean(numpy.exp(log_w), axis=0)))
    return largest(*errors)


@SECTION.row("N/M estimator is unbiased", tolerance=1e-12)
def minibatches(device: str = "cpu", size: int = 7) -> float:
    """sum over minibatches of (M / N) grad[(N / M) sum over the minibatch of L(x)] = grad[sum over all N of L(x)]

    So the estimator is unbiased for a minibatch that is drawn with a probability in proportion to its rows.
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
    batches = list(data.minibatches(n, size, Noise(0, device=device)))
    estimate = sum(len(rows) / n * gradient(rows) for rows in batches)
    return largest(estimate - full) / largest(full)


@SECTION.row("epochs of fit, {}", tolerance=1e-9, each={"ELBO": "elbo", "IWAE": "iwae"})
def epochs_of_fit(name: str, device: str = "cpu", n_samples: int = 3) -> float:
    """Two epochs of `fit` ascend (1/M) sum over the minibatch of E_q[log p(x | z)] - b KL, for a KL weight b.

    For IWAE the objective is log (1/S) sum of p(x | z) (p(z) / q(z | x))^b. Every epoch is a fresh permutation of all
    rows.
    """
    (fitted, x), (model, _) = (small_model(device, binarize="dynamic") for _ in range(2))

    def minibatches(epoch: int) -> list[tuple[numpy.ndarray, float]]:
        order = Noise(0, epoch, device).permutation("order", len(x))
        return [(rows, len(rows) / len(x)) for rows in (order[:10], order[10:20], order[20:])]

    def bounds(model: VAE, pixels: Any, rows: numpy.ndarray, noise: Noise) -> tuple[Any, Any]:
        q = model.encoder(pixels)
        z = q.reparameterize(noise.normal("z", (n_samples, *q.shape)))
        log_p = model.decoder(z).log_prob(pixels)
        if name == "elbo":
            reconstruction = ops.sum(log_p) / (n_samples * len(rows))
            divergence = ops.sum(kl(q, model.prior)) / len(rows)
            return reconstruction - KL_WEIGHT * divergence, reconstruction - divergence
        weights = ops.exp(log_p + KL_WEIGHT * (model.prior.log_prob(z) - q.log_prob(z)))
        bound = ops.sum(ops.log(ops.sum(weights, axis=0) / n_samples)) / len(rows)
        return bound, bound

    quantity, options = "elbo" if name == "elbo" else "bound", {"batch_size": 10, "n_samples": n_samples}
    return error_of_fit((fitted, model), x, minibatches, bounds, quantity, objective=name, **options)


@SECTION.row("evaluate and log_likelihood", tolerance=1e-9)
def scores(device: str = "cpu") -> float:
    """`evaluate` and `log_likelihood` equal their formulas over the rows, in batches that do not divide them evenly."""
    model, x = small_model(device)
    noises = [Noise(0, batch, device) for batch in range(4)]
    with no_grad():
        parts = [model.elbo_terms(x[7 * i : 7 * i + 7], noises[i]) for i in range(4)]
        means = to_numpy(model.encoder(x).mean)
    reconstruction, divergence = (numpy.concatenate([to_numpy(part[i]) for part in parts]) for i in range(2))
    elbo = reconstruction - divergence
    found = evaluation.evaluate(model, x, batch_size=7)
    expected = {
        "elbo": elbo.mean(),
        "reconstruction": reconstruction.mean(),
        "kl": divergence.mean(),
        "elbo_standard_error": numpy.sqrt(((elbo - elbo.mean()) ** 2).sum() / (len(elbo) - 1) / len(elbo)),
        "active_units": (((means - means.mean(axis=0)) ** 2).mean(axis=0) > 0.01).sum(),
    }
    errors = [found[name] - value for name, value in expected.items()]
    model, x = small_model(device, likelihood="gaussian", std=0.01)  # weights far below the smallest float
    with no_grad():
        log_w = to_numpy(model.log_weights(x, Noise(0, device=device), 50))
    top = log_w.max(axis=0)
    w = numpy.exp(log_w - top)
    standard_error = numpy.sqrt(((w / w.mean(axis=0) - 1) ** 2).sum(axis=0) / (50 * 49))
    formulas = (top + numpy.log(w.mean(axis=0)), standard_error, w.sum(axis=0) ** 2 / (w**2).sum(axis=0))
    received = evaluation.log_likelihood(model, x, n_samples=50)
    errors += [a / b - 1 for a, b in zip(received, formulas, strict=True)]
    return largest(*errors)


@SECTION.row("bits per dimension of 8-bit images", tolerance=1e-12)
def bits(device: str = "cpu") -> float:
    """8 - E[log p(x)] / (D log 2) = -log2 P(image) / D for the density p = 256^D P in the cell of an 8-bit image

    The images have D = 3 equal pixels, one image for each grey value, and pixels are independent under P. The noise
    within the cells must have mean 1/2 and variance 1/12; the figure is infinite if either is off by more than a tenth.
    """
    images = numpy.repeat(numpy.arange(256, dtype=numpy.float32)[:, None] / 255, 3, axis=1)
    x = 256 * to_numpy(data.dequantize(asarray(images, device), Noise(0, device=device))).astype(numpy.float64)
    log_p = numpy.linspace(-9, 0, 256) - numpy.log(numpy.exp(numpy.linspace(-9, 0, 256)).sum())
    log_density = (log_p[numpy.clip(numpy.floor(x).astype(int), 0, 255)] + numpy.log(256)).sum(axis=1)
    received = numpy.array([evaluation.bits_per_dimension(float(value), 3) for value in log_density])
    within = x - numpy.arange(256)[:, None]
    moments = largest(within.mean() - 1 / 2, 12 * within.var() - 1)
    return math.inf if moments > 0.1 else largest(received + log_p / numpy.log(2))


@SECTION.row("score function = reparameterised gradient", tolerance=1e-9)
def gradient_estimators(device: str = "cpu") -> float:
    """d/d phi E_q[f(z)] = E_q[f(z) d/d phi log q(z)] = E[d/d phi f(m + s e)] for f = log p(x, z) - log q(z)

    The three estimators of the encoder's gradient (score function, with a baseline, reparameterised) use two draws
    each; their expectations are computed by quadrature.

    Source: Kingma & Welling (2014), sections 2.2 to 2.4.
    """
    model, x = small_model(device, latent_size=1)
    e, w = normal_nodes(2, n=129)  # two draws of one unit
    x, e, w = x[:1].repeat(len(e), axis=0), asarray(e.T[:, :, None].copy(), device), asarray(w, device)
    means = []
    for estimator in ESTIMATORS.values():
        bound = ops.sum(w * estimator(model, x, GivenNoise(e), n_samples=2))
        means.append(numpy.concatenate([to_numpy(g).ravel() for g in grad(bound, model.encoder.parameters())]))
    return largest(*(mean - means[0] for mean in means)) / largest(means[0])
