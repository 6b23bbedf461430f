"""The command line, as a person meets it: what it prints, what it leaves, and what it refuses."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy
import pytest
from scipy import special

import scratchvae as sv
from scratchvae.cli import main
from scratchvae.kinds import KINDS, pictures

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A user's own file: 60 drawn digits of 28 x 28."""
    drawn = sv.data.draw_digits(60)
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    numpy.savez(path, images=drawn.images, labels=drawn.labels)
    return str(path)


def train(digits, directory, *more):
    return main(
        ["train", "--data", digits, "--hidden", "16", "--epochs", "2", "--run-dir", str(directory), "--quiet", *more]
    )


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "run"
    assert train(digits, directory) == 0
    return directory


def test_train_leaves_a_run_directory(run):
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    figures = {f"figures/{picture.name}.png" for picture in KINDS["mlp"].pictures}
    assert len(figures) == 8
    assert files == {".lock", "config.json", "metrics.jsonl", "last.npz", "best.npz"} | figures
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]


@pytest.mark.usefixtures("unsaved")
def test_train_prints_the_model_and_labels_its_figures(digits, tmp_path, capsys):
    train(digits, tmp_path / "run", "--latent", "3")
    out = capsys.readouterr().out
    assert "p(x | z)  Bernoulli(logits = MLP(3 -> 16 -> 784, tanh))" in out
    assert out.count("Bernoulli cross-entropy on grey values, not a log-likelihood") == 2
    assert "of 3 units active" in out and "no picture manifold: it needs a 2-D latent space" in out


def test_evaluate_prints_what_the_definitions_give(run, digits, capsys):
    """Every figure of both lines, from the rows' terms and the log weights of one batch."""
    options = ["--importance-samples", "20", "--limit", "5", "--seed", "3", "--samples", "4"]
    assert main(["evaluate", str(run), *options]) == 0
    model, x = sv.load(run), sv.data.load(digits, validation=0.1)[2].images[:5].reshape(5, 784)
    n = len(x)
    with sv.no_grad():
        reconstruction, kl = model.elbo_terms(x, sv.Noise(3), 4)
        log_w = numpy.asarray(model.log_weights(x, sv.Noise(3), 20), dtype=float)
    values = reconstruction - kl
    n_active = (model.encode(x).mean.var(axis=0) > 0.01).sum()
    log_px = special.logsumexp(log_w, axis=0) - numpy.log(20)
    w = special.softmax(log_w, axis=0)
    effective = 1 / (w**2).sum(axis=0)
    error = numpy.std(20 * w, axis=0, ddof=1) / 20**0.5
    words = "(Bernoulli cross-entropy on grey values, not a log-likelihood)"
    assert capsys.readouterr().out.splitlines() == [
        f"test: ELBO {values.mean():.2f} +- {values.std(ddof=1) / n**0.5:.2f} = {reconstruction.mean():.2f}"
        f" - KL {kl.mean():.2f}, {n_active} of 2 units active, mean of 5 {words}",
        f"log p(x) {log_px.mean():.2f} +- {log_px.std(ddof=1) / n**0.5:.2f} from 20 importance samples per "
        f"image, whose Monte Carlo standard error is {error.mean():.2f} and effective sample size "
        f"{effective.mean():.0f}, on average {words}",
    ]


def test_train_prints_the_terms_of_the_last_epoch_and_the_scores_of_evaluate(digits, tmp_path, capsys):
    options = ["--objective", "iwae", "--samples", "3", "--no-pictures"]
    assert train(digits, tmp_path / "run", *options) == 0
    *_, of_training, of_test = capsys.readouterr().out.splitlines()
    epoch = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert of_training == (
        f"after 2 epochs: ELBO {epoch['elbo']:.2f} = {epoch['reconstruction']:.2f} - KL {epoch['kl']:.2f}, "
        f"bound {epoch['bound']:.2f}, {epoch['active_units']} active, validation ELBO {epoch['validation_elbo']:.2f}"
    )
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == of_test


def test_sample_writes_a_picture_or_an_array(run, tmp_path):
    assert main(["sample", str(run), "--n", "9", "--out", str(tmp_path / "s.npy")]) == 0
    assert numpy.load(tmp_path / "s.npy").shape == (9, 784)
    assert main(["sample", str(run / "last.npz"), "--n", "9", "--out", str(tmp_path / "s.png")]) == 0
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


def test_sample_draws_only_where_it_is_asked_to(run, tmp_path):
    """Draws of a Bernoulli likelihood are 0 and 1; of the same z, and so of the means."""
    for name, more in (("means", ()), ("draws", ("--draws",))):
        assert (
            main(["sample", str(run), "--n", "200", "--seed", "4", "--out", str(tmp_path / f"{name}.npy"), *more]) == 0
        )
    model, means, draws = sv.load(run), *(numpy.load(tmp_path / f"{name}.npy") for name in ("means", "draws"))
    numpy.testing.assert_array_equal(means, model.sample(200, 4))
    numpy.testing.assert_array_equal(draws, model.sample(200, 4, draws=True))
    assert set(numpy.unique(draws)) == {0, 1} and abs(draws.mean() - means.mean()) < 0.005
    assert main(["sample", str(run), "--n", "9", "--draws", "--out", str(tmp_path / "draws.png")]) == 0


def test_plot(run, tmp_path):
    assert main(["plot", "curves", str(run), "--out", str(tmp_path / "c.pdf")]) == 0
    assert (tmp_path / "c.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.usefixtures("unsaved")
def test_plot_all_names_every_picture(run, capsys):
    assert main(["plot", "all", str(run)]) == 0
    expected = [str(run / "figures" / f"{picture.name}.png") for picture in KINDS["mlp"].pictures]
    assert capsys.readouterr().out.splitlines() == expected


def test_directions_are_those_of_balanced_attributes_or_of_labels(rng, monkeypatch):
    images = numpy.zeros((40, 2, 2, 1), dtype=numpy.float32)
    shares = {"rare": 0.1, "none": 0.0, "half": 0.5, "many": 0.7}
    attributes = {name: numpy.arange(40) < 40 * share for name, share in shares.items()}
    monkeypatch.setattr(pictures, "MOST_ATTRIBUTES", 2)
    assert list(pictures.attributes(sv.data.Dataset(images, attributes=attributes))) == ["half", "many"]
    monkeypatch.setattr(pictures, "MOST_ENCODED", 20)
    (one, two) = pictures.attributes(sv.data.Dataset(images, labels=numpy.repeat([0, 1], 20))).values()
    assert len(one) == 20 and (one != two).all() and one.mean() == 0.5, "a sorted file"
    assert pictures.attributes(sv.data.Dataset(images, labels=numpy.zeros(40, dtype=int))) == {}


def test_units_are_swept_and_pairs_interpolated_as_they_should_be():
    z = numpy.array([[1.0, 0.0, 5.0], [-1.0, 0.0, -5.0], [0.0, 0.1, 0.0], [1.0, 0.1, 1.0], [9.0, 9.0, 9.0]])
    assert z.var(axis=0).argsort().tolist() == [0, 1, 2]
    assert pictures.most_varied(z) == [2, 1, 0]
    starts, ends = pictures.pairs_with_arcs(z)
    numpy.testing.assert_array_equal(starts, z[2:3])
    numpy.testing.assert_array_equal(ends, z[3:4])


@pytest.mark.usefixtures("unsaved")
def test_one_latent_unit_is_no_reason_to_fail(digits, tmp_path, capsys):
    assert train(digits, tmp_path / "line", "--latent", "1") == 0
    out = capsys.readouterr().out
    assert "sweep.png" in out and ("interpolation.png" in out or "no picture interpolation" in out)


def test_data(digits, tmp_path, capsys):
    assert main(["data", digits, "--out", str(tmp_path / "grid.png")]) == 0
    assert "(54, 28, 28, 1) float32" in capsys.readouterr().out


def test_resume_grows_the_epochs_to_the_same_bits(digits, tmp_path):
    train(digits, tmp_path / "short", "--no-pictures")
    assert main(["train", "--no-pictures", "--resume", str(tmp_path / "short"), "--epochs", "3", "--quiet"]) == 0
    train(digits, tmp_path / "long", "--epochs", "3", "--no-pictures")
    short, long = (numpy.load(tmp_path / name / "last.npz") for name in ("short", "long"))
    for name in short.files:
        if name != "header":
            assert short[name].tobytes() == long[name].tobytes(), name


def test_likelihoods_and_schedules(digits, tmp_path, capsys):
    assert (
        train(
            digits, tmp_path / "a", "--likelihood", "gaussian", "--std", "learned", "--kl-warmup", "3", "--no-pictures"
        )
        == 0
    )
    assert (
        train(digits, tmp_path / "b", "--binarize", "dynamic", "--samples", "2", "--clip-norm", "5", "--no-pictures")
        == 0
    )
    assert "lower bound of log p(x), binarize=dynamic" in capsys.readouterr().out


def test_counts_and_signed_data_of_a_file(tmp_path, capsys):
    """And data that the likelihood refuses leave no directory behind."""
    rng = numpy.random.default_rng(0)
    numpy.save(tmp_path / "counts.npy", rng.poisson(4, (60, 8, 8)))
    numpy.save(tmp_path / "signed.npy", rng.standard_normal((60, 8, 8)))
    for name, likelihood, sentence in (
        ("counts", "poisson", "lower bound of log p(x), a probability of counts"),
        ("counts", "negative-binomial", "lower bound of log p(x), a probability of counts"),
        ("signed", "student-t", "lower bound of log p(x), a density of real numbers"),
        ("signed", "laplace", "lower bound of log p(x), a density of real numbers"),
        ("signed", "gaussian", "lower bound of log p(x), a density of real numbers"),
    ):
        run = tmp_path / f"{name} {likelihood}"
        assert train(str(tmp_path / f"{name}.npy"), run, "--likelihood", likelihood, "--no-pictures") == 0
        assert f"({sentence})" in capsys.readouterr().out
        assert main(["evaluate", str(run), "--importance-samples", "5"]) == 0
        assert capsys.readouterr().out.count(f"({sentence})") == 2
        refused = tmp_path / "refused"
        assert train(str(tmp_path / f"{name}.npy"), refused, "--no-pictures") == 2
        assert f"{name}.npy: data for a Bernoulli likelihood: expected values in [0, 1]" in capsys.readouterr().err
        assert not refused.exists()


def status_of(arguments):
    try:
        return main(arguments)
    except SystemExit as stop:
        return stop.code


def truncated(tmp_path):
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x03" + b"\0" * 5000)[:40])
    return str(path)


REFUSED = {
    "unknown data set": (["train", "--data", "cifar"], "expected drawn-digits, drawn-faces"),
    "no file of mnist": (["data", "mnist", "--data-dir", "."], "mnist"),
    "no file of faces": (["data", "faces", "--data-dir", "."], "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"),
    "no file of svhn": (["train", "--data", "svhn", "--data-dir", "."], "http://ufldl.stanford.edu/housenumbers/"),
    "no run": (["evaluate", "nowhere"], "expected a file"),
    "no run to resume": (["train", "--resume", "nowhere"], "no options in config.json"),
    "gpu": (["train", "--device", "gpu"], 'device="gpu": expected CuPy'),
    "gpu to check": (["check", "--device", "gpu"], 'device="gpu": expected CuPy'),
    "std": (
        ["train", "--likelihood", "gaussian", "--std", "wide"],
        "--std: expected a positive number, learned or decoder, received 'wide'",
    ),
    "binarize": (["train", "--likelihood", "gaussian", "--binarize", "dynamic"], "a likelihood other than Bernoulli"),
    "epochs": (
        ["train", "--epochs", "0"],
        "--epochs: expected a whole number of at least 1, below ten million, received '0'",
    ),
    "batch size": (["train", "--batch-size", "-1"], "--batch-size: expected a whole number of at least 1"),
    "rate": (["train", "--learning-rate", "0"], "--learning-rate: expected a number above 0"),
    "latent": (["train", "--latent", "0"], "--latent: expected a whole number of at least 1"),
    "seed": (["train", "--seed", "-1"], "--seed: expected a whole number of at least 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_gives_one_sentence_and_status_2(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SCRATCHVAE_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "cupy", None)
    arguments, sentence = REFUSED[name]
    assert status_of(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("scratchvae: ") and sentence in error and error.count("\n") == 1
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    "content",
    [
        {"images": numpy.full((20, 784), 3.0)},
        {"images": numpy.full((20, 784), numpy.nan, dtype="float32")},
        {"images": numpy.zeros((20, 3, 8, 8), dtype="float32")},
        {"images": numpy.zeros((0, 8, 8), dtype="float32")},
        {"pictures": numpy.zeros(3), "others": numpy.zeros(3)},
    ],
)
def test_a_users_bad_file_is_refused(content, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    numpy.savez(tmp_path / "data.npz", **content)
    assert main(["train", "--data", str(tmp_path / "data.npz")]) == 2
    assert "data.npz" in capsys.readouterr().err


def test_a_truncated_file_is_refused(tmp_path, capsys):
    assert main(["data", truncated(tmp_path)]) == 2
    assert "cut.gz" in capsys.readouterr().err


def test_a_directory_with_a_run_is_refused(run, digits, capsys):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert train(digits, run) == 2
    assert "resume, or name another" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_the_manifold_of_more_than_two_dimensions_is_refused(digits, tmp_path, capsys):
    train(digits, tmp_path / "run", "--latent", "3", "--no-pictures")
    assert main(["plot", "manifold", str(tmp_path / "run")]) == 2
    assert "2" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--epoch", "3"],
        ["fly"],
        ["train", "--likelihood", "student"],
        ["train", "--objective", "iwea"],
        ["check", "all"],
        [],
    ],
)
def test_unknown_options_are_refused(arguments, capsys):
    assert status_of(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_training_that_fails_has_status_1(digits, tmp_path, capsys):
    assert train(digits, tmp_path / "run", "--learning-rate", "1e30") == 1
    assert "is not finite; the last checkpoint is" in capsys.readouterr().err


def test_runs_as_a_module():
    done = subprocess.run([sys.executable, "-m", "scratchvae", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"scratchvae {sv.__version__}\n"


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_patience_keeps_the_best_epoch_and_resumes(digits, tmp_path, capsys):
    """At such a rate the last epochs are not the best; the figures are those of `evaluate`, and patience may grow."""
    options = ("--epochs", "9", "--no-pictures", "--patience", "2", "--time-limit", "500", "--learning-rate", "0.5")
    options += ("--weight-decay", "0.1", "--free-bits", "0.01", "--validation", "0.3")
    assert train(digits, tmp_path / "run", *options) == 0
    out, config = capsys.readouterr().out, json.loads((tmp_path / "run" / "config.json").read_text())
    history = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    best = max(history, key=lambda metrics: metrics["validation_elbo"])["epoch"]
    assert best + 2 == len(history) < 9 and f"the parameters are those of epoch {best}, the best one" in out
    assert config["optimizer"] == {"name": "AdamW", "weight_decay": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}
    assert config["free_bits"] == 0.01
    main(["evaluate", str(tmp_path / "run")])
    assert capsys.readouterr().out in out
    assert main(["train", "--resume", str(tmp_path / "run"), "--patience", "3", "--quiet", "--no-pictures"]) == 0
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) >= len(history) + 1
    assert main(["train", "--resume", str(tmp_path / "run"), "--weight-decay", "0.2"]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--free-bits", "0.1", "--kl-floor", "1"), "expected --kl-floor or --free-bits, received both"),
        (("--free-bits", "0.1", "--objective", "iwae"), "expected --free-bits with --objective elbo"),
        (("--free-bits", "0.1", "--model", "m2", "--labels", "20"), "expected --free-bits with --model mlp"),
        (("--patience", "0"), "--patience: expected a whole number of at least 1"),
        (("--time-limit", "0"), "--time-limit: expected a number above 0"),
    ],
)
def test_options_of_the_fit_that_cannot_be(options, message, digits, tmp_path, capsys):
    assert train(digits, tmp_path / "run", *options) == 2
    assert message in capsys.readouterr().err


def test_a_grown_run_resumes_with_the_epochs_it_had_grown_to(digits, tmp_path):
    train(digits, tmp_path / "run", "--no-pictures")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"epochs": 3}))  # killed after --epochs 3
    assert main(["train", "--no-pictures", "--resume", str(tmp_path / "run"), "--quiet"]) == 0
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 3


def test_rows_that_are_no_images_and_one_latent_dimension(tmp_path, capsys):
    numpy.save(tmp_path / "rows.npy", numpy.random.default_rng(0).random((40, 10), dtype="float32"))
    assert train(str(tmp_path / "rows.npy"), tmp_path / "run", "--latent", "1") == 0
    out = capsys.readouterr().out
    assert all(f"no picture {kind}" in out for kind in ("manifold", "latent", "reconstructions", "samples"))
    assert [path.name for path in (tmp_path / "run" / "figures").iterdir()] == ["curves.png"]


def test_a_run_without_a_finished_epoch_can_be_sampled_but_has_no_curves(run, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    for name in ("last.npz", "config.json"):
        (tmp_path / "run" / name).write_bytes((run / name).read_bytes())
    assert main(["plot", "samples", str(tmp_path / "run")]) == 0
    assert main(["plot", "curves", str(tmp_path / "run")]) == 2
    assert "a finished epoch in metrics.jsonl" in capsys.readouterr().err


def test_a_directory_that_fit_made_is_sampled_and_evaluated(digits, tmp_path, capsys):
    import scratchvae as sv

    model = sv.VAE.mlp(784, 2, (8,))
    sv.fit(model, sv.data.draw_digits(20).images, epochs=1, run_dir=tmp_path / "run", progress=False)
    assert main(["sample", str(tmp_path / "run"), "--out", str(tmp_path / "new" / "s.npy")]) == 0
    assert main(["evaluate", str(tmp_path / "run"), "--data", digits]) == 0
    assert main(["evaluate", str(tmp_path / "run")]) == 2
    assert main(["sample", str(tmp_path / "run"), "--out", str(tmp_path / "s.xyz")]) == 2
    assert "expected a suffix among" in capsys.readouterr().err


def test_a_refused_option_leaves_the_directory_free(digits, tmp_path):
    assert status_of(["train", "--data", digits, "--clip-norm", "inf", "--run-dir", str(tmp_path / "run")]) == 2
    assert not (tmp_path / "run").exists()


def files_of(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file() and path.name != ".lock"}


def test_nothing_of_another_run_or_project_is_overwritten(run, digits, tmp_path, capsys):
    for names in (["last.npz"], ["best.npz"], ["metrics.jsonl"], ["config.json"]):
        copy = tmp_path / "-".join(names)
        copy.mkdir()
        for name in names:
            (copy / name).write_bytes((run / name).read_bytes())
        before = files_of(copy)
        assert train(digits, copy) == 2
        assert files_of(copy) == before and "received one with a run" in capsys.readouterr().err
    project = tmp_path / "project"
    project.mkdir()
    (project / "config.json").write_text('{"mine": 1}')
    assert train(digits, project) == 2
    assert "received one with a run" in capsys.readouterr().err
    assert (project / "config.json").read_text() == '{"mine": 1}'


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "last.npz"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(name, run, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / name).unlink()
    os.mkfifo(copy / name)
    assert main(["train", "--resume", str(copy)]) == 2
    assert "is not a regular file" in capsys.readouterr().err


def test_edited_options_that_name_an_option(run, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    config = json.loads((copy / "config.json").read_text())
    config["options"]["hidden"] = ["--help"]
    (copy / "config.json").write_text(json.dumps(config))
    assert main(["train", "--resume", str(copy)]) == 2
    error = capsys.readouterr().err
    assert f"hidden in {copy / 'config.json'}: expected a whole number" in error and "received '--help'" in error


@pytest.mark.parametrize("value", [10**400, 1.7e308, "NaN"])
def test_metrics_that_no_run_wrote(value, run, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    metrics = json.loads((copy / "metrics.jsonl").read_text().splitlines()[0]) | {"elbo": value}
    text = json.dumps(metrics).replace('"NaN"', "NaN") + "\n"
    (copy / "metrics.jsonl").write_text(2 * text)
    assert main(["plot", "curves", str(copy)]) == 2
    assert "metrics.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize("out", [".", "/"])
def test_a_directory_is_no_name_for_a_picture(out, run, capsys):
    assert main(["sample", str(run), "--n", "4", "--out", out]) == 2
    assert "save_figure: expected the name of a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command, sentence",
    [
        (
            ["sample", "--out", "s.npy", "--n", "42800"],
            "sample: expected --n of at most 42,799 (33,554,432 numbers in memory), received 42,800 (an",
        ),
        (["sample", "--out", "s.png", "--n", "10001"], "--n of at most 10,000 for a picture, received 10,001 (an"),
        (["sample", "--n", "0"], "argument --n: expected a whole number of at least 1, below ten million"),
        (["sample", "--n", "-1"], "argument --n: expected a whole number of at least 1"),
        (["sample", "--n", "1e9"], "argument --n: expected a whole number of at least 1"),
        (["evaluate", "--samples", "100001"], "evaluate: expected n_samples from 1 to 100000, received 100001"),
    ],
)
def test_numbers_that_would_fill_the_memory_are_refused(command, sentence, run, monkeypatch, tmp_path, capsys):
    """42,799 samples of 784 numbers are the most below 2^25."""
    monkeypatch.chdir(tmp_path)
    assert main([command[0], str(run), *command[1:]]) == 2
    assert sentence in capsys.readouterr().err and not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "after", ["evaluate", "evaluate RUN --data", "encode RUN", "plot all", "sample RUN --out", "complete RUN", "runs"]
)
def test_an_empty_name_is_not_the_current_folder(after, run, monkeypatch, capsys):
    monkeypatch.chdir(run)  # whose last.npz is not what an unset variable of the shell stands for
    assert main([str(run) if word == "RUN" else word for word in after.split()] + [""]) == 2
    shown = capsys.readouterr()
    assert "expected a text that is not empty, received ''" in shown.err and shown.out == ""


def test_a_picture_below_a_file_is_refused_and_an_older_picture_stays(run, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    assert main(["sample", str(run), "--n", "4", "--out", str(tmp_path / "file" / "a.png")]) == 2
    assert capsys.readouterr().err == f"scratchvae: cannot write {tmp_path / 'file' / 'a.png'}: Not a directory\n"
    older = tmp_path / "a.png"
    older.write_bytes(b"older")
    monkeypatch.setattr("os.replace", mock.Mock(side_effect=OSError(28, "No space left on device")))
    assert main(["sample", str(run), "--n", "4", "--out", str(older)]) == 2
    assert "No space left on device" in capsys.readouterr().err and older.read_bytes() == b"older"


def test_what_cannot_be_drawn_is_refused_before_anything_is_printed(tmp_path, capsys):
    (tmp_path / "table.csv").write_text("a,b\n" + "".join(f"{i},{i % 3}\n" for i in range(40)))
    assert main(["data", str(tmp_path / "table.csv"), "--out", str(tmp_path / "a.png")]) == 2
    shown = capsys.readouterr()
    assert "expected images, sketches or molecules to draw with --out, received a table" in shown.err and not shown.out


def test_a_run_without_missing_imputes_nothing(run, digits, tmp_path, capsys):
    assert main(["impute", str(run), str(digits), "--out", str(tmp_path / "a.npy")]) == 2
    assert "impute: expected a run that was trained with --missing, received one without" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="the shell of POSIX")
def test_the_output_may_be_closed_cut_off_or_unable_to_spell(run, digits, tmp_path):
    def shell(line):
        command = f"{sys.executable} -m scratchvae {line}"
        environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict", "PYTHONPATH": str(ROOT)}
        return subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, env=environment)

    done = shell(f"sample {run} --n 4 --out $'{tmp_path}/\\xff.npy'")
    assert done.returncode == 0 and b"\\udcff.npy" in done.stdout, done.stderr
    done = shell(f"data {digits} | true")
    assert done.returncode == 141 and not done.stderr, done.stderr
    done = shell(f"train --data {run}/missing 2>&-")
    assert done.returncode == 2


@pytest.mark.parametrize("more", [[], ["--model", "m2", "--labels", "20"]], ids=["mlp", "m2"])
def test_the_learning_rate_decays_by_its_factor_once_an_epoch(more, digits, tmp_path):
    rates = ["--learning-rate", "0.01", "--learning-rate-decay", "0.5", "--batch-size", "7"]
    assert train(digits, tmp_path / "run", *rates, *more, "--no-pictures") == 0
    configuration = json.loads((tmp_path / "run" / "config.json").read_text())
    steps_per_epoch = sv.run_files.read_history(tmp_path / "run")["step"][0]
    assert configuration["learning_rate"] == repr(sv.optim.ExponentialSchedule(0.01, 0.5 ** (1 / steps_per_epoch)))


# ---- which rows are trained on, which choose best.npz, and which are scored


@pytest.fixture(scope="module")
def sorted_digits(tmp_path_factory):
    """100 drawn digits sorted by class, a hundred zeros beside them, and 30 others in a file of their own."""
    drawn = sv.data.draw_digits(130)
    order = drawn.labels[:100].argsort(kind="stable")
    folder = tmp_path_factory.mktemp("sorted")
    numpy.savez(folder / "digits.npz", images=drawn.images[order], labels=drawn.labels[order])
    numpy.savez(folder / "others.npz", images=drawn.images[100:], labels=drawn.labels[100:])
    return folder


def test_three_parts_and_the_score_is_of_the_one_that_chose_nothing(sorted_digits, tmp_path, capsys):
    assert train(str(sorted_digits / "digits.npz"), tmp_path / "run", "--no-pictures") == 0
    out = capsys.readouterr().out
    assert "81 training rows, 9 for validation, 10 for the test" in out and "mean of 10 " in out
    rows = {
        part: images.images
        for part, images in zip(
            ("train", "validation", "test"), sv.data.load(sorted_digits / "digits.npz", validation=0.1), strict=True
        )
    }
    configuration = json.loads((tmp_path / "run" / "config.json").read_text())
    for name, part in (("data", "train"), ("validation", "validation")):
        expected = sv.run_files.fingerprint(rows[part].reshape(-1, 784))
        assert configuration[name] == expected, part
    model = sv.load(tmp_path / "run" / "last.npz")
    assert f"ELBO {sv.evaluate(model, rows['test'])['elbo']:.2f} +-" in out
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.splitlines()[0] in out
    assert not (tmp_path / "run" / "figures").exists()


def test_the_test_part_may_choose_best_as_in_older_runs(sorted_digits, tmp_path, capsys):
    options = ["--no-pictures", "--validation", "test", "--split", "last"]
    assert train(str(sorted_digits / "digits.npz"), tmp_path / "run", *options) == 0
    assert "90 training rows, 10 for validation and test" in capsys.readouterr().out


def test_a_held_out_file_is_scored_as_a_whole(sorted_digits, tmp_path, capsys):
    assert train(str(sorted_digits / "digits.npz"), tmp_path / "run", "--no-pictures") == 0
    capsys.readouterr()
    path = str(sorted_digits / "others.npz")
    assert main(["evaluate", str(tmp_path / "run"), "--data", path]) == 0
    out = capsys.readouterr().out
    scores = sv.evaluate(sv.load(tmp_path / "run"), numpy.load(path)["images"])
    assert out.startswith(f"all of {path}: ELBO {scores['elbo']:.2f} +-") and "mean of 30 " in out
    numpy.save(tmp_path / "one.npy", numpy.load(path)["images"][:1])
    assert main(["evaluate", str(tmp_path / "run"), "--data", str(tmp_path / "one.npy")]) == 0
    assert "mean of 1 " in capsys.readouterr().out


@pytest.mark.parametrize("value", ["0", "1", "-0.1", "half", "nan"])
def test_a_validation_part_that_cannot_be(value, sorted_digits, tmp_path, capsys):
    assert train(str(sorted_digits / "digits.npz"), tmp_path / "run", "--validation", value) == 2
    assert "--validation: expected a number between 0 and 1, or test, received" in capsys.readouterr().err
