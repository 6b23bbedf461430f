"""The positions of the nodes of a graph, such that all arrows point downwards and few of them cross."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations, pairwise

import numpy

GAP = 0.2
"""The distance between boxes of a row, in inches."""

PASSAGE = 0.05
"""The width of an edge that passes through a row, in inches."""

BEND, PULL = 3, 0.01
"""The weights of an edge that passes through a row, and of a node's distance from the middle."""

MIDDLE = "the vertical line to which nodes are pulled"
Key = Hashable
Link = tuple[Key, Key]


def layered_layout(
    edges: Sequence[Link], widths: Mapping[Key, float]
) -> tuple[dict[Key, float], dict[Key, int], list[list[Key]]]:
    """Returns the position of each node in inches, its row from the top, and the positions that each edge passes.

    An edge that skips rows passes through a position of its own in each of them. Rows are ordered by the mean position
    of the neighbours above, then below, in turn; the order with the fewest crossings is kept. For this order the
    positions minimise the sum of horizontal lengths, in which an edge counts BEND times between rows that it skips, so
    that it is straight there.

    Parameters
    ----------
    edges : sequence of (source, target)
        The edges of a graph without cycles.
    widths : dict of float
        Node -> the width of its box, in inches.

    Source: Sugiyama, Tagawa & Toda, "Methods for visual understanding of hierarchical system structures" (1981);
    Gansner, Koutsofios, North & Vo, "A technique for drawing directed graphs" (1993), section 4.2, for the places.
    """
    row = _rows(edges, widths)
    chains = [[source, *((source, r) for r in range(row[source] + 1, row[target])), target] for source, target in edges]
    row |= {key: key[1] for chain in chains for key in chain[1:-1]}
    links = list(dict.fromkeys(link for chain in chains for link in pairwise(chain)))
    neighbours: tuple[dict[Key, list[Key]], dict[Key, list[Key]]] = ({}, {})
    for upper, lower in links:
        neighbours[0].setdefault(lower, []).append(upper)
        neighbours[1].setdefault(upper, []).append(lower)
    rows: list[list[Key]] = [[] for _ in range(1 + max(row.values()))]
    for key, r in row.items():
        rows[r].append(key)
    x: dict[Key, float] = dict.fromkeys(row, 0.0)

    def place(keys: list[Key], wanted: Mapping[Key, float]) -> None:
        """Moves x towards the wanted positions, keeping the order and room for the boxes."""
        room = numpy.array([widths.get(key, PASSAGE) + GAP for key in keys])
        offsets = numpy.cumsum(room) - room / 2
        free = numpy.array([wanted[key] for key in keys]) - offsets
        lowest, highest = numpy.maximum.accumulate(free), numpy.minimum.accumulate(free[::-1])[::-1]
        x.update(zip(keys, (lowest + highest) / 2 + offsets, strict=True))

    def mean_place(key: Key, side: int) -> float:
        places = [x[other] for other in neighbours[side].get(key, [])]
        return sum(places) / len(places) if places else x[key]

    for keys in rows:
        place(keys, x)
    best, fewest = rows, math.inf
    for sweep in range(40):
        side = sweep % 2
        for r in range(len(rows)) if side == 0 else reversed(range(len(rows))):
            wanted = {key: mean_place(key, side) for key in rows[r]}
            rows[r] = sorted(rows[r], key=wanted.__getitem__)
            place(rows[r], wanted)
        if (crossings := _crossings(rows, links, row)) < fewest:
            best, fewest = [list(keys) for keys in rows], crossings
    return _shortest(best, links, widths), row, chains


def _shortest(rows: Sequence[Sequence[Key]], links: Sequence[Link], widths: Mapping[Key, float]) -> dict[Key, float]:
    """x = argmin sum w |x_a - x_b| over links (a, b), subject to the order of the rows and gaps between boxes

    w is 1 between two nodes, BEND if one end of the link is an edge that passes through a row, and BEND² if both are.
    Each node also has a link with w = PULL to one vertical line, which decides between solutions. The linear programme
    has the unknowns x and, for each link, a length of at least x_a - x_b and x_b - x_a.
    """
    from scipy.optimize import linprog
    from scipy.sparse import lil_array

    keys = [MIDDLE, *(key for row in rows for key in row)]
    index = {key: i for i, key in enumerate(keys)}
    neighbours = [pair for row in rows for pair in pairwise(row)]
    weights = [float(BEND ** sum(key not in widths for key in link)) for link in links] + [PULL] * len(widths)
    links = [*links, *((key, MIDDLE) for key in widths)]
    A = lil_array((2 * len(links) + len(neighbours), len(keys) + len(links)))
    b = numpy.zeros(A.shape[0])
    for i, (upper, lower) in enumerate(links):
        for sign, row in ((1, 2 * i), (-1, 2 * i + 1)):
            A[row, index[upper]], A[row, index[lower]], A[row, len(keys) + i] = sign, -sign, -1
    for i, (left, right) in enumerate(neighbours, 2 * len(links)):
        A[i, index[left]], A[i, index[right]] = 1, -1
        b[i] = -(widths.get(left, PASSAGE) + widths.get(right, PASSAGE)) / 2 - GAP
    cost = numpy.concatenate([numpy.zeros(len(keys)), weights])
    solution = linprog(cost, A.tocsr(), b, bounds=(0, None), method="highs-ds")
    return dict(zip(keys[1:], solution.x[1 : len(keys)].tolist(), strict=True))


def _rows(edges: Sequence[Link], nodes: Mapping[Key, float]) -> dict[Key, int]:
    """Returns the row of each node, the longest path from the top; a leaf is just above its first use."""
    row: dict[Key, int] = dict.fromkeys(nodes, 0)
    while any(row[target] <= row[source] for source, target in edges):
        for source, target in edges:
            row[target] = max(row[target], row[source] + 1)
    for leaf in nodes.keys() - {target for _, target in edges}:
        row[leaf] = min(row[target] for source, target in edges if source == leaf) - 1
    return row


def _crossings(rows: Sequence[Sequence[Key]], links: Sequence[Link], row: Mapping[Key, int]) -> int:
    """Returns the number of crossing pairs of links between the same two rows."""
    position = {key: i for keys in rows for i, key in enumerate(keys)}
    return sum(
        (position[a] - position[c]) * (position[b] - position[d]) < 0
        for (a, b), (c, d) in combinations(links, 2)
        if row[a] == row[c]
    )
