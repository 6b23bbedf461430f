"""Every example in a docstring of the package runs, and prints what it says."""

import doctest
from importlib import import_module
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
