"""The exact posterior of a non-linear model: with one or two latent units, integrals over z are sums over a grid.

The trapezoidal rule converges faster than any power of the step for smooth integrands that vanish at the borders; with
kinks, as relu makes them, its error falls as the square of the step. Models are taken in float64 only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.autodiff import Tensor, grad, no_grad
from scratchvae.backend import asarray, to_numpy
from scratchvae.distributions import Normal
from scratchvae.errors import InputError
from scratchvae.noise import GivenNoise

NEGLIGIBLE = 45.0  # nats below the mode; exp(-45) is 3e-20
FIRST_GRID, LARGEST_GRID = {1: 1025, 2: 129}, {1: 32_769, 2: 1025}  # points along each of K axes
TOLERANCE = 1e-5  # nats
CHUNK_ENTRIES = 2**22  # of points x pixels that are decoded at a time


@dataclass(frozen=True)
class ExactPosterior:
    """p(z | x) = p(x, z) / p(x) for one x, on a grid of equal cells around all modes that were found.

    The parameters are attributes too.

    Parameters
    ----------
    axes : tuple of arrays (n,)
        The grid's points along each of K axes.
    log_joint : array (n,) or (n, n)
        log p(x, z), in nats.
    log_px : float
        log p(x), the log of the sum of p(x, z) times the cell's size, in nats.
    error : float
        The absolute difference between log_px and its value on the grid of every second point, in nats.

    See Also
    --------
    exact_posterior : computes one.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> from scratchvae.quadrature import exact_posterior
    >>> model = sv.VAE.mlp(input_size=3, latent_size=1, hidden=(2,), activation="tanh").to(dtype=numpy.float64)
    >>> posterior = exact_posterior(model, numpy.ones((1, 3)))
    >>> (axis,) = posterior.axes
    >>> round(float(posterior.density.sum() * (axis[1] - axis[0])), 6)
    1.0
    """

    axes: tuple[numpy.ndarray, ...]
    log_joint: numpy.ndarray
    log_px: float
    error: float

    @property
    def density(self) -> numpy.ndarray:
        """p(z | x) at the grid's points, (n,) or (n, n)."""
        return numpy.exp(self.log_joint - self.log_px)


def exact_posterior(model: Any, x: Any) -> ExactPosterior:
    """log p(x) = log of the integral of p(x | z) p(z) dz, and p(z | x), by quadrature.   x: one row, (1, ...)

    A grid over -10 to 10 closes in on where p(x, z) is within 45 nats of its largest value; then its points are doubled
    until that changes log p(x) by less than 1e-5 nat. Modes narrower than a tenth of the first grid's step, 0.02 for
    one latent unit and 0.16 for two, can be missed.

    Raises InputError for more than two latent units or another type than float64, ArithmeticError if 32,769 points
    (1,025 along each axis for two units) are too few, or if p(x, z) is not finite.
    """
    x, n = _one_row("exact_posterior", model, x), FIRST_GRID[model.latent_size]
    low, high = numpy.full((2, model.latent_size), [[-10.0], [10.0]])
    while True:
        axes, log_joint = _on_grid(model, x, low, high, n)
        step = (high - low) / (n - 1)
        likely = numpy.argwhere(log_joint > log_joint.max() - NEGLIGIBLE)
        first, last = likely.min(axis=0) - 1, likely.max(axis=0) + 1
        cut_off = bool((first < 0).any() or (last > n - 1).any())
        reach = n // 2 if cut_off else 0
        closer_low, closer_high = low + step * (first - reach), low + step * (last + reach)
        if not cut_off and ((closer_high - closer_low) > 0.7 * (high - low)).all():
            break
        low, high = closer_low, closer_high
    while True:
        log_px, coarser = (_log_integral(log_joint[(slice(None, None, k),) * log_joint.ndim], k * step) for k in (1, 2))
        error = abs(log_px - coarser)
        if error < TOLERANCE:
            return ExactPosterior(axes, log_joint, log_px, error)
        if n == LARGEST_GRID[model.latent_size]:
            raise ArithmeticError(f"exact_posterior: {n} points along an axis leave an error of {error:.2g} nats")
        n = 2 * n - 1
        axes, log_joint = _on_grid(model, x, low, high, n)
        step = (high - low) / (n - 1)


def normal_nodes(size: int, n: int = 33, width: float = 8.0) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Points e and weights w with E[f(e)] = sum of w f(e) for e ~ Normal(0, I).   (n^K, K), (n^K,)"""
    axis = numpy.linspace(-width, width, n)
    e = numpy.stack(numpy.meshgrid(*[axis] * size, indexing="ij"), axis=-1).reshape(-1, size)
    w = numpy.exp(-0.5 * (e**2).sum(axis=1))
    return e, w / w.sum()


def elbo(model: Any, x: Any) -> float:
    """L(x) as `model.elbo` gives it, its expectation over the noise by quadrature, in nats.   x: one row, (1, ...)"""
    x = _one_row("elbo", model, x)
    e, w = normal_nodes(model.latent_size)
    e = asarray(e, model.device)
    with no_grad():
        values = model.elbo(x.repeat(len(e), axis=0), GivenNoise(e[None]))
    return float(w @ to_numpy(values))


def log_px_around(model: Any, x: Any, q: Normal) -> float:
    """log p(x) = log E_q[p(x, z) / q(z)] by quadrature over nodes of q, in nats: another way than `exact_posterior`.

    As good as q covers the posterior: ten of its standard deviations each way are looked at.   q: Normal over (1, K)
    """
    x = _one_row("log_px_around", model, x)
    e, w = normal_nodes(model.latent_size, n=81, width=10.0)
    with no_grad():
        z = q.reparameterize(asarray(e, model.device))
        log_q = to_numpy(q.log_prob(z))
    return float(numpy.logaddexp.reduce(numpy.log(w) + _log_joint(model, x, z) - log_q))


def divergence_from_posterior(model: Any, x: Any, q: Normal, log_px: float) -> float:
    """KL(q(z) || p(z | x)) = E_q[log q(z) - log p(x, z)] + log p(x), by quadrature, in nats.   q: Normal over (1, K)"""
    x = _one_row("divergence_from_posterior", model, x)
    e, w = normal_nodes(model.latent_size)
    with no_grad():
        z = q.reparameterize(asarray(e, model.device))
        log_q = to_numpy(q.log_prob(z))
    return float(w @ (log_q - _log_joint(model, x, z))) + log_px


def best_normal(model: Any, x: Any, q: Normal) -> tuple[Normal, float]:
    """The diagonal Normal with the highest ELBO for this x alone, near q, and that ELBO, in nats.

    A local maximum over m, s of E_e[log p(x, m + s e)] + entropy(s), by quadrature and L-BFGS from q on.
    x: one row, q: Normal over (1, K)
    """
    from scipy.optimize import minimize

    x, device = _one_row("best_normal", model, x), model.device
    e, w = (asarray(part, device) for part in normal_nodes(model.latent_size, n=25, width=6.0))

    def negative_elbo(values: numpy.ndarray) -> tuple[float, numpy.ndarray]:
        mean, log_std = (Tensor(asarray(part[None].copy(), device)) for part in numpy.split(values, 2))
        moved = Normal(mean, log_std)
        z = moved.reparameterize(e)
        log_joint = model.decoder(z).log_prob(x) + model.prior.log_prob(z)
        loss = -(ops.sum(w * log_joint) + ops.sum(moved.entropy()))
        return float(loss), numpy.concatenate([to_numpy(g)[0] for g in grad(loss, [mean, log_std])])

    start = numpy.concatenate([to_numpy(part)[0].astype(numpy.float64) for part in (q.mean, q.log_std)])
    found = minimize(negative_elbo, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-13, "gtol": 1e-7})
    mean, log_std = (asarray(part[None], device) for part in numpy.split(found.x, 2))
    return Normal(mean, log_std), -float(found.fun)


def _one_row(operation: str, model: Any, x: Any) -> Any:
    """The row as the model takes it, if both are what quadrature can deal with."""
    if model.latent_size not in FIRST_GRID:
        raise InputError(operation, "one or two latent units", str(model.latent_size), "a grid of more is too large")
    if model.dtype != numpy.float64:
        hint = "copy.deepcopy(model).to(dtype=numpy.float64)"
        raise InputError(operation, "a model in float64", str(model.dtype), hint)
    if getattr(x, "shape", ())[:1] != (1,):
        raise InputError(operation, "one row, x[i : i + 1]", f"shape {getattr(x, 'shape', None)}")
    return model.network_input(x)


def _log_joint(model: Any, x: Any, z: Any) -> numpy.ndarray:
    """log p(x | z) + log p(z), in nats.   z: (G, K) -> (G,)"""
    chunk, z = max(1, CHUNK_ENTRIES // model.entries(x)), z[:, None]
    with no_grad():
        parts = [
            to_numpy(model.decoder(part).log_prob(x) + model.prior.log_prob(part))
            for part in (z[start : start + chunk] for start in range(0, len(z), chunk))
        ]
    log_joint = numpy.concatenate(parts)[:, 0]
    if not numpy.isfinite(log_joint).all():
        raise ArithmeticError("log p(x, z) is not finite everywhere")
    return log_joint


def _on_grid(
    model: Any, x: Any, low: numpy.ndarray, high: numpy.ndarray, n: int
) -> tuple[tuple[numpy.ndarray, ...], numpy.ndarray]:
    axes = tuple(numpy.linspace(a, b, n) for a, b in zip(low, high, strict=True))
    z = numpy.stack(numpy.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
    log_joint = _log_joint(model, x, asarray(z, model.device))
    return axes, log_joint.reshape((n,) * len(axes))


def _log_integral(log_values: numpy.ndarray, step: numpy.ndarray) -> float:
    return float(numpy.logaddexp.reduce(log_values, axis=None) + numpy.log(step).sum())
