"""A callback of `fit` receives the metrics of every epoch, may stop the training, and may keep a state."""

from __future__ import annotations

import math
from typing import Any

from scratchvae.errors import InputError
from scratchvae.run_files import Metrics, objective_score


class Callback:
    """Receives the metrics of every epoch of `fit`. A subclass defines `epoch_ended`, and other methods if needed.

    Attributes
    ----------
    stops : bool
        Whether the training should end here; `fit` reads it after every epoch, and after `resume`.

    See Also
    --------
    EarlyStopping : Stops when the validation score no longer improves.
    Callbacks : Runs all callbacks of one training.

    Examples
    --------
    >>> from scratchvae.callbacks import Callback
    >>> class Target(Callback):
    ...     def epoch_ended(self, metrics):
    ...         self.stops = metrics["elbo"] > -100
    >>> target = Target()
    >>> target.epoch_ended({"elbo": -99.0})
    >>> target.stops
    True
    """

    stops: bool = False

    def begin(self, model: Any, validated: bool, resumed: bool) -> None:
        """Forgets earlier trainings: a training of this model begins, with or without validation data."""

    def epoch_ended(self, metrics: Metrics) -> None:
        """Receives the metrics of an epoch, those that `fit` returns."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Returns everything that a checkpoint must keep: Python numbers and arrays, under names that never change."""
        return {}

    def resume(self, state: dict[str, Any], history: list[Metrics]) -> None:
        """Restores the state from a checkpoint written after the epochs in the history."""

    def finish(self) -> None:
        """Is called when the training ends regularly, before the last checkpoint is written."""

    def close(self) -> None:
        """Is called when `fit` returns or raises, whatever the reason."""


def check_metric(operation: str, metric: str | None, validated: bool) -> None:
    """Raises InputError if the score is one of validation data and there are none."""
    if metric is None and not validated:
        raise InputError(operation, "validation data", "none", "validation=0.1 holds out a tenth of the rows")


def score_of(operation: str, metric: str | None, metrics: Metrics) -> float:
    """Returns the metric of this name; without a name, the objective of `fit` on the validation data."""
    if metric is not None and metric not in metrics:
        raise InputError(operation, f"a metric among {', '.join(metrics)}", repr(metric))
    score = objective_score(metrics) if metric is None else metrics[metric]
    return math.nan if score is None else float(score)
