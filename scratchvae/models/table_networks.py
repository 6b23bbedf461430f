"""The networks of a VAE of tables: what they read of a row, and the distribution that they give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.autodiff import Tensor
from scratchvae.backend import array_module
from scratchvae.columns import Column, standardized
from scratchvae.distributions import Columns, Distribution
from scratchvae.distributions.columns import groups_of, in_groups
from scratchvae.models.decoders import LARGEST_RATE, bounded_above, bounded_below
from scratchvae.models.real_decoders import SMALLEST_STD
from scratchvae.nn import Module


class RowReader(Module):
    """f(numbers standardised, log(1 + counts), one indicator for each level; missing entries as 0)   (N, D) -> output

    A category of two levels has one indicator, for its second level. With `missing`, an indicator for every column says
    whether its entry is known; the sources of both are those of `OfKnownEntries`.

    Parameters
    ----------
    network : Module
        f.
    columns : sequence of Column
        D of them.
    missing : bool
        Whether entries may be NaN.

    Attributes
    ----------
    network, columns, missing
        The parameters of these names.

    See Also
    --------
    RowDecoder : p(x | z) of such rows.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> columns = [sv.data.Column("height", "number", (), 170.0, 10.0), sv.data.Column("cats", "count")]
    >>> reader = sv.models.RowReader(sv.nn.Linear(2, 3, sv.Noise(0)), columns, missing=False)
    >>> reader(numpy.array([[165.0, 2.0]])).shape
    (1, 3)
    """

    def __init__(self, network: Any, columns: Sequence[Column], missing: bool) -> None:
        self.network, self.columns, self.missing = network, tuple(columns), missing

    def __call__(self, x: Any) -> Any:
        xp, (*groups, categories) = array_module(x), groups_of(self.columns)
        x = in_groups(standardized(x, self.columns), self.columns)
        known, (numbers, counts, pairs) = ~xp.isnan(x), numpy.cumsum([len(group) for group in groups]).tolist()
        u = xp.where(known, x, 0)
        parts = [u[..., :numbers], xp.log1p(u[..., numbers:counts]), u[..., counts:pairs]]
        for place, d in enumerate(categories, pairs):
            levels = xp.arange(len(self.columns[d].levels))
            parts.append((u[..., place, None] == levels) & known[..., place, None])
        parts += [known] if self.missing else []
        ends = numpy.cumsum([part.shape[-1] for part in parts]).tolist()
        inputs = xp.empty((*x.shape[:-1], ends[-1]), dtype=self.network.dtype)
        for part, end in zip(parts, ends, strict=True):  # a recorded step cannot concatenate more than eight
            inputs[..., end - part.shape[-1] : end] = part
        return self.network(inputs)

    def __repr__(self) -> str:
        return f"{self.network} of standardised rows" + (" and where they are known" if self.missing else "")


def inputs_of(columns: Sequence[Column], missing: bool) -> int:
    """Returns how many numbers a RowReader hands to its network."""
    *groups, categories = groups_of(columns)
    return sum(map(len, groups)) + sum(len(columns[d].levels) for d in categories) + missing * len(columns)


class RowDecoder(Module):
    """p(x | z) = Columns(f(z), sigma),   sigma learned, one for each column of numbers, in units of its deviation

    sigma starts near 1. It is bounded from below, smoothly, as in RealDecoder, and rates are bounded from above as in
    PoissonDecoder.

    Parameters
    ----------
    network : Module
        f, (N, K) -> (N, P).
    columns : sequence of Column
        D of them.

    Attributes
    ----------
    network, columns
        The parameters of these names.
    raw_log_std : Tensor
        The numbers that sigma is computed from.

    See Also
    --------
    RowReader : what an encoder of such rows reads.
    scratchvae.distributions.Columns : the distribution.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> columns = [sv.data.Column("height", "number", (), 170.0, 10.0), sv.data.Column("cats", "count")]
    >>> decoder = sv.models.RowDecoder(sv.nn.Linear(2, 2, sv.Noise(0)), columns)
    >>> decoder(numpy.zeros((1, 2), numpy.float32)).log_prob(numpy.array([[165.0, 2.0]])).shape
    (1,)
    """

    likelihood: type[Distribution] = Columns

    def __init__(self, network: Any, columns: Sequence[Column]) -> None:
        self.network, self.columns = network, tuple(columns)
        numbers, self.counts, *_ = groups_of(columns)
        self.raw_log_std = Tensor(numpy.zeros(len(numbers), dtype=numpy.float32))

    def __call__(self, z: Any) -> Columns:
        f, start = self.network(z), self.raw_log_std.shape[0]
        if self.counts:
            end = start + len(self.counts)
            f = ops.concatenate([f[..., :start], bounded_above(f[..., start:end], LARGEST_RATE), f[..., end:]], axis=-1)
        return Columns(self.columns, f, bounded_below(self.raw_log_std, SMALLEST_STD))

    def __repr__(self) -> str:
        kinds = [column.kind for column in self.columns]
        words = ", ".join(f"{kind} x {kinds.count(kind)}" for kind in dict.fromkeys(kinds))
        return f"Columns({words}; {self.network}, std learned)"
