"""Encoders and decoders of sequences of symbols, and of properties."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.autodiff import Tensor
from scratchvae.backend import array_module, asarray, device_module, has_fixed_shapes
from scratchvae.distributions import KnownEntries, Normal, SymbolSequence
from scratchvae.distributions.symbol_sequence import n_symbols
from scratchvae.errors import InputError, whole_number
from scratchvae.models.encoders import halves
from scratchvae.nn import GRU, MLP, Bidirectional, Conv2d, Linear, Module, glorot_uniform
from scratchvae.nn.linear import composed
from scratchvae.nn.packing import arranged
from scratchvae.noise import Noise

ENCODERS = ("convolutional", "recurrent")
CHANNELS = (64, 64, 128, 128)  # the width of a symbol's row, and the channels after each convolution
WIDTH = 5  # of a convolution, in symbols


class ConvolutionalSymbolEncoder(Module):
    """q(z | x) = Normal(mu, diag(sigma^2)),   mu and log sigma affine in h_3.   (N, T) -> (N, K)

    h_0 = a row of 64 numbers for each symbol,   h_i = relu(conv(h_(i-1))): width 5, stride 2, 64, 128, 128 channels

    Every layer sets all rows from the end on to zero, so that padding changes nothing.

    Parameters
    ----------
    n_symbols : int
        The size of the alphabet.
    longest : int
        The largest number of symbols in a string.
    latent_size : int
        K.
    noise : Noise
        The source of the initial weights.

    Attributes
    ----------
    table : Tensor
        The rows h_0.
    layers : list of Module
        The convolutions.
    linear : Linear
        The affine map from h_3 to mu and log sigma.

    See Also
    --------
    RecurrentSymbolEncoder : GRUs in place of convolutions.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> encoder = sv.models.ConvolutionalSymbolEncoder(3, 8, 2, sv.Noise(0))
    >>> encoder(numpy.array([[1, 2, 0], [3, 0, 0]])).mean.shape
    (2, 2)
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
        x = x[:, : self.longest if has_fixed_shapes(x) else int(lengths.max())]
        rows = ops.gather_rows(self.table, x.reshape(-1))
        h = ops.reshape(rows, (*x.shape, 1, -1)) * self._within(x, lengths)
        for layer in self.layers:
            lengths = (lengths + 1) // 2
            h = composed(ops.relu, layer, h)
            h = h * self._within(h, lengths)
        h = ops.reshape(h, (len(x), -1))
        outputs = ops.affine(h, self.linear.weight[: h.shape[1]], self.linear.bias)
        return Normal(*halves(outputs))

    def _within(self, x: Any, lengths: Any) -> Any:
        """Returns 1 before the end of each sequence, 0 behind it.   (N, T, ...), (N,) -> (N, T, 1, 1)"""
        within = array_module(lengths).arange(x.shape[1]) < lengths[:, None]
        return within[:, :, None, None].astype(self.dtype)

    def __repr__(self) -> str:
        channels = " -> ".join(map(str, CHANNELS))
        return f"Normal(mean and log std = {self.linear} of convolutions {channels}, at most {self.longest} symbols)"


class RecurrentSymbolEncoder(Module):
    """q(z | x) = Normal(mu, diag(sigma^2)),   mu and log sigma affine in the last h of two GRUs.   (N, T) -> (N, K)

    One GRU reads the symbols of x forwards, the other backwards. Neither reads the end or the padding behind it.

    Parameters
    ----------
    n_symbols : int
        The size of the alphabet.
    hidden_size : int
        The units of each GRU.
    latent_size : int
        K.
    noise : Noise
        The source of the initial weights.

    Attributes
    ----------
    gru : Bidirectional
        The two GRUs.
    linear : Linear
        The affine map from their last h to mu and log sigma.

    See Also
    --------
    ConvolutionalSymbolEncoder : convolutions in place of GRUs.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> encoder = sv.models.RecurrentSymbolEncoder(3, 4, 2, sv.Noise(0))
    >>> encoder(numpy.array([[1, 2, 0], [3, 0, 0]])).mean.shape
    (2, 2)
    """

    def __init__(self, n_symbols: int, hidden_size: int, latent_size: int, noise: Noise) -> None:
        self.gru = Bidirectional(lambda noise: GRU(n_symbols + 1, hidden_size, noise), noise.child("gru"))
        self.linear = Linear(2 * hidden_size, 2 * latent_size, noise.child("linear"))

    def __call__(self, x: Any) -> Normal:
        packing = arranged(n_symbols(x), x.shape[1])
        outputs = self.linear(self.gru(packing.pack(x), packing))
        return Normal(*halves(outputs))

    def __repr__(self) -> str:
        return f"Normal(mean and log std = {self.linear} of {self.gru})"


class SymbolDecoder(Module):
    """p(x | z): the GRU starts from h_0 = tanh(z W_0 + b_0), and every step adds z V.   (..., N, K) -> SymbolSequence

    Source: deck, "Sequence model for molecules"; Gomez-Bombarelli et al. (2018).

    Parameters
    ----------
    n_symbols : int
        The size of the alphabet.
    latent_size : int
        K.
    hidden_size : int
        The units of the GRU.
    noise : Noise
        The source of the initial weights.

    Attributes
    ----------
    gru : GRU
        The recurrent layer.
    initial : Linear
        W_0 and b_0.
    constant_weight : Tensor
        V.
    head : Linear
        The affine map from h to the logits of the symbols and the end.

    See Also
    --------
    scratchvae.distributions.SymbolSequence : the distribution that it returns.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> decoder = sv.models.SymbolDecoder(3, 2, 4, sv.Noise(0))
    >>> p = decoder(numpy.zeros((5, 2), numpy.float32))
    >>> p.log_prob(numpy.array([[1, 2, 0]] * 5)).shape
    (5,)
    """

    likelihood = SymbolSequence

    def __init__(self, n_symbols: int, latent_size: int, hidden_size: int, noise: Noise) -> None:
        self.gru = GRU(n_symbols + 1, hidden_size, noise.child("gru"))
        self.initial = Linear(latent_size, hidden_size, noise.child("initial"))
        shape, fans = (latent_size, 3 * hidden_size), (latent_size, hidden_size)
        self.constant_weight = Tensor(glorot_uniform(noise.child("constant"), shape, fans))
        self.head = Linear(hidden_size, n_symbols + 1, noise.child("head"))

    def __call__(self, z: Any) -> SymbolSequence:
        return SymbolSequence(self.gru, self.head, composed(ops.tanh, self.initial, z), z @ self.constant_weight)

    def __repr__(self) -> str:
        return f"{self.head} after {self.gru}"


class PropertyDecoder(Module):
    """p(t | z) = product over the properties of Normal(t_p; m_p + u_p f_p(z), (u_p s_p)^2).   (..., K) -> (..., P)

    f is a perceptron with a hidden layer of tanh. s is learned, one number for each property, and starts at 1. m and u,
    the means and standard deviations of the training data, are buffers. A squared error with weight w in a loss is this
    density with s^2 = 1 / (2 w).

    Parameters
    ----------
    latent_size : int
        K.
    names : sequence of str
        The names of the P properties.
    means, stds : sequences of float
        m and u.
    noise : Noise
        The source of the initial weights.
    hidden_size : int
        The hidden units of f.

    Attributes
    ----------
    names : tuple of str
        The names of the properties.
    network : MLP
        f.
    log_std : Tensor (P,)
        log s.
    centre, unit : arrays (P,)
        m and u.

    See Also
    --------
    MoleculeVAE : the model that p(t | z) is a factor of.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> decoder = sv.models.PropertyDecoder(2, ["logP"], [1.5], [0.5], sv.Noise(0))
    >>> decoder(numpy.zeros((5, 2), numpy.float32)).mean.shape
    (5, 1)
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
