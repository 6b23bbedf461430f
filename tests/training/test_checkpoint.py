"""Files of models: what is saved comes back, and no torn or foreign file gets past the entrance."""

import json
import zipfile

import numpy
import pytest

import scratchvae as sv
from scratchvae import checkpoint
from scratchvae.errors import DataError, InputError
from scratchvae.models.decoders import BernoulliDecoder
from scratchvae.models.encoders import GaussianEncoder
from scratchvae.nn import Linear

SETTINGS = [
    {},
    {"binarize": "dynamic", "activation": "tanh", "hidden": (4, 3), "seed": 5},
    {"likelihood": "gaussian", "std": 0.25},
    {"likelihood": "gaussian", "std": numpy.float64(0.25)},
    {"likelihood": "gaussian", "std": "learned"},
    {"likelihood": "gaussian", "std": "decoder", "hidden": ()},
    {"input_size": numpy.int64(6), "latent_size": numpy.int64(2)},
]


def small(**settings):
    """A VAE whose parameters are not those that its seed gives."""
    model = sv.VAE.mlp(**{"input_size": 6, "latent_size": 2, "hidden": (4,)} | settings)
    for x in model.parameters():
        x.data += 0.1
    return model


def own(seed=0):
    noise = sv.Noise(seed)
    encoder, decoder = Linear(6, 4, noise.child("encoder")), Linear(2, 6, noise.child("decoder"))
    return sv.VAE(GaussianEncoder(encoder), BernoulliDecoder(decoder), latent_size=2)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.npz"


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_model_comes_back(path, rng, settings, dtype):
    model = small(**settings).to(dtype=dtype)
    sv.save(model, path)
    loaded = sv.load(path)
    assert repr(loaded) == repr(model) and loaded.binarize == model.binarize
    assert json.loads(json.dumps(loaded.configuration)) == loaded.configuration
    x = rng.uniform(size=(3, 6))
    assert numpy.array_equal(loaded.reconstruct(x), model.reconstruct(x)) and loaded.dtype == dtype
    assert numpy.array_equal(loaded.elbo(x, sv.Noise(0)).data, model.elbo(x, sv.Noise(0)).data)
    for name, array in loaded.state().items():
        assert array.dtype == model.state()[name].dtype and numpy.array_equal(array, model.state()[name])


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_loading_trains_on(path, rng):
    """What is loaded is the model's own memory: a further run changes it."""
    sv.save(small(), path)
    model = sv.load(path)
    before = {name: array.copy() for name, array in model.state().items()}
    x = rng.uniform(size=(20, 6)).round().astype(numpy.float32)
    sv.fit(model, x, epochs=40, batch_size=5, learning_rate=0.05, progress=False)
    assert all((x.data != before[name]).any() for name, x in model.named_parameters().items())


def test_own_networks_go_into_a_model_of_the_same_architecture(path):
    model, other = own(0), own(1)
    sv.save(model, path)
    assert sv.load(path, into=other) is other
    for name, array in other.state().items():
        numpy.testing.assert_array_equal(array, model.state()[name])
    with pytest.raises(InputError, match=r"load .*model\.npz: .* a user's own networks \(into=model\)"):
        sv.load(path)


def test_loading_into_a_model_keeps_the_optimisers_views(path):
    model = own(0)
    sv.save(model, path)
    optimizer = sv.optim.SGD(model.parameters(), learning_rate=1.0)
    before = sv.load(path, into=model).parameters()[0].data.copy()
    optimizer.gradients[0][...] = 1
    optimizer.step()
    numpy.testing.assert_allclose(model.parameters()[0].data, before - 1)


def test_another_architecture_is_refused_and_changes_nothing(path):
    sv.save(small(), path)
    for other in (own(), small(hidden=(5,)), small(latent_size=3), small(likelihood="gaussian")):
        before = {name: array.copy() for name, array in other.state().items()}
        with pytest.raises(DataError, match=r"load .*model\.npz: expected the arrays of the model, .*another archit"):
            sv.load(path, into=other)
        assert all(numpy.array_equal(array, before[name]) for name, array in other.state().items())


def test_the_same_model_gives_the_same_bytes(tmp_path):
    files = [tmp_path / "a.npz", tmp_path / "folder" / "b.npz"]
    for file in files:
        sv.save(small(), file)
    assert files[0].read_bytes() == files[1].read_bytes()
    sv.save(sv.load(files[0]), files[1])
    assert files[0].read_bytes() == files[1].read_bytes()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.npz", "b.npz", "folder"], "no temporary file"


def test_the_name_is_kept_as_it_was_given(tmp_path):
    sv.save(small(), tmp_path / "weights.model")
    assert repr(sv.load(str(tmp_path / "weights.model"))) == repr(small())


def test_a_model_on_the_gpu_is_saved_as_arrays_of_the_cpu(path, gpu):
    model = small()
    sv.save(model, path)
    before = path.read_bytes()
    sv.save(model.to("gpu"), path)
    assert path.read_bytes() == before
    assert sv.load(path, into=model).device == "gpu" and sv.load(path).device == "cpu"


# ---- what is refused


def test_a_missing_file_and_a_directory(tmp_path):
    with pytest.raises(DataError, match=r"load .*none\.npz: expected a file, received nothing there"):
        sv.load(tmp_path / "none.npz")
    with pytest.raises(DataError, match=r"load .*last\.npz: expected a file, received nothing there"):
        sv.load(tmp_path)
    sv.save(small(), tmp_path / "last.npz")
    assert repr(sv.load(tmp_path)) == repr(small()), "a run directory stands for its last checkpoint"


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x80\x04K*.", b"\x93NUMPY", b"PK\x03\x04", b"PK\x05\x06" + bytes(18)]
)
def test_a_foreign_file(path, content):
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"load .*model\.npz: expected a checkpoint of format 'scratchvae 1'.*foreign"):
        sv.load(path)


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": numpy.ones(3)},
        {"header": numpy.ones(3)},
        {"header": numpy.array("{")},
        {"header": numpy.array("[1]")},
        {"header": numpy.array('"text"')},
        {"header": numpy.array("{}")},
        {"header": numpy.array('{"format": "scratchvae 9"}')},
    ],
)
def test_an_npz_of_another_kind(path, arrays):
    for write in (numpy.savez, numpy.savez_compressed):
        write(path, **arrays)
        with pytest.raises(DataError, match=r"load .*model\.npz: expected a checkpoint of format 'scratchvae 1'"):
            sv.load(path)


def test_a_configuration_that_this_version_cannot_build(path):
    for configuration in (
        {"constructor": "VAE.recurrent"},
        {"constructor": "VAE.mlp", "depth": 3},
        {"input_size": 3},
    ):
        checkpoint.write(path, {"configuration": configuration}, {})
        with pytest.raises(
            InputError, match=r"build: expected (a constructor among|the arguments of) VAE.mlp[\w., ]*, received "
        ):
            sv.load(path)


def test_npy_files_are_not_checkpoints(path):
    with open(path, "wb") as file:
        numpy.save(file, numpy.ones(3))
    with pytest.raises(DataError, match="torn or foreign"):
        sv.load(path)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def test_nothing_is_unpickled(path):
    header = numpy.array('{"format": "scratchvae 1"}')
    numpy.savez(path, header=header, **{"model/weight": numpy.array([Bomb()], dtype=object)})
    with pytest.raises(DataError, match="torn or foreign.*received an array of Python objects"):
        sv.load(path)


def test_every_torn_copy_is_refused(path, tmp_path, rng):
    sv.save(small(), path)
    whole, torn = path.read_bytes(), tmp_path / "torn.npz"
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        torn.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"load .*torn\.npz: .*torn or foreign"):
            sv.load(torn)


@pytest.mark.filterwarnings("ignore")  # zipfile warns about names that it meets twice
def test_no_damaged_byte_goes_unnoticed(path, tmp_path, rng):
    """One byte is changed, in every part of the file: the file is refused, or nothing that matters has changed."""
    model = small()
    sv.save(model, path)
    whole, damaged = path.read_bytes(), tmp_path / "damaged.npz"
    for position in range(0, len(whole), 7):
        content = bytearray(whole)
        content[position] ^= int(rng.integers(1, 256))
        damaged.write_bytes(content)
        try:
            loaded = sv.load(damaged)
        except InputError:
            continue
        for name, array in loaded.state().items():
            assert numpy.array_equal(array, model.state()[name]), f"byte {position}"


def test_a_compressed_foreign_file_that_is_damaged(path):
    numpy.savez_compressed(path, header=numpy.arange(5000))
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.infolist()[0].header_offset + 120
    content[start : start + 200] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(DataError, match="torn or foreign"):
        sv.load(path)


def test_a_write_that_fails_leaves_the_old_file(path, monkeypatch):
    sv.save(small(), path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        sv.save(small(seed=9), path)
    assert path.read_bytes() == before and [file.name for file in path.parent.iterdir()] == ["model.npz"]


def test_weights_of_a_type_that_the_model_cannot_hold_are_refused(tmp_path):
    sv.save(sv.VAE.mlp(6, 2, (4,)), tmp_path / "model.npz")
    header, arrays = checkpoint.read(tmp_path / "model.npz")
    name = next(iter(arrays))
    checkpoint.write(tmp_path / "model.npz", header, arrays | {name: numpy.ones(arrays[name].shape, dtype=numpy.int64)})
    with pytest.raises(DataError, match=r"values of type float32, received int64"):
        sv.load(tmp_path / "model.npz")
