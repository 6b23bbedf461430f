"""The parser of the command line, made of the options of all kinds of model."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

import scratchvae as sv
from scratchvae.cli import commands, results
from scratchvae.cli.runs import runs
from scratchvae.cli.settings import options_by_name, takers
from scratchvae.cli.train import train
from scratchvae.kinds import KINDS, Option
from scratchvae.kinds.kind import DATA, DATA_DIR, DATA_LABELS, FOLDER
from scratchvae.kinds.option import COUNT, FROM_ZERO, POSITIVE, name

RUN_HELP = "a run directory, or a checkpoint file"


class UsageError(Exception):
    """A command line that the parser does not take."""


class _Parser(argparse.ArgumentParser):
    """A parser that refuses in one sentence, as the rest of the package does."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} ({self.prog} --help tells more)")


def parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands; each sets `command` to the function that carries it out."""
    root = _Parser(
        prog="scratchvae",
        description="Variational autoencoders from scratch, on NumPy and CuPy. All figures are in nats.",
        epilog="scratchvae COMMAND --help tells more. Without any option, `scratchvae train` draws its own data.",
        allow_abbrev=False,
    )
    root.add_argument("--version", action="version", version=f"scratchvae {sv.__version__}")
    added = root.add_subparsers(title="commands", required=True, metavar="COMMAND")
    adders = (_add_train, _add_evaluate, _add_sample, _add_explore, _add_complete, _add_impute, _add_encode)
    for add in (*adders, _add_export, _add_plot, _add_runs, _add_check, _add_data):
        add(added)
    return root


def _command(added: Any, name: str, function: Any, summary: str, description: str) -> argparse.ArgumentParser:
    command = added.add_parser(name, help=summary, description=description, allow_abbrev=False)
    command.set_defaults(command=function)
    return command


def _add_run(command: argparse.ArgumentParser, help: str = RUN_HELP) -> None:
    """Adds the arguments of every command that reads a trained model."""
    command.add_argument("run", help=help)
    command.add_argument(
        "--checkpoint", choices=["last", "best"], help="which of a run's: the last, or best by the validation part"
    )


def _add_json(command: argparse.ArgumentParser, help: str = "print one line of JSON") -> None:
    command.add_argument("--json", action="store_true", help=help)


def _converted(conversion: Callable[[Any], Any]) -> Callable[[str], Any]:
    """Returns a conversion in the form that argparse expects."""

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
        group.add_argument(option.flag, default=argparse.SUPPRESS, help=_help(option), **_form(option))
    where = command.add_mutually_exclusive_group()
    directory = {"metavar": "DIR", "type": _converted(name)}
    where.add_argument("--run-dir", help="default: the first free of runs/DATA-1, runs/DATA-2, ...", **directory)
    where.add_argument("--resume", help="resume the run in DIR with its own options; --epochs may grow", **directory)
    command.add_argument("--no-pictures", action="store_true", help="draw no pictures")
    command.add_argument("--quiet", action="store_true", help="show no progress bar")
    _add_json(command, "print the figures once more as a last line of JSON")


def _form(option: Option) -> dict[str, Any]:
    """Returns the number of values of an option and its placeholder in the help, in the form that argparse expects."""
    if option.is_switch:
        return {"action": "store_true"}
    metavar = option.metavar or (f"{{{','.join(option.choices)}}}" if option.choices else option.name.upper())
    return {"metavar": metavar} | ({"nargs": option.several} if option.several else {})


def _help(option: Option) -> str:
    """Describes an option: its meaning, the kinds that take it, and its default."""
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
    _add_run(command)
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
    _add_json(command)


def _add_sample(added: Any) -> None:
    command = _command(
        added,
        "sample",
        commands.sample,
        "decoder means, draws, sketches or rows of z ~ p(z)",
        "Sample from the prior and decode.",
    )
    argument = command.add_argument
    _add_run(command)
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
        results.explore,
        "a page in the browser that shows the latent space",
        "Write one file for the browser, which needs no network: a map of the test part in the latent space, with the "
        "decoder running in the page as z is moved. At most 2,000 rows are shown.",
    )
    argument = command.add_argument
    _add_run(command)
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
    _add_run(command)
    argument("drawing", help="a file of sketches, as for train --data, in the unit of the run's data")
    argument("--row", type=_converted(FROM_ZERO), default=0, metavar="N", help="which of its sketches (default: 0)")
    argument("--n", type=_converted(COUNT), default=9, metavar="N", help="number of drawings (default: 9)")
    argument("--seed", type=_converted(FROM_ZERO), default=0, help="seed of the draws (default: 0)")
    argument("--temperature", type=_converted(POSITIVE), metavar="T", help="of what is drawn (default: 0.3)")
    argument("--out", default="completions.svg", help="an .svg, .png or .pdf picture (default: %(default)s)")


def _add_encode(added: Any) -> None:
    command = _command(
        added,
        "encode",
        results.encode,
        "latent variables of a data set",
        "Write the means of q(z | x), a row for each row of the data, of grey values as they are.",
    )
    argument = command.add_argument
    _add_run(command)
    argument("data", nargs="?", help="as --data of evaluate (default: what the run was trained on)")
    argument("--part", choices=["train", "validation", "test"], default="test", help="of the run's own data")
    argument("--data-labels", metavar="FILE", help=_help(DATA_LABELS))
    argument("--data-dir", metavar="DIR", help=_help(DATA_DIR))
    argument("--out", default="codes.npy", help="a .npy file, or .csv with the labels, if any (default: %(default)s)")


def _add_export(added: Any) -> None:
    command = _command(
        added, "export", results.export, "weights for other programs", "Write a model's weights; see docs/layout.md."
    )
    _add_run(command)
    command.add_argument("--out", default="weights.npz", help="a .safetensors or .npz file (default: %(default)s)")


def _add_runs(added: Any) -> None:
    command = _command(
        added,
        "runs",
        runs,
        "list runs beside each other",
        "List the runs of a folder: model, data, epochs, figures of the last epoch, the best ELBO of the validation "
        "data, a sparkline of that ELBO (of the training data without any), and the options that differ.",
    )
    command.add_argument("folder", nargs="?", default="runs", help="a folder of runs, or a run (default: %(default)s)")
    command.add_argument("--out", metavar="FILE", help="draw the curves of all runs into one picture")
    _add_json(command)


def _add_impute(added: Any) -> None:
    command = _command(
        added,
        "impute",
        results.impute,
        "fill in the missing entries of a table or of an array",
        "Write a file again with the mean of p(missing entry | known entries of its row) in place of each missing "
        "entry, and the most probable level where it is a category. The run must have been trained with --missing.",
    )
    argument = command.add_argument
    _add_run(command)
    argument("file", help="a table with the columns of the run's, or an array with NaN, .npy")
    argument("--out", metavar="FILE", required=True, help="the file to write, .csv, .tsv or .npy as the other")
    argument("--draw", action="store_true", help="draw each entry instead, so that the table varies as true ones do")
    argument("--samples", type=_converted(COUNT), default=1000, metavar="S", help="samples of z a row (default: 1000)")
    argument("--seed", type=_converted(FROM_ZERO), default=0, help="seed of the samples (default: 0)")
    _add_json(command)


def _add_plot(added: Any) -> None:
    command = _command(
        added, "plot", commands.plot, "pictures of a trained model", "Draw pictures of a run, into its folder figures/."
    )
    names = dict.fromkeys(picture.name for kind in KINDS.values() for picture in kind.pictures)
    argument = command.add_argument
    argument("picture", choices=["all", *names], help="which picture; the manifold needs a 2-D latent space")
    _add_run(command, "a run directory")
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
    _add_json(command)


def _add_data(added: Any) -> None:
    command = _command(
        added, "data", commands.data, "describe a data set, and draw some of it", "Load a data set and describe it."
    )
    command.add_argument("data", nargs="?", default=DATA.default, help=_help(DATA))
    command.add_argument("--data-dir", metavar="DIR", help=_help(DATA_DIR))
    for option in FOLDER:
        command.add_argument(option.flag, help=option.help, **_form(option))
    command.add_argument("--out", metavar="FILE", help="draw the first training images, sketches or molecules")
    _add_json(command)
