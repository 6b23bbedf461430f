"""The engine's graph as a picture: a box for each Tensor and named array, an arrow for each argument of a primitive."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Patch
from matplotlib.path import Path

from scratchvae.autodiff import Tensor
from scratchvae.backend import to_numpy
from scratchvae.errors import InputError
from scratchvae.plotting.canvas import GREY
from scratchvae.plotting.layered_layout import layered_layout

FILLS = ("#BFE0F2", "#F7E9A0", "#F5C9A5", "#C5E8D6", "#E6CFE0")  # pale forms of the canvas's colours, below black text
BOX, ROW = 0.3, 0.47  # height of a box and distance of the rows, in inches
LETTERS, LETTER = 11, 0.082  # points, and the mean width of a letter in inches
KEY, KEYS = 1.4, 0.36  # width of an entry of the legend and height of a line of it, in inches


def graph(loss: Tensor, names: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Draws the graph that `grad` traverses: named Tensors and arrays, and each primitive with the shape of its result.

    Numbers and arrays without a name are written in the box of their primitive, as in "subtract(·, 1)", where · stands
    for the argument that an arrow brings.

    Parameters
    ----------
    loss : Tensor
        The last node, computed from other Tensors. Each node lies below its arguments, so the loss is at the bottom.
    names : dict of dicts
        Group -> name -> Tensor or array; each group has a colour of its own:
        {"parameters": model.named_parameters(), "data": {"x": x}}.

    Raises InputError for a loss that was not computed from others.
    """
    if not isinstance(loss, Tensor) or loss.primitive is None:
        raise InputError("graph", "a Tensor that was computed from others", repr(loss))
    name_of = {id(member): name for members in names.values() for name, member in members.items()}
    group_of = {id(member): group for group, members in names.items() for member in members.values()}
    nodes, edges = _ancestors(loss, name_of)
    labels = {key: _node_label(node, name_of.get(key), nodes) for key, node in nodes.items()}
    widths = {key: 0.15 + LETTER * len(label) for key, label in labels.items()}
    x, row, chains = layered_layout(edges, widths)

    left = min(place - widths.get(key, 0) / 2 for key, place in x.items()) - 0.1
    right = max(place + widths.get(key, 0) / 2 for key, place in x.items()) + 0.1
    fills = dict(zip(names, FILLS, strict=False))
    keys = fills | {"primitives": "white", "loss": "black"}
    n_columns = max(1, min(len(keys), int((right - left) / KEY)))
    legend = KEYS * math.ceil(len(keys) / n_columns)
    bottom, top = -ROW * max(row.values()) - BOX / 2 - 0.1, BOX / 2 + 0.1
    figure = Figure(figsize=(right - left, top - bottom + legend), dpi=110)
    share = (top - bottom) / (top - bottom + legend)
    axes = figure.add_axes((0, 0, 1, share), xlim=(left, right), ylim=(bottom, top))
    axes.set_axis_off()
    for chain in chains:
        vertices = [(x[chain[0]], -ROW * row[chain[0]])]
        for upper, lower in pairwise(chain):  # down past the upper row, then a bend between the rows
            start, end = -ROW * row[upper] - BOX / 2, -ROW * row[lower] + BOX / 2
            middle = (start + end) / 2
            vertices += [(x[upper], start), (x[upper], middle), (x[lower], middle), (x[lower], end)]
        route = Path(vertices, [Path.MOVETO] + [Path.LINETO, *[Path.CURVE4] * 3] * (len(chain) - 1))
        axes.add_patch(FancyArrowPatch(path=route, arrowstyle="-|>", mutation_scale=11, color=GREY, linewidth=1.2))
    for key in nodes:
        fill, ink = ("black", "white") if key == id(loss) else (fills.get(group_of.get(key), "white"), "black")
        corner = (x[key] - widths[key] / 2, -ROW * row[key] - BOX / 2)
        axes.add_patch(FancyBboxPatch(corner, widths[key], BOX, "round,pad=0,rounding_size=0.08", fc=fill, ec="black"))
        axes.text(x[key], -ROW * row[key], labels[key], color=ink, fontsize=LETTERS, ha="center", va="center_baseline")
    patches = [Patch(facecolor=fill, edgecolor="black", label=label) for label, fill in keys.items()]
    figure.legend(handles=patches, loc="upper center", ncols=n_columns, frameon=False, fontsize=12)
    return figure


def _ancestors(loss: Tensor, name_of: Mapping[int, str]) -> tuple[dict[int, Any], list[tuple[int, int]]]:
    """Returns all Tensors and named arrays that the loss depends on, by id, and the edges (argument, result)."""
    nodes, edges, waiting = {id(loss): loss}, {}, [loss]
    while waiting:
        node = waiting.pop()
        for x in node.arguments if isinstance(node, Tensor) else ():
            if isinstance(x, Tensor) or id(x) in name_of:
                edges[id(x), id(node)] = None
                if id(x) not in nodes:
                    nodes[id(x)] = x
                    waiting.append(x)
    return nodes, list(edges)


def _node_label(x: Any, name: str | None, nodes: Mapping[int, Any]) -> str:
    """Returns the name, or the primitive with the arguments that have no box of their own, and the shape."""
    text = name
    if name is None:
        text = str(x.primitive or "leaf")
        constants = [None if id(argument) in nodes else _constant(argument) for argument in x.arguments]
        if any(constants):
            text += f"({', '.join(constant or '·' for constant in constants)})"
    return f"{text}  {tuple(x.shape)}"


def _constant(value: Any) -> str:
    """Returns a short text for a number, an array of one number, or an index."""
    if isinstance(value, tuple):
        return ", ".join(map(_constant, value))
    if isinstance(value, slice):
        return ":".join("" if end is None else str(end) for end in (value.start, value.stop))
    if value is Ellipsis:
        return "..."
    numbers = numpy.unique(to_numpy(value))
    return f"{numbers[0]:.3g}" if len(numbers) == 1 else "array"
