"""Optimisers: the published equations, PyTorch's numbers, one flat buffer, clipping, schedules."""

import math
from functools import partial

import numpy
import pytest

import scratchvae as sv
from scratchvae.errors import InputError
from scratchvae.optim import BLOCK, SGD, Adam, ExponentialSchedule, LinearSchedule

SHAPES = [(3, 4), (4,), (), (2, 1, 3)]
N_STEPS = 50


@pytest.fixture
def start(rng):
    return [rng.standard_normal(shape) for shape in SHAPES]


@pytest.fixture
def gradients(rng):
    """One list of gradients a step; their scale changes by orders of magnitude, so that eps and the moments matter."""
    return [[10.0 ** rng.uniform(-6, 2) * rng.standard_normal(shape) for shape in SHAPES] for _ in range(N_STEPS)]


def descend(make, start, gradients):
    """The parameters after every step."""
    optimizer = make([sv.Tensor(x.copy()) for x in start])
    trace = []
    for step in gradients:
        for view, g in zip(optimizer.gradients, step, strict=True):
            view[...] = g
        optimizer.step()
        trace.append(numpy.concatenate([x.data.ravel() for x in optimizer.parameters]))
    return numpy.array(trace)


SETTINGS = [
    (partial(SGD, learning_rate=0.03), "SGD", {"lr": 0.03}),
    (partial(SGD, learning_rate=0.03, momentum=0.9), "SGD", {"lr": 0.03, "momentum": 0.9}),
    (partial(Adam), "Adam", {"lr": 1e-3}),
    (
        partial(Adam, learning_rate=0.05, beta1=0.7, beta2=0.98, eps=1e-3),
        "Adam",
        {"lr": 0.05, "betas": (0.7, 0.98), "eps": 1e-3},
    ),
]


@pytest.mark.parametrize(("make", "name", "settings"), SETTINGS, ids=["SGD", "momentum", "Adam", "Adam with settings"])
def test_fifty_steps_equal_those_of_torch(start, gradients, make, name, settings):
    torch = pytest.importorskip("torch")
    twins = [torch.tensor(x.copy()) for x in start]
    optimizer = getattr(torch.optim, name)(twins, **settings)
    expected = []
    for step in gradients:
        for twin, g in zip(twins, step, strict=True):
            twin.grad = torch.tensor(g)
        optimizer.step()
        expected.append(numpy.concatenate([twin.numpy().ravel() for twin in twins]))
    numpy.testing.assert_allclose(descend(make, start, gradients), expected, rtol=1e-12, atol=1e-12)


def test_sgd_is_its_equation(start, gradients):
    w, v = numpy.concatenate([x.ravel() for x in start]), 0.0
    for received, step in zip(
        descend(partial(SGD, learning_rate=0.1, momentum=0.8), start, gradients), gradients, strict=True
    ):
        v = 0.8 * v + numpy.concatenate([g.ravel() for g in step])
        w = w - 0.1 * v
        numpy.testing.assert_allclose(received, w, rtol=1e-12, atol=1e-12)


def test_adam_is_algorithm_1(start, gradients):
    w = numpy.concatenate([x.ravel() for x in start])
    m, v = numpy.zeros_like(w), numpy.zeros_like(w)
    trace = descend(partial(Adam, learning_rate=0.02, beta1=0.8, beta2=0.95, eps=1e-4), start, gradients)
    for t, (received, step) in enumerate(zip(trace, gradients, strict=True), start=1):
        g = numpy.concatenate([g.ravel() for g in step])
        m = 0.8 * m + 0.2 * g
        v = 0.95 * v + 0.05 * g**2
        w = w - 0.02 * (m / (1 - 0.8**t)) / (numpy.sqrt(v / (1 - 0.95**t)) + 1e-4)
        numpy.testing.assert_allclose(received, w, rtol=1e-12, atol=1e-12)


def test_the_first_step_of_adam_is_the_learning_rate_whatever_the_gradient():
    for scale in (1e-3, 1.0, 1e6):
        received = descend(partial(Adam, learning_rate=0.01), [numpy.zeros(3)], [[numpy.array([2, -1, 0.5]) * scale]])
        numpy.testing.assert_allclose(received[0], [-0.01, 0.01, -0.01], rtol=1e-4)


# ---- the flat buffer


def test_parameters_and_gradients_are_views_of_one_buffer_each(rng, start):
    parameters = [sv.Tensor(x.copy()) for x in start]
    optimizer = SGD(parameters, learning_rate=1.0)
    assert all(x is y for x, y in zip(optimizer.parameters, parameters, strict=True))
    for arrays in ([x.data for x in parameters], optimizer.gradients):
        addresses = [array.__array_interface__["data"][0] for array in arrays]
        assert numpy.diff(addresses).tolist() == [array.nbytes for array in arrays[:-1]], "side by side, in order"
        assert [array.shape for array in arrays] == SHAPES
    for x, value in zip(parameters, start, strict=True):
        numpy.testing.assert_array_equal(x.data, value)

    weights = [rng.standard_normal(shape) for shape in SHAPES]
    loss = sum(sv.ops.sum(x * w) for x, w in zip(parameters, weights, strict=True))
    held = list(optimizer.gradients)
    assert all(g is h for g, h in zip(sv.grad(loss, optimizer.parameters, out=optimizer.gradients), held, strict=True))
    optimizer.step()
    for x, value, w in zip(parameters, start, weights, strict=True):
        numpy.testing.assert_allclose(x.data, value - w, atol=1e-15)


@pytest.mark.parametrize("n", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 7])
@pytest.mark.parametrize("make", [partial(SGD, momentum=0.9), Adam], ids=["SGD", "Adam"])
def test_blocks_do_not_show(rng, monkeypatch, n, make):
    start, gradients = [rng.standard_normal(n)], [[rng.standard_normal(n)] for _ in range(3)]
    blocks = descend(make, start, gradients)
    monkeypatch.setattr("scratchvae.optim.BLOCK", 10**9)
    assert numpy.array_equal(blocks, descend(make, start, gradients))
    assert (blocks[0] != start[0]).all()


def test_the_types_and_the_state_are_those_of_the_parameters(start):
    for dtype in (numpy.float32, numpy.float64):
        optimizer = Adam([sv.Tensor(x.astype(dtype)) for x in start])
        for view in optimizer.gradients:
            view[...] = 1
        optimizer.step()
        assert (
            {x.dtype for x in optimizer.parameters}
            == {state.dtype for state in optimizer.state.values()}
            == {numpy.dtype(dtype)}
        )
        assert set(optimizer.state) == {"mean", "mean_square"} and optimizer.n_steps == 1
        numpy.testing.assert_allclose(optimizer.state["mean"], 0.1, rtol=1e-6)
        numpy.testing.assert_allclose(optimizer.state["mean_square"], 0.001, rtol=1e-5)


def test_a_step_on_the_gpu_equals_one_on_the_cpu(strict_gpu, start, gradients):
    from scratchvae.backend import asarray

    for make in (partial(SGD, momentum=0.9, clip_value=1.0), partial(Adam, clip_norm=0.5)):
        expected = descend(make, start, gradients[:3])
        optimizer = make([sv.Tensor(asarray(x, "gpu")) for x in start])
        for i, step in enumerate(gradients[:3]):
            for view, g in zip(optimizer.gradients, step, strict=True):
                view[...] = asarray(g, "gpu")
            optimizer.step()
            received = numpy.concatenate([sv.to_numpy(x).ravel() for x in optimizer.parameters])
            numpy.testing.assert_allclose(received, expected[i], rtol=1e-12)


# ---- clipping and schedules


def test_clipping_by_norm_scales_all_gradients_by_one_number(start, gradients):
    norm = math.sqrt(sum((g**2).sum() for g in gradients[0]))
    for limit in (norm / 3, norm * 3):
        moved = descend(partial(SGD, learning_rate=1.0, clip_norm=limit), start, gradients[:1])[0]
        update = numpy.concatenate([x.ravel() for x in start]) - moved
        expected = numpy.concatenate([g.ravel() for g in gradients[0]]) * min(1, limit / norm)
        numpy.testing.assert_allclose(update, expected, atol=1e-14 * norm)


def test_clipping_leaves_a_zero_gradient_alone(start):
    zero = [[numpy.zeros(shape) for shape in SHAPES]]
    expected = numpy.concatenate([x.ravel() for x in start])
    assert numpy.array_equal(descend(partial(SGD, clip_norm=1.0, clip_value=1.0), start, zero)[0], expected)


def test_clipping_by_value_bounds_every_entry(start, gradients):
    moved = descend(partial(SGD, learning_rate=1.0, clip_value=0.25), start, gradients[:1])[0]
    update = numpy.concatenate([x.ravel() for x in start]) - moved
    g = numpy.concatenate([g.ravel() for g in gradients[0]])
    numpy.testing.assert_allclose(update, numpy.minimum(numpy.maximum(g, -0.25), 0.25), atol=1e-15)


def test_clipping_by_value_comes_before_clipping_by_norm():
    start, gradients = [numpy.zeros(2)], [[numpy.array([100.0, 1.0])]]
    moved = descend(partial(SGD, learning_rate=1.0, clip_value=1.0, clip_norm=1.0), start, gradients)[0]
    numpy.testing.assert_allclose(moved, [-math.sqrt(0.5)] * 2)


@pytest.mark.parametrize("make", [SGD, Adam])
def test_a_schedule_is_read_at_steps_0_1_2(start, gradients, make):
    rates = [0.1, 0.02, 0.3]
    asked = []

    def schedule(step):
        asked.append(step)
        return rates[step]

    received = descend(partial(make, learning_rate=schedule), start, gradients[:3])
    assert asked == [0, 1, 2]
    unit = descend(partial(make, learning_rate=1.0), start, gradients[:3])
    moves = numpy.diff(unit, axis=0, prepend=numpy.concatenate([x.ravel() for x in start])[None])
    moved = numpy.diff(received, axis=0, prepend=numpy.concatenate([x.ravel() for x in start])[None])
    numpy.testing.assert_allclose(moved, numpy.array(rates)[:, None] * moves, rtol=1e-9, atol=1e-12)


def test_schedules():
    warm_up = LinearSchedule(0.0, 2.0, 4)
    assert [warm_up(step) for step in (0, 1, 2, 4, 5, 1000)] == [0, 0.5, 1, 2, 2, 2]
    assert LinearSchedule(1.0, 0.0, 10)(3) == pytest.approx(0.7)
    decay = ExponentialSchedule(0.5, 0.1, smallest=1e-4)
    assert [decay(step) for step in range(6)] == pytest.approx([0.5, 0.05, 0.005, 5e-4, 1e-4, 1e-4])
    assert ExponentialSchedule(1.0, 0.5)(20) == 2.0**-20


# ---- what is refused


@pytest.mark.parametrize(
    ("parameters", "settings", "sentence"),
    [
        (lambda: [], {}, "Adam: expected parameters of one type on one device, received none"),
        (
            lambda: [sv.Tensor(numpy.ones(2, dtype="float32")), sv.Tensor(numpy.ones(2))],
            {},
            "received float32 on cpu, float64 on cpu",
        ),
        (lambda: [numpy.ones(2)], {}, r"Adam: expected Tensors, received ndarray \(model\.parameters\(\)"),
        (lambda: sv.VAE.mlp(4, 2, (3,)), {}, "Adam: expected Tensors, received VAE"),
        (lambda: [sv.Tensor(numpy.ones(2))], {"clip_norm": 0}, "Adam: expected a positive clip_norm, received 0"),
        (lambda: [sv.Tensor(numpy.ones(2))], {"clip_value": -1.0}, "expected a positive clip_value, received -1.0"),
        (lambda: [sv.Tensor(numpy.ones(2))], {"clip_norm": math.nan}, "expected a positive clip_norm, received nan"),
        (lambda: [sv.Tensor(numpy.ones(2))], {"learning_rate": -1e-3}, "expected .*learning_rate.*, received -0.001"),
        (lambda: [sv.Tensor(numpy.ones(2))], {"learning_rate": math.nan}, "learning_rate.*, received nan"),
        (lambda: [sv.Tensor(numpy.ones(2))], {"clip_norm": math.inf}, "expected a positive clip_norm, received inf"),
        (lambda: [sv.Tensor(numpy.ones(2))], {"learning_rate": "fast"}, "learning_rate.*, received 'fast'"),
    ],
)
def test_what_cannot_be_optimised_is_refused(parameters, settings, sentence):
    with pytest.raises(InputError, match=sentence):
        Adam(parameters(), **settings)


def test_parameters_on_two_devices_are_refused(strict_gpu):
    from scratchvae.backend import asarray

    parameters = [sv.Tensor(numpy.ones(2)), sv.Tensor(asarray(numpy.ones(2), "gpu"))]
    with pytest.raises(InputError, match="received float64 on cpu, float64 on gpu"):
        SGD(parameters)
