"""The parts of the command line's parser: its class, and the arguments that several commands share."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Callable
from typing import Any, NoReturn

from scratchvae.cli.settings import takers
from scratchvae.kinds import KINDS, Option
from scratchvae.kinds.option import name
from scratchvae.kinds.shared_options import DATA_DIR, DATA_LABELS

RUN_HELP = "run directory or checkpoint file"


class UsageError(Exception):
    """UsageError tells that the command line has a form that the parser refuses."""


class Page(argparse.HelpFormatter):
    """A Page formats the help of a command; a line break in the help of an option stays one."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        paragraphs = text.splitlines()
        return [line for paragraph in paragraphs for line in textwrap.wrap(paragraph, width, break_on_hyphens=False)]


class Parser(argparse.ArgumentParser):
    """A Parser raises UsageError with one sentence, where argparse would print the usage and exit."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def add_run(command: argparse.ArgumentParser, help: str = RUN_HELP) -> None:
    """Adds the arguments of every command that reads a trained model."""
    command.add_argument("run", type=converted(name), help=help)
    command.add_argument(
        "--checkpoint",
        choices=["last", "best"],
        help="checkpoint of the run directory to read: last.npz, or best.npz, that of the epoch with the best "
        "validation ELBO (default: last)",
    )


def add_data_files(command: argparse.ArgumentParser) -> None:
    """Adds the options about the files of a data set."""
    command.add_argument("--data-labels", type=converted(name), metavar="FILE", help=help_of(DATA_LABELS))
    command.add_argument("--data-dir", type=converted(name), metavar="DIR", help=help_of(DATA_DIR))


def add_out(command: argparse.ArgumentParser, help: str, default: str | None = None, required: bool = False) -> None:
    """Adds the option that names the file to write."""
    usual = "" if default is None else f" (default: {default})"
    form: dict[str, Any] = {"metavar": "FILE", "default": default, "required": required, "type": converted(name)}
    command.add_argument("--out", help=help + usual, **form)


def add_json(command: argparse._ActionsContainer, help: str = "print the figures as one line of JSON") -> None:
    """Adds the switch --json."""
    command.add_argument("--json", action="store_true", help=help)


def converted(conversion: Callable[[Any], Any]) -> Callable[[str], Any]:
    """Returns a conversion in the form that argparse expects."""

    def convert(text: str) -> Any:
        try:
            return conversion(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"expected {error}, received {text!r}") from None

    return convert


def form_of(option: Option) -> dict[str, Any]:
    """Returns the number of values of an option and its placeholder in the help, in the form that argparse expects."""
    if option.is_switch:
        return {"action": "store_true"}
    metavar = option.metavar or (f"{{{','.join(option.choices)}}}" if option.choices else option.name.upper())
    return {"metavar": metavar} | ({"nargs": option.several} if option.several else {})


def help_of(option: Option, heading: str = "") -> str:
    """Describes an option: its meaning, its default and, unless the heading above it does, the kinds that take it."""
    kinds = takers(option.name)
    notes = [kinds_in_words(kinds)] if len(kinds) < len(KINDS) and kinds_in_words(kinds) != heading else []
    shown = " ".join(map(str, option.default)) if isinstance(option.default, list) else option.default
    if option.usual or (shown is not None and not option.is_switch):
        notes.append(f"default: {option.usual or shown}")
    for kind in KINDS.values():
        notes += [
            f"{own.default if own.usual == option.usual else own.usual} for --model {kind.name}"
            for own in kind.options
            if own.name == option.name and own.default != option.default and kinds == list(KINDS)
        ]
    return with_notes(option.help, *notes)


def with_notes(help: str, *notes: str) -> str:
    """Returns the help of an option with notes in brackets at the end of its first line."""
    meaning, *more = help.splitlines()
    return "\n".join([meaning + (f" ({'; '.join(notes)})" if notes else ""), *more])


def kinds_in_words(kinds: list[str]) -> str:
    """Says that only these kinds of model take an option."""
    return f"only for --model {', '.join(kinds)}"
