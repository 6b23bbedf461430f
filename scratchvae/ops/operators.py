"""Binds Python's operators to Tensor, so that a formula reads the same for arrays and Tensors."""

from __future__ import annotations

from typing import Any

from scratchvae.autodiff import Tensor
from scratchvae.ops.elementwise import abs, add, divide, multiply, negative, power, subtract
from scratchvae.ops.linalg import matmul
from scratchvae.ops.structure import getitem

Tensor.__neg__ = lambda x: negative(x)
Tensor.__abs__ = lambda x: abs(x)
Tensor.__add__ = lambda x, y: add(x, y)
Tensor.__radd__ = lambda y, x: add(x, y)
Tensor.__sub__ = lambda x, y: subtract(x, y)
Tensor.__rsub__ = lambda y, x: subtract(x, y)
Tensor.__mul__ = lambda x, y: multiply(x, y)
Tensor.__rmul__ = lambda y, x: multiply(x, y)
Tensor.__truediv__ = lambda x, y: divide(x, y)
Tensor.__rtruediv__ = lambda y, x: divide(x, y)
Tensor.__pow__ = lambda x, p: power(x, p)
Tensor.__rpow__ = lambda p, x: power(x, p)
Tensor.__matmul__ = lambda x, y: matmul(x, y)
Tensor.__rmatmul__ = lambda y, x: matmul(x, y)
Tensor.__getitem__ = lambda x, index: getitem(x, index)

# A comparison is piecewise constant: it gives a plain array of truth values.
Tensor.__lt__ = lambda x, y: x.data < _array(y)
Tensor.__le__ = lambda x, y: x.data <= _array(y)
Tensor.__gt__ = lambda x, y: x.data > _array(y)
Tensor.__ge__ = lambda x, y: x.data >= _array(y)
Tensor.__eq__ = lambda x, y: x.data == _array(y)
Tensor.__ne__ = lambda x, y: x.data != _array(y)


def _array(x: Any) -> Any:
    return x.data if isinstance(x, Tensor) else x
