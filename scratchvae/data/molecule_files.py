"""Molecules are read as SMILES from .smi and .txt files, one a line, and from a column of a .csv file; also as .gz."""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy

from scratchvae.chemistry import split_smiles, why_invalid
from scratchvae.data.dataset import Dataset
from scratchvae.data.text_files import header_of, lines_of, suffix_of
from scratchvae.errors import DataError, InputError
from scratchvae.npz import refuse_bomb

SUFFIXES = (".smi", ".txt", ".csv")
"""The ends of these files' names, before .gz."""

COLUMN = "smiles"
"""The default name of the column of molecules in a .csv file, in small letters or capitals."""

MOST_TOKENS = 120
"""The default of `most`: molecules with more tokens are left out."""

SAMPLE = 100
"""The number of molecules at the beginning of a file of which at least one must be valid."""

PRINTABLE = re.compile(r"[!-~]+")
"""The characters of SMILES."""

SELFIES = re.compile(r"(\[[^][]+\]\.?)+")
"""SELFIES are symbols in brackets alone; most of them are no SMILES, but a model may learn them."""


def holds_molecules(path: str | os.PathLike[str]) -> bool:
    """Tells whether `read_molecules` reads this path, by the end of its name."""
    return suffix_of(path) in SUFFIXES and Path(path).is_file()


def has_columns(path: str | os.PathLike[str]) -> bool:
    """Tells whether a file is a table, with columns that can be named, by the end of its name."""
    return suffix_of(path) == ".csv"


def read_molecules(
    path: str | os.PathLike[str],
    column: str | None = None,
    properties: Sequence[str] | None = None,
    most: float = MOST_TOKENS,
) -> Dataset:
    """Returns the molecules of a file, with the properties that the file states.

    .smi, .txt   a SMILES at the start of each line; a name may follow after a space or a tab, and is not kept
    .csv         a header with the names of the columns, and a row for each molecule; separated by , or ; or tabs

    column : the column of the molecules, in any case; "smiles" by default
    properties : the columns of numbers to keep; by default all columns that have nothing but numbers. Empty cells, and
        those with nan, are NaN.
    most : molecules of more tokens are left out, and counted as `omissions`

    Empty lines are allowed only at the end of a file. Molecules need not be valid, but if none of the first 100 is, the
    column is another one, or the file has no SMILES. SELFIES, which consist of symbols in brackets, are accepted.

    Raises DataError for a missing or damaged file, a missing column, cells that are not numbers, and if no molecule is
    left; InputError for a column or properties of a file without columns.
    """
    operation = f"reading {os.fspath(path)}"
    if not has_columns(path):
        if column is not None or properties is not None:
            raise InputError(operation, "column and properties for a .csv file", f"a {suffix_of(path)} file")
        smiles = [line.split(None, 1)[0] for _, line in lines_of(path, operation, "a molecule", "molecules")]
        values: dict[str, numpy.ndarray] = {}
        if smiles and smiles[0].lower() == COLUMN:
            del smiles[0]
    else:
        smiles, values = _table(path, operation, column, properties)
    _refuse_other_text(smiles, operation)
    sizes = [len(split_smiles(each)) if len(each) <= 10 * most else math.inf for each in smiles]
    keep = numpy.array([size <= most for size in sizes], dtype=bool)
    if not keep.any():
        raise DataError(operation, f"at least one molecule of at most {most} tokens", f"none among {len(smiles)}")
    kept = [each for each, wanted in zip(smiles, keep, strict=True) if wanted]
    width = max(map(len, kept))
    refuse_bomb(f"{operation}, as an array of strings", 4 * width * len(kept), os.stat(path).st_size)
    return Dataset(
        molecules=numpy.array(kept),
        properties={name: column[keep] for name, column in values.items()},
        omissions=int((~keep).sum()),
    )


def _table(
    path: str | os.PathLike[str], operation: str, column: str | None, properties: Sequence[str] | None
) -> tuple[list[str], dict[str, numpy.ndarray]]:
    """Returns the molecules in a .csv file, and the columns of its properties by name."""
    lines = lines_of(path, operation, "a molecule", "molecules")
    names, separator = header_of(next(lines)[1])
    place = _place_of_molecules(names, column, operation)
    places = _places_of_properties(names, properties, place, operation)
    smiles: list[str] = []
    cells: dict[str, list[float]] = {name: [] for name in places}
    try:
        for row in csv.reader((text for _, text in lines), delimiter=separator, strict=True):
            number = len(smiles) + 2
            if len(row) != len(names):
                raise DataError(operation, f"{len(names)} cells in every row", f"{len(row)} in row {number}")
            smiles.append(row[place].strip())
            if not smiles[-1]:
                raise DataError(operation, f"a molecule in the column {names[place]}", f"an empty cell in row {number}")
            for name in list(cells):
                value = _number(row[places[name]])
                if value is not None:
                    cells[name].append(value)
                elif properties is None:
                    del cells[name]
                else:
                    received = f"{row[places[name]]!r} in row {number}"
                    raise DataError(operation, f"numbers, or empty cells, in the column {name}", received)
    except csv.Error as error:
        raise DataError(operation, "a .csv file", f"row {len(smiles) + 2}, which cannot be read: {error}") from None
    if not smiles:
        raise DataError(operation, "rows below the header", "none")
    columns = {name: numpy.array(values, dtype=numpy.float64) for name, values in cells.items()}
    return smiles, {
        name: values for name, values in columns.items() if properties is not None or not numpy.isnan(values).all()
    }


def _place_of_molecules(names: list[str], column: str | None, operation: str) -> int:
    wanted = COLUMN if column is None else column
    if not isinstance(wanted, str):
        raise InputError(operation, "the name of a column", repr(wanted))
    matches = [place for place, name in enumerate(names) if name == wanted] or [
        place for place, name in enumerate(names) if name.lower() == wanted.lower()
    ]
    if len(matches) == 1:
        return matches[0]
    hint = "name another one with column" if wanted == COLUMN else ""
    if any(name and why_invalid(name) is None and len(split_smiles(name)) > 4 for name in names):
        hint = "the first line must be a header such as smiles,logP"
    received = f"columns named {', '.join(map(repr, names))}" if not matches else f"{len(matches)} of that name"
    raise DataError(operation, f"a column {wanted!r} in the header", received, hint)


def _places_of_properties(
    names: list[str], properties: Sequence[str] | None, place: int, operation: str
) -> dict[str, int]:
    others = {name: k for k, name in enumerate(names) if k != place and name}
    if properties is None:
        return {name: k for name, k in others.items() if names.count(name) == 1}
    if isinstance(properties, str) or not all(isinstance(name, str) for name in properties):
        raise InputError(operation, "a list of names of columns as properties", repr(properties))
    for name in properties:
        if name not in others or names.count(name) > 1:
            known = ", ".join(map(repr, others)) or "none but the molecules"
            received = repr(name) if names.count(name) < 2 else f"{name!r}, {names.count(name)} columns"
            raise DataError(operation, f"properties among the columns of the file, {known}", received)
    return {name: others[name] for name in properties}


def _number(cell: str) -> float | None:
    """Returns the number in a cell, NaN for an empty cell, or None if there is no finite number."""
    try:
        value = float(cell) if cell.strip() else math.nan
    except ValueError:
        return None
    return None if math.isinf(value) else value


def _refuse_other_text(smiles: Sequence[str], operation: str) -> None:
    for number, each in enumerate(smiles, 1):
        if not PRINTABLE.fullmatch(each):
            raise DataError(operation, "SMILES, of printable ASCII characters", f"{each!r}, molecule number {number}")
    reasons = [None if SELFIES.fullmatch(each) else why_invalid(each) for each in islice(smiles, SAMPLE)]
    if reasons and None not in reasons:
        received = f"none among the first {len(reasons)}; {smiles[0]!r}, for one: {reasons[0]}"
        raise DataError(operation, "molecules as SMILES", received)
