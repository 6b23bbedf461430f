"""Densities, entropies and divergences at the edges: probability 0, large logits, half precision, tiny numbers."""

import math

import numpy
import pytest

import scratchvae as sv
from scratchvae.autodiff import Tensor, grad
from scratchvae.checks.identities import EXAMPLES
from scratchvae.distributions import Bernoulli, Categorical, kl
from scratchvae.distributions.kl import DIVERGENCES

INFINITE = math.inf
REGIMES = {
    "float16": (numpy.float16, [0.5, -3.0, 8.0]),
    "float16, large": (numpy.float16, [200.0, -200.0, 10.0]),
    "float32, 1e-25": (numpy.float32, [1e-25, -2e-25, 3e-25]),
    "float32, 100": (numpy.float32, [30.0, -50.0, 80.0]),
    "float32, 1e4": (numpy.float32, [1e4, -1e4, 0.0]),
    "float32, 1e15": (numpy.float32, [1e15, -2e15, 3e15]),
}


def with_parameters(distribution, dtype, values, start):
    """The same type with other parameters: logits, means and the like from the values in turn, log scales modest."""
    arrays = {}
    for name, array in distribution.named_buffers().items():
        filling = [-0.5, 0.0, 0.25] if name.startswith("log_") else values
        arrays[name] = numpy.resize(numpy.roll(numpy.asarray(filling), start), array.shape).astype(dtype)
    options = {"event_ndim": distribution.event_ndim} if "event_ndim" in vars(distribution) else {}
    return type(distribution)(**arrays, **options)


def assert_equal_to_float64(function, kind, dtype, values):
    """To rounding, which is relative to the largest term; infinite only where float64 leaves the type's range."""
    results, terms = [], 1.0
    with numpy.errstate(over="ignore", under="ignore", divide="ignore", invalid="raise"):
        for precision in (dtype, numpy.float64):
            q, p = (with_parameters(d, dtype, values, start).to("cpu") for start, d in enumerate(EXAMPLES[kind]))
            for d in (q, p):
                for name, array in d.named_buffers().items():
                    setattr(d, name, array.astype(precision))
                    terms = max(terms, float(abs(array).max()) ** (1 if kind in (Bernoulli, Categorical) else 2))
            results.append(numpy.asarray(function(q, p, precision)))
        received, expected = results
        assert received.dtype == dtype and not numpy.isnan(received).any()
        rounding = 16 * float(numpy.finfo(dtype).eps)
        numpy.testing.assert_allclose(
            received.astype(numpy.float64), expected.astype(dtype), rtol=rounding, atol=rounding * terms
        )


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("kind", EXAMPLES)
def test_in_few_digits_as_in_many(kind, regime):
    dtype, values = REGIMES[regime]

    def log_prob(q, p, precision):
        x = numpy.arange(3)[:, None] if kind is Categorical else numpy.resize([0, 1, 1], (3, *q.shape))
        return q.log_prob(x if kind is Categorical else x.astype(precision))

    assert_equal_to_float64(log_prob, kind, dtype, values)
    if hasattr(kind, "entropy"):
        assert_equal_to_float64(lambda q, p, precision: q.entropy(), kind, dtype, values)
    if (kind, kind) in DIVERGENCES:
        assert_equal_to_float64(lambda q, p, precision: kl(q, p), kind, dtype, values)


# ---- probability 0, as PyTorch has it where it has it

ROWS = numpy.array([[0.0, 0.0, -INFINITE], [0.0, 0.0, 0.0], [-INFINITE, 0.0, 0.0], [-INFINITE, 2.0, -INFINITE]])
LOG_2, LOG_3 = math.log(2), math.log(3)
DIVERGENCE = [
    [0, math.log(1.5), INFINITE, INFINITE],
    [INFINITE, 0, INFINITE, INFINITE],
    [INFINITE, math.log(1.5), 0, INFINITE],
    [LOG_2, LOG_3, LOG_2, 0],
]


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
def test_categories_of_probability_0(dtype):
    rows = ROWS.astype(dtype)
    q, p = Categorical(rows[:, None]), Categorical(rows)
    with numpy.errstate(all="raise", under="ignore"):
        numpy.testing.assert_allclose(p.entropy(), [LOG_2, LOG_3, LOG_2, 0], rtol=1e-6)
        numpy.testing.assert_allclose(kl(q, p), DIVERGENCE, rtol=1e-6, atol=1e-7)
        assert p.log_prob(numpy.array([2, 2, 2, 2])).tolist() == pytest.approx([-INFINITE, -LOG_3, -LOG_2, -INFINITE])


def test_a_category_with_an_infinite_logit_is_certain():
    p = Categorical(numpy.array([[INFINITE, 0.0, 5.0]]))
    assert p.mean.tolist() == [[1, 0, 0]] and p.entropy() == 0 and kl(p, p) == 0
    assert p.log_prob(numpy.array([0])) == 0 and p.log_prob(numpy.array([1])) == -INFINITE


def test_in_float16_a_class_may_be_far_off():
    with numpy.errstate(over="ignore"):
        assert Categorical(numpy.array([[65504, -65504]], numpy.float16)).entropy() == 0


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
def test_certain_coins(dtype):
    logits = numpy.array([[-INFINITE], [-1.0], [INFINITE]], dtype)
    p = Bernoulli(logits)
    m = 1 / (1 + math.e)
    entropy = -m * math.log(m) - (1 - m) * math.log(1 - m)
    with numpy.errstate(all="raise", under="ignore"):
        numpy.testing.assert_allclose(p.entropy(), [0, entropy, 0], rtol=1e-6)
        for x, expected in ((0, [0, math.log(1 - m), -INFINITE]), (1, [-INFINITE, math.log(m), 0])):
            for kind in (dtype, bool, numpy.uint8):
                log_p = p.log_prob(numpy.full((1,), x, kind))
                assert log_p.dtype == dtype
                numpy.testing.assert_allclose(log_p, expected, rtol=1e-6)
        assert p.log_prob(numpy.array([0.5], dtype)).tolist() == pytest.approx(
            [-INFINITE, -0.5 + math.log(1 - m), -INFINITE]
        )
        expected = [[0, -math.log(1 - m), INFINITE], [INFINITE, 0, INFINITE], [INFINITE, -math.log(m), 0]]
        numpy.testing.assert_allclose(kl(Bernoulli(logits[:, None]), p), expected, rtol=1e-6, atol=1e-7)
    assert p.sample(numpy.array([[0.0], [0.5], [1 - 2.0**-24]], dtype)).ravel().tolist() == [0, 0, 1]


def test_what_is_not_a_number_stays_so():
    nan = numpy.full((1, 2), numpy.nan)
    for p in (Bernoulli(nan), Categorical(nan)):
        assert numpy.isnan(p.entropy()).all() and numpy.isnan(kl(p, p)).all()
    assert numpy.isnan(Bernoulli(nan).log_prob(numpy.zeros((1, 2)))).all()
    assert numpy.isnan(Bernoulli(numpy.zeros((1, 2))).log_prob(nan)).all()


@pytest.mark.parametrize("kind", [Bernoulli, Categorical])
def test_gradients_beside_probability_0_are_those_without_it(kind, device):
    """An entry of probability 0 has none itself, and leaves those of the others as if it were not there."""

    def gradients(values):
        logits = Tensor(sv.backend.asarray(numpy.array([values]), device))
        d, other = kind(logits), kind(sv.backend.asarray(0.5 * numpy.array([values]), device))
        if kind is Bernoulli:
            x = sv.backend.asarray(numpy.array([[float(value > 0) for value in values]]), device)
        else:
            x = sv.backend.asarray(numpy.array([1]), device)
        return [
            sv.to_numpy(grad(sv.ops.sum(y), [logits])[0])
            for y in (d.log_prob(x), d.entropy(), kl(d, other), kl(other, d))
        ]

    for with_zero, without in zip(gradients([0.3, 1.2, -INFINITE]), gradients([0.3, 1.2]), strict=True):
        assert with_zero[0, 2] == 0
        numpy.testing.assert_allclose(with_zero[:, :2], without, rtol=1e-12, atol=1e-15)


def test_entropy_and_divergence_of_near_certain_coins_keep_their_digits():
    """log(1 + e^l) - m l is a difference of large numbers; -m log m - (1 - m) log(1 - m) is a sum of small ones."""
    for logit in (20.0, 60.0, -20.0, -60.0):
        p = math.exp(-abs(logit))
        entropy = Bernoulli(numpy.array([logit], numpy.float32)).entropy()
        assert entropy == pytest.approx(p * (1 + abs(logit)), rel=1e-5)
    q, p = (Bernoulli(numpy.array([logit], numpy.float32)) for logit in (25.0, 20.0))
    expected = math.exp(-20) - math.exp(-25) - 5 * math.exp(-25)
    assert kl(q, p) == pytest.approx(expected, rel=1e-4)


def test_a_class_of_probability_0_is_never_sampled():
    """Not even where rounding leaves the sum of the others below u."""
    rng = numpy.random.default_rng(0)
    logits = numpy.concatenate([rng.standard_normal((10_000, 6)), numpy.full((10_000, 1), -INFINITE)], axis=1)
    logits = logits.astype(numpy.float32)
    sums = Categorical(logits).mean.cumsum(axis=-1)[:, -1]
    largest = numpy.float32(1 - 2.0**-24)
    assert (sums <= largest).any()
    assert Categorical(logits).sample(numpy.full(10_000, largest)).max() == 5
