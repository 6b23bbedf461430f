"""Missing entries: what is not known never counts, and is filled in by what is."""

import math

import numpy
import pytest
from scipy import special, stats

import scratchvae as sv
from scratchvae.checks.missing_entries import exact, of_known
from scratchvae.columns import Column
from scratchvae.distributions import Normal
from scratchvae.errors import DataError, InputError
from scratchvae.models import PRIORS, DecoderOfKnownEntries, OfKnownEntries
from scratchvae.noise import GivenNoise
from scratchvae.objectives import Objective
from scratchvae.quadrature import elbo as quadrature_elbo

MAKERS = {
    "gaussian": lambda: sv.VAE.mlp(6, 2, (5,), likelihood="gaussian", std="learned", missing=True),
    "laplace": lambda: sv.VAE.mlp(6, 2, (5,), likelihood="laplace", std="decoder", missing=True),
    "bernoulli": lambda: sv.VAE.mlp(6, 2, (5,), missing=True),
    "threshold": lambda: sv.VAE.mlp(6, 2, (5,), binarize="threshold", missing=True),
    "dynamic": lambda: sv.VAE.mlp(6, 2, (5,), binarize="dynamic", missing=True),
    "poisson": lambda: sv.VAE.mlp(6, 2, (5,), likelihood="poisson", missing=True),
    "convolutional": lambda: sv.VAE.convolutional((3, 2, 1), 2, (4,), missing=True),
    "vamp": lambda: sv.VAE.mlp(6, 2, (5,), missing=True, prior="vamp", n_components=3),
    "convolutional, vamp": lambda: sv.VAE.convolutional((3, 2, 1), 2, (4,), missing=True, prior="vamp", n_components=3),
}


@pytest.fixture
def x(rng):
    """Zeros and ones, which every likelihood takes, some of them missing."""
    x = (rng.random((9, 6)) < 0.5).astype(numpy.float32)
    x[rng.random(x.shape) < 0.4] = numpy.nan
    return x


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
@pytest.mark.parametrize("name", MAKERS)
def test_every_likelihood_trains_scores_and_fills_in(name, x):
    model = MAKERS[name]()
    history = sv.fit(model, x, epochs=2, batch_size=4, progress=False)
    assert numpy.isfinite(history["elbo"]).all() and "of the entries that are known" in model.quantity(x)
    assert all(numpy.isfinite(part).all() for part in sv.log_likelihood(model, x, 5))
    filled, known = model.impute(x, 20), ~numpy.isnan(x)
    assert filled.shape == x.shape and numpy.isfinite(filled).all() and (filled[known] == x[known]).all()
    drawn = model.impute_draws(x, 3, 20)
    assert drawn.shape == (3, *x.shape) and (drawn[:, known] == x[known]).all()
    assert len(numpy.unique(drawn[:, ~known])) > 1


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
@pytest.mark.parametrize("prior", PRIORS)
def test_log_px_and_elbo_of_known_entries_are_sums_over_a_grid_whatever_the_prior(prior, x):
    """K = 1: log p(x_o) = log of the sum over z of p(z) times the product over known entries of p(x_d | z)."""
    model = sv.VAE.mlp(6, 1, (5,), missing=True, prior=prior, n_components=3).to(dtype=numpy.float64)
    sv.fit(model, x, epochs=2, batch_size=4, progress=False)
    z, known = numpy.linspace(-40, 40, 8001)[:, None], ~numpy.isnan(x)
    logits = model.decode(z).of.logits
    with sv.no_grad():
        log_prior = model.prior.log_prob(z)
    terms = numpy.where(known, x, 0)[:, None] * logits - numpy.logaddexp(0, logits)
    joint = (terms * known[:, None]).sum(axis=-1) + log_prior  # (N, z)
    spacing, q = z[1, 0] - z[0, 0], model.encode(x)
    log_q = stats.norm.logpdf(z[:, 0], q.mean, numpy.exp(q.log_std))
    log_px = sv.log_likelihood(model, x, 20_000)[0]
    numpy.testing.assert_allclose(log_px, special.logsumexp(joint, axis=1) + math.log(spacing), atol=0.05)
    elbo = (numpy.exp(log_q) * (joint - log_q)).sum(axis=1) * spacing
    scores = [quadrature_elbo(model, row[None]) for row in x]
    numpy.testing.assert_allclose(scores, elbo, atol=0.05)


def leaking_encoder(model):
    """The encoder sees a missing entry as the value that stood there: the mistake of a mask that comes too late."""
    network, truth = model.encoder.network.network, model.truth

    def call(x):
        return Normal(*numpy.split(network(numpy.concatenate([truth, ~numpy.isnan(x)], axis=1)), 2, axis=1))

    return call


def test_no_score_depends_on_what_is_missing(x):
    """A data set has NaN there and nothing else; the planted mistakes show that the comparison can fail."""
    model, known = MAKERS["gaussian"](), ~numpy.isnan(x)
    truths = [numpy.where(known, x, value).astype(numpy.float32) for value in (0.0, 7.0)]

    def score(model, truth):
        return model.elbo(numpy.where(known, truth, numpy.nan), sv.Noise(0)).data

    numpy.testing.assert_array_equal(score(model, truths[0]), score(model, truths[1]))

    scores = []
    for truth in truths:
        model.truth = truth
        model.call_encoder = lambda x, noise: leaking_encoder(model)(x)
        with sv.no_grad():
            scores.append(model.elbo(numpy.where(known, truth, numpy.nan), sv.Noise(0)))
    assert (scores[0] != scores[1])[~known.all(axis=1)].all()

    plain = sv.VAE.mlp(6, 2, (5,), likelihood="gaussian", std="learned")  # zeros as if they were known
    filled = [plain.elbo(truth, sv.Noise(0)).data for truth in truths]
    assert (filled[0] != filled[1])[~known.all(axis=1)].all()


def test_the_bound_of_known_entries_is_that_of_a_model_without_the_others(x):
    """Where a column is missing in all rows the model is one of the other columns, with the same weights."""
    whole = sv.VAE.mlp(6, 2, (5,), likelihood="gaussian", std=0.5, missing=True)
    part = sv.VAE.mlp(5, 2, (5,), likelihood="gaussian", std=0.5, missing=True)
    state, kept = whole.state(), numpy.arange(6) != 2
    for name, array in part.state().items():
        axes = [kept if n != m else slice(None) for n, m in zip(state[name].shape, array.shape, strict=True)]
        axes = [numpy.concatenate([kept, kept]) if n == 12 else a for n, a in zip(state[name].shape, axes, strict=True)]
        array[...] = state[name][tuple(axes)]
    x = numpy.nan_to_num(x, nan=0.5)
    lost = x.copy()
    lost[:, 2] = numpy.nan
    for equation in ("elbo", "importance_weighted_bound"):
        bounds = [getattr(m, equation)(rows, sv.Noise(1), 3).data for m, rows in ((whole, lost), (part, x[:, kept]))]
        numpy.testing.assert_allclose(*bounds, rtol=1e-5)


def test_without_the_option_missing_entries_are_an_error_that_names_it(x):
    model = sv.VAE.mlp(6, 2, (5,))
    with pytest.raises(DataError, match=r"received NaN or infinity \(sv.VAE.mlp\(missing=True\) takes NaN for missing"):
        sv.fit(model, x, progress=False)
    with pytest.raises(InputError, match="impute: expected a model that was made with missing=True, received one"):
        model.impute(numpy.nan_to_num(x))
    for wrong, message in ((numpy.inf, "finite numbers, received infinity"), (2.0, r"values in \[0, 1\]")):
        bad = x.copy()
        bad[3, 3] = wrong
        with pytest.raises(DataError, match=message):
            MAKERS["bernoulli"]().impute(bad)
    with pytest.raises(InputError, match="VAE: expected missing as True or False, received 1"):
        sv.VAE.mlp(6, 2, (5,), missing=1)
    with pytest.raises(InputError, match="impute: expected n_samples from 1 to 100000, received 1000000"):
        MAKERS["bernoulli"]().impute(x, 10**6)


def test_training_ascends_the_bound_that_scores(x):
    """With the noise of the first step, the terms of an epoch of one batch are those of `model.elbo`."""
    model = MAKERS["gaussian"]()
    noise = sv.Noise(0, 0, training=True)
    value, _ = Objective("elbo", model.elbo).value(model.observations(x), noise, 1, 1.0)
    assert float(value.data) == pytest.approx(float(model.elbo(x, noise).data.mean()), rel=1e-6)


def test_the_conditional_means_and_spread_of_a_linear_model():
    """Of the rows one is whole, and one has lost all but a single entry."""
    ppca, model, x = of_known(1, "cpu")
    x[1, 1:] = numpy.nan
    _, filled, std = exact(ppca, x)
    found, drawn = model.impute(x, 20_000), model.impute_draws(x, 400, 2000)
    lost = std > 0
    assert abs((found - filled)[lost] / std[lost]).max() < 0.03 and (found[0] == x[0]).all()
    assert ((drawn - filled)[:, 1, 1:] / std[1, 1:]).std() == pytest.approx(1, abs=0.08)


def test_a_series_with_gaps_is_filled_in_better_than_by_its_mean():
    """Sines of one frequency, (N, T), with gaps of a fifth of their length."""
    rng = numpy.random.default_rng(0)
    t = numpy.linspace(0, 1, 30)
    whole = numpy.sin(2 * numpy.pi * (1.5 * t + rng.random((300, 1)))).astype(numpy.float32)
    whole += 0.05 * rng.standard_normal(whole.shape, dtype=numpy.float32)
    x, starts = whole.copy(), rng.integers(0, 24, 300)
    for row, start in zip(x, starts, strict=True):
        row[start : start + 6] = numpy.nan
    model = sv.VAE.mlp(30, 2, (32,), "tanh", likelihood="gaussian", std="learned", missing=True)
    sv.fit(model, x, epochs=60, batch_size=50, learning_rate=5e-3, progress=False)
    lost = numpy.isnan(x)
    error = numpy.sqrt(((model.impute(x, 100) - whole)[lost] ** 2).mean())
    assert error < 0.25 * whole[lost].std()


def test_a_users_own_networks_take_missing_entries(x):
    encoder = sv.models.GaussianEncoder(OfKnownEntries(sv.nn.MLP([12, 4], sv.Noise(0))))
    decoder = DecoderOfKnownEntries(sv.models.GaussianDecoder(sv.nn.MLP([2, 6], sv.Noise(1))))
    model = sv.VAE(encoder, decoder, 2, missing=True)
    sv.fit(model, x, epochs=1, progress=False)
    assert model.impute(x, 5).shape == x.shape and "where they are" in repr(model) and "of known" in repr(model)


def test_a_file_keeps_whether_entries_may_be_missing(tmp_path, x):
    model = MAKERS["poisson"]()
    sv.save(model, tmp_path / "m.npz")
    again = sv.load(tmp_path / "m.npz")
    assert again.missing and (again.impute(x, 9, seed=4) == model.impute(x, 9, seed=4)).all()
    assert (model.impute(x, 9, seed=4) != model.impute(x, 9, seed=5)).any()


# ---- tables

COLUMNS = (
    Column("height", mean=170.0, std=10.0),
    Column("sex", "category", ("f", "m")),
    Column("visits", "count"),
    Column("city", "category", ("Bonn", "Cologne", "Ulm")),
)


@pytest.fixture
def records(rng):
    n = 40
    x = numpy.stack(
        [170 + 10 * rng.standard_normal(n), rng.integers(0, 2, n), rng.poisson(3, n), rng.integers(0, 3, n)]
    )
    return x.T


def test_a_table_has_the_bound_of_its_columns_and_comes_back_in_its_units(records):
    model = sv.TableVAE.mlp(COLUMNS, 2, (8,), seed=1)
    history = sv.fit(model, records, epochs=3, batch_size=16, progress=False)
    assert len(history["elbo"]) == 3 and model.columns == COLUMNS
    drawn = model.sample(50, seed=1)
    table = model.table(drawn)
    assert list(table) == ["height", "sex", "visits", "city"] and set(table["city"]) <= {"Bonn", "Cologne", "Ulm"}
    assert abs(table["height"].mean() - 170) < 15 and table["height"].std() > 3
    again = model.observations(table)
    numpy.testing.assert_allclose(again, drawn, rtol=0, atol=1e-6)
    assert model.reconstruct(records).shape == (40, 4) and model.encode(table).mean.shape == (50, 2)


def test_the_networks_of_a_table_see_standardised_numbers(records):
    """The same table in other units trains to the same parameters, and its bound differs by the log of the units."""
    other = [COLUMNS[0]._replace(mean=1.7, std=0.1), *COLUMNS[1:]]
    models = [sv.TableVAE.mlp(columns, 2, (8,)) for columns in (COLUMNS, other)]
    scaled = records * [0.01, 1, 1, 1]
    for model, x in zip(models, (records, scaled), strict=True):
        sv.fit(model, x, epochs=2, progress=False)
    scores = [sv.elbo(model, x) for model, x in zip(models, (records, scaled), strict=True)]
    numpy.testing.assert_allclose(scores[1] - scores[0], numpy.log(100), rtol=1e-4)


def test_a_table_fills_in_numbers_counts_and_levels(records, tmp_path):
    x = records.copy()
    x[numpy.random.default_rng(1).random(x.shape) < 0.3] = numpy.nan
    model = sv.TableVAE.mlp(COLUMNS, 2, (8,), missing=True)
    sv.fit(model, x, epochs=2, progress=False)
    filled, known = model.impute(x, 50), ~numpy.isnan(x)
    assert (filled[known] == x[known]).all() and numpy.isfinite(filled).all()
    assert set(filled[:, 3]) <= {0, 1, 2} and set(filled[:, 1]) <= {0, 1}
    drawn = model.impute_draws(x, 2, 50)
    assert drawn.shape == (2, *x.shape) and (drawn[..., 2] == drawn[..., 2].round()).all()
    sv.save(model, tmp_path / "m.npz")
    assert (sv.load(tmp_path / "m.npz").impute(x, 50) == filled).all()
    table = model.table(x)
    assert table["city"][numpy.isnan(x[:, 3])].tolist() == [None] * numpy.isnan(x[:, 3]).sum()
    numpy.testing.assert_array_equal(model.observations(table), x)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"height": [170.0]}, "one column 'sex', received columns height"),
        ({"height": [numpy.nan], "sex": ["f"], "visits": [1], "city": ["Ulm"]}, "in column 'height' .missing=True"),
        ({"height": [1.0], "sex": ["x"], "visits": [1], "city": ["Ulm"]}, "one of its 2 levels: f, m, received 'x' in"),
        ({"height": [1.0], "sex": ["f"], "visits": [1.5], "city": ["Ulm"]}, "a whole number of at least 0, received"),
        (numpy.array([[1.0, 2.0, 3.0, 0.0]]), "from 0 to 1, the numbers of its levels, received 2"),
        (numpy.array([[1.0, 1.0, 0.5, 0.0]]), "column 'visits': expected whole numbers from 0 on, received 0.5"),
        (numpy.zeros((2, 3)), r"rows of 4 numbers, height, sex, visits, city, received an array of shape \(2, 3\)"),
        ([["a", "b", "c", "d"]], "rows of 4 numbers"),
        (numpy.array([[numpy.inf, 1.0, 1.0, 0.0]]), "1 that are missing or infinite, most in column 'height'"),
    ],
)
def test_rows_that_are_none_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        sv.TableVAE.mlp(COLUMNS, 2, (4,)).encode(change)


@pytest.mark.parametrize(
    "columns, message",
    [
        ([], "at least one column"),
        ([Column("a"), Column("a")], "each with a name of its own, received a, a"),
        ([Column("a", "word")], "a kind among number, count, category"),
        ([Column("a", "category")], "levels for a category alone"),
        ([Column("a", std=0.0)], "a finite std above 0"),
        ([3], "columns such as"),
        ([Column("a", "category", [f"level {k}" for k in range(3000)])], "at most 24,000 characters together"),
    ],
)
def test_columns_that_are_none_are_refused(columns, message):
    with pytest.raises(InputError, match=message):
        sv.TableVAE.mlp(columns)


@pytest.mark.parametrize("kind", ["table", "vector", "image"])
def test_missing_entries_on_the_gpu_are_those_of_the_cpu(kind, gpu, records, x):
    """The same noise, handed out: the bounds agree, and what is filled in is finite and keeps what is known."""
    rows = records if kind == "table" else x.astype(numpy.float64)
    rows = numpy.where(numpy.random.default_rng(1).random(rows.shape) < 0.3, numpy.nan, rows)
    makers = {"vector": MAKERS["poisson"], "image": MAKERS["convolutional"]}
    model = sv.TableVAE.mlp(COLUMNS, 2, (8,), missing=True) if kind == "table" else makers[kind]()
    noise = numpy.random.default_rng(2).standard_normal((1, len(rows), 2)).astype(numpy.float32)
    on_cpu = model.elbo(model.observations(rows), GivenNoise(noise)).data
    sv.fit(model, rows, epochs=1, device="gpu", learning_rate=1e-9, progress=False)
    moved = gpu.asarray(rows)
    found = model.elbo(model.observations(moved), GivenNoise(gpu.asarray(noise))).data
    numpy.testing.assert_allclose(sv.to_numpy(found), on_cpu, rtol=1e-4, atol=1e-4)
    filled, known = sv.to_numpy(model.impute(moved, 9)), ~numpy.isnan(rows)
    assert numpy.isfinite(filled).all() and (filled[known] == rows[known]).all()
    assert sv.to_numpy(model.impute_draws(moved, 2, 9)).shape == (2, *rows.shape)
    assert numpy.isfinite(sv.to_numpy(model.sample(3))).all()
    if kind == "table":
        table = model.table(rows)
        numpy.testing.assert_array_equal(sv.to_numpy(model.impute(table, 9)), filled)
