"""The picture of examples/gradient_variance.py: every estimate, its mean and its spread, in letters to be read."""

from __future__ import annotations

import numpy
from figure_letters import smallest_letters

from pictures.gradient_variance import gradient_variance
from scratchvae.plotting import save_figure


def test_gradient_variance(tmp_path):
    variances = {"score function": [100.0, 50.0], "with baseline": [None, 5.0], "reparameterised": [1.0, 0.5]}
    values = {"score function": numpy.linspace(-9, 9, 50), "reparameterised": numpy.linspace(-1, 1, 50)}
    figure = gradient_variance([1, 2], variances, values)
    scatter, curve = figure.axes
    assert scatter.get_xlabel() == "estimate of one derivative, one sample of z" and not list(scatter.get_yticks())
    assert curve.get_xlabel() == "samples of z" and curve.get_ylabel() == "variance, summed over the encoder"
    assert [line.get_label() for line in curve.lines] == list(variances)
    assert [label.get_text() for label in curve.get_xticklabels()] == ["1", "2"]
    for line in curve.lines:
        assert list(line.get_ydata()) == variances[line.get_label()]
        assert list(line.get_xdata()) == [1, 2]
    assert {text.get_text(): text.get_color() for text in curve.texts} == {
        line.get_label(): line.get_color() for line in curve.lines
    }
    estimates = [line for line in scatter.lines if line.get_marker() == "."]
    for line, (name, part) in zip(estimates, values.items(), strict=True):
        numpy.testing.assert_array_equal(line.get_xdata(), part)
        color, note = line.get_color(), f"{name}\nstandard deviation {part.std(ddof=1):.3g}"
        assert color == next(other.get_color() for other in curve.lines if other.get_label() == name)
        assert note in [text.get_text() for text in scatter.texts if text.get_color() == color]
    means = [line.get_xdata() for line in scatter.lines if line.get_marker() != "."]
    numpy.testing.assert_allclose(means, [[part.mean()] * 2 for part in values.values() for _ in range(2)], atol=1e-12)
    save_figure(figure, tmp_path / "a.png")
    assert smallest_letters(figure)[0] > 13
