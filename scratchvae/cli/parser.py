"""The parser of the command line, made of the options of all kinds of model."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

import scratchvae as sv
from scratchvae.cli import commands
from scratchvae.cli.settings import options_by_name, takers
from scratchvae.cli.train import train
from scratchvae.kinds import KINDS, Option
from scratchvae.kinds.kind import DATA, DATA_DIR, DATA_LABELS
from scratchvae.kinds.option import COUNT, FROM_ZERO, POSITIVE, name

RUN_HELP = "a run directory, or a checkpoint file"


class UsageError(Exception):
    """A command line that the parser does not take."""


class _Parser(argparse.ArgumentParser):
    """A parser that refuses in one sentence, as the rest of the package does."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} ({self.prog} --help tells more)")


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets `command` to the function that carries it out."""
    root = _Parser(
        prog="scratchvae",
        description="Variational autoencoders from scratch, on NumPy and CuPy. All figures are in nats.",
        epilog="scratchvae COMMAND --help tells more. Without any option, `scratchvae train` draws its own data.",
        allow_abbrev=False,
    )
    root.add_argument("--version", action="version", version=f"scratchvae {sv.__version__}")
    added = root.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for add in (
        _add_train,
        _add_evaluate,
        _add_sample,
        _add_explore,
        _add_complete,
        _add_impute,
        _add_plot,
        _add_check,
        _add_data,
    ):
        add(added)
    return root


def _command(added: Any, name: str, function: Any, summary: str, description: str) -> argparse.ArgumentParser:
    command = added.add_parser(name, help=summary, description=description, allow_abbrev=False)
    command.set_defaults(command=function)
    return command


def _converted(conversion: Callable[[Any], Any]) -> Callable[[str], Any]:
    """A conversion as argparse takes it."""

    def convert(text: str) -> Any:
        try:
            return conversion(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"expected {error}, received {text!r}") from None

    return convert


def _add_train(added: Any) -> None:
    command = _command(
        added,
        "train",
        train,
        "train a VAE and leave a run directory",
        "Train a model, score it on the test part of the data, and leave a run directory: config.json, metrics.jsonl, "
        "checkpoints (last.npz, and best.npz by the validation part), figures/.",
    )
    group = command.add_argument_group("options")
    first = next(iter(KINDS))
    summaries = "; ".join(f"{name}: {kind.summary}" for name, kind in KINDS.items())
    group.add_argument("--model", choices=list(KINDS), help=f"{summaries} (default: {first})")
    for option in options_by_name().values():
        form: dict[str, Any] = {"nargs": option.several} if option.several else {}
        form["metavar"] = option.metavar or (
            f"{{{','.join(option.choices)}}}" if option.choices else option.name.upper()
        )
        if option.is_switch:
            form = {"action": "store_true"}
        group.add_argument(option.flag, default=argparse.SUPPRESS, help=_help(option), **form)
    where = command.add_mutually_exclusive_group()
    directory = {"metavar": "DIR", "type": _converted(name)}
    where.add_argument("--run-dir", help="default: the first free of runs/DATA-1, runs/DATA-2, ...", **directory)
    where.add_argument("--resume", help="resume the run in DIR with its own options; --epochs may grow", **directory)
    command.add_argument("--no-pictures", action="store_true", help="draw no pictures")
    command.add_argument("--quiet", action="store_true", help="show no progress bar")


def _help(option: Option) -> str:
    """What an option does, which kinds take it, and its default."""
    kinds = takers(option.name)
    notes = [f"with --model {', '.join(kinds)}"] if len(kinds) < len(KINDS) else []
    shown = " ".join(map(str, option.default)) if isinstance(option.default, list) else option.default
    if option.usual or (shown is not None and not option.is_switch):
        notes.append(f"default: {option.usual or shown}")
    for kind in KINDS.values():
        notes += [
            f"{own.usual or own.default} with --model {kind.name}"
            for own in kind.options
            if own.name == option.name and own.default != option.default and kinds == list(KINDS)
        ]
    return option.help + (f" ({'; '.join(notes)})" if notes else "")


def _add_evaluate(added: Any) -> None:
    command = _command(
        added,
        "evaluate",
        commands.evaluate,
        "test ELBO and importance-sampled log p(x)",
        "Score a trained model on the test part of its data, or of other data; of a file without test images, on all.",
    )
    argument = command.add_argument
    argument("run", help=RUN_HELP)
    argument("--data", help=f"{DATA.help} (default: what the run was trained on)")
    argument("--data-labels", metavar="FILE", help=_help(DATA_LABELS))
    argument("--data-dir", metavar="DIR", help=_help(DATA_DIR))
    argument("--samples", type=_converted(COUNT), default=1, metavar="S", help="samples of z for the ELBO (default: 1)")
    argument(
        "--importance-samples",
        type=_converted(COUNT),
        metavar="S",
        help="also estimate log p(x), from S samples of z per image",
    )
    argument("--limit", type=_converted(COUNT), metavar="N", help="only the first N images of the test part")
    argument("--seed", type=_converted(FROM_ZERO), default=0, help="seed of the noise (default: 0)")


def _add_sample(added: Any) -> None:
    command = _command(
        added,
        "sample",
        commands.sample,
        "decoder means, draws, sketches or rows of z ~ p(z)",
        "Sample from the prior and decode.",
    )
    argument = command.add_argument
    argument("run", help=RUN_HELP)
    argument("--n", type=_converted(COUNT), default=100, metavar="N", help="number of samples (default: 100)")
    argument("--seed", type=_converted(FROM_ZERO), default=0, help="seed of z (default: 0)")
    for option in commands.sampling_options().values():
        own = {kind.name: each.default for kind in KINDS.values() for each in kind.sampling if each.name == option.name}
        numbers = {kind: default for kind, default in own.items() if default is not None and not option.is_switch}
        usual = ", ".join(f"{default:g} with {kind}" for kind, default in numbers.items())
        note = f"default: {usual}" if usual else f"with {', '.join(own)}"
        form = {"action": "store_true"} if option.is_switch else {"metavar": option.metavar}
        argument(option.flag, default=argparse.SUPPRESS, help=f"{option.help} ({note})", **form)
    argument("--data-dir", metavar="DIR", help=_help(DATA_DIR))
    argument(
        "--out",
        default="samples.png",
        help="a .png, .pdf or .svg picture, or .npy, or of molecules .smi, of a table .csv (default: %(default)s)",
    )


def _add_explore(added: Any) -> None:
    command = _command(
        added,
        "explore",
        commands.explore,
        "a page in the browser that shows the latent space",
        "Write one file for the browser, which needs no network: a map of the test part in the latent space, with the "
        "decoder running in the page as z is moved. At most 2,000 rows are shown.",
    )
    argument = command.add_argument
    argument("run", help=RUN_HELP)
    argument("--out", default="page.html", metavar="FILE", help="the page (default: %(default)s)")
    argument("--data", help=f"{DATA.help} (default: what the run was trained on)")
    argument("--data-labels", metavar="FILE", help=_help(DATA_LABELS))
    argument("--data-dir", metavar="DIR", help=_help(DATA_DIR))
    argument(
        "--thumbnails",
        action=argparse.BooleanOptionalAction,
        help="whether the page holds the rows themselves, in small (default: yes, unless they are photographs of "
        "persons, CelebA or the Frey faces)",
    )


def _add_complete(added: Any) -> None:
    command = _command(
        added,
        "complete",
        commands.complete,
        "go on with a drawing that has begun",
        "Draw ways to go on with a drawing, in proportion to their probability after its points. Whether the pen is "
        "lifted behind the last of them is left open. Prints log p of the points, and the effective sample size: how "
        "many of the draws of z count.",
    )
    argument = command.add_argument
    argument("run", help=RUN_HELP)
    argument("drawing", help="a file of sketches, as for train --data, in the unit of the run's data")
    argument("--row", type=_converted(FROM_ZERO), default=0, metavar="N", help="which of its sketches (default: 0)")
    argument("--n", type=_converted(COUNT), default=9, metavar="N", help="number of drawings (default: 9)")
    argument("--seed", type=_converted(FROM_ZERO), default=0, help="seed of the draws (default: 0)")
    argument("--temperature", type=_converted(POSITIVE), metavar="T", help="of what is drawn (default: 0.3)")
    argument("--out", default="completions.svg", help="an .svg, .png or .pdf picture (default: %(default)s)")


def _add_impute(added: Any) -> None:
    command = _command(
        added,
        "impute",
        commands.impute,
        "fill in the missing entries of a table or of an array",
        "Write a file again with the mean of p(missing entry | known entries of its row) in place of each missing "
        "entry, and the most probable level where it is a category. The run must have been trained with --missing.",
    )
    argument = command.add_argument
    argument("run", help=RUN_HELP)
    argument("file", help="a table with the columns of the run's, or an array with NaN, .npy")
    argument("--out", metavar="FILE", required=True, help="the file to write, .csv, .tsv or .npy as the other")
    argument("--draw", action="store_true", help="draw each entry instead, so that the table varies as true ones do")
    argument("--samples", type=_converted(COUNT), default=1000, metavar="S", help="samples of z a row (default: 1000)")
    argument("--seed", type=_converted(FROM_ZERO), default=0, help="seed of the samples (default: 0)")


def _add_plot(added: Any) -> None:
    command = _command(
        added, "plot", commands.plot, "pictures of a trained model", "Draw pictures of a run, into its folder figures/."
    )
    names = dict.fromkeys(picture.name for kind in KINDS.values() for picture in kind.pictures)
    argument = command.add_argument
    argument("picture", choices=["all", *names], help="which picture; the manifold needs a 2-D latent space")
    argument("run", help="a run directory")
    argument("--data-dir", metavar="DIR", help=_help(DATA_DIR))
    argument("--out", metavar="FILE", help="another file (not with all)")


def _add_check(added: Any) -> None:
    command = _command(
        added,
        "check",
        commands.check,
        "prove the mathematics on this machine",
        "Check every gradient, the identities of distributions and estimators, and models whose likelihood is known "
        "exactly. Prints a table of figures and tolerances; the exit status is 1 if one fails.",
    )
    command.add_argument("--device", choices=["cpu", "gpu"], default="cpu", help="where to compute (default: cpu)")


def _add_data(added: Any) -> None:
    command = _command(
        added, "data", commands.data, "describe a data set, and draw some of it", "Load a data set and describe it."
    )
    command.add_argument("data", nargs="?", default=DATA.default, help=_help(DATA))
    command.add_argument("--data-dir", metavar="DIR", help=_help(DATA_DIR))
    command.add_argument("--out", metavar="FILE", help="draw the first training images, sketches or molecules")
