"""The drawn house numbers: deterministic, in SVHN's form, a readable digit in the middle and others beside it."""

from __future__ import annotations

import numpy
import pytest

from scratchvae.data.dataset import Dataset
from scratchvae.data.drawn_digits import rasterise, write_digits
from scratchvae.data.street_digits import BLUR, CHANNELS, FACTORS, INTERPOLATION, SIDE, _ink, _paint, draw_street_digits
from scratchvae.errors import InputError
from scratchvae.noise import GivenNoise, Noise

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


def test_images_are_painted_with_the_factors_that_are_told(numbers: Dataset) -> None:
    factors = {name: values[64:128] for name, values in numbers.factors.items()}
    ink = _ink(numbers.labels, numbers.factors, Noise(3))[64:128]
    numpy.testing.assert_array_equal(_paint(ink, factors, Noise(3, 1)), numbers.images[64:128])


def test_the_ink_in_the_middle_has_the_factors_of_the_digit(numbers: Dataset) -> None:
    """The equations of the drawn digits make the lines of the same wobbled skeleton, and the lines make the ink.

    Wobble and ink themselves are the affair of tests/data/test_drawn_digits.py.
    """
    labels, factors = numbers.labels[:300], {name: values[:300] for name, values in numbers.factors.items()}
    ink = _ink(labels, factors | {name: nobody[:300] for name, nobody in ALONE.items()}, Noise(3))
    places = 15.5 + 1.2 * Noise(3).normal("place", (300, 1, 2))
    plain = dict.fromkeys(("slant", "rotation", "balance", "taper", "bend"), numpy.zeros(300, numpy.float32))
    plain["width"] = numpy.ones(300, numpy.float32)
    for rows, lines in write_digits(labels, factors | plain, Noise(3).child("side 0")):
        style = {name: values[rows, None] for name, values in factors.items()}
        u, v = numpy.moveaxis(numpy.concatenate(lines, axis=1), 2, 0)
        v = v + style["balance"] * (1 / 4 - v**2)
        u = style["width"] * (u * (1 + style["taper"] * v) + style["bend"] * (1 / 4 - v**2)) - style["slant"] * v
        turned = numpy.exp(1j * style["rotation"]) * (u + 1j * v)
        points = numpy.stack([turned.real, turned.imag], axis=2)
        scale = (style["size"] - style["thickness"]) / numpy.ptp(points[:, :, 1], axis=1)[:, None]
        points = scale[:, :, None] * (points - (points.min(axis=1) + points.max(axis=1))[:, None] / 2) + places[rows]
        ends = numpy.cumsum([line.shape[1] for line in lines])[:-1]
        pen = style["thickness"], style["softness"]
        expected = rasterise(numpy.split(points, ends, axis=1), *pen, SIDE)
        numpy.testing.assert_allclose(ink[rows], expected, atol=1e-3)


def centre(ink: numpy.ndarray) -> numpy.ndarray:
    """The centre of mass, (N, 2), as (x, y)."""
    places, total = numpy.arange(SIDE), ink.sum(axis=(1, 2))
    return numpy.stack([ink.sum(axis=axis) @ places / total for axis in (1, 2)], axis=1)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_gap_is_that_between_the_digits_along_the_rotated_line(numbers: Dataset, side: str) -> None:
    """Of digits so small that the image holds two of them."""
    labels, steady = numbers.labels[:500], {name: numpy.zeros(500, numpy.float32) for name in ("slant", "rotation")}
    factors = {name: values[:500] for name, values in numbers.factors.items()} | steady
    for name, value in (("size", 8.0), ("thickness", 1.8), ("width", 0.6), ("softness", 1.0)):
        factors[name] = numpy.full(500, value, numpy.float32)
    alone, pair = (_ink(labels, factors | ALONE | others, Noise(3)) for others in ({}, {f"{side}_digit": EIGHT}))
    columns = numpy.arange(SIDE)
    ends = [
        (numpy.where(x, columns, SIDE).min(axis=1), numpy.where(x, columns, -1).max(axis=1) + 1)
        for x in ((ink > 0.5).any(axis=1) for ink in (alone, pair - alone))
    ]
    gap = ends[0][0] - ends[1][1] if side == "left" else ends[1][0] - ends[0][1]
    assert abs(gap - factors["gap"]).mean() < 0.6 and numpy.corrcoef(gap, factors["gap"])[0, 1] > 0.9
    turned = factors | {"rotation": numbers.factors["rotation"][:500]}
    alone, pair = (_ink(labels, turned | ALONE | others, Noise(3)) for others in ({}, {f"{side}_digit": EIGHT}))
    across, down = (centre(pair - alone) - centre(alone)).T
    assert numpy.corrcoef(down / across, numpy.tan(turned["rotation"]))[0, 1] > 0.8
    assert (across < 0).all() if side == "left" else (across > 0).all()


def painted(ink: numpy.ndarray, **factors: object) -> numpy.ndarray:
    """Images of that ink on a quiet wall of 0.5, ink of 0.8, with these factors and all others 0."""
    quiet = dict.fromkeys(("shadow", "light_x", "light_y", "blur", "noise"), 0.0)
    quiet |= {f"{part}_{channel}": level for part, level in (("wall", 0.5), ("ink", 0.8)) for channel in CHANNELS}
    style = {name: numpy.full(len(ink), value, numpy.float32) for name, value in (quiet | factors).items()}
    return _paint(ink, style, GivenNoise(numpy.zeros((), numpy.float32)))


def test_paint_takes_each_factor_at_its_word() -> None:
    """On walls without clutter, so that each part of the module's equations is seen alone."""
    nothing, dot = numpy.zeros((2, 1, SIDE, SIDE), numpy.float32)
    dot[:, 10, 20] = 1
    wall, tones = painted(nothing), numpy.array([0.2, 0.5, 0.7], numpy.float32)
    numpy.testing.assert_array_equal(wall, 0.5)
    for part, place in (("wall", (0, 3, 3)), ("ink", (0, 10, 20))):
        image = painted(dot, **{f"{part}_{channel}": tone for channel, tone in zip(CHANNELS, tones, strict=True)})
        numpy.testing.assert_allclose(image[place], tones, rtol=1e-6)
    change = painted(dot, shadow=0.3) - painted(dot)
    assert change[0, 11, 21] == pytest.approx(-0.3 * 0.5) and (change != 0).sum() == 3
    x = numpy.linspace(-1, 1, SIDE)
    numpy.testing.assert_allclose(painted(nothing, light_x=0.3)[0, :, :, 0], 0.5 + 0 * x[:, None] + 0.15 * x, rtol=1e-5)
    numpy.testing.assert_allclose(painted(nothing, light_y=0.2)[0, :, :, 2], 0.5 + 0.1 * x[:, None] + 0 * x, rtol=1e-5)
    numpy.testing.assert_allclose(painted(dot, blur=0.5)[0, 10, 17:24, 1] - 0.5, BLUR_OF_A_DOT, atol=1e-6)


BLUR_OF_A_DOT = 0.3 * (0.5 * numpy.eye(7)[3] + 0.5 * 20 / 64 * numpy.array([1, 6, 15, 20, 15, 6, 1]) / 64)


def test_noise_is_the_standard_deviation_of_the_pixels() -> None:
    nothing, style = numpy.zeros((20, SIDE, SIDE), numpy.float32), {"shadow": 0, "light_x": 0, "light_y": 0, "blur": 0}
    style |= {f"{part}_{channel}": 0.5 for part in ("wall", "ink") for channel in CHANNELS}
    with_noise, without = (
        _paint(
            nothing, {k: numpy.full(20, value, numpy.float32) for k, value in (style | {"noise": x}).items()}, Noise(0)
        )
        for x in (0.04, 0.0)
    )
    assert (with_noise - without).std() == pytest.approx(0.04, rel=0.02)


def test_light_comes_from_where_the_factors_say(numbers: Dataset) -> None:
    """The slopes of the brightness across and down, over its mean, in images with all that is in them."""
    x, grey = numpy.linspace(-1, 1, SIDE), numbers.images.mean(axis=3)
    across, down = (grey.mean(axis=axis) @ x / (x @ x) / grey.mean(axis=(1, 2)) for axis in (1, 2))
    for slope, name, other in ((across, "light_x", "light_y"), (down, "light_y", "light_x")):
        assert numpy.corrcoef(slope, numbers.factors[name])[0, 1] > 0.5
        assert abs(numpy.corrcoef(slope, numbers.factors[other])[0, 1]) < 0.1


def test_colours_have_level_contrast_and_saturation(numbers: Dataset) -> None:
    """The deviations of the tones from level -+ contrast / 2, in units of the saturation, are standard normal."""
    factors, deviations = numbers.factors, []
    for part, sign in (("wall", -1), ("ink", 1)):
        for channel in CHANNELS:
            tones = factors[f"{part}_{channel}"]
            inside = (abs(factors["level"] + sign * factors["contrast"] / 2 - 0.5) + 4.5 * factors["saturation"]) < 0.5
            middle = factors["level"] + sign * factors["contrast"] / 2
            deviations.append(((tones - middle) / factors["saturation"])[inside])
    correlation = numpy.corrcoef([x[: min(map(len, deviations))] for x in deviations])
    assert min(map(len, deviations)) > 300 and abs(correlation - numpy.eye(6)).max() < 0.25
    pooled = numpy.concatenate(deviations)
    assert abs(pooled.mean()) < 4 / len(pooled) ** 0.5 and pooled.std() == pytest.approx(1, abs=0.05)


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
