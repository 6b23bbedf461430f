"""Fashion-MNIST, KMNIST and EMNIST by name: found, downloaded from a stand-in for a server, told apart, refused."""

import gzip
import hashlib
import shutil
import struct
import zipfile
from pathlib import Path

import numpy
import pytest

from scratchvae.cli import main
from scratchvae.data import DATASETS, emnist, load, mnist
from scratchvae.errors import DataError
from scratchvae.pixels import Pixels

RNG = numpy.random.default_rng(0)


def idx(array):
    content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    return gzip.compress(content, mtime=0)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def without_files(monkeypatch, tmp_path):
    monkeypatch.delenv("SCRATCHVAE_DATA", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)


class Server:
    """In place of pooch.retrieve: mirrors in `working` deliver the files of a folder, with their sums checked."""

    def __init__(self, folder, working):
        self.folder, self.working, self.asked = folder, working, []

    def __call__(self, url, known_hash, fname, path):
        self.asked.append(url)
        if not url.startswith(self.working):
            raise ConnectionError("no route")
        if known_hash != f"sha256:{digest(self.folder / fname)}":
            raise ValueError("hash")
        Path(path).mkdir(parents=True, exist_ok=True)
        return shutil.copy(self.folder / fname, path)


@pytest.fixture
def published(monkeypatch, tmp_path):
    """Name of a set -> the folder of its four files, small ones of random pixels, whose sums are published instead."""
    folders = {}
    for name, publication in mnist.PUBLISHED.items():
        folders[name] = tmp_path / "server" / name
        folders[name].mkdir(parents=True)
        for file in mnist.FILES:
            n = 6 if "train" in file else 3
            shape = (n, 28, 28) if "images" in file else (n,)
            (folders[name] / file).write_bytes(idx(RNG.integers(0, 10, shape, dtype=numpy.uint8)))
        sums = tuple(digest(folders[name] / file) for file in mnist.FILES)
        monkeypatch.setitem(mnist.PUBLISHED, name, mnist.Publication(sums, publication.mirrors))
    owners = {one: name for name, publication in mnist.PUBLISHED.items() for one in publication.sums}
    monkeypatch.setattr(mnist, "OWNERS", owners)
    return folders


# ---- the four files


def test_every_published_file_has_a_sum_of_its_own_and_a_set_a_name():
    assert len(mnist.OWNERS) == 4 * len(mnist.PUBLISHED) and all(len(one) == 64 for one in mnist.OWNERS)
    assert {"mnist", "fashion-mnist", "kmnist", "emnist", *(f"emnist-{name}" for name in emnist.SPLITS)} <= set(
        DATASETS
    )
    assert all(len(publication.mirrors) > 1 for publication in mnist.PUBLISHED.values())


@pytest.mark.parametrize("name", mnist.PUBLISHED)
def test_a_set_is_downloaded_once_from_a_mirror_that_works(published, monkeypatch, name, tmp_path):
    server = Server(published[name], mnist.PUBLISHED[name].mirrors[-1])
    monkeypatch.setattr("pooch.retrieve", server)
    train, test = load(name)
    assert (len(train), len(test)) == (6, 3) and train.images.shape == (6, 28, 28, 1)
    assert server.asked == [mirror + file for file in mnist.FILES for mirror in mnist.PUBLISHED[name].mirrors]
    assert sorted(file.name for file in (tmp_path / "cache" / "scratchvae" / name).iterdir()) == sorted(mnist.FILES)


def test_files_of_the_same_names_are_told_apart_by_their_sums(published, tmp_path):
    """MNIST's files lie in the folder itself, the others' in sub-folders."""
    folder = tmp_path / "data"
    shutil.copytree(published["mnist"], folder)
    for name in ("fashion-mnist", "kmnist"):
        shutil.copytree(published[name], folder / name)
    images = {name: load(name, folder)[0].images for name in published}
    assert not any(numpy.array_equal(images["mnist"], images[name]) for name in ("fashion-mnist", "kmnist"))
    with pytest.raises(DataError, match="kmnist in .*: expected its four files, received a folder without .* of mnist"):
        load("kmnist", published["mnist"])


def test_a_damaged_file_is_named(published, tmp_path):
    path = published["kmnist"] / mnist.FILES[2]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"checksum of .*{path.name}: expected {mnist.PUBLISHED['kmnist'].sums[2]}"):
        load("kmnist", published["kmnist"])


def test_without_a_mirror_one_sentence_names_the_other_ways(published, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("pooch.retrieve", Server(published["mnist"], "https://raw.githubusercontent.com"))
    assert main(["data", "fashion-mnist"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("scratchvae: downloading train-images-idx3-ubyte.gz: expected one mirror that has it")
    assert "a wrong checksum from https://raw.g" in error and "ConnectionError from http://fashion" in error
    assert "--data-dir" in error and error.count("\n") == 1


# ---- EMNIST


@pytest.fixture
def archive(monkeypatch, tmp_path):
    """A folder with gzip.zip, small, of two divisions, whose sum and sizes are EMNIST's instead."""
    folder = tmp_path / "server"
    folder.mkdir()
    monkeypatch.setattr(emnist, "SPLITS", {"letters": (8, 4, 4), "balanced": (8, 4, 4)})
    with zipfile.ZipFile(folder / emnist.ARCHIVE, "w") as file:
        for split in emnist.SPLITS:
            first = int(split == "letters")
            for part, n in (("train", 8), ("test", 4)):
                pixels = RNG.integers(2, 256, (n, 28, 28), dtype=numpy.uint8)
                pixels[:, :14] = 0  # the left half, as columns come first
                file.writestr(f"gzip/emnist-{split}-{part}-images-idx3-ubyte.gz", idx(pixels))
                labels = (numpy.arange(n) % 4 + first).astype(numpy.uint8)
                file.writestr(f"gzip/emnist-{split}-{part}-labels-idx1-ubyte.gz", idx(labels))
    monkeypatch.setattr(emnist, "SHA256", digest(folder / emnist.ARCHIVE))
    return folder


@pytest.mark.parametrize("name", ["emnist-letters", "emnist"])
def test_a_division_is_upright_and_its_labels_begin_at_0(archive, monkeypatch, name):
    server = Server(archive, emnist.MIRRORS[1])
    monkeypatch.setattr("pooch.retrieve", server)
    for _ in range(2):
        train, test = load(name)
        assert (len(train), len(test)) == (8, 4)
        assert train.labels.tolist() == [0, 1, 2, 3] * 2 and test.labels.dtype == numpy.int64
        assert train.images[:, :, :14].max() == 0 and train.images[:, :, 14:].min() > 0
    assert server.asked == [mirror + "gzip.zip" for mirror in emnist.MIRRORS], "asked once; then the files are there"


def test_the_archive_or_the_files_within_it_are_found(archive, monkeypatch, tmp_path):
    from_archive = load("emnist-letters", archive)[0]
    with zipfile.ZipFile(archive / emnist.ARCHIVE) as file:
        file.extractall(tmp_path / "unpacked")
    (tmp_path / "unpacked" / "gzip").rename(tmp_path / "unpacked" / "emnist")
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr(emnist, "LARGE", 100)
    from_files = load("emnist-letters", tmp_path / "unpacked")[0]
    assert isinstance(from_files.images, Pixels) and numpy.array_equal(from_files.images, from_archive.images)
    assert not (tmp_path / "cache").exists()


def test_other_archives_and_files_get_one_sentence(archive, monkeypatch, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DataError, match=r"emnist in .*empty: expected gzip.zip, or four files, .*without emnist-letters"
    ):
        load("emnist-letters", tmp_path / "empty")
    monkeypatch.setitem(emnist.SPLITS, "balanced", (9, 4, 4))
    with pytest.raises(
        DataError, match=r"balanced-train-images.*: expected uint8, shape \(9, 28, 28\), received .*\(8, "
    ):
        load("emnist-balanced", archive)
    monkeypatch.setitem(emnist.SPLITS, "balanced", (8, 4, 5))
    with pytest.raises(DataError, match="balanced-train-labels.*: expected classes from 0 to 4, received .* 0 to 3"):
        load("emnist-balanced", archive)
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr(emnist, "SHA256", "0" * 64)
    with pytest.raises(DataError, match="checksum of .*gzip.zip: expected 000.* another one"):
        load("emnist-letters", archive)
    monkeypatch.setattr("pooch.retrieve", Server(archive, emnist.MIRRORS[0]))
    with pytest.raises(DataError, match="downloading gzip.zip: .*a wrong checksum from https://bio.*, ConnectionError"):
        load("emnist-letters")
