"""Pictures of the results of `python -m benchmarks step --out FILE`: cost by size, and loss by seconds of training.

If FILE has these cases, the pictures are batch.png and width.png (milliseconds of a step by the size of the minibatch,
and by the width of the hidden layer: cases batch and width), nats.png (the loss of training against seconds: case nats)
and threads.png (milliseconds of each case with each number of threads).
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.arguments import parser, say
from benchmarks.harness import Result
from benchmarks.step import read
from scratchvae.errors import DataError
from scratchvae.plotting import save_figure
from scratchvae.plotting.canvas import BLUE, GREEN, GREY, ORANGE, enlarge_labels, open_frame

LOOKS = {
    "scratchvae": {"label": "scratchvae", "color": BLUE, "marker": "o"},
    "numpy": {"label": "NumPy, by hand", "color": GREY, "marker": "v"},
    "torch": {"label": "PyTorch", "color": ORANGE, "marker": "s"},
    "torch-compile": {"label": "PyTorch, compiled", "color": ORANGE, "marker": "^", "linestyle": "--"},
    "jax": {"label": "JAX, compiled", "color": GREEN, "marker": "D"},
}
"""How a peer's line looks, and its name in the legend."""

COLUMNS = 4  # of panels
MILLISECONDS = "milliseconds per step"


def main(arguments: list[str]) -> None:
    """Draws the pictures that the results allow, and prints their files."""
    options = parser("plots", __doc__, "plots", "folder of the pictures")
    options.add_argument("results", type=Path, metavar="FILE", help="results file of `python -m benchmarks step`")
    settings = options.parse_args(arguments)
    results = read(settings.results)
    figures = {name: draw(results) for name, draw in PICTURES.items()}
    if not any(figures.values()):
        raise DataError("plots", "results of batch, width or nats, or of several threads", str(settings.results))
    for name, figure in figures.items():
        if figure is None:
            say(f"plots: nothing in {settings.results.name} for {name}.png")
        else:
            print(save_figure(figure, settings.out / f"{name}.png"))


def growth(results: list[Result], group: str, label: str, title: str) -> Figure | None:
    """Milliseconds of a step by a size, a panel for each number of threads; bars: 10th to 90th percentile."""

    def draw(axes: Axes, rows: list[Result]) -> None:
        rows = sorted(rows, key=size)
        for name in peers(rows):
            found = [(size(row), row["peers"][name]) for row in rows if name in row["peers"]]
            sizes, times = [n for n, _ in found], numpy.array([figures["milliseconds"] for _, figures in found])
            low, high = (numpy.array([figures[f"{q}th percentile"] for _, figures in found]) for q in (10, 90))
            axes.errorbar(sizes, times, [times - low, high - times], capsize=3, **LOOKS[name])
        sizes = [size(row) for row in rows]
        axes.set(xscale="log", yscale="log", xlabel=label, ylabel=MILLISECONDS)
        axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
        axes.set_xticks([], minor=True)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())

    return by_threads([row for row in results if row["case"].startswith(f"{group}:")], draw, title)


def nats(results: list[Result]) -> Figure | None:
    """Draws the mean loss of each turn against the seconds of all turns so far."""

    def draw(axes: Axes, rows: list[Result]) -> None:
        for name in peers(rows):
            turns = rows[0]["peers"][name]["rounds"]
            seconds = numpy.cumsum([turn["steps"] * turn["seconds"] for turn in turns])
            axes.plot(seconds, [turn["loss"] for turn in turns], **LOOKS[name])
        axes.set(xlabel="seconds of training", ylabel="-ELBO of the minibatches, nats")

    rows = [row for row in results if row["case"] == "nats"]
    return by_threads(rows, draw, "Training of a VAE 784-400-20 on drawn digits")


def threads(results: list[Result]) -> Figure | None:
    """Milliseconds of each case that was measured with several numbers of threads, a panel for each."""
    names = [row["case"] for row in results if ":" not in row["case"]]
    several = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if not several:
        return None
    n_rows = math.ceil((len(several) + 1) / COLUMNS)  # with a place for the legend
    figure = Figure(figsize=(11.5, 0.5 + 3.2 * n_rows), layout="constrained", dpi=120)
    panels = figure.subplots(n_rows, COLUMNS, squeeze=False).ravel()
    for axes in panels[len(several) :]:
        axes.set_axis_off()
    for i, (axes, case) in enumerate(zip(panels, several, strict=False)):
        rows = sorted((row for row in results if row["case"] == case), key=lambda row: row["threads"])
        for name in peers(rows):
            found = [(row["threads"], row["peers"][name]["milliseconds"]) for row in rows if name in row["peers"]]
            axes.plot(*zip(*found, strict=True), **LOOKS[name])
        busy = "\n(on a busy machine)" if any(row["busy"] for row in rows) else ""
        model = textwrap.fill(rows[0]["what"].split(",")[0].replace(" x ", "\u00d7"), 24)
        axes.set(title=f"{model}{busy}", xlabel="threads", ylabel="" if i % COLUMNS else MILLISECONDS)
        axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
        axes.set_xmargin(0.15)
        axes.set_xticks([row["threads"] for row in rows])
        open_frame(axes)
        enlarge_labels(axes)
    named = {label: line for axes in figure.axes for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    panels[len(several)].legend(named.values(), named.keys(), frameon=False, loc="center", fontsize=13)
    figure.suptitle("Time of a training step with one thread and with several, by model and library", fontsize=14)
    return figure


PICTURES: dict[str, Callable[[list[Result]], Figure | None]] = {
    "batch": lambda results: growth(
        results, "batch", "rows of the minibatch", "Training step of a VAE 784-400-20, by size of minibatch"
    ),
    "width": lambda results: growth(
        results, "width", "hidden units h", "Training step of a VAE 784-h-20, by width h of its layers"
    ),
    "nats": nats,
    "threads": threads,
}


def by_threads(results: list[Result], draw: Callable[[Axes, list[Result]], None], title: str) -> Figure | None:
    """Returns a figure with a panel for each number of threads, below a title, or None without results."""
    counts = sorted({row["threads"] for row in results})
    if not counts:
        return None
    figure = Figure(figsize=(6.4 * len(counts), 4.9), layout="constrained", dpi=150)
    for axes, n in zip(figure.subplots(1, len(counts), sharey=True, squeeze=False).flat, counts, strict=True):
        rows = [row for row in results if row["threads"] == n]
        draw(axes, rows)
        busy = " (on a busy machine)" if any(row["busy"] for row in rows) else ""
        axes.set_title(f"{n} thread{'s' if n > 1 else ''}{busy}")
        open_frame(axes)
        enlarge_labels(axes)
    figure.axes[0].legend(frameon=False, fontsize=12)
    figure.suptitle(title, fontsize=14)
    return figure


def peers(rows: list[Result]) -> list[str]:
    """Returns the peers of the results that have a colour, in the order of the colours."""
    return [name for name in LOOKS if any(name in row["peers"] for row in rows)]


def size(result: Result) -> int:
    """Returns the number after the colon in the name of a case."""
    return int(result["case"].split(":")[1])
