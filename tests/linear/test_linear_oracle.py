"""The linear models against scikit-learn, on its digits, wine and breast cancer, on identical problems."""

import math
import warnings

import numpy
import pytest

from scratchvae.linear import NMF, PCA, PPCA, FactorAnalysis, FastICA, GaussianNaiveBayes, LogisticRegression
from scratchvae.linear.estimator import with_signs

datasets = pytest.importorskip("sklearn.datasets")
decomposition = pytest.importorskip("sklearn.decomposition")
LOADERS = {"digits": datasets.load_digits, "wine": datasets.load_wine, "breast cancer": datasets.load_breast_cancer}


@pytest.fixture(params=LOADERS)
def data(request):
    """X, (N, D), float64, in the units of the file, and y, (N,)."""
    loaded = LOADERS[request.param]()
    return loaded.data, loaded.target


def varying(X):
    """The columns that vary, divided by their standard deviations."""
    X = X[:, X.std(axis=0) > 0]
    return (X - X.mean(axis=0)) / X.std(axis=0)


@pytest.mark.parametrize("k", [2, 10])
def test_pca(data, k):
    X, _ = data
    ours, theirs = PCA(k).fit(X), decomposition.PCA(k, svd_solver="full").fit(X)
    for name in ("mean_", "components_", "singular_values_", "explained_variance_", "explained_variance_ratio_"):
        numpy.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-6, atol=1e-9, err_msg=name)
    numpy.testing.assert_allclose(ours.transform(X), theirs.transform(X), rtol=1e-6, atol=1e-8 * abs(X).max())
    Z = theirs.transform(X)
    numpy.testing.assert_allclose(ours.inverse_transform(Z), theirs.inverse_transform(Z), rtol=1e-6, atol=1e-9)


def test_pca_of_all_directions():
    """The smallest of breast cancer's variances is 1e-12 of the largest, and still right."""
    X = datasets.load_breast_cancer().data
    ours, theirs = PCA(30).fit(X), decomposition.PCA(30, svd_solver="full").fit(X)
    numpy.testing.assert_allclose(ours.explained_variance_, theirs.explained_variance_, rtol=1e-6)
    numpy.testing.assert_allclose(ours.components_, theirs.components_, atol=1e-6)


@pytest.mark.parametrize("solver", ["closed-form", "em"])
@pytest.mark.parametrize("k", [1, 4])
def test_ppca(data, k, solver):
    """Their covariance divides by N - 1; on sqrt((N - 1) / N) X, about the mean, it is ours."""
    X = varying(data[0])
    n = len(X)
    theirs = decomposition.PCA(k, svd_solver="full").fit(X * math.sqrt((n - 1) / n))
    ours = PPCA(k, solver=solver, tol=1e-15).fit(X)
    numpy.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-6)
    numpy.testing.assert_allclose(ours.noise_variance_, theirs.noise_variance_, rtol=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_factor_analysis(data, k):
    X = varying(data[0])
    ours = FactorAnalysis(k, tol=1e-12, max_iter=100_000).fit(X)
    theirs = decomposition.FactorAnalysis(k, tol=1e-10, max_iter=100_000, svd_method="lapack").fit(X)
    assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-6)
    numpy.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-4)


def test_factor_analysis_in_other_units():
    """A column in units c times smaller has c times its weights; log p(x) falls by log c for each."""
    X = datasets.load_wine().data
    raw, scaled = (FactorAnalysis(2, tol=1e-12).fit(rows) for rows in (X, varying(X)))
    numpy.testing.assert_allclose(raw.components_, scaled.components_ * X.std(axis=0), rtol=1e-6)
    assert raw.score(X) == pytest.approx(scaled.score(varying(X)) - numpy.log(X.std(axis=0)).sum(), rel=1e-9)


def test_naive_bayes(data):
    from sklearn.naive_bayes import GaussianNB

    X, y = data
    ours, theirs = GaussianNaiveBayes().fit(X, y), GaussianNB().fit(X, y)
    for name in ("theta_", "var_", "class_prior_", "class_count_", "epsilon_"):
        numpy.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9, err_msg=name)
    for name in ("predict_joint_log_proba", "predict_log_proba", "predict_proba"):
        a, b = (getattr(model, name)(X) for model in (ours, theirs))
        numpy.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-14, err_msg=name)
    assert (ours.predict(X) == theirs.predict(X)).all() and ours.score(X, y) == theirs.score(X, y)


@pytest.mark.parametrize("C", [1.0, 0.01])
def test_logistic_regression(data, C):
    from sklearn.linear_model import LogisticRegression as Theirs

    X, y = data
    ours = LogisticRegression(C).fit(X, y)
    theirs = Theirs(C=C, solver="newton-cholesky", tol=1e-12).fit(X, y)
    scale = abs(theirs.coef_).max()
    numpy.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6, atol=1e-9 * scale)
    numpy.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-6)
    numpy.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-6, atol=1e-12)
    numpy.testing.assert_allclose(ours.decision_function(X), theirs.decision_function(X), rtol=1e-6, atol=1e-8)
    assert ours.score(X, y) == theirs.score(X, y)


def test_logistic_regression_without_a_penalty():
    """Two columns of breast cancer, whose classes overlap; and three classes of wine by one column."""
    from sklearn.linear_model import LogisticRegression as Theirs

    cancer, wine = datasets.load_breast_cancer(), datasets.load_wine()
    for X, y in ((cancer.data[:, :2], cancer.target), (wine.data[:, 1:3], wine.target)):
        ours = LogisticRegression(math.inf).fit(X, y)
        theirs = Theirs(C=math.inf, solver="newton-cholesky", tol=1e-12).fit(X, y)
        numpy.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6)
        numpy.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-6)


def test_fast_ica(data):
    """From the same W, turned by the signs in which the two whitenings differ: the same objective, and sources."""
    X, k = varying(data[0]), 4
    start = numpy.random.default_rng(0).standard_normal((k, k))
    whitening = FastICA(k, tol=2.0).fit(X).whitening_
    theirs = decomposition.FastICA(k, whiten="unit-variance", w_init=start, tol=1e-10, max_iter=2000).fit(X)
    signs = numpy.sign((theirs.whitening_ * whitening).sum(axis=1))
    ours = FastICA(k, tol=1e-10, max_iter=2000).fit(X, start=start * signs)
    sources, expected = ours.transform(X), theirs.transform(X)
    objectives = [numpy.log(numpy.cosh(s)).mean() for s in (sources, expected)]
    assert objectives[0] == pytest.approx(objectives[1], rel=1e-3)
    numpy.testing.assert_allclose(with_signs(sources.T), with_signs(expected.T), atol=1e-3)
    numpy.testing.assert_allclose(ours.inverse_transform(sources), theirs.inverse_transform(expected), atol=1e-6)


def test_nmf(data):
    """From the same A and B, 200 updates each."""
    X, k = data[0], 5
    rng = numpy.random.default_rng(0)
    A, B = rng.random((len(X), k)), rng.random((k, X.shape[1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 200 updates do not converge, in either
        theirs = decomposition.NMF(k, init="custom", solver="mu", tol=0, max_iter=200)
        W = theirs.fit_transform(X, W=A.copy(), H=B.copy())
        ours = NMF(k, tol=0, max_iter=200)
        weights = ours.fit_transform(X, start=(A, B))
    assert ours.n_iter_ == 200
    assert ours.reconstruction_err_ == pytest.approx(theirs.reconstruction_err_, rel=1e-3)
    numpy.testing.assert_allclose(weights @ ours.components_, W @ theirs.components_, rtol=1e-3, atol=1e-3)
