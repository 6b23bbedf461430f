"""The files of a run: the configuration, the metrics, and whether a run has begun."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import platform
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy

from scratchvae import checkpoint
from scratchvae.backend import gpu_versions, to_numpy
from scratchvae.errors import DataError, InputError
from scratchvae.npz import opened, readable
from scratchvae.pixels import Pixels

Metrics = dict[str, float]
LARGEST_METRIC = 1e100  # what is larger no run has written, and no picture can show
METRICS = {"epoch", "step", "elbo", "reconstruction", "kl", "active_units", "seconds"}  # of every epoch
ENVIRONMENT = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    *("SCRATCHVAE_KERNELS", "SCRATCHVAE_CAPTURE", "CUPY_TF32", "CUPY_ACCELERATORS"),
    *("SCRATCHVAE_MPI", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"),
)


def has_begun(directory: Path) -> bool:
    """Tells whether `fit` has written its part of config.json, after which the run can be resumed."""
    try:
        return bool(read_configuration(directory / "config.json").keys() - {"options"})
    except (FileNotFoundError, NotADirectoryError):
        return False
    except DataError:  # a damaged one, which resuming will name
        return True


def refuse_run(directory: Path) -> None:
    """Raises InputError for a directory with parts of a run, except the start of one that died at once."""
    holds_run = has_begun(directory) or any((directory / name).exists() for name in ("metrics.jsonl", "best.npz"))
    last = directory / "last.npz"
    if not holds_run and last.exists():
        try:
            holds_run = checkpoint.read(last)[0].get("step") != 0
        except DataError:
            holds_run = True
    if holds_run:
        raise InputError(f"run directory {directory}", "an empty one", "one with a run", "resume, or name another")


def read_configuration(path: Path) -> dict[str, Any]:
    """Returns the object in a file of a run, such as config.json. Raises DataError for any other content."""
    try:
        with opened(path, largest=2**20) as file:
            values = json.loads(file.read())
    except (FileNotFoundError, NotADirectoryError):
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"read {path}", "the configuration of a run", f"other text: {error}") from None
    if not isinstance(values, dict):
        raise DataError(f"read {path}", "the configuration of a run", f"a {type(values).__name__}")
    return values


def read_history(directory: str | os.PathLike[str]) -> dict[str, list[float]]:
    """Returns the history that `fit` returned, from a run's directory, without an unfinished last line.

    Raises DataError if no epoch has been finished there, or if something else stands among the lines.
    """
    lines = read_metrics(Path(directory))
    history = list(takewhile(bool, lines))
    if any(lines[len(history) :]):
        received = f"something else in line {len(history) + 1}"
        raise DataError(f"read {Path(directory) / 'metrics.jsonl'}", "the metrics of an epoch in every line", received)
    if not history:
        raise DataError(f"run directory {directory}", "a finished epoch in metrics.jsonl", "none yet")
    return {name: [metrics[name] for metrics in history] for name in history[0]}


def read_metrics(directory: Path) -> list[Metrics | None]:
    """Returns the lines of metrics.jsonl, with None for a line whose names are not those of the first."""
    path, lines, content = directory / "metrics.jsonl", [], b""
    if path.exists():
        with readable(f"read {path}", "the metrics of a run"), opened(path, largest=2**28) as file:
            content = file.read()
    for text in content.decode("utf-8", errors="replace").splitlines():
        try:
            metrics = json.loads(text)
            names = lines[0].keys() if lines and lines[0] else metrics.keys()
            whole = METRICS <= metrics.keys() == names and all(
                type(value) in (int, float) and abs(value) < LARGEST_METRIC for value in metrics.values()
            )
            lines.append(metrics if whole else None)
        except (ValueError, AttributeError, RecursionError):
            lines.append(None)
    return lines


def objective_score(metrics: Metrics) -> float | None:
    """Returns the validation value of the objective, which chooses best.npz, or None without validation data."""
    return metrics.get("validation_bound", metrics.get("validation_elbo"))


def fingerprint(x: Any) -> str:
    """Returns shape, type and SHA-256 of an array, to tell whether data have changed; Pixels count as floats."""
    if isinstance(x, Pixels):
        digest = hashlib.sha256()
        for part in x.parts():
            digest.update(numpy.ascontiguousarray(part))
        return f"{x.shape} {x.dtype} {digest.hexdigest()}"
    x = numpy.ascontiguousarray(to_numpy(x))
    return f"{x.shape} {x.dtype} {hashlib.sha256(x).hexdigest()}"


def digest(value: Any) -> str:
    """Returns the SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def defaults_of(model: Any) -> dict[str, Any]:
    """Returns the defaults of a model's constructor, and likewise of models within it, such as M1."""
    configuration = getattr(model, "configuration", None) or {}
    constructor = getattr(type(model), str(configuration.get("constructor")).rpartition(".")[2], None)
    parts = {
        name: defaults_of(getattr(model, name, None))
        for name, value in configuration.items()
        if isinstance(value, dict)
    }
    return (defaults(constructor) if callable(constructor) else {}) | parts


def defaults(function: Any) -> dict[str, Any]:
    """Returns the default of each parameter that has one, by name."""
    parameters = inspect.signature(function).parameters.values()
    return {x.name: x.default for x in parameters if x.default is not x.empty}


def completed(settings: Any, names: Any, defaults: Any) -> Any:
    """Returns the settings of an older run, with missing ones among the names set to their defaults.

    names: the settings of today, which say what is to be filled in; within a dictionary of a dictionary likewise.
    """
    if not all(isinstance(values, dict) for values in (settings, names, defaults)):
        return settings
    missing = {name: defaults[name] for name in names.keys() & defaults.keys() - settings.keys()}
    return missing | {name: completed(settings[name], names.get(name), defaults.get(name)) for name in settings}


def versions(device: str = "cpu") -> dict[str, str]:
    """Returns the versions of programs, the machine, and environment variables, on which the last bits depend."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    build = numpy.show_config(mode="dicts")
    blas = build.get("Build Dependencies", {}).get("blas", {})
    return {
        "scratchvae": sys.modules["scratchvae"].__version__,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "blas": f"{blas.get('name')} {blas.get('version')}",
        "machine": f"{platform.machine()}, {processors} processors",
        "simd": " ".join(build.get("SIMD Extensions", {}).get("found", [])),
        **(gpu_versions() if device == "gpu" else {}),
    } | {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}


def same_versions(before: Any, now: dict[str, str]) -> bool:
    """Tells whether two runs end with the same bits; older runs may lack the versions of this package and of BLAS."""
    return isinstance(before, dict) and {name: now[name] for name in ("scratchvae", "blas", "simd")} | before == now
