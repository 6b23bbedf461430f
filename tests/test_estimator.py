"""VAEs as estimators: equal to the model that they hold, right about a known density, and at home in scikit-learn."""

import copy
import pickle
import warnings

import numpy
import pytest
from scipy import stats

import scratchvae as sv
from scratchvae.backend import asarray, to_numpy
from scratchvae.errors import DataError, InputError, ShapeError
from scratchvae.estimator import mean_and_scale
from scratchvae.noise import GivenNoise

pytestmark = pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")  # of models of two epochs
QUICK = {"latent_size": 1, "hidden": (4,), "epochs": 2, "batch_size": 32, "score_draws": 3}


def linear_gaussian_rows(n, seed=0):
    """x = 7 (W z + e / 2) + 100,   z ~ Normal(0, I) of two dimensions, columns of W orthogonal, every column alike."""
    rng, angle = numpy.random.default_rng(seed), numpy.pi * numpy.arange(6) / 6
    z, e = rng.standard_normal((n, 2)), rng.standard_normal((n, 6))
    return 7 * (z @ numpy.stack([numpy.cos(angle), numpy.sin(angle)]) + 0.5 * e) + 100


def linear(**parameters):
    """An estimator whose model is linear and Gaussian."""
    rate = sv.optim.ExponentialSchedule(0.03, 0.98)
    parameters = {"epochs": 30, "batch_size": 50, "learning_rate": rate} | parameters
    return sv.VAEEstimator(hidden=(), std="learned", **parameters)


@pytest.fixture(scope="module")
def fitted():
    return linear().fit(linear_gaussian_rows(300))


@pytest.fixture(scope="module")
def two_moons():
    """Two half circles in three columns of other units, their classes by name, and forty labels."""
    rng = numpy.random.default_rng(0)
    angle, classes = rng.uniform(0, numpy.pi, 240), numpy.arange(240) % 2
    x = numpy.stack([numpy.cos(angle) + classes, numpy.sin(angle) * (1 - 2 * classes) + 0.3 * classes], axis=1)
    x = numpy.concatenate([x + 0.1 * rng.standard_normal(x.shape), rng.standard_normal((240, 1))], axis=1) * [
        1,
        50,
        0.1,
    ]
    names = numpy.array(["left", "right"], dtype=object)[classes]
    y = names.copy()
    y[40:] = -1
    return x, names, y


@pytest.fixture(scope="module")
def classifier(two_moons):
    model = sv.VAEClassifier(hidden=(30,), epochs=40, batch_size=40, learning_rate=0.015, score_draws=10)
    return model.fit(two_moons[0], two_moons[2])


# ---- the same numbers as the model's own


def test_what_comes_out_is_the_models_own_in_the_units_of_the_data(fitted):
    x = linear_gaussian_rows(20, seed=1)
    u = (x - fitted.mean_) / fitted.scale_
    numpy.testing.assert_array_equal(fitted.transform(x), fitted.model_.encode(u).mean)
    z = fitted.transform(x)
    expected = fitted.mean_ + fitted.scale_ * fitted.model_.decode(z).mean
    numpy.testing.assert_array_equal(fitted.inverse_transform(z), expected)
    numpy.testing.assert_array_equal(fitted.fit(x := linear_gaussian_rows(300)).transform(x), fitted.fit_transform(x))


def test_the_model_is_the_one_that_fit_makes_of_the_standardised_rows():
    x = linear_gaussian_rows(60)
    estimator = sv.VAEEstimator(3, (5,), epochs=2, batch_size=16, learning_rate=0.01, kl_weight=0.5, seed=7).fit(x)
    model = sv.VAE.mlp(6, 3, (5,), likelihood="gaussian", std="decoder", seed=7).to(dtype=numpy.float64)
    options = {"epochs": 2, "batch_size": 16, "learning_rate": 0.01, "kl_weight": 0.5, "seed": 7}
    history = sv.fit(model, (x - x.mean(axis=0)) / x.std(axis=0), **options, progress=False)
    numpy.testing.assert_allclose(estimator.history_["elbo"], history["elbo"], rtol=1e-9)
    numpy.testing.assert_allclose(estimator.transform(x), model.encode((x - x.mean(axis=0)) / x.std(axis=0)).mean)


@pytest.mark.parametrize("standardize", [True, False])
def test_the_score_is_the_mean_of_evaluate_by_the_same_draws(standardize):
    x = linear_gaussian_rows(1200) / 100
    estimator = sv.VAEEstimator(**QUICK | {"batch_size": 400}, standardize=standardize, seed=5).fit(x)
    u = (x - estimator.mean_) / estimator.scale_
    assert (u == x).all() == (not standardize)
    elbo = sv.evaluate(estimator.model_, u, n_samples=3, seed=5, same_draws=True)["elbo"]
    units = numpy.log(estimator.scale_).sum()
    assert estimator.score(x) == pytest.approx(elbo - units, rel=1e-12)
    assert estimator.score_samples(x).mean() == pytest.approx(elbo - units, rel=1e-12)
    draws = sv.Noise(5).normal("z", (3, 1, 1))
    rows = to_numpy(estimator.model_.elbo(u, GivenNoise(draws), 3).data)
    numpy.testing.assert_allclose(estimator.score_samples(x), rows - units, rtol=1e-12)
    numpy.testing.assert_allclose(estimator.score_samples(x[::-1]), estimator.score_samples(x)[::-1], rtol=1e-9)


# ---- a density that is known


def exact(fitted):
    """p(x) = Normal(mean + scale b, S (W W' + sigma^2 I) S) of a linear model, S = diag(scale)."""
    with_zero = fitted.model_.decode(numpy.concatenate([numpy.zeros((1, 2)), numpy.eye(2)]))
    b, weight = with_zero.mean[0], with_zero.mean[1:] - with_zero.mean[0]
    covariance = weight.T @ weight + float(with_zero.std) ** 2 * numpy.eye(6)
    return stats.multivariate_normal(
        fitted.mean_ + fitted.scale_ * b, covariance * numpy.outer(fitted.scale_, fitted.scale_)
    )


def test_scores_are_of_the_density_in_the_units_of_the_data(fitted):
    x = linear_gaussian_rows(50, seed=1)
    log_p = exact(fitted).logpdf(x)
    by_importance = copy.copy(fitted).set_params(score_by="importance", score_draws=20_000).score_samples(x)
    numpy.testing.assert_allclose(by_importance, log_p, atol=0.2)  # the weights of a few rows vary much
    assert numpy.median(abs(by_importance - log_p)) < 0.01
    bound = copy.copy(fitted).set_params(score_draws=1000).score_samples(x)
    assert (bound < log_p + 0.02).all() and -2 < (bound - log_p).mean() < -0.01
    assert fitted.score(x) < sv.linear.PPCA(2).fit(linear_gaussian_rows(300)).score(x) + 0.05


def test_draws_have_the_moments_of_the_density(fitted):
    p, draws = exact(fitted), fitted.sample(40_000, seed=1)
    numpy.testing.assert_allclose(draws.mean(axis=0), p.mean, atol=0.25)
    numpy.testing.assert_allclose(numpy.cov(draws.T), p.cov, atol=0.03 * p.cov.max())
    numpy.testing.assert_array_equal(fitted.sample(3, seed=1), fitted.sample(3, seed=1))
    assert (fitted.sample(3, seed=1) != fitted.sample(3, seed=2)).all()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
def test_a_grid_search_finds_the_latent_size_of_the_data(seed):
    """Two, as PPCA's search does; and no bound is above PPCA's log p(x)."""
    selection = pytest.importorskip("sklearn.model_selection")
    x, grid = linear_gaussian_rows(400, seed).astype(numpy.float32), [1, 2, 3]
    search = selection.GridSearchCV(linear(), {"latent_size": grid}, cv=2, error_score="raise").fit(x)
    log_p = [selection.cross_val_score(sv.linear.PPCA(k), x, cv=2).mean() for k in grid]
    assert search.best_params_ == {"latent_size": 2} == {"latent_size": grid[numpy.argmax(log_p)]}
    assert (search.cv_results_["mean_test_score"] < log_p).all()
    assert search.transform(x).shape == (400, 2) and search.score(x) == search.best_estimator_.score(x)


# ---- labels


def test_twenty_labels_a_class_teach_and_exchanged_ones_teach_the_opposite(two_moons, classifier):
    x, names, y = two_moons
    assert classifier.classes_.tolist() == ["left", "right"]
    probabilities = classifier.predict_proba(x)
    assert (classifier.predict(x) == classifier.classes_[probabilities.argmax(axis=1)]).all()
    numpy.testing.assert_allclose(probabilities.sum(axis=1), 1)
    right = (classifier.predict(x) == names).mean()
    assert right > 0.85 and classifier.score(x, names) == right
    assert classifier.score(x, y) == (classifier.predict(x[:40]) == names[:40]).mean()
    exchanged = y.copy()
    exchanged[:40] = numpy.where(y[:40] == "left", "right", "left")
    wrong = sv.VAEClassifier(**classifier.get_params()).fit(x, exchanged)
    assert wrong.score(x, names) < 0.15 < 0.85 < wrong.score(x, numpy.where(names == "left", "right", "left"))


def test_the_classifier_is_the_models_own(two_moons, classifier):
    x, names, y = two_moons
    u = (x - classifier.mean_) / classifier.scale_
    places = (names == "right").astype(int)
    assert classifier.score(x, names) == pytest.approx(1 - sv.classification_error(classifier.model_, u, places))
    numpy.testing.assert_array_equal(classifier.transform(x), classifier.model_.encode(u).mean)
    elbo = sv.evaluate(classifier.model_, u, classifier.score_draws, same_draws=True)["elbo"]
    assert classifier.score_samples(x).mean() == pytest.approx(elbo - numpy.log(classifier.scale_).sum())
    z = classifier.transform(x)
    units = classifier.mean_, classifier.scale_
    by_class = [units[0] + units[1] * classifier.model_.decode(z, numpy.full(len(z), k)).mean for k in (0, 1)]
    numpy.testing.assert_allclose(classifier.inverse_transform(z), (by_class[0] + by_class[1]) / 2, rtol=1e-12)
    expected = numpy.where((names == "left")[:, None], *by_class)
    numpy.testing.assert_allclose(classifier.inverse_transform(z, names), expected, rtol=1e-12)
    draws = classifier.sample(200, y=["left"] * 200)
    assert (classifier.predict(draws) == "left").mean() > 0.8 and classifier.sample(5).shape == (5, 3)


def test_labels_of_any_type_are_taken(two_moons):
    x, names, y = (part[:90] for part in two_moons)
    places = numpy.where(y == -1, -1, y == "right").astype(int)
    models = [sv.VAEClassifier(**QUICK).fit(x, labels) for labels in (y, y.tolist(), places, places.astype(float))]
    for model in models[1:]:
        numpy.testing.assert_array_equal(model.predict_proba(x), models[0].predict_proba(x))
    assert models[2].classes_.tolist() == [0, 1] and models[1].score(x, names.tolist()) == models[0].score(x, names)
    full = sv.VAEClassifier(**QUICK | {"epochs": 20, "learning_rate": 0.05}).fit(x, names)
    assert full.score(x, names) > 0.7


# ---- at home in scikit-learn


def checks(estimator):
    """check -> "passed", "failed" or "skipped" of scikit-learn's checks of an estimator."""
    check_estimator = pytest.importorskip("sklearn.utils.estimator_checks").check_estimator
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of classes that are not its own, and its data of posterior collapse
        results = check_estimator(estimator, on_fail=None, on_skip=None)
    return {result["check_name"]: result["status"] for result in results}


def test_scikit_learns_checks_pass():
    found = checks(sv.VAEEstimator(**QUICK))
    assert "failed" not in found.values() and list(found.values()).count("passed") > 40


@pytest.mark.slow
def test_scikit_learns_checks_of_a_classifier_pass_but_one():
    """One takes the labels -1 and 1 for two classes, of all but its own classifiers for which -1 is no label."""
    found = checks(sv.VAEClassifier(**QUICK | {"hidden": (8,), "epochs": 12, "batch_size": 16, "learning_rate": 0.05}))
    assert [name for name, status in found.items() if status == "failed"] == ["check_classifiers_classes"]
    assert list(found.values()).count("passed") > 50


def test_in_a_pipeline_between_others():
    """The codes of two dimensions tell irises apart; y goes to all steps, and the VAE does not look at it."""
    pipeline = pytest.importorskip("sklearn.pipeline")
    linear_model = pytest.importorskip("sklearn.linear_model")
    scaler = pytest.importorskip("sklearn.preprocessing").StandardScaler
    x, y = pytest.importorskip("sklearn.datasets").load_iris(return_X_y=True)
    vae = sv.VAEEstimator(2, hidden=(30,), epochs=40, batch_size=30, learning_rate=0.005)
    model = pipeline.make_pipeline(scaler(), vae, linear_model.LogisticRegression())
    assert model.fit(x[::2], y[::2]).score(x[1::2], y[1::2]) > 0.85
    numpy.testing.assert_array_equal(
        model[1].transform(model[0].transform(x)), model[:2].set_params(vaeestimator__seed=0).transform(x)
    )
    numpy.testing.assert_array_equal(vae.fit_transform(model[0].transform(x[::2])), model[:2].transform(x[::2]))
    assert "VAEEstimator" in model._repr_html_()


def test_scikit_learn_knows_both():
    base = pytest.importorskip("sklearn.base")
    tags = pytest.importorskip("sklearn.utils").get_tags(sv.VAEEstimator())
    assert tags.estimator_type == "transformer" and not tags.target_tags.required
    assert base.is_classifier(sv.VAEClassifier()) and not base.is_classifier(sv.VAEEstimator())
    for model in (sv.VAEEstimator(3, (5,)), sv.VAEClassifier(3, (5,), seed=4)):
        assert base.clone(model).get_params() == model.get_params() == vars(model)
        assert repr(model).startswith(f"{type(model).__name__}(latent_size=3, hidden=(5,), ")


def test_estimators_are_pickled_and_say_how_their_columns_are_called(fitted):
    x = linear_gaussian_rows(10)
    received = pickle.loads(pickle.dumps(fitted))
    numpy.testing.assert_array_equal(received.transform(x), fitted.transform(x))
    assert fitted.get_feature_names_out().tolist() == ["vaeestimator0", "vaeestimator1"]


# ---- types, devices, units


@pytest.mark.parametrize("kind", [sv.VAEEstimator, sv.VAEClassifier])
@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
def test_arrays_come_out_as_they_went_in(kind, dtype, device):
    rows, labels = linear_gaussian_rows(40).astype(dtype), numpy.arange(40) % 3 - 1
    x, y = asarray(rows, device), asarray(labels, device)
    model = kind(**QUICK).fit(x, y)
    received = [
        model.transform(x),
        model.inverse_transform(model.transform(x)),
        model.score_samples(x),
        model.sample(4),
    ]
    received += [model.predict_proba(x)] if kind is sv.VAEClassifier else []
    assert {type(values) for values in received} == {type(x)} and {values.dtype for values in received} == {x.dtype}
    assert model.model_.dtype == dtype and type(model.score(x, y)) is float
    if kind is sv.VAEClassifier:
        assert type(model.predict(x)) is type(x) and to_numpy(model.classes_).tolist() == [0, 1]


def test_mean_and_scale_are_those_of_the_columns(rng):
    x = rng.standard_normal((50, 4)) * [1, 1e-200, 1e5, 0] + [3, 0, 1e5, 0.1]
    mean, scale = mean_and_scale(x)
    numpy.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-12)
    numpy.testing.assert_allclose(
        scale / [1, 1e-200, 1e5, 1], [*(x / [1, 1e-200, 1e5, 1]).std(axis=0)[:3], 1], rtol=1e-9
    )
    assert numpy.isfinite(sv.VAEEstimator(**QUICK).fit(x).score_samples(x)).all()


@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson"])
def test_values_that_have_no_units_are_taken_as_they_are(likelihood, rng):
    x = rng.integers(0, 2 if likelihood == "bernoulli" else 9, size=(60, 5))
    model = sv.VAEEstimator(**QUICK, likelihood=likelihood).fit(x)
    assert (model.mean_ == 0).all() and (model.scale_ == 1).all()
    assert model.score(x) == pytest.approx(sv.evaluate(model.model_, x.astype(float), 3, same_draws=True)["elbo"])
    assert (model.sample(50) == model.sample(50).round()).all() and model.sample(50).min() >= 0


def test_another_seed_is_another_model_and_y_changes_nothing():
    x = linear_gaussian_rows(50)
    first, same, other = (
        sv.VAEEstimator(**QUICK, seed=seed).fit(x, y) for seed, y in ((0, None), (0, x[:, 0]), (1, None))
    )
    numpy.testing.assert_array_equal(first.transform(x), same.transform(x))
    assert (first.transform(x) != other.transform(x)).any()


# ---- what is refused

X, Y = linear_gaussian_rows(12), numpy.array([0, 1, -1] * 4)
UNKNOWN = numpy.full(12, -1)
REFUSED = {
    "one row": (lambda: sv.VAEEstimator(**QUICK).fit(X[:1]), DataError, "at least 2 rows, received n_samples = 1"),
    "nan": (lambda: sv.VAEEstimator(**QUICK).fit(X * numpy.nan), DataError, "finite numbers, received NaN"),
    "words": (
        lambda: sv.VAEEstimator(**QUICK).fit([["a", "b"]] * 9),
        DataError,
        "floating-point numbers, received <U1",
    ),
    "a row": (lambda: sv.VAEEstimator(**QUICK).fit(X[0]), ShapeError, r"rows \(N, D\).*X.reshape\(1, -1\)"),
    "a likelihood": (lambda: sv.VAEEstimator(likelihood="normal").fit(X), InputError, "a likelihood among bernoulli"),
    "no epochs": (lambda: sv.VAEEstimator(epochs=0).fit(X), InputError, "epochs of at least 1, received 0"),
    "no latents": (lambda: sv.VAEEstimator(0).fit(X), InputError, "latent_size of at least 1, received 0"),
    "no widths": (lambda: sv.VAEEstimator(hidden=9).fit(X), InputError, "hidden as a sequence of widths, received 9"),
    "a score": (lambda: sv.VAEEstimator(score_by="auc").fit(X), InputError, '"elbo" or "importance", received \'auc\''),
    "no draws": (lambda: sv.VAEEstimator(score_draws=0).fit(X), InputError, "score_draws of at least 1, received 0"),
    "a truth": (
        lambda: sv.VAEEstimator(score_draws=True).fit(X),
        InputError,
        "score_draws of at least 1, received True",
    ),
    "grey": (lambda: sv.VAEEstimator(likelihood="bernoulli").fit(X), DataError, r"values in \[0, 1\], received values"),
    "unfitted": (lambda: sv.VAEEstimator().sample(), InputError, r"VAEEstimator.sample: expected a fitted .*fit\(X\)"),
    "another width": (lambda: sv.VAEEstimator(**QUICK).fit(X).transform(X[:, :2]), ShapeError, "rows of 6 columns"),
    "a code": (lambda: sv.VAEEstimator(**QUICK).fit(X).inverse_transform(X), ShapeError, "rows of 1 columns, received"),
    "nan codes": (
        lambda: fitted_classifier().inverse_transform([[numpy.nan]]),
        DataError,
        "finite numbers, received NaN",
    ),
    "no codes": (
        lambda: fitted_classifier().inverse_transform(numpy.ones((0, 1))),
        ShapeError,
        "at least one, received",
    ),
    "a name": (lambda: sv.VAEEstimator().set_params(n_components=2), InputError, "a name among latent_size, hidden"),
    "n": (lambda: sv.VAEEstimator(**QUICK).fit(X).sample(0), InputError, "n_samples of at least 1, received 0"),
    "no labels": (lambda: sv.VAEClassifier().fit(X), DataError, "a label for each row, received None .*requires y"),
    "unknown": (lambda: sv.VAEClassifier().fit(X, UNKNOWN), DataError, "two classes, received -1 alone"),
    "one class": (lambda: sv.VAEClassifier().fit(X, numpy.minimum(Y, 0)), DataError, "received one class only"),
    "few labels": (lambda: sv.VAEClassifier().fit(X, Y[:5]), ShapeError, r"labels as an array \(12,\)"),
    "amounts": (lambda: sv.VAEClassifier().fit(X, X[:, 0]), DataError, "Unknown label type: continuous"),
    "nan labels": (lambda: sv.VAEClassifier().fit(X, Y * numpy.nan), DataError, "finite labels, received NaN"),
    "no score": (lambda: fitted_classifier().score(X, UNKNOWN), DataError, "a label other than -1, received -1 alone"),
    "no class": (lambda: fitted_classifier().sample(12, y=Y), DataError, "sample: expected labels among 0, 1"),
}


def fitted_classifier():
    return sv.VAEClassifier(**QUICK).fit(X, Y)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    misuse, error, sentence = REFUSED[name]
    with pytest.raises(error, match=sentence) as raised:
        misuse()
    assert "\n" not in str(raised.value)
