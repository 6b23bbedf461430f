"""Matrix products, among them those with one-hot rows."""

from __future__ import annotations

import math
from typing import Any

from scratchvae.autodiff import primitive, sum_to
from scratchvae.backend import array_module, is_readable, product
from scratchvae.errors import InputError, ShapeError
from scratchvae.ops.activations import bias_rule, kernel_with_bias, through_activation
from scratchvae.ops.elementwise import as_real
from scratchvae.ops.structure import expand_dims, reshape, swapaxes

LARGEST_INDICATOR = 2**22
"""The most entries of E that scatter_rows forms at a time."""


@primitive
def matmul(x: Any, y: Any) -> Any:
    """out = x y, a matrix product over the last two axes

    :Rule: dx = g y', dy = x' g
    :Domain: all numbers

    shape: (..., n, k), (..., k, m) -> (..., n, m). Leading axes broadcast, and a vector stands for one row or column.
    """
    x, y = as_real(x, y)
    return product(x, y)


def _matmul_rule_x(g: Any, out: Any, x: Any, y: Any) -> Any:
    g, rows, columns = _as_matrices(g, x, y)
    return reshape(sum_to(matmul(g, swapaxes(columns, -1, -2)), rows.shape), x.shape)


def _matmul_rule_y(g: Any, out: Any, x: Any, y: Any) -> Any:
    if y.ndim == 2 < x.ndim:  # one product in place of a stack of them
        return matmul(swapaxes(_rows(x), 0, 1), _rows(g))
    g, rows, columns = _as_matrices(g, x, y)
    return reshape(sum_to(matmul(swapaxes(rows, -1, -2), g), columns.shape), y.shape)


def _as_matrices(g: Any, x: Any, y: Any) -> tuple[Any, Any, Any]:
    """The vectors among the factors of g = x y as one row (left) or one column (right), and g with those axes."""
    if y.ndim == 1:
        y, g = expand_dims(y, -1), expand_dims(g, -1)
    if x.ndim == 1:
        x, g = expand_dims(x, 0), expand_dims(g, -2)
    return g, x, y


matmul.defvjp(_matmul_rule_x, _matmul_rule_y)


@primitive
def affine(x: Any, weight: Any, bias: Any, *, activation: Any = None) -> Any:
    """y = a(x W + b), one matrix product however many leading axes

    :Rule: with e = g a'(x W + b): dx = e W', dW = x' e, db = sum of e over the leading axes
    :Domain: all numbers

    shape: (..., D), (D, H), (H,) -> (..., H)

    activation: a, as in `activated`, or None for y = x W + b.
    """
    rows, weight = as_real(_rows(x), weight)
    y = product(rows, weight)
    compiled = None if activation is None else kernel_with_bias("affine", activation).on_gpu(y, bias)
    if compiled:
        compiled(y, bias, y)
    else:
        y += bias
        y = y if activation is None else activation(y)
    return y.reshape(*x.shape[:-1], weight.shape[-1])


def _affine_rule_weight(g: Any, y: Any, x: Any, weight: Any, bias: Any, **_: Any) -> Any:
    return matmul(swapaxes(_rows(x), 0, 1), _rows(g))


def _affine_rule_weight_into(out: Any, g: Any, y: Any, x: Any, weight: Any, bias: Any, **_: Any) -> Any:
    return product(_rows(x).swapaxes(0, 1), _rows(g), out)


_affine_rule_weight.into = _affine_rule_weight_into
affine.defvjp(
    lambda g, y, x, weight, bias, **_: reshape(matmul(_rows(g), swapaxes(weight, 0, 1)), x.shape),
    _affine_rule_weight,
    bias_rule,
    before=through_activation,
)


def _rows(x: Any) -> Any:
    """(..., D) -> (rows, D)"""
    return x if x.ndim == 2 else reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


@primitive
def gather_rows(table: Any, index: Any) -> Any:
    """y = E W = W[index] for the rows of a table W, where E[r, c] is 1 if index[r] = c, else 0

    :Rule: dW = E' g = scatter_rows(g, index, C), the adjoint
    :Domain: an index of rows of the table; InputError otherwise

    shape: table (C, D), index of integers (R,) from 0 to C - 1 -> (R, D)

    A product with one-hot rows, without the product. Raises InputError for an index that is none of the table's rows.
    """
    return table[_row_index("gather_rows", index, len(table))]


@primitive
def scatter_rows(x: Any, index: Any, n_rows: int) -> Any:
    """y = E' x: row c is the sum of the rows x[r] with index[r] = c, E as in gather_rows

    :Rule: dx = E g = gather_rows(g, index), the adjoint
    :Domain: an index of rows of y; InputError otherwise

    shape: x (R, D), index (R,) -> (n_rows, D)

    A product with E, formed for a bounded number of rows at a time, is faster than adding row by row. As in every
    product, an infinite entry of x makes a whole column NaN. Raises InputError as gather_rows does.
    """
    (x,), index = as_real(x), _row_index("scatter_rows", index, n_rows)
    if len(x) != len(index):
        raise ShapeError("scatter_rows", f"an index for each of {len(x)} rows", f"{len(index)}")
    xp, at_once = array_module(x), max(1, LARGEST_INDICATOR // n_rows)
    y, rows = xp.zeros((n_rows, x.shape[1]), dtype=x.dtype), xp.arange(n_rows)[:, None]
    for start in range(0, len(x), at_once):
        part = slice(start, start + at_once)
        y += product((rows == index[part]).astype(x.dtype), x[part])
    return y


gather_rows.defvjp(lambda g, y, table, index: scatter_rows(g, index, table.shape[0]))
scatter_rows.defvjp(lambda g, y, x, index, n_rows: gather_rows(g, index))


def _row_index(operation: str, index: Any, n_rows: int) -> Any:
    """The index, if it is one of integers (R,) from 0 to n_rows - 1, as far as the host can read them."""
    if index.ndim != 1 or index.dtype.kind not in "iu":
        raise InputError(operation, "an index of integers, shape (R,)", f"{index.dtype}, shape {index.shape}")
    if len(index) and is_readable(index) and not 0 <= int(index.min()) <= int(index.max()) < n_rows:
        received = f"{int(index.min())} to {int(index.max())}"
        raise InputError(operation, f"an index from 0 to {n_rows - 1}", received)
    return index
