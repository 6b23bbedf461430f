"""`Capture` records a training step once, as a CUDA graph, and then launches it as a whole.

A step of training is some hundred small operations, and Python takes longer to launch one than the GPU to compute it.
A graph repeats all of them, on the same memory, by one launch. So all values that change from step to step must be in
the GPU's memory:

    with Capture(dtype) as capture:
        capture(step, number, numbers, arrays)  # calls step(words, numbers, arrays), or launches its graph

The first two steps with arrays of a shape run without a graph; they compile the kernels and fill a pool of memory that
belongs to the graph. The third is recorded and launched. Every later step of its shape launches the graph, after its
arrays have been copied to the memory that the graph reads. Steps of other shapes, such as the last minibatch of an
epoch, always run without a graph. All of them run the same code, on one stream. During a capture CuPy refuses every
operation that would wait for the GPU, so that a graph cannot contain a decision of the host that depended on the GPU's
numbers. Shapes cannot depend on them either, so that sequences are padded (`scratchvae.nn.packing.Padding`).
"""

from __future__ import annotations

import ctypes
import os
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import cache
from typing import Any

from scratchvae.backend import PRODUCTS, gpu_module, synchronize
from scratchvae.errors import InputError
from scratchvae.kernels import Kernel

WARM_UP = 2  # the number of steps of a shape before one is recorded
WORKSPACE_BYTES = 2**25  # NVIDIA's advice for cuBLAS on its largest GPUs
CHOICE = "SCRATCHVAE_CAPTURE"

Step = Callable[[Any, Sequence[Any], Sequence[Any]], None]
"""step(words, numbers, arrays) -> None. Everything else that it reads is the same at every call."""


class CaptureWarning(UserWarning):
    """Is given if the steps of a training cannot be captured as a CUDA graph, so that each operation is launched."""


def wanted(own: bool) -> bool:
    """Returns whether to capture: by SCRATCHVAE_CAPTURE, "on" or "off"; without it, True for the package's own code.

    A value that the host changes between steps, such as a counter in a user's network, would keep the value that it had
    when the graph was captured. The package's own networks have no such value. Raises InputError for another word.
    """
    choice = os.environ.get(CHOICE, "")
    if choice not in ("", "on", "off"):
        raise InputError(CHOICE, '"on" or "off", or nothing', repr(choice))
    return choice == "on" or own and choice == ""


class Plain:
    """Runs every step without a graph, on the CPU or by single launches, where no `Capture` is wanted."""

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, step: Step, number: int, numbers: Sequence[float], arrays: Sequence[Any]) -> None:
        """Runs step(None, numbers, arrays)."""
        step(None, numbers, arrays)


class Capture(Plain):
    """Runs the steps of one training on the GPU, by a graph if possible; inside `with` its stream is the current one.

    Parameters
    ----------
    dtype : dtype
        The type of the numbers that a step reads.

    Attributes
    ----------
    graph : cupy.cuda.Graph or None
        The recorded step, if there is one.
    launches : int
        The number of launches of the graph.
    """

    def __init__(self, dtype: Any) -> None:
        cupy = gpu_module()
        self.stream, self.pool = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
        self.words = cupy.zeros(2, dtype=cupy.uint32)
        self.flat, self.numbers = cupy.zeros(0, dtype=dtype), []
        self.graph, self.launches, self.failed = None, 0, False
        self._met: Counter[Any] = Counter()
        self._places: list[Any] = []
        self._shapes: Any = None

    def __enter__(self) -> Capture:
        synchronize("gpu")  # the stream does not wait for earlier launches
        with ExitStack() as stack:
            stack.enter_context(self.stream)
            stack.callback(self.stream.synchronize)  # nor do other streams wait for it
            try:
                products = Products(self.stream)
            except Exception as error:  # a missing library or a wrong version may raise anything
                self._note(error)
            else:
                stack.callback(products.close)
                stack.callback(PRODUCTS.reset, PRODUCTS.set(products))
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._exit.__exit__(*failure)

    def __call__(self, step: Step, number: int, numbers: Sequence[float], arrays: Sequence[Any]) -> None:
        """Runs step(words, numbers, arrays), all on the GPU; the words are the halves of the number, uint32 (2,)."""
        self._write(number, numbers)
        shapes = tuple((array.shape, array.dtype) for array in arrays)
        if self.graph is None and not self.failed:
            with gpu_module().cuda.using_allocator(self.pool.malloc):
                self._met[shapes] += 1
                if self._met[shapes] <= WARM_UP or not self._record(step, shapes, arrays):
                    step(self.words, self.numbers, arrays)
                    return
        elif self.graph is None or shapes != self._shapes:
            step(self.words, self.numbers, arrays)
            return
        for place, array in zip(self._places, arrays, strict=True):
            place[...] = array
        self.graph.launch(self.stream)
        self.launches += 1

    def _write(self, number: int, numbers: Sequence[float]) -> None:
        """Writes the values that change with the step into the memory that the steps read."""
        if not self.numbers:
            self.flat = gpu_module().zeros(len(numbers), dtype=self.flat.dtype)
            self.numbers = [self.flat[i : i + 1].reshape(()) for i in range(len(numbers))]
        compiled = _writing(len(numbers)).on(self.flat)
        if compiled:
            compiled(number % 2**32, number >> 32, *numbers, self.words, self.flat, size=1)
            return
        self.words[:1], self.words[1:] = number % 2**32, number >> 32
        for place, value in zip(self.numbers, numbers, strict=True):
            place[...] = value

    def _record(self, step: Step, shapes: Any, arrays: Sequence[Any]) -> bool:
        """Records the step on copies of the arrays without computing it. Returns whether that succeeded."""
        self._places, self._shapes = [array.copy() for array in arrays], shapes
        try:
            self.stream.begin_capture()
            try:
                step(self.words, self.numbers, self._places)
            except BaseException:
                with suppress(Exception):  # the refused operation may have ended the capture
                    self.stream.end_capture()
                raise
            self.graph = self.stream.end_capture()
        except Exception as error:  # the step then runs without a graph, and raises its own errors again
            self._note(error)
        return self.graph is not None

    def _note(self, error: Exception) -> None:
        """Ends the attempts to capture, and gives a warning with the reason."""
        self.failed = True
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        message = f"a step is not captured as a CUDA graph, so its operations are launched one by one: {reason}"
        warnings.warn(message, CaptureWarning, stacklevel=2)


@cache
def _writing(n: int) -> Kernel:
    """words = (low, high),   numbers[j] = value_j for j < n.   The values are arguments of one launch."""
    values = "".join(f", T value{j}" for j in range(n))
    text = "words[0] = low; words[1] = high; " + " ".join(f"numbers[{j}] = value{j};" for j in range(n))
    return Kernel("write_numbers", f"uint32 low, uint32 high{values}", "uint32 words[], T numbers[]", text)


class Products:
    """Computes x y by cuBLAS, on one stream, with a handle and a workspace of its own, so that a graph can contain it.

    CuPy refuses its own products while a stream captures. As in CuPy they are computed without TF32, unless CUPY_TF32=1
    is in the environment. Raises RuntimeError if cuBLAS reports an error.
    """

    def __init__(self, stream: Any) -> None:
        from cuda import pathfinder

        cupy, self.stream = gpu_module(), stream
        self.library = ctypes.CDLL(pathfinder.load_nvidia_dynamic_lib("cublas").abs_path)
        self.functions = {
            "f": (self.library.cublasSgemm_v2, ctypes.c_float),
            "d": (self.library.cublasDgemm_v2, ctypes.c_double),
        }
        self.handle, self.workspace = ctypes.c_void_p(), cupy.empty(WORKSPACE_BYTES, dtype=cupy.uint8)
        self._ones: dict[Any, Any] = {}
        self._call(self.library.cublasCreate_v2, ctypes.byref(self.handle))
        self._call(self.library.cublasSetStream_v2, self.handle, ctypes.c_void_p(stream.ptr))  # resets the workspace
        place, size = ctypes.c_void_p(self.workspace.data.ptr), ctypes.c_size_t(WORKSPACE_BYTES)
        self._call(self.library.cublasSetWorkspace_v2, self.handle, place, size)
        if os.environ.get("CUPY_TF32") == "1":
            self._call(self.library.cublasSetMathMode, self.handle, 3)  # CUBLAS_TF32_TENSOR_OP_MATH

    def close(self) -> None:
        """Gives the handle back."""
        self._call(self.library.cublasDestroy_v2, self.handle)

    def ones(self, n: int, dtype: Any) -> Any:
        """Returns a row of n ones, (1, n), and keeps it, since a graph reads it at every launch."""
        if (n, dtype) not in self._ones:
            self._ones[n, dtype] = gpu_module().ones((1, n), dtype=dtype)
        return self._ones[n, dtype]

    def __call__(self, x: Any, y: Any, out: Any = None) -> Any:
        """Returns x y, as `backend.product` does. Leading axes of x are rows; stacks of matrices are multiplied singly.

        All other operands are passed to CuPy, which refuses them during a capture.
        """
        cupy = gpu_module()
        if x.ndim > 2 and y.ndim == 2 and out is None and x.size:
            return self(x.reshape(-1, x.shape[-1]), y).reshape(*x.shape[:-1], y.shape[1])
        if x.ndim == y.ndim == 3 and len(x) == len(y) and out is None and x.size and y.size:
            result = cupy.empty((len(x), x.shape[1], y.shape[2]), dtype=x.dtype)
            for parts in zip(x, y, result, strict=True):
                self(*parts)
            return result
        if x.ndim >= 2 and y.ndim == 2 and out is None and x.shape[-1] == y.shape[0] and not x.size * y.size:
            return cupy.zeros((*x.shape[:-1], y.shape[1]), dtype=x.dtype)  # sums of no terms, or no entries
        matrices = x.ndim == y.ndim == 2 and x.dtype == y.dtype and x.dtype.char in self.functions
        if not matrices or not x.size or not y.size or x.shape[1] != y.shape[0] or max(x.nbytes, y.nbytes) >= 2**31:
            return cupy.matmul(x, y, out=out)
        (n, k), m = x.shape, y.shape[1]
        result = cupy.empty((n, m), dtype=x.dtype) if out is None else out
        target, turned, distance = _layout(result)
        if turned or target is not result or result.shape != (n, m) or result.dtype != x.dtype:
            out[...] = self(x, y)
            return out
        # cuBLAS stores matrices by columns: it reads x as x', so (x y)' = y' x' has the factors in reverse order
        (x, x_turned, x_distance), (y, y_turned, y_distance) = _layout(x), _layout(y)
        function, c_type = self.functions[result.dtype.char]
        one, zero = c_type(1), c_type(0)
        left, right, place = (ctypes.c_void_p(array.data.ptr) for array in (y, x, result))
        first = (self.handle, y_turned, x_turned, m, n, k, ctypes.byref(one), left, y_distance, right, x_distance)
        self._call(function, *first, ctypes.byref(zero), place, distance)
        return result

    def _call(self, function: Any, *arguments: Any) -> None:
        status = function(*arguments)
        if status:
            raise RuntimeError(f"{function.__name__}: status {status}")


def _layout(x: Any) -> tuple[Any, int, int]:
    """Returns a matrix or a copy, 0 if its rows or 1 if its columns are contiguous in memory, and their distance."""
    (down, across), (n, m), size = x.strides, x.shape, x.itemsize
    if (across == size or m == 1) and (n == 1 or down % size == 0 and down >= size * m):
        return x, 0, max(m, down // size)
    if (down == size or n == 1) and (m == 1 or across % size == 0 and across >= size * n):
        return x, 1, max(n, across // size)
    return gpu_module().ascontiguousarray(x), 0, m
