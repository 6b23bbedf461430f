"""One library at one case, in a process of its own that benchmarks/harness.py starts and asks.

usage: python -m benchmarks.worker MODULE CASE PEER PROBLEM

Answers with lines of JSON: to its start and to "check N" with the losses of the first step, or the first N, with noise
that is the same for every library; to "turn" with what a turn of steps took, each with noise of the library's own.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

UNTIMED, TIMED, SECONDS = 2, 3, 0.25  # the steps before a turn, and the fewest steps and seconds of a turn
PAUSE = 0.3  # the seconds before a turn, for which threads of the last process may still wait for work


def main(module: str, case: str, peer: str, path: str) -> None:
    """Makes the step of a peer, and answers until the standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the output of a library is no answer

    def answer(**facts: Any) -> None:
        answers.write(json.dumps(facts) + "\n")
        answers.flush()

    use_as_many_cores_as_threads(int(os.environ["OMP_NUM_THREADS"]))
    from benchmarks.cases.problem import NotHere, Problem  # NumPy, on these cores

    try:
        cases, problem = import_module(module), Problem.read(Path(path))
        step = cases.PEERS[peer](cases.CASES[case], problem)
        given, draw = noise(peer.split("-")[0], problem.noise)
        losses = [float(step(given(0)))]
        answer(losses=losses)
        for line in sys.stdin:
            if line.startswith("check"):
                losses += [float(step(given(i))) for i in range(len(losses), int(line.split()[1]))]
                answer(losses=losses, processor=time.process_time())
            else:
                answer(**turn(lambda: float(step(draw())), problem.n_batches))
    except ImportError as error:
        answer(missing=f"{error.name or error} is not installed")
    except NotHere as reason:
        answer(missing=str(reason))
    except Exception as error:
        traceback.print_exc()
        answer(failed=f"{type(error).__name__}: {error}")


def noise(library: str, shape: tuple[int, ...] | None) -> tuple[Callable[[int], Any], Callable[[], Any]]:
    """Arrays of a library: the noise of the i-th step, the same for every library, and noise that it draws itself."""
    import numpy

    if shape is None:
        return lambda i: None, lambda: None
    steps = count()

    def given(i: int) -> numpy.ndarray:
        return numpy.random.default_rng(i).standard_normal(shape, dtype=numpy.float32)

    if library == "torch":
        import torch

        return lambda i: torch.from_numpy(given(i)), lambda: torch.randn(shape)
    if library == "jax":
        import jax

        key = jax.random.key(0)
        return lambda i: jax.numpy.asarray(given(i)), lambda: jax.random.normal(
            jax.random.fold_in(key, next(steps)), shape
        )
    if library == "scratchvae":
        import scratchvae as sv

        return given, lambda: sv.Noise(0, next(steps)).normal("z", shape)
    generator = numpy.random.default_rng(0)
    return given, lambda: generator.standard_normal(shape, dtype=numpy.float32)


def turn(step: Callable[[], float], n_batches: int) -> dict[str, Any]:
    """Returns figures per step, means over whole passes over the minibatches, and the process's peak memory."""
    time.sleep(PAUSE)
    for _ in range(UNTIMED if n_batches == 1 else 0):
        step()
    losses: list[float] = []
    faults, processor, start = page_faults(), time.process_time(), time.perf_counter()
    while len(losses) < TIMED or len(losses) % n_batches or time.perf_counter() - start < SECONDS:
        losses.append(step())
    n = len(losses)
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    faults = None if faults is None else (page_faults() - faults) / n
    return {
        "steps": n,
        "seconds": seconds / n,
        "CPU seconds": processor / n,
        "page faults": faults,
        "peak bytes": peak_bytes(),
        "loss": sum(losses) / n,
    }


def page_faults() -> int | None:
    """Returns the minor page faults of this process, or None if the system does not count them."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def peak_bytes() -> int | None:
    """Returns the peak of the resident memory, on Linux without that of the process that started this one."""
    try:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    except (OSError, IndexError):
        return None


def use_as_many_cores_as_threads(n: int) -> None:
    """Binds the process to n cores, since a library without a setting for threads would use all cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-n:])


if __name__ == "__main__":
    main(*sys.argv[1:])
