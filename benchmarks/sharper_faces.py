"""Which settings of a VAE of faces give sharper samples? The KL's weight, its warm-up, and the deviations of pixels.

usage: python -m benchmarks sharper_faces [--rows NAME ...] [--epochs N] [--data NAME] [--data-dir DIR] [--images N]
                                          [--runs DIR] [--out FILE] [--figure FILE]

The networks, the images and the learning rate are those of examples/faces.py. Every row is scored on the test images:
by the ELBO, in which the KL has the weight 1, and by the Fréchet distance of the logits of images from those of the
test images. The logits are those of a small network that was trained to predict the attributes of the training images.
The images are reconstructions of the test images, means of p(x | z) for z from the prior, and such means for z from a
mixture of Gaussians that `sv.fit_codes` fits to codes of the training images. Sharpness is the mean absolute difference
of neighbouring pixels, as a share of that of the test images. A distance is too large where images are few. An
interrupted training resumes from its run directory in --runs. The picture shows samples of the rows that are asked for.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy
from matplotlib.figure import Figure

import scratchvae as sv
from benchmarks.arguments import parser as options_of
from benchmarks.directions import decoded, encoded, frechet_distance, logits_of, trained_classifier
from benchmarks.jobs import Job, Results, command
from scratchvae import plotting
from scratchvae.errors import InputError, whole_number
from scratchvae.evaluation import bits_per_dimension
from scratchvae.plotting.canvas import show_rows

sys.path.append(str(Path(__file__).parents[1] / "examples"))
import faces as example

PROGRAM = "python -m benchmarks sharper_faces"
ROWS: dict[str, dict[str, Any]] = {
    "KL weight 12": {"std": "learned", "kl_weight": 12.0, "warm_up": False, "clip_norm": None},
    "KL weight 1": {"std": "learned", "kl_weight": 1.0, "warm_up": True, "clip_norm": None},
    "KL weight 1, a sigma for each pixel": {"std": "decoder", "kl_weight": 1.0, "warm_up": True, "clip_norm": 100.0},
}
"""std: as in `sv.VAE.convolutional`. warm_up: whether the weight grows on a line from 0 in the first half of the
steps. clip_norm: as in `sv.fit`; without it the row with a sigma for each pixel does not recover from its first
steps."""
SAMPLES = 2000
"""Images that are drawn for each distance and sharpness."""
BOUNDS = {
    "ELBO, nats": ("elbo", "{:.0f}"),
    "reconstruction, nats": ("reconstruction", "{:.0f}"),
    "KL, nats": ("kl", "{:.0f}"),
    "bits per dimension": ("bits_per_dimension", "{:.3f}"),
}
"""The columns of the first table: the key and the form of a figure."""
PICTURES = {
    "reconstructions": "reconstructions",
    "samples from the prior": "samples_from_the_prior",
    "samples from the mixture": "samples_from_the_mixture",
}
"""The columns of the other tables: the end of the key of their distance and their sharpness."""


def main(arguments: list[str]) -> None:
    """Trains and scores the rows that are asked for, and draws the picture."""
    parser = options_of("sharper_faces", __doc__, "sharper_faces.json")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the training images (default: 20)")
    parser.add_argument("--data", default="faces", help="data set with attributes (default: faces)")
    parser.add_argument("--data-dir", help="folder with the files of the data set (default: $SCRATCHVAE_DATA)")
    parser.add_argument("--images", type=int, default=None, help="use the first N images of both parts (default: all)")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/faces"), help="folder of the run directories (default: %(default)s)"
    )
    parser.add_argument("--figure", type=Path, default=None, help="file of a picture of samples (default: none)")
    options = parser.parse_args(arguments)
    train, test = training_and_test(options)
    results, judge = Results(options.out), cache(partial(judge_of, train))
    model = cache(partial(fitted, images=train.images, options=options))
    for name in options.rows:
        measured = partial(scores, partial(model, name), train, test, judge)
        results.measure(job(name, len(train), options), measured)
    print("\n\n".join("\n".join(table) for table in tables(results.all())))
    if options.figure:
        figure = picture({name: model(name)[0] for name in options.rows}, train.images)
        plotting.save_figure(figure, options.figure)


def training_and_test(options: argparse.Namespace) -> tuple[sv.data.Dataset, sv.data.Dataset]:
    """Returns the training and the test images. Raises InputError for options that no training can follow."""
    whole_number("sharper_faces", "epochs", options.epochs)
    train, test = sv.data.load(options.data, options.data_dir)
    if options.images is not None:
        n = whole_number("sharper_faces", "images", options.images)
        train, test = (part.cut(n)[0] for part in (train, test))
    if len(test) <= len(train.attributes) or not train.attributes:
        expected = "a data set with attributes, and more test images than attributes"
        raise InputError("sharper_faces", expected, f"{len(train.attributes)} attributes, {len(test)} test images")
    return train, test


def judge_of(train: sv.data.Dataset) -> sv.nn.ConvolutionalNetwork:
    """Returns the network whose logits, one for each attribute, stand for what an image shows."""
    attributes = numpy.stack(list(train.attributes.values()), axis=1)
    x = example.with_mirror_images(train.images)
    return trained_classifier(x, numpy.concatenate([attributes, attributes]))


def tables(results: list[Job]) -> list[list[str]]:
    """Returns the bounds, the distances and the sharpnesses of every row, as three tables of lines of Markdown."""
    distances = {name: (f"distance_of_{key}", "{:.1f}") for name, key in PICTURES.items()}
    sharpnesses = {name: (f"sharpness_of_{key}", "{:.2f}") for name, key in PICTURES.items()}
    return [
        _table("bound", BOUNDS, results),
        _table("Fréchet distance", distances, results),
        _table("sharpness", sharpnesses, results),
    ]


def _table(title: str, columns: dict[str, tuple[str, str]], results: list[Job]) -> list[str]:
    """Returns the figures of every row in these columns, each with its key and its form."""
    lines = [f"| {' | '.join([title, *columns])} |", "|---" * (1 + len(columns)) + "|"]
    for result in results:
        lines.append(f"| {' | '.join([result['row'], *(form.format(result[k]) for k, form in columns.values())])} |")
    return lines


def job(name: str, n: int, options: argparse.Namespace) -> Job:
    """Returns the description of a job: one training and its scores."""
    described = {"row": name, "data": options.data, "images": n, "epochs": options.epochs}
    arguments = ["--rows", name, "--epochs", options.epochs, "--data", options.data]
    arguments += [] if options.images is None else ["--images", options.images]
    return described | {"command": command(PROGRAM, arguments)}


def fitted(name: str, images: numpy.ndarray, options: argparse.Namespace) -> tuple[sv.VAE, float]:
    """Trains the model of a row in a run directory from which it can resume. Returns it, and the seconds it took."""
    settings, x = ROWS[name], example.with_mirror_images(images)
    directory = options.runs / name.replace(",", "").replace(" ", "-")
    model = example.initial_model(x.shape[1:], settings["std"])
    warm_up_steps = math.ceil(options.epochs * math.ceil(len(x) / example.BATCH_SIZE) / 2)
    weight = settings["kl_weight"]
    history = sv.fit(
        model,
        x,
        options.epochs,
        example.BATCH_SIZE,
        example.learning_rate(len(x), options.epochs),
        kl_weight=sv.optim.LinearSchedule(0.0, weight, warm_up_steps) if settings["warm_up"] else weight,
        clip_norm=settings["clip_norm"],
        run_dir=directory,
        resume=(directory / "config.json").exists(),
        progress=False,
    )
    return model, sum(history["seconds"])


def scores(
    trained: Callable[[], tuple[sv.VAE, float]],
    train: sv.data.Dataset,
    test: sv.data.Dataset,
    judge: Callable[[], sv.nn.ConvolutionalNetwork],
) -> Job:
    """Returns the scores of the model that trained() gives, by the network that judge() gives."""
    model, seconds = trained()
    x = sv.data.dequantize(test.images, sv.Noise(1))
    found = sv.evaluate(model, x, n_samples=10)
    kept: Job = {key: found[key] for key in ("elbo", "elbo_standard_error", "reconstruction", "kl", "active_units")}
    kept |= {"training_seconds": seconds, "bits_per_dimension": bits_per_dimension(found["elbo"], x[0].size)}
    network = judge()
    of_test, of_training = (logits_of(network, part.images) for part in (test, train))
    kept["distance_of_training_images"] = frechet_distance(of_training, of_test)
    for name, images in {"reconstructions": decoded(model, encoded(model, x)), **samples(model, train.images)}.items():
        kept[f"distance_of_{name}"] = frechet_distance(logits_of(network, images), of_test)
        kept[f"sharpness_of_{name}"] = sharpness(images) / sharpness(test.images)
    return kept


def samples(model: sv.VAE, images: numpy.ndarray, n: int = SAMPLES) -> dict[str, numpy.ndarray]:
    """Returns means of p(x | z) for z from the prior, and for z from a mixture fitted to codes of the images."""
    z = sv.Noise(0).normal("z", (n, model.latent_size))
    codes = sv.fit_codes(model, sv.data.dequantize(images, sv.Noise(0)))
    from_mixture = codes.sample(n).astype(z.dtype)
    return {"samples_from_the_prior": decoded(model, z), "samples_from_the_mixture": decoded(model, from_mixture)}


def sharpness(images: numpy.ndarray) -> float:
    """Returns the mean of |x_(i, j) - x_(i + 1, j)| and |x_(i, j) - x_(i, j + 1)| over pixels and channels."""
    return float(abs(numpy.diff(images, axis=1)).mean() + abs(numpy.diff(images, axis=2)).mean()) / 2


def picture(models: dict[str, sv.VAE], images: numpy.ndarray, n: int = 10) -> Figure:
    """Draws n samples from the prior, and below them n from the mixture, of every model."""
    figure = Figure(figsize=(10, 0.4 + 2.3 * len(models)), layout="constrained", dpi=130)
    for axes, (name, model) in zip(numpy.ravel(figure.subplots(len(models), 1)), models.items(), strict=True):
        drawn = samples(model, images, n)
        show_rows(axes, numpy.concatenate(list(drawn.values())), ["prior", "mixture"], plotting.Shades())
        axes.set_title(name[0].upper() + name[1:], fontsize=14)
    return figure
