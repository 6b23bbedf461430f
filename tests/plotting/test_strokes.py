"""Pictures of drawings: where the strokes are, in which colour, and what is asked of the model."""

from itertools import combinations

import numpy
import pytest
from matplotlib.colors import to_hex

import scratchvae as sv
from scratchvae.errors import InputError, ShapeError
from scratchvae.plotting.canvas import CLASS_COLOURS, ORANGE

END_ROW = numpy.array([0, 0, 0, 0, 1], dtype=numpy.float32)


@pytest.fixture(scope="module")
def x():
    return sv.data.draw_sketches(12).sketches


@pytest.fixture(scope="module")
def model():
    return sv.SketchRNN.lstm(2, 4, 5, 2, scale=3.4)


def strokes(figure):
    """The lines in black, and those in orange."""
    figure.canvas.draw()
    black, orange = figure.axes[0].collections
    assert tuple(orange.get_colors()[0][:3]) == pytest.approx((0.835, 0.369, 0), abs=0.01), ORANGE
    return [[path.vertices for path in lines.get_paths()] for lines in (black, orange)]


def test_a_drawing_stands_in_the_middle_of_its_cell_and_upright():
    """An L: down, then to the right. Twice as large beside it."""
    rows = numpy.array([[0, 4, 1, 0, 0], [2, 0, 1, 0, 0]], dtype=numpy.float32)
    one = numpy.concatenate([rows, END_ROW[None]])
    two = one * numpy.array([2, 2, 1, 1, 1], dtype=numpy.float32)
    figure = sv.plotting.drawings(numpy.stack([one, two]))
    (first, second), orange = strokes(figure)
    assert not orange and figure.axes[0].get_ylim() == (1, 0)
    numpy.testing.assert_allclose((first.min(axis=0) + first.max(axis=0)) / 2, [0.5, 0.5], atol=1e-6)
    numpy.testing.assert_allclose((second.min(axis=0) + second.max(axis=0)) / 2, [1.5, 0.5], atol=1e-6)
    assert first[0, 1] < first[1, 1] == first[2, 1] and first[1, 0] < first[2, 0]
    assert numpy.ptp(second[:, 1]) == pytest.approx(0.82) and 0.4 < numpy.ptp(first[:, 1]) < 0.45


def test_a_dot_is_drawn_and_nothing_leaves_its_cell(x):
    dot = numpy.array([[3, 0, 0, 1, 0], [9, 9, 0, 1, 0]], dtype=numpy.float32)
    sketch = numpy.concatenate([dot, numpy.tile(END_ROW, (x.shape[1] - 2, 1))])
    huge = x[0] * numpy.array([50, 50, 1, 1, 1], dtype=numpy.float32)
    black, _ = strokes(sv.plotting.drawings(numpy.concatenate([x[:2], sketch[None], huge[None]])))
    assert [len(line) for line in black].count(2) >= 1
    for line in black:
        cells = numpy.floor(line)
        assert (cells == cells[0]).all()


def test_rows_of_samples_and_reconstructions(model, x):
    figure = sv.plotting.sketch_samples(model, n=3, temperatures=(0.2, 1.0))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["$\\tau = 0.2$", "$\\tau = 1$"]
    assert figure.axes[0].get_xlim() == (0, 3)
    figure = sv.plotting.sketch_reconstructions(model, x, n=4)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "x",
        *(f"$\\tau = {t}$" for t in (0.2, 0.5, 1)),
    ]
    _, orange = strokes(figure)
    assert len(orange) == sum(map(len, sv.data.to_lines(x[:4]))) and all((line[:, 1] < 1).all() for line in orange)


@pytest.mark.parametrize("n", [1, 4, 8, 12])
def test_a_title_fits_above_few_drawings(model, n):
    figure = sv.plotting.sketch_samples(model, n, temperatures=(0.5,))
    figure.canvas.draw()
    (title,) = figure.texts
    place = title.get_window_extent()
    assert place.x0 >= 0 and place.x1 <= figure.bbox.width


def test_lines_of_long_drawings_are_thinner(x):
    """Of P points each: 1.6 points wide up to P = 60, and 1.6 sqrt(60 / P), but not less than 0.9, beyond it."""
    zigzag = numpy.tile(numpy.float32([[1, 1, 1, 0, 0], [1, -1, 1, 0, 0]]), (200, 1))
    for rows, width in ((30, 1.6), (59, 1.6), (119, 1.6 / 2**0.5), (400, 0.9)):
        sketch = numpy.concatenate([zigzag[:rows], END_ROW[None]])
        black, _ = sv.plotting.drawings(sketch[None]).axes[0].collections
        assert black.get_linewidths()[0] == pytest.approx(width)


def test_the_ends_of_an_interpolation_are_the_inputs(model, x):
    black, orange = strokes(sv.plotting.sketch_interpolations(model, x[:2], x[2:4], n=3))
    ends = {0, 4}
    assert {int(line[0, 0]) for line in orange} == ends
    covered = {tuple(line.ravel()) for line in orange}
    assert all(tuple(line.ravel()) in covered for line in black if int(line[0, 0]) in ends)


def test_every_completion_shows_what_was_there_in_orange(model, x):
    prefixes = [x[0, :4], x[1, :3]]
    figure = sv.plotting.sketch_completions(model, prefixes, n=2)
    _, orange = strokes(figure)
    begun = [len(sv.data.to_lines(numpy.concatenate([p, END_ROW[None]])[None])[0]) for p in prefixes]
    assert len(orange) == 3 * sum(begun)
    assert figure.axes[0].get_ylabel() == "effective samples of $z$"
    counts = [float(label.get_text()) for label in figure.axes[0].get_yticklabels()]
    assert all(1 <= count <= 400 for count in counts)


class Coded:
    """A model whose encoder has given means."""

    device = "cpu"

    def __init__(self, means):
        self.means = means

    def encode(self, x):
        return sv.distributions.Normal(self.means[: len(x)], numpy.zeros_like(self.means[: len(x)]))


@pytest.fixture
def means(rng):
    """Twelve means whose principal components are the third and the first unit."""
    return (rng.standard_normal((12, 3)) * [2.0, 0.01, 5.0]).astype(numpy.float32)


def test_drawings_stand_upright_at_their_codes(x, means):
    """The middle of each drawing is its code on the two components of largest variance, whose shares are named."""
    labels = numpy.arange(12) % 3
    figure = sv.plotting.sketch_latent(Coded(means), x, labels, most=10_000)
    (axes,) = figure.axes
    drawn = [numpy.concatenate([path.vertices for path in lines.get_paths()]) for lines in axes.collections]
    middles = numpy.array([(points.min(axis=0) + points.max(axis=0)) / 2 for points in drawn])
    centred = means - means.mean(axis=0)
    for i, k in combinations(range(12), 2):  # a plane keeps the distances of points that lie near it
        distance = numpy.linalg.norm(centred[i] - centred[k])
        assert numpy.linalg.norm(middles[i] - middles[k]) == pytest.approx(distance, abs=0.1)
    assert abs(numpy.corrcoef(middles.T)[0, 1]) < 0.01 and middles[:, 0].std() > middles[:, 1].std()
    share = numpy.linalg.svd(centred, compute_uv=False)[0] ** 2 / (centred**2).sum()
    assert axes.get_xlabel() == f"first principal component of the codes ({100 * share:.0f} % of their variance)"
    assert [to_hex(lines.get_color()[0]) for lines in axes.collections] == [CLASS_COLOURS[k] for k in labels]
    first = sv.data.to_lines(x[:1])[0][0]
    upwards = drawn[0][: len(first), 1]
    assert numpy.corrcoef(upwards, -first[:, 1])[0, 1] > 0.999 and not axes.yaxis_inverted()


def test_drawings_on_a_latent_plane_do_not_cover_each_other(x, means):
    means[5] = means[2]
    figure = sv.plotting.sketch_latent(Coded(means), x)
    boxes = [lines.get_paths() for lines in figure.axes[0].collections]
    spans = [numpy.concatenate([path.vertices for path in paths]) for paths in boxes]
    middles = numpy.array([(points.min(axis=0) + points.max(axis=0)) / 2 for points in spans])
    assert 2 <= len(middles) < 12
    assert {to_hex(lines.get_color()[0]) for lines in figure.axes[0].collections} == {"#000000"}
    widest = max(numpy.ptp(points, axis=0).max() for points in spans)
    for a, b in combinations(middles, 2):
        assert abs(a - b).max() > widest


def test_a_latent_plane_needs_two_units_and_a_label_for_each_row(x, means):
    with pytest.raises(InputError, match="sketch_latent: expected at least two latent units, received 1"):
        sv.plotting.sketch_latent(Coded(means[:, :1]), x)
    with pytest.raises(ShapeError, match=r"labels of shape \(12,\), one for each row, received \(3,\)"):
        sv.plotting.sketch_latent(Coded(means), x, numpy.arange(3))


def test_what_is_no_sketch_is_refused():
    with pytest.raises(ShapeError, match=r"drawings: expected sketches \(N, T, 5\)"):
        sv.plotting.drawings(numpy.zeros((3, 4)))
