"""Tensor: an array, what computed it, and Python's operators: a formula reads the same for arrays and Tensors."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, ClassVar

import numpy

from scratchvae.arrays import as_floats
from scratchvae.backend import device_of, to_numpy
from scratchvae.errors import InputError

Array = Any  # numpy.ndarray or cupy.ndarray
births = count()

operations: Any = None
"""The room `scratchvae.ops`, which enters itself here when it is imported: a Tensor knows no floor above its own."""

PRINTED = 12
"""A Tensor of at most as many entries prints them."""


class Tensor:
    """A Tensor is an array to differentiate by, or one computed from such: a node of the graph.

    A leaf is made by Tensor(array), a result by a primitive. Links go from younger to older nodes only, so there are no
    cycles, and an activation dies with the last result that needs it. A leaf can be copied and pickled. Where it has
    changed in place since, by an optimizer's step, `load_state` or `x.data *= 2`, `grad` refuses the older result; a
    write to entries, as by `x.data[0] = 1`, or to an array that serves as a constant, remains unseen.

    Operators are operations: x * y is `ops.multiply(x, y)`, and so on. Inside `no_grad()` they return plain arrays, as
    every operation does; their annotations describe the other case.

    Parameters
    ----------
    data : array
        Floating-point numbers, which the Tensor aliases.

    Attributes
    ----------
    data : array
        The values.
    primitive : Primitive or None
        The operation that computed them; None for a leaf.
    arguments : tuple
        The positional arguments of that operation: Tensors, arrays and constants.
    arrays : tuple
        The values of the arguments.
    options : dict
        The arguments by name, such as an axis.
    birth, last_write : int
        When the node was made, and when the array of a leaf was last assigned to, counted over all nodes.

    See Also
    --------
    grad : the derivatives of a scalar Tensor.
    no_grad : computes without leaving nodes.
    to_numpy : the values as a NumPy array.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> x = sv.Tensor(numpy.array([1.0, 2.0]))
    >>> x * x, x.shape
    (Tensor([1., 4.], multiply, shape=(2,), float64, cpu), (2,))
    >>> sv.grad((x * x).sum(), [x])
    [array([2., 4.])]
    """

    __slots__ = ("_data", "primitive", "arguments", "arrays", "options", "birth", "last_write", "__weakref__")
    __array_ufunc__ = None  # NumPy leaves array * tensor to __rmul__
    __array_priority__ = 1000.0  # and so does CuPy
    __hash__ = object.__hash__  # of the node, not of its values
    latest_write: ClassVar[int] = -1  # in any leaf
    _data: Array
    primitive: Any

    def __init__(self, data: Array) -> None:
        if isinstance(data, Tensor):
            raise InputError("Tensor", "an array", "a Tensor", "x.data is its array")
        data = as_floats("Tensor", data)
        self._data, self.primitive, self.arguments, self.arrays, self.options = data, None, (), (), {}
        self.birth = self.last_write = next(births)

    @property
    def data(self) -> Array:
        """The array. Assigned to a leaf, the array it has already counts as changed in place."""
        return self._data

    @data.setter
    def data(self, array: Array) -> None:
        if self.primitive:
            raise InputError("Tensor.data", "a leaf to change", f"the result of {self.primitive}")
        if array is self._data:
            self.last_write = Tensor.latest_write = next(births)
        self._data = array

    def __reduce__(self) -> tuple[type[Tensor], tuple[Array]]:
        if self.primitive:
            raise InputError("copy of a Tensor", "a leaf", f"the result of {self.primitive}", "sv.to_numpy(x) copies")
        return Tensor, (self._data,)  # born anew: births of another process say nothing here

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
    def T(self) -> Tensor:
        """The axes in reverse order."""
        return operations.transpose(self)

    def reshape(self, *shape: Any) -> Tensor:
        """Returns the entries in another shape: x.reshape(2, -1) or x.reshape((2, -1))."""
        return operations.reshape(self, shape[0] if len(shape) == 1 else shape)

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        """Returns the sum over axes, over all of them by default."""
        return operations.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Tensor:
        """Returns the mean over axes, over all of them by default."""
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

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("iteration over a Tensor without axes")
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: Any) -> Tensor:
        return operations.getitem(self, index)

    def __neg__(self) -> Tensor:
        return operations.negative(self)

    def __abs__(self) -> Tensor:
        return operations.abs(self)

    def __add__(self, y: Any) -> Tensor:
        return operations.add(self, y)

    def __radd__(self, x: Any) -> Tensor:
        return operations.add(x, self)

    def __sub__(self, y: Any) -> Tensor:
        return operations.subtract(self, y)

    def __rsub__(self, x: Any) -> Tensor:
        return operations.subtract(x, self)

    def __mul__(self, y: Any) -> Tensor:
        return operations.multiply(self, y)

    def __rmul__(self, x: Any) -> Tensor:
        return operations.multiply(x, self)

    def __truediv__(self, y: Any) -> Tensor:
        return operations.divide(self, y)

    def __rtruediv__(self, x: Any) -> Tensor:
        return operations.divide(x, self)

    def __pow__(self, p: Any) -> Tensor:
        return operations.power(self, p)

    def __rpow__(self, x: Any) -> Tensor:
        return operations.power(x, self)

    def __matmul__(self, y: Any) -> Tensor:
        return operations.matmul(self, y)

    def __rmatmul__(self, x: Any) -> Tensor:
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
    return x._data if isinstance(x, Tensor) else x


@to_numpy.register
def _(x: Tensor) -> numpy.ndarray:
    return to_numpy(x._data)
