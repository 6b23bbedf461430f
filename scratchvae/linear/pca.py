"""Principal component analysis: by singular value decomposition, and by the deck's alternating minimisation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from scratchvae.backend import array_module
from scratchvae.conventions import tabulated
from scratchvae.errors import InputError
from scratchvae.linear.estimator import Factorization, centre, power_of_two, principal_axes, rises, with_signs


class PCA(Factorization):
    """argmin over W, Z of ||X - Z W'||^2 = sum over i of ||x_i - W z_i||^2   with W'W = I,   for centred X

    X = U diag(s) V' gives the solution: W is the first K columns of V, Z = X W, and the error is the sum of the other
    s^2. Alternating minimisation arrives at the same subspace, step by step; its W is then turned to the principal
    axes.

    Source: deck, "PCA as reconstruction error minimization" and "Aside: finding a PCA solution".

    Parameters
    ----------
    n_components : int
        K, from 1 to the smaller of N and D.
    solver : "svd" or "alternating"
        The singular value decomposition or alternating minimisation.
    tol, max_iter
        Alternating minimisation ends when a step lowers the error by no more than tol ||X||^2, or after max_iter steps
        with a ConvergenceWarning.
    seed : int
        Draws the W from which alternating minimisation starts.

    Attributes
    ----------
    mean_ : array (D,)
        The mean of the rows.
    components_ : array (K, D)
        W', the dictionary; the entry of largest magnitude in each row is positive.
    singular_values_ : array (K,)
        s_1, ..., s_K.
    explained_variance_ : array (K,)
        s^2 / (N - 1), as in scikit-learn; that of PPCA is s^2 / N.
    explained_variance_ratio_ : array (K,)
        s^2 / ||X||^2.
    n_iter_ : int
        The number of steps of alternating minimisation, 1 for "svd".

    See Also
    --------
    PPCA : the same subspace from a model of p(x).

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.linear import PCA
    >>> X = numpy.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    >>> model = PCA(n_components=1).fit(X)
    >>> model.components_.round(6), bool(numpy.allclose(model.inverse_transform(model.transform(X)), X))
    (array([[0.6, 0.8]]), True)
    """

    def __init__(
        self, n_components: int = 2, solver: str = "svd", tol: float = 1e-12, max_iter: int = 2000, seed: int = 0
    ) -> None:
        self.n_components, self.solver, self.tol, self.max_iter, self.seed = n_components, solver, tol, max_iter, seed

    @property
    def dictionary_(self) -> Any:
        """W', (K, D)"""
        return self.components_

    def fit(self, X: Any, y: None = None) -> PCA:
        """Finds the K directions along which the rows of X, (N, D), vary most. Returns itself."""
        X = self._rows_to_fit(X)
        n, d = X.shape
        k = self._count("n_components", self.n_components, min(n, d), f", the smaller of N = {n} and D = {d}")
        mean, centred = centre(X)
        scale = power_of_two(centred)
        centred /= scale
        total = float((centred**2).sum())
        if self.solver == "svd":
            singular_values, components = principal_axes(centred, k)
            n_iter = 1
        elif self.solver == "alternating":
            steps = alternating_minimisation(centred, self._random_start("W", (d, k), like=X))
            W, n_iter = self._iterate(rises((W, -error / (total or 1.0)) for _, W, (_, error) in steps))
            basis = array_module(X).linalg.qr(W)[0]
            singular_values, turned = principal_axes(centred @ basis, k)
            components = with_signs(turned @ basis.T)
        else:
            raise InputError("PCA", 'solver "svd" or "alternating"', repr(self.solver))
        self.mean_, self.components_, self.singular_values_ = mean, components, singular_values * scale
        self._degrees_of_freedom = max(n - 1, 1)
        self.explained_variance_ratio_ = singular_values**2 / (total or 1.0)
        self.n_iter_, self.n_features_in_ = n_iter, d
        return self

    @property
    def explained_variance_(self) -> Any:
        """s^2 / (N - 1), (K,).   Raises DataError where the first is too small for its type, as 1e-50 for float32."""
        variance = self.singular_values_**2 / self._degrees_of_freedom
        if float(self.singular_values_[0]) > 0:
            self._check_range("explained variances", float(variance[0]), self.singular_values_)
        return variance

    @tabulated
    def transform(self, X: Any) -> Any:
        """Z = (X - mean) W, the coordinates of the nearest point of the subspace.   (N, D) -> (N, K)"""
        return (self._rows("transform", X) - self.mean_) @ self.components_.T


def least_squares(X: Any, W: Any) -> Any:
    """z = (W'W)^-1 W'x, where d/dz ||x - W z||^2 = 2 W'W z - 2 W'x is zero.   (N, D), (D, K) -> (N, K)"""
    return array_module(X).linalg.lstsq(W, X.T, rcond=None)[0].T


def as_on_the_slide(X: Any, W: Any) -> Any:
    """z = W'x, which is least squares while W'W = I, as at the first step, and is not after W has been updated."""
    return X @ W


def alternating_minimisation(
    X: Any, W: Any, coordinates: Callable[[Any, Any], Any] = least_squares
) -> Iterator[tuple[Any, Any, tuple[float, float]]]:
    """Z = coordinates(X, W) for fixed W, then W = X'Z (Z'Z)^-1 for fixed Z, without end.

    X: (N, D), centred. Yields Z, W and ||X - Z W'||^2 after each of the two steps.

    With `least_squares` both steps minimise the same error, which therefore never rises, and the columns of W come to
    span the K principal directions V: W = V M for some M. `as_on_the_slide` finds the span too, but then the two steps
    take M to M'^-1 and back to M, for ever, and W'x is not the z that W needs: after its z step the error is
    ||X (I - V M M' V')||^2, the optimum only if M M' = I.
    """
    lstsq = array_module(X).linalg.lstsq
    while True:
        Z = coordinates(X, W)
        before = float(((X - Z @ W.T) ** 2).sum())
        W = lstsq(Z, X, rcond=None)[0].T
        yield Z, W, (before, float(((X - Z @ W.T) ** 2).sum()))
