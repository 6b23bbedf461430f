"""SVHN has 73,257 training and 26,032 test crops of house numbers, 32 x 32 in colour, labelled by the middle digit.

The files are for non-commercial use only and are not downloaded; their MD5 sums are

    train_32x32.mat    e26dedcc434d2e4c54c9b2d4a06d8373
    test_32x32.mat     eb5a983be6a315427106f1b164d9cef3

Source: Netzer, Wang, Coates, Bissacco, Wu & Ng, "Reading digits in natural images with unsupervised feature learning"
(2011), http://ufldl.stanford.edu/housenumbers/
"""

from __future__ import annotations

import os

import numpy

from scratchvae.data.dataset import Dataset
from scratchvae.data.files import as_images, find
from scratchvae.data.mat import read_mat
from scratchvae.errors import DataError

FILES = ("train_32x32.mat", "test_32x32.mat")

HOW_TO_GET_THEM = (
    "get them from http://ufldl.stanford.edu/housenumbers/, where they are for non-commercial use only, and name their "
    "folder by --data-dir or by the variable SCRATCHVAE_DATA; the set street-digits needs no file"
)


def load_svhn(data_dir: str | os.PathLike[str] | None = None) -> tuple[Dataset, Dataset]:
    """Returns training and test set, images (N, 32, 32, 3) float32 in [0, 1], labels int64 from 0 to 9.

    The files train_32x32.mat and test_32x32.mat hold X uint8 (32, 32, 3, N), and y (N, 1) from 1 to 10, which is the
    digit 0. They lie in data_dir, or in the folder that the variable SCRATCHVAE_DATA names, or in its subfolder svhn.

    Raises DataError if one is missing, damaged, or of another structure.
    """
    paths = {name: find(name, "svhn", data_dir) for name in FILES}
    missing = [name for name, path in paths.items() if path is None]
    if missing:
        raise DataError("svhn", "its two files", f"no {' and no '.join(missing)}", HOW_TO_GET_THEM)
    train, test = (_read(path) for path in paths.values())
    return train, test


def _read(path: os.PathLike[str]) -> Dataset:
    pixels, classes = read_mat(path, "X", "y")
    n = pixels.shape[-1]
    if pixels.dtype != numpy.uint8 or pixels.shape != (32, 32, 3, n) or classes.shape != (n, 1):
        expected = "X of uint8 and the shape (32, 32, 3, N), and y of the shape (N, 1)"
        raise DataError(f"reading {path}", expected, f"{pixels.dtype} {pixels.shape} and {classes.shape}")
    if not numpy.isin(classes, range(1, 11)).all():
        received = f"values from {classes.min():g} to {classes.max():g}"
        raise DataError(f"labels of {path}", "whole numbers from 1 to 10, which is the digit 0", received)
    images = as_images(numpy.ascontiguousarray(pixels.transpose(3, 0, 1, 2)), f"images of {path}")
    return Dataset(images, classes[:, 0].astype(numpy.int64) % 10)
