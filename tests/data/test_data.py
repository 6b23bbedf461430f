"""Readers and data sets by name: what is written comes back, and every malformed file gets one sentence."""

import gzip
import math
import os
import shutil
import struct
import zipfile
from pathlib import Path

import numpy
import pytest

import scratchvae as sv
import scratchvae.data
from scratchvae.backend import asarray, to_numpy
from scratchvae.data import Dataset, load
from scratchvae.data.files import as_images, as_labels, read_arrays, read_idx
from scratchvae.data.mnist import PUBLISHED, load_mnist
from scratchvae.errors import DataError, InputError
from scratchvae.pixels import Pixels

LABELS = numpy.arange(10) % 2


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, (10, 5, 4), dtype=numpy.uint8)


MIRRORS, SHA256 = PUBLISHED["mnist"].mirrors, PUBLISHED["mnist"].sha256

# ---- IDX


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize(("code", "letter"), [(8, "B"), (9, "b"), (0x0B, "h"), (0x0C, "i"), (0x0D, "f"), (0x0E, "d")])
def test_idx_returns_what_was_written(tmp_path, code, letter, compress):
    path = tmp_path / "values"
    path.write_bytes(compress(struct.pack(f">4B2I6{letter}", 0, 0, code, 2, 3, 2, 1, 2, 3, 4, 5, 100)))
    values = read_idx(path)
    assert values.tolist() == [[1, 2], [3, 4], [5, 100]]
    assert values.dtype == numpy.dtype(letter) and values.dtype.isnative


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda whole: b"", "expected an idx file, .* an empty one"),
        (lambda whole: whole[:3], "begins with the bytes 00 00 08 "),
        (lambda whole: b"\x89PNG" + whole, "begins with the bytes 89 50 4e 47"),
        (lambda whole: b"\0\0\x0a" + whole[3:], "begins with the bytes 00 00 0a 03"),
        (lambda whole: b"\0\0\x08\0" + whole[4:], "begins with the bytes 00 00 08 00"),
        (lambda whole: whole[:9], "expected a header of 16 bytes, received only 9; it is truncated"),
        (lambda whole: whole[:-1], r"expected 200 bytes .* \(10, 5, 4\) in its header, received only 199; it is trunc"),
        (lambda whole: whole + b"\0", "expected 200 bytes .* received more"),
        (lambda whole: b"\0\0\x08\x03" + b"\xff" * 12 + whole[16:], "it is truncated"),
        (lambda whole: b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"\0", "cannot be read: .*dim"),
    ],
)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_malformed_idx_is_refused(tmp_path, pixels, change, sentence, compress):
    path = tmp_path / "images-idx3-ubyte"
    path.write_bytes(compress(change(idx(pixels))))
    with pytest.raises(DataError, match=rf"reading .*images-idx3-ubyte: .*{sentence}"):
        read_idx(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda whole: whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:], "CRC check failed"),
        (lambda whole: whole[:-20], "ended before the end-of-stream marker"),
        (lambda whole: whole[:10] + b"\xff" * 20 + whole[30:], "Error -3 while decompressing"),
        (lambda whole: whole + b"more", "Not a gzipped file"),
    ],
)
def test_damaged_gzip_is_refused(tmp_path, pixels, change, sentence):
    path = tmp_path / "images.gz"
    path.write_bytes(change(gzip.compress(idx(pixels))))
    with pytest.raises(DataError, match=f"reading .*images.gz: .* cannot be read: .*{sentence}"):
        read_idx(path)


def test_missing_file_is_refused(tmp_path):
    for name in ("a.npy", "a.npz", "a-idx3-ubyte"):
        with pytest.raises(DataError, match=f"reading .*{name}: .*No such file"):
            read_arrays(tmp_path / name)


# ---- .npy and .npz


@pytest.mark.parametrize("dtype", ["u1", "<f4", ">f8", "?", "<i8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_returns_what_was_written(tmp_path, pixels, dtype, order):
    written = numpy.asarray(pixels % 2, dtype=dtype, order=order)
    numpy.save(tmp_path / "a.npy", written)
    read = read_arrays(tmp_path / "a.npy")
    assert list(read) == ["images"]
    numpy.testing.assert_array_equal(read["images"], written)


@pytest.mark.parametrize("save", [numpy.savez, numpy.savez_compressed])
@pytest.mark.parametrize(
    "names", [("images", "labels", "test_images", "test_labels"), ("x_train", "y_train", "x_test", "y_test")]
)
def test_npz_knows_both_sets_of_names(tmp_path, pixels, save, names):
    arrays = (pixels, numpy.arange(10), pixels[:3], numpy.arange(3))
    save(tmp_path / "a.npz", other=numpy.zeros(2), **dict(zip(names, arrays, strict=True)))
    read = read_arrays(tmp_path / "a.npz")
    assert list(read) == ["images", "labels", "test_images", "test_labels"]
    for received, written in zip(read.values(), arrays, strict=True):
        numpy.testing.assert_array_equal(received, written)


def test_array_alone_in_npz_may_have_any_name(tmp_path, pixels):
    numpy.savez(tmp_path / "a.npz", faces=pixels)
    numpy.testing.assert_array_equal(read_arrays(tmp_path / "a.npz")["images"], pixels)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda whole: b"", "cannot be read"),
        (lambda whole: whole[:40], "cannot be read"),
        (lambda whole: b"GIF89a" + whole[6:], "the magic string is not correct"),
        (lambda whole: whole[:6] + b"\x09" + whole[7:], r"expected version 1.0 or 2.0 .* received 9\.0"),
        (lambda whole: whole[:-1], "expected 200 bytes .* received only 199; it is truncated"),
        (lambda whole: whole + b"\0", "expected 200 bytes .* received more"),
        (lambda whole: whole.replace(b"10, 5", b"99, 5"), "expected 1980 bytes .* received only 200; it is truncated"),
    ],
)
def test_malformed_npy_is_refused(tmp_path, pixels, change, sentence):
    path = tmp_path / "a.npy"
    numpy.save(path, pixels)
    whole = change(path.read_bytes())
    path.write_bytes(whole)
    with pytest.raises(DataError, match=rf"reading .*a\.npy: .*{sentence}"):
        read_arrays(path)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", whole)
    with pytest.raises(DataError, match=rf"reading .*a\.npz.*: .*{sentence}"):
        read_arrays(tmp_path / "a.npz")


def test_damaged_npz_is_refused(tmp_path, pixels):
    path = tmp_path / "a.npz"
    numpy.savez(path, images=pixels)
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(DataError, match="expected an .npz file, received one that cannot be read: File is not a zip"):
        read_arrays(path)
    start = whole.index(pixels.tobytes())
    path.write_bytes(whole[:start] + bytes(200) + whole[start + 200 :])
    with pytest.raises(DataError, match="cannot be read: Bad CRC-32"):
        read_arrays(path)


def test_npz_without_images_is_refused(tmp_path):
    numpy.savez(tmp_path / "a.npz", faces=numpy.zeros(2), names=numpy.zeros(2))
    with pytest.raises(
        DataError, match="expected an array named images or x_train, received arrays named faces, names"
    ):
        read_arrays(tmp_path / "a.npz")


def test_python_objects_are_never_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    objects = numpy.array([Trap(), None], dtype=object)
    numpy.save(tmp_path / "a.npy", objects)
    numpy.savez(tmp_path / "a.npz", images=objects)
    for path in (tmp_path / "a.npy", tmp_path / "a.npz"):
        with pytest.raises(DataError, match="expected an array of numbers, received an array of Python objects"):
            read_arrays(path)
    assert not (tmp_path / "sprung").exists()


# ---- arrays to images and labels


def test_bytes_are_divided_by_255():
    images = as_images(numpy.array([[0, 51, 255]], dtype=numpy.uint8), "x")
    assert images.dtype == numpy.float32
    numpy.testing.assert_array_equal(images, numpy.array([[0, 0.2, 1]], dtype=numpy.float32))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "bool", "int64"])
def test_values_in_the_unit_interval_are_kept(rng, dtype):
    written = rng.integers(0, 2, (6, 4)).astype(dtype)
    images = as_images(written, "x")
    assert images.dtype == numpy.float32
    numpy.testing.assert_array_equal(images, written)


@pytest.mark.parametrize(
    "values", [[[-3.5, 250.0]], [[0.0, 16.0]], numpy.array([[0, 7, 2**24]]), numpy.array([[0, 255]], dtype=numpy.int16)]
)
def test_other_values_are_kept_for_a_likelihood_to_judge(values):
    images = as_images(numpy.asarray(values), "x")
    assert images.dtype == numpy.float32 and images.tolist() == numpy.asarray(values).tolist()


@pytest.mark.parametrize(
    ("values", "likelihood", "sentence"),
    [
        (numpy.linspace(-2, 3, 40), "gaussian", None),
        (
            numpy.linspace(-2, 3, 40),
            "bernoulli",
            r"from -2 to 2.48718 \(likelihood=\"gaussian\" takes any",
        ),
        (numpy.arange(40) % 17, "poisson", None),
        (numpy.arange(40.0) % 17, "poisson", None),
        (numpy.arange(40) % 17, "bernoulli", r"received values from 0 to 16 \(divide by 16, the largest value\)$"),
        (numpy.linspace(0, 255, 40)[::-1], "bernoulli", r"to 255 \(divide by 255\)$"),
        (numpy.arange(40, dtype="u1"), "poisson", r"expected whole numbers .* \(sv.data.load divides bytes"),
        (numpy.linspace(-2, 3, 40), "poisson", "expected whole numbers of at least 0, received -2$"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_data_of_a_file_are_judged_by_the_likelihood(values, likelihood, sentence, tmp_path):
    numpy.save(tmp_path / "x.npy", values.reshape(10, 4))
    train, _ = sv.data.load(tmp_path / "x.npy", split="last")
    model = sv.VAE.mlp(4, 2, (3,), likelihood=likelihood)
    if sentence is None:
        assert math.isfinite(sv.evaluate(model, train.images)["elbo"])
        numpy.testing.assert_allclose(train.images, values.reshape(10, 4)[:9], rtol=1e-6)
        return
    with pytest.raises(DataError, match=f"^data for a {likelihood.capitalize()} likelihood: .*{sentence}"):
        sv.evaluate(model, train.images)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((6, 9), (6, 9)), ((6, 5, 4), (6, 5, 4, 1)), ((6, 5, 4, 1), (6, 5, 4, 1)), ((6, 3, 3, 3), (6, 3, 3, 3))],
)
def test_shapes_of_images(shape, expected):
    assert as_images(numpy.zeros(shape), "x").shape == expected


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (
            numpy.zeros((6, 3, 8, 8)),
            r"received the shape \(6, 3, 8, 8\) \(channels come last: x.transpose\(0, 2, 3, 1\)",
        ),
        (numpy.zeros((6, 1, 8, 8)), r"channels come last: x.transpose\(0, 2, 3, 1\)"),
        (numpy.zeros((8, 9, 3, 6)), r"received the shape \(8, 9, 3, 6\) \(N comes first: x.transpose\(3, 0, 1, 2\)"),
        (numpy.zeros((8, 9, 1, 6)), r"N comes first: x.transpose\(3, 0, 1, 2\)"),
        (numpy.zeros(6), r"expected images .* received the shape \(6,\)"),
        (numpy.zeros((0, 8, 8)), r"expected at least one image, received an empty array of shape \(0, 8, 8\)"),
        (numpy.array([[0, numpy.nan]]), "expected finite pixels, received 1 that are NaN or infinite"),
        (numpy.array([[0, numpy.inf, -numpy.inf]]), "received 2 that are NaN or infinite"),
        (
            numpy.array([[0.0, 1e300]]),
            r"values that float32 holds, up to 3.4.*, received values from 0 to 1e\+300",
        ),
        (
            numpy.array([[-(2**24) - 1, 0]]),
            r"values that float32 holds, up to 1.67.*, received values from -1.67",
        ),
        (numpy.array([[0, 1]], dtype=numpy.uint8), "received values from 0 to 1 .*as bool or float32"),
        (numpy.array([["a", "b"]]), "expected numbers, received values of type <U1"),
        (numpy.array([[1j]]), "expected numbers, received values of type complex128"),
    ],
)
def test_arrays_that_are_no_images_are_refused(array, sentence):
    with pytest.raises(DataError, match=f"^images of a.npy: .*{sentence}"):
        as_images(array, "images of a.npy")


def test_labels_are_one_integer_an_image():
    labels = as_labels(numpy.array([3, 1], dtype=numpy.uint8), 2, "labels")
    assert labels.dtype == numpy.int64 and labels.tolist() == [3, 1]
    for wrong in (numpy.array([3, 1, 2]), numpy.array([[3, 1]]), numpy.array([3.0, 1.0])):
        with pytest.raises(DataError, match=r"^labels: expected integers of shape \(2,\).* received the type"):
            as_labels(wrong, 2, "labels")


# ---- a user's file as a training and a test part


@pytest.mark.parametrize(("n", "n_test"), [(2, 1), (10, 1), (19, 1), (20, 2)])
def test_the_last_tenth_of_a_file_is_the_test_part_where_that_is_asked_for(tmp_path, rng, n, n_test):
    values, labels = rng.random((n, 3)), numpy.arange(n)
    numpy.savez(tmp_path / "a.npz", images=values, labels=labels)
    train, test = load(tmp_path / "a.npz", split="last")
    assert (len(train), len(test)) == (n - n_test, n_test)
    numpy.testing.assert_array_equal(numpy.concatenate([train.images, test.images]), values.astype(numpy.float32))
    numpy.testing.assert_array_equal(numpy.concatenate([train.labels, test.labels]), labels)


@pytest.fixture
def sorted_file(tmp_path, rng):
    """200 rows of a hundred numbers, sorted by class: 100, 60 and 40 of three classes. The first number is the row."""
    images = rng.random((200, 100))
    images[:, 0] = numpy.arange(200) / 200
    labels = numpy.repeat([0, 1, 2], [100, 60, 40])
    numpy.savez(tmp_path / "sorted.npz", images=images, labels=labels)
    return tmp_path / "sorted.npz", labels


def rows_of(part):
    return numpy.rint(part.images[:, 0] * 200).astype(int)


def test_a_sorted_file_is_tested_on_every_class_in_proportion(sorted_file):
    path, labels = sorted_file
    train, test = load(path)
    assert numpy.bincount(test.labels).tolist() == [10, 6, 4]
    assert sorted([*rows_of(train), *rows_of(test)]) == list(range(200))
    for part in (train, test):
        numpy.testing.assert_array_equal(part.labels, labels[rows_of(part)])
    assert rows_of(test).tolist() == rows_of(load(path)[1]).tolist() != rows_of(load(path, seed=1)[1]).tolist()


def test_three_parts_have_no_row_in_common(sorted_file):
    path, labels = sorted_file
    parts = load(path, validation=0.25)
    assert [len(part) for part in parts] == [135, 45, 20]
    assert sorted(row for part in parts for row in rows_of(part)) == list(range(200))
    assert numpy.bincount(parts[1].labels).tolist() in ([22, 14, 9], [23, 13, 9])
    assert rows_of(parts[2]).tolist() == rows_of(load(path)[1]).tolist(), "the test part does not depend on it"


def test_a_file_may_bring_its_validation_part(tmp_path, pixels):
    numpy.savez(tmp_path / "a.npz", x_train=pixels, x_valid=pixels[:3], y_valid=numpy.arange(3), x_test=pixels[3:5])
    parts = load(tmp_path / "a.npz", validation=0.5)
    assert [len(part) for part in parts] == [10, 3, 2] and parts[1].labels.tolist() == [0, 1, 2]
    assert [len(part) for part in load(tmp_path / "a.npz")] == [10, 2]
    assert {name: len(part) for name, part in sv.data.read(tmp_path / "a.npz").items()} == {
        "train": 10,
        "validation": 3,
        "test": 2,
    }


def test_idx_images_find_or_are_told_their_labels(tmp_path, pixels):
    labels = numpy.arange(10, dtype=numpy.uint8)
    (tmp_path / "some-images-idx3-ubyte").write_bytes(idx(pixels))
    assert load(tmp_path / "some-images-idx3-ubyte")[0].labels is None
    numpy.save(tmp_path / "labels.npy", labels)
    told = sv.data.read(tmp_path / "some-images-idx3-ubyte", tmp_path / "labels.npy")["train"]
    (tmp_path / "some-labels-idx1-ubyte").write_bytes(idx(labels))
    found = sv.data.read(tmp_path / "some-images-idx3-ubyte")["train"]
    assert told.labels.tolist() == found.labels.tolist() == list(range(10))
    (tmp_path / "some-labels-idx1-ubyte").write_bytes(idx(labels[:9]))
    with pytest.raises(DataError, match=r"labels of .*some-labels-idx1-ubyte: expected integers of shape \(10,\)"):
        load(tmp_path / "some-images-idx3-ubyte")


def test_held_out_rows_bring_all_that_is_known_of_them():
    drawn = sv.data.draw_digits(30)
    others, part = drawn.hold_out(0.2)
    (row,) = numpy.flatnonzero((drawn.images == part.images[1]).all(axis=(1, 2, 3)))
    assert len(others) == 24 and len(part) == 6 and part.labels[1] == drawn.labels[row]
    assert part.factors["slant"][1] == drawn.factors["slant"][row] and part.strokes[1] is drawn.strokes[row]
    for share in (0, 1, 1.5, "0.1", None):
        with pytest.raises(InputError, match="hold_out: expected a share between 0 and 1"):
            drawn.hold_out(share)
    with pytest.raises(InputError, match="expected split among random, last, received 'first'"):
        load("drawn-digits", split="first")
    with pytest.raises(InputError, match="labels beside a file of yours"):
        load("drawn-digits", labels="labels.npy")


def test_test_arrays_of_a_file_are_the_test_part(tmp_path, pixels):
    numpy.savez(tmp_path / "a.npz", x_train=pixels, y_train=numpy.arange(10), x_test=pixels[:4])
    train, test = load(str(tmp_path / "a.npz"))
    assert train.images.shape == (10, 5, 4, 1) and train.labels.shape == (10,)
    assert test.images.shape == (4, 5, 4, 1) and test.labels is None


def test_npy_and_idx_load_without_labels(tmp_path, pixels):
    numpy.save(tmp_path / "a.npy", pixels)
    (tmp_path / "a-idx3-ubyte").write_bytes(idx(pixels))
    for name in ("a.npy", "a-idx3-ubyte"):
        train, test = load(tmp_path / name)
        assert train.images.shape == (9, 5, 4, 1) and test.images.shape == (1, 5, 4, 1)
        assert train.labels is None and test.labels is None


def test_files_that_cannot_be_cut_are_refused(tmp_path, pixels):
    numpy.save(tmp_path / "a.npy", pixels[:1])
    with pytest.raises(DataError, match=r"images of .*a\.npy: expected at least two, .* received one"):
        load(tmp_path / "a.npy")
    numpy.savez(tmp_path / "a.npz", images=pixels, test_images=pixels[:, :4])
    with pytest.raises(DataError, match=r"expected test images of shape \(5, 4, 1\), .* received \(4, 4, 1\)"):
        load(tmp_path / "a.npz")
    numpy.savez(tmp_path / "a.npz", images=pixels, labels=numpy.arange(9))
    with pytest.raises(DataError, match=r"labels of .*a\.npz: expected integers of shape \(10,\)"):
        load(tmp_path / "a.npz")


# ---- data sets by name


@pytest.mark.parametrize("name", ["mnits", "no/such/file.npy"])
def test_unknown_name_lists_the_known_ones(name):
    with pytest.raises(
        InputError,
        match=f"expected drawn-digits, drawn-faces, .*mnist.*, or the path of a .npy, .npz or idx .* '{name}'",
    ):
        load(name)


@pytest.mark.parametrize(
    ("name", "n", "n_test"),
    [
        ("drawn-digits", 20_000, 2_000),
        ("drawn-faces", 10_000, 1_000),
        ("street-digits", 20_000, 2_000),
        ("drawn-sketches", 20_000, 2_000),
    ],
)
def test_drawn_sets_are_one_draw_cut_in_two(monkeypatch, name, n, n_test):
    def draw(n, seed):
        numbers = numpy.arange(n)
        strokes = [[number] for number in numbers]
        return Dataset(numbers, numbers + seed, {"slant": -numbers}, strokes, {"odd": numbers % 2 == 1})

    assert sv.data.DRAWN[name][1] == n
    monkeypatch.setitem(sv.data.DRAWN, name, (draw, n))
    train, test = load(name, seed=7)
    for part, numbers in ((train, range(n)), (test, range(n, n + n_test))):
        assert part.images.tolist() == list(numbers)
        assert part.labels.tolist() == [number + 7 for number in numbers]
        assert part.factors["slant"].tolist() == [-number for number in numbers]
        assert part.strokes == [[number] for number in numbers]
        assert part.attributes["odd"].tolist() == [number % 2 == 1 for number in numbers]


def test_more_or_fewer_rows_are_drawn_beside_the_same_test_part(monkeypatch):
    monkeypatch.setitem(sv.data.DRAWN, "drawn-sketches", (sv.data.draw_sketches, 40))
    train, test = load("drawn-sketches", seed=2)
    assert (len(train), len(test)) == (40, 4)
    for n in (40, 7, 55):
        rows, same = load("drawn-sketches", seed=2, drawn=n)
        assert len(rows) == n and (same.labels == test.labels).all()
        assert sv.data.to_lines(same.sketches)[3][0].tolist() == sv.data.to_lines(test.sketches)[3][0].tolist()
        both = min(same.sketches.shape[1], test.sketches.shape[1])  # the longest of all rows decides how many there are
        assert numpy.array_equal(same.sketches[:, :both], test.sketches[:, :both])
        for name, values in rows.factors.items():
            assert (values[:7] == train.factors[name][:7]).all()
        assert not set(rows.factors["slant"].tolist()) & set(test.factors["slant"].tolist())
    parts = load("drawn-sketches", seed=2, drawn=55, validation=0.2)
    assert [len(part) for part in parts] == [44, 11, 4]
    for name, drawn, sentence in (
        ("mnist", 3, "load: expected drawn with one of drawn-digits, drawn-faces, street-digits, drawn-sketches"),
        ("drawn-digits", 0, "load: expected drawn from 1 to 1000000, received 0"),
        ("drawn-digits", 10**6 + 1, "received 1000001"),
        ("drawn-digits", 2.5, "received 2.5"),
    ):
        with pytest.raises(InputError, match=sentence):
            load(name, drawn=drawn)


@pytest.mark.parametrize("folder", [".", ".."])
def test_mnist_is_mnist(mnist_dir, folder):
    train, test = load("mnist", data_dir=mnist_dir / folder)
    assert train.images.shape == (60000, 28, 28, 1) and test.images.shape == (10000, 28, 28, 1)
    assert train.images.dtype == numpy.float32 and train.labels.dtype == numpy.int64
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert train.images.min() == 0 and train.images.max() == 1
    assert train.images.mean(dtype=numpy.float64) == pytest.approx(0.1307, abs=5e-5)


class FakeRetrieve:
    """In place of pooch.retrieve: the mirrors in `working` deliver the files of a folder, the others raise `error`."""

    def __init__(self, folder=None, working=(), error=None):
        self.folder, self.working, self.error, self.asked = folder, working, error, []

    def __call__(self, url, known_hash, fname, path):
        self.asked.append(url)
        if not url.startswith(tuple(self.working)):
            raise self.error
        assert known_hash == f"sha256:{SHA256[fname]}"
        Path(path).mkdir(parents=True, exist_ok=True)
        return shutil.copy(self.folder / fname, path)


@pytest.fixture
def without_files(monkeypatch, tmp_path):
    monkeypatch.delenv("SCRATCHVAE_DATA", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "cache" / project)


def test_mirrors_are_tried_in_turn(mnist_dir, monkeypatch, without_files):
    retrieve = FakeRetrieve(mnist_dir, MIRRORS[1:2], ConnectionError("no route"))
    monkeypatch.setattr("pooch.retrieve", retrieve)
    train, test = load_mnist()
    assert (len(train), len(test)) == (60000, 10000)
    assert retrieve.asked == [mirror + name for name in SHA256 for mirror in MIRRORS[:2]]


@pytest.mark.parametrize(
    ("error", "word"), [(ConnectionError("no route"), "ConnectionError"), (ValueError("hash"), "a wrong checksum")]
)
def test_no_mirror_gives_one_sentence_with_the_other_ways(monkeypatch, without_files, error, word):
    monkeypatch.setattr("pooch.retrieve", FakeRetrieve(error=error))
    words = [f"{word} from {MIRRORS[0]}", f"{word} from {MIRRORS[2]}", "--data-dir", "SCRATCHVAE_DATA", "drawn-digits"]
    with pytest.raises(DataError, match="downloading train-images-idx3-ubyte.gz: .*" + ".*".join(words)):
        load_mnist()


def test_download_with_a_wrong_checksum_leaves_nothing(monkeypatch, without_files, tmp_path):
    def other_content(self, url, output_file, pooch, check_only=False):
        Path(output_file).write_bytes(b"something else")

    monkeypatch.setattr("pooch.HTTPDownloader.__call__", other_content)
    with pytest.raises(DataError, match="a wrong checksum from https"):
        load_mnist()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_given_folder_without_the_files_is_refused_and_nothing_is_downloaded(monkeypatch, tmp_path):
    retrieve = FakeRetrieve()
    monkeypatch.setattr("pooch.retrieve", retrieve)
    with pytest.raises(DataError, match=r"^mnist in .*a folder without train-images-idx3-ubyte.gz, .*--data-dir"):
        load_mnist(tmp_path)
    assert retrieve.asked == []


def test_wrong_checksum_of_a_local_file_is_refused(monkeypatch, tmp_path):
    path = tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(idx(numpy.zeros(10000, dtype=numpy.uint8))))
    sentence = f"checksum of .*t10k-labels-idx1-ubyte.gz: expected {SHA256[path.name]}, received"
    with pytest.raises(DataError, match=sentence):
        load_mnist(tmp_path)
    monkeypatch.setenv("SCRATCHVAE_DATA", str(tmp_path))
    with pytest.raises(DataError, match=sentence):
        load_mnist()


def test_environment_variable_names_the_folder(data_dir, mnist_dir, monkeypatch):
    retrieve = FakeRetrieve()
    monkeypatch.setattr("pooch.retrieve", retrieve)
    monkeypatch.setenv("SCRATCHVAE_DATA", str(data_dir))
    assert len(load_mnist()[1]) == 10000
    assert retrieve.asked == []


# ---- 8-bit values as real numbers


def test_dequantised_pixels_fill_the_cells_of_their_values(rng, device):
    values = rng.integers(0, 256, (50, 8, 8, 3))
    images = asarray((values / 255).astype(numpy.float32), device)
    x = sv.data.dequantize(images, sv.Noise(0, device=device))
    assert x.shape == images.shape and x.dtype == numpy.float32
    within = 256 * to_numpy(x).astype(numpy.float64) - values
    assert (0 <= within).all() and (within < 1 + 1e-4).all()
    assert within.mean() == pytest.approx(0.5, abs=0.01) and within.std() == pytest.approx(12**-0.5, rel=0.02)
    numpy.testing.assert_array_equal(to_numpy(sv.data.dequantize(images, sv.Noise(0, device=device))), to_numpy(x))


def test_values_that_are_no_grey_values_are_not_dequantised():
    with pytest.raises(DataError, match=r"dequantize: expected values in \[0, 1\], received values from 0 to 255"):
        sv.data.dequantize(numpy.arange(256.0), sv.Noise(0))
    with pytest.raises(DataError, match="from nan to nan"):
        sv.data.dequantize(numpy.full(3, numpy.nan), sv.Noise(0))


def test_extra_labels_go_to_classes_drawn_by_the_seed():
    """34 labels for 4 classes: two classes have one more, by and by all of them."""
    labels = numpy.arange(400) % 4
    favoured = set()
    for seed in range(20):
        known = sv.data.label_subset(labels, 34, seed)
        counts = numpy.bincount(known[known >= 0], minlength=4)
        assert sorted(counts) == [8, 8, 9, 9]
        favoured |= set(numpy.flatnonzero(counts == 9).tolist())
    assert favoured == {0, 1, 2, 3}


def test_labelled_rows_lie_anywhere():
    """The mean of 100 of 1,000 row numbers is within four standard deviations, 110, of the middle."""
    rows = [numpy.flatnonzero(sv.data.label_subset(numpy.arange(1000) % 10, 100, seed) >= 0) for seed in (0, 1)]
    assert not numpy.array_equal(*rows)
    assert all(abs(chosen.mean() - 499.5) < 110 for chosen in rows)


# ---- large files of bytes


@pytest.fixture
def large(monkeypatch):
    monkeypatch.setattr("scratchvae.data.files.LARGE", 100)


def test_a_large_file_of_bytes_is_mapped_and_has_the_floats_of_a_small_one(tmp_path, pixels, monkeypatch):
    for name, write in (("x.npy", numpy.save), ("x.npz", lambda path, x: numpy.savez(path, images=x, labels=LABELS))):
        write(tmp_path / name, pixels)
        small = load(tmp_path / name, validation=0.2, seed=1)
        with monkeypatch.context() as patch:
            patch.setattr("scratchvae.data.files.LARGE", 100)
            large = load(tmp_path / name, validation=0.2, seed=1)
            whole = sv.data.read(tmp_path / name)["train"].images
        for part, same in zip(large, small, strict=True):
            assert isinstance(part.images, Pixels) and part.images.shape == same.images.shape
            assert numpy.array_equal(part.images, same.images) and same.images.dtype == numpy.float32
            assert numpy.array_equal(part.labels, same.labels) if same.labels is not None else part.labels is None
            assert numpy.array_equal(part.in_memory(2).images, same.images[:: -(-len(same) // 2)])
            assert same.in_memory(1) is same
        array = whole.bytes()
        assert numpy.array_equal(array[..., 0], pixels)
        assert name == "x.npz" or not array.flags.writeable, "a memory map, which is only read"


@pytest.mark.parametrize(
    "array",
    [
        numpy.asfortranarray(numpy.arange(200, dtype=numpy.uint8).reshape(10, 5, 4)),
        numpy.linspace(0, 1, 200, dtype=numpy.float32).reshape(10, 5, 4),
    ],
    ids=["column by column", "floats"],
)
def test_other_large_arrays_are_read(tmp_path, large, array):
    numpy.save(tmp_path / "x.npy", array)
    images = sv.data.read(tmp_path / "x.npy")["train"].images
    expected = array / numpy.float32(255) if array.dtype == numpy.uint8 else array
    assert numpy.array_equal(numpy.asarray(images)[..., 0], expected)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda whole: whole[:-1], "received only 199; it is truncated"),
        (lambda whole: whole + b"x", "expected 200 bytes .* received more"),
        (lambda whole: whole.replace(b"(10, 5, 4)", b"(10, 5,-4)"), "x.npy"),
        (lambda whole: whole[:9], "x.npy: expected"),
    ],
)
def test_a_large_file_that_is_damaged_gets_the_sentence_of_a_small_one(tmp_path, pixels, monkeypatch, change, sentence):
    numpy.save(tmp_path / "x.npy", pixels)
    (tmp_path / "x.npy").write_bytes(change((tmp_path / "x.npy").read_bytes()))
    said = []
    for large in (2**26, 1):
        monkeypatch.setattr("scratchvae.data.files.LARGE", large)
        with pytest.raises(DataError, match=sentence) as raised:
            load(tmp_path / "x.npy")
        said.append(str(raised.value))
    assert said[0] == said[1]


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test"),
        ("X_train", "Y_train", "X_valid", "Y_valid", "X_test", "Y_test"),
        ("train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels"),
        ("images", "labels", "validation_images", "validation_labels", "test_images", "test_labels"),
        ("train", "train_labels", "valid", "y_valid", "test", "test_labels"),
        ("train", "y_train", "val", "y_val", "test", "y_test"),
    ],
)
@pytest.mark.parametrize("column", [False, True])
def test_an_npz_has_its_three_parts_under_the_usual_names(tmp_path, pixels, names, column):
    arrays = {}
    for i, name in enumerate(names):
        labels = numpy.arange(len(pixels) - i // 2) % 3
        arrays[name] = pixels[i // 2 :] if i % 2 == 0 else labels[:, None] if column else labels
    numpy.savez(tmp_path / "x.npz", **arrays)
    parts = load(tmp_path / "x.npz", validation=0.5)
    assert [len(part) for part in parts] == [10, 9, 8]
    for i, part in enumerate(parts):
        assert numpy.array_equal(part.images[..., 0], pixels[i:] / numpy.float32(255))
        assert part.labels.tolist() == [n % 3 for n in range(10 - i)]
