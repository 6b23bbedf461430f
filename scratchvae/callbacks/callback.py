"""What a callback of `fit` is: it sees the metrics of every epoch, and may stop the training and keep a state."""

from __future__ import annotations

import math
from typing import Any

from scratchvae.errors import InputError
from scratchvae.run_files import Metrics, objective_score


class Callback:
    """Sees the metrics of every epoch of `fit`. A subclass defines `epoch_ended`, and what else it needs.

    Attributes
    ----------
    stops : bool
        Whether the training is to end here; read after every epoch, and after `resume`.
    """

    stops: bool = False

    def begin(self, model: Any, validated: bool, resumed: bool) -> None:
        """Forget what was before: a training of this model begins, with validation data or not."""

    def epoch_ended(self, metrics: Metrics) -> None:
        """Take note of the metrics of an epoch, those that `fit` returns."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """All that a checkpoint must keep, by name: numbers of Python, and arrays. The names are always the same."""
        return {}

    def resume(self, state: dict[str, Any], history: list[Metrics]) -> None:
        """Take up the state of a checkpoint, which follows the epochs of the history."""

    def finish(self) -> None:
        """The training has ended, by the number of epochs or a callback; the last checkpoint is written after this."""

    def close(self) -> None:
        """`fit` ends here, whatever the reason."""


def check_metric(operation: str, metric: str | None, validated: bool) -> None:
    """Raise InputError where the score is that of validation data, and there are none."""
    if metric is None and not validated:
        raise InputError(operation, "validation data", "none", "validation=0.1 holds out a tenth of the rows")


def score_of(operation: str, metric: str | None, metrics: Metrics) -> float:
    """The metric of this name; without a name what `fit` ascends, on the validation data."""
    if metric is not None and metric not in metrics:
        raise InputError(operation, f"a metric among {', '.join(metrics)}", repr(metric))
    score = objective_score(metrics) if metric is None else metrics[metric]
    return math.nan if score is None else float(score)
