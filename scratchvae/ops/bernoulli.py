"""The log density of independent coin flips as one primitive, for where kernels are compiled."""

from __future__ import annotations

import math
from typing import Any

import numpy

from scratchvae.autodiff import Tensor, primitive, sum_to
from scratchvae.backend import array_module
from scratchvae.kernels import Kernel
from scratchvae.ops.elementwise import as_real, sigmoid
from scratchvae.ops.structure import reshape

BLOCK = 65_536  # terms computed at a time on the CPU before they are summed: they stay in cache

TERM = Kernel(
    "bernoulli_term",
    "T x[i], T l[i]",
    "T term[i]",
    """
    const T rest = x - (l > T(0) ? T(1) : T(0));
    term = rest * (rest == T(0) ? T(0) : l) - log1p(exp(l < T(0) ? l : -l));
    """,
)
"""The terms of `bernoulli_log_prob`, before they are summed."""

SLOPE = Kernel(
    "bernoulli_slope",
    "T g[row], T x[i], T l[i]",
    "T slope[i]",
    """
    const T e = exp(l < T(0) ? l : -l);
    slope = g * (x - (l > T(0) ? T(1) : e) / (T(1) + e));
    """,
)
"""g (x - sigmoid(l)), the rule of `bernoulli_log_prob` for the logits."""


@primitive
def bernoulli_log_prob(x: Any, logits: Any, event_ndim: int = 1) -> Any:
    """y = sum over the event of x l - log(1 + e^l) = (x - [l > 0]) l - log(1 + e^-|l|),   dy/dl = x - sigmoid(l)

    shape: (..., N, *event) for both, which broadcast -> (..., N).   dy/dx = l

    A logit of infinity makes x = 1 certain, y = 0, and all else impossible, y = -infinity; one of -infinity does so
    with x = 0.
    """
    x, logits = as_real(x, logits)
    xp, event, compiled = array_module(logits), tuple(range(-event_ndim, 0)), _compiled(TERM, x, logits)
    if compiled and xp is numpy:
        return _summed_in_blocks(compiled, x, logits, event)
    if compiled:
        terms = xp.empty_like(logits)
        compiled(x, logits, terms)
    else:
        rest = x - (logits > 0)
        terms = rest * xp.where(rest == 0, 0.0, logits) - xp.log1p(xp.exp(xp.copysign(logits, -1.0)))
    return terms.sum(axis=event)


def _x_rule(g: Any, y: Any, x: Any, logits: Any, event_ndim: int = 1) -> Any:
    return sum_to(reshape(g, g.shape + (1,) * event_ndim) * logits, x.shape)


def _logits_rule(g: Any, y: Any, x: Any, logits: Any, event_ndim: int = 1) -> Any:
    g = reshape(g, g.shape + (1,) * event_ndim)
    compiled = None if isinstance(g, Tensor) else _compiled(SLOPE, x, logits, g)
    if compiled is None:
        return sum_to(g * (x - sigmoid(logits)), logits.shape)
    xp = array_module(logits)
    slope = xp.empty(logits.shape, dtype=logits.dtype)
    if xp is numpy:
        x, repeats = numpy.ascontiguousarray(x), logits.size // x.size
        parts = (numpy.ascontiguousarray(part).reshape(repeats, -1) for part in (g, logits, slope))
        for weights, values, out in zip(*parts, strict=True):
            compiled(weights, x, values, out)
    else:
        compiled(g, x, logits, slope)
    return slope


bernoulli_log_prob.defvjp(_x_rule, _logits_rule)


def _compiled(kernel: Kernel, x: Any, logits: Any, *others: Any) -> Any:
    """The kernel, where it takes these arrays: of one type, x repeated along leading axes of the logits."""
    one_type = {array.dtype for array in (x, logits, *others)} == {x.dtype}
    repeated = logits.shape[logits.ndim - x.ndim :] == x.shape
    return kernel.on(logits) if x.size and one_type and repeated else None


def _summed_in_blocks(compiled: Any, x: numpy.ndarray, logits: numpy.ndarray, event: tuple[int, ...]) -> numpy.ndarray:
    """The sum of the terms over the event, of so many rows at a time that they stay in cache."""
    entries = math.prod(logits.shape[axis] for axis in event)
    x = numpy.ascontiguousarray(x).reshape(-1, entries)
    logits = numpy.ascontiguousarray(logits)
    y = numpy.empty(logits.shape[: logits.ndim - len(event)], dtype=logits.dtype)
    rows = max(1, BLOCK // entries)
    terms = numpy.empty((min(rows, len(x)), entries), dtype=logits.dtype)
    for values, sums in zip(logits.reshape(-1, *x.shape), y.reshape(-1, len(x)), strict=True):
        for start in range(0, len(x), rows):
            part = slice(start, start + rows)
            block = terms[: len(x[part])]
            compiled(x[part], values[part], block)
            block.sum(axis=1, out=sums[part])
    return y
