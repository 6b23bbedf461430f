"""VAEs as estimators of scikit-learn's conventions: a transformer with a density, and one that classifies, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from scratchvae.arrays import as_array
from scratchvae.autodiff import no_grad
from scratchvae.backend import array_module, asarray, device_of
from scratchvae.conventions import Classifier, Transformer, finite_rows, labels_of_rows, tabulated
from scratchvae.distributions import Normal
from scratchvae.errors import DataError, InputError, ShapeError
from scratchvae.evaluation import elbo, log_likelihood
from scratchvae.linear.estimator import centre
from scratchvae.models import VAE, SemiSupervisedVAE
from scratchvae.models.likelihoods import decoder_named
from scratchvae.models.real_decoders import RealDecoder
from scratchvae.noise import Noise
from scratchvae.optim import Schedule
from scratchvae.training import fit

__all__ = ["VAEClassifier", "VAEEstimator"]

ROWS_AT_ONCE = 8192


class VAEEstimator(Transformer):
    """p(u, z) = p(u | z) p(z),   u = (x - mean) / scale:   log p(x) = log p(u) - sum over the columns of log scale

    VAEEstimator is a VAE of perceptrons for the rows of a table, (N, D), in scikit-learn's conventions. `transform`
    gives the means of q(z | x), `score_samples` a lower bound of log p(x). Columns of real numbers are standardised
    inside, each by its own mean and standard deviation, and all results are in the units of X: reconstructions, draws,
    and the density. So scores of models that standardise differently, or not, compare with one another and with those
    of sv.linear.PPCA. The model is float32 if X is, which takes about half the time, else float64.

    Source: Kingma & Welling (2014), "Auto-encoding variational Bayes".

    Parameters
    ----------
    latent_size, hidden, activation, likelihood, std
        As in `VAE.mlp`, but for the defaults: a Gaussian whose decoder gives every entry its own standard deviation, as
        columns of a table differ in their noise. If a column hardly varies in the training data, a row that differs
        there is very unlikely. "bernoulli" takes values in [0, 1] and "poisson" counts; neither is standardised.
    standardize : bool
        Whether columns of real numbers are standardised.
    epochs, batch_size, learning_rate, kl_weight, progress
        As in `fit`, except that there is no progress bar by default.
    score_by : "elbo" or "importance"
        What `score_samples` gives: the ELBO; or log p(x) by importance sampling, the better bound and of no use where
        score_draws are few.
    score_draws : int
        The number of draws of z for a score. All rows meet the same e in z = mu(x) + sigma(x) e, those of
        Noise(seed), so that the score of a row does not depend on the rows beside it.
    seed : int
        The seed of the weights, of training, and of scores.

    Attributes
    ----------
    model_ : VAE
        The VAE of u.
    history_ : dict of lists of float
        The result of `fit`, one entry an epoch.
    mean_ : array (D,)
        The means; zeros where nothing is standardised.
    scale_ : array (D,)
        The standard deviations; 1 for a constant column and where nothing is standardised.
    n_features_in_ : int
        D.
    feature_names_in_ : array (D,)
        The names of the columns, where the data had names that are strings.

    See Also
    --------
    VAEClassifier : the same with classes.
    scratchvae.linear.PPCA : the linear model.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> X = numpy.random.default_rng(0).standard_normal((20, 3))
    >>> model = sv.VAEEstimator(latent_size=1, hidden=(4,), epochs=1).fit(X)
    >>> model.transform(X).shape, model.score_samples(X).shape
    ((20, 1), (20,))
    """

    def __init__(
        self,
        latent_size: int = 2,
        hidden: Sequence[int] = (100,),
        activation: str = "relu",
        likelihood: str = "gaussian",
        std: float | str = "decoder",
        standardize: bool = True,
        epochs: int = 200,
        batch_size: int = 128,
        learning_rate: float | Schedule = 1e-3,
        kl_weight: float | Schedule = 1.0,
        score_by: str = "elbo",
        score_draws: int = 50,
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        self.latent_size, self.hidden, self.activation = latent_size, hidden, activation
        self.likelihood, self.std, self.standardize = likelihood, std, standardize
        self.epochs, self.batch_size, self.learning_rate, self.kl_weight = epochs, batch_size, learning_rate, kl_weight
        self.score_by, self.score_draws, self.seed, self.progress = score_by, score_draws, seed, progress

    def fit(self, X: Any, y: Any = None) -> VAEEstimator:
        """Ascend the ELBO of the rows of X, (N, D). Returns itself.

        y is ignored, as by every transformer: pipelines hand it to all of their steps. `VAEClassifier` learns from it.
        """
        X = self._rows_to_fit(X, least=2)
        return self._train(X, VAE.mlp(X.shape[1], **self._architecture()))

    @tabulated
    def transform(self, X: Any) -> Any:
        """The means of q(z | x).   (N, D) -> (N, K)"""
        return self._by_rows(lambda u: self.model_.encode(u).mean, self._standardized("transform", X))

    def inverse_transform(self, Z: Any) -> Any:
        """The means of p(x | z), in the units of X.   (N, K) -> (N, D)"""
        return self._by_rows(lambda z: self._in_units(self.model_.decode(z).mean), self._latents(Z))

    def score_samples(self, X: Any) -> Any:
        """The ELBO of every row, a lower bound of log p(x), or log p(x) by importance sampling, in nats.   (N,)"""
        values = self._log_p("score_samples", X)
        return asarray(values.astype(self.model_.dtype), self.model_.device)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples` over the rows of X, in nats."""
        return float(self._log_p("score", X).mean())

    def sample(self, n_samples: int = 1, seed: int = 0) -> Any:
        """Draws of x ~ p(x | z) for draws z ~ p(z), in the units of X, with their noise.   (n_samples, D)

        `inverse_transform` gives the means of p(x | z), without it.
        """
        self._fitted("sample")
        n = self._count("n_samples", n_samples)
        return self._drawn(self.model_.decode(self.model_.prior_draws(n, seed)), seed)

    def _n_columns(self) -> int:
        return self.model_.latent_size

    def _architecture(self) -> dict[str, Any]:
        return {
            "latent_size": self._count("latent_size", self.latent_size),
            "hidden": self.hidden,
            "activation": self.activation,
            "likelihood": self.likelihood,
            "std": self.std,
            "seed": self.seed,
        }

    def _train(self, X: Any, model: Any, **options: Any) -> Any:
        """Standardise, fit the model to X, and keep both. `options` are further ones of `fit`."""
        self._check_scores()
        d, real = X.shape[1], issubclass(decoder_named(type(self).__name__, self.likelihood), RealDecoder)
        xp = array_module(X)
        units = xp.zeros(d, dtype=X.dtype), xp.ones(d, dtype=X.dtype)
        self.mean_, self.scale_ = mean_and_scale(X) if self.standardize and real else units
        self.history_ = fit(
            model.to(device_of(X), X.dtype),
            (X - self.mean_) / self.scale_,
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            kl_weight=self.kl_weight,
            seed=self.seed,
            progress=self.progress,
            **options,
        )
        self.model_, self.n_features_in_ = model, d
        return self

    def _standardized(self, method: str, X: Any) -> Any:
        """u, of the model's type."""
        X = self._rows(method, X)
        return ((X - self.mean_) / self.scale_).astype(self.model_.dtype, copy=False)

    def _in_units(self, u: Any) -> Any:
        """x = mean + scale u"""
        return self.mean_ + self.scale_ * u

    def _latents(self, Z: Any) -> Any:
        """Z, if it is made of rows of K numbers, in the model's type."""
        operation, k = self._fitted("inverse_transform"), self.model_.latent_size
        Z = finite_rows(operation, Z)
        if Z.shape[1] != k:
            raise ShapeError(operation, f"rows of {k} columns", f"shape {Z.shape}")
        return Z.astype(self.model_.dtype, copy=False)

    def _log_p(self, method: str, X: Any) -> numpy.ndarray:
        u, n = self._standardized(method, X), self._check_scores()
        if self.score_by == "elbo":
            values = elbo(self.model_, u, n, self.seed, same_draws=True)
        else:
            values = log_likelihood(self.model_, u, n, self.seed, same_draws=True)[0]
        return values - float(array_module(u).log(self.scale_).sum())

    def _check_scores(self) -> int:
        """score_draws, if it and score_by are of use."""
        if self.score_by not in ("elbo", "importance"):
            raise InputError(type(self).__name__, 'score_by "elbo" or "importance"', repr(self.score_by))
        return self._count("score_draws", self.score_draws)

    def _drawn(self, distribution: Any, seed: int) -> Any:
        """A draw of every row of p(u | z), in the units of X."""
        noise = Noise(seed, device=self.model_.device)
        kind = noise.normal if isinstance(distribution, Normal) else noise.uniform
        return self._in_units(distribution.sample(kind("x", distribution.shape)))

    def _by_rows(self, function: Callable[..., Any], *arrays: Any) -> Any:
        """The function of some thousand rows at a time, so that memory stays bounded."""
        starts = range(0, len(arrays[0]), ROWS_AT_ONCE)
        parts = [function(*(array[start : start + ROWS_AT_ONCE] for array in arrays)) for start in starts]
        return array_module(arrays[0]).concatenate(parts)


class VAEClassifier(Classifier, VAEEstimator):
    """p(u, y, z) = p(u | y, z) p(y) p(z),   q(y, z | u) = q(y | u) q(z | u, y):   a VAE that few labels teach

    VAEClassifier is the semi-supervised model `SemiSupervisedVAE` in scikit-learn's conventions. `fit` takes rows with
    an unknown label, y = -1, as the models of sklearn.semi_supervised do, and learns from them the distribution of x.
    `predict` and `predict_proba` are q(y | x). The rest is as in VAEEstimator: `transform` gives the means of q(z | x,
    y) at the most probable class, `score_samples` the bound U(x) of log p(x). The method `score`, however, is the share
    of rows whose class is predicted, among those with a known label.

    Source: deck, "Semi-supervised objective function"; Kingma, Mohamed, Rezende & Welling (2014).

    Parameters
    ----------
    alpha : number, optional
        As in `fit`, the factor of the sum of log q(y | x) over the labelled rows; 0.1 N / N^s by default. The other
        parameters are those of VAEEstimator.

    Attributes
    ----------
    classes_ : array (C,)
        The values of y but -1, in rising order.
    model_ : SemiSupervisedVAE
        The model of u; class k there is classes_[k]. The other attributes are those of VAEEstimator.

    See Also
    --------
    VAEEstimator : the same without classes.
    scratchvae.SemiSupervisedVAE : the model itself.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> X = numpy.random.default_rng(0).standard_normal((20, 3))
    >>> y = numpy.array([0, 1] * 2 + [-1] * 16)
    >>> model = sv.VAEClassifier(latent_size=1, hidden=(4,), epochs=1).fit(X, y)
    >>> model.classes_, model.predict(X).shape
    (array([0, 1]), (20,))
    """

    def __init__(
        self,
        latent_size: int = 2,
        hidden: Sequence[int] = (100,),
        activation: str = "relu",
        likelihood: str = "gaussian",
        std: float | str = "decoder",
        standardize: bool = True,
        epochs: int = 200,
        batch_size: int = 128,
        learning_rate: float | Schedule = 1e-3,
        kl_weight: float | Schedule = 1.0,
        alpha: float | None = None,
        score_by: str = "elbo",
        score_draws: int = 50,
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        self.alpha = alpha
        super().__init__(
            latent_size, hidden, activation, likelihood, std, standardize, epochs, batch_size, learning_rate, kl_weight,
            score_by, score_draws, seed, progress,
        )  # fmt: skip

    def fit(self, X: Any, y: Any = None) -> VAEClassifier:
        """Ascend J~ of the rows of X, (N, D), and their labels y, (N,), -1 where one is not known. Returns itself.

        Raises DataError for labels of fewer than two classes.
        """
        X = self._rows_to_fit(X, least=2)
        y, known = known_labels(f"{type(self).__name__}.fit", X, y)
        classes, places = array_module(X).unique(y[known], return_inverse=True)
        if len(classes) < 2:
            received = "one class only" if len(classes) else "-1 alone, which stands for no class"
            raise DataError(f"{type(self).__name__}.fit", "labels of at least two classes", received)
        labels = array_module(X).full(len(X), -1)
        labels[known] = places
        model = SemiSupervisedVAE.mlp(X.shape[1], len(classes), **self._architecture())
        self._train(X, model, labels=labels, alpha=self.alpha)
        self.classes_ = classes
        return self

    def inverse_transform(self, Z: Any, y: Any = None) -> Any:
        """The means of p(x | y, z) for labels y, (N,); without them those of p(x | z), over p(y).   (N, K) -> (N, D)"""
        z = self._latents(Z)
        if y is not None:
            return self._by_rows(
                lambda *zy: self._in_units(self.model_.decode(*zy).mean), z, self._places("inverse_transform", z, y)
            )

        def mean(z: Any) -> Any:
            classes = array_module(z).arange(len(self.classes_))[:, None].repeat(len(z), axis=1)
            z = array_module(z).broadcast_to(z, (len(classes), *z.shape))
            weight = self.model_.class_prior.mean[:, None, None]
            return self._in_units((weight * self.model_.decode(z, classes).mean).sum(axis=0))

        return self._by_rows(mean, z)

    def sample(self, n_samples: int = 1, seed: int = 0, y: Any = None) -> Any:
        """Draws of x ~ p(x | y, z), z ~ p(z), and y ~ p(y) unless labels are given, (n_samples,).   (n_samples, D)"""
        self._fitted("sample")
        z = self.model_.prior_draws(self._count("n_samples", n_samples), seed)
        if y is None:
            noise = Noise(seed, device=self.model_.device).uniform("class", (len(z),))
            return self._drawn(self.model_.decode(z, self.model_.class_prior.sample(noise)), seed)
        return self._drawn(self.model_.decode(z, self._places("sample", z, y)), seed)

    def score(self, X: Any, y: Any) -> float:
        """The share of rows whose class is predicted, of those whose label is known, not -1."""
        predicted = self.predict(X)
        y, known = known_labels(f"{type(self).__name__}.score", predicted, y)
        if not bool(known.any()):
            raise DataError(f"{type(self).__name__}.score", "a label other than -1", "-1 alone")
        return float((predicted == y)[known].mean())

    def _scores(self, method: str, X: Any) -> Any:
        """The logits of q(y | x), (N, C)."""
        with no_grad():
            return self._by_rows(lambda u: self.model_.classifier(u).logits, self._standardized(method, X))

    def _places(self, method: str, Z: Any, y: Any) -> Any:
        """The place among the classes of every label, (N,). Raises DataError for one that is no class."""
        operation = f"{type(self).__name__}.{method}"
        y = labels_of_rows(operation, Z, y)
        places = array_module(y).searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        if not bool((self.classes_[places] == y).all()):
            expected = f"labels among {', '.join(map(str, self.classes_.tolist()))}"
            raise DataError(operation, expected, "others")
        return places


def known_labels(operation: str, X: Any, y: Any) -> tuple[Any, Any]:
    """y, checked, and which of its labels are known, not -1: truth values.   (N,), (N,)

    An array of objects may hold strings beside -1; a list of both, which NumPy makes strings of, has "-1" there.
    """
    if y is None:
        labels_of_rows(operation, X, None)
    y = as_array(operation, y)
    unknown = y == "-1" if y.dtype.kind in "US" else (y == -1) | (y == "-1") if y.dtype.kind == "O" else y == -1
    if y.dtype.kind == "O" and unknown.any() and not unknown.all():
        y = numpy.where(unknown, y[~unknown].flat[0], y)  # some label stands there, and is not looked at
    return labels_of_rows(operation, X, y), ~unknown.reshape(-1)


def mean_and_scale(X: Any) -> tuple[Any, Any]:
    """The mean and the standard deviation of every column; 1 for that of a column that does not vary.   (D,), (D,)"""
    xp = array_module(X)
    mean, centred = centre(X)
    peak = abs(centred).max(axis=0)
    std = peak * xp.sqrt(((centred / xp.where(peak > 0, peak, 1)) ** 2).mean(axis=0))
    varies = std > 10 * float(xp.finfo(X.dtype).eps) * abs(mean)
    return mean, xp.where(varies, std, 1).astype(X.dtype)
