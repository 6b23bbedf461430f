"""The digits look handwritten but are drawn with NumPy alone: no file, no network, and all style factors are known.

A pen follows the skeleton of one of the written variants of a digit. The letters u (to the right) and v (down) are
coordinates in heights of the digit, with the origin in the middle of its box. In this order:

    wobble      c <- c + wobble Normal(0, I)        each control point on its own, in twentieths of the height
    strokes     quadratic B-splines of the control points, whose ends they meet; a doubled point is a sharp corner
    balance     v <- v + balance (1/4 - v^2)        the waist goes down
    taper       u <- u (1 + taper v)                the foot becomes wider than the head
    bend        u <- u + bend (1/4 - v^2)           the middle goes to the right
    width       u <- width u
    slant       u <- u - slant v                    the head goes to the right
    rotation    (u, v) turned clockwise, in radians
    box         scaled until the longer side of the inked box is 20 pixels
    place       the centre of mass of the lines at the centre of the image + Normal(0, 0.3^2 I) pixels
    ink         s(1/2 + (thickness / 2 - distance) / softness), where s(t) = t^2 (3 - 2 t) on [0, 1];
                distance to the nearest line, thickness and softness of the pen in pixels

FACTORS holds the distributions. The layout is that of MNIST: 28 x 28 pixels, ink 1 on background 0, the digit in a box
of 20 x 20, centred by its mass. Skeletons and ranges were chosen by hand, with MNIST's digits to look at.

Source of the layout: LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition" (1998).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy

from scratchvae.data.dataset import Dataset
from scratchvae.errors import InputError
from scratchvae.noise import Noise

SIDE = 28
BOX = 20

FACTORS = {
    "slant": (0.25, 0.25, -0.4, 0.9),
    "width": (1.05, 0.22, 0.6, 1.7),
    "rotation": (0.0, 0.1, -0.3, 0.3),
    "balance": (0.0, 0.4, -0.9, 0.9),
    "taper": (0.0, 0.35, -0.8, 0.8),
    "bend": (0.0, 0.15, -0.4, 0.4),
    "wobble": (0.8, 0.25, 0.2, 1.4),
    "thickness": (2.5, 0.7, 1.4, 4.8),
    "softness": (1.4, 0.2, 1.0, 1.9),
}
"""Style factor -> (mean, standard deviation, lowest, highest) of a normal distribution clipped to [lowest, highest]."""

SKELETONS = {
    0: {
        "8,0 4,-1 0,5 0,15 6,22 13,15 13,5 9,-1 6,0": 5,
        "10,3 6,-2 0,5 0,16 6,22 13,15 13,4 9,0 4,1": 3,
        "12,0 5,3 0,10 0,20 8,21 13,12 12,3 7,2 5,5": 1,
    },
    1: {
        "5,0 5,7 5,13 5,20": 8,
        "1,6 4,4 7,0 7,0 7,10 7,20": 1,
        "1,4 4,2 6,0 6,0 6,10 6,20 | 0,20 6,20 12,20": 1,
    },
    2: {
        "1,5 2,0 9,-1 13,2 11,8 5,14 0,20 0,20 7,20 13,20": 4,
        "0,5 2,0 10,-2 12,4 9,12 3,18 -1,19 0,14 6,15 9,18 15,18": 5,
        "0,2 5,0 11,0 11,3 6,12 0,19 0,19 8,19 16,18": 3,
        "0,6 2,0 10,-2 12,6 8,16 3,22 -2,18 2,11 7,14 10,21 15,18": 4,
    },
    3: {
        "1,3 4,0 11,0 12,6 8,9 4,9 4,9 10,9 13,13 11,20 4,20 0,17": 4,
        "0,2 6,-1 12,1 11,6 7,10 5,9 8,8 13,11 12,18 6,21 0,18": 3,
        "2,2 6,0 13,-1 12,3 5,8 5,8 12,8 12,15 7,20 -1,20": 4,
        "0,2 6,-1 13,0 12,5 6,10 6,10 11,10 12,15 8,20 -2,19": 2,
        "-2,3 4,0 12,-1 12,3 5,9 7,10 14,9 12,17 6,21 1,19": 3,
    },
    4: {
        "2,0 1,5 0,11 0,11 6,12 13,11 | 11,0 10,8 9,20": 4,
        "9,0 5,6 0,13 0,13 7,13 14,13 | 9,0 9,10 9,20": 1,
        "1,0 0,9 4,11 9,10 11,8 | 12,0 11,8 9,20": 3,
        "4,1 2,6 0,12 0,12 6,12 14,10 | 9,6 8,12 7,20": 2,
        "1,2 0,7 2,11 9,8 12,0 12,0 10,10 9,20": 1,
    },
    5: {
        "12,0 8,0 4,0 4,0 3,8 3,8 8,6 13,9 12,16 7,20 0,18": 4,
        "4,0 3,4 2,9 2,9 8,6 12,10 12,17 5,21 0,18 | 4,0 8,0 13,0": 3,
        "11,0 6,0 2,2 3,8 9,11 9,18 4,21 0,18": 2,
        "17,0 12,1 6,1 6,1 4,7 4,7 11,9 10,17 4,21 -2,17": 4,
    },
    6: {
        "10,0 4,3 0,10 0,17 3,20 9,20 11,16 10,11 5,11 1,15": 4,
        "7,0 3,6 0,13 1,20 8,21 11,15 7,10 2,12 1,16": 4,
        "4,0 1,7 0,14 2,20 10,21 14,16 12,11 6,13 3,19": 3,
    },
    7: {
        "0,1 6,1 12,0 12,0 8,9 5,20": 5,
        "1,4 0,1 6,1 13,0 13,0 9,8 6,20": 2,
        "0,2 6,0 13,-1 11,4 7,10 5,20": 2,
        "0,1 6,1 12,0 12,0 8,9 5,20 | 3,10 7,10 12,10": 2,
        "0,6 1,1 1,1 6,2 10,-1 11,3 10,10 10,20": 2,
    },
    8: {
        "10,2 6,-1 1,2 2,7 7,10 11,14 9,20 4,21 0,17 2,13 8,8 11,4 10,1": 5,
        "6,0 1,0 1,9 6,9 11,9 11,0 5,0 | 6,9 0,10 0,20 6,20 12,20 12,10 5,9": 1,
        "13,2 9,-1 3,1 2,6 7,9 9,13 8,19 3,21 0,18 2,13 7,8 12,4 15,0": 5,
        "12,4 10,0 5,-1 2,2 3,7 7,10 8,14 6,20 3,21 1,17 4,12 8,8 12,6": 2,
        "12,4 8,-1 0,-1 2,6 7,10 12,14 10,20 4,21 2,17 6,11 10,6 13,1": 4,
    },
    9: {
        "10,4 8,0 2,0 0,5 1,9 5,10 10,6 11,2 11,2 10,10 9,20": 5,
        "10,4 8,0 2,0 0,5 1,9 6,10 11,4 11,10 10,18 5,21 1,18": 2,
        "10,2 6,-1 1,2 0,9 6,9 11,1 10,6 8,12 6,20": 5,
        "9,1 3,-1 -1,6 3,10 9,7 9,0 8,10 8,20": 2,
        "13,2 9,1 2,1 0,7 6,9 11,2 11,2 10,10 7,20": 2,
    },
}
"""Digit -> {variant: weight}.

A variant is pen strokes with "|" between them; a stroke is three or more control points x,y in a box 20 high, y down.
"""


def draw_digits(n: int, seed: int = 0) -> Dataset:
    """Draws n digits with labels, style factors and pen strokes, the same for the same n and seed.

    Every ten images from the start hold each digit once, in random order; the first m images of draw_digits(n) are
    draw_digits(m). images: (n, 28, 28, 1). The strokes are exactly the polylines that the ink follows.

    Raises InputError if n is not a positive integer.
    """
    labels, factors, groups = draw_strokes(n, seed)
    images = numpy.empty((n, SIDE, SIDE, 1), dtype=numpy.float32)
    strokes: list[list[numpy.ndarray]] = [[] for _ in range(n)]
    for rows, lines in groups:
        thickness, softness = factors["thickness"][rows, None], factors["softness"][rows, None]
        images[rows, :, :, 0] = rasterise(lines, thickness, softness, SIDE)
        for i, row in enumerate(rows):
            strokes[row] = [line[i] for line in lines]
    return Dataset(images, labels, factors, strokes)


def draw_strokes(
    n: int, seed: int
) -> tuple[numpy.ndarray, dict[str, numpy.ndarray], Iterator[tuple[numpy.ndarray, list[numpy.ndarray]]]]:
    """Returns labels (n,) and factors of n digits, and yields groups (rows (M,), strokes in pixels, (M, T, 2) each).

    Raises InputError if n is not a positive integer.
    """
    if not isinstance(n, (int, numpy.integer)) or n < 1:
        raise InputError("draw_digits", "a positive integer n", repr(n))
    noise = Noise(seed)
    labels, factors = draw_labels(n, noise), draw_factors(FACTORS, n, noise)
    place, thickness = (SIDE - 1) / 2 + 0.3 * noise.normal("place", (n, 1, 2)), factors["thickness"][:, None]
    groups = write_digits(labels, factors, noise)
    return labels, factors, ((rows, _place(lines, thickness[rows], place[rows])) for rows, lines in groups)


def draw_labels(n: int, noise: Noise) -> numpy.ndarray:
    """Draws n digits, int64, in which every ten from the start hold each digit once, in random order."""
    return noise.uniform("labels", (-(-n // 10), 10)).argsort(axis=1).ravel()[:n].astype(numpy.int64)


def draw_factors(
    distributions: dict[str, tuple[float, float, float, float]], n: int, noise: Noise
) -> dict[str, numpy.ndarray]:
    """Draws n values of each factor from its normal distribution, clipped to [lowest, highest]."""
    return {
        name: numpy.clip(mean + deviation * noise.normal(name, (n,)), low, high)
        for name, (mean, deviation, low, high) in distributions.items()
    }


def write_digits(
    labels: numpy.ndarray, factors: dict[str, numpy.ndarray], noise: Noise
) -> Iterator[tuple[numpy.ndarray, list[numpy.ndarray]]]:
    """Yields, group by group, the rows (M,) of images of one variant, and their strokes, (M, T, 2) each.

    labels: (n,), where each digit is in one group, and any other number in none;   strokes: in heights of the digit
    """
    n = len(labels)
    variants = noise.uniform("variants", (n,))
    jitter = noise.normal("control points", (n, 24, 2))  # 24: more than any skeleton has
    for digit, weights in SKELETONS.items():
        shares = numpy.cumsum(list(weights.values())) / sum(weights.values())
        chosen = numpy.searchsorted(shares, variants, side="right")
        for variant, skeleton in enumerate(weights):
            members = numpy.flatnonzero((labels == digit) & (chosen == variant))
            for first in range(0, len(members), 256):
                rows = members[first : first + 256]
                style = {name: values[rows, None] for name, values in factors.items()}
                yield rows, _write(skeleton, style, jitter[rows])


def _write(skeleton: str, style: dict[str, numpy.ndarray], jitter: numpy.ndarray) -> list[numpy.ndarray]:
    """Returns the strokes of M images of one variant, (M, T, 2) each, in digit heights.   style: (M, 1) each"""
    curves = []
    for stroke in skeleton.split("|"):
        control = numpy.array([point.split(",") for point in stroke.split()], dtype=numpy.float32)
        moved = control + style["wobble"][:, :, None] * jitter[:, : len(control)]
        curves.append(_spline(control) @ moved)
        jitter = jitter[:, len(control) :]
    points = numpy.concatenate(curves, axis=1)
    low, high = points.min(axis=1, keepdims=True), points.max(axis=1, keepdims=True)
    u, v = numpy.moveaxis((points - (low + high) / 2) / (high - low)[:, :, 1:], 2, 0)
    v = v + style["balance"] * (0.25 - v * v)
    u = u * (1 + style["taper"] * v) + style["bend"] * (0.25 - v * v)
    u = style["width"] * u - style["slant"] * v
    cosine, sine = numpy.cos(style["rotation"]), numpy.sin(style["rotation"])
    points = numpy.stack([cosine * u - sine * v, sine * u + cosine * v], axis=2)
    return numpy.split(points, numpy.cumsum([curve.shape[1] for curve in curves])[:-1], axis=1)


def _place(lines: list[numpy.ndarray], thickness: numpy.ndarray, place: numpy.ndarray) -> list[numpy.ndarray]:
    """Returns the strokes in pixels: the inked box as large as BOX, the lines' centre of mass at place, (M, 1, 2)."""
    extent = numpy.ptp(numpy.concatenate(lines, axis=1), axis=1).max(axis=1, keepdims=True)
    scale = ((BOX - thickness) / extent)[:, :, None]
    middles = numpy.concatenate([(line[:, 1:] + line[:, :-1]) / 2 for line in lines], axis=1)
    lengths = numpy.concatenate([_length(numpy.diff(line, axis=1)) for line in lines], axis=1)[:, :, None]
    centre = (lengths * middles).sum(axis=1, keepdims=True) / lengths.sum(axis=1, keepdims=True)
    return [scale * (line - centre) + place for line in lines]


def _spline(control: numpy.ndarray) -> numpy.ndarray:
    """Returns the matrix (T, K) from K control points to T evenly spaced points of their quadratic B-spline.

    Arc j is the Bezier curve (joint j, control point j + 1, joint j + 1); the joints are the first control point, the
    midpoints between inner ones, and the last control point.
    """
    identity = numpy.eye(len(control), dtype=numpy.float32)
    joints = (identity[:-1] + identity[1:]) / 2
    joints[0], joints[-1] = identity[0], identity[-1]

    def basis(time: numpy.ndarray) -> numpy.ndarray:
        arc = numpy.minimum(time.astype(numpy.int64), len(control) - 3)
        t = (time - arc)[:, None].astype(numpy.float32)
        return (1 - t) ** 2 * joints[arc] + 2 * t * (1 - t) * identity[arc + 1] + t**2 * joints[arc + 1]

    time = numpy.linspace(0, len(control) - 2, 50 * len(control))
    travelled = numpy.append(0, numpy.cumsum(_length(numpy.diff(basis(time) @ control, axis=0))))
    count = 1 + int(numpy.ceil(travelled[-1] / 1.2))  # a point every 1.2 pixels: no corner is seen
    return basis(numpy.interp(numpy.linspace(0, travelled[-1], count), travelled, time))


def _length(vectors: numpy.ndarray) -> numpy.ndarray:
    return numpy.sqrt((vectors * vectors).sum(axis=-1))


def rasterise(
    lines: list[numpy.ndarray], thickness: numpy.ndarray, softness: numpy.ndarray, side: int
) -> numpy.ndarray:
    """Returns the ink (M, side, side) of lines (M, T, 2), with each segment's distance updated in a window around it.

    lines: in pixels, and what runs out of the image is cut off;   thickness, softness: (M, 1)
    """
    reach = float((thickness + softness).max()) / 2
    stride = side + 2  # around the image, a border for the pixels outside
    first = numpy.arange(len(thickness))[:, None] * stride**2 + stride + 1  # the pixel (0, 0) of each image
    nearest = numpy.full(len(thickness) * stride**2, numpy.inf, dtype=numpy.float32)
    for line in lines:
        for k in range(line.shape[1] - 1):
            start, step = line[:, k], line[:, k + 1] - line[:, k]
            radius = int(numpy.ceil(numpy.abs(step).max() / 2 + reach + 0.5))
            window = numpy.arange(-radius, radius + 1, dtype=numpy.float32)
            column, row = numpy.rint(start + step / 2).T[:, :, None] + window
            x, y = (column - start[:, :1])[:, None, :], (row - start[:, 1:])[:, :, None]
            dx, dy = step.T[:, :, None, None]
            along = numpy.clip((x * dx + y * dy) / numpy.maximum(dx * dx + dy * dy, 1e-12), 0, 1)
            squared = (x - along * dx) ** 2 + (y - along * dy) ** 2
            column, row = (numpy.clip(place, -1, side).astype(numpy.int64) for place in (column, row))
            pixels = (first + stride * row)[:, :, None] + column[:, None, :]
            nearest[pixels] = numpy.minimum(nearest[pixels], squared)
    distance = numpy.sqrt(nearest).reshape(-1, stride, stride)[:, 1:-1, 1:-1]
    t = numpy.clip(0.5 + (thickness[:, :, None] / 2 - distance) / softness[:, :, None], 0, 1)
    return t * t * (3 - 2 * t)
