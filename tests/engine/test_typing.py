"""mypy --strict on what users write: the file beside this one, the documents' examples, and every public name."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typed_user_code

import scratchvae as sv

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def mypy(folder, **files):
    """What mypy prints of code, by file name."""
    paths = []
    for name, text in files.items():
        paths.append(folder / f"{name}.py")
        paths[-1].write_text(text, encoding="utf-8")
    options = ["--strict", "--follow-imports=silent", "--cache-dir", folder / "cache", "--no-error-summary"]
    run = subprocess.run([sys.executable, "-m", "mypy", *options, *paths], capture_output=True, text=True, cwd=ROOT)
    return run.stdout + run.stderr


def test_the_typed_code_runs(tmp_path):
    typed_user_code.main(tmp_path)


@pytest.mark.slow
def test_mypy_passes_code_of_users_the_documents_and_all_public_names(tmp_path):
    pytest.importorskip("mypy")
    shown = "".join((ROOT / path).read_text(encoding="utf-8") for path in ("README.md", "docs/use.md"))
    blocks = re.findall(r"```python\n(.*?)```", shown, flags=re.DOTALL)
    names = ["import scratchvae as sv"]
    for name in sv.__all__:
        value = getattr(sv, name)
        names += [f"sv.{name}"] if not inspect.ismodule(value) else []
        names += [f"sv.{name}.{part}" for part in getattr(value, "__all__", []) if inspect.ismodule(value)]
    assert len(blocks) >= 6 and "sv.ops.exp" in names and "sv.optim.Adam" in names and "sv.fit" in names
    user_code = (HERE / "typed_user_code.py").read_text(encoding="utf-8")
    examples = {f"shown_{i}": text for i, text in enumerate(blocks)}
    assert mypy(tmp_path, user_code=user_code, names="\n".join(names), **examples) == ""


MISTAKES = {
    "w.dta": '"Tensor" has no attribute "dta"',
    "sv.fit(model, epochs='ten', data=w.data)": 'incompatible type "str"; expected "int"',
    "sv.optim.Adam([w], beta=0.9)": 'Unexpected keyword argument "beta"',
    "sv.ops.exponential(w)": 'Module has no attribute "exponential"',
    "sv.plotings": 'Module has no attribute "plotings"',
    "sv.grad(w, [w], creategraph=True)": 'Unexpected keyword argument "creategraph"',
    "model.to(dtype='float64').encodre": '"VAE" has no attribute "encodre"',
    "sv.load('model.npz', into=model).encodre": '"VAE" has no attribute "encodre"',
    "product: str = w * 2": "Incompatible types in assignment",
    "exponential: str = sv.ops.exp(w)": "Incompatible types in assignment",
}


@pytest.mark.slow
def test_mypy_sees_mistakes(tmp_path):
    """What passes everything proves nothing."""
    pytest.importorskip("mypy")
    start = ["import numpy", "import scratchvae as sv", "w = sv.Tensor(numpy.ones(2))", "model = sv.VAE.mlp(4, 2)"]
    printed = mypy(tmp_path, wrong="\n".join([*start, *MISTAKES])).splitlines()
    for i, (line, sentence) in enumerate(MISTAKES.items(), start=len(start) + 1):
        assert any(f"wrong.py:{i}: error: " in text and sentence in text for text in printed), (line, printed)
