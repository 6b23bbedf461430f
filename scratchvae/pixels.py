"""`Rows` and `Pixels` read rows of an array when they are needed; `Pixels` converts 8-bit pixels to floats."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy

from scratchvae.arrays import as_array
from scratchvae.backend import array_module, asarray, device_of, free_gpu_memory, to_numpy
from scratchvae.errors import DataError, InputError, ShapeError

CHUNK_BYTES = 2**22
"""The number of pixels that are read at once by functions that read all of them."""


class Rows:
    """x[rows] of an array of floats (N, ...).   It reads no entry until it is asked for `numbers`.

    A slice or an array of row numbers as index gives these rows in the same form; a single number gives this row as an
    array. `numpy.asarray(x)` and `x.numbers()` are the floats of all rows.

    Parameters
    ----------
    array : array (M, ...)
        The floats, an array of NumPy or CuPy.
    rows : array of integers (N,), optional
        The numbers of the rows that belong to it; by default all.
    dtype : dtype, optional
        The type of the floats; by default that of the array.

    Attributes
    ----------
    array, rows, dtype
        The parameters of these names.

    See Also
    --------
    Pixels : the same for bytes.
    scratchvae.binarization.binarize : draws pixels from rows, on a GPU in the launch that gathers them.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.pixels import Rows
    >>> x = Rows(numpy.array([[0.0, 0.2], [1.0, 0.0], [0.5, 0.5]]))
    >>> x[numpy.array([2, 0])].shape, x[:2][1].tolist()
    ((2, 2), [1.0, 0.0])
    """

    def __init__(self, array: Any, rows: Any = None, dtype: Any = None) -> None:
        self.array, self.rows, self.dtype = array, rows, numpy.dtype(array.dtype if dtype is None else dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the floats, (N, ...)."""
        return (len(self), *self.array.shape[1:])

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    @property
    def size(self) -> int:
        """The number of entries."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return len(self.array if self.rows is None else self.rows)

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, slice):
            if self.rows is None:
                return type(self)(self.array[rows], None, self.dtype)
            return type(self)(self.array, self.rows[rows], self.dtype)
        rows = asarray(as_array("rows of pixels", rows), device_of(self.array))
        if rows.dtype.kind not in "iub" or rows.ndim > 1 or (rows.dtype.kind == "b" and len(rows) != len(self)):
            expected = "rows by a number, a slice, or an array of row numbers"
            raise InputError("rows of pixels", expected, f"{rows.dtype}, shape {rows.shape}", "numpy.asarray(x)[...]")
        if rows.dtype.kind == "b":
            rows = array_module(rows).flatnonzero(rows)
        if rows.ndim == 0:
            row = range(len(self))[int(rows)]
            return self[row : row + 1].numbers(device_of(self.array))[0]
        return type(self)(self.array, rows if self.rows is None else self.rows[rows], self.dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> numpy.ndarray:
        values = to_numpy(self.numbers(device_of(self.array)))
        return values if dtype is None else values.astype(dtype, copy=False)

    def numbers(self, device: str = "cpu") -> Any:
        """Returns the floats of all rows as an array on the device.   (N, ...)"""
        values = self.array if self.rows is None else self.array[self.rows]
        return asarray(values, device).astype(self.dtype, copy=False)


class Pixels(Rows):
    """x = k / 255, rounded to float32, for bytes k.   It replaces an array of floats (N, ...) of four times its size.

    An index gives what it gives for Rows. `fit` and `evaluate` convert one minibatch at a time, so that a memory map of
    bytes may be larger than the memory.

    Parameters
    ----------
    array : array of uint8 (M, ...)
        The bytes, an array of NumPy or CuPy or a memory map.
    rows : array of integers (N,), optional
        The numbers of the rows that belong to it; by default all.
    dtype : dtype
        The type of the floats.

    Attributes
    ----------
    array, rows, dtype
        The parameters of these names.

    See Also
    --------
    scratchvae.data.Dataset : has the images of a large file as Pixels.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.pixels import Pixels
    >>> x = Pixels(numpy.array([[0, 51], [255, 0], [0, 0]], numpy.uint8))
    >>> x[:2], x[1].tolist()
    (Pixels of shape (2, 2), float32 k / 255 of bytes k, [1.0, 0.0])
    """

    def __init__(self, array: Any, rows: Any = None, dtype: Any = numpy.float32) -> None:
        super().__init__(array, rows, dtype)

    @classmethod
    def of(cls, operation: str, x: Any) -> Pixels:
        """Returns the Pixels of an array of bytes after checking it.

        Raises DataError, whose message begins with `operation`, for another type than uint8, for no rows, and for
        values that are all 0 or 1, which may stand for black and white.
        """
        array = as_array(operation, x)
        if array.dtype != numpy.uint8 or array.ndim < 2 or array.size == 0:
            raise DataError(operation, "uint8 pixels (N, ...), at least one", f"{array.dtype}, shape {array.shape}")
        pixels = cls(array)
        if any(2 <= int(chunk.max()) for chunk in pixels.chunks()):
            return pixels
        if int(array.max()) == 1:
            hint = "store black and white images as bool or float32"
            raise DataError(operation, "uint8 pixels from 0 to 255", "values from 0 to 1", hint)
        return pixels

    def __repr__(self) -> str:
        return f"Pixels of shape {self.shape}, {self.dtype} k / 255 of bytes k"

    def reshape(self, *shape: int) -> Pixels:
        """Returns the same N rows, each in another shape: (N, ...) -> (N, ...). Raises ShapeError if sizes differ."""
        if shape[0] != len(self) or math.prod(shape) != self.size:
            raise ShapeError("reshape of pixels", f"the same {len(self)} rows, {self.size} entries", str(shape))
        return Pixels(self.array.reshape(len(self.array), *shape[1:]), self.rows, self.dtype)

    def astype(self, dtype: Any) -> Pixels:
        """Returns the same pixels, as floats of another type."""
        return Pixels(self.array, self.rows, dtype)

    def to(self, device: str) -> Pixels:
        """Returns the same rows with their bytes on the device, unless they exceed half of a GPU's free memory."""
        if device_of(self.array) == device or device == "gpu" and self.size > free_gpu_memory() // 2:
            return self
        return Pixels(asarray(self.bytes(), device), None, self.dtype)

    def bytes(self) -> Any:
        """Returns the bytes k of all rows as an array of uint8, which is read now."""
        return self.array if self.rows is None else self.array[self.rows]

    def numbers(self, device: str = "cpu") -> Any:
        """Returns the floats k / 255 of all rows as an array on the device.   (N, ...)"""
        values = asarray(self.bytes(), device).astype(numpy.float32)
        values /= 255
        return values.astype(self.dtype, copy=False)

    def parts(self) -> Iterator[Pixels]:
        """Returns an iterator over Pixels of successive rows, each with CHUNK_BYTES entries at most, or one row."""
        n = max(1, CHUNK_BYTES // math.prod(self.shape[1:]))
        return (self[start : start + n] for start in range(0, len(self), n))

    def chunks(self) -> Iterator[Any]:
        """Returns an iterator over the bytes of `parts`."""
        return (part.bytes() for part in self.parts())

    def some_values(self) -> Any:
        """Returns a few values that occur, as a small array: 0, 1 or both if all pixels are black or white.

        They suffice for a likelihood to check and to describe the data.
        """
        seen: set[int] = set()
        for chunk in self.chunks():
            low, high = int(chunk.min()), int(chunk.max())
            seen |= {low, high}
            grey = chunk[(chunk > 0) & (chunk < 255)]
            if grey.size:
                seen.add(int(grey[0]))
                break
        return Pixels(array_module(self.array).asarray(sorted(seen), dtype=numpy.uint8), dtype=self.dtype).numbers(
            device_of(self.array)
        )

    def describe(self) -> tuple[float, float, float]:
        """Returns the mean, the smallest and the largest float."""
        total, low, high = 0, 255, 0
        for chunk in self.chunks():
            total += int(chunk.sum(dtype=numpy.int64))
            low, high = min(low, int(chunk.min())), max(high, int(chunk.max()))
        return total / self.size / 255, low / 255, high / 255


def as_numbers(x: Any, device: str = "cpu") -> Any:
    """Returns Rows and Pixels as floats on the device, and anything else unchanged."""
    return x.numbers(device) if isinstance(x, Rows) else x
