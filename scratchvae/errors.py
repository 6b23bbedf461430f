"""The package's one form of message: operation, expected, received, and a hint where one mistake is usual."""

from __future__ import annotations


class InputError(ValueError):
    """Something given by the caller does not fit.   "operation: expected ..., received ... (hint)"

    The command line prints the sentence and exits with status 2.
    """

    def __init__(self, operation: str, expected: str, received: str, hint: str = "") -> None:
        super().__init__(f"{operation}: expected {expected}, received {received}" + (f" ({hint})" if hint else ""))


class ShapeError(InputError):
    """An array has the wrong shape."""


class DeviceError(InputError):
    """An array lies on the wrong device, or the device that was asked for is not there."""


class DataError(InputError):
    """A file or a data set is missing, damaged, of another format, or holds values that a model cannot take."""
