"""Conv2d, ConvTranspose2d, and networks of them that halve and double images, channels last."""

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
from scratchvae.nn.linear import ACTIVATIONS, Linear, check_activation
from scratchvae.nn.module import Module
from scratchvae.noise import Noise
from scratchvae.ops.convolution import Padding, Stride, margins_of, pair_of

HALVING = {"kernel_size": 4, "stride": 2, "padding": 1}
"""A convolution that takes H and W to H // 2 and W // 2, every pixel within its reach; transposed, it goes back."""


class _Convolution(Module):
    """The common parts of both convolutions: a kernel, a bias for each output channel, a stride and a padding."""

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

    def __repr__(self) -> str:
        options = f"kernel {_times(self.kernel.shape[:2])}, stride {self.stride}, padding {self.padding}"
        return f"{type(self).__name__}({self.input_channels} -> {self.output_channels}, {options})"


class Conv2d(_Convolution):
    """y = conv2d(x, kernel) + b.   shape: (N, H, W, C_in) -> (N, H', W', C_out);   b (C_out,), which starts at zero

    kernel: (KH, KW, C_in, C_out), where kernel_size is (KH, KW) or one int; H', stride and padding as in `ops.conv2d`.
    An entry of y is computed from KH KW C_in entries of x, and one of x goes into KH KW C_out / s^2 of y: the fans.
    """

    _transposed = False

    def __call__(self, x: Any) -> Any:
        return ops.conv2d(x, self.kernel, self.stride, self.padding) + self.bias


class ConvTranspose2d(_Convolution):
    """y = conv_transpose2d(x, kernel) + b.   shape: (N, H, W, C_in) -> (N, H', W', C_out);   b (C_out,), zero at first

    kernel: (KH, KW, C_out, C_in), that of the convolution from y to x; the rest as in `ops.conv_transpose2d`. Stride 2,
    kernel 4 and padding 1 double H and W, unless output_shape (H', W') asks for one row or column more. The fans are
    KH KW C_in / s^2 and KH KW C_out.
    """

    _transposed = True

    def __call__(self, x: Any, output_shape: tuple[int, int] | None = None) -> Any:
        return ops.conv_transpose2d(x, self.kernel, self.stride, self.padding, output_shape) + self.bias


def feature_maps(operation: str, image_shape: Sequence[int], channels: Sequence[int]) -> list[tuple[int, int, int]]:
    """(H, W, C), (H // 2, W // 2, channels[0]), (H // 4, W // 4, channels[1]), ...: an image halved again and again

    Raises InputError, in the name of the operation, for other arguments and for a side that comes to nothing: L
    channels ask for sides of at least 2^L.
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
    """h_0 = x,   h_i = a(conv2d(h_(i-1)) + b_i),   y = h_L W + b.   (N, *image_shape) -> (N, output_size)

    Every h_i has half the height and width of the one before, rounded down, and channels[i - 1] channels; kernels are
    4 x 4, the stride is 2. h_L meets W as a row. Activations as in `MLP`, and what is refused as in `feature_maps`.
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
            x = ACTIVATIONS[self.activation](convolution(x))
        return self.linear(ops.reshape(x, (x.shape[0], math.prod(self.shapes[-1]))))

    def __repr__(self) -> str:
        steps = [*map(_times, self.shapes), str(self.linear.weight.shape[1])]
        return f"ConvolutionalNetwork({' -> '.join(steps)}, {self.activation})"


class TransposedConvolutionalNetwork(Module):
    """h_L = a(z W + b),   h_(i-1) = a(conv_transpose2d(h_i) + b_i),   y = h_0.   (..., K) -> (..., *image_shape)

    The steps of `ConvolutionalNetwork` backwards, with the same shapes of h_i; h_0 is without the activation. K is the
    input_size.
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
        h = ops.reshape(self.linear(z), (math.prod(z.shape[:-1]), *self.shapes[0]))
        for convolution, (height, width, _) in zip(self.convolutions, self.shapes[1:], strict=True):
            h = convolution(ACTIVATIONS[self.activation](h), (height, width))
        return ops.reshape(h, (*z.shape[:-1], *self.shapes[-1]))

    def __repr__(self) -> str:
        steps = [str(self.linear.weight.shape[0]), *map(_times, self.shapes)]
        return f"TransposedConvolutionalNetwork({' -> '.join(steps)}, {self.activation})"


def _are_sizes(values: Any) -> bool:
    return isinstance(values, (tuple, list)) and all(isinstance(n, Integral) and n >= 1 for n in values)


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
