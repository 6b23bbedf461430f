"""Methods of the table of test errors with few labels that are not a command of `scratchvae train`.

Each takes the training and the test set, the number of labels, the seed that draws them, and the options of
`python -m benchmarks reproduce`, and returns the test error in percent with further figures.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy

import scratchvae as sv
from benchmarks import stacked

STEPS = 3000
STEPS_OF_ALL = (6000, 12_000, 18_000)
"""With all labels: the number that is best on a sixth of the training images, which is held out."""


def network(
    data: Any, n_labels: int, draw: int, options: argparse.Namespace, hidden: tuple[int, ...] = (500,)
) -> dict[str, Any]:
    """Trains a classifier 784-500-10 softplus on the labelled images alone, by Adam 1e-3 in batches of 100."""
    train, test = (sv.data.Dataset(part.images.reshape(-1, 784), part.labels) for part in data)
    steps, held_out = STEPS, {}
    if n_labels == len(train):
        rows = sv.Noise(draw).permutation("held out", len(train))
        fitted = steps_of_training(_part(train, rows[len(train) // 6 :]), draw, hidden)
        held_out = {n: error_after(fitted, n, _part(train, rows[: len(train) // 6])) for n in STEPS_OF_ALL}
        steps = min(held_out, key=held_out.get)
    else:
        train = _part(train, sv.data.label_subset(train.labels, n_labels, draw) >= 0)
    found = {"steps": steps} | ({"held_out_errors": list(held_out.values())} if held_out else {})
    return found | {"error": error_after(steps_of_training(train, draw, hidden), steps, test)}


def _part(dataset: sv.data.Dataset, rows: numpy.ndarray) -> sv.data.Dataset:
    return sv.data.Dataset(dataset.images[rows], dataset.labels[rows])


def steps_of_training(
    train: sv.data.Dataset, seed: int, hidden: tuple[int, ...]
) -> Iterator[tuple[int, sv.models.Classifier]]:
    """Yields a classifier after one step, after two steps, and so on without end."""
    classifier = sv.models.Classifier(sv.nn.MLP([784, *hidden, 10], sv.Noise(seed), "softplus"))
    optimizer = sv.optim.Adam(classifier.parameters(), learning_rate=1e-3)
    while True:
        for rows in sv.data.minibatches(len(train), 100, sv.Noise(seed, optimizer.n_steps)):
            loss = -sv.ops.mean(classifier(train.images[rows]).log_prob(train.labels[rows]))
            sv.grad(loss, optimizer.parameters, out=optimizer.gradients)
            optimizer.step()
            yield optimizer.n_steps, classifier


def error_after(fitted: Iterator[tuple[int, sv.models.Classifier]], steps: int, test: sv.data.Dataset) -> float:
    """Returns the error in percent of a classifier after n steps."""
    classifier = next(classifier for step, classifier in fitted if step == steps)
    with sv.no_grad():
        return 100 * float((classifier(test.images).logits.argmax(axis=1) != test.labels).mean())


def m1_m2(
    data: Any, n_labels: int, draw: int, options: argparse.Namespace, settings: str, n_samples: int = 0
) -> dict[str, Any]:
    """Returns the test error of M1+M2 by q(y | x), or with samples by p(y | x), in percent, and its units."""
    started = time.perf_counter()
    model = stacked.fitted(settings, n_labels, draw, data[0], Path(options.runs))
    seconds = {} if n_samples else {"seconds": round(time.perf_counter() - started, 1)}
    error = sv.classification_error(model, data[1].images, data[1].labels, n_samples)
    return seconds | {"units": len(model.units), "error": 100 * error}


def nearest_neighbour(data: Any, n_labels: int, draw: int, options: argparse.Namespace) -> dict[str, Any]:
    """Returns the test error of the nearest labelled image, by Euclidean distance of pixels, in percent."""
    train, test = data
    known = sv.data.label_subset(train.labels, n_labels, draw)
    rows = numpy.flatnonzero(known >= 0)
    x, y = train.images[rows].reshape(n_labels, -1), test.images.reshape(len(test), -1)
    nearest = ((x * x).sum(axis=1) - 2 * y @ x.T).argmin(axis=1)  # but for |y|^2, which changes no order
    return {"error": 100 * float((known[rows][nearest] != test.labels).mean())}
