"""A training run and its directory: what was asked for, the metrics of every epoch, and checkpoints to resume from."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import warnings
from contextlib import ExitStack, suppress
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import numpy

from scratchvae import checkpoint
from scratchvae.backend import asarray, device_of, to_numpy
from scratchvae.checkpoint import WriteError
from scratchvae.errors import DataError, InputError
from scratchvae.npz import opened, readable

Metrics = dict[str, float]
LARGEST_METRIC = 1e100  # what is larger no run has written, and no picture can show
METRICS = {"epoch", "step", "elbo", "reconstruction", "kl", "active_units", "seconds"}  # of every epoch


class RunDirectory(os.PathLike):
    """A directory that one run at a time writes to: `with RunDirectory(path) as held: fit(..., run_dir=held)`

    Whoever else enters it meanwhile, in this process or another, is refused with InputError. The system keeps the lock,
    on the empty file `.lock`, and takes it back when the process dies. Readers need none: files are replaced whole.
    `fit` enters a path by itself; who holds a directory before and after `fit` gives it this object.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        from filelock import FileLock

        self.path = Path(path)
        self._lock = FileLock(self.path / ".lock", blocking=False)

    def __fspath__(self) -> str:
        return str(self.path)

    def __reduce__(self) -> str:
        raise InputError("copy of a RunDirectory", "its path", "the lock itself", "RunDirectory(path) where it goes")

    def __enter__(self) -> RunDirectory:
        from filelock import Timeout

        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise InputError(f"run directory {self.path}", "one that no other run writes to", "one in use") from None
        except OSError as error:
            raise WriteError(self.path, error) from error
        self._remove_what_the_dead_left()
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _remove_what_the_dead_left(self) -> None:
        """Unlink the temporary files of processes that died while they wrote."""
        for name in ("config.json", "options.json", "labelled_rows.json", "metrics.jsonl", "last.npz", "best.npz"):
            for path in self.path.glob(f".{name}.*"):
                process = path.name.rpartition(".")[2]
                if process.isdecimal() and (int(process) == os.getpid() or not _is_alive(int(process))):
                    with suppress(OSError):
                        path.unlink()


class Run:
    """Where training stands: `step` of all steps, `seconds` of the epoch so far, and the `history` of whole epochs.

    With a directory it also lives there, and holds it while it is entered: config.json, metrics.jsonl, last.npz, and
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
        if resume and directory is None:
            raise InputError("resume", "a run directory", "none", "run_dir=... names it")
        self.directory = None if directory is None else Path(directory)
        self.resume, self.settings, self.epochs = resume, json.loads(checkpoint.as_json(settings)), epochs
        self.model, self.optimizer, self.terms = model, optimizer, terms
        self.step, self.seconds, self.best_score = 0, 0.0, None
        self.history: list[Metrics] = []
        self._held = directory if isinstance(directory, RunDirectory) else None

    def __enter__(self) -> Run:
        with ExitStack() as stack:
            if self.directory is not None:
                config_file = self.directory / "config.json"
                if self.resume and not config_file.exists():
                    raise DataError(f"resume {self.directory}", "a run directory", "no config.json in it")
                stack.push(self._say_how_to_go_on)
                stack.enter_context(self._held or RunDirectory(self.directory))
                if self.resume:
                    self._take_up()
                else:
                    refuse_run(self.directory)
                    self.save()  # before the configuration, which marks a directory as one that can be resumed
                config = self.settings | {"epochs": self.epochs, "versions": _versions()}
                checkpoint.write_text(config_file, json.dumps(config, indent=2))
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._exit.__exit__(*failure)

    def save(self, name: str = "last.npz") -> None:
        """Write a checkpoint of model, optimiser and progress, if there is a directory."""
        if self.directory is None:
            return
        progress = {
            "configuration": self.model.configuration,
            "settings": _digest(self.settings),
            "metrics": _digest(self.history),
            "step": self.step,
            "n_steps": self.optimizer.n_steps,
            "seconds": self.seconds,
            "best_score": self.best_score,
        }
        checkpoint.write(self.directory / name, progress, self._arrays())

    def finish_epoch(self, metrics: Metrics) -> None:
        """Record an epoch's metrics, then write the checkpoint that contains it."""
        self.history.append(metrics | {"seconds": round(self.seconds, 3)})
        self.seconds = 0.0
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
        checkpoint.sync_directory(self.directory)
        score = metrics.get("validation_bound", metrics.get("validation_elbo"))  # the objective, on other data
        if score is not None and (self.best_score is None or score > self.best_score):
            self.best_score = score
            self.save("best.npz")
        self.save()

    def write(self, name: str, text: str) -> None:
        """Write a text file beside the checkpoints, if there is a directory."""
        if self.directory is not None:
            checkpoint.write_text(self.directory / name, text)

    def last_checkpoint(self) -> str:
        """A clause that says where the last checkpoint is."""
        if self.directory is None:
            return "there is no run directory, so no checkpoint"
        if not (self.directory / "config.json").exists():
            return "the run has not begun, so there is no checkpoint"
        return f"the last checkpoint is {self.directory / 'last.npz'}"

    def how_to_resume(self) -> str:
        """The same clause, with what to call; the command line goes on with what it began, M1 as a part of m1+m2."""
        if self.directory is None or not (self.directory / "config.json").exists():
            return self.last_checkpoint()
        begun = (path for path in (self.directory, self.directory.parent) if (path / "options.json").exists())
        command = "".join(f"`scratchvae train --resume {path}`, or " for path in islice(begun, 1))
        resume = f"{command}fit(..., run_dir={str(self.directory)!r}, resume=True)"
        return f"{self.last_checkpoint()}, to resume by {resume}"

    def _say_how_to_go_on(self, _: Any, error: BaseException | None, __: Any) -> None:
        if isinstance(error, WriteError):
            error.outlook = f"all that was written before is intact; {self.how_to_resume()}"

    def _arrays(self) -> dict[str, numpy.ndarray]:
        """What a checkpoint holds of the model, the epoch under way and the optimiser."""
        arrays = checkpoint.model_arrays(self.model) | {"terms": to_numpy(self.terms)}
        return arrays | {f"optimizer/{name}": to_numpy(array) for name, array in self.optimizer.state.items()}

    def _take_up(self) -> None:
        """Check all that the directory holds, and only then change model and optimiser."""
        self._check_configuration()
        progress, arrays = self._read_checkpoint()
        n_epochs = progress["step"] // len(self.terms)
        history = _read_metrics(self.directory)[:n_epochs]
        if len(history) < n_epochs or None in history or progress.get("metrics") != _digest(history):
            n_read = sum(metrics is not None for metrics in history)
            received = f"those of {n_read}" if n_read < n_epochs else "other numbers than the run wrote"
            expected = f"the metrics of {n_epochs} epochs in metrics.jsonl"
            raise DataError(f"resume {self.directory}", expected, received)
        names = [name for name in arrays if name.startswith("model/")]
        self.model.load_state({name.removeprefix("model/"): arrays[name] for name in names})
        for name, state in self.optimizer.state.items():
            state[...] = asarray(arrays[f"optimizer/{name}"], device_of(state))
        self.terms[...] = asarray(arrays["terms"], device_of(self.terms))
        self.step, self.seconds, self.best_score = (progress[name] for name in ("step", "seconds", "best_score"))
        self.optimizer.n_steps, self.history = progress["n_steps"], history
        lines = "".join(json.dumps(metrics) + "\n" for metrics in history)
        checkpoint.write_text(self.directory / "metrics.jsonl", lines)

    def _check_configuration(self) -> None:
        """Refuse other settings, and fewer epochs; warn of other versions."""
        before = read_configuration(self.directory / "config.json")
        versions, epochs = before.pop("versions", None), before.pop("epochs", None)
        names = sorted(before.keys() | self.settings.keys())
        changed = [name for name in names if _digest(before.get(name)) != _digest(self.settings.get(name))]
        if changed:
            was, now = ({name: config.get(name) for name in changed} for config in (before, self.settings))
            raise InputError(
                f"resume {self.directory}", f"the settings of the run, {was}", f"{now}", "only epochs may grow"
            )
        if type(epochs) is not int or self.epochs < epochs:
            raise InputError(f"resume {self.directory}", f"at least the run's {epochs!r} epochs", str(self.epochs))
        if versions != _versions():
            message = (
                f"resumed under other versions than before, so not to the same bits: {versions} then, {_versions()} now"
            )
            warnings.warn(message, stacklevel=5)

    def _read_checkpoint(self) -> tuple[dict[str, Any], dict[str, numpy.ndarray]]:
        """Progress and arrays of last.npz, if they are those of this run."""
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
        own, read = (
            {name: f"{name} {array.dtype} {array.shape}" for name, array in some.items()}
            for some in (self._arrays(), arrays)
        )
        for name in own | read:
            if own.get(name) != read.get(name):
                raise DataError(f"resume {last}", own.get(name, f"no {name}"), read.get(name, f"no {name}"))
        if progress.get("settings") != _digest(self.settings):
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


def refuse_run(directory: Path) -> None:
    """Raise InputError for a directory with anything of a run in it, but for the start of one that died at once."""
    begun = any((directory / name).exists() for name in ("config.json", "metrics.jsonl", "best.npz"))
    last = directory / "last.npz"
    if not begun and last.exists():
        try:
            begun = checkpoint.read(last)[0].get("step") != 0
        except DataError:
            begun = True
    if begun:
        raise InputError(f"run directory {directory}", "an empty one", "one with a run", "resume, or name another")


def read_configuration(path: Path) -> dict[str, Any]:
    """The object that config.json or options.json holds. Raises DataError for any other content."""
    try:
        with opened(path, largest=2**20) as file:
            values = json.loads(file.read())
    except (FileNotFoundError, NotADirectoryError):
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"read {path}", "the configuration of a run", f"other text: {error}") from None
    if not isinstance(values, dict):
        raise DataError(f"read {path}", "the configuration of a run", f"a {type(values).__name__}")
    return values


def read_history(directory: str | os.PathLike[str]) -> dict[str, list[float]]:
    """What `fit` returned, from a run's directory; a last line that was being written is left out.

    Raises DataError if no epoch has been finished there, or if something else stands among the lines.
    """
    lines = _read_metrics(Path(directory))
    history = list(takewhile(bool, lines))
    if any(lines[len(history) :]):
        received = f"something else in line {len(history) + 1}"
        raise DataError(f"read {Path(directory) / 'metrics.jsonl'}", "the metrics of an epoch in every line", received)
    if not history:
        raise DataError(f"run directory {directory}", "a finished epoch in metrics.jsonl", "none yet")
    return {name: [metrics[name] for metrics in history] for name in history[0]}


def _read_metrics(directory: Path) -> list[Metrics | None]:
    """The lines of metrics.jsonl, None for one that does not hold the numbers that the first one names."""
    path, lines, content = directory / "metrics.jsonl", [], b""
    if path.exists():
        with readable(f"read {path}", "the metrics of a run"), opened(path, largest=2**28) as file:
            content = file.read()
    for text in content.decode("utf-8", errors="replace").splitlines():
        try:
            metrics = json.loads(text)
            names = lines[0].keys() if lines and lines[0] else metrics.keys()
            whole = METRICS <= metrics.keys() == names and all(
                type(value) in (int, float) and abs(value) < LARGEST_METRIC for value in metrics.values()
            )
            lines.append(metrics if whole else None)
        except (ValueError, AttributeError, RecursionError):
            lines.append(None)
    return lines


def fingerprint(x: Any) -> str:
    """The shape, type and SHA-256 of an array: whether data are the same as before."""
    x = numpy.ascontiguousarray(to_numpy(x))
    return f"{x.shape} {x.dtype} {hashlib.sha256(x).hexdigest()}"


def _digest(value: Any) -> str:
    """The SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _is_alive(process: int) -> bool:
    """Whether a process has this number. Windows does not say, nor does it unlink a file that is open."""
    if os.name == "nt":
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it is another user's
    return True


def _versions() -> dict[str, str]:
    """What else the last bits of a result depend on."""
    threads = {name: os.environ[name] for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if name in os.environ}
    return {
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
    } | threads
