"""Packed sequences, the LSTM as a layer, and that of two directions."""

import math

import numpy
import pytest

import scratchvae as sv
from scratchvae import ops
from scratchvae.backend import asarray
from scratchvae.errors import InputError, ShapeError
from scratchvae.gradcheck import check_gradients
from scratchvae.nn import LSTM, Bidirectional, Packing, orthogonal
from scratchvae.noise import Noise

LENGTHS = numpy.array([2, 5, 1, 5, 3])


@pytest.fixture
def x(rng):
    """Five sequences whose padding is NaN: whoever reads it shows it."""
    x = rng.standard_normal((5, 7, 3))
    x[numpy.arange(7) >= LENGTHS[:, None]] = numpy.nan
    return x


def layer(**options):
    return LSTM(3, 4, Noise(0), **options).to(dtype=numpy.float64)


def two_directions(input_size=3, hidden_size=4, **options):
    return Bidirectional(lambda noise: LSTM(input_size, hidden_size, noise, **options), Noise(0))


# ---- packing


def test_rows_are_all_first_steps_then_all_second_ones_the_longest_sequence_first(x):
    packing = Packing(LENGTHS)
    assert packing.counts == [5, 4, 3, 2, 2] and all(type(n) is int for n in packing.counts)
    assert packing.order.tolist() == [1, 3, 4, 0, 2]
    expected = [x[n, t] for t in range(5) for n in (1, 3, 4, 0, 2) if t < LENGTHS[n]]
    numpy.testing.assert_array_equal(packing.pack(x), expected)
    numpy.testing.assert_array_equal(packing.pack(x)[packing.last], x[numpy.arange(5), LENGTHS - 1])


def test_reversed_rows_are_the_sequences_read_backwards(x):
    packing, backwards = Packing(LENGTHS), numpy.full_like(x, numpy.nan)
    for n, length in enumerate(LENGTHS):
        backwards[n, :length] = x[n, :length][::-1]
    numpy.testing.assert_array_equal(packing.pack(x)[packing.reversal], packing.pack(backwards))


def test_the_sum_of_a_sequence_runs_over_its_own_steps(x):
    packing = Packing(LENGTHS)
    sums = packing.sum(packing.pack(x)[:, 0])
    numpy.testing.assert_allclose(sums, numpy.nansum(x[:, :, 0], axis=1), rtol=1e-15)


@pytest.mark.parametrize("lengths", [[], [2, 0], [1.0, 2.0], [[1, 2]]])
def test_lengths_that_are_none_are_refused(lengths):
    with pytest.raises(InputError, match="lengths of at least 1"):
        Packing(numpy.array(lengths, dtype=None if lengths else int))


def test_sequences_shorter_than_their_length_or_of_another_number_are_refused(x):
    for wrong in (x[:, :4], x[:4], x[:, 0, 0]):
        with pytest.raises(ShapeError, match=r"\(5, 5 or more"):
            Packing(LENGTHS).pack(wrong)


@pytest.mark.parametrize("counts", [[], [2, 3], [3, 2, 1], [5], [3, 2, 0], [2, 2, 1]])
def test_counts_that_do_not_fit_are_refused(rng, counts):
    arrays = [rng.standard_normal(shape) for shape in ((5, 8), (2, 8), (3, 2), (3, 2))]
    with pytest.raises(ShapeError, match="counts that begin with 3, never rise and add up to 5"):
        ops.lstm(*arrays, counts=counts)


def test_a_normalisation_in_part_is_refused(rng):
    arrays = [rng.standard_normal(shape) for shape in ((5, 8), (2, 8), (3, 2), (3, 2), (3, 8), (8,), (8,))]
    with pytest.raises(InputError, match="all scales and shifts, or none, received 2 of 4"):
        ops.lstm(*arrays, counts=[3, 2])


# ---- LSTM


def equations(lstm, x, h, c, constant):
    """One sequence (T, D) as the equations stand in the textbooks."""
    p = {name: value.data for name, value in lstm.named_parameters().items()}
    size, hs = lstm.hidden_size, []

    def normalized(a):
        return (a - a.mean(-1, keepdims=True)) / numpy.sqrt(a.var(-1, keepdims=True) + 1e-5)

    for x_t in x:
        a = x_t @ p["weight"] + h @ p["recurrent"] + constant
        if lstm.layer_norm:
            a = normalized(a.reshape(4, size)).ravel() * p["gate_scale"]
        i, f, o, g = (a + p["bias"]).reshape(4, size)
        i, f, o = (1 / (1 + numpy.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * numpy.tanh(g)
        h = o * numpy.tanh(normalized(c) * p["cell_scale"] + p["cell_shift"] if lstm.layer_norm else c)
        hs.append(h)
    return numpy.array(hs)


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("with_state", [False, True])
def test_the_layer_is_its_equations_for_each_sequence(rng, x, layer_norm, with_state):
    lstm, packing = layer(layer_norm=layer_norm), Packing(LENGTHS)
    for parameter in lstm.parameters():
        parameter.data += 0.3 * rng.standard_normal(parameter.shape)
    h, c, constant = (with_state * rng.standard_normal(shape) for shape in ((5, 4), (5, 4), (5, 16)))
    with sv.no_grad():
        y = lstm(packing.pack(x), packing, *([(h, c), constant] if with_state else []))
        state, steps = (h, c), []
        for t in range(5):  # what is sampled step by step
            state = lstm.step(numpy.nan_to_num(x[:, t]), state, constant)
            steps.append(state[0])
    for n, length in enumerate(LENGTHS):
        expected = equations(lstm, x[n, :length], h[n], c[n], constant[n])
        numpy.testing.assert_allclose(y[packing.sequence == n], expected, rtol=0, atol=1e-14)
        numpy.testing.assert_allclose(numpy.array(steps)[:length, n], expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("both", [False, True])
def test_padding_and_the_order_of_the_batch_change_no_bit(x, both):
    network = two_directions().to(dtype=numpy.float64) if both else layer()

    def last(x, lengths):
        packing = Packing(lengths)
        with sv.no_grad():
            y = network(packing.pack(x), packing)
        return y if both else y[packing.last]

    lengths = numpy.array([2, 5, 1, 4, 3])  # of one length, two sequences may change places within a product
    y = last(x, lengths)
    longer = numpy.concatenate([x, numpy.full((5, 17, 3), numpy.nan)], axis=1)
    numpy.testing.assert_array_equal(last(longer, lengths), y)
    order = numpy.array([3, 0, 4, 2, 1])
    numpy.testing.assert_array_equal(last(x[order], lengths[order]), y[order])
    numpy.testing.assert_allclose(last(x[order], LENGTHS[order]), last(x, LENGTHS)[order], rtol=0, atol=1e-15)


def test_two_directions_are_two_layers_the_second_on_what_is_turned_round(x):
    network = two_directions().to(dtype=numpy.float64)
    packing = Packing(LENGTHS)
    with sv.no_grad():
        y = network(packing.pack(x), packing)
    zeros = numpy.zeros(4)
    for n, length in enumerate(LENGTHS):
        whole = x[n, :length]
        forwards = equations(network.forwards, whole, zeros, zeros, 0)[-1]
        backwards = equations(network.backwards, whole[::-1], zeros, zeros, 0)[-1]
        numpy.testing.assert_allclose(y[n], numpy.concatenate([forwards, backwards]), rtol=0, atol=1e-14)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_gradients_of_every_parameter(rng, layer_norm):
    network, packing = two_directions(2, 2, layer_norm=layer_norm).to(dtype=numpy.float64), Packing([2, 3, 1])
    rows = packing.pack(rng.standard_normal((3, 3, 2)))
    parameters = network.parameters()
    assert len(parameters) == (12 if layer_norm else 6)
    assert check_gradients(lambda *_: network(rows, packing, Noise(3)), *parameters, order=1) < 1e-8


def test_dropout_multiplies_the_candidates_alone_and_anew_in_each_step(x):
    lstm, packing = layer(keep=0.75), Packing(LENGTHS)
    rows, zeros = packing.pack(x), numpy.zeros((5, 4))
    factors = lstm.dropout_factors(Noise(5), (4000, 4))
    assert set(numpy.unique(factors).tolist()) == {0.0, 1 / 0.75}
    assert abs(factors.mean() - 1) < 4 * math.sqrt((1 / 0.75 - 1) / factors.size)
    assert (factors[0] != factors[1:]).any(axis=1).mean() > 0.5
    with sv.no_grad():
        numpy.testing.assert_array_equal(lstm(rows, packing), layer()(rows, packing))
        y, factors = lstm(rows, packing, noise=Noise(5)), lstm.dropout_factors(Noise(5), (len(rows), 4))
        first = lstm.step(rows[:5], (zeros, zeros))
        i, f, o, g = (rows[:5] @ lstm.weight.data + lstm.bias.data).reshape(5, 4, 4).swapaxes(0, 1)
    expected = numpy.tanh(numpy.tanh(g) * factors[:5] / (1 + numpy.exp(-i))) / (1 + numpy.exp(-o))
    numpy.testing.assert_allclose(y[:5], expected, rtol=0, atol=1e-14)
    assert not numpy.array_equal(first[0], y[:5])
    other = lstm(rows, packing, noise=Noise(5, step=1)).data
    assert not numpy.array_equal(other, y)


def test_initial_values():
    lstm = LSTM(6, 9, Noise(1))
    bound = math.sqrt(6 / (6 + 9))
    assert 0.9 * bound < abs(lstm.weight.data).max() <= bound
    numpy.testing.assert_array_equal(lstm.bias.data, numpy.repeat([0.0, 1.0, 0.0, 0.0], 9))
    blocks = lstm.recurrent.data.reshape(9, 4, 9).swapaxes(0, 1).astype(numpy.float64)
    for k, block in enumerate(blocks):
        numpy.testing.assert_allclose(block.T @ block, numpy.eye(9), atol=1e-6)
        assert k == 0 or not numpy.allclose(block, blocks[0])
    assert repr(LSTM(6, 9, Noise(1), layer_norm=True, keep=0.9)) == "LSTM(6 -> 9, layer norm, keep 0.9)"


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4)])
def test_orthogonal_matrices_have_orthonormal_rows_or_columns_and_no_preferred_sign(shape):
    w = orthogonal(Noise(0), shape).astype(numpy.float64)
    assert w.shape == shape
    small = w if shape[0] >= shape[1] else w.T
    numpy.testing.assert_allclose(small.T @ small, numpy.eye(min(shape)), atol=1e-6)
    corners = numpy.array([orthogonal(Noise(seed), (2, 2)).ravel() for seed in range(400)])
    assert (abs(corners.mean(axis=0)) < 4 * math.sqrt(0.5 / 400)).all()  # Householder's Q alone has one sign


@pytest.mark.parametrize("arguments", [(0, 4), (3, 0), (3, 2.5)])
def test_sizes_that_are_none_are_refused(arguments):
    with pytest.raises(InputError, match="LSTM"):
        LSTM(*arguments, Noise(0))


@pytest.mark.parametrize("keep", [0.0, 1.5, -1.0, math.nan])
def test_a_keep_that_is_no_probability_is_refused(keep):
    with pytest.raises(InputError, match="keep above 0, at most 1"):
        LSTM(3, 4, Noise(0), keep=keep)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_single_precision_stays_on_every_device(rng, device, layer_norm):
    network = two_directions(layer_norm=layer_norm, keep=0.8).to(device)
    x, packing = rng.standard_normal((5, 5, 3)).astype(numpy.float32), Packing(LENGTHS, device)
    noise = Noise(1, device=device)
    y = network(packing.pack(asarray(x, device)), packing, noise)
    gradients = sv.grad(ops.sum(y * y), network.parameters())
    assert {a.dtype for a in [y, *gradients]} == {numpy.dtype("float32")}
    if device == "cpu":
        return
    packing, network = Packing(LENGTHS), network.to("cpu")
    with sv.no_grad():
        expected = network(packing.pack(x), packing)
        received = network.to(device)(Packing(LENGTHS, device).pack(asarray(x, device)), Packing(LENGTHS, device))
    numpy.testing.assert_allclose(sv.to_numpy(received), expected, rtol=0, atol=1e-5)  # of another tanh
