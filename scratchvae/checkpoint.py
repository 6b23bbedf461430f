"""Arrays on disk: .npz files, never pickle."""

from __future__ import annotations

import inspect
import io
import json
import math
import os
import reprlib
import zipfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy

from scratchvae.backend import to_numpy
from scratchvae.errors import DataError, InputError, ShapeError
from scratchvae.models import VAE, SemiSupervisedVAE, StackedVAE
from scratchvae.nn.convolution import HALVING, feature_maps
from scratchvae.npz import Archive, opened
from scratchvae.replacement import replace

FORMAT = "scratchvae 1"
CONSTRUCTORS = {
    f"{kind.__name__}.{constructor.__name__}": constructor
    for kind in (VAE, SemiSupervisedVAE)
    for constructor in (kind.mlp, kind.convolutional)
} | {"StackedVAE.mlp": StackedVAE.mlp}
LARGEST_HEADER = 2**18  # bytes, four a character; a run's takes about two thousand
LARGEST_SIZE = 2**24  # of a layer, or of a side of an image


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a model's parameters and buffers, and the configuration of a built-in constructor, to an .npz file."""
    write(path, {"configuration": getattr(model, "configuration", None)}, model_arrays(model))


def load(path: str | os.PathLike[str], into: Any = None) -> Any:
    """The model of a file that `save` or a run wrote: built anew by its constructor, or copied `into` a user's own.

    path: of the file, or of a run directory, whose last checkpoint is loaded.

    Raises DataError for a file that is missing, torn or foreign, and ShapeError if `into` does not fit.
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


def build(configuration: Any, n_entries: int) -> Any:
    """A new model from {"constructor": name, argument: value, ...}, the arrays for which have n_entries entries.

    The `first` of a StackedVAE is such a configuration itself, of a VAE.

    Raises InputError for anything else, and before a model is built that has more parameters than that.
    """
    arguments = dict(configuration) if isinstance(configuration, dict) else {}
    constructor = arguments.pop("constructor", None)
    if not isinstance(constructor, str) or constructor not in CONSTRUCTORS:
        raise InputError("build", f"a constructor among {', '.join(CONSTRUCTORS)}", reprlib.repr(constructor))
    try:
        signature = inspect.signature(CONSTRUCTORS[constructor])
        bound = signature.bind(**arguments)
    except TypeError as error:
        raise InputError("build", f"the arguments of {constructor}", str(error), "of another version?") from None
    bound.apply_defaults()
    settings = bound.arguments
    for name, value in settings.items():
        if name == "first":
            if not isinstance(value, dict) or not str(value.get("constructor")).startswith("VAE."):
                raise InputError("build", "the configuration of a VAE as first", reprlib.repr(value))
            settings[name] = build(value, n_entries)
            continue
        listed = isinstance(signature.parameters[name].default, tuple) or name == "units"
        smallest = 0 if name == "units" else 1
        if listed or name.endswith("_size") or name == "n_classes":
            sizes = value if isinstance(value, (list, tuple)) else [value]
            whole = all(type(size) is int and smallest <= size <= LARGEST_SIZE for size in sizes)
            if not whole or listed != isinstance(value, (list, tuple)):
                expected = f"{'a list of sizes' if listed else 'a size'} from {smallest} to {LARGEST_SIZE} as {name}"
                raise InputError("build", expected, reprlib.repr(value), "a damaged file?")
        elif not isinstance(value, (str, int, float)) or (isinstance(value, int) and abs(value) >= 2**64):
            raise InputError("build", f"a number or a word as {name}", reprlib.repr(value))
    n_weights = _fewest_weights(settings)
    if n_weights > n_entries:
        expected = f"a model of at most {n_entries} parameters, as the arrays have entries"
        raise InputError("build", expected, f"sizes for {n_weights}", "a damaged file?")
    return CONSTRUCTORS[constructor](**settings)


def _fewest_weights(settings: dict[str, Any]) -> int:
    """At least so many weights has the model of a constructor: of the encoder, with one number a latent unit, of the
    way back, and of a class into the encoder, where there are classes.
    """
    latent_size, hidden = settings["latent_size"], settings.get("hidden", [settings.get("hidden_size", 0)])[:1]
    to_hidden = settings.get("n_classes", 0) * sum(hidden)
    if "channels" not in settings:
        input_size = len(settings["units"]) if "units" in settings else settings["input_size"]
        widths = [input_size, *settings["hidden"], latent_size]
        return 2 * sum(map(math.prod, pairwise(widths))) + to_hidden
    maps = feature_maps("build", settings["image_shape"], settings["channels"])
    kernels = sum(HALVING["kernel_size"] ** 2 * first[2] * second[2] for first, second in pairwise(maps))
    innermost = math.prod(maps[-1])
    encoder = sum(map(math.prod, pairwise([innermost, *filter(None, hidden), latent_size])))
    return 2 * kernels + encoder + innermost * latent_size + to_hidden


def model_arrays(model: Any) -> dict[str, numpy.ndarray]:
    """The model's state under the names that a file gives it."""
    return {f"model/{name}": to_numpy(array) for name, array in model.state().items()}


def write(path: str | os.PathLike[str], header: dict[str, Any], arrays: dict[str, numpy.ndarray]) -> None:
    """Write a header of plain values, and arrays, to an .npz file."""
    content = io.BytesIO()  # in memory first: a zip file that runs out of disk hides the cause behind errors of its own
    numpy.savez(content, header=numpy.array(as_json({"format": FORMAT} | header)), **arrays)
    replace(path, content.getbuffer())


def as_json(value: Any, indent: int | None = None) -> str:
    """JSON text of plain values, NumPy's numbers among them."""
    return json.dumps(value, indent=indent, default=lambda number: number.item())


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, numpy.ndarray]]:
    """The header and the arrays of a file that `write` made. Raises DataError for any other."""
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
