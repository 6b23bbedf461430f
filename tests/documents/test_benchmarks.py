"""The benchmarks run: what they time is this package's code of today."""

import itertools
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

import scratchvae as sv
from scratchvae.checks.sketches import small_model
from scratchvae.distributions.sketch import n_points
from scratchvae.errors import InputError

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks import (
    completions,
    directions,
    faces,
    few_labels,
    iwae,
    manifold,
    mnist,
    molecule_search,
    molecules,
    priors,
    reproduce,
    sharper_faces,
    sketches,
)

ROOT = Path(__file__).parents[2]


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


def test_what_a_classifier_sees_on_a_manifold_is_kept(tmp_path, monkeypatch, capsys):
    """A classifier that is sure of one class for dark pictures, and of none for others."""
    digits = sv.data.draw_digits(20)
    monkeypatch.setitem(sv.data.DATASETS, "drawn-digits", lambda data_dir, seed: [digits, digits])

    def classifier(train):
        return lambda images: numpy.where(images.mean(axis=(1, 2, 3))[:, None] < 0.5, numpy.eye(10)[3], 0.1)

    monkeypatch.setattr(manifold, "convolutional_classifier", classifier)
    model = sv.VAE.mlp(784, 2, (3,), seed=1)
    sv.save(model, tmp_path / "model.npz")
    manifold.main([str(tmp_path / "model.npz"), "--out", str(tmp_path / "sure.json")])
    (row,) = json.loads((tmp_path / "sure.json").read_text()).values()
    dark = (model.decode(sv.plotting.latent_grid(20)).mean.mean(axis=-1) < 0.5).mean()
    assert row == {"share of cells": pytest.approx(dark), "classes": [3]} and 0 < dark < 1
    assert f"sure of {dark:.1%} of the cells; 1 classes: 3" in capsys.readouterr().out


def test_a_row_of_the_priors(rng, monkeypatch):
    """The command that a result keeps asks for that row; what is measured are the scores of a model with that prior."""
    for name, value in (("EPOCHS", 1), ("COMPONENTS", 3), ("SCORED", 4), ("IMPORTANCE_SAMPLES", 10)):
        monkeypatch.setattr(priors, name, value)
    x = rng.random((40, 784), dtype=numpy.float32)
    found = priors.measure("vamp", 0, x[:30], x[30:])
    assert found["elbo"] == pytest.approx(found["reconstruction"] - found["kl"], rel=1e-6)
    assert found["elbo_of_scored"] < found["log_px"] + 1 and math.isfinite(found["monte_carlo_error_per_image"])
    assert priors.job("vamp", 2)["command"] == "python -m benchmarks priors --rows vamp --seeds 2"


# ---- faces


@pytest.fixture
def few_faces(monkeypatch):
    drawn = sv.data.draw_faces(40).cut(20)
    monkeypatch.setitem(sv.data.DATASETS, "drawn-faces", lambda data_dir, seed: drawn)
    return drawn


@pytest.mark.filterwarnings("ignore:posterior collapse")
def test_directions_are_measured_and_a_model_is_taken_again(few_faces, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(directions, "AMOUNTS", (1.0,))
    out = tmp_path / "directions.json"
    directions.main(["--epochs", "1", "--out", str(out)])
    first = json.loads(out.read_text())
    for rows in first["changed"].values():
        assert list(rows) == list(few_faces[0].attributes)
        assert all(len(shares) == 8 for row in rows.values() for shares in row.values())
    directions.main(["--model", str(tmp_path / "directions.npz"), "--out", str(out)])
    assert json.loads(out.read_text()) == first
    assert "percent of 20 decoded test images" in capsys.readouterr().out
    assert list(first["distance from test images"]) == ["reconstructions", "the prior", "a mixture fitted to codes"]
    assert (tmp_path / "directions_samples.png").exists()


def test_the_distances_on_the_page_are_what_was_measured():
    found = json.loads((ROOT / "benchmarks" / "results" / "directions.json").read_text())["distance from test images"]
    page = (ROOT / "docs" / "deck.md").read_text().replace("\n", " ")
    assert (
        "{:.1f} for reconstructions, {:.1f} for samples from the prior and {:.1f} for".format(*found.values()) in page
    )


def test_the_frechet_distance_is_that_of_two_gaussians(rng):
    x = rng.standard_normal((500, 3))
    assert abs(directions.frechet_distance(x, x)) < 1e-6
    assert directions.frechet_distance(x + [1, 2, 0], x) == pytest.approx(5)
    variance = numpy.trace(numpy.cov(x, rowvar=False))
    assert directions.frechet_distance(3 * x - 2 * x.mean(axis=0), x) == pytest.approx(4 * variance)  # (3 s - s)^2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:posterior collapse")
def test_sharper_faces_are_scored_once_and_their_trainings_kept(few_faces, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sharper_faces, "SAMPLES", 20)
    row, out = "KL weight 1, a sigma for each pixel", tmp_path / "out.json"
    arguments = ["--rows", row, "--epochs", "1", "--data", "drawn-faces", "--runs", str(tmp_path), "--out", str(out)]
    sharper_faces.main([*arguments, "--figure", str(tmp_path / "faces.png")])
    (first,) = json.loads(out.read_text())
    assert first["elbo"] == pytest.approx(first["reconstruction"] - first["kl"])
    assert first["images"] == 20 and (tmp_path / "faces.png").exists()
    monkeypatch.setattr(sv, "fit", None)
    sharper_faces.main(arguments)
    assert json.loads(out.read_text()) == [first]
    assert f"| {row} | {first['elbo']:.0f} |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--images=5", "more test images than attributes, received 8 attributes, 5 test images"),
        ("--images=-5", "images of at least 1, received -5"),
        ("--epochs=0", "epochs of at least 1, received 0"),
    ],
)
def test_sharper_faces_refuses_before_it_trains(few_faces, argument, message):
    with pytest.raises(InputError, match=message):
        sharper_faces.main(["--data", "drawn-faces", argument])


def test_sharpness_is_the_mean_step_to_a_neighbour():
    images = numpy.zeros((1, 3, 3, 1))
    images[0, 1, 1] = 3  # two of six steps along each axis
    assert sharper_faces.sharpness(images) == pytest.approx(1.0)


def test_the_pages_show_how_sharp_faces_are():
    results = json.loads((ROOT / "benchmarks" / "results" / "sharper_faces.json").read_text())
    page = (ROOT / "docs" / "deck.md").read_text()
    assert all("\n".join(table) in page for table in sharper_faces.tables(results))


def test_pytorchs_parameters_come_back_as_they_went(few_faces, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(faces.example, "learning_rate", lambda n, epochs: lambda step: 0.0)
    x = faces.example.with_mirror_images(few_faces[0].images[:2])
    model = faces.example.initial_model(x.shape[1:])
    before = [value.data.copy() for value in model.parameters()]
    untrained = faces.fit_by_pytorch(model, x, epochs=1)
    for value, expected in zip(untrained.parameters(), before, strict=True):
        numpy.testing.assert_array_equal(value.data, expected)


@pytest.mark.filterwarnings("ignore:posterior collapse")
def test_pytorchs_objective_is_ours(few_faces):
    """After the same few steps from the same values the bounds agree, but for the noise of z."""
    pytest.importorskip("torch")
    x = faces.example.with_mirror_images(few_faces[0].images[:8])
    rate = faces.example.learning_rate(len(x), 4)
    ours, theirs = (faces.example.initial_model(x.shape[1:]) for _ in range(2))
    settings = {"batch_size": faces.example.BATCH_SIZE, "kl_weight": faces.example.KL_WEIGHT, "progress": False}
    sv.fit(ours, x, epochs=4, learning_rate=rate, **settings)
    faces.fit_by_pytorch(theirs, x, epochs=4)
    scores = [faces.example.score(model, x) for model in (ours, theirs)]
    assert scores[0]["elbo"] == pytest.approx(scores[1]["elbo"], rel=0.05)
    assert scores[0]["std"] == pytest.approx(scores[1]["std"], rel=1e-4)


@pytest.fixture
def few_digits(monkeypatch):
    """220 drawn digits in the place of MNIST."""
    digits = sv.data.draw_digits(220)
    parts = [sv.data.Dataset(digits.images[rows], digits.labels[rows]) for rows in (slice(200), slice(200, None))]
    monkeypatch.setitem(sv.data.DATASETS, "mnist", lambda data_dir, seed: parts)
    return parts


def reproduced(tmp_path, *options):
    out = tmp_path / "results.json"
    reproduce.main([*options, "--runs", str(tmp_path / "runs"), "--out", str(out)])
    return json.loads(out.read_text())


def errors_of(results, row, labels):
    return [result["error"] for result in results if (result["row"], result["labels"]) == (row, labels)]


def test_jobs_of_the_semi_supervised_table_are_run_once(few_digits, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(few_labels, "STEPS", 60)
    options = ["--rows", "logistic regression", "nearest neighbour", "--labels", "20", "60", "--draws", "2"]
    results = reproduced(tmp_path, *options)
    assert len(results) == 8 and all(0 < job["error"] < 95 and job["device"] == "cpu" for job in results)
    assert [job.get("steps") for job in results] == [60] * 4 + [None] * 4
    errors = errors_of(results, "nearest neighbour", 60)
    spread = 12.706 * numpy.std(errors, ddof=1) / 2**0.5
    out = capsys.readouterr().out
    assert f"| {numpy.mean(errors):.2f} ± {spread:.2f} |\n" in out and out.startswith(
        "\n| test error, percent | 20 labels | 60 |"
    )
    assert reproduced(tmp_path, *options) == results, "with the seconds that they took"
    more = reproduced(tmp_path, *options[:-1], "3", "--figure", str(tmp_path / "errors.png"))
    assert (tmp_path / "errors.png").read_bytes().startswith(b"\x89PNG")
    assert more[:8] == results and [job["seed"] for job in more[8:]] == [2] * 4


def test_of_all_labels_the_steps_are_those_that_are_best_on_images_held_out(few_digits, monkeypatch):
    monkeypatch.setattr(few_labels, "STEPS_OF_ALL", (1, 40))
    found = few_labels.network(few_digits, 200, 0, None)
    assert found["steps"] == 40 and found["held_out_errors"][0] > found["held_out_errors"][1]
    train, test = (sv.data.Dataset(part.images.reshape(-1, 784), part.labels) for part in few_digits)
    assert found["error"] == few_labels.error_after(few_labels.steps_of_training(train, 0, (500,)), 40, test) < 50


def test_the_nearest_neighbour_is_that_of_scikit_learn(few_digits):
    from sklearn.neighbors import KNeighborsClassifier

    train, test = few_digits
    rows = sv.data.label_subset(train.labels, 60, 1) >= 0
    known = KNeighborsClassifier(1).fit(train.images[rows].reshape(60, -1), train.labels[rows])
    expected = 100 - 100 * known.score(test.images.reshape(20, -1), test.labels)
    assert few_labels.nearest_neighbour(few_digits, 60, 1, None)["error"] == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_a_job_of_m2_is_a_command_that_goes_on_with_its_run(few_digits, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("scratchvae.cli.train.draw_all", lambda *_: None)
    options = ["--rows", "m2", "--labels", "20", "--draws", "1"]
    reproduced(tmp_path, *options, "--epochs", "1")
    assert "scratchvae train --data mnist --validation test --model m2 --latent 5" in capsys.readouterr().out
    _, second = reproduced(tmp_path, *options, "--epochs", "2")
    assert f"--resume {tmp_path}/runs/m2-20-0" in capsys.readouterr().out
    assert second["command"].endswith("--labels 20 --seed 0 --epochs 2") and second["epochs"] == 2
    (directory,) = (tmp_path / "runs").iterdir()
    seconds = sv.run_files.read_history(directory)["seconds"]
    assert len(seconds) == 2 and second["seconds"] == round(sum(seconds), 1), "those of the first epoch count"
    reproduce.main(["--list", "--out", str(tmp_path / "results.json"), "--rows", "m2"])
    out = capsys.readouterr().out
    assert "m2: 12 jobs have not been run" in out and "| M2 | not run | not run | not run | not run | |" in out


def test_another_recipe_is_another_job_and_does_not_go_on_with_the_old_run(few_digits, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("scratchvae.cli.train.draw_all", lambda *_: None)
    row = replace(reproduce.ROWS["m2"], method="--model m2 --hidden 9", epochs=1, alpha=None)
    monkeypatch.setitem(reproduce.ROWS, "m2", row)
    options = ["--rows", "m2", "--labels", "20", "--draws", "1"]
    reproduced(tmp_path, *options)
    monkeypatch.setitem(reproduce.ROWS, "m2", replace(row, alpha=lambda n: 100 / n))
    first, second = reproduced(tmp_path, *options)
    assert " --alpha 5.0 " in second["command"] and "alpha" not in first["command"]
    assert "--resume" not in capsys.readouterr().out and len(list((tmp_path / "runs").iterdir())) == 2


@pytest.mark.parametrize("name", ["m2", "m2, alpha 0"])
def test_what_a_job_would_take(name, monkeypatch):
    """Its epochs of the N - N^s images without a label, in the batches of its command, by the time of a step."""
    monkeypatch.setattr(reproduce, "_seconds", lambda model, objective: 2.0 + 0 * float(objective(sv.Noise(0))[0].data))
    reproduce.seconds_of_m2.cache_clear()
    job = reproduce.error_job(name, 600, 0)
    words = job["command"].split()
    steps = math.ceil(59_400 / int(words[words.index("--batch-size") + 1]))
    assert reproduce.projected_seconds(job) == 2 * steps * int(words[words.index("--epochs") + 1])
    reproduce.seconds_of_m2.cache_clear()


def test_a_job_of_the_likelihoods_is_one_of_its_benchmark(few_digits, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mnist, "EPOCHS", 1)
    few = [mnist.job("grey", 0)]
    monkeypatch.setitem(reproduce.LIKELIHOODS, "grey", replace(reproduce.LIKELIHOODS["grey"], jobs=few))
    for _ in range(2):
        reproduce.main(["--rows", "grey", "--out", str(tmp_path / "results.json")])
        (result,) = json.loads((tmp_path / "mnist.json").read_text())
        out = capsys.readouterr().out
        assert f"grey values: ELBO | 1 | {result['elbo']:.2f} |" in out
    assert "python -m benchmarks" not in out
    assert result["command"] == "python -m benchmarks mnist --rows grey --seeds 0" and result["seconds"] >= 0


def test_a_training_of_iwae_goes_on_for_more_stages(few_digits, tmp_path):
    images = few_digits[0].images[:40].reshape(-1, 784)
    for stages in (1, 2):
        model = iwae.fit(iwae.initial_model(images, 0), images, "iwae", 2, stages, 0, tmp_path / "run")
    at_once = iwae.fit(iwae.initial_model(images, 0), images, "iwae", 2, 2, 0)
    for ours, expected in zip(model.parameters(), at_once.parameters(), strict=True):
        numpy.testing.assert_array_equal(ours.data, expected.data)


def test_the_documents_tables_are_what_the_results_give(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(reproduce, "projected_seconds", lambda job: 0.0)
    reproduce.main(["--list"])
    errors, likelihoods = capsys.readouterr().out.split("\n\n")[1:]
    page = (ROOT / "docs" / "results.md").read_text()
    assert errors in (ROOT / "docs" / "semi_supervised.md").read_text() and likelihoods.strip() in page
    shown = page[page.index(errors.splitlines()[0]) :].split("\n\n")[0].splitlines()
    assert len(shown) > 4 and set(shown) <= set(errors.splitlines())


def test_the_table_of_priors_is_what_was_measured():
    results = json.loads((ROOT / "benchmarks" / "results" / "priors.json").read_text())
    text = (ROOT / "docs" / "results.md").read_text().split("## Learned priors")[1].split("\n## ")[0]
    names = {"normal": "N(0, I)", "mixture": "mixture of Gaussians", "vamp": "VampPrior"}
    assert len(results) == 6
    for row, name in names.items():
        first, second = (next(r for r in results if (r["row"], r["seed"]) == (row, seed)) for seed in (0, 1))
        figures = " | ".join(f"{r[key]:.2f}" for key in ("elbo", "log_px") for r in (first, second))
        assert f"| {name} | {figures} |" in text
    assert {f"{r['log_px_standard_error']:.1f}" for r in results} == {"1.3", "1.2"}


# ---- sketches


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_the_table_of_sketches_has_its_rows_and_runs_are_resumed(monkeypatch, tmp_path, capsys):
    drawn = sv.data.draw_sketches(80).cut(60)
    monkeypatch.setitem(sv.data.DATASETS, "drawn-sketches", lambda data_dir, seed: drawn)
    where = ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "sketches.json"), "--quick"]
    for epochs in ("1", "2"):
        sketches.main([*where, "--epochs", epochs])
    results = json.loads((tmp_path / "sketches.json").read_text())
    assert list(results) == ["reader", *sketches.MODELS] and "read_right" not in results["decoder alone"]
    assert len(results["no floor"]["read_right"]) == 3 and len(results["no floor"]["samples_agree"]) == 5
    assert len((tmp_path / "runs" / "no-floor" / "metrics.jsonl").read_text().splitlines()) == 2


def test_the_reader_reads_true_drawings():
    drawn = sv.data.draw_sketches(900)
    images = sketches.pictures(drawn.sketches)
    assert images.shape == (900, 784) and 0 <= images.min() and 0.6 < images.max() <= 1
    digits, agreed = sketches.reading(images[800:], images[:800], drawn.labels[:800])
    right = digits == drawn.labels[800:]
    assert right.mean() > 0.8 and right[agreed].mean() > right.mean()


def test_what_completes_a_drawing_equals_quadrature(tmp_path, capsys):
    """log p(rest | prefix) of a model with one latent unit: a ratio of integrals over z."""
    model = small_model()
    x = sv.data.draw_sketches(2).sketches.astype(float)
    grid = numpy.linspace(-8, 8, 1601)[:, None]
    for seed, drawing in enumerate(x):
        drawing = drawing[: int(n_points(drawing)) + 1]
        prefix = drawing[: (len(drawing) - 1) // 2]
        densities = [completions.log_density(model, rows, grid) for rows in (drawing, prefix)]
        whole, half = (numpy.logaddexp.reduce(log_p + model.prior.log_prob(grid)) for log_p in densities)
        estimates = completions.estimates(model, drawing, 3000, seed)
        assert len(estimates) == 6
        for name, (log_p, effective) in estimates.items():
            assert 1 <= effective <= 6000.01
            if "without" not in name:
                assert log_p == pytest.approx(whole - half, abs=5 * (1 / effective) ** 0.5), name
    log_rest, log_w = numpy.log([0.2, 0.4]), numpy.log([3.0, 1.0])
    assert completions.estimate(log_rest, log_w) == (pytest.approx(numpy.log(0.25)), pytest.approx(1.6))


def test_the_table_of_completions_has_its_rows(monkeypatch, tmp_path, capsys):
    drawn = sv.data.draw_sketches(80).cut(60)
    monkeypatch.setitem(sv.data.DATASETS, "drawn-sketches", lambda data_dir, seed: drawn)
    sv.save(sv.SketchRNN.lstm(2, 3, 4, 2, scale=3.4), tmp_path / "model.npz")
    out = tmp_path / "completions.json"
    completions.main([str(tmp_path / "model.npz"), "--n", "2", "--draws", "450", "--out", str(out)])
    results = json.loads(out.read_text())
    assert len(results) == 6 and list(results)[-1] == completions.FITTED and results[completions.FITTED]["lost"] == 0
    assert {tuple(row) for row in results.values()} == {
        ("log_p", "log_p_error", "lost", "lost_error", "median_effective")
    }
    sv.save(sv.SketchRNN.lstm(0, 3, 4, 2, scale=3.4), tmp_path / "alone.npz")
    with pytest.raises(InputError, match="completions: expected a SketchRNN with a latent space"):
        completions.main([str(tmp_path / "alone.npz")])


def test_the_decks_table_of_completions_is_the_one_that_was_measured():
    results = json.loads((ROOT / "benchmarks" / "results" / "completions.json").read_text())
    text = (ROOT / "docs" / "deck.md").read_text()
    for row in results.values():
        assert f"| {row['log_p']:.2f} ± {row['log_p_error']:.2f} |" in text
        assert row["lost"] == 0 or f"| {row['lost']:.2f} ± {row['lost_error']:.2f} |" in text


# ---- search for molecules


class Syllables:
    """A chemistry of its own: strings of C and O without "OO" are valid, and equal to what they are backwards."""

    def __init__(self):
        self.scored = []

    def key(self, text):
        return "" if not set(text) <= set("CO") or "OO" in text else min(text, text[::-1])

    def qed(self, text):
        return text.count("O") / len(text)

    def score(self, text):
        self.scored.append(self.key(text))
        return 5 * self.qed(text) - len(text)


@pytest.fixture
def searched(tmp_path, rng):
    """A run of a model that writes strings of C and O, a file of such strings, and the options."""
    model = sv.MoleculeVAE.gru(["C", "O"], 9, 2, 4, properties=["qed", "SAS"], seed=3)
    for parameter in model.parameters():
        parameter.data += rng.standard_normal(parameter.shape).astype("float32")
    sv.save(model, tmp_path / "model.npz")
    strings = [text for text in map("".join, itertools.product("CO", repeat=8)) if "OO" not in text] * 2
    rows = [f"{text},0,{Syllables().qed(text)},{len(text)}" for text in strings]
    (tmp_path / "molecules.csv").write_text("\n".join(["smiles,logP,qed,SAS", *rows]) + "\n")
    return [str(tmp_path / "model.npz"), str(tmp_path / "molecules.csv"), "--quick", "--seeds", "0", "1"]


def test_every_method_of_a_search_spends_its_evaluations_on_what_is_new(searched, tmp_path, monkeypatch, capsys):
    made = []
    monkeypatch.setattr(molecule_search, "Chemistry", lambda: made.append(Syllables()) or made[0])
    molecule_search.main([*searched, "--out", str(tmp_path / "search.json")])
    results, out = json.loads((tmp_path / "search.json").read_text()), capsys.readouterr().out
    assert set(results) == {
        "ascent",
        *(f"{which} known: {name}" for which in ("random", "best") for name in molecule_search.METHODS),
    }
    assert all(name in out for name in results)
    spent = [row["evaluations"] for name, rows in results.items() if name != "ascent" for row in rows]
    assert max(spent) == 10 and sum(spent) == len(made[0].scored)
    genetic = made[0].scored
    for name, rows in results.items():
        for row in rows if name != "ascent" else ():
            new, genetic = genetic[: row["evaluations"]], genetic[row["evaluations"] :]
            assert len(set(new)) == len(new)
            if new:
                scores = [5 * key.count("O") / len(key) - len(key) for key in new]
                assert row["best"] == pytest.approx(max(scores), abs=1e-3) and 0 <= row["percentile"] <= 100
                assert row["written"] >= len(new)
    assert 0 <= results["ascent"]["valid_after"] <= 100


def test_the_search_says_what_it_lacks(searched, tmp_path, monkeypatch, capsys):
    with pytest.raises(InputError, match="RDKit"):
        monkeypatch.setitem(sys.modules, "rdkit.Chem", None)
        molecule_search.main(searched)
    monkeypatch.setattr(molecule_search, "Chemistry", Syllables)
    (tmp_path / "other.csv").write_text("smiles,qed\n" + "C,1\n" * 200)
    (tmp_path / "empty.csv").write_text("smiles,qed,SAS\n" + "C,1,2\n" * 200 + "C,,2\n")
    (tmp_path / "few.csv").write_text("smiles,qed,SAS\n" + "C,1,2\n" * 99)
    numpy.save(tmp_path / "images.npy", numpy.zeros((200, 4), dtype="float32"))
    for path, message in (
        ("other.csv", "expected properties among qed, received 'SAS'"),
        ("absent.csv", "or the path of a .*, received '.*absent.csv'"),
        ("empty.csv", "expected a number for qed and SAS in every row, received an empty cell"),
        ("few.csv", "expected at least 100 molecules, received 99"),
        ("images.npy", "expected molecules, received images"),
    ):
        with pytest.raises(InputError, match=message):
            molecule_search.main([searched[0], str(tmp_path / path)])


def test_the_search_holds_out_what_the_training_did(searched):
    """The model's training part is the search's without the validation part, and their test parts are one."""
    train, test = molecule_search.molecules(Path(searched[1]))
    trained, validation, held_out = sv.data.load(searched[1], validation=0.02)
    assert sorted(train.molecules) == sorted([*trained.molecules, *validation.molecules])
    assert test.molecules.tolist() == held_out.molecules.tolist() and len(test) == 11
    for part in (train, test):
        assert part.properties["qed"] == pytest.approx([Syllables().qed(text) for text in part.molecules])


# ---- training on molecules


def test_the_table_of_molecules_has_the_figures_of_its_models(tmp_path, rng, monkeypatch, capsys):
    """Some of them from the model and the file alone; a tenth of the rows must be held out."""
    drawn = sv.data.draw_molecule_set(300)
    values = {"logP": drawn.properties["logP"], "qed": rng.random(300), "SAS": rng.random(300)}
    columns = zip(drawn.molecules, *values.values(), strict=True)
    rows = [",".join([text, *map(repr, map(float, row))]) for text, *row in columns]
    path, out = tmp_path / "drawn.csv", tmp_path / "molecules.json"
    path.write_text("\n".join(["smiles,logP,qed,SAS", *rows]) + "\n")
    monkeypatch.setattr(sv.MoleculeVAE, "reconstruct", lambda self, x: [x[0] if i % 4 else x[i] for i in range(len(x))])
    molecules.main([str(path), "--runs", str(tmp_path / "runs"), "--out", str(out), "--quick"])
    results = json.loads(out.read_text())
    assert list(results) == list(molecules.MODELS) and all(row["epochs"] == 1 for row in results.values())
    train, _, test = sv.data.load(path, validation=0.02)
    assert len(test) == 30
    for name, row in results.items():
        model = sv.load(tmp_path / "runs" / name.removeprefix("KL ").replace(" ", "-"))
        rows = [i for i, text in enumerate(test.molecules) if model.alphabet.unknown(text) is None]
        x = test.molecules[rows]
        lengths = [len(sv.chemistry.split_smiles(text)) + 1 for text in x]
        bound = float(sv.elbo(model, x, 400).mean())
        assert row["elbo"] == pytest.approx(bound, abs=0.3)
        assert row["nats_by_symbol"] == pytest.approx(bound / numpy.mean(lengths), rel=0.01)
        assert row["exact"] == pytest.approx(math.ceil(len(x) / 4) / len(x), abs=1e-4)
        for key, value in row["mean_absolute_errors"].items():
            t, centre = test.properties[key][rows], train.properties[key].mean()
            assert value == pytest.approx(numpy.mean(abs(model.predict(x)[key] - t)), abs=1e-3)
            assert row["of_the_mean"][key] == pytest.approx(numpy.mean(abs(t - centre)), abs=1e-4)


def test_the_fitted_gaussian_has_the_moments_of_the_codes(rng):
    """Against draws of q(z | x), x one of three molecules, apart in their means and their spreads."""
    means, log_stds = 3 * rng.standard_normal((3, 2)), rng.standard_normal((3, 2)) / 2
    q = sv.distributions.Normal(means, log_stds)
    rows = numpy.arange(300_000) % 3
    z = means[rows] + numpy.exp(log_stds[rows]) * rng.standard_normal((300_000, 2))
    between = numpy.cov(means.T, bias=True) / 2  # numpy.cov of the means divides by 3 - 1
    draws = molecules.fitted_draws(q, 300_000)
    numpy.testing.assert_allclose(draws.mean(axis=0), z.mean(axis=0), atol=0.05)
    numpy.testing.assert_allclose(numpy.cov(draws.T), numpy.cov(z.T) + between, rtol=0.03, atol=0.05)


def test_the_decks_tables_of_molecules_are_those_that_were_measured():
    folder, text = ROOT / "benchmarks" / "results", (ROOT / "docs" / "deck.md").read_text()
    for row in json.loads((folder / "molecules.json").read_text()).values():
        assert f"{row['elbo']:.2f} ± {row['elbo_standard_error']:.2f}" in text and f"{100 * row['exact']:.1f} %" in text
        for strings in ("near_data", "prior", "prior_sampled", "fitted_gaussian"):
            shares = [f"{100 * row[strings][name]:.1f}" for name in ("valid", "distinct", "novel")]
            assert f"{', '.join(shares)} %" in text
        assert ", ".join(f"{error:.3f}" for error in row["mean_absolute_errors"].values()) in text
    found = json.loads((folder / "molecule_search.json").read_text())
    assert f"| **{found.pop('ascent')['true_qed_after']:.3f}** |" in text
    best = molecule_search.best_molecules(found)
    assert len(best) == 10 and list(best.values()) == sorted(best.values(), reverse=True)
    assert max(best.values()) == max(row["best"] for rows in found.values() for row in rows)
    for rows in found.values():
        for key, digits in (("percentile", 1), ("mean_of_the_best_10", 2)):
            values = [row[key] for row in rows]
            assert f"| {numpy.mean(values):.{digits}f} ± {numpy.std(values, ddof=1):.{digits}f} |" in text
