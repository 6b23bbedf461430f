"""One step of an LSTM and of a GRU as a kernel of the GPU, against the small operations of the CPU."""

from importlib import import_module

import numpy
import pytest

import scratchvae as sv
from scratchvae import ops
from scratchvae.backend import asarray
from scratchvae.errors import ShapeError

COUNTS, SIZE = [4, 4, 3, 1], 5
ROWS = sum(COUNTS)
SHAPES = {
    ops.lstm: [(ROWS, 4 * SIZE), (SIZE, 4 * SIZE), (4, SIZE), (4, SIZE), (4, 4 * SIZE)],
    ops.gru: [(ROWS, 3 * SIZE), (SIZE, 3 * SIZE), (SIZE,), (4, SIZE), (4, 3 * SIZE)],
}


def outcome(operation, arrays, device, weights, **options):
    """Returns the values and the gradients of all arguments, as NumPy arrays."""
    arguments = [sv.Tensor(asarray(x, device)) for x in arrays]
    options = {name: asarray(value, device) for name, value in options.items()}
    y = operation(*arguments, counts=COUNTS, **options)
    with sv.no_grad():
        again = operation(*arguments, counts=COUNTS, **options)  # which keeps one step alone
    gradients = sv.grad(ops.sum(y * asarray(weights, device)), arguments)
    return [sv.to_numpy(x) for x in (y, again, *gradients)]


@pytest.mark.parametrize("operation", SHAPES, ids=lambda operation: operation.__name__)
@pytest.mark.parametrize("whole", [False, True], ids=["", "constant and dropout"])
def test_values_and_gradients_on_a_gpu(rng, gpu, operation, whole, monkeypatch):
    arrays = [rng.standard_normal(shape) for shape in SHAPES[operation][: 5 if whole else 4]]
    weights = rng.standard_normal((ROWS, SIZE))
    options = {"dropout": (rng.random((ROWS, SIZE)) < 0.8) / 0.8} if whole and operation is ops.lstm else {}
    expected = outcome(operation, arrays, "cpu", weights, **options)
    if hasattr(gpu, "ElementwiseKernel"):
        monkeypatch.setattr(import_module(f"scratchvae.ops.{operation.__name__}"), "blocks", None)
    received = outcome(operation, arrays, "gpu", weights, **options)
    for ours, right in zip(received, expected, strict=True):
        numpy.testing.assert_allclose(ours, right, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("operation", SHAPES, ids=lambda operation: operation.__name__)
@pytest.mark.parametrize("place", [None, 0, 1, 3], ids=["", "inputs", "recurrent", "state"])
def test_single_and_mixed_precision_on_a_gpu(rng, gpu, operation, place):
    """One argument, or all of them, in single precision; the results have the types that a CPU's have."""
    arrays = [rng.standard_normal(shape) for shape in SHAPES[operation]]
    arrays = [x.astype(numpy.float32) if place in (None, i) else x for i, x in enumerate(arrays)]
    weights = rng.standard_normal((ROWS, SIZE))
    received, expected = (outcome(operation, arrays, device, weights) for device in ("gpu", "cpu"))
    for ours, right in zip(received, expected, strict=True):
        assert ours.dtype == right.dtype
        numpy.testing.assert_allclose(ours, right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("operation", SHAPES, ids=lambda operation: operation.__name__)
def test_gates_that_are_wide_open_or_shut(rng, device, operation):
    arrays = [rng.standard_normal(shape) for shape in SHAPES[operation]]
    arrays[0] = 1e4 * rng.choice([-1.0, 1.0], size=arrays[0].shape)
    results = outcome(operation, arrays, device, numpy.ones((ROWS, SIZE)))
    assert all(numpy.isfinite(x).all() for x in results)
    numpy.testing.assert_array_equal(results[2], 0)  # the gradient of the inputs


@pytest.mark.parametrize("operation", SHAPES, ids=lambda operation: operation.__name__)
@pytest.mark.parametrize(
    ("place", "shape"),
    [(0, (ROWS, SIZE)), (0, (ROWS, 2 * SIZE)), (4, (4, SIZE)), (4, (1, 4 * SIZE)), (4, (4 * SIZE,)), (2, (1,))],
)
def test_shapes_that_do_not_fit_are_refused(rng, device, operation, place, shape):
    arrays = [rng.standard_normal(shape) for shape in SHAPES[operation]]
    arrays[place] = rng.standard_normal(shape)
    with sv.no_grad(), pytest.raises(ShapeError):
        operation(*(asarray(x, device) for x in arrays), counts=COUNTS)
