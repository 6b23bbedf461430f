"""Columns of tables: a Column says how the numbers, counts or levels of a column are stored in an array of floats.

A row of a table is one row of floating-point numbers, (D,): a number or a count as it is, a level by its number from 0,
and NaN where an entry is missing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy

from scratchvae.arrays import type_name
from scratchvae.backend import array_module, constant
from scratchvae.errors import DataError, InputError

Table: TypeAlias = dict[str, Any]
"""A dict of the columns of a table, arrays (N,), by their names. Data frames are ArrayLike."""

NUMBER, COUNT, CATEGORY = KINDS = ("number", "count", "category")

MISSING = frozenset({"", "na", "n/a", "nan", "<na>", "null", "?"})
"""Texts, in any case, that stand for a missing entry."""

MOST_LEVELS = 1000
"""The most levels of a category."""

LONGEST_DESCRIPTION = 24_000
"""The most characters of the names and levels of all columns in JSON, as the header of every checkpoint holds them."""


class Column(NamedTuple):
    """A Column describes one column of a table: a tuple of a name, a kind, levels, a mean and a standard deviation.

    Parameters
    ----------
    name : str
        The name.
    kind : "number", "count" or "category"
        The kind of the entries: real numbers, whole numbers of at least 0, or levels.
    levels : sequence of str
        The names of the levels of a category; the entry k of a row stands for levels[k]. A column with a single value
        is a category with one level. Empty for numbers and counts.
    mean : float
        The mean of a column of numbers. The networks of a model read u = (x - mean) / std; counts and levels have the
        mean 0.
    std : float
        The standard deviation of a column of numbers, above 0; counts and levels have the standard deviation 1.

    Attributes
    ----------
    name, kind, levels, mean, std
        The parameters of these names.

    See Also
    --------
    scratchvae.TableVAE : The model of a table with such columns.
    scratchvae.data.as_table : Finds the columns of a table.

    Examples
    --------
    >>> import scratchvae as sv
    >>> pet = sv.data.Column("pet", "category", ("cat", "dog"))
    >>> pet.text(1.0), pet.reader()("cat")
    ('dog', 0.0)
    """

    name: str
    """The name."""
    kind: str = NUMBER
    """The kind of the entries: "number", "count" or "category"."""
    levels: Sequence[str] = ()
    """The names of the levels of a category."""
    mean: float = 0.0
    """The mean of a column of numbers."""
    std: float = 1.0
    """The standard deviation of a column of numbers."""

    def text(self, entry: float) -> str:
        """Returns an entry as a file shows it, a number to about 1e-5 of the standard deviation, and "" for NaN."""
        if math.isnan(entry):
            return ""
        if self.kind == CATEGORY:
            return self.levels[int(entry)]
        if self.kind == COUNT:
            return str(round(entry))
        return short(round(float(entry), 5 - math.floor(math.log10(self.std))))

    def reader(self, comma: bool = False) -> Callable[[str], float]:
        """Returns a function from a text to the entry that it stands for, NaN for a missing one.

        The function raises ValueError, whose message describes the entries of the column. comma: whether a number may
        have a decimal comma.
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
    """Returns columns, which may be given as lists of their fields.

    Raises InputError for a list that describes no column, and for two columns with one name.
    """
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
    """Returns the means and the standard deviations of the columns on the device of x: float64, (D,) each."""
    return tuple(constant(array_module(x), tuple(column[k] for column in columns), numpy.float64) for k in (3, 4))


def measured(columns: Sequence[Column], records: numpy.ndarray) -> tuple[Column, ...]:
    """Returns the columns with the mean and std of the known numbers in these rows.   records (N, D)"""
    result = []
    for column, values in zip(columns, numpy.asarray(records, dtype=numpy.float64).T, strict=True):
        values = values[~numpy.isnan(values)]
        if column.kind == NUMBER and len(values):
            with numpy.errstate(over="ignore"):  # an infinite one is refused where the columns are taken
                column = column._replace(mean=float(values.mean()), std=float(values.std()) or 1.0)
        result.append(column)
    return tuple(result)


def check_records(x: Any, columns: Sequence[Column]) -> None:
    """Raises DataError for entries, except NaN, that are no level or no count.   x (N, D)"""
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
    """Returns the finite number that a text expresses, or None. comma: whether it may have a decimal comma."""
    if comma and text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    try:
        value = float(text)
    except ValueError:
        return None
    return None if not math.isfinite(value) or "_" in text else value


def short(value: float) -> str:
    """Returns a number as Python prints it, but a whole number without decimals."""
    text = repr(float(value))
    return text.removesuffix(".0")


# ---- tables of other packages


def is_table(x: Any) -> bool:
    """Tells whether x has named columns: a DataFrame of pandas or polars, or a dict of columns."""
    return isinstance(x, dict) or (hasattr(x, "columns") and hasattr(x, "__getitem__") and not isinstance(x, type))


def names_of(x: Any) -> list[str]:
    """Returns the names of the columns of a table."""
    return [str(name) for name in (x if isinstance(x, dict) else x.columns)]


def rows_of(x: Any, operation: str) -> Iterator[tuple[int, list[str]]]:
    """Yields (number, texts) of every row of a table; the text of a missing entry is "".

    Raises DataError for columns with different lengths, and for columns of dates and other objects.
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
            yield str(value).removesuffix(".0")  # a float32 has fewer digits
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
    """Returns the entries of n rows of texts as float64, (n, D).

    places: the index of each column in a row. Raises DataError, with row and column, for a text that is no entry of its
    column.
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
