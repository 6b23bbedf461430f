"""Probabilistic principal component analysis: in closed form, and by expectation maximisation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from scratchvae.backend import array_module
from scratchvae.errors import DataError, InputError
from scratchvae.linear.estimator import centre, power_of_two, principal_axes, rises
from scratchvae.linear.linear_gaussian import LinearGaussian


class PPCA(LinearGaussian):
    """p(z) = Normal(0, I),   p(x | z) = Normal(W z + mu, sigma2 I);   hence p(x) = Normal(mu, W W' + sigma2 I)

    p(z | x) = Normal(M^-1 W'(x - mu), sigma2 M^-1),   M = W'W + sigma2 I

    The maximum of the likelihood, for the eigenvalues l_1 >= ... >= l_D of the covariance (divided by N) and its
    eigenvectors U, is at sigma2 = mean of l_(K+1), ..., l_D and W = U_K (diag(l_1, ..., l_K) - sigma2 I)^(1/2). The
    rotation that the likelihood leaves free is the identity, which makes M, and with it the posterior's covariance,
    diagonal.

    Source: deck, "Probabilistic PCA"; Tipping & Bishop (1999), equations 5 to 8, and the appendices A and B.

    Parameters
    ----------
    n_components : int
        K, below the number of columns D.
    solver : "closed-form" or "em"
        The equations above, or expectation maximisation.
    tol, max_iter
        EM ends when a step raises the mean of log p(x) by no more than tol nats, or after max_iter steps with a
        ConvergenceWarning.
    seed : int
        Draws the W from which EM starts.

    Attributes
    ----------
    mean_ : array (D,)
        mu.
    weight_ : array (D, K)
        W.
    noise_variance_ : float
        sigma2.
    components_ : array (K, D)
        U_K'.
    explained_variance_ : array (K,)
        l_1, ..., l_K, the diagonal of M.
    n_iter_ : int
        The number of EM steps, 1 for "closed-form".

    See Also
    --------
    PCA : the limit sigma2 = 0.
    FactorAnalysis : a noise variance for each column.
    scratchvae.VAE : a model whose mean of p(x | z) is a network instead of W z + mu.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.linear import PPCA
    >>> X = numpy.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> model = PPCA(n_components=1).fit(X)  # the covariance is diag(2, 1/2)
    >>> model.noise_variance_, model.explained_variance_
    (0.5, array([2.]))
    """

    def __init__(
        self, n_components: int = 2, solver: str = "closed-form", tol: float = 1e-9, max_iter: int = 5000, seed: int = 0
    ) -> None:
        self.n_components, self.solver, self.tol, self.max_iter, self.seed = n_components, solver, tol, max_iter, seed

    def fit(self, X: Any, y: None = None) -> PPCA:
        """Maximises the likelihood of the rows of X, (N, D). Returns itself.

        In closed form sigma2 is the mean square of the residuals of the K axes: nothing large is subtracted, and
        rounding is relative to s_1 / s_j of the singular values, not to its square.

        Raises InputError for K outside 1 to D - 1, and DataError for data that vary in no more than K directions, where
        sigma2 goes to 0 and the likelihood has no maximum, and for a sigma2 that is too small for the type of X.
        """
        X = self._rows_to_fit(X, least=2)
        xp, (n, d) = array_module(X), X.shape
        k = self._count("n_components", self.n_components, d - 1, f", below the number of columns, n_features = {d}")
        mean, centred = centre(X)
        scale = power_of_two(centred)
        centred /= scale
        variance = float((centred**2).mean(axis=0).sum())
        smallest = (8 * float(xp.finfo(X.dtype).eps)) ** 2 * variance  # what rounding leaves of the rows
        if self.solver == "closed-form":
            singular_values, components = principal_axes(centred, min(k, n))
            explained, n_iter = singular_values**2 / n, 1
            noise_variance = _mean_square_beside(components, centred)
        elif self.solver == "em":
            W = (variance / d) ** 0.5 * self._random_start("W", (d, k), like=X)
            (W, noise_variance), n_iter = self._iterate(
                rises(expectation_maximisation(centred, W, variance / d, smallest))
            )
            lengths, components = principal_axes(W.T, k)
            explained = lengths**2 + noise_variance
        else:
            raise InputError("PPCA", 'solver "closed-form" or "em"', repr(self.solver))
        if not min(_mean_square_beside(components, centred), noise_variance) > smallest:
            expected = f"rows that vary in more than n_components = {k} directions"
            raise DataError("PPCA.fit", expected, "rows that do not", "fewer components, or more rows")
        self._check_range("noise variance", noise_variance * scale**2, X)
        explained = xp.maximum(explained, noise_variance)  # which rounding may leave the smaller
        self.mean_, self.noise_variance_, self.components_ = mean, noise_variance * scale**2, components
        self.explained_variance_ = explained * scale**2
        self.weight_ = components.T * (xp.sqrt(explained - noise_variance) * scale)
        self.n_iter_, self.n_features_in_ = n_iter, d
        return self


def _mean_square_beside(axes: Any, X: Any) -> float:
    """Returns the mean square of X - X V V' in each of the D - K directions beside the axes V', (K, D).   X: (N, D)"""
    rest = X - X @ axes.T @ axes
    return float((rest**2).sum()) / (len(X) * (X.shape[1] - len(axes)))


def expectation_maximisation(
    X: Any, W: Any, noise_variance: float, smallest: float = 0.0
) -> Iterator[tuple[tuple[Any, float], float]]:
    """E: E[z] = M^-1 W'x, E[zz'] = sigma2 M^-1 + E[z] E[z]'.   M: W = (sum of x E[z]') (sum of E[zz'])^-1 and

    sigma2 = mean over N and D of E|x - W z|^2 = |x - W E[z]|^2 + tr(W'W sigma2_old M_old^-1)

    X: (N, D), centred. Yields (W, sigma2) and the mean of log p(x) in nats, from the start on, after every step, until
    sigma2 is no larger than the smallest. The likelihood never falls, and its only maxima are those of the closed form.

    Source: Tipping & Bishop (1999), appendix B; Bishop (2006), equations 12.54 to 12.57.
    """
    xp, (n, d), k = array_module(X), X.shape, W.shape[1]
    while noise_variance > smallest:
        M = W.T @ W + noise_variance * xp.eye(k, dtype=X.dtype)
        covariance = noise_variance * xp.linalg.inv(M)
        z = X @ W @ covariance / noise_variance
        log_determinant = (d - k) * math.log(noise_variance) + float(xp.linalg.slogdet(M)[1])
        distance = float(((X - z @ W.T) ** 2).sum()) / noise_variance + float((z**2).sum())  # sum of x'C^-1 x
        yield (W, noise_variance), -0.5 * (log_determinant + distance / n + d * math.log(2 * math.pi))
        W = X.T @ z @ xp.linalg.inv(n * covariance + z.T @ z)
        noise_variance = (float(((X - z @ W.T) ** 2).sum()) / n + float(((W.T @ W) * covariance).sum())) / d
    yield (W, noise_variance), math.inf
