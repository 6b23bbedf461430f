"""The distribution over strings that a decoder gives; scratchvae/checks/molecules.py holds it to its equations."""

import itertools

import numpy
import pytest

import scratchvae as sv
from scratchvae import ops
from scratchvae.backend import asarray
from scratchvae.checks.molecules import STRINGS, enlarge, probability_by_hand
from scratchvae.distributions import Categorical, KnownEntries, Normal, SymbolSequence
from scratchvae.distributions.symbol_sequence import n_symbols
from scratchvae.errors import DataError, InputError, ShapeError
from scratchvae.gradcheck import check_gradients
from scratchvae.models.symbol_networks import SymbolDecoder
from scratchvae.noise import GivenNoise, Noise


def decoder(hidden_size=4, symbols=2, latent_size=2):
    """In float64, its weights so large that each symbol depends on z and on all before."""
    return enlarge(SymbolDecoder(symbols, latent_size, hidden_size, Noise(3)))


@pytest.fixture
def z(rng):
    return rng.standard_normal((4, 2))


def ended(x):
    """Sequences (N, T) with their end behind them."""
    return numpy.pad(x, ((0, 0), (0, 1)))


# ---- the density


def test_samples_of_z_have_each_its_density(rng):
    model, z = decoder(), rng.standard_normal((3, 4, 2))
    received = model(z).log_prob(STRINGS)
    assert received.shape == (3, 4)
    for s in range(3):
        numpy.testing.assert_allclose(received.data[s], model(z[s]).log_prob(STRINGS).data, rtol=0, atol=1e-13)


def test_a_prefix_has_the_probability_of_all_that_begin_with_it(z):
    """p(1, 2, ...) = p(1, 2, end) + p(1, 2, 1, ...) + p(1, 2, 2, ...)."""
    model = decoder()
    with sv.no_grad():
        p = model(numpy.repeat(z[:1], 4, axis=0))
        probabilities = numpy.exp(p.log_prob(numpy.array([[1, 2, 0], [1, 2, 1], [1, 2, 2], [1, 2, 2]])))
        prefix = numpy.exp(model(z[:1]).log_prob(numpy.array([[1, 2]])))
    assert abs(probabilities[:3].sum() - prefix[0]) < 1e-15


def test_the_end_is_scored_once():
    """A decoder that never sees a symbol, p = (1/2, 1/4, 1/4): a string of n symbols has 4^-n / 2."""
    model = decoder()
    for parameter in model.parameters():
        parameter.data *= 0
    model.head.bias.data[:] = numpy.log([2, 1, 1])
    with sv.no_grad():
        log_p = model(numpy.zeros((4, 2))).log_prob(STRINGS)
    numpy.testing.assert_allclose(log_p, -numpy.log(2) * (1 + 2 * n_symbols(STRINGS)), rtol=1e-14)


def test_gradients_of_every_parameter_and_of_z(z):
    model = decoder(3)
    parameters = [sv.Tensor(z), *model.parameters()]
    assert check_gradients(lambda *p: model(p[0]).log_prob(STRINGS), *parameters, order=1) < 1e-7
    small = decoder(2)
    assert check_gradients(lambda z: small(z).log_prob(STRINGS[:, :4]), z, order=2) < 1e-6


@pytest.mark.parametrize("shape", [(3, 6), (5, 6), (4, 0), (4,), (4, 6, 1)])
def test_what_is_no_batch_of_sequences_is_refused(z, shape):
    with pytest.raises(ShapeError, match=r"sequences of shape \(4, T\)"):
        decoder()(z).log_prob(numpy.zeros(shape, dtype=int))


REFUSED = {
    "one sequence": (STRINGS[0], r"integers of shape \(N, T\), received shape \(6,\)"),
    "negative": (-STRINGS, "a number below 0 in row 0"),
    "no end": (STRINGS[:, :2], "and 0 from the end on, in every row, received no end in row 0"),
    "no symbol": (ended(STRINGS * [[1], [0], [1], [1]]), "received no symbol in row 1"),
    "behind the end": (numpy.array([[1, 2, 2, 0], [1, 0, 2, 0]]), "received symbols behind the end in row 1"),
    "no steps": (numpy.zeros((3, 0), int), r"symbols in every row, received shape \(3, 0\)"),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_what_is_no_sequence_is_refused(mistake):
    x, sentence = REFUSED[mistake]
    with pytest.raises(DataError, match=sentence):
        SymbolSequence.check_data(x)
    SymbolSequence.check_data(STRINGS)


def test_symbols_are_counted_to_the_first_end():
    assert n_symbols(STRINGS).tolist() == [3, 1, 5, 2]
    assert n_symbols(STRINGS[:, :2]).tolist() == [2, 1, 2, 2] and n_symbols(STRINGS[0]) == 3


# ---- sequences that are written


def test_every_symbol_follows_from_those_before(rng):
    """Each symbol drawn = the Categorical's, by the same number, after the prefix that was drawn."""
    model, longest, n = decoder(), 6, 30
    z, u = rng.standard_normal((n, 2)), rng.random((longest, n))
    x = model(z).sample(GivenNoise({"symbols": u}), 0.7, longest)
    assert x.shape == (n, longest + 1) and len(set(n_symbols(x).tolist())) > 3
    for i, row in enumerate(x):
        for t in range(min(n_symbols(row) + 1, longest)):
            prefixes = numpy.array([[*row[:t], k] for k in range(3)])
            log_p = [probability_by_hand(model, prefix, z[i]) for prefix in prefixes]
            assert row[t] == Categorical(numpy.array([log_p]) / 0.7).sample(u[t, [i]])[0]


def test_the_most_probable_symbol_of_every_step(rng):
    model, z = decoder(), rng.standard_normal((20, 2))
    for row, point in zip(model(z).greedy(5), z, strict=True):
        for t in range(min(n_symbols(row) + 1, 5)):
            log_p = [probability_by_hand(model, numpy.array([*row[:t], k]), point) for k in range(3)]
            assert row[t] == numpy.argmax(log_p)


def test_a_beam_is_no_worse_the_wider_it_is(rng):
    model, z = decoder(symbols=3, hidden_size=5), rng.standard_normal((40, 2))
    with sv.no_grad():
        p = model(z)
        found = {width: p.beam(width, 5) for width in (1, 2, 4, 400)}
        log_p = {width: p.log_prob(x[:, :5]) for width, x in found.items()}
    assert numpy.array_equal(found[1], p.greedy(5))
    assert (log_p[400] >= numpy.maximum(log_p[1], log_p[4]) - 1e-12).all()
    assert log_p[1].mean() < log_p[2].mean() <= log_p[4].mean() + 1e-12


def test_a_beam_keeps_the_most_probable_beginnings(rng):
    """A width of two, by hand from the probabilities of prefixes."""
    model = decoder(symbols=2)
    for point in rng.standard_normal((10, 2)):
        beginnings = [()]
        for _ in range(4):
            candidates = {b for b in beginnings if 0 in b}
            candidates |= {(*b, k) for b in beginnings if 0 not in b for k in range(3)}
            scores = {b: probability_by_hand(model, numpy.array(b), point) for b in candidates}
            beginnings = sorted(candidates, key=lambda b: -scores[b])[:2]
        best = [*beginnings[0], 0, 0, 0, 0, 0][:5]
        assert model(point[None]).beam(2, 4)[0].tolist() == best


def test_sequences_end_and_nothing_stands_behind(rng):
    model, z = decoder(), rng.standard_normal((3, 20, 2))
    p = model(z)
    written = [p.sample(Noise(1), 1.0, 4), p.sample(Noise(1), 0.1, 4), p.greedy(4), p.beam(3, 4)]
    for x in written:
        assert x.shape == (3, 20, 5) and x.dtype == numpy.int64
        assert (n_symbols(x)[..., None] > numpy.arange(5)).tolist() == (x > 0).tolist()
    model.head.bias.data[0] = -1e3
    p = model(z)
    for x in (p.sample(Noise(1), 1.0, 4), p.greedy(4), p.beam(3, 4)):
        assert (n_symbols(x) == 4).all()


def test_a_low_temperature_is_greedy_and_a_high_one_takes_every_symbol(rng):
    p = decoder()(rng.standard_normal((2000, 2)))
    assert numpy.array_equal(p.sample(Noise(0), 1e-6, 6), p.greedy(6))
    first = p.sample(Noise(0), 1e6, 1)[:, 0]
    numpy.testing.assert_allclose(numpy.bincount(first) / 2000, 1 / 3, atol=0.05)


def test_bad_requests_are_refused(z):
    p = decoder()(z)
    for temperature in (0.0, -1.0, numpy.inf, numpy.nan):
        with pytest.raises(InputError, match="a positive temperature"):
            p.sample(Noise(0), temperature, 4)
    for use in (p.greedy, lambda longest: p.beam(2, longest), lambda longest: p.sample(Noise(0), 1.0, longest)):
        with pytest.raises(InputError, match="longest of at least 1, received 0"):
            use(0)
    with pytest.raises(InputError, match="width of at least 1, received 0"):
        p.beam(0, 4)


def test_single_precision_stays_on_every_device(z, device):
    model = decoder().to(dtype=numpy.float32)
    results, u = {}, numpy.random.default_rng(4).random((6, 4), dtype=numpy.float32)
    for where in {"cpu", device}:
        model = model.to(where)
        points = asarray(z.astype(numpy.float32), where)
        log_p = model(points).log_prob(asarray(STRINGS.astype(numpy.uint8), where))
        gradients = sv.grad(ops.sum(log_p), model.parameters())
        assert {array.dtype for array in (log_p.data, *gradients)} == {numpy.dtype("float32")}
        with sv.no_grad():
            p = model(points)
            written = p.sample(GivenNoise({"symbols": asarray(u, where)}), 0.8, 6), p.greedy(6), p.beam(3, 6)
        assert all(type(x) is type(points) for x in written)
        results[where] = [sv.to_numpy(part) for part in (log_p.data, *gradients, *written)]
    for received, expected in zip(results[device], results["cpu"], strict=True):
        numpy.testing.assert_allclose(received, expected, rtol=0, atol=2e-5)


def test_all_strings_of_an_alphabet_of_three(rng):
    """p over strings of up to 3 symbols and the prefixes of 4 sums to 1, with a third symbol that no check row has."""
    model, z = decoder(symbols=3), rng.standard_normal((1, 2))
    total = 0.0
    for n in range(5):
        strings = numpy.array(list(itertools.product([1, 2, 3], repeat=n)), dtype=int)
        x = strings if n == 4 else ended(strings)
        with sv.no_grad():
            total += numpy.exp(model(z.repeat(len(x), axis=0)).log_prob(x)).sum()
    assert abs(total - 1) < 1e-14


# ---- vectors with entries that are not known


def test_entries_that_are_not_known_have_no_density_and_no_gradient(rng):
    t = numpy.array([[1.0, numpy.nan, -2.0], [numpy.nan] * 3, [0.5, 0.0, 3.0]])
    mean, log_std = sv.Tensor(rng.standard_normal((3, 3))), sv.Tensor(rng.standard_normal(3))
    log_p = KnownEntries(Normal(mean, log_std)).log_prob(t)
    known = ~numpy.isnan(t)
    each = Normal(mean.data, log_std.data, event_ndim=0).log_prob(numpy.nan_to_num(t))
    numpy.testing.assert_allclose(log_p.data, numpy.where(known, each, 0).sum(axis=1), rtol=1e-14)
    gradients = sv.grad(ops.sum(log_p), [mean, log_std])
    assert all(numpy.isfinite(gradient).all() for gradient in gradients)
    assert ((gradients[0] != 0) == known).all()


def test_an_infinite_entry_is_known_and_impossible():
    p = KnownEntries(Normal(numpy.zeros(2), numpy.zeros(2)))
    log_p = p.log_prob(numpy.array([[numpy.inf, 0.0], [-numpy.inf, numpy.nan], [numpy.nan, numpy.nan]]))
    assert log_p.tolist() == [-numpy.inf, -numpy.inf, 0.0]
