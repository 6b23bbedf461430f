"""Priors and codes from the command line: training, evaluating, drawing, pictures, and what is refused."""

import json

import numpy
import pytest

import scratchvae as sv
from scratchvae.cli import main
from scratchvae.cli.settings import kept_options, load_parts
from scratchvae.kinds import KINDS


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A user's own file: 60 drawn digits, made smaller."""
    images = sv.data.draw_digits(60).images.reshape(60, 14, 2, 14, 2, 1).mean(axis=(2, 4))
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    numpy.savez(path, images=images.astype("f"))
    return str(path)


def train(digits, directory, *more):
    options = ["--data", digits, "--epochs", "1", "--run-dir", str(directory), "--quiet", "--no-pictures"]
    return main(["train", *options, *more])


@pytest.mark.parametrize(
    ("model", "prior", "printed"),
    [
        ("mlp", "mixture", "p(z)      sum over 4 c of w_c Normal(m_c, diag(s_c^2))"),
        ("mlp", "vamp", "p(z)      (1/4) sum over 4 c of q(z | u_c)"),
        ("conv", "vamp", "p(z)      (1/4) sum over 4 c of q(z | u_c)"),
    ],
)
def test_a_run_with_a_learned_prior(model, prior, printed, digits, tmp_path, capsys):
    run = tmp_path / "run"
    small = ["--hidden", "8"] if model == "mlp" else ["--channels", "2"]
    assert train(digits, run, "--model", model, "--prior", prior, "--components", "4", *small) == 0
    assert printed in capsys.readouterr().out
    options = json.loads((run / "config.json").read_text())["options"]
    assert (options["prior"], options["components"]) == (prior, 4)
    assert main(["train", "--resume", str(run), "--epochs", "2", "--quiet", "--no-pictures"]) == 0
    assert main(["evaluate", str(run), "--importance-samples", "5"]) == 0
    assert "log p(x)" in capsys.readouterr().out
    assert main(["sample", str(run), "--n", "3", "--out", str(tmp_path / "drawn.npy")]) == 0
    assert numpy.load(tmp_path / "drawn.npy").shape[0] == 3
    if model == "mlp":
        for picture in ("latent", "manifold"):
            assert main(["plot", picture, str(run)]) == 0 and (run / "figures" / f"{picture}.png").exists()


def test_samples_from_the_codes(digits, tmp_path, capsys):
    """They are said not to be the prior's, and are the mixture's that Python fits to the same images."""
    run = tmp_path / "run"
    assert train(digits, run, "--hidden", "8") == 0
    capsys.readouterr()
    assert main(["sample", str(run), "--codes", "2", "--n", "4", "--seed", "3", "--out", str(tmp_path / "a.npy")]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "z from 2 Gaussians fitted to codes, not from the prior"
    drawn, model = numpy.load(tmp_path / "a.npy"), sv.load(run)
    train_part = load_parts(KINDS["mlp"], kept_options(run))[0]
    codes = sv.fit_codes(model, train_part.images, 2, seed=3)
    numpy.testing.assert_array_equal(drawn, model.sample(4, 3, codes=codes))
    assert main(["sample", str(run), "--n", "4", "--seed", "3", "--out", str(tmp_path / "b.npy")]) == 0
    assert "fitted to codes" not in capsys.readouterr().out
    assert drawn.shape == (4, 196) and (drawn != numpy.load(tmp_path / "b.npy")).any()
    assert main(["sample", str(run), "--codes", "2", "--out", str(tmp_path / "a.png")]) == 0
    assert (tmp_path / "a.png").exists()


def test_what_is_refused(digits, tmp_path, capsys):
    run = tmp_path / "run"
    for arguments, sentence in (
        (("--prior", "gaussian"), "--prior: expected one of normal, mixture, vamp, received 'gaussian'"),
        (("--components", "4"), "train: expected --components with --prior mixture or vamp, received --prior normal"),
        (
            ("--prior", "vamp", "--free-bits", "1"),
            "expected --free-bits with --prior normal, received --prior vamp",
        ),
        (("--prior", "vamp", "--components", "0"), "expected a whole number of at least 1"),
    ):
        try:
            status = train(digits, run, "--hidden", "8", *arguments)
        except SystemExit as stop:
            status = stop.code
        assert status == 2 and sentence in capsys.readouterr().err and not run.exists()
    assert train(digits, run, "--hidden", "8") == 0
    for arguments, sentence in (
        (
            ("sample", str(run / "last.npz"), "--codes", "2"),
            "sample --codes: expected a run directory, which names the training data",
        ),
        (("sample", str(run), "--codes", "1000"), "GaussianMixture: expected n_components from 1 to 49, the number of"),
        (("train", "--resume", str(run), "--patience", "2"), "expected a run that was begun with --patience, received"),
        (("train", "--resume", str(run), "--time-limit", "2"), "expected a run that was begun with --time-limit, "),
        (("train", "--resume", str(run), "--prior", "vamp"), "expected --prior normal, as the run has"),
    ):
        assert main([*arguments]) == 2
        assert sentence in capsys.readouterr().err
