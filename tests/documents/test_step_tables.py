"""docs/results.md repeats what `python -m benchmarks step` measured, as benchmarks/results keeps it."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMES = {
    "mlp": "VAE, 784-400-20, batch 128",
    "mlp-large": "VAE, 784-512-512-50, batch 512",
    "importance-weighted": "importance-weighted, k = 50, batch 100",
    "semi-supervised": "M2, 100 + 100 rows",
    "convolutional": "convolutional, 64 x 64 x 3, batch 64",
    "sketch": "SketchRNN, drawn digits, batch 100",
    "molecules": "MoleculeVAE, K = 56, batch 128",
}


def kept(name):
    return json.loads((ROOT / "benchmarks" / "results" / name).read_text())


def row(result):
    """One line of the table of whole steps."""
    peers = result["peers"]
    ours, torch = peers["scratchvae"], peers["torch"]
    others = [f"{ours['milliseconds'] / peers[name]['milliseconds']:.2f}" if name in peers else "" for name in ALSO]
    numbers = [
        f"{ours['milliseconds']:.1f}",
        f"{torch['milliseconds']:.1f}",
        f"{ours['ratio']:.2f}",
        *others,
        f"{ours['peak bytes'] / 2**20:.0f} / {torch['peak bytes'] / 2**20:.0f}",
        f"{ours['first step, seconds']:.2f} / {torch['first step, seconds']:.2f}",
    ]
    busy = ", on a busy machine" if result["busy"] else ""
    return f"| {NAMES[result['case']]}{busy} | {result['threads']} | {' | '.join(numbers)} |"


ALSO = ("torch-compile", "jax")


@pytest.mark.parametrize("name", ["step.json", "step_with_kernels.json"])
def test_the_table_of_whole_steps_is_what_was_measured(name):
    lines = (ROOT / "docs" / "results.md").read_text().splitlines()
    results = [result for result in kept(name) if result["case"] in NAMES]
    assert len(results) == {"step.json": 14, "step_with_kernels.json": 4}[name]
    for result in results:
        assert row(result) in lines


def test_the_overhead_of_the_engine_is_what_was_measured():
    text = (ROOT / "docs" / "results.md").read_text()
    ratios = {r["case"]: r["peers"]["scratchvae"]["ratio"] for r in kept("step.json") if r["peers"].get("scratchvae")}
    for case, ratio in ratios.items():
        if case.startswith("op:"):
            assert f"{case.removeprefix('op:')} {ratio:.2f}" in text, case
    assert f"{ratios['engine']:.2f} of the same kernels called by hand" in text


def test_the_table_of_linear_models_is_what_was_measured():
    lines = (ROOT / "docs" / "results.md").read_text().splitlines()
    ratios = {r["case"]: r["peers"]["scratchvae"]["ratio"] for r in kept("step.json") if r["reference"] == "sklearn"}
    names = {"pca": "PCA", "ppca": "PPCA", "bayes": "Gaussian naive Bayes", "logistic": "logistic regression"}
    for case, name in names.items():
        row = " | ".join(f"{ratios[f'{case}:{data}']:.2f}" for data in ("digits", "wine", "breast_cancer"))
        assert any(line.startswith(f"| {name} | {row} | ") for line in lines), name


def test_the_table_of_convolutions_is_what_was_measured():
    text = (ROOT / "docs" / "results.md").read_text()
    peers = {r["case"]: r["peers"] for r in kept("step.json") if r["case"].startswith("conv2d:")}
    times = [
        [peers[f"conv2d:{size}"][name]["milliseconds"] for name in ("scratchvae", "torch", "torch-channels-last")]
        for size in (64, 32, 16, 8)
    ]
    for ours, torch, last in [*times, [sum(column) for column in zip(*times, strict=True)]]:
        assert f" | {ours:.1f} | {torch:.1f} | {ours / torch:.2f} | {last:.1f} | {ours / last:.2f} |" in text
