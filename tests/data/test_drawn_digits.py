"""The drawn digits: deterministic, in MNIST's layout, with factors that act, and near enough to MNIST to learn from."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy
import pytest

from scratchvae.data.dataset import Dataset
from scratchvae.data.drawn_digits import FACTORS, draw_digits
from scratchvae.errors import InputError


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return draw_digits(2000, seed=3)


def moments(images: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Centre (N, 2) and covariance (N, 2, 2) of the ink, as (x, y)."""
    y, x = numpy.mgrid[:28, :28]
    places = numpy.stack([x, y], axis=-1).reshape(-1, 2)
    weights = images.reshape(len(images), -1) / images.sum(axis=(1, 2, 3))[:, None]
    centre = weights @ places
    offsets = places - centre[:, None]
    return centre, numpy.swapaxes(offsets * weights[:, :, None], 1, 2) @ offsets


def stroke_length(dataset: Dataset) -> numpy.ndarray:
    return numpy.array(
        [sum(numpy.linalg.norm(numpy.diff(line, axis=0), axis=1).sum() for line in lines) for lines in dataset.strokes]
    )


def correlation_within_digits(dataset: Dataset, first: numpy.ndarray, second: numpy.ndarray) -> float:
    pairs = [(first[dataset.labels == digit], second[dataset.labels == digit]) for digit in range(10)]
    return float(numpy.mean([numpy.corrcoef(*pair)[0, 1] for pair in pairs]))


def test_same_seed_same_bytes(digits: Dataset) -> None:
    again = draw_digits(2000, seed=3)
    assert again.images.tobytes() == digits.images.tobytes()
    assert again.labels.tobytes() == digits.labels.tobytes()
    assert not numpy.array_equal(draw_digits(20, seed=4).images, digits.images[:20])


@pytest.mark.parametrize("m", [1, 10, 137])
def test_a_smaller_set_is_the_beginning_of_a_larger_one(digits: Dataset, m: int) -> None:
    first = draw_digits(m, seed=3)
    assert len(first) == m
    numpy.testing.assert_array_equal(first.images, digits.images[:m])
    numpy.testing.assert_array_equal(first.labels, digits.labels[:m])
    for name, values in first.factors.items():
        numpy.testing.assert_array_equal(values, digits.factors[name][:m])
    for lines, expected in zip(first.strokes, digits.strokes[:m], strict=True):
        for line, other in zip(lines, expected, strict=True):
            numpy.testing.assert_array_equal(line, other)


def test_shapes_dtypes_and_ranges(digits: Dataset) -> None:
    assert digits.images.shape == (2000, 28, 28, 1) and digits.images.dtype == numpy.float32
    assert digits.labels.shape == (2000,) and digits.labels.dtype == numpy.int64
    assert digits.images.min() == 0 and digits.images.max() == 1
    assert digits.images.max(axis=(1, 2, 3)).min() > 0.9
    assert digits.factors.keys() == FACTORS.keys()
    for name, (_, _, low, high) in FACTORS.items():
        values = digits.factors[name]
        assert values.shape == (2000,) and values.dtype == numpy.float32
        assert numpy.float32(low) <= values.min() < values.max() <= numpy.float32(high)
    assert len(digits.strokes) == 2000
    assert all(line.shape == (len(line), 2) and line.dtype == numpy.float32 for line in sum(digits.strokes, []))


def test_every_ten_images_hold_every_digit_in_random_order(digits: Dataset) -> None:
    blocks = digits.labels.reshape(-1, 10)
    numpy.testing.assert_array_equal(numpy.sort(blocks, axis=1), numpy.tile(numpy.arange(10), (200, 1)))
    assert len(numpy.unique(blocks, axis=0)) > 190


def test_layout_is_that_of_mnist(digits: Dataset) -> None:
    """Ink around the centre of mass, in a box whose longer side is 20 pixels, and about as much of it as in MNIST."""
    centre, _ = moments(digits.images)
    assert numpy.abs(centre - 13.5).mean() < 0.5
    inked = digits.images[..., 0] > 0.5
    longer = numpy.maximum(*(numpy.count_nonzero(inked.any(axis=axis), axis=1) for axis in (1, 2)))
    assert 19 < longer.mean() < 21 and longer.min() >= 17 and longer.max() <= 22
    assert 0.12 < digits.images.mean() < 0.14


def test_factors_act_on_the_image(digits: Dataset) -> None:
    _, covariance = moments(digits.images)
    shear = -covariance[:, 0, 1] / covariance[:, 1, 1]
    assert correlation_within_digits(digits, shear, digits.factors["slant"]) > 0.75
    aspect = numpy.sqrt(covariance[:, 0, 0] / covariance[:, 1, 1])
    assert correlation_within_digits(digits, aspect, digits.factors["width"]) > 0.4
    ink_per_length = digits.images.sum(axis=(1, 2, 3)) / stroke_length(digits)
    assert correlation_within_digits(digits, ink_per_length, digits.factors["thickness"]) > 0.95


def test_ink_is_the_smoothed_distance_to_the_strokes(digits: Dataset) -> None:
    """Every pixel against every segment, in float64, for digits of every class."""
    y, x = numpy.mgrid[:28, :28]
    pixels = numpy.stack([x, y], axis=-1)[:, :, None]
    for i in range(30):
        distance = numpy.inf
        for line in digits.strokes[i]:
            start, step = line[:-1].astype(float), numpy.diff(line.astype(float), axis=0)
            along = numpy.clip(((pixels - start) * step).sum(axis=-1) / (step * step).sum(axis=-1), 0, 1)
            gap = numpy.linalg.norm(pixels - start - along[..., None] * step, axis=-1)
            distance = numpy.minimum(distance, gap.min(axis=-1))
        thickness, softness = digits.factors["thickness"][i], digits.factors["softness"][i]
        t = numpy.clip(0.5 + (thickness / 2 - distance) / softness, 0, 1)
        numpy.testing.assert_allclose(digits.images[i, :, :, 0], t * t * (3 - 2 * t), atol=1e-4)


@pytest.mark.parametrize("n", [0, -1, 2.5, "10", None])
def test_n_must_be_a_positive_integer(n: object) -> None:
    with pytest.raises(InputError, match="draw_digits: expected a positive integer n, received"):
        draw_digits(n)


@pytest.mark.slow
def test_a_classifier_that_saw_only_drawn_digits_reads_mnist(mnist_dir: Path) -> None:
    neural_network = pytest.importorskip("sklearn.neural_network")
    pixels = gzip.decompress((mnist_dir / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((mnist_dir / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
    images = numpy.frombuffer(pixels, numpy.uint8).reshape(-1, 784) / numpy.float32(255)
    drawn = draw_digits(20_000, seed=1)
    classifier = neural_network.MLPClassifier((256,), random_state=0)
    for _ in range(10):
        classifier.partial_fit(drawn.images.reshape(-1, 784), drawn.labels, classes=numpy.arange(10))
    assert classifier.score(images, numpy.frombuffer(labels, numpy.uint8)) >= 0.75
