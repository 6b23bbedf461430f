"""Molecules need no further library here: SMILES, validity, simple properties, canonical keys and 2-D coordinates."""

from scratchvae.chemistry.canonical import canonical_key
from scratchvae.chemistry.crippen import log_p
from scratchvae.chemistry.faults import SmilesError, TooLargeError
from scratchvae.chemistry.molecule import Atom, Bond, Molecule
from scratchvae.chemistry.properties import PROPERTIES, properties
from scratchvae.chemistry.smiles import UNSEEN, read_smiles, split_smiles, why_invalid

__all__ = [
    "PROPERTIES",
    "UNSEEN",
    "Atom",
    "Bond",
    "Molecule",
    "SmilesError",
    "TooLargeError",
    "canonical_key",
    "log_p",
    "properties",
    "read_smiles",
    "split_smiles",
    "why_invalid",
]
