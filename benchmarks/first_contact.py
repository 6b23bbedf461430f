"""All benchmarks that need a GPU, in less than ten minutes: parts with a limit each, the most important ones first.

It writes summary.json and summary.md, anew after every part, and log.txt with everything that was printed. A part that
fails, or takes longer than its limit, does not stop the parts after it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scratchvae as sv
from benchmarks.arguments import parser as options_of
from benchmarks.rows import Row, in_words, plain
from scratchvae.replacement import write_text

ROOT = Path(__file__).parents[1]
GRACE = 4  # the seconds between the interrupt of a part that passed its limit and its end
CUB_OFF = {"CUPY_ACCELERATORS": ""}
"""Without CUB, whose reductions take long to compile: `machine`, `gpu_step` and `ceilings` use it, as users do."""


@dataclass(frozen=True)
class Part:
    """A Part is a command with a name, a limit in seconds, and further variables of its environment.

    read: a function from the command's output to rows; without it, the command itself appends rows to the file of its
    option --out.
    """

    name: str
    limit: float
    command: list[str]
    read: Callable[[str], list[Row]] | None = None
    environment: dict[str, str] | None = None


# ---- what other programs print


def rows_of_pytest(printed: str) -> list[Row]:
    """Returns a row for all tests together, and one for each test that failed."""
    ends = re.findall(r"^=*\s*((?:\d+ \w+(?:, )?)+) in [\d.]+s", printed, re.MULTILINE)
    counts = {name.rstrip("s"): int(n) for n, name in re.findall(r"(\d+) (\w+)", ends[-1])} if ends else {}
    bad = counts.get("failed", 0) + counts.get("error", 0)
    ran = counts.get("passed", 0) + bad
    reason = "" if ran else "no test ran" + (f": {ends[-1]}" if ends else "")
    whole = {"name": "tests", "status": "measured" if ran else "not run", "figures": counts, "reason": reason}
    failures = re.findall(r"^(?:FAILED|ERROR) (\S+)(?: - (.*))?$", printed, re.MULTILINE)
    return [whole, *(_failed(name, reason) for name, reason in failures)]


def rows_of_check(printed: str) -> list[Row]:
    """Returns a row for all checks together, and one for each check that failed."""
    end = re.search(r"^(\d+) checks on the \w+, (\d+) failed", printed, re.MULTILINE)
    n = len(re.findall(r"  (?:ok|FAILED.*)$", printed, re.MULTILINE))
    figures = {"checks": int(end[1]), "failed": int(end[2])} if end else {"checks": n}
    whole = {"name": "checks", "status": "measured" if n else "not run", "figures": figures, "reason": ""}
    failures = re.findall(r"^  (\S.*?)  +(\S+)  +(\S+)  FAILED ?(.*)$", printed, re.MULTILINE)
    return [
        whole if n else whole | {"reason": "no check ran"},
        *(_failed(name, reason or f"{figure}, at most {bound}") for name, figure, bound, reason in failures),
    ]


def _failed(name: str, reason: str) -> Row:
    return {"name": name, "status": "failed", "figures": {}, "reason": plain(reason)}


# ---- the parts


def parts(device: str, quick: bool) -> list[Part]:
    """Returns the parts in their order. Their limits add up to 560 seconds; unused time passes to the next part."""
    options = ["--device", device, *(["--quick"] if quick else [])]

    def benchmark(name: str, limit: float, environment: dict[str, str] | None = None) -> Part:
        return Part(name, limit, [sys.executable, "-m", "benchmarks", name, *options], environment=environment)

    tests = ["-n", str(min(8, os.cpu_count() or 1))]
    # files that cannot be imported, and deprecation warnings of newer libraries, must not hide results
    tests += ["-m", "gpu and not slow", "-rfE", "--continue-on-collection-errors", "-p", "no:cacheprovider"]
    tests += ["-W", "default::DeprecationWarning", "-W", "default::PendingDeprecationWarning"]
    tests += ["tests/engine/test_backend.py"] if quick else []
    check = [sys.executable, "-m", "scratchvae", "check", "--device", device]
    return [
        benchmark("machine", 40),
        benchmark("smoke", 70, CUB_OFF),
        benchmark("parity", 50, CUB_OFF),
        benchmark("gpu_step", 190),
        benchmark("ceilings", 30),
        Part("tests", 120, [sys.executable, "-m", "pytest", *tests], rows_of_pytest, CUB_OFF),
        Part("check", 60, check, rows_of_check, CUB_OFF),
    ]


def run(part: Part, limit: float, folder: Path, log: Path) -> dict[str, Any]:
    """Runs one part for at most `limit` seconds plus GRACE. Returns its name, status, seconds, limit, reason and rows.

    status: "ran", "failed" (the process, or a row), "over its limit".
    """
    rows_path = folder / f"{part.name}.jsonl"
    command = part.command if part.read else [*part.command, "--out", str(rows_path)]
    variables = {
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "Agg",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "CUPY_CACHE_DIR": str(folder / "kernels"),
    }
    started = time.perf_counter()
    with log.open("a+b") as output:
        output.write(f"\n== {part.name}\n".encode())
        output.flush()
        begin = output.tell()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=variables | dict(os.environ) | (part.environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status, late = _ended(process, limit)
        finally:
            with suppress(ProcessLookupError):  # its own processes, too
                os.killpg(process.pid, signal.SIGKILL)
        output.seek(begin)
        printed = output.read().decode(errors="replace")
    if part.read:
        rows = part.read(printed)
    else:
        lines = rows_path.read_text().splitlines(keepends=True) if rows_path.exists() else []
        rows = [json.loads(line) for line in lines if line.endswith("\n")]  # the last one may have been cut off
    word = "over its limit" if late else "failed" if status else "ran"
    lines = printed.strip().splitlines()
    reason = "" if word == "ran" else f"exit status {status}; last line: {plain(lines[-1]) if lines else 'none'}"
    seconds = round(time.perf_counter() - started, 1)
    return {"name": part.name, "status": word, "seconds": seconds, "limit": limit, "reason": reason, "rows": rows}


def _ended(process: subprocess.Popen[bytes], limit: float) -> tuple[int | None, bool]:
    """Returns the exit status, and whether the limit passed, which interrupts the process, and after GRACE kills it."""
    try:
        return process.wait(limit), False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # pytest then prints what it has
    try:
        return process.wait(GRACE), True
    except subprocess.TimeoutExpired:
        process.kill()
    with suppress(subprocess.TimeoutExpired):  # one that waits for a driver that has hung cannot be killed
        process.wait(GRACE)
    return process.returncode, True


# ---- the summary


def failures(results: Iterable[dict[str, Any]]) -> list[str]:
    """Returns a line for each part and row that failed, was not reached, or took too long."""
    lines = []
    for result in results:
        bad = [row for row in result["rows"] if row["status"] == "failed"]
        lines += [f"{result['name']}: {row['name']}: {row['reason']}" for row in bad]
        if result["status"] not in ("ran", "failed") or (result["status"] == "failed" and not bad):
            lines.append(f"{result['name']}: {result['status']}{': ' if result['reason'] else ''}{result['reason']}")
    return lines


def markdown(summary: dict[str, Any]) -> str:
    """Returns the summary as a document: failures, rows that were not run, and a table for every part."""
    results, card = summary["parts"], next(iter(_rows_named(summary["parts"], "card")), None)
    title = card["figures"]["name"] if card and card["figures"] else f"no GPU, device {summary['device']}"
    text = [f"# First contact: {title}", ""]
    text.append(f"scratchvae {summary['scratchvae']}, commit {summary['commit']}, {summary['date']}.")
    if summary["quick"]:
        text.append("A rehearsal with tiny sizes: its times mean nothing.")
    pairs = [(result["name"], row) for result in results for row in result["rows"]]
    missing = [f"{part}: {row['name']}: {row['reason']}" for part, row in pairs if row["status"] == "not run"]
    for heading, lines in (("What failed", failures(results)), ("What was not run", missing)):
        text += ["", f"## {heading}", "", *([f"- {line}" for line in lines] or ["Nothing."])]
    for result in results:
        text += ["", f"## {result['name']}: {result['status']}, {result['seconds']} s of {result['limit']:.0f}", ""]
        if result["rows"]:
            text += ["| | |", "|---|---|"]
            text += [f"| {_cell(row['name'])} | {_cell(in_words(row))} |" for row in result["rows"]]
    return "\n".join(text) + "\n"


def _rows_named(results: Iterable[dict[str, Any]], name: str) -> list[Row]:
    return [row for result in results for row in result["rows"] if row["name"] == name]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def commit() -> str:
    """Returns the commit of this checkout, with "+" if files differ from it, or "unknown" outside of a checkout."""
    try:
        command = ["git", "-C", str(ROOT), "describe", "--always", "--exclude=*", "--dirty=+"]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def run_all(todo: Sequence[Part], out: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Runs the parts, and writes the summary before each and at the end. Unused time passes to the next part."""
    out.mkdir(parents=True, exist_ok=True)
    log = out / "log.txt"
    log.write_bytes(b"")
    waiting = [
        {"name": part.name, "status": "not reached", "seconds": 0.0, "limit": part.limit, "reason": "", "rows": []}
        for part in todo
    ]
    deadline, results = time.perf_counter() + sum(part.limit for part in todo), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as folder:
        for i, part in enumerate(todo):
            _write(out, about | {"parts": results + waiting[i:]})
            left = deadline - time.perf_counter() - sum(later.limit for later in todo[i + 1 :])
            results.append(run(part, max(left, part.limit / 2), Path(folder), log))
            print(f"{part.name}: {results[-1]['status']}, {results[-1]['seconds']} s", flush=True)
    summary = about | {"parts": results}
    _write(out, summary)
    return summary


def _write(out: Path, summary: dict[str, Any]) -> None:
    write_text(out / "summary.json", json.dumps(summary, indent=1) + "\n")
    write_text(out / "summary.md", markdown(summary))


def main(arguments: list[str]) -> None:
    """Runs the parts on a device and prints the summary. The exit status is 1 if anything failed."""
    parser = options_of("first_contact", __doc__, "gpu", "folder of summary.json, summary.md and log.txt")
    parser.add_argument(
        "--device", choices=["cpu", "gpu"], default="gpu", help="device; cpu is a rehearsal (default: gpu)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="use tiny sizes, to see that everything runs; the times then mean nothing"
    )
    parser.add_argument("--parts", nargs="+", metavar="NAME", help="run these parts alone")
    chosen = parser.parse_args(arguments)
    todo = parts(chosen.device, chosen.quick)
    names = [part.name for part in todo]
    if unknown := set(chosen.parts or ()) - set(names):
        parser.error(f"no part {', '.join(sorted(unknown))}: there are {', '.join(names)}")
    todo = [part for part in todo if part.name in (chosen.parts or names)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the part in progress ends, too
    about = {"scratchvae": sv.__version__, "commit": commit(), "date": time.strftime("%Y-%m-%d", time.gmtime())}
    summary = run_all(todo, chosen.out, about | {"device": chosen.device, "quick": chosen.quick})
    print(markdown(summary))
    if failures(summary["parts"]):
        sys.exit(1)
