"""Group normalisation, which needs no batch."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.autodiff import Tensor
from scratchvae.backend import device_module
from scratchvae.errors import InputError, ShapeError
from scratchvae.nn.module import Module

EPSILON = 1e-5
"""Added to the variance, so that a constant group gives zeros."""


class GroupNorm(Module):
    """y = scale (x - mean) / sqrt(variance + 1e-5) + shift.   shape: (N, ..., C) -> the same

    Mean and variance are those of a group of C / groups neighbouring channels, over all pixels of one datapoint.

    Source: Wu & He (2018), equations 1 to 6.

    Parameters
    ----------
    groups, channels : int
        The number of groups, which divides the number C of channels.
    device : str
        "cpu" or "gpu".

    Attributes
    ----------
    scale : Tensor
        (C,), ones at first.
    shift : Tensor
        (C,), zeros at first.

    Raises
    ------
    InputError
        If groups does not divide C.

    See Also
    --------
    Conv2d : the layer that it usually follows.
    LSTM : a layer with a normalisation of its own, layer_norm=True.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> x = numpy.arange(24.0).reshape(2, 3, 4)
    >>> y = sv.nn.GroupNorm(2, 4)(x)
    >>> bool(abs(y.data.reshape(2, 3, 2, 2).mean(axis=(1, 3))).max() < 1e-12)
    True
    """

    def __init__(self, groups: int, channels: int, device: str = "cpu") -> None:
        if not all(isinstance(n, Integral) and n >= 1 for n in (groups, channels)) or channels % groups:
            raise InputError("GroupNorm", "groups that divide the channels", f"{groups} groups, {channels} channels")
        xp = device_module(device)
        self.groups = groups
        self.scale = Tensor(xp.ones(channels, dtype=numpy.float32))
        self.shift = Tensor(xp.zeros(channels, dtype=numpy.float32))

    def __call__(self, x: Any) -> Any:
        (channels,) = self.scale.shape
        if x.ndim < 2 or x.shape[-1] != channels:
            raise ShapeError("GroupNorm", f"x of shape (N, ..., {channels})", f"shape {x.shape}")
        grouped = ops.reshape(x, (x.shape[0], -1, self.groups, channels // self.groups))
        centred = grouped - ops.mean(grouped, axis=(1, 3), keepdims=True)
        variance = ops.mean(ops.square(centred), axis=(1, 3), keepdims=True)
        return ops.reshape(centred / ops.sqrt(variance + EPSILON), x.shape) * self.scale + self.shift

    def __repr__(self) -> str:
        return f"GroupNorm({self.groups} groups, {self.scale.shape[0]} channels)"
