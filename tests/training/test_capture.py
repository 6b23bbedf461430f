"""Training by a CUDA graph has the bits of steps that are launched one by one; or one note says why it is not used."""

import contextlib
import os
import signal

import numpy
import pytest

import scratchvae as sv
from scratchvae import capture, ops
from scratchvae.backend import PRODUCTS, asarray
from scratchvae.errors import InputError
from scratchvae.optim import SGD, AdamW

pytestmark = pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
N, M, EPOCHS = 50, 20, 4  # two whole minibatches and a partial one, four times
LABELS = numpy.where(numpy.arange(N) < 6, numpy.arange(N) % 3, -1)
MODELS = {
    "mlp": (lambda: sv.VAE.mlp(16, 2, (9,), binarize="dynamic"), {"clip_norm": 1.0, "kl_floor": 0.1}),
    "gaussian": (lambda: sv.VAE.mlp(16, 2, (9,), likelihood="gaussian"), {"sample_weight": numpy.arange(1.0, N + 1)}),
    "iwae": (lambda: sv.VAE.mlp(16, 2, (9,)), {"objective": "iwae", "n_samples": 3}),
    "m2": (lambda: sv.SemiSupervisedVAE.mlp(16, 3, 2, (9,), binarize="dynamic"), {"labels": LABELS}),
    "convolutional": (lambda: sv.VAE.convolutional((4, 4, 1), 2, (3,)), {}),
    "sgd": (lambda: sv.VAE.mlp(16, 2, (9,)), {"optimizer": SGD}),
    "pixels": (lambda: sv.VAE.mlp(16, 2, (9,), binarize="dynamic"), {}),
    "adamw": (lambda: sv.VAE.mlp(16, 2, (9,)), {"optimizer": AdamW}),
}


@pytest.fixture
def launches(monkeypatch):
    """A list of the Capture of every training."""
    made, init = [], capture.Capture.__init__
    monkeypatch.setattr(capture.Capture, "__init__", lambda self, dtype: (made.append(self), init(self, dtype))[1])
    return made


def train(name, monkeypatch, choice="", **options):
    """The history and the parameters."""
    monkeypatch.setenv("SCRATCHVAE_CAPTURE", choice)
    make, settings = MODELS[name]
    model, x = make(), numpy.random.default_rng(0).random((N, 16), dtype=numpy.float32)
    x = (255 * x).astype(numpy.uint8) if name == "pixels" else x
    schedules = {"learning_rate": sv.optim.LinearSchedule(1e-2, 1e-3, 9), "kl_weight": sv.optim.LinearSchedule(0, 1, 9)}
    options = {"epochs": EPOCHS} | schedules | settings | options
    history = sv.fit(model, x, batch_size=M, device="gpu", progress=False, **options)
    return {k: v for k, v in history.items() if k != "seconds"}, [sv.to_numpy(p.data) for p in model.parameters()]


def assert_same(one, other):
    assert one[0] == other[0]
    for a, b in zip(one[1], other[1], strict=True):
        numpy.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", MODELS)
def test_captured_steps_have_the_bits_of_plain_ones(gpu, launches, monkeypatch, name):
    plain = train(name, monkeypatch, "off")
    assert not launches
    captured = train(name, monkeypatch)
    (steps,) = launches
    assert steps.launches == 2 * EPOCHS - capture.WARM_UP  # whole minibatches, from the third on
    assert_same(captured, plain)
    assert PRODUCTS.get() is None


def test_a_run_is_resumed_after_an_interruption_in_the_midst_of_an_epoch(gpu, launches, monkeypatch, tmp_path):
    def interrupted_at(step):
        return os.kill(os.getpid(), signal.SIGINT) or 0.5 if step == 6 and armed else 0.5

    armed, options = [], {"kl_weight": interrupted_at, "run_dir": tmp_path / "run"}
    whole = train("mlp", monkeypatch, kl_weight=interrupted_at)
    armed.append(True)
    with pytest.raises(KeyboardInterrupt, match="stopped after step 7"):
        train("mlp", monkeypatch, **options)
    armed.clear()
    assert_same(train("mlp", monkeypatch, **options, resume=True), whole)
    assert launches[-1].launches == 2 * 2 - 1 - capture.WARM_UP


def test_what_changes_is_read_anew_by_every_launch(gpu, monkeypatch):
    """Numbers, words and arrays of seven calls, of which five are launches of one graph."""
    monkeypatch.setenv("SCRATCHVAE_CAPTURE", "")
    seen, results, total = [], [], asarray(numpy.zeros(3), "gpu")

    def step(words, numbers, arrays):
        seen.append(len(arrays[0]))
        total[...] = total + numbers[0] * arrays[0].sum() + words.astype("float64").sum() + numbers[1]

    with capture.Capture(numpy.float64) as steps:
        for i in range(7):
            steps(step, 2**32 * i + 5, (0.5 * i, 100.0), [asarray(numpy.arange(4.0) + i, "gpu")])
            results.append(float(total[0]))
    expected = numpy.cumsum([0.5 * i * (6 + 4 * i) + (i + 5) + 100 for i in range(7)])
    numpy.testing.assert_allclose(results, expected, rtol=1e-14)
    assert len(seen) == capture.WARM_UP + 1 and steps.launches == 5


def test_what_cannot_be_captured_is_noted_once_and_goes_on(gpu):
    def reads(words, numbers, arrays):
        total[...] = total + float(arrays[0].sum())

    total = asarray(numpy.zeros(1), "gpu")
    with capture.Capture(numpy.float32) as steps:
        for i in range(5):
            note = pytest.warns(capture.CaptureWarning, match="launched one by one: RuntimeError")
            with note if i == 2 else contextlib.nullcontext():
                steps(reads, i, (1.0,), [asarray(numpy.ones(3), "gpu")])
    assert float(total[0]) == 15 and steps.graph is None and steps.launches == 0


def test_an_index_is_checked_where_the_host_can_read_it(gpu):
    def step(words, numbers, arrays):
        total[...] = total + ops.sum(ops.getitem(x, arrays[0]))

    x, total = asarray(numpy.arange(4.0), "gpu"), asarray(numpy.zeros(1), "gpu")
    with capture.Capture(numpy.float64) as steps:
        for i in range(4):
            steps(step, i, (1.0,), [asarray(numpy.array([i, 3 - i]), "gpu")])
    assert float(total[0]) == 4 * 3 and steps.launches == 4 - capture.WARM_UP
    with capture.Capture(numpy.float64) as steps, pytest.raises(IndexError, match="index 4 is out of bounds"):
        steps(step, 0, (1.0,), [asarray(numpy.array([0, 4]), "gpu")])


def test_an_error_of_the_step_itself_is_raised(gpu):
    calls = []

    def fails(words, numbers, arrays):
        calls.append(1)
        if len(calls) > 2:
            raise InputError("step", "another", "this one")

    with capture.Capture(numpy.float32) as steps:
        for i in range(2):
            steps(fails, i, (1.0,), [asarray(numpy.ones(3), "gpu")])
        with pytest.warns(capture.CaptureWarning, match="InputError"), pytest.raises(InputError, match="this one"):
            steps(fails, 2, (1.0,), [asarray(numpy.ones(3), "gpu")])
    assert PRODUCTS.get() is None


def sketches(latent_size=2, **options):
    """Sketches of one to four points, and some rows of padding behind the longest."""
    rng, n_points = numpy.random.default_rng(0), 1 + numpy.arange(M + 5) % 4
    pen = numpy.where(numpy.arange(6) < n_points[:, None], rng.integers(0, 2, (len(n_points), 6)), 2)
    offsets = (3 * rng.standard_normal((*pen.shape, 2))).round() * (pen < 2)[..., None]
    x = numpy.concatenate([offsets, numpy.eye(3)[pen]], axis=2)
    model = sv.SketchRNN.lstm(latent_size, 3, 4, 2, scale=3.0, random_scale=0.1, drop_points=0.3, keep=0.8, **options)
    return model, x.astype(numpy.float32), {"kl_floor": 0.2, "clip_norm": 5.0}


def molecules(encoder):
    """Strings of one to five symbols, and a property that is not known for some."""
    strings = ["C" * (1 + i % 3) + "O" * (i % 2) + "N" * (i % 5 == 0) for i in range(M + 5)]
    oxygens = [numpy.nan if i % 10 == 0 else string.count("O") for i, string in enumerate(strings)]
    model = sv.MoleculeVAE.gru(["C", "N", "O"], 8, 2, 4, encoder=encoder, properties=["oxygens"])
    return model, strings, {"properties": {"oxygens": numpy.array(oxygens)}}


def table(n_categories):
    """Numbers, counts, pairs and categories of three levels, of which a fifth is not known."""
    rng, levels = numpy.random.default_rng(0), ("a", "b", "c")
    columns = [sv.data.Column("number", "number", (), 3.0, 2.0), sv.data.Column("count", "count")]
    columns += [sv.data.Column("pair", "category", levels[:2])]
    columns += [sv.data.Column(f"category {i}", "category", levels) for i in range(n_categories)]
    n = M + 5
    x = numpy.stack([3 + 2 * rng.standard_normal(n), rng.poisson(3, n), rng.integers(0, 2, n)], axis=1)
    x = numpy.concatenate([x, rng.integers(0, 3, (n, n_categories))], axis=1)
    x[rng.random(x.shape) < 0.2] = numpy.nan
    return sv.TableVAE.mlp(columns, 2, (4,), missing=True), x, {}


EXAMPLES = {
    "sketches": lambda: sketches(layer_norm=True),
    "sketches in whole pixels": lambda: sketches(dequantize=True),
    "sketches, the decoder alone": lambda: sketches(latent_size=0),
    "molecules": lambda: molecules("convolutional"),
    "molecules, recurrent encoder": lambda: molecules("recurrent"),
    "table": lambda: table(8),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_captured_steps_of_sequences_and_tables_are_plain_ones_to_rounding(gpu, launches, monkeypatch, name):
    """Sequences are padded where steps are captured, and packed where not; dropout and dropped points are the same."""
    schedules = {"learning_rate": sv.optim.LinearSchedule(5e-2, 1e-2, 9), "kl_weight": sv.optim.LinearSchedule(0, 1, 9)}
    results, size = [], (M + 5) // 2  # two whole minibatches and a partial one, three times
    for choice in ("off", ""):
        monkeypatch.setenv("SCRATCHVAE_CAPTURE", choice)
        model, x, options = EXAMPLES[name]()
        before = [sv.to_numpy(p.data).copy() for p in model.parameters()]
        options |= schedules | {"optimizer": SGD, "n_samples": 2}
        history = sv.fit(model, x, 3, size, device="gpu", progress=False, **options)
        after = [sv.to_numpy(p.data) for p in model.parameters()]
        assert max(abs(a - b).max(initial=0) for a, b in zip(after, before, strict=True)) > 0.03
        results.append([*(numpy.array(history[key]) for key in ("elbo", "reconstruction", "kl")), *after])
    (steps,) = launches
    assert steps.launches == 2 * 3 - capture.WARM_UP and not steps.failed
    for captured, plain in zip(*results[::-1], strict=True):
        numpy.testing.assert_allclose(captured, plain, rtol=2e-6, atol=2e-6)


def test_a_users_own_code_is_captured_only_if_asked_for(gpu, launches, monkeypatch):
    """A number that it counts up on the host would stay as it was."""

    class Counting(sv.VAE):
        def elbo(self, *arguments, **options):
            calls.append(1)
            return super().elbo(*arguments, **options)

    calls, x = [], numpy.random.default_rng(0).random((N, 16), dtype=numpy.float32)
    sv.fit(Counting.mlp(16, 2, (9,)), x, 2, M, device="gpu", progress=False)
    assert len(calls) == 6 and not launches
    model = sv.VAE.mlp(16, 2, (9,))
    model.elbo = model.elbo
    sv.fit(model, x, 2, M, device="gpu", progress=False)
    objective = sv.objectives.elbo(sv.VAE.mlp(16, 2, (9,)))
    sv.fit(objective.equation.__self__, x, 2, M, device="gpu", progress=False, objective=objective)
    assert not launches
    monkeypatch.setenv("SCRATCHVAE_CAPTURE", "on")
    sv.fit(Counting.mlp(16, 2, (9,)), x, 2, M, device="gpu", progress=False)
    assert launches[0].launches == 2 and len(calls) == 6 + 5


def test_another_word_is_refused(gpu, monkeypatch):
    with pytest.raises(InputError, match='SCRATCHVAE_CAPTURE: expected "on" or "off", or nothing, received \'yes\''):
        train("mlp", monkeypatch, "yes")


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
def test_products_of_every_layout(gpu, rng, dtype):
    """Rows, columns, slices, single rows and columns, stacks, and products written to a part of an array."""
    a, b, c = rng.standard_normal((6, 4)), rng.standard_normal((4, 5)), rng.standard_normal((3, 2, 6, 4))

    def on(x):
        return asarray(x.astype(dtype), "gpu")

    views = [
        (lambda a, b: (a, b)),
        (lambda a, b: (a.T[:, :3].T, b)),
        (lambda a, b: (a[:, ::2], b[::2])),
        (lambda a, b: (a[::2], b[:, 1:3])),
        (lambda a, b: (a[:1], b[:, :1])),
        (lambda a, b: (a[:, :1], b[:1])),
        (lambda a, b: (b.T, a.T)),
        (lambda a, b: (a[:1, ::2], b[::2, ::2])),
    ]
    stream = gpu.cuda.Stream(non_blocking=True)
    with stream:
        products = capture.Products(stream)
        for view in views:
            left, right = view(a, b)
            expected = left.astype(dtype) @ right.astype(dtype)
            numpy.testing.assert_allclose(sv.to_numpy(products(*view(on(a), on(b)))), expected, rtol=1e-5, atol=1e-6)
            wide = on(numpy.zeros((len(left), right.shape[1] + 2)))
            products(*view(on(a), on(b)), wide[:, 1:-1])
            numpy.testing.assert_allclose(sv.to_numpy(wide)[:, 1:-1], expected, rtol=1e-5, atol=1e-6)
            assert not sv.to_numpy(wide)[:, [0, -1]].any()
        numpy.testing.assert_allclose(sv.to_numpy(products(on(c), on(b))), c @ b, rtol=1e-5, atol=1e-5)
        stacked = products(on(c[0]).swapaxes(1, 2), on(c[1]))
        numpy.testing.assert_allclose(sv.to_numpy(stacked), c[0].swapaxes(1, 2) @ c[1], rtol=1e-5, atol=1e-5)
        for left, right in (((6, 0), (0, 5)), ((2, 6, 0), (0, 5)), ((0, 6), (6, 5))):
            empty = sv.to_numpy(products(on(numpy.zeros(left)), on(numpy.zeros(right))))
            numpy.testing.assert_array_equal(empty, numpy.zeros(left) @ numpy.zeros(right))
        products.close()
