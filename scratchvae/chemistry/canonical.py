"""The canonical key of a molecule's graph does not depend on the way in which its SMILES was written.

The key describes the whole graph except its stereochemistry: mirror images, and cis and trans forms, share one key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scratchvae.chemistry.aromaticity import bond_orders
from scratchvae.chemistry.faults import TooLargeError
from scratchvae.chemistry.molecule import Molecule

MOST_ATOMS = 200
"""The most atoms of a molecule for which a key is made."""


def canonical_key(molecule: Molecule) -> str:
    """Returns the atoms in a canonical order and the bonds between them, equal for two molecules if their graphs are.

    The graph has elements, charges, hydrogens, isotopes, bond orders and aromatic bonds. Atoms are ranked by these, and
    again by the ranks around them, until no rank changes. If some are still equal, each in turn is put first, and the
    choice whose refined ranks give the smallest sorted list of bonds is kept. If several choices give the same list,
    any is taken: in molecules they are mirror images of each other. Equal keys always mean equal graphs; equal graphs
    could have different keys only if they had far more symmetry than molecules have.

    >>> from scratchvae.chemistry import read_smiles
    >>> canonical_key(read_smiles("OCC")) == canonical_key(read_smiles("C(O)C"))
    True

    Raises TooLargeError for a molecule of more than 200 atoms.

    Source: Weininger, Weininger & Weininger, "SMILES. 2" (J. Chem. Inf. Comput. Sci. 1989, 29, 97), with more care
    about ties.
    """
    if len(molecule.atoms) > MOST_ATOMS:
        raise TooLargeError("canonical_key", f"a molecule of at most {MOST_ATOMS} atoms", str(len(molecule.atoms)))
    edges: list[list[tuple[int, int]]] = [[] for _ in molecule.atoms]  # (order, other)
    for bond, order in zip(molecule.bonds, bond_orders(molecule), strict=True):
        edges[bond.i].append((order, bond.j))
        edges[bond.j].append((order, bond.i))
    names = [_name(atom.element, atom.hydrogens, atom.charge, atom.isotope) for atom in molecule.atoms]
    ranks = _refined(_as_ranks([(name, len(around)) for name, around in zip(names, edges, strict=True)]), edges)
    while (tie := _smallest_tie(ranks)) is not None:
        options = [_refined(_put_first(ranks, atom), edges) for atom in tie]
        ranks = min(options, key=lambda option: _signature(option, edges))
    atoms = sorted(range(len(ranks)), key=ranks.__getitem__)
    bonds = [(i, j, order) for i, j, order in _signature(ranks, edges) if i < j]
    return " ".join(names[atom] for atom in atoms) + "|" + " ".join(f"{i}{'?-=#$:'[order]}{j}" for i, j, order in bonds)


def _name(element: str, hydrogens: int, charge: int, isotope: int) -> str:
    name = f"{isotope or ''}{element}"
    name += f"H{hydrogens}" if hydrogens else ""
    return name + (f"{charge:+d}" if charge else "")


def _as_ranks(values: Sequence[Any]) -> list[int]:
    """Returns the rank of each value in ascending order; equal values share the rank of the first of them."""
    places: dict[Any, int] = {}
    for place, value in enumerate(sorted(values)):
        places.setdefault(value, place)
    return [places[value] for value in values]


def _refined(ranks: list[int], edges: Sequence[Sequence[tuple[int, int]]]) -> list[int]:
    """Refines the ranks by the ranks of the neighbours until nothing changes."""
    n = len(set(ranks))
    while n < len(ranks):
        ranks = _as_ranks(
            [
                (rank, tuple(sorted([(order, ranks[other]) for order, other in around])))
                for rank, around in zip(ranks, edges, strict=True)
            ]
        )
        if len(set(ranks)) == n:
            break
        n = len(set(ranks))
    return ranks


def _smallest_tie(ranks: list[int]) -> list[int] | None:
    """Returns the atoms that share the lowest tied rank, or None if no rank is shared."""
    ties: dict[int, list[int]] = {}
    for atom, rank in enumerate(ranks):
        ties.setdefault(rank, []).append(atom)
    return next((ties[rank] for rank in sorted(ties) if len(ties[rank]) > 1), None)


def _put_first(ranks: list[int], first: int) -> list[int]:
    """Returns the ranks with one of several equal atoms placed before the others."""
    return [rank + (rank == ranks[first] and atom != first) for atom, rank in enumerate(ranks)]


def _signature(ranks: list[int], edges: Sequence[Sequence[tuple[int, int]]]) -> list[tuple[int, int, int]]:
    """Returns the bonds in terms of the ranks, for comparing two refinements."""
    return sorted((ranks[i], ranks[j], order) for i, around in enumerate(edges) for order, j in around)
