"""Which rows, labels and shades each picture of a kind is given, and which options reach `fit`, sample and data."""

import json

import numpy
import pytest

import scratchvae as sv
from scratchvae import plotting
from scratchvae.cli import main
from scratchvae.data import Dataset
from scratchvae.kinds import KINDS, Subject
from scratchvae.latent_space import mean_difference
from scratchvae.plotting import Shades
from scratchvae.run_files import read_history


@pytest.fixture
def calls(monkeypatch):
    """What the functions of sv.plotting are called with, by their names; none of them draws."""
    made = {}
    for name in plotting.__all__:
        if not name[0].isupper() and name not in ("picture_path", "save_figure"):
            monkeypatch.setattr(plotting, name, lambda *x, name=name, **more: made.update({name: (x, more)}))
    monkeypatch.setattr(plotting, "save_figure", lambda figure, path: None)
    return made


@pytest.fixture
def parts(rng):
    """A training part as dark as 0 to 2, and a test part of other images with other labels."""
    return [
        Dataset(rng.random((n, 4, 4, 1), dtype=numpy.float32) * 2, numpy.arange(n) // k % 3)
        for n, k in ((30, 3), (14, 2))
    ]


def drawn(kind, model, parts, directory, calls):
    """What each picture of a kind calls."""
    made = {}
    for picture in KINDS[kind].pictures:
        calls.clear()
        subject = Subject(model, directory, lambda: parts)
        assert picture.is_possible(subject)
        picture.draw(subject)
        ((function, call),) = calls.items()
        made[picture.name] = (function, *call)
    return made


def assert_same(received, expected):
    """Equal in all they hold, arrays by their entries."""
    if isinstance(expected, (tuple, list)):
        assert len(received) == len(expected)
        for ours, theirs in zip(received, expected, strict=True):
            assert_same(ours, theirs)
    elif isinstance(expected, dict):
        assert received.keys() == expected.keys()
        assert_same([received[name] for name in expected], [*expected.values()])
    elif isinstance(expected, numpy.ndarray):
        numpy.testing.assert_allclose(received, expected, rtol=1e-6)
    else:
        assert received == expected


def test_the_pictures_of_a_vae_show_the_part_that_they_are_of(parts, tmp_path, calls):
    train, test = parts
    model = sv.VAE.mlp(16, 2, (8,), likelihood="gaussian")
    model.encoder.network.layers[-1].weight.data[:] *= 8  # points with arcs between them
    sv.fit(model, train.images, 1, run_dir=tmp_path, progress=False, learning_rate=1e-9)
    look = {"image_shape": (4, 4, 1), "shades": Shades.of(train.images)}
    z_train, z = model.encode(train.images).mean, model.encode(test.images).mean
    directions = {str(k): mean_difference(z_train, train.labels == k) for k in range(3)}
    has_arc = sv.latent_space.has_arc(z[0::2], z[1::2])
    made = drawn("mlp", model, parts, tmp_path, calls)
    assert made.keys() == {picture.name for picture in KINDS["mlp"].pictures}
    expected = {
        "latent": ("latent_scatter", (model, test.images, test.labels), {}),
        "reconstructions": ("reconstructions", (model, test.images), look),
        "samples": ("samples", (model,), look),
        "curves": ("training_curves", (read_history(tmp_path),), {}),
        "manifold": ("decoder_manifold", (model,), look),
        "traversal": ("attribute_traversal", (model, z[0], directions), look),
        "interpolation": ("interpolation", (model, z[0::2][has_arc][:3], z[1::2][has_arc][:3]), look),
        "sweep": ("unit_sweep", (model, z[0], numpy.argsort(-z.var(axis=0)).tolist()), look),
    }
    for name, call in expected.items():
        assert_same(made[name], call)


def test_the_pictures_of_a_model_with_classes_show_the_test_part(parts, tmp_path, calls):
    _, test = parts
    model = sv.SemiSupervisedVAE.mlp(16, 3, 2, (8,), likelihood="gaussian")
    sv.fit(model, parts[0].images, 1, run_dir=tmp_path, progress=False, learning_rate=1e-9)
    look = {"image_shape": (4, 4, 1), "shades": Shades.of(parts[0].images)}
    made = drawn("m2", model, parts, tmp_path, calls)
    assert_same(made["classes"], ("class_conditional", (model,), look))
    assert_same(made["analogies"], ("analogies", (model, test.images[:10], test.labels[:10]), look))
    assert_same(made["latent"], ("latent_scatter", (model, test.images, test.labels), {}))


@pytest.fixture
def path(parts, tmp_path):
    arrays = {"images": parts[0].images / 2, "labels": parts[0].labels}
    numpy.savez(tmp_path / "data.npz", **arrays, test_images=parts[1].images / 2, test_labels=parts[1].labels)
    return str(tmp_path / "data.npz")


OPTIONS = {
    "batch_size": "8",
    "learning_rate": "0.01",
    "kl_weight": "0.5",
    "kl_warmup": "7",
    "samples": "3",
    "clip_norm": "2",
    "seed": "5",
}
REACHED = {
    "batch_size": 8,
    "learning_rate": 0.01,
    "kl_weight": "LinearSchedule(start=0.0, end=0.5, n_steps=7)",
    "n_samples": 3,
    "clip_norm": 2.0,
    "seed": 5,
}


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
@pytest.mark.parametrize("kind", ["mlp", "m2", "m1+m2"])
def test_each_option_reaches_fit(kind, path, tmp_path):
    flags = [text for name, value in OPTIONS.items() for text in (f"--{name.replace('_', '-')}", value)]
    flags += ["--objective", "iwae"] if kind == "mlp" else ["--labels", "9"]
    common = ["--model", kind, "--data", path, "--epochs", "2", "--quiet", "--no-pictures", "--hidden", "8", "4"]
    assert main(["train", *common, "--run-dir", str(tmp_path / "run"), *flags]) == 0
    configuration = json.loads((tmp_path / "run" / "config.json").read_text())
    expected = REACHED | {"objective": "iwae" if kind == "mlp" else "elbo"}
    if kind == "m1+m2":
        m1 = json.loads((tmp_path / "run" / "m1" / "config.json").read_text())
        assert {name: m1[name] for name in expected} == expected and m1["epochs"] == 2
        expected["kl_weight"] = 0.5
    else:
        assert configuration["model"]["hidden"] == [8, 4]
    assert {name: configuration[name] for name in expected} == expected


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_m1_has_epochs_of_its_own(path, tmp_path):
    options = ["--model", "m1+m2", "--labels", "9", "--epochs", "3", "--m1-epochs", "2", "--quiet", "--no-pictures"]
    assert main(["train", "--data", path, "--run-dir", str(tmp_path / "run"), "--hidden", "8", *options]) == 0
    assert len(read_history(tmp_path / "run" / "m1")["epoch"]) == 2
    assert len(read_history(tmp_path / "run")["epoch"]) == 3


def test_sample_takes_the_seed(tmp_path, calls):
    model = sv.VAE.mlp(16, 2, (8,))
    sv.save(model, tmp_path / "model.npz")
    options = [str(tmp_path / "model.npz"), "--n", "4", "--seed", "3", "--out"]
    assert (
        main(["sample", *options, str(tmp_path / "s.npy")]) == main(["sample", *options, str(tmp_path / "s.png")]) == 0
    )
    numpy.testing.assert_array_equal(numpy.load(tmp_path / "s.npy"), model.sample(4, 3))
    (_, *others), _ = calls["samples"]
    assert others[:2] == [4, 3]


def test_data_draws_the_first_hundred_training_images(path, tmp_path, calls):
    assert main(["data", path, "--out", str(tmp_path / "grid.png")]) == 0
    (images,), more = calls["images"]
    numpy.testing.assert_array_equal(images, numpy.load(path)["images"])
    assert more == {"shades": Shades.of(images)}


def test_pictures_of_a_run_are_of_its_test_part(path, tmp_path, calls):
    options = ["--data", path, "--epochs", "1", "--quiet", "--hidden", "8", "--run-dir", str(tmp_path / "run")]
    assert main(["train", *options]) == 0
    expected = numpy.load(path)["test_images"]
    for command in (None, ["plot", "reconstructions", str(tmp_path / "run")]):
        assert command is None or main(command) == 0
        (_, images), _ = calls.pop("reconstructions")
        numpy.testing.assert_array_equal(images, expected)
