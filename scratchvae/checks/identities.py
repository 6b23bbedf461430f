"""Identities of the distributions and of the minibatch estimator: what a gradient check cannot see, such as a scale.

Every function returns (figure, tolerance): the figure is an error that ought to be 0, and an error of 0.1 % in the code
lifts it far above the tolerance. Expectations are exact sums, or the trapezoidal rule, which is exact to rounding for
smooth densities on an interval wide enough.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.autodiff import Tensor, grad
from scratchvae.distributions import Bernoulli, Categorical, Normal, kl
from scratchvae.distributions.kl import DIVERGENCES
from scratchvae.models import VAE
from scratchvae.noise import Noise

Result = tuple[float, float]

# Two of each type, q and p, over events small enough to sum over.
EXAMPLES: dict[type, tuple[Any, Any]] = {
    Normal: (
        Normal(numpy.array([0.3, -0.8]), numpy.array([-0.4, 0.2])),
        Normal(numpy.array([-0.5, 0.1]), numpy.array([0.3, -0.1])),
    ),
    Bernoulli: (Bernoulli(numpy.array([0.7, -1.2, 0.1, 2.0])), Bernoulli(numpy.array([-0.4, 0.9, 1.5, 0.3]))),
    Categorical: (Categorical(numpy.array([0.2, -1.0, 1.3])), Categorical(numpy.array([-0.6, 0.4, 0.8]))),
}


def events(distribution: Any) -> tuple[numpy.ndarray, numpy.ndarray | float]:
    """Points x and weights w with E[f] = sum over the points of w p(x) f(x): the whole support, or a fine grid."""
    if isinstance(distribution, Bernoulli):
        return numpy.array(list(product([0.0, 1.0], repeat=distribution.shape[-1]))), 1.0
    if isinstance(distribution, Categorical):
        return numpy.arange(distribution.logits.shape[-1]), 1.0
    axis = numpy.linspace(-12.0, 12.0, 241 if distribution.shape[-1] == 2 else 2401)
    grid = numpy.meshgrid(*[axis] * distribution.shape[-1], indexing="ij")
    return numpy.stack(grid, axis=-1).reshape(-1, distribution.shape[-1]), (axis[1] - axis[0]) ** len(grid)


def total(distribution: Any) -> Result:
    """sum of p(x) over all x = 1"""
    x, weight = events(distribution)
    return abs(float((weight * numpy.exp(distribution.log_prob(x))).sum()) - 1), 1e-10


def entropy(distribution: Any) -> Result:
    """H = -E[log p(x)]"""
    x, weight = events(distribution)
    log_p = distribution.log_prob(x)
    return abs(float(-(weight * numpy.exp(log_p) * log_p).sum() - distribution.entropy())), 1e-9


def divergence(q: Any, p: Any) -> Result:
    """KL(q || p) = E_q[log q(x) - log p(x)]"""
    x, weight = events(q)
    log_q, log_p = q.log_prob(x), p.log_prob(x)
    return abs(float((weight * numpy.exp(log_q) * (log_q - log_p)).sum() - kl(q, p))), 1e-9


def score(distribution: Any) -> Result:
    """E[d log p(x) / d parameter] = 0, for every parameter; relative to E|d log p(x) / d parameter| of order 1"""
    x, weight = events(distribution)
    probability = weight * numpy.exp(distribution.log_prob(x))
    parameters = [Tensor(array.copy()) for array in vars(distribution).values() if isinstance(array, numpy.ndarray)]
    options = {"event_ndim": distribution.event_ndim} if "event_ndim" in vars(distribution) else {}
    log_p = type(distribution)(*parameters, **options).log_prob(x)
    return max(float(abs(g).max()) for g in grad(ops.sum(log_p * probability), parameters)), 1e-10


def normal_moments(distribution: Normal) -> Result:
    """Mean and standard deviation of m + s e, e ~ Normal(0, I), are those of the density p, and m and s themselves."""
    standard = Normal(numpy.zeros(distribution.shape), numpy.zeros(distribution.shape), distribution.event_ndim)
    moments = []
    for x_of, d in ((distribution.reparameterize, standard), (lambda x: x, distribution)):
        points, weight = events(d)
        probability = (weight * numpy.exp(d.log_prob(points)))[:, None]
        x = x_of(points)
        mean = (probability * x).sum(axis=0)
        moments.append((mean, numpy.sqrt((probability * (x - mean) ** 2).sum(axis=0))))
    (mean, std), density = moments[0], moments[1]
    expected = [*density, distribution.mean, distribution.std]
    return max(float(abs(a - b).max()) for a, b in zip([mean, std, mean, std], expected, strict=True)), 1e-9


def frequencies(distribution: Bernoulli | Categorical, n: int = 100_000) -> Result:
    """The share of each value among draws by evenly spaced u equals its probability, to 1 / n by inverse CDF."""
    u = (numpy.arange(n) + 0.5) / n
    if isinstance(distribution, Bernoulli):
        drawn = distribution.sample(numpy.repeat(u[:, None], distribution.shape[-1], axis=1)).mean(axis=0)
    else:
        drawn = numpy.bincount(distribution.sample(u), minlength=distribution.logits.shape[-1]) / n
    return float(abs(drawn - distribution.mean).max()), 2 / n


class GivenNoise:
    """A Noise that hands out given normal draws, (S, N, K); it stands in for `Noise` where draws must be known."""

    def __init__(self, draws: Any) -> None:
        self.draws = draws

    def normal(self, name: str, shape: tuple[int, ...]) -> Any:
        """The draws, which must have the shape asked for."""
        return self.draws.reshape(shape)


def minibatches(n: int = 24, size: int = 6) -> Result:
    """The mean over an epoch's minibatches of d/d parameters (N / M) sum of L(x) equals that of the sum over all N.

    Source: deck, "Mini-batch gradient estimation"; Kingma & Welling (2014), equation 8.
    """
    model = VAE.mlp(input_size=5, latent_size=2, hidden=(3,)).to(dtype=numpy.float64)
    rng = numpy.random.default_rng(0)
    x, draws = rng.random((n, 5)), rng.standard_normal((n, 2))
    order = Noise(0).permutation("order", n)

    def gradient(rows: numpy.ndarray) -> numpy.ndarray:
        elbo = model.elbo(x[rows], GivenNoise(draws[rows]))
        parts = grad(n / len(rows) * ops.sum(elbo), model.parameters())
        return numpy.concatenate([part.ravel() for part in parts])

    full = gradient(numpy.arange(n))
    estimate = numpy.mean([gradient(order[start : start + size]) for start in range(0, n, size)], axis=0)
    return float(abs(estimate - full).max() / abs(full).max()), 1e-12


def identities() -> dict[str, Callable[[], Result]]:
    """Every identity by what it says, to be called without arguments."""
    table: dict[str, Callable[[], Result]] = {}
    line = Normal(numpy.array([0.3]), numpy.array([-0.4]))
    for name, q in {"Normal, 1-D": line, **{type_q.__name__: pair[0] for type_q, pair in EXAMPLES.items()}}.items():
        table[f"{name}: probabilities sum to 1"] = lambda q=q: total(q)
        table[f"{name}: entropy"] = lambda q=q: entropy(q)
        table[f"{name}: mean score is 0"] = lambda q=q: score(q)
        table[f"{name}: moments of draws"] = lambda q=q: (normal_moments if isinstance(q, Normal) else frequencies)(q)
    for type_q, type_p in DIVERGENCES:
        q, p = EXAMPLES[type_q][0], EXAMPLES[type_p][1]
        table[f"KL({type_q.__name__} || {type_p.__name__})"] = lambda q=q, p=p: divergence(q, p)
    table["minibatch estimator"] = minibatches
    return table
