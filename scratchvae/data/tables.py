"""Tables are read from .csv and .tsv files with a header and from DataFrames, and written as .csv and .tsv texts.

A table is read twice, row by row, by Python's csv module: once to find the kinds of columns, and once into one array of
floats; so memory holds 8 bytes per entry, and never the text.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from scratchvae.columns import (
    CATEGORY,
    COUNT,
    MISSING,
    MOST_LEVELS,
    NUMBER,
    Column,
    as_columns,
    as_number,
    is_table,
    measured,
    names_of,
    records_of,
    rows_of,
    short,
)
from scratchvae.data.dataset import Dataset
from scratchvae.data.text_files import header_of, lines_of, suffix_of
from scratchvae.errors import DataError, InputError

SUFFIXES = (".csv", ".tsv")
"""The ends of the names of tables' files, before .gz."""

CONTENT = ("a row", "a header and rows", 2**20)
"""The words for the contents of a line and of a file, and the most bytes of a line: a table may have many columns."""

SHOWN = 10
"""The most names of columns of a kind that are printed."""

Rows = Callable[[], Iterator[tuple[int, Sequence[str]]]]
"""A function that begins to read a table: (number, texts) of every row."""


@dataclass
class Census:
    """Counts the kinds of cells in one column.

    Attributes
    ----------
    is_category : bool
        Whether every cell is a level, even if it looks like a number.
    n_known, n_numbers : int
        The numbers of cells that are not missing, and of those that are numbers.
    first_word, first_fraction : (str, int)
        The first cell that is no number, and the first that is no whole number of at least 0, with their rows.
    commas, points : bool
        Whether cells have commas, and points.
    texts : dict
        The first different cells, one more than MOST_LEVELS at most, numbers as `short` writes them.
    """

    is_category: bool
    n_known: int = 0
    n_numbers: int = 0
    first_word: tuple[str, int] = ("", 0)  # with its row
    first_fraction: tuple[str, int] = ("", 0)  # or number below 0
    commas: bool = False
    points: bool = False
    texts: dict[str, None] = field(default_factory=dict)

    def count(self, text: str, row: int, comma: bool) -> None:
        """Counts a cell."""
        if text.lower() in MISSING:
            return
        self.n_known += 1
        value = None if self.is_category else as_number(text, comma)
        if value is not None:
            self.n_numbers += 1
            self.commas, self.points = self.commas or "," in text, self.points or "." in text
            if (value < 0 or value % 1) and not self.first_fraction[1]:
                self.first_fraction = text, row
        elif not self.first_word[1]:
            self.first_word = text, row
        if len(self.texts) <= MOST_LEVELS:
            self.texts.setdefault(text if value is None else short(value))


def read_table(
    path: str | os.PathLike[str],
    label: str | None = None,
    categories: Sequence[str] = (),
    counts: Sequence[str] = (),
    ignored: Sequence[str] = (),
    columns: Sequence[Column] | None = None,
) -> Dataset:
    """Returns the table in a .csv or .tsv file with a header, separated by commas, semicolons or tabs.

    A column of numbers stands for real numbers, and a column of words or of two values for a category. The cells "",
    NA, N/A, nan, null and ? are missing, and become NaN. If commas do not separate cells, they may precede decimals.

    Raises DataError, with row and column, for a missing or damaged file, rows with different lengths, empty or repeated
    names, words among numbers, too many levels, and texts that `columns` do not have; InputError for missing columns.

    Parameters
    ----------
    path : path
        The file.
    label : str, optional
        The column that becomes the labels, and is not a column of the table then.
    categories, counts, ignored : sequences of str
        The columns of numbers, such as codes, that stand for levels; the columns of whole numbers of at least 0 that
        get a Poisson likelihood; and the columns to leave out.
    columns : sequence of Column, optional
        The columns of a model, by which the table is read; all others are left out, and there is no label.

    Returns
    -------
    Dataset
        With records (N, D), float64, columns, and labels if there is a column of them.
    """
    operation = f"reading {os.fspath(path)}"
    names, separator = header_of(next(lines_of(path, operation, *CONTENT))[1])
    if all(as_number(name) is not None for name in names):
        raise DataError(operation, "a first line with the names of the columns", f"{names[0]!r}, a number, as a name")
    settings = {"label": label, "categories": categories, "counts": counts, "ignored": ignored, "columns": columns}
    return _dataset(names, lambda: _cells(path, operation, names, separator), separator != ",", operation, settings)


def as_table(
    table: Any,
    label: str | None = None,
    categories: Sequence[str] = (),
    counts: Sequence[str] = (),
    ignored: Sequence[str] = (),
    columns: Sequence[Column] | None = None,
) -> Dataset:
    """Returns a pandas or polars DataFrame, or a dict of columns, as a Dataset; arguments as for `read_table`.

    Truth values become a category. Raises what `read_table` does, and DataError for dates and other objects.
    """
    if not is_table(table):
        raise DataError("as_table", "a DataFrame, or a dict of columns", type(table).__name__)
    settings = {"label": label, "categories": categories, "counts": counts, "ignored": ignored, "columns": columns}
    return _dataset(names_of(table), lambda: rows_of(table, "as_table"), False, "as_table", settings)


def holds_table(path: str | os.PathLike[str]) -> bool:
    """Tells whether a file is a table, by the end of its name, without a column of molecules, "smiles"."""
    if suffix_of(path) not in SUFFIXES or not Path(path).is_file():
        return False
    try:
        names, _ = header_of(next(lines_of(path, "", *CONTENT))[1])
    except (DataError, csv.Error):  # which the reader of tables will say
        return True
    return "smiles" not in [name.lower() for name in names]


def table_text(columns: Sequence[Column], records: numpy.ndarray) -> str:
    """Returns rows as the text of a .csv file with a header, which `read_table` can read."""
    rows = [[column.name for column in columns]]
    rows += [[column.text(entry) for column, entry in zip(columns, row, strict=True)] for row in records]
    return csv_text(rows)


def csv_text(rows: Sequence[Sequence[str]], separator: str = ",") -> str:
    """Returns rows of cells as the text of a file."""
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows(rows)
    return text.getvalue()


def filled_text(path: str | os.PathLike[str], columns: Sequence[Column], records: numpy.ndarray) -> str:
    """Returns the text of a table whose missing cells in these columns are filled with entries of records (N, D).

    All other cells, and the separator, stay as they are.
    """
    operation = f"reading {os.fspath(path)}"
    names, separator = header_of(next(lines_of(path, operation, *CONTENT))[1])
    places = [names.index(column.name) for column in columns]
    commas = {place for _, row in _cells(path, operation, names, separator) for place in places if "," in row[place]}
    filled = [names]
    for (_, row), record in zip(_cells(path, operation, names, separator, strip=False), records, strict=True):
        for column, place, entry in zip(columns, places, record, strict=True):
            if row[place].strip().lower() in MISSING and row[place].strip() not in column.levels:
                text = column.text(entry)
                row[place] = text.replace(".", ",") if place in commas and column.kind == NUMBER else text
        filled.append(row)
    return csv_text(filled, separator)


def table_in_words(dataset: Dataset) -> str:
    """Describes the number of records, the contents of each column, and the number of missing entries."""
    columns, missing, words = dataset.columns, numpy.isnan(dataset.records).sum(), []
    for kind, plural in ((NUMBER, "numbers"), (COUNT, "counts"), (CATEGORY, "categories")):
        names = [
            f"{column.name} ({_levels_in_words(column)})" if column.levels else column.name
            for column in columns
            if column.kind == kind
        ]
        words += [f"{plural} in {', '.join(names[:SHOWN])}{' ...' * (len(names) > SHOWN)}"] if names else []
    classes = f"; labels {', '.join(dataset.classes[:SHOWN])}" if dataset.classes else ""
    lost = f"; {missing:,} entries missing" if missing else ""
    return f"{len(dataset):,} records of {len(columns)} columns: {'; '.join(words)}{lost}{classes}"


def describe_table(dataset: Dataset) -> dict[str, Any]:
    """Returns the columns with their fields by name, the number of missing entries, and the names of the labels."""
    columns = [column._asdict() for column in dataset.columns]
    return {"columns": columns, "missing": numpy.isnan(dataset.records).sum(), "classes": list(dataset.classes)}


def _levels_in_words(column: Column) -> str:
    levels = column.levels
    return ", ".join(levels) if len(levels) < 5 else f"{len(levels)} levels"


def _cells(
    path: str | os.PathLike[str], operation: str, names: Sequence[str], separator: str, strip: bool = True
) -> Iterator[tuple[int, list[str]]]:
    """Yields (line, cells) of every row below the header. Raises DataError unless a row is as long as the header."""
    lines = lines_of(path, operation, *CONTENT)
    reader = csv.reader((f"{text}\n" for _, text in lines), delimiter=separator, strict=True)
    try:
        for row in reader:
            if len(row) != len(names):
                expected = f"{len(names)} cells in every row, as many as names"
                raise DataError(operation, expected, f"{len(row)} in line {reader.line_num}")
            if reader.line_num > 1:
                yield reader.line_num, [cell.strip() for cell in row] if strip else row
    except csv.Error as error:
        raise DataError(operation, "a table", f"line {reader.line_num}, which cannot be read: {error}") from None


def _dataset(names: list[str], rows: Rows, comma: bool, operation: str, settings: dict[str, Any]) -> Dataset:
    """Returns the data set of a table, read twice.   settings: the arguments of `read_table` by name"""
    for name in names:
        if not name or names.count(name) > 1:
            received = f"{names.count(name)} that are named {name!r}" if name else "one without"
            hint = "" if name else "of pandas, to_csv(index=False)"
            raise DataError(operation, "columns with names of their own", received, hint)
    columns, label = settings["columns"], settings["label"]
    if columns is not None and label is not None:
        raise InputError(operation, "columns of a model, or a label", "both")
    if columns is None:
        columns, n = _found_columns(names, rows, comma, operation, settings)
    else:
        absent = [column.name for column in columns if column.name not in names]
        if absent:
            raise DataError(operation, f"a column {absent[0]!r}, as the model has", f"columns {', '.join(names)}")
        n = sum(1 for _ in rows())
    if not n:
        raise DataError(operation, "rows below the header", "none")
    records = records_of(rows(), [names.index(column.name) for column in columns], columns, operation, n, comma)
    if label is None:
        known = columns if settings["columns"] is not None else measured(columns, records)
        return Dataset(records=records, columns=as_columns(known))
    labels, records = records[:, -1], numpy.ascontiguousarray(records[:, :-1])
    if numpy.isnan(labels).any():
        received = f"{numpy.isnan(labels).sum()} that are missing"
        raise DataError(operation, f"a label in every row, in the column {label!r}", received)
    columns, classes = measured(columns[:-1], records), columns[-1].levels
    return Dataset(records=records, columns=as_columns(columns), labels=labels.astype(numpy.int64), classes=classes)


def _found_columns(
    names: list[str], rows: Rows, comma: bool, operation: str, settings: dict[str, Any]
) -> tuple[list[Column], int]:
    """Returns the columns that the cells of a table imply, the labels' column last, and the number of rows."""
    label, uses = settings["label"], {}
    for use in ("categories", "counts", "ignored"):
        if isinstance(settings[use], str):
            raise InputError(operation, f"a list of names as {use}", repr(settings[use]))
        uses |= dict.fromkeys(settings[use], use)
    uses |= {} if label is None else {label: "label"}
    named = [*settings["categories"], *settings["counts"], *settings["ignored"], *([] if label is None else [label])]
    for name in named:
        if name not in names or named.count(name) > 1:
            received = repr(name) if name not in names else f"{name!r} for two uses"
            raise InputError(operation, f"columns among {', '.join(names)}, each for one use", received)
    places = [(k, name) for k, name in enumerate(names) if uses.get(name) not in ("ignored", "label")]
    if not places:
        raise DataError(operation, "columns besides those of labels and those that are ignored", "none")
    places += [] if label is None else [(names.index(label), label)]
    counted = [(k, Census(uses.get(name) in ("categories", "label"))) for k, name in places]
    n = 0
    for number, row in rows():
        n += 1
        for k, census in counted:
            census.count(row[k], number, comma)
    if not n:
        raise DataError(operation, "rows below the header", "none")
    return [
        _column(name, census, uses.get(name) == "counts", operation)
        for (_, name), (_, census) in zip(places, counted, strict=True)
    ], n


def _column(name: str, census: Census, is_count: bool, operation: str) -> Column:
    """Returns the column that a census implies. Raises DataError if the cells fit no type of column."""
    where, n_words = f"{operation}, column {name!r}", census.n_known - census.n_numbers
    (word, row), n_levels = census.first_word, len(census.texts)
    if not census.n_known:
        raise DataError(where, "an entry", "none in any row", "ignored leaves the column out")
    if census.commas and census.points:
        raise DataError(where, "decimals behind points or behind commas", "both")
    if is_count:
        wrong, row = census.first_word if n_words else census.first_fraction
        if row:
            raise DataError(where, "counts, whole numbers of at least 0", f"{wrong!r} in row {row}")
        return Column(name, COUNT)
    if not n_words and n_levels > 2:
        return Column(name, NUMBER)
    if 0 < n_words <= census.n_numbers:
        hint = "categories takes all of them as levels"
        raise DataError(where, "numbers, as in most of its rows", f"{word!r} in row {row}", hint)
    hint = "an identifier? ignored leaves the column out"
    if n_levels > MOST_LEVELS:
        raise DataError(where, f"at most {MOST_LEVELS} levels", "more", hint)
    if not census.is_category and n_levels > max(20, census.n_known // 2):
        hint += ", categories takes it as it is"
        raise DataError(where, "words that recur", f"{n_levels} different ones in {census.n_known} rows", hint)
    numbers = {text: as_number(text) for text in census.texts}
    key = numbers.get if None not in numbers.values() else str
    return Column(name, CATEGORY, tuple(sorted(census.texts, key=key)))
