"""The Kekule structure determines which rings are aromatic: c1ccccc1 and C1=CC=CC=C1 are one molecule.

A ring is aromatic if each of its atoms can take part, and their pi electrons are 2, 6, 10, 14, ... (Hueckel's rule):

    an atom with a double bond in its ring            1
    one with a double bond outside, to a more
    electronegative atom, such as C=O                 0      to another one, such as C=C     1
    one with a lone pair and single bonds, such as N  2
    C+                                                0      C-                              2

Where rings share a bond, the outline of several of them may be aromatic although none of them is: azulene.

Source: "The RDKit book", section Aromaticity, "the RDKit aromaticity model"
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from scratchvae.chemistry.elements import valences
from scratchvae.chemistry.molecule import Molecule
from scratchvae.chemistry.rings import smallest_rings

MOST_FUSED, LARGEST_RING, MOST_OUTLINES = 6, 24, 2000
"""The most rings of an outline, the most atoms of a ring in it, and the most outlines that are tried for a molecule."""

OUTER_ELECTRONS = {"B": 3, "C": 4, "N": 5, "O": 6, "Si": 4, "P": 5, "S": 6, "Se": 6, "Te": 6}
"""The elements whose atoms can take part, with their outer electrons."""

AROMATIC = 5
"""The order of a bond in an aromatic ring, whichever Kekule structure was written: neither single nor double."""

PAULING = {"B": 2.04, "C": 2.55, "N": 3.04, "O": 3.44, "Si": 1.9, "P": 2.19, "S": 2.58, "Se": 2.55, "Te": 2.1}
"""Electronegativities."""


def aromatic_bonds(molecule: Molecule) -> set[frozenset[int]]:
    """Returns the bonds in aromatic rings, each as its two atoms; an atom is aromatic if one of its bonds is.

    Raises TooLargeError where `smallest_rings` does.
    """
    rings = [ring for ring in smallest_rings(molecule) if len(ring) <= LARGEST_RING]
    electrons: dict[int, int | None] = {}
    ringed = {atom for ring in rings for atom in ring}
    edges_of_rings = {frozenset(pair) for ring in rings for pair in pairwise([*ring, ring[0]])}
    for atom in ringed:
        electrons[atom] = _pi_electrons(molecule, atom, edges_of_rings)
    candidates = [ring for ring in rings if all(electrons[atom] is not None for atom in ring)]
    edges = [{frozenset(pair) for pair in pairwise([*ring, ring[0]])} for ring in candidates]
    aromatic: set[frozenset[int]] = set()
    open_rings = False
    for ring_edges in edges:
        if _follows_hueckel(ring_edges, electrons):
            aromatic |= ring_edges
        else:
            open_rings = True
    if open_rings:
        _add_outlines(edges, electrons, aromatic)
    return aromatic


def bond_orders(molecule: Molecule) -> list[int]:
    """Returns the order of each bond, AROMATIC in aromatic rings, so that it is the same for all Kekule structures."""
    aromatic = aromatic_bonds(molecule)
    return [AROMATIC if frozenset((bond.i, bond.j)) in aromatic else bond.order for bond in molecule.bonds]


def _pi_electrons(molecule: Molecule, number: int, ring_edges: set[frozenset[int]]) -> int | None:
    """Returns the number of electrons that a ring atom contributes to the ring, or None if it cannot take part."""
    atom, neighbours = molecule.atoms[number], molecule.neighbours[number]
    outer = OUTER_ELECTRONS.get(atom.element)
    total = sum(bond.order for _, bond in neighbours) + atom.hydrogens
    degree = len(neighbours) + atom.hydrogens
    multiple = [(other, bond) for other, bond in neighbours if bond.order > 1]
    if outer is None or degree > 3 or len(multiple) > 1 or total > valences(atom.element, atom.charge)[0]:
        return None
    valence = valences(atom.element, 0)[0]
    if total < valences(atom.element, atom.charge)[0] and not (atom.element == "C" and atom.charge):
        if atom.element != "C" or atom.charge:
            return None  # a radical
    n = valence - degree + max(outer - valence - atom.charge, 0)
    for other, bond in multiple:
        if bond.order > 2:
            n = min(n, 1)
        if frozenset((number, other)) not in ring_edges:
            if PAULING.get(molecule.atoms[other].element, 4) > PAULING[atom.element]:
                n -= 1
            return 0 if n <= 0 else 1 if n % 2 else 2
    if n <= 0:
        return 0 if multiple else None
    if n == 1:
        return 0 if not multiple and atom.charge == 1 else 1
    return 1 if n % 2 else 2


def _follows_hueckel(edges: set[frozenset[int]], electrons: dict[int, int | None]) -> bool:
    n = sum(electrons[atom] or 0 for atom in {atom for edge in edges for atom in edge})
    return n == 2 or (n >= 6 and n % 4 == 2)


def _add_outlines(
    edges: Sequence[set[frozenset[int]]], electrons: dict[int, int | None], aromatic: set[frozenset[int]]
) -> None:
    """Adds the outlines of two to six rings, each of which shares one bond with another."""
    beside = [[j for j, other in enumerate(edges) if i != j and len(ring & other) == 1] for i, ring in enumerate(edges)]
    groups = {frozenset([i]) for i in range(len(edges))}
    tried = 0
    everything = set().union(*edges)
    for _ in range(MOST_FUSED - 1):
        groups = {group | {j} for group in groups for i in group for j in beside[i] if j not in group}
        for group in sorted(groups, key=sorted):
            tried += 1
            if tried > MOST_OUTLINES or aromatic >= everything:
                return
            outline: set[frozenset[int]] = set()
            shared: set[frozenset[int]] = set()
            for i in group:
                shared |= outline & edges[i]
                outline |= edges[i]
            if _follows_hueckel(outline - shared, electrons):
                aromatic |= outline - shared
