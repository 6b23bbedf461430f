"""The distribution of a table's row is a product of one likelihood for each column."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy

from scratchvae.autodiff import no_grad
from scratchvae.backend import array_module, constant
from scratchvae.columns import CATEGORY, COUNT, NUMBER, Column, standardized, units
from scratchvae.distributions.bernoulli import Bernoulli
from scratchvae.distributions.categorical import Categorical
from scratchvae.distributions.distribution import Distribution
from scratchvae.distributions.event import check_event
from scratchvae.distributions.known_entries import KnownEntries
from scratchvae.distributions.normal import Normal
from scratchvae.distributions.poisson import Poisson
from scratchvae.distributions.special import special


class Columns(Distribution):
    """p(x) = product over the columns of p_d(x_d): numbers, counts and levels of one row x, (D,)

    The factor of a column depends on its kind::

        number                   Normal((x - m) / s; f, sigma) / s    m, s: mean and std of the column
        count                    Poisson(x; e^f)
        category of two levels   Bernoulli(x; sigmoid(f))             x: 0 or 1
        category of L levels     Categorical(x; softmax(f))           x: 0, ..., L - 1;   f: L numbers

    Densities are in the table's own units. An entry that is NaN is not known, and its factor is left out.

    Source: Nazabal, Olmos, Ghahramani & Valera (2020), "Handling incomplete heterogeneous data using VAEs", section 2.

    Parameters
    ----------
    columns : sequence of Column
        D of them.
    outputs : array or Tensor, (..., N, P)
        f of all columns side by side: first numbers, then counts, then categories of two levels, then the others.
    log_std : array or Tensor
        log sigma for each column of numbers.

    Attributes
    ----------
    columns : tuple of Column
    outputs, log_std
        The parameters of these names.

    See Also
    --------
    scratchvae.data.Column : the description of a column.
    scratchvae.TableVAE : the model with this likelihood.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> columns = [sv.data.Column("age", "number", mean=40.0, std=10.0), sv.data.Column("sex", "category", ("f", "m"))]
    >>> p = sv.distributions.Columns(columns, numpy.zeros((1, 2)), numpy.zeros(1))
    >>> p.mean, numpy.exp(p.log_prob(numpy.array([[numpy.nan, 1.0]])))
    (array([[40.,  0.]]), array([0.5]))
    """

    event_ndim = 1
    support = "numbers, counts, and the numbers of levels"
    data_kinds = "fiu"

    def __init__(self, columns: Sequence[Column], outputs: Any, log_std: Any) -> None:
        self.columns, self.outputs, self.log_std = tuple(columns), outputs, log_std

    @classmethod
    def quantity(cls, x: Any = None) -> str:
        """Returns the sentence that names the ELBO: a bound made of densities of numbers in the table's units, and of
        probabilities of counts and levels.
        """
        return "lower bound of log p(x): densities of numbers in the table's units, probabilities of counts and levels"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the rows."""
        return (*self.outputs.shape[:-1], len(self.columns))

    def parts(self) -> Iterator[tuple[slice | int, Distribution]]:
        """Yields (where, the distribution of these entries) for the columns in the order of the outputs, numbers
        standardised.

        A category of more than two levels has a Categorical of its own.
        """
        groups, start = groups_of(self.columns), 0
        kinds = (lambda f: Normal(f, self.log_std)), Poisson, Bernoulli
        for kind, group in zip(kinds, groups, strict=False):
            end = start + len(group)
            if group:
                yield slice(start, end), kind(self.outputs[..., start:end])
            start = end
        for place, d in enumerate(groups[3], start):
            end = start + len(self.columns[d].levels)
            yield place, Categorical(self.outputs[..., start:end])
            start = end

    def log_prob(self, x: Any) -> Any:
        """log p(x) = sum over the known entries of their log densities, in nats.   (N, D) -> (N,)"""
        check_event("Columns.log_prob", x, self)
        xp, dtype = array_module(x), self.outputs.dtype
        log_unit = xp.where(xp.isnan(x), 0.0, xp.log(units(self.columns, x)[1])).sum(axis=-1)
        u = in_groups(standardized(x, self.columns), self.columns).astype(dtype)
        log_p = -log_unit.astype(dtype)
        for where, part in self.parts():
            log_p = log_p + KnownEntries(part).log_prob(u[..., where])
        return log_p

    @property
    def mean(self) -> Any:
        """The means of numbers and counts, and the most probable level of every category.   (..., D), float64"""
        with no_grad():
            return self._in_units(part.mean for _, part in self.parts())

    def average(self, weights: Any) -> Any:
        """Returns `mean` for a mixture of S such distributions with these weights.   (S, N) -> (N, D), float64"""
        with no_grad():
            return self._in_units((weights[..., None] * part.mean).sum(axis=0) for _, part in self.parts())

    def sample(self, noise: Any) -> Any:
        """Draws rows from uniform noise by the inverse distribution function of every column.   (..., D), float64"""
        drawn, noise = [], in_groups(noise, self.columns)
        for where, part in self.parts():
            u = noise[..., where]
            if isinstance(part, Normal):
                smallest = float(numpy.finfo(u.dtype).eps) / 4  # u = 0 counts as the middle of its cell
                drawn.append(part.sample(special(u).ndtri(u.clip(smallest))))
            else:
                drawn.append(part.sample(u) if part.event_ndim else part.sample(u)[..., None])
        return self._joined(drawn)

    def quadrature(self, *others: Distribution) -> tuple[Any, Any]:
        """Returns the product of the rules of all columns, see `Distribution.quadrature`."""
        parts = list(self.parts())
        rules = [part.quadrature() for _, part in parts]
        picks = numpy.meshgrid(*(numpy.arange(len(weights)) for _, weights in rules), indexing="ij")
        points = [rule[0].reshape(len(rule[0]), -1)[pick.ravel()] for rule, pick in zip(rules, picks, strict=True)]
        weights = [rule[1][pick.ravel()] for rule, pick in zip(rules, picks, strict=True)]
        return self._joined(points), numpy.prod(weights, axis=0) * math.prod(column.std for column in self.columns)

    def _in_units(self, means: Iterable[Any]) -> Any:
        """Returns rows of the means of all parts; for a category it is the most probable level."""
        values = []
        for (_, part), mean in zip(self.parts(), means, strict=True):
            if isinstance(part, Bernoulli):
                mean = mean > 0.5
            if isinstance(part, Categorical):
                mean = mean.argmax(axis=-1)[..., None]
            values.append(mean)
        return self._joined(values)

    def _joined(self, values: Sequence[Any]) -> Any:
        """Returns rows (..., D) in the table's units and order, from the standardised entries of all parts."""
        xp = array_module(values[0])
        x = xp.concatenate([value.astype(numpy.float64) for value in values], axis=-1)
        mean, std = units(self.columns, x)
        return in_groups(x, self.columns, back=True) * std + mean


def in_groups(x: Any, columns: Sequence[Column], back: bool = False) -> Any:
    """Returns x with its columns in the order of `groups_of` or, if `back`, from that order in their own.   (..., D)"""
    order = numpy.array(sum(groups_of(columns), []))
    return x[..., constant(array_module(x), tuple(order.argsort() if back else order), numpy.int64)]


def groups_of(columns: Sequence[Column]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Returns the columns that hold numbers, counts, categories of two levels, and other categories, in this order."""
    kinds = [(column.kind, column.kind == CATEGORY and len(column.levels) == 2) for column in columns]
    return tuple(
        [d for d, kind in enumerate(kinds) if kind == wanted]
        for wanted in ((NUMBER, False), (COUNT, False), (CATEGORY, True), (CATEGORY, False))
    )


def outputs_of(columns: Sequence[Column]) -> int:
    """Returns P, the number of outputs that a network gives for a row of these columns."""
    *groups, categories = groups_of(columns)
    return sum(map(len, groups)) + sum(len(columns[d].levels) for d in categories)
