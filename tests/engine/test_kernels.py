"""Kernels on the CPU: the numbers of the NumPy lines, a cache that trusts nobody else, NumPy where nothing compiles."""

import math
import os
import shutil
import subprocess

import numpy
import pytest

import scratchvae as sv
from scratchvae import compiler, kernels, ops
from scratchvae.backend import asarray
from scratchvae.binarization import COIN, FROM_BYTES, FROM_FLOATS
from scratchvae.distributions import Bernoulli
from scratchvae.errors import InputError, ShapeError
from scratchvae.kernels import Kernel
from scratchvae.ops import activations, densities, reductions, structure
from scratchvae.optim import ADAM, BLOCK, Adam
from scratchvae.philox import philox4x32, uniforms

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


LOGITS = [*numpy.linspace(-110, 110, 2001), 1e-30, -1e-30, 0.0, 3e4, -3e4]  # 88 is the last whose exponential is finite


@needs_compiler
@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
def test_the_bernoulli_kernels_round_as_numpy_does(host, dtype):
    """Within a few units in the last place of the result: of numbers, not of their sums, as events have one entry."""
    logits = numpy.repeat(numpy.array(LOGITS, dtype), 3)[:, None]
    x = numpy.resize(numpy.array([0, 1, 0.3], dtype), logits.shape)
    leaf = sv.Tensor(logits)
    y = ops.bernoulli_log_prob(x, leaf)
    slope = sv.grad(ops.sum(y), [leaf])[0]
    wide, x = logits.astype(numpy.longdouble), x.astype(numpy.longdouble)
    ulp = numpy.finfo(dtype).eps
    expected = (x * wide - numpy.maximum(wide, 0) - numpy.log1p(numpy.exp(-abs(wide))))[:, 0]
    numpy.testing.assert_allclose(y.data, expected.astype(dtype), rtol=3 * ulp, atol=numpy.finfo(dtype).tiny)
    with numpy.errstate(over="ignore"):
        expected = x - 1 / (1 + numpy.exp(-wide))
    numpy.testing.assert_allclose(slope, expected.astype(dtype), rtol=0, atol=2 * ulp)


def test_certain_and_impossible_values_and_no_number(device):
    """The same on every path: log 1 = 0 and log 0 = -infinity, each without a NaN; a NaN stays one."""
    x = [1.0, 0.0, 0.5, 0.0, 1.0, 0.5, 1.0, numpy.nan]
    logits = [math.inf, math.inf, math.inf, -math.inf, -math.inf, -math.inf, numpy.nan, 1.0]
    values = [0, -math.inf, -math.inf, 0, -math.inf, -math.inf, numpy.nan, numpy.nan]
    slopes = [0, -1, -0.5, 0, 1, 0.5, numpy.nan, numpy.nan]
    for dtype in (numpy.float32, numpy.float64):
        arrays = (asarray(numpy.array(a, dtype)[:, None], device) for a in (x, logits))
        x_, leaf = next(arrays), sv.Tensor(next(arrays))
        numpy.testing.assert_array_equal(sv.to_numpy(Bernoulli(leaf).log_prob(x_)), values)
        if densities.TERM.on(x_) is None:
            continue  # without the kernel the distribution looks at the result
        y = ops.bernoulli_log_prob(x_, leaf)
        numpy.testing.assert_array_equal(sv.to_numpy(y), values)
        numpy.testing.assert_array_equal(sv.to_numpy(sv.grad(ops.sum(y), [leaf])[0])[:, 0], slopes)


@needs_compiler
def test_certain_and_impossible_values_on_the_host(host):
    test_certain_and_impossible_values_and_no_number("cpu")


@needs_compiler
@pytest.mark.parametrize("block", [1, 30, BLOCK])
def test_bernoulli_rows_repeats_and_blocks_on_the_host(host, rng, monkeypatch, block):
    monkeypatch.setitem(densities.BLOCK, "cpu", block)
    for x_shape, logits_shape, n in [((5, 7), (3, 5, 7), 1), ((5, 2, 3, 1), (2, 4, 5, 2, 3, 1), 3), ((5,), (5,), 0)]:
        x, logits, g = (
            rng.standard_normal(shape) for shape in (x_shape, logits_shape, logits_shape[: len(logits_shape) - n])
        )
        for order in ("C", "F"):
            leaf = sv.Tensor(numpy.asarray(logits, order=order))
            y = ops.bernoulli_log_prob(numpy.asarray(x, order=order), leaf, n)
            event = tuple(range(-n, 0))
            numpy.testing.assert_allclose(y.data, (x * logits - numpy.logaddexp(0, logits)).sum(axis=event), rtol=1e-12)
            (slope,) = sv.grad(ops.sum(y * g), [leaf])
            g_ = g.reshape(g.shape + (1,) * n)
            numpy.testing.assert_allclose(slope, g_ * (x - 1 / (1 + numpy.exp(-logits))), rtol=1e-9, atol=1e-12)


@needs_compiler
def test_a_training_on_the_host_is_that_of_numpy(host, rng, monkeypatch):
    x = (rng.random((40, 12)) < 0.4).astype(numpy.float32)

    def elbos():
        model = sv.VAE.mlp(12, 2, (9,), seed=1)
        return sv.fit(model, x, epochs=3, batch_size=16, n_samples=3, seed=2, progress=False)["elbo"]

    compiled = elbos()
    monkeypatch.delenv("SCRATCHVAE_KERNELS")
    numpy.testing.assert_allclose(compiled, elbos(), rtol=1e-5)


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
    with pytest.raises(ShapeError, match="sum_of_neighbours: expected 3 contiguous entries of float64 as [xyz]"):
        SUM.on(numpy.zeros(1))(x, 3, y, z)


def test_other_types_are_left_to_numpy(host):
    assert ADAM.on(numpy.zeros(1, numpy.float16)) is None and ADAM.on(numpy.zeros(1, int)) is None


LINES = {
    densities.DIVERGENCE: lambda m, log_s, m_p, log_s_p: [
        log_s_p - log_s + (numpy.exp(2 * log_s) + (m - m_p) ** 2) / (2 * numpy.exp(2 * log_s_p)) - 1 / 2
    ],
    densities.DIVERGENCE_SLOPES: lambda g, m, log_s, m_p, log_s_p: [
        g * (m - m_p) / numpy.exp(2 * log_s_p),
        g * (numpy.exp(2 * log_s - 2 * log_s_p) - 1),
    ],
    densities.DRAW: lambda m, log_s, e: [m + numpy.exp(log_s) * e],
    densities.DRAW_SLOPE: lambda g, log_s, e: [g * e * numpy.exp(log_s)],
    activations.RELU_SLOPE: lambda g, x: [g * (x > 0)],
    activations.TANH_SLOPE: lambda g, y: [g * (1 - y**2)],
    activations.SIGMOID: lambda x: [1 / (1 + numpy.exp(-x))],
    activations.SIGMOID_SLOPE: lambda g, y: [g * y * (1 - y)],
    activations.SOFTPLUS: lambda x: [numpy.log1p(numpy.exp(x))],
    activations.SOFTPLUS_SLOPE: lambda g, y: [g * (1 - numpy.exp(-y))],
    activations.BIASED[ops.relu]: lambda x, b: [numpy.maximum(x + b, 0)],
    activations.BIASED[ops.leaky_relu]: lambda x, b: [numpy.where(x + b > 0, x + b, 0.01 * (x + b))],
    activations.BIASED[ops.tanh]: lambda x, b: [numpy.tanh(x + b)],
    activations.BIASED[ops.sigmoid]: lambda x, b: [1 / (1 + numpy.exp(-x - b))],
    activations.BIASED[ops.softplus]: lambda x, b: [numpy.log1p(numpy.exp(x + b))],
    reductions.LOG_SUM_SLOPE: lambda g, x, y: [g * numpy.exp(x - y)],
    reductions.LOG_RATIO: lambda x, y: [x - y],
    reductions.LOG_RATIO_SLOPES: lambda g, x, y: [g, -g],
    COIN: lambda u, x: [u < x],
}
"""What kernels of a GPU alone compute, one array of entries for each output, for arrays of one for each input."""


@needs_compiler
@pytest.mark.parametrize("kernel", LINES, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("dtype", [numpy.float64, pytest.param(numpy.float32, marks=pytest.mark.slow)])
def test_a_kernel_of_the_gpu_computes_its_lines(host, rng, kernel, dtype):
    shapes = [(5, 1) if p.form == "[row]" else (5, 7) for p in kernel.parameters() if not p.is_output]
    inputs = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    expected = LINES[kernel](*(x.astype(numpy.float64) for x in inputs))
    outputs = [numpy.full((5, 7), numpy.nan, dtype) for _ in expected]
    kernel.on(outputs[0])(*inputs, *outputs)
    tolerance = 100 * numpy.finfo(dtype).eps
    for received, right in zip(outputs, expected, strict=True):
        numpy.testing.assert_allclose(received, right, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
@needs_compiler
def test_leaky_relu_and_log_sums_on_the_host(host, rng):
    x, g, y = rng.standard_normal((3, 4, 2)), rng.standard_normal((3, 4, 2)), numpy.empty((3, 4, 2))
    activations.LEAKY_RELU.on(y)(x, 0.25, y)
    numpy.testing.assert_array_equal(y, numpy.where(x > 0, x, 0.25 * x))
    activations.LEAKY_RELU_SLOPE.on(y)(g, x, 0.25, y)
    numpy.testing.assert_array_equal(y, numpy.where(x > 0, g, 0.25 * g))
    total = numpy.empty((3, 1, 2))
    reductions.LOG_SUM.on(total)(x, 4, 2, total)
    numpy.testing.assert_allclose(total, numpy.logaddexp.reduce(x, axis=1, keepdims=True), rtol=1e-14)


@needs_compiler
@pytest.mark.parametrize("dtype", [numpy.float32, pytest.param(numpy.float64, marks=pytest.mark.slow)])
def test_pixels_are_drawn_from_the_rows_that_are_asked_for(host, rng, dtype):
    order, (seed, name, step) = numpy.array([2, 0, -1, 2]), ((8, 9), 7, (5, 6))
    counter = (numpy.arange(3, 3 + 5, dtype=numpy.uint64), name, *step)
    u = uniforms(philox4x32(numpy, counter, seed)).ravel()[: 4 * 5].reshape(4, 5)
    k = rng.integers(0, 256, (6, 5), dtype=numpy.uint8)
    floats = (k / numpy.float32(255)).astype(dtype)
    for kernel, x in ((FROM_FLOATS, floats), (FROM_BYTES, k)):
        out = numpy.full((4, 5), numpy.nan, dtype)
        kernel.on(out)(3, name, *step, *seed, out.size, order, *x.shape, x, out, size=5)
        numpy.testing.assert_array_equal(out, u < floats[order])


@needs_compiler
def test_a_part_of_the_last_axis_among_zeros(host, rng):
    x, y = rng.standard_normal((3, 2)), numpy.full((3, 5), numpy.nan)
    structure.AMONG_ZEROS.on(y)(x, 1, 2, 5, y)
    numpy.testing.assert_array_equal(y, numpy.pad(x, ((0, 0), (1, 2))))


def test_what_is_broadcast_among_zeros_is_what_numpy_gives(device):
    for shape in ((), (2,), (4, 2)):
        x = numpy.arange(1.0, 1 + math.prod(shape)).reshape(shape)
        y = sv.to_numpy(ops.scatter_add(asarray(x, device), (..., slice(0, 2)), (4, 3)))
        numpy.testing.assert_array_equal(y, numpy.pad(numpy.broadcast_to(x, (4, 2)), ((0, 0), (0, 1))))


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
    with pytest.warns(UserWarning, match=f"SCRATCHVAE_KERNELS=host has no effect, so NumPy computes: .*{message}"):
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
def test_a_library_is_on_the_disk_before_it_has_its_name(alone, monkeypatch):
    order, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: order.append("fsync") or fsync(file))
    monkeypatch.setattr(os, "replace", lambda *paths: order.append("replace") or replace(*paths))
    compiler.library(kernels.host_text(SUM, "d"))
    assert order == ["fsync", "replace"]


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
