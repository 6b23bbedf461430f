"""The log densities that are computed a block at a time: their digits, their blocks, and subnormal numbers."""

import math

import numpy
import pytest

import scratchvae as sv
from scratchvae import ops
from scratchvae.autodiff import Tensor, grad
from scratchvae.backend import asarray, to_numpy
from scratchvae.errors import ShapeError
from scratchvae.models.vae import log_mean_exp
from scratchvae.ops import densities


def units_in_the_last_place(received, expected):
    return numpy.abs(received.astype(float) - expected) / numpy.spacing(numpy.abs(expected).astype("float32"))


def test_digits_of_the_bernoulli_term_and_its_slope():
    logits = numpy.linspace(-80, 80, 200_001, dtype="float32")
    exact = logits.astype(float)
    term = -ops.bernoulli_log_prob(numpy.zeros_like(logits), logits, event_ndim=0)
    assert units_in_the_last_place(term, numpy.logaddexp(0, exact)).max() < 4
    leaf = Tensor(logits)
    (slope,) = grad(ops.sum(-ops.bernoulli_log_prob(numpy.zeros_like(logits), leaf, event_ndim=0)), [leaf])
    assert units_in_the_last_place(slope, 1 / (1 + numpy.exp(-exact))).max() < 4


@pytest.mark.parametrize("block", [1, 5, 12, 40, 10**6])
@pytest.mark.parametrize("shape", [(4,), (7, 4), (3, 7, 4), (2, 3, 7, 4)])
def test_blocks_change_nothing(monkeypatch, shape, block):
    rng = numpy.random.default_rng(0)
    x, a, b = (Tensor(rng.standard_normal(s)) for s in (shape[-2:], shape, shape[-1:]))

    def results():
        y = [ops.bernoulli_log_prob(x, a), ops.normal_log_prob(x, a, b)]
        return [*(ops.sum(term * term) for term in y), *grad(ops.sum(y[0] * y[1]), [x, a, b])]

    whole = [getattr(result, "data", result) for result in results()]
    monkeypatch.setitem(densities.BLOCK, "cpu", block)
    for result, expected in zip(results(), whole, strict=True):
        numpy.testing.assert_allclose(getattr(result, "data", result), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("create_graph", [False, True])
def test_logits_may_be_fewer_than_the_entries(create_graph):
    """One logit for each row, or for all rows: dy / dx is that logit at every entry."""
    x, a = numpy.full((2, 3), 0.25), numpy.array([[1.0], [-2.0]])
    for logits in (a, a[:1]):
        leaves = [Tensor(x), Tensor(logits)]
        y = ops.sum(ops.bernoulli_log_prob(*leaves))
        d_x, d_logits = (getattr(g, "data", g) for g in grad(y, leaves, create_graph=create_graph))
        numpy.testing.assert_allclose(d_x, numpy.broadcast_to(logits, x.shape), rtol=1e-15)
        slopes = x - 1 / (1 + numpy.exp(-logits))
        expected = slopes.sum(axis=1, keepdims=True)
        numpy.testing.assert_allclose(d_logits, expected if len(logits) == 2 else expected.sum(0, keepdims=True))


def test_weights_that_change_no_digit_have_no_gradient():
    log_w = Tensor(-numpy.arange(200.0).reshape(200, 1) - 700)
    bound = log_mean_exp(log_w)
    numpy.testing.assert_allclose(bound.data, -700 - numpy.log(1 - numpy.exp(-1.0)) - numpy.log(200), rtol=1e-15)
    (weights,) = grad(ops.sum(bound), [log_w])
    numpy.testing.assert_allclose(weights[:48, 0], numpy.exp(-numpy.arange(48.0)) * (1 - numpy.exp(-1.0)), rtol=1e-12)
    assert not weights[49:].any()


def test_the_gradient_of_the_bound_holds_no_subnormal_numbers():
    """The weights of 50 draws differ by hundreds of nats at first, and their gradients pass through every layer."""
    rng = numpy.random.default_rng(0)
    logits = Tensor(3 * rng.standard_normal((50, 20, 784)).astype("float32"))
    x = (rng.random((20, 784)) < 0.3).astype("float32")
    (slope,) = grad(ops.mean(log_mean_exp(ops.bernoulli_log_prob(x, logits))), [logits])
    magnitudes = numpy.abs(slope[slope != 0])
    assert (slope == 0).mean() > 0.5 and magnitudes.min() > numpy.finfo("float32").tiny


def test_numbers_stand_for_arrays(device):
    """A prior Normal(0, 1) as two numbers, noise as one: values and slopes are those of arrays, on every device."""
    m, log_s = (sv.Tensor(asarray(numpy.array(x), device)) for x in ([[0.5, -1.0]], [[0.1, 0.3]]))
    zero, one = (asarray(numpy.full((1, 2), x), device) for x in (0.0, 1.0))
    for number, array in [
        (lambda: ops.normal_kl(m, log_s, 0.0, 0.0), lambda: ops.normal_kl(m, log_s, zero, zero)),
        (lambda: ops.normal_kl(0.0, log_s, zero, zero), lambda: ops.normal_kl(zero, log_s, zero, zero)),
        (lambda: ops.normal_draw(m, log_s, 1.0), lambda: ops.normal_draw(m, log_s, one)),
        (lambda: ops.normal_log_prob(m, 0.0, log_s), lambda: ops.normal_log_prob(m, zero, log_s)),
    ]:
        numpy.testing.assert_allclose(to_numpy(number().data), to_numpy(array().data), rtol=1e-12)
        received, expected = (grad(ops.sum(f()), [m, log_s]) for f in (number, array))
        for ours, right in zip(received, expected, strict=True):
            numpy.testing.assert_allclose(to_numpy(ours), to_numpy(right), rtol=1e-12)


def test_whole_numbers_have_a_density():
    assert ops.normal_log_prob(1, 0, 0, event_ndim=0) == pytest.approx(-0.5 - 0.5 * math.log(2 * math.pi))


@pytest.mark.parametrize("event_ndim", [-1, 3])
def test_an_event_has_axes_of_the_array(device, event_ndim):
    x = asarray(numpy.ones((2, 3)), device)
    with pytest.raises(ShapeError, match=f"expected an event of 0 to 2 axes, received event_ndim={event_ndim}"):
        ops.normal_kl(x, x, x, x, event_ndim=event_ndim)
