"""The code of every page runs, from its first block to its last, and prints what the page says that it prints."""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

import scratchvae as sv

ROOT = Path(__file__).parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if "generated" not in path.parts
}
BLOCK = re.compile(r"^```python\n(.*?)^```(?:\n\n```text\n(.*?)^```)?", re.M | re.S)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
ELSEWHERE = {"README.md", "docs/use.md", "docs/missing_data.md"}
"""Pages that another test runs: with shorter trainings, or with a check of its own."""

SNIPPETS = {f"docs/coming_from/{name}.md" for name in ("estimators", "training", "data", "files")}
"""Pages whose blocks stand each for itself; test_docs.py runs them."""

SHORTER = {
    "docs/anomalies.md": [],
    "docs/semi_supervised.md": [
        ("labels=labels)", "labels=labels, epochs=1)"),
        (", alpha=10", ", epochs=1, alpha=10"),
        ("fit(m1, train.images)", "fit(m1, train.images, epochs=1)"),
    ],
    "docs/divergences.md": [],
}
"""What a test writes in place of trainings of minutes."""

QUICK = {
    "docs/learn/1_by_hand.md",
    "docs/learn/2_engine.md",
    "docs/learn/4_distributions.md",
    "docs/resume.md",
    "docs/export.md",
    "docs/gpu.md",
    "docs/many_processes.md",
    "docs/divergences.md",
}
"""Pages of a fraction of a second; the others train a model, and are slow tests."""

RUN_HERE = [name for name, path in PAGES.items() if BLOCK.search(path.read_text()) and name not in ELSEWHERE | SNIPPETS]


def printed(block, names):
    """What a block of code prints."""
    with redirect_stdout(StringIO()) as out:
        exec(block, names)
    return out.getvalue()


def same(received, expected):
    """Whether two texts are equal, numbers to 2 %, which other processors and libraries may differ by."""
    if NUMBER.sub("#", received) != NUMBER.sub("#", expected):
        return False
    pairs = zip(NUMBER.findall(received), NUMBER.findall(expected), strict=True)
    return all(float(a) == pytest.approx(float(b), rel=0.02) for a, b in pairs)


@pytest.fixture
def few_rows(monkeypatch):
    """2,500 drawn digits in place of 22,000."""
    digits = sv.data.draw_digits(2500).cut(2200)
    monkeypatch.setitem(sv.data.DATASETS, "drawn-digits", lambda data_dir, seed: digits)


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")  # after few epochs
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in RUN_HERE]
)
def test_the_code_of_a_page_runs_and_prints_what_the_page_shows(name, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    text, names = PAGES[name].read_text(), {"__name__": "page"}
    if name in SHORTER:
        request.getfixturevalue("few_rows")
        for long, short in SHORTER[name]:
            text = text.replace(long, short)
    if "import torch" in text:
        pytest.importorskip("torch")
    for block, expected in BLOCK.findall(text):
        received = printed(block, names)
        assert not expected or same(received, expected), received


def test_what_is_printed_is_compared_to_two_percent():
    assert same("ELBO -101.0 nats", "ELBO -100.0 nats") and same("(2, 3)", "(2, 3)")
    assert not same("ELBO -103.0 nats", "ELBO -100.0 nats") and not same("KL 1", "ELBO 1") and not same("1 2", "1")


def test_every_page_with_code_is_run_somewhere():
    """By this file, or by one that names the page or its folder."""
    others = "".join(
        (ROOT / "tests" / "documents" / name).read_text() for name in ("test_docs.py", "test_tables_page.py")
    )
    assert {name for name, path in PAGES.items() if BLOCK.search(path.read_text())} == {
        *RUN_HERE
    } | ELSEWHERE | SNIPPETS
    for name in ELSEWHERE | SNIPPETS:
        assert Path(name).name in others or Path(name).parent.name in others, name


def test_no_printed_text_is_empty():
    for name, path in PAGES.items():
        assert "```text\n```" not in path.read_text(), name
