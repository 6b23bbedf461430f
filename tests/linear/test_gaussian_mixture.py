"""The mixture of Gaussians: EM against scikit-learn from the same start, its likelihood, its draws, and the edges."""

import math
import warnings

import numpy
import pytest
from scipy import stats

from scratchvae.errors import DataError, InputError
from scratchvae.linear import GaussianMixture
from scratchvae.linear.gaussian_mixture import expectation_maximisation, log_joint


@pytest.fixture
def X(rng):
    """Three clusters of unequal size and shape, which overlap."""
    parts = [(200, [0, 0, 0], [0.5, 1, 2]), (100, [3, 0, 1], [1, 1, 0.3]), (50, [-2, 3, 0], [0.4, 0.4, 1])]
    return numpy.concatenate([rng.standard_normal((n, 3)) * scale + mean for n, mean, scale in parts])


def test_each_step_is_scikit_learns(X):
    """From the same weights, means and covariances, after 1, 2 and 30 steps of EM."""
    mixture = pytest.importorskip("sklearn.mixture")
    start = numpy.full(3, 1 / 3), X[[0, 210, 320]], numpy.stack([numpy.cov(X.T)] * 3)
    ridge = 1e-3 * numpy.eye(3)
    steps = expectation_maximisation(X, *start, ridge)
    states = [next(steps) for _ in range(31)]
    for n in (1, 2, 30):
        theirs = mixture.GaussianMixture(
            3,
            tol=0,
            max_iter=n,
            reg_covar=1e-3,
            weights_init=start[0],
            means_init=start[1],
            precisions_init=numpy.linalg.inv(start[2]),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of too few steps
            theirs.fit(X)
        (weights, means, covariances), value = states[n]
        numpy.testing.assert_allclose(weights, theirs.weights_, rtol=1e-9)
        numpy.testing.assert_allclose(means, theirs.means_, rtol=1e-9, atol=1e-9)
        numpy.testing.assert_allclose(covariances, theirs.covariances_, rtol=1e-9, atol=1e-9)
        assert value == pytest.approx(theirs.score(X), rel=1e-9)


def test_the_likelihood_never_falls_and_is_scipys(X):
    model = GaussianMixture(3, ridge=0, tol=1e-10, max_iter=1000).fit(X)
    steps = expectation_maximisation(
        X - X.mean(axis=0),
        numpy.full(3, 1 / 3),
        (X - X.mean(axis=0))[:3],
        numpy.stack([numpy.cov(X.T)] * 3),
        numpy.zeros((3, 3)),
    )
    values = [next(steps)[1] for _ in range(50)]
    assert (numpy.diff(values) > -1e-12).all()
    parts = zip(model.weights_, model.means_, model.covariances_, strict=True)
    joint = numpy.stack([math.log(w) + stats.multivariate_normal(m, S).logpdf(X) for w, m, S in parts], axis=1)
    numpy.testing.assert_allclose(model.score_samples(X), numpy.logaddexp.reduce(joint, axis=1), rtol=1e-11)
    numpy.testing.assert_array_equal(model.predict(X), joint.argmax(axis=1))
    numpy.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-12)
    assert model.score(X) == pytest.approx(model.score_samples(X).mean())
    one = GaussianMixture(1, ridge=0).fit(X)
    numpy.testing.assert_allclose(one.covariances_[0], numpy.cov(X.T, bias=True), rtol=1e-10)


def test_clusters_are_found_from_any_seed(rng):
    centres = 20 * rng.standard_normal((5, 2))
    X = centres[numpy.arange(500) % 5] + rng.standard_normal((500, 2))
    for seed in range(5):
        means = GaussianMixture(5, seed=seed).fit(X).means_
        assert numpy.linalg.norm(means[:, None] - centres, axis=2).min(axis=0).max() < 0.5


def test_draws_have_the_moments_of_the_density(X):
    model = GaussianMixture(3).fit(X)
    x = model.sample(200_000, seed=1)
    mean = model.weights_ @ model.means_
    centred = model.means_ - mean
    covariance = (model.weights_[:, None, None] * (model.covariances_ + centred[:, :, None] * centred[:, None])).sum(
        axis=0
    )
    spread = covariance.diagonal().max()
    numpy.testing.assert_allclose(x.mean(axis=0), mean, atol=5 * (spread / len(x)) ** 0.5)
    numpy.testing.assert_allclose(numpy.cov(x.T), covariance, atol=5 * spread * (3 / len(x)) ** 0.5)
    numpy.testing.assert_allclose(model.score(x), model.score(X), atol=0.05)
    numpy.testing.assert_array_equal(model.sample(5, seed=2), model.sample(5, seed=2))
    shares = numpy.bincount(model.predict(X), minlength=3) / len(X)
    numpy.testing.assert_allclose(shares, model.weights_, atol=0.05)


def test_the_type_and_the_units_of_the_data_are_kept(X):
    narrow = GaussianMixture(3).fit(X.astype("f"))
    assert narrow.means_.dtype == narrow.sample(2).dtype == narrow.score_samples(X.astype("f")).dtype == numpy.float32
    wide = GaussianMixture(3).fit(X)
    numpy.testing.assert_allclose(narrow.means_, wide.means_, rtol=1e-2, atol=1e-2)
    moved = GaussianMixture(3).fit(1e3 * X + 1e6)
    numpy.testing.assert_allclose(moved.means_, 1e3 * wide.means_ + 1e6, rtol=1e-6)
    numpy.testing.assert_allclose(moved.covariances_, 1e6 * wide.covariances_, rtol=1e-4, atol=1)


def test_no_component_shrinks_onto_a_row_and_none_is_lost(rng):
    X = numpy.concatenate([rng.standard_normal((50, 2)), [[100.0, 100.0]], [[100.0, 100.0]]])
    model = GaussianMixture(4).fit(X)
    assert numpy.isfinite(model.score_samples(X)).all() and (numpy.linalg.eigvalsh(model.covariances_) > 0).all()
    repeated = GaussianMixture(3).fit(numpy.array([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]))
    assert numpy.isfinite(repeated.score_samples(numpy.zeros((1, 2)))).all()
    log_p = log_joint(X, numpy.array([1.0, 0.0]), X[:2], numpy.stack([numpy.eye(2)] * 2))
    assert (log_p[:, 1] == -math.inf).all() and numpy.isfinite(log_p[:, 0]).all()


def test_what_is_refused(X):
    with pytest.raises(InputError, match="^GaussianMixture: expected n_components from 1 to 350, the number of rows"):
        GaussianMixture(351).fit(X)
    with pytest.raises(InputError, match="^GaussianMixture: expected ridge of at least 0, received -1"):
        GaussianMixture(2, ridge=-1).fit(X)
    with pytest.raises(DataError, match="^GaussianMixture.fit: expected rows that vary"):
        GaussianMixture(2).fit(numpy.ones((5, 2)))
    for use in (lambda: GaussianMixture().sample(), lambda: GaussianMixture().score(X)):
        with pytest.raises(InputError, match="expected a fitted GaussianMixture, received one that is not"):
            use()
    with pytest.raises(InputError, match="^GaussianMixture: expected n_samples of at least 1"):
        GaussianMixture(2).fit(X).sample(0)
