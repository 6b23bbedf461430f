"""What every test may ask for: a generator, real data, and devices to run on."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is imported: pytest starts a process for each core
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each of those, and of the tests' own, compiles the package anew

import numpy
import pytest
import strict_array
from builders import D, K, LinearGaussian, N, Part
from scipy import stats

import scratchvae as sv
from scratchvae import capture
from scratchvae.backend import device_module
from scratchvae.errors import DeviceError

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell leaves it to what runs in its background
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """The garbage collector passes over modules and tests, which stay until the end: 1 s of every 30 went there."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """xdist's own process ran no test, but keeps three reports of each: pytest would look through them five times."""
    if session.config.option.dist != "no":
        gc.freeze()


def _has_gpu() -> bool:
    try:
        device_module("gpu")
    except DeviceError:
        return False
    return True


STRICT = pytest.param("strict", id="strict")
CUPY = pytest.param("cupy", marks=[pytest.mark.gpu, pytest.mark.skipif(not _has_gpu(), reason="needs CuPy and a GPU")])


@pytest.fixture(scope="session", autouse=True)
def _no_wait_for_the_disk() -> Iterator[None]:
    """os.fsync in this process only asks whether the file is open; child processes wait for the disk as users do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_folder_of_kernels(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The processes of one run of pytest compile each kernel of the stand-in once."""
    folder = tmp_path_factory.getbasetemp()
    strict_array.libraries = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture
def rng() -> numpy.random.Generator:
    return numpy.random.default_rng(0)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The directory of real data: SCRATCHVAE_DATA, or shared/data beside the checkout."""
    path = Path(os.environ.get("SCRATCHVAE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not path.is_dir():
        pytest.skip("needs real data: SCRATCHVAE_DATA names their directory")
    return path


@pytest.fixture(scope="session")
def mnist_dir(data_dir: Path) -> Path:
    """The directory of MNIST's four files."""
    if not (data_dir / "mnist").is_dir():
        pytest.skip("needs the MNIST files")
    return data_dir / "mnist"


@pytest.fixture
def strict_gpu(monkeypatch: pytest.MonkeyPatch) -> object:
    """device="gpu" gives the strict stand-in for CuPy; the value is its module."""
    monkeypatch.setitem(sys.modules, "cupy", strict_array)
    monkeypatch.setitem(sys.modules, "cupyx", ModuleType("cupyx"))
    monkeypatch.setitem(sys.modules, "cupyx.scipy", SimpleNamespace(special=strict_array.special))
    monkeypatch.setattr(capture, "Products", strict_array.Products)
    return strict_array


@pytest.fixture(params=[STRICT, CUPY])
def gpu(request: pytest.FixtureRequest) -> object:
    """The module behind device="gpu": the strict stand-in, and CuPy itself where there is a GPU."""
    return request.getfixturevalue("strict_gpu") if request.param == "strict" else device_module("gpu")


@pytest.fixture(params=["cpu", STRICT, CUPY])
def device(request: pytest.FixtureRequest) -> str:
    """The name of a device: "cpu", and "gpu" with what `gpu` stands for."""
    if request.param == "strict":
        request.getfixturevalue("strict_gpu")
    return "cpu" if request.param == "cpu" else "gpu"


@pytest.fixture
def ppca(rng):
    """Probabilistic PCA with orthogonal columns, whose exact posterior is diagonal; and log p(x) of some rows.

    M = W W' + t^2 I is diagonal,   q(z | x) = Normal(M^-1 W (x - c), t^2 M^-1),   p(x) = Normal(c, W' W + t^2 I)
    """
    columns = numpy.linalg.qr(rng.standard_normal((D, K)))[0]
    weight, centre, std = (columns * [1.7, 0.6]).T, rng.standard_normal(D), 0.4
    m = numpy.diag(weight @ weight.T) + std**2
    whole = LinearGaussian(weight, centre, std, weight.T / m, std / numpy.sqrt(m))
    model = sv.VAE(Part(whole, "encode"), Part(whole, "decode"), K).to(dtype=numpy.float64)
    x = rng.standard_normal((N, D)) * 1.5
    log_px = stats.multivariate_normal(centre, weight.T @ weight + std**2 * numpy.eye(D)).logpdf(x)
    return model, x, log_px, (weight, centre, std)
