"""Strings as integers and back."""

import time
from types import SimpleNamespace

import numpy
import pytest

import scratchvae as sv
from scratchvae.alphabet import split_smiles, strings_of
from scratchvae.errors import DataError, InputError

MOLECULES = ["CC(Cl)Br", "C[N+](C)(C)CC%10CC%10", "[13CH4]", "N#Cc1ccc[nH]1", "F/C=C\\F.[Na+]"]
SYMBOLS = {
    "CC(Cl)Br": ["C", "C", "(", "Cl", ")", "Br"],
    "BrC%12%1": ["Br", "C", "%12", "%", "1"],
    "[C@@H](B)C": ["[C@@H]", "(", "B", ")", "C"],
    "ClccCs1B": ["Cl", "c", "c", "C", "s", "1", "B"],
    "C[N": ["C", "[", "N"],
    "[[N]]": ["[", "[N]", "]"],
    "C\n": ["C", "\n"],
    "[C][Branch1][=N]": ["[C]", "[Branch1]", "[=N]"],
    "": [],
}


@pytest.mark.parametrize("string", SYMBOLS)
def test_a_string_is_split_into_the_symbols_of_smiles(string):
    assert split_smiles(string) == SYMBOLS[string]


def test_strings_become_integers_and_strings_again():
    alphabet = sv.Alphabet.of(MOLECULES)
    tokens = alphabet.encode(MOLECULES)
    assert tokens.dtype == numpy.uint8 and tokens.shape == (5, 1 + max(map(len, map(split_smiles, MOLECULES))))
    lengths = [len(split_smiles(string)) for string in MOLECULES]
    assert (tokens > 0).sum(axis=1).tolist() == lengths and (tokens == 0).argmax(axis=1).tolist() == lengths
    assert tokens.max() == len(alphabet) and sorted(alphabet.symbols) == list(alphabet.symbols)
    assert alphabet.decode(tokens) == MOLECULES
    assert [alphabet.symbols[k - 1] for k in tokens[0, :6]] == SYMBOLS["CC(Cl)Br"]


def test_decoding_ends_at_the_first_zero():
    alphabet = sv.Alphabet(["C", "Cl"])
    assert alphabet.decode(numpy.array([[2, 1, 0, 2], [0, 1, 1, 1], [1, 2, 1, 2]])) == ["ClC", "", "CClCCl"]


def test_more_symbols_than_a_byte_has_values_take_two_bytes():
    symbols = [f"[{i}]" for i in range(300)]
    alphabet, string = sv.Alphabet(symbols), "[299][0][256]"
    assert alphabet.encode([string]).dtype == numpy.uint16
    assert alphabet.encode([string]).tolist() == [[300, 1, 257, 0]] and alphabet.decode([[300, 1, 257, 0]]) == [string]


def test_rare_symbols_are_left_out_and_named():
    alphabet = sv.Alphabet.of(["CCO", "CO", "CBr"], fewest=2)
    assert alphabet.symbols == ("C", "O")
    assert alphabet.unknown("CBrO") == "Br" and alphabet.unknown("COC") is None
    with pytest.raises(DataError, match="a symbol that occurs 4 times, received none"):
        sv.Alphabet.of(["CCO", "CO"], fewest=4)


def test_any_function_may_split():
    alphabet = sv.Alphabet.of(["Cl", "CC"], split=list)
    assert alphabet.symbols == ("C", "l") and alphabet.encode(["lC"]).tolist() == [[2, 1, 0]]


REFUSED = {
    "an unknown symbol": (["C", "CBr"], r"expected the 2 symbols C Cl, received 'Br' in row 1, 'CBr'$"),
    "an empty string": (["C", "C", ""], "1 to 3 symbols in each, received 0 in row 2, ''"),
    "one that is too long": (["CClC", "CClClC"], "1 to 3 symbols in each, received 4 in row 1, 'CClClC'"),
    "a number": (["C", 7], "expected strings, received int 7 in row 1"),
    "NaN": (["C", numpy.nan], "expected strings, received float nan in row 1"),
    "None": ([None, "C"], "expected strings, received NoneType None in row 0"),
    "one string": ("CC", r"a list of strings, received one string, 'CC' \(\[x\]\)"),
    "nothing": ([], "at least one, received none"),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_what_cannot_be_encoded_is_refused_with_its_row(mistake):
    strings, sentence = REFUSED[mistake]
    with pytest.raises(DataError, match=sentence) as error:
        sv.Alphabet(["C", "Cl"]).encode(strings, longest=3)
    assert "\n" not in str(error.value)


def test_what_is_quoted_is_cut():
    with pytest.raises(DataError) as error:
        sv.Alphabet([f"[{i}]" for i in range(50)]).encode(["X" * 10_000])
    assert len(str(error.value)) < 250 and "[11] ..." in str(error.value)


@pytest.mark.parametrize(
    ("tokens", "sentence"),
    [
        ([[1, 3]], "integers from 0 to 2, received 1 to 3"),
        ([[-1, 0]], "integers from 0 to 2, received -1 to 0"),
        ([[1.0, 0.0]], r"integers of shape \(N, T\), received float64, shape \(1, 2\)"),
        ([1, 0], r"integers of shape \(N, T\), received int64, shape \(2,\)"),
    ],
)
def test_what_stands_for_no_symbol_is_not_decoded(tokens, sentence):
    with pytest.raises(DataError, match=sentence):
        sv.Alphabet(["C", "Cl"]).decode(tokens)


@pytest.mark.parametrize(
    ("symbols", "sentence"),
    [
        ([], "symbols, strings that are not empty"),
        (["C", ""], "symbols, strings that are not empty"),
        (["C", 1], "symbols, strings that are not empty"),
        (["C", "O", "C"], "symbols that differ, received 'C' twice"),
        ("CO", r"a list of symbols, received 'CO' \(Alphabet.of\(x\) finds those of data\)"),
        ({"C", "O"}, "a list of symbols"),
        (7, "a list of symbols, received 7"),
    ],
)
def test_what_is_no_alphabet_is_refused(symbols, sentence):
    with pytest.raises(InputError, match=sentence):
        sv.Alphabet(symbols)
    with pytest.raises(InputError, match=sentence):
        sv.MoleculeVAE.gru(symbols)


def test_it_prints_as_it_is_made():
    assert repr(sv.Alphabet(("C", "Cl"))) == "Alphabet(['C', 'Cl'])"
    assert "split=<class 'list'>" in repr(sv.Alphabet(["C"], list))


def test_an_alphabet_is_not_taken_from_one_string():
    with pytest.raises(DataError, match="a list of strings, received one string, 'CCO'"):
        sv.Alphabet.of("CCO")


def test_brackets_that_never_close_take_no_time_to_speak_of():
    """The square of 200,000 would be a minute."""
    started = time.perf_counter()
    for string in ("[" * 200_000, "[C" * 100_000, "[" + "C" * 200_000):
        assert "".join(split_smiles(string)) == string
    assert time.perf_counter() - started < 5


def test_strings_are_found_in_what_holds_them():
    class Series:  # what pandas has
        def __init__(self, values):
            self.dtype, self.shape, self.values = SimpleNamespace(kind="O"), (len(values),), values

        def tolist(self):
            return list(self.values)

    strings = ["C", "O"]
    for x in (strings, tuple(strings), numpy.array(strings), numpy.array(strings, dtype=object), Series(strings)):
        assert strings_of(x) == strings
    for x in ([[1, 0]], numpy.array([[1, 0]]), numpy.array([strings]), Series([1, 2]), [], 5):
        assert strings_of(x) is None


def test_a_bound_of_no_symbols_is_refused():
    """0 is no bound that a string can keep, and not the same as none."""
    with pytest.raises(InputError, match="Alphabet.encode: expected longest of at least 1, received 0"):
        sv.Alphabet(["C"]).encode(["C"], longest=0)
    assert sv.Alphabet(["C"]).encode(["CCC"], longest=None).shape == (1, 4)
