"""The linear models in the hands of scikit-learn: its own checks of an estimator, and what of them is left out."""

import warnings

import numpy
import pytest

from scratchvae.errors import InputError
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

FLOATS_ALONE = "rows of float32 and float64 are taken, whatever holds them; integers and objects are refused"
WORDS = "refused, by a sentence of this package's form"
LEFT_OUT = {
    "check_estimators_dtypes": FLOATS_ALONE,
    "check_dtype_object": FLOATS_ALONE,
    "check_classifier_data_not_an_array": FLOATS_ALONE,
    "check_supervised_y_2d": "labels of shape (N, 1) are refused",
    "check_complex_data": WORDS,
    "check_estimator_sparse_tag": WORDS,
    "check_estimator_sparse_array": WORDS,
    "check_estimator_sparse_matrix": WORDS,
    "check_estimators_empty_data_messages": WORDS,
    "check_n_features_in_after_fitting": WORDS,
    "check_fit2d_predict1d": WORDS,
    "check_fit2d_1sample": WORDS,
    "check_fit2d_1feature": WORDS,
    "check_classifiers_regression_target": WORDS,
    "check_requires_y_none": WORDS,
    "check_supervised_y_no_nan": WORDS,
    "check_positive_only_tag_during_fit": WORDS,
    "check_estimators_unfitted": "an InputError, which is a ValueError, but not scikit-learn's own NotFittedError",
    "check_transformer_n_iter": "a closed form takes no step: n_iter_ is 0",
}


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


def test_scikit_learns_checks_pass_but_those_left_out(results):
    failed = {check for check, status in results.items() if status == "failed"}
    assert not [check for check in failed if check[1] not in LEFT_OUT]
    assert sum(status == "passed" for status in results.values()) > 8 * 30


def test_what_is_left_out_does_fail(results):
    assert {name for (_, name), status in results.items() if status == "failed"} == LEFT_OUT.keys()


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
