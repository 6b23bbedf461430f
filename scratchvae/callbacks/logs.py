"""The metrics of every epoch for other programs: a CSV file, and TensorBoard."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

from scratchvae.callbacks.callback import Callback
from scratchvae.errors import InputError
from scratchvae.replacement import WriteError, write_text
from scratchvae.run_files import Metrics


class CSVLog(Callback):
    """Writes the metrics into a CSV file, with a header and a line for every epoch. The path must be free."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def begin(self, model: Any, validated: bool, resumed: bool) -> None:
        """Raise InputError for a file that is there, unless the run that wrote it is resumed."""
        if self.path.exists() and not resumed:
            raise InputError("CSVLog", "a path where no file is", str(self.path), "only a resumed run goes on with one")

    def epoch_ended(self, metrics: Metrics) -> None:
        """Append a line."""
        try:
            with open(self.path, "a", encoding="utf-8", newline="") as file:
                file.write(_as_csv([metrics], header=file.tell() == 0))
        except OSError as error:
            raise WriteError(self.path, error) from error

    def resume(self, state: dict[str, Any], history: list[Metrics]) -> None:
        """Write the file anew: the last line may be of an epoch that no checkpoint has."""
        write_text(self.path, _as_csv(history, header=True) if history else "")


class TensorBoard(Callback):
    """Writes the metrics for TensorBoard, into event files in a folder, by tensorboardX.

    A resumed run hides those steps of an older event file that it repeats.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        try:
            import tensorboardX
        except ImportError:
            raise InputError(
                "TensorBoard", "the package tensorboardX", "none installed", 'pip install "scratchvae[tensorboard]"'
            ) from None
        self.directory, self._make, self._writer = Path(directory), tensorboardX.SummaryWriter, None

    def epoch_ended(self, metrics: Metrics) -> None:
        """Write a point of every metric; the step is the epoch."""
        epoch = int(metrics["epoch"])
        if self._writer is None:
            self._writer = self._make(logdir=str(self.directory), purge_step=epoch)
        for name in metrics.keys() - {"epoch"}:
            self._writer.add_scalar(name, metrics[name], epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _as_csv(history: list[Metrics], header: bool) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(history[0]), lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows(history)
    return text.getvalue()
