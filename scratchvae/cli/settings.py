"""The options of a run: those on the command line, those in a run directory, and the defaults of the kind."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scratchvae import data
from scratchvae.data import Dataset
from scratchvae.errors import DataError, InputError
from scratchvae.kinds import KINDS, Kind, Option, Settings
from scratchvae.kinds.kind import FOR_ROWS
from scratchvae.run_files import has_begun, read_configuration

OLDER_FILE = "options.json"
"""The file in which version 0.1 stored the options that are now in config.json."""


def options_by_name() -> dict[str, Option]:
    """Returns the options of all kinds by name; of several options with one name, the first."""
    options: dict[str, Option] = {}
    for kind in KINDS.values():
        for option in kind.options:
            options.setdefault(option.name, option)
    return options


def takers(name: str) -> list[str]:
    """Returns the names of the kinds that take the option with this name."""
    return [kind.name for kind in KINDS.values() if any(option.name == name for option in kind.options)]


KEPT_STATES = ("patience", "time_limit")
"""Options that count from the first epoch on: a resumed run may change them, but must have begun with them."""


def requested(arguments: argparse.Namespace) -> tuple[Kind, Settings]:
    """Returns the kind to train and its settings.

    Raises InputError for options that the kind does not take, or that differ from those of the resumed run.
    """
    texts = {name: value for name, value in vars(arguments).items() if name in options_by_name()}
    run = None if arguments.resume is None else Path(arguments.resume)
    kept = {} if run is None else kept_options(run, needed=("data",))
    rows = "records" if data.holds_table(texts.get("data", "")) else "images"
    kind = KINDS[arguments.model or kept.get("model", FOR_ROWS[rows])]
    for name in texts:
        if kind.name not in takers(name):
            option = options_by_name()[name]
            raise InputError("train", f"{option.flag} with --model {', '.join(takers(name))}", f"--model {kind.name}")
    named = [option for option in kind.options if option.name in texts]
    given = {option.name: option.read(texts[option.name], option.flag) for option in named}
    if run is not None:
        _refuse_changes(run, kind, kept, given)
    values = {option.name: option.default for option in kind.options} | kept | given
    values = {option.name: values[option.name] for option in kind.options}
    return kind, Settings(kind.complete(values), frozenset(given), run is not None and has_begun(run))


def kept_options(run: Path, needed: tuple[str, ...] = ()) -> dict[str, Any]:
    """Returns the checked options in a run directory, with "model" and "image_shape"; {} if there are none.

    An option that did not exist when the run was begun gets the value that stands for the behaviour of that version.
    Raises DataError for a directory without a needed option, and InputError for values that the command line refuses.
    """
    options, source = _read(run)
    if any(name not in options for name in needed):
        raise DataError(f"run directory {run}", "a run of `scratchvae train`", "no options in config.json")
    if not options:
        return {}
    name = options.get("model", next(iter(KINDS)))
    if name not in list(KINDS):
        raise DataError(f"read {source}", f"a model among {', '.join(KINDS)}", repr(name))
    shape = options.get("image_shape", [1])
    if not (isinstance(shape, list) and all(type(size) is int and size > 0 for size in shape)):
        raise DataError(f"read {source}", "image_shape as a list of sizes", repr(shape))
    values = {option.name: option.kept(options, source) for option in KINDS[name].options}
    return {"model": name, "image_shape": shape} | values


def load_parts(kind: Kind, options: Mapping[str, Any], data_dir: str | None = None) -> tuple[Dataset, Dataset, Dataset]:
    """Returns the training, validation and test parts of a run's data; data_dir overrides the folder in the options."""
    share = options["validation"]
    loaded = data.load(
        options["data"],
        data_dir or options["data_dir"],
        validation=None if share == "test" else share,
        split=options["split"],
        labels=options["data_labels"],
        drawn=options["drawn"],
        **kind.reading(options),
    )
    parts = kind.parts(options, loaded)
    return parts if len(parts) == 3 else (parts[0], parts[1], parts[1])


def older_file(run: Path) -> Path | None:
    """Returns the file with the options of a run by version 0.1, if they are not in config.json too."""
    path = run / OLDER_FILE
    return path if path.exists() and _read(run)[1] == path else None


def _read(run: Path) -> tuple[dict[str, Any], Path]:
    """Returns the options of a run directory, with the epochs of the latest training, and the file that holds them."""
    try:
        configuration = read_configuration(run / "config.json")
    except (FileNotFoundError, NotADirectoryError):
        configuration = {}
    options, source = configuration.get("options"), run / "config.json"
    if options is None:
        try:
            options, source = read_configuration(run / OLDER_FILE), run / OLDER_FILE
        except (FileNotFoundError, NotADirectoryError):
            options = {}
    if not isinstance(options, dict):
        raise DataError(f"read {source}", "the options of a run", f"a {type(options).__name__}")
    epochs = {"epochs": configuration["epochs"]} if options and "epochs" in configuration else {}
    return options | epochs, source


def _refuse_changes(run: Path, kind: Kind, kept: dict[str, Any], given: dict[str, Any]) -> None:
    """Raises InputError for given options that would change a setting of the resumed run which must stay the same."""
    if kind.name != kept["model"]:
        raise InputError(f"resume {run}", f"--model {kept['model']}, as the run has", f"--model {kind.name}")
    for option in kind.options:
        if option.name in given and not option.resumable and given[option.name] != kept[option.name]:
            expected = f"{option.flag} {kept[option.name]}, as the run has"
            hint = "--epochs may grow"
            raise InputError(f"resume {run}", expected, f"{option.flag} {given[option.name]}", hint)
        if has_begun(run) and option.name in KEPT_STATES and option.name in given and kept[option.name] is None:
            hint = "the epochs so far were not counted"
            raise InputError(f"resume {run}", f"a run that was begun with {option.flag}", f"{option.flag} now", hint)
    if has_begun(run) and given.get("epochs", kept["epochs"]) < kept["epochs"]:
        raise InputError(f"resume {run}", f"at least the run's {kept['epochs']} epochs", str(given["epochs"]))
