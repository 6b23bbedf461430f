"""The rows of missing entries and of columns see the mistakes that they are there for."""

import numpy
import pytest

from scratchvae.checks.missing_entries import COLUMNS, SECTION
from scratchvae.distributions import Categorical, Columns, Distribution, KnownEntries, Normal


def zeros_count(monkeypatch):
    """What is missing is scored as a 0."""

    def log_prob(self, x):
        values = numpy.nan_to_num(x)
        return self.of.log_prob(values if "f" in self.of.data_kinds else values.astype(int))

    monkeypatch.setattr(KnownEntries, "log_prob", log_prob)


def means_without_weights(monkeypatch):
    """E[x_m | x_o] as the mean over draws of q(z | x_o)."""
    monkeypatch.setattr(Distribution, "average", lambda self, weights: self.mean.mean(axis=0))


def squared_weights(monkeypatch):
    """Draws by w^2."""
    original = Categorical.sample
    monkeypatch.setattr(Categorical, "sample", lambda self, u: original(Categorical(2 * self.logits), u))


def means_as_draws(monkeypatch):
    """E[x_m | z] in place of a draw of x_m."""
    monkeypatch.setattr(KnownEntries, "sample", lambda self, noise: self.of.mean)


def densities_without_units(monkeypatch):
    """Numbers have the density of the standardised ones."""
    original, (std,) = Columns.log_prob, [column.std for column in COLUMNS if column.kind == "number"]

    def log_prob(self, x):
        return original(self, x) + numpy.where(numpy.isnan(x[:, 1]), 0, numpy.log(std))

    monkeypatch.setattr(Columns, "log_prob", log_prob)


def twice_the_deviation(monkeypatch):
    """Numbers are drawn with twice their standard deviation."""
    monkeypatch.setattr(Normal, "sample", lambda self, noise: self.mean + 2 * self.std * noise)


def levels_off_by_one(monkeypatch):
    """A category is drawn as the level before."""
    original = Columns.sample

    def sample(self, noise):
        x = original(self, noise)
        x[..., 2] = (x[..., 2] - 1) % 3
        return x

    monkeypatch.setattr(Columns, "sample", sample)


FAULTS = {
    zeros_count: {
        "PPCA, known entries: zero variance",
        "PPCA, known entries: importance, misses of 20",
        "PPCA, known entries: the others' means",
        "PPCA, known entries: the others' spread",
        "Columns: a missing entry is integrated out",
    },
    means_without_weights: {"PPCA, known entries: the others' means"},
    squared_weights: {"PPCA, known entries: the others' spread", "Columns: moments of draws"},
    means_as_draws: {"PPCA, known entries: the others' spread"},
    densities_without_units: {
        "Columns: probabilities sum to 1",
        "Columns: a missing entry is integrated out",
        "Columns: moments of draws",
    },
    twice_the_deviation: {"PPCA, known entries: the others' spread", "Columns: moments of draws"},
    levels_off_by_one: {"Columns: moments of draws"},
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_mistake_fails_its_rows(monkeypatch, fault):
    fault(monkeypatch)
    names = {name for names in FAULTS.values() for name in names}
    with numpy.errstate(all="ignore"):
        failed = {row.name for row in SECTION.rows if row.name in names and not row.figure() <= row.tolerance}
    assert failed == FAULTS[fault]
