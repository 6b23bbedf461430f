"""One event is an array over the trailing axes of a distribution's shape; log densities are summed over these axes."""

from __future__ import annotations

from typing import Any

from scratchvae import ops
from scratchvae.errors import InputError, ShapeError


def sum_event(values: Any, distribution: Any) -> Any:
    """Returns the sum over the event's axes.   ``(..., N, *event) -> (..., N)``"""
    return ops.sum(values, axis=tuple(range(-distribution.event_ndim, 0)))


def on_support(values: Any, probability: Any) -> Any:
    """Returns the values where the probability is above 0, and 0 elsewhere: 0 log 0 = 0, and so is its derivative."""
    return ops.where(probability > 0, values, 0.0)


def check_event(operation: str, x: Any, distribution: Any) -> None:
    """Raises ShapeError unless the trailing axes of x have an event's shape: broadcasting must not hide a wrong one."""
    event = distribution.shape[-distribution.event_ndim :] if distribution.event_ndim else ()
    if x.shape[x.ndim - distribution.event_ndim :] != event:
        raise ShapeError(operation, f"x of shape (..., {', '.join(map(str, event))})", str(x.shape))


def of_shape(network: str, distribution: Any, shape: tuple[int, ...]) -> Any:
    """Returns the distribution that a network made. Raises ShapeError unless it has the shape that the model needs."""
    received = getattr(distribution, "shape", shape)  # a user's own distribution need not have a shape
    if received != shape:
        raise ShapeError(network, f"a distribution of shape {shape}", str(received))
    return distribution


def log_prob(likelihood: Any, x: Any, z: Any) -> Any:
    """log p(x | z), in nats, one number for each z.   x (N, ...), z (..., N, K) -> (..., N)

    Raises ShapeError for a likelihood whose shape is not that of x, and for one that does not sum over all axes of x.
    """
    batch = z.shape[:-1]
    log_p = of_shape("decoder", likelihood, (*batch, *x.shape[1:])).log_prob(x)
    if log_p.shape != batch:
        hint = f"event_ndim={x.ndim - 1} makes one event of the axes of one x"
        raise ShapeError("decoder", f"a log_prob with one number for each x, shape {batch}", str(log_p.shape), hint)
    return log_p


def draw(likelihood: Any, noise: Any) -> Any:
    """x ~ p(x | z), an array. Raises InputError for a user's own likelihood without a method `draw`."""
    if not callable(getattr(likelihood, "draw", None)):
        raise InputError("draws", "a likelihood with a method draw(noise)", type(likelihood).__name__)
    return likelihood.draw(noise)
