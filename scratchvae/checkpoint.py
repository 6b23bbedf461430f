"""Arrays on disk: .npz files, never pickle."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy

from scratchvae.backend import to_numpy
from scratchvae.errors import DataError, InputError, ShapeError
from scratchvae.models.configuration import build
from scratchvae.nn import Module
from scratchvae.npz import Archive, opened
from scratchvae.replacement import replace

Model = TypeVar("Model", bound=Module)

FORMAT = "scratchvae 1"
LARGEST_HEADER = 2**18  # bytes, four a character; a run's takes about two thousand


def save(model: Module, path: str | os.PathLike[str]) -> None:
    """Writes a model's parameters and buffers, and the configuration of a built-in constructor, to an .npz file."""
    write(path, {"configuration": getattr(model, "configuration", None)}, model_arrays(model))


def export(model: Module, path: str | os.PathLike[str]) -> None:
    """Writes a model's parameters and buffers for other programs: to a .safetensors file, or to an .npz as `save` does.

    docs/layout.md describes the contents. Raises InputError for another suffix, and where safetensors is not installed.
    """
    suffix = Path(path).suffix
    if suffix == ".npz":
        return save(model, path)
    if suffix != ".safetensors":
        raise InputError("export", "the suffix .safetensors or .npz", repr(os.fspath(path)))
    try:
        from safetensors.numpy import save as as_bytes
    except ImportError:
        raise InputError(
            "export to .safetensors", "the package safetensors", "none", "pip install safetensors"
        ) from None
    arrays = {
        name: numpy.ascontiguousarray(to_numpy(array)).reshape(array.shape) for name, array in model.state().items()
    }
    header = {"format": FORMAT, "configuration": as_json(getattr(model, "configuration", None))}
    replace(path, as_bytes(arrays, metadata=header))


@overload
def load(path: str | os.PathLike[str], into: None = None) -> Any: ...
@overload
def load(path: str | os.PathLike[str], into: Model) -> Model: ...
def load(path: str | os.PathLike[str], into: Module | None = None) -> Any:
    """Returns the model in a file that `save` or a run wrote.

    Its constructor builds it anew; a model of a user's own networks is passed as `into` and gets the arrays.
    path: the file, or a run directory, whose last checkpoint is loaded.

    Raises DataError for a file that is missing, torn or foreign, and for arrays that do not fit the model, and
    InputError for a model of a user's own networks without `into`.
    """
    path = Path(path) / "last.npz" if Path(path).is_dir() else path
    header, arrays = read(path)
    configuration = header.get("configuration")
    state = {name.removeprefix("model/"): array for name, array in arrays.items() if name.startswith("model/")}
    if into is None:
        if configuration is None:
            raise InputError(
                f"load {path}", "a model of a built-in constructor", "one of a user's own networks", "into=model"
            )
        into = build(configuration, sum(array.size for array in state.values()))
    dtypes = {array.dtype for array in state.values() if array.dtype.kind == "f"}
    if len(dtypes) == 1:
        into.to(dtype=dtypes.pop())
    try:
        for name, own in into.state().items():
            if name in state and not numpy.can_cast(state[name].dtype, own.dtype):
                raise ShapeError(f"load_state: {name}", f"values of type {own.dtype}", str(state[name].dtype))
        into.load_state(state)
    except ShapeError as error:
        raise DataError(f"load {path}", "the arrays of the model", str(error)) from None
    return into


def model_arrays(model: Module) -> dict[str, numpy.ndarray]:
    """Returns the model's state under the names in a file."""
    return {f"model/{name}": to_numpy(array) for name, array in model.state().items()}


def write(path: str | os.PathLike[str], header: dict[str, Any], arrays: dict[str, numpy.ndarray]) -> None:
    """Writes a header of plain values, and arrays, to an .npz file."""
    content = io.BytesIO()  # in memory first: a zip file that runs out of disk hides the cause behind errors of its own
    numpy.savez(content, header=numpy.array(as_json({"format": FORMAT} | header)), **arrays)
    replace(path, content.getbuffer())


def as_json(value: Any, indent: int | None = None) -> str:
    """Returns the JSON text of plain values and of NumPy's numbers."""
    return json.dumps(value, indent=indent, default=lambda number: number.item())


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, numpy.ndarray]]:
    """Returns the header and the arrays of a file that `write` made. Raises DataError for any other."""
    try:
        with opened(path) as file:
            archive = Archive(file, methods=(zipfile.ZIP_STORED,))
            if "header" not in archive.members or archive.members["header"].file_size > LARGEST_HEADER:
                raise ValueError(f"it has no header of at most {LARGEST_HEADER} bytes")
            header = json.loads(str(archive.read("header", kinds="U")))
            if not isinstance(header, dict) or header.get("format") != FORMAT:
                raise ValueError("its header is of another format")
            arrays = {name: archive.read(name) for name in archive.members if name != "header"}
    except FileNotFoundError:
        raise DataError(f"load {path}", "a file", "nothing there") from None
    except (OSError, ValueError, RecursionError) as error:
        reason = f"a torn or foreign file: {error}"
        raise DataError(f"load {path}", f"a checkpoint of format {FORMAT!r}", reason) from None
    return header, arrays
