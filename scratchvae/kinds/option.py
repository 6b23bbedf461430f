"""The options of `scratchvae train` as values. Each is declared once, and read from the command line or config.json."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchvae.data import DATASETS
from scratchvae.errors import InputError

Conversion = Callable[[Any], Any]
"""A function from a text, or a value in a file, to the value of an option.

It raises ValueError, whose message describes the values that are allowed.
"""


def word(value: Any) -> str:
    """Returns a text unchanged."""
    if not isinstance(value, str):
        raise ValueError("a text")
    return value


def name(value: Any) -> str:
    """Returns a text that is not empty: an unset shell variable is, and Path("") would be the current folder."""
    if not word(value):
        raise ValueError("a text that is not empty")
    return value


def path(value: Any) -> str:
    """Returns the absolute path, so that a run can be found from any folder."""
    return os.path.abspath(os.path.expanduser(name(value)))


def data_set(value: Any) -> str:
    """Returns the name of a data set, or the absolute path to a file or a folder."""
    return value if name(value) in DATASETS or not Path(value).exists() else str(Path(value).resolve())


def share_or_test(value: Any) -> float | str:
    """Returns a share of the training part, or "test" for the test part."""
    try:
        number = None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = None
    if value == "test" or (number is not None and 0 < number < 1):
        return value if value == "test" else number
    raise ValueError("a number between 0 and 1, or test")


def truth(value: Any) -> bool:
    """Returns the value of a switch, true or false."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def deviation(value: Any) -> float | str:
    """Returns the standard deviation of a likelihood: a positive number, or "learned" or "decoder"."""
    if value in ("learned", "decoder"):
        return value
    try:
        return POSITIVE(value)
    except ValueError:
        raise ValueError("a positive number, learned or decoder") from None


@dataclass(frozen=True)
class Number:
    """A Number converts a text to a number of one type within bounds.

    Parameters
    ----------
    type : type
        int or float.
    smallest : float
        The lower bound.
    exclusive : bool
        Whether the bound itself is refused.

    Examples
    --------
    >>> Number(int, 1)("12")
    12
    """

    type: type
    smallest: float
    exclusive: bool = False

    def __call__(self, value: Any) -> Any:
        try:
            number = None if isinstance(value, bool) else self.type(value)
            if isinstance(value, float) and number != value:  # 2.5 epochs
                number = None
        except (TypeError, ValueError, OverflowError):
            number = None
        low = self.smallest
        if number is None or not (low < number < math.inf if self.exclusive else low <= number < 10**7):
            expected = "a whole number" if self.type is int else "a number"
            bound = f"above {low:g}" if self.exclusive else f"of at least {low:g}, below ten million"
            raise ValueError(f"{expected} {bound}")
        return number


COUNT, FROM_ZERO = Number(int, 1), Number(int, 0)
POSITIVE, NOT_NEGATIVE = Number(float, 0, exclusive=True), Number(float, 0)


@dataclass(frozen=True)
class Option:
    """An Option describes one option of the command line: its name, its help, its default and its values.

    Parameters
    ----------
    name : str
        The name, with underscores.
    help : str
        The meaning, a noun phrase or an imperative.
    default : any
        The value if the option is not given.
    conversion : function
        A conversion from a text, or from a value in config.json, to the value of the option.
    choices : sequence of str
        The allowed values; empty if `conversion` alone decides.
    metavar : str, optional
        The placeholder for the value in the help.
    usual : str
        The default in words, if it depends on other options or on the data.
    several : "", "*" or "+"
        Whether the value is one item, a list, or a list that is not empty.
    resumable : bool
        Whether a run may be resumed with another value.
    older : any
        The value for runs from before the option existed, if it is not the default.

    Examples
    --------
    >>> from scratchvae.kinds import Option
    >>> from scratchvae.kinds.option import COUNT
    >>> batch_size = Option("batch_size", "number of data rows per step", 128, COUNT)
    >>> batch_size.flag, batch_size.read("64", "--batch-size")
    ('--batch-size', 64)
    """

    name: str
    help: str
    default: Any = None
    conversion: Conversion = word
    choices: Sequence[str] = ()
    metavar: str | None = None
    usual: str = ""
    several: str = ""
    resumable: bool = False
    older: Any = None

    @property
    def is_switch(self) -> bool:
        """Tells whether the option is a switch: true if it is given, without a value."""
        return self.conversion is truth

    @property
    def flag(self) -> str:
        """Returns the option as a user types it, --name."""
        return f"--{self.name.replace('_', '-')}"

    def read(self, given: Any, operation: str) -> Any:
        """Converts a text, or a value from a file. Raises InputError for a value that the option cannot have."""
        if given is None and self.default is None:
            return None
        if not self.several:
            return self._converted(given, operation)
        if not isinstance(given, list) or (self.several == "+" and not given):
            raise InputError(operation, "a list of values", repr(given))
        return [self._converted(item, operation) for item in given]

    def kept(self, options: dict[str, Any], source: Any) -> Any:
        """Returns the value of the option in the configuration file `source`. Raises InputError as `read` does."""
        if self.name in options:
            return self.read(options[self.name], f"{self.name} in {source}")
        return self.default if self.older is None else self.older

    def _converted(self, item: Any, operation: str) -> Any:
        try:
            value = self.conversion(item)
        except ValueError as error:
            raise InputError(operation, str(error), repr(item)) from None
        if self.choices and value not in self.choices:
            raise InputError(operation, f"one of {', '.join(self.choices)}", repr(item))
        return value
