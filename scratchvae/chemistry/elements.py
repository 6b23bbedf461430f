"""The chemical elements have symbols, standard atomic weights, and numbers of bonds that their atoms form.

Source: IUPAC, "Standard atomic weights of the elements 2021" (Pure Appl. Chem. 94, 573), abridged to five digits, with
the mass number of the longest-lived isotope for elements that have no standard weight; valences as in Daylight's theory
manual, chapter 3, and beyond the organic subset as in RDKit's periodic table.
"""

from __future__ import annotations

from functools import lru_cache

_TABLE = """
H 1.008 He 4.0026 Li 6.94 Be 9.0122 B 10.81 C 12.011 N 14.007 O 15.999 F 18.998 Ne 20.180 Na 22.990 Mg 24.305 Al 26.982
Si 28.085 P 30.974 S 32.06 Cl 35.45 Ar 39.95 K 39.098 Ca 40.078 Sc 44.956 Ti 47.867 V 50.942 Cr 51.996 Mn 54.938
Fe 55.845 Co 58.933 Ni 58.693 Cu 63.546 Zn 65.38 Ga 69.723 Ge 72.630 As 74.922 Se 78.971 Br 79.904 Kr 83.798 Rb 85.468
Sr 87.62 Y 88.906 Zr 91.224 Nb 92.906 Mo 95.95 Tc 97 Ru 101.07 Rh 102.91 Pd 106.42 Ag 107.87 Cd 112.41 In 114.82
Sn 118.71 Sb 121.76 Te 127.60 I 126.90 Xe 131.29 Cs 132.91 Ba 137.33 La 138.91 Ce 140.12 Pr 140.91 Nd 144.24 Pm 145
Sm 150.36 Eu 151.96 Gd 157.25 Tb 158.93 Dy 162.50 Ho 164.93 Er 167.26 Tm 168.93 Yb 173.05 Lu 174.97 Hf 178.49 Ta 180.95
W 183.84 Re 186.21 Os 190.23 Ir 192.22 Pt 195.08 Au 196.97 Hg 200.59 Tl 204.38 Pb 207.2 Bi 208.98 Po 209 At 210 Rn 222
Fr 223 Ra 226 Ac 227 Th 232.04 Pa 231.04 U 238.03 Np 237 Pu 244 Am 243 Cm 247 Bk 247 Cf 251 Es 252 Fm 257 Md 258 No 259
Lr 262 Rf 267 Db 268 Sg 269 Bh 270 Hs 269 Mt 277 Ds 281 Rg 282 Cn 285 Nh 286 Fl 290 Mc 290 Lv 293 Ts 294 Og 294
""".split()

SYMBOLS = _TABLE[::2]
"""The symbol of atomic number Z stands at place Z - 1."""

WEIGHTS = dict(zip(SYMBOLS, map(float, _TABLE[1::2]), strict=True))
"""Symbol -> standard atomic weight in daltons."""

NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS, 1)}
"""Symbol -> atomic number."""

ANY = (10**6,)
"""The valences of an element that takes any number of bonds here."""

VALENCES = {
    **dict.fromkeys("H F Cl Br Rb Cs Fr".split(), (1,)),
    **dict.fromkeys("He Ne Ar Kr Rn".split(), (0,)),
    **dict.fromkeys("Be O".split(), (2,)),
    **dict.fromkeys("B N Al Ga In".split(), (3,)),
    **dict.fromkeys("C Si Ge".split(), (4,)),
    **dict.fromkeys("Sn Pb".split(), (2, 4)),
    **dict.fromkeys("P As Sb Bi".split(), (3, 5)),
    **dict.fromkeys("S Se Te Po".split(), (2, 4, 6)),
    **dict.fromkeys("I At".split(), (1, 3, 5)),
    "Xe": (0, 2, 4, 6),
}
"""Symbol -> the sums of bond orders, hydrogens included, that an uncharged atom may have; others have ANY."""

HYPERVALENT_IONS = {"Al": (3, 6), "Si": (4, 6), "P": (3, 5, 7)}
"""The valences of ions that have as many electrons as these elements."""


@lru_cache(4096)
def valences(element: str, charge: int) -> tuple[int, ...]:
    """Returns the valences of an atom in ascending order; an ion has those of the element with as many electrons.

    N+ has the valences of C, and O- those of F. Ions with fewer electrons than hydrogen have only the valence 0.
    """
    if charge == 0 or VALENCES.get(element, ANY) is ANY:
        return VALENCES.get(element, ANY)
    electrons = NUMBERS[element] - charge
    if not 0 < electrons <= len(SYMBOLS):
        return (0,)
    same = SYMBOLS[electrons - 1]
    return HYPERVALENT_IONS.get(same) or VALENCES.get(same, ANY)
