"""Arrays on disk: .npz files, never pickle, written to a temporary name, flushed and renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy

from scratchvae.backend import to_numpy
from scratchvae.errors import DataError, InputError, ShapeError
from scratchvae.models import VAE

FORMAT = "scratchvae 1"
CONSTRUCTORS = {"VAE.mlp": VAE.mlp}


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a model's parameters and buffers, and the configuration of a built-in constructor, to an .npz file."""
    write(path, {"configuration": getattr(model, "configuration", None)}, model_arrays(model))


def load(path: str | os.PathLike[str], into: Any = None) -> Any:
    """The model of a file that `save` or a run wrote: built anew by its constructor, or copied `into` a user's own.

    Raises DataError for a file that is missing, torn or foreign, and ShapeError if `into` does not fit.
    """
    header, arrays = read(path)
    configuration = header.get("configuration")
    if into is None:
        if configuration is None:
            raise InputError(
                f"load {path}", "a model of a built-in constructor", "one of a user's own networks", "into=model"
            )
        into = build(configuration)
    state = {name.removeprefix("model/"): array for name, array in arrays.items() if name.startswith("model/")}
    dtypes = {array.dtype for array in state.values()}
    if len(dtypes) == 1:
        into.to(dtype=dtypes.pop())
    try:
        into.load_state(state)
    except ShapeError as error:
        raise DataError(f"load {path}", "the arrays of the model", str(error)) from None
    return into


def build(configuration: dict[str, Any]) -> Any:
    """A new model from {"constructor": name, argument: value, ...}."""
    arguments = dict(configuration) if isinstance(configuration, dict) else {}
    constructor = arguments.pop("constructor", None)
    if not isinstance(constructor, str) or constructor not in CONSTRUCTORS:
        raise InputError("build", f"a constructor among {', '.join(CONSTRUCTORS)}", repr(constructor))
    try:
        return CONSTRUCTORS[constructor](**arguments)
    except TypeError as error:
        raise InputError("build", f"the arguments of {constructor}", str(error), "of another version?") from None


def model_arrays(model: Any) -> dict[str, numpy.ndarray]:
    """The model's state under the names that a file gives it."""
    return {f"model/{name}": to_numpy(array) for name, array in model.state().items()}


def write(path: str | os.PathLike[str], header: dict[str, Any], arrays: dict[str, numpy.ndarray]) -> None:
    """Write a header of plain values, and arrays, to an .npz file."""
    with _replacing(Path(path)) as file:
        numpy.savez(file, header=numpy.array(as_json({"format": FORMAT} | header)), **arrays)


def as_json(value: Any, indent: int | None = None) -> str:
    """JSON text of plain values, NumPy's numbers among them."""
    return json.dumps(value, indent=indent, default=lambda number: number.item())


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with _replacing(path) as file:
        file.write(text.encode())


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the path's place when it is whole and on disk, or else vanishes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, numpy.ndarray]]:
    """The header and the arrays of a file that `write` made. Raises DataError for any other."""
    try:
        with open(path, "rb") as stream, numpy.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']!r}")
    except FileNotFoundError:
        raise DataError(f"load {path}", "a file", "nothing there") from None
    except Exception as error:  # zipfile, NumPy and json have many ways to fail on damaged bytes
        reason = f"a torn or foreign file: {error}"
        raise DataError(f"load {path}", f"a checkpoint of format {FORMAT!r}", reason) from None
    return header, arrays
