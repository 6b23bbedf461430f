"""The documentation site: `sphinx-build -W -n docs build/site`, with the extra `docs`, without a network.

The pages are Markdown that reads well as it is; index.md says which there are and in which order. The reference, the
table of operations and the gallery are made of docstrings when the site is built (docs/building).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # docs.building, and the package of this checkout

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

import scratchvae as sv
from docs.building import docstrings, gallery, links, operations, rooms

project = "scratchvae"
author = copyright = "the scratchvae authors"
version = release = sv.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
exclude_patterns = ["building"]
nitpicky = True

myst_heading_anchors = 4
myst_links_external_new_tab = False

autodoc_typehints = "none"  # the docstrings give types and shapes
autodoc_default_options = {"exclude-members": "__init__"}
numpydoc_show_class_members = False
python_display_short_literal_types = True

html_theme = "furo"
html_title = "scratchvae"
html_show_sphinx = False
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["site.css"]
pygments_style = "friendly"
pygments_dark_style = "native"


class FromDocstrings(SphinxDirective):
    """```{gallery}``` and ```{operations}``` stand for what the docstrings say."""

    TEXTS = {"gallery": gallery.page, "operations": operations.table, "rooms": rooms.overview}

    def run(self) -> list[nodes.Node]:
        text = self.TEXTS[self.name]()
        text = links.rewritten(text, links.DOCS / "index.md", "index.md")
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def write_pages(app: Sphinx) -> None:
    """Write the pages that are not written by hand."""
    folder = links.DOCS / links.GENERATED
    rooms.write(folder / "reference")
    for name, page in links.BESIDE.items():
        path = links.ROOT / name
        text = links.rewritten(path.read_text(encoding="utf-8"), path, f"{links.GENERATED}/{page}.md")
        rooms.write_text(folder / f"{page}.md", text)
    for path in gallery.examples():
        title = f"examples/{path.name}"
        lines = [":orphan:", "", title, "=" * len(title), "", f".. literalinclude:: ../../../examples/{path.name}"]
        rooms.write_text(folder / "examples" / f"{path.stem}.rst", "\n".join([*lines, ""]))


def read_source(app: Sphinx, docname: str, content: list[str]) -> None:
    """Turn links to files into links to pages, and the index into the tree of pages."""
    path = Path(app.env.doc2path(docname))
    if path.suffix != ".md" or docname.startswith(links.GENERATED):
        return
    tree = links.contents(content[0]) if docname == "index" else ""
    content[0] = links.rewritten(content[0], path, f"{docname}.md") + "\n" + tree


PUBLIC = {name.split(".", 1)[1]: room for name, room in rooms.public_names().items()}


def is_public(name: str) -> bool:
    """Whether a page documents `name`: "fit", "sv.fit", "VAE.elbo", "optim.Adam"."""
    name = name.removeprefix("sv.").removeprefix("scratchvae.")
    owner, _, member = name.rpartition(".")
    if owner and owner not in rooms.ROOMS:
        return any(known.split(".")[-1] == owner and hasattr(rooms.value(known), member) for known in PUBLIC)
    return name in PUBLIC or (not owner and any(known.endswith(f".{name}") for known in PUBLIC))


def read_docstring(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Make reStructuredText of a docstring, before numpydoc reads it."""
    lines[:] = docstrings.as_rest(lines, is_public)


def keep_signature(app: Sphinx, what: str, name: str, value: Any, options: Any, signature: Any, result: Any) -> Any:
    """Answer before numpydoc, which would take a first line such as "L(x) of every row (N,)" for a signature."""
    return signature, result


def resolve(app: Sphinx, env: Any, node: Any, text: nodes.Node) -> nodes.Node | None:
    """Find the name that a docstring gives without its room: `fit`, `VAE.elbo`, `sv.optim.Adam`."""
    if node.get("refdomain") != "py":
        return None
    objects = env.domains["py"].objects
    wanted = node["reftarget"].removeprefix("sv.").removeprefix("scratchvae.").removesuffix("()")
    found = [name for name in objects if name == wanted or name.endswith(f".{wanted}")]
    inside = [name for name in found if name.startswith(f"{node.get('py:module')}.")]
    within = [name for name in found if name.startswith(f"{node.get('py:module')}.{node.get('py:class')}.")]
    for names in (within, inside, found):
        if names:
            name = min(names, key=lambda name: (name.count("."), name))
            entry = objects[name]
            return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, text, name)
    return None


def setup(app: Sphinx) -> dict[str, Any]:
    for name in FromDocstrings.TEXTS:
        app.add_directive(name, FromDocstrings)
    app.connect("builder-inited", write_pages)
    app.connect("source-read", read_source)
    app.connect("autodoc-process-docstring", read_docstring, priority=400)  # numpydoc's is 500
    app.connect("autodoc-process-signature", keep_signature, priority=400)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
