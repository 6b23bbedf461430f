"""The study of street digits in colour: its linear optimum is PPCA's, and the page shows what was measured."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest

import scratchvae as sv
from scratchvae.errors import InputError

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks import colour
from benchmarks.jobs import Results

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tiny(monkeypatch, rng):
    """300 images of 2 x 2 pixels, most of whose variance is grey, and their rows."""
    for name, value in {"N": 300, "SIDE": 2}.items():
        monkeypatch.setattr(colour, name, value)
    images = 0.5 + 0.2 * rng.normal(size=(300, 2, 2, 1)) + 0.03 * rng.normal(size=(300, 2, 2, 3))
    return images.astype("f")


def prepared(images, whitening):
    return colour.Prepared(images, colour.COMMON | {"whitening": whitening})


def test_the_linear_optimum_is_ppca(tiny):
    found, rows = colour.linear(tiny, prepared(tiny, 0.0), 3), tiny.reshape(300, 12).astype(float)
    ppca = sv.linear.PPCA(3).fit(rows)
    assert found["log_px"] == pytest.approx(ppca.score(rows), rel=1e-9)
    assert found["sigma"] ** 2 == pytest.approx(ppca.noise_variance_, rel=1e-9)


def test_whitened_densities_are_of_the_same_images(tiny):
    """With all units but one the optimum is the Gaussian with the rows' covariance, which no linear map changes."""
    data = prepared(tiny, 1.0)
    numpy.testing.assert_allclose(data.x.reshape(-1, 3).T @ data.x.reshape(-1, 3) / 1200, numpy.eye(3), atol=0.1)
    numpy.testing.assert_allclose(data.back(data.x), tiny, atol=1e-5)
    log_px = [colour.linear(tiny, prepared(tiny, w), 11)["log_px"] for w in (0.0, 0.5, 1.0)]
    assert abs(data.log_volume) > 1
    numpy.testing.assert_allclose(log_px, log_px[0], rtol=1e-5)
    few = [colour.linear(tiny, prepared(tiny, w), 2) for w in (0.0, 1.0)]
    assert few[1]["explained_chroma"] > few[0]["explained_chroma"]


def test_a_network_of_images_sees_the_images(tiny):
    data = prepared(tiny, 1.0)
    network = sv.nn.ConvolutionalNetwork((2, 2, 3), (4,), 10, sv.Noise(0))
    with sv.no_grad():
        received, expected = colour.SeesImages(network, data)(data.x), network(tiny)
        assert abs(network(data.x) - expected).max() > 0.1
    numpy.testing.assert_allclose(received, expected, atol=1e-5)


def test_the_picture_shows_images_in_red_green_and_blue(tiny, monkeypatch):
    """A model that reconstructs its data exactly gives the images back, whitened or not."""
    monkeypatch.setattr(colour, "N", 290)
    model = SimpleNamespace(reconstruct=lambda x: x, sample=lambda n, seed: numpy.zeros((n, 2, 2, 3), "f"))
    monkeypatch.setattr(colour, "trained", lambda *arguments: model)
    figure = colour.picture(["M2", "M2, whitened"], 0, tiny, numpy.zeros(300, int), n=10)
    top, *others = [axes.images[0].get_array() for axes in figure.axes]
    for shown in others:
        numpy.testing.assert_allclose(shown[: len(top)], top, atol=1e-5)


def test_a_figure_is_refused_for_rows_without_images(tmp_path):
    with pytest.raises(InputError, match="expected a figure of rows that draw images, received also linear, M2, PCA"):
        colour.main(["--rows", "linear", "M2", "M2, PCA", "--figure", str(tmp_path / "colours.png")])


def test_distance_from_grey():
    assert colour.from_grey(numpy.array([[[[0.1, 0.2, 0.6]]]])) == pytest.approx((0.2 + 0.1 + 0.3) / 3)


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_every_kind_of_row_is_trained_and_kept(monkeypatch, tmp_path, capsys):
    for name, value in {"N": 120, "HELD_OUT": 40, "LABELS": 50, "SCORED": 10}.items():
        monkeypatch.setattr(colour, name, value)
    rows = ["linear", "VAE", "labelled, whitened", "M2", "M2, whitened, classifier of images", "M1+M2, whitened"]
    for name in rows:
        monkeypatch.setitem(colour.ROWS, name, colour.ROWS[name] | {"epochs": 1})
    monkeypatch.setitem(colour.ROWS, "M2, PCA", colour.ROWS["M2, PCA"] | {"epochs": 1, "components": 5})
    colour.main(["--rows", *rows, "M2, PCA", "--out", str(tmp_path / "colour.json")])
    results = json.loads((tmp_path / "colour.json").read_text())
    assert [result["row"] for result in results] == [*rows, "M2, PCA"]
    assert all(0 <= value <= 100 for result in results for key, value in result.items() if key.startswith("error"))
    assert all(f"| {name} |" in capsys.readouterr().out for name in rows[:1])


def test_a_result_of_other_settings_or_images_is_measured_anew_and_not_shown(monkeypatch, tmp_path):
    results = Results(tmp_path / "colour.json")

    def measured(error):
        results.measure(colour.job("M2", 0), lambda: {"error": error})
        return colour.table(results.all())[2:]

    assert measured(1.0) == measured(2.0) and "| M2 | 1.00 |" in measured(2.0)[0]
    monkeypatch.setitem(colour.ROWS, "M2", {"kind": "m2", "latent_size": 4})
    assert len(measured(3.0)) == 1 and "| M2 | 3.00 |" in measured(4.0)[0]
    monkeypatch.setattr(colour, "N", 4000)
    assert len(measured(5.0)) == 1 and "| M2 | 5.00 |" in measured(6.0)[0]
    assert len(results.all()) == 3


def test_the_page_shows_what_was_measured():
    results = json.loads((ROOT / "benchmarks" / "results" / "colour.json").read_text())
    assert "\n".join(colour.table(results)) in (ROOT / "docs" / "semi_supervised.md").read_text()
