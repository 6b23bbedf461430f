"""The rings of a molecule determine the bonds that lie in a ring, and a smallest set of smallest rings."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from scratchvae.chemistry.faults import TooLargeError
from scratchvae.chemistry.molecule import Molecule

MOST_RINGED = 200
"""The most atoms in rings for which all candidates are compared."""


def ring_bonds(n_atoms: int, ends: Sequence[tuple[int, int]]) -> list[bool]:
    """Tells for each bond whether it lies in a ring, that is, whether its ends stay connected without it.

    One depth-first search numbers the atoms; the bond from an atom to a later one is in no ring if nothing behind it
    reaches the atom, or one before it. The search uses no recursion, so long chains cannot exhaust the stack.

    Source: Tarjan, "A note on finding the bridges of a graph" (1974).
    """
    neighbours: list[list[tuple[int, int]]] = [[] for _ in range(n_atoms)]
    for number, (i, j) in enumerate(ends):
        neighbours[i].append((j, number))
        neighbours[j].append((i, number))
    in_ring = [True] * len(ends)
    order, lowest = [-1] * n_atoms, [0] * n_atoms
    n = 0
    for start in range(n_atoms):
        if order[start] >= 0:
            continue
        order[start] = lowest[start] = n
        n += 1
        path = [(start, -1, iter(neighbours[start]))]
        while path:
            atom, arrival, others = path[-1]
            for other, number in others:
                if number == arrival:
                    continue
                if order[other] < 0:
                    order[other] = lowest[other] = n
                    n += 1
                    path.append((other, number, iter(neighbours[other])))
                    break
                lowest[atom] = min(lowest[atom], order[other])
            else:
                path.pop()
                if path:
                    before = path[-1][0]
                    lowest[before] = min(lowest[before], lowest[atom])
                    in_ring[arrival] = lowest[atom] <= order[before]
    return in_ring


def smallest_rings(molecule: Molecule) -> list[list[int]]:
    """Returns a smallest set of smallest rings: n_rings lists, each with its atoms in order around the ring.

    No ring of the set is a sum of smaller ones. The candidates are the shortest rings through every bond; if these are
    too few, as in cubane, all rings that close two shortest paths from one atom. Of several smallest sets, one is
    returned.

    Raises TooLargeError where these would be taken from more than 200 atoms.
    Source: Horton, "A polynomial-time algorithm to find the shortest cycle basis of a graph" (1987).
    """
    wanted = molecule.n_rings
    if not wanted:
        return []
    in_ring = ring_bonds(len(molecule.atoms), [(bond.i, bond.j) for bond in molecule.bonds])
    neighbours: list[list[int]] = [[] for _ in molecule.atoms]
    edges: dict[tuple[int, int], int] = {}
    for bond, inside in zip(molecule.bonds, in_ring, strict=True):
        if inside:
            neighbours[bond.i].append(bond.j)
            neighbours[bond.j].append(bond.i)
            edges[bond.i, bond.j] = edges[bond.j, bond.i] = 1 << len(edges)
    basis = _Basis(wanted)
    found: list[list[int]] = []
    covered = 0
    for bond, inside in zip(molecule.bonds, in_ring, strict=True):
        if inside and not covered & edges[bond.i, bond.j]:
            found.append(_shortest_ring(bond.i, bond.j, neighbours))
            covered |= _bits(found[-1], edges)
    if len(found) == wanted and all(basis.accepts(_bits(ring, edges)) for ring in sorted(found, key=len)):
        return found
    ringed = sum(len(others) > 0 for others in neighbours)
    if ringed > MOST_RINGED:
        expected = f"at most {MOST_RINGED} atoms in rings as entangled as these"
        raise TooLargeError("smallest_rings", expected, str(ringed))
    basis = _Basis(wanted)
    return [
        ring
        for ring in sorted(_candidates(neighbours), key=len)
        if not basis.full and basis.accepts(_bits(ring, edges))
    ]


class _Basis:
    """Collects independent rings, as vectors over the field of two elements."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.rows: dict[int, int] = {}  # highest bit -> row

    @property
    def full(self) -> bool:
        return len(self.rows) == self.wanted

    def accepts(self, ring: int) -> bool:
        """Tells whether the ring is independent of those accepted so far, and accepts it if so."""
        while ring and (row := self.rows.get(ring.bit_length())):
            ring ^= row
        if ring:
            self.rows[ring.bit_length()] = ring
        return bool(ring)


def _bits(ring: Sequence[int], edges: dict[tuple[int, int], int]) -> int:
    bits = edges[ring[-1], ring[0]]
    for i, j in zip(ring, ring[1:], strict=False):
        bits |= edges[i, j]
    return bits


def _shortest_ring(start: int, end: int, neighbours: Sequence[Sequence[int]]) -> list[int]:
    """Returns the atoms of a shortest ring through the bond between two atoms, found by a search without that bond."""
    before = {start: start}
    queue = deque([start])
    while queue:
        atom = queue.popleft()
        for other in neighbours[atom]:
            if other not in before and (atom != start or other != end):
                before[other] = atom
                if other == end:
                    return _path(end, before)
                queue.append(other)
    raise AssertionError("a bond of a ring lies in a ring")


def _path(atom: int, before: dict[int, int]) -> list[int]:
    path = [atom]
    while before[atom] != atom:
        atom = before[atom]
        path.append(atom)
    return path


def _candidates(neighbours: Sequence[Sequence[int]]) -> list[list[int]]:
    """Returns Horton's rings: two shortest paths from one atom that share nothing else, and the bond joining them."""
    rings = []
    for start, around in enumerate(neighbours):
        if len(around) < 2:
            continue
        before, branch, queue = {start: start}, {start: -1}, deque([start])
        depth = {start: 0}
        while queue:
            atom = queue.popleft()
            for other in neighbours[atom]:
                if other not in before:
                    before[other], depth[other] = atom, depth[atom] + 1
                    branch[other] = other if atom == start else branch[atom]
                    queue.append(other)
        for i in before:
            for j in neighbours[i]:
                if i < j and start not in (i, j) and branch[i] != branch[j]:
                    rings.append(_path(i, before)[::-1] + _path(j, before)[:-1])
    return rings
