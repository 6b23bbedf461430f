"""What every data source of the package returns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy


@dataclass(frozen=True)
class Dataset:
    """N images, with what is known about each of them.

    Parameters
    ----------
    images : float32 in [0, 1], shape (N, H, W, C)
        Channels come last. A user's file may hold vectors instead, (N, D).
    labels : int64, shape (N,), or None
        The class of each image, from 0.
    factors : dict of float32 arrays, shape (N,) each
        The style that each image was drawn with, by name; empty where it is not known.
    strokes : list of N lists of float32 arrays, shape (T, 2) each, or None
        The pen strokes of each image in the order of writing. A point is (x, y) in pixels, x to the right and y down;
        the centre of images[n, row, column] is the point (column, row).
    attributes : dict of bool arrays, shape (N,) each
        What is true of each image and what is not, by name; empty where it is not known.
    """

    images: numpy.ndarray
    labels: numpy.ndarray | None = None
    factors: dict[str, numpy.ndarray] = field(default_factory=dict)
    strokes: list[list[numpy.ndarray]] | None = None
    attributes: dict[str, numpy.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)

    def cut(self, n: int) -> tuple[Dataset, Dataset]:
        """The first n images, and the others, each with all that is known of them."""
        first, others = (
            Dataset(
                self.images[rows],
                None if self.labels is None else self.labels[rows],
                {name: values[rows] for name, values in self.factors.items()},
                None if self.strokes is None else self.strokes[rows],
                {name: values[rows] for name, values in self.attributes.items()},
            )
            for rows in (slice(None, n), slice(n, None))
        )
        return first, others
