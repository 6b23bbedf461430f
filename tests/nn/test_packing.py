"""Padded sequences give what packed ones give: states, sums, dropout and every gradient."""

import numpy
import pytest

import scratchvae as sv
from scratchvae import ops
from scratchvae.nn import GRU, LSTM, Bidirectional, Packing
from scratchvae.nn.packing import Padding
from scratchvae.noise import Noise

LENGTHS, N_STEPS = numpy.array([2, 5, 1, 5, 3]), 6


def lstm(noise):
    return LSTM(3, 4, noise, keep=0.75)


def normalized_lstm(noise):
    return LSTM(3, 4, noise, layer_norm=True)


def gru(noise):
    return GRU(3, 4, noise)


LAYERS = {"LSTM": lstm, "LSTM with layer norm": normalized_lstm, "GRU": gru}


def in_double_precision(rng, layer):
    layer.to(dtype=numpy.float64)
    for parameter in layer.parameters():
        parameter.data += 0.3 * rng.standard_normal(parameter.shape)
    return layer


def assert_close(received, expected):
    for a, b in zip(received, expected, strict=True):
        numpy.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


def test_every_row_of_a_packing_is_one_of_the_padding(rng):
    x, packing, padding = rng.standard_normal((5, 7, 3)), Packing(LENGTHS), Padding(LENGTHS, N_STEPS)
    packed, padded, within = packing.pack(x), padding.pack(x), padding.within
    numpy.testing.assert_array_equal(padded.reshape(N_STEPS, 5, 3).swapaxes(0, 1), x[:, :N_STEPS])
    assert padding.counts == [5] * N_STEPS and within.sum() == len(packed)
    numpy.testing.assert_array_equal(padded[within], packed[padding.packed[within]])
    assert sorted(padding.packed[within]) == list(range(len(packed)))
    numpy.testing.assert_array_equal(padding.from_packed(packed)[within], padded[within])
    numpy.testing.assert_array_equal(padded[padding.reversal][within], packed[packing.reversal][padding.packed[within]])
    numpy.testing.assert_array_equal(padding.reversal[~within], numpy.flatnonzero(~within))
    numpy.testing.assert_array_equal(padded[padding.last], packed[packing.last])
    numpy.testing.assert_allclose(padding.sum(padded[:, 0]), packing.sum(packed[:, 0]), rtol=1e-14)


@pytest.mark.parametrize("name, symbols", [*((name, False) for name in LAYERS), ("GRU", True)])
def test_states_and_gradients_are_those_of_packed_rows(rng, name, symbols):
    """Of the sum over all steps, with weights, of what a density would be; the padding holds numbers like any."""
    layer = in_double_precision(rng, LAYERS[name](Noise(0)))
    x, weights = rng.standard_normal((5, N_STEPS, 3)), rng.standard_normal((5, N_STEPS, 4))
    x = rng.integers(0, 3, (5, N_STEPS)) if symbols else x
    n_blocks, n_states = (3, 1) if name == "GRU" else (4, 2)
    start = [sv.Tensor(rng.standard_normal((5, 4))) for _ in range(n_states)]
    constant, outer = sv.Tensor(rng.standard_normal((5, 4 * n_blocks))), rng.standard_normal(5)
    options = {} if name == "GRU" else {"noise": Noise(7)}
    results = []
    for packing in (Packing(LENGTHS), Padding(LENGTHS, N_STEPS)):
        state = start[0] if n_states == 1 else tuple(start)
        h = layer(packing.pack(x), packing, state, constant, **options)
        sums = packing.sum(ops.sum(ops.square(h) * packing.pack(weights), axis=1))
        gradients = sv.grad(ops.sum(sums * outer), [*start, constant, *layer.parameters()])
        results.append([sums.data, h.data[packing.last], *gradients])
    assert_close(*results)
    assert all(abs(gradient).max() > 1e-2 for gradient in results[0])


@pytest.mark.parametrize("name", LAYERS)
def test_both_directions_and_their_gradients_are_those_of_packed_rows(rng, name):
    layer = in_double_precision(rng, Bidirectional(LAYERS[name], Noise(0)))
    x, outer = rng.standard_normal((5, N_STEPS, 3)), rng.standard_normal((5, 8))
    options, results = {} if name == "GRU" else {"noise": Noise(7)}, []
    for packing in (Packing(LENGTHS), Padding(LENGTHS, N_STEPS)):
        y = layer(packing.pack(x), packing, **options)
        results.append([y.data, *sv.grad(ops.sum(y * outer), layer.parameters())])
    assert_close(*results)


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_a_padded_layer_is_pytorchs_packed_one(rng, name):
    """Last states, all steps and gradients of `pack_padded_sequence`; PyTorch has the forget gate second as well."""
    torch = pytest.importorskip("torch")
    layer = in_double_precision(rng, LAYERS[name](Noise(0)))
    x, g = rng.standard_normal((5, N_STEPS, 3)), rng.standard_normal((5, N_STEPS, 4))
    padding = Padding(LENGTHS, N_STEPS)
    y = layer(padding.pack(x), padding)
    total = ops.sum(padding.sum(ops.sum(y * padding.pack(g), axis=1)))
    ours = sv.grad(total, [layer.weight, layer.recurrent, layer.bias])

    order = [0, 1, 3, 2] if name == "LSTM" else [0, 1, 2]  # ours are i, f, o, g; PyTorch's are i, f, g, o
    columns = numpy.arange(4 * len(order)).reshape(-1, 4)[order].ravel()
    peer = getattr(torch.nn, name)(3, 4, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        peer.weight_ih_l0[:] = torch.tensor(layer.weight.data.T[columns])
        peer.weight_hh_l0[:] = torch.tensor(layer.recurrent.data.T[columns])
        peer.bias_ih_l0[:], peer.bias_hh_l0[:] = torch.tensor(layer.bias.data[columns]), 0.0
        if name == "GRU":
            peer.bias_hh_l0[8:] = torch.tensor(layer.recurrent_bias.data)
    pack, pad = torch.nn.utils.rnn.pack_padded_sequence, torch.nn.utils.rnn.pad_packed_sequence
    rows, _ = peer(pack(torch.tensor(x), torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False))
    y_peer = pad(rows, batch_first=True, total_length=N_STEPS)[0]
    leaves = [peer.weight_ih_l0, peer.weight_hh_l0, peer.bias_ih_l0]
    theirs = [a.numpy() for a in torch.autograd.grad((y_peer * torch.tensor(g)).sum(), leaves)]
    inverse = numpy.argsort(columns)
    assert_close(ours, [theirs[0][inverse].T, theirs[1][inverse].T, theirs[2][inverse]])
    steps = y.data.reshape(N_STEPS, 5, 4).swapaxes(0, 1)
    within = numpy.arange(N_STEPS) < LENGTHS[:, None]
    assert_close([steps[within]], [y_peer.detach().numpy()[within]])
