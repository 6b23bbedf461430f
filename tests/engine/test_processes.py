"""Models in other processes, as pools and joblib start them: they train there to the same bits as here."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy
import pytest

import scratchvae as sv
from scratchvae.errors import InputError
from scratchvae.run_directory import RunDirectory


def train(model, x):
    """The sum of the gradient's sizes, and the model after an epoch; some Tensors were born before it came."""
    sv.grad(sv.Tensor(numpy.array(1.0)) * 1.0, [])
    gradients = sv.grad(sv.ops.mean(model.elbo(x, sv.Noise(0))), model.parameters())
    sv.fit(model, x, epochs=1, batch_size=16, progress=False)
    return [float(abs(g).sum()) for g in gradients], model


@pytest.fixture
def work():
    """What is given to `train`, and what it returns here."""
    x = numpy.random.default_rng(0).random((32, 6), dtype=numpy.float32)
    model = sv.VAE.mlp(6, 2, (4,))
    return (model, x), train(copy.deepcopy(model), x)


def assert_same(received, expected):
    assert received[0] == expected[0] and min(received[0]) > 0
    for name, array in expected[1].state().items():
        assert numpy.array_equal(received[1].state()[name], array)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_pool_trains_a_model_as_it_is_trained_here(work, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    given, expected = work
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
        for _ in range(2):
            assert_same(pool.submit(train, *given).result(), expected)


def test_joblib_trains_a_model_whose_arrays_it_maps_into_memory():
    """Above a megabyte joblib hands arrays over as files that can be read only."""
    joblib = pytest.importorskip("joblib")
    x = numpy.random.default_rng(0).random((16, 600), dtype=numpy.float32)
    model = sv.VAE.mlp(600, 2, (500,))
    assert max(array.nbytes for array in model.state().values()) > 2**20
    expected = train(copy.deepcopy(model), x)
    (received,) = joblib.Parallel(n_jobs=2)([joblib.delayed(train)(model, x)])
    assert_same(received, expected)


def test_noise_and_its_like_are_values():
    noise = sv.Noise(3, step=7)
    for twin in (copy.deepcopy(noise), pickle.loads(pickle.dumps(noise))):
        assert twin == noise and numpy.array_equal(twin.normal("z", (5,)), noise.normal("z", (5,)))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_the_lock_of_a_run_directory_is_not_copied(tmp_path, copied):
    sentence = "copy of a RunDirectory: expected its path, received the lock itself"
    with RunDirectory(tmp_path / "run") as directory, pytest.raises(InputError, match=sentence):
        copied(directory)
