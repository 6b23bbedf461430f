"""A kind of model from outside; what is refused before data are loaded; jobs, folders and paths."""

import json
import re
import sys
import threading
from pathlib import Path

import numpy
import pytest

import scratchvae as sv
from scratchvae.cli import main
from scratchvae.cli.train import claim
from scratchvae.data import Dataset
from scratchvae.errors import DataError, InputError
from scratchvae.kinds import KINDS, Kind, Option, Picture, kind_of
from scratchvae.kinds.option import COUNT, FROM_ZERO, POSITIVE, deviation
from scratchvae.kinds.pictures import CURVES
from scratchvae.kinds.shared_options import COMMON
from scratchvae.run_directory import RunDirectory


def _figure(subject):
    return sv.plotting.images(subject.test.images[:4].reshape(4, 6, 5, 1))


class Walks(Kind):
    """Random walks (N, T, 5), from outside the package: a part of its own, a score, two pictures."""

    name, summary, model = "walks", "a VAE of walks", sv.VAE
    options = (*COMMON, Option("tempo", "steps of a walk", 6, COUNT))
    pictures = (
        CURVES,
        Picture("steps", "walks of five numbers", lambda s: s.test.images.shape[2] == 5, _figure),
        Picture("nothing", "something else", lambda s: False, lambda s: pytest.fail("drawn")),
    )

    def refuse(self, settings):
        super().refuse(settings)
        if settings["tempo"] > 9:
            raise InputError("train", "--tempo up to 9", str(settings["tempo"]))

    def check(self, settings, train, test):
        if train.images.shape[1] != settings["tempo"]:
            raise DataError("walks", f"{settings['tempo']} steps", str(train.images.shape[1]))

    def observations(self, dataset):
        return dataset.images * numpy.float32(0.5)

    def build(self, settings, train, part):
        model = sv.VAE.mlp(train.images[0].size, 2, (4,), likelihood="gaussian", seed=settings["seed"])
        part("guide", model, 1, batch_size=16, seed=1)
        second = sv.VAE.mlp(train.images[0].size, 2, (4,), likelihood="gaussian", seed=settings["seed"])
        second.load_state(model.state())
        return second

    def notes(self, settings, train):
        return [f"walks of {settings['tempo']} steps"]

    def scores(self, model, dataset, seed=0, n_samples=0, train=None):
        return [f"mean step {self.observations(dataset).mean():.3f}"]


@pytest.fixture
def walks(monkeypatch):
    rng = numpy.random.default_rng(0)
    parts = [Dataset(rng.random((n, 6, 5), dtype=numpy.float32)) for n in (40, 8)]
    monkeypatch.setitem(sv.data.DATASETS, "walks", lambda data_dir, seed: parts)
    monkeypatch.setitem(KINDS, "walks", Walks())


def train(directory, *more):
    options = ["--model", "walks", "--data", "walks", "--epochs", "2", "--batch-size", "16", "--quiet"]
    return main(["train", *options, "--run-dir", str(directory), *more])


def parameters(run):
    return {name: array.tobytes() for name, array in sv.load(run).state().items()}


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_a_kind_from_outside_trains_resumes_evaluates_samples_and_plots(walks, tmp_path, capsys):
    run, whole = tmp_path / "run", tmp_path / "whole"
    assert train(run) == 0
    out = capsys.readouterr().out
    assert (
        "walks of 6 steps\n" in out and "mean step 0.2" in out and "no picture nothing: it needs something else" in out
    )
    assert {path.name for path in (run / "figures").iterdir()} == {"curves.png", "steps.png"}
    options = json.loads((run / "config.json").read_text())["options"]
    assert options["model"] == "walks" and options["tempo"] == 6 and options["image_shape"] == [6, 5]
    assert main(["train", "--resume", str(run), "--epochs", "3", "--quiet"]) == 0
    assert train(whole, "--epochs", "3", "--no-pictures") == 0 and not (whole / "figures").exists()
    assert parameters(run) == parameters(whole)
    capsys.readouterr()
    assert main(["evaluate", str(run), "--limit", "3", "--importance-samples", "2"]) == 0
    out = capsys.readouterr().out
    assert "mean of 3" in out and out.count("mean step") == 2
    assert main(["plot", "steps", str(run), "--out", str(tmp_path / "picture")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'picture.png'}\n" and (tmp_path / "picture.png").exists()
    assert main(["plot", "nothing", str(run)]) == main(["plot", "manifold", str(run)]) == 2
    assert main(["sample", str(run), "--n", "5", "--out", str(tmp_path / "s.npy")]) == 0
    assert numpy.load(tmp_path / "s.npy").shape == (5, 30)


def test_its_options_and_data_are_its_own(walks, tmp_path, capsys):
    for more, sentence in (
        (["--hidden", "4"], "expected --hidden with --model mlp, m2, m1+m2, table, received --model walks"),
        (["--tempo", "10"], "train: expected --tempo up to 9, received 10"),
        (["--tempo", "0"], "--tempo: expected a whole number of at least 1"),
        (["--tempo", "5"], "walks: expected 5 steps, received 6"),
        (["--model", "mlp", "--tempo", "5"], "expected --tempo with --model walks, received --model mlp"),
    ):
        assert train(tmp_path / "run", *more) == 2
        assert sentence in capsys.readouterr().err and not (tmp_path / "run").exists()
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert "walks: a VAE of walks" in " ".join(capsys.readouterr().out.split())


def test_help_lists_each_option_once_below_the_heading_where_a_reader_looks(walks, capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    page = capsys.readouterr().out
    headings = re.findall(r"^(\S.*):$", page, re.M)
    below = dict(zip(headings, re.split(r"^\S.*:$", page, flags=re.M)[1:], strict=True))
    listed = {heading: re.findall(r"^  (--[a-z0-9-]+)", text, re.M) for heading, text in below.items()}
    for heading, option in (
        ("data", "--data"),
        ("data", "--image-size"),
        ("model", "--model"),
        ("model", "--latent"),
        ("training", "--epochs"),
        ("training", "--free-bits"),
        ("output and resuming", "--resume"),
        ("only for --model conv, m2-conv", "--channels"),
        ("only for --model walks", "--tempo"),
    ):
        assert option in listed[heading], (heading, option)
    names = [name for group in listed.values() for name in group]
    flags = [option.flag for kind in KINDS.values() for option in kind.options]
    assert sorted(names) == sorted({*flags, "--model", "--run-dir", "--resume", "--no-pictures", "--quiet", "--json"})
    for heading, text in below.items():
        assert not heading.startswith("only") or "(only for" not in text, heading


def test_help_says_which_kinds_have_which_pictures(walks, capsys):
    with pytest.raises(SystemExit):
        main(["plot", "--help"])
    page = " ".join(capsys.readouterr().out.split())
    for kinds, names in (("m2, m2-conv, m1+m2", ("samples", "classes")), ("walks", ("steps",))):
        listed = page.split(f"--model {kinds}: ")[1].split(" --model ")[0]
        assert all(name in listed for name in names) and "manifold" not in listed


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_a_part_is_taken_up_again_wherever_the_run_was_killed(walks, tmp_path, monkeypatch):
    assert train(tmp_path / "whole", "--no-pictures") == 0
    fit = sv.fit
    for killed_in in (0, 1, 2):
        n_fits = iter(range(9))

        def killing(*arguments, killed_in=killed_in, n_fits=n_fits, **options):
            if next(n_fits) == killed_in:
                raise KeyboardInterrupt
            return fit(*arguments, **options)

        run = tmp_path / str(killed_in)
        with monkeypatch.context() as patch:
            patch.setattr(sv, "fit", killing)
            assert train(run, "--no-pictures") == (0 if killed_in == 2 else 130)
        assert train(run) == 2 or killed_in == 0, "only a run that died at once is begun anew"
        assert main(["train", "--resume", str(run), "--quiet", "--no-pictures"]) == 0
        assert parameters(run) == parameters(tmp_path / "whole")
        assert parameters(run / "guide") == parameters(tmp_path / "whole" / "guide")


# ---- what is refused before data are loaded


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    digits = sv.data.draw_digits(40)
    numpy.savez(folder / "digits.npz", images=digits.images, labels=digits.labels)
    options = ["--data", str(folder / "digits.npz"), "--hidden", "6", "--epochs", "2", "--run-dir", str(folder / "run")]
    assert main(["train", *options, "--quiet", "--no-pictures"]) == 0
    return folder / "run"


M2 = ["--model", "m2", "--labels", "20"]
EARLY = {
    "std": (["--std", "wide"], "--std: expected a positive number, learned or decoder"),
    "std zero": (["--likelihood", "gaussian", "--std", "0"], "--std: expected a positive number"),
    "std nan": (["--likelihood", "gaussian", "--std", "nan"], "--std: expected a positive number"),
    "device": (["--device", "gpu"], 'device="gpu": expected CuPy'),
    "no such device": (["--device", "tpu"], "--device: expected one of cpu, gpu, received 'tpu'"),
    "labels": (["--model", "m2"], "expected --labels N with --model m2"),
    "labels of none": (["--model", "m2", "--labels", "0"], "--labels: expected a whole number of at least 1"),
    "hidden": (["--hidden", "0"], "--hidden: expected a whole number of at least 1, below ten million, received '0'"),
    "no hidden": ([*M2, "--hidden"], "hidden as widths, at least one"),
    "no hidden of m1+m2": (["--model", "m1+m2", "--labels", "20", "--hidden"], "--hidden with at least one width"),
    "activation": (["--activation", "cube"], "--activation: expected one of "),
    "likelihood": (["--likelihood", "cauchy"], "--likelihood: expected one of bernoulli, gaussian"),
    "binarize": (["--likelihood", "gaussian", "--binarize", "static"], "a likelihood other than Bernoulli"),
    "binarize of m1": (
        ["--model", "m1+m2", "--labels", "20", "--likelihood", "gaussian", "--binarize", "static"],
        "a likelihood other than Bernoulli",
    ),
    "objective": ([*M2, "--objective", "iwae"], "expected --objective elbo with --model m2"),
    "m1": (["--model", "m1+m2", "--labels", "20", "--m1", "nothing.npz"], "expected a file, received nothing there"),
    "resume nothing": (["--resume", "nothing"], "expected a run of `scratchvae train`"),
    "resume another model": (["--resume", "RUN", *M2], "expected --model mlp, as the run has, received --model m2"),
    "resume other widths": (
        ["--resume", "RUN", "--hidden", "7"],
        "--hidden [6], as the run has, received --hidden [7]",
    ),
    "resume another seed": (["--resume", "RUN", "--seed", "7"], "--seed 0, as the run has, received --seed 7"),
    "resume fewer epochs": (["--resume", "RUN", "--epochs", "1"], "expected at least the run's 2 epochs, received 1"),
    "a directory with a run": (["--run-dir", "RUN"], "expected an empty one, received one with a run"),
    "a directory with parts": (["--run-dir", "PARENT"], "expected an empty one, received one with a run"),
    "a file as directory": (["--run-dir", "FILE"], "expected a directory, received a file of that name"),
}


@pytest.mark.parametrize("name", EARLY)
def test_bad_options_are_refused_before_data_are_loaded(name, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(sv.data, "load", lambda *_: pytest.fail("data are loaded"))
    paths = {"RUN": run, "PARENT": run.parent, "FILE": run / "last.npz"}
    options, sentence = EARLY[name]
    assert main(["train", *(str(paths.get(word, word)) for word in options)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("scratchvae: ") and sentence in error and error.count("\n") == 1
    assert not list(tmp_path.rglob("*.json"))


def test_a_directory_in_use_is_refused_before_data_are_loaded(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sv.data, "load", lambda *_: pytest.fail("data are loaded"))
    with RunDirectory(run):
        for option in ("--run-dir", "--resume"):
            assert main(["train", option, str(run)]) == 2
            assert "received one in use" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["sample"], ["plot", "samples"], ["data"]])
def test_a_suffix_is_refused_before_data_are_loaded(command, run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sv.data, "load", lambda *_: pytest.fail("data are loaded"))
    what = "drawn-digits" if command == ["data"] else str(run)
    for out, sentence in (("s.xyz", "expected a suffix among"), (".", "expected the name of a file")):
        assert main([*command, what, "--out", out]) == 2
        assert sentence in capsys.readouterr().err


def test_the_curves_need_no_data_and_a_picture_of_another_kind_loads_none(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sv.data, "load", lambda *_: pytest.fail("data are loaded"))
    assert main(["plot", "curves", str(run), "--out", str(tmp_path / "c.png")]) == 0
    assert main(["plot", "classes", str(run)]) == main(["plot", "all", str(run), "--out", "x.png"]) == 2


# ---- jobs, folders and paths


def test_jobs_that_start_at_once_claim_directories_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "x-2").write_text("a file")
    barrier, claimed = threading.Barrier(6), []

    def job():
        barrier.wait()
        claimed.append(str(claim("some/x.npy")))

    jobs = [threading.Thread(target=job) for _ in range(6)]
    for thread in jobs:
        thread.start()
    for thread in jobs:
        thread.join()
    assert sorted(claimed) == [str(Path("runs") / f"x-{i}") for i in (1, 3, 4, 5, 6, 7)]


def test_a_run_is_found_from_any_folder(tmp_path, monkeypatch):
    """Its data, the folder of a named set and M1 are kept as absolute paths; the default directory is runs/NAME-1."""
    home, away = tmp_path / "home", tmp_path / "away"
    (home / "data").mkdir(parents=True)
    away.mkdir()
    faces = numpy.random.default_rng(0).integers(0, 256, (30, 28, 20), dtype=numpy.uint8)
    numpy.savez(home / "data" / "frey_faces.npz", images=faces)
    numpy.save(home / "faces.npy", faces)
    short = ["--epochs", "1", "--hidden", "4", "--quiet", "--no-pictures"]
    for data in (["frey-faces", "--data-dir", "data"], ["faces.npy"]):
        monkeypatch.chdir(home)
        assert main(["train", "--data", *data, *short]) == 0
        run = home / "runs" / f"{Path(data[0]).stem}-1"
        monkeypatch.chdir(away)
        assert main(["evaluate", str(run)]) == main(["plot", "samples", str(run)]) == 0
        assert main(["train", "--resume", str(run), "--epochs", "2", "--quiet", "--no-pictures"]) == 0
    options = json.loads((home / "runs" / "frey-faces-1" / "config.json").read_text())["options"]
    assert options["data_dir"] == str(home / "data") and options["data"] == "frey-faces"


def test_a_kind_is_known_by_its_models():
    assert kind_of(sv.VAE.mlp(4, 2, (3,))) is KINDS["mlp"]
    assert kind_of(sv.SemiSupervisedVAE.mlp(4, 2, 2, (3,))) is KINDS["m2"]
    with pytest.raises(InputError, match="kind of model: expected a model among mlp, conv, .*, received int$"):
        kind_of(3)


# ---- options as values


@pytest.mark.parametrize(
    ("conversion", "good", "bad"),
    [
        (COUNT, {"3": 3, 3: 3, 2.0: 2}, ["0", 0, True, "2.5", 2.5, "x", None, [1], "1e3", 10**7, float("nan")]),
        (FROM_ZERO, {"0": 0}, ["-1", False]),
        (POSITIVE, {"1e-3": 0.001, 2: 2.0}, ["0", "nan", "inf", True, None, 10**400]),
        (deviation, {"0.1": 0.1, 0.1: 0.1, "learned": "learned", "decoder": "decoder"}, ["wide", "0", None, [1], True]),
    ],
)
def test_conversions(conversion, good, bad):
    for given, value in good.items():
        assert conversion(given) == value and type(conversion(given)) is type(value)
    for given in bad:
        with pytest.raises(ValueError, match="number"):
            conversion(given)


def test_an_option_reads_a_text_and_what_a_file_holds_alike():
    widths = Option("widths", "", [3], COUNT, several="+")
    assert widths.flag == "--widths" and widths.read(["1", 2], "f") == [1, 2]
    for given in ("12", [], None, [0]):
        with pytest.raises(InputError, match="^f: expected "):
            widths.read(given, "f")
    assert Option("a_b", "").read(None, "f") is None and Option("a_b", "").flag == "--a-b"
