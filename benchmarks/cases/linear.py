"""Fits of linear models, beside scikit-learn on its digits, wine and breast cancer: a step is a fit.

pca and ppca: K = 10, scikit-learn's choice of solver; ppca scores the rows too, as scikit-learn's PCA does. bayes:
Gaussian naive Bayes, fit, and p(y | x) of all rows. logistic: C = 1, columns of variance 1, theirs by newton-cholesky
with tol 1e-12. Each returns a number of the fitted model that must agree.
"""

from __future__ import annotations

from typing import Any

import numpy

from benchmarks.cases import steps
from benchmarks.cases.problem import NotHere, Problem

K = 10
SETS = ("digits", "wine", "breast_cancer")
CASES = {f"{model}:{data}": f"{model} on {data}" for model in ("pca", "ppca", "bayes", "logistic") for data in SETS}
REFERENCE = "sklearn"


def problem(size: str, data: str | None = None) -> Problem:
    """Returns the rows X (N, D), those of variance 1, and the classes y (N,)."""
    try:
        from sklearn import datasets
    except ImportError:
        raise NotHere("sklearn is not installed") from None
    X, y = getattr(datasets, f"load_{size.split()[-1]}")(return_X_y=True)
    std = X.std(axis=0)
    standard = (X - X.mean(axis=0)) / numpy.where(std > 0, std, 1)
    return Problem({"X": X[None], "standard": standard[None], "y": y[None]})


def scratchvae(size: str, problem: Problem) -> steps.Step:
    """Returns the step by scratchvae.linear."""
    from scratchvae.linear import PCA, PPCA, GaussianNaiveBayes, LogisticRegression

    ((X, standard, y),) = problem.batches()

    def ppca() -> Any:
        model = PPCA(K).fit(X)
        return model.score_samples(X) is not None and model.noise_variance_

    return {
        "pca": lambda e: PCA(K).fit(X).explained_variance_ratio_.sum(),
        "ppca": lambda e: ppca(),
        "bayes": lambda e: GaussianNaiveBayes().fit(X, y).predict_proba(X)[:, 0].sum(),
        "logistic": lambda e: numpy.square(LogisticRegression().fit(standard, y).coef_).sum(),
    }[size.split()[0]]


def sklearn(size: str, problem: Problem) -> steps.Step:
    """Returns the step by scikit-learn, whose PCA divides by N - 1 where the likelihood has N."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB

    ((X, standard, y),) = problem.batches()

    def ppca() -> Any:
        model = PCA(K).fit(X)
        return model.score_samples(X) is not None and model.noise_variance_ * (1 - 1 / len(X))

    return {
        "pca": lambda e: PCA(K).fit(X).explained_variance_ratio_.sum(),
        "ppca": lambda e: ppca(),
        "bayes": lambda e: GaussianNB().fit(X, y).predict_proba(X)[:, 0].sum(),
        "logistic": lambda e: numpy.square(
            LogisticRegression(solver="newton-cholesky", tol=1e-12).fit(standard, y).coef_
        ).sum(),
    }[size.split()[0]]


PEERS = {"scratchvae": scratchvae, "sklearn": sklearn}
