"""The command runs: a table that compares the runs in a folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import scratchvae as sv
from scratchvae.cli.output import print_json
from scratchvae.cli.settings import kept_options
from scratchvae.errors import DataError, InputError
from scratchvae.run_files import Metrics, has_begun, read_configuration, read_metrics

BARS = "▁▂▃▄▅▆▇█"
"""The bars of a sparkline."""

WIDTH = 24
"""The most characters of a sparkline."""

OF_A_PLACE = ("data_dir", "image_shape")
"""Options that describe a run's data and their place; they are not compared."""

IN_CONFIGURATION_ONLY = ("versions", "epochs", "options")
"""Entries of config.json that are not arguments of `fit`."""


def runs(arguments: argparse.Namespace) -> None:
    """Lists the runs of a folder with their figures and with the options that differ between them."""
    folder = Path(arguments.folder)
    if not folder.is_dir():
        raise InputError("runs", "a folder with run directories", repr(arguments.folder))
    path = None
    if arguments.out:
        from scratchvae import plotting

        path = plotting.picture_path(arguments.out)
    places = [folder] if _is_run(folder) else sorted(place for place in folder.iterdir() if place.is_dir())
    found = [_described(place) for place in places if _is_run(place)]
    others = [place.name for place in places if not _is_run(place) and not place.name.startswith(".")]
    if not found:
        raise DataError("runs", f"a run directory in {folder}", f"none among {len(others)} folders")
    options = differing([run["options"] for run in found if "error" not in run])
    if path is not None:
        histories = {run["name"]: run["history"] for run in found if run.get("history")}
        sv.plotting.save_figure(sv.plotting.run_curves(histories), path)
    if arguments.json:
        print_json({"runs": found, "differing": options, "others": others})
    else:
        print("\n".join(_table(found, options)))
        if others:
            print(f"folders without a run: {', '.join(others)}")
    if path is not None and not arguments.json:
        print(path)


def differing(options: list[dict[str, Any]]) -> list[str]:
    """Returns the names of the options that differ between the runs, except OF_A_PLACE."""
    names = dict.fromkeys(name for run in options for name in run if name not in OF_A_PLACE)
    return [name for name in names if any(run.get(name) != options[0].get(name) for run in options)]


def sparkline(values: list[float]) -> str:
    """Returns a bar for each value; of more than WIDTH values, an even choice with the first and the last."""
    if len(values) > WIDTH:
        values = [values[round(i * (len(values) - 1) / (WIDTH - 1))] for i in range(WIDTH)]
    low, high = min(values, default=0.0), max(values, default=0.0)
    return "".join(BARS[round((len(BARS) - 1) * (value - low) / ((high - low) or 1))] for value in values)


def _is_run(place: Path) -> bool:
    return has_begun(place) or (place / "options.json").is_file()


def _described(place: Path) -> dict[str, Any]:
    """Describes a run: name, model, data, epochs, figures, history and options, or the error if it is unreadable."""
    known: dict[str, Any] = {"name": place.resolve().name}
    try:
        options = kept_options(place)
        configuration = read_configuration(place / "config.json") if (place / "config.json").is_file() else {}
        lines = read_metrics(place)
    except (InputError, OSError) as error:
        return known | {"error": str(error)}
    if not options:  # a run of `fit` from Python
        options = {name: value for name, value in configuration.items() if name not in IN_CONFIGURATION_ONLY}
        model = options.pop("model", "")
        options = {"model": model.get("constructor") if isinstance(model, dict) else str(model)} | options
    history = [metrics for metrics in lines if metrics is not None]
    known |= {"model": options["model"], "data": options.get("data"), "epochs": len(history)}
    known |= {"epochs_asked": configuration.get("epochs", options.get("epochs")), "figures": _figures(history)}
    known |= {"unreadable_lines": len(lines) - len(history), "options": options}
    return known | {
        "history": {name: [metrics[name] for metrics in history] for name in (history[0] if history else ())}
    }


def _figures(history: list[Metrics]) -> dict[str, float]:
    """Returns the figures of the last epoch, and the best validation ELBO with its epoch."""
    if not history:
        return {}
    figures = {name: value for name, value in history[-1].items() if name not in ("epoch", "step", "seconds")}
    figures["seconds"] = sum(metrics["seconds"] for metrics in history)
    if "validation_elbo" in history[0]:
        best = max(history, key=lambda metrics: metrics["validation_elbo"])
        figures |= {"best_validation_elbo": best["validation_elbo"], "best_epoch": best["epoch"]}
    return figures


def _table(found: list[dict[str, Any]], options: list[str]) -> list[str]:
    """Returns one line per run, in columns as wide as their longest entry, and a sentence for each unreadable run."""
    shown = [name for name in options if name not in ("model", "data", "epochs")]
    titles = ["run", "model", "data", "epochs", "ELBO", "KL", "active", "validation", "best", "", *shown]
    rows = [titles] + [_cells(run, shown) for run in found if "error" not in run]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"{run['name']}: {run['error']}" for run in found if "error" in run]
    torn = [f"{run['name']} ({run['unreadable_lines']})" for run in found if run.get("unreadable_lines")]
    return lines + ([f"unreadable lines of metrics.jsonl: {', '.join(torn)}"] if torn else [])


def _cells(run: dict[str, Any], options: list[str]) -> list[str]:
    figures, history = run["figures"], run["history"]
    data = str(run["data"])
    data = (
        Path(data).name if Path(data).is_absolute() else data.partition(")")[0] + ")" if data.startswith("(") else data
    )
    cells = [run["name"], str(run["model"]), data, f"{run['epochs']}/{run['epochs_asked']}"]
    for name, form in (("elbo", ".2f"), ("kl", ".2f"), ("active_units", "d"), ("validation_elbo", ".2f")):
        cells.append(format(figures[name], form) if name in figures else "-")
    best = f"{figures['best_validation_elbo']:.2f} at {figures['best_epoch']}" if "best_epoch" in figures else "-"
    cells += [best, sparkline(history.get("validation_elbo", history.get("elbo", [])))]
    return cells + [_in_words(run["options"].get(name)) for name in options]


def _in_words(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list) else "-" if value is None else str(value)
    return text if len(text) <= 24 else f"{text[:21]}..."
