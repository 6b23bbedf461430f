"""The package's one form of message: operation, expected, received, and a hint where one mistake is usual."""

from __future__ import annotations

import sys
from numbers import Integral
from typing import Any

LONGEST = 2000
"""The most characters of a message; what a file or a caller put into it may be longer, and the middle is left out."""


def one_line(sentence: str) -> str:
    """The sentence in printable characters, others escaped, without its middle if it is long."""
    if len(sentence) > LONGEST:
        sentence = f"{sentence[: LONGEST // 2]} ... {sentence[5 - LONGEST // 2 :]}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in sentence)


def _handed_on(sentence: str, kind: type[InputError]) -> InputError:
    return kind.__new__(kind, sentence)


class InputError(ValueError):
    """An argument of the caller does not fit.   "operation: expected ..., received ... (hint)"

    The message is one line of printable characters, whatever a damaged file put into it; others are escaped.

    The command line prints the sentence and exits with status 2.
    """

    def __init__(self, operation: str, expected: str, received: str, hint: str = "") -> None:
        super().__init__(
            one_line(f"{operation}: expected {expected}, received {received}" + (f" ({hint})" if hint else ""))
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """By sentence and class, the nearest that has a name of its own, so that a pool's process can hand it on."""
        kinds = (kind for kind in type(self).__mro__ if vars(sys.modules[kind.__module__]).get(kind.__name__) is kind)
        return _handed_on, (str(self), next(kinds))


class ShapeError(InputError):
    """An array has the wrong shape."""


class DeviceError(InputError):
    """An array lies on the wrong device, or the device that was asked for is not there."""


class DataError(InputError):
    """A file or a data set is missing, damaged, of another format, or holds values that a model cannot take."""


def whole_number(operation: str, name: str, value: Any, smallest: int = 1, largest: int | None = None) -> int:
    """The value as an int, if it is a whole number, NumPy's among them, from the smallest to the largest.

    Raises InputError for anything else, truth values and floats such as 3.0 among them.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < smallest or (largest is not None and value > largest):
        bounds = f"of at least {smallest}" if largest is None else f"from {smallest} to {largest}"
        raise InputError(operation, f"{name} {bounds}", repr(value))
    return int(value)
