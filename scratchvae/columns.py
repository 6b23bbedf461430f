"""What the entries of a table are: a Column says how its numbers, counts or levels stand in an array of floats.

A row of a table is one row of floating-point numbers, (D,): a number or a count as it is, a level by its number from 0,
and NaN where an entry is missing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy

from scratchvae.arrays import type_name
from scratchvae.backend import array_module, asarray, device_of
from scratchvae.errors import DataError, InputError

NUMBER, COUNT, CATEGORY = KINDS = ("number", "count", "category")

MISSING = frozenset({"", "na", "n/a", "nan", "<na>", "null", "?"})
"""Texts, in any case, that stand for a missing entry."""

MOST_LEVELS = 1000
"""The most levels of a category."""

LONGEST_DESCRIPTION = 24_000
"""The most characters of the columns' names and levels in JSON, since the header of every checkpoint has them."""


class Column(NamedTuple):
    """A Column describes one column of a table. It is a tuple, whose entries are the parameters.

    Parameters
    ----------
    name : str
        The name.
    kind : "number", "count" or "category"
        "number" stands for real numbers, "count" for whole numbers of at least 0, and "category" for levels, one in
        each row.
    levels : sequence of str
        The names of a category's levels; an entry k stands for levels[k]. For a column with a single value, that value.
    mean, std : float
        The mean and standard deviation of a column of numbers. The networks of a model read u = (x - mean) / std.

    See Also
    --------
    scratchvae.TableVAE : a model of such columns.
    scratchvae.data.as_table : finds the columns of a table.

    Examples
    --------
    >>> import scratchvae as sv
    >>> pet = sv.data.Column("pet", "category", ("cat", "dog"))
    >>> pet.text(1.0), pet.reader()("cat")
    ('dog', 0.0)
    """

    name: str
    kind: str = NUMBER
    levels: Sequence[str] = ()
    mean: float = 0.0
    std: float = 1.0

    def text(self, entry: float) -> str:
        """An entry as a file shows it: a number to about 1e-5 of the standard deviation; "" for NaN."""
        if math.isnan(entry):
            return ""
        if self.kind == CATEGORY:
            return self.levels[int(entry)]
        if self.kind == COUNT:
            return str(round(entry))
        return short(round(float(entry), 5 - math.floor(math.log10(self.std))))

    def reader(self, comma: bool = False) -> Callable[[str], float]:
        """The function from a text to the entry that it stands for, NaN if it is missing.

        It raises ValueError, which says what the column takes. comma: whether a comma may stand before the decimals.
        """
        numbers = {name: float(k) for k, name in enumerate(self.levels)}

        def level(text: str) -> float:
            value = None if text in numbers else as_number(text, comma)
            name = text if value is None else short(value)
            if name not in numbers:
                raise ValueError(f"one of its {len(numbers)} levels: {', '.join(self.levels[:10])}")
            return numbers[name]

        def number(text: str) -> float:
            value = as_number(text, comma)
            if value is None:
                raise ValueError("a number")
            if self.kind == COUNT and (value < 0 or value != math.floor(value)):
                raise ValueError("a whole number of at least 0")
            return value

        read = level if self.kind == CATEGORY else number
        return lambda text: math.nan if text.lower() in MISSING and text not in numbers else read(text)


def as_columns(columns: Any) -> tuple[Column, ...]:
    """Columns, also as lists of their fields. Raises InputError for what describes none, or two of one name."""
    made = []
    for column in columns:
        try:
            column = Column(*column)
        except TypeError:
            raise InputError("columns", "columns such as sv.data.Column('age')", repr(column)) from None
        is_level = column.kind == CATEGORY
        if column.kind not in KINDS or bool(column.levels) != is_level or not (0 < column.std < math.inf):
            expected = f"a kind among {', '.join(KINDS)}, levels for a category alone, and a finite std above 0"
            raise InputError(f"column {column.name!r}", expected, repr(column))
        made.append(column._replace(levels=tuple(column.levels)))
    names = [column.name for column in made]
    if not made or len(set(names)) < len(names):
        raise InputError("columns", "at least one column, each with a name of its own", ", ".join(names) or "none")
    length = len(json.dumps(made))
    if length > LONGEST_DESCRIPTION:
        expected = f"names of columns and levels of at most {LONGEST_DESCRIPTION:,} characters together"
        raise InputError("columns", expected, f"{length:,}", "leave out the columns with the most levels")
    return tuple(made)


def standardized(x: Any, columns: Sequence[Column]) -> Any:
    """u = (x - mean) / std of every column, which is x itself for counts and levels.   (..., D) -> (..., D)"""
    mean, std = units(columns, x)
    return (x - mean) / std


def units(columns: Sequence[Column], x: Any) -> tuple[Any, Any]:
    """The means and the standard deviations of the columns, beside x: float64, (D,) each."""
    return tuple(asarray(numpy.array([c[k] for c in columns], dtype=numpy.float64), device_of(x)) for k in (3, 4))


def measured(columns: Sequence[Column], records: numpy.ndarray) -> tuple[Column, ...]:
    """The columns with mean and std of the numbers in these rows, those that are there.   records (N, D)"""
    result = []
    for column, values in zip(columns, numpy.asarray(records, dtype=numpy.float64).T, strict=True):
        values = values[~numpy.isnan(values)]
        if column.kind == NUMBER and len(values):
            with numpy.errstate(over="ignore"):  # an infinite one is refused where the columns are taken
                column = column._replace(mean=float(values.mean()), std=float(values.std()) or 1.0)
        result.append(column)
    return tuple(result)


def check_records(x: Any, columns: Sequence[Column]) -> None:
    """Raise DataError for entries, NaN aside, that are no level or no count.   x (N, D)"""
    xp = array_module(x)
    for place, column in enumerate(columns):
        if column.kind == NUMBER:
            continue
        values = x[:, place]
        largest = len(column.levels) - 1 if column.levels else math.inf
        wrong = values[(values < 0) | (values > largest) | (xp.isfinite(values) & (values != xp.floor(values)))]
        if wrong.size:
            last = f"to {largest}, the numbers of its levels" if column.levels else "on"
            raise DataError(
                f"column {column.name!r}", f"whole numbers from 0 {last}", f"{float(wrong[0]):g}", "sv.data.as_table"
            )


# ---- texts


def as_number(text: str, comma: bool = False) -> float | None:
    """The finite number that a text is, None if it is none. comma: whether a comma may stand before its decimals."""
    if comma and text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    try:
        value = float(text)
    except ValueError:
        return None
    return None if not math.isfinite(value) or "_" in text else value


def short(value: float) -> str:
    """A number as Python prints it, a whole one without decimals."""
    text = repr(float(value))
    return text.removesuffix(".0")


# ---- tables of other packages


def is_table(x: Any) -> bool:
    """Whether x has named columns: a DataFrame of pandas or polars, or a dict of columns."""
    return isinstance(x, dict) or (hasattr(x, "columns") and hasattr(x, "__getitem__") and not isinstance(x, type))


def names_of(x: Any) -> list[str]:
    """The names of the columns of a table."""
    return [str(name) for name in (x if isinstance(x, dict) else x.columns)]


def rows_of(x: Any, operation: str) -> Iterator[tuple[int, list[str]]]:
    """(number, texts) of every row of a table; what is missing is "".

    Raises DataError for columns of several lengths, and for those of dates and other objects.
    """
    names = list(x) if isinstance(x, dict) else list(x.columns)
    columns = [_texts(x[name], f"{operation}, column {str(name)!r}") for name in names]
    try:
        for number, row in enumerate(zip(*columns, strict=True), 1):
            yield number, list(row)
    except ValueError as error:
        raise DataError(operation, "columns of one length", str(error)) from None


def _texts(column: Any, operation: str) -> Iterator[str]:
    missing = column.isna() if hasattr(column, "isna") else column.is_null() if hasattr(column, "is_null") else None
    missing = (value is None for value in column) if missing is None else missing
    for value, is_missing in zip(column, missing, strict=True):
        if is_missing or value is None:
            yield ""
        elif isinstance(value, (str, bool, numpy.bool_, numpy.str_)):
            yield str(value).strip()
        elif isinstance(value, (int, float, numpy.integer, numpy.floating)):
            yield str(value).removesuffix(".0")  # of a float32 the digits that it has
        else:
            hint = "differences from a day are numbers" if hasattr(value, "year") else "str(x) of every entry"
            raise DataError(operation, "numbers, words and truth values", f"a {type_name(value)}", hint)


def records_of(
    rows: Iterable[tuple[int, Sequence[str]]],
    places: Sequence[int],
    columns: Sequence[Column],
    operation: str,
    n: int,
    comma: bool = False,
) -> numpy.ndarray:
    """The entries of n rows of texts as float64, (n, D); places: where each column stands in a row.

    Raises DataError, with row and column, for a text that is no entry of its column.
    """
    records = numpy.empty((n, len(columns)))
    readers = [(d, place, columns[d].reader(comma)) for d, place in enumerate(places)]
    for k, (number, row) in enumerate(rows):
        for d, place, read in readers:
            try:
                records[k, d] = read(row[place])
            except ValueError as error:
                received = f"{row[place]!r} in row {number}, column {columns[d].name!r}"
                raise DataError(operation, str(error), received) from None
    return records
