"""Logistic regression, by Newton's method: the discriminative classifier."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from scratchvae import ops
from scratchvae.backend import array_module
from scratchvae.conventions import Classifier
from scratchvae.errors import DataError
from scratchvae.linear.estimator import LinearModel, centre, power_of_two, rises


class LogisticRegression(LinearModel, Classifier):
    """p(y = c | x) = exp(w_c'x + b_c) / sum over k of exp(w_k'x + b_k);   of two classes the first has w = b = 0

    `fit` maximises the sum over i of log p(y_i | x_i) - ||w||^2 / (2 C), which is concave, so its maximum is the only
    one. The distribution p(x) of the data is not modelled.

    Source: deck, "A tale of two binary linear classifiers"; Hastie, Tibshirani & Friedman (2009), section 4.4.1.

    Parameters
    ----------
    C : float
        The variance of a Gaussian prior on the weights, not on b; math.inf for none, which is maximum likelihood.
    tol, max_iter
        Newton's method ends when a step raises the objective by no more than tol nats a row, or after max_iter steps
        with a ConvergenceWarning.

    Attributes
    ----------
    classes_ : array (C,)
        The classes, in rising order.
    coef_ : array (C, D)
        w; for two classes the weights of the second, (1, D).
    intercept_ : array (C,) or (1,)
        b.
    n_iter_ : int
        The number of steps of Newton's method.

    See Also
    --------
    GaussianNaiveBayes : a classifier that also models p(x | y).
    scratchvae.latent_space.logistic_direction : a direction in a latent space by this model.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.linear import LogisticRegression
    >>> X, y = numpy.array([[0.0], [1.0], [2.0], [3.0]]), numpy.array([0, 0, 1, 1])
    >>> model = LogisticRegression().fit(X, y)
    >>> model.predict(X), model.predict_proba(numpy.array([[1.5]])).round(6)
    (array([0, 0, 1, 1]), array([[0.5, 0.5]]))
    """

    def __init__(self, C: float = 1.0, tol: float = 1e-12, max_iter: int = 100) -> None:
        self.C, self.tol, self.max_iter = C, tol, max_iter

    def fit(self, X: Any, y: Any) -> LogisticRegression:
        """Maximises the likelihood of the classes y, (N,), given the rows of X, (N, D). Returns itself.

        Raises DataError for one class only; with C=math.inf also for columns that are linear functions of others, and
        for classes that a hyperplane separates: there the likelihood has no maximum, as the weights go to infinity.
        """
        X = self._rows_to_fit(X)
        xp, (n, d) = array_module(X), X.shape
        classes, labels = self._labels_to_fit(X, y)
        n_classes = len(classes)
        if n_classes < 2:
            raise DataError("LogisticRegression.fit", "labels of at least two classes", "one class only")
        penalty = 1 / self._positive("C")
        mean, rows = centre(X)  # the largest of the objective has the same w, and b + w'mean
        scale = xp.maximum(power_of_two(rows, axis=0), min(penalty**0.5, 1.0))  # keeps the penalty's part finite
        rows /= scale
        if penalty == 0:
            _check_independent(rows)
        contrasts = xp.asarray([[0.0], [1.0]], dtype=X.dtype)
        if n_classes > 2:  # orthonormal columns, each of sum zero
            contrasts = xp.linalg.qr(xp.eye(n_classes, dtype=X.dtype)[:, 1:] - 1 / n_classes)[0]
        targets = (labels[:, None] == xp.arange(n_classes)).astype(X.dtype)
        design = xp.concatenate([rows, xp.ones((n, 1), dtype=X.dtype)], axis=1)
        ridge = xp.concatenate([(penalty**0.5 / scale) ** 2, xp.zeros(1, dtype=X.dtype)])
        weights, n_iter = self._iterate(rises(newton(design, targets, contrasts, ridge)))
        if n_classes > 2:
            weights = contrasts @ weights
        self.classes_, self.coef_ = classes, weights[:, :-1] / scale
        self.intercept_ = weights[:, -1] - self.coef_ @ mean
        self.n_iter_, self.n_features_in_ = n_iter, d
        return self

    def decision_function(self, X: Any) -> Any:
        """w_c'x + b_c, (N, C); for two classes the log odds of the second, w'x + b = log p(1 | x) / p(0 | x), (N,)."""
        scores = self._scores("decision_function", X)
        return scores[:, 1] if len(self.classes_) == 2 else scores

    def _scores(self, method: str, X: Any) -> Any:
        scores = self._rows(method, X) @ self.coef_.T + self.intercept_
        if len(self.classes_) > 2:
            return scores
        return array_module(scores).concatenate([scores * 0, scores], axis=1)


def newton(X: Any, Y: Any, Q: Any, ridge: Any) -> Iterator[tuple[Any, float]]:
    """V <- V - H^-1 g   for the scores s = Q V x,

    g = Q'(P - Y)'X + V diag(ridge),   H_ab = sum over i of (Q'(diag p_i - p_i p_i')Q)_ab x_i x_i' + diag(ridge)

    X: (N, D + 1), with a last column of ones. Y: (N, C), 1 for the class of each row. ridge: (D + 1,), the penalty of
    each column's weight, 0 for the last. Q: (C, C - 1), without what the softmax cannot see, a number added to all
    scores; H is invertible then.

    Yields V, (C - 1, D + 1), and the mean over the rows of log p(y | x) less their part of the penalty, from V = 0 on,
    after every step. A step that raises it by much less than its slope promises is halved. Raises DataError where V
    would go to infinity, see `separated`.
    """
    xp, (n, d), m = array_module(X), X.shape, Q.shape[1]
    penalized = bool((ridge > 0).any())
    pairs = (Q[:, :, None] * Q[:, None, :]).reshape(len(Q), m * m)
    diagonal = xp.arange(m * d)
    rounding = 8 * float(xp.finfo(X.dtype).eps)

    def objective(V: Any) -> tuple[Any, float]:
        log_p = ops.log_softmax(X @ (Q @ V).T)
        return log_p, (float((log_p * Y).sum()) - 0.5 * float((ridge * V**2).sum())) / n

    V = xp.zeros((m, d), dtype=X.dtype)
    log_p, value = objective(V)
    while True:
        yield V, value
        p = xp.exp(log_p)
        projected = p @ Q
        curvature = (p @ pairs).reshape(n, m, m) - projected[:, :, None] * projected[:, None, :]
        H = xp.empty((m, d, m, d), dtype=X.dtype)
        for a in range(m):
            for b in range(a, m):
                H[a, :, b] = H[b, :, a] = (X * curvature[:, a, b, None]).T @ X
        H = H.reshape(m * d, m * d)
        H[diagonal, diagonal] += xp.tile(ridge, m)
        g = (Q.T @ (p - Y).T) @ X + ridge * V
        step = -xp.linalg.solve(H, g.ravel()).reshape(m, d)
        if not penalized and (separated(log_p, Y) or separated(X @ (Q @ step).T, Y)):
            expected = "without a penalty, classes that overlap"
            raise DataError("LogisticRegression.fit", expected, "classes that a hyperplane separates", "C=1.0, say")
        slope, size = -float((g * step).sum()) / n, 1.0
        log_p, moved = objective(V + step)
        while moved < value + 1e-4 * size * slope - rounding * (1 + abs(value)):
            size /= 2
            log_p, moved = objective(V + size * step)
        V, value = V + size * step, moved


def _check_independent(X: Any) -> None:
    """Raises DataError if a column is a linear function of others: without a penalty many weights fit then.

    X: (N, D), centred.
    """
    xp = array_module(X)
    std = xp.sqrt((X**2).mean(axis=0))
    singular_values = xp.linalg.svd(X / xp.where(std > 0, std, 1), compute_uv=False)
    smallest = max(X.shape) * float(xp.finfo(X.dtype).eps) * float(singular_values[0])
    if len(X) <= X.shape[1] or not float(singular_values[-1]) > smallest:
        expected = "without a penalty, more rows than columns and no column that is a linear function of others"
        raise DataError("LogisticRegression.fit", expected, f"others, shape {X.shape}", "C=1.0, say")


def separated(scores: Any, Y: Any) -> bool:
    """Tells whether each row's own class scores highest, up to rounding, and for some row strictly so.

    Such scores, linear in x, exist exactly where the likelihood has no maximum: it rises along them for ever.

    Source: Albert & Anderson (1984), "On the existence of maximum likelihood estimates in logistic regression".
    """
    margins = (scores * Y).sum(axis=1) - array_module(Y).where(Y > 0, -math.inf, scores).max(axis=1)
    return float(margins.max()) > 0 and float(margins.min()) >= -1e-7 * float(margins.max())
