"""Kernels on the CPU: the numbers of the NumPy lines, a cache that trusts nobody else, NumPy where nothing compiles."""

import math
import os
import shutil
import subprocess

import numpy
import pytest

import scratchvae as sv
from scratchvae import compiler, kernels
from scratchvae.errors import InputError, ShapeError
from scratchvae.kernels import Kernel
from scratchvae.optim import ADAM, BLOCK, Adam

needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
SUM = Kernel("sum_of_neighbours", "T x[], int32 n, T y[i]", "T z[i]", "z += y + (i + 1 < n ? x[i + 1] : T(0));")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache folder that the tests of this file share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def host(cache, monkeypatch):
    """Kernels are compiled for the CPU. The value is the folder of their libraries."""
    monkeypatch.setenv("SCRATCHVAE_KERNELS", "host")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(kernels, "_failed", False)
    yield cache / "scratchvae" / "kernels"
    kernels.for_host.cache_clear()
    compiler.library.cache_clear()


@pytest.fixture
def alone(host, tmp_path, monkeypatch):
    """The same with an empty cache of its own, and nothing compiled."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kernels.for_host.cache_clear()
    compiler.library.cache_clear()
    return tmp_path / "scratchvae" / "kernels"


def descend(dtype, n, n_steps):
    """The parameters and moments after steps of Adam along gradients that hold everything a float can be."""
    rng = numpy.random.default_rng(0)
    optimizer = Adam([sv.Tensor(rng.standard_normal(n).astype(dtype))], learning_rate=0.01)
    for _ in range(n_steps):
        g = 10.0 ** rng.uniform(-30, 15, n) * rng.standard_normal(n)
        g[:7] = numpy.nan, math.inf, -math.inf, 0, -0.0, numpy.finfo(dtype).tiny / 3, numpy.finfo(dtype).max
        optimizer.gradients[0][...] = g
        with numpy.errstate(all="ignore"):
            optimizer.step()
    return numpy.array([optimizer.parameters[0].data, *optimizer.state.values()])


# ---- the same numbers


@needs_compiler
@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@pytest.mark.parametrize("n", [1000, BLOCK + 3])
def test_adam_on_the_host_has_the_bits_of_numpy(host, monkeypatch, dtype, n):
    compiled = descend(dtype, n, 4)
    assert ADAM.on(numpy.zeros(1, dtype)) is not None
    monkeypatch.delenv("SCRATCHVAE_KERNELS")
    assert ADAM.on(numpy.zeros(1, dtype)) is None
    numpy.testing.assert_array_equal(compiled, descend(dtype, n, 4))


@needs_compiler
def test_an_entry_an_array_and_a_number_are_what_the_declaration_says(host):
    x, y, z = (numpy.arange(3.0) + shift for shift in (0, 10, 100))
    SUM.on(z)(x, 2, y, z)
    assert z.tolist() == [100 + 10 + 1, 101 + 11, 102 + 12]
    SUM.on(z)(x, 2, y[:2], z[:2])
    assert z.tolist() == [100 + 2 * (10 + 1), 101 + 2 * 11, 102 + 12]


@needs_compiler
@pytest.mark.parametrize(
    ("x", "y", "z"),
    [
        (numpy.zeros(3), numpy.zeros(2), numpy.zeros(3)),
        (numpy.zeros(3), numpy.zeros(3, numpy.float32), numpy.zeros(3)),
        (numpy.zeros(3, numpy.float32), numpy.zeros(3), numpy.zeros(3)),
        (numpy.zeros(6)[::2], numpy.zeros(3), numpy.zeros(3)),
        (numpy.zeros(3), numpy.zeros(3), numpy.zeros((3, 3)).T[0]),
    ],
    ids=["size", "type", "type of a whole array", "strides", "strides of the output"],
)
def test_arrays_that_do_not_fit_are_refused(host, x, y, z):
    with pytest.raises(ShapeError, match="sum_of_neighbours: expected 3 entries of float64 as [xyz], one after"):
        SUM.on(numpy.zeros(1))(x, 3, y, z)


def test_other_types_are_left_to_numpy(host):
    assert ADAM.on(numpy.zeros(1, numpy.float16)) is None and ADAM.on(numpy.zeros(1, int)) is None


# ---- who asks, and what is in the way


def test_another_word_is_refused(monkeypatch):
    monkeypatch.setenv("SCRATCHVAE_KERNELS", "gpu")
    with pytest.raises(
        InputError, match="SCRATCHVAE_KERNELS: expected \"host\", or nothing for NumPy alone, received 'gpu'"
    ):
        ADAM.on(numpy.zeros(1))


def stub(folder, text):
    """A compiler that is this script."""
    (folder / "c++").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "c++").chmod(0o755)
    return str(folder)


OBSTACLES = {
    "no compiler": (None, r"there is no C\+\+ compiler named c\+\+"),
    "a compiler that fails": ("echo out of order >&2; exit 3", r"c\+\+ fails: out of order"),
    "a compiler that dies silently": ("exit 3", r"c\+\+ fails: status 3"),
    "a compiler that hangs": ("exec sleep 60", r"c\+\+ took more than 0.1 seconds"),
    "a compiler that writes nothing": ("cat", "made.so"),
}


@pytest.mark.parametrize(("script", "message"), OBSTACLES.values(), ids=OBSTACLES)
def test_without_a_compiler_numpy_computes_and_one_note_says_why(alone, tmp_path, monkeypatch, script, message):
    path = f"{stub(tmp_path, script)}:/usr/bin:/bin" if script else str(tmp_path)
    monkeypatch.setenv("PATH", path)
    monkeypatch.setattr(compiler, "SECONDS", 0.1 if "sleep" in (script or "") else 60)
    with pytest.warns(UserWarning, match=f"SCRATCHVAE_KERNELS=host compiles nothing, so NumPy computes: .*{message}"):
        noted = descend(numpy.float32, 20, 2)
    numpy.testing.assert_array_equal(noted, descend(numpy.float32, 20, 2))  # a second note would be an error
    assert SUM.on(numpy.zeros(1)) is None
    assert not alone.exists() or not any(alone.iterdir())


@needs_compiler
def test_a_folder_of_somebody_else_is_not_used(alone, monkeypatch):
    alone.mkdir(parents=True)
    alone.chmod(0o777)
    with pytest.warns(UserWarning, match="belongs to another user, or others can write to it"):
        assert ADAM.on(numpy.zeros(1)) is None
    assert not any(alone.iterdir())
    alone.chmod(0o700)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="belongs to another user"):
        patch.setattr(os, "getuid", lambda: alone.stat().st_uid + 1)
        compiler.library("")


# ---- the cache


@needs_compiler
def test_a_library_is_made_once_for_this_user_alone(alone, monkeypatch):
    commands, run = [], subprocess.run
    monkeypatch.setattr(
        subprocess, "run", lambda command, **options: commands.append(command) or run(command, **options)
    )
    text = kernels.host_text(SUM, "d")
    compiler.library(text)
    (made,) = alone.iterdir()
    assert made.suffix == ".so" and made.stat().st_mode & 0o777 == alone.stat().st_mode & 0o777 == 0o700
    assert ["-E" in command for command in commands] == [True, False]
    compiler.library.cache_clear()
    compiler.library(text)
    assert ["-E" in command for command in commands] == [True, False, True]
    compiler.library(kernels.host_text(SUM, "f"))
    assert len(list(alone.iterdir())) == 2


@needs_compiler
@pytest.mark.parametrize("damage", ["bytes", "mode"])
def test_a_library_that_is_damaged_or_that_others_can_write_is_made_anew(alone, damage):
    text = kernels.host_text(SUM, "d")
    compiler.library(text)
    (made,) = alone.iterdir()
    before = made.stat().st_ino
    if damage == "mode":
        made.chmod(0o722)
    else:
        made.unlink()  # it is loaded, and a process whose library is overwritten crashes
        made.write_bytes(b"no library")
        made.chmod(0o700)
    compiler.library.cache_clear()
    assert hasattr(compiler.library(text), SUM.name)
    assert [made] == list(alone.iterdir()) and made.stat().st_ino != before and made.stat().st_mode & 0o777 == 0o700


@needs_compiler
def test_another_cpu_or_compiler_has_a_library_of_its_own(alone, tmp_path, monkeypatch):
    compiler.library(kernels.host_text(SUM, "d"))
    other = f'exec {shutil.which("c++")} "$@" -DANOTHER_CPU'  # a predefined name, as those of instructions are
    monkeypatch.setenv("PATH", f"{stub(tmp_path, other)}:{os.environ['PATH']}")
    compiler.library.cache_clear()
    compiler.library(kernels.host_text(SUM, "d"))
    assert len(list(alone.iterdir())) == 2
