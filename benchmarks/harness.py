"""Whole steps of several libraries that do the same work in turns, each in a process of its own.

First all libraries take the same steps: one whose losses differ from ours computes something else, and is not timed.
Then each has a turn in every round, while the others sleep, and is compared with the reference in the same round.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import numpy

import scratchvae as sv
from benchmarks.arguments import say
from benchmarks.cases.problem import NotHere

ROOT = Path(__file__).parents[1]
MODULES = (
    "mlp importance_weighted convolutional semi_supervised sketch molecules linear"
    " convolution recurrent operation engine".split()
)
CHECKED, TOLERANCE = 5, 2e-4  # the number of steps whose losses are compared, and their largest relative difference
STARTS, LONG_START = (
    3,
    10.0,
)  # the number of timed starts of a peer; a start of more seconds than the second is timed once
PATIENCE = 30.0  # the seconds within which a process must end
QUIET, QUIET_LOAD = 0.1, 0.5  # the most cores that others use on a quiet machine or, if unknown, the most load
PACKAGES = "numpy scipy torch jax jaxlib scikit-learn autograd".split()
Result = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A Case is a kind of work: a name in the table CASES of a module of benchmarks/cases."""

    name: str
    module: str

    @property
    def content(self) -> Any:
        """Returns the module."""
        return import_module(self.module)


def cases() -> dict[str, Case]:
    """Returns all cases by name."""
    modules = [import_module(f"benchmarks.cases.{name}") for name in MODULES]
    return {name: Case(name, module.__name__) for module in modules for name in module.CASES}


class Peer:
    """A Peer is a library in a process of its own, with a fixed number of threads, that answers requests.

    start: its first answer;   first: the seconds from its start, with Python's own, to the end of its first step
    """

    def __init__(self, case: Case, name: str, problem: Path, threads: int) -> None:
        self.folder = tempfile.TemporaryDirectory()  # compiled code lives no longer than its process
        self.log, begun = Path(self.folder.name) / "log", time.perf_counter()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker", case.module, case.name, name, str(problem)],
                cwd=ROOT,
                env=environment(threads, self.folder.name),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.start = self._answer()
        self.first = time.perf_counter() - begun

    def ask(self, request: str) -> Result:
        """Returns the answer to a request; a peer that has taken no step answers why."""
        if "losses" not in self.start:
            return self.start
        with suppress(BrokenPipeError):
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """Ends the process by closing its input."""
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.folder.cleanup()

    def _answer(self) -> Result:
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        lines = self.log.read_text().strip().splitlines() or ["nothing"]
        return {"failed": f"the process ended with status {self.process.wait()} and said {lines[-1]}"}


def measure(
    case: Case, peers: list[str] | None, threads: int, rounds: int, starts: int = STARTS, data: str | None = None
) -> Result:
    """Returns all figures of a case for these peers, or for all; `left out` says which peers have none, and why."""
    content = case.content
    size = content.CASES[case.name]
    result: Result = {"case": case.name, "what": str(size), "threads": threads, "date": now(), "load before": load()}
    left_out = {name: "not written" for name in peers or () if name not in content.PEERS}
    peers = list(content.PEERS) if peers is None else peers
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        problem = Path(folder) / "problem.npz"
        try:
            content.problem(size, data).save(problem)
        except NotHere as missing:
            left_out |= dict.fromkeys(content.PEERS, str(missing))
        running: dict[str, Peer] = {}
        for name in [name for name in content.PEERS if name in peers and name not in left_out]:
            say(f"{case.name}, {threads} threads: {name} starts")
            peer = started(case, name, problem, threads, starts)
            stack.callback(peer.end)
            running[name] = peer
        answers = {name: peer.ask(f"check {CHECKED}") for name, peer in running.items()}
        left_out |= different(answers)
        turns, others = in_turns({name: peer for name, peer in running.items() if name not in left_out}, rounds, case)
    left_out |= {name: reason(turn) for turn in turns for name, turn in turn.items() if "seconds" not in turn}
    turns = [{name: figures for name, figures in turn.items() if name not in left_out} for turn in turns]
    result |= {"load after": load(), "cores in use by others": others, "reference": content.REFERENCE}
    result["busy"] = result["load before"] > QUIET_LOAD if others is None else others > QUIET
    result["peers"] = {
        name: summary([turn[name] for turn in turns], [turn.get(content.REFERENCE) for turn in turns])
        | {"first step, seconds": running[name].first}
        for name in running
        if name not in left_out
    }
    return result | {"left out": left_out, "machine": machine(), "versions": versions()}


def environment(threads: int, folder: str) -> dict[str, str]:
    """Returns the environment of a peer's process, which libraries read on import; compiled code goes to the folder."""
    fixed = dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"], str(threads))
    return os.environ | fixed | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "TORCHINDUCTOR_CACHE_DIR": folder}


def started(case: Case, name: str, problem: Path, threads: int, starts: int) -> Peer:
    """Returns a peer that has taken its first step; `first` is the median over several starts."""
    seconds: list[float] = []
    while True:
        peer = Peer(case, name, problem, threads)
        if "losses" not in peer.start:
            return peer
        seconds.append(peer.first)
        if len(seconds) >= starts or seconds[-1] > LONG_START:
            peer.first = median(seconds)
            return peer
        peer.end()


def different(answers: dict[str, Result]) -> dict[str, str]:
    """Returns the peers without losses, or with losses unlike ours (without ours, the first peer's), and why."""
    losses = {name: numpy.array(answer["losses"]) for name, answer in answers.items() if "losses" in answer}
    reasons = {name: reason(answer) for name, answer in answers.items() if name not in losses}
    ours = next(iter(losses), None)
    for name, values in losses.items():
        difference = float(abs(values / losses[ours] - 1).max())
        if not difference < TOLERANCE:
            reasons[name] = f"failed: its losses differ from those of {ours} by {difference:.1e}, so it is not timed"
    return reasons


def in_turns(peers: dict[str, Peer], rounds: int, case: Case) -> tuple[list[dict[str, Result]], float | None]:
    """Returns the turns of all peers in each round, and the number of cores that other processes used meanwhile.

    Every second round runs backwards. A peer that fails has no further turns.
    """
    turns: list[dict[str, Result]] = []
    begun, everyone, before = time.perf_counter(), busy_seconds(), processor_seconds(peers)
    for i in range(rounds):
        say(f"{case.name}: round {i + 1} of {rounds}")
        turns.append({})
        for name in list(peers)[:: -1 if i % 2 else 1]:
            turns[i][name] = peers[name].ask("turn")
            if "seconds" not in turns[i][name]:
                peers = {other: peer for other, peer in peers.items() if other != name}
    if everyone is None:
        return turns, None
    after = processor_seconds(peers)
    own = sum(after[name] - before[name] for name in after)
    return turns, round(max(0.0, (busy_seconds() - everyone - own) / (time.perf_counter() - begun)), 2)


def processor_seconds(peers: dict[str, Peer]) -> dict[str, float]:
    """Returns the CPU seconds of each process so far, from its answer to a check."""
    return {name: peer.ask(f"check {CHECKED}").get("processor", 0.0) for name, peer in peers.items()}


def reason(answer: Result) -> str:
    """Returns why a peer has no figures; a missing library is no failure."""
    return answer["missing"] if "missing" in answer else f"failed: {answer.get('failed')}"


def summary(turns: list[Result], reference: list[Result | None]) -> Result:
    """Returns medians over rounds, with the 10th and 90th percentile of the time; ratios are taken within a round."""
    times = [1e3 * turn["seconds"] for turn in turns]
    low, middle, high = numpy.percentile(times, [10, 50, 90]).tolist()
    result: Result = {"milliseconds": middle, "10th percentile": low, "90th percentile": high}
    if all(reference):
        result["ratio"] = median(a["seconds"] / b["seconds"] for a, b in zip(turns, reference, strict=True))
        result["CPU ratio"] = median(a["CPU seconds"] / b["CPU seconds"] for a, b in zip(turns, reference, strict=True))
    result["CPU milliseconds"] = 1e3 * median(turn["CPU seconds"] for turn in turns)
    for name, most in (("page faults", median), ("peak bytes", max)):
        values = [turn[name] for turn in turns]
        result[name] = None if None in values else most(values)
    result["rounds"] = [{name: turn[name] for name in ("steps", "seconds", "loss")} for turn in turns]
    return result


# ---- the machine


def now() -> str:
    """Returns the date and time, UTC."""
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime())


def load() -> float:
    """Returns the mean number of running processes in the last minute, or 0 if the system does not tell."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0


def busy_seconds() -> float | None:
    """Returns the CPU seconds of all processes since the machine's start, or None if the system does not tell."""
    try:
        user, nice, system, _, _, *interrupts = Path("/proc/stat").read_text().split("\n")[0].split()[1:9]
    except (OSError, ValueError):
        return None
    return sum(map(int, (user, nice, system, *interrupts))) / os.sysconf("SC_CLK_TCK")


def machine() -> dict[str, Any]:
    """Returns the processor, the number of cores that this process may use, the memory and the system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts: dict[str, Any] = {"processor": platform.processor() or platform.machine(), "cores": cores}
    facts["system"] = f"{platform.system()} {platform.release()}"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        facts["processor"] = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
        facts["memory, GiB"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (OSError, StopIteration, ValueError):
        pass
    return facts


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the installed packages."""
    found = {"python": platform.python_version(), "scratchvae": sv.__version__}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
