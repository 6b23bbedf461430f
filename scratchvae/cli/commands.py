"""evaluate, sample, explore, complete, impute, plot, check and data: what the command line does with what is there."""

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
from scratchvae.cli.settings import kept_options, load_parts
from scratchvae.data import Dataset
from scratchvae.errors import InputError
from scratchvae.evaluation import observations, quantity
from scratchvae.kinds import KINDS, Kind, Option, Subject, kind_of


class CheckFailed(Exception):
    """A row of `scratchvae check` does not meet its tolerance."""


def evaluate(arguments: argparse.Namespace) -> None:
    """Print the scores of a trained model on the test part of its data."""
    model, options = sv.load(arguments.run), kept_options(Path(arguments.run))
    if arguments.data is None and not options:
        raise InputError("evaluate", "--data, as the run does not say what to score", "none")
    kind = _kind(model, options)
    part, test, train = chosen_data("evaluate", kind, model, arguments, options)
    test = test if arguments.limit is None else test.cut(arguments.limit)[0]
    x = kind.observations(test)
    print_scores(kind, model, test, arguments.samples, arguments.seed, part, train)
    n_samples = arguments.importance_samples
    if n_samples is not None:
        log_px, error, effective = sv.log_likelihood(model, x, n_samples, arguments.seed)
        spread = log_px.std(ddof=1) / len(log_px) ** 0.5 if len(log_px) > 1 else numpy.inf
        print(
            f"log p(x) {log_px.mean():.2f} +- {spread:.2f} by {n_samples} importance samples, "
            f"Monte Carlo's standard error per {kind.datum} {error.mean():.2f}, "
            f"effective samples {effective.mean():.0f} ({quantity(model, x)})"
        )
        for line in kind.scores(model, test, arguments.seed, n_samples):
            print(line)


def chosen_data(
    operation: str, kind: Kind, model: Any, arguments: argparse.Namespace, options: dict[str, Any]
) -> tuple[str, Dataset, Dataset | None]:
    """What the data to score or to show are called, the data, and the part that the run was trained on beside them.

    They are the test part of a set or of the run's own data, or a whole file.
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


def print_scores(
    kind: Kind,
    model: Any,
    test: Dataset,
    n_samples: int = 1,
    seed: int = 0,
    part: str = "test",
    train: Dataset | None = None,
) -> None:
    """Print the bound of a data set, by the name of the part that it is, and what else the kind scores."""
    x = kind.observations(test)
    scores = sv.evaluate(model, x, n_samples=n_samples, seed=seed)
    line = f"ELBO {scores['elbo']:.2f} +- {scores['elbo_standard_error']:.2f} = {scores['reconstruction']:.2f}"
    line += f" - KL {scores['kl']:.2f}, {scores['active_units']} of {model.latent_size} units active"
    print(f"{part}: {line}, mean of {scores['n']:,} ({quantity(model, x)})")
    for line in [*kind.in_other_units(model, x, scores), *kind.scores(model, test, seed, train=train)]:
        print(line)


def sample(arguments: argparse.Namespace) -> None:
    """Write samples, by default decoder means of samples from the prior, as an array, a picture or a text."""
    model, options = sv.load(arguments.run), kept_options(Path(arguments.run))
    kind = _kind(model, options)
    asked, own = {}, {option.name: option for option in kind.sampling}
    for name, option in sampling_options().items():
        if name in arguments:
            _refuse_others(f"sample {option.flag}", kind, partial(_samples_with, name))
            asked[name] = own[name].read(getattr(arguments, name), f"sample {option.flag}")

    def train() -> Dataset:
        if not options:
            raise InputError("sample", "a run directory, whose training data are encoded", f"the file {arguments.run}")
        return load_parts(kind, options, arguments.data_dir)[0]

    shape, asked = options.get("image_shape"), kind.sampling_arguments(model, asked, train, arguments.seed)
    for line in kind.write_samples(Path(arguments.out), model, arguments.n, arguments.seed, shape, **asked):
        print(line)


def sampling_options() -> dict[str, Option]:
    """The options of `scratchvae sample` that some kinds have, each name once."""
    return {option.name: option for kind in reversed(KINDS.values()) for option in kind.sampling}


def _samples_with(name: str, kind: Kind) -> bool:
    return any(option.name == name for option in kind.sampling)


def explore(arguments: argparse.Namespace) -> None:
    """Write a page on which the latent space of a trained model can be explored."""
    model, options = sv.load(arguments.run), kept_options(Path(arguments.run))
    if arguments.data is None and not options:
        raise InputError("explore", "--data, as the run does not say what to show", "none")
    kind = _kind(model, options)
    test = chosen_data("explore", kind, model, arguments, options)[1]
    name, numbers = arguments.data or options["data"], test.factors | test.properties
    page = sv.explorer(
        model,
        kind.observations(test),
        test.labels,
        attributes=test.attributes,
        properties={key: values for key, values in numbers.items() if key not in test.attributes},
        thumbnails=not sv.data.shows_persons(name) if arguments.thumbnails is None else arguments.thumbnails,
        title=f"{Path(name).name}: {type(model).__name__}, K = {model.latent_size}",
    )
    page.save(arguments.out)
    print(f"{arguments.out}: {len(page.page) / 1e6:.1f} MB, a page that needs no other file")


def complete(arguments: argparse.Namespace) -> None:
    """Draw ways to go on with a drawing that has begun."""
    from scratchvae import plotting

    path = plotting.picture_path(arguments.out)
    temperature = {} if arguments.temperature is None else {"temperature": arguments.temperature}
    model = sv.load(arguments.run)
    kind = _kind(model, kept_options(Path(arguments.run)))
    _refuse_others("complete", kind, lambda kind: kind.completes)
    if not Path(arguments.drawing).exists():
        raise InputError("complete", "the path of a file with a drawing", repr(arguments.drawing))
    x = observations(model, kind.observations(sv.data.read(arguments.drawing)["train"]))
    if arguments.row >= len(x):
        raise InputError("complete", f"--row below {len(x)}, the number of drawings", str(arguments.row))
    row = x[arguments.row]
    for line in kind.write_completions(path, model, row, arguments.n, arguments.seed, **temperature):
        print(line)
    print(path)


def impute(arguments: argparse.Namespace) -> None:
    """Write a file again with values in place of what is missing."""
    model = sv.load(arguments.run)
    kind = _kind(model, kept_options(Path(arguments.run)))
    _refuse_others("impute", kind, lambda kind: kind.imputes)
    if not Path(arguments.file).is_file():
        raise InputError("impute", "the path of a file", repr(arguments.file))
    out, n_samples = Path(arguments.out), arguments.samples
    for line in kind.write_imputed(arguments.file, out, model, n_samples, arguments.seed, arguments.draw):
        print(line)


def _kind(model: Any, options: dict[str, Any]) -> Kind:
    """The kind that a run names, else the one of the model's class."""
    return KINDS[options["model"]] if options else kind_of(model)


def _refuse_others(operation: str, kind: Kind, suits: Callable[[Kind], bool]) -> None:
    """Raise InputError for a kind that does not suit, and name those that do."""
    if not suits(kind):
        others = ", ".join(other.name for other in KINDS.values() if suits(other))
        raise InputError(operation, f"a run of --model {others}", f"one of --model {kind.name}")


def plot(arguments: argparse.Namespace) -> None:
    """Draw one picture of a run, or all that are possible."""
    directory = Path(arguments.run)
    options = kept_options(directory, needed=("data",))
    kind, model, name = KINDS[options["model"]], sv.load(directory), arguments.picture
    subject = Subject(model, directory, lambda: load_parts(kind, options, arguments.data_dir)[::2])
    if name == "all":
        if arguments.out:
            raise InputError("plot", "one picture with --out", "all")
        draw_all(kind, subject)
        return
    pictures = {picture.name: picture for picture in kind.pictures}
    if name not in pictures:
        raise InputError(f"plot {name}", f"a picture among {', '.join(pictures)}", f"a {type(model).__name__}")
    from scratchvae import plotting

    path = plotting.picture_path(arguments.out or _picture_path(directory, name))
    if not pictures[name].is_possible(subject):
        raise InputError(f"plot {name}", pictures[name].needs, str(subject))
    plotting.save_figure(pictures[name].draw(subject), path)
    print(path)


def draw_all(kind: Kind, subject: Subject) -> None:
    """Save the pictures that a subject allows, and name the others."""
    from scratchvae import plotting

    for picture in kind.pictures:
        if picture.is_possible(subject):
            path = _picture_path(subject.directory, picture.name)
            plotting.save_figure(picture.draw(subject), path)
            print(path)
        else:
            print(f"no picture {picture.name}: it needs {picture.needs}, and there are {subject}")


def _picture_path(directory: Path, name: str) -> Path:
    return directory / "figures" / f"{name}.png"


def check(arguments: argparse.Namespace) -> None:
    """Print every row of the checks. Raises CheckFailed if one does not meet its tolerance."""
    from scratchvae.checks.table import SECTIONS, outcomes

    device_module(arguments.device)
    started, n, failed = time.perf_counter(), 0, []
    for section in SECTIONS:
        print(f"{section:44}{'figure':>10}  tolerance")
        for outcome in outcomes(section, arguments.device):
            n += 1
            verdict = "ok" if outcome.passed else f"FAILED {outcome.reason}"
            print(
                f"  {outcome.name:42}{outcome.figure:10.1e}  {outcome.tolerance:9.1e}  {verdict}".rstrip(), flush=True
            )
            if not outcome.passed:
                failed.append(outcome.name)
    seconds = time.perf_counter() - started
    print(f"{n} checks on the {arguments.device}, {len(failed)} failed, {seconds:.0f} s (NumPy {numpy.__version__})")
    if failed:
        raise CheckFailed(f"check failed: {', '.join(failed)}")


def _images_in_words(part: Dataset) -> str:
    x = part.images
    return f"{x.shape} {x.dtype}, mean {x.mean():.4f}, from {x.min():g} to {x.max():g}"


def _sketches_in_words(part: Dataset) -> str:
    facts = sv.data.describe_sketches(part.sketches)
    words = (
        f"{facts['sketches']:,} sketches of {facts['rows']:.1f} rows, at most {facts['longest']}, and "
        f"{facts['lines']:.1f} lines; standard deviation of the offsets {facts['scale']:.2f}"
    )
    words += ", all whole numbers" if facts["whole_numbers"] else ""
    return words + (f"; {part.omissions} left out, too long or without a line" if part.omissions else "")


def _molecules_in_words(part: Dataset) -> str:
    facts = sv.data.describe_molecules(part.molecules)
    words = (
        f"{facts['molecules']:,} molecules of {facts['tokens']:.1f} tokens, at most {facts['longest']}, of "
        f"{facts['symbols']} symbols; {facts['valid']:.1%} valid by read_smiles ({sv.chemistry.UNSEEN})"
    )
    words += f"; {part.omissions} left out, too long" if part.omissions else ""
    means = [f"{name} {numpy.nanmean(values):.4g}" for name, values in part.properties.items() if len(values)]
    return words + (f"\n       means: {', '.join(means)}" if means else "")


IN_WORDS = {
    "images": _images_in_words,
    "sketches": _sketches_in_words,
    "molecules": _molecules_in_words,
    "records": sv.data.table_in_words,
}


def _draw_images(path: Path, part: Dataset) -> None:
    figure = sv.plotting.images(part.images[:100], shades=sv.plotting.Shades.of(part.images))
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
"""What the rows of a data set are -> how some of them are drawn into a file."""


def data(arguments: argparse.Namespace) -> None:
    """Print what a data set holds, and draw some of it."""
    if arguments.out:
        from scratchvae import plotting

        path = plotting.picture_path(arguments.out)
    train, test = sv.data.load(arguments.data, arguments.data_dir)
    for name, part in (("train", train), ("test", test)):
        print(f"{name:5s}  {IN_WORDS[part.name_of_rows](part)}")
        if part.labels is not None:
            labels, counts = numpy.unique(part.labels, return_counts=True)
            print(f"       labels {', '.join(f'{k}: {n}' for k, n in zip(labels, counts, strict=True))}")
    if train.factors:
        print(f"factors {', '.join(train.factors)}")
    if train.attributes:
        print(f"attributes {', '.join(f'{name} {values.mean():.0%}' for name, values in train.attributes.items())}")
    if arguments.out:
        DRAWN[train.name_of_rows](path, train)
        print(path)
