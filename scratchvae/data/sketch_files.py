"""Drawings are read as lines from Quick, Draw!'s .ndjson files, .json and .svg files, and folders of .svg files.

Sketches in .npy and .npz files are arrays: `read_arrays` in scratchvae/data/files.py, and `as_sketches`.

Source: https://github.com/googlecreativelab/quickdraw-dataset, "The raw moderated dataset" and "Preprocessed dataset"
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy

from scratchvae.data.dataset import Dataset
from scratchvae.data.sketches import LARGEST, MOST_ROWS, pad, simplify, steps_of_lines
from scratchvae.data.svg import read_svg
from scratchvae.errors import DataError
from scratchvae.npz import opened, readable

SUFFIXES = (".ndjson", ".json", ".svg")
"""The ends of these files' names."""

LONGEST_LINE, LARGEST_JSON = 2**20, 2**25
"""The most bytes of a drawing in an .ndjson file, and of a .json file."""

SIDE, SPACING, TOLERANCE = 255.0, 1.0, 2.0
"""Raw drawings are scaled to this longer side, resampled with this spacing and simplified with this tolerance."""

LONGEST_DRAWING = 2**20
"""The most pixels of all lines of a raw drawing together, after it has been scaled."""


def holds_drawings(path: str | os.PathLike[str]) -> bool:
    """Tells whether `read_drawings` reads this path: by the end of a file's name, or for a folder with .svg files.

    They may also lie in its sub-folders, one for each class.
    """
    path = Path(path)
    if path.is_dir():
        return any(path.glob("*.svg")) or any(path.glob("*/*.svg"))
    return path.is_file() and path.suffix.lower() in SUFFIXES


def read_drawings(path: str | os.PathLike[str], most: float = MOST_ROWS) -> Dataset:
    """Returns the sketches of a file, or of a folder of .svg files in the order of their names; y goes down.

    .ndjson     one drawing a line, {"drawing": [[xs, ys], ...], "word": ..., "recognized": ...}: a drawing with
                times, [xs, ys, ts], is raw; it is scaled to 255 pixels, resampled and simplified as Quick, Draw! does.
                Those that were not recognized are left out. If every drawing has a word, its label is the number of the
                word among all words in alphabetical order.
    .json       drawings as lists of lines, each a list of points [x, y]; or one drawing
    .svg        see `read_svg`
    a folder    of .svg files, or of sub-folders of them, one for each class: labels are the numbers of these
                sub-folders in alphabetical order

    Sketches of more than `most` rows, and those without a line, are left out; `omissions` says how many.

    Raises DataError for a missing or damaged file, another structure, and where no sketch is left.
    """
    path, words = Path(path), []
    if path.suffix.lower() == ".ndjson":
        records = list(_ndjson(path))
        drawings, words = [lines for lines, _ in records], [word for _, word in records]
    elif path.is_dir():
        drawings, words = _folder(path)
    elif path.suffix.lower() == ".svg":
        drawings = read_svg(path)
    else:
        drawings = _json(path)
    sketches, keep = pad([steps_of_lines(drawing) for drawing in drawings], most, f"sketches of {path}")
    labels = None
    if words and None not in words:
        labels = numpy.unique(words, return_inverse=True)[1][keep].astype(numpy.int64)
    return Dataset(sketches=sketches, labels=labels, omissions=int((~keep).sum()))


def _folder(path: Path) -> tuple[list[list[numpy.ndarray]], list[str | None]]:
    """Returns the drawings of a folder's .svg files, and the sub-folder of each, if any."""
    files = sorted(path.glob("*.svg"))
    classes = sorted(file for file in path.glob("*/*.svg") if file.is_file())
    if not files and not classes:
        raise DataError(f"reading {path}", "a folder of .svg files", "one without any")
    if files and classes:
        received = f"{len(files)} beside {len({file.parent for file in classes})} sub-folders with others"
        raise DataError(f"reading {path}", ".svg files, or sub-folders of them, one for each class", received)
    drawings, words = [], []
    for file in files or classes:
        found = read_svg(file)
        drawings += found
        words += [file.parent.name if classes else None] * len(found)
    return drawings, words


def _ndjson(path: Path) -> Iterator[tuple[list[numpy.ndarray], str | None]]:
    """Yields the lines and the word of each recognized drawing."""
    operation, form = f"reading {path}", "an .ndjson file, with one drawing a line"
    with readable(operation, form), opened(path) as file:
        n = 0
        while text := file.readline(LONGEST_LINE + 1):
            n += 1
            if len(text) > LONGEST_LINE:
                raise DataError(operation, f"lines of at most {LONGEST_LINE} bytes", f"a longer one, number {n}")
            if not text.strip():
                continue
            record = json.loads(text)
            strokes, word = (record.get("drawing"), record.get("word")) if isinstance(record, dict) else (None, None)
            if not isinstance(strokes, list) or not isinstance(word, str | None):
                raise DataError(operation, 'objects with a list "drawing"', f"another one in line {n}")
            if not record.get("recognized", True):
                continue
            arrays = [_numbers(stroke, f"{operation}, line {n}", "[xs, ys] or [xs, ys, ts]") for stroke in strokes]
            if not all(stroke.shape[0] in (2, 3) for stroke in arrays):
                raise DataError(f"{operation}, line {n}", "strokes [xs, ys] or [xs, ys, ts]", "strokes of another form")
            lines = [stroke[:2].T for stroke in arrays]
            raw = any(len(stroke) == 3 for stroke in arrays)
            yield _as_simplified(lines, f"{operation}, line {n}") if raw else lines, word


def _as_simplified(lines: list[numpy.ndarray], operation: str) -> list[numpy.ndarray]:
    """Simplifies raw lines as Quick, Draw! does: a box of 255 pixels, a point per pixel, then as few points as suffice.

    Raises DataError for lines that are too long together, and for coordinates that are too large.
    """
    points = numpy.concatenate(lines)
    if not (numpy.abs(points) < LARGEST).all():
        raise DataError(operation, f"coordinates below {LARGEST}", "larger ones")
    extent = float(numpy.ptp(points, axis=0).max())
    if extent == 0:
        return lines
    lines = [line * (SIDE / extent) for line in lines]
    lengths = [numpy.append(0.0, numpy.hypot(*numpy.diff(line, axis=0).T).cumsum()) for line in lines]
    total = sum(length[-1] for length in lengths)
    if total > LONGEST_DRAWING:
        raise DataError(operation, f"lines of at most {LONGEST_DRAWING} pixels in a box of {SIDE:g}", f"{total:.0f}")
    resampled = [_resampled(line, length) for line, length in zip(lines, lengths, strict=True)]
    return simplify(resampled, TOLERANCE)


def _resampled(line: numpy.ndarray, length: numpy.ndarray) -> numpy.ndarray:
    """Returns a point at every pixel of a line's length, and at its end.   line (P, 2), length up to each point (P,)"""
    at = numpy.append(numpy.arange(0.0, length[-1], SPACING), length[-1])
    return numpy.stack([numpy.interp(at, length, coordinate) for coordinate in line.T], axis=1)


def _json(path: Path) -> list[list[numpy.ndarray]]:
    operation, form = f"reading {path}", "a .json file of drawings, lists of lines of points [x, y]"
    with readable(operation, form), opened(path, LARGEST_JSON) as file:
        drawings = json.loads(file.read(LARGEST_JSON + 1))
    if _depth(drawings) == 3:
        drawings = [drawings]
    if not isinstance(drawings, list) or not all(isinstance(drawing, list) for drawing in drawings):
        raise DataError(operation, form, "another structure")
    drawings = [[_numbers(line, operation, "lines of points [x, y]") for line in drawing] for drawing in drawings]
    if not all(line.shape[1] == 2 for drawing in drawings for line in drawing):
        raise DataError(operation, "lines of points [x, y]", "lists of another form")
    return drawings


def _depth(value: Any) -> int:
    """Returns the nesting depth of lists around the first number."""
    depth = 0
    while isinstance(value, list) and value:
        value, depth = value[0], depth + 1
    return depth


def _numbers(values: Any, operation: str, expected: str) -> numpy.ndarray:
    """Returns a list of equally long, non-empty lists of finite numbers as float64."""
    try:
        array = numpy.array(values)
    except ValueError:
        array = numpy.empty(0)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "iuf" or not numpy.isfinite(array).all():
        raise DataError(operation, expected, "other lists, or what is no finite number")
    return array.astype(numpy.float64)
