"""The command line of every benchmark, and what a run says while it runs."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path

from scratchvae.errors import InputError

RESULTS = Path(__file__).parent / "results"


def parser(
    name: str, description: str | None, out: str | None = None, what: str = "file of the results"
) -> ArgumentParser:
    """The options of a benchmark, --help and --out among them.

    out: where the results go by default, a file in benchmarks/results; None: nowhere. what: how --help explains it.
    """
    made = ArgumentParser(
        prog=f"python -m benchmarks {name}", description=description, formatter_class=RawDescriptionHelpFormatter
    )
    default = None if out is None else RESULTS / out
    said = "none" if default is None else default.relative_to(RESULTS.parents[1])
    made.add_argument("--out", type=Path, default=default, metavar="FILE", help=f"{what} (default: {said})")
    return made


def names(text: str) -> list[str]:
    """What commas separate."""
    return [name for name in text.split(",") if name]


def whole_numbers(text: str) -> list[int]:
    """Whole numbers of at least 1, between commas."""
    try:
        numbers = [int(name) for name in names(text)]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise ArgumentTypeError(f"expected whole numbers of at least 1 between commas, received {text!r}")
    return numbers


def chosen(operation: str, wanted: list[str], known: list[str]) -> list[str]:
    """The known names that are wanted, each by its name or, for names GROUP:NAME, its group.

    Raises InputError for a name that is not known.
    """
    groups = {name.split(":")[0] for name in known if ":" in name}
    for name in wanted:
        if name not in known and name not in groups:
            singles = [name for name in known if ":" not in name]
            raise InputError(operation, f"names among {', '.join([*singles, *sorted(groups)])}", repr(name))
    return [name for name in known if name in wanted or name.split(":")[0] in wanted]


def say(text: str) -> None:
    """Tell on standard error what a run does."""
    print(text, file=sys.stderr, flush=True)
