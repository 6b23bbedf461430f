"""The effect of a KL floor on SketchRNN: drawn sketches with a floor of 10 nats, without a floor, and a decoder alone.

usage: python -m benchmarks sketches [--epochs N] [--runs DIR] [--out FILE] [--quick]

Each model is trained with the settings of `scratchvae train --model sketch`; an existing run in DIR is resumed.
A classifier that does not see strokes, the five nearest neighbours among 28 x 28 pictures of 4,000 training drawings,
classifies reconstructions of 500 test drawings, at three temperatures, and samples, at five. The table has the share of
reconstructions with the digit of the input, the share of samples for which all five neighbours agree, the same figures
for the test drawings themselves, and the share of samples that end by themselves within 250 points.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy

import scratchvae as sv
from benchmarks.arguments import parser as options_of
from scratchvae.data.drawn_digits import rasterise
from scratchvae.distributions.sketch import n_points
from scratchvae.kinds import KINDS
from scratchvae.kinds.kind import kl_weight, learning_rate
from scratchvae.models.sketch_rnn import LONGEST

SIDE, NEIGHBOURS = 28, 5
MODELS = {"floor of 10 nats": (16, 10.0), "no floor": (16, 0.0), "decoder alone": (0, 0.0)}
READ_AT, SAMPLED_AT = (0.2, 0.5, 1.0), (0.2, 0.4, 0.6, 0.8, 1.0)


def main(arguments: list[str]) -> None:
    parser = options_of("sketches", __doc__, "sketches.json")
    parser.add_argument(
        "--epochs", type=int, default=28, help="number of passes over the training drawings (default: 28)"
    )
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("runs/sketches"),
        help="folder of the run directories (default: runs/sketches)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="use a few drawings and small models, to see that it works"
    )
    options = parser.parse_args(arguments)
    n_train, n_test, n_known, n_scored = (200, 20, 100, 5) if options.quick else (None, 500, 4000, 200)

    train, test = sv.data.load("drawn-sketches")
    x, unseen, labels = train.sketches[:n_train], test.sketches[:n_test], test.labels[:n_test]
    known, classes = pictures(train.sketches[:n_known]), train.labels[:n_known]
    read, agreed = reading(pictures(unseen), known, classes)
    results: dict[str, Any] = {"reader": {"right": percent(read == labels), "agree": percent(agreed)}}
    for name, (latent_size, kl_floor) in MODELS.items():
        sizes = {"encoder_size": 4, "decoder_size": 6, "mixtures": 2} if options.quick else {}
        model = trained(x, latent_size, kl_floor, options.epochs, options.runs / name.replace(" ", "-"), **sizes)
        log_px, error, _ = sv.log_likelihood(model, unseen[:n_scored], 200)
        results[name] = {
            **{key: round(sv.evaluate(model, test.sketches)[key], 2) for key in ("elbo", "kl", "active_units")},
            "elbo_of_the_scored": round(float(sv.elbo(model, unseen[:n_scored], 20).mean()), 2),
            "log_px_of_the_scored": round(float(log_px.mean()), 2),
            "monte_carlo_error": round(float(error.mean()), 2),
        }
        if latent_size:
            drawings = (model.reconstruct(unseen, temperature) for temperature in READ_AT)
            results[name]["read_right"] = [percent(reading(pictures(x), known, classes)[0] == labels) for x in drawings]
        samples = [model.sample(len(unseen), 1, temperature) for temperature in SAMPLED_AT]
        results[name]["samples_agree"] = [percent(reading(pictures(x), known, classes)[1]) for x in samples]
        results[name]["end_by_themselves"] = [percent(n_points(x) < LONGEST) for x in samples]
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=1) + "\n")
        print(f"{name}: {results[name]}", flush=True)


def trained(x: numpy.ndarray, latent_size: int, kl_floor: float, epochs: int, run: Path, **sizes: int) -> sv.SketchRNN:
    """Trains a model of these sketches with the settings of the kind."""
    settings = KINDS["sketch"].complete({option.name: option.default for option in KINDS["sketch"].options})
    model = sv.SketchRNN.lstm(latent_size, **sizes, scale=sv.data.describe_sketches(x)["scale"])
    sv.fit(
        model,
        x,
        epochs,
        settings["batch_size"],
        learning_rate(settings, len(x)),
        kl_weight=kl_weight(settings),
        kl_floor=kl_floor,
        clip_norm=settings["clip_norm"],
        run_dir=run,
        resume=(run / "last.npz").exists(),
        progress=False,
    )
    return model


def pictures(x: numpy.ndarray) -> numpy.ndarray:
    """Draws each sketch with a soft pen three pixels wide in the middle of an image.   (N, T, 5) -> (N, 784)"""
    pen = numpy.full((1, 1), 3.0)
    images = []
    for lines in sv.data.to_lines(x):
        points = numpy.concatenate(lines)
        shift = (SIDE - 1) / 2 - (points.min(axis=0) + points.max(axis=0)) / 2
        images.append(rasterise([(line + shift)[None] for line in lines], pen, pen, SIDE).ravel())
    return numpy.array(images, dtype=numpy.float32)


def reading(images: numpy.ndarray, known: numpy.ndarray, classes: numpy.ndarray) -> tuple[Any, Any]:
    """Returns the most frequent class among the nearest neighbours of each image, and whether all of them have it."""
    distances = (known**2).sum(axis=1) - 2 * images @ known.T
    nearest = classes[numpy.argpartition(distances, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]]
    votes = (nearest[:, :, None] == numpy.arange(10)).sum(axis=1)
    return votes.argmax(axis=1), votes.max(axis=1) == NEIGHBOURS


def percent(truths: numpy.ndarray) -> float:
    """Returns the percentage of true values."""
    return round(100 * float(truths.mean()), 1)
