"""Recurrent layers, over rows without padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scratchvae import ops
from scratchvae.autodiff import Tensor
from scratchvae.backend import device_module
from scratchvae.errors import InputError, whole_number
from scratchvae.nn.initializers import glorot_uniform, orthogonal
from scratchvae.nn.module import Module
from scratchvae.nn.packing import Packing
from scratchvae.noise import Noise


class LSTM(Module):
    """c_t = f c_(t-1) + i g,   h_t = o tanh c_t,   (i, f, o) = sigmoid and g = tanh of the blocks of a_t

    a_t = x_t W + b + h_(t-1) U + k    W (D, 4 H), b (4 H,), U (H, 4 H);   k (N, 4 H), a constant of each sequence

    With layer_norm each block of a_t is normalised over its H entries and has a scale and a shift in place of b, and
    h_t = o tanh(normalised c_t). With noise, each entry of g is multiplied by 1 / keep with probability keep, else by
    0: recurrent dropout, which leaves the memory c alone.

    W starts as Glorot uniform, U as four orthogonal blocks, b or the shift at 1 for f and at 0 for the others.

    Sources: Hochreiter & Schmidhuber (1997); Jozefowicz, Zaremba & Sutskever (2015) for the forget gate's bias; Ba,
    Kiros & Hinton (2016), section 3.1; Semeniuta, Severyn & Barth (2016), equation 13.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    noise : Noise
        The source of the initial weights.
    layer_norm : bool
        Whether the blocks and the memory are normalised.
    keep : float
        The probability that an entry of g is kept, in (0, 1]. Without noise in the call nothing is dropped.

    Attributes
    ----------
    weight : Tensor (D, 4 H)
        W.
    recurrent : Tensor (H, 4 H)
        U.
    bias : Tensor (4 H,)
        b, or with layer_norm the shift of the blocks.
    gate_scale : Tensor (4 H,)
        The scale of the blocks; with layer_norm alone, as the next two.
    cell_scale, cell_shift : Tensor (H,)
        The scale and the shift of the normalised memory.
    hidden_size, layer_norm, keep
        The parameters of these names.

    See Also
    --------
    GRU : a layer with three blocks in place of four.
    Packing : the rows that the layer takes.
    scratchvae.ops.lstm : the operation.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> packing = sv.nn.Packing(numpy.array([3, 1]))
    >>> x = numpy.zeros((2, 3, 5), numpy.float32)
    >>> sv.nn.LSTM(5, 4, sv.Noise(0))(packing.pack(x), packing).shape
    (4, 4)
    """

    def __init__(
        self, input_size: int, hidden_size: int, noise: Noise, layer_norm: bool = False, keep: float = 1.0
    ) -> None:
        inputs = whole_number("LSTM", "input_size", input_size)
        size = self.hidden_size = whole_number("LSTM", "hidden_size", hidden_size)
        if not 0 < keep <= 1:
            raise InputError("LSTM", "keep above 0, at most 1", repr(keep))
        xp = device_module(noise.device)
        blocks = [orthogonal(noise.child(f"recurrent {block}"), (size, size)) for block in "ifog"]
        self.weight = Tensor(glorot_uniform(noise, (inputs, 4 * size), fans=(inputs, size)))
        self.recurrent = Tensor(xp.concatenate(blocks, axis=1))
        shift = xp.zeros(4 * size, dtype=self.weight.dtype)
        shift[size : 2 * size] = 1.0
        self.bias = Tensor(shift)
        self.keep, self.layer_norm = float(keep), layer_norm
        if layer_norm:
            self.gate_scale = Tensor(xp.ones_like(shift))
            self.cell_scale, self.cell_shift = Tensor(xp.ones_like(shift[:size])), Tensor(xp.zeros_like(shift[:size]))

    def __call__(
        self, x: Any, packing: Packing, state: Any = None, constant: Any = None, noise: Noise | None = None
    ) -> Any:
        """Returns all h_t, as rows.   x (R, D) -> (R, H)

        state: h_0 and c_0, (N, H) each, or None for zeros; constant: k. With noise, the layer drops out.
        """
        if state is None:
            zeros = device_module(self.device).zeros((packing.counts[0], self.hidden_size), dtype=self.dtype)
            h, c = zeros, zeros
        else:
            h, c = map(packing.ordered, state)
        constant = None if constant is None else packing.ordered(constant)
        dropout = None if noise is None else self.dropout_factors(noise, (len(packing.sequence), self.hidden_size))
        dropout = None if dropout is None else packing.from_packed(dropout)
        return ops.lstm(
            self._inputs(x), self.recurrent, h, c, constant, *self._norms(), counts=packing.counts, dropout=dropout
        )

    def step(self, x: Any, state: Any, constant: Any = None) -> tuple[Any, Any]:
        """Returns h_t and c_t, (N, H) each, from x_t, (N, D), and the state h_(t-1) and c_(t-1), without dropout."""
        return ops.lstm_step(self._inputs(x), self.recurrent, *state, constant, *self._norms())

    def dropout_factors(self, noise: Noise, shape: tuple[int, ...]) -> Any:
        """Returns 1 / keep with probability keep, else 0; None if keep is 1, so that nothing is multiplied."""
        if self.keep == 1:
            return None
        return (noise.without_rows().uniform("dropout", shape) < self.keep).astype(self.dtype) / self.keep

    def _inputs(self, x: Any) -> Any:
        return x @ self.weight if self.layer_norm else ops.affine(x, self.weight, self.bias)

    def _norms(self) -> tuple[Tensor, ...]:
        return (self.gate_scale, self.bias, self.cell_scale, self.cell_shift) if self.layer_norm else ()

    def __repr__(self) -> str:
        norm = ", layer norm" if self.layer_norm else ""
        keep = f", keep {self.keep:g}" if self.keep < 1 else ""
        return f"LSTM({self.weight.shape[0]} -> {self.hidden_size}{norm}{keep})"


class GRU(Module):
    """h_t = (1 - u) n + u h_(t-1),   (r, u) = sigmoid(x_t W + b + k + h_(t-1) U),   n = tanh(x_t W + b + k + r m)

    m = h_(t-1) U + b_n    b_n (H,), in the block n alone

    W (D, 3 H), b (3 H,), U (H, 3 H) and k (N, 3 H), a constant of each sequence, have three blocks, for r, u and n.

    The layer takes rows of numbers or symbols: whole numbers from 0 to D - 1 that stand for one-hot rows, so that x_t W
    is a row of W. W starts as Glorot uniform, U as three orthogonal blocks, b and b_n at 0.

    Source: Cho et al. (2014), equations 5 to 8, in the form of `ops.gru`.

    Parameters
    ----------
    input_size, hidden_size : int
        D and H.
    noise : Noise
        The source of the initial weights.

    Attributes
    ----------
    weight : Tensor (D, 3 H)
        W.
    recurrent : Tensor (H, 3 H)
        U.
    bias : Tensor (3 H,)
        b.
    recurrent_bias : Tensor (H,)
        b_n.
    hidden_size : int
        H.

    See Also
    --------
    LSTM : a layer with a memory beside h.
    Packing : the rows that the layer takes.
    scratchvae.ops.gru : the operation.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> layer, packing = sv.nn.GRU(5, 4, sv.Noise(0)), sv.nn.Packing(numpy.array([3, 1]))
    >>> symbols = numpy.array([4, 2, 0, 1])
    >>> one_hot = numpy.eye(5, dtype=numpy.float32)[symbols]
    >>> bool(abs(layer(symbols, packing).data - layer(one_hot, packing).data).max() < 1e-6)
    True
    """

    def __init__(self, input_size: int, hidden_size: int, noise: Noise) -> None:
        inputs = whole_number("GRU", "input_size", input_size)
        size = self.hidden_size = whole_number("GRU", "hidden_size", hidden_size)
        xp = device_module(noise.device)
        blocks = [orthogonal(noise.child(f"recurrent {block}"), (size, size)) for block in "run"]
        self.weight = Tensor(glorot_uniform(noise, (inputs, 3 * size), fans=(inputs, size)))
        self.recurrent = Tensor(xp.concatenate(blocks, axis=1))
        self.bias = Tensor(xp.zeros(3 * size, dtype=self.weight.dtype))
        self.recurrent_bias = Tensor(xp.zeros(size, dtype=self.weight.dtype))

    def __call__(self, x: Any, packing: Packing, state: Any = None, constant: Any = None) -> Any:
        """Returns all h_t, as rows.   x (R, D) or symbols (R,) -> (R, H)

        state: h_0 (N, H), zeros if None; constant: k. Raises InputError for symbols that are not from 0 to D - 1.
        """
        if state is None:
            h = device_module(self.device).zeros((packing.counts[0], self.hidden_size), dtype=self.dtype)
        else:
            h = packing.ordered(state)
        constant = None if constant is None else packing.ordered(constant)
        return ops.gru(self._inputs(x), self.recurrent, self.recurrent_bias, h, constant, counts=packing.counts)

    def step(self, x: Any, state: Any, constant: Any = None) -> Any:
        """Returns h_t after one step from h_(t-1).   x (N, D) or symbols (N,), state (N, H) -> (N, H)"""
        inputs = self._inputs(x)  # one step by `ops.gru` takes half the time of `ops.gru_step`
        return ops.gru(inputs, self.recurrent, self.recurrent_bias, state, constant, counts=[len(inputs)])

    def _inputs(self, x: Any) -> Any:
        if x.dtype.kind in "iu":
            return ops.gather_rows(self.weight + self.bias, x)  # b is added to the table's rows, not to all of x's
        return ops.affine(x, self.weight, self.bias)

    def __repr__(self) -> str:
        return f"GRU({self.weight.shape[0]} -> {self.hidden_size})"


class Bidirectional(Module):
    """y = (last h of a layer that reads forwards, last h of a layer that reads backwards).   x (R, ...) -> (N, 2 H)

    Each has read the whole sequence and nothing after its end; x is as the layers take it.

    Source: Schuster & Paliwal (1997).

    Parameters
    ----------
    layer : callable
        A function that makes a layer from noise.
    noise : Noise
        Each layer is made from a child of it.

    Attributes
    ----------
    forwards, backwards : Module
        The two layers.

    See Also
    --------
    LSTM, GRU : the layers.
    Packing : the rows that they take.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> layer = sv.nn.Bidirectional(lambda noise: sv.nn.GRU(5, 4, noise), sv.Noise(0))
    >>> layer(numpy.array([4, 2, 0, 1]), sv.nn.Packing(numpy.array([3, 1]))).shape
    (2, 8)
    """

    def __init__(self, layer: Callable[[Noise], LSTM | GRU], noise: Noise) -> None:
        self.forwards = layer(noise.child("forwards"))
        self.backwards = layer(noise.child("backwards"))

    def __call__(self, x: Any, packing: Packing, noise: Noise | None = None) -> Any:
        """Returns the two last h side by side.   (R, ...) -> (N, 2 H);   noise: for the dropout of an LSTM"""
        names = ("forwards", "backwards")
        options = [{} if noise is None else {"noise": noise.child(name)} for name in names]
        forwards = self.forwards(x, packing, **options[0])
        backwards = self.backwards(x[packing.reversal], packing, **options[1])
        return ops.concatenate([forwards[packing.last], backwards[packing.last]], axis=1)

    def __repr__(self) -> str:
        return f"forwards and backwards {self.forwards}"
