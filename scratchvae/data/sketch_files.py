"""Readers for drawings as lines: Quick, Draw!'s .ndjson, .json, .svg, and a folder of .svg files.

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
from scratchvae.data.sketches import MOST_ROWS, pad, simplify, steps_of_lines
from scratchvae.data.svg import read_svg
from scratchvae.errors import DataError
from scratchvae.npz import opened, readable

SUFFIXES = (".ndjson", ".json", ".svg")
"""What the names of these files end in."""

LONGEST_LINE, LARGEST_JSON = 2**20, 2**25
"""The most bytes of a drawing in an .ndjson file, and of a .json file."""

SIDE, TOLERANCE = 255.0, 2.0
"""Raw drawings of Quick, Draw! are scaled to this longer side, and then simplified with this tolerance, as it does."""


def holds_drawings(path: str | os.PathLike[str]) -> bool:
    """Whether `read_drawings` is the reader: by the end of a file's name, or for a folder with an .svg file in it."""
    path = Path(path)
    return any(path.glob("*.svg")) if path.is_dir() else path.is_file() and path.suffix.lower() in SUFFIXES


def read_drawings(path: str | os.PathLike[str], most: float = MOST_ROWS) -> Dataset:
    """The sketches of a file, or of a folder of .svg files in the order of their names; y goes down.

    .ndjson     one drawing a line, {"drawing": [[xs, ys], ...], "word": ..., "recognized": ...}: raw where there are
                times, [xs, ys, ts], and then scaled to 255 pixels and simplified. Those that were not recognized are
                left out. Where every drawing has a word, labels: its number among all words in alphabetical order.
    .json       drawings as lists of lines, each a list of points [x, y]; or one drawing
    .svg        see `read_svg`

    Sketches of more than `most` rows, and those without a line, are left out; `omissions` says how many.

    Raises DataError for a missing or damaged file, another structure, and where no sketch is left.
    """
    path, words = Path(path), [None]
    if path.suffix.lower() == ".ndjson":
        records = list(_ndjson(path))
        drawings, words = [lines for lines, _ in records], [word for _, word in records]
    elif path.is_dir():
        files = sorted(path.glob("*.svg"))
        if not files:
            raise DataError(f"reading {path}", "a folder of .svg files", "one without any")
        drawings = [drawing for file in files for drawing in read_svg(file)]
    elif path.suffix.lower() == ".svg":
        drawings = read_svg(path)
    else:
        drawings = _json(path)
    sketches, keep = pad([steps_of_lines(drawing) for drawing in drawings], most, f"sketches of {path}")
    labels = None
    if None not in words:
        labels = numpy.unique(words, return_inverse=True)[1][keep].astype(numpy.int64)
    return Dataset(sketches=sketches, labels=labels, omissions=int((~keep).sum()))


def _ndjson(path: Path) -> Iterator[tuple[list[numpy.ndarray], str | None]]:
    """The lines of each drawing that was recognized, and its word."""
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
                raise DataError(f"{operation}, line {n}", "strokes [xs, ys] or [xs, ys, ts]", "others")
            lines = [stroke[:2].T for stroke in arrays]
            yield _as_simplified(lines) if any(len(stroke) == 3 for stroke in arrays) else lines, word


def _as_simplified(lines: list[numpy.ndarray]) -> list[numpy.ndarray]:
    """Raw lines in a box of 255 pixels, simplified. Quick, Draw! also resamples them before; no corner moves here."""
    extent = float(numpy.ptp(numpy.concatenate(lines), axis=0).max())
    return simplify([line * (SIDE / extent) for line in lines], TOLERANCE) if extent > 0 else lines


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
        raise DataError(operation, "lines of points [x, y]", "others")
    return drawings


def _depth(value: Any) -> int:
    """The number of lists around the first number."""
    depth = 0
    while isinstance(value, list) and value:
        value, depth = value[0], depth + 1
    return depth


def _numbers(values: Any, operation: str, expected: str) -> numpy.ndarray:
    """A list of lists of finite numbers, all of one length and not empty, as float64."""
    try:
        array = numpy.array(values)
    except ValueError:
        array = numpy.empty(0)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "iuf" or not numpy.isfinite(array).all():
        raise DataError(operation, expected, "other lists, or what is no finite number")
    return array.astype(numpy.float64)
