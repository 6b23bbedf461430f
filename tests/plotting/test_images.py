"""Images, and what a model makes of them: which image stands where, read back from the figures."""

from __future__ import annotations

import numpy
import pytest
from matplotlib import colormaps

import scratchvae as sv
from scratchvae import plotting
from scratchvae.errors import InputError
from scratchvae.plotting import Shades


@pytest.fixture
def x(rng) -> numpy.ndarray:
    return rng.random((30, 4, 4, 1), dtype=numpy.float32)


@pytest.fixture
def model() -> sv.VAE:
    return sv.VAE.mlp(16, 2, hidden=(6,))


@pytest.fixture
def model_of_classes() -> sv.SemiSupervisedVAE:
    return sv.SemiSupervisedVAE.mlp(16, 3, 2, (8,))


def cells(axes, size: int = 4) -> numpy.ndarray:
    """The images in a picture of one channel, as rows and columns.   -> (rows, columns, size, size)"""
    picture = numpy.asarray(axes.images[0].get_array()).squeeze()
    rows, columns = (length // size for length in picture.shape)
    return picture.reshape(rows, size, columns, size).swapaxes(1, 2)


def named_places(axis) -> dict[str, float]:
    """What is written along an axis -> where."""
    return {
        label.get_text(): place for place, label in zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=True)
    }


def test_images_stand_row_by_row(x):
    (axes,) = plotting.images(x[:8]).axes
    numpy.testing.assert_array_equal(cells(axes).reshape(9, 4, 4)[:8], x[:8, :, :, 0])


def test_coloured_images_keep_their_colours(rng):
    coloured = rng.random((4, 5, 5, 3))
    for shades in (None, Shades(0, 1, ink=True)):
        picture = plotting.images(coloured, shades=shades).axes[0].images[0].get_array()
        numpy.testing.assert_array_equal(picture[:5, 5:], coloured[1])


def test_samples_are_the_models_of_that_seed(model):
    (axes,) = plotting.samples(model, n=9, seed=3).axes
    numpy.testing.assert_array_equal(cells(axes).reshape(9, 16), model.sample(9, seed=3))


def test_reconstructions_stand_below_the_originals(model, x):
    (axes,) = plotting.reconstructions(model, x, n=7).axes
    assert named_places(axes.yaxis) == {"original": 1.5, "reconstruction": 0.5}
    assert axes.images[0].get_extent() == [0, 7, 0, 2] and axes.images[0].origin == "upper"
    numpy.testing.assert_array_equal(cells(axes)[0], x[:7, :, :, 0])
    numpy.testing.assert_allclose(cells(axes)[1], model.reconstruct(x[:7])[..., 0], rtol=1e-5)


def test_a_single_row_is_reconstructed(model, x):
    (axes,) = plotting.reconstructions(model, x[:1]).axes
    assert cells(axes).shape[:2] == (2, 1)
    with pytest.raises(InputError, match="images: expected at least one row"):
        plotting.reconstructions(model, x[:0])


def test_uncertainty_shows_the_image_its_mean_and_its_standard_deviation(rng):
    model = sv.VAE.convolutional((4, 4, 3), 2, (2,), likelihood="gaussian", std="decoder")
    x = rng.random((5, 4, 4, 3), dtype=numpy.float32)
    axes, scale = plotting.uncertainty(model, x, n=3).axes
    assert named_places(axes.yaxis) == {"image $x$": 2.5, "mean of $p(x\\,|\\,z)$": 1.5, "standard\ndeviation": 0.5}
    picture = axes.images[0].get_array()
    assert picture.shape == (12, 12, 3)
    numpy.testing.assert_allclose(picture[:4, 4:8], x[1], rtol=1e-6)
    likelihood = model.decode(model.encode(x[:3]).mean)
    numpy.testing.assert_allclose(picture[4:8, 4:8], numpy.clip(likelihood.mean[1], 0, 1), rtol=1e-4, atol=1e-6)
    std = likelihood.std.mean(axis=-1)
    expected = colormaps["magma"](numpy.concatenate(list(std), axis=1) / std.max())[..., :3]
    numpy.testing.assert_allclose(picture[8:], expected, atol=0.02)
    assert scale.get_ylim() == pytest.approx((0, std.max())) and scale.get_ylabel() == "standard deviation"


def test_uncertainty_of_one_channel_has_the_polarity_of_the_data(rng):
    model = sv.VAE.convolutional((4, 4, 1), 2, (2,), likelihood="gaussian", std="decoder")
    x = rng.random((3, 4, 4, 1), dtype=numpy.float32)
    for ink in (False, True):
        picture = plotting.uncertainty(model, x, shades=Shades(0, 2, ink)).axes[0].images[0].get_array()
        expected = 1 - x[1, :, :, 0] / 2 if ink else x[1, :, :, 0] / 2
        numpy.testing.assert_allclose(picture[:4, 4:8, 0], expected, rtol=1e-6)


def test_uncertainty_needs_a_standard_deviation_for_each_pixel(model, x):
    with pytest.raises(InputError, match='uncertainty: expected a Gaussian likelihood with std="decoder", received'):
        plotting.uncertainty(model, x)


def test_class_conditional_samples_stand_below_their_class(model_of_classes):
    model = model_of_classes
    (axes,) = plotting.class_conditional(model, n=4, seed=2).axes
    assert named_places(axes.xaxis) == {"0": 0.5, "1": 1.5, "2": 2.5}
    assert axes.images[0].get_extent() == [0, 3, 0, 4]
    z = model.prior_draws(4, 2)
    for row in range(4):
        for k in range(3):
            expected = model.decode(z[row : row + 1], numpy.array([k])).mean.reshape(4, 4)
            numpy.testing.assert_allclose(cells(axes)[row, k], expected, rtol=1e-5)


def test_analogies_stand_beside_their_source(model_of_classes, x):
    model, y = model_of_classes, numpy.array([0, 1, 2, 0, 1])
    for labels in (y, None):
        sources, transferred = plotting.analogies(model, x[:5], labels).axes
        assert sources.get_position().x1 <= transferred.get_position().x0
        assert named_places(sources.xaxis) == {"x": 0.5}
        assert named_places(transferred.xaxis) == {"0": 0.5, "1": 1.5, "2": 2.5}
        numpy.testing.assert_array_equal(cells(sources)[:, 0], x[:5, :, :, 0])
        expected = model.analogies(x[:5], labels).reshape(5, 3, 4, 4)
        numpy.testing.assert_allclose(cells(transferred), expected, rtol=1e-5)
    swapped = model.analogies(x[:5], y)[:, ::-1].reshape(5, 3, 4, 4)
    assert abs(expected - swapped).max() > 1e-3  # another class is another image


@pytest.mark.parametrize("picture", [plotting.class_conditional, lambda model: plotting.analogies(model, None)])
def test_classes_are_needed(picture, model):
    with pytest.raises(InputError, match="expected a model with classes, received VAE"):
        picture(model)


# ---- one look for all pictures of a data set

PICTURES = {
    "images": lambda model, x, **shades: plotting.images(x, **shades),
    "samples": lambda model, x, **shades: plotting.samples(model, 4, **shades),
    "reconstructions": lambda model, x, **shades: plotting.reconstructions(model, x, 3, **shades),
    "manifold": lambda model, x, **shades: plotting.decoder_manifold(model, n=3, **shades),
    "traversal": lambda model, x, **shades: plotting.attribute_traversal(
        model, numpy.zeros(2, dtype="f4"), {"v": numpy.ones(2, dtype="f4")}, **shades
    ),
    "interpolation": lambda model, x, **shades: plotting.interpolation(
        model, numpy.eye(2, dtype="f4")[:1], numpy.eye(2, dtype="f4")[1:], **shades
    ),
    "sweep": lambda model, x, **shades: plotting.unit_sweep(model, numpy.zeros(2, dtype="f4"), [0], **shades),
    "classes": lambda model, x, **shades: plotting.class_conditional(with_classes(), 2, **shades),
    "analogies": lambda model, x, **shades: plotting.analogies(with_classes(), x[:2], **shades),
}


def with_classes() -> sv.SemiSupervisedVAE:
    return sv.SemiSupervisedVAE.mlp(16, 3, 2, (8,))


@pytest.mark.parametrize("name", PICTURES)
def test_every_picture_takes_the_shades_of_the_data(name, model, x):
    for shades in (Shades(0, 1, ink=True), Shades(-1, 3, ink=False), Shades(-1, 3, ink=True)):
        figure = PICTURES[name](model, x, shades=shades)
        for axes in figure.axes:
            assert axes.images[0].get_clim() == (shades.low, shades.high)
            assert axes.images[0].get_cmap().name == ("gray_r" if shades.ink else "gray")
        note = f"-1 is {'white' if shades.ink else 'black'}, 3 is {'black' if shades.ink else 'white'}"
        assert figure.get_supxlabel() == ("" if shades.low == 0 else note)


@pytest.mark.parametrize("name", sorted(PICTURES.keys() - {"images", "reconstructions", "classes", "analogies"}))
@pytest.mark.parametrize("brightness", [0.02, 0.25, 0.9])
def test_without_data_all_pictures_of_a_model_look_alike(name, brightness, model, x):
    """Whatever its mean, no picture is the negative of another."""
    model.decoder.network.layers[-1].bias.data[...] = numpy.log(brightness / (1 - brightness))
    (axes,) = PICTURES[name](model, x).axes
    assert axes.images[0].get_cmap().name == ("gray_r" if brightness == 0.02 else "gray")


@pytest.mark.parametrize(
    "picture",
    [
        lambda model, x: plotting.decoder_manifold(model, n=3),
        lambda model, x: plotting.latent_scatter(model, x),
        lambda model, x: plotting.reconstructions(model, x),
        lambda model, x: plotting.samples(model, n=4),
        lambda model, x: plotting.class_conditional(with_classes().to(model.device)),
        lambda model, x: plotting.analogies(with_classes().to(model.device), x, numpy.arange(30) % 3),
        lambda model, x: plotting.unit_sweep(model, numpy.zeros(2, dtype="f4"), [0]),
    ],
    ids=["decoder_manifold", "latent_scatter", "reconstructions", "samples", "classes", "analogies", "sweep"],
)
def test_pictures_are_made_wherever_the_model_lies(picture, device, model, x, tmp_path):
    plotting.save_figure(picture(model.to(device), x), tmp_path / "figure.png")
