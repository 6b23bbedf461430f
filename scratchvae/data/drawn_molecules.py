"""The package draws molecules as SMILES from a grammar of fragments, so that all of them are valid.

A molecule begins with one of STARTS. A slot <k> of a fragment is a place for another fragment, and k says which kinds
of fragment may stand there, so that no bond arises that chemists would not expect: none between two nitrogens, two
oxygens or nitrogen and halogen, and no carbon with two amines. Each molecule has a size of its own, which the fragments
share. Charged atoms, atoms in brackets and marks of stereochemistry occur as in catalogues of drug-like molecules.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate, compress

import numpy

from scratchvae.chemistry import properties
from scratchvae.chemistry.smiles import TOKEN
from scratchvae.data.dataset import Dataset
from scratchvae.errors import whole_number
from scratchvae.noise import Noise

SMALLEST, LARGEST = 10, 28
"""The fewest and the most heavy atoms of a molecule."""

PROPERTIES = ("logP", "weight", "rings")
"""The properties of every molecule, see scratchvae/chemistry/properties.py."""

BLOCK, NUMBERS = 4096, 96
"""The number of molecules for which random numbers are drawn at once, and the number of these for each molecule."""

ORDERED = 22_000
"""The molecules of a block that are put into a random order."""

FILLED, FILLED_LATE = 0.9, 0.35
"""The probabilities that a fragment stands in a slot that may stay empty: while four atoms are wanted, and later."""

# A slot <k> may stay empty, a slot <k!> may not, and <k+> takes two atoms at least. What k stands for:
#     a   an aromatic carbon                        c   a saturated carbon beside carbons
#     x   a saturated carbon beside N or O          n   an amine             m   an amide, or N in an aromatic ring
#     p   a nitrogen cation                         o   an ether             y   a carboxylate's carbon
#     k   the carbon of a carbonyl group            s   a sulfonyl group     v   a carbon of C=C
ADMITTED = {
    "a": "aryl:3 alkyl:3 acyl:4 amine:3 oxy:3 thio:0.6 sulfonyl:1.2 halogen:4 small:1 vinyl:0.8",
    "c": "aryl:3 alkyl:3 acyl:3 amine:3.5 oxy:2 thio:0.6 cyano:0.2",
    "x": "aryl:4 alkyl:3 acyl:2.5",
    "n": "aside:5 aryl:2.5 acyl:4 sulfonyl:1.2",
    "m": "aside:5 aryl:3",
    "p": "aside:1",
    "o": "aside:5 aryl:2.5",
    "y": "aryl:2 alkyl:2",
    "k": "amide:7 oxy:1.5 aryl:1.5 alkyl:1.5",
    "s": "amide:3 alkyl:1 aryl:2",
    "v": "aryl:3 acyl:1",
}
"""Slot -> the kinds of fragments there, with their weights."""

STARTS = """
c1ccc(<a!>)cc1:4 Cc1ccc(<a!>)cc1:3 Cc1cccc(<a!>)c1:2 Cc1ccccc1<a!>:2 COc1ccc(<a!>)cc1:3 COc1ccccc1<a!>:2
Fc1ccc(<a!>)cc1:2 Clc1ccc(<a!>)cc1:2 Brc1ccc(<a!>)cc1:1 Fc1cccc(<a!>)c1<a>:1 Clc1cccc(<a!>)c1:1 N#Cc1ccc(<a!>)cc1:1
Cc1cc(<a!>)c(<a>)cc1<a>:2 Cc1nc(<a!>)cs1:1 Cc1cc(<a!>)no1:1 Cc1ccc(<a!>)o1:1 Cn1cc(<a!>)cn1:1 Cn1cnc(<a!>)c1:1
Cc1nnc(<a!>)o1:1 O=c1[nH]c(<a!>)nc2ccccc12:1 CC(C)(C)c1ccc(<a!>)cc1:1 C1CCN(<n!>)CC1:1
O=C(<k!>)N<m!>:7 O=C(<k!>)<k!>:2 CC(=O)N<m!>:1 CN(<m!>)C(=O)<k!>:2 O=C(N<m!>)N<m!>:2 CC(C)NC(=O)<k!>:1 NC(=O)<y!>:1
O=S(=O)(<s!>)N<m!>:2 CS(=O)(=O)N<m!>:1 CN(C)S(=O)(=O)<y!>:1 CC(C)C<c!>:1 CCC<c!>:1 CCO<o!>:2 COC(=O)<y!>:2
CCOC(=O)<y!>:2 C[C@H](<x+>)N<n!>:4 CC[C@H](C)<c+>:2 CN(C)C<x!>:1 CCN(CC)C<x!>:1 CN1CCN(<n!>)CC1:2 C1COCCN1<n!>:1
C[NH+](C)C<x!>:1 [NH3+]C<x!>:1 [NH3+][C@H](C)<x+>:2 C[NH+]1CCN(<n!>)CC1:1 [O-]C(=O)<y!>:2 O=C([O-])<y!>:2
O=[N+]([O-])c1ccc(<a!>)cc1:2 [O-][n+]1ccc(<a!>)cc1:0.3 C[n+]1ccc(<a!>)cc1:0.3 CSc1ccc(<a!>)cc1:1
FC(F)(F)c1ccc(<a!>)cc1:1 C/C(=C\\<c!>)C(=O)<k!>:0.5 O=C(/C=C/<v!>)<k!>:1 C#CC<c!>:0.5 OC<c!>:1 O[C@H](C)<c+>:2
C=CC<c!>:0.5
"""

FRAGMENTS = {
    "aryl": """
        c1ccccc1:4 c1ccc(<a>)cc1:7 c1cccc(<a>)c1:4 c1ccccc1<a!>:3 c1ccc(<a>)c(<a!>)c1:2 c1cc(<a!>)cc(<a>)c1:1 c1ccncc1:1
        c1cccnc1:2 c1ccccn1:1 c1ccc(<a!>)nc1:1 c1cnc(<a>)nc1:1 c1ncc(<a>)cn1:1 c1ccc(<a>)s1:2 c1cccs1:1 c1ccco1:1
        c1ccc(<a>)o1:1 c1cnn(<m!>)c1:1 c1cc(<a>)[nH]n1:1 c1cn(<m!>)cn1:1 c1nc(<a>)cs1:1 c1nnc(<a!>)o1:1 c1nnc(<a>)s1:0.5
        c1noc(<a!>)n1:1 c1cc(<a>)no1:1 c1c(C)noc1C:0.7 c1c[nH]c2ccccc12:1 c1ccc2[nH]ccc2c1:1 c1nc2ccccc2[nH]1:1
        c1nc2ccccc2s1:1 c1nc2ccccc2o1:0.5 c1ccc2c(c1)OCO2:1 c1ccc2c(c1)OCCO2:1 c1ccc2ccccc2c1:0.7 c1ccc2ncccc2c1:1
        c1cnc2ccccc2n1:0.5 c1cccc2c1CCC2:0.5 c1cc(=O)[nH]c(<a>)n1:0.5 c1cccc[nH+]1:0.5 c1c[nH+]cn1C:0.4 c1nccn1C:0.6
        c1nc2ccccc2n1<m!>:0.6 c1cc2ccccc2o1:0.5 c1ccc(=O)n(<m!>)c1:0.6
    """,
    "alkyl": """
        C:6 CC:3 CCC:1 C(C)C:2 C(C)(C)C:1 CC(C)C:1 C(F)(F)F:2 C(F)F:0.4 C<c!>:4 CC<c!>:3 CCC<c!>:1 C1CC1:1.5 C1CCC1:0.4
        C1CCCC1:1 C1CCCCC1:1 [C@H](C)<c+>:4 [C@H](CC)<c+>:1.4 [C@H](O)<c+>:2 C1CCN(<n>)CC1:1.5 [C@H]1CCCN(<n!>)C1:1
        [C@H]1CCCN1<n!>:0.7 C1CCOCC1:0.7 [C@H]1CCCO1:0.7 [C@H]1CC[C@H](<c!>)CC1:0.6 C(C)(C)<c!>:0.4
        C1CC[NH+](<p!>)CC1:0.7 [C@H]1C[C@H]1<c!>:0.5 [C@H]([NH3+])<x!>:0.7 [C@H](C(=O)[O-])<c!>:0.4
    """,
    "aside": """
        C:5 CC:3 CCC:1 C(C)C:2 CC(C)C:0.7 CCO:0.6 CCOC:1 C<x!>:8 CC<c!>:4 CCC<c!>:1 C1CC1:1.5 C1CCCC1:1 C1CCCCC1:1
        [C@H](C)<x+>:5 [C@H](CC)<x+>:1.4 CC(F)(F)F:0.4 C1CCN(<n>)CC1:1 [C@H]1CCCN(<n!>)C1:0.5 C[C@H](O)<c+>:1.4
        [C@H]1CC[C@H](<c!>)CC1:0.5 [C@H](C(C)C)<x+>:1 CC#C:0.2 CC=C:0.3 C1CC[NH+](<p!>)CC1:0.4 CC#N:0.3
        C[C@H]1CCCO1:0.7 C[C@@H]1CCC[NH+](<p!>)C1:0.3 C(C)(C)<x!>:0.3
    """,
    "acyl": """
        C(C)=O:1 C(N)=O:1 C(=O)<k!>:8 C(=O)N<m!>:5 C(=O)OC:1 C(=O)OCC:1 C(=O)[O-]:2 C(=O)O:0.5 C(=O)N1CCOCC1:0.7
        C(=O)N1CCN(<n!>)CC1:0.7 C(=O)N(C)C:0.6
    """,
    "amine": """
        N:2 NC:1 N(C)C:2 N<n!>:8 N(C)<n!>:1.5 N1CCCC1:1 N1CCCCC1:1 N1CCOCC1:1.5 N1CCN(<n!>)CC1:2 N1CCC(<c>)CC1:1
        N1CCC[C@H](<c!>)C1:1.5 N1CCC[C@H]1<x!>:1
        [NH3+]:1.5 [NH2+]<p!>:3 [NH+](C)C:1 [NH+](C)<p!>:0.7 [NH+]1CCCC1:0.5
        [NH+]1CCN(<n!>)CC1:0.7 [N+](C)(C)C:0.2 N1CCCC1=O:0.5 [NH+]1CCOCC1:0.5
    """,
    "amide": """
        N:1 NC:1 N<m!>:9 N(C)<m!>:1 N1CCCC1:1 N1CCCCC1:1 N1CCOCC1:1 N1CCN(<n!>)CC1:2 N1CCC(<c>)CC1:1
        N1CCC[C@H](<c!>)C1:1 N1CCC[C@H]1<x!>:1 N1CC[NH+](<p!>)CC1:0.7
        N1CCc2ccccc2C1:0.5 NC1CC1:0.6 N1CC[C@H](<c!>)C1:0.5 NCC[NH3+]:0.2
    """,
    "oxy": "O:2 OC:4 OCC:1.5 O<o!>:5 OC(F)F:0.5 OC(F)(F)F:0.3 OC(C)=O:0.3 OCC(=O)<k!>:0.7",
    "thio": "SC:1 S<o!>:2 S(C)=O:0.2",
    "sulfonyl": """
        S(C)(=O)=O:1.5 S(N)(=O)=O:1.5 S(=O)(=O)<s!>:3 S(=O)(=O)N<m!>:2 S(=O)(=O)N1CCOCC1:0.5 S(=O)(=O)[O-]:0.1
    """,
    "halogen": "F:5 Cl:4 Br:1.3 I:0.15",
    "small": "C#N:1 [N+](=O)[O-]:1 [O-]:0.1",
    "cyano": "C#N:1",
    "vinyl": "/C=C/<v!>:0.5 /C=C/C(=O)<k!>:2 /C=N/O<o!>:0.3 /C=C/C:0.3",
}
"""Kind -> its fragments with their weights; the bond to a fragment goes to its first atom."""

Part = str | int | tuple[str, int, bool]
"""A token; the number of a ring in its fragment; or a slot: its letter, the fewest atoms in it, whether in brackets."""


def draw_molecules(n: int, seed: int = 0) -> list[str]:
    """Draws the SMILES of n molecules with 10 to 28 heavy atoms, all different strings.

    The first m of n molecules are draw_molecules(m).

    Raises InputError if n is not a positive integer.
    """
    n = whole_number("draw_molecules", "a number n", n)
    noise = Noise(seed)
    drawn: dict[str, None] = {}
    block = 0
    while len(drawn) < n:
        for row in noise.uniform(f"molecules {block}", (BLOCK, NUMBERS)).tolist():
            molecule = _Molecule(row)
            if SMALLEST <= molecule.size <= LARGEST and len(drawn) < n:
                drawn[molecule.smiles] = None
        block += 1
    return list(drawn)


def draw_molecule_set(n: int, seed: int = 0) -> Dataset:
    """Returns the molecules of draw_molecules(n, seed) in random order, with logP, weight in daltons, and rings.

    As no string is drawn twice, molecules that are drawn later are a little larger; the random order removes this
    trend. Each block of 22,000 is shuffled by itself, so that drawing more molecules does not change the first ones.
    """
    drawn, smiles = draw_molecules(n, seed), []
    for block, start in enumerate(range(0, n, ORDERED)):
        order = Noise(seed, block).permutation("order of molecules", min(ORDERED, n - start))
        smiles += [drawn[start + k] for k in order]
    return Dataset(molecules=numpy.array(smiles), properties=properties(smiles, PROPERTIES))


class _Molecule:
    """Builds a molecule from a row of random numbers; when they are used up, the smallest fragments fill all slots.

    smiles : its string;   size : its number of heavy atoms
    """

    def __init__(self, row: list[float]) -> None:
        self.numbers: Iterator[float] = iter(row)
        self.rings: list[bool] = [False] * 10  # which numbers of rings are open
        self.size = 0
        first, second = next(self.numbers), next(self.numbers)
        self.wanted = SMALLEST + (LARGEST - SMALLEST) * (first + second) / 2 + 1
        parts, size, _ = _chosen("start", 1, LARGEST, next(self.numbers))
        self.reserved = 0  # the atoms that slots which must be filled still need, at least
        self.smiles = "".join(self._written(parts, size))

    def _written(self, parts: tuple[Part, ...], size: int) -> list[str]:
        self.size += size
        self.reserved += _needed(parts)
        text: list[str] = []
        numbers: dict[int, int] = {}
        for part in parts:
            if isinstance(part, str):
                text.append(self._turned(part) if "@" in part else part)
            elif isinstance(part, int):
                text.append(self._ring_number(part, numbers))
            else:
                letter, least, bracketed = part
                inside = self._filled(letter, least)
                if inside and _is_aromatic(inside[0]) and _is_aromatic(_last_atom(text)):
                    inside = ["-", *inside]  # as canonical SMILES mark the single bond between two aromatic rings
                if inside:
                    text.extend(["(", *inside, ")"] if bracketed else inside)
        return text

    def _filled(self, letter: str, least: int) -> list[str]:
        left = self.wanted - self.size - self.reserved
        if least == 0:
            if left < 1 or next(self.numbers, 1.0) > (FILLED if left >= 4 else FILLED_LATE):
                return []
        else:
            self.reserved -= least
            left += least
        parts, size, _ = _chosen(letter, least, int(left), next(self.numbers, 0.0))
        return self._written(parts, size)

    def _ring_number(self, part: int, numbers: dict[int, int]) -> str:
        """Returns the smallest free number at the start of a ring, and the same one at its end."""
        if part in numbers:
            number = numbers.pop(part)
            self.rings[number] = False
        else:
            number = numbers[part] = self.rings.index(False, 1)
            self.rings[number] = True
        return str(number)

    def _turned(self, atom: str) -> str:
        """Returns an atom with one of its two chirality marks."""
        return atom.replace("@", "@@") if "@@" not in atom and next(self.numbers, 0.0) < 0.5 else atom


def _is_aromatic(token: str) -> bool:
    return token.strip("[")[:1].islower()


def _last_atom(text: list[str]) -> str:
    return next(token for token in reversed(text) if token.strip("[")[:1].isalpha())


def _needed(parts: tuple[Part, ...]) -> int:
    """Returns the smallest number of atoms that fills the slots of a fragment."""
    return sum(part[1] for part in parts if isinstance(part, tuple))


@lru_cache(None)
def _compiled(kind: str) -> list[tuple[tuple[Part, ...], int, float]]:
    """Returns the fragments of a kind, each as its parts, number of atoms and weight."""
    compiled = []
    for entry in (STARTS if kind == "start" else FRAGMENTS[kind]).split():
        text, weight = entry.rsplit(":", 1)
        parts: list[Part] = []
        for bracketed, slot, token in re.findall(rf"(\()?<(\w[!+]?)>(?(1)\))|({TOKEN.pattern})", text):
            if slot:
                parts.append((slot[0], {"": 0, "!": 1, "+": 2}[slot[1:]], bool(bracketed)))
            else:
                parts.append(int(token) if token.isdecimal() else token)
        size = sum(isinstance(part, str) and part[-1] not in "()=#/\\-" for part in parts)
        compiled.append((tuple(parts), size, float(weight)))
    return compiled


@lru_cache(None)
def _candidates(letter: str, least: int, most: int) -> tuple[list[float], list[tuple[tuple[Part, ...], int, float]]]:
    """Returns the fragments that fit a slot, preceded by their cumulative weights.

    If none is small enough, it is the smallest one.
    """
    kinds = [("start", 1.0)]
    if letter != "start":
        kinds = [(kind, float(weight)) for kind, weight in (each.split(":") for each in ADMITTED[letter].split())]
    needs, fragments, weights = [], [], []
    for kind, share in kinds:
        compiled = _compiled(kind)
        total = sum(weight for _, _, weight in compiled)
        for parts, size, weight in compiled:
            needs.append(size + _needed(parts))
            fragments.append((parts, size, weight))
            weights.append(share * weight / total * size**0.5)
    smallest = min(need for need in needs if need >= least)
    fits = [least <= need <= max(most, smallest) for need in needs]
    return list(accumulate(compress(weights, fits))), list(compress(fragments, fits))


def _chosen(letter: str, least: int, most: int, number: float) -> tuple[tuple[Part, ...], int, float]:
    """Returns the fragment at this number from 0 to 1 among those that fit a slot."""
    cumulative, fragments = _candidates(letter, least, most)
    return fragments[bisect(cumulative, number * cumulative[-1])]
