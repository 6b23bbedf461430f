"""The linear Gaussian model, whose posterior and marginal likelihood are exact: what PPCA and factor analysis fit."""

from __future__ import annotations

from typing import Any

from scratchvae.backend import array_module, device_of
from scratchvae.conventions import tabulated
from scratchvae.distributions import Normal
from scratchvae.linear.estimator import Factorization
from scratchvae.noise import Noise


class LinearGaussian(Factorization):
    """p(z) = Normal(0, I),   p(x | z) = Normal(W z + mu, Psi),   Psi diagonal;   hence p(x) = Normal(mu, W W' + Psi)

    The likelihood does not change when W is turned, W R with R R' = I. `fit` chooses the W with W' Psi^-1 W diagonal,
    which makes the posterior's covariance diagonal too: given x, the K latent variables are independent.

    Source: deck, "Probabilistic PCA"; Bishop, "Pattern recognition and machine learning" (2006), section 12.2.

    Attributes
    ----------
    mean_ : array (D,)
        mu.
    weight_ : array (D, K)
        W.
    noise_variance_ : float, or array (D,)
        The diagonal of Psi.
    dictionary_ : array (K, D)
        W'.

    See Also
    --------
    PPCA : one noise variance.
    FactorAnalysis : a noise variance for each column.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> X = numpy.random.default_rng(0).random((5, 3))
    >>> model = sv.linear.PPCA(n_components=1).fit(X)
    >>> z, prior = numpy.array([[0.5]] * 5), sv.distributions.Normal(numpy.zeros(1), numpy.zeros(1))
    >>> log_p = model.likelihood(z).log_prob(X) + prior.log_prob(z) - model.posterior(X).log_prob(z)
    >>> bool(numpy.allclose(log_p, model.score_samples(X)))
    True
    """

    @property
    def dictionary_(self) -> Any:
        """W', (K, D)"""
        return self.weight_.T

    def posterior(self, X: Any) -> Normal:
        """p(z | x) = Normal(G W' Psi^-1 (x - mu), G),   G = (I + W' Psi^-1 W)^-1.   (N, D) -> Normal over (N, K)"""
        return self._posterior(self._rows("posterior", X))

    def _posterior(self, X: Any) -> Normal:
        centred = X - self.mean_
        scaled = self.weight_.T / self.noise_variance_
        precision = 1 + (scaled * self.weight_.T).sum(axis=1)
        return Normal(centred @ (scaled.T / precision), -0.5 * array_module(precision).log(precision))

    def likelihood(self, Z: Any) -> Normal:
        """p(x | z) = Normal(W z + mu, Psi).   (N, K) -> Normal over (N, D)"""
        mean = self._weights("likelihood", Z) @ self.weight_.T + self.mean_
        xp = array_module(mean)
        return Normal(mean, 0.5 * xp.log(xp.asarray(self.noise_variance_, dtype=mean.dtype)))

    @tabulated
    def transform(self, X: Any) -> Any:
        """Returns the means of p(z | x).   (N, D) -> (N, K)"""
        return self._posterior(self._rows("transform", X)).mean

    def score_samples(self, X: Any) -> Any:
        """log p(x) = log p(x | z) + log p(z) - log p(z | x), the same for every z, in nats.   (N,)

        It is computed at the posterior's mean, where the squares stay small, and is that of Normal(mu, W W' + Psi).
        """
        X = self._rows("score_samples", X)
        posterior = self._posterior(X)
        z = posterior.mean
        zero = array_module(X).zeros((), dtype=X.dtype)
        prior = Normal(array_module(X).zeros_like(z), zero)
        noise = Normal(z @ self.weight_.T, self.likelihood(z).log_std)  # of x - mu, which may be small beside mu
        return noise.log_prob(X - self.mean_) + prior.log_prob(z) - posterior.log_prob(z)

    def score(self, X: Any, y: None = None) -> float:
        """Returns the mean of log p(x) over the rows of X, in nats."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, seed: int = 0) -> Any:
        """Returns draws of x = W z + mu + Psi^(1/2) e for z and e ~ Normal(0, I).   (n_samples, D)"""
        self._fitted("sample")
        n = self._count("n_samples", n_samples)
        noise = Noise(seed, device=device_of(self.weight_))
        d, k = self.weight_.shape
        z, e = (noise.normal(name, (n, size)).astype(self.weight_.dtype) for name, size in (("z", k), ("x", d)))
        return self.likelihood(z).sample(e)
