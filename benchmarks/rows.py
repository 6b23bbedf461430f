"""The results of a benchmark on a device: rows of figures, each of which may fail without ending the others."""

from __future__ import annotations

import json
import platform
import re
import sys
import traceback
from argparse import Namespace
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.arguments import parser as options_of
from benchmarks.arguments import say
from benchmarks.cases.problem import NotHere

Row = dict[str, Any]
"""name; status, one of "measured", "failed" and "not run"; figures, a dict of numbers and words; reason, a sentence."""


def peer(name: str) -> ModuleType:
    """Returns a library to compare with. Raises NotHere if it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        raise NotHere(f"{name} is not installed") from None


def settings(name: str, description: str | None, arguments: list[str]) -> Namespace:
    """Returns the options that every part takes: device, quick and out, a path or None."""
    parser = options_of(name, description, what="a file to which every row is appended as JSON")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="gpu", help="device to compute on (default: gpu)")
    parser.add_argument(
        "--quick", action="store_true", help="use tiny sizes, to see that everything runs; the times then mean nothing"
    )
    return parser.parse_args(arguments)


class Rows:
    """Rows are the rows of one part; each is printed, and appended to the file, as soon as it is measured.

    The rows measured so far are thus kept if the process is killed.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path, self.all = path, list[Row]()

    def attempt(self, name: str, measure: Callable[[], dict[str, Any]]) -> None:
        """Adds a row with the figures that measure() returns, or with the exception that it raises."""
        say(f"{name} ...")
        try:
            row = {"name": name, "status": "measured", "figures": measure(), "reason": ""}
        except NotHere as reason:
            row = {"name": name, "status": "not run", "figures": {}, "reason": plain(str(reason))}
        except Exception as error:
            traceback.print_exc(file=sys.stdout)
            row = {"name": name, "status": "failed", "figures": {}, "reason": plain(f"{type(error).__name__}: {error}")}
        self.all.append(row)
        print(f"{name}: {in_words(row)}", flush=True)
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")

    def finish(self) -> None:
        """Ends the process with exit status 1 if a row failed."""
        if any(row["status"] == "failed" for row in self.all):
            sys.exit(1)


def in_words(row: Row) -> str:
    """Returns the figures of a row in one line, or why it has none."""
    figures = ", ".join(f"{name} {_short(value)}" for name, value in row["figures"].items())
    return figures if row["status"] == "measured" else f"{row['status']}: {row['reason']}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def plain(text: str) -> str:
    """Returns a text as one line of at most 300 characters, without the folders and the name of this machine."""
    text = re.sub(r"(?<![\w.:/])(?:/[\w.+@-]+)+/", "", " ".join(text.split()))
    if host := platform.node():
        text = re.sub(rf"\b{re.escape(host)}\b", "host", text)
    return text[:300]
