"""The data decide where things are computed; and the stand-in for CuPy refuses what CuPy refuses."""

import platform
import subprocess
import sys
from types import SimpleNamespace

import numpy
import pytest

import scratchvae as sv
from scratchvae import backend, ops
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
