"""Factor analysis, by expectation maximisation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from scratchvae.backend import array_module, to_numpy
from scratchvae.errors import DataError
from scratchvae.linear.estimator import centre, power_of_two, principal_axes, rises
from scratchvae.linear.linear_gaussian import LinearGaussian


class FactorAnalysis(LinearGaussian):
    """p(z) = Normal(0, I),   p(x | z) = Normal(W z + mu, Psi),   Psi = diag(psi_1, ..., psi_D)

    Factor analysis is PPCA with a separate noise variance for each column: W describes the variance that columns share,
    Psi the rest. Units do not matter: if a column is multiplied by c, its row of W is multiplied by c, and its psi by
    c^2.

    Source: deck, "Learning linear latent variable models"; Bishop (2006), section 12.2.4.

    Parameters
    ----------
    n_components : int
        K, below the number of columns D.
    tol, max_iter
        EM ends when a step raises the mean of log p(x) by no more than tol nats, or after max_iter steps with a
        ConvergenceWarning.

    Attributes
    ----------
    mean_ : array (D,)
        mu.
    weight_ : array (D, K)
        W.
    components_ : array (K, D)
        W'.
    noise_variance_ : array (D,)
        psi. For a column that the others determine, psi is at least 1e-12 (in float32 1e-5) of the column's variance.
    n_iter_ : int
        The number of EM steps.

    See Also
    --------
    PPCA : one noise variance for all columns.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.linear import FactorAnalysis
    >>> X = numpy.random.default_rng(0).standard_normal((100, 3))
    >>> model = FactorAnalysis(n_components=1).fit(X)
    >>> model.transform(X).shape, model.noise_variance_.shape
    ((100, 1), (3,))
    """

    def __init__(self, n_components: int = 2, tol: float = 1e-6, max_iter: int = 2000) -> None:
        self.n_components, self.tol, self.max_iter = n_components, tol, max_iter

    @property
    def components_(self) -> Any:
        """W', (K, D)"""
        return self.weight_.T

    def fit(self, X: Any, y: None = None) -> FactorAnalysis:
        """Climbs to a maximum of the likelihood of the rows of X, (N, D). Returns itself.

        Raises InputError for K outside 1 to D - 1, and DataError for constant columns, for columns that K factors
        explain completely (psi goes to 0 there, and the likelihood has no maximum), and for a psi that is too small for
        the type of X.
        """
        X = self._rows_to_fit(X)
        xp, d = array_module(X), X.shape[1]
        k = self._count("n_components", self.n_components, d - 1, f", below the number of columns, n_features = {d}")
        if len(X) < k + 2:
            hint = "fewer components, or more rows"
            raise DataError(
                "FactorAnalysis.fit", f"rows, at least n_components + 2 = {k + 2}", f"n_samples = {len(X)}", hint
            )
        mean, centred = centre(X)
        scale = power_of_two(centred, axis=0)
        centred /= scale
        root = xp.sqrt((centred**2).mean(axis=0))
        std = root * scale
        eps = float(xp.finfo(X.dtype).eps)
        constant = std <= 10 * eps * abs(mean)
        if bool(constant.any()):
            raise DataError("FactorAnalysis.fit", "columns that vary", f"constant ones, {_places(constant)}")
        (weight, noise_variance), n_iter = self._iterate(
            rises(expectation_maximisation(centred / root, k, floor=eps**0.75))
        )
        explained = noise_variance < 2 * eps**0.75
        rest = xp.linalg.svd(weight[explained], compute_uv=False) if bool(explained.any()) else xp.ones(1)
        if int(explained.sum()) > k or float(rest[-1]) < eps**0.25:
            received = f"columns that are functions of one another, {_places(explained)}"
            raise DataError("FactorAnalysis.fit", f"columns that {k} factors do not explain without a rest", received)
        self.mean_, self.weight_, self.noise_variance_ = mean, std[:, None] * weight, std**2 * noise_variance
        self._check_range("noise variances", float(self.noise_variance_.min()), X)
        self.n_iter_, self.n_features_in_ = n_iter, d
        return self


def expectation_maximisation(X: Any, k: int, floor: float) -> Iterator[tuple[tuple[Any, Any], float]]:
    """W = Psi^(1/2) U_K (L_K - I)^(1/2), L and U of Psi^(-1/2) S Psi^(-1/2), S = X'X / N: the maximum for this Psi;

    E: at this W the means over the data of E[x z'] and E[zz'] are W and I.   M: hence Psi = diag(S - W W'), which is
    Psi^(1/2) diag(U_K min(L_K, I) U_K' + R'R) Psi^(1/2) for the rest R of the rows beside U_K: a sum without a minus.

    X: (N, D), centred, columns of variance 1. Yields (W, Psi) and the mean of log p(x) in nats, from Psi = I on, before
    each M step; psi stays at least at the floor. Both steps raise the likelihood: the first maximises it outright, the
    second is one of EM for W held fixed.

    Source: Rubin & Thayer (1982), "EM algorithms for ML factor analysis"; with the first step, an ECME algorithm: Liu &
    Rubin (1994), "The ECME algorithm"; Tipping & Bishop (1999), equation 7, for W.
    """
    xp, (n, d) = array_module(X), X.shape
    root = (xp.linalg.qr(X, mode="r") if n > d else X) / math.sqrt(n)  # S = R'R
    noise_variance = xp.ones(d, dtype=X.dtype)
    while True:
        std = xp.sqrt(noise_variance)
        rows = root / std
        singular_values, axes = principal_axes(rows, k)
        eigenvalues = xp.maximum(singular_values**2, 1)
        W = std[:, None] * axes.T * xp.sqrt(eigenvalues - 1)
        squares = ((rows - rows @ axes.T @ axes) ** 2).sum(axis=0)
        distance = float((singular_values**2 / eigenvalues).sum()) + float(squares.sum())
        log_determinant = float(xp.log(noise_variance).sum()) + float(xp.log(eigenvalues).sum())
        yield (W, noise_variance), -0.5 * (log_determinant + distance + d * math.log(2 * math.pi))
        unexplained = (axes.T**2 * xp.minimum(singular_values**2, 1)).sum(axis=1) + squares
        noise_variance = xp.maximum(noise_variance * unexplained, floor)


def _places(columns: Any) -> str:
    """Returns the numbers of the marked columns."""
    return "column " + ", ".join(str(i) for i in to_numpy(columns).nonzero()[0])
