"""Ways through a latent space: directions that carry an attribute, lines between points, one unit after another.

All functions take and give points z as arrays of floating-point numbers, of NumPy, CuPy or what converts to them;
`model.encode(x).mean` finds some, and `model.decode(z).mean` shows what lies there. They raise DataError for what is no
such array, ShapeError for shapes that do not fit, and DeviceError for arrays on different devices.

Source: deck, "Perturbations in latent space".
"""

from __future__ import annotations

from numbers import Integral
from typing import Any

from scratchvae.arrays import as_array, as_floats
from scratchvae.backend import array_module, device_of
from scratchvae.errors import DataError, DeviceError, InputError, ShapeError
from scratchvae.linear import LogisticRegression


def mean_difference(z: Any, attribute: Any) -> Any:
    """v = mean of z where the attribute is there - mean of z where it is not.   (N, K), (N,) -> (K,)

    attribute: truth values. Moving from z to z + v takes the mean of those without the attribute to the mean of those
    with it.

    Raises InputError unless both truth values occur, and for z that is not finite.
    Source: Larsen, Sonderby, Larochelle & Winther (2016), "Autoencoding beyond pixels using a learned similarity
    metric": visual attribute vectors.
    """
    (z,), attribute = _points("mean_difference", z), as_array("mean_difference", attribute)
    if attribute.dtype.kind != "b":
        received, hint = str(attribute.dtype), "attribute > 0 makes some"
        raise DataError("mean_difference", "an array of truth values", received, hint)
    if z.ndim != 2 or attribute.shape != z.shape[:1]:
        raise ShapeError("mean_difference", "z (N, K) and an attribute (N,)", f"{z.shape} and {attribute.shape}")
    _check_devices("mean_difference", z, attribute)
    if not (bool(attribute.any()) and bool((~attribute).any())):
        raise InputError("mean_difference", "rows with the attribute and rows without it", "only one of them")
    if not bool(array_module(z).isfinite(z).all()):
        raise InputError("mean_difference", "finite points", "NaN or infinity")
    return z[attribute].mean(axis=0) - z[~attribute].mean(axis=0)


def logistic_direction(z: Any, attribute: Any, C: float = 1.0) -> Any:
    """v = w (w'd) / (w'w) for p(attribute | z) = sigmoid(w'z + b) and d = mean_difference(z, attribute).   -> (K,)

    The part of d across the plane that divides the classes best: it moves the log odds as d does, w'v = w'd, and leaves
    out what of d the classes do not need. C is the variance of the prior on w, as in `LogisticRegression`.

    Raises what mean_difference raises.
    """
    d = mean_difference(z, attribute)
    w = LogisticRegression(C).fit(z, as_array("logistic_direction", attribute).astype(int)).coef_[0]
    return w * ((w @ d) / (w @ w))


def traversal(z: Any, direction: Any, amounts: Any) -> Any:
    """z + a v for each amount a.   (..., K), (K,), (T,) -> (..., T, K)"""
    z, direction, amounts = _points("traversal", z, direction, amounts)
    if z.ndim < 1 or direction.shape != z.shape[-1:] or amounts.ndim != 1:
        received = f"{z.shape}, {direction.shape} and {amounts.shape}"
        raise ShapeError("traversal", "z (..., K), a direction (K,) and amounts (T,)", received)
    return z[..., None, :] + amounts[:, None] * direction


def linear_interpolation(start: Any, end: Any, n: int) -> Any:
    """z(t) = (1 - t) z0 + t z1 for t = 0, 1 / (n - 1), ..., 1.   (..., K), (..., K) -> (..., n, K)

    Between independent draws of the prior in many dimensions, its middle is nearer to the origin than almost all draws,
    whose distance is about sqrt(K).
    """
    start, end = _points("linear_interpolation", start, end)
    t = _steps("linear_interpolation", start, end, n)
    return (1 - t) * start[..., None, :] + t * end[..., None, :]


def spherical_interpolation(start: Any, end: Any, n: int) -> Any:
    """z(t) = (sin((1 - t) w) z0 + sin(t w) z1) / sin w,   w the angle between z0 and z1.   (..., K) -> (..., n, K)

    For t = 0, 1 / (n - 1), ..., 1. Of two points at one distance from the origin all z(t) keep it.

    Raises InputError for points at the origin or in opposite directions, see `has_arc`.
    Source: Shoemake (1985), "Animating rotation with quaternion curves"; White (2016), "Sampling generative networks".
    """
    start, end = _points("spherical_interpolation", start, end)
    t = _steps("spherical_interpolation", start, end, n)
    xp, arc = array_module(start), has_arc(start, end)
    if not bool(arc.all()):
        expected = "finite points away from the origin, and not in opposite directions"
        received = f"{int((~arc).sum())} of {arc.size} pairs that are not"
        raise InputError("spherical_interpolation", expected, received, "linear_interpolation takes any")
    w = xp.arccos(xp.clip(_cosine(start, end), -1, 1))[..., None, None]
    small = w < 1e-3  # there the arc is a line, and the quotient 0 / 0
    w = xp.where(small, 1.0, w)
    before, after = (xp.where(small, s, xp.sin(s * w) / xp.sin(w)) for s in (1 - t, t))
    return before * start[..., None, :] + after * end[..., None, :]


def has_arc(start: Any, end: Any) -> Any:
    """Whether one arc from start to end is the shortest: cos w > -0.999.   (..., K), (..., K) -> (...), truth values"""
    return _cosine(*_points("has_arc", start, end)) > -0.999


def sweep(z: Any, unit: int, values: Any) -> Any:
    """z with its entry `unit` at each of the values, all others kept.   (..., K), int, (T,) -> (..., T, K)"""
    z, values = _points("sweep", z, values)
    if not isinstance(unit, Integral) or not 0 <= unit < z.shape[-1]:
        raise InputError("sweep", f"a unit from 0 to {z.shape[-1] - 1}", repr(unit))
    swept = array_module(z).repeat(z[..., None, :], len(values), axis=-2)
    swept[..., unit] = values
    return swept


def _cosine(start: Any, end: Any) -> Any:
    """The cosine of the angle between two points; NaN where one is at the origin or not finite."""
    xp = array_module(start)
    lengths = [xp.sqrt((z**2).sum(axis=-1)) for z in (start, end)]
    away = xp.minimum(*lengths) > 0
    units = [z / xp.where(away, length, 1)[..., None] for z, length in zip((start, end), lengths, strict=True)]
    return xp.where(away, (units[0] * units[1]).sum(axis=-1), xp.nan)


def _steps(operation: str, start: Any, end: Any, n: int) -> Any:
    """t = 0, 1 / (n - 1), ..., 1 as a column, in the type of the points.   (n, 1)"""
    if start.shape != end.shape:
        raise ShapeError(operation, "two points of one shape (..., K)", f"{start.shape} and {end.shape}")
    if not isinstance(n, Integral) or isinstance(n, bool) or n < 2:
        raise InputError(operation, "a whole number n of at least 2", repr(n))
    return array_module(start).linspace(0, 1, n, dtype=start.dtype)[:, None]


def _points(operation: str, *arrays: Any) -> list[Any]:
    """The arrays, of floating-point numbers and on one device."""
    points = [as_floats(operation, x) for x in arrays]
    _check_devices(operation, *points)
    return points


def _check_devices(operation: str, *arrays: Any) -> None:
    devices = sorted({device_of(x) for x in arrays})
    if len(devices) > 1:
        raise DeviceError(operation, "arrays on one device", " and ".join(devices))
