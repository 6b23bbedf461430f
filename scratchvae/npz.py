"""The one reader of .npy arrays and .npz archives: nothing is unpickled, and no size is believed before it is checked.

`zipfile` and NumPy parse the headers; what they promise is checked here before memory is taken, and a member is read
to its end, where `zipfile` and `gzip` verify its CRC-32.
"""

from __future__ import annotations

import math
import mmap
import os
import stat
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import numpy

from scratchvae.errors import DataError
from scratchvae.object_arrays import parse_object_array

BOMB_SIZE, BOMB_RATIO = 2**28, 100
"""What unpacks to more than BOMB_SIZE bytes, and to more than BOMB_RATIO times its packed size, is not unpacked."""

NUMBERS = "biufc"
"""The kinds of NumPy type that are numbers."""

OBJECTS = "O"
"""The kind of an array of arrays, read where it is asked for, by `scratchvae.object_arrays`."""

NPY_FORM = "an array in the .npy format"

NPY_HEADERS = {
    (1, 0): numpy.lib.format.read_array_header_1_0,
    (2, 0): numpy.lib.format.read_array_header_2_0,
}
"""Version of the .npy format -> NumPy's reader of its header."""

METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}
"""The methods of compression that are read."""

LOCAL_LENGTHS, LONGEST_DESCRIPTOR = 26, 24
"""Where a member's header gives the lengths of its name and extra field; the most bytes of sizes behind a member."""

LARGEST_READ = 2**20
"""The most bytes that a header may make anyone read at once; the directory of 20,000 arrays takes about as many."""

DAMAGE = (
    *(OSError, EOFError, ValueError, TypeError, LookupError, ArithmeticError, RuntimeError, SyntaxError, MemoryError),
    *(struct.error, zlib.error, zipfile.BadZipFile, tokenize.TokenError),
)
"""What the standard library and NumPy raise when they parse damaged bytes."""


class Bounded:
    """A file of which nobody reads more than LARGEST_READ bytes at once, whatever a header promises."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def read(self, n: int = LARGEST_READ) -> bytes:
        """Returns the next n bytes. Raises ValueError for more than LARGEST_READ."""
        if n > LARGEST_READ:
            raise ValueError(f"a header promises {n} bytes, of at most {LARGEST_READ}")
        return self.file.read(n)


class Archive:
    """The arrays of an .npz file by name, none of them read yet.

    Raises DataError, which begins with `operation`, for what is no zip archive, for members that overlap or share a
    name, and for encryption or a method of compression that is not among `methods`.
    """

    def __init__(self, file: IO[bytes], operation: str = "archive", methods: Sequence[int] = (*METHODS,)) -> None:
        self.operation, self.unpacked, self.packed = operation, 0, 0
        with readable(operation, "an .npz file"):
            self.file = zipfile.ZipFile(Bounded(file))
        self.members: dict[str, zipfile.ZipInfo] = {}
        for member in self.file.infolist():
            name = member.filename.removesuffix(".npy")
            if name in self.members:
                raise DataError(operation, "members with names of their own", f"two that are named {name}")
            if member.flag_bits & 1:
                raise DataError(operation, "members that are not encrypted", f"{name}, which is")
            if member.compress_type not in methods:
                expected = f"members that are {' or '.join(METHODS[method] for method in methods)}"
                received = METHODS.get(member.compress_type, f"packed by method {member.compress_type}")
                raise DataError(operation, expected, f"{name}, which is {received}")
            self.members[name] = member
        with readable(operation, "an .npz file"):
            self._check_layout(file)

    def read(self, name: str, kinds: str = NUMBERS) -> numpy.ndarray:
        """Returns the array of this name, with its bytes verified.

        Raises DataError for damage, zip bombs, and the same as `read_npy`.
        """
        member, operation = self.members[name], f"{self.operation}, {name}"
        if member.compress_type == zipfile.ZIP_STORED and member.compress_size != member.file_size:
            received = f"a size of {member.file_size}"
            raise DataError(operation, f"{member.compress_size} bytes, stored as they are", received)
        self.unpacked, self.packed = self.unpacked + member.file_size, self.packed + member.compress_size
        refuse_bomb(operation, member.file_size, member.compress_size)
        refuse_bomb(f"{operation} and those before it", self.unpacked, self.packed)
        with readable(operation, "an array"), self.file.open(member) as stream:
            return read_npy(stream, member.file_size, operation, kinds)

    def _check_layout(self, file: IO[bytes]) -> None:
        """Refuses members that overlap, have another name in their own header, or are missing in the directory.

        They must fill the file up to its directory, but for the sizes that some writers put behind a member.
        """
        end = 0
        for member in sorted(self.members.values(), key=lambda member: member.header_offset):
            self.file.open(member).close()  # compares the names
            if not end <= member.header_offset <= end + LONGEST_DESCRIPTOR:
                raise ValueError("its members overlap, or not all are in its directory")
            file.seek(member.header_offset + LOCAL_LENGTHS)
            end = file.tell() + 4 + sum(struct.unpack("<2H", file.read(4))) + member.compress_size
        if not end <= self.file.start_dir <= end + LONGEST_DESCRIPTOR:
            raise ValueError("its members run into its directory, or not all are in it")


def map_bytes(file: IO[bytes], length: int, operation: str) -> numpy.ndarray | None:
    """Returns the array in a .npy file of `length` bytes as a memory map if it is uint8 in C order, else None.

    The file is then where it was. Raises DataError, which begins with `operation`, as `read_npy`.
    """
    shape, column_major, dtype = _read_header(file, operation)
    start = file.tell()
    file.seek(0)
    if dtype != numpy.uint8 or column_major or min(shape, default=0) < 1 or start + math.prod(shape) != length:
        return None
    content = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ)
    return numpy.frombuffer(content, numpy.uint8, offset=start).reshape(shape)


def read_npy(stream: IO[bytes], length: int, operation: str, kinds: str = NUMBERS) -> numpy.ndarray:
    """Returns the array in a .npy stream of `length` bytes, read to its end, in the machine's byte order.

    Raises DataError, which begins with `operation`, for another format, Python objects (never unpickled) other than the
    arrays that OBJECTS allows, records, a type that is not among `kinds`, and values fewer or more than the header
    promises.
    """
    shape, column_major, dtype = _read_header(stream, operation)
    n_bytes = length - stream.tell()
    if dtype.kind == OBJECTS and OBJECTS in kinds:
        with readable(operation, "an array of arrays"):
            return parse_object_array(b"".join(iter(lambda: stream.read(LARGEST_READ), b"")), shape, operation)
    if dtype.hasobject:
        hint = "reading Python objects can run code; save one plain array"
        raise DataError(operation, "an array of numbers", "an array of Python objects", hint)
    if dtype.kind not in kinds or dtype.itemsize == 0:
        raise DataError(operation, "an array of numbers" if kinds == NUMBERS else "text", f"values of type {dtype}")
    if min(shape, default=0) < 0 or len(shape) > 64:
        raise DataError(operation, NPY_FORM, f"one of shape {shape}")
    values = read_values(stream, shape[::-1] if column_major else shape, dtype, n_bytes, operation)
    return values.T if column_major else values


def _read_header(stream: IO[bytes], operation: str) -> tuple[tuple[int, ...], bool, numpy.dtype]:
    """Returns the shape of a .npy stream's array, whether its first index is the fastest, and its type."""
    with readable(operation, NPY_FORM), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about headers that Python 2 wrote
        version = numpy.lib.format.read_magic(stream)
        if version not in NPY_HEADERS:
            raise DataError(operation, "version 1.0 or 2.0 of the .npy format", ".".join(map(str, version)))
        return NPY_HEADERS[version](Bounded(stream))


def read_values(
    stream: IO[bytes], shape: tuple[int, ...], dtype: numpy.dtype, n_bytes: int | None, operation: str
) -> numpy.ndarray:
    """Returns the array of this shape that fills the rest of a stream, in the machine's byte order.

    n_bytes: how many are left in the stream; None if unknown, and the caller has then checked the promised size.

    Raises DataError, before it allocates anything if `n_bytes` is known, for values fewer or more than promised.
    """
    promised = math.prod(shape) * dtype.itemsize
    if n_bytes is None or n_bytes == promised:
        content = numpy.empty(promised, numpy.uint8)
        n_bytes = 0
        while n := stream.readinto(content[n_bytes : n_bytes + 2**20]):
            n_bytes += n
        n_bytes += len(stream.read(1))
    if n_bytes != promised:
        received = "more" if n_bytes > promised else f"only {n_bytes}; it is truncated"
        expected = f"{promised} bytes" if promised < 2**64 else "more than 2^64 bytes"
        raise DataError(operation, f"{expected} of values for the shape {shape} in its header", received)
    if dtype.kind == "b" and content.max(initial=0) > 1:
        raise DataError(operation, "truth values of 0 and 1", f"the byte {content.max()}")
    return content.view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def refuse_bomb(operation: str, unpacked: int, packed: int) -> None:
    """Raises DataError for an array that is large, and far larger than its packed bytes."""
    if unpacked > BOMB_SIZE and unpacked > BOMB_RATIO * packed:
        expected = f"at most {BOMB_SIZE} bytes, or {BOMB_RATIO} times the {packed} that they are packed into"
        hint = "a zip bomb, or an array to store without compression"
        raise DataError(operation, expected, f"{unpacked} bytes", hint)


@contextmanager
def readable(operation: str, form: str) -> Iterator[Any]:
    """Turns the exceptions of the standard library and NumPy about damaged bytes into a DataError."""
    try:
        yield
    except DataError:
        raise
    except DAMAGE as error:
        raise DataError(operation, form, f"one that cannot be read: {error}") from None


def opened(path: str | os.PathLike[str], largest: float = math.inf) -> IO[bytes]:
    """Opens a regular file for reading. Raises OSError for devices, pipes, and files of more than `largest` bytes."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{os.fspath(path)} is not a regular file")
    if status.st_size > largest:
        raise OSError(f"{os.fspath(path)} has {status.st_size} bytes, more than {largest}")
    return open(path, "rb")
