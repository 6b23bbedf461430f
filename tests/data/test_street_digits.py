"""The drawn house numbers: deterministic, in SVHN's form, a readable digit in the middle and others beside it."""

from __future__ import annotations

import numpy
import pytest

from scratchvae.data.dataset import Dataset
from scratchvae.data.street_digits import BLUR, FACTORS, INTERPOLATION, SIDE, _ink, draw_street_digits
from scratchvae.errors import InputError
from scratchvae.noise import Noise

NOBODY, EIGHT = (numpy.full(500, digit, numpy.float32) for digit in (-1, 8))
ALONE = {"left_digit": NOBODY, "right_digit": NOBODY}


@pytest.fixture(scope="module")
def numbers() -> Dataset:
    return draw_street_digits(2000, seed=3)


def test_another_seed_gives_others(numbers: Dataset) -> None:
    assert not numpy.array_equal(draw_street_digits(20, seed=4).images, numbers.images[:20])


@pytest.mark.parametrize("m", [1, 137])
def test_a_smaller_set_is_the_beginning_of_a_larger_one(numbers: Dataset, m: int) -> None:
    first = draw_street_digits(m, seed=3)
    assert len(first) == m
    numpy.testing.assert_array_equal(first.images, numbers.images[:m])
    numpy.testing.assert_array_equal(first.labels, numbers.labels[:m])
    for kind in ("factors", "attributes"):
        for name, values in getattr(first, kind).items():
            numpy.testing.assert_array_equal(values, getattr(numbers, kind)[name][:m])


def test_shapes_dtypes_and_ranges(numbers: Dataset) -> None:
    assert numbers.images.shape == (2000, 32, 32, 3) and numbers.images.dtype == numpy.float32
    assert numbers.images.min() == 0 and numbers.images.max() == 1
    assert numbers.labels.dtype == numpy.int64
    blocks = numbers.labels.reshape(-1, 10)
    numpy.testing.assert_array_equal(numpy.sort(blocks, axis=1), numpy.tile(numpy.arange(10), (200, 1)))
    assert all(values.shape == (2000,) and values.dtype == numpy.float32 for values in numbers.factors.values())
    for name, (_, _, low, high) in FACTORS.items():
        values = numbers.factors[name]
        assert numpy.float32(low) <= values.min() < values.max() <= numpy.float32(high)
    contrast = abs(numbers.factors["contrast"])
    assert 0.2 <= contrast.min() and contrast.max() <= 0.75


def test_attributes_say_what_the_factors_say_and_are_independent(numbers: Dataset) -> None:
    factors, attributes = numbers.factors, numbers.attributes
    assert list(attributes) == ["light_on_dark", "left_neighbour", "right_neighbour"]
    numpy.testing.assert_array_equal(attributes["light_on_dark"], factors["contrast"] > 0)
    for side in ("left", "right"):
        digits = factors[f"{side}_digit"]
        assert set(digits) == set(range(-1, 10))
        numpy.testing.assert_array_equal(attributes[f"{side}_neighbour"], digits >= 0)
        assert abs(attributes[f"{side}_neighbour"].mean() - 0.55) < 0.045  # four standard deviations
    assert abs(numpy.corrcoef([numbers.labels, *attributes.values()]) - numpy.eye(4)).max() < 0.09
    assert abs(numpy.corrcoef(factors["left_digit"], factors["right_digit"])[0, 1]) < 0.09


def test_the_middle_digit_is_in_the_middle_and_of_its_size(numbers: Dataset) -> None:
    factors = {name: values[:500] for name, values in numbers.factors.items()}
    there = _ink(numbers.labels[:500], factors | ALONE, Noise(3)) > 0.5
    places = numpy.arange(SIDE)
    for axis in (1, 2):
        inked = there.any(axis=axis)
        middle = (numpy.where(inked, places, SIDE).min(axis=1) + numpy.where(inked, places, 0).max(axis=1)) / 2
        assert middle.mean() == pytest.approx(15.5, abs=0.25)
        assert middle.std() == pytest.approx(1.2, abs=0.2)
    assert abs(there.any(axis=2).sum(axis=1) - factors["size"]).mean() < 1


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_neighbour_is_beside_the_middle_digit(numbers: Dataset, side: str) -> None:
    labels, factors = numbers.labels[:500], {name: values[:500] for name, values in numbers.factors.items()}
    alone, pair = (_ink(labels, factors | ALONE | others, Noise(3)) for others in ({}, {f"{side}_digit": EIGHT}))
    assert (pair >= alone).all()
    added = (pair - alone).sum(axis=1)
    assert (added.sum(axis=1) > 5).mean() > 0.8  # some wide digits leave no place
    beyond = added @ (numpy.arange(SIDE) - 15.5) / numpy.maximum(added.sum(axis=1), 1e-9)
    assert (beyond <= 0).all() if side == "left" else (beyond >= 0).all()


def test_ink_is_light_or_dark_as_the_contrast_says(numbers: Dataset) -> None:
    labels, factors = numbers.labels, numbers.factors
    ink = _ink(labels, factors, Noise(3))
    grey = numbers.images.mean(axis=3)
    on = (grey * ink).sum(axis=(1, 2)) / ink.sum(axis=(1, 2))
    off = (grey * (1 - ink)).sum(axis=(1, 2)) / (1 - ink).sum(axis=(1, 2))
    assert numpy.corrcoef(on - off, factors["contrast"])[0, 1] > 0.9
    assert ((on > off) == numbers.attributes["light_on_dark"]).mean() > 0.97


def test_blur_and_interpolation_are_averages() -> None:
    for matrix in (BLUR, INTERPOLATION):
        numpy.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
        assert matrix.min() >= 0
    numpy.testing.assert_allclose(BLUR[16, 13:20] * 64, [1, 6, 15, 20, 15, 6, 1], rtol=1e-6)
    numpy.testing.assert_allclose(INTERPOLATION @ numpy.arange(9), numpy.linspace(0, 8, SIDE), atol=1e-5)


def test_the_middle_digit_can_be_read(numbers: Dataset) -> None:
    """Least squares on grey pixels, turned light on dark, reads two thirds at least of 400 others."""
    grey = numbers.images.mean(axis=3).reshape(len(numbers), -1)
    grey = (grey - grey.mean(axis=1, keepdims=True)) / grey.std(axis=1, keepdims=True)
    grey = grey * numpy.sign(numbers.factors["contrast"])[:, None]
    train, test = grey[:1600], grey[1600:]
    targets = numpy.eye(10)[numbers.labels[:1600]] - 0.1
    scores = test @ (train.T @ numpy.linalg.solve(train @ train.T + 300 * numpy.eye(1600), targets))
    right = (scores.argmax(axis=1) == numbers.labels[1600:]).mean()
    assert right > 0.65


@pytest.mark.parametrize("n", [0, -1, 2.5, "10", None])
def test_n_must_be_a_positive_integer(n: object) -> None:
    with pytest.raises(InputError, match="draw_street_digits: expected a positive integer n, received"):
        draw_street_digits(n)
