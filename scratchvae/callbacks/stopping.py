"""Early stopping, and a time limit."""

from __future__ import annotations

import math
import time
from numbers import Real
from typing import Any

import numpy

from scratchvae.backend import to_numpy
from scratchvae.callbacks.callback import Callback, check_metric, score_of
from scratchvae.errors import InputError, whole_number
from scratchvae.run_files import Metrics


class EarlyStopping(Callback):
    """Stops after `patience` epochs in a row without a better score, and puts back the parameters of the best epoch.

    They are put back too where the training ends for another reason, by its number of epochs say, but not where it is
    interrupted. A run that is resumed with a larger patience goes on, as if it had had that from the start.

    Parameters
    ----------
    patience : int
    metric : str, optional
        The name of a metric, the larger the better; by default what `fit` ascends, on the validation data.

    Attributes
    ----------
    best_epoch : int
        The epoch whose parameters are put back, from 1.
    """

    def __init__(self, patience: int = 10, metric: str | None = None) -> None:
        self.patience, self.metric = whole_number("EarlyStopping", "patience", patience), metric
        self.best, self.best_epoch, self.waited, self.restored = -math.inf, 0, 0, False

    def begin(self, model: Any, validated: bool, resumed: bool) -> None:
        """Raise InputError without validation data, if they are what the score is of."""
        check_metric("EarlyStopping", self.metric, validated)
        self.best, self.best_epoch, self.waited, self.restored = -math.inf, 0, 0, False
        self._model, self._kept = model, _copied(model)

    def epoch_ended(self, metrics: Metrics) -> None:
        """Keep the parameters if the score is better than all before."""
        score = score_of("EarlyStopping", self.metric, metrics)
        self.waited += 1
        if score > self.best:
            self.best, self.best_epoch, self.waited = score, int(metrics["epoch"]), 0
            self._kept = _copied(self._model)

    @property
    def stops(self) -> bool:  # type: ignore[override]
        """Whether the patience is at its end."""
        return self.waited >= self.patience

    def state(self) -> dict[str, Any]:
        """The best epoch, and its parameters; after the training those of the last epoch, from where a run goes on."""
        numbers = {name: getattr(self, name) for name in ("best", "best_epoch", "waited", "restored")}
        return numbers | {f"kept/{name}": array for name, array in self._kept.items()}

    def resume(self, state: dict[str, Any], history: list[Metrics]) -> None:
        """As in Callback. A model with the parameters of the best epoch gets those of the last one."""
        for name in ("best", "best_epoch", "waited"):
            setattr(self, name, state[name])
        self._kept = {name: state[f"kept/{name}"] for name in self._kept}
        if state["restored"]:
            self._exchange()

    def finish(self) -> None:
        """Put the best parameters back."""
        self._exchange()
        self.restored = True

    def _exchange(self) -> None:
        kept, self._kept = self._kept, _copied(self._model)
        self._model.load_state(kept)

    def __str__(self) -> str:
        return f"the parameters are those of epoch {self.best_epoch}, the best one"


class TimeLimit(Callback):
    """Stops where one more epoch, as long as the mean of those before, would end after so many seconds.

    The first epoch is always taken. Of a resumed run the seconds before the interruption count too.
    """

    def __init__(self, seconds: float) -> None:
        if isinstance(seconds, bool) or not (isinstance(seconds, Real) and 0 < seconds < math.inf):
            raise InputError("TimeLimit", "a positive number of seconds", repr(seconds))
        self.seconds, self.n_epochs, self._before, self._started = float(seconds), 0, 0.0, 0.0

    def begin(self, model: Any, validated: bool, resumed: bool) -> None:
        """Start the clock."""
        self.n_epochs, self._before, self._started = 0, 0.0, time.monotonic()

    def epoch_ended(self, metrics: Metrics) -> None:
        """Count the epoch."""
        self.n_epochs += 1

    @property
    def spent(self) -> float:
        """The seconds since the training began, without the time between interruption and resume."""
        return self._before + time.monotonic() - self._started

    @property
    def stops(self) -> bool:  # type: ignore[override]
        """Whether one more epoch would probably end too late."""
        return self.n_epochs > 0 and self.spent * (1 + 1 / self.n_epochs) > self.seconds

    def state(self) -> dict[str, Any]:
        """The seconds spent, and the number of epochs."""
        return {"spent": self.spent, "n_epochs": self.n_epochs}

    def resume(self, state: dict[str, Any], history: list[Metrics]) -> None:
        """As in Callback."""
        self._before, self.n_epochs = state["spent"], state["n_epochs"]


def _copied(model: Any) -> dict[str, numpy.ndarray]:
    return {name: numpy.array(to_numpy(array)) for name, array in model.state().items()}
