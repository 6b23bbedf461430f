"""What the documents say is there, and what they show runs."""

import doctest
import functools
import re
from pathlib import Path

import numpy
import pytest

import scratchvae as sv

ROOT = Path(__file__).parents[2]
PAGES = [path for path in sorted((ROOT / "docs").rglob("*.md")) if "generated" not in path.parts]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]


SHOWN = DOCUMENTS[0].read_text() + (ROOT / "docs" / "use.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", SHOWN, re.M | re.S)


@pytest.fixture
def few_rows(monkeypatch):
    """3,000 digits and 2,000 sketches to train with in place of 20,000."""
    for name, draw, n in (("drawn-digits", sv.data.draw_digits, 3000), ("drawn-sketches", sv.data.draw_sketches, 2000)):
        monkeypatch.setitem(sv.data.DATASETS, name, lambda data_dir, seed, draw=draw, n=n: draw(n + 300, seed).cut(n))


@pytest.mark.usefixtures("few_rows")
@pytest.mark.parametrize("block", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_of_the_readme_and_of_the_page_on_use_run(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(block.replace("epochs=10", "epochs=1, progress=False").replace("molecules(2000)", "molecules(300)"), names)
    model, test = names["model"], names.get("test")
    if "drawings" in names:
        assert (tmp_path / "drawings.svg").is_file()
        numpy.testing.assert_allclose(names["drawings"][:, :5], names["x"][[0] * 9, :5], rtol=1e-5, atol=1e-5)
    elif "strings" in names:
        assert names["strings"] == model.sample(5) and names["history"]["epoch"] == [1, 2]
    else:
        assert sv.evaluate(model, test.images[:500])["elbo"] > -300 if test else model.sample(4).shape == (4, 64, 64, 3)


COMING_FROM = (ROOT / "docs" / "coming_from.md").read_text()
BY_SUBJECT = {
    name: (ROOT / "docs" / "coming_from" / f"{name}.md").read_text()
    for name in ("estimators", "training", "data", "files")
}
SNIPPETS = dict(re.findall(r"^## ([^\n]+)\n.*?^```python\n(.*?)^```", "\n".join(BY_SUBJECT.values()), re.M | re.S))


@pytest.mark.parametrize("heading", SNIPPETS)
@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")  # after few epochs
def test_the_snippets_for_users_of_other_packages_run(heading, tmp_path, monkeypatch):
    """Each checks by its own assertions what it shows."""
    for shown, package in (("sklearn", "sklearn"), ("TensorBoard", "tensorboardX"), ("safetensors", "safetensors")):
        if shown in SNIPPETS[heading]:
            pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    assert "assert " in SNIPPETS[heading]
    exec(SNIPPETS[heading], {})


def test_every_line_for_users_of_other_packages_leads_to_a_snippet():
    anchors = {heading.lower().replace(" ", "-") for heading in SNIPPETS}
    text = "".join(BY_SUBJECT.values())
    assert len(re.findall("^## ", text, re.M)) == text.count("```python") == len(SNIPPETS)
    lines = re.findall(r"^\|(?! *(?:From|-)).*$", COMING_FROM, re.M)
    linked = [re.search(r"\]\(coming_from/\w+\.md#([\w-]+)\) *\|$", line) for line in lines]
    assert all(linked) and {link.group(1) for link in linked} == anchors


@pytest.mark.usefixtures("few_rows")
def test_the_packages_docstring_runs():
    assert doctest.testmod(sv).failed == 0


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_a_document_names_exist(document):
    text = document.read_text()
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    assert not [path for path in linked if not (document.parent / path).exists()]
    named = re.findall(r"`((?:scratchvae|tests|examples|benchmarks|docs|\.ci)/[\w./]+)`", text)
    assert not [path for path in named if not (ROOT / path).exists() and path != "scratchvae/linear"]


@functools.cache
def text_of_the_tests():
    return "".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_names_stand_in_the_files_that_a_document_names(document):
    text = document.read_text()
    for name, path in re.findall(r"`([\w.]+)` in `((?:scratchvae|tests)/[\w/]+\.py)`", text):
        assert re.search(rf"\b{name.split('.')[-1]}\b", (ROOT / path).read_text()), f"{name} is not in {path}"
    tests = re.findall(r"`(test_\w+)`", text)
    assert not [name for name in tests if not re.search(rf"\b{name}\b", text_of_the_tests())]


def test_the_deck_table_has_every_slide_that_a_docstring_names():
    table = (ROOT / "docs" / "deck.md").read_text()
    for path in [path for folder in ("scratchvae", "examples") for path in (ROOT / folder).rglob("*.py")]:
        text = re.sub(r"\s+", " ", path.read_text())
        for titles in re.findall(r'Source: deck, ((?:"[^"]+"(?:, | and | to )?)+)', text):
            for title in re.findall(r'"([^"]+)"', titles):
                assert title in table, f"{path.name} names the slide {title}"


def test_names_that_the_deck_table_points_to_exist():
    text = (ROOT / "docs" / "deck.md").read_text()
    for owner, name in re.findall(r"`(VAE|Normal)\.(\w+)`", text):
        assert hasattr({"VAE": sv.VAE, "Normal": sv.distributions.Normal}[owner], name)


def test_the_readmes_table_of_models_has_figures_of_the_pages_that_explain_them():
    """Each with its ± or %: what the pages say is held to the results by tests of benchmarks."""
    pages = "".join((ROOT / "docs" / f"{name}.md").read_text() for name in ("results", "deck", "missing_data"))
    rows = re.findall(r"^\| .*$", DOCUMENTS[0].read_text().split("## Models")[1].split("\n## ")[0], re.M)
    figures = [re.findall(r"-?\d+\.\d+(?: ± \d+\.\d+)?", "".join(row.split("|")[5:])) for row in rows]
    assert len(rows) == 11 and sum(map(bool, figures)) == 9
    assert not [figure for found in figures for figure in found if figure not in pages]


def test_the_readme_is_short():
    assert DOCUMENTS[0].read_text().count("\n") <= 170


def test_anchors_that_a_document_links_to_are_headings():
    anchors = {}
    for path in [*DOCUMENTS, ROOT / "benchmarks" / "README.md"]:
        headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S), re.M)
        anchors[path] = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for document in DOCUMENTS:
        for path, anchor in re.findall(r"\]\((?!http)([^)#]*)#([^)]+)\)", document.read_text()):
            target = (document.parent / path).resolve() if path else document
            assert anchor in anchors[target], f"{document.name} links to {path}#{anchor}"


def test_benchmarks_that_a_document_names_exist():
    for document in [*DOCUMENTS, ROOT / "benchmarks" / "README.md"]:
        for name in re.findall(r"python -m benchmarks ([a-z_]+)", document.read_text()):
            assert (ROOT / "benchmarks" / f"{name}.py").is_file(), f"{document.name} names {name}"


def test_no_placeholder_is_left():
    for document in DOCUMENTS:
        assert not re.search(r"\b(TODO|FIXME|[A-Z]+_(TABLE|TEXT))\b", document.read_text())


def test_the_version_is_stated_once():
    assert f"version = {sv.__version__}\n" in (ROOT / "setup.cfg").read_text()
    assert f"version: {sv.__version__}\n" in (ROOT / "CITATION.cff").read_text()
