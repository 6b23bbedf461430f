"""The data decide where things are computed; and the stand-in for CuPy refuses what CuPy refuses."""

import contextlib
import platform
import subprocess
import sys
from types import SimpleNamespace

import numpy
import pytest

import scratchvae as sv
from scratchvae import backend, ops
from scratchvae.backend import asarray, sum_of_leading_axes, to_numpy
from scratchvae.binarization import binarize
from scratchvae.errors import DeviceError, InputError


def test_numpy_and_numbers_belong_to_numpy():
    for x in (numpy.ones(3), numpy.float32(1), 1, 1.0, True):
        assert backend.array_module(x) is numpy and backend.device_of(x) == "cpu"
    assert backend.array_module(1.0, numpy.ones(3)) is numpy


def test_arrays_of_the_gpu_belong_to_its_module(gpu):
    x = gpu.ones(3)
    assert backend.array_module(x) is gpu and backend.device_of(x) == "gpu"
    assert backend.array_module(2.0, x) is gpu
    assert backend.array_module(x.sum()) is gpu
    assert backend.device_module("gpu") is gpu


def test_arrays_travel(gpu):
    home = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)
    away = backend.asarray(home, "gpu")
    assert type(away) is gpu.ndarray and away.dtype == home.dtype
    back = sv.to_numpy(away)
    assert type(back) is numpy.ndarray
    numpy.testing.assert_array_equal(back, home)
    assert backend.asarray(away, "gpu") is away
    assert backend.asarray(home) is home
    numpy.testing.assert_array_equal(backend.asarray(away, "cpu"), home)
    home[...] = 7
    assert float(away.max()) == 5


def test_to_numpy_unwraps_tensors(rng):
    x = rng.standard_normal(3)
    assert sv.to_numpy(sv.Tensor(x)) is x
    numpy.testing.assert_array_equal(sv.to_numpy(2 * sv.Tensor(x)), 2 * x)


def test_both_devices_work_side_by_side(gpu, rng):
    x = rng.standard_normal((3, 4))
    for device in ("cpu", "gpu", "cpu"):
        t = sv.Tensor(backend.asarray(x, device))
        (g,) = sv.grad(ops.sum(ops.tanh(t)), [t])
        assert backend.device_of(g) == device
        numpy.testing.assert_allclose(sv.to_numpy(g), 1 - numpy.tanh(x) ** 2, rtol=1e-12)


def test_synchronize(gpu):
    backend.synchronize("gpu")
    backend.synchronize("cpu")


@pytest.mark.parametrize("device", ["tpu", "cuda", "GPU", None])
def test_unknown_devices_are_refused(device):
    with pytest.raises(InputError, match='device: expected "cpu" or "gpu", received'):
        backend.device_module(device)


def test_no_cupy_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match=r"expected CuPy, received .*cupy.* \(pip install '.\[gpu\]'"):
        backend.asarray(numpy.ones(3), "gpu")


def test_no_gpu_is_one_sentence(monkeypatch):
    def count():
        raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")

    fake = SimpleNamespace(cuda=SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=count)))
    monkeypatch.setitem(sys.modules, "cupy", fake)
    with pytest.raises(DeviceError, match="expected an NVIDIA GPU, received none that CuPy can use: cudaErrorNoDevice"):
        sv.Noise(0, device="gpu")


def test_the_package_imports_no_optional_library():
    code = (
        "import sys, scratchvae; "
        "print([name for name in ('cupy', 'matplotlib', 'scipy', 'tqdm', 'pooch', 'torch') if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


# ---- the stand-in


@pytest.fixture
def strict(strict_gpu):
    return strict_gpu.asarray(numpy.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    "mix",
    [
        lambda x, a: x + a,
        lambda x, a: a + x,
        lambda x, a: a @ x.T,
        lambda x, a: x < a,
        lambda x, a: a >= x,
        lambda x, a: x.__iadd__(a),
        lambda x, a: a.__iadd__(x),
        lambda x, a: x.__setitem__(0, a[0]),
        lambda x, a: numpy.asarray(x),
        lambda x, a: numpy.exp(x),
        lambda x, a: numpy.sum(x),
        lambda x, a: numpy.concatenate([x, a]),
        lambda x, a: backend.array_module(x).concatenate([x, a]),
        lambda x, a: backend.array_module(x).maximum(x, a),
        lambda x, a: backend.array_module(x).add.at(x, 0, a[0]),
        lambda x, a: backend.array_module(x).exp([1.0, 2.0]),
        lambda x, a: backend.array_module(x).exp(sv.Tensor(x)),
        lambda x, a: x + [1.0, 2.0, 3.0],
    ],
)
def test_the_stand_in_does_not_mix(strict, mix):
    with pytest.raises(TypeError, match=r"Unsupported type|Implicit conversion|array of the GPU"):
        mix(strict, numpy.ones((2, 3)))


def test_the_stand_in_is_not_indexed_by_numpy(strict, strict_gpu):
    for index in (numpy.array([0]), (slice(None), numpy.array([0])), numpy.array([True, False]), [0]):
        with pytest.raises(IndexError):
            strict[index]
    assert strict[strict_gpu.asarray(numpy.array([0, 0]))].shape == (2, 3)
    assert strict[0, ::2].shape == (2,) and strict[..., None, numpy.int64(1)].shape == (2, 1)


def test_the_stand_in_has_what_cupy_has(strict, strict_gpu):
    for name in ("errstate", "block", "nditer", "random", "no_such_function"):
        with pytest.raises(AttributeError, match="module 'cupy' has no attribute"):
            getattr(strict_gpu, name)
    with pytest.raises(AttributeError, match="setflags"):
        strict.setflags(write=False)
    assert strict_gpu.float32 is numpy.float32 and strict_gpu.newaxis is None and strict_gpu.pi == numpy.pi


def test_reductions_of_the_stand_in_stay_arrays(strict, strict_gpu):
    total = strict.sum()
    for x in (
        total,
        strict.max(),
        strict[0, 0],
        strict_gpu.sqrt(total),
        total * 2,
        2.0 * total,
        strict_gpu.sum(strict),
    ):
        assert type(x) is strict_gpu.ndarray and x.shape == ()
    alias = total
    total += 1
    assert float(alias) == 16 and int(alias) == 16 and bool(alias)


def test_numpy_scalars_count_as_numbers_beside_the_stand_in(strict):
    assert (numpy.float32(2) * strict).get().tolist() == (strict * numpy.float32(2)).get().tolist()


def test_views_of_the_stand_in_share_memory(strict):
    strict[0][1] = 9.0
    strict.reshape(-1)[2] = 8.0
    assert strict.get()[0].tolist() == [0.0, 9.0, 8.0]
    strict.get()[...] = 0
    assert float(strict.max()) == 9


def test_the_stand_in_gives_way_to_tensors(strict):
    for result in (strict * sv.Tensor(strict), strict - sv.Tensor(strict), strict @ sv.Tensor(strict).data.T):
        assert backend.device_of(result.data if isinstance(result, sv.Tensor) else result) == "gpu"
    assert isinstance(strict * sv.Tensor(strict), sv.Tensor)
    assert (strict <= sv.Tensor(strict)).all()


FAULTS = """
import resource, numpy
from scratchvae.backend import keep_freed_memory
def step():
    arrays = [numpy.ones({size}, dtype=numpy.uint8) for _ in range({n})]
{keep}
for _ in range(3): step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5): step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


OLD = tuple(map(int, platform.libc_ver()[1].split("."))) < (2, 35) if platform.libc_ver()[0] == "glibc" else True
LARGE = pytest.param(40_000_000, 4, marks=pytest.mark.skipif(OLD, reason="glibc 2.35"), id="large")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library of GNU")
@pytest.mark.parametrize(("size", "n"), [pytest.param(3_000_000, 10, id="small"), LARGE])
def test_freed_memory_is_found_again(size, n):
    """Five times 30 or 160 MB touch thousands of pages anew, small or huge, unless the C library has kept them."""
    anew, kept = (
        int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for code in (FAULTS.format(keep=keep, size=size, n=n) for keep in ("", "keep_freed_memory()"))
    )
    assert kept < 500 and kept < anew / 10


@pytest.mark.parametrize("wrong", [2, -3])
def test_an_index_out_of_bounds_is_refused_on_every_device(device, wrong):
    """Of an axis of 2: CuPy itself would wrap around and read, or write, another row."""
    x = backend.asarray(numpy.arange(24.0).reshape(2, 3, 2, 2), device)
    good, bad, mask = (backend.asarray(numpy.array(part), device) for part in ([0, 1], [0, wrong], [True, False]))
    for index in (bad, (slice(None), 0, bad), (..., bad), (None, bad), (..., bad, None, 0), (mask, good, bad)):
        with pytest.raises(IndexError, match=f"index {wrong} is out of bounds for axis . with size 2"):
            ops.getitem(x, index)
        y = ops.getitem(x, tuple(good if part is bad else part for part in index) if index is not bad else good)
        with pytest.raises(IndexError, match=f"index {wrong} is out of bounds for axis . with size 2"):
            ops.scatter_add(y, index, x.shape)


def test_arrays_that_share_memory_are_told_apart(device):
    xp = backend.device_module(device)
    x, number = xp.zeros((2, 3)), xp.zeros(())
    for other in (xp.zeros((2, 3)), number, number + 1, xp.zeros(0)):
        assert not backend.shares_memory(x, other) and not backend.shares_memory(other, xp.zeros(()))
    for other in (x, x[1], x.T, x[1, 2, ...]):
        assert backend.shares_memory(x, other)
    assert backend.shares_memory(number, number.reshape(1)) and backend.shares_memory(number, number)
    assert not backend.shares_memory(x[:, ::2], x[:, 1::2])  # their bounds overlap


# ---- what CuPy refuses, and what nobody refuses: the stand-in, and CuPy itself where it is

REFUSED = {
    "where of a truth value": lambda xp, x: xp.where(True, x, 0.0),
    "sum from an initial value": lambda xp, x: x.sum(initial=1.0),
    "max of some": lambda xp, x: xp.max(x, where=x > 0, initial=0.0),
    "a list assigned": lambda xp, x: x.__setitem__(0, [1.0, 2.0, 3.0]),
    "a tuple assigned": lambda xp, x: x.__setitem__((slice(None), 0), (1.0, 2.0)),
    "an index of a list": lambda xp, x: [1, 2][xp.asarray(numpy.array(1))],
    "a range": lambda xp, x: range(xp.asarray(numpy.array(2))),
    "strings": lambda xp, x: xp.asarray(numpy.array(["a"])),
    "longdouble": lambda xp, x: xp.asarray(numpy.ones(2, numpy.longdouble)),
    "longdouble of another type": lambda xp, x: x.astype("g"),
    "truth values added at an index": lambda xp, x: xp.add.at(x > 0, xp.arange(2), True),
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_what_cupy_refuses(gpu, refused):
    x = gpu.asarray(numpy.arange(6.0).reshape(2, 3))
    with pytest.raises((TypeError, ValueError, AttributeError, NotImplementedError)):
        refused(gpu, x)


REFUSED_IN_A_CAPTURE = {
    "get": lambda xp, x: x.get(),
    "float": lambda xp, x: float(x[0, 0]),
    "int": lambda xp, x: int(x[0, 0]),
    "bool": lambda xp, x: bool(x[0, 0] > 0),
    "item": lambda xp, x: x[0, 0].item(),
    "a mask": lambda xp, x: x[x > 0],
    "an array of the host": lambda xp, x: xp.asarray(numpy.ones(3)),
    "@": lambda xp, x: x @ x.T,
    "matmul": lambda xp, x: xp.matmul(x, x.T),
    "concatenate of nine": lambda xp, x: xp.concatenate([x] * 9),
}
TAKEN_IN_A_CAPTURE = {
    "operators": lambda xp, x: (x + 1) * x > 2,
    "functions": lambda xp, x: xp.where(x > 1, xp.exp(x), 0.0),
    "reductions": lambda xp, x: x.sum(axis=0) + x.max(),
    "rows": lambda xp, x: x[xp.arange(2)],
    "memory": lambda xp, x: [xp.zeros((2, 3)), xp.empty_like(x), x.copy()],
    "concatenate of eight": lambda xp, x: xp.concatenate([x] * 8),
    "entries assigned": lambda xp, x: x.__setitem__(0, x[1]),
}


@contextlib.contextmanager
def capturing(xp):
    """While the stand-in plays a stream that captures, or one of CuPy does."""
    if hasattr(xp, "capturing"):
        with xp.capturing():
            yield
        return
    with xp.cuda.Stream(non_blocking=True) as stream:
        stream.begin_capture()
        try:
            yield
        finally:
            with contextlib.suppress(xp.cuda.runtime.CUDARuntimeError):  # what was refused spoils the capture
                stream.end_capture()


@pytest.mark.parametrize("refused", REFUSED_IN_A_CAPTURE.values(), ids=REFUSED_IN_A_CAPTURE)
def test_what_a_capture_refuses(gpu, refused):
    x = gpu.asarray(numpy.arange(6.0).reshape(2, 3))
    refused(gpu, x)
    with pytest.raises((RuntimeError, NotImplementedError)), capturing(gpu):
        refused(gpu, x)


@pytest.mark.parametrize("taken", TAKEN_IN_A_CAPTURE.values(), ids=TAKEN_IN_A_CAPTURE)
def test_what_a_capture_takes(gpu, taken):
    x = gpu.asarray(numpy.arange(6.0).reshape(2, 3))
    taken(gpu, x)  # compiles the kernels, and fills the pool
    with capturing(gpu):
        taken(gpu, x)


def test_fresh_memory_of_the_stand_in_shows_where_it_is_read(strict, strict_gpu):
    assert numpy.isnan(strict_gpu.empty(3).get()).all() and numpy.isnan(strict_gpu.empty_like(strict).get()).all()
    assert (strict_gpu.empty(2, dtype=numpy.int8).get() == 127).all() and strict_gpu.empty(2, dtype=bool).get().all()


# ---- operations that a GPU does at once


@pytest.mark.parametrize("n", [1, 2, 3])
def test_leading_axes_are_summed(n, rng, device):
    x = rng.standard_normal((50, 3, 4), dtype=numpy.float32)
    received = sum_of_leading_axes(asarray(x, device), n)
    expected = x.sum(axis=tuple(range(n)), dtype=numpy.float64)
    assert received.shape == x.shape[n:]
    numpy.testing.assert_allclose(to_numpy(received), expected, atol=1e-4)
    empty = sum_of_leading_axes(asarray(x[:0], device), n)
    numpy.testing.assert_array_equal(to_numpy(empty), numpy.zeros(x.shape[n:]))


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
def test_relu_has_the_slopes_of_the_cpu(dtype, device):
    """Also at 0, where it is 0, and for what is not finite: a NaN is never hidden."""
    special = numpy.array([-2, -0.0, 0.0, 3, numpy.inf, -numpy.inf, numpy.nan], dtype)
    x, g = (part.ravel() for part in numpy.meshgrid(special, special))

    def slopes(device):
        leaf = sv.Tensor(asarray(x, device))
        with numpy.errstate(invalid="ignore"):
            (slope,) = sv.grad(sv.ops.sum(sv.ops.relu(leaf) * asarray(g, device)), [leaf])
        return to_numpy(slope)

    received, expected = slopes(device), slopes("cpu")
    assert received.dtype == dtype
    numpy.testing.assert_array_equal(received, expected)
    numpy.testing.assert_array_equal(numpy.signbit(received)[expected == 0], numpy.signbit(expected)[expected == 0])
    numpy.testing.assert_array_equal(received[(g == 3) & numpy.isfinite(x)], numpy.array([0, 0, 0, 3], dtype))


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
def test_a_pixel_is_1_where_the_noise_is_below_it(dtype, device):
    u, x = numpy.array([0.2, 0.5, 0.7, 0.0], numpy.float32), numpy.array([0.5, 0.5, 0.5, 0.0], dtype)
    noise = asarray(u, device)
    pixels = binarize(asarray(x, device), "dynamic", sv.noise.GivenNoise(noise))
    assert pixels.dtype == dtype
    numpy.testing.assert_array_equal(to_numpy(pixels), [1, 0, 0, 0])
    numpy.testing.assert_array_equal(to_numpy(noise), u)  # given numbers stay as they are
