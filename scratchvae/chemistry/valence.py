"""The hydrogens that SMILES leaves out, and the double bonds of aromatic rings, follow from valences."""

from __future__ import annotations

from scratchvae.chemistry.elements import valences
from scratchvae.chemistry.faults import Fault
from scratchvae.chemistry.matching import perfect_matching
from scratchvae.chemistry.molecule import Atom, Bond
from scratchvae.chemistry.rings import ring_bonds

LEFT_OUT = -1
"""The hydrogens of an atom that is written without brackets, until they are counted."""


def complete(atoms: list[Atom], bonds: list[Bond]) -> None:
    """Sets the omitted hydrogens and the orders of aromatic bonds in place.

    hydrogens = (the smallest valence of the element that is enough for the bonds) - (the bonds)

    An aromatic atom has one bond of order 2 in its ring if its valence leaves one free, as that of "c" and "n" with two
    neighbours does and that of "o", "s" and "[nH]" does not. These double bonds are a perfect matching. A bracketed
    atom with fewer bonds than its valence is a radical.

    Raises Fault for an atom with more bonds than any valence of its element, for an aromatic atom or bond outside a
    ring, and for aromatic rings without a Kekule structure.
    """
    _separate_charges(atoms, bonds)
    bonded = [0] * len(atoms)
    for bond in bonds:
        bonded[bond.i] += bond.order
        bonded[bond.j] += bond.order
    if any(atom.aromatic for atom in atoms):
        _leave_aromatic_rings_only(atoms, bonds)
    incomplete = []
    for number, atom in enumerate(atoms):
        total, allowed = bonded[number], valences(atom.element, atom.charge)
        explicit = atom.hydrogens != LEFT_OUT
        if explicit:
            total += atom.hydrogens
        if total > allowed[-1]:
            raise Fault(atom.place, f"at most {allowed[-1]} bonds at {_name(atom)}", f"{total}")
        valence = next(valence for valence in allowed if valence >= total)
        if atom.aromatic:
            if valence - total == 1 or (explicit and valence - total == 2) or (not explicit and valence > total):
                incomplete.append(number)
            if not explicit:
                atom.hydrogens = max(valence - total - 1, 0)
        elif not explicit:
            atom.hydrogens = valence - total
    if incomplete:
        _set_double_bonds(atoms, bonds, incomplete)


def _separate_charges(atoms: list[Atom], bonds: list[Bond]) -> None:
    """Rewrites five-valent nitrogen with charges: CN(=O)=O becomes C[N+](=O)[O-], and CN=N#N becomes CN=[N+]=[N-]."""
    several = [bond for bond in bonds if bond.order > 1]
    ends = [number for bond in several for number in (bond.i, bond.j)]
    suspects = {number for number in ends if atoms[number].element == "N" and not atoms[number].charge}
    if len(suspects) == 0:
        return
    total = dict.fromkeys(suspects, 0)
    for bond in bonds:
        for number in (bond.i, bond.j):
            if number in total:
                total[number] += bond.order
    for bond in several:
        for nitrogen, other in ((bond.i, bond.j), (bond.j, bond.i)):
            five = 4 if atoms[nitrogen].aromatic else 5  # an aromatic one still gets a double bond in its ring
            if total.get(nitrogen) != five or atoms[nitrogen].charge or atoms[nitrogen].hydrogens > 0:
                continue
            beside = atoms[other]
            oxide = beside.element == "O" and bond.order == 2 and ends.count(other) == 1
            azide = beside.element == "N" and bond.order == 3
            if not beside.charge and (oxide or azide) and not beside.aromatic:
                atoms[nitrogen].charge, beside.charge = 1, -1
                beside.hydrogens = 0 if beside.hydrogens == LEFT_OUT else beside.hydrogens
                atoms[nitrogen].hydrogens = 0
                bond.order -= 1


def _leave_aromatic_rings_only(atoms: list[Atom], bonds: list[Bond]) -> None:
    """Turns aromatic bonds between rings, as in c1ccccc1c1ccccc1, into the single bonds that they are."""
    in_ring = ring_bonds(len(atoms), [(bond.i, bond.j) for bond in bonds])
    ringed = set()
    for bond, inside in zip(bonds, in_ring, strict=True):
        if inside:
            ringed |= {bond.i, bond.j}
        bond.aromatic = bond.aromatic and inside
    for number, atom in enumerate(atoms):
        if atom.aromatic and number not in ringed:
            raise Fault(atom.place, f"an aromatic atom in a ring, as {_name(atom)} is written", "one outside of rings")


def _set_double_bonds(atoms: list[Atom], bonds: list[Bond], incomplete: list[int]) -> None:
    neighbours: dict[int, list[int]] = {number: [] for number in incomplete}
    for bond in bonds:
        if bond.aromatic and bond.i in neighbours and bond.j in neighbours:
            neighbours[bond.i].append(bond.j)
            neighbours[bond.j].append(bond.i)
    partner = perfect_matching(neighbours)
    if isinstance(partner, int):
        atom = atoms[partner]
        hint = "an [nH] written as n?" if any(atoms[number].element == "N" for number in incomplete) else ""
        received = f"no double bond for {_name(atom)}"
        raise Fault(atom.place, "aromatic rings with a Kekule structure", received, hint)
    for bond in bonds:
        if bond.aromatic and partner.get(bond.i) == bond.j:
            bond.order = 2


def _name(atom: Atom) -> str:
    symbol = atom.element.lower() if atom.aromatic else atom.element
    return symbol + (f" of charge {atom.charge:+d}" if atom.charge else "")
