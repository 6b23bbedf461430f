"""A search in a latent space finds points z with a high objective; simpler searches serve as controls.

An objective that is differentiable in z, such as a predicted property, is ascended by its gradient. An objective that
can only be evaluated is modelled by a Gaussian process, whose expected improvement chooses the next points.

Source: deck, "Sequence model for molecules"; Gomez-Bombarelli et al. (2018), "Automatic chemical design using a
data-driven continuous representation of molecules".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.arrays import as_array, as_floats
from scratchvae.autodiff import Tensor, grad
from scratchvae.backend import array_module, device_of
from scratchvae.distributions import Normal
from scratchvae.errors import DataError, InputError, ShapeError, whole_number
from scratchvae.gaussian_process import GaussianProcess, as_points
from scratchvae.noise import Noise

__all__ = ["GaussianProcess", "ascend", "choose", "expected_improvement", "perturb", "propose"]

CLIMBS = 5
"""The number of starts from which `propose` climbs for each point: those of the highest expected improvement."""

CLIMB_STEPS = 50
"""The most steps of L-BFGS in a climb, in which all starts move together."""


def ascend(
    objective: Callable[[Any], Any],
    z: Any,
    prior: Normal,
    steps: int = 60,
    rate: float = 0.1,
    prior_weight: float = 1.0,
) -> Any:
    """z <- z + rate d/dz [f(z) + lambda log p(z)], `steps` times, for every row.   (N, K) -> (N, K)

    Parameters
    ----------
    objective : callable
        f, a function of a Tensor (N, K) with values (N,), of which number i depends on row i of z alone, such as
        `lambda z: model.property_decoder(z).mean[..., 0]`.
    z : array (N, K)
        The start.
    prior : Normal
        p(z), such as `model.prior`.
    steps : int
        The number of steps.
    rate : float
        The length of a step, as a factor of the gradient.
    prior_weight : float
        lambda, which keeps z near the training data's codes: for f(z) = a'z and p(z) = Normal(0, I) the maximum is
        a / lambda.

    Returns
    -------
    array (N, K)
        The points after the last step.

    Raises
    ------
    InputError
        For a rate or a prior_weight that is negative or not finite.
    ShapeError
        For an objective of another shape.
    DataError
        If z is no longer finite.

    See Also
    --------
    propose : points by a Gaussian process, for an objective without gradients.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.distributions import Normal
    >>> from scratchvae.latent_search import ascend
    >>> prior = Normal(numpy.zeros(1), numpy.zeros(1))
    >>> ascend(lambda z: 3 * z[:, 0], numpy.zeros((1, 1)), prior, steps=200).round(6)
    array([[3.]])
    """
    steps = whole_number("ascend", "steps", steps, 0)
    for name, value in (("rate", rate), ("prior_weight", prior_weight)):
        if not 0 <= value < math.inf:
            raise InputError("ascend", f"a finite {name} of at least 0", repr(value))
    z = as_floats("ascend", z)
    if z.shape[1:] != prior.shape:
        raise ShapeError("ascend", f"z of shape (N, {prior.shape[-1]})", str(z.shape))
    for step in range(steps):
        point = Tensor(z)
        value = objective(point)
        if not isinstance(value, Tensor) or value.shape != z.shape[:1]:
            received = f"shape {value.shape}" if isinstance(value, Tensor) else type(value).__name__
            raise ShapeError("ascend", f"a Tensor of shape ({len(z)},) from the objective", received)
        (slope,) = grad(ops.sum(value + prior_weight * prior.log_prob(point)), [point])
        z = z + rate * slope
        if not bool(array_module(z).isfinite(z).all()):
            received = f"NaN or infinity after step {step + 1}"
            raise DataError("ascend", "points that stay finite", received, "a smaller rate, or a larger prior_weight")
    return z


def perturb(z: Any, n: int, spread: float, seed: int = 0) -> Any:
    """z_(i mod N) + spread e_i,   e_i ~ Normal(0, I), for i < n.   (N, K) -> (n, K)

    This local search uses neither gradients nor a model of the objective: the caller evaluates the points.

    Raises InputError for an n below 1 and a spread that is negative or not finite.
    """
    z, n = as_floats("perturb", z), whole_number("perturb", "n", n)
    if z.ndim != 2 or not len(z):
        raise ShapeError("perturb", "z of shape (N, K)", str(z.shape))
    if not 0 <= spread < math.inf:
        raise InputError("perturb", "a finite spread of at least 0", repr(spread))
    noise = Noise(seed, device=device_of(z)).normal("perturb", (n, z.shape[1]))
    return z[numpy.arange(n) % len(z)] + spread * noise.astype(z.dtype)


def expected_improvement(mean: Any, std: Any, best: float) -> numpy.ndarray:
    """E[max(f - b, 0)] = (m - b) Phi(u) + s phi(u),   u = (m - b) / s,   for f ~ Normal(m, s^2).   (N,), (N,) -> (N,)

    Phi and phi are the distribution function and density of Normal(0, 1); where s = 0 it is max(m - b, 0). All
    arithmetic is done on the CPU.

    Source: Jones, Schonlau & Welch (1998), "Efficient global optimization of expensive black-box functions", eq. 15.
    """
    mean, std = as_array("expected_improvement", mean), as_array("expected_improvement", std)
    if not (std >= 0).all():
        raise InputError("expected_improvement", "standard deviations of at least 0", "others")
    certain = std == 0
    improvement = numpy.exp(_log_improvement(mean, numpy.where(certain, 1.0, std), best)[0])
    return numpy.where(certain, numpy.maximum(mean - best, 0), improvement)


def _log_improvement(mean: Any, std: Any, best: float) -> tuple[Any, Any, Any]:
    """log E[max(f - b, 0)] = log s + log(phi(u) + u Phi(u)), and its derivatives by m and by s.   three of (N,)

    dE/dm = Phi(u),   dE/ds = phi(u). The logarithm keeps a slope where the expectation itself is zero in floating
    point: with the scaled erfc, u Phi(u) / phi(u) = u sqrt(pi/2) erfcx(-u / sqrt 2), and 1 plus that tends to u^-2.

    Source: Ament et al. (2023), "Unexpected improvements to expected improvement for Bayesian optimization", eq. 9.
    """
    from scipy.special import erfcx, log_ndtr, ndtr

    u = (mean - best) / std
    log_phi = -0.5 * u**2 - 0.5 * math.log(2 * math.pi)
    low, far = numpy.minimum(u, -1.0), u < -1e4
    near_one = numpy.where(far, -0.5, low * math.sqrt(math.pi / 2) * erfcx(-low / math.sqrt(2)))
    tail = log_phi + numpy.where(far, -2 * numpy.log(-low), numpy.log1p(near_one))
    high = numpy.maximum(u, -1.0)
    log_h = numpy.where(u < -1, tail, numpy.log(numpy.exp(-0.5 * high**2) / math.sqrt(2 * math.pi) + high * ndtr(high)))
    value = numpy.log(std) + log_h
    return value, numpy.exp(log_ndtr(u) - value), numpy.exp(log_phi - value)


def propose(process: GaussianProcess, starts: Any, q: int, radius: float) -> numpy.ndarray:
    """z = argmax E[max(f(z) - b, 0)],   b = max(y), q times in turn, each time with f(z) = its mean assumed.   (q, K)

    L-BFGS climbs the logarithm of the expected improvement by its gradient, from the five starts where it is highest.
    It stays within `radius` of its start in every coordinate, because far from all data a decoder does not deliver the
    expected improvement. A start that has led to a point is not used again: with large noise the same point would soon
    be proposed once more, and a decoder would write the same string there.

    Source: Jones et al. (1998); batches by the kriging believer of Ginsbourger et al. (2010).

    Parameters
    ----------
    process : GaussianProcess
        f given y.
    starts : array (N, K)
        At least q points, such as perturbations of the best ones.
    q : int
        The number of points.
    radius : float
        The largest distance from a start in each coordinate.

    Returns
    -------
    array (q, K)
        The points, the first with the largest expected improvement.

    Raises
    ------
    InputError
        For a q that is not from 1 to N and a radius that is not positive.

    See Also
    --------
    choose : the same where only given points can be evaluated.
    perturb : makes starts.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.latent_search import GaussianProcess, propose
    >>> z = numpy.array([[0.0], [1.0], [2.0]])
    >>> process = GaussianProcess(z, z[:, 0], noise=0.01)
    >>> bool(propose(process, z, q=1, radius=1.0)[0, 0] > 2)  # where f seems to rise
    True
    """
    starts = as_points("propose", starts, process.z.shape[1])
    q = whole_number("propose", "q", q, largest=len(starts))
    if not 0 < radius < math.inf:
        raise InputError("propose", "a positive, finite radius", repr(radius))
    best = float(process.y.max())
    points = []
    for _ in range(q):
        order = numpy.argsort(-_log_improvement(*process.predict(starts), best)[0])[:CLIMBS]
        tops = _climb(process, starts[order], radius, best)
        winner = int(_log_improvement(*process.predict(tops), best)[0].argmax())
        points.append(tops[winner])
        process, starts = process.believe(points[-1]), numpy.delete(starts, order[winner], axis=0)
    return numpy.array(points)


def _climb(process: GaussianProcess, starts: numpy.ndarray, radius: float, best: float) -> numpy.ndarray:
    """Returns the local maximum of the log expected improvement that each start leads to.   (M, K) -> (M, K)"""
    from scipy.optimize import minimize

    def negative(flat: numpy.ndarray) -> tuple[float, numpy.ndarray]:
        """Returns minus the sum of the logarithms of all points, and its gradient; the points do not interact."""
        mean, std, mean_slope, std_slope = process.predict_gradients(flat.reshape(starts.shape))
        value, by_mean, by_std = _log_improvement(mean, std, best)
        return -value.sum(), -(by_mean[:, None] * mean_slope + by_std[:, None] * std_slope).ravel()

    first = starts.ravel()
    box = numpy.stack([first - radius, first + radius], axis=1)
    found = minimize(negative, first, jac=True, method="L-BFGS-B", bounds=box, options={"maxiter": CLIMB_STEPS})
    return found.x.reshape(starts.shape)


def choose(process: GaussianProcess, candidates: Any, q: int) -> numpy.ndarray:
    """i = argmax E[max(f(z_i) - b, 0)],   q times in turn, each time with f(z_i) = its mean assumed: returns these i.

    It is `propose` for a given set of points. An assumed mean changes no other mean, and the covariances S become
    S_ij - S_ik S_kj / (S_kk + n^2).   (N, K) -> (q,), or (N,) if there are fewer candidates
    """
    q, candidates = whole_number("choose", "q", q), as_points("choose", candidates, process.z.shape[1])
    best = float(process.y.max())
    mean, covariance = process.predict(candidates)[0], process.covariance(candidates)
    chosen: list[int] = []
    for _ in range(min(q, len(candidates))):
        variance = numpy.maximum(covariance.diagonal(), process.smallest_variance)
        values = _log_improvement(mean, numpy.sqrt(variance), best)[0]
        values[chosen] = -numpy.inf
        k = int(values.argmax())
        chosen.append(k)
        covariance -= numpy.outer(covariance[:, k], covariance[k] / (variance[k] + process.noise**2))
    return numpy.array(chosen)
