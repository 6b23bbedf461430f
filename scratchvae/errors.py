"""All error messages have one form: operation, expected, received, and a hint where one mistake is common."""

from __future__ import annotations

import sys
from numbers import Integral
from typing import Any

LONGEST = 2000
"""The most characters of a message; the middle of a longer one, which a file or a caller has made long, is left out."""


def one_line(sentence: str) -> str:
    """Returns the sentence with all other than printable characters escaped, and without its middle if it is long."""
    if len(sentence) > LONGEST:
        sentence = f"{sentence[: LONGEST // 2]} ... {sentence[5 - LONGEST // 2 :]}"
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in sentence)


def _handed_on(sentence: str, kind: type[InputError]) -> InputError:
    return kind.__new__(kind, sentence)


class InputError(ValueError):
    """Is raised for an argument that does not fit.   "operation: expected ..., received ... (hint)"

    The message is one line of printable characters; all others, such as those of a damaged file, are escaped. The
    command line prints the message and exits with status 2.

    Parameters
    ----------
    operation : str
        The function, class or option that raises it.
    expected, received : str
        A description of the right and of the wrong value.
    hint : str
        Advice for a common mistake, or nothing.

    See Also
    --------
    ShapeError, DeviceError, DataError : more special errors.

    Examples
    --------
    >>> from scratchvae.errors import InputError
    >>> print(InputError("VAE.mlp", "a latent_size of at least 1", "0"))
    VAE.mlp: expected a latent_size of at least 1, received 0
    """

    def __init__(self, operation: str, expected: str, received: str, hint: str = "") -> None:
        super().__init__(
            one_line(f"{operation}: expected {expected}, received {received}" + (f" ({hint})" if hint else ""))
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Returns the message and the nearest class that can be found by its name, so that the error can be pickled."""
        kinds = (kind for kind in type(self).__mro__ if vars(sys.modules[kind.__module__]).get(kind.__name__) is kind)
        return _handed_on, (str(self), next(kinds))


class ShapeError(InputError):
    """Is raised for an array with the wrong shape.

    See Also
    --------
    InputError : the form of the message.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> try:
    ...     sv.distributions.Normal(numpy.zeros((1, 2)), 0.0).log_prob(numpy.zeros((1, 3)))
    ... except ValueError as error:
    ...     print(error)
    Normal.log_prob: expected x of shape (..., 2), received (1, 3)
    """


class DeviceError(InputError):
    """Is raised for an array on the wrong device, and where the requested device is missing.

    See Also
    --------
    InputError : the form of the message.

    Examples
    --------
    >>> import scratchvae as sv
    >>> model = sv.VAE.mlp().to("gpu")  # doctest: +SKIP
    """


class DataError(InputError):
    """Is raised if a file or a data set is missing, damaged or in another format, or has values that a model refuses.

    See Also
    --------
    InputError : the form of the message.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> try:
    ...     history = sv.fit(sv.VAE.mlp(input_size=2), numpy.array([[0.5, 2.0]]), progress=False)
    ... except ValueError as error:
    ...     print(type(error).__name__, str(error).partition(" (")[0], sep=", ")
    DataError, data for a Bernoulli likelihood: expected values in [0, 1], received values from 0.5 to 2
    """


def whole_number(operation: str, name: str, value: Any, smallest: int = 1, largest: int | None = None) -> int:
    """Returns the value as an int if it is a whole number, Python's or NumPy's, from the smallest to the largest.

    Raises InputError for anything else, including truth values and floats such as 3.0.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < smallest or (largest is not None and value > largest):
        bounds = f"of at least {smallest}" if largest is None else f"from {smallest} to {largest}"
        raise InputError(operation, f"{name} {bounds}", repr(value))
    return int(value)
