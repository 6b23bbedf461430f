"""A row of `scratchvae check` is declared above the function that computes its figure, and belongs to a section."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy

from scratchvae.backend import to_numpy

Function = TypeVar("Function", bound=Callable[..., float])


@dataclass(frozen=True)
class Row:
    """|function(*arguments, device)| <= tolerance, where the function computes an error: the check of one statement

    Attributes
    ----------
    name : str
        The statement.
    tolerance : float
        The largest error that passes.
    function : callable
        Computes the error.
    arguments : tuple
        The arguments before the device.
    """

    name: str
    tolerance: float
    function: Callable[..., float]
    arguments: tuple[Any, ...] = ()

    def figure(self, device: str = "cpu") -> float:
        """Returns the error, computed on a device."""
        return float(self.function(*self.arguments, device))


class Section:
    """Collects the rows of one file, in the order of its text.

        SECTION = Section("exact models")

        @SECTION.row("PPCA: zero variance of the weights", tolerance=1e-12)
        def zero_variance(device: str = "cpu") -> float:

    A row needs nothing more: `scratchvae check` prints it, and the tests run it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: list[Row] = []

    def row(self, name: str, tolerance: float, each: Mapping[str, Any] | None = None) -> Callable[[Function], Function]:
        """Adds a row for a function, or one row for each key of a mapping; the key replaces {} in the name.

        The function takes the device and, if there is a mapping, the key's value before it.
        """

        def enter(function: Function) -> Function:
            if each is None:
                self.rows.append(Row(name, tolerance, function))
            else:
                self.rows += [Row(name.format(key), tolerance, function, (value,)) for key, value in each.items()]
            return function

        return enter


def largest(*errors: Any) -> float:
    """Returns the largest |error| of numbers and arrays, or NaN if there is one, which Python's `max` may miss."""
    return float(numpy.max([abs(to_numpy(error)).max() for error in errors]))
