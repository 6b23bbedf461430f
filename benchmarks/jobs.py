"""Jobs that are run once, and the files with their results.

A job is identified by its description (row, seed, epochs, command, ...); changing any of these makes it a new job. Its
result is the description with the device, the seconds and the figures. A results file is a list of results, one a line.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.arguments import say
from scratchvae.replacement import write_text

Job = dict[str, Any]


class Results:
    """Results hold the results in a file, each with its job."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def all(self) -> list[Job]:
        """Returns every result, or none if there is no file."""
        return json.loads(self.path.read_text()) if self.path.exists() else []

    def of(self, job: Job) -> Job | None:
        """Returns the result of a job, or None."""
        return next((result for result in self.all() if job.items() <= result.items()), None)

    def measure(self, job: Job, function: Callable[[], dict[str, Any]], device: str = "cpu") -> Job:
        """Returns the result of a job; the function, which returns its figures, is called only if the file has none."""
        result = self.of(job)
        if result is None:
            say(f"{self.path.name}: {job.get('command', job)}")
            started = time.perf_counter()
            figures = function()
            seconds = round(time.perf_counter() - started, 1)
            result = job | {"device": device, "seconds": seconds} | figures
            lines = ",\n".join(f"  {json.dumps(each)}" for each in [*self.all(), result])
            write_text(self.path, f"[\n{lines}\n]\n")
        return result


def command(program: str, arguments: Iterable[Any]) -> str:
    """Returns a program and its arguments as one line for a shell."""
    return f"{program} {shlex.join(map(str, arguments))}"


def arguments_of(command: str, program: str) -> list[str]:
    """Returns the arguments in such a line."""
    return shlex.split(command.removeprefix(program))
