"""The gallery: the pictures that the examples name in their docstrings, each with its command and its caption.

The last section of an example's docstring lists its committed pictures:

    Pictures
    --------
    engine_graph.png : python examples/engine_graph.py
        The ELBO of a tiny VAE as the engine sees it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docs.building.links import ROOT

ENTRY = re.compile(r"^(?P<picture>[\w-]+\.png) : (?P<command>python .+)\n(?P<caption>(?: {4}.+(?:\n|$))+)", re.M)


@dataclass(frozen=True)
class Picture:
    """A picture of docs/images, the command that makes it, and the sentence below it."""

    example: Path
    title: str
    name: str
    command: str
    caption: str


def examples() -> list[Path]:
    """The example scripts, by name."""
    return sorted((ROOT / "examples").glob("*.py"))


def docstring(path: Path) -> str:
    """The docstring of a script, which is not run."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def pictures() -> Iterator[Picture]:
    """What the examples list, in the order of their names."""
    for path in examples():
        text = docstring(path)
        _, heading, listed = text.partition("\nPictures\n--------\n")
        entries = [match.groupdict() for match in ENTRY.finditer(listed)]
        if heading and "".join(match.group() for match in ENTRY.finditer(listed)).strip() != listed.strip():
            raise ValueError(f"{path.name}: expected `name.png : python ...` and an indented caption under Pictures")
        for entry in entries:
            caption = " ".join(entry["caption"].split())
            yield Picture(path, text.splitlines()[0], entry["picture"], entry["command"], caption)


def page() -> str:
    """The pictures in Markdown, below a heading for each example."""
    lines, example = [], None
    for picture in pictures():
        if picture.example != example:
            example = picture.example
            lines += [f"## {picture.title.rstrip('.')}", "", f"[{example.name}](../examples/{example.name})", ""]
        lines += [f"![{picture.caption}](images/{picture.name})", "", picture.caption, ""]
        lines += ["```sh", picture.command, "```", ""]
    return "\n".join(lines)
