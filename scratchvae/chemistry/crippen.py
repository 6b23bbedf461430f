"""logP = the sum of a contribution for every atom, hydrogens included, by the type of its surroundings.

logP is the decadic logarithm of the ratio in which a substance distributes between octanol and water. Wildman and
Crippen fitted 68 contributions to 9,920 measured values, from which the sums differ by 0.68 (standard deviation). An
atom has the first type that fits, in the order of their table.

Source: Wildman & Crippen, "Prediction of physicochemical parameters by atomic contributions" (J. Chem. Inf. Comput.
Sci. 1999, 39, 868), Table 1; and RDKit's reading of it in SMARTS (Crippen.txt) where the table leaves room.
"""

from __future__ import annotations

from scratchvae.chemistry.aromaticity import AROMATIC, bond_orders
from scratchvae.chemistry.elements import NUMBERS
from scratchvae.chemistry.molecule import Atom, Molecule

CONTRIBUTIONS = {
    **{"C1": 0.1441, "C2": 0.0, "C3": -0.2035, "C4": -0.2051, "C5": -0.2783, "C6": 0.1551, "C7": 0.0017},
    **{"C8": 0.08452, "C9": -0.1444, "C10": -0.0516, "C11": 0.1193, "C12": -0.0967, "C13": -0.5443, "C14": 0.0},
    **{"C15": 0.245, "C16": 0.198, "C17": 0.0, "C18": 0.1581, "C19": 0.2955, "C20": 0.2713, "C21": 0.136},
    **{"C22": 0.4619, "C23": 0.5437, "C24": 0.1893, "C25": -0.8186, "C26": 0.264, "C27": 0.2148, "CS": 0.08129},
    **{"H1": 0.123, "H2": -0.2677, "H3": 0.2142, "H4": 0.298, "HS": 0.1125},
    **{"N1": -1.019, "N2": -0.7096, "N3": -1.027, "N4": -0.5188, "N5": 0.08387, "N6": 0.1836, "N7": -0.3187},
    **{"N8": -0.4458, "N9": 0.01508, "N10": -1.95, "N11": -0.3239, "N12": -1.119, "N13": -0.3396, "N14": 0.2887},
    "NS": -0.4806,
    **{"O1": 0.1552, "O2": -0.2893, "O3": -0.0684, "O4": -0.4195, "O5": 0.0335, "O6": -0.3339, "O7": -1.189},
    **{"O8": 0.1788, "O9": -0.1526, "O10": 0.1129, "O11": 0.4833, "O12": -1.326, "OS": -0.1188},
    **{"F": 0.4202, "Cl": 0.6895, "Br": 0.8456, "I": 0.8857, "Hal": -2.996, "P": 0.8612},
    **{"S1": 0.6482, "S2": -0.0024, "S3": 0.6237, "Me1": -0.3808, "Me2": -0.0025, "": 0.0},
}
"""Type -> contribution to logP. "" is the type of all atoms that the table does not have."""

MAIN_GROUPS = frozenset("Li Na K Rb Cs Be Mg Ca Sr Ba B Al Ga In Tl Si Ge Sn Pb As Sb Bi Se Te Po".split())
"""The elements of type Me1."""

HETERO = frozenset("N O P S F Cl Br I".split())
"""The elements that the table writes as X in its types of carbon."""

HALOGENS = {"F": "C14", "Cl": "C15", "Br": "C16", "I": "C17"}


def log_p(molecule: Molecule) -> float:
    """Returns logP, the sum of the contributions of all atoms and hydrogens.

    >>> from scratchvae.chemistry import read_smiles
    >>> round(log_p(read_smiles("CC(=O)Oc1ccccc1C(=O)O")), 4)
    1.3101

    Raises TooLargeError for a molecule of more than 200 atoms in rings that are too entangled.
    """
    total = 0.0
    for atom, (own, of_hydrogens) in zip(molecule.atoms, crippen_types(molecule), strict=True):
        total += CONTRIBUTIONS[own] + atom.hydrogens * CONTRIBUTIONS[of_hydrogens]
    return total


def crippen_types(molecule: Molecule) -> list[tuple[str, str]]:
    """Returns for each atom its type and the type of hydrogens bound to it, whether or not there are any."""
    surroundings = _Surroundings(molecule)
    return [surroundings.types(number) for number in range(len(molecule.atoms))]


class _Surroundings:
    """Lists the neighbours of each atom as (number, symbol, order); aromatic atoms have symbols in small letters."""

    def __init__(self, molecule: Molecule) -> None:
        self.atoms = molecule.atoms
        bonds = list(zip(molecule.bonds, bond_orders(molecule), strict=True))
        self.aromatic = {atom for bond, order in bonds if order == AROMATIC for atom in (bond.i, bond.j)}
        symbols = [
            atom.element.lower() if number in self.aromatic else atom.element
            for number, atom in enumerate(molecule.atoms)
        ]
        self.around: list[list[tuple[int, str, int]]] = [[] for _ in symbols]
        for bond, order in bonds:
            self.around[bond.i].append((bond.j, symbols[bond.j], order))
            self.around[bond.j].append((bond.i, symbols[bond.i], order))

    def types(self, number: int) -> tuple[str, str]:
        """Returns the type of an atom and of the hydrogens bound to it."""
        atom, aromatic = self.atoms[number], number in self.aromatic
        around = [each for each in self.around[number] if each[1] != "H"]
        if atom.element == "C":
            h = atom.hydrogens + len(self.around[number]) - len(around)
            own = _aromatic_carbon(h, around) if aromatic else _carbon(h, around)
            return own, "H1"
        if atom.element == "N":
            if aromatic:
                return "N12" if atom.charge > 0 else "N11" if atom.charge == 0 else "NS", "H3"
            return self._nitrogen(atom, around), "H3"
        if atom.element == "O":
            return ("O1", "HS") if aromatic else (self._oxygen(atom, around), self._hydrogen_on_oxygen(atom, around))
        if atom.element == "S":
            return "S3" if aromatic else _sulphur(atom, self.atoms, around), "H2"
        if atom.element == "H":
            return self._hydrogen(number), "H1"
        return _other(atom), "H2"

    def _nitrogen(self, atom: Atom, around: list[tuple[int, str, int]]) -> str:
        single = [symbol for _, symbol, order in around if order == 1]
        double = [(other, symbol) for other, symbol, order in around if order == 2]
        triple = [symbol for _, symbol, order in around if order == 3]
        n_aromatic, h = sum(symbol.islower() for symbol in single), atom.hydrogens
        if atom.charge < 0 or (atom.charge > 0 and h == 0 and any(s[0].isupper() for s in triple)):
            return "N14"
        if atom.charge > 0:
            if 1 <= h <= 3:
                return "N10"
            if h == 0 and (
                len(single) - n_aromatic >= 4
                or (any(s[0].isupper() for _, s in double) and len(around) >= 3 and _has_plain_single(single, double))
                or _is_carbon_and_nitrogen([s for _, s in double])
            ):
                return "N13"
            two_nitrogens = len(double) == 2 and all(symbol == "N" for _, symbol in double)
            return "N14" if h == 0 and two_nitrogens and any(self.atoms[o].charge < 0 for o, _ in double) else "NS"
        if h == 2 and single:
            return "N3" if n_aromatic else "N1"
        if h == 1 and len(single) >= 2:
            return "N4" if n_aromatic else "N2"
        if double and h == 1:
            return "N5"
        if double and len(around) >= 2:
            return "N6"
        if len(single) >= 3:
            return "N8" if n_aromatic else "N7"
        return "N9" if any(symbol[0].isupper() for symbol in triple) else "NS"

    def _oxygen(self, atom: Atom, around: list[tuple[int, str, int]]) -> str:
        if atom.hydrogens in (1, 2):
            return "O2"
        single = [(other, symbol) for other, symbol, order in around if order == 1]
        if len(single) >= 2:
            return "O4" if any(symbol.islower() for _, symbol in single) else "O3"
        other, symbol, order = max(around, key=lambda each: each[2], default=(0, "", 0))
        ion = atom.charge < 0 and len(around) == 1
        if symbol in ("N", "n", "O", "o") and (order == 2 or (ion and symbol in ("N", "n"))):
            return "O5"
        if ion:
            if symbol in ("S", "s"):
                return "O6"
            carbonyl = symbol == "C" and any(s == "O" and o == 2 for _, s, o in self.around[other])
            return "O12" if carbonyl else "O7"
        if order == 2 and symbol in ("S", "s") and atom.charge == 0 and self.atoms[other].charge == 0:
            return "O6"
        if order == 2 and symbol == "c":
            return "O8"
        return self._carbonyl_oxygen(other) if order == 2 and symbol == "C" else "OS"

    def _carbonyl_oxygen(self, carbon: int) -> str:
        """Returns the type of O in O=C, which depends on the other neighbours of the carbon."""
        h = self.atoms[carbon].hydrogens
        around = [each for each in self.around[carbon] if each[1] != "H"]
        single = [symbol for _, symbol, order in around if order == 1]
        plain, aromatic = [s for s in single if s[0].isupper()], [s for s in single if s[0].islower()]
        dioxide = len(around) == 2 and h == 0 and all(symbol == "O" and order == 2 for _, symbol, order in around)
        if h == 2 or dioxide or (h == 1 and plain and plain[0] in ("C", "N", "O")) or ("C" in plain and len(plain) > 1):
            return "O9"
        if (
            h == 1
            and "c" in aromatic
            or h == 0
            and len(single) == 2
            and (("c" in aromatic) or ("C" in plain and aromatic))
        ):
            return "O10"
        return "O11" if sum(symbol not in ("C", "c") for symbol in single) >= 2 else "OS"

    def _hydrogen_on_oxygen(self, atom: Atom, around: list[tuple[int, str, int]]) -> str:
        plain = {"C", "N", "n", "O", "o", "S", "s"}
        if atom.hydrogens > 1 or any(s == "c" or s not in plain or self._is_saturated(i) for i, s, _ in around):
            return "H2"
        if any(symbol in ("N", "n") for _, symbol, _ in around):
            return "H3"
        for other, symbol, _ in around:
            if symbol in ("O", "S"):
                return "H4"
            if any(order == 2 and s in ("C", "c", "N", "n", "O", "S") for _, s, order in self.around[other]):
                return "H4"
        return "HS"

    def _is_saturated(self, number: int) -> bool:
        """Tells whether an atom is a carbon with four neighbours, hydrogens among them."""
        atom = self.atoms[number]
        return atom.element == "C" and len(self.around[number]) + atom.hydrogens == 4

    def _hydrogen(self, number: int) -> str:
        """Returns the type of a hydrogen that is an atom of the graph: an isotope, an ion, or one of H2."""
        around = self.around[number]
        if not around:
            return "H1" if self.atoms[number].hydrogens else "HS"
        other, symbol, _ = around[0]
        return "H1" if symbol in ("H", "C", "c") else self.types(other)[1]


def _carbon(h: int, around: list[tuple[int, str, int]]) -> str:
    """Returns the type of a carbon that is not aromatic, with h hydrogens."""
    degree = len(around) + h
    single = [symbol for _, symbol, order in around if order == 1]
    double = [symbol for _, symbol, order in around if order == 2]
    aromatic = [symbol for symbol in single if symbol[0].islower()]
    if degree == 4 and not aromatic:
        if all(symbol == "C" for symbol in single):
            return "C1" if h >= 2 else "C2"
        if any(symbol in HETERO for symbol in single):
            return "C3" if h >= 2 else "C4"
        return "C27"
    if degree == 4:
        if h == 3:
            return "C8" if aromatic == ["c"] else "C9"
        return {2: "C10", 1: "C11"}.get(h, "C12")
    if any(symbol[0].isupper() and symbol != "C" for symbol in double):
        return "C5"
    if "C" in double and (h == 2 or len(double) > 1 or (not aromatic and len(single) == 2 - h)):
        return "C6"
    if any(order == 3 for _, _, order in around) and degree == 2:
        return "C7"
    if ("C" in double and aromatic) or "c" in double:
        return "C26"
    return "CS"


def _aromatic_carbon(h: int, around: list[tuple[int, str, int]]) -> str:
    if h:
        return "C18"
    outside = [(symbol, order) for _, symbol, order in around if order != AROMATIC]
    if not outside:
        return "C19" if len(around) == 3 else "CS"
    symbol, order = outside[0]
    if order == 2:
        return "C25" if symbol in ("C", "N", "O") else "CS"
    if symbol in HALOGENS:
        return HALOGENS[symbol]
    if symbol[0].islower():
        return "C20"
    return {"C": "C21", "N": "C22", "O": "C23", "S": "C24"}.get(symbol, "C13")


def _has_plain_single(single: list[str], double: list[tuple[int, str]]) -> bool:
    """Tells whether there is a single bond to an atom that is not aromatic, and a third neighbour of any kind."""
    return any(symbol[0].isupper() for symbol in single) and len(single) + len(double) >= 3


def _is_carbon_and_nitrogen(double: list[str]) -> bool:
    return sorted(symbol.upper() for symbol in double) == ["C", "N"]


def _sulphur(atom: Atom, atoms: list[Atom], around: list[tuple[int, str, int]]) -> str:
    doubly_bound = any(order == 2 and symbol in ("N", "O", "P", "S") for _, symbol, order in around)
    return "S2" if atom.charge or doubly_bound else "S1"


def _other(atom: Atom) -> str:
    """Returns the type of a halogen, of phosphorus, or of a metal."""
    element, charge = atom.element, atom.charge
    if element in HALOGENS:
        return element if charge == 0 else "Hal" if charge < 0 or element == "I" else ""
    if element == "P":
        return "P"
    number = NUMBERS[element]
    if charge == 1 and element in ("Li", "Na", "K", "Rb", "Cs"):
        return "Hal"
    if 21 <= number <= 30 or 39 <= number <= 48 or 72 <= number <= 80:
        return "Me2"
    return "Me1" if element in MAIN_GROUPS else ""
