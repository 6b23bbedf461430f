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
