"""Runs that version 0.1 left: they are resumed, scored and drawn, also when options have been added since."""

import json
import shutil
from pathlib import Path

import numpy
import pytest

import scratchvae as sv
from scratchvae.cli import main
from scratchvae.kinds import KINDS, Option
from scratchvae.kinds.option import POSITIVE
from scratchvae.run_files import read_history

OLDER = Path(__file__).parent / "run_of_version_0_1"
DATA = ["--data", str(OLDER / "digits.npz")]
COMMANDS = {
    "mlp": ["--hidden", "8", "--binarize", "dynamic", "--kl-warmup", "5", "--learning-rate-decay", "0.9"],
    "m1+m2": [
        *("--model", "m1+m2", "--labels", "12", "--hidden", "8", "6", "--m1-epochs", "2", "--learning-rate", "0.02"),
    ],
}
pytestmark = [
    pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning"),
    pytest.mark.filterwarnings("ignore:resumed under other versions"),  # on another machine
]


@pytest.fixture(params=COMMANDS)
def name(request):
    return request.param


@pytest.fixture
def run(name, tmp_path):
    return Path(shutil.copytree(OLDER / name, tmp_path / name))


def resume(run, *more):
    return main(["train", "--resume", str(run), *DATA, "--quiet", "--no-pictures", *more])


def fresh(name, directory, epochs):
    """A run of today's code by the command that made the older one, of two epochs."""
    options = ["--batch-size", "16", "--seed", "3", "--epochs", str(epochs), "--run-dir", str(directory)]
    options += ["--split", "last", "--validation", "test"]
    assert main(["train", *DATA, *COMMANDS[name], *options, "--quiet", "--no-pictures"]) == 0
    return arrays(directory / "last.npz")


def arrays(path):
    with numpy.load(path) as file:
        return {name: file[name] for name in file.files if name != "header"}


def same_bits(one, other):
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


def test_an_older_run_is_resumed_as_it_would_have_gone_on(name, run, tmp_path):
    """By the results that the older code reached; and to the bit of a fresh run, if this machine rounds as its own."""
    machine_is_its_own = same_bits(fresh(name, tmp_path / "two", 2), arrays(run / "last.npz"))
    assert resume(run, "--epochs", "3") == 0
    resumed, expected = arrays(run / "last.npz"), arrays(OLDER / "three_epochs" / f"{name}.npz")
    assert resumed.keys() == expected.keys()
    for key, values in expected.items():
        numpy.testing.assert_allclose(resumed[key], values, rtol=1e-3, atol=1e-4, err_msg=key)
    whole = fresh(name, tmp_path / "three", 3)
    for key, values in whole.items():
        numpy.testing.assert_allclose(resumed[key], values, rtol=1e-3, atol=1e-4, err_msg=key)
    assert not machine_is_its_own or same_bits(resumed, whole)
    assert read_history(run)["epoch"] == [1, 2, 3]


def test_its_options_move_to_the_one_configuration_file(name, run):
    before = json.loads((run / "options.json").read_text())
    assert resume(run, "--epochs", "3") == 0
    assert not (run / "options.json").exists()
    options = json.loads((run / "config.json").read_text())["options"]
    assert options["epochs"] == 3 and options["image_shape"] == [8, 8, 1] and options["std"] == 0.1
    assert (options["split"], options["validation"], options["data_labels"]) == ("last", "test", None)
    moved = (options.keys() & before.keys()) - {"epochs", "std", "data"}
    assert {key: options[key] for key in moved} == {key: before[key] for key in moved}
    assert resume(run, "--epochs", "4") == 0 and read_history(run)["epoch"][-1] == 4


def test_it_is_scored_and_drawn(run, tmp_path, monkeypatch, capsys):
    options = json.loads((run / "options.json").read_text())
    (run / "options.json").write_text(json.dumps(options | {"data": DATA[1]}))
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", str(run)]) == 0
    assert main(["plot", "samples", str(run)]) == main(["plot", "curves", str(run)]) == 0
    assert main(["sample", str(run), "--n", "2", "--out", "s.npy"]) == 0
    assert {path.name for path in (run / "figures").iterdir()} == {"samples.png", "curves.png"}


def test_an_option_that_was_added_since_counts_as_its_default(name, run, monkeypatch, capsys):
    more = (*KINDS[name].options, Option("temper", "a later option", 1.5, POSITIVE))
    monkeypatch.setattr(type(KINDS[name]), "options", more)
    assert resume(run, "--epochs", "3", "--temper", "2") == 2
    assert "expected --temper 1.5, as the run has, received --temper 2.0" in capsys.readouterr().err
    assert resume(run, "--epochs", "3", "--temper", "1.5") == 0
    assert json.loads((run / "config.json").read_text())["options"]["temper"] == 1.5


def test_a_run_killed_before_its_options_had_moved_is_resumed(run, monkeypatch):
    """config.json has the options already, and the older file still lies there."""
    with monkeypatch.context() as patch:
        patch.setattr(sv, "evaluate", lambda *_, **__: 1 / 0)
        patch.setattr(Path, "unlink", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            resume(run, "--epochs", "3")
    assert (run / "options.json").exists()
    assert resume(run, "--epochs", "4") == 0 and read_history(run)["epoch"][-1] == 4
