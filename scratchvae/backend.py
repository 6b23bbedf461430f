"""Which array library computes: the data decides.

`array_module(x)` is `numpy` for NumPy arrays and `cupy` for CuPy arrays; there is no global switch, so both can work
side by side in one process. CuPy is imported only when a caller asks for `device="gpu"`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy

from scratchvae.errors import DeviceError, InputError

_MODULE_OF_TYPE: dict[type, ModuleType] = {numpy.ndarray: numpy, float: numpy, int: numpy, bool: numpy}


def array_module(x: Any, *others: Any) -> ModuleType:
    """The module whose functions compute on x: the root of the package that x's type comes from.

    A Python number belongs nowhere: where others are given, they decide instead.
    """
    module = _MODULE_OF_TYPE.get(type(x))
    if module is None:
        root = type(x).__module__.partition(".")[0]
        if root == "builtins":
            raise InputError("array_module", "an array or a number", type(x).__name__)
        module = _MODULE_OF_TYPE[type(x)] = sys.modules[root]
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
    """x as an array on the device; copied only if it lies elsewhere."""
    module = device_module(device)
    if array_module(x) is module:
        return module.asarray(x)
    return module.asarray(to_numpy(x))


def to_numpy(x: Any) -> numpy.ndarray:
    """x as a NumPy array: the one way to unwrap a Tensor or to bring an array home from the GPU."""
    return x.get() if hasattr(x, "get") else numpy.asarray(x)


def synchronize(device: str) -> None:
    """Wait until the device has finished what it was given; what a timer needs before it is read."""
    if device == "gpu":
        gpu_module().cuda.get_current_stream().synchronize()


def keep_freed_memory() -> None:
    """Let the C library keep up to 64 MiB that were freed, so that the next step finds its memory warm.

    glibc gives freed memory back to the system, and every step would pay for each page anew.
    Having freed a block of almost 32 MiB once, it keeps twice as much. Elsewhere this does nothing.
    """
    numpy.empty(2**25 - 2**14, dtype=numpy.uint8)
