"""The texts of kernels: each the body of a loop over the entries i of its output, valid as CUDA and as C++.

CuPy compiles them for the GPU. The NumPy lines that they stand for define them; a test compiles the text as C++ and
compares.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any


@cache
def im2col(xp: ModuleType) -> Any:
    """columns[m, p, q, a, b, c] = x[m, down p + a - top, across q + b - left, c], and zero where x has no such entry.

    Called with x (M, height, width, channels), all sizes, and columns, (M, rows, places, kernel_height, kernel_width,
    channels), which it fills. top may be negative: for the rows of places from p on it is less by down p.

    The NumPy lines: `_with_margins` and `_windows` in scratchvae/ops/convolution.py.
    """
    sizes = "height width channels rows places kernel_height kernel_width down across top left".split()
    return xp.ElementwiseKernel(
        ", ".join(["raw T x", *(f"int32 {size}" for size in sizes)]),
        "T columns",
        """
        ptrdiff_t rest = i;
        const ptrdiff_t c = rest % channels;         rest /= channels;
        const ptrdiff_t b = rest % kernel_width;     rest /= kernel_width;
        const ptrdiff_t a = rest % kernel_height;    rest /= kernel_height;
        const ptrdiff_t q = rest % places;           rest /= places;
        const ptrdiff_t p = rest % rows;             rest /= rows;
        const ptrdiff_t row = down * p + a - top, column = across * q + b - left;
        const bool inside = 0 <= row && row < height && 0 <= column && column < width;
        columns = inside ? x[((rest * height + row) * width + column) * channels + c] : T(0);
        """,
        "im2col",
    )
