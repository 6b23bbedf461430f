"""SketchRNN: drawings that a model reconstructs, samples, interpolates and completes.

The example trains SketchRNN on the strokes of drawn digits, once with a KL floor of 10 nats and once without, in about
two minutes each on one core, and prints the scores of both: without the floor, the decoder almost ignores z, since it
sees every row before the one that it predicts. With --quick, the example takes seconds, with a smaller model on fewer
drawings.

It writes sketch_reconstructions.png, for the second model sketch_reconstructions_no_floor.png, and for the first
sketch_samples.png, sketch_interpolations.png, sketch_completions.png, samples.svg and sketches.npz, the model.

Source: deck, "A sequence model: SketchRNN"; Ha & Eck (2017), figures 4 to 7.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import scratchvae as sv
from scratchvae import plotting
from scratchvae.distributions.sketch import n_points
from scratchvae.errors import InputError
from scratchvae.plotting import save_figure


def trained(x: Any, kl_floor: float, epochs: int, **sizes: int) -> sv.SketchRNN:
    """Trains a model of these sketches, with a falling learning rate and a KL weight that grows over 500 steps."""
    model = sv.SketchRNN.lstm(**sizes, scale=sv.data.describe_sketches(x)["scale"])
    steps = epochs * -(-len(x) // 100)
    rate = sv.optim.ExponentialSchedule(4e-3, 0.05 ** (1 / steps))
    warmup = sv.optim.LinearSchedule(0.0, 1.0, 500)
    sv.fit(model, x, epochs, 100, rate, kl_weight=warmup, kl_floor=kl_floor, clip_norm=10.0)
    return model


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="SketchRNN: reconstruct, invent, blend and complete drawings.")
    parser.add_argument("--quick", action="store_true", help="train a small model on 500 drawings for one epoch")
    parser.add_argument("--data", default="drawn-sketches", help="name of a data set, or file of sketches")
    parser.add_argument("--epochs", type=int, default=None, help="passes over the drawings (22; with --quick 1)")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for the results (figures/)")
    arguments = parser.parse_args(argv)
    quick, out = arguments.quick, arguments.out
    epochs = (1 if quick else 22) if arguments.epochs is None else arguments.epochs

    train, test = sv.data.load(arguments.data)
    if train.sketches is None:
        raise InputError("sketches", "a data set of sketches", arguments.data)
    x, unseen = train.sketches[: 500 if quick else None], test.sketches[: 50 if quick else None]
    sizes = {"latent_size": 4, "encoder_size": 8, "decoder_size": 12, "mixtures": 3} if quick else {}
    model, ignorant = trained(x, 10.0, epochs, **sizes), trained(x, 0.0, epochs, **sizes)
    for name, each in (("a KL floor of 10 nats", model), ("no floor", ignorant)):
        scores, (log_px, _, _) = sv.evaluate(each, unseen), sv.log_likelihood(each, unseen[:50], 20 if quick else 200)
        line = f"ELBO {scores['elbo']:.2f} = {scores['reconstruction']:.2f} - KL {scores['kl']:.2f} nats"
        print(f"{name}: {line}, {scores['active_units']} active units, log p(x) of 50 {log_px.mean():.2f}")

    half = [sketch[: max(1, int(n_points(sketch)) // 2)] for sketch in unseen[:5]]
    save_figure(plotting.sketch_reconstructions(model, unseen), out / "sketch_reconstructions.png")
    save_figure(plotting.sketch_reconstructions(ignorant, unseen), out / "sketch_reconstructions_no_floor.png")
    save_figure(plotting.sketch_samples(model), out / "sketch_samples.png")
    save_figure(plotting.sketch_interpolations(model, unseen[:5], unseen[5:10]), out / "sketch_interpolations.png")
    save_figure(plotting.sketch_completions(model, half), out / "sketch_completions.png")
    sv.data.write_svg(out / "samples.svg", model.sample(36))
    sv.save(model, out / "sketches.npz")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
