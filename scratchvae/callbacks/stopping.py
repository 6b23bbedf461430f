"""These callbacks end a training early: by its validation score, or by a time limit."""

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
    """Stops after `patience` epochs in a row without a better score, and restores the parameters of the best epoch.

    The parameters are also restored if the training ends for another reason, such as its number of epochs, but not if
    it is interrupted. A run that is resumed with a larger patience continues as if it had been started with it.

    Parameters
    ----------
    patience : int
        The number of epochs without a better score after which the training stops.
    metric : str, optional
        The name of a metric, the larger the better; by default the objective of `fit` on the validation data.

    Attributes
    ----------
    best : float
        The best score so far.
    best_epoch : int
        The epoch whose parameters are restored, counted from 1.
    waited : int
        The number of epochs since the best one.
    patience, metric
        The parameters of these names.

    See Also
    --------
    TimeLimit : Stops before a number of seconds is exceeded.
    PlateauSchedule : Lowers the learning rate instead of stopping.

    Examples
    --------
    >>> import scratchvae as sv
    >>> x = sv.data.draw_digits(64).images
    >>> stopping, model = sv.EarlyStopping(patience=2), sv.VAE.mlp(latent_size=2, hidden=(8,))
    >>> history = sv.fit(model, x, epochs=3, validation=0.25, callbacks=[stopping], progress=False)
    >>> stopping.best == max(history["validation_elbo"])
    True
    """

    def __init__(self, patience: int = 10, metric: str | None = None) -> None:
        self.patience, self.metric = whole_number("EarlyStopping", "patience", patience), metric
        self.best, self.best_epoch, self.waited, self.restored = -math.inf, 0, 0, False

    def begin(self, model: Any, validated: bool, resumed: bool) -> None:
        """Raises InputError if the score is one of validation data and there are none."""
        check_metric("EarlyStopping", self.metric, validated)
        self.best, self.best_epoch, self.waited, self.restored = -math.inf, 0, 0, False
        self._model, self._kept = model, _copied(model)

    def epoch_ended(self, metrics: Metrics) -> None:
        """Keeps the parameters if the score is better than all earlier ones."""
        score = score_of("EarlyStopping", self.metric, metrics)
        self.waited += 1
        if score > self.best:
            self.best, self.best_epoch, self.waited = score, int(metrics["epoch"]), 0
            self._kept = _copied(self._model)

    @property
    def stops(self) -> bool:  # type: ignore[override]
        """Tells whether the patience has run out."""
        return self.waited >= self.patience

    def state(self) -> dict[str, Any]:
        """Returns the best epoch and its parameters.

        After the training these are the parameters of the last epoch, where a resumed run continues.
        """
        numbers = {name: getattr(self, name) for name in ("best", "best_epoch", "waited", "restored")}
        return numbers | {f"kept/{name}": array for name, array in self._kept.items()}

    def resume(self, state: dict[str, Any], history: list[Metrics]) -> None:
        """Restores the state; a model with the parameters of the best epoch gets those of the last epoch back."""
        for name in ("best", "best_epoch", "waited"):
            setattr(self, name, state[name])
        self._kept = {name: state[f"kept/{name}"] for name in self._kept}
        if state["restored"]:
            self._exchange()

    def finish(self) -> None:
        """Restores the best parameters."""
        self._exchange()
        self.restored = True

    def _exchange(self) -> None:
        kept, self._kept = self._kept, _copied(self._model)
        self._model.load_state(kept)

    def __str__(self) -> str:
        return f"the parameters are those of epoch {self.best_epoch}, the best one"


class TimeLimit(Callback):
    """Stops if one more epoch, as long as the mean of the earlier ones, would end after this number of seconds.

    The first epoch always takes place. In a resumed run, the seconds before the interruption count too.

    Parameters
    ----------
    seconds : float
        The limit, above 0. Raises InputError for any other value.

    Attributes
    ----------
    seconds : float
        The limit.
    n_epochs : int
        The number of epochs so far.

    See Also
    --------
    EarlyStopping : Stops when the validation score no longer improves.

    Examples
    --------
    >>> from scratchvae.callbacks import TimeLimit
    >>> limit = TimeLimit(seconds=3600)
    >>> limit.begin(model=None, validated=False, resumed=False)
    >>> limit.epoch_ended({"elbo": -120.0})
    >>> limit.n_epochs, limit.stops
    (1, False)
    """

    def __init__(self, seconds: float) -> None:
        if isinstance(seconds, bool) or not (isinstance(seconds, Real) and 0 < seconds < math.inf):
            raise InputError("TimeLimit", "a positive number of seconds", repr(seconds))
        self.seconds, self.n_epochs, self._before, self._started = float(seconds), 0, 0.0, 0.0

    def begin(self, model: Any, validated: bool, resumed: bool) -> None:
        """Starts the clock."""
        self.n_epochs, self._before, self._started = 0, 0.0, time.monotonic()

    def epoch_ended(self, metrics: Metrics) -> None:
        """Counts the epoch."""
        self.n_epochs += 1

    @property
    def spent(self) -> float:
        """Returns the seconds spent training, excluding the time between an interruption and the resume."""
        return self._before + time.monotonic() - self._started

    @property
    def stops(self) -> bool:  # type: ignore[override]
        """Tells whether one more epoch would probably end too late."""
        return self.n_epochs > 0 and self.spent * (1 + 1 / self.n_epochs) > self.seconds

    def state(self) -> dict[str, Any]:
        """Returns the seconds spent, and the number of epochs."""
        return {"spent": self.spent, "n_epochs": self.n_epochs}

    def resume(self, state: dict[str, Any], history: list[Metrics]) -> None:
        """Restores the seconds spent and the number of epochs."""
        self._before, self.n_epochs = state["spent"], state["n_epochs"]


def _copied(model: Any) -> dict[str, numpy.ndarray]:
    return {name: numpy.array(to_numpy(array)) for name, array in model.state().items()}
