"""The command line that all benchmarks share, and their messages while they run."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path

from scratchvae.errors import InputError

RESULTS = Path(__file__).parent / "results"


def parser(
    name: str, description: str | None, out: str | None = None, what: str = "file of the results"
) -> ArgumentParser:
    """Returns a parser with the options --help and --out.

    out: the default file of the results, in benchmarks/results, or None.   what: the explanation of --out in the help.
    """
    made = ArgumentParser(
        prog=f"python -m benchmarks {name}", description=description, formatter_class=RawDescriptionHelpFormatter
    )
    default = None if out is None else RESULTS / out
    said = "none" if default is None else default.relative_to(RESULTS.parents[1])
    made.add_argument("--out", type=Path, default=default, metavar="FILE", help=f"{what} (default: {said})")
    return made


def names(text: str) -> list[str]:
    """Returns the names in a text, which commas separate."""
    return [name for name in text.split(",") if name]


def whole_numbers(text: str) -> list[int]:
    """Returns the whole numbers of at least 1 in a text, which commas separate."""
    try:
        numbers = [int(name) for name in names(text)]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise ArgumentTypeError(f"expected whole numbers of at least 1 between commas, received {text!r}")
    return numbers


def chosen(operation: str, wanted: list[str], known: list[str]) -> list[str]:
    """Returns the known names that are wanted; GROUP stands for all names of the form GROUP:NAME.

    Raises InputError for an unknown name.
    """
    groups = {name.split(":")[0] for name in known if ":" in name}
    for name in wanted:
        if name not in known and name not in groups:
            singles = [name for name in known if ":" not in name]
            raise InputError(operation, f"names among {', '.join([*singles, *sorted(groups)])}", repr(name))
    return [name for name in known if name in wanted or name.split(":")[0] in wanted]


def say(text: str) -> None:
    """Prints a message on standard error."""
    print(text, file=sys.stderr, flush=True)
