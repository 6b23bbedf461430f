"""A smoke test: every kind of model is trained for a few steps on a device, scored, sampled, saved and resumed."""

from __future__ import annotations

import math
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy

import scratchvae as sv
from benchmarks.rows import Rows, settings
from scratchvae.capture import CaptureWarning

Example = tuple[Any, Any, dict[str, Any]]
"""A model on the CPU, its data of n rows, and what `fit` is told besides."""


def _digits(n: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Returns n images and the labels of half of them, -1 for the others."""
    drawn = sv.data.draw_digits(n)
    return drawn.images, numpy.where(numpy.arange(n) < n // 2, drawn.labels, -1)


def multilayer(n: int) -> Example:
    """Returns the VAE 784-400-20 with pixels drawn anew at every step."""
    return sv.VAE.mlp(binarize="dynamic"), _digits(n)[0], {}


def gaussian(n: int) -> Example:
    """Returns the same network with a Gaussian likelihood whose deviation the decoder gives, and a clipped gradient."""
    return sv.VAE.mlp(likelihood="gaussian", std="decoder"), _digits(n)[0], {"clip_norm": 5.0, "kl_floor": 1.0}


def convolutional(n: int) -> Example:
    """Returns the convolutional VAE of 28 x 28 images."""
    return sv.VAE.convolutional(), _digits(n)[0], {}


def importance_weighted(n: int) -> Example:
    """Returns the multilayer VAE with the importance-weighted bound of five draws."""
    return sv.VAE.mlp(), _digits(n)[0], {"objective": "iwae", "n_samples": 5}


def m2(n: int) -> Example:
    """Returns M2 with the labels of half of the images."""
    images, labels = _digits(n)
    return sv.SemiSupervisedVAE.mlp(binarize="dynamic"), images, {"labels": labels}


def convolutional_m2(n: int) -> Example:
    """Returns M2 with convolutional networks."""
    images, labels = _digits(n)
    return sv.SemiSupervisedVAE.convolutional(channels=(8, 16)), images, {"labels": labels}


def m1_m2(n: int) -> Example:
    """Returns M2 on ten latent units of an untrained VAE."""
    images, labels = _digits(n)
    return sv.StackedVAE.mlp(sv.VAE.mlp(), range(10)), images, {"labels": labels}


def sketch(n: int, layer_norm: bool = False) -> Example:
    """Returns SketchRNN with dropout and augmented sketches."""
    x = sv.data.draw_sketches(n).sketches
    options = {"layer_norm": layer_norm, "keep": 0.9, "random_scale": 0.15, "drop_points": 0.1}
    model = sv.SketchRNN.lstm(scale=sv.data.describe_sketches(x)["scale"], **options)
    return model, x, {"kl_floor": 0.2, "clip_norm": 5.0}


def molecules(n: int, encoder: str = "convolutional") -> Example:
    """Returns MoleculeVAE with the number of oxygen atoms as a property, unknown for every tenth string."""
    strings = sv.data.draw_molecules(n)
    oxygens = numpy.array([string.upper().count("O") for string in strings], dtype=float)
    oxygens[::10] = numpy.nan
    model = sv.MoleculeVAE.gru(sv.Alphabet.of(strings).symbols, encoder=encoder, properties=["oxygens"])
    return model, strings, {"properties": {"oxygens": oxygens}}


def table(n: int) -> Example:
    """Returns TableVAE of a number, a count and two categories, with a fifth of the entries missing."""
    rng = numpy.random.default_rng(0)
    x = numpy.stack([rng.standard_normal(n), rng.poisson(3, n), rng.integers(0, 2, n), rng.integers(0, 3, n)], axis=1)
    x[rng.random(x.shape) < 0.2] = numpy.nan
    columns = [sv.data.Column("number"), sv.data.Column("count", "count")]
    columns += [sv.data.Column("pair", "category", ("a", "b")), sv.data.Column("three", "category", ("a", "b", "c"))]
    return sv.TableVAE.mlp(columns, missing=True), x, {}


EXAMPLES: dict[str, Callable[[int], Example]] = {
    "MLP VAE": multilayer,
    "Gaussian MLP VAE": gaussian,
    "convolutional VAE": convolutional,
    "importance-weighted VAE": importance_weighted,
    "M2": m2,
    "convolutional M2": convolutional_m2,
    "M1+M2": m1_m2,
    "SketchRNN": sketch,
    "SketchRNN, layer normalisation": partial(sketch, layer_norm=True),
    "MoleculeVAE": molecules,
    "MoleculeVAE, recurrent encoder": partial(molecules, encoder="recurrent"),
    "TableVAE": table,
}


def trained(make: Callable[[int], Example], device: str, n: int, batch_size: int) -> dict[str, Any]:
    """Returns figures of `fit`, `evaluate` and a sample. Raises ArithmeticError for a figure that is not finite."""
    model, x, options = make(n)
    started = time.perf_counter()
    history = sv.fit(model, x, 2, batch_size, device=device, progress=False, **options)
    scores = sv.evaluate(model, x[:20])
    sample = model.sample(2)
    figures = {"first ELBO": history["elbo"][0], "last ELBO": history["elbo"][-1], "evaluated": scores["elbo"]}
    if model.device != device or len(sample) != 2 or not all(map(math.isfinite, figures.values())):
        raise ArithmeticError(f"model on {model.device}, {len(sample)} samples, {figures}")
    return figures | {"seconds": time.perf_counter() - started}


def resumed(device: str, n: int, batch_size: int) -> dict[str, Any]:
    """Returns the difference of a run resumed after its first epoch from a whole run, and a checkpoint's device."""
    x, parameters = _digits(n)[0], []
    with tempfile.TemporaryDirectory() as folder:
        for name, stages in (("at once", [2]), ("resumed", [1, 2])):
            for epochs in stages:
                model = sv.VAE.mlp(binarize="dynamic")
                options = {"device": device, "run_dir": Path(folder) / name, "resume": epochs != stages[0]}
                sv.fit(model, x, epochs, batch_size, progress=False, **options)
            parameters.append([sv.to_numpy(parameter.data) for parameter in model.parameters()])
        home = sv.load(Path(folder) / "resumed" / "last.npz")
    difference = float(numpy.max([abs(a - b).max() for a, b in zip(*parameters, strict=True)]))
    if home.device != "cpu" or not difference < 1e-3:  # sums on a GPU need not come in the same order
        raise ArithmeticError(f"parameters differ by {difference:g}, a checkpoint loads on {home.device}")
    return {"parameters differ by": difference}


def main(arguments: list[str]) -> None:
    """Prints a row for every example, and for a resumed run."""
    chosen = settings("smoke", __doc__, arguments)
    rows, (n, batch_size) = Rows(chosen.out), (40, 20) if chosen.quick else (512, 128)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sv.PosteriorCollapseWarning)  # a few steps teach no model
        warnings.simplefilter("default", CaptureWarning)  # some models cannot be captured
        for name, make in EXAMPLES.items():
            rows.attempt(name, partial(trained, make, chosen.device, n, batch_size))
        rows.attempt("resumed run", partial(resumed, chosen.device, n, batch_size))
    rows.finish()
