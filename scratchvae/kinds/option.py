"""An option of `scratchvae train`, as a value: declared once, read from the command line and from the file of a run."""

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
"""From a text, or a value that a file holds, to the value of an option. Raises ValueError, which says what is right."""


def word(value: Any) -> str:
    """Returns a text unchanged."""
    if not isinstance(value, str):
        raise ValueError("a word")
    return value


def name(value: Any) -> str:
    """Returns a non-empty text. An unset shell variable is empty, and Path("") would be the current folder."""
    if not word(value):
        raise ValueError("a name")
    return value


def path(value: Any) -> str:
    """Returns the absolute path, so that a run can be found from any folder."""
    return os.path.abspath(os.path.expanduser(name(value)))


def data_set(value: Any) -> str:
    """Returns the name of a data set, or the absolute path of a file or a folder."""
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
    """Returns the standard deviation of a likelihood, a positive number or the name of its source."""
    if value in ("learned", "decoder"):
        return value
    try:
        return POSITIVE(value)
    except ValueError:
        raise ValueError("a positive number, learned or decoder") from None


@dataclass(frozen=True)
class Number:
    """A conversion to a number of this type, at least (or, exclusive, above) the smallest."""

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
    """`--name`, what it does, its default, how its text becomes a value, and which values there are.

    Parameters
    ----------
    default : its value where nobody gives one
    older : its value in a run from before there was this option, where that is another one than the default
    usual : the default in words, where it depends on other options or on the data
    several : "" for one value, "*" for a list and "+" for a list that is not empty
    resumable : bool
        Whether a run may be resumed with another value.
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
        """Tells whether the option is given without a value, which makes it true."""
        return self.conversion is truth

    @property
    def flag(self) -> str:
        """Returns the option as it is typed, --name."""
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
        """Returns the option's value among those kept in the file `source`. Raises InputError as `read` does."""
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
