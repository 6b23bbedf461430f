"""PCA as the nearest subspace, and PPCA as a generative model: the deck's pictures, from the package's code.

The example draws the line nearest to points of the plane, and the plane nearest to points of space; alternating
minimisation as on the slide, z = W'x, and with least squares; p(z), p(x | z) and p(x) for K = 1 and D = 2; and the
limit of the posterior's mean for W'W = I as sigma goes to 0. It takes seconds; --quick uses fewer points.

It writes pca.png and ppca.png.

Source: deck, "PCA: basic example" to "Probabilistic PCA: Generative viewpoint"; Bishop (2006), figure 12.9.

Pictures
--------
pca.png : python examples/pca_ppca.py
    The line nearest to points of the plane, the plane nearest to points of space, and two ways of alternating
    minimisation.
ppca.png : python examples/pca_ppca.py
    PPCA as a generative model: p(z), p(x | z) and p(x), and the posterior as sigma goes to 0.
"""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from pathlib import Path

import numpy

from pictures.pca_ppca import generative_view, principal_subspaces
from scratchvae.errors import InputError
from scratchvae.linear import PCA, PPCA
from scratchvae.linear.pca import alternating_minimisation, as_on_the_slide, least_squares
from scratchvae.plotting import save_figure

SIGMAS = (1.0, 0.5, 0.1, 0.01, 0.001)


def with_unit_weight(ppca: PPCA, sigma: float) -> PPCA:
    """Returns the model with W of length 1, in the same direction, and with this sigma."""
    model = PPCA(1)
    model.mean_, model.weight_, model.noise_variance_ = ppca.mean_, ppca.components_.T, sigma**2
    model.n_features_in_ = ppca.n_features_in_
    return model


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The nearest subspace, and the model that generates.")
    parser.add_argument("--quick", action="store_true", help="use a fifth of the points")
    parser.add_argument("--out", type=Path, default=Path("figures"), help="folder for the results (figures/)")
    arguments = parser.parse_args(argv)
    n = 10 if arguments.quick else 50

    rng = numpy.random.default_rng(1)
    plane = rng.standard_normal((n, 2)) @ numpy.array([[2.0, 1.0], [-0.4, 0.6]]) + [1, 2]
    space = rng.standard_normal((n, 3)) * [2, 1.2, 0.35] @ numpy.linalg.qr(rng.standard_normal((3, 3)))[0]
    x, w = space - space.mean(axis=0), rng.standard_normal((3, 2))
    smallest = (numpy.linalg.svd(x, compute_uv=False)[2:] ** 2).sum()
    errors = {}
    for name, coordinates in (("z = W'x", as_on_the_slide), ("z = (W'W)⁻¹W'x", least_squares)):
        steps = islice(alternating_minimisation(x, w, coordinates), 12)
        errors[name] = numpy.array([error for _, _, pair in steps for error in pair]) / smallest
    figure = principal_subspaces(plane, space, [PCA(1).fit(plane), PCA(2).fit(space)], errors)
    save_figure(figure, arguments.out / "pca.png")

    ppca = PPCA(1).fit(plane)
    projected = (plane - ppca.mean_) @ ppca.components_.T
    limits = {sigma: with_unit_weight(ppca, sigma).transform(plane) for sigma in SIGMAS}
    figure = generative_view(ppca, plane, 1.2, {sigma: limits[sigma] for sigma in SIGMAS[:3]})
    save_figure(figure, arguments.out / "ppca.png")
    print("error of alternating minimisation over the SVD's, after the last z and W steps")
    for name, values in errors.items():
        print(f"  {name:28s}{values[-2]:12.6f}{values[-1]:12.6f}")
    print("largest distance of the posterior's mean from the projection, W'W = 1")
    for sigma, means in limits.items():
        print(f"  sigma = {sigma:<8g}{abs(means - projected).max():12.2e}")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
