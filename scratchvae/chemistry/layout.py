"""A molecule is drawn with bonds of length 1, regular rings, chains in zigzag, and without overlaps.

A first placement follows the graph: each system of rings is a set of regular polygons, joined at shared bonds, and the
rest grows from it at angles of 120 degrees. Then all coordinates are moved by L-BFGS to a minimum of

    sum over bonds (d - 1)^2 + sum over angles and rings (d - target)^2 + sum over other pairs max(0, least - d)^2

Source: Helson, "Structure diagram generation" (Reviews in Computational Chemistry 13, 1999, 313), for the first
placement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy

from scratchvae.chemistry.molecule import Molecule
from scratchvae.chemistry.rings import smallest_rings

MOST_ATOMS = 200
"""The most atoms of a molecule whose first placement is improved."""

LEAST, WEIGHT_OF_ANGLES = 1.35, 0.35
"""The least distance of atoms that share neither a bond nor a neighbour, and the weight of angles in the sum."""


def coordinates(molecule: Molecule) -> numpy.ndarray:
    """Returns a position for each atom, x to the right and y up; a bond has about length 1.   (n_atoms, 2)

    Parts of the molecule without a bond between them stand side by side. The longest direction lies horizontally.
    """
    places = numpy.zeros((len(molecule.atoms), 2))
    rings = smallest_rings(molecule)
    right = 0.0
    for part in molecule.fragments:
        placement = _Placement(molecule, part, [ring for ring in rings if ring[0] in part])
        xy = _relaxed(molecule, part, placement)
        xy = _lying(xy)
        places[part] = xy + [right - xy[:, 0].min(), 0]
        right = places[part, 0].max() + 1.5
    return places - (places.max(axis=0) + places.min(axis=0)) / 2


class _Placement:
    """Makes the first placement of one part of a molecule, atom by atom."""

    def __init__(self, molecule: Molecule, part: Sequence[int], rings: list[list[int]]) -> None:
        self.molecule, self.rings = molecule, rings
        self.at: dict[int, numpy.ndarray] = {}
        self.rings_of: dict[int, list[list[int]]] = {}
        for ring in rings:
            for atom in ring:
                self.rings_of.setdefault(atom, []).append(ring)
        self.waiting: list[int] = []
        start = max(part, key=lambda atom: (len(self.rings_of.get(atom, ())), len(molecule.neighbours[atom])))
        if start in self.rings_of:
            ring = max(self.rings_of[start], key=len)
            self._place_ring(ring, _polygon(len(ring)))
            self._grow_rings(ring)
        else:
            self._put(start, numpy.zeros(2))
        while self.waiting:
            self._grow(self.waiting.pop(0))

    def _put(self, atom: int, place: numpy.ndarray) -> None:
        if atom not in self.at:
            self.at[atom] = place
            self.waiting.append(atom)

    def _place_ring(self, ring: Sequence[int], corners: numpy.ndarray) -> None:
        for atom, corner in zip(ring, corners, strict=True):
            self._put(atom, corner)

    def _grow_rings(self, ring: list[int]) -> None:
        """Places all rings that share a bond with a placed ring, and so on for the rings next to these."""
        queue, seen = [ring], {id(ring)}
        while queue:
            current = queue.pop(0)
            for atom in current:
                for other in self.rings_of[atom]:
                    shared = [k for k in range(len(other)) if other[k] in self.at and other[k - 1] in self.at]
                    if id(other) in seen or not shared:
                        continue
                    seen.add(id(other))
                    queue.append(other)
                    if len(shared) < len(other):
                        self._fuse(other, shared, current)

    def _fuse(self, ring: list[int], shared: list[int], beside: list[int]) -> None:
        """Places the rest of a ring on the outer side of its placed bonds."""
        n = len(ring)
        runs = [k for k in shared if (k + 1) % n not in shared]  # the last placed atom of a run of placed ones
        end = runs[0]
        first = end
        while (first % n) in shared and first > end - n:
            first -= 1
        path = [ring[k % n] for k in range(first, end + 1)]  # placed atoms in order around the ring
        free = [ring[k % n] for k in range(end + 1, first + n) if ring[k % n] not in self.at]
        a, b = self.at[path[-1]], self.at[path[0]]
        inside = numpy.mean([self.at[atom] for atom in beside], axis=0)
        if len(path) > 2:
            inside = numpy.mean([self.at[atom] for atom in path[1:-1]], axis=0)
        for atom, place in zip(free, _arc(a, b, len(free), inside), strict=True):
            self._put(atom, place)

    def _grow(self, atom: int) -> None:
        """Places the neighbours of an atom in the free directions around it."""
        others = [other for other, _ in self.molecule.neighbours[atom] if other not in self.at]
        if not others:
            return
        others.sort(key=lambda other: -len(self.molecule.neighbours[other]))
        for other, direction in zip(others, self._directions(atom, len(others)), strict=True):
            if other in self.at:
                continue
            place = self.at[atom] + direction
            if other in self.rings_of and not any(other in ring for ring in self.rings_of.get(atom, ())):
                ring = max(self.rings_of[other], key=len)
                k = ring.index(other)
                corners = _polygon(len(ring))
                turn = math.atan2(direction[1], direction[0]) - math.atan2(-corners[0][1], -corners[0][0])
                corners = (corners - corners[0]) @ _rotation(turn).T + place
                self._place_ring(ring[k:] + ring[:k], corners)
                self._grow_rings(ring)
            elif other in self.rings_of:
                ring = next(ring for ring in self.rings_of[atom] if other in ring)
                self._spiro(atom, ring, direction)
            else:
                self._put(other, place)

    def _spiro(self, atom: int, ring: list[int], direction: numpy.ndarray) -> None:
        """Places a ring that shares one atom with the placed atoms."""
        k = ring.index(atom)
        corners = _polygon(len(ring))
        outwards = direction
        around = [self.at[other] for other, _ in self.molecule.neighbours[atom] if other in self.at]
        if around:
            away = self.at[atom] - numpy.mean(around, axis=0)
            outwards = away if numpy.hypot(*away) > 1e-6 else direction
        turn = math.atan2(outwards[1], outwards[0]) - math.atan2(-corners[0][1], -corners[0][0])
        self._place_ring(ring[k:] + ring[:k], (corners - corners[0]) @ _rotation(turn).T + self.at[atom])
        self._grow_rings(ring)

    def _directions(self, atom: int, n: int) -> list[numpy.ndarray]:
        """Returns n unit directions from an atom into the largest free angle around it."""
        here = self.at[atom]
        taken = [self.at[other] - here for other, _ in self.molecule.neighbours[atom] if other in self.at]
        triple = any(bond.order == 3 for _, bond in self.molecule.neighbours[atom])
        n_double = sum(bond.order == 2 for _, bond in self.molecule.neighbours[atom])
        if not taken:
            step = 2 * math.pi / max(n, 3)
            angles = [step * k + math.pi / 6 for k in range(n)]
        elif len(taken) == 1:
            back = math.atan2(taken[0][1], taken[0][0])
            if n == 1 and (triple or n_double == 2):
                angles = [back + math.pi]
            elif n == 1:
                angles = [back + self._side(atom, back) * 2 * math.pi / 3]
            else:
                angles = [back + 2 * math.pi * (k + 1) / (n + 1) for k in range(n)]
                if n == 3:
                    angles = [back + math.pi, back + math.pi / 2, back - math.pi / 2]
                elif n == 2:
                    side = self._side(atom, back)
                    angles = [back + side * 2 * math.pi / 3, back - side * 2 * math.pi / 3]
        else:
            gap, begin = self._widest_gap(atom)
            angles = [begin + gap * (k + 1) / (n + 1) for k in range(n)]
        return [numpy.array([math.cos(angle), math.sin(angle)]) for angle in angles]

    def _widest_gap(self, atom: int) -> tuple[float, float]:
        """Returns the width and the start of the largest angle between the neighbours of an atom outside of rings."""
        here = self.at[atom]
        around = []
        for other, _ in self.molecule.neighbours[atom]:
            if other in self.at:
                x, y = self.at[other] - here
                around.append((math.atan2(y, x), other))
        around.sort()
        gaps = []
        for (begin, first), (end, second) in zip(around, [*around[1:], around[0]], strict=True):
            gap = (end - begin) % (2 * math.pi)
            inside = gap < math.pi and any(first in ring and second in ring for ring in self.rings_of.get(atom, ()))
            gaps.append((not inside, gap, begin))
        return max(gaps)[1:]

    def _side(self, atom: int, back: float) -> int:
        """Returns 1 or -1, the side on which a zigzag chain continues, opposite to its last corner."""
        (before,) = [other for other, _ in self.molecule.neighbours[atom] if other in self.at]
        others = [self.at[o] for o, _ in self.molecule.neighbours[before] if o in self.at and o != atom]
        rest = [xy for o, xy in self.at.items() if o not in (atom, before)]
        options = []
        for side in (1, -1):
            angle = back + side * 2 * math.pi / 3
            place = self.at[atom] + [math.cos(angle), math.sin(angle)]
            nearest = min((float(numpy.hypot(*(place - xy))) for xy in rest), default=9.0)
            straight = min((float(numpy.hypot(*(place - xy))) for xy in others), default=0.0)
            options.append((min(nearest, 1.2), straight, side))
        return max(options)[2]


def _polygon(n: int) -> numpy.ndarray:
    """Returns the corners of a regular polygon with sides of length 1 around 0.   (n, 2)"""
    angles = 2 * math.pi * (numpy.arange(n) + 0.5) / n + math.pi / 2
    return numpy.stack([numpy.cos(angles), numpy.sin(angles)], axis=1) / (2 * math.sin(math.pi / n))


def _rotation(angle: float) -> numpy.ndarray:
    return numpy.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _arc(start: numpy.ndarray, end: numpy.ndarray, n: int, inside: numpy.ndarray) -> list[numpy.ndarray]:
    """Returns n points from start to end on a circle, in steps of about length 1, on the side that is not `inside`."""
    chord = end - start
    length = max(float(numpy.hypot(*chord)), 1e-6)
    middle = (start + end) / 2
    normal = numpy.array([-chord[1], chord[0]]) / length
    if (inside - middle) @ normal > 0:
        normal = -normal
    low, high = 1e-3, 2 * math.pi - 1e-3  # the angle of the arc: n + 1 steps of length 1 over the chord
    for _ in range(60):
        angle = (low + high) / 2
        radius = 0.5 / math.sin(angle / (2 * (n + 1)))
        low, high = (angle, high) if 2 * radius * math.sin(angle / 2) > length else (low, angle)
    centre = middle - normal * radius * math.cos(angle / 2)
    first = start - centre
    turns = [angle * (k + 1) / (n + 1) for k in range(n)]
    sign = 1 if first[0] * normal[1] - first[1] * normal[0] > 0 else -1
    return [centre + _rotation(sign * turn) @ first for turn in turns]


def _relaxed(molecule: Molecule, part: Sequence[int], placement: _Placement) -> numpy.ndarray:
    """Returns the placement, moved to a minimum of the sum above.   (n, 2)"""
    xy = numpy.array([placement.at[atom] for atom in part])
    n = len(part)
    xy += 0.02 * numpy.stack([numpy.sin(7.0 * numpy.arange(n)), numpy.cos(11.0 * numpy.arange(n))], axis=1)
    if not 2 < n <= MOST_ATOMS:
        return xy
    from scipy.optimize import minimize

    target, weight = _targets(molecule, part, placement.rings)
    first, second = numpy.triu_indices(n, 1)
    target, weight = target[first, second], weight[first, second]
    repelled = numpy.isnan(target)
    target = numpy.where(repelled, LEAST, target)

    def energy(flat: numpy.ndarray) -> tuple[float, numpy.ndarray]:
        places = flat.reshape(n, 2)
        difference = places[first] - places[second]
        distance = numpy.sqrt((difference**2).sum(axis=1)) + 1e-9
        error = distance - target
        error[repelled & (error > 0)] = 0
        slope = (2 * weight * error / distance)[:, None] * difference
        gradient = numpy.stack(
            [numpy.bincount(first, slope[:, k], n) - numpy.bincount(second, slope[:, k], n) for k in (0, 1)], axis=1
        )
        return float((weight * error * error).sum()), gradient.ravel()

    options = {"maxiter": 150, "maxfun": 200}
    return minimize(energy, xy.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(n, 2)


def _targets(
    molecule: Molecule, part: Sequence[int], rings: Sequence[Sequence[int]]
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Returns target distances of pairs of atoms, NaN for pairs that only repel each other, and their weights."""
    n, number = len(part), {atom: k for k, atom in enumerate(part)}
    target, weight = numpy.full((n, n), numpy.nan), numpy.full((n, n), 0.3)

    def ask(i: int, j: int, distance: float, importance: float) -> None:
        for pair in ((number[i], number[j]), (number[j], number[i])):
            target[pair], weight[pair] = distance, importance

    for atom in part:
        around = [other for other, _ in molecule.neighbours[atom]]
        orders = sorted(bond.order for _, bond in molecule.neighbours[atom])
        angle = math.pi if len(around) == 2 and (orders[-1] == 3 or orders == [2, 2]) else 2 * math.pi / 3
        if len(around) <= 3:
            for k, other in enumerate(around):
                for third in around[:k]:
                    ask(other, third, 2 * math.sin(angle / 2), WEIGHT_OF_ANGLES)
    for ring in rings:
        size = len(ring)
        for i in range(size):
            for j in range(i):
                steps = min(i - j, size - i + j)
                ask(ring[i], ring[j], math.sin(math.pi * steps / size) / math.sin(math.pi / size), 1.0)
    for bond in molecule.bonds:
        if bond.i in number:
            ask(bond.i, bond.j, 1.0, 2.0)
    return target, weight


def _lying(xy: numpy.ndarray) -> numpy.ndarray:
    """Rotates the coordinates in steps of 30 degrees until they are as wide and as low as possible."""
    xy = xy - xy.mean(axis=0)
    return min((xy @ _rotation(math.pi * k / 6).T for k in range(6)), key=lambda turned: float(numpy.ptp(turned[:, 1])))
