"""The parser of the command line, built from the options of all kinds of model."""

from __future__ import annotations

import argparse
from typing import Any

import scratchvae as sv
from scratchvae.cli import commands, results
from scratchvae.cli.arguments import (
    Page,
    Parser,
    add_data_files,
    add_json,
    add_out,
    add_run,
    converted,
    form_of,
    help_of,
    kinds_in_words,
    with_notes,
)
from scratchvae.cli.runs import runs
from scratchvae.cli.settings import options_by_name, takers
from scratchvae.cli.train import train
from scratchvae.kinds import KINDS
from scratchvae.kinds.option import COUNT, FROM_ZERO, POSITIVE, Option, name
from scratchvae.kinds.shared_options import DATA, DATA_DIR, FOLDER, FREE_BITS, READING, TRAINING


def parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands; each command sets `command` to the function that runs it."""
    root = Parser(
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
    command = added.add_parser(name, help=summary, description=description, allow_abbrev=False, formatter_class=Page)
    command.set_defaults(command=function)
    return command


def _add_train(added: Any) -> None:
    command = _command(
        added,
        "train",
        train,
        "train a VAE and write a run directory",
        "Train a model, score it on the test part of the data, and write a run directory: config.json, metrics.jsonl, "
        "checkpoints (last.npz and best.npz, the epoch with the best validation ELBO), and pictures in figures/.",
    )
    command.usage = "%(prog)s [--data DATA] [--model MODEL] [--latent K] [--epochs N] [--run-dir DIR] [OPTION ...]"
    first = next(iter(KINDS))
    groups = {name: command.add_argument_group(name) for name in ("data", "model", "training", "output and resuming")}
    summaries = "".join(f"\n{name}: {kind.summary}" for name, kind in KINDS.items())
    usual = f"default: {first}, or table if --data is a table"
    groups["model"].add_argument("--model", choices=list(KINDS), help=with_notes(f"kind of model{summaries}", usual))
    for option in options_by_name().values():
        heading = _heading(option)
        if heading not in groups:
            groups[heading] = command.add_argument_group(heading)
        form = {"default": argparse.SUPPRESS, "help": help_of(option, heading)} | form_of(option)
        groups[heading].add_argument(option.flag, **form)
    _add_output(groups["output and resuming"])


def _heading(option: Option) -> str:
    """Returns the heading below which the help of `train` lists an option."""
    kinds = takers(option.name)
    if next(iter(KINDS)) not in kinds:
        return kinds_in_words(kinds)
    if option.name in {each.name for each in (*READING, *FOLDER)}:
        return "data"
    return "training" if option.name in {each.name for each in (*TRAINING, FREE_BITS)} else "model"


def _add_output(group: Any) -> None:
    where = group.add_mutually_exclusive_group()
    directory = {"metavar": "DIR", "type": converted(name)}
    where.add_argument(
        "--run-dir",
        help="run directory to create (default: the first of runs/DATA-1, runs/DATA-2, ... that does not exist)",
        **directory,
    )
    where.add_argument(
        "--resume", help="resume the run in DIR with the options it was begun with; --epochs may grow", **directory
    )
    group.add_argument("--no-pictures", action="store_true", help="draw no pictures")
    group.add_argument("--quiet", action="store_true", help="show no progress bar")
    add_json(group, "also print the figures as one line of JSON, the last line of the output")


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
    add_run(command)
    argument("--data", type=converted(name), help="data set, as for train --data (default: the data of the run)")
    add_data_files(command)
    argument(
        "--samples",
        type=converted(COUNT),
        default=1,
        metavar="S",
        help="number of samples of z per row for the ELBO (default: 1)",
    )
    argument(
        "--importance-samples",
        type=converted(COUNT),
        metavar="S",
        help="also estimate log p(x) from S importance samples of z per row (default: no estimate)",
    )
    argument("--limit", type=converted(COUNT), metavar="N", help="score the first N rows alone (default: all rows)")
    argument("--seed", type=converted(FROM_ZERO), default=0, help="seed of the noise (default: 0)")
    add_json(command)


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
    add_run(command)
    argument(
        "--n",
        type=converted(COUNT),
        default=100,
        metavar="N",
        help="number of samples; several files, each with another --seed, hold more than memory (default: 100)",
    )
    argument("--seed", type=converted(FROM_ZERO), default=0, help="seed of the samples (default: 0)")
    argument("--data-dir", type=converted(name), metavar="DIR", help=help_of(DATA_DIR))
    add_out(
        command,
        "file to write: a .png, .pdf or .svg picture, or an .npy array; for molecules a picture, .smi, .txt or .csv; "
        "for tables .csv or .npy",
        "samples.png",
    )
    group = command.add_argument_group("options for some kinds of model")
    for option in commands.sampling_options().values():
        own = {kind.name: each.default for kind in KINDS.values() for each in kind.sampling if each.name == option.name}
        numbers = {kind: default for kind, default in own.items() if default is not None and not option.is_switch}
        usual = ", ".join(f"{default:g} for {kind}" for kind, default in numbers.items())
        note = f"only for runs with --model {', '.join(own)}" + (f"; default: {usual}" if usual else "")
        form = {"action": "store_true"} if option.is_switch else {"metavar": option.metavar}
        group.add_argument(option.flag, default=argparse.SUPPRESS, help=f"{option.help} ({note})", **form)


def _add_explore(added: Any) -> None:
    command = _command(
        added,
        "explore",
        results.explore,
        "write a page for the browser that shows the latent space",
        "Write one file for the browser that needs no network: a map of the test part in the latent space, and the "
        "decoder, which runs in the page as z is moved. At most 2,000 rows are shown. There is "
        "no page for runs with --model table.",
    )
    argument = command.add_argument
    add_run(command)
    add_out(command, "file to write", "page.html")
    argument("--data", type=converted(name), help="data set, as for train --data (default: the data of the run)")
    add_data_files(command)
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
    add_run(command)
    argument(
        "drawing",
        type=converted(name),
        help="file with sketches, as for train --data, in the same unit as the data of the run",
    )
    argument(
        "--row",
        type=converted(FROM_ZERO),
        default=0,
        metavar="N",
        help="number of the sketch in the file, from 0 (default: 0)",
    )
    argument("--n", type=converted(COUNT), default=9, metavar="N", help="number of completions (default: 9)")
    argument("--seed", type=converted(FROM_ZERO), default=0, help="seed of the draws (default: 0)")
    argument(
        "--temperature",
        type=converted(POSITIVE),
        metavar="T",
        help="temperature of the completions; the lower, the closer they are to the most probable ones (default: 0.3)",
    )
    add_out(command, "picture to write: .svg, .png or .pdf", "completions.svg")


def _add_encode(added: Any) -> None:
    command = _command(
        added,
        "encode",
        results.encode,
        "write the latent means of a data set",
        "Write the means of q(z | x), one row for each row of the data. Grey values are encoded without binarization.",
    )
    argument = command.add_argument
    add_run(command)
    argument(
        "data",
        nargs="?",
        type=converted(name),
        help="data set to encode, as for train --data (default: the data of the run)",
    )
    argument(
        "--part",
        choices=["train", "validation", "test"],
        default="test",
        help="part of the run's own data to encode (default: test)",
    )
    add_data_files(command)
    add_out(command, "file to write: .npy, or .csv with the labels, if any", "codes.npy")


def _add_export(added: Any) -> None:
    command = _command(
        added,
        "export",
        results.export,
        "write the weights for other programs",
        "Write the weights of a model; docs/layout.md describes their names and shapes.",
    )
    add_run(command)
    add_out(command, "file to write: .safetensors or .npz", "weights.npz")


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
        "folder",
        nargs="?",
        type=converted(name),
        default="runs",
        help="folder with runs, or one run directory (default: %(default)s)",
    )
    add_out(command, "picture to write with the curves of all runs: .png, .pdf or .svg (default: none)")
    add_json(command)


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
    add_run(command)
    argument(
        "file",
        type=converted(name),
        help="table with the columns of the run's data, or .npy array with NaN for missing entries",
    )
    add_out(command, "file to write, with the suffix of the input file", required=True)
    argument(
        "--draw",
        action="store_true",
        help="draw each missing entry from its distribution instead, so that the spread of the columns is kept",
    )
    argument(
        "--samples",
        type=converted(COUNT),
        default=1000,
        metavar="S",
        help="number of samples of z per row (default: 1000)",
    )
    argument("--seed", type=converted(FROM_ZERO), default=0, help="seed of the samples (default: 0)")
    add_json(command)


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
    by_pictures: dict[str, list[str]] = {}
    for kind in KINDS.values():
        by_pictures.setdefault(", ".join(picture.name for picture in kind.pictures), []).append(kind.name)
    allowed = "".join(f"\n--model {', '.join(kinds)}: {pictures}" for pictures, kinds in by_pictures.items())
    note = "picture to draw, or all; manifold needs a 2-D latent space"
    argument("picture", choices=["all", *names], metavar="PICTURE", help=note + allowed)
    add_run(command, "run directory")
    argument("--data-dir", type=converted(name), metavar="DIR", help=help_of(DATA_DIR))
    add_out(command, "file to write instead: .png, .pdf or .svg (not with all)")


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
    add_json(command)


def _add_data(added: Any) -> None:
    command = _command(
        added,
        "data",
        commands.data,
        "describe a data set and draw some of its rows",
        "Load a data set, describe its parts and, with --out, draw some of its training rows.",
    )
    command.add_argument(
        "data",
        nargs="?",
        type=converted(name),
        default=DATA.default,
        help=with_notes(DATA.help, f"default: {DATA.default}"),
    )
    command.add_argument("--data-dir", type=converted(name), metavar="DIR", help=help_of(DATA_DIR))
    for option in FOLDER:
        command.add_argument(option.flag, help=f"{option.help} (default: {option.usual})", **form_of(option))
    add_out(command, "picture to write with the first training images, sketches or molecules (default: none)")
    add_json(command)
