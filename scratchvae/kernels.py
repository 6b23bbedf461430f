"""A kernel is a short text, the body of a loop over the entries of arrays, which is valid both as CUDA and as C++.

A Kernel computes the same as the NumPy lines beside it, and replaces them where it can be compiled:

    compiled = KERNEL.on(x)
    if compiled:
        compiled(*inputs, *outputs)
    else:
        ...  # the NumPy lines

On the GPU CuPy compiles it. On the CPU the NumPy lines run, unless SCRATCHVAE_KERNELS=host is in the environment: then
the system's C++ compiler compiles it. Tests compile every text and compare it to its NumPy lines.
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
from typing import Any, NamedTuple

import numpy

from scratchvae import compiler
from scratchvae.arrays import is_array
from scratchvae.backend import array_module
from scratchvae.errors import InputError, ShapeError

C_TYPES = {
    "T": ("T", None),
    "uint8": ("unsigned char", ctypes.c_uint8),
    "int32": ("int", ctypes.c_int32),
    "uint32": ("unsigned", ctypes.c_uint32),
    "int64": ("long long", ctypes.c_int64),
}
FLOATS = {"f": ("float", ctypes.c_float), "d": ("double", ctypes.c_double)}


class Parameter(NamedTuple):
    """Describes one input or output of a kernel. form: "[i]", "[row]", "[]", or nothing for a number"""

    type: str
    name: str
    form: str
    is_output: bool


@dataclass(frozen=True)
class Kernel:
    """for i in range(size): text

    Parameters
    ----------
    name : str
        The name of the compiled function.
    inputs, outputs : str
        Declarations, separated by commas. "T x[i]" is an array whose entry i is x in the text; "T x[row]" is an array
        with an entry for each row of the others, of shape (..., 1) on a GPU, where all these broadcast; "T x[]" is an
        array from which the text reads entries of its choice, such as x[i + 1]; "int32 n" is a number. T is the type of
        the outputs, float or double; the other types are uint8, int32, uint32 and int64. An output may be read before
        it is written.
    text : str
        The body of the loop, in the language that CUDA and C++ have in common. T(1) is 1 as a number of type T.
    preamble : str
        Functions that the text calls, each declared `__device__`.

    Attributes
    ----------
    name, inputs, outputs, text, preamble
        The parameters of these names.

    See Also
    --------
    scratchvae.ops : operations that use kernels.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.kernels import Kernel
    >>> kernel = Kernel("doubled", "T x[i]", "T y[i]", "y = x + x;")
    >>> [parameter.name for parameter in kernel.parameters() if parameter.is_output]
    ['y']
    >>> kernel.on_gpu(numpy.ones(3)) is None  # NumPy computes on the CPU
    True
    """

    name: str
    inputs: str
    outputs: str
    text: str
    preamble: str = ""

    def on(self, x: Any, *others: Any) -> Callable[..., Any] | None:
        """Returns the kernel, compiled for the device of the array x, or None if the NumPy lines should run.

        They run if x has another type than T, or if one of the other arrays, which may be None, has another type than
        x. The compiled kernel is called with the inputs and the outputs, which it fills, and with size= if no array
        has an entry for each i.
        """
        xp = array_module(x)
        if x.dtype.char not in FLOATS or any(other is not None and other.dtype != x.dtype for other in others):
            return None
        if xp is not numpy:
            return for_gpu(self, xp)
        return for_host(self, x.dtype.char) if on_host() else None

    def on_gpu(self, x: Any, *others: Any) -> Callable[..., Any] | None:
        """Returns the same as `on`, but None on the CPU, where the NumPy lines are as fast."""
        return None if array_module(x) is numpy else self.on(x, *others)

    def computed(self, *inputs: Any) -> list[Any] | None:
        """Returns the outputs, in the shape to which the inputs broadcast, or None where the NumPy lines should run.

        They run on the CPU, for Tensors, and where `on` says so. The inputs are arrays and Python's numbers.
        """
        arrays = [x for x in inputs if not isinstance(x, (int, float))]
        compiled = self.on_gpu(*arrays) if arrays and all(is_array(x) for x in arrays) else None
        if not compiled:
            return None
        xp, shape = array_module(arrays[0]), numpy.broadcast_shapes(*(x.shape for x in arrays))
        outputs = [xp.empty(shape, dtype=arrays[0].dtype) for _ in self.outputs.split(",")]
        compiled(*inputs, *outputs)
        return outputs

    def parameters(self) -> list[Parameter]:
        """Returns the descriptions of the inputs, followed by those of the outputs."""
        declaration = re.compile(r"(\w+) (\w+)(\[(?:i|row)?\])?")
        parts = [part.strip() for part in f"{self.inputs}, {self.outputs}".split(",")]
        matches = [declaration.fullmatch(part) for part in parts]
        return [
            Parameter(match[1], match[2], match[3] or "", j > self.inputs.count(",")) for j, match in enumerate(matches)
        ]


@cache
def for_gpu(kernel: Kernel, xp: ModuleType) -> Callable[..., Any] | None:
    """Returns the kernel, which CuPy compiles at its first call, or None for a module that has no compiler."""
    if not hasattr(xp, "ElementwiseKernel"):
        return None
    inputs, outputs = (
        ", ".join(
            f"{'raw ' if p.form == '[]' else ''}{p.type} {p.name}" for p in kernel.parameters() if p.is_output == side
        )
        for side in (False, True)
    )
    return xp.ElementwiseKernel(inputs, outputs, kernel.text, kernel.name, preamble=kernel.preamble)


# ---- on the CPU

_failed = False


def on_host() -> bool:
    """Tells whether SCRATCHVAE_KERNELS asks for kernels on the CPU. Raises InputError for an unknown word."""
    choice = os.environ.get("SCRATCHVAE_KERNELS", "")
    if choice not in ("", "host"):
        raise InputError("SCRATCHVAE_KERNELS", '"host", or nothing for NumPy alone', repr(choice))
    return choice == "host" and not _failed


@cache
def for_host(kernel: Kernel, character: str) -> Callable[..., None] | None:
    """Returns the kernel as a function of NumPy arrays, or None, with a warning once, if it cannot be compiled.

    character: the letter of the type T in NumPy, "f" or "d"
    """
    global _failed
    try:
        function = getattr(compiler.library(host_text(kernel, character)), kernel.name)
    except (OSError, RuntimeError, ImportError) as error:
        _failed = True
        warnings.warn(f"SCRATCHVAE_KERNELS=host has no effect, so NumPy computes: {error}", stacklevel=3)
        return None
    numbers = {name: c_type for name, (_, c_type) in C_TYPES.items()} | {"T": FLOATS[character][1]}
    parameters = kernel.parameters()

    def compiled(*values: Any, size: int | None = None) -> None:
        size = values[-1].size if size is None else size
        rows, arguments = 1, []
        for value, p in zip(values, parameters, strict=True):
            if not p.form:
                arguments.append(numbers[p.type](value))
                continue
            dtype = character if p.type == "T" else p.type
            if value.dtype != dtype or not value.flags.c_contiguous or p.form == "[i]" and value.size != size:
                expected = f"{size} contiguous entries of {numpy.dtype(dtype)} as {p.name}"
                raise ShapeError(kernel.name, expected, f"shape {value.shape}, {value.dtype}")
            if p.form == "[row]":
                rows = value.size
            arguments.append(ctypes.c_void_p(value.ctypes.data))
        if size % max(rows, 1):
            raise ShapeError(kernel.name, f"a size divisible by {rows} rows", str(size))
        function(*arguments, ctypes.c_ssize_t(rows), ctypes.c_ssize_t(size // max(rows, 1)))

    return compiled


def host_text(kernel: Kernel, character: str) -> str:
    """Returns the kernel in C++, as a function of pointers, numbers, rows and columns; its two loops need no division.

    character: the letter of the type T, as in `for_host`
    """
    parameters = [
        f"{'' if p.is_output else 'const '}{C_TYPES[p.type][0]}{'* __restrict' if p.form else ''} "
        f"{'all_' if p.form in ('[i]', '[row]') else ''}{p.name}"
        for p in kernel.parameters()
    ]
    of_row, of_entry = (
        " ".join(
            f"{'' if p.is_output else 'const '}{C_TYPES[p.type][0]}& {p.name} = all_{p.name}{form};"
            for p in kernel.parameters()
            if p.form == form
        )
        for form in ("[row]", "[i]")
    )
    return f"""
        #include <cmath>
        #include <cstddef>
        #define __device__ static inline
        using namespace std;
        typedef {FLOATS[character][0]} T;
        {kernel.preamble}
        extern "C" void {kernel.name}({", ".join(parameters)}, ptrdiff_t rows, ptrdiff_t columns) {{
            for (ptrdiff_t row = 0; row < rows; ++row) {{
                {of_row}
                for (ptrdiff_t i = row * columns; i < (row + 1) * columns; ++i) {{
                    {of_entry}
                    {kernel.text}
                }}
            }}
        }}
    """
