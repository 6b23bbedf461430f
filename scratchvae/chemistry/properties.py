"""A molecule's graph determines these properties."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy

from scratchvae.chemistry.crippen import log_p
from scratchvae.chemistry.faults import SmilesError, TooLargeError
from scratchvae.chemistry.molecule import Molecule
from scratchvae.chemistry.smiles import read_smiles
from scratchvae.errors import InputError

PROPERTIES: dict[str, Callable[[Molecule], float]] = {
    "logP": log_p,
    "weight": lambda molecule: molecule.weight,
    "rings": lambda molecule: molecule.n_rings,
    "atoms": lambda molecule: molecule.n_atoms,
}
"""Name -> function of a molecule: logP by Wildman and Crippen, mass in daltons, numbers of rings and of heavy atoms."""


def properties(smiles: Iterable[str], names: Iterable[str] = (*PROPERTIES,)) -> dict[str, numpy.ndarray]:
    """Returns each property of each string, float64 (N,) by name, NaN for strings that are no molecule.

    A property is NaN, too, for a molecule that is too large for it: logP for more than 200 atoms in entangled rings.

    >>> properties(["CCO", "C(C"], ["weight"])["weight"]
    array([46.069,    nan])

    Raises InputError for a name that is not among PROPERTIES.
    """
    names = tuple(names)
    for name in names:
        if name not in PROPERTIES:
            raise InputError("properties", f"names among {', '.join(PROPERTIES)}", repr(name))
    rows = [_row(each, names) for each in smiles]
    return {name: numpy.array([row[k] for row in rows], dtype=numpy.float64) for k, name in enumerate(names)}


def _row(smiles: str, names: tuple[str, ...]) -> list[float]:
    try:
        molecule = read_smiles(smiles)
    except SmilesError:
        return [math.nan] * len(names)
    return [_value(molecule, name) for name in names]


def _value(molecule: Molecule, name: str) -> float:
    try:
        return PROPERTIES[name](molecule)
    except TooLargeError:
        return math.nan
