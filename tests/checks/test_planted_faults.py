"""The faults that VAE code is known for, planted one at a time: `scratchvae check` must fail for each of them.

FAULTS is the table of docs/trust.md, FAULTS_OF_M2 that of docs/semi_supervised.md. A fault replaces a function of the
package while the rows that must catch it run, and a check of the gradients of ELBO, bound and J~ beside them, to see
what a gradient check alone would have caught. LINEAR_FAULTS are those of the linear models, which have no gradient to
check. That every row passes without a fault is tested by test_table.py and tests/engine/test_gradient_table.py.
"""

import inspect
import math
import textwrap
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy
import pytest
from scipy.special import gammainc, gammaln

import scratchvae as sv
from scratchvae import evaluation, objectives, ops
from scratchvae.autodiff import Tensor
from scratchvae.checks import exact_models, table
from scratchvae.checks import priors as checks_of_priors
from scratchvae.checks import semi_supervised as checks_of_m2
from scratchvae.checks.gradient_table import primitives
from scratchvae.checks.identities import EXAMPLES
from scratchvae.checks.row import Row
from scratchvae.cli import main
from scratchvae.distributions import (
    Bernoulli,
    BivariateMixture,
    KnownEntries,
    Laplace,
    NegativeBinomial,
    Normal,
    NormalMixture,
    Poisson,
    SketchDistribution,
    SketchStep,
    StudentT,
    SymbolSequence,
    event,
    poisson,
)
from scratchvae.distributions.kl import DIVERGENCES
from scratchvae.linear import (
    PPCA,
    FactorAnalysis,
    FastICA,
    GaussianNaiveBayes,
    LogisticRegression,
    factor_analysis,
    nmf,
    pca,
    ppca,
)
from scratchvae.minibatches import labelled_minibatches
from scratchvae.models import (
    BernoulliDecoder,
    GaussianDecoder,
    LaplaceDecoder,
    NegativeBinomialDecoder,
    PoissonDecoder,
    StackedVAE,
    StudentTDecoder,
    VampPrior,
    latent_variable_model,
    sketch_rnn,
)
from scratchvae.models.molecule_vae import MoleculeVAE
from scratchvae.models.sketch_networks import SketchDecoder, SketchEncoder
from scratchvae.models.sketch_rnn import SketchRNN
from scratchvae.models.symbol_networks import (
    ConvolutionalSymbolEncoder,
    PropertyDecoder,
    RecurrentSymbolEncoder,
    SymbolDecoder,
)
from scratchvae.nn import Bidirectional
from scratchvae.noise import Noise
from scratchvae.ops import linalg

LOG_2_PI = math.log(2 * math.pi)


class Fault(NamedTuple):
    """gradient_check: "sees" it, is "blind" to it, or is never asked: "-", where the fault changes no objective."""

    plant: Callable
    caught_by: str
    gradient_check: str = "blind"


# ---- distributions


def std_from_log_variance(monkeypatch):
    monkeypatch.setattr(Normal, "std", property(lambda self: ops.exp(2 * self.log_std)))


def normal_log_prob(formula):
    """Plant another log density; formula of (x - mean), log_std."""

    def log_prob(self, x):
        return event.sum_event(formula(x - self.mean, self.log_std), self)

    return lambda monkeypatch: monkeypatch.setattr(Normal, "log_prob", log_prob)


def kl_normal(formula):
    return lambda monkeypatch: monkeypatch.setitem(DIVERGENCES, (Normal, Normal), formula)


true_kl = DIVERGENCES[Normal, Normal]


def laplace_log_prob(formula):
    """Plant another log density; formula of |x - mean|, log_scale."""

    def log_prob(self, x):
        return event.sum_event(formula(ops.abs(x - self.mean), self.log_scale), self)

    return lambda monkeypatch: monkeypatch.setattr(Laplace, "log_prob", log_prob)


def poisson_log_prob(formula):
    """Plant another log probability; formula of x, log_rate, log x!."""

    def log_prob(self, x):
        return event.sum_event(formula(x, self.log_rate, gammaln(x + 1)), self)

    return lambda monkeypatch: monkeypatch.setattr(Poisson, "log_prob", log_prob)


def laplace_draws_from_one_tail(monkeypatch):
    true = Laplace.sample
    monkeypatch.setattr(Laplace, "sample", lambda self, u: true(self, numpy.minimum(u, 1 - u)))


def poisson_draws_from_the_wrong_tail(monkeypatch):
    monkeypatch.setattr(poisson, "special", lambda x: SimpleNamespace(gammaincc=gammainc, gammaln=gammaln))


def from_a_rate_that_is_the_log_rate(monkeypatch):
    true = Poisson.sample
    monkeypatch.setattr(Poisson, "sample", lambda self, u: true(Poisson(numpy.log(numpy.abs(self.log_rate))), u))


def std_is_the_scale(monkeypatch):
    monkeypatch.setattr(Laplace, "std", property(lambda self: ops.exp(self.log_scale)))


def decoder_takes_std_for_the_scale(monkeypatch):
    monkeypatch.setattr(LaplaceDecoder, "__call__", lambda self, z: Laplace(*self.parameters_of_x(z), self.event_ndim))


def decoder_gives_the_rate(monkeypatch):
    monkeypatch.setattr(
        PoissonDecoder, "__call__", lambda self, z: Poisson(ops.log(ops.softplus(self.network(z))), self.event_ndim)
    )


def student_t_log_prob(formula):
    """Plant another log density; formula of (x - mean) / s, log_scale, n, c(n)."""

    def log_prob(self, x):
        n = ops.exp(self.log_df)
        c = gammaln((n + 1) / 2) - gammaln(n / 2) - 0.5 * numpy.log(n * math.pi)
        return event.sum_event(formula((x - self.mean) * ops.exp(-self.log_scale), self.log_scale, n, c), self)

    return lambda monkeypatch: monkeypatch.setattr(StudentT, "log_prob", log_prob)


def student_t_decoder(change):
    """Plant another decoder; change of the location, log sigma and log n."""

    def call(self, z):
        mean, log_std = self.parameters_of_x(z)
        return change(mean, log_std, math.log(2) + ops.softplus(self.raw_log_excess - math.log(2)))

    return lambda monkeypatch: monkeypatch.setattr(StudentTDecoder, "__call__", call)


def negative_binomial_log_prob(formula):
    """Plant another log probability; formula of x, the mean m and the inverse dispersion t."""

    def log_prob(self, x):
        m, t = numpy.exp(self.log_mean), numpy.exp(self.log_dispersion)
        return event.sum_event(formula(x, m, t), self)

    return lambda monkeypatch: monkeypatch.setattr(NegativeBinomial, "log_prob", log_prob)


def log_choose(x, t):
    return gammaln(x + t) - gammaln(t) - gammaln(x + 1)


def another_sample(kind, change):
    """Draws of another distribution, change of the one that is asked."""
    true = kind.sample
    return lambda monkeypatch: monkeypatch.setattr(kind, "sample", lambda self, u: true(change(self), u))


def dispersion_is_not_inverse(monkeypatch):
    def call(self, z):
        log_mean, raw = numpy.split(sv.to_numpy(self.network(z)), 2, axis=-1)
        return NegativeBinomial(log_mean, -raw, self.event_ndim)

    monkeypatch.setattr(NegativeBinomialDecoder, "__call__", call)


def kl_of(kind, formula):
    return lambda monkeypatch: monkeypatch.setitem(DIVERGENCES, (kind, kind), formula)


true_kls = dict(DIVERGENCES)


def bernoulli_log_prob(summed):
    return lambda monkeypatch: monkeypatch.setattr(Bernoulli, "log_prob", summed)


def clipped(self, x):
    m = ops.clip(ops.sigmoid(self.logits), 1e-7, 1 - 1e-7)
    return event.sum_event(x * ops.log(m) + (1 - x) * ops.log(1 - m), self)


def overflowing(self, x):
    return event.sum_event(x * self.logits - ops.log(1 + ops.exp(self.logits)), self)


def averaged_over_pixels(self, x):
    return ops.mean(x * self.logits - ops.softplus(self.logits), axis=-1)


def sigmoid_twice(monkeypatch):
    monkeypatch.setattr(Bernoulli, "mean", property(lambda self: ops.sigmoid(ops.sigmoid(self.logits))))


def no_noise(monkeypatch):
    monkeypatch.setattr(Normal, "reparameterize", lambda self, noise: self.mean + 0 * noise)


def detached_draw(monkeypatch):
    def reparameterize(self, noise):
        return sv.to_numpy(getattr(self.mean, "data", self.mean)) + numpy.exp(self.log_std.data) * noise

    true = Normal.reparameterize
    monkeypatch.setattr(
        Normal,
        "reparameterize",
        lambda self, noise: reparameterize(self, noise) if isinstance(self.mean, Tensor) else true(self, noise),
    )


# ---- the model's objectives


def elbo_terms(change):
    """Plant other terms; change of (reconstruction per draw, KL)."""

    def terms(self, x, noise, n_samples=1):
        x = self.rows(x)
        q = self.encoder(x)
        z = q.reparameterize(noise.normal("z", (n_samples, *q.shape)))
        return change(self.decoder(z).log_prob(x), sv.kl(q, self.prior))

    return lambda monkeypatch: monkeypatch.setattr(sv.VAE, "elbo_terms", terms)


def same_noise_for_every_row(monkeypatch):
    def terms(self, x, noise, n_samples=1):
        x = self.rows(x)
        q = self.encoder(x)
        z = q.reparameterize(noise.normal("z", (n_samples, *q.shape))[:, :1])
        return ops.mean(self.decoder(z).log_prob(x), axis=0), sv.kl(q, self.prior)

    monkeypatch.setattr(sv.VAE, "elbo_terms", terms)


def log_weight_terms(change):
    """Plant other weights; change of (model, q, z) gives log q(z | x) - log p(z)."""

    def terms(self, x, noise, n_samples=1):
        x = self.rows(x)
        q = self.encoder(x)
        z = q.reparameterize(noise.normal("z", (n_samples, *q.shape)))
        return self.decoder(z).log_prob(x), change(self, q, z)

    return lambda monkeypatch: monkeypatch.setattr(sv.VAE, "log_weight_terms", terms)


def bound(formula):
    """Plant another importance-weighted bound; formula of the log weights (S, N)."""

    def importance_weighted_bound(self, x, noise, n_samples=1, kl_weight=1.0, record=objectives.each):
        return formula(self.log_weights(x, noise, n_samples, kl_weight, record))

    return lambda monkeypatch: monkeypatch.setattr(sv.VAE, "importance_weighted_bound", importance_weighted_bound)


iwae_of_fit_as_mean_of_logs = bound(lambda log_w: ops.mean(log_w, axis=0))


def elbo_of_fit(value):
    """Plant another objective of fit; value of (model, x, reconstruction (M,), KL (M,))."""

    def planted(self, x, noise, n_samples, kl_weight):
        reconstruction, kl = self.equation.__self__.elbo_terms(x, noise, n_samples)
        return value(x, reconstruction, kl), {"reconstruction": ops.mean(reconstruction), "kl": ops.mean(kl)}

    return lambda monkeypatch: monkeypatch.setattr(objectives.Objective, "value", planted)


# ---- evaluation, data, linear models, the engine


def log_likelihood(change):
    """Plant another estimate; change of the true (log_px, standard_error, effective), given the log weights (S, N)."""

    def estimate(model, x, n_samples=5000, seed=0):
        with sv.no_grad():
            log_w = sv.to_numpy(model.log_weights(x, Noise(seed), n_samples))
        weights = numpy.exp(log_w - log_w.max(axis=0))
        effective = weights.sum(axis=0) ** 2 / (weights**2).sum(axis=0)
        error = numpy.sqrt((n_samples / effective - 1) / (n_samples - 1))
        return change(log_w, numpy.log(weights.mean(axis=0)) + log_w.max(axis=0), error, effective)

    return lambda monkeypatch: monkeypatch.setattr(evaluation, "log_likelihood", estimate)


def batches_weighted_alike(monkeypatch):
    def evaluate(model, x, n_samples=1, seed=0, batch_size=1000):
        parts = [true_evaluate(model, x[i : i + batch_size], n_samples, seed) for i in range(0, len(x), batch_size)]
        return {name: numpy.mean([part[name] for part in parts]) for name in parts[0] if name != "binarize"}

    true_evaluate = evaluation.evaluate
    monkeypatch.setattr(evaluation, "evaluate", evaluate)


def binarize_by(probability):
    def binarized(x, mode, noise):
        return x if mode == "none" else (noise.uniform("pixels", x.shape) < probability(x)).astype(x.dtype)

    return lambda monkeypatch: monkeypatch.setattr(latent_variable_model, "binarize", binarized)


def without_the_bits_of_a_grey_value(monkeypatch):
    monkeypatch.setattr(evaluation, "bits_per_dimension", lambda elbo, n: -elbo / (n * math.log(2)))


def bits_of_the_whole_image(monkeypatch):
    monkeypatch.setattr(evaluation, "bits_per_dimension", lambda elbo, n: 8 - elbo / math.log(2))


def dequantize(formula):
    """Plant other real numbers for 8-bit images; formula of the grey values from 0 to 255 and uniform noise."""

    def planted(x, noise):
        return formula(255 * x, noise.uniform("dequantization", x.shape)).astype(x.dtype)

    return lambda monkeypatch: monkeypatch.setattr(sv.data, "dequantize", planted)


def minibatches(change, module):
    """Plant other minibatches; change of (the true ones, n, size)."""
    true = sv.data.minibatches

    def planted(monkeypatch):
        monkeypatch.setattr(module, "minibatches", lambda n, size, noise: change(list(true(n, size, noise)), n, size))

    return planted


def noise_variance_over_all_directions(monkeypatch):
    true = PPCA.fit

    def fit(self, X, y=None):
        true(self, X)
        k, d = self.n_components, X.shape[1]
        wrong = self.noise_variance_ * (d - k) / d
        self.weight_ = self.components_.T * numpy.sqrt(self.explained_variance_ - wrong)
        self.noise_variance_ = wrong
        return self

    monkeypatch.setattr(PPCA, "fit", fit)


def another_eigenvector(monkeypatch):
    """W and sigma2 from all eigenvectors but the third: a saddle point of the likelihood."""

    def fit(self, X, y=None):
        self.mean_ = X.mean(axis=0)
        values, vectors = numpy.linalg.eigh(numpy.cov(X.T, bias=True))
        kept = [-1, -2, -4][: self.n_components]
        self.noise_variance_ = (values.sum() - values[kept].sum()) / (len(values) - len(kept))
        self.explained_variance_, self.components_ = values[kept], vectors[:, kept].T
        self.weight_ = vectors[:, kept] * numpy.sqrt(numpy.maximum(values[kept] - self.noise_variance_, 0))
        return self

    monkeypatch.setattr(PPCA, "fit", fit)


def variance_for_std(monkeypatch):
    def likelihood(self, Z):
        return Normal(Z @ self.weight_.T + self.mean_, numpy.full((), math.log(self.noise_variance_)))

    monkeypatch.setattr(PPCA, "likelihood", likelihood)


def std_taken_for_a_variance(monkeypatch):
    true = GaussianDecoder.__init__

    def init(self, network, std=0.1):
        true(self, network, std if isinstance(std, str) else std**0.5)

    monkeypatch.setattr(GaussianDecoder, "__init__", init)


def sigmoid_before_the_logits(monkeypatch):
    monkeypatch.setattr(BernoulliDecoder, "__call__", lambda self, z: Bernoulli(ops.sigmoid(self.network(z))))


def uniform_for_normal(monkeypatch):
    monkeypatch.setattr(Noise, "normal", lambda self, name, shape: math.sqrt(12) * (self.uniform(name, shape) - 0.5))


def wrong_rule(monkeypatch):
    monkeypatch.setattr(ops.tanh, "rules", {0: lambda g, y, x: g * (1 - y)})


# ---- the semi-supervised model


def sum_over_classes(weight, with_entropy=True):
    """Plant another U; weight of q(y | x), (N, C), gives what the terms of every class are weighted by."""

    def terms(self, x, q, noise, n_samples):
        w = ops.transpose(weight(q.mean))
        reconstruction, divergence = self.supervised_terms(x, numpy.arange(self.n_classes)[:, None], noise, n_samples)
        entropy = q.entropy() if with_entropy else 0.0
        return ops.sum(w * reconstruction, axis=0), ops.sum(w * divergence, axis=0) - entropy

    return lambda monkeypatch: monkeypatch.setattr(sv.SemiSupervisedVAE, "_over_classes", terms)


def most_probable(q):
    return (q >= ops.max(q, axis=1, keepdims=True)) * numpy.ones(q.shape)


def no_class_prior(monkeypatch):
    true = sv.SemiSupervisedVAE.supervised_terms

    def terms(self, x, y, noise, n_samples=1):
        reconstruction, divergence = true(self, x, y, noise, n_samples)
        return reconstruction, divergence + self.class_prior.log_prob(y)

    monkeypatch.setattr(sv.SemiSupervisedVAE, "supervised_terms", terms)


def class_left_out_of_the_decoder(monkeypatch):
    true = sv.SemiSupervisedVAE._beside
    monkeypatch.setattr(sv.SemiSupervisedVAE, "_beside", lambda self, y, z: true(self, 0 * y - 1, z))


def mean_over_classes(monkeypatch):
    def log_weights(self, x, noise, n_samples=1):
        every = numpy.arange(self.n_classes)[:, None]
        given = self.joint_log_weights(x, every, noise, n_samples) - self.class_prior.log_prob(every)
        return ops.logsumexp(given, axis=1) - math.log(self.n_classes)

    monkeypatch.setattr(sv.SemiSupervisedVAE, "log_weights", log_weights)


def log_joint_by_the_mean_of_logs(monkeypatch):
    def log_joint(model, x, n_samples=100, seed=0):
        with sv.no_grad():
            every = numpy.arange(model.n_classes)[:, None]
            return sv.to_numpy(model.joint_log_weights(x, every, Noise(seed), n_samples)).mean(axis=0).T

    monkeypatch.setattr(evaluation, "log_joint", log_joint)


def reduction_of_fit(value):
    """Plant another J~ / N; value of (N^s / N, alpha, L (M^s,), log q (M^s,), U (M^u,))."""

    def planted(self, x, y, noise, n_samples, kl_weight):
        terms = self.equation.__self__.objective_terms(x, y, noise, n_samples)
        bound, log_q = terms[0] - kl_weight * terms[1], terms[2]
        share = self.n_labelled / len(self.labels)
        planted = value(share, self.alpha, bound[: len(y)], log_q, bound[len(y) :])
        return planted, dict(zip(self.terms, map(ops.mean, terms), strict=True))

    return lambda monkeypatch: monkeypatch.setattr(objectives._SemiSupervised, "value", planted)


def drawn_minibatches(change):
    """Plant other minibatches of two data sets; change of (labels, rows, y)."""

    def planted(labels, size, noise):
        return (change(labels, rows, y) for rows, y in labelled_minibatches(labels, size, noise))

    return lambda monkeypatch: monkeypatch.setattr(objectives, "labelled_minibatches", planted)


def the_same_labelled_rows_at_every_step(monkeypatch):
    def planted(labels, size, noise):
        (first, y), *others = labelled_minibatches(labels, size, noise)
        yield first, y
        for rows, _ in others:
            yield numpy.concatenate([first[: len(y)], rows[len(y) :]]), y

    monkeypatch.setattr(checks_of_m2, "labelled_minibatches", planted)


GAUSSIAN = "Normal: probabilities sum to 1"
EVIDENCE = "1-D VAE: ELBO + KL = log p(x)"
FAULTS = {
    "exp(log variance) taken for the standard deviation": Fault(std_from_log_variance, "Normal: moments of draws"),
    "KL that reads log sigma as log variance": Fault(
        kl_normal(lambda q, p: true_kl(Normal(q.mean, 0.5 * q.log_std), p)), "KL(Normal, Normal)"
    ),
    "KL with its arguments swapped": Fault(kl_normal(lambda q, p: true_kl(p, q)), "KL(Normal, Normal)"),
    "KL averaged over the latent units": Fault(
        kl_normal(lambda q, p: true_kl(q, p) / q.shape[-1]), "KL(Normal, Normal)"
    ),
    "KL with the wrong sign in the ELBO": Fault(elbo_terms(lambda log_p, kl: (ops.mean(log_p, axis=0), -kl)), EVIDENCE),
    "Gaussian likelihood without 2 pi": Fault(
        normal_log_prob(lambda d, s: -0.5 * ops.square(d * ops.exp(-s)) - s), GAUSSIAN
    ),
    "Gaussian likelihood without log sigma": Fault(
        normal_log_prob(lambda d, s: -0.5 * ops.square(d * ops.exp(-s)) - 0.5 * LOG_2_PI), GAUSSIAN
    ),
    "Gaussian likelihood without sigma: the squared error": Fault(
        normal_log_prob(lambda d, s: -0.5 * ops.square(d) - 0.5 * LOG_2_PI), "Normal: moments of draws"
    ),
    "Gaussian likelihood without the factor 1/2": Fault(
        normal_log_prob(lambda d, s: -ops.square(d * ops.exp(-s)) - s - 0.5 * LOG_2_PI), GAUSSIAN
    ),
    "Bernoulli probabilities clipped at 1e-7": Fault(bernoulli_log_prob(clipped), "KL(Bernoulli, Bernoulli)"),
    "log(1 + exp(logit)), which overflows": Fault(bernoulli_log_prob(overflowing), "log p(x) at logits of 800"),
    "reconstruction averaged over pixels": Fault(
        bernoulli_log_prob(averaged_over_pixels), "Bernoulli: probabilities sum to 1"
    ),
    "sigmoid applied twice": Fault(sigmoid_twice, "Bernoulli: moments of draws"),
    "z is the mean, without noise": Fault(no_noise, "Normal: moments of draws"),
    "one draw of noise for the whole batch": Fault(same_noise_for_every_row, EVIDENCE),
    "uniform noise where normal is meant": Fault(uniform_for_normal, "noise: normal draws", "-"),
    "no gradient through the draw": Fault(detached_draw, "score function = reparameterised gradient", "sees"),
    "only the first of several draws used": Fault(
        elbo_terms(lambda log_p, kl: (log_p[0], kl)), "ELBO and bound of several draws"
    ),
    "draws summed, not averaged": Fault(
        elbo_terms(lambda log_p, kl: (ops.sum(log_p, axis=0), kl)), "ELBO and bound of several draws"
    ),
    "IWAE by the mean of logs": Fault(bound(lambda log_w: ops.mean(log_w, axis=0)), "PPCA: bounds rise with the draws"),
    "IWAE by the mean of logs, inside fit": Fault(iwae_of_fit_as_mean_of_logs, "epochs of fit, IWAE", "-"),
    "IWAE without dividing by the number of draws": Fault(
        bound(lambda log_w: ops.logsumexp(log_w, axis=0)), "PPCA: bounds rise with the draws"
    ),
    "weights without the prior p(z)": Fault(
        log_weight_terms(lambda model, q, z: q.log_prob(z)), "PPCA: zero variance of the weights"
    ),
    "weights without q(z given x)": Fault(
        log_weight_terms(lambda model, q, z: -model.prior.log_prob(z)), "PPCA: zero variance of the weights"
    ),
    "log p(x) by the mean of logs": Fault(
        log_likelihood(lambda log_w, log_px, error, effective: (log_w.mean(axis=0), error, effective)),
        "PPCA: importance sampling, misses of 20",
        "-",
    ),
    "standard error not divided by sqrt(S)": Fault(
        log_likelihood(lambda log_w, log_px, error, effective: (log_px, error * len(log_w) ** 0.5, effective)),
        "evaluate and log_likelihood",
        "-",
    ),
    "weights exponentiated without their largest taken off": Fault(
        log_likelihood(
            lambda log_w, log_px, error, effective: (numpy.log(numpy.exp(log_w).mean(axis=0)), error, effective)
        ),
        "evaluate and log_likelihood",
        "-",
    ),
    "test ELBO as a mean of unequal batches' means": Fault(batches_weighted_alike, "evaluate and log_likelihood", "-"),
    "ELBO summed over the batch, not averaged": Fault(
        elbo_of_fit(lambda x, reconstruction, kl: ops.sum(reconstruction - kl)), "epochs of fit, ELBO", "-"
    ),
    "KL divided by the number of pixels": Fault(
        elbo_of_fit(lambda x, reconstruction, kl: ops.mean(reconstruction - kl / x.shape[-1])),
        "epochs of fit, ELBO",
        "-",
    ),
    "KL weight ignored": Fault(
        elbo_of_fit(lambda x, reconstruction, kl: ops.mean(reconstruction - kl)), "epochs of fit, ELBO", "-"
    ),
    "the last, partial minibatch left out": Fault(
        minibatches(lambda batches, n, size: [rows for rows in batches if len(rows) == size] or batches, sv.data),
        "N/M estimator is unbiased",
        "-",
    ),
    "the same, inside fit": Fault(
        minibatches(lambda batches, n, size: [*batches[:-1], batches[0]], objectives), "epochs of fit, ELBO", "-"
    ),
    "data never shuffled": Fault(
        minibatches(lambda batches, n, size: numpy.split(numpy.arange(n), range(size, n, size)), objectives),
        "epochs of fit, ELBO",
        "-",
    ),
    "pixels binarised by the wrong probability": Fault(binarize_by(lambda x: x**2), "epochs of fit, ELBO", "-"),
    "bits per dimension without the 8 of a grey value": Fault(
        without_the_bits_of_a_grey_value, "bits per dimension of 8-bit images", "-"
    ),
    "bits of the whole image taken for those of a dimension": Fault(
        bits_of_the_whole_image, "bits per dimension of 8-bit images", "-"
    ),
    "noise that leaves a grey value's cell": Fault(
        dequantize(lambda x, u: (x + u) / 255), "bits per dimension of 8-bit images", "-"
    ),
    "8-bit images without noise in their cells": Fault(
        dequantize(lambda x, u: (x + 0.5) / 256), "bits per dimension of 8-bit images", "-"
    ),
    "sigmoid before the logits": Fault(sigmoid_before_the_logits, "decoders: mean and standard deviation"),
    "the given sigma taken for sigma squared": Fault(std_taken_for_a_variance, "decoders: mean and standard deviation"),
    "PPCA's sigma2 over all D directions": Fault(
        noise_variance_over_all_directions, "PPCA: the likelihood is at its maximum", "-"
    ),
    "PPCA's sigma2 taken for sigma": Fault(variance_for_std, "PPCA: log p(x), dense and by Bayes' rule", "-"),
    "PPCA with a wrong eigenvector": Fault(another_eigenvector, "PPCA: the likelihood is at its maximum", "-"),
    "a wrong derivative: tanh' = 1 - y": Fault(wrong_rule, "tanh", "sees"),
}


def edited(owner, name, old, new):
    """Plant a function or method whose text has `new` where it had `old`."""
    source = textwrap.dedent(inspect.getsource(getattr(owner, name)))
    assert source.count(old) == 1

    def plant(monkeypatch):
        names = dict(vars(inspect.getmodule(owner)))
        exec("from __future__ import annotations\n" + source.replace(old, new), names)
        monkeypatch.setattr(owner, name, names[name])

    return plant


U_AND_KL, FIT_OF_M2 = "M2: U(x) + KL = log p(x)", "epochs of fit, J~"
WEIGHTS_OF_STACK = "M1+M2: weights average to p(x)"
FAULTS_OF_M2 = {
    "U without the entropy of q(y given x)": Fault(sum_over_classes(lambda q: q, with_entropy=False), U_AND_KL),
    "U at the most probable class, not summed over y": Fault(sum_over_classes(most_probable), U_AND_KL),
    "U with all classes weighted alike": Fault(sum_over_classes(lambda q: 0 * q + 1 / q.shape[1]), U_AND_KL),
    "U summed over y without q(y given x)": Fault(sum_over_classes(lambda q: 0 * q + 1.0), U_AND_KL),
    "no gradient through q(y given x)": Fault(
        sum_over_classes(lambda q: sv.to_numpy(getattr(q, "data", q))), "M2: gradient of J~", "sees"
    ),
    "no prior on y": Fault(no_class_prior, "M2: L(x, y) + KL = log p(x, y)"),
    "the class left out of the decoder": Fault(class_left_out_of_the_decoder, "M2: L(x, y) + KL = log p(x, y)"),
    "log p(x) by the mean over y, without p(y)": Fault(
        mean_over_classes, "M2: weights average to p(x, y) and p(x)", "-"
    ),
    "log p(x, y) by the mean of logs": Fault(log_joint_by_the_mean_of_logs, "M2: classes by q and by p", "-"),
    "alpha left out": Fault(
        reduction_of_fit(lambda s, a, l_x, log_q, u: s * ops.mean(l_x) + (1 - s) * ops.mean(u)), FIT_OF_M2, "-"
    ),
    "alpha times the mean over labelled rows, not the sum": Fault(
        reduction_of_fit(lambda s, a, l_x, q, u: s * ops.mean(l_x) + a * ops.mean(q) + (1 - s) * ops.mean(u)),
        FIT_OF_M2,
        "-",
    ),
    "alpha times the log of a probability already summed over rows": Fault(
        reduction_of_fit(lambda s, a, l_x, q, u: s * (ops.mean(l_x) + a * ops.sum(q)) + (1 - s) * ops.mean(u)),
        FIT_OF_M2,
        "-",
    ),
    "both data sets in one mean, not each by its N_k / M_k": Fault(
        reduction_of_fit(lambda s, a, l_x, q, u: ops.mean(ops.concatenate([l_x + a * q, u]))),
        "M2: J~ by minibatches is unbiased",
        "-",
    ),
    "labels out of step with their rows": Fault(
        drawn_minibatches(lambda labels, rows, y: (rows, labels[labels >= 0][: len(y)])), FIT_OF_M2, "-"
    ),
    "rows without a label taken for labelled ones": Fault(
        drawn_minibatches(lambda labels, rows, y: (rows, labels[rows])), FIT_OF_M2, "-"
    ),
    "the same labelled rows at every step": Fault(
        the_same_labelled_rows_at_every_step, "M2: J~ by minibatches is unbiased", "-"
    ),
    "M1+M2: M2 beside M1's prior, not in its place": Fault(
        edited(StackedVAE, "features", " - Normal(0 * units, 0 * units).log_prob(units)", ""), WEIGHTS_OF_STACK, "-"
    ),
    "M1+M2: no prior of the units that M2 does not take": Fault(
        edited(StackedVAE, "features", "Normal(0 * units, 0 * units).log_prob(units)", "self.first.prior.log_prob(z1)"),
        WEIGHTS_OF_STACK,
        "-",
    ),
    "M1+M2: features without their noise": Fault(
        edited(StackedVAE, "features", 'q.reparameterize(noise.normal("z1", q.shape))', "q.mean"), WEIGHTS_OF_STACK, "-"
    ),
}


LINEAR_FAULTS = {
    "z = W'x where W'W is not I": (
        lambda monkeypatch: monkeypatch.setattr(pca, "least_squares", pca.as_on_the_slide),
        "PCA: alternating minimisation is the SVD",
    ),
    "EM of PPCA without the posterior's covariance": (
        edited(ppca, "expectation_maximisation", "n * covariance + z.T @ z", "z.T @ z"),
        "PPCA: EM reaches the closed form",
    ),
    "EM of PPCA, sigma2 of the means alone": (
        edited(ppca, "expectation_maximisation", " + float(((W.T @ W) * covariance).sum())", ""),
        "PPCA: EM reaches the closed form",
    ),
    "EM of PPCA, sigma2 from the W before": (
        edited(
            ppca,
            "expectation_maximisation",
            "W = X.T @ z @ xp.linalg.inv(n * covariance + z.T @ z)\n    ",
            "W, old = X.T @ z @ xp.linalg.inv(n * covariance + z.T @ z), W\n        z = X @ W @ covariance\n    ",
        ),
        "EM: log p(x), dense, and it never falls",
    ),
    "factor analysis: Psi without its noise in W": (
        edited(factor_analysis, "expectation_maximisation", "xp.sqrt(eigenvalues - 1)", "xp.sqrt(eigenvalues)"),
        "FA: no slope at the maximum",
    ),
    "factor analysis: one variance for all columns": (
        edited(
            factor_analysis,
            "expectation_maximisation",
            "noise_variance * unexplained",
            "(noise_variance * unexplained).mean()",
        ),
        "FA: no slope at the maximum",
    ),
    "factor analysis: psi left in the units of columns of variance 1": (
        edited(FactorAnalysis, "fit", "std**2 * noise_variance", "std * noise_variance"),
        "FA: log p(x), dense and by Bayes' rule",
    ),
    "naive Bayes without log 2 pi": (
        edited(GaussianNaiveBayes, "_scores", "2 * math.pi * self.var_", "self.var_"),
        "naive Bayes: densities integrate to 1",
    ),
    "naive Bayes without p(y)": (
        edited(GaussianNaiveBayes, "_scores", "xp.log(self.class_prior_) - ", "-"),
        "naive Bayes: densities integrate to 1",
    ),
    "naive Bayes: shared variances not weighted by p(y)": (
        edited(GaussianNaiveBayes, "fit", "prior @ var", "var.mean(axis=0)"),
        "naive Bayes: no slope at the top",
    ),
    "naive Bayes: variances of all rows, not of the class's": (
        edited(GaussianNaiveBayes, "fit", "var = var + epsilon", "var = 0 * var + _mean_and_variance(X)[1]"),
        "naive Bayes: no slope at the top",
    ),
    "logistic regression: a penalty on the intercept": (
        edited(LogisticRegression, "fit", "xp.zeros(1, dtype=X.dtype)", "xp.full(1, penalty, dtype=X.dtype)"),
        "logistic regression: no slope at the top",
    ),
    "logistic regression: C ||w||^2 without the half": (
        edited(LogisticRegression, "fit", "penalty = 1 /", "penalty = 2 /"),
        "logistic regression: no slope at the top",
    ),
    "logistic regression: one step of Newton's": (
        edited(LogisticRegression, "fit", "self._iterate(", "self.set_params(tol=1e-1)._iterate("),
        "logistic regression: no slope at the top",
    ),
    "FastICA: divided by variances": (
        edited(FastICA, "fit", "singular_values[:, None] / math.sqrt(n)", "singular_values[:, None] ** 2 / n"),
        "FastICA: white, stationary, mixes to x",
    ),
    "NMF: B updated by the A before": (
        edited(
            nmf,
            "multiplicative_updates",
            "A = A * (X @ B.T) / xp.maximum(A @ (B @ B.T), tiny)\n        products, gram = A.T @ X, A.T @ A\n",
            "old = A\n        A = A * (X @ B.T) / xp.maximum(A @ (B @ B.T), tiny)\n"
            "        products, gram = old.T @ X, old.T @ old\n",
        ),
        "NMF: updates are steps down the gradient",
    ),
}
"""Name -> how it is planted, and the row that must fail."""


ROWS = {row.name: row for section in table.SECTIONS.values() for row in section}


def outcome(name):
    return table.run(ROWS[name])


def gradient_check():
    """What a gradient check alone looks at: gradients of the ELBO and of the bound by all parameters."""
    model = sv.VAE.mlp(input_size=3, latent_size=2, hidden=(2,), activation="tanh").to(dtype=numpy.float64)
    rng = numpy.random.default_rng(0)
    for parameter in model.parameters():
        parameter.data += 0.3 * rng.standard_normal(parameter.shape)
    x = rng.random((3, 3))
    for objective in (model.elbo, model.importance_weighted_bound):
        sv.check_gradients(lambda *_, f=objective: f(x, Noise(0), 2), *model.parameters(), order=1)
    m2, x, labels = checks_of_m2.small_model(hidden=(1,))
    sv.check_gradients(
        lambda *_: m2.objective(x[:4], labels[labels >= 0][:2], Noise(0), 0.7), *m2.parameters(), order=1
    )


def test_without_a_fault_the_gradient_check_passes():
    gradient_check()


@pytest.mark.parametrize("fault", (FAULTS | FAULTS_OF_M2).values(), ids=FAULTS | FAULTS_OF_M2)
def test_fault(fault, monkeypatch):
    fault.plant(monkeypatch)
    assert not outcome(fault.caught_by).passed
    if fault.gradient_check == "sees":
        with pytest.raises(sv.GradientError):
            gradient_check()
    elif fault.gradient_check == "blind":
        gradient_check()


LAPLACE, POISSON = "Laplace: probabilities sum to 1", "Poisson: probabilities sum to 1"
STUDENT_T, NEGATIVE_BINOMIAL = "StudentT: probabilities sum to 1", "NegativeBinomial: probabilities sum to 1"
DECODERS = "decoders: mean and standard deviation"
FAULTS_OF_LIKELIHOODS = {
    "Laplace likelihood with a factor of two in b": (
        laplace_log_prob(lambda d, s: -0.5 * d * ops.exp(-s) - s - math.log(2)),
        LAPLACE,
    ),
    "Laplace likelihood without log 2": (laplace_log_prob(lambda d, s: -d * ops.exp(-s) - s), LAPLACE),
    "Laplace likelihood without log b": (laplace_log_prob(lambda d, s: -d * ops.exp(-s) - math.log(2)), LAPLACE),
    "Laplace likelihood of std in place of b": (
        laplace_log_prob(lambda d, s: -d * ops.exp(-s) / math.sqrt(2) - s - 1.5 * math.log(2)),
        "Laplace: moments of draws",
    ),
    "Laplace std that is b": (std_is_the_scale, "Laplace: moments of draws"),
    "Laplace draws from one tail": (laplace_draws_from_one_tail, "Laplace: moments of draws"),
    "Laplace KL with its arguments swapped": (
        kl_of(Laplace, lambda q, p: true_kls[Laplace, Laplace](p, q)),
        "KL(Laplace, Laplace)",
    ),
    "Laplace decoder that takes std for b": (
        decoder_takes_std_for_the_scale,
        "decoders: mean and standard deviation",
    ),
    "Poisson likelihood without log x!": (poisson_log_prob(lambda x, a, f: x * a - ops.exp(a)), POISSON),
    "Poisson likelihood of the rate for its logarithm": (
        poisson_log_prob(lambda x, a, f: x * ops.exp(a) - ops.exp(a) - f),
        POISSON,
    ),
    "Poisson likelihood of the log rate for the rate": (
        poisson_log_prob(lambda x, a, f: x * ops.log(ops.abs(a)) - ops.abs(a) - f),
        "Poisson: moments of draws",
    ),
    "Poisson likelihood without the rate": (poisson_log_prob(lambda x, a, f: x * a - f), POISSON),
    "Poisson draws from the wrong tail": (poisson_draws_from_the_wrong_tail, "Poisson: moments of draws"),
    "Poisson draws of the log rate": (from_a_rate_that_is_the_log_rate, "Poisson: moments of draws"),
    "Poisson KL with its arguments swapped": (
        kl_of(Poisson, lambda q, p: true_kls[Poisson, Poisson](p, q)),
        "KL(Poisson, Poisson)",
    ),
    "Poisson decoder that gives the rate": (decoder_gives_the_rate, "decoders: mean and standard deviation"),
    "Student-t likelihood without log s": (
        student_t_log_prob(lambda u, s, n, c: c - (n + 1) / 2 * numpy.log1p(u**2 / n)),
        STUDENT_T,
    ),
    "Student-t likelihood with the power n / 2": (
        student_t_log_prob(lambda u, s, n, c: c - s - n / 2 * numpy.log1p(u**2 / n)),
        STUDENT_T,
    ),
    "Student-t likelihood of u^2 for u^2 / n": (
        student_t_log_prob(lambda u, s, n, c: c - s - (n + 1) / 2 * numpy.log1p(u**2)),
        STUDENT_T,
    ),
    "Student-t likelihood of a Normal's constant": (
        student_t_log_prob(lambda u, s, n, c: -0.5 * LOG_2_PI - s - (n + 1) / 2 * numpy.log1p(u**2 / n)),
        STUDENT_T,
    ),
    "Student-t draws of twice the degrees of freedom": (
        another_sample(StudentT, lambda d: StudentT(d.mean, d.log_scale, d.log_df + math.log(2))),
        "StudentT: moments of draws",
    ),
    "Student-t std that is s": (
        lambda monkeypatch: monkeypatch.setattr(StudentT, "std", property(lambda self: ops.exp(self.log_scale))),
        "StudentT: moments of draws",
    ),
    "Student-t decoder that takes std for s": (
        student_t_decoder(lambda mean, log_std, log_df: StudentT(mean, log_std, log_df)),
        DECODERS,
    ),
    "negative binomial likelihood without log x!": (
        negative_binomial_log_prob(
            lambda x, m, t: gammaln(x + t) - gammaln(t) - t * numpy.log1p(m / t) - x * numpy.log1p(t / m)
        ),
        NEGATIVE_BINOMIAL,
    ),
    "negative binomial likelihood without log Gamma(t)": (
        negative_binomial_log_prob(
            lambda x, m, t: gammaln(x + t) - gammaln(x + 1) - t * numpy.log1p(m / t) - x * numpy.log1p(t / m)
        ),
        NEGATIVE_BINOMIAL,
    ),
    "negative binomial likelihood with both chances swapped": (
        negative_binomial_log_prob(lambda x, m, t: log_choose(x, t) - x * numpy.log1p(m / t) - t * numpy.log1p(t / m)),
        "NegativeBinomial: moments of draws",
    ),
    "negative binomial likelihood of 1 / t for t": (
        negative_binomial_log_prob(
            lambda x, m, t: log_choose(x, 1 / t) - numpy.log1p(m * t) / t - x * numpy.log1p(1 / (m * t))
        ),
        "NegativeBinomial: moments of draws",
    ),
    "negative binomial draws of a Poisson": (
        another_sample(NegativeBinomial, lambda d: NegativeBinomial(d.log_mean, d.log_dispersion + 20)),
        "NegativeBinomial: moments of draws",
    ),
    "negative binomial decoder of the dispersion for its inverse": (dispersion_is_not_inverse, DECODERS),
}


@pytest.mark.parametrize(
    ("plant", "caught_by"), (FAULTS_OF_LIKELIHOODS | LINEAR_FAULTS).values(), ids=FAULTS_OF_LIKELIHOODS | LINEAR_FAULTS
)
def test_fault_of_a_likelihood_or_a_linear_model(plant, caught_by, monkeypatch):
    plant(monkeypatch)
    assert not outcome(caught_by).passed


# ---- priors


def mixture_log_prob(formula):
    """Plant another log density; formula of the logits and of log Normal(z; m_c, s_c) for every component."""

    def log_prob(self, z):
        return formula(self.logits, Normal(self.means, self.log_stds).log_prob(ops.expand_dims(z, -2)))

    return lambda monkeypatch: monkeypatch.setattr(NormalMixture, "log_prob", log_prob)


def mixture_draws(change):
    """Draws of another mixture, or of other noise; change of (mixture, uniform, normal)."""
    true = NormalMixture.sample
    return lambda monkeypatch: monkeypatch.setattr(
        NormalMixture, "sample", lambda self, uniform, normal: true(*change(self, uniform, normal))
    )


def kl_by_draws(formula):
    """Plant another KL by draws; formula of log q(z) - log p(z), (S, N)."""

    def divergence(q, p, z):
        return formula(q.log_prob(z) - p.log_prob(z))

    def plant(monkeypatch):
        for module in (sv.models.vae, checks_of_priors):
            monkeypatch.setattr(module, "kl_with_draws", divergence)

    return plant


def vamp(change):
    """Plant another VampPrior; change of (encoder, u)."""

    def mixture(self):
        q = change(self.encoder, self.pseudo_inputs)
        return NormalMixture(0 * sv.to_numpy(q.mean)[:, 0], q.mean, q.log_std)

    return lambda monkeypatch: monkeypatch.setattr(VampPrior, "mixture", mixture)


def detached(encoder, u):
    q = encoder(u)
    return Normal(*(sv.to_numpy(getattr(part, "data", part)) for part in (q.mean, q.log_std)))


def wide(encoder, u):
    q = encoder(ops.clip(u, -math.inf, math.inf))
    return Normal(q.mean, 2 * q.log_std)


MIXTURE, FIT_OF_MIXTURE = "NormalMixture: probabilities sum to 1", "epochs of fit, mixture prior"
FAULTS_OF_PRIORS = {
    "mixture of logits that are not normalised": (
        mixture_log_prob(lambda logits, log_c: ops.logsumexp(logits + log_c, axis=-1)),
        MIXTURE,
    ),
    "mixture of equal weights": (
        mixture_log_prob(lambda logits, log_c: ops.logsumexp(log_c, axis=-1) - math.log(len(logits))),
        MIXTURE,
    ),
    "mixture by the mean of logs": (
        mixture_log_prob(lambda logits, log_c: ops.sum(ops.softmax(logits) * log_c, axis=-1)),
        MIXTURE,
    ),
    "mixture of its nearest component alone": (
        mixture_log_prob(lambda logits, log_c: ops.max(ops.log_softmax(logits) + log_c, axis=-1)),
        MIXTURE,
    ),
    "mixture draws by equal weights": (
        mixture_draws(lambda p, u, e: (NormalMixture(0 * p.logits, p.means, p.log_stds), u, e)),
        "NormalMixture: moments of draws",
    ),
    "mixture draws of the means": (
        mixture_draws(lambda p, u, e: (p, u, 0 * e)),
        "NormalMixture: moments of draws",
    ),
    "KL by draws with its sign turned": (
        kl_by_draws(lambda log_ratio: -ops.mean(log_ratio, axis=0)),
        "mixture prior: ELBO + KL = log p(x)",
    ),
    "KL by draws, summed": (
        kl_by_draws(lambda log_ratio: ops.sum(log_ratio, axis=0)),
        "mixture prior: KL by draws, standard errors",
    ),
    "KL by the first of several draws": (kl_by_draws(lambda log_ratio: log_ratio[0]), FIT_OF_MIXTURE),
    "KL by the log of the mean ratio": (
        kl_by_draws(lambda log_ratio: ops.logsumexp(log_ratio, axis=0) - math.log(len(log_ratio))),
        "vamp prior: KL by draws, standard errors",
    ),
    "VampPrior that no gradient reaches": (vamp(detached), "epochs of fit, vamp prior"),
    "VampPrior of pseudo-inputs outside of the data": (
        vamp(lambda encoder, u: encoder(1.0 * u)),
        "epochs of fit, vamp prior",
    ),
    "VampPrior that reads log sigma as log variance": (vamp(wide), "VampPrior of all rows = aggregate posterior"),
    "VampPrior of the first pseudo-input": (
        vamp(lambda encoder, u: encoder(u[:1])),
        "VampPrior of all rows = aggregate posterior",
    ),
}


@pytest.mark.parametrize(("plant", "caught_by"), FAULTS_OF_PRIORS.values(), ids=FAULTS_OF_PRIORS)
def test_fault_of_a_prior(plant, caught_by, monkeypatch):
    plant(monkeypatch)
    assert not outcome(caught_by).passed


# ---- sketches

HALVES, STD_FOR_LOG_STD = "Normal(*halves(outputs))", "Normal(halves(outputs)[0], ops.exp(halves(outputs)[1]))"


def edited_pass(name, function, attribute, old, new):
    """Plant an edited forward or backward pass into a primitive."""
    primitive = primitives()[name]
    module = import_module(primitive.__module__)
    plant_function = edited(module, function, old, new)

    def plant(monkeypatch):
        plant_function(monkeypatch)
        monkeypatch.setattr(primitive, attribute, getattr(module, function))

    return plant


edited_lstm, edited_gru = partial(edited_pass, "lstm"), partial(edited_pass, "gru")
LSTM_FILE, GRU_FILE = (import_module(f"scratchvae.ops.{name}") for name in ("lstm", "gru"))


MOMENTS, DENSITY = "BivariateMixture: moments of density and draws", "sketch: log p(x) = its equations, row by row"
MIXTURE_TOTAL, DRAWS = "BivariateMixture: probabilities sum to 1", "sketch: draws are steps of its density"
ENCODER, COMPLETION = "SketchRNN: q(z | x) = its equations", "SketchRNN: completion, standard errors"
POINTS = "sketch: points left out move no other"
PADDING = "sketch: padding and the batch's order change nothing"
FAULTS_OF_SKETCHES = {
    "variances taken for deviations": (
        edited(BivariateMixture, "log_prob", "ops.exp(-self.log_stds)", "ops.exp(-self.log_stds / 2)"),
        MIXTURE_TOTAL,
    ),
    "rho taken for r": (edited(BivariateMixture, "__init__", "log_stds, r", "log_stds, ops.tanh(r)"), MOMENTS),
    "Gaussians without log(1 - rho^2) / 2": (
        edited(BivariateMixture, "log_prob", "_log_cosh(self.r) - ops.sum", "-ops.sum"),
        MIXTURE_TOTAL,
    ),
    "log(p + 1e-6)": (
        edited(
            BivariateMixture,
            "log_prob",
            "return ops.logsumexp(ops.log_softmax(self.logits) + log_n, axis=-1)",
            "return ops.log(ops.sum(ops.exp(ops.log_softmax(self.logits) + log_n), axis=-1) + 1e-6)",
        ),
        "BivariateMixture: one component = SciPy's normal",
    ),
    "draws with independent coordinates": (
        edited(BivariateMixture, "sample", "ops.tanh(r) * a", "0 * a"),
        MOMENTS,
    ),
    "deviations times the temperature": (
        edited(BivariateMixture, "at_temperature", "math.log(temperature) / 2", "math.log(temperature)"),
        MOMENTS,
    ),
    "components at temperature 1": (
        edited(BivariateMixture, "at_temperature", "self.logits / temperature", "self.logits"),
        MOMENTS,
    ),
    "pen at temperature 1": (edited(SketchStep, "sample", "self.pen.logits / temperature", "self.pen.logits"), DRAWS),
    "an offset drawn at the end": (edited(SketchStep, "sample", " * (pen != END)", ""), DRAWS),
    "offset of the end scored": (edited(SketchStep, "log_prob", "ops.where(pen == END, 0.0, ", "(0.0 + "), DENSITY),
    "pen scored on the padding": (
        edited(SketchDistribution, "log_prob", "n_points(x) + 1", "x.shape[1]"),
        DENSITY,
    ),
    "end not scored": (
        edited(SketchDistribution, "log_prob", "n_points(x) + 1", "xp.maximum(n_points(x), 1)"),
        DENSITY,
    ),
    "the decoder sees the row that it scores": (
        edited(SketchDistribution, "log_prob", "[_resting(x, (len(x), 1), DOWN), x[:, :-1]]", "[x]"),
        DENSITY,
    ),
    "z in the first state only": (
        edited(SketchDecoder, "__call__", "z @ self.constant_weight", "0 * (z @ self.constant_weight)"),
        DENSITY,
    ),
    "mean over the steps": (
        edited(
            SketchDistribution,
            "log_prob",
            ".log_prob(rows) - log_area)",
            ".log_prob(rows) - log_area) / (n_points(x) + 1)",
        ),
        DENSITY,
    ),
    "density in the units of the model": (edited(SketchDistribution, "log_prob", " - log_area", ""), DENSITY),
    "scale counted once, not for both axes": (
        edited(SketchDistribution, "log_prob", "2 * ops.log(self.scale)", "ops.log(self.scale)"),
        DENSITY,
    ),
    "draws in the units of the model": (edited(SketchDistribution, "sample", "*= self.scale", "*= 1"), DRAWS),
    "cells not carried from draw to draw": (
        edited(SketchDistribution, "sample", "h, c = self.lstm.step(", "h, _ = self.lstm.step("),
        DRAWS,
    ),
    "drawing goes on behind the end": (edited(SketchDistribution, "sample", "if t > 0:", "if t > longest:"), DRAWS),
    "last state of the whole batch's last rows": (
        edited(Bidirectional, "__call__", "forwards[packing.last]", "forwards[-packing.counts[0] :]"),
        PADDING,
    ),
    "std taken for log std": (
        edited(SketchEncoder, "__call__", HALVES, STD_FOR_LOG_STD),
        ENCODER,
    ),
    "the encoder sees offsets as given": (
        edited(SketchEncoder, "__call__", "rows[:, :2] / self.scale", "rows[:, :2]"),
        ENCODER,
    ),
    "the encoder reads the end": (edited(SketchEncoder, "__call__", "n_points(x)", "n_points(x) + 1"), ENCODER),
    "the encoder reads the padding": (
        edited(SketchEncoder, "__call__", "n_points(x)", "0 * n_points(x) + x.shape[1]"),
        ENCODER,
    ),
    "both directions forwards": (
        edited(Bidirectional, "__call__", "x[packing.reversal]", "x"),
        ENCODER,
    ),
    "completion without the prior": (
        edited(SketchRNN, "log_weights_of_prefix", " + self.prior.log_prob(z)", ""),
        COMPLETION,
    ),
    "completion without the proposal": (
        edited(SketchRNN, "log_weights_of_prefix", " - q.log_prob(z)", ""),
        COMPLETION,
    ),
    "draws wider than their density": (
        edited(SketchRNN, "log_weights_of_prefix", "q.sample(", "1.2 * q.sample("),
        COMPLETION,
    ),
    "an offset lost with its point": (
        edited(sketch_rnn, "without_points", "[x[..., :2], x", "[x[..., :2] * keep[..., None], x"),
        POINTS,
    ),
    "points left out at the ends of lines": (
        edited(sketch_rnn, "without_points", "drop & drawn_to & down", "drop & down"),
        POINTS,
    ),
    "the last point left out": (
        edited(sketch_rnn, "without_points", " & point_behind", ""),
        POINTS,
    ),
    "gates i and f exchanged": (
        edited_lstm("_run", "keep", "i, f, o, g = blocks(a, 4)", "f, i, o, g = blocks(a, 4)"),
        "lstm",
    ),
    "dropout of h, too": (
        edited_lstm("_run", "keep", "(o, last_tanh", "(o * (1 if dropout is None else dropout[step]), last_tanh"),
        "lstm",
    ),
    "one dropout for all steps": (
        edited_lstm("_run", "keep", "candidate *= dropout[step]", "candidate *= dropout[:n]"),
        "lstm",
    ),
    "cotangent of f from the new cell": (
        edited(LSTM_FILE, "_cell_slopes", "dc, previous_c, out", "dc, kept.cells, out"),
        "lstm",
    ),
    "cotangent of c not carried back": (edited(LSTM_FILE, "_cell_slopes", "dc *= f", "dc *= 0"), "lstm"),
}


@pytest.mark.parametrize(("plant", "caught_by"), FAULTS_OF_SKETCHES.values(), ids=FAULTS_OF_SKETCHES)
def test_fault_of_sketches(plant, caught_by, monkeypatch):
    plant(monkeypatch)
    assert not outcome(caught_by).passed


# ---- the GRU and its symbols

RESET = "xp.multiply(r, memory, out=new)"
FAULTS_OF_GRU = {
    "u and 1 - u exchanged": (edited_gru("_run", "keep", "new_h *= u", "new_h *= 1 - u"), "gru"),
    "reset before the product": (
        edited_gru("_run", "keep", RESET, "new[...] = (r * h[:n]) @ recurrent[:, 2 * size :] + recurrent_bias"),
        "gru",
    ),
    "bias outside the reset": (
        edited_gru("_run", "keep", RESET, "new[...] = r * (memory - recurrent_bias) + recurrent_bias"),
        "gru",
    ),
    "the constant in the first step only": (
        edited_gru("_run", "keep", "new += added[2]", "new += added[2] * (start == 0)"),
        "gru",
    ),
    "a step by the reset before the product": (
        edited(
            GRU_FILE,
            "gru_step",
            "r * (product[..., 2 * size :] + recurrent_bias)",
            "(r * h) @ recurrent[..., 2 * size :] + recurrent_bias",
        ),
        "gru",
    ),
    "cotangent of h without u": (edited(GRU_FILE, "_cell_slopes", "dh *= u", "dh *= 1"), "gru"),
    "cotangent of r without the bias": (
        edited_gru(
            *("_gru_rule", "together", "(step_dh, kept,"),
            "(step_dh, kept._replace(memories=kept.memories - recurrent_bias),",
        ),
        "gru",
    ),
    "cotangent of the constant from the last step": (
        edited_gru("_gru_rule", "together", "d_constant[:n] += a", "d_constant[:n] = a"),
        "gru",
    ),
    "two symbols share a row": (
        edited(linalg, "_row_index", "return index", "return index - (index == 3)"),
        "gather_rows",
    ),
    "the rows of a symbol averaged": (
        edited_pass(
            *("scatter_rows", "scatter_rows", "function"),
            "y += product((rows == index[part]).astype(x.dtype), x[part])",
            "y += (rows == index[part]) @ x[part] / (rows == index[part]).sum(axis=1, keepdims=True).clip(1)",
        ),
        "adjoint: gather_rows, scatter_rows",
    ),
}


@pytest.mark.parametrize(("plant", "caught_by"), FAULTS_OF_GRU.values(), ids=FAULTS_OF_GRU)
def test_fault_of_the_gru(plant, caught_by, monkeypatch):
    plant(monkeypatch)
    assert not outcome(caught_by).passed


# ---- molecules


def noise_of_std_001(monkeypatch):
    edited(sv.VAE, "_inferred", "noise.normal(", "0.01 * noise.normal(")(monkeypatch)


EQUATIONS, BEAMS = "strings: log p(x) = its equations, by symbol", "strings: beam of full width finds the mode"
FREQUENCIES, EVIDENCE = "strings: frequencies of draws, standard errors", "MoleculeVAE, 2-D z: ELBO + KL = log p(x, t)"
CONVOLUTIONS, RECURRENT = "strings: q(z | x) = its equations", "strings: recurrent q(z | x) = its equations"
IN_UNITS, NOT_KNOWN = "properties: density in their units = SciPy's", "properties: those not known = a smaller model"
BEHIND_THE_END = "strings: what is behind the end changes nothing"
STEPS = "xp.minimum(n_symbols(x) + 1, x.shape[1])"
FAULTS_OF_MOLECULES = {
    "the end not scored": (
        edited(SymbolSequence, "log_prob", STEPS, "n_symbols(x)"),
        EQUATIONS,
    ),
    "the padding scored": (
        edited(SymbolSequence, "log_prob", STEPS, "xp.full(len(x), x.shape[1])"),
        EQUATIONS,
    ),
    "mean over the symbols": (
        edited(SymbolSequence, "log_prob", "packing.sum(log_p)", f"packing.sum(log_p) / {STEPS}"),
        EQUATIONS,
    ),
    "the decoder of strings sees the symbol that it scores": (
        edited(SymbolSequence, "log_prob", "[xp.zeros_like(x[:, :1]), x[:, :-1]]", "[x]"),
        EQUATIONS,
    ),
    "the symbol before last": (
        edited(SymbolSequence, "log_prob", "x[:, :-1]]", "x[:, :1] * 0, x[:, :-2]]"),
        EQUATIONS,
    ),
    "strings paired with draws of others": (
        edited(SymbolSequence, "log_prob", "xp.broadcast_to(x, (samples, *x.shape))", "x.repeat(samples, axis=0)"),
        "MoleculeVAE: log_likelihood, standard errors",
    ),
    "z at the first step only": (
        edited(SymbolDecoder, "__call__", "z @ self.constant_weight", "0 * (z @ self.constant_weight)"),
        EQUATIONS,
    ),
    "h_0 without z": (edited(SymbolDecoder, "__call__", "self.initial, z)", "self.initial, 0 * z)"), EQUATIONS),
    "greedy takes the second": (
        edited(SymbolSequence, "greedy", "logits.argmax(axis=-1)", "logits.argsort(axis=-1)[..., -2]"),
        BEAMS,
    ),
    "logits times the temperature": (
        edited(SymbolSequence, "sample", "logits / temperature", "logits * temperature"),
        FREQUENCIES,
    ),
    "a number drawn once for all steps": (
        edited(SymbolSequence, "sample", "uniform[t, rows]", "uniform[0, rows]"),
        FREQUENCIES,
    ),
    "the first string's z for those that go on": (
        edited(SymbolSequence, "_written", "constant[going]", "constant[: going.sum()]"),
        BEAMS,
    ),
    "states not carried from symbol to symbol": (
        edited(
            SymbolSequence,
            "_written",
            "h = self.gru.step(symbol, h, constant)",
            "_ = self.gru.step(symbol, h, constant)",
        ),
        FREQUENCIES,
    ),
    "a string goes on behind its end": (
        edited(SymbolSequence, "_written", "going = symbol != 0", "going = symbol >= 0"),
        FREQUENCIES,
    ),
    "the last step's score of a beam alone": (
        edited(
            SymbolSequence,
            "beam",
            "(score[:, :, None] + log_q)",
            "(xp.where(score > -math.inf, 0, score)[:, :, None] + log_q)",
        ),
        BEAMS,
    ),
    "a beam goes on behind the end": (
        edited(SymbolSequence, "beam", "ended = x[:, :, t - 1] == 0", "ended = x[:, :, t - 1] < 0"),
        BEAMS,
    ),
    "a beam's states not those of its beginnings": (edited(SymbolSequence, "beam", "h = h[rows]", "h = h[:]"), BEAMS),
    "noise of standard deviation 0.01": (noise_of_std_001, EVIDENCE),
    "KL averaged over the units of z": (kl_normal(lambda q, p: true_kl(q, p) / q.shape[-1]), EVIDENCE),
    "a joint bound without the properties": (
        edited(MoleculeVAE, "joint_elbo", " + alpha * log_t", ""),
        EVIDENCE,
    ),
    "NaN counted as 0": (
        edited(KnownEntries, "log_prob", "ops.where(known, entries.log_prob(values), 0.0)", "entries.log_prob(values)"),
        NOT_KNOWN,
    ),
    "a row with a NaN left out": (
        edited(
            KnownEntries,
            "log_prob",
            "~array_module(x).isnan(x)",
            "~array_module(x).isnan(x + 0 * x.sum(axis=-1)[..., None])",
        ),
        NOT_KNOWN,
    ),
    "mean over the properties": (
        edited(KnownEntries, "log_prob", "return sum_event(", "return 1 / x.shape[-1] * sum_event("),
        IN_UNITS,
    ),
    "spread of a property without its unit": (
        edited(PropertyDecoder, "__call__", " + array_module(self.unit).log(self.unit)", ""),
        IN_UNITS,
    ),
    "mean of a property without its unit": (
        edited(PropertyDecoder, "__call__", "self.unit * self.network(z)", "self.network(z)"),
        IN_UNITS,
    ),
    "mean of a property without its centre": (
        edited(PropertyDecoder, "__call__", "self.centre + self.unit", "self.unit"),
        IN_UNITS,
    ),
    "convolutions read the end": (
        edited(ConvolutionalSymbolEncoder, "__call__", "lengths = n_symbols(x)", "lengths = n_symbols(x) + 1"),
        CONVOLUTIONS,
    ),
    "the first convolution reads the padding": (
        edited(ConvolutionalSymbolEncoder, "__call__", " * self._within(x, lengths)", ""),
        BEHIND_THE_END,
    ),
    "later convolutions read the padding": (
        edited(ConvolutionalSymbolEncoder, "__call__", "h = h * self._within(h, lengths)", "h = h * 1"),
        BEHIND_THE_END,
    ),
    "log sigma of convolutions taken for sigma": (
        edited(ConvolutionalSymbolEncoder, "__call__", HALVES, STD_FOR_LOG_STD),
        CONVOLUTIONS,
    ),
    "the GRUs read the end": (
        edited(RecurrentSymbolEncoder, "__call__", "n_symbols(x)", "n_symbols(x) + 1"),
        RECURRENT,
    ),
    "the GRUs read the padding": (
        edited(RecurrentSymbolEncoder, "__call__", "n_symbols(x)", "numpy.full(len(x), x.shape[1])"),
        BEHIND_THE_END,
    ),
    "log sigma of GRUs taken for sigma": (
        edited(RecurrentSymbolEncoder, "__call__", HALVES, STD_FOR_LOG_STD),
        RECURRENT,
    ),
    "both GRUs forwards": (edited(Bidirectional, "__call__", "x[packing.reversal]", "x"), RECURRENT),
}


@pytest.mark.parametrize(("plant", "caught_by"), FAULTS_OF_MOLECULES.values(), ids=FAULTS_OF_MOLECULES)
def test_fault_of_molecules(plant, caught_by, monkeypatch):
    plant(monkeypatch)
    found = outcome(caught_by)
    assert not found.passed and math.isfinite(found.figure), "caught by its figure, not by an exception"


# ---- a thousandth


def scaled(function, factor=1.001):
    return lambda *arguments, **options: function(*arguments, **options) * factor


class OneScaled:
    """The rules of a primitive, that of one argument wrong by a thousandth."""

    def __init__(self, rules, argument):
        self.rules, self.argument = rules, argument

    def get(self, i):
        return scaled(self.rules.get(i)) if i == self.argument else self.rules.get(i)


def arguments_with_rules(primitive):
    return [i for i in range(3) if primitive.rules.get(i)]


@pytest.mark.parametrize(
    ("name", "argument"),
    [(name, i) for name, primitive in primitives().items() for i in arguments_with_rules(primitive)],
)
def test_a_rule_wrong_by_a_thousandth(name, argument, monkeypatch):
    primitive = primitives()[name]
    monkeypatch.setattr(primitive, "rules", OneScaled(primitive.rules, argument))
    assert not outcome(name).passed


@pytest.mark.parametrize("pair", DIVERGENCES, ids=lambda pair: f"{pair[0].__name__}-{pair[1].__name__}")
def test_a_kl_wrong_by_a_thousandth(pair, monkeypatch):
    monkeypatch.setitem(DIVERGENCES, pair, scaled(DIVERGENCES[pair]))
    assert not outcome(f"KL({pair[0].__name__}, {pair[1].__name__})").passed


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("wrong", [scaled, lambda f: lambda *arguments: f(*arguments) + 0.001], ids=["times", "plus"])
def test_a_density_wrong_by_a_thousandth(kind, wrong, monkeypatch):
    monkeypatch.setattr(kind, "log_prob", wrong(kind.log_prob))
    assert not outcome(f"{kind.__name__}: probabilities sum to 1").passed


# ---- a NaN


@pytest.mark.parametrize(
    ("owner", "name", "caught_by"),
    [
        (evaluation, "log_likelihood", "PPCA: importance sampling, misses of 20"),
        (sv.VAE, "importance_weighted_bound", "PPCA: bounds rise with the draws"),
        pytest.param(exact_models, "elbo", "2-D VAE: encoder < best Normal < log p(x)", marks=pytest.mark.slow),
        (sv.SemiSupervisedVAE, "unsupervised", "M2: U(x) = Monte Carlo over y, errors"),
        (evaluation, "log_joint", "M2: classes by q and by p"),
        (StackedVAE, "unsupervised", "M1+M2: weights average to p(x)"),
    ],
)
def test_a_nan_is_no_inequality_that_holds(owner, name, caught_by, monkeypatch):
    true = getattr(owner, name)

    def planted(*arguments, **options):
        result = true(*arguments, **options)
        return tuple(math.nan * part for part in result) if isinstance(result, tuple) else math.nan * result

    monkeypatch.setattr(owner, name, planted)
    assert not outcome(caught_by).passed


# ---- the command, and the documents


def test_the_command_fails_for_a_fault_and_names_the_row(monkeypatch, capsys):
    monkeypatch.setattr(table, "SECTIONS", {"identities": table.SECTIONS["identities"]})
    assert main(["check"]) == 0
    out = capsys.readouterr().out
    assert "FAILED" not in out and ", 0 failed" in out
    FAULTS["KL with its arguments swapped"].plant(monkeypatch)
    assert main(["check"]) == 1
    out, err = capsys.readouterr()
    assert [line for line in out.splitlines() if "FAILED" in line and "KL(Normal, Normal)" in line]
    assert err == "scratchvae: check failed: KL(Normal, Normal)\n"


def test_a_row_that_raises_fails_and_the_others_run(monkeypatch, capsys):
    def raising(device):
        raise ValueError("two\nlines")

    rows = [Row("first", 0.0, raising), Row("second", 0.0, lambda device: 0.0)]
    monkeypatch.setattr(table, "SECTIONS", {"some": rows})
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert "FAILED ValueError: two lines" in out and out.count(" ok") == 1
    monkeypatch.setattr(table, "SECTIONS", {"some": [Row("a NaN", 1.0, lambda device: math.nan)]})
    assert main(["check"]) == 1


@pytest.mark.slow
def test_the_whole_command_passes(capsys):
    assert main(["check"]) == 0
    assert sum(line.endswith("  ok") for line in capsys.readouterr().out.splitlines()) == len(ROWS)


def test_the_page_on_m2_has_its_table():
    page = (Path(__file__).parents[2] / "docs" / "semi_supervised.md").read_text()
    for name, fault in FAULTS_OF_M2.items():
        assert f"| {name} | {fault.caught_by} | {fault.gradient_check} |" in page


def test_the_page_on_trust_has_this_table():
    page = (Path(__file__).parents[2] / "docs" / "trust.md").read_text()
    for name, fault in FAULTS.items():
        assert f"| {name} | {fault.caught_by} | {fault.gradient_check} |" in page
    counts = {
        verdict: sum(fault.gradient_check == verdict for fault in FAULTS.values()) for verdict in ("sees", "blind")
    }
    assert f"{len(FAULTS)} faults" in page
    others = [FAULTS_OF_M2, FAULTS_OF_LIKELIHOODS, FAULTS_OF_PRIORS, LINEAR_FAULTS, FAULTS_OF_SKETCHES]
    others += [FAULTS_OF_GRU, FAULTS_OF_MOLECULES]
    assert f"{sum(map(len, others))} more faults" in page and all(f"({len(faults)}" in page for faults in others)
    assert f"Of the {sum(counts.values())} that change" in page and f"alone sees {counts['sees']}" in page
