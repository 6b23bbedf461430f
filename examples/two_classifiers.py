"""A tale of two binary linear classifiers: logistic regression, p(y | x), and Gaussian naive Bayes, p(x | y) p(y).

Both classify drawn ones and sevens of 7 x 7 noisy pixels. The example draws their decision boundaries in the plane of
the first two principal components; their learning curves over 100 samples of the rows, which cross, since pixels are
not independent given the class, as naive Bayes assumes; and digits sampled from naive Bayes of all ten classes. Naive
Bayes shares its variances between the classes, which makes it linear too. It takes half a minute on two cores; with
--quick, seconds.

The prior of the weights determines where the curves cross: C = 1 is scikit-learn's default, and C = 10,000 is nearly
maximum likelihood, which needs many times as many rows as pixels to stay below naive Bayes. Without noise (NOISE = 0),
C = 10,000 is no worse than naive Bayes from the beginning: two classes so far apart need few rows.

It writes two_classifiers.png and two_classifiers.json.

Source: deck, "A tale of two binary linear classifiers"; Ng & Jordan (2002), "On discriminative vs. generative
classifiers: a comparison of logistic regression and naive Bayes".

Pictures
--------
two_classifiers.png : python examples/two_classifiers.py
    Logistic regression and naive Bayes: boundaries, learning curves that cross, and digits sampled from naive
    Bayes.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy

import scratchvae as sv
from pictures.two_classifiers import two_classifiers
from scratchvae.errors import InputError
from scratchvae.linear import PCA, GaussianNaiveBayes, LogisticRegression
from scratchvae.plotting import save_figure

NOISE = 0.15  # the standard deviation of what is added to pixels in [0, 1]
SIZES = (6, 10, 20, 30, 50, 100, 200, 500, 1000, 3000)
CLASSIFIERS = {
    "naive Bayes": lambda: GaussianNaiveBayes(shared_variance=True, var_smoothing=0.01),
    "logistic regression, C = 1": lambda: LogisticRegression(C=1.0),
    "logistic regression, C = 10,000": lambda: LogisticRegression(C=1e4),
}


def pixels(dataset: sv.data.Dataset, side: int) -> numpy.ndarray:
    """Returns means over squares of pixels.   (N, 28, 28, 1) -> (N, side^2), float64"""
    step = 28 // side
    means = dataset.images.reshape(-1, side, step, side, step).mean(axis=(2, 4))
    return means.reshape(len(means), side * side).astype(numpy.float64)


def one_or_seven(dataset: sv.data.Dataset) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Returns noisy rows of the ones, class 0, and of the sevens, class 1."""
    rows = numpy.isin(dataset.labels, (1, 7))
    x = pixels(dataset, 7)[rows]
    return x + NOISE * sv.Noise(len(dataset)).normal("pixels", x.shape), (dataset.labels[rows] == 7).astype(int)


def learning_curves(
    train: tuple[numpy.ndarray, numpy.ndarray],
    test: tuple[numpy.ndarray, numpy.ndarray],
    sizes: list[int],
    n_samples: int,
) -> dict[str, list[tuple[float, float]]]:
    """Returns the mean test error over samples of the training rows, and its standard error, by classifier and size."""
    rng, curves = numpy.random.default_rng(0), {name: [] for name in CLASSIFIERS}
    x, y = train
    for n in sizes:
        samples = []
        while len(samples) < n_samples:
            rows = rng.permutation(len(x))[:n]
            if len(numpy.unique(y[rows])) == 2:
                samples.append([1 - make().fit(x[rows], y[rows]).score(*test) for make in CLASSIFIERS.values()])
        errors = numpy.array(samples).T
        for name, values in zip(CLASSIFIERS, errors, strict=True):
            curves[name].append((float(values.mean()), float(values.std(ddof=1) / math.sqrt(n_samples))))
    return curves


def imagined(train: sv.data.Dataset, n_samples: int = 3) -> numpy.ndarray:
    """Returns a digit of each class, the class mean, and samples of naive Bayes.   (2 + n_samples, 10, 14, 14)"""
    x = pixels(train, 14)
    model = GaussianNaiveBayes().fit(x, train.labels)
    samples, classes = model.sample(500, seed=0)
    rows = [[x[train.labels == c][0], model.theta_[c], *samples[classes == c][:n_samples]] for c in range(10)]
    return numpy.array(rows).swapaxes(0, 1).reshape(-1, 10, 14, 14)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Logistic regression against Gaussian naive Bayes.")
    parser.add_argument(
        "--quick", action="store_true", help="use 30 samples for each point of the curves instead of 100"
    )
    parser.add_argument("--data", default="drawn-digits", help="name or path of a data set (drawn-digits)")
    parser.add_argument("--data-dir", default=None, help="folder of the data set's files")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for the results (figures/)")
    arguments = parser.parse_args(argv)

    train, test = sv.data.load(arguments.data, arguments.data_dir)
    x, y = one_or_seven(train)
    sizes = [n for n in SIZES if n < len(x)]
    curves = learning_curves((x, y), one_or_seven(test), sizes, 30 if arguments.quick else 100)
    z = PCA(2).fit_transform(x[:400])
    models: dict[str, Any] = {
        "Logistic regression: p(y | x)": LogisticRegression().fit(z, y[:400]),
        "Naive Bayes: p(x | y) p(y)": GaussianNaiveBayes(True).fit(z, y[:400]),
    }
    figure = two_classifiers(z, y[:400], models, sizes, curves, imagined(train), ("1", "7"))
    save_figure(figure, arguments.out / "two_classifiers.png")
    (arguments.out / "two_classifiers.json").write_text(json.dumps({"sizes": sizes, "errors": curves}, indent=2) + "\n")
    print("test error in percent, and its standard error")
    print("rows" + "".join(f"{name:>34s}" for name in curves))
    for i, n in enumerate(sizes):
        print(
            f"{n:4d}" + "".join(f"{100 * curve[i][0]:26.2f} +- {100 * curve[i][1]:4.2f}" for curve in curves.values())
        )


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
