"""Figures: the right panels, labels and points, drawn without pyplot, from models on any device."""

from __future__ import annotations

import subprocess
import sys

import numpy
import pytest
from matplotlib import colormaps
from scipy.special import ndtr

import scratchvae as sv
from scratchvae import latent_space, plotting
from scratchvae.errors import InputError, ShapeError

HISTORY = {
    "epoch": [1, 2, 3],
    "elbo": [-200.0, -150.0, -140.0],
    "reconstruction": [-195.0, -144.0, -133.0],
    "kl": [5.0, 6.0, 7.0],
    "active_units": [2, 2, 2],
}
RESULTS = [
    {
        "latent_size": k,
        "log_likelihood": -140.0 + k,
        "log_likelihood_standard_error": 0.7,
        "elbo": -143.0 + k,
        "kl": 6.0 + k,
        "active_units": min(k, 15),
    }
    for k in (20, 2, 50)
]


def small_model(latent_size: int = 2) -> sv.VAE:
    return sv.VAE.mlp(16, latent_size, hidden=(6,))


@pytest.fixture
def x(rng) -> numpy.ndarray:
    return rng.random((30, 4, 4, 1), dtype=numpy.float32)


def texts(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


@pytest.mark.parametrize("name", ["a.png", "folder/a.png", "a.pdf", "a.svg"])
def test_save_figure_writes_what_the_suffix_says(name, tmp_path):
    plotting.save_figure(plotting.training_curves(HISTORY), tmp_path / name)
    signature = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[name[-3:]]
    assert (tmp_path / name).read_bytes().startswith(signature)


def test_save_figure_writes_png_without_a_suffix(tmp_path):
    plotting.save_figure(plotting.training_curves(HISTORY), tmp_path / "curves")
    assert (tmp_path / "curves.png").exists()


def test_neither_the_package_nor_plotting_touches_pyplot():
    code = (
        "import sys, scratchvae; assert 'matplotlib' not in sys.modules\n"
        "import scratchvae.plotting; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_image_grid_fills_rows_first():
    images = numpy.arange(5.0).repeat(6).reshape(5, 2, 3, 1)
    picture = plotting.image_grid(images, 3)
    assert picture.shape == (4, 9, 1)
    assert picture[::2, ::3, 0].tolist() == [[0, 1, 2], [3, 4, 0]]


def test_latent_grid_is_even_under_the_prior():
    z = plotting.latent_grid(4)
    assert z.shape == (4, 4, 2) and z.dtype == numpy.float32
    numpy.testing.assert_allclose(ndtr(z[0, :, 0]), [0.125, 0.375, 0.625, 0.875], rtol=1e-6)
    numpy.testing.assert_allclose(ndtr(z[:, 0, 1]), [0.875, 0.625, 0.375, 0.125], rtol=1e-6)


def test_decoder_manifold_has_each_mean_where_the_axes_say():
    model = small_model()
    (axes,) = plotting.decoder_manifold(model, n=5).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$z_1$", "$z_2$")
    ticks = {label.get_text(): place for place, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)}
    numpy.testing.assert_allclose([ticks["$0$"], ticks["$-1$"]], [0.5, ndtr(-1)])
    lower_left = numpy.float32([[plotting.latent_grid(5)[0, 0, 0]] * 2])
    assert (lower_left < -1).all()
    picture = axes.images[0].get_array().reshape(20, 20)
    numpy.testing.assert_allclose(picture[16:, :4], model.decode(lower_left).mean.reshape(4, 4), rtol=1e-5)


def test_decoder_manifold_needs_two_dimensions():
    with pytest.raises(InputError, match="expected a 2-D latent space, received a 3-D one"):
        plotting.decoder_manifold(small_model(3))


def test_rows_that_are_no_squares_need_a_shape(rng):
    rows = rng.random((3, 6), dtype=numpy.float32)
    with pytest.raises(ShapeError, match="image_shape .* of 6 entries"):
        plotting.images(rows)
    with pytest.raises(ShapeError, match=r"received \(2, 2\)"):
        plotting.images(rows, (2, 2))
    with pytest.raises(ShapeError, match=r"received \(2, 2\)"):
        plotting.images(rows, (6,))
    assert plotting.images(rows, (2, 3)).axes[0].images[0].get_array().shape[:2] == (4, 6)


def test_mostly_dark_images_are_ink_on_paper_and_colours_stay(rng):
    dark, bright = numpy.full((4, 5, 5, 1), 0.1), numpy.full((4, 5, 5, 1), 0.9)
    assert plotting.images(dark).axes[0].images[0].get_cmap().name == "gray_r"
    assert plotting.images(bright).axes[0].images[0].get_cmap().name == "gray"
    coloured = rng.random((4, 5, 5, 3))
    numpy.testing.assert_array_equal(plotting.images(coloured).axes[0].images[0].get_array()[:5, :5], coloured[0])


def rows_and_columns(figure) -> tuple[list[str], list[str]]:
    (axes,) = figure.axes
    columns = [label.get_text() for label in axes.get_xticklabels()]
    return [label.get_text() for label in axes.get_yticklabels()], columns


def test_attribute_traversal_decodes_what_lies_along_each_direction(rng):
    model, z = small_model(3), rng.standard_normal(3, dtype=numpy.float32)
    directions = {"a_hat": numpy.float32([1, 0, 0]), "smiling": numpy.float32([0, 2, 0])}
    figure = plotting.attribute_traversal(model, z, directions, amounts=(-1, 0, 0.5))
    assert rows_and_columns(figure) == (["a hat", "smiling"], ["-1", "z", "+0.5"])
    picture = figure.axes[0].images[0].get_array().reshape(8, 12)
    for row, column, point in ((0, 0, z - [1, 0, 0]), (1, 1, z), (1, 2, z + [0, 1, 0])):
        expected = model.decode(point[None].astype(numpy.float32)).mean.reshape(4, 4)
        cell = picture[4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        numpy.testing.assert_allclose(cell, expected, rtol=1e-5)


def test_interpolation_has_a_line_and_an_arc_for_each_pair(rng):
    model, z = small_model(3), rng.standard_normal((4, 3), dtype=numpy.float32)
    figure = plotting.interpolation(model, z[:2], z[2:], n=3)
    assert rows_and_columns(figure) == (["line", "arc"] * 2, ["0", "0.5", "1"])
    picture = figure.axes[0].images[0].get_array().reshape(16, 12)
    ends = model.decode(z[[0, 2]]).mean.reshape(2, 4, 4)
    for row in (0, 4):
        numpy.testing.assert_allclose(picture[row : row + 4, :4], ends[0], rtol=1e-5)
        numpy.testing.assert_allclose(picture[row : row + 4, 8:], ends[1], rtol=1e-5)
    for row, interpolate in enumerate((latent_space.linear_interpolation, latent_space.spherical_interpolation)):
        middle = model.decode(interpolate(z[:1], z[2:3], 3)[:, 1]).mean.reshape(4, 4)
        numpy.testing.assert_allclose(picture[4 * row : 4 * row + 4, 4:8], middle, rtol=1e-6)
    assert abs(picture[:4, 4:8] - picture[4:8, 4:8]).max() > 1e-3


def test_uncertainty_shows_the_image_its_mean_and_its_standard_deviation(rng):
    model = sv.VAE.convolutional((4, 4, 3), 2, (2,), likelihood="gaussian", std="decoder")
    x = rng.random((5, 4, 4, 3), dtype=numpy.float32)
    axes, scale = plotting.uncertainty(model, x, n=3).axes
    picture = axes.images[0].get_array()
    assert picture.shape == (12, 12, 3)
    numpy.testing.assert_allclose(picture[:4, 4:8], x[1], rtol=1e-6)
    likelihood = model.decode(model.encode(x[:3]).mean)
    numpy.testing.assert_allclose(picture[4:8, 4:8], numpy.clip(likelihood.mean[1], 0, 1), rtol=1e-4, atol=1e-6)
    std = likelihood.std.mean(axis=-1)
    expected = colormaps["magma"](numpy.concatenate(list(std), axis=1) / std.max())[..., :3]
    numpy.testing.assert_allclose(picture[8:], expected, atol=0.02)
    assert scale.get_ylim() == pytest.approx((0, std.max()))
    with pytest.raises(InputError, match='uncertainty: expected a Gaussian likelihood with std="decoder", received'):
        plotting.uncertainty(small_model(), x)


def test_rows_of_images_are_rows_of_points():
    model, z = small_model(3), numpy.zeros(3, dtype=numpy.float32)
    with pytest.raises(ShapeError, match="rows of 7 points of 3 units, received none"):
        plotting.attribute_traversal(model, z, {})
    with pytest.raises(ShapeError, match=r"rows of 7 points of 3 units, received \(1, 7, 3\)"):
        plotting.unit_sweep(model, z[None], [0])


def test_unit_sweep_sets_one_unit_at_a_time(rng):
    model, z = small_model(3), rng.standard_normal(3, dtype=numpy.float32)
    figure = plotting.unit_sweep(model, z, [2, 0], values=(-1, 4))
    assert rows_and_columns(figure) == (["$z_{3}$", "$z_{1}$"], ["-1", "4"])
    picture = figure.axes[0].images[0].get_array().reshape(8, 8)
    expected = model.decode(numpy.float32([[z[0], z[1], 4], [-1, z[1], z[2]]])).mean.reshape(2, 4, 4)
    numpy.testing.assert_allclose(picture[:4, 4:], expected[0], rtol=1e-5)
    numpy.testing.assert_allclose(picture[4:, :4], expected[1], rtol=1e-5)


def test_latent_scatter_has_every_label_in_the_legend_and_beside_its_points(x):
    labels = numpy.arange(30) % 3
    figure = plotting.latent_scatter(small_model(), x, labels)
    legend = figure.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["0", "1", "2"]
    assert texts(figure) == ["0", "1", "2"]
    assert sum(len(points.get_offsets()) for points in figure.axes[0].collections) == 30


def test_latent_scatter_without_labels_has_no_legend(x):
    assert plotting.latent_scatter(small_model(), x).axes[0].get_legend() is None


def test_latent_scatter_takes_at_most_5000_rows_from_all_over_the_data(rng):
    x = rng.random((12_001, 16), dtype=numpy.float32)
    (axes,) = plotting.latent_scatter(small_model(), x, numpy.arange(12_001) // 4001).axes
    counts = [len(points.get_offsets()) for points in axes.collections]
    assert sum(counts) == 4001 and min(counts) > 1300


def test_latent_scatter_names_the_two_units_that_vary_most(x):
    model = small_model(5)
    variances = model.encode(x).mean.var(axis=0)
    first, second = sorted(numpy.argsort(variances)[-2:])
    (axes,) = plotting.latent_scatter(model, x).axes
    assert f"z_{{{first + 1}}}" in axes.get_xlabel() and f"z_{{{second + 1}}}" in axes.get_ylabel()
    assert "of 5 units" in axes.get_xlabel() and f"{variances[first]:.2g}" in axes.get_xlabel()
    with pytest.raises(InputError, match="at least two latent units, received 1"):
        plotting.latent_scatter(small_model(1), x)


def test_reconstructions_stand_below_the_originals(x):
    model = small_model()
    (axes,) = plotting.reconstructions(model, x, n=7).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["original", "reconstruction"]
    picture = axes.images[0].get_array().reshape(8, 28)
    numpy.testing.assert_array_equal(picture[:4, 4:8], x[1, :, :, 0])
    numpy.testing.assert_allclose(picture[4:, 4:8], model.reconstruct(x[:7])[1, :, :, 0], rtol=1e-5)


def test_samples_are_the_models():
    model = small_model()
    picture = plotting.samples(model, n=9, seed=3).axes[0].images[0].get_array()
    numpy.testing.assert_array_equal(picture[:4, :4].ravel(), model.sample(9, seed=3)[0])


def test_latent_comparison_has_the_captions_of_the_deck():
    figure = plotting.latent_comparison({k: small_model(k) for k in (2, 5, 10)}, n=9)
    captions = [axes.get_xlabel() for axes in figure.axes]
    assert captions == ["(a) 2-D latent space", "(b) 5-D latent space", "(c) 10-D latent space"]


@pytest.mark.parametrize("validation", [False, True])
def test_training_curves(validation):
    history = HISTORY | ({f"validation_{name}": HISTORY[name] for name in HISTORY} if validation else {})
    figure = plotting.training_curves(history)
    assert [axes.get_ylabel() for axes in figure.axes] == ["nats per datapoint"] * 3 + ["units"]
    assert [axes.get_xlabel() for axes in figure.axes[2:]] == ["epoch"] * 2
    assert {len(axes.lines) for axes in figure.axes} == {1 + validation}
    assert (figure.axes[0].get_legend() is not None) == validation


def test_latent_size_curve_is_in_order_with_error_bars():
    figure = plotting.latent_size_curve(RESULTS)
    assert [axes.get_xlabel() for axes in figure.axes] == ["latent units K"] * 3
    assert [axes.get_ylabel() for axes in figure.axes] == ["nats per datapoint", "nats per datapoint", "units"]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["2", "20", "50"]
    (container,) = figure.axes[0].containers
    assert container.lines[0].get_xdata().tolist() == [2, 20, 50]
    assert container.has_yerr


@pytest.mark.parametrize(
    "draw",
    [
        lambda model, x: plotting.decoder_manifold(model, n=3),
        lambda model, x: plotting.latent_scatter(model, x),
        lambda model, x: plotting.reconstructions(model, x),
        lambda model, x: plotting.samples(model, n=4),
    ],
    ids=["decoder_manifold", "latent_scatter", "reconstructions", "samples"],
)
def test_a_model_is_drawn_wherever_it_lies(draw, device, x, tmp_path):
    plotting.save_figure(draw(small_model().to(device), x), tmp_path / "figure.png")


@pytest.fixture
def graph(rng):
    w, b = sv.Tensor(rng.random((3, 2))), sv.Tensor(rng.random(2))
    data = rng.random((5, 3))
    loss = sv.ops.sum(sv.ops.square(sv.ops.tanh(sv.ops.affine(data, w, b))[:, 1] * 2.0 - numpy.ones(5)))
    return plotting.graph(loss, {"parameters": {"w": w, "b": b}, "data": {"x": data}})


def test_graph_names_every_node_with_its_shape(graph):
    assert set(texts(graph)) == {
        "w  (3, 2)",
        "b  (2,)",
        "x  (5, 3)",
        "affine  (5, 2)",
        "tanh  (5, 2)",
        "getitem(·, :, 1)  (5,)",
        "multiply(·, 2)  (5,)",
        "subtract(·, 1)  (5,)",
        "square  (5,)",
        "sum  ()",
    }
    legend = [text.get_text() for text in graph.legends[0].get_texts()]
    assert legend == ["parameters", "data", "primitives", "loss"]


def test_graph_flows_downwards_and_no_boxes_overlap(rng):
    model = small_model()
    loss = -sv.ops.mean(model.elbo(rng.random((3, 16), dtype=numpy.float32), sv.Noise(0)))
    (axes,) = plotting.graph(loss, {"parameters": model.named_parameters()}).axes
    boxes = [patch.get_window_extent() for patch in axes.patches if hasattr(patch, "get_boxstyle")]
    arrows = [patch.get_path() for patch in axes.patches if hasattr(patch, "get_arrowstyle")]
    assert len(boxes) == len(axes.texts) == 41
    assert len(arrows) == 44
    assert all(arrow.vertices[0, 1] == arrow.vertices[:, 1].max() for arrow in arrows)
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_graph_needs_a_result(rng):
    for loss in (rng.random(3), sv.Tensor(rng.random(3))):
        with pytest.raises(InputError, match="graph: expected a Tensor that was computed from others"):
            plotting.graph(loss, {})


def test_posterior_contours():
    """One panel for each row, the contours of the exact posterior, an ellipse for each Gaussian of the right size."""
    from scratchvae.checks.exact_models import as_vae, gaussian_rows
    from scratchvae.linear import PPCA
    from scratchvae.quadrature import exact_posterior

    rows = gaussian_rows(n=30, d=9)
    ppca = PPCA(2).fit(rows)
    model, n = as_vae(ppca), 3
    posteriors = [exact_posterior(model, rows[i : i + 1]) for i in range(n)]
    approximations = [{"exact": model.encode(rows[i : i + 1])} for i in range(n)]
    figure = plotting.posterior_contours(rows[:n], posteriors, approximations, ["first", "second", "third"], "all")
    assert [axes.get_title() for axes in figure.axes[:n]] == ["first", "second", "third"]
    ellipse = figure.axes[0].lines[0].get_xydata()
    q = approximations[0]["exact"]
    radius = numpy.sqrt((((ellipse - q.mean[0]) / q.std) ** 2).sum(axis=1))
    numpy.testing.assert_allclose(radius, numpy.sqrt(-2 * numpy.log(0.1)), rtol=1e-9)
    for mass, path in zip((0.99, 0.9, 0.5), figure.axes[0].collections[-1].get_paths(), strict=True):
        radius = numpy.sqrt((((path.vertices - q.mean[0]) / q.std) ** 2).sum(axis=1))
        numpy.testing.assert_allclose(radius, numpy.sqrt(-2 * numpy.log(1 - mass)), rtol=0.05)
    pair = plotting.posterior_contours(rows[:n], posteriors, approximations, "123", "all", "p(z|x, y)", together=2)
    limits = [[axes.get_xlim() for axes in panels.axes[:n]] for panels in (figure, pair)]
    assert limits[1][0] == limits[1][1] and limits[1][2] == limits[0][2]
    assert all(limits[1][0][0] <= low and high <= limits[1][0][1] for low, high in limits[0][:2])
    assert pair.legends[0].get_texts()[0].get_text() == "exact $p(z|x, y)$: 50, 90, 99 %"


def test_conditional_models(rng):
    """A block of every model's digits with the sources in front, a square of correlations each, and the bounds."""
    x, drawn = rng.random((3, 4, 4, 1)), {name: rng.random((3, 5, 16)) for name in ("one", "many")}
    correlations = {"one": numpy.full((5, 5), 0.8), "many": numpy.eye(5)}
    bounds = {name: {10: (-50.0, 0.5), 1000: (-40.0, 0.4)} for name in ("one", "many", "small")}
    figure = plotting.conditional_models(x, drawn, "slant", correlations, bounds)
    sources, one, many, first, second, curve = figure.axes[:6]
    numpy.testing.assert_array_equal(sources.images[0].get_array()[4:8], x[1, :, :, 0])
    numpy.testing.assert_array_equal(many.images[0].get_array()[4:8, 8:12], drawn["many"][1, 2].reshape(4, 4))
    assert [one.get_title(), many.get_title()] == ["one", "many"]
    assert first.get_title().endswith("0.80") and second.get_title().endswith(" 0.00")
    assert [label.get_text() for label in curve.get_legend().get_texts()] == ["one", "many", "small"]


def test_gradient_variance():
    variances = {"score function": [100.0, 50.0], "with baseline": [None, 5.0], "reparameterised": [1.0, 0.5]}
    values = {"score function": numpy.linspace(-9, 9, 50), "reparameterised": numpy.linspace(-1, 1, 50)}
    figure = plotting.gradient_variance([1, 2], variances, values)
    assert len(figure.axes) == 2 and len(figure.axes[1].lines) == 3
    assert [label.get_text() for label in figure.axes[1].get_legend().get_texts()] == list(variances)
    assert "score function: std 5.3" in figure.axes[0].get_legend().get_texts()[0].get_text()


# ---- linear models


def test_two_classifiers(rng):
    """The boundary of each, the densities of the one that has them, curves by name, and the images."""
    from scratchvae.linear import GaussianNaiveBayes, LogisticRegression

    x, y = rng.standard_normal((40, 2)) + numpy.repeat([[0, 0], [2, 1]], 20, axis=0), numpy.repeat([0, 1], 20)
    models = {"regression": LogisticRegression().fit(x, y), "Bayes": GaussianNaiveBayes(True).fit(x, y)}
    errors = {"regression": [(0.4, 0.1), (0.1, 0.01)], "Bayes": [(0.3, 0.1), (0.2, 0.01)]}
    figure = plotting.two_classifiers(x, y, models, [10, 100], errors, rng.random((3, 10, 4, 4)))
    left, right, curves, drawn = figure.axes
    assert len(right.collections) - len(left.collections) == 2
    boundary = left.collections[1].get_paths()[0].vertices
    numpy.testing.assert_allclose(models["regression"].decision_function(boundary), 0, atol=1e-3)
    assert [text.get_text() for text in curves.get_legend().get_texts()] == ["regression", "Bayes"]
    assert [label.get_text() for label in drawn.get_yticklabels()] == ["a digit", "mean", "draw"]


def test_principal_subspaces(rng):
    """The line goes through the mean along the first axis; a segment from every row to its projection."""
    from scratchvae.linear import PCA

    plane, space = rng.standard_normal((12, 2)) * [3, 1], rng.standard_normal((12, 3)) * [3, 2, 1]
    models = [PCA(1).fit(plane), PCA(2).fit(space)]
    figure = plotting.principal_subspaces(plane, space, models, {"slide": [5.0, 1.0], "cured": [2.0, 1.0]})
    flat, solid, curves = figure.axes
    first = flat.lines[0].get_xydata()
    numpy.testing.assert_allclose(first[0], plane[0])
    assert abs((first[1] - first[0]) @ models[0].components_[0]) < 1e-9
    assert len(flat.lines) == 12 + 3 and len(solid.lines) == 12 + 2
    assert [list(line.get_xdata()) for line in curves.lines] == [[0.5, 1.0]] * 2


def test_generative_view(rng):
    from scratchvae.linear import PPCA

    x = rng.standard_normal((15, 2)) @ [[2, 1], [0.2, 0.4]]
    model = PPCA(1).fit(x)
    projected = (x - model.mean_) @ model.components_.T
    limits = {1.0: projected / 2, 0.5: projected / 1.25, 0.1: projected / 1.01}
    figure = plotting.generative_view(model, x, 1.2, limits)
    circle = figure.axes[1].lines[3].get_xydata() - (model.weight_[:, 0] * 1.2 + model.mean_)
    numpy.testing.assert_allclose((circle**2).sum(axis=1), model.noise_variance_, rtol=1e-9)
    assert f"{abs(projected).max() * (1 - 1 / 1.01):.2g} off" in figure.axes[5].get_title()


def test_dictionaries(rng):
    from scratchvae.linear import NMF, PCA

    x = rng.random((30, 6))
    figure = plotting.dictionaries({"PCA": PCA(3).fit(x), "NMF": NMF(3).fit(x)}, x[:1], (2, 3))
    assert [axes.get_title() for axes in figure.axes[:2]] == ["PCA: B, 3 elements", "NMF: B, 3 elements"]
    picture = figure.axes[0].images[0].get_array()
    element = PCA(3).fit(x).components_[1].reshape(2, 3)
    numpy.testing.assert_allclose(picture[:2, 4:7], element / abs(element).max())
    assert float(figure.axes[5].images[0].get_array()[:, :3].sum()) == pytest.approx(x[0].sum())


def test_latent_planes(rng):
    codes = {"first": rng.standard_normal((20, 2)), "second": rng.standard_normal((20, 2))}
    x = rng.random((4, 3, 3, 1))
    reconstructed = {"first": rng.random((4, 3, 3, 1)), "second": rng.random((4, 3, 3, 1))}
    figure = plotting.latent_planes(codes, numpy.arange(20) % 3, ["error 1", "error 2"], x, reconstructed)
    first, second, pictures = figure.axes
    assert "error 1" in first.get_xlabel() and texts(figure) == ["0", "1", "2"] * 2
    assert [label.get_text() for label in pictures.get_yticklabels()] == ["original", "first", "second"]
    numpy.testing.assert_array_equal(
        pictures.images[0].get_array().reshape(9, 12)[6:, :3], reconstructed["second"][0, :, :, 0]
    )
