"""A training run and its directory: what was asked for, the metrics of every epoch, and checkpoints to resume from."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import warnings
from pathlib import Path
from typing import Any

import numpy

from scratchvae import checkpoint
from scratchvae.backend import asarray, device_of, to_numpy
from scratchvae.errors import DataError, InputError

Metrics = dict[str, float]


class Run:
    """Where training stands: `step` of all steps, `seconds` of the epoch so far, and the `history` of whole epochs.

    With a directory it also lives there: config.json, metrics.jsonl, last.npz, and best.npz (by the objective on the
    validation data). The metrics of an epoch are written before its checkpoint, and cut back to the checkpoint when the
    run is resumed.

    Parameters
    ----------
    directory : path or None
    resume : bool
        Take everything up from the directory. Without it a directory that holds a run is refused.
    settings : dict
        All that determines the result, except the number of epochs; on resume it must be as it was.
    model, optimizer : changed in place when the run is resumed
    terms : array (steps of an epoch, 2)
        Reconstruction and KL of the epoch's steps so far; kept in the checkpoint.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None,
        resume: bool,
        settings: dict[str, Any],
        epochs: int,
        model: Any,
        optimizer: Any,
        terms: Any,
    ) -> None:
        self.directory = None if directory is None else Path(directory)
        self.model, self.optimizer, self.terms = model, optimizer, terms
        self.step, self.seconds, self.best_elbo = 0, 0.0, None
        self.history: list[Metrics] = []
        if self.directory is None:
            if resume:
                raise InputError("resume", "a run directory", "none", "run_dir=... names it")
            return
        config_file = self.directory / "config.json"
        if resume:
            self._take_up(settings, epochs)
        elif config_file.exists():
            raise InputError(
                f"run directory {self.directory}", "an empty one", "one with a run", "resume, or name another"
            )
        else:
            self.save()  # before the configuration, which marks a directory as one that can be resumed
        config = settings | {"epochs": epochs, "versions": _versions()}
        checkpoint.write_text(config_file, checkpoint.as_json(config, indent=2))

    def save(self, name: str = "last.npz") -> None:
        """Write a checkpoint of model, optimiser and progress, if there is a directory."""
        if self.directory is None:
            return
        progress = {
            "configuration": self.model.configuration,
            "step": self.step,
            "n_steps": self.optimizer.n_steps,
            "seconds": self.seconds,
            "best_elbo": self.best_elbo,
        }
        arrays = checkpoint.model_arrays(self.model) | {"terms": to_numpy(self.terms)}
        arrays |= {f"optimizer/{name}": to_numpy(array) for name, array in self.optimizer.state.items()}
        checkpoint.write(self.directory / name, progress, arrays)

    def finish_epoch(self, metrics: Metrics) -> None:
        """Record an epoch's metrics, then write the checkpoint that contains it."""
        self.history.append(metrics | {"seconds": round(self.seconds, 3)})
        self.seconds = 0.0
        if self.directory is None:
            return
        with open(self.directory / "metrics.jsonl", "a") as file:
            file.write(json.dumps(self.history[-1]) + "\n")
            file.flush()
            os.fsync(file.fileno())
        elbo = metrics.get("validation_bound", metrics.get("validation_elbo"))  # what the objective is on other data
        if elbo is not None and (self.best_elbo is None or elbo > self.best_elbo):
            self.best_elbo = elbo
            self.save("best.npz")
        self.save()

    def last_checkpoint(self) -> str:
        """A clause that says where the last checkpoint is."""
        if self.directory is None:
            return "there is no run directory, so no checkpoint"
        return f"the last checkpoint is {self.directory / 'last.npz'}"

    def how_to_resume(self) -> str:
        """The same clause, with what to call."""
        if self.directory is None:
            return self.last_checkpoint()
        resume = (
            f"`scratchvae train --resume {self.directory}`, or fit(..., run_dir={str(self.directory)!r}, resume=True)"
        )
        return f"{self.last_checkpoint()}, to resume by {resume}"

    def _take_up(self, settings: dict[str, Any], epochs: int) -> None:
        config_file, last = self.directory / "config.json", self.directory / "last.npz"
        try:
            before = json.loads(config_file.read_text())
        except FileNotFoundError:
            raise DataError(f"resume {self.directory}", "a run directory", "no config.json in it") from None
        except ValueError as error:
            raise DataError(f"resume {config_file}", "the configuration of a run", f"other text: {error}") from None
        versions = before.pop("versions", None)
        epochs_before = before.pop("epochs", 0)
        settings = json.loads(checkpoint.as_json(settings))
        changed = sorted(name for name in before.keys() | settings.keys() if before.get(name) != settings.get(name))
        if changed:
            was, now = ({name: config.get(name) for name in changed} for config in (before, settings))
            raise InputError(
                f"resume {self.directory}", f"the settings of the run, {was}", f"{now}", "only epochs may grow"
            )
        if epochs < epochs_before:
            raise InputError(f"resume {self.directory}", f"at least the run's {epochs_before} epochs", str(epochs))
        if versions != _versions():
            message = (
                f"resumed under other versions than before, so not to the same bits: {versions} then, {_versions()} now"
            )
            warnings.warn(message, stacklevel=4)
        progress, arrays = checkpoint.read(last)
        if "terms" not in arrays:
            raise DataError(f"resume {last}", "a checkpoint of a run", "a model without the state of its training")
        checkpoint.load(last, into=self.model)
        for name, state in self.optimizer.state.items():
            state[...] = asarray(arrays[f"optimizer/{name}"], device_of(state))
        self.terms[...] = asarray(arrays["terms"], device_of(self.terms))
        self.step, self.seconds, self.best_elbo = (progress[name] for name in ("step", "seconds", "best_elbo"))
        self.optimizer.n_steps = progress["n_steps"]
        self.history = [metrics for metrics in _read_metrics(self.directory) if metrics["step"] <= self.step]
        if len(self.history) != self.step // len(self.terms):
            expected = f"the metrics of {self.step // len(self.terms)} epochs in metrics.jsonl"
            raise DataError(f"resume {self.directory}", expected, f"those of {len(self.history)}")
        lines = "".join(json.dumps(metrics) + "\n" for metrics in self.history)
        checkpoint.write_text(self.directory / "metrics.jsonl", lines)


def read_history(directory: str | os.PathLike[str]) -> dict[str, list[float]]:
    """What `fit` returned, from a run's directory. Raises DataError if no epoch has been finished there."""
    history = _read_metrics(Path(directory))
    if not history:
        raise DataError(f"run directory {directory}", "a finished epoch in metrics.jsonl", "none yet")
    return {name: [metrics[name] for metrics in history] for name in history[0]}


def _read_metrics(directory: Path) -> list[Metrics]:
    """The lines of metrics.jsonl, up to one that was being written when the run died."""
    path, history = directory / "metrics.jsonl", []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            metrics = json.loads(line)
            if not isinstance(metrics["step"], int):
                break
            history.append(metrics)
        except (ValueError, TypeError, KeyError):
            break
    return history


def fingerprint(x: Any) -> str:
    """The shape, type and SHA-256 of an array: whether data are the same as before."""
    x = numpy.ascontiguousarray(to_numpy(x))
    return f"{x.shape} {x.dtype} {hashlib.sha256(x).hexdigest()}"


def _versions() -> dict[str, str]:
    """What else the last bits of a result depend on."""
    threads = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if name in os.environ}
    return {
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
    } | threads
