"""The linear models on numbers that are hard for their type: tiny, far from 0, or with noise small beside them."""

import math

import numpy
import pytest

from scratchvae.backend import asarray, to_numpy
from scratchvae.errors import DataError
from scratchvae.linear import NMF, PCA, PPCA, FactorAnalysis, FastICA, GaussianNaiveBayes, LogisticRegression
from scratchvae.linear.estimator import power_of_two

SMALL = 2.0**-83  # about 1e-25, whose square no float32 holds


@pytest.fixture
def x(rng):
    """Positive rows of three sources, float32.   (60, 6)"""
    rows = rng.exponential(size=(60, 3)) @ rng.random((3, 6)) + 0.1 * rng.random((60, 6))
    return rows.astype(numpy.float32)


# ---- tiny numbers: what scales with the data does so, bit for bit; what their type cannot hold is refused

FACTORS = {
    PCA: {"mean_": 1, "components_": 0, "singular_values_": 1, "explained_variance_ratio_": 0},
    FastICA: {"mean_": 1, "components_": -1, "mixing_": 1, "whitening_": -1},
    PPCA: {"mean_": 1, "weight_": 1, "noise_variance_": 2, "explained_variance_": 2, "components_": 0},
    FactorAnalysis: {"mean_": 1, "weight_": 1, "noise_variance_": 2},
}


@pytest.mark.parametrize("power", [-30, -45, -83])
@pytest.mark.parametrize("kind", FACTORS)
def test_small_rows_are_rows_in_other_units(kind, power, x, device):
    x = asarray(x, device)
    tiny, model = 2.0**power * x, kind(2).fit(x)
    if power < -60 and kind in (PPCA, FactorAnalysis):
        with pytest.raises(
            DataError, match=f"{kind.__name__}.fit: expected rows whose noise variances? float32 can hold"
        ):
            kind(2).fit(tiny)
        return
    small = kind(2).fit(tiny)
    for name, factor in FACTORS[kind].items():
        received, expected = (numpy.asarray(to_numpy(getattr(m, name)), float) for m in (small, model))
        expected *= 2.0 ** (factor * power)
        rounding = 1e-6 * abs(expected).max()  # of a GPU's solver, whose results for two scales differ by it
        numpy.testing.assert_allclose(received, expected, rtol=1e-5, atol=rounding, err_msg=name)
    numpy.testing.assert_allclose(
        to_numpy(small.transform(tiny)),
        to_numpy(model.transform(x)) * 2.0 ** (power * (kind is PCA)),
        rtol=1e-4,
        atol=1e-5 * 2.0 ** (power * (kind is PCA)),
    )


def test_explained_variances_are_refused_where_their_type_does_not_hold_them(x):
    with pytest.raises(
        DataError, match=r"rows whose explained variances float32 can hold, at least 1.2e-38, received 0"
    ):
        _ = PCA(2).fit(numpy.float32(SMALL) * x).explained_variance_
    with pytest.raises(DataError, match=r'received .*e-5[0-9] \(other units, or X.astype\("float64"\)\)'):
        PPCA(2).fit(numpy.float32(SMALL) * x)
    double = SMALL * x.astype(numpy.float64)
    numpy.testing.assert_allclose(
        PCA(2).fit(double).explained_variance_ / SMALL**2, PCA(2).fit(x).explained_variance_, 1e-5
    )


def test_alternating_minimisation_and_em_of_small_rows(x):
    tiny = numpy.float32(SMALL) * x
    small, model = (PCA(2, solver="alternating").fit(rows) for rows in (tiny, x))
    numpy.testing.assert_array_equal(small.components_, model.components_)
    small, model = (PPCA(2, solver="em").fit(rows) for rows in (numpy.float32(2.0**-45) * x, x))
    assert small.noise_variance_ == pytest.approx(model.noise_variance_ * 2.0**-90, rel=1e-6)


def test_parts_of_small_rows(x):
    tiny = numpy.float32(SMALL / 2) * x  # an even power, so that A and B each have a half of it
    small, model = NMF(3), NMF(3)
    small_a, a = small.fit_transform(tiny), model.fit_transform(x)
    numpy.testing.assert_allclose(small_a, a * 2.0**-42, rtol=1e-6)
    numpy.testing.assert_allclose(small.components_, model.components_ * 2.0**-42, rtol=1e-6)
    assert small.reconstruction_err_ == pytest.approx(model.reconstruction_err_ * 2.0**-84, rel=1e-6)
    assert small.n_iter_ == model.n_iter_
    numpy.testing.assert_allclose(small.transform(tiny), model.transform(x) * 2.0**-42, rtol=1e-4)
    start = (numpy.ones((60, 3), "f") * numpy.arange(1, 4, dtype="f"), numpy.eye(3, 6, dtype="f") + 1)
    small, model = (
        NMF(3).fit(tiny, start=tuple(numpy.float32(2.0**-42) * part for part in start)),
        NMF(3).fit(x, start=start),
    )
    numpy.testing.assert_allclose(small.components_, model.components_ * 2.0**-42, rtol=1e-6)


@pytest.mark.parametrize("C", [math.inf, 1.0, 1e60])
def test_logistic_regression_of_small_rows(C, x, rng):
    """Beside an ordinary column, too. Without a penalty weights grow as rows shrink; with one they all but vanish."""
    y = (x[:, 0] + 0.5 * rng.standard_normal(60) > numpy.median(x[:, 0])).astype(int)
    units = numpy.array([SMALL, SMALL, 1.0, 1.0, 1.0, 1.0], numpy.float32)
    model = LogisticRegression(C).fit(units * x, y)
    expected = LogisticRegression(C).fit((units * x).astype(numpy.float64), y)
    numpy.testing.assert_allclose(
        model.coef_, expected.coef_, rtol=2e-3, atol=2e-3 * abs(expected.coef_[0, 2:]).max() if C == 1 else 0
    )
    numpy.testing.assert_allclose(
        model.predict_proba(units * x), expected.predict_proba((units * x).astype(float)), atol=1e-3
    )


def test_variances_of_naive_bayes_are_refused_where_their_type_does_not_hold_them(x):
    y = numpy.arange(60) % 2
    with pytest.raises(DataError, match="GaussianNaiveBayes.fit: expected rows whose variances float32 can hold"):
        GaussianNaiveBayes().fit(numpy.float32(SMALL) * x, y)
    small = GaussianNaiveBayes().fit(numpy.float32(2.0**-45) * x, y)
    numpy.testing.assert_allclose(small.var_, GaussianNaiveBayes().fit(x, y).var_ * 2.0**-90, rtol=1e-6)
    numpy.testing.assert_allclose(
        small.predict_proba(numpy.float32(2.0**-45) * x), GaussianNaiveBayes().fit(x, y).predict_proba(x), rtol=1e-4
    )


def test_one_small_column_beside_ordinary_ones_varies(x):
    units = numpy.array([SMALL * 2**30, 1, 1, 1, 1, 1], numpy.float32)
    small, model = (FactorAnalysis(1, tol=1e-5).fit(rows) for rows in (units * x, x))
    numpy.testing.assert_allclose(small.weight_, units[:, None] * model.weight_, rtol=1e-4)
    with pytest.raises(DataError, match="whose noise variances float32 can hold"):
        FactorAnalysis(1).fit(numpy.array([SMALL, 1, 1, 1, 1, 1], numpy.float32) * x)


def test_power_of_two():
    assert power_of_two(numpy.array([[1.0, 2.0**-100]])) == 1
    assert power_of_two(numpy.zeros((2, 2))) == 1
    tiny = numpy.array([[0.75 * 2.0**-80, 1.0, 0.0]], numpy.float32)
    assert power_of_two(tiny[:, :1]) == 2.0**-80
    powers = power_of_two(tiny, axis=0)
    assert powers.dtype == numpy.float32 and powers.tolist() == [2.0**-80, 1, 1]


# ---- noise that is small beside what the components explain


@pytest.mark.parametrize(
    ("dtype", "noise", "digits"),
    [("f4", 1e-1, 1e-5), ("f4", 1e-2, 1e-5), ("f4", 3e-3, 1e-4), ("f8", 1e-6, 1e-7), ("f8", 1e-9, 1e-4)],
)
def test_noise_variance_of_ppca_keeps_its_digits(dtype, noise, digits, rng):
    x = (rng.normal(size=(500, 2)) @ rng.normal(size=(2, 10)) + noise * rng.normal(size=(500, 10))).astype(dtype)
    centred = x.astype(numpy.longdouble) - x.astype(numpy.longdouble).mean(axis=0)
    axes = numpy.linalg.svd(centred.astype(float))[2][:2].astype(numpy.longdouble)
    rest = centred - centred @ axes.T @ axes
    expected = float((rest**2).sum() / 500 / 8)
    assert PPCA(2).fit(x).noise_variance_ == pytest.approx(expected, rel=digits)
    if noise == 1e-1:
        assert PPCA(2, solver="em").fit(x).noise_variance_ == pytest.approx(expected, rel=digits)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(("n", "d"), [(50, 5), (500, 40), (20, 60)])
def test_rows_in_few_directions_are_still_refused_by_ppca(dtype, n, d, rng):
    for seed in range(20):
        r = numpy.random.default_rng(seed)
        x = (r.normal(size=(n, 2)) @ r.normal(size=(2, d)) * 10.0 ** r.uniform(-3, 3)).astype(dtype)
        if dtype == "f4":  # the product, rounded, has noise of its own
            x = numpy.outer(r.integers(-8, 9, n), r.integers(-8, 9, d)).astype(dtype)
        with pytest.raises(DataError, match="rows that vary in more than"):
            PPCA(2).fit(x)


def test_singular_values_keep_their_digits(rng):
    """Also where X'X is decomposed: down to s_k^2 = sqrt(eps) s_1^2 their error is eps s_1 / s_k, not its square."""
    q, v = numpy.linalg.qr(rng.normal(size=(400, 6)))[0], numpy.linalg.qr(rng.normal(size=(6, 6)))[0]
    s = numpy.array([1.0, 0.3, 0.1, 0.05, 0.03, 0.02])
    q = numpy.linalg.qr(q - q.mean(axis=0))[0]
    x = ((q * s) @ v.T).astype(numpy.float32)
    expected = numpy.linalg.svd(x.astype(float) - x.astype(float).mean(axis=0), compute_uv=False)
    numpy.testing.assert_allclose(PCA(6).fit(x).singular_values_, expected, rtol=3e-6)


def test_small_psi_of_factor_analysis_keeps_its_digits(rng):
    z = rng.normal(size=(400, 1))
    x = (z @ rng.uniform(1, 2, size=(1, 6)) + 0.02 * rng.normal(size=(400, 6))).astype(numpy.float32)
    single, double = (FactorAnalysis(1, tol=0, max_iter=50_000) for _ in range(2))
    for model, rows in ((single, x), (double, x.astype(float))):
        try:
            model.fit(rows)
        except UserWarning:
            pass
    numpy.testing.assert_allclose(single.noise_variance_, double.noise_variance_, rtol=2e-3)


# ---- far from 0


@pytest.mark.parametrize("kind", [PCA, PPCA, FactorAnalysis, FastICA, GaussianNaiveBayes, LogisticRegression])
def test_a_mean_of_1e8_changes_nothing_but_the_mean(kind, rng):
    x = numpy.round(rng.exponential(size=(300, 3)) @ rng.random((3, 6)) + 0.3 * rng.random((300, 6)), 6)
    y = (x[:, 0] + 0.3 * rng.standard_normal(300) > numpy.median(x[:, 0])).astype(int)
    far = x + 1e8
    model, moved = (kind().fit(rows, y) for rows in (far - 1e8, far))
    if kind in (GaussianNaiveBayes, LogisticRegression):
        numpy.testing.assert_allclose(moved.predict_proba(far), model.predict_proba(far - 1e8), atol=1e-6)
    else:
        numpy.testing.assert_allclose(moved.transform(far), model.transform(far - 1e8), atol=1e-6)
    if hasattr(kind, "score_samples"):
        numpy.testing.assert_allclose(moved.score_samples(far), model.score_samples(far - 1e8), atol=1e-6)
    if kind is LogisticRegression:
        numpy.testing.assert_allclose(moved.coef_, model.coef_, rtol=1e-6)
