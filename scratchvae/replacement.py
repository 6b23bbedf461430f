"""A file is replaced whole or not at all: written under a temporary name, flushed, renamed."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from scratchvae.errors import one_line

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be unlinked
    fcntl = None  # type: ignore[assignment]

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}")
"""The temporary names: a dot, the beginning of the file's name, a dot, and 64 random bits."""


class WriteError(OSError):
    """A file could not be written, and what stood under its name is intact.   "cannot write ...: reason; outlook"

    outlook : what is left and how to go on, where a run can say so
    """

    def __init__(self, path: str | os.PathLike[str], error: OSError, outlook: str = "") -> None:
        super().__init__(error.errno, error.strerror or str(error), os.fspath(path))
        self.outlook = outlook

    def __reduce__(self) -> tuple[Any, ...]:
        """By its arguments, so that another process can have it."""
        return WriteError, (self.filename, OSError(self.errno, self.strerror), self.outlook)

    def __str__(self) -> str:
        outlook = f"; {self.outlook}" if self.outlook else ""
        return one_line(f"cannot write {self.filename}: {self.strerror}{outlook}")


def replace(path: str | os.PathLike[str], content: bytes | memoryview) -> None:
    """Put a file of this content in the path's place once it is whole and on disk, as `replacing` does."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write, which takes the path's place at the end of the block, once it is whole and on disk.

    Any number of threads, processes and containers may write to one path: each has a temporary file of its own. A
    symbolic link stays, and the file that it names is replaced. A file that was there keeps its mode; a new one has
    the mode that the umask leaves. If the block raises, nothing is replaced.

    Raises WriteError if it cannot be written, which every OSError of the block counts as, and for whatever is there and
    is not a plain file: a directory, a pipe, /dev/null.
    """
    target = Path(os.path.realpath(path))
    try:
        mode = _mode(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        file = _temporary_beside(target)
        try:
            with file:
                if mode is not None and hasattr(os, "fchmod"):
                    os.fchmod(file.fileno(), mode)
                yield file
                file.flush()
                os.fsync(file.fileno())
                if fcntl is not None:  # before the lock goes
                    os.replace(file.name, target)
            if fcntl is None:  # Windows renames no open file
                os.replace(file.name, target)
        finally:
            with suppress(OSError):
                os.unlink(file.name)
    except OSError as error:
        raise WriteError(path, error) from error
    sync_directory(target.parent)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replace a text file."""
    replace(path, text.encode())


def sync_directory(directory: Path) -> None:
    """Flush the names in a directory to disk, on systems that can: a rename outlives a loss of power only then."""
    with suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_abandoned(directory: Path) -> None:
    """Unlink the temporary files of writers that died. A living writer holds a lock on its own, in any container."""
    for path in directory.glob(".*"):
        with suppress(OSError):
            if not TEMPORARY.fullmatch(path.name) or not stat.S_ISREG(os.lstat(path).st_mode):
                continue
            if fcntl is None:
                path.unlink()
                continue
            with open(path, "rb") as file:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def _mode(path: str | os.PathLike[str]) -> int | None:
    """The permissions of the plain file of that name; None if nothing is there. Raises OSError for anything else."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise FileExistsError(errno.EEXIST, "Not a regular file")
    return stat.S_IMODE(mode)


def _temporary_beside(target: Path) -> IO[Any]:
    """A new file in the target's directory, locked until it is closed."""
    while True:
        file = open(target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}"), "xb")
        if fcntl is not None:
            with suppress(OSError):  # on a file system without locks, which keeps what the dead leave
                fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        if os.path.exists(file.name):  # `remove_abandoned` may have come before the lock
            return file
        file.close()
