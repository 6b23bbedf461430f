"""Curves: which series is which, in which panel, read back from the figures."""

from __future__ import annotations

import numpy
import pytest
from matplotlib.colors import to_hex

from scratchvae import plotting
from scratchvae.errors import InputError

NAMES = ("elbo", "reconstruction", "kl", "active_units")
HISTORY = {
    "epoch": [4, 5, 6],
    "elbo": [-200.0, -150.0, -140.0],
    "reconstruction": [-195.0, -144.0, -133.0],
    "kl": [5.0, 6.0, 7.0],
    "active_units": [2, 2, 3],
}
VALIDATION = {
    "validation_elbo": [-210.0, -160.0, -150.0],
    "validation_reconstruction": [-204.5, -153.5, -142.5],
    "validation_kl": [5.5, 6.5, 7.5],
    "validation_active_units": [3, 8, 9],
}


@pytest.mark.parametrize("validation", [False, True])
def test_training_curves_show_every_series_in_its_panel_and_style(validation):
    figure = plotting.training_curves(HISTORY | (VALIDATION if validation else {}))
    titles = ["ELBO", "reconstruction, $E_q[\\log p(x\\,|\\,z)]$", "KL$(q(z\\,|\\,x)\\,\\|\\,p(z))$", "active units"]
    assert [axes.get_title() for axes in figure.axes] == titles
    assert [axes.get_ylabel() for axes in figure.axes] == ["nats per datapoint"] * 3 + ["units"]
    assert [axes.get_xlabel() for axes in figure.axes[2:]] == ["epoch"] * 2
    styles = set()
    for axes, name in zip(figure.axes, NAMES, strict=True):
        lines = {line.get_label(): line for line in axes.lines}
        assert list(lines) == ["training", "validation"][: 1 + validation]
        for label, line in lines.items():
            series = HISTORY[name] if label == "training" else VALIDATION[f"validation_{name}"]
            assert list(line.get_xdata()) == [4, 5, 6] and list(line.get_ydata()) == series
            assert axes.get_ylim()[0] <= min(series) and max(series) <= axes.get_ylim()[1]
            styles.add((label, to_hex(line.get_color()), line.get_linestyle()))
    assert len(styles) == 1 + validation and len({look for _, *look in styles for look in [tuple(look)]}) == len(styles)
    legend = figure.axes[0].get_legend()
    assert (legend is not None) == validation
    if validation:
        shown = {
            (t.get_text(), to_hex(h.get_color()), h.get_linestyle())
            for t, h in zip(legend.get_texts(), legend.legend_handles, strict=True)
        }
        assert shown == styles


def test_one_epoch_is_a_point(tmp_path):
    figure = plotting.training_curves({name: values[:1] for name, values in HISTORY.items()})
    plotting.save_figure(figure, tmp_path / "a.png")
    assert all(line.get_marker() == "." for axes in figure.axes for line in axes.lines)


@pytest.mark.parametrize("history", [{}, {name: [] for name in HISTORY}])
def test_a_history_without_epochs_is_refused(history):
    with pytest.raises(InputError, match="training_curves: expected a history of at least one epoch, received none"):
        plotting.training_curves(history)


def test_label_curve_has_every_methods_errors_and_intervals():
    results = [
        {"method": "M2", "labels": 1000, "error": 4.0, "half": 0.5},
        {"method": "M2", "labels": 100, "error": 9.0, "half": 2.0},
        {"method": "labels alone", "labels": 100, "error": 25.0, "half": 3.0},
    ]
    (axes,) = plotting.label_curve(results).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["M2", "labels alone"]
    expected = {"M2": ([100, 1000], [9, 4], [2, 0.5]), "labels alone": ([100], [25], [3])}
    for container, handle in zip(axes.containers, axes.get_legend().legend_handles, strict=True):
        sizes, errors, halves = expected[container.get_label()]
        line, _, (bars,) = container.lines
        numpy.testing.assert_allclose(line.get_xdata(), sizes, rtol=0.05)
        assert list(line.get_ydata()) == errors
        numpy.testing.assert_allclose(
            [bar[:, 1] for bar in bars.get_segments()], [[e - h, e + h] for e, h in zip(errors, halves, strict=True)]
        )
        assert to_hex(handle.get_color()[0]) == to_hex(line.get_color())
    m2, alone = (container.lines[0].get_xdata()[0] for container in axes.containers)
    assert m2 < alone  # so that their intervals stand side by side
    assert axes.get_xscale() == "log" and axes.get_ylim()[0] == 0
    assert axes.get_xlabel() == "training images with a label" and axes.get_ylabel() == "test error, percent"
    ticks = dict(zip(axes.get_xticks(), (label.get_text() for label in axes.get_xticklabels()), strict=True))
    assert ticks == {100: "100", 1000: "1,000"}


def test_label_curve_without_results_is_refused():
    with pytest.raises(InputError, match="label_curve: expected at least one result, received none"):
        plotting.label_curve([])
