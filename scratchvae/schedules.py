"""Schedules are functions from the number of a step to a learning rate or to the weight of the KL."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from numbers import Real

from scratchvae.errors import InputError

Schedule = Callable[[int], float]
"""A function from the number of the step, 0, 1, 2, ..., to a number of at least 0."""


def value_at(value: float | Schedule, step: int) -> float:
    """Returns a number as it is, or a schedule's value at the step.

    Raises InputError unless the result is a finite number of at least 0.
    """
    number = value(step) if callable(value) else value
    if not (isinstance(number, Real) and math.isfinite(number)):
        raise InputError("schedule", "a finite number", f"{number!r} at step {step}")
    if number < 0:
        raise InputError("schedule", "a number of at least 0", f"{number!r} at step {step}")
    return float(number)


@dataclass(frozen=True)
class LinearSchedule:
    """start + (end - start) step / n_steps, and end from step n_steps on: for a KL weight that grows from 0, say

    Parameters
    ----------
    start, end : number
        The first and the last value, of at least 0.
    n_steps : int
        The number of steps from start to end.

    Attributes
    ----------
    start, end, n_steps
        The parameters of these names.

    See Also
    --------
    SaturatingSchedule : grows ever more slowly.
    scratchvae.fit : its learning_rate and kl_weight may be schedules.

    Examples
    --------
    >>> import scratchvae as sv
    >>> schedule = sv.optim.LinearSchedule(0.0, 1.0, n_steps=4)
    >>> [schedule(step) for step in (0, 1, 4, 100)]
    [0.0, 0.25, 1.0, 1.0]
    """

    start: float
    end: float
    n_steps: int

    def __post_init__(self) -> None:
        _check_numbers(self)
        if self.n_steps < 1:
            raise InputError("LinearSchedule", "n_steps of at least 1", repr(self.n_steps))

    def __call__(self, step: int) -> float:
        return self.start + (self.end - self.start) * min(1.0, step / self.n_steps)


@dataclass(frozen=True)
class ExponentialSchedule:
    """max(start factor^step, smallest): for a decaying learning rate, say

    Parameters
    ----------
    start : number
        The first value.
    factor : number
        The ratio of one value to the one before.
    smallest : number
        The lower bound of all values.

    Attributes
    ----------
    start, factor, smallest
        The parameters of these names.

    See Also
    --------
    LinearSchedule : a straight line.
    scratchvae.callbacks.PlateauSchedule : falls when the score no longer rises.

    Examples
    --------
    >>> import scratchvae as sv
    >>> schedule = sv.optim.ExponentialSchedule(1.0, 0.5, smallest=0.2)
    >>> [schedule(step) for step in range(4)]
    [1.0, 0.5, 0.25, 0.2]
    """

    start: float
    factor: float
    smallest: float = 0.0

    def __post_init__(self) -> None:
        _check_numbers(self)

    def __call__(self, step: int) -> float:
        return max(self.start * self.factor**step, self.smallest)


@dataclass(frozen=True)
class SaturatingSchedule:
    """end - (end - start) factor^step, from start to end, ever more slowly: for annealing the KL weight, say

    SaturatingSchedule(w eta_min, w, R) is w eta_step with eta_step = 1 - (1 - eta_min) R^step.

    Source: Ha & Eck (2017), the annealing of their training loss, with eta_min = 0.01 and R = 0.99995.

    Parameters
    ----------
    start, end : number
        The first value and the limit, of at least 0.
    factor : number
        From 0 to 1.

    Attributes
    ----------
    start, end, factor
        The parameters of these names.

    See Also
    --------
    LinearSchedule : a straight line.
    scratchvae.SketchRNN : the model of the source.

    Examples
    --------
    >>> import scratchvae as sv
    >>> schedule = sv.optim.SaturatingSchedule(0.0, 1.0, factor=0.5)
    >>> [schedule(step) for step in range(4)]
    [0.0, 0.5, 0.75, 0.875]
    """

    start: float
    end: float
    factor: float

    def __post_init__(self) -> None:
        _check_numbers(self)
        if self.factor > 1:
            raise InputError("SaturatingSchedule", "a factor from 0 to 1", repr(self.factor))

    def __call__(self, step: int) -> float:
        return self.end - (self.end - self.start) * self.factor**step


def _check_numbers(schedule: LinearSchedule | ExponentialSchedule | SaturatingSchedule) -> None:
    """Raises InputError unless every field is a finite number of at least 0."""
    for field in fields(schedule):
        value = getattr(schedule, field.name)
        if isinstance(value, bool) or not (isinstance(value, Real) and 0 <= value < math.inf):
            raise InputError(type(schedule).__name__, f"a number of at least 0 as {field.name}", repr(value))
