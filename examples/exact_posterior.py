"""The error of the encoder: the exact posterior of a 2-D VAE of MNIST by quadrature, compared with q(z | x).

For 200 test digits, every term of log p(x) = L(x) + KL(q || p(z | x)) is computed by quadrature. The gap is split into
a part that no diagonal Gaussian could close (approximation) and a part that a separate q for each digit would close
(amortisation). log p(x) by 5,000 importance samples is compared with the exact value. One VAE is trained by the ELBO,
another by the importance-weighted bound of 5 draws. The example takes about ten minutes on two cores; with --quick,
seconds, on drawn digits.

It writes exact_posterior.png (of the first VAE), exact_posterior.json, and the models as elbo.npz and iwae.npz.

Source: deck, "The Kullback-Leibler divergence" to "The evidence lower bound (ELBO)"; Cremer, Li & Duvenaud (2018),
"Inference suboptimality in variational autoencoders".

Pictures
--------
exact_posterior.png : python examples/exact_posterior.py
    Exact posteriors of test digits by quadrature, with the best Gaussian and the Gaussian of the encoder.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy

import scratchvae as sv
from pictures.posterior_contours import posterior_contours
from scratchvae.binarization import binarize
from scratchvae.errors import InputError
from scratchvae.plotting import save_figure
from scratchvae.quadrature import (
    best_normal,
    divergence_from_posterior,
    elbo,
    exact_posterior,
    log_px_around,
)


def terms(model: sv.VAE, x: numpy.ndarray) -> dict[str, float]:
    """Returns the terms of one digit, in nats.   x: (1, D)"""
    q = model.encode(x)
    log_px = exact_posterior(model, x).log_px
    lower = elbo(model, x)
    best_q, best = best_normal(model, x, q)
    return {
        "log_px": log_px,
        "|log p(x) by grid - by nodes of q*|": abs(log_px - log_px_around(model, x, best_q)),
        "elbo": lower,
        "divergence": divergence_from_posterior(model, x, q, log_px),
        "approximation": log_px - best,
        "amortisation": best - lower,
    }


def measure(model: sv.VAE, x: numpy.ndarray) -> tuple[list[dict[str, float]], dict[str, dict[str, float]]]:
    """Returns the terms of each digit by a model in float64, and their mean, its standard error, and extremes."""
    rows = [terms(model, x[i : i + 1]) for i in range(len(x))]
    columns = {name: numpy.array([row[name] for row in rows]) for name in rows[0]}
    estimates, _, columns["effective samples"] = sv.log_likelihood(model, x, n_samples=5000)
    columns["importance sampling - exact"] = estimates - columns["log_px"]
    columns["|importance sampling - exact|"] = abs(estimates - columns["log_px"])
    columns["|log p(x) - ELBO - KL|"] = abs(columns["log_px"] - columns["elbo"] - columns["divergence"])
    summary = {
        name: {
            "mean": part.mean(),
            "standard_error": part.std(ddof=1) / math.sqrt(len(x)),
            "smallest": part.min(),
            "median": float(numpy.median(part)),
            "largest": part.max(),
        }
        for name, part in columns.items()
    }
    return rows, summary


def picture(model: sv.VAE, x: numpy.ndarray, rows: list[dict[str, float]], shape: tuple[int, ...]) -> Any:
    """Draws eight digits, from the smallest gap to the largest."""
    order = numpy.argsort([row["divergence"] for row in rows])
    chosen = order[numpy.linspace(0, len(order) - 1, min(8, len(order))).round().astype(int)]
    posteriors, approximations, titles = [], [], []
    for i in chosen:
        q = model.encode(x[i : i + 1])
        posteriors.append(exact_posterior(model, x[i : i + 1]))
        approximations.append(
            {"$q(z\\,|\\,x)$, 90 %": q, "best diagonal Gaussian, 90 %": best_normal(model, x[i : i + 1], q)[0]}
        )
        titles.append("{divergence:.2f} = {approximation:.2f} + {amortisation:.2f} nats".format(**rows[i]))
    title = "log p(x) - ELBO = what no diagonal Gaussian can do + what the encoder gets wrong"
    return posterior_contours(x[chosen].reshape(-1, *shape), posteriors, approximations, titles, title)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The exact posterior of a 2-D VAE, beside the encoder's.")
    parser.add_argument("--quick", action="store_true", help="2,000 drawn digits, two epochs, two test digits")
    parser.add_argument("--data", default=None, help="name or path of a data set (mnist; with --quick drawn-digits)")
    parser.add_argument("--data-dir", default=None, help="folder of the data set's files")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for the results (figures/)")
    arguments = parser.parse_args(argv)
    n_train, epochs, n_test = (2000, 2, 2) if arguments.quick else (None, 10, 200)

    train, test = sv.data.load(arguments.data or ("drawn-digits" if arguments.quick else "mnist"), arguments.data_dir)
    images, shape = train.images[:n_train], train.images.shape[1:]
    x = binarize(test.images[:n_test].reshape(n_test, -1), "dynamic", sv.Noise(0)).astype(numpy.float64)
    rate = sv.optim.ExponentialSchedule(2e-3, 0.1 ** (1 / (epochs * math.ceil(len(images) / 128))))  # to a tenth

    results = {}
    for objective, n_samples in (("elbo", 1), ("iwae", 5)):
        model = sv.VAE.mlp(math.prod(shape), 2, (100,), "softplus", binarize="dynamic")
        sv.fit(model, images, epochs=epochs, learning_rate=rate, objective=objective, n_samples=n_samples)
        sv.save(model, arguments.out / f"{objective}.npz")
        model.to(dtype=numpy.float64)
        rows, results[objective] = measure(model, x)
        if objective == "elbo":
            save_figure(picture(model, x, rows, shape), arguments.out / "exact_posterior.png")
    (arguments.out / "exact_posterior.json").write_text(json.dumps(results, indent=2) + "\n")

    print(f"{n_test} test digits, nats per digit: mean +- standard error over digits, median, largest")
    for name in results["elbo"]:
        for objective, summary in results.items():
            line = "{:5s}{:38s}{mean:12.5g} +- {standard_error:8.2g}{median:12.4g}{largest:12.4g}"
            print(line.format(objective, name, **summary[name]))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
