"""The picture of a table's columns: which entry is where, and what is counted."""

from __future__ import annotations

import numpy
import pytest
from figure_letters import smallest_letters

import scratchvae as sv
from scratchvae import plotting
from scratchvae.columns import Column
from scratchvae.errors import InputError

COLUMNS = [
    Column("length", mean=1.0, std=2.0),
    Column("legs", "count"),
    Column("kind", "category", ("ant", "bee", "c$")),
]


@pytest.fixture
def model():
    return sv.TableVAE.mlp(COLUMNS, 2, (5,), missing=True, seed=1)


@pytest.fixture
def rows(rng):
    rows = numpy.stack([rng.normal(1, 2, 40), rng.poisson(4, 40), rng.integers(0, 3, 40)], axis=1).astype(float)
    rows[::4, 0] = rows[1::4, 2] = numpy.nan
    return rows


def test_known_entries_are_shown_beside_the_models_means(model, rows, tmp_path):
    figure = plotting.table_reconstructions(model, rows)
    length, legs, kind = figure.axes
    means = model.reconstruct(rows)
    for axes, k, name in ((length, 0, "length"), (legs, 1, "legs")):
        known = ~numpy.isnan(rows[:, k])
        x, mean = rows[known, k], means[known, k]
        numpy.testing.assert_allclose(axes.lines[0].get_xydata(), numpy.stack([x, mean], axis=1))
        numpy.testing.assert_array_equal(*axes.lines[1].get_data())
        assert axes.get_xlim() == axes.get_ylim()
        assert axes.get_title() == f"{name}: $R^2 = {1 - ((x - mean) ** 2).sum() / ((x - x.mean()) ** 2).sum():.2f}$"
        assert (axes.get_xlabel(), axes.get_ylabel()) == (f"{name}, in the table", "reconstructed")
    assert len(length.lines[0].get_xdata()) == 30, "missing entries are not shown"
    known = ~numpy.isnan(rows[:, 2])
    right = means[known, 2] == rows[known, 2]
    shares = [100 * right[rows[known, 2] == level].mean() for level in range(3)]
    numpy.testing.assert_allclose([bar.get_width() for bar in kind.patches], shares)
    assert 0 < sum(shares) and [text.get_text() for text in kind.get_yticklabels()] == ["ant", "bee", "c\\$"]
    assert kind.get_title() == f"kind: {100 * right.mean():.0f} % found"
    plotting.save_figure(figure, tmp_path / "a.png")
    assert smallest_letters(figure)[0] > 13


def test_a_column_of_one_value_or_of_none_is_a_panel(model, rows, tmp_path):
    rows[:, 0], rows[:, 2] = 3.0, numpy.nan
    length, _, kind = plotting.table_reconstructions(model, rows).axes
    assert length.get_title() == "length" and kind.get_title() == "kind" and not kind.patches


def test_other_models_and_no_rows_are_refused(model, rows):
    with pytest.raises(InputError, match="table_reconstructions: expected a TableVAE, received VAE"):
        plotting.table_reconstructions(sv.VAE.mlp(3, 2, (4,)), rows)
    with pytest.raises(InputError, match="expected rows of 3 numbers, length, legs, kind, received"):
        plotting.table_reconstructions(model, rows[:0])
