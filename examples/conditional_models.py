"""The deck's questions about M2: one conditional model or ten VAEs, the content of z, and the reason for q(z | x, y).

The example uses drawn digits of 14 x 14 binarised pixels, and has three parts:

1. It models p(x | y) by one model, or by a VAE for each class, from 10, 100 and 1,000 digits of each class, and
   compares test bounds of log p(x, y), parameters, and whether a z inferred from one class has the same style in
   another.
2. A linear classifier looks for the class in z, for a VAE, M2 with 100 labels, and M2 with all labels.
3. M2 with 100 labels has q(z | x) in place of q(z | x, y): the bounds, the class in z, and the test error are compared.

It takes about six minutes on one core; with --quick, seconds.

It writes conditional_models.png, latent_classes.png, posteriors_by_class.png, and conditional_models.json.

Source: deck, "Check-in", and "Generative model and inference networks".

Pictures
--------
conditional_models.png : python examples/conditional_models.py
    One conditional model, or a VAE for each class: bounds, and whether a z inferred from one class has the same
    style in another.
latent_classes.png : python examples/conditional_models.py
    The two latent units of a VAE, of M2 with 100 labels, and of M2 with all labels: how much of the class z contains.
posteriors_by_class.png : python examples/conditional_models.py
    Exact posteriors of z given x and y beside an encoder that sees y and one that does not.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

import scratchvae as sv
from pictures.conditional_models import conditional_models
from pictures.latent_planes import latent_planes
from pictures.posterior_contours import posterior_contours
from scratchvae.binarization import binarize
from scratchvae.errors import InputError
from scratchvae.linear import LogisticRegression
from scratchvae.models.decoders import BernoulliDecoder
from scratchvae.models.encoders import GaussianEncoder
from scratchvae.models.vae import log_mean_exp
from scratchvae.objectives import usual_alpha
from scratchvae.plotting import save_figure
from scratchvae.quadrature import divergence_from_posterior, exact_posterior

D, C, HIDDEN = 196, 10, (100,)


class OnePerClass(sv.nn.Module):
    """f(x, y) = sum over k of y_k f_k(x), where y is the indicator of a class, and each class has a network of its own

    x (N, D) and y (..., C), as an encoder takes them, or y and x side by side, (..., C + D), as a decoder does.
    """

    def __init__(self, networks: list[Any]) -> None:
        self.networks = networks

    def __call__(self, x: Any, y: Any = None) -> Any:
        if y is None:
            y, x = x[..., : len(self.networks)], x[..., len(self.networks) :]
        return sum(y[..., k : k + 1] * network(x) for k, network in enumerate(self.networks))


class GivenClass(sv.nn.Module):
    """GivenClass is p(x | y, z) at one y, as the decoder of a VAE."""

    likelihood = sv.distributions.Bernoulli

    def __init__(self, model: sv.SemiSupervisedVAE, y: int) -> None:
        self.model, self.y = model, y

    def __call__(self, z: Any) -> Any:
        return self.model.decode(z, numpy.full(z.shape[:-1], self.y))


def joined(vaes: list[sv.VAE], classifier: Any) -> sv.SemiSupervisedVAE:
    """p(x, y, z) = p(y) p(z) p_y(x | z), with a VAE for each class; a classifier takes the place of q(y | x)"""
    encoder = GaussianEncoder(OnePerClass([vae.encoder.network for vae in vaes]))
    decoder = BernoulliDecoder(OnePerClass([vae.decoder.network for vae in vaes]))
    shape, binarize = vaes[0].observed_shape, vaes[0].binarize
    return sv.SemiSupervisedVAE(classifier, encoder, decoder, len(vaes), vaes[0].latent_size, shape, binarize)


def ignoring_class(model: sv.SemiSupervisedVAE) -> sv.SemiSupervisedVAE:
    """Returns a model with q(z | x) in place of q(z | x, y): the weights V of y are zeros, and no parameters."""
    network = model.encoder.network
    network.class_weight = numpy.zeros_like(network.class_weight.data)
    model.configuration = None
    return model


@dataclass(frozen=True)
class Digits:
    """Digits are rows of 196 grey values with their classes and, for test images, the style factors."""

    x: numpy.ndarray
    y: numpy.ndarray
    validation_x: numpy.ndarray
    validation_y: numpy.ndarray
    test_x: numpy.ndarray
    test_y: numpy.ndarray
    factors: dict[str, numpy.ndarray]

    @classmethod
    def drawn(cls, n: int, n_test: int) -> Digits:
        parts = sv.data.load("drawn-digits")
        x, test_x = (part.images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, D) for part in parts)
        y, test_y = (part.labels for part in parts)
        factors = {name: values[:n_test] for name, values in parts[1].factors.items()}
        return cls(x[:n], y[:n], x[-n_test // 2 :], y[-n_test // 2 :], test_x[:n_test], test_y[:n_test], factors)


def m2(latent_size: int = 8, seed: int = 0) -> sv.SemiSupervisedVAE:
    return sv.SemiSupervisedVAE.mlp(D, C, latent_size, HIDDEN, "relu", binarize="dynamic", seed=seed)


def vae(latent_size: int = 8, seed: int = 0, hidden: tuple[int, ...] = HIDDEN) -> sv.VAE:
    return sv.VAE.mlp(D, latent_size, hidden, binarize="dynamic", seed=seed)


def trained(model: Any, x: numpy.ndarray, validation: numpy.ndarray, epochs: int, n: int, **options: Any) -> Any:
    """Trains a model and returns it as of the epoch that is best on validation images; an epoch has about n steps."""
    rate = sv.optim.ExponentialSchedule(1e-2, 0.1 ** (1 / (epochs * n)))  # to a tenth
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        options = {"validation": validation, "learning_rate": rate, "run_dir": run, "progress": False} | options
        sv.fit(model, x, epochs, len(x) // n, **options)
        return sv.load(run / "best.npz", into=model)


def bounds(model: sv.SemiSupervisedVAE, data: Digits) -> dict[str, numpy.ndarray]:
    """Returns L(x, y) of each test image by ten samples of z, and log p(x, y) by 100 importance samples, in nats."""
    x, y = binarize(data.test_x, "dynamic", sv.Noise(0)), data.test_y
    lower, log_pxy = [], []
    with sv.no_grad():
        for start in range(0, len(x), 100):
            part, noise = (x[start : start + 100], y[start : start + 100]), sv.Noise(0, start)
            lower.append(model.supervised(*part, noise.child("L"), 10))
            log_pxy.append(log_mean_exp(model.joint_log_weights(*part, noise.child("log p"), 100)))
    return {"L(x, y)": numpy.concatenate(lower), "log p(x, y)": numpy.concatenate(log_pxy)}


def summary(values: numpy.ndarray) -> list[float]:
    """Returns the mean and its standard error."""
    return [float(values.mean(dtype=float)), float(values.std(ddof=1, dtype=float) / math.sqrt(len(values)))]


def slant(images: numpy.ndarray) -> numpy.ndarray:
    """slant = -Cov(row, column) / Var(row) of an image's ink, above 0 if it leans right   (..., H, W) -> (...)"""
    row, column = numpy.mgrid[: images.shape[-2], : images.shape[-1]]
    p = images / images.sum(axis=(-2, -1), keepdims=True)
    row, column = (axis - (p * axis).sum(axis=(-2, -1), keepdims=True) for axis in (row, column))
    return -(p * row * column).sum(axis=(-2, -1)) / (p * row**2).sum(axis=(-2, -1))


def ink(images: numpy.ndarray) -> numpy.ndarray:
    """Returns the mean of all pixels, which grows with the thickness of the strokes.   (..., H, W) -> (...)"""
    return images.mean(axis=(-2, -1))


def kept(known: numpy.ndarray, read: numpy.ndarray, labels: numpy.ndarray) -> numpy.ndarray:
    """Returns the correlations of a factor of the sources (N,) with its values in digits generated from their z (N, C).

    A row is a class of the sources, a column a class of the generated digits. With (N, 1), the values are those of the
    sources themselves.   -> (C, C) or (C, 1)
    """
    rows = [labels == k for k in range(C)]
    return numpy.array([[numpy.corrcoef(known[part], column[part])[0, 1] for column in read.T] for part in rows])


def between(correlations: numpy.ndarray) -> list[float]:
    """Returns the mean over pairs of different classes, or over all entries without pairs, and its standard error."""
    different = ~numpy.eye(*correlations.shape, dtype=bool) | (correlations.shape[1] == 1)
    return summary(correlations[different])


def one_of_each(data: Digits) -> list[int]:
    """Returns the rows of one test image of each class."""
    return [int(numpy.flatnonzero(data.test_y == k)[1]) for k in range(C)]


def class_in_z(model: Any, data: Digits) -> float:
    """Returns the share of test images whose class logistic regression finds in means of q(z | x) or q(z | x, y)."""
    pairs = ((data.x, data.y), (data.test_x, data.test_y))
    train, test = (codes(model, x, y).astype(numpy.float64) for x, y in pairs)
    return float(LogisticRegression().fit(train, data.y).score(test, data.test_y))


def codes(model: Any, x: numpy.ndarray, y: numpy.ndarray) -> numpy.ndarray:
    """Returns the means of q(z | x), or of q(z | x, y)."""
    return (model.encode(x, y) if hasattr(model, "n_classes") else model.encode(x)).mean


def one_or_ten(data: Digits, sizes: tuple[int, ...], epochs: int) -> tuple[Any, Any, sv.SemiSupervisedVAE]:
    """Compares one model of p(x | y) with a VAE for each class, by bounds for each number of images and by style."""
    n, results = len(data.x), {}
    for size in sizes:
        rows = sv.data.label_subset(data.y, size) >= 0
        x, y = data.x[rows], data.y[rows]
        again = numpy.resize(numpy.arange(size), n)  # few images are gone through more often, in as many steps
        one = trained(m2(), x[again], data.validation_x, epochs, n // 100, labels=y[again])
        models = {"one conditional model": one}
        for name, hidden in (("ten VAEs", HIDDEN), ("ten VAEs, a tenth as wide", (HIDDEN[0] // C,))):
            vaes = [
                trained(
                    vae(seed=k, hidden=hidden),
                    numpy.resize(x[y == k], (n // C, D)),
                    data.validation_x[data.validation_y == k],
                    epochs,
                    n // 100,
                    seed=k,
                )
                for k in range(C)
            ]
            models[name] = joined(vaes, one.classifier)
        scores = {name: bounds(model, data) for name, model in models.items()}
        results[size // C] = {
            name: {
                "parameters": model.encoder.count() + model.decoder.count(),
                "L(x, y)": summary(scores[name]["L(x, y)"]),
                "log p(x, y)": summary(scores[name]["log p(x, y)"]),
                "above the one model": summary(
                    scores[name]["log p(x, y)"] - scores["one conditional model"]["log p(x, y)"]
                ),
            }
            for name, model in models.items()
        }
        print(json.dumps({size // C: results[size // C]}), flush=True)

    generated = {
        name: models[name].analogies(data.test_x, data.test_y) for name in ("one conditional model", "ten VAEs")
    }
    correlations = {
        factor: {
            name: kept(data.factors[factor], read(pictures.reshape(len(pictures), -1, 14, 14)), data.test_y)
            for name, pictures in ({"test images": data.test_x[:, None]} | generated).items()
        }
        for factor, read in (("slant", slant), ("thickness", ink))
    }
    style = {factor: {name: between(part) for name, part in by.items()} for factor, by in correlations.items()}
    print(json.dumps(style), flush=True)
    rows = one_of_each(data)[1::2]
    figure = conditional_models(
        data.test_x[rows].reshape(-1, 14, 14, 1),
        {name: pictures[rows] for name, pictures in generated.items()},
        "slant",
        {name: correlations["slant"][name] for name in generated},
        {name: {size: by[name]["log p(x, y)"] for size, by in results.items()} for name in models},
    )
    return {"bounds": results, "correlation between different classes": style}, figure, one


def two_encoders(
    data: Digits, draws: int, epochs: int, n_digits: int
) -> tuple[list[dict[str, Any]], Any, list[sv.SemiSupervisedVAE]]:
    """Compares M2 with 100 labels by q(z | x, y) and q(z | x): scores, posteriors by class, and M2 of 2 and 8 units."""
    n, results, planar, kept_models = len(data.x), [], {}, []
    for encoder in ("q(z | x, y)", "q(z | x)"):
        for latent_size, seed in [(8, seed) for seed in range(draws)] + [(2, 0)]:
            model = m2(latent_size, seed) if encoder == "q(z | x, y)" else ignoring_class(m2(latent_size, seed))
            known, alpha = sv.data.label_subset(data.y, 100, seed), usual_alpha(100, n, share=1.0)
            options = {"labels": known, "alpha": alpha, "seed": seed}
            trained(model, data.x, data.validation_x, epochs, n // 100, **options)
            if latent_size == 2:
                planar[encoder] = model
                continue
            scores = {term: summary(values) for term, values in bounds(model, data).items()}
            unsupervised = sv.evaluate(model, data.test_x, 10)
            scores["U(x)"] = [unsupervised["elbo"], unsupervised["elbo_standard_error"]]
            scores["test error"] = sv.classification_error(model, data.test_x, data.test_y)
            scores["class found in z"] = class_in_z(model, data)
            results.append({"encoder": encoder, "draw": seed} | scores)
            print(json.dumps(results[-1]), flush=True)
            if seed == 0:
                kept_models.append(model)
    return results, posteriors_by_class(planar, data, n_digits), [planar["q(z | x, y)"], kept_models[0]]


def posteriors_by_class(models: dict[str, sv.SemiSupervisedVAE], data: Digits, n: int) -> Any:
    """Draws p(z | x, y) by quadrature for n digits at two plausible classes each, and the encoders' q."""
    x = binarize(data.test_x, "dynamic", sv.Noise(0)).astype(numpy.float64)
    log_joint = sv.evaluation.log_joint(next(iter(models.values())), data.test_x, 20)
    likeliest, (second, first) = numpy.argsort(log_joint, axis=1), numpy.sort(log_joint, axis=1)[:, -2:].T
    digits: dict[tuple[int, ...], int] = {}  # by its pair of classes the most doubtful, no class in two pairs
    for i in numpy.argsort(first - second):
        pair = tuple(sorted(likeliest[i, -2:].tolist()))
        if len(digits) < n and not any(set(pair) & set(other) for other in digits):
            digits[pair] = i
    panels = []
    for name, model in models.items():
        model.to(dtype=numpy.float64)
        for pair, i in digits.items():
            row = x[i : i + 1]
            for y in pair:
                conditional = sv.VAE(model.encoder, GivenClass(model, y), 2).to(dtype=numpy.float64)
                exact, q = exact_posterior(conditional, row), model.encode(row, numpy.array([y]))
                gap = divergence_from_posterior(conditional, row, q, exact.log_px)
                panels.append((x[i], exact, {"the encoder's, 90 %": q}, f"{name}, y = {y}: {gap:.2f} nats"))
    title = "$p(z\\,|\\,x, y)$ of a digit that could be either of two, and KL from the encoder's q"
    rows, *columns = zip(*panels, strict=True)
    return posterior_contours(numpy.array(rows), *columns, title, "p(z\\,|\\,x, y)", 2)


def latent_spaces(data: Digits, models: dict[str, list[Any]]) -> tuple[dict[str, dict[str, float]], Any]:
    """Returns the share of classes found in z of two and eight units, and a picture of the two units."""
    found = {name: {model.latent_size: class_in_z(model, data) for model in pair} for name, pair in models.items()}
    first = one_of_each(data)
    planes = {name: codes(pair[0], data.test_x, data.test_y) for name, pair in models.items()}
    captions = [
        f"class found: {100 * by_size[2]:.0f} %; in 8 units: {100 * by_size[8]:.0f} %" for by_size in found.values()
    ]
    means = {name: decoded(pair[0], planes[name][first], data.test_y[first]) for name, pair in models.items()}
    square = {name: part.reshape(-1, 14, 14, 1) for name, part in means.items()}
    x = data.test_x[first].reshape(-1, 14, 14, 1)
    return found, latent_planes(planes, data.test_y, captions, x, square)


def decoded(model: Any, z: numpy.ndarray, y: numpy.ndarray) -> numpy.ndarray:
    """Returns the means of p(x | z), or of p(x | y, z)."""
    return (model.decode(z, y) if hasattr(model, "n_classes") else model.decode(z)).mean


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="One conditional model or ten VAEs? What is in z? Why q(z | x, y)?")
    parser.add_argument("--quick", action="store_true", help="1,000 digits, one epoch, one draw: to see that it works")
    parser.add_argument("--draws", type=int, default=None, help="draws of the labelled digits (3; with --quick 1)")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for the results (figures/)")
    arguments = parser.parse_args(argv)
    n, n_test, sizes, epochs = (
        (1000, 300, (100, 1000), 1) if arguments.quick else (10_000, 2000, (100, 1000, 10_000), 30)
    )
    draws = (1 if arguments.quick else 3) if arguments.draws is None else arguments.draws
    if draws < 1:
        raise InputError("conditional_models", "at least one draw", str(draws))

    data = Digits.drawn(n, n_test)
    results, figures = {}, {}
    results["one or ten"], figures["conditional_models"], one = one_or_ten(data, sizes, epochs)
    results["two encoders"], figures["posteriors_by_class"], few_labels = two_encoders(
        data, draws, epochs, 1 if arguments.quick else 2
    )
    options = {"validation": data.validation_x, "epochs": epochs, "n": n // 100}
    models = {
        "VAE": [trained(vae(latent_size), data.x, **options) for latent_size in (2, 8)],
        "M2, 100 labels": few_labels,
        "M2, all labels": [trained(m2(2), data.x, labels=data.y, **options), one],
    }
    results["class found in z"], figures["latent_classes"] = latent_spaces(data, models)
    print(json.dumps(results["class found in z"]))
    for name, figure in figures.items():
        print(save_figure(figure, arguments.out / f"{name}.png"))
    (arguments.out / "conditional_models.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
