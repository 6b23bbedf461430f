"""Do directions in latent space change what they should, and nothing else? Measured on faces with known attributes.

usage: python -m benchmarks directions [--epochs N] [--model FILE] [--images N] [--out FILE]

A convolutional VAE learns the drawn faces without their attributes, and a classifier, a convolutional network with one
logit per attribute, learns to predict the attributes from the images. The direction v of an attribute is the mean
difference of encoded training images, or the logistic direction. Test images are then encoded, moved along v towards
the other value of the attribute, and decoded. The classifier, which was not trained on decoded images, classifies each
of them before and after the move, and the table counts the answers that differ. The picture shows one test face, moved
along each direction.

Samples of the VAE are scored, too: by the Fréchet distance of their logits from those of the test images, for z from
the prior and for z from a mixture of Gaussians that is fitted to the codes of training images. A second picture,
FILE_samples.png, shows them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy
from matplotlib.figure import Figure
from scipy.linalg import sqrtm

import scratchvae as sv
from benchmarks.arguments import parser as options_of
from scratchvae import plotting
from scratchvae.distributions import Bernoulli
from scratchvae.latent_space import logistic_direction, mean_difference, traversal
from scratchvae.nn import ConvolutionalNetwork
from scratchvae.plotting.canvas import show_rows

AMOUNTS = (0.5, 1.0, 1.5, 2.0)
AMOUNTS_SHOWN = (0.5, 1.0)  # in the picture; v is the difference of the two means
SHOWN = ("smiling", "dark_hair", "long_hair")
"""The attributes of the test face in the picture, or of the face that comes nearest."""

DIRECTIONS = {"mean difference": mean_difference, "logistic direction": logistic_direction}


def main(arguments: list[str]) -> None:
    """Trains both networks, and prints and writes the table of changes."""
    parser = options_of("directions", __doc__, "directions.json")
    parser.add_argument(
        "--epochs", type=int, default=20, help="number of passes over the training images (default: 20)"
    )
    parser.add_argument("--model", help="VAE that an earlier run of this command saved (without it, one is trained)")
    parser.add_argument("--images", type=int, default=None, help="use the first N images of both parts (default: all)")
    options = parser.parse_args(arguments)
    train, test = sv.data.load("drawn-faces")
    x, x_test = train.images[: options.images], test.images[: options.images]
    attributes = {name: values[: len(x)] for name, values in train.attributes.items()}
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)

    if options.model:
        model = sv.load(options.model)
    else:
        model = sv.VAE.convolutional((64, 64, 3), 64, (32, 64, 128, 256), likelihood="gaussian", std="learned")
        sv.fit(model, x, epochs=options.epochs, batch_size=64)
        sv.save(model, out.with_suffix(".npz"))
    network = trained_classifier(x, numpy.stack(list(attributes.values()), axis=1))

    truth = numpy.stack(list(test.attributes.values()), axis=1)[: len(x_test)]
    z = encoded(model, x_test)
    before = read(network, decoded(model, z))
    results = {
        "correct on test images": percent(read(network, x_test) == truth),
        "correct on reconstructions": percent(before == truth),
        "changed": {kind: {} for kind in DIRECTIONS},
    }
    codes = encoded(model, x)
    for kind, direction in DIRECTIONS.items():
        for i, (name, has) in enumerate(attributes.items()):
            sign = numpy.where(before[:, i : i + 1], -1, 1).astype(numpy.float32)
            step = sign * direction(codes, has)
            results["changed"][kind][name] = {
                amount: percent(read(network, decoded(model, z + amount * step)) != before) for amount in AMOUNTS
            }
    draws = {
        "the prior": sv.Noise(0).normal("z", z.shape),
        "a mixture fitted to codes": sv.fit_codes(model, x).sample(len(z)).astype(z.dtype),
    }
    samples = {name: decoded(model, drawn) for name, drawn in draws.items()}
    of_test = logits_of(network, x_test)
    results["distance from test images"] = {
        name: frechet_distance(logits_of(network, images), of_test)
        for name, images in ({"reconstructions": decoded(model, z)} | samples).items()
    }
    plotting.save_figure(sampled_faces(samples), out.with_name(f"{out.stem}_samples.png"))
    out.write_text(json.dumps(results, indent=2) + "\n")
    shown = (truth ^ [name in SHOWN for name in attributes]).sum(axis=1).argmin()
    directions = {name: mean_difference(codes, has) for name, has in attributes.items()}
    figure = moved_face(model, z[shown], directions, dict(zip(attributes, truth[shown], strict=True)))
    plotting.save_figure(figure, out.with_suffix(".png"))
    print(
        f"percent of {len(z):,} decoded test images for which the classifier's answer on an attribute (column) changes"
    )
    for kind, rows in results["changed"].items():
        print(f"{kind:20}{'amount':>8}" + "".join(f"{name:>13}" for name in attributes))
        for name, row in rows.items():
            for amount, shares in row.items():
                print(f"{name:20}{amount:8g}" + "".join(f"{share:13.1f}" for share in shares))
    for name, distance in results["distance from test images"].items():
        print(f"distance from test images of {name:28}{distance:8.1f}")
    for name in ("correct on test images", "correct on reconstructions"):
        print(f"{name:28}" + "".join(f"{share:13.1f}" for share in results[name]))


def moved_face(model: sv.VAE, z: numpy.ndarray, directions: dict[str, numpy.ndarray], has: dict[str, bool]) -> Figure:
    """Draws the mean of p(x | z + a v), with a row for each direction, towards the other value of its attribute.

    directions: attribute -> v;   has: attribute -> whether the face of z has it, so that -v removes it.
    """
    amounts = numpy.array([0, *AMOUNTS_SHOWN], dtype=numpy.float32)
    columns = ["$z$", *(f"$z \\pm {amount:g}\\,v$" for amount in AMOUNTS_SHOWN)]
    figure = Figure(figsize=(10, 1.1 + 1.15 * -(-len(directions) // 2)), layout="constrained", dpi=130)
    figure.suptitle(
        "A test face, moved along the direction $v$ that adds (+) or removes (\u2212) an attribute", fontsize=14
    )
    every = list(directions)
    half = -(-len(every) // 2)
    for axes, names in zip(figure.subplots(1, 2), (every[:half], every[half:]), strict=True):
        ways = [traversal(z, -directions[name] if has[name] else directions[name], amounts) for name in names]
        titles = [("\u2212 " if has[name] else "+ ") + name.replace("_", " ") for name in names]
        show_rows(axes, decoded(model, numpy.concatenate(ways)), titles, plotting.Shades())
        axes.set_xticks(numpy.arange(len(columns)) + 0.5, columns)
        axes.tick_params(labelsize=13)
    return figure


def sampled_faces(samples: dict[str, numpy.ndarray], n: int = 18) -> Figure:
    """Draws n images of each source of z, in two rows below its name."""
    figure = Figure(figsize=(10, 5.4), layout="constrained", dpi=130)
    for axes, (name, images) in zip(figure.subplots(len(samples), 1), samples.items(), strict=True):
        show_rows(axes, images[:n], ["", ""], plotting.Shades())
        axes.set_title(f"Means of $p(x\\,|\\,z)$ for $z$ from {name}", fontsize=14)
    return figure


def frechet_distance(x: numpy.ndarray, y: numpy.ndarray) -> float:
    """|m_x - m_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2)), for means m and covariances S of rows.   (N, A), (M, A)

    The squared Wasserstein distance of the two Gaussians.   Source: Heusel et al. (2017), equation 6.
    """
    s_x, s_y = numpy.cov(x, rowvar=False), numpy.cov(y, rowvar=False)
    moved = ((x.mean(axis=0) - y.mean(axis=0)) ** 2).sum()
    return float(moved + numpy.trace(s_x + s_y - 2 * sqrtm(s_x @ s_y).real))


def trained_classifier(x: numpy.ndarray, labels: numpy.ndarray, epochs: int = 3) -> ConvolutionalNetwork:
    """Trains a network (N, 64, 64, 3) -> (N, A) by the mean log probability of the labels, (N, A), given its logits."""
    network = ConvolutionalNetwork(x.shape[1:], (16, 32, 64), labels.shape[1], sv.Noise(1))
    optimizer = sv.optim.Adam(network.parameters())
    for epoch in range(epochs):
        for rows in sv.data.minibatches(len(x), 64, sv.Noise(1, epoch)):
            log_p = Bernoulli(network(x[rows])).log_prob(labels[rows].astype(numpy.float32))
            sv.grad(-sv.ops.mean(log_p), optimizer.parameters, out=optimizer.gradients)
            optimizer.step()
    return network


def encoded(model: sv.VAE, x: numpy.ndarray) -> numpy.ndarray:
    """Returns the means of q(z | x).   (N, 64, 64, 3) -> (N, K)"""
    return in_parts(lambda part: model.encode(part).mean, x)


def decoded(model: sv.VAE, z: numpy.ndarray) -> numpy.ndarray:
    """Returns the means of p(x | z).   (N, K) -> (N, 64, 64, 3)"""
    return in_parts(lambda part: model.decode(part).mean, z)


def read(network: ConvolutionalNetwork, x: numpy.ndarray) -> numpy.ndarray:
    """Returns the attributes that the classifier sees.   (N, 64, 64, 3) -> bool (N, A)"""
    return logits_of(network, x) > 0


def logits_of(network: ConvolutionalNetwork, x: numpy.ndarray) -> numpy.ndarray:
    """Returns the classifier's logits.   (N, 64, 64, 3) -> (N, A)"""
    with sv.no_grad():
        return in_parts(network, x)


def in_parts(function, x: numpy.ndarray, n: int = 250) -> numpy.ndarray:
    """Returns function(x), computed for a few rows at a time."""
    return numpy.concatenate([function(x[i : i + n]) for i in range(0, len(x), n)])


def percent(values: numpy.ndarray) -> list[float]:
    """Returns the percentage of true rows in each column.   bool (N, A) -> A numbers"""
    return [round(100 * float(share), 1) for share in values.mean(axis=0)]
