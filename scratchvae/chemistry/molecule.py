"""A molecule as a graph: atoms, and bonds between them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from scratchvae.chemistry.elements import WEIGHTS


@dataclass(slots=True)
class Atom:
    """One atom of a molecule.

    Parameters
    ----------
    element : str
        Its symbol, such as "C" or "Cl".
    hydrogens : int
        How many hydrogen atoms are bound to it that are no atoms of the graph.
    charge : int
        In units of the elementary charge.
    aromatic : bool
        Whether it was written as an aromatic one, "c" for "C".
    isotope : int
        The mass number, or 0 for the natural mixture.
    chirality : str
        The mark as it was written: "@", "@@" or one of the rarer ones; "" without.
    place : int
        Where it stands in the string, from 0.
    """

    element: str
    hydrogens: int = 0
    charge: int = 0
    aromatic: bool = False
    isotope: int = 0
    chirality: str = ""
    place: int = 0


@dataclass(slots=True)
class Bond:
    """A bond between the atoms number i and j.

    Parameters
    ----------
    i, j : int
        Numbers of atoms, from 0, in the order in which they were written.
    order : int
        1, 2, 3 or 4. In aromatic rings the orders are those of one of the Kekule structures.
    aromatic : bool
        Whether it was written as a bond of an aromatic ring.
    direction : str
        "/" or "\\", as it was written from i to j; "" without.
    """

    i: int
    j: int
    order: int = 1
    aromatic: bool = False
    direction: str = ""


class Molecule:
    """Atoms and bonds, with what follows from them. A molecule of several parts, such as a salt, is one graph too.

    Parameters
    ----------
    atoms : list of Atom
    bonds : list of Bond
        No two of them between the same atoms.
    """

    def __init__(self, atoms: list[Atom], bonds: list[Bond]) -> None:
        self.atoms, self.bonds = atoms, bonds

    def __repr__(self) -> str:
        return f"Molecule({self.formula}, atoms={self.n_atoms}, bonds={len(self.bonds)}, rings={self.n_rings})"

    @cached_property
    def neighbours(self) -> list[list[tuple[int, Bond]]]:
        """For every atom, the numbers of those bound to it, each with the bond."""
        neighbours: list[list[tuple[int, Bond]]] = [[] for _ in self.atoms]
        for bond in self.bonds:
            neighbours[bond.i].append((bond.j, bond))
            neighbours[bond.j].append((bond.i, bond))
        return neighbours

    @property
    def n_atoms(self) -> int:
        """The number of atoms other than hydrogen."""
        return sum(atom.element != "H" for atom in self.atoms)

    @property
    def weight(self) -> float:
        """The mass in daltons, of the standard atomic weights; an isotope weighs its mass number."""
        return sum((atom.isotope or WEIGHTS[atom.element]) + atom.hydrogens * WEIGHTS["H"] for atom in self.atoms)

    @property
    def charge(self) -> int:
        """The sum of the charges."""
        return sum(atom.charge for atom in self.atoms)

    @property
    def formula(self) -> str:
        """The formula in Hill's order, such as C9H8O4, with the charge behind it, as in C2H3O2-."""
        counts = Counter(atom.element for atom in self.atoms)
        counts["H"] += sum(atom.hydrogens for atom in self.atoms)
        order = sorted(counts, key=lambda e: (e != "C", e != "H", e) if "C" in counts else (False, False, e))
        charge = f"{self.charge:+d}" if abs(self.charge) > 1 else "-+"[self.charge > 0] if self.charge else ""
        return "".join(f"{e}{counts[e] if counts[e] > 1 else ''}" for e in order if counts[e]) + charge

    @cached_property
    def fragments(self) -> list[list[int]]:
        """The parts between which there is no bond, each as the numbers of its atoms."""
        parts, seen = [], [False] * len(self.atoms)
        for start in range(len(self.atoms)):
            if seen[start]:
                continue
            part, seen[start] = [start], True
            for atom in part:
                for other, _ in self.neighbours[atom]:
                    if not seen[other]:
                        seen[other] = True
                        part.append(other)
            parts.append(sorted(part))
        return parts

    @property
    def n_rings(self) -> int:
        """bonds - atoms + parts: how many bonds can be cut before the last ring is open.

        It is the number of the smallest rings that `smallest_rings` finds: 2 for naphthalene.
        """
        return len(self.bonds) - len(self.atoms) + len(self.fragments)
