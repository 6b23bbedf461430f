"""The linear models against their own definitions, on every device, and what they refuse."""

import itertools
import math

import numpy
import pytest
from scipy import optimize, sparse, stats

import scratchvae as sv
from scratchvae.backend import asarray
from scratchvae.errors import DataError, InputError, ShapeError
from scratchvae.linear import (
    NMF,
    PCA,
    PPCA,
    ConvergenceWarning,
    FactorAnalysis,
    FastICA,
    GaussianNaiveBayes,
    LogisticRegression,
    factor_analysis,
    nmf,
    ppca,
)
from scratchvae.linear.estimator import centre, principal_axes
from scratchvae.linear.pca import alternating_minimisation, as_on_the_slide, least_squares

FACTORIZATIONS = (PCA, PPCA, FactorAnalysis, FastICA, NMF)
CLASSIFIERS = (GaussianNaiveBayes, LogisticRegression)


@pytest.fixture
def x(rng):
    """Rows of three sources that are not Gaussian, mixed, and noise; all positive.   (200, 6)"""
    rows = rng.exponential(size=(200, 3)) @ rng.random((3, 6)) + 0.1 * rng.standard_normal((200, 6))
    return rows - rows.min() + 0.1


@pytest.fixture
def labels(x):
    return (x[:, 0] > numpy.median(x[:, 0])).astype(int) + (x[:, 1] > numpy.quantile(x[:, 1], 0.8))


# ---- the frame X ~ A B


@pytest.mark.parametrize("kind", FACTORIZATIONS)
def test_x_is_a_times_b(kind, x):
    """inverse_transform(A) = A B + mean, and with as many elements as the data have directions, that is X."""
    model = kind(3)
    A = model.fit_transform(x)
    B = model.dictionary_
    assert A.shape == (200, 3) and B.shape == (3, 6)
    numpy.testing.assert_allclose(model.inverse_transform(A), A @ B + model.mean_, rtol=1e-12)
    assert ((x - model.inverse_transform(A)) ** 2).sum() < 0.05 * ((x - x.mean(axis=0)) ** 2).sum()


@pytest.mark.parametrize("kind", [*FACTORIZATIONS, *CLASSIFIERS])
def test_nothing_that_is_handed_in_is_changed(kind, x, labels):
    x.flags.writeable = labels.flags.writeable = False
    model = kind().fit(x, labels)
    (model.predict if kind in CLASSIFIERS else model.transform)(x)


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@pytest.mark.parametrize("kind", [*FACTORIZATIONS, *CLASSIFIERS])
def test_arrays_come_out_as_they_went_in(kind, dtype, device, x, labels):
    rows, classes = asarray(x.astype(dtype), device), asarray(labels, device)
    options = [{}]
    if kind in (PCA, PPCA):
        options.append({"solver": "em" if kind is PPCA else "alternating"})
    for option in options:
        on_device, expected = kind(**option).fit(rows, classes), kind(**option).fit(x, labels)
        if kind in CLASSIFIERS:
            names = ["predict_proba", "predict_log_proba"]
            assert (sv.to_numpy(on_device.predict(rows)) == expected.predict(x)).mean() > 0.99
            assert on_device.score(rows, classes) == pytest.approx(expected.score(x, labels), abs=0.01)
        else:
            names = ["transform"]
            assert type(on_device.inverse_transform(on_device.transform(rows))) is type(rows)
        names += ["score_samples", "sample"] * hasattr(kind, "sample")
        names += ["decision_function"] * (kind is LogisticRegression)
        for name in names:
            received = getattr(on_device, name)(3 if name == "sample" else rows)
            received = received[0] if kind is GaussianNaiveBayes and name == "sample" else received
            assert type(received) is type(rows) and received.dtype == dtype
            other_start = device == "gpu" and (option or kind in (FastICA, NMF))  # the devices' noise differs
            stops_earlier = kind is FactorAnalysis and dtype is numpy.float32
            if name != "sample" and not other_start and not stops_earlier:
                tolerance = {"rtol": 1e-9} if dtype is numpy.float64 else {"rtol": 0.02, "atol": 0.02}
                numpy.testing.assert_allclose(sv.to_numpy(received), getattr(expected, name)(x), **tolerance)
        if hasattr(kind, "posterior"):
            assert on_device.score(rows) == pytest.approx(expected.score(x), abs=0.05)


# ---- PCA


@pytest.mark.parametrize("shape", [(200, 6), (7, 30)], ids=["tall", "wide"])
def test_pca_is_the_singular_value_decomposition(shape, rng):
    x = rng.standard_normal(shape) @ numpy.diag(numpy.linspace(3, 0.3, shape[1])) + 5
    u, s, axes = numpy.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    model = PCA(4).fit(x)
    numpy.testing.assert_allclose(model.singular_values_, s[:4], rtol=1e-9)
    numpy.testing.assert_allclose(abs((model.components_ * axes[:4]).sum(axis=1)), 1, rtol=1e-9)
    reconstructed = model.inverse_transform(model.transform(x))
    assert ((x - reconstructed) ** 2).sum() == pytest.approx((s[4:] ** 2).sum(), rel=1e-9)
    assert model.explained_variance_ratio_.sum() == pytest.approx((s[:4] ** 2).sum() / (s**2).sum())
    assert (numpy.take_along_axis(model.components_, abs(model.components_).argmax(axis=1)[:, None], 1) > 0).all()


def test_small_variances_are_right_beside_large_ones(rng):
    """Where X'X has lost them: variances from 1 down to 1e-20."""
    scale = 10.0 ** -numpy.arange(0, 12, 2)
    q = numpy.linalg.qr(rng.standard_normal((50, 6)))[0]
    s, axes = principal_axes(q * scale, 6)
    numpy.testing.assert_allclose(s, scale, rtol=1e-5)
    numpy.testing.assert_allclose(axes, numpy.eye(6), atol=1e-5)


def test_alternating_minimisation_as_on_the_slide_and_cured():
    """As on the slide the span is found, but the error after a z step alternates for ever; cured, it is the SVD's."""
    x = sv.data.draw_digits(300, seed=0).images.reshape(300, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(300, 49)
    x = centre(x.astype(numpy.float64))[1]
    w = numpy.random.default_rng(0).standard_normal((49, 5))
    s = numpy.linalg.svd(x, compute_uv=False)
    axes = PCA(5).fit(x).components_
    optimum = (s[5:] ** 2).sum()

    def run(coordinates, steps=400):
        return list(itertools.islice(alternating_minimisation(x, w, coordinates), steps))

    cured = run(least_squares)
    errors = numpy.array([errors for _, _, errors in cured]).ravel()
    assert (numpy.diff(errors) < 1e-9 * errors[:-1]).all()
    assert errors[-1] == pytest.approx(optimum, rel=1e-9)
    slide = run(as_on_the_slide)
    after_z = numpy.array([before for _, _, (before, _) in slide])
    assert after_z.min() > 2 * optimum and after_z[-1] == pytest.approx(after_z[-3], rel=1e-6) != after_z[-2]
    for _, w_end, _ in (cured[-1], slide[-1]):
        basis = numpy.linalg.qr(w_end)[0]
        numpy.testing.assert_allclose(basis @ (basis.T @ axes.T), axes.T, atol=1e-6)
    m, m_next = (axes @ w_end for _, w_end, _ in slide[-2:])
    numpy.testing.assert_allclose(m_next, numpy.linalg.inv(m).T, rtol=1e-5)
    expected = ((x - x @ axes.T @ m @ m.T @ axes) ** 2).sum()
    assert after_z[-1] == pytest.approx(expected, rel=1e-5)


def test_pca_by_alternating_minimisation_is_pca(x):
    ours, expected = PCA(3, solver="alternating", tol=1e-15).fit(x), PCA(3).fit(x)
    numpy.testing.assert_allclose(ours.components_, expected.components_, atol=1e-5)
    numpy.testing.assert_allclose(ours.singular_values_, expected.singular_values_, rtol=1e-9)
    assert ours.n_iter_ > 3 and expected.n_iter_ == 1


@pytest.mark.parametrize("solver", ["svd", "alternating"])
def test_pca_of_data_with_fewer_directions_than_components(solver, rng):
    x = rng.standard_normal((20, 2)) @ rng.standard_normal((2, 5)) + 1
    model = PCA(4, solver=solver).fit(x)
    numpy.testing.assert_allclose(model.inverse_transform(model.transform(x)), x, atol=1e-9)
    numpy.testing.assert_allclose(model.components_ @ model.components_.T, numpy.eye(4), atol=1e-9)
    assert (model.singular_values_[2:] < 1e-6 * model.singular_values_[0]).all()
    constant = PCA(2, solver=solver).fit(numpy.ones((4, 3)))
    assert (constant.transform(numpy.ones((4, 3))) == 0).all() and (constant.explained_variance_ratio_ == 0).all()


# ---- EM


@pytest.mark.parametrize("shape", [(200, 6), (7, 30)], ids=["tall", "wide"])
def test_em_of_ppca_reaches_the_closed_form(shape, rng):
    x = rng.standard_normal((shape[0], 2)) @ rng.standard_normal((2, shape[1])) + 0.3 * rng.standard_normal(shape) + 2
    em, closed = PPCA(2, solver="em", tol=1e-14).fit(x), PPCA(2).fit(x)
    assert em.noise_variance_ == pytest.approx(closed.noise_variance_, rel=1e-6)
    for name in ("weight_", "components_", "explained_variance_"):
        numpy.testing.assert_allclose(getattr(em, name), getattr(closed, name), rtol=1e-4, atol=1e-5, err_msg=name)
    assert em.score(x) == pytest.approx(closed.score(x), abs=1e-10)


def test_likelihoods_of_em_never_fall_and_are_those_of_the_models(x, rng):
    centred = centre(x)[1]
    start = rng.standard_normal((6, 2))
    path = list(itertools.islice(ppca.expectation_maximisation(centred, start, 1.0), 50))
    assert (numpy.diff([log_p for _, log_p in path]) > -1e-12).all()
    for (w, noise_variance), log_p in path[:3]:
        covariance = w @ w.T + noise_variance * numpy.eye(6)
        assert log_p == pytest.approx(stats.multivariate_normal(cov=covariance).logpdf(centred).mean(), rel=1e-9)
    standard = centred / centred.std(axis=0)
    path = list(itertools.islice(factor_analysis.expectation_maximisation(standard, 2, 1e-12), 50))
    assert (numpy.diff([log_p for _, log_p in path]) > -1e-12).all()
    for (w, noise_variance), log_p in path[:3]:
        covariance = w @ w.T + numpy.diag(noise_variance)
        assert log_p == pytest.approx(stats.multivariate_normal(cov=covariance).logpdf(standard).mean(), rel=1e-9)


def test_a_step_of_factor_analysis_is_one_of_em(x):
    """diag(S - W W') is diag(mean of E[(x - W z)(x - W z)']) by the posterior of the Psi before, element by element."""
    standard = centre(x)[1] / x.std(axis=0)
    steps = factor_analysis.expectation_maximisation(standard, 2, 1e-12)
    ((w, psi), _), ((_, psi_next), _) = next(steps), next(steps)
    covariance = numpy.linalg.inv(numpy.eye(2) + w.T / psi @ w)
    z = standard / psi @ w @ covariance
    second_moments = z.T @ z / len(x) + covariance
    numpy.testing.assert_allclose(second_moments, numpy.eye(2), atol=1e-12)
    expected = ((standard**2).mean(axis=0) - 2 * (standard * (z @ w.T)).mean(axis=0)) + ((w @ second_moments) * w).sum(
        1
    )
    numpy.testing.assert_allclose(psi_next, expected, rtol=1e-10)


@pytest.mark.parametrize("shape", [(300, 6), (8, 20)], ids=["tall", "wide"])
def test_factor_analysis_equals_its_definition(shape, rng):
    w = rng.standard_normal((shape[1], 2))
    x = rng.standard_normal((shape[0], 2)) @ w.T + rng.standard_normal(shape) * rng.uniform(0.3, 1, shape[1]) - 3
    model = FactorAnalysis(2, tol=1e-13, max_iter=50_000).fit(x)
    covariance = model.weight_ @ model.weight_.T + numpy.diag(model.noise_variance_)
    dense = stats.multivariate_normal(x.mean(axis=0), covariance)
    numpy.testing.assert_allclose(model.score_samples(x), dense.logpdf(x), rtol=1e-9)
    z = rng.standard_normal((len(x), 2))
    bayes = model.likelihood(z).log_prob(x) + stats.norm.logpdf(z).sum(axis=1) - model.posterior(x).log_prob(z)
    numpy.testing.assert_allclose(bayes, dense.logpdf(x), rtol=1e-9)
    inverse = numpy.linalg.inv(covariance)
    slope = inverse - inverse @ numpy.cov(x.T, bias=True) @ inverse  # of -2 log p(x) by the covariance
    scale = numpy.sqrt(model.noise_variance_)
    assert abs(slope @ model.weight_ * scale[:, None]).max() < 1e-4
    interior = model.noise_variance_ > 1e-3 * x.var(axis=0)
    assert abs(slope.diagonal() * model.noise_variance_)[interior].max() < 1e-4
    assert (slope.diagonal()[~interior] > 0).all()
    if shape[0] > shape[1]:
        draws = model.sample(100_000, seed=1)
        numpy.testing.assert_allclose(numpy.cov(draws.T), covariance, atol=0.15)


# ---- classifiers


def test_naive_bayes_is_bayes_rule(x, labels):
    model = GaussianNaiveBayes().fit(x, labels)
    joint = numpy.stack(
        [
            stats.norm(x[labels == c].mean(axis=0), numpy.sqrt(x[labels == c].var(axis=0) + model.epsilon_))
            .logpdf(x)
            .sum(axis=1)
            + math.log((labels == c).mean())
            for c in range(3)
        ],
        axis=1,
    )
    numpy.testing.assert_allclose(model.predict_joint_log_proba(x), joint, rtol=1e-9)
    numpy.testing.assert_allclose(model.score_samples(x), numpy.logaddexp.reduce(joint, axis=1), rtol=1e-9)
    numpy.testing.assert_allclose(model.predict_proba(x).sum(axis=1), 1, rtol=1e-12)


def test_draws_of_naive_bayes_have_its_moments(x, labels):
    model = GaussianNaiveBayes().fit(x, labels * 10)
    draws, classes = model.sample(200_000, seed=1)
    for i, c in enumerate((0, 10, 20)):
        rows = draws[classes == c]
        assert len(rows) / len(draws) == pytest.approx(model.class_prior_[i], abs=0.005)
        numpy.testing.assert_allclose(rows.mean(axis=0), model.theta_[i], atol=0.05)
        numpy.testing.assert_allclose(numpy.cov(rows.T), numpy.diag(model.var_[i]), atol=0.05)


def test_with_shared_variances_the_log_odds_are_linear(x, labels):
    y = labels > 0
    model = GaussianNaiveBayes(shared_variance=True).fit(x, y)
    assert model.classes_.tolist() == [False, True]
    within = numpy.concatenate([x[y] - x[y].mean(axis=0), x[~y] - x[~y].mean(axis=0)]).var(axis=0)
    numpy.testing.assert_allclose(model.var_, numpy.stack([within + model.epsilon_] * 2), rtol=1e-9)
    joint = model.predict_joint_log_proba(x)
    w = (model.theta_[1] - model.theta_[0]) / model.var_[0]
    b = numpy.log(model.class_prior_) - 0.5 * (model.theta_**2 / model.var_).sum(axis=1)
    numpy.testing.assert_allclose(joint[:, 1] - joint[:, 0], x @ w + b[1] - b[0], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("C", [1.0, math.inf])
def test_logistic_regression_is_at_the_maximum_of_its_objective(n_classes, C, x, labels, rng):
    """Found by SciPy too, from the definition."""
    y = numpy.where(rng.random(200) < 0.2, rng.integers(0, n_classes, 200), numpy.minimum(labels, n_classes - 1))
    names = numpy.array(["ash", "beech", "cedar"])[y]
    model = LogisticRegression(C).fit(x, names)
    assert model.classes_.tolist() == ["ash", "beech", "cedar"][:n_classes] and model.predict(x).dtype == names.dtype
    free = len(model.coef_)

    def loss(flat):
        w, b = numpy.split(flat, [free * 6])
        scores = x @ w.reshape(free, 6).T + b
        scores = scores if n_classes > 2 else numpy.concatenate([0 * scores, scores], axis=1)
        log_p = scores - numpy.logaddexp.reduce(scores, axis=1)[:, None]
        return -log_p[numpy.arange(200), y].sum() + (w**2).sum() / (2 * C)

    at = numpy.concatenate([model.coef_.ravel(), model.intercept_])
    assert abs(optimize.approx_fprime(at, loss, 1e-6)).max() < 2e-3
    assert loss(at) <= optimize.minimize(loss, numpy.zeros(len(at))).fun + 1e-6
    expected = -(loss(at) - (model.coef_**2).sum() / (2 * C)) / 200
    assert numpy.log(model.predict_proba(x)[numpy.arange(200), y]).mean() == pytest.approx(expected, rel=1e-9)


def test_newton_finds_its_way_where_a_full_step_overshoots(rng):
    """Nearly separable, far from the start, columns of very different size."""
    x = rng.standard_normal((300, 3)) * [1e-3, 1, 1e3] + [0, 0, 1e4]
    y = (x[:, 2] + 30 * rng.standard_normal(300) > 1e4).astype(int)
    model = LogisticRegression(1e6).fit(x, y)
    assert model.score(x, y) > 0.97 and model.n_iter_ < 50


# ---- ICA and NMF


def test_fast_ica_finds_the_sources(rng):
    sources = numpy.stack([rng.uniform(-1, 1, 5000), rng.laplace(size=5000), rng.exponential(size=5000)], axis=1)
    mixing = rng.standard_normal((4, 3))
    model = FastICA(3, tol=1e-8).fit(sources @ mixing.T + 7)
    found = model.transform(sources @ mixing.T + 7)
    correlation = abs(numpy.corrcoef(found.T, sources.T)[:3, 3:])
    assert sorted(correlation.argmax(axis=1)) == [0, 1, 2] and (correlation.max(axis=1) > 0.995).all()
    numpy.testing.assert_allclose(found.T @ found / 5000, numpy.eye(3), atol=1e-9)
    numpy.testing.assert_allclose(model.components_ @ model.mixing_, numpy.eye(3), atol=1e-9)


def test_updates_of_nmf_never_raise_the_error_and_keep_signs(x, rng):
    path = list(itertools.islice(nmf.multiplicative_updates(x, rng.random((200, 3)), rng.random((3, 6))), 300))
    for (a, b), figure in path[::100]:
        assert (a >= 0).all() and (b >= 0).all()
        assert figure == pytest.approx(-((x - a @ b) ** 2).sum() / (x**2).sum(), rel=1e-9)
    assert (numpy.diff([figure for _, figure in path]) > -1e-14).all()


def test_updates_of_nmf_are_least_squares_of_one_component_in_any_unit(rng):
    """With K = 1 each is the closed form, x'b / b'b and a'x / a'a: also for columns a million times smaller."""
    X = numpy.outer(rng.random(20) + 0.1, rng.random(6) + 0.1) * numpy.array([1, 1e-3, 1e-6, 1, 1e-6, 1e-2])
    (A, B), _ = next(nmf.multiplicative_updates(X, numpy.ones((20, 1)), rng.random((1, 6)) * X.max(axis=0)))
    numpy.testing.assert_allclose(A @ B, X, rtol=1e-12)


def test_nmf_finds_parts_that_are_there(rng):
    """Two parts that never share a column are found exactly; rows and columns of zeros stay zero."""
    parts = numpy.array([[1.0, 2, 0, 0, 0], [0, 0, 3, 1, 0]])
    weights = rng.random((50, 2)) * [[1, 1]] * (numpy.arange(50) > 0)[:, None]
    model = NMF(2, tol=1e-12, max_iter=20_000)
    a = model.fit_transform(weights @ parts)
    assert model.reconstruction_err_ < 2e-3
    numpy.testing.assert_allclose(a @ model.components_, weights @ parts, atol=1e-3)
    assert (a[0] == 0).all() and (model.components_[:, 4] == 0).all()
    numpy.testing.assert_allclose(model.transform(weights @ parts), a, atol=2e-3)
    assert NMF(1).fit(numpy.zeros((3, 2))).reconstruction_err_ == 0


# ---- what is refused

OVERLAP = numpy.array([[0.0, 1], [1, 0], [2, 2], [3, 1], [4, 5], [5, 4]]), numpy.array([0, 1, 0, 1, 1, 0])


@pytest.mark.parametrize("kind", [*FACTORIZATIONS, *CLASSIFIERS])
@pytest.mark.parametrize(
    ("rows", "error", "sentence"),
    [
        (numpy.full((4, 3), numpy.nan), DataError, "finite numbers, received NaN or infinity"),
        (
            numpy.full((4, 3), 2**53 + 1),
            DataError,
            r"float64 holds, up to 2\^53, received 9007199254740993",
        ),
        (numpy.full((4, 3), 1j), DataError, "real numbers, received complex128 .*X.real"),
        (numpy.full((4, 3), "a"), DataError, "floating-point numbers, received <U1"),
        (numpy.full((4, 3), "a", dtype=object), DataError, "floating-point numbers, received <U1"),
        ([["a", 1.0]] * 4, DataError, "floating-point numbers, received <U32"),
        (numpy.array([[{}, 1.0]] * 4), DataError, "entries that are numbers, received objects .*not 'dict'"),
        (sparse.eye_array(4), DataError, r"a dense array, received a sparse scipy.dia_array \(X.toarray\(\)\)"),
        (numpy.ones((4, 0)), ShapeError, r"received shape \(4, 0\) \(0 feature"),
        (numpy.ones((4, 3), dtype="f2"), DataError, "float32 or float64, received float16"),
        ([[1.0, 2.0], [3.0]], DataError, "an array, received a list that does not become one"),
        (numpy.ones(3), ShapeError, r"rows \(N, D\), at least one, received shape \(3,\)"),
        (numpy.ones((0, 3)), ShapeError, r"received shape \(0, 3\)"),
        (numpy.full((4, 3), 1e200), DataError, "numbers whose squares can be added up in float64"),
    ],
)
def test_rows_that_are_none(kind, rows, error, sentence):
    with pytest.raises(error, match=f"{kind.__name__}.fit: expected .*{sentence}"):
        kind(1).fit(rows, numpy.array([0, 1, 0, 1]))


@pytest.mark.parametrize("kind", [*FACTORIZATIONS, *CLASSIFIERS])
def test_use_before_fit_and_rows_of_another_size(kind, x, labels):
    method = "predict" if kind in CLASSIFIERS else "transform"
    with pytest.raises(
        InputError, match=rf"{kind.__name__}.{method}: expected a fitted {kind.__name__}.*fit\(X\) first"
    ):
        getattr(kind(), method)(x)
    model = kind().fit(x, labels)
    with pytest.raises(ShapeError, match=rf"{kind.__name__}.{method}: expected rows of 6 columns, .*\(200, 5\)"):
        getattr(model, method)(x[:, :5])


@pytest.mark.parametrize("kind", FACTORIZATIONS)
def test_numbers_of_components_out_of_range(kind, x):
    for k in (0, -1, 1.5, None, "2", 7):
        with pytest.raises(InputError, match=f"{kind.__name__}: expected n_components from 1 to"):
            kind(k).fit(x)
    with pytest.raises((InputError, DataError), match="n_components|directions"):
        kind(5).fit(x[:4])  # fewer rows than components


@pytest.mark.parametrize(
    ("model", "rows", "sentence"),
    [
        (PCA(2, solver="magic"), None, 'PCA: expected solver "svd" or "alternating", received \'magic\''),
        (PPCA(2, solver="magic"), None, 'PPCA: expected solver "closed-form" or "em"'),
        (PCA(2, solver="alternating", tol=-1), None, "PCA: expected tol of at least 0, received -1"),
        (NMF(2, max_iter=0), None, "NMF: expected max_iter of at least 1, received 0"),
        (
            NMF(2),
            -numpy.eye(3),
            "NMF.fit: expected entries of at least 0, .* in data, down to -1",
        ),
        (FactorAnalysis(1), numpy.eye(4) * [1, 1, 0, 1], "columns that vary, received constant ones, column 2"),
        (FactorAnalysis(1), numpy.full((4, 3), 0.1), "columns that vary, received constant ones, column 0, 1, 2"),
        (FactorAnalysis(2), numpy.eye(4)[:3], "FactorAnalysis.fit: expected rows, at least n_components \\+ 2 = 4"),
        (FastICA(2), numpy.outer(numpy.arange(5.0), [1, 2, 3]), "FastICA.fit: expected rows that vary in at least"),
        (FastICA(1), numpy.ones((4, 3)), "rows that vary in at least n_components = 1 directions"),
        (PPCA(2, solver="em"), numpy.outer(numpy.arange(5.0), [1, 2, 3]), "rows that vary in more than"),
        (PPCA(1, solver="em"), numpy.ones((4, 3)), "rows that vary in more than"),
    ],
)
def test_what_a_factorization_refuses(model, rows, sentence, x):
    with pytest.raises(InputError, match=sentence):
        model.fit(x if rows is None else rows)


def test_factor_analysis_of_columns_that_say_the_same(x, rng):
    """The likelihood has no maximum: a factor explains both, and their psi goes to 0 together."""
    with pytest.raises(
        DataError, match="2 factors do not explain without a rest, .*functions of one another, column 0, 6"
    ):
        FactorAnalysis(2).fit(numpy.concatenate([x, 3 * x[:, :1] + 1], axis=1))


def test_one_column_that_a_factor_explains_alone_is_a_maximum(rng):
    """Heywood's case: psi of one column goes to 0, and the likelihood has a maximum there."""
    z = rng.standard_normal((500, 1))
    x = numpy.concatenate([z, 0.3 * z + rng.standard_normal((500, 1)), 0.3 * z + rng.standard_normal((500, 1))], axis=1)
    model = FactorAnalysis(2, tol=1e-12, max_iter=100_000).fit(x)
    assert numpy.isfinite(model.score(x)) and (model.noise_variance_ >= 0).all()


@pytest.mark.parametrize(
    ("start", "error", "sentence"),
    [
        (numpy.eye(3), ShapeError, r"a start of shape \(2, 2\), received \(3, 3\)"),
        ([[1, 0], [0, 1]], DataError, "floating-point numbers, received int64"),
    ],
)
def test_a_start_of_fast_ica(start, error, sentence, x):
    with pytest.raises(error, match=sentence):
        FastICA(2).fit(x, start=start)


def test_a_start_of_nmf(x):
    with pytest.raises(ShapeError, match=r"a start of shapes \(200, 2\) and \(2, 6\), received \(2, 200\)"):
        NMF(2).fit(x, start=(numpy.ones((2, 200)), numpy.ones((2, 6))))
    with pytest.raises(DataError, match="entries of at least 0, received .* -1"):
        NMF(2).fit(x, start=(-numpy.ones((200, 2)), numpy.ones((2, 6))))
    with pytest.raises(DataError, match="NMF.transform: expected entries of at least 0"):
        NMF(2).fit(x).transform(-x)


@pytest.mark.parametrize("kind", [PPCA, FactorAnalysis, FastICA, NMF, PCA, LogisticRegression])
def test_too_few_steps_are_said(kind, x, labels):
    model = kind(max_iter=2, tol=0)
    if kind in (PPCA, PCA):
        model.set_params(solver="em" if kind is PPCA else "alternating")
    with pytest.warns(ConvergenceWarning, match=f"{kind.__name__}: max_iter = 2 steps were too few for tol = 0"):
        assert model.fit(x, labels).n_iter_ == 2


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize(
    ("y", "error", "sentence"),
    [
        (None, DataError, "a label for each row, received None .*requires y to be passed"),
        (numpy.array(["a", None] * 3), DataError, "labels that are whole numbers or strings, received others, object"),
        (numpy.zeros(5, int), ShapeError, r"received shape \(5,\) of numpy"),
        (numpy.zeros((6, 2), int), ShapeError, r"received shape \(6, 2\)"),
        (
            numpy.full(6, 0.5),
            DataError,
            "whole numbers or strings, received others, float64 .Unknown label type: continuous",
        ),
        (numpy.full(6, numpy.nan), DataError, "finite labels, received NaN or infinity"),
        (numpy.full(6, numpy.inf), DataError, "finite labels, received NaN or infinity"),
    ],
)
def test_labels_that_are_none(kind, y, error, sentence):
    with pytest.raises(error, match=f"{kind.__name__}.fit: .*{sentence}"):
        kind().fit(OVERLAP[0], y)


def test_one_class_only():
    x, y = OVERLAP[0], numpy.zeros(6, int)
    assert (GaussianNaiveBayes().fit(x, y).predict_proba(x) == 1).all()
    with pytest.raises(DataError, match="labels of at least two classes, received one class only"):
        LogisticRegression().fit(x, y)


def test_constant_columns(rng):
    x, y = OVERLAP
    with_constant = numpy.concatenate([x, numpy.full((6, 1), 0.3)], axis=1)
    for kind in CLASSIFIERS:
        expected = kind().fit(x, y).predict_proba(x)
        numpy.testing.assert_allclose(kind().fit(with_constant, y).predict_proba(with_constant), expected, rtol=1e-9)
    for rows, smoothing in ((with_constant, 0), (numpy.ones((6, 2)), 1e-9)):
        with pytest.raises(DataError, match="GaussianNaiveBayes.fit: expected columns that vary"):
            GaussianNaiveBayes(var_smoothing=smoothing).fit(rows, y)
    with pytest.raises(DataError, match="no column that is a linear function of others"):
        LogisticRegression(math.inf).fit(with_constant, y)


def test_classes_without_a_maximum_of_the_likelihood(rng):
    """Separated by a hyperplane; or by one that has rows of both classes on it; or with fewer rows than columns."""
    x = rng.standard_normal((40, 2))
    for y in ((x[:, 0] > 0).astype(int), (x[:, 0] > 0.5).astype(int) + (x[:, 0] > -0.5)):
        with pytest.raises(DataError, match="classes that overlap, received classes that a hyperplane separates"):
            LogisticRegression(math.inf).fit(x, y)
        assert LogisticRegression(1e6).fit(x, y).score(x, y) == 1
    touching = numpy.array([-3.0, -2, -1, 0, 0, 1, 2, 3])[:, None], numpy.array([0, 0, 0, 0, 1, 1, 1, 1])
    with pytest.raises(DataError, match="classes that a hyperplane separates"):
        LogisticRegression(math.inf).fit(*touching)
    with pytest.raises(DataError, match="more rows than columns"):
        LogisticRegression(math.inf).fit(x[:2], numpy.array([0, 1]))
    assert math.isfinite(LogisticRegression(math.inf).fit(*OVERLAP).intercept_[0])
    for C in (0, -1, "1", None):
        with pytest.raises(InputError, match="LogisticRegression: expected C above 0"):
            LogisticRegression(C).fit(*OVERLAP)
