"""MNIST: 60,000 training and 10,000 test images of handwritten digits, 28 x 28, grey.

Source: LeCun, Cortes & Burges, http://yann.lecun.com/exdb/mnist/
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from scratchvae.data.dataset import Dataset
from scratchvae.data.files import as_images, as_labels, find, read_idx
from scratchvae.errors import DataError

SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
"""The four files and their checksums."""

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
"""Where the files are downloaded from, in this order; the checksums make plain http safe."""

OTHER_WAYS = (
    "name a folder that holds them by --data-dir or by the variable SCRATCHVAE_DATA; the set drawn-digits needs no file"
)


def load_mnist(data_dir: str | os.PathLike[str] | None = None) -> tuple[Dataset, Dataset]:
    """Training and test set: images (60000, 28, 28, 1) and (10000, 28, 28, 1) float32 in [0, 1], labels int64.

    The files are looked for in data_dir or its subfolder mnist; else likewise in the folder that the environment
    variable SCRATCHVAE_DATA names; else they are downloaded, once, to the user's cache.

    Raises DataError if data_dir is given and lacks one, if no mirror delivers it, and for a wrong checksum.
    """
    files = _files_within(data_dir)
    missing = [name for name in SHA256 if name not in files]
    if missing and data_dir:
        raise DataError(f"mnist in {data_dir}", "its four files", f"a folder without {', '.join(missing)}", OTHER_WAYS)
    for name in missing:
        files[name] = _downloaded(name)
    train, test = (_read(files, part) for part in ("train", "t10k"))
    return train, test


def _files_within(data_dir: str | os.PathLike[str] | None) -> dict[str, Path]:
    """The paths by name of those of the four files that are found; their checksums are verified."""
    files = {}
    for name, expected in SHA256.items():
        path = find(name, "mnist", data_dir)
        if path:
            received = hashlib.sha256(path.read_bytes()).hexdigest()
            if received != expected:
                raise DataError(f"checksum of {path}", expected, received, "the file is damaged, or another one")
            files[name] = path
    return files


def _downloaded(name: str) -> Path:
    """The file in the user's cache, downloaded if it is not there yet; only whole files with the checksum get there."""
    import pooch

    folder, failures = pooch.os_cache("scratchvae") / "mnist", []
    for mirror in MIRRORS:
        try:
            return Path(pooch.retrieve(mirror + name, f"sha256:{SHA256[name]}", fname=name, path=folder))
        except OSError as error:
            failures.append(f"{type(error).__name__} from {mirror}")
        except ValueError:  # pooch's word for a wrong checksum
            failures.append(f"a wrong checksum from {mirror}")
    raise DataError(f"downloading {name}", "one mirror that has it", ", ".join(failures), OTHER_WAYS)


def _read(files: dict[str, Path], part: str) -> Dataset:
    images_path, labels_path = files[f"{part}-images-idx3-ubyte.gz"], files[f"{part}-labels-idx1-ubyte.gz"]
    images = as_images(read_idx(images_path), f"images of {images_path}")
    return Dataset(images, as_labels(read_idx(labels_path), len(images), f"labels of {labels_path}"))
