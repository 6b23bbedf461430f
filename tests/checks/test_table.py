"""The table of `scratchvae check`: every row on every device, every name once, and no figure forgotten."""

import ast
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import numpy
import pytest

from scratchvae import checks
from scratchvae.checks.row import Row, Section, largest
from scratchvae.checks.table import SECTIONS, run

ROWS = [row for name, rows in SECTIONS.items() if name != "gradients" for row in rows]
"""All but the gradients, which tests/engine/test_gradient_table.py takes case by case."""


HEAVY = [row for row in ROWS if row.name.startswith(("2-D VAE", "linear VAE"))]
"""Those with quadrature in two dimensions, and one that trains for 400 epochs."""


@pytest.mark.parametrize("row", [row for row in ROWS if row not in HEAVY], ids=lambda row: row.name)
def test_row(row, device):
    assert row.figure(device) <= row.tolerance


@pytest.mark.slow
@pytest.mark.parametrize("row", HEAVY, ids=lambda row: row.name)
def test_heavy_row(row, device):
    if device == "gpu" and row.name.startswith("linear VAE"):
        pytest.skip("400 epochs of the same steps as on the CPU; `scratchvae check --device gpu` runs them")
    assert row.figure(device) <= row.tolerance


def test_every_name_stands_once():
    names = [row.name for rows in SECTIONS.values() for row in rows]
    assert len(names) == len(set(names))


def test_every_section_is_in_the_table():
    files = [import_module(f"{checks.__name__}.{file.name}") for file in iter_modules(checks.__path__)]
    sections = {file.SECTION.name: file.SECTION.rows for file in files if hasattr(file, "SECTION")}
    assert sections == SECTIONS and all(sections.values())


def forgotten(*texts):
    """The public functions of these files that return a number, and are neither rows nor called."""
    trees = [ast.parse(text) for text in texts]
    called = {ast.unparse(node.func) for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)}
    functions = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    without_row = [f for f in functions if not any("SECTION.row(" in ast.unparse(d) for d in f.decorator_list)]
    numbers = {f.name for f in without_row if f.returns and ast.unparse(f.returns) == "float"}
    return {name for name in numbers - called if not name.startswith("_")}


def test_no_figure_is_forgotten():
    assert not forgotten(*(path.read_text() for path in Path(checks.__file__).parent.glob("*.py")))
    row = '@SECTION.row("a", tolerance=0)\ndef a(device: str) -> float:\n    return b(device) + c\n'
    others = [f"def {name}(device: str) -> float:\n    return 0.0\n" for name in ("b", "c", "_d")]
    assert forgotten(row, *others) == {"c"}


# ---- a section


def test_a_row_is_entered_where_it_stands():
    section = Section("some")

    @section.row("first", tolerance=2)
    def first(device="cpu"):
        return 1 if device == "cpu" else 3

    @section.row("{}: part", tolerance=0.5, each={"third": 3.0, "half": 0.5})
    def part(value, device="cpu"):
        return value

    assert first("cpu") == 1 and part(7.0) == 7.0
    assert section.rows == [
        Row("first", 2, first),
        Row("third: part", 0.5, part, (3.0,)),
        Row("half: part", 0.5, part, (0.5,)),
    ]
    assert [run(row).passed for row in section.rows] == [True, False, True]
    assert [run(row, "gpu").figure for row in section.rows] == [3.0, 3.0, 0.5]


def test_the_largest_error_is_a_nan_wherever_there_is_one(gpu):
    assert largest(0.5, numpy.array([[-2.0, 1.0]]), gpu.asarray(numpy.array([1.5, 0.0])), -1) == 2.0
    for errors in ([numpy.nan, 1.0], [1.0, numpy.nan], [1.0, numpy.array([2.0, numpy.nan])]):
        assert numpy.isnan(largest(*errors))
