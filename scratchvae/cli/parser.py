"""The parser of the command line, built from the options of all kinds of model."""

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
from scratchvae.kinds.option import COUNT, FROM_ZERO, POSITIVE, name
from scratchvae.kinds.shared_options import DATA, DATA_DIR, DATA_LABELS, FOLDER

RUN_HELP = "run directory or checkpoint file"


class UsageError(Exception):
    """UsageError tells that the command line has a form that the parser refuses."""


class _Parser(argparse.ArgumentParser):
    """A _Parser raises UsageError with one sentence, where argparse would print the usage and exit."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands; each command sets `command` to the function that runs it."""
    root = _Parser(
        prog="scratchvae",
        description="Variational autoencoders from scratch, on NumPy and CuPy. ELBO, KL and log p(x) are in nats.",
        epilog="`scratchvae COMMAND --help` describes a command and its options. Without options, `scratchvae train` "
        "trains on digits that it draws itself.",
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
        "--checkpoint",
        choices=["last", "best"],
        help="checkpoint of the run directory to read: last.npz, or best.npz, that of the epoch with the best "
        "validation ELBO (default: last)",
    )


def _add_json(command: argparse.ArgumentParser, help: str = "print the figures as one line of JSON") -> None:
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
        "train a VAE and write a run directory",
        "Train a model, score it on the test part of the data, and write a run directory: config.json, metrics.jsonl, "
        "checkpoints (last.npz and best.npz, the epoch with the best validation ELBO), and pictures in figures/.",
    )
    group = command.add_argument_group("model, data and training")
    first = next(iter(KINDS))
    summaries = "; ".join(f"{name}: {kind.summary}" for name, kind in KINDS.items())
    usual = f"default: {first}, or table if --data is a table"
    group.add_argument("--model", choices=list(KINDS), help=f"kind of model: {summaries} ({usual})")
    for option in options_by_name().values():
        group.add_argument(option.flag, default=argparse.SUPPRESS, help=_help(option), **_form(option))
    where = command.add_mutually_exclusive_group()
    directory = {"metavar": "DIR", "type": _converted(name)}
    where.add_argument(
        "--run-dir",
        help="run directory to create (default: the first of runs/DATA-1, runs/DATA-2, ... that does not exist)",
        **directory,
    )
    where.add_argument(
        "--resume", help="resume the run in DIR with the options it was begun with; --epochs may grow", **directory
    )
    command.add_argument("--no-pictures", action="store_true", help="draw no pictures")
    command.add_argument("--quiet", action="store_true", help="show no progress bar")
    _add_json(command, "also print the figures as one line of JSON, the last line of the output")


def _form(option: Option) -> dict[str, Any]:
    """Returns the number of values of an option and its placeholder in the help, in the form that argparse expects."""
    if option.is_switch:
        return {"action": "store_true"}
    metavar = option.metavar or (f"{{{','.join(option.choices)}}}" if option.choices else option.name.upper())
    return {"metavar": metavar} | ({"nargs": option.several} if option.several else {})


def _help(option: Option) -> str:
    """Describes an option: its meaning, the kinds that take it, and its default."""
    kinds = takers(option.name)
    notes = [f"only for --model {', '.join(kinds)}"] if len(kinds) < len(KINDS) else []
    shown = " ".join(map(str, option.default)) if isinstance(option.default, list) else option.default
    if option.usual or (shown is not None and not option.is_switch):
        notes.append(f"default: {option.usual or shown}")
    for kind in KINDS.values():
        notes += [
            f"{own.default if own.usual == option.usual else own.usual} for --model {kind.name}"
            for own in kind.options
            if own.name == option.name and own.default != option.default and kinds == list(KINDS)
        ]
    return option.help + (f" ({'; '.join(notes)})" if notes else "")


def _add_evaluate(added: Any) -> None:
    command = _command(
        added,
        "evaluate",
        commands.evaluate,
        "compute the test ELBO, and log p(x) by importance sampling",
        "Score a trained model on the test part of its own data or of another data set. Of a --data file without a "
        "test part, all rows are scored.",
    )
    argument = command.add_argument
    _add_run(command)
    argument("--data", help=f"{DATA.help} (default: the data of the run)")
    argument("--data-labels", metavar="FILE", help=_help(DATA_LABELS))
    argument("--data-dir", metavar="DIR", help=_help(DATA_DIR))
    argument(
        "--samples",
        type=_converted(COUNT),
        default=1,
        metavar="S",
        help="number of samples of z per row for the ELBO (default: 1)",
    )
    argument(
        "--importance-samples",
        type=_converted(COUNT),
        metavar="S",
        help="also estimate log p(x) from S importance samples of z per row (default: no estimate)",
    )
    argument("--limit", type=_converted(COUNT), metavar="N", help="score the first N rows alone (default: all rows)")
    argument("--seed", type=_converted(FROM_ZERO), default=0, help="seed of the noise (default: 0)")
    _add_json(command)


def _add_sample(added: Any) -> None:
    command = _command(
        added,
        "sample",
        commands.sample,
        "write samples: pictures, arrays, sketches, molecules or rows of a table",
        "Sample z from the prior, decode it, and write the result. Images are means of p(x | z) unless --draws "
        "is given; sketches and rows of a table are drawn; molecules are decoded greedily, or drawn at a --temperature "
        "above 0.",
    )
    argument = command.add_argument
    _add_run(command)
    argument("--n", type=_converted(COUNT), default=100, metavar="N", help="number of samples (default: 100)")
    argument("--seed", type=_converted(FROM_ZERO), default=0, help="seed of the samples (default: 0)")
    for option in commands.sampling_options().values():
        own = {kind.name: each.default for kind in KINDS.values() for each in kind.sampling if each.name == option.name}
        numbers = {kind: default for kind, default in own.items() if default is not None and not option.is_switch}
        usual = ", ".join(f"{default:g} for {kind}" for kind, default in numbers.items())
        note = f"only for runs with --model {', '.join(own)}" + (f"; default: {usual}" if usual else "")
        form = {"action": "store_true"} if option.is_switch else {"metavar": option.metavar}
        argument(option.flag, default=argparse.SUPPRESS, help=f"{option.help} ({note})", **form)
    argument("--data-dir", metavar="DIR", help=_help(DATA_DIR))
    argument(
        "--out",
        default="samples.png",
        help="file to write: a .png, .pdf or .svg picture, or an .npy array; for molecules a picture, .smi, .txt or "
        ".csv; for tables .csv or .npy (default: %(default)s)",
    )


def _add_explore(added: Any) -> None:
    command = _command(
        added,
        "explore",
        results.explore,
        "write a page for the browser that shows the latent space",
        "Write one file for the browser that needs no network: a map of the test part in the latent space, and the "
        "decoder, which runs in the page as z is moved. At most 2,000 rows are shown.",
    )
    argument = command.add_argument
    _add_run(command)
    argument("--out", default="page.html", metavar="FILE", help="file to write (default: %(default)s)")
    argument("--data", help=f"{DATA.help} (default: the data of the run)")
    argument("--data-labels", metavar="FILE", help=_help(DATA_LABELS))
    argument("--data-dir", metavar="DIR", help=_help(DATA_DIR))
    argument(
        "--thumbnails",
        action=argparse.BooleanOptionalAction,
        help="store small pictures of the rows in the page, or not (default: store them, except photographs of "
        "persons: CelebA and the Frey faces)",
    )


def _add_complete(added: Any) -> None:
    command = _command(
        added,
        "complete",
        commands.complete,
        "complete an unfinished drawing",
        "Draw several completions of an unfinished drawing, sampled from the model given the points of the drawing. A "
        "completion may continue the last line or lift the pen. The command prints log p of the given points and the "
        "effective sample size of the draws of z. It needs a run with --model sketch.",
    )
    argument = command.add_argument
    _add_run(command)
    argument("drawing", help="file with sketches, as for train --data, in the same unit as the data of the run")
    argument(
        "--row",
        type=_converted(FROM_ZERO),
        default=0,
        metavar="N",
        help="number of the sketch in the file, from 0 (default: 0)",
    )
    argument("--n", type=_converted(COUNT), default=9, metavar="N", help="number of completions (default: 9)")
    argument("--seed", type=_converted(FROM_ZERO), default=0, help="seed of the draws (default: 0)")
    argument(
        "--temperature",
        type=_converted(POSITIVE),
        metavar="T",
        help="temperature of the completions; the lower, the closer they are to the most probable ones (default: 0.3)",
    )
    argument("--out", default="completions.svg", help="picture to write: .svg, .png or .pdf (default: %(default)s)")


def _add_encode(added: Any) -> None:
    command = _command(
        added,
        "encode",
        results.encode,
        "write the latent means of a data set",
        "Write the means of q(z | x), one row for each row of the data. Grey values are encoded without binarization.",
    )
    argument = command.add_argument
    _add_run(command)
    argument("data", nargs="?", help="data set to encode, as for evaluate --data (default: the data of the run)")
    argument(
        "--part",
        choices=["train", "validation", "test"],
        default="test",
        help="part of the run's own data to encode (default: test)",
    )
    argument("--data-labels", metavar="FILE", help=_help(DATA_LABELS))
    argument("--data-dir", metavar="DIR", help=_help(DATA_DIR))
    argument(
        "--out", default="codes.npy", help="file to write: .npy, or .csv with the labels, if any (default: %(default)s)"
    )


def _add_export(added: Any) -> None:
    command = _command(
        added,
        "export",
        results.export,
        "write the weights for other programs",
        "Write the weights of a model; docs/layout.md describes their names and shapes.",
    )
    _add_run(command)
    command.add_argument(
        "--out", default="weights.npz", help="file to write: .safetensors or .npz (default: %(default)s)"
    )


def _add_runs(added: Any) -> None:
    command = _command(
        added,
        "runs",
        runs,
        "compare the runs in a folder",
        "List the runs in a folder with their model, data, epochs, figures of the last epoch, best validation ELBO, a "
        "sparkline of the validation ELBO (without validation data, of the training ELBO), and the options that "
        "differ.",
    )
    command.add_argument(
        "folder", nargs="?", default="runs", help="folder with runs, or one run directory (default: %(default)s)"
    )
    command.add_argument(
        "--out", metavar="FILE", help="picture to write with the curves of all runs: .png, .pdf or .svg (default: none)"
    )
    _add_json(command)


def _add_impute(added: Any) -> None:
    command = _command(
        added,
        "impute",
        results.impute,
        "fill in the missing entries of a table or an array",
        "Write a copy of a file in which each missing entry is replaced by the mean of p(missing entry | known entries "
        "of its row), or by the most probable level if its column is a category. The run must have been trained with "
        "--missing.",
    )
    argument = command.add_argument
    _add_run(command)
    argument("file", help="table with the columns of the run's data, or .npy array with NaN for missing entries")
    argument("--out", metavar="FILE", required=True, help="file to write, with the suffix of the input file")
    argument(
        "--draw",
        action="store_true",
        help="draw each missing entry from its distribution instead, so that the spread of the columns is kept",
    )
    argument(
        "--samples",
        type=_converted(COUNT),
        default=1000,
        metavar="S",
        help="number of samples of z per row (default: 1000)",
    )
    argument("--seed", type=_converted(FROM_ZERO), default=0, help="seed of the samples (default: 0)")
    _add_json(command)


def _add_plot(added: Any) -> None:
    command = _command(
        added,
        "plot",
        commands.plot,
        "draw pictures of a trained model",
        "Draw one picture of a run, or all that it allows, into the subfolder figures of the run directory.",
    )
    names = dict.fromkeys(picture.name for kind in KINDS.values() for picture in kind.pictures)
    argument = command.add_argument
    argument("picture", choices=["all", *names], help="picture to draw; manifold needs a 2-D latent space")
    _add_run(command, "run directory")
    argument("--data-dir", metavar="DIR", help=_help(DATA_DIR))
    argument("--out", metavar="FILE", help="file to write instead: .png, .pdf or .svg (not with all)")


def _add_check(added: Any) -> None:
    command = _command(
        added,
        "check",
        commands.check,
        "verify the mathematics on this machine",
        "Check every gradient, the identities of distributions and estimators, and models whose likelihood is known "
        "exactly. The command prints a table of errors and tolerances; its exit status is 1 if a check fails.",
    )
    command.add_argument("--device", choices=["cpu", "gpu"], default="cpu", help="device to compute on (default: cpu)")
    _add_json(command)


def _add_data(added: Any) -> None:
    command = _command(
        added,
        "data",
        commands.data,
        "describe a data set and draw some of its rows",
        "Load a data set, describe its parts and, with --out, draw some of its training rows.",
    )
    command.add_argument("data", nargs="?", default=DATA.default, help=f"{DATA.help} (default: {DATA.default})")
    command.add_argument("--data-dir", metavar="DIR", help=_help(DATA_DIR))
    for option in FOLDER:
        command.add_argument(option.flag, help=f"{option.help} (default: {option.usual})", **_form(option))
    command.add_argument(
        "--out",
        metavar="FILE",
        help="picture to write with the first training images, sketches or molecules (default: none)",
    )
    _add_json(command)
