"""Everything that `scratchvae check` runs: rows of a figure and the tolerance that it must meet."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy

from scratchvae.checks.exact_models import exact_models
from scratchvae.checks.gradient_table import ADJOINT_PAIRS, CASES, COMPOSITES, Case, check_adjoint, check_case
from scratchvae.checks.identities import Result, identities
from scratchvae.checks.linear_models import linear_models
from scratchvae.checks.semi_supervised import semi_supervised_models


@dataclass(frozen=True)
class Outcome:
    """What a row gave. figure: an error that ought to be 0, or NaN where the row raised, as `reason` says."""

    name: str
    figure: float
    tolerance: float
    seconds: float
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether the figure meets the tolerance; a NaN does not."""
        return self.figure <= self.tolerance


def gradients(device: str = "cpu") -> dict[str, Callable[[], Result]]:
    """The gradient table, the largest error of each operation, orders 1 and 2, and its adjoint pairs."""
    table: dict[str, Callable[[], Result]] = {
        name: partial(_largest_error, cases, device) for name, cases in (CASES | COMPOSITES).items()
    }
    for name, pair in ADJOINT_PAIRS.items():
        table[f"adjoint: {name}"] = lambda pair=pair: (check_adjoint(pair, device), 1e-14)
    return table


SECTIONS: dict[str, Callable[[str], dict[str, Callable[[], Result]]]] = {
    "gradients": gradients,
    "identities": identities,
    "exact models": exact_models,
    "linear models": linear_models,
    "semi-supervised models": semi_supervised_models,
}
"""Name -> the rows that a device has in this section."""


def run(name: str, row: Callable[[], Result]) -> Outcome:
    """Run one row. Whatever it raises is a failure of that row, and the next one can still be run."""
    started, reason = time.perf_counter(), ""
    try:
        with numpy.errstate(all="ignore"):  # what overflows makes a figure that fails
            figure, tolerance = row()
    except Exception as error:
        figure, tolerance, reason = numpy.nan, numpy.nan, f"{type(error).__name__}: {' '.join(str(error).split())}"
    return Outcome(name, float(figure), float(tolerance), time.perf_counter() - started, reason)


def outcomes(section: str, device: str = "cpu") -> Iterator[Outcome]:
    """The outcomes of a section's rows, each as soon as it is there."""
    return (run(name, row) for name, row in SECTIONS[section](device).items())


def _largest_error(cases: list[Case], device: str) -> Result:
    return max(check_case(case, device) for case in cases), 1e-6
