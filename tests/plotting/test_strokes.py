"""Pictures of drawings: where the strokes are, in which colour, and what is asked of the model."""

import numpy
import pytest

import scratchvae as sv
from scratchvae.errors import ShapeError
from scratchvae.plotting.canvas import ORANGE

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
    black, orange = strokes(figure)
    originals = [line for line in black if line[0, 1] < 1]
    assert len(originals) == sum(map(len, sv.data.to_lines(x[:4]))) and not orange


def test_the_ends_of_an_interpolation_are_the_inputs(model, x):
    black, orange = strokes(sv.plotting.sketch_interpolations(model, x[:2], x[2:4], n=3))
    columns = [{int(line[0, 0]) for line in lines} for lines in (black, orange)]
    assert columns[0] <= {1, 2, 3} and columns[1] == {0, 4}


def test_every_completion_shows_what_was_there_in_orange(model, x):
    prefixes = [x[0, :4], x[1, :3]]
    figure = sv.plotting.sketch_completions(model, prefixes, n=2)
    _, orange = strokes(figure)
    begun = [len(sv.data.to_lines(numpy.concatenate([p, END_ROW[None]])[None])[0]) for p in prefixes]
    assert len(orange) == 3 * sum(begun)
    counts = [float(label.get_text()) for label in figure.axes[0].get_yticklabels()]
    assert all(1 <= count <= 400 for count in counts)


def test_what_is_no_sketch_is_refused():
    with pytest.raises(ShapeError, match=r"drawings: expected sketches \(N, T, 5\)"):
        sv.plotting.drawings(numpy.zeros((3, 4)))
