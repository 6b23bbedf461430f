"""Figures of models, of training, and of the engine's graph.

Every function returns a matplotlib Figure made without pyplot: no state, no window, no choice of backend. `save_figure`
writes it to a file and returns the path.

Many functions share these arguments.

model: a trained model. Its images are means of p(x | z).

x: images (N, H, W, C), or rows (N, D) of numbers; for their models, sketches (N, T, 5), strings or tables.

image_shape: the shape (H, W) or (H, W, C) of the image in a row of numbers. Without it, or with (D,), a row is a square
with one channel.

shades: the `Shades` by which numbers become grey values or colours. Without them, a function chooses them by x or, if
it has no x, by samples of the model. Pass `Shades.of(train.images)` to all pictures of one data set, so that they
compare.
"""

from scratchvae.plotting.canvas import Shades, image_grid, picture_path, save_figure
from scratchvae.plotting.curves import label_curve, run_curves, training_curves
from scratchvae.plotting.graph import graph
from scratchvae.plotting.images import analogies, class_conditional, images, reconstructions, samples, uncertainty
from scratchvae.plotting.latent import (
    attribute_traversal,
    decoder_manifold,
    interpolation,
    latent_grid,
    latent_scatter,
    unit_sweep,
)
from scratchvae.plotting.molecule_vae import (
    latent_by_property,
    molecule_interpolation,
    molecule_neighbours,
    molecule_reconstructions,
    molecule_samples,
    property_scatter,
    varied_properties,
)
from scratchvae.plotting.molecules import molecules
from scratchvae.plotting.strokes import (
    drawings,
    sketch_completions,
    sketch_interpolations,
    sketch_latent,
    sketch_reconstructions,
    sketch_samples,
)
from scratchvae.plotting.tables import table_reconstructions

__all__ = [
    "Shades",
    "analogies",
    "attribute_traversal",
    "class_conditional",
    "decoder_manifold",
    "drawings",
    "graph",
    "image_grid",
    "images",
    "interpolation",
    "label_curve",
    "latent_by_property",
    "latent_grid",
    "latent_scatter",
    "molecule_interpolation",
    "molecule_neighbours",
    "molecule_reconstructions",
    "molecule_samples",
    "molecules",
    "picture_path",
    "property_scatter",
    "reconstructions",
    "run_curves",
    "samples",
    "save_figure",
    "sketch_completions",
    "sketch_interpolations",
    "sketch_latent",
    "sketch_reconstructions",
    "sketch_samples",
    "table_reconstructions",
    "training_curves",
    "uncertainty",
    "unit_sweep",
    "varied_properties",
]
