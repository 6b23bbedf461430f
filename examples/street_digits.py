"""Street digits: house numbers in colour, with one standard deviation for all pixels, or one for each.

The example trains two convolutional VAEs that differ in this alone, on house numbers drawn by the package, and compares
their test ELBOs, in nats and as bits per dimension. It takes about ten minutes on two cores; with --quick, seconds.
--data svhn uses photographs, from the files that `sv.data.load("svhn")` reads.

It writes uncertainty.png (the standard deviation of every pixel), samples.png, interpolation.png,
results.json, and the models as learned.npz and decoder.npz.

Source: deck, "Convolutional networks"; Kingma & Welling (2014), appendix C.2, for a standard deviation of each pixel.

Pictures
--------
uncertainty.png : python examples/street_digits.py
    House numbers, their means, and the standard deviation that the decoder gives each pixel.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import scratchvae as sv
from scratchvae import plotting
from scratchvae.errors import InputError
from scratchvae.evaluation import bits_per_dimension


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="One standard deviation for all pixels, or one for each.")
    parser.add_argument("--quick", action="store_true", help="256 images and one epoch, to see that it works")
    parser.add_argument("--data", default="street-digits", help="name or path of a data set (default: street-digits)")
    parser.add_argument("--data-dir", default=None, help="folder of the data set's files")
    parser.add_argument("--epochs", type=int, default=None, help="passes over the training images (15; with --quick 1)")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for the results (figures/)")
    arguments = parser.parse_args(argv)
    quick = arguments.quick
    n, epochs = (128 if quick else None), (1 if quick else 15) if arguments.epochs is None else arguments.epochs

    if quick and arguments.data == "street-digits":
        train, test = sv.data.draw_street_digits(2 * n).cut(n)
    else:
        train, test = sv.data.load(arguments.data, arguments.data_dir)
    x = sv.data.dequantize(train.images[:n], sv.Noise(0))
    x_test = sv.data.dequantize(test.images[:n], sv.Noise(1))
    models, results = {}, {}
    for std in ("learned", "decoder"):
        model = sv.VAE.convolutional(x.shape[1:], 32, (32, 64, 128), likelihood="gaussian", std=std)
        history = sv.fit(model, x, epochs=epochs)
        sv.save(model, arguments.out / f"{std}.npz")
        scores = sv.evaluate(model, x_test, n_samples=10)
        models[std] = model
        results[std] = {name: scores[name] for name in ("elbo", "elbo_standard_error", "kl", "active_units")}
        results[std] |= {"bits_per_dimension": bits_per_dimension(scores["elbo"], x[0].size)}
        results[std] |= {"seconds": sum(history["seconds"])}

    (arguments.out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    model, shades = models["decoder"], plotting.Shades.of(x)
    z = model.encode(x_test[:6]).mean
    figures = {
        "uncertainty": plotting.uncertainty(model, x_test, shades=shades),
        "samples": plotting.samples(model, 64, shades=shades),
        "interpolation": plotting.interpolation(model, z[:3], z[3:], shades=shades),
    }
    for name, figure in figures.items():
        plotting.save_figure(figure, arguments.out / f"{name}.png")
    print("std          ELBO   +/-     KL  active units  bits per dimension   (nats per test image)")
    for std, row in results.items():
        print(
            f"{std:8}{row['elbo']:9.1f} {row['elbo_standard_error']:5.1f} {row['kl']:6.1f}  {row['active_units']:12d}"
            f"  {row['bits_per_dimension']:18.3f}"
        )


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
