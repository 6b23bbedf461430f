"""Scores against NumPy, importance sampling against exact marginals, and the units that carry information."""

import math

import numpy
import pytest
from builders import K, small
from scipy import special, stats

import scratchvae as sv
from scratchvae.binarization import binarize
from scratchvae.errors import InputError
from scratchvae.evaluation import active_units, bits_per_dimension, quantity
from scratchvae.noise import GivenNoise


@pytest.fixture
def inexact(ppca, rng):
    """PPCA with a posterior that is somewhat wrong and wider than the exact one, so that the weights stay bounded."""
    model, x, log_px, _ = ppca
    model.encoder.whole.inverse.data *= 0.95
    model.encoder.whole.posterior_log_std += 0.2
    return model, x, log_px


# ---- the ELBO of every row


@pytest.mark.parametrize("mode", ["none", "threshold", "static", "dynamic"])
def test_elbo_is_the_models_bound_of_every_row_binarised_as_for_every_score(rng, mode):
    model = sv.VAE.mlp(6, K, (4,), binarize=mode)
    x = rng.uniform(size=(2007, 6)).astype(numpy.float32)
    values = sv.elbo(model, x, n_samples=2, seed=3)
    assert values.shape == (2007,) and values.dtype == numpy.float64
    rows = binarize(x, mode, sv.Noise(3))
    with sv.no_grad():
        for batch, start in enumerate((0, 1000, 2000)):
            part = slice(start, start + 1000)
            numpy.testing.assert_allclose(values[part], model.elbo(rows[part], sv.Noise(3, batch), 2), rtol=1e-5)
    scores = sv.evaluate(model, x, n_samples=2, seed=3)
    assert values.mean() == scores["elbo"]  # to the bit
    assert stats.sem(values) == pytest.approx(scores["elbo_standard_error"], rel=1e-10)


def test_elbo_of_every_row_is_that_of_evaluate_for_every_kind_of_model(rng):
    first = sv.VAE.mlp(6, 3, (4,))
    x = rng.uniform(size=(1203, 6)).astype(numpy.float32)
    m2 = sv.SemiSupervisedVAE.mlp(6, n_classes=3, latent_size=K, hidden=(4,))
    for model in (first, m2, sv.StackedVAE.mlp(first, [0, 2], n_classes=3, latent_size=K, hidden=(4,))):
        assert sv.elbo(model, x, 2, seed=3).mean() == sv.evaluate(model, x, 2, seed=3)["elbo"]


def test_elbo_finds_the_row_that_is_unlike_the_others(ppca):
    model, x, *_ = ppca
    odd = x.copy()
    odd[3] += 10
    assert sv.elbo(model, odd).argmin() == 3


def test_by_the_same_draws_a_score_does_not_depend_on_the_rows_beside_it(inexact, monkeypatch):
    """The rows' noise is that of one row; the chunks of log_likelihood and of elbo change nothing."""
    model, x, log_px = inexact
    x, log_px = numpy.concatenate([x] * 3)[: len(x) * 2 + 1], numpy.concatenate([log_px] * 3)[: len(log_px) * 2 + 1]
    noise = GivenNoise(sv.Noise(4).normal("z", (5, 1, K)))
    elbo = sv.elbo(model, x, 5, seed=4, same_draws=True)
    with sv.no_grad():
        numpy.testing.assert_allclose(elbo, model.elbo(x, noise, 5), rtol=1e-12)
    assert sv.evaluate(model, x, 5, seed=4, batch_size=2, same_draws=True)["elbo"] == pytest.approx(elbo.mean())
    one_by_one = [sv.elbo(model, row[None], 5, seed=4, same_draws=True)[0] for row in x]
    numpy.testing.assert_allclose(one_by_one, elbo, rtol=1e-12)
    weights = sv.log_likelihood(model, x, 250, seed=4, same_draws=True)[0]
    monkeypatch.setattr("scratchvae.scoring.CHUNK_ENTRIES", 100 * model.entries(x))  # a row at a time
    numpy.testing.assert_allclose(sv.log_likelihood(model, x, 250, seed=4, same_draws=True)[0], weights, rtol=1e-12)
    assert abs(weights - log_px).max() < 0.2 and (sv.log_likelihood(model, x, 250, seed=4)[0] != weights).any()


def test_elbo_checks_what_it_is_given():
    model = sv.VAE.mlp(6, K, (4,))
    for x, sentence in ((numpy.full((3, 6), 2.0), r"values in \[0, 1\]"), (numpy.ones((3, 5)), "rows of 6 entries")):
        with pytest.raises(InputError, match=sentence):
            sv.elbo(model, x)
    with pytest.raises(InputError, match="^elbo: expected n_samples from 1 to 100000, received 0$"):
        sv.elbo(model, numpy.ones((3, 6)), n_samples=0)


# ---- evaluate


@pytest.mark.parametrize("batch_size", [3, 7, 100])
def test_evaluate_is_the_mean_over_rows(rng, batch_size, monkeypatch):
    """A recomputation in NumPy: the noise of a batch is that of its number. No more rows than that are in memory."""
    model, x = small("bernoulli"), rng.uniform(size=(7, 6))
    encode, sizes = type(model).encode, []
    monkeypatch.setattr(type(model), "encode", lambda model, rows: sizes.append(len(rows)) or encode(model, rows))
    held = [array.data for array in model.parameters()]

    def perceptron(x, w1, b1, w2, b2):
        return numpy.tanh(x @ w1 + b1) @ w2 + b2

    reconstruction, kl, means = [], [], []
    for batch, start in enumerate(range(0, 7, batch_size)):
        rows = x[start : start + batch_size]
        code = perceptron(rows, *held[:4])
        mean, std = code[:, :K], numpy.exp(code[:, K:])
        z = mean + std * sv.Noise(3, batch).normal("z", (2, len(rows), K))
        m = special.expit(perceptron(z, *held[4:]))
        reconstruction.append((rows * numpy.log(m) + (1 - rows) * numpy.log1p(-m)).sum(axis=2).mean(axis=0))
        kl.append(0.5 * (mean**2 + std**2 - 1 - numpy.log(std**2)).sum(axis=1))
        means.append(mean)
    reconstruction, kl = numpy.concatenate(reconstruction), numpy.concatenate(kl)

    scores = sv.evaluate(model, x, n_samples=2, seed=3, batch_size=batch_size)
    assert list(scores) == ["elbo", "reconstruction", "kl", "elbo_standard_error", "active_units", "n", "binarize"]
    assert scores["reconstruction"] == pytest.approx(reconstruction.mean(), rel=1e-10)
    assert scores["kl"] == pytest.approx(kl.mean(), rel=1e-10)
    assert scores["elbo"] == pytest.approx((reconstruction - kl).mean(), rel=1e-10)
    assert scores["elbo_standard_error"] == pytest.approx(stats.sem(reconstruction - kl), rel=1e-10)
    assert scores["active_units"] == (numpy.concatenate(means).var(axis=0) > 0.01).sum()
    assert scores["n"] == 7 and scores["binarize"] == "none" and max(sizes) == min(batch_size, 7)
    assert all(type(value) in (float, int, str) for value in scores.values())


def test_evaluate_is_deterministic_and_changes_nothing(rng):
    model, x = small("learned std"), rng.uniform(size=(7, 6))
    before = {name: array.copy() for name, array in model.state().items()}
    assert sv.evaluate(model, x) == sv.evaluate(model, x) != sv.evaluate(model, x, seed=1)
    assert all(numpy.array_equal(array, before[name]) for name, array in model.state().items())


def test_one_row_has_no_standard_error(rng):
    assert sv.evaluate(small("bernoulli"), rng.uniform(size=(1, 6)))["elbo_standard_error"] == math.inf


def test_more_samples_make_the_elbo_more_exact_but_not_higher(inexact):
    model, x, log_px = inexact
    few, many = (sv.evaluate(model, numpy.repeat(x, 400, axis=0), n_samples=n, seed=n) for n in (1, 30))
    assert many["elbo"] == pytest.approx(few["elbo"], abs=4 * few["elbo_standard_error"])
    assert many["elbo"] < log_px.mean() - 0.05


@pytest.mark.parametrize("mode", ["none", "threshold", "static", "dynamic"])
def test_binarize_is_followed(rng, mode):
    x = rng.uniform(size=(50, 6)).astype(numpy.float32)
    model = sv.VAE.mlp(6, 2, (4,), binarize=mode)
    plain = sv.VAE.mlp(6, 2, (4,))
    pixels = binarize(x, mode, sv.Noise(5))
    assert numpy.array_equal(numpy.unique(pixels), [0, 1]) is (mode != "none")
    expected = sv.evaluate(plain, pixels, seed=5)
    received = sv.evaluate(model, x, seed=5)
    assert received.pop("binarize") == mode and expected.pop("binarize") == "none"
    assert received == expected
    for a, b in zip(sv.log_likelihood(model, x, 20, seed=5), sv.log_likelihood(plain, pixels, 20, seed=5), strict=True):
        numpy.testing.assert_array_equal(a, b)
    again = binarize(x, mode, sv.Noise(6))
    assert numpy.array_equal(again, pixels) is (mode != "dynamic")
    assert numpy.array_equal(binarize(x[:20], mode, sv.Noise(5)), pixels[:20]), "row i has its own draws"
    if mode in ("static", "dynamic"):
        ones = numpy.mean([binarize(x, mode, sv.Noise(seed)) for seed in range(400)], axis=0)
        limit = 0.15 if mode == "dynamic" else 1.0
        assert abs(ones - x).max() < limit and abs(ones.mean() - x.mean()) < (0.01 if mode == "dynamic" else 0.1)


def test_every_figure_says_what_it_is():
    unknown = "Bernoulli cross-entropy on grey values, not a log-likelihood, unless all values are 0 or 1"
    assert quantity(small("bernoulli")) == unknown
    assert quantity(small("bernoulli", binarize="static")) == "lower bound of log p(x), binarize=static"
    assert quantity(small("fixed std")).startswith("lower bound of log p(x), a density of real numbers")


# ---- log p(x)


def test_log_likelihood_of_one_sample_is_its_weight(rng):
    model, x = small("bernoulli"), rng.uniform(size=(5, 6))
    log_px, standard_error, effective_sample_size = sv.log_likelihood(model, x, n_samples=1, seed=4)
    numpy.testing.assert_allclose(log_px, sv.to_numpy(model.log_weights(x, sv.Noise(4)))[0], rtol=1e-12)
    assert (standard_error == math.inf).all()
    numpy.testing.assert_allclose(effective_sample_size, 1)


def test_log_likelihood_is_the_log_of_the_mean_weight(rng):
    model, x = small("decoder std"), rng.uniform(size=(5, 6))
    log_w = sv.to_numpy(model.log_weights(x, sv.Noise(4), 50))
    log_px, standard_error, effective_sample_size = sv.log_likelihood(model, x, n_samples=50, seed=4)
    w = numpy.exp(log_w - log_w.max(axis=0))
    numpy.testing.assert_allclose(log_px, numpy.log(w.mean(axis=0)) + log_w.max(axis=0), rtol=1e-10)
    numpy.testing.assert_allclose(standard_error, stats.sem(w) / w.mean(axis=0), rtol=1e-9)
    numpy.testing.assert_allclose(effective_sample_size, w.sum(axis=0) ** 2 / (w**2).sum(axis=0), rtol=1e-9)
    assert (log_px > log_w.mean(axis=0)).all(), "the log of the mean, not the mean of the logs"


def test_importance_sampling_agrees_with_the_exact_marginal(inexact):
    model, x, log_px = inexact
    received, standard_error, effective_sample_size = sv.log_likelihood(model, x, n_samples=4000)
    assert received.dtype == numpy.float64 and received.shape == standard_error.shape == effective_sample_size.shape
    assert (abs(received - log_px) < 3 * standard_error).all()
    assert (standard_error < 0.03).all() and (standard_error > 1e-4).all()
    assert (effective_sample_size > 500).all() and (effective_sample_size < 4000).all()


def test_the_standard_error_is_that_of_repetitions(inexact):
    model, x, log_px = inexact
    repeated = [sv.log_likelihood(model, x, n_samples=400, seed=seed) for seed in range(200)]
    spread = numpy.std([log_px for log_px, _, _ in repeated], axis=0, ddof=1)
    stated = numpy.sqrt(numpy.mean([error**2 for _, error, _ in repeated], axis=0))
    numpy.testing.assert_allclose(stated, spread, rtol=0.25)
    errors = numpy.mean([log_px for log_px, _, _ in repeated], axis=0) - log_px
    assert (abs(errors) < 4 * spread / math.sqrt(200) + spread**2).all()


@pytest.mark.parametrize("chunk", [1, 700, 2**20])
def test_with_the_exact_posterior_chunks_do_not_matter(ppca, monkeypatch, chunk):
    model, x, log_px, _ = ppca
    monkeypatch.setattr("scratchvae.scoring.CHUNK_ENTRIES", chunk)
    received, standard_error, effective_sample_size = sv.log_likelihood(model, x, n_samples=230)
    numpy.testing.assert_allclose(received, log_px, atol=1e-9)
    assert (standard_error < 1e-5).all()
    numpy.testing.assert_allclose(effective_sample_size, 230, rtol=1e-9)


def test_no_two_chunks_share_their_noise(ppca, monkeypatch):
    model, x, _, _ = ppca
    seen = []
    monkeypatch.setattr(
        sv.Noise, "normal", lambda self, name, shape: seen.append((self.step, shape)) or numpy.ones(shape)
    )
    monkeypatch.setattr("scratchvae.scoring.CHUNK_ENTRIES", 2 * 100 * x.shape[1])
    sv.log_likelihood(model, x, n_samples=250)
    assert len({step for step, _ in seen}) == len(seen) == 9
    assert sum(shape[0] * shape[1] for _, shape in seen) == 250 * len(x)


def test_bounds_rise_with_the_number_of_samples(inexact):
    """E[ELBO] <= E[IWAE_k] <= E[IWAE_m] <= log p(x) for k < m.   Source: Burda et al. (2016), theorem 1"""
    model, x, log_px = inexact
    log_w = sv.to_numpy(model.log_weights(x, sv.Noise(0), 60_000))
    bounds = [(special.logsumexp(log_w.reshape(-1, k, len(x)), axis=1) - math.log(k)).mean(axis=0) for k in (1, 3, 10)]
    assert (numpy.diff([*bounds, log_px], axis=0) > 0).all()


@pytest.mark.parametrize("same_draws", [False, True])
def test_the_elbo_by_many_samples_is_decoded_in_chunks(inexact, monkeypatch, same_draws):
    """250 draws of z for each row, 100 at a time: a mean of the chunks, each with its own noise."""
    model, x, _ = inexact
    x = numpy.concatenate([x, x, x])[:13]
    monkeypatch.setattr("scratchvae.scoring.CHUNK_ENTRIES", 100 * x.shape[1])
    elbo_terms, seen = model.elbo_terms, []

    def terms(rows, noise, n_samples):
        seen.append((len(rows), n_samples, (noise.noise if same_draws else noise).step))
        return elbo_terms(rows, noise, n_samples)

    monkeypatch.setattr(model, "elbo_terms", terms, raising=False)
    values = sv.elbo(model, x, 250, seed=3, same_draws=same_draws)
    steps = [0, 1, 2, 0, 1, 2] if same_draws else range(6)
    assert seen == [
        (n, s, step)
        for (n, s), step in zip([(8, 100), (8, 100), (8, 50), (5, 100), (5, 100), (5, 50)], steps, strict=True)
    ]
    if not same_draws:
        with sv.no_grad():
            parts = [model.elbo(x[:8], sv.Noise(3, step), n) for step, n in enumerate((100, 100, 50))]
        numpy.testing.assert_allclose(values[:8], numpy.average(parts, axis=0, weights=(100, 100, 50)), rtol=1e-12)


# ---- active units


def test_active_units():
    means = numpy.array([[0.0, 1.0, 0.0, 5.0], [0.25, 1.0, 0.15, 5.0], [0.0, 1.0, 0.0, 5.0], [0.25, 1.0, 0.15, 5.0]])
    model = sv.VAE.mlp(4, 4, ()).to(dtype=numpy.float64)
    weight, bias = model.encoder.network.layers[0].weight.data, model.encoder.network.layers[0].bias.data
    weight[...], bias[...] = 0, 7
    weight[:, :4] = numpy.diag([1, 0, 1, 0])
    assert active_units(model, means / 5).tolist() == []  # by the variance, not the spread: 0.05^2 / 4
    assert active_units(model, numpy.eye(4)).tolist() == [0, 2]
    weight *= 5
    assert active_units(model, means / 5).tolist() == [0]  # variances 0.0156, 0, 0.0056, 0


def test_a_unit_is_active_from_a_variance_of_a_hundredth_on():
    """Burda et al. (2016) count Var_x(E_q[z | x]) > 0.01; here the means are x itself."""
    model = sv.VAE.mlp(4, 4, hidden=(), likelihood="gaussian")
    (layer,) = model.encoder.network.layers
    layer.weight.data[...], layer.bias.data[...] = numpy.eye(4, 8), 0
    signs = numpy.array([[1.0], [-1.0]], dtype=numpy.float32)
    variances = numpy.array([0.0099, 0.0101, 0.0149, 0.0], dtype=numpy.float32)
    x = signs * numpy.sqrt(variances)
    assert active_units(model, x).tolist() == [1, 2] and sv.evaluate(model, x)["active_units"] == 2


def test_active_units_of_many_rows_are_found_by_chunks(rng, monkeypatch):
    model, x, chunks = small("bernoulli"), rng.random((2345, 6)), []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda x: chunks.append(len(x)) or encode(x))
    assert active_units(model, x).tolist() == numpy.flatnonzero(encode(x).mean.var(axis=0) > 0.01).tolist() != []
    assert chunks == [1000, 1000, 345]


# ---- what is refused


@pytest.mark.parametrize("value", [0, -1, 2.5, "many", None])
@pytest.mark.parametrize(
    ("function", "name", "bounds"),
    [
        (sv.evaluate, "n_samples", "from 1 to 100000"),
        (sv.evaluate, "batch_size", "of at least 1"),
        (sv.log_likelihood, "n_samples", "of at least 1"),
    ],
)
def test_counts_must_be_positive_integers(function, name, bounds, value):
    sentence = f"{function.__name__}: expected {name} {bounds}, received {value!r}"
    with pytest.raises(InputError, match=sentence):
        function(sv.VAE.mlp(6, 2, (4,)), numpy.ones((2, 6)), **{name: value})


def test_on_the_gpu_the_scores_are_those_of_the_cpu(gpu, monkeypatch, rng):
    from scratchvae.backend import asarray

    model, x = small("bernoulli", binarize="dynamic"), rng.uniform(size=(7, 6))
    expected = sv.evaluate(model, x, batch_size=3), sv.log_likelihood(model, x, 30)
    for name in ("normal", "uniform"):
        method = getattr(sv.Noise, name)
        monkeypatch.setattr(
            sv.Noise,
            name,
            lambda self, what, shape, method=method: asarray(
                method(sv.Noise(self.seed, self.step), what, shape), self.device
            ),
        )
    model.to("gpu")
    received = sv.evaluate(model, x, batch_size=3), sv.log_likelihood(model, x, 30)
    assert received[0].pop("binarize") == expected[0].pop("binarize") == "dynamic"
    assert received[0] == pytest.approx(expected[0], rel=1e-12)
    for a, b in zip(received[1], expected[1], strict=True):
        assert type(a) is numpy.ndarray
        numpy.testing.assert_allclose(a, b, rtol=1e-10)


def test_bits_per_dimension_undo_the_density_of_8_bit_cells():
    """A density that is 256^D P on the cell of an 8-bit image of probability P gives -log2 P / D bits."""
    n_dimensions, log_probability = 12, math.log(3e-20)
    log_density = log_probability + n_dimensions * math.log(256)
    bits = bits_per_dimension(log_density, n_dimensions)
    assert bits == pytest.approx(-math.log2(3e-20) / n_dimensions, rel=1e-12)
    assert bits_per_dimension(0.0, n_dimensions) == 8
