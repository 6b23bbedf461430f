"""What docs/tables.md and docs/missing_data.md show runs, and their figures are those of the benchmark."""

import json
import re
from pathlib import Path

import numpy
import pytest

from benchmarks import imputation

ROOT = Path(__file__).parents[2]
TEXT = "".join((ROOT / "docs" / name).read_text() for name in ("tables.md", "missing_data.md"))
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_the_pages_examples_run(block):
    names = {}
    exec(re.sub(r"epochs=\d+", "epochs=1, progress=False", block).replace("n_samples=200", "n_samples=10"), names)
    filled, frame = names["filled"], names.get("frame")
    if frame:
        assert names["model"].table(filled)["city"].tolist() == frame["city"].tolist()
        assert numpy.isfinite(filled).all() and filled.shape == (400, 3)
    else:
        assert filled.shape == (10, 28, 28, 1) and names["drawn"].shape == (5, 10, 28, 28, 1)


def test_the_figures_are_the_benchmarks():
    results = json.loads((ROOT / "benchmarks" / "results" / "imputation.json").read_text())
    for part in ("table", "digits"):
        for figures in results[part].values():
            if isinstance(figures, dict):
                assert f"{figures['error']:.3f} ± {figures['standard_error']:.3f}" in TEXT
        others = [figures["error"] for way, figures in results[part].items() if way.startswith(("PPCA", "column"))]
        assert len(others) == 2 and results[part]["VAE"]["error"] < min(others)


# ---- the benchmark's own parts


def test_ppca_of_known_entries_is_ppca_where_all_are_known():
    x = imputation.bent_table(300)[0]
    found, exact = imputation.PPCAOfKnown(x, 3, steps=200), imputation.sv.linear.PPCA(3).fit(x)
    numpy.testing.assert_allclose(found.weight @ found.weight.T, exact.weight_ @ exact.weight_.T, atol=1e-3)
    assert found.variance == pytest.approx(exact.noise_variance_, rel=1e-3)


def test_ppca_of_known_entries_finds_the_model_that_drew_them():
    """And its likelihood of the known entries is above that of PPCA of means filled in."""
    rng = numpy.random.default_rng(0)
    weight = rng.standard_normal((6, 2))
    whole = rng.standard_normal((4000, 2)) @ weight.T + 0.3 * rng.standard_normal((4000, 6)) + numpy.arange(6)
    x = imputation.hide(whole, 0.3, seed=1)
    found = imputation.PPCAOfKnown(x, 2, steps=100)
    numpy.testing.assert_allclose(found.weight @ found.weight.T, weight @ weight.T, atol=0.25)
    assert found.variance == pytest.approx(0.09, rel=0.1) and abs(found.mean - numpy.arange(6)).max() < 0.1
    best = imputation.errors(found.impute(x), whole, x)["error"]
    assert best < 0.6 * imputation.errors(imputation.column_means(x, x), whole, x)["error"]


def test_errors_are_of_hidden_entries_alone():
    whole, test = numpy.zeros((3, 2)), numpy.array([[numpy.nan, 1.0], [1.0, numpy.nan], [numpy.nan, numpy.nan]])
    filled = numpy.array([[2.0, 9.0], [9.0, 2.0], [2.0, 2.0]])
    assert imputation.errors(filled, whole, test) == {"error": 2.0, "standard_error": 0.0}


@pytest.mark.slow
def test_the_benchmark_writes_its_figures(tmp_path, capsys):
    out = tmp_path / "imputation.json"
    imputation.main(["--quick", "--out", str(out)])
    results = json.loads(out.read_text())
    assert set(results) == {"table", "digits"} and results["table"]["rows"] == [320, 80]
    assert 0 < results["table"]["VAE"]["accuracy"] <= 1 and json.loads(capsys.readouterr().out) == results
