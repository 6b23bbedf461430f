"""How much do images without labels help a classifier?

Only a few of 5,000 small drawn digits keep their label. Three classifiers are tested on 2,000 others: a network trained
on the labelled digits alone; M2, which also sees the other digits; and M2 without its classification term, the term
with alpha, so that labels train the classifier only through the bounds. The result is the mean over several draws of
the labelled digits, with a 95 % interval by Student's t. The example takes about two minutes on two cores; with
--quick, seconds.

--data street-digits does the same for house numbers in colour, 32 x 32 x 3, by convolutional networks and a Gaussian
likelihood, without the third classifier; it takes about ten minutes. --data svhn uses photographs, from the files that
`sv.data.load("svhn")` reads.

It writes label_curve.png, class_samples.png and analogies.png (M2 with the most labels), and semi_supervised.json.

Source: deck, "Learning with labels" to "How good is the classifier?".

Pictures
--------
label_curve.png : python examples/semi_supervised.py
    Test error by the number of labels: the labelled digits alone, M2, and M2 without its classification term.
street_analogies.png : python examples/semi_supervised.py --data street-digits
    House numbers, and beside each its z decoded as every class.
street_classes.png : python examples/semi_supervised.py --data street-digits
    Samples of every class of house numbers.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import numpy
from scipy.stats import t

import scratchvae as sv
from scratchvae import plotting
from scratchvae.errors import InputError
from scratchvae.objectives import usual_alpha

METHODS = ("labelled digits alone", "M2", "M2, alpha = 0")


@dataclass(frozen=True)
class Setting:
    """A Setting is the choice of models for one kind of images."""

    labels: tuple[int, ...]
    methods: tuple[str, ...]
    draws: int
    epochs: int
    learning_rate: float
    share: float  # of `usual_alpha`


GREY = Setting((50, 100, 300), METHODS, 3, 20, 2e-3, share=1.0)
COLOUR = Setting((1000,), METHODS[:2], 3, 10, 3e-3, share=100.0)


def halved(images: numpy.ndarray) -> numpy.ndarray:
    """Returns means of 2 x 2 pixels.   (N, 28, 28, 1) -> (N, 14, 14, 1)"""
    return images.reshape(-1, 14, 2, 14, 2, 1).mean(axis=(2, 4))


def untrained(image_shape: tuple[int, ...], seed: int) -> sv.SemiSupervisedVAE:
    """Perceptrons for grey images, convolutions for those in colour."""
    if image_shape[2] == 1:
        size = image_shape[0] * image_shape[1]
        return sv.SemiSupervisedVAE.mlp(size, latent_size=8, hidden=(100,), activation="relu", seed=seed)
    options = {"latent_size": 8, "channels": (16, 32, 64), "likelihood": "gaussian", "std": "learned"}
    return sv.SemiSupervisedVAE.convolutional(image_shape, seed=seed, **options)


def trained(
    method: str, x: numpy.ndarray, labels: numpy.ndarray, epochs: int, seed: int, setting: Setting
) -> sv.SemiSupervisedVAE:
    """Trains a model of the method; unknown `labels` are -1. Every method takes the same number of steps."""
    model, known = untrained(x.shape[1:], seed), labels >= 0
    options = {"batch_size": 50, "learning_rate": setting.learning_rate, "seed": seed, "progress": False}
    if method == "labelled digits alone":  # J~ of these alone: nothing else reaches the classifier than log q(y | x)
        steps = epochs * -(-int((~known).sum()) // 50)
        epochs = -(-steps // -(-int(known.sum()) // 50))
        sv.fit(model, x[known], epochs=epochs, labels=labels[known], **options)
    else:
        alpha = 0.0 if method == "M2, alpha = 0" else usual_alpha(int(known.sum()), len(x), setting.share)
        sv.fit(model, x, epochs=epochs, labels=labels, alpha=alpha, **options)
    return model


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What are images without labels worth to a classifier?")
    parser.add_argument("--quick", action="store_true", help="500 digits, two draws, one epoch: to see that it works")
    parser.add_argument("--data", default="drawn-digits", help="name or path of a data set (default: drawn-digits)")
    parser.add_argument("--data-dir", default=None, help="folder of the data set's files")
    parser.add_argument("--labels", type=int, nargs="+", help="numbers of labels (50 100 300; in colour 1000)")
    parser.add_argument("--draws", type=int, default=None, help="draws of the labelled digits (3; with --quick 2)")
    parser.add_argument(
        "--epochs", type=int, default=None, help="passes over the digits (20; in colour 10; with --quick 1)"
    )
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for the results (figures/)")
    arguments = parser.parse_args(argv)
    quick = arguments.quick
    if quick and arguments.data == "street-digits":
        train, test = sv.data.draw_street_digits(250).cut(200)
    else:
        train, test = sv.data.load(arguments.data, arguments.data_dir)
    n, in_colour = (500 if quick else 5000), train.images.shape[-1] > 1
    setting = COLOUR if in_colour else GREY
    sizes = arguments.labels or ([20, 50] if quick else setting.labels)
    draws, epochs = (
        arguments.draws or (2 if quick else setting.draws),
        arguments.epochs or (1 if quick else setting.epochs),
    )
    if draws < 2:
        raise InputError("semi_supervised", "at least two draws, for an interval", str(draws))

    x, y, test_x = train.images[:n], train.labels[:n], test.images
    if not in_colour:
        x, test_x = halved(x), halved(test_x)
    results = []
    print(f"{'labels':>8s}{'method':>24s}   test error in percent, mean and half of its 95 % interval")
    for n_labels in sizes:
        for method in setting.methods:
            errors = []
            for draw in range(draws):
                model = trained(method, x, sv.data.label_subset(y, n_labels, seed=draw), epochs, draw, setting)
                errors.append(100 * sv.classification_error(model, test_x, test.labels))
                if method == "M2":
                    best = model
            half = float(t.ppf(0.975, draws - 1)) * stdev(errors) / draws**0.5
            results.append({"labels": n_labels, "method": method, "error": mean(errors), "half": half, "all": errors})
            print(f"{n_labels:8d}{method:>24s}   {mean(errors):6.2f} +- {half:.2f}", flush=True)
            arguments.out.mkdir(parents=True, exist_ok=True)
            (arguments.out / "semi_supervised.json").write_text(json.dumps(results, indent=2) + "\n")

    rows = [int(numpy.argmax(test.labels == k)) for k in range(best.n_classes)]  # the first of every class
    shades = plotting.Shades.of(x)
    figures = {
        "label_curve": plotting.label_curve(results),
        "class_samples": plotting.class_conditional(best, image_shape=x.shape[1:], shades=shades),
        "analogies": plotting.analogies(best, test_x[rows], test.labels[rows], shades=shades),
    }
    for name, figure in figures.items():
        print(plotting.save_figure(figure, arguments.out / f"{name}.png"))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
