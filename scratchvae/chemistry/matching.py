"""A perfect matching of a graph decides which bonds of an aromatic system are double bonds."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence


def perfect_matching(neighbours: Mapping[int, Sequence[int]]) -> dict[int, int] | int:
    """Returns the partner of every vertex, or, if there is no perfect matching, a vertex that stays without a partner.

    neighbours: those of each vertex, with every edge in both directions. Vertices with one free neighbour are matched
    first, which is enough for most molecules; all others are matched along augmenting paths, which may pass through odd
    cycles.

    Source: Edmonds, "Paths, trees, and flowers" (1965).
    """
    partner: dict[int, int] = {}
    free = {vertex: len(others) for vertex, others in neighbours.items()}
    ends = [vertex for vertex, n in free.items() if n <= 1]
    waiting = list(neighbours)[::-1]
    while ends or waiting:
        vertex = ends.pop() if ends else waiting.pop()
        if vertex in partner:
            continue
        other = next((other for other in neighbours[vertex] if other not in partner), None)
        if other is None:
            continue
        partner[vertex], partner[other] = other, vertex
        for matched in (vertex, other):
            for beside in neighbours[matched]:
                free[beside] -= 1
                if free[beside] == 1 and beside not in partner:
                    ends.append(beside)
    for vertex in neighbours:
        if vertex not in partner and not _augment(vertex, neighbours, partner):
            return vertex
    return partner


def _augment(root: int, neighbours: Mapping[int, Sequence[int]], partner: dict[int, int]) -> bool:
    """Matches one more vertex along an alternating path from the root to a free vertex, and tells whether it could."""
    parent: dict[int, int] = {}
    base = {vertex: vertex for vertex in neighbours}
    outer, queue = {root}, deque([root])
    while queue:
        vertex = queue.popleft()
        for other in neighbours[vertex]:
            if base[vertex] == base[other] or partner.get(vertex) == other:
                continue
            if other == root or (other in partner and partner[other] in parent):
                _contract(vertex, other, base, parent, partner, outer, queue)
            elif other not in parent:
                parent[other] = vertex
                if other not in partner:
                    _flip(other, parent, partner)
                    return True
                outer.add(partner[other])
                queue.append(partner[other])
    return False


def _contract(
    vertex: int,
    other: int,
    base: dict[int, int],
    parent: dict[int, int],
    partner: dict[int, int],
    outer: set[int],
    queue: deque[int],
) -> None:
    """Contracts the odd cycle that the edge between two outer vertices closes into one vertex."""
    ancestors, walk = set(), vertex
    while True:
        walk = base[walk]
        ancestors.add(walk)
        if walk not in partner:
            break
        walk = parent[partner[walk]]
    walk = base[other]
    while walk not in ancestors:
        walk = base[parent[partner[walk]]]
    stem, inside = walk, set()
    for start, child in ((vertex, other), (other, vertex)):
        while base[start] != stem:
            inside |= {base[start], base[partner[start]]}
            parent[start] = child
            child = partner[start]
            start = parent[child]
    for v in base:
        if base[v] in inside:
            base[v] = stem
            if v not in outer:
                outer.add(v)
                queue.append(v)


def _flip(end: int, parent: dict[int, int], partner: dict[int, int]) -> None:
    """Swaps matched and unmatched edges along the path that ends in a free vertex."""
    vertex: int | None = end
    while vertex is not None:
        before = parent[vertex]
        following = partner.get(before)
        partner[vertex], partner[before] = before, vertex
        vertex = following
