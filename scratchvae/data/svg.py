"""Drawings are read from SVG files, as lines without colours, widths or text, and sketches are written to them.

`read_svg` knows paths (M L H V C S Q T A Z, relative too), polyline, polygon, line, rect, circle and ellipse, each
written as the path that the standard gives for it, and nested transforms. Curves become chords. It expands no entity:
a document type is refused before anything is parsed.

Source: W3C, "Scalable Vector Graphics (SVG) 1.1", chapters 7.6 and 9
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree

import numpy

from scratchvae.backend import to_numpy
from scratchvae.data.sketches import LARGEST, simplify, to_lines
from scratchvae.data.svg_path import MOST_POINTS, SEPARATOR, path_lines, read_numbers
from scratchvae.errors import DataError, InputError
from scratchvae.npz import opened, readable
from scratchvae.replacement import write_text

LARGEST_FILE = 2**22
"""The most bytes of a file that is read."""

TOLERANCE = 2 / 255
"""Drawings are simplified with this tolerance times their longer side, as Quick, Draw!'s are."""

TRANSFORM = re.compile(r"(\w+)\s*\(([^()]*)\)\s*,?\s*")

NOT_DRAWN = {"defs", "symbol", "clipPath", "mask", "marker", "pattern", "metadata", "title", "desc", "style", "script"}
"""Elements within which nothing is drawn by itself."""

IDENTITY = numpy.eye(3)


def read_svg(path: str | os.PathLike[str]) -> list[list[numpy.ndarray]]:
    """Returns the drawings in an SVG file, each a list of lines (points, 2), in its own units, y down.

    A file is one drawing, simplified with a tolerance of 2/255 of its longer side; but if it has elements of the class
    "sketch", as `write_svg` gives them, each of these is one, and its points stay as they are.

    Raises DataError for a missing or damaged file, more than 4 MiB, a document type, and numbers that cannot be read.
    """
    operation, form = f"reading {path}", "an SVG file"
    with readable(operation, form), opened(path, LARGEST_FILE) as file, numpy.errstate(all="ignore"):
        text = file.read(LARGEST_FILE + 1).decode("utf-8-sig")
        if "\0" in text:  # the parser would take it for UTF-16, in which a document type looks otherwise
            raise DataError(operation, form, "one with zero bytes", "save it as UTF-8")
        if match := re.search("<!(DOCTYPE|ENTITY)", text, re.IGNORECASE):
            hint = "delete the line, or save it as plain SVG"
            raise DataError(operation, "an SVG file without a document type", f"one with {match[0]}", hint)
        root = ElementTree.fromstring(text)
        if _tag(root) != "svg":
            raise DataError(operation, form, f"one whose root is {_tag(root)}")
        drawings: dict[int | None, list[numpy.ndarray]] = {}
        n = 0
        for sketch, lines in _shapes(root):
            drawings.setdefault(sketch, []).extend(lines)
            n += sum(map(len, lines))
            if n > MOST_POINTS:
                raise ValueError(f"more than {MOST_POINTS} points")
    others = drawings.pop(None, [])
    if drawings:
        return list(drawings.values())
    if not others:
        raise DataError(operation, "lines", "none")
    extent = numpy.ptp(numpy.concatenate(others), axis=0).max()
    return [simplify(others, TOLERANCE * extent)]


def write_svg(path: str | os.PathLike[str], sketches: Any, columns: int | None = None) -> None:
    """Writes sketches (N, T, 5) to an SVG file, one path each, in a grid of `columns`, by default nearly square.

    `read_svg` reads the same sketches back, to 6 digits.

    Raises InputError if x is not an array of sketches, WriteError if the file cannot be written.
    """
    sketches = to_numpy(sketches)
    if sketches.ndim != 3 or sketches.shape[2] != 5 or not sketches.size:
        raise InputError("write_svg", "sketches (N, T, 5)", f"the shape {sketches.shape}")
    drawings = to_lines(sketches)
    boxes = [(points.min(axis=0), points.max(axis=0)) for points in map(numpy.concatenate, drawings)]
    cell = 1.2 * max(float((high - low).max()) for low, high in boxes) or 1.0
    columns = columns or math.ceil(math.sqrt(len(drawings)))
    paths = []
    for n, (lines, (low, high)) in enumerate(zip(drawings, boxes, strict=True)):
        x, y = cell * (numpy.array([n % columns, n // columns]) + 0.5) - (low + high) / 2
        d = "".join(_path(line) for line in lines)
        paths.append(f'<path class="sketch" transform="translate({x:.6g} {y:.6g})" d="{d}"/>')
    width, height = cell * min(columns, len(drawings)), cell * -(-len(drawings) // columns)
    style = 'fill="none" stroke="black" stroke-linecap="round" stroke-linejoin="round"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.6g} {height:.6g}">',
        f'<g {style} stroke-width="{cell / 60:.6g}">',
    ]
    write_text(path, "\n".join([*head, *paths, "</g>", "</svg>", ""]))


def _path(line: numpy.ndarray) -> str:
    """Returns a line as path commands; a dot becomes a line to itself, which round ends make visible."""
    points = " ".join(f"{x:.6g} {y:.6g}" for x, y in (line if len(line) > 1 else line[[0, 0]]).tolist())
    return f"M{points}"


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _shapes(root: ElementTree.Element) -> Iterator[tuple[int | None, list[numpy.ndarray]]]:
    """Yields each shape of a file in drawing order: the number of its sketch, or None, and its lines."""
    waiting: list[tuple[ElementTree.Element, numpy.ndarray, int | None]] = [(root, IDENTITY, None)]
    n = 0
    while waiting:
        element, outer, sketch = waiting.pop()
        if _tag(element) in NOT_DRAWN:
            continue
        matrix = outer @ _transform(element.get("transform", ""))
        if sketch is None and "sketch" in element.get("class", "").split():
            sketch, n = n, n + 1
        if _tag(element) in SHAPES:
            yield sketch, [_moved(line, matrix) for line in path_lines(SHAPES[_tag(element)](element))]
        waiting.extend((child, matrix, sketch) for child in reversed(element))


def _moved(line: numpy.ndarray, matrix: numpy.ndarray) -> numpy.ndarray:
    """Returns the line in the coordinates of the file, without consecutive equal points."""
    points = line @ matrix[:2, :2].T + matrix[:2, 2]
    if not (numpy.abs(points) < LARGEST).all():
        raise ValueError("coordinates that are too large")
    return points[numpy.append(True, (points[1:] != points[:-1]).any(axis=1))]


def _transform(text: str) -> numpy.ndarray:
    """Returns the matrix of a list of transforms, of which the last is applied first."""
    matrix, place = IDENTITY, SEPARATOR.match(text).end()
    while place < len(text):
        match = TRANSFORM.match(text, place)
        if not match or match[1] not in TRANSFORMS:
            raise ValueError(f"the transform {text[place : place + 40]}")
        a, b, c, d, e, f = TRANSFORMS[match[1]](*read_numbers(match[2]))
        matrix, place = matrix @ numpy.array([[a, c, e], [b, d, f], [0, 0, 1]]), match.end()
    return matrix


def _rotate(degrees: float, x: float = 0.0, y: float = 0.0) -> tuple[float, ...]:
    """Returns the matrix of a clockwise rotation, with y down, about the point (x, y)."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return c, s, -s, c, x - c * x + s * y, y - s * x - c * y


TRANSFORMS: dict[str, Callable[..., tuple[float, ...]]] = {
    "matrix": lambda a, b, c, d, e, f: (a, b, c, d, e, f),
    "translate": lambda x, y=0.0: (1, 0, 0, 1, x, y),
    "scale": lambda x, y=None: (x, 0, 0, x if y is None else y, 0, 0),
    "rotate": _rotate,
    "skewX": lambda degrees: (1, 0, math.tan(math.radians(degrees)), 1, 0, 0),
    "skewY": lambda degrees: (1, math.tan(math.radians(degrees)), 0, 1, 0, 0),
}
"""Name -> (a, b, c, d, e, f) of x' = a x + c y + e, y' = b x + d y + f."""


def _attributes(element: ElementTree.Element, *names: str) -> list[float]:
    """Returns these lengths of an element in pixels; those that it does not have are 0."""
    return [float(element.get(name, "0").strip().removesuffix("px")) for name in names]


def _polyline(element: ElementTree.Element) -> str:
    coordinates = read_numbers(element.get("points", ""))
    return "M" + " ".join(map(repr, coordinates)) if coordinates else ""


def _line(element: ElementTree.Element) -> str:
    x1, y1, x2, y2 = _attributes(element, "x1", "y1", "x2", "y2")
    return f"M{x1} {y1} {x2} {y2}"


def _rectangle(element: ElementTree.Element) -> str:
    x, y, width, height, rx, ry = _attributes(element, "x", "y", "width", "height", "rx", "ry")
    rx, ry = min(rx or ry, width / 2), min(ry or rx, height / 2)
    if not rx or not ry:
        return f"M{x} {y}h{width}v{height}h{-width}z"
    corner, across, down = f"a{rx} {ry} 0 0 1", width - 2 * rx, height - 2 * ry
    sides = f"h{across}{corner} {rx} {ry}v{down}{corner} {-rx} {ry}h{-across}{corner} {-rx} {-ry}v{-down}"
    return f"M{x + rx} {y}{sides}{corner} {rx} {-ry}z"


def _ellipse(element: ElementTree.Element) -> str:
    x, y, r, rx, ry = _attributes(element, "cx", "cy", "r", "rx", "ry")
    rx, ry = rx or r, ry or r
    return f"M{x + rx} {y}a{rx} {ry} 0 0 1 {-2 * rx} 0a{rx} {ry} 0 0 1 {2 * rx} 0z"


SHAPES: dict[str, Callable[[ElementTree.Element], str]] = {
    "path": lambda element: element.get("d", ""),
    "polyline": _polyline,
    "polygon": lambda element: f"{_polyline(element)}z" if element.get("points", "").strip() else "",
    "line": _line,
    "rect": _rectangle,
    "circle": _ellipse,
    "ellipse": _ellipse,
}
"""Element -> the path that draws the same, as a function of it."""
