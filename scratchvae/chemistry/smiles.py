"""SMILES are molecules as strings; they are split into tokens, and read with a check of valences and aromatic rings.

The reader finds mistakes of syntax, atoms with too many bonds, and aromatic rings without a Kekule structure. It finds
no others: a molecule that it takes for valid may be strained, unstable, a radical if its atoms stand in brackets, or
impossible in space. Marks of stereochemistry are read and kept, but not checked against each other. Two repairs are
made, those of five-valent nitrogen in nitro groups and azides.

Source: Weininger, "SMILES, a chemical language and information system" (J. Chem. Inf. Comput. Sci. 1988, 28, 31);
"OpenSMILES specification", version 1.0.
"""

from __future__ import annotations

import re

from scratchvae.chemistry.elements import NUMBERS
from scratchvae.chemistry.faults import Fault, SmilesError
from scratchvae.chemistry.molecule import Atom, Bond, Molecule
from scratchvae.chemistry.valence import LEFT_OUT, complete
from scratchvae.errors import InputError

LONGEST_SMILES = 4000
"""The most characters of a string that is read."""

UNSEEN = "read_smiles sees neither strain nor instability, nor stereo marks that clash"
"""The sentence to print wherever molecules are called valid."""

TOKEN = re.compile(r"\[[^\[\]]*\]|Br|Cl|%\d\d|.", re.DOTALL)

ORGANIC = {symbol: (symbol, False) for symbol in "B C N O P S F Cl Br I".split()} | {
    symbol.lower(): (symbol, True) for symbol in "B C N O P S".split()
}
"""Symbol without brackets -> (element, aromatic)."""

AROMATIC_SYMBOLS = {symbol.lower(): symbol for symbol in "B C N O P S As Se Te".split()}
"""Symbol of an aromatic atom in brackets -> element."""

BRACKET = re.compile(
    r"\[(?P<isotope>\d{1,3})?(?P<symbol>[A-Z][a-z]?|as|se|te|[bcnops])"
    r"(?P<chirality>@(?:@|TH[12]|AL[12]|SP[1-3]|TB(?:1\d|20|[1-9])|OH(?:[12]\d|30|[1-9]))?)?"
    r"(?P<hydrogens>H\d?)?(?P<charge>\+{1,4}|-{1,4}|[+-]\d\d?)?(?P<map>:\d{1,6})?\]"
)

ORDERS = {"": 1, "-": 1, "=": 2, "#": 3, "$": 4, ":": 1, "/": 1, "\\": 1}
"""The symbol of a bond, which may be left out -> its order."""

OPPOSITE = {"/": "\\", "\\": "/"}


def split_smiles(smiles: str) -> list[str]:
    """Returns the tokens of a string: a bracketed atom, Br, Cl, %nn, or else a single character.

    Joined, they give the string again.

    >>> split_smiles("C[C@@H](N)Cl")
    ['C', '[C@@H]', '(', 'N', ')', 'Cl']
    """
    return TOKEN.findall(smiles)


def read_smiles(smiles: str) -> Molecule:
    """Returns the molecule that a string describes, with hydrogens counted and aromatic rings in a Kekule structure.

    >>> read_smiles("CC(=O)Oc1ccccc1C(=O)O").formula
    'C9H8O4'

    Raises SmilesError, a DataError, if the string is not a molecule; it says what was expected at which character.
    Raises InputError if it is not a string.
    """
    if not isinstance(smiles, str):
        raise InputError("read_smiles", "a string", type(smiles).__name__)
    try:
        if len(smiles) > LONGEST_SMILES:
            raise Fault(LONGEST_SMILES, f"at most {LONGEST_SMILES} characters", str(len(smiles)))
        reader = _Reader(smiles)
        complete(reader.atoms, reader.bonds)
        return _without_hydrogen_atoms(reader.atoms, reader.bonds)
    except Fault as fault:
        raise SmilesError(smiles, fault) from None


def why_invalid(smiles: str) -> str | None:
    """Returns the fault of a string, as "expected ..., received ... at character ...", or None for a molecule.

    >>> why_invalid("c1cccc1")
    'expected aromatic rings with a Kekule structure, received no double bond for c at character 6'
    """
    try:
        read_smiles(smiles)
    except SmilesError as error:
        return error.reason
    return None


class _Reader:
    """Reads atoms and bonds in one pass over the tokens; branches are kept on a list, without recursion."""

    def __init__(self, smiles: str) -> None:
        self.atoms: list[Atom] = []
        self.bonds: list[Bond] = []
        self.last: int | None = None  # the atom that the next one is bound to
        self.symbol, self.place = "", 0  # of the bond to the next atom; of the token
        self.branches: list[tuple[int, int]] = []  # the atom that each open branch begins at, and the place of its (
        self.open_rings: dict[int, tuple[int, str, int]] = {}  # number -> atom, symbol of the bond, place
        self.begins_branch = False  # whether the bond is the first of a branch, where no ring number may follow
        self.expects_atom = "an atom"  # what must come next; "" where anything may
        for token in TOKEN.findall(smiles):
            self._take(token)
            self.place += len(token)
        if not self.atoms:
            raise Fault(0, "an atom", "an empty string")
        if self.expects_atom or self.symbol:
            raise Fault(self.place, self.expects_atom or "an atom", "the end")
        if self.branches:
            raise Fault(self.place, f"a ) for the ( at character {self.branches[-1][1] + 1}", "the end")
        if self.open_rings:
            number, (_, _, place) = min(self.open_rings.items(), key=lambda item: item[1][2])
            raise Fault(self.place, f"the other end of ring {number}, begun at character {place + 1}", "the end")

    def _take(self, token: str) -> None:
        organic = ORGANIC.get(token)
        if organic is not None:
            self._add(Atom(organic[0], LEFT_OUT, 0, organic[1], 0, "", self.place))
        elif token[0] == "[":
            self._add(_bracketed(token, self.place))
        elif token.isdecimal() and token.isascii():
            self._ring(int(token))
        elif token[0] == "%" and len(token) == 3 and token[1:].isascii():
            self._ring(int(token[1:]))
        elif token in ORDERS:
            if self.last is None or self.symbol:
                raise Fault(self.place, "an atom", f"the bond {token}")
            self.begins_branch = bool(self.expects_atom)
            self.symbol, self.expects_atom = token, ""
        elif self.symbol or self.expects_atom:
            raise Fault(self.place, self.expects_atom or f"an atom behind the bond {self.symbol}", repr(token))
        elif token == "(" and self.last is not None:
            self.branches.append((self.last, self.place))
            self.expects_atom = "an atom or a bond"
        elif token == ")" and self.branches:
            self.last = self.branches.pop()[0]
        elif token == ".":
            self.last, self.expects_atom = None, "an atom"
        else:
            expected = "a ( before it" if token == ")" else "an atom, a bond, a branch or a ring number"
            raise Fault(self.place, expected, repr(token))

    def _add(self, atom: Atom) -> None:
        self.atoms.append(atom)
        if self.last is not None:
            self._bind(self.last, len(self.atoms) - 1, self.symbol)
        self.last, self.symbol, self.expects_atom, self.begins_branch = len(self.atoms) - 1, "", "", False

    def _bind(self, i: int, j: int, symbol: str) -> None:
        aromatic = self.atoms[i].aromatic and self.atoms[j].aromatic and symbol in ("", ":")
        if symbol == ":" and not aromatic:
            raise Fault(self.place, "aromatic atoms at both ends of the bond :", "another atom")
        self.bonds.append(Bond(i, j, ORDERS[symbol], aromatic, symbol if symbol in OPPOSITE else ""))

    def _ring(self, number: int) -> None:
        if self.last is None or self.expects_atom or self.begins_branch:
            raise Fault(self.place, self.expects_atom or "an atom", f"the ring number {number}")
        atom, symbol, self.symbol = self.last, self.symbol, ""
        if number not in self.open_rings:
            self.open_rings[number] = (atom, symbol, self.place)
            return
        other, begun, _ = self.open_rings.pop(number)
        if atom == other or any({bond.i, bond.j} == {atom, other} for bond in self.bonds):
            raise Fault(self.place, f"ring {number} between two atoms without a bond", "one or bound ones")
        if begun and symbol and begun != symbol and not (begun in OPPOSITE and symbol in OPPOSITE):
            raise Fault(self.place, f"the bond {begun} at both ends of ring {number}", symbol)
        self._bind(other, atom, begun or OPPOSITE.get(symbol, symbol))


def _bracketed(token: str, place: int) -> Atom:
    match = BRACKET.fullmatch(token)
    if match is None:
        if token == "[":
            raise Fault(place, "a ] for this bracket", "none")
        raise Fault(place, "an atom such as [C@@H], [NH3+] or [13C]", repr(token))
    symbol, hydrogens, charge = match["symbol"], match["hydrogens"], match["charge"] or ""
    element = AROMATIC_SYMBOLS.get(symbol, symbol)
    if element not in NUMBERS:
        raise Fault(place, "the symbol of an element", repr(symbol))
    if charge:
        charge = charge if charge[1:].isdecimal() else f"{charge[0]}{len(charge)}"
    return Atom(
        element,
        int(hydrogens[1:] or 1) if hydrogens else 0,
        int(charge or 0),
        symbol in AROMATIC_SYMBOLS,
        int(match["isotope"] or 0),
        match["chirality"] or "",
        place,
    )


def _without_hydrogen_atoms(atoms: list[Atom], bonds: list[Bond]) -> Molecule:
    """Turns atoms [H] into hydrogen counts of their neighbours, as C[H] is CH4; isotopes, ions and H2 stay."""
    if not any(atom.element == "H" for atom in atoms):
        return Molecule(atoms, bonds)
    ends: dict[int, list[int]] = {}
    for bond in bonds:
        ends.setdefault(bond.i, []).append(bond.j)
        ends.setdefault(bond.j, []).append(bond.i)
    gone = {
        number
        for number, atom in enumerate(atoms)
        if (atom.element, atom.hydrogens, atom.charge, atom.isotope) == ("H", 0, 0, 0)
        and len(ends.get(number, ())) == 1
        and atoms[ends[number][0]].element != "H"
    }
    for number in gone:
        atoms[ends[number][0]].hydrogens += 1
    places = {old: new for new, old in enumerate(number for number in range(len(atoms)) if number not in gone)}
    kept = [
        Bond(places[bond.i], places[bond.j], bond.order, bond.aromatic, bond.direction)
        for bond in bonds
        if bond.i in places and bond.j in places
    ]
    return Molecule([atoms[number] for number in places], kept)
