"""The variational autoencoder of tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
from numpy.typing import ArrayLike

from scratchvae.arrays import Array, as_array
from scratchvae.backend import array_module, asarray, to_numpy
from scratchvae.columns import (
    CATEGORY,
    Column,
    Table,
    as_columns,
    as_number,
    check_records,
    is_table,
    names_of,
    records_of,
    rows_of,
)
from scratchvae.distributions.columns import outputs_of
from scratchvae.errors import DataError, DeviceError
from scratchvae.linear import GaussianMixture
from scratchvae.models.configuration import Size, constructor
from scratchvae.models.encoders import GaussianEncoder
from scratchvae.models.table_networks import RowDecoder, RowReader, inputs_of
from scratchvae.models.vae import VAE
from scratchvae.nn import MLP, Module
from scratchvae.noise import Noise


class TableVAE(VAE):
    """p(x, z) = p(z) product over the columns of p_d(x_d | z),   x a row of a table, (D,)

    Rows are float64 arrays in the table's own units, as `scratchvae.columns` describes them. All methods that take rows
    also take a DataFrame or a dict of columns. The networks see standardised numbers; the model holds the mean and
    standard deviation of every column, and converts its results back to the table's units.

    Source: Nazabal, Olmos, Ghahramani & Valera (2020), "Handling incomplete heterogeneous data using VAEs", with the
    prior Normal(0, I).

    Parameters
    ----------
    encoder, decoder : Module
        As in VAE, such as a GaussianEncoder of a RowReader, and a RowDecoder.
    columns : sequence of Column
        D of them.
    latent_size, missing
        As in VAE.

    Attributes
    ----------
    columns : tuple of Column
        The D columns. The others are those of VAE.

    See Also
    --------
    VAE : the model of data whose entries are all of one kind.
    scratchvae.data.as_table : a Dataset with its columns from a DataFrame.

    Examples
    --------
    >>> import scratchvae as sv
    >>> columns = [("height", "number", (), 170.0, 10.0), ("pet", "category", ("cat", "dog"))]
    >>> model = sv.TableVAE.mlp(columns, latent_size=2, hidden=(4,))
    >>> model.encode({"height": [165.0, 180.0], "pet": ["cat", "dog"]}).mean.shape
    (2, 2)
    >>> sorted(model.table(model.sample(3)))
    ['height', 'pet']
    """

    def __init__(
        self, encoder: Module, decoder: Module, columns: Sequence[Column], latent_size: int, missing: bool = False
    ) -> None:
        self.columns = as_columns(columns)
        super().__init__(encoder, decoder, latent_size, (len(self.columns),), missing=missing)

    @classmethod
    @constructor
    def mlp(
        cls,
        columns: Sequence[Sequence[str | float | Sequence[str]]],
        latent_size: Size = 4,
        hidden: Sequence[Size] = (64,),
        activation: str = "tanh",
        seed: int = 0,
        missing: bool = False,
    ) -> TableVAE:
        """Returns a TableVAE of two multilayer perceptrons.

        columns: those of a Dataset, such as sv.data.as_table(frame).columns. The others are as in VAE.mlp.
        """
        columns, noise = as_columns(columns), Noise(seed)
        sizes = [inputs_of(columns, missing), *hidden, 2 * latent_size]
        encode = MLP(sizes, noise.child("encoder"), activation)
        decode = MLP([latent_size, *reversed(hidden), outputs_of(columns)], noise.child("decoder"), activation)
        encoder = GaussianEncoder(RowReader(encode, columns, missing))
        return cls(encoder, RowDecoder(decode, columns), columns, latent_size, missing)

    def observations(self, x: ArrayLike | Table) -> Array:
        """Returns rows as the model takes them, checked: the entrance for data.   (N, D), or a table -> (N, D), float64

        Raises DataError for a table that lacks a column, for texts and numbers that a column does not take,
        for infinities, and for NaN unless the model takes missing entries.
        """
        if is_table(x):
            x = asarray(self._records(x), self.device)
        x = as_array("data", x)
        if x.dtype.kind not in "iuf" or x.ndim != 2 or x.shape[1] != len(self.columns) or not len(x):
            names = ", ".join(column.name for column in self.columns)
            expected = f"rows of {len(self.columns)} numbers, {names}"
            raise DataError("data", expected, f"an array of shape {x.shape} of {x.dtype}")
        if array_module(x) is not array_module(self.decoder.raw_log_std.data):
            raise DeviceError("data", f"an array on the model's device, {self.device}", "one on another")
        x = x.astype(numpy.float64, copy=False)
        self.refuse_unknown(x)
        check_records(x, self.columns)
        return x

    def entries(self, x: Any) -> int:
        """Returns how many numbers the decoder computes at a time for one row."""
        return outputs_of(self.columns)

    def preparation(self) -> str:
        """Returns whether entries may be missing, as the end of a clause; for `print`."""
        return ", missing entries are integrated out" if self.missing else ""

    def refuse_unknown(self, x: Any) -> None:
        """Raises DataError, with the column, for infinities, and for NaN unless missing entries are taken."""
        xp = array_module(x)
        wrong = xp.isinf(x) if self.missing else ~xp.isfinite(x)
        if bool(wrong.any()):
            n = to_numpy(wrong.sum(axis=0))
            column = self.columns[int(n.argmax())].name
            hint = "missing=True learns from the entries that are known; with the command line --missing"
            received = f"{n.sum()} that are {'infinite' if self.missing else 'missing or infinite'}"
            raise DataError(
                "data", "finite numbers", f"{received}, most in column {column!r}", "" if self.missing else hint
            )

    def reconstruct(self, x: ArrayLike | Table, draws: bool = False, seed: int = 0) -> Array:
        """Returns the mean of p(x | z) at the mean of q(z | x), with the most probable levels.   draws: as in VAE"""
        return super().reconstruct(self.observations(x), draws, seed)

    def sample(self, n: int, seed: int = 0, draws: bool = True, codes: GaussianMixture | None = None) -> Array:
        """Returns n draws x ~ p(x | z), z ~ p(z), as float64 (n, D); `table` names the levels.

        With draws=False it returns the means of p(x | z), with the most probable level of every category.
        """
        return super().sample(n, seed, draws, codes)

    def table(self, x: ArrayLike) -> dict[str, numpy.ndarray]:
        """Returns rows (N, D) as a dict of columns, which pandas.DataFrame takes: float64, and levels by name.

        A missing entry is NaN, or None among names. A category whose levels are all numbers gets numbers.
        """
        result = {}
        for column, values in zip(self.columns, to_numpy(as_array("table", x)).T, strict=True):
            if column.kind == CATEGORY:
                numbers = [as_number(level) for level in column.levels]
                levels = column.levels if None in numbers else numbers
                missing = None if None in numbers else numpy.nan
                names = [missing if numpy.isnan(value) else levels[int(value)] for value in values]
                values = numpy.array(names, dtype=object if None in numbers else numpy.float64)
            result[column.name] = values
        return result

    def _records(self, table: Any) -> numpy.ndarray:
        names = names_of(table)
        absent = [column.name for column in self.columns if names.count(column.name) != 1]
        if absent:
            raise DataError("data", f"one column {absent[0]!r}", f"columns {', '.join(names)}")
        places = [names.index(column.name) for column in self.columns]
        n = len(table[next(iter(table))]) if isinstance(table, dict) else len(table)
        return records_of(rows_of(table, "data"), places, self.columns, "data", n)

    def __repr__(self) -> str:
        return f"{super().__repr__()}\n  columns   {', '.join(column.name for column in self.columns)}"
