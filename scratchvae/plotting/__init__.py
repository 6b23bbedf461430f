"""Figures of models, of training, and of the engine's graph.

Every function returns a matplotlib Figure made without pyplot: no state, no window, no choice of backend. `save_figure`
writes it and returns the path. `Shades` say how numbers become grey values or colours; all pictures of one data set
have the same, `shades = Shades.of(train.images)`, and without any a function finds them itself.
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
