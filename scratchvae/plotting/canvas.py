"""The common part of all figures: colours, shades, images on axes, and the file of a figure."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure

from scratchvae.backend import to_numpy
from scratchvae.errors import InputError, ShapeError
from scratchvae.replacement import replace

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#606060"
"""Colours of lines that colour-blind readers tell apart (Okabe & Ito), and a grey for secondary lines."""

CLASS_COLOURS = (
    ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6")  # blue, amber, red, grey, violet
    + ("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")  # brown, orange, olive, slate, cyan
)
"""Colours of ten classes; colour-blind readers tell every two of them apart.

Source: Petroff (2021), "Accessible color sequences for data visualization".
"""

PALE_BLUES = ("#DCEBF5", "#A9CFE8", "#5FA6D3")
"""Colours of regions of high, higher and highest density, for areas below lines in the colours above."""

SIGNED = "RdBu_r"
"""The colour map for numbers of both signs: blue below 0, white at 0, red above it."""

BETWEEN = LinearSegmentedColormap.from_list("between", ["#F0A97A", "#FFFFFF", "#7FB8D8"])
"""The colour map from pale ORANGE at 0 through white to pale BLUE at 1, for the probability of one of two classes."""

NUMBERED = "viridis"
"""The colour map for numbers on a scale."""


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Writes a figure in the format of the path's suffix, creates missing folders, and returns the file's path.

    Raises InputError as `picture_path` does, and OSError if the file cannot be written; an older file stays intact.
    """
    path, content = picture_path(path), io.BytesIO()
    figure.savefig(content, format=path.suffix[1:].lower())
    replace(path, content.getbuffer())
    return path


def picture_path(path: str | os.PathLike[str]) -> Path:
    """Returns the path that `save_figure` writes, with the suffix .png if it has none.

    Raises InputError for the name of a folder, and for a suffix that matplotlib cannot write.
    """
    path = Path(path)
    if not path.name or path.is_dir():
        raise InputError("save_figure", "the name of a file", repr(os.fspath(path)))
    path = path if path.suffix else path.with_suffix(".png")
    formats = Figure().canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in formats:
        raise InputError("save_figure", f"a suffix among {', '.join(sorted(formats))}", repr(path.suffix))
    return path


# ---- from numbers to shades


@dataclass(frozen=True)
class Shades:
    """shade = (x - low) / (high - low):   0 is black and 1 is white, or with `ink`, 0 is white paper and 1 black ink.

    All pictures of one data set should use the shades of its training images, Shades.of(train.images). Values below
    low look like low, and values above high like high; a line below the picture says so. `ink` does not change images
    in colour.

    Parameters
    ----------
    low : float
        The value of the darkest pixel, or of white paper with `ink`.
    high : float
        The value of the brightest pixel, or of black ink with `ink`.
    ink : bool
        Whether images are ink on white paper.

    Attributes
    ----------
    low, high, ink
        The parameters of these names.

    See Also
    --------
    images : Draws images with these shades.
    save_figure : Writes a figure to a file.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.plotting import Shades
    >>> Shades.of(numpy.array([[[[0.0], [0.0], [0.0], [1.0]]]]))
    Shades(low=0.0, high=1.0, ink=True)
    """

    low: float = 0.0
    high: float = 1.0
    ink: bool = False

    @classmethod
    def of(cls, images: Any) -> Shades:
        """Returns shades for a data set: from 0 to 1 if all values lie there, to 255 for uint8, else over its range.

        Images are ink, strokes on empty paper, if more than half of the values lie in the lowest tenth of the range.
        """
        values = numbers("Shades.of", images)
        low, high = float(values.min()), float(values.max())
        if low >= 0 and high <= 1:
            low, high = 0.0, 1.0
        elif values.dtype == numpy.uint8:
            low, high = 0.0, 255.0
        elif low == high:
            high = low + 1
        return cls(low, high, float((values <= low + 0.1 * (high - low)).mean()) > 0.5)

    def colours(self, images: Any) -> numpy.ndarray:
        """Returns red, green and blue from 0 to 1.   (..., 1) or (..., 3) -> (..., 3)"""
        values = (numpy.clip(images, self.low, self.high) - self.low) / (self.high - self.low)
        if values.shape[-1] == 1:
            values = numpy.broadcast_to(1 - values if self.ink else values, (*values.shape[:-1], 3))
        return values

    def note(self, images: Any) -> str:
        """Returns a sentence about the shades, or "" if they run from 0 to 1 and no value lies outside.

        images: (..., C), C = 1 or 3 channels
        """
        inside = self.low <= images.min() and images.max() <= self.high
        if inside and (self.low, self.high) == (0, 1):
            return ""
        names = ("dark", "bright") if images.shape[-1] == 3 else ("white", "black") if self.ink else ("black", "white")
        text = f"{self.low:.3g} is {names[0]}, {self.high:.3g} is {names[1]}"
        if not inside:
            text += f"; values lie between {float(images.min()):.3g} and {float(images.max()):.3g}"
        return text


def shades_of_model(model: Any) -> Shades:
    """Returns shades for the images that a model generates, for pictures without data."""
    return Shades.of(model.sample(100))


def numbers(operation: str, values: Any) -> numpy.ndarray:
    """Returns the values as a NumPy array. Raises InputError for no rows, non-numeric types, NaN and infinity."""
    values = to_numpy(values)
    if values.dtype.kind not in "buif":
        raise InputError(operation, "numbers", f"values of type {values.dtype}")
    if values.size == 0:
        raise InputError(operation, "at least one row", f"an array of shape {values.shape}")
    finite = numpy.isfinite(values)
    if not finite.all():
        raise InputError(operation, "finite values", f"{values.size - finite.sum()} that are NaN or infinite")
    return values


# ---- images on axes


def as_images(rows: Any, image_shape: Sequence[int] | None = None) -> numpy.ndarray:
    """Returns rows of numbers as images, by default squares of one channel.   (N, ...) -> (N, H, W, C)

    Raises InputError as `numbers` does, and ShapeError for an image_shape with another size.
    """
    rows = numbers("images", rows)
    if rows.ndim < 2:
        raise ShapeError("images", "images (N, H, W, C) or rows (N, D)", f"{rows.shape}")
    size = math.prod(rows.shape[1:])
    if image_shape is None or len(image_shape) == 1:
        side = math.isqrt(size)
        if rows.ndim == 2 and side**2 != size:
            expected = f"an image_shape (H, W, C) of {size} entries, or rows that fill a square"
            raise ShapeError("images", expected, f"rows of {size} numbers")
        image_shape = rows.shape[1:] if rows.ndim > 2 else (side, side)
    if math.prod(image_shape) != size:
        raise ShapeError("images", f"an image_shape (H, W, C) of {size} entries", f"{tuple(image_shape)}")
    if len(image_shape) > 2 and image_shape[2] not in (1, 3):
        raise ShapeError("image_shape", "1 or 3 channels", f"{tuple(image_shape)}")
    return rows.reshape(len(rows), *image_shape, *([1] * (3 - len(image_shape))))


def image_grid(images: Any, n_columns: int, empty: float = 0.0) -> numpy.ndarray:
    """Returns one picture of N images side by side, row by row; unused cells hold the number `empty`.

    (N, H, W, C) -> (rows H, columns W, C)
    """
    images = to_numpy(images)
    n, height, width, channels = images.shape
    n_rows = math.ceil(n / n_columns)
    cells = numpy.full((n_rows * n_columns, height, width, channels), empty, dtype=images.dtype)
    cells[:n] = images
    cells = cells.reshape(n_rows, n_columns, height, width, channels)
    return cells.swapaxes(1, 2).reshape(n_rows * height, n_columns * width, channels)


def show(axes: Axes, picture: numpy.ndarray, shades: Shades, extent: Sequence[float] | None = None) -> None:
    """Shows an image (H, W, C), and explains its shades below the figure unless they run from 0 to 1."""
    if picture.shape[-1] == 3:
        axes.imshow(shades.colours(picture), extent=extent, interpolation="nearest")
    else:
        limits = {"vmin": shades.low, "vmax": shades.high}
        axes.imshow(picture, "gray_r" if shades.ink else "gray", extent=extent, interpolation="nearest", **limits)
    write_note(axes, shades.note(picture))


def write_note(axes: Axes, note: str) -> None:
    """Writes a line below the figure, unless a longer line is there already."""
    if len(note) > len(axes.figure.get_supxlabel()):
        axes.figure.supxlabel(note, fontsize=11, color=GREY)


def show_rows(axes: Axes, images: numpy.ndarray, names: Sequence[str], shades: Shades) -> None:
    """Shows images row by row, one row per name, with the name on its left."""
    n = len(images) // len(names)
    show(axes, image_grid(images, n), shades, extent=(0, n, 0, len(names)))
    axes.set_xticks([])
    axes.set_yticks(numpy.arange(len(names))[::-1] + 0.5, names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    enlarge_labels(axes)


def show_square(axes: Axes, images: numpy.ndarray, shades: Shades) -> None:
    """Shows images row by row in a square; cells without an image are white."""
    white = shades.low if shades.ink and images.shape[-1] == 1 else shades.high
    show(axes, image_grid(images, math.ceil(math.sqrt(len(images))), white), shades)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_color("lightgrey")


def show_classes(axes: Axes, images: numpy.ndarray, n_classes: int, shades: Shades) -> None:
    """Shows images row by row, with a column for each class and its number above.   (n C, H, W, channels)"""
    n = len(images) // n_classes
    show(axes, image_grid(images, n_classes), shades, extent=(0, n_classes, 0, n))
    axes.set_xticks(numpy.arange(n_classes) + 0.5, [str(k) for k in range(n_classes)])
    axes.set_yticks([])
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_color("lightgrey")
    enlarge_labels(axes)


def show_sources(axes: Axes, images: numpy.ndarray, shades: Shades) -> None:
    """Shows images below each other in a frame, as the sources of the images on their right.   (N, H, W, C)"""
    show(axes, image_grid(images, 1), shades, extent=(0, 1, 0, len(images)))
    axes.set_xticks([0.5], ["x"])
    axes.set_yticks([])
    axes.tick_params(length=0, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set(color=ORANGE, linewidth=2)
    enlarge_labels(axes)


# ---- axes


def letters_on(colour: str) -> str:
    """Returns white or black, whichever has the higher contrast with the colour, by relative luminance (WCAG 2)."""
    parts = numpy.array(to_rgb(colour))
    linear = numpy.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    return "white" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "black"


def open_frame(axes: Axes) -> None:
    """Removes the frame's top and right lines."""
    axes.spines[["top", "right"]].set_visible(False)


def enlarge_labels(axes: Axes) -> None:
    """Enlarges letters for the last row of a lecture hall: at least 11 points on a figure of up to 12 inches."""
    axes.tick_params(labelsize=11)
    axes.title.set_size(13)
    axes.xaxis.label.set_size(13)
    axes.yaxis.label.set_size(13)
