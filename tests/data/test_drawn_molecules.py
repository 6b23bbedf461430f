"""Drawn molecules: valid, distinct, the same for a seed, with everything in them that is promised."""

import numpy
import pytest

import scratchvae as sv
from scratchvae.chemistry import canonical_key, log_p, read_smiles, split_smiles, why_invalid
from scratchvae.data.drawn_molecules import FRAGMENTS, LARGEST, SMALLEST, STARTS, _compiled, _Molecule
from scratchvae.errors import InputError

N = 2000


@pytest.fixture(scope="module")
def drawn():
    return sv.data.draw_molecules(N)


def test_all_are_valid_and_of_the_promised_sizes(drawn):
    molecules = [read_smiles(smiles) for smiles in drawn]
    sizes = [molecule.n_atoms for molecule in molecules]
    assert min(sizes) == SMALLEST and 24 <= max(sizes) <= LARGEST and 14 < numpy.mean(sizes) < 20
    assert all(len(molecule.fragments) == 1 for molecule in molecules)
    assert 1.5 < numpy.mean([molecule.n_rings for molecule in molecules]) < 3
    assert max(len(split_smiles(smiles)) for smiles in drawn) <= 60


def test_they_are_distinct_strings_and_nearly_all_distinct_molecules(drawn):
    assert len(drawn) == len(set(drawn)) == N
    assert len({canonical_key(read_smiles(smiles)) for smiles in drawn}) >= 0.97 * N


def test_charges_brackets_and_stereochemistry_occur(drawn):
    tokens = [split_smiles(smiles) for smiles in drawn]
    share = {token: numpy.mean([token in each for each in tokens]) for token in {t for each in tokens for t in each}}
    for token in ("[C@H]", "[C@@H]", "/", "[NH+]", "[NH3+]", "[O-]", "[nH]", "[N+]", "Cl", "Br", "#", "3"):
        assert share[token] > 0.005, token
    assert 0.25 < len([s for s in drawn if "@" in s]) / N < 0.6
    left, right = (sum(smiles.count(mark) for smiles in drawn) for mark in ("[C@H]", "[C@@H]"))
    assert abs(left - right) < 4 * (left + right) ** 0.5


def test_no_bond_that_chemists_would_not_expect(drawn):
    """Outside of aromatic rings no N-N, O-O or N-halogen, and no carbon with two amines."""
    for smiles in drawn:
        molecule = read_smiles(smiles)
        for bond in molecule.bonds:
            pair = {molecule.atoms[bond.i].element, molecule.atoms[bond.j].element}
            aromatic = molecule.atoms[bond.i].aromatic or molecule.atoms[bond.j].aromatic
            oxide = any(molecule.atoms[k].charge for k in (bond.i, bond.j))
            single = bond.order == 1 and not aromatic and not oxide
            assert not (single and pair <= {"N", "O", "F", "Cl", "Br", "I"}) or pair == {"N", "O"}, smiles
            assert not (single and pair in ({"N"}, {"O"})), smiles
        for atom, around in zip(molecule.atoms, molecule.neighbours, strict=True):
            saturated = atom.element == "C" and all(bond.order == 1 for _, bond in around)
            assert not saturated or sum(molecule.atoms[other].element == "N" for other, _ in around) < 2, smiles


def test_a_seed_and_a_smaller_number_give_the_same(drawn):
    assert sv.data.draw_molecules(100) == drawn[:100]
    assert sv.data.draw_molecules(100, seed=1) != drawn[:100]
    assert drawn[0] == "O=C(Nc1cccc(C(=O)[O-])c1)NC(C)C"  # another one would make runs irreproducible


def test_a_molecule_ends_where_its_random_numbers_do():
    for number in (0.0, 0.3, 0.999999):
        for length in (3, 5, 9):
            assert why_invalid(_Molecule([number] * length).smiles) is None


@pytest.mark.parametrize("kind", ["start", *FRAGMENTS])
def test_every_fragment_is_used(kind, drawn):
    """Each fragment has a weight above 0 and as many atoms as its SMILES, with hydrogen in its slots."""
    for parts, size, weight in _compiled(kind):
        text = "".join(str(part) for part in parts if not isinstance(part, tuple))
        assert weight > 0 and text.count("(") == text.count(")")
        assert size == sum(token[0].isalpha() or token[0] == "[" for token in split_smiles(text))
    assert len(STARTS.split()) > 50


@pytest.mark.parametrize("n", [0, -1, 2.5, "3", True])
def test_n_is_a_whole_number(n):
    with pytest.raises(InputError, match="draw_molecules: expected a number n of at least 1, received"):
        sv.data.draw_molecules(n)


def test_the_data_set(drawn, monkeypatch):
    monkeypatch.setitem(
        sv.data.DATASETS, "drawn-molecules", lambda data_dir, seed: sv.data.draw_molecule_set(220, seed).cut(200)
    )
    train, validation, test = sv.data.load("drawn-molecules", validation=0.1)
    assert [len(part) for part in (train, validation, test)] == [180, 20, 20]
    assert test.name_of_rows == "molecules" and set(test.molecules) & set(drawn[:110])
    assert sorted([*train.molecules, *validation.molecules, *test.molecules]) == sorted(drawn[:220])
    assert list(sv.data.load("drawn-molecules", properties=["rings"])[1].properties) == ["rings"]
    with pytest.raises(InputError, match="properties of the molecules: expected properties among logP, weight, rings"):
        sv.data.load("drawn-molecules", properties=["qed"])
    with pytest.raises(InputError, match="load: expected a column of a .csv file of yours, received the data set"):
        sv.data.load("drawn-molecules", column="smiles")
    for part in (train, validation, test):
        assert part.molecules.dtype.kind == "U" and part.observations is part.molecules
        assert list(part.properties) == ["logP", "weight", "rings"]
        for row in (0, len(part) - 1):
            molecule = read_smiles(str(part.molecules[row]))
            assert part.properties["logP"][row] == pytest.approx(log_p(molecule))
            assert part.properties["weight"][row] == pytest.approx(molecule.weight)
            assert part.properties["rings"][row] == molecule.n_rings
    assert not set(train.molecules) & set(validation.molecules) and not set(train.molecules) & set(test.molecules)


def test_what_is_said_of_them(drawn):
    facts = sv.data.describe_molecules([*drawn[:99], "C(C"])
    assert facts["molecules"] == 100 and facts["valid"] == 0.99
    assert facts["longest"] == max(len(split_smiles(smiles)) for smiles in drawn[:99])


@pytest.mark.slow
def test_rdkit_takes_all_of_them_for_molecules():
    chem = pytest.importorskip("rdkit.Chem")
    pytest.importorskip("rdkit.RDLogger").DisableLog("rdApp.*")
    drawn = sv.data.draw_molecules(20_000, seed=5)
    assert all(chem.MolFromSmiles(smiles) is not None for smiles in drawn)
    assert len({chem.MolToSmiles(chem.MolFromSmiles(smiles)) for smiles in drawn}) >= 0.95 * len(drawn)
