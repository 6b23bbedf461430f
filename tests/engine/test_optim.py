"""Optimisers: the published equations, PyTorch's numbers, one flat buffer, clipping, schedules."""

import copy
import math
import pickle
from fractions import Fraction
from functools import partial

import numpy
import pytest

import scratchvae as sv
from scratchvae.errors import InputError
from scratchvae.optim import BLOCK, SGD, Adam, AdamW, ExponentialSchedule, LinearSchedule, SaturatingSchedule

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
    (partial(AdamW), "AdamW", {}),
    (partial(AdamW, learning_rate=0.05, weight_decay=0.7), "AdamW", {"lr": 0.05, "weight_decay": 0.7}),
]
NAMES = ["SGD", "momentum", "Adam", "Adam with settings", "AdamW", "AdamW with settings"]


@pytest.mark.parametrize(("make", "name", "settings"), SETTINGS, ids=NAMES)
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


def test_a_step_on_the_gpu_equals_one_on_the_cpu(gpu, start, gradients):
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
    weight, smallest, rate = 0.5, 0.01, 0.99995  # as Ha & Eck write it: w eta_step
    annealing = SaturatingSchedule(weight * smallest, weight, rate)
    for step in (0, 1, 1000, 100_000):
        assert annealing(step) == pytest.approx(weight * (1 - (1 - smallest) * rate**step), rel=1e-12)
    assert annealing(0) == pytest.approx(0.005) and SaturatingSchedule(0.1, 2.0, 1.0)(9) == pytest.approx(0.1)


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


def test_parameters_on_two_devices_are_refused(gpu):
    from scratchvae.backend import asarray

    parameters = [sv.Tensor(numpy.ones(2)), sv.Tensor(asarray(numpy.ones(2), "gpu"))]
    with pytest.raises(InputError, match="received float64 on cpu, float64 on gpu"):
        SGD(parameters)


@pytest.mark.parametrize("name", ["momentum", "beta1", "beta2"])
@pytest.mark.parametrize("value", [1.0, 1, 2.0, -0.1, math.nan, math.inf, "0.9", None, True, numpy.array(0.9), [0.9]])
def test_fractions_are_checked_when_they_are_given_and_when_they_are_set(name, value):
    """beta = 1 divided by zero or made NaN, beta = 2 was a domain error, momentum = "0.9" one of NumPy's, in step."""
    make = SGD if name == "momentum" else Adam
    sentence = rf"{make.__name__}: expected a {name} of at least 0 and below 1, received"
    with pytest.raises(InputError, match=sentence):
        make([sv.Tensor(numpy.ones(2))], **{name: value})
    optimizer = make([sv.Tensor(numpy.ones(2))])
    with pytest.raises(InputError, match=sentence):
        setattr(optimizer, name, value)
    setattr(optimizer, name, 0)
    optimizer.gradients[0][:] = 1.0, -2.0
    optimizer.step()
    assert numpy.isfinite(optimizer.parameters[0].data).all()


@pytest.mark.parametrize("name", ["learning_rate", "eps", "clip_norm", "clip_value"])
@pytest.mark.parametrize("value", [0, 0.0, -1.0, math.nan, math.inf, "1", True, numpy.ones(1), 1j])
def test_positive_settings_are_checked_when_they_are_given_and_when_they_are_set(name, value):
    with pytest.raises(InputError, match=f"Adam: expected a positive {name}, received"):
        Adam([sv.Tensor(numpy.ones(2))], **{name: value})
    optimizer = Adam([sv.Tensor(numpy.ones(2))])
    with pytest.raises(InputError, match=f"Adam: expected a positive {name}, received"):
        setattr(optimizer, name, value)


def test_settings_that_are_needed_cannot_be_none():
    for name in ("learning_rate", "eps", "beta1"):
        with pytest.raises(InputError, match=name):
            Adam([sv.Tensor(numpy.ones(2))], **{name: None})


def test_numbers_of_numpy_are_numbers_and_leave_float32_as_it_is(start, gradients):
    """A float64 of NumPy's would turn (1 - beta1) g, and what comes after it, into float64."""
    settings = {"learning_rate": 0.125, "beta1": 0.5, "beta2": 0.75, "eps": 0.25, "clip_norm": 2, "clip_value": 1.5}
    single = [x.astype(numpy.float32) for x in start]
    expected = descend(partial(Adam, **settings), single, gradients[:4])
    assert expected.dtype == numpy.float32
    for kind in (numpy.float64, numpy.float32, numpy.float16, Fraction):
        given = {name: kind(value) for name, value in settings.items()}
        optimizer = Adam([sv.Tensor(numpy.ones(1, dtype=numpy.float32))], **given)
        assert {type(getattr(optimizer, name)) for name in settings} <= {int, float}
        assert numpy.array_equal(descend(partial(Adam, **given), single, gradients[:4]), expected)
    whole = Adam([sv.Tensor(numpy.ones(1))], clip_norm=numpy.int64(2), eps=1)
    assert type(whole.clip_norm) is int and type(whole.eps) is int, "as a configuration file has them"


@pytest.mark.parametrize("value", [-1.0, -1e-30, math.nan, math.inf, "0.1", None, 1j])
@pytest.mark.parametrize("make", [partial(SGD, clip_norm=0.1), Adam], ids=["SGD", "Adam"])
def test_a_schedule_of_such_a_rate_changes_nothing(make, value):
    """A negative rate ascended without a word."""
    optimizer = make([sv.Tensor(numpy.ones(2))], learning_rate=lambda step: value if step else 0.5)
    optimizer.gradients[0][:] = 1.0
    optimizer.step()
    before = optimizer.parameters[0].data.copy()
    optimizer.gradients[0][:] = 3.0
    with pytest.raises(InputError, match=r"schedule: expected a (finite number|number of at least 0), received .* 1$"):
        optimizer.step()
    assert numpy.array_equal(optimizer.parameters[0].data, before) and optimizer.n_steps == 1
    assert (optimizer.gradients[0] == 3.0).all()


def test_a_rate_of_zero_at_some_steps_is_fine():
    optimizer = SGD([sv.Tensor(numpy.ones(2))], learning_rate=LinearSchedule(1.0, 0.0, 1))
    optimizer.n_steps = 5
    optimizer.gradients[0][:] = 3.0
    optimizer.step()
    assert (optimizer.parameters[0].data == 1).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: LinearSchedule(math.nan, 1.0, 3),
        lambda: LinearSchedule(0.0, -1.0, 3),
        lambda: LinearSchedule("0", 1.0, 3),
        lambda: LinearSchedule(0.0, 1.0, math.nan),
        lambda: LinearSchedule(0.0, 1.0, 0),
        lambda: ExponentialSchedule(1.0, -0.5),
        lambda: ExponentialSchedule(math.inf, 0.5),
        lambda: ExponentialSchedule(1.0, 0.5, smallest=None),
        lambda: SaturatingSchedule(0.0, 1.0, 1.01),
        lambda: SaturatingSchedule(0.0, -1.0, 0.5),
    ],
)
def test_schedules_of_other_numbers_are_refused(make):
    with pytest.raises(InputError, match=r"^(Linear|Exponential|Saturating)Schedule: expected"):
        make()


def test_parameters_that_share_memory_are_refused():
    """In the flat buffer each would become a number of its own, and the tie would be lost without a word."""
    array = numpy.ones(4)
    for other in (array, array[1:], array.reshape(2, 2)):
        with pytest.raises(InputError, match="SGD: expected parameters with memory of their own, received two"):
            SGD([sv.Tensor(array), sv.Tensor(other)])
    SGD([sv.Tensor(array[::2]), sv.Tensor(array[1::2])])  # side by side is not the same
    model = sv.VAE.mlp(4, 2, (3,))
    Adam(model.parameters())
    SGD(model.parameters())


def test_a_tensor_alone_is_one_parameter():
    assert SGD(sv.Tensor(numpy.ones((2, 3)))).parameters[0].shape == (2, 3)


# ---- copies


COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x))}


def loss_of(model):
    x = numpy.linspace(0, 1, 20, dtype=numpy.float32).reshape(5, 4)
    return -sv.ops.mean(model.elbo(x, sv.Noise(0)))


def train(model, optimizer, n_steps):
    for _ in range(n_steps):
        sv.grad(loss_of(model), optimizer.parameters, out=optimizer.gradients)
        optimizer.step()
    return {name: array.copy() for name, array in model.state().items()}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("order", [1, -1], ids=["model first", "optimizer first"])
@pytest.mark.parametrize("make", [partial(SGD, momentum=0.9, learning_rate=LinearSchedule(0.1, 0.0, 9)), Adam])
def test_a_model_and_its_optimizer_copied_together_stay_together(copied, order, make):
    """Copied views are arrays by themselves: the twin's step changed a buffer that its model did not read."""
    model = sv.VAE.mlp(4, 2, (3,))
    optimizer = make(model.parameters())
    train(model, optimizer, 3)
    pair = copied((model, optimizer)[::order])
    twin, twins = pair[::order]
    assert all(x is y for x, y in zip(twin.parameters(), twins.parameters, strict=True))
    assert all(x.data.base is twins._values for x in twin.parameters())
    before = {name: array.copy() for name, array in model.state().items()}
    there = train(twin, twins, 4)
    for name, array in model.state().items():
        assert numpy.array_equal(array, before[name]), "the copy's steps move the original"
    here = train(model, optimizer, 4)
    assert any(not numpy.array_equal(here[name], before[name]) for name in here)
    for name, array in here.items():
        assert numpy.array_equal(there[name], array)


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_an_optimizer_copied_between_grad_and_step_has_the_gradients(copied, start, gradients):
    optimizer = Adam([sv.Tensor(x.copy()) for x in start])
    for view, g in zip(optimizer.gradients, gradients[0], strict=True):
        view[...] = g
    twin = copied(optimizer)
    optimizer.step()
    twin.step()
    assert twin.n_steps == 1 and set(vars(twin)) == set(vars(optimizer))
    for x, y, g in zip(optimizer.parameters, twin.parameters, twin.gradients, strict=True):
        assert numpy.array_equal(x.data, y.data) and not numpy.shares_memory(x.data, y.data)
        assert g.base is twin._gradient


def test_a_shallow_copy_of_an_optimizer_takes_the_parameters_over(start):
    optimizer = Adam([sv.Tensor(x.copy()) for x in start])
    twin = copy.copy(optimizer)
    twin.gradients[0][...] = 1.0
    twin.step()
    assert (optimizer.parameters[0].data != start[0]).all()
    with pytest.raises(InputError, match="Adam: expected parameters as this optimizer holds them"):
        optimizer.step()


def test_schedules_are_pickled_by_value():
    for schedule in (LinearSchedule(0.1, 0.0, 5), ExponentialSchedule(0.1, 0.5), SaturatingSchedule(0.1, 1.0, 0.5)):
        assert pickle.loads(pickle.dumps(schedule)) == schedule == copy.deepcopy(schedule)


# ---- what a resumed run compares


class Tuned(Adam):
    """A user's own optimizer, with settings that are no numbers."""

    def __init__(self, *arguments, rule="soft", decay=None, **options):
        super().__init__(*arguments, **options)
        self.rule, self.decay = rule, decay


def set_later(make=Adam, **settings):
    """A factory of optimizers whose settings are changed after they were made."""

    def optimizer(parameters, **options):
        made = make(parameters, **options)
        for name, value in settings.items():
            setattr(made, name, value)
        return made

    return optimizer


@pytest.mark.filterwarnings("ignore:posterior collapse")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Adam, set_later(beta1=0.5)),
        (Adam, set_later(learning_rate=0.5)),
        (Adam, set_later(learning_rate=LinearSchedule(1e-3, 0.0, 100))),
        (set_later(learning_rate=lambda step: 0.1), set_later(learning_rate=lambda step: 0.1 / (1 + step))),
        (Adam, set_later(clip_norm=1.0)),
        (Adam, set_later(clip_value=1.0)),
        (partial(SGD, momentum=0.5), set_later(partial(SGD, momentum=0.5), momentum=0.25)),
        (Tuned, partial(Tuned, rule="hard")),
        (Tuned, set_later(Tuned, decay=LinearSchedule(1.0, 0.0, 3))),
    ],
)
def test_settings_that_were_set_later_are_compared_on_resume(rng, tmp_path, before, after):
    """Only the numbers that an optimizer was made with, and not its own learning rate, were once compared."""
    x = rng.random((8, 4), dtype=numpy.float32)

    def fit(optimizer, epochs, resume):
        model = sv.VAE.mlp(4, 2, (3,))
        return sv.fit(model, x, epochs, 4, optimizer=optimizer, run_dir=tmp_path / "run", resume=resume, progress=False)

    fit(before, 1, False)
    assert len(fit(before, 2, True)["epoch"]) == 2
    with pytest.raises(InputError, match="expected the settings of the run.*only epochs may grow"):
        fit(after, 3, True)
