"""Is an image like those that a VAE was trained on? The ELBO of each image as a score, and where that goes wrong.

The package draws three sets of grey 32 x 32 images: digits, faces and street digits. On each of them, a VAE with a
Bernoulli likelihood and a VAE with a Gaussian likelihood with one learned sigma are trained, and the test images of all
three sets are scored by

    ELBO            sv.elbo, for each image; the Gaussian sees dequantised values
    less its best   the Bernoulli ELBO minus sum of x log x + (1 - x) log(1 - x), its maximum for this image
    with its PNG    the ELBO plus the size of the image as a PNG file, in nats: the gain over a general code

AUC is the probability that a test image of the training set scores higher than an image of the other set: at 1 the
score separates them, 1/2 is chance, and below 1/2 the foreign images score higher. The example takes a minute on one
core; with --quick, seconds, and its figures then mean little.

It writes anomalies.png and anomalies.json.

Sources: Nalisnick et al. (2019), "Do deep generative models know what they don't know?"; Serra et al. (2020), "Input
complexity and out-of-distribution detection with likelihood-based generative models", equation 1.

Pictures
--------
anomalies.png : python examples/anomalies.py
    Three scores of test images from three sets, by a VAE of street digits: the ELBO ranks digits above street
    digits.
"""

from __future__ import annotations

import argparse
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
from PIL import Image
from scipy.special import xlogy
from scipy.stats import rankdata

import scratchvae as sv
from pictures.anomalies import anomalies
from scratchvae.plotting import save_figure

SHOWN = "street digits"  # the set of the picture, whose Bernoulli ELBO is the most misleading


def digits(n: int, seed: int) -> numpy.ndarray:
    """Returns drawn digits with a margin of two pixels."""
    return numpy.pad(sv.data.draw_digits(n, seed).images[..., 0], ((0, 0), (2, 2), (2, 2)))


def faces(n: int, seed: int) -> numpy.ndarray:
    """Returns drawn faces in grey, means of 2 x 2 pixels."""
    return sv.data.draw_faces(n, seed).images.mean(axis=3).reshape(n, 32, 2, 32, 2).mean(axis=(2, 4))


def street_digits(n: int, seed: int) -> numpy.ndarray:
    """Returns drawn street digits in grey."""
    return sv.data.draw_street_digits(n, seed).images.mean(axis=3)


SETS: dict[str, Callable[[int, int], numpy.ndarray]] = {
    "digits": digits,
    "faces": faces,
    "street digits": street_digits,
}


def in_8_bits(images: numpy.ndarray) -> numpy.ndarray:
    """Returns values rounded to 0, 1/255, ..., 1.   (N, 32, 32) -> (N, 1024)"""
    return (numpy.rint(255 * images) / 255).astype(numpy.float32).reshape(len(images), -1)


def png_nats(x: numpy.ndarray) -> numpy.ndarray:
    """Returns the size of every image as a PNG file, 8 log 2 nats per byte.   (N, 1024) -> (N,)"""
    sizes = []
    for row in numpy.rint(255 * x).astype(numpy.uint8).reshape(-1, 32, 32):
        file = io.BytesIO()
        Image.fromarray(row).save(file, "png", optimize=True)
        sizes.append(len(file.getvalue()))
    return 8 * math.log(2) * numpy.array(sizes)


def best_bernoulli(x: numpy.ndarray) -> numpy.ndarray:
    """y = sum of x log x + (1 - x) log(1 - x), the largest Bernoulli log p(x), at the mean x.   (N, 1024) -> (N,)"""
    x = x.astype(numpy.float64)
    return (xlogy(x, x) + xlogy(1 - x, 1 - x)).sum(axis=1)


def auc(own: Any, foreign: Any) -> float:
    """AUC = P(own > foreign) + P(own = foreign) / 2 over all pairs, by the sum of the ranks (Mann & Whitney, 1947)"""
    ranks = rankdata(numpy.concatenate([own, foreign]))
    return float((ranks[: len(own)].sum() - len(own) * (len(own) + 1) / 2) / (len(own) * len(foreign)))


def ways(likelihood: str, model: Any, x: numpy.ndarray) -> dict[str, numpy.ndarray]:
    """Returns the scores of 8-bit images by name; familiar images have high scores.   (N, 1024) -> (N,) each"""
    if likelihood == "Gaussian":
        elbo = sv.elbo(model, sv.data.dequantize(x, sv.Noise(1)), n_samples=5)
        return {"ELBO": elbo, "with its PNG": elbo + png_nats(x)}
    elbo = sv.elbo(model, x, n_samples=5)
    return {"ELBO": elbo, "less its best": elbo - best_bernoulli(x), "with its PNG": elbo + png_nats(x)}


def trained(likelihood: str, x: numpy.ndarray, epochs: int) -> sv.VAE:
    """Trains a VAE of 8-bit images, 1024-256-16."""
    if likelihood == "Gaussian":
        model = sv.VAE.mlp(1024, 16, hidden=(256,), likelihood="gaussian", std="learned")
        x = sv.data.dequantize(x, sv.Noise(0))
    else:
        model = sv.VAE.mlp(1024, 16, hidden=(256,))
    sv.fit(model, x, epochs, batch_size=100, learning_rate=2e-3, progress=False)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description="Anomaly scores of a VAE, and where they go wrong.")
    parser.add_argument("--quick", action="store_true", help="200 images and 2 epochs instead of 5,000 and 30")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for the results (figures/)")
    arguments = parser.parse_args()

    n_train, n_test, epochs = (200, 50, 2) if arguments.quick else (5000, 1000, 30)
    train = {name: in_8_bits(draw(n_train, 0)) for name, draw in SETS.items()}
    test = {name: in_8_bits(draw(n_test, 1)) for name, draw in SETS.items()}
    results: list[dict[str, Any]] = []
    shown: dict[str, dict[str, numpy.ndarray]] = {}
    print(f"{'likelihood':11s}{'trained on':15s}{'foreign':15s}{'mean ELBO own':>15s}{'foreign':>14s}  AUC")
    for likelihood in ("Bernoulli", "Gaussian"):
        for own in SETS:
            model = trained(likelihood, train[own], epochs)
            scores = {name: ways(likelihood, model, x) for name, x in test.items()}
            for foreign in [name for name in SETS if name != own]:
                areas = {way: auc(scores[own][way], scores[foreign][way]) for way in scores[own]}
                means = {"own": float(scores[own]["ELBO"].mean()), "foreign": float(scores[foreign]["ELBO"].mean())}
                results.append(
                    {"likelihood": likelihood, "trained_on": own, "foreign": foreign, "elbo": means, "auc": areas}
                )
                line = f"{likelihood:11s}{own:15s}{foreign:15s}{means['own']:15.1f}{means['foreign']:14.1f}  "
                print(line + ", ".join(f"{way} {area:.3f}" for way, area in areas.items()))
            if own == SHOWN:
                for way in ("ELBO", "with its PNG") if likelihood == "Bernoulli" else ("ELBO",):
                    title = f"{likelihood} ELBO" + (" + size of the PNG file" if way != "ELBO" else "")
                    shown[title] = {name: scores[name][way] for name in (own, *SETS)}
    names = list(next(iter(shown.values())))
    areas = {way: {name: auc(of[SHOWN], of[name]) for name in names if name != SHOWN} for way, of in shown.items()}
    images = {name: test[name][:8].reshape(-1, 32, 32, 1) for name in names}
    save_figure(anomalies(images, shown, areas), arguments.out / "anomalies.png")
    (arguments.out / "anomalies.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
