"""Log densities of many entries, each one primitive over blocks that a core's cache holds.

The composed formula would send every intermediate result through memory. The rules are the derivatives of the same
formula; those of Tensors, which can be differentiated again, are composed of other primitives.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy

from scratchvae.autodiff import Tensor, broadcast_to, primitive, sum_to
from scratchvae.backend import array_module, device_of
from scratchvae.errors import ShapeError
from scratchvae.kernels import Kernel
from scratchvae.ops.activations import sigmoid
from scratchvae.ops.elementwise import as_real, exp, negative, square, subtract
from scratchvae.ops.structure import reshape

BLOCK = {"cpu": 2**15, "gpu": 2**62}
"""The most entries of a block, if that is not a single event."""

TERM = Kernel(
    "bernoulli_term",
    "T x[i], T l[i]",
    "T term[i]",
    """
    const T rest = x - (l > T(0) ? T(1) : T(0));
    term = rest * (rest == T(0) ? T(0) : l) - log1p(exp(l < T(0) ? l : -l));
    """,
)
"""The terms of `bernoulli_log_prob`, as (x - [l > 0]) l - log(1 + e^-|l|), where 0 times infinity is 0."""

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
    """y = sum over the event of x l - log(1 + e^l)

    :Rule: dx = g l, dl = g (x - 1 / (1 + e^-l))
    :Domain: all numbers

    shape: (..., N, *event) twice -> (..., N); axes broadcast. With log(1 + e^l) as max(l, 0) + log(1 + e^-|l|) nothing
    overflows; in float32 that and the slope 1 / (1 + e^-l) are right to 4 units in the last place. Where the kernels
    are compiled, a logit of infinity makes x = 1 certain, y = 0, and all else impossible, y = -infinity.
    """
    xp, dtype, shape, (x, logit) = _common(x, logits)
    y, compiled = xp.empty(shape[: len(shape) - event_ndim], dtype=dtype), TERM.on(x, logit)
    for block in _blocks(shape, event_ndim, device_of(y)):
        if compiled:
            term = xp.empty(logit[block].shape, dtype=dtype)
            compiled(_in_order(x[block]), _in_order(logit[block]), term)
            _sum_event(term, event_ndim, y[block])
            continue
        softplus = xp.abs(logit[block], out=xp.empty(logit[block].shape, dtype=dtype))
        xp.negative(softplus, out=softplus)
        xp.exp(softplus, out=softplus)
        xp.log1p(softplus, out=softplus)
        term = xp.maximum(logit[block], 0.0, out=xp.empty_like(softplus))
        softplus += term
        xp.multiply(x[block], logit[block], out=term)
        term -= softplus
        _sum_event(term, event_ndim, y[block])
    return y


def _bernoulli_rule_x(g: Any, y: Any, x: Any, logits: Any, event_ndim: int = 1) -> Any:
    shape = numpy.broadcast_shapes(x.shape, logits.shape)
    return sum_to(broadcast_to(_expand(g, event_ndim) * logits, shape), x.shape)


def _bernoulli_rule_logits(g: Any, y: Any, x: Any, logits: Any, event_ndim: int = 1) -> Any:
    g = _expand(g, event_ndim)
    if isinstance(g, Tensor):
        return sum_to(g * (x - sigmoid(logits)), logits.shape)
    xp, dtype, shape, (x, logit) = _common(x, logits)
    slope, compiled = xp.empty(shape, dtype=dtype), SLOPE.on(x, logit, g)
    g, weight = xp.broadcast_to(g, shape), g
    with numpy.errstate(over="ignore"):  # where e^-l is infinite, 1 / (1 + e^-l) is 0
        for block in _blocks(shape, event_ndim, device_of(slope)):
            d = slope[block]
            if compiled:
                compiled(_in_order(weight[block]), _in_order(x[block]), _in_order(logit[block]), d)
                continue
            xp.negative(logit[block], out=d)
            xp.exp(d, out=d)
            d += 1.0
            xp.divide(1.0, d, out=d)
            xp.subtract(x[block], d, out=d)
            d *= g[block]
    return sum_to(slope, logits.shape)


bernoulli_log_prob.defvjp(_bernoulli_rule_x, _bernoulli_rule_logits)


DENSITY = Kernel(
    "normal_log_prob",
    "T x[i], T m[i], T log_s[i]",
    "T term[i]",
    """
    const T u = (x - m) * exp(-log_s);
    term = T(-0.5) * (u * u + T(1.8378770664093453)) - log_s;
    """,
)
"""The terms of `normal_log_prob`, in one operation of a GPU; log(2 pi) = 1.838."""

DENSITY_SLOPES = Kernel(
    "normal_log_prob_slopes",
    "T g[row], T x[i], T m[i], T log_s[i]",
    "T d_mean[i], T d_log_std[i]",
    """
    const T precision = exp(-log_s), u = (x - m) * precision;
    d_mean = g * u * precision;
    d_log_std = g * (u * u - T(1));
    """,
)
"""The rule of `normal_log_prob` for m and log s, likewise."""


@primitive
def normal_log_prob(x: Any, mean: Any, log_std: Any, event_ndim: int = 1) -> Any:
    """y = sum over the event of -u^2 / 2 - log s - log(2 pi) / 2,   u = (x - m) / s,   log s = log_std

    :Rule: dm = g u / s, dx = -dm, d log s = g (u^2 - 1)
    :Domain: all numbers

    shape: (..., N, *event) three times -> (..., N); axes broadcast, so that log_std may be one number.
    """
    xp, dtype, shape, arrays = _common(x, mean, log_std)
    computed = DENSITY.computed(*arrays)
    if computed:
        return _sum_event(computed[0], event_ndim)
    _, _, _, (x, m, precision) = _common(x, mean, exp.function(negative.function(log_std)))
    y = xp.empty(shape[: len(shape) - event_ndim], dtype=dtype)
    for block in _blocks(shape, event_ndim, device_of(y)):
        u = xp.subtract(x[block], m[block], dtype=dtype)
        u *= precision[block]
        u *= u
        _sum_event(u, event_ndim, y[block])
    y *= -0.5
    y -= _log_volume(log_std, shape, event_ndim)
    return y


def _log_volume(log_std: Any, shape: tuple[int, ...], event_ndim: int) -> Any:
    """The sum over the event of log s + log(2 pi) / 2; its batch axes are those of log_std."""
    event = shape[len(shape) - event_ndim :]
    shape = numpy.broadcast_shapes(getattr(log_std, "shape", ()), event)
    values = array_module(log_std).broadcast_to(log_std, shape) + 0.5 * math.log(2 * math.pi)
    return _sum_event(values, event_ndim)


def _normal_rule(wanted: list[int], g: Any, y: Any, x: Any, mean: Any, log_std: Any, event_ndim: int = 1) -> list[Any]:
    if isinstance(g, Tensor):
        g, precision = _expand(g, event_ndim), exp(negative(log_std))
        u = (x - mean) * precision
        slope = g * u * precision
        terms = {0: negative(slope), 1: slope, 2: g * (square(u) - 1.0)}
        return [sum_to(terms[i], argument.shape) for i, argument in enumerate((x, mean, log_std)) if i in wanted]
    xp, dtype, shape, arrays = _common(x, mean, log_std)
    g = _expand(g, event_ndim)
    computed = DENSITY_SLOPES.computed(g, *arrays)
    if computed:
        d_mean, d_log_std = computed
    else:
        d_mean, d_log_std = xp.empty(shape, dtype=dtype), xp.empty(shape, dtype=dtype) if 2 in wanted else None
        _write_slopes(d_mean, d_log_std, g, x, mean, log_std, event_ndim)
    terms = (-d_mean if 0 in wanted else None, d_mean, d_log_std)
    return [sum_to(terms[i], (x, mean, log_std)[i].shape) for i in wanted]


def _write_slopes(d_mean: Any, d_log_std: Any, g: Any, x: Any, mean: Any, log_std: Any, event_ndim: int) -> None:
    """Writes the rule of `normal_log_prob` block by block; d_log_std is None where nobody wants it."""
    xp, _, shape, (x, m, precision) = _common(x, mean, exp.function(negative.function(log_std)))
    g = xp.broadcast_to(g, shape)
    for block in _blocks(shape, event_ndim, device_of(d_mean)):
        u = xp.subtract(x[block], m[block], out=d_mean[block])
        u *= precision[block]
        if d_log_std is not None:
            excess = xp.multiply(u, u, out=d_log_std[block])
            excess -= 1.0
            excess *= g[block]
        u *= precision[block]
        u *= g[block]


normal_log_prob.defvjp_together(_normal_rule)

DIVERGENCE = Kernel(
    "normal_kl",
    "T m[i], T log_s[i], T m_p[i], T log_s_p[i]",
    "T term[i]",
    """
    const T r = log_s - log_s_p, d = (m - m_p) * exp(-log_s_p);
    term = T(0.5) * (exp(T(2) * r) + d * d - T(1)) - r;
    """,
)
"""The terms of `normal_kl`, in one operation of a GPU."""

DIVERGENCE_SLOPES = Kernel(
    "normal_kl_slopes",
    "T g[row], T m[i], T log_s[i], T m_p[i], T log_s_p[i]",
    "T d_mean[i], T d_log_std[i]",
    """
    const T precision = exp(-log_s_p);
    d_mean = g * ((m - m_p) * precision) * precision;
    d_log_std = g * exp(T(2) * (log_s - log_s_p)) - g;
    """,
)
"""The rule of `normal_kl` for m and log s, likewise."""


@primitive
def normal_kl(mean: Any, log_std: Any, prior_mean: Any, prior_log_std: Any, event_ndim: int = 1) -> Any:
    """y = sum over the event of (e^2r + d^2 - 1) / 2 - r,   r = log s - log s_p,   d = (m - m_p) / s_p

    :Rule: dm = g d / s_p, d log s = g (e^2r - 1), dm_p = -dm, d log s_p = g (1 - e^2r - d^2)
    :Domain: all numbers

    shape: (..., N, *event) four times -> (..., N); axes broadcast, so that a prior may have the shape of one event.
    """
    xp, _, shape, arrays = _common(mean, log_std, prior_mean, prior_log_std)
    computed = DIVERGENCE.computed(*arrays)
    if computed:
        terms = computed[0]
    else:
        log_ratio, _, distance = _compared(mean, log_std, prior_mean, prior_log_std)
        terms = xp.broadcast_to(0.5 * (xp.exp(2 * log_ratio) + distance * distance - 1) - log_ratio, shape)
    return _sum_event(terms, event_ndim)


def _compared(mean: Any, log_std: Any, prior_mean: Any, prior_log_std: Any) -> tuple[Any, Any, Any]:
    """Returns r, 1 / s_p and d, as in `normal_kl`."""
    precision = exp(negative(prior_log_std))
    return subtract(log_std, prior_log_std), precision, subtract(mean, prior_mean) * precision


def _kl_rule(wanted: list[int], g: Any, y: Any, *arguments: Any, event_ndim: int = 1) -> list[Any]:
    g, shape = _expand(g, event_ndim), _shape(arguments)
    arrays = [] if isinstance(g, Tensor) else _common(*arguments)[3]
    computed = DIVERGENCE_SLOPES.computed(g, *arrays) if arrays else None
    if computed:
        d_mean, d_log_std = computed
    else:
        log_ratio, precision, distance = _compared(*arguments)
        d_mean, d_log_std = g * distance * precision, g * exp(2 * log_ratio) - g
    slopes = {0: d_mean, 1: d_log_std}
    if 2 in wanted:
        slopes[2] = negative(d_mean)
    if 3 in wanted:
        slopes[3] = negative(d_mean * subtract(arguments[0], arguments[2])) - d_log_std
    return [sum_to(broadcast_to(slopes[i], shape), arguments[i].shape) for i in wanted]


normal_kl.defvjp_together(_kl_rule)

DRAW = Kernel("normal_draw", "T m[i], T log_s[i], T e[i]", "T z[i]", "z = m + exp(log_s) * e;")
"""The line of `normal_draw`, in one operation of a GPU."""

DRAW_SLOPE = Kernel("normal_draw_slope", "T g[i], T log_s[i], T e[i]", "T slope[i]", "slope = g * e * exp(log_s);")
"""The rule of `normal_draw` for log s, likewise."""


@primitive
def normal_draw(mean: Any, log_std: Any, noise: Any) -> Any:
    """z = m + s e,   log s = log_std, e the noise

    :Rule: dm = g, d log s = g e s, de = g s
    :Domain: all numbers

    shape: axes broadcast, so that noise of shape (S, N, K) makes S draws of each of N rows.
    """
    computed = DRAW.computed(*_common(mean, log_std, noise)[3])
    return computed[0] if computed else mean + exp.function(log_std) * noise


def _draw_rule(wanted: list[int], g: Any, z: Any, mean: Any, log_std: Any, noise: Any) -> list[Any]:
    slopes = {0: g}
    if 1 in wanted:
        computed = None if isinstance(g, Tensor) else DRAW_SLOPE.computed(*_common(g, log_std, noise)[3])
        slopes[1] = computed[0] if computed else sum_to(g * noise, log_std.shape) * exp(log_std)
    if 2 in wanted:
        slopes[2] = g * exp(log_std)
    return [sum_to(slopes[i], (mean, log_std, noise)[i].shape) for i in wanted]


normal_draw.defvjp_together(_draw_rule)


def _common(*arrays: Any) -> tuple[Any, Any, tuple[int, ...], list[Any]]:
    """Returns the module, type and shape of a result of these arrays, and the arrays broadcast to that shape."""
    arrays = as_real(*arrays)
    xp, dtype = array_module(*arrays), numpy.result_type(*(getattr(x, "dtype", x) for x in arrays))
    dtype, shape = dtype if dtype.kind == "f" else numpy.dtype(float), _shape(arrays)
    arrays = [x if hasattr(x, "shape") else xp.asarray(x, dtype=dtype) for x in arrays]
    return xp, dtype, shape, [x if x.shape == shape else xp.broadcast_to(x, shape) for x in arrays]


def _shape(arrays: Iterable[Any]) -> tuple[int, ...]:
    """Returns the shape to which arrays, Tensors and numbers broadcast."""
    return numpy.broadcast_shapes(*(getattr(x, "shape", ()) for x in arrays))


def _in_order(x: Any) -> Any:
    """x as a kernel takes it: on the CPU its entries one after the other, on a GPU as it is."""
    return numpy.ascontiguousarray(x) if isinstance(x, numpy.ndarray) else x


def _blocks(shape: tuple[int, ...], event_ndim: int, device: str) -> Iterator[tuple[Any, ...]]:
    """Indices that part an array of this shape along its batch axes."""
    inner = math.prod(shape[1:])
    if len(shape) == event_ndim or math.prod(shape) <= BLOCK[device]:
        yield (...,)
    elif len(shape) == event_ndim + 1 or inner <= BLOCK[device]:
        n = max(1, BLOCK[device] // inner)
        yield from ((slice(i, i + n), ...) for i in range(0, shape[0], n))
    else:
        yield from ((i, *rest) for i in range(shape[0]) for rest in _blocks(shape[1:], event_ndim, device))


def _sum_event(values: Any, event_ndim: int, out: Any = None) -> Any:
    """Sums over the event, (..., *event) -> (...), float16 in float32, as 2048 + 1 is 2048 in float16."""
    if not 0 <= event_ndim <= values.ndim:
        raise ShapeError("log density", f"an event of 0 to {values.ndim} axes", f"event_ndim={event_ndim}")
    batch, event = values.shape[: values.ndim - event_ndim], values.shape[values.ndim - event_ndim :]
    rows = values.reshape(*batch, math.prod(event))
    if values.dtype.char != "e":
        return rows.sum(axis=-1, out=out)
    total = rows.sum(axis=-1, dtype="float32").astype("float16")
    if out is None:
        return total
    out[...] = total
    return out


def _expand(g: Any, event_ndim: int) -> Any:
    """(..., N) -> (..., N, 1, ..., 1)"""
    return reshape(g, (*g.shape, *[1] * event_ndim))
