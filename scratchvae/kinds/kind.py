"""A kind of model: what it takes and refuses, how it is built and trained, and which pictures it has."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy

import scratchvae as sv
from scratchvae.backend import device_module
from scratchvae.callbacks import Callback, EarlyStopping, TimeLimit
from scratchvae.data import Dataset
from scratchvae.errors import DataError, InputError
from scratchvae.kinds.option import Option
from scratchvae.kinds.pictures import Picture
from scratchvae.kinds.shared_options import COMMON
from scratchvae.optim import AdamW, ExponentialSchedule, LinearSchedule, Schedule
from scratchvae.replacement import replace as write

FOR_ROWS = {"images": "mlp", "sketches": "sketch", "molecules": "molecules", "records": "table"}
"""The type of the rows of a data set -> the name of a kind that takes such rows."""


MOST_NUMBERS = 2**25
"""The most numbers in the samples that `scratchvae sample` writes at once; a decoder computes several times as many."""

PLAIN_FILES = (".npy", ".csv", ".smi", ".txt")
"""Suffixes of files with samples that are no pictures."""


@dataclass(frozen=True)
class Settings(Mapping[str, Any]):
    """Settings map the name of each option of a run to its value.

    Parameters
    ----------
    by_name : dict
        The values.
    given : set of str
        The names of the options on this command line; the others are defaults, or come from the resumed run.
    begun : bool
        Whether a resumed run has already begun to train its own model, after the models that this one needs.

    Examples
    --------
    >>> settings = Settings({"latent": 2, "epochs": 30}, given=frozenset({"latent"}))
    >>> settings["epochs"], "epochs" in settings.given
    (30, False)
    """

    by_name: Mapping[str, Any]
    given: frozenset[str] = frozenset()
    begun: bool = False

    def __getitem__(self, name: str) -> Any:
        return self.by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)

    def __len__(self) -> int:
        return len(self.by_name)


class Line(str):
    """A Line is a text for a person that also holds the figures in it, by name, for a program.

    Attributes
    ----------
    figures : dict of float
        The figures, as `--json` prints them.

    Examples
    --------
    >>> Line("3 entries in 2 rows", entries=3, rows=2).figures
    {'entries': 3, 'rows': 2}
    """

    figures: dict[str, float]

    def __new__(cls, text: str, **figures: float) -> Line:
        line = super().__new__(cls, text)
        line.figures = figures
        return line


class Kind:
    """A Kind tells the command line everything about one value of --model; `scratchvae.kinds.KINDS` lists the kinds.

    Attributes
    ----------
    name : str
        The value of --model.
    summary : str
        The description of this value in the help of --model.
    model : type
        The class of the models that the kind builds.
    options : tuple of Option
        The options of `scratchvae train` that the kind takes, with COMMON among them.
    pictures : tuple of Picture
        The pictures of its models, in the order in which they are drawn.
    rows : str
        The type of the rows of its data, as `Dataset.name_of_rows` gives it, such as "images".
    datum : str
        The word for one row of the data, such as "image".
    sampling : tuple of Option
        The options of `scratchvae sample` that only some kinds have.
    most_drawn : int
        The most samples in one picture.
    completes : bool
        Whether `write_completions` can complete an unfinished row.
    imputes : bool
        Whether `write_imputed` can fill in missing entries.

    See Also
    --------
    Option : an option of the command line.
    scratchvae.kinds.kind_of : finds the kind of a model.

    Examples
    --------
    >>> from scratchvae.kinds import KINDS
    >>> KINDS["sketch"].datum, KINDS["sketch"].completes
    ('sketch', True)
    """

    name: str
    summary: str
    model: type
    options: tuple[Option, ...] = COMMON
    pictures: tuple[Picture, ...] = ()
    rows: str = "images"
    datum: str = "image"
    sampling: tuple[Option, ...] = ()
    most_drawn: int = 10_000
    completes: bool = False
    imputes: bool = False

    def complete(self, values: dict[str, Any]) -> dict[str, Any]:
        """Returns the options of a new run, including the defaults that depend on other options."""
        return values

    def refuse(self, settings: Settings) -> None:
        """Raises InputError for settings that exclude each other. It is called before data are loaded."""
        device_module(settings["device"])
        if settings["kl_floor"] and settings["objective"] == "iwae":
            raise InputError("train", "--kl-floor with --objective elbo", "--objective iwae")
        if settings.get("free_bits"):
            if settings["objective"] == "iwae":
                raise InputError("train", "--free-bits with --objective elbo", "--objective iwae")
            if settings["kl_floor"]:
                raise InputError("train", "--kl-floor or --free-bits", "both")

    def reading(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the arguments of `sv.data.load` for the data that the run is trained on."""
        return {}

    def reading_another(self, options: Mapping[str, Any], path: str, model: Any) -> dict[str, Any]:
        """Returns the arguments of `sv.data.read` for another file, whose rows the model is to score."""
        return {}

    def parts(self, settings: Mapping[str, Any], parts: tuple[Dataset, ...]) -> tuple[Dataset, ...]:
        """Returns the training, validation and test part without the rows that this kind leaves out."""
        return parts

    def check(self, settings: Settings, train: Dataset, test: Dataset) -> None:
        """Raises DataError or InputError for data that this kind does not take.

        It is called before anything is written.
        """
        self.observations(train)

    def observations(self, dataset: Dataset) -> Any:
        """Returns the observations of a data set, an array x whose first axis counts the data.

        Raises DataError for a data set with rows of another type.
        """
        rows = dataset.name_of_rows
        if rows != self.rows:
            raise DataError(f"--model {self.name}", self.rows, rows, f"--model {FOR_ROWS[rows]} takes {rows}")
        return dataset.observations

    def build(self, settings: Settings, train: Dataset, part: Callable[..., Any]) -> Any:
        """Builds the model to train.

        part(name, model, epochs, **arguments) trains a model that this one needs, with these arguments of `fit`, in the
        subfolder `name` of the run directory, or resumes its training there. part.directory is the run directory.
        """
        raise NotImplementedError

    def training(self, settings: Settings, train: Dataset) -> dict[str, Any]:
        """Returns the arguments of `fit` that the settings determine, except data, epochs and directory."""
        decay = settings["weight_decay"]
        return {
            "batch_size": settings["batch_size"],
            "learning_rate": learning_rate(settings, len(train)),
            "kl_weight": kl_weight(settings),
            "kl_floor": settings["kl_floor"],
            "n_samples": settings["samples"],
            "objective": settings["objective"],
            "clip_norm": settings["clip_norm"],
            "seed": settings["seed"],
            "free_bits": settings.get("free_bits", 0.0),
            "optimizer": partial(AdamW, weight_decay=decay) if decay else None,
            "callbacks": callbacks(settings),
        }

    def notes(self, settings: Settings, train: Dataset) -> list[str]:
        """Returns further lines to print before the training, below those about the model and the data."""
        return []

    def in_other_units(self, model: Any, x: Any, scores: Mapping[str, Any]) -> list[str]:
        """Returns lines to print below the bound of the data x: the scores of `evaluate` in other units.

        The figures of a `Line` among them are also printed by `--json`; the same holds for the lines of `scores`.
        """
        return []

    def sampling_arguments(
        self, model: Any, asked: dict[str, Any], train: Callable[[], Dataset], seed: int
    ) -> dict[str, Any]:
        """Returns the arguments of `write_samples` for the given options of `sampling`.

        train: a function without arguments that returns the training part of the run's data
        """
        return asked

    def numbers_of(self, model: Any) -> int:
        """Returns how many numbers one sample of the model has."""
        return math.prod(model.observed_shape)

    def refuse_samples(self, path: Path, model: Any, n: int) -> None:
        """Raises InputError for more samples than memory holds or, where the path is a picture's, than one can show."""
        most, where = MOST_NUMBERS // self.numbers_of(model), f" ({MOST_NUMBERS:,} numbers in memory)"
        if path.suffix.lower() not in PLAIN_FILES and self.most_drawn < min(n, most):
            sv.plotting.picture_path(path)  # refuses a suffix that no picture has
            most, where = self.most_drawn, " for a picture"
        if n > most:
            hint = "another --seed gives others, for a second file"
            raise InputError("sample", f"--n of at most {most:,}{where}", f"{n:,}", hint)

    def write_samples(self, path: Path, model: Any, n: int, seed: int, shape: Any, **asked: Any) -> list[str]:
        """Writes n samples of a model that was trained on rows of this shape to an array file or a picture.

        asked: the arguments that `sampling_arguments` returns. Returns the lines to print, the last of them the path.
        """
        if path.suffix == ".npy" and not path.is_dir():
            content = io.BytesIO()
            numpy.save(content, sv.to_numpy(model.sample(n, seed, **asked)))
            write(path, content.getbuffer())
            return [str(path)]
        path = sv.plotting.picture_path(path)
        self.draw_samples(path, model, n, seed, shape, **asked)
        return [str(path)]

    def draw_samples(self, path: Path, model: Any, n: int, seed: int, shape: Any, **asked: Any) -> None:
        """Draws n samples as a picture; the arguments are those of `write_samples`."""
        sv.plotting.save_figure(sv.plotting.samples(model, n, seed, shape, **asked), path)

    def write_completions(self, path: Path, model: Any, x: Any, n: int, seed: int, **temperature: float) -> list[str]:
        """Draws n completions of the unfinished row x into a file, and returns lines to print about them."""
        raise NotImplementedError

    def write_imputed(self, source: str, out: Path, model: Any, n_samples: int, seed: int, draw: bool) -> Line:
        """Writes a file's array of images or vectors with its NaN filled in, and returns a line to print about them.

        draw: whether each value is a draw, and not a mean
        """
        if out.suffix != ".npy":
            raise InputError("impute", "--out with the suffix .npy", repr(str(out)))
        x = self.observations(sv.data.read(source, missing=True)["train"])
        content = io.BytesIO()
        numpy.save(content, sv.to_numpy(self.imputed(model, x, n_samples, seed, draw)))
        write(out, content.getbuffer())
        return imputed_in_words(int(numpy.isnan(x).sum()), len(x))

    def imputed(self, model: Any, x: Any, n_samples: int, seed: int, draw: bool) -> Any:
        """Returns x with samples or means in place of its missing entries."""
        return model.impute_draws(x, 1, n_samples, seed)[0] if draw else model.impute(x, n_samples, seed)

    def scores(
        self, model: Any, dataset: Dataset, seed: int = 0, n_samples: int = 0, train: Dataset | None = None
    ) -> list[str]:
        """Returns lines to print below the bound of a data set or, if n_samples is not 0, below its log p(x).

        train: the data that the model was trained on, if they are known
        """
        return []


def imputed_in_words(missing: int, rows: int) -> Line:
    """Describes the number of missing entries and the number of rows of the file."""
    return Line(f"{missing:,} missing entries in {rows:,} rows", missing=missing, rows=rows)


def folder_form(size: Any, colour: str | None, fit: str | None) -> dict[str, Any]:
    """Returns the arguments of `sv.data.load` for a folder of images."""
    size = size[0] if size is not None and len(size) == 1 else size
    return {"image_size": size, "image_colour": colour, "image_fit": fit}


def callbacks(settings: Mapping[str, Any]) -> list[Callback]:
    """Returns the callbacks that may stop the training before its last epoch."""
    stopping: list[Callback] = [] if settings["patience"] is None else [EarlyStopping(settings["patience"])]
    return stopping + ([] if settings["time_limit"] is None else [TimeLimit(settings["time_limit"])])


def learning_rate(settings: Mapping[str, Any], n_rows: int) -> float | Schedule:
    """Returns the learning rate for `fit`, given the number of rows per epoch."""
    rate, decay = settings["learning_rate"], settings["learning_rate_decay"]
    n_steps = math.ceil(n_rows / settings["batch_size"])
    return rate if decay == 1 else ExponentialSchedule(rate, decay ** (1 / n_steps))


def kl_weight(settings: Mapping[str, Any]) -> float | Schedule:
    """Returns the weight of the KL, which may grow from 0."""
    weight, n_steps = settings["kl_weight"], settings["kl_warmup"]
    return LinearSchedule(0.0, weight, n_steps) if n_steps else weight
