"""The common parts of the linear models: iterations, ranges of numbers, and the frame X ~ A B."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from scratchvae.backend import array_module, device_of
from scratchvae.conventions import Estimator, Transformer, numbers
from scratchvae.errors import DataError, ShapeError
from scratchvae.noise import Noise


class ConvergenceWarning(UserWarning):
    """Is given where an iteration ends after max_iter steps without meeting its criterion.

    See Also
    --------
    GaussianMixture, FactorAnalysis, FastICA, LogisticRegression, NMF, PCA, PPCA : the models that give it.

    Examples
    --------
    >>> import warnings, numpy, scratchvae as sv
    >>> X = numpy.random.default_rng(0).random((5, 3))
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     model = sv.linear.NMF(max_iter=1).fit(X)
    >>> caught[0].category.__name__
    'ConvergenceWarning'
    """


class LinearModel(Estimator):
    """A LinearModel is an estimator whose `fit` iterates, or finds variances that must be within the range of X's type.

    See Also
    --------
    Factorization : the models X ~ A B.
    GaussianMixture, GaussianNaiveBayes, LogisticRegression : the others.
    """

    max_iter: int

    def _check_range(self, what: str, smallest: float, X: Any) -> None:
        """Raises DataError if the smallest of the numbers found in X is below the normal numbers of X's type."""
        tiny = float(array_module(X).finfo(X.dtype).tiny)
        if not smallest >= tiny:
            expected = f"rows whose {what} {X.dtype} can hold, at least {tiny:.2g}"
            hint = "other units" if X.dtype == "float64" else 'other units, or X.astype("float64")'
            raise DataError(f"{type(self).__name__}.fit", expected, f"{smallest:.2g}", hint)

    def _iterate(self, steps: Iterable[tuple[Any, float]]) -> tuple[Any, int]:
        """Returns the state after the first step (state, change) whose change is no more than `tol`, and its number.

        If there is none, it returns the state after the last step, or after `max_iter` steps with a ConvergenceWarning.
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


class Factorization(LinearModel, Transformer):
    """X ~ A B + mean: every x is the mean and a weighted sum of K dictionary elements.

    A = transform(X), (N, K), has the weights; B = dictionary_, (K, D), has the elements in its rows. The models differ
    only in their conditions on A and B:

        PCA               B B' = I, and the squared error is as small as can be
        PPCA              rows a ~ Normal(0, I); the residual has one variance in all directions
        FactorAnalysis    rows a ~ Normal(0, I); the residual has a separate variance in every column
        FastICA           columns of A independent, and none of them Gaussian
        NMF               A >= 0, B >= 0 and no mean: elements are added, never taken away

    Source: deck, "Learning linear latent variable models"; Hastie, Tibshirani & Friedman, "The elements of statistical
    learning" (2009), sections 14.5 to 14.7.

    Attributes
    ----------
    dictionary_ : array (K, D)
        B.
    mean_ : array (D,)
        The mean of the rows; zeros for NMF.

    See Also
    --------
    PCA, PPCA, FactorAnalysis, FastICA, NMF : the models of this form.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> X = numpy.random.default_rng(0).random((5, 3))
    >>> for model in (sv.linear.PCA(3), sv.linear.FastICA(3)):
    ...     A = model.fit_transform(X)
    ...     print(numpy.allclose(A @ model.dictionary_ + model.mean_, X))
    True
    True
    """

    dictionary_: Any
    mean_: Any
    seed: int

    def _n_columns(self) -> int:
        return len(self.dictionary_)

    def inverse_transform(self, A: Any) -> Any:
        """x = A B + mean.   (N, K) -> (N, D)"""
        return self._weights("inverse_transform", A) @ self.dictionary_ + self.mean_

    def _weights(self, method: str, A: Any) -> Any:
        """Returns A, if its rows have K numbers."""
        operation, k = self._fitted(method), len(self.dictionary_)
        A = numbers(operation, A)
        if A.shape[-1:] != (k,):
            raise ShapeError(operation, f"rows of {k} columns", f"shape {A.shape}")
        return A

    def _random_start(self, name: str, shape: tuple[int, ...], like: Any, kind: str = "normal") -> Any:
        """Returns draws by the parameter `seed`, from which an iteration starts."""
        return getattr(Noise(self.seed, device=device_of(like)), kind)(name, shape).astype(like.dtype)


def rises(steps: Iterable[tuple[Any, float]]) -> Iterator[tuple[Any, float]]:
    """Yields the state of every step (state, figure) and the rise of its figure, which rounding may make negative."""
    last = -math.inf
    for state, figure in steps:
        yield state, figure - last
        last = figure


def centre(X: Any) -> tuple[Any, Any]:
    """Returns the mean of the rows, (D,), and X - mean, (N, D)."""
    mean = X.mean(axis=0)
    mean += (X - mean).mean(axis=0)  # what float32 lost in adding up large numbers
    return mean, X - mean


def power_of_two(X: Any, axis: int | None = None) -> Any:
    """Returns a power of two by which to divide X before squares are taken: 1, unless they would underflow.

    They would where the largest |x| is below sqrt(tiny) / eps, 1e-12 in float32: a square that counts, (eps x)^2, is no
    normal number there. Then the power is that of the largest |x| of all, a Python float, or of each column, (D,).
    Division by it rounds nothing.
    """
    xp = array_module(X)
    limits = xp.finfo(X.dtype)
    largest = abs(X).max(axis=axis)
    small = (largest > 0) & (largest < float(limits.tiny) ** 0.5 / float(limits.eps))
    power = xp.where(small, xp.ldexp(xp.ones_like(largest), xp.frexp(largest)[1]), 1.0)
    return float(power) if axis is None else power


def principal_axes(centred: Any, k: int) -> tuple[Any, Any]:
    """X = U diag(s) V':   the k largest s in descending order, (k,), and their rows of V', (k, D)

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
    """Returns the rows, each times +1 or -1, so that its entry of largest magnitude is positive."""
    xp = array_module(axes)
    largest = xp.take_along_axis(axes, abs(axes).argmax(axis=1)[:, None], axis=1)
    return axes * xp.where(largest < 0, -1.0, 1.0).astype(axes.dtype)
