"""Data sets by name or by path, each as a training and a test part."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy

from scratchvae.data.dataset import Dataset
from scratchvae.data.dequantization import dequantize
from scratchvae.data.drawn_digits import draw_digits
from scratchvae.data.drawn_faces import draw_faces
from scratchvae.data.faces import load_faces, load_frey_faces
from scratchvae.data.files import as_images, as_labels, read_arrays
from scratchvae.data.label_subset import label_subset
from scratchvae.data.mnist import load_mnist
from scratchvae.data.street_digits import draw_street_digits
from scratchvae.data.svhn import load_svhn
from scratchvae.errors import DataError, InputError
from scratchvae.minibatches import minibatches

__all__ = [
    "DATASETS",
    "Dataset",
    "dequantize",
    "draw_digits",
    "draw_faces",
    "draw_street_digits",
    "label_subset",
    "load",
    "minibatches",
]

DATASETS: dict[str, Callable[[str | os.PathLike[str] | None, int], tuple[Dataset, Dataset]]] = {
    "drawn-digits": lambda data_dir, seed: draw_digits(22_000, seed).cut(20_000),
    "drawn-faces": lambda data_dir, seed: draw_faces(11_000, seed).cut(10_000),
    "street-digits": lambda data_dir, seed: draw_street_digits(22_000, seed).cut(20_000),
    "mnist": lambda data_dir, seed: load_mnist(data_dir),
    "faces": lambda data_dir, seed: load_faces(data_dir),
    "frey-faces": lambda data_dir, seed: load_frey_faces(data_dir),
    "svhn": lambda data_dir, seed: load_svhn(data_dir),
}
"""Name -> function of (data_dir, seed) that returns the training and the test part."""


def load(
    name: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None = None, seed: int = 0
) -> tuple[Dataset, Dataset]:
    """(train, test).   images: float32 in [0, 1], (N, H, W, C) or (N, D); labels: int64 (N,) or None

    Parameters
    ----------
    name : str or path
        "drawn-digits": 20,000 and 2,000 images drawn by the package, no two of them the same draw.
        "drawn-faces": 10,000 and 1,000 faces, likewise, 64 x 64 in colour, with attributes such as smiling and glasses.
        "street-digits": 20,000 and 2,000 house numbers, likewise, 32 x 32 in colour; labels: the digit in the middle.
        "mnist": 60,000 and 10,000 images, downloaded once unless the files are found, see `data_dir`.
        "faces", "frey-faces", "svhn": the files that `load_faces`, `load_frey_faces` and `load_svhn` read; nothing is
        downloaded.
        The path of a .npy, .npz or idx file: `read_arrays` and `as_images` in scratchvae/data/files.py say what it may
        hold. Without test arrays in it the test part is the last tenth of the rows, at least one; shuffle sorted rows.
    data_dir : path, optional
        Where the files of a named set lie; by default the folder that the variable SCRATCHVAE_DATA names.
    seed : int
        The seed of a drawn set.

    Raises InputError for a name that is neither, and DataError for files that cannot be used.
    """
    if not isinstance(name, (str, os.PathLike)):
        raise InputError("load", "the name of a data set or a path", type(name).__name__)
    if name in DATASETS:
        return DATASETS[name](data_dir, seed)
    if Path(name).is_file():
        return _load_file(name)
    raise InputError("load", f"{', '.join(DATASETS)}, or the path of a .npy, .npz or idx file", repr(os.fspath(name)))


def _load_file(path: str | os.PathLike[str]) -> tuple[Dataset, Dataset]:
    arrays = read_arrays(path)
    train = _dataset(path, arrays["images"], arrays.get("labels"))
    if "test_images" in arrays:
        test = _dataset(path, arrays["test_images"], arrays.get("test_labels"))
        if test.images.shape[1:] != train.images.shape[1:]:
            expected = f"test images of shape {train.images.shape[1:]}, as the training images"
            raise DataError(f"test images of {path}", expected, f"{test.images.shape[1:]}")
        return train, test
    if len(train) == 1:
        raise DataError(f"images of {path}", "at least two, one to train with and one to test with", "one")
    return train.cut(len(train) - max(1, len(train) // 10))


def _dataset(path: str | os.PathLike[str], images: numpy.ndarray, labels: numpy.ndarray | None) -> Dataset:
    images = as_images(images, f"images of {path}")
    return Dataset(images, None if labels is None else as_labels(labels, len(images), f"labels of {path}"))
