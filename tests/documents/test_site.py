"""The site of documentation: it has every name, operation and picture, and builds without a warning."""

import inspect
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import scratchvae as sv
from docs.building import docstrings, gallery, links, operations, rooms
from scratchvae.checks.gradient_table import composites, primitives

ROOT = Path(__file__).parents[2]


def public_names():
    """Every name of the package and of its public rooms that is no module, with its value."""
    modules = [sv, *(getattr(sv, name) for name in sv.__all__ if inspect.ismodule(getattr(sv, name)))]
    named = [(module, name, getattr(module, name)) for module in modules for name in module.__all__]
    return {f"{module.__name__}.{name}": value for module, name, value in named if not inspect.ismodule(value)}


def test_every_public_room_has_a_page():
    assert {name for name in sv.__all__ if inspect.ismodule(getattr(sv, name))} == set(rooms.ROOMS)
    order = (ROOT / "tests" / "test_architecture.py").read_text().split('ORDER = """')[1].split('"""')[0].split()
    assert sorted(rooms.ROOMS, key=order.index) == [*rooms.ROOMS]


def test_every_public_name_is_on_a_page():
    pages = {room: rooms.page(room) for room in ("", *rooms.ROOMS)}
    for name, value in public_names().items():
        room = rooms.public_names()[name]
        own = next(own for own in rooms.module_of(room).__all__ if getattr(rooms.module_of(room), own) is value)
        assert re.search(rf"^\.\. (auto\w+|py:data):: {own}$", pages[room], re.M), name


def test_a_class_is_shown_with_its_own_constructors():
    shown = {name: rooms.class_lines(name, getattr(sv, name)) for name in ("VAE", "TableVAE", "SketchRNN")}
    left_out = {name: [line.strip() for line in lines if "exclude" in line] for name, lines in shown.items()}
    assert left_out == {
        "VAE": [],
        "TableVAE": [":exclude-members: convolutional"],
        "SketchRNN": [":exclude-members: convolutional, mlp"],
    }


def test_the_table_has_every_differentiable_operation():
    names = [operation.name for operation in operations.operations()]
    assert set(names) == primitives().keys() | composites().keys() and len(names) == len(set(names))
    table = operations.table()
    assert r"| y = tanh x | dx = g (1 - y^2) | all numbers |" in table
    assert table.count("\n") == len(names) + 1
    assert not [line for line in table.splitlines() if len(re.findall(r"(?<!\\)\|", line)) != 5]


def test_an_operation_without_a_rule_is_refused():
    def nameless(x):
        """y = x"""

    with pytest.raises(ValueError, match="nameless: expected the fields Rule and Domain .* missing Rule, Domain"):
        operations.read("nameless", nameless)


BY_COMMANDS = {f"sketch_{name}.png" for name in ("reconstructions", "samples", "completions")} | {
    f"molecule_{name}.png" for name in ("interpolation", "latent")
}
"""Pictures that bear an example's name in docs/images and come from `scratchvae train`, as docs/deck.md says."""

RENAMED = {"street_classes.png": "class_samples.png"}
"""Committed pictures whose names do not end with those that the examples give them."""


def test_the_gallery_has_every_picture_that_an_example_leaves():
    listed = {picture.name: picture for picture in gallery.pictures()}
    for picture in listed.values():
        assert (ROOT / "docs" / "images" / picture.name).is_file(), picture.name
        assert picture.command.split()[:2] == ["python", f"examples/{picture.example.name}"] and picture.caption
        left = leaves(picture.example)
        assert any(picture.name.endswith(name) or RENAMED.get(picture.name) == name for name in left), picture.name
    names = {name for path in gallery.examples() for name in leaves(path)}
    committed = {name for name in names if (ROOT / "docs" / "images" / name).is_file()}
    assert committed - BY_COMMANDS <= listed.keys()
    assert gallery.page().count("![") == len(listed) >= 20


def leaves(path):
    """The names of the pictures that an example's docstring says it leaves."""
    return re.findall(r"\b([a-z_]+\.png)", gallery.docstring(path).split("\nPictures\n")[0])


def test_links_between_files_become_links_between_pages():
    source = ROOT / "docs" / "learn" / "2_engine.md"
    text = "[a](../operations.md#x) [b](../../README.md) ![c](../images/pca.png) [d](https://e) [f](../../setup.cfg)"
    expected = (
        "[a](../operations.md#x) [b](../generated/readme.md) ![c](../images/pca.png) [d](https://e) f (`../setup.cfg`)"
    )
    assert links.rewritten(text, source, "learn/2_engine.md") == expected
    readme = links.rewritten("[a](docs/use.md) [b](examples/faces.py)", ROOT / "README.md", "generated/readme.md")
    assert readme == "[a](../use.md) [b](examples/faces.rst)"


def test_the_index_has_every_page():
    index = (ROOT / "docs" / "index.md").read_text()
    tree = set(re.findall(r"^[\w/]+$", links.contents(index), re.M))
    pages = [path.relative_to(links.DOCS) for path in links.DOCS.rglob("*.md")]
    written = {page.with_suffix("").as_posix() for page in pages if links.GENERATED not in page.parts}
    assert tree == (written - {"index"}) | {f"{links.GENERATED}/{page}" for page in links.BESIDE.values()}


def test_docstrings_become_text_in_which_no_formula_is_markup():
    lines = ["L(x) = |x|, x_ and W*", "", "    q    one", "    p    two", "", "Parameters", "----------", "x_ : |x|"]
    text = docstrings.as_rest([*lines, "    As `fit`, or `other`."], {"fit"}.__contains__)
    assert text[0] == r"\ L(x) = \|x\|, x\_ and W\*" and "::" in text and "        q    one" in text
    assert text[-3:-1] == [r"x_ : \|x\|", "    As :py:obj:`fit`, or ``other``."]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site."""
    pytest.importorskip("sphinx")
    for extension in ("myst_parser", "numpydoc", "furo"):
        pytest.importorskip(extension)
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "-n", "-q", "--keep-going", str(ROOT / "docs"), str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return folder


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_knows_every_name(site):
    compressed = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    known = {line.split(" ")[0] for line in zlib.decompress(compressed).decode().splitlines()}
    for name, value in public_names().items():
        room = rooms.module_of(rooms.public_names()[name])
        own = next(own for own in room.__all__ if getattr(room, own) is value)
        assert f"{room.__name__}.{own}" in known, name
    assert "scratchvae.models.VAE.elbo" in known


@pytest.mark.slow
def test_links_and_pictures_of_the_site_exist(site):
    for page in site.rglob("*.html"):
        text = page.read_text()
        assert not re.findall(r'(?:src|rel="stylesheet" href)="https?://', text), page.name  # it needs no network
        for target in re.findall(r'(?:href|src)="(?!https?:|mailto:|data:)([^"#?]+)', text):
            assert (page.parent / target).exists(), f"{page.name} leads to {target}"
