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
from scratchvae.data import DATASETS, SPLITS, Dataset
from scratchvae.data.image_folders import COLOURS, FITS
from scratchvae.errors import DataError, InputError
from scratchvae.kinds.option import COUNT, FROM_ZERO, NOT_NEGATIVE, POSITIVE, Option, data_set, path, share_or_test
from scratchvae.kinds.pictures import Picture
from scratchvae.optim import AdamW, ExponentialSchedule, LinearSchedule, Schedule
from scratchvae.replacement import replace as write

DATA = Option(
    "data",
    f"data set: {', '.join(DATASETS)}, or the path of a .npy, .npz or idx file, or of a folder of "
    ".png and .jpg images, perhaps in a sub-folder for each class; of sketches also .ndjson, .json, .svg, "
    "or a folder of .svg files; of molecules .smi, .txt or .csv with a column smiles, of a table .csv or .tsv; the "
    "last five also .gz",
    "drawn-digits",
    data_set,
    resumable=True,
)

DATA_DIR = Option(
    "data_dir",
    "folder with the files of a named set; mnist, fashion-mnist, kmnist and emnist are downloaded, once",
    conversion=path,
    metavar="DIR",
    usual="$SCRATCHVAE_DATA",
    resumable=True,
)

DATA_LABELS = Option(
    "data_labels", "file of the labels of the images in a file", conversion=path, metavar="FILE", resumable=True
)

FOLDER = (
    Option(
        "image_size",
        "side of the images of a folder, or height and width; at most 1024",
        None,
        COUNT,
        metavar="N",
        several="+",
        usual="theirs, if all have one size",
    ),
    Option(
        "image_colour",
        "whether those images are grey or in colour",
        None,
        choices=COLOURS,
        usual="colour if one of them has any",
    ),
    Option(
        "image_fit",
        "crop those images to the size, or fit them into it whole, on black",
        None,
        choices=FITS,
        usual="crop",
    ),
)
"""What the images of a folder are made into."""

COMMON = (
    DATA,
    DATA_DIR,
    DATA_LABELS,
    Option(
        "drawn",
        "training rows of a set that the package draws, against overfitting; its test part stays the same",
        None,
        COUNT,
        metavar="N",
        usual="20000, or 10000 faces",
    ),
    Option(
        "split",
        "test part of a file without test images: a tenth of the rows, drawn at random, or the last tenth",
        "random",
        choices=SPLITS,
        older="last",
    ),
    Option(
        "validation",
        "what chooses best.npz: a share of the training part, which is then not trained on, or test, the test part",
        0.1,
        share_or_test,
        metavar="SHARE",
        older="test",
    ),
    Option("epochs", "passes over the training data", 30, COUNT, metavar="N", resumable=True),
    Option(
        "patience",
        "stop after N epochs in a row without a better validation part, and keep the parameters of the best epoch",
        None,
        COUNT,
        metavar="N",
        usual="all epochs, and the last one's parameters",
        resumable=True,
    ),
    Option(
        "time_limit",
        "stop where one more epoch would end after so many seconds of training; the first one is always taken",
        None,
        POSITIVE,
        metavar="SECONDS",
        usual="no limit",
        resumable=True,
    ),
    Option("batch_size", "images per step", 128, COUNT, metavar="M"),
    Option("learning_rate", "learning rate of Adam", 2e-3, POSITIVE, metavar="RATE"),
    Option(
        "learning_rate_decay",
        "factor by which the learning rate falls in an epoch, a little at every step",
        1.0,
        POSITIVE,
        metavar="FACTOR",
    ),
    Option(
        "weight_decay",
        "share of all parameters, in units of the learning rate, that a step takes away; above 0 by AdamW",
        0.0,
        NOT_NEGATIVE,
        metavar="DECAY",
    ),
    Option("kl_weight", "weight of the KL in training", 1.0, NOT_NEGATIVE, metavar="WEIGHT"),
    Option("kl_warmup", "steps over which the weight of the KL grows from 0", 0, FROM_ZERO, metavar="STEPS"),
    Option(
        "kl_floor",
        "nats of the KL that cost nothing: the mean KL of a minibatch counts as at least so many (not with iwae)",
        0.0,
        NOT_NEGATIVE,
        metavar="NATS",
    ),
    Option("samples", "samples of z per image", 1, COUNT, metavar="S"),
    Option(
        "objective",
        "what is maximised: the ELBO, or the importance-weighted bound (log of the mean of S weights)",
        "elbo",
        choices=("elbo", "iwae"),
    ),
    Option("clip_norm", "largest norm of the gradient", None, POSITIVE, metavar="NORM"),
    Option("seed", "seed of weights, order and noise", 0, FROM_ZERO, metavar="SEED"),
    Option("device", "where to compute", "cpu", choices=("cpu", "gpu")),
)
"""The options that every kind takes."""

FREE_BITS = Option(
    "free_bits",
    "nats of the KL that cost nothing in each latent unit, as --kl-floor does for all of them together",
    0.0,
    NOT_NEGATIVE,
    metavar="NATS",
)

FOR_ROWS = {"images": "mlp", "sketches": "sketch", "molecules": "molecules", "records": "table"}
"""What the rows of a data set are -> the name of a kind that takes them."""


@dataclass(frozen=True)
class Settings(Mapping[str, Any]):
    """The value of every option of one run, by name.

    Parameters
    ----------
    by_name : dict
    given : names of the options that were named now, not when the run was begun
    begun : bool
        Whether a run is resumed that has trained its parts and then begun itself.
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
    """A line for a person, and the figures in it by name for a program."""

    figures: dict[str, float]

    def __new__(cls, text: str, **figures: float) -> Line:
        line = super().__new__(cls, text)
        line.figures = figures
        return line


class Kind:
    """A kind of model; `kinds/__init__.py` has a line for each.

    Attributes
    ----------
    name : str, the value of --model
    summary : str, for the help of --model
    model : the class of the models that it builds
    options : those that it takes, with COMMON among them
    pictures : those that it has, in the order in which they are drawn
    rows : what the rows of its data are, as `Dataset.name_of_rows` says it
    datum : what one row of the data is called
    sampling : the options of `scratchvae sample` beside the number, the seed and the file
    completes : whether `write_completions` goes on with what has begun
    imputes : whether `write_imputed` fills in missing entries
    """

    name: str
    summary: str
    model: type
    options: tuple[Option, ...] = COMMON
    pictures: tuple[Picture, ...] = ()
    rows: str = "images"
    datum: str = "image"
    sampling: tuple[Option, ...] = ()
    completes: bool = False
    imputes: bool = False

    def complete(self, values: dict[str, Any]) -> dict[str, Any]:
        """Returns the options of a new run, with the defaults that depend on other options filled in."""
        return values

    def refuse(self, settings: Settings) -> None:
        """Raises InputError for settings that exclude each other. Called before data are loaded."""
        device_module(settings["device"])
        if settings["kl_floor"] and settings["objective"] == "iwae":
            raise InputError("train", "--kl-floor with --objective elbo", "--objective iwae")
        if settings.get("free_bits"):
            if settings["objective"] == "iwae":
                raise InputError("train", "--free-bits with --objective elbo", "--objective iwae")
            if settings["kl_floor"]:
                raise InputError("train", "--kl-floor or --free-bits", "both")

    def reading(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the arguments of `sv.data.load` with which a run's own data are read."""
        return {}

    def reading_another(self, options: Mapping[str, Any], path: str, model: Any) -> dict[str, Any]:
        """Returns the arguments of `sv.data.read` with which another file is read, to be scored by the model."""
        return {}

    def parts(self, settings: Mapping[str, Any], parts: tuple[Dataset, ...]) -> tuple[Dataset, ...]:
        """Returns the training, validation and test part without the rows that this kind leaves out."""
        return parts

    def check(self, settings: Settings, train: Dataset, test: Dataset) -> None:
        """Raises DataError or InputError for data that this kind does not take. Called before anything is written."""
        self.observations(train)

    def observations(self, dataset: Dataset) -> Any:
        """Returns the observations of a data set, an array x whose first axis counts the data.

        Raises DataError for a data set of other rows.
        """
        rows = dataset.name_of_rows
        if rows != self.rows:
            raise DataError(f"--model {self.name}", self.rows, rows, f"--model {FOR_ROWS[rows]} takes {rows}")
        return dataset.observations

    def build(self, settings: Settings, train: Dataset, part: Callable[..., Any]) -> Any:
        """Builds the model to train.

        part(name, model, epochs, **arguments) trains a model that this one needs, with these arguments of `fit`, in a
        folder of the run, or resumes its training there. part.directory is the run's own.
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
        """Returns lines to print before the training, beside the model and the data."""
        return []

    def in_other_units(self, model: Any, x: Any, scores: Mapping[str, Any]) -> list[str]:
        """Returns lines to print below the bound of the data x, with the scores of `evaluate` in other units.

        A `Line` among them also has its figures by name, for `--json`; so in `scores`.
        """
        return []

    def sampling_arguments(
        self, model: Any, asked: dict[str, Any], train: Callable[[], Dataset], seed: int
    ) -> dict[str, Any]:
        """Returns the arguments of `write_samples` for the given options of `sampling`.

        train: a function without arguments that returns the training part of the run's data
        """
        return asked

    def write_samples(self, path: Path, model: Any, n: int, seed: int, shape: Any, **asked: Any) -> list[str]:
        """Writes n samples of a model that was trained on data of this shape to a file, an array or a picture.

        asked: by `sampling_arguments`. Returns what to print: the path, with a suffix.
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
        x = sv.data.read(source, missing=True)["train"].images
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
        """Returns lines to print below the bound of a data set, or with n_samples below its log p(x).

        train: what the model was trained on, where that is known
        """
        return []


def imputed_in_words(missing: int, rows: int) -> Line:
    """Describes the number of missing entries, and of the rows they were in."""
    return Line(f"{missing:,} missing entries in {rows:,} rows", missing=missing, rows=rows)


def folder_form(size: Any, colour: str | None, fit: str | None) -> dict[str, Any]:
    """Returns the arguments of `sv.data.load` about a folder of images."""
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
