"""How big should the latent space be?

The example trains the same VAE with K = 2, 5, 10, 20 and 50 latent units on binarised MNIST, and compares log p(x) by
importance sampling, the ELBO, the KL, and the number of active units. It takes about ten minutes on two cores; with
--quick, seconds, on drawn digits.

It writes latent_comparison.png (samples), latent_size_curve.png, results.json, and each model as latent-K.npz.

Source: deck, "MNIST: latent space comparison".

Pictures
--------
latent_comparison.png : python examples/latent_sizes.py
    Samples of VAEs with 2, 5, 10 and 20 latent units.
latent_size_curve.png : python examples/latent_sizes.py
    log p(x), the ELBO and the active units by the number of latent units.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import numpy

import scratchvae as sv
from pictures.latent_sizes import latent_comparison, latent_size_curve
from scratchvae.errors import InputError
from scratchvae.plotting import save_figure


def measure(model: sv.VAE, x: numpy.ndarray, n_samples: int) -> dict[str, float]:
    """Returns the test figures of one model, in nats per image, with the standard error of the mean over the images."""
    log_px, _, effective_sample_size = sv.log_likelihood(model, x, n_samples=n_samples)
    scores = sv.evaluate(model, x)
    return {
        "latent_size": model.latent_size,
        "log_likelihood": float(log_px.mean()),
        "log_likelihood_standard_error": float(log_px.std(ddof=1) / math.sqrt(len(log_px))),
        "median_effective_sample_size": float(numpy.median(effective_sample_size)),
    } | {name: scores[name] for name in ("elbo", "reconstruction", "kl", "active_units")}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="How big should the latent space be?")
    parser.add_argument(
        "--quick", action="store_true", help="2,000 drawn digits, K = 2 and 5, one epoch: to see that it works"
    )
    parser.add_argument("--data", default=None, help="name or path of a data set (mnist; with --quick drawn-digits)")
    parser.add_argument("--data-dir", default=None, help="folder of the data set's files")
    parser.add_argument("--epochs", type=int, default=None, help="passes over the training images (15; with --quick 1)")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for the results (figures/)")
    arguments = parser.parse_args(argv)
    quick = arguments.quick
    sizes, n_train, n_test, n_samples = ((2, 5), 2000, 50, 20) if quick else ((2, 5, 10, 20, 50), None, 1000, 500)
    epochs = (1 if quick else 15) if arguments.epochs is None else arguments.epochs

    train, test = sv.data.load(arguments.data or ("drawn-digits" if quick else "mnist"), arguments.data_dir)
    x = train.images[:n_train]
    models, results = {}, []
    for k in sizes:
        model = sv.VAE.mlp(x[0].size, latent_size=k, hidden=(500, 250), binarize="dynamic")
        history = sv.fit(model, x, epochs=epochs)
        sv.save(model, arguments.out / f"latent-{k}.npz")
        models[k] = model
        results.append(measure(model, test.images[:n_test], n_samples) | {"seconds": sum(history["seconds"])})

    (arguments.out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    pictured = latent_comparison({k: models[k] for k in sizes if k <= 20}, x)
    save_figure(pictured, arguments.out / "latent_comparison.png")
    save_figure(latent_size_curve(results), arguments.out / "latent_size_curve.png")
    print(" K   log p(x)  +/-     ELBO     KL  active units   (nats per test image)")
    for row in results:
        print(
            "{latent_size:2d}  {log_likelihood:9.2f} {log_likelihood_standard_error:4.2f} {elbo:8.2f} {kl:6.2f}"
            "  {active_units:5d}".format(**row)
        )


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
