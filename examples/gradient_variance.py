"""The reason for the reparameterisation trick: the variance of three estimators of the same gradient.

The example trains a VAE with a 2-D latent space on drawn digits briefly, then estimates the gradient of the ELBO of 20
digits with respect to the encoder's parameters many times: by the score function (REINFORCE), by the score function
with a baseline, and by reparameterisation. It takes half a minute on two cores; with --quick, seconds.

It writes gradient_variance.png and gradient_variance.json.

Source: deck, "Reparameterization trick for the encoder"; Kingma & Welling (2014), sections 2.2 to 2.4.

Pictures
--------
gradient_variance.png : python examples/gradient_variance.py
    Variance of the gradient by the number of samples: score function, score function with a baseline, and
    reparameterised.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy

import scratchvae as sv
from pictures.gradient_variance import gradient_variance
from scratchvae.errors import InputError
from scratchvae.gradient_estimators import ESTIMATORS
from scratchvae.plotting import save_figure


def gradients(model: sv.VAE, x: numpy.ndarray, estimator: Callable, n_samples: int, n: int) -> numpy.ndarray:
    """Returns n estimates of the gradient of the mean ELBO with respect to the encoder's parameters.   (n, P)"""
    parameters = model.encoder.parameters()
    return numpy.stack(
        [
            numpy.concatenate(
                [g.ravel() for g in sv.grad(sv.ops.mean(estimator(model, x, sv.Noise(1, i), n_samples)), parameters)]
            )
            for i in range(n)
        ]
    )


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The variance of score-function and reparameterised gradients.")
    parser.add_argument("--quick", action="store_true", help="make ten estimates each, to see that it works")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for the results (figures/)")
    arguments = parser.parse_args(argv)
    n_samples, n, epochs = ((1, 2, 4), 10, 1) if arguments.quick else ((1, 2, 4, 8, 16, 32, 64), 500, 5)

    train, _ = sv.data.load("drawn-digits")
    model = sv.VAE.mlp(784, 2, (100,), "tanh", binarize="threshold")
    sv.fit(model, train.images[:5000], epochs=epochs, learning_rate=2e-3)
    x = (train.images[:20].reshape(20, 784) > 0.5).astype(numpy.float32)

    variances, values = {}, {}
    for name, estimator in ESTIMATORS.items():
        estimates = {s: gradients(model, x, estimator, s, n) for s in n_samples if s > 1 or "baseline" not in name}
        variances[name] = [float(estimates[s].var(axis=0, ddof=1).sum()) if s in estimates else None for s in n_samples]
        if 1 in estimates:
            bias_of_the_first_mean = -2 * model.latent_size
            values[name] = estimates[1][:, bias_of_the_first_mean]
    arguments.out.mkdir(parents=True, exist_ok=True)
    result = {"draws": n_samples, "variance": variances}
    (arguments.out / "gradient_variance.json").write_text(json.dumps(result, indent=2) + "\n")
    save_figure(gradient_variance(n_samples, variances, values), arguments.out / "gradient_variance.png")
    print("samples of z" + "".join(f"{name:>28s}" for name in variances))
    for i, s in enumerate(n_samples):
        row = (variances[name][i] for name in variances)
        print(f"{s:12d}" + "".join(f"{'' if value is None else format(value, '.4g'):>28s}" for value in row))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
