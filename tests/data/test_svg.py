"""SVG: every command of a path by hand or by its formula, transforms, what is refused, and sketches there and back."""

import math

import numpy
import pytest

from scratchvae.data import draw_sketches, from_lines, read_svg, svg, svg_path, write_svg
from scratchvae.data.svg import LARGEST_FILE
from scratchvae.data.svg_path import path_lines
from scratchvae.errors import DataError, InputError


def points(d):
    return [line.tolist() for line in path_lines(d)]


def svg_file(tmp_path, body, name="a.svg", head=""):
    path = tmp_path / name
    path.write_text(f'{head}<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">{body}</svg>', encoding="utf-8")
    return path


def lines_of(tmp_path, body):
    """The lines of the one drawing in a file."""
    (drawing,) = read_svg(svg_file(tmp_path, body))
    return [line.round(9).tolist() for line in drawing]


# ---- straight commands, by hand


@pytest.mark.parametrize(
    ("d", "lines"),
    [
        ("M1 2L3 4", [[[1, 2], [3, 4]]]),
        ("m1 2l3 4", [[[1, 2], [4, 6]]]),
        ("M1,2,3,4 5,6", [[[1, 2], [3, 4], [5, 6]]]),
        ("m1,2,3,4 5,6", [[[1, 2], [4, 6], [9, 12]]]),
        ("M10-5.5.5-1e1", [[[10, -5.5], [0.5, -10]]]),
        (" M +1 2 \n L 3e0,\t.4 ", [[[1, 2], [3, 0.4]]]),
        ("M1 2H5V7h-1v-2 1", [[[1, 2], [5, 2], [5, 7], [4, 7], [4, 5], [4, 6]]]),
        ("M0 0 1 0 1 1z", [[[0, 0], [1, 0], [1, 1], [0, 0]]]),
        ("M5 5l1 0 0 1zm2 2l1 1", [[[5, 5], [6, 5], [6, 6], [5, 5]], [[7, 7], [8, 8]]]),
        ("M5 5l1 0 0 1zl2 2", [[[5, 5], [6, 5], [6, 6], [5, 5]], [[5, 5], [7, 7]]]),
        ("M0 0L1 1M5 5M6 6L7 7", [[[0, 0], [1, 1]], [[6, 6], [7, 7]]]),
        ("M0 0L1 1m5 5l1 1", [[[0, 0], [1, 1]], [[6, 6], [7, 7]]]),
        ("M1 1", []),
        ("", []),
        ("M0 0A0 5 0 0 1 3 4", [[[0, 0], [3, 4]]]),
    ],
)
def test_straight_commands(d, lines):
    assert points(d) == lines


@pytest.mark.parametrize(
    "d",
    ["L1 1", "M1", "M1 2L", "M1 2L3", "M1 2X3 4", "M1 2z3 4", "M1 2C1 2 3 4 5", "Mnan 1", "M0 0A1 1 0 2 0 3 3", "1 2"],
)
def test_what_is_no_path_is_refused(d):
    with pytest.raises(ValueError, match="where|begins"):
        path_lines(d)


# ---- curves, by their formulas


def bernstein(*control):
    """A Bezier curve at 0, 1/16, ..., 1."""
    n, t = len(control) - 1, numpy.linspace(0, 1, 17)[:, None]
    return sum(math.comb(n, k) * t**k * (1 - t) ** (n - k) * numpy.array(point) for k, point in enumerate(control))


@pytest.mark.parametrize(
    ("d", "curves"),
    [
        ("M1 2C3 7 8 9 10 0", [[(1, 2), (3, 7), (8, 9), (10, 0)]]),
        ("m1 2c2 5 7 7 9 -2", [[(1, 2), (3, 7), (8, 9), (10, 0)]]),
        ("M1 2Q3 7 8 9", [[(1, 2), (3, 7), (8, 9)]]),
        ("m1 2q2 5 7 7", [[(1, 2), (3, 7), (8, 9)]]),
        ("M1 2C3 7 8 9 10 0S5 5 1 1", [[(1, 2), (3, 7), (8, 9), (10, 0)], [(10, 0), (12, -9), (5, 5), (1, 1)]]),
        ("M1 2C3 7 8 9 10 0s-5 5 -9 1", [[(1, 2), (3, 7), (8, 9), (10, 0)], [(10, 0), (12, -9), (5, 5), (1, 1)]]),
        ("M1 2S5 5 9 1", [[(1, 2), (1, 2), (5, 5), (9, 1)]]),
        ("M1 2Q3 7 8 9S5 5 9 1", [[(1, 2), (3, 7), (8, 9)], [(8, 9), (8, 9), (5, 5), (9, 1)]]),
        ("M1 2Q3 7 8 9T10 0 1 1", [[(1, 2), (3, 7), (8, 9)], [(8, 9), (13, 11), (10, 0)], [(10, 0), (7, -11), (1, 1)]]),
        ("M1 2Q3 7 8 9t2 -9", [[(1, 2), (3, 7), (8, 9)], [(8, 9), (13, 11), (10, 0)]]),
        ("M1 2T3 3", [[(1, 2), (1, 2), (3, 3)]]),
        ("M1 2C3 7 8 9 10 0T5 5", [[(1, 2), (3, 7), (8, 9), (10, 0)], [(10, 0), (10, 0), (5, 5)]]),
        ("M1 2C0 0 1 1 2 2 3 3 4 4 5 5", [[(1, 2), (0, 0), (1, 1), (2, 2)], [(2, 2), (3, 3), (4, 4), (5, 5)]]),
    ],
)
def test_curves(d, curves):
    (line,) = path_lines(d)
    expected = numpy.concatenate([bernstein(*curves[0]), *(bernstein(*curve)[1:] for curve in curves[1:])])
    assert line.shape == expected.shape and abs(line - expected).max() < 1e-12


def signed_area(line):
    """Positive for a turn clockwise, y being down."""
    x, y = line.T
    return float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()) / 2


@pytest.mark.parametrize("degrees", [0, 30, 115])
@pytest.mark.parametrize(("rx", "ry"), [(10, 10), (10, 6)])
@pytest.mark.parametrize(("large", "clockwise"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_arcs_lie_on_their_ellipse(degrees, rx, ry, large, clockwise):
    """The four arcs between two points: all points of one at distance 1 from a centre in units of the half axes."""
    start, end = numpy.array([3.0, 4.0]), numpy.array([9.0, 8.0])
    (line,) = path_lines(f"M3 4A{rx} {ry} {degrees} {large}{clockwise}9 8")
    assert line.shape == (17, 2) and (line[0] == start).all() and (line[-1] == end).all()
    angle = math.radians(degrees)
    back = numpy.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    unit = line @ back.T / (rx, ry)
    # the centre of a circle through three points
    p, q, r = unit[0], unit[7], unit[-1]
    centre = numpy.linalg.solve(2 * numpy.array([q - p, r - p]), [q @ q - p @ p, r @ r - p @ p])
    assert numpy.hypot(*(unit - centre).T) == pytest.approx(1, abs=1e-9)
    turns = numpy.unwrap(numpy.arctan2(*(unit - centre).T[::-1]))
    assert (numpy.diff(turns) > 0).all() if clockwise else (numpy.diff(turns) < 0).all()
    assert (abs(turns[-1] - turns[0]) > math.pi) == bool(large)


def test_an_ellipse_that_is_too_small_grows():
    (line,) = path_lines("M0 0A1 1 0 0 1 10 0")
    assert numpy.hypot(*(line - (5, 0)).T) == pytest.approx(5)
    assert line[:, 1].min() == pytest.approx(-5)  # clockwise from the left: over the top


# ---- shapes and transforms


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ('<polyline points="0,0 1,0 3,3"/>', [[[0, 0], [1, 0], [3, 3]]]),
        ('<polygon points="0 0 1 0 3 3"/>', [[[0, 0], [1, 0], [3, 3], [0, 0]]]),
        ('<line x1="1" y1="2px" x2="3" y2="4"/>', [[[1, 2], [3, 4]]]),
        ('<line x2="3"/>', [[[0, 0], [3, 0]]]),
        ('<rect x="1" y="2" width="3" height="4"/>', [[[1, 2], [4, 2], [4, 6], [1, 6], [1, 2]]]),
        ('<g transform="translate(10 20)"><line x2="3"/></g>', [[[10, 20], [13, 20]]]),
        ('<g transform="scale(2)"><g transform="translate(1,1)"><line x2="3"/></g></g>', [[[2, 2], [8, 2]]]),
        ('<line x2="3" transform="translate(1) scale(2 5), translate(0 1)"/>', [[[1, 5], [7, 5]]]),
        ('<line x2="3" transform="rotate(90)"/>', [[[0, 0], [0, 3]]]),
        ('<line x2="3" transform="rotate(90 3 0)"/>', [[[3, -3], [3, 0]]]),
        ('<line y2="2" transform="skewX(45)"/>', [[[0, 0], [2, 2]]]),
        ('<line x2="2" transform="skewY(45)"/>', [[[0, 0], [2, 2]]]),
        ('<line x2="2" y2="1" transform="matrix(1 2 3 4 5 6)"/>', [[[5, 6], [10, 14]]]),
        ('<defs><line x2="9"/></defs><clipPath><line x2="9"/></clipPath><line x2="2"/>', [[[0, 0], [2, 0]]]),
        ("<g><path d='M0 0L1 1'/><!-- none --></g><path d='M5 5L1 1'/>", [[[0, 0], [1, 1]], [[5, 5], [1, 1]]]),
        ("<path d='M0 0L5 0L5 0L5 9'/>", [[[0, 0], [5, 0], [5, 9]]]),
        ("<path d='M1 1h0M0 0L9 9'/>", [[[1, 1]], [[0, 0], [9, 9]]]),
        ("<path/><polyline points=' '/><text>A</text><line x2='1'/>", [[[0, 0], [1, 0]]]),
    ],
)
def test_shapes_and_transforms(tmp_path, body, lines):
    assert lines_of(tmp_path, body) == lines


@pytest.mark.parametrize(
    ("body", "rx", "ry"),
    [('<circle cx="5" cy="6" r="4"/>', 4, 4), ('<ellipse cx="5" cy="6" rx="4" ry="3"/>', 4, 3)],
)
def test_circles_and_ellipses(tmp_path, body, rx, ry):
    ((line,),) = read_svg(svg_file(tmp_path, body))
    assert numpy.hypot(*((line - (5, 6)) / (rx, ry)).T) == pytest.approx(1)
    assert signed_area(line) == pytest.approx(math.pi * rx * ry, rel=0.02) and (line[0] == line[-1]).all()


def test_a_rectangle_with_round_corners(tmp_path):
    ((line,),) = read_svg(svg_file(tmp_path, '<rect x="1" y="2" width="30" height="20" rx="5"/>'))
    low, high = line.min(axis=0), line.max(axis=0)
    tolerance = 30 * 2 / 255
    assert low == pytest.approx([1, 2], abs=tolerance) and high == pytest.approx([31, 22], abs=tolerance)
    assert signed_area(line) == pytest.approx(600 - (4 - math.pi) * 25, rel=0.01)
    for corner in ([6, 7], [26, 7], [26, 17], [6, 17]):
        assert (numpy.hypot(*(line - corner).T) > 5 - tolerance).all()


def test_a_drawing_is_simplified(tmp_path):
    """A line of 200 points that is straight but for 1/255 of its length, and a corner."""
    x = numpy.arange(201)
    text = " ".join(f"{a},{(0.7 if a % 2 else 0)}" for a in x)
    assert lines_of(tmp_path, f'<polyline points="{text} 200,90"/>') == [[[0, 0], [200, 0], [200, 90]]]


# ---- sketches there and back


@pytest.mark.parametrize("n", [1, 2, 30])
def test_sketches_written_are_sketches_read(tmp_path, n):
    x = draw_sketches(n, seed=2).sketches
    write_svg(tmp_path / "a.svg", x)
    back = from_lines(read_svg(tmp_path / "a.svg"))
    assert back.shape == x.shape and (back[:, :, 2:] == x[:, :, 2:]).all()
    assert abs(numpy.cumsum(back - x, axis=1)).max() < 0.001


def test_the_grid_has_a_cell_for_each_sketch(tmp_path):
    x = draw_sketches(7, seed=2).sketches
    write_svg(tmp_path / "a.svg", x, columns=3)
    text = (tmp_path / "a.svg").read_text()
    assert text.count("<path ") == 7 and 'fill="none"' in text and 'stroke-linecap="round"' in text
    boxes = [numpy.concatenate(drawing) for drawing in read_svg(tmp_path / "a.svg")]
    width, height = map(float, text.split('viewBox="0 0 ')[1].split('"')[0].split())
    assert width == pytest.approx(height)  # 3 columns and 3 rows
    for n, points in enumerate(boxes):
        cell = numpy.array([n % 3, n // 3]) * width / 3
        assert (points.min(axis=0) > cell).all() and (points.max(axis=0) < cell + width / 3).all()
        assert (points.min(axis=0) + points.max(axis=0)) / 2 == pytest.approx(cell + width / 6, abs=1e-3)


def test_dots_are_written_and_read(tmp_path):
    x = from_lines([[numpy.array([[0, 0], [4, 4]]), numpy.array([[9, 1]])]])
    write_svg(tmp_path / "a.svg", x)
    assert (from_lines(read_svg(tmp_path / "a.svg")) == x).all()


# ---- what is refused


BOMB = '<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize("head", [BOMB, BOMB.lower(), '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://x">'])
def test_document_types_are_refused_before_anything_is_parsed(tmp_path, monkeypatch, head):
    monkeypatch.setattr("scratchvae.data.svg.ElementTree.fromstring", None)
    path = svg_file(tmp_path, "<line x2='1'/>", head='<?xml version="1.0"?>\n' + head)
    with pytest.raises(DataError, match=r"(?i)^reading .*a\.svg: expected an svg file without .* with <!doctype"):
        read_svg(path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-7"])
def test_a_document_type_in_another_encoding_is_refused(tmp_path, encoding):
    head = f'<?xml version="1.0" encoding="{encoding}"?>{BOMB}'
    (tmp_path / "a.svg").write_bytes(f"{head}<svg><line x2='1'/><text>&b;</text></svg>".encode(encoding))
    with pytest.raises(DataError, match=r"^reading .*a\.svg: "):
        read_svg(tmp_path / "a.svg")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("", "lines, received none"),
        ("<path d='M0 0'/>", "lines, received none"),
        ("<path d='M0 0L1'/>", "cannot be read: .* where L needs a number"),
        ("<path d='M0 0L1e9 1'/>", "cannot be read: coordinates that are too large"),
        ("<path d='M0 0L1e999 1'/>", "cannot be read: coordinates that are too large"),
        ("<path d='M0 0A1e-320 1e-320 0 0 1 1 1'/>", "cannot be read"),
        ("<line x2='5%'/>", "cannot be read: could not convert"),
        ("<line x2='1' transform='spin(3)'/>", r"cannot be read: the transform spin\(3\)"),
        ("<line x2='1' transform='scale()'/>", "cannot be read"),
        ("<line x2='1' transform='scale(1 2 3)'/>", "cannot be read"),
        ("<line x2='1' transform='translate(1'/>", "cannot be read: the transform"),
        ("<polyline points='1 2 3'/>", "cannot be read: .*where L needs a number"),
        ("<polyline points='1 a'/>", "cannot be read: a where a number should be"),
        ("<g>", "cannot be read"),
        ("&b;", "cannot be read: undefined entity"),
    ],
)
def test_malformed_files_are_refused(tmp_path, body, sentence):
    with pytest.raises(DataError, match=rf"^reading .*a\.svg: expected .*{sentence}"):
        read_svg(svg_file(tmp_path, body))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "cannot be read"),
        (b"<html/>", "expected an SVG file, received one whose root is html"),
        (b"\x89PNG\r\n", "cannot be read"),
        (b"<svg>" + b" " * LARGEST_FILE + b"</svg>", "more than 4194304"),
        (b"<svg>" + b"<g>" * 100_000 + b"</g>" * 100_000 + b"</svg>", "received none"),
    ],
)
def test_other_files_are_refused(tmp_path, content, sentence):
    (tmp_path / "a.svg").write_bytes(content)
    with pytest.raises(DataError, match=rf"^reading .*a\.svg: .*{sentence}"):
        read_svg(tmp_path / "a.svg")
    with pytest.raises(DataError, match="cannot be read"):
        read_svg(tmp_path / "none.svg")


@pytest.mark.parametrize(
    "content", [b"<path d='M0 0" + b"T1 1" * 200 + b"'/>", b"<circle r='1'/>" * 20], ids=["curves", "circles"]
)
def test_more_points_than_memory_should_hold_are_refused(tmp_path, monkeypatch, content):
    assert svg_path.MOST_POINTS == svg.MOST_POINTS == 2**20
    for module in (svg, svg_path):
        monkeypatch.setattr(module, "MOST_POINTS", 200)
    (tmp_path / "a.svg").write_bytes(b"<svg>" + content + b"</svg>")
    with pytest.raises(DataError, match=r"^reading .*a\.svg: .*more than 200 points"):
        read_svg(tmp_path / "a.svg")


@pytest.mark.parametrize("shape", [(0, 3, 5), (2, 3, 3), (3, 5), (2, 0, 5)])
def test_only_sketches_are_written(tmp_path, shape):
    with pytest.raises(InputError, match=r"^write_svg: expected sketches \(N, T, 5\), received the shape"):
        write_svg(tmp_path / "a.svg", numpy.zeros(shape))
    assert not list(tmp_path.iterdir())


def test_a_sketch_that_ends_at_once_is_a_dot(tmp_path):
    x = numpy.zeros((1, 2, 5))
    x[:, :, 4] = 1
    write_svg(tmp_path / "a.svg", x)
    assert "M0 0 0 0" in (tmp_path / "a.svg").read_text()
