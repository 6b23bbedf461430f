"""The graph behind sv.grad: the ELBO of a tiny VAE (4 pixels, 3 hidden units, 2 latent units), as the engine sees it.

Coloured boxes are the parameters, the data and the noise. The loss is at the bottom, and above it is every primitive
with the shape of its result. `sv.grad` follows the same arrows upwards. The example takes a second, and writes
engine_graph.png.

Pictures
--------
engine_graph.png : python examples/engine_graph.py
    The ELBO of a VAE with 4 pixels, 3 hidden and 2 latent units, as the engine sees it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import scratchvae as sv
from scratchvae import plotting
from scratchvae.noise import GivenNoise


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Draw the graph of a tiny VAE.")
    parser.add_argument(
        "--quick", action="store_true", help="accepted as by every example, without an effect: this one is quick"
    )
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for engine_graph.png (figures/)")
    arguments = parser.parse_args(argv)

    model = sv.VAE.mlp(input_size=4, latent_size=2, hidden=(3,))
    x = sv.Noise(0).uniform("x", (5, 4))
    e = sv.Noise(0).normal("e", (1, 5, 2))
    loss = -sv.ops.mean(model.elbo(x, GivenNoise(e)))

    names = {
        part: {name.replace("network.layers.", ""): w for name, w in getattr(model, part).named_parameters().items()}
        for part in ("encoder", "decoder")
    }
    names |= {"data": {"x": x}, "noise": {"e ~ Normal(0, I)": e}}
    plotting.save_figure(plotting.graph(loss, names), arguments.out / "engine_graph.png")


if __name__ == "__main__":
    main()
