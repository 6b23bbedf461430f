"""`PlateauSchedule` is a learning rate that falls when the score no longer rises."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from scratchvae.callbacks.callback import Callback, check_metric, score_of
from scratchvae.errors import InputError, whole_number
from scratchvae.run_files import Metrics


class PlateauSchedule(Callback):
    """rate <- max(factor rate, smallest) after every `patience` epochs in a row without a better score; first `start`.

    It is passed to `fit` as a learning rate: fit(..., learning_rate=PlateauSchedule(1e-3)). `fit` calls it as a
    callback, too.

    Parameters
    ----------
    start : float
        The learning rate of the first epoch.
    factor : float
        The factor, between 0 and 1, by which the rate falls.
    patience : int
        The number of epochs without a better score after which the rate falls.
    smallest : float
        The rate never falls below this value.
    metric : str, optional
        The name of a metric, as in EarlyStopping.

    Attributes
    ----------
    rate : float
        The current learning rate.
    start, factor, patience, smallest, metric
        The parameters of these names.

    See Also
    --------
    EarlyStopping : Stops the training instead of lowering the rate.
    scratchvae.optim.ExponentialSchedule : Lowers the rate at every step.

    Examples
    --------
    >>> from scratchvae.callbacks import PlateauSchedule
    >>> rate = PlateauSchedule(1e-3, patience=2, metric="elbo")
    >>> for elbo in (-110.0, -105.0, -106.0, -105.0):
    ...     rate.epoch_ended({"elbo": elbo})
    >>> rate.rate
    0.0005
    """

    def __init__(
        self, start: float, factor: float = 0.5, patience: int = 5, smallest: float = 0.0, metric: str | None = None
    ) -> None:
        for name, value, largest in (("start", start, math.inf), ("factor", factor, 1), ("smallest", smallest, start)):
            is_number = isinstance(value, Real) and not isinstance(value, bool)
            if not is_number or not (0 < value < largest or value == 0 == smallest and name == "smallest"):
                expected = f"a number above 0 and below {largest:g}" if largest < math.inf else "a positive number"
                raise InputError("PlateauSchedule", f"{expected} as {name}", repr(value))
        self.start, self.factor, self.smallest = float(start), float(factor), float(smallest)
        self.patience, self.metric = whole_number("PlateauSchedule", "patience", patience), metric
        self.rate, self.best, self.waited = self.start, -math.inf, 0

    def __call__(self, step: int) -> float:
        return self.rate

    def begin(self, model: Any, validated: bool, resumed: bool) -> None:
        """Raises InputError if the score is one of validation data and there are none."""
        check_metric("PlateauSchedule", self.metric, validated)
        self.rate, self.best, self.waited = self.start, -math.inf, 0

    def epoch_ended(self, metrics: Metrics) -> None:
        """Lowers the rate once the patience has run out."""
        score = score_of("PlateauSchedule", self.metric, metrics)
        self.best, self.waited = (score, 0) if score > self.best else (self.best, self.waited + 1)
        if self.waited == self.patience:
            self.rate, self.waited = max(self.factor * self.rate, self.smallest), 0

    def state(self) -> dict[str, Any]:
        """Returns the rate, the best score, and the number of epochs since that score."""
        return {"rate": self.rate, "best": self.best, "waited": self.waited}

    def resume(self, state: dict[str, Any], history: list[Metrics]) -> None:
        """Restores the rate, the best score and the count of epochs since."""
        self.rate, self.best, self.waited = state["rate"], state["best"], state["waited"]

    def __repr__(self) -> str:
        names = ("start", "factor", "patience", "smallest", "metric")
        return f"PlateauSchedule({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"
