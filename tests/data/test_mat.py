"""Matlab's files: what SciPy writes comes back, and every malformed file gets one sentence."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import scipy.io

from scratchvae.data.mat import read_mat
from scratchvae.data.svhn import load_svhn
from scratchvae.errors import DataError

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("do_compression", [False, True])
def test_what_scipy_wrote_comes_back(
    tmp_path: Path, rng: numpy.random.Generator, dtype: str, do_compression: bool
) -> None:
    written = rng.integers(0, 100, (3, 4, 2, 5)).astype(dtype)
    others = {"x" * 20: numpy.arange(3.0), "word": "text", "cell": numpy.array([1, "a"], object), "z": numpy.array(1j)}
    scipy.io.savemat(tmp_path / "a.mat", others | {"X": written}, do_compression=do_compression)
    (read,) = read_mat(tmp_path / "a.mat", "X")
    assert read.dtype == numpy.dtype(dtype) and read.dtype.isnative
    numpy.testing.assert_array_equal(read, written)
    numpy.testing.assert_array_equal(read_mat(tmp_path / "a.mat", "x" * 20)[0], [[0, 1, 2]])
    for name in ("word", "cell", "z", "Y"):
        with pytest.raises(DataError, match=rf"expected arrays of real numbers X, {name}, received none of {name}"):
            read_mat(tmp_path / "a.mat", "X", name)


def element(kind: int, content: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}2I", kind, len(content)) + content + bytes(-len(content) % 8)


def array(
    values: bytes = bytes([1, 2, 3, 4]), order: str = "<", *, stored: int = 2, name: bytes = b"X", **other: Any
) -> bytes:
    """An element with an array of class uint8 and the shape (2, 2)."""
    flags = struct.pack(f"{order}2I", other.get("flags", 9), 0)
    shape = struct.pack(f"{order}2i", *other.get("shape", (2, 2)))
    parts = [(6, flags), (other.get("shape_kind", 5), shape), (other.get("name_kind", 1), name), (stored, values)]
    return element(14, b"".join(element(kind, content, order) for kind, content in parts), order)


def packed(content: bytes, size: int | None = None) -> bytes:
    content = zlib.compress(content[:4] + struct.pack("<I", len(content) - 8 if size is None else size) + content[8:])
    return struct.pack("<2I", 15, len(content)) + content


HEADER = {"<": b"MATLAB".ljust(124) + b"\0\1IM", ">": b"MATLAB".ljust(124) + b"\1\0MI"}


@pytest.mark.parametrize("order", "<>")
def test_both_byte_orders_and_small_elements(tmp_path: Path, order: str) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(HEADER[order] + array(order=order))
    assert read_mat(path, "X")[0].tolist() == [[1, 3], [2, 4]]
    small = struct.pack(f"{order}I", 4 << 16 | 2) + bytes([1, 2, 3, 4])
    content = array(order=order)[8:-16] + small
    path.write_bytes(HEADER[order] + element(14, content, order))
    assert read_mat(path, "X")[0].tolist() == [[1, 3], [2, 4]]


def test_values_may_be_stored_in_a_narrower_type_than_their_class(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(HEADER["<"] + array(flags=6))
    assert read_mat(path, "X")[0].dtype == numpy.float64


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind, encoding", [(16, "utf-8"), (17, "utf-16"), (18, "utf-32")])
def test_other_programs_mark_sizes_as_unsigned_and_write_names_as_unicode(tmp_path, order, kind, encoding):
    path, suffix = tmp_path / "a.mat", "" if kind == 16 else {"<": "-le", ">": "-be"}[order]
    name = "größe".encode(encoding + suffix)
    path.write_bytes(HEADER[order] + array(order=order, shape_kind=6, name=name, name_kind=kind))
    assert read_mat(path, "größe")[0].tolist() == [[1, 3], [2, 4]]


def test_string_objects_beside_an_array_are_passed_over(tmp_path: Path) -> None:
    """Of class 17: behind the flags there is no shape, but the names of the variable, of a system and of a class."""
    words = b"".join(element(1, word) for word in (b"title", b"MCOS", b"string"))
    string = element(14, element(6, struct.pack("<2I", 17, 0)) + words + array())
    path = tmp_path / "a.mat"
    path.write_bytes(HEADER["<"] + string + array() + packed(string))
    assert read_mat(path, "X")[0].tolist() == [[1, 3], [2, 4]]
    with pytest.raises(DataError, match="received none of title"):
        read_mat(path, "title")


def test_truth_values_are_read_as_0_and_1(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(HEADER["<"] + array(bytes([0, 1, 1, 0]), flags=0x209))
    assert read_mat(path, "X")[0].tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(("file", "name"), [("miuint32_for_miint32", "an_array"), ("miutf8_array_name", "array_name")])
def test_the_odd_files_of_scipys_own_tests(file: str, name: str) -> None:
    path = Path(scipy.io.matlab.__file__).parent / "tests" / "data" / f"{file}.mat"
    if not path.is_file():
        pytest.skip("SciPy was installed without its tests")
    numpy.testing.assert_array_equal(read_mat(path, name)[0], scipy.io.loadmat(path)[name])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "received one of 0 bytes"),
        (HEADER["<"][:126], "received one of 126 bytes"),
        (
            HEADER["<"][:124] + b"\0\2IM",
            r"received one with the bytes 00 02 49 4d at its place 124 \(in Matlab: save -v7\)",
        ),
        (HEADER["<"], "received none of X"),
        (HEADER["<"] + array()[:-1], "cannot be read: an element of 64 bytes, of which 63 are there"),
        (HEADER["<"] + array()[:5], "cannot be read"),
        (HEADER["<"] + element(9, bytes(8)), "an element of type 9"),
        (HEADER["<"] + struct.pack("<2I", 5 << 16 | 14, 0), "a small element of 5 bytes"),
        (HEADER["<"] + array() + array(), "two arrays are named X"),
        (HEADER["<"] + array(bytes(3)), r"X: 3 bytes for the shape \(2, 2\)"),
        (HEADER["<"] + array(bytes(5)), r"X: 5 bytes for the shape \(2, 2\)"),
        (HEADER["<"] + array(shape=(-2, -2)), r"X: 4 bytes for the shape \(-2, -2\)"),
        (HEADER["<"] + array(shape=(2**31 - 1, 2**31 - 1)), r"X: 4 bytes for the shape"),
        (HEADER["<"] + array(shape_kind=7), "an element of type 7 in place of an array's sizes"),
        (HEADER["<"] + array(name_kind=5), "an element of type 5 in place of an array's name"),
        (HEADER["<"] + element(14, element(5, bytes(2))), "an element of type 5 in place of an array's flags"),
        (HEADER["<"] + array(name=b"\xff", name_kind=16), "cannot be read: 'utf-8' codec"),
        (HEADER["<"] + array(bytes(32), stored=9), "Cannot cast"),
        (HEADER["<"] + array(stored=99), "cannot be read: X: values of type 99"),
        (HEADER["<"] + array(name=b"\xff"), "cannot be read: 'ascii' codec"),
        (HEADER["<"] + array(flags=0x809), "received none of X"),
        (HEADER["<"] + packed(array())[:-6], "cannot be read"),
        (HEADER["<"] + packed(array())[:-1] + b"\0", "incorrect data check"),
        (HEADER["<"] + packed(array(), 4), "a packed element of 4 bytes, of which 5 are there"),
        (HEADER["<"] + packed(array(), 400), "a packed element of 400 bytes, of which 64 are there"),
        (HEADER["<"] + packed(array(), 2**30), "bytes, or 100 times the .* received 1073741824 bytes .*a zip bomb"),
        (HEADER["<"] + packed(packed(array())), "an element of type 15"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"^reading .*a\.mat: expected .*{sentence}"):
        read_mat(path, "X")


# ---- SVHN


Parts = dict[str, dict[str, numpy.ndarray]]


@pytest.fixture
def parts(rng: numpy.random.Generator) -> Parts:
    return {
        name: {
            "X": rng.integers(0, 256, (32, 32, 3, n), dtype=numpy.uint8),
            "y": (1 + numpy.arange(n)[:, None] % 10).astype(numpy.uint8),
        }
        for name, n in (("train_32x32.mat", 25), ("test_32x32.mat", 12))
    }


def write(parts: Parts, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, arrays in parts.items():
        scipy.io.savemat(folder / name, arrays, do_compression=True)


@pytest.mark.parametrize("subfolder", [".", "svhn"])
@pytest.mark.parametrize("by_variable", [False, True])
def test_svhn(tmp_path: Path, parts: Parts, subfolder: str, by_variable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    write(parts, tmp_path / subfolder)
    monkeypatch.setenv("SCRATCHVAE_DATA", str(tmp_path if by_variable else tmp_path / "elsewhere"))
    for part, written in zip(load_svhn(None if by_variable else tmp_path), parts.values(), strict=True):
        assert part.images.dtype == numpy.float32 and part.images.flags.c_contiguous
        for i in range(len(part)):
            numpy.testing.assert_array_equal(part.images[i] * numpy.float32(255), written["X"][..., i])
        assert part.labels.dtype == numpy.int64
        assert part.labels.tolist() == [(i + 1) % 10 for i in range(len(part))]


def test_svhn_may_have_labels_of_type_double(tmp_path: Path, parts: Parts) -> None:
    parts["test_32x32.mat"]["y"] = parts["test_32x32.mat"]["y"].astype(float)
    write(parts, tmp_path)
    assert load_svhn(tmp_path)[1].labels[9:11].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda X, y: {"X": X}, "expected arrays of real numbers X, y, received none of y"),
        (
            lambda X, y: {"X": X.transpose(3, 0, 1, 2), "y": y},
            r"X of uint8 and the shape \(32, 32, 3, N\), .*\(25, 32, ",
        ),
        (lambda X, y: {"X": X[..., 0], "y": y}, r"received uint8 \(32, 32, 3\) and \(25, 1\)"),
        (lambda X, y: {"X": X / 255, "y": y}, "received float64"),
        (lambda X, y: {"X": X, "y": y[:-1]}, r"received uint8 \(32, 32, 3, 25\) and \(24, 1\)"),
        (lambda X, y: {"X": X, "y": y - 1}, "labels of .*: expected whole numbers from 1 to 10, .* values from 0 to 9"),
        (lambda X, y: {"X": X, "y": y + 0.5}, "received values from 1.5 to 10.5"),
        (lambda X, y: {"X": X[..., :0], "y": y[:0]}, "at least one image"),
    ],
)
def test_svhn_of_another_structure_is_refused(
    tmp_path: Path, parts: Parts, change: Callable[..., dict[str, numpy.ndarray]], sentence: str
) -> None:
    parts["train_32x32.mat"] = change(**parts["train_32x32.mat"])
    write(parts, tmp_path)
    with pytest.raises(DataError, match=sentence):
        load_svhn(tmp_path)


def test_svhn_is_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: Parts) -> None:
    monkeypatch.delenv("SCRATCHVAE_DATA", raising=False)
    words = "http://ufldl.stanford.edu/housenumbers/.*non-commercial.*--data-dir.*SCRATCHVAE_DATA.*street-digits"
    with pytest.raises(DataError, match=f"^svhn: .* received no train_32x32.mat and no test_32x32.mat .*{words}"):
        load_svhn()
    write({"train_32x32.mat": parts["train_32x32.mat"]}, tmp_path)
    with pytest.raises(DataError, match=f"received no test_32x32.mat .*{words}"):
        load_svhn(tmp_path)
