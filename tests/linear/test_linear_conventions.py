"""The linear models in the hands of scikit-learn: its own checks, tables, names, and pools of processes."""

import pickle
import sys
import warnings
from types import ModuleType, SimpleNamespace

import numpy
import pytest

from scratchvae.errors import DataError, InputError, ShapeError
from scratchvae.linear import (
    NMF,
    PCA,
    PPCA,
    FactorAnalysis,
    FastICA,
    GaussianMixture,
    GaussianNaiveBayes,
    LogisticRegression,
)

base = pytest.importorskip("sklearn.base")
CLASSIFIERS = (GaussianNaiveBayes, LogisticRegression)
FACTORIZATIONS = (PCA, PPCA, FactorAnalysis, FastICA, NMF)


@pytest.fixture(scope="module")
def results():
    """What became of each of scikit-learn's checks: (class, check) -> "passed", "failed" or "skipped"."""
    checks = pytest.importorskip("sklearn.utils.estimator_checks")
    found = {}
    for kind in (*CLASSIFIERS, *FACTORIZATIONS, GaussianMixture):
        parameters = {} if kind in CLASSIFIERS else {"n_components": 1, "max_iter": 300}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of classes that are not its own, and its data of few iterations
            for result in checks.check_estimator(kind(**parameters), on_fail=None, on_skip=None):
                found[kind.__name__, result["check_name"]] = result["status"]
    return found


def test_scikit_learns_checks_pass(results):
    """All of them, without an exception; pandas and an environment variable of SciPy's are needed for those skipped."""
    assert not [check for check, status in results.items() if status == "failed"]
    skipped = {name for (_, name), status in results.items() if status == "skipped"}
    assert skipped <= {"check_array_api_input", "check_classifier_data_not_an_array"}
    assert sum(status == "passed" for status in results.values()) > 7 * 40


@pytest.mark.parametrize("kind", [*CLASSIFIERS, *FACTORIZATIONS, GaussianMixture])
def test_parameters(kind):
    model = kind()
    parameters = model.get_params()
    assert parameters == vars(model)  # the constructor stores what it is given, and nothing else
    assert base.clone(model).get_params() == parameters
    name = next(iter(parameters))
    assert model.set_params(**{name: 3}) is model and model.get_params()[name] == 3
    assert repr(model).startswith(f"{kind.__name__}({name}=3, ")
    with pytest.raises(InputError, match=f"{kind.__name__}.set_params: expected a name among {name}, .*'nothing'"):
        model.set_params(nothing=1)


def test_in_a_pipeline():
    pipeline = pytest.importorskip("sklearn.pipeline")
    x, y = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    model = pipeline.make_pipeline(PCA(20), LogisticRegression(C=0.1))
    assert model.fit(x[:1000], y[:1000]).score(x[1000:], y[1000:]) > 0.9


def derived(kind):
    class Derived(kind, base.BaseEstimator):
        __init__ = kind.__init__

    class Mixed(base.ClassifierMixin, kind, base.BaseEstimator):
        __init__ = kind.__init__

    return kind, Derived, Mixed


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_scikit_learn_knows_a_classifier(kind):
    """Its folds are stratified, as rows sorted by class would have folds without one; and log p(y | x) scores."""
    selection = pytest.importorskip("sklearn.model_selection")
    x, y = pytest.importorskip("sklearn.datasets").load_iris(return_X_y=True)
    name, values = ("C", [0.1, 1.0, 10.0]) if kind is LogisticRegression else ("var_smoothing", [1e-9, 1e-1])
    for recipe in derived(kind):
        model = recipe()
        assert base.is_classifier(model)
        folds = selection.StratifiedKFold()
        expected = selection.cross_val_score(model, x, y, cv=folds)
        assert (selection.cross_val_score(model, x, y) == expected).all() and expected.min() > 0.85
        search = selection.GridSearchCV(model, {name: values}, scoring="neg_log_loss").fit(x, y)
        scores = search.cv_results_["mean_test_score"]
        assert (scores < 0).all() and search.best_params_ == {name: values[scores.argmax()]}


@pytest.mark.parametrize("kind", FACTORIZATIONS)
def test_scikit_learn_knows_a_factorization(kind):
    tags = pytest.importorskip("sklearn.utils").get_tags(kind())
    assert tags.estimator_type == "transformer" and not tags.target_tags.required
    assert tags.input_tags.positive_only == (kind is NMF)


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_labels_that_are_strings_of_type_object(kind):
    x, names = pytest.importorskip("sklearn.datasets").load_iris(return_X_y=True)
    names = numpy.array(["setosa", "versicolor", "virginica"])[names]
    model, expected = kind().fit(x, names.astype(object)), kind().fit(x, names)
    assert model.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert (model.predict(x) == expected.predict(x)).all()
    assert model.score(x, names.astype(object)) == expected.score(x, names)
    with pytest.raises(InputError, match="labels that are whole numbers or strings, received others, object"):
        kind().fit(x, numpy.array([*names[:-1], None], object))


# ---- numbers of other types, and labels in a column


@pytest.mark.parametrize("kind", [*FACTORIZATIONS, *CLASSIFIERS])
def test_integers_truth_values_and_objects_are_the_float64_that_they_equal(kind, rng):
    integers, y = rng.integers(0, 9, size=(40, 4)), numpy.arange(40) % 2
    expected = kind(1).fit(integers.astype(numpy.float64), y)
    method = "predict_proba" if kind in CLASSIFIERS else "transform"
    for rows in (integers, integers.astype(numpy.uint8), integers.tolist(), integers.astype(object)):
        received = getattr(kind(1).fit(rows, y), method)(rows)
        assert received.dtype == numpy.float64
        numpy.testing.assert_array_equal(received, getattr(expected, method)(integers.astype(numpy.float64)))
    assert kind(1).fit(rng.random((40, 4)) < 0.5, y).n_features_in_ == 4


def test_labels_in_a_column_are_taken_with_a_warning(rng):
    x, y = rng.random((20, 2)), numpy.arange(20) % 2
    with pytest.warns(UserWarning, match="A column-vector y was passed"):
        model = LogisticRegression().fit(x, y[:, None])
    numpy.testing.assert_array_equal(model.coef_, LogisticRegression().fit(x, y).coef_)


# ---- tables


class Table(SimpleNamespace):
    """What the package asks of a table: names of columns, and an array."""

    def __init__(self, values, columns, index=None):
        super().__init__(values=values, columns=columns, index=index)

    def __array__(self, dtype=None, copy=None):
        return numpy.asarray(self.values, dtype)


def test_names_of_columns_are_kept_and_compared(rng):
    x = rng.random((10, 3))
    table = Table(x, ["a", "b", "c"])
    model = PCA(2).fit(table)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"] and model.feature_names_in_.dtype == object
    numpy.testing.assert_array_equal(model.transform(table), PCA(2).fit_transform(x))
    assert model.get_feature_names_out().tolist() == ["pca0", "pca1"]
    for names, received in ((["b", "a", "c"], "another order"), (["a", "b", "d"], "a new one, 'd'")):
        with pytest.raises(DataError, match=f"PCA.transform: expected the columns of fit, .* received {received}"):
            model.transform(Table(x, names))
        with pytest.raises(DataError, match="input_features is not equal to feature_names_in_"):
            model.get_feature_names_out(names)
    with pytest.raises(DataError, match="received none of the name 'c'"):
        model.transform(Table(x[:, :2], ["a", "b"]))
    with pytest.warns(UserWarning, match="X does not have valid feature names, but PCA was fitted with"):
        model.transform(x)
    model.fit(x)
    assert not hasattr(model, "feature_names_in_")
    with pytest.warns(UserWarning, match="X has feature names, but PCA was fitted without"):
        model.transform(table)
    with pytest.raises(ShapeError, match="input_features should have length equal to the number of features, 3"):
        model.get_feature_names_out(["a"])
    assert not hasattr(PCA(1).fit(Table(x, [0, 1, 2])), "feature_names_in_")


def test_a_fit_that_fails_leaves_no_half_of_a_model(rng):
    model = FactorAnalysis(1).fit(rng.random((20, 3)))
    with pytest.raises(DataError, match="columns that vary"):
        model.fit(Table(numpy.ones((20, 3)), ["a", "b", "c"]))
    with pytest.raises(InputError, match="expected a fitted FactorAnalysis"):
        model.transform(numpy.ones((20, 3)))
    model.fit(rng.random((20, 3)))
    with pytest.raises(DataError, match="finite numbers"):
        model.fit(numpy.full((20, 3), numpy.nan))  # refused before anything changes
    assert model.transform(rng.random((20, 3))).shape == (20, 1)


@pytest.mark.parametrize("kind", FACTORIZATIONS)
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_set_output_gives_tables(kind, library, rng):
    frames = pytest.importorskip(library)
    x = rng.random((20, 4))
    model = kind(2).set_output(transform=library)
    assert base.clone(model).set_output(transform=None)._sklearn_output_config == {"transform": library}
    columns = [f"{kind.__name__.lower()}{k}" for k in range(2)]
    index = {"index": range(5, 25)} if library == "pandas" else {}
    named = frames.DataFrame(dict(zip("abcd", x.T, strict=True)), **index)
    for table in (model.fit(named).transform(named), model.fit_transform(named)):
        assert isinstance(table, frames.DataFrame) and list(table.columns) == columns
        assert library == "polars" or list(table.index) == list(range(5, 25))
    numpy.testing.assert_allclose(table.to_numpy(), kind(2).fit_transform(x), rtol=1e-6)  # polars keeps columns
    assert isinstance(model.set_output(transform="default").fit_transform(x.tolist()), numpy.ndarray)


def test_set_output_asks_for_tables_by_scikit_learns_configuration(monkeypatch, rng):
    """A stand-in for pandas records what it is given; and without pandas one sentence says so."""
    x, made = rng.random((20, 4)), []
    stand_in = ModuleType("pandas")
    stand_in.DataFrame = lambda values, **options: made.append((values, options)) or Table(values, options["columns"])
    monkeypatch.setitem(sys.modules, "pandas", stand_in)
    named = Table(x, ["a", "b", "c", "d"], index=range(20))
    named.iloc = None  # as pandas has it
    sklearn = pytest.importorskip("sklearn")
    with sklearn.config_context(transform_output="pandas"):
        table = PCA(2).fit_transform(named)
    assert table.columns == ["pca0", "pca1"] and made[0][1]["index"] == range(20) and len(made) == 1
    numpy.testing.assert_array_equal(table.values, PCA(2).fit_transform(x))
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match=r"PCA.transform: expected pandas, which set_output .*pip install pandas"):
        PCA(2).set_output(transform="pandas").fit(x).transform(x)
    with pytest.raises(InputError, match="PCA.set_output: expected transform=\"default\", .* received 'numpy'"):
        PCA().set_output(transform="numpy")


# ---- errors


def test_use_before_fit_is_scikit_learns_error_too_and_can_be_handed_on(rng):
    exceptions = pytest.importorskip("sklearn.exceptions")
    with pytest.raises(exceptions.NotFittedError, match="expected a fitted PCA") as unfitted:
        PCA().transform(rng.random((3, 2)))
    with pytest.raises(ShapeError) as misshapen:
        PCA().fit(rng.random(3))
    for error, kind in ((unfitted.value, InputError), (misshapen.value, ShapeError)):
        received = pickle.loads(pickle.dumps(error))
        assert isinstance(error, InputError) and type(received) is kind and str(received) == str(error)
