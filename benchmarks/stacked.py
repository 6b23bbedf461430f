"""M1+M2 on MNIST: settings of M2 on features of M1, compared on held-out training images.

usage: python -m benchmarks stacked [--settings NAME ...] [--labels N ...] [--seeds SEED ...] [--data-dir DIR]
                                    [--runs DIR] [--out FILE]

As in `python -m benchmarks features`, which trains M1, the models are trained on 50,000 images of MNIST, 10,000 are
held out, and an interrupted job resumes from its run directory. The test errors of the best settings are rows of
`python -m benchmarks reproduce`.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import numpy

import scratchvae as sv
from benchmarks.arguments import parser as options_of
from benchmarks.features import N, first_of
from benchmarks.jobs import Job, Results, command
from scratchvae import ops

PROGRAM = "python -m benchmarks stacked"
IMPORTANCE_SAMPLES = 20
M2: dict[str, Any] = {
    "hidden": (500,),
    "activation": "relu",
    "latent_size": 10,
    "learning_rate": 2e-3,
    "last_rate": 2e-4,
    "share": 10.0,
    "batch_size": 100,
    "epochs": 20,
}
"""share: alpha = share N / N^s, as in `scratchvae.objectives.usual_alpha`; the rate falls from learning_rate to
last_rate by the same factor at every step."""
CONVOLUTIONAL = ("convolutions, dynamic", 10)
WARM = ("perceptron, dynamic, warm-up", 20)
SETTINGS: dict[str, dict[str, Any]] = {
    "convolutions, KL weight 2, short": M2 | {"first": ("convolutions, KL weight 2", 10), "epochs": 8},
    "convolutions, dynamic, short": M2 | {"first": ("convolutions, dynamic", 10), "epochs": 8},
    "perceptron, dynamic, warm-up, short": M2 | {"first": WARM, "epochs": 8},
    "perceptron, dynamic, warm-up, 40, short": M2 | {"first": ("perceptron, dynamic, warm-up", 40), "epochs": 8},
    "perceptron, dynamic, warm-up 20, decay, short": M2
    | {"first": ("perceptron, dynamic, warm-up 20, decay", 60), "epochs": 8},
    "alpha 1, short": M2 | {"first": WARM, "epochs": 8, "share": 1.0},
    "alpha 0.1, short": M2 | {"first": WARM, "epochs": 8, "share": 0.1},
    "50 units, short": M2 | {"first": WARM, "epochs": 8, "latent_size": 50},
    "5 units, short": M2 | {"first": WARM, "epochs": 8, "latent_size": 5},
    "perceptron, dynamic, warm-up": M2 | {"first": WARM},
    "perceptron, dynamic, warm-up, long": M2 | {"first": WARM, "epochs": 60},
    "convolutions, dynamic": M2 | {"first": CONVOLUTIONAL},
    "convolutions, dynamic, alpha 30": M2 | {"first": CONVOLUTIONAL, "share": 30.0},
    "convolutions, dynamic, decay": M2 | {"first": ("convolutions, dynamic, decay", 20)},
    "convolutions, dynamic, long": M2 | {"first": CONVOLUTIONAL, "epochs": 60},
}
CHOSEN = {"perceptron": "perceptron, dynamic, warm-up, long", "convolutional": "convolutions, dynamic, long"}
"""For each kind of M1: of the settings that were compared, the smallest mean of the held-out errors."""


def main(arguments: list[str]) -> None:
    """Trains and scores the settings that are named, by default all."""
    parser = options_of("stacked", __doc__, "stacked.json")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS), metavar="NAME")
    parser.add_argument(
        "--labels", nargs="+", type=int, default=[100, 3000], help="numbers of labels (default: 100 3000)"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[10], help="seeds of the labels (default: 10)")
    parser.add_argument("--data-dir", help="folder with the files of the data set (default: $SCRATCHVAE_DATA)")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/features"), help="folder of the run directories (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    train, _ = sv.data.load("mnist", options.data_dir)
    results = Results(options.out)
    for name in options.settings:
        for n_labels in options.labels:
            for seed in options.seeds:
                measured = partial(held_out_error, name, n_labels, seed, train, options.runs)
                results.measure(job(name, n_labels, seed), measured)
    print("\n".join(table(results.all())))


def table(results: list[Job]) -> list[str]:
    """Returns the held-out errors in percent of every setting, the mean over its seeds, as lines of Markdown."""
    columns = sorted({result["labels"] for result in results})
    first, *others = (f"{n:,}" for n in columns)
    lines = [f"| {' | '.join(['settings', 'epochs', f'{first} labels', *others])} |", "|---" * (2 + len(columns)) + "|"]
    for name in dict.fromkeys(result["settings"] for result in results):
        of_name = [result for result in results if result["settings"] == name]
        errors = {n: [result["error"] for result in of_name if result["labels"] == n] for n in columns}
        shown = [f"{mean(values):.2f}" if values else "not run" for values in errors.values()]
        lines.append(f"| {' | '.join([name, str(SETTINGS[name]['epochs']), *shown])} |")
    return lines


def job(settings: str, n_labels: int, seed: int) -> Job:
    """Returns the description of a job: one choice of the labels."""
    described = {"settings": settings, "labels": n_labels, "seed": seed, "epochs": SETTINGS[settings]["epochs"]}
    arguments = ["--settings", settings, "--labels", n_labels, "--seeds", seed]
    return described | {"command": command(PROGRAM, arguments)}


def held_out_error(name: str, n_labels: int, seed: int, train: sv.data.Dataset, runs: Path) -> dict[str, Any]:
    """Returns the error in percent of q(y | x) on the held-out training images."""
    started = time.process_time()
    model = fitted(name, n_labels, seed, train, runs)
    seconds, error = time.process_time() - started, sv.classification_error(model, train.images[N:], train.labels[N:])
    return {"cpu_seconds": round(seconds, 1), "units": len(model.units), "error": 100 * error}


def fitted(name: str, n_labels: int, seed: int, train: sv.data.Dataset, runs: Path) -> sv.StackedVAE:
    """Trains M2 on M1 with n labels among the first N training images, in a run directory from which it can resume.

    M2 sees an image only through q(z1 | x), so its means and deviations are computed once, and each step draws z1.
    """
    settings, images = SETTINGS[name], train.images[:N]
    directory = runs / f"{name}-{n_labels}-{seed}".replace(",", "").replace(" ", "-")
    if (directory / "stacked.npz").exists():
        return sv.load(directory / "stacked.npz")
    labels = sv.data.label_subset(train.labels[:N], n_labels, seed)
    first = first_of(*settings["first"], images, runs)
    units = sv.active_units(first, images)
    sizes = {key: settings[key] for key in ("hidden", "activation", "latent_size")}
    model = sv.StackedVAE.mlp(first, units, seed=seed, **sizes)
    n_steps = settings["epochs"] * -(-(N - n_labels) // settings["batch_size"])
    fall = (settings["last_rate"] / settings["learning_rate"]) ** (1 / n_steps)
    sv.fit(
        sv.StackedVAE(reader_of_posteriors(len(units)), model.second, range(len(units))),
        posteriors(first, images, units),
        settings["epochs"],
        settings["batch_size"],
        sv.optim.ExponentialSchedule(settings["learning_rate"], fall),
        seed,
        labels=labels,
        alpha=sv.objectives.usual_alpha(n_labels, N, settings["share"]),
        run_dir=directory,
        resume=(directory / "config.json").exists(),
        progress=False,
    )
    sv.save(model, directory / "stacked.npz")
    return model


def posteriors(first: sv.VAE, images: numpy.ndarray, units: Any) -> numpy.ndarray:
    """Returns the means of q(z1 | x) for these units, then the logs of its deviations.   (N, ...) -> (N, 2 units)"""
    parts = [first.encode(images[i : i + 1000]) for i in range(0, len(images), 1000)]
    return numpy.concatenate([numpy.concatenate([q.mean[:, units], q.log_std[:, units]], axis=1) for q in parts])


def reader_of_posteriors(n_units: int) -> sv.VAE:
    """Returns a VAE whose encoder takes q(z1 | x) from rows of `posteriors`, and whose p(x | z1) ignores z1."""
    encoder = sv.models.GaussianEncoder(Same())
    return sv.VAE(encoder, sv.models.GaussianDecoder(Nothing(), "learned"), n_units, (2 * n_units,))


class Same(sv.nn.Module):
    """f(x) = x"""

    def __call__(self, x: Any) -> Any:
        return x


class Nothing(sv.nn.Module):
    """f(z) = 0, as many zeros as z has means and deviations.   (..., K) -> (..., 2 K)"""

    def __call__(self, z: Any) -> Any:
        return ops.concatenate([0 * z, 0 * z], axis=-1)
