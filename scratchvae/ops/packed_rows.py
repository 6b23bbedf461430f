"""Rows of sequences without padding, which `lstm` and `gru` share, and the checks of their arguments.

N sequences, the longest first, make R rows: all first steps, then all second ones, and so on. counts[t] is the number
of sequences that have a step t, and the rows of that step belong to the first counts[t] sequences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from scratchvae.backend import array_module
from scratchvae.errors import InputError, ShapeError


def steps(counts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yields the first row and the number of rows of each step."""
    start = 0
    for n in counts:
        yield start, n
        start += n


def blocks(a: Any, n_blocks: int) -> list[Any]:
    """Returns views of blocks that lie side by side.   (N, B H) -> B of (N, H)"""
    size = a.shape[1] // n_blocks
    return [a[:, k * size : (k + 1) * size] for k in range(n_blocks)]


def rows_before(first: Any, y: Any, counts: Sequence[int]) -> Any:
    """Returns, for each row of y, the row of its sequence one step before; `first` comes before the first step.

    shape: (N, H), (R, H) -> (R, H)
    """
    places = list(steps(counts))
    if counts[0] == counts[-1]:  # no sequence ends before another, so that these rows lie side by side
        before = [y[: places[-1][0]]]
    else:
        before = [y[start : start + n] for (start, _), (_, n) in pairwise(places)]
    return array_module(y).concatenate([first, *before])


def check_types(operation: str, inputs: Any, h: Any) -> None:
    """Raises InputError unless inputs and h hold floating-point numbers."""
    if inputs.dtype.kind != "f" or h.dtype.kind != "f":
        raise InputError(operation, "inputs and h of floating-point numbers", f"{inputs.dtype} and {h.dtype}")


def check_rows(operation: str, inputs: Any, h: Any, constant: Any, n_blocks: int, counts: Sequence[int]) -> None:
    """Raises ShapeError unless inputs, h and constant fit, and the counts divide the inputs' rows; types as above.

    shape: inputs (R, B H), h (N, H), constant (N, B H) or None, for B blocks
    """
    check_types(operation, inputs, h)
    width = n_blocks * h.shape[-1]
    if inputs.ndim != 2 or h.ndim != 2 or inputs.shape[1] != width:
        raise ShapeError(
            operation, f"inputs of {width} columns, {n_blocks} for each of h", f"{inputs.shape}, {h.shape}"
        )
    if constant is not None and constant.shape != (len(h), width):
        raise ShapeError(operation, f"a constant of shape {(len(h), width)}", str(constant.shape))
    start, last = [(0, 0), *steps(counts)][-1]
    rising = any(following > n for n, following in pairwise(counts))
    if last < 1 or counts[0] != len(h) or start + last != len(inputs) or rising:
        expected = f"counts that begin with {len(h)}, never rise and add up to {len(inputs)}"
        raise ShapeError(operation, expected, str(list(counts)))
