"""`scratchvae train --model m2 --labels N`, and what evaluate, sample and plot make of its runs."""

import json
from pathlib import Path

import numpy
import pytest

import scratchvae as sv
from scratchvae import evaluation, plotting
from scratchvae.cli import main
from scratchvae.data import label_subset


@pytest.fixture(scope="module")
def digits():
    """200 drawn digits: the first 180 are trained on."""
    return sv.data.draw_digits(200, seed=3)


@pytest.fixture(scope="module")
def path(digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    numpy.savez(path, images=digits.images, labels=digits.labels)
    return str(path)


def train(path, directory, *more, model="m2"):
    options = ["--model", model, "--epochs", "2", "--run-dir", str(directory), "--quiet", "--latent", "3"]
    options += ["--split", "last", "--validation", "test"]
    options += ["--hidden", "16"] if model == "m2" else []
    return main(["train", "--data", str(path), *options, *more])


@pytest.fixture(scope="module")
def run(path, tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "run"
    assert train(path, directory, "--labels", "20", "--seed", "4") == 0
    return directory


def parameters(run):
    return {name: array.tobytes() for name, array in sv.load(run / "last.npz").state().items()}


def test_train_leaves_a_run_directory(run, digits):
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    kinds = ("latent", "reconstructions", "samples", "classes", "analogies", "curves")
    written = {".lock", "config.json", "metrics.jsonl", "labelled_rows.json", "last.npz", "best.npz"}
    assert files == written | {f"figures/{kind}.png" for kind in kinds}
    rows = json.loads((run / "labelled_rows.json").read_text())
    numpy.testing.assert_array_equal(rows, numpy.flatnonzero(label_subset(digits.labels[:180], 20, seed=4) >= 0))


def test_train_prints_labels_alpha_and_the_test_error(path, digits, tmp_path, capsys):
    assert train(path, tmp_path / "run", "--labels", "20", "--no-pictures") == 0
    out = capsys.readouterr().out
    assert "20 labels, drawn by seed 0; alpha = 0.9\n" in out and "q(y | x)     Categorical" in out
    model = sv.load(tmp_path / "run" / "last.npz")
    error = sv.classification_error(model, digits.images[180:], digits.labels[180:])
    assert f"test error {100 * error:.2f} +- " in out and "% of 20, by q(y | x)\n" in out
    assert train(path, tmp_path / "other", "--labels", "20", "--alpha", "3", "--no-pictures") == 0
    assert "alpha = 3\n" in capsys.readouterr().out
    assert parameters(tmp_path / "other") != parameters(tmp_path / "run")
    assert json.loads((tmp_path / "other" / "config.json").read_text())["alpha"] == 3


def test_evaluate_prints_the_test_error_of_both_classifiers(run, digits, tmp_path, capsys):
    """Each with the standard error of a share, sqrt(p (1 - p) / n), of labels that are right for each now and then."""
    model, x, n = sv.load(run), digits.images[180:], 20
    classes = [model.classify(model.rows(x)), evaluation.log_joint(model, x, 5, seed=3).argmax(axis=1)]
    labels = numpy.choose(numpy.arange(n) % 4, [*classes, classes[1], (classes[0] + classes[1] + 1) % 10])
    numpy.savez(tmp_path / "others.npz", images=x, labels=labels)
    options = ["--data", str(tmp_path / "others.npz"), "--importance-samples", "5", "--seed", "3"]
    assert main(["evaluate", str(run), *options]) == 0
    _, by_q, _, by_p = capsys.readouterr().out.splitlines()
    ways = ("q(y | x)", "p(y | x) from 5 importance samples of each class")
    for line, predicted, way in zip((by_q, by_p), classes, ways, strict=True):
        share = (predicted != labels).mean()
        assert 0 < share < 1
        spread = numpy.sqrt(share * (1 - share) / n)
        assert line == f"test error {100 * share:.2f} +- {100 * spread:.2f} % of 20, by {way}"


def test_sample_and_plot(run, tmp_path, capsys):
    assert main(["sample", str(run), "--n", "9", "--out", str(tmp_path / "s.npy")]) == 0
    assert numpy.load(tmp_path / "s.npy").shape == (9, 784)
    for kind in ("classes", "analogies"):
        assert main(["plot", kind, str(run), "--out", str(tmp_path / f"{kind}.png")]) == 0
        assert (tmp_path / f"{kind}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("unsaved")
def test_pictures_of_the_other_kind_are_refused_with_a_sentence(path, run, tmp_path, capsys):
    assert train(path, tmp_path / "flat", "--labels", "20", "--latent", "2") == 0
    assert "manifold" not in capsys.readouterr().out
    for kind in ("manifold", "traversal"):
        assert main(["plot", kind, str(tmp_path / "flat")]) == 2
        assert (
            f"of a SemiSupervisedVAE: latent, reconstructions, samples, curves, classes, analogies, received '{kind}'"
            in (capsys.readouterr().err)
        )
    options = ["--hidden", "16", "--epochs", "1", "--quiet", "--run-dir", str(tmp_path / "vae")]
    assert main(["train", "--data", path, *options]) == 0
    assert "classes" not in capsys.readouterr().out
    for kind in ("classes", "analogies"):
        assert main(["plot", kind, str(tmp_path / "vae")]) == 2
        assert "plot: expected one of the pictures of a VAE: latent, " in capsys.readouterr().err


@pytest.mark.slow
def test_resume_grows_the_epochs_to_the_same_bits(path, run, tmp_path):
    assert train(path, tmp_path / "short", "--labels", "20", "--seed", "4", "--epochs", "1", "--no-pictures") == 0
    assert main(["train", "--resume", str(tmp_path / "short"), "--epochs", "2", "--quiet", "--no-pictures"]) == 0
    assert parameters(tmp_path / "short") == parameters(run)


def test_no_label_outside_the_subset_reaches_a_parameter(digits, run, tmp_path):
    """False labels for all test images, and for all training images that come after the last one that was drawn."""
    labels, chosen = digits.labels.copy(), json.loads((run / "labelled_rows.json").read_text())
    order = sv.Noise(4).permutation("labelled rows", 180)
    late = order[max(numpy.flatnonzero(numpy.isin(order, chosen))) + 1 :]
    assert len(late) > 30
    labels[late], labels[180:] = (labels[late] + 3) % 10, (labels[180:] + 3) % 10
    numpy.savez(tmp_path / "false.npz", images=digits.images, labels=labels)
    assert train(tmp_path / "false.npz", tmp_path / "run", "--labels", "20", "--seed", "4", "--no-pictures") == 0
    assert json.loads((tmp_path / "run" / "labelled_rows.json").read_text()) == chosen
    assert parameters(tmp_path / "run") == parameters(run)


def test_a_convolutional_model(path, tmp_path, capsys):
    options = ["--channels", "4", "8", "--labels", "20", "--activation", "relu", "--no-pictures"]
    assert train(path, tmp_path / "run", *options, model="m2-conv") == 0
    assert "test error" in capsys.readouterr().out
    assert main(["plot", "analogies", str(tmp_path / "run")]) == 0


REFUSED = {
    "no labels": (["--model", "m2"], "train: expected --labels N with --model m2, received none"),
    "labels of a VAE": (
        ["--labels", "20"],
        "train: expected --labels with --model m2, m2-conv, m1+m2, received --model mlp",
    ),
    "alpha of a VAE": (
        ["--alpha", "2"],
        "train: expected --alpha with --model m2, m2-conv, m1+m2, received --model mlp",
    ),
    "channels": (["--model", "m2", "--labels", "20", "--channels", "4"], "--channels with --model conv, m2-conv"),
    "hidden": (["--model", "m2-conv", "--labels", "20", "--hidden", "4"], "--hidden with --model mlp, m2"),
    "fewer than classes": (["--model", "m2", "--labels", "9"], "at least one label for each of 10 classes, received 9"),
    "more than images": (["--model", "m2", "--labels", "1800"], "rows of class 0 for 1800 labels, received"),
    "negative alpha": (
        ["--model", "m2", "--labels", "20", "--alpha", "-1"],
        "--alpha: expected a number of at least 0",
    ),
    "iwae": (
        ["--model", "m2", "--labels", "20", "--objective", "iwae"],
        "expected --objective elbo with --model m2, received iwae",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_gives_one_sentence_and_status_2(name, path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options, sentence = REFUSED[name]
    assert main(["train", "--data", path, "--quiet", *options]) == 2
    error = capsys.readouterr().err
    assert error.startswith("scratchvae: ") and sentence in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({}, "a label for each image, received none (--data-labels names a file of labels, and an .npz"),
        ({"labels": numpy.zeros(200)}, "integers of shape (200,), a label for each image"),
        ({"labels": numpy.arange(200) // 100 - 1}, "classes from 0 on, received the label -1"),
        ({"labels": numpy.repeat([0, 1, 3], [90, 90, 20])}, "classes from 0 to 1, received classes from 3 to 3"),
        (
            {"labels": numpy.arange(200) % 2, "test_labels": numpy.arange(200) % 3 - 1},
            "0 to 1, received classes from -1 to 1",
        ),
        ({"labels": numpy.repeat([0, 2], [100, 100])}, "1 rows of class 1 for 3 labels, received 0"),
    ],
)
def test_labels_of_a_users_file(arrays, sentence, digits, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    held_out = {"test_images": digits.images} if "test_labels" in arrays else {}
    numpy.savez("digits.npz", images=digits.images, **held_out, **arrays)
    assert train("digits.npz", tmp_path / "run", "--labels", "3") == 2
    assert sentence in capsys.readouterr().err and not (tmp_path / "run").exists()


# ---- pictures


@pytest.fixture
def model():
    return sv.SemiSupervisedVAE.mlp(16, 3, 2, (8,))


def test_class_conditional_samples_stand_below_their_class(model):
    (axes,) = plotting.class_conditional(model, n=4, seed=2).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "2"]
    picture = axes.images[0].get_array()
    z = model.prior_draws(4, 2)
    for row, k in [(0, 0), (1, 2), (3, 1)]:
        expected = model.decode(z[row : row + 1], numpy.array([k])).mean.reshape(4, 4)
        numpy.testing.assert_allclose(picture[4 * row : 4 * row + 4, 4 * k : 4 * k + 4, ...].reshape(4, 4), expected)


def test_analogies_stand_beside_their_source(model, rng):
    x, y = rng.random((5, 4, 4, 1), dtype=numpy.float32), numpy.array([0, 1, 2, 0, 1])
    sources, transferred = plotting.analogies(model, x, y).axes
    numpy.testing.assert_array_equal(sources.images[0].get_array().reshape(20, 4), x.reshape(20, 4))
    picture = transferred.images[0].get_array().reshape(20, 12)
    numpy.testing.assert_allclose(picture[4:8, 8:], model.analogies(x, y)[1, 2].reshape(4, 4))


@pytest.mark.parametrize("draw", [plotting.class_conditional, lambda m, x: plotting.analogies(m, x, numpy.arange(3))])
def test_a_model_is_drawn_wherever_it_lies(draw, device, rng, tmp_path):
    model = sv.SemiSupervisedVAE.mlp(16, 3, 2, (8,)).to(device)
    x = rng.random((3, 4, 4, 1), dtype=numpy.float32)
    figure = draw(model) if draw is plotting.class_conditional else draw(model, x)
    plotting.save_figure(figure, tmp_path / "figure.png")


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_the_examples_on_the_page_run(digits, monkeypatch):
    parts = [sv.data.Dataset(digits.images[rows], digits.labels[rows]) for rows in (slice(150), slice(150, None))]
    monkeypatch.setitem(sv.data.DATASETS, "drawn-digits", lambda data_dir, seed: parts)
    page = (Path(__file__).parents[2] / "docs" / "semi_supervised.md").read_text()
    blocks = [block.split("```")[0].replace("100, seed", "50, seed") for block in page.split("```python\n")[1:]]
    trainings = [block for block in blocks if "model = " in block]
    for block, kind in zip(trainings, (sv.SemiSupervisedVAE, sv.StackedVAE), strict=True):
        names = {}
        exec(block.replace("labels=labels)", "labels=labels, epochs=1)"), names)
        assert type(names["model"]) is kind and names["model"].n_classes == 10
