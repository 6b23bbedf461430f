"""MNIST and two sets in its form have 60,000 training and 10,000 test images each, 28 x 28, grey, in ten classes.

mnist           handwritten digits: LeCun, Cortes & Burges, http://yann.lecun.com/exdb/mnist/
fashion-mnist   articles of clothing: Xiao, Rasul & Vollgraf (2017), arXiv:1708.07747
kmnist          cursive kana: Clanuwat, Bober-Irizar, Kitamoto, Lamb, Yamamoto & Ha (2018), arXiv:1812.01718

The files of all three have the same names; their SHA-256 sums tell them apart.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from scratchvae.data.dataset import Dataset
from scratchvae.data.downloads import downloaded
from scratchvae.data.files import as_images, as_labels, find_all, read_idx
from scratchvae.errors import DataError

FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
"""The names of the four files of a set."""


@dataclass(frozen=True)
class Publication:
    """Holds the SHA-256 sums of a set's four files, in the order of FILES, and their mirrors, in the order of use.

    The checksums make plain http safe.
    """

    sums: tuple[str, ...]
    mirrors: tuple[str, ...]

    @property
    def sha256(self) -> dict[str, str]:
        """Returns the SHA-256 sum of each file, by name."""
        return dict(zip(FILES, self.sums, strict=True))


PUBLISHED = {
    "mnist": Publication(
        (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "http://yann.lecun.com/exdb/mnist/",
        ),
    ),
    "fashion-mnist": Publication(
        (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
    ),
    "kmnist": Publication(
        (
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        ),
        ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
    ),
}
"""Name of a set -> its files."""

OWNERS = {sum_: name for name, publication in PUBLISHED.items() for sum_ in publication.sums}
"""The sum of a file -> the set that it belongs to."""

OTHER_WAYS = (
    "name a folder that holds them by --data-dir or by the variable SCRATCHVAE_DATA; the set drawn-digits needs no file"
)


def load_mnist(data_dir: str | os.PathLike[str] | None = None, name: str = "mnist") -> tuple[Dataset, Dataset]:
    """Returns training and test set, images (60000, 28, 28, 1) and (10000, 28, 28, 1) float32 in [0, 1], labels int64.

    name: a set in PUBLISHED. Its files are looked for in data_dir or its subfolder of that name, or, without data_dir,
    in the folder that the environment variable SCRATCHVAE_DATA names. Otherwise they are downloaded, once, to the
    user's cache. Files that belong to another of these sets are ignored.

    Raises DataError if data_dir is given and lacks a file, if no mirror delivers it, and for a wrong checksum.
    """
    files, others = _files_within(data_dir, name)
    missing = [file for file in FILES if file not in files]
    if missing and data_dir:
        received = f"a folder without {', '.join(missing)}"
        received += f", but with files of {' and '.join(sorted(others))} under these names" if others else ""
        raise DataError(f"{name} in {data_dir}", "its four files", received, OTHER_WAYS)
    publication = PUBLISHED[name]
    for file in missing:
        files[file] = downloaded(file, publication.sha256[file], publication.mirrors, name, OTHER_WAYS)
    train, test = (_read(files, part) for part in ("train", "t10k"))
    return train, test


def _files_within(data_dir: str | os.PathLike[str] | None, name: str) -> tuple[dict[str, Path], set[str]]:
    """Returns the paths of the set's files that were found, sums verified, and the other sets whose files were found.

    Raises DataError for a file under one of their names that is in none of the sets.
    """
    files: dict[str, Path] = {}
    others: set[str] = set()
    for file, expected in PUBLISHED[name].sha256.items():
        for path in find_all(file, name, data_dir):
            received = hashlib.sha256(path.read_bytes()).hexdigest()
            owner = OWNERS.get(received)
            if owner is None:
                raise DataError(f"checksum of {path}", expected, received, "the file is damaged, or another one")
            if received == expected:
                files.setdefault(file, path)
            elif owner != name:
                others.add(owner)
    return files, others


def _read(files: dict[str, Path], part: str) -> Dataset:
    images_path, labels_path = files[f"{part}-images-idx3-ubyte.gz"], files[f"{part}-labels-idx1-ubyte.gz"]
    images = as_images(read_idx(images_path), f"images of {images_path}")
    return Dataset(images, as_labels(read_idx(labels_path), len(images), f"labels of {labels_path}"))
