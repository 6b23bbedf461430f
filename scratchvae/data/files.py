"""A user's own files are read through `scratchvae.npz`, which unpickles nothing and trusts no header."""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy

from scratchvae.errors import DataError
from scratchvae.npz import NUMBERS, OBJECTS, Archive, map_bytes, opened, read_npy, read_values, readable, refuse_bomb
from scratchvae.pixels import Pixels

IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""The third byte of an IDX file -> the type of its values."""

NPZ_NAMES = {
    "images": ("x_train", "X_train", "train_images", "train"),
    "labels": ("y_train", "Y_train", "train_labels"),
    "valid_images": ("x_valid", "X_valid", "x_val", "X_val", "val_images", "validation_images", "valid", "val"),
    "valid_labels": ("y_valid", "Y_valid", "y_val", "Y_val", "val_labels", "validation_labels"),
    "test_images": ("x_test", "X_test", "test"),
    "test_labels": ("y_test", "Y_test"),
}
"""Name of an array in an .npz file -> the other names that it may have there; those of sketches are magenta's."""

LARGE = 2**26
"""The size in bytes from which 8-bit pixels stay bytes in `Pixels`, and a .npy file of them is memory-mapped."""

DEFLATE_RATIO = 1032
"""The most bytes that deflate expands one byte to: it spends at least two bits on 258 bytes."""


def find(
    name: str, folder: str, data_dir: str | os.PathLike[str] | None, suits: Callable[[Path], bool] = Path.is_file
) -> Path | None:
    """Returns the path of the named file, or of another suitable one, in data_dir or its subfolder `folder`, or None.

    Where data_dir is None, it is the folder that the environment variable SCRATCHVAE_DATA names.
    """
    return next(iter(find_all(name, folder, data_dir, suits)), None)


def find_all(
    name: str, folder: str, data_dir: str | os.PathLike[str] | None, suits: Callable[[Path], bool] = Path.is_file
) -> list[Path]:
    """Returns everything that `find` looks for, in data_dir and in its subfolder."""
    directory = data_dir or os.environ.get("SCRATCHVAE_DATA")
    if not directory:
        return []
    paths = (Path(directory).expanduser() / name, Path(directory).expanduser() / folder / name)
    return [path for path in paths if suits(path)]


def read_idx(path: str | os.PathLike[str]) -> numpy.ndarray:
    """Returns the array in an IDX file, plain or gzip-compressed, in the machine's byte order.

    0, 0, type code, rank, then the sizes as big-endian uint32, then the values, big-endian, last index fastest.

    Raises DataError for a missing file, another format, damage, and values fewer or more than the header promises.
    Source: the format at the foot of http://yann.lecun.com/exdb/mnist/
    """
    operation, form = f"reading {path}", "an idx file, plain or compressed by gzip"
    with readable(operation, form), opened(path) as file:
        length, compressed = os.fstat(file.fileno()).st_size, file.peek(2).startswith(b"\x1f\x8b")
        stream = gzip.GzipFile(fileobj=file) if compressed else file
        magic = stream.read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_TYPES or magic[3] == 0:
            received = f"one that begins with the bytes {magic.hex(' ')}" if magic else "an empty one"
            raise DataError(operation, form, received, "the names of NumPy's files end in .npy or .npz")
        dtype, rank = numpy.dtype(IDX_TYPES[magic[2]]), magic[3]
        sizes = stream.read(4 * rank)
        if len(sizes) < 4 * rank:
            raise DataError(operation, f"a header of {4 + 4 * rank} bytes", f"only {4 + len(sizes)}; it is truncated")
        shape = tuple(numpy.frombuffer(sizes, ">u4").tolist())
        if compressed:
            promised = math.prod(shape) * dtype.itemsize
            if promised > DEFLATE_RATIO * length:
                received = f"{length} compressed bytes, which cannot hold them; it is truncated"
                raise DataError(operation, f"the values for the shape {shape} in its header", received)
            refuse_bomb(operation, promised, length)
        return read_values(stream, shape, dtype, None if compressed else length - 4 - 4 * rank, operation)


def read_arrays(path: str | os.PathLike[str]) -> dict[str, numpy.ndarray]:
    """Returns the arrays of a .npy, .npz or idx file by name: images, and from an .npz all names in NPZ_NAMES.

    An array that is alone in an .npz may have any name. Sketches may be an array of arrays, of type object.

    Raises DataError for a missing or damaged file, other Python objects (never unpickled), and an .npz without images.
    """
    operation, suffix = f"reading {path}", Path(path).suffix.lower()
    if suffix == ".npy":
        with readable(operation, "a .npy file"), opened(path) as file:
            length = os.fstat(file.fileno()).st_size
            mapped = map_bytes(file, length, operation) if length >= LARGE else None
            return {"images": read_npy(file, length, operation, NUMBERS + OBJECTS) if mapped is None else mapped}
    if suffix != ".npz":
        return {"images": read_idx(path)}
    with readable(operation, "an .npz file"), opened(path) as file:
        archive = Archive(file, operation)
        members = list(archive.members)
        chosen = {
            name: next((known for known in (name, *others) if known in members), None)
            for name, others in NPZ_NAMES.items()
        }
        if len(members) == 1:
            chosen = {"images": members[0]}
        if chosen["images"] is None:
            names = ", ".join(members) or "(none)"
            raise DataError(operation, "an array named images or x_train", f"arrays named {names}")
        return {
            name: archive.read(known, NUMBERS + OBJECTS if name.endswith("images") else NUMBERS)
            for name, known in chosen.items()
            if known is not None
        }


def labels_beside(path: str | os.PathLike[str]) -> Path | None:
    """Returns the idx file of labels that belongs to a file of images, named as MNIST's are, or None.

    train-images-idx3-ubyte.gz -> train-labels-idx1-ubyte.gz
    """
    path = Path(path)
    name = path.name.replace("images", "labels").replace("idx3", "idx1")
    return (
        path.with_name(name) if name != path.name and "idx3" in path.name and path.with_name(name).is_file() else None
    )


def as_images(array: numpy.ndarray, operation: str, missing: bool = False, large: float = math.inf) -> Any:
    """Returns images as float32, (N, H, W, C) with channels last, or vectors (N, D).

    Arrays of uint8 are 8-bit pixels, which are divided by 255; from `large` bytes on they become Pixels, which divide
    only the rows that are read. (N, H, W) gets a channel. All other arrays, such as counts in another type of integers,
    keep their values; the likelihood of a model checks them.

    Raises DataError, which begins with `operation`, for other shapes, N or channels in another place, no entries, no
    numbers, infinity, numbers too large for float32, and NaN unless entries may be `missing`.
    """
    shape = array.shape
    if array.ndim not in (2, 3, 4):
        raise DataError(operation, "images (N, H, W, C) or (N, H, W), or vectors (N, D)", f"the shape {shape}")
    if array.size == 0:
        raise DataError(operation, "at least one image", f"an empty array of shape {shape}")
    if array.ndim == 4 and shape[3] not in (1, 3) and (shape[1] in (1, 3) or shape[2] in (1, 3)):
        channels_first = "channels come last: x.transpose(0, 2, 3, 1)"
        hint = channels_first if shape[1] in (1, 3) else "N comes first: x.transpose(3, 0, 1, 2)"
        raise DataError(operation, "images (N, H, W, C)", f"the shape {shape}", hint)
    if array.dtype.kind not in "buif":
        raise DataError(operation, "numbers", f"values of type {array.dtype}")
    if array.dtype == numpy.uint8:
        pixels = Pixels.of(operation, array[..., None] if array.ndim == 3 else array)
        return pixels if array.nbytes >= large else pixels.numbers()
    finite = numpy.isfinite(array) | (numpy.isnan(array) & missing)
    if not finite.all():
        n, hint = array.size - finite.sum(), "" if missing else "missing=True, or --missing, takes NaN for missing"
        hint = hint if numpy.isnan(array).any() else ""
        raise DataError(operation, "finite pixels", f"{n} that are NaN or infinite", hint)
    if numpy.isnan(array).all():
        raise DataError(operation, "known pixels", "none but NaN")
    low, high = numpy.nanmin(array), numpy.nanmax(array)
    most = 2**24 if array.dtype.kind in "iu" else float(numpy.finfo(numpy.float32).max)
    if max(abs(float(low)), abs(float(high))) > most:
        raise DataError(operation, f"values that float32 holds, up to {most:g}", f"values from {low:g} to {high:g}")
    values = array.astype(numpy.float32)
    return values[..., None] if array.ndim == 3 else values


def as_labels(array: numpy.ndarray, n: int, operation: str) -> numpy.ndarray:
    """Returns one class per image as int64, shape (N,).

    Raises DataError, which begins with `operation`, for anything else.

    array: (N,), or (N, 1) as some .npz files have it
    """
    array = array[:, 0] if array.shape == (n, 1) else array
    if array.shape != (n,) or array.dtype.kind not in "iu":
        received = f"the type {array.dtype} and the shape {array.shape}"
        raise DataError(operation, f"integers of shape ({n},), a label for each image", received)
    return array.astype(numpy.int64)
