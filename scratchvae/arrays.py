"""`as_array` converts every argument that may be an array: data, labels, latent variables and others.

Arrays of NumPy and CuPy are not changed. Objects that NumPy converts exactly become arrays of NumPy, with the entries
in the order of their positions, whatever index they have: lists of numbers, objects of pandas, h5py, xarray, dask,
polars, PyTorch and JAX, and all objects with `__array__`, `__array_interface__` or `__dlpack__`. All others are refused
with one sentence, which names the type and the expression that the caller can write instead.
"""

from __future__ import annotations

import array
import sys
from typing import Any, TypeAlias

import numpy

from scratchvae.errors import DataError

Array: TypeAlias = Any
"""An array of NumPy, or of CuPy for a model on the GPU. CuPy declares no types, so that a type checker sees Any."""

PROTOCOLS = ("__array__", "__array_interface__", "__array_struct__", "__dlpack__")
NATIVE = (list, tuple, range, array.array, memoryview, bool, int, float, complex, numpy.generic)
"""Types of Python and NumPy that NumPy converts; any other sequence might be read from a disk, row by row."""

PRINTED = 8  # the largest array whose short text shows every entry
RANGED = 2**26  # the largest array whose short text has a range; a larger one may be on a disk

CURES = {
    "toarray": "x.toarray()",
    "todense": "x.todense()",
    "collect": "x.collect()",
    "to_numpy": "x.to_numpy()",
    "numpy": "x.numpy()",
    "images": "x.images",
    "__next__": "list(x)",
}
"""A method of an object that is no array -> the expression that the caller can write instead."""


def is_cupy(x: Any) -> bool:
    """Tells whether x is an array of CuPy, without importing CuPy."""
    return isinstance(x, getattr(sys.modules.get("cupy"), "ndarray", ()))


def is_array(x: Any) -> bool:
    """Tells whether x is an array or a number of NumPy or CuPy on which + and * act entry by entry, on all entries."""
    if isinstance(x, numpy.ndarray):
        return not isinstance(x, (numpy.matrix, numpy.ma.MaskedArray))
    return isinstance(x, numpy.generic) or is_cupy(x)


def is_foreign(x: Any) -> bool:
    """Tells whether x could become an array, but is not one on which primitives compute."""
    return _has_protocol(x) and not is_array(x)


def as_array(operation: str, x: Any) -> Any:
    """Returns x as an array of NumPy or CuPy: x itself, or its entries by position.

    Byte orders become the machine's, and an array of Python strings becomes one of NumPy strings.

    Raises DataError, whose message begins with `operation`, if x is no array, has missing or masked entries, or has
    rows of several lengths.
    """
    if type(x) is not numpy.ndarray:
        if is_cupy(x):
            return x
        x = _converted(operation, x)
    dtype = x.dtype
    if dtype.kind in "OT" and x.size and any(all(isinstance(entry, kind) for entry in x.flat) for kind in (str, bytes)):
        return numpy.asarray(x.tolist())
    return x if dtype.isnative else x.astype(dtype.newbyteorder("="))


def as_floats(operation: str, x: Any) -> Any:
    """Returns x as an array of floating-point numbers of any precision. Raises DataError as `as_array` does."""
    numbers = as_array(operation, x)
    if numbers.dtype.kind == "f":
        return numbers
    raise DataError(operation, "an array of floating-point numbers", str(numbers.dtype), _to_floats(x, numbers.dtype))


def type_name(x: Any) -> str:
    """Returns the name of x's type, preceded by the name of its package if this is a third one."""
    root = type(x).__module__.partition(".")[0]
    own = root in ("scratchvae", "__main__") or root in sys.stdlib_module_names
    return type(x).__name__ if own else f"{root}.{type(x).__name__}"


def shortened(x: Any) -> str:
    """Returns an array as a short text: its entries if few, else shape, type and range; other objects' repr."""
    if not is_array(x):
        return repr(x)
    if x.size <= PRINTED and not is_cupy(x):
        return " ".join(numpy.array2string(numpy.asarray(x), precision=4, separator=", ").split())
    ranged = 0 < x.size <= RANGED and x.dtype.kind in "biuf"
    return f"{tuple(x.shape)} {x.dtype}" + (f" from {float(x.min()):.4g} to {float(x.max()):.4g}" if ranged else "")


def scaling(low: float, high: float) -> str:
    """Returns a hint: the operation that maps values from low to high into [0, 1]."""
    if low < 0:
        return "rescale them: (x - x.min()) / (x.max() - x.min())"
    if high == 255:
        return "divide by 255"
    by_largest = f"by {high:g}, the largest value"
    return (
        f"divide by 255 if these are 8-bit pixels, else {by_largest}" if 128 <= high < 255 else f"divide {by_largest}"
    )


def _converted(operation: str, x: Any) -> numpy.ndarray:
    if isinstance(x, (list, tuple)) and any(isinstance(row, numpy.ma.MaskedArray) for row in x):
        x = numpy.ma.array(x)  # numpy.asarray would also read the masked entries
    if isinstance(x, numpy.ndarray):
        if isinstance(x, numpy.ma.MaskedArray) and numpy.ma.is_masked(x):
            hint = "x.filled(value), or only rows without masked entries"
            raise DataError(operation, "an array without masked entries", f"a {type_name(x)} with some", hint)
        return numpy.asarray(x)
    if not isinstance(x, NATIVE) and not _has_protocol(x):
        cures = (cure for method, cure in CURES.items() if hasattr(x, method) and not isinstance(x, type))
        raise DataError(operation, "an array", type_name(x), next(cures, ""))
    try:
        by_dlpack = hasattr(x, "__dlpack__") and not hasattr(x, "__array__")
        values = numpy.from_dlpack(x) if by_dlpack else numpy.asarray(x)
    except Exception as error:  # the library of x may raise anything, with a reason in the message
        hint = str(error).strip().partition("\n")[0]
        hint = "x.float()" if "ScalarType" in hint else hint
        hint = "its rows have several lengths" if "inhomogeneous" in hint else hint
        raise DataError(operation, "an array", f"a {type_name(x)} that does not become one", hint) from error
    return _numbers_of_columns(operation, x, values) if values.dtype == object and hasattr(x, "iloc") else values


def _numbers_of_columns(operation: str, x: Any, values: numpy.ndarray) -> numpy.ndarray:
    """Converts the objects that pandas makes from its own or several types of numbers to numbers of one type."""
    one = hasattr(x, "dtype")
    names, dtypes = ([""], [x.dtypes]) if one else (list(x.columns), list(x.dtypes))
    dtypes = [getattr(dtype, "numpy_dtype", dtype) for dtype in dtypes]
    others = [name for name, dtype in zip(names, dtypes, strict=True) if getattr(dtype, "kind", "O") not in "biuf"]
    if others and one:
        return values
    if others:
        received = f"a {type_name(x)} with others, {', '.join(map(str, others))}"
        raise DataError(operation, "columns of numbers", received)
    try:
        return values.astype(numpy.result_type(*dtypes))
    except (TypeError, ValueError) as error:
        hint = "x.dropna() leaves them out, x.fillna(value) fills them"
        raise DataError(operation, "no missing entries", f"a {type_name(x)} with some", hint) from error


def _to_floats(x: Any, dtype: numpy.dtype) -> str:
    """Returns the expression that converts x, whose array has this type, to floating-point numbers."""
    if dtype.kind in "mM" or dtype.names:
        return ""
    if dtype.kind == "c":
        return "x.real, or abs(x)"
    floats = "x.astype('float32')" if hasattr(x, "astype") else "numpy.float32(x)"
    return f"divide by 255: {floats} / 255" if dtype == numpy.uint8 else floats


def _has_protocol(x: Any) -> bool:
    return not isinstance(x, type) and any(hasattr(x, name) for name in PROTOCOLS)
