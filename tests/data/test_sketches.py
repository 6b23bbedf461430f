"""Sketches as arrays: lines come back, malformed arrays get one sentence each, simplification is what it claims."""

import numpy
import pytest

import scratchvae as sv
from scratchvae.backend import asarray, to_numpy
from scratchvae.data import Dataset, dequantize_sketches, draw_digits, draw_sketches, from_lines, simplify, to_lines
from scratchvae.data.sketches import as_sketches, describe_sketches
from scratchvae.errors import DataError, InputError
from scratchvae.noise import Noise

DOWN, UP, END = (1, 0, 0), (0, 1, 0), (0, 0, 1)


def random_drawings(rng, n):
    """Drawings of one to four lines of two to nine points, in whole pixels."""
    return [[rng.integers(-99, 99, (rng.integers(2, 10), 2)) for _ in range(rng.integers(1, 5))] for _ in range(n)]


def objects(arrays):
    result = numpy.empty(len(arrays), object)
    for n, array in enumerate(arrays):
        result[n] = array
    return result


def strokes_of_three(sketches):
    """The rows (dx, dy, pen) of sketches (N, T, 5), written out."""
    return [numpy.array([[x, y, up] for x, y, _, up, end in sketch if not end]) for sketch in sketches]


# ---- lines and rows


def test_rows_of_two_drawings_written_out():
    drawings = [[[(5, 5), (7, 6), (7, 9)], [(0, 0), (1, 0)]], [[(1, 1), (0, 3)]]]
    x = from_lines([[numpy.array(line) for line in drawing] for drawing in drawings])
    assert x.dtype == numpy.float32
    assert x[0].tolist() == [[2, 1, *DOWN], [0, 3, *UP], [-7, -9, *DOWN], [1, 0, *UP], [0, 0, *END]]
    assert x[1].tolist() == [[-1, 2, *UP], *[[0, 0, *END]] * 4]


def test_lines_come_back(rng):
    drawings = random_drawings(rng, 50)
    for drawing, lines in zip(drawings, to_lines(from_lines(drawings)), strict=True):
        assert len(lines) == len(drawing)
        for line, original in zip(lines, drawing, strict=True):
            assert (line == original - drawing[0][0]).all()


def test_dots():
    """A dot is a row of its own between lines; before the first line no row can hold it."""
    dot, line = numpy.array([[3, 4]]), numpy.array([[0, 0], [1, 2]])
    x = from_lines([[dot, line, dot, dot + 1, line]])
    assert x[0, :, 3].tolist() == [1, 1, 1, 0, 1, 0]
    lines = to_lines(x)[0]
    assert [each.tolist() for each in lines] == [each.tolist() for each in (line, dot, dot + 1, line)]


def test_points_do_not_drift():
    """Sums of 2,000 offsets in float32 would be off by more."""
    x = numpy.zeros((1, 2001, 5), numpy.float32)
    x[:, :-1, 2] = x[:, -1, 4] = 1
    x[:, :-1, :2] = 0.1
    assert to_lines(x)[0][0][-1] == pytest.approx(2000 * float(numpy.float32(0.1)), rel=1e-12)


def test_a_line_that_is_not_finished_comes_back():
    x = numpy.array([[[1, 0, *DOWN], [0, 1, *UP], [2, 2, *DOWN], [0, 0, *END]], [[1, 0, *DOWN]] * 4])
    first, second = to_lines(x)
    assert [line.tolist() for line in first] == [[[0, 0], [1, 0], [1, 1]], [[3, 3]]]
    assert [line.tolist() for line in second] == [[[k, 0] for k in range(5)]]


@pytest.mark.parametrize("drawing", [[], [numpy.zeros((1, 2))], [numpy.zeros((1, 2))] * 3])
def test_a_drawing_without_a_line_is_refused(drawing):
    line = numpy.array([[0, 0], [1, 1]])
    with pytest.raises(DataError, match=r"^from_lines: expected .* one without, number 1"):
        from_lines([[line], drawing])
    with pytest.raises(DataError, match="^from_lines: expected at least one sketch, received none among 1"):
        from_lines([drawing])


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, 2.0**24])
def test_lines_out_of_range_are_refused(value):
    with pytest.raises(DataError, match="^from_lines: expected offsets below 16777216"):
        from_lines([[numpy.array([[0, 0], [value, 1]])]])


# ---- arrays


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "i8", ">i2"])
def test_every_form_of_array_gives_the_same_sketches(rng, dtype):
    x = from_lines(random_drawings(rng, 30))
    threes = [rows.astype(dtype) for rows in strokes_of_three(x)]
    padded = numpy.zeros((30, 60, 3), dtype)
    for n, rows in enumerate(threes):
        padded[n, : len(rows)] = rows
    longer = numpy.concatenate([x, numpy.broadcast_to((0, 0, *END), (30, 7, 5))], axis=1).astype(dtype)
    for array in (x.astype(dtype), longer, objects(threes), padded):
        sketches, keep = as_sketches(array, "test")
        assert sketches.dtype == numpy.float32 and keep.all()
        assert (sketches == x).all() and sketches.shape == x.shape


def test_long_sketches_are_left_out(rng):
    x = from_lines(random_drawings(rng, 30))
    sizes = (x[:, :, 4] == 0).sum(axis=1)
    sketches, keep = as_sketches(x, "test", most=12)
    assert (keep == (sizes <= 12)).all() and 0 < keep.sum() < 30
    assert sketches.shape == (keep.sum(), sizes[keep].max() + 1, 5)
    assert (sketches == x[keep, : sketches.shape[1]]).all()
    with pytest.raises(DataError, match="^test: expected at least one sketch, of at most 0 rows, .* none among 30"):
        as_sketches(x, "test", most=0)


def test_an_origin_that_every_sketch_repeats_is_dropped(rng):
    x = from_lines(random_drawings(rng, 30))
    with_origin = [numpy.concatenate([[[0, 0, 0]], rows]) for rows in strokes_of_three(x)]
    assert (as_sketches(objects(with_origin), "test")[0] == x).all()
    start = numpy.broadcast_to(numpy.array([0, 0, *DOWN]), (30, 1, 5))
    assert (as_sketches(numpy.concatenate([start, x], axis=1), "test")[0] == x).all()
    with_origin[4] = with_origin[4][1:]
    kept = as_sketches(objects(with_origin), "test")[0]
    assert (kept[0, 0] == (0, 0, *DOWN)).all() and kept.shape[1] == x.shape[1] + 1


def test_dots_at_the_origin_are_dropped_with_it():
    """The pen is lifted at (0, 0), makes another dot, and goes to where the first line begins."""
    rows = numpy.array([[0, 0, 1], [5, 5, 1], [3, 3, 0], [1, -2, 0], [4, 4, 1]])
    x, _ = as_sketches(objects([rows, numpy.array([[0, 0, 0], [-1, 2, 1]])]), "test")
    assert x[0, :, :2].tolist() == [[1, -2], [4, 4], [0, 0]] and x[1, :, :2].tolist() == [[-1, 2], [0, 0], [0, 0]]


def changed(place, value):
    x = numpy.array([[[1, -2, *DOWN], [3, 4, *UP], [0, 0, *END]], [[-1, 1, *UP], [0, 0, *END], [0, 0, *END]]], float)
    x[place] = value
    return x


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (numpy.ones((2, 3, 4)), r"expected sketches \(N, T, 5\), \(N, T, 3\) or N arrays \(T, 3\), .* \(2, 3, 4\)"),
        (numpy.ones((2, 5)), r"the shape \(2, 5\)"),
        (numpy.ones((0, 3, 5)), r"the shape \(0, 3, 5\)"),
        (numpy.ones((2, 0, 3)), r"the shape \(2, 0, 3\)"),
        (changed((0, 1, 2), 1), "expected rows with one of down, up and end equal to 1"),
        (changed((0, 1, 3), 0), "expected rows with one of down, up and end equal to 1"),
        (changed((0, 1, slice(2, 4)), 0.5), "expected rows with one of down, up and end equal to 1"),
        (changed((0, 1, slice(2, 4)), (2, -1)), "expected rows with one of down, up and end equal to 1"),
        (changed((0, 2), (0, 0, *UP)), "from the end on, received a sketch whose last row is not the end"),
        (changed((0, 1), (0, 0, *END))[:, [0, 1, 0, 2]], "from the end on, received other rows behind the end"),
        (changed((1, 2, 0), 7), "from the end on, received other rows behind the end"),
        (changed((0, 2, 1), -1), "from the end on, received other rows behind the end"),
        (changed((1, 0), (0, 0, *END)), "expected sketches with a row, received one without, number 1"),
        (changed((0, 0, 0), numpy.nan), "expected finite offsets, received 1 that are NaN"),
        (changed((0, 0, 1), numpy.inf), "expected finite offsets"),
        (changed((0, 0, 1), 2.0**24), "expected offsets below 16777216"),
        (changed((0, 0, 1), -(2.0**24)).astype(numpy.int64), "expected offsets below 16777216"),
        (changed((0, 0, 0), 1).astype(complex), "expected numbers, received values of type complex128"),
        (numpy.array([[[1, -1, 0], [2, 2, 2]]]), "expected a pen of 0 .* or 1"),
        (numpy.array([[[1, -1, 0], [2, 2, -1]]]), "expected a pen of 0 .* or 1"),
        (numpy.zeros((2, 4, 3)), "expected sketches with a row, received one without, number 0"),
        (
            objects([numpy.ones((2, 3)), numpy.ones((2, 4))]),
            r"rows \(dx, dy, pen\), received an array of shape \(2, 4\)",
        ),
        (objects([numpy.ones(3)]), r"rows \(dx, dy, pen\), received an array of shape \(3,\)"),
        (objects([numpy.ones((0, 3))]), "received one without, number 0"),
        (objects([numpy.full((1, 3), numpy.iinfo(numpy.uint64).max)]), "a pen of 0"),
    ],
)
def test_malformed_arrays_are_refused(array, sentence):
    with pytest.raises(DataError, match=f"^test: .*{sentence}"):
        as_sketches(array, "test")


# ---- coordinates in place of offsets


def circles(rng, lines, points):
    """Drawings of circles of that many points each, at random places: offsets that change little, but for lifts."""
    angle = numpy.linspace(0, 2 * numpy.pi, points)
    ring = numpy.stack([numpy.cos(angle), numpy.sin(angle)], axis=1)
    return [[20 * rng.uniform(0.5, 1) * ring + rng.uniform(0, 200, 2) for _ in range(lines)] for _ in range(20)]


def points_of(drawing, origin):
    """The points of a drawing as if they were offsets."""
    rows = numpy.zeros((sum(map(len, drawing)), 3))
    rows[:, :2] = numpy.concatenate(drawing) - origin
    rows[numpy.cumsum([len(line) for line in drawing]) - 1, 2] = 1
    return rows


@pytest.mark.parametrize("points", [8, 20, 60])
def test_coordinates_are_refused_and_smooth_offsets_are_not(rng, points):
    drawings = circles(rng, 5, points)
    as_sketches(from_lines(drawings), "test", most=1000)
    origins = {
        "corner": lambda drawing: numpy.concatenate(drawing).min(axis=0),
        "first point": lambda drawing: drawing[0][0],
        "middle": lambda drawing: numpy.concatenate(drawing).mean(axis=0),
    }
    for origin in origins.values():
        with pytest.raises(DataError, match="absolute coordinates\\? take their differences"):
            as_sketches(objects([points_of(drawing, origin(drawing)) for drawing in drawings]), "test")


@pytest.mark.parametrize("name", ["aaron_sheep", "short_kanji"])
def test_coordinates_of_real_sketches_are_refused(data_dir, name):
    path = data_dir / "sketches" / f"{name}.npz"
    if not path.is_file():
        pytest.skip("needs the sketches")
    drawings = to_lines(sv.data.read(path)["test"].sketches)
    for origin in (0, *(numpy.array([[-1000, -1000], [50, -70]]))):
        with pytest.raises(DataError, match="absolute coordinates"):
            as_sketches(objects([points_of(drawing, origin) for drawing in drawings]), "test")


def test_smooth_offsets_with_short_ways_between_lines_are_not_refused():
    """Circles that begin where the last one ended, but for two pixels."""
    angle = numpy.linspace(0, 2 * numpy.pi, 60)
    ring = 20 * numpy.stack([numpy.cos(angle), numpy.sin(angle)], axis=1)
    as_sketches(from_lines([[ring + (2 * k, 0) for k in range(30)]]), "test", most=2000)


def test_a_flying_start_is_not_refused():
    """Zigzags whose first step goes on with the way from the last line, half as far: not like points, for the rest."""
    zigzag = numpy.array([[0, 0], [5, 5], [6, -4], [7, 5], [8, -4], [9, 5], [9, 5.1]])
    as_sketches(from_lines([[zigzag + (19 * k, 15.1 * k) for k in range(30)]]), "test", most=2000)


def test_few_rows_may_go_one_way():
    rows = numpy.array([[0, 2, 0]] * 18 + [[3, 1, 1]])
    as_sketches(objects([rows]), "test")
    with pytest.raises(DataError, match="expected offsets in all directions, received 20 rows without one below 0"):
        as_sketches(objects([numpy.concatenate([rows[:1], rows])]), "test")


# ---- simplification


def distance(point, start, end):
    """From a point to a segment, by trigonometry."""
    if (start == end).all():
        return numpy.hypot(*(point - start))
    length = numpy.hypot(*(end - start))
    along = (point - start) @ (end - start) / length
    if not 0 <= along <= length:
        return min(numpy.hypot(*(point - start)), numpy.hypot(*(point - end)))
    (a, b), (c, d) = point - start, end - start
    return abs(a * d - b * c) / length


def recursion(line, tolerance):
    """Ramer, Douglas and Peucker as they wrote it."""
    distances = [distance(point, line[0], line[-1]) for point in line[1:-1]]
    if not distances or max(distances) <= tolerance:
        return line[[0, -1]]
    middle = 1 + int(numpy.argmax(distances))
    return numpy.concatenate([recursion(line[: middle + 1], tolerance)[:-1], recursion(line[middle:], tolerance)])


def test_simplify_equals_the_recursion(rng):
    lines = [rng.normal(size=(n, 2)).cumsum(axis=0) for n in [2, 3, 400, 999, *rng.integers(2, 100, 60)]]
    lines += [numpy.concatenate([line, line[:1]]) for line in lines[4:]]  # closed ones
    for line, simple in zip(lines, simplify(lines, 1.5), strict=True):
        assert numpy.array_equal(simple, recursion(line, 1.5))


def test_simplify_by_hand():
    corner = numpy.array([[0, 0], [1, 0.1], [2, 0], [2, 1], [2, 2]], dtype=numpy.float32)
    (simple,) = simplify([corner], 0.2)
    assert simple.tolist() == [[0, 0], [2, 0], [2, 2]] and simple.dtype == numpy.float32
    assert len(simplify([corner], 0.05)[0]) == 4 and len(simplify([corner], 9)[0]) == 2
    assert [line.tolist() for line in simplify([[[1, 1]], [[2, 2], [2, 2]]], 1)] == [[[1, 1]], [[2, 2], [2, 2]]]
    assert simplify([], 1) == []
    for line in ([[0, numpy.nan]], numpy.empty((0, 2))):
        with pytest.raises(DataError, match="^simplify: expected points in every line"):
            simplify([corner, line], 1)


def test_lines_are_simplified_each_on_its_own(rng):
    """A line of more than 1,000 points keeps every thousandth, wherever it stands among others."""
    long = numpy.stack([numpy.arange(2500.0), numpy.zeros(2500)], axis=1)
    for lines in ([long], [rng.normal(size=(77, 2)), long]):
        assert simplify(lines, 1)[-1][:, 0].tolist() == [0, 1000, 2000, 2499]


# ---- drawn sketches


def test_drawn_sketches_follow_the_strokes_of_drawn_digits():
    digits, sketches = draw_digits(60, seed=3), draw_sketches(60, seed=3)
    assert sketches.labels.tolist() == digits.labels.tolist()
    assert all((sketches.factors[name] == values).all() for name, values in digits.factors.items())
    for strokes, lines in zip(digits.strokes, to_lines(sketches.sketches), strict=True):
        assert len(lines) == len(strokes)
        for stroke, line in zip(strokes, lines, strict=True):
            line = line + strokes[0][0]
            assert numpy.allclose(line[[0, -1]], stroke[[0, -1]], atol=1e-4)
            farthest = max(
                min(distance(point, *segment) for segment in zip(line, line[1:], strict=False)) for point in stroke
            )
            assert farthest <= 0.3001


def test_drawn_sketches_are_as_many_as_were_measured():
    sketches = draw_sketches(2000).sketches
    facts = describe_sketches(sketches)
    assert 11 < facts["rows"] < 12 and facts["longest"] <= 28 and 3.2 < facts["scale"] < 3.6
    assert (as_sketches(sketches, "test")[0] == sketches).all()
    with pytest.raises(InputError, match="a positive integer n"):
        draw_sketches(0)


def test_load_drawn_sketches(monkeypatch):
    monkeypatch.setitem(sv.data.DRAWN, "drawn-sketches", (draw_sketches, 200))
    train, test = sv.data.load("drawn-sketches", seed=1)
    assert len(train) == 200 and len(test) == 20 and train.images is None
    assert train.observations is train.sketches and len(train.labels) == 200


def test_a_data_set_of_sketches_takes_its_rows(rng):
    x = from_lines(random_drawings(rng, 20))
    whole = Dataset(sketches=x, labels=numpy.arange(20) % 2, omissions=3)
    part = whole.take([3, 5])
    assert (part.sketches == x[[3, 5]]).all() and part.labels.tolist() == [1, 1] and part.omissions == 3
    rest, share = whole.hold_out(0.25, seed=1)
    assert len(rest) == 15 and len(share) == 5 and rest.images is None
    images = Dataset(numpy.zeros((4, 2, 2, 1)))
    assert images.observations is images.images


# ---- facts and lattice offsets


def test_describe_by_hand():
    drawings = [
        [numpy.array([[0, 0], [2, 0], [2, 4]]), numpy.array([[0, 0], [1, 0]])],
        [numpy.array([[0, 0], [-1, 0]])],
    ]
    facts = describe_sketches(from_lines(drawings))
    offsets = [2, 0, 0, 4, -2, -4, 1, 0, -1, 0]
    expected = {"sketches": 2, "rows": 2.5, "longest": 4, "lines": 1.5, "scale": numpy.std(offsets)}
    assert facts == pytest.approx(expected | {"whole_numbers": True})
    assert not describe_sketches(from_lines([[numpy.array([[0, 0], [0.5, 1]])]]))["whole_numbers"]


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_dequantize_moves_the_rows_within_their_cells_and_nothing_else(rng, dtype):
    x = from_lines(random_drawings(rng, 400)).astype(dtype)
    y = dequantize_sketches(x, Noise(3))
    assert y.dtype == x.dtype and (y[:, :, 2:] == x[:, :, 2:]).all()
    ended = x[:, :, 4] == 1
    assert (y[ended] == x[ended]).all()
    u = (y - x)[~ended][:, :2]
    assert -0.5 <= u.min() < -0.49 and 0.49 < u.max() <= 0.5
    assert abs(u.mean()) < 0.02 and u.var() == pytest.approx(1 / 12, rel=0.05)
    assert abs(numpy.corrcoef(u.T)[0, 1]) < 0.05


class ThreeQuarters:
    def uniform(self, name, shape):
        return asarray(numpy.full(shape, 0.75, numpy.float32), "gpu")


def test_dequantize_with_known_noise_on_every_device(gpu):
    x = from_lines([[numpy.array([[0, 0], [2, 0]])], [numpy.array([[0, 0], [1, 1], [5, 1]])]])
    y = dequantize_sketches(asarray(x, "gpu"), ThreeQuarters())
    assert to_numpy(y)[0].tolist() == [[2.25, 0.25, *UP], [0, 0, *END], [0, 0, *END]]
    assert isinstance(y, gpu.ndarray)


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (numpy.ones((2, 3, 5), int), r"sketches \(N, T, 5\) of floating-point numbers"),
        (numpy.ones((2, 3, 4)), r"received the shape \(2, 3, 4\)"),
        ([1], "floating-point"),
        (numpy.full((1, 2, 5), 0.5), "expected offsets that are whole numbers, received others"),
    ],
)
def test_dequantize_refuses(x, sentence):
    with pytest.raises(DataError, match=f"^dequantize_sketches: .*{sentence}"):
        dequantize_sketches(x, Noise(0))
