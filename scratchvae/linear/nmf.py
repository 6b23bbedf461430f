"""Non-negative matrix factorisation, by multiplicative updates."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from scratchvae.arrays import as_floats
from scratchvae.backend import array_module
from scratchvae.conventions import tabulated
from scratchvae.errors import DataError, ShapeError
from scratchvae.linear.estimator import Factorization, power_of_two, rises


class NMF(Factorization):
    """argmin over A >= 0 and B >= 0 of ||X - A B||^2

    Elements are only added, so that the rows of B become parts, and the rows of A say how much of each part a row of X
    has.

    A <- A (X B') / (A B B'),   B <- B (A'X) / (A'A B),   entry by entry

    Neither step raises the error or changes a sign. The problem is not convex: the result depends on the start.

    Source: deck, "Learning linear latent variable models"; Lee & Seung (2001), "Algorithms for non-negative matrix
    factorization", theorem 1.

    Parameters
    ----------
    n_components : int
        K, from 1 to the smaller of N and D.
    tol, max_iter
        The updates end when one lowers the error by no more than tol ||X||^2, or after max_iter updates with a
        ConvergenceWarning.
    seed : int
        Draws the A and B from which the updates start.

    Attributes
    ----------
    components_ : array (K, D)
        B, the dictionary.
    reconstruction_err_ : float
        ||X - A B||, as in scikit-learn.
    mean_ : array (D,)
        Zeros.
    n_iter_ : int
        The number of updates of A and B.

    See Also
    --------
    PCA : the smallest error without a condition on signs.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.linear import NMF
    >>> X = numpy.outer([1.0, 2.0, 3.0], [1.0, 4.0])
    >>> model = NMF(n_components=1).fit(X)
    >>> bool(model.reconstruction_err_ < 1e-3), bool((model.components_ >= 0).all())
    (True, True)
    """

    def __init__(self, n_components: int = 2, tol: float = 1e-6, max_iter: int = 2000, seed: int = 0) -> None:
        self.n_components, self.tol, self.max_iter, self.seed = n_components, tol, max_iter, seed

    def __sklearn_tags__(self) -> Any:
        """Returns the tags of a factorization, with no negative entries."""
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags

    @property
    def dictionary_(self) -> Any:
        """B, (K, D)"""
        return self.components_

    def fit(self, X: Any, y: None = None, start: tuple[Any, Any] | None = None) -> NMF:
        """Factorises X, (N, D), beginning with A, (N, K), and B, (K, D), if they are given. Returns itself.

        Raises DataError for negative entries, in X or in the A and B to begin with.
        """
        self._factors(X, start)
        return self

    @tabulated
    def fit_transform(self, X: Any, y: None = None, start: tuple[Any, Any] | None = None) -> Any:
        """Returns the A that `fit` ends with.   (N, K)"""
        return self._factors(X, start)

    def _factors(self, X: Any, start: tuple[Any, Any] | None) -> Any:
        X = self._rows_to_fit(X)
        _check_not_negative("NMF.fit", X)
        n, d = X.shape
        k = self._count("n_components", self.n_components, min(n, d), f", the smaller of N = {n} and D = {d}")
        root = 2.0 ** (math.frexp(power_of_two(X))[1] // 2)  # A and B each have a half of the units of X
        X = X / root**2
        factors = start or (self._random_factor("A", (n, k), X), self._random_factor("B", (k, d), X))
        A, B = (as_floats("NMF.fit", factor) for factor in factors)
        for factor, shape in ((A, (n, k)), (B, (k, d))):
            if factor.shape != shape:
                raise ShapeError("NMF.fit", f"a start of shapes {(n, k)} and {(k, d)}", str(factor.shape))
            _check_not_negative("NMF.fit", factor)
        if start:
            A, B = A / root, B / root
        (A, B), n_iter = self._iterate(rises(multiplicative_updates(X, A, B)))
        self.components_, self.mean_ = B * root, array_module(X).zeros(d, dtype=X.dtype)
        self.reconstruction_err_ = float(((X - A @ B) ** 2).sum()) ** 0.5 * root**2
        self.n_iter_, self.n_features_in_ = n_iter, d
        return A * root

    @tabulated
    def transform(self, X: Any) -> Any:
        """Returns the A >= 0 of least ||X - A B||^2 for the B of `fit`, by updates of A alone.   (N, D) -> (N, K)"""
        X = self._rows("transform", X)
        _check_not_negative("NMF.transform", X)
        A = array_module(X).ones((len(X), len(self.components_)), dtype=X.dtype)
        rows, parts = power_of_two(X), power_of_two(self.components_)
        (A, _), _ = self._iterate(rises(multiplicative_updates(X / rows, A, self.components_ / parts, fixed=True)))
        return A * (rows / parts)

    def _random_factor(self, name: str, shape: tuple[int, ...], X: Any) -> Any:
        """Returns positive numbers, such that A B has about the mean of X."""
        scale = 2 * (float(X.mean()) / self.n_components) ** 0.5
        return scale * (1 - self._random_start(name, shape, like=X, kind="uniform"))


def multiplicative_updates(X: Any, A: Any, B: Any, fixed: bool = False) -> Iterator[tuple[tuple[Any, Any], float]]:
    """A <- A (X B') / (A B B'),   then, unless B is to stay fixed,   B <- B (A'X) / (A'A B),   entry by entry

    Yields (A, B) and -||X - A B||^2 / ||X||^2, which never falls, after every update of both. Where a denominator is
    zero the numerator is, and so is the entry.

    Source: Lee & Seung (2001), theorem 1.
    """
    xp, tiny = array_module(X), float(array_module(X).finfo(X.dtype).tiny)
    total = float((X**2).sum()) or 1.0
    while True:
        A = A * (X @ B.T) / xp.maximum(A @ (B @ B.T), tiny)
        products, gram = A.T @ X, A.T @ A
        if not fixed:
            B = B * products / xp.maximum(gram @ B, tiny)
        error = total - 2 * float((products * B).sum()) + float((gram * (B @ B.T)).sum())
        yield (A, B), -error / total


def _check_not_negative(operation: str, X: Any) -> None:
    if float(X.min()) < 0:
        raise DataError(operation, "entries of at least 0", f"Negative values in data, down to {float(X.min()):g}")
