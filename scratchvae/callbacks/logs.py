"""These callbacks write the metrics of every epoch for other programs: to a CSV file, and for TensorBoard."""

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
    """Writes the metrics to a CSV file, with a header and a line for every epoch.

    Parameters
    ----------
    path : str or path
        The file to write. It must not exist, unless the run that wrote it is resumed.

    Attributes
    ----------
    path : Path
        The file.

    See Also
    --------
    TensorBoard : Writes the metrics for TensorBoard.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from scratchvae.callbacks import CSVLog
    >>> with TemporaryDirectory() as folder:
    ...     log = CSVLog(Path(folder) / "log.csv")
    ...     log.epoch_ended({"epoch": 1, "elbo": -120.5})
    ...     print(log.path.read_text().splitlines())
    ['epoch,elbo', '1,-120.5']
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def begin(self, model: Any, validated: bool, resumed: bool) -> None:
        """Raises InputError if the file exists, unless the run that wrote it is being resumed."""
        if self.path.exists() and not resumed:
            raise InputError("CSVLog", "a path where no file is", str(self.path), "only a resumed run continues a file")

    def epoch_ended(self, metrics: Metrics) -> None:
        """Appends a line."""
        try:
            with open(self.path, "a", encoding="utf-8", newline="") as file:
                file.write(_as_csv([metrics], header=file.tell() == 0))
        except OSError as error:
            raise WriteError(self.path, error) from error

    def resume(self, state: dict[str, Any], history: list[Metrics]) -> None:
        """Writes the file anew, because its last line may be from an epoch that no checkpoint contains."""
        write_text(self.path, _as_csv(history, header=True) if history else "")


class TensorBoard(Callback):
    """Writes the metrics as event files for TensorBoard, through the package tensorboardX.

    When a run is resumed, TensorBoard hides the steps of an older event file that are repeated.

    Parameters
    ----------
    directory : str or path
        The folder of the event files. Raises InputError if tensorboardX is not installed.

    Attributes
    ----------
    directory : Path
        The folder.

    See Also
    --------
    CSVLog : Writes the metrics to a CSV file, without a further package.

    Examples
    --------
    >>> import scratchvae as sv
    >>> log = sv.callbacks.TensorBoard("logs/run-1")  # doctest: +SKIP
    >>> history = sv.fit(model, x, epochs=30, callbacks=[log])  # doctest: +SKIP
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
        """Writes one point for every metric; the step is the epoch."""
        epoch = int(metrics["epoch"])
        if self._writer is None:
            self._writer = self._make(logdir=str(self.directory), purge_step=epoch)
        for name in metrics.keys() - {"epoch"}:
            self._writer.add_scalar(name, metrics[name], epoch)
        self._writer.flush()

    def close(self) -> None:
        """Closes the event file."""
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
