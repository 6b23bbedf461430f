"""Identities of distributions and of estimators: what a gradient check cannot see, such as a scale.

Every function returns (figure, tolerance): the figure is an error that ought to be 0. Expectations are exact sums, or
the trapezoidal rule, which is exact to rounding for smooth densities on an interval wide enough; there an error of
0.1 % in the code lifts the figure far above the tolerance. The two rows of noise see what chance lets them.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy

from scratchvae import data, evaluation, ops
from scratchvae.autodiff import Tensor, grad, no_grad
from scratchvae.backend import asarray, device_of, to_numpy
from scratchvae.distributions import Bernoulli, Categorical, Normal, kl
from scratchvae.distributions.kl import DIVERGENCES
from scratchvae.gradient_estimators import ESTIMATORS
from scratchvae.models import LIKELIHOODS, VAE
from scratchvae.models.networks import RealDecoder
from scratchvae.noise import GivenNoise, Noise
from scratchvae.optim import SGD
from scratchvae.quadrature import normal_nodes
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


OUTPUTS = ([0.3, -0.8, -0.4, 0.2], [-0.5, 0.1, 0.3, -0.1])
"""What a network gives for two entries of x in q and in p; a likelihood of one number an entry takes the first two."""


def examples(device: str = "cpu") -> dict[type, tuple[Any, Any]]:
    """EXAMPLES on a device, and the distributions that the decoders of LIKELIHOODS make of OUTPUTS."""
    decoders = [decoder for decoder in LIKELIHOODS.values() if decoder.likelihood not in EXAMPLES]
    pairs = EXAMPLES | {decoder.likelihood: tuple(_decoded(decoder, row) for row in OUTPUTS) for decoder in decoders}
    return {kind: tuple(copy.deepcopy(d).to(device) for d in pair) for kind, pair in pairs.items()}


def _decoded(decoder: Any, outputs: list[float]) -> Any:
    n = 2 * decoder.outputs_per_entry("decoder")
    return decoder.of(lambda z: z, "decoder", 1)(numpy.array(outputs[:n]))


def log_prob(distribution: Any, x: numpy.ndarray) -> numpy.ndarray:
    """log p(x) of NumPy's x as NumPy's, wherever the distribution lies."""
    return to_numpy(distribution.log_prob(asarray(x, _device(distribution))))


def total(distribution: Any) -> Result:
    """sum of p(x) over all x = 1"""
    x, weight = distribution.quadrature()
    return abs(float((weight * numpy.exp(log_prob(distribution, x))).sum()) - 1), 1e-10


def entropy(distribution: Any) -> Result:
    """H = -E[log p(x)]"""
    x, weight = distribution.quadrature()
    log_p = log_prob(distribution, x)
    return abs(float(-(weight * numpy.exp(log_p) * log_p).sum()) - float(distribution.entropy())), 1e-9


def divergence(q: Any, p: Any) -> Result:
    """KL(q || p) = E_q[log q(x) - log p(x)]"""
    x, weight = q.quadrature(p)
    log_q, log_p = log_prob(q, x), log_prob(p, x)
    return abs(float((weight * numpy.exp(log_q) * (log_q - log_p)).sum()) - float(kl(q, p))), 1e-9


def score(distribution: Any) -> Result:
    """E[d log p(x) / d parameter] = 0, for every parameter; relative to E|d log p(x) / d parameter| of order 1"""
    x, weight = distribution.quadrature()
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
        points, weight = d.quadrature()
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
    x, _ = distribution.quadrature()
    probability = numpy.exp(log_prob(distribution, x))
    if isinstance(distribution, Bernoulli):
        u, expected = numpy.repeat(u[:, None], distribution.shape[-1], axis=1), probability @ x
    else:
        expected = probability
    drawn = to_numpy(distribution.sample(asarray(u, _device(distribution))))
    shares = drawn.mean(axis=0) if isinstance(distribution, Bernoulli) else numpy.bincount(drawn, minlength=len(x)) / n
    return max(float(abs(part - expected).max()) for part in (shares, to_numpy(distribution.mean))), 2 / n


def draws(distribution: Any, n: int = 100_000) -> Result:
    """The draws by evenly spaced u, and `mean` and `std`, have the expectations that the density has, by quadrature.

    Of an entry x: E[cos t x] and E[sin t x], which are bounded, so that the draws give them to some 1 / n.
    """
    u = numpy.repeat(((numpy.arange(n) + 0.5) / n)[:, None], distribution.shape[-1], axis=1)
    drawn = to_numpy(distribution.sample(asarray(u, _device(distribution))))
    x, weight = distribution.quadrature()
    probability = weight * numpy.exp(log_prob(distribution, x))
    mean = probability @ x
    errors = [mean - to_numpy(distribution.mean)]
    if hasattr(distribution, "std"):
        errors.append(numpy.sqrt(probability @ (x - mean) ** 2) - to_numpy(distribution.std))
    for t in (0.5, 1.0, 2.0):
        errors += [wave(t * drawn).mean(axis=0) - probability @ wave(t * x) for wave in (numpy.cos, numpy.sin)]
    return max(float(abs(error).max()) for error in errors), 20 / n


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


def decoders(device: str = "cpu") -> Result:
    """p(x | z) has the mean and the standard deviation that its network and `std` say; relative, in float32."""
    model, _ = small_model(device)
    z = asarray(numpy.random.default_rng(1).standard_normal((6, 2)), device)
    output = to_numpy(model.decoder.network(z).data)
    with no_grad():
        errors = [to_numpy(model.decoder(z).mean) * (1 + numpy.exp(-output)) - 1]
        model, _ = small_model(device, likelihood="poisson")
        errors.append(to_numpy(model.decoder(z).mean) * (numpy.exp(-output) + 2.0**-24) - 1)
        real = [name for name, decoder in LIKELIHOODS.items() if issubclass(decoder, RealDecoder)]
        for likelihood, std in product(real, (0.1, 2.0)):
            model, _ = small_model(device, likelihood=likelihood, std=std)
            errors += [
                to_numpy(model.decoder(z).std) / std - 1,
                to_numpy(model.decoder(z).mean - model.decoder.network(z)),
            ]
    return max(float(abs(error).max()) for error in errors), 1e-6


def samples(device: str = "cpu") -> Result:
    """L(x) with several draws of z is the mean of those with one; the bound is the log of the mean of the weights."""
    model, x = small_model(device)
    draws = asarray(numpy.random.default_rng(1).standard_normal((3, len(x), 2)), device)
    with no_grad():
        together = to_numpy(model.elbo(x, GivenNoise(draws), n_samples=3))
        single = [to_numpy(model.elbo(x, GivenNoise(draws[i : i + 1]))) for i in range(3)]
        bound = to_numpy(model.importance_weighted_bound(x, GivenNoise(draws), n_samples=3))
        log_w = [to_numpy(model.log_weights(x, GivenNoise(draws[i : i + 1]))[0]) for i in range(3)]
    errors = (together - numpy.mean(single, axis=0), bound - numpy.log(numpy.mean(numpy.exp(log_w), axis=0)))
    return max(float(abs(error).max()) for error in errors), 1e-12


def minibatches(device: str = "cpu", size: int = 7) -> Result:
    """The sum over an epoch's minibatches of (M / N) times d/d parameters (N / M) sum of L(x) is that over all N.

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
    return float(abs(estimate - full).max() / abs(full).max()), 1e-12


def epochs_of_fit(objective: str, device: str = "cpu") -> Result:
    """Two epochs of plain gradient ascent by `fit` are the loop that its docstring says, and so are its figures.

    Fresh permutations, every row once, pixels drawn anew at every step, rate times the gradient of (1/M) sum over the
    minibatch of E_q[log p(x | z)] - b KL, or of log (1/S) sum of p(x | z) (p(z) / q(z | x))^b, written out.
    """
    n_samples, rate, weight, size = 3, 0.1, 0.5, 10
    (fitted, x), (model, _) = (small_model(device, binarize="dynamic") for _ in range(2))
    options = {"optimizer": SGD, "learning_rate": rate, "kl_weight": weight, "n_samples": n_samples}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PosteriorCollapseWarning)  # a few steps on 24 rows teach nothing
        history = fit(fitted, x, epochs=2, batch_size=size, objective=objective, progress=False, **options)
    bounds, step = [], 0
    for epoch in range(2):
        order = Noise(0, epoch, device).permutation("order", len(x))
        total = 0.0
        for rows in (order[:10], order[10:20], order[20:]):
            noise = Noise(0, step, device)
            batch = x[asarray(rows, device)]
            batch = (noise.uniform("pixels", batch.shape) < batch).astype(batch.dtype)
            q = model.encoder(batch)
            z = q.reparameterize(noise.normal("z", (n_samples, *q.shape)))
            log_p = model.decoder(z).log_prob(batch)
            if objective == "elbo":
                shown = ops.sum(log_p) / n_samples - ops.sum(kl(q, model.prior))
                bound = ops.sum(log_p) / n_samples - weight * ops.sum(kl(q, model.prior))
            else:
                weights = ops.exp(log_p + weight * (model.prior.log_prob(z) - q.log_prob(z)))
                shown = bound = ops.sum(ops.log(ops.sum(weights, axis=0) / n_samples))
            for parameter, g in zip(model.parameters(), grad(bound, model.parameters()), strict=True):
                parameter.data = parameter.data + rate / len(rows) * g
            total, step = total + float(shown), step + 1
        bounds.append(total / len(x))
    errors = [
        float(abs(after.data - expected.data).max())
        for after, expected in zip(fitted.parameters(), model.parameters(), strict=True)
    ]
    figures = history["elbo" if objective == "elbo" else "bound"]
    return max(*errors, *(abs(a - b) for a, b in zip(figures, bounds, strict=True))), 1e-9


def scores(device: str = "cpu") -> Result:
    """`evaluate` and `log_likelihood` are their formulas over the rows, in batches that do not divide them evenly."""
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
    errors = [abs(found[name] - value) for name, value in expected.items()]
    model, x = small_model(device, likelihood="gaussian", std=0.01)  # weights far below the smallest float
    with no_grad():
        log_w = to_numpy(model.log_weights(x, Noise(0, device=device), 50))
    largest = log_w.max(axis=0)
    w = numpy.exp(log_w - largest)
    standard_error = numpy.sqrt(((w / w.mean(axis=0) - 1) ** 2).sum(axis=0) / (50 * 49))
    formulas = (largest + numpy.log(w.mean(axis=0)), standard_error, w.sum(axis=0) ** 2 / (w**2).sum(axis=0))
    received = evaluation.log_likelihood(model, x, n_samples=50)
    errors += [abs(a / b - 1).max() for a, b in zip(received, formulas, strict=True)]
    return float(max(errors)), 1e-9


def bits(device: str = "cpu") -> Result:
    """8 - E[log p(x)] / (D log 2) = -log2 P(image) / D for the density p = 256^D P in the cell of an 8-bit image

    For images of D = 3 equal pixels, one for each grey value, independent of each other under P. The noise within the
    cells ought to have the mean 1/2 and the variance 1/12, which counts for a tenth.
    """
    images = numpy.repeat(numpy.arange(256, dtype=numpy.float32)[:, None] / 255, 3, axis=1)
    x = 256 * to_numpy(data.dequantize(asarray(images, device), Noise(0, device=device))).astype(numpy.float64)
    log_p = numpy.linspace(-9, 0, 256) - numpy.log(numpy.exp(numpy.linspace(-9, 0, 256)).sum())
    log_density = (log_p[numpy.clip(numpy.floor(x).astype(int), 0, 255)] + numpy.log(256)).sum(axis=1)
    received = numpy.array([evaluation.bits_per_dimension(float(value), 3) for value in log_density])
    within = x - numpy.arange(256)[:, None]
    moments = max(abs(within.mean() - 1 / 2), abs(12 * within.var() - 1)) > 0.1
    return float(abs(received + log_p / numpy.log(2)).max() + moments), 1e-12


def gradient_estimators(device: str = "cpu") -> Result:
    """d/d phi E_q[f(z)] = E_q[f(z) d/d phi log q(z)] = E[d/d phi f(m + s e)] for f = log p(x, z) - log q(z)

    The encoder's gradient by score function, with a baseline, and by reparameterisation, from two draws each; the
    expectations by quadrature.   Source: Kingma & Welling (2014), sections 2.2 to 2.4.
    """
    model, x = small_model(device, latent_size=1)
    e, w = normal_nodes(2, n=129)  # two draws of one unit
    x, e, w = x[:1].repeat(len(e), axis=0), asarray(e.T[:, :, None].copy(), device), asarray(w, device)
    means = []
    for estimator in ESTIMATORS.values():
        bound = ops.sum(w * estimator(model, x, GivenNoise(e), n_samples=2))
        means.append(numpy.concatenate([to_numpy(g).ravel() for g in grad(bound, model.encoder.parameters())]))
    return float(max(abs(mean - means[0]).max() for mean in means) / abs(means[0]).max()), 1e-9


def identities(device: str = "cpu") -> dict[str, Callable[[], Result]]:
    """Every identity by what it says, to be called without arguments."""
    table: dict[str, Callable[[], Result]] = {}
    pairs = examples(device)
    line = Normal(numpy.array([0.3]), numpy.array([-0.4])).to(device)
    for name, q in {"Normal, 1-D": line, **{kind.__name__: pair[0] for kind, pair in pairs.items()}}.items():
        table[f"{name}: probabilities sum to 1"] = partial(total, q)
        if hasattr(q, "entropy"):
            table[f"{name}: entropy"] = partial(entropy, q)
        table[f"{name}: mean score is 0"] = partial(score, q)
        moments = normal_moments if isinstance(q, Normal) else frequencies if type(q) in EXAMPLES else draws
        table[f"{name}: moments of draws"] = partial(moments, q)
    for kind_q, kind_p in DIVERGENCES:
        if kind_q in pairs and kind_p in pairs:
            table[f"KL({kind_q.__name__}, {kind_p.__name__})"] = partial(divergence, pairs[kind_q][0], pairs[kind_p][1])
    table["log p(x) at logits of 800"] = partial(extreme_logits, device)
    table["noise: normal draws"] = partial(noise, "normal", device)
    table["noise: uniform draws"] = partial(noise, "uniform", device)
    table["decoders: mean and standard deviation"] = partial(decoders, device)
    table["ELBO and bound of several draws"] = partial(samples, device)
    table["N/M estimator is unbiased"] = partial(minibatches, device)
    table["epochs of fit, ELBO"] = partial(epochs_of_fit, "elbo", device)
    table["epochs of fit, IWAE"] = partial(epochs_of_fit, "iwae", device)
    table["evaluate and log_likelihood"] = partial(scores, device)
    table["bits per dimension of 8-bit images"] = partial(bits, device)
    table["score function = reparameterised gradient"] = partial(gradient_estimators, device)
    return table


def _device(distribution: Any) -> str:
    return device_of(next(iter(distribution.named_buffers().values())))
