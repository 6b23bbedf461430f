"""Why M2 gains little from unlabelled street digits, and why a VAE draws them in grey: settings on held-out images.

usage: python -m benchmarks colour [--rows NAME ...] [--seeds SEED ...] [--out FILE] [--figure FILE]

The first 5,000 street digits of the training set are trained on, of which the semi-supervised rows label 1,000, and the
next 2,000 are held out; the test set is not touched. Images are 16 x 16 x 3, means of 2 x 2 pixels. Every result is
written to its file at once, with its command, and is not measured again. --figure trains the rows once more, with the
first seed, and draws reconstructions and samples.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy
from matplotlib.figure import Figure

import scratchvae as sv
from benchmarks.arguments import parser as options_of
from benchmarks.jobs import Job, Results, command
from scratchvae import plotting
from scratchvae.errors import InputError
from scratchvae.plotting.canvas import show_rows

PROGRAM = "python -m benchmarks colour"
N, HELD_OUT, LABELS, SIDE = 5000, 2000, 1000, 16
SCORED = 1000
"""Held-out images that are decoded."""
AXES = numpy.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]]) / numpy.sqrt([[3], [2], [6]])
"""Orthonormal axes of the three channels: luma, and two of chroma."""
COMMON: dict[str, Any] = {
    "kind": "vae",
    "whitening": 0.0,
    "latent_size": 8,
    "std": "learned",
    "share": 100.0,
    "epochs": 10,
    "learning_rate": 3e-3,
    "components": 0,
    "sees_images": False,
}
"""whitening: w of `Prepared`. share: alpha = share N / N^s, as in `scratchvae.objectives.usual_alpha`, whose usual
share is 0.1. components: of a PCA whose coordinates, each with variance 1, a perceptron takes; 0 means images.
sees_images: whether q(y given x) takes the images of red, green and blue where the data are whitened."""
ROWS: dict[str, dict[str, Any]] = {
    "linear": {"kind": "linear", "epochs": 0},
    "linear, 32 units": {"kind": "linear", "epochs": 0, "latent_size": 32},
    "linear, whitened": {"kind": "linear", "epochs": 0, "whitening": 1.0},
    "VAE": {},
    "VAE, half whitened": {"whitening": 0.5},
    "VAE, whitened": {"whitening": 1.0},
    "labelled": {"kind": "labelled"},
    "labelled, whitened": {"kind": "labelled", "whitening": 1.0},
    "M2": {"kind": "m2"},
    "M2, alpha / 10": {"kind": "m2", "share": 10.0},
    "M2, alpha x 10": {"kind": "m2", "share": 1000.0},
    "M2, sigma 0.25": {"kind": "m2", "std": 0.25},
    "M2, sigma 0.5": {"kind": "m2", "std": 0.5},
    "M2, half whitened": {"kind": "m2", "whitening": 0.5},
    "M2, whitened": {"kind": "m2", "whitening": 1.0},
    "M2, whitened, classifier of images": {"kind": "m2", "whitening": 1.0, "sees_images": True},
    "labelled, PCA": {"kind": "labelled", "components": 100},
    "M2, PCA": {"kind": "m2", "components": 100},
    "M1+M2": {"kind": "m1+m2", "latent_size": 32, "share": 10.0},
    "M1+M2, whitened": {"kind": "m1+m2", "whitening": 1.0, "latent_size": 32, "share": 10.0},
}
FIGURES = {
    "error_by_bound": "{:.1f}",
    "margin_of_bound": "{:.1f}",
    "error_of_logistic_regression_on_z": "{:.1f}",
    "from_grey_in_reconstructions": "{:.3f}",
    "from_grey_in_samples": "{:.3f}",
    "explained_luma": "{:.0f}",
    "explained_chroma": "{:.0f}",
}
"""What the table shows of a result."""


def main(arguments: list[str]) -> None:
    """Train and score the rows that are asked for."""
    parser = options_of("colour", __doc__, "colour.json")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="(default: 0)")
    parser.add_argument(
        "--figure", type=Path, default=None, help="draw reconstructions and samples of --rows into this file"
    )
    options = parser.parse_args(arguments)
    without = [name for name in options.rows if options.figure and not draws_images(COMMON | ROWS[name])]
    if without:
        raise InputError(
            "colour", "a figure of rows that draw images", f"also {', '.join(without)}", "--rows names them"
        )
    drawn = sv.data.draw_street_digits(N + HELD_OUT)
    images = drawn.images.reshape(-1, SIDE, 2, SIDE, 2, 3).mean(axis=(2, 4))
    results = Results(options.out)
    for name in options.rows:
        for seed in options.seeds:
            measured = partial(measure, name, seed, images, drawn.labels)
            results.measure(job(name, seed), measured)
    print("\n".join(table(results.all())))
    if options.figure:
        plotting.save_figure(picture(options.rows, options.seeds[0], images, drawn.labels), options.figure)


def table(results: list[Job]) -> list[str]:
    """Figures of every row by its present settings, as Markdown: errors of all seeds, and the others of the first."""
    lines = [
        "| row | error, % | of argmax L, % | margin, nats | of z, % | reconstructions | samples | luma, % | chroma, % |"
        " ELBO, nats |"
    ]
    lines.append("|---" * 10 + "|")
    for name in ROWS:
        of_name = [result for result in results if job(name, result["seed"]).items() <= result.items()]
        if not of_name:
            continue
        of_name.sort(key=lambda result: result["seed"])
        first = of_name[0]
        shown = [name, ", ".join(f"{result['error']:.2f}" for result in of_name if "error" in result)]
        for key, form in FIGURES.items():
            shown.append(form.format(first[key] * (100 if "explained" in key else 1)) if key in first else "")
        shown.append(f"{first.get('elbo', first.get('log_px')):.0f}" if {"elbo", "log_px"} & first.keys() else "")
        lines.append(f"| {' | '.join(shown)} |".replace("|  |", "| |").replace("|  |", "| |"))
    return lines


def job(name: str, seed: int) -> Job:
    """One training and its scores: a row whose settings or numbers of images change is another job."""
    images = {"images": N, "held_out": HELD_OUT, "labels": LABELS, "side": SIDE, "scored": SCORED}
    described = {"row": name, "seed": seed, "settings": COMMON | ROWS[name], "data": images}
    return described | {"command": command(PROGRAM, ["--rows", name, "--seeds", seed])}


def measure(name: str, seed: int, images: numpy.ndarray, y: numpy.ndarray) -> dict[str, Any]:
    """Train a row's model and score it."""
    started, settings = time.process_time(), COMMON | ROWS[name]
    data = Prepared(images, settings)
    found: dict[str, Any]
    if settings["kind"] == "linear":
        found = linear(images, data, settings["latent_size"])
        return {"cpu_seconds": round(time.process_time() - started, 1)} | found
    model = trained(settings, data, y, seed)
    found = {"cpu_seconds": round(time.process_time() - started, 1)}
    held, held_y = data.x[N:], y[N:]
    if settings["kind"] != "vae":
        found["error"] = 100 * sv.classification_error(model, held, held_y)
    if settings["kind"] == "labelled":
        return found
    if settings["kind"] == "m2":
        found |= by_bound(model, held, held_y)
    z = numpy.concatenate([model.encode(data.x[i : i + 1000]).mean for i in range(0, len(y), 1000)])
    predicted = sv.linear.LogisticRegression().fit(z[:N], y[:N]).predict(z[N:])
    found["error_of_logistic_regression_on_z"] = 100 * float((predicted != held_y).mean())
    return found | (colour(model, images, data) if not settings["components"] else {})


class Prepared:
    """The data of a row: the images, x = (channels - their mean) A' / s^w, or coordinates of a PCA with variance 1.

    s: the standard deviations of the training pixels on the AXES A. w: 1 whitens the channels, 0 leaves the images.
    """

    def __init__(self, images: numpy.ndarray, settings: dict[str, Any]) -> None:
        pixels = images[:N].reshape(-1, 3)
        self.mean, self.matrix = numpy.zeros(3, "f"), numpy.eye(3, dtype="f")
        if settings["whitening"]:
            self.mean = pixels.mean(axis=0)
            self.matrix = (AXES.T / (pixels @ AXES.T).std(axis=0) ** settings["whitening"]).astype("f")
        self.x = (images - self.mean) @ self.matrix
        if settings["components"]:
            rows = images.reshape(len(images), -1)
            pca = sv.linear.PCA(settings["components"]).fit(rows[:N])
            self.x = pca.transform(rows) / numpy.sqrt(pca.explained_variance_)

    @property
    def log_volume(self) -> float:
        """log p(image) - log p(x), for densities."""
        return SIDE**2 * float(numpy.log(abs(numpy.linalg.det(self.matrix))))

    def back(self, x: numpy.ndarray) -> numpy.ndarray:
        """Images of red, green and blue."""
        return x @ numpy.linalg.inv(self.matrix) + self.mean


class SeesImages(sv.nn.Module):
    """f(x A'^-1 s^w + mean): undoes the whitening, then applies a network of red, green and blue images."""

    def __init__(self, network: sv.nn.Module, data: Prepared) -> None:
        self.network, self.back = network, data.back

    def __call__(self, x: Any) -> Any:
        return self.network(self.back(x))


def trained(settings: dict[str, Any], data: Prepared, y: numpy.ndarray, seed: int) -> Any:
    """A model of the first N rows; labels are drawn by the seed, as are parameters and noise."""
    x, known = data.x[:N], sv.data.label_subset(y[:N], LABELS, seed) >= 0
    fit = {"batch_size": 50, "learning_rate": settings["learning_rate"], "seed": seed, "progress": False}
    labels, alpha = numpy.where(known, y[:N], -1), sv.objectives.usual_alpha(LABELS, N, settings["share"])
    options = {"likelihood": "gaussian", "std": settings["std"], "seed": seed}
    network = {"latent_size": settings["latent_size"], "channels": (16, 32)} | options
    if settings["kind"] in ("vae", "m1+m2"):
        model: Any = sv.VAE.convolutional((SIDE, SIDE, 3), **network)
        sv.fit(model, x, settings["epochs"], **fit)
        if settings["kind"] == "m1+m2":
            units = sv.active_units(model, x)
            model = sv.StackedVAE.mlp(model, units, latent_size=8, hidden=(200,), seed=seed)
            sv.fit(model, x, settings["epochs"], labels=labels, alpha=alpha, **fit)
        return model
    if settings["components"]:
        model = sv.SemiSupervisedVAE.mlp(x.shape[1], latent_size=settings["latent_size"], hidden=(200,), **options)
    else:
        model = sv.SemiSupervisedVAE.convolutional((SIDE, SIDE, 3), **network)
    if settings["sees_images"]:
        model.classifier.network = SeesImages(model.classifier.network, data)
    if settings["kind"] == "labelled":  # as many steps as M2 takes: an epoch of M2 passes once over the unlabelled rows
        steps = settings["epochs"] * -(-(N - LABELS) // 50)
        sv.fit(model, x[known], steps // (LABELS // 50), labels=y[:N][known], **fit)
    else:
        sv.fit(model, x, settings["epochs"], labels=labels, alpha=alpha, **fit)
    return model


def linear(images: numpy.ndarray, data: Prepared, k: int) -> dict[str, float]:
    """The best linear decoder: PPCA's maximum of the likelihood, from the eigenvalues of the covariance matrix.

    W has the eigenvectors of the k largest eigenvalues, and sigma^2 is the mean of the others; of the training images.
    The variances are sums over the pixels of red, green and blue.
    Source: Tipping & Bishop (1999), "Probabilistic principal component analysis", equations 7 and 8.
    """
    rows = data.x[:N].reshape(N, -1).astype(float)
    mean, d = rows.mean(axis=0), rows.shape[1]
    values, vectors = numpy.linalg.eigh((rows - mean).T @ (rows - mean) / N)
    variance, vectors = values[: d - k].mean(), vectors[:, d - k :]
    log_volume = numpy.log(values[d - k :]).sum() + (d - k) * numpy.log(variance)
    decoded = (mean + (rows - mean) @ vectors @ vectors.T).reshape(N, SIDE, SIDE, 3)
    explained = explained_shares(images[:N], data.back(decoded), images[:N].mean(axis=0))
    squares = (((images[:N] - images[:N].mean(axis=0)) @ AXES.T) ** 2).sum(axis=(0, 1, 2)) / N
    return explained | {
        "sigma": float(numpy.sqrt(variance)),
        "variance_of_luma": float(squares[0]),
        "variance_of_chroma": float(squares[1:].sum()),
        "log_px": -0.5 * float(d * numpy.log(2 * numpy.pi) + log_volume + d) + data.log_volume,
    }


def by_bound(model: sv.SemiSupervisedVAE, x: numpy.ndarray, y: numpy.ndarray, n: int = 500) -> dict[str, float]:
    """The error of argmax over y of L(x, y), and the median of the largest L(x, y) less the second, in nats.

    The gradient of U(x) draws q(y given x) towards these classes.   L by four samples of z
    """
    with sv.no_grad():
        reconstruction, divergence = model.supervised_terms(x[:n], numpy.arange(10)[:, None], sv.Noise(0), 4)
    bound = sv.to_numpy(reconstruction - divergence)
    error, ordered = 100 * float((bound.argmax(axis=0) != y[:n]).mean()), numpy.sort(bound, axis=0)
    return {"error_by_bound": error, "margin_of_bound": float(numpy.median(ordered[-1] - ordered[-2]))}


def colour(model: Any, images: numpy.ndarray, data: Prepared) -> dict[str, float]:
    """The mean distance of a channel from grey, and the shares of the variance that reconstructions explain."""
    held = images[N : N + SCORED]
    drawn = data.back(model.reconstruct(data.x[N : N + SCORED]))
    return explained_shares(held, drawn, images[:N].mean(axis=0)) | {
        "from_grey_in_data": from_grey(held),
        "from_grey_in_reconstructions": from_grey(drawn),
        "from_grey_in_samples": from_grey(data.back(model.sample(SCORED, seed=1))),
        "elbo": sv.evaluate(model, data.x[N : N + SCORED])["elbo"] + data.log_volume,
    }


def draws_images(settings: dict[str, Any]) -> bool:
    """Tells whether the model of a row reconstructs and samples images."""
    return settings["kind"] not in ("linear", "labelled") and not settings["components"]


def picture(names: list[str], seed: int, images: numpy.ndarray, y: numpy.ndarray, n: int = 14) -> Figure:
    """Draws n held-out images, and below them their reconstructions by every row's model, and its samples."""
    figure = Figure(figsize=(10, 1.1 + 1.7 * len(names)), layout="constrained", dpi=130)
    top, *others = figure.subplots(1 + len(names), 1, height_ratios=[1, *(2 for _ in names)])
    show_rows(top, images[N : N + n], ["images"], plotting.Shades())
    for axes, name in zip(others, names, strict=True):
        settings = COMMON | ROWS[name]
        data = Prepared(images, settings)
        model = trained(settings, data, y, seed)
        shown = [data.back(x) for x in (model.reconstruct(data.x[N : N + n]), model.sample(n, seed=seed))]
        show_rows(axes, numpy.concatenate(shown), ["reconstructed", "sampled"], plotting.Shades())
        axes.set_title(name, fontsize=14)
    return figure


def explained_shares(images: numpy.ndarray, drawn: numpy.ndarray, mean: numpy.ndarray) -> dict[str, float]:
    """1 - sum of (x - drawn)^2 / sum of (x - mean)^2, of luma and of both axes of chroma."""
    missed, varied = ((((images - base) @ AXES.T) ** 2).sum(axis=(0, 1, 2)) for base in (drawn, mean))
    chroma = 1 - missed[1:].sum() / varied[1:].sum()
    return {"explained_luma": float(1 - missed[0] / varied[0]), "explained_chroma": float(chroma)}


def from_grey(images: numpy.ndarray) -> float:
    """The mean over pixels and channels of |x - mean of the three channels|."""
    return float(abs(images - images.mean(axis=-1, keepdims=True)).mean())
