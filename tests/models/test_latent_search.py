"""Search in a latent space: optima that are known, scikit-learn's Gaussian process, integrals, and what is refused."""

import itertools
import math
import tracemalloc

import numpy
import pytest
from scipy import integrate, optimize, stats

from scratchvae import ops
from scratchvae.alphabet import Alphabet
from scratchvae.checks.molecules import small_model
from scratchvae.distributions import Normal
from scratchvae.errors import DataError, InputError, ShapeError
from scratchvae.gaussian_process import LARGEST
from scratchvae.genetic import crossover, mutate, offspring
from scratchvae.latent_search import (
    GaussianProcess,
    _log_improvement,
    ascend,
    choose,
    expected_improvement,
    perturb,
    propose,
)

PRIOR = Normal(numpy.zeros(3), numpy.zeros(3))


@pytest.fixture
def data(rng):
    """Points and values of a smooth function of them, with noise."""
    z = rng.standard_normal((40, 3))
    return z, 3 + numpy.sin(2 * z[:, 0]) + 0.5 * z[:, 1] + 0.1 * rng.standard_normal(40)


@pytest.fixture(params=["one", "each"])
def process(request, data):
    return GaussianProcess(*data, 1.3, 0.3, 0.8 if request.param == "one" else [0.6, 1.2, 3.0])


# ---- ascent


@pytest.mark.parametrize("prior_weight", [0.5, 2.0])
def test_a_linear_objective_has_its_maximum_at_a_over_lambda(rng, prior_weight):
    a = rng.standard_normal(3)
    found = ascend(lambda z: z @ a, rng.standard_normal((4, 3)), PRIOR, 400, 0.1, prior_weight)
    numpy.testing.assert_allclose(found, numpy.tile(a / prior_weight, (4, 1)), atol=1e-8)


def test_steps_of_ascent_by_hand(rng):
    """f(z) = z'z / 2 - cubes: gradients that differ by row, two steps, another prior."""
    z, prior = rng.standard_normal((5, 3)), Normal(numpy.full(3, 0.5), numpy.full(3, math.log(2.0)))
    expected = z
    for _ in range(2):
        expected = expected + 0.05 * (expected - 3 * expected**2 - 0.7 * (expected - 0.5) / 4)
    found = ascend(lambda z: ops.sum(z * z / 2 - z**3, axis=1), z, prior, 2, 0.05, 0.7)
    numpy.testing.assert_allclose(found, expected, rtol=1e-12)
    assert ascend(lambda z: ops.sum(z, axis=1), z, prior, 0) is z


def test_the_ascent_of_a_predicted_property(rng):
    model, z = small_model(), rng.standard_normal((20, 2))
    found = ascend(lambda z: model.property_decoder(z).mean[..., 0], z, model.prior, 30, 0.05, 0.1)
    assert (model.predict_at(found)["logP"] > model.predict_at(z)["logP"] - 0.2).all()
    assert model.predict_at(found)["logP"].mean() > model.predict_at(z)["logP"].mean() + 0.5
    alone = ascend(lambda z: model.property_decoder(z).mean[..., 0], z[:1], model.prior, 30, 0.05, 0.1)
    numpy.testing.assert_allclose(found[:1], alone, rtol=1e-12)


def test_what_ascent_refuses():
    z, ones = numpy.ones((2, 3)), numpy.ones(3)
    with pytest.raises(InputError, match="rate"):
        ascend(lambda z: z @ ones, z, PRIOR, rate=-1)
    with pytest.raises(InputError, match="prior_weight"):
        ascend(lambda z: z @ ones, z, PRIOR, prior_weight=math.nan)
    with pytest.raises(ShapeError, match=r"\(N, 3\)"):
        ascend(lambda z: z @ ones, z[:, :2], PRIOR)
    for objective in (ops.sum, lambda z: z, lambda z: 1.0):
        with pytest.raises(ShapeError, match=r"Tensor of shape \(2,\)"):
            ascend(objective, z, PRIOR)
    with numpy.errstate(all="ignore"), pytest.raises(DataError, match="stay finite.*smaller rate"):
        ascend(lambda z: ops.sum(z**3, axis=1), z, PRIOR, 60, 10.0)


def test_perturbations(rng):
    z = rng.standard_normal((40, 30))
    moved = perturb(z, 4000, 0.3, seed=2)
    shift = moved - numpy.tile(z, (100, 1))
    assert moved.shape == (4000, 30) and abs(shift.mean()) < 0.004 and abs(shift.std() - 0.3) < 0.003
    assert (perturb(z, 4000, 0.3, seed=2) == moved).all() and (perturb(z, 7, 0.0) == z[:7]).all()
    for bad in ((z[0], 3, 0.1), (z, 0, 0.1), (z, 3, math.inf)):
        with pytest.raises(InputError):
            perturb(*bad)


# ---- the Gaussian process


def test_two_points_by_hand():
    """k = 4 exp(-1/2), C = [[5, k], [k, 5]], f(0) of y = (1, -1) with m = 0: k(0, Z) = 4 exp(-1/8) at both."""
    k = 4 * math.exp(-0.5)
    process = GaussianProcess([[0.5], [-0.5]], [1.0, -2.0], 2.0, 1.0, 1.0, 0.0)
    covariance, cross = numpy.array([[5, k], [k, 5]]), numpy.full(2, 4 * math.exp(-0.125))
    mean, std = process.predict([[0.0]])
    solved = numpy.linalg.solve(covariance, cross)
    numpy.testing.assert_allclose([mean[0], std[0] ** 2], [solved @ [1, -2], 4 - solved @ cross], rtol=1e-12)
    log_p = stats.multivariate_normal([0, 0], covariance).logpdf([1, -2])
    numpy.testing.assert_allclose(process.log_marginal_likelihood(), log_p, rtol=1e-12)


def test_the_process_is_that_of_scikit_learn(process, data, rng):
    gaussian_process = pytest.importorskip("sklearn.gaussian_process")
    kernels, (z, y), new = gaussian_process.kernels, data, rng.standard_normal((9, 3))
    smooth = kernels.ConstantKernel(1.3**2) * kernels.RBF(numpy.resize(process.length_scale, 3))
    peer = gaussian_process.GaussianProcessRegressor(smooth, alpha=0.3**2, optimizer=None).fit(z, y - process.mean)
    mean, std = peer.predict(new, return_std=True)
    for ours, theirs in zip(process.predict(new), (mean + process.mean, std), strict=True):
        numpy.testing.assert_allclose(ours, theirs, rtol=1e-8)
    _, covariance = peer.predict(new, return_cov=True)
    numpy.testing.assert_allclose(process.covariance(new), covariance, rtol=1e-8, atol=1e-12)
    noisy = gaussian_process.GaussianProcessRegressor(smooth + kernels.WhiteKernel(0.3**2), alpha=0, optimizer=None)
    noisy.fit(z, y - process.mean)
    for log_p in (peer.log_marginal_likelihood(), noisy.log_marginal_likelihood(noisy.kernel_.theta)):
        numpy.testing.assert_allclose(process.log_marginal_likelihood(), log_p, rtol=1e-8)


def test_the_largest_process_has_the_room_that_is_promised(rng):
    """Five arrays of N x N numbers: the factor and four others."""
    z = rng.standard_normal((600, 2))
    process = GaussianProcess(z, z[:, 0])
    for use in (process.gradient, lambda: process.covariance(z), lambda: process.predict_gradients(z)):
        tracemalloc.start()
        use()
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 4.3 * 600**2 * 8


def test_the_gradient_of_the_marginal_likelihood(process, data):
    def log_p(logarithms):
        return GaussianProcess(*data, *numpy.exp(logarithms[:2]), numpy.exp(logarithms[2:])).log_marginal_likelihood()

    at = numpy.log([process.std, process.noise, *process.length_scale])
    numerical = [(log_p(at + h) - log_p(at - h)) / 2e-5 for h in 1e-5 * numpy.eye(len(at))]
    numpy.testing.assert_allclose(process.gradient(), numerical, rtol=1e-6, atol=1e-6)


def test_the_mean_is_the_most_probable_one(process, data):
    hyperparameters = (process.std, process.noise, process.length_scale)

    def negative(mean):
        return -GaussianProcess(*data, *hyperparameters, mean).log_marginal_likelihood()

    found = optimize.minimize_scalar(negative, (2, 4), tol=1e-10)
    assert abs(found.x - process.mean) < 1e-5 and abs(process.mean - 3) < 1


@pytest.mark.parametrize("scales", ["one", "each"])
def test_the_fitted_hyperparameters_are_a_maximum(scales, data):
    process = GaussianProcess.fit(*data, scales)
    found = numpy.log([process.std, process.noise, *process.length_scale])
    widths = data[0].std(axis=0) * math.sqrt(3)
    start = [data[1].std(), data[1].std() / 2, *(widths if scales == "each" else [numpy.sqrt((widths**2).mean())])]
    gradient, inside = process.gradient(), abs(found - numpy.log(start)) < math.log(99)
    assert inside[:3].all() and abs(gradient[inside]).max() < 0.01
    assert process.log_marginal_likelihood() > GaussianProcess(*data, *start[:2], start[2:]).log_marginal_likelihood()
    again = GaussianProcess.fit(*data, scales, start=process)
    numpy.testing.assert_allclose(again.log_marginal_likelihood(), process.log_marginal_likelihood(), rtol=1e-4)
    if scales == "each":
        assert process.length_scale[0] < process.length_scale[2] and abs(process.noise - 0.1) < 0.07


def test_the_fit_finds_what_scikit_learn_finds(data):
    gaussian_process = pytest.importorskip("sklearn.gaussian_process")
    kernels, (z, y) = gaussian_process.kernels, data
    process = GaussianProcess.fit(z, y)
    kernel = kernels.ConstantKernel(1.0) * kernels.RBF(1.0) + kernels.WhiteKernel(0.1)
    peer = gaussian_process.GaussianProcessRegressor(kernel, alpha=0).fit(z, y - process.mean)
    assert process.log_marginal_likelihood() > peer.log_marginal_likelihood_value_ - 1e-3


def test_the_gradients_of_a_prediction(process, rng):
    z = rng.standard_normal((2, 3))
    mean, std, *slopes = process.predict_gradients(z)
    numpy.testing.assert_allclose([mean, std], process.predict(z), rtol=1e-10)
    several = rng.standard_normal((4, 3))
    variances = process.covariance(several).diagonal()
    numpy.testing.assert_allclose(variances, process.predict(several)[1] ** 2, rtol=1e-9)
    for which, slope in enumerate(slopes):
        numerical = [
            (process.predict(z + h)[which] - process.predict(z - h)[which]) / 2e-5 for h in 1e-5 * numpy.eye(3)
        ]
        numpy.testing.assert_allclose(slope, numpy.transpose(numerical), rtol=1e-6, atol=1e-8)


def test_a_believed_point_is_one_that_was_seen_at_the_mean(process, data, rng):
    z, new = rng.standard_normal((2, 3)), rng.standard_normal((7, 3))
    believer, points, values = process, *data
    for point in z:
        values = numpy.append(values, believer.predict(point[None])[0])
        points, believer = numpy.vstack([points, point]), believer.believe(point)
    whole = GaussianProcess(points, values, process.std, process.noise, process.length_scale, process.mean)
    for ours, theirs in zip(believer.predict(new), whole.predict(new), strict=True):
        numpy.testing.assert_allclose(ours, theirs, rtol=1e-9)
    numpy.testing.assert_allclose(believer.predict(new)[0], process.predict(new)[0], rtol=1e-12)
    assert (believer.predict(new)[1] < process.predict(new)[1]).all() and len(process.y) == 40


def test_what_a_process_refuses(data):
    z, y = data
    for bad, message in (
        ((z, y[:-1]), "y of shape"),
        ((z[:, 0], y), r"\(N, K\)"),
        ((z * numpy.nan, y), "finite points"),
        ((z, y * numpy.inf), "finite values"),
        ((z, y, 0.0), "positive, finite std"),
        ((z, y, 1.0, -1.0), "noise"),
        ((z, y, 1.0, 1.0, [1.0, 1.0]), "one length scale, or 3"),
        ((z.astype(int), y), "floating-point"),
        ((numpy.ones((LARGEST + 1, 1)), numpy.ones(LARGEST + 1)), "at most 5,000 points"),
    ):
        with pytest.raises(InputError, match=message):
            GaussianProcess(*bad)
    with pytest.raises(InputError, match="singular"):
        GaussianProcess(numpy.ones((9, 3)), y[:9], 1e8, 1e-9)
    with pytest.raises(InputError, match="differ"):
        GaussianProcess.fit(z, numpy.ones(40))
    with pytest.raises(InputError, match='"one" or "each"'):
        GaussianProcess.fit(z, y, "all")
    with pytest.raises(ShapeError, match=r"\(N, 3\)"):
        GaussianProcess(z, y).predict(z[:, :2])
    with pytest.raises(DataError, match="at most 5,000 points"):
        GaussianProcess(z, y).covariance(numpy.ones((LARGEST + 1, 3)))


# ---- expected improvement


@pytest.mark.parametrize("mean, std, best", [(0.3, 0.5, 1.0), (2.0, 0.4, 1.0), (-3.0, 1.0, 1.5), (1.0, 2.0, 1.0)])
def test_expected_improvement_is_its_integral(mean, std, best, rng):
    density = stats.norm(mean, std)
    integral, _ = integrate.quad(lambda f: (f - best) * density.pdf(f), best, max(best, mean) + 12 * std, epsabs=1e-14)
    found = expected_improvement(numpy.array([mean]), numpy.array([std]), best)[0]
    numpy.testing.assert_allclose(found, integral, rtol=1e-9)
    drawn = numpy.maximum(mean + std * rng.standard_normal(400_000) - best, 0)
    assert abs(drawn.mean() - found) < 4 * drawn.std() / math.sqrt(len(drawn)) + 1e-6


def test_expected_improvement_without_variance():
    assert expected_improvement([1.0, 3.0], [0.0, 0.0], 2.0).tolist() == [0.0, 1.0]
    with pytest.raises(InputError, match="at least 0"):
        expected_improvement([1.0], [-1.0], 0.0)


def test_the_logarithm_of_the_improvement_in_the_tail():
    """Where phi is 0 in floating point: log E = log s + log phi(u) - 2 log(-u) + log(1 - 3/u^2 + 15/u^4 - ...)"""
    u = -numpy.array([30.0, 100.0, 3e3, 0.99e4, 1.01e4, 1e6, 1e8])
    value, by_mean, by_std = _log_improvement(0.5 * u, 0.5, 0.0)
    series = math.log(0.5) - u**2 / 2 - math.log(2 * math.pi) / 2 - 2 * numpy.log(-u) + numpy.log1p(-3 / u**2)
    numpy.testing.assert_allclose(value, series, rtol=1e-6)
    numpy.testing.assert_allclose(by_mean[:4], -u[:4] / 0.5, rtol=5e-3)  # d log E / dm tends to -u / s
    assert numpy.isfinite(by_mean).all() and numpy.isfinite(by_std).all()


@pytest.mark.parametrize("u", [-50.0, -3.0, -1.001, -0.999, 0.0, 2.0, 40.0])
def test_the_slopes_of_the_logarithm_of_the_improvement(u):
    mean, std, h = 0.7 + u * 0.6, 0.6, 1e-5
    _, by_mean, by_std = _log_improvement(mean, std, 0.7)
    for ours, (m, s) in ((by_mean, (h, 0)), (by_std, (0, h))):
        ahead, behind = (_log_improvement(mean + sign * m, std + sign * s, 0.7)[0] for sign in (1, -1))
        numpy.testing.assert_allclose(ours, (ahead - behind) / (2 * h), rtol=1e-5, atol=1e-8)


def test_proposals_are_the_best_of_a_grid(rng):
    """In one dimension a grid shows where the maximum is, of the first point and, that one believed, of the second."""
    z = rng.uniform(-2, 2, (12, 1))
    process = GaussianProcess(z, numpy.sin(3 * z[:, 0]), 1.0, 0.05, 0.5)
    grid, best = numpy.linspace(-3, 3, 6001)[:, None], float(process.y.max())
    found = propose(process, numpy.linspace(-3, 3, 25)[:, None], 2, radius=0.5)
    for point in found:
        improvement = expected_improvement(*process.predict(grid), best)
        at = expected_improvement(*process.predict(point[None]), best)[0]
        assert at > improvement.max() * (1 - 1e-4)
        process = process.believe(point)
    assert abs(found[0] - found[1]) > 1e-3


def test_proposals_stay_near_their_starts(process, rng):
    starts = rng.standard_normal((3, 3))
    distances = abs(propose(process, starts, 3, radius=0.1)[:, None] - starts).max(axis=2)
    assert sorted((distances <= 0.1 + 1e-12).argmax(axis=1)) == [0, 1, 2] and distances.min(axis=1).max() < 0.1 + 1e-12
    with pytest.raises(InputError, match="radius"):
        propose(process, starts, 1, 0.0)
    with pytest.raises(InputError, match="q from 1 to 3"):
        propose(process, starts, 4, 1.0)
    with pytest.raises(ShapeError):
        propose(process, starts[:, :2], 1, 1.0)


def test_choices_are_made_one_after_another(process, rng):
    candidates = numpy.repeat(rng.standard_normal((30, 3)), 2, axis=0)  # twins: the second is hardly worth a visit
    chosen, best = choose(process, candidates, 5), float(process.y.max())
    assert len(set(chosen)) == 5 and len({number // 2 for number in chosen}) > 3
    believer = process
    for i, number in enumerate(chosen):
        improvement = expected_improvement(*believer.predict(candidates), best)
        others = numpy.delete(improvement, chosen[:i])
        numpy.testing.assert_allclose(improvement[number], others.max(), rtol=1e-7)
        believer = believer.believe(candidates[number])
    assert sorted(choose(process, candidates[:3], 9)) == [0, 1, 2]


# ---- strings


def test_all_crossovers_and_mutations_of_short_strings():
    """Of "ab" and "CD", at places that divide [0, 1) evenly, all nine; of "ab" with one symbol X, all seven."""
    places = list(itertools.product([0.0, 0.34, 0.99], repeat=2))
    crossed = ["".join(crossover("ab", "CD", place)) for place in places]
    assert crossed == ["CD", "D", "", "aCD", "aD", "a", "abCD", "abD", "ab"]
    draws = itertools.product([0.1, 0.5, 0.9], [0.0, 0.34, 0.51, 0.99], [0.5])
    mutated = {"".join(mutate("ab", "X", draw)) for draw in draws}
    assert mutated == {"Xb", "aX", "Xab", "aXb", "abX", "b", "a"}
    assert mutate([], ["X"], (0.9, 0.9, 0.5)) == ["X"]


def test_offspring_keep_symbols_whole():
    parents, alphabet = ["C[NH+]Cl", "BrCC", "C1CC1"], Alphabet(["Br", "C", "Cl", "[NH+]", "1"])
    strings = offspring(parents, alphabet, 2000, 0.5, seed=1)
    assert strings == offspring(parents, alphabet, 2000, 0.5, seed=1) and len(set(strings)) > 200
    assert all(alphabet.unknown(string) is None for string in strings)
    plain = set(offspring(parents, alphabet, 2000, 0.0))
    split = [alphabet.split(parent) for parent in parents]
    pairs = itertools.product(split, repeat=2)
    every = {"".join(a[:i] + b[j:]) for a, b in pairs for i in range(len(a) + 1) for j in range(len(b) + 1)}
    assert plain <= every and len(plain) > 0.9 * len(every)
    assert not set(offspring(parents, alphabet, 2000, 1.0)) <= every
    for bad in (([], alphabet, 3), ("CC", alphabet, 3), (parents, alphabet, 0), (parents, alphabet, 3, 1.5)):
        with pytest.raises(InputError):
            offspring(*bad)
