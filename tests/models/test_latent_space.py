"""Directions, interpolations and sweeps: what they are equal to, on every backend, and what they refuse."""

import numpy
import pytest

from scratchvae.autodiff import Tensor
from scratchvae.backend import asarray, to_numpy
from scratchvae.errors import DataError, DeviceError, InputError, ShapeError
from scratchvae.latent_space import (
    has_arc,
    linear_interpolation,
    logistic_direction,
    mean_difference,
    spherical_interpolation,
    sweep,
    traversal,
)


@pytest.fixture
def z(rng):
    return rng.standard_normal((40, 5))


def test_the_mean_difference_is_what_the_attribute_adds(z, rng):
    added, has = rng.standard_normal(5), numpy.arange(80) % 2 == 1
    both = numpy.repeat(z, 2, axis=0) + has[:, None] * added
    v = mean_difference(both, has)
    numpy.testing.assert_allclose(v, added, atol=1e-12)
    numpy.testing.assert_allclose(both[~has].mean(axis=0) + v, both[has].mean(axis=0), atol=1e-12)
    numpy.testing.assert_allclose(mean_difference(both, ~has), -v, atol=1e-12)


def test_the_logistic_direction_leaves_out_what_the_classes_do_not_need(rng):
    """Of two units that both differ by the class, one only since it is correlated with the other: v is along the other.

    With covariance S in both classes the log odds have the slope w = S^-1 (difference of the means): here along unit 0.
    """
    has = numpy.arange(20_000) % 2 == 0
    first = rng.standard_normal(20_000) + 2.0 * has
    z = numpy.stack([first, 0.8 * first + 0.6 * rng.standard_normal(20_000)], axis=1)
    d, v = mean_difference(z, has), logistic_direction(z, has)
    numpy.testing.assert_allclose(d, [2, 1.6], atol=0.05)
    numpy.testing.assert_allclose(v, [2, 0], atol=0.1)
    numpy.testing.assert_allclose(logistic_direction(z, ~has), -v, atol=1e-6)


def test_a_traversal_moves_by_amounts_of_the_direction(z):
    v, amounts = numpy.arange(5.0), numpy.array([-1.0, 0.0, 2.0])
    moved = traversal(z, v, amounts)
    assert moved.shape == (40, 3, 5)
    for i, amount in enumerate(amounts):
        numpy.testing.assert_array_equal(moved[:, i], z + amount * v)
    numpy.testing.assert_array_equal(traversal(z[0], v, amounts), moved[0])


@pytest.mark.parametrize("interpolate", [linear_interpolation, spherical_interpolation])
def test_interpolations_end_where_they_should_and_take_batches(z, interpolate):
    ways = interpolate(z[:20], z[20:], 7)
    assert ways.shape == (20, 7, 5)
    numpy.testing.assert_allclose(ways[:, 0], z[:20], atol=1e-12)
    numpy.testing.assert_allclose(ways[:, -1], z[20:], atol=1e-12)
    numpy.testing.assert_allclose(interpolate(z[3], z[23], 7), ways[3], atol=1e-12)
    assert interpolate(z[:2].astype("f"), z[2:4].astype("f"), 3).dtype == numpy.float32


def test_a_line_has_equal_steps(z):
    steps = numpy.diff(linear_interpolation(z[0], z[1], 6), axis=0)
    numpy.testing.assert_allclose(steps, numpy.repeat((z[1] - z[0])[None] / 5, 5, axis=0), atol=1e-12)


def test_an_arc_keeps_the_distance_from_the_origin_and_turns_by_equal_angles(z):
    unit = z / numpy.linalg.norm(z, axis=1, keepdims=True)
    way = 3 * spherical_interpolation(unit[:20], unit[20:], 9)
    numpy.testing.assert_allclose(numpy.linalg.norm(way, axis=-1), 3, rtol=1e-12)
    cosines = (way[:, 1:] * way[:, :-1]).sum(axis=-1) / 9
    angle = numpy.arccos((unit[:20] * unit[20:]).sum(axis=-1))
    numpy.testing.assert_allclose(numpy.arccos(cosines), numpy.repeat(angle[:, None] / 8, 8, axis=1), rtol=1e-8)


def test_an_arc_between_points_at_different_distances():
    """cos 45 (1, 0) + sin 45 (0, 2) at the middle of the right angle between (1, 0) and (0, 2)."""
    way = spherical_interpolation(numpy.array([1.0, 0.0]), numpy.array([0.0, 2.0]), 3)
    numpy.testing.assert_allclose(way, [[1, 0], [0.5**0.5, 2**0.5], [0, 2]], atol=1e-15)
    far = spherical_interpolation(numpy.array([1e-30, 0.0]), numpy.array([0.0, 1e30]), 3)
    numpy.testing.assert_allclose(far[1], [0.5**0.5 * 1e-30, 0.5**0.5 * 1e30])


def test_an_arc_between_neighbours_is_a_line(z):
    for distance in (0.0, 1e-9, 1e-5):
        end = z * 2 + distance
        numpy.testing.assert_allclose(
            spherical_interpolation(z, end, 5), linear_interpolation(z, end, 5), rtol=1e-6, atol=1e-6
        )


def test_a_sweep_changes_one_unit_only(z):
    swept = sweep(z, 3, numpy.array([-2.0, 0.0, 2.0]))
    assert swept.shape == (40, 3, 5)
    numpy.testing.assert_array_equal(swept[:, :, 3], numpy.tile([-2.0, 0.0, 2.0], (40, 1)))
    numpy.testing.assert_array_equal(numpy.delete(swept, 3, axis=2), numpy.repeat(numpy.delete(z, 3, 1)[:, None], 3, 1))


def test_every_device_gives_the_same(z, device):
    has, amounts = numpy.arange(40) % 3 == 0, numpy.array([-1.0, 0.5])
    moved = [asarray(x, device) for x in (z, has, amounts)]
    for function in (
        lambda z, has, amounts: mean_difference(z, has),
        lambda z, has, amounts: logistic_direction(z, has),
        lambda z, has, amounts: traversal(z, z[0], amounts),
        lambda z, has, amounts: linear_interpolation(z[:20], z[20:], 4),
        lambda z, has, amounts: spherical_interpolation(z[:20], z[20:], 4),
        lambda z, has, amounts: sweep(z, 1, amounts),
    ):
        numpy.testing.assert_allclose(to_numpy(function(*moved)), function(z, has, amounts), rtol=1e-9, atol=1e-9)


Z, HAS = numpy.ones((4, 3)), numpy.array([True, False, True, False])
NUMBERS, TRUTH = "expected an array of floating-point numbers, received", "expected an array of truth values, received"


@pytest.mark.parametrize(
    ("function", "kind", "sentence"),
    [
        (lambda: mean_difference(Z, HAS.astype(int)), InputError, f"mean_difference: {TRUTH} int64 (attribute > 0"),
        (lambda: mean_difference(Z, None), DataError, "mean_difference: expected an array, received NoneType"),
        (lambda: mean_difference(Tensor(Z), HAS), DataError, "expected an array, received a Tensor that does not"),
        (
            lambda: mean_difference(Z, HAS[:3]),
            ShapeError,
            "z (N, K) and an attribute (N,), received (4, 3) and",
        ),
        (lambda: mean_difference(Z, HAS | True), InputError, "rows without it, received only one of them"),
        (lambda: mean_difference(Z * numpy.nan, HAS), InputError, "expected finite points, received NaN or infinity"),
        (lambda: traversal(Z, Z[0], [1, 2]), DataError, f"traversal: {NUMBERS} int64 (numpy.float32(x))"),
        (
            lambda: traversal(Z, Z[0, :1], Z[0]),
            ShapeError,
            "traversal: expected z (..., K), a direction (K,) and amounts (T,), received (4, 3), (1,) and (3,)",
        ),
        (
            lambda: spherical_interpolation(Z, numpy.concatenate([-Z[:1], Z[1:]]), 3),
            InputError,
            "spherical_interpolation: expected finite points away from the origin, and not in opposite directions, "
            "received 1 of 4 pairs that are not (linear_interpolation takes any)",
        ),
        (lambda: spherical_interpolation(Z, 0 * Z, 3), InputError, "received 4 of 4 pairs that are not"),
        (lambda: spherical_interpolation(Z, Z * numpy.nan, 3), InputError, "received 4 of 4 pairs that are not"),
        (lambda: linear_interpolation(Z, Z[0], 3), ShapeError, "two points of one shape (..., K), received (4, 3) and"),
        (lambda: linear_interpolation(Z, Z, 1), InputError, "expected a whole number n of at least 2, received 1"),
        (lambda: linear_interpolation(Z, Z, True), InputError, "received True"),
        (lambda: linear_interpolation(Z.astype(int), Z.astype(int), 3), InputError, f"{NUMBERS} int64"),
        (lambda: sweep(Z, 3, Z[0]), InputError, "sweep: expected a unit from 0 to 2, received 3"),
        (lambda: sweep(Z, -1, Z[0]), InputError, "received -1"),
        (lambda: sweep(Z, 1.5, Z[0]), InputError, "received 1.5"),
    ],
)
def test_bad_input_gets_one_sentence(function, kind, sentence):
    with pytest.raises(kind) as caught:
        function()
    assert sentence in str(caught.value)


def test_devices_do_not_mix(gpu):
    for function in (
        lambda: mean_difference(gpu.asarray(Z), HAS),
        lambda: traversal(gpu.asarray(Z), Z[0], Z[0]),
        lambda: linear_interpolation(gpu.asarray(Z), Z, 3),
        lambda: sweep(gpu.asarray(Z), 1, Z[0]),
    ):
        with pytest.raises(DeviceError, match="expected arrays on one device, received "):
            function()


def test_an_arc_ends_where_its_direction_is_no_longer_sure():
    """cos w > -0.999: below 177.4 degrees."""
    for degrees, expected in ((170, True), (177.3, True), (177.5, False)):
        angle = numpy.deg2rad(degrees)
        end = numpy.array([numpy.cos(angle), numpy.sin(angle)])
        assert bool(has_arc(numpy.array([1.0, 0.0]), end)) is expected


@pytest.mark.parametrize("degrees", [0.06, 0.5, 5])
def test_an_arc_is_round_also_where_it_is_short(degrees):
    """Its points lie on the circle: the chord's middle would be w^2 / 8 inside, 1.4e-7 where an arc becomes a line."""
    w = numpy.deg2rad(degrees)
    ends = numpy.array([1.0, 0.0]), numpy.array([numpy.cos(w), numpy.sin(w)])
    lengths = numpy.linalg.norm(spherical_interpolation(*ends, 5), axis=1)
    numpy.testing.assert_allclose(lengths, 1, atol=1e-12)
