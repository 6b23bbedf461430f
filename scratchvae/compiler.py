"""The system's C++ compiler makes a library of functions from a text, and the user's cache folder keeps it.

The name of a library's file depends on the text, the flags and the compiler's predefined macros: its version, the C
library and the instructions of this CPU. Because a library is code that will run here, it is loaded only if its
folder and its file belong to this user and nobody else can write to them.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

FLAGS = (
    *("-O3", "-march=native", "-shared", "-fPIC", "-x", "c++"),
    "-ffp-contract=off",  # a b + c rounds twice, as in NumPy
    "-fno-math-errno",  # otherwise no loop with a square root or an exponential would use vectors
    "-fno-trapping-math",
    "-D__FAST_MATH__=1",  # glibc declares its vector exp and log1p; -ffast-math would also ignore NaN and infinity
)
SECONDS = 60
"""The largest time that the compiler may take."""


@cache
def library(text: str) -> ctypes.CDLL:
    """Returns the library that the compiler makes from the text.

    Raises OSError or RuntimeError, each with one sentence, if there is no compiler, if it fails, or if the cache folder
    belongs to somebody else.
    """
    path = shutil.which("c++")
    if path is None:
        raise OSError("there is no C++ compiler named c++")
    target = _folder() / f"{_key(path, text)}.so"
    if _is_ours(target):
        try:
            return ctypes.CDLL(str(target))
        except OSError:  # damaged
            pass
    with tempfile.TemporaryDirectory(dir=target.parent) as workshop:
        made = Path(workshop, "made.so")
        _run([path, *FLAGS, "-o", str(made), "-"], text)
        made.chmod(0o700)
        with open(made, "rb") as file:
            os.fsync(file.fileno())  # a library truncated by a power failure would crash the process that loads it
        os.replace(made, target)  # atomically, since another process may compile the same text now
    return ctypes.CDLL(str(target))


def _key(path: str, text: str) -> str:
    predefined = _run([path, *FLAGS, "-dM", "-E", "-"], "#include <cmath>\n")
    return hashlib.sha256("\0".join([path, *FLAGS, predefined, text]).encode()).hexdigest()


def _run(command: list[str], text: str) -> str:
    try:
        run = subprocess.run(command, input=text, capture_output=True, text=True, errors="replace", timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{command[0]} took more than {SECONDS} seconds") from None
    if run.returncode:
        raise RuntimeError(f"{command[0]} fails: {' '.join(run.stderr.split())[:500] or f'status {run.returncode}'}")
    return run.stdout


def _folder() -> Path:
    """Returns the folder "kernels" in the user's cache, and creates it for this user alone."""
    import pooch

    folder = Path(pooch.os_cache("scratchvae")) / "kernels"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    if not _is_ours(folder):
        raise OSError(f"{folder} belongs to another user, or others can write to it")
    return folder


def _is_ours(path: Path) -> bool:
    """Tells whether the path exists and belongs to this user, and nobody else can write to it."""
    if not hasattr(os, "getuid"):  # Windows keeps the folders of its users apart
        return path.exists()
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    return status.st_uid == os.getuid() and not status.st_mode & 0o022
