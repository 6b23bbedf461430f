"""The reference: one page for each public room of the package, with every name of its `__all__`."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from scratchvae.models.configuration import CONSTRUCTORS

ROOMS = (
    "chemistry",
    "ops",
    "optim",
    "nn",
    "distributions",
    "linear",
    "latent_space",
    "objectives",
    "models",
    "latent_search",
    "data",
    "callbacks",
    "plotting",
)
"""The public rooms from the bottom to the top: a room imports from those before it alone."""

REFERENCE = "/generated/reference"
"""Where the pages of the rooms lie, below docs/."""

BASES = ("BaseException", "Exception", "UserWarning", "ArithmeticError", "ValueError", "dict", "tuple")
"""The classes of Python whose methods a page does not repeat."""


def module_of(room: str) -> ModuleType:
    """The module of a room; that of "" is the package itself."""
    return import_module(f"scratchvae.{room}" if room else "scratchvae")


@cache
def public_names() -> dict[str, str]:
    """Every public name, such as "scratchvae.fit", and the room on whose page it stands.

    A class that the package and a room both export, such as VAE, stands on the page of the room.
    """
    found = {}
    for room in (*ROOMS, ""):
        module = module_of(room)
        for name in module.__all__:
            value = getattr(module, name)
            if not inspect.ismodule(value):
                found[f"{module.__name__}.{name}"] = room if room else home_of(value)
    return found


def home_of(value: Any) -> str:
    """The room that exports the value too, or "" if the package alone does."""
    for room in ROOMS:
        module = module_of(room)
        if any(getattr(module, name) is value for name in module.__all__):
            return room
    return ""


def page(room: str) -> str:
    """The page of a room in reStructuredText: what the room is for, then its constants, classes and functions."""
    module = module_of(room)
    here = [name for name in module.__all__ if public_names().get(f"{module.__name__}.{name}") == room]
    lines = [
        module.__name__,
        "=" * len(module.__name__),
        "",
        f".. automodule:: {module.__name__}",
        "   :no-members:",
        "",
    ]
    if not room:
        lines += [f".. currentmodule:: {module.__name__}", "", *elsewhere(module)]
    kinds: dict[str, list[str]] = {"Constants": [], "Classes": [], "Functions": []}
    for name in here:
        value = getattr(module, name)
        if inspect.isclass(value):
            kinds["Classes"] += class_lines(name, value)
        elif callable(value) and hasattr(value, "__name__"):
            kinds["Functions"] += ["", f".. autofunction:: {name}", ""]
        else:
            kinds["Constants"] += ["", f".. py:data:: {name}", ""]
            kinds["Constants"] += [f"   {line}" for line in comment_of(module, name)]
    for heading, entries in kinds.items():
        if entries:
            lines += ["", heading, "-" * len(heading), "", *entries]
    return "\n".join(lines) + "\n"


def class_lines(name: str, value: type) -> list[str]:
    """The directive of a class, without the constructors of models that it inherits, or of an exception."""
    if issubclass(value, BaseException):
        return ["", f".. autoexception:: {name}", ""]
    options = ["   :members:", f"   :inherited-members: {', '.join(BASES)}", "   :member-order: groupwise"]
    constructors = {f"{base.__name__}.{method}": method for base in value.__mro__[1:] for method in vars(base)}
    inherited = [constructors[known] for known in CONSTRUCTORS if known in constructors]
    foreign = sorted(method for method in inherited if method not in vars(value))
    if foreign:
        options.append(f"   :exclude-members: {', '.join(foreign)}")
    return ["", f".. autoclass:: {name}", *options, ""]


def value(name: str) -> Any:
    """The object of a public name, such as "fit" or "optim.Adam"."""
    room, _, own = name.rpartition(".")
    return getattr(module_of(room), own)


def overview() -> str:
    """The rooms in Markdown, each with the sentence that its docstring begins with, and the tree of their pages."""
    lines = []
    for room in ("", *ROOMS):
        module = module_of(room)
        sentence = (inspect.getdoc(module) or "").split("\n\n")[0].replace("\n", " ")
        lines.append(f"- {{doc}}`{module.__name__} <{REFERENCE}/{room or 'scratchvae'}>`: {sentence}")
    tree = "\n".join(f"{REFERENCE}/{room or 'scratchvae'}" for room in ("", *ROOMS))
    return "\n".join([*lines, "", "```{toctree}", ":hidden:", "", tree, "```"])


def elsewhere(module: ModuleType) -> Iterator[str]:
    """The names of the package that stand on the pages of rooms."""
    for room in ROOMS:
        names = [name for name in module.__all__ if public_names().get(f"{module.__name__}.{name}") == room]
        links = ", ".join(f":py:obj:`sv.{name} <scratchvae.{room}.{name}>`" for name in names)
        yield f"- :doc:`{room}`" + (f": {links}" if links else "")
    yield ""


def comment_of(module: ModuleType, name: str) -> list[str]:
    """The string below the assignment that makes the constant `name`, in the module or in one that it imports from."""
    body = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8")).body
    for statement in body:
        if isinstance(statement, ast.ImportFrom) and statement.module:
            for alias in statement.names:
                if (alias.asname or alias.name) == name:
                    return comment_of(import_module(statement.module), alias.name)
    for statement, below in zip(body, [*body[1:], None], strict=True):
        targets = getattr(statement, "targets", [getattr(statement, "target", None)])
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                return inspect.cleandoc(str(below.value.value)).splitlines()
            return [f"``{ast.unparse(statement)}``"]
    return []


def write(folder: Path) -> None:
    """Write the pages of all rooms, and none that has not changed, so that a second build is quick."""
    folder.mkdir(parents=True, exist_ok=True)
    for room in ("", *ROOMS):
        write_text(folder / f"{room or 'scratchvae'}.rst", page(room))


def write_text(path: Path, text: str) -> None:
    """Write the file unless that is what it holds."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
