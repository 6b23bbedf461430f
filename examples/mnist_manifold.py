"""The "hello world" of deep generative models: a VAE of MNIST with a 2-D latent space, all of which is drawn.

The example trains on 60,000 digits. It takes about three minutes on two cores; with --quick, seconds, on drawn digits.

It writes mnist_manifold.png (decoder means over the latent space), latent_scatter.png (codes of the test set),
reconstructions.png, training_curves.png, and the model as mnist_manifold.npz.

Source: deck, 'The "hello world" of deep generative models'.

Pictures
--------
mnist_manifold.png : python examples/mnist_manifold.py
    The means of the decoder over a 2-D latent space of MNIST.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import scratchvae as sv
from scratchvae import plotting
from scratchvae.errors import InputError


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train a VAE with a 2-D latent space and draw pictures of it.")
    parser.add_argument("--quick", action="store_true", help="2,000 images and two epochs, to see that it works")
    parser.add_argument("--data", default=None, help="name or path of a data set (mnist; with --quick drawn-digits)")
    parser.add_argument("--data-dir", default=None, help="folder of the data set's files")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for the results (figures/)")
    arguments = parser.parse_args(argv)
    n_train, epochs = (2000, 2) if arguments.quick else (None, 20)

    train, test = sv.data.load(arguments.data or ("drawn-digits" if arguments.quick else "mnist"), arguments.data_dir)
    x = train.images[:n_train]
    model = sv.VAE.mlp(x[0].size, latent_size=2, hidden=(500, 250), activation="tanh")
    print(model)
    history = sv.fit(model, x, epochs=epochs, validation=test.images[:1000])
    sv.save(model, arguments.out / "mnist_manifold.npz")

    shades = plotting.Shades.of(x)
    figures = {
        "mnist_manifold": plotting.decoder_manifold(model, x.shape[1:], shades=shades),
        "latent_scatter": plotting.latent_scatter(model, test.images, test.labels),
        "reconstructions": plotting.reconstructions(model, test.images, shades=shades),
        "training_curves": plotting.training_curves(history),
    }
    for name, figure in figures.items():
        print(plotting.save_figure(figure, arguments.out / f"{name}.png"))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
