"""The table of `scratchvae check` has the rows of all sections, and runs them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy

from scratchvae.checks import (
    exact_models,
    gradient_table,
    identities,
    linear_models,
    missing_entries,
    molecules,
    priors,
    semi_supervised,
    sketches,
)
from scratchvae.checks.row import Row

SECTIONS: dict[str, list[Row]] = {
    file.SECTION.name: file.SECTION.rows
    for file in (
        gradient_table,
        identities,
        exact_models,
        priors,
        linear_models,
        semi_supervised,
        sketches,
        molecules,
        missing_entries,
    )
}
"""Name -> the rows of this section."""


@dataclass(frozen=True)
class Outcome:
    """Holds the outcome of a row.

    Attributes
    ----------
    name, tolerance
        As in Row.
    figure : float
        The error, or NaN if the row raised an exception.
    seconds : float
        The time that the row took.
    reason : str
        The exception, or nothing.
    """

    name: str
    figure: float
    tolerance: float
    seconds: float
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Tells whether the figure meets the tolerance; a NaN does not."""
        return self.figure <= self.tolerance


def run(row: Row, device: str = "cpu") -> Outcome:
    """Runs one row. An exception counts as a failure of that row, so that the next row can still run."""
    started, figure, reason = time.perf_counter(), numpy.nan, ""
    try:
        with numpy.errstate(all="ignore"):  # what overflows makes a figure that fails
            figure = row.figure(device)
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return Outcome(row.name, figure, row.tolerance, time.perf_counter() - started, reason)


def outcomes(section: str, device: str = "cpu") -> Iterator[Outcome]:
    """Yields the outcome of each row in a section as soon as it is known."""
    return (run(row, device) for row in SECTIONS[section])
