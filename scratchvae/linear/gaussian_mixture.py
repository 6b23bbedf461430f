"""A mixture of Gaussians with full covariance matrices, by expectation maximisation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.backend import array_module, device_of, to_numpy
from scratchvae.errors import DataError
from scratchvae.linear.estimator import LinearModel, centre, rises
from scratchvae.noise import Noise


class GaussianMixture(LinearModel):
    """p(x) = sum over c of w_c Normal(x | m_c, S_c)

    EM maximises the likelihood. It starts from groups around rows of X that are far apart (k-means++), with one
    covariance for all components. The diagonal of every S_c is raised by `ridge` times the mean variance, so that no
    component shrinks onto one row, where the likelihood would be infinite.

    Source: Bishop (2006), "Pattern recognition and machine learning", section 9.2.2; Arthur & Vassilvitskii (2007),
    "k-means++", for the start.

    Parameters
    ----------
    n_components : int
        C, at most the number of rows.
    ridge : float
        The share of the mean variance that is added to each diagonal.
    tol, max_iter
        EM ends when a step raises the mean of log p(x) by no more than tol nats, or after max_iter steps with a
        ConvergenceWarning.
    seed : int
        Draws the rows from which EM starts.

    Attributes
    ----------
    weights_ : array (C,)
        w.
    means_ : array (C, D)
        m.
    covariances_ : array (C, D, D)
        S.
    n_iter_ : int
        The number of EM steps.

    See Also
    --------
    GaussianNaiveBayes : Gaussians whose classes are known.
    scratchvae.fit_codes : such a mixture of a VAE's codes.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.linear import GaussianMixture
    >>> X = numpy.array([[0.0], [1.0], [10.0], [11.0]])
    >>> model = GaussianMixture(n_components=2).fit(X)
    >>> numpy.sort(model.means_.ravel()).round(2), model.weights_.round(2)
    (array([ 0.5, 10.5]), array([0.5, 0.5]))
    """

    def __init__(
        self, n_components: int = 10, ridge: float = 1e-6, tol: float = 1e-4, max_iter: int = 300, seed: int = 0
    ) -> None:
        self.n_components, self.ridge, self.tol, self.max_iter, self.seed = n_components, ridge, tol, max_iter, seed

    def fit(self, X: Any, y: None = None) -> GaussianMixture:
        """Maximises the likelihood of the rows of X, (N, D), in float64. Returns itself.

        Raises DataError for rows that do not vary.
        """
        X = self._rows_to_fit(X, least=2)
        rows, xp = X.astype(numpy.float64), array_module(X)
        k = self._count("n_components", self.n_components, len(X), ", the number of rows")
        mean, centred = centre(rows)
        variance = float((centred**2).mean())
        if not variance > 0:
            raise DataError("GaussianMixture.fit", "rows that vary", "copies of one row")
        ridge = self._positive("ridge", zero=True) * variance * xp.eye(X.shape[1])
        start = _start(centred, _far_apart(centred, k, Noise(self.seed)), ridge)
        state, self.n_iter_ = self._iterate(rises(expectation_maximisation(centred, *start, ridge)))
        weights, means, covariances = state
        self.weights_, self.means_, self.covariances_ = (
            part.astype(X.dtype) for part in (weights, means + mean, covariances)
        )
        self.n_features_in_ = X.shape[1]
        return self

    def score_samples(self, X: Any) -> Any:
        """log p(x) = log sum over c of w_c Normal(x | m_c, S_c), in nats.   (N, D) -> (N,)"""
        return ops.logsumexp(self._log_joint("score_samples", X), axis=1)

    def score(self, X: Any, y: None = None) -> float:
        """Returns the mean of log p(x), in nats."""
        return float(self.score_samples(X).mean())

    def predict_proba(self, X: Any) -> Any:
        """p(c | x) = w_c Normal(x | m_c, S_c) / p(x).   (N, D) -> (N, C)"""
        return ops.softmax(self._log_joint("predict_proba", X))

    def predict(self, X: Any) -> Any:
        """Returns the component with the largest p(c | x).   (N,)"""
        return self._log_joint("predict", X).argmax(axis=1)

    def sample(self, n_samples: int = 1, seed: int = 0) -> Any:
        """Returns draws x = m_c + L_c e with S_c = L_c L_c', after a draw of c by its weight.   (n_samples, D)"""
        self._fitted("sample")
        n = self._count("n_samples", n_samples)
        noise, xp = Noise(seed, device=device_of(self.means_)), array_module(self.means_)
        uniform, normal = noise.uniform("component", (n,)), noise.normal("x", (n, self.n_features_in_))
        c = xp.minimum((uniform[:, None] >= xp.cumsum(self.weights_)).sum(axis=1), len(self.weights_) - 1)
        factors = xp.linalg.cholesky(self.covariances_.astype(numpy.float64))
        moved = (factors[c] @ normal[:, :, None].astype(numpy.float64))[:, :, 0]
        return (self.means_[c] + moved).astype(self.means_.dtype)

    def _log_joint(self, method: str, X: Any) -> Any:
        """log w_c + log Normal(x | m_c, S_c).   (N, C)"""
        X = self._rows(method, X)
        parts = (part.astype(numpy.float64) for part in (X, self.weights_, self.means_, self.covariances_))
        return log_joint(*parts).astype(X.dtype)


def log_joint(X: Any, weights: Any, means: Any, covariances: Any) -> Any:
    """log w_c - |L_c^-1 (x - m_c)|^2 / 2 - log det L_c - D log(2 pi) / 2 with S_c = L_c L_c', in nats.   (N, C)"""
    xp = array_module(X)
    factors = xp.linalg.cholesky(covariances)
    inverses = xp.linalg.inv(factors)
    log_determinants = xp.log(xp.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    distances = [((X - m) @ inverse.T) ** 2 for m, inverse in zip(means, inverses, strict=True)]
    squares = xp.stack([square.sum(axis=1) for square in distances], axis=1)
    with numpy.errstate(divide="ignore"):  # a component that has lost every row
        return xp.log(weights) - 0.5 * squares - log_determinants - 0.5 * X.shape[1] * math.log(2 * math.pi)


def expectation_maximisation(
    X: Any, weights: Any, means: Any, covariances: Any, ridge: Any
) -> Iterator[tuple[tuple[Any, Any, Any], float]]:
    """E: r_c = p(c | x).   M: w_c = mean of r_c, m_c = sum of r_c x / sum of r_c, and likewise S_c

    S_c = sum of r_c (x - m_c)(x - m_c)' / sum of r_c + ridge. Yields (w, m, S) and the mean of log p(x) in nats, from
    the start on, after every step. With a ridge of 0 the likelihood never falls.
    """
    xp = array_module(X)
    while True:
        joint = log_joint(X, weights, means, covariances)
        log_px = ops.logsumexp(joint, axis=1)
        yield (weights, means, covariances), float(log_px.mean())
        shares = xp.exp(joint - log_px[:, None])
        counts = shares.sum(axis=0)
        some = xp.maximum(counts, float(xp.finfo(X.dtype).tiny))
        weights, means = counts / len(X), (shares.T @ X) / some[:, None]
        covariances = xp.stack(
            [
                ((share[:, None] * (X - m)).T @ (X - m)) / n + ridge
                for share, m, n in zip(shares.T, means, some, strict=True)
            ]
        )


def _start(X: Any, rows: Any, ridge: Any) -> tuple[Any, Any, Any]:
    """Returns w, m and S of the groups nearest to each of the rows; S is that of all rows about their group's mean."""
    xp = array_module(X)
    squares = xp.stack([((X - row) ** 2).sum(axis=1) for row in rows], axis=1)
    groups = [squares.argmin(axis=1) == c for c in range(len(rows))]
    means = xp.stack(
        [X[group].mean(axis=0) if bool(group.any()) else row for group, row in zip(groups, rows, strict=True)]
    )
    weights = xp.stack([group.mean() for group in groups])
    within = X - sum(group[:, None] * m for group, m in zip(groups, means, strict=True))
    return weights, means, xp.stack([within.T @ within / len(X) + ridge] * len(rows))


def _far_apart(X: Any, k: int, noise: Noise) -> Any:
    """Returns k rows, the first by chance, each further one by its squared distance from the nearest.   (k, D)

    A row is drawn with a probability in proportion to that square. Of 2 + log k such candidates the one that leaves the
    least sum of squares is taken.
    """
    xp, uniform = array_module(X), to_numpy(noise.uniform("rows", (k, 2 + int(math.log(k)))))
    chosen = [X[int(uniform[0, 0] * len(X))]]
    squares = ((X - chosen[0]) ** 2).sum(axis=1)
    for u in uniform[1:]:
        cumulated = to_numpy(xp.cumsum(squares))
        candidates = X[xp.asarray(numpy.searchsorted(cumulated, u * cumulated[-1], side="right").clip(max=len(X) - 1))]
        left = [xp.minimum(squares, ((X - row) ** 2).sum(axis=1)) for row in candidates]
        best = int(numpy.argmin([float(part.sum()) for part in left]))
        chosen.append(candidates[best])
        squares = left[best]
    return xp.stack(chosen)
