"""Independent component analysis, by FastICA."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from scratchvae.arrays import as_floats
from scratchvae.backend import array_module
from scratchvae.conventions import tabulated
from scratchvae.errors import DataError, ShapeError
from scratchvae.linear.estimator import Factorization, centre, power_of_two, principal_axes


class FastICA(Factorization):
    """x - mean = mixing s:   the K sources s are independent, none (but one) is Gaussian, each has variance 1

    s = W K (x - mean). K whitens: its rows are the first principal components, each divided by its standard deviation.
    W is an orthogonal matrix, W W' = I, that moves the E[log cosh s_k] away from their value for a Gaussian: to a
    maximum or a saddle point of the sum over k of c_k E[log cosh s_k], where c_k = +1 or -1 says on which side of the
    Gaussian the source is.
    X = S mixing' is the frame X ~ A B with A = S and B = mixing'. The order and the signs of the sources are arbitrary.

    Source: deck, "Learning linear latent variable models"; Hyvarinen & Oja (2000), "Independent component analysis:
    algorithms and applications", section 6.

    Parameters
    ----------
    n_components : int
        K, no more than the directions in which the rows vary.
    tol, max_iter
        The fixed-point iteration ends when no row of W turns by more than 1 - |cos| = tol in a step, or after max_iter
        steps with a ConvergenceWarning.
    seed : int
        Draws the W from which the iteration starts.

    Attributes
    ----------
    mean_ : array (D,)
        The mean of the rows.
    components_ : array (K, D)
        W K, the matrix that unmixes.
    mixing_ : array (D, K)
        The pseudo-inverse of `components_`.
    dictionary_ : array (K, D)
        mixing'.
    whitening_ : array (K, D)
        K.
    n_iter_ : int
        The number of steps.

    See Also
    --------
    PCA : uncorrelated directions, which need not be independent.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.linear import FastICA
    >>> sources = numpy.random.default_rng(0).uniform(-1, 1, (500, 2))
    >>> X = sources @ numpy.array([[1.0, 1.0], [0.0, 2.0]])
    >>> S = FastICA(n_components=2).fit_transform(X)
    >>> correlations = abs(numpy.corrcoef(S.T, sources.T)[:2, 2:])
    >>> bool((correlations.max(axis=1) > 0.99).all())
    True
    """

    def __init__(self, n_components: int = 2, tol: float = 1e-4, max_iter: int = 200, seed: int = 0) -> None:
        self.n_components, self.tol, self.max_iter, self.seed = n_components, tol, max_iter, seed

    @property
    def dictionary_(self) -> Any:
        """mixing', (K, D)"""
        return self.mixing_.T

    def fit(self, X: Any, y: None = None, start: Any = None) -> FastICA:
        """Finds K independent sources of the rows of X, (N, D), beginning with W = start, (K, K). Returns itself.

        Raises DataError for rows that vary in fewer than K directions, or by less than their type's normal numbers.
        """
        X = self._rows_to_fit(X, least=2)
        xp, (n, d) = array_module(X), X.shape
        k = self._count("n_components", self.n_components, min(n, d), f", the smaller of N = {n} and D = {d}")
        mean, centred = centre(X)
        scale = power_of_two(centred)
        centred /= scale
        singular_values, axes = principal_axes(centred, k)
        if not float(singular_values[-1]) > max(n, d) * float(xp.finfo(X.dtype).eps) * float(singular_values[0]):
            expected = f"rows that vary in at least n_components = {k} directions"
            raise DataError("FastICA.fit", expected, "rows that do not", "fewer components")
        std = singular_values[:, None] / math.sqrt(n)
        W = self._random_start("W", (k, k), like=X) if start is None else as_floats("FastICA.fit", start)
        if W.shape != (k, k):
            raise ShapeError("FastICA.fit", f"a start of shape {(k, k)}", str(W.shape))
        W, n_iter = self._iterate(fixed_point(centred @ (axes / std).T, W))
        std = std * scale
        self._check_range("standard deviations", float(std.min()), X)
        self.mean_, self.whitening_ = mean, axes / std
        self.components_, self.mixing_ = W @ self.whitening_, (std * axes).T @ W.T
        self.n_iter_, self.n_features_in_ = n_iter, d
        return self

    @tabulated
    def transform(self, X: Any) -> Any:
        """s = W K (x - mean), the sources.   (N, D) -> (N, K)"""
        return (self._rows("transform", X) - self.mean_) @ self.components_.T


def fixed_point(X: Any, W: Any) -> Iterator[tuple[Any, float]]:
    """w <- E[x g(w'x)] - E[g'(w'x)] w   for all rows w at once, g = tanh;   then W <- (W W')^(-1/2) W

    Newton's method, approximately, for E[log cosh(w'x)] on the sphere. X: (N, K), white: mean 0, covariance I. Yields
    W, (K, K), after every step, and the largest 1 - |cos| of the angles by which its rows have turned.

    Source: Hyvarinen & Oja (2000), sections 6.1 and 6.2.
    """
    xp, W = array_module(X), decorrelate(W)
    while True:
        g = xp.tanh(X @ W.T)
        turned = decorrelate(g.T @ X / len(X) - (1 - g**2).mean(axis=0)[:, None] * W)
        change = float((1 - abs((turned * W).sum(axis=1))).max())
        W = turned
        yield W, change


def decorrelate(W: Any) -> Any:
    """(W W')^(-1/2) W, which is U V' of W = U diag(s) V': the nearest W with W W' = I."""
    left, _, right = array_module(W).linalg.svd(W)
    return left @ right
