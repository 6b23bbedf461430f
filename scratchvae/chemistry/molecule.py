"""A molecule is a graph: atoms, and bonds between them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from scratchvae.chemistry.elements import WEIGHTS


@dataclass(slots=True)
class Atom:
    """Describes one atom of a molecule.

    Parameters
    ----------
    element : str
        Its symbol, such as "C" or "Cl".
    hydrogens : int
        The number of hydrogens bound to it that are not atoms of the graph.
    charge : int
        In units of the elementary charge.
    aromatic : bool
        Whether it was written as aromatic, "c" for "C".
    isotope : int
        The mass number, or 0 for the natural mixture.
    chirality : str
        The mark as it was written: "@", "@@" or one of the rarer ones; "" without.
    place : int
        Its position in the string, counted from 0.

    Attributes
    ----------
    element, hydrogens, charge, aromatic, isotope, chirality, place
        The parameters of these names.

    See Also
    --------
    Molecule : Holds the atoms and bonds.
    Bond : Connects two atoms.

    Examples
    --------
    >>> from scratchvae.chemistry import read_smiles
    >>> read_smiles("C[NH3+]").atoms[1]
    Atom(element='N', hydrogens=3, charge=1, aromatic=False, isotope=0, chirality='', place=1)
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
    """Describes a bond between the atoms number i and j.

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

    Attributes
    ----------
    i, j, order, aromatic, direction
        The parameters of these names.

    See Also
    --------
    Molecule : Holds the atoms and bonds.
    Atom : Stands at each end of a bond.

    Examples
    --------
    >>> from scratchvae.chemistry import read_smiles
    >>> [(bond.i, bond.j, bond.order) for bond in read_smiles("CC=O").bonds]
    [(0, 1, 1), (1, 2, 2)]
    """

    i: int
    j: int
    order: int = 1
    aromatic: bool = False
    direction: str = ""


class Molecule:
    """Holds atoms and bonds as a graph, and derives properties from it. A salt of several parts is one graph, too.

    Parameters
    ----------
    atoms : list of Atom
        The atoms, numbered in this order.
    bonds : list of Bond
        At most one bond between any two atoms.

    Attributes
    ----------
    atoms, bonds
        The parameters of these names.

    See Also
    --------
    read_smiles : Reads a molecule from a string.
    canonical_key : Compares two molecules.
    log_p : Predicts the octanol-water partition.

    Examples
    --------
    >>> from scratchvae.chemistry import read_smiles
    >>> aspirin = read_smiles("CC(=O)Oc1ccccc1C(=O)O")
    >>> aspirin
    Molecule(C9H8O4, atoms=13, bonds=13, rings=1)
    >>> round(aspirin.weight, 3)
    180.159
    """

    def __init__(self, atoms: list[Atom], bonds: list[Bond]) -> None:
        self.atoms, self.bonds = atoms, bonds

    def __repr__(self) -> str:
        return f"Molecule({self.formula}, atoms={self.n_atoms}, bonds={len(self.bonds)}, rings={self.n_rings})"

    @cached_property
    def neighbours(self) -> list[list[tuple[int, Bond]]]:
        """Returns, for every atom, the numbers of the atoms bound to it, each with the bond."""
        neighbours: list[list[tuple[int, Bond]]] = [[] for _ in self.atoms]
        for bond in self.bonds:
            neighbours[bond.i].append((bond.j, bond))
            neighbours[bond.j].append((bond.i, bond))
        return neighbours

    @property
    def n_atoms(self) -> int:
        """Returns the number of atoms other than hydrogen."""
        return sum(atom.element != "H" for atom in self.atoms)

    @property
    def weight(self) -> float:
        """Returns the mass in daltons from standard atomic weights; an isotope contributes its mass number."""
        return sum((atom.isotope or WEIGHTS[atom.element]) + atom.hydrogens * WEIGHTS["H"] for atom in self.atoms)

    @property
    def charge(self) -> int:
        """Returns the total charge."""
        return sum(atom.charge for atom in self.atoms)

    @property
    def formula(self) -> str:
        """Returns the formula in Hill order, such as C9H8O4, followed by the charge, as in C2H3O2-."""
        counts = Counter(atom.element for atom in self.atoms)
        counts["H"] += sum(atom.hydrogens for atom in self.atoms)
        order = sorted(counts, key=lambda e: (e != "C", e != "H", e) if "C" in counts else (False, False, e))
        charge = f"{self.charge:+d}" if abs(self.charge) > 1 else "-+"[self.charge > 0] if self.charge else ""
        return "".join(f"{e}{counts[e] if counts[e] > 1 else ''}" for e in order if counts[e]) + charge

    @cached_property
    def fragments(self) -> list[list[int]]:
        """Returns the connected parts, each as the numbers of its atoms."""
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
        """bonds - atoms + parts, the number of bonds that can be cut before the last ring is open.

        It is the number of the smallest rings that `smallest_rings` finds: 2 for naphthalene.
        """
        return len(self.bonds) - len(self.atoms) + len(self.fragments)
