"""An `Alphabet` splits strings into symbols, and numbers the symbols."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy

from scratchvae.arrays import as_array, type_name
from scratchvae.backend import to_numpy
from scratchvae.chemistry import split_smiles
from scratchvae.errors import DataError, InputError, whole_number

Split = Callable[[str], list[str]]
"""A function from a string to its symbols, whose concatenation is the string."""


class Alphabet:
    """C symbols have the numbers 1, ..., C; 0 is the end of a sequence and the padding after it.

    Parameters
    ----------
    symbols : sequence of str
        C different strings.
    split : callable
        Maps a string to the list of its symbols. The default, `split_smiles`, takes Cl as one symbol: two symbols would
        teach a model to write "Cr" and "(l)". It also splits SELFIES, which consist of atoms in brackets alone.

    Attributes
    ----------
    symbols : tuple of str
        The symbols.
    split : callable
        The function that splits a string.

    See Also
    --------
    scratchvae.MoleculeVAE : a model of such strings.

    Examples
    --------
    >>> import scratchvae as sv
    >>> alphabet = sv.Alphabet.of(["CCl", "CO"])
    >>> alphabet, alphabet.encode(["CCl", "O"]).tolist()
    (Alphabet(['C', 'Cl', 'O']), [[1, 2, 0], [3, 0, 0]])
    >>> alphabet.decode(alphabet.encode(["CCl", "O"]))
    ['CCl', 'O']
    """

    def __init__(self, symbols: Sequence[str], split: Split = split_smiles) -> None:
        if isinstance(symbols, str) or not isinstance(symbols, Sequence | numpy.ndarray):
            raise InputError("Alphabet", "a list of symbols", _shortened(symbols), "Alphabet.of(x) finds those of data")
        symbols = tuple(symbols)
        if not symbols or not all(isinstance(symbol, str) and symbol for symbol in symbols):
            raise InputError("Alphabet", "symbols, strings that are not empty", _shortened(symbols))
        if len(set(symbols)) < len(symbols):
            repeated = next(symbol for symbol, n in Counter(symbols).items() if n > 1)
            raise InputError("Alphabet", "symbols that differ", f"{repeated!r} twice")
        self.symbols, self.split = symbols, split
        self._number = {symbol: i for i, symbol in enumerate(symbols, 1)}

    @classmethod
    def of(cls, strings: Iterable[str], fewest: int = 1, split: Split = split_smiles) -> Alphabet:
        """Returns the Alphabet of all symbols that occur at least `fewest` times in these strings, sorted."""
        if isinstance(strings, str):
            raise DataError("Alphabet", "a list of strings", f"one string, {_shortened(strings)}", "[x]")
        counts = Counter(symbol for string in strings for symbol in split(string))
        symbols = sorted(symbol for symbol, n in counts.items() if n >= fewest)
        if not symbols:
            raise DataError("Alphabet", f"strings with a symbol that occurs {fewest} times", "none")
        return cls(symbols, split)

    def __len__(self) -> int:
        return len(self.symbols)

    def __repr__(self) -> str:
        split = "" if self.split is split_smiles else f", split={self.split!r}"
        return f"Alphabet({list(self.symbols)}{split})"

    def unknown(self, string: str) -> str | None:
        """Returns the first symbol of a string that the alphabet lacks, or None."""
        return next((symbol for symbol in self.split(string) if symbol not in self._number), None)

    def encode(self, strings: Sequence[str], longest: int | None = None) -> numpy.ndarray:
        """Returns the numbers of the symbols, 0 at and after each end.   N strings -> (N, T + 1), T the longest length

        Raises DataError, which names the row, for an empty string, a symbol that the alphabet lacks, and a string of
        more than `longest` symbols, and InputError for a `longest` below 1.
        """
        longest = None if longest is None else whole_number("Alphabet.encode", "longest", longest)
        if isinstance(strings, str):
            raise DataError("strings", "a list of strings", f"one string, {_shortened(strings)}", "[x]")
        rows = []
        for i, string in enumerate(strings):
            if not isinstance(string, str):
                raise DataError("strings", "strings", f"{type_name(string)} {_shortened(string)} in row {i}")
            symbols = self.split(string)
            try:
                rows.append([self._number[symbol] for symbol in symbols])
            except KeyError as error:
                expected = f"the {len(self)} symbols {_in_words(self.symbols)}"
                received = f"{error.args[0]!r} in row {i}, {_shortened(string)}"
                raise DataError("strings", expected, received) from None
            if not symbols or (longest is not None and len(symbols) > longest):
                bound = "at least one symbol" if longest is None else f"1 to {longest} symbols"
                received = f"{len(symbols)} in row {i}, {_shortened(string)}"
                raise DataError("strings", f"{bound} in each", received)
        if not rows:
            raise DataError("strings", "at least one", "none")
        tokens = numpy.zeros((len(rows), max(map(len, rows)) + 1), dtype=numpy.min_scalar_type(len(self)))
        for row, numbers in zip(tokens, rows, strict=True):
            row[: len(numbers)] = numbers
        return tokens

    def decode(self, tokens: Any) -> list[str]:
        """Returns the strings of rows of integers, each up to its first 0.   (N, T) -> N strings

        Raises DataError for values that are not integers from 0 to C, and for another shape.
        """
        tokens, names = to_numpy(as_array("symbols", tokens)), ("", *self.symbols)
        if tokens.dtype.kind not in "iu" or tokens.ndim != 2:
            raise DataError("symbols", "integers of shape (N, T)", f"{tokens.dtype}, shape {tokens.shape}")
        if tokens.size and not 0 <= tokens.min() <= tokens.max() <= len(self):
            raise DataError("symbols", f"integers from 0 to {len(self)}", f"{tokens.min()} to {tokens.max()}")
        return ["".join(names[k] for k in row[: _length(row)]) for row in tokens]


def strings_of(x: Any) -> list[str] | None:
    """Returns the entries of a list, an array or a series that contains a string; None for anything else.

    The result is a list, since in an array of NumPy each string takes as much memory as the longest. Raises DataError
    for a single string.
    """
    if isinstance(x, str):
        raise DataError("data", "a list of strings", f"one string, {_shortened(x)}", "[x]")
    if not isinstance(x, (list, tuple)):
        if getattr(getattr(x, "dtype", None), "kind", "") not in tuple("OTU") or len(x.shape) != 1:
            return None
        x = x.tolist()
    return list(x) if any(isinstance(entry, str) for entry in x) else None


def _length(row: numpy.ndarray) -> int:
    ends = numpy.flatnonzero(row == 0)
    return int(ends[0]) if len(ends) else len(row)


def _shortened(value: Any, most: int = 60) -> str:
    if isinstance(value, str):
        return repr(value if len(value) <= most else f"{value[:most]}...")
    return reprlib.repr(value)


def _in_words(symbols: Sequence[str], most: int = 12) -> str:
    return " ".join(symbols[:most]) + (" ..." if len(symbols) > most else "")
