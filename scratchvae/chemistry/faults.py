"""The exceptions of this file say what is wrong with a SMILES string, and where, or that a molecule is too large."""

from __future__ import annotations

from scratchvae.errors import DataError, InputError


class Fault(Exception):
    """Says what was expected at a position of the string, counted from 0, and what was found there."""

    def __init__(self, place: int, expected: str, received: str, hint: str = "") -> None:
        super().__init__(place, expected, received, hint)
        self.place, self.expected, self.received, self.hint = place, expected, received, hint


class SmilesError(DataError):
    """Is raised for a string that is not the SMILES of a molecule.

    Parameters
    ----------
    smiles : str
        The string.
    fault : Fault
        The first fault in it.

    Attributes
    ----------
    reason : str
        The fault, as "expected ..., received ... at character ...".
    place : int
        The position of the fault in the string, counted from 0.

    See Also
    --------
    read_smiles : Raises this error.
    why_invalid : Returns the reason without raising.

    Examples
    --------
    >>> from scratchvae.chemistry import SmilesError, read_smiles
    >>> try:
    ...     read_smiles("CC(C")
    ... except SmilesError as error:
    ...     print(error.reason)
    expected a ) for the ( at character 3, received the end at character 5
    """

    def __init__(self, smiles: str, fault: Fault) -> None:
        where = f"at character {fault.place + 1}"
        super().__init__(f"SMILES {smiles!r}", fault.expected, f"{fault.received} {where}", fault.hint)
        self.place = fault.place
        self.reason = f"expected {fault.expected}, received {fault.received} {where}"


class TooLargeError(InputError):
    """Is raised if a molecule is too large, or its rings are too entangled, for a computation.

    See Also
    --------
    canonical_key : Raises this error for more than 200 atoms.
    properties : Gives NaN instead.

    Examples
    --------
    >>> from scratchvae.chemistry import TooLargeError, canonical_key, read_smiles
    >>> try:
    ...     canonical_key(read_smiles("C" * 201))
    ... except TooLargeError as error:
    ...     print(error)
    canonical_key: expected a molecule of at most 200 atoms, received 201
    """
