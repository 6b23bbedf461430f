"""SVG paths become lines of points: the commands M L H V C S Q T A Z, relative ones too, with chords for curves.

Source: W3C, "Scalable Vector Graphics (SVG) 1.1", chapters 8.3 and F.6
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy

MOST_POINTS = 2**20
"""The most points of the lines of a file."""

CHORDS = 16
"""The number of chords of a curve, and of an arc."""

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
FLAG = re.compile("[01]")
SEPARATOR = re.compile(r"\s*,?\s*")

ARGUMENTS = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "A": 7, "Z": 0}
"""Command of a path -> how many numbers it takes; the fourth and fifth of an arc are flags, of one digit."""


def path_lines(d: str) -> list[numpy.ndarray]:
    """Returns the lines of a path, float64 (points, 2) each, with 16 chords per curve; a move without a line adds none.

    Raises ValueError for a text that is not a path.
    """
    pen = Pen()
    for command, numbers in _commands(d):
        pen.draw(command, numbers)
    return [numpy.array(line) for line in pen.lines if len(line) > 1]


def _commands(d: str) -> Iterator[tuple[str, list[float]]]:
    """Yields the commands of a path with their numbers; surplus numbers repeat the command, after a move as a line."""
    place, command = SEPARATOR.match(d).end(), ""
    if place < len(d) and d[place] not in "Mm":
        raise ValueError(f"a path that begins with {d[place : place + 20]}")
    while place < len(d):
        if d[place].upper() in ARGUMENTS:
            command, place = d[place], SEPARATOR.match(d, place + 1).end()
        elif command in "Zz":
            raise ValueError(f"{d[place : place + 20]} where a command should be")
        else:
            command = {"M": "L", "m": "l"}.get(command, command)
        numbers = []
        for k in range(ARGUMENTS[command.upper()]):
            match = (FLAG if command in "Aa" and k in (3, 4) else NUMBER).match(d, place)
            if not match:
                raise ValueError(f"{d[place : place + 20]} where {command} needs a number")
            numbers.append(float(match[0]))
            place = SEPARATOR.match(d, match.end()).end()
        yield command, numbers


def read_numbers(text: str) -> list[float]:
    """Returns the numbers in a list separated by blanks or commas. Raises ValueError for anything else."""
    numbers, place = [], SEPARATOR.match(text).end()
    while place < len(text):
        match = NUMBER.match(text, place)
        if not match:
            raise ValueError(f"{text[place : place + 20]} where a number should be")
        numbers.append(float(match[0]))
        place = SEPARATOR.match(text, match.end()).end()
    return numbers


class Pen:
    """Follows the commands of a path, and keeps its lines, the current point and the last curve's control point."""

    def __init__(self) -> None:
        self.lines: list[list[tuple[float, float]]] = []
        self.n = 0
        self.place = self.start = (0.0, 0.0)
        self.control: tuple[str, tuple[float, float]] = ("", (0.0, 0.0))

    def draw(self, command: str, numbers: list[float]) -> None:
        """Follows one command."""
        kind, (x, y) = command.upper(), self.place if command.islower() else (0.0, 0.0)
        control = self.control
        self.control = ("", self.place)
        if kind == "Z":
            self.line_to(self.start)
            self.lines.append([self.start])
        elif kind == "M":
            self.place = self.start = (x + numbers[0], y + numbers[1])
            self.lines.append([self.place])
            return
        elif kind == "H":
            self.line_to((x + numbers[0], self.place[1]))
        elif kind == "V":
            self.line_to((self.place[0], y + numbers[0]))
        elif kind == "A":
            self.arc_to(*numbers[:5], (x + numbers[5], y + numbers[6]))
        else:
            points = [(x + a, y + b) for a, b in zip(numbers[::2], numbers[1::2], strict=True)]
            if kind in "ST":
                same, (a, b) = control
                mirrored = (2 * self.place[0] - a, 2 * self.place[1] - b) if same == kind else self.place
                points.insert(0, mirrored)
            self.curve_to(points)
            self.control = ({"C": "S", "Q": "T"}.get(kind, kind), points[-2]) if len(points) > 1 else self.control

    def line_to(self, point: tuple[float, float]) -> None:
        """Draws a chord."""
        self.n += 1
        if self.n > MOST_POINTS:
            raise ValueError(f"more than {MOST_POINTS} points")
        self.lines[-1].append(point)
        self.place = point

    def curve_to(self, points: list[tuple[float, float]]) -> None:
        """Draws a Bezier curve with these control points, of which the last is its end."""
        if len(points) == 1:
            return self.line_to(points[0])
        t = (numpy.arange(1, CHORDS) / CHORDS)[:, None, None]
        curve = numpy.array([self.place, *points])[None]
        for _ in points:
            curve = (1 - t) * curve[:, :-1] + t * curve[:, 1:]  # de Casteljau
        for x, y in curve[:, 0].tolist():
            self.line_to((x, y))
        self.line_to(points[-1])

    def arc_to(self, rx: float, ry: float, degrees: float, large: float, clockwise: float, end: Any) -> None:
        """Draws an elliptical arc with these half axes, the first of which is rotated by `degrees`."""
        rx, ry = abs(rx), abs(ry)
        if not rx or not ry or end == self.place:
            return self.line_to(end)
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        axes = numpy.array([[c * rx, -s * ry], [s * rx, c * ry]])  # from the unit circle to the ellipse
        p, q = numpy.linalg.solve(axes, numpy.array([self.place, end]).T).T
        half, middle = (q - p) / 2, (p + q) / 2
        squared = float(half @ half)
        if squared > 1:  # the ellipse is too small: one that is just large enough
            growth, squared = math.sqrt(squared), 1.0
            axes, half, middle = axes * growth, half / growth, middle / growth
        height = math.sqrt(max(0.0, 1 - squared) / squared) * (1 if large != clockwise else -1)
        centre = middle + height * numpy.array([-half[1], half[0]])
        first, last = (math.atan2(*(point - centre)[::-1]) for point in (middle - half, middle + half))
        sweep = (last - first) % (2 * math.pi) - (0 if clockwise else 2 * math.pi)
        for k in range(1, CHORDS):
            angle = first + sweep * k / CHORDS
            x, y = axes @ (centre + numpy.array([math.cos(angle), math.sin(angle)]))
            self.line_to((float(x), float(y)))
        self.line_to(end)
