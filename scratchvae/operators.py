"""Python's operators on Tensors, and the methods of arrays: a formula reads the same for arrays and Tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy

from scratchvae.backend import device_of, to_numpy

operations: Any = None
"""The room `scratchvae.ops`, which enters itself here when it is imported: the engine knows no floor above its own."""

PRINTED = 12
"""A Tensor of at most as many entries prints them."""

Self = TypeVar("Self", bound="Operators")


class Operators:
    """Operators is the part of a Tensor that looks like an array: x * y is `ops.multiply(x, y)`, and so on.

    Inside `no_grad()` these return plain arrays, as every operation does; their annotations describe the other case.

    See Also
    --------
    scratchvae.Tensor : the class that inherits these.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> x = sv.Tensor(numpy.array([1.0, 2.0]))
    >>> (x * x).data, x.shape
    (array([1., 4.]), (2,))
    """

    __slots__ = ()
    __array_ufunc__ = None  # NumPy leaves array * tensor to __rmul__
    __array_priority__ = 1000.0  # and so does CuPy
    __hash__ = object.__hash__  # of the node, not of its values
    _data: Any
    primitive: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self._data.shape

    @property
    def dtype(self) -> Any:
        """The type of the array's entries."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of entries."""
        return self._data.size

    @property
    def T(self: Self) -> Self:
        """The axes in reverse order."""
        return operations.transpose(self)

    def reshape(self: Self, *shape: Any) -> Self:
        """The entries in another shape: x.reshape(2, -1) or x.reshape((2, -1))."""
        return operations.reshape(self, shape[0] if len(shape) == 1 else shape)

    def sum(self: Self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Self:
        """The sum over axes, over all of them by default."""
        return operations.sum(self, axis=axis, keepdims=keepdims)

    def mean(self: Self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Self:
        """The mean over axes, over all of them by default."""
        return operations.mean(self, axis=axis, keepdims=keepdims)

    def __array__(self, *_: Any, **__: Any) -> None:
        raise TypeError("a Tensor is not converted silently: use sv.to_numpy(x), or compute inside sv.no_grad()")

    def __repr__(self) -> str:
        description = f"{self.primitive or 'leaf'}, shape={self.shape}, {self.dtype}, {device_of(self._data)}"
        if self.size > PRINTED:
            return f"Tensor({description})"
        values = numpy.array2string(to_numpy(self._data), precision=4, separator=", ")
        return f"Tensor({' '.join(values.split())}, {description})"

    def __float__(self) -> float:
        return float(self._data)

    def __bool__(self) -> bool:
        return bool(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self: Self) -> Iterator[Self]:
        if not self.shape:
            raise TypeError("iteration over a Tensor without axes")
        return (self[i] for i in range(len(self)))

    def __getitem__(self: Self, index: Any) -> Self:
        return operations.getitem(self, index)

    def __neg__(self: Self) -> Self:
        return operations.negative(self)

    def __abs__(self: Self) -> Self:
        return operations.abs(self)

    def __add__(self: Self, y: Any) -> Self:
        return operations.add(self, y)

    def __radd__(self: Self, x: Any) -> Self:
        return operations.add(x, self)

    def __sub__(self: Self, y: Any) -> Self:
        return operations.subtract(self, y)

    def __rsub__(self: Self, x: Any) -> Self:
        return operations.subtract(x, self)

    def __mul__(self: Self, y: Any) -> Self:
        return operations.multiply(self, y)

    def __rmul__(self: Self, x: Any) -> Self:
        return operations.multiply(x, self)

    def __truediv__(self: Self, y: Any) -> Self:
        return operations.divide(self, y)

    def __rtruediv__(self: Self, x: Any) -> Self:
        return operations.divide(x, self)

    def __pow__(self: Self, p: Any) -> Self:
        return operations.power(self, p)

    def __rpow__(self: Self, x: Any) -> Self:
        return operations.power(x, self)

    def __matmul__(self: Self, y: Any) -> Self:
        return operations.matmul(self, y)

    def __rmatmul__(self: Self, x: Any) -> Self:
        return operations.matmul(x, self)

    # A comparison is piecewise constant: it gives a plain array of truth values.

    def __lt__(self, y: Any) -> Any:
        return self._data < _array(y)

    def __le__(self, y: Any) -> Any:
        return self._data <= _array(y)

    def __gt__(self, y: Any) -> Any:
        return self._data > _array(y)

    def __ge__(self, y: Any) -> Any:
        return self._data >= _array(y)

    def __eq__(self, y: Any) -> Any:
        return self._data == _array(y)

    def __ne__(self, y: Any) -> Any:
        return self._data != _array(y)


def _array(x: Any) -> Any:
    return x._data if isinstance(x, Operators) else x


@to_numpy.register
def _(x: Operators) -> numpy.ndarray:
    return to_numpy(x._data)
