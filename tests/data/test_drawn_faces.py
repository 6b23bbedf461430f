"""The drawn faces: deterministic, with factors that act where they should, and attributes that can be read."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy
import pytest

import scratchvae as sv
from scratchvae.cli import main
from scratchvae.data.dataset import Dataset
from scratchvae.data.drawn_faces import (
    ATTRIBUTES,
    COLD_HAIR,
    FACTORS,
    FRAME,
    LIPS,
    SKIN,
    WARM_HAIR,
    draw_faces,
    paint,
)
from scratchvae.errors import InputError

PLACES = {
    "smiling": (slice(36, 48), slice(14, 50)),
    "glasses": (slice(24, 42), slice(10, 54)),
    "dark_hair": (slice(8, 64), slice(8, 56)),
    "long_hair": (slice(18, 64), slice(8, 56)),
    "beard": (slice(28, 56), slice(12, 52)),
    "hat": (slice(0, 26), slice(10, 54)),
    "dark_skin": (slice(14, 64), slice(10, 54)),
    "turned_left": (slice(0, 64), slice(8, 56)),
}
"""Attribute -> the rows and columns of all that it may change."""


@pytest.fixture(scope="module")
def faces() -> Dataset:
    return draw_faces(1500, seed=3)


def other(factors: dict[str, numpy.ndarray], attribute: str) -> dict[str, numpy.ndarray]:
    """The factors with one attribute's in the other of its intervals, as far from the lower end."""
    (low, high), (low2, high2) = FACTORS[ATTRIBUTES[attribute]]
    values = factors[ATTRIBUTES[attribute]]
    place = numpy.where(values >= low2, (values - low2) / (high2 - low2), (values - low) / (high - low or 1))
    moved = numpy.where(values >= low2, low + (high - low) * place, low2 + (high2 - low2) * place)
    return factors | {ATTRIBUTES[attribute]: moved.astype(numpy.float32)}


def test_another_seed_gives_others(faces: Dataset) -> None:
    assert not numpy.array_equal(draw_faces(20, seed=4).images, faces.images[:20])


@pytest.mark.parametrize("m", [1, 37])
def test_a_smaller_set_is_the_beginning_of_a_larger_one(faces: Dataset, m: int) -> None:
    first = draw_faces(m, seed=3)
    assert len(first) == m
    numpy.testing.assert_array_equal(first.images, faces.images[:m])
    for kind in ("factors", "attributes"):
        for name, values in getattr(first, kind).items():
            numpy.testing.assert_array_equal(values, getattr(faces, kind)[name][:m])


def test_shapes_dtypes_and_ranges(faces: Dataset) -> None:
    assert faces.images.shape == (1500, 64, 64, 3) and faces.images.dtype == numpy.float32
    assert 0 <= faces.images.min() < 0.1 and 0.9 < faces.images.max() <= 1
    assert faces.labels is None and faces.strokes is None
    assert faces.factors.keys() == FACTORS.keys() and faces.attributes.keys() == ATTRIBUTES.keys()
    for name, intervals in FACTORS.items():
        values = faces.factors[name]
        assert values.shape == (1500,) and values.dtype == numpy.float32
        inside = [(numpy.float32(low) <= values) & (values <= numpy.float32(high)) for low, high in intervals]
        assert numpy.logical_or.reduce(inside).all() and min(part.mean() for part in inside) > 0.45
    for name, factor in ATTRIBUTES.items():
        assert faces.attributes[name].dtype == bool
        (_, lower), (upper, _) = FACTORS[factor]
        assert upper - lower >= 0.3
        numpy.testing.assert_array_equal(faces.attributes[name], faces.factors[factor] > (lower + upper) / 2)


def test_factors_are_independent(faces: Dataset) -> None:
    """Correlations of 1,500 independent pairs are about Normal(0, 1 / 1500): 0.1 is 3.9 standard deviations."""
    values = numpy.array([*faces.factors.values()])
    assert abs(numpy.corrcoef(values) - numpy.eye(len(values))).max() < 0.1
    shares = {name: values.mean() for name, values in faces.attributes.items()}
    assert all(0.45 < share < 0.55 for share in shares.values())
    for (first, a), (second, b) in itertools.combinations(faces.attributes.items(), 2):
        assert abs((a & b).mean() - shares[first] * shares[second]) < 0.025, f"{first} and {second}"


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_an_attribute_changes_its_place_and_no_other(faces: Dataset, attribute: str) -> None:
    """In every face more than 20 of the 4,096 pixels change visibly, and none of them elsewhere."""
    factors = {name: values[:200] for name, values in faces.factors.items()}
    change = abs(paint(other(factors, attribute)) - faces.images[:200]).max(axis=3)
    assert (change > 0.1).sum(axis=(1, 2)).min() > 20
    change[(slice(None), *PLACES[attribute])] = 0
    assert change.max() == 0


def without_and_with(faces: Dataset, attribute: str, **fixed: float) -> tuple[numpy.ndarray, numpy.ndarray]:
    """A hundred faces with the attribute false and true, at the ends of its two intervals that face each other."""
    factors = {name: values[:100] for name, values in faces.factors.items()}
    (_, lower), (upper, _) = FACTORS[ATTRIBUTES[attribute]]
    without, with_it = (
        paint(factors | {name: numpy.full(100, x, numpy.float32) for name, x in (fixed | last).items()})
        for last in ({ATTRIBUTES[attribute]: lower}, {ATTRIBUTES[attribute]: upper})
    )
    return without, with_it


def test_attributes_mean_what_they_say(faces: Dataset) -> None:
    """In each of a hundred faces, though the margin is as small as it gets."""

    def brightness(images: numpy.ndarray, rows: slice, columns: slice) -> numpy.ndarray:
        return images[:, rows, columns].mean(axis=(1, 2, 3))

    def lips(images: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Where they are in the middle from left to right, and how much lower they are there than at their ends."""
        weights = (abs(images[:, 36:48] - LIPS.ravel()).max(axis=3) < 0.1).astype(float)
        weights /= weights.sum(axis=(1, 2), keepdims=True)
        y, x = numpy.mgrid[36:48, :64]
        middle = (weights * x).sum(axis=(1, 2))
        outward = abs(x - middle[:, None, None])
        means = [(weights * value).sum(axis=(1, 2)) for value in (outward * y, outward, y * numpy.ones_like(outward))]
        return middle, means[1] * means[2] - means[0]

    frown, smile = (lips(images)[1] for images in without_and_with(faces, "smiling", beard=0, mouth_opening=0))
    assert (frown < 0).all() and (smile > 0).all()
    right, left = (lips(images)[0] for images in without_and_with(faces, "turned_left", beard=0))
    assert (left < 31).all() and (right > 32).all()
    eyes, hair, chin = (slice(28, 37), slice(16, 48)), (slice(40, 46), slice(17, 19)), (slice(43, 46), slice(29, 34))
    for attribute, place, fixed in (
        ("glasses", eyes, {"skin_darkness": 0}),
        ("dark_hair", (slice(8, 40), slice(12, 52)), {}),
        ("dark_skin", (slice(36, 56), slice(28, 36)), {"beard": 0}),
        ("long_hair", hair, {"hair_darkness": 1}),
        ("beard", chin, {"hair_darkness": 1, "skin_darkness": 0}),
    ):
        without, with_it = without_and_with(faces, attribute, **fixed)
        assert (brightness(with_it, *place) < brightness(without, *place)).all(), attribute
    bare, covered = without_and_with(faces, "hat")
    assert (
        abs(bare[:, 9, 26:38] - bare[:, 9, :1]).max() < 0.1 < abs(covered[:, 9, 31] - bare[:, 9, 31]).max(axis=1).min()
    )


@pytest.mark.parametrize("factor", FACTORS)
def test_every_factor_acts(faces: Dataset, factor: str) -> None:
    factors = {name: values[:50] for name, values in faces.factors.items()}
    factors |= {name: numpy.full(50, 0.7, numpy.float32) for name in ("hat", "glasses")}
    low, high = FACTORS[factor][-1]
    before, after = (paint(factors | {factor: numpy.full(50, end, numpy.float32)}) for end in (low, (low + high) / 2))
    assert (abs(after - before).max(axis=3) > 0.02).sum(axis=(1, 2)).min() >= 3


PLAIN = dict.fromkeys(FACTORS, 0.0) | {
    "smile": 0.7,
    "eye_opening": 0.8,
    "hair_darkness": 1.0,
    "shirt_hue": 0.6,
    "background_hue": 0.3,
    "face_width": 12.75,
}
"""The factors of a face from the front, with black hair, light skin and a mouth nearly closed."""


def sweep(factor: str, values: numpy.ndarray, **fixed: float) -> numpy.ndarray:
    """Plain faces that differ in one factor."""
    factors = {name: numpy.full(len(values), value, numpy.float32) for name, value in (PLAIN | fixed).items()}
    return paint(factors | {factor: values.astype(numpy.float32)})


@pytest.mark.parametrize(
    ("factor", "row", "column"),
    [("background_hue", 2, 2), ("shirt_hue", 62, 20), ("hat_hue", 15, 28), ("eye_hue", 32, 38)],
)
def test_hues_are_those_of_the_pixels(factor: str, row: int, column: int) -> None:
    """Red 0, yellow 1/6, green 1/3, cyan 1/2, blue 2/3, magenta 5/6, by the angle in the plane of colours."""
    hues = numpy.arange(6) / 6
    red, green, blue = sweep(factor, hues, hat=0.8)[:, row, column].T.astype(float)
    angle = numpy.arctan2(3**0.5 * (green - blue), 2 * red - green - blue) / (2 * numpy.pi)
    numpy.testing.assert_allclose((angle - hues + 0.5) % 1, 0.5, atol=0.01)


@pytest.mark.parametrize(
    ("factor", "row", "warmth", "colours"),
    [("skin_darkness", 28, 0, SKIN), ("hair_darkness", 20, 0, COLD_HAIR), ("hair_darkness", 20, 1, WARM_HAIR)],
)
def test_skin_and_hair_darken_by_their_factors(factor: str, row: int, warmth: int, colours: tuple) -> None:
    received = sweep(factor, numpy.arange(4) / 3, hair_warmth=warmth)[:, row, 31]
    numpy.testing.assert_allclose(received, colours, atol=1e-3)


def test_hair_becomes_warmer_by_its_factor() -> None:
    values = numpy.linspace(0, 1, 5)
    received = sweep("hair_warmth", values, hair_darkness=1 / 3)[:, 20, 31]
    expected = numpy.outer(1 - values, COLD_HAIR[1]) + numpy.outer(values, WARM_HAIR[1])
    numpy.testing.assert_allclose(received, expected, atol=1e-3)


def amount(images: numpy.ndarray, colour: object, ground: object, rows: slice, columns: slice) -> numpy.ndarray:
    """How much of each pixel of a part has the one colour rather than that of the ground, in [0, 1]."""
    way = numpy.subtract(numpy.ravel(colour), ground)
    return numpy.clip((images[:, rows, columns] - ground) @ way / (way @ way), 0, 1)


def middle(weights: numpy.ndarray, axis: int) -> numpy.ndarray:
    """The mean row or column of the weights (N, H, W), counted from the first."""
    other = weights.sum(axis=3 - axis)
    return other @ numpy.arange(other.shape[1]) / other.sum(axis=1)


def lips(images: numpy.ndarray, columns: slice = slice(14, 50)) -> numpy.ndarray:
    return amount(images, LIPS, SKIN[0], slice(36, 48), columns)


def part(images: numpy.ndarray, colour: object, ground: object, rows: slice, columns: slice) -> numpy.ndarray:
    """How many pixels of a part, on the mean of its columns, have the one colour."""
    return amount(images, colour, ground, rows, columns).mean(axis=2).sum(axis=1)


HAIR, RED, WHITE = numpy.array(COLD_HAIR[-1]), numpy.array([0.78, 0.312, 0.312]), numpy.ones(3)

SIZES: dict[str, tuple[float, dict[str, float], Callable[[numpy.ndarray], numpy.ndarray]]] = {
    "smile": (3.2 * 0.75**2, {}, lambda x: middle(lips(x, slice(31, 33)), 1) - middle(lips(x, slice(27, 28)), 1)),
    "mouth_opening": (
        0.75 * (1.7 - 1.1 * 0.4),
        {"smile": -0.4},
        lambda x: part(x, 0.45 * LIPS.ravel(), LIPS.ravel(), slice(36, 48), slice(31, 33)),
    ),
    "eye_opening": (5.4 * 0.64, {}, lambda x: part(x, 0.98 * WHITE, SKIN[0], slice(29, 36), slice(29, 30))),
    "brow_height": (-1.6, {}, lambda x: middle(amount(x, 0.8 * HAIR, SKIN[0], slice(24, 29), slice(26, 27)), 1)),
    "glasses": (1.0, {}, lambda x: middle(amount(x, FRAME, SKIN[0], slice(35, 40), slice(25, 28)), 1)),
    "hair_length": (24.0, {}, lambda x: part(x, 0.78 * HAIR, x[0, 45, 2], slice(39, 64), slice(20, 21))),
    "hair_volume": (2 * 1.8, {}, lambda x: amount(x, HAIR, x[0, 24, 2], slice(24, 25), slice(8, 56)).sum(axis=(1, 2))),
    "fringe": (3.0, {}, lambda x: part(x, HAIR, SKIN[0], slice(20, 30), slice(31, 32))),
    "beard": (6.0, {}, lambda x: part(x, 0.74 * HAIR, SKIN[0], slice(42, 58), slice(31, 32))),
    "hat": (7.0, {}, lambda x: part(x, RED, x[0, 6, 2], slice(0, 13), slice(28, 29))),
    "face_width": (2.0, {}, lambda x: (abs(x - x[:, :, :1])[:, 32:38].max(axis=3) > 0.1).sum(axis=2).mean(axis=1)),
    "turn": (
        -0.42 * 13.35,
        {"mouth_opening": 0.0},
        lambda x: middle((abs(x[:, 36:48] - LIPS.ravel()).max(axis=3) < 0.1).astype(float), 2),
    ),
}
"""Factor -> pixels for one unit of it, factors that are not plain, and where a picture shows it."""


@pytest.mark.parametrize("factor", SIZES)
def test_places_and_sizes_are_those_of_the_pixels(factor: str) -> None:
    slope, fixed, measure = SIZES[factor]
    (low, _), (_, high) = FACTORS[factor][0], FACTORS[factor][-1]
    if low == 0 and len(FACTORS[factor]) == 2:
        low, high = 0.5, 0.8 if factor == "hair_length" else high  # longer hair falls on the shirt
    values = numpy.linspace(low, high, 13)
    received = measure(sweep(factor, values, **fixed))
    assert numpy.corrcoef(values, received)[0, 1] * numpy.sign(slope) > 0.9
    assert numpy.polyfit(values, received, 1)[0] == pytest.approx(slope, rel=0.12)


def test_each_factor_is_measured() -> None:
    measured = {*SIZES, "background_hue", "shirt_hue", "hat_hue", "eye_hue", "skin_darkness", "hair_darkness"}
    assert measured | {"hair_warmth"} == FACTORS.keys()


def test_edges_are_soft(faces: Dataset) -> None:
    """A face that moves by less than a pixel changes by little: no pixel flips."""
    factors = {name: values[:50] for name, values in faces.factors.items()}
    factors["turn"] = factors["turn"] * numpy.float32(0.99)
    assert abs(paint(factors) - faces.images[:50]).max() < 0.3


def test_a_linear_classifier_reads_every_attribute(faces: Dataset) -> None:
    """Least squares on 32 x 32 pixels of 1,500 faces, 500 others to test it."""
    test = draw_faces(500, seed=4)
    small, small_test = (
        part.images.reshape(-1, 32, 2, 32, 2, 3).mean(axis=(2, 4)).reshape(len(part), -1) for part in (faces, test)
    )
    middle = small.mean(axis=0)
    small, small_test = small - middle, small_test - middle
    signs = numpy.stack([numpy.where(values, 1.0, -1.0) for values in faces.attributes.values()], axis=1)
    dual = numpy.linalg.solve(small @ small.T + numpy.eye(len(faces)), signs)
    said = small_test @ (small.T @ dual) > 0
    right = {name: (said[:, i] == values).mean() for i, (name, values) in enumerate(test.attributes.items())}
    assert min(right.values()) > 0.97, right


@pytest.mark.parametrize("n", [0, -1, 2.5, "10", None])
def test_n_must_be_a_positive_integer(n: object) -> None:
    with pytest.raises(InputError, match="draw_faces: expected a positive integer n, received"):
        draw_faces(n)


def test_the_command_line_shows_the_attributes(
    faces: Dataset, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sv.data.DATASETS, "drawn-faces", lambda data_dir, seed: (faces, faces))
    assert main(["data", "drawn-faces"]) == 0
    share = faces.attributes["smiling"].mean()
    assert f"attributes smiling {share:.0%}, glasses " in capsys.readouterr().out
