"""Docstrings of the package as reStructuredText.

The docstrings are written to be read in an editor: formulas such as p(x | z), W' and x_i are plain text, columns are
aligned by spaces, and `names` stand in single backticks. Here formulas are escaped, aligned lines become a literal
block, and public names become links.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

SECTIONS = (
    "Parameters",
    "Attributes",
    "Returns",
    "Yields",
    "Raises",
    "Warns",
    "See Also",
    "Notes",
    "References",
    "Examples",
)
"""The headings of numpydoc."""

WIDE = "\N{NO-BREAK SPACE}\N{EM SPACE}"
"""What stands between two formulas of a line, in place of several spaces."""

Resolve = Callable[[str], bool]


def as_rest(lines: list[str], is_public: Resolve) -> list[str]:
    """The lines of a docstring, for numpydoc and docutils."""
    out: list[str] = []
    for heading, body in sections(lines):
        if heading:
            out += [heading, "-" * len(heading)]
        if heading in ("", "Notes"):
            for paragraph in paragraphs(body):
                out += [*prose(paragraph, is_public), ""]
        elif heading == "Examples":
            for paragraph in paragraphs(body):
                shown = paragraph[0].lstrip().startswith(">>>")
                out += [*(paragraph if shown else prose(paragraph, is_public)), ""]
        else:
            named = heading not in ("Returns", "Yields")
            out += [*(entries(body, is_public) if named else [escaped(line, is_public) for line in body]), ""]
    return out


def sections(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The headings and what stands below each; the first part has none."""
    heading, body = "", []
    rows = iter(range(len(lines)))
    for i in rows:
        below = lines[i + 1].strip() if i + 1 < len(lines) else ""
        if lines[i].strip() in SECTIONS and below and set(below) == {"-"}:
            yield heading, body
            heading, body = lines[i].strip(), []
            next(rows)
        else:
            body.append(lines[i])
    yield heading, body


def paragraphs(lines: list[str]) -> Iterator[list[str]]:
    """The runs of lines that are not empty."""
    run: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            run.append(line)
        elif run:
            yield run
            run = []


def prose(paragraph: list[str], is_public: Resolve) -> list[str]:
    """A paragraph, a list, or, where its lines are indented or aligned, a literal block."""
    first = paragraph[0]
    if re.match(r"(- |\d+\. |:\w+: )", first):
        return [escaped(line, is_public) for line in paragraph]
    indents = {len(line) - len(line.lstrip()) for line in paragraph}
    aligned = sum(bool(re.search(r"\S {2,}\S", line)) for line in paragraph)
    if indents != {0} or aligned > 1:
        return ["::", "", *("    " + line for line in paragraph)]
    text = [escaped(line, is_public) for line in paragraph]
    return ["\\ " + text[0], *text[1:]]  # or numpydoc would take "L(x) is the mean of p(x)" for a signature


def entries(lines: list[str], is_public: Resolve) -> list[str]:
    """The entries of a section: the names before " : " are left to numpydoc, all else is text."""
    out = []
    for line in lines:
        name, colon, rest = line.partition(" : ")
        if line.startswith(" "):
            out.append(escaped(line, is_public))
        else:
            out.append(name + colon + escaped(rest, is_public))
    return out


def escaped(line: str, is_public: Resolve) -> str:
    """A line in which no letter of a formula is markup, and every public `name` is a link."""
    indent = line[: len(line) - len(line.lstrip())]
    parts = re.split(r"(`+[^`]+`+)", line.strip())
    return indent + "".join(code(part, is_public) if part.startswith("`") else plain(part) for part in parts)


def plain(text: str) -> str:
    """Text in which nothing is markup, and several spaces are one wide one."""
    text = re.sub(r"([\\*|`])", r"\\\1", text)
    text = re.sub(r"_(?!\w)", r"\\_", text)
    return re.sub(r" {2,}", WIDE, text)


def code(text: str, is_public: Resolve) -> str:
    """`name` as a link where it is public, else in the type of code."""
    name = text.strip("`")
    if is_public(name.removesuffix("()")):
        return f":py:obj:`{name}`"
    return f"``{name}``"
