"""Links of the documents, which lead from file to file of the repository, as links from page to page of the site."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATED = "generated"
"""The folder below docs/ of pages that are not written by hand."""

BESIDE = {
    "README.md": "readme",
    "CONTRIBUTING.md": "contributing",
    "CHANGELOG.md": "changelog",
    "benchmarks/README.md": "benchmarks",
}
"""The documents outside of docs/, and the names of their pages."""

LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")


def page_of(path: Path) -> str | None:
    """The page of a file of the repository, as a path below docs/ with its suffix; None if it has none."""
    if path.is_relative_to(DOCS):
        return path.relative_to(DOCS).as_posix()
    name = path.relative_to(ROOT).as_posix()
    if name in BESIDE:
        return f"{GENERATED}/{BESIDE[name]}.md"
    if path.parent == ROOT / "examples" and path.suffix == ".py":
        return f"{GENERATED}/examples/{path.stem}.rst"
    return None


def rewritten(text: str, source: Path, page: str) -> str:
    """The text of the file `source` as that of the page: links lead to pages, and what has no page is named alone."""
    folder = Path(page).parent

    def replace(match: re.Match[str]) -> str:
        mark, label, target, anchor = match[1], match[2], match[3], match[4] or ""
        if not target:
            return match[0]
        found = page_of((source.parent / target).resolve())
        if found is None:
            return label if label.startswith("`") else f"{label} (`{target.removeprefix('../')}`)"
        return f"{mark}[{label}]({Path(os.path.relpath(found, folder)).as_posix()}{anchor})"

    return LINK.sub(replace, text)


def contents(index: str) -> str:
    """The trees of pages that the site shows beside every page: one for each heading of the index, of its links."""
    parts = []
    for part in re.split(r"^## ", index, flags=re.M)[1:]:
        heading, _, body = part.partition("\n")
        pages = [Path(page_of((DOCS / target).resolve()) or "") for _, _, target, _ in LINK.findall(body)]
        entries = list(dict.fromkeys(page.with_suffix("").as_posix() for page in pages))
        parts.append("\n".join(["```{toctree}", ":hidden:", f":caption: {heading}", "", *entries, "```", ""]))
    return "\n".join(parts)
