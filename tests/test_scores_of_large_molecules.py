"""Scores and properties of molecules that are too large to be compared, or for their rings."""

import math

import numpy
import pytest

from scratchvae.chemistry import UNSEEN, TooLargeError, canonical_key, log_p, properties, read_smiles
from scratchvae.molecule_scores import LIMITS, score_strings

LARGE = "C" * 300


def prism(n):
    """Two rings of n atoms each, one above the other, n even: its squares and one polygon are smallest rings."""
    string = "C18C9"
    for i in range(1, n, 2):
        string += "C2C1" if i < n - 1 else "C9C18"
        string += "C1C2" if i < n - 1 else ""
    return string


def test_prisms():
    cube = read_smiles(prism(4))
    assert cube.formula == "C8H8" and cube.n_rings == 5
    assert canonical_key(cube) == canonical_key(read_smiles("C12C3C4C1C5C2C3C45"))


def test_properties_that_cannot_be_computed_are_nan():
    with pytest.raises(TooLargeError, match="at most 200 atoms in rings"):
        log_p(read_smiles(prism(110)))
    table = properties([prism(110), LARGE, "C(", "C"])
    assert numpy.isnan(table["logP"]).tolist() == [True, False, True, False]
    assert table["rings"].tolist()[:2] == [111, 0] and table["atoms"].tolist()[:2] == [220, 300]
    assert table["weight"][0] == pytest.approx(220 * 13.019)


def test_molecules_that_are_too_large_are_valid_and_counted():
    """Among six strings five are valid, of which two have no key; of the three others two are one molecule."""
    scores = score_strings([LARGE, prism(110), "CO", "OC", "CC", "C("], known=["CC", LARGE])
    assert (scores.n, scores.too_large) == (6, 2)
    assert (scores.valid, scores.distinct, scores.novel) == pytest.approx((5 / 6, 2 / 3, 1 / 2))
    words = "2 of these too large to be compared, of the others 66.7% distinct molecules, of these 50.0% not in"
    assert words in str(scores)


def test_where_no_string_has_a_key_the_words_have_no_nan():
    for strings, words in ((["C(", ")"], "none valid by read_smiles"), ([LARGE], "100.0% valid by read_smiles")):
        scores = score_strings(strings, known=["C"])
        assert math.isnan(scores.distinct) and math.isnan(scores.novel)
        assert str(scores).startswith(words) and "nan" not in str(scores)
        assert "distinct" not in scores.shares and str(scores).count(UNSEEN) == 1 and str(scores).endswith(f"{LIMITS}.")
