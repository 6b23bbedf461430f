"""Every example in a docstring of the package runs, and prints what it says."""

import doctest
import inspect
from importlib import import_module
from itertools import pairwise
from pkgutil import walk_packages

import pytest

import scratchvae as sv
from docs.building import rooms

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


@pytest.mark.parametrize("room", ["", *rooms.ROOMS], ids=lambda room: room or "scratchvae")
def test_every_class_lists_its_arguments_and_attributes_names_its_neighbours_and_has_an_example(room):
    module = rooms.module_of(room)
    for value in [value for name in module.__all__ if inspect.isclass(value := getattr(module, name))]:
        made = vars(value).keys() & {"__init__", "__new__"}
        headings = {"See Also", "Examples"} | ({"Parameters", "Attributes"} if made else set())
        lines = inspect.getdoc(value).splitlines()
        found = {line for line, below in pairwise(lines) if below == "-" * len(line)}
        assert headings <= found, f"{value.__name__}: no section {', '.join(sorted(headings - found))}"
