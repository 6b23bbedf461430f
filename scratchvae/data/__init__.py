"""Data sets are loaded by name or path, each as a training and a test part."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy

from scratchvae.columns import Column, measured
from scratchvae.data import files
from scratchvae.data.dataset import Dataset
from scratchvae.data.drawn_digits import draw_digits
from scratchvae.data.drawn_faces import draw_faces
from scratchvae.data.drawn_molecules import draw_molecule_set, draw_molecules
from scratchvae.data.emnist import SPLITS as EMNIST_SPLITS
from scratchvae.data.emnist import load_emnist
from scratchvae.data.faces import FILES_OF_PERSONS, load_faces, load_frey_faces
from scratchvae.data.files import as_images, as_labels, labels_beside, read_arrays
from scratchvae.data.image_folders import holds_images, read_image_folder
from scratchvae.data.label_subset import label_subset
from scratchvae.data.mnist import PUBLISHED, load_mnist
from scratchvae.data.molecule_files import MOST_TOKENS, holds_molecules, read_molecules
from scratchvae.data.molecule_files import SUFFIXES as MOLECULE_SUFFIXES
from scratchvae.data.molecules import describe_molecules
from scratchvae.data.sketch_files import SUFFIXES, holds_drawings, read_drawings
from scratchvae.data.sketches import (
    MOST_ROWS,
    as_sketches,
    describe_sketches,
    draw_sketches,
    from_lines,
    simplify,
    to_lines,
)
from scratchvae.data.street_digits import draw_street_digits
from scratchvae.data.svg import read_svg, write_svg
from scratchvae.data.svhn import load_svhn
from scratchvae.data.tables import SUFFIXES as TABLE_SUFFIXES
from scratchvae.data.tables import (
    as_table,
    describe_table,
    filled_text,
    holds_table,
    read_table,
    table_in_words,
    table_text,
)
from scratchvae.data.text_files import suffix_of
from scratchvae.dequantization import dequantize, dequantize_sketches
from scratchvae.errors import DataError, InputError
from scratchvae.minibatches import minibatches

__all__ = [
    "DATASETS",
    "SPLITS",
    "Column",
    "Dataset",
    "as_table",
    "dequantize",
    "dequantize_sketches",
    "describe_molecules",
    "describe_sketches",
    "describe_table",
    "draw_digits",
    "draw_faces",
    "draw_molecule_set",
    "draw_molecules",
    "draw_sketches",
    "draw_street_digits",
    "filled_text",
    "from_lines",
    "holds_table",
    "label_subset",
    "load",
    "minibatches",
    "read",
    "read_svg",
    "read_table",
    "shows_persons",
    "simplify",
    "table_in_words",
    "table_text",
    "to_lines",
    "write_svg",
]

SPLITS = ("random", "last")

DRAWN: dict[str, tuple[Callable[[int, int], Dataset], int]] = {
    "drawn-digits": (draw_digits, 20_000),
    "drawn-faces": (draw_faces, 10_000),
    "street-digits": (draw_street_digits, 20_000),
    "drawn-sketches": (draw_sketches, 20_000),
    "drawn-molecules": (draw_molecule_set, 20_000),
}
"""Name of a set that the package draws -> (function of (n, seed), training rows). Test rows are a tenth as many."""

MOST_DRAWN = 1_000_000
"""The most rows of a drawn training part."""

DATASETS: dict[str, Callable[[str | os.PathLike[str] | None, int], tuple[Dataset, Dataset]]] = {
    **{name: lambda data_dir, seed, name=name: _drawn(name, seed) for name in DRAWN},
    **{name: lambda data_dir, seed, name=name: load_mnist(data_dir, name) for name in PUBLISHED},
    "emnist": lambda data_dir, seed: load_emnist(data_dir),
    **{f"emnist-{split}": lambda data_dir, seed, split=split: load_emnist(data_dir, split) for split in EMNIST_SPLITS},
    "faces": lambda data_dir, seed: load_faces(data_dir),
    "frey-faces": lambda data_dir, seed: load_frey_faces(data_dir),
    "svhn": lambda data_dir, seed: load_svhn(data_dir),
}
"""Name -> function of (data_dir, seed) that returns the training and the test part."""

OF_PERSONS = {"faces", "frey-faces"}
"""The sets of photographs of persons, which are shown and passed on only at the user's request."""


def shows_persons(name: str | os.PathLike[str]) -> bool:
    """Tells whether a set has photographs of persons, by its name or by the name of its file."""
    return name in OF_PERSONS or Path(name).name in FILES_OF_PERSONS


def load(
    name: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
    validation: float | None = None,
    split: str = "random",
    labels: str | os.PathLike[str] | None = None,
    most: float | None = None,
    drawn: int | None = None,
    column: str | None = None,
    properties: Sequence[str] | None = None,
    table: Mapping[str, Any] | None = None,
    missing: bool = False,
    image_size: int | Sequence[int] | None = None,
    image_colour: str | None = None,
    image_fit: str | None = None,
) -> tuple[Dataset, ...]:
    """Returns the data set of this name or path as (train, test), or as (train, validation, test).

    images: float32, (N, H, W, C) or (N, D); or sketches: float32, (N, T, 5); or molecules: strings, (N,), with
    properties: float64 (N,) by name; or a table: records, float64 (N, D), and columns;   labels: int64 (N,) or None

    Parameters
    ----------
    name : str or path
        "drawn-digits": 20,000 and 2,000 images that the package draws, all different.
        "drawn-faces": 10,000 and 1,000 faces, likewise, 64 x 64 in colour, with attributes such as smiling and glasses.
        "street-digits": 20,000 and 2,000 house numbers, likewise, 32 x 32 in colour; labels: the digit in the middle.
        "drawn-sketches": 20,000 and 2,000 sketches, the pen strokes of drawn digits.
        "drawn-molecules": 20,000 and 2,000 SMILES, likewise, with the properties logP, weight and rings.
        "mnist", "fashion-mnist", "kmnist": 60,000 and 10,000 images, downloaded once unless the files are found, see
        `data_dir`.
        "emnist-balanced", also "emnist", and "emnist-letters", -digits, -byclass, -bymerge, -mnist: the same, see
        `load_emnist`; one archive of 562 MB.
        "faces", "frey-faces", "svhn": the files that `load_faces`, `load_frey_faces` and `load_svhn` read; nothing is
        downloaded.
        The path of a .npy, .npz or idx file: `read_arrays` and `as_images` in scratchvae/data/files.py say what it may
        hold. An idx file of images finds its labels beside it, as MNIST's files are named.
        The path of a folder of .png and .jpeg images, see `read_image_folder` in scratchvae/data/image_folders.py.
        Sketches: the path of an .ndjson, .json or .svg file, or of a folder of .svg files, see `read_drawings` in
        scratchvae/data/sketch_files.py; or of a .npy or .npz file such as magenta's, see `as_sketches` in
        scratchvae/data/sketches.py.
        Molecules: the path of a .smi, .txt or .csv file, or of one of these with .gz behind, see `read_molecules` in
        scratchvae/data/molecule_files.py.
        A table: the path of a .csv or .tsv file without a column "smiles", see `read_table` in
        scratchvae/data/tables.py. Its columns have the means and standard deviations of the training part.
    data_dir : path, optional
        The folder with the files of a named set; by default the folder that the variable SCRATCHVAE_DATA names.
    seed : int
        The seed of a drawn set, and of the rows that are held out.
    validation : number between 0 and 1, optional
        This share of the training part, drawn at random, becomes a third part, for choosing among models. Validation
        images in an .npz file take its place; without this argument they are left out.
    split : "random" or "last"
        Whether the test part of a file without test images is a random tenth of the rows, or the last tenth, as for
        frames of a film. In both cases it has at least one row.
    labels : path, optional
        The file of the labels, for a file of images alone.
    most : int, optional
        Sketches of more rows, or molecules of more tokens, are left out of a file, and counted as `omissions`; 250 rows
        or 120 tokens by default.
    drawn : int, optional
        The number of training rows of a set that the package draws, at most a million; the test part is the same.
    column : str, optional
        The column of a .csv file with the molecules; "smiles" by default, in any case.
    properties : list of str, optional
        Which properties to keep, of those that the data have; by default all columns of numbers in a .csv file, and
        all properties of a drawn set.
    table : dict, optional
        The arguments of `read_table`, label, categories, counts and ignored among them, for a table.
    missing : bool
        Whether arrays of images or vectors may have NaN, for missing entries; those of a table are NaN in any case.
    image_size, image_colour, image_fit : int or (height, width); "grey" or "colour"; "crop" or "fit", optional
        The form of a folder's images, see `read_image_folder`.

    If there are labels, rows that are drawn at random have the same share of every class.

    Raises InputError for a name that is neither, and DataError for files that cannot be used.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise InputError("load", "the name of a data set or a path", type(name).__name__)
    if split not in SPLITS:
        raise InputError("load", f"split among {', '.join(SPLITS)}", repr(split))
    if drawn is not None and name not in DRAWN:
        raise InputError("load", f"drawn with one of {', '.join(DRAWN)}", repr(os.fspath(name)))
    if name in DATASETS:
        if labels is not None:
            raise InputError("load", "labels beside a file of yours", f"labels and the data set {name}")
        if column is not None or table is not None:
            raise InputError("load", "a column of a .csv file of yours", f"the data set {name}")
        if any(option is not None for option in (image_size, image_colour, image_fit)):
            raise InputError("load", "image options for a folder of images", f"the data set {name}")
        pair = DATASETS[name](data_dir, seed) if drawn is None else _drawn(name, seed, drawn)
        parts = dict(zip(("train", "test"), pair, strict=True))
        parts = {part: rows if properties is None else rows.keep(properties) for part, rows in parts.items()}
    else:
        parts = read(name, labels, most, column, properties, table, missing, image_size, image_colour, image_fit)
        if "test" not in parts:
            parts["train"], parts["test"] = _with_test_part(name, parts["train"], split, seed)
    if validation is not None and "validation" not in parts:
        if len(parts["train"]) == 1:
            expected = "at least two to train with and to choose a model by, beside those to test with"
            raise DataError(_content(name, parts["train"]), expected, "one")
        parts["train"], parts["validation"] = parts["train"].hold_out(validation, seed)
    if parts["train"].records is not None:
        columns = measured(parts["train"].columns, parts["train"].records)
        parts = {part: replace(rows, columns=columns) for part, rows in parts.items()}
    wanted = ("train", "test") if validation is None else ("train", "validation", "test")
    return tuple(parts[part] for part in wanted)


def _drawn(name: str, seed: int, n_train: int | None = None) -> tuple[Dataset, Dataset]:
    """Returns n_train training rows and the test part, whose rows are the same for every n_train."""
    draw, usual = DRAWN[name]
    n_train, test = usual if n_train is None else n_train, slice(usual, usual + usual // 10)
    if not isinstance(n_train, (int, numpy.integer)) or not 1 <= n_train <= MOST_DRAWN:
        raise InputError("load", f"drawn from 1 to {MOST_DRAWN}", repr(n_train))
    rows = draw(max(n_train, usual) + usual // 10, seed)
    others = numpy.delete(numpy.arange(len(rows)), test)
    return rows.take(slice(n_train) if n_train <= usual else others), rows.take(test)


def _with_test_part(path: str | os.PathLike[str], rows: Dataset, split: str, seed: int) -> tuple[Dataset, Dataset]:
    if len(rows) == 1:
        raise DataError(_content(path, rows), "at least two, one to train with and one to test with", "one")
    return rows.hold_out(0.1, seed) if split == "random" else rows.cut(len(rows) - max(1, len(rows) // 10))


def _content(path: str | os.PathLike[str], rows: Dataset) -> str:
    return f"{rows.name_of_rows} of {os.fspath(path)}"


def read(
    path: str | os.PathLike[str],
    labels: str | os.PathLike[str] | None = None,
    most: float | None = None,
    column: str | None = None,
    properties: Sequence[str] | None = None,
    table: Mapping[str, Any] | None = None,
    missing: bool = False,
    image_size: int | Sequence[int] | None = None,
    image_colour: str | None = None,
    image_fit: str | None = None,
) -> dict[str, Dataset]:
    """Returns the parts of a file unchanged: "train", and for an .npz or a folder also "validation" and "test".

    labels: the file of the labels, for a file of images alone;   the others as for `load`, which says what may be read.
    Raises as `load` does.
    """
    if labels is not None and any(
        holds(path) for holds in (holds_drawings, holds_molecules, holds_images, holds_table)
    ):
        raise InputError("load", "labels beside a file of arrays", f"labels and {os.fspath(path)}")
    if holds_drawings(path) or not holds_images(path):
        if any(option is not None for option in (image_size, image_colour, image_fit)):
            raise InputError("load", "image options for a folder of images", repr(os.fspath(path)))
    if table is not None or (column is None and properties is None and holds_table(path)):
        if suffix_of(path) not in TABLE_SUFFIXES or not Path(path).is_file():
            raise InputError("load", f"the path of a table ({', '.join(TABLE_SUFFIXES)})", repr(os.fspath(path)))
        return {"train": read_table(path, **(table or {}))}
    if holds_molecules(path):
        return {"train": read_molecules(path, column, properties, MOST_TOKENS if most is None else most)}
    if column is not None or properties is not None:
        raise InputError("load", "column and properties for a file of molecules, such as a .csv", repr(os.fspath(path)))
    most = MOST_ROWS if most is None else most
    if holds_drawings(path):
        return {"train": read_drawings(path, most)}
    if holds_images(path):
        return read_image_folder(path, image_size, image_colour, image_fit or "crop")
    if not Path(path).is_file():
        expected = (
            f"{', '.join(DATASETS)}, or the path of a .npy, .npz or idx file, of a folder of images, "
            f"of a table ({', '.join(TABLE_SUFFIXES)}), of drawings ({', '.join(SUFFIXES)}) "
            f"or of molecules ({', '.join(MOLECULE_SUFFIXES)})"
        )
        raise InputError("load", expected, repr(os.fspath(path)))
    labels = labels or labels_beside(path)
    if labels is not None and not Path(labels).is_file():
        raise InputError("load", "the path of a file of labels", repr(os.fspath(labels)))
    arrays = read_arrays(path)
    if labels is not None and "labels" not in arrays:
        beside = read_arrays(labels)
        arrays["labels"] = beside.get("labels", beside["images"])
    parts = {}
    for part, prefix in (("train", ""), ("validation", "valid_"), ("test", "test_")):
        if f"{prefix}images" not in arrays:
            continue
        array, y = arrays[f"{prefix}images"], arrays.get(f"{prefix}labels")
        if y is not None:
            y = as_labels(y, len(array), f"{prefix}labels of {labels or path}".replace("_", " "))
        if _holds_sketches(arrays["images"]):
            sketches, keep = as_sketches(array, f"{prefix}sketches of {path}".replace("_", " "), most)
            y = None if y is None else y[keep]
            parts[part] = Dataset(labels=y, sketches=sketches, omissions=int((~keep).sum()))
            continue
        images = as_images(array, f"{prefix}images of {path}".replace("_", " "), missing, files.LARGE)
        parts[part] = Dataset(images, y)
        if images.shape[1:] != parts["train"].images.shape[1:]:
            expected = f"{part} images of shape {parts['train'].images.shape[1:]}, as the training images"
            raise DataError(f"{part} images of {path}", expected, f"{images.shape[1:]}")
    return parts


def _holds_sketches(array: numpy.ndarray) -> bool:
    """Tells whether an array holds sketches: arrays, or rows of three or five numbers that end with a pen.

    A pen is a column of 0 and 1, or three such columns.
    """
    if array.dtype == object:
        return True
    if array.ndim != 3 or array.shape[2] not in (3, 5) or array.dtype.kind not in "if" or not array.size:
        return False
    pen = array[:, :, 2:]
    return bool(((pen == 0) | (pen == 1)).all()) and not (array.min() >= 0 and array.max() <= 1)
