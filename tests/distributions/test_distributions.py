"""Distributions: against SciPy and PyTorch, the identities, and what is refused."""

import math

import numpy
import pytest

import scratchvae as sv
from scratchvae.checks.identities import EXAMPLES
from scratchvae.checks.table import SECTIONS
from scratchvae.distributions import (
    Bernoulli,
    BivariateMixture,
    Categorical,
    Columns,
    Distribution,
    KnownEntries,
    Laplace,
    NegativeBinomial,
    Normal,
    NormalMixture,
    Poisson,
    SketchDistribution,
    SketchStep,
    StudentT,
    SymbolSequence,
    kl,
    register_kl,
)
from scratchvae.distributions.kl import DIVERGENCES
from scratchvae.errors import InputError, ShapeError

stats = pytest.importorskip("scipy.stats")


@pytest.fixture
def normal(rng):
    return Normal(rng.standard_normal((4, 3)), 0.5 * rng.standard_normal((4, 3)))


@pytest.fixture
def bernoulli(rng):
    return Bernoulli(3 * rng.standard_normal((4, 3)))


@pytest.fixture
def laplace(rng):
    return Laplace(rng.standard_normal((4, 3)), 0.5 * rng.standard_normal((4, 3)))


@pytest.fixture
def poisson(rng):
    return Poisson(2 * rng.standard_normal((4, 3)))


@pytest.fixture
def categorical(rng):
    return Categorical(2 * rng.standard_normal((4, 5)))


# ---- identities


def test_every_distribution_and_pair_has_identities():
    """Those of sketches, molecules, tables and priors have rows of their own."""
    public = {getattr(sv.distributions, name) for name in sv.distributions.__all__ if name[0].isupper()}
    with_rows = {BivariateMixture, Columns, KnownEntries, NormalMixture, SketchDistribution, SketchStep, SymbolSequence}
    assert set(EXAMPLES) == public - with_rows - {Distribution}
    names = {row.name for row in SECTIONS["identities"]}
    assert {f"KL({q.__name__}, {p.__name__})" for q, p in DIVERGENCES} <= names


def broken():
    """Which identities no longer hold."""
    return {row.name for row in SECTIONS["identities"] if not row.figure() <= row.tolerance}


@pytest.mark.parametrize("cls", [cls for cls in EXAMPLES if hasattr(cls, "entropy")])
def test_identities_see_a_thousandth_in_entropy(monkeypatch, cls):
    original = cls.entropy
    monkeypatch.setattr(cls, "entropy", lambda self: 1.001 * original(self))
    assert {name.partition(", 1-D")[0].partition(":")[0] for name in broken()} == {cls.__name__}


def test_identities_see_draws_from_slightly_wrong_probabilities(monkeypatch):
    drawn = (Bernoulli, Categorical, Laplace, NegativeBinomial, Poisson, StudentT)
    for cls in drawn:
        original = cls.sample
        monkeypatch.setattr(cls, "sample", lambda self, u, original=original: original(self, 0.999 * u))
    assert broken() == {f"{cls.__name__}: moments of draws" for cls in drawn}


# ---- against SciPy and PyTorch


def test_normal_equals_scipy(rng, normal):
    x = rng.standard_normal((6, 4, 3))
    peer = stats.norm(normal.mean, numpy.exp(normal.log_std))
    numpy.testing.assert_allclose(normal.log_prob(x), peer.logpdf(x).sum(axis=-1), rtol=1e-12)
    numpy.testing.assert_allclose(normal.entropy(), peer.entropy().sum(axis=-1), rtol=1e-12)
    numpy.testing.assert_allclose(normal.std, peer.std(), rtol=1e-15)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (4, 1)])
def test_one_log_std_serves_many_entries(rng, shape):
    mean, log_std = rng.standard_normal((4, 3)), rng.standard_normal(shape)
    narrow, full = Normal(mean, log_std), Normal(mean, log_std + numpy.zeros((4, 3)))
    x = rng.standard_normal((4, 3))
    numpy.testing.assert_allclose(narrow.log_prob(x), full.log_prob(x), rtol=1e-13)
    numpy.testing.assert_allclose(narrow.entropy(), full.entropy(), rtol=1e-13)
    prior = Normal(numpy.zeros(3), numpy.zeros(3))
    numpy.testing.assert_allclose(kl(narrow, prior), kl(full, prior), rtol=1e-12)
    numpy.testing.assert_allclose(kl(full, narrow), 0, atol=1e-13)


def test_images_are_one_event(rng):
    mean = rng.standard_normal((2, 4, 3, 1))
    images = Normal(mean, numpy.zeros(()), event_ndim=3)
    vectors = Normal(mean.reshape(2, 12), numpy.zeros(()))
    x = rng.standard_normal((5, 2, 4, 3, 1))
    assert images.log_prob(x).shape == (5, 2)
    numpy.testing.assert_allclose(images.log_prob(x), vectors.log_prob(x.reshape(5, 2, 12)), rtol=1e-13)
    numpy.testing.assert_allclose(images.entropy(), vectors.entropy(), rtol=1e-13)
    pixels = Bernoulli(mean, event_ndim=3)
    assert pixels.log_prob(x > 0).shape == (5, 2) and pixels.entropy().shape == (2,)


def test_bernoulli_equals_scipy(rng, bernoulli):
    x = rng.integers(0, 2, (6, 4, 3)).astype(numpy.float64)
    peer = stats.bernoulli(1 / (1 + numpy.exp(-bernoulli.logits)))
    numpy.testing.assert_allclose(bernoulli.log_prob(x), peer.logpmf(x).sum(axis=-1), rtol=1e-12)
    numpy.testing.assert_allclose(bernoulli.entropy(), peer.entropy().sum(axis=-1), rtol=1e-12)
    numpy.testing.assert_allclose(bernoulli.mean, peer.mean(), rtol=1e-14)


def test_laplace_equals_scipy(rng, laplace):
    x = rng.standard_normal((6, 4, 3))
    peer = stats.laplace(laplace.mean, numpy.exp(laplace.log_scale))
    numpy.testing.assert_allclose(laplace.log_prob(x), peer.logpdf(x).sum(axis=-1), rtol=1e-12)
    numpy.testing.assert_allclose(laplace.entropy(), peer.entropy().sum(axis=-1), rtol=1e-12)
    numpy.testing.assert_allclose(laplace.std, peer.std(), rtol=1e-14)
    u = rng.random((6, 4, 3))
    numpy.testing.assert_allclose(laplace.sample(u), peer.ppf(u), rtol=1e-11, atol=1e-12)


def test_poisson_equals_scipy(rng, poisson):
    peer = stats.poisson(numpy.exp(poisson.log_rate))
    u = rng.random((6, 4, 3))
    x = poisson.sample(u)
    numpy.testing.assert_array_equal(x, peer.ppf(u))
    numpy.testing.assert_allclose(poisson.log_prob(x), peer.logpmf(x).sum(axis=-1), rtol=1e-12)
    numpy.testing.assert_allclose(poisson.mean, peer.mean(), rtol=1e-14)
    numpy.testing.assert_allclose(poisson.log_prob(x.astype(int)), poisson.log_prob(x), rtol=1e-15)


def test_counts_far_apart_are_drawn_and_scored_to_their_last_digit():
    """From a rate of one in ten thousand to a million, by SciPy in float64; x = 0 and twelve deviations off."""
    r = 10.0 ** numpy.arange(-4, 7)[:, None]
    single = Poisson(numpy.log(r).astype("f"))
    u = numpy.array([[1e-6, 0.02, 0.5, 0.98, 1 - 1e-6]])
    for i, rate in enumerate(r):
        sampled = Poisson(numpy.log(rate) + numpy.zeros((5, 1))).sample(u.T)
        numpy.testing.assert_array_equal(sampled, stats.poisson(rate).ppf(u.T))
        for x in (0.0, numpy.rint(rate), numpy.rint(rate + 12 * rate**0.5), numpy.rint(rate - 3 * rate**0.5).clip(0)):
            x = numpy.zeros(1) + x
            expected = stats.poisson(numpy.exp(single.log_rate[i].astype(float))).logpmf(x)
            received = Poisson(single.log_rate[i]).log_prob(x.astype("f"))
            assert received.dtype == numpy.float32
            numpy.testing.assert_allclose(received, expected.sum(), rtol=1e-5, atol=2e-6 + 3e-6 * rate[0] ** 0.5)


def test_no_draw_is_infinite():
    """u = 0 is on the grid of float32: once in 2^24 draws."""
    u = numpy.array([[0.0, 1 - 2.0**-24]], dtype="f")
    x = Laplace(numpy.zeros((1, 2), "f"), numpy.zeros((), "f")).sample(u)
    numpy.testing.assert_allclose(x, [[-24 * math.log(2), 23 * math.log(2)]], rtol=1e-6)
    counts = Poisson(numpy.full((1, 2), math.log(1e4), "f")).sample(u)
    numpy.testing.assert_allclose(counts, stats.poisson(1e4).ppf([[2.0**-25, 1 - 2.0**-24]]), atol=1)


def test_laplace_far_off_and_narrow():
    narrow = Laplace(numpy.zeros((1, 1), "f"), numpy.full((), -20, "f"))
    assert narrow.log_prob(numpy.full((1, 1), 1e-3, "f")) == pytest.approx(-1e-3 * math.exp(20) + 20 - math.log(2))
    assert kl(narrow, Laplace(numpy.zeros((1, 1)), numpy.zeros(()))) == pytest.approx(20 - 1 + math.exp(-20))
    near = Laplace(numpy.full((1, 1), 1e-9), numpy.full((), 1e-9))
    assert kl(near, Laplace(numpy.zeros((1, 1)), numpy.zeros(()))) == pytest.approx(1e-18, rel=1e-6)


def test_an_event_is_integrated_by_its_own_distribution():
    x, weight = Poisson(numpy.log([[1e4]])).quadrature()
    assert len(x) == pytest.approx(2 * (1200 + 40), abs=3) and set(weight) == {1.0}
    images = Laplace(numpy.array([[[[5.0], [7.0]]]]), numpy.zeros(()), event_ndim=3)
    x, weight = images.quadrature()
    assert x.shape[1:] == (1, 2, 1)
    numpy.testing.assert_allclose((weight * numpy.exp(images.log_prob(x))) @ x.reshape(len(x), 2), [5, 7], rtol=1e-12)
    with pytest.raises(
        ShapeError, match=r"^Normal.quadrature: expected one event, received a batch of shape \(4, 3\)$"
    ):
        Normal(numpy.zeros((4, 3)), numpy.zeros(())).quadrature()


def test_kinks_of_another_density_cost_no_digits():
    q, p = Normal(numpy.array([0.3]), numpy.array([-0.2])), Laplace(numpy.array([0.71]), numpy.array([0.1]))
    x, weight = q.quadrature(p)
    z = (0.71 - 0.3) / float(q.std[0])
    distance = float(q.std[0]) * (2 * stats.norm.pdf(z) + z * (2 * stats.norm.cdf(z) - 1))
    received = (weight * numpy.exp(q.log_prob(x))) @ numpy.abs(x[:, 0] - 0.71)
    assert received == pytest.approx(distance, rel=1e-13)
    x, weight = q.quadrature()
    assert abs((weight * numpy.exp(q.log_prob(x))) @ numpy.abs(x[:, 0] - 0.71) - distance) > 1e-8


def test_categorical_equals_scipy(rng, categorical):
    y = rng.integers(0, 5, (6, 4))
    pi = numpy.exp(categorical.logits) / numpy.exp(categorical.logits).sum(axis=-1, keepdims=True)
    numpy.testing.assert_allclose(categorical.log_prob(y), numpy.log(pi[numpy.arange(4), y]), rtol=1e-12)
    numpy.testing.assert_allclose(categorical.entropy(), stats.entropy(pi, axis=-1), rtol=1e-12)
    numpy.testing.assert_allclose(categorical.mean, pi, rtol=1e-13)


def test_divergences_equal_torch(rng):
    torch = pytest.importorskip("torch")
    peers = torch.distributions
    q, p = rng.standard_normal((2, 2, 4, 3))
    t = [[torch.tensor(part) for part in side] for side in (q, p)]
    expected = peers.kl_divergence(*(peers.Normal(mean, log_std.exp()) for mean, log_std in t)).sum(-1)
    numpy.testing.assert_allclose(kl(Normal(*q), Normal(*p)), expected, rtol=1e-12)
    expected = peers.kl_divergence(*(peers.Laplace(mean, log_scale.exp()) for mean, log_scale in t)).sum(-1)
    numpy.testing.assert_allclose(kl(Laplace(*q), Laplace(*p)), expected, rtol=1e-12)
    expected = peers.kl_divergence(*(peers.Poisson(side[0].exp()) for side in t)).sum(-1)
    numpy.testing.assert_allclose(kl(Poisson(q[0]), Poisson(p[0])), expected, rtol=1e-12)
    expected = peers.kl_divergence(*(peers.Bernoulli(logits=side[0]) for side in t)).sum(-1)
    numpy.testing.assert_allclose(kl(Bernoulli(q[0]), Bernoulli(p[0])), expected, rtol=1e-12)
    expected = peers.kl_divergence(*(peers.Categorical(logits=side[0]) for side in t))
    numpy.testing.assert_allclose(kl(Categorical(q[0]), Categorical(p[0])), expected, rtol=1e-12)


def test_gradients(rng, normal, bernoulli, categorical, laplace, poisson):
    x, y, e = rng.standard_normal((4, 3)), rng.integers(0, 5, 4), rng.standard_normal((2, 4, 3))
    parameters = (normal.mean, normal.log_std)
    sv.check_gradients(lambda m, s: Normal(m, s).log_prob(x), *parameters)
    sv.check_gradients(lambda m, s: Normal(m, s).entropy(), *parameters)
    sv.check_gradients(lambda m, s: Normal(m, s).reparameterize(e), *parameters)
    sv.check_gradients(lambda m, s: kl(Normal(m, s), Normal(x, 0.1 * x)), *parameters)
    sv.check_gradients(lambda m, s: kl(Normal(x, 0.1 * x), Normal(m, s)), *parameters)
    sv.check_gradients(lambda m, s: Normal(m, s).log_prob(x), normal.mean, numpy.array(0.3))
    parameters = (laplace.mean, laplace.log_scale)
    sv.check_gradients(lambda m, s: Laplace(m, s).log_prob(x), *parameters)
    sv.check_gradients(lambda m, s: Laplace(m, s).entropy(), *parameters)
    sv.check_gradients(lambda m, s: kl(Laplace(m, s), Laplace(x, 0.1 * x)), *parameters)
    sv.check_gradients(lambda m, s: kl(Laplace(x, 0.1 * x), Laplace(m, s)), *parameters)
    counts = rng.integers(0, 4, (4, 3)).astype(float)
    sv.check_gradients(lambda log_rate: Poisson(log_rate).log_prob(counts), poisson.log_rate)
    sv.check_gradients(lambda log_rate: kl(Poisson(log_rate), Poisson(x)), poisson.log_rate)
    sv.check_gradients(lambda log_rate: kl(Poisson(x), Poisson(log_rate)), poisson.log_rate)
    for function in (
        lambda logits: Bernoulli(logits).log_prob(1.0 * (x > 0)),
        lambda logits: Bernoulli(logits).entropy(),
        lambda logits: kl(Bernoulli(logits), Bernoulli(x)),
        lambda logits: kl(Bernoulli(x), Bernoulli(logits)),
    ):
        sv.check_gradients(function, bernoulli.logits)
    for function in (
        lambda logits: Categorical(logits).log_prob(y),
        lambda logits: Categorical(logits).entropy(),
        lambda logits: kl(Categorical(logits), Categorical(logits * logits)),
    ):
        sv.check_gradients(function, categorical.logits)


@pytest.mark.parametrize("logit", [1e3, -1e3])
def test_extreme_logits_stay_finite(logit):
    logits = numpy.array([[logit, 0.0]])
    certain = float(logit > 0)
    for x, expected in ((certain, 0.0), (1 - certain, -1e3)):
        assert Bernoulli(logits).log_prob(numpy.array([[x, 0.0]])) == pytest.approx(expected - math.log(2))
    assert Bernoulli(logits).entropy() == pytest.approx(math.log(2))
    assert Categorical(logits).log_prob(numpy.array([int(logit < 0)])) == pytest.approx(0)
    assert Categorical(logits).entropy() == pytest.approx(0)
    assert numpy.isfinite(kl(Bernoulli(logits), Bernoulli(-logits)))
    assert kl(Categorical(logits), Categorical(-logits)) == pytest.approx(1e3)


# ---- draws


def test_normal_draws_have_the_moments_of_the_parameters():
    mean, log_std = numpy.array([[0.5, -2.0]], dtype="f"), numpy.log(numpy.array([[0.3, 1.7]], dtype="f"))
    draws = Normal(mean, log_std).sample(sv.Noise(0).normal("z", (200_000, 1, 2)))
    numpy.testing.assert_allclose(draws.mean(axis=0), mean, atol=0.02)
    numpy.testing.assert_allclose(draws.std(axis=0), numpy.exp(log_std), rtol=0.01)
    assert draws.dtype == numpy.float32


def test_inverse_cdf():
    y = Categorical(numpy.log(numpy.array([0.25, 0.5, 0.25])))
    u = numpy.array([0.0, 0.2499, 0.2501, 0.7499, 0.7501, 0.99999])
    assert y.sample(u).tolist() == [0, 0, 1, 1, 2, 2]
    x = Bernoulli(numpy.array([math.log(3.0)]))
    assert x.sample(numpy.array([[0.0], [0.7499], [0.7501]])).ravel().tolist() == [1, 1, 0]


def test_a_value_of_probability_0_is_never_drawn():
    """u lies in [0, 1): at u = 0 too, and on a boundary the next value begins."""
    assert Categorical(numpy.array([-1e4, 0.0])).sample(numpy.zeros(1)) == 1
    assert Bernoulli(numpy.array([-1e4])).sample(numpy.zeros(1)) == 0
    assert Categorical(numpy.zeros(2)).sample(numpy.array([0.5])) == 1
    assert Bernoulli(numpy.zeros(1)).sample(numpy.array([0.5])) == 0


def test_a_draw_never_leaves_the_classes():
    logits = numpy.random.default_rng(0).standard_normal((10_000, 7), dtype=numpy.float32)
    largest = numpy.full(10_000, 1 - 2.0**-24, dtype=numpy.float32)
    assert Categorical(logits).sample(largest).max() == 6
    impossible = Categorical(numpy.array([0.0, -1e4, 0.0]))
    assert set(impossible.sample(numpy.linspace(0, 1, 1001)[:-1]).tolist()) == {0, 2}


def test_draws_have_the_right_type_and_carry_no_graph(rng, device):
    array = sv.backend.asarray(rng.standard_normal((4, 3)).astype("f"), device)
    noise = sv.Noise(0, device=device)
    xp = sv.backend.array_module(array)
    for logits in (array, sv.Tensor(array)):
        z = Normal(logits, logits).sample(noise.normal("z", (2, 4, 3)))
        x = Bernoulli(logits).sample(noise.uniform("x", (2, 4, 3)))
        y = Categorical(logits).sample(noise.uniform("y", (2, 4)))
        real = Laplace(logits, logits).sample(noise.uniform("real", (2, 4, 3)))
        counts = Poisson(logits).sample(noise.uniform("counts", (2, 4, 3)))
        assert {type(z), type(x), type(y), type(real), type(counts)} == {xp.ndarray}
        assert z.dtype == x.dtype == real.dtype == counts.dtype == numpy.float32 and y.dtype.kind == "i"
        assert z.shape == x.shape == real.shape == counts.shape == (2, 4, 3) and y.shape == (2, 4)
        for value in (
            Laplace(logits, logits).log_prob(real),
            Laplace(logits, logits).entropy(),
            Poisson(logits).log_prob(counts),
            kl(Laplace(logits, logits), Laplace(array, array)),
            kl(Poisson(logits), Poisson(array)),
            Normal(logits, logits).log_prob(z),
            Bernoulli(logits).log_prob(x),
            Categorical(logits).log_prob(y),
            Normal(logits, logits).entropy(),
            Bernoulli(logits).entropy(),
            Categorical(logits).entropy(),
            kl(Normal(logits, logits), Normal(array, array)),
            kl(Bernoulli(logits), Bernoulli(array)),
            kl(Categorical(logits), Categorical(array)),
        ):
            assert value.dtype == numpy.float32 and isinstance(value, type(logits))


# ---- what is refused


def test_broadcasting_does_not_hide_a_wrong_event(normal, bernoulli, laplace, poisson):
    for distribution in (normal, bernoulli, laplace, poisson):
        for shape in ((4, 1), (4, 4), (4,), ()):
            with pytest.raises(ShapeError, match=r"log_prob: expected x of shape \(\.\.\., 3\), received \("):
                distribution.log_prob(numpy.zeros(shape))
    images = Bernoulli(numpy.zeros((2, 4, 3, 1)), event_ndim=3)
    with pytest.raises(ShapeError, match=r"expected x of shape \(\.\.\., 4, 3, 1\), received \(2, 12\)"):
        images.log_prob(numpy.zeros((2, 12)))


def test_labels_are_integers(categorical):
    with pytest.raises(ShapeError, match="Categorical.log_prob: expected integer labels, received float64"):
        categorical.log_prob(numpy.zeros(4))


def test_a_missing_pair_is_named(normal, bernoulli):
    sentence = (
        r"kl: expected a pair among \(Normal, Normal\), .*, received \(Normal, Bernoulli\) \(register_kl adds one\)"
    )
    with pytest.raises(InputError, match=sentence):
        kl(normal, bernoulli)


def test_a_pair_can_be_registered(normal):
    class Point(Normal):
        pass

    register_kl(Point, Normal)(lambda q, p: -p.log_prob(q.mean))
    try:
        assert kl(Point(normal.mean, normal.log_std), normal).shape == (4,)
    finally:
        del DIVERGENCES[Point, Normal]
