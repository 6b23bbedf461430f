"""The file that a figure is written to, and from numbers to shades: what is shown is what was given."""

from __future__ import annotations

import subprocess
import sys

import numpy
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import scratchvae as sv
from scratchvae import plotting
from scratchvae.errors import InputError, ShapeError
from scratchvae.plotting import Shades

# ---- files


@pytest.mark.parametrize("name", ["a.png", "folder/a.png", "a.pdf", "a.svg", "a.PNG"])
def test_save_figure_writes_what_the_suffix_says(name, tmp_path):
    path = plotting.save_figure(Figure(), tmp_path / name)
    signature = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[name[-3:].lower()]
    assert path == tmp_path / name and path.read_bytes().startswith(signature)


def test_save_figure_returns_the_path_that_it_wrote(tmp_path):
    """PNG without a suffix; the path is what a caller prints."""
    path = plotting.save_figure(Figure(), str(tmp_path / "curves"))
    assert path == tmp_path / "curves.png" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("name", "message"), [("", "the name of a file"), ("a.b", "a suffix among .*png.* '.b'")])
def test_save_figure_refuses_what_is_no_picture(name, message, tmp_path):
    with pytest.raises(InputError, match=f"save_figure: expected {message}"):
        plotting.save_figure(Figure(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_neither_the_package_nor_plotting_touches_pyplot():
    code = (
        "import sys, scratchvae; assert 'matplotlib' not in sys.modules\n"
        "import scratchvae.plotting; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- shades


def shown(figure) -> numpy.ndarray:
    """The brightness of every pixel of the figure's only picture as it is rendered, from 0 to 1, one for each entry."""
    (axes,) = figure.axes
    (image,) = axes.images
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    height, width = image.get_array().shape[:2]
    box, pixels = axes.get_window_extent(), numpy.asarray(canvas.buffer_rgba())[::-1] / 255
    rows = (box.y0 + (numpy.arange(height)[::-1] + 0.5) * box.height / height).astype(int)
    columns = (box.x0 + (numpy.arange(width) + 0.5) * box.width / width).astype(int)
    return pixels[rows[:, None], columns, :3]


KINDS = {
    "float": lambda x: x,
    "uint8": lambda x: (255 * x).round().astype(numpy.uint8),
    "dark uint8": lambda x: (100 + 100 * x).round().astype(numpy.uint8),
    "bool": lambda x: x > 0.5,
    "0 and 1 as uint8": lambda x: (x > 0.5).astype(numpy.uint8),
    "standardised": lambda x: (x - x.mean()) / x.std(),
    "from -1 to 1": lambda x: 2 * x - 1,
    "counts": lambda x: numpy.floor(16.99 * x).astype(numpy.int64),
    "percent": lambda x: 100 * x.astype(numpy.float16),
}


@pytest.mark.parametrize("ink", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_shown_is_what_was_given(kind, channels, ink, rng):
    """The rendered brightness rises, or for ink falls, in a straight line with the value from the lowest to the
    highest; nothing is clipped.
    """
    x = numpy.linspace(0, 1, 36 * channels).reshape(1, 6, 6, channels) ** (3 if ink else 1)
    values = KINDS[kind](x)
    figure = plotting.images(values, shades=Shades(Shades.of(values).low, Shades.of(values).high, ink))
    low, high = (0, 255) if "uint8" in kind and values.max() > 1 else (float(values.min()), float(values.max()))
    expected = (values[0].astype(float) - low) / (high - low)
    if ink and channels == 1:
        expected = 1 - expected
    numpy.testing.assert_allclose(shown(figure), numpy.broadcast_to(expected, (6, 6, 3)), atol=0.006)


@pytest.mark.parametrize("kind", KINDS)
def test_shades_that_are_not_plain_are_written_below(kind):
    x = numpy.linspace(0, 1, 36).reshape(1, 6, 6, 1)
    values = KINDS[kind](x)
    note = plotting.images(values).get_supxlabel()
    low, high = (0, 255) if "uint8" in kind and values.max() > 1 else (values.min(), values.max())
    plain = kind in ("float", "bool", "0 and 1 as uint8")
    assert note == ("" if plain else f"{low:.3g} is black, {high:.3g} is white")


def test_ink_and_colours_are_said_in_their_words():
    digits = numpy.zeros((2, 4, 4, 1))
    digits[:, 1, 1] = 16
    assert plotting.images(digits).get_supxlabel() == "0 is white, 16 is black"
    colours = numpy.linspace(-1, 1, 48).reshape(1, 4, 4, 3)
    assert plotting.images(colours).get_supxlabel() == "-1 is dark, 1 is bright"


@pytest.mark.parametrize("channels", [1, 3])
def test_values_beyond_the_shades_are_said_to_be_there(channels):
    x = numpy.linspace(-0.25, 1.5, 36 * channels).reshape(1, 6, 6, channels)
    figure = plotting.images(x, shades=Shades())
    assert figure.get_supxlabel().endswith("; values lie between -0.25 and 1.5")
    numpy.testing.assert_allclose(shown(figure), numpy.broadcast_to(numpy.clip(x[0], 0, 1), (6, 6, 3)), atol=0.006)


def test_shades_are_decided_once_from_the_data():
    """Strokes on empty paper are ink, whatever one picture's mean; photographs, dark ones too, are not."""
    digits = sv.data.draw_digits(50).images
    assert Shades.of(digits) == Shades(0, 1, ink=True)
    assert Shades.of((digits - digits.mean()) / digits.std()).ink
    photographs = numpy.linspace(0.05, 0.5, 160).reshape(10, 4, 4, 1)
    assert photographs.mean() < 0.3 and not Shades.of(photographs).ink
    for shades in (Shades.of(digits), Shades.of(photographs)):
        for picture in (digits[:4], 1 - digits[:4], photographs):
            image = plotting.images(picture, shades=shades).axes[0].images[0]
            assert image.get_cmap().name == ("gray_r" if shades.ink else "gray")


@pytest.mark.parametrize(("share", "ink"), [(0.45, False), (0.55, True)])
def test_ink_is_what_leaves_more_than_half_of_the_paper_empty(share, ink, rng):
    x = numpy.where(numpy.arange(1000).reshape(10, 10, 10, 1) < 1000 * share, 0.09, 0.11)
    assert Shades.of(x).ink == ink
    assert Shades.of(100 * x - 3) == Shades(6.0, 8.0, ink)


@pytest.mark.parametrize("value", [0, 1, 7, -2])
def test_images_of_one_value_are_shown(value, tmp_path):
    figure = plotting.images(numpy.full((2, 3, 3, 1), value))
    plotting.save_figure(figure, tmp_path / "a.png")
    low, high = figure.axes[0].images[0].get_clim()
    assert low <= value <= high and low < high


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (numpy.zeros((0, 4, 4, 1)), "at least one row, received an array of shape"),
        (numpy.full((2, 4, 4, 1), numpy.nan), "finite values, received 32 that are NaN or infinite"),
        (numpy.array([[1.0, 2, numpy.inf, 4]]), "finite values, received 1 that are NaN or infinite"),
        (numpy.full((2, 4), "ink"), "numbers, received values of type <U3"),
        (numpy.zeros((2, 4), dtype=complex), "numbers, received values of type complex128"),
    ],
    ids=["no rows", "NaN", "infinity", "strings", "complex"],
)
def test_what_cannot_be_shown_is_refused_in_a_sentence(x, message):
    for operation, function in (("images", plotting.images), ("Shades.of", Shades.of)):
        with pytest.raises(InputError, match=f"{operation}: expected {message}"):
            function(x)


def test_rows_that_are_no_squares_need_a_shape(rng):
    rows = rng.random((3, 6), dtype=numpy.float32)
    with pytest.raises(ShapeError, match="image_shape .* of 6 entries"):
        plotting.images(rows)
    with pytest.raises(ShapeError, match=r"received \(2, 2\)"):
        plotting.images(rows, (2, 2))
    with pytest.raises(ShapeError, match="fill a square, received rows of 6 numbers"):
        plotting.images(rows, (6,))
    with pytest.raises(ShapeError, match=r"rows \(N, D\), received \(6,\)"):
        plotting.images(rows[0])
    with pytest.raises(ShapeError, match="1 or 3 channels"):
        plotting.images(rng.random((3, 2, 2, 2)))
    assert plotting.images(rows, (2, 3)).axes[0].images[0].get_array().shape[:2] == (4, 6)


def test_image_grid_fills_rows_first():
    images = numpy.arange(5.0).repeat(6).reshape(5, 2, 3, 1)
    picture = plotting.image_grid(images, 3)
    assert picture.shape == (4, 9, 1)
    assert picture[::2, ::3, 0].tolist() == [[0, 1, 2], [3, 4, 0]]
    assert plotting.image_grid(images, 3, empty=9)[2:, 6:].tolist() == [[[9.0]] * 3] * 2


@pytest.mark.parametrize("ink", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_cells_without_an_image_are_white(ink, channels):
    x = numpy.full((3, 2, 2, channels), 0.5)
    pixels = shown(plotting.images(x, shades=Shades(0, 1, ink)))
    numpy.testing.assert_allclose(pixels[2:, 2:], 1)
    numpy.testing.assert_allclose(pixels[:2], 0.5, atol=0.005)
