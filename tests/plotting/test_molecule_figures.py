"""Pictures of a MoleculeVAE: which molecules, captions and points are where; what is refused."""

import numpy
import pytest

import scratchvae as sv
from scratchvae.chemistry import why_invalid
from scratchvae.errors import InputError
from scratchvae.plotting.molecule_vae import MOST_POINTS, varied_properties
from scratchvae.plotting.molecules import CAPTION_SIZE


@pytest.fixture(scope="module")
def drawn():
    return sv.data.draw_molecule_set(60, seed=2)


@pytest.fixture(scope="module")
def model(drawn):
    symbols = sv.Alphabet.of(drawn.molecules).symbols
    return sv.MoleculeVAE.gru(symbols, 80, 3, 8, properties=["logP", "rings"], property_means=[2, 1])


@pytest.fixture(scope="module")
def plain(drawn):
    return sv.MoleculeVAE.gru(sv.Alphabet.of(drawn.molecules).symbols, 80, 3, 8)


class Writing:
    """A model that writes what it is told to, and keeps what it is asked."""

    property_decoder = None

    def __init__(self, *strings):
        self.strings, self.asked = list(strings), []

    def interpolate(self, *asked):
        self.asked.append(asked)
        return self.strings

    def near(self, *asked):
        self.asked.append(asked)
        return self.strings

    def reconstruct(self, x):
        return self.strings


def captions(figure):
    """Caption -> (column, row) of its cell, of texts of the size that captions have."""
    texts = [text for text in figure.axes[0].texts if text.get_fontsize() == CAPTION_SIZE]
    rows = sorted({text.get_position()[1] for text in texts}, reverse=True)
    return [(text.get_text(), int(text.get_position()[0]), rows.index(text.get_position()[1])) for text in texts]


def test_samples_have_the_first_property_that_z_predicts(model, plain):
    figure = sv.plotting.molecule_samples(model, n=6, seed=3)
    expected = [f"logP {value:.2f}" for value in model.predict_at(model.prior_draws(6, 3))["logP"]]
    assert [text for text, _, _ in captions(figure)] == expected
    assert not captions(sv.plotting.molecule_samples(plain, n=2))


def test_reconstructions_stand_below_their_molecules():
    figure = sv.plotting.molecule_reconstructions(Writing("CCO", "CN", "CC"), ["CCO", "CC", "CC", "CCC"], n=3)
    assert figure.axes[0].get_xlim() == (0, 3)
    expected = [
        ("$x$", 0, 0),
        ("$x$", 1, 0),
        ("$x$", 2, 0),
        ("exact", 0, 1),
        ("", 1, 1),
        ("exact", 2, 1),
    ]
    assert captions(figure) == expected


def test_a_row_of_an_interpolation_has_its_molecules_at_its_ends():
    model = Writing("CN", "CF", "CO")
    figure = sv.plotting.molecule_interpolation(model, [("CCO", "CC"), ("C", "N")], n=3)
    assert model.asked == [("CCO", "CC", 3), ("C", "N", 3)] and figure.axes[0].get_xlim() == (0, 5)
    assert [each[1:] for each in captions(figure) if each[0] == "$x$"] == [(0, 0), (4, 0), (0, 1), (4, 1)]
    with pytest.raises(InputError, match="at least one pair of molecules, received none"):
        sv.plotting.molecule_interpolation(model, [])


def test_neighbours_are_counted_and_strings_that_are_no_molecules_left_out():
    model = Writing("CC", "C(", "CO", "CC", "C(", "C(", "CC", "CO", "CF")
    figure = sv.plotting.molecule_neighbours(model, "CCO", n=2, draws=9, spread=0.3, seed=7)
    assert model.asked == [("CCO", 9, 0.3, 7)] and why_invalid("C(")
    assert [text for text, _, _ in captions(figure)] == ["$x$", "3 of 9", "2 of 9"]


def test_the_latent_space_is_coloured_by_each_property(model, drawn):
    """The horizontal axis is the direction of least squares: no other correlates as much with the property."""
    t = {"logP": drawn.properties["logP"].copy(), "constant": numpy.ones(60), "unknown": numpy.full(60, numpy.nan)}
    t["logP"][:7] = numpy.nan
    figure = sv.plotting.latent_by_property(model, drawn.molecules, t)
    (axes,) = [axes for axes in figure.axes if axes.get_ylabel()]
    (points,) = axes.collections
    assert axes.get_xlabel() == "code along the direction of logP"
    numpy.testing.assert_array_equal(points.get_array(), t["logP"][7:])
    z, (u, v) = model.encode(drawn.molecules[7:]).mean.astype(float), points.get_offsets().T
    correlation = numpy.corrcoef(u, t["logP"][7:])[0, 1]
    rng = numpy.random.default_rng(0)
    assert all(abs(numpy.corrcoef(z @ w, t["logP"][7:])[0, 1]) <= correlation for w in rng.normal(size=(200, 3)))
    assert axes.get_title() == f"logP: correlation {correlation:.2f}"
    centred = z - z.mean(axis=0)
    w = numpy.linalg.lstsq(centred, numpy.asarray(u), rcond=None)[0]
    second = numpy.linalg.lstsq(centred, numpy.asarray(v), rcond=None)[0]
    assert abs(w @ second) < 1e-4 * numpy.linalg.norm(w) * numpy.linalg.norm(second)


def test_predictions_stand_against_known_values(model, drawn):
    t = {"logP": drawn.properties["logP"].copy(), "rings": numpy.full(60, numpy.nan)}
    t["logP"][::3] = numpy.nan
    figure = sv.plotting.property_scatter(model, drawn.molecules, t)
    (axes,) = figure.axes
    known = numpy.isfinite(t["logP"])
    predicted = model.predict(drawn.molecules)["logP"]
    points = numpy.stack([t["logP"][known], predicted[known]], axis=1)
    numpy.testing.assert_allclose(axes.collections[0].get_offsets(), points)
    assert axes.get_title() == f"mean absolute error {abs(points[:, 0] - points[:, 1]).mean():.3g}"


def test_a_few_known_values_among_many_rows_are_all_drawn(model, drawn):
    n = MOST_POINTS + 500
    t = numpy.full(n, numpy.nan)
    t[[11, 501]] = 1.0, 2.0
    x = numpy.resize(drawn.molecules, n)
    offsets = sv.plotting.property_scatter(model, x, {"logP": t}).axes[0].collections[0].get_offsets()
    assert offsets[:, 0].tolist() == [1.0, 2.0]


def test_properties_that_cannot_be_drawn(model, plain, drawn):
    for t in ({}, {"p": numpy.ones(60)}, {"p": numpy.full(60, numpy.nan)}):
        with pytest.raises(InputError, match="latent_by_property: expected a property with different values"):
            sv.plotting.latent_by_property(model, drawn.molecules, t)
    for t in ({}, {"weight": drawn.properties["weight"]}, {"logP": numpy.full(60, numpy.nan)}):
        with pytest.raises(InputError, match="expected a property among logP, rings"):
            sv.plotting.property_scatter(model, drawn.molecules, t)
    with pytest.raises(InputError, match="expected a property among \\(none\\)"):
        sv.plotting.property_scatter(plain, drawn.molecules, drawn.properties)
    values = {"two": [1, 2, numpy.nan], "one": [1, numpy.nan, 1], "alone": [1], "none": [numpy.nan]}
    assert varied_properties(values) == ["two"]
