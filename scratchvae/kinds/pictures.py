"""The pictures of a trained model as values: the requirements of each, and the function that draws it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy

import scratchvae as sv
from scratchvae.backend import asarray
from scratchvae.data import Dataset
from scratchvae.latent_space import has_arc, mean_difference
from scratchvae.run_files import read_history

MOST_ENCODED, MOST_ATTRIBUTES = 2000, 10
"""The most images that are encoded for a picture, and the most attributes of a picture of directions."""

MOST_SHOWN = 10_000
"""The most rows of each part that pictures use."""


@dataclass
class Subject:
    """A Subject holds what pictures show: a model, its run directory, and its data, which are loaded on first use.

    Parameters
    ----------
    model : LatentVariableModel
        The trained model.
    directory : Path
        The run directory.
    load : function
        A function without arguments that returns the training and the test part.
    """

    model: Any
    directory: Path
    load: Callable[[], tuple[Dataset, Dataset]]

    @cached_property
    def datasets(self) -> tuple[Dataset, Dataset]:
        """Returns the training and the test part, reduced to MOST_SHOWN rows each."""
        train, test = self.load()
        return train.in_memory(MOST_SHOWN), test.in_memory(MOST_SHOWN)

    @property
    def train(self) -> Dataset:
        """Returns the training part."""
        return self.datasets[0]

    @property
    def test(self) -> Dataset:
        """Returns the test part."""
        return self.datasets[1]

    @cached_property
    def look(self) -> dict[str, Any]:
        """Returns the arguments that all pictures of these data share: the image shape and the training images' shades.

        Vectors have no image shape, and are drawn as squares.
        """
        shape = self.train.images.shape[1:]
        shades = sv.plotting.Shades.of(self.train.images)
        return {"image_shape": shape if len(shape) > 1 else None, "shades": shades}

    @property
    def has_images(self) -> bool:
        """Tells whether the data are complete images with one or three channels, or vectors that fill a square."""
        if self.has_gaps:
            return False
        *size, last = self.test.images.shape[1:]
        return last in (1, 3) if len(size) == 2 else math.isqrt(last) ** 2 == last

    @cached_property
    def has_gaps(self) -> bool:
        """Tells whether entries are missing; then no picture can show the images."""
        return any(bool(numpy.isnan(part.observations).any()) for part in self.datasets)

    @cached_property
    def means(self) -> numpy.ndarray:
        """Returns the means of q(z | x) for at most MOST_ENCODED test images."""
        return means(self.model, self.test)

    @cached_property
    def attributes(self) -> dict[str, numpy.ndarray]:
        """Returns the attributes that a picture of directions shows, for the encoded training images."""
        return attributes(self.train)

    def __str__(self) -> str:
        gaps = " with missing entries" if self.model.missing and self.has_gaps else ""
        return f"rows of shape {self.test.observations.shape[1:]}{gaps}, K = {self.model.latent_size}"


@dataclass(frozen=True)
class Picture:
    """A Picture describes one picture of `scratchvae plot`.

    Parameters
    ----------
    name : str
        The name on the command line.
    needs : str
        The requirements in words.
    is_possible : function
        Tells whether a Subject meets the requirements.
    draw : function
        Returns the figure for a Subject.
    """

    name: str
    needs: str
    is_possible: Callable[[Subject], bool]
    draw: Callable[[Subject], Any]


def attributes(dataset: Dataset) -> dict[str, numpy.ndarray]:
    """Returns the MOST_ATTRIBUTES most balanced attributes of the encoded images; without attributes, one per label."""
    labels = () if dataset.labels is None else numpy.unique(dataset.labels)
    every = dataset.attributes or {str(label): dataset.labels == label for label in labels}
    every = {name: values[_encoded(dataset)] for name, values in every.items()}
    balanced = sorted(every, key=lambda name: abs(every[name].mean() - 0.5))[:MOST_ATTRIBUTES]
    return {name: every[name] for name in every if name in balanced and 0 < every[name].mean() < 1}


def means(model: Any, dataset: Dataset) -> numpy.ndarray:
    """Returns the means of q(z | x) for at most MOST_ENCODED images of a data set."""
    return sv.to_numpy(model.encode(asarray(dataset.images[_encoded(dataset)], model.device)).mean)


def pairs_with_arcs(z: numpy.ndarray, most: int = 3) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Returns starts and ends of the first pairs of consecutive points that an arc around the origin connects."""
    n = len(z) // 2
    starts, ends = z[0 : 2 * n : 2], z[1 : 2 * n : 2]
    arcs = has_arc(starts, ends)
    return starts[arcs][:most], ends[arcs][:most]


def most_varied(z: numpy.ndarray, most: int = 8) -> list[int]:
    """Returns the latent units with the largest variances of their means, in descending order."""
    return numpy.argsort(-z.var(axis=0), kind="stable")[:most].tolist()


def _encoded(dataset: Dataset) -> slice:
    """Selects at most MOST_ENCODED images, evenly spaced, since a file may be sorted by label."""
    return slice(None, None, math.ceil(len(dataset) / MOST_ENCODED))


def _traversal(subject: Subject) -> Any:
    z = means(subject.model, subject.train)
    directions = {name: mean_difference(z, values) for name, values in subject.attributes.items()}
    return sv.plotting.attribute_traversal(subject.model, subject.means[0], directions, **subject.look)


def _analogies(subject: Subject) -> Any:
    x, labels = subject.test.images[:10], subject.test.labels
    labels = None if labels is None else labels[:10]
    return sv.plotting.analogies(subject.model, x, labels, **subject.look)


def _interpolation(subject: Subject) -> Any:
    starts, ends = pairs_with_arcs(subject.means)
    return sv.plotting.interpolation(subject.model, starts, ends, **subject.look)


def _sweep(subject: Subject) -> Any:
    units = most_varied(subject.means)
    return sv.plotting.unit_sweep(subject.model, subject.means[0], units, **subject.look)


CURVES = Picture("curves", "a run", lambda s: True, lambda s: sv.plotting.training_curves(read_history(s.directory)))

OF_EVERY_MODEL = (
    Picture(
        "latent",
        "at least two latent dimensions",
        lambda s: s.model.latent_size > 1,
        lambda s: sv.plotting.latent_scatter(s.model, s.test.images, s.test.labels),
    ),
    Picture(
        "reconstructions",
        "images",
        lambda s: s.has_images,
        lambda s: sv.plotting.reconstructions(s.model, s.test.images, **s.look),
    ),
    Picture(
        "samples",
        "images",
        lambda s: s.has_images,
        lambda s: sv.plotting.samples(s.model, **s.look),
    ),
    CURVES,
)

OF_A_VAE = (
    *OF_EVERY_MODEL,
    Picture(
        "manifold",
        "a 2-D latent space of images",
        lambda s: s.model.latent_size == 2 and s.has_images,
        lambda s: sv.plotting.decoder_manifold(s.model, **s.look),
    ),
    Picture(
        "traversal",
        "images, some of them with and some without an attribute or label",
        lambda s: s.has_images and len(s.attributes) > 0,
        _traversal,
    ),
    Picture(
        "interpolation",
        "two test images that an arc around the origin of the latent space connects",
        lambda s: s.has_images and len(pairs_with_arcs(s.means)[0]) > 0,
        _interpolation,
    ),
    Picture("sweep", "images", lambda s: s.has_images, _sweep),
)

WITH_CLASSES = (
    *OF_EVERY_MODEL,
    Picture(
        "classes",
        "images",
        lambda s: s.has_images,
        lambda s: sv.plotting.class_conditional(s.model, **s.look),
    ),
    Picture("analogies", "images", lambda s: s.has_images, _analogies),
)
