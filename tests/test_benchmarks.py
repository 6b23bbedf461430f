"""The benchmarks run: what they time is this package's code of today."""

import sys
from pathlib import Path

import numpy
import pytest

sys.path.append(str(Path(__file__).parents[1]))
from benchmarks import iwae, linear, step


@pytest.mark.parametrize("name", ["engine", "numpy_by_hand"])
def test_a_timed_step(name, rng):
    x, e = rng.random((128, 784), dtype=numpy.float32), rng.standard_normal((128, 20), dtype=numpy.float32)
    for timed in getattr(step, name)(x, e):
        timed()


def test_the_linear_models_that_are_timed_agree(rng):
    """What both sides fit is the same problem."""
    pytest.importorskip("sklearn")
    x, y = rng.standard_normal((60, 12)), numpy.arange(60) % 3
    fitted = {model: {whose: fit() for whose, fit in pair.items()} for model, pair in linear.problems(x, y).items()}
    for model, attribute in (("PCA", "components_"), ("logistic regression", "coef_")):
        ours, theirs = (getattr(part, attribute) for part in fitted[model].values())
        numpy.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)
    numpy.testing.assert_allclose(*fitted["naive Bayes"].values(), rtol=1e-6)
    numpy.testing.assert_allclose(*fitted["PPCA"].values(), rtol=0.05)  # theirs divides by N - 1


def test_the_schedule_of_iwae(rng):
    """Stage i at 1e-3 * 10^(-i/7) for 3^i epochs."""
    assert [iwae.epochs(stages) for stages in (1, 2, 3, 8)] == [1, 4, 13, 3280]
    rates = [iwae.learning_rate(epoch * 10, 10) for epoch in range(13)]
    numpy.testing.assert_allclose(rates, 1e-3 * 10.0 ** (-numpy.repeat([0, 1, 2], [1, 3, 9]) / 7))
    images = rng.random((60, 784), dtype=numpy.float32)
    model = iwae.initial_model(images, seed=0)
    bias = model.decoder.network.layers[-1].bias.data
    numpy.testing.assert_allclose(1 / (1 + numpy.exp(-bias)), images.mean(axis=0), rtol=1e-4)
    assert iwae.fit(model, images, "iwae", 5, 1, 0) is model
