"""The choice of M1 and of M2 on it: what is trained is M1+M2, and what the page shows is what was measured."""

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy
import pytest

import scratchvae as sv

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks import features, few_labels, reproduce, stacked

ROOT = Path(__file__).parents[2]
SIZES = {"hidden": (30,), "latent_size": 3, "seed": 2}


@pytest.fixture
def small(monkeypatch):
    """260 drawn digits, of which 200 are trained on and 60 held out, an M1 and an M2 of a few units."""
    digits = sv.data.draw_digits(260)
    for module in (features, stacked):
        monkeypatch.setattr(module, "N", 200)
    for name, value in {"HELD_OUT": 60, "FEW": 20, "MORE": 60}.items():
        monkeypatch.setattr(features, name, value)
    candidate = {"hidden": (12,), "activation": "tanh", "learning_rate": 5e-3, "batch_size": 50, "marks": (1, 2)}
    monkeypatch.setitem(features.CANDIDATES, "small", candidate | {"warm_up": 1, "decay": 0.9})
    settings = stacked.M2 | {"first": ("small", 2), "hidden": (20,), "latent_size": 2, "batch_size": 50, "epochs": 2}
    monkeypatch.setitem(stacked.SETTINGS, "small", settings)
    monkeypatch.setitem(sv.data.DATASETS, "mnist", lambda data_dir, seed: [digits, digits])
    return digits


def test_m2_on_posteriors_is_m2_on_m1(rng):
    """From the same noise of z1 and z2, the gradient of J~ is that of the whole M1+M2, of which M2 is a part."""
    first = sv.VAE.mlp(49, 6, (20,), seed=1)
    x, y = rng.random((40, 49), dtype=numpy.float32), numpy.arange(20) % 10
    whole = sv.StackedVAE.mlp(first, range(6), **SIZES)
    part = sv.StackedVAE(stacked.reader_of_posteriors(6), sv.StackedVAE.mlp(first, range(6), **SIZES).second, range(6))
    labels, gradients = numpy.append(y, numpy.full(20, -1)), []
    for model, rows in ((whole, x), (part, stacked.posteriors(first, x, range(6)))):
        value, _ = sv.objectives.semi_supervised(model, labels).value(rows, y, sv.Noise(3), 1, 1.0)
        gradients.append(numpy.concatenate([sv.to_numpy(g).ravel() for g in sv.grad(value, model.parameters())]))
    assert abs(gradients[0]).max() > 1
    numpy.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-4, atol=1e-4 * abs(gradients[0]).max())


def test_the_weight_prior_is_that_of_normal_weights(rng):
    """Each ELBO gains 1/N of log Normal(w; 0, 1), summed over all weights w, but for the constant."""
    model, x = sv.VAE.mlp(9, 2, (4,), seed=1), rng.random((5, 9), dtype=numpy.float32)
    record = sv.objectives.each
    with_prior = features.with_weight_prior(model, 70).equation(x, sv.Noise(0), 1, 1.0, record)
    log_prior = sum(-0.5 * float((w.data.astype(float) ** 2).sum()) for w in model.parameters())
    numpy.testing.assert_allclose(70 * (with_prior.data - model.elbo(x, sv.Noise(0)).data), log_prior, rtol=1e-3)


def test_clusters_are_named_by_the_class_that_suits_them(rng):
    """Ten groups far apart, of which a fifth of one has another label: no other assignment errs less."""
    centres = 50 * rng.normal(size=(10, 3))
    y = numpy.arange(500) % 10
    x = centres[y] + rng.normal(size=(500, 3))
    wrong = y.copy()
    wrong[numpy.flatnonzero(y == 3)[:10]] = 4
    assert features.clusters_error(x, x, y) == pytest.approx(0)
    assert features.clusters_error(x, x, wrong) == pytest.approx(2)


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_marks_settings_and_test_errors_share_their_runs(small, tmp_path, monkeypatch, capsys):
    runs = ["--runs", str(tmp_path / "runs")]
    features.main(["--candidates", "small", "--marks", "2", *runs, "--out", str(tmp_path / "features.json")])
    first, second = json.loads((tmp_path / "features.json").read_text())
    assert (first["epochs"], second["epochs"]) == (1, 2) and second["held_out_elbo"] > first["held_out_elbo"]
    assert (
        all(0 <= second[name] <= 100 for name in second if "error" in name)
        and "| small | 2 | " in capsys.readouterr().out
    )
    arguments = [
        "--settings",
        "small",
        "--labels",
        "20",
        "--seeds",
        "3",
        *runs,
        "--out",
        str(tmp_path / "stacked.json"),
    ]
    stacked.main(arguments)
    (held,) = json.loads((tmp_path / "stacked.json").read_text())
    model = sv.load(tmp_path / "runs" / "small-20-3" / "stacked.npz")
    error = sv.classification_error(model, small.images[200:], small.labels[200:])
    assert held["error"] == pytest.approx(100 * error) and held["units"] == len(model.units)
    known = json.loads((tmp_path / "runs" / "small-20-3" / "labelled_rows.json").read_text())
    assert len(known) == 20 and max(known) < 200
    for name, n_samples in (("m1+m2, convolutional", 0), ("m1+m2, convolutional, p", 4)):
        row = replace(
            reproduce.ROWS[name],
            method=partial(few_labels.m1_m2, settings="small", n_samples=n_samples),
            settings="small",
        )
        monkeypatch.setitem(reproduce.ROWS, name, row)
    options = ["--labels", "20", "--draws", "4", *runs, "--out", str(tmp_path / "errors.json")]
    reproduce.main(["--rows", "m1+m2, convolutional", "m1+m2, convolutional, p", *options])
    results = json.loads((tmp_path / "errors.json").read_text())
    expected = [100 * sv.classification_error(model, small.images, small.labels, n) for n in (0, 4)]
    assert [results[3]["error"], results[7]["error"]] == pytest.approx(expected)
    assert all(result["settings"] == "small" for result in results)


@pytest.mark.parametrize("benchmark", [features, stacked])
def test_the_page_shows_what_was_compared(benchmark):
    name = benchmark.PROGRAM.split()[-1]
    results = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
    assert "\n".join(benchmark.table(results)) in (ROOT / "docs" / "semi_supervised.md").read_text()


def test_the_chosen_settings_follow_the_rule():
    """For each kind of M1, the smallest mean of the held-out errors with 100 and 3,000 labels."""
    results = json.loads((ROOT / "benchmarks" / "results" / "stacked.json").read_text())
    sums = {name: sum(r["error"] for r in results if r["settings"] == name) for name in stacked.SETTINGS}
    for kind, word in (("perceptron", "perceptron"), ("convolutional", "convolutions")):
        of_kind = [name for name in sums if stacked.SETTINGS[name]["first"][0].startswith(word)]
        assert min(of_kind, key=sums.get) == stacked.CHOSEN[kind]
