"""Does z hold the style and y the class?

This example trains M2 on digits whose style is known, infers z from each of 200 test digits, and generates it as every
class. A judge, a network trained on other digits and their style, then estimates the class and style of the generated
digits: the class should be the requested one, and the style should be that of the source. A linear classifier also
looks for the class in z alone, for M2 and for a VAE of the same size. It takes three and a half minutes on one core;
with --quick, seconds.

The style is slant, lean and thickness. Digits are drawn slanted and then rotated, and both tilt them: an upright stroke
leans by arctan(slant) + rotation, which is easier to see than the two apart.

A z has the same meaning in two classes only if it is common in both. The KL pulls the z of every class towards the same
prior; its weight of 2 in training strengthens this.

It writes analogies.png (a source in front of its ten classes), style_transfer.png (style of the source against the
style of the generated digits), analogies.json, and the model as analogies.npz.

Source: deck, "Class-conditional simulation", "Style transfer, or visual analogies", and "Check-in", its question on z.

Pictures
--------
analogies.png : python examples/analogies.py
    Test digits in front of a row, and the digits that their z gives as every class: the style stays, the class
    changes.
style_transfer.png : python examples/analogies.py
    Slant, lean and thickness of the source against those read off the generated digits of every other class.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from statistics import mean

import numpy

import scratchvae as sv
from pictures.analogies import style_transfer
from scratchvae import plotting
from scratchvae.errors import InputError

STYLE = ("slant", "lean", "thickness")
BATCH_SIZE = 100


def style_of(data: sv.data.Dataset) -> numpy.ndarray:
    """Returns the style factors of drawn images, in the order of STYLE, (N, 3)."""
    slant, rotation, thickness = (data.factors[name] for name in ("slant", "rotation", "thickness"))
    return numpy.stack([slant, numpy.arctan(slant) + rotation, thickness], axis=1)


def learning_rate(start: float, n: int, epochs: int) -> sv.optim.LinearSchedule:
    """Returns a learning rate that falls from start to 0 at the end of the training."""
    return sv.optim.LinearSchedule(start, 0.0, epochs * math.ceil(n / BATCH_SIZE))


class Judge:
    """Class and style of images, by a network that was trained on images whose class and style are known."""

    def __init__(self, data: sv.data.Dataset, epochs: int) -> None:
        x, y, style = data.images, data.labels, style_of(data)
        self.mean, self.std = style.mean(axis=0), style.std(axis=0)
        style = (style - self.mean) / self.std
        self.network = sv.nn.ConvolutionalNetwork(x.shape[1:], (32, 64), 10 + len(STYLE), sv.Noise(0))
        optimizer = sv.optim.Adam(self.network.parameters(), learning_rate(2e-3, len(x), epochs))
        for epoch in range(epochs):
            for rows in sv.data.minibatches(len(x), BATCH_SIZE, sv.Noise(1, epoch)):
                output = self.network(x[rows])
                log_q = sv.distributions.Categorical(output[:, :10]).log_prob(y[rows])
                squared_error = sv.ops.sum(sv.ops.square(output[:, 10:] - style[rows]), axis=1)
                loss = sv.ops.mean(squared_error - log_q)
                sv.grad(loss, optimizer.parameters, out=optimizer.gradients)
                optimizer.step()

    def __call__(self, images: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Classes (N,) and style (N, 3)."""
        with sv.no_grad():
            output = self.network(images)
        return output[:, :10].argmax(axis=1), output[:, 10:] * self.std + self.mean


def squared_correlation(a: numpy.ndarray, b: numpy.ndarray) -> float:
    return float(numpy.corrcoef(a, b)[0, 1] ** 2)


def r_squared(source: numpy.ndarray, generated: numpy.ndarray, labels: numpy.ndarray) -> dict[str, float]:
    """Returns squared correlations of the sources' style (N, 3) with that of their digits as other classes (N, C, 3).

    The correlation is taken within each generated class, so that a bias of the judge for a class does not count.
    """
    others = [(labels != k, k) for k in range(generated.shape[1])]
    return {
        name: mean(squared_correlation(source[rows, i], generated[rows, k, i]) for rows, k in others)
        for i, name in enumerate(STYLE)
    }


def class_by_z(model: sv.VAE, train: sv.data.Dataset, test: sv.data.Dataset) -> float:
    """Returns the share of test images whose class a linear classifier finds in the mean of q(z | x) or q(z | x, y)."""
    known = hasattr(model, "n_classes")
    codes = [model.encode(part.images, *([part.labels] if known else [])).mean for part in (train, test)]
    linear = sv.nn.Linear(model.latent_size, 10, sv.Noise(0))
    optimizer = sv.optim.Adam(linear.parameters(), learning_rate=0.05)
    for _ in range(300):
        loss = -sv.ops.mean(sv.distributions.Categorical(linear(codes[0])).log_prob(train.labels))
        sv.grad(loss, optimizer.parameters, out=optimizer.gradients)
        optimizer.step()
    with sv.no_grad():
        return float((linear(codes[1]).argmax(axis=1) == test.labels).mean())


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Does z hold the style and y the class?")
    parser.add_argument("--quick", action="store_true", help="4,000 images and few epochs, to see that it works")
    parser.add_argument(
        "--labels", type=int, default=None, help="number of training images that keep their label (all)"
    )
    parser.add_argument("--latent", type=int, default=8, help="number of latent dimensions (8)")
    parser.add_argument("--epochs", type=int, default=None, help="passes over the training images (5; with --quick 2)")
    parser.add_argument("--kl-weight", type=float, default=2.0, help="weight of the KL in training (2)")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for the results (figures/)")
    arguments = parser.parse_args(argv)
    quick = arguments.quick

    n, n_test = (4000, 20) if quick else (60_000, 200)
    train, test = sv.data.draw_digits(n + 2000).cut(n)
    x, labels = train.images, train.labels
    if arguments.labels is not None:
        labels = sv.data.label_subset(labels, arguments.labels)
    epochs = arguments.epochs or (2 if quick else 5)
    options = {"epochs": epochs, "batch_size": BATCH_SIZE, "kl_weight": arguments.kl_weight}
    options["learning_rate"] = learning_rate(3e-3, n, epochs)
    network = {"latent_size": arguments.latent, "channels": (16, 32)}
    model = sv.SemiSupervisedVAE.convolutional(x.shape[1:], **network)
    print(model)
    sv.fit(model, x, labels=labels, **options)
    sv.save(model, arguments.out / "analogies.npz")
    vae = sv.VAE.convolutional(x.shape[1:], **network)
    sv.fit(vae, x, **options)

    judge = Judge(sv.data.draw_digits(n, seed=1), epochs=3)
    sources, source_labels, known = test.images[:n_test], test.labels[:n_test], style_of(test)
    generated = model.analogies(sources, source_labels)
    classes, read = (
        values.reshape(n_test, 10, *values.shape[1:]) for values in judge(generated.reshape(-1, *x.shape[1:]))
    )
    right, others = classes == numpy.arange(10), source_labels[:, None] != numpy.arange(10)
    seen_classes, seen = judge(test.images)
    few, _ = train.cut(10_000)
    transferred = r_squared(known[:n_test], read, source_labels)
    results = {
        "cells of the class asked for": float(right.mean()),
        "of other classes than the source": float(right[others].mean()),
        "R^2 of source and drawn": transferred,
        "R^2 of source and drawn, both as the judge reads them": r_squared(seen[:n_test], read, source_labels),
        "judge on test images": {"classes": float((seen_classes == test.labels).mean())}
        | {f"R^2 of {name}": squared_correlation(known[:, i], seen[:, i]) for i, name in enumerate(STYLE)},
        "test error": sv.classification_error(model, test.images, test.labels),
        "class found in z": {"M2": class_by_z(model, few, test), "VAE": class_by_z(vae, few, test)},
    }
    print(json.dumps(results, indent=2))
    (arguments.out / "analogies.json").write_text(json.dumps(results, indent=2) + "\n")
    first = [int(numpy.flatnonzero(test.labels == k)[1]) for k in range(10)]
    figures = {
        "analogies": plotting.analogies(model, test.images[first], test.labels[first], shades=plotting.Shades.of(x)),
        "style_transfer": style_transfer(
            dict(zip(STYLE, known[:n_test].T, strict=True)),
            dict(zip(STYLE, numpy.moveaxis(read, 2, 0), strict=True)),
            source_labels,
            transferred,
        ),
    }
    for name, figure in figures.items():
        print(plotting.save_figure(figure, arguments.out / f"{name}.png"))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
