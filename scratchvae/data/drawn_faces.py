"""The faces are drawn with NumPy alone: no file, no network, and all style factors are known and independent.

A portrait of 64 x 64 pixels in colour; x to the right and y down, in pixels. Its parts are laid one over the other:

    image <- image + coverage (colour - image), where coverage, in [0, 1] at each pixel, is that of one of three shapes:

    oval        1/2 + min(a, b) (1 - sqrt((x / a)^2 + (y / b)^2)), clipped; half axes a and b
    box         1/2 + r - distance to the box with the half sides a - r and b - r, clipped; corners of the radius r
    band        how much of the pixel's height lies between two curves y(x)

The head is a cylinder of the radius `face_width`, turned by the angle t = -0.42 turn: what sits at the angle s from its
front is drawn at x = middle + face_width sin(s + t). In this order:

    background  from a light tone of background_hue above to a darker one below
    shoulders   a shirt of shirt_hue, with its collar
    hair        behind the head, down to y = 33 + 24 hair_length
    head        the neck under the shadow of the chin; the ears; the face, in shadow to the right
    beard       the part of the face below a curve from the temples to the upper lip, and more at the chin with `beard`
    nose
    eyes        white between two lids as far apart as eye_opening, an iris of eye_hue; brows as high as brow_height
    mouth       along y = middle + 3.2 smile (0.45 - u^2), where u is -1 and 1 at its corners: they rise with the smile
    hair        on the head, above a hairline that is lower with `fringe`
    hat         a cap of hat_hue, as high as `hat`
    glasses     as large as `glasses`

FACTORS holds the distributions, and ATTRIBUTES the yes-or-no questions about a face. Each attribute belongs to a factor
with a gap between its two intervals, so that no picture is ambiguous. Shapes and colours were chosen by hand.
"""

from __future__ import annotations

from typing import Any

import numpy

from scratchvae.data.dataset import Dataset
from scratchvae.errors import InputError
from scratchvae.noise import Noise

SIDE = 64

FACTORS = {
    "smile": ((-1.0, -0.4), (0.4, 1.0)),
    "mouth_opening": ((0.0, 1.0),),
    "eye_opening": ((0.55, 1.0),),
    "eye_hue": ((0.05, 0.65),),
    "brow_height": ((0.0, 1.0),),
    "glasses": ((0.0, 0.0), (0.5, 1.0)),
    "hair_darkness": ((0.0, 0.35), (0.7, 1.0)),
    "hair_warmth": ((0.0, 1.0),),
    "hair_length": ((0.0, 0.25), (0.6, 1.0)),
    "hair_volume": ((0.0, 1.0),),
    "fringe": ((0.0, 1.0),),
    "beard": ((0.0, 0.0), (0.5, 1.0)),
    "hat": ((0.0, 0.0), (0.5, 1.0)),
    "hat_hue": ((0.0, 1.0),),
    "skin_darkness": ((0.0, 0.35), (0.65, 1.0)),
    "face_width": ((11.5, 14.0),),
    "turn": ((-1.0, -0.4), (0.4, 1.0)),
    "shirt_hue": ((0.0, 1.0),),
    "background_hue": ((0.0, 1.0),),
}
"""Factor -> one or two equally probable intervals in which it is uniform; [0, 0] stands for a missing part."""

ATTRIBUTES = {
    "smiling": "smile",
    "glasses": "glasses",
    "dark_hair": "hair_darkness",
    "long_hair": "hair_length",
    "beard": "beard",
    "hat": "hat",
    "dark_skin": "skin_darkness",
    "turned_left": "turn",
}
"""Attribute -> the factor that lies in the upper of its two intervals where the attribute is true."""

SKIN = ((0.99, 0.85, 0.75), (0.90, 0.69, 0.53), (0.55, 0.36, 0.26), (0.37, 0.23, 0.17))
COLD_HAIR = ((0.93, 0.87, 0.72), (0.74, 0.62, 0.44), (0.22, 0.18, 0.17), (0.07, 0.07, 0.09))
WARM_HAIR = ((0.96, 0.76, 0.38), (0.83, 0.45, 0.20), (0.30, 0.14, 0.09), (0.14, 0.06, 0.05))
"""Colours from light to dark: those of darkness 0, 1/3, 2/3 and 1."""

SHADOW, LIPS, FRAME = numpy.array(
    [(0.16, 0.08, 0.16), (0.70, 0.28, 0.29), (0.10, 0.10, 0.14)], dtype=numpy.float32
).reshape(3, 3, 1, 1, 1)

EYES = (-0.43, 0.43)
"""The angles of the two eyes from the front of the head."""

MIDDLE = (SIDE - 1) / 2


def draw_faces(n: int, seed: int = 0) -> Dataset:
    """Draws n faces with factors and attributes, the same for the same n and seed.   images: (n, 64, 64, 3)

    The first m images of draw_faces(n) are draw_faces(m). Every factor is drawn on its own, and every attribute is true
    with probability 1/2.

    Raises InputError if n is not a positive integer.
    """
    if not isinstance(n, (int, numpy.integer)) or n < 1:
        raise InputError("draw_faces", "a positive integer n", repr(n))
    noise, factors = Noise(seed), {}
    for name, intervals in FACTORS.items():
        place, interval = numpy.modf(len(intervals) * noise.uniform(name, (n,)))
        low, high = numpy.array(intervals, dtype=numpy.float32)[interval.astype(numpy.int64)].T
        factors[name] = low + (high - low) * place
    attributes = {name: factors[factor] >= FACTORS[factor][1][0] for name, factor in ATTRIBUTES.items()}
    images = numpy.empty((n, SIDE, SIDE, 3), dtype=numpy.float32)
    for start in range(0, n, 32):  # as many at once as a cache holds
        rows = slice(start, start + 32)
        images[rows] = paint({name: values[rows] for name, values in factors.items()})
    return Dataset(images, factors=factors, attributes=attributes)


def paint(factors: dict[str, numpy.ndarray]) -> numpy.ndarray:
    """Returns the faces (M, 64, 64, 3) with these values of FACTORS, float32 (M,) each."""
    style = {name: values[:, None, None] for name, values in factors.items()}
    style["angle"] = -0.42 * style["turn"]
    style["skin"] = _palette(SKIN, style["skin_darkness"])
    cold, warm = _palette(COLD_HAIR, style["hair_darkness"]), _palette(WARM_HAIR, style["hair_darkness"])
    style["hair"] = cold + style["hair_warmth"] * (warm - cold)
    canvas = numpy.empty((3, len(style["angle"]), SIDE, SIDE), dtype=numpy.float32)
    for part in PARTS:
        part(canvas, style)
    return numpy.moveaxis(canvas, 0, 3)


# ---- the parts   canvas: (3, M, 64, 64);   style: the factors (M, 1, 1), colours (3, M, 1, 1)


def _background(canvas: numpy.ndarray, style: dict[str, numpy.ndarray]) -> None:
    x, y, region = _window(canvas)
    region[...] = _tone(style["background_hue"], 0.15, 0.98)
    _lay(region, (0.35 * x + y) / (1.35 * SIDE), _tone(style["background_hue"], 0.36, 0.86))


def _shoulders(canvas: numpy.ndarray, style: dict[str, numpy.ndarray]) -> None:
    x, y, region = _window(canvas, (50, 64))
    shirt = _tone(style["shirt_hue"], 0.62, 0.72)
    coverage = _box(x - MIDDLE, y - 72.5, 23.0, 18.5, 12.0)
    _lay(region, coverage, shirt)
    _lay(region, coverage * numpy.clip((x - 34) / 60, 0, 0.4), SHADOW)
    _lay(region, coverage * _oval(x - MIDDLE, y - 53.5, 9.0, 6.0), shirt + 0.45 * (1 - shirt))


def _hair_behind(canvas: numpy.ndarray, style: dict[str, numpy.ndarray]) -> None:
    x, y, region = _window(canvas, (18, 64), (8, 56))
    bottom = 33 + 24 * style["hair_length"]
    half_width = style["face_width"] + 1.8 + 1.8 * style["hair_volume"] + style["hair_length"]
    coverage = _box(x - MIDDLE + 1.5 * style["angle"], y - (bottom + 20) / 2, half_width, (bottom - 20) / 2, 7.0)
    _lay(region, coverage, 0.78 * style["hair"])


def _head(canvas: numpy.ndarray, style: dict[str, numpy.ndarray]) -> None:
    x, y, region = _window(canvas, (38, 64), (22, 42))
    neck = _box(x - MIDDLE, y - 48, 5.6, 9.0, 4.5)
    _lay(region, neck, style["skin"])
    _lay(region, 0.3 * neck * _face(x, y - 3, style), SHADOW)
    x, y, region = _window(canvas, (26, 44), (10, 54))
    for side in (-1, 1):
        middle = MIDDLE - 2 * style["angle"] + side * (style["face_width"] - 0.4)
        _lay(region, _oval(x - middle, y - 34, 2.6, 4.0), 0.92 * style["skin"])
    x, y, region = _window(canvas, (14, 52), (12, 52))
    face = _face(x, y, style)
    _lay(region, face, style["skin"])
    _lay(region, face * numpy.clip((x - 34) / 36, 0, 0.3), SHADOW)


def _beard(canvas: numpy.ndarray, style: dict[str, numpy.ndarray]) -> None:
    x, y, region = _window(canvas, (28, 56), (12, 52))
    u = (x - _across(style, 0)) / style["face_width"]
    top = 38.3 - 9 * numpy.minimum(abs(u), 1.2) ** 3
    coverage = _face(x, y, style, 0.4, 3 * style["beard"]) * _band(y, top, 64.0)
    _lay(region, (style["beard"] > 0) * coverage, 0.74 * style["hair"])


def _nose(canvas: numpy.ndarray, style: dict[str, numpy.ndarray]) -> None:
    x, y, region = _window(canvas, (28, 44), (12, 52))
    shade = style["skin"] + 0.35 * (SHADOW - style["skin"])
    nose = _across(style, 0, 1.5)
    _lay(region, 0.5 * _oval(x - nose, y - 36.6, 2.4, 1.7), shade)
    _lay(region, 0.9 * _oval(x - nose, y - 35.8, 1.9, 1.5), style["skin"] + 0.12 * (1 - style["skin"]))


def _eyes(canvas: numpy.ndarray, style: dict[str, numpy.ndarray]) -> None:
    x, y, region = _window(canvas, (22, 38), (14, 50))
    iris = _tone(style["eye_hue"], 0.6, 0.5)
    for side in EYES:
        middle = _across(style, side)
        half_width = 4.0 * numpy.cos(style["angle"] + side)
        u = (x - middle) / half_width
        arch = numpy.sqrt(numpy.maximum(1 - u * u, 0))
        opening = 3.0 * style["eye_opening"] * arch
        eye = _band(y, 32.3 - opening, 32.3 + 0.8 * opening)
        _lay(region, eye, 0.98)
        look = x - middle + 0.5 * style["turn"]
        _lay(region, eye * _oval(look, y - 32.2, 2.1, 2.1), iris)
        _lay(region, eye * _oval(look, y - 32.2, 1.1, 1.1), 0.05)
        _lay(region, 0.9 * eye * _oval(look + 0.7, y - 31.4, 0.6, 0.6), 1.0)
        _lay(region, _band(y, 31.4 - opening, 32.3 - opening) * _span(x - middle, 1.1 * half_width), SHADOW)
        brow = 28.3 - 1.6 * style["brow_height"] - 1.3 * arch
        _lay(
            region, _band(y, brow, brow + 0.5 + 1.2 * arch) * _span(x - middle, 1.15 * half_width), 0.8 * style["hair"]
        )


def _mouth(canvas: numpy.ndarray, style: dict[str, numpy.ndarray]) -> None:
    x, y, region = _window(canvas, (36, 48), (14, 50))
    middle, half_width = _across(style, 0, 0.6), 6.0 * numpy.cos(style["angle"])
    u = (x - middle) / half_width
    arch = numpy.maximum(1 - u * u, 0)
    line = 40.9 + 3.2 * style["smile"] * (0.45 - u * u)
    opening = (0.25 + 0.75 * style["mouth_opening"]) * (1.7 + 1.1 * style["smile"]) * arch
    lips = _band(y, line - 0.6 - 0.6 * arch, line + 0.6 + 0.9 * arch + opening)
    _lay(region, lips * _span(x - middle, half_width), LIPS)
    _lay(region, _band(y, line + 0.1, line + 0.1 + opening), 0.45 * LIPS)
    teeth = numpy.where(style["smile"] > 0, 0.7, 0.0) * opening
    _lay(region, _band(y, line + 0.1, line + 0.1 + teeth), 0.97)


def _hair(canvas: numpy.ndarray, style: dict[str, numpy.ndarray]) -> None:
    x, y, region = _window(canvas, (8, 40), (10, 54))
    middle = MIDDLE - 1.5 * style["angle"]
    u = (x - _across(style, 0, 0.6)) / style["face_width"]
    hairline = numpy.minimum(22 + 3 * style["fringe"] + 1.5 * u + 9 * u**4, 35)
    volume = 1.6 + 1.8 * style["hair_volume"]
    head = _box(x - middle, y - 30, style["face_width"] + volume, 15 + volume, 12.0)
    coverage = head * _band(y, 0.0, hairline)
    _lay(region, coverage, style["hair"])
    gloss = _band(y, 15.5 + 0.03 * (x - 28) ** 2, 18.0 + 0.02 * (x - 28) ** 2)
    _lay(region, 0.2 * coverage * gloss, 1.0)


def _hat(canvas: numpy.ndarray, style: dict[str, numpy.ndarray]) -> None:
    x, y, region = _window(canvas, (0, 26), (10, 54))
    there = style["hat"] > 0
    wool, middle = _tone(style["hat_hue"], 0.6, 0.78), MIDDLE - style["angle"]
    half_width = style["face_width"] + 3.6
    crown = there * _oval(x - middle, y - 21, half_width - 0.8, 10 + 7 * style["hat"]) * _band(y, 0.0, 21.0)
    _lay(region, crown, wool)
    band = there * _box(x - middle, y - 19.3, half_width, 3.1, 2.5)
    _lay(region, band, 0.72 * wool)
    _lay(region, numpy.maximum(crown, band) * numpy.clip((x - 34) / 60, 0, 0.3), SHADOW)


def _glasses(canvas: numpy.ndarray, style: dict[str, numpy.ndarray]) -> None:
    x, y, region = _window(canvas, (24, 42), (10, 54))
    there = style["glasses"] > 0
    middles = [_across(style, side, 1.0) for side in EYES]
    for side, middle in zip(EYES, middles, strict=True):
        half_width = (4.2 + style["glasses"]) * numpy.cos(style["angle"] + 0.8 * side)
        half_height = 3.6 + style["glasses"]
        outer = _box(x - middle, y - 32.4, half_width + 0.6, half_height + 0.6, 3.2)
        inner = _box(x - middle, y - 32.4, half_width - 0.6, half_height - 0.6, 2.4)
        _lay(region, there * 0.16 * inner, 1.0)
        _lay(region, there * (outer - inner), FRAME)
    _lay(region, there * _band(y, 31.0, 32.1) * _span(x - (middles[0] + middles[1]) / 2, 1.6), FRAME)


PARTS = (_background, _shoulders, _hair_behind, _head, _beard, _nose, _eyes, _mouth, _hair, _hat, _glasses)
"""From the back to the front."""


# ---- how to lay a colour where a shape covers


def _window(
    canvas: numpy.ndarray, rows: tuple[int, int] = (0, SIDE), columns: tuple[int, int] = (0, SIDE)
) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Returns x (W,), y (H, 1) and the canvas (3, M, H, W) of a part of the image; the canvas is a view to draw on."""
    x, y = (numpy.arange(*ends, dtype=numpy.float32) for ends in (columns, rows))
    return x, y[:, None], canvas[:, :, slice(*rows), slice(*columns)]


def _lay(region: numpy.ndarray, coverage: numpy.ndarray, colour: numpy.ndarray | float) -> None:
    """region <- region + coverage (colour - region)"""
    region += coverage * (colour - region)


def _oval(x: Any, y: Any, half_width: Any, half_height: Any) -> numpy.ndarray:
    """Returns the coverage of an ellipse around (0, 0)."""
    radius = numpy.sqrt((x / half_width) ** 2 + (y / half_height) ** 2)
    return numpy.clip(0.5 + numpy.minimum(half_width, half_height) * (1 - radius), 0, 1)


def _box(x: Any, y: Any, half_width: Any, half_height: Any, radius: float) -> numpy.ndarray:
    """Returns the coverage of a rectangle around (0, 0) with round corners."""
    across = numpy.maximum(abs(x) - (half_width - radius), 0)
    down = numpy.maximum(abs(y) - (half_height - radius), 0)
    return numpy.clip(0.5 + radius - numpy.sqrt(across * across + down * down), 0, 1)


def _band(y: numpy.ndarray, top: Any, bottom: Any) -> numpy.ndarray:
    """Returns the coverage of the band between two curves."""
    return numpy.clip(numpy.minimum(bottom, y + 0.5) - numpy.maximum(top, y - 0.5), 0, 1)


def _span(x: numpy.ndarray, half_width: Any) -> numpy.ndarray:
    """Returns the coverage of the vertical strip no further than half_width from 0."""
    return numpy.clip(0.5 + half_width - abs(x), 0, 1)


def _face(x: Any, y: Any, style: dict[str, numpy.ndarray], wider: float = 0, longer: Any = 0) -> numpy.ndarray:
    """Returns the coverage of the head, an oval that narrows at the chin."""
    half_height = 15.5 + longer
    v = (y - 32 - longer) / half_height
    across = (x - MIDDLE - 2 * style["angle"]) * (1 + 0.14 * v + 0.05 * v * v)
    return _oval(across, v * half_height, style["face_width"] + wider, half_height)


def _across(style: dict[str, numpy.ndarray], place: float, outside: float = 0) -> numpy.ndarray:
    """Returns the x (M, 1, 1) of a feature at the angle `place` from the front of the head, `outside` its surface."""
    return MIDDLE + (style["face_width"] + outside) * numpy.sin(place + style["angle"])


def _tone(hue: numpy.ndarray, saturation: float, value: float) -> numpy.ndarray:
    """Converts hue in [0, 1) (M, 1, 1), saturation and value to red, green, blue (3, M, 1, 1)."""
    sector = numpy.stack([(channel + 6 * hue) % 6 for channel in (5, 3, 1)])
    return value * (1 - saturation * numpy.clip(numpy.minimum(sector, 4 - sector), 0, 1))


def _palette(colours: tuple[tuple[float, ...], ...], darkness: numpy.ndarray) -> numpy.ndarray:
    """Returns the colour (3, M, 1, 1) at this darkness between the given colours."""
    places = numpy.linspace(0, 1, len(colours))
    channels = [numpy.interp(darkness, places, channel) for channel in zip(*colours, strict=True)]
    return numpy.stack(channels).astype(numpy.float32)
