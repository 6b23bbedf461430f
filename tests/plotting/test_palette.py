"""The colours of the figures: colour-blind readers tell them apart, and letters on them can be read."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy
import pytest
from figure_letters import smallest_letters
from matplotlib.colors import to_rgb

import scratchvae
from scratchvae import plotting
from scratchvae.plotting.canvas import BLUE, CLASS_COLOURS, GREEN, GREY, ORANGE, letters_on

VISIONS = {  # linear red, green and blue -> what is seen; Machado, Oliveira & Fernandes (2009), table 1, severity 1
    "all colours": numpy.eye(3),
    "no red cones": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green cones": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "no blue cones": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
TAB10 = "#1f77b4 #ff7f0e #2ca02c #d62728 #9467bd #8c564b #e377c2 #7f7f7f #bcbd22 #17becf".split()


def linear(color: str) -> numpy.ndarray:
    parts = numpy.array(to_rgb(color))
    return numpy.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def lab(rgb: numpy.ndarray) -> numpy.ndarray:
    """CIELAB's lightness, red against green and yellow against blue, of linear red, green and blue; white as D65."""
    ratio = TO_XYZ @ rgb / (0.95047, 1, 1.08883)
    x, y, z = numpy.where(ratio > (6 / 29) ** 3, numpy.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    return numpy.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def smallest_distance(colors, vision: str) -> float:
    """Between the two that are seen as most alike, in units of CIELAB; 2.3 of them are just noticed."""
    seen = [lab(numpy.clip(VISIONS[vision] @ linear(color), 0, 1)) for color in colors]
    return min(float(numpy.linalg.norm(a - b)) for a, b in combinations(seen, 2))


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("colors", [CLASS_COLOURS, (BLUE, ORANGE, GREEN, GREY)], ids=["classes", "lines"])
def test_every_reader_tells_two_colours_apart(colors, vision):
    assert smallest_distance(colors, vision) > 15


def test_the_measure_refuses_colours_that_colour_blind_readers_confuse():
    assert smallest_distance(TAB10, "all colours") > 25
    assert smallest_distance(TAB10, "no red cones") < 5


def test_lightness_is_that_of_the_standard():
    """CIE 15: white is 100, 0, 0; sRGB's red is 53.24, 80.09, 67.20."""
    numpy.testing.assert_allclose(lab(linear("white")), [100, 0, 0], atol=0.02)
    numpy.testing.assert_allclose(lab(linear("#ff0000")), [53.24, 80.09, 67.20], atol=0.02)


def test_letters_on_a_colour_can_be_read():
    """A contrast of 4.5 and more, as WCAG 2 asks of text."""
    assert (letters_on("black"), letters_on("white")) == ("white", "black")
    for color in (*CLASS_COLOURS, BLUE, ORANGE, GREEN, GREY):
        ground, ink = ((0.2126, 0.7152, 0.0722) @ linear(c) + 0.05 for c in (color, letters_on(color)))
        assert max(ground / ink, ink / ground) > 4.5, color


def test_the_explorer_has_the_colours_of_the_figures():
    text = (Path(scratchvae.__file__).parent / "explorer" / "map.js").read_text(encoding="utf-8")
    palette = re.search(r"const PALETTE = \[(.*?)\]", text, re.DOTALL)
    assert tuple(re.findall(r'"(#\w+)"', palette[1])) == CLASS_COLOURS


def test_the_smallest_letters_are_measured_on_a_slide(tmp_path):
    """10 points are 10 / 72 inches: of 1,000 pixels on 5 inches 27.8."""
    history = {"epoch": [1, 2], "elbo": [-3.0, -2.0]}
    figure = plotting.run_curves({"run": history})
    figure.set_figwidth(5)
    plotting.save_figure(figure, tmp_path / "a.png")
    assert smallest_letters(figure)[0] == pytest.approx(10 / 72 * 200)
    figure.axes[0].text(1, -3, "note", fontsize=3)
    assert smallest_letters(figure) == (pytest.approx(3 / 72 * 200), "note")
