"""The distribution of a drawing generates it row by row.

A sketch x (T, 5) has the rows (dx, dy, down, up, end): the offset to the next point, and one of the pen's three states
after it. The first n rows are points. The row (0, 0, 0, 0, 1) is the end, and all rows after it are equal to it and
carry no information.
"""

from __future__ import annotations

import math
from typing import Any

from scratchvae import ops
from scratchvae.autodiff import no_grad
from scratchvae.backend import array_module
from scratchvae.distributions.bivariate_mixture import BivariateMixture
from scratchvae.distributions.categorical import Categorical
from scratchvae.distributions.distribution import Distribution
from scratchvae.errors import DataError, InputError, ShapeError, whole_number
from scratchvae.nn import LSTM, Module
from scratchvae.nn.packing import arranged

DOWN, UP, END = range(3)  # the pen's states


class SketchStep(Distribution):
    """p(row) = q(pen) m(dx, dy), and q(end) alone for the end:   pen ~ Categorical, (dx, dy) ~ BivariateMixture

    Parameters
    ----------
    pen : Categorical
        The distribution of the pen's three states, down, up and end, for each entry of a batch.
    offset : BivariateMixture
        The distribution of (dx, dy).

    Attributes
    ----------
    pen, offset
        The parameters of these names.

    See Also
    --------
    SketchDistribution : a whole sketch, made of such rows.

    Examples
    --------
    >>> import math, numpy
    >>> from scratchvae.distributions import BivariateMixture, Categorical, SketchStep
    >>> offset = BivariateMixture(numpy.zeros(1), numpy.zeros((1, 2)), numpy.zeros((1, 2)), numpy.zeros(1))
    >>> step = SketchStep(Categorical(numpy.zeros(3)), offset)
    >>> point, end = numpy.array([0.0, 0.0, 1.0, 0.0, 0.0]), numpy.array([0.0, 0.0, 0.0, 0.0, 1.0])
    >>> math.isclose(step.log_prob(point), -math.log(3) - math.log(2 * math.pi))
    True
    >>> math.isclose(step.log_prob(end), -math.log(3))
    True
    """

    event_ndim = 1

    def __init__(self, pen: Categorical, offset: BivariateMixture) -> None:
        self.pen, self.offset = pen, offset

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a batch of rows."""
        return (*self.pen.shape, 5)

    def log_prob(self, rows: Any) -> Any:
        """log p(row) = log q(pen) + log m(dx, dy), without the second term at the end, in nats.   (..., 5) -> (...)"""
        pen = rows[..., 2:].argmax(axis=-1)
        return self.pen.log_prob(pen) + ops.where(pen == END, 0.0, self.offset.log_prob(rows[..., :2]))

    def sample(self, uniform: Any, normal: Any, temperature: float = 1.0) -> Any:
        """Draws a row, an array.   (..., 2), (..., 2) -> (..., 5)

        Uniform noise chooses the pen's state and the mixture's component, normal noise the offset. The temperature
        divides the logits of the pen and of the mixture and multiplies the variances.

        Source: Ha & Eck (2017), equation 8.
        """
        with no_grad():
            pen = Categorical(self.pen.logits / temperature).sample(uniform[..., 0])[..., None]
            offset = self.offset.at_temperature(temperature).sample(uniform[..., 1], normal) * (pen != END)
            return ops.concatenate([offset, (pen == array_module(pen).arange(3)).astype(offset.dtype)], axis=-1)


class SketchDistribution(Distribution):
    """p(x) = product over t = 1, ..., n + 1 of p(x_t | x_1, ..., x_(t-1)),   where x_(n+1) is the end

    h_t, c_t = lstm(x_(t-1); h_(t-1), c_(t-1), constant),   p(x_t | ...) = head(h_t),   x_0 = (0, 0, 1, 0, 0)

    Source: deck, "A sequence model: SketchRNN"; Ha & Eck (2017), equations 1 to 9.

    Parameters
    ----------
    lstm : LSTM
        The layer that reads rows of 5 numbers and gives h, H numbers.
    head : Module
        The network of the next row's distribution, (..., H) -> SketchStep.
    h0, c0 : arrays or Tensors, (..., N, H)
        The initial state, which a decoder computes from z.
    constant : array or Tensor, (..., N, 4 H)
        Numbers that every step adds to its pre-activations, which a decoder computes from z.
    scale : array ()
        The unit of the lstm and the head: offsets are divided by it. The density is that of x before the division.
    noise : Noise, optional
        If it is given, log_prob applies the lstm's dropout.

    Attributes
    ----------
    lstm, head, h0, c0, constant, scale, noise
        The parameters of these names.

    See Also
    --------
    SketchStep : the distribution of one row.
    scratchvae.models.SketchDecoder : the decoder of this likelihood.
    scratchvae.SketchRNN : the model.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> p = sv.models.SketchDecoder(2, 4, 3, sv.Noise(0))(numpy.zeros((1, 2), numpy.float32))
    >>> x = p.sample(sv.Noise(0), longest=6)
    >>> x.shape, p.log_prob(x).shape
    ((1, 7, 5), (1,))
    >>> x[0, -1]  # the end
    array([0., 0., 0., 0., 1.], dtype=float32)
    """

    event_ndim = 2
    support = "sketches"

    def __init__(
        self, lstm: LSTM, head: Module, h0: Any, c0: Any, constant: Any, scale: Any, noise: Any = None
    ) -> None:
        self.lstm, self.head, self.scale, self.noise = lstm, head, scale, noise
        self.h0, self.c0, self.constant = h0, c0, constant

    @classmethod
    def check_data(cls, x: Any) -> None:
        """Raises DataError for finite numbers that are not sketches (N, T, 5) with at least one point and an end."""
        if x.ndim != 3 or x.shape[2] != 5:
            expected = "sketches (N, T, 5), rows (dx, dy, down, up, end)"
            raise DataError("data", expected, f"shape {x.shape}", "sv.data.load reads files of sketches")
        pen, at_end = x[..., 2:], _at_end(x)[..., 0]
        if not bool(((pen == 0) | (pen == 1)).all()) or not bool((pen.sum(axis=-1) == 1).all()):
            raise DataError("data", "rows with one of down, up and end equal to 1, the others 0", "another row")
        if not bool(at_end[:, -1].all()) or bool(at_end[:, 0].any()):
            received = "a sketch without an end" if not bool(at_end[:, -1].all()) else "a sketch without a point"
            raise DataError("data", "points in every sketch, and the end (0, 0, 0, 0, 1) behind them", received)
        if bool((at_end[:, :-1] & ~at_end[:, 1:]).any()) or bool(x[at_end][:, :2].any()):
            raise DataError("data", "rows (0, 0, 0, 0, 1) from the end on", "another row after the end")

    @classmethod
    def quantity(cls, x: Any = None) -> str:
        """Returns the sentence that names the ELBO of the sketches x, or of any sketches if x is None."""
        whole = x is not None and bool((x[..., :2] == x[..., :2].round()).all())
        return (
            f"lower bound of log p(x), a density of offsets{'; whole numbers are to be dequantised' if whole else ''}"
        )

    def log_prob(self, x: Any) -> Any:
        """log p(x) = sum over the n points and the end of log p(x_t | x_1, ..., x_(t-1)), in nats.

        All steps are computed at once, each from the true rows before it (teacher forcing). Rows after the end are not
        read. An x without an end is a prefix, for which the sum has its T points. The density of an offset, in the
        units of x, is that of offset / scale, divided by scale^2.   shape: (N, T, 5) -> (..., N)
        """
        *_, n, _ = shape = self.h0.shape
        if x.ndim != 3 or x.shape[0] != n or x.shape[1] < 1 or x.shape[2] != 5:
            raise ShapeError("SketchDistribution.log_prob", f"sketches of shape ({n}, T, 5)", f"shape {x.shape}")
        samples = math.prod(shape[:-2])
        xp, x = array_module(x), self._in_units(x)
        x = xp.broadcast_to(x, (samples, *x.shape)).reshape(-1, *x.shape[1:])
        packing = arranged(xp.minimum(n_points(x) + 1, x.shape[1]), x.shape[1])
        before = xp.concatenate([_resting(x, (len(x), 1), DOWN), x[:, :-1]], axis=1)
        h0, c0, constant = (ops.reshape(part, (len(x), -1)) for part in (self.h0, self.c0, self.constant))
        h = self.lstm(packing.pack(before), packing, (h0, c0), constant, self.noise)
        rows = packing.pack(x)
        log_area = 2 * ops.log(self.scale) * ~_at_end(rows)[:, 0]
        return ops.reshape(packing.sum(self.head(h).log_prob(rows) - log_area), shape[:-1])

    def sample(self, noise: Any, temperature: float = 1.0, prefix: Any = None, longest: int = 250) -> Any:
        """Draws sketches row by row, an array.   (..., N, longest + 1, 5)

        Every sketch has an end; one that reaches `longest` points is cut there. A prefix, (P, 5) or (N, P, 5), is
        continued after its last point. The temperature is that of `SketchStep.sample`. Raises InputError for a
        temperature that is not positive, ShapeError for a prefix of another shape or with more than `longest` rows.
        """
        if not 0 < temperature < math.inf:
            raise InputError("SketchDistribution.sample", "a positive temperature", repr(temperature))
        whole_number("SketchDistribution.sample", "longest", longest)
        with no_grad():
            shape = self.h0.shape[:-1]
            n = math.prod(shape)
            h, c, constant = (ops.reshape(part, (n, -1)) for part in (self.h0, self.c0, self.constant))
            beginning = [] if prefix is None else self._by_steps(prefix, longest, shape)
            uniform = noise.uniform("pen and component", (longest, n, 2))
            normal = noise.normal("offset", (longest, n, 2))
            row, x = _resting(h, (n,), DOWN), _resting(h, (longest + 1, n), END)
            for t in range(longest):
                h, c = self.lstm.step(row, (h, c), constant)
                row = self.head(h).sample(uniform[t], normal[t], temperature)
                if t < len(beginning):
                    row = ops.where(_at_end(beginning[t]), row, beginning[t])
                if t > 0:
                    row = ops.where(_at_end(x[t - 1]), x[longest], row)
                x[t] = row
                if bool(_at_end(row).all()):
                    break
            x[..., :2] *= self.scale
            return x.swapaxes(0, 1).reshape(*shape, longest + 1, 5)

    def _in_units(self, x: Any) -> Any:
        """Returns x in the units of the lstm and the head."""
        return array_module(x).concatenate([x[..., :2] / self.scale, x[..., 2:]], axis=-1)

    def _by_steps(self, prefix: Any, longest: int, shape: tuple[int, ...]) -> Any:
        """Returns the prefix of each sketch, with the steps first.   (..., P, 5) -> (P, sketches, 5)"""
        if prefix.ndim not in (2, 3) or prefix.shape[-1] != 5 or prefix.shape[-2] > longest:
            expected = f"a prefix of shape (P, 5) or ({shape[-1]}, P, 5), P at most {longest}"
            raise ShapeError("SketchDistribution.sample", expected, f"shape {prefix.shape}")
        rows = ops.broadcast_to(self._in_units(prefix), (*shape, *prefix.shape[-2:]))
        return rows.reshape(-1, *prefix.shape[-2:]).swapaxes(0, 1)


def n_points(x: Any) -> Any:
    """Returns the number of points before the end, or T if there is no end.   (..., T, 5) -> integers (...)"""
    ends = _at_end(x)[..., 0]
    return array_module(x).where(ends.any(axis=-1), ends.argmax(axis=-1), x.shape[-2])


def _at_end(rows: Any) -> Any:
    """Returns which rows are the end.   (..., 5) -> truth values (..., 1)"""
    return rows[..., 2 + END :] > 0.5


def _resting(like: Any, shape: tuple[int, ...], pen: int) -> Any:
    """Returns rows with no offset and the pen in this state, in the type and on the device of `like`.   (*shape, 5)"""
    rows = array_module(like).zeros((*shape, 5), dtype=like.dtype)
    rows[..., 2 + pen] = 1.0
    return rows
