"""The gradient table has every primitive and every function of `ops`, with inputs drawn from its domain.

A row holds a function of Tensors, the same function of NumPy arrays, and how its inputs are drawn. `check_case` holds
the function to it: value, gradients of order 1 and 2, types, and that no unwanted gradient is computed.
Domains keep a margin from kinks, where a central difference is wrong, and from poles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy

from scratchvae import autodiff, ops
from scratchvae.autodiff import Primitive, Tensor, grad
from scratchvae.backend import asarray, device_of, to_numpy
from scratchvae.checks.row import Section, largest
from scratchvae.gradcheck import check_gradients
from scratchvae.ops.reductions import _log_ratio

SECTION = Section("gradients")

Draw = Callable[[numpy.random.Generator], numpy.ndarray]


@dataclass(frozen=True)
class Case:
    """Describes one row: a function of Tensors, the same function of NumPy arrays, and the way each input is drawn."""

    function: Callable[..., Any]
    reference: Callable[..., Any]
    domains: tuple[Draw, ...]

    def inputs(self) -> list[numpy.ndarray]:
        """Returns one float64 array per argument, the same ones every time."""
        rng = numpy.random.default_rng(0)
        return [numpy.asarray(draw(rng)) for draw in self.domains]


@dataclass(frozen=True)
class AdjointPair:
    """Two linear maps A and A' with <A x, y> = <x, A' y>,   x and y of the given shapes."""

    forward: Callable[[Any], Any]
    adjoint: Callable[[Any], Any]
    x_shape: tuple[int, ...]
    y_shape: tuple[int, ...]


# ---- domains


def real(*shape: int) -> Draw:
    """x ~ Normal(0, 1)"""
    return lambda rng: rng.standard_normal(shape)


def positive(*shape: int) -> Draw:
    """x ~ Uniform[1/2, 2)"""
    return lambda rng: rng.uniform(0.5, 2.0, shape)


def unit(*shape: int) -> Draw:
    """x ~ Uniform[1/10, 9/10), inside the unit interval"""
    return lambda rng: rng.uniform(0.1, 0.9, shape)


def whole(*shape: int) -> Draw:
    """Draws from {-2, -1, ..., 2}, half a unit away from every value that `halves` takes."""
    return lambda rng: rng.integers(-2, 3, shape).astype(numpy.float64)


def halves(*shape: int) -> Draw:
    """Draws from {-2.5, -1.5, ..., 2.5}, half a unit away from kinks at whole numbers."""
    return lambda rng: rng.integers(-3, 3, shape) + 0.5


def distinct(*shape: int) -> Draw:
    """Draws entries at least 1/4 apart, so that a small step does not change which is the largest or smallest."""
    return lambda rng: rng.permutation(numpy.prod(shape, dtype=int)).reshape(shape) / 4 - 1


# ---- rows


def row(function: Callable[..., Any], reference: Callable[..., Any], *domains: Draw) -> Case:
    """Returns a Case whose arguments are drawn from the domains."""
    return Case(function, reference, domains)


def broadcast_rows(
    function: Callable[..., Any],
    reference: Callable[..., Any],
    first: Callable[..., Draw] = real,
    second: Callable[..., Draw] = real,
) -> list[Case]:
    """Returns rows for a function of two arguments: equal shapes, and every way of broadcasting one to the other."""
    shapes = [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (2, 1, 4)), ((), (2, 3)), ((2, 3), ()), ((), ())]
    return [row(function, reference, first(*x), second(*y)) for x, y in shapes]


def entry_rows(function: Callable[..., Any], reference: Callable[..., Any], domain: Callable[..., Draw]) -> list[Case]:
    """Returns rows for a function of one argument: an array and a single number."""
    return [row(function, reference, domain(3, 4)), row(function, reference, domain())]


def reduction_rows(
    function: Callable[..., Any], reference: Callable[..., Any], domain: Callable[..., Draw] = real
) -> list[Case]:
    """Returns rows for a function that takes axis and keepdims."""
    rows = []
    axes = [((3, 4), None), ((3, 4), 0), ((2, 3, 2), -1), ((2, 3, 2), (0, 2)), ((), None), ((1, 4), 0)]
    for shape, axis in axes:
        for keepdims in (False, True):
            options = {"axis": axis, "keepdims": keepdims}
            rows.append(row(_with(function, **options), _with(reference, **options), domain(*shape)))
    return rows


def _with(function: Callable[..., Any], *arguments: Any, **options: Any) -> Callable[..., Any]:
    """x, ... -> function(x, ..., *arguments, **options)"""
    return lambda *x: function(*x, *arguments, **options)


def _both(name: str, *arguments: Any, **options: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Returns a function of `ops` and NumPy's function of the same name, with the same further arguments."""
    return _with(getattr(ops, name), *arguments, **options), _with(getattr(numpy, name), *arguments, **options)


def _special(name: str) -> Callable[..., Any]:
    """Returns a function of scipy.special, imported when it is called."""
    return lambda *arguments, **options: getattr(import_module("scipy.special"), name)(*arguments, **options)


def _beside(x: Any, index: Any) -> Any:
    """Returns an index, or a tuple of indices, with its arrays on the device of x."""
    if isinstance(index, tuple):
        return tuple(_beside(x, part) for part in index)
    if isinstance(index, numpy.ndarray):
        return asarray(index, device_of(x.data if isinstance(x, Tensor) else x))
    return index


def _index_rows(*indices: Any) -> list[Case]:
    def rows_of(index: Any) -> Case:
        return row(lambda x: ops.getitem(x, _beside(x, index)), lambda x: x[index], real(3, 4, 2))

    return [rows_of(index) for index in indices]


def _scatter_rows(*indices: Any) -> list[Case]:
    def rows_of(index: Any) -> Case:
        def reference(x: numpy.ndarray) -> numpy.ndarray:
            y = numpy.zeros((3, 4, 2))
            numpy.add.at(y, index, x)
            return y

        shape = numpy.empty((3, 4, 2))[index].shape
        return row(lambda x: ops.scatter_add(x, _beside(x, index), (3, 4, 2)), reference, real(*shape))

    return [rows_of(index) for index in indices]


def _drawn(x: Any, shape: tuple[int, ...]) -> Any:
    """Draws from Normal(0, 1) on the device of x, the same values every time."""
    device = device_of(x.data if isinstance(x, Tensor) else x)
    return asarray(numpy.random.default_rng(1).standard_normal(shape), device)


def _sum_to_reference(shape: tuple[int, ...]) -> Callable[[numpy.ndarray], numpy.ndarray]:
    """Adds every entry of x to the entry of y that broadcasting would copy there."""

    def reference(x: numpy.ndarray) -> numpy.ndarray:
        y = numpy.zeros(shape)
        places = numpy.broadcast_to(numpy.arange(y.size).reshape(shape), x.shape)
        numpy.add.at(y.reshape(-1), places.ravel(), x.ravel())
        return y

    return reference


Margins = tuple[tuple[int, int], tuple[int, int]]


def loop_conv2d(x: numpy.ndarray, kernel: numpy.ndarray, stride: tuple[int, int], margins: Margins) -> numpy.ndarray:
    """Computes ops.conv2d pixel by pixel.   margins: ((top, bottom), (left, right))"""
    x = numpy.pad(x, ((0, 0), *margins, (0, 0)))
    h, w = _places(x.shape, kernel.shape, stride)
    y = numpy.zeros((len(x), h, w, kernel.shape[3]))
    for i, j, a, b in numpy.ndindex(h, w, *kernel.shape[:2]):
        y[:, i, j] += x[:, stride[0] * i + a, stride[1] * j + b] @ kernel[a, b]
    return y


def loop_conv_transpose2d(
    x: numpy.ndarray, kernel: numpy.ndarray, stride: tuple[int, int], margins: Margins, output_shape: tuple[int, int]
) -> numpy.ndarray:
    """Computes ops.conv_transpose2d pixel by pixel, adding to the pixels that loop_conv2d reads."""
    (top, bottom), (left, right) = margins
    h, w = output_shape
    y = numpy.zeros((len(x), top + h + bottom, left + w + right, kernel.shape[2]))
    for i, j, a, b in numpy.ndindex(*x.shape[1:3], *kernel.shape[:2]):
        y[:, stride[0] * i + a, stride[1] * j + b] += x[:, i, j] @ kernel[a, b].T
    return y[:, top : top + h, left : left + w]


def loop_conv2d_kernel(
    x: numpy.ndarray, g: numpy.ndarray, kernel_size: tuple[int, int], stride: tuple[int, int], margins: Margins
) -> numpy.ndarray:
    """Computes ops.conv2d_kernel pixel by pixel."""
    x = numpy.pad(x, ((0, 0), *margins, (0, 0)))
    y = numpy.zeros((*kernel_size, x.shape[3], g.shape[3]))
    for i, j, a, b in numpy.ndindex(*g.shape[1:3], *kernel_size):
        y[a, b] += x[:, stride[0] * i + a, stride[1] * j + b].T @ g[:, i, j]
    return y


def _places(padded: tuple[int, ...], kernel: tuple[int, ...], stride: tuple[int, int]) -> tuple[int, int]:
    """Returns (H', W'), the number of windows down and across in padded images (N, H, W, C)."""
    return tuple((padded[i + 1] - kernel[i]) // stride[i] + 1 for i in (0, 1))


@dataclass(frozen=True)
class Convolution:
    """Shapes of a convolution with what its options mean: stride (down, across), margins of zeros."""

    x: tuple[int, int, int, int]
    kernel: tuple[int, int, int, int]
    options: dict[str, Any]
    stride: tuple[int, int]
    margins: Margins

    @property
    def y(self) -> tuple[int, int, int, int]:
        """Returns the shape of the result."""
        padded = (0, *(n + sum(margin) for n, margin in zip(self.x[1:3], self.margins, strict=True)))
        return (self.x[0], *_places(padded, self.kernel, self.stride), self.kernel[3])


CONVOLUTIONS = [
    Convolution((2, 4, 5, 2), (3, 2, 2, 3), {}, (1, 1), ((0, 0), (0, 0))),
    Convolution((2, 4, 6, 1), (4, 4, 1, 2), {"stride": 2, "padding": 1}, (2, 2), ((1, 1), (1, 1))),
    Convolution((1, 5, 4, 2), (3, 3, 2, 1), {"stride": (2, 3), "padding": (0, 2)}, (2, 3), ((0, 0), (2, 2))),
    Convolution((1, 3, 4, 1), (2, 3, 1, 2), {"stride": 3, "padding": ((1, 0), (0, 3))}, (3, 3), ((1, 0), (0, 3))),
    Convolution((1, 5, 4, 1), (3, 4, 1, 1), {"stride": 2, "padding": "same"}, (2, 2), ((1, 1), (1, 1))),
    Convolution((1, 4, 3, 2), (1, 2, 2, 1), {"stride": (3, 2), "padding": "valid"}, (3, 2), ((0, 0), (0, 0))),
    Convolution((1, 2, 1, 1), (1, 1, 1, 2), {"padding": 2}, (1, 1), ((2, 2), (2, 2))),
]
"""Odd sizes, strides that leave rows over or skip some, and every form of padding."""


def loop_lstm(
    inputs: numpy.ndarray,
    recurrent: numpy.ndarray,
    h0: numpy.ndarray,
    c0: numpy.ndarray,
    constant: numpy.ndarray | None = None,
    *norms: numpy.ndarray,
    counts: tuple[int, ...],
    dropout: numpy.ndarray | None = None,
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Computes h and c of ops.lstm sequence by sequence and step by step."""
    size = h0.shape[1]
    hs, cs = numpy.empty((2, len(inputs), size))
    for n, (h, c) in enumerate(zip(h0, c0, strict=True)):
        for k in [sum(counts[:t]) + n for t in range(len(counts)) if n < counts[t]]:
            blocks = (inputs[k] + h @ recurrent + (0 if constant is None else constant[n])).reshape(4, size)
            if norms:
                blocks = _loop_normalized(blocks) * norms[0].reshape(4, size) + norms[1].reshape(4, size)
            i, f, o = 1 / (1 + numpy.exp(-blocks[:3]))
            c = cs[k] = f * c + i * numpy.tanh(blocks[3]) * (1 if dropout is None else dropout[k])
            h = hs[k] = o * numpy.tanh(_loop_normalized(c) * norms[2] + norms[3] if norms else c)
    return hs, cs


def _loop_normalized(x: numpy.ndarray) -> numpy.ndarray:
    return (x - x.mean(-1, keepdims=True)) / numpy.sqrt(x.var(-1, keepdims=True) + 1e-5)


def _bernoulli_reference(event_ndim: int) -> Callable[..., Any]:
    event = tuple(range(-event_ndim, 0))
    return lambda x, a: (x * a - numpy.logaddexp(0, a)).sum(axis=event)


def _normal_reference(event_ndim: int) -> Callable[..., Any]:
    event = tuple(range(-event_ndim, 0))
    return lambda x, m, log_s: (-(((x - m) / numpy.exp(log_s)) ** 2) / 2 - log_s - numpy.log(2 * numpy.pi) / 2).sum(
        axis=event
    )


def _normal_kl_reference(event_ndim: int) -> Callable[..., Any]:
    """log s_p / s + ((s^2 + (m - m_p)^2) / s_p^2 - 1) / 2, summed over the event"""

    def divergence(m: Any, log_s: Any, m_p: Any, log_s_p: Any) -> Any:
        variance, prior_variance = numpy.exp(log_s) ** 2, numpy.exp(log_s_p) ** 2
        terms = numpy.log(prior_variance / variance) / 2 + (variance + (m - m_p) ** 2) / (2 * prior_variance) - 1 / 2
        return terms.sum(axis=tuple(range(-event_ndim, 0)))

    return divergence


def _lstm_rows() -> list[Case]:
    """Returns rows with equal and unequal counts: plain, with a constant, with dropout, and normalised with both."""

    def rows_of(counts: tuple[int, ...], size: int, constant: bool, dropped: bool, normalized: bool) -> Case:
        shapes = [(sum(counts), 4 * size), (size, 4 * size), (counts[0], size), (counts[0], size)]
        shapes += [(counts[0], 4 * size)] if constant else []
        shapes += [(4 * size,), (4 * size,), (size,), (size,)] if normalized else []

        def options(x: Any) -> dict[str, Any]:
            factors = _drawn(x, (sum(counts), size)).astype(x.dtype) if dropped else None
            return {"counts": counts, "dropout": factors}

        return row(
            lambda *x: ops.lstm(*x, **options(x[0])),
            lambda *x: loop_lstm(*x, **options(x[0]))[0],
            *(real(*shape) for shape in shapes),
        )

    return [
        rows_of((1,), 1, False, False, False),
        rows_of((2, 2), 2, False, False, False),
        rows_of((3, 2, 2, 1), 2, True, False, False),
        rows_of((2, 2), 2, False, True, False),
        rows_of((3, 1), 3, True, True, True),
    ]


def _lstm_step_rows() -> list[Case]:
    """Returns rows for h and c of one step, side by side: plain, with a constant, and normalised."""
    shapes = [(2, 12), (3, 12), (2, 3), (2, 3), (2, 12), (12,), (12,), (3,), (3,)]
    return [
        row(
            lambda *x: ops.concatenate(ops.lstm_step(*x), axis=1),
            lambda *x: numpy.concatenate(loop_lstm(*x, counts=(2,)), axis=1),
            *(real(*shape) for shape in shapes[:n]),
        )
        for n in (4, 5, 9)
    ]


def loop_gru(
    inputs: numpy.ndarray,
    recurrent: numpy.ndarray,
    recurrent_bias: numpy.ndarray,
    h0: numpy.ndarray,
    constant: numpy.ndarray | None = None,
    *,
    counts: tuple[int, ...],
) -> numpy.ndarray:
    """Computes ops.gru sequence by sequence and step by step."""
    size = h0.shape[1]
    hs = numpy.empty((len(inputs), size))
    for n, h in enumerate(h0):
        for k in [sum(counts[:t]) + n for t in range(len(counts)) if n < counts[t]]:
            x = (inputs[k] + (0 if constant is None else constant[n])).reshape(3, size)
            product = (h @ recurrent).reshape(3, size)
            r, u = 1 / (1 + numpy.exp(-(x[:2] + product[:2])))
            h = hs[k] = (1 - u) * numpy.tanh(x[2] + r * (product[2] + recurrent_bias)) + u * h
    return hs


def _gru_rows() -> list[Case]:
    """Returns rows with equal and unequal counts, plain and with a constant."""

    def rows_of(counts: tuple[int, ...], size: int, constant: bool) -> Case:
        shapes = [(sum(counts), 3 * size), (size, 3 * size), (size,), (counts[0], size)]
        shapes += [(counts[0], 3 * size)] if constant else []
        domains = (real(*shape) for shape in shapes)
        return row(_with_counts(ops.gru, counts), _with_counts(loop_gru, counts), *domains)

    return [rows_of((1,), 1, False), rows_of((2, 2), 2, False), rows_of((3, 2, 2, 1), 2, True), rows_of((3,), 3, True)]


def _gru_step_rows() -> list[Case]:
    """Returns rows for one step, plain and with a constant."""
    shapes = [(2, 9), (3, 9), (3,), (2, 3), (2, 9)]
    return [row(ops.gru_step, _with_counts(loop_gru, (2,)), *(real(*shape) for shape in shapes[:n])) for n in (4, 5)]


def _with_counts(function: Callable[..., Any], counts: tuple[int, ...]) -> Callable[..., Any]:
    return lambda *x: function(*x, counts=counts)


_ROWS = numpy.array([2, 0, 2, 3, 2])
_MASK = numpy.array([[True, False, True, True], [False, False, True, False], [True, True, False, True]])
_INDICES = (
    1,
    -1,
    slice(None, None, 2),
    (slice(None), slice(3, 0, -2)),
    (..., None, 1),
    (2, 3, 1),
    numpy.array([2, 0, 2, -1]),
    (slice(None), numpy.array([[0, 1], [1, 1]])),
    (numpy.array([0, 2, 2]), numpy.array([3, 1, 1])),
    (numpy.array([0, 2, 2]), slice(None), numpy.array([1, 0, 0])),
    _MASK,
)
_PAD = ((1, 2), (0, 1))

CASES: dict[str, list[Case]] = {
    "abs": entry_rows(ops.abs, numpy.abs, halves),
    "activated": [
        *broadcast_rows(_with(ops.activated, activation=ops.tanh), lambda x, b: numpy.tanh(x + b)),
        *broadcast_rows(_with(ops.activated, activation=ops.relu), lambda x, b: numpy.maximum(x + b, 0), halves, whole),
        row(
            _with(ops.activated, activation=ops.leaky_relu),
            lambda x, b: numpy.where(x + b > 0, x + b, 0.01 * (x + b)),
            *(halves(3, 4), whole(4)),
        ),
        row(
            _with(ops.activated, activation=ops.sigmoid),
            lambda x, b: _special("expit")(x + b),
            *(real(3, 4), real(4)),
        ),
        row(
            _with(ops.activated, activation=ops.softplus),
            lambda x, b: numpy.logaddexp(0, x + b),
            *(real(3, 4), real(4)),
        ),
    ],
    "add": [*broadcast_rows(ops.add, numpy.add), row(lambda x: 2.5 + x, lambda x: 2.5 + x, real(3))],
    "affine": [
        row(_with(ops.affine, activation=activation), reference, real(*shape), real(4, 5), real(5))
        for activation, reference in (
            (None, lambda x, w, b: x @ w + b),
            (ops.tanh, lambda x, w, b: numpy.tanh(x @ w + b)),
        )
        for shape in ((3, 4), (2, 3, 4), (4,))
    ],
    "bernoulli_log_prob": [
        row(partial(ops.bernoulli_log_prob, event_ndim=n), _bernoulli_reference(n), real(*x), real(*logits))
        for x, logits, n in [
            ((3, 4), (3, 4), 1),
            ((3, 4), (2, 3, 4), 1),
            ((2, 3, 4), (3, 4), 2),
            ((4,), (4,), 1),
            ((3, 4), (3, 4), 0),
            ((2, 3, 4), (4,), 1),
            ((3, 2, 2, 1), (3, 2, 2, 1), 3),
        ]
    ],
    "broadcast_to": [
        row(_with(ops.broadcast_to, (2, 3, 4)), lambda x: x + numpy.zeros((2, 3, 4)), real(*shape))
        for shape in ((3, 4), (3, 1), (), (2, 3, 4))
    ],
    "clip": [row(*_both("clip", -1, 1), halves(3, 4)), row(*_both("clip", -2.0, 1.0), halves())],
    "concatenate": [
        row(lambda x, y: ops.concatenate([x, y]), lambda x, y: numpy.concatenate([x, y]), real(2, 3), real(4, 3)),
        row(
            lambda x, y, z: ops.concatenate([x, y, z], axis=-1),
            lambda x, y, z: numpy.concatenate([x, y, z], axis=-1),
            *(real(2, 1), real(2, 3), real(2, 2)),
        ),
    ],
    "conv2d": [
        row(
            lambda x, kernel, c=c: ops.conv2d(x, kernel, **c.options),
            lambda x, kernel, c=c: loop_conv2d(x, kernel, c.stride, c.margins),
            *(real(*c.x), real(*c.kernel)),
        )
        for c in CONVOLUTIONS
    ],
    "conv2d_kernel": [
        row(
            lambda x, g, c=c: ops.conv2d_kernel(x, g, c.kernel[:2], **c.options),
            lambda x, g, c=c: loop_conv2d_kernel(x, g, c.kernel[:2], c.stride, c.margins),
            *(real(*c.x), real(*c.y)),
        )
        for c in CONVOLUTIONS
    ],
    "conv_transpose2d": [
        row(
            lambda x, kernel, c=c: ops.conv_transpose2d(x, kernel, **c.options, output_shape=c.x[1:3]),
            lambda x, kernel, c=c: loop_conv_transpose2d(x, kernel, c.stride, c.margins, c.x[1:3]),
            *(real(*c.y), real(*c.kernel)),
        )
        for c in CONVOLUTIONS
    ],
    "crop": [row(_with(ops.crop, _PAD), lambda x: x[1:-2, :-1], real(5, 4))],
    "divide": [
        *broadcast_rows(ops.divide, numpy.divide, real, positive),
        row(lambda x: x / 3, lambda x: x / 3, real(3)),
        row(lambda x: 3 / x, lambda x: 3 / x, positive(3)),
    ],
    "exp": entry_rows(ops.exp, numpy.exp, real),
    "expm1": entry_rows(ops.expm1, numpy.expm1, real),
    "getitem": _index_rows(*_INDICES),
    "leaky_relu": [
        *entry_rows(ops.leaky_relu, lambda x: numpy.where(x > 0, x, 0.01 * x), halves),
        row(_with(ops.leaky_relu, slope=0.2), lambda x: numpy.where(x > 0, x, 0.2 * x), halves(5)),
    ],
    "log": entry_rows(ops.log, numpy.log, positive),
    "log1p": entry_rows(ops.log1p, numpy.log1p, unit),
    "log_ratio": broadcast_rows(_log_ratio, numpy.subtract),
    "logsumexp": reduction_rows(ops.logsumexp, numpy.logaddexp.reduce),
    "gru": _gru_rows(),
    "lstm": _lstm_rows(),
    "matmul": [
        row(ops.matmul, numpy.matmul, real(*x), real(*y))
        for x, y in [
            ((3, 4), (4, 5)),
            ((4,), (4, 5)),
            ((3, 4), (4,)),
            ((4,), (4,)),
            ((2, 3, 4), (4, 2)),
            ((3, 4), (2, 4, 2)),
            ((2, 1, 3, 2), (3, 2, 2)),
            ((4,), (2, 4, 3)),
            ((2, 3, 4), (4,)),
        ]
    ],
    "max": reduction_rows(ops.max, numpy.max, distinct),
    "maximum": [
        *broadcast_rows(ops.maximum, numpy.maximum, whole, halves),
        row(_with(ops.maximum, 0.0), _with(numpy.maximum, 0.0), halves(5)),
        row(lambda x: ops.maximum(1.0, x), lambda x: numpy.maximum(1.0, x), halves(5)),
    ],
    "mean": reduction_rows(ops.mean, numpy.mean),
    "min": reduction_rows(ops.min, numpy.min, distinct),
    "minimum": [
        *broadcast_rows(ops.minimum, numpy.minimum, whole, halves),
        row(_with(ops.minimum, 0.0), _with(numpy.minimum, 0.0), halves(5)),
        row(lambda x: ops.minimum(1.0, x), lambda x: numpy.minimum(1.0, x), halves(5)),
    ],
    "multiply": [*broadcast_rows(ops.multiply, numpy.multiply), row(lambda x: 3 * x, lambda x: 3 * x, real(3))],
    "negative": entry_rows(ops.negative, numpy.negative, real),
    "normal_draw": [
        row(ops.normal_draw, lambda m, log_s, e: m + numpy.exp(log_s) * e, real(*mean), real(*log_std), real(*noise))
        for mean, log_std, noise in [
            ((3, 4), (3, 4), (3, 4)),
            ((3, 4), (3, 4), (1, 3, 4)),
            ((3, 4), (3, 4), (2, 3, 4)),
            ((3, 4), (), (3, 4)),
            ((4,), (3, 1), (2, 3, 4)),
        ]
    ],
    "normal_kl": [
        row(partial(ops.normal_kl, event_ndim=n), _normal_kl_reference(n), *(real(*shape) for shape in shapes))
        for *shapes, n in [
            ((3, 4), (3, 4), (3, 4), (3, 4), 1),
            ((3, 4), (3, 4), (4,), (4,), 1),
            ((2, 3, 4), (4,), (3, 4), (), 1),
            ((4,), (4,), (2, 3, 4), (3, 1), 2),
            ((3, 4), (3, 4), (3, 4), (3, 4), 0),
        ]
    ],
    "normal_log_prob": [
        row(partial(ops.normal_log_prob, event_ndim=n), _normal_reference(n), real(*x), real(*mean), real(*log_std))
        for x, mean, log_std, n in [
            ((3, 4), (3, 4), (3, 4), 1),
            ((3, 4), (2, 3, 4), (), 1),
            ((2, 3, 4), (3, 4), (4,), 2),
            ((2, 3, 4), (4,), (3, 1), 1),
            ((4,), (4,), (4,), 1),
            ((3, 4), (3, 4), (3, 4), 0),
        ]
    ],
    "pad": [row(*_both("pad", _PAD), real(2, 3)), row(*_both("pad", ((2, 0),)), real(3))],
    "power": [
        *broadcast_rows(ops.power, numpy.power, positive, real),
        *(row(_with(ops.power, p), _with(numpy.power, p), real(3, 4)) for p in (0, 1, 2, 3.0)),
        *(row(_with(ops.power, p), _with(numpy.power, p), positive(5)) for p in (-1, -0.5, 0.5)),
        row(lambda p: ops.power(1.5, p), lambda p: numpy.power(1.5, p), real(5)),
    ],
    "relu": entry_rows(ops.relu, lambda x: numpy.maximum(x, 0), halves),
    "gather_rows": [
        row(lambda x, i=i: ops.gather_rows(x, _beside(x, i)), lambda x, i=i: numpy.array([x[k] for k in i]), real(4, 3))
        for i in (_ROWS, _ROWS[:1])
    ],
    "reshape": [
        row(_with(ops.reshape, (4, -1)), lambda x: x.reshape(4, 6), real(2, 3, 4)),
        row(_with(ops.reshape, 6), lambda x: x.reshape(6), real(2, 3)),
        row(_with(ops.reshape, ()), lambda x: x.reshape(()), real(1, 1)),
    ],
    "scatter_add": _scatter_rows(*_INDICES),
    "scatter_rows": [
        row(lambda x: ops.scatter_rows(x, _beside(x, _ROWS), 4), lambda x: numpy.eye(4)[_ROWS].T @ x, real(5, 3))
    ],
    "sigmoid": entry_rows(ops.sigmoid, _special("expit"), real),
    "softplus": entry_rows(ops.softplus, lambda x: numpy.logaddexp(0, x), real),
    "sqrt": entry_rows(ops.sqrt, numpy.sqrt, positive),
    "square": entry_rows(ops.square, numpy.square, real),
    "subtract": [
        *broadcast_rows(ops.subtract, numpy.subtract),
        row(lambda x: x - 1, lambda x: x - 1, real(3)),
        row(lambda x: 1 - x, lambda x: 1 - x, real(3)),
    ],
    "sum": reduction_rows(ops.sum, numpy.sum),
    "sum_to": [
        row(_with(ops.sum_to, shape), _sum_to_reference(shape), real(2, 3, 4))
        for shape in ((3, 4), (3, 1), (1, 1, 4), (), (2, 3, 4))
    ],
    "swapaxes": [row(*_both("swapaxes", 0, -1), real(2, 3, 4)), row(*_both("swapaxes", 1, 0), real(2, 3))],
    "tanh": entry_rows(ops.tanh, numpy.tanh, real),
    "transpose": [row(*_both("transpose", axes), real(2, 3, 4)) for axes in (None, (1, 2, 0), (-1, 0, 1))],
    "where": [
        row(
            lambda x, y: ops.where(_beside(x, _MASK), x, y), lambda x, y: numpy.where(_MASK, x, y), real(3, 4), real(4)
        ),
        row(lambda x: ops.where(_beside(x, _MASK), x, 0.5), lambda x: numpy.where(_MASK, x, 0.5), real(3, 1)),
        row(lambda y: ops.where(_beside(y, _MASK), 0.5, y), lambda y: numpy.where(_MASK, 0.5, y), real()),
    ],
}
"""The rows of each primitive, by its name."""

COMPOSITES: dict[str, list[Case]] = {
    "expand_dims": [row(*_both("expand_dims", axis), real(2, 3)) for axis in (0, 1, 2, -1, -3)],
    "log_softmax": [
        row(_with(ops.log_softmax, **options), _with(_special("log_softmax"), **{"axis": -1} | options), real(2, 3, 2))
        for options in ({}, {"axis": 1})
    ],
    "gru_step": _gru_step_rows(),
    "lstm_step": _lstm_step_rows(),
    "softmax": [
        row(_with(ops.softmax, **options), _with(_special("softmax"), **{"axis": -1} | options), real(2, 3, 2))
        for options in ({}, {"axis": 1})
    ],
    "squeeze": [row(*_both("squeeze", axis), real(1, 3, 1)) for axis in (None, 0, -1, (0, 2))],
    "stack": [
        row(
            lambda x, y, axis=axis: ops.stack([x, y], axis=axis),
            lambda x, y, axis=axis: numpy.stack([x, y], axis=axis),
            *(real(2, 3), real(2, 3)),
        )
        for axis in (0, 1, -1, -2)
    ],
    "upsample2d": [
        row(
            _with(ops.upsample2d, factor),
            lambda x, factor=factor: numpy.kron(x, numpy.ones((1, *numpy.broadcast_to(factor, 2), 1))),
            real(2, 3, 2, 2),
        )
        for factor in (1, 2, (3, 1))
    ],
}
"""The rows of the functions of `ops` that are made of primitives, by their names."""

ADJOINT_PAIRS: dict[str, AdjointPair] = {
    "broadcast_to, sum_to": AdjointPair(
        _with(ops.broadcast_to, (2, 3, 4)), _with(ops.sum_to, (3, 1)), (3, 1), (2, 3, 4)
    ),
    **{
        f"conv2d, conv_transpose2d {i}": AdjointPair(
            lambda x, c=c: ops.conv2d(x, _drawn(x, c.kernel), **c.options),
            lambda y, c=c: ops.conv_transpose2d(y, _drawn(y, c.kernel), **c.options, output_shape=c.x[1:3]),
            *(c.x, c.y),
        )
        for i, c in enumerate(CONVOLUTIONS)
    },
    **{
        f"conv2d by its kernel, conv2d_kernel {i}": AdjointPair(
            lambda kernel, c=c: ops.conv2d(_drawn(kernel, c.x), kernel, **c.options),
            lambda y, c=c: ops.conv2d_kernel(_drawn(y, c.x), y, c.kernel[:2], **c.options),
            *(c.kernel, c.y),
        )
        for i, c in enumerate(CONVOLUTIONS)
    },
    "gather_rows, scatter_rows": AdjointPair(
        lambda x: ops.gather_rows(x, _beside(x, _ROWS)),
        lambda y: ops.scatter_rows(y, _beside(y, _ROWS), 4),
        *((4, 3), (5, 3)),
    ),
    "getitem, scatter_add": AdjointPair(
        lambda x: ops.getitem(x, _beside(x, numpy.array([2, 0, 2]))),
        lambda y: ops.scatter_add(y, _beside(y, numpy.array([2, 0, 2])), (3, 4)),
        *((3, 4), (3, 4)),
    ),
    "getitem, scatter_add of a half": AdjointPair(
        _with(ops.getitem, (..., slice(2, None))), _with(ops.scatter_add, (..., slice(2, None)), (3, 4)), (3, 4), (3, 2)
    ),
    "getitem, scatter_add by a slice": AdjointPair(
        _with(ops.getitem, (slice(None, None, 2), None, -1)),
        _with(ops.scatter_add, (slice(None, None, 2), None, -1), (3, 4)),
        *((3, 4), (2, 1)),
    ),
    "pad, crop": AdjointPair(_with(ops.pad, _PAD), _with(ops.crop, _PAD), (2, 3), (5, 4)),
    "reshape": AdjointPair(_with(ops.reshape, (4, 3)), _with(ops.reshape, (2, 6)), (2, 6), (4, 3)),
    "swapaxes": AdjointPair(_with(ops.swapaxes, 0, 2), _with(ops.swapaxes, 0, 2), (2, 3, 4), (4, 3, 2)),
    "transpose": AdjointPair(_with(ops.transpose, (1, 2, 0)), _with(ops.transpose, (2, 0, 1)), (2, 3, 4), (3, 4, 2)),
    "upsample2d, sum over blocks": AdjointPair(
        _with(ops.upsample2d, (2, 3)),
        lambda y: ops.sum(ops.reshape(y, (2, 3, 2, 2, 3, 2)), axis=(2, 4)),
        *((2, 3, 2, 2), (2, 6, 6, 2)),
    ),
}
"""The linear primitives, each with its adjoint."""


def primitives() -> dict[str, Primitive]:
    """Returns every primitive of the engine and of the modules of `ops`, by name."""
    modules = [autodiff, *(import_module(f"{ops.__name__}.{module.name}") for module in iter_modules(ops.__path__))]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Primitive)]
    return {str(primitive): primitive for primitive in found}


def composites() -> dict[str, Callable[..., Any]]:
    """Returns every public function of `ops` that is not a primitive, by name."""
    return {
        name: value
        for name, value in vars(ops).items()
        if callable(value) and not name.startswith("_") and name not in primitives()
    }


# ---- checks


@SECTION.row("{}", tolerance=1e-6, each=CASES | COMPOSITES)
def check_cases(cases: list[Case], device: str = "cpu") -> float:
    """Returns the largest error in the gradients of one operation, of orders 1 and 2."""
    return largest(*(check_case(case, device) for case in cases))


def check_case(case: Case, device: str = "cpu", order: int = 2) -> float:
    """Checks value, types and gradients of one row, and returns the largest error of its gradients.

    Raises GradientError, an AssertionError, for gradients of order 1 to `order` that are off by more than 1e-6.
    """
    check_value(case, device)
    check_types(case, device)
    return check_gradients(case.function, *(asarray(x, device) for x in case.inputs()), order=order)


def check_value(case: Case, device: str = "cpu") -> None:
    """Checks that the function equals its reference, on arrays and on Tensors, and is finite."""
    arrays = case.inputs()
    expected = numpy.asarray(case.reference(*arrays))
    on_device = [asarray(x, device) for x in arrays]
    for received in (case.function(*on_device), case.function(*map(Tensor, on_device)).data):
        _require(not isinstance(received, Tensor), "arrays gave a Tensor")
        _require(received.shape == expected.shape, f"expected shape {expected.shape}, received {received.shape}")
        received = to_numpy(received)
        _require(numpy.isfinite(received).all(), f"the value is not finite: {received}")
        _require(
            numpy.allclose(received, expected, rtol=1e-12, atol=1e-12), f"expected {expected}, received {received}"
        )


def check_types(case: Case, device: str = "cpu") -> None:
    """Checks that float32 inputs give float32 results and cotangents, likewise float64, and stay unchanged."""
    for dtype in (numpy.float32, numpy.float64):
        arrays = [x.astype(dtype) for x in case.inputs()]
        for x in arrays:
            x.flags.writeable = False
        inputs = [Tensor(asarray(x, device)) for x in arrays]
        y = case.function(*inputs)
        gradients = grad(ops.sum(y), inputs) + [
            g.data for g in grad(ops.sum(case.function(*inputs)), inputs, create_graph=True)
        ]
        for received in (y.data, *gradients):
            _require(received.dtype == dtype, f"{numpy.dtype(dtype)} in, {received.dtype} out")
            _require(device_of(received) == device, f"{device} in, {device_of(received)} out")
        for x, before in zip(inputs, arrays, strict=True):
            _require(numpy.array_equal(to_numpy(x), before), "an input was written to")


def check_unwanted(case: Case, device: str = "cpu") -> None:
    """Checks that a gradient by one input asks only for the rules of the argument positions that this input fills."""
    inputs = [Tensor(asarray(x, device)) for x in case.inputs()]
    node = case.function(*inputs)
    primitive = node.primitive
    loss, rules, together = ops.sum(node), primitive.rules, primitive.together
    for x in inputs:
        recorder = _Recorder(rules, together)
        primitive.rules, primitive.together = recorder, together and recorder.together
        try:
            grad(loss, [x])
        finally:
            primitive.rules, primitive.together = rules, together
        positions = {i for i, argument in enumerate(node.arguments) if argument is x}
        _require(recorder.asked == positions, f"{primitive}: rules {recorder.asked} asked for, not {positions}")


@SECTION.row("adjoint: {}", tolerance=1e-14, each=ADJOINT_PAIRS)
def check_adjoint(pair: AdjointPair, device: str = "cpu") -> float:
    """|<A x, y> - <x, A' y>| / (|A x| |y|) = 0 up to rounding; raises AssertionError above 1e-14."""
    rng = numpy.random.default_rng(0)
    x, y = rng.standard_normal(pair.x_shape), rng.standard_normal(pair.y_shape)
    forward, adjoint = to_numpy(pair.forward(asarray(x, device))), to_numpy(pair.adjoint(asarray(y, device)))
    _require(forward.shape == y.shape, f"A x has shape {forward.shape}, y {y.shape}")
    _require(adjoint.shape == x.shape, f"A' y has shape {adjoint.shape}, x {x.shape}")
    error = abs((forward * y).sum() - (x * adjoint).sum()) / (numpy.linalg.norm(forward) * numpy.linalg.norm(y))
    _require(error <= 1e-14, f"<A x, y> and <x, A' y> differ by {error:.2g}")
    return float(error)


class _Recorder:
    """Hands out a primitive's rules and remembers for which arguments."""

    def __init__(self, rules: Any, together: Any) -> None:
        self.rules, self.rule, self.asked = rules, together, set()

    def get(self, i: int) -> Any:
        self.asked.add(i)
        return self.rules.get(i)

    def together(self, wanted: list[int], *arguments: Any, **options: Any) -> Any:
        self.asked |= set(wanted)
        return self.rule(wanted, *arguments, **options)


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise AssertionError(sentence)
