"""Scores of generated strings: the shares that are valid, distinct and novel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec

from scratchvae.chemistry import (
    UNSEEN,
    Molecule,
    SmilesError,
    TooLargeError,
    canonical_key,
    read_smiles,
    split_smiles,
)
from scratchvae.errors import InputError

LIMITS = f"{UNSEEN}; molecules that differ in stereochemistry alone count as one"
"""What the shares do not say."""


@dataclass(frozen=True)
class StringScores:
    """The shares of n strings that are valid, of these the distinct molecules, and of these the novel ones.

    `LIMITS` says what these shares leave open. The parameters are attributes too.

    Parameters
    ----------
    n : int
        The number of strings.
    valid : float
        The share of strings that `read_smiles` accepts as molecules: by syntax, valences and aromatic rings.
    valid_by_rdkit : float or None
        The share that RDKit reads; None where it is not installed.
    distinct : float
        The number of different canonical keys, divided by the number of valid strings that have a key; NaN if none has.
    novel : float or None
        The share of those keys that no known molecule has, NaN without a key; None where no molecules are known.
    agreement : float or None
        The share of strings on which RDKit and `read_smiles` agree; None where RDKit is not installed.
    too_large : int
        The number of valid strings without a key, because `canonical_key` takes no molecule of more than 200 atoms.

    See Also
    --------
    scratchvae.MoleculeVAE : a model that writes such strings.

    Examples
    --------
    >>> from scratchvae.molecule_scores import score_strings
    >>> scores = score_strings(["CCO", "OCC", "C(", "CN"], known=["CN"])
    >>> scores.valid, round(scores.distinct, 4), scores.novel
    (0.75, 0.6667, 0.5)
    """

    n: int
    valid: float
    valid_by_rdkit: float | None
    distinct: float
    novel: float | None
    agreement: float | None = None
    too_large: int = 0

    def __str__(self) -> str:
        return f"{self.shares}. {LIMITS}."

    @property
    def shares(self) -> str:
        """The shares in words, without what they do not say."""
        text = f"{self.valid:.1%} valid by read_smiles" if self.valid else "none valid by read_smiles"
        if self.valid_by_rdkit is not None:
            text += f" ({self.valid_by_rdkit:.1%} by RDKit, which agrees on {self.agreement:.1%})"
        if self.too_large:
            text += f", {self.too_large:,} of these too large to be compared"
        if self.distinct == self.distinct:
            text += f", of {'the others' if self.too_large else 'these'} {self.distinct:.1%} distinct molecules"
            text += "" if self.novel is None else f", of these {self.novel:.1%} not in the training part"
        return text


def score_strings(strings: Sequence[str], known: Iterable[str] | None = None) -> StringScores:
    """Scores of strings; `known` are those of molecules that are not new. Raises InputError for no strings."""
    if not len(strings):
        raise InputError("score_strings", "at least one string", "none")
    molecules = [molecule_or_none(string) for string in strings]
    valid = [(molecule, string) for molecule, string in zip(molecules, strings, strict=True) if molecule is not None]
    keys = [(key_or_none(molecule), string) for molecule, string in valid]
    found = {key: string for key, string in keys if key is not None}
    n_compared = sum(key is not None for key, _ in keys)
    novel = None
    if known is not None:
        old = keys_with_letters(known, set(map(letters_of_atoms, found.values())))
        novel = sum(key not in old for key in found) / len(found) if found else float("nan")
    verdicts = read_by_rdkit(strings)
    agreed = None if verdicts is None else [a == (b is not None) for a, b in zip(verdicts, molecules, strict=True)]
    return StringScores(
        len(strings),
        len(valid) / len(strings),
        None if verdicts is None else sum(verdicts) / len(strings),
        len(found) / n_compared if n_compared else float("nan"),
        novel,
        None if agreed is None else sum(agreed) / len(strings),
        len(valid) - n_compared,
    )


def molecule_or_none(string: str) -> Molecule | None:
    """Returns the molecule that a string describes, or None if it describes none."""
    try:
        return read_smiles(string)
    except SmilesError:
        return None


def key_or_none(molecule: Molecule) -> str | None:
    """Returns the canonical key of a molecule, or None for a molecule that is too large."""
    try:
        return canonical_key(molecule)
    except TooLargeError:
        return None


def keys_with_letters(strings: Iterable[str], letters: set[tuple[str, ...]]) -> set[str | None]:
    """Returns the keys of those molecules whose letters of atoms are among these: no other can be the same molecule."""
    alike = (molecule_or_none(string) for string in strings if letters_of_atoms(string) in letters)
    return {key_or_none(molecule) for molecule in alike if molecule is not None}


def letters_of_atoms(string: str) -> tuple[str, ...]:
    """The first letters of a string's atoms other than hydrogen, sorted: all strings of a molecule have the same."""
    return tuple(sorted(filter(None, map(_letter, split_smiles(string)))))


@cache
def _letter(symbol: str) -> str:
    """C for an atom C, c, [13CH3] or [Ca], H for [H] and its like excepted; "" for what is no atom."""
    letter = symbol.strip("[]").lstrip("0123456789")[:1].upper()
    return letter if letter.isalpha() and letter != "H" else ""


def read_by_rdkit(strings: Sequence[str]) -> list[bool] | None:
    """Returns whether RDKit reads each string as a molecule, with its log silenced; None where it is not installed."""
    if find_spec("rdkit") is None:
        return None
    read: Callable[[str], object] = import_module("rdkit.Chem").MolFromSmiles
    with import_module("rdkit.rdBase").BlockLogs():
        return [read(string) is not None for string in strings]
