"""Kernels: short texts, each the body of a loop over the entries of arrays, valid as CUDA and as C++.

A Kernel stands beside the NumPy lines that define it, and replaces them where it can be compiled:

    compiled = KERNEL.on(x)
    if compiled:
        compiled(*inputs, *outputs)
    else:
        ...  # the NumPy lines

On the GPU CuPy compiles it. On the CPU the NumPy lines run, unless SCRATCHVAE_KERNELS=host is in the environment: then
the system's C++ compiler does it. Tests compile every text and hold it to its NumPy lines.
"""

from __future__ import annotations

import ctypes
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy

from scratchvae import compiler
from scratchvae.backend import array_module
from scratchvae.errors import InputError, ShapeError

C_TYPES = {"T": ("T", None), "int32": ("int", ctypes.c_int32), "uint32": ("unsigned", ctypes.c_uint32)}
FLOATS = {"f": ("float", ctypes.c_float), "d": ("double", ctypes.c_double)}


@dataclass(frozen=True)
class Kernel:
    """for i in range(size): text

    Parameters
    ----------
    name : str
    inputs, outputs : str
        Declarations, separated by commas: "T x[i]" is an array whose entry i the text calls x; "T x[]" an array of
        which the text picks its entries, x[i + 1]; "int32 n" a number. T is the type of the outputs, float or double;
        the others are int32 and uint32. An output may be read before it is written.
    text : str
        In what CUDA and C++ share. T(1) is a one of that type.
    preamble : str
        Functions for the text, each `__device__`.
    """

    name: str
    inputs: str
    outputs: str
    text: str
    preamble: str = ""

    def on(self, x: Any) -> Callable[..., Any] | None:
        """The kernel, compiled for where the array x lies, or None where the NumPy lines are to run.

        Called with the inputs and the outputs, which it fills; and with size=, if no array has an entry for each i.
        """
        xp = array_module(x)
        if x.dtype.char not in FLOATS:
            return None
        if xp is not numpy:
            return for_gpu(self, xp)
        return for_host(self, x.dtype.char) if on_host() else None

    def parameters(self) -> list[tuple[str, str, str]]:
        """(type, name, "[i]", "[]" or "") of each input and output."""
        declaration = re.compile(r"(\w+) (\w+)(\[i?\])?")
        parts = [part.strip() for part in f"{self.inputs}, {self.outputs}".split(",")]
        return [
            (kind, name, form or "") for kind, name, form in (declaration.fullmatch(part).groups() for part in parts)
        ]


@cache
def for_gpu(kernel: Kernel, xp: ModuleType) -> Callable[..., Any] | None:
    """The kernel, as CuPy compiles it when it is first called. None for a module that compiles nothing."""
    if not hasattr(xp, "ElementwiseKernel"):
        return None
    parameters = [f"{'raw ' if form == '[]' else ''}{kind} {name}" for kind, name, form in kernel.parameters()]
    n = kernel.inputs.count(",") + 1
    return xp.ElementwiseKernel(
        ", ".join(parameters[:n]), ", ".join(parameters[n:]), kernel.text, kernel.name, preamble=kernel.preamble
    )


# ---- on the CPU

_failed = False


def on_host() -> bool:
    """Whether SCRATCHVAE_KERNELS asks for kernels on the CPU. Raises InputError for a word that it does not know."""
    choice = os.environ.get("SCRATCHVAE_KERNELS", "")
    if choice not in ("", "host"):
        raise InputError("SCRATCHVAE_KERNELS", '"host", or nothing for NumPy alone', repr(choice))
    return choice == "host" and not _failed


@cache
def for_host(kernel: Kernel, character: str) -> Callable[..., None] | None:
    """The kernel as a function of NumPy arrays. Where nothing can be compiled: None, and a note, once in a process.

    character: of the type T, "f" or "d" in NumPy's letters
    """
    global _failed
    try:
        function = getattr(compiler.library(host_text(kernel, character)), kernel.name)
    except (OSError, RuntimeError, ImportError) as error:
        _failed = True
        warnings.warn(f"SCRATCHVAE_KERNELS=host compiles nothing, so NumPy computes: {error}", stacklevel=3)
        return None
    numbers = {name: c_type for name, (_, c_type) in C_TYPES.items()} | {"T": FLOATS[character][1]}
    parameters = kernel.parameters()

    def compiled(*values: Any, size: int | None = None) -> None:
        size = values[-1].size if size is None else size
        arguments = []
        for value, (kind, name, form) in zip(values, parameters, strict=True):
            if not form:
                arguments.append(numbers[kind](value))
                continue
            dtype = character if kind == "T" else kind
            if value.dtype != dtype or not value.flags.c_contiguous or form == "[i]" and value.size != size:
                expected = f"{size} entries of {numpy.dtype(dtype)} as {name}, one after the other"
                raise ShapeError(kernel.name, expected, f"shape {value.shape}, {value.dtype}")
            arguments.append(ctypes.c_void_p(value.ctypes.data))
        function(*arguments, ctypes.c_ssize_t(size))

    return compiled


def host_text(kernel: Kernel, character: str) -> str:
    """The kernel in C++, as a function of pointers, numbers and the size. character: of the type T, as in `for_host`"""
    parameters, entries = [], []
    outputs = kernel.inputs.count(",") + 1
    for j, (kind, name, form) in enumerate(kernel.parameters()):
        constant, kind = "" if j >= outputs else "const ", C_TYPES[kind][0]
        parameters.append(f"{constant}{kind}* __restrict {name}{'_' * len(form[1:-1])}" if form else f"{kind} {name}")
        if form == "[i]":
            entries.append(f"{constant}{kind}& {name} = {name}_[i];")
    return f"""
        #include <cmath>
        #include <cstddef>
        #define __device__ static inline
        using namespace std;
        typedef {FLOATS[character][0]} T;
        {kernel.preamble}
        extern "C" void {kernel.name}({", ".join(parameters)}, ptrdiff_t size) {{
            for (ptrdiff_t i = 0; i < size; ++i) {{
                {" ".join(entries)}
                {kernel.text}
            }}
        }}
    """
