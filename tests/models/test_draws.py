"""Draws of p(x | z), beside its means: their mean and variance are those of the distribution."""

import math

import numpy
import pytest
from builders import LinearGaussian, Part

import scratchvae as sv
from scratchvae.distributions import Bernoulli, Laplace, Normal, Poisson
from scratchvae.errors import InputError
from scratchvae.nn import Module

N, D, K = 4000, 6, 2

VARIANCES = {
    Bernoulli: lambda p: p.mean * (1 - p.mean),
    Normal: lambda p: numpy.exp(2 * p.log_std) + 0 * p.mean,
    Laplace: lambda p: 2 * numpy.exp(2 * p.log_scale) + 0 * p.mean,
    Poisson: lambda p: p.mean,
}


def moved(model):
    """Away from zero biases, so that no mean and no deviation is what it would be by default."""
    rng = numpy.random.default_rng(3)
    for x in model.parameters():
        x.data += 0.3 * rng.standard_normal(x.shape).astype(x.dtype)
    return model


def in_standard_errors(values, expected):
    """How far the mean of independent values is from what it should be."""
    values = numpy.asarray(values, dtype=numpy.float64)
    return abs(values.mean() - expected) / (values.std(ddof=1) / math.sqrt(values.size))


def assert_drawn_from(p, x):
    """Residuals divided by the deviation have mean 0 and mean square 1, over all entries, and are no means."""
    residuals = (x - p.mean) / numpy.sqrt(VARIANCES[type(p)](p))
    assert x.shape == p.shape
    assert in_standard_errors(residuals, 0) < 4 and in_standard_errors(residuals**2, 1) < 4
    order = residuals.reshape(len(x), -1)
    correlation = (order[:, :-1] * order[:, 1:]).mean() * math.sqrt(order[:, 1:].size)
    assert abs(correlation) < 4  # every entry has a number of its own


LIKELIHOODS = [("bernoulli", 0.1), ("gaussian", 0.3), ("gaussian", "decoder"), ("laplace", "learned"), ("poisson", 0.1)]


@pytest.mark.parametrize(("likelihood", "std"), LIKELIHOODS, ids=lambda value: str(value))
def test_draws_of_a_vae_have_the_mean_and_the_variance_of_its_likelihood(likelihood, std):
    model = moved(sv.VAE.mlp(D, K, hidden=(4,), likelihood=likelihood, std=std))
    p = model.decode(model.prior_draws(N, 5))
    assert_drawn_from(p, model.sample(N, 5, draws=True))
    numpy.testing.assert_array_equal(model.sample(N, 5), p.mean)
    if likelihood in ("bernoulli", "poisson"):
        model.observations(model.sample(9, draws=True))  # data as the model takes them


def test_draws_of_images_and_of_classes():
    model = moved(sv.VAE.convolutional((4, 4, 1), K, channels=(2,)))
    assert_drawn_from(model.decode(model.prior_draws(N, 5)), model.sample(N, 5, draws=True))
    model = moved(sv.SemiSupervisedVAE.mlp(D, 3, K, hidden=(4,), likelihood="gaussian", std=0.2))
    y = numpy.arange(N) % 3
    assert_drawn_from(model.decode(model.prior_draws(N, 5), y), model.sample(N, 5, y, draws=True))
    numpy.testing.assert_array_equal(model.sample(N, 5, y), model.decode(model.prior_draws(N, 5), y).mean)
    assert model.sample(N, draws=True).std() > model.sample(N).std()


def linear(std=0.5):
    rng = numpy.random.default_rng(1)
    weight, centre = rng.standard_normal((3, D)), rng.standard_normal(D)
    inverse, posterior_std = 0.3 * rng.standard_normal((D, 3)), numpy.array([0.2, 0.4, 0.9])
    whole = LinearGaussian(weight, centre, std, inverse, posterior_std)
    return sv.VAE(Part(whole, "encode"), Part(whole, "decode"), 3, (D,)).to(dtype=numpy.float64), whole


def assert_moments(draws, mean, covariance):
    """The mean of every entry, and all entries of the covariance matrix, within 5 standard errors."""
    error = numpy.sqrt(numpy.diag(covariance) / len(draws))
    assert (abs(draws.mean(axis=0) - mean) < 5 * error).all()
    products = (draws - mean)[:, :, None] * (draws - mean)[:, None, :]
    spread = products.std(axis=0) / math.sqrt(len(draws))
    assert (abs(products.mean(axis=0) - covariance) < 5 * spread).all()


def test_a_reconstruction_by_draws_is_the_posterior_predictive():
    """x' = z W + c + t e with z ~ Normal((x - c) A, s^2): mean (x - c) A W + c, covariance W' s^2 W + t^2 I."""
    model, whole = linear()
    x = numpy.random.default_rng(2).standard_normal(D)
    draws = model.reconstruct(numpy.broadcast_to(x, (20_000, D)), draws=True, seed=4)
    weight, s = whole.weight.data, numpy.exp(whole.posterior_log_std)
    mean = (x - whole.centre) @ whole.inverse.data @ weight + whole.centre
    assert_moments(draws, mean, weight.T @ numpy.diag(s**2) @ weight + 0.25 * numpy.eye(D))
    numpy.testing.assert_allclose(model.reconstruct(x[None])[0], mean, rtol=1e-10)
    assert (model.reconstruct(x[None], draws=True, seed=1) != model.reconstruct(x[None], draws=True, seed=2)).all()


def stacked():
    first, whole = linear()
    second = moved(sv.SemiSupervisedVAE.mlp(2, 3, K, hidden=(4,), likelihood="gaussian", std="decoder"))
    return sv.StackedVAE(first, second, [0, 2]), whole


def test_draws_of_a_stacked_model_draw_every_variable():
    """x = z1 W + c + t e; of z1, units 0 and 2 by p(z1 | y, z2), and unit 1 by its prior: a Gaussian, exactly."""
    model, whole = stacked()
    z, y = numpy.full((20_000, K), 0.7), numpy.full(20_000, 1)
    p = model.second.decode(z[:1], y[:1])
    mean, variance = numpy.zeros(3), numpy.ones(3)
    mean[[0, 2]], variance[[0, 2]] = p.mean[0], numpy.exp(2 * p.log_std[0])
    draws = model.draw_decoded(z, y, sv.Noise(3))
    weight = whole.weight.data
    assert_moments(draws, mean @ weight + whole.centre, weight.T @ (variance[:, None] * weight) + 0.25 * numpy.eye(D))
    assert model.sample(5, 1, draws=True).shape == model.reconstruct(draws[:5], draws=True).shape == (5, D)


def test_the_class_and_z_are_drawn_from_their_posterior():
    """y by q(y | x), and z by q(z | x, y) at the y that was drawn; of M1+M2 at a draw of z1."""
    model = moved(sv.SemiSupervisedVAE.mlp(D, 3, K, hidden=(4,)))
    x = numpy.broadcast_to(numpy.random.default_rng(2).uniform(size=D).astype(numpy.float32), (N, D))
    z, y = model.draw_encoded(x, sv.Noise(4))
    shares = numpy.bincount(y, minlength=3) / N
    expected = model.classifier(x[:1]).mean.data[0]
    assert (abs(shares - expected) < 4 * numpy.sqrt(expected * (1 - expected) / N)).all() and (expected < 0.9).all()
    assert_drawn_from(model.encode(x, y), z)
    both, whole = stacked()
    x = numpy.broadcast_to(numpy.random.default_rng(2).standard_normal(D), (N, D))
    _, y = both.draw_encoded(x, sv.Noise(4))
    z1 = both.first.encode(x).sample(numpy.random.default_rng(0).standard_normal((N, 3)))[:, both.units]
    expected = both.second.classifier(z1).mean.data.mean(axis=0)
    shares = numpy.bincount(y, minlength=3) / N
    assert (abs(shares - expected) < 6 * numpy.sqrt(expected * (1 - expected) / N) + 1e-3).all()


class Bare(Module):
    """A likelihood of a user's own, from which nothing can be drawn."""

    likelihood = Normal

    def __call__(self, z):
        self.mean = numpy.asarray(getattr(z, "data", z))
        return self


def test_a_likelihood_without_draws_is_refused():
    model = sv.VAE(linear()[0].encoder, Bare(), 3, (3,))
    assert model.sample(2).shape == (2, 3)
    with pytest.raises(InputError, match=r"draws: expected a likelihood with a method draw\(noise\), received Bare"):
        model.sample(2, draws=True)
