"""A training run and its directory: what was asked for, the metrics of every epoch, and checkpoints to resume from."""

from __future__ import annotations

import json
import os
import warnings
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy

from scratchvae import checkpoint, run_files
from scratchvae.backend import asarray, device_of, to_numpy
from scratchvae.callbacks import Callbacks
from scratchvae.errors import DataError, InputError
from scratchvae.replacement import WriteError, remove_abandoned, sync_directory, write_text
from scratchvae.run_files import Metrics, digest, has_begun, objective_score, read_configuration, refuse_run


class RunDirectory(os.PathLike):
    """Locks a directory for one run: `with RunDirectory(path) as directory: fit(..., run_dir=directory)`

    Entering it a second time, in this process or another, raises InputError. The operating system holds the lock, on
    the empty file `.lock`, and releases it when the process dies. Readers need no lock, since files are replaced whole.
    `fit` locks a path by itself; a caller that needs the directory before and after `fit` passes this object instead.

    Parameters
    ----------
    path : str or path
        The directory, which is created if there is none.
    command : str
        The command that resumes the run, for messages.

    Attributes
    ----------
    options : dict, optional
        The caller's own options, in plain values; `fit` stores them in config.json without reading them.
    """

    def __init__(self, path: str | os.PathLike[str], command: str = "") -> None:
        from filelock import FileLock

        self.path, self.command = Path(path), command
        self.options: dict[str, Any] | None = None
        self._lock = FileLock(self.path / ".lock", blocking=False)

    def __fspath__(self) -> str:
        return str(self.path)

    def __reduce__(self) -> str:
        raise InputError("copy of a RunDirectory", "its path", "the lock itself", "RunDirectory(path) where it goes")

    def __enter__(self) -> RunDirectory:
        from filelock import Timeout

        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"run directory {self.path}", "a directory", "a file of that name")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise InputError(f"run directory {self.path}", "one that no other run writes to", "one in use") from None
        except OSError as error:
            raise WriteError(self.path, error) from error
        remove_abandoned(self.path)
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def refuse_run(self) -> None:
        """Raises InputError if the directory holds a run, or a sub-folder of it holds a part of one."""
        for path in (self.path, *(file.parent for file in self.path.glob("*/config.json"))):
            refuse_run(path)

    def begin(self, options: dict[str, Any]) -> None:
        """Writes the options to config.json, so that a run whose parts are trained first can be resumed from there.

        Raises what `refuse_run` raises.
        """
        self.refuse_run()
        self.options = options
        write_text(self.path / "config.json", checkpoint.as_json({"options": options}, indent=2))


class Run:
    """The state of training: `step` of all steps, `seconds` of the epoch so far, and the `history` of whole epochs.

    With a directory it also lives there, and locks it while it is entered: config.json, metrics.jsonl, last.npz, and
    best.npz (by the objective on the validation data). The metrics of an epoch are written before its checkpoint, and
    cut back to the checkpoint when the run is resumed. What cannot be written stops the run with WriteError.

    Parameters
    ----------
    directory : path, RunDirectory or None
    resume : bool
        Take everything up from the directory. Without it a directory that holds a run is refused.
    settings : dict
        All that determines the result, except the number of epochs; on resume it must be as it was.
    model, optimizer : changed in place when the run is resumed
    terms : array (steps of an epoch, terms of the objective)
        Those of the epoch's steps so far; kept in the checkpoint.
    defaults : dict, optional
        By name, what settings are in an older run that does not have them. Those of the model's constructor and of the
        optimiser are known here.
    callbacks : optional
        See every epoch; their states are kept in the checkpoint.
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
        defaults: dict[str, Any] | None = None,
        callbacks: Callbacks | None = None,
    ) -> None:
        if resume and directory is None:
            raise InputError("resume", "a run directory", "none", "run_dir=... names it")
        if directory is not None and not (isinstance(directory, str | os.PathLike) and os.fspath(directory)):
            raise InputError("fit", "run_dir as the path of a directory", repr(directory))
        self.directory = None if directory is None else Path(directory)
        self.resume, self.settings, self.epochs = resume, json.loads(checkpoint.as_json(settings)), int(epochs)
        self.defaults = defaults or {}
        self.model, self.optimizer, self.terms, self.callbacks = model, optimizer, terms, callbacks or Callbacks()
        self.step, self.seconds, self.best_score = 0, 0.0, None
        self.history: list[Metrics] = []
        self._entered = directory if isinstance(directory, RunDirectory) else None
        self._options = None if self._entered is None else self._entered.options

    def __enter__(self) -> Run:
        with ExitStack() as stack:
            if self.directory is not None:
                if self.resume and not has_begun(self.directory):
                    raise DataError(f"resume {self.directory}", "a run directory", "no config.json in it")
                stack.push(self._say_how_to_go_on)
                stack.enter_context(self._entered or RunDirectory(self.directory))
                if self.resume:
                    self._take_up()
                else:
                    refuse_run(self.directory)
                    self.save()  # before the configuration, which marks a directory as one that can be resumed
                options = {} if self._options is None else {"options": self._options}
                config = (
                    options | self.settings | {"epochs": self.epochs, "versions": run_files.versions(self.model.device)}
                )
                write_text(self.directory / "config.json", checkpoint.as_json(config, indent=2))
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._exit.__exit__(*failure)

    def save(self, name: str = "last.npz") -> None:
        """Writes a checkpoint of model, optimiser and progress, if there is a directory."""
        if self.directory is None:
            return
        progress, arrays, history = self.state()
        described = {
            "configuration": self.model.configuration,
            "settings": digest(self.settings),
            "metrics": digest(history),
        }
        checkpoint.write(self.directory / name, described | progress, arrays)

    def state(self) -> tuple[dict[str, Any], dict[str, numpy.ndarray], list[Metrics]]:
        """Returns the progress of training in numbers and arrays, and the metrics of whole epochs, for `go_to`."""
        progress = {
            "step": self.step,
            "n_steps": self.optimizer.n_steps,
            "seconds": self.seconds,
            "best_score": self.best_score,
            "callbacks": self.callbacks.numbers(),
        }
        return progress, self._arrays(), self.history

    def go_to(self, progress: dict[str, Any], arrays: dict[str, numpy.ndarray], history: list[Metrics]) -> None:
        """Sets model, optimizer and callbacks to a state that has been checked."""
        names = [name for name in arrays if name.startswith("model/")]
        self.model.load_state({name.removeprefix("model/"): arrays[name] for name in names})
        for name, state in self.optimizer.state.items():
            state[...] = asarray(arrays[f"optimizer/{name}"], device_of(state))
        self.terms[...] = asarray(arrays["terms"], device_of(self.terms))
        self.step, self.seconds, self.best_score = (progress[name] for name in ("step", "seconds", "best_score"))
        self.optimizer.n_steps, self.history = progress["n_steps"], history
        self.callbacks.resume(progress.get("callbacks", {}), arrays, history)

    def finish_epoch(self, metrics: Metrics) -> None:
        """Records an epoch's metrics, shows them to the callbacks, then writes the checkpoint that contains it."""
        self.history.append(metrics | {"seconds": round(self.seconds, 3)})
        self.seconds = 0.0
        self.callbacks.epoch_ended(self.history[-1])
        if self.directory is None:
            return
        path = self.directory / "metrics.jsonl"
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(self.history[-1]) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise WriteError(path, error) from error
        sync_directory(self.directory)
        score = objective_score(metrics)
        if score is not None and (self.best_score is None or score > self.best_score):
            self.best_score = score
            self.save("best.npz")
        self.save()

    @property
    def stopped(self) -> bool:
        """Tells whether a callback ends the training here, after an epoch."""
        return bool(self.history) and self.step == len(self.history) * len(self.terms) and self.callbacks.stop

    def finish(self) -> None:
        """Ends the training; callbacks may change the model before the last checkpoint is written."""
        self.callbacks.finish()
        if self.callbacks.numbers():
            self.save()

    def write(self, name: str, text: str) -> None:
        """Writes a text file beside the checkpoints, if there is a directory."""
        if self.directory is not None:
            write_text(self.directory / name, text)

    def last_checkpoint(self) -> str:
        """Returns a clause that says where the last checkpoint is."""
        if self.directory is None:
            return "there is no run directory, so no checkpoint"
        if not has_begun(self.directory):
            return "the run has not begun, so there is no checkpoint"
        return f"the last checkpoint is {self.directory / 'last.npz'}"

    def how_to_resume(self) -> str:
        """Returns the clause above with the call that resumes the run, and the command if a command started it."""
        if self.directory is None or not has_begun(self.directory):
            return self.last_checkpoint()
        command = f"`{self._entered.command}`, or " if self._entered and self._entered.command else ""
        resume = f"{command}fit(..., run_dir={str(self.directory)!r}, resume=True)"
        return f"{self.last_checkpoint()}, to resume by {resume}"

    def _say_how_to_go_on(self, _: Any, error: BaseException | None, __: Any) -> None:
        if isinstance(error, WriteError):
            error.outlook = f"all that was written before is intact; {self.how_to_resume()}"

    def _arrays(self) -> dict[str, numpy.ndarray]:
        """Returns the arrays of a checkpoint, of the model, the current epoch, the callbacks and the optimiser."""
        arrays = checkpoint.model_arrays(self.model) | {"terms": to_numpy(self.terms)} | self.callbacks.arrays()
        return arrays | {f"optimizer/{name}": to_numpy(array) for name, array in self.optimizer.state.items()}

    def _take_up(self) -> None:
        """Checks everything in the directory, and only then changes model and optimiser."""
        recorded = self._check_configuration()
        progress, arrays = self._read_checkpoint(recorded)
        n_epochs = progress["step"] // len(self.terms)
        history = run_files.read_metrics(self.directory)[:n_epochs]
        if len(history) < n_epochs or None in history or progress.get("metrics") != digest(history):
            n_read = sum(metrics is not None for metrics in history)
            received = f"those of {n_read}" if n_read < n_epochs else "other numbers than the run wrote"
            expected = f"the metrics of {n_epochs} epochs in metrics.jsonl"
            raise DataError(f"resume {self.directory}", expected, received)
        self.go_to(progress, arrays, history)
        lines = "".join(json.dumps(metrics) + "\n" for metrics in history)
        write_text(self.directory / "metrics.jsonl", lines)
        if recorded != self.settings:
            self.save()  # before the configuration, which then has the settings that the older run did not have

    def _check_configuration(self) -> dict[str, Any]:
        """Returns the settings in config.json; refuses other settings and fewer epochs, and warns of other versions."""
        recorded = read_configuration(self.directory / "config.json")
        versions, epochs = recorded.pop("versions", None), recorded.pop("epochs", None)
        options = recorded.pop("options", None)
        self._options = options if self._options is None else self._options
        before, now = (
            run_files.completed(recorded, self.settings, self._every_default()),
            run_files.versions(self.model.device),
        )
        names = sorted(before.keys() | self.settings.keys())
        changed = [name for name in names if digest(before.get(name)) != digest(self.settings.get(name))]
        if changed:
            ours, theirs = ({name: config.get(name) for name in changed} for config in (self.settings, before))
            raise InputError(
                f"resume {self.directory}", f"the settings of the run, {theirs}", f"{ours}", "only epochs may grow"
            )
        if type(epochs) is not int or self.epochs < epochs:
            raise InputError(f"resume {self.directory}", f"at least the run's {epochs!r} epochs", str(self.epochs))
        if not run_files.same_versions(versions, now):
            message = (
                f"resumed under other versions than before, so perhaps not to the same bits: {versions} then, {now} now"
            )
            warnings.warn(message, stacklevel=5)
        return recorded

    def _every_default(self) -> dict[str, Any]:
        """Returns the defaults of the settings, with those of the model's constructor and of the optimiser."""
        parts = {"model": run_files.defaults_of(self.model), "optimizer": run_files.defaults(type(self.optimizer))}
        return json.loads(json.dumps(self.defaults | parts, default=repr))

    def _read_checkpoint(self, recorded: dict[str, Any]) -> tuple[dict[str, Any], dict[str, numpy.ndarray]]:
        """Returns progress and arrays of last.npz, after checking that they belong to the recorded settings."""
        last = self.directory / "last.npz"
        try:
            progress, arrays = checkpoint.read(last)
        except DataError as error:
            with suppress(DataError):
                best, _ = checkpoint.read(self.directory / "best.npz")
                error.args = (f"{error} (best.npz is whole, of step {best.get('step')}: copied over it, it resumes)",)
            raise
        if "terms" not in arrays:
            raise DataError(f"resume {last}", "a checkpoint of a run", "a model without the state of its training")
        self.callbacks.check(self.directory, progress.get("callbacks", {}))
        own, read = (
            {name: f"{name} {array.dtype} {array.shape}" for name, array in some.items()}
            for some in (self._arrays(), arrays)
        )
        for name in own | read:
            if own.get(name) != read.get(name):
                raise DataError(f"resume {last}", own.get(name, f"no {name}"), read.get(name, f"no {name}"))
        if progress.get("settings") not in (digest(recorded), digest(self.settings)):
            raise DataError(f"resume {last}", "a checkpoint of this run", "one of a run with other settings")
        n_steps = self.epochs * len(self.terms)
        step, seconds, best_score = (progress.get(name) for name in ("step", "seconds", "best_score"))
        if not (type(step) is int and 0 <= step <= n_steps and progress.get("n_steps") == step):
            received = f"step {step!r}, {progress.get('n_steps')!r} of the optimiser"
            raise DataError(f"resume {last}", f"a step up to {n_steps}, and as many of the optimiser", received)
        if type(seconds) is not float or not isinstance(best_score, float | None):
            expected, received = "seconds, and best_score if any, as numbers", f"{seconds!r} and {best_score!r}"
            raise DataError(f"resume {last}", expected, received)
        return progress, arrays
