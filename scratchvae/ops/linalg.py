"""Matrix products."""

from __future__ import annotations

import math
from typing import Any

from scratchvae.autodiff import primitive, sum_to
from scratchvae.backend import array_module
from scratchvae.ops.elementwise import as_real
from scratchvae.ops.structure import expand_dims, reshape, swapaxes


@primitive
def matmul(x: Any, y: Any) -> Any:
    """x y, a matrix product over the last two axes; leading axes broadcast, a vector stands for one row or column.

    shape: (..., n, k), (..., k, m) -> (..., n, m);   dx = g y',   dy = x' g
    """
    x, y = as_real(x, y)
    return x @ y


def _matmul_rule_x(g: Any, out: Any, x: Any, y: Any) -> Any:
    g, rows, columns = _as_matrices(g, x, y)
    return reshape(sum_to(g @ swapaxes(columns, -1, -2), rows.shape), x.shape)


def _matmul_rule_y(g: Any, out: Any, x: Any, y: Any) -> Any:
    g, rows, columns = _as_matrices(g, x, y)
    return reshape(sum_to(swapaxes(rows, -1, -2) @ g, columns.shape), y.shape)


def _as_matrices(g: Any, x: Any, y: Any) -> tuple[Any, Any, Any]:
    """The vectors among the factors of g = x y as one row (left) or one column (right), and g with those axes."""
    if y.ndim == 1:
        y, g = expand_dims(y, -1), expand_dims(g, -1)
    if x.ndim == 1:
        x, g = expand_dims(x, 0), expand_dims(g, -2)
    return g, x, y


matmul.defvjp(_matmul_rule_x, _matmul_rule_y)


@primitive
def affine(x: Any, weight: Any, bias: Any) -> Any:
    """y = x W + b, one matrix product however many leading axes.   shape: (..., D), (D, H), (H,) -> (..., H)

    dx = g W',   dW = x' g,   db = sum of g over the leading axes
    """
    rows, weight = as_real(_rows(x), weight)
    y = rows @ weight
    y += bias
    return y.reshape(*x.shape[:-1], weight.shape[-1])


def _affine_rule_weight(g: Any, y: Any, x: Any, weight: Any, bias: Any) -> Any:
    return swapaxes(_rows(x), 0, 1) @ _rows(g)


def _affine_rule_weight_into(out: Any, g: Any, y: Any, x: Any, weight: Any, bias: Any) -> Any:
    return array_module(g).matmul(_rows(x).swapaxes(0, 1), _rows(g), out=out)


_affine_rule_weight.into = _affine_rule_weight_into
affine.defvjp(
    lambda g, y, x, weight, bias: reshape(_rows(g) @ swapaxes(weight, 0, 1), x.shape),
    _affine_rule_weight,
    lambda g, y, x, weight, bias: sum_to(g, bias.shape),
)


def _rows(x: Any) -> Any:
    """(..., D) -> (rows, D)"""
    return x if x.ndim == 2 else reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))
