"""From PCA to the VAE: the same digits through PCA, PPCA, a linear VAE, and a VAE, each with two latent variables.

Each model is X ~ A B with a little more freedom: PCA is the nearest plane, PPCA gives it a density, a linear VAE is
PPCA again, found by ascending the ELBO, and a VAE bends the plane. They are compared by squared error and log p(x) of
1,000 test digits, exact for PPCA and the linear VAE, and by 1,000 importance samples for the VAE. Grey values count as
real numbers: log p(x) is a log density, and may be positive. The example takes two minutes on two cores; with --quick,
seconds.

It writes pca_and_vae.png and pca_and_vae.json.

Source: deck, "Probabilistic PCA" to "Variational Auto-Encoders", and "Autodiff and SGD (the usual!)"; Lucas, Tucker,
Grosse & Norouzi (2019), "Don't blame the ELBO!".

Pictures
--------
pca_and_vae.png : python examples/pca_and_vae.py
    The same digits through PCA, PPCA, a linear VAE and a VAE, each with two latent variables.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import numpy

import scratchvae as sv
from pictures.latent_planes import latent_planes
from scratchvae.errors import InputError
from scratchvae.linear import PCA, PPCA
from scratchvae.plotting import save_figure


def trained(x: numpy.ndarray, hidden: tuple[int, ...], std: float, epochs: int, learning_rate: float) -> sv.VAE:
    """Trains a VAE of two latent units with a Gaussian likelihood, at first with this sigma; the rate falls to 1 %."""
    model = sv.VAE.mlp(x.shape[1], 2, hidden, likelihood="gaussian", std="learned")
    model.decoder.raw_log_std.data[...] = math.log(std)  # from sigma = 1 Adam would take much longer
    rate = sv.optim.ExponentialSchedule(learning_rate, 0.01 ** (1 / (epochs * math.ceil(len(x) / 128))))
    sv.fit(model, x, epochs=epochs, learning_rate=rate)
    return model


def as_ppca(model: sv.VAE, x: numpy.ndarray) -> PPCA:
    """Returns the PPCA whose p(x | z) is that of a linear VAE, with z rotated so that W'W is diagonal."""
    (decoder,) = model.decoder.network.layers
    ppca = PPCA(2).fit(x)
    axes, lengths, _ = numpy.linalg.svd(decoder.weight.data.T, full_matrices=False)
    ppca.weight_, ppca.mean_ = axes * lengths, decoder.bias.data
    ppca.noise_variance_ = float(model.decode(numpy.zeros((1, 2), dtype=x.dtype)).std.ravel()[0]) ** 2
    return ppca


def squared_error(x: numpy.ndarray, reconstructed: numpy.ndarray) -> float:
    """error = mean over the rows of |x - reconstructed|^2"""
    return float(((x - reconstructed) ** 2).sum(axis=1).mean())


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="From PCA to the VAE, on the same digits.")
    parser.add_argument("--quick", action="store_true", help="1,000 digits, two epochs, 50 test digits")
    parser.add_argument("--data", default="drawn-digits", help="name or path of a data set (drawn-digits)")
    parser.add_argument("--data-dir", default=None, help="folder of the data set's files")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for the results (figures/)")
    arguments = parser.parse_args(argv)
    n, n_test, n_samples = (1000, 50, 10) if arguments.quick else (10_000, 1000, 1000)
    linear_epochs, epochs = (2, 2) if arguments.quick else (100, 30)

    train, test = sv.data.load(arguments.data, arguments.data_dir)
    shape = train.images.shape[1:]
    x, labels = train.images[:n].reshape(-1, math.prod(shape)), test.labels[:n_test]
    x_test = test.images[:n_test].reshape(-1, math.prod(shape))
    pca, ppca = PCA(2).fit(x), PPCA(2).fit(x)
    std = math.sqrt(ppca.noise_variance_)
    linear, vae = trained(x, (), std, linear_epochs, 1.5e-2), trained(x, (256,), std, epochs, 2e-3)

    codes = {
        "PCA": pca.transform(x_test),
        "PPCA": ppca.transform(x_test),
        "Linear VAE": linear.encode(x_test).mean,
        "VAE": vae.encode(x_test).mean,
    }
    reconstructed = {
        "PCA": pca.inverse_transform(codes["PCA"]),
        "PPCA": ppca.inverse_transform(codes["PPCA"]),
        "Linear VAE": linear.reconstruct(x_test),
        "VAE": vae.reconstruct(x_test),
    }
    log_px = {
        "PPCA": ppca.score(x_test),
        "Linear VAE": as_ppca(linear, x).score(x_test),
        "VAE": float(sv.log_likelihood(vae, x_test, n_samples)[0].mean()),
    }
    elbo = {
        name: sv.evaluate(model, x_test, n_samples=20)["elbo"] for name, model in (("Linear VAE", linear), ("VAE", vae))
    }
    errors = {name: squared_error(x_test, rows) for name, rows in reconstructed.items()}

    captions = [
        f"squared error {errors[name]:.1f}" + (f"\nlog p(x) {log_px[name]:.0f} nats" if name in log_px else "\n")
        for name in codes
    ]
    few = [numpy.flatnonzero(labels == c)[0] for c in numpy.unique(labels)]
    pictured = {name: rows[few].reshape(-1, *shape) for name, rows in reconstructed.items()}
    figure = latent_planes(codes, labels, captions, x_test[few].reshape(-1, *shape), pictured)
    save_figure(figure, arguments.out / "pca_and_vae.png")
    results = {"squared_error": errors, "log_px": log_px, "elbo": elbo}
    (arguments.out / "pca_and_vae.json").write_text(json.dumps(results, indent=2) + "\n")
    print(f"{n_test} test digits, K = 2: mean squared error; log p(x) and ELBO in nats")
    for name in codes:
        parts = [f"{part[name]:12.2f}" if name in part else " " * 12 for part in (errors, log_px, elbo)]
        print(f"{name:12s}{''.join(parts)}")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
