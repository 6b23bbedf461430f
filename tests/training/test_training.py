"""fit: what it reduces to, what it draws, what it records, and how it stops."""

import itertools
import json
import math
import signal
import sys
import threading
from types import SimpleNamespace

import numpy
import pytest

import scratchvae as sv
from scratchvae import checkpoint
from scratchvae.backend import asarray
from scratchvae.binarization import binarize
from scratchvae.errors import DeviceError, InputError
from scratchvae.evaluation import active_units
from scratchvae.minibatches import labelled_minibatches
from scratchvae.optim import SGD

N, D = 45, 10
quiet = {"progress": False}


@pytest.fixture
def x(rng):
    """Rows with two degrees of freedom."""
    z = 4 * rng.standard_normal((N, 2)) @ rng.standard_normal((2, D))
    return (1 / (1 + numpy.exp(-z))).astype(numpy.float32)


def small(**settings):
    return sv.VAE.mlp(**{"input_size": D, "latent_size": 2, "hidden": (8,), "activation": "tanh"} | settings)


def freeze(parameters, learning_rate, clip_norm):
    """An optimiser that does not move."""
    return SGD(parameters, learning_rate=1e-30, clip_norm=clip_norm)


class Recorder:
    """A model that writes down the batches, the noise and the number of samples that it is asked for."""

    def __init__(self, model):
        self.model, self.asked = model, []

    elbo = sv.VAE.elbo

    def elbo_terms(self, x, noise, n_samples=1):
        self.asked.append((numpy.array(x), noise, n_samples))
        return self.model.elbo_terms(x, noise, n_samples)

    def __getattr__(self, name):
        return getattr(self.model, name)


# ---- what is recorded


def test_history_has_one_entry_an_epoch(x):
    history = sv.fit(small(), x, epochs=3, batch_size=20, learning_rate=0.02, **quiet)
    assert list(history) == ["epoch", "step", "elbo", "reconstruction", "kl", "active_units", "seconds"]
    assert {len(values) for values in history.values()} == {3}
    assert history["epoch"] == [1, 2, 3] and history["step"] == [3, 6, 9]
    assert all(seconds > 0 for seconds in history["seconds"])
    for elbo, reconstruction, kl in zip(history["elbo"], history["reconstruction"], history["kl"], strict=True):
        assert elbo == pytest.approx(reconstruction - kl, rel=1e-12) and kl > 0


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
@pytest.mark.parametrize("batch_size", [1, 20, 45, 1000])
def test_the_figures_are_means_over_rows_whatever_the_batches(x, batch_size):
    """Without movement the epoch's figures equal a recomputation, row by row: a partial batch counts by its rows."""
    model = small().to(dtype=numpy.float64)
    history = sv.fit(
        model, x, epochs=2, batch_size=batch_size, seed=3, n_samples=2, optimizer=freeze, kl_weight=0.3, **quiet
    )
    step = 0
    for epoch in range(2):
        order, terms = sv.Noise(3, epoch).permutation("order", N), []
        for start in range(0, N, batch_size):
            rows = x[order[start : start + batch_size]].astype(float)
            terms.append([sv.to_numpy(term) for term in model.elbo_terms(rows, sv.Noise(3, step), 2)])
            step += 1
        reconstruction, kl = numpy.concatenate(terms, axis=1)
        assert len(kl) == N and history["step"][epoch] == step
        assert history["reconstruction"][epoch] == pytest.approx(reconstruction.mean(), rel=1e-12)
        assert history["kl"][epoch] == pytest.approx(kl.mean(), rel=1e-12)
        assert history["elbo"][epoch] == pytest.approx((reconstruction - kl).mean(), rel=1e-12), "unweighted"


@pytest.mark.parametrize("kl_weight", [0.0, 0.25, 1.0])
def test_a_step_descends_the_mean_over_the_batch(x, kl_weight):
    """SGD moves by rate times the gradient of (1/M) sum of kl_weight KL - reconstruction."""
    model, twin = small().to(dtype=numpy.float64), small().to(dtype=numpy.float64)
    sv.fit(model, x, epochs=1, batch_size=N, learning_rate=0.05, optimizer=SGD, kl_weight=kl_weight, seed=2, **quiet)
    rows = x[sv.Noise(2).permutation("order", N)].astype(float)
    reconstruction, kl = twin.elbo_terms(rows, sv.Noise(2))
    loss = sv.ops.sum(kl_weight * kl - reconstruction) / N
    for received, start, g in zip(model.parameters(), twin.parameters(), sv.grad(loss, twin.parameters()), strict=True):
        numpy.testing.assert_allclose(received.data, start.data - 0.05 * g, atol=1e-14)
        assert abs(g).max() > 1e-3


@pytest.mark.parametrize(("n_samples", "kl_weight"), [(1, 1.0), (5, 1.0), (5, 0.5)])
def test_iwae_ascends_the_log_of_the_mean_weight(x, n_samples, kl_weight):
    """SGD moves by rate times the gradient of (1/M) sum of log (1/S) sum of p(x | z) (p(z) / q(z | x))^kl_weight."""
    model, twin = small().to(dtype=numpy.float64), small().to(dtype=numpy.float64)
    options = {"n_samples": n_samples, "objective": "iwae", "kl_weight": kl_weight, "seed": 2, "validation": x} | quiet
    history = sv.fit(model, x, epochs=1, batch_size=N, learning_rate=0.05, optimizer=SGD, **options)
    rows = x[sv.Noise(2).permutation("order", N)].astype(float)
    q = twin.encoder(rows)
    z = q.reparameterize(sv.Noise(2).normal("z", (n_samples, *q.shape)))
    reconstruction, log_ratio = twin.decoder(z).log_prob(rows), q.log_prob(z) - twin.prior.log_prob(z)
    weights = sv.ops.exp(reconstruction - kl_weight * log_ratio)
    bound = sv.ops.mean(sv.ops.log(sv.ops.mean(weights, axis=0)))
    for received, start, g in zip(
        model.parameters(), twin.parameters(), sv.grad(bound, twin.parameters()), strict=True
    ):
        numpy.testing.assert_allclose(received.data, start.data + 0.05 * g, atol=1e-14)
        assert abs(g).max() > 1e-3
    assert history["bound"] == [pytest.approx(float(bound), rel=1e-12)]
    assert history["reconstruction"] == [pytest.approx(reconstruction.data.mean(), rel=1e-12)]
    assert history["kl"] == [pytest.approx(log_ratio.data.mean(), rel=1e-12)]
    validation = sv.log_likelihood(model, x, n_samples, seed=2)[0].mean()
    assert history["validation_bound"] == [pytest.approx(validation, rel=1e-12)]
    if n_samples > 1 and kl_weight == 1:
        assert history["bound"][0] > history["elbo"][0] + 0.01, "the log of a mean, not the mean of logs"


def test_every_epoch_visits_every_row_once_in_another_order(x):
    recorder = Recorder(small())
    sv.fit(recorder, x, epochs=3, batch_size=20, n_samples=4, seed=1, learning_rate=0.02, **quiet)
    assert [len(batch) for batch, _, _ in recorder.asked] == 3 * [20, 20, 5]
    assert [noise for _, noise, _ in recorder.asked] == [sv.Noise(1, step, training=True) for step in range(9)]
    assert {n_samples for _, _, n_samples in recorder.asked} == {4}
    epochs = [numpy.concatenate([batch for batch, _, _ in recorder.asked[3 * i : 3 * i + 3]]) for i in range(3)]
    for epoch in epochs:
        numpy.testing.assert_array_equal(numpy.unique(epoch, axis=0), numpy.unique(x, axis=0))
    assert not any(numpy.array_equal(epochs[i], other) for i in range(3) for other in (x, epochs[i - 1]))


def test_active_units_and_validation_are_those_of_evaluate(x, tmp_path):
    model = small()
    history = sv.fit(
        model,
        x,
        epochs=12,
        batch_size=9,
        learning_rate=0.03,
        validation=x[:20],
        run_dir=tmp_path / "run",
        seed=6,
        **quiet,
    )
    scores = sv.evaluate(model, x[:20], seed=6)
    for name in ("elbo", "reconstruction", "kl", "active_units"):
        assert history[f"validation_{name}"][-1] == scores[name]
    assert history["active_units"][-1] == len(active_units(model, x))
    best = sv.evaluate(sv.load(tmp_path / "run" / "best.npz"), x[:20], seed=6)
    assert best["elbo"] == max(history["validation_elbo"])


def test_best_is_kept_beside_the_last(x, tmp_path):
    """A rate that explodes after the second epoch: the best validation checkpoint is not the last."""
    history = sv.fit(
        small(),
        x,
        epochs=4,
        batch_size=45,
        learning_rate=lambda step: 0.02 if step < 2 else 3.0,
        validation=x,
        run_dir=tmp_path / "run",
        **quiet,
    )
    values = history["validation_elbo"]
    assert max(values) == values[1] > values[-1]
    best, last = (sv.evaluate(sv.load(tmp_path / "run" / name), x)["elbo"] for name in ("best.npz", "last.npz"))
    assert (best, last) == (values[1], values[-1])


# ---- what is followed


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_schedules_are_asked_at_every_step(x):
    asked = {"rate": [], "weight": []}

    def rate(step):
        asked["rate"].append(step)
        return 0.01

    def weight(step):
        asked["weight"].append(step)
        return min(1.0, step / 4)

    sv.fit(small(), x, epochs=2, batch_size=20, learning_rate=rate, kl_weight=weight, **quiet)
    assert asked == {"rate": list(range(6)), "weight": list(range(6))}


def test_a_schedule_equals_the_numbers_that_it_gives(x):
    """Two runs, the second of one step at a time: step k of the first has the rate and the weight of step k."""
    rates, weights = [0.5, 0.1, 0.3], [0.0, 2.0, 0.7]
    models = [small().to(dtype=numpy.float64) for _ in range(2)]
    sv.fit(
        models[0],
        x,
        epochs=3,
        batch_size=N,
        learning_rate=rates.__getitem__,
        kl_weight=weights.__getitem__,
        optimizer=SGD,
        **quiet,
    )
    for step in range(3):
        rows = x[sv.Noise(0, step).permutation("order", N)].astype(float)
        reconstruction, kl = models[1].elbo_terms(rows, sv.Noise(0, step))
        parameters = models[1].parameters()
        loss = sv.ops.mean(weights[step] * kl - reconstruction)
        for parameter, g in zip(parameters, sv.grad(loss, parameters), strict=True):
            parameter.data -= rates[step] * g
    for a, b in zip(*(model.parameters() for model in models), strict=True):
        numpy.testing.assert_allclose(a.data, b.data, rtol=1e-9, atol=1e-12)


def test_the_gradient_is_clipped(x):
    def distance(clip_norm):
        model = small().to(dtype=numpy.float64)
        start = numpy.concatenate([x.data.ravel() for x in model.parameters()])
        sv.fit(model, x, epochs=1, batch_size=N, learning_rate=1.0, optimizer=SGD, clip_norm=clip_norm, **quiet)
        return numpy.linalg.norm(numpy.concatenate([x.data.ravel() for x in model.parameters()]) - start)

    assert distance(0.01) == pytest.approx(0.01, rel=1e-9)
    assert distance(None) == pytest.approx(distance(1e6), rel=1e-9) and distance(None) > 0.1


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
@pytest.mark.parametrize("mode", ["none", "threshold", "static", "dynamic"])
def test_binarize(x, mode):
    recorder = Recorder(small(binarize=mode))
    sv.fit(recorder, x, epochs=2, batch_size=N, seed=8, **quiet)
    grey = {row.tobytes(): i for i, row in enumerate(x)}
    epochs = []
    for step in range(2):
        order = sv.Noise(8, step).permutation("order", N)
        expected = x[order]
        if mode == "threshold":
            expected = numpy.where(x[order] > 0.5, 1, 0)
        if mode == "static":
            expected = binarize(x, "static", sv.Noise(123, 45))[order]
        if mode == "dynamic":
            expected = binarize(x[order], "dynamic", sv.Noise(8, step))
        received = recorder.asked[step][0]
        assert received.dtype == numpy.float32
        numpy.testing.assert_array_equal(received, expected)
        epochs.append(received[numpy.argsort(order)])
    assert numpy.array_equal(epochs[0], epochs[1]) is (mode != "dynamic") and len(grey) == N


def test_a_pixel_is_1_above_one_half_and_as_often_as_its_value_says():
    """Of 40,000 pixels a share within four standard deviations, 0.01; 0 and 1 never change."""
    halves = numpy.array([0.0, 0.49, 0.5, numpy.nextafter(numpy.float32(0.5), 1), 1.0], dtype=numpy.float32)
    assert binarize(halves, "threshold", None).tolist() == [0, 0, 0, 1, 1]
    values = numpy.array([0.0, 0.2, 0.5, 0.9, 1.0], dtype=numpy.float32)
    for mode in ("static", "dynamic"):
        x = binarize(numpy.broadcast_to(values, (40_000, 5)), mode, sv.Noise(1))
        assert x.dtype == numpy.float32 and set(x.ravel().tolist()) == {0, 1}
        assert abs(x.mean(axis=0) - values).max() < 0.01 and x[:, [0, 4]].std(axis=0).max() == 0


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_the_seed_decides_everything_and_nothing_else_does(x):
    def trained(**settings):
        model = small(binarize="dynamic")
        numpy.random.default_rng().standard_normal(3)
        sv.fit(model, x, epochs=2, batch_size=20, **quiet, **settings)
        return b"".join(x.data.tobytes() for x in model.parameters())

    assert trained(seed=1) == trained(seed=1) == trained(seed=1, validation=x[:5])
    assert len({trained(seed=1), trained(seed=2), trained(seed=1, n_samples=2), trained(seed=1, kl_weight=0.5)}) == 4


def test_images_are_trained_on_as_rows(x):
    models = [small(), small()]
    for model, data in zip(models, (x, x.reshape(N, 5, 2, 1)), strict=True):
        sv.fit(model, data, epochs=1, batch_size=9, learning_rate=0.02, **quiet)
    for a, b in zip(*(model.parameters() for model in models), strict=True):
        numpy.testing.assert_array_equal(a.data, b.data)


def test_data_stay_as_they_are(x):
    before = x.copy()
    x.setflags(write=False)
    sv.fit(small(binarize="static"), x, epochs=1, batch_size=9, learning_rate=0.02, **quiet)
    numpy.testing.assert_array_equal(x, before)


# ---- it learns


def test_twenty_digits_are_learnt_by_heart():
    """The entropy of 20 equally likely images is log 20 = 3.0 nats; the KL must carry them, the decoder draw them."""
    images = sv.data.draw_digits(20, seed=0).images
    model = sv.VAE.mlp(latent_size=8, hidden=(128,), binarize="threshold")
    untrained = sv.evaluate(model, images)["elbo"]
    sv.fit(model, images, epochs=400, batch_size=20, learning_rate=3e-3, **quiet)
    scores = sv.evaluate(model, images, n_samples=20)
    assert untrained < -500 and scores["reconstruction"] > -6 and math.log(20) < scores["kl"] < 25
    black = images.reshape(20, 784) > 0.5
    assert ((model.reconstruct(images).reshape(20, 784) > 0.5) == black).mean() > 0.998


def test_posterior_collapse_is_warned_of(x):
    with pytest.warns(sv.PosteriorCollapseWarning, match=r"posterior collapse: KL [\d.e-]+ nats, 0 active units"):
        sv.fit(small(), numpy.full_like(x, 0.5), epochs=30, batch_size=9, learning_rate=0.02, **quiet)


def test_of_equal_scores_the_first_is_the_best(x, tmp_path):
    sv.fit(small(), x, epochs=3, batch_size=9, validation=x, run_dir=tmp_path, optimizer=freeze, **quiet)
    assert [checkpoint.read(tmp_path / name)[0]["step"] for name in ("best.npz", "last.npz")] == [5, 15]


def test_the_best_is_that_of_the_bound_that_was_ascended(x, tmp_path, monkeypatch):
    scores = iter([{"elbo": -3.0, "bound": -1.0}, {"elbo": -2.0, "bound": -2.0}])
    monkeypatch.setattr("scratchvae.objectives._ImportanceWeighted.scores", lambda *_: next(scores))
    options = {"objective": "iwae", "n_samples": 2, "optimizer": freeze}
    sv.fit(small(), x, epochs=2, batch_size=9, validation=x, run_dir=tmp_path, **options, **quiet)
    assert checkpoint.read(tmp_path / "best.npz")[0]["step"] == 5


def test_each_epoch_has_the_seconds_of_its_own_steps(x, monkeypatch):
    monkeypatch.setattr("scratchvae.training.time", SimpleNamespace(perf_counter=itertools.count().__next__))
    assert sv.fit(small(), x, epochs=3, optimizer=freeze, **quiet)["seconds"] == [1, 1, 1]


def test_the_smaller_set_is_cycled_through_in_a_new_order_each_time():
    labels = numpy.repeat([3, -1], [6, 60])
    rows = numpy.concatenate([rows[:2] for rows, _ in labelled_minibatches(labels, 2, sv.Noise(0))]).reshape(-1, 6)
    assert (numpy.sort(rows, axis=1) == numpy.arange(6)).all()
    assert len(numpy.unique(rows, axis=0)) > 3


@pytest.mark.parametrize(("m", "collapsed"), [(0.44, True), (0.46, False)])
def test_a_posterior_has_collapsed_below_a_tenth_of_a_nat(m, collapsed, recwarn):
    """Means -m and m of a unit whose standard deviation is 1: the KL is m^2 / 2, 0.097 and 0.106 nats."""
    model = sv.VAE.mlp(input_size=1, latent_size=1, hidden=())
    layer = model.encoder.network.layers[0]
    layer.weight.data[:], layer.bias.data[:] = [[2 * m, 0]], [-m, 0]
    history = sv.fit(model, numpy.arange(20.0)[:, None] % 2, epochs=1, optimizer=freeze, **quiet)
    assert history["kl"] == pytest.approx([m**2 / 2], rel=1e-5) and history["active_units"] == [1]
    assert [str(warning.message)[:18] for warning in recwarn] == ["posterior collapse"] * collapsed


def test_active_units_are_counted_on_the_first_500_rows(monkeypatch):
    rows = []
    monkeypatch.setattr("scratchvae.training.active_units", lambda model, x: rows.append(numpy.array(x)) or [0])
    x = numpy.random.default_rng(0).random((600, D), dtype=numpy.float32)
    sv.fit(small(), x, epochs=1, batch_size=300, learning_rate=0.02, **quiet)
    numpy.testing.assert_array_equal(rows, [x[:500]])


# ---- it stops


def broken(x, step, term):
    """A model whose reconstruction or KL is not finite at one step."""
    recorder = Recorder(small())
    elbo_terms = recorder.elbo_terms

    def overflowing(rows, noise, n_samples=1):
        terms = list(elbo_terms(rows, noise, n_samples))
        if noise.step == step:
            terms[term] = terms[term] * numpy.float32(numpy.inf if term else numpy.nan)
        return terms

    recorder.elbo_terms = overflowing
    return recorder


@pytest.mark.parametrize(("step", "term", "name"), [(0, 0, "reconstruction"), (7, 1, "kl"), (8, 0, "reconstruction")])
def test_a_loss_that_is_not_finite_stops_before_the_step(x, tmp_path, step, term, name):
    model = broken(x, step, term)
    with pytest.raises(
        sv.NonFiniteError, match=rf"^step {step}: the {name} is not finite; the last checkpoint is .*npz$"
    ):
        sv.fit(model, x, epochs=5, batch_size=20, learning_rate=0.02, run_dir=tmp_path / "run", **quiet)
    assert all(numpy.isfinite(array).all() for array in model.state().values())
    whole = small()
    if step:  # the parameters are those after the steps before
        sv.fit(whole, x, epochs=step // 3, batch_size=20, learning_rate=0.02, **quiet)
        for name, array in sv.load(tmp_path / "run" / "last.npz").state().items():
            numpy.testing.assert_array_equal(array, whole.state()[name])
    with pytest.raises(sv.NonFiniteError, match="there is no run directory, so no checkpoint"):
        sv.fit(broken(x, step, term), x, epochs=5, batch_size=20, **quiet)


def test_an_exploding_run_leaves_a_good_checkpoint(x, tmp_path):
    with pytest.raises(sv.NonFiniteError, match="not finite; the last checkpoint is "):
        sv.fit(
            small(), x, epochs=50, batch_size=20, learning_rate=1e6, run_dir=tmp_path / "run", optimizer=SGD, **quiet
        )
    assert all(numpy.isfinite(array).all() for array in sv.load(tmp_path / "run" / "last.npz").state().values())


def test_a_gradient_that_is_not_finite_reaches_no_checkpoint(x, tmp_path):
    """sqrt has an infinite slope at 0: the loss is finite, the gradient is not."""
    model = small()
    elbo_terms = model.elbo_terms

    def with_root(rows, noise, n_samples=1):
        reconstruction, kl = elbo_terms(rows, noise, n_samples)
        root = sv.ops.sqrt(sv.ops.sum(0.0 * model.parameters()[0]))
        return reconstruction, kl + root if noise.step == 5 else kl

    model.elbo_terms = with_root
    with pytest.raises(sv.NonFiniteError, match="after step 6: a parameter is not finite; the last checkpoint is"):
        sv.fit(model, x, epochs=3, batch_size=20, learning_rate=0.02, run_dir=tmp_path / "run", **quiet)
    assert all(numpy.isfinite(array).all() for array in sv.load(tmp_path / "run" / "last.npz").state().values())


@pytest.mark.parametrize("value", [math.nan, math.inf, "fast", None])
@pytest.mark.parametrize("name", ["learning_rate", "kl_weight"])
def test_a_schedule_that_gives_no_number_stops_before_the_step(x, name, value):
    model = small()
    with pytest.raises(InputError, match=f"schedule: expected a finite number, received {value!r} at step 2"):
        sv.fit(model, x, epochs=2, batch_size=20, **{name: lambda step: 0.01 if step < 2 else value}, **quiet)
    assert all(numpy.isfinite(array).all() for array in model.state().values())


def test_ctrl_c_saves_and_says_how_to_go_on(x, tmp_path):
    def interrupted(step):
        if step == 4:
            signal.raise_signal(signal.SIGINT)
        return 0.02

    before = signal.getsignal(signal.SIGINT)
    model, run_dir = small(), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt, match=r"stopped after step 5; the last checkpoint is .*last\.npz, to resume"):
        sv.fit(model, x, epochs=3, batch_size=20, learning_rate=interrupted, run_dir=run_dir, **quiet)
    assert signal.getsignal(signal.SIGINT) is before
    for name, array in sv.load(run_dir / "last.npz").state().items():
        numpy.testing.assert_array_equal(array, model.state()[name])
    assert sorted(path.name for path in run_dir.iterdir()) == [".lock", "config.json", "last.npz", "metrics.jsonl"]


def test_a_second_ctrl_c_interrupts_at_once(x):
    def impatient(step):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the second interrupt was not obeyed")

    with pytest.raises(KeyboardInterrupt):
        sv.fit(small(), x, epochs=1, learning_rate=impatient, **quiet)


def test_fit_runs_outside_the_main_thread(x):
    histories = []
    thread = threading.Thread(
        target=lambda: histories.append(sv.fit(small(), x, epochs=1, batch_size=9, learning_rate=0.02, **quiet))
    )
    thread.start()
    thread.join()
    assert histories[0]["step"] == [5]


# ---- the run directory


def test_a_run_directory_holds_all_that_a_reader_needs(x, tmp_path):
    run_dir = tmp_path / "runs" / "first"
    model = small(seed=5)
    history = sv.fit(
        model,
        x,
        epochs=2,
        batch_size=numpy.int64(20),
        learning_rate=0.02,
        seed=numpy.int64(9),
        clip_norm=numpy.float32(4),
        run_dir=run_dir,
        **quiet,
    )
    assert sorted(path.name for path in run_dir.iterdir()) == [".lock", "config.json", "last.npz", "metrics.jsonl"]
    config = json.loads((run_dir / "config.json").read_text())
    assert config["model"] == {
        "constructor": "VAE.mlp",
        "input_size": D,
        "latent_size": 2,
        "hidden": [8],
        "activation": "tanh",
        "likelihood": "bernoulli",
        "std": 0.1,
        "binarize": "none",
        "seed": 5,
        "missing": False,
        "prior": "normal",
        "n_components": 100,
    }
    expected = {
        "batch_size": 20,
        "learning_rate": 0.02,
        "kl_weight": 1.0,
        "n_samples": 1,
        "clip_norm": 4.0,
        "seed": 9,
        "epochs": 2,
        "device": "cpu",
        "validation": None,
    }
    assert {name: config[name] for name in expected} == expected
    assert config["optimizer"] == {"name": "Adam", "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    assert config["data"].startswith("(45, 10) float32 ") and config["versions"]["numpy"] == numpy.__version__
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    assert {name: [line[name] for line in lines] for name in lines[0]} == history
    for name, array in sv.load(run_dir / "last.npz").state().items():
        numpy.testing.assert_array_equal(array, model.state()[name])


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": -1},
        {"kl_weight": "much"},
        {"learning_rate": -1.0},
        {"epochs": 0},
        {"optimizer": "adam"},
        {"clip_norm": 0.0},
        {"validation": numpy.ones((3, 9))},
        {"validation": [[0.5] * D, [0.5]]},
        {"device": "tpu"},
    ],
    ids=str,
)
def test_what_is_refused_leaves_no_trace(x, tmp_path, settings):
    """A mistake must not leave a run directory behind that refuses the corrected command."""
    model = small()
    before = {name: array.copy() for name, array in model.state().items()}
    with pytest.raises(InputError):
        sv.fit(model, x, run_dir=tmp_path / "run", **{"epochs": 1, **quiet, **settings})
    assert not (tmp_path / "run").exists()
    assert all(numpy.array_equal(array, before[name]) for name, array in model.state().items())


def test_a_run_directory_that_holds_a_run_is_refused(x, tmp_path):
    sv.fit(small(), x, epochs=1, batch_size=9, learning_rate=0.02, run_dir=tmp_path, **quiet)
    with pytest.raises(InputError, match=r"run directory .*: expected an empty one, received one with a run \(resume"):
        sv.fit(small(), x, epochs=1, run_dir=tmp_path, **quiet)


def test_without_a_progress_bar_tqdm_is_not_needed(x, monkeypatch):
    for name in ("tqdm", "tqdm.auto"):
        monkeypatch.setitem(sys.modules, name, None)
    assert len(sv.fit(small(), x, epochs=2, **quiet)["elbo"]) == 2
    with pytest.raises(ImportError, match="tqdm"):
        sv.fit(small(), x, epochs=1)


def test_progress_is_shown_on_request(x, capsys):
    sv.fit(small(), x, epochs=2, batch_size=9, learning_rate=0.02, **quiet)
    assert capsys.readouterr() == ("", "")
    sv.fit(small(), x, epochs=2, batch_size=9, learning_rate=0.02)
    out, err = capsys.readouterr()
    assert out == "" and "10/10" in err and "ELBO -" in err and "KL" in err


# ---- another device


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
@pytest.mark.parametrize(
    "settings", [{"binarize": "dynamic"}, {"binarize": "static"}, {"likelihood": "gaussian", "std": "learned"}], ids=str
)
def test_a_run_on_the_gpu_is_that_of_the_cpu(x, gpu, monkeypatch, tmp_path, settings):
    monkeypatch.setenv("SCRATCHVAE_CAPTURE", "off")  # the numbers of the CPU come from the host at every step
    for name in ("normal", "uniform"):  # the generators differ: both devices get the numbers of the CPU
        method = getattr(sv.Noise, name)

        def handed_out(self, what, shape, method=method):
            return asarray(method(sv.Noise(self.seed, self.step), what, shape), self.device)

        monkeypatch.setattr(sv.Noise, name, handed_out)
    monkeypatch.setattr(sv.Noise, "fills", lambda *arguments, **options: False)
    models, histories = [small(**settings), small(**settings)], []
    for model, device in zip(models, ("cpu", "gpu"), strict=True):
        histories.append(
            sv.fit(
                model,
                x,
                epochs=4,
                batch_size=20,
                learning_rate=0.01,
                validation=x[:9],
                clip_norm=5.0,
                n_samples=2,
                device=device,
                run_dir=tmp_path / device,
                **quiet,
            )
        )
    assert [model.device for model in models] == ["cpu", "gpu"]
    for name, values in histories[0].items():
        if name != "seconds":
            assert histories[1][name] == pytest.approx(values, rel=1e-4)
    for a, b in zip(*(model.parameters() for model in models), strict=True):
        numpy.testing.assert_allclose(sv.to_numpy(b), a.data, atol=1e-5)
    assert type(models[1].reconstruct(asarray(x, "gpu"))) is gpu.ndarray
    assert sv.load(tmp_path / "gpu" / "last.npz").device == "cpu"


def test_the_generator_of_the_gpu_trains(x, gpu, tmp_path):
    model = small(binarize="dynamic")
    first = sv.fit(model, x, epochs=12, batch_size=9, learning_rate=0.03, device="gpu", run_dir=tmp_path / "a", **quiet)
    assert first["elbo"][-1] > first["elbo"][0] + 1
    assert type(model.sample(3)) is gpu.ndarray
    for epochs, resume in ((5, False), (12, True)):
        again = small(binarize="dynamic")
        second = sv.fit(
            again,
            x,
            epochs=epochs,
            batch_size=9,
            learning_rate=0.03,
            device="gpu",
            run_dir=tmp_path / "b",
            resume=resume,
            **quiet,
        )
    assert second["elbo"] == first["elbo"]
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        numpy.testing.assert_array_equal(sv.to_numpy(a), sv.to_numpy(b))


@pytest.mark.parametrize("step", [0, 3, 49, 50, 73, 99])
def test_on_the_gpu_the_step_is_named_though_terms_are_read_seldom(x, gpu, step):
    model = small().to("gpu")
    elbo_terms = model.elbo_terms

    def overflowing(rows, noise, n_samples=1):
        reconstruction, kl = elbo_terms(rows, noise, n_samples)
        return reconstruction, kl * (math.inf if noise.step == step else 1.0)

    model.elbo_terms = overflowing
    rows = numpy.resize(x, (100, D))
    with pytest.raises(sv.NonFiniteError, match=f"^step {step}: the kl is not finite"):
        sv.fit(model, rows, epochs=2, batch_size=1, **quiet)


def test_data_on_another_device_move_to_the_model(x, gpu):
    histories = [
        sv.fit(small(), asarray(x, device), epochs=2, batch_size=9, learning_rate=0.02, **quiet)["elbo"]
        for device in ("cpu", "gpu")
    ]
    assert histories[0] == histories[1]
    with pytest.raises(DeviceError, match="data: expected an array on the model's device, cpu, received one on gpu"):
        small().encode(asarray(x, "gpu"))


def test_iwae_needs_a_model_with_weights_before_anything_is_written(x, tmp_path):
    class WithoutWeights(Recorder):
        objectives = {"elbo": sv.objectives.elbo}

    with pytest.raises(InputError, match="an objective among elbo for a WithoutWeights, received 'iwae'"):
        sv.fit(WithoutWeights(small()), x, objective="iwae", run_dir=tmp_path / "run", **quiet)
    assert not (tmp_path / "run").exists()
    for objective in (["iwae"], {}, None):
        with pytest.raises(InputError, match="an objective among elbo, iwae"):
            sv.fit(small(), x, objective=objective, **quiet)
    with pytest.raises(InputError, match="n_samples of at least 1, received True"):
        sv.fit(small(), x, n_samples=True, **quiet)


def test_an_ignored_interrupt_stays_ignored(x):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        sv.fit(small(), x, epochs=1, learning_rate=lambda step: signal.raise_signal(signal.SIGINT) or 0.01, **quiet)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
