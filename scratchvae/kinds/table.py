"""The kind table: TableVAE, for the rows of a table, with one likelihood for each column."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy

import scratchvae as sv
from scratchvae.data import Dataset
from scratchvae.data.text_files import suffix_of
from scratchvae.errors import DataError, InputError
from scratchvae.kinds.kind import MOST_NUMBERS, Kind, Line, Settings, imputed_in_words
from scratchvae.kinds.option import COUNT, Option
from scratchvae.kinds.option import name as a_name
from scratchvae.kinds.pictures import CURVES, Picture
from scratchvae.kinds.shared_options import COMMON
from scratchvae.kinds.vae import ACTIVATION, MISSING
from scratchvae.replacement import replace as write

DEFAULTS = {"epochs": 100, "batch_size": 64}
"""The defaults that differ from those of the other kinds, since tables have fewer rows than sets of images."""

LATENT = Option("latent", "number of latent dimensions, K", 4, COUNT, metavar="K")
HIDDEN = Option("hidden", "widths of the encoder's hidden layers", [64], COUNT, metavar="H", several="*")
LABEL_COLUMN = Option(
    "label_column", "column with the labels, which the model does not learn", None, a_name, metavar="NAME"
)
CATEGORIES = Option(
    "categories",
    "columns of numbers to read as categories, such as codes; columns of words or of two values need no mention",
    [],
    a_name,
    metavar="NAME",
    usual="none",
    several="*",
)
COUNTS = Option(
    "counts", "columns of counts, with a Poisson likelihood", [], a_name, metavar="NAME", usual="none", several="*"
)
IGNORED = Option(
    "ignored", "columns to leave out, such as identifiers", [], a_name, metavar="NAME", usual="none", several="*"
)

PICTURES = (
    Picture(
        "latent",
        "at least two latent dimensions",
        lambda s: s.model.latent_size > 1,
        lambda s: sv.plotting.latent_scatter(s.model, s.test.records, s.test.labels),
    ),
    Picture(
        "reconstructions",
        "a test part with rows",
        lambda s: len(s.test) > 0,
        lambda s: sv.plotting.table_reconstructions(s.model, s.test.records),
    ),
    CURVES,
)


class Table(Kind):
    """Table is the kind table: TableVAE, a VAE of the rows of a table."""

    name, summary = "table", "TableVAE, a VAE of tables with one likelihood for each column"
    model = sv.TableVAE
    options = (
        *(replace(option, default=DEFAULTS.get(option.name, option.default)) for option in COMMON),
        LATENT,
        HIDDEN,
        ACTIVATION,
        LABEL_COLUMN,
        CATEGORIES,
        COUNTS,
        IGNORED,
        MISSING,
    )
    pictures = PICTURES
    rows, datum, most_drawn = "records", "record", MOST_NUMBERS  # a picture is refused whatever the number
    imputes = True

    def reading(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns which columns are the label, categories, counts or left out."""
        if options["data"] in sv.data.DATASETS:
            return {}
        uses = {name: options[name] for name in ("categories", "counts", "ignored")}
        return {"table": {"label": options["label_column"]} | uses}

    def reading_another(self, options: Mapping[str, Any], path: str, model: Any) -> dict[str, Any]:
        """Returns the columns of the model; those of the file are found by name."""
        return {"table": {"columns": model.columns}}

    def check(self, settings: Settings, train: Dataset, test: Dataset) -> None:
        """Raises DataError also for missing entries without --missing."""
        super().check(settings, train, test)
        missing = numpy.isnan(numpy.concatenate([train.records, test.records])).sum(axis=0)
        if missing.any() and not settings["missing"]:
            names = [f"{c.name}: {n}" for c, n in zip(train.columns, missing, strict=True) if n]
            hint = "--missing learns from the known entries"
            raise DataError(
                f"{settings['data']}", "an entry in every cell", f"missing entries ({', '.join(names)})", hint
            )

    def build(self, settings: Settings, train: Dataset, part: Callable[..., Any]) -> sv.TableVAE:
        """Builds TableVAE.mlp for these columns."""
        names = ("hidden", "activation", "missing", "seed")
        arguments = {name: settings[name] for name in names}
        return sv.TableVAE.mlp(train.columns, settings["latent"], **arguments)

    def notes(self, settings: Settings, train: Dataset) -> list[str]:
        """Describes the type of each column."""
        return [sv.data.table_in_words(train)]

    def numbers_of(self, model: Any) -> int:
        """Returns how many numbers the decoder computes for one row."""
        return model.entries(None)

    def write_samples(self, path: Path, model: Any, n: int, seed: int, shape: Any, **asked: Any) -> list[str]:
        """Writes rows drawn from p(x, z) as a table with the units and words of the data, or as an array."""
        if path.suffix == ".npy":
            return super().write_samples(path, model, n, seed, shape, **asked)
        if path.suffix.lower() != ".csv":
            raise InputError("sample", "a table, .csv, or an array, .npy", repr(str(path)), "--out rows.csv")
        write(path, sv.data.table_text(model.columns, sv.to_numpy(model.sample(n, seed))).encode())
        return [str(path)]

    def write_imputed(self, source: str, out: Path, model: Any, n_samples: int, seed: int, draw: bool) -> Line:
        """Writes the file with its empty cells filled in; known cells and columns without a model stay unchanged."""
        if out.suffix.lower() != Path(source).suffix.lower() or suffix_of(out) != suffix_of(source):
            raise InputError("impute", f"--out with the suffix of {source}", repr(str(out)))
        dataset = sv.data.read_table(source, columns=model.columns)
        filled = self.imputed(model, dataset.records, n_samples, seed, draw)
        content = sv.data.filled_text(source, model.columns, sv.to_numpy(filled)).encode()
        write(out, gzip.compress(content) if out.suffix.lower() == ".gz" else content)
        return imputed_in_words(int(numpy.isnan(dataset.records).sum()), len(dataset))
