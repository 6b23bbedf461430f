"""Encoders and decoders of sequences of symbols, and of properties."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.autodiff import Tensor
from scratchvae.backend import array_module, asarray, device_module, device_of
from scratchvae.distributions import KnownEntries, Normal, SymbolSequence
from scratchvae.distributions.symbol_sequence import n_symbols
from scratchvae.errors import InputError, whole_number
from scratchvae.models.networks import halves
from scratchvae.nn import GRU, MLP, Bidirectional, Conv2d, Linear, Module, Packing, glorot_uniform
from scratchvae.noise import Noise

ENCODERS = ("convolutional", "recurrent")
CHANNELS = (64, 64, 128, 128)  # of a symbol's row, and behind each convolution
WIDTH = 5


class ConvolutionalSymbolEncoder(Module):
    """q(z | x) = Normal(mu, diag(sigma^2)),   mu and log sigma affine in h_3.   (N, T) -> (N, K)

    h_0 = a row of 64 numbers for each symbol,   h_i = relu(conv(h_(i-1))): width 5, stride 2, 64, 128, 128 channels

    All rows from the end on are set to zero in every layer, so that padding changes nothing.
    """

    def __init__(self, n_symbols: int, longest: int, latent_size: int, noise: Noise) -> None:
        self.longest = whole_number("ConvolutionalSymbolEncoder", "longest", longest)
        shape = (n_symbols + 1, CHANNELS[0])
        self.table = Tensor(glorot_uniform(noise.child("table"), shape, fans=(1, CHANNELS[0])))
        self.layers = [
            Conv2d(inputs, outputs, (WIDTH, 1), noise.child(f"layer {i}"), (2, 1), ((WIDTH // 2, WIDTH // 2), (0, 0)))
            for i, (inputs, outputs) in enumerate(zip(CHANNELS[:-1], CHANNELS[1:], strict=True))
        ]
        rows = math.ceil(longest / 2 ** len(self.layers))
        self.linear = Linear(rows * CHANNELS[-1], 2 * latent_size, noise.child("linear"))

    def __call__(self, x: Any) -> Normal:
        lengths = n_symbols(x)
        x = x[:, : int(lengths.max())]
        rows = ops.gather_rows(self.table, x.reshape(-1))
        h = ops.reshape(rows, (*x.shape, 1, -1)) * self._within(x, lengths)
        for layer in self.layers:
            lengths = (lengths + 1) // 2
            h = ops.relu(layer(h))
            h = h * self._within(h, lengths)
        h = ops.reshape(h, (len(x), -1))
        outputs = ops.affine(h, self.linear.weight[: h.shape[1]], self.linear.bias)
        return Normal(*halves(outputs))

    def _within(self, x: Any, lengths: numpy.ndarray) -> Any:
        """1 before the end of each sequence, 0 behind it.   (N, T, ...), (N,) -> (N, T, 1, 1)"""
        within = numpy.arange(x.shape[1]) < lengths[:, None]
        return asarray(within[:, :, None, None].astype(self.dtype), self.device)

    def __repr__(self) -> str:
        channels = " -> ".join(map(str, CHANNELS))
        return f"Normal(mean and log std = {self.linear} of convolutions {channels}, at most {self.longest} symbols)"


class RecurrentSymbolEncoder(Module):
    """q(z | x) = Normal(mu, diag(sigma^2)),   mu and log sigma affine in the last h of two GRUs.   (N, T) -> (N, K)

    One reads the symbols of x forwards, the other backwards; the end and what is behind it are not read.
    """

    def __init__(self, n_symbols: int, hidden_size: int, latent_size: int, noise: Noise) -> None:
        self.gru = Bidirectional(lambda noise: GRU(n_symbols + 1, hidden_size, noise), noise.child("gru"))
        self.linear = Linear(2 * hidden_size, 2 * latent_size, noise.child("linear"))

    def __call__(self, x: Any) -> Normal:
        packing = Packing(n_symbols(x), device_of(x))
        outputs = self.linear(self.gru(packing.pack(x), packing))
        return Normal(*halves(outputs))

    def __repr__(self) -> str:
        return f"Normal(mean and log std = {self.linear} of {self.gru})"


class SymbolDecoder(Module):
    """p(x | z): the gru starts from h_0 = tanh(z W_0 + b_0), and every step adds z V.   (..., N, K) -> SymbolSequence

    Source: deck, "Sequence model for molecules"; Gomez-Bombarelli et al. (2018).
    """

    likelihood = SymbolSequence

    def __init__(self, n_symbols: int, latent_size: int, hidden_size: int, noise: Noise) -> None:
        self.gru = GRU(n_symbols + 1, hidden_size, noise.child("gru"))
        self.initial = Linear(latent_size, hidden_size, noise.child("initial"))
        shape, fans = (latent_size, 3 * hidden_size), (latent_size, hidden_size)
        self.constant_weight = Tensor(glorot_uniform(noise.child("constant"), shape, fans))
        self.head = Linear(hidden_size, n_symbols + 1, noise.child("head"))

    def __call__(self, z: Any) -> SymbolSequence:
        return SymbolSequence(self.gru, self.head, ops.tanh(self.initial(z)), z @ self.constant_weight)

    def __repr__(self) -> str:
        return f"{self.head} after {self.gru}"


class PropertyDecoder(Module):
    """p(t | z) = product over the properties of Normal(t_p; m_p + u_p f_p(z), (u_p s_p)^2).   (..., K) -> (..., P)

    f is a perceptron with a hidden layer of tanh; s is learned, one number for each property, and starts at 1; m and u,
    the means and standard deviations of the training data, are buffers. A squared error with weight w in a loss is this
    density with s^2 = 1 / (2 w).
    """

    def __init__(
        self,
        latent_size: int,
        names: Sequence[str],
        means: Sequence[float],
        stds: Sequence[float],
        noise: Noise,
        hidden_size: int = 64,
    ) -> None:
        if isinstance(names, str) or len(set(names)) < len(names):
            raise InputError("PropertyDecoder", "a list of names that differ", repr(names))
        if not len(names) == len(means) == len(stds) or not len(names):
            received = f"{len(names)}, {len(means)} and {len(stds)}"
            raise InputError("PropertyDecoder", "names, and a mean and a standard deviation for each", received)
        if not all(math.isfinite(mean) for mean in means) or not all(0 < std < math.inf for std in stds):
            raise InputError("PropertyDecoder", "finite means and positive standard deviations", f"{means}, {stds}")
        self.names = tuple(names)
        self.network = MLP([latent_size, hidden_size, len(names)], noise, "tanh")
        self.log_std = Tensor(device_module(noise.device).zeros(len(names), dtype=self.network.dtype))
        self.centre, self.unit = (asarray(numpy.array(x, dtype=numpy.float32), noise.device) for x in (means, stds))

    def __call__(self, z: Any) -> KnownEntries:
        mean = self.centre + self.unit * self.network(z)
        log_std = self.log_std + array_module(self.unit).log(self.unit)
        return KnownEntries(Normal(mean, log_std))

    def __repr__(self) -> str:
        return f"Normal({', '.join(self.names)}; {self.network}, std learned)"
