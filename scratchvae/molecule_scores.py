"""What strings are worth that a model has written: valid, different, new."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec

from scratchvae.chemistry import SmilesError, canonical_key, read_smiles, split_smiles
from scratchvae.errors import InputError


@dataclass(frozen=True)
class StringScores:
    """Shares of n strings: valid ones; of these the molecules that differ; of these the ones that are new.

    Parameters
    ----------
    n : int
    valid : float
        By the package's own reader, see `scratchvae.chemistry`: syntax, valences and aromatic rings.
    valid_by_rdkit : float or None
        The share that RDKit reads; None where it is not installed.
    distinct : float
        Different canonical keys among the valid strings, divided by their number; NaN without a valid one.
    novel : float or None
        The share of those keys that no known molecule has; None where no molecules are known.
    agreement : float or None
        The share of strings on which RDKit and the package's reader agree; None where it is not installed.
    """

    n: int
    valid: float
    valid_by_rdkit: float | None
    distinct: float
    novel: float | None
    agreement: float | None = None

    def __str__(self) -> str:
        text = f"{self.valid:.1%} valid by syntax, valences and aromatic rings"
        text += (
            ""
            if self.valid_by_rdkit is None
            else f" ({self.valid_by_rdkit:.1%} by RDKit, which agrees on {self.agreement:.1%})"
        )
        if self.valid == 0:
            return text
        text += f", of these {self.distinct:.1%} distinct molecules"
        return text + ("" if self.novel is None else f", of these {self.novel:.1%} not in the training part")


def score_strings(strings: Sequence[str], known: Iterable[str] | None = None) -> StringScores:
    """Scores of strings; `known` are those of molecules that are not new. Raises InputError for no strings."""
    if not len(strings):
        raise InputError("score_strings", "at least one string", "none")
    keys = [key_or_none(string) for string in strings]
    found = {key: string for key, string in zip(keys, strings, strict=True) if key is not None}
    n_valid = sum(key is not None for key in keys)
    novel = None
    if known is not None:
        old = keys_among(known, set(map(composition, found.values())))
        novel = sum(key not in old for key in found) / len(found) if found else float("nan")
    verdicts = read_by_rdkit(strings)
    agreed = None if verdicts is None else [a == (b is not None) for a, b in zip(verdicts, keys, strict=True)]
    return StringScores(
        len(strings),
        n_valid / len(strings),
        None if verdicts is None else sum(verdicts) / len(strings),
        len(found) / n_valid if n_valid else float("nan"),
        novel,
        None if agreed is None else sum(agreed) / len(strings),
    )


def key_or_none(string: str) -> str | None:
    """The canonical key of a molecule, None for a string that is none."""
    try:
        return canonical_key(read_smiles(string))
    except SmilesError:
        return None


def keys_among(strings: Iterable[str], compositions: set[tuple[str, ...]]) -> set[str | None]:
    """The keys of those molecules that consist of the same heavy atoms as one of the compositions."""
    return {key_or_none(string) for string in strings if composition(string) in compositions}


def composition(string: str) -> tuple[str, ...]:
    """The first letters of a string's atoms other than hydrogen, sorted: all strings of a molecule have the same."""
    return tuple(sorted(filter(None, map(_letter, split_smiles(string)))))


@cache
def _letter(symbol: str) -> str:
    """C for an atom C, c, [13CH3] or [Ca], H for [H] and its like excepted; "" for what is no atom."""
    letter = symbol.strip("[]").lstrip("0123456789")[:1].upper()
    return letter if letter.isalpha() and letter != "H" else ""


def read_by_rdkit(strings: Sequence[str]) -> list[bool] | None:
    """Whether RDKit takes each string for a molecule; None where it is not installed."""
    if find_spec("rdkit") is None:
        return None
    chem, logger = import_module("rdkit.Chem"), import_module("rdkit.RDLogger")
    logger.DisableLog("rdApp.*")
    read: Callable[[str], object] = chem.MolFromSmiles
    return [read(string) is not None for string in strings]
