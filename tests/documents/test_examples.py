"""Each example leaves what it promises, and ends with one sentence where the user is mistaken."""

from __future__ import annotations

import json
import math
import runpy
import sys
from pathlib import Path

import numpy
import pytest

import scratchvae as sv

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: str) -> None:
    """The example as the shell runs it."""
    path = str(EXAMPLES / f"{name}.py")
    monkeypatch.setattr(sys, "argv", [path, *arguments])
    runpy.run_path(path, run_name="__main__")


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture(scope="module")
def few_digits() -> tuple[sv.data.Dataset, ...]:
    return sv.data.draw_digits(1300).cut(1000)


@pytest.fixture(autouse=True)
def drawn_once(monkeypatch, few_digits):
    """Fewer digits than --quick takes, not drawn anew for each example."""
    monkeypatch.setitem(sv.data.DATASETS, "drawn-digits", lambda data_dir, seed: few_digits)


def test_engine_graph(monkeypatch, tmp_path):
    run(monkeypatch, "engine_graph", "--quick", "--out", str(tmp_path / "figures"))
    assert names_in(tmp_path / "figures") == {"engine_graph.png"}


def test_mnist_manifold(monkeypatch, tmp_path):
    run(monkeypatch, "mnist_manifold", "--quick", "--out", str(tmp_path / "figures"))
    pictures = {"latent_scatter.png", "mnist_manifold.png", "reconstructions.png", "training_curves.png"}
    assert names_in(tmp_path / "figures") == pictures | {"mnist_manifold.npz"}


def test_latent_sizes(monkeypatch, tmp_path, capsys):
    run(monkeypatch, "latent_sizes", "--quick", "--out", str(tmp_path))
    pictures = {"latent_comparison.png", "latent_size_curve.png"}
    assert names_in(tmp_path) == pictures | {"latent-2.npz", "latent-5.npz", "results.json"}
    results = json.loads((tmp_path / "results.json").read_text())
    assert [row["latent_size"] for row in results] == [2, 5]
    table = capsys.readouterr().out.splitlines()[-2:]
    for row, line in zip(results, table, strict=True):
        assert row["log_likelihood"] > row["elbo"]
        assert f"{row['log_likelihood']:.2f}" in line


@pytest.mark.slow
def test_exact_posterior(monkeypatch, tmp_path):
    run(monkeypatch, "exact_posterior", "--quick", "--out", str(tmp_path))
    assert names_in(tmp_path) == {"exact_posterior.png", "exact_posterior.json", "elbo.npz", "iwae.npz"}
    for summary in json.loads((tmp_path / "exact_posterior.json").read_text()).values():
        assert summary["|log p(x) - ELBO - KL|"]["largest"] < 1e-6
        parts = summary["approximation"]["mean"] + summary["amortisation"]["mean"]
        assert parts == pytest.approx(summary["divergence"]["mean"], abs=1e-6)
        assert summary["approximation"]["smallest"] > 0 < summary["amortisation"]["smallest"]


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
@pytest.mark.slow
def test_sketches(monkeypatch, tmp_path, capsys):
    run(monkeypatch, "sketches", "--quick", "--out", str(tmp_path))
    pictures = {f"sketch_{name}.png" for name in ("reconstructions", "samples", "interpolations", "completions")}
    assert names_in(tmp_path) == pictures | {"sketch_reconstructions_no_floor.png", "samples.svg", "sketches.npz"}
    floor, none = capsys.readouterr().out.splitlines()[-2:]
    assert floor.startswith("a KL floor of 10 nats: ELBO ") and none.startswith("no floor: ELBO ")
    assert len(sv.data.read_svg(tmp_path / "samples.svg")) == 36
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, "sketches", "--quick", "--data", "drawn-digits", "--out", str(tmp_path))
    assert capsys.readouterr().err == "sketches: expected a data set of sketches, received drawn-digits\n"


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
@pytest.mark.slow
def test_molecules(monkeypatch, tmp_path, capsys):
    run(monkeypatch, "molecules", "--quick", "--out", str(tmp_path))
    pictures = {f"molecule_{name}.png" for name in ("samples", "interpolation", "neighbours", "latent", "properties")}
    assert names_in(tmp_path) == pictures | {"molecules.npz"}
    lines = capsys.readouterr().out.splitlines()
    weighted, collapsed = (line.split() for line in lines[1:3])
    assert weighted[0] == "0.45" and collapsed[0] == "1" and float(weighted[2]) > float(collapsed[2])  # nats of the KL
    predicted = {line[:24].strip(): float(line[24:34]) for line in lines[-3:]}
    assert predicted["ascended"] > max(predicted["decoded as they are"], predicted["prior"])
    for more, sentence in (
        (["--data", "drawn-digits"], "expected a data set of molecules, received drawn-digits"),
        (["--property", "QED"], "expected --property among logP, weight, rings, received QED"),
    ):
        with pytest.raises(SystemExit, match="2"):
            run(monkeypatch, "molecules", "--quick", *more, "--out", str(tmp_path))
        assert capsys.readouterr().err == f"molecules: {sentence}\n"


def test_gradient_variance(monkeypatch, tmp_path):
    run(monkeypatch, "gradient_variance", "--quick", "--out", str(tmp_path))
    assert names_in(tmp_path) == {"gradient_variance.png", "gradient_variance.json"}
    variance = json.loads((tmp_path / "gradient_variance.json").read_text())["variance"]
    assert variance["score function"][0] > 1000 * variance["reparameterised"][0]
    assert variance["score function"][-1] > variance["score function, baseline"][-1]


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> str:
    """The path of a file of a few drawn digits."""
    drawn, path = sv.data.draw_digits(8000, seed=0), tmp_path_factory.mktemp("data") / "digits.npz"
    parts = {"images": drawn.images[:6000], "labels": drawn.labels[:6000]}
    parts |= {"test_images": drawn.images[6000:], "test_labels": drawn.labels[6000:]}
    numpy.savez(path, **parts)
    return str(path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")  # after so few steps
def test_anomalies(monkeypatch, tmp_path, capsys):
    """Areas of both likelihoods, each set against each other one; by ranks as by counting all pairs, ties as halves."""
    run(monkeypatch, "anomalies", "--quick", "--out", str(tmp_path))
    assert names_in(tmp_path) == {"anomalies.png", "anomalies.json"}
    results = json.loads((tmp_path / "anomalies.json").read_text())
    assert len(results) == 12 and all(0 <= area <= 1 for row in results for area in row["auc"].values())
    assert len(capsys.readouterr().out.splitlines()) == 13
    example = runpy.run_path(str(EXAMPLES / "anomalies.py"))
    own, foreign = numpy.array([3.0, 1.0, 2.0]), numpy.array([2.0, 0.0])
    pairs = (own[:, None] > foreign) + 0.5 * (own[:, None] == foreign)
    assert example["auc"](own, foreign) == pytest.approx(pairs.mean()) and pairs.mean() == 0.75
    x = example["in_8_bits"](example["digits"](2, 0))
    p = sv.distributions.Bernoulli(numpy.log(x.clip(1e-7, 1 - 1e-7) / (1 - x.clip(1e-7, 1 - 1e-7))))
    numpy.testing.assert_allclose(example["best_bernoulli"](x), p.log_prob(x), atol=1e-2)
    black, noise = numpy.zeros((1, 1024)), numpy.random.default_rng(0).random((1, 1024))
    assert example["png_nats"](noise) > 1024 * 8 * math.log(2) > 8 * example["png_nats"](black)


def test_two_classifiers(monkeypatch, tmp_path, digits):
    """The learning curves cross: naive Bayes is the better one of few rows, and logistic regression of many."""
    run(monkeypatch, "two_classifiers", "--quick", "--data", digits, "--out", str(tmp_path))
    assert names_in(tmp_path) == {"two_classifiers.png", "two_classifiers.json"}
    results = json.loads((tmp_path / "two_classifiers.json").read_text())
    error = {name: dict(zip(results["sizes"], column, strict=True)) for name, column in results["errors"].items()}
    bayes, regression, barely_penalised = ({n: mean for n, (mean, _) in part.items()} for part in error.values())
    assert bayes[6] < regression[6] and bayes[10] < regression[10]
    assert bayes[100] < 0.9 * barely_penalised[100] and bayes[200] < 0.9 * barely_penalised[200]
    assert regression[1000] < 0.95 * bayes[1000] and barely_penalised[1000] < bayes[1000]


def test_pca_ppca(monkeypatch, tmp_path, capsys):
    run(monkeypatch, "pca_ppca", "--quick", "--out", str(tmp_path))
    assert names_in(tmp_path) == {"pca.png", "ppca.png"}
    lines = capsys.readouterr().out.splitlines()
    slide, cured = (float(line.split()[-2]) for line in lines[1:3])
    assert slide > 2 and cured == pytest.approx(1, abs=1e-3)
    last, before = (float(line.split()[-1]) for line in lines[:-3:-1])
    assert before / last == pytest.approx(100, rel=1e-3)  # it goes to zero with sigma^2


def test_dictionaries(monkeypatch, tmp_path, capsys, digits):
    run(monkeypatch, "dictionaries", "--quick", "--data", digits, "--out", str(tmp_path))
    assert names_in(tmp_path) == {"dictionaries.png"}
    errors = {line[:16].strip(): float(line.split()[-4]) for line in capsys.readouterr().out.splitlines()[-4:]}
    assert list(errors) == ["PCA", "ICA", "Factor analysis", "NMF"]
    assert errors["PCA"] == errors["ICA"] == min(errors.values())  # the same plane, other axes


def test_pca_and_vae(monkeypatch, tmp_path, digits):
    run(monkeypatch, "pca_and_vae", "--quick", "--data", digits, "--out", str(tmp_path))
    assert names_in(tmp_path) == {"pca_and_vae.png", "pca_and_vae.json"}
    results = json.loads((tmp_path / "pca_and_vae.json").read_text())
    assert results["squared_error"]["PCA"] == pytest.approx(results["squared_error"]["PPCA"], rel=0.02)
    assert results["elbo"]["Linear VAE"] <= results["log_px"]["Linear VAE"] < results["log_px"]["PPCA"]


@pytest.mark.slow
def test_faces(monkeypatch, tmp_path, recwarn):
    run(monkeypatch, "faces", "--quick", "--out", str(tmp_path))
    pictures = {"samples", "reconstructions", "perturbations", "interpolation", "training_curves"}
    assert names_in(tmp_path) == {f"{name}.png" for name in pictures} | {"faces.json", "faces.npz"}
    scores = json.loads((tmp_path / "faces.json").read_text())
    assert scores["elbo"] == pytest.approx(scores["reconstruction"] - scores["kl"], rel=1e-9)
    assert scores["bits_per_dimension"] == pytest.approx(8 - scores["elbo"] / (12288 * math.log(2)), rel=1e-9)
    assert {warning.category for warning in recwarn} <= {sv.PosteriorCollapseWarning}


@pytest.mark.slow
def test_street_digits(monkeypatch, tmp_path, recwarn):
    run(monkeypatch, "street_digits", "--quick", "--out", str(tmp_path))
    pictures = {f"{name}.png" for name in ("uncertainty", "samples", "interpolation")}
    assert names_in(tmp_path) == pictures | {"learned.npz", "decoder.npz", "results.json"}
    for scores in json.loads((tmp_path / "results.json").read_text()).values():
        assert scores["bits_per_dimension"] == pytest.approx(8 - scores["elbo"] / (3072 * math.log(2)), rel=1e-9)
    assert {warning.category for warning in recwarn} <= {sv.PosteriorCollapseWarning}


@pytest.mark.parametrize(
    ("data", "n_methods"), [("drawn-digits", 3), pytest.param("street-digits", 2, marks=pytest.mark.slow)]
)
def test_semi_supervised(data, n_methods, monkeypatch, tmp_path, capsys, recwarn):
    run(monkeypatch, "semi_supervised", "--quick", "--data", data, "--out", str(tmp_path))
    pictures = {"label_curve.png", "class_samples.png", "analogies.png"}
    assert names_in(tmp_path) == pictures | {"semi_supervised.json"}
    results = json.loads((tmp_path / "semi_supervised.json").read_text())
    methods = ("labelled digits alone", "M2", "M2, alpha = 0")[:n_methods]
    assert [(row["labels"], row["method"]) for row in results] == [(n, method) for n in (20, 50) for method in methods]
    out = capsys.readouterr().out
    for row in results:
        assert f"{row['error']:.2f} +- {row['half']:.2f}" in out
        assert row["error"] == pytest.approx(sum(row["all"]) / 2) and row["half"] >= 0


@pytest.mark.slow
def test_analogies(monkeypatch, tmp_path):
    run(monkeypatch, "analogies", "--quick", "--out", str(tmp_path))
    assert names_in(tmp_path) == {"analogies.png", "style_transfer.png", "analogies.json", "analogies.npz"}
    results = json.loads((tmp_path / "analogies.json").read_text())
    judge = results["judge on test images"]
    assert judge["classes"] > 0.8 and judge["R^2 of thickness"] > 0.8
    assert judge["R^2 of lean"] > judge["R^2 of slant"] > 0.5
    assert results["R^2 of source and drawn"].keys() == {"slant", "lean", "thickness"}


@pytest.mark.slow  # quadrature
def test_conditional_models(monkeypatch, tmp_path, recwarn):
    run(monkeypatch, "conditional_models", "--quick", "--out", str(tmp_path))
    pictures = {f"{name}.png" for name in ("conditional_models", "latent_classes", "posteriors_by_class")}
    assert names_in(tmp_path) == pictures | {"conditional_models.json"}
    results = json.loads((tmp_path / "conditional_models.json").read_text())
    for row in results["one or ten"]["bounds"].values():
        one, ten, narrow = (row[name]["parameters"] for name in row)
        assert 9 * one < ten < 10 * one and 0.9 * one < narrow < 1.1 * one
        assert all(scores["L(x, y)"][0] < scores["log p(x, y)"][0] for scores in row.values())
    assert [row["encoder"] for row in results["two encoders"]] == ["q(z | x, y)", "q(z | x)"]
    assert all(list(by_size) == ["2", "8"] for by_size in results["class found in z"].values())
    assert {warning.category for warning in recwarn} <= {sv.PosteriorCollapseWarning}


@pytest.fixture(scope="module")
def conditional_models() -> dict:
    return runpy.run_path(str(EXAMPLES / "conditional_models.py"))


def test_ten_vaes_as_one_model_have_the_bound_of_the_class(conditional_models, rng):
    """L(x, y) = L_y(x) + log p(y), log p(x, y) alike, for the same draws of z."""
    vaes = [sv.VAE.mlp(12, 3, (5,), seed=k).to(dtype=numpy.float64) for k in range(4)]
    model, noise = conditional_models["joined"](vaes, sv.nn.Linear(12, 4, sv.Noise(0))), sv.Noise(1)
    model.to(dtype=numpy.float64)
    x = rng.random((6, 12))
    with sv.no_grad():
        for k, vae in enumerate(vaes):
            y = numpy.full(6, k)
            expected = vae.elbo(x, noise, 5) - math.log(4)
            numpy.testing.assert_allclose(model.supervised(x, y, noise, 5), expected, rtol=1e-12)
            expected = vae.log_weights(x, noise, 5) - math.log(4)
            numpy.testing.assert_allclose(model.joint_log_weights(x, y, noise, 5), expected, rtol=1e-12)
            numpy.testing.assert_array_equal(model.analogies(x, y)[:, k], vae.decode(vae.encode(x).mean).mean)


def test_an_encoder_that_ignores_the_class_is_one_of_x_alone_and_stays_so(conditional_models, rng):
    model = sv.SemiSupervisedVAE.mlp(12, 4, 3, (5,))
    count, x, y = model.count(), rng.random((40, 12), dtype=numpy.float32), numpy.arange(40) % 4
    conditional_models["ignoring_class"](model)
    assert model.count() == count - 4 * 5
    sv.fit(model, x, epochs=2, labels=numpy.where(numpy.arange(40) < 20, y, -1), progress=False)
    numpy.testing.assert_array_equal(model.encode(x, y).mean, model.encode(x, (y + 1) % 4).mean)
    drawn = model.decode(model.encode(x, y).mean, y).mean
    assert abs(drawn - model.decode(model.encode(x, y).mean, (y + 1) % 4).mean).max() > 1e-4, "the decoder does not"


def test_slant_is_the_shear_of_a_bar(conditional_models):
    image = numpy.zeros((20, 40))
    for row in range(20):
        image[row, 30 - row : 34 - row] = 1  # one column to the left in each row below
    assert conditional_models["slant"](image) == pytest.approx(1)
    assert conditional_models["slant"](image[:, ::-1]) == pytest.approx(-1)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("conditional_models", ["--draws", "0"]),
        ("semi_supervised", ["--draws", "1"]),
        ("semi_supervised", ["--labels", "9"]),
        ("analogies", ["--labels", "3"]),
    ],
)
def test_a_number_that_cannot_be_ends_with_a_sentence_and_status_2(name, arguments, monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, name, "--quick", *arguments, "--out", str(tmp_path))
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


TAKING_DATA = (
    *("dictionaries", "exact_posterior", "faces", "latent_sizes", "mnist_manifold", "pca_and_vae", "semi_supervised"),
    *("street_digits", "two_classifiers"),
)


@pytest.mark.parametrize("name", TAKING_DATA)
def test_a_mistake_ends_with_a_sentence_and_status_2(name, monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, name, "--data", "nothing", "--out", str(tmp_path))
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert len(message.splitlines()) == 1 and "received 'nothing'" in message
