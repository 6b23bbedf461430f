"""A set of molecules is described by a few numbers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy

from scratchvae.chemistry import split_smiles, why_invalid


def describe_molecules(smiles: Iterable[str]) -> dict[str, Any]:
    """Describes a set of SMILES: molecules, tokens, symbols, and the share of valid ones.

    molecules, tokens (on average), longest (in tokens), symbols (different tokens), and valid: the share that
    `read_smiles` accepts as molecules, by syntax, valences and aromatic rings. It detects neither strain, instability
    nor contradictory stereo marks: `scratchvae.chemistry.UNSEEN` is the sentence to print beside the share.
    """
    smiles = [str(each) for each in smiles]
    tokens = [split_smiles(each) for each in smiles]
    return {
        "molecules": len(smiles),
        "tokens": float(numpy.mean([len(each) for each in tokens])),
        "longest": max(len(each) for each in tokens),
        "symbols": len({token for each in tokens for token in each}),
        "valid": float(numpy.mean([why_invalid(each) is None for each in smiles])),
    }
