"""Training by several processes: every rank of an MPI job takes its rows of each minibatch, and gradients are summed.

The whole minibatch has M rows, rank r of R has those from r M / R to (r + 1) M / R, and

    (1/M) sum over all rows = sum over the ranks of (1/m) sum over own rows of (m / M) t_i

so that a rank's objective is that of a minibatch of m rows with weights m / M. Its gradient, summed over the ranks by
one Allreduce, is that of the whole, and so the optimizers take the same step everywhere. Each rank draws the noise of
the whole minibatch and keeps that of its rows: the run is the same for any number of ranks, to rounding. Rank 0 alone
scores, writes, shows progress and calls the callbacks.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import lru_cache
from inspect import signature
from itertools import pairwise
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.backend import array_module, asarray, device_of, synchronize, to_numpy
from scratchvae.errors import InputError
from scratchvae.noise import NoiseOfRows
from scratchvae.run_directory import Run

LAUNCHERS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")
"""Variables in which Open MPI, MPICH and Intel MPI, and MVAPICH tell a process how many ranks there are."""
CHOICE = "SCRATCHVAE_MPI"
PATIENCE = 10.0  # seconds that a rank which fails waits for the others to fail too, before it ends them


class Alone:
    """The one process that trains by itself. `Ranks` has the same methods, which ranks call in the same order."""

    rank, size, first = 0, 1, True

    def check(self, objective: Any, settings: Any) -> None:
        """Raises InputError unless all ranks train the same way, by an objective that can be divided among them."""

    def part(
        self, batch: tuple[Any, ...], weights: Any, noise: Any, dtype: Any
    ) -> tuple[Any, list[Any], Any, Any, Any]:
        """Returns this rank's rows of a minibatch with their arrays and weights, and the noise of x and z.

        batch: rows of the data, and arrays of what belongs to the first of them. weights: of all data, (N,), or None.
        """
        rows, *others = batch
        return rows, others, None if weights is None else weights[rows], noise, noise

    def add(self, array: Any) -> None:
        """Sums an array over the ranks, in place."""

    def any(self, flag: bool) -> bool:
        """Tells whether the flag is set on any rank."""
        return flag

    def decided(self, value: Any) -> Any:
        """Returns the value of rank 0."""
        return value

    def on_first(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls the function on rank 0 alone and returns its result on all ranks, or raises its exception on all."""
        return function(*arguments)

    def on_all(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls the function on each rank, which gets its own result, or raises the exception of one rank on all."""
        return function(*arguments)

    def entered(self, context: AbstractContextManager[Any]) -> AbstractContextManager[Any]:
        """Enters the context on all ranks or on none."""
        return context

    def shared(self, run: Run) -> AbstractContextManager[Run]:
        """Enters the run; model, optimizer and progress are rank 0's, which alone has the run directory."""
        return run

    def end_epoch(self, run: Run, metrics: dict[str, float]) -> None:
        """Records an epoch. Raises InputError if the ranks no longer have the same parameters."""
        run.finish_epoch(metrics)

    def finish(self, run: Run) -> None:
        """Ends the training, and gives all ranks the model that the callbacks of rank 0 leave."""
        run.finish()

    def fail(self, sentence: str, status: int) -> None:
        """Prints why the program ends, once if all ranks fail; a rank that fails alone ends the others too."""
        if sentence:
            print(sentence, file=sys.stderr)


class Ranks(Alone):
    """The ranks of an MPI job, which train one model together.

    world: their communicator, of mpi4py; cuda: whether MPI takes arrays of the GPU, which otherwise go through the host
    """

    def __init__(self, world: Any, cuda: bool = False) -> None:
        self.world, self.cuda, self.rank, self.size = world, cuda, world.rank, world.size
        self.first = self.rank == 0
        self._failures = world.Dup()

    def check(self, objective: Any, settings: Any) -> None:
        """Implements `Alone.check`."""
        if "weights" not in signature(objective.value).parameters:
            expected = f"an Objective whose value takes weights, on {self.size} ranks"
            raise InputError("fit", expected, repr(objective.name))
        theirs = self.decided(settings)
        changed = sorted(name for name in settings | theirs if repr(settings.get(name)) != repr(theirs.get(name)))
        self._agree("settings", ", ".join(changed))
        objective.at_least = self.at_least

    def part(
        self, batch: tuple[Any, ...], weights: Any, noise: Any, dtype: Any
    ) -> tuple[Any, list[Any], Any, Any, Any]:
        """Implements `Alone.part`; a rank without a row takes the first one, with weight 0."""
        rows, *others = batch
        groups: list[tuple[int, int, int]] = []
        places: list[int] = []
        shares: list[float] = []
        for start, stop in pairwise(sorted({0, len(rows), *map(len, others)})):
            n = stop - start
            first, last = self.rank * n // self.size, (self.rank + 1) * n // self.size
            shares += [(last - first) / n] * (last - first) or [0.0]
            last = max(last, first + 1)
            groups.append((n, first, last))
            places += range(start + first, start + last)
        xp = array_module(rows)
        own, share = rows[xp.asarray(places)], xp.asarray(shares, dtype=dtype)
        others = [array[xp.asarray([place for place in places if place < len(array)])] for array in others]
        of_z = NoiseOfRows(noise, tuple(groups), self.rank)
        return own, others, share if weights is None else share * weights[own], replace(of_z, axis=0), of_z

    def add(self, array: Any) -> None:
        """Implements `Alone.add`."""
        from mpi4py.MPI import IN_PLACE

        if device_of(array) == "gpu":
            synchronize("gpu")  # MPI does not wait for CUDA's streams
        through_host = device_of(array) == "gpu" and not self.cuda
        buffer = to_numpy(array) if through_host else array
        self.world.Allreduce(IN_PLACE, buffer)
        if through_host:
            array[...] = asarray(buffer, "gpu")

    def at_least(self, mean: Any, smallest: float) -> Any:
        """Returns this rank's part of max(m, smallest), where m is the sum of the means of all ranks."""
        whole = array_module(mean.data).array(mean.data)
        self.add(whole)
        return ops.where(whole > smallest, mean, smallest / self.size)

    def any(self, flag: bool) -> bool:
        """Implements `Alone.any`."""
        flags = numpy.array([flag], dtype=numpy.int32)
        self.add(flags)
        return bool(flags[0])

    def decided(self, value: Any) -> Any:
        """Implements `Alone.decided`."""
        return self.world.bcast(value)

    def on_first(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Implements `Alone.on_first`."""
        return self.decided(self.on_all(function if self.first else lambda *_: None, *arguments))

    def on_all(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Implements `Alone.on_all`."""
        result, failure = None, None
        try:
            result = function(*arguments)
        except Exception as error:
            failure = error
        failures = [error for error in self.world.allgather(_portable(failure)) if error is not None]
        if failures:
            raise failure or failures[0]
        return result

    @contextmanager
    def entered(self, context: AbstractContextManager[Any]) -> Iterator[Any]:
        """Implements `Alone.entered`."""
        with ExitStack() as stack:
            yield self.on_all(stack.enter_context, context)

    @contextmanager
    def shared(self, run: Run) -> Iterator[Run]:
        """Implements `Alone.shared`."""
        if not self.first:
            run.directory, run.resume = None, False
        with self.entered(run):
            self._follow(run)
            yield run

    def end_epoch(self, run: Run, metrics: dict[str, float]) -> None:
        """Implements `Alone.end_epoch`."""
        self.on_all(run.finish_epoch, metrics)
        sha = hashlib.sha256()
        for x in run.optimizer.parameters:
            sha.update(numpy.ascontiguousarray(to_numpy(x.data)))
        own = sha.hexdigest()
        self._agree("parameters", "" if own == self.decided(own) else f"parameters after step {run.step}")

    def finish(self, run: Run) -> None:
        """Implements `Alone.finish`."""
        self.on_all(run.finish)
        self._follow(run)

    def fail(self, sentence: str, status: int) -> None:
        """Implements `Alone.fail`."""
        waiting, start = self._failures.Ibarrier(), time.monotonic()
        while not waiting.Test() and time.monotonic() < start + PATIENCE:
            time.sleep(0.01)
        together = waiting.Test()
        if sentence and (self.first or not together):
            print(sentence if together else f"rank {self.rank}: {sentence}", file=sys.stderr, flush=True)
        if not together:
            self.world.Abort(status)

    def _follow(self, run: Run) -> None:
        state = self.decided(run.state() if self.first else None)
        if not self.first:
            run.go_to(*state)

    def _agree(self, what: str, difference: str) -> None:
        """Raises InputError on all ranks if one of them has named a difference from rank 0."""
        differences = self.world.allgather(difference)
        for rank, words in enumerate(differences):
            if words:
                hint = f"{CHOICE}=0 in the environment lets each rank train by itself"
                received = f"another {words} on rank {rank}"
                raise InputError(f"fit on {self.size} ranks", f"the same {what} on all", received, hint)


@lru_cache
def ranks() -> Alone:
    """Returns the ranks of this process's MPI job, or Alone, which needs no mpi4py, in every other process.

    The environment says so: a launcher's variables, or SCRATCHVAE_MPI, which is 1 to look for a launcher that sets none
    of them, 0 for processes that train by themselves, and cuda if MPI takes arrays of the GPU.

    Raises InputError for another word, and where mpi4py or an MPI library is missing.
    """
    choice = os.environ.get(CHOICE, "")
    if choice not in ("", "0", "1", "cuda"):
        raise InputError(CHOICE, "0, 1 or cuda", repr(choice))
    several = any(os.environ.get(name, "1") != "1" for name in LAUNCHERS)
    if choice == "0" or not (choice or several):
        return Alone()
    try:
        from mpi4py.MPI import COMM_WORLD
    except (ImportError, RuntimeError) as error:
        hint = f'pip install "scratchvae[mpi]", or {CHOICE}=0 for processes that train by themselves'
        raise InputError("training on several ranks", "mpi4py and an MPI library", str(error), hint) from None
    if COMM_WORLD.size == 1:
        return Alone()
    together = Ranks(COMM_WORLD, choice == "cuda")

    def ended(kind: Any, error: Any, trace: Any) -> None:
        together.fail("".join(traceback.format_exception(kind, error, trace)).rstrip(), 1)

    sys.excepthook = ended  # a rank that dies in Python would leave the others waiting for it
    return together


def _portable(error: Exception | None) -> Exception | None:
    """Returns the error if mpi4py can carry it to another process, else its sentence."""
    from mpi4py import MPI

    try:
        MPI.pickle.loads(MPI.pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
