"""The mixture of Gaussians in the plane; scratchvae/checks/sketches.py has its integral and its moments."""

import math

import numpy
import pytest
from scipy.special import log_softmax, logsumexp
from scipy.stats import multivariate_normal

import scratchvae as sv
from scratchvae.backend import asarray
from scratchvae.distributions import BivariateMixture
from scratchvae.errors import ShapeError
from scratchvae.gradcheck import check_gradients

M = 3


def parameters(rng, *batch):
    return [rng.standard_normal(shape) for shape in ((*batch, M), (*batch, M, 2), (*batch, M, 2), (*batch, M))]


def covariance(log_std, r):
    s, rho = numpy.exp(log_std), math.tanh(r)
    return numpy.array([[s[0] ** 2, rho * s[0] * s[1]], [rho * s[0] * s[1], s[1] ** 2]])


def test_near_perfect_correlation_cancels_nothing():
    """On the line y = x, where u = v: log N = -log 2 pi + log cosh r - u^2 (1 + e^-2r) / 2 with 1 + e^-16."""
    mixture = BivariateMixture(numpy.zeros(1), numpy.zeros((1, 2)), numpy.zeros((1, 2)), numpy.array([8.0]))
    u = numpy.array([0.0, 1.0, 3.0])
    expected = -math.log(2 * math.pi) + math.log(math.cosh(8)) - u**2 * (1 + math.exp(-16)) / 2
    numpy.testing.assert_allclose(mixture.log_prob(numpy.stack([u, u], axis=-1)), expected, rtol=1e-14)


def test_a_mixture_is_the_weighted_sum_of_its_components(rng):
    logits, means, log_stds, r = parameters(rng, 4)
    x = rng.standard_normal((4, 2))
    expected = [
        logsumexp(
            log_softmax(logits[n])
            + [multivariate_normal(means[n, k], covariance(log_stds[n, k], r[n, k])).logpdf(x[n]) for k in range(M)]
        )
        for n in range(4)
    ]
    mixture = BivariateMixture(logits, means, log_stds, r)
    assert mixture.shape == x.shape
    numpy.testing.assert_allclose(mixture.log_prob(x), expected, rtol=1e-12)


def test_points_of_another_shape_are_refused(rng):
    with pytest.raises(ShapeError, match=r"\(\.\.\., 2\)"):
        BivariateMixture(*parameters(rng, 4)).log_prob(numpy.zeros((4, 1)))


def test_temperature_divides_logits_and_multiplies_variances(rng):
    mixture = BivariateMixture(*parameters(rng, 4))
    cool = mixture.at_temperature(0.25)
    numpy.testing.assert_allclose(cool.logits, 4 * mixture.logits)
    numpy.testing.assert_allclose(numpy.exp(cool.log_stds), 0.5 * numpy.exp(mixture.log_stds), rtol=1e-14)
    assert cool.means is mixture.means and cool.r is mixture.r


def test_components_are_drawn_with_their_weights(rng):
    logits, _, log_stds, r = parameters(rng)
    apart = BivariateMixture(logits, numpy.array([[0.0, 0], [100, 0], [200, 0]]), log_stds - 3, r)
    u = (numpy.arange(10_000) + 0.5) / 10_000
    x = apart.sample(u, numpy.zeros((10_000, 2)))
    frequency = [(abs(x[:, 0] - 100 * k) < 1).mean() for k in range(M)]
    numpy.testing.assert_allclose(frequency, numpy.exp(log_softmax(logits)), atol=2e-4)


def test_gradients(rng):
    x = rng.standard_normal((2, 2))
    function = lambda *p: BivariateMixture(*p).log_prob(x)  # noqa: E731
    assert check_gradients(function, *parameters(rng, 2)) < 1e-6


def test_single_precision_stays_on_every_device(rng, device):
    arrays = [a.astype(numpy.float32) for a in parameters(rng, 4)]
    x, u = rng.standard_normal((4, 2)).astype(numpy.float32), rng.random(4, dtype=numpy.float32)
    mixture = BivariateMixture(*(sv.Tensor(asarray(a, device)) for a in arrays))
    log_p, drawn = mixture.log_prob(asarray(x, device)), mixture.sample(asarray(u, device), asarray(x, device))
    assert log_p.dtype == drawn.dtype == numpy.float32
    expected = BivariateMixture(*(a.astype(numpy.float64) for a in arrays))
    numpy.testing.assert_allclose(sv.to_numpy(log_p), expected.log_prob(x.astype(numpy.float64)), rtol=1e-4)
    numpy.testing.assert_allclose(sv.to_numpy(drawn), expected.sample(u, x), rtol=1e-4)
