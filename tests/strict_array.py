"""A stand-in for CuPy on machines without a GPU: it computes with NumPy and refuses whatever CuPy would refuse.

Under the name `cupy` in sys.modules (the fixture `strict_gpu`) it serves device="gpu". Its arrays
- are never turned into NumPy arrays silently: `.get()` brings one home, `asarray(array)` sends one there;
- mix with each other and with numbers, never with NumPy arrays, neither in operators and functions nor as an index;
- stay arrays under reductions: a sum is a 0-d array, which `+=` changes in place;
- have the methods, and the module the functions, that CuPy 14 has, and no others;
- hold numbers alone of the types that a GPU has, neither strings nor objects nor longdouble;
- are no index of Python's, `list[array]` or `range(array)`, and entries are assigned arrays and numbers, no lists;
- hold NaN, or the largest integer, where memory is fresh.
Inside `capturing()` whatever would wait for the GPU, or copy from or to it, is refused too, as while a stream captures.
Kernels are compiled as C++ where there is a compiler; without one there are none, and the NumPy lines run.
CuPy's own messages and rules are kept where they are known; where CuPy accepts a NumPy array now and then (as an index,
or in `x[...] = array`), this refuses it always.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import math
import operator
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy
import scipy.special

ABSENT_FUNCTIONS = frozenset(
    "asmatrix block bmat busday_count busday_offset datetime_as_string datetime_data einsum_path errstate frompyfunc "
    "fromregex geomspace get_include getbufsize geterr geterrcall histogram_bin_edges info insert is_busday isnat "
    "matvec nanpercentile nanquantile ndenumerate nditer nested_iters polyder polydiv polyint setbufsize seterr "
    "seterrcall spacing unstack vecdot vecmat longdouble clongdouble object_ str_ bytes_ void matrix memmap recarray "
    "record datetime64 timedelta64".split()
)
ABSENT_METHODS = frozenset("ctypes getfield resize setfield setflags to_device".split())
ATTRIBUTES = frozenset(name for name in dir(numpy.ndarray) if not name.startswith("_")) - ABSENT_METHODS
CONVERSIONS = frozenset("array asarray asanyarray ascontiguousarray".split())  # where a NumPy array may enter
CUBLAS = frozenset("matmul dot tensordot vdot inner einsum".split())
TYPES = "?bBhHiIlLqQefdFD"
NUMBERS = (bool, int, float, complex, numpy.generic)


class StrictArray:
    """What CuPy's ndarray is: an array of another library, whose entries lie out of NumPy's reach."""

    __array_priority__ = 100
    __hash__ = None

    def __init__(self, values: numpy.ndarray) -> None:
        self._values = values

    def get(self) -> numpy.ndarray:
        """The entries as a NumPy array that shares nothing with this one."""
        _wait()
        return self._values.copy()

    def __array__(self, *_, **__):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        """A NumPy scalar beside an operator counts as a number; NumPy's functions and arrays are refused."""
        if method != "__call__" or not any(isinstance(x, numpy.generic) for x in inputs):
            return self.__array_function__(ufunc)
        return _on_device(ufunc)(*inputs, **options)

    def __array_function__(self, function, *_):
        raise TypeError(f"numpy.{function.__name__} met an array of the GPU: use the functions of array_module(x)")

    @property
    def data(self):
        """A pointer to memory of the GPU, which is no array."""
        return SimpleNamespace(ptr=self._values.ctypes.data)

    shape, dtype, ndim, size = (property(operator.attrgetter(f"_values.{x}")) for x in "shape dtype ndim size".split())

    def __getattr__(self, name):
        if name not in ATTRIBUTES:
            raise AttributeError(f"a CuPy array has no attribute {name!r}")
        attribute = getattr(self._values, name)
        return _on_device(attribute) if callable(attribute) else _wrap(attribute)

    def __getitem__(self, index):
        index = _index(index)
        return StrictArray(_recorded(lambda: numpy.asarray(self._values[index])))

    def __setitem__(self, index, value):
        index, value = _index(index), _operand(value)
        _recorded(lambda: operator.setitem(self._values, index, value))

    def __len__(self):
        return len(self._values)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        _wait()
        return bool(self._values)

    def __int__(self):
        _wait()
        return int(self._values)

    def __float__(self):
        _wait()
        return float(self._values)

    def __repr__(self):
        return repr(self._values)

    def __neg__(self):
        return StrictArray(_recorded(lambda: numpy.asarray(-self._values)))

    def __abs__(self):
        return StrictArray(_recorded(lambda: numpy.asarray(abs(self._values))))

    def __invert__(self):
        return StrictArray(_recorded(lambda: numpy.asarray(~self._values)))


def _bind_operators() -> None:
    def give_way(y):
        """Whether Python should ask y's reflected operator: NEP 13, or else the older priority."""
        if hasattr(y, "__array_ufunc__"):
            return y.__array_ufunc__ is None
        return getattr(y, "__array_priority__", 0) > StrictArray.__array_priority__

    def binary(function):
        def method(x, y):
            if give_way(y):
                return NotImplemented
            if _captures and function is operator.matmul:
                raise NotImplementedError("@ is not supported while a stream captures")
            y = _operand(y)
            return StrictArray(_recorded(lambda: numpy.asarray(function(x._values, y))))

        return method

    def reflected(function):
        def method(y, x):
            x = _operand(x)
            return StrictArray(_recorded(lambda: numpy.asarray(function(x, y._values))))

        return method

    def in_place(function):
        def method(x, y):
            y = _operand(y)
            _recorded(lambda: function(x._values, y))
            return x

        return method

    for name in "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split():
        python_name = name + "_" if name in ("and", "or") else name
        setattr(StrictArray, f"__{name}__", binary(getattr(operator, python_name)))
        setattr(StrictArray, f"__r{name}__", reflected(getattr(operator, python_name)))
        setattr(StrictArray, f"__i{name}__", in_place(getattr(operator, "i" + name)))
    for name in "lt le gt ge eq ne".split():
        setattr(StrictArray, f"__{name}__", binary(getattr(operator, name)))


_bind_operators()


_captures = False
_graph = None  # what a stream records


def _recorded(compute):
    """compute(), an array or nothing; a graph that is being captured computes it again, into the same array."""
    result = compute()
    if _graph is not None:
        _graph.nodes.append((compute, result))
    return result


@contextlib.contextmanager
def capturing():
    """Inside, what CuPy refuses while a stream captures is refused: what waits, copies from or to the host, cuBLAS."""
    global _captures
    _captures = True
    try:
        yield
    finally:
        _captures = False


class Graph:
    """What a stream has captured. Capturing computes it for the first time, so the first launch does nothing."""

    def __init__(self) -> None:
        self.nodes, self.launched = [], False

    def launch(self, stream=None) -> None:
        for compute, result in self.nodes if self.launched else ():
            again = compute()
            if isinstance(result, numpy.ndarray) and result.flags.writeable:  # the others are views
                numpy.copyto(result, again)
        self.launched = True


class Stream:
    """A stream, which captures by `capturing` and keeps what was computed meanwhile."""

    def __init__(self, non_blocking=False) -> None:
        self.capture = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        pass

    def synchronize(self) -> None:
        _wait()

    def is_capturing(self) -> bool:
        return _graph is not None

    def begin_capture(self) -> None:
        global _graph
        self.capture.enter_context(capturing())
        _graph = Graph()

    def end_capture(self) -> Graph:
        global _graph
        self.capture.close()
        graph, _graph = _graph, None
        return graph


class Products:
    """In place of `scratchvae.capture.Products`, which gives addresses to cuBLAS: products that a capture takes."""

    def __init__(self, stream) -> None:
        self.stream = stream

    def close(self) -> None:
        pass

    def ones(self, n, dtype):
        return StrictArray(numpy.ones((1, n), dtype))

    def __call__(self, x, y, out=None):
        if out is None:
            return StrictArray(_recorded(lambda: numpy.matmul(x._values, y._values)))
        _recorded(lambda: numpy.matmul(x._values, y._values, out=out._values))
        return out


def _wait() -> None:
    if _captures:
        raise RuntimeError("the current stream is capturing, so synchronous API calls are disallowed")


def _unwrap(x):
    """The NumPy values inside; arrays of any other library are refused, in tuples and lists too."""
    if isinstance(x, StrictArray):
        return x._values
    if x is None or isinstance(x, (int, float, slice)):
        return x
    if isinstance(x, (tuple, list)):
        return type(x)(map(_unwrap, x))
    if hasattr(x, "__array__") and not isinstance(x, (type, numpy.generic)):
        raise TypeError(f"Unsupported type {type(x)}")
    return x


def _operand(x):
    """The other side of an operator: an array of this module or a number."""
    if isinstance(x, StrictArray):
        return x._values
    if not isinstance(x, NUMBERS):
        raise TypeError(f"Unsupported type {type(x)}")
    return x


def _index(index):
    parts = index if isinstance(index, tuple) else (index,)
    for part in parts:
        if not (part is None or part is ... or isinstance(part, (StrictArray, int, slice, numpy.integer))):
            raise IndexError(f"an array of the GPU is indexed by its like, integers and slices, not {type(part)}")
        if isinstance(part, StrictArray) and part.dtype.kind == "b":
            _wait()  # until the host knows how many entries the mask picks
    return _unwrap(index) if isinstance(index, tuple) else _unwrap((index,))


def _wrap(result):
    if isinstance(result, (numpy.ndarray, numpy.generic)):
        result = numpy.asarray(result)
        if result.dtype.char not in TYPES:
            raise ValueError(f"Unsupported dtype {result.dtype}")
        return StrictArray(result)
    if isinstance(result, list):
        return [_wrap(part) for part in result]
    return result


class _on_device:
    """A function of NumPy that takes and gives StrictArrays."""

    def __init__(self, function) -> None:
        self.function, self.name = function, function.__name__
        self.unwrap = _operand if isinstance(function, numpy.ufunc) else _unwrap

    def __call__(self, *arguments, **options):
        name = self.name
        if "where" in options or "initial" in options:
            raise TypeError(f"{name}() of CuPy takes neither where= nor initial=")
        if name == "where" and not isinstance(arguments[0], StrictArray):
            raise AttributeError(f"{type(arguments[0]).__name__!r} object has no attribute 'astype'")
        if _captures and (name in CUBLAS or name == "concatenate" and len(arguments[0]) > 8):
            raise NotImplementedError(f"{name} is not supported while a stream captures")
        if name in ("item", "tolist", "tobytes", "nonzero", "flatnonzero", "unique"):
            _wait()
        values, named = [*map(self.unwrap, arguments)], {key: _unwrap(value) for key, value in options.items()}

        def compute():
            result = self.function(*values, **named)
            return numpy.asarray(result) if isinstance(result, numpy.generic) else result

        result = _recorded(compute)
        if name in ("item", "tolist", "tobytes"):
            return result
        if isinstance(result, tuple):
            return tuple(map(_wrap, result))
        return options["out"] if options.get("out") is not None else _wrap(result)

    def at(self, x, index, y) -> None:
        """x[index] += y and the like, repeated indices counting as often as they appear."""
        if x.dtype.kind == "b":
            raise TypeError(f"{self.name}.at of CuPy takes no truth values")
        index, y = _index(index), _unwrap(y)
        _recorded(lambda: self.function.at(x._values, index, y))


def _conversion(function):
    def convert(x, *arguments, **options):
        if not isinstance(x, StrictArray):
            _wait()
        x = StrictArray(x.copy()) if isinstance(x, numpy.ndarray) else x
        source = _unwrap(x)
        values = _recorded(lambda: function(source, *arguments, **options))
        if values.dtype.char not in TYPES:
            raise ValueError(f"Unsupported dtype {values.dtype}")
        return x if isinstance(x, StrictArray) and values is x._values else StrictArray(values)

    return convert


class _Kernel:
    """What CuPy's ElementwiseKernel is: the same text, compiled as C++ by the system's compiler."""

    def __init__(self, inputs: str, outputs: str, operation: str, name: str, preamble: str = "") -> None:
        self.inputs, self.outputs = (
            tuple(tuple(parameter.rsplit(" ", 1)) for parameter in part.split(", ")) for part in (inputs, outputs)
        )
        self.operation, self.name, self.preamble = operation, name, preamble

    def __call__(self, *arguments, size=None):
        parameters, out = self.inputs + self.outputs, _unwrap(arguments[-1])
        entries = [_is_entry(x, kind) for x, (kind, _) in zip(arguments, parameters, strict=True)]
        shape = numpy.broadcast_shapes(*(x.shape for x, is_entry in zip(arguments, entries, strict=True) if is_entry))
        assert any(entries) == (size is None), "size= where, and only where, all arrays are raw"
        values, forms = [], []
        for (kind, _), value, is_entry in zip(parameters, arguments, entries, strict=True):
            dtype = out.dtype if kind.endswith("T") else numpy.dtype(kind.removeprefix("raw "))
            if isinstance(value, StrictArray):
                assert value.dtype == dtype
                values.append(value._values)
                forms.append("entry" if is_entry else "raw")
                if len(values) > len(self.inputs):
                    assert values[-1].flags.c_contiguous
                    if is_entry and value.shape != shape:
                        raise ValueError("Out shape is mismatched")
                elif is_entry and value.shape != shape:
                    values[-1] = numpy.broadcast_to(values[-1], shape)
            else:
                assert isinstance(value, float if kind == "T" else int) and not isinstance(value, bool)
                values.append(dtype.type(value))
                forms.append("number")
        function = _compiled(self, tuple(forms), "f" if out.dtype == numpy.float32 else "d")

        def compute() -> None:  # CuPy counts through the entries in order, whatever the strides
            ordered = [
                x if form == "number" else numpy.ascontiguousarray(x) for x, form in zip(values, forms, strict=True)
            ]
            function(
                *(
                    ctypes.c_void_p(x.ctypes.data) if form != "number" else numpy.ctypeslib.as_ctypes_type(x.dtype)(x)
                    for x, form in zip(ordered, forms, strict=True)
                ),
                ctypes.c_ssize_t(math.prod(shape) if size is None else size),
            )

        _recorded(compute)
        return arguments[-1]


def _is_entry(x, kind):
    return isinstance(x, StrictArray) and not kind.startswith("raw ")


@functools.cache
def _compiled(kernel, forms, character):
    parameters, entries = [], []
    for j, ((kind, name), form) in enumerate(zip(kernel.inputs + kernel.outputs, forms, strict=True)):
        kind = ("const " if j < len(kernel.inputs) else "") + kind.removeprefix("raw ")
        parameters.append(f"{kind}{'' if form == 'number' else '*'} {'entries_of_' if form == 'entry' else ''}{name}")
        if form == "entry":
            entries.append(f"{kind}& {name} = entries_of_{name}[i];")
    text = """
        #include <cmath>
        #include <cstddef>
        #include <cstdint>
        using namespace std;
        #define __device__ static inline
        typedef uint8_t uint8; typedef int32_t int32; typedef uint32_t uint32; typedef int64_t int64;
    """
    for name, real in {"f": "float", "d": "double"}.items():  # both at once: most of the time goes to <cmath>
        text += f"""
            namespace {name} {{
                typedef {real} T;
                {kernel.preamble}
                extern "C" void {kernel.name}_{name}({", ".join(parameters)}, ptrdiff_t size) {{
                    for (ptrdiff_t i = 0; i < size; ++i) {{ {" ".join(entries)} {kernel.operation} }}
                }}
            }}
        """
    library = libraries / f"{hashlib.sha256(text.encode()).hexdigest()}.so"
    if not library.exists():
        made = library.with_suffix(f".{os.getpid()}")
        flags = ["-std=c++11", "-O1", "-Wall", "-Werror", "-shared", "-fPIC"]  # <cmath> of C++17 takes twice the time
        command = [COMPILER, "-x", "c++", *flags, "-o", made, "-"]
        subprocess.run(command, input=text, text=True, check=True)
        os.replace(made, library)  # at once, since another process may look for it now
    return getattr(ctypes.CDLL(str(library)), f"{kernel.name}_{character}")


_folder = tempfile.TemporaryDirectory()
libraries = Path(_folder.name)
"""Where compiled kernels lie; processes that share the folder compile each once."""

COMPILER = shutil.which("c++")
if COMPILER:
    ElementwiseKernel = _Kernel

__version__ = "14.2.0"
ndarray = StrictArray
cuda = SimpleNamespace(
    runtime=SimpleNamespace(
        getDeviceCount=lambda: 1,
        getDevice=lambda: 0,
        getDeviceProperties=lambda number: {"name": b"no card"},
        runtimeGetVersion=lambda: 13000,
    ),
    get_current_stream=lambda: SimpleNamespace(synchronize=_wait),
    Device=lambda: SimpleNamespace(mem_info=(2**30, 2**30)),
    Stream=Stream,
    MemoryPool=lambda: SimpleNamespace(malloc=None),
    using_allocator=contextlib.nullcontext,
)


linalg = SimpleNamespace(
    **{
        name: _on_device(getattr(numpy.linalg, name))
        for name in "cholesky eigh inv lstsq norm qr slogdet solve svd".split()
    }
)

special = SimpleNamespace(
    **{
        name: _on_device(getattr(scipy.special, name))
        for name in ("betainc", "betaincinv", "gammaincc", "gammaln", "ndtri")
    }
)
"""What of cupyx.scipy.special the package asks for."""

lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=_on_device(numpy.lib.stride_tricks.as_strided)))


def shares_memory(x, y):
    """As NumPy's, but true of any two arrays without axes: CuPy asks a kernel, which there sees copies of them."""
    return x.ndim == y.ndim == 0 or numpy.shares_memory(_unwrap(x), _unwrap(y))


def _fresh(function):
    """empty and empty_like, which leave what the memory holds: here what shows wherever it is read."""

    def allocate(*arguments, **options):
        named = {key: _unwrap(value) for key, value in options.items()}
        array = _wrap(function(*map(_unwrap, arguments), **named))
        kind, dtype = array.dtype.kind, array.dtype
        array._values.fill(numpy.nan if kind in "fc" else kind == "b" or numpy.iinfo(dtype).max)
        return array

    return allocate


@functools.cache
def __getattr__(name):
    attribute = None if name.startswith("_") or name in ABSENT_FUNCTIONS else getattr(numpy, name, None)
    if attribute is None and name != "newaxis" or isinstance(attribute, ModuleType):
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")
    if name in CONVERSIONS:
        return _conversion(attribute)
    if name in ("empty", "empty_like"):
        return _fresh(attribute)
    return attribute if isinstance(attribute, type) or not callable(attribute) else _on_device(attribute)
