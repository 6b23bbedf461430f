"""Probabilistic principal component analysis, in closed form."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

from scratchvae.backend import array_module, device_of
from scratchvae.distributions import Normal
from scratchvae.errors import DataError, InputError, ShapeError
from scratchvae.noise import Noise


class PPCA:
    """p(z) = Normal(0, I),   p(x | z) = Normal(W z + mu, sigma2 I);   hence p(x) = Normal(mu, W W' + sigma2 I)

    Maximum likelihood: with eigenvalues l_1 >= ... >= l_D of the covariance (divided by N) and eigenvectors U,
    sigma2 = mean of l_(K+1), ..., l_D and W = U_K (diag(l_1, ..., l_K) - sigma2 I)^(1/2). The rotation that the
    likelihood leaves free is the identity, which makes W'W, and with it the posterior's covariance, diagonal.

    Parameters
    ----------
    n_components : int
        K, below the number of columns D.

    Attributes
    ----------
    mean_ : mu, (D,).   weight_ : W, (D, K).   noise_variance_ : sigma2, a float.   components_ : U_K', (K, D).
    explained_variance_ : l_1, ..., l_K, (K,), which is the diagonal of M = W'W + sigma2 I.

    Data may be NumPy or CuPy arrays; results are of the same kind and type.

    Source: deck, "Probabilistic PCA"; Tipping & Bishop (1999), equations 5 to 8, and the appendices A and B.
    """

    def __init__(self, n_components: int = 2) -> None:
        self.n_components = n_components

    def fit(self, X: Any, y: None = None) -> PPCA:
        """Maximise the likelihood of the rows of X, (N, D). Returns itself.

        Raises InputError for K outside 1 to D - 1, and DataError for data that vary in no more than K directions: there
        the likelihood has no maximum, as sigma2 goes to 0.
        """
        k = self.n_components
        _check_rows("PPCA.fit", X)
        n, d = X.shape
        if not isinstance(k, Integral) or not 1 <= k < d:
            raise InputError("PPCA", f"n_components from 1 to {d - 1}, below the number of columns", repr(k))
        xp = array_module(X)
        if not float(abs(X).max()) < (float(xp.finfo(X.dtype).max) / X.size) ** 0.5:
            raise DataError("PPCA.fit", f"numbers whose squares can be added up in {X.dtype}", "larger ones")
        mean = X.mean(axis=0)
        mean += (X - mean).mean(axis=0)  # what float32 lost in adding up large numbers
        centred = X - mean
        if n < d:
            _, singular_values, rows = xp.linalg.svd(centred, full_matrices=False)
            eigenvalues, vectors = singular_values**2 / n, rows.T
        else:
            eigenvalues, vectors = (part[..., ::-1] for part in xp.linalg.eigh(centred.T @ centred / n))
        variance = float((centred**2).mean(axis=0).sum())
        noise_variance = (variance - float(eigenvalues[:k].sum())) / (d - k)
        if not noise_variance > d * float(xp.finfo(X.dtype).eps) * variance:
            expected = f"rows that vary in more than n_components = {k} directions"
            raise DataError("PPCA.fit", expected, "rows that do not", "fewer components, or more rows")
        self.mean_, self.noise_variance_, self.components_ = mean, noise_variance, vectors[:, :k].T
        self.explained_variance_ = xp.maximum(eigenvalues[:k], noise_variance)  # which rounding may leave the smaller
        self.weight_ = vectors[:, :k] * xp.sqrt(self.explained_variance_ - noise_variance)
        return self

    def posterior(self, X: Any) -> Normal:
        """p(z | x) = Normal(M^-1 W'(x - mu), sigma2 M^-1), exactly.   (N, D) -> Normal over (N, K)"""
        centred = self._centred("PPCA.posterior", X)
        log_std = 0.5 * array_module(X).log(self.noise_variance_ / self.explained_variance_)
        return Normal(centred @ (self.weight_ / self.explained_variance_), log_std)

    def likelihood(self, Z: Any) -> Normal:
        """p(x | z) = Normal(W z + mu, sigma2 I).   (N, K) -> Normal over (N, D)"""
        self._check_fitted("PPCA.likelihood")
        if not hasattr(Z, "dtype") or Z.dtype.kind != "f" or Z.shape[-1:] != self.weight_.shape[1:]:
            received = f"shape {Z.shape}, {Z.dtype}" if hasattr(Z, "dtype") else type(Z).__name__
            raise ShapeError("PPCA.likelihood", f"floating-point rows of {self.weight_.shape[1]} columns", received)
        log_std = array_module(Z).full((), 0.5 * math.log(self.noise_variance_), dtype=Z.dtype)
        return Normal(Z @ self.weight_.T + self.mean_, log_std)

    def transform(self, X: Any) -> Any:
        """The posterior's means, (N, K)."""
        return self.posterior(X).mean

    def inverse_transform(self, Z: Any) -> Any:
        """The likelihood's means, (N, D)."""
        return self.likelihood(Z).mean

    def score_samples(self, X: Any) -> Any:
        """log p(x) = -(log det C + (x - mu)' C^-1 (x - mu) + D log 2 pi) / 2,   C = W W' + sigma2 I, in nats.   (N,)

        C has the eigenvalues l_1, ..., l_K along the rows of components_ and sigma2 across them.
        """
        xp, centred = array_module(X), self._centred("PPCA.score_samples", X)
        d, k = self.weight_.shape
        along = centred @ self.components_.T
        across = centred - along @ self.components_
        distance = (along**2 / self.explained_variance_).sum(axis=1) + (across**2).sum(axis=1) / self.noise_variance_
        log_determinant = float(xp.log(self.explained_variance_).sum()) + (d - k) * math.log(self.noise_variance_)
        return -0.5 * (distance + (log_determinant + d * math.log(2 * math.pi)))

    def score(self, X: Any, y: None = None) -> float:
        """The mean of log p(x) over the rows of X, in nats."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, seed: int = 0) -> Any:
        """Draws of x = W z + mu + sigma e for z and e ~ Normal(0, I).   (n_samples, D)"""
        self._check_fitted("PPCA.sample")
        if not isinstance(n_samples, Integral) or n_samples < 1:
            raise InputError("PPCA.sample", "n_samples of at least 1", repr(n_samples))
        noise = Noise(seed, device=device_of(self.weight_))
        d, k = self.weight_.shape
        z, e = (noise.normal(name, (n_samples, size)).astype(self.weight_.dtype) for name, size in (("z", k), ("x", d)))
        return self.likelihood(z).sample(e)

    def _check_fitted(self, operation: str) -> None:
        if not hasattr(self, "weight_"):
            raise InputError(operation, "a fitted PPCA", "one that is not", "fit(X) first")

    def _centred(self, operation: str, X: Any) -> Any:
        self._check_fitted(operation)
        _check_rows(operation, X)
        if X.shape[1] != len(self.mean_):
            raise ShapeError(operation, f"rows of {len(self.mean_)} columns, as those of fit", f"shape {X.shape}")
        return X - self.mean_


def _check_rows(operation: str, X: Any) -> None:
    if str(getattr(X, "dtype", "")) not in ("float32", "float64"):
        received = str(getattr(X, "dtype", type(X).__name__))
        raise DataError(operation, "an array of floating-point numbers, float32 or float64", received)
    if X.ndim != 2 or len(X) == 0:
        raise ShapeError(operation, "rows (N, D), at least one", f"shape {X.shape}")
    if not bool(array_module(X).isfinite(X).all()):
        raise DataError(operation, "finite numbers", "NaN or infinity")
