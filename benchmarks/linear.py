"""The linear models beside scikit-learn, on its digits, wine and breast cancer: the same problems, in turns.

PCA and PPCA: K = 10, scikit-learn's choice of solver; PPCA scores the rows too, as scikit-learn's PCA does. Naive
Bayes: fit, and p(y | x) of all rows. Logistic regression: C = 1, columns of variance 1, theirs by newton-cholesky with
tol 1e-12.
Threads are as the environment sets them (OPENBLAS_NUM_THREADS, OMP_NUM_THREADS).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy

from benchmarks.timing import interleaved
from scratchvae.linear import PCA, PPCA, GaussianNaiveBayes, LogisticRegression

K = 10


def problems(X: numpy.ndarray, y: numpy.ndarray) -> dict[str, dict[str, Callable[[], object]]]:
    """Model -> whose -> a function that fits it to the rows X, (N, D), of the classes y, (N,)."""
    from sklearn import decomposition, linear_model, naive_bayes

    std = X.std(axis=0)
    standard = (X - X.mean(axis=0)) / numpy.where(std > 0, std, 1)
    newton = partial(linear_model.LogisticRegression, solver="newton-cholesky", tol=1e-12)
    return {
        "PCA": {
            "scratchvae": lambda: PCA(K).fit(X),
            "scikit-learn": lambda: decomposition.PCA(K).fit(X),
        },
        "PPCA": {
            "scratchvae": lambda: PPCA(K).fit(X).score_samples(X),
            "scikit-learn": lambda: decomposition.PCA(K).fit(X).score_samples(X),
        },
        "naive Bayes": {
            "scratchvae": lambda: GaussianNaiveBayes().fit(X, y).predict_proba(X),
            "scikit-learn": lambda: naive_bayes.GaussianNB().fit(X, y).predict_proba(X),
        },
        "logistic regression": {
            "scratchvae": lambda: LogisticRegression().fit(standard, y),
            "scikit-learn": lambda: newton().fit(standard, y),
        },
    }


def main(arguments: list[str]) -> None:
    """Print milliseconds, and the ratio of ours to theirs. Needs scikit-learn (extra `test`)."""
    try:
        from sklearn import datasets
    except ImportError:
        print("linear: scikit-learn is not installed (pip install -e '.[test]')")
        return
    print("fits of linear models: milliseconds, and ratio to scikit-learn")
    print(f"{'':44s}{'scratchvae':>12s}{'scikit-learn':>14s}{'ratio':>8s}")
    for name in ("digits", "wine", "breast_cancer"):
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        for model, functions in problems(X, y).items():
            rounds = 5 if model == "logistic regression" else 20
            times = interleaved(functions, rounds, reference="scikit-learn")
            (ours, ratio), (theirs, _) = times["scratchvae"], times["scikit-learn"]
            title = f"{model}, {name} {X.shape}"
            print(f"{title:44s}{ours * 1e3:12.2f}{theirs * 1e3:14.2f}{ratio:8.2f}")
