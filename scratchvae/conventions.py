"""scikit-learn's conventions for an estimator, without scikit-learn: parameters, tags, tables, and what is refused."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from numbers import Integral, Real
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.arrays import as_array, as_floats, type_name
from scratchvae.backend import array_module, to_numpy
from scratchvae.errors import DataError, InputError, ShapeError

LARGEST_EXACT = 2**53  # up to here float64 holds every integer


class EntryTypeError(DataError, TypeError):
    """An entry of the data is no number. The error is a TypeError too, as the one of Python's own float() is.

    See Also
    --------
    scratchvae.errors.DataError : its base class.

    Examples
    --------
    >>> import scratchvae as sv
    >>> try:
    ...     sv.linear.PCA(1).fit([[{}, 1.0], [1.0, 2.0]])
    ... except TypeError as error:
    ...     print(type(error).__name__)
    EntryTypeError
    """


class Estimator:
    """An Estimator is a model in scikit-learn's conventions, without scikit-learn.

    The constructor only stores its parameters; `fit` checks them and the data, returns the model, and stores its
    results in attributes whose names end in "_". Data are (N, D), one row for each x: an array of NumPy or CuPy, or an
    object that converts to one of NumPy's, such as a table of pandas or polars. Results are arrays of the same kind, of
    float32 where X is, else of float64: integers become float64. No argument is changed. scikit-learn's pipelines,
    searches and scorers take an estimator as it is, and know a classifier as one; `check_estimator` passes.

    Raises InputError for parameters out of range and for use before `fit` (a NotFittedError, too, where scikit-learn is
    loaded), ShapeError for other than (N, D), and DataError for entries that are no numbers, not finite, too large to
    be squared and added up, or so small that the results are outside the range of their type.

    Attributes
    ----------
    n_features_in_ : int
        D, the number of columns of the data that `fit` saw.
    feature_names_in_ : array (D,)
        Their names; the attribute exists only where the data had names that are strings.

    See Also
    --------
    Transformer, Classifier : the two kinds of estimators.

    Examples
    --------
    >>> import scratchvae as sv
    >>> model = sv.linear.PCA(n_components=3)
    >>> model.get_params()["n_components"], model.set_params(n_components=2).n_components
    (3, 2)
    """

    n_features_in_: int
    feature_names_in_: numpy.ndarray

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's parameters by name; `deep` is for scikit-learn, as no parameter is an estimator."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **parameters: Any) -> Estimator:
        """Change parameters by name. Raises InputError for a name that the constructor does not have."""
        known = self.get_params()
        for name, value in parameters.items():
            if name not in known:
                raise InputError(f"{type(self).__name__}.set_params", f"a name among {', '.join(known)}", repr(name))
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        """The tags of an estimator. Only scikit-learn asks for them, so it is loaded already."""
        utils = sys.modules["sklearn.utils"]
        return utils.Tags(estimator_type=None, target_tags=utils.TargetTags(required=False))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.get_params().items())})"

    def _rows_to_fit(self, X: Any, least: int = 1) -> Any:
        """X as rows of numbers, at least so many of them. From here on the model counts as not fitted."""
        operation, names = f"{type(self).__name__}.fit", column_names(X)
        X = finite_rows(operation, X)
        if len(X) < least:
            raise DataError(operation, f"at least {least} rows", f"n_samples = {len(X)}")
        xp = array_module(X)
        if not float(abs(X).max()) < (float(xp.finfo(X.dtype).max) / X.size) ** 0.5:
            raise DataError(operation, f"numbers whose squares can be added up in {X.dtype}", "larger ones")
        for name in ("n_features_in_", "feature_names_in_"):
            vars(self).pop(name, None)
        if names is not None:
            self.feature_names_in_ = names
        return X

    def _rows(self, method: str, X: Any) -> Any:
        """X, if the model is fitted and X has the columns that it was fitted to."""
        operation = self._fitted(method)
        self._check_names(operation, column_names(X))
        X, n = finite_rows(operation, X), self.n_features_in_
        if X.shape[1] != n:
            hint = f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {n} features as input"
            raise ShapeError(operation, f"rows of {n} columns, as those of fit", f"shape {X.shape}", hint)
        return X

    def _check_names(self, operation: str, names: numpy.ndarray | None) -> None:
        """Raise DataError for columns of other names than those of `fit`; warn where only one of the two has names."""
        known, kind = vars(self).get("feature_names_in_"), type(self).__name__
        if known is None and names is not None:
            message = f"X has feature names, but {kind} was fitted without feature names"
            warnings.warn(message, UserWarning, stacklevel=4)
        elif known is not None and names is None:
            message = f"X does not have valid feature names, but {kind} was fitted with feature names"
            warnings.warn(message, UserWarning, stacklevel=4)
        elif known is not None and names is not None and names.tolist() != known.tolist():
            first = next((name for name in names if name not in known), None)
            missing = next((name for name in known if name not in names), None)
            received = "another order" if first is None else f"a new one, {first!r}"
            received = f"none of the name {missing!r}" if first is None and missing is not None else received
            hint = "The feature names should match those that were passed during fit."
            raise DataError(operation, "the columns of fit, by name and in their order", received, hint)

    def _fitted(self, method: str) -> str:
        """The method's full name, for messages."""
        operation = f"{type(self).__name__}.{method}"
        if "n_features_in_" not in vars(self):
            received, hint = "one that is not", "fit(X) first"
            raise not_fitted_error()(operation, f"a fitted {type(self).__name__}", received, hint)
        return operation

    def _count(self, name: str, value: Any, highest: int | None = None, reason: str = "") -> int:
        """value, if it is a whole number from 1 to the highest."""
        is_whole = isinstance(value, Integral) and not isinstance(value, bool)
        if not is_whole or value < 1 or (highest is not None and value > highest):
            expected = f"{name} of at least 1" if highest is None else f"{name} from 1 to {highest}{reason}"
            raise InputError(type(self).__name__, expected, repr(value))
        return int(value)

    def _positive(self, name: str, zero: bool = False) -> float:
        """A parameter, if it is a number above zero, or zero where that has a meaning."""
        value = getattr(self, name)
        if not isinstance(value, Real) or not (value > 0 or zero and value == 0):
            raise InputError(type(self).__name__, f"{name} {'of at least' if zero else 'above'} 0", repr(value))
        return float(value)


def tabulated(transform: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of `transform` and `fit_transform`: what they return, in the table that `set_output` asks for."""

    @wraps(transform)
    def in_a_table(self: Transformer, X: Any, *arguments: Any, **options: Any) -> Any:
        return self._table(X, transform(self, X, *arguments, **options))

    return in_a_table


class Transformer(Estimator):
    """A Transformer is an estimator that maps the rows of X to other rows, (N, D) -> (N, K), of the same type.

    See Also
    --------
    scratchvae.linear.PCA, scratchvae.VAEEstimator : two of them.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> model = sv.linear.PCA(n_components=1).fit(numpy.eye(3))
    >>> model.get_feature_names_out()
    array(['pca0'], dtype=object)
    """

    def __sklearn_tags__(self) -> Any:
        """An estimator's, and that rows become other rows of the same type."""
        utils, tags = sys.modules["sklearn.utils"], super().__sklearn_tags__()
        tags.estimator_type, tags.transformer_tags = "transformer", utils.TransformerTags(["float64", "float32"])
        return tags

    def _n_columns(self) -> int:
        """K, of a fitted model."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any = None) -> Any:
        """Learn from the rows of X. Returns itself."""
        raise NotImplementedError

    def transform(self, X: Any) -> Any:
        """(N, D) -> (N, K)"""
        raise NotImplementedError

    def fit_transform(self, X: Any, y: Any = None) -> Any:
        """fit(X, y).transform(X)"""
        return self.fit(X, y).transform(X)

    def get_feature_names_out(self, input_features: Any = None) -> numpy.ndarray:
        """The names of the columns that `transform` makes, "pca0", "pca1", ... for a PCA.   (K,), of type object

        input_features: the names of the columns of X, which are checked and no more.
        """
        operation = self._fitted("get_feature_names_out")
        if input_features is not None:
            names, known = list(input_features), vars(self).get("feature_names_in_")
            if known is not None and names != known.tolist():
                hint = "input_features is not equal to feature_names_in_"
                raise DataError(operation, "the names of the columns of fit", "others", hint)
            if len(names) != self.n_features_in_:
                hint = f"input_features should have length equal to the number of features, {self.n_features_in_}"
                raise ShapeError(operation, f"{self.n_features_in_} names", str(len(names)), hint)
        return numpy.array([f"{type(self).__name__.lower()}{k}" for k in range(self._n_columns())], dtype=object)

    def set_output(self, *, transform: str | None = None) -> Any:
        """What `transform` and `fit_transform` return: "default", an array; a table of "pandas" or of "polars".

        None leaves it as it is. Without a call it is what scikit-learn's set_config says, if that is loaded. Columns
        are named by `get_feature_names_out`; the index of pandas is that of X. Returns itself.
        """
        if transform not in (None, "default", "pandas", "polars"):
            expected = 'transform="default", "pandas", "polars" or None'
            raise InputError(f"{type(self).__name__}.set_output", expected, repr(transform))
        if transform is not None:
            self._sklearn_output_config = {"transform": transform}
        return self

    def _table(self, X: Any, A: Any) -> Any:
        """A, (N, K), as `set_output` or scikit-learn's configuration asks for it."""
        sklearn = sys.modules.get("sklearn")
        everywhere = sklearn.get_config()["transform_output"] if sklearn else "default"
        kind = vars(self).get("_sklearn_output_config", {}).get("transform", everywhere)
        if kind == "default" or hasattr(A, "columns"):
            return A
        try:
            library = import_module(kind)
        except ImportError:
            operation = f"{type(self).__name__}.transform"
            raise InputError(operation, f"{kind}, which set_output asks for", "none", f"pip install {kind}") from None
        names = list(self.get_feature_names_out())
        if kind == "polars":
            return library.DataFrame(to_numpy(A), schema=names, orient="row")
        return library.DataFrame(to_numpy(A), columns=names, index=X.index if hasattr(X, "iloc") else None, copy=False)


class Classifier(Estimator):
    """p(y | x) = exp(s_y(x)) / sum over c of exp(s_c(x)),   where each model defines its own scores s

    Attributes
    ----------
    classes_ : array (C,)
        The values of y, in rising order; the columns of a result with C columns are in this order.

    See Also
    --------
    scratchvae.linear.LogisticRegression, scratchvae.VAEClassifier : two classifiers.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> X, y = numpy.array([[0.0], [1.0], [4.0], [5.0]]), numpy.array(["a", "a", "b", "b"])
    >>> model = sv.linear.LogisticRegression().fit(X, y)
    >>> model.classes_.tolist(), model.score(X, y)
    (['a', 'b'], 1.0)
    """

    classes_: Any

    def __sklearn_tags__(self) -> Any:
        """An estimator's, and that y has classes."""
        utils, tags = sys.modules["sklearn.utils"], super().__sklearn_tags__()
        tags.estimator_type, tags.classifier_tags = "classifier", utils.ClassifierTags()
        tags.target_tags.required = True
        return tags

    def _scores(self, method: str, X: Any) -> Any:
        """s_c(x), (N, C)."""
        raise NotImplementedError

    def _labels_to_fit(self, X: Any, y: Any) -> tuple[Any, Any]:
        """The classes, (C,), and the place of each row's among them, (N,)."""
        return array_module(X).unique(labels_of_rows(f"{type(self).__name__}.fit", X, y), return_inverse=True)

    def predict_log_proba(self, X: Any) -> Any:
        """log p(y | x) for every class.   (N, C)"""
        return ops.log_softmax(self._scores("predict_log_proba", X))

    def predict_proba(self, X: Any) -> Any:
        """p(y | x) for every class.   (N, C)"""
        return ops.softmax(self._scores("predict_proba", X))

    def predict(self, X: Any) -> Any:
        """The class with the largest p(y | x).   (N,)"""
        best = self._scores("predict", X).argmax(axis=1)
        return self.classes_[best]

    def score(self, X: Any, y: Any) -> float:
        """The share of rows whose class is predicted."""
        predicted = self.predict(X)
        return float((predicted == labels_of_rows(f"{type(self).__name__}.score", predicted, y)).mean())


def column_names(X: Any) -> numpy.ndarray | None:
    """The names of a table's columns, (D,), of type object; None for what is no table, and for other names."""
    names = list(getattr(X, "columns", ()))
    return numpy.array(names, dtype=object) if names and all(isinstance(name, str) for name in names) else None


def numbers(operation: str, X: Any) -> Any:
    """X as an array of floats; integers, truth values and objects that are numbers become float64.

    Raises DataError for what is no dense array of real numbers, and for integers that float64 does not hold.
    """
    if hasattr(X, "toarray"):
        raise DataError(operation, "a dense array", f"a sparse {type_name(X)}", "X.toarray()")
    values = as_array(operation, X)
    if values.dtype.kind == "c":
        hint = "Complex data not supported: X.real, or abs(X)"
        raise DataError(operation, "an array of real numbers", str(values.dtype), hint)
    if values.dtype.kind == "O":
        return _of_objects(operation, values)
    if values.dtype.kind not in "biu":
        return as_floats(operation, values)
    if values.size and not -LARGEST_EXACT <= int(values.min()) <= int(values.max()) <= LARGEST_EXACT:
        raise DataError(operation, "integers that float64 holds, up to 2^53", str(int(abs(values).max())))
    return values.astype(numpy.float64)


def _of_objects(operation: str, values: numpy.ndarray) -> numpy.ndarray:
    try:
        return values.astype(numpy.float64)
    except (TypeError, ValueError) as error:
        kind = EntryTypeError if isinstance(error, TypeError) else DataError
        raise kind(operation, "entries that are numbers", "objects", str(error).partition("\n")[0]) from None


def finite_rows(operation: str, X: Any) -> Any:
    """X as an array (N, D) of finite numbers, float32 or float64."""
    X = numbers(operation, X)
    if X.dtype not in (numpy.float32, numpy.float64):
        raise DataError(operation, "an array of float32 or float64", str(X.dtype), 'X.astype("float64")')
    if X.ndim != 2 or 0 in X.shape:
        hint = "Reshape your data: X.reshape(1, -1) is one row, X.reshape(-1, 1) one column" if X.ndim == 1 else ""
        if X.ndim == 2 and len(X):
            hint = f"0 feature(s) (shape={X.shape}) while a minimum of 1 is required"
        raise ShapeError(operation, "rows (N, D), at least one", f"shape {X.shape}", hint)
    if not bool(array_module(X).isfinite(X).all()):
        raise DataError(operation, "finite numbers", "NaN or infinity")
    return X


def labels_of_rows(operation: str, X: Any, y: Any) -> Any:
    """y as an array, if it has one label for each row of X and lies where X does.   (N,); (N, 1) becomes that"""
    if y is None:
        hint = f"{operation.partition('.')[0]} requires y to be passed, but the target y is None"
        raise DataError(operation, "a label for each row", "None", hint)
    y = as_array(operation, y)
    if y.shape == (len(X), 1):
        message = "A column-vector y was passed when a 1d array was expected; y.ravel() is one"
        warnings.warn(message, _of_scikit_learn("DataConversionWarning", UserWarning), stacklevel=4)
        y = y[:, 0]
    if array_module(y) is not array_module(X) or y.shape != (len(X),):
        received = f"shape {y.shape} of {array_module(y).__name__}"
        raise ShapeError(operation, f"labels as an array ({len(X)},) of {array_module(X).__name__}", received)
    if y.dtype.kind == "f" and not bool(array_module(y).isfinite(y).all()):
        raise DataError(operation, "finite labels", "NaN or infinity")
    strings = y.dtype.kind == "O" and all(isinstance(label, str) for label in y)
    if not strings and y.dtype.kind not in "biuUS" and not (y.dtype.kind == "f" and bool((y == y.round()).all())):
        kind = "continuous" if y.dtype.kind == "f" else "unknown"
        hint = f"Unknown label type: {kind}"
        raise DataError(operation, "labels that are whole numbers or strings", f"others, {y.dtype}", hint)
    return y


def not_fitted_error() -> type[InputError]:
    """What use before `fit` raises: an InputError, and a NotFittedError where scikit-learn is there to catch it."""
    theirs = _of_scikit_learn("NotFittedError", InputError)
    return theirs if theirs is InputError else type("NotFittedError", (InputError, theirs), {})


def _of_scikit_learn(name: str, otherwise: Any) -> Any:
    """A class of scikit-learn's exceptions and warnings, which its tools filter by, if it is loaded."""
    return getattr(sys.modules.get("sklearn.exceptions"), name, otherwise)
