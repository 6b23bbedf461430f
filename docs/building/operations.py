"""The table of the differentiable operations: function, equation, rule and domain, from their docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from scratchvae import ops
from scratchvae.checks.gradient_table import primitives


@dataclass(frozen=True)
class Operation:
    """One row: y = f(x), what its rule makes of the cotangent g of y, and where the rule holds."""

    name: str
    equation: str
    rule: str
    domain: str


def operations() -> Iterator[Operation]:
    """Every function of `scratchvae.ops`, then every primitive that it does not export, by name."""
    for name in ops.__all__:
        yield read(name, getattr(ops, name))
    for name, primitive in sorted(primitives().items()):
        if name not in ops.__all__:  # `concatenate` is a primitive below a function of that name
            yield read(name, primitive)


def read(name: str, function: Any) -> Operation:
    """The row of a function whose docstring has the equation as its first line, and the fields Rule and Domain."""
    text = inspect.getdoc(function) or ""
    fields = dict(re.findall(r"^:(Rule|Domain): (.+)$", text, re.M))
    missing = [field for field in ("Rule", "Domain") if field not in fields]
    if missing:
        raise ValueError(f"{name}: expected the fields Rule and Domain in the docstring, missing {', '.join(missing)}")
    return Operation(name, text.splitlines()[0], fields["Rule"], fields["Domain"])


def table() -> str:
    """The table in Markdown."""
    rows = ["| Function | Equation | Rule | Domain |", "|---|---|---|---|"]
    for operation in operations():
        link = f"{{py:obj}}`{operation.name} <scratchvae.ops.{operation.name}>`"
        name = link if operation.name in ops.__all__ else f"`{operation.name}`"
        cells = [name, *(cell(part) for part in (operation.equation, operation.rule, operation.domain))]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def cell(text: str) -> str:
    """Plain text of a formula, in which no letter is Markdown."""
    return re.sub(r"([\\`*_|<>\[\]~$])", r"\\\1", text)
