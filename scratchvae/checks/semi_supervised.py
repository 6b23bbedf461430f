"""The semi-supervised model is checked by sums over classes, the class prior, alpha, and the rows of each term.

For a fixed class the model is a VAE, whose evidence is known by quadrature over z. The class prior here is not uniform.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy

from scratchvae import evaluation, ops
from scratchvae.autodiff import grad, no_grad
from scratchvae.backend import array_module, asarray, to_numpy
from scratchvae.checks.gradient_ascent import KL_WEIGHT, error_of_fit
from scratchvae.checks.row import Section, largest
from scratchvae.distributions import Categorical, kl
from scratchvae.gradcheck import check_gradients
from scratchvae.minibatches import labelled_minibatches
from scratchvae.models import VAE, SemiSupervisedVAE, StackedVAE
from scratchvae.nn import Module
from scratchvae.noise import GivenNoise, Noise
from scratchvae.objectives import semi_supervised, usual_alpha
from scratchvae.quadrature import divergence_from_posterior, elbo, exact_posterior, normal_nodes

SECTION = Section("semi-supervised models")

N_CLASSES, ALPHA = 3, 0.7


def small_model(device: str = "cpu", **settings: Any) -> tuple[SemiSupervisedVAE, Any, numpy.ndarray]:
    """Returns a model with 5 observed and 2 latent units and 3 classes in float64, 24 rows, and 6 labels, else -1."""
    sizes = {"input_size": 5, "n_classes": N_CLASSES, "latent_size": 2, "hidden": (4,), "activation": "tanh"}
    model = SemiSupervisedVAE.mlp(**sizes | settings).to(dtype=numpy.float64)
    rng = numpy.random.default_rng(0)
    for parameter in model.parameters():
        parameter.data += 0.3 * rng.standard_normal(parameter.shape)
    model.class_prior.logits += rng.standard_normal(model.n_classes)
    labels = numpy.full(24, -1)
    labels[rng.permutation(24)[:6]] = numpy.arange(6) % model.n_classes
    return model.to(device), asarray(rng.random((24, 5)), device), labels


class _EncoderOfClass(Module):
    """q(z | x, k) for one class k, given by its indicator"""

    def __init__(self, encoder: Module, indicator: Any) -> None:
        self.encoder, self.indicator = encoder, indicator

    def __call__(self, x: Any) -> Any:
        return self.encoder(x, self.indicator)


class _DecoderOfClass(Module):
    """p(x | k, z) for one class k, given by its indicator"""

    def __init__(self, decoder: Any, indicator: Any) -> None:
        self.decoder, self.indicator, self.likelihood = decoder, indicator, decoder.likelihood

    def __call__(self, z: Any) -> Any:
        shape = (*z.shape[:-1], len(self.indicator))
        return self.decoder(
            ops.concatenate([array_module(self.indicator).broadcast_to(self.indicator, shape), z], axis=-1)
        )


def of_class(model: SemiSupervisedVAE, k: int) -> VAE:
    """Returns p(x, z | y = k) with q(z | x, y = k), which is a VAE."""
    indicator = asarray(numpy.eye(model.n_classes)[k], model.device)
    encoder, decoder = _EncoderOfClass(model.encoder, indicator), _DecoderOfClass(model.decoder, indicator)
    return VAE(encoder, decoder, model.latent_size, model.observed_shape).to(dtype=numpy.float64)


def log_class_prior(model: SemiSupervisedVAE) -> numpy.ndarray:
    """Returns log p(y) of every class, (C,)."""
    logits = to_numpy(model.class_prior.logits)
    return logits - numpy.logaddexp.reduce(logits)


def zero_noise(device: str) -> GivenNoise:
    """Returns noise of zeros, so that z is the mean of q(z | x, y)."""
    return GivenNoise(asarray(numpy.zeros(()), device))


def expected(model: SemiSupervisedVAE, bound: Callable[[Any, Any], Any], row: Any) -> float:
    """Returns the expectation over the noise of bound(rows, noise) for one row, by quadrature."""
    e, w = normal_nodes(model.latent_size, n=97, width=12.0)
    with no_grad():
        values = bound(row.repeat(len(e), axis=0), GivenNoise(asarray(e, model.device)))
    return float(w @ to_numpy(values))


@SECTION.row("M2: L(x, y) + KL = log p(x, y)", tolerance=1e-4)
def supervised_evidence(device: str = "cpu") -> float:
    """L(x, y) + KL(q(z | x, y) || p(z | x, y)) = log p(x, y), by quadrature of both, so L(x, y) <= log p(x, y).

    Source: deck, "Supervised ELBO".
    """
    model, x, _ = small_model(device)
    errors = []
    for k in range(N_CLASSES):
        vae, row = of_class(model, k), x[k : k + 1]

        def supervised(rows: Any, noise: Any, k: int = k) -> Any:
            return model.supervised(rows, asarray(numpy.full(len(rows), k), device), noise)

        log_px = exact_posterior(vae, row).log_px
        gap = divergence_from_posterior(vae, row, vae.encode(row), log_px)
        errors.append(log_class_prior(model)[k] + log_px - gap - expected(model, supervised, row))
    return largest(*errors)


@SECTION.row("M2: U(x) + KL = log p(x)", tolerance=1e-4)
def unsupervised_evidence(device: str = "cpu", n: int = 3) -> float:
    """U(x) + KL(q(y, z | x) || p(y, z | x)) = log p(x) = log of the sum over y of p(y) p(x | y), by quadrature of all.

    The figure is infinite where U(x) exceeds log p(x).   Source: deck, "Unsupervised ELBO".
    """
    model, x, _ = small_model(device)
    errors = []
    for row in (x[i : i + 1] for i in range(n)):
        bound = expected(model, model.unsupervised, row)
        with no_grad():
            q = to_numpy(model.classifier(row).mean)[0]
        vaes = [of_class(model, k) for k in range(N_CLASSES)]
        log_given = numpy.array([exact_posterior(vae, row).log_px for vae in vaes])
        log_joint = log_class_prior(model) + log_given
        log_px = numpy.logaddexp.reduce(log_joint)
        of_z = [
            divergence_from_posterior(vae, row, vae.encode(row), log) for vae, log in zip(vaes, log_given, strict=True)
        ]
        divergence = q @ (numpy.log(q) - log_joint + log_px + of_z)
        errors.append(math.inf if bound > log_px else log_px - bound - divergence)
    return largest(*errors)


@SECTION.row("M2: U(x) = Monte Carlo over y, errors", tolerance=3.5)
def sum_over_classes(device: str = "cpu", n_draws: int = 20_000) -> float:
    """U(x) is the mean of L(x, y) - log q(y | x) over y ~ q(y | x); the distance is in standard errors of that mean.

    z is its posterior mean here, so that nothing else is drawn.
    """
    model, x, _ = small_model(device)
    x, errors = x[:4], []
    u = asarray(numpy.random.default_rng(1).random((n_draws, 1)), device)
    noise = zero_noise(device)
    with no_grad():
        enumerated = to_numpy(model.unsupervised(x, noise))
        for i in range(len(x)):
            q = model.classifier(x[i : i + 1])
            y = q.sample(u)[:, 0]
            rows = x[i : i + 1].repeat(n_draws, axis=0)
            draws = to_numpy(model.supervised(rows, y, noise) - Categorical(q.logits).log_prob(y))
            errors.append((draws.mean() - enumerated[i]) / (draws.std(ddof=1) / n_draws**0.5))
    return largest(*errors)


@SECTION.row("M2 of one class: U(x) = ELBO", tolerance=1e-10)
def one_class(device: str = "cpu") -> float:
    """With one class U(x) is the ELBO of a VAE."""
    model, x, _ = small_model(device, n_classes=1)
    vae = of_class(model, 0)
    errors = [expected(model, model.unsupervised, x[i : i + 1]) - elbo(vae, x[i : i + 1]) for i in range(3)]
    return largest(*errors)


@SECTION.row("M2: J~ = J + alpha sum of log q(y given x)", tolerance=1e-12)
def alpha_and_classifier(device: str = "cpu") -> float:
    """J~ = sum of L and U + alpha sum of log q(y | x)

    At alpha = 0 this is the deck's J, whose labelled part has no gradient with respect to the classifier. With the
    default alpha, J~ / N contains 0.1 times the mean of log q(y | x).

    Source: deck, "Semi-supervised objective function".
    """
    model, x, labels = small_model(device)
    labelled = asarray(numpy.flatnonzero(labels >= 0), device)
    others = asarray(numpy.flatnonzero(labels < 0), device)
    y = asarray(labels[labels >= 0], device)
    noise, both = zero_noise(device), array_module(x).concatenate([x[labelled], x[others]])
    j = ops.sum(model.supervised(x[labelled], y, noise)) + ops.sum(model.unsupervised(x[others], noise))
    with no_grad():
        log_q = to_numpy(ops.log_softmax(model.classifier(x[labelled]).logits))
    log_q = log_q[numpy.arange(len(y)), labels[labels >= 0]]
    errors = [
        float(ops.sum(model.objective(both, y, noise, alpha))) - float(j) - alpha * log_q.sum()
        for alpha in (0.0, ALPHA)
    ]
    alone = ops.sum(model.objective(x[labelled], y, noise, 0.0))
    errors += grad(alone, model.classifier.parameters())
    errors.append(usual_alpha(len(y), len(x)) * log_q.sum() / len(x) - 0.1 * log_q.mean())
    return largest(*errors)


@SECTION.row("M2: gradient of J~", tolerance=1e-6)
def gradient(device: str = "cpu") -> float:
    """The gradient of J~ by all parameters of all three networks equals finite differences."""
    model, x, _ = small_model(device)
    y = asarray(numpy.array([2, 0, 1]), device)
    noise = Noise(0, device=device)
    return check_gradients(lambda *_: model.objective(x[:5], y, noise, ALPHA, 2), *model.parameters(), order=1)


@SECTION.row("M2: weights average to p(x, y) and p(x)", tolerance=1e-6)
def evidence_by_weights(device: str = "cpu", n: int = 3) -> float:
    """The expected weights of `joint_log_weights` and `log_weights` are p(x, y) and p(x), by quadrature; relative."""
    model, x, _ = small_model(device)
    every = asarray(numpy.arange(N_CLASSES)[:, None], device)
    errors = []
    for row in (x[i : i + 1] for i in range(n)):
        log_joint = log_class_prior(model) + [exact_posterior(of_class(model, k), row).log_px for k in range(N_CLASSES)]
        for k in range(N_CLASSES):
            weight = expected(
                model, lambda rows, noise, k=k: ops.exp(model.joint_log_weights(rows, every, noise)[0, k]), row
            )
            errors.append(math.log(weight) - log_joint[k])
        weight = expected(model, lambda rows, noise: ops.exp(model.log_weights(rows, noise)[0]), row)
        errors.append(math.log(weight) - numpy.logaddexp.reduce(log_joint))
    return largest(*errors)


@SECTION.row("M2: classes by q and by p", tolerance=0)
def classes(device: str = "cpu") -> float:
    """`classification_error` is the share of rows with another label, by q(y | x) and by p(y | x).

    p(y | x) is computed by quadrature; importance sampling must find its most probable class for every row.
    """
    model, x, _ = small_model(device)
    x = x[:8]
    with no_grad():
        by_q = to_numpy(model.classifier(x).logits).argmax(axis=1)
    exact = [[exact_posterior(of_class(model, k), x[i : i + 1]).log_px for k in range(N_CLASSES)] for i in range(8)]
    log_joint = log_class_prior(model) + exact
    misses = float(not largest(evaluation.log_joint(model, x, 5000) - log_joint) <= 0.05)
    for n_samples, predicted in ((0, by_q), (5000, log_joint.argmax(axis=1))):
        for wrong in (0, 3):
            labels = (predicted + (numpy.arange(8) < wrong)) % N_CLASSES
            misses += abs(evaluation.classification_error(model, x, labels, n_samples) - wrong / 8)
    return misses


@SECTION.row("M2: J~ by minibatches is unbiased", tolerance=1e-12)
def estimator(device: str = "cpu", size: int = 3) -> float:
    """The mean over an epoch's steps of the minibatch gradient of J~ / N equals the gradient over all rows; relative.

    Each of 6 steps has 3 of the 6 labelled rows and 3 of the 18 others, so that all rows of a set are used equally
    often.
    """
    model, x, labels = small_model(device)
    objective = semi_supervised(model, labels, ALPHA)
    noise = zero_noise(device)

    def by_all() -> Any:
        labelled, others = (asarray(numpy.flatnonzero(rows), device) for rows in (labels >= 0, labels < 0))
        y = asarray(labels[labels >= 0], device)
        j = ops.sum(model.supervised(x[labelled], y, noise)) + ops.sum(model.unsupervised(x[others], noise))
        return (j + ALPHA * ops.sum(model.classifier(x[labelled]).log_prob(y))) / len(x)

    def flat(value: Any) -> numpy.ndarray:
        return numpy.concatenate([to_numpy(g).ravel() for g in grad(value, model.parameters())])

    steps = list(labelled_minibatches(labels, size, Noise(0, device=device)))
    mean = sum(flat(objective.value(x[rows], y, noise, 1, 1.0)[0]) for rows, y in steps) / len(steps)
    full = flat(by_all())
    return largest(mean - full) / largest(full)


def terms_of_class(model: SemiSupervisedVAE, x: Any, y: numpy.ndarray, e: Any) -> tuple[Any, Any, Any]:
    """Returns E_q[log p(x | y, z)], KL(q(z | x, y) || p(z)) - log p(y), and log q(y | x), written out.

    x: (N, D), y: a class of each row, (N,), e: (S, N, K).   -> (N,) each
    """
    indicator = asarray(numpy.eye(N_CLASSES)[y], model.device)
    q = model.encoder(x, indicator)
    beside_z = array_module(x).broadcast_to(indicator, (len(e), *indicator.shape))
    log_p = model.decoder(ops.concatenate([beside_z, q.reparameterize(e)], axis=-1)).log_prob(x)
    log_q = ops.sum(ops.log_softmax(model.classifier(x).logits) * indicator, axis=1)
    log_prior = asarray(log_class_prior(model)[y], model.device)
    return ops.sum(log_p, axis=0) / len(e), kl(q, model.prior) - log_prior, log_q


@SECTION.row("epochs of fit, J~", tolerance=1e-9)
def epochs_of_fit(device: str = "cpu", n_samples: int = 2) -> float:
    """Two epochs of `fit` ascend J~ / N by minibatches: each sum times its N_k / M_k, with a loop over the classes.

    Each of 3 steps has all 6 labelled rows and 6 of the 18 others; both sets are shuffled anew, independently.
    """
    (fitted, x, labels), (model, _, _) = (small_model(device, binarize="dynamic") for _ in range(2))
    known, unknown = numpy.flatnonzero(labels >= 0), numpy.flatnonzero(labels < 0)

    def minibatches(epoch: int) -> Iterator[tuple[numpy.ndarray, float]]:
        noise = Noise(0, epoch)
        order = unknown[noise.child("unknown").permutation("order 0", 18)]
        for step, others in enumerate((order[:7], order[7:14], order[14:])):
            labelled = known[noise.child("known").permutation(f"order {step}", 6)]
            yield numpy.concatenate([labelled, others]), len(others) / 18

    def bounds(model: SemiSupervisedVAE, pixels: Any, rows: numpy.ndarray, noise: Noise) -> tuple[Any, Any]:
        y, others = labels[rows[:6]], pixels[6:]
        e = noise.child("labelled").normal("z", (n_samples, 6, 2))
        reconstruction, divergence, log_q = (ops.sum(term) / 24 for term in terms_of_class(model, pixels[:6], y, e))
        e, share = noise.normal("z", (n_samples, N_CLASSES, len(others), 2)), 18 / len(others) / 24
        for k in range(N_CLASSES):
            terms = terms_of_class(model, others, numpy.full(len(others), k), e[:, k])
            q_k = ops.exp(terms[2])
            reconstruction = reconstruction + share * ops.sum(q_k * terms[0])
            divergence = divergence + share * ops.sum(q_k * (terms[1] + terms[2]))
        return reconstruction - KL_WEIGHT * divergence + ALPHA * log_q, reconstruction - divergence

    options = {"batch_size": 7, "n_samples": n_samples, "labels": labels, "alpha": ALPHA}
    return error_of_fit((fitted, model), x, minibatches, bounds, **options)


def small_stack(device: str = "cpu") -> tuple[StackedVAE, Any]:
    """Returns M2 with one latent unit on the second of two latent units of M1, 3 classes, in float64, and 2 rows."""
    first = VAE.mlp(4, latent_size=2, hidden=(3,), activation="tanh").to(dtype=numpy.float64)
    model = StackedVAE.mlp(first, [1], N_CLASSES, 1, (3,), "tanh").to(dtype=numpy.float64)
    rng = numpy.random.default_rng(1)
    for parameter in model.named_parameters().values():
        parameter.data[...] = 0.3 * rng.standard_normal(parameter.shape)
    model.class_prior.logits += rng.standard_normal(N_CLASSES)
    return model.to(device), asarray(rng.random((2, 4)), device)


@SECTION.row("M1+M2: weights average to p(x)", tolerance=1e-8)
def stacked_evidence(device: str = "cpu") -> float:
    """E[w] = p(x) = integral of p(x | z1) p(z1) over z1, relative, by quadrature.

    For the unit that M2 leaves out p(z1) is Normal(0, 1); for the other it is the sum over y and the integral over z2
    of p(z1 | y, z2) p(y) p(z2).

    The figure is infinite where the mean of U(x) exceeds log p(x).   Source: Kingma et al. (2014), section 2.
    """
    model, x = small_stack(device)
    (z1, w1), (z2, w2) = normal_nodes(2, n=49), normal_nodes(1, n=49)
    p_unit = numpy.zeros(len(z1))
    for k, log_p in enumerate(log_class_prior(model)):
        p_given = model.second.decode(asarray(z2, device), asarray(numpy.full(len(z2), k), device))
        p_unit += numpy.exp(log_p + to_numpy(p_given.log_prob(asarray(z1[:, None, 1:], device)))) @ w2
    prior = w1 * p_unit * numpy.exp(0.5 * z1[:, 1] ** 2) * math.sqrt(2 * math.pi)
    p_x = [prior @ numpy.exp(to_numpy(model.first.decode(asarray(z1, device)).log_prob(row))) for row in x]

    draws = [numpy.repeat(z1, len(z2), axis=0), numpy.tile(z2, (len(z1), 1))]
    noise = GivenNoise({"z1": asarray(draws[0], device), "z": asarray(draws[1], device)})
    w = numpy.outer(w1, w2).ravel()
    errors = []
    for i, p in enumerate(p_x):
        rows = x[i : i + 1].repeat(len(w), axis=0)
        with no_grad():
            log_w, bound = to_numpy(model.log_weights(rows, noise))[0], to_numpy(model.unsupervised(rows, noise))
        errors.append(w @ numpy.exp(log_w) / p - 1 if w @ bound <= math.log(p) else math.inf)
    return largest(*errors)
