"""What is wrong with a SMILES string, and where; and which molecules are too large for a computation."""

from __future__ import annotations

from scratchvae.errors import DataError, InputError


class Fault(Exception):
    """What was expected at a place of the string, from 0, and what stands there."""

    def __init__(self, place: int, expected: str, received: str, hint: str = "") -> None:
        super().__init__(place, expected, received, hint)
        self.place, self.expected, self.received, self.hint = place, expected, received, hint


class SmilesError(DataError):
    """A string is no SMILES of a molecule: `reason` says what is wrong, and `place` where, counted from 0."""

    def __init__(self, smiles: str, fault: Fault) -> None:
        where = f"at character {fault.place + 1}"
        super().__init__(f"SMILES {smiles!r}", fault.expected, f"{fault.received} {where}", fault.hint)
        self.place = fault.place
        self.reason = f"expected {fault.expected}, received {fault.received} {where}"


class TooLargeError(InputError):
    """A molecule is too large, or its rings are too entangled, for what was asked about it."""
