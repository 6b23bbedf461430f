"""scratchvae train: a run, from its options to its pictures."""

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
from scratchvae.evaluation import observations, quantity
from scratchvae.kinds import Kind, Settings, Subject
from scratchvae.progress import summary
from scratchvae.ranks import ranks
from scratchvae.run_directory import RunDirectory
from scratchvae.run_files import has_begun, read_history


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
    """Describes the number of rows in each part, and the part that chooses the best checkpoint."""
    if validation is test:
        return f"{len(train):,} to train with, {len(test):,} to choose best.npz by and to test with"
    return f"{len(train):,} to train with, {len(validation):,} to choose best.npz by, {len(test):,} to test with"


class TrainingRun:
    """A run under way: its directory, locked while this is entered, and the trainings of its parts and of itself.

    A directory that is there is locked at once, so that another run is refused before data are loaded; one that is not
    is made by the first training, so that a refusal leaves nothing behind. Of several ranks the first one alone has it.
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
        """Trains a part of the run in a folder of its own, or resumes its training there."""
        self._begin(model)
        print(model.to(self.settings["device"]), flush=True)
        directory = None
        if ranks().first:
            directory = RunDirectory(self.directory.path / name, self.directory.command)
        self._fit(model, epochs, directory, directory is not None and has_begun(directory.path), arguments)

    def train(self, model: Any, epochs: int) -> None:
        """Trains the model of the run itself, or resumes its training."""
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
        """Locks the directory and writes down the options, once; before that it shows the data to the model."""
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
    """Creates and returns the first free directory of runs/DATA-1, runs/DATA-2, ..., so that no other job gets it."""
    for i in count(1):
        path = Path("runs") / f"{Path(data).stem}-{i}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return path
