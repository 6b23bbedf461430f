"""Sketches from the command line: trained, resumed, scored, sampled and drawn; what is refused."""

import json

import numpy
import pytest

import scratchvae as sv
from scratchvae.cli import main
from scratchvae.distributions.sketch import n_points

pytestmark = pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
SMALL = ["--encoder-size", "4", "--decoder-size", "5", "--mixtures", "2", "--latent", "3", "--batch-size", "16"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "sketches.npz"
    train, test = sv.data.draw_sketches(60).cut(40)
    numpy.savez(path, images=train.sketches, labels=train.labels, test_images=test.sketches, test_labels=test.labels)
    return str(path)


def train(data, run, *more):
    arguments = ["train", "--model", "sketch", "--data", data, "--quiet", "--run-dir", str(run)]
    return main([*arguments, *SMALL, "--epochs", "2", *more])


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    assert train(data, run) == 0
    return run


def test_it_trains_and_leaves_its_pictures(run):
    names = {path.name for path in (run / "figures").iterdir()}
    pictures = {"latent", "reconstructions", "samples", "interpolation", "completions", "curves"}
    assert names == {f"{name}.png" for name in pictures}
    config = json.loads((run / "config.json").read_text())
    assert config["kl_floor"] == 10.0 and config["clip_norm"] == 10.0
    assert config["options"] | {"model": "sketch", "latent": 3, "encoder_size": 4} == config["options"]
    scale = sv.data.describe_sketches(sv.data.load("drawn-sketches")[0].sketches[:40])["scale"]
    assert float(sv.load(run).decoder.scale) == pytest.approx(scale, rel=0.2)


def test_it_is_resumed_to_the_same_bits(run, data, tmp_path):
    assert train(data, tmp_path / "run", "--no-pictures") == 0
    assert train(data, tmp_path / "whole", "--epochs", "3", "--no-pictures") == 0
    resume = ["train", "--resume", str(tmp_path / "run"), "--epochs", "3", "--quiet", "--no-pictures"]
    assert main(resume) == 0
    for name, array in sv.load(tmp_path / "whole").state().items():
        assert array.tobytes() == sv.load(tmp_path / "run").state()[name].tobytes()
    assert main([*resume, "--kl-floor", "0"]) == 2


def test_scores_in_nats_and_in_the_papers_units(run, data, capsys):
    assert main(["evaluate", str(run), "--importance-samples", "3", "--limit", "8"]) == 0
    out = capsys.readouterr().out
    model, x = sv.load(run), sv.data.load(data)[1].sketches[:8]
    scores, n = sv.evaluate(model, x), n_points(x)
    scale = float(model.decoder.scale)
    l_r = -(scores["reconstruction"] + 2 * n.mean() * numpy.log(scale)) / n.max()
    assert f"ELBO {scores['elbo']:.2f}" in out and "a density of offsets" in out
    assert f"L_R {l_r:.3f}, L_KL {scores['kl'] / 3:.3f}, with N_max {n.max()}, K 3" in out
    assert "standard error per sketch" in out and "bits" not in out


def test_the_papers_l_r_is_that_of_offsets_in_units_of_the_scale(run, data):
    """The reconstruction term of a model of scale 1 with the same weights, for x / scale, divided by -N_max."""
    from scratchvae.kinds import KINDS

    model, x = sv.load(run), sv.data.load(data)[1].sketches
    scores, scale = sv.evaluate(model, x), float(model.decoder.scale)
    (line,) = KINDS["sketch"].in_other_units(model, x, scores)
    arguments = {name: value for name, value in model.configuration.items() if name != "constructor"}
    unit = sv.SketchRNN.lstm(**arguments | {"scale": 1.0})
    state = model.state()
    unit.load_state(state | {name: state[name] / state[name] for name in state if name.endswith("scale")})
    standardised = x / numpy.array([scale, scale, 1, 1, 1], dtype=numpy.float32)
    l_r = -sv.evaluate(unit, standardised)["reconstruction"] / n_points(x).max()
    assert float(line.split("L_R ")[1].split(",")[0]) == pytest.approx(l_r, abs=2e-3)


def test_samples_as_array_as_picture_and_as_drawing(run, tmp_path, capsys):
    for suffix in ("npy", "png", "svg"):
        assert main(["sample", str(run), "--n", "5", "--seed", "2", "--out", str(tmp_path / f"s.{suffix}")]) == 0
    x = numpy.load(tmp_path / "s.npy")
    assert x.shape[0] == 5 and x.shape[2] == 5 and numpy.array_equal(x, sv.load(run).sample(5, 2))
    assert len(sv.data.read_svg(tmp_path / "s.svg")) == 5
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    assert main(["sample", str(run / "last.npz"), "--n", "2", "--out", str(tmp_path / "t.svg")]) == 0


def test_a_decoder_alone_and_whole_numbers(data, tmp_path, capsys):
    sketches = sv.data.load(data)[0].sketches
    whole = numpy.concatenate([sketches[..., :2].round(), sketches[..., 2:]], axis=2)
    numpy.save(tmp_path / "whole.npy", whole)
    assert train(str(tmp_path / "whole.npy"), tmp_path / "run", "--latent", "0") == 0
    out = capsys.readouterr().out
    assert "x in whole numbers, dequantised" in out and "bits per sketch" in out and "L_KL" not in out
    assert "no picture latent" in out and "no picture interpolation" in out
    assert (tmp_path / "run" / "figures" / "completions.png").exists()


def test_what_does_not_fit_gets_a_sentence(data, tmp_path, capsys):
    for more, sentence in (
        (["--data", "drawn-digits"], "--model sketch: expected sketches, received images"),
        (["--model", "mlp"], "expected --encoder-size with --model sketch, received --model mlp"),
        (["--random-scale", "1"], "expected random_scale from 0 to below 1, received 1.0"),
        (["--hidden", "3"], "expected --hidden with --model mlp, m2, m1+m2, received --model sketch"),
        (["--kl-floor", "3", "--objective", "iwae"], "expected --kl-floor with --objective elbo"),
        (["--kl-floor", "10", "--objective", "iwae"], "expected --kl-floor with --objective elbo"),
        (["--kl-floor", "10", "--latent", "0"], "expected --kl-floor with at least one latent dimension"),
    ):
        assert train(data, tmp_path / "run", *more) == 2
        assert sentence in capsys.readouterr().err and not (tmp_path / "run").exists()
    assert main(["train", "--data", data, "--run-dir", str(tmp_path / "run")]) == 2
    assert "--model mlp: expected images, received sketches" in capsys.readouterr().err


def test_the_weighted_bound_needs_no_floor_named(data, tmp_path):
    assert train(data, tmp_path / "run", "--objective", "iwae", "--samples", "2", "--no-pictures") == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["kl_floor"] == 0.0


def test_help_names_the_defaults_of_sketches(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert (
        "sketch: SketchRNN, a VAE of drawings" in out
        and "default: 0.0; 10, or 0 without a latent space or for iwae, with --model sketch" in out
    )
