"""PPCA against SciPy, scikit-learn and its own definition, and what it refuses."""

import numpy
import pytest
from scipy import stats

import scratchvae as sv
from scratchvae.backend import asarray
from scratchvae.distributions import kl
from scratchvae.errors import DataError, InputError, ShapeError
from scratchvae.linear import PPCA


@pytest.fixture(params=[(200, 6), (7, 30)], ids=["tall", "wide"])
def x(request, rng):
    n, d = request.param
    return rng.standard_normal((n, 3)) @ rng.standard_normal((3, d)) + 0.3 * rng.standard_normal((n, d)) + 2


def test_it_equals_its_definition(x):
    ppca = PPCA(2).fit(x)
    covariance = numpy.cov(x.T, bias=True)
    eigenvalues = numpy.linalg.eigvalsh(covariance)[::-1]
    assert ppca.noise_variance_ == pytest.approx(eigenvalues[2:].mean(), rel=1e-9)
    numpy.testing.assert_allclose(ppca.explained_variance_, eigenvalues[:2], rtol=1e-9)
    weight, m = ppca.weight_, numpy.diag(eigenvalues[:2])
    numpy.testing.assert_allclose(weight.T @ weight + ppca.noise_variance_ * numpy.eye(2), m, atol=1e-9 * m.max())
    numpy.testing.assert_allclose(covariance @ weight, weight * eigenvalues[:2], atol=1e-9 * m.max())
    dense = stats.multivariate_normal(x.mean(axis=0), weight @ weight.T + ppca.noise_variance_ * numpy.eye(x.shape[1]))
    numpy.testing.assert_allclose(ppca.score_samples(x), dense.logpdf(x), rtol=1e-9)
    assert ppca.score(x) == pytest.approx(dense.logpdf(x).mean(), rel=1e-9)


def test_the_posterior_is_bayes_rule(x):
    """log p(z | x) = log p(x | z) + log p(z) - log p(x), at any z."""
    ppca, z = PPCA(3).fit(x), numpy.linspace(-2, 2, 3 * len(x)).reshape(len(x), 3)
    posterior = ppca.posterior(x)
    prior = stats.norm.logpdf(z).sum(axis=1)
    expected = ppca.likelihood(z).log_prob(x) + prior - ppca.score_samples(x)
    numpy.testing.assert_allclose(posterior.log_prob(z), expected, rtol=1e-9)
    numpy.testing.assert_array_equal(ppca.transform(x), posterior.mean)
    numpy.testing.assert_allclose(ppca.inverse_transform(z), z @ ppca.weight_.T + ppca.mean_)
    assert kl(posterior, sv.distributions.Normal(numpy.zeros(3), numpy.zeros(3))).shape == (len(x),)


def test_scikit_learn_has_the_same_likelihood(x):
    decomposition = pytest.importorskip("sklearn.decomposition")
    n = len(x)
    theirs = decomposition.PCA(2, svd_solver="full").fit(x)
    theirs.explained_variance_ *= (n - 1) / n  # theirs divides by n - 1, maximum likelihood by n
    theirs.noise_variance_ = PPCA(2).fit(x).noise_variance_  # theirs, for n < D, is a mean over fewer eigenvalues
    ours = PPCA(2).fit(x)
    numpy.testing.assert_allclose(ours.score_samples(x), theirs.score_samples(x), rtol=1e-9)


def test_draws_have_its_moments():
    rng = numpy.random.default_rng(0)
    ppca = PPCA(1).fit(rng.standard_normal((100, 3)) * [3, 1, 0.5] + [0, 5, 0])
    draws = ppca.sample(100_000, seed=1)
    covariance = ppca.weight_ @ ppca.weight_.T + ppca.noise_variance_ * numpy.eye(3)
    numpy.testing.assert_allclose(draws.mean(axis=0), ppca.mean_, atol=0.05)
    numpy.testing.assert_allclose(numpy.cov(draws.T), covariance, atol=0.1)
    assert (ppca.sample(3, seed=1) == ppca.sample(3, seed=1)).all()
    assert (ppca.sample(3, seed=1) != ppca.sample(3, seed=2)).all()


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
def test_arrays_come_out_as_they_went_in(device, dtype, rng):
    array = rng.standard_normal((50, 5)).astype(dtype)
    x = asarray(array, device)
    ppca, expected = PPCA(2).fit(x), PPCA(2).fit(array)
    results = [ppca.transform(x), ppca.inverse_transform(ppca.transform(x)), ppca.score_samples(x), ppca.sample(4)]
    assert {type(result) for result in results} == {type(x)} and {result.dtype for result in results} == {x.dtype}
    numpy.testing.assert_allclose(sv.to_numpy(results[2]), expected.score_samples(array), rtol=1e-4)


@pytest.mark.parametrize(
    ("k", "rows", "error", "sentence"),
    [
        (
            0,
            numpy.eye(5),
            InputError,
            "n_components from 1 to 4, below .* columns, n_features = 5, received 0",
        ),
        (5, numpy.eye(5), InputError, "received 5"),
        (1.5, numpy.eye(5), InputError, "received 1.5"),
        (2, numpy.eye(3)[[0, 1, 0, 1, 2]], DataError, "vary in more than n_components = 2 directions"),
        (1, numpy.ones((4, 3)), DataError, "vary in more than"),
        (1, numpy.eye(3)[:1], DataError, "at least 2 rows, received n_samples = 1"),
        (1, numpy.full((4, 3), numpy.nan), DataError, "finite numbers, received NaN or infinity"),
        (1, numpy.ones((4, 3), dtype=int), DataError, "vary in more than"),
        (1, [["1", "2"]], DataError, "floating-point numbers, received <U1"),
        (1, numpy.ones(3), ShapeError, r"rows \(N, D\), at least one, received shape \(3,\)"),
        (1, numpy.ones((0, 3)), ShapeError, "at least one"),
    ],
)
def test_what_cannot_be_fitted_is_refused(k, rows, error, sentence):
    with pytest.raises(error, match=sentence):
        PPCA(k).fit(rows)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_data_that_vary_alike_in_all_directions(k):
    """The eigenvalues are equal, so W is zero but for rounding, and p(x) is round."""
    x = numpy.concatenate([numpy.eye(4), -numpy.eye(4)])
    ppca = PPCA(k).fit(x)
    dense = stats.multivariate_normal(numpy.zeros(4), 0.25 * numpy.eye(4))
    numpy.testing.assert_allclose(ppca.score_samples(x), dense.logpdf(x), rtol=1e-9)
    assert numpy.isfinite(ppca.sample(3)).all() and numpy.isfinite(ppca.transform(x)).all()


def test_a_large_mean_costs_float32_little(rng):
    x = (rng.standard_normal((20_000, 6)) * [3, 2, 1, 1, 1, 1] + 1e4).astype(numpy.float32)
    single, double = PPCA(2).fit(x), PPCA(2).fit(x.astype(numpy.float64))
    assert single.noise_variance_ == pytest.approx(double.noise_variance_, rel=1e-4)
    assert single.score(x) == pytest.approx(double.score(x.astype(numpy.float64)), abs=1e-3)


def test_use_before_fit_and_rows_of_another_size():
    unfitted = (PPCA(1).sample, lambda: PPCA(1).transform(numpy.eye(3)), lambda: PPCA(1).likelihood(numpy.eye(1)))
    for use in unfitted:
        with pytest.raises(InputError, match=r"expected a fitted PPCA.*fit\(X\) first"):
            use()
    with pytest.raises(ShapeError, match="rows of 3 columns"):
        PPCA(1).fit(numpy.eye(3)).score_samples(numpy.eye(4))
    for z in (numpy.ones((2, 2)), [[1.0, 1.0]]):
        with pytest.raises(ShapeError, match="expected rows of 1 columns"):
            PPCA(1).fit(numpy.eye(3)).likelihood(z)
    with pytest.raises(DataError, match="PPCA.likelihood: expected an array of real numbers, received complex128"):
        PPCA(1).fit(numpy.eye(3)).likelihood(numpy.ones((2, 1), complex))
    for n in (0, -1, 1.5, None):
        with pytest.raises(InputError, match="n_samples of at least 1"):
            PPCA(1).fit(numpy.eye(3)).sample(n)


def test_draws_have_the_mean_and_the_covariance_of_the_model(x):
    """W W' + sigma2 I, of single draws by many seeds: from one noise z would be a part of e, and add to it."""
    model = PPCA(2).fit(x)
    model.noise_variance_ = float(abs(model.weight_).max()) ** 2
    draws = numpy.concatenate([model.sample(1, seed=seed) for seed in range(4000)])
    noise = model.noise_variance_ * numpy.eye(len(model.weight_))
    covariance = model.weight_ @ model.weight_.T + noise
    assert abs(numpy.cov(draws.T) - covariance).max() < 0.12 * covariance.max()
    assert (abs(draws.mean(axis=0) - model.mean_) < 5 * numpy.sqrt(numpy.diag(covariance) / len(draws))).all()
    mixed = model.weight_ @ numpy.eye(*model.weight_.T.shape) * model.noise_variance_**0.5
    assert abs(mixed + mixed.T).max() > 0.3 * covariance.max(), "the case tells the two apart"
