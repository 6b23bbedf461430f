"""EMNIST has handwritten letters and digits in the form of MNIST, 28 x 28, grey, divided in six ways.

All six are in one archive, gzip.zip, whose SHA-256 sum is pinned here.

Source: Cohen, Afshar, Tapson & van Schaik (2017), "EMNIST: an extension of MNIST to handwritten letters",
arXiv:1702.05373; https://www.nist.gov/itl/products-and-services/emnist-dataset
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from pathlib import Path

import numpy

from scratchvae.data.dataset import Dataset
from scratchvae.data.downloads import downloaded
from scratchvae.data.files import LARGE, as_images, as_labels, find_all, read_idx
from scratchvae.errors import DataError
from scratchvae.npz import opened, readable
from scratchvae.replacement import replacing

ARCHIVE = "gzip.zip"
SHA256 = "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"
MIRRORS = (
    "https://biometrics.nist.gov/cs_links/EMNIST/",
    "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/",
)

SPLITS = {
    "balanced": (112_800, 18_800, 47),
    "byclass": (697_932, 116_323, 62),
    "bymerge": (697_932, 116_323, 47),
    "digits": (240_000, 40_000, 10),
    "letters": (124_800, 20_800, 26),
    "mnist": (60_000, 10_000, 10),
}
"""Name of a division -> images of the training and of the test part, and classes."""

OTHER_WAYS = (
    "name a folder that holds gzip.zip, or the division's four files, by --data-dir or by the variable "
    "SCRATCHVAE_DATA; the set drawn-digits needs no file"
)


def load_emnist(data_dir: str | os.PathLike[str] | None = None, split: str = "balanced") -> tuple[Dataset, Dataset]:
    """Returns the training and test set of a division in SPLITS.

    The images are (N, 28, 28, 1) in [0, 1], upright, and the labels int64 from 0.

    The images of all but "mnist" are Pixels. The letters' labels, which the files count from 1, are counted from 0.

    The archive, or the four files of the division that it contains, are looked for in data_dir or its subfolder emnist,
    then in the folder that SCRATCHVAE_DATA names. If they are not found, the archive (562 MB) is downloaded once, to
    the user's cache, where the extracted files stay.

    Raises DataError if data_dir is given and lacks them, if no mirror delivers the archive, for a wrong checksum, and
    for files with other numbers of images and classes.
    """
    train, test = (_read(split, part, _four(data_dir, split)) for part in ("train", "test"))
    return train, test


def _names(split: str) -> list[str]:
    return [
        f"emnist-{split}-{part}-{content}-ubyte.gz"
        for part in ("train", "test")
        for content in ("images-idx3", "labels-idx1")
    ]


def _four(data_dir: str | os.PathLike[str] | None, split: str) -> dict[str, Path]:
    """Returns the paths of the division's four files, found or extracted from the archive."""
    import pooch

    names = _names(split)
    found = {name: next(iter(find_all(name, "emnist", data_dir)), None) for name in names}
    if None not in found.values():
        return found
    cache = Path(pooch.os_cache("scratchvae")) / "emnist"
    archives = find_all(ARCHIVE, "emnist", data_dir)
    if not archives and data_dir:
        missing = ", ".join(name for name, path in found.items() if path is None)
        raise DataError(f"emnist in {data_dir}", f"{ARCHIVE}, or four files", f"a folder without {missing}", OTHER_WAYS)
    kept = {name: cache / name for name in names}
    if not all(path.is_file() for path in kept.values()):
        _take_out(
            _verified(archives[0]) if archives else downloaded(ARCHIVE, SHA256, MIRRORS, "emnist", OTHER_WAYS), kept
        )
    return kept


def _verified(path: Path) -> Path:
    """Returns the archive's path. Raises DataError for a wrong checksum."""
    digest = hashlib.sha256()
    with opened(path) as file:
        while block := file.read(2**20):
            digest.update(block)
    if digest.hexdigest() != SHA256:
        hint = "the file is damaged, or another one"
        raise DataError(f"checksum of {path}", SHA256, digest.hexdigest(), hint)
    return path


def _take_out(archive: Path, paths: dict[str, Path]) -> None:
    """Extracts these members of the archive into files of their own."""
    with readable(f"reading {archive}", "EMNIST's archive"), zipfile.ZipFile(archive) as members:
        for name, path in paths.items():
            with members.open(f"gzip/{name}") as member, replacing(path) as file:
                shutil.copyfileobj(member, file)


def _read(split: str, part: str, paths: dict[str, Path]) -> Dataset:
    images_path, labels_path = (path for name, path in paths.items() if f"-{part}-" in name)
    pixels, classes = read_idx(images_path), read_idx(labels_path)
    *sizes, n_classes = SPLITS[split]
    n = sizes[part == "test"]
    if pixels.shape != (n, 28, 28) or pixels.dtype != numpy.uint8:
        raise DataError(f"images of {images_path}", f"uint8, shape ({n}, 28, 28)", f"{pixels.dtype}, {pixels.shape}")
    labels = as_labels(classes, n, f"labels of {labels_path}")
    labels -= split == "letters"
    if labels.min() != 0 or labels.max() != n_classes - 1:
        received = f"classes from {labels.min()} to {labels.max()}"
        raise DataError(f"labels of {labels_path}", f"classes from 0 to {n_classes - 1}", received)
    upright = numpy.ascontiguousarray(pixels.transpose(0, 2, 1))  # columns come first in these files
    return Dataset(as_images(upright, f"images of {images_path}", large=LARGE), labels)
