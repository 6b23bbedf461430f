"""What the command line says of runs: beside each other, as JSON, by either checkpoint, and as codes and weights."""

import json
import shutil

import numpy
import pytest

import scratchvae as sv
from scratchvae.cli import main
from scratchvae.cli.output import print_json
from scratchvae.cli.runs import WIDTH, differing, sparkline


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    drawn = sv.data.draw_digits(60)
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    numpy.savez(path, images=drawn.images, labels=drawn.labels)
    return str(path)


def train(digits, directory, *more, model="mlp"):
    options = ["--model", model, "--hidden", "8", "--epochs", "3", "--quiet", "--no-pictures", "--run-dir"]
    return main(["train", "--data", digits, *options, str(directory), *more])


@pytest.fixture(scope="module")
def folder(digits, tmp_path_factory):
    """Two runs of the command line, one of `fit`, and a folder of something else."""
    folder = tmp_path_factory.mktemp("runs")
    assert train(digits, folder / "first") == 0
    assert train(digits, folder / "zweiter Lauf ü", "--latent", "3", "--learning-rate", "0.01") == 0
    with numpy.load(digits) as file:
        sv.fit(sv.VAE.mlp(hidden=(4,)), file["images"], 1, progress=False, run_dir=folder / "own")
    (folder / "foreign").mkdir()
    (folder / "foreign" / "config.toml").write_text("x = 1")
    return folder


def said(capsys, *command, status=0):
    """What a command prints: the last line of JSON."""
    capsys.readouterr()
    assert main([*map(str, command), "--json"]) == status
    return json.loads(capsys.readouterr().out.splitlines()[-1])


# ---- runs


def test_runs_stand_beside_each_other_with_the_options_that_differ(folder, capsys):
    assert main(["runs", str(folder)]) == 0
    titles, first, own, second, rest = capsys.readouterr().out.splitlines()
    assert titles.split()[:9] == ["run", "model", "data", "epochs", "ELBO", "KL", "active", "validation", "best"]
    assert {"latent", "learning_rate"} <= set(titles.split()) and "batch_size" not in titles
    assert first.startswith("first           mlp      digits.npz") and "3/3" in first and "0.002" in first
    assert second.startswith("zweiter Lauf ü") and second.count("0.01") == 1
    assert own.split()[:2] == ["own", "VAE.mlp"] and "1/1" in own
    assert rest == "folders without a run: foreign"


def test_the_figures_are_those_of_the_metrics(folder, capsys):
    listed = said(capsys, "runs", folder)
    assert [run["name"] for run in listed["runs"]] == ["first", "own", "zweiter Lauf ü"]
    assert listed["others"] == ["foreign"] and {"latent", "learning_rate"} <= set(listed["differing"])
    lines = [json.loads(line) for line in (folder / "first" / "metrics.jsonl").read_text().splitlines()]
    run = listed["runs"][0]
    assert run["figures"]["elbo"] == lines[-1]["elbo"] and run["epochs"] == run["epochs_asked"] == 3
    values = [line["validation_elbo"] for line in lines]
    assert run["history"]["validation_elbo"] == values
    assert run["figures"]["best_validation_elbo"] == max(values)
    assert run["figures"]["best_epoch"] == 1 + values.index(max(values))
    assert said(capsys, "runs", folder / "first")["runs"][0]["name"] == "first", "one run is a list of one"


def test_a_torn_run_is_listed_and_a_damaged_one_named(folder, tmp_path, capsys):
    for name in ("torn", "damaged", "unknown"):
        shutil.copytree(folder / "first", tmp_path / name)
    with open(tmp_path / "torn" / "metrics.jsonl", "a") as file:
        file.write('{"epoch": 4, "elb')
    (tmp_path / "damaged" / "config.json").write_text("{")
    config = json.loads((tmp_path / "unknown" / "config.json").read_text())
    config["options"]["model"] = "gan"
    (tmp_path / "unknown" / "config.json").write_text(json.dumps(config))
    assert main(["runs", str(tmp_path)]) == 0
    _, torn, damaged, unknown, lines = capsys.readouterr().out.splitlines()
    assert torn.startswith("torn") and "3/3" in torn
    assert damaged.startswith("damaged: read ") and "expected the configuration of a run" in damaged
    assert unknown.startswith("unknown: read ") and "'gan'" in unknown
    assert lines == "unreadable lines of metrics.jsonl: torn (1)"


def test_the_curves_of_runs_are_one_picture(folder, tmp_path, capsys):
    assert main(["runs", str(folder), "--out", str(tmp_path / "runs.svg")]) == 0
    assert "<svg" in (tmp_path / "runs.svg").read_text()
    histories = {run["name"]: run["history"] for run in said(capsys, "runs", folder)["runs"]}
    axes = sv.plotting.run_curves(histories).axes[0]
    assert [line.get_label() for line in axes.lines] == ["first", "own (training data)", "zweiter Lauf ü"]
    for line, history in zip(axes.lines, histories.values(), strict=True):
        assert list(line.get_ydata()) == history.get("validation_elbo", history["elbo"])
    with pytest.raises(ValueError, match="run_curves: expected at least one run"):
        sv.plotting.run_curves({})


def test_folders_without_runs_get_one_sentence(tmp_path, capsys):
    (tmp_path / "other").mkdir()
    for path, sentence in (
        (tmp_path, "expected a run directory in"),
        (tmp_path / "no", "a folder with run directories"),
    ):
        assert main(["runs", str(path)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("scratchvae: runs: ") and sentence in error and error.count("\n") == 1


def test_a_sparkline_goes_from_the_lowest_to_the_highest():
    assert sparkline([-3, -2, -1]) == "▁▅█"
    assert sparkline([5.0, 5.0]) == "▁▁" and sparkline([]) == ""
    long = sparkline(list(range(1000)))
    assert len(long) == WIDTH and long[0] == "▁" and long[-1] == "█" and list(long) == sorted(long)


def test_options_differ_where_one_run_has_another_or_none():
    runs = [{"a": 1, "b": [1], "c": 2, "data_dir": "x"}, {"a": 1, "b": [2], "data_dir": "y"}]
    assert differing(runs) == ["b", "c"] and differing(runs[:1]) == [] and differing([]) == []


# ---- JSON


def test_evaluate_says_the_same_as_its_lines(folder, digits, capsys):
    run = folder / "first"
    value = said(capsys, "evaluate", run, "--importance-samples", "20", "--limit", "5")
    x = sv.data.load(digits, validation=0.1)[2].images[:5]
    scores = sv.evaluate(sv.load(run), x)
    assert {name: value["figures"][name] for name in scores} == scores
    log_px, error, effective = sv.log_likelihood(sv.load(run), x, 20)
    assert value["figures"]["log_likelihood"] == pytest.approx(log_px.mean(), rel=1e-12)
    assert value["figures"]["effective_samples"] == pytest.approx(effective.mean(), rel=1e-12)
    assert main(["evaluate", str(run), "--importance-samples", "20", "--limit", "5"]) == 0
    assert capsys.readouterr().out.splitlines() == value["lines"]
    assert said(capsys, "evaluate", run, "--limit", "1")["figures"]["elbo_standard_error"] is None, "infinite"


def test_train_ends_with_what_it_has_found(digits, tmp_path, capsys):
    assert train(digits, tmp_path / "run", "--labels", "20", "--json", model="m2") == 0
    value = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert value["run"] == str(tmp_path / "run") and value["last_epoch"]["epoch"] == 3
    assert value["figures"] == said(capsys, "evaluate", tmp_path / "run")["figures"]
    assert 0 <= value["figures"]["error"] <= 1


def test_data_says_what_is_there(digits, capsys):
    value = said(capsys, "data", digits)
    assert value["train"]["shape"] == [54, 28, 28, 1] and value["test"]["n"] == 6
    assert sum(value["train"]["labels"].values()) == 54 and 0 < value["train"]["mean"] < 1


def test_check_says_every_row(monkeypatch, capsys):
    from scratchvae.checks import table
    from scratchvae.checks.row import Row

    rows = [Row("right", 1e-3, lambda device: 1e-4), Row("wrong", 1e-3, lambda device: float("nan"))]
    monkeypatch.setattr(table, "SECTIONS", {"few": rows})
    value = said(capsys, "check", status=1)
    assert [row["passed"] for row in value["checks"]] == [True, False] and value["failed"] == 1
    assert value["checks"][1]["figure"] is None and value["checks"][0]["section"] == "few"


def test_json_has_plain_values_alone(capsys):
    print_json({1: numpy.float32(0.5), "a": (numpy.nan, numpy.arange(2)), "b": {"c": numpy.bool_(True)}, "d": int})
    assert json.loads(capsys.readouterr().out) == {"1": 0.5, "a": [None, [0, 1]], "b": {"c": True}, "d": str(int)}


# ---- checkpoints, codes and weights


def test_either_checkpoint_is_read(folder, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(folder / "first", run)
    shutil.copy(folder / "zweiter Lauf ü" / "last.npz", run / "best.npz")
    for name, source in (("last", folder / "first"), ("best", folder / "zweiter Lauf ü")):
        path = tmp_path / f"{name}.npy"
        assert main(["sample", str(run), "--checkpoint", name, "--n", "3", "--out", str(path)]) == 0
        assert numpy.array_equal(numpy.load(path), sv.load(source).sample(3))
        elbo = said(capsys, "evaluate", run, "--checkpoint", name)["figures"]["elbo"]
        assert elbo == said(capsys, "evaluate", source)["figures"]["elbo"]
        assert main(["encode", str(run), "--checkpoint", name, "--out", str(path)]) == 0
        assert numpy.load(path).shape == (6, 2 if name == "last" else 3)
    assert main(["plot", "samples", str(run), "--checkpoint", "best"]) == 0
    (run / "best.npz").unlink()
    capsys.readouterr()
    for command, sentence in (
        (["evaluate", run, "--checkpoint", "best"], "expected the best checkpoint, received none (a run without valid"),
        (["evaluate", "nowhere", "--checkpoint", "best"], "load nowhere: expected a file, received nothing there"),
        (
            ["sample", run / "last.npz", "--checkpoint", "last"],
            "--checkpoint: expected a run directory, received the checkpoint",
        ),
    ):
        assert main([*map(str, command)]) == 2
        assert sentence in capsys.readouterr().err


def test_codes_are_the_means_of_the_posterior(folder, digits, tmp_path):
    model = sv.load(folder / "first")
    parts = dict(zip(("train", "validation", "test"), sv.data.load(digits, validation=0.1), strict=True))
    for part, data in parts.items():
        for name in ("codes.npy", "codes.csv"):
            out = str(tmp_path / name)
            assert main(["encode", str(folder / "first"), "--part", part, "--out", out]) == 0
        expected = model.encode(data.images).mean
        numpy.testing.assert_allclose(numpy.load(tmp_path / "codes.npy"), expected, rtol=1e-6)
        header, *lines = (tmp_path / "codes.csv").read_text().splitlines()
        assert header == "z1,z2,label"
        values = numpy.array([[float(value) for value in line.split(",")] for line in lines])
        assert numpy.array_equal(values[:, 2], data.labels)
        assert numpy.array_equal(values[:, :2].astype("f4"), numpy.load(tmp_path / "codes.npy")), "to the last bit"
    numpy.save(tmp_path / "more.npy", data.images[:4])
    assert main(["encode", str(folder / "first" / "last.npz"), str(tmp_path / "more.npy"), "--out", out]) == 0
    assert (tmp_path / "codes.csv").read_text().splitlines()[0] == "z1,z2"


def test_what_cannot_be_encoded_or_exported_gets_one_sentence(folder, digits, tmp_path, capsys):
    run = str(folder / "first")
    for command, sentence in (
        (
            ["encode", run, "--out", "codes.txt"],
            "encode: expected --out with the suffix .npy or .csv, received 'codes.txt",
        ),
        (["encode", run + "/last.npz"], "encode: expected DATA, as the run does not name its data"),
        (["encode", run, digits, "--part", "train"], "expected --part with the run's own data"),
        (["export", run, "--out", str(tmp_path / "w.pt")], "export: expected the suffix .safetensors or .npz"),
        (["export", str(tmp_path)], "last.npz: expected a file, received nothing there"),
    ):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert sentence in error and error.count("\n") == 1
    assert main(["export", run, "--out", str(tmp_path / "w.npz")]) == 0
    assert sv.load(tmp_path / "w.npz").configuration == sv.load(run).configuration
