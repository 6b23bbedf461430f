"""Student-t and the negative binomial against SciPy, at their limits, and what Stirling's formula leaves."""

import math

import numpy
import pytest
from scipy import special, stats

import scratchvae as sv
from scratchvae.distributions import NegativeBinomial, Normal, Poisson, StudentT
from scratchvae.distributions.stirling import log_gamma_half_step, stirling_remainder
from scratchvae.errors import ShapeError
from scratchvae.models import NegativeBinomialDecoder, StudentTDecoder


@pytest.fixture(params=[-1.0, 0.0, 2.0, 5.0])
def student_t(rng, request):
    parts = rng.standard_normal((3, 4, 3))
    return StudentT(parts[0], parts[1], parts[2] + request.param)


@pytest.fixture(params=[-3.0, 0.0, 3.0])
def counts(rng, request):
    parts = rng.standard_normal((2, 4, 3))
    return NegativeBinomial(2 * parts[0] + 1, parts[1] + request.param)


def test_the_remainder_of_stirlings_formula():
    y = 10.0 ** numpy.arange(-6, 3, 0.1)
    expected = special.gammaln(y) - (y - 0.5) * numpy.log(y) + y - 0.5 * math.log(2 * math.pi)
    numpy.testing.assert_allclose(stirling_remainder(y), expected, atol=2e-12)
    large = 10.0 ** numpy.arange(3, 17)
    numpy.testing.assert_allclose(stirling_remainder(large), 1 / (12 * large) - 1 / (360 * large**3), rtol=1e-13)
    borders = stirling_remainder(numpy.array([8 - 1e-12, 8.0]))
    assert borders[0] == pytest.approx(borders[1], abs=3e-15)
    h = numpy.array([1e-3, 0.5, 3.0, 40.0])
    expected = special.gammaln(h + 0.5) - special.gammaln(h) - 0.5 * numpy.log(h)
    numpy.testing.assert_allclose(log_gamma_half_step(h), expected, rtol=1e-12, atol=1e-13)
    assert stirling_remainder(h.astype("f")).dtype == numpy.float32


def test_its_derivatives_are_digamma_and_trigamma():
    y = sv.Tensor(numpy.array([0.03, 1.0, 7.9, 8.1, 300.0]))
    slope = sv.grad(sv.ops.sum(stirling_remainder(y)), [y], create_graph=True)[0]
    expected = special.digamma(y.data) - numpy.log(y.data) + 0.5 / y.data
    numpy.testing.assert_allclose(slope.data, expected, rtol=1e-9, atol=1e-14)
    (curvature,) = sv.grad(sv.ops.sum(slope), [y])
    expected = special.polygamma(1, y.data) - 1 / y.data - 0.5 / y.data**2
    numpy.testing.assert_allclose(sv.to_numpy(curvature), expected, rtol=1e-7, atol=1e-13)


def test_student_t_equals_scipy(rng, student_t):
    df = numpy.exp(student_t.log_df)
    peer = stats.t(df, student_t.mean, numpy.exp(student_t.log_scale))
    x = 20 * rng.standard_normal((6, 4, 3))
    numpy.testing.assert_allclose(student_t.log_prob(x), peer.logpdf(x).sum(axis=-1), rtol=1e-12)
    numpy.testing.assert_allclose(student_t.std, numpy.where(df > 2, peer.std(), math.inf), rtol=1e-12)
    u = rng.random((6, 4, 3))
    numpy.testing.assert_allclose(student_t.sample(u), peer.ppf(u), rtol=1e-10, atol=1e-10)


def test_negative_binomial_equals_scipy(rng, counts):
    t, m = numpy.exp(counts.log_dispersion), numpy.exp(counts.log_mean)
    peer, u = stats.nbinom(t, t / (t + m)), rng.random((6, 4, 3))
    x = counts.sample(u)
    numpy.testing.assert_array_equal(x, peer.ppf(u))
    numpy.testing.assert_allclose(counts.log_prob(x), peer.logpmf(x).sum(axis=-1), rtol=1e-12, atol=1e-12)
    numpy.testing.assert_allclose(counts.log_prob(x.astype(int)), counts.log_prob(x), rtol=1e-15)
    numpy.testing.assert_allclose(counts.mean, peer.mean(), rtol=1e-12)
    numpy.testing.assert_allclose(counts.std, peer.std(), rtol=1e-12)


def test_densities_equal_pytorchs(rng):
    """And their gradients by every parameter, in float64."""
    torch = pytest.importorskip("torch")
    a, b, c = rng.standard_normal((3, 4, 3))
    x, counts = 3 * rng.standard_normal((4, 3)), rng.integers(0, 30, (4, 3)).astype(float)
    peers = torch.distributions
    for log_prob, peer, arrays in (
        (
            lambda m, s, n: StudentT(m, s, n).log_prob(x),
            lambda m, s, n: peers.StudentT(n.exp(), m, s.exp(), validate_args=False).log_prob(torch.tensor(x)),
            (a, b, c),
        ),
        (
            lambda m, t: NegativeBinomial(m, t).log_prob(counts),
            lambda m, t: peers.NegativeBinomial(t.exp(), logits=m - t).log_prob(torch.tensor(counts)),
            (a, b),
        ),
    ):
        own, theirs = [sv.Tensor(y.copy()) for y in arrays], [torch.tensor(y, requires_grad=True) for y in arrays]
        value, expected = log_prob(*own), peer(*theirs).sum(-1)
        numpy.testing.assert_allclose(value.data, expected.detach(), rtol=1e-12)
        slopes = torch.autograd.grad(expected.sum(), theirs)
        for slope, wanted in zip(sv.grad(sv.ops.sum(value), own), slopes, strict=True):
            numpy.testing.assert_allclose(sv.to_numpy(slope), wanted, rtol=1e-9, atol=1e-12)


def test_gradients_of_second_order(rng):
    a, b, c = rng.standard_normal((3, 2, 3))
    x, counts = 3 * rng.standard_normal((2, 3)), rng.integers(0, 9, (2, 3)).astype(float)
    sv.check_gradients(lambda m, s, n: StudentT(m, s, n).log_prob(x), a, b, c)
    sv.check_gradients(lambda m, t: NegativeBinomial(m, t).log_prob(counts), a, b)


def test_many_degrees_of_freedom_are_a_normal_and_large_dispersions_a_poisson(rng):
    """To the digits that SciPy's own formulas lose there."""
    x, s = rng.standard_normal((4, 3)), numpy.full(3, 0.4)
    normal = Normal(numpy.zeros(3), s).log_prob(x)
    numpy.testing.assert_allclose(StudentT(numpy.zeros(3), s, numpy.full(3, 30.0)).log_prob(x), normal, rtol=1e-10)
    counts, rate = rng.integers(0, 60, (4, 3)).astype(float), numpy.full(3, 3.0)
    expected = Poisson(rate).log_prob(counts)
    numpy.testing.assert_allclose(NegativeBinomial(rate, numpy.full(3, 32.0)).log_prob(counts), expected, rtol=1e-9)


def test_nothing_overflows_in_few_digits():
    far = StudentT(numpy.zeros((1, 1), "f2"), numpy.zeros((), "f2"), numpy.zeros((), "f2"))
    with numpy.errstate(all="raise", under="ignore"):
        received = far.log_prob(numpy.full((1, 1), 6e4, "f2"))
        assert received == pytest.approx(stats.t(1).logpdf(6e4), rel=2e-3) and received.dtype == numpy.float16
        wide = NegativeBinomial(numpy.full((1, 1), 3, "f2"), numpy.full((), math.log(1e-3), "f2"))
        received = wide.log_prob(numpy.full((1, 1), 500, "f2"))
    t, m = math.exp(float(wide.log_dispersion)), math.exp(3)
    rounding = 500 * 8 * 2.0**-11  # of x times logarithms of size 8
    assert received == pytest.approx(stats.nbinom(t, t / (t + m)).logpmf(500), abs=2 * rounding)


def test_no_draw_is_infinite_and_quantiles_far_off_are_right():
    u = numpy.array([[0.0, 2.0**-24, 0.5, 1 - 2.0**-24]], dtype="f")
    cells = numpy.array([[2.0**-25, 2.0**-24, 0.5, 1 - 2.0**-24]])
    x = StudentT(numpy.zeros((1, 4), "f"), numpy.zeros((), "f"), numpy.zeros((), "f")).sample(u)
    numpy.testing.assert_allclose(x, stats.t(1).ppf(cells), rtol=1e-5, atol=1e-7)
    for t in (1e-3, 0.5, 1e5):
        d = NegativeBinomial(numpy.full((1, 4), math.log(50)), numpy.full((), math.log(t)))
        numpy.testing.assert_array_equal(d.sample(u), stats.nbinom(t, t / (t + 50)).ppf(cells))


def test_draws_and_scores_have_the_type_and_the_device_of_their_parameters(rng, device):
    array = sv.backend.asarray(rng.standard_normal((4, 3)).astype("f"), device)
    xp, u = sv.backend.array_module(array), sv.Noise(0, device=device).uniform("x", (2, 4, 3))
    for part in (array, sv.Tensor(array)):
        for d in (StudentT(part, part, part), NegativeBinomial(part, part), NegativeBinomial(part, part[:1])):
            x = d.sample(u)
            assert type(x) is xp.ndarray and x.dtype == numpy.float32 and x.shape == (2, 4, 3)
            value = d.log_prob(x)
            assert isinstance(value, type(part)) and value.dtype == numpy.float32 and value.shape == (2, 4)
            with pytest.raises(ShapeError, match=rf"{type(d).__name__}.log_prob: expected x of shape \(\.\.\., 3\)"):
                d.log_prob(xp.zeros((4, 1), "f"))


def test_the_learned_numbers_of_the_decoders_stay_in_their_bounds():
    z = numpy.zeros((1, 2), "f")
    model = sv.VAE.mlp(3, 2, (4,), likelihood="student-t", std=0.5)
    assert type(model.decoder) is StudentTDecoder and "std = 0.5, degrees of freedom learned)" in repr(model.decoder)
    assert math.exp(float(model.decode(z).log_df)) == pytest.approx(5 + 0.01, rel=1e-4)
    for raw, excess in ((-200, 1e-2), (200, 1e6)):
        model.decoder.raw_log_excess.data[...] = raw
        p = model.decode(z)
        assert math.exp(float(p.log_df)) == pytest.approx(2 + excess, rel=0.02) and p.std == pytest.approx(
            0.5, rel=1e-2
        )
    counts = sv.VAE.mlp(3, 2, (4,), likelihood="negative-binomial")
    assert type(counts.decoder) is NegativeBinomialDecoder
    for raw, dispersion in ((-200, 1e-3), (200, 1e6)):
        counts.decoder.network.layers[-1].bias.data[3:] = raw
        assert numpy.exp(counts.decode(z).log_dispersion) == pytest.approx(dispersion, rel=1e-3)


@pytest.mark.slow
def test_degrees_of_freedom_are_learned_from_data(rng):
    """To the maximum of the likelihood that SciPy finds; of normal draws there are many."""
    heavy = stats.t(3).rvs((2000, 1), random_state=0)
    for x in (heavy, rng.standard_normal((2000, 1))):
        decoder = sv.VAE.mlp(1, 1, (), likelihood="student-t", std="learned").to(dtype=numpy.float64).decoder
        adam, z = sv.optim.Adam(decoder.parameters(), 0.05), numpy.zeros((1, 1))
        for _ in range(200):
            sv.grad(-sv.ops.mean(decoder(z).log_prob(x)), adam.parameters, out=adam.gradients)
            adam.step()
        with sv.no_grad():
            p = decoder(z)
        df, location, scale = stats.t.fit(x)
        best = stats.t(df, location, scale).logpdf(x).mean()
        assert best - p.log_prob(x).mean() < 3e-3 and (math.exp(float(p.log_df)) > 10) == (x is not heavy)
