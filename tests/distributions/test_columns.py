"""One likelihood for each column, and densities of known entries."""

import math

import numpy
import pytest

import scratchvae as sv
from scratchvae.checks.missing_entries import COLUMNS, row
from scratchvae.columns import Column
from scratchvae.distributions import Bernoulli, Categorical, Columns, KnownEntries, Laplace, Normal, Poisson
from scratchvae.distributions.columns import outputs_of
from scratchvae.errors import ShapeError

stats = pytest.importorskip("scipy.stats")

X = numpy.array([[1, 160.0, 2, 3], [0, 181.5, 0, 0], [1, 170.0, 1, 7]])


def by_scipy(x):
    """log p of every entry.   (N, 4)"""
    outputs = [0.4, 0.9, -0.7, 0.2, -1.0, 1.3]
    softmax = numpy.exp(outputs[3:]) / numpy.exp(outputs[3:]).sum()
    return numpy.stack(
        [
            stats.bernoulli.logpmf(x[:, 0], 1 / (1 + math.exp(0.7))),
            stats.norm.logpdf(x[:, 1], 170 + 9 * 0.4, 9 * math.exp(-0.3)),
            numpy.log(softmax)[x[:, 2].astype(int)],
            stats.poisson.logpmf(x[:, 3], math.exp(0.9)),
        ],
        axis=1,
    )


def test_the_density_is_scipys_column_by_column():
    p = row()
    numpy.testing.assert_allclose(p.log_prob(X), by_scipy(X).sum(axis=1), rtol=1e-12)
    for d in range(4):
        alone = numpy.full_like(X, numpy.nan)
        alone[:, d] = X[:, d]
        numpy.testing.assert_allclose(p.log_prob(alone), by_scipy(X)[:, d], rtol=1e-12)
    numpy.testing.assert_array_equal(p.log_prob(numpy.full((2, 4), numpy.nan)), [0, 0])


def test_the_density_is_of_the_tables_units():
    """A number a thousand times as large is a thousand times less dense."""
    thousandfold = [c._replace(mean=1000 * c.mean, std=1000 * c.std) if c.kind == "number" else c for c in COLUMNS]
    p = Columns(thousandfold, row().outputs, row().log_std)
    difference = p.log_prob(X * [1, 1000, 1, 1]) - row().log_prob(X)
    numpy.testing.assert_allclose(difference, -math.log(1000), rtol=1e-12)


def test_large_offsets_keep_their_digits_in_float32():
    """Numbers of 1.6e9, such as seconds since 1970, which float32 holds to 128: u is computed in float64."""
    column = Column("time", mean=1.6e9, std=2.0)
    p = Columns([column], numpy.zeros((3, 1), numpy.float32), numpy.zeros(1, numpy.float32))
    x = 1.6e9 + numpy.array([[0.0], [0.5], [-1.25]])
    assert p.log_prob(x).dtype == numpy.float32
    numpy.testing.assert_allclose(p.log_prob(x), stats.norm.logpdf(x[:, 0], 1.6e9, 2), rtol=1e-6)
    numpy.testing.assert_array_equal(p.mean, numpy.full((3, 1), 1.6e9))


def test_the_gradient_of_the_density_is_right(rng):
    x = X.copy()
    x[0, 1], x[1, 2], x[2, 0] = numpy.nan, numpy.nan, numpy.nan
    outputs, log_std = rng.standard_normal((3, outputs_of(COLUMNS))), rng.standard_normal(1)
    sv.check_gradients(lambda f, s: Columns(COLUMNS, f, s).log_prob(x), outputs, log_std)


def test_a_missing_entry_has_no_gradient(rng):
    outputs = sv.Tensor(rng.standard_normal((1, 6)))
    x = numpy.array([[1, numpy.nan, 2, 3]])
    (slope,) = sv.grad(sv.ops.sum(Columns(COLUMNS, outputs, numpy.zeros(1)).log_prob(x)), [outputs])
    assert slope[0, 0] == 0 and (slope[0, 1:] != 0).all()


def test_means_are_numbers_and_the_most_probable_levels():
    numpy.testing.assert_allclose(row().mean, [0, 170 + 9 * 0.4, 2, math.exp(0.9)])
    p = Columns(COLUMNS, numpy.stack([row().outputs, [2.4, 0.9, 3.7, 3.2, 0, 0]])[:, None], row().log_std)
    found = p.average(numpy.array([[0.25], [0.75]]))
    numpy.testing.assert_allclose(found, [[1, 170 + 9 * (0.1 + 1.8), 0, math.exp(0.9)]])


def test_a_column_of_one_level_costs_nothing_and_another_row_is_refused():
    p = Columns([Column("one", "category", ("a",))], numpy.array([[0.7]]), numpy.zeros(0))
    assert p.log_prob(numpy.zeros((1, 1))) == 0 and p.mean == 0
    with pytest.raises(ShapeError, match=r"Columns.log_prob: expected x of shape \(..., 4\), received \(3, 3\)"):
        row().log_prob(X[:, :3])


@pytest.mark.parametrize(
    "distribution",
    [
        Normal(numpy.array([[0.3, -0.8, 1.0]]), numpy.array([-0.4, 0.2, 0.0])),
        Laplace(numpy.array([[0.3, -0.8, 1.0]]), numpy.array([-0.4, 0.2, 0.0])),
        Bernoulli(numpy.array([[0.7, -1.2, 2.0]])),
        Poisson(numpy.array([[0.7, -1.2, 1.0]])),
    ],
    ids=lambda distribution: type(distribution).__name__,
)
def test_known_entries_leave_the_factors_of_the_others_out(distribution):
    x = numpy.array([[1.0, 0.0, 1.0]])
    every = KnownEntries(distribution)
    numpy.testing.assert_allclose(every.log_prob(x), distribution.log_prob(x), rtol=1e-14)
    alone = [every.log_prob(numpy.where(numpy.arange(3) == d, x, numpy.nan))[0] for d in range(3)]
    assert sum(alone) == pytest.approx(float(distribution.log_prob(x)[0]), rel=1e-14) and len(set(alone)) == 3
    assert every.shape == (1, 3) and every.mean is not None
    u = numpy.full((1, 3), 0.3)
    numpy.testing.assert_array_equal(every.sample(u), distribution.sample(u))


def test_known_entries_of_images_and_of_levels(rng):
    p, x = Bernoulli(rng.standard_normal((2, 4, 3, 1)), event_ndim=3), (rng.random((2, 4, 3, 1)) < 0.5) * 1.0
    x[0, 0] = numpy.nan
    expected = numpy.where(numpy.isnan(x), 0, x * p.logits - numpy.logaddexp(0, p.logits)).sum(axis=(1, 2, 3))
    numpy.testing.assert_allclose(KnownEntries(p).log_prob(x), expected)
    levels = Categorical(rng.standard_normal((3, 4)))
    found = KnownEntries(levels).log_prob(numpy.array([2.0, numpy.nan, 0.0]))
    expected = levels.log_prob(numpy.array([2, 0, 0])) * [1, 0, 1]
    numpy.testing.assert_allclose(found, expected)
    with pytest.raises(ShapeError, match=r"KnownEntries.log_prob: expected x of shape \(..., 4, 3, 1\)"):
        KnownEntries(p).log_prob(x[:, :3])
