"""Arrows point one way: every file is parsed, and an upward import fails."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
import typing
from functools import cache
from pathlib import Path

import pytest

import scratchvae as sv
from scratchvae.autodiff import Primitive
from scratchvae.kinds import KINDS

PACKAGE = Path(sv.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
ORDER = """
    errors arrays backend compiler kernels pixels philox noise capture object_arrays npz replacement binarization
    dequantization minibatches chemistry alphabet columns tensor autodiff
    ops gradcheck
    schedules optim nn distributions gradient_estimators quadrature conventions linear latent_space
    scoring objectives
    models
    evaluation codes
    molecule_scores gaussian_process genetic latent_search
    checkpoint data run_files callbacks run_directory run_settings ranks progress steps training estimator
    checks plotting explorer kinds
    cli __main__
""".split()
PEERS = {"torch", "jax", "autograd", "sklearn", "tensorflow", "chainer"}
AT_USE = {
    "scipy",
    "tqdm",
    "pooch",
    "filelock",
    "PIL",
    "safetensors",
    "cupy",
    "cupyx",
    "cuda",
    "rdkit",
    "tensorboardX",
    "mpi4py",
}  # imported inside the function that needs them
HEAVY = {"matplotlib", "scipy", "tqdm", "pooch", "filelock", "PIL", "cupy", "cupyx", "torch"}


def name_of(path):
    """scratchvae/nn/linear.py -> ("nn", "linear"), scratchvae/nn/__init__.py -> ("nn",)"""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


@cache
def imports(path):
    """A list of (line, module as a tuple, at the top of the file) for every import anywhere in a file."""
    tree = ast.parse(path.read_text())
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for node in ast.walk(function)
    }
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno}: a relative import hides where it points"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found += [(node.lineno, tuple(name.split(".")), id(node) not in inside) for name in names]
    return found


def is_module(parts):
    path = PACKAGE.joinpath(*parts)
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def own_imports(path):
    """What a file imports of this package: ("nn", "module"), or () for the package as a whole."""
    for line, parts, _ in imports(path):
        if parts[0] == "scratchvae":
            parts = parts[1:]
            while parts and not is_module(parts):
                parts = parts[:-1]
            yield line, parts


def test_the_order_names_every_file():
    assert {name_of(path)[0] for path in FILES if name_of(path)} <= set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_import_points_upward(path):
    """The public names may come from anywhere; the command line and the figures may use the public names."""
    name = name_of(path)
    if not name:
        return
    for line, imported in own_imports(path):
        where = f"{path.relative_to(PACKAGE.parent)}:{line} imports {'.'.join(imported) or 'scratchvae'}"
        if not imported:
            assert ORDER.index(name[0]) >= ORDER.index("checks"), where
            continue
        assert ORDER.index(imported[0]) <= ORDER.index(name[0]), f"{where}, which is above it"
        if imported[0] == name[0]:
            assert imported != name and (len(name) == 1 or len(imported) > 1), f"{where}, its own package"


def test_no_circle_within_a_package():
    arrows = {name_of(path): {imported for _, imported in own_imports(path)} for path in FILES if name_of(path)}
    done = set()
    while remaining := {name for name in arrows if name not in done}:
        ready = {name for name in remaining if not ((arrows[name] - {name}) & remaining)}
        assert ready, f"a circle among {sorted('.'.join(name) for name in remaining)}"
        done |= ready


def test_the_check_sees_an_upward_import(tmp_path):
    path = tmp_path / "wrong.py"
    path.write_text("from scratchvae import training\n\ndef f():\n    from scratchvae.nn.linear import MLP\n")
    assert list(own_imports(path)) == [(1, ("training",)), (4, ("nn", "linear"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_dependencies_are_imported_where_they_belong(path):
    for line, (root, *_), at_top in imports(path):
        where = f"{path.relative_to(PACKAGE.parent)}:{line} imports {root}"
        assert root not in PEERS, where
        assert root != "matplotlib" or name_of(path)[0] == "plotting", where
        assert root not in AT_USE or not at_top, f"{where} at the top of the file"
        assert root in sys.stdlib_module_names | {"scratchvae", "numpy", "matplotlib"} | AT_USE, where


def conditions(tree):
    """Every expression of a tree that decides something: of if, while, a comprehension, match and a comparison."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.If, ast.IfExp, ast.While)):
            yield node.test
        if isinstance(node, ast.comprehension):
            yield from node.ifs
        if isinstance(node, (ast.Compare, ast.Match)):
            yield node


def names_in_conditions(text):
    """The names and the words that the conditions of a program contain."""
    for condition in conditions(ast.parse(text)):
        for node in ast.walk(condition):
            if isinstance(node, (ast.Name, ast.Attribute)):
                yield node.id if isinstance(node, ast.Name) else node.attr
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


KIND_NAMES = {
    *KINDS,
    *(kind.model.__name__ for kind in KINDS.values()),
    *(type(kind).__name__ for kind in KINDS.values()),
}
NAMELESS = [
    path
    for path in FILES
    if name_of(path)[:1] == ("cli",)
    or name_of(path) in (("training",), ("evaluation",), ("checkpoint",), ("run_directory",))
]


@pytest.mark.parametrize("path", NAMELESS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_condition_names_a_kind_of_model(path):
    assert not KIND_NAMES & set(names_in_conditions(path.read_text()))


def test_the_check_sees_a_kind_in_a_condition():
    for text in ("x = 1 if kind == 'm2' else 2", "while type(m) is sv.VAE: pass", "[m for m in ms if m is StackedVAE]"):
        assert KIND_NAMES & set(names_in_conditions(text)), text
    assert len(NAMELESS) >= 9


def test_a_function_and_a_file_are_a_sitting():
    """No file over 400 lines but the gradient table, no function body over 70; train at most 30."""
    lengths = {}
    for path in FILES:
        text = path.read_text()
        assert len(text.splitlines()) <= 400 or path.stem == "gradient_table", path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) and node.body[1:] else node.body
                lengths[f"{path.stem}.{node.name}"] = node.end_lineno - body[0].lineno + 1
    assert max(lengths.values()) <= 70 and lengths["train.train"] <= 30


def run(code):
    command = [sys.executable, "-c", code]
    finished = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    return finished.stdout


def test_importing_the_package_brings_in_nothing_heavy():
    loaded = run("import sys, scratchvae; print(*{name.partition('.')[0] for name in sys.modules})")
    assert not HEAVY & set(loaded.split())


def test_importing_the_package_is_quick():
    """Once its files are compiled, it takes at most a quarter of a second of work more than NumPy alone."""
    code = "import time; start = time.process_time(); import {}; print(time.process_time() - start)"
    seconds = {"numpy": [], "scratchvae": []}
    for _ in range(4):
        for name, values in seconds.items():
            values.append(float(run(code.format(name))))
    assert min(seconds["scratchvae"]) - min(seconds["numpy"]) < 0.25


def test_the_engine_stays_a_sitting():
    assert len((PACKAGE / "autodiff.py").read_text().splitlines()) < 300


def test_there_is_no_drawer_for_odds_and_ends():
    assert not {"utils", "helpers", "misc", "common", "losses"} & {path.stem for path in FILES}


# ---- public names


def public_names():
    """(dotted name, object) of every public function, class and method that a module of the package defines."""
    for info in pkgutil.walk_packages([str(PACKAGE)], "scratchvae."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        assert module.__doc__, info.name
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", None) != info.name:
                continue
            if isinstance(value, Primitive):
                yield f"{info.name}.{name}", value, value.function
            elif inspect.isfunction(value) and "<locals>" not in value.__qualname__:
                yield f"{info.name}.{name}", value, value
            elif inspect.isclass(value):
                yield f"{info.name}.{name}", value, None
                for method, member in vars(value).items():
                    if not method.startswith("_"):
                        member = getattr(member, "__func__", member)
                        function = member.fget if isinstance(member, property) else member
                        if inspect.isfunction(function) and function.__name__ != "<lambda>":
                            yield f"{info.name}.{name}.{method}", getattr(value, method), function


NAMES = list(public_names())
ROOMS = [name for name in sv.__all__ if inspect.ismodule(getattr(sv, name))]


@pytest.mark.parametrize("name", ROOMS)
def test_rooms_name_what_is_public(name):
    """__all__ is what type checkers and `import *` go by: all that is there. `data` also has the parts of `load`."""
    room = getattr(sv, name)
    modules = {id(value) for value in vars(room).values() if inspect.ismodule(value)}
    own = {
        key
        for key, value in vars(room).items()
        if not key.startswith("_") and id(value) not in modules and callable(value)
        if str(getattr(value, "__module__", "")).startswith(room.__name__)
    }
    assert sorted(room.__all__) == sorted(set(room.__all__)) and all(hasattr(room, key) for key in room.__all__)
    assert name == "data" or own <= set(room.__all__), own - set(room.__all__)


def test_figures_are_loaded_when_they_are_asked_for():
    code = "import sys, scratchvae as sv; print('matplotlib' in sys.modules); print(sv.plotting.__name__)"
    assert run(code + "; print('matplotlib' in sys.modules)").split() == ["False", "scratchvae.plotting", "True"]
    with pytest.raises(AttributeError, match="module 'scratchvae' has no attribute 'plotings'"):
        sv.plotings  # noqa: B018


def test_the_public_names_are_there():
    assert sorted(sv.__all__) == sorted(set(sv.__all__)) and all(getattr(sv, name).__doc__ for name in sv.__all__)
    found = {name.rpartition(".")[2] for name, _, _ in NAMES}
    assert {"fit", "grad", "VAE", "elbo", "tanh", "Adam", "step", "mlp", "device", "evaluate", "kl"} <= found


def test_annotations_of_public_names_are_found_when_they_are_asked_for():
    for _, value, function in NAMES:
        typing.get_type_hints(value if function is None else function)
        if inspect.isclass(value):
            typing.get_type_hints(value.__init__)


def test_public_names_have_docstrings_and_annotations():
    for name, value, function in NAMES:
        assert inspect.getdoc(value), f"{name} has no docstring"
        if function is not None:
            signature = inspect.signature(function)
            missing = [
                parameter.name
                for i, parameter in enumerate(signature.parameters.values())
                if parameter.annotation is parameter.empty and not (i == 0 and parameter.name in ("self", "cls"))
            ]
            assert not missing, f"{name}: no annotation of {', '.join(missing)}"
            assert signature.return_annotation is not signature.empty, f"{name}: no annotation of what it returns"
