"""Published tables of MNIST results, reproduced row by row by resumable jobs.

usage: python -m benchmarks reproduce [--rows NAME ...] [--labels N ...] [--draws N] [--epochs N] [--device DEVICE]
                                      [--data-dir DIR] [--runs DIR] [--out FILE] [--figure FILE] [--list]

There are two tables: test errors with few labels, and likelihoods. A job is one choice of the labels, or one seed. A
long training is a command of `scratchvae train` or of another benchmark; it is printed, leaves a run directory in
--runs, and is resumed there when the job is run again. Every result is written to its file at once, with its command,
and is not measured again. --list runs nothing: it estimates the time of the remaining jobs from a few steps, and prints
the tables from the results so far, as the documents show them.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from statistics import mean, stdev
from types import ModuleType
from typing import Any

import numpy
from scipy.stats import t

import scratchvae as sv
from benchmarks import iwae, mnist, stacked
from benchmarks.arguments import parser as options_of
from benchmarks.few_labels import m1_m2, nearest_neighbour, network
from benchmarks.jobs import Job, Results, arguments_of, command
from scratchvae import plotting
from scratchvae.cli import main as scratchvae
from scratchvae.run_files import read_history

PROGRAM = "python -m benchmarks reproduce"
N = 60_000
LABELS, DRAWS = (100, 600, 1000, 3000), 3
BATCH_SIZE = 50

# ---- test errors with few labels


@dataclass(frozen=True)
class Row:
    """A Row is a row of the table of test errors, in percent.

    method : settings of `scratchvae train`, or a function of the data, the number of labels, the draw and the options
    alpha : a function from the number of labels to alpha; without it, `train` chooses alpha
    settings : the name of the settings of M1+M2 in benchmarks/stacked.py
    draws : the number of draws of the labels, unless --draws gives it
    published : number of labels -> the published error, with half of the 95 % interval if there is one
    """

    title: str
    method: str | Callable[[Any, int, int, argparse.Namespace], dict[str, Any]]
    labels: tuple[int, ...] = LABELS
    epochs: int = 60
    alpha: Callable[[int], float] | None = None
    settings: str = ""
    draws: int = DRAWS
    published: dict[int, str] = field(default_factory=dict)


def large_alpha(n_labels: int) -> float:
    """alpha = 10 N / N^s, a hundred times the usual one, so that y learns the classes before z can describe all of x"""
    return 10 * N / n_labels


M2 = (
    f"--model m2 --latent 5 --hidden 500 --activation relu --batch-size {BATCH_SIZE} --learning-rate 3e-3"
    " --learning-rate-decay 0.9 --kl-weight 4"
)


def _m1_m2(first: str, published: dict[int, str]) -> dict[str, Row]:
    """Returns the rows of M1+M2 on one M1: its classifier, and importance samples of the same model."""
    settings = stacked.CHOSEN[first]
    by_q = partial(m1_m2, settings=settings)
    by_p = partial(m1_m2, settings=settings, n_samples=stacked.IMPORTANCE_SAMPLES)
    title = f"M1+M2, {first} M1"
    return {
        f"m1+m2, {first}": Row(title, by_q, settings=settings, draws=5, published=published),
        f"m1+m2, {first}, p": Row(f"{title}, by p(y given x)", by_p, settings=settings, draws=5),
    }


ROWS = {
    "m2": Row(
        "M2",
        M2,
        epochs=15,
        alpha=large_alpha,
        published={100: "6.81 ± 0.60", 600: "5.63 ± 0.70", 1000: "5.13 ± 0.38", 3000: "4.18 ± 0.12"},
    ),
    "m2, alpha 0": Row(
        "M2, alpha = 0",
        M2,
        epochs=15,
        alpha=lambda n_labels: 0.0,
        published={100: "77.5", 600: "30.6", 1000: "24.4", 3000: "10.7"},
    ),
    **_m1_m2("perceptron", {100: "3.33 ± 0.14", 600: "2.59", 1000: "2.40", 3000: "2.18"}),
    **_m1_m2("convolutional", {}),
    "network alone": Row(
        "a network 784-500-10 of labelled images alone",
        network,
        (*LABELS, N),
        published={100: "22.9", 600: "12.8", 1000: "11.4", 3000: "8.9"},
    ),
    "logistic regression": Row("logistic regression on pixels", partial(network, hidden=())),
    "nearest neighbour": Row("nearest neighbour", nearest_neighbour),
}
"""Published: Kingma et al. (2014), table 1, for M1+M2, whose M1 is of perceptrons, too, and Pyro's tutorial on M2, of
50,000 training images."""


def error_job(name: str, n_labels: int, draw: int, epochs: int | None = None) -> Job:
    """Returns the description of a job: one draw of a row."""
    row, job = ROWS[name], {"row": name, "labels": n_labels, "seed": draw}
    if row.settings:
        job["settings"] = row.settings
    if callable(row.method):
        return job | {"command": command(PROGRAM, ["--rows", name, "--labels", n_labels, "--draws", draw + 1])}
    epochs = epochs or row.epochs
    alpha = [] if row.alpha is None else ["--alpha", row.alpha(n_labels)]
    settings = [
        "--data",
        "mnist",
        "--validation",
        "test",
        *row.method.split(),
        *alpha,
        "--labels",
        n_labels,
        "--seed",
        draw,
    ]
    return job | {"epochs": epochs, "command": command("scratchvae train", [*settings, "--epochs", epochs])}


def trained(job: Job, test: sv.data.Dataset, options: argparse.Namespace) -> dict[str, Any]:
    """Returns the figures of a `scratchvae train` command, whose run is resumed if it exists.

    The name of its run directory has a checksum of the settings, so that other settings never resume this run.
    """
    arguments, epochs = arguments_of(job["command"], "scratchvae train"), ["--epochs", str(job["epochs"])]
    recipe = zlib.crc32(" ".join(arguments[: -len(epochs)]).encode())
    name = f"{job['row'].replace(', ', '-')}-{job['labels']}-{job['seed']}-{recipe:08x}".replace(" ", "-")
    directory = _run(arguments, epochs, Path(options.runs) / name, options)
    error = sv.classification_error(sv.load(directory / "last.npz"), test.images, test.labels)
    return {"seconds": round(sum(read_history(directory)["seconds"]), 1), "error": 100 * error}


def _run(arguments: list[str], epochs: list[str], directory: Path, options: argparse.Namespace) -> Path:
    """Starts or resumes the run of a `scratchvae train` command unless it is finished, and returns its directory."""
    if any(directory.rglob("config.json")):
        if (directory / "metrics.jsonl").exists() and len(read_history(directory)["epoch"]) == int(epochs[1]):
            return directory
        arguments = ["train", "--resume", str(directory), *epochs]
    else:
        arguments = ["train", *arguments, "--device", options.device, "--run-dir", str(directory)]
    arguments += ["--data-dir", options.data_dir] if options.data_dir else []
    print(command("scratchvae", arguments), flush=True)
    if status := scratchvae(arguments):
        raise SystemExit(status)  # the command has printed the reason
    return directory


def errors(options: argparse.Namespace) -> Iterator[str]:
    """Returns the table of test errors, mean and half of the 95 % interval over draws, above the published errors."""
    columns = options.labels or [*LABELS, N]
    shown = [f"all {n:,}" if n == N else f"{n:,}" for n in columns]
    yield _line(["test error, percent", f"{shown[0]} labels", *shown[1:]])
    yield "|---" * (1 + len(columns)) + "|"
    for name in (name for name in options.rows if name in ROWS):
        row, found = ROWS[name], results_by_labels(name, options)
        yield _line([row.title, *(_over_seeds(found.get(n, []), "error") for n in columns)])
        if not row.published.keys().isdisjoint(columns):
            yield _line(["the same, published", *(row.published.get(n, "") for n in columns)])


def results_by_labels(name: str, options: argparse.Namespace) -> dict[int, list[Job | None]]:
    """Returns a dict from the number of labels to the results of a row's draws, None for a draw without a result."""
    results, found = Results(options.out), {}
    for job in jobs(name, options):
        found.setdefault(job["labels"], []).append(results.of(job))
    return found


def measured(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Returns the part of that table for a figure: mean and half of the 95 % interval, if any, for few labels."""
    for name in (name for name in options.rows if name in ROWS):
        for n, found in results_by_labels(name, options).items():
            values = [result["error"] for result in found if result is not None]
            if values and n < N:
                half = _half_of_interval(values) if len(values) > 1 else 0.0
                yield {"method": ROWS[name].title, "labels": n, "error": mean(values), "half": half}


# ---- likelihoods


@dataclass(frozen=True)
class Likelihood:
    """A Likelihood is a row of the table of likelihoods: jobs of another benchmark, and the name of a figure."""

    title: str
    benchmark: ModuleType
    jobs: list[Job]
    published: str
    figure: str = "log_px"


def _importance_weighted(row: str, stages: int, seeds: tuple[int, ...], published: str) -> Likelihood:
    title = f"{row[: row.index(' ')].upper()}, {row[row.index('k') :]}"
    return Likelihood(title, iwae, [iwae.job(row, stages, seed) for seed in seeds], published)


PUBLISHED = {
    "vae k=1": "-86.76",
    "vae k=5": "-86.47",
    "vae k=50": "-86.35",
    "iwae k=5": "-85.54",
    "iwae k=50": "-84.78",
}
"""After 3,280 epochs, by 5,000 importance samples: Burda, Grosse & Salakhutdinov (2016), one stochastic layer."""

LIKELIHOODS = {
    "grey": Likelihood(
        "VAE of 20 latent units, grey values: ELBO",
        mnist,
        [mnist.job("grey", seed) for seed in range(3)],
        "-106.66 after 7 epochs (PyTorch's example)",
        "elbo",
    ),
    "vae k=1, 13 epochs": _importance_weighted("vae k=1", 3, (0, 1), ""),
    "iwae k=5, 13 epochs": _importance_weighted("iwae k=5", 3, (0, 1), ""),
    **{row: _importance_weighted(row, 8, (0,), published) for row, published in PUBLISHED.items()},
}


def likelihoods(options: argparse.Namespace) -> Iterator[str]:
    """Returns the table of likelihoods: mean and half of the 95 % interval over seeds."""
    yield _line(["log p(x) of the test set, nats", "epochs", "here", "published"])
    yield "|---" * 4 + "|"
    for name in (name for name in options.rows if name in LIKELIHOODS):
        row, results = LIKELIHOODS[name], results_of(name, options)
        shown = _over_seeds([results.of(job) for job in row.jobs], row.figure)
        yield _line([row.title, f"{row.jobs[0]['epochs']:,}", shown, row.published])


# ---- both


def jobs(name: str, options: argparse.Namespace) -> list[Job]:
    """Returns the chosen jobs of a row."""
    if name in LIKELIHOODS:
        return LIKELIHOODS[name].jobs
    draws = range(options.draws or ROWS[name].draws)
    return [error_job(name, n, draw, options.epochs) for n in options.labels or ROWS[name].labels for draw in draws]


def results_of(name: str, options: argparse.Namespace) -> Results:
    """Returns the file of a row's results; the file of another benchmark is in the folder of --out."""
    if name in LIKELIHOODS:
        return Results(Path(options.out).with_name(f"{LIKELIHOODS[name].benchmark.__name__.split('.')[-1]}.json"))
    return Results(options.out)


def main(arguments: list[str]) -> None:
    """Runs the chosen jobs that have no result, and prints the tables."""
    parser = options_of("reproduce", __doc__, "semi_supervised.json", "file of the results; others lie beside it")
    parser.add_argument("--rows", nargs="+", choices=[*ROWS, *LIKELIHOODS], default=[*ROWS, *LIKELIHOODS])
    parser.add_argument(
        "--labels", nargs="+", type=int, help=f"numbers of labels (default: {' '.join(map(str, LABELS))})"
    )
    parser.add_argument(
        "--draws", type=int, help=f"number of draws of the labelled images (default: that of the row, {DRAWS} or 5)"
    )
    parser.add_argument(
        "--epochs", type=int, help="epochs of the `scratchvae train` commands (default: those of the row)"
    )
    parser.add_argument(
        "--device", default="cpu", choices=["cpu", "gpu"], help="device of these commands (default: cpu)"
    )
    parser.add_argument("--data-dir", help="folder with the files of the data set (default: $SCRATCHVAE_DATA)")
    parser.add_argument("--runs", default="runs/reproduce", help="folder of the run directories (default: %(default)s)")
    parser.add_argument("--figure", help="picture to write with the test errors (default: none)")
    parser.add_argument(
        "--list", action="store_true", help="run nothing; estimate the remaining time and print the tables"
    )
    options = parser.parse_args(arguments)
    if options.list:
        for line in left(options):
            print(line)
    else:
        measure(options)
    for table, rows in ((errors, ROWS), (likelihoods, LIKELIHOODS)):
        if not rows.keys().isdisjoint(options.rows):
            print("\n" + "\n".join(table(options)))
    if options.figure:
        print(plotting.save_figure(plotting.label_curve(list(measured(options))), options.figure))


def measure(options: argparse.Namespace) -> None:
    """Runs the jobs that have no result."""
    data = sv.data.load("mnist", options.data_dir)
    data_dir = ["--data-dir", options.data_dir] if options.data_dir else []
    for name in options.rows:
        results = results_of(name, options)
        for job in jobs(name, options):
            if results.of(job) is not None:
                continue
            if name in LIKELIHOODS:
                benchmark = LIKELIHOODS[name].benchmark
                print(job["command"], flush=True)
                benchmark.main(
                    [*arguments_of(job["command"], benchmark.PROGRAM), "--out", str(results.path), *data_dir]
                )
            elif callable(ROWS[name].method):
                results.measure(job, partial(ROWS[name].method, data, job["labels"], job["seed"], options))
            else:
                results.measure(job, partial(trained, job, data[1], options), options.device)


def left(options: argparse.Namespace) -> Iterator[str]:
    """Returns, for each row, the jobs without a result, and the time that they would take on this machine."""
    for name in options.rows:
        results = results_of(name, options)
        waiting = [job for job in jobs(name, options) if results.of(job) is None]
        if waiting:
            hours = sum(map(projected_seconds, waiting)) / 3600
            projected = f"; they would take {hours:.1f} hours, by the time of a few steps" if hours else ""
            yield f"{name}: {len(waiting)} jobs have not been run{projected}"


def projected_seconds(job: Job) -> float:
    """Returns the time that the training of a job would take on this machine, 0 for short jobs."""
    if job["row"] in iwae.ROWS:
        return seconds_of_iwae(job["row"]) * job["epochs"] * -(-N // iwae.BATCH_SIZE)
    if job["row"].removesuffix(", alpha 0") == "m2":
        steps = -(-(N - job["labels"]) // BATCH_SIZE)
        return seconds_of_m2(min(BATCH_SIZE, job["labels"])) * job["epochs"] * steps
    return 0.0


@cache
def seconds_of_m2(n_labelled: int) -> float:
    """Measures a step of M2 on a labelled and an unlabelled batch of noise."""
    model = sv.SemiSupervisedVAE.mlp(latent_size=5)
    rng = numpy.random.default_rng(0)
    x = rng.random((n_labelled + BATCH_SIZE, *model.observed_shape), dtype=numpy.float32)
    y = rng.integers(10, size=n_labelled)
    labels = numpy.where(numpy.arange(N) < n_labelled, numpy.arange(N) % 10, -1)
    objective = sv.objectives.semi_supervised(model, labels)
    return _seconds(model, lambda noise: objective.value(x, y, noise, 1, 1.0))


@cache
def seconds_of_iwae(row: str) -> float:
    """Measures a step of a row of benchmarks/iwae.py on images of noise."""
    x = numpy.random.default_rng(0).random((iwae.BATCH_SIZE, 784), dtype=numpy.float32)
    _, name, k = iwae.ROWS[row]
    model = iwae.initial_model(x, 0)
    objective = model.objectives[name](model)
    return _seconds(model, lambda noise: objective.value(x, noise, k, 1.0))


def _seconds(model: Any, objective: Callable[..., Any], n: int = 3) -> float:
    """Returns the mean time of n steps after the first."""
    optimizer, finished = sv.optim.Adam(model.parameters()), []
    for step in range(n + 1):
        value, _ = objective(sv.Noise(0, step))
        sv.grad(-value, optimizer.parameters, out=optimizer.gradients)
        optimizer.step()
        finished.append(time.perf_counter())
    return (finished[-1] - finished[0]) / n


def _over_seeds(results: list[Job | None], figure: str) -> str:
    """Returns the mean and half of its 95 % interval over the results so far, or "" without results."""
    values = [result[figure] for result in results if result is not None]
    if not values:
        return "not run" if results else ""
    text = f"{mean(values):.2f}"
    if len(values) > 1:
        text += f" ± {_half_of_interval(values):.2f}"
    return text + (f" ({len(values)} of {len(results)})" if len(values) < len(results) else "")


def _half_of_interval(values: list[float]) -> float:
    """Returns half of the 95 % interval of the mean, by Student's t."""
    return float(t.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5


def _line(cells: list[str]) -> str:
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"
