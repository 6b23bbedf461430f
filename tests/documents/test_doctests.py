"""Every example in a docstring of the package runs, and prints what it says."""

import doctest
import inspect
from importlib import import_module
from itertools import pairwise
from pkgutil import walk_packages

import pytest

import scratchvae as sv

MODULES = [module.name for module in walk_packages(sv.__path__, "scratchvae.") if "__main__" not in module.name]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(import_module(name)).failed == 0
    assert not list(tmp_path.iterdir()), "an example leaves a file"


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [test for name in MODULES for test in finder.find(import_module(name)) if test.examples]
    assert len(examples) > 80


@pytest.mark.parametrize("room", [sv.models, sv.nn, sv.linear], ids=lambda room: room.__name__)
def test_every_class_names_its_neighbours_and_has_an_example(room):
    for value in [value for name in room.__all__ if inspect.isclass(value := getattr(room, name))]:
        headings = {"See Also", "Examples"} | ({"Parameters"} if "__init__" in vars(value) else set())
        lines = inspect.getdoc(value).splitlines()
        found = {line for line, below in pairwise(lines) if below == "-" * len(line)}
        assert headings <= found, f"{value.__name__}: no section {', '.join(sorted(headings - found))}"
