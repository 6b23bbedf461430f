"""The linear models are checked against their objectives and their algebra.

An error of 0.1 % in a likelihood, a gradient or an update lifts the figure far above the tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy

from scratchvae.backend import asarray, to_numpy
from scratchvae.checks.exact_models import error_of_log_px, gaussian_rows, log_density, slopes, slopes_of_likelihood
from scratchvae.checks.row import Section, largest
from scratchvae.linear import PCA, PPCA, FactorAnalysis, FastICA, GaussianNaiveBayes, LogisticRegression, nmf, pca, ppca
from scratchvae.linear import factor_analysis as factor_analysis_module
from scratchvae.linear.estimator import centre

SECTION = Section("linear models")


# ---- alternating minimisation


def principal_directions(device: str = "cpu") -> tuple[Any, Any, Any, float]:
    """Returns centred rows, the initial W, the first three principal directions (3, D), and the error they leave."""
    x = centre(gaussian_rows(device=device))[1]
    w = asarray(numpy.random.default_rng(1).standard_normal((x.shape[1], 3)), device)
    model = PCA(3).fit(x)
    return x, w, model.components_, float((x**2).sum()) - float((model.singular_values_**2).sum())


@SECTION.row("PCA: alternating minimisation is the SVD", tolerance=1e-9)
def alternating_minimisation(device: str = "cpu", n_steps: int = 500) -> float:
    """Alternating least squares reaches the error and the subspace of the singular value decomposition; relative.

    Both the error after the z step and that after the W step are compared.
    """
    x, w, axes, optimum = principal_directions(device)
    *_, (_, w, errors) = islice(pca.alternating_minimisation(x, w, pca.least_squares), n_steps)
    outside = w - axes.T @ (axes @ w)
    return largest(largest(outside) / largest(w), *(error / optimum - 1 for error in errors))


@SECTION.row("PCA: the slide's z = W'x fails as it must", tolerance=1e-9)
def slide(device: str = "cpu", n_steps: int = 500) -> float:
    """With z = W'x, as on the deck's slide, it finds the subspace, W = V M, but M becomes M'^-1 at every step.

    After the z step the error is ||X (I - V M M' V')||^2, here at least twice the optimum; relative.
    """
    x, w, axes, optimum = principal_directions(device)
    steps = list(islice(pca.alternating_minimisation(x, w, pca.as_on_the_slide), n_steps))
    m, after = (to_numpy(axes @ w) for _, w, _ in steps[-2:])
    error = steps[-1][2][0]
    expected = float(((x - x @ axes.T @ asarray(m @ m.T, device) @ axes) ** 2).sum())
    if error < 2 * optimum:
        return math.inf
    return largest(error / expected - 1, after @ m.T - numpy.eye(3))


# ---- expectation maximisation


@SECTION.row("PPCA: EM reaches the closed form", tolerance=1e-5)
def em_reaches_the_closed_form(device: str = "cpu") -> float:
    """PPCA by EM has the sigma2, W and likelihood of the closed form; relative to the largest entry."""
    errors = []
    for n in (60, 6):
        x = gaussian_rows(n, device=device)
        em, closed = (PPCA(2, solver=solver, tol=1e-15, max_iter=20_000).fit(x) for solver in ("em", "closed-form"))
        errors.append(largest(em.weight_ - closed.weight_) / largest(closed.weight_))
        errors += [em.noise_variance_ / closed.noise_variance_ - 1, em.score(x) - closed.score(x)]
    return largest(*errors)


@SECTION.row("EM: log p(x), dense, and it never falls", tolerance=1e-10)
def em_never_falls(device: str = "cpu", n_steps: int = 100) -> float:
    """EM of PPCA and of factor analysis reports the likelihood of its parameters, and no step lowers it; in nats."""
    x = centre(gaussian_rows(device=device))[1]
    standard = x / (x**2).mean(axis=0) ** 0.5
    w = asarray(numpy.random.default_rng(1).standard_normal((x.shape[1], 2)), device)
    paths: list[tuple[Any, Iterator]] = [
        (x, ppca.expectation_maximisation(x, w, 1.0)),
        (standard, factor_analysis_module.expectation_maximisation(standard, 2, 1e-12)),
    ]
    errors = [0.0]
    for rows, path in paths:
        steps = list(islice(path, n_steps))
        errors += [before - after for (_, before), (_, after) in zip(steps, steps[1:], strict=False)]
        for (weight, noise_variance), log_p in steps[:3]:
            weight = to_numpy(weight)
            covariance = weight @ weight.T + to_numpy(noise_variance) * numpy.eye(len(weight))
            errors.append(abs(float(log_density(to_numpy(rows), covariance).mean()) - log_p))
    return numpy.max(errors)


@SECTION.row("FA: log p(x), dense and by Bayes' rule", tolerance=1e-10)
def factor_analysis(device: str = "cpu") -> float:
    """FactorAnalysis' log p(x) is the density of Normal(mu, W W' + Psi), and obeys Bayes' rule at any z; relative."""
    x = gaussian_rows(device=device)
    return error_of_log_px(FactorAnalysis(3, tol=math.inf).fit(x), x)  # after one step


@SECTION.row("FA: no slope at the maximum", tolerance=1e-5)
def factor_analysis_is_at_a_maximum(device: str = "cpu") -> float:
    """The mean log p(x) of the rows is stationary in W, mu and log Psi; in nats per unit, for columns of variance 1."""
    rng = numpy.random.default_rng(0)
    rows = rng.standard_normal((400, 1)) * rng.uniform(0.5, 1, 6) + 0.5 * rng.standard_normal((400, 6))
    x = asarray(rows / rows.std(axis=0), device)
    return largest(slopes_of_likelihood(FactorAnalysis(1, tol=1e-15).fit(x), x))


# ---- classifiers


def two_columns(device: str = "cpu") -> tuple[Any, Any]:
    """Returns rows with two columns, (90, 2), and three classes that overlap."""
    rng = numpy.random.default_rng(0)
    y = numpy.repeat([0, 1, 2], [20, 30, 40])
    return asarray(rng.standard_normal((90, 2)) + numpy.array([[0, 0], [1.5, 0], [0, 2]])[y], device), asarray(
        y, device
    )


@SECTION.row("naive Bayes: densities integrate to 1", tolerance=1e-10)
def naive_bayes(device: str = "cpu") -> float:
    """p(x) and p(x, y) of GaussianNaiveBayes integrate to 1 and to the share of y; p(y | x) is their ratio."""
    x, y = two_columns(device)
    axis = numpy.linspace(-12, 12, 401)
    grid = asarray(numpy.stack(numpy.meshgrid(axis, axis), axis=-1).reshape(-1, 2), device)
    errors = []
    for shared in (False, True):
        model = GaussianNaiveBayes(shared_variance=shared).fit(x, y)
        joint = numpy.exp(to_numpy(model.predict_joint_log_proba(grid)))
        density = numpy.exp(to_numpy(model.score_samples(grid)))
        cell = (axis[1] - axis[0]) ** 2
        shares = numpy.bincount(to_numpy(y)) / len(y)
        near = density > 1e-30
        ratio = joint[near] / density[near, None] - to_numpy(model.predict_proba(grid))[near]
        errors += [cell * density.sum() - 1, cell * joint.sum(axis=0) - shares, ratio]
    return largest(*errors)


@SECTION.row("naive Bayes: no slope at the top", tolerance=1e-7)
def naive_bayes_is_at_the_maximum(device: str = "cpu") -> float:
    """The mean log p(x, y) of GaussianNaiveBayes is stationary in theta and log var; in nats per unit."""
    x, y = two_columns(device)
    errors = []
    for shared in (False, True):
        model = GaussianNaiveBayes(shared_variance=shared, var_smoothing=0).fit(x, y)
        theta, var = to_numpy(model.theta_), to_numpy(model.var_)

        def likelihood(moved: numpy.ndarray, model: Any = model, shared: bool = shared) -> float:
            theta, log_var = moved
            log_var = numpy.broadcast_to(log_var[:1], log_var.shape) if shared else log_var
            model.theta_, model.var_ = asarray(theta, device), asarray(numpy.exp(log_var), device)
            joint = to_numpy(model.predict_joint_log_proba(x))
            return float(joint[numpy.arange(len(joint)), to_numpy(y)].mean())

        errors.append(slopes(likelihood, numpy.stack([theta, numpy.log(var)])))
    return largest(*errors)


@SECTION.row("logistic regression: no slope at the top", tolerance=1e-7)
def logistic_regression(device: str = "cpu") -> float:
    """The sum of log p(y | x) - ||w||^2 / (2 C), per row, is stationary in w and b of LogisticRegression.

    The slopes are in nats per unit, with and without a penalty, for two classes and for three.
    """
    x, y = two_columns(device)
    errors = []
    for classes, C in ((2, 0.5), (3, 0.5), (2, math.inf), (3, math.inf)):
        labels = y % classes
        model = LogisticRegression(C).fit(x, labels)

        def objective(moved: numpy.ndarray, model: Any = model, labels: Any = labels) -> float:
            model.coef_, model.intercept_ = asarray(moved[:, :-1], device), asarray(moved[:, -1], device)
            log_p = to_numpy(model.predict_log_proba(x))[numpy.arange(len(x)), to_numpy(labels)]
            return float(log_p.mean() - (moved[:, :-1] ** 2).sum() / (2 * model.C * len(x)))

        at = numpy.concatenate([to_numpy(model.coef_), to_numpy(model.intercept_)[:, None]], axis=1)
        errors.append(slopes(objective, at))
    return largest(*errors)


# ---- independent components, non-negative factors


@SECTION.row("FastICA: white, stationary, mixes to x", tolerance=1e-6)
def independent_components(device: str = "cpu") -> float:
    """FastICA's sources are white, mix to the data again, and c_j E[tanh(s_i) s_j] is symmetric in i and j.

    The derivative of the sum of c_i E[log cosh s_i] by a rotation of W in the plane (i, j) is the difference of the two
    orders, and so is 0. c is the sign of E[s tanh(s)] - E[1 - tanh(s)^2], by which the source differs from a Gaussian.
    """
    rng = numpy.random.default_rng(0)
    sources = numpy.stack([rng.uniform(-1, 1, 500), rng.laplace(size=500), rng.exponential(size=500)], axis=1)
    x = asarray(sources @ rng.standard_normal((3, 4)) + 1, device)
    model = FastICA(3, tol=1e-14, max_iter=1000).fit(x)
    s = to_numpy(model.transform(x))
    g = numpy.tanh(s)
    scores = g.T @ s / len(s)
    scores *= numpy.sign(scores.diagonal() - (1 - g**2).mean(axis=0))
    mixed = to_numpy(model.inverse_transform(model.transform(x)) - x)
    errors = (s.T @ s / len(s) - numpy.eye(3), scores - scores.T, mixed)
    return largest(*errors)


@SECTION.row("NMF: updates are steps down the gradient", tolerance=1e-9)
def multiplicative_updates(device: str = "cpu") -> float:
    """Each NMF update is A - (A / (A B B')) (dE/dA) / 2, likewise for B; its score, -E / ||X||^2, never falls.

    E = ||X - A B||^2, whose derivatives are central differences.
    """
    rng = numpy.random.default_rng(0)
    x, a, b = rng.random((7, 5)), rng.random((7, 2)), rng.random((2, 5))
    steps = list(islice(nmf.multiplicative_updates(*(asarray(part, device) for part in (x, a, b))), 50))
    a_next, b_next = (to_numpy(part) for part in steps[0][0])
    slope_a = slopes(lambda moved: ((x - moved @ b) ** 2).sum(), a)
    slope_b = slopes(lambda moved: ((x - a_next @ moved) ** 2).sum(), b)
    falls = [before - after for (_, before), (_, after) in zip(steps, steps[1:], strict=False)]
    return largest(
        a_next - (a - a / (a @ b @ b.T) * slope_a / 2),
        b_next - (b - b / (a_next.T @ a_next @ b) * slope_b / 2),
        steps[0][1] + ((x - a_next @ b_next) ** 2).sum() / (x**2).sum(),
        numpy.maximum(0.0, falls),
    )
