"""Candidates for M1, compared by how well their latent variables separate the digits on held-out training images.

usage: python -m benchmarks features [--candidates NAME ...] [--marks N] [--data-dir DIR] [--runs DIR] [--out FILE]

A candidate is trained on the first 50,000 images of MNIST and scored on the other 10,000; the test set is not used. A
mark is a number of epochs, and a job is a candidate at a mark. Its training leaves a run directory in --runs, from
which the next mark continues. Each result is written to its file at once, with its command, and is not measured again.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import numpy
from scipy.optimize import linear_sum_assignment

import scratchvae as sv
from benchmarks.arguments import parser as options_of
from benchmarks.jobs import Job, Results, command
from scratchvae import ops

PROGRAM = "python -m benchmarks features"
N, HELD_OUT = 50_000, 10_000
FEW, MORE = 100, 3000
"""Numbers of labels."""
PERCEPTRON = {"hidden": (500, 500), "activation": "softplus", "learning_rate": 1e-3, "marks": (20, 40, 60)}
CONVOLUTIONS = {"channels": (16, 32), "activation": "relu", "learning_rate": 2e-3, "marks": (10, 20, 40)}
DYNAMIC, WARM_UP = {"binarize": "dynamic"}, {"warm_up": 10}
CANDIDATES: dict[str, dict[str, Any]] = {
    "perceptron": PERCEPTRON,
    "perceptron, dynamic": PERCEPTRON | DYNAMIC,
    "perceptron, dynamic, warm-up": PERCEPTRON | DYNAMIC | WARM_UP,
    "perceptron, warm-up": PERCEPTRON | WARM_UP,
    "perceptron, dynamic, warm-up 20, decay": PERCEPTRON | DYNAMIC | {"warm_up": 20, "decay": 0.96},
    "perceptron, relu, dynamic": PERCEPTRON | DYNAMIC | {"activation": "relu"},
    "perceptron, dynamic, weight prior": PERCEPTRON | DYNAMIC | {"weight_prior": True},
    "convolutions": CONVOLUTIONS,
    "convolutions, dynamic": CONVOLUTIONS | DYNAMIC,
    "convolutions, dynamic, decay": CONVOLUTIONS | DYNAMIC | {"decay": 0.9},
    "convolutions, KL weight 2": CONVOLUTIONS | {"kl_weight": 2.0},
    "convolutions, KL weight 4": CONVOLUTIONS | {"kl_weight": 4.0},
}


def main(arguments: list[str]) -> None:
    """Trains and scores the chosen candidates, up to a mark."""
    parser = options_of("features", __doc__, "features.json")
    parser.add_argument("--candidates", nargs="+", choices=CANDIDATES, default=list(CANDIDATES), metavar="NAME")
    parser.add_argument("--marks", type=int, default=1, help="number of marks of each candidate (default: %(default)s)")
    parser.add_argument("--data-dir", help="folder with the files of the data set (default: $SCRATCHVAE_DATA)")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/features"), help="folder of the run directories (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    train, _ = sv.data.load("mnist", options.data_dir)
    results = Results(options.out)
    for mark in range(options.marks):
        for name in options.candidates:
            if mark < len(CANDIDATES[name]["marks"]):
                results.measure(job(name, mark), partial(measure, name, mark, train, options))
    print("\n".join(table(results.all())))


def table(results: list[Job]) -> list[str]:
    """Returns active units, ELBO and errors in percent of every result, as lines of Markdown."""
    errors = ("logistic_error_few", "logistic_error_more", "neighbour_error", "clusters_error")
    lines = ["| M1 | epochs | active units | ELBO, nats | logistic, 100 | 3,000 | neighbour, 3,000 | ten Gaussians |"]
    lines.append("|---" * 8 + "|")
    for result in results:
        shown = [result["candidate"], str(result["epochs"]), str(result["active_units"])]
        shown += [f"{result['held_out_elbo']:.1f}", *(f"{result[error]:.1f}" for error in errors)]
        lines.append(f"| {' | '.join(shown)} |")
    return lines


def job(candidate: str, mark: int) -> Job:
    """Returns the description of a job: one training up to a mark, and the scores of its features."""
    described = {"candidate": candidate, "epochs": CANDIDATES[candidate]["marks"][mark]}
    return described | {"command": command(PROGRAM, ["--candidates", candidate, "--marks", mark + 1])}


def measure(name: str, mark: int, train: sv.data.Dataset, options: argparse.Namespace) -> dict[str, Any]:
    """Trains a candidate, and scores its features."""
    started = time.process_time()
    model = first_of(name, CANDIDATES[name]["marks"][mark], train.images[:N], options.runs)
    return {"cpu_seconds": round(time.process_time() - started, 1)} | scores(model, train)


def first_of(name: str, epochs: int, images: numpy.ndarray, runs: Path) -> sv.VAE:
    """Returns a candidate after a number of epochs, from the file in its run directory or by further training."""
    directory = runs / name.replace(",", "").replace(" ", "-")
    path = directory / f"{epochs}-epochs.npz"
    if not path.exists():
        sv.save(trained(name, epochs, images, directory), path)
    return sv.load(path)


def trained(name: str, epochs: int, images: numpy.ndarray, directory: Path) -> sv.VAE:
    """Trains a candidate for a number of epochs, from the last checkpoint of its run directory."""
    settings = {"batch_size": 200, "decay": 1.0, "warm_up": 0, "kl_weight": 1.0, "weight_prior": False}
    settings |= CANDIDATES[name]
    named = {key: settings[key] for key in ("hidden", "channels", "activation", "binarize") if key in settings}
    model = (sv.VAE.convolutional if "channels" in named else sv.VAE.mlp)(latent_size=50, **named)
    per_epoch = -(-len(images) // settings["batch_size"])
    rate, weight = settings["learning_rate"], settings["kl_weight"]
    if settings["decay"] < 1:
        rate = sv.optim.ExponentialSchedule(rate, settings["decay"] ** (1 / per_epoch))
    if settings["warm_up"]:
        weight = sv.optim.LinearSchedule(0.0, weight, settings["warm_up"] * per_epoch)
    objective = with_weight_prior(model, len(images)) if settings["weight_prior"] else "elbo"
    begun = (directory / "config.json").exists()
    training = {"learning_rate": rate, "kl_weight": weight, "batch_size": settings["batch_size"]}
    sv.fit(model, images, epochs, objective=objective, run_dir=directory, resume=begun, progress=False, **training)
    return model


def with_weight_prior(model: sv.VAE, n: int) -> sv.objectives.Objective:
    """L = (1/N) sum of the ELBO - (1/2N) sum of w^2 over all parameters w, which have the prior Normal(0, 1)"""

    def equation(x: Any, noise: Any, n_samples: int, kl_weight: float, record: Any) -> Any:
        squares = sum(ops.sum(w * w) for w in model.parameters())
        return model.elbo(x, noise, n_samples, kl_weight, record) - squares / (2 * n)

    return sv.objectives.Objective("elbo with weight prior", equation)


def scores(model: sv.VAE, train: sv.data.Dataset) -> dict[str, Any]:
    """Returns active units, the ELBO of held-out images, and errors in percent of classifiers of the units' means."""
    units = sv.active_units(model, train.images[:N])
    features = numpy.concatenate([model.encode(train.images[i : i + 1000]).mean for i in range(0, N + HELD_OUT, 1000)])
    features = features[:, units]
    x, y, held, held_y = features[:N], train.labels[:N], features[N:], train.labels[N:]
    found = {"active_units": len(units), "held_out_elbo": sv.evaluate(model, train.images[N:])["elbo"]}
    for name, n_labels in (("few", FEW), ("more", MORE)):
        errors = []
        for draw in range(5):
            known = sv.data.label_subset(y, n_labels, draw) >= 0
            predicted = sv.linear.LogisticRegression().fit(x[known], y[known]).predict(held)
            errors.append(100 * float((predicted != held_y).mean()))
        found[f"logistic_error_{name}"] = mean(errors)
    known = sv.data.label_subset(y, MORE, 0) >= 0
    distances = (x[known] ** 2).sum(axis=1) - 2 * held @ x[known].T
    found["neighbour_error"] = 100 * float((y[known][distances.argmin(axis=1)] != held_y).mean())
    return found | {"clusters_error": clusters_error(x[:10_000], held, held_y)}


def clusters_error(x: numpy.ndarray, held: numpy.ndarray, held_y: numpy.ndarray) -> float:
    """Returns the error of ten Gaussians by EM, the best of three starts, each with the class that suits it best."""
    mixtures = [
        sv.linear.GaussianMixture(10, ridge=1e-3, seed=seed, tol=1e-3, max_iter=2000).fit(x) for seed in range(3)
    ]
    clusters = max(mixtures, key=lambda mixture: mixture.score(x)).predict(held)
    counts = numpy.zeros((10, 10), dtype=int)
    numpy.add.at(counts, (clusters, held_y), 1)
    return 100 * (1 - float(counts[linear_sum_assignment(-counts)].sum()) / len(held_y))
