"""Lines of text, plain or compressed by gzip, are read with limits on length, number and expansion."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterator
from pathlib import Path

from scratchvae.errors import DataError
from scratchvae.npz import BOMB_RATIO, opened, readable

LONGEST_LINE, MOST_LINES = 2**16, 10**7
"""The most bytes of a line, unless told otherwise, and the most lines of a file."""

TEXT_BOMB = 2**24
"""Text is not unpacked if it has more bytes than this, and more than BOMB_RATIO times its packed size."""

SEPARATORS = ",;\t"
"""The characters that may separate the cells of a row."""


def suffix_of(path: str | os.PathLike[str]) -> str:
    """Returns the end of a file's name in lower case, ignoring .gz, such as ".csv"."""
    path = Path(path)
    return Path(path.stem if path.suffix.lower() == ".gz" else path.name).suffix.lower()


def lines_of(
    path: str | os.PathLike[str], operation: str, one: str, many: str, longest: int = LONGEST_LINE
) -> Iterator[tuple[int, str]]:
    """Yields (number, text) of each line, without its end.

    Raises DataError for binary files, zip bombs, and empty lines between others.

    one, many: the words in messages for the contents of a line and of the file, such as "a molecule" and "molecules"
    """
    with readable(operation, "a file of text in UTF-8"), opened(path) as file:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        packed, unpacked, empty = os.fstat(file.fileno()).st_size, 0, 0
        stream = gzip.GzipFile(fileobj=file) if compressed else file
        number = 0
        while raw := stream.readline(longest + 1):
            number, unpacked = number + 1, unpacked + len(raw)
            if len(raw) > longest:
                raise DataError(operation, f"lines of at most {longest} bytes", f"a longer one, number {number}")
            if number > MOST_LINES:
                raise DataError(operation, f"at most {MOST_LINES:,} lines", "more")
            if compressed and unpacked > max(TEXT_BOMB, BOMB_RATIO * packed):
                expected = f"text of at most {BOMB_RATIO} times the {packed} bytes that it is packed into"
                raise DataError(operation, expected, "more", "a zip bomb?")
            if b"\0" in raw:
                raise DataError(operation, "a file of text", f"a byte of 0 in line {number}")
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip("\r\n")
            if "\r" in text:
                expected = "lines that end with a line feed"
                raise DataError(operation, expected, f"a carriage return within line {number}", "an old Mac's file?")
            if not text.strip():
                empty = empty or number
                continue
            if empty:
                raise DataError(operation, f"{one} in every line", f"an empty line, number {empty}")
            yield number, text
        if not number or empty == 1:
            received = "an empty file" if not number else "nothing but empty lines"
            raise DataError(operation, many, received)


def header_of(line: str) -> tuple[list[str], str]:
    """Returns the names in the first line of a table, and the separator that gives the most columns."""
    headers = {separator: next(csv.reader([line], delimiter=separator)) for separator in SEPARATORS}
    separator = max(headers, key=lambda each: len(headers[each]))
    return [name.strip() for name in headers[separator]], separator
