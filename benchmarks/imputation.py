"""How well are missing entries filled in?   python -m benchmarks imputation [--quick] [--data-dir DIR] [--out FILE]

Entries are hidden at random, in training rows and in test rows. Three methods fill in the hidden entries of the test
rows, which are then compared with the true ones:

    column means             the means of the known entries of the training rows
    PPCA                     E[x_m | x_o], the exact conditional means, for the K with the least error on the test rows;
                             W, mu and s^2 by EM on the known entries; levels become columns of 0 and 1
    VAE                      `impute`, means of 1,000 weighted draws, by a VAE that was trained with missing=True

The table has 12 columns of numbers, which are curved functions of two latent numbers with noise, and two columns of
categories, for which the accuracy is given. The digits are MNIST's if their files are found, else drawn ones, of 14 x
14 pixels with half of them hidden. Errors are root mean squares, of the table in standard deviations of a column, of
the digits in grey values from 0 to 1; the standard errors are over test rows. It takes two minutes on one core.
"""

from __future__ import annotations

import json
import time
from typing import Any

import numpy

import scratchvae as sv
from benchmarks.arguments import parser
from scratchvae.errors import InputError


def main(arguments: list[str]) -> None:
    options = parser("imputation", "missing entries, filled in three ways", "imputation.json")
    options.add_argument("--quick", action="store_true", help="use few rows and steps, to see that it works")
    options.add_argument("--data-dir", help="folder with MNIST's files (default: $SCRATCHVAE_DATA)")
    options = options.parse_args(arguments)
    results = {"table": on_a_table(options.quick), "digits": on_digits(options.quick, options.data_dir)}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    print(options.out.read_text())


# ---- the data


def bent_table(n: int, seed: int = 0) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Returns rows of 12 standardised numbers and of two categories, with three and two levels.   (N, 12), (N, 2)"""
    rng = numpy.random.default_rng(seed)
    a, b = rng.uniform(-1, 1, (2, n, 1))
    slopes, shifts = numpy.linspace(1, 4, 6), numpy.linspace(0, 3, 6)
    x = numpy.concatenate([numpy.sin(slopes * a + shifts), numpy.cos(slopes * b - shifts) * (1 + a)], axis=1)
    x = x + 0.1 * rng.standard_normal(x.shape)
    levels = numpy.concatenate([numpy.digitize(a, [-0.4, 0.4]), a * b > 0], axis=1)
    return (x - x.mean(axis=0)) / x.std(axis=0), levels


def with_indicators(x: numpy.ndarray) -> numpy.ndarray:
    """Returns the numbers of such a table with columns of 0 and 2, whose deviation is about 1, for the levels.

    (N, 14) -> (N, 16)
    """
    levels = [numpy.where(numpy.isnan(x[:, 12]), numpy.nan, x[:, 12] == level) for level in range(3)]
    indicators = numpy.stack([*levels, x[:, 13]], axis=1)
    return numpy.concatenate([x[:, :12], 2 * indicators], axis=1)


def hide(x: numpy.ndarray, share: float, seed: int) -> numpy.ndarray:
    """Returns x with a random share of its entries NaN."""
    return numpy.where(numpy.random.default_rng(seed).random(x.shape) < share, numpy.nan, x)


# ---- the ways


def column_means(train: numpy.ndarray, test: numpy.ndarray) -> numpy.ndarray:
    """Returns test with its NaN replaced by the means of the known entries of train."""
    known = ~numpy.isnan(train)
    means = numpy.where(known, train, 0).sum(axis=0) / numpy.maximum(known.sum(axis=0), 1)
    return numpy.where(numpy.isnan(test), means, test)


class PPCAOfKnown:
    """PPCAOfKnown fits PPCA to known entries by EM.

    E: G_i = (I + W_o'W_o / s^2)^-1, m_i = G_i W_o'(x_o - mu_o) / s^2 for the known entries o of row i
    M: w_d = (sum of m_i m_i' + G_i)^-1 sum of m_i (x_id - mu_d) over the rows i where d is known, s^2 the mean over the
    known entries of (x_id - mu_d - w_d'm_i)^2 + w_d'G_i w_d, mu_d the mean of x_id - w_d'm_i
    """

    def __init__(self, x: numpy.ndarray, k: int, steps: int) -> None:
        known = ~numpy.isnan(x)
        n_known = numpy.maximum(known.sum(axis=0), 1)
        self.mean = numpy.where(known, x, 0).sum(axis=0) / n_known
        self.weight = sv.linear.PPCA(k).fit(column_means(x, x)).weight_
        self.variance = float(numpy.where(known, x - self.mean, 0).var())
        for _ in range(steps):
            m, covariance = self.posterior(x)
            second = covariance + m[:, :, None] * m[:, None, :]
            centred = numpy.where(known, x - self.mean, 0)
            moments = (known.T.astype(float) @ second.reshape(len(x), -1)).reshape(-1, k, k)
            moments += 1e-9 * numpy.eye(k)  # of a column that no row knows
            self.weight = numpy.linalg.solve(moments, (centred.T @ m)[..., None])[..., 0]
            rest = numpy.where(known, centred - m @ self.weight.T, 0)
            spread = (self.weight[:, :, None] * self.weight[:, None, :]).reshape(-1, k * k)
            spread = (covariance.reshape(len(x), -1) @ spread.T)[known].sum()
            self.variance = float(((rest**2).sum() + spread) / known.sum())
            self.mean = self.mean + rest.sum(axis=0) / n_known

    def posterior(self, x: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Returns m and G of every row.   (N, K), (N, K, K)"""
        known, (d, k) = ~numpy.isnan(x), self.weight.shape
        squares = (self.weight[:, :, None] * self.weight[:, None, :]).reshape(d, k * k)
        precision = numpy.eye(k) + (known.astype(float) @ squares).reshape(-1, k, k) / self.variance
        covariance = numpy.linalg.inv(precision)
        projected = numpy.where(known, x - self.mean, 0) @ self.weight / self.variance
        return (covariance @ projected[..., None])[..., 0], covariance

    def impute(self, x: numpy.ndarray) -> numpy.ndarray:
        """Returns x with E[x_m | x_o] in place of its NaN."""
        return numpy.where(numpy.isnan(x), self.posterior(x)[0] @ self.weight.T + self.mean, x)


# ---- the comparisons


def on_a_table(quick: bool) -> dict[str, Any]:
    """Returns the errors on the table, with 4,000 training rows, 1,000 test rows, and 30 % of the entries hidden."""
    n = 400 if quick else 5000
    x, levels = bent_table(n)
    whole = numpy.concatenate([x, levels], axis=1)
    rows, n_train = hide(whole, 0.3, seed=1), n * 4 // 5
    train, test, numbers = rows[:n_train], rows[n_train:], slice(0, x.shape[1])
    started = time.perf_counter()
    columns = [sv.data.Column(f"x{d}") for d in range(x.shape[1])]
    columns += [sv.data.Column("a", "category", ("low", "middle", "high"))]
    columns += [sv.data.Column("same sign", "category", ("no", "yes"))]
    model = sv.TableVAE.mlp(columns, latent_size=4, hidden=(128, 64), missing=True)
    train_vae(model, train, epochs=5 if quick else 150)
    filled = {"column means": column_means(train, test)}
    parts = [with_indicators(part) for part in (train, test, whole[n_train:])]
    filled |= best_ppca(*parts, (1, 2, 3, 4, 6, 8, 10, 12), quick, numbers)
    filled["VAE"] = model.impute(test)
    results = {
        name: errors(found[:, numbers], whole[n_train:, numbers], test[:, numbers]) for name, found in filled.items()
    }
    lost = numpy.isnan(test[:, 12:])
    frequent = [numpy.bincount(column[~numpy.isnan(column)].astype(int)).argmax() for column in train[:, 12:].T]
    results["column means"]["accuracy"] = round(float((levels[n_train:] == frequent)[lost].mean()), 4)
    results["VAE"]["accuracy"] = round(float((levels[n_train:] == filled["VAE"][:, 12:])[lost].mean()), 4)
    return results | {"seconds": round(time.perf_counter() - started), "rows": [n_train, n - n_train]}


def on_digits(quick: bool, data_dir: str | None) -> dict[str, Any]:
    """Returns the errors on digits with half of the pixels hidden."""
    started = time.perf_counter()
    try:
        name = "mnist" if not quick else "drawn-digits"
        train, test = (part.images for part in sv.data.load(name, data_dir))
    except (InputError, OSError):
        name = "drawn-digits"
        train, test = (part.images for part in sv.data.load(name))
    n_train, n_test = (300, 50) if quick else (10_000, 1000)
    small, whole = (
        x[:n].reshape(n, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(n, 196) for x, n in ((train, n_train), (test, n_test))
    )
    train, test = hide(small, 0.5, seed=1), hide(whole, 0.5, seed=2)
    model = sv.VAE.mlp(196, 30, (500,), likelihood="gaussian", std="learned", missing=True)
    train_vae(model, train, epochs=1 if quick else 60)
    filled = {"column means": column_means(train, test)}
    filled |= best_ppca(train, test, whole, (5, 10, 15, 20, 30), quick)
    filled["VAE"] = model.impute(test, n_samples=10 if quick else 1000)
    results = {way: errors(found, whole, test) for way, found in filled.items()}
    return results | {"data": name, "seconds": round(time.perf_counter() - started), "rows": [n_train, n_test]}


def train_vae(model: Any, train: numpy.ndarray, epochs: int) -> None:
    """Trains a VAE with a learning rate that falls to a tenth."""
    steps = epochs * -(-len(train) // 128)
    rate = sv.optim.ExponentialSchedule(2e-3, 0.1 ** (1 / steps))
    sv.fit(model, train, epochs, learning_rate=rate, progress=False)


def best_ppca(
    train: numpy.ndarray,
    test: numpy.ndarray,
    whole: numpy.ndarray,
    sizes: tuple[int, ...],
    quick: bool,
    scored: slice = slice(None),
) -> dict[str, numpy.ndarray]:
    """Returns {"PPCA, K = ...": test filled in} for the K that is best on the hidden entries of the scored columns."""
    filled = {}
    for k in sizes[:2] if quick else sizes:
        ppca = PPCAOfKnown(numpy.asarray(train, dtype=numpy.float64), k, steps=5 if quick else 40)
        filled[f"PPCA, K = {k}"] = ppca.impute(numpy.asarray(test, dtype=numpy.float64))
    of_each = {
        name: errors(found[:, scored], whole[:, scored], test[:, scored])["error"] for name, found in filled.items()
    }
    best = min(of_each, key=of_each.get)
    return {best: filled[best]}


def errors(filled: numpy.ndarray, whole: numpy.ndarray, test: numpy.ndarray) -> dict[str, float]:
    """Returns the root mean square error over hidden entries, and its standard error over rows."""
    lost = numpy.isnan(test)
    squares, counts = (numpy.where(lost, filled - whole, 0) ** 2).sum(axis=1), lost.sum(axis=1)
    mean = squares.sum() / counts.sum()
    deviation = numpy.std(squares - mean * counts, ddof=1) * len(counts) ** 0.5 / counts.sum()
    return {"error": round(float(mean**0.5), 4), "standard_error": round(float(deviation / (2 * mean**0.5)), 4)}
