"""The shell blocks of the pages run, on less data and for fewer epochs than they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
FEW = "--drawn 200 --epochs"
SHORTER = {
    "README.md": [("scratchvae train\n", f"scratchvae train {FEW} 1 --quiet\n")],
    "docs/tables.md": [("scratchvae train", "scratchvae train --epochs 2 --quiet")],
    "docs/images.md": [("scratchvae train", "scratchvae train --epochs 1 --quiet")],
    "docs/sweep.md": [("--epochs 10", f"{FEW} 1")],
    "docs/resume.md": [
        ("--data mnist --epochs 100", f"--data drawn-digits {FEW} 1 --quiet --no-pictures"),
        ("runs/mnist-1 --epochs 200", "runs/mnist-1 --epochs 2 --quiet --no-pictures"),
        ("mnist-1", "drawn-digits-1"),
    ],
    "docs/export.md": [("scratchvae export", f"scratchvae train {FEW} 1 --quiet --no-pictures\nscratchvae export")],
}
"""What the test writes in place of trainings of minutes and of downloads."""

ELSEWHERE = {
    "docs/index.md": "the block of README.md",
    "docs/many_processes.md": "tests/training/test_ranks.py starts several ranks",
    "CONTRIBUTING.md": "the whole suite, which .ci/run runs",
}


def blocks():
    """The first shell block of every page that has one; the README's second one runs the suite."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found = {
        page.relative_to(ROOT).as_posix(): re.search(r"^```sh\n(.*?)^```", page.read_text(), re.M | re.S)
        for page in pages
    }
    return {name: block[1] for name, block in found.items() if block and "generated" not in name}


def files(folder):
    """What the blocks read: a table, and a folder of images."""
    rng = numpy.random.default_rng(0)
    names = numpy.array(["adelie", "gentoo"])
    lines = ["species,bill,mass"]
    for k in rng.integers(2, size=60):
        bill = "" if rng.random() < 0.1 else f"{rng.normal(39 + 8 * k, 2):.1f}"
        lines.append(f"{names[k]},{bill},{rng.normal(3700 + 1300 * k, 300):.0f}")
    (folder / "penguins.csv").write_text("\n".join(lines))
    for name in names:
        (folder / "pictures" / name).mkdir(parents=True)
        for i in range(12):
            Image.fromarray(rng.integers(256, size=(40, 36, 3), dtype=numpy.uint8)).save(
                folder / "pictures" / name / f"{i}.png"
            )


def run(block, folder):
    """Runs a block in bash with this checkout's scratchvae, without its lines that install something."""
    (folder / "bin").mkdir()
    command = folder / "bin" / "scratchvae"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m scratchvae "$@"\n')
    command.chmod(0o755)
    paths = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    block = "".join(line for line in block.splitlines(keepends=True) if not line.startswith("pip "))
    options = {"cwd": folder, "env": os.environ | paths, "capture_output": True, "text": True, "timeout": 300}
    ended = subprocess.run(["bash", "-euo", "pipefail", "-c", block], **options)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORTER)
def test_the_shell_block_of_a_page_runs(name, tmp_path):
    if name == "docs/export.md":
        pytest.importorskip("safetensors")
    files(tmp_path)
    block = blocks()[name]
    for long, short in SHORTER[name]:
        assert long in block
        block = block.replace(long, short)
    printed = run(block, tmp_path)
    if name == "README.md":
        shown = re.search(r"^```text\n(.*?)^```", (ROOT / name).read_text(), re.M | re.S)[1].splitlines()
        same = [line for line in shown if line.startswith(("VAE", "  ", "runs/"))]  # no figure depends on the data
        assert len(same) == 12 and not [line for line in same if line not in printed.splitlines()]
    if name == "docs/tables.md":
        filled = (tmp_path / "filled.csv").read_text().splitlines()
        assert len(filled) == 61 and not [line for line in filled if ",," in line]


def test_every_page_with_a_shell_block_is_run_somewhere():
    assert blocks().keys() == SHORTER.keys() | ELSEWHERE.keys()
