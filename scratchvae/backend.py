"""The array library that computes, NumPy or CuPy, is the library of the data.

`array_module(x)` is `numpy` for NumPy arrays and `cupy` for CuPy arrays; there is no global switch, so both can work
side by side in one process. CuPy is imported only when a caller asks for `device="gpu"`.
"""

from __future__ import annotations

import ctypes
import functools
import math
import platform
import sys
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy

from scratchvae.arrays import as_array, is_array, is_cupy, is_foreign, type_name
from scratchvae.errors import DeviceError, InputError, ShapeError

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of glibc's <malloc.h>

MODULE_OF_TYPE: dict[type, ModuleType] = {numpy.ndarray: numpy, float: numpy, int: numpy, bool: numpy}
"""Every type of array and number that `array_module` has met."""

PRODUCTS: ContextVar[Any] = ContextVar("products", default=None)
"""What multiplies matrices on the GPU in place of CuPy, whose products a graph cannot hold: `capture.Products`."""


def array_module(x: Any, *others: Any) -> ModuleType:
    """Returns the module whose functions compute on x: numpy for its arrays and for numbers, cupy for its arrays.

    A Python number belongs to neither, so if x is one, the others decide. Raises InputError for other objects.
    """
    module = MODULE_OF_TYPE.get(type(x))
    if module is None:
        if not is_array(x):
            raise InputError("array_module", "an array or a number", type_name(x))
        module = MODULE_OF_TYPE[type(x)] = sys.modules["cupy"] if is_cupy(x) else numpy
    if others and isinstance(x, (int, float)):
        return array_module(*others)
    return module


def gpu_module() -> ModuleType:
    """Imports CuPy and returns it. Raises DeviceError if it is not installed or finds no GPU."""
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except ImportError as error:
        hint = "pip install '.[gpu]' in the checkout brings CuPy for CUDA 13"
        raise DeviceError('device="gpu"', "CuPy", " ".join(str(error).split()), hint) from None
    except Exception as error:  # CuPy raises its own CUDARuntimeError, which cannot be named before it is imported
        raise DeviceError('device="gpu"', "an NVIDIA GPU", f"none that CuPy can use: {error}") from None
    return cupy


def device_module(device: str) -> ModuleType:
    """Returns numpy for "cpu" and cupy for "gpu". Raises InputError for another word."""
    if device == "cpu":
        return numpy
    if device == "gpu":
        return gpu_module()
    raise InputError("device", '"cpu" or "gpu"', repr(device))


def device_of(x: Any) -> str:
    """Returns the device of x: "cpu" or "gpu"."""
    return "cpu" if array_module(x) is numpy else "gpu"


def asarray(x: Any, device: str = "cpu") -> Any:
    """Returns x as an array on the device, copied only from another device. Raises DataError if x is not an array."""
    module, x = device_module(device), as_array("array", x)
    return module.asarray(x if array_module(x) is module else to_numpy(x))


def product(x: Any, y: Any, out: Any = None) -> Any:
    """x y, a matrix product over the last two axes, written to `out` if it is given.   (..., n, k), (..., k, m) ->
    (..., n, m)

    All products of arrays are computed here; `ops.matmul` multiplies Tensors.
    """
    xp = array_module(x)
    own = None if xp is numpy else PRODUCTS.get()
    return own(x, y, out) if own else xp.matmul(x, y, out=out)


def sum_of_leading_axes(x: Any, n: int, out: Any = None) -> Any:
    """y = x summed over its first n axes, written to `out` if it is given.   (..., *shape) -> shape

    On a GPU it is 1' x, a product with ones: a sum by CuPy takes 27 microseconds for 1,000 rows of an H100 and 1.5
    milliseconds for 260,000 of 3 columns, as few of its blocks share the rows.
    """
    xp, rows = array_module(x), math.prod(x.shape[:n])
    if rows == 1 and out is None:
        return x.reshape(x.shape[n:])
    if xp is numpy or x.dtype.char not in "fd" or x.size <= rows:
        return x.sum(axis=tuple(range(n)), out=out)
    own = PRODUCTS.get()
    ones = own.ones(rows, x.dtype) if own else xp.ones((1, rows), dtype=x.dtype)
    y = product(ones, x.reshape(rows, -1), None if out is None else out.reshape(1, -1))
    return y.reshape(x.shape[n:]) if out is None else out


@functools.singledispatch
def to_numpy(x: Any) -> numpy.ndarray:
    """Returns x, an array on any device or a Tensor, as a NumPy array.

    Raises DataError if x is not an array.
    """
    return x.get() if is_cupy(x) else as_array("to_numpy", x)


def misfit(operation: str, error: Exception, operands: list[Any]) -> Exception:
    """Returns the error in the package's form if libraries, devices or shapes of the operands differ, else itself."""
    foreign = next((x for x in operands if is_foreign(x)), None)
    if foreign is not None:
        return InputError(operation, "an array or a number", type_name(foreign), "sv.to_numpy(x)")
    arrays = [x for x in operands if hasattr(x, "shape")]
    devices = [device_of(x) for x in arrays]
    if len(set(devices)) > 1:
        return DeviceError(operation, "arrays on one device", " and ".join(devices), "asarray(x, device) moves one")
    if isinstance(error, InputError) or not isinstance(error, ValueError):
        return error
    return ShapeError(operation, "shapes that fit", " and ".join(str(x.shape) for x in arrays), str(error))


def shares_memory(x: Any, y: Any) -> bool:
    """Returns whether two arrays on one device have an entry in common.

    CuPy's own function is wrong for arrays without axes, so they get one. It also sorts addresses on the GPU, which is
    left out if the bounds of the arrays, known on the CPU, are apart.
    """
    xp = array_module(x)
    return bool(xp.may_share_memory(x, y) and xp.shares_memory(xp.atleast_1d(x), xp.atleast_1d(y)))


def gpu_versions() -> dict[str, str]:
    """Returns the versions of CuPy and CUDA and the card's name, on which the last bits of a GPU's results depend."""
    cupy = gpu_module()
    runtime = cupy.cuda.runtime
    card = runtime.getDeviceProperties(runtime.getDevice())["name"].decode()
    return {"cupy": cupy.__version__, "cuda": str(runtime.runtimeGetVersion()), "card": card}


def free_gpu_memory() -> int:
    """Returns the number of free bytes in the memory of the GPU."""
    return gpu_module().cuda.Device().mem_info[0]


def synchronize(device: str) -> None:
    """Waits until the device has finished all its work, so that a timer can be read."""
    if device == "gpu":
        gpu_module().cuda.get_current_stream().synchronize()


def keep_freed_memory() -> None:
    """Lets the C library keep up to 1 GiB of freed memory, so that the next step reuses it.

    By default glibc gives large freed blocks back to the system, and every step gets new pages, which can take a
    seventh of the time of a recurrent layer. Before version 2.35 it still gives back blocks of more than 32 MiB. With
    another C library this function does nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(TRIM_THRESHOLD, 2**30)
        if not mallopt(MMAP_THRESHOLD, 2**30):
            mallopt(MMAP_THRESHOLD, 2**25)
