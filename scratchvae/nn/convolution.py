"""Conv2d and ConvTranspose2d, channels last."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from scratchvae import ops
from scratchvae.autodiff import Tensor
from scratchvae.backend import device_module
from scratchvae.errors import InputError
from scratchvae.nn.initializers import glorot_uniform
from scratchvae.nn.module import Module
from scratchvae.noise import Noise
from scratchvae.ops.convolution import Padding, Stride


class _Convolution(Module):
    """What the two have in common: a kernel, a bias for each output channel, a stride and a padding."""

    def __init__(
        self,
        input_channels: int,
        output_channels: int,
        kernel_size: int | tuple[int, int],
        noise: Noise,
        stride: Stride = 1,
        padding: Padding = 0,
    ) -> None:
        size = tuple(kernel_size) if isinstance(kernel_size, (tuple, list)) else (kernel_size, kernel_size)
        channels = (input_channels, output_channels)
        if len(size) != 2 or not all(isinstance(n, Integral) and n >= 1 for n in (*size, *channels)):
            received = f"{input_channels} -> {output_channels}, kernel {kernel_size}"
            raise InputError(type(self).__name__, "channels and a kernel of at least 1", received)
        self.kernel = Tensor(glorot_uniform(noise, (*size, *self._kernel_channels(*channels))))
        self.bias = Tensor(device_module(noise.device).zeros(output_channels, dtype=self.kernel.dtype))
        self.input_channels, self.output_channels = channels
        self.stride, self.padding = stride, padding

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.kernel.shape[:2]))
        options = f"kernel {size}, stride {self.stride}, padding {self.padding}"
        return f"{type(self).__name__}({self.input_channels} -> {self.output_channels}, {options})"


class Conv2d(_Convolution):
    """y = conv2d(x, kernel) + b.   shape: (N, H, W, C_in) -> (N, H', W', C_out);   b (C_out,), which starts at zero

    kernel: (KH, KW, C_in, C_out), where kernel_size is (KH, KW) or one int; H', stride and padding as in `ops.conv2d`.
    """

    _kernel_channels = staticmethod(lambda input_channels, output_channels: (input_channels, output_channels))

    def __call__(self, x: Any) -> Any:
        return ops.conv2d(x, self.kernel, self.stride, self.padding) + self.bias


class ConvTranspose2d(_Convolution):
    """y = conv_transpose2d(x, kernel) + b.   shape: (N, H, W, C_in) -> (N, H', W', C_out);   b (C_out,), zero at first

    kernel: (KH, KW, C_out, C_in), that of the convolution from y to x; the rest as in `ops.conv_transpose2d`. Stride 2,
    kernel 4 and padding 1 double H and W.
    """

    _kernel_channels = staticmethod(lambda input_channels, output_channels: (output_channels, input_channels))

    def __call__(self, x: Any) -> Any:
        return ops.conv_transpose2d(x, self.kernel, self.stride, self.padding) + self.bias
