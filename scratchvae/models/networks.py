"""Encoders and decoders: a network whose output becomes the parameters of a distribution."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.autodiff import Tensor
from scratchvae.distributions import Bernoulli, Categorical, Normal
from scratchvae.errors import InputError
from scratchvae.nn import Module, glorot_uniform
from scratchvae.nn.linear import ACTIVATIONS, check_activation
from scratchvae.noise import Noise

SMALLEST_STD = 1e-3  # of a Gaussian likelihood; about the rounding error of 8-bit pixels, 1 / (255 sqrt(12))
INITIAL_STD = 0.3  # of one that is learned; about the deviation of grey values in [0, 1]


class GaussianEncoder(Module):
    """q(z | x) = Normal(mu(x), diag(sigma(x)^2)),   where the network gives mu and log sigma side by side

    network: (N, D) -> (N, 2 K); one of more inputs, as ClassConditional, makes an encoder q(z | x, y) of as many.

    Source: deck, "Amortized inference networks".
    """

    def __init__(self, network: Any) -> None:
        self.network = network

    def __call__(self, *x: Any) -> Normal:
        return Normal(*_halves(self.network(*x)))

    def __repr__(self) -> str:
        return f"Normal(mean and log std = {self.network})"


class Classifier(Module):
    """q(y | x) = Categorical(softmax(f(x))),   where the network f gives the logits

    network: (N, D) -> (N, C).   Source: deck, "Generative model and inference networks".
    """

    def __init__(self, network: Any) -> None:
        self.network = network

    def __call__(self, x: Any) -> Categorical:
        return Categorical(self.network(x))

    def __repr__(self) -> str:
        return f"Categorical(logits = {self.network})"


class ClassConditional(Module):
    """f(x, y) = head(a(body(x) + y V)),   y the indicator of a class, (..., C);   V (C, H), a an activation

    With a Linear body this is a perceptron of x and y side by side. The body runs once for each x, however many classes
    it meets: x (N, D) and y (C, 1, C), every class for every row, give (C, N, H) and then the head's (C, N, output).

    body: (N, D) -> (N, H), head: (..., H) -> (..., output); V draws from the noise.
    """

    def __init__(self, body: Any, head: Any, shape: tuple[int, int], noise: Noise, activation: str = "relu") -> None:
        check_activation("ClassConditional", activation)
        self.activation, self.body, self.head = activation, body, head
        self.class_weight = Tensor(glorot_uniform(noise, shape))

    def __call__(self, x: Any, y: Any) -> Any:
        h = self.body(x) + ops.matmul(y, self.class_weight)
        return self.head(ACTIVATIONS[self.activation](h))

    def __repr__(self) -> str:
        entering = " -> ".join(map(str, self.class_weight.shape))
        return f"{self.head} of {self.activation}({self.body} + y ({entering}))"


class BernoulliDecoder(Module):
    """p(x | z) = Bernoulli(sigmoid(f(z))),   where the network f gives the logits

    network: (N, K) -> (N, D), or to the event_ndim axes of one x, three for images.

    Source: deck, 'The "hello world" of deep generative models'.
    """

    likelihood = Bernoulli

    def __init__(self, network: Any, event_ndim: int = 1) -> None:
        self.network, self.event_ndim = network, event_ndim

    def __call__(self, z: Any) -> Bernoulli:
        return Bernoulli(self.network(z), self.event_ndim)

    def __repr__(self) -> str:
        return f"Bernoulli(logits = {self.network})"


class GaussianDecoder(Module):
    """p(x | z) = Normal(f(z), sigma^2 I),   where the network gives the mean

    network: as in BernoulliDecoder.

    std: a number; "learned": one learned number, 0.3 at first; "decoder": one per pixel, near 1 at first, and the
    network, (N, K) -> (N, 2 D) or (N, H, W, 2 C), gives mean and raw log std side by side on the last axis. What is
    learned is bounded from below, smoothly: log sigma = log s + log(1 + exp(raw - log s)) with s = 1e-3, so that
    sigma > s.

    Source: deck, "Variational Auto-Encoders".
    """

    likelihood = Normal

    def __init__(self, network: Any, std: float | str = 0.1, event_ndim: int = 1) -> None:
        self.network, self.std, self.event_ndim = network, std, event_ndim
        if std == "learned":
            self.raw_log_std = Tensor(numpy.array(math.log(INITIAL_STD), dtype=numpy.float32))
        elif isinstance(std, Real) and not isinstance(std, bool) and 0 < std < math.inf:
            self.log_std = numpy.array(math.log(std), dtype=numpy.float32)
        elif std != "decoder":
            raise InputError("GaussianDecoder", 'std as a positive number, "learned" or "decoder"', repr(std))

    def __call__(self, z: Any) -> Normal:
        if self.std == "decoder":
            mean, raw_log_std = _halves(self.network(z))
            return Normal(mean, _bounded(raw_log_std), self.event_ndim)
        log_std = _bounded(self.raw_log_std) if self.std == "learned" else self.log_std
        return Normal(self.network(z), log_std, self.event_ndim)

    def __repr__(self) -> str:
        std = self.std if isinstance(self.std, str) else f"{self.std:g}"
        return f"Normal(mean = {self.network}, std = {std})"


def _bounded(raw_log_std: Any) -> Any:
    smallest = math.log(SMALLEST_STD)
    return smallest + ops.softplus(raw_log_std - smallest)


def _halves(output: Any) -> tuple[Any, Any]:
    """The two halves of the last axis.   (..., 2 K) -> (..., K), (..., K)"""
    middle = output.shape[-1] // 2
    return output[..., :middle], output[..., middle:]
