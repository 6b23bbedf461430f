"""Arrays of arrays from pickles that are parsed, not run: nothing is imported, called or made but lists and numbers.

NumPy saves an array of arrays, such as sketches of different lengths, as a pickle: a program for a machine with a stack
and a memo, which may call anything. `pickletools.genops` lists its instructions. The machine below knows those that an
array of arrays needs, and three names, NumPy's `_reconstruct`, `ndarray` and `dtype` (with `_codecs.encode`, by which
protocol 2 writes bytes), which stand for values that are compared and never looked up. Everything else is refused.

Source: the module pickletools of Python's standard library; `ndarray.__reduce__` of NumPy.
"""

from __future__ import annotations

import io
import math
import pickletools
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from scratchvae.errors import DataError

MOST_ARRAYS, INSTRUCTIONS = 2**20, 64
"""The most arrays in one file, and the most instructions for each of them; NumPy spends up to 30."""


@dataclass(frozen=True)
class Name:
    """A name that a pickle may mention."""

    text: str


MARK = object()
"""What the instruction MARK puts on the stack."""

RECONSTRUCT, NDARRAY, DTYPE, ENCODE = map(Name, ("_reconstruct", "ndarray", "dtype", "encode"))

NAMES = {
    "numpy.core.multiarray _reconstruct": RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": RECONSTRUCT,
    "numpy ndarray": NDARRAY,
    "numpy dtype": DTYPE,
    "_codecs encode": ENCODE,
}


@dataclass(eq=False)
class Type:
    """A type of numbers, or "O" for arrays; BUILD adds the order of its bytes."""

    code: str
    order: str = ""


@dataclass(eq=False)
class Array:
    """An array, empty until BUILD fills it."""

    shape: tuple[int, ...] = ()
    content: numpy.ndarray | list[Any] | None = None


def parse_object_array(content: bytes, shape: tuple[int, ...], operation: str) -> numpy.ndarray:
    """Returns the array of arrays in a pickle, of type object and this shape, (N,).

    Raises DataError, which begins with `operation`, for anything but one array of N arrays of real numbers, and for
    more than MOST_ARRAYS; the exceptions that damage causes are those of `scratchvae.npz.DAMAGE`.
    """
    expected, objects = "an array of numbers", "an array of Python objects"
    hint = "reading Python objects can run code; save one plain array"
    if len(shape) != 1 or not 0 < shape[0] <= MOST_ARRAYS:
        raise DataError(operation, f"from 1 to {MOST_ARRAYS} arrays in a row", f"objects of shape {shape}")
    try:
        outer = Machine(INSTRUCTIONS * (shape[0] + 1)).run(content)
    except Refusal as refusal:
        raise DataError(operation, expected, f"{objects}, with {refusal}", hint) from None
    if not isinstance(outer, Array) or outer.shape != shape or not isinstance(outer.content, list):
        raise DataError(operation, expected, objects, hint)
    arrays = outer.content
    if not all(isinstance(array, Array) and isinstance(array.content, numpy.ndarray) for array in arrays):
        raise DataError(operation, expected, objects, hint)
    if len({id(array) for array in arrays}) < len(arrays):
        raise DataError(operation, "arrays of their own", "one array in several places")
    result = numpy.empty(shape, object)
    for n, array in enumerate(arrays):
        result[n] = array.content
    return result


class Refusal(Exception):
    """A pickle asks for what no array of arrays needs."""


class Machine:
    """The stack and the memo of a pickle. `run` returns what is on the stack at the end."""

    def __init__(self, most_instructions: int) -> None:
        self.most_instructions = most_instructions
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, content: bytes) -> Any:
        """Returns the value of the pickle. Raises Refusal, and the exceptions of genops and the stack about damage."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of damaged texts, whose escape sequences are none
            return self._run(io.BytesIO(content))

    def _run(self, stream: io.BytesIO) -> Any:
        for n, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if n == self.most_instructions:
                raise Refusal(f"more than {n} instructions")
            if opcode.name in VALUES:
                self.stack.append(VALUES[opcode.name](argument))
            elif opcode.name in ACTIONS:
                ACTIONS[opcode.name](self, argument)
            elif opcode.name not in ("PROTO", "FRAME", "STOP"):
                raise Refusal(f"the instruction {opcode.name}")
        if stream.read(1) or len(self.stack) != 1:
            raise ValueError("a pickle that does not end with its value")
        return self.stack[0]

    def pop(self, n: int) -> tuple[Any, ...]:
        """Removes and returns the n topmost values of the stack."""
        if len(self.stack) < n:
            raise ValueError("a pickle takes more from its stack than it put there")
        values = tuple(self.stack[len(self.stack) - n :])
        del self.stack[len(self.stack) - n :]
        return values

    def pop_to_mark(self) -> tuple[Any, ...]:
        """Removes the topmost mark, and removes and returns the values above it."""
        for n, value in enumerate(reversed(self.stack)):
            if value is MARK:
                return self.pop(n + 1)[1:]
        raise ValueError("a pickle without a mark")

    def push_tuple(self, n: int) -> None:
        """Puts the n topmost values back as one tuple."""
        self.stack.append(self.pop(n))

    def extend(self, values: tuple[Any, ...]) -> None:
        """Appends values to the list below them."""
        if not self.stack or not isinstance(self.stack[-1], list):
            raise Refusal("values for what is no list")
        self.stack[-1].extend(values)

    def put(self, place: int | None) -> None:
        """Stores the topmost value in the memo, at the next place if none is named."""
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def push_name(self, text: str) -> None:
        """Pushes the value that stands for a name. Raises Refusal for a name that is not one of NAMES."""
        if text not in NAMES:
            raise Refusal(f"the name {text}")
        self.stack.append(NAMES[text])

    def push_name_of_parts(self) -> None:
        """Replaces a module and a name on the stack by the value that stands for them."""
        module, name = self.pop(2)
        if not (isinstance(module, str) and isinstance(name, str)):
            raise Refusal("a name that is no text")
        self.push_name(f"{module} {name}")

    def reduce(self) -> None:
        """Carries out a call that makes an empty array, a type without its byte order, or the bytes of a text."""
        function, arguments = self.pop(2)
        match function, arguments:
            case Name("_reconstruct"), (Name("ndarray"), (0,), "b" | b"b"):
                self.stack.append(Array())
            case Name("dtype"), (str(code), 0 | False, 1 | True) if re.fullmatch(r"[iuf][1248]|b1|O[48]?", code):
                self.stack.append(Type(code))
            case Name("encode"), (str(text), "latin1"):
                self.stack.append(text.encode("latin1"))
            case _:
                raise Refusal("a call that makes no array of numbers")

    def build(self) -> None:
        """Sets the state of a value: the byte order of a type, or the shape, type and values of an array."""
        target, state = self.pop(2)
        match target, state:
            case Type(order=""), (3, ("<" | ">" | "|") as order, None, None, None, -1, -1, 0 | 63):
                target.order = order
            case Array(content=None), (1, tuple(shape), Type(code, order), 0 | False | 1 | True, values) if order:
                target.shape, target.content = shape, _content(shape, code, order, bool(state[3]), values)
            case _:
                raise Refusal("a state that no array of numbers has")
        self.stack.append(target)


def _content(shape: tuple[Any, ...], code: str, order: str, column_major: bool, values: Any) -> Any:
    """Returns the values of an array, a list for an array of arrays, else numbers in the machine's byte order."""
    if not all(type(size) is int and size >= 0 for size in shape):
        raise Refusal("a shape that is none")
    n = math.prod(shape)
    if code.startswith("O"):
        if not isinstance(values, list) or len(values) != n:
            raise ValueError(f"not the {n} objects of the shape {shape}")
        return values
    dtype = numpy.dtype(code).newbyteorder(order)
    content = values.encode("latin1") if isinstance(values, str) else values  # Python 2 wrote bytes as text
    if not isinstance(content, bytes) or len(content) != n * dtype.itemsize:
        raise ValueError(f"not the {n * dtype.itemsize} bytes of the shape {shape}")
    array = numpy.frombuffer(content, dtype).reshape(shape, order="F" if column_major else "C")
    return array.astype(dtype.newbyteorder("="))


def _same(argument: Any) -> Any:
    return argument


VALUES: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINSTRING", "SHORT_BINSTRING"), _same),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), _same),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _same),
    "MARK": lambda argument: MARK,
    "NONE": lambda argument: None,
    "NEWTRUE": lambda argument: True,
    "NEWFALSE": lambda argument: False,
    "EMPTY_LIST": lambda argument: [],
    "EMPTY_TUPLE": lambda argument: (),
}
"""Instruction -> the value that it puts on the stack, as a function of its argument."""

ACTIONS: dict[str, Callable[[Machine, Any], None]] = {
    "TUPLE": lambda machine, argument: machine.stack.append(machine.pop_to_mark()),
    "TUPLE1": lambda machine, argument: machine.push_tuple(1),
    "TUPLE2": lambda machine, argument: machine.push_tuple(2),
    "TUPLE3": lambda machine, argument: machine.push_tuple(3),
    "APPEND": lambda machine, argument: machine.extend(machine.pop(1)),
    "APPENDS": lambda machine, argument: machine.extend(machine.pop_to_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), Machine.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, place: machine.stack.append(machine.memo[place])),
    "GLOBAL": Machine.push_name,
    "STACK_GLOBAL": lambda machine, argument: machine.push_name_of_parts(),
    "REDUCE": lambda machine, argument: machine.reduce(),
    "BUILD": lambda machine, argument: machine.build(),
}
"""Instruction -> what it does to the machine, as a function of the machine and its argument."""
