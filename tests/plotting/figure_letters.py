"""How small the letters of a figure are on a slide."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.text import Text

SLIDE = 1000  # pixels


def smallest_letters(figure: Figure) -> tuple[float, str]:
    """The pixels of one em of the smallest text when the figure is 1,000 pixels wide, and that text.

    The figure must have been drawn, as `save_figure` does; exponents and other small parts of formulas are not counted.
    """
    shown = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    size, text = min((text.get_fontsize(), text.get_text()) for text in shown)
    return size / 72 * SLIDE / figure.get_figwidth(), text
