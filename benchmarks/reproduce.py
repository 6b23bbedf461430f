"""The semi-supervised table of MNIST, row by row: jobs that can be stopped and taken up again.

usage: python -m benchmarks reproduce [--rows NAME ...] [--labels N ...] [--draws N] [--epochs N] [--data-dir DIR]
                                      [--runs DIR] [--out FILE] [--list]

A row is a method and a number of labels; a job is one draw of them. M2's jobs are commands of `scratchvae train`, which
are printed; each leaves a run directory in --runs and goes on there when it is asked for again. The test error of every
job is written to the results file as soon as it is there, and jobs that stand in it are not run again. --list runs
nothing: it prints the table as far as it has come, and what the rest would take, by the time of a few steps.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy
from scipy.stats import t

import scratchvae as sv
from scratchvae.cli import main as scratchvae
from scratchvae.models.semisupervised_vae import usual_alpha

LABELS, EPOCHS, DRAWS, BATCH, STEPS = (100, 600, 1000, 3000), 60, 3, 200, 3000
SETTINGS = "--model m2 --latent 50 --hidden 500 --activation softplus --batch-size 200 --learning-rate 4.2e-4".split()
PUBLISHED = {  # test error in percent, and 95 % interval where there is one
    "m2": {100: "6.81 +- 0.60", 600: "5.63 +- 0.70", 1000: "5.13 +- 0.38", 3000: "4.18 +- 0.12"},
    "m2, alpha 0": {100: "77.5", 600: "30.6", 1000: "24.4", 3000: "10.7"},
    "network alone": {100: "22.9", 600: "12.8", 1000: "11.4", 3000: "8.9"},
}
"""Row -> labels -> the same in Pyro's tutorial on this model, of 50,000 training images: five draws for M2."""


def m2(data: Any, n_labels: int, draw: int, options: argparse.Namespace, alpha: float | None = None) -> float:
    """One draw of M2 by `scratchvae train`, taken up again if it was begun."""
    directory = Path(options.runs) / f"m2{'' if alpha is None else f'-alpha-{alpha:g}'}-{n_labels}-{draw}"
    command = ["train", "--data", "mnist", *SETTINGS, "--labels", str(n_labels), "--seed", str(draw)]
    command += ["--run-dir", str(directory)] + ([] if alpha is None else ["--alpha", str(alpha)])
    if (directory / "config.json").exists():
        command = ["train", "--resume", str(directory)]
    command += ["--epochs", str(options.epochs)] + (["--data-dir", options.data_dir] if options.data_dir else [])
    print(f"scratchvae {' '.join(command)}", flush=True)
    if scratchvae(command):
        raise SystemExit(f"{directory} was not finished; the same command goes on with it")
    return sv.classification_error(sv.load(directory / "last.npz"), data[1].images, data[1].labels)


def network(
    data: Any, n_labels: int, draw: int, options: argparse.Namespace, hidden: tuple[int, ...] = (500,)
) -> float:
    """M2's classifier, 784-500-10 softplus, trained on the labelled images alone: STEPS steps, Adam 1e-3."""
    train, test = data
    known = sv.data.label_subset(train.labels, n_labels, draw)
    rows = numpy.flatnonzero(known >= 0)
    x, y = train.images[rows].reshape(n_labels, -1), known[rows]
    classifier = sv.models.Classifier(sv.nn.MLP([784, *hidden, 10], sv.Noise(draw), "softplus"))
    optimizer = sv.optim.Adam(classifier.parameters(), learning_rate=1e-3)
    while optimizer.n_steps < STEPS:
        for some in sv.data.minibatches(n_labels, 100, sv.Noise(draw, optimizer.n_steps)):
            loss = -sv.ops.mean(classifier(x[some]).log_prob(y[some]))
            sv.grad(loss, optimizer.parameters, out=optimizer.gradients)
            optimizer.step()
    with sv.no_grad():
        predicted = classifier(test.images.reshape(len(test), -1)).logits.argmax(axis=1)
    return float((predicted != test.labels).mean())


def logistic(data: Any, n_labels: int, draw: int, options: argparse.Namespace) -> float:
    """The same without a hidden layer: logistic regression on pixels."""
    return network(data, n_labels, draw, options, hidden=())


def neighbour(data: Any, n_labels: int, draw: int, options: argparse.Namespace) -> float:
    """The label of the nearest labelled image, by Euclidean distance of pixels."""
    train, test = data
    known = sv.data.label_subset(train.labels, n_labels, draw)
    rows = numpy.flatnonzero(known >= 0)
    x, y = train.images[rows].reshape(n_labels, -1), test.images.reshape(len(test), -1)
    nearest = ((x * x).sum(axis=1) - 2 * y @ x.T).argmin(axis=1)  # but for |y|^2, which changes no order
    return float((known[rows][nearest] != test.labels).mean())


ROWS: dict[str, Callable[..., float]] = {
    "m2": m2,
    "m2, alpha 0": lambda *job: m2(*job, alpha=0.0),
    "network alone": network,
    "logistic regression": logistic,
    "nearest neighbour": neighbour,
}


def main(arguments: list[str]) -> None:
    """Run the jobs that are asked for and have not been run, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks reproduce", description=__doc__.split("\n")[0])
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--labels", nargs="+", type=int, default=list(LABELS))
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--data-dir")
    parser.add_argument("--runs", default="runs/reproduce")
    parser.add_argument("--out", default="benchmarks/results/semi_supervised.json")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args(arguments)
    out = Path(options.out)
    results = json.loads(out.read_text()) if out.exists() else {}
    jobs = [(row, n, draw) for row in options.rows for n in options.labels for draw in range(options.draws)]
    if options.list:
        waiting = [job for job in jobs if _key(*job, options.epochs) not in results and job[0].startswith("m2")]
        hours = sum(projected_seconds(n, options.epochs) for _, n, _ in waiting) / 3600
        print(f"{len(waiting)} jobs of M2 have not been run; on this machine they would take {hours:.1f} hours")
    else:
        data = sv.data.load("mnist", options.data_dir)
        for row, n_labels, draw in jobs:
            key = _key(row, n_labels, draw, options.epochs)
            if key not in results:
                started = time.perf_counter()
                error = 100 * ROWS[row](data, n_labels, draw, options)
                results[key] = {"error": error, "seconds": round(time.perf_counter() - started, 1)}
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_text(json.dumps(results, indent=2) + "\n")
    for line in table(results, options):
        print(line)


def table(results: dict[str, Any], options: argparse.Namespace) -> Iterator[str]:
    """Test error in percent: mean and half of the 95 % interval over draws, the number of draws, what was published."""
    yield "| test error, percent | labels | mean and 95 % interval | draws | published |"
    yield "|---|---|---|---|---|"
    for row in options.rows:
        for n in options.labels:
            keys = [_key(row, n, draw, options.epochs) for draw in range(options.draws)]
            errors = [results[key]["error"] for key in keys if key in results]
            shown = "not run" if not errors else f"{mean(errors):.2f}"
            if len(errors) > 1:
                shown += f" +- {t.ppf(0.975, len(errors) - 1) * stdev(errors) / len(errors) ** 0.5:.2f}"
            yield f"| {row} | {n:,} | {shown} | {len(errors)} | {PUBLISHED.get(row, {}).get(n, '')} |"


@cache
def projected_seconds(n_labels: int, epochs: int, n: int = 60_000) -> float:
    """What a job of M2 would take, by the time of three steps, on images of noise."""
    rng = numpy.random.default_rng(0)
    m = min(BATCH, n_labels)
    x, y = rng.random((m + BATCH, 784), dtype=numpy.float32), rng.integers(10, size=m)
    model = sv.SemiSupervisedVAE.mlp()
    optimizer = sv.optim.Adam(model.parameters())
    _, objective = sv.training.semi_supervised(n_labels, n, usual_alpha(n_labels, n))
    finished = []
    for step in range(4):
        value, *_ = objective(model, x, y, sv.Noise(0, step), 1, 1.0)
        sv.grad(-value, optimizer.parameters, out=optimizer.gradients)
        optimizer.step()
        finished.append(time.perf_counter())
    return (finished[-1] - finished[0]) / 3 * epochs * -(-(n - n_labels) // BATCH)


def _key(row: str, n_labels: int, draw: int, epochs: int) -> str:
    """The name of a job in the results file."""
    return f"{row}, {n_labels} labels, draw {draw}" + (f", {epochs} epochs" if row.startswith("m2") else "")
