"""The array library that computes, which the data decides.

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
"""What multiplies matrices of the GPU in place of CuPy, whose products a graph cannot hold: `capture.Products`."""


def array_module(x: Any, *others: Any) -> ModuleType:
    """The module whose functions compute on x: NumPy's for its arrays and for numbers, CuPy's for its arrays.

    A Python number belongs nowhere: where others are given, they decide instead. Raises InputError for what is neither.
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
    """CuPy, imported now. Raises DeviceError where it is not installed or finds no GPU."""
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
    """numpy for "cpu", cupy for "gpu"."""
    if device == "cpu":
        return numpy
    if device == "gpu":
        return gpu_module()
    raise InputError("device", '"cpu" or "gpu"', repr(device))


def device_of(x: Any) -> str:
    """Where x lies: "cpu" or "gpu"."""
    return "cpu" if array_module(x) is numpy else "gpu"


def asarray(x: Any, device: str = "cpu") -> Any:
    """x as an array on the device; copied only if it lies elsewhere. Raises DataError for what is no array."""
    module, x = device_module(device), as_array("array", x)
    return module.asarray(x if array_module(x) is module else to_numpy(x))


def product(x: Any, y: Any, out: Any = None) -> Any:
    """x y, a matrix product over the last two axes, written to `out` if it is given: the one way to a product.

    shape: (..., n, k), (..., k, m) -> (..., n, m).   Arrays, not Tensors, for which there is `ops.matmul`.
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
    """x as a NumPy array: the one way to unwrap a Tensor or to bring an array home from the GPU.

    Raises DataError for what is no array.
    """
    return x.get() if is_cupy(x) else as_array("to_numpy", x)


def misfit(operation: str, error: Exception, operands: list[Any]) -> Exception:
    """The error in the package's form where libraries, devices or shapes of the operands do not fit, else itself."""
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
    """Whether two arrays on one device have an entry in common.

    CuPy's own function says so of any two arrays without axes, so they are given one; and it sorts addresses on the
    GPU, which is left out where the bounds of the arrays, known on the CPU, are apart.
    """
    xp = array_module(x)
    return bool(xp.may_share_memory(x, y) and xp.shares_memory(xp.atleast_1d(x), xp.atleast_1d(y)))


def gpu_versions() -> dict[str, str]:
    """CuPy, CUDA and the card, which the last bits of what a GPU computes depend on."""
    cupy = gpu_module()
    runtime = cupy.cuda.runtime
    card = runtime.getDeviceProperties(runtime.getDevice())["name"].decode()
    return {"cupy": cupy.__version__, "cuda": str(runtime.runtimeGetVersion()), "card": card}


def free_gpu_memory() -> int:
    """How many bytes of the GPU's memory nobody uses."""
    return gpu_module().cuda.Device().mem_info[0]


def synchronize(device: str) -> None:
    """Wait until the device has finished what it was given; what a timer needs before it is read."""
    if device == "gpu":
        gpu_module().cuda.get_current_stream().synchronize()


def keep_freed_memory() -> None:
    """Let the C library keep up to 1 GiB that was freed, so that the next step finds its memory warm.

    glibc gives freed memory back to the system, large blocks always, and every step would pay for each page anew, up to
    a seventh of the time of a recurrent layer. Before version 2.35 it still does so for blocks of more than 32 MiB.
    With another C library this does nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(TRIM_THRESHOLD, 2**30)
        if not mallopt(MMAP_THRESHOLD, 2**30):
            mallopt(MMAP_THRESHOLD, 2**25)
