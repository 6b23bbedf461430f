"""The GRU: as a primitive, as a layer of numbers and of symbols, and in two directions."""

import math

import numpy
import pytest

import scratchvae as sv
from scratchvae import ops
from scratchvae.backend import asarray
from scratchvae.errors import InputError, ShapeError
from scratchvae.gradcheck import check_gradients
from scratchvae.nn import GRU, Bidirectional, Packing
from scratchvae.noise import Noise
from scratchvae.ops import linalg

LENGTHS = numpy.array([2, 5, 1, 5, 3])


@pytest.fixture
def x(rng):
    """Five sequences whose padding is NaN: whoever reads it shows it."""
    x = rng.standard_normal((5, 7, 3))
    x[numpy.arange(7) >= LENGTHS[:, None]] = numpy.nan
    return x


@pytest.fixture
def symbols(rng):
    """Five sequences of symbols 0, 1 and 2, whose padding is none of them."""
    symbols = rng.integers(0, 3, (5, 7))
    symbols[numpy.arange(7) >= LENGTHS[:, None]] = -7
    return symbols


def layer(rng=None, input_size=3):
    """A layer in double precision, with biases if there is a generator for them."""
    gru = GRU(input_size, 4, Noise(0)).to(dtype=numpy.float64)
    for parameter in gru.parameters() if rng else ():
        parameter.data += 0.3 * rng.standard_normal(parameter.shape)
    return gru


def two_directions(input_size=3, hidden_size=4):
    return Bidirectional(lambda noise: GRU(input_size, hidden_size, noise), Noise(0)).to(dtype=numpy.float64)


def equations(gru, x, h, constant=0.0):
    """One sequence (T, D) as the equations stand in the docstring."""
    p, hs = {name: value.data for name, value in gru.named_parameters().items()}, []
    for x_t in x:
        x_r, x_u, x_n = (x_t @ p["weight"] + p["bias"] + constant).reshape(3, -1)
        h_r, h_u, h_n = (h @ p["recurrent"]).reshape(3, -1)
        r, u = 1 / (1 + numpy.exp(-x_r - h_r)), 1 / (1 + numpy.exp(-x_u - h_u))
        h = (1 - u) * numpy.tanh(x_n + r * (h_n + p["recurrent_bias"])) + u * h
        hs.append(h)
    return numpy.array(hs)


# ---- the primitive


def test_the_primitive_is_its_steps(rng):
    counts, size = [4, 4, 3, 1], 3
    inputs, recurrent, bias, h, constant = (
        rng.standard_normal(shape) for shape in ((12, 9), (3, 9), (3,), (4, size), (4, 9))
    )
    y, start, expected = ops.gru(inputs, recurrent, bias, h, constant, counts=counts), 0, []
    for n in counts:
        h = ops.gru_step(inputs[start : start + n], recurrent, bias, h[:n], constant[:n])
        expected.append(h)
        start += n
    numpy.testing.assert_allclose(y, numpy.concatenate(expected), rtol=0, atol=1e-14)


@pytest.mark.parametrize("counts", [[], [2, 3], [3, 2, 1], [5], [3, 2, 0], [2, 2, 1]])
def test_counts_that_do_not_fit_are_refused(rng, counts):
    arrays = [rng.standard_normal(shape) for shape in ((5, 6), (2, 6), (2,), (3, 2))]
    with pytest.raises(ShapeError, match="gru: expected counts that begin with 3, never rise and add up to 5"):
        ops.gru(*arrays, counts=counts)


@pytest.mark.parametrize("counts", [[4, 4, 4, 4], [4, 3, 3, 1]])
def test_the_layer_is_pytorchs_packed_one(rng, counts):
    torch = pytest.importorskip("torch")
    lengths, gru = numpy.array([sum(n > k for n in counts) for k in range(4)]), layer(rng)
    packing = Packing(lengths)
    x, h, g = (rng.standard_normal(shape) for shape in ((4, 4, 3), (4, 4), (sum(counts), 4)))
    leaves = [sv.Tensor(packing.pack(x)), sv.Tensor(h)]
    y = gru(leaves[0], packing, leaves[1])
    ours = sv.grad(ops.sum(y * g), [*leaves, *gru.parameters()])

    peer = torch.nn.GRU(3, 4, dtype=torch.float64)
    with torch.no_grad():
        peer.weight_ih_l0[:], peer.weight_hh_l0[:] = torch.tensor(gru.weight.data.T), torch.tensor(gru.recurrent.data.T)
        peer.bias_ih_l0[:], peer.bias_hh_l0[:] = torch.tensor(gru.bias.data), 0.0
        peer.bias_hh_l0[8:] = torch.tensor(gru.recurrent_bias.data)
    x_peer, h_peer = torch.tensor(leaves[0].data, requires_grad=True), torch.tensor(h, requires_grad=True)
    rows = torch.nn.utils.rnn.PackedSequence(x_peer, torch.tensor(packing.counts))
    y_peer = peer(rows, h_peer[torch.tensor(packing.order)][None])[0].data
    numpy.testing.assert_allclose(y.data, y_peer.detach(), rtol=0, atol=1e-12)
    leaves = [x_peer, h_peer, peer.weight_ih_l0, peer.weight_hh_l0, peer.bias_ih_l0, peer.bias_hh_l0]
    theirs = [a.numpy() for a in torch.autograd.grad((y_peer * torch.tensor(g)).sum(), leaves)]
    theirs[2:] = [theirs[2].T, theirs[3].T, theirs[4], theirs[5][8:]]
    for received, expected in zip(ours, theirs, strict=True):
        numpy.testing.assert_allclose(received, expected, rtol=0, atol=1e-12)


# ---- the layer


@pytest.mark.parametrize("with_state", [False, True])
def test_the_layer_is_its_equations_for_each_sequence(rng, x, with_state):
    gru, packing = layer(rng), Packing(LENGTHS)
    h, constant = (with_state * rng.standard_normal(shape) for shape in ((5, 4), (5, 12)))
    with sv.no_grad():
        y = gru(packing.pack(x), packing, *([h, constant] if with_state else []))
        state, steps = h, []
        for t in range(5):  # what is sampled step by step
            state = gru.step(numpy.nan_to_num(x[:, t]), state, constant)
            steps.append(state)
    numpy.testing.assert_array_equal(gru(packing.pack(x), packing, h, constant).data, y)  # with and without a graph
    for n, length in enumerate(LENGTHS):
        expected = equations(gru, x[n, :length], h[n], constant[n])
        numpy.testing.assert_allclose(y[packing.sequence == n], expected, rtol=0, atol=1e-14)
        numpy.testing.assert_allclose(numpy.array(steps)[:length, n], expected, rtol=0, atol=1e-14)


def test_symbols_are_one_hot_rows(rng, symbols):
    gru, packing = layer(rng), Packing(LENGTHS)
    rows, h, g = packing.pack(symbols), rng.standard_normal((5, 4)), rng.standard_normal((LENGTHS.sum(), 4))
    one_hot = numpy.eye(3)[rows]
    by_symbols, by_rows = gru(rows, packing, h), gru(one_hot, packing, h)
    numpy.testing.assert_allclose(by_symbols.data, by_rows.data, rtol=0, atol=1e-14)
    gradients = [sv.grad(ops.sum(y * g), gru.parameters()) for y in (by_symbols, by_rows)]
    for received, expected in zip(*gradients, strict=True):
        numpy.testing.assert_allclose(received, expected, rtol=0, atol=1e-13)
    with sv.no_grad():
        numpy.testing.assert_allclose(gru.step(rows[:5], h), gru.step(one_hot[:5], h), rtol=0, atol=1e-14)
        numpy.testing.assert_array_equal(gru(rows.astype(numpy.uint8), packing, h), by_symbols.data)


@pytest.mark.parametrize("wrong", [-1, 3])
def test_symbols_without_a_row_are_refused(wrong):
    gru, packing = layer(), Packing([2, 1])
    with pytest.raises(InputError, match="gather_rows: expected an index from 0 to 2, received"):
        gru(numpy.array([0, 1, wrong]), packing)
    with pytest.raises(InputError, match="gather_rows: expected an index from 0 to 2, received"):
        gru.step(numpy.array([wrong]), numpy.zeros((1, 4)))
    with pytest.raises(InputError, match=r"an index of integers, shape \(R,\), received int64, shape \(3, 1\)"):
        gru(numpy.array([[0], [1], [2]]), packing)


def test_rows_are_added_up_in_parts_as_at_once(rng, monkeypatch):
    x, index = rng.standard_normal((50, 3)), rng.integers(0, 6, 50)
    expected = numpy.zeros((7, 3))
    numpy.add.at(expected, index, x)
    for limit in (1, 7 * 8, 10**6):
        monkeypatch.setattr(linalg, "LARGEST_INDICATOR", limit)
        numpy.testing.assert_allclose(ops.scatter_rows(x, index, 7), expected, rtol=0, atol=1e-13)
    with pytest.raises(ShapeError, match="scatter_rows: expected an index for each of 50 rows, received 49"):
        ops.scatter_rows(x, index[:-1], 7)
    for wrong in (-1, 7):
        index[8] = wrong
        with pytest.raises(InputError, match="scatter_rows: expected an index from 0 to 6"):
            ops.scatter_rows(x, index, 7)


@pytest.mark.parametrize("both", [False, True])
def test_padding_and_the_order_of_the_batch_change_no_bit(x, both):
    network = two_directions() if both else layer()

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


def test_two_directions_are_two_layers_the_second_on_what_is_turned_round(symbols):
    network, packing, zeros = two_directions(), Packing(LENGTHS), numpy.zeros(4)
    with sv.no_grad():
        y = network(packing.pack(symbols), packing)
    assert list(network.named_parameters()) == [
        f"{direction}.{name}"
        for direction in ("forwards", "backwards")
        for name in ("weight", "recurrent", "bias", "recurrent_bias")
    ]
    for n, length in enumerate(LENGTHS):
        whole = numpy.eye(3)[symbols[n, :length]]
        forwards = equations(network.forwards, whole, zeros)[-1]
        backwards = equations(network.backwards, whole[::-1], zeros)[-1]
        numpy.testing.assert_allclose(y[n], numpy.concatenate([forwards, backwards]), rtol=0, atol=1e-14)


def test_gradients_of_every_parameter(rng):
    network, packing = two_directions(2, 2), Packing([2, 3, 1])
    rows, symbols = packing.pack(rng.standard_normal((3, 3, 2))), packing.pack(rng.integers(0, 2, (3, 3)))
    for data in (rows, symbols):
        assert check_gradients(lambda *_, data=data: network(data, packing), *network.parameters(), order=2) < 1e-6


def test_initial_values():
    gru = GRU(6, 9, Noise(1))
    bound = math.sqrt(6 / (6 + 9))
    assert 0.9 * bound < abs(gru.weight.data).max() <= bound
    assert not gru.bias.data.any() and not gru.recurrent_bias.data.any()
    blocks = gru.recurrent.data.reshape(9, 3, 9).swapaxes(0, 1).astype(numpy.float64)
    for k, block in enumerate(blocks):
        numpy.testing.assert_allclose(block.T @ block, numpy.eye(9), atol=1e-6)
        assert k == 0 or not numpy.allclose(block, blocks[0])
    assert repr(gru) == "GRU(6 -> 9)" and repr(two_directions()) == "forwards and backwards GRU(3 -> 4)"


@pytest.mark.parametrize("arguments", [(0, 4), (3, 0), (3, 2.5)])
def test_sizes_that_are_none_are_refused(arguments):
    with pytest.raises(InputError, match="GRU"):
        GRU(*arguments, Noise(0))


@pytest.mark.parametrize("of_symbols", [False, True])
def test_single_precision_stays_on_every_device(rng, x, symbols, device, of_symbols):
    network = two_directions().to(dtype=numpy.float32)
    data = symbols if of_symbols else x.astype(numpy.float32)

    def outcome(network, device):
        packing = Packing(LENGTHS, device)
        y = network(packing.pack(asarray(data, device)), packing)
        return [y.data, *sv.grad(ops.sum(y * y), network.parameters())]

    expected = outcome(network, "cpu")
    received = outcome(network.to(device), device)
    assert {a.dtype for a in received} == {numpy.dtype("float32")}
    for ours, right in zip(received, expected, strict=True):
        numpy.testing.assert_allclose(sv.to_numpy(ours), right, rtol=0, atol=1e-5)
