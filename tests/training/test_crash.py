"""The machine dies, the disk is full, a second process comes, a file is torn: nothing that was written is lost."""

import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy
import pytest
from builders import STEPS, Spy, arrays, assert_same_run, data, train

import scratchvae as sv
from scratchvae import checkpoint, replacement
from scratchvae.cli import main
from scratchvae.errors import DataError, InputError
from scratchvae.replacement import WriteError
from scratchvae.run_directory import RunDirectory
from scratchvae.run_files import read_history

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals and limits of POSIX")
FILES = [".lock", "best.npz", "config.json", "last.npz", "metrics.jsonl"]
ERRORS = [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EFBIG]


def start_or_resume(run_dir, **settings):
    """What a person does after a crash: resume where there is a run, else start anew."""
    return train(run_dir, resume=(run_dir / "config.json").exists(), **settings)


def start(code, *arguments, **settings):
    """A process of its own group, with the package and these tests on its path."""
    here = Path(__file__).parent
    paths = [str(Path(sv.__file__).parents[1]), str(here), str(here.parent)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, start_new_session=True, **pipes | settings)


def finish(process):
    """(status, output, errors) of a process."""
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


def content(run_dir):
    return {path.name: path.read_bytes() for path in run_dir.iterdir() if path.name != ".lock"}


@pytest.fixture
def memory(tmp_path):
    """A directory in memory where there is one: what a kill leaves is the same there, and fsync costs nothing."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory)


@pytest.fixture
def run_dir(memory):
    return memory / "run"


# ---- killed with -9 at random moments

COMMAND = "import sys; from scratchvae.cli import main; sys.exit(main(sys.argv[1:]))"
LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)); "
TRAIN = """
import sys
from pathlib import Path
import test_crash
test_crash.start_or_resume(Path(sys.argv[1]), epochs=int(sys.argv[2]))
"""


def survivors(parent, n, seed, epochs):
    """How many of n killed runs end as the uninterrupted one, and the steps of the checkpoints they went on from."""
    began = time.perf_counter()
    status, _, errors = finish(start(TRAIN, parent / "whole", epochs))
    assert status == 0, errors
    life = time.perf_counter() - began
    rng, same, steps = numpy.random.default_rng(seed), 0, []
    for i in range(n):
        run_dir, delays = parent / str(i), [life * (i + rng.random()) / n]
        if i % 3 == 0:
            delays.append(life * rng.random())  # and its resume is killed too
        for delay in delays:
            process = start(TRAIN, run_dir, epochs)
            try:
                process.communicate(timeout=delay)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        begun = (run_dir / "config.json").exists()
        steps.append(json.loads(str(numpy.load(run_dir / "last.npz")["header"]))["step"] if begun else None)
        start_or_resume(run_dir, epochs=epochs)
        assert_same_run(run_dir, parent / "whole")
        assert sorted(path.name for path in run_dir.iterdir()) == FILES
        same += 1
    return same, steps


@pytest.mark.slow
def test_twenty_of_twenty_killed_at_random_moments(tmp_path):
    same, steps = survivors(tmp_path, 20, seed=2, epochs=40)
    print(f"{same} of 20 killed runs end with identical bytes; killed after steps {steps}")
    assert same == 20
    assert sum(step is not None and 0 < step < 40 * STEPS for step in steps) >= 5, "too few were killed in training"


# ---- killed, or failing, at every single operation on the disk


class Faults:
    """Counts what is done to the disk, and acts at one count: before a write, in its midst, before fsync and rename,
    after the rename."""

    def __init__(self, monkeypatch, at, action):
        self.at, self.action, self.count = at, action, 0
        fsync, replace = os.fsync, os.replace

        def write_in_two(write, text):
            self.tick()
            half = len(text) // 2
            write(text[:half])
            self.tick()
            write(text[half:])

        def opened(*arguments, **settings):
            self.tick()
            file = open(*arguments, **settings)
            return file if "r" in str(arguments[1:]) else _Written(file, write_in_two)

        def flushed(descriptor):
            self.tick()
            fsync(descriptor)

        def replaced(*paths):
            self.tick()
            replace(*paths)
            self.tick(after=True)

        monkeypatch.setattr(os, "fsync", flushed)
        monkeypatch.setattr(os, "replace", replaced)
        for module in (replacement, sv.run_directory):
            monkeypatch.setattr(module, "open", opened, raising=False)

    def tick(self, after=False):
        self.count += 1
        if self.count == self.at:
            self.action(after)


class _Written:
    """A file whose bytes are flushed to the system in two parts."""

    def __init__(self, file, write):
        self.file, self._write = file, write

    def write(self, text):
        def flush(part):
            self.file.write(part)
            self.file.flush()

        self._write(flush, text)

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)


def kill_at_every_operation(parent):
    """Forks a run for every operation on the disk, which dies there; returns how many die, and how many end well."""
    train(parent / "whole", epochs=2)
    with pytest.MonkeyPatch.context() as patch:
        faults = Faults(patch, 0, None)
        train(parent / "counted", epochs=2)
    died = same = 0
    for at in range(1, faults.count + 1):
        run_dir = parent / str(at)
        child = os.fork()
        if not child:
            with pytest.MonkeyPatch.context() as patch:
                Faults(patch, at, lambda after: os.kill(os.getpid(), signal.SIGKILL))
                train(run_dir, epochs=2)
            os._exit(0)
        died += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        start_or_resume(run_dir, epochs=2)
        assert_same_run(run_dir, parent / "whole")
        assert sorted(path.name for path in run_dir.iterdir()) == FILES, at
        same += 1
    return died, same


KILL = """
import sys
from pathlib import Path
import test_crash
print(*test_crash.kill_at_every_operation(Path(sys.argv[1])))
"""


def test_killed_at_every_operation_on_the_disk(memory):
    status, output, errors = finish(start(KILL, memory))
    assert status == 0, errors
    died, same = map(int, output.split())
    assert died == same > 40


def test_no_room_at_any_operation_on_the_disk(memory, two_epochs, monkeypatch):
    """Each operation fails in turn: one sentence, the checkpoint as it was, no temporary file, and the run goes on."""
    with monkeypatch.context() as patch:
        faults = Faults(patch, 0, None)
        train(memory / "counted", epochs=2)
    failed = 0
    for at in range(1, faults.count + 1):
        run_dir, before = memory / str(at), {}
        last, number = run_dir / "last.npz", ERRORS[at % len(ERRORS)]

        def fail(after, run_dir=run_dir, last=last, before=before, number=number):
            if not after:
                before.update({last: last.read_bytes() if last.exists() else None})
                raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            Faults(patch, at, fail)
            try:
                train(run_dir, epochs=2)
            except WriteError as error:
                failed += 1
                assert str(error).startswith(f"cannot write {run_dir}") and os.strerror(number) in str(error)
                assert error.errno == number and "\n" not in str(error)
                begun = (run_dir / "config.json").exists()
                clause = f"the last checkpoint is {last}, to resume by " if begun else "the run has not begun"
                assert clause in str(error) and "all that was written before is intact" in str(error)
                assert (last.read_bytes() if last.exists() else None) == before[last]
                assert not list(run_dir.glob(".*.*"))
        start_or_resume(run_dir, epochs=2)
        assert_same_run(run_dir, two_epochs)
    assert failed > 30


def test_a_file_is_on_disk_before_its_name_and_then_the_directory(memory, monkeypatch):
    order, fsync, replace = [], os.fsync, os.replace

    def flushed(descriptor):
        order.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def replaced(*paths):
        order.append("name")
        replace(*paths)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", replaced)
    replacement.write_text(memory / "a.txt", "a")
    assert order == ["file", "name", "directory"]

    def refused(*_):
        raise PermissionError(errno.EACCES, "no directory is opened here")

    monkeypatch.setattr(os, "open", refused)
    replacement.write_text(memory / "a.txt", "b")
    assert (memory / "a.txt").read_text() == "b", "where directories cannot be opened"


def test_a_file_beyond_the_limit_from_the_command_line(memory, capsys):
    """RLIMIT_FSIZE makes the system itself refuse the bytes of a checkpoint; the metrics and the configuration fit."""
    numpy.save(memory / "rows.npy", data())
    command = [
        "train",
        "--data",
        str(memory / "rows.npy"),
        "--hidden",
        "64",
        "--quiet",
        "--no-pictures",
        "--run-dir",
        str(memory / "run"),
    ]
    assert main([*command, "--epochs", "1"]) == 0
    before = (memory / "run" / "last.npz").read_bytes()
    resume = ["train", "--quiet", "--no-pictures", "--epochs", "3", "--resume", str(memory / "run")]
    status, _, errors = finish(start(LIMITED + COMMAND, *resume))
    assert status == 2 and errors.count("\n") == 1, errors
    assert (
        errors.startswith(f"scratchvae: cannot write {memory}") and "best.npz: File too large; all that was" in errors
    )
    assert f"`scratchvae train --resume {memory / 'run'}`" in errors
    assert (memory / "run" / "last.npz").read_bytes() == before and not list((memory / "run").glob(".*.*"))
    assert main(resume) == main([*command[:-1], str(memory / "whole"), "--epochs", "3"]) == 0
    assert_same_arrays(memory / "run", memory / "whole")


def assert_same_arrays(run_dir, whole):
    for name in ("last.npz", "best.npz"):
        assert arrays(run_dir / name) == arrays(whole / name), name


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 KiB, where this user may mount one."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_a_full_disk(small_disk, whole):
    run_dir, ballast = small_disk / "run", small_disk / "ballast"
    train(run_dir, epochs=1)
    before = content(run_dir)
    with open(ballast, "wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(512))
    with pytest.raises(
        WriteError, match=r"cannot write .*: No space left on device; .*the last checkpoint is .*last\.npz"
    ):
        train(run_dir, resume=True)
    assert (run_dir / "last.npz").read_bytes() == before["last.npz"] and not list(run_dir.glob(".*.*"))
    with pytest.raises(WriteError, match="No space left on device; all .* is intact; the run has not begun"):
        train(small_disk / "other")
    ballast.unlink()
    train(run_dir, resume=True)
    assert_same_run(run_dir, whole)


def test_a_disk_that_may_only_be_read(small_disk):
    train(small_disk / "run", epochs=1)
    before = content(small_disk / "run")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for run_dir, resume in (("run", True), ("run", False), ("other", False)):
        match = (
            rf"cannot write {small_disk / run_dir}: Read-only file system; all that was written before is intact; the "
        )
        with pytest.raises(WriteError, match=match):
            train(small_disk / run_dir, resume=resume)
    assert content(small_disk / "run") == before and sv.load(small_disk / "run" / "last.npz")


# ---- two processes


def test_a_second_process_is_refused(memory, capsys):
    numpy.save(memory / "rows.npy", data())
    run_dir = memory / "run"
    command = ["train", "--data", str(memory / "rows.npy"), "--hidden", "4", "--run-dir", str(run_dir), "--quiet"]
    first = start(COMMAND, *command, "--epochs", "1000000")
    while not (run_dir / "metrics.jsonl").exists():
        assert first.poll() is None
        time.sleep(0.01)
    before = (run_dir / "config.json").read_bytes()
    for second in (
        [*command, "--epochs", "5", "--seed", "1"],
        ["train", "--resume", str(run_dir), "--epochs", "2000000"],
    ):
        assert main(second) == 2
        error = capsys.readouterr().err
        assert (
            error
            == f"scratchvae: run directory {run_dir}: expected one that no other run writes to, received one in use\n"
        )
    for resume in (False, True):
        with pytest.raises(InputError, match="received one in use"):
            train(run_dir, resume=resume)
    assert main(["sample", str(run_dir), "--out", str(memory / "s.npy")]) == 0, "readers need no lock"
    assert first.poll() is None
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    assert (run_dir / "config.json").read_bytes() == before
    with RunDirectory(run_dir):
        pass  # the lock has gone with the process


def test_of_two_that_start_at_once_one_is_refused(memory):
    numpy.save(memory / "rows.npy", data())
    command = [
        "train",
        "--data",
        memory / "rows.npy",
        "--hidden",
        "4",
        "--epochs",
        "60",
        "--batch-size",
        "1",
        "--quiet",
        "--no-pictures",
    ]
    both = [start(COMMAND, *command, "--run-dir", memory / "run", "--seed", seed) for seed in (1, 2)]
    ends = [finish(process) for process in both]
    assert sorted(status for status, _, _ in ends) == [0, 2], ends
    won = [status for status, _, _ in ends].index(0)
    assert ends[1 - won][2].startswith("scratchvae: run directory ") and ends[1 - won][2].count("\n") == 1
    config = json.loads((memory / "run" / "config.json").read_text())
    assert config["seed"] == config["options"]["seed"] == 1 + won


def test_the_same_process_is_refused_a_second_time(run_dir, whole):
    def again():
        before = content(run_dir)
        for resume in (False, True):
            with pytest.raises(
                InputError, match="run directory .*: expected one that no other run writes to, .* in use"
            ):
                train(run_dir, resume=resume)
        assert content(run_dir) == before

    train(run_dir, rate=Spy(STEPS + 1, again))
    assert_same_run(run_dir, whole)
    train(run_dir, resume=True)  # the lock is free again, also after an exception
    with pytest.raises(ZeroDivisionError):
        train(run_dir, epochs=4, resume=True, rate=Spy(3 * STEPS, lambda: 1 / 0))
    train(run_dir, epochs=4, resume=True)


WRITING = """
import sys, time
from pathlib import Path
from scratchvae import replacement
file = replacement._temporary_beside(Path(sys.argv[1]))
print(file.name, flush=True)
time.sleep(60)
"""


def test_temporary_files_of_the_dead_are_removed_and_those_of_the_living_stay(run_dir):
    train(run_dir, epochs=1)
    dead, living = (start(WRITING, run_dir / name) for name in ("last.npz", "best.npz"))
    stale, written = (Path(process.stdout.readline().strip()) for process in (dead, living))
    dead.kill()
    finish(dead)
    own = replacement._temporary_beside(run_dir / "config.json")  # of another thread, say
    kept = [written, Path(own.name), run_dir / ".notes.1234", run_dir / ".last.npz.old", run_dir / f"a.{'0' * 16}"]
    for path in kept[2:]:
        path.write_text("half")
    os.mkfifo(run_dir / f".pipe.{'0' * 16}")
    assert stale.exists() and stale.parent == run_dir
    train(run_dir, epochs=1, resume=True)
    assert not stale.exists() and all(path.exists() for path in kept)
    living.kill()
    finish(living)
    own.close()
    train(run_dir, epochs=1, resume=True)
    assert not written.exists() and not Path(own.name).exists()


# ---- torn, edited and foreign files


@pytest.fixture(scope="module")
def two_epochs(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("two_epochs") / "run"
    train(run_dir, epochs=2)
    return run_dir


@pytest.fixture
def damaged(two_epochs, run_dir):
    """A copy of a run of two epochs."""
    shutil.copytree(two_epochs, run_dir)
    return run_dir


def assert_refused(run_dir, match):
    """One sentence, nothing changed in the directory; where there is a message, it names what is wrong."""
    before = content(run_dir)
    with pytest.raises(InputError, match=match) as raised:
        train(run_dir, resume=True)
    assert "\n" not in str(raised.value)
    assert content(run_dir) == before


def test_a_torn_checkpoint_resumes_from_the_best_one(damaged, whole):
    last = damaged / "last.npz"
    bytes_of_last = last.read_bytes()
    for length in [*range(0, len(bytes_of_last), 300), len(bytes_of_last) - 1]:
        last.write_bytes(bytes_of_last[:length])
        assert_refused(
            damaged, r"load .*last\.npz: .*torn or foreign file.*\(best\.npz is whole, of step \d+: copied over it"
        )
    shutil.copy(damaged / "best.npz", last)
    train(damaged, resume=True)
    assert_same_run(damaged, whole)


def changed(name, value):
    def change(run_dir):
        progress, read = checkpoint.read(run_dir / "last.npz")
        if name in progress:
            progress = {key: old for key, old in progress.items() if key != name} | (
                {} if value is None else {name: value}
            )
        else:
            read = {key: old for key, old in read.items() if key != name} | ({} if value is None else {name: value})
        checkpoint.write(run_dir / "last.npz", progress, read)

    return change


def of_another_run(**settings):
    def change(run_dir):
        train(run_dir.parent / "other", epochs=2, **settings)
        shutil.copy(run_dir.parent / "other" / "last.npz", run_dir / "last.npz")

    return change


CHECKPOINTS = {
    "terms of another shape": (
        changed("terms", numpy.zeros((5, 2), "f")),
        r"expected terms float32 \(4, 2\), received",
    ),
    "terms of another type": (changed("terms", numpy.zeros((4, 2))), "received terms float64"),
    "no moments": (changed("optimizer/mean", None), "received no optimizer/mean"),
    "other moments": (changed("optimizer/mean", numpy.zeros(3)), "expected optimizer/mean float32"),
    "fewer steps of the optimiser": (changed("n_steps", 3), "step 8, 3 of the optimiser"),
    "no step": (changed("step", None), "expected a step up to 12, .* received step None"),
    "a step beyond the end": (changed("step", 13), "received step 13"),
    "a negative step": (changed("step", -4), "received step -4"),
    "half a step": (changed("step", 8.0), r"received step 8\.0"),
    "a step as text": (changed("step", "8"), "received step '8'"),
    "seconds as text": (changed("seconds", "0"), "expected seconds, and best_score if any, as numbers"),
    "best_score as a list": (changed("best_score", [1]), "expected seconds, and best_score if any, as numbers"),
    "of another seed": (of_another_run(seed=4), "expected a checkpoint of this run, received one .* other settings"),
    "of other batches": (of_another_run(batch_size=9), "expected terms float32"),
    "of another optimizer": (
        of_another_run(optimizer=sv.optim.SGD),
        "expected no optimizer/velocity|no optimizer/mean",
    ),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_foreign_checkpoint_changes_nothing(name, damaged):
    change, match = CHECKPOINTS[name]
    change(damaged)
    model = sv.VAE.mlp(input_size=10, latent_size=2, hidden=(8,), activation="tanh", binarize="dynamic")
    before = {name: array.copy() for name, array in model.state().items()}
    assert_refused(damaged, f"resume .*last\\.npz: .*({match})")
    with pytest.raises(InputError):
        sv.fit(model, data(), run_dir=damaged, resume=True, progress=False)
    assert all(numpy.array_equal(array, before[name]) for name, array in model.state().items())


OTHER_TEXT = [
    b"",
    b"{",
    b"\xff\x80",
    b"[" * 100_000,
    b'{"a":' * 9_999,
    b"1" * 5_000,
    b"[]",
    b"null",
    b'"text"',
    b"\0" * 40,
]


@pytest.mark.parametrize("text", OTHER_TEXT, ids=lambda text: repr(text[:9]))
def test_other_text_as_configuration(text, damaged):
    (damaged / "config.json").write_bytes(text)
    assert_refused(damaged, r"read .*config\.json: expected the configuration of a run, received ")


def test_every_edited_setting_is_refused(damaged):
    config = json.loads((damaged / "config.json").read_text())
    for name in config.keys() - {"versions"}:
        for value in ("12", None, True, [], {"a": [1]}, 10**400, float("nan")):
            (damaged / "config.json").write_text(json.dumps(config | {name: value}))
            if value is not None or config[name] is not None:
                assert_refused(damaged, "resume .*: expected (the settings of the run|at least the run's)")
    (damaged / "config.json").write_text(json.dumps(config | {"more": 1}))
    assert_refused(damaged, "'more'")


def edited(line):
    """Lines of metrics.jsonl that are none."""
    metrics = json.loads(line)
    yield from ("", "[]", "1", "\x80", "[" * 100_000, '{"a":' * 9_999, "null", line[:-9])
    yield from (json.dumps(metrics | {"elbo": value}) for value in ("1", None, True, [1]))
    yield json.dumps({name: value for name, value in metrics.items() if name != "kl"})
    yield json.dumps(metrics | {"more": 1})


def test_every_edited_line_of_the_metrics_is_refused(damaged):
    metrics = damaged / "metrics.jsonl"
    first, second = metrics.read_text().splitlines()
    for text in edited(second):
        metrics.write_text(f"{first}\n{text}\n", encoding="latin-1")
        assert_refused(damaged, "expected the metrics of 2 epochs in metrics.jsonl, received those of 1")
        assert read_history(damaged)["epoch"] == [1]
    for text in edited(first):
        metrics.write_text(f"{first}\n{text}\n{second}\n", encoding="latin-1")
        with pytest.raises(
            DataError, match=r"read .*metrics\.jsonl: .* in every line, received something else in line 2"
        ):
            read_history(damaged)
    metrics.write_text(f"{first}\n" + second.replace('"elbo": -', '"elbo": -1') + "\n")
    assert_refused(
        damaged, "expected the metrics of 2 epochs in metrics.jsonl, received other numbers than the run wrote"
    )


def test_edited_options_are_refused_by_the_command_line(memory, capsys):
    numpy.save(memory / "rows.npy", data())
    command = ["train", "--data", str(memory / "rows.npy"), "--hidden", "4", "--epochs", "1", "--quiet"]
    assert main([*command, "--run-dir", str(memory / "run")]) == 0
    path = memory / "run" / "config.json"
    config = json.loads(path.read_text())
    options = config.pop("options")
    texts = list(OTHER_TEXT)
    for name in ("data", "latent", "hidden", "activation", "likelihood", "std", "batch_size", "kl_warmup", "seed"):
        for value in ("x", None, {"a": [1]}, [["a"]], -1, 10**400):
            texts.append(json.dumps(config | {"options": options | {name: value}}).encode())
    for value in ("x", None, 5, {"a": 1}, [-1], [1.5]):
        texts.append(json.dumps(config | {"options": options | {"image_shape": value}}).encode())
    texts += [json.dumps(config | {"options": value}).encode() for value in ("x", 5, [], {"model": "mpl"})]
    capsys.readouterr()
    for text in texts:
        path.write_bytes(text)
        assert main(["train", "--resume", str(memory / "run"), "--quiet"]) == 2, text
        error = capsys.readouterr().err
        assert error.startswith("scratchvae: ") and error.count("\n") == 1, error


# ---- schedules


def test_a_changed_function_is_refused(run_dir):
    def schedule(factor):
        return lambda step: [0.02, 0.01, 0.005, 0.002][step] * factor**step  # a table that ends with the run

    train(run_dir, epochs=1, rate=schedule(0.9))
    train(run_dir, epochs=1, resume=True, rate=schedule(0.9))
    with pytest.raises(InputError, match="resume .*'learning_rate': .*only epochs may grow"):
        train(run_dir, epochs=1, resume=True, rate=schedule(0.8))
