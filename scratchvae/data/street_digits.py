"""House numbers are drawn with NumPy alone, in the form of SVHN's crops: a digit in the middle, others cut off.

The digits are those of scratchvae/data/drawn_digits.py, written by a steadier hand. With x to the right and y down from
the middle of the image, in halves of its side, in this order:

    digits      each `size` pixels high; the one in the middle, moved by Normal(0, 1.2^2 I) pixels, gives the label;
                with probability 0.55 each a digit to its left and one to its right, `gap` pixels away along the rotated
                line; all of one number are in one style
    wall        level - contrast / 2 + saturation Normal(0, I) over red, green and blue, clipped to [0, 1]
    clutter     two straight edges with another colour behind them, three round spots, and a rough texture
    shadow      wall <- wall (1 - shadow ink), with the ink one pixel to the right and down
    ink         image <- wall + ink (colour - wall), of the colour level + contrast / 2 + saturation Normal(0, I),
                clipped; a contrast below 0 is dark ink on a light wall
    light       image <- image (1 + light_x x + light_y y)
    blur        image <- image + blur (K image K' - image), with the weights (1, 6, 15, 20, 15, 6, 1) / 64 in K's rows
    noise       image <- image + noise Normal(0, I), clipped to [0, 1]

FACTORS holds the distributions. Source of the layout: Netzer, Wang, Coates, Bissacco, Wu & Ng, "Reading digits in
natural images with unsupervised feature learning" (2011).
"""

from __future__ import annotations

import numpy

from scratchvae.data.dataset import Dataset
from scratchvae.data.drawn_digits import draw_factors, draw_labels, rasterise, write_digits
from scratchvae.errors import InputError
from scratchvae.noise import Noise

SIDE = 32

FACTORS = {
    "slant": (0.04, 0.12, -0.2, 0.4),
    "width": (0.95, 0.2, 0.6, 1.4),
    "rotation": (0.0, 0.08, -0.25, 0.25),
    "balance": (0.0, 0.2, -0.5, 0.5),
    "taper": (0.0, 0.15, -0.4, 0.4),
    "bend": (0.0, 0.05, -0.15, 0.15),
    "wobble": (0.3, 0.15, 0.0, 0.7),
    "thickness": (3.4, 0.9, 1.8, 5.5),
    "softness": (1.3, 0.2, 1.0, 1.9),
    "size": (23.0, 2.5, 17.0, 29.0),
    "gap": (2.5, 1.5, 0.5, 6.0),
    "level": (0.5, 0.08, 0.35, 0.65),
    "saturation": (0.06, 0.045, 0.01, 0.18),
    "shadow": (0.1, 0.15, 0.0, 0.4),
    "light_x": (0.0, 0.15, -0.35, 0.35),
    "light_y": (0.0, 0.15, -0.35, 0.35),
    "blur": (0.5, 0.3, 0.0, 1.0),
    "noise": (0.02, 0.012, 0.0, 0.05),
}
"""Style factor -> (mean, standard deviation, lowest, highest) of a normal distribution clipped to [lowest, highest].

Besides, the contrast is uniform in [0.2, 0.75], of either sign.
"""

BLUR = numpy.linalg.matrix_power((numpy.eye(SIDE, k=-1) + 2 * numpy.eye(SIDE) + numpy.eye(SIDE, k=1)) / 4, 3)
BLUR = (BLUR / BLUR.sum(axis=1, keepdims=True)).astype(numpy.float32)
"""K, whose rows sum to one at the border too."""

INTERPOLATION = numpy.maximum(0, 1 - abs(numpy.linspace(0, 8, SIDE)[:, None] - numpy.arange(9))).astype(numpy.float32)
"""From 9 values to SIDE, linear between them."""

NEIGHBOURS = {"left": -1, "right": 1}
CHANNELS = ("red", "green", "blue")


def draw_street_digits(n: int, seed: int = 0) -> Dataset:
    """Draws n house numbers, labelled by the middle digit, the same for the same n and seed.

    Every ten images from the start hold each digit once, in random order; the first m images of draw_street_digits(n)
    are draw_street_digits(m). images: (n, 32, 32, 3). The attributes say whether the ink is light on dark, and whether
    there is a digit to the left and to the right; the factors left_digit and right_digit say which, -1 for none.

    Raises InputError if n is not a positive integer.
    """
    if not isinstance(n, (int, numpy.integer)) or n < 1:
        raise InputError("draw_street_digits", "a positive integer n", repr(n))
    noise = Noise(seed)
    labels, factors = draw_labels(n, noise), draw_factors(FACTORS, n, noise)
    strength, is_dark = numpy.modf(2 * noise.uniform("contrast", (n,)))
    factors["contrast"] = (1 - 2 * is_dark) * (0.2 + 0.55 * strength)
    for name in NEIGHBOURS:
        there, digit = noise.uniform(f"{name} digit", (n, 2)).T
        factors[f"{name}_digit"] = numpy.where(there < 0.55, numpy.floor(10 * digit), -1).astype(numpy.float32)
    tint = factors["saturation"][:, None, None] * noise.normal("tint", (n, 2, 3))
    for k, part in enumerate(("wall", "ink")):
        level = factors["level"] + (k - 0.5) * factors["contrast"]
        for channel, name in enumerate(CHANNELS):
            factors[f"{part}_{name}"] = numpy.clip(level + tint[:, k, channel], 0, 1)
    ink = _ink(labels, factors, noise)
    images = numpy.empty((n, SIDE, SIDE, 3), dtype=numpy.float32)
    for step, start in enumerate(range(0, n, 64)):
        rows = slice(start, start + 64)
        images[rows] = _paint(ink[rows], {name: values[rows] for name, values in factors.items()}, Noise(seed, step))
    attributes = {f"{name}_neighbour": factors[f"{name}_digit"] >= 0 for name in NEIGHBOURS}
    return Dataset(images, labels, factors, attributes={"light_on_dark": factors["contrast"] > 0} | attributes)


def _ink(labels: numpy.ndarray, factors: dict[str, numpy.ndarray], noise: Noise) -> numpy.ndarray:
    """Returns the ink (n, 32, 32) of the middle digits and of those beside them."""
    n = len(labels)
    ink, half_width = numpy.zeros((n, SIDE, SIDE), numpy.float32), numpy.zeros(n, numpy.float32)
    middle = (SIDE - 1) / 2 + 1.2 * noise.normal("place", (n, 2))
    direction = numpy.stack([numpy.cos(factors["rotation"]), numpy.sin(factors["rotation"])], axis=1)
    digits = {0: labels} | {side: factors[f"{name}_digit"] for name, side in NEIGHBOURS.items()}
    for side, numbers in digits.items():  # those in the middle first: their widths are needed beside them
        for rows, lines in write_digits(numbers, factors, noise.child(f"side {side}")):
            thickness, softness = factors["thickness"][rows], factors["softness"][rows]
            points = numpy.concatenate(lines, axis=1)
            low, high = points.min(axis=1), points.max(axis=1)
            scale = (factors["size"][rows] - thickness) / (high - low)[:, 1]
            own = (scale * (high - low)[:, 0] + thickness) / 2
            if side == 0:
                half_width[rows] = own
            distance = side * (half_width[rows] + factors["gap"][rows] + own)
            place = middle[rows] + distance[:, None] * direction[rows] - scale[:, None] * (low + high) / 2
            lines = [scale[:, None, None] * line + place[:, None] for line in lines]
            ink[rows] = numpy.maximum(ink[rows], rasterise(lines, thickness[:, None], softness[:, None], SIDE))
    return ink


def _paint(ink: numpy.ndarray, factors: dict[str, numpy.ndarray], noise: Noise) -> numpy.ndarray:
    """Returns images (M, 32, 32, 3) with this ink, (M, 32, 32)."""
    m, ink = len(ink), ink[:, None]
    style = {name: values[:, None, None, None] for name, values in factors.items()}
    wall, colour = (
        numpy.concatenate([style[f"{part}_{name}"] for name in CHANNELS], axis=1) for part in ("wall", "ink")
    )
    places = numpy.linspace(-1, 1, SIDE, dtype=numpy.float32)
    x, y = places, places[:, None]
    coarse = 0.06 * noise.uniform("roughness", (m, 1, 1, 1)) * noise.normal("texture", (m, 1, 9, 9))
    image = wall + INTERPOLATION @ coarse @ INTERPOLATION.T
    for k in range(2):
        turn, tilt, distance = noise.uniform(f"edge {k}", (m, 3, 1, 1, 1)).swapaxes(0, 1)
        angle = numpy.pi / 2 * numpy.floor(4 * turn) + 0.3 * (tilt - 0.5)
        behind = numpy.clip(0.5 + 16 * (x * numpy.cos(angle) + y * numpy.sin(angle) - 0.65 - 0.6 * distance), 0, 1)
        image += behind * 0.15 * noise.normal(f"behind edge {k}", (m, 3, 1, 1))
    for k in range(3):
        across, down, radius = noise.uniform(f"spot {k}", (m, 3, 1, 1, 1)).swapaxes(0, 1)
        squared = (x - 2 * across + 1) ** 2 + (y - 2 * down + 1) ** 2
        spot = numpy.exp(-squared / (0.005 + 0.03 * radius))
        image += spot * 0.1 * noise.normal(f"tone of spot {k}", (m, 3, 1, 1))
    image[:, :, 1:, 1:] *= 1 - style["shadow"] * ink[:, :, :-1, :-1]
    image += ink * (colour - image)
    image *= 1 + style["light_x"] * x + style["light_y"] * y
    image += style["blur"] * (BLUR @ image @ BLUR.T - image)
    image += style["noise"] * noise.normal("pixels", image.shape)
    return numpy.clip(numpy.moveaxis(image, 1, 3), 0, 1)
