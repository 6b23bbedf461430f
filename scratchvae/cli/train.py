"""The command train, from the options of a run to its pictures."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import scratchvae as sv
from scratchvae.cli.commands import draw_all, score
from scratchvae.cli.output import print_json
from scratchvae.cli.settings import load_parts, older_file, requested
from scratchvae.data import Dataset
from scratchvae.errors import DataError
from scratchvae.evaluation import quantity
from scratchvae.kinds import Kind, Settings, Subject
from scratchvae.progress import summary
from scratchvae.ranks import ranks
from scratchvae.run_directory import RunDirectory
from scratchvae.run_files import has_begun, read_history
from scratchvae.scoring import observations


def train(arguments: argparse.Namespace) -> None:
    """Trains a model, scores it on the test part, and draws its pictures."""
    kind, settings = requested(arguments)
    kind.refuse(settings)
    with TrainingRun(kind, settings, arguments.run_dir, arguments.resume, not arguments.quiet) as run:
        train, validation, test = load_parts(kind, settings)
        kind.check(settings, train, test)
        model = kind.build(settings, train, run.having(train, validation))
        print(model.to(settings["device"]))
        parts = parts_in_words(train, validation, test)
        line = f"{settings['data']}: {parts}; {quantity(model, kind.observations(test))}"
        print("\n".join([line, *filter(None, [train.note]), *kind.notes(settings, train)]), flush=True)
        run.train(model, settings["epochs"])
        if not ranks().first:
            return
        history = read_history(run.directory)
    last = {name: values[-1] for name, values in history.items()}
    figures, lines = score(kind, model, test, train=train)
    print("\n".join([f"after {last['epoch']} epochs: {summary(last)}", *lines]))
    if not arguments.no_pictures:
        draw_all(kind, Subject(model, run.directory.path, lambda: (train, test)))
    if arguments.json:
        print_json({"run": str(run.directory.path), "last_epoch": last, "figures": figures, "lines": lines})


def parts_in_words(train: Dataset, validation: Dataset, test: Dataset) -> str:
    """Describes the number of rows in each part."""
    if validation is test:
        return f"{len(train):,} training rows, {len(test):,} for validation and test"
    return f"{len(train):,} training rows, {len(validation):,} for validation, {len(test):,} for the test"


class TrainingRun:
    """A TrainingRun is a context that holds the lock of a run directory and trains the models of the run.

    An existing directory is locked at once, so that a second process is refused before it loads data. A new directory
    is made by the first training, so that refused options leave nothing behind. Of several ranks only the first has
    the directory.

    Parameters
    ----------
    kind : Kind
        The kind of model.
    settings : Settings
        The options.
    run_dir : str, optional
        The directory of a new run; by default `claim` makes one.
    resume : str, optional
        The directory of a run to resume.
    progress : bool
        Whether to show progress bars.
    """

    def __init__(self, kind: Kind, settings: Settings, run_dir: str | None, resume: str | None, progress: bool) -> None:
        self.kind, self.settings, self.resume, self.progress = kind, settings, resume is not None, progress
        self.path = None if resume is None and run_dir is None else Path(resume or run_dir)
        self._stack, self._begun = ExitStack(), False

    def __enter__(self) -> TrainingRun:
        with self._stack:
            ranks().on_first(self._lock_what_is_there)
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._stack.__exit__(*failure)

    def having(self, train: Dataset, validation: Dataset) -> TrainingRun:
        """Attaches the data to this run, and returns the run."""
        self.dataset, self.x = train, self.kind.observations(train)
        self.validation = self.kind.observations(validation)
        return self

    def __call__(self, name: str, model: Any, epochs: int, **arguments: Any) -> None:
        """Trains a model that the run's own model needs in a subfolder of the run, or resumes its training there."""
        self._begin(model)
        print(model.to(self.settings["device"]), flush=True)
        directory = None
        if ranks().first:
            directory = RunDirectory(self.directory.path / name, self.directory.command)
        self._fit(model, epochs, directory, directory is not None and has_begun(directory.path), arguments)

    def train(self, model: Any, epochs: int) -> None:
        """Trains the run's own model, or resumes its training."""
        self._begin(model)
        arguments, first = self.kind.training(self.settings, self.dataset), ranks().first
        older = older_file(self.directory.path) if self.resume and first else None
        self._fit(model, epochs, self.directory if first else None, first and self.settings.begun, arguments)
        if older is not None:
            older.unlink()  # its options are in config.json now

    def _fit(self, model: Any, epochs: int, directory: Any, resume: bool, arguments: dict[str, Any]) -> None:
        where = {"run_dir": directory, "resume": resume, "progress": self.progress}
        sv.fit(model, self.x, epochs, validation=self.validation, **where, **arguments)
        for callback in arguments.get("callbacks", ()):
            if directory is not None and isinstance(callback, sv.EarlyStopping):
                print(f"{directory.path}: {callback}")

    def _begin(self, model: Any) -> None:
        """Locks the directory and saves the options, once, after the model has accepted the data."""
        if self._begun:
            return
        for x in (self.x, self.validation):
            try:
                observations(model, x)
            except DataError as error:
                error.args = (f"{self.settings['data']}: {error}",)
                raise
        ranks().on_first(self._keep_options)
        self._begun = True

    def _lock_what_is_there(self) -> None:
        if self.path is not None and self.path.exists():
            self._lock()
            if not self.resume:
                self.directory.refuse_run()

    def _keep_options(self) -> None:
        if self.path is None:
            self.path = claim(self.settings["data"])
        if not hasattr(self, "directory"):
            self._lock()
        shape = {"image_shape": list(self.x.shape[1:])}
        options = {"model": self.kind.name} | dict(self.settings) | shape
        if self.resume:
            self.directory.options = options
        else:
            self.directory.begin(options)

    def _lock(self) -> None:
        self.directory = self._stack.enter_context(RunDirectory(self.path, f"scratchvae train --resume {self.path}"))


def claim(data: str) -> Path:
    """Makes and returns the first of runs/DATA-1, runs/DATA-2, ... that does not exist; no other process gets it."""
    for i in count(1):
        path = Path("runs") / f"{Path(data).stem}-{i}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
