"""The drawn faces: deterministic, with factors that act where they should, and attributes that can be read."""

from __future__ import annotations

import itertools

import numpy
import pytest

import scratchvae as sv
from scratchvae.cli import main
from scratchvae.data.dataset import Dataset
from scratchvae.data.drawn_faces import ATTRIBUTES, FACTORS, LIPS, draw_faces, paint
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
