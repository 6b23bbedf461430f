"""The mixture of Gaussians in the plane."""

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


@pytest.mark.parametrize("r", [0.0, 1.3, -2.0, 4.0])
def test_one_component_is_the_normal_of_scipy_far_off_too(rng, r):
    mean, log_std = rng.standard_normal(2), rng.standard_normal(2)
    mixture = BivariateMixture(numpy.zeros(1), mean[None], log_std[None], numpy.array([r]))
    x = mean + numpy.concatenate([rng.standard_normal((20, 2)), 100 * rng.standard_normal((5, 2))]) * numpy.exp(log_std)
    expected = multivariate_normal(mean, covariance(log_std, r)).logpdf(x)
    numpy.testing.assert_allclose(mixture.log_prob(x), expected, rtol=1e-11 if r == 4 else 1e-13)


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


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_the_density_integrates_to_one_and_has_the_moments_of_the_draws(temperature):
    """Mean and covariance of draws, by Gauss-Hermite, are those of the density, by quadrature."""
    logits, r = numpy.array([0.5, -0.2]), numpy.array([0.9, -1.1])
    means, log_stds = numpy.array([[0.5, -1.0], [-0.7, 0.4]]), numpy.array([[-0.3, 0.2], [0.1, -0.4]])
    mixture = BivariateMixture(logits, means, log_stds, r).at_temperature(temperature)
    axis = numpy.linspace(-10, 10, 801)
    grid = numpy.stack(numpy.meshgrid(axis, axis, indexing="ij"), axis=-1)
    p = numpy.exp(mixture.log_prob(grid)) * (axis[1] - axis[0]) ** 2
    assert abs(p.sum() - 1) < 1e-12
    mean = (p[..., None] * grid).sum(axis=(0, 1))
    second = numpy.einsum("ij,ija,ijb->ab", p, grid, grid)

    nodes, weights = numpy.polynomial.hermite_e.hermegauss(8)
    weights = numpy.outer(weights, weights).ravel() / (2 * math.pi)
    normal = numpy.stack(numpy.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    pi = numpy.exp(log_softmax(logits / temperature))
    drawn = [mixture.sample(numpy.full(len(normal), u), normal) for u in (0.5 * pi[0], pi[0] + 0.5 * pi[1])]
    numpy.testing.assert_allclose(sum(w * weights @ x for w, x in zip(pi, drawn, strict=True)), mean, atol=1e-12)
    received = sum(w * numpy.einsum("n,na,nb->ab", weights, x, x) for w, x in zip(pi, drawn, strict=True))
    numpy.testing.assert_allclose(received, second, atol=1e-12)


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
