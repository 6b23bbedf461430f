"""Callbacks of fit: what stops a training, what is put back, and that a resumed run ends as an uninterrupted one."""

import csv
import struct
import sys

import numpy
import pytest
from builders import data

import scratchvae as sv
from scratchvae import checkpoint
from scratchvae.callbacks import Callback, CSVLog, EarlyStopping, PlateauSchedule, TensorBoard, TimeLimit
from scratchvae.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")


def model():
    return sv.VAE.mlp(input_size=10, latent_size=2, hidden=(8,), activation="tanh")


def fit(vae, epochs, **settings):
    settings = {"batch_size": 12, "learning_rate": 0.02, "seed": 3, "progress": False, "validation": 0.3} | settings
    return sv.fit(vae, data(), epochs, **settings)


def bits(vae):
    return {name: numpy.array(array).tobytes() for name, array in vae.state().items()}


def script(monkeypatch, scores, done=0):
    """The validation scores of the epochs to come, whatever the model is."""
    remaining = iter(scores[done:])
    monkeypatch.setattr(sv.Objective, "scores", lambda *_: {"elbo": next(remaining)})


SCORES = [-9.0, -7.0, -8.0, -7.0, -7.5, -3.0, -2.0, -1.0]


def test_early_stopping_puts_back_the_parameters_of_the_best_epoch(monkeypatch):
    """Scores -9, -7, -8, -7, -7.5: the best epoch is the second, an equal one is no better, and three are waited."""
    script(monkeypatch, SCORES)
    stopped, stopping = model(), sv.EarlyStopping(patience=3)
    history = fit(stopped, 8, callbacks=[stopping])
    assert history["epoch"] == [1, 2, 3, 4, 5] and stopping.best_epoch == 2 and "epoch 2" in str(stopping)
    script(monkeypatch, SCORES)
    best = model()
    fit(best, 2)
    assert bits(stopped) == bits(best)
    script(monkeypatch, SCORES)
    last = model()
    fit(last, 5)
    assert bits(stopped) != bits(last)


def test_the_best_parameters_come_back_also_where_the_epochs_end_first(monkeypatch):
    script(monkeypatch, SCORES)
    whole, best, stopping = model(), model(), sv.EarlyStopping(patience=30, metric="validation_elbo")
    assert fit(whole, 4, callbacks=[stopping])["epoch"] == [1, 2, 3, 4]
    script(monkeypatch, SCORES)
    fit(best, 2)
    assert bits(whole) == bits(best)
    script(monkeypatch, SCORES)  # an object may be used again, and begins anew
    again = model()
    fit(again, 1, callbacks=[stopping])
    assert stopping.best_epoch == 1 and stopping.best == -9


# ---- resume


class Forgetful(EarlyStopping):
    """A planted mistake: how long it has waited is not kept."""

    def state(self):
        return super().state() | {"waited": 0}


def run(run_dir, epochs, stopping=EarlyStopping, interrupt=None, resume=False, patience=3):
    """A run with every callback that has a state, and a CSV file; perhaps interrupted at a step."""

    def weight(step):
        if step == interrupt:
            raise KeyboardInterrupt
        return 1.0

    weight.__qualname__ = "weight"
    callbacks = [stopping(patience=patience), TimeLimit(1e6), CSVLog(run_dir.parent / f"{run_dir.name}.csv")]
    rate = PlateauSchedule(0.02, patience=1, smallest=0.001)
    vae = model()
    fit(vae, epochs, callbacks=callbacks, learning_rate=rate, kl_weight=weight, run_dir=run_dir, resume=resume)
    return vae, rate


def kept(run_dir):
    with numpy.load(run_dir / "last.npz") as file:
        return {name: file[name].tobytes() for name in file.files if name != "header"}


def lines(run_dir):
    with open(run_dir.parent / f"{run_dir.name}.csv", newline="") as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def resumed(monkeypatch, tmp_path, interrupt, done, stopping=EarlyStopping):
    """A run interrupted at a step, when so many epochs were done, and resumed; and one that was not interrupted."""
    script(monkeypatch, SCORES)
    whole, whole_rate = run(tmp_path / "whole", 8, stopping)
    script(monkeypatch, SCORES)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", 8, stopping, interrupt)
    script(monkeypatch, SCORES, done)
    part, rate = run(tmp_path / "cut", 8, stopping, resume=True)
    assert lines(tmp_path / "whole")[-1]["epoch"] == "5"
    same = kept(tmp_path / "cut") == kept(tmp_path / "whole") and lines(tmp_path / "cut") == lines(tmp_path / "whole")
    return same and bits(part) == bits(whole) and rate.rate == whole_rate.rate


@pytest.mark.parametrize(("interrupt", "done"), [(2, 0), (7, 2), (9, 3), (13, 4)])
def test_resumed_with_every_callback_to_the_same_bits(interrupt, done, monkeypatch, tmp_path):
    """31 rows in batches of 12 are three steps an epoch."""
    assert resumed(monkeypatch, tmp_path, interrupt, done)


def test_the_comparison_sees_a_state_that_is_not_kept(monkeypatch, tmp_path):
    script(monkeypatch, SCORES)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", 8, Forgetful, 13)
    script(monkeypatch, SCORES, 4)
    run(tmp_path / "cut", 8, Forgetful, resume=True)
    assert len(lines(tmp_path / "cut")) > 5  # it waits anew


def test_a_run_that_ended_goes_on_from_its_last_parameters(monkeypatch, tmp_path):
    """The file holds the best parameters, for `load`, and those to go on with: by more epochs, or more patience."""
    script(monkeypatch, SCORES)
    whole, _ = run(tmp_path / "whole", 8, patience=5)
    script(monkeypatch, SCORES)
    first, _ = run(tmp_path / "parts", 3, patience=3)
    assert bits(sv.load(tmp_path / "parts")) == bits(first)
    script(monkeypatch, SCORES, 3)
    run(tmp_path / "parts", 8, resume=True, patience=3)  # stops after epoch 5
    assert len(lines(tmp_path / "parts")) == 5
    again, _ = run(tmp_path / "parts", 8, resume=True, patience=3)  # stays stopped, and scores nothing
    assert bits(again) == bits(first)
    script(monkeypatch, SCORES, 5)
    last, _ = run(tmp_path / "parts", 8, resume=True, patience=5)
    assert len(lines(tmp_path / "parts")) == 8 and bits(last) == bits(whole)
    assert kept(tmp_path / "parts") == kept(tmp_path / "whole")


def test_a_run_is_resumed_with_its_callbacks(monkeypatch, tmp_path):
    script(monkeypatch, [*SCORES, *SCORES])
    fit(model(), 1, callbacks=[EarlyStopping(), print], run_dir=tmp_path / "run")
    with pytest.raises(
        InputError, match=r"expected the callbacks of the run that have a state: EarlyStopping, rec.*none"
    ):
        fit(model(), 2, run_dir=tmp_path / "run", resume=True)
    with pytest.raises(InputError, match="received EarlyStopping, TimeLimit"):
        fit(model(), 2, callbacks=[EarlyStopping(), TimeLimit(9)], run_dir=tmp_path / "run", resume=True)
    fit(model(), 2, callbacks=[EarlyStopping(5)], run_dir=tmp_path / "run", resume=True)  # a function has no state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (5, "the states of callbacks by name, received 5"),
        ({"EarlyStopping 1": []}, "a state of EarlyStopping 1 with best, best_epoch, waited, restored"),
        (
            {"EarlyStopping 1": {"best": "?", "best_epoch": 1, "waited": 0, "restored": False}},
            "a state of EarlyStopping",
        ),
        ({}, "the callbacks of the run that have a state: none, received EarlyStopping"),
    ],
)
def test_a_damaged_state_is_refused_before_anything_changes(state, message, monkeypatch, tmp_path):
    script(monkeypatch, SCORES)
    fit(model(), 1, callbacks=[EarlyStopping()], run_dir=tmp_path / "run")
    header, arrays = checkpoint.read(tmp_path / "run" / "last.npz")
    checkpoint.write(tmp_path / "run" / "last.npz", header | {"callbacks": state}, arrays)
    vae = model()
    before = bits(vae)
    with pytest.raises(InputError, match=message):
        fit(vae, 2, callbacks=[EarlyStopping()], run_dir=tmp_path / "run", resume=True)
    assert bits(vae) == before


# ---- the others


def test_a_function_stops_the_training_also_when_it_is_resumed(tmp_path):
    seen = []

    def stop(metrics):
        seen.append(metrics["epoch"])
        return numpy.bool_(metrics["epoch"] == 2)

    for resume in (False, True):
        assert fit(model(), 5, callbacks=[stop], run_dir=tmp_path / "run", resume=resume)["epoch"] == [1, 2]
    assert seen == [1, 2, 2]
    assert fit(model(), 2, callbacks=[lambda metrics: "truthy, not True"])["epoch"] == [1, 2]


def test_a_learning_rate_falls_on_a_plateau(monkeypatch):
    """Better in epochs 1, 2, 6, 7: with a patience of 2, halved after the fourth epoch, and not after that."""
    script(monkeypatch, SCORES)
    rate, rates = PlateauSchedule(0.02, factor=0.5, patience=2), []
    fit(model(), 7, learning_rate=rate, callbacks=[lambda metrics: rates.append(rate(0))])
    assert rates == [0.02, 0.02, 0.02, 0.01, 0.01, 0.01, 0.01]
    assert repr(rate) == "PlateauSchedule(start=0.02, factor=0.5, patience=2, smallest=0.0, metric=None)"
    script(monkeypatch, [-1.0] * 6)
    rate = PlateauSchedule(0.02, factor=0.1, patience=1, smallest=0.001)
    fit(model(), 4, learning_rate=rate, callbacks=[rate])  # counted once
    assert rate.rate == 0.001


def test_a_time_limit_leaves_no_epoch_that_would_end_too_late(monkeypatch):
    """Epochs of 10 s each: three end within 39 s, and the fourth would not. The first one is always taken."""
    for seconds, epochs in ((39, 3), (40.001, 4), (1, 1)):
        limit = TimeLimit(seconds)
        now = [0]
        monkeypatch.setattr("scratchvae.callbacks.stopping.time.monotonic", lambda now=now: now[0])

        def tick(metrics, now=now):
            now[0] += 10

        assert len(fit(model(), 6, callbacks=[tick, limit], validation=None)["epoch"]) == epochs
        limit.begin(None, False, True)
        limit.resume({"spent": 30.0, "n_epochs": 3}, [])
        assert limit.stops == (seconds < 40)


def test_tensorboard_has_every_metric_of_every_epoch(tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    history = fit(model(), 3, callbacks=[TensorBoard(tmp_path / "board")], validation=None)
    (path,) = (tmp_path / "board").iterdir()
    content, points = path.read_bytes(), {}
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        event = Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]
        for value in event.summary.value:
            points.setdefault(value.tag, []).append((event.step, value.simple_value))
    assert points.keys() == history.keys() - {"epoch"}
    for name, values in points.items():
        assert [step for step, _ in values] == [1, 2, 3]
        numpy.testing.assert_allclose([value for _, value in values], history[name], rtol=1e-6)


def test_without_tensorboardx_one_sentence_says_so(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(InputError, match=r"expected the package tensorboardX, received none installed \(pip install"):
        TensorBoard(tmp_path)


class Silent(Callback):
    """A callback that defines nothing."""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"callbacks": EarlyStopping()}, r"callbacks as a list .*EarlyStopping object"),
        ({"callbacks": [EarlyStopping]}, r"callbacks as a list .*class 'scratchvae.*EarlyStopping'"),
        ({"callbacks": [3]}, "callbacks as a list of functions and Callbacks, received 3"),
        ({"callbacks": 3}, "callbacks as a list of functions and Callbacks, received 3"),
        (
            {"callbacks": [EarlyStopping()], "validation": None},
            "EarlyStopping: expected validation data, received none",
        ),
        ({"learning_rate": PlateauSchedule(0.1), "validation": None}, "PlateauSchedule: expected validation data"),
        ({"callbacks": [EarlyStopping(metric="loss")]}, "a metric among epoch, step, elbo.*received 'loss'"),
        ({"validation": 1.5}, "validation as data, or as a share between 0 and 1, received 1.5"),
        ({"validation": 0}, "validation as data, or as a share between 0 and 1, received 0"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(settings, message):
    vae = model()
    before = bits(vae)
    with pytest.raises(InputError, match=message):
        fit(vae, 1, **settings)
    assert "metric" in message or bits(vae) == before


@pytest.mark.parametrize(
    "make",
    [
        lambda: EarlyStopping(0),
        lambda: EarlyStopping(2.5),
        lambda: TimeLimit(0),
        lambda: TimeLimit(float("nan")),
        lambda: PlateauSchedule(0.1, factor=1.0),
        lambda: PlateauSchedule(-0.1),
        lambda: PlateauSchedule(0.1, smallest=0.2),
        lambda: PlateauSchedule(0.1, patience=0),
    ],
)
def test_numbers_that_cannot_be_are_refused(make):
    with pytest.raises(InputError):
        make()


def test_a_log_is_not_written_over(tmp_path):
    (tmp_path / "log.csv").write_text("mine")
    with pytest.raises(InputError, match="CSVLog: expected a path where no file is"):
        fit(model(), 1, callbacks=[CSVLog(tmp_path / "log.csv")])
    assert (tmp_path / "log.csv").read_text() == "mine"
    with pytest.raises(NotImplementedError):
        fit(model(), 1, callbacks=[Silent()])
