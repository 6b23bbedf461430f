"""Matlab's files of version 5 to 7.2 are read with a check of every size.

SciPy's reader can end the process on a damaged file, so the package has its own. After a header of 128 bytes a file has
elements: a type and a size, uint32 each, and this many bytes, padded to a multiple of 8. A small element has the size
in the upper half of its type, and at most 4 bytes. An array is an element that contains four others: its class, the
sizes of its axes, its name, and its values, first index fastest. An element may be compressed by zlib.

Source: The MathWorks, "MAT-file format", chapter "Level 5 MAT-file format"
"""

from __future__ import annotations

import math
import os
import struct
import zlib

import numpy

from scratchvae.errors import DataError
from scratchvae.npz import opened, readable, refuse_bomb

ARRAY, PACKED = 14, 15
VALUES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Type of an element -> the type of its values."""

LETTERS = {1: "ascii", 2: "ascii", 4: "utf-16-{}", 16: "utf-8", 17: "utf-16-{}", 18: "utf-32-{}"}
"""Type of an element that holds a name -> how its letters are stored; Matlab itself writes the first type only."""

CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""Class of an array -> the type of its values, which may be stored in a narrower one."""

COMPLEX = 0x800


def read_mat(path: str | os.PathLike[str], *names: str) -> list[numpy.ndarray]:
    """Returns the arrays with these names, of real numbers, in the machine's byte order.

    Raises DataError for a missing file, another format, damage, and if one of the arrays is not there.
    """
    operation, form = f"reading {path}", "a Matlab file of version 5 to 7.2"
    with readable(operation, form), opened(path) as file:
        content = memoryview(file.read())
        order = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}.get(bytes(content[124:128]))
        if order is None:
            mark = f"the bytes {content[124:128].hex(' ')} at its place 124"
            received = f"one with {mark}" if len(content) >= 128 else f"one of {len(content)} bytes"
            raise DataError(operation, form, received, "in Matlab: save -v7")
        found: dict[str, numpy.ndarray] = {}
        rest = content[128:]
        while rest:
            kind, data, rest = _element(rest, order)
            if kind == PACKED:
                kind, data = _unpacked(data, order, operation)
            if kind != ARRAY:
                raise ValueError(f"an element of type {kind}")
            name, array = _array(data, order)
            if array is None:
                continue
            if name in found:
                raise ValueError(f"two arrays are named {name}")
            found[name] = array
        missing = [name for name in names if name not in found]
        if missing:
            raise DataError(operation, f"arrays of real numbers {', '.join(names)}", f"none of {', '.join(missing)}")
        return [found[name] for name in names]


def _element(content: memoryview, order: str) -> tuple[int, memoryview, memoryview]:
    """Returns the type and the bytes of the first element, and the bytes that follow it."""
    kind, size = struct.unpack(f"{order}2I", content[:8])
    start, end = 8, 8 + size
    if kind >> 16:
        kind, size, start, end = kind & 0xFFFF, kind >> 16, 4, 4 + (kind >> 16)
        if size > 4:
            raise ValueError(f"a small element of {size} bytes")
    if end > len(content):
        raise ValueError(f"an element of {size} bytes, of which {max(0, len(content) - start)} are there")
    behind = end if kind == PACKED else -(-end // 8) * 8
    return kind, content[start:end], content[behind:]


def _unpacked(data: memoryview, order: str, operation: str) -> tuple[int, memoryview]:
    """Returns the type and the bytes of an element that is packed by zlib."""
    stream = zlib.decompressobj()
    kind, size = struct.unpack(f"{order}2I", stream.decompress(data, 8))
    refuse_bomb(operation, size, len(data))
    content = stream.decompress(stream.unconsumed_tail, size + 1)
    if len(content) != size or not stream.eof or stream.unused_data:
        raise ValueError(f"a packed element of {size} bytes, of which {len(content)} are there")
    return kind, memoryview(content)


def _array(content: memoryview, order: str) -> tuple[str, numpy.ndarray | None]:
    """Returns name and values, or no name and None for anything but an array of real numbers."""
    kind, data, content = _element(content, order)
    if kind not in (5, 6) or len(data) < 4:
        raise ValueError(f"an element of type {kind} in place of an array's flags")
    (flags,) = struct.unpack(f"{order}I", data[:4])
    if flags & 0xFF not in CLASSES or flags & COMPLEX:
        return "", None
    kind, data, content = _element(content, order)
    if kind not in (5, 6):
        raise ValueError(f"an element of type {kind} in place of an array's sizes")
    shape = numpy.frombuffer(data, order + "i4")  # other programs mark them as unsigned, which they fit in as well
    kind, data, content = _element(content, order)
    if kind not in LETTERS:
        raise ValueError(f"an element of type {kind} in place of an array's name")
    name = bytes(data).decode(LETTERS[kind].format("le" if order == "<" else "be"))
    kind, data, _ = _element(content, order)
    if kind not in VALUES:
        raise ValueError(f"{name}: values of type {kind}")
    stored, wanted = numpy.dtype(order + VALUES[kind]), numpy.dtype(CLASSES[flags & 0xFF])
    if min(shape, default=-1) < 0 or math.prod(shape.tolist()) * stored.itemsize != len(data):
        raise ValueError(f"{name}: {len(data)} bytes for the shape {tuple(shape.tolist())}")
    values = numpy.frombuffer(data, stored).astype(wanted, casting="safe", copy=False)
    return name, values.reshape(shape, order="F")
