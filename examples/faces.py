"""Faces: a fully convolutional VAE with a Gaussian likelihood, and the effect of directions in its latent space.

The example trains on CelebA's aligned images, from the files that `sv.data.load("faces")` reads, and on their mirror
images. The KL has the weight 12, so that the latent space of a few thousand faces has no holes. It takes about ten
minutes on two cores for 3,000 faces. --data drawn-faces needs no file; with --quick, it takes seconds, on drawn faces.

It writes samples.png, perturbations.png (the middle of the prior moved along attributes), interpolation.png (between
samples), reconstructions.png (which CelebA's licence does not allow to publish), training_curves.png, faces.json (the
test ELBO in nats and as bits per dimension) and the model as faces.npz.

Source: deck, "Convolutional networks" and "Perturbations in latent space".

Pictures
--------
faces_samples.png : python examples/faces.py
    Samples of a convolutional VAE trained on 3,000 faces and their mirror images.
faces_perturbations.png : python examples/faces.py
    The middle of the prior, moved along the directions of attributes.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import numpy

import scratchvae as sv
from scratchvae import plotting
from scratchvae.errors import InputError
from scratchvae.evaluation import bits_per_dimension
from scratchvae.latent_space import mean_difference
from scratchvae.models.real_decoders import SMALLEST_STD
from scratchvae.optim import LinearSchedule

BATCH_SIZE, KL_WEIGHT = 64, 12.0
MOST_ENCODED = 5000  # images, for the directions

SHOWN = ("Smiling", "Mouth_Slightly_Open", "Male", "Young", "Blond_Hair", "Black_Hair", "Bangs", "Eyeglasses")
"""Of CelebA's 40 attributes; of other data sets all are shown."""


def with_mirror_images(images: numpy.ndarray) -> numpy.ndarray:
    """Returns the images, then their mirror images, as real numbers.   (N, H, W, C) -> (2 N, H, W, C)"""
    return sv.data.dequantize(numpy.concatenate([images, images[:, :, ::-1]]), sv.Noise(0))


def initial_model(image_shape: tuple[int, ...], std: str = "learned") -> sv.VAE:
    """Returns a VAE, p(x | z) = Normal(f(z), sigma^2 I), sigma by `std`; each of four convolutions halves the image."""
    return sv.VAE.convolutional(image_shape, 64, (32, 64, 128, 256), likelihood="gaussian", std=std)


def learning_rate(n: int, epochs: int) -> LinearSchedule:
    """Returns a rate that falls from 1e-3 to 0 over all steps with n images; with a constant rate, scores oscillate."""
    return LinearSchedule(1e-3, 0.0, epochs * math.ceil(n / BATCH_SIZE))


def score(model: sv.VAE, x: numpy.ndarray) -> dict[str, float]:
    """Returns the ELBO of 8-bit images as real numbers, in nats per image and in bits per dimension, and sigma."""
    scores = sv.evaluate(model, x, n_samples=10)
    named = {name: scores[name] for name in ("elbo", "elbo_standard_error", "reconstruction", "kl", "active_units")}
    std = float(model.decode(numpy.zeros((1, model.latent_size), dtype=numpy.float32)).std)
    return named | {"bits_per_dimension": bits_per_dimension(scores["elbo"], x[0].size), "std": std}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train a convolutional VAE on faces, and move them along attributes.")
    parser.add_argument("--quick", action="store_true", help="128 drawn faces and one epoch, to see that it works")
    parser.add_argument("--data", default=None, help="data set with attributes (faces; with --quick drawn-faces)")
    parser.add_argument("--data-dir", default=None, help="folder of the data set's files")
    parser.add_argument(
        "--images", type=int, default=None, help="use the first N training images (all; with --quick 64)"
    )
    parser.add_argument("--epochs", type=int, default=None, help="passes over the training images (20; with --quick 1)")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for the results (figures/)")
    arguments = parser.parse_args(argv)
    quick = arguments.quick
    n = 64 if quick and arguments.images is None else arguments.images
    epochs = (1 if quick else 20) if arguments.epochs is None else arguments.epochs

    if quick and arguments.data is None:
        train, test = sv.data.draw_faces(2 * n).cut(n)
    else:
        train, test = sv.data.load(arguments.data or "faces", arguments.data_dir)
    if not train.attributes:
        raise InputError("faces", "a data set with attributes", repr(arguments.data), "faces or drawn-faces")
    images = train.images[:n]
    attributes = {name: has[: len(images)][:MOST_ENCODED] for name, has in train.attributes.items()}
    shown = [name for name in SHOWN if name in attributes] or list(attributes)
    varied = [name for name in shown if 0 < attributes[name].mean() < 1]
    if not varied:
        raise InputError("faces", "images with and without an attribute", f"{len(images)} that are alike")
    x, x_test = with_mirror_images(images), sv.data.dequantize(test.images[:n], sv.Noise(1))
    model = initial_model(x.shape[1:])
    print(model)
    history = sv.fit(
        model,
        x,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        learning_rate=learning_rate(len(x), epochs),
        kl_weight=KL_WEIGHT,
        validation=x_test,
    )
    sv.save(model, arguments.out / "faces.npz")
    settings = {"epochs": epochs, "kl_weight": KL_WEIGHT, "smallest_std": SMALLEST_STD}
    scores = score(model, x_test) | settings | {"seconds": sum(history["seconds"])}
    (arguments.out / "faces.json").write_text(json.dumps(scores, indent=2) + "\n")
    print(
        f"test ELBO {scores['elbo']:.1f} +- {scores['elbo_standard_error']:.1f} nats, "
        f"{scores['bits_per_dimension']:.3f} bits per dimension, sigma {scores['std']:.4f} (at least {SMALLEST_STD:g})"
    )

    codes = model.encode(images[:MOST_ENCODED]).mean
    directions = {name: mean_difference(codes, attributes[name]) for name in varied}
    z = model.prior.sample(sv.Noise(0).normal("prior", (6, model.latent_size)))
    shades = plotting.Shades.of(x)
    figures = {
        "samples": plotting.samples(model, 64, shades=shades),
        "reconstructions": plotting.reconstructions(model, x_test, shades=shades),
        "perturbations": plotting.attribute_traversal(model, numpy.zeros_like(z[0]), directions, shades=shades),
        "interpolation": plotting.interpolation(model, z[:3], z[3:], shades=shades),
        "training_curves": plotting.training_curves(history),
    }
    for name, figure in figures.items():
        print(plotting.save_figure(figure, arguments.out / f"{name}.png"))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
