"""Shares of valid, distinct and new molecules, counted by hand; new are those that no known string spells."""

import math

import numpy
import pytest

import scratchvae as sv
from scratchvae.chemistry import canonical_key, read_smiles
from scratchvae.errors import InputError
from scratchvae.molecule_scores import key_or_none, keys_with_letters, letters_of_atoms, molecule_or_none, score_strings


def key_of(string):
    return key_or_none(molecule_or_none(string))


def test_shares_by_hand():
    """Seven strings: five valid ones, three molecules, of which the known strings spell ethanol otherwise."""
    strings = ["CCO", "OCC", "c1ccccc1", "C1=CC=CC=C1", "CN", "C(C", "C=C=C=C=C1"]
    scores = score_strings(strings, ["C(O)C", "CCCC"])
    assert (scores.n, scores.valid, scores.distinct, scores.novel) == (7, 5 / 7, 3 / 5, 2 / 3)
    text = "71.4% valid by read_smiles"
    assert str(scores).startswith(text)
    assert scores.shares.endswith("of these 60.0% distinct molecules, of these 66.7% not in the training part")
    assert score_strings(strings).novel is None and "training" not in score_strings(strings).shares


def test_no_valid_string_has_no_shares():
    scores = score_strings(["C(C", ""], ["C"])
    assert scores.valid == 0 and math.isnan(scores.distinct) and math.isnan(scores.novel)
    assert "nan" not in scores.shares and str(scores).startswith("none valid")
    with pytest.raises(InputError, match="score_strings: expected at least one string, received none"):
        score_strings([])


def test_what_rdkit_reads_is_counted_where_it_is_installed():
    chem = pytest.importorskip("rdkit.Chem")
    strings = [*sv.data.draw_molecules(50, seed=2), "C(C", "CC(C)(C)(C)C"]
    scores = score_strings(strings)
    assert scores.valid == 50 / 52 == sum(chem.MolFromSmiles(each) is not None for each in strings) / 52
    assert scores.valid_by_rdkit == 50 / 52 and "(96.2% by RDKit, which agrees on 100.0%)" in str(scores)


SPELLINGS = (
    ("CCO", "OCC", "C(O)C", "[CH3]CO"),
    ("c1ccccc1C", "CC1=CC=CC=C1", "C1=CC=C(C)C=C1", "Cc1ccccc1"),
    ("Clc1cc[nH]c1", "c1c[nH]cc1Cl", "ClC1=CNC=C1"),
    ("[13CH3]Br", "Br[13CH3]"),
    ("[NH3+]CC([O-])=O", "[O-]C(=O)C[NH3+]"),
    ("C[Se]C", "[CH3][Se]C"),
    ("[H]OC", "CO"),
)


@pytest.mark.parametrize("spellings", SPELLINGS, ids=lambda spellings: spellings[0])
def test_all_spellings_have_one_composition(spellings):
    assert len({letters_of_atoms(each) for each in spellings}) == 1


def test_a_known_molecule_in_another_spelling_is_not_new():
    first, others = [each[0] for each in SPELLINGS[:3]], [each[-1] for each in SPELLINGS[:3]]
    assert score_strings(first, others).novel == 0
    assert score_strings(first, [*others[:2], "CCCC"]).novel == pytest.approx(1 / 3)


def test_the_composition_loses_no_known_molecule():
    """keys_with_letters leaves out what cannot be the same molecule, and nothing else: as all keys would have it."""
    known, strings = sv.data.draw_molecules(400, seed=1), sv.data.draw_molecules(100, seed=4)
    strings += known[:40]
    rng = numpy.random.default_rng(0)
    keys = [canonical_key(read_smiles(each)) for each in known]
    assert score_strings(strings, known).novel == len(set(map(key_of, strings)) - set(keys)) / len(
        set(map(key_of, strings))
    )
    for k in rng.choice(len(known), 60, replace=False):
        assert keys_with_letters(known, {letters_of_atoms(known[k])}) >= {keys[k]}
    same = {}
    for each, key in zip([*known, *strings], map(key_of, [*known, *strings]), strict=True):
        assert same.setdefault(key, letters_of_atoms(each)) == letters_of_atoms(each)
