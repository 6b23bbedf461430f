"""A stand-in for CuPy on machines without a GPU: it computes with NumPy and refuses whatever CuPy would refuse.

Under the name `cupy` in sys.modules (the fixture `strict_gpu`) it serves device="gpu". Its arrays
- are never turned into NumPy arrays silently: `.get()` brings one home, `asarray(array)` sends one there;
- mix with each other and with numbers, never with NumPy arrays, neither in operators and functions nor as an index;
- stay arrays under reductions: a sum is a 0-d array, which `+=` changes in place;
- have the methods, and the module the functions, that CuPy 14 has, and no others;
- hold numbers alone, neither strings nor objects.
Kernels are compiled as C++ where there is a compiler; without one there are none, and the NumPy lines run.
CuPy's own messages and rules are kept where they are known; where CuPy accepts a NumPy array now and then (as an index,
or in `x[...] = array`), this refuses it always.
"""

from __future__ import annotations

import ctypes
import functools
import operator
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
CONVERSIONS = frozenset("array asarray asanyarray ascontiguousarray".split())  # where a NumPy array may enter
NUMBERS = (bool, int, float, complex, numpy.generic)


class StrictArray:
    """What CuPy's ndarray is: an array of another library, whose entries lie out of NumPy's reach."""

    __array_priority__ = 100
    __hash__ = None

    def __init__(self, values: numpy.ndarray) -> None:
        self._values = values

    def get(self) -> numpy.ndarray:
        """The entries as a NumPy array that shares nothing with this one."""
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

    def __getattr__(self, name):
        if name.startswith("_") or name in ABSENT_METHODS or not hasattr(numpy.ndarray, name):
            raise AttributeError(f"a CuPy array has no attribute {name!r}")
        attribute = getattr(self._values, name)
        return _on_device(attribute) if callable(attribute) else _wrap(attribute)

    def __getitem__(self, index):
        return StrictArray(numpy.asarray(self._values[_index(index)]))

    def __setitem__(self, index, value):
        self._values[_index(index)] = _unwrap(value)

    def __len__(self):
        return len(self._values)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        return bool(self._values)

    def __int__(self):
        return int(self._values)

    def __float__(self):
        return float(self._values)

    def __index__(self):
        return operator.index(self._values)

    def __repr__(self):
        return repr(self._values)

    def __neg__(self):
        return StrictArray(numpy.asarray(-self._values))

    def __abs__(self):
        return StrictArray(numpy.asarray(abs(self._values)))

    def __invert__(self):
        return StrictArray(numpy.asarray(~self._values))


def _bind_operators() -> None:
    def give_way(y):
        """Whether Python should ask y's reflected operator: NEP 13, or else the older priority."""
        if hasattr(y, "__array_ufunc__"):
            return y.__array_ufunc__ is None
        return getattr(y, "__array_priority__", 0) > StrictArray.__array_priority__

    def binary(function):
        def method(x, y):
            return NotImplemented if give_way(y) else StrictArray(numpy.asarray(function(x._values, _operand(y))))

        return method

    def reflected(function):
        return lambda y, x: StrictArray(numpy.asarray(function(_operand(x), y._values)))

    def in_place(function):
        def method(x, y):
            x._values = function(x._values, _operand(y))
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


def _unwrap(x):
    """The NumPy values inside; arrays of any other library are refused, in tuples and lists too."""
    if isinstance(x, StrictArray):
        return x._values
    if isinstance(x, (tuple, list)):
        return type(x)(map(_unwrap, x))
    if hasattr(x, "__array__") and not isinstance(x, (type, numpy.generic)):
        raise TypeError(f"Unsupported type {type(x)}")
    return x


def _operand(x):
    """The other side of an operator: an array of this module or a number."""
    if not isinstance(x, (StrictArray, *NUMBERS)):
        raise TypeError(f"Unsupported type {type(x)}")
    return _unwrap(x)


def _index(index):
    parts = index if isinstance(index, tuple) else (index,)
    for part in parts:
        if not (part is None or part is ... or isinstance(part, (StrictArray, int, slice, numpy.integer))):
            raise IndexError(f"an array of the GPU is indexed by its like, integers and slices, not {type(part)}")
    return _unwrap(index) if isinstance(index, tuple) else _unwrap((index,))


def _wrap(result):
    if isinstance(result, (numpy.ndarray, numpy.generic)):
        return StrictArray(numpy.asarray(result))
    if isinstance(result, list):
        return [_wrap(part) for part in result]
    return result


class _on_device:
    """A function of NumPy that takes and gives StrictArrays."""

    def __init__(self, function) -> None:
        self.function = function

    def __call__(self, *arguments, **options):
        unwrap = _operand if isinstance(self.function, numpy.ufunc) else _unwrap
        result = self.function(*map(unwrap, arguments), **{name: _unwrap(value) for name, value in options.items()})
        if self.function.__name__ in ("item", "tolist", "tobytes"):
            return result
        if isinstance(result, tuple):
            return tuple(map(_wrap, result))
        return options["out"] if options.get("out") is not None else _wrap(result)

    def at(self, x, index, y) -> None:
        """x[index] += y and the like, repeated indices counting as often as they appear."""
        self.function.at(x._values, _index(index), _unwrap(y))


def _conversion(function):
    def convert(x, *arguments, **options):
        x = StrictArray(x.copy()) if isinstance(x, numpy.ndarray) else x
        values = function(_unwrap(x), *arguments, **options)
        if values.dtype.kind not in "biufc":
            raise ValueError(f"Unsupported dtype {values.dtype}")
        return x if isinstance(x, StrictArray) and values is x._values else StrictArray(values)

    return convert


class _Kernel:
    """What CuPy's ElementwiseKernel is, for one output: the same text, compiled as C++ by the system's compiler."""

    def __init__(self, inputs: str, output: str, operation: str, name: str) -> None:
        self.inputs = [parameter.rsplit(" ", 1) for parameter in inputs.split(", ")]
        self.output = output.rsplit(" ", 1)
        self.operation, self.name = operation, name

    def __call__(self, *arguments):
        *inputs, output = arguments
        out = _unwrap(output)
        assert out.flags.c_contiguous and out.dtype.char in "fd" and len(inputs) == len(self.inputs)
        values = []
        for (kind, _), value in zip(self.inputs, inputs, strict=True):
            if kind == "raw T":  # CuPy counts through the entries in order, whatever the strides
                assert isinstance(value, StrictArray) and value.dtype == out.dtype
                values.append(numpy.ascontiguousarray(value._values))
            else:
                assert kind == "int32" and isinstance(value, int) and not isinstance(value, bool)
                values.append(value)
        _compiled(self.name, tuple(map(tuple, self.inputs)), self.output[1], self.operation, out.dtype.char)(
            *(x.ctypes.data_as(ctypes.c_void_p) if isinstance(x, numpy.ndarray) else ctypes.c_int32(x) for x in values),
            out.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_ssize_t(out.size),
        )
        return output


@functools.cache
def _compiled(name, inputs, output, operation, character):
    parameters = ", ".join("const T* " + n if kind == "raw T" else f"int {n}" for kind, n in inputs)
    text = f"""
        #include <cstddef>
        typedef {"float" if character == "f" else "double"} T;
        extern "C" void {name}({parameters}, T* out, ptrdiff_t size) {{
            for (ptrdiff_t i = 0; i < size; ++i) {{ T& {output} = out[i]; {operation} }}
        }}
    """
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / f"{name}.so"
        command = [COMPILER, "-x", "c++", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, "-"]
        subprocess.run(command, input=text, text=True, check=True)
        return getattr(ctypes.CDLL(str(library)), name)


COMPILER = shutil.which("c++")
if COMPILER:
    ElementwiseKernel = _Kernel

ndarray = StrictArray
cuda = SimpleNamespace(
    runtime=SimpleNamespace(getDeviceCount=lambda: 1),
    get_current_stream=lambda: SimpleNamespace(synchronize=lambda: None),
)


linalg = SimpleNamespace(
    **{
        name: _on_device(getattr(numpy.linalg, name))
        for name in "cholesky eigh inv lstsq norm qr slogdet solve svd".split()
    }
)

special = SimpleNamespace(
    **{name: _on_device(getattr(scipy.special, name)) for name in ("betainc", "betaincinv", "gammaincc", "gammaln")}
)
"""What of cupyx.scipy.special the package asks for."""

lib = SimpleNamespace(stride_tricks=SimpleNamespace(as_strided=_on_device(numpy.lib.stride_tricks.as_strided)))


def __getattr__(name):
    attribute = None if name.startswith("_") or name in ABSENT_FUNCTIONS else getattr(numpy, name, None)
    if attribute is None and name != "newaxis" or isinstance(attribute, ModuleType):
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")
    if name in CONVERSIONS:
        return _conversion(attribute)
    return attribute if isinstance(attribute, type) or not callable(attribute) else _on_device(attribute)
