"""The data on the page: the code of each row, its labels and properties, and its picture."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from typing import Any

import numpy

from scratchvae.backend import to_numpy
from scratchvae.distributions.sketch import n_points
from scratchvae.errors import InputError, ShapeError
from scratchvae.explorer.network import packed
from scratchvae.pixels import Pixels, as_numbers
from scratchvae.scoring import observations

MOST_ROWS = 2000
"""The most rows on a page."""

MOST_CLASSES = 100
"""The most classes of a colouring."""

TRUTH = ["no", "yes"]
"""The classes of an attribute."""

ROWS_AT_ONCE = 100
"""The number of rows that are encoded at a time, so that memory stays bounded."""

ACTIVE = 0.01
"""The variance of its means above which a unit is active, as in `sv.active_units`."""

SPRITE_PIXELS = 2_000_000
"""The most pixels of all thumbnails together; larger images are reduced."""

SMALLEST_SQUARE = 64
"""The fewest numbers of a vector that is shown as an image if it fills a square."""


def evenly(n: int) -> slice:
    """Selects at most MOST_ROWS of n rows, evenly spaced, since a file may be sorted by label."""
    return slice(None, None, math.ceil(n / MOST_ROWS))


def as_seen(model: Any, x: Any) -> Any:
    """Converts 8-bit pixels to the floats that the model takes, in the shape of x, and leaves other rows unchanged."""
    seen = observations(model, x)
    return as_numbers(seen).reshape(x.shape) if isinstance(seen, Pixels) else x


def encoded(model: Any, x: Any) -> tuple[numpy.ndarray, list[int]]:
    """Returns the means of q(z | x), (N, K), and each row's most probable class if the model has classes.

    Raises InputError for means that are not finite.
    """
    means, classes = [], []
    for start in range(0, len(x), ROWS_AT_ONCE):
        rows = observations(model, x[start : start + ROWS_AT_ONCE])
        y = [model.classify(rows)] if hasattr(model, "n_classes") else []
        means.append(to_numpy(model.encode(rows, *y).mean))
        classes += [int(k) for each in y for k in to_numpy(each)]
    z = numpy.concatenate(means).astype(numpy.float64)
    if not numpy.isfinite(z).all():
        raise InputError("explorer", "finite means of q(z | x)", "NaN or infinity")
    return z, classes


def described_codes(z: numpy.ndarray) -> dict[str, Any]:
    """Describes the codes for the page: active units, the plane of PCA, and the usual distance of neighbours.

    pca: the mean of the codes, the two directions of largest variance, and the share of the variance in each;
    neighbours: the distance within which 99 % of the rows have another row.
    """
    centre, variances = z.mean(axis=0), z.var(axis=0)
    directions, singular, shares = numpy.zeros((2, z.shape[1])), numpy.zeros(2), [0.0, 0.0]
    _, s, vt = numpy.linalg.svd(z - centre, full_matrices=False)
    n = min(2, len(vt))
    directions[:n], singular[:n] = vt[:n], s[:n]
    if s.any():
        shares = (singular**2 / (s**2).sum()).tolist()
    return {
        "codes": packed(z),
        "variances": _rounded(variances),
        "active": numpy.flatnonzero(variances > ACTIVE).tolist(),
        "pca": {"centre": _rounded(centre), "directions": [_rounded(v) for v in directions], "shares": shares},
        "neighbours": _usual_distance(z),
    }


def _usual_distance(z: numpy.ndarray) -> float:
    """Returns the distance within which 99 % of the rows have their nearest neighbour."""
    if len(z) < 2:
        return 0.0
    squares, nearest = (z**2).sum(axis=1), []
    for start in range(0, len(z), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        distances = squares[rows, None] - 2 * z[rows] @ z.T + squares
        distances[numpy.arange(len(distances)), numpy.arange(start, start + len(distances))] = numpy.inf
        nearest.append(distances.min(axis=1))
    return float(numpy.quantile(numpy.sqrt(numpy.maximum(numpy.concatenate(nearest), 0)), 0.99))


def _rounded(values: Any, digits: int = 6) -> list[float]:
    return [float(f"{value:.{digits}g}") for value in values]


# ---- labels, attributes and properties of the rows


def colourings(
    labels: Any, attributes: Mapping[str, Any], properties: Mapping[str, Any], n: int
) -> list[dict[str, Any]]:
    """Returns the possible colourings of n rows on the map: labels, attributes, and properties."""
    known = [] if labels is None else [_labelled("label", _checked("label", labels, n))]
    for name, values in attributes.items():
        truth = _checked(name, values, n).astype(bool)
        known.append({"name": name, "classes": TRUTH, "values": truth.astype(int).tolist()})
    return known + [_numbered(name, _checked(name, values, n)) for name, values in properties.items()]


def _checked(name: str, values: Any, n: int) -> numpy.ndarray:
    """Returns values as an array. Raises ShapeError unless there is one value for each of n rows."""
    values = to_numpy(values)
    if values.shape != (n,):
        raise ShapeError("explorer", f"{name} of shape ({n},), one for each row", str(values.shape))
    return values


def _numbered(name: str, values: numpy.ndarray) -> dict[str, Any]:
    """Describes a colouring by numbers, None for unknown ones."""
    if values.dtype.kind not in "biuf":
        raise InputError("explorer", f"numbers as {name}", f"values of type {values.dtype}")
    values = values.astype(numpy.float64)
    return {"name": name, "values": [float(f"{v:.6g}") if math.isfinite(v) else None for v in values.tolist()]}


def _labelled(name: str, values: numpy.ndarray) -> dict[str, Any]:
    """Describes a colouring by classes, with their names, or by numbers for fractions and too many integers.

    Raises InputError for more than MOST_CLASSES words.
    """
    if values.dtype.kind == "f":
        if not (numpy.isfinite(values) & (values == numpy.round(values))).all():
            return _numbered(name, values)
        values = values.astype(numpy.int64)
    integers = values.dtype.kind in "biu"
    values = values if integers else numpy.array([str(value) for value in values.tolist()])
    classes, numbers = numpy.unique(values, return_inverse=True)
    if len(classes) > MOST_CLASSES and integers:
        return _numbered(name, values)
    if len(classes) > MOST_CLASSES:
        raise InputError("explorer", f"at most {MOST_CLASSES} different words as {name}", str(len(classes)))
    return {"name": name, "classes": [str(each) for each in classes.tolist()], "values": numbers.tolist()}


def directions(z: numpy.ndarray, known: list[dict[str, Any]], of_classes: bool) -> list[dict[str, Any]]:
    """v = sum (z - mean z)(t - mean t) / sum (t - mean t)^2 times the unit of t, for each known quantity t of the rows.

    For truth values, whose unit is 1, v is the mean of z over the rows with the attribute minus the mean over the
    others. The unit of numbers is their standard deviation. With of_classes, each class counts as a truth value.
    """
    found = []
    for each in known:
        values = numpy.array([numpy.nan if value is None else value for value in each["values"]], dtype=numpy.float64)
        names = each.get("classes")
        if names is None:
            finite = numpy.isfinite(values)
            found.append((each["name"], z[finite], values[finite], None))
        elif names == TRUTH:
            found.append((each["name"], z, values, 1.0))
        elif of_classes:
            found += [(f"{each['name']} {name}", z, (values == k).astype(float), 1.0) for k, name in enumerate(names)]
    written = []
    for name, codes, t, unit in found:
        if len(t) < 2 or t.std() == 0:
            continue
        deviation = t - t.mean()
        slope = (codes - codes.mean(axis=0)).T @ deviation / (deviation @ deviation)
        written.append({"name": name, "vector": _rounded(slope * (unit or t.std()))})
    return written


# ---- pictures of the rows


def image_size(x: Any, image_shape: Any) -> tuple[int, ...] | None:
    """Returns (H, W, C) for rows that are pictures with one or three channels, else None.

    Raises ShapeError for an image_shape with another number of axes or another size.
    """
    shape, size = tuple(x.shape[1:]), math.prod(x.shape[1:])
    if image_shape is not None and len(image_shape) > 1:
        given = tuple(image_shape)
        wanted = given if len(given) == 3 else (*given, 1)
        if len(given) not in (2, 3) or math.prod(wanted) != size:
            raise ShapeError("explorer", f"an image_shape (H, W, C) of {size} entries", str(given))
        return wanted if wanted[2] in (1, 3) else None
    if len(shape) == 3:
        return shape if shape[2] in (1, 3) else None
    side = math.isqrt(size)
    return (side, side, 1) if size >= SMALLEST_SQUARE and side**2 == size else None


def described_images(x: Any, shape: tuple[int, ...], thumbnails: bool) -> dict[str, Any]:
    """Returns the size of images (N, ...), their shades, and all thumbnails in one picture."""
    from scratchvae.plotting.canvas import Shades

    x = to_numpy(x).reshape(len(x), *shape)
    shades = Shades.of(x[~numpy.isnan(x)])
    written = {"shape": list(shape), "shades": {"low": shades.low, "high": shades.high, "ink": shades.ink}}
    return written | ({"thumbnails": _sprite(x, shades)} if thumbnails else {})


def _sprite(x: numpy.ndarray, shades: Any) -> dict[str, Any]:
    """Returns images side by side, row by row, as a PNG if grey and as a JPEG if coloured."""
    from PIL import Image

    n, height, width, channels = x.shape
    factor = min(1.0, math.sqrt(SPRITE_PIXELS / (n * height * width)))
    size = max(1, int(width * factor)), max(1, int(height * factor))
    columns = math.ceil(math.sqrt(n))
    mode = "L" if channels == 1 else "RGB"
    sheet = Image.new(mode, (columns * size[0], math.ceil(n / columns) * size[1]), 255 if channels == 1 else "white")
    for i, image in enumerate(x):
        pixels = numpy.round(255 * shades.colours(image)).astype(numpy.uint8)
        picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
        picture = picture if size == (width, height) else picture.resize(size, Image.Resampling.LANCZOS)
        sheet.paste(picture, (i % columns * size[0], i // columns * size[1]))
    content, options = io.BytesIO(), {"optimize": True} if channels == 1 else {"quality": 85}
    sheet.save(content, "PNG" if channels == 1 else "JPEG", **options)
    kind = "png" if channels == 1 else "jpeg"
    text = base64.b64encode(content.getvalue()).decode()
    return {"address": f"data:image/{kind};base64,{text}", "columns": columns, "width": size[0], "height": size[1]}


def described_sketches(x: Any, scale: float) -> dict[str, Any]:
    """Returns sketches (N, T, 5) as consecutive offsets in units of the scale, 1 for a lifted pen, and lengths."""
    x, lengths = to_numpy(x), n_points(to_numpy(x))
    rows = numpy.concatenate([sketch[:n] for sketch, n in zip(x, lengths, strict=True)])
    return {
        "offsets": packed(rows[:, :2] / scale),
        "lifted": "".join("1" if pen > 0.5 else "0" for pen in rows[:, 3]),
        "lengths": lengths.tolist(),
    }


def described_vectors(x: Any, thumbnails: bool) -> dict[str, Any]:
    """Returns rows of numbers that form no image, unchanged, and their range."""
    x = to_numpy(x).reshape(len(x), -1).astype(numpy.float64)
    low, high = float(min(0.0, numpy.nanmin(x))), float(max(numpy.nanmax(x), 0.0))
    return {"range": [low, high if high > low else low + 1.0]} | (
        {"values": packed(x, numpy.float32)} if thumbnails else {}
    )
