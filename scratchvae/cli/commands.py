"""The commands evaluate, sample, complete, plot, check and data."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy

import scratchvae as sv
from scratchvae.backend import device_module
from scratchvae.cli.output import print_json
from scratchvae.cli.settings import kept_options, load_parts
from scratchvae.data import Dataset
from scratchvae.errors import InputError
from scratchvae.evaluation import quantity
from scratchvae.kinds import KINDS, Kind, Option, Subject, kind_of
from scratchvae.kinds.kind import Line, folder_form
from scratchvae.kinds.pictures import MOST_SHOWN
from scratchvae.kinds.shared_options import FOLDER
from scratchvae.pixels import Pixels
from scratchvae.scoring import observations


class CheckFailed(Exception):
    """CheckFailed tells that a row of `scratchvae check` does not meet its tolerance."""


def evaluate(arguments: argparse.Namespace) -> None:
    """Prints the scores of a trained model on the test part of its data."""
    kind, model, options = kind_and_model(arguments)
    if arguments.data is None and not options:
        raise InputError("evaluate", "--data, as the run does not name its data", "none")
    part, test, train = chosen_data("evaluate", kind, model, arguments, options)
    test = test if arguments.limit is None else test.cut(arguments.limit)[0]
    x = kind.observations(test)
    figures, lines = score(kind, model, test, arguments.samples, arguments.seed, part, train)
    if arguments.importance_samples is not None:
        more, log_lines = _score_by_importance(kind, model, test, x, arguments.importance_samples, arguments.seed)
        figures, lines = figures | more, lines + log_lines
    if arguments.json:
        print_json({"run": arguments.run, "figures": figures, "lines": lines})
    else:
        print("\n".join(lines))


def _score_by_importance(
    kind: Kind, model: Any, test: Dataset, x: Any, n_samples: int, seed: int
) -> tuple[dict[str, Any], list[str]]:
    """Returns log p(x), estimated by importance sampling, and any further scores of the kind, by name and as lines."""
    log_px, error, effective = sv.log_likelihood(model, x, n_samples, seed)
    spread = log_px.std(ddof=1) / len(log_px) ** 0.5 if len(log_px) > 1 else numpy.inf
    line = (
        f"log p(x) {log_px.mean():.2f} +- {spread:.2f} from {n_samples} importance samples per {kind.datum}, "
        f"whose Monte Carlo standard error is {error.mean():.2f} and effective sample size {effective.mean():.0f}, "
        f"on average ({quantity(model, x)})"
    )
    figures = {
        "log_likelihood": log_px.mean(),
        "log_likelihood_standard_error": spread,
        "monte_carlo_standard_error": error.mean(),
        "effective_samples": effective.mean(),
        "importance_samples": n_samples,
    }
    lines = kind.scores(model, test, seed, n_samples)
    return figures | _figures_in(lines), [line, *lines]


def chosen_data(
    operation: str, kind: Kind, model: Any, arguments: argparse.Namespace, options: dict[str, Any]
) -> tuple[str, Dataset, Dataset | None]:
    """Returns the name of the data to score or show, the data, and the training part of the run.

    The data are the test part of a named data set or of the run's own data, or a whole file.
    """
    if arguments.data_labels is not None and arguments.data in (None, *sv.data.DATASETS):
        received = f"--data {arguments.data}" if arguments.data else "none"
        raise InputError(operation, "--data FILE with --data-labels", received)
    if arguments.data is None:
        train, _, test = load_parts(kind, options, arguments.data_dir)
        return "test", test, train
    if arguments.data in sv.data.DATASETS:
        return "test", sv.data.load(arguments.data, arguments.data_dir or options.get("data_dir"))[1], None
    parts = sv.data.read(arguments.data, arguments.data_labels, **kind.reading_another(options, arguments.data, model))
    return ("test", parts["test"], None) if "test" in parts else (f"all of {arguments.data}", parts["train"], None)


def score(
    kind: Kind,
    model: Any,
    test: Dataset,
    n_samples: int = 1,
    seed: int = 0,
    part: str = "test",
    train: Dataset | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Returns the scores of a data set by name and as lines: the bound, and any further scores of the kind.

    part: the name of the data set in the lines
    """
    x = kind.observations(test)
    scores = sv.evaluate(model, x, n_samples=n_samples, seed=seed)
    figures = {"part": part} | scores | {"latent_size": model.latent_size, "quantity": quantity(model, x)}
    line = f"ELBO {scores['elbo']:.2f} +- {scores['elbo_standard_error']:.2f} = {scores['reconstruction']:.2f}"
    line += f" - KL {scores['kl']:.2f}, {scores['active_units']} of {model.latent_size} units active"
    line = f"{part}: {line}, mean of {scores['n']:,} ({figures['quantity']})"
    lines = [*kind.in_other_units(model, x, scores), *kind.scores(model, test, seed, train=train)]
    return figures | _figures_in(lines), [line, *lines]


def _figures_in(lines: list[str]) -> dict[str, float]:
    """Returns the figures in the lines of a kind, by name."""
    return {name: value for line in lines if isinstance(line, Line) for name, value in line.figures.items()}


def sample(arguments: argparse.Namespace) -> None:
    """Writes samples as an array, a picture or a text; by default they are decoder means at samples from the prior."""
    kind, model, options = kind_and_model(arguments)
    asked, own = {}, {option.name: option for option in kind.sampling}
    for name, option in sampling_options().items():
        if name in arguments:
            refuse_others(f"sample {option.flag}", kind, partial(_samples_with, name))
            asked[name] = own[name].read(getattr(arguments, name), f"sample {option.flag}")

    kind.refuse_samples(Path(arguments.out), model, arguments.n)

    def train() -> Dataset:
        if not options:
            raise InputError(
                "sample --codes", "a run directory, which names the training data", f"file {arguments.run}"
            )
        return load_parts(kind, options, arguments.data_dir)[0]

    shape, asked = options.get("image_shape"), kind.sampling_arguments(model, asked, train, arguments.seed)
    for line in kind.write_samples(Path(arguments.out), model, arguments.n, arguments.seed, shape, **asked):
        print(line)


def sampling_options() -> dict[str, Option]:
    """Returns the options of `scratchvae sample` that only some kinds have, each name once."""
    return {option.name: option for kind in reversed(KINDS.values()) for option in kind.sampling}


def _samples_with(name: str, kind: Kind) -> bool:
    return any(option.name == name for option in kind.sampling)


def complete(arguments: argparse.Namespace) -> None:
    """Draws several completions of an unfinished drawing."""
    from scratchvae import plotting

    path = plotting.picture_path(arguments.out)
    temperature = {} if arguments.temperature is None else {"temperature": arguments.temperature}
    kind, model, _ = kind_and_model(arguments)
    refuse_others("complete", kind, lambda kind: kind.completes)
    if not Path(arguments.drawing).exists():
        raise InputError("complete", "the path of a file with a drawing", repr(arguments.drawing))
    x = observations(model, kind.observations(sv.data.read(arguments.drawing)["train"]))
    if arguments.row >= len(x):
        raise InputError("complete", f"--row below {len(x)}, the number of drawings", str(arguments.row))
    row = x[arguments.row]
    for line in kind.write_completions(path, model, row, arguments.n, arguments.seed, **temperature):
        print(line)
    print(path)


def kind_and_model(arguments: argparse.Namespace) -> tuple[Kind, Any, dict[str, Any]]:
    """Returns the kind, the model and the options of a run; the class of a model without a run determines the kind."""
    model, options = sv.load(_checkpoint(arguments)), kept_options(Path(arguments.run))
    return KINDS[options["model"]] if options else kind_of(model), model, options


def _checkpoint(arguments: argparse.Namespace) -> Path:
    """Returns the checkpoint file of a run, last.npz unless --checkpoint says best, or a checkpoint file unchanged."""
    run, name = Path(arguments.run), arguments.checkpoint
    if not run.is_dir():
        if name is not None and run.exists():
            raise InputError("--checkpoint", "a run directory", f"the checkpoint file {run}")
        return run
    path = run / f"{name or 'last'}.npz"
    if name == "best" and not path.exists():
        hint = "a run without validation data has only last.npz"
        raise InputError(f"load {path}", "the best checkpoint", "none", hint)
    return path


def refuse_others(operation: str, kind: Kind, suits: Callable[[Kind], bool]) -> None:
    """Raises InputError for a kind for which suits(kind) is false, naming the kinds for which it is true."""
    if not suits(kind):
        others = ", ".join(other.name for other in KINDS.values() if suits(other))
        raise InputError(operation, f"a run with --model {others}", f"a run with --model {kind.name}")


def plot(arguments: argparse.Namespace) -> None:
    """Draws one picture of a run, or all pictures that the run allows."""
    directory = Path(arguments.run)
    options = kept_options(directory, needed=("data",))
    kind, model, name = KINDS[options["model"]], sv.load(_checkpoint(arguments)), arguments.picture
    subject = Subject(model, directory, lambda: load_parts(kind, options, arguments.data_dir)[::2])
    if name == "all":
        if arguments.out:
            raise InputError("plot", "the name of one picture with --out", "all")
        draw_all(kind, subject)
        return
    pictures = {picture.name: picture for picture in kind.pictures}
    if name not in pictures:
        expected = f"one of the pictures of a {type(model).__name__}: {', '.join(pictures)}"
        raise InputError("plot", expected, repr(name))
    from scratchvae import plotting

    path = plotting.picture_path(arguments.out or _picture_path(directory, name))
    if not pictures[name].is_possible(subject):
        raise InputError(f"plot {name}", pictures[name].needs, str(subject))
    plotting.save_figure(pictures[name].draw(subject), path)
    print(path)


def draw_all(kind: Kind, subject: Subject) -> None:
    """Saves the pictures that a subject allows, and prints why the others are not possible."""
    from scratchvae import plotting

    for picture in kind.pictures:
        if picture.is_possible(subject):
            path = _picture_path(subject.directory, picture.name)
            plotting.save_figure(picture.draw(subject), path)
            print(path)
        else:
            print(f"no picture {picture.name}: it needs {picture.needs}; the run has {subject}")


def _picture_path(directory: Path, name: str) -> Path:
    return directory / "figures" / f"{name}.png"


def check(arguments: argparse.Namespace) -> None:
    """Prints all rows of the checks. Raises CheckFailed if a row does not meet its tolerance."""
    from scratchvae.checks.table import SECTIONS, outcomes

    device_module(arguments.device)
    started, rows = time.perf_counter(), []
    say = _silent if arguments.json else print
    for section in SECTIONS:
        say(f"{section:44}{'figure':>10}  tolerance")
        for outcome in outcomes(section, arguments.device):
            rows.append({"section": section} | vars(outcome) | {"passed": outcome.passed})
            verdict = "ok" if outcome.passed else f"FAILED {outcome.reason}"
            say(f"  {outcome.name:42}{outcome.figure:10.1e}  {outcome.tolerance:9.1e}  {verdict}".rstrip(), flush=True)
    seconds = time.perf_counter() - started
    failed, n = [row["name"] for row in rows if not row["passed"]], len(rows)
    say(f"{n} checks on the {arguments.device}, {len(failed)} failed, {seconds:.0f} s (NumPy {numpy.__version__})")
    if arguments.json:
        print_json({"device": arguments.device, "seconds": seconds, "failed": len(failed), "checks": rows})
    if failed:
        raise CheckFailed(f"check failed: {', '.join(failed)}")


def _silent(*_: Any, **__: Any) -> None:
    """Prints nothing."""


def _image_figures(part: Dataset) -> dict[str, Any]:
    x = part.images
    in_bytes = isinstance(x, Pixels)
    mean, low, high = x.describe() if in_bytes else (x.mean(), x.min(), x.max())
    dtype = "uint8 / 255" if in_bytes else str(x.dtype)
    return {"shape": x.shape, "dtype": dtype, "mean": mean, "low": low, "high": high}


def _images_in_words(part: Dataset) -> str:
    return "{shape} {dtype}, mean {mean:.4f}, from {low:g} to {high:g}".format(**_image_figures(part))


def _sketches_in_words(part: Dataset) -> str:
    facts = sv.data.describe_sketches(part.sketches)
    words = (
        f"{facts['sketches']:,} sketches of {facts['rows']:.1f} rows, at most {facts['longest']}, and "
        f"{facts['lines']:.1f} lines; standard deviation of the offsets {facts['scale']:.2f}"
    )
    words += ", all whole numbers" if facts["whole_numbers"] else ""
    return words + (f"; {part.omissions} left out as too long or without a line" if part.omissions else "")


def _molecules_in_words(part: Dataset) -> str:
    facts = sv.data.describe_molecules(part.molecules)
    words = (
        f"{facts['molecules']:,} molecules of {facts['tokens']:.1f} tokens, at most {facts['longest']}, of "
        f"{facts['symbols']} symbols; {facts['valid']:.1%} valid by read_smiles ({sv.chemistry.UNSEEN})"
    )
    words += f"; {part.omissions} left out as too long" if part.omissions else ""
    means = [f"{name} {numpy.nanmean(values):.4g}" for name, values in part.properties.items() if len(values)]
    return words + (f"\n       means: {', '.join(means)}" if means else "")


FIGURES = {
    "images": _image_figures,
    "sketches": lambda part: sv.data.describe_sketches(part.sketches),
    "molecules": lambda part: sv.data.describe_molecules(part.molecules),
    "records": sv.data.describe_table,
}
"""The type of the rows of a data set -> the figures of a part, by name."""

IN_WORDS = {
    "images": _images_in_words,
    "sketches": _sketches_in_words,
    "molecules": _molecules_in_words,
    "records": sv.data.table_in_words,
}


def _draw_images(path: Path, part: Dataset) -> None:
    shades = sv.plotting.Shades.of(part.in_memory(MOST_SHOWN).images)
    figure = sv.plotting.images(part.images[:100], shades=shades)
    sv.plotting.save_figure(figure, path)


def _draw_sketches(path: Path, part: Dataset) -> None:
    if path.suffix.lower() != ".svg":
        raise InputError("data", "--out with the suffix .svg for sketches", str(path))
    sv.data.write_svg(path, part.sketches[:100])


def _draw_molecules(path: Path, part: Dataset) -> None:
    sv.plotting.save_figure(sv.plotting.molecules(part.molecules[:25]), path)


def _draw_records(path: Path, part: Dataset) -> None:
    raise InputError("data", "images, sketches or molecules to draw with --out", "a table")


DRAWN = {
    "images": _draw_images,
    "sketches": _draw_sketches,
    "molecules": _draw_molecules,
    "records": _draw_records,
}
"""The type of the rows of a data set -> the function that draws some of them into a file."""


def data(arguments: argparse.Namespace) -> None:
    """Prints the contents of a data set, and draws some of its rows."""
    if arguments.out:
        from scratchvae import plotting

        path = plotting.picture_path(arguments.out)
    form = folder_form(*(option.read(getattr(arguments, option.name), option.flag) for option in FOLDER))
    train, test = sv.data.load(arguments.data, arguments.data_dir, **form)
    if arguments.out:
        DRAWN[train.name_of_rows](path, train)
    if arguments.json:
        print_json({"data": arguments.data, "note": train.note, "train": _facts(train), "test": _facts(test)})
    else:
        print("\n".join([*_lines(train, test), *([str(path)] if arguments.out else [])]))


def _lines(train: Dataset, test: Dataset) -> list[str]:
    """Describes a data set in lines for a person."""
    lines = [train.note] if train.note else []
    for name, part in (("train", train), ("test", test)):
        lines.append(f"{name:5s}  {IN_WORDS[part.name_of_rows](part)}")
        if part.labels is not None:
            lines.append(f"       labels {', '.join(f'{k}: {n}' for k, n in _counts(part).items())}")
    if train.factors:
        lines.append(f"factors {', '.join(train.factors)}")
    if train.attributes:
        shares = (f"{name} {values.mean():.0%}" for name, values in train.attributes.items())
        lines.append(f"attributes {', '.join(shares)}")
    return lines


def _facts(part: Dataset) -> dict[str, Any]:
    """Returns the figures of one part, by name."""
    facts = {"rows": part.name_of_rows, "n": len(part), "omissions": part.omissions} | FIGURES[part.name_of_rows](part)
    facts["labels"] = None if part.labels is None else _counts(part)
    shares = {name: values.mean() for name, values in part.attributes.items()}
    means = {name: numpy.nanmean(values) for name, values in part.properties.items() if len(values)}
    return facts | {"factors": list(part.factors), "attributes": shares, "properties": means}


def _counts(part: Dataset) -> dict[int, int]:
    """Returns the number of rows with each label."""
    labels, counts = numpy.unique(part.labels, return_counts=True)
    return dict(zip(labels.tolist(), counts.tolist(), strict=True))
