"""SketchRNN: data, training, resuming, devices, drawing and completion. Its mathematics is in scratchvae/checks."""

import dataclasses
import json
import os
import signal
import subprocess
import sys

import numpy
import pytest

import scratchvae as sv
from scratchvae.distributions.sketch import n_points
from scratchvae.errors import DataError, InputError, ShapeError
from scratchvae.evaluation import quantity
from scratchvae.models import SketchRNN, sketch_rnn
from scratchvae.models.configuration import build

pytestmark = pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
END_ROW = numpy.array([0, 0, 0, 0, 1], dtype=numpy.float32)
SETTINGS = {"batch_size": 8, "learning_rate": 1e-2, "kl_floor": 2.0, "clip_norm": 10.0, "progress": False}


@pytest.fixture(scope="module")
def x():
    return sv.data.draw_sketches(30).sketches


def small(latent_size=2, **options):
    return SketchRNN.lstm(latent_size, 5, 6, 2, **{"scale": 3.4} | options)


def parameters(model):
    return {name: array.tobytes() for name, array in model.state().items()}


# ---- data


def changed(x, change):
    x = x.copy()
    change(x)
    return x


MISTAKES = {
    "images": (lambda x: x[:, :, :4], r"expected sketches \(N, T, 5\), rows \(dx, dy, down, up, end\), received shape"),
    "one sketch": (lambda x: x[0], r"expected sketches \(N, T, 5\)"),
    "integers": (lambda x: x.astype(int), "an array of floating-point numbers"),
    "no end": (lambda x: x[:, :3], "and the end .* behind them, received a sketch without an end"),
    "no point": (
        lambda x: changed(x, lambda x: x.__setitem__(3, END_ROW)),
        "points in every sketch, .*received a sketch without a point",
    ),
    "two states": (lambda x: changed(x, lambda x: x.__setitem__((0, 0, 3), 1 - x[0, 0, 3])), "one of down, up and end"),
    "half a state": (lambda x: changed(x, lambda x: x.__setitem__((0, 0), 1 / 3)), "one of down, up and end"),
    "an offset behind the end": (
        lambda x: changed(x, lambda x: x.__setitem__((0, -1, 0), 1.0)),
        "from the end on, received another row after the end",
    ),
    "a point behind the end": (
        lambda x: numpy.concatenate([x, x], axis=1),
        "from the end on, received another row after the end",
    ),
    "another unit": (
        lambda x: x * numpy.array([30, 30, 1, 1, 1], dtype=numpy.float32),
        r"offsets of about 3.4, the model's scale, on average, received 10\d \(absolute coordinates\?",
    ),
    "NaN": (lambda x: changed(x, lambda x: x.__setitem__((0, 0, 0), numpy.nan)), "finite numbers"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_no_sketch_is_refused_in_one_sentence(mistake, x):
    change, sentence = MISTAKES[mistake]
    for use in (lambda model, x: sv.fit(model, x, progress=False), sv.evaluate, lambda model, x: model.encode(x)):
        with pytest.raises(DataError, match=sentence):
            use(small(), change(x))


def test_settings_out_of_range_are_refused():
    for options, sentence in (
        ({"random_scale": 1.0}, "random_scale from 0 to below 1, received 1.0"),
        ({"drop_points": -0.1}, "drop_points from 0 to below 1, received -0.1"),
        ({"scale": 0.0}, "a positive scale, received 0.0"),
        ({"keep": 0.0}, "keep above 0, at most 1, received 0.0"),
        ({"keep": 1.5}, "keep above 0, at most 1, received 1.5"),
        ({"latent_size": -1}, "received -1"),
    ):
        with pytest.raises(InputError, match=sentence):
            small(**options)


def test_more_padding_changes_no_bit(x):
    longer, model = numpy.concatenate([x, numpy.tile(END_ROW, (len(x), 9, 1))], axis=1), small()
    noise = sv.Noise(3)
    for received, expected in zip(model.elbo_terms(longer, noise, 2), model.elbo_terms(x, noise, 2), strict=True):
        assert numpy.array_equal(received.data, expected.data)


def test_the_density_is_that_of_x_as_given(x):
    """In units of half a pixel every offset is twice as long, and its density a quarter."""
    double = x * numpy.array([2, 2, 1, 1, 1], dtype=numpy.float32)
    noise = sv.Noise(3)
    here, there = (small(scale=scale).to(dtype=numpy.float64) for scale in (3.0, 6.0))
    terms = [model.elbo_terms(rows.astype(float), noise) for model, rows in ((here, x), (there, double))]
    difference = terms[0][0].data - terms[1][0].data
    numpy.testing.assert_allclose(difference, 2 * n_points(x) * numpy.log(2), rtol=1e-10)
    numpy.testing.assert_allclose(terms[0][1].data, terms[1][1].data, rtol=1e-10)


def test_whole_numbers_are_dequantised_in_every_score(x):
    whole, model = numpy.concatenate([x[..., :2].round(), x[..., 2:]], axis=2), small(dequantize=True)
    batch = model.prepare_batch(whole, sv.Noise(1))
    assert (abs(batch - whole)[..., :2] <= 0.5).all() and not numpy.array_equal(batch, whole)
    assert sv.evaluate(model, whole) != sv.evaluate(model, whole, seed=1)
    assert quantity(model, whole) == "lower bound of log p(x), x in whole numbers, dequantised"
    assert quantity(small(), whole).endswith("whole numbers are to be dequantised")
    assert quantity(small(), x) == "lower bound of log p(x), a density of offsets"
    for use in (lambda: sv.fit(model, x, 1, **SETTINGS), lambda: model.prepare_batch(x, sv.Noise(1))):
        with pytest.raises(DataError, match="offsets that are whole numbers"):
            use()
    with pytest.raises(DataError, match="offsets that are whole numbers"):
        sv.evaluate(model, x)


def test_training_alone_scales_and_leaves_out_points(x):
    model, noise = small(random_scale=0.2, drop_points=0.5), sv.Noise(1)
    varied = model.augment(x, noise)
    assert varied.dtype == numpy.float32 and model.prepare_batch(x, noise) is x
    model.observations(varied)
    assert n_points(varied).sum() < 0.8 * n_points(x).sum()
    ends = [sketches[..., :2].sum(axis=1) for sketches in (varied, x)]
    ratio = ends[0] / ends[1]
    assert (ratio > 0.79).all() and (ratio < 1.21).all() and ratio.std() > 0.05
    numpy.testing.assert_array_equal(varied[..., 3].sum(axis=1), x[..., 3].sum(axis=1))
    plain, twin = small(), small(random_scale=0.2)
    for fitted in (plain, twin):
        sv.fit(fitted, x, epochs=1, **SETTINGS)
    assert parameters(plain) != parameters(twin)
    assert small().augment(x, noise) is x


def test_training_alone_drops_out(x):
    """The noise of a training step is that of scores: only what it is for differs."""
    noise, plain, dropping = sv.Noise(3), small(), small(keep=0.6)
    training = dataclasses.replace(noise, training=True)
    assert parameters(plain) == parameters(dropping)
    for equation in (SketchRNN.elbo, SketchRNN.log_weights):
        scored = [equation(model, x, given, 2).data for model, given in ((plain, noise), (dropping, noise))]
        kept, dropped = equation(plain, x, training, 2).data, equation(dropping, x, training, 2).data
        assert scored[0].tobytes() == scored[1].tobytes() == kept.tobytes() != dropped.tobytes()
    for score in (sv.evaluate, sv.elbo, lambda model, x: sv.log_likelihood(model, x, 3)):
        assert repr(score(plain, x)) == repr(score(dropping, x))
    assert dropping.sample(3).tobytes() == plain.sample(3).tobytes()
    for fitted in (plain, dropping):
        sv.fit(fitted, x, epochs=1, **SETTINGS)
    assert parameters(plain) != parameters(dropping)


@pytest.mark.parametrize("keep", [0.25, 0.9])
def test_on_average_a_dropped_candidate_is_the_candidate(keep):
    """The mean over all uniform numbers on a fine grid; in every LSTM of the model."""
    uniform = (numpy.arange(10_000) + 0.5) / 10_000
    model = small(keep=keep)
    for lstm in (model.decoder.lstm, model.encoder.lstm.forwards, model.encoder.lstm.backwards):
        factors = lstm.dropout_factors(sv.noise.GivenNoise(uniform), (10_000,))
        assert factors.mean(dtype=float) == pytest.approx(1, rel=1e-6) and set(factors > 0) == {True, False}


def test_what_is_dropped_out_is_what_the_noise_says(x):
    """Without any candidate the encoder's memory stays empty, and q(z | x) is its bias; with all of them over keep
    the density is that of the equations with every candidate divided by keep."""
    model = small(keep=0.8).to(dtype=numpy.float64)
    e = numpy.random.default_rng(0).standard_normal((len(x), 2))

    def terms(uniform):
        return model.elbo_terms(x.astype(float), sv.noise.GivenNoise({"z": e, "dropout": uniform}, training=True))

    model.encoder.linear.bias.data[:] = [0.3, -0.2, 0.1, -0.4]
    bias = sv.distributions.Normal(numpy.array([0.3, -0.2]), numpy.array([0.1, -0.4]))
    expected = sv.distributions.kl(bias, model.prior)
    numpy.testing.assert_allclose(terms(numpy.array(0.9))[1].data, numpy.full(len(x), expected), rtol=1e-12)
    kept = terms(numpy.array(0.1))
    lstm = model.decoder.lstm
    q = model.encoder(x.astype(float), sv.noise.GivenNoise(numpy.array(0.1)))
    z = q.mean.data + numpy.exp(q.log_std.data) * e
    p = model.decode(z)
    rows = numpy.concatenate([numpy.tile([0, 0, 1.0, 0, 0], (len(x), 1, 1)), x[:, :-1]], axis=1)
    rows[..., :2] /= float(model.decoder.scale)
    h, c, total = sv.to_numpy(p.h0), sv.to_numpy(p.c0), numpy.zeros(len(x))
    for t in range(x.shape[1]):
        a = rows[:, t] @ lstm.weight.data + lstm.bias.data + h @ lstm.recurrent.data + sv.to_numpy(p.constant)
        i, f, o, g = numpy.split(a, 4, axis=1)
        c = c / (1 + numpy.exp(-f)) + numpy.tanh(g) / 0.8 / (1 + numpy.exp(-i))
        h = numpy.tanh(c) / (1 + numpy.exp(-o))
        target = x[:, t].astype(float)
        target[:, :2] /= float(model.decoder.scale)
        log_p = sv.to_numpy(model.decoder.head(h).log_prob(target))
        log_p -= 2 * numpy.log(float(model.decoder.scale)) * (target[:, 4] == 0)
        total += numpy.where(t <= n_points(x), log_p, 0)
    numpy.testing.assert_allclose(kept[0].data, total, rtol=1e-10)


def test_memory_is_bounded_by_the_states_of_all_steps(x):
    assert small().entries(x) == x.shape[1] * 8 * 6


# ---- training


def test_training_lowers_the_loss_in_float32_and_keeps_it(x):
    model = small()
    history = sv.fit(model, x, epochs=8, **SETTINGS)
    assert history["elbo"][-1] > history["elbo"][0] + 5
    assert {array.dtype for array in model.state().values()} == {numpy.dtype("float32")}
    assert model.elbo(x, sv.Noise(0)).dtype == numpy.float32
    drawings = (model.sample(3), model.reconstruct(x), model.interpolate(x[:2], x[2:4]), model.complete(x[0, :4])[0])
    assert {drawing.dtype for drawing in drawings} == {numpy.dtype("float32")}


@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_a_decoder_alone_trains_without_a_word_of_collapse(objective, x, recwarn):
    model = small(0)
    history = sv.fit(model, x, epochs=2, objective=objective, n_samples=2, batch_size=8, progress=False)
    assert history["kl"] == [0.0, 0.0] and not recwarn.list
    scores, (log_px, error, effective) = sv.evaluate(model, x), sv.log_likelihood(model, x, 3)
    assert scores["kl"] == 0 and scores["active_units"] == 0
    assert log_px.mean() == pytest.approx(scores["elbo"], rel=1e-6)
    numpy.testing.assert_allclose([error, effective - 3], 0, atol=1e-4)
    assert model.sample(3).shape[0] == 3 and model.complete(x[0, :3], n=2)[1] == pytest.approx(400)


def test_the_weighted_bound_lies_between_the_elbo_and_log_p(x):
    model = small()
    sv.fit(model, x, epochs=3, objective="iwae", n_samples=4, batch_size=8, progress=False)
    log_px, error, _ = sv.log_likelihood(model, x, 2000)
    assert (log_px - sv.elbo(model, x, 500) > -4 * error).all() and (log_px - sv.elbo(model, x, 500)).mean() > 0


def test_a_file_holds_the_model(x, tmp_path):
    for model in (small(), small(0), small(layer_norm=True, dequantize=True, keep=0.9, drop_points=0.2)):
        sv.save(model, tmp_path / "model.npz")
        again = sv.load(tmp_path / "model.npz")
        assert parameters(again) == parameters(model) and again.configuration == model.configuration
        assert numpy.array_equal(again.sample(3), model.sample(3))


def test_resumed_after_a_kill_it_ends_with_the_same_bits(x, tmp_path):
    """Killed by the system in the third epoch, and resumed."""
    numpy.save(tmp_path / "x.npy", x)
    code = f"""
import os, signal, numpy, scratchvae as sv
x, model = numpy.load({str(tmp_path / "x.npy")!r}), sv.SketchRNN.lstm(2, 5, 6, 2, scale=3.4, drop_points=0.2, keep=0.7)
augment, n = sv.SketchRNN.augment, iter(range(99))
sv.SketchRNN.augment = lambda *a: os.kill(os.getpid(), signal.SIGKILL) if next(n) == 9 else augment(*a)
sv.fit(model, x, epochs=4, run_dir={str(tmp_path / "run")!r}, **{SETTINGS!r})
"""
    finished = subprocess.run([sys.executable, "-c", code], env=os.environ)
    assert finished.returncode == -signal.SIGKILL
    assert json.loads((tmp_path / "run" / "config.json").read_text())["kl_floor"] == 2.0
    whole, resumed = (small(drop_points=0.2, keep=0.7) for _ in range(2))
    sv.fit(whole, x, epochs=4, **SETTINGS)
    sv.fit(resumed, x, epochs=4, run_dir=tmp_path / "run", resume=True, **SETTINGS)
    assert parameters(resumed) == parameters(whole)


def test_a_run_and_a_file_from_before_there_was_a_keep_go_on_with_the_same_bits(x, tmp_path):
    whole, begun, resumed = small(), small(), small()
    sv.fit(whole, x, epochs=2, **SETTINGS)
    sv.fit(begun, x, epochs=1, run_dir=tmp_path, **SETTINGS)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["model"]["keep"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    sv.fit(resumed, x, epochs=2, run_dir=tmp_path, resume=True, **SETTINGS)
    assert parameters(resumed) == parameters(whole)
    older = {name: value for name, value in whole.configuration.items() if name != "keep"}
    assert build(older, 10**6).configuration == whole.configuration


def test_a_model_prints_what_is_done_to_its_data():
    assert repr(small()).splitlines()[0] == f"SketchRNN, {small().count():,} parameters"
    assert repr(small(dequantize=True)).splitlines()[0] == f"SketchRNN, {small().count():,} parameters, dequantize"
    assert "keep 0.9" in repr(small(keep=0.9)) and "keep" not in repr(small())


def test_on_another_device_it_is_the_same(x, gpu, monkeypatch):
    """Terms, gradient, a run, drawings and a completion, with the same noise."""
    monkeypatch.setattr(sketch_rnn, "PROPOSAL_STEPS", 10)  # of a completion, of which only types and ranges are asked
    results = {}
    rng = numpy.random.default_rng(0)
    z = rng.standard_normal((2, len(x), 2))
    for device in ("cpu", "gpu"):
        model = small(random_scale=0.1, drop_points=0.3, keep=0.9).to(dtype=numpy.float64).to(device)
        rows = model.observations(gpu.asarray(x.astype(float)) if device == "gpu" else x.astype(float))
        arrays = {"z": gpu.asarray(z) if device == "gpu" else z}
        noise = sv.noise.GivenNoise(arrays)
        terms = model.elbo_terms(rows, noise, 2)
        gradient = sv.grad(sv.ops.mean(terms[0] - terms[1]), model.parameters())
        results[device] = [sv.to_numpy(part) for part in (*terms, *gradient)]
        assert type(model.augment(rows, sv.Noise(0, device=device))) is type(rows)
        sv.fit(model, rows, epochs=1, **SETTINGS)
        assert sv.evaluate(model, rows)["n"] == 30
        drawings = [model.sample(3), model.reconstruct(rows), model.interpolate(rows[:2], rows[2:4])]
        drawing, effective = model.complete(rows[0, :3], n=2, n_draws=20)
        assert all(type(part) is type(rows) for part in (*drawings, drawing)) and 1 <= effective <= 20
        open_ends, facts = model.complete_points(rows[0, :3], n=2, n_draws=20)
        assert type(open_ends) is type(rows) and 1 <= facts["effective"] <= 40 and 0 < facts["lifted"] < 1
    for received, expected in zip(results["gpu"], results["cpu"], strict=True):
        numpy.testing.assert_allclose(received, expected, rtol=1e-9, atol=1e-11)


# ---- drawing


def test_drawings_are_sketches_of_their_own_length(x):
    model = small()
    for drawing in (model.sample(20), model.reconstruct(x), model.interpolate(x[:2], x[2:4], 5).reshape(10, -1, 5)):
        drawing = drawing[n_points(drawing) > 0]
        model.decoder.likelihood.check_data(drawing)
        assert n_points(drawing).max() == drawing.shape[1] - 1
    assert n_points(model.sample(20, longest=3)).max() == 3
    assert numpy.array_equal(model.sample(4, seed=1), model.sample(4, seed=1))
    assert not numpy.array_equal(model.sample(4, seed=1)[:, :2], model.sample(4, seed=2)[:, :2])
    with pytest.raises(InputError, match="a positive temperature"):
        model.sample(2, temperature=0.0)


def test_an_interpolation_begins_and_ends_with_the_reconstructions_codes(x, monkeypatch):
    model, seen = small(), []
    monkeypatch.setattr(model, "decode", lambda z: seen.append(z) or SketchRNN.decode(model, z))
    model.interpolate(x[:2], x[2:4], 5)
    numpy.testing.assert_allclose(seen[0][:, 0], model.encode(x[:2]).mean, rtol=1e-5)
    numpy.testing.assert_allclose(seen[0][:, -1], model.encode(x[2:4]).mean, rtol=1e-5)


def test_a_completion_begins_with_its_prefix(x, monkeypatch):
    monkeypatch.setattr(sketch_rnn, "PROPOSAL_STEPS", 10)  # whatever z is proposed, the prefix stays
    model = small()
    drawing, effective = model.complete(x[0, :4], n=7, n_draws=50)
    assert drawing.shape[0] == 7 and 1 <= effective <= 50
    numpy.testing.assert_allclose(drawing[:, :4], numpy.tile(x[0, :4], (7, 1, 1)), rtol=1e-6)
    whole, _ = model.complete(x[0], n=2)
    n = int(n_points(x[0]))
    numpy.testing.assert_allclose(whole[:, :n], numpy.tile(x[0, :n], (2, 1, 1)), rtol=1e-6)
    assert len({row.tobytes() for row in drawing}) == 7
    with pytest.raises(ShapeError, match=r"a prefix of rows .*shape \(P, 5\), received shape \(30, "):
        model.complete(x)
    with pytest.raises(DataError, match="one of down, up and end"):
        model.complete(x[0, :4] * 0)
    with pytest.raises(InputError, match="n_draws"):
        model.complete(x[0, :4], n_draws=0)
    with pytest.raises(DataError, match="offsets of about 3.4, the model's scale"):
        model.complete(x[0, :4] * numpy.array([30, 30, 1, 1, 1], dtype=numpy.float32))
    model.complete(x[0, :2] * numpy.array([9, 9, 1, 1, 1], dtype=numpy.float32), n_draws=2)  # few points tell no unit


def test_points_are_completed_whether_the_pen_is_lifted_or_not(x, monkeypatch):
    """The evidence is the sum of those of both states, and as many drawings have each as its share says."""
    monkeypatch.setattr(sketch_rnn, "PROPOSAL_STEPS", 10)  # both sides weight the same draws, whatever proposes them
    model = small()
    states = numpy.tile(x[0, :4], (2, 1, 1))
    states[:, -1, 2:4] = [[1, 0], [0, 1]]
    log_w = [model.log_weights_of_prefix(rows, 200, 1)[1].astype(float) for rows in states]
    down, up = numpy.exp(log_w).mean(axis=1)
    for begun in states:
        drawings, facts = model.complete_points(begun, 1000, 200, seed=1, longest=5)
        assert facts["log_p"] == pytest.approx(numpy.log(down + up), abs=1e-5) and facts["draws"] == 400
        assert facts["lifted"] == pytest.approx(up / (down + up), rel=1e-4)
        assert drawings[:, 3, 3].mean() == pytest.approx(facts["lifted"], abs=4 * 0.5 / 1000**0.5)
        numpy.testing.assert_allclose(drawings[:, :4, :2], numpy.tile(x[0, :4, :2], (1000, 1, 1)), rtol=1e-6)
        numpy.testing.assert_array_equal(drawings[:, :3, 2:], numpy.tile(x[0, :3, 2:], (1000, 1, 1)))


def test_a_completion_prefers_what_the_points_make_likely(x):
    """A decoder whose z says whether the pen goes right or left: after a step to the right most z are positive."""
    model = small(1).to(dtype=numpy.float64)
    for parameter in model.decoder.parameters():
        parameter.data *= 0
    model.decoder.lstm.weight.data[:] = 0
    decoder = model.decoder
    hidden = decoder.lstm.hidden_size
    decoder.constant_weight.data[0, 3 * hidden :] = 3.0  # g follows z
    decoder.head.linear.weight.data[:, [4, 10]] = 1.0  # and the means of dx follow h
    right = numpy.array([[6.0, 0.0, 1.0, 0.0, 0.0]])
    z, log_w = model.log_weights_of_prefix(right, 500)
    weights = numpy.exp(log_w - log_w.max())
    assert weights @ (z[:, 0] > 0) > 0.8 * weights.sum()
