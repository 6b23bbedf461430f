"""The type of an array decides which library computes with it: NumPy or CuPy.

`array_module(x)` is `numpy` for NumPy arrays and `cupy` for CuPy arrays. There is no global switch, so that one process
can use both. CuPy is imported only when a caller asks for `device="gpu"`.
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

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # constants of glibc's <malloc.h>

MODULE_OF_TYPE: dict[type, ModuleType] = {numpy.ndarray: numpy, float: numpy, int: numpy, bool: numpy}
"""The module of every type of array and number that `array_module` has received."""

PRODUCTS: ContextVar[Any] = ContextVar("products", default=None)
"""A `capture.Products`, which multiplies matrices of the GPU in place of CuPy inside a `Capture`, or None."""


def array_module(x: Any, *others: Any) -> ModuleType:
    """Returns the module whose functions compute on x: numpy for its arrays and for numbers, cupy for its arrays.

    If x is a Python number and there are other arguments, they decide. Raises InputError for any other type.
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
    """Imports and returns CuPy. Raises DeviceError if it is not installed or finds no GPU."""
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
    """Returns numpy for "cpu" and cupy for "gpu". Raises InputError for other words."""
    if device == "cpu":
        return numpy
    if device == "gpu":
        return gpu_module()
    raise InputError("device", '"cpu" or "gpu"', repr(device))


def device_of(x: Any) -> str:
    """Returns the device of x, "cpu" or "gpu"."""
    return "cpu" if array_module(x) is numpy else "gpu"


def asarray(x: Any, device: str = "cpu") -> Any:
    """Returns x as an array on the device, copied only if it is on another. Raises DataError if x is no array."""
    module, x = device_module(device), as_array("array", x)
    return module.asarray(x if array_module(x) is module else to_numpy(x))


def has_fixed_shapes(x: Any) -> bool:
    """Tells whether no shape may depend on the entries of x: it lies on the GPU, and a `Capture` runs the steps."""
    return device_of(x) == "gpu" and PRODUCTS.get() is not None


def is_readable(x: Any) -> bool:
    """Tells whether the host may read the entries of x: not while a graph is recorded, as none are computed then."""
    return not (has_fixed_shapes(x) and PRODUCTS.get().stream.is_capturing())


def product(x: Any, y: Any, out: Any = None) -> Any:
    """Returns x y, a matrix product over the last two axes, written to `out` if it is given.

    shape: (..., n, k), (..., k, m) -> (..., n, m).   The arguments are arrays; `ops.matmul` is the product of Tensors.
    All products of the package are computed here.
    """
    xp = array_module(x)
    own = None if xp is numpy else PRODUCTS.get()
    return own(x, y, out) if own else xp.matmul(x, y, out=out)


@functools.cache
def constant(xp: ModuleType, values: tuple[float, ...], dtype: Any) -> Any:
    """Returns an array of these numbers, which stays on the device of xp: a recorded step cannot copy from the host."""
    return xp.asarray(numpy.array(values, dtype=dtype))


def sum_of_leading_axes(x: Any, n: int, out: Any = None) -> Any:
    """y = x summed over its first n axes, written to `out` if it is given.   (..., *shape) -> shape

    On a GPU it is computed as 1' x, a product with ones. CuPy's sum takes 27 microseconds for 1,000 rows on an H100,
    and 1.5 milliseconds for 260,000 rows of 3 columns, because it divides the rows among few blocks.
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
    """Returns x, a Tensor or an array on any device, as a NumPy array.

    Raises DataError if x is no array.
    """
    return x.get() if is_cupy(x) else as_array("to_numpy", x)


def misfit(operation: str, error: Exception, operands: list[Any]) -> Exception:
    """Returns an error in the package's form if libraries, devices or shapes of the operands differ, else the error."""
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
    """Tells whether two arrays on one device have an entry in common.

    CuPy's own function returns True for any two arrays without axes, so they get one here. It also sorts addresses on
    the GPU, which is unnecessary if the bounds of the arrays, known on the CPU, do not overlap.
    """
    xp = array_module(x)
    return bool(xp.may_share_memory(x, y) and xp.shares_memory(xp.atleast_1d(x), xp.atleast_1d(y)))


def gpu_versions() -> dict[str, str]:
    """Returns the versions of CuPy and CUDA and the name of the card, on which the last bits of results depend."""
    cupy = gpu_module()
    runtime = cupy.cuda.runtime
    card = runtime.getDeviceProperties(runtime.getDevice())["name"].decode()
    return {"cupy": cupy.__version__, "cuda": str(runtime.runtimeGetVersion()), "card": card}


def free_gpu_memory() -> int:
    """Returns the number of free bytes in the GPU's memory."""
    return gpu_module().cuda.Device().mem_info[0]


def synchronize(device: str) -> None:
    """Waits until the device has finished its work, as a caller must before reading a timer."""
    if device == "gpu":
        gpu_module().cuda.get_current_stream().synchronize()


def keep_freed_memory() -> None:
    """Lets the C library keep up to 1 GiB of freed memory, so that the next step reuses it.

    By default glibc returns freed memory to the system, large blocks always. Every step would then pay for each new
    page, up to a seventh of the time of a recurrent layer. Before version 2.35 glibc still returns blocks of more than
    32 MiB. With another C library this function does nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(TRIM_THRESHOLD, 2**30)
        if not mallopt(MMAP_THRESHOLD, 2**30):
            mallopt(MMAP_THRESHOLD, 2**25)
