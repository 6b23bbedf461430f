"""The drawn digits: deterministic, in MNIST's layout, with factors that act, and near enough to MNIST to learn from."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy
import pytest
from scipy import stats

from scratchvae.data.dataset import Dataset
from scratchvae.data.drawn_digits import FACTORS, SKELETONS, draw_digits, write_digits
from scratchvae.errors import InputError
from scratchvae.noise import Noise


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


def test_the_distributions_are_those_of_the_table(digits: Dataset) -> None:
    """The share of 2,000 values below any number is within 0.05 of that of the clipped normal distribution (0.01 %)."""
    for name, (mean, deviation, low, high) in FACTORS.items():
        values = numpy.sort(digits.factors[name])
        inside = (values > low) & (values < high)
        share = stats.norm.cdf(values[inside], mean, deviation)
        assert abs(share - numpy.linspace(0, 1, len(values))[inside]).max() < 0.05, name


def test_variants_of_a_digit_have_their_shares() -> None:
    """Without style each variant has one form; 500 draws of a share w differ from it by sqrt(w (1 - w) / 500)."""
    plain = {name: numpy.full(5000, float(name == "width"), numpy.float32) for name in FACTORS}
    labels = numpy.repeat(numpy.arange(10), 500)
    forms = [b"|".join(line.tobytes() for line in lines) for lines in strokes(labels, plain)]
    for digit, weights in SKELETONS.items():
        counts = sorted(Counter(forms[500 * digit : 500 * digit + 500]).values())
        shares = numpy.sort([*weights.values()]) / sum(weights.values())
        assert len(counts) == len(weights)
        assert (abs(numpy.array(counts) / 500 - shares) < 4 * numpy.sqrt(shares * (1 - shares) / 500)).all(), digit


GEOMETRY = ("balance", "taper", "bend", "width", "slant", "rotation")


@pytest.mark.parametrize("factors", [*((name,) for name in GEOMETRY), GEOMETRY], ids=[*GEOMETRY, "all"])
def test_strokes_have_the_factors_of_the_digit(digits: Dataset, factors: tuple[str, ...]) -> None:
    """Of the same wobbled skeleton the equations of the module make the strokes, up to their scale and place."""
    n, one = 100, numpy.ones(100, numpy.float32)
    wobble = {"wobble": digits.factors["wobble"][:n]}
    plain = {name: one if name == "width" else 0 * one for name in GEOMETRY} | wobble
    style = plain | {name: digits.factors[name][:n] for name in factors}
    if factors == GEOMETRY:
        placed = digits.strokes
    else:
        placed = strokes(digits.labels[:n], style)
    for i, lines in enumerate(strokes(digits.labels[:n], plain)):
        balance, taper, bend, width, slant, rotation = (float(style[name][i]) for name in GEOMETRY)
        u, v = numpy.concatenate(lines).astype(float).T
        v = v + balance * (1 / 4 - v**2)
        u = u * (1 + taper * v) + bend * (1 / 4 - v**2)
        u = width * u - slant * v
        turned = numpy.exp(1j * rotation) * (u + 1j * v)  # from u to v, which points down: clockwise
        received = numpy.concatenate(placed[i]).astype(float) @ [1, 1j]
        expected, received = turned - turned.mean(), received - received.mean()
        scale = (expected.conj() @ received).real / (abs(expected) ** 2).sum()
        numpy.testing.assert_allclose(received, scale * expected, atol=2e-5 * scale)


def strokes(labels: numpy.ndarray, factors: dict[str, numpy.ndarray]) -> list[list[numpy.ndarray]]:
    """The strokes of digits with these factors, in heights of the digit; the pen trembles as in draw_digits(n, 3)."""
    written: list[list[numpy.ndarray]] = [[] for _ in labels]
    for rows, lines in write_digits(labels, factors, Noise(3)):
        for i, row in enumerate(rows):
            written[row] = [line[i] for line in lines]
    return written


@pytest.mark.parametrize("wobble", [0.2, 1.4])
def test_control_points_wobble_by_as_many_twentieths_of_the_height(wobble: float) -> None:
    """The ends of a stroke are control points: they move apart sideways by sqrt(2) wobble (n = 500: 3.2 %)."""
    factors = {name: numpy.full(500, float(name == "width"), numpy.float32) for name in FACTORS}
    plain, wobbled = (
        numpy.array([line[0, 0] - line[-1, 0] for line, *_ in strokes(numpy.ones(500, int), factors | {"wobble": w})])
        for w in numpy.full((2, 500), [[0], [wobble]], numpy.float32)
    )
    assert (20 * (wobbled - plain)).std() == pytest.approx(2**0.5 * wobble, rel=0.13)


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
