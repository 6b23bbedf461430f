"""The affine layer and the multilayer perceptron."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any

from scratchvae import ops
from scratchvae.autodiff import Tensor
from scratchvae.backend import device_module
from scratchvae.errors import InputError
from scratchvae.nn.initializers import glorot_uniform
from scratchvae.nn.module import Module
from scratchvae.noise import Noise
from scratchvae.ops.activations import BIASED

ACTIVATIONS = {
    "relu": ops.relu,
    "tanh": ops.tanh,
    "softplus": ops.softplus,
    "leaky_relu": ops.leaky_relu,
    "sigmoid": ops.sigmoid,
}


def check_activation(operation: str, name: str) -> None:
    """Raises InputError unless there is an activation of this name."""
    if name not in ACTIVATIONS:
        raise InputError(operation, f"an activation among {', '.join(ACTIVATIONS)}", repr(name))


class Linear(Module):
    """y = x W + b.   shape: (..., D) -> (..., H);   W (D, H), b (H,), which starts at zero

    With an activation a of `scratchvae.ops`, `layer(x, activation=ops.tanh)`, y = a(x W + b).

    Parameters
    ----------
    input_size, output_size : int
        D and H.
    noise : Noise
        The source of the initial weights.
    initializer : callable
        W = initializer(noise, (D, H)).

    Attributes
    ----------
    weight : Tensor
        W, (D, H).
    bias : Tensor
        b, (H,).

    See Also
    --------
    MLP : several such layers with an activation between them.
    scratchvae.ops.affine : the same without a Module.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> layer = sv.nn.Linear(3, 2, sv.Noise(0))
    >>> layer, layer(numpy.zeros((5, 3), numpy.float32)).shape
    (Linear(3 -> 2), (5, 2))
    """

    def __init__(
        self, input_size: int, output_size: int, noise: Noise, initializer: Callable[..., Any] = glorot_uniform
    ) -> None:
        for size in (input_size, output_size):
            if not isinstance(size, Integral) or size < 1:
                raise InputError("Linear", "sizes of at least 1", f"{input_size} -> {output_size}")
        self.weight = Tensor(initializer(noise, (input_size, output_size)))
        self.bias = Tensor(device_module(noise.device).zeros(output_size, dtype=self.weight.dtype))

    def __call__(self, x: Any, activation: Any = None) -> Any:
        return ops.affine(x, self.weight, self.bias, activation=activation)

    def __repr__(self) -> str:
        return f"Linear({' -> '.join(map(str, self.weight.shape))})"


Linear.__call__.takes_activation = True


def composed(activation: Any, layer: Any, *arguments: Any) -> Any:
    """a(layer(...)), in one operation with the bias on a GPU, if the package knows both the layer and a."""
    if activation in BIASED and getattr(type(layer).__call__, "takes_activation", False):
        return layer(*arguments, activation=activation)
    return activation(layer(*arguments))


class MLP(Module):
    """h_i = a(h_(i-1) W_i + b_i), the last layer without the activation a.   (..., sizes[0]) -> (..., sizes[-1])

    Parameters
    ----------
    sizes : sequence of int
        The widths from input to output.
    noise : Noise
        Every layer draws its initial weights from a child of it.
    activation : str
        "relu", "tanh", "softplus", "leaky_relu" or "sigmoid".
    initializer : callable
        As in `Linear`.

    Attributes
    ----------
    layers : list of Linear
        One for each pair of neighbouring widths.

    See Also
    --------
    Linear : one layer.
    ConvolutionalNetwork : a network for images.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> network = sv.nn.MLP([784, 400, 40], sv.Noise(0), "tanh")
    >>> network, network.count()
    (MLP(784 -> 400 -> 40, tanh), 330040)
    >>> network(numpy.zeros((5, 784), numpy.float32)).shape
    (5, 40)
    """

    def __init__(
        self,
        sizes: Sequence[int],
        noise: Noise,
        activation: str = "relu",
        initializer: Callable[..., Any] = glorot_uniform,
    ) -> None:
        check_activation("MLP", activation)
        if len(sizes) < 2:
            raise InputError("MLP", "at least two sizes", str(list(sizes)))
        self.activation = activation
        self.layers = [
            Linear(inputs, outputs, noise.child(f"layer {i}"), initializer)
            for i, (inputs, outputs) in enumerate(pairwise(sizes))
        ]

    def __call__(self, x: Any) -> Any:
        activation = ACTIVATIONS[self.activation]
        for layer in self.layers[:-1]:
            x = composed(activation, layer, x)
        return self.layers[-1](x)

    def __repr__(self) -> str:
        sizes = [self.layers[0].weight.shape[0], *(layer.weight.shape[1] for layer in self.layers)]
        return f"MLP({' -> '.join(map(str, sizes))}, {self.activation})"
