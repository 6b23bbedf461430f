"""What one event is: the trailing axes of a distribution's shape, over which log densities are summed."""

from __future__ import annotations

from typing import Any

from scratchvae import ops
from scratchvae.errors import ShapeError


def sum_event(values: Any, distribution: Any) -> Any:
    """Sum over the event's axes.   (..., N, *event) -> (..., N)"""
    return ops.sum(values, axis=tuple(range(-distribution.event_ndim, 0)))


def on_support(values: Any, probability: Any) -> Any:
    """Keep the values where the probability is above 0, and put 0 elsewhere: 0 log 0 = 0, and so is its derivative."""
    return ops.where(probability > 0, values, 0.0)


def check_event(operation: str, x: Any, distribution: Any) -> None:
    """Raise ShapeError unless the trailing axes of x are an event: broadcasting must not hide a wrong shape."""
    event = distribution.shape[-distribution.event_ndim :] if distribution.event_ndim else ()
    if x.shape[x.ndim - distribution.event_ndim :] != event:
        raise ShapeError(operation, f"x of shape (..., {', '.join(map(str, event))})", str(x.shape))
