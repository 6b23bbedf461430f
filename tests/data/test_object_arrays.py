"""Arrays of arrays: equal to what NumPy unpickles, and no pickle is ever run."""

import io
import os
import pickle
import struct

import numpy
import pytest

import scratchvae as sv
from scratchvae.data.files import read_arrays
from scratchvae.errors import DataError
from scratchvae.npz import DAMAGE, NUMBERS, OBJECTS, Archive
from scratchvae.object_arrays import parse_object_array

MODULE = b"numpy.core.multiarray"


def objects(arrays):
    result = numpy.empty(len(arrays), object)
    for n, array in enumerate(arrays):
        result[n] = array
    return result


def same(first, second):
    return first.shape == second.shape and all(
        (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes()) for a, b in zip(first, second, strict=True)
    )


# ---- equal to NumPy


@pytest.mark.parametrize("name", ["aaron_sheep", "short_kanji"])
def test_published_files_equal_numpys_unpickling(data_dir, name):
    path = data_dir / "sketches" / f"{name}.npz"
    if not path.is_file():
        pytest.skip("needs the sketches")
    with open(path, "rb") as file, numpy.load(path, allow_pickle=True, encoding="latin1") as numpys:
        archive = Archive(file, "test")
        assert sorted(archive.members) == sorted(numpys) == ["test", "train", "valid"]
        for part in numpys:
            ours = archive.read(part, NUMBERS + OBJECTS)
            assert ours.dtype == object and same(ours, numpys[part])


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("dtype", ["i1", "u1", "<i2", ">i2", "i4", ">i8", "f2", "f4", ">f8", "?"])
def test_every_protocol_and_type(rng, protocol, dtype):
    """But for an array without entries in protocol 2, which writes a call of `bytes`."""
    arrays = [
        rng.integers(0, 2, (n, 3)).astype(dtype) * rng.integers(1, 100) for n in (2 if protocol == 2 else 0, 1, 40, 300)
    ]
    arrays = objects([array.astype(dtype) for array in arrays] + [numpy.asfortranarray(arrays[2].astype(dtype))])
    parsed = parse_object_array(pickle.dumps(arrays, protocol), (5,), "test")
    expected = [array.astype(array.dtype.newbyteorder("=")) for array in arrays]
    assert same(parsed, objects(expected)) and all(array.dtype.isnative for array in parsed)
    assert (parsed[4] == arrays[4]).all() and parsed[4].flags.writeable


@pytest.mark.parametrize("n", [1, 1500])
def test_what_numpy_saves_now_is_read(tmp_path, n):
    arrays = objects([numpy.arange(3 * k + 3, dtype=numpy.int16).reshape(-1, 3) for k in range(n)])
    numpy.save(tmp_path / "a.npy", arrays)
    assert same(read_arrays(tmp_path / "a.npy")["images"], arrays)
    for save in (numpy.savez, numpy.savez_compressed):
        save(tmp_path / "a.npz", train=arrays, test=arrays[:1])
        found = read_arrays(tmp_path / "a.npz")
        assert same(found["images"], arrays) and same(found["test_images"], arrays[:1])


# ---- hostile and foreign pickles


class Call:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def others():
    """Objects that are no arrays of numbers, by name; some would do harm if their pickle ran."""
    return {
        "call": Call(os.mkdir, "sprung"),
        "system": Call(os.system, "touch sprung"),
        "eval": Call(eval, "open('sprung', 'w')"),
        "load": Call(pickle.loads, pickle.dumps(Call(os.mkdir, "sprung"))),
        "nested": objects([Call(os.mkdir, "sprung")]),
        "frombuffer": Call(numpy.frombuffer, b"12345678"),
        "a number": 3,
        "a list": [numpy.ones((2, 3))],
        "a dictionary": {"a": numpy.ones((2, 3))},
        "text": "text",
        "None": None,
        "a date": numpy.array(["2020-01-01"], "M8[D]"),
        "a text array": numpy.array(["abc"]),
        "records": numpy.zeros(2, [("a", "i4"), ("b", "O")]),
        "complex numbers": numpy.ones((2, 3), complex),
        "a subclass": numpy.ma.masked_array([1, 2]),
    }


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", others())
def test_other_pickles_are_refused_and_never_run(tmp_path, monkeypatch, name, protocol):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps(objects([others()[name]]), protocol)
    with pytest.raises(DataError, match="^test: expected an array of numbers, received an array of Python objects"):
        parse_object_array(content, (1,), "test")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["call", "system", "nested"])
def test_a_hostile_file_is_refused_and_never_run(tmp_path, monkeypatch, name):
    """In a .npy file, and in an .npz file under magenta's names, through `load`; the same pickle does run in NumPy."""
    monkeypatch.chdir(tmp_path)
    hostile = objects([numpy.ones((2, 3)), others()[name]])
    numpy.save("a.npy", hostile)
    numpy.savez("a.npz", train=hostile)
    for file in ("a.npy", "a.npz"):
        with pytest.raises(DataError, match=r"an array of Python objects, with the name \S+ (mkdir|system)"):
            sv.data.load(file)
        assert not os.path.exists("sprung")
    numpy.load("a.npy", allow_pickle=True)
    assert os.path.exists("sprung")


def short(text):
    return b"U" + bytes([len(text)]) + text


def pickled(*, module=MODULE, shape=b"K\2K\3\x86", code=b"i2", order=b"<", values=b"123456789012", end=b"."):
    """One array in an array, as Python 2 would write it; each part may be another."""
    reconstruct = b"c" + module + b"\n_reconstruct\n" + b"cnumpy\nndarray\n" + b"K\0\x85" + short(b"b") + b"\x87R"
    rest = b"NNN" + 2 * b"J\xff\xff\xff\xff"
    dtype = b"cnumpy\ndtype\n" + short(code) + b"K\0K\1\x87R(K\3" + short(order) + rest + b"K\0tb"
    inner = reconstruct + b"(K\1" + shape + dtype + b"\x89" + short(values) + b"tb"
    outer_type = b"cnumpy\ndtype\n" + short(b"O8") + b"K\0K\1\x87R(K\3" + short(b"|") + rest + b"K?tb"
    return b"\x80\2" + reconstruct + b"(K\1K\1\x85" + outer_type + b"\x89](" + inner + b"etb" + end


def test_the_pickle_written_out_is_one():
    content = pickled()
    assert same(parse_object_array(content, (1,), "test"), pickle.loads(content, encoding="latin1"))
    assert parse_object_array(content, (1,), "test")[0].tobytes() == b"123456789012"


@pytest.mark.parametrize(
    "content",
    [
        pickled(module=b"os"),
        pickled(module=b"numpy.core.multiarray.x"),
        pickled(shape=b"K\2K\2\x86"),
        pickled(shape=b"K\2J\xfd\xff\xff\xff\x86"),
        pickled(shape=b"K\6"),
        pickled(shape=b"]"),
        pickled(shape=b"\x88K\6\x86"),
        pickled(code=b"i4"),
        pickled(code=b"O8"),
        pickled(code=b"V2"),
        pickled(code=b"U2"),
        pickled(code=b"i2,i2"),
        pickled(code=b"f1"),
        pickled(order=b"="),
        pickled(order=b"x"),
        pickled(values=b"12345678901"),
        pickled(values="ü".encode() * 6 + b"1"),
        pickled(end=b""),
        pickled(end=b".."),
        pickled(end=b"N."),
        pickled(end=b"0."),
        pickled(end=b"R."),
        pickled(end=b"h\7."),
        pickled(end=b"e."),
        pickled(end=b"t."),
        b"\x80\2N.",
        b"",
        b".",
        b"\x80\5.",
        b"\x80\2(.",
        b"\x80\2]q\0h\0a.",
        b"\x80\2q\0.",
    ],
)
def test_malformed_pickles_are_refused(content):
    with pytest.raises(DAMAGE):
        parse_object_array(content, (1,), "test")


def test_the_shape_in_the_header_is_that_of_the_pickle():
    for shape in ((2,), (1, 1), (), (0,), (2**20 + 1,)):
        with pytest.raises(DataError, match="^test: expected"):
            parse_object_array(pickled(), shape, "test")


def test_one_array_in_many_places_is_refused():
    """A reference costs two bytes, so that a small file could ask for any amount of memory."""
    array = numpy.ones((1000, 3))
    with pytest.raises(DataError, match="expected arrays of their own, received one array in several places"):
        parse_object_array(pickle.dumps(objects([array, array]), 4), (2,), "test")


@pytest.mark.parametrize("instruction", [b"]", b"N", b"(", b")"])
def test_a_long_pickle_is_refused_early(instruction):
    with pytest.raises(DataError, match="with more than 128 instructions"):
        parse_object_array(b"\x80\2" + instruction * 10_000_000, (1,), "test")


def test_long_lengths_take_no_memory(tmp_path):
    """A length is believed only as far as there are bytes."""
    for opcode, form in ((b"T", "<i"), (b"B", "<I"), (b"X", "<I"), (b"\x8e", "<Q"), (b"\x8d", "<Q")):
        with pytest.raises(DAMAGE):
            parse_object_array(b"\x80\4" + opcode + struct.pack(form, 2**31 - 1) + b"abc.", (1,), "test")


def test_a_file_that_ends_early_is_refused(tmp_path):
    content = io.BytesIO()
    numpy.save(content, objects([numpy.ones((2, 3)), numpy.ones((4, 3))]))
    whole = content.getvalue()
    for n in range(0, len(whole), 7):
        (tmp_path / "a.npy").write_bytes(whole[:n])
        with pytest.raises(DataError, match="^reading "):
            read_arrays(tmp_path / "a.npy")


def test_labels_may_be_no_objects(tmp_path):
    numpy.savez(tmp_path / "a.npz", images=numpy.ones((2, 3)), labels=objects([numpy.ones(1), numpy.ones(2)]))
    with pytest.raises(DataError, match="labels: expected an array of numbers, received an array of Python objects"):
        read_arrays(tmp_path / "a.npz")
