"""Every operation against PyTorch: equal values and gradients, in both types, and at the edges too."""

import numpy
import pytest

from scratchvae import ops
from scratchvae.autodiff import Tensor, grad
from scratchvae.checks.gradient_table import CASES, COMPOSITES, primitives
from scratchvae.ops.reductions import _log_ratio

torch = pytest.importorskip("torch")

MASK = numpy.array([[True, False, True, False]] * 3)
ROWS = numpy.array([2, 0, 2])


def real(*shape):
    return lambda rng: rng.standard_normal(shape)


def positive(*shape):
    return lambda rng: rng.uniform(0.5, 2, shape)


def options(name, peer=None, **given):
    """A function of ops and torch's, with the same axis and keepdims."""
    renamed = {{"axis": "dim", "keepdims": "keepdim"}.get(key, key): value for key, value in given.items()}
    return lambda x: getattr(ops, name)(x, **given), lambda x: getattr(torch, peer or name)(x, **renamed)


def channels_last(function):
    """A function of torch's images and kernel, channels first, as one of images (N, H, W, C) and (KH, KW, C, C)."""
    return lambda x, kernel: function(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1)).permute(0, 2, 3, 1)


def kernel_from_columns(x, g):
    """What conv2d with kernel 4 x 3, stride 2 and padding 1 asks of its kernel, from torch's own columns."""
    columns = torch.nn.functional.unfold(x.permute(0, 3, 1, 2), (4, 3), padding=1, stride=2)  # (N, C_in KH KW, H' W')
    return torch.einsum("nkl,nld->kd", columns, g.flatten(1, 2)).reshape(x.shape[3], 4, 3, -1).permute(1, 2, 0, 3)


def torch_lstm(inputs, recurrent, h0, c0, counts):
    """torch.nn.LSTM on packed sequences, whose blocks are in the order i, f, g, o."""
    lstm = torch.nn.LSTM(inputs.shape[1], h0.shape[1], bias=False, dtype=inputs.dtype)
    packed = torch.nn.utils.rnn.PackedSequence(inputs, torch.tensor(counts))
    weights = {"weight_ih_l0": in_torch_order(torch.eye(inputs.shape[1])), "weight_hh_l0": in_torch_order(recurrent.T)}
    weights = {name: weight.to(inputs.dtype) for name, weight in weights.items()}
    return torch.func.functional_call(lstm, weights, (packed, (h0[None], c0[None])))[0].data


def torch_lstm_step(inputs, recurrent, h, c):
    cell = torch.nn.LSTMCell(inputs.shape[1], h.shape[1], bias=False, dtype=inputs.dtype)
    weights = {"weight_ih": in_torch_order(torch.eye(inputs.shape[1])), "weight_hh": in_torch_order(recurrent.T)}
    weights = {name: weight.to(inputs.dtype) for name, weight in weights.items()}
    return torch.cat(torch.func.functional_call(cell, weights, (inputs, (h, c))), dim=1)


def in_torch_order(rows):
    i, f, o, g = rows.chunk(4)
    return torch.cat([i, f, g, o])


def torch_gru(inputs, recurrent, recurrent_bias, h0, counts):
    """torch.nn.GRU on packed sequences, its inputs multiplied by 1."""
    gru = torch.nn.GRU(inputs.shape[1], h0.shape[1], dtype=inputs.dtype)
    packed = torch.nn.utils.rnn.PackedSequence(inputs, torch.tensor(counts))
    weights = {f"{name}_l0": value for name, value in gru_weights(inputs, recurrent, recurrent_bias).items()}
    return torch.func.functional_call(gru, weights, (packed, h0[None]))[0].data


def torch_gru_step(inputs, recurrent, recurrent_bias, h):
    cell = torch.nn.GRUCell(inputs.shape[1], h.shape[1], dtype=inputs.dtype)
    return torch.func.functional_call(cell, gru_weights(inputs, recurrent, recurrent_bias), (inputs, h))


def gru_weights(inputs, recurrent, recurrent_bias):
    width, size = inputs.shape[1], len(recurrent_bias)
    return {
        "weight_ih": torch.eye(width, dtype=inputs.dtype),
        "weight_hh": recurrent.T,
        "bias_ih": torch.zeros(width, dtype=inputs.dtype),
        "bias_hh": torch.cat([torch.zeros(2 * size, dtype=inputs.dtype), recurrent_bias]),
    }


# name: (function of Tensors, function of torch's tensors, inputs)
PEERS = {
    "abs": (ops.abs, torch.abs, [real(3, 4)]),
    "activated": (
        lambda x, b: ops.activated(x, b, activation=ops.softplus),
        lambda x, b: torch.nn.functional.softplus(x + b),
        [real(2, 3, 4), real(4)],
    ),
    "add": (ops.add, torch.add, [real(3, 4), real(4)]),
    "affine": (ops.affine, lambda x, w, b: torch.nn.functional.linear(x, w.T, b), [real(2, 3, 4), real(4, 5), real(5)]),
    "bernoulli_log_prob": (
        lambda x, a: ops.bernoulli_log_prob(x, a, event_ndim=2),
        lambda x, a: -torch.nn.functional.binary_cross_entropy_with_logits(a, x + 0 * a, reduction="none").sum((1, 2)),
        [real(3, 4), real(2, 3, 4)],
    ),
    "broadcast_to": (lambda x: ops.broadcast_to(x, (2, 3, 4)), lambda x: x.expand(2, 3, 4), [real(3, 1)]),
    "clip": (lambda x: ops.clip(x, -0.5, 0.5), lambda x: torch.clip(x, -0.5, 0.5), [real(3, 4)]),
    "concatenate": (
        lambda x, y: ops.concatenate([x, y], axis=1),
        lambda x, y: torch.cat([x, y], dim=1),
        [real(3, 2), real(3, 4)],
    ),
    "conv2d": (
        lambda x, kernel: ops.conv2d(x, kernel, stride=2, padding=1),
        channels_last(lambda x, kernel: torch.nn.functional.conv2d(x, kernel, stride=2, padding=1)),
        [real(2, 7, 6, 3), real(4, 3, 3, 2)],
    ),
    "conv2d_kernel": (
        lambda x, g: ops.conv2d_kernel(x, g, (4, 3), stride=2, padding=1),
        kernel_from_columns,
        [real(2, 7, 6, 3), real(2, 3, 3, 2)],
    ),
    "conv_transpose2d": (
        lambda x, kernel: ops.conv_transpose2d(x, kernel, stride=2, padding=1),
        channels_last(lambda x, kernel: torch.nn.functional.conv_transpose2d(x, kernel, stride=2, padding=1)),
        [real(2, 3, 4, 2), real(4, 3, 3, 2)],
    ),
    "crop": (lambda x: ops.crop(x, ((1, 0), (0, 2))), lambda x: x[1:, :-2], [real(3, 4)]),
    "divide": (ops.divide, torch.divide, [real(3, 4), positive(3, 1)]),
    "exp": (ops.exp, torch.exp, [real(3, 4)]),
    "expand_dims": (lambda x: ops.expand_dims(x, -2), lambda x: x.unsqueeze(-2), [real(3, 4)]),
    "expm1": (ops.expm1, torch.expm1, [real(3, 4)]),
    "getitem": (lambda x: ops.getitem(x, ROWS), lambda x: x[torch.tensor(ROWS)], [real(3, 4)]),
    "gather_rows": (
        lambda x: ops.gather_rows(x, ROWS),
        lambda x: torch.nn.functional.embedding(torch.tensor(ROWS), x),
        [real(3, 4)],
    ),
    "gru": (
        lambda *x: ops.gru(*x, counts=[3, 3, 2, 1]),
        lambda *x: torch_gru(*x, counts=[3, 3, 2, 1]),
        [real(9, 15), real(5, 15), real(5), real(3, 5)],
    ),
    "gru_step": (ops.gru_step, torch_gru_step, [real(3, 15), real(5, 15), real(5), real(3, 5)]),
    "leaky_relu": (
        lambda x: ops.leaky_relu(x, 0.2),
        lambda x: torch.nn.functional.leaky_relu(x, 0.2),
        [real(3, 4)],
    ),
    "log": (ops.log, torch.log, [positive(3, 4)]),
    "log1p": (ops.log1p, torch.log1p, [positive(3, 4)]),
    "log_ratio": (_log_ratio, torch.sub, [real(3, 4), real(3, 1)]),
    "log_softmax": (*options("log_softmax", axis=-1), [real(3, 4)]),
    "logsumexp": (*options("logsumexp", axis=(0, 1), keepdims=True), [real(3, 4)]),
    "lstm": (
        lambda *x: ops.lstm(*x, counts=[3, 3, 2, 1]),
        lambda *x: torch_lstm(*x, counts=[3, 3, 2, 1]),
        [real(9, 20), real(5, 20), real(3, 5), real(3, 5)],
    ),
    "lstm_step": (
        lambda *x: ops.concatenate(ops.lstm_step(*x), axis=1),
        torch_lstm_step,
        [real(3, 20), real(5, 20), real(3, 5), real(3, 5)],
    ),
    "matmul": (ops.matmul, torch.matmul, [real(2, 1, 3, 4), real(5, 4, 2)]),
    "max": (*options("max", "amax", axis=1), [real(3, 4)]),
    "maximum": (ops.maximum, torch.maximum, [real(3, 4), real(4)]),
    "mean": (*options("mean", axis=0), [real(3, 4)]),
    "min": (*options("min", "amin", axis=(0, 1)), [real(3, 4)]),
    "minimum": (ops.minimum, torch.minimum, [real(3, 4), real(3, 1)]),
    "multiply": (ops.multiply, torch.multiply, [real(3, 4), real(2, 1, 4)]),
    "negative": (ops.negative, torch.negative, [real(3, 4)]),
    "normal_draw": (
        ops.normal_draw,
        lambda m, s, e: m + torch.exp(s) * e,
        [real(3, 4), real(3, 4), real(2, 3, 4)],
    ),
    "normal_kl": (
        ops.normal_kl,
        lambda m, s, m_p, s_p: torch.distributions.kl_divergence(
            torch.distributions.Normal(m, s.exp()), torch.distributions.Normal(m_p, s_p.exp())
        ).sum(-1),
        [real(3, 4), real(3, 4), real(3, 4), real(3, 4)],
    ),
    "normal_log_prob": (
        lambda x, m, s: ops.normal_log_prob(x, m, s),
        lambda x, m, s: torch.distributions.Independent(torch.distributions.Normal(m, s.exp()), 1).log_prob(x),
        [real(3, 4), real(2, 3, 4), real(4)],
    ),
    "pad": (
        lambda x: ops.pad(x, ((1, 0), (0, 2))),
        lambda x: torch.nn.functional.pad(x, (0, 2, 1, 0)),
        [real(3, 4)],
    ),
    "power": (ops.power, torch.pow, [positive(3, 4), real(4)]),
    "relu": (ops.relu, torch.relu, [real(3, 4)]),
    "reshape": (lambda x: ops.reshape(x, (2, -1)), lambda x: x.reshape(2, -1), [real(3, 4)]),
    "scatter_add": (
        lambda x: ops.scatter_add(x, ROWS, (3, 4)),
        lambda x: torch.zeros(3, 4, dtype=x.dtype).index_add(0, torch.tensor(ROWS), x),
        [real(3, 4)],
    ),
    "scatter_rows": (
        lambda x: ops.scatter_rows(x, ROWS, 4),
        lambda x: torch.zeros(4, 4, dtype=x.dtype).index_add(0, torch.tensor(ROWS), x),
        [real(3, 4)],
    ),
    "sigmoid": (ops.sigmoid, torch.sigmoid, [real(3, 4)]),
    "softmax": (*options("softmax", axis=0), [real(3, 4)]),
    "softplus": (ops.softplus, torch.nn.functional.softplus, [real(3, 4)]),
    "sqrt": (ops.sqrt, torch.sqrt, [positive(3, 4)]),
    "square": (ops.square, torch.square, [real(3, 4)]),
    "squeeze": (*options("squeeze", axis=1), [real(3, 1, 4)]),
    "stack": (
        lambda x, y: ops.stack([x, y], axis=1),
        lambda x, y: torch.stack([x, y], dim=1),
        [real(3, 4), real(3, 4)],
    ),
    "subtract": (ops.subtract, torch.subtract, [real(4), real(3, 4)]),
    "sum": (*options("sum", axis=(0, 2), keepdims=True), [real(2, 3, 4)]),
    "sum_to": (lambda x: ops.sum_to(x, (3, 1)), lambda x: x.sum_to_size(3, 1), [real(2, 3, 4)]),
    "swapaxes": (lambda x: ops.swapaxes(x, 0, -1), lambda x: x.swapaxes(0, -1), [real(2, 3, 4)]),
    "tanh": (ops.tanh, torch.tanh, [real(3, 4)]),
    "transpose": (lambda x: ops.transpose(x, (2, 0, 1)), lambda x: x.permute(2, 0, 1), [real(2, 3, 4)]),
    "upsample2d": (
        lambda x: ops.upsample2d(x, 2),
        lambda x: torch.nn.functional.interpolate(x.permute(0, 3, 1, 2), scale_factor=2).permute(0, 2, 3, 1),
        [real(2, 3, 4, 2)],
    ),
    "where": (
        lambda x, y: ops.where(MASK, x, y),
        lambda x, y: torch.where(torch.tensor(MASK), x, y),
        [real(3, 4), real(4)],
    ),
}


def compare(function, peer, arrays, rtol, atol=None):
    """Value and all gradients, contracted with the same cotangent."""
    ours = [Tensor(x) for x in arrays]
    theirs = [torch.tensor(x.copy(), requires_grad=True) for x in arrays]
    y, y_peer = function(*ours), peer(*theirs)
    assert y.shape == tuple(y_peer.shape) and y.dtype == arrays[0].dtype
    atol = rtol if atol is None else atol
    numpy.testing.assert_allclose(y.data, y_peer.detach().numpy(), rtol=rtol, atol=atol)
    cotangent = numpy.random.default_rng(1).standard_normal(y.shape).astype(y.dtype)
    gradients = grad(ops.sum(y * cotangent), ours)
    y_peer.backward(torch.tensor(cotangent))
    for x, g, x_peer in zip(arrays, gradients, theirs, strict=True):
        assert g.dtype == x.dtype
        numpy.testing.assert_allclose(g, x_peer.grad.numpy(), rtol=rtol, atol=atol)


def test_every_operation_has_a_peer():
    assert PEERS.keys() == CASES.keys() | COMPOSITES.keys() and primitives().keys() <= PEERS.keys()


@pytest.mark.parametrize("dtype", [numpy.float64, numpy.float32])
@pytest.mark.parametrize("name", PEERS)
def test_values_and_gradients(rng, name, dtype):
    function, peer, draws = PEERS[name]
    compare(function, peer, [draw(rng).astype(dtype) for draw in draws], 1e-12 if dtype == numpy.float64 else 2e-5)


@pytest.mark.parametrize("name", PEERS)
def test_arrays_in_any_memory_layout(rng, name):
    function, peer, draws = PEERS[name]
    arrays = [draw(rng) for draw in draws]
    fortran = [numpy.asfortranarray(x) for x in arrays]
    reversed_in_memory = [x[..., ::-1].copy()[..., ::-1] for x in arrays]
    every_other = [numpy.repeat(x, 2, axis=-1)[..., ::2] for x in arrays]
    for variants in (fortran, reversed_in_memory, every_other):
        compare(function, peer, variants, 1e-12)


# ---- zero-size arrays

EMPTY = {
    **{
        name: (getattr(ops, name), getattr(torch, name), [(0, 3)])
        for name in "abs exp expm1 log log1p negative relu sigmoid sqrt square tanh".split()
    },
    **{
        name: (getattr(ops, name), getattr(torch, name), [(0, 3), (3,)])
        for name in "add subtract multiply divide maximum minimum".split()
    },
    "affine": (PEERS["affine"][0], PEERS["affine"][1], [(0, 4), (4, 5), (5,)]),
    "concatenate": (PEERS["concatenate"][0], PEERS["concatenate"][1], [(3, 0), (3, 2)]),
    "logsumexp": (*options("logsumexp", axis=1), [(0, 3)]),
    "matmul": (ops.matmul, torch.matmul, [(3, 0), (0, 4)]),
    "matmul of no rows": (ops.matmul, torch.matmul, [(0, 3), (3, 4)]),
    "max": (*options("max", "amax", axis=1), [(0, 3)]),
    "mean": (*options("mean", axis=1), [(0, 3)]),
    "reshape": (lambda x: ops.reshape(x, (3, 0)), lambda x: x.reshape(3, 0), [(0, 3)]),
    "softmax": (*options("softmax", axis=1), [(0, 3)]),
    "softplus": (ops.softplus, torch.nn.functional.softplus, [(0, 3)]),
    "sum": (*options("sum"), [(0, 3)]),
    "sum over the empty axis": (*options("sum", axis=0), [(0, 3)]),
    "transpose": (ops.transpose, lambda x: x.permute(1, 0), [(0, 3)]),
    "getitem": (lambda x: ops.getitem(x, slice(2, 2)), lambda x: x[2:2], [(3, 4)]),
    "getitem by no rows": (
        lambda x: ops.getitem(x, numpy.zeros(0, dtype=int)),
        lambda x: x[torch.zeros(0, dtype=torch.long)],
        [(3, 4)],
    ),
    "stack": (PEERS["stack"][0], PEERS["stack"][1], [(0, 3), (0, 3)]),
}


@pytest.mark.parametrize("name", EMPTY)
def test_arrays_without_entries(name):
    function, peer, shapes = EMPTY[name]
    compare(function, peer, [numpy.ones(shape) for shape in shapes], 0)


# ---- ties


def test_a_tie_of_two_is_shared(rng):
    x = rng.integers(0, 3, (20,)).astype(numpy.float64)
    y = rng.integers(0, 3, (20,)).astype(numpy.float64)
    assert (x == y).any() and (x > y).any() and (x < y).any()
    compare(ops.maximum, torch.maximum, [x, y], 1e-15)
    compare(ops.minimum, torch.minimum, [x, y], 1e-15)
    g_x, g_y = grad(ops.sum(ops.maximum(t_x := Tensor(x), t_y := Tensor(y))), [t_x, t_y])
    numpy.testing.assert_array_equal(g_x + g_y, 1)
    assert (g_x[x == y] == 0.5).all()


@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("axis", [0, 1, (0, 1)])
def test_ties_along_an_axis_are_shared(rng, name, axis):
    x = rng.integers(0, 2, (5, 6)).astype(numpy.float64)
    compare(*options(name, f"a{name}", axis=axis), [x], 1e-15)
    compare(*options(name, f"a{name}", axis=axis), [numpy.zeros((5, 6))], 1e-15)


def test_kinks_have_the_derivatives_that_are_documented():
    x = Tensor(numpy.zeros(1))
    for function, expected in ((ops.abs, 0), (ops.relu, 0), (lambda x: ops.leaky_relu(x, 0.1), 0.1)):
        assert grad(ops.sum(function(x)), [x])[0] == expected
        leaf = torch.zeros(1, requires_grad=True)
        peer = {0: torch.relu, 0.1: lambda x: torch.nn.functional.leaky_relu(x, 0.1)}[expected]
        peer(leaf).sum().backward()
        assert leaf.grad == expected
    compare(lambda x: ops.clip(x, -1, 1), lambda x: torch.clip(x, -1, 1), [numpy.array([-1.0, 1.0, 2.0, -2.0])], 0)


# ---- extreme values

EXTREME = numpy.array([-1e4, -1e3, -100.0, -50.0, -1e-30, 0.0, 1e-30, 50.0, 100.0, 1e3, 1e4])


@pytest.mark.parametrize("dtype", [numpy.float64, numpy.float32])
@pytest.mark.parametrize(
    ("function", "peer"),
    [
        (ops.sigmoid, torch.sigmoid),
        (ops.softplus, lambda x: torch.logaddexp(x, torch.zeros_like(x))),
        (ops.tanh, torch.tanh),
        (ops.softmax, lambda x: torch.softmax(x, -1)),
        (ops.log_softmax, lambda x: torch.log_softmax(x, -1)),
        (lambda x: ops.logsumexp(x), lambda x: torch.logsumexp(x, -1)),
        (lambda x: ops.logsumexp(-x), lambda x: torch.logsumexp(-x, -1)),
    ],
    ids="sigmoid softplus tanh softmax log_softmax logsumexp logsumexp-negative".split(),
)
def test_extreme_values(function, peer, dtype):
    compare(function, peer, [EXTREME.astype(dtype)], 1e-6 if dtype == numpy.float32 else 1e-12, atol=1e-37)


def test_logsumexp_with_infinite_entries():
    x = numpy.array([[0.5, -numpy.inf, 1.0], [-numpy.inf, -numpy.inf, 2.0]])
    compare(*options("logsumexp", axis=1), [x], 1e-14)
    compare(*options("softmax", axis=1), [x], 1e-14)
    compare(*options("logsumexp", axis=(0, 1)), [x], 1e-14)


def test_logsumexp_of_nothing_but_infinities():
    with numpy.errstate(divide="ignore"):
        assert ops.logsumexp(numpy.full(3, -numpy.inf)) == -numpy.inf
    assert ops.logsumexp(numpy.array([0.0, numpy.inf, -numpy.inf])) == numpy.inf


def test_powers_at_zero():
    for p in (0.0, 1.0, 2.0, 3.0):
        compare(lambda x, p=p: ops.power(x, p), lambda x, p=p: torch.pow(x, p), [numpy.array([0.0, -2.0, 3.0])], 1e-14)
    compare(ops.power, torch.pow, [numpy.array([0.0, 0.0, 2.0]), numpy.array([2.0, 1.0, 0.0])], 1e-14)


def test_second_derivatives(rng):
    """The Hessian-vector product of a small network."""
    data, w1, w2, v = (rng.standard_normal(shape) for shape in ((5, 3), (3, 4), (4, 2), (3, 4)))

    def loss(relations, w):
        hidden = relations.tanh(data_of[relations] @ w)
        return relations.logsumexp(hidden @ w2_of[relations], 1)

    data_of, w2_of = {ops: data, torch: torch.tensor(data)}, {ops: w2, torch: torch.tensor(w2)}
    x = Tensor(w1)
    (g,) = grad(ops.sum(loss(ops, x)), [x], create_graph=True)
    (ours,) = grad(ops.sum(g * v), [x])
    leaf = torch.tensor(w1, requires_grad=True)
    (g,) = torch.autograd.grad(loss(torch, leaf).sum(), leaf, create_graph=True)
    (theirs,) = torch.autograd.grad((g * torch.tensor(v)).sum(), leaf)
    numpy.testing.assert_allclose(ours, theirs, rtol=1e-11)
