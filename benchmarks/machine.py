"""The machine: its GPU, the versions of the libraries, and their agreement with NumPy."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy

import scratchvae as sv
from benchmarks.rows import NotHere, Rows, settings
from scratchvae.backend import asarray, device_module, gpu_module

PACKAGES = "numpy scipy torch triton jax jaxlib pytest pytest-xdist".split()
SWITCHES = "CUPY_TF32 CUPY_ACCELERATORS NVIDIA_TF32_OVERRIDE OPENBLAS_NUM_THREADS OMP_NUM_THREADS".split()
"""Variables of the environment on which the last bits, or the times, depend."""


def card() -> dict[str, Any]:
    """Returns the name, the memory and the number of processors of the GPU."""
    facts = gpu_module().cuda.runtime.getDeviceProperties(0)
    return {
        "name": facts["name"].decode(),
        "GiB": round(facts["totalGlobalMem"] / 2**30, 1),
        "multiprocessors": facts["multiProcessorCount"],
        "compute capability": f"{facts['major']}.{facts['minor']}",
    }


def driver() -> dict[str, Any]:
    """Returns the version of the driver by nvidia-smi."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        printed = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except FileNotFoundError:
        raise NotHere("nvidia-smi is not installed") from None
    return {"version": printed.split()[0]}


def cuda() -> dict[str, Any]:
    """Returns the versions of CUDA that the driver supports and that CuPy was built for, and the version of NVRTC."""
    cuda = gpu_module().cuda
    return {
        "driver": cuda.runtime.driverGetVersion(),
        "runtime": cuda.runtime.runtimeGetVersion(),
        "NVRTC": ".".join(map(str, cuda.nvrtc.getVersion())),
    }


def cublas() -> dict[str, Any]:
    """Returns the version of cuBLAS that CuPy loads."""
    cuda = gpu_module().cuda
    return {"version": cuda.cublas.getVersion(cuda.device.get_cublas_handle())}


def package(*names: str) -> dict[str, Any]:
    """Returns the version of a package, the first installed one of several that contain the same module."""
    for name in names:
        with suppress(PackageNotFoundError):
            return {"version": version(name), **({} if len(names) == 1 else {"wheel": name})}
    raise NotHere("not installed")


def libraries(device: str) -> dict[str, Any]:
    """Returns the largest relative errors of reductions, a sort, distinct values and linear algebra, against float64.

    Raises ArithmeticError for an error above 1e-3, and for NaN.
    """
    xp, here, errors = device_module(device), numpy.random.default_rng(0).random((100, 784), dtype=numpy.float32), {}
    square = here[:50, :50] + 9 * numpy.eye(50, dtype=numpy.float32)
    x, there, singular = asarray(here, device), asarray(square, device), numpy.linalg.svd(square.astype(float))[1]
    pairs = {
        "sum": (x.sum(axis=-1), here.sum(axis=-1, dtype=float)),
        "sum of all": (x.sum(), here.sum(dtype=float)),
        "max": (x.max(axis=0), here.max(axis=0)),
        "argmax": (x.argmax(axis=-1), here.argmax(axis=-1)),
        "cumsum": (x.cumsum(axis=-1), here.cumsum(axis=-1, dtype=float)),
        "sort": (xp.sort(x, axis=1), numpy.sort(here, axis=1)),
        "unique": (xp.unique(x[0]), numpy.unique(here[0])),
        "svd": (xp.linalg.svd(there)[1], singular),
        "solve": (xp.linalg.solve(there, there[:, 0]), numpy.eye(50)[0]),
        "eigh": (xp.linalg.eigh(there @ there.T)[0] ** 0.5, singular[::-1]),
    }
    for name, (received, expected) in pairs.items():
        errors[name] = float(abs(sv.to_numpy(received) / numpy.maximum(expected, 1e-30) - 1)[expected != 0].max())
    if not numpy.max(list(errors.values())) < 1e-3:
        raise ArithmeticError(f"relative errors {errors}")
    return errors


def main(arguments: list[str]) -> None:
    """Prints a row for the card, the driver, CUDA, cuBLAS, Python, the environment, each package, and the libraries."""
    chosen = settings("machine", __doc__, arguments)
    rows = Rows(chosen.out)
    if chosen.device == "gpu":
        for function in (card, driver, cuda, cublas):
            rows.attempt(function.__name__, function)
    rows.attempt("Python", lambda: {"version": platform.python_version(), "cores": os.cpu_count()})
    rows.attempt("environment", lambda: {name: os.environ.get(name, "not set") for name in SWITCHES})
    rows.attempt("cupy", partial(package, "cupy-cuda13x", "cupy-cuda12x", "cupy"))
    for name in PACKAGES:
        rows.attempt(name, partial(package, name))
    rows.attempt("libraries", partial(libraries, chosen.device))  # the last: CUB's kernels take long to be compiled
    rows.finish()
