"""What is written is whole, whoever else writes: threads, links, pipes, modes, long names."""

import os
import socket
import stat
import threading

import pytest

import scratchvae as sv
from scratchvae import replacement
from scratchvae.errors import InputError
from scratchvae.replacement import WriteError, replace
from scratchvae.run_directory import RunDirectory

POSIX = pytest.mark.skipif(os.name != "posix", reason="needs links, pipes and modes of POSIX")


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_threads_that_write_to_one_path_leave_no_torn_file(tmp_path):
    """Each of three writes its own model 20 times, while a fourth loads the file and one sweeps up after the dead."""
    models = [sv.VAE.mlp(50, 4, (30,), seed=seed) for seed in range(3)]
    bits = {model.state()["encoder.network.layers.0.weight"].tobytes() for model in models}
    path, done, failed = tmp_path / "model.npz", threading.Event(), []
    sv.save(models[0], path)

    def repeat(action, condition):
        try:
            while condition():
                action()
        except Exception as error:
            failed.append(error)

    def write(model):
        count = iter(range(20))
        repeat(lambda: sv.save(model, path), lambda: next(count, None) is not None)

    def read():
        assert sv.load(path).state()["encoder.network.layers.0.weight"].tobytes() in bits

    others = [
        threading.Thread(target=repeat, args=(action, lambda: not done.is_set()))
        for action in (read, lambda: replacement.remove_abandoned(tmp_path))
    ]
    writers = [threading.Thread(target=write, args=(model,)) for model in models]
    for thread in others + writers:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in others:
        thread.join()
    assert not failed and names(tmp_path) == ["model.npz"]


def test_a_name_that_was_swept_up_before_it_was_locked_is_not_used(tmp_path, monkeypatch):
    fcntl, flock = pytest.importorskip("fcntl"), []

    def swept(descriptor, operation):
        if not flock:
            for path in tmp_path.iterdir():
                path.unlink()
        flock.append(operation)

    monkeypatch.setattr(fcntl, "flock", swept)
    replace(tmp_path / "a.txt", b"a")
    assert len(flock) == 2 and names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_bytes() == b"a"


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", refused)
    replace(tmp_path / "a.txt", b"a")
    stale = tmp_path / f".a.txt.{'0' * 16}"
    stale.write_bytes(b"half")
    replacement.remove_abandoned(tmp_path)
    assert (tmp_path / "a.txt").read_bytes() == b"a" and stale.exists(), "nobody knows whether its writer lives"


def test_a_system_that_locks_what_is_open(tmp_path, monkeypatch):
    """Windows: without fcntl the file is closed before it is renamed, and the dead's are unlinked unopened."""
    monkeypatch.setattr(replacement, "fcntl", None)
    replace(tmp_path / "a.txt", b"a")
    (tmp_path / f".a.txt.{'0' * 16}").write_bytes(b"half")
    replacement.remove_abandoned(tmp_path)
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_bytes() == b"a"


@POSIX
def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "store").mkdir()
    for target in ("store/old.npz", "store/new.npz"):
        link = tmp_path / "latest.npz"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        if "old" in target:
            link.write_bytes(b"old")
        sv.save(sv.VAE.mlp(6, 2, (4,)), link)
        assert link.is_symlink() and os.readlink(link) == target
        assert repr(sv.load(tmp_path / target)) == repr(sv.VAE.mlp(6, 2, (4,)))
    assert names(tmp_path / "store") == ["new.npz", "old.npz"]


def a_pipe(path):
    os.mkfifo(path)


def a_directory(path):
    path.mkdir()


def a_link_to_a_directory(path):
    (path.parent / "folder").mkdir()
    path.symlink_to("folder")


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))


def a_device(path):
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")


@POSIX
@pytest.mark.parametrize("make", [a_pipe, a_directory, a_link_to_a_directory, a_socket, a_device])
def test_what_is_no_plain_file_is_not_replaced(make, tmp_path):
    path = tmp_path / "model.npz"
    make(path)
    before = names(tmp_path), os.lstat(path)
    with pytest.raises(WriteError, match=r"^cannot write .*model\.npz: (Is a directory|Not a regular file)$"):
        sv.save(sv.VAE.mlp(6, 2, (4,)), path)
    after = os.lstat(path)
    assert (names(tmp_path), after.st_ino, after.st_mode) == (before[0], before[1].st_ino, before[1].st_mode)


@POSIX
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_a_new_file_has_the_mode_of_the_umask_and_an_old_one_keeps_its_own(umask, tmp_path):
    before = os.umask(umask)
    try:
        replace(tmp_path / "a.txt", b"a")
        assert stat.S_IMODE(os.stat(tmp_path / "a.txt").st_mode) == 0o666 & ~umask
        (tmp_path / "a.txt").chmod(0o640)
        replace(tmp_path / "a.txt", b"b")
        assert stat.S_IMODE(os.stat(tmp_path / "a.txt").st_mode) == 0o640
    finally:
        os.umask(before)


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127])
def test_the_longest_names(name, tmp_path):
    replace(tmp_path / name, b"a")
    assert names(tmp_path) == [name]


@POSIX
def test_a_run_directory_that_is_a_link(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "to file").symlink_to("file")
    for path in (tmp_path / "file", tmp_path / "to file"):
        with pytest.raises(InputError, match="run directory .*file: expected a directory, received a file of that"):
            RunDirectory(path).__enter__()
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "with a link").mkdir()
    (tmp_path / "with a link" / ".lock").symlink_to(tmp_path / "file")
    with pytest.raises(WriteError):
        RunDirectory(tmp_path / "with a link").__enter__()
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "folder").mkdir()
    (tmp_path / "to folder").symlink_to("folder")
    with (
        RunDirectory(tmp_path / "to folder"),
        pytest.raises(InputError, match="received one in use"),
        RunDirectory(tmp_path / "folder"),
    ):
        pass
