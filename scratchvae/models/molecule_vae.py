"""A variational autoencoder of molecules, which are strings of SMILES symbols, and of their properties."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar

import numpy
from numpy.typing import ArrayLike

from scratchvae import ops
from scratchvae.alphabet import Alphabet, strings_of
from scratchvae.arrays import Array, as_array
from scratchvae.autodiff import no_grad
from scratchvae.backend import array_module, asarray, device_of
from scratchvae.distributions import Normal, SymbolSequence, kl
from scratchvae.distributions.symbol_sequence import n_symbols
from scratchvae.errors import DataError, DeviceError, InputError, whole_number
from scratchvae.latent_space import spherical_interpolation
from scratchvae.models.configuration import Size, constructor
from scratchvae.models.symbol_networks import (
    ENCODERS,
    ConvolutionalSymbolEncoder,
    PropertyDecoder,
    RecurrentSymbolEncoder,
    SymbolDecoder,
)
from scratchvae.models.vae import VAE
from scratchvae.nn import Module
from scratchvae.noise import Noise
from scratchvae.objectives import Record, each, importance_weighted, with_properties

MOST_BEGINNINGS, WIDEST = 1000, 1e6
"""The widest beam, and the largest standard deviation of draws around a molecule."""

ROWS_AT_ONCE = 1000
"""The number of strings that are encoded or written at a time, so that memory stays bounded."""


class MoleculeVAE(VAE):
    """p(x, t, z) = p(x | z) p(t | z) p(z) of strings x and properties t,   q(z | x) approximates p(z | x).

    prior       p(z) = Normal(0, I)                                                    shape (K,)
    encoder     x (N, T) -> Normal over z (N, K)                                       q(z | x)
    decoder     z (N, K) -> SymbolSequence: symbol after symbol                        p(x | z)
    properties  z (N, K) -> Normal(f(z), diag(s^2)), s learned; NaN if not known       p(t | z)

    Data are strings, or integers (N, T) as `alphabet.encode` makes them. q does not see t, so that one encoder serves
    with and without properties. A decoder that sees all symbols before the one that it scores can do without z, and
    ignores it unless `fit` weighs the KL by less than 1 or has a kl_floor.

    Source: deck, "Sequence model for molecules"; Gomez-Bombarelli et al. (2018), "Automatic chemical design using a
    data-driven continuous representation of molecules".

    Parameters
    ----------
    encoder, decoder, latent_size
        As in VAE.
    alphabet : Alphabet
        The symbols of the strings.
    property_decoder : PropertyDecoder, optional
        p(t | z).
    longest : int
        The largest number of symbols in a string, of data and of those drawn.

    Attributes
    ----------
    alphabet, property_decoder, longest
        The parameters of these names. The others are those of VAE.

    See Also
    --------
    scratchvae.Alphabet : the symbols.
    scratchvae.latent_search : the search for molecules of a wanted property.

    Examples
    --------
    >>> import scratchvae as sv
    >>> model = sv.MoleculeVAE.gru(["C", "N", "O"], longest=8, latent_size=2, hidden_size=4, encoder="recurrent")
    >>> model.encode(["CCO", "CN"]).mean.shape, len(model.reconstruct(["CCO", "CN"]))
    ((2, 2), 2)
    """

    objectives: ClassVar = {"elbo": with_properties, "iwae": importance_weighted}

    def __init__(
        self,
        encoder: Module,
        decoder: Module,
        latent_size: int,
        alphabet: Alphabet,
        property_decoder: Module | None = None,
        longest: int = 120,
    ) -> None:
        super().__init__(encoder, decoder, latent_size)
        self.alphabet, self.longest = alphabet, whole_number("MoleculeVAE", "longest", longest)
        self.property_decoder = property_decoder

    @classmethod
    @constructor
    def gru(
        cls,
        symbols: Sequence[str],
        longest: Size = 120,
        latent_size: Size = 56,
        hidden_size: Size = 256,
        encoder: str = "convolutional",
        properties: Sequence[str] = (),
        property_means: Sequence[float] = (),
        property_stds: Sequence[float] = (),
        seed: int = 0,
    ) -> MoleculeVAE:
        """Returns a MoleculeVAE with a GRU of hidden_size units as its decoder.

        symbols: `sv.Alphabet.of(strings).symbols` of the training data. encoder: "convolutional", three convolutions of
        width 5 and stride 2, or "recurrent", a GRU of half as many units in each direction. property_means and
        property_stds: those of the training data, the unit in which f is learned; 0 and 1 by default.
        """
        noise, alphabet = Noise(seed), Alphabet(symbols)
        if encoder not in ENCODERS:
            raise InputError("MoleculeVAE.gru", f"an encoder among {', '.join(ENCODERS)}", repr(encoder))
        encode: Module
        if encoder == "convolutional":
            encode = ConvolutionalSymbolEncoder(len(alphabet), longest, latent_size, noise.child("encoder"))
        else:
            encode = RecurrentSymbolEncoder(
                len(alphabet), max(1, hidden_size // 2), latent_size, noise.child("encoder")
            )
        decode = SymbolDecoder(len(alphabet), latent_size, hidden_size, noise.child("decoder"))
        predict = None
        if any(map(len, (properties, property_means, property_stds))):
            means = property_means if len(property_means) else [0.0] * len(properties)
            stds = property_stds if len(property_stds) else [1.0] * len(properties)
            predict = PropertyDecoder(latent_size, properties, means, stds, noise.child("properties"))
        return cls(encode, decode, latent_size, alphabet, predict, longest)

    # ---- data

    def observations(self, x: Any) -> Any:
        """Returns x as the model takes it, checked: the entrance for data.   N strings or integers (N, T) -> (N, T')

        Raises DataError for data that are neither, for an empty set, and, naming the row, for a symbol that is not in
        the alphabet and a string that is empty or longer than `longest`.
        """
        strings = strings_of(x)
        values = as_array("data", x) if strings is None else x
        strings = strings_of(values) if strings is None else strings
        if strings is not None:
            return asarray(self.alphabet.encode(strings, self.longest), self.device)
        if values.shape[:1] in ((), (0,)):
            raise DataError("data", "at least one row", f"shape {values.shape}")
        if values.dtype.kind not in "iu":
            received = f"{values.dtype}, shape {values.shape}"
            raise DataError("data", "strings (N,), or integers (N, T)", received)
        if device_of(values) != self.device:
            raise DeviceError("data", f"an array on the model's device, {self.device}", f"one on {device_of(values)}")
        SymbolSequence.check_data(values)
        largest, lengths = values.max(axis=1), n_symbols(values)
        if int(largest.max()) > len(self.alphabet):
            received = f"{int(largest.max())} in row {int(largest.argmax())}"
            raise DataError("data", f"symbols from 0 to {len(self.alphabet)}", received)
        n = int(lengths.max())
        if n > self.longest:
            received = f"{n} in row {int(lengths.argmax())}"
            raise DataError("data", f"at most {self.longest} symbols in each row", received)
        return values[:, : n + 1].astype(numpy.min_scalar_type(len(self.alphabet)), copy=False)

    def properties(self, t: Any) -> Any:
        """Returns properties on the model's device, checked: the entrance for t.

        (N, P), or a dict or a table with the P columns (N,), which are found by their names -> (N, P)
        """
        names = self._names()
        if hasattr(t, "keys"):
            missing = [name for name in names if name not in t]
            if missing:
                raise DataError("properties", f"the properties {', '.join(names)}", f"none of {', '.join(missing)}")
            columns = [as_array("properties", t[name]) for name in names]
            shapes = {column.shape for column in columns}
            if len(shapes) > 1 or len(columns[0].shape) != 1:
                received = ", ".join(f"{name} {column.shape}" for name, column in zip(names, columns, strict=True))
                raise DataError("properties", "arrays of one shape (N,)", received)
            t = array_module(columns[0]).stack(columns, axis=1)
        t = as_array("properties", t)
        if t.dtype.kind not in "fiu" or t.ndim != 2 or t.shape[1] != len(names):
            raise DataError("properties", f"numbers of shape (N, {len(names)})", f"{t.dtype}, shape {t.shape}")
        with numpy.errstate(over="ignore"):
            t = t.astype(self.dtype)
        if bool(array_module(t).isinf(t).any()):
            expected = f"numbers that {self.dtype} holds, or NaN where one is not known"
            raise DataError("properties", expected, "infinity, or others")
        return asarray(t, self.device)

    def entries(self, x: Any) -> int:
        """Returns T x 6 H, the number of states and gates of all steps."""
        return x.shape[1] * 6 * self.decoder.gru.hidden_size

    # ---- the equations

    def joint_terms(self, x: Any, t: Any, noise: Any, n_samples: int = 1) -> tuple[Any, Any, Any]:
        """E_q[log p(x | z)], E_q[log p(t | z)] and KL(q(z | x) || p(z)), in nats.   (N, T), (N, P) -> three of (N,)"""
        q, z, log_x = self._inferred(x, noise, n_samples)
        log_t = self.property_decoder(z).log_prob(t)
        return ops.mean(log_x, axis=0), ops.mean(log_t, axis=0), kl(q, self.prior)

    def joint_elbo(
        self,
        x: Any,
        t: Any,
        noise: Any,
        alpha: float = 1.0,
        n_samples: int = 1,
        kl_weight: float = 1.0,
        record: Record = each,
    ) -> Any:
        """L(x, t) = E_q[log p(x | z) + log p(t | z)] - KL(q(z | x) || p(z)), in nats.   (N, T), (N, P) -> (N,)

        A lower bound of log p(x, t), the density of t as given; where t is NaN it is one without that property. alpha
        multiplies log p(t | z) in training; kl_weight and record: as in VAE.elbo.
        """
        reconstruction, log_t, divergence = self.joint_terms(x, t, noise, n_samples)
        reconstruction, log_t, divergence = record(reconstruction=reconstruction, properties=log_t, kl=divergence)
        return reconstruction + alpha * log_t - kl_weight * divergence

    def encode(self, x: ArrayLike) -> Normal:
        """Returns q(z | x), holding arrays, by some rows at a time.   N strings or (N, T) -> Normal over (N, K)"""
        x = self.observations(x)
        with no_grad():
            parts = [self.encoder(x[start : start + ROWS_AT_ONCE]) for start in range(0, len(x), ROWS_AT_ONCE)]
            return Normal(*(ops.concatenate([getattr(q, name) for q in parts]) for name in ("mean", "log_std")))

    # ---- strings

    def write(self, z: ArrayLike, temperature: float = 0.0, beam: int = 1, seed: int = 0) -> list[str]:
        """Returns a string x ~ p(x | z) for every z.   (N, K) -> N strings

        temperature: divides the logits of the symbols; 0 takes the most probable symbol at each step. beam: more than
        1 searches for the most probable string with that many beginnings at a time, and takes no temperature.
        """
        beam = whole_number("write", "beam", beam, largest=MOST_BEGINNINGS)
        if beam > 1 and temperature:
            raise InputError("write", "a beam or a temperature", f"both, {beam} and {temperature}")
        strings, size = [], max(1, ROWS_AT_ONCE // beam)
        for i, start in enumerate(range(0, len(z), size)):
            p = self.decode(z[start : start + size])
            if beam > 1:
                tokens = p.beam(beam, self.longest)
            elif temperature:
                noise = Noise(seed, i, self.device).child("symbols")
                tokens = p.sample(noise, temperature, self.longest)
            else:
                tokens = p.greedy(self.longest)
            strings += self.alphabet.decode(tokens)
        return strings

    def sample(self, n: int, seed: int = 0, temperature: float = 0.0, beam: int = 1) -> list[str]:
        """Returns n strings, as `write` does, for draws z ~ p(z)."""
        return self.write(self.prior_draws(n, seed), temperature, beam, seed)

    def reconstruct(self, x: ArrayLike, temperature: float = 0.0, beam: int = 1, seed: int = 0) -> list[str]:
        """Returns N strings, as `write` does, for the means of q(z | x)."""
        return self.write(self.encode(x).mean, temperature, beam, seed)

    def around(self, x: ArrayLike, n: int = 10, spread: float = 0.5, seed: int = 0) -> Array:
        """Returns n draws z ~ Normal(m, spread^2 I), where m is the mean of q(z | x) of one string or row.   (n, K)"""
        n, mean = whole_number("near", "n", n), self.encode([x] if isinstance(x, str) else x).mean
        if len(mean) != 1:
            raise DataError("near", "one string, or one row", str(len(mean)))
        if not (isinstance(spread, Real) and 0 <= spread <= WIDEST):
            raise InputError("near", f"a spread as a number from 0 to {WIDEST:g}", repr(spread))
        return mean + spread * Noise(seed, device=self.device).normal("near", (n, self.latent_size))

    def near(
        self, x: ArrayLike, n: int = 10, spread: float = 0.5, seed: int = 0, temperature: float = 0.0
    ) -> list[str]:
        """Returns n strings, as `write` does, for z `around` one string or row."""
        return self.write(self.around(x, n, spread, seed), temperature, seed=seed)

    def interpolate(self, start: str, end: str, n: int = 9) -> list[str]:
        """Returns n strings along the arc between the means of q(z | x) of two, see `spherical_interpolation`."""
        means = self.encode([start, end]).mean
        return self.write(spherical_interpolation(means[:1], means[1:], n)[0])

    def predict(self, x: ArrayLike) -> dict[str, Any]:
        """E[t | z] at the mean of q(z | x), by name: arrays (N,) in the units of the data."""
        return self.predict_at(self.encode(x).mean)

    def predict_at(self, z: ArrayLike) -> dict[str, Any]:
        """E[t | z], by name.   (N, K) -> arrays (N,)"""
        names = self._names()
        with no_grad():
            mean = self.property_decoder(self.latents(z)).mean
        return {name: mean[..., i] for i, name in enumerate(names)}

    @property
    def property_names(self) -> tuple[str, ...]:
        """The names of the properties; none for a model without."""
        return () if self.property_decoder is None else self.property_decoder.names

    def _names(self) -> tuple[str, ...]:
        if self.property_decoder is None:
            raise InputError("MoleculeVAE", "a model of properties", "one without", "MoleculeVAE.gru(properties=...)")
        return self.property_names

    def preparation(self) -> str:
        """Returns the number of symbols, as the end of a clause; for `print`."""
        return f", {len(self.alphabet)} symbols"

    def __repr__(self) -> str:
        text = super().__repr__()
        if self.property_decoder is None:
            return text
        return f"{text}\n  p(t | z)  {self.property_decoder}    {self.property_decoder.count():,} parameters"
