"""The common parts of the linear models: scikit-learn's conventions, and the frame X ~ A B."""

from __future__ import annotations

import inspect
import math
import sys
import warnings
from collections.abc import Iterable, Iterator
from numbers import Integral, Real
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.arrays import as_array, as_floats
from scratchvae.backend import array_module, device_of
from scratchvae.errors import DataError, InputError, ShapeError
from scratchvae.noise import Noise


class ConvergenceWarning(UserWarning):
    """An iteration ended because of max_iter, before its own criterion was met."""


class Estimator:
    """A model in scikit-learn's conventions, without scikit-learn.

    The constructor only stores its parameters; `fit` checks them and the data, returns the model, and leaves what it
    found in attributes whose names end in "_". Data are (N, D), one row for each x, of float32 or float64: an array of
    NumPy or CuPy, or what converts to one of NumPy's. What comes out is an array of the same kind and type. Nothing
    that is handed in is changed. scikit-learn's pipelines, searches and scorers take an estimator as it is, and know a
    classifier as one.

    Attributes
    ----------
    n_features_in_ : D, the number of columns of the data that `fit` saw.

    Raises InputError for parameters out of range and for use before `fit`, ShapeError for other than (N, D), and
    DataError for numbers that are no floats, not finite, too large to be squared and added up, or so small that what
    the model finds is outside the range of their type.
    """

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

    def _rows_to_fit(self, X: Any) -> Any:
        operation = f"{type(self).__name__}.fit"
        X = _finite_rows(operation, X)
        xp = array_module(X)
        if not float(abs(X).max()) < (float(xp.finfo(X.dtype).max) / X.size) ** 0.5:
            raise DataError(operation, f"numbers whose squares can be added up in {X.dtype}", "larger ones")
        return X

    def _check_range(self, what: str, smallest: float, X: Any) -> None:
        """Raise DataError if the smallest of what is found in X is below the normal numbers of X's type."""
        tiny = float(array_module(X).finfo(X.dtype).tiny)
        if not smallest >= tiny:
            expected = f"rows whose {what} {X.dtype} can hold, at least {tiny:.2g}"
            hint = "other units" if X.dtype == "float64" else 'other units, or X.astype("float64")'
            raise DataError(f"{type(self).__name__}.fit", expected, f"{smallest:.2g}", hint)

    def _rows(self, method: str, X: Any) -> Any:
        """X, if the model is fitted and X has the columns that it was fitted to."""
        operation = self._fitted(method)
        X = _finite_rows(operation, X)
        if X.shape[1] != self.n_features_in_:
            raise ShapeError(operation, f"rows of {self.n_features_in_} columns, as those of fit", f"shape {X.shape}")
        return X

    def _fitted(self, method: str) -> str:
        """The method's full name, for messages."""
        operation = f"{type(self).__name__}.{method}"
        if not hasattr(self, "n_features_in_"):
            raise InputError(operation, f"a fitted {type(self).__name__}", "one that is not", "fit(X) first")
        return operation

    def _count(self, name: str, value: Any, highest: int | None = None, reason: str = "") -> int:
        """value, if it is a whole number from 1 to the highest."""
        if not isinstance(value, Integral) or value < 1 or (highest is not None and value > highest):
            expected = f"{name} of at least 1" if highest is None else f"{name} from 1 to {highest}{reason}"
            raise InputError(type(self).__name__, expected, repr(value))
        return int(value)

    def _positive(self, name: str, zero: bool = False) -> float:
        """A parameter, if it is a number above zero, or zero where that has a meaning."""
        value = getattr(self, name)
        if not isinstance(value, Real) or not (value > 0 or zero and value == 0):
            raise InputError(type(self).__name__, f"{name} {'of at least' if zero else 'above'} 0", repr(value))
        return float(value)

    def _iterate(self, steps: Iterable[tuple[Any, float]]) -> tuple[Any, int]:
        """The state after the first of the steps (state, change) whose change is no more than `tol`, and their number.

        Or after the last of them; or after `max_iter`, with a ConvergenceWarning.
        """
        tol, max_iter = self._positive("tol", zero=True), self._count("max_iter", self.max_iter)
        for n_iter, (state, change) in enumerate(steps, start=1):
            if change <= tol:
                return state, n_iter
            if n_iter == max_iter:
                message = f"{type(self).__name__}: max_iter = {max_iter} steps were too few for tol = {tol:g}"
                warnings.warn(message, ConvergenceWarning, stacklevel=3)
                break
        return state, n_iter


class Classifier(Estimator):
    """p(y | x) = exp(s_y(x)) / sum over c of exp(s_c(x)), for scores s that each model has its own of.

    Attributes
    ----------
    classes_ : the values of y, (C,), in rising order; columns of what has C columns stand in this order.
    """

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
        return array_module(X).unique(_labels(f"{type(self).__name__}.fit", X, y), return_inverse=True)

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
        return float((predicted == _labels(f"{type(self).__name__}.score", predicted, y)).mean())


class Factorization(Estimator):
    """X ~ A B + mean: every x is the mean and a weighted sum of K dictionary elements.

    A = transform(X), (N, K), has the weights; B = dictionary_, (K, D), has the elements in its rows. What the models
    ask of the two is all that tells them apart:

        PCA               B B' = I, and the squared error is as small as can be
        PPCA              rows a ~ Normal(0, I); what is left over, one variance in all directions
        FactorAnalysis    rows a ~ Normal(0, I); what is left over, a variance of its own in every column
        FastICA           columns of A independent, and none of them Gaussian
        NMF               A >= 0, B >= 0 and no mean: elements are added, never taken away

    Attributes
    ----------
    dictionary_ : B, (K, D).   mean_ : (D,).

    Source: deck, "Learning linear latent variable models"; Hastie, Tibshirani & Friedman, "The elements of statistical
    learning" (2009), sections 14.5 to 14.7.
    """

    def __sklearn_tags__(self) -> Any:
        """An estimator's, and that rows become other rows of the same type."""
        utils, tags = sys.modules["sklearn.utils"], super().__sklearn_tags__()
        tags.estimator_type, tags.transformer_tags = "transformer", utils.TransformerTags(["float64", "float32"])
        return tags

    def transform(self, X: Any) -> Any:
        """A, the weights of the dictionary's elements.   (N, D) -> (N, K)"""
        raise NotImplementedError

    def fit_transform(self, X: Any, y: None = None) -> Any:
        """fit(X).transform(X)"""
        return self.fit(X).transform(X)

    def inverse_transform(self, A: Any) -> Any:
        """A B + mean.   (N, K) -> (N, D)"""
        return self._weights("inverse_transform", A) @ self.dictionary_ + self.mean_

    def _weights(self, method: str, A: Any) -> Any:
        """A, if it is made of rows of K numbers."""
        operation, k = self._fitted(method), len(self.dictionary_)
        A = as_floats(operation, A)
        if A.shape[-1:] != (k,):
            raise ShapeError(operation, f"rows of {k} columns", f"shape {A.shape}")
        return A

    def _random_start(self, name: str, shape: tuple[int, ...], like: Any, kind: str = "normal") -> Any:
        """Draws by the parameter `seed`, for iterations that have to begin somewhere."""
        return getattr(Noise(self.seed, device=device_of(like)), kind)(name, shape).astype(like.dtype)


def rises(steps: Iterable[tuple[Any, float]]) -> Iterator[tuple[Any, float]]:
    """The state of every step (state, figure), and the rise of the figure; a fall, near the top, is rounding."""
    last = -math.inf
    for state, figure in steps:
        yield state, figure - last
        last = figure


def centre(X: Any) -> tuple[Any, Any]:
    """The mean of the rows, (D,), and X less it, (N, D)."""
    mean = X.mean(axis=0)
    mean += (X - mean).mean(axis=0)  # what float32 lost in adding up large numbers
    return mean, X - mean


def power_of_two(X: Any, axis: int | None = None) -> Any:
    """A power of two by which to divide X before squares are taken: 1, unless they would lose digits or underflow.

    That is below sqrt(tiny) / eps, 1e-12 in float32: a square that counts, (eps x)^2, is no normal number there. Then
    it is that of the largest |x| of all, a Python float, or of each column, (D,). Division by it rounds nothing.
    """
    xp = array_module(X)
    limits = xp.finfo(X.dtype)
    largest = abs(X).max(axis=axis)
    small = (largest > 0) & (largest < float(limits.tiny) ** 0.5 / float(limits.eps))
    power = xp.where(small, xp.ldexp(xp.ones_like(largest), xp.frexp(largest)[1]), 1.0)
    return float(power) if axis is None else power


def principal_axes(centred: Any, k: int) -> tuple[Any, Any]:
    """X = U diag(s) V':   the k largest s, falling, (k,), and their rows of V', (k, D)

    Each row's largest entry is positive. With more rows than columns V are the eigenvectors of X'X, which takes less
    time, and s = |X v|. Rounding in X'X, about eps s_1^2, turns v_i by eps s_1^2 / (s_i^2 - s_j^2) towards v_j, and
    changes |X v_i|^2 by the square of that times s_1^2: by no more than eps^(3/2) of itself where s_i^2 is above
    sqrt(eps) s_1^2 and far from other s_j^2. Where s_k^2 is not above that, X itself is decomposed.
    """
    xp = array_module(centred)
    n, d = centred.shape
    if n > d:
        eigenvalues, vectors = (part[..., ::-1] for part in xp.linalg.eigh(centred.T @ centred))
        if float(eigenvalues[k - 1]) > float(xp.finfo(centred.dtype).eps) ** 0.5 * float(eigenvalues[0]):
            axes = with_signs(vectors[:, :k].T)
            return xp.sqrt(((centred @ axes.T) ** 2).sum(axis=0)), axes
        centred = xp.linalg.qr(centred, mode="r")  # R'R = X'X without having formed it
    _, singular_values, axes = xp.linalg.svd(centred, full_matrices=False)
    return singular_values[:k], with_signs(axes[:k])


def with_signs(axes: Any) -> Any:
    """The rows, each times +1 or -1, so that its entry of largest magnitude is positive."""
    xp = array_module(axes)
    largest = xp.take_along_axis(axes, abs(axes).argmax(axis=1)[:, None], axis=1)
    return axes * xp.where(largest < 0, -1.0, 1.0).astype(axes.dtype)


def _finite_rows(operation: str, X: Any) -> Any:
    """X as an array (N, D) of finite numbers, float32 or float64."""
    X = as_floats(operation, X)
    if X.dtype not in (numpy.float32, numpy.float64):
        raise DataError(operation, "an array of float32 or float64", str(X.dtype), 'X.astype("float64")')
    if X.ndim != 2 or 0 in X.shape:
        raise ShapeError(operation, "rows (N, D), at least one", f"shape {X.shape}")
    if not bool(array_module(X).isfinite(X).all()):
        raise DataError(operation, "finite numbers", "NaN or infinity")
    return X


def _labels(operation: str, X: Any, y: Any) -> Any:
    """y as an array, if it has one label for each row of X and lies where X does."""
    y = as_array(operation, y)
    if array_module(y) is not array_module(X) or y.shape != (len(X),):
        received = f"shape {y.shape} of {array_module(y).__name__}"
        raise ShapeError(operation, f"labels as an array ({len(X)},) of {array_module(X).__name__}", received)
    strings = y.dtype.kind == "O" and all(isinstance(label, str) for label in y)
    if not strings and y.dtype.kind not in "biuUS" and not (y.dtype.kind == "f" and bool((y == y.round()).all())):
        raise DataError(operation, "labels that are whole numbers or strings", f"others, {y.dtype}")
    return y
