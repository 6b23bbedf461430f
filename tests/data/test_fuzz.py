"""Damaged and hostile files: each is refused with one sentence, or loads what was written; nothing else ever happens.

Nothing else: no other exception, no warning, no 10 seconds for one file, no gibibyte of memory more than an idle
interpreter; the corruptions run in a process of their own, where that is the limit of its address space.

A checkpoint, an .npz, a .gz and a packed .mat file carry sums of their content: these are damaged anywhere. A plain
idx or .npy file carries none, so that no reader can see a changed pixel: of these only the header and the length are
damaged. Nor can it see sizes that change places, which is why theirs are equal here, or a header rewritten to another
type of the same width and still plausible values.
"""

from __future__ import annotations

import ast
import bz2
import gzip
import io
import json
import lzma
import math
import os
import re
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy
import pytest
import scipy.io

import scratchvae as sv
from scratchvae import checkpoint, data, npz
from scratchvae.data.files import read_arrays, read_idx
from scratchvae.data.mat import read_mat
from scratchvae.distributions import Bernoulli
from scratchvae.errors import LONGEST, DataError, InputError

PACKAGE = Path(sv.__file__).parent
MEBI = 2**20


# ---- what is damaged: a name -> the file's name, its bytes, where it may be damaged


def idx(shape, code=8):
    return bytes([0, 0, code, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def saved(save, *arrays, **named):
    content = io.BytesIO()
    save(content, *arrays, **named)
    return content.getvalue()


def small_model():
    return sv.VAE.mlp(6, 2, (4,), likelihood="gaussian", std="learned", seed=3)


def originals(folder):
    """Format -> (name of the file, its bytes, the number of its first bytes that may be damaged)."""
    rng = numpy.random.default_rng(1)
    pixels = rng.integers(0, 256, (8, 8, 8), dtype=numpy.uint8)
    parts = {"images": pixels, "labels": numpy.arange(8), "test_images": pixels[:3], "test_labels": numpy.arange(3)}
    plain, npy = idx(pixels.shape) + pixels.tobytes(), saved(numpy.save, pixels)
    stored, deflated = saved(numpy.savez, **parts), saved(numpy.savez_compressed, **parts)
    sv.save(small_model(), folder / "model.npz")
    model = (folder / "model.npz").read_bytes()
    zipped = gzip.compress(plain, mtime=0)
    matlab = saved(scipy.io.savemat, {"X": pixels, "y": pixels[0]}, do_compression=True)
    return {
        "idx": ("a-idx3-ubyte", plain, 16),
        "idx.gz": ("a-idx3-ubyte.gz", zipped, len(zipped)),
        "npy": ("a.npy", npy, npy.index(b"\n") + 1),
        "npz": ("a.npz", stored, len(stored)),
        "npz deflated": ("a.npz", deflated, len(deflated)),
        "checkpoint": ("a.ckpt", model, len(model)),
        "mat": ("a.mat", matlab, len(matlab)),
    } | {name: (name, content, len(content)) for name, content in drawings(folder).items()}


CURVES = """<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="90" height="90" viewBox="0 0 90 90">
  <defs><path d="M0 0L5 5"/></defs>
  <g class="sketch" transform="translate(3 4) rotate(30, 5 6)"><g transform="scale(2 -1.5)">
    <path d="m1 2C3 4 5 6 7 8s1-2 3 4Q5 5 9 0t3.5.5z M2 2h3V9a3 4 30 0110-2e0A5 5 0 1,0 9 9"/></g>
    <polyline points="1,2 3,4 -5,6" transform="skewX(20)"/><line x1="1" y1="2" x2="30" y2="4px"/></g>
  <g class="sketch"><polygon points="1 2 30 4 5 6"/><rect x="1" y="2" width="30" height="4" rx="1"/>
    <circle cx="5" cy="6" r="7"/><ellipse cx="5" cy="6" rx="7" ry="3" transform="matrix(1 0 .5 1 2 3)"/></g>
</svg>
"""


def drawings(folder):
    """The file's name -> its bytes, of eight sketches in every format."""
    sketches = data.draw_sketches(8, seed=1).sketches
    data.write_svg(folder / "drawn.svg", sketches)
    steps = numpy.empty(8, object)
    lines = [[line.round(3).tolist() for line in lines] for lines in data.to_lines(sketches)]
    for n, sketch in enumerate(sketches):
        steps[n] = numpy.rint(sketch[sketch[:, 4] == 0][:, [0, 1, 3]]).astype(numpy.int16)
    records = [{"word": "digit", "drawing": [[*zip(*line, strict=True)] for line in each]} for each in lines]
    return {
        "steps.npz": saved(numpy.savez_compressed, train=steps, test=steps[:3]),
        "steps.npy": saved(numpy.save, steps),
        "lines.json": json.dumps(lines).encode(),
        "lines.ndjson": "\n".join(map(json.dumps, records)).encode(),
        "lines.svg": (folder / "drawn.svg").read_bytes(),
        "curves.svg": CURVES.encode(),
    }


def loaded(path):
    """Everything that a file gives: arrays by name, and the header of a checkpoint."""
    if path.suffix == ".mat":
        return dict(enumerate(read_mat(path, "X", "y")))
    if path.suffix != ".ckpt":
        train, test = sv.data.load(path)
        parts = {"train": train, "test": test}
        for part in parts.values():
            if part.images is not None:  # what damage made of pixels, their likelihood refuses
                Bernoulli.check_data(part.images)
        return {
            f"{name} {kind}": getattr(part, kind)
            for name, part in parts.items()
            for kind in ("images", "labels", "sketches")
        }
    header, arrays = checkpoint.read(path)
    model = sv.load(path)
    return arrays | {"header": json.dumps(header), "model": repr(model)} | model.state()


def same(first, second):
    """Whether two results of `loaded` are equal to the bit."""
    return first.keys() == second.keys() and all(
        type(a) is type(b)
        and (
            a == b
            if not isinstance(a, numpy.ndarray)
            else (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())
        )
        for a, b in ((first[name], second[name]) for name in first)
    )


UNCHECKED = {"steps.npy", "lines.json", "lines.ndjson", "lines.svg", "curves.svg"}
"""Formats in which a number that is damaged is another number: what they load need not be what was written."""


def are_sketches(parts):
    """Whether what was loaded is sketches still: finite, one state of the pen, and nothing behind the end."""
    for x in (parts["train sketches"], parts["test sketches"]):
        n = (x[:, :, 4] == 0).sum(axis=1)
        behind = numpy.arange(x.shape[1]) >= n[:, None]
        assert x.dtype == numpy.float32 and x.shape[2] == 5 and numpy.isfinite(x).all() and x.size < 10_000_000
        assert (n > 0).all() and (x[behind] == (0, 0, 0, 0, 1)).all() and behind[:, -1].all()
        assert (x[:, :, 2:].sum(axis=2) == 1).all() and numpy.isin(x[:, :, 2:], (0, 1)).all()
    return True


# ---- how it is damaged: functions of (the bytes, how many of the first may be damaged, a generator)

EXTREMES = [0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1]


def put(content, position, new):
    return content[:position] + new + content[position + len(new) :]


def extreme(rng, width):
    order = "little" if rng.integers(2) else "big"
    return (EXTREMES[rng.integers(len(EXTREMES))] % 256**width).to_bytes(width, order)


def flipped_bits(content, n, rng):
    content = bytearray(content)
    for position in rng.integers(0, n, rng.integers(1, 9)):
        content[position] ^= 1 << rng.integers(8)
    return bytes(content)


def overwritten(content, n, rng):
    start, length = rng.integers(n), rng.integers(1, 65)
    length = min(length, n - start)
    return put(content, start, rng.choice([bytes(length), b"\xff" * length, rng.bytes(length)]).ljust(length, b"\0"))


def truncated(content, n, rng):
    return content[: rng.integers(len(content))]


def inserted(content, n, rng):
    position = rng.integers(n + 1) if rng.integers(4) else len(content)
    return content[:position] + rng.bytes(rng.integers(1, 65)) + content[position:]


def deleted(content, n, rng):
    position = rng.integers(n)
    return content[:position] + content[position + rng.integers(1, 65) :]


def swapped_blocks(content, n, rng):
    length = rng.integers(1, max(2, min(64, n // 4)))
    first, second = sorted(rng.integers(0, n - length + 1, 2))
    second = max(second, first + length)
    if second + length > n:
        return content
    blocks = content[first : first + length], content[second : second + length]
    return put(put(content, first, blocks[1]), second, blocks[0])


def extreme_field(content, n, rng):
    width = int(rng.choice([1, 2, 4, 8]))
    return put(content, rng.integers(max(1, n - width)), extreme(rng, width))


def concatenated(content, n, rng):
    return content + content if rng.integers(2) else content[: rng.integers(1, len(content))] + content


GENERAL = [flipped_bits, overwritten, truncated, inserted, deleted, swapped_blocks, extreme_field, concatenated]

SHAPES = """
    (1099511627776,) (4294967296,4294967296) (-8,8,8) (8,8) () (8) 8 None [8,8,8] (8,8,8.0) (8,8,True) (8,8,8,0) (1e3,)
    (0,9223372036854775807) (18446744073709551616,) (9223372036854775808,0) ('8','8','8') (9999999999999999999999999,)
""".split()
TYPES = """
    '|O' 'O' 'O8' '<f8' '>i2' '<U2' '<U1073741823' '|S1' '|V1' '<M8[s]' '' 'U0' '|u1,|u1' '<c16' 'object' '|b1' '|i1'
    [('a','|u1')] [('a','O')] ('|u1',(2,)) None 1 True __import__('os').getpid() '|u1'*9 '{' '<f16' '|u0' '|u3' '|a1'
    '<u4294967296' '|t1'
""".split()


def npy_header(content, rng):
    """A .npy file with another header: its shape, type, version, length, keys or depth."""
    fields = {"descr": "'|u1'", "fortran_order": "False", "shape": "(8,8,8)"}
    kind = rng.integers(7)
    if kind < 2:
        fields["shape"] = SHAPES[rng.integers(len(SHAPES))]
    elif kind < 4:
        fields["descr"] = TYPES[rng.integers(len(TYPES))]
    elif kind == 4:
        fields["shape"] = f"({'1,' * int(rng.choice([65, 70, 1000]))})"
    elif kind == 5:
        fields[str(rng.choice(["shape", "descr"]))] = "(" * 3000
    text = "{" + ", ".join(f"'{name}': {value}" for name, value in fields.items()) + ", }\n"
    if kind == 6:
        text = str(rng.choice(["{}", "[]", "", "{" * 5000, "{'shape': (8,)}", " " * 16000, "'shape': (" * 1600]))
    version = int(rng.choice([1, 1, 1, 2, 3]))
    length = len(text).to_bytes(2 * min(version, 2), "little") if rng.integers(8) else extreme(rng, 2 * min(version, 2))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode() + content[content.index(b"\n") + 1 :]


def member_header(content, rng):
    """An archive whose checksums are right, and one of whose members has another .npy header."""
    method, result = zipfile.ZIP_STORED, io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
        method = archive.infolist()[0].compress_type
    name = str(rng.choice([name for name in members if name != "header.npy"]))
    members[name] = npy_header(members[name], rng)
    with zipfile.ZipFile(result, "w", method) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return result.getvalue()


ZIP_FIELDS = {  # signature -> (offset, width) of its fields
    b"PK\3\4": [(4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)],
    b"PK\1\2": [(6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (34, 2), (42, 4)],
    b"PK\5\6": [(4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)],
}


def zip_field(content, rng):
    """A field of a local header, of the directory or of its end, set to an extreme or to its value but for a little."""
    signature = list(ZIP_FIELDS)[rng.integers(3)]
    starts = [match.start() for match in re.finditer(re.escape(signature), content)]
    offset, width = ZIP_FIELDS[signature][rng.integers(len(ZIP_FIELDS[signature]))]
    position = starts[rng.integers(len(starts))] + offset
    value = int.from_bytes(content[position : position + width], "little") + int(
        rng.choice([-46, -2, -1, 1, 2, 22, 30])
    )
    near = (value % 256**width).to_bytes(width, "little")
    return put(content, position, near if rng.integers(2) else extreme(rng, width))


def zip_directory_shuffled(content, rng):
    """The directory's entries, some of them twice, some missing, the last record in agreement."""
    start = content.index(b"PK\1\2")
    end = content.rindex(b"PK\5\6")
    entries = [b"PK\1\2" + entry for entry in content[start:end].split(b"PK\1\2")[1:]]
    chosen = [entries[i] for i in rng.integers(0, len(entries), rng.integers(len(entries) + 1, 3 * len(entries)))]
    directory = b"".join(chosen)
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(chosen), len(chosen), len(directory), start, 0)
    return content[:start] + directory + last


def idx_header(content, rng):
    """Another type code, rank or size."""
    if rng.integers(3) == 0:
        code = int(rng.choice([0, 1, 7, 9, 10, 11, 12, 13, 14, 15, 255]))
        return put(content, 2, bytes([code]))
    if rng.integers(2):
        return put(content, 3, bytes([rng.choice([0, 1, 2, 4, 5, 32, 64, 65, 128, 255])]))
    for axis in range(rng.integers(1, 4)):
        content = put(content, 4 + 4 * axis, extreme(rng, 4))
    return content


def gzip_frame(content, rng):
    """The frame of gzip: its flags, its CRC-32 and size; or an idx header changed under a frame that is right."""
    kind = rng.integers(3)
    if kind == 0:
        return gzip.compress(idx_header(gzip.decompress(content), rng), mtime=0)
    if kind == 1:
        return put(content, rng.integers(10), rng.bytes(1))
    return put(content, len(content) - int(rng.choice([4, 8])), extreme(rng, 4))


def mat_element(content, rng):
    """The type or the size of one of the two elements."""
    second = 136 + int.from_bytes(content[132:136], "little")
    return put(content, int(rng.choice([128, second])) + int(rng.choice([0, 4])), extreme(rng, 4))


OPCODES = b"KJMIXU\x8cCB\x8eT\x8aN\x88\x89()t\x85\x86\x87]aqhjrj\x94cR\x93bi\x81\x82o\x97P}s.0(2\x92\x95\x80"


def pickle_instruction(content, rng):
    """Some instructions of a pickle, or what they are applied to, replaced by others."""
    start = content.index(b"\n") + 1
    for _ in range(rng.integers(1, 4)):
        position = int(rng.integers(start, len(content)))
        new = bytes([OPCODES[rng.integers(len(OPCODES))]]) if rng.integers(3) else extreme(rng, 4)
        content = put(content, position, new)
    return content


TOKENS = (
    """
    NaN -Infinity 1e999 -1e999 1e308 -0.0 1e-320 null true "7" {} [] [[]] , - -- . [[[ ]]] ]],[[ { " \\ \\ud800 \x00 <g>
    </g> <!DOCTYPE <!ENTITY &amp; &x; <path/> M C A Z t Q1 scale(0) rotate( 16777215 16777216 -16777217 0
""".split()
    + ["9" * 400, "9" * 5000, "[" * 5000, "<g>" * 5000, "\n", "\n\n", "ü" * 20]
)


def text_token(content, rng):
    """A number, a word or a bracket of a text, replaced by something else."""
    places = list(re.finditer(rb"-?\d+\.?\d*|\w+|[^\w\s]", content))
    for match in sorted(
        (places[i] for i in rng.integers(0, len(places), rng.integers(1, 4))), key=lambda m: -m.start()
    ):
        token = TOKENS[rng.integers(len(TOKENS))].encode()
        content = content[: match.start()] + token + content[match.end() :]
    return content


OF_FORMAT = {
    "idx": [idx_header],
    "idx.gz": [gzip_frame],
    "npy": [npy_header],
    "npz": [zip_field, zip_directory_shuffled, member_header],
    "npz deflated": [zip_field, zip_directory_shuffled, member_header],
    "checkpoint": [zip_field, zip_directory_shuffled, member_header],
    "mat": [mat_element],
    "steps.npz": [zip_field, zip_directory_shuffled],
    "steps.npy": [pickle_instruction],
    "lines.json": [text_token],
    "lines.ndjson": [text_token],
    "lines.svg": [text_token],
    "curves.svg": [text_token],
}


def fuzz(form, n, folder):
    """Damage a file n times; how many copies each kind of damage had refused, and how many loaded unchanged."""
    name, original, damageable = originals(folder)[form]
    path = folder / name
    path.write_bytes(original)
    expected, counts, slowest = loaded(path), {}, 0.0
    for i in range(n):
        rng = numpy.random.default_rng([2024, i])
        own = OF_FORMAT[form]
        if rng.integers(3):
            damage = GENERAL[rng.integers(len(GENERAL))]
            content = damage(original, damageable, rng)
        else:
            damage = own[rng.integers(len(own))]
            content = damage(original, rng)
        path.unlink()  # some systems flush a file to disk that is written over
        path.write_bytes(content)
        start = time.perf_counter()
        try:
            result = loaded(path)
        except InputError as error:
            outcome = "refused"
            assert str(error).isprintable() and 20 < len(str(error)) <= LONGEST, f"{i} {damage.__name__}: {error!r}"
        except BaseException:
            print(f"corruption {i}: {damage.__name__}", file=sys.stderr)
            raise
        else:
            outcome = "unchanged"
            right = are_sketches(result) if form in UNCHECKED else same(result, expected)
            assert right, f"corruption {i}: {damage.__name__} loads something else"
        slowest = max(slowest, time.perf_counter() - start)
        counts.setdefault(damage.__name__, {"refused": 0, "unchanged": 0})[outcome] += 1
    return {"counts": counts, "slowest": slowest}


def limit_memory():
    """From here on the process may take one gibibyte of addresses more, where the system can hold it to that."""
    if sys.platform == "linux":
        import resource

        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + 2**30, held + 2**30))


def run_fuzz(form, n, folder):
    finished = subprocess.run(
        [sys.executable, "-W", "error", __file__, form, str(n), str(folder)],
        capture_output=True,
        text=True,
        timeout=60 + n / 10,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(PACKAGE.parent)},
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    result = json.loads(finished.stdout)
    assert sum(sum(outcomes.values()) for outcomes in result["counts"].values()) == n
    assert result["slowest"] < 10
    assert set(result["counts"]) == {damage.__name__ for damage in GENERAL + OF_FORMAT[form]}
    assert all(outcomes["refused"] for outcomes in result["counts"].values()), result
    return result


@pytest.mark.parametrize("form", OF_FORMAT)
def test_corruptions(form, tmp_path):
    run_fuzz(form, 500, tmp_path)


def believe_checksums(monkeypatch):
    monkeypatch.setattr(zipfile.ZipExtFile, "_update_crc", lambda self, content: None)


def fill_up_with_zeros(monkeypatch):
    def read(stream, shape, dtype, held, operation):
        content = stream.read()
        return numpy.frombuffer(content.ljust(math.prod(shape), b"\0"), dtype, math.prod(shape)).reshape(shape)

    monkeypatch.setattr("scratchvae.data.files.read_values", read)


@pytest.mark.parametrize(
    ("fault", "form"),
    [(believe_checksums, "npz"), (believe_checksums, "checkpoint"), (fill_up_with_zeros, "idx")],
)
def test_the_fuzzer_sees_a_careless_reader(monkeypatch, tmp_path, fault, form):
    fault(monkeypatch)
    with pytest.raises((AssertionError, ValueError, MemoryError)):
        fuzz(form, 1000, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("form", OF_FORMAT)
def test_many_more_corruptions(form, tmp_path):
    run_fuzz(form, 20_000, tmp_path)


# ---- bombs


ZEROS = bytes(MEBI)


def deflated_zeros(header, n, frame):
    """A header and n MiB of zeros, deflated: one block, made to stand alone, over and over."""
    packer = zlib.compressobj(9, zlib.DEFLATED, frame)
    start = packer.compress(header) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(ZEROS) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return start + block * n + packer.flush()


def npy_of_zeros(n):
    """The header of an array of n MiB."""
    array = numpy.lib.stride_tricks.as_strided(numpy.zeros(1, numpy.uint8), (n, MEBI), (0, 0))
    content = io.BytesIO()
    numpy.lib.format.write_array_header_1_0(content, numpy.lib.format.header_data_from_array_1_0(array))
    return content.getvalue()


def archive_of(members):
    """A zip archive of (name, packed bytes, method, declared size, CRC-32)."""
    body, directory, start = [], [], 0
    for name, packed, method, size, crc in members:
        fields = struct.pack("<5H3L2H", 20, 0, method, 0, 33, crc, len(packed), size, len(name), 0)
        directory.append(b"PK\1\2\x14\0" + fields + struct.pack("<3H2L", 0, 0, 0, 0, start) + name)
        body.append(b"PK\3\4" + fields + name + packed)
        start += len(body[-1])
    directory = b"".join(directory)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(members), len(members), len(directory), start, 0)
    return b"".join(body) + directory + end


def crc_of_zeros(header, n):
    crc = zlib.crc32(header)
    for _ in range(n):
        crc = zlib.crc32(ZEROS, crc)
    return crc


def refused_within(mebibytes, read, path, sentence, error_class=DataError):
    """The file is refused by that sentence, and reading it never takes more memory than that."""
    tracemalloc.start()
    try:
        with pytest.raises(error_class, match=sentence) as error:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(error.value).isprintable()
    assert peak < mebibytes * MEBI, f"{peak / MEBI:.0f} MiB"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.npz"


def test_the_bombs_are_real(path):
    header = npy_of_zeros(3)
    packed = deflated_zeros(header, 3, -15)
    path.write_bytes(archive_of([(b"images.npy", packed, 8, len(header) + 3 * MEBI, crc_of_zeros(header, 3))]))
    with numpy.load(path, allow_pickle=False) as file:
        assert file["images"].shape == (3, MEBI)
    assert not read_arrays(path)["images"].any()
    path = path.with_suffix(".gz")
    path.write_bytes(bomb := gzip_of_zeros(idx((3, MEBI)), 3))
    assert len(bomb) < 3 * MEBI / 500 and not read_idx(path).any()


def gzip_of_zeros(header, n):
    size = len(header) + n * MEBI
    crc = crc_of_zeros(header, n)
    return b"\x1f\x8b\x08" + bytes(7) + deflated_zeros(header, n, -15) + struct.pack("<2L", crc, size % 2**32)


def test_a_zip_bomb(path):
    header = npy_of_zeros(2048)
    packed, size = deflated_zeros(header, 2048, -15), len(header) + 2**31
    path.write_bytes(archive_of([(b"images.npy", packed, 8, size, 0)]))
    assert path.stat().st_size < 4 * MEBI
    sentence = (
        rf"images: expected at most 268435456 bytes, or 100 times the {len(packed)} that .* received {size} bytes"
    )
    refused_within(16, read_arrays, path, sentence)
    refused_within(16, checkpoint.read, path, "expected members that are stored, received images, which is deflated")


def test_a_zip_bomb_that_declares_little(path):
    """What a member declares is all that is unpacked of it."""
    header = npy_of_zeros(1)
    packed = deflated_zeros(header, 2048, -15)
    path.write_bytes(archive_of([(b"images.npy", packed, 8, len(header) + MEBI, 7)]))
    refused_within(16, read_arrays, path, "cannot be read: Bad CRC-32")
    path.write_bytes(archive_of([(b"images.npy", packed, 8, 2**32 - 2, 0)]))
    refused_within(16, read_arrays, path, "expected at most 268435456 bytes")


def test_a_bomb_of_many_members(path):
    header = npy_of_zeros(150)
    member = (deflated_zeros(header, 150, -15), 8, len(header) + 150 * MEBI, crc_of_zeros(header, 150))
    path.write_bytes(archive_of([(name, *member) for name in (b"images.npy", b"labels.npy", b"test_images.npy")]))
    refused_within(200, read_arrays, path, "labels and those before it: expected at most 268435456 bytes")


def test_a_gzip_bomb(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip_of_zeros(idx((512, MEBI)), 512))
    refused_within(16, read_idx, path, "expected at most 268435456 bytes, .* received 536870912 bytes")
    path.write_bytes(gzip_of_zeros(idx((1, MEBI)), 512))
    refused_within(16, read_idx, path, "expected 1048576 bytes .* received more")
    path.write_bytes(gzip.compress(idx((2**32 - 1,) * 8) + b"few"))
    refused_within(16, read_idx, path, "received 7?[0-9]+ compressed bytes, which cannot hold them; it is truncated")
    path.write_bytes(gzip.compress(b"")[:-8] + ZEROS)
    refused_within(16, read_idx, path, "reading .*a.gz: expected")


@pytest.mark.parametrize("sizes", [(2**32 - 1,) * 3, (2**31, 2**20), (2**32 - 1,) * 255])
def test_absurd_sizes_of_a_plain_idx_file(tmp_path, sizes):
    (tmp_path / "a").write_bytes(idx(sizes) + bytes(100))
    refused_within(16, read_idx, tmp_path / "a", "bytes of values .* received only 100; it is truncated")


def test_many_gzip_members_take_time_in_proportion(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx((2**16,))) + gzip.compress(b"x", mtime=0) * 2**15)
    start = time.perf_counter()
    refused_within(16, read_idx, tmp_path / "a.gz", "only 32768; it is truncated")
    assert time.perf_counter() - start < 10


def test_gzip_files_joined_end_to_end_are_one(tmp_path):
    content = idx((3, 2)) + bytes(range(6))
    (tmp_path / "a.gz").write_bytes(gzip.compress(content[:14]) + gzip.compress(content[14:]))
    assert read_idx(tmp_path / "a.gz").tolist() == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("version", [1, 2])
def test_a_header_that_promises_gigabytes(tmp_path, version):
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY" + bytes([version, 0]) + b"\xff" * 2 * version + b"x" * 200)
    refused_within(16, read_arrays, tmp_path / "a.npy", "cannot be read: ")


def test_a_directory_of_gigabytes(path):
    """Two gibibytes without content, and a record that calls them the archive's directory."""
    with open(path, "wb") as file:
        file.truncate(2**31)
        file.seek(0, os.SEEK_END)
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 2**31, 0, 0))
    refused_within(16, read_arrays, path, "a header promises 2147483648 bytes")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.gz", "a"])
def test_what_is_no_regular_file_is_not_opened(tmp_path, name):
    os.mkfifo(tmp_path / name)
    refused_within(16, read_arrays, tmp_path / name, "is not a regular file")
    refused_within(16, checkpoint.read, tmp_path / name, "is not a regular file")
    refused_within(16, read_arrays, tmp_path, "is not a regular file")


# ---- archives that lie


def npy(array=None, header=None):
    content = saved(numpy.save, numpy.arange(6, dtype=numpy.uint8) if array is None else array)
    return content if header is None else content[:8] + struct.pack("<H", len(header)) + header + bytes(6)


def stored(name, content):
    return name, content, 0, len(content), zlib.crc32(content)


HEADER = stored(b"header.npy", npy(numpy.array('{"format": "scratchvae 1"}')))


def test_a_lying_header_within_a_checkpoint(path):
    lie = npy(header=b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }")
    path.write_bytes(archive_of([HEADER, stored(b"model/weight.npy", lie)]))
    refused_within(
        16, checkpoint.read, path, "model/weight: expected 4398046511104 bytes .* received only 6; it is trunc"
    )


def test_a_checkpoint_of_good_members_is_read(path):
    path.write_bytes(archive_of([HEADER, stored(b"model/weight.npy", npy())]))
    header, arrays = checkpoint.read(path)
    assert header == {"format": "scratchvae 1"} and arrays["model/weight"].tolist() == list(range(6))


def overlapping(content):
    """Both entries of the directory lead to the first member."""
    entry = content.rindex(b"PK\1\2")
    return put(content, entry + 42, bytes(4))


def quoted(content):
    """The first member claims the bytes of the second, header and all."""
    first, second = content.index(b"PK\1\2"), content.rindex(b"PK\3\4")
    packed = content.index(b"PK\1\2") - second
    for position in (18, 22, first + 20, first + 24):
        size = int.from_bytes(content[position : position + 4], "little")
        content = put(content, position, struct.pack("<L", size + packed))
    return content


IMAGES, LABELS = stored(b"images.npy", npy()), stored(b"labels.npy", npy())
LIES = [
    (lambda: overlapping(archive_of([IMAGES, IMAGES])), "overlap"),
    (lambda: overlapping(archive_of([IMAGES, LABELS])), "in directory .* and header .* differ"),
    (lambda: quoted(archive_of([IMAGES, LABELS])), "overlap"),
    (lambda: archive_of([IMAGES, IMAGES]), "received two that are named images"),
    (lambda: archive_of([IMAGES, stored(b"images", npy())]), "received two that are named images"),
    (
        lambda: archive_of([(b"images.npy", lzma.compress(npy()), 14, 134, 0)]),
        "received images, which is packed by method 14",
    ),
    (
        lambda: archive_of([(b"images.npy", bz2.compress(npy()), 12, 134, 0)]),
        "received images, which is packed by method 12",
    ),
    (lambda: archive_of([(b"images.npy", npy(), 0, 2**31, 0)]), "stored as they are, received a size of 2147483648"),
    (lambda: archive_of([(b"images.npy", npy(), 0, 134, 7)]), "cannot be read: Bad CRC-32"),
    (lambda: archive_of([IMAGES]).replace(b"\x14\0\0\0\0\0", b"\x14\0\1\0\0\0"), "not encrypted, received images"),
    (lambda: archive_of([IMAGES]) + archive_of([LABELS]), "not all are in its directory"),
    (lambda: archive_of([stored(b"a\nb\x1b[2J", npy()), LABELS]), r"arrays named a\\nb\\x1b\[2J, labels"),
    (lambda: archive_of([stored(b"n" * 50_000 + b"%d" % i, npy()) for i in range(3)]), "arrays named nnn.* [.]{3} "),
    (lambda: archive_of([stored(b"%d" % i, b"") for i in range(2_000)]), "expected an array named images"),
]


@pytest.mark.parametrize(("content", "sentence"), LIES, ids=[sentence for _, sentence in LIES])
def test_archives_that_lie(path, content, sentence):
    path.write_bytes(content())
    refused_within(64, read_arrays, path, sentence)


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (b"{'descr': 'O', 'fortran_order': False, 'shape': (6,), }", "an array of (Python objects|arrays)"),
        (b"{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (6,), }", "values of type .*'a'"),
        (b"{'descr': [('a', 'O')], 'fortran_order': False, 'shape': (6,), }", "an array of Python objects"),
        (b"{'descr': '|u1,|u1', 'fortran_order': False, 'shape': (3,), }", "values of type .*'f0', 'u1'"),
        (b"{'descr': '(2,)u1', 'fortran_order': False, 'shape': (3,), }", "values of type .*u1.*2"),
        (b"{'descr': '|S6', 'fortran_order': False, 'shape': (), }", "values of type .S6"),
        (
            b"{'descr': '|U0', 'fortran_order': False, 'shape': (1099511627776,), }",
            "values of type .U0",
        ),
        (b"{'descr': '|b1', 'fortran_order': False, 'shape': (6,), }", "truth values of 0 and 1, received the byte 6"),
        (b"{'descr': '|u1', 'fortran_order': False, 'shape': (-6,), }", r"one of shape \(-6,\)"),
        (b"{'descr': '|u1', 'fortran_order': False, 'size': (6,), 'shape': (6,), }", "Header does not contain"),
        (
            b"{'descr': '|u1', 'fortran_order': False, 'shape': (%s6,), }" % (b"9" * 6000),
            "Cannot parse header|than 2.64",
        ),
    ],
)
def test_headers_that_are_no_arrays_of_numbers(path, header, sentence):
    content = npy(header=header)[:-6] + bytes(range(1, 7)).replace(b"\1", b"\2")
    path.with_suffix(".npy").write_bytes(content)
    refused_within(16, read_arrays, path.with_suffix(".npy"), sentence)
    path.write_bytes(archive_of([HEADER, stored(b"images.npy", content)]))
    refused_within(16, checkpoint.read, path, f"a torn or foreign file: archive, images: .*{sentence}")


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_no_pickle_is_opened_by_any_reader(tmp_path):
    sprung = tmp_path / "sprung"
    objects = npy(numpy.array([Trap(sprung)], dtype=object))
    header = stored(b"header.npy", npy(numpy.array([Trap(sprung)], dtype=object)))
    (tmp_path / "a.npy").write_bytes(objects)
    (tmp_path / "a.npz").write_bytes(archive_of([stored(b"images.npy", objects)]))
    (tmp_path / "b.npz").write_bytes(archive_of([HEADER, stored(b"model/weight.npy", objects)]))
    (tmp_path / "c.npz").write_bytes(archive_of([header]))
    for read, name in ((read_arrays, "a.npy"), (read_arrays, "a.npz"), (sv.load, "b.npz"), (sv.load, "c.npz")):
        refused_within(16, read, tmp_path / name, "received an array of Python objects.*can run code")
    assert not sprung.exists()
    with numpy.load(tmp_path / "a.npz", allow_pickle=True) as file:
        assert file["images"].size == 1
    assert sprung.exists(), "the trap works"


# ---- good archives, by whomever they were written


@pytest.mark.parametrize("save", [numpy.savez, numpy.savez_compressed])
def test_good_arrays_are_read_as_numpy_reads_them(path, rng, save):
    arrays = {
        f"{dtype} {order} {shape}": numpy.asarray(rng.integers(0, 2, shape), dtype=dtype, order=order)
        for dtype in ("?", "i1", "<u2", ">i4", "<f2", ">f8", "<c8")
        for order in "CF"
        for shape in ((), (0,), (5,), (0, 3), (2, 3), (2, 3, 4))
    }
    save(path, **arrays)
    with open(path, "rb") as file:
        archive = npz.Archive(file)
        assert list(archive.members) == list(arrays)
        for name, array in arrays.items():
            read = archive.read(name)
            assert read.dtype == array.dtype.newbyteorder("=") and read.dtype.isnative and read.flags.writeable
            numpy.testing.assert_array_equal(read, array)


def test_archives_of_other_writers(path, tmp_path):
    """Sizes after the data, a comment, another spelling of the header, a member that is no array, 64-bit records."""
    header = b'{"shape":(6L,),"fortran_order":False,"descr":"|u1"}  \n'
    content = npy(header=header)[:-6] + bytes(range(6))

    class Pipe(io.RawIOBase):
        def __init__(self):
            self.content = b""

        def writable(self):
            return True

        def write(self, content):
            self.content += bytes(content)
            return len(content)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README", "not an array")
        archive.writestr("images.npy", content)
        archive.comment = b"made by hand"
    wide = archive_of([IMAGES])
    end = wide.rindex(b"PK\5\6")
    n, size, offset = struct.unpack_from("<H2L", wide, end + 10)
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, n, n, size, offset)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, end, 1)
    last = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2**16 - 1, 2**16 - 1, 2**32 - 1, 2**32 - 1, 0)
    for whole in (pipe.content, wide[:end] + record + locator + last):
        path.write_bytes(whole)
        assert read_arrays(path)["images"].tolist() == list(range(6))
        with numpy.load(path, allow_pickle=False) as file:
            assert "images" in file.files


# ---- hostile headers of checkpoints


def deep(n):
    return "[" * n + "]" * n


@pytest.mark.parametrize(
    "text",
    ["[]", "null", "3", '"scratchvae 1"', "NaN", "{", "", "{}", '{"format": ["scratchvae 1"]}', "1" * 5000]
    + [deep(n) for n in (10, 500, 900, 990, 30_000)]
    + [f'{{"format": {deep(n)}}}' for n in (10, 960, 980, 985)]
    + [
        '{"format": "' + "x" * 40_000 + '\\n\\u001b[2J\\ud800"}',
        "x" * 70_000,
        "\ud800",
        '{"format": "scratchvae 1"} {',
    ],
    ids=lambda text: f"{len(text)}-{ascii(text)[:12]}",
)
def test_headers_that_are_no_headers(path, text):
    array = numpy.array(text) if text != "\ud800" else numpy.array([0xD800], "<u4").view("<U1").reshape(())
    path.write_bytes(archive_of([stored(b"header.npy", npy(array))]))
    refused_within(16, sv.load, path, "expected a checkpoint of format 'scratchvae 1', received a torn or foreign file")


def test_a_header_of_no_characters(path):
    words = numpy.array([0x7FFFFFFF] * 9, "<u4").view("<U9").reshape(())
    path.write_bytes(archive_of([stored(b"header.npy", npy(words))]))
    refused_within(16, sv.load, path, "a torn or foreign file")


def configurations():
    good = small_model().configuration
    for name, values in {
        "input_size": [10**12, 10**4000, -1, 0, 6.5, 1e300, float("nan"), "784", None, [6], {"a": 1}, True],
        "latent_size": ["two", 10**9, float("inf"), -2, [[]]],
        "hidden": [[-1], [10**6, 10**6], [10**12], [4.0], "abc", 4, None, [[4]], [None], [0], [4] * 20_000, {"4": 4}],
        "activation": ["relu6", ["relu"], {}, 3, None, "a\nb", "x" * 60_000],
        "likelihood": ["poisson", "student_t", [], None, 1],
        "std": [float("nan"), float("inf"), -1, 0, "wide", [0.1], None, 10**4000, -(10**4000)],
        "binarize": ["some", 1, ["none"], "static"],
        "seed": [-1, 2**64, 0.5, float("nan"), "0", None, 10**4000],
        "constructor": ["VAE", "os.system", ["VAE.mlp"], None, {}, "__import__('os')", "x\ny" * 9_000],
        "depth": [3],
        "a\nb": [1],
        "self": [1],
        "cls": [1],
        "": [1],
    }.items():
        for value in values:
            yield good | {name: value}
    yield from ([], 3, "VAE.mlp", [good], {}, {"constructor": "VAE.mlp"}, True)


def label(value):
    return re.sub(r"\W+", "-", json.dumps(value))[:40]


@pytest.mark.parametrize("configuration", list(configurations()), ids=label)
def test_hostile_configurations(path, configuration):
    """The file is whole and its checksums are right; only what it asks to be built is not what it holds."""
    checkpoint.write(path, {"configuration": configuration}, checkpoint.model_arrays(small_model()))
    refused_within(16, sv.load, path, r"^(build|load .*|MLP|VAE|VAE\.mlp|Noise|GaussianDecoder): expected ", InputError)


@pytest.mark.parametrize(
    "change",
    [
        lambda array: array.astype("i4"),
        lambda array: array.astype("c8"),
        lambda array: array.astype("f8"),
        lambda array: array[None],
        lambda array: array.reshape(-1)[:-1],
    ],
)
def test_one_array_of_another_kind(path, change):
    arrays = checkpoint.model_arrays(small_model())
    name = "model/encoder.network.layers.0.weight"
    for configuration in (small_model().configuration, None):
        checkpoint.write(path, {"configuration": configuration}, arrays | {name: change(arrays[name])})
        into = None if configuration else small_model()
        refused_within(16, lambda path, into=into: sv.load(path, into=into), path, "expected the arrays of the model")


# ---- the source


def test_no_module_can_run_what_it_reads():
    """No pickle, marshal, shelve, eval or exec; and nothing of NumPy that unpickles, but by a reader of our own."""
    built_in = {"eval", "exec", "compile", "__import__"}
    of_numpy = {"load", "fromfile", "memmap", "read_array"}
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            found = None
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                roots = {name.partition(".")[0] for name in names}
                found = roots & {"pickle", "cPickle", "marshal", "shelve", "dill", "joblib"}
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                found = {node.func.id} & built_in
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in of_numpy:
                found = ast.unparse(node.func.value) in ("numpy", "numpy.lib.format")
            elif isinstance(node, ast.keyword):
                found = node.arg == "allow_pickle"
            assert not found, f"{file.relative_to(PACKAGE)}:{node.lineno}"


if __name__ == "__main__":
    limit_memory()
    print(json.dumps(fuzz(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))
