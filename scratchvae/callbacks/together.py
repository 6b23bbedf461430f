"""`Callbacks` runs all callbacks of one training, and collects their states for its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy

from scratchvae.callbacks.callback import Callback
from scratchvae.errors import DataError, InputError
from scratchvae.run_files import Metrics


class _Function(Callback):
    """Wraps a function of the metrics, which stops by True and, on resume, sees the last epoch again to decide anew."""

    def __init__(self, function: Callable[[Metrics], Any]) -> None:
        self.function = function

    def begin(self, model: Any, validated: bool, resumed: bool) -> None:
        self.stops = False

    def epoch_ended(self, metrics: Metrics) -> None:
        answer = self.function(dict(metrics))
        self.stops = isinstance(answer, bool | numpy.bool_) and bool(answer)

    def resume(self, state: dict[str, Any], history: list[Metrics]) -> None:
        if history:
            self.epoch_ended(history[-1])


class Callbacks:
    """Runs the callbacks of one training in order, and keeps their states under distinct names.

    Parameters
    ----------
    given : iterable of functions and Callbacks
        The callbacks that were passed to `fit`. Raises InputError for anything else.
    schedules : iterable
        Schedules, for example of the learning rate; those that are Callbacks are called, too.

    Attributes
    ----------
    callbacks : list of Callback
        The callbacks in order, schedules first, each once.
    names : list of str
        The distinct names of the callbacks in checkpoints.

    See Also
    --------
    Callback : The base class of all callbacks.

    Examples
    --------
    >>> from scratchvae.callbacks import Callbacks, EarlyStopping
    >>> together = Callbacks([EarlyStopping(3, "elbo"), EarlyStopping(5, "kl"), lambda metrics: metrics["kl"] < 1])
    >>> together.names
    ['EarlyStopping 1', 'EarlyStopping 2', '_Function 1']
    >>> together.stop
    False
    """

    def __init__(self, given: Any = (), schedules: Iterable[Any] = ()) -> None:
        wrong = [given] if isinstance(given, Callback) or not isinstance(given, Iterable) else []
        given = [] if wrong else list(given)
        wrong += [callback for callback in given if isinstance(callback, type) or not _is_callback(callback)]
        if wrong:
            hint = "callbacks=[sv.EarlyStopping(patience=10)]"
            raise InputError("fit", "callbacks as a list of functions and Callbacks", repr(wrong[0]), hint)
        adjusted = [schedule for schedule in schedules if isinstance(schedule, Callback)]
        every = [callback for i, callback in enumerate(adjusted + given) if callback not in (adjusted + given)[:i]]
        self.callbacks = [callback if isinstance(callback, Callback) else _Function(callback) for callback in every]
        names = [type(callback).__name__ for callback in self.callbacks]
        self.names = [f"{name} {names[:i].count(name) + 1}" for i, name in enumerate(names)]

    @contextmanager
    def training(self, model: Any, validated: bool, resumed: bool) -> Iterator[None]:
        """Brackets a training: calls `begin` on every callback at its start, and `close` at its end."""
        try:
            for callback in self.callbacks:
                callback.begin(model, validated, resumed)
            yield
        finally:
            for callback in self.callbacks:
                callback.close()

    def epoch_ended(self, metrics: Metrics) -> None:
        """Passes the metrics of an epoch to every callback."""
        for callback in self.callbacks:
            callback.epoch_ended(metrics)

    @property
    def stop(self) -> bool:
        """Tells whether one of the callbacks ends the training."""
        return any(callback.stops for callback in self.callbacks)

    def finish(self) -> None:
        """Tells every callback that the training has ended regularly."""
        for callback in self.callbacks:
            callback.finish()

    def numbers(self) -> dict[str, dict[str, Any]]:
        """Returns the states without their arrays, by name, for the callbacks that have a state."""
        states = {name: callback.state() for name, callback in zip(self.names, self.callbacks, strict=True)}
        return {name: _without_arrays(state) for name, state in states.items() if state}

    def arrays(self) -> dict[str, numpy.ndarray]:
        """Returns the arrays of all states, under their names in a checkpoint."""
        return {
            f"callback/{name}/{key}": value
            for name, callback in zip(self.names, self.callbacks, strict=True)
            for key, value in callback.state().items()
            if isinstance(value, numpy.ndarray)
        }

    def check(self, directory: Path, numbers: Any) -> None:
        """Raises InputError for states of other callbacks, and DataError for values that are no states."""
        own = self.numbers()
        if not isinstance(numbers, dict):
            raise DataError(f"resume {directory}", "the states of callbacks by name", repr(numbers))
        if numbers.keys() != own.keys():
            words = [", ".join(sorted(name.removesuffix(" 1") for name in some)) or "none" for some in (numbers, own)]
            raise InputError(f"resume {directory}", f"the callbacks of the run that have a state: {words[0]}", words[1])
        for name, state in own.items():
            kinds = {key: type(value) for key, value in state.items()}
            if not isinstance(numbers[name], dict) or {k: type(v) for k, v in numbers[name].items()} != kinds:
                raise DataError(f"resume {directory}", f"a state of {name} with {', '.join(kinds)}", str(numbers[name]))

    def resume(self, numbers: dict[str, Any], arrays: dict[str, numpy.ndarray], history: list[Metrics]) -> None:
        """Restores the states in reverse order, since `finish` runs in order."""
        for name, callback in reversed(list(zip(self.names, self.callbacks, strict=True))):
            prefix = f"callback/{name}/"
            own = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
            callback.resume(numbers.get(name, {}) | own, history)


def _is_callback(value: Any) -> bool:
    return callable(value) or isinstance(value, Callback)


def _without_arrays(state: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in state.items() if not isinstance(value, numpy.ndarray)}
