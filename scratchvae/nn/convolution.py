"""Convolutions as layers, and networks of them that halve and double images, channels last."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any

from scratchvae import ops
from scratchvae.autodiff import Tensor
from scratchvae.backend import device_module
from scratchvae.errors import InputError
from scratchvae.nn.initializers import glorot_uniform
from scratchvae.nn.linear import ACTIVATIONS, Linear, check_activation, composed
from scratchvae.nn.module import Module
from scratchvae.noise import Noise
from scratchvae.ops.convolution import Padding, Stride, margins_of, pair_of

HALVING = {"kernel_size": 4, "stride": 2, "padding": 1}
"""These options halve H and W, rounded down, and every pixel enters the result; transposed, they double H and W."""


class _Convolution(Module):
    """Both convolutions have a kernel, a bias for each output channel, a stride and a padding."""

    _transposed: bool

    def __init__(
        self,
        input_channels: int,
        output_channels: int,
        kernel_size: int | tuple[int, int],
        noise: Noise,
        stride: Stride = 1,
        padding: Padding = 0,
        initializer: Callable[..., Any] = glorot_uniform,
    ) -> None:
        size = tuple(kernel_size) if isinstance(kernel_size, (tuple, list)) else (kernel_size, kernel_size)
        channels = (input_channels, output_channels)
        if len(size) != 2 or not all(isinstance(n, Integral) and n >= 1 for n in (*size, *channels)):
            received = f"{input_channels} -> {output_channels}, kernel {kernel_size}"
            raise InputError(type(self).__name__, "channels and a kernel of at least 1", received)
        strides = pair_of(type(self).__name__, "a stride", stride)
        margins_of(type(self).__name__, padding, (1, 1), size, strides)
        fans = [math.prod(size) * n for n in channels]
        fans[0 if self._transposed else 1] /= math.prod(strides)
        self.kernel = Tensor(initializer(noise, (*size, *channels[:: -1 if self._transposed else 1]), fans))
        self.bias = Tensor(device_module(noise.device).zeros(output_channels, dtype=self.kernel.dtype))
        self.input_channels, self.output_channels = channels
        self.stride, self.padding = stride, padding

    def _biased(self, y: Any, activation: Any) -> Any:
        return y + self.bias if activation is None else ops.activated(y, self.bias, activation=activation)

    def __repr__(self) -> str:
        options = f"kernel {_times(self.kernel.shape[:2])}, stride {self.stride}, padding {self.padding}"
        return f"{type(self).__name__}({self.input_channels} -> {self.output_channels}, {options})"


class Conv2d(_Convolution):
    """y = conv2d(x, kernel) + b.   shape: (N, H, W, C_in) -> (N, H', W', C_out)

    With an activation a of `scratchvae.ops`, `layer(x, activation=ops.relu)`, y = a(conv2d(x, kernel) + b).

    H' is that of `ops.conv2d`. One entry of y is computed from KH KW C_in entries of x, and one entry of x goes into
    KH KW C_out / s^2 entries of y: these are the fans of the initial values.

    Parameters
    ----------
    input_channels, output_channels : int
        C_in and C_out.
    kernel_size : int or (int, int)
        KH and KW.
    noise : Noise
        The source of the initial kernel.
    stride, padding
        As in `ops.conv2d`.
    initializer : callable
        kernel = initializer(noise, shape, fans).

    Attributes
    ----------
    kernel : Tensor
        (KH, KW, C_in, C_out).
    bias : Tensor
        (C_out,), zeros at first.

    See Also
    --------
    ConvTranspose2d : the layer that leads back to the shape of x.
    ConvolutionalNetwork : several of them and an affine layer.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> layer = sv.nn.Conv2d(1, 8, 4, sv.Noise(0), stride=2, padding=1)
    >>> layer(numpy.zeros((5, 28, 28, 1), numpy.float32)).shape
    (5, 14, 14, 8)
    """

    _transposed = False

    def __call__(self, x: Any, activation: Any = None) -> Any:
        return self._biased(ops.conv2d(x, self.kernel, self.stride, self.padding), activation)


class ConvTranspose2d(_Convolution):
    """y = conv_transpose2d(x, kernel) + b.   shape: (N, H, W, C_in) -> (N, H', W', C_out)

    Stride 2, kernel 4 and padding 1 double H and W, unless output_shape (H', W') in the call asks for one row or column
    more. An activation is given by name, as in `Conv2d`. The fans are KH KW C_in / s^2 and KH KW C_out.

    Parameters
    ----------
    input_channels, output_channels, kernel_size, noise, stride, padding, initializer
        As in `Conv2d`, with `ops.conv_transpose2d` in place of `ops.conv2d`.

    Attributes
    ----------
    kernel : Tensor
        (KH, KW, C_out, C_in), the kernel of the convolution from y to x.
    bias : Tensor
        (C_out,), zeros at first.

    See Also
    --------
    Conv2d : the convolution that this transposes.
    TransposedConvolutionalNetwork : an affine layer and several of them.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> layer = sv.nn.ConvTranspose2d(8, 1, 4, sv.Noise(0), stride=2, padding=1)
    >>> x = numpy.zeros((5, 7, 7, 8), numpy.float32)
    >>> layer(x).shape, layer(x, output_shape=(15, 15)).shape
    ((5, 14, 14, 1), (5, 15, 15, 1))
    """

    _transposed = True

    def __call__(self, x: Any, output_shape: tuple[int, int] | None = None, activation: Any = None) -> Any:
        y = ops.conv_transpose2d(x, self.kernel, self.stride, self.padding, output_shape)
        return self._biased(y, activation)


Conv2d.__call__.takes_activation = ConvTranspose2d.__call__.takes_activation = True


def feature_maps(operation: str, image_shape: Sequence[int], channels: Sequence[int]) -> list[tuple[int, int, int]]:
    """Returns (H, W, C), (H // 2, W // 2, channels[0]), (H // 4, W // 4, channels[1]), ...: an image halved repeatedly.

    Raises InputError, in the name of the operation, for other arguments and for a side that would vanish: L channels
    need sides of at least 2^L.
    """
    if not _are_sizes(image_shape) or len(image_shape) != 3:
        raise InputError(operation, "image_shape as (H, W, C), each at least 1", repr(image_shape))
    if not _are_sizes(channels) or not channels:
        raise InputError(operation, "channels as a sequence of counts", repr(channels), "channels=(32, 64)")
    height, width, _ = image_shape
    n, most = len(channels), int(min(height, width)).bit_length() - 1
    if n > most:
        expected = f"an image of at least 2^{n} x 2^{n} pixels for {n} channels, as each halves it"
        raise InputError(operation, expected, f"{height} x {width}", f"at most {most} channels fit")
    return [tuple(image_shape), *((height >> i, width >> i, c) for i, c in enumerate(channels, 1))]


class ConvolutionalNetwork(Module):
    """h_0 = x,   h_i = a(conv2d(h_(i-1)) + b_i),   y = h_L W + b.   ``(N, *image_shape) -> (N, output_size)``

    Every h_i has half the height and width of the one before, rounded down, and channels[i - 1] channels; kernels are
    4 x 4, the stride is 2. h_L is flattened before it is multiplied by W.

    Parameters
    ----------
    image_shape : (H, W, C)
        The shape of one image; sides of at least 2^L for L channels.
    channels : sequence of int
        The number of channels after each convolution.
    output_size : int
        The number of entries of y.
    noise : Noise
        Every layer draws its initial weights from a child of it.
    activation : str
        As in `MLP`.

    Attributes
    ----------
    convolutions : list of Conv2d
        The layers up to h_L.
    linear : Linear
        W and b.
    shapes : list of (H, W, C)
        The shapes of h_0, ..., h_L.
    activation : str
        The parameter of this name.

    See Also
    --------
    TransposedConvolutionalNetwork : the way back.
    scratchvae.VAE.convolutional : a VAE of both.

    Examples
    --------
    >>> import scratchvae as sv
    >>> sv.nn.ConvolutionalNetwork((28, 28, 1), (32, 64), 40, sv.Noise(0))
    ConvolutionalNetwork(28 x 28 x 1 -> 14 x 14 x 32 -> 7 x 7 x 64 -> 40, relu)
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        channels: Sequence[int],
        output_size: int,
        noise: Noise,
        activation: str = "relu",
    ) -> None:
        check_activation("ConvolutionalNetwork", activation)
        self.activation, self.shapes = activation, feature_maps("ConvolutionalNetwork", image_shape, channels)
        self.convolutions = [
            Conv2d(first[2], second[2], noise=noise.child(f"convolution {i}"), **HALVING)
            for i, (first, second) in enumerate(pairwise(self.shapes))
        ]
        self.linear = Linear(math.prod(self.shapes[-1]), output_size, noise.child("linear"))

    def __call__(self, x: Any) -> Any:
        for convolution in self.convolutions:
            x = composed(ACTIVATIONS[self.activation], convolution, x)
        return self.linear(ops.reshape(x, (x.shape[0], math.prod(self.shapes[-1]))))

    def __repr__(self) -> str:
        steps = [*map(_times, self.shapes), str(self.linear.weight.shape[1])]
        return f"ConvolutionalNetwork({' -> '.join(steps)}, {self.activation})"


class TransposedConvolutionalNetwork(Module):
    """h_L = a(z W + b),   h_(i-1) = a(conv_transpose2d(h_i) + b_i),   y = h_0.   ``(..., K) -> (..., *image_shape)``

    The network takes the steps of `ConvolutionalNetwork` backwards, with the same shapes of h_i; h_0 is without the
    activation.

    Parameters
    ----------
    input_size : int
        K.
    channels, image_shape, noise, activation
        As in `ConvolutionalNetwork`; the last of the channels belongs to h_L.

    Attributes
    ----------
    linear : Linear
        W and b.
    convolutions : list of ConvTranspose2d
        The layers behind h_L.
    shapes : list of (H, W, C)
        The shapes of h_L, ..., h_0.
    activation : str
        The parameter of this name.

    See Also
    --------
    ConvolutionalNetwork : the way from images to numbers.
    scratchvae.VAE.convolutional : a VAE of both.

    Examples
    --------
    >>> import scratchvae as sv
    >>> sv.nn.TransposedConvolutionalNetwork(20, (32, 64), (28, 28, 1), sv.Noise(0))
    TransposedConvolutionalNetwork(20 -> 7 x 7 x 64 -> 14 x 14 x 32 -> 28 x 28 x 1, relu)
    """

    def __init__(
        self,
        input_size: int,
        channels: Sequence[int],
        image_shape: Sequence[int],
        noise: Noise,
        activation: str = "relu",
    ) -> None:
        check_activation("TransposedConvolutionalNetwork", activation)
        self.activation = activation
        self.shapes = feature_maps("TransposedConvolutionalNetwork", image_shape, channels)[::-1]
        self.linear = Linear(input_size, math.prod(self.shapes[0]), noise.child("linear"))
        self.convolutions = [
            ConvTranspose2d(first[2], second[2], noise=noise.child(f"convolution {i}"), **HALVING)
            for i, (first, second) in enumerate(pairwise(self.shapes))
        ]

    def __call__(self, z: Any) -> Any:
        activation = ACTIVATIONS[self.activation]
        h = ops.reshape(composed(activation, self.linear, z), (math.prod(z.shape[:-1]), *self.shapes[0]))
        for convolution, shape in zip(self.convolutions[:-1], self.shapes[1:-1], strict=True):
            h = composed(activation, convolution, h, shape[:2])
        h = self.convolutions[-1](h, self.shapes[-1][:2])
        return ops.reshape(h, (*z.shape[:-1], *self.shapes[-1]))

    def __repr__(self) -> str:
        steps = [str(self.linear.weight.shape[0]), *map(_times, self.shapes)]
        return f"TransposedConvolutionalNetwork({' -> '.join(steps)}, {self.activation})"


def _are_sizes(values: Any) -> bool:
    return isinstance(values, (tuple, list)) and all(isinstance(n, Integral) and n >= 1 for n in values)


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
