"""A folder of PNG and JPEG images becomes one array of bytes, decoded once and kept in a file that is memory-mapped."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from scratchvae.data.dataset import Dataset
from scratchvae.data.files import LARGE, as_images
from scratchvae.errors import DataError, InputError, whole_number
from scratchvae.npz import map_bytes, opened, readable
from scratchvae.replacement import WriteError, replacing

SUFFIXES = (".png", ".jpg", ".jpeg")
"""The ends of these files' names, in small letters or capitals."""

PARTS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}
"""Part of a data set -> the names that its sub-folder may have."""

FITS = ("crop", "fit")
COLOURS = ("grey", "colour")
LARGEST_SIDE = 1024
"""The most pixels that a side of a decoded image may have."""

GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "La")
"""Pillow's modes of images without colour."""


@dataclass(frozen=True)
class Form:
    """Describes the form of decoded images: height, width, "crop" or "fit", and whether they have colour."""

    height: int
    width: int
    fit: str
    colour: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """Returns (H, W, C)."""
        return (self.height, self.width, 3 if self.colour else 1)

    def __str__(self) -> str:
        way = "scaled and cropped at the centre" if self.fit == "crop" else "scaled as a whole onto black"
        return f"{way} to {self.height} x {self.width}, {'colour' if self.colour else 'grey'}"


def holds_images(path: str | os.PathLike[str]) -> bool:
    """Tells whether `read_image_folder` reads this path, which it does for every folder without drawings."""
    return Path(path).is_dir()


def read_image_folder(
    path: str | os.PathLike[str],
    image_size: int | Sequence[int] | None = None,
    image_colour: str | None = None,
    image_fit: str = "crop",
) -> dict[str, Dataset]:
    """Returns the parts of a folder of .png, .jpg and .jpeg files, each in the order of the file names.

    folder/*.png                the images
    folder/CLASS/*.png          labels: the numbers of these sub-folders in alphabetical order
    folder/train/..., test/...  parts, each of one of these two forms, if no other sub-folders are beside them; also
                                validation, valid or val

    Images are turned as their EXIF data say, lose their transparency to white, and 16 bits become 8. With Pillow they
    are scaled by Lanczos. They are decoded once, into a file of the user's cache that later calls find by the names,
    sizes and times of the files, and map; below 64 MiB they are floats, above `Pixels`. `Dataset.note` reports the
    conversion.

    Parameters
    ----------
    image_size : int or (height, width), optional
        At most 1024 each; by default the size that all of them have.
    image_colour : "grey" or "colour", optional
        By default colour if one of them has any.
    image_fit : "crop" or "fit"
        Cut off the parts beyond the shape, or scale the whole image into it, on black.

    Raises DataError for a folder without images, with images both beside and in sub-folders, of several sizes where
    none is asked for, and for a file that is no such image or damaged, which it names; InputError for other arguments.
    """
    asked = _checked(image_size, image_colour, image_fit)
    folders = _folders(Path(path))
    found = {part: _files(folder) for part, folder in folders.items()}
    names = {file.parent.name for part, files in found.items() for file in files if file.parent != folders[part]}
    classes = {name: k for k, name in enumerate(sorted(names))}
    sizes = _measure([file for files in found.values() for file in files], asked)
    form, range_of_sizes = _form(path, sizes, asked)
    parts = {}
    for part, files in found.items():
        array = _decoded(folders[part], files, form)
        images = as_images(array, f"images of {folders[part]}", large=LARGE)
        labelled = files[0].parent != folders[part]
        labels = numpy.array([classes[file.parent.name] for file in files], dtype=numpy.int64) if labelled else None
        note = f"{len(files):,} images{range_of_sizes}, {form}"
        note += f"; labels {', '.join(f'{k}: {name}' for name, k in classes.items())}" if labelled else ""
        parts[part] = Dataset(images, labels, note=note)
    return parts


def _checked(size: Any, colour: str | None, fit: str) -> tuple[tuple[int, int] | None, bool | None, str]:
    """Returns height and width, colour and fit, as requested, with None for no request. Raises InputError."""
    if colour is not None and colour not in COLOURS:
        raise InputError("load", f"image_colour among {', '.join(COLOURS)}", repr(colour))
    if fit not in FITS:
        raise InputError("load", f"image_fit among {', '.join(FITS)}", repr(fit))
    if size is not None:
        sides = [size, size] if not isinstance(size, (list, tuple)) else list(size)
        if len(sides) != 2:
            raise InputError("load", "image_size as a number or (height, width)", repr(size))
        height, width = (whole_number("load", "image_size", side, 1, LARGEST_SIDE) for side in sides)
        size = (height, width)
    return size, None if colour is None else colour == "colour", fit


def _folders(path: Path) -> dict[str, Path]:
    """Returns the folder of each part, if all sub-folders are named as parts and one is the training part's."""
    places = [place for place in sorted(path.iterdir()) if place.is_dir() and not place.name.startswith(".")]
    parts = {part: place for place in places for part, names in PARTS.items() if place.name in names}
    return parts if "train" in parts and len(parts) == len(places) else {"train": path}


def _files(folder: Path) -> list[Path]:
    """Returns the images of a folder, or of its sub-folders. Raises DataError for none, and for both."""

    def images(place: Path) -> list[Path]:
        names = (file for file in place.iterdir() if not file.name.startswith("."))
        return sorted(file for file in names if file.suffix.lower() in SUFFIXES and file.is_file())

    beside = images(folder)
    places = sorted(place for place in folder.iterdir() if place.is_dir() and not place.name.startswith("."))
    within = [file for place in places for file in images(place)]
    if beside and within:
        received = f"{beside[0].name} beside sub-folders with images, such as {within[0].parent.name}"
        raise DataError(f"images of {folder}", "images either in the folder or in sub-folders of it", received)
    if not beside and not within:
        raise DataError(f"images of {folder}", f"at least one file that ends in {', '.join(SUFFIXES)}", "none")
    return beside or within


def _measure(files: list[Path], asked: tuple[Any, Any, str]) -> list[tuple[int, int, bool]]:
    """Returns height, width and colour of every image from its header, or nothing if size and colour are given."""
    if asked[0] is not None and asked[1] is not None:
        return []
    measured = []
    for file in files:
        with _image(file) as image:
            width, height = image.size
            turned = image.getexif().get(0x0112, 1) >= 5  # EXIF's orientation
            measured.append((*((width, height) if turned else (height, width)), image.mode not in GREY_MODES))
    return measured


def _form(path: Any, sizes: list[tuple[int, int, bool]], asked: tuple[Any, Any, str]) -> tuple[Form, str]:
    """Returns the form that the images are converted to, and a clause about their original sizes."""
    size, colour, fit = asked
    different = sorted({(height, width) for height, width, _ in sizes}, key=lambda pair: (pair[0] * pair[1], pair))
    words = ""
    if different:
        low, high = (f"{height} x {width}" for height, width in (different[0], different[-1]))
        words = f" of {low}" if len(different) == 1 else f" of {low} to {high}"
    if size is None:
        if len(different) > 1:
            received = f"sizes from {low} to {high}"
            raise DataError(f"images of {path}", "images of one size", received, "--image-size 64 scales them")
        size = different[0]
        if max(size) > LARGEST_SIDE:
            expected = f"sides of at most {LARGEST_SIDE} pixels"
            raise DataError(f"images of {path}", expected, f"images{words}", "--image-size 64 scales them")
    return Form(*size, fit, any(one for *_, one in sizes) if colour is None else colour), words


@contextmanager
def _image(file: Path) -> Iterator[Any]:
    """Opens an image. Raises DataError, which names the file, for unreadable content, also while it is open."""
    from PIL import Image

    operation = f"reading {file}"
    try:
        with readable(operation, "a PNG or JPEG image"), opened(file) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield Image.open(stream, formats=["PNG", "JPEG"])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(operation, f"an image of at most {Image.MAX_IMAGE_PIXELS:,} pixels", str(error)) from None


def _pixels(file: Path, form: Form) -> numpy.ndarray:
    """Returns an image in this form: uint8, (H, W, C)."""
    from PIL import Image, ImageOps

    with _image(file) as image:
        if image.format == "JPEG":
            longer = 2 * max(form.height, form.width)
            image.draft(None, (longer, longer))  # decodes fewer pixels of what is much larger
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16 bits
            image = Image.fromarray((numpy.asarray(image) / 257).round().astype(numpy.uint8))
        if "A" in image.mode.upper() or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("RGB" if form.colour else "L")
        if image.size != (form.width, form.height):
            scaled = ImageOps.fit if form.fit == "crop" else ImageOps.pad
            image = scaled(image, (form.width, form.height), Image.Resampling.LANCZOS)
        return numpy.asarray(image, dtype=numpy.uint8).reshape(form.shape)


def _decoded(folder: Path, files: list[Path], form: Form) -> numpy.ndarray:
    """Returns the images in this form, uint8 (N, H, W, C), mapped from the cache or decoded and cached."""
    import pooch
    from tqdm.auto import tqdm

    facts = [
        (file.relative_to(folder), status.st_size, status.st_mtime_ns) for file in files if (status := file.stat())
    ]
    key = hashlib.blake2b(repr((form, folder.resolve(), facts)).encode(errors="surrogateescape"), digest_size=16)
    path = Path(pooch.os_cache("scratchvae")) / "folders" / f"{key.hexdigest()}.npy"
    shape = (len(files), *form.shape)
    if (kept := _kept(path, shape)) is not None:
        return kept
    bar = tqdm(files, f"decoding {folder.name}", unit="image", disable=None)
    images = (_pixels(file, form) for file in bar)
    try:
        with replacing(path) as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            numpy.lib.format.write_array_header_1_0(file, header)
            for image in images:
                file.write(image.tobytes())
        return _kept(path, shape)
    except WriteError as error:
        warnings.warn(f"the images of {folder} will have to be decoded again: {error}", stacklevel=2)
    return numpy.stack([_pixels(file, form) for file in files])


def _kept(path: Path, shape: tuple[int, ...]) -> numpy.ndarray | None:
    """Returns the cached array of a file, mapped, or None if there is none of this shape."""
    with suppress(OSError, DataError), opened(path) as file:
        images = map_bytes(file, os.fstat(file.fileno()).st_size, f"reading {path}")
        if images is not None and images.shape == shape:
            return images
    return None
