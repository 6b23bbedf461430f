"""Ways through a latent space: directions that carry an attribute, lines between points, one unit after another.

All functions take and give points z as arrays, of NumPy or CuPy; `model.encode(x).mean` finds some, and
`model.decode(z).mean` shows what lies there.

Source: deck, "Perturbations in latent space".
"""

from __future__ import annotations

from typing import Any

from scratchvae.backend import array_module
from scratchvae.errors import InputError, ShapeError
from scratchvae.linear import LogisticRegression


def mean_difference(z: Any, attribute: Any) -> Any:
    """v = mean of z where the attribute is there - mean of z where it is not.   (N, K), (N,) -> (K,)

    Moving from z to z + v takes the mean of those without the attribute to the mean of those with it.

    Raises ShapeError unless there is a truth value for each row of z, and InputError unless both values occur.
    Source: Larsen, Sonderby, Larochelle & Winther (2016), "Autoencoding beyond pixels using a learned similarity
    metric": visual attribute vectors.
    """
    if z.ndim != 2 or attribute.shape != z.shape[:1] or attribute.dtype.kind != "b":
        received = f"z of shape {z.shape}, an attribute of shape {attribute.shape} and type {attribute.dtype}"
        raise ShapeError("mean_difference", "z (N, K) and N truth values", received)
    if not (bool(attribute.any()) and bool((~attribute).any())):
        raise InputError("mean_difference", "rows with the attribute and rows without it", "only one of them")
    return z[attribute].mean(axis=0) - z[~attribute].mean(axis=0)


def logistic_direction(z: Any, attribute: Any, C: float = 1.0) -> Any:
    """v = w (w'd) / (w'w) for p(attribute | z) = sigmoid(w'z + b) and d = mean_difference(z, attribute).   -> (K,)

    The part of d across the plane that divides the classes best: it moves the log odds as d does, w'v = w'd, and leaves
    out what of d the classes do not need. C is the variance of the prior on w, as in `LogisticRegression`.

    Raises what mean_difference raises.
    """
    d = mean_difference(z, attribute)
    w = LogisticRegression(C).fit(z, attribute.astype(int)).coef_[0]
    return w * ((w @ d) / (w @ w))


def traversal(z: Any, direction: Any, amounts: Any) -> Any:
    """z + a v for each amount a.   (..., K), (K,), (T,) -> (..., T, K)"""
    return z[..., None, :] + amounts[:, None] * direction


def linear_interpolation(start: Any, end: Any, n: int) -> Any:
    """z(t) = (1 - t) z0 + t z1 for t = 0, 1 / (n - 1), ..., 1.   (..., K), (..., K) -> (..., n, K)

    In many dimensions its middle lies nearer to the origin than almost all of the prior: |z| is about sqrt(K) there.
    """
    t = _times("linear_interpolation", start, end, n)
    return (1 - t) * start[..., None, :] + t * end[..., None, :]


def spherical_interpolation(start: Any, end: Any, n: int) -> Any:
    """z(t) = (sin((1 - t) w) z0 + sin(t w) z1) / sin w,   w the angle between z0 and z1.   (..., K) -> (..., n, K)

    For t = 0, 1 / (n - 1), ..., 1. Of two points at one distance from the origin all z(t) keep it.

    Raises InputError for points in opposite directions, or at the origin, between which no arc is the shortest.
    Source: Shoemake (1985), "Animating rotation with quaternion curves"; White (2016), "Sampling generative networks".
    """
    xp, t = array_module(start), _times("spherical_interpolation", start, end, n)
    lengths = xp.sqrt((start**2).sum(axis=-1) * (end**2).sum(axis=-1))
    cosine = (start * end).sum(axis=-1) / xp.where(lengths > 0, lengths, 1)
    if not bool(((lengths > 0) & (cosine > -0.9999)).all()):
        expected = "points away from the origin, and not in opposite directions"
        raise InputError("spherical_interpolation", expected, "others", "linear_interpolation takes any")
    w = xp.arccos(xp.minimum(cosine, 1.0))[..., None, None]
    small = w < 1e-3  # there the arc is a line, and the quotient 0 / 0
    w = xp.where(small, 1.0, w)
    before, after = (xp.where(small, s, xp.sin(s * w) / xp.sin(w)) for s in (1 - t, t))
    return before * start[..., None, :] + after * end[..., None, :]


def sweep(z: Any, unit: int, values: Any) -> Any:
    """z with its entry `unit` at each of the values, all others kept.   (..., K), int, (T,) -> (..., T, K)"""
    xp = array_module(z)
    if not -z.shape[-1] <= unit < z.shape[-1]:
        raise InputError("sweep", f"a unit from 0 to {z.shape[-1] - 1}", str(unit))
    swept = xp.repeat(z[..., None, :], len(values), axis=-2)
    swept[..., unit] = values
    return swept


def _times(operation: str, start: Any, end: Any, n: int) -> Any:
    """t = 0, 1 / (n - 1), ..., 1 as a column, in the type of the points.   (n, 1)"""
    if start.shape != end.shape:
        raise ShapeError(operation, "two points of one shape (..., K)", f"{start.shape} and {end.shape}")
    if not isinstance(n, int) or n < 2:
        raise InputError(operation, "n of at least 2", repr(n))
    return array_module(start).linspace(0, 1, n, dtype=start.dtype)[:, None]
