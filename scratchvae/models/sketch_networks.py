"""The networks of SketchRNN: the encoder of drawings, and the decoder that draws them row by row."""

from __future__ import annotations

import math
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.autodiff import Tensor
from scratchvae.backend import array_module, asarray, device_module
from scratchvae.distributions import BivariateMixture, Categorical, Normal, SketchDistribution, SketchStep
from scratchvae.distributions.sketch import n_points
from scratchvae.errors import InputError, whole_number
from scratchvae.models.decoders import bounded_below
from scratchvae.models.encoders import halves
from scratchvae.nn import LSTM, Bidirectional, Linear, Module, glorot_uniform
from scratchvae.nn.packing import arranged
from scratchvae.noise import Noise

LARGEST_R = 4.0  # so that |rho| < tanh 4 = 0.9993


class SketchHead(Module):
    """p(row) = q(pen) m(dx, dy),   whose parameters are an affine function of h.   (..., H) -> SketchStep

    3 + 6 M outputs: logits of the pen; logit, means, raw log stds and raw r of each component. Bounded smoothly:

    log s = log s_min + log(1 + exp(raw - log s_min)) > log s_min;   r = 4 tanh(raw / 4),   |rho| < tanh 4

    Source: Ha & Eck (2017), equations 3 to 7, where s has no bound.

    Parameters
    ----------
    hidden_size, mixtures : int
        H and M.
    noise : Noise
        The source of the initial weights.
    smallest_std : float
        s_min, in the unit of the head.

    Attributes
    ----------
    linear : Linear
        The affine function.
    mixtures, smallest_std
        The parameters of these names.

    See Also
    --------
    SketchDecoder : applies it to every step.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> from scratchvae.models.sketch_networks import SketchHead
    >>> step = SketchHead(4, 3, sv.Noise(0))(numpy.zeros((5, 4), numpy.float32))
    >>> step.pen.mean.shape, step.offset.logits.shape
    ((5, 3), (5, 3))
    """

    def __init__(self, hidden_size: int, mixtures: int, noise: Noise, smallest_std: float = 0.01) -> None:
        self.mixtures = whole_number("SketchHead", "mixtures", mixtures)
        if not 0 < smallest_std < math.inf:
            raise InputError("SketchHead", "a positive smallest_std", repr(smallest_std))
        self.smallest_std = float(smallest_std)
        self.linear = Linear(hidden_size, 3 + 6 * mixtures, noise, _small)

    def __call__(self, h: Any) -> SketchStep:
        outputs = self.linear(h)
        components = ops.reshape(outputs[..., 3:], (*outputs.shape[:-1], self.mixtures, 6))
        log_stds = bounded_below(components[..., 3:5], self.smallest_std)
        r = LARGEST_R * ops.tanh(components[..., 5] / LARGEST_R)
        offset = BivariateMixture(components[..., 0], components[..., 1:3], log_stds, r)
        return SketchStep(Categorical(outputs[..., :3]), offset)

    def __repr__(self) -> str:
        return f"pen and {self.mixtures} Gaussians(std > {self.smallest_std:g}) of {self.linear}"


class SketchEncoder(Module):
    """q(z | x) = Normal(mu, diag(sigma^2)),   mu and log sigma affine in the last h of two LSTMs.   (N, T, 5) -> (N, K)

    One LSTM reads the points of x forwards, the other backwards. Neither reads the end or the padding.

    Source: Ha & Eck (2017), equations 1 and 2.

    Parameters
    ----------
    latent_size : int
        K.
    hidden_size, noise, layer_norm, keep
        As in LSTM. Calls with noise drop out.
    scale : float
        The unit of offsets.

    Attributes
    ----------
    lstm : Bidirectional
        The two LSTMs.
    linear : Linear
        The affine map from their last h to mu and log sigma.
    scale : array
        The unit of offsets, a buffer.

    See Also
    --------
    SketchDecoder : p(x | z).

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> encoder = sv.models.SketchEncoder(2, 4, sv.Noise(0))
    >>> x = numpy.array([[[1, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 1]]], numpy.float32)
    >>> encoder(x).mean.shape
    (1, 2)
    """

    def __init__(
        self,
        latent_size: int,
        hidden_size: int,
        noise: Noise,
        layer_norm: bool = False,
        keep: float = 1.0,
        scale: float = 1.0,
    ) -> None:
        self.lstm = Bidirectional(lambda child: LSTM(5, hidden_size, child, layer_norm, keep), noise.child("lstm"))
        self.linear = Linear(2 * hidden_size, 2 * latent_size, noise.child("linear"), _small)
        self.scale = _as_scale("SketchEncoder", scale, noise)

    def __call__(self, x: Any, noise: Noise | None = None) -> Normal:
        packing, xp = arranged(n_points(x), x.shape[1]), array_module(x)
        rows = packing.pack(x)
        h = self.lstm(xp.concatenate([rows[:, :2] / self.scale, rows[:, 2:]], axis=1), packing, noise)
        outputs = self.linear(h)
        return Normal(*halves(outputs))

    def __repr__(self) -> str:
        return f"Normal(mean and log std = {self.linear} of {self.lstm})"


class NoEncoder(Module):
    """q(z | x) of no latent variables, for a decoder alone.   (N, ...) -> Normal over (N, 0)

    See Also
    --------
    SketchEncoder : the encoder where there are latent variables.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.models.sketch_networks import NoEncoder
    >>> NoEncoder()(numpy.zeros((3, 7, 5))).mean.shape
    (3, 0)
    """

    def __call__(self, x: Any, noise: Noise | None = None) -> Normal:
        nothing = array_module(x).zeros((len(x), 0), dtype=x.dtype)
        return Normal(nothing, nothing)

    def __repr__(self) -> str:
        return "nothing"


class SketchDecoder(Module):
    """p(x | z): the LSTM starts from h_0, c_0 = tanh(z W_0 + b_0), and every step adds z V.   (..., N, K) -> p(x | z)

    In the paper z is appended to each row; z V is its contribution there. With latent_size 0 there is no z, and p(x) is
    unconditional, for z (..., N, 0). Given noise, a decoder returns a distribution whose log_prob drops out.

    Source: deck, "A sequence model: SketchRNN"; Ha & Eck (2017), section 3.2.

    Parameters
    ----------
    latent_size : int
        K.
    hidden_size, noise, layer_norm, keep
        As in LSTM.
    mixtures, smallest_std
        As in SketchHead.
    scale : float
        The unit of offsets.

    Attributes
    ----------
    lstm : LSTM
        The recurrent layer.
    initial_weight, initial_bias : Tensor
        W_0 and b_0.
    constant_weight : Tensor
        V.
    head : SketchHead
        The map from h to the parameters of a row.
    scale : array
        The unit of offsets, a buffer.

    See Also
    --------
    SketchEncoder : q(z | x).

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> decoder = sv.models.SketchDecoder(2, 4, 3, sv.Noise(0))
    >>> x = numpy.array([[[1, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 1]]], numpy.float32)
    >>> decoder(numpy.zeros((1, 2), numpy.float32)).log_prob(x).shape
    (1,)
    """

    likelihood = SketchDistribution

    def __init__(
        self,
        latent_size: int,
        hidden_size: int,
        mixtures: int,
        noise: Noise,
        layer_norm: bool = False,
        keep: float = 1.0,
        scale: float = 1.0,
        smallest_std: float = 0.01,
    ) -> None:
        whole_number("SketchDecoder", "latent_size", latent_size, smallest=0)
        self.lstm = LSTM(5, hidden_size, noise.child("lstm"), layer_norm, keep)
        self.initial_weight = Tensor(_small(noise.child("initial"), (latent_size, 2 * hidden_size)))
        self.initial_bias = Tensor(device_module(noise.device).zeros(2 * hidden_size, dtype=self.lstm.dtype))
        shape, fans = (latent_size, 4 * hidden_size), (latent_size, hidden_size)
        self.constant_weight = Tensor(glorot_uniform(noise.child("constant"), shape, fans))
        self.head = SketchHead(hidden_size, mixtures, noise.child("head"), smallest_std)
        self.scale = _as_scale("SketchDecoder", scale, noise)

    def __call__(self, z: Any, noise: Noise | None = None) -> SketchDistribution:
        state = ops.activated(z @ self.initial_weight, self.initial_bias, activation=ops.tanh)
        h0, c0 = state[..., : self.lstm.hidden_size], state[..., self.lstm.hidden_size :]
        return SketchDistribution(self.lstm, self.head, h0, c0, z @ self.constant_weight, self.scale, noise)

    def __repr__(self) -> str:
        return f"{self.head} after {self.lstm}, scale {float(self.scale):g}"


def _as_scale(operation: str, scale: float, noise: Noise) -> Any:
    if not 0 < scale < math.inf:
        raise InputError(operation, "a positive scale", repr(scale))
    return asarray(numpy.array(scale, dtype=numpy.float32), noise.device)


def _small(noise: Noise, shape: tuple[int, int]) -> Any:
    return 0.1 * glorot_uniform(noise, shape)
