"""What are images without labels worth to a classifier?

Of 5,000 small drawn digits only a few keep their label. Three classifiers meet 2,000 others: a network that is trained
on the labelled digits alone; M2, which has the other digits too; and M2 without the term that alpha multiplies, whose
classifier no label reaches directly. Several draws of the labelled digits for each number of labels, mean and 95 %
interval of Student's t. About two minutes on two cores; --quick: seconds.

Leaves label_curve.png, class_samples.png (M2 with the most labels), and semi_supervised.json.

Source: deck, "Learning with labels" to "How good is the classifier?".
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import mean, stdev

import numpy
from scipy.stats import t

import scratchvae as sv
from scratchvae import plotting
from scratchvae.errors import InputError
from scratchvae.models.semisupervised_vae import usual_alpha

METHODS = ("labelled digits alone", "M2", "M2, alpha = 0")


def halved(images: numpy.ndarray) -> numpy.ndarray:
    """Means of 2 x 2 pixels.   (N, 28, 28, 1) -> (N, 14, 14, 1)"""
    return images.reshape(-1, 14, 2, 14, 2, 1).mean(axis=(2, 4))


def trained(method: str, x: numpy.ndarray, labels: numpy.ndarray, epochs: int, seed: int) -> sv.SemiSupervisedVAE:
    """A model of the method; `labels` is -1 where it is not known. Every method takes the same number of steps."""
    model = sv.SemiSupervisedVAE.mlp(x[0].size, latent_size=8, hidden=(100,), activation="relu", seed=seed)
    known = labels >= 0
    options = {"batch_size": 50, "learning_rate": 2e-3, "seed": seed, "progress": False}
    if method == "labelled digits alone":  # J~ of these alone: nothing else reaches the classifier than log q(y | x)
        steps = epochs * -(-int((~known).sum()) // 50)
        epochs = -(-steps // -(-int(known.sum()) // 50))
        sv.fit(model, x[known], epochs=epochs, labels=labels[known], **options)
    else:
        alpha = 0.0 if method == "M2, alpha = 0" else usual_alpha(int(known.sum()), len(x), share=1.0)
        sv.fit(model, x, epochs=epochs, labels=labels, alpha=alpha, **options)
    return model


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What are images without labels worth to a classifier?")
    parser.add_argument("--quick", action="store_true", help="500 digits, two draws, one epoch: to see that it works")
    parser.add_argument("--labels", type=int, nargs="+", help="numbers of labels (50 100 300; with --quick 20 50)")
    parser.add_argument("--draws", type=int, default=None, help="draws of the labelled digits (3; with --quick 2)")
    parser.add_argument("--epochs", type=int, default=None, help="passes over the digits (20; with --quick 1)")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for what this leaves (figures/)")
    arguments = parser.parse_args(argv)
    quick = arguments.quick
    sizes = arguments.labels or ([20, 50] if quick else [50, 100, 300])
    draws, epochs = arguments.draws or (2 if quick else 3), arguments.epochs or (1 if quick else 20)
    if draws < 2:
        raise InputError("semi_supervised", "at least two draws, for an interval", str(draws))

    train, test = sv.data.load("drawn-digits")
    n = 500 if quick else 5000
    x, y, test_x = halved(train.images[:n]), train.labels[:n], halved(test.images)
    results = []
    print(f"{'labels':>8s}{'method':>24s}   test error in percent, mean and half of its 95 % interval")
    for n_labels in sizes:
        for method in METHODS:
            errors = []
            for draw in range(draws):
                model = trained(method, x, sv.data.label_subset(y, n_labels, seed=draw), epochs, seed=draw)
                errors.append(100 * sv.classification_error(model, test_x, test.labels))
                if method == "M2":
                    best = model
            half = float(t.ppf(0.975, draws - 1)) * stdev(errors) / draws**0.5
            results.append({"labels": n_labels, "method": method, "error": mean(errors), "half": half, "all": errors})
            print(f"{n_labels:8d}{method:>24s}   {mean(errors):6.2f} +- {half:.2f}", flush=True)
            arguments.out.mkdir(parents=True, exist_ok=True)
            (arguments.out / "semi_supervised.json").write_text(json.dumps(results, indent=2) + "\n")

    figures = {"label_curve": plotting.label_curve(results), "class_samples": plotting.class_conditional(best)}
    for name, figure in figures.items():
        plotting.save_figure(figure, arguments.out / f"{name}.png")
    print(f"left {', '.join(figures)} in {arguments.out}")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
