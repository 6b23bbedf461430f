"""Every source of data in the package returns a `Dataset`."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy

from scratchvae.arrays import shortened
from scratchvae.columns import Column
from scratchvae.errors import InputError
from scratchvae.minibatches import held_out
from scratchvae.pixels import Pixels


@dataclass(frozen=True, repr=False)
class Dataset:
    """A Dataset holds N images, sketches, molecules or records of a table, and everything known about each of them.

    Parameters
    ----------
    images : float32 in [0, 1], shape (N, H, W, C), or None for sketches, molecules and records
        Channels come last. A user's file may hold vectors instead, (N, D). The images of a large file are
        `Pixels`, which become floats for the rows that are read: `numpy.asarray(images[:10])`.
    labels : int64, shape (N,), or None
        The class of each image, sketch, molecule or record, from 0.
    factors : dict of float32 arrays, shape (N,) each
        The style factors of each image, by name; empty if they are unknown.
    strokes : list of N lists of float32 arrays, shape (T, 2) each, or None
        The pen strokes of each image in the order of writing. A point is (x, y) in pixels, x to the right and y down;
        the centre of images[n, row, column] is the point (column, row).
    attributes : dict of bool arrays, shape (N,) each
        The yes-or-no attributes of each image, by name; empty if they are unknown.
    sketches : float32, shape (N, T, 5), or None
        Rows (dx, dy, down, up, end) as in scratchvae/data/sketches.py.
    omissions : int
        The number of rows of the file that were left out: sketches that are too long or have no line, or molecules that
        are too long or have rare symbols.
    molecules : strings, an array of shape (N,) and type "<U...", or None
        Their SMILES.
    properties : dict of float64 arrays, shape (N,) each
        Numerical properties of each molecule, by name; NaN for unknown ones.
    records : float64, shape (N, D), or None
        The rows of a table, see scratchvae/columns.py; NaN for missing entries.
    columns : tuple of D Columns
        The types of the entries of a record.
    classes : tuple of str
        The names of the labels of records, by number.
    note : str
        A line about the conversion of the original files.

    Attributes
    ----------
    images, labels, factors, strokes, attributes, sketches, omissions, molecules, properties, records, columns, classes
        The parameters of these names.
    note : str
        The parameter of this name.

    See Also
    --------
    load : Returns a training and a test set by name or path.
    read : Returns the parts of a file unchanged.

    Examples
    --------
    >>> import scratchvae as sv
    >>> digits = sv.data.draw_digits(20)
    >>> digits.images.shape, digits.labels[:5].tolist()
    ((20, 28, 28, 1), [3, 0, 6, 2, 1])
    >>> len(digits.take(slice(0, 5))), digits.name_of_rows
    (5, 'images')
    """

    images: Any = None
    labels: Any = None
    factors: dict[str, numpy.ndarray] = field(default_factory=dict)
    strokes: Any = None
    attributes: dict[str, numpy.ndarray] = field(default_factory=dict)
    sketches: Any = None
    omissions: int = 0
    molecules: Any = None
    properties: dict[str, numpy.ndarray] = field(default_factory=dict)
    records: Any = None
    columns: tuple[Column, ...] = ()
    classes: tuple[str, ...] = ()
    note: str = ""

    @property
    def observations(self) -> numpy.ndarray:
        """Returns the records, molecules, sketches or images, on which a model of these data is trained, (N, ...)."""
        return getattr(self, self.name_of_rows)

    @property
    def name_of_rows(self) -> str:
        """Returns the name of the rows: "records", "molecules", "sketches" or "images"."""
        names = ("records", "molecules", "sketches", "images")
        return next(name for name in names if getattr(self, name) is not None)

    def __len__(self) -> int:
        return len(self.observations)

    def __repr__(self) -> str:
        """Lists the contents with shape and range, one per line, never the arrays themselves."""
        if all(x is None for x in (self.images, self.sketches, self.molecules, self.records)):
            return "Dataset of nothing"
        lines = [f"Dataset of {len(self):,} {self.name_of_rows}"]
        for name in ("images", "sketches", "molecules", "records", "labels"):
            if getattr(self, name) is not None:
                lines.append(f"  {name}: {shortened(getattr(self, name))}")
        for name in ("factors", "attributes", "properties"):
            if getattr(self, name):
                lines.append(f"  {name}: {_some(list(getattr(self, name)))}")
        if self.strokes is not None:
            lines.append("  strokes of each")
        if self.omissions:
            lines.append(f"  {self.omissions:,} besides, left out")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Shows the text of __repr__ in a notebook, and the first images if they are grey or have three colours."""
        words = f"<pre>{html.escape(repr(self))}</pre>"
        if self.images is None or self.images.ndim != 4 or self.images.shape[-1] not in (1, 3):
            return words
        return f'{words}<img alt="the first images" src="data:image/png;base64,{_first_images(self.images)}">'

    def take(self, rows: Any) -> Dataset:
        """Returns the rows with these numbers, or in this slice, with everything known about them."""
        return Dataset(
            None if self.images is None else self.images[rows],
            None if self.labels is None else self.labels[rows],
            {name: values[rows] for name, values in self.factors.items()},
            None if self.strokes is None else [self.strokes[row] for row in numpy.arange(len(self))[rows]],
            {name: values[rows] for name, values in self.attributes.items()},
            None if self.sketches is None else self.sketches[rows],
            self.omissions,
            None if self.molecules is None else self.molecules[rows],
            {name: values[rows] for name, values in self.properties.items()},
            None if self.records is None else self.records[rows],
            self.columns,
            self.classes,
            self.note,
        )

    def in_memory(self, most: int) -> Dataset:
        """Returns at most this many rows, evenly chosen, with floats in place of Pixels; without Pixels, all rows."""
        if not isinstance(self.images, Pixels):
            return self
        part = self.take(slice(None, None, -(-len(self) // most)))
        return replace(part, images=part.images.numbers())

    def keep(self, properties: Sequence[str]) -> Dataset:
        """Returns the same rows with these properties alone. Raises InputError for an unknown property."""
        for name in properties:
            if name not in self.properties:
                expected = f"properties among {', '.join(self.properties) or '(none)'}"
                raise InputError(f"properties of the {self.name_of_rows}", expected, repr(name))
        return replace(self, properties={name: self.properties[name] for name in properties})

    def cut(self, n: int) -> tuple[Dataset, Dataset]:
        """Returns the first n rows, and the remaining ones."""
        return self.take(slice(n)), self.take(slice(n, None))

    def hold_out(self, share: float, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Returns (the remaining rows, a random share of the rows); with labels, the same share of every class.

        Both parts keep the order of the rows, and have at least one. The seed and the number of rows decide which ones.
        Raises InputError for a share that is not between 0 and 1, DataError for a set of one row.
        """
        others, part = held_out(len(self), share, seed, self.labels, self.name_of_rows)
        return self.take(others), self.take(part)


def _some(names: list[str], most: int = 8) -> str:
    """Returns the first names, and the number of further ones."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _first_images(images: Any) -> str:
    """Returns the first 20 images in two rows, each side at most 64 pixels, as a PNG in base64.   (N, H, W, C)"""
    from PIL import Image

    step = -(-max(images.shape[1:3]) // 64)
    tiles = numpy.clip(numpy.asarray(images[:20])[:, ::step, ::step], 0, 1)
    columns = min(len(tiles), 10)
    tiles = numpy.concatenate([tiles, numpy.zeros((-len(tiles) % columns, *tiles.shape[1:]), tiles.dtype)])
    n, h, w, c = tiles.shape
    sheet = tiles.reshape(n // columns, columns, h, w, c).swapaxes(1, 2).reshape(n // columns * h, columns * w, c)
    pixels = (255 * sheet).round().astype(numpy.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if c == 1 else pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
