"""Molecules that the tests of this folder share."""

import csv
import gzip

from scratchvae.chemistry import split_smiles

DRUGS = [
    # name, SMILES, formula, rings, standard atomic weight, logP of RDKit 2026.9 (Wildman and Crippen)
    ("aspirin", "CC(=O)Oc1ccccc1C(=O)O", "C9H8O4", 1, 180.159, 1.3101),
    ("paracetamol", "CC(=O)Nc1ccc(O)cc1", "C8H9NO2", 1, 151.165, 1.3506),
    ("ibuprofen", "CC(C)Cc1ccc(cc1)C(C)C(=O)O", "C13H18O2", 1, 206.285, 3.0732),
    ("caffeine", "Cn1cnc2c1c(=O)n(C)c(=O)n2C", "C8H10N4O2", 2, 194.194, -1.0293),
    ("penicillin G", "CC1(C)SC2C(NC(=O)Cc3ccccc3)C(=O)N2C1C(=O)O", "C16H18N2O4S", 3, 334.390, 0.8608),
    ("testosterone", "C[C@]12CC[C@H]3[C@H]([C@@H]1CC[C@@H]2O)CCC4=CC(=O)CC[C@]34C", "C19H28O2", 4, 288.431, 3.8792),
    ("diazepam", "CN1c2ccc(Cl)cc2C(=NCC1=O)c1ccccc1", "C16H13ClN2O", 3, 284.75, 3.1538),
    ("nicotine", "CN1CCC[C@H]1c1cccnc1", "C10H14N2", 2, 162.236, 1.8483),
    ("sildenafil", "CCCc1nn(C)c2c1nc([nH]c2=O)-c1cc(ccc1OCC)S(=O)(=O)N1CCN(C)CC1", "C22H30N6O4S", 4, 474.58, 1.6109),
    ("glycine zwitterion", "[NH3+]CC(=O)[O-]", "C2H5NO2", 0, 75.067, -3.0218),
]

_WEIGHTS = """
H 1.008 He 4.003 Li 6.941 Be 9.012 B 10.812 C 12.011 N 14.007 O 15.999 F 18.998 Ne 20.18 Na 22.99 Mg 24.305 Al
26.982 Si 28.086 P 30.974 S 32.067 Cl 35.453 Ar 39.948 K 39.098 Ca 40.078 Sc 44.956 Ti 47.867 V 50.944 Cr 51.996 Mn
54.938 Fe 55.845 Co 58.933 Ni 58.693 Cu 63.546 Zn 65.39 Ga 69.723 Ge 72.61 As 74.922 Se 78.96 Br 79.904 Kr 83.8 Rb
85.468 Sr 87.62 Y 88.906 Zr 91.224 Nb 92.906 Mo 95.94 Tc 98 Ru 101.07 Rh 102.906 Pd 106.42 Ag 107.868 Cd 112.412 In
114.818 Sn 118.711 Sb 121.76 Te 127.6 I 126.904 Xe 131.29 Cs 132.905 Ba 137.328 La 138.906 Ce 140.116 Pr 140.908 Nd
144.24 Pm 145 Sm 150.36 Eu 151.964 Gd 157.25 Tb 158.925 Dy 162.5 Ho 164.93 Er 167.26 Tm 168.934 Yb 173.04 Lu 174.967
Hf 178.49 Ta 180.948 W 183.84 Re 186.207 Os 190.23 Ir 192.217 Pt 195.078 Au 196.967 Hg 200.59 Tl 204.383 Pb 207.2 Bi
208.98 Po 209 At 210 Rn 222 Fr 223 Ra 226 Ac 227 Th 232.038 Pa 231.036 U 238.029 Np 237 Pu 244 Am 243 Cm 247 Bk 247
Cf 251 Es 252 Fm 257 Md 258 No 259 Lr 262 Rf 267 Db 268 Sg 269 Bh 270 Hs 269 Mt 278 Ds 281 Rg 281 Cn 285 Nh 284 Fl
289 Mc 288 Lv 293 Ts 292 Og 294
""".split()

RDKIT_WEIGHTS = dict(zip(_WEIGHTS[::2], map(float, _WEIGHTS[1::2]), strict=True))
"""Symbol -> weight in the periodic table of RDKit 2026.9."""

LONGEST_LIVED = {"Tc": 97, "Mt": 277, "Rg": 282, "Nh": 286, "Fl": 290, "Mc": 290, "Ts": 294}
"""Symbol -> mass number in the periodic table of IUPAC, 4 May 2022, where RDKit has another one."""


def read_zinc(data_dir):
    """The strings of the ZINC file, if it is there."""
    import pytest

    path = data_dir / "molecules" / "zinc250k.csv.gz"
    if not path.is_file():
        pytest.skip("needs zinc250k.csv.gz")
    with gzip.open(path, "rt") as file:
        return [row["smiles"] for row in csv.DictReader(file)]


def edited(smiles, rng):
    """The string with one or two of its tokens deleted, doubled elsewhere, replaced or exchanged."""
    tokens = split_smiles(smiles)
    for _ in range(rng.integers(1, 3)):
        i, j, edit = rng.integers(len(tokens)), rng.integers(len(tokens)), rng.integers(4)
        if edit == 0 and len(tokens) > 1:
            del tokens[i]
        elif edit == 1:
            tokens.insert(i, tokens[j])
        elif edit == 2:
            tokens[i] = tokens[j]
        else:
            tokens[i], tokens[j] = tokens[j], tokens[i]
    return "".join(tokens)
