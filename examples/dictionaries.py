"""X ~ A B: dictionary elements of PCA, ICA, factor analysis and NMF, side by side, on drawn digits.

Every image is a weighted sum of K = 25 elements, the rows of B, with the weights in its row of A (plus a mean, which is
zero for NMF). The models differ only in their conditions on A and B. The example takes half a minute on two cores; with
--quick, seconds.

It writes dictionaries.png.

Source: deck, "Learning linear latent variable models"; Hastie, Tibshirani & Friedman (2009), figure 14.33.

Pictures
--------
dictionaries.png : python examples/dictionaries.py
    One digit as a weighted sum of 25 elements, by PCA, ICA, factor analysis and NMF.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy

import scratchvae as sv
from pictures.dictionaries import dictionaries
from scratchvae.errors import InputError
from scratchvae.linear import NMF, PCA, FactorAnalysis, FastICA
from scratchvae.plotting import save_figure

K = 25


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Dictionary elements of four linear models.")
    parser.add_argument("--quick", action="store_true", help="400 digits and looser tolerances")
    parser.add_argument("--data", default="drawn-digits", help="name or path of a data set (drawn-digits)")
    parser.add_argument("--data-dir", default=None, help="folder of the data set's files")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for the results (figures/)")
    arguments = parser.parse_args(argv)
    n, slack = (400, 100) if arguments.quick else (3000, 1)

    train, test = sv.data.load(arguments.data, arguments.data_dir)
    shape = train.images.shape[1:3]
    x = train.images[:n].reshape(-1, shape[0] * shape[1]).astype(numpy.float64)
    noisy = x + 0.01 * sv.Noise(0).normal("grey", x.shape)  # pixels that never vary have no variance of their own
    models = {
        "PCA": PCA(K).fit(x),
        "ICA": FastICA(K, tol=1e-4 * slack, max_iter=1000).fit(x),
        "Factor analysis": FactorAnalysis(K, tol=1e-4 * slack).fit(noisy),
        "NMF": NMF(K, tol=1e-6 * slack).fit(x),
    }
    row = test.images[:1].reshape(1, -1).astype(numpy.float64)
    save_figure(dictionaries(models, row, shape), arguments.out / "dictionaries.png")
    print(f"{len(x)} images, K = {K}: mean of |x - A B - mean|^2, and mean number of weights above 5 % of the largest")
    for name, model in models.items():
        A = model.transform(x)
        error = ((x - model.inverse_transform(A)) ** 2).sum(axis=1).mean()
        used = (abs(A) > 0.05 * abs(A).max(axis=1, keepdims=True)).sum(axis=1).mean()
        print(f"{name:16s}{error:10.3f}{used:8.1f}    {model.n_iter_} steps")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
