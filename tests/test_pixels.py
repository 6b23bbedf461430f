"""8-bit pixels: the same numbers to the bit as from floats k / 255, with no more memory than a minibatch takes."""

import functools
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from builders import assert_same_run

import scratchvae as sv
from scratchvae import pixels, quadrature
from scratchvae.backend import to_numpy
from scratchvae.binarization import MODES, binarize
from scratchvae.distributions import Bernoulli
from scratchvae.errors import DataError, DeviceError, InputError
from scratchvae.evaluation import quantity
from scratchvae.pixels import Pixels, Rows, as_numbers
from scratchvae.run_files import fingerprint
from scratchvae.scoring import prepared

ROOT = Path(__file__).parents[1]
BYTES = numpy.random.default_rng(0).integers(0, 256, (2100, 3, 2, 1), dtype=numpy.uint8)
FLOATS = numpy.divide(BYTES, 255, dtype=numpy.float32)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr("scratchvae.pixels.CHUNK_BYTES", 50)


# ---- an array that is computed by rows


def test_every_byte_is_the_float_that_division_gives():
    k = numpy.arange(256, dtype=numpy.uint8).reshape(256, 1)
    assert Pixels(k).numbers().tobytes() == (k.astype("f4") / numpy.float32(255)).tobytes()
    assert Pixels(k, dtype="f8").numbers().tolist() == (k.astype("f4") / numpy.float32(255)).astype("f8").tolist()


@pytest.mark.parametrize(
    "index",
    [slice(3, 90, 7), slice(None, None, -1), [5, 2, 2, -1], numpy.arange(2100) % 3 == 0, slice(0, 0)],
    ids=["slice", "reversed", "row numbers", "mask", "none"],
)
def test_rows_of_rows_are_those_of_the_floats(index):
    once = Pixels(BYTES)[index]
    assert isinstance(once, Pixels) and once.shape == FLOATS[index].shape and once.dtype == numpy.float32
    for more in (slice(None), slice(1, None, 2), numpy.arange(len(once))[::-1]):
        assert numpy.array_equal(numpy.asarray(once[more]), FLOATS[index][more])
    assert once.size == FLOATS[index].size and once.ndim == 4


def test_one_number_is_a_row_and_a_slice_reads_nothing():
    x = Pixels(BYTES)
    for row in (0, -1, numpy.int64(7)):
        assert numpy.array_equal(x[row], FLOATS[row])
        assert numpy.array_equal(x[::-1][row], FLOATS[::-1][row])
    with pytest.raises(IndexError):
        x[2100]
    for wrong in (numpy.zeros((2, 2), int), [0.5], numpy.ones(3, bool), "a"):
        with pytest.raises(InputError, match="rows of pixels: expected"):
            x[wrong]
    assert numpy.shares_memory(x[5:90].array, BYTES) and numpy.shares_memory(x[[3, 1]].array, BYTES)
    assert repr(x) == "Pixels of shape (2100, 3, 2, 1), float32 k / 255 of bytes k"


def test_pixels_have_the_shape_that_a_model_observes():
    x = Pixels(BYTES)[::2]
    assert numpy.array_equal(x.reshape(1050, 6), FLOATS[::2].reshape(1050, 6))
    for shape in ((1050, 5), (2100, 3)):
        with pytest.raises(InputError, match="reshape of pixels"):
            x.reshape(*shape)


def test_what_is_said_of_all_pixels_is_found_by_chunks(small_chunks):
    mean, low, high = Pixels(BYTES).describe()
    assert (mean, low, high) == (pytest.approx(BYTES.mean() / 255, rel=1e-12), BYTES.min() / 255, 1)
    assert sum(len(part) for part in Pixels(BYTES).parts()) == 2100
    assert fingerprint(Pixels(BYTES)) == fingerprint(FLOATS) != fingerprint(Pixels(BYTES[::-1]))
    assert fingerprint(Pixels(BYTES, dtype="f8")) == fingerprint(FLOATS.astype("f8"))


def test_a_grey_pixel_anywhere_is_noticed(small_chunks):
    white = numpy.zeros((500, 4), dtype=numpy.uint8)
    white[::3] = 255
    grey = white.copy()
    grey[499, 3] = 7
    assert Pixels(white).some_values().tolist() == [0, 1]
    assert Pixels(grey).some_values().tolist() == [0, numpy.float32(7) / numpy.float32(255), 1]
    model = sv.VAE.mlp(4, 2, (3,))
    for x in (white, grey, BYTES.reshape(-1, 4)):
        assert quantity(model, x) == Bernoulli.quantity(x / numpy.float32(255))
    assert "dequantised" in quantity(sv.VAE.mlp(4, 2, (3,), likelihood="gaussian"), white)


# ---- the same numbers as from floats


def train(data, labels=None, run_dir=None, resume=False, epochs=2, model=None, **settings):
    model = model or sv.VAE.mlp(6, 2, (4,), **settings)
    options = {"labels": labels} if labels is not None else {}
    history = sv.fit(
        model, data, epochs, 256, validation=data[:300], progress=False, run_dir=run_dir, resume=resume, **options
    )
    del history["seconds"]
    return model, history


def scores(model, x):
    with sv.no_grad():
        values = [sv.elbo(model, x, 2), *sv.log_likelihood(model, x[:30], 110), model.encode(x).mean]
    return [to_numpy(value).tobytes() for value in values], sv.evaluate(model, x), list(sv.active_units(model, x))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_bytes_train_and_score_to_the_bits_of_floats(mode, dtype, small_chunks):
    results = []
    for data in (FLOATS, BYTES, Pixels(BYTES), Pixels(BYTES[::-1])[::-1]):
        model = sv.VAE.mlp(6, 2, (4,), binarize=mode).to(dtype=numpy.dtype(dtype))
        model, history = train(data, model=model)
        results.append((history, [p.data.tobytes() for p in model.parameters()], scores(model, data)))
    assert all(result == results[0] for result in results[1:])
    assert numpy.array_equal(model.reconstruct(BYTES[:5]), model.reconstruct(FLOATS[:5]))


@pytest.mark.parametrize("mode", ["none", "threshold", "dynamic"])
def test_bytes_with_labels_give_the_bits_of_floats(mode):
    labels = numpy.where(numpy.arange(2100) < 40, numpy.arange(2100) % 3, -1)
    results = []
    for data in (FLOATS, BYTES):
        model = sv.SemiSupervisedVAE.mlp(6, 3, 2, (4,), binarize=mode)
        model, history = train(data, labels, model=model)
        error = sv.classification_error(model, data[:40], labels[:40])
        joint = sv.classification_error(model, data[:40], labels[:40], 3)
        results.append((history, [p.data.tobytes() for p in model.parameters()], scores(model, data), error, joint))
    assert results[0] == results[1]


@pytest.mark.parametrize("mode", MODES)
def test_bytes_for_a_model_of_missing_entries_give_the_bits_of_floats(mode):
    results = []
    for data in (FLOATS, BYTES, Pixels(BYTES)):
        model, history = train(data, epochs=1, missing=True, binarize=mode)
        results.append((history, scores(model, data), quantity(model, data)))
        for images in (model.impute(data[:5], 3), *model.impute_draws(data[:5], 2, 3)):
            assert images.shape == FLOATS[:5].shape and numpy.array_equal(images, FLOATS[:5]), "nothing is missing"
    assert results[0] == results[1] == results[2]


def test_a_share_of_bytes_is_held_out_and_all_are_weighted_as_floats_are():
    weights, results = numpy.arange(2100) % 3, []
    for data in (FLOATS, BYTES, Pixels(BYTES)):
        model = sv.VAE.mlp(6, 2, (4,), binarize="static")
        history = sv.fit(model, data, 1, validation=0.2, sample_weight=weights, progress=False)
        del history["seconds"]
        values = sv.elbo(model, data, same_draws=True), sv.log_likelihood(model, data[:30], 9, same_draws=True)[0]
        results.append((history, [value.tobytes() for value in values]))
    assert results[0] == results[1] == results[2]


def test_bytes_are_integrated_and_drawn_from_as_floats_are():
    model = sv.VAE.mlp(6, 1, (4,)).to(dtype=numpy.float64)
    assert quadrature.elbo(model, BYTES[:1]) == quadrature.elbo(model, FLOATS[:1])
    labelled = sv.SemiSupervisedVAE.mlp(6, 3, 2, (4,))
    for drawer in (model, labelled):
        first, again = (drawer.reconstruct(x[:9], draws=True) for x in (BYTES, FLOATS))
        assert numpy.array_equal(first, again)


def test_a_table_of_bytes_has_numbers_and_no_pixels():
    rows = numpy.arange(12, dtype=numpy.uint8).reshape(4, 3)
    model = sv.TableVAE.mlp([sv.data.Column(name, mean=5.0, std=3.0) for name in "abc"], 1, (3,))
    assert sv.evaluate(model, rows) == sv.evaluate(model, rows.astype(float))
    assert quantity(model, rows % 2) == quantity(model, rows.astype(float))


def test_a_run_of_floats_goes_on_with_bytes(tmp_path):
    train(FLOATS, run_dir=tmp_path / "whole", epochs=3)
    train(FLOATS, run_dir=tmp_path / "parts", epochs=2)
    train(BYTES, run_dir=tmp_path / "parts", epochs=3, resume=True)
    assert_same_run(tmp_path / "parts", tmp_path / "whole")
    with pytest.raises(InputError, match="the settings of the run"):
        train(BYTES[::-1].copy(), run_dir=tmp_path / "parts", epochs=3, resume=True)


def test_bytes_on_the_gpu_and_on_the_host_give_the_bits_of_floats(gpu):
    for mode in MODES:
        model = sv.VAE.mlp(6, 2, (4,), binarize=mode).to("gpu")
        expected = sv.elbo(model, FLOATS, 2)
        for data in (BYTES, Pixels(BYTES), gpu.asarray(BYTES)):
            assert numpy.array_equal(sv.elbo(model, data, 2), expected)
    with pytest.raises(DeviceError, match="received one on cpu"):
        model.encode(BYTES)
    sv.fit(model, Pixels(BYTES[:50]), 1, progress=False)


def test_bytes_are_moved_to_the_gpu_where_they_fit(gpu, monkeypatch):
    some = Pixels(BYTES)[3:9].to("gpu")
    assert isinstance(some.array, gpu.ndarray) and to_numpy(some.bytes()).tolist() == BYTES[3:9].tolist()
    monkeypatch.setattr(pixels, "free_gpu_memory", lambda: 2 * BYTES.size - 1)
    large = Pixels(BYTES)
    assert large.to("gpu") is large and to_numpy(some.to("cpu").array).tolist() == BYTES[3:9].tolist()
    assert isinstance(large[3:9].to("gpu").array, gpu.ndarray)


@pytest.mark.parametrize("dtype", [numpy.float32, pytest.param(numpy.float64, marks=pytest.mark.slow)])
@pytest.mark.parametrize("shape", [(40, 3, 5), (40, 4), (40, 1)], ids=str)
def test_the_gpu_draws_pixels_as_it_gathers_their_rows(gpu, monkeypatch, dtype, shape):
    """The bits of three operations, for row numbers in any order, repeated, and counted from the end."""
    k = numpy.resize(BYTES, shape)
    floats = gpu.asarray(Pixels(k).numbers().astype(dtype))
    order = gpu.asarray(numpy.array([7, 0, 39, 7, -1, 12, -40, 3, 5]))
    words = gpu.asarray(numpy.array([3, 2**8], numpy.uint32))
    for noise in (sv.Noise(5, 2**40 + 3, "gpu"), sv.Noise(5, device="gpu", words=words)):
        expected = to_numpy(binarize(floats[order], "dynamic", noise))
        assert 0 < expected.mean() < 1
        for x in (Rows(floats), Pixels(gpu.asarray(k), dtype=dtype)):
            with monkeypatch.context() as patch:
                patch.setattr(sv.Noise, "uniform", None)  # no uniform numbers apart from the pixels
                drawn = binarize(x[order], "dynamic", noise)
            assert drawn.dtype == dtype and numpy.array_equal(to_numpy(drawn), expected)
            with monkeypatch.context() as patch:
                patch.setattr("scratchvae.kernels.for_gpu", lambda *_: None)
                assert numpy.array_equal(to_numpy(binarize(x[order], "dynamic", noise)), expected)
        assert binarize(Rows(floats)[order[:0]], "dynamic", noise).shape == (0, *shape[1:])


def test_a_training_on_the_gpu_gathers_and_draws_in_one_launch(gpu, monkeypatch):
    """Floats and bytes on the GPU; a table with missing entries, which stay NaN, takes the separate operations."""
    launched, fills = [], sv.Noise.fills
    monkeypatch.setattr(sv.Noise, "fills", lambda *args, **opts: launched.append(args[2].name) or fills(*args, **opts))
    for data, name in ((FLOATS, "pixels_from_floats"), (BYTES, "pixels_from_bytes")):
        launched.clear()
        sv.fit(sv.VAE.mlp(6, 2, (4,), binarize="dynamic"), data[:40], 1, 20, device="gpu", progress=False)
        assert launched.count(name) == 2
    launched.clear()
    missing = numpy.where(FLOATS[:40] > 0.9, numpy.nan, FLOATS[:40]).reshape(40, 6)
    sv.fit(sv.VAE.mlp(6, 2, (4,), binarize="dynamic", missing=True), missing, 1, 20, device="gpu", progress=False)
    assert launched.count("philox_uniform") >= 2 and "pixels_from_floats" not in launched


def test_rows_are_scored_by_the_draws_that_all_rows_get():
    model = sv.VAE.mlp(6, 2, (4,), binarize="dynamic")
    lazy, whole = (prepared(model, x, 3) for x in (BYTES, FLOATS))
    assert numpy.array_equal(lazy[700:1400], whole[700:1400]) and lazy.shape == whole.shape


# ---- what is refused


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (
            (BYTES > 9).astype(numpy.uint8),
            r"uint8 pixels from 0 to 255, received values from 0 to 1 \(store black .*bool",
        ),
        (BYTES[:0], "^data: expected uint8 pixels .* at least one, received uint8, shape \\(0, 3, 2, 1\\)$"),
        (BYTES[:, 0, 0, 0], "^data: expected uint8 pixels"),
        (BYTES[:, :2], "rows of 6 entries, received shape"),
    ],
    ids=["black and white", "none", "a vector", "another size"],
)
def test_other_bytes_get_one_sentence(x, sentence):
    for enter in (sv.VAE.mlp(6, 2, (4,)).encode, functools.partial(sv.evaluate, sv.VAE.mlp(6, 2, (4,)))):
        with pytest.raises(InputError, match=sentence):
            enter(x)


def test_counts_are_counts_and_sketches_are_no_pixels():
    counts = sv.VAE.mlp(6, 2, (4,), likelihood="poisson")
    assert numpy.array_equal(counts.observations(BYTES), BYTES.reshape(2100, 6).astype("f4"))
    with pytest.raises(DataError, match="data for a Poisson likelihood: expected whole numbers"):
        counts.observations(Pixels(BYTES))
    with pytest.raises(DataError, match="received uint8"):
        sv.SketchRNN.lstm().observations(numpy.full((3, 4, 5), 9, dtype=numpy.uint8))
    assert as_numbers("x") == "x"


# ---- memory

PEAK = """
import sys, threading, numpy, scratchvae as sv

def now():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))

def watch():
    while not done.wait(0.002):
        peak[0] = max(peak[0], now())

peak, done = [0], threading.Event()
thread = threading.Thread(target=watch)
thread.start()
x = numpy.load(sys.argv[1], mmap_mode="r")
model = sv.VAE.mlp(3072, 2, (16,), binarize=sys.argv[2])
sv.fit(model, x, 1, 200, progress=False, validation=x[:500])
sv.evaluate(model, x)
done.set()
thread.join()
print(peak[0] / 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["none", "dynamic"])
def test_a_memory_map_takes_no_more_memory_than_its_minibatches(tmp_path, mode):
    """An epoch and the scores of 184 MB of bytes, which would be 737 MB of floats, against those of 6 MB."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux's account of memory")
    peaks = []
    for n in (2000, 60_000):
        path = tmp_path / f"{n}.npy"
        numpy.save(path, numpy.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), dtype=numpy.uint8))
        command = [sys.executable, "-c", PEAK, str(path), mode]
        peaks.append(float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout))
    assert peaks[1] < 1.2 * peaks[0], peaks


def test_a_model_of_a_user_computes_with_the_minibatch(device):
    """Only unchanged models of the package are given rows that are not gathered yet."""

    class Doubled(sv.VAE):
        def prepare_data(self, x, noise):
            return super().prepare_data(x, noise) * 0.5

        def prepare_batch(self, x, noise):
            return super().prepare_batch(x * 2.0, noise)

    x, histories = numpy.asarray(FLOATS, numpy.float32).reshape(-1, 6)[:60], []
    for model in (Doubled, sv.VAE):
        model = model.mlp(input_size=6, latent_size=1, hidden=(4,), binarize="dynamic")
        histories.append(sv.fit(model, x, 2, 30, device=device, progress=False)["elbo"])
    numpy.testing.assert_allclose(*histories, rtol=1e-6)
