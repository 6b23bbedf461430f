"""Whole steps of scratchvae and of other libraries, in turns, each in a process of its own.

A step takes a minibatch, draws noise, computes the loss and all gradients, and updates by Adam; the files of
benchmarks/cases describe other cases. The losses of the first steps, from the same parameters and with the same noise,
must agree, else a library is not timed. Then it has a turn in every round.

The table: milliseconds of a step (median over rounds, 10th to 90th percentile); the time divided by the reference's,
in the same round; CPU milliseconds, of all threads; the most memory of the process; minor page faults of a step;
seconds from the start of the process (of Python) to the end of the first step.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.arguments import chosen, names, parser, say, whole_numbers
from benchmarks.harness import STARTS, Result, cases, machine, measure
from benchmarks.jobs import command
from scratchvae.errors import DataError, InputError
from scratchvae.replacement import write_text

DEFAULT = "mlp,mlp-large,importance-weighted,convolutional,semi-supervised"


def main(arguments: list[str]) -> None:
    """Measures, prints a table for each case, and stores the figures. The exit status is 1 if a peer failed."""
    known = cases()
    every = list(dict.fromkeys(name for case in known.values() for name in case.content.PEERS))
    options = parser("step", f"{__doc__}\ncases: {', '.join(known)}\npeers: {', '.join(every)}")
    options.add_argument(
        "--cases",
        type=names,
        default=names(DEFAULT),
        help=f"cases to measure; GROUP stands for all GROUP:NAME (default: {DEFAULT})",
    )
    options.add_argument("--peers", type=names, help="libraries to measure (default: all that a case has)")
    options.add_argument(
        "--threads", type=whole_numbers, default=[1], metavar="N,...", help="threads of each process (default: 1)"
    )
    options.add_argument(
        "--rounds", type=int, default=10, metavar="N", help="number of turns of each peer (default: 10)"
    )
    options.add_argument(
        "--starts", type=int, default=STARTS, metavar="N", help=f"number of timed starts of a peer (default: {STARTS})"
    )
    options.add_argument(
        "--data", metavar="FILE", help="molecules, a .csv file of SMILES and properties (default: drawn molecules)"
    )
    settings = options.parse_args(arguments)
    if min(settings.rounds, settings.starts) < 1:
        options.error("--rounds and --starts are at least 1")
    cores = machine()["cores"]
    if max(settings.threads) > cores:
        raise InputError("step --threads", f"at most {cores}, the number of cores", str(max(settings.threads)))
    wanted = chosen("step --cases", settings.cases, list(known))
    peers = None if settings.peers is None else chosen("step --peers", settings.peers, every)
    if settings.out is not None:
        read(settings.out)  # an unreadable file is refused before anything is measured
    failed = False
    for name in wanted:
        for threads in settings.threads:
            result = measure(known[name], peers, threads, settings.rounds, settings.starts, settings.data)
            result["command"] = command("python -m benchmarks step", arguments)
            print(table(result), flush=True)
            failed = failed or any(reason.startswith("failed") for reason in result["left out"].values())
            if settings.out is not None:
                keep(result, settings.out)
                say(f"{name}: kept in {settings.out}")
    if failed:
        sys.exit(1)


def table(result: Result) -> str:
    """Returns the figures of a case, and the peers that were left out."""
    others = result["cores in use by others"]
    threads = f"{result['threads']} thread{'s' if result['threads'] > 1 else ''}"
    lines = [
        f"\n{result['case']}: {result['what']}, {threads}{', ON A BUSY MACHINE' if result['busy'] else ''}"
        f" (load {result['load before']} before and {result['load after']} after"
        f"{'' if others is None else f', {others:.2f} cores in use by others'})",
        f"{'':22s}{'ms':>9s}{'10 % to 90 %':>20s}{'ratio':>8s}{'CPU ms':>10s}{'ratio':>8s}"
        f"{'MiB':>8s}{'faults':>9s}{'first, s':>10s}",
    ]
    for name, row in result["peers"].items():
        low, middle, high = (row[name] for name in ("10th percentile", "milliseconds", "90th percentile"))
        memory = row["peak bytes"] and row["peak bytes"] / 2**20
        lines.append(
            f"{name:22s}{middle:9.2f}{f'{low:.2f} to {high:.2f}':>20s}{number(row.get('ratio'), '.2f'):>8s}"
            f"{row['CPU milliseconds']:10.2f}{number(row.get('CPU ratio'), '.2f'):>8s}"
            f"{number(memory, '.0f'):>8s}{number(row['page faults'], '.0f'):>9s}{row['first step, seconds']:10.2f}"
        )
    lines += [f"left out: {name}, {reason}" for name, reason in result["left out"].items()]
    return "\n".join(lines)


def number(value: float | None, form: str) -> str:
    """Returns a number as text, or "" for None."""
    return "" if value is None else format(value, form)


def read(path: Path) -> list[Result]:
    """Returns the results in a file, or none if there is no file. Raises DataError for a file of another form."""
    if not path.exists():
        return []
    try:
        results = json.loads(path.read_text())
        assert all({"case", "threads", "peers"} <= result.keys() for result in results)
    except (ValueError, TypeError, AttributeError, AssertionError, OSError):
        raise DataError("step", "results of this command, or no file", str(path)) from None
    return results


def keep(result: Result, path: Path) -> None:
    """Writes a result into the file; it replaces an older one of the same case and number of threads."""
    same = ("case", "threads")
    others = [other for other in read(path) if any(other[key] != result[key] for key in same)]
    lines = ",\n".join(json.dumps(each) for each in [*others, result])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, f"[\n{lines}\n]\n")
