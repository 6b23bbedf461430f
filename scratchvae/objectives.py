"""`fit` ascends objectives: equations, methods of the models, averaged over a minibatch.

An equation, such as `VAE.elbo`, gives one value per datapoint. It passes its terms to `record` and combines the values
that `record` returns: by default the terms themselves, in training their means over the minibatch. So training runs
the line that a reader finds in the model.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from inspect import signature
from numbers import Real
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.arrays import as_array
from scratchvae.backend import asarray, to_numpy
from scratchvae.distributions import Normal
from scratchvae.errors import DataError, InputError, ShapeError
from scratchvae.minibatches import labelled_minibatches, minibatches
from scratchvae.noise import Noise
from scratchvae.scoring import prepared, summed_weights

__all__ = [
    "Means",
    "Objective",
    "choose",
    "each",
    "elbo",
    "importance_weighted",
    "semi_supervised",
    "usual_alpha",
    "with_properties",
]

Record = Callable[..., Iterable[Any]]


def each(**terms: Any) -> Iterable[Any]:
    """Returns the terms as they are, one value per datapoint: the default of every equation's `record`."""
    return terms.values()


class Means(dict[str, Any]):
    """mean = (1/M) sum of w_i t_i for every term t.   A `record` that keeps the means by name, and returns them.

    With a kl_floor it returns max(mean KL, kl_floor), so that the gradient of a KL below the floor is 0: the first
    kl_floor nats that z carries are free. It keeps the mean KL itself.

    Sources: Kingma et al. (2016), "Improved variational inference with inverse autoregressive flow", equation 15;
    Ha & Eck (2017), equation 11.

    Parameters
    ----------
    n : int
        M, the number of rows in the minibatch.
    kl_floor : float
        The floor, in nats.
    weights : array (M,), optional
        w, all 1 by default.
    at_least : callable
        at_least(mean, floor) is the larger one, or, where each of several processes has a part of the mean, its part.

    Attributes
    ----------
    n, kl_floor, weights, at_least
        The parameters of these names.

    See Also
    --------
    Objective : makes one for every minibatch.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> means = sv.objectives.Means(2, kl_floor=3.0)
    >>> reconstruction, kl = means(reconstruction=numpy.array([-9.0, -7.0]), kl=numpy.array([1.0, 2.0]))
    >>> float(reconstruction), float(kl), float(means["kl"])
    (-8.0, 3.0, 1.5)
    """

    def __init__(
        self, n: int, kl_floor: float = 0.0, weights: Any = None, at_least: Callable[..., Any] = ops.maximum
    ) -> None:
        super().__init__()
        self.n, self.kl_floor, self.weights, self.at_least = n, kl_floor, weights, at_least

    def __call__(self, **terms: Any) -> Iterable[Any]:
        """Returns the means of terms of shape (..., M). Raises ShapeError for other shapes."""
        for name, term in terms.items():
            if term.shape[-1:] != (self.n,):
                expected = f"a {name} for each of {self.n} rows of the minibatch, shape (..., {self.n})"
                raise ShapeError("fit", expected, str(term.shape), "event_ndim of the distribution?")
            self[name] = self.mean(name, self.weighted(term))
        floored = {"kl": self.at_least(self["kl"], self.kl_floor)} if self.kl_floor and "kl" in terms else {}
        return [(self | floored)[name] for name in terms]

    def mean(self, name: str, term: Any) -> Any:
        """Returns the mean of one term."""
        return ops.mean(term)

    def weighted(self, term: Any) -> Any:
        """Returns the term of every row times the row's weight.   (..., M) -> (..., M)"""
        return term if self.weights is None else term * self.weights


class _MeansOfUnits(Means):
    """Returns max(mean KL_k, free_bits) for every unit k of a KL by latent unit, (K, M), and keeps the sum of means."""

    def __init__(self, n: int, free_bits: float, weights: Any, at_least: Callable[..., Any]) -> None:
        super().__init__(n, weights=weights, at_least=at_least)
        self.free_bits = free_bits

    def __call__(self, **terms: Any) -> Iterable[Any]:
        handed = dict(zip(terms, super().__call__(**terms), strict=True))
        units = ops.mean(self.weighted(terms["kl"]), axis=-1)
        self["kl"] = ops.sum(units)
        return (handed | {"kl": self.at_least(units, self.free_bits)}).values()


class Objective:
    """(1/M) sum over the minibatch of an equation's value per datapoint: the deck's (N/M) sum, divided by N

    To train with an equation of your own, give `fit` an Objective with it, or one of a subclass.

    Parameters
    ----------
    name : str
        The name in a run's configuration; a run can be resumed only with an objective of the same name.
    equation : callable, such as model.elbo
        equation(x, noise, n_samples, kl_weight, record) -> values in nats, (M,), or their mean. It passes the terms to
        `record` by name, reconstruction and kl among them, and combines the values that `record` returns.
    terms : tuple of str
        The names of the terms that are metrics, in order.
    kl_floor : number, optional
        As in `Means`.

    Attributes
    ----------
    name, equation, terms, kl_floor
        The parameters of these names.
    settings : dict
        Further numbers and arrays that determine the result, compared when a run is resumed.
    files : dict
        Texts by name, which `fit` writes into the run directory.
    at_least : callable
        As in `Means`; `fit` sets it.

    See Also
    --------
    elbo, importance_weighted, semi_supervised, with_properties : make the package's objectives.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> model, x = sv.VAE.mlp(input_size=6, latent_size=2, hidden=(4,)), numpy.ones((5, 6), numpy.float32)
    >>> mean, terms = sv.Objective("elbo", model.elbo).value(x, sv.Noise(0), n_samples=1, kl_weight=1.0)
    >>> mean.shape, sorted(terms)
    ((), ['bound', 'kl', 'reconstruction'])
    """

    at_least: Callable[..., Any] = staticmethod(ops.maximum)

    def __init__(
        self,
        name: str,
        equation: Callable[..., Any],
        terms: tuple[str, ...] = ("reconstruction", "kl"),
        kl_floor: float = 0.0,
    ) -> None:
        if not callable(equation):
            raise InputError("Objective", "an equation that can be called", type(equation).__name__)
        if not {"reconstruction", "kl"} <= set(terms):
            raise InputError("Objective", "reconstruction and kl among the terms", ", ".join(terms) or "none")
        if not (isinstance(kl_floor, Real) and 0 <= kl_floor < math.inf):
            raise InputError("Objective", "kl_floor as a number of at least 0", repr(kl_floor))
        self.name, self.equation, self.terms, self.kl_floor = name, equation, tuple(terms), kl_floor
        self.settings: dict[str, Any] = {"kl_floor": kl_floor}
        self.files: dict[str, str] = {}

    def n_rows(self, n: int) -> int:
        """Returns the number of rows that an epoch divides into minibatches, for a data set of n rows."""
        return n

    def batches(self, n: int, size: int, noise: Noise) -> list[tuple[Any, ...]]:
        """Returns the row numbers of every minibatch of an epoch, each with the arguments of `value` that follow x."""
        return [(rows,) for rows in minibatches(n, size, noise)]

    def value(
        self, x: Any, noise: Any, n_samples: int, kl_weight: float, weights: Any = None
    ) -> tuple[Any, dict[str, Any]]:
        """Returns the objective for a minibatch, a scalar Tensor, and its terms' means by name, in nats.   x (M, ...)

        weights: those of the rows, (M,), with a mean of 1 over all data, if `fit` has weights.
        """
        means = self.means(len(x), weights)
        value = self.equation(x, noise, n_samples, kl_weight, means)
        if value.shape not in ((), (len(x),)):
            raise ShapeError("fit", f"one value for each of {len(x)} rows from the objective", str(value.shape))
        value = ops.mean(means.weighted(value) if value.shape else value)
        return value, {"bound": value} | means

    def means(self, n: int, weights: Any = None) -> Means:
        """Returns the `record` for a minibatch of n rows."""
        return Means(n, self.kl_floor, weights, self.at_least)

    def scores(self, model: Any, x: Any, n_samples: int, seed: int) -> dict[str, Any]:
        """Returns scores of validation data beside those of `evaluate`: a subclass may add the mean of its bound."""
        return {}


def elbo(model: Any, kl_floor: float = 0.0, free_bits: float = 0.0) -> Objective:
    """Returns the Objective of `model.elbo`, the ELBO, or with free_bits for each unit that of `model.elbo_by_unit`.

    Raises InputError for free_bits below 0, together with kl_floor, or with a model that has no ELBO by unit.
    """
    return _FreeBits(model, free_bits, kl_floor) if free_bits else Objective("elbo", model.elbo, kl_floor=kl_floor)


class _FreeBits(Objective):
    """(1/M) sum of E_q[log p(x | z)] - kl_weight sum over units k of max((1/M) sum of KL(q(z_k | x) || p(z_k)), bits)

    Source: Kingma et al. (2016), equation 15, with every latent unit as a subset.
    """

    def __init__(self, model: Any, free_bits: float, kl_floor: float) -> None:
        if isinstance(free_bits, bool) or not (isinstance(free_bits, Real) and 0 < free_bits < math.inf):
            raise InputError("fit", "free_bits as a number of at least 0", repr(free_bits))
        if kl_floor:
            raise InputError("fit", "kl_floor, for the whole KL, or free_bits, for each latent unit", "both")
        if not hasattr(model, "elbo_by_unit"):
            raise InputError("fit", "free_bits with a model that has elbo_by_unit", type(model).__name__, "kl_floor")
        if not isinstance(model.prior, Normal):
            raise InputError("fit", "free_bits with a prior of independent units", repr(model.prior), "kl_floor")
        super().__init__("elbo", model.elbo_by_unit)
        self.free_bits = free_bits
        self.settings |= {"free_bits": free_bits}

    def means(self, n: int, weights: Any = None) -> Means:
        return _MeansOfUnits(n, self.free_bits, weights, self.at_least)


class _ImportanceWeighted(Objective):
    def scores(self, model: Any, x: Any, n_samples: int, seed: int) -> dict[str, Any]:
        log_sum, _ = summed_weights(model, prepared(model, x, seed), model.log_weights, n_samples, seed)
        return {"bound": float((log_sum - math.log(n_samples)).mean())}


def importance_weighted(model: Any) -> Objective:
    """Returns the Objective of `model.importance_weighted_bound`."""
    return _ImportanceWeighted("iwae", model.importance_weighted_bound, ("reconstruction", "kl", "bound"))


class _MeansOfParts(Means):
    """mean = (N^s / N) mean over labelled rows + (N^u / N) mean over the others, for every term"""

    def __init__(self, n: int, n_labelled: int, share: float, *arguments: Any) -> None:
        super().__init__(n, *arguments)
        self.labelled, self.others, self.share = slice(None, n_labelled), slice(n_labelled, None), share

    def mean(self, name: str, term: Any) -> Any:
        if name == "classification":
            return ops.mean(term[self.labelled])
        parts = [(self.share, self.labelled), (1 - self.share, self.others)]
        return sum(part * ops.mean(term[rows]) for part, rows in parts if part)


class _SemiSupervised(Objective):
    def __init__(self, model: Any, labels: numpy.ndarray, alpha: float, kl_floor: float) -> None:
        super().__init__("elbo", model.objective, ("reconstruction", "kl", "classification"), kl_floor)
        self.labels, self.alpha = labels, alpha
        self.n_labelled = int((labels >= 0).sum())
        self.settings |= {"labels": labels, "alpha": alpha}
        self.files = {"labelled_rows.json": json.dumps(numpy.flatnonzero(labels >= 0).tolist())}

    def n_rows(self, n: int) -> int:
        if n != len(self.labels):
            raise DataError("labels", f"an array of shape ({n},), one for each row", str(self.labels.shape))
        return max(self.n_labelled, n - self.n_labelled)

    def batches(self, n: int, size: int, noise: Noise) -> list[tuple[Any, ...]]:
        return list(labelled_minibatches(self.labels, size, noise))

    def value(
        self, x: Any, y: Any, noise: Any, n_samples: int, kl_weight: float, weights: Any = None
    ) -> tuple[Any, dict[str, Any]]:
        share = self.n_labelled / len(self.labels)
        means = _MeansOfParts(len(x), len(y), share, self.kl_floor, weights, self.at_least)
        return self.equation(x, y, noise, share * self.alpha, n_samples, kl_weight, means), means


def semi_supervised(model: Any, labels: Any = None, alpha: float | None = None, kl_floor: float = 0.0) -> Objective:
    """Returns the Objective of `model.objective`, J~ / N; without labels that of `model.elbo`, U(x).

    J~ / N is estimated as (1/N) [N^s / M^s (sum of L + alpha sum of log q(y | x)) + N^u / M^u sum of U]: a mean over
    the M^s labelled rows of a minibatch times N^s / N, plus a mean over its M^u others times N^u / N. An epoch passes
    once through the larger of the two sets; the smaller one is cycled through, in a new order each time.

    labels: (N,), -1 where the class is unknown; every class needs a labelled row. alpha: `usual_alpha` by default.
    Raises DataError for labels that the model cannot take or that leave out a class, InputError for an alpha below 0.
    """
    if alpha is not None and (labels is None or not (isinstance(alpha, Real) and 0 <= alpha < math.inf)):
        received = repr(alpha) + (" without labels" if labels is None else "")
        raise InputError("fit", "alpha as a number of at least 0, with labels", received)
    if labels is None:
        return elbo(model, kl_floor)
    labels = as_array("labels", labels)
    labels = to_numpy(model.labels(labels, labels.shape[:1], lowest=-1))
    missing = sorted(set(range(model.n_classes)) - set(labels.tolist()))
    if missing:
        raise DataError("labels", "a labelled row of every class", f"none of class {', '.join(map(str, missing))}")
    alpha = usual_alpha(int((labels >= 0).sum()), len(labels)) if alpha is None else alpha
    return _SemiSupervised(model, labels, alpha, kl_floor)


def usual_alpha(n_labelled: int, n: int, share: float = 0.1) -> float:
    """alpha = 0.1 N / N^s in the deck's J~, where alpha multiplies a sum over the N^s labelled rows among N

    Kingma et al. multiply the mean over the labelled rows by 0.1 N, which is the same: alpha is 50, 8.33, 5 and 1.67
    for 100, 600, 1,000 and 3,000 labels of 50,000 rows.   Source: Kingma et al. (2014), equation 9.
    """
    return share * n / n_labelled


class _WithProperties(Objective):
    def __init__(self, model: Any, properties: Any, alpha: float, kl_floor: float) -> None:
        super().__init__("elbo", model.joint_elbo, ("reconstruction", "kl", "properties"), kl_floor)
        self.properties, self.alpha = properties, alpha
        self.settings |= {"properties": to_numpy(properties), "alpha": alpha}

    def n_rows(self, n: int) -> int:
        if n != len(self.properties):
            raise DataError("properties", f"a row for each of {n} strings", str(len(self.properties)))
        return n

    def batches(self, n: int, size: int, noise: Noise) -> list[tuple[Any, ...]]:
        properties = asarray(self.properties, noise.device)  # `fit` may have moved the model meanwhile
        return [(rows, properties[rows]) for rows in minibatches(n, size, noise)]

    def value(
        self, x: Any, t: Any, noise: Any, n_samples: int, kl_weight: float, weights: Any = None
    ) -> tuple[Any, dict[str, Any]]:
        means = self.means(len(x), weights)
        return ops.mean(self.equation(x, t, noise, self.alpha, n_samples, kl_weight, means)), means


def with_properties(
    model: Any, properties: Any = None, alpha: float | None = None, kl_floor: float = 0.0, free_bits: float = 0.0
) -> Objective:
    """Returns the Objective of `model.joint_elbo`, for strings and properties; without properties that of `model.elbo`.

    properties: (N, P) or a dict of P arrays (N,), NaN where one is unknown. alpha multiplies log p(t | z); the default,
    1, makes the objective a lower bound on log p(x, t).
    Raises DataError for properties that the model does not have, InputError for an alpha below 0.
    """
    if alpha is not None and (properties is None or not (isinstance(alpha, Real) and 0 <= alpha < math.inf)):
        received = repr(alpha) + (" without properties" if properties is None else "")
        raise InputError("fit", "alpha as a number of at least 0, with properties", received)
    if properties is None:
        return elbo(model, kl_floor, free_bits)
    if free_bits:
        raise InputError("fit", "kl_floor with properties", "free_bits, for each latent unit")
    return _WithProperties(model, model.properties(properties), 1.0 if alpha is None else alpha, kl_floor)


def choose(model: Any, objective: str | Objective, **options: Any) -> Objective:
    """Returns the Objective for `fit`: one of the model's, found by its name, or the caller's own.

    options: those of the functions above; None stands for an option that was not given. Raises InputError for a name
    that the model does not know, and for an option that its objective does not have.
    """
    if not callable(getattr(model, "elbo", None)):
        raise InputError("fit", "a model", type(model).__name__, "fit(model, data)")
    options = {name: value for name, value in options.items() if value is not None}
    makers = getattr(model, "objectives", {"elbo": elbo})
    if isinstance(objective, Objective):
        if options:
            raise InputError("fit", f"no {' and '.join(options)} with an Objective of your own", repr(objective.name))
        owner = getattr(objective.equation, "__self__", None)
        if owner is not model and callable(getattr(owner, "elbo", None)):
            raise InputError("fit", "an Objective of this model's equation", "one of another model's")
        return objective
    if not isinstance(objective, str) or objective not in makers:
        raise InputError("fit", f"an objective among {', '.join(makers)} for a {type(model).__name__}", repr(objective))
    unknown = options.keys() - signature(makers[objective]).parameters.keys()
    received = f"a {type(model).__name__}, {objective!r}"
    if "free_bits" in unknown:
        raise InputError("fit", "free_bits with the ELBO of a VAE, without labels or importance weights", received)
    if "kl_floor" in unknown:
        raise InputError("fit", "no kl_floor with importance weights, which have no KL of their own", repr(objective))
    if "properties" in unknown:
        raise InputError("fit", "a model that predicts properties, and its ELBO", received)
    if unknown:
        expected = f"a model with classes for {' and '.join(sorted(unknown))}"
        raise InputError("fit", expected, type(model).__name__, "sv.SemiSupervisedVAE.mlp()")
    return makers[objective](model, **options)
