"""Photographs of faces, CelebA and the Frey faces, are read from files that are never downloaded.

CelebA's aligned images show a face in the middle of 178 x 218 pixels. The middle 148 x 148 are kept and reduced to 64 x
64 (Lanczos); this takes minutes for all 202,599, so that the result is kept beside the images, or in the user's cache.

Source: Liu, Luo, Wang & Tang, "Deep learning face attributes in the wild" (2015),
https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html; the Frey faces: https://cs.nyu.edu/~roweis/data.html
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy

from scratchvae import checkpoint
from scratchvae.data.dataset import Dataset
from scratchvae.data.files import as_images, find, read_arrays
from scratchvae.data.mat import read_mat
from scratchvae.errors import DataError
from scratchvae.npz import NUMBERS, Archive, opened, readable
from scratchvae.replacement import WriteError

ARCHIVE, N_TEST = "celeba64_first3400.npz", 400
"""The first 3,400 images, prepared: of these the last 400 are the test part."""

IMAGES, ATTRIBUTES, PARTITION = "img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt"
TRAINING, TEST = "0", "2"
"""The numbers of the parts in PARTITION; 1 is the number for validation."""

SIZE, MIDDLE, SIDE = (178, 218), (15, 35, 163, 183), 64
"""Width and height of an aligned image; left, top, right and bottom of its middle; the side that this is reduced to."""

CACHE = "celeba64_crops.npz"
FILES_OF_PERSONS = {ARCHIVE, CACHE, "frey_faces.npz", "frey_rawface.mat"}

LARGEST_LIST = 2**26  # bytes; the list of attributes has 2.6e7

HOW_TO_GET_THEM = (
    "CelebA is for non-commercial research only and is not downloaded: get img_align_celeba and list_attr_celeba.txt "
    "from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, and name their folder by --data-dir or by the variable "
    "SCRATCHVAE_DATA; the set drawn-faces needs no file"
)


def load_faces(data_dir: str | os.PathLike[str] | None = None) -> tuple[Dataset, Dataset]:
    """Returns CelebA's training and test part, images (N, 64, 64, 3) float32 in [0, 1] with 40 attributes.

    In data_dir, or in the folder that the variable SCRATCHVAE_DATA names, or its subfolder faces, lie either

    img_align_celeba/, list_attr_celeba.txt
        The aligned images 000001.jpg ... with their attributes: all of them, which takes 10 GB of memory, or a part.
        If list_eval_partition.txt lies there too, and puts some images in its training part and some in its test part,
        those are the parts, and the images for validation are left out; otherwise the test part is the last tenth.
    celeba64_first3400.npz
        The arrays images uint8 (N, 64, 64, 3), attributes -1 or 1 (N, A), and attribute_names (A,). The last 400 images
        are the test part.

    Raises DataError if neither is there, and for files that are damaged or of another structure.
    """
    folder, archive = find(IMAGES, "faces", data_dir, Path.is_dir), find(ARCHIVE, "faces", data_dir)
    if folder:
        return _aligned_images(folder)
    if archive:
        return _prepared(archive)
    raise DataError("faces", f"the folder {IMAGES} or the file {ARCHIVE}", "neither", HOW_TO_GET_THEM)


def load_frey_faces(data_dir: str | os.PathLike[str] | None = None) -> tuple[Dataset, Dataset]:
    """Returns 1,965 consecutive film frames of one person's face, images (N, 28, 20, 1) float32 in [0, 1].

    The frames are in order. The test part is the last tenth, 196 frames: if test frames were chosen at random, almost
    every one would have a neighbour that looks the same among the training images.

    The file is frey_faces.npz with an array images uint8 (N, 28, 20), or frey_rawface.mat with ff uint8 (560, N), in
    data_dir, or in the folder that the variable SCRATCHVAE_DATA names, or its subfolder faces.

    Raises DataError if neither is there, and for files that are damaged or of another structure.
    """
    archive, original = (find(name, "faces", data_dir) for name in ("frey_faces.npz", "frey_rawface.mat"))
    if not archive and not original:
        hint = (
            "it is not downloaded: get it from https://cs.nyu.edu/~roweis/data.html, and name its folder by --data-dir "
            "or by the variable SCRATCHVAE_DATA"
        )
        raise DataError("frey-faces", "frey_faces.npz or frey_rawface.mat", "neither", hint)
    if archive:
        frames = read_arrays(archive)["images"]
    else:
        (columns,) = read_mat(original, "ff")
        frames = columns.T.reshape(-1, 28, 20) if len(columns) == 560 else columns
    if frames.dtype != numpy.uint8 or frames.shape[1:] != (28, 20) or len(frames) < 2:
        expected = "at least two frames of uint8 and the shape (28, 20)"
        raise DataError(f"images of {archive or original}", expected, f"{frames.dtype} {frames.shape}")
    images = as_images(frames, f"images of {archive or original}")
    return Dataset(images).cut(len(images) - max(1, len(images) // 10))


def _prepared(path: Path) -> tuple[Dataset, Dataset]:
    operation = f"reading {path}"
    with readable(operation, "an .npz file"), opened(path) as file:
        archive = Archive(file, operation)
        wanted = {"images": NUMBERS, "attributes": NUMBERS, "attribute_names": "S"}
        if missing := [name for name in wanted if name not in archive.members]:
            raise DataError(operation, f"arrays named {', '.join(wanted)}", f"none named {', '.join(missing)}")
        images, attributes, names = (archive.read(name, kinds) for name, kinds in wanted.items())
    n = len(images) if images.ndim == 4 else 0
    if images.dtype != numpy.uint8 or images.shape[1:] != (SIDE, SIDE, 3) or n <= N_TEST:
        expected = f"more than {N_TEST} images of uint8 and the shape ({SIDE}, {SIDE}, 3)"
        raise DataError(f"images of {path}", expected, f"{images.dtype} {images.shape}")
    if names.ndim != 1 or attributes.shape != (n, len(names)):
        expected = f"a row for each of {n} images and a name for each column"
        raise DataError(f"attributes of {path}", expected, f"the shapes {attributes.shape} and {names.shape}")
    if not numpy.isin(attributes, (-1, 1)).all():
        received = f"values from {attributes.min()} to {attributes.max()}"
        raise DataError(f"attributes of {path}", "-1 for no and 1 for yes", received)
    words = [name.decode("ascii", "replace") for name in names.tolist()]
    return _dataset(images, words, attributes == 1, str(path)).cut(n - N_TEST)


def _dataset(images: numpy.ndarray, names: list[str], attributes: numpy.ndarray, source: str) -> Dataset:
    """Returns images with attributes of these names, bool (N, A)."""
    if len(set(names)) < len(names) or not all(re.fullmatch(r"\w+", name) for name in names):
        raise DataError(f"attributes of {source}", "different words as their names", ", ".join(names))
    columns = dict(zip(names, numpy.ascontiguousarray(attributes.T), strict=True))
    return Dataset(as_images(images, f"images of {source}"), attributes=columns)


# ---- CelebA as it is distributed


def _aligned_images(folder: Path) -> tuple[Dataset, Dataset]:
    if not (folder.parent / ATTRIBUTES).is_file():
        raise DataError(f"faces in {folder.parent}", f"the file {ATTRIBUTES}", "none", HOW_TO_GET_THEM)
    names, listed = _read_attributes(folder.parent / ATTRIBUTES)
    with readable(f"reading {folder}", "a folder"):
        there = {entry.name: entry.stat() for entry in os.scandir(folder)}
    files = sorted(listed.keys() & there.keys())
    partition = folder.parent / PARTITION
    parts = dict(_read_rows(partition, 2)) if partition.exists() else {}
    training, test = ([file for file in files if parts.get(file) == part] for part in (TRAINING, TEST))
    if not training or not test:
        n_test = max(1, len(files) // 10)
        training, test = files[:-n_test], files[-n_test:]
    if not training:
        expected = f"at least two of the images that {ATTRIBUTES} lists"
        raise DataError(f"images in {folder}", expected, str(len(files)))
    files = training + test
    images = _crops(folder, {file: (there[file].st_size, there[file].st_mtime_ns) for file in files})
    attributes = numpy.frombuffer(b"".join(listed[file] for file in files), bool).reshape(len(files), len(names))
    return _dataset(images, names, attributes, str(folder)).cut(len(training))


def _read_attributes(path: Path) -> tuple[list[str], dict[str, bytes]]:
    """Returns the names of the attributes, and for each image file a byte per attribute, 1 or 0.

    The number of images stands in the first line, the names in the second; each other line has a file and its -1 or 1s.
    """
    rows = _read_rows(path)
    (count, *_), names = next(rows, ["0"]), next(rows, [])
    listed = {}
    for file, *values in rows:
        if len(values) != len(names) or not {"-1", "1"}.issuperset(values) or not re.fullmatch(r"\d+\.jpg", file):
            expected = f"000001.jpg or its like, and -1 or 1 for each of {len(names)} attributes"
            raise DataError(f"reading {path}", expected, " ".join([file, *values]))
        listed[file] = bytes(value == "1" for value in values)
    if count != str(len(listed)):
        raise DataError(f"reading {path}", f"{count} images, as its first line says", str(len(listed)))
    return names, listed


def _read_rows(path: Path, length: int | None = None) -> Iterator[list[str]]:
    """Yields the words of each non-empty line, exactly `length` of them if it is given."""
    operation = f"reading {path}"
    with readable(operation, "a list in a text file"), opened(path, LARGEST_LIST) as file:
        for line in file:
            if words := line.decode("ascii").split():
                if length and len(words) != length:
                    raise DataError(operation, f"lines of {length} words", line.decode("ascii").strip())
                yield words


def _crops(folder: Path, files: dict[str, tuple[int, int]]) -> numpy.ndarray:
    """Returns the centres of the images, uint8 (N, 64, 64, 3), from the cache if it was made from the same files.

    files: name -> size and time of the last change
    """
    import pooch

    key = hashlib.blake2b(repr((MIDDLE, SIDE, files)).encode(), digest_size=16).hexdigest()
    caches = (folder.parent / CACHE, Path(pooch.os_cache("scratchvae")) / "faces" / CACHE)
    for path in caches:
        with suppress(DataError):  # nothing there, or a torn file
            header, arrays = checkpoint.read(path)
            if header.get("key") == key:
                return arrays["images"]
    images = _cropped(folder, list(files))
    failures = []
    for path in caches:
        try:
            checkpoint.write(path, {"key": key}, {"images": images})
            return images
        except WriteError as error:
            failures.append(str(error))
    warnings.warn(f"the images of {folder} will have to be cropped again: {'; '.join(failures)}", stacklevel=2)
    return images


def _cropped(folder: Path, files: list[str]) -> numpy.ndarray:
    from PIL import Image
    from tqdm.auto import tqdm

    images = numpy.empty((len(files), SIDE, SIDE, 3), dtype=numpy.uint8)
    for k, file in enumerate(tqdm(files, f"cropping {folder.name}", unit="image", disable=None)):
        operation = f"reading {folder / file}"
        try:
            with readable(operation, "a JPEG image"), opened(folder / file) as stream:
                image = Image.open(stream, formats=["JPEG"])
                if image.size != SIZE:
                    expected = f"an aligned image of {SIZE[0]} x {SIZE[1]} pixels"
                    raise DataError(operation, expected, f"one of {image.width} x {image.height}")
                images[k] = image.convert("RGB").crop(MIDDLE).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise DataError(operation, f"an aligned image of {SIZE[0]} x {SIZE[1]} pixels", str(error)) from None
    return images
