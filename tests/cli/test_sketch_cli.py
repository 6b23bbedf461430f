"""Sketches from the command line: trained, resumed, scored, sampled and drawn; what is refused."""

import inspect
import json

import numpy
import pytest

import scratchvae as sv
from scratchvae.cli import main
from scratchvae.distributions.sketch import n_points
from scratchvae.models import sketch_rnn

pytestmark = pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
SMALL = ["--encoder-size", "4", "--decoder-size", "5", "--mixtures", "2", "--latent", "3", "--batch-size", "16"]


@pytest.fixture(scope="module", autouse=True)
def short_fits_of_proposals():
    """Completions take their draws from a q(z) after 10 steps in place of 120."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sketch_rnn, "PROPOSAL_STEPS", 10)
        yield


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


def test_it_trains_and_leaves_its_pictures(run, data):
    names = {path.name for path in (run / "figures").iterdir()}
    pictures = {"latent", "reconstructions", "samples", "interpolation", "completions", "curves"}
    assert names == {f"{name}.png" for name in pictures}
    config = json.loads((run / "config.json").read_text())
    assert config["kl_floor"] == 10.0 and config["clip_norm"] == 10.0
    assert config["options"] | {"model": "sketch", "latent": 3, "encoder_size": 4} == config["options"]
    scale = sv.data.describe_sketches(sv.data.load(data)[0].sketches)["scale"]
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
    assert "importance samples per sketch" in out and "bits" not in out


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


def test_samples_at_a_temperature(run, tmp_path, capsys):
    for suffix in ("npy", "png", "svg"):
        out = ["--n", "4", "--temperature", "0.1", "--out", str(tmp_path / f"s.{suffix}")]
        assert main(["sample", str(run), *out]) == 0
    x = sv.load(run).sample(4, 0, 0.1)
    assert numpy.array_equal(numpy.load(tmp_path / "s.npy"), x)
    for drawn, lines in zip(sv.data.read_svg(tmp_path / "s.svg"), sv.data.to_lines(x), strict=True):
        points = numpy.concatenate(drawn)
        numpy.testing.assert_allclose(points - points[0], numpy.concatenate(lines), atol=1e-2)
    assert main(["sample", str(run), "--temperature", "0"]) == 2
    sv.save(sv.VAE.mlp(6, 2, (3,)), tmp_path / "mlp.npz")
    capsys.readouterr()
    for suffix in ("npy", "png"):
        arguments = ["--temperature", "1", "--out", str(tmp_path / f"t.{suffix}")]
        assert main(["sample", str(tmp_path / "mlp.npz"), *arguments]) == 2
        sentence = (
            "sample --temperature: expected a run with --model sketch, molecules, received a run with --model mlp"
        )
        assert sentence in capsys.readouterr().err and not (tmp_path / f"t.{suffix}").exists()


def test_a_drawing_that_has_begun_is_completed(run, data, tmp_path, capsys):
    model, x = sv.load(run), sv.data.load(data)[0].sketches[1]
    begun = numpy.concatenate([x[:5], [[0, 0, 0, 0, 1]]]).astype(numpy.float32)
    numpy.savez(tmp_path / "begun.npz", images=numpy.stack([begun, begun * [1.1, 1.1, 1, 1, 1]]))
    command = ["complete", str(run), str(tmp_path / "begun.npz"), "--n", "4", "--seed", "3"]
    for more in (["--out", "c.svg"], ["--row", "1", "--temperature", "0.9", "--out", "d.png"]):
        assert main([*command, *more[:-1], str(tmp_path / more[-1])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] != lines[2] and lines[1::2] == [str(tmp_path / name) for name in ("c.svg", "d.png")]
    x, facts = model.complete_points(begun[:5], 4, seed=3)
    assert lines[0].startswith(f"log p of the 5 points {facts['log_p']:.2f} nats, effective sample size ")
    assert lines[0].endswith(f"of 800 draws of z; the pen is lifted behind them with probability {facts['lifted']:.2f}")
    for drawn, lines in zip(sv.data.read_svg(tmp_path / "c.svg"), sv.data.to_lines(x), strict=True):
        points = numpy.concatenate(drawn)
        numpy.testing.assert_allclose(points - points[0], numpy.concatenate(lines), atol=1e-2)
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_completed_gets_a_sentence(run, data, tmp_path, capsys):
    x = sv.data.load(data)[0].sketches[:1]
    numpy.save(tmp_path / "large.npy", x * numpy.array([30, 30, 1, 1, 1], dtype=numpy.float32))
    numpy.save(tmp_path / "image.npy", numpy.full((2, 4, 4), 0.5))
    (tmp_path / "dot.svg").write_text('<svg><path d="M3 3"/></svg>')
    (tmp_path / "empty.svg").write_text("<svg></svg>")
    (tmp_path / "one.json").write_text("[[[3, 4]]]")
    sv.save(sv.VAE.mlp(6, 2, (3,)), tmp_path / "mlp.npz")
    for model, drawing, more, sentence in (
        (run, "large.npy", [], "expected offsets of about"),
        (run, "image.npy", [], "--model sketch: expected sketches, received images"),
        (run, "dot.svg", [], "expected "),
        (run, "empty.svg", [], "expected lines, received none"),
        (run, "one.json", [], "expected at least one sketch"),
        (run, "nothing.svg", [], "complete: expected the path of a file with a drawing, received "),
        (run, data, ["--row", "40"], "complete: expected --row below 40, the number of drawings, received 40"),
        (run, data, ["--n", "401"], "complete: expected --n of at most 400, received 401"),
        (run, data, ["--out", "c.txt"], "expected a suffix among"),
        (
            tmp_path / "mlp.npz",
            data,
            [],
            "complete: expected a run with --model sketch, received a run with --model mlp",
        ),
    ):
        out = [] if "--out" in more else ["--out", str(tmp_path / "c.svg")]
        assert main(["complete", str(model), str(tmp_path / drawing), *out, *more]) == 2, drawing
        captured = capsys.readouterr()
        assert sentence in captured.err and captured.err.count("\n") == 1 and not captured.out
        assert not (tmp_path / "c.svg").exists()


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
    numpy.save(tmp_path / "images.npy", numpy.full((20, 4, 4), 0.5))
    for more, sentence in (
        (["--data", str(tmp_path / "images.npy")], "--model sketch: expected sketches, received images"),
        (["--model", "mlp"], "expected --encoder-size with --model sketch, received --model mlp"),
        (["--random-scale", "1"], "expected random_scale from 0 to below 1, received 1.0"),
        (["--keep", "1.5"], "expected keep above 0, at most 1, received 1.5"),
        (["--kl-annealing", "1.5"], "expected a factor from 0 to 1, received 1.5"),
        (["--kl-annealing", "0.9", "--kl-warmup", "5"], "expected --kl-annealing or --kl-warmup, received both"),
        (["--hidden", "3"], "expected --hidden with --model mlp, m2, m1+m2, table, received --model sketch"),
        (["--kl-floor", "3", "--objective", "iwae"], "expected --kl-floor with --objective elbo"),
        (["--kl-floor", "10", "--objective", "iwae"], "expected --kl-floor with --objective elbo"),
        (["--kl-floor", "10", "--latent", "0"], "expected --kl-floor with at least one latent dimension"),
    ):
        assert train(data, tmp_path / "run", *more) == 2
        assert sentence in capsys.readouterr().err and not (tmp_path / "run").exists()
    assert main(["train", "--data", data, "--run-dir", str(tmp_path / "run")]) == 2
    assert "--model mlp: expected images, received sketches" in capsys.readouterr().err


def test_dropout_layer_norm_and_an_annealed_kl_weight(data, tmp_path, capsys):
    more = ["--layer-norm", "--keep", "0.8", "--drop-points", "0.1", "--kl-annealing", "0.9", "--no-pictures"]
    assert train(data, tmp_path / "run", *more) == 0
    config, model = json.loads((tmp_path / "run" / "config.json").read_text()), sv.load(tmp_path / "run")
    assert model.configuration | {"layer_norm": True, "keep": 0.8, "drop_points": 0.1} == model.configuration
    assert (
        model.decoder.lstm.keep == model.encoder.lstm.backwards.keep == 0.8 and model.encoder.lstm.forwards.layer_norm
    )
    assert "SaturatingSchedule(start=0.01, end=1.0, factor=0.9)" in json.dumps(config["kl_weight"])
    assert train(data, tmp_path / "whole", *more, "--epochs", "3") == 0
    assert main(["train", "--resume", str(tmp_path / "run"), "--epochs", "3", "--quiet", "--no-pictures"]) == 0
    for name, array in sv.load(tmp_path / "whole").state().items():
        assert array.tobytes() == sv.load(tmp_path / "run").state()[name].tobytes()
    assert train(data, tmp_path / "plain", "--no-pictures") == 0
    config = json.loads((tmp_path / "plain" / "config.json").read_text())
    assert "LinearSchedule(start=0.0, end=1.0, n_steps=500)" in json.dumps(config["kl_weight"])
    assert config["options"] | {"layer_norm": False, "keep": 1.0, "kl_annealing": None} == config["options"]
    for name in ("layer_norm", "keep", "kl_annealing"):  # a run from before there were these options
        del config["options"][name]
    (tmp_path / "plain" / "config.json").write_text(json.dumps(config))
    resume = ["train", "--resume", str(tmp_path / "plain"), "--epochs", "3", "--quiet", "--no-pictures"]
    assert main([*resume, "--layer-norm"]) == 2
    assert "expected --layer-norm False, as the run has" in capsys.readouterr().err
    assert main(resume) == 0


def test_a_drawn_set_has_as_many_rows_as_asked_for(tmp_path, monkeypatch, data, capsys):
    monkeypatch.setitem(sv.data.DRAWN, "drawn-sketches", (sv.data.draw_sketches, 40))
    more = ["--drawn", "60", "--validation", "test", "--no-pictures"]
    assert train("drawn-sketches", tmp_path / "run", *more) == 0
    assert "60 training rows, 4 for validation and test" in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    scores = sv.evaluate(sv.load(tmp_path / "run"), sv.data.load("drawn-sketches")[1].sketches)
    assert f"test: ELBO {scores['elbo']:.2f}" in capsys.readouterr().out
    resume = ["train", "--resume", str(tmp_path / "run"), "--epochs", "3", "--quiet", "--no-pictures"]
    assert main(resume) == 0 and main([*resume, "--drawn", "50"]) == 2
    assert train(data, tmp_path / "file", "--drawn", "9") == 2
    assert "load: expected drawn with one of drawn-digits, " in capsys.readouterr().err
    assert not (tmp_path / "file").exists()


def test_the_kinds_temperatures_are_those_of_the_model(capsys):
    for draw, temperature in ((sv.SketchRNN.sample, 0.4), (sv.SketchRNN.complete_points, 0.3)):
        assert inspect.signature(draw).parameters["temperature"].default == temperature
    for command, sentence in (
        ("sample", "--model sketch, molecules; default: 0.4 for sketch, 0 for molecules)"),
        ("complete", "closer they are to the most probable ones (default: 0.3)"),
    ):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert sentence in " ".join(capsys.readouterr().out.split())


def test_the_weighted_bound_needs_no_floor_named(data, tmp_path):
    assert train(data, tmp_path / "run", "--objective", "iwae", "--samples", "2", "--no-pictures") == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["kl_floor"] == 0.0


def test_help_names_the_defaults_of_sketches(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert (
        "sketch: SketchRNN, a VAE of drawings" in out
        and "default: 0.0; 10 (0 with --latent 0, --objective iwae or --free-bits) for --model sketch" in out
        and "default: 0; 500 (0 with --kl-annealing) for --model sketch" in out
    )
    own = out.split("only for --model sketch: ")[1]
    assert "--layer-norm normalise the gates and the memory cell of each LSTM --keep SHARE" in own
