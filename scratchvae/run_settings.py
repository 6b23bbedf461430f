"""What determines the result of a run, in plain values: config.json keeps them, and resuming compares them."""

from __future__ import annotations

import re
from collections.abc import Callable
from numbers import Real
from typing import Any

from scratchvae.arrays import type_name
from scratchvae.errors import InputError
from scratchvae.objectives import Objective
from scratchvae.optim import Optimizer, Schedule
from scratchvae.run_files import fingerprint

PROBED_STEPS = (0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)


def make_optimizer(optimizer: Any, parameters: Any, **settings: Any) -> Optimizer:
    """Creates the optimizer of these parameters. Raises InputError if the argument cannot."""
    if not callable(optimizer):
        raise InputError("fit", "an optimizer such as sv.optim.Adam", repr(optimizer), "functools.partial sets it up")
    made = optimizer(parameters, **settings)
    if not isinstance(made, Optimizer):
        raise InputError("fit", "an optimizer that makes an Optimizer", type(made).__name__)
    return made


def settings_of(
    model: Any, objective: Objective, optimizer: Optimizer, arrays: dict[str, Any], asked: dict[str, Any]
) -> dict[str, Any]:
    """Returns everything that determines the result of `fit`, in plain values.

    arrays: by name, those that depend on the rows, or None; asked: arguments of `fit`, numbers and schedules.
    """
    own = _optimizer_settings(optimizer, asked["learning_rate"], asked["clip_norm"])
    return (
        {
            "model": model.configuration or repr(model),
            "device": model.device,
            "objective": objective.name,
            "optimizer": {"name": type(optimizer).__name__} | own,
        }
        | {name: None if array is None else fingerprint(array) for name, array in arrays.items()}
        | {name: _described(value) for name, value in asked.items()}
        | {name: fingerprint(x) if hasattr(x, "shape") else x for name, x in objective.settings.items()}
    )


def _optimizer_settings(
    optimizer: Optimizer, learning_rate: float | Schedule, clip_norm: float | None
) -> dict[str, Any]:
    """Returns the numbers, words and schedules that determine an optimizer's updates, except those `fit` gave it.

    Raises InputError for settings that hold anything else, which a run directory could not compare or restore.
    """
    known = {"n_steps": optimizer.n_steps, "learning_rate": learning_rate, "clip_norm": clip_norm}
    settings = {name: value for name, value in vars(optimizer).items() if name not in optimizer.buffers}
    return {
        name: _plain(type(optimizer).__name__, name, value)
        for name, value in settings.items()
        if value is not None and (name not in known or value != known[name])
    }


def _plain(optimizer: str, name: str, value: Any) -> Any:
    """Describes a setting of an optimizer; lists, tuples and dicts are described entry by entry."""
    if isinstance(value, (list, tuple)):
        return [_plain(optimizer, name, entry) for entry in value]
    if isinstance(value, dict):
        return {str(key): _plain(optimizer, name, entry) for key, entry in value.items()}
    if value is None or isinstance(value, Real | str | Callable):
        return _described(value)
    hint = "a run directory keeps the arrays that `moments` names"
    raise InputError(
        f"fit with {optimizer}", "settings of numbers, words and schedules", f"{name}, a {type_name(value)}", hint
    )


def _described(value: float | Schedule) -> Any:
    """Describes a number by itself, and a schedule by its text, or if that is an address, by name and values."""
    if not callable(value):
        return value
    text = re.sub(" at 0x[0-9a-fA-F]+", "", repr(value))
    if text == repr(value):
        return text
    return {"name": getattr(value, "__qualname__", text)} | {step: _probe(value, step) for step in PROBED_STEPS}


def _probe(schedule: Schedule, step: int) -> str:
    try:
        return repr(float(schedule(step)))
    except Exception as error:  # a user's table of rates may end before this step
        return type(error).__name__
