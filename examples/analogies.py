"""Does z hold the style and y the class?

Trains M2 on digits whose style factors are known, infers z from each of 200 test digits, and draws it as every class.
A judge, a network trained on the factors themselves, then reads class, slant and thickness off the drawn digits: the
class should be the one that was asked for, slant and thickness those of the source. And a linear classifier looks for
the class in z alone, of M2 and of a VAE of the same size. About two minutes on two cores; --quick: seconds.

Leaves analogies.png (a source in front of its ten classes), style_transfer.png (style of the source against that of the
drawn digits), analogies.json, and the model as analogies.npz.

Source: deck, "Class-conditional simulation", "Style transfer, or visual analogies", and of the "Check-in" the question
what z will look like.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import mean

import numpy

import scratchvae as sv
from scratchvae import plotting
from scratchvae.errors import InputError

STYLE = ("slant", "thickness")


class Judge:
    """Class and style of images, by a network that was trained on images whose class and style are known."""

    def __init__(self, data: sv.data.Dataset, epochs: int) -> None:
        style = numpy.stack([data.factors[name] for name in STYLE], axis=1)
        self.mean, self.std = style.mean(axis=0), style.std(axis=0)
        x, y, style = data.images.reshape(len(data), -1), data.labels, (style - self.mean) / self.std
        self.network = sv.nn.MLP([x.shape[1], 256, 10 + len(STYLE)], sv.Noise(0))
        optimizer = sv.optim.Adam(self.network.parameters(), learning_rate=1e-3)
        for epoch in range(epochs):
            for rows in sv.data.minibatches(len(x), 100, sv.Noise(1, epoch)):
                output = self.network(x[rows])
                log_q = sv.distributions.Categorical(output[:, :10]).log_prob(y[rows])
                squared_error = sv.ops.sum(sv.ops.square(output[:, 10:] - style[rows]), axis=1)
                loss = sv.ops.mean(squared_error - log_q)
                sv.grad(loss, optimizer.parameters, out=optimizer.gradients)
                optimizer.step()

    def __call__(self, images: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Classes (N,) and style (N, 2)."""
        with sv.no_grad():
            output = self.network(images.reshape(len(images), -1))
        return output[:, :10].argmax(axis=1), output[:, 10:] * self.std + self.mean


def r_squared(source: numpy.ndarray, drawn: numpy.ndarray, labels: numpy.ndarray) -> float:
    """Squared correlation of the sources' factor (N,) with that of the digits drawn as another class (N, C), the mean
    over the classes drawn: whatever the judge sees in all digits of a class alike does not count.
    """
    columns = [(labels != k, drawn[:, k]) for k in range(drawn.shape[1])]
    return mean(float(numpy.corrcoef(source[rows], column[rows])[0, 1] ** 2) for rows, column in columns)


def class_by_z(model: sv.VAE, train: sv.data.Dataset, test: sv.data.Dataset) -> float:
    """The share of test images whose class a linear classifier finds in the mean of q(z | x), or q(z | x, y) at y."""
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
    parser.add_argument("--quick", action="store_true", help="2,000 images and few epochs, to see that it works")
    parser.add_argument("--labels", type=int, default=None, help="training images that keep their label (all)")
    parser.add_argument("--latent", type=int, default=8, help="latent dimensions (8)")
    parser.add_argument("--epochs", type=int, default=None, help="passes over the training images (25; with --quick 2)")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for what this leaves (figures/)")
    arguments = parser.parse_args(argv)
    quick = arguments.quick

    train, test = sv.data.load("drawn-digits")
    n_train, n_test = (2000, 20) if quick else (None, 200)
    x, labels = train.images[:n_train], train.labels[:n_train]
    if arguments.labels is not None:
        labels = sv.data.label_subset(labels, arguments.labels)
    model = sv.SemiSupervisedVAE.mlp(x[0].size, latent_size=arguments.latent, hidden=(400, 200), activation="relu")
    print(model)
    options = {"epochs": arguments.epochs or (2 if quick else 25), "batch_size": 100}
    sv.fit(model, x, labels=labels, **options)
    sv.save(model, arguments.out / "analogies.npz")
    vae = sv.VAE.mlp(x[0].size, latent_size=arguments.latent, hidden=(400, 200))
    sv.fit(vae, x, **options)

    judge = Judge(train, epochs=1 if quick else 10)
    sources, source_labels = test.images[:n_test], test.labels[:n_test]
    drawn = model.analogies(sources, source_labels)
    classes, style = judge(drawn.reshape(-1, x[0].size))
    wanted = numpy.tile(numpy.arange(10), len(sources))
    others = wanted != numpy.repeat(source_labels, 10)
    real_classes, real_style = judge(test.images)
    known = {name: test.factors[name][:n_test] for name in STYLE}
    seen = {name: real_style[:n_test, i] for i, name in enumerate(STYLE)}
    read = {name: style[:, i].reshape(-1, 10) for i, name in enumerate(STYLE)}
    transferred = {name: r_squared(known[name], read[name], source_labels) for name in STYLE}
    results = {
        "cells of the class asked for": float((classes == wanted).mean()),
        "of other classes than the source": float((classes == wanted)[others].mean()),
        "R^2 of source and drawn": transferred,
        "R^2 of source and drawn, both as the judge reads them": {
            name: r_squared(seen[name], read[name], source_labels) for name in STYLE
        },
        "judge on test images": {"classes": float((real_classes == test.labels).mean())}
        | {
            f"R^2 of {name}": float(numpy.corrcoef(test.factors[name], real_style[:, i])[0, 1] ** 2)
            for i, name in enumerate(STYLE)
        },
        "test error": sv.classification_error(model, test.images, test.labels),
        "class found in z": {"M2": class_by_z(model, train, test), "VAE": class_by_z(vae, train, test)},
    }
    print(json.dumps(results, indent=2))
    (arguments.out / "analogies.json").write_text(json.dumps(results, indent=2) + "\n")
    first = [int(numpy.flatnonzero(test.labels == k)[1]) for k in range(10)]
    figures = {
        "analogies": plotting.analogies(model, test.images[first], test.labels[first]),
        "style_transfer": plotting.style_transfer(known, read, source_labels, transferred),
    }
    for name, figure in figures.items():
        plotting.save_figure(figure, arguments.out / f"{name}.png")
    print(f"left {', '.join(figures)} in {arguments.out}")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
