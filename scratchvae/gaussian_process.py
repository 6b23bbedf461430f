"""`GaussianProcess` is exact regression on points of a latent space, by one Cholesky factor."""

from __future__ import annotations

import math
from typing import Any

import numpy

from scratchvae.arrays import as_floats
from scratchvae.backend import to_numpy
from scratchvae.errors import DataError, InputError, ShapeError

LARGEST = 5000
"""The most points of a process: memory holds at most five arrays of N x N numbers at a time, the factor and four others
in `gradient` or `covariance`, 200 MB each."""

BOUNDS = {"std": (1e-2, 1e2), "noise": (1e-3, 1e1), "length_scale": (1e-2, 1e2)}
"""Bounds of the hyperparameters in `fit`, as multiples of its default start. A `start` outside them is moved to the
nearest bound."""


class GaussianProcess:
    """y_i = f(z_i) + e_i,   f ~ GP(m, k),   e_i ~ Normal(0, n^2)

    kernel      k(z, z') = s^2 exp(-1/2 sum_d (z_d - z'_d)^2 / l_d^2)
    posterior   f(z) | y ~ Normal(m + k(z, Z) C^-1 (y - m),   k(z, z) - k(z, Z) C^-1 k(Z, z)),   C = k(Z, Z) + n^2 I

    All arithmetic is done on the CPU in float64, whatever the types and devices of the arguments; N points take O(N^3).

    Raises ShapeError and DataError for data that do not fit, InputError for hyperparameters that are not positive and
    for a C that is numerically singular.

    Source: Rasmussen & Williams (2006), "Gaussian processes for machine learning", algorithm 2.1 and
    equations 5.8 and 5.9.

    Parameters
    ----------
    z, y : arrays of floats (N, K) and (N,)
        Points Z and the values observed there; at most 5,000.
    std, noise : float
        s and n.
    length_scale : float, or array (K,)
        l, one for all dimensions or one for each.
    mean : float, optional
        m; by default the most probable one, 1'C^-1 y / 1'C^-1 1. The posterior ignores its uncertainty.

    Attributes
    ----------
    z, y : arrays (N, K) and (N,)
        The data, in float64.
    std, noise, mean : float
        s, n and m.
    length_scale : array (1,) or (K,)
        l.
    factor : array (N, N)
        The lower Cholesky factor of C.
    weights : array (N,)
        C^-1 (y - m).

    See Also
    --------
    scratchvae.latent_search.propose : chooses points by their expected improvement.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.latent_search import GaussianProcess
    >>> z, y = numpy.array([[0.0], [1.0]]), numpy.array([1.0, 3.0])
    >>> process = GaussianProcess(z, y, noise=0.001)
    >>> mean, std = process.predict(z)
    >>> mean.round(3), bool((std < 0.01).all())
    (array([1., 3.]), True)
    """

    def __init__(
        self, z: Any, y: Any, std: float = 1.0, noise: float = 0.1, length_scale: Any = 1.0, mean: float | None = None
    ) -> None:
        from scipy.linalg import cho_solve, cholesky

        self.z, self.y = _data(z, y)
        self.std, self.noise = _positive("std", std), _positive("noise", noise)
        scales = numpy.atleast_1d(numpy.asarray(length_scale, dtype=numpy.float64))
        if scales.shape not in ((1,), self.z.shape[1:]):
            raise ShapeError("GaussianProcess", f"one length scale, or {self.z.shape[1]}", f"shape {scales.shape}")
        self.length_scale = numpy.array([_positive("length_scale", scale) for scale in scales])
        covariance = self.kernel(self.z)
        covariance.flat[:: len(self.z) + 1] += self.noise**2
        try:
            self.factor = cholesky(covariance, lower=True, overwrite_a=True)
        except numpy.linalg.LinAlgError:
            hint = "a larger noise, or points that differ"
            raise InputError("GaussianProcess", "a regular covariance", "a singular one", hint) from None
        if mean is None:
            by_ones = cho_solve((self.factor, True), numpy.ones(len(self.y)))
            mean = float(by_ones @ self.y / by_ones.sum())
        self.mean = float(mean)
        self.weights = cho_solve((self.factor, True), self.y - self.mean)  # C^-1 (y - m)

    @classmethod
    def fit(cls, z: Any, y: Any, scales: str = "one", start: GaussianProcess | None = None) -> GaussianProcess:
        """s, n, l = argmax log p(y | Z), a local maximum, by L-BFGS in their logarithms; returns its process.

        scales: "one" length scale for all dimensions, or one for "each". start: the process whose hyperparameters the
        search starts from; by default s is the standard deviation of y, n half of it, and l_d is sqrt(K) times the
        standard deviation of z in dimension d, or their root mean square.

        Raises InputError for values y that are all the same, and the errors of GaussianProcess.
        """
        from scipy.optimize import minimize

        z, y = _data(z, y)
        if scales not in ("one", "each"):
            raise InputError("GaussianProcess.fit", 'scales "one" or "each"', repr(scales))
        spread, widths = y.std(), z.std(axis=0) * math.sqrt(z.shape[1])
        if not spread > 0 or not widths.any():
            raise InputError("GaussianProcess.fit", "points and values that differ", "equal ones")
        widths = numpy.maximum(widths, 1e-3 * widths.max())  # a dimension with a single value has width 0
        usual = widths if scales == "each" else numpy.sqrt([(widths**2).mean()])
        centre = numpy.log([spread, spread / 2, *usual])
        names = ["std", "noise", *["length_scale"] * len(usual)]
        bounds = [tuple(c + math.log(factor) for factor in BOUNDS[n]) for n, c in zip(names, centre, strict=True)]
        first = centre if start is None else start._logarithms(len(usual))

        def negative(logarithms: numpy.ndarray) -> tuple[float, numpy.ndarray]:
            process = cls(z, y, *numpy.exp(logarithms[:2]), numpy.exp(logarithms[2:]))
            return -process.log_marginal_likelihood(), -process.gradient()

        options = {"maxiter": 100}
        found = minimize(
            negative, numpy.clip(first, *numpy.transpose(bounds)), jac=True, bounds=bounds, options=options
        )
        return cls(z, y, *numpy.exp(found.x[:2]), numpy.exp(found.x[2:]))

    def _logarithms(self, n: int) -> numpy.ndarray:
        """Returns log s, log n and n logarithms of l."""
        return numpy.log([self.std, self.noise, *numpy.resize(self.length_scale, n)])

    def kernel(self, a: numpy.ndarray, b: numpy.ndarray | None = None) -> numpy.ndarray:
        """k(a, b), or k(a, a).   (A, K), (B, K) -> (A, B)"""
        a = a / self.length_scale
        b = a if b is None else b / self.length_scale
        squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
        return self.std**2 * numpy.exp(-0.5 * numpy.maximum(squares, 0))

    def log_marginal_likelihood(self) -> float:
        """log p(y | Z) = -1/2 (y - m)' C^-1 (y - m) - 1/2 log det C - N/2 log(2 pi)"""
        fit = 0.5 * float((self.y - self.mean) @ self.weights)
        return -fit - float(numpy.log(self.factor.diagonal()).sum()) - 0.5 * len(self.y) * math.log(2 * math.pi)

    def gradient(self) -> numpy.ndarray:
        """d log p(y | Z) / d(log s, log n, log l) = 1/2 tr((a a' - C^-1) dC),   a = C^-1 (y - m).   (2 + scales,)

        The most probable m also depends on s, n and l, but its change has no effect to first order.
        """
        from scipy.linalg import cho_solve

        inner = numpy.outer(self.weights, self.weights) - cho_solve((self.factor, True), numpy.eye(len(self.y)))
        by_noise = self.noise**2 * inner.trace()
        inner *= self.kernel(self.z)
        z = self.z / self.length_scale  # sum_ij M_ij (z_i - z_j)^2 = 2 (sum_i z_i^2 sum_j M_ij - z' M z)
        by_scale = (inner.sum(axis=1)[:, None] * z**2 - z * (inner @ z)).sum(axis=0)
        if len(self.length_scale) == 1:
            by_scale = by_scale.sum(keepdims=True)
        return numpy.array([inner.sum(), by_noise, *by_scale])

    def predict(self, z: Any) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Returns the mean and the standard deviation of f(z) | y, without the noise.   (N, K) -> (N,), (N,)"""
        from scipy.linalg import solve_triangular

        z = as_points("predict", z, self.z.shape[1])
        cross = self.kernel(z, self.z)
        half = solve_triangular(self.factor, cross.T, lower=True)
        return self.mean + cross @ self.weights, self._deviation((half**2).sum(axis=0))

    def covariance(self, z: Any) -> numpy.ndarray:
        """Cov(f(z_i), f(z_j) | y) = k(z, z) - k(z, Z) C^-1 k(Z, z).   (M, K) -> (M, M), M at most 5,000"""
        from scipy.linalg import solve_triangular

        z = as_points("covariance", z, self.z.shape[1])
        if len(z) > LARGEST:
            raise DataError("covariance", f"at most {LARGEST:,} points", f"{len(z):,}")
        half = solve_triangular(self.factor, self.kernel(self.z, z), lower=True)
        return self.kernel(z) - half.T @ half

    def predict_gradients(self, z: numpy.ndarray) -> tuple[numpy.ndarray, ...]:
        """Returns mean and standard deviation of f(z) | y, and their gradients.   (M, K) -> (M,), (M,), (M, K), (M, K)

        dk(z, z_i)/dz = k(z, z_i) (z_i - z) / l^2
        """
        from scipy.linalg import cho_solve

        cross = self.kernel(z, self.z)
        solved = cho_solve((self.factor, True), cross.T).T  # k(z, Z) C^-1
        std = self._deviation((cross * solved).sum(axis=1))

        def slopes(weights: numpy.ndarray) -> numpy.ndarray:
            """Returns the gradient of sum_i w_i k(z, z_i).   (M, N) -> (M, K)"""
            weighted = weights * cross
            return (weighted @ self.z - weighted.sum(axis=1)[:, None] * z) / self.length_scale**2

        return self.mean + cross @ self.weights, std, slopes(self.weights), -slopes(solved) / std[:, None]

    @property
    def smallest_variance(self) -> float:
        """The variance that rounding leaves where f is certain, eps s^2."""
        return self.std**2 * float(numpy.finfo(numpy.float64).eps)

    def _deviation(self, explained: Any) -> Any:
        """sqrt(max(s^2 - explained, smallest_variance)), positive in spite of rounding"""
        return numpy.sqrt(numpy.maximum(self.std**2 - explained, self.smallest_variance))

    def believe(self, z: numpy.ndarray) -> GaussianProcess:
        """Returns the process with its own mean at z as one more value: the same means, less variance.   (K,), O(N^2)

        The Cholesky factor gets one more row; the hyperparameters and m do not change.
        Source: Ginsbourger, Le Riche & Carraro (2010), "Kriging is well-suited to parallelize optimization": the
        kriging believer.
        """
        from scipy.linalg import solve_triangular

        cross = self.kernel(z[None], self.z)[0]
        row = solve_triangular(self.factor, cross, lower=True)
        n = len(self.y)
        process = object.__new__(GaussianProcess)
        process.__dict__.update(self.__dict__)
        process.z = numpy.vstack([self.z, z])
        process.y = numpy.append(self.y, self.mean + cross @ self.weights)
        process.weights = numpy.append(self.weights, 0.0)  # the residual at z is 0
        process.factor = numpy.zeros((n + 1, n + 1), order="F")
        process.factor[:n, :n], process.factor[n, :n] = self.factor, row
        process.factor[n, n] = math.sqrt(self.std**2 + self.noise**2 - row @ row)
        return process

    def __repr__(self) -> str:
        scales = self.length_scale
        lengths = f"{scales[0]:.3g}" if len(scales) == 1 else f"{scales.min():.3g} to {scales.max():.3g}"
        return (
            f"GaussianProcess({len(self.y)} points, std={self.std:.3g}, noise={self.noise:.3g}, "
            f"length_scale={lengths}, mean={self.mean:.3g})"
        )


def as_points(operation: str, z: Any, size: int | None = None) -> numpy.ndarray:
    """Returns z as a NumPy array of finite float64.   (N, K)"""
    points = to_numpy(as_floats(operation, z)).astype(numpy.float64)
    if points.ndim != 2 or 0 in points.shape or (size is not None and points.shape[1] != size):
        raise ShapeError(operation, f"z of shape (N, {size or 'K'})", str(points.shape))
    if not numpy.isfinite(points).all():
        raise DataError(operation, "finite points", "NaN or infinity")
    return points


def _data(z: Any, y: Any) -> tuple[numpy.ndarray, numpy.ndarray]:
    points = as_points("GaussianProcess", z)
    values = to_numpy(as_floats("GaussianProcess", y)).astype(numpy.float64)
    if values.shape != points.shape[:1]:
        raise ShapeError("GaussianProcess", f"y of shape ({len(points)},)", str(values.shape))
    if len(points) > LARGEST:
        raise DataError("GaussianProcess", f"at most {LARGEST:,} points", f"{len(points):,}", "fit a part of them")
    if not numpy.isfinite(values).all():
        raise DataError("GaussianProcess", "finite values y", "NaN or infinity", "leave such rows out")
    return points, values


def _positive(name: str, value: Any) -> float:
    if not 0 < value < math.inf:
        raise InputError("GaussianProcess", f"a positive, finite {name}", repr(value))
    return float(value)
