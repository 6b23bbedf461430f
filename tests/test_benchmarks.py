"""The benchmarks run: what they time is this package's code of today."""

import json
import sys
from pathlib import Path

import numpy
import pytest

sys.path.append(str(Path(__file__).parents[1]))
import scratchvae as sv
from benchmarks import iwae, reproduce, semisupervised_step, step
from scratchvae import cli


@pytest.mark.parametrize("name", ["engine", "numpy_by_hand"])
def test_a_timed_step(name, rng):
    x, e = rng.random((128, 784), dtype=numpy.float32), rng.standard_normal((128, 20), dtype=numpy.float32)
    for timed in getattr(step, name)(x, e):
        timed()


def test_the_schedule_of_iwae(rng):
    """Stage i at 1e-3 * 10^(-i/7) for 3^i epochs."""
    assert [iwae.epochs(stages) for stages in (1, 2, 3, 8)] == [1, 4, 13, 3280]
    rates = [iwae.learning_rate(epoch * 10, 10) for epoch in range(13)]
    numpy.testing.assert_allclose(rates, 1e-3 * 10.0 ** (-numpy.repeat([0, 1, 2], [1, 3, 9]) / 7))
    images = rng.random((60, 784), dtype=numpy.float32)
    model = iwae.initial_model(images, seed=0)
    bias = model.decoder.network.layers[-1].bias.data
    numpy.testing.assert_allclose(1 / (1 + numpy.exp(-bias)), images.mean(axis=0), rtol=1e-4)
    assert iwae.fit(model, images, "iwae", 5, 1, 0) is model


def test_a_timed_step_of_m2(rng):
    x, y = rng.random((200, 784), dtype=numpy.float32), rng.integers(10, size=100)
    for timed in semisupervised_step.engine(x, y):
        timed()


@pytest.fixture
def few_digits(monkeypatch):
    """220 drawn digits in the place of MNIST."""
    digits = sv.data.draw_digits(220)
    parts = [sv.data.Dataset(digits.images[rows], digits.labels[rows]) for rows in (slice(200), slice(200, None))]
    monkeypatch.setitem(sv.data.DATASETS, "mnist", lambda data_dir, seed: parts)
    return parts


def reproduced(tmp_path, *options):
    places = ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "results.json")]
    reproduce.main([*options, *places])
    return json.loads((tmp_path / "results.json").read_text())


def test_jobs_of_the_semi_supervised_table_are_run_once(few_digits, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reproduce, "STEPS", 60)
    options = ["--rows", "logistic regression", "nearest neighbour", "--labels", "20", "60", "--draws", "2"]
    results = reproduced(tmp_path, *options)
    assert len(results) == 8 and all(0 < job["error"] < 95 for job in results.values())
    errors = [results[f"nearest neighbour, 60 labels, draw {draw}"]["error"] for draw in range(2)]
    spread = 12.706 * numpy.std(errors, ddof=1) / 2**0.5
    assert f"| nearest neighbour | 60 | {numpy.mean(errors):.2f} +- {spread:.2f} | 2 |" in capsys.readouterr().out
    assert reproduced(tmp_path, *options) == results, "with the seconds that they took"


def test_the_nearest_neighbour_is_that_of_scikit_learn(few_digits):
    from sklearn.neighbors import KNeighborsClassifier

    train, test = few_digits
    rows = sv.data.label_subset(train.labels, 60, 1) >= 0
    known = KNeighborsClassifier(1).fit(train.images[rows].reshape(60, -1), train.labels[rows])
    expected = 1 - known.score(test.images.reshape(20, -1), test.labels)
    assert reproduce.neighbour(few_digits, 60, 1, None) == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_a_job_of_m2_is_a_command_that_goes_on_with_its_run(few_digits, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_draw_all", lambda *_: None)
    options = ["--rows", "m2", "--labels", "20", "--draws", "1"]
    reproduced(tmp_path, *options, "--epochs", "1")
    assert "scratchvae train --data mnist --model m2 --latent 50" in capsys.readouterr().out
    second = reproduced(tmp_path, *options, "--epochs", "2")
    assert "scratchvae train --resume" in capsys.readouterr().out
    assert list(second) == [f"m2, 20 labels, draw 0, {n} epochs" for n in (1, 2)]
    reproduce.main(["--list", "--out", str(tmp_path / "results.json"), "--rows", "m2"])
    out = capsys.readouterr().out
    assert "12 jobs of M2 have not been run" in out and "| m2 | 100 | not run | 0 | 6.81 +- 0.60 |" in out
