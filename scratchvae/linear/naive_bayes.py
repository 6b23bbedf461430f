"""Gaussian naive Bayes: the generative classifier."""

from __future__ import annotations

import math
from typing import Any

from scratchvae import ops
from scratchvae.backend import array_module, device_of
from scratchvae.conventions import Classifier
from scratchvae.errors import DataError
from scratchvae.linear.estimator import LinearModel, centre
from scratchvae.noise import Noise


class GaussianNaiveBayes(LinearModel, Classifier):
    """p(y = c) = pi_c,   p(x | y = c) = product over d of Normal(x_d | theta_cd, var_cd);   p(y | x) by Bayes' rule

    `fit` maximises the likelihood: pi is the share of each class, theta and var are the means and variances (divided by
    N_c) of its rows. The model is called naive because it takes the columns for independent, given the class. As a
    model of p(x, y) it also gives samples and log p(x).

    Source: deck, "A tale of two binary linear classifiers"; Ng & Jordan (2002), "On discriminative vs. generative
    classifiers".

    Parameters
    ----------
    shared_variance : bool
        Whether all classes share one variance in each column, the mean of theirs weighted by pi. If so,
        log p(y = 1 | x) / p(y = 0 | x) is linear in x, as in logistic regression; the two models differ only in their
        objectives.
    var_smoothing : float
        This share of the largest variance of any column is added to all variances, so that a column that is constant
        within a class does not exclude every other value.

    Attributes
    ----------
    classes_ : array (C,)
        The classes, in rising order.
    class_prior_ : array (C,)
        pi.
    theta_ : array (C, D)
        The means.
    var_ : array (C, D)
        The variances.
    class_count_ : array (C,)
        The number of rows of each class.
    epsilon_ : float
        The number that has been added to the variances.

    See Also
    --------
    LogisticRegression : models p(y | x) alone.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.linear import GaussianNaiveBayes
    >>> X, y = numpy.array([[0.0], [1.0], [4.0], [5.0]]), numpy.array([0, 0, 1, 1])
    >>> model = GaussianNaiveBayes().fit(X, y)
    >>> model.theta_.ravel(), model.predict(numpy.array([[0.6], [4.2]]))
    (array([0.5, 4.5]), array([0, 1]))
    """

    def __init__(self, shared_variance: bool = False, var_smoothing: float = 1e-9) -> None:
        self.shared_variance, self.var_smoothing = shared_variance, var_smoothing

    def fit(self, X: Any, y: Any) -> GaussianNaiveBayes:
        """Maximises the likelihood of the rows of X, (N, D), and their classes y, (N,). Returns itself.

        Raises DataError where a variance remains zero: all columns constant, or var_smoothing=0 and one of them; and
        where one is too small for the type of X.
        """
        X = self._rows_to_fit(X, least=2)
        xp = array_module(X)
        classes, labels = self._labels_to_fit(X, y)
        groups = [X[labels == c] for c in range(len(classes))]
        moments = [_mean_and_variance(rows) for rows in groups]
        theta, var = (xp.stack(part) for part in zip(*moments, strict=True))
        counts = xp.asarray([float(len(rows)) for rows in groups], dtype=X.dtype)
        prior = counts / len(X)
        if self.shared_variance:
            var = xp.broadcast_to(prior @ var, var.shape)
        epsilon = self._positive("var_smoothing", zero=True) * float(_mean_and_variance(X)[1].max())
        var = var + epsilon
        spread = min(float(abs(rows - rows[0]).max(axis=0).min()) for rows in groups)
        if spread > 0:
            self._check_range("variances", float(var.min()), X)
        if not float(var.min()) > 0:
            hint = "var_smoothing above 0" if self.var_smoothing == 0 else ""
            raise DataError("GaussianNaiveBayes.fit", "columns that vary", "constant ones", hint)
        self.classes_, self.class_prior_, self.class_count_ = classes, prior, counts
        self.theta_, self.var_, self.epsilon_, self.n_features_in_ = theta, var, epsilon, X.shape[1]
        return self

    def predict_joint_log_proba(self, X: Any) -> Any:
        """log p(x, y = c) = log pi_c - sum over d of ((x_d - theta_cd)^2 / var_cd + log 2 pi var_cd) / 2.   (N, C)"""
        return self._scores("predict_joint_log_proba", X)

    def score_samples(self, X: Any) -> Any:
        """log p(x) = log sum over c of p(x, y = c), in nats.   (N,)"""
        return ops.logsumexp(self._scores("score_samples", X), axis=1)

    def sample(self, n_samples: int = 1, seed: int = 0) -> tuple[Any, Any]:
        """Returns draws x ~ p(x | y) and y ~ p(y).   (n_samples, D), (n_samples,)"""
        self._fitted("sample")
        n = self._count("n_samples", n_samples)
        xp, noise = array_module(self.theta_), Noise(seed, device=device_of(self.theta_))
        thresholds = xp.cumsum(self.class_prior_)[:-1]
        y = (noise.uniform("y", (n, 1)) >= thresholds).sum(axis=1)
        e = noise.normal("x", (n, self.n_features_in_)).astype(self.theta_.dtype)
        return self.theta_[y] + xp.sqrt(self.var_[y]) * e, self.classes_[y]

    def _scores(self, method: str, X: Any) -> Any:
        X = self._rows(method, X)
        xp = array_module(X)
        constants = xp.log(self.class_prior_) - 0.5 * xp.log(2 * math.pi * self.var_).sum(axis=1)
        distances = [((X - theta) ** 2 / var).sum(axis=1) for theta, var in zip(self.theta_, self.var_, strict=True)]
        return constants - 0.5 * xp.stack(distances, axis=1)


def _mean_and_variance(X: Any) -> tuple[Any, Any]:
    mean, centred = centre(X)
    return mean, (centred**2).mean(axis=0)
