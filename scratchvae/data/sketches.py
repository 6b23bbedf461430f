"""A sketch is an array of offsets from each point of its lines to the next.

A drawing is a list of lines, and a line an array of points (x, y), x to the right and y down. Its origin is the first
point of the pen. Row t of a sketch of n rows has the offset to the next point and the state of the pen behind it,

    (dx, dy, down, up, end)      one of down, up and end is 1, the others 0

A sketch has n rows with down or up, and then at least one row (0, 0, 0, 0, 1), and more of them where other sketches
are longer. So x (N, T, 5) says where each sketch ends. The first point has no row: it would be the same number
everywhere, and the density of a constant is unbounded.

Source: Ha & Eck, "A neural representation of sketch drawings" (2018), section 3.1, which calls this "stroke-5"; Ramer
(1972) and Douglas & Peucker (1973) for `simplify`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy

from scratchvae.data.dataset import Dataset
from scratchvae.data.drawn_digits import draw_strokes
from scratchvae.errors import DataError

END_ROW = (0, 0, 0, 0, 1)
DOWN, UP, END = 2, 3, 4
"""The columns of the pen's states."""

MOST_ROWS = 250
"""The default of `most`: longer sketches are left out of a user's files."""

LARGEST = 2**24
"""Offsets are smaller than this: float32 has every whole number up to there."""

FEWEST = 20
"""The fewest rows, or lines after others, from which coordinates are told from offsets."""

PIECE = 1000
"""The number of points in the pieces into which `simplify` cuts a line, so that its time grows only linearly."""


def draw_sketches(n: int, seed: int = 0) -> Dataset:
    """Returns the pen strokes of draw_digits(n, seed) as sketches, with labels and style factors.

    sketches: (n, T, 5) in pixels of a 28 x 28 image, simplified with a tolerance of 0.3 pixels: 12 rows on average.

    Raises InputError if n is not a positive integer.
    """
    labels, factors, groups = draw_strokes(n, seed)
    drawings: list[list[numpy.ndarray]] = [[] for _ in range(n)]
    for rows, lines in groups:
        simple = iter(simplify([line for stroke in lines for line in stroke], 0.3))
        for _ in lines:
            for row in rows:
                drawings[row].append(next(simple))
    return Dataset(labels=labels, factors=factors, sketches=from_lines(drawings))


def from_lines(drawings: Sequence[Sequence[Any]]) -> numpy.ndarray:
    """Converts N drawings to sketches, float32 (N, T, 5).

    `to_lines` inverts it, except for the position of the first point.

    A line of one point is a dot; where a drawing begins with dots they are left out, since no row can hold them.

    Raises DataError for a drawing without a line of two points, and for numbers that are not finite or too large.
    """
    steps = [steps_of_lines(drawing) for drawing in drawings]
    x, keep = pad(steps, math.inf, "from_lines")
    if not keep.all():
        raise DataError("from_lines", "drawings with a line of two points", f"one without, number {keep.argmin()}")
    return x


def to_lines(sketches: Any) -> list[list[numpy.ndarray]]:
    """Converts sketches to lists of lines, float64 (points, 2) each, starting at (0, 0).   (N, T, 5) -> N lists"""
    drawings = []
    for sketch in numpy.asarray(sketches):
        rows = sketch[sketch[:, END].cumsum() == 0]
        points = numpy.concatenate([numpy.zeros((1, 2)), rows[:, :2].cumsum(axis=0, dtype=numpy.float64)])
        lines = numpy.split(points, numpy.flatnonzero(rows[:, UP]) + 2)
        drawings.append([line for line in lines if len(line)])
    return drawings


def as_sketches(array: numpy.ndarray, operation: str, most: float = MOST_ROWS) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Converts an array to sketches, float32 (N, T, 5), and tells which rows they are (bool), from any of these arrays:

    (M, T, 5)                   rows (dx, dy, down, up, end), as above
    (M, T, 3)                   rows (dx, dy, pen), pen = 1 where the pen is lifted behind the point; behind the last
                                row zeros up to T
    (M,) of arrays (n, 3)       the same rows, of any number

    Sketches of more than `most` rows, and those without any, are left out. Where the first row of *every* sketch is
    (0, 0), it is the origin, and dropped.

    Raises DataError, which begins with `operation`, for anything else: other shapes, a pen in no state or in several,
    no end, other rows behind the end, NaN, infinity, offsets of 2^24 or more, and absolute coordinates as far as they
    can be told from offsets.
    """
    if array.dtype == object:
        steps = [_checked_steps(rows, operation) for rows in array]
    elif array.ndim == 3 and array.shape[2] == 3 and array.size:
        steps = [rows[: len(rows) - _trailing(rows == 0)] for rows in _checked_steps(array, operation)]
    else:
        steps = _steps_of_five(array, operation)
    if not all(map(len, steps)):
        raise DataError(operation, "sketches with a row", f"one without, number {[*map(len, steps)].index(0)}")
    if all(not rows[0, :2].any() for rows in steps):
        steps = [rows[1 + _leading(rows[:, 2] == 1) :] for rows in steps]  # and dots before the first line
    _refuse_coordinates(steps, operation)
    return pad(steps, most, operation)


def steps_of_lines(drawing: Sequence[Any]) -> numpy.ndarray:
    """Returns the rows (dx, dy, pen) of a drawing, float64 (n, 3), none if it has no line of two points."""
    sizes = [len(line) for line in drawing]
    first = next((k for k, size in enumerate(sizes) if size > 1), None)
    if first is None:
        return numpy.empty((0, 3))
    steps = numpy.zeros((sum(sizes[first:]) - 1, 3))
    steps[:, :2] = numpy.diff(numpy.concatenate(drawing[first:]).astype(numpy.float64), axis=0)
    steps[numpy.cumsum(sizes[first:]) - 2, 2] = 1
    return steps


def pad(steps: Sequence[numpy.ndarray], most: float, operation: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Pads lists of 1 to `most` rows (dx, dy, pen) to sketches (N, T, 5), and tells which of the M lists they are.

    Raises DataError if there is none, and for offsets that are not finite, or of 2^24 or more.
    """
    sizes = numpy.array([len(rows) for rows in steps], dtype=numpy.int64)
    keep = (sizes > 0) & (sizes <= most)
    if not keep.any():
        bound = "" if most == math.inf else f", of at most {most} rows"
        raise DataError(operation, f"at least one sketch{bound}", f"none among {len(steps)}")
    sizes = sizes[keep]
    rows = numpy.concatenate([rows for rows, wanted in zip(steps, keep, strict=True) if wanted])
    if not (numpy.abs(rows[:, :2]) < LARGEST).all():
        raise DataError(operation, f"offsets below {LARGEST}", "larger ones, or NaN")
    x = numpy.zeros((len(sizes), sizes.max() + 1, 5), dtype=numpy.float32)
    x[:, :, END] = numpy.arange(x.shape[1]) >= sizes[:, None]
    within = x[:, :, END] == 0
    x[within, :2] = rows[:, :2]
    x[within, DOWN], x[within, UP] = rows[:, 2] == 0, rows[:, 2] == 1
    return x, keep


def simplify(lines: Sequence[Any], tolerance: float) -> list[numpy.ndarray]:
    """Returns the lines with as few points as Ramer, Douglas and Peucker keep, no other farther away than `tolerance`.

    Each chord between two kept points is cut at the point farthest from it, as long as that is farther than
    `tolerance`. All chords of all lines are cut at once. A line of more than 1,000 points is first cut into pieces of
    that length.

    Raises DataError for coordinates that are not finite.
    """
    if not len(lines):
        return []
    sizes = numpy.array([len(line) for line in lines])
    points = numpy.concatenate(lines).astype(numpy.float64)
    if not sizes.all() or not (numpy.abs(points) < LARGEST).all():
        expected = f"points in every line, with coordinates below {LARGEST}"
        raise DataError("simplify", expected, "none, larger ones, or NaN")
    ends = numpy.cumsum(sizes)
    keep = (numpy.arange(len(points)) - numpy.repeat(ends - sizes, sizes)) % PIECE == 0
    keep[ends - 1] = True
    corners = numpy.flatnonzero(keep)
    left, right = corners[:-1], corners[1:]
    while True:
        inside = right - left > 1
        left, right = left[inside], right[inside]
        if not len(left):
            break
        n = right - left - 1
        start = numpy.cumsum(n) - n
        chord = numpy.repeat(numpy.arange(len(n)), n)
        inner = numpy.arange(len(chord)) - start[chord] + left[chord] + 1
        squared = _squared_distance(points[inner], points[left][chord], points[right][chord])
        farthest = numpy.maximum.reduceat(squared, start)
        candidates = numpy.flatnonzero(squared == farthest[chord])
        middle = inner[candidates[numpy.unique(chord[candidates], return_index=True)[1]]]
        far = farthest > tolerance * tolerance
        left, middle, right = left[far], middle[far], right[far]
        keep[middle] = True
        left, right = numpy.concatenate([left, middle]), numpy.concatenate([middle, right])
    originals = numpy.split(numpy.arange(len(points)), ends[:-1])
    return [numpy.asarray(line)[keep[places]] for line, places in zip(lines, originals, strict=True)]


def describe_sketches(sketches: numpy.ndarray) -> dict[str, Any]:
    """Describes sketches: their number, rows, lines, and the scale of their offsets.

    sketches, rows (on average), longest, lines (on average), scale (the standard deviation of all dx and dy), and
    whole_numbers: whether all offsets are whole, so that a density may grow spikes there and `dequantize_sketches`
    helps.
    """
    within = sketches[:, :, END] == 0
    rows, offsets = within.sum(axis=1), sketches[within][:, :2]
    last = numpy.take_along_axis(sketches[:, :, UP], rows[:, None] - 1, axis=1)[:, 0]
    return {
        "sketches": len(sketches),
        "rows": float(rows.mean()),
        "longest": int(rows.max()),
        "lines": float((sketches[:, :, UP].sum(axis=1) + 1 - last).mean()),
        "scale": float(offsets.std(dtype=numpy.float64)),
        "whole_numbers": bool((offsets == numpy.rint(offsets)).all()),
    }


def _squared_distance(points: numpy.ndarray, start: numpy.ndarray, end: numpy.ndarray) -> numpy.ndarray:
    """Returns the squared distances from points to the segments from start to end.   (P, 2) each -> (P,)"""
    step, x = end - start, points - start
    along = (x * step).sum(axis=1) / numpy.maximum((step * step).sum(axis=1), 1e-300)
    x -= numpy.clip(along, 0, 1)[:, None] * step
    return (x * x).sum(axis=1)


def _leading(truths: numpy.ndarray) -> int:
    """Returns the number of true values before the first false one."""
    return int(numpy.append(truths, False).argmin())


def _trailing(rows: numpy.ndarray) -> int:
    """Returns the number of rows at the end in which all values are true."""
    return _leading(rows.all(axis=1)[::-1])


def _checked_numbers(array: numpy.ndarray, operation: str) -> None:
    if array.dtype.kind not in "buif":
        raise DataError(operation, "numbers", f"values of type {array.dtype}")
    finite = numpy.isfinite(array)
    if not finite.all():
        raise DataError(operation, "finite offsets", f"{array.size - finite.sum()} that are NaN or infinite")


def _checked_steps(array: numpy.ndarray, operation: str) -> numpy.ndarray:
    """Returns rows (dx, dy, pen) as float64, (..., 3)."""
    if array.ndim < 2 or array.shape[-1] != 3:
        raise DataError(operation, "sketches of rows (dx, dy, pen)", f"an array of shape {array.shape}")
    _checked_numbers(array, operation)
    if not numpy.isin(array[..., 2], (0, 1)).all():
        raise DataError(operation, "a pen of 0 (down) or 1 (lifted) in the last column", "other numbers")
    return array.astype(numpy.float64)


def _steps_of_five(array: numpy.ndarray, operation: str) -> list[numpy.ndarray]:
    """Returns the rows (dx, dy, pen) of each sketch in (N, T, 5), after checking them."""
    if array.ndim != 3 or array.shape[2] != 5 or array.size == 0:
        expected = "sketches (N, T, 5), (N, T, 3) or N arrays (T, 3)"
        raise DataError(operation, expected, f"the shape {array.shape}")
    _checked_numbers(array, operation)
    pen = array[:, :, 2:]
    if not ((pen == 0) | (pen == 1)).all() or not (pen.sum(axis=2) == 1).all():
        raise DataError(operation, "rows with one of down, up and end equal to 1, the others 0", "another row")
    at_end = pen[:, :, 2] == 1
    if not at_end[:, -1].all():
        raise DataError(operation, f"rows {END_ROW} from the end on", "a sketch whose last row is not the end")
    if not (array[at_end] == END_ROW).all() or (numpy.diff(at_end.astype(numpy.int8), axis=1) < 0).any():
        raise DataError(operation, f"rows {END_ROW} from the end on", "other rows behind the end")
    return [rows[:n][:, [0, 1, 3]].astype(numpy.float64) for rows, n in zip(array, (~at_end).sum(axis=1), strict=True)]


def _refuse_coordinates(steps: Sequence[numpy.ndarray], operation: str) -> None:
    """Raises DataError for rows that look like points instead of offsets between points.

    No pen moves only to the right and down: among 20 offsets some are below 0, but pixels never are. Coordinates from
    another origin change little from row to row, |x_t - x_(t-1)| < 3/4 |x_t| on average. So do offsets along a smooth
    line, except the offset to the next line, which differs from those on both sides of it; a point there does not.
    """
    hint = "absolute coordinates? take their differences: numpy.diff(points, axis=0)"
    offsets = numpy.concatenate([rows[:, :2] for rows in steps])
    if len(offsets) >= FEWEST and offsets.min() >= 0:
        raise DataError(operation, "offsets in all directions", f"{len(offsets)} rows without one below 0", hint)
    changes = [numpy.abs(numpy.diff(rows[:, :2], axis=0)).sum(axis=1) for rows in steps]
    lifts = [numpy.flatnonzero(rows[:-2, 2] == 1) for rows in steps]  # row t; row t + 1 leads to the next line
    before, behind = (
        numpy.concatenate([change[lift + k] for change, lift in zip(changes, lifts, strict=True)]) for k in (0, 1)
    )
    smooth = numpy.concatenate(changes).sum() < 0.75 * numpy.abs(offsets).sum()
    if smooth and len(before) >= FEWEST and behind.sum() < 0.6 * before.sum():
        raise DataError(operation, "offsets from point to point", "rows that change as little as points do", hint)
