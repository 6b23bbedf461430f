"""Pictures of a latent space: which point of it, label and unit is where, read back from the figures."""

from __future__ import annotations

from itertools import combinations

import numpy
import pytest
from matplotlib.colors import to_hex
from matplotlib.path import Path
from scipy.special import ndtr, ndtri

import scratchvae as sv
from scratchvae import latent_space, plotting
from scratchvae.errors import InputError, ShapeError
from scratchvae.plotting.latent import MOST_CLASSES


def small_model(latent_size: int = 2) -> sv.VAE:
    return sv.VAE.mlp(16, latent_size, hidden=(6,))


@pytest.fixture
def x(rng) -> numpy.ndarray:
    return rng.random((30, 4, 4, 1), dtype=numpy.float32)


@pytest.fixture
def z(rng) -> numpy.ndarray:
    return rng.standard_normal((4, 3), dtype=numpy.float32)


def decoded(model, *points) -> numpy.ndarray:
    return model.decode(numpy.stack(points).astype(numpy.float32)).mean.reshape(-1, 4, 4)


def cells(figure) -> numpy.ndarray:
    """The images in the figure's only picture, as rows and columns.   -> (rows, columns, 4, 4)"""
    (axes,) = figure.axes
    picture = numpy.asarray(axes.images[0].get_array()).squeeze()
    rows, columns = (length // 4 for length in picture.shape)
    assert axes.images[0].get_extent()[:2] in ([0, columns], [0, 1])
    return picture.reshape(rows, 4, columns, 4).swapaxes(1, 2)


def rows_and_columns(figure) -> tuple[list[str], list[str]]:
    """The names on the left from top to bottom, and those below from left to right."""
    (axes,) = figure.axes
    below, left = (
        sorted(zip(axis.get_majorticklocs(), (label.get_text() for label in axis.get_ticklabels()), strict=True))
        for axis in (axes.xaxis, axes.yaxis)
    )
    assert [place for place, _ in below] == [i + 0.5 for i in range(len(below))]
    assert [place for place, _ in left] == [i + 0.5 for i in range(len(left))]
    return [name for _, name in left[::-1]], [name for _, name in below]


# ---- the manifold


def test_latent_grid_is_even_under_the_prior():
    z = plotting.latent_grid(4)
    assert z.shape == (4, 4, 2) and z.dtype == numpy.float32
    numpy.testing.assert_allclose(ndtr(z[0, :, 0]), [0.125, 0.375, 0.625, 0.875], rtol=1e-6)
    numpy.testing.assert_allclose(ndtr(z[:, 0, 1]), [0.875, 0.625, 0.375, 0.125], rtol=1e-6)


def test_decoder_manifold_has_each_mean_where_the_axes_say():
    """z1 grows to the right and z2 upwards: every cell is decoded from the z that the ticks give for its middle."""
    model = small_model()
    figure = plotting.decoder_manifold(model, n=5)
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$z_1$", "$z_2$")
    assert axes.images[0].get_extent() == [0, 1, 0, 1] and axes.images[0].origin == "upper"
    assert axes.get_xlim() == (0, 1) and axes.get_ylim() == (0, 1)
    for axis in (axes.xaxis, axes.yaxis):
        ticks = [float(label.get_text().strip("$")) for label in axis.get_ticklabels()]
        numpy.testing.assert_allclose(ndtr(ticks), axis.get_majorticklocs(), rtol=1e-12)
        assert ticks[0] == -1.5 and ticks[-1] == 1.5
    for row in range(5):
        for column in range(5):
            right, up = (column + 0.5) / 5, (4 - row + 0.5) / 5
            expected = decoded(model, [ndtri(right), ndtri(up)])[0]
            numpy.testing.assert_allclose(cells(figure)[row, column], expected, rtol=1e-5)


def test_decoder_manifold_needs_two_dimensions():
    with pytest.raises(InputError, match="expected a 2-D latent space, received a 3-D one"):
        plotting.decoder_manifold(small_model(3))
    with pytest.raises(InputError, match="received a 2-D one with classes"):
        plotting.decoder_manifold(sv.SemiSupervisedVAE.mlp(16, 3, 2, (6,)))


# ---- a prior of one's own


def two_lumps() -> sv.VAE:
    """A model whose prior is two narrow lumps, at (-4, 1) and at (6, 1)."""
    parts = small_model()
    means = numpy.array([[-4, 1], [6, 1]], "f")
    prior = sv.distributions.NormalMixture(numpy.zeros(2, "f"), means, numpy.full((2, 2), -1, "f"))
    return sv.VAE(parts.encoder, parts.decoder, 2, (16,), prior=prior)


def test_another_priors_densest_regions_are_drawn(x):
    """Of each line the enclosed share of fresh draws is the one that it stands for; two lumps, two islands."""
    model = two_lumps()
    (axes,) = plotting.latent_scatter(model, x).figure.axes
    (lines,) = [part for part in axes.collections if hasattr(part, "levels")]
    assert "50, 90 and 99 %" in axes.get_title() and len(lines.levels) == 3
    draws = sv.to_numpy(model.prior_draws(4000, seed=5))
    for share, path in zip((0.99, 0.9, 0.5), lines.get_paths(), strict=True):
        islands = path.to_polygons()
        assert len(islands) == 2 and {round(float(island[:, 0].mean())) for island in islands} == {-4, 6}
        inside = sum(Path(island).contains_points(draws) for island in islands)
        assert abs((inside > 0).mean() - share) < 0.02
    (plain,) = plotting.latent_scatter(small_model(), x).figure.axes
    assert not [part for part in plain.collections if hasattr(part, "levels")]
    assert plain.get_title() == "Means of $q(z\\,|\\,x)$"


def test_the_manifold_of_another_prior_is_even_in_z():
    model = two_lumps()
    figure = plotting.decoder_manifold(model, n=3)
    (axes,) = figure.axes
    left, right, bottom, top = axes.images[0].get_extent()
    assert -5.2 < left < -4.5 and 6.5 < right < 7.2 and 0 < bottom < 0.5 and 1.5 < top < 2
    assert axes.get_title().endswith("cells of equal size")
    picture = numpy.asarray(axes.images[0].get_array()).squeeze().reshape(3, 4, 3, 4).swapaxes(1, 2)
    for row in range(3):
        for column in range(3):
            point = left + (right - left) * (column + 0.5) / 3, bottom + (top - bottom) * (2 - row + 0.5) / 3
            numpy.testing.assert_allclose(picture[row, column], decoded(model, point)[0], rtol=1e-4)


# ---- ways through the space


def test_attribute_traversal_decodes_what_lies_along_each_direction(z):
    model, z = small_model(3), z[0]
    directions = {"a_hat": numpy.float32([1, 0, 0]), "smiling": numpy.float32([0, 2, 0])}
    amounts = (-1, 0, 0.5)
    figure = plotting.attribute_traversal(model, z, directions, amounts=amounts)
    assert rows_and_columns(figure) == (["a hat", "smiling"], ["-1", "z", "+0.5"])
    for row, v in enumerate(directions.values()):
        expected = decoded(model, *(z + amount * v for amount in amounts))
        numpy.testing.assert_allclose(cells(figure)[row], expected, rtol=1e-5)


def test_interpolation_has_a_line_and_an_arc_for_each_pair(z):
    model = small_model(3)
    figure = plotting.interpolation(model, z[:2], z[2:], n=3)
    assert rows_and_columns(figure) == (["line", "arc"] * 2, ["0", "0.5", "1"])
    for pair in range(2):
        start, end = z[pair], z[2 + pair]
        cosine = start @ end / numpy.linalg.norm(start) / numpy.linalg.norm(end)
        line, arc = (start + end) / 2, (start + end) / (2 * numpy.cos(numpy.arccos(cosine) / 2))
        for row, middle in ((2 * pair, line), (2 * pair + 1, arc)):
            numpy.testing.assert_allclose(cells(figure)[row], decoded(model, start, middle, end), rtol=1e-4)
        assert abs(cells(figure)[2 * pair, 1] - cells(figure)[2 * pair + 1, 1]).max() > 1e-3


def test_unit_sweep_sets_one_unit_at_a_time(z):
    model, z = small_model(3), z[0]
    figure = plotting.unit_sweep(model, z, [2, 0], values=(-1, 4))
    assert rows_and_columns(figure) == (["$z_{3}$", "$z_{1}$"], ["-1", "4"])
    numpy.testing.assert_allclose(cells(figure)[0], decoded(model, [*z[:2], -1], [*z[:2], 4]), rtol=1e-5)
    numpy.testing.assert_allclose(cells(figure)[1], decoded(model, [-1, *z[1:]], [4, *z[1:]]), rtol=1e-5)


def test_rows_of_images_are_rows_of_points():
    model, z = small_model(3), numpy.zeros(3, dtype=numpy.float32)
    with pytest.raises(ShapeError, match="rows of 7 points of 3 units, received none"):
        plotting.attribute_traversal(model, z, {})
    with pytest.raises(ShapeError, match=r"rows of 7 points of 3 units, received \(1, 7, 3\)"):
        plotting.unit_sweep(model, z[None], [0])


# ---- where the data are


def scattered(figure) -> dict[str, tuple[numpy.ndarray, str, str]]:
    """Name of a group -> its points, their colour, and the form of their marker."""
    return {
        group.get_label(): (
            numpy.asarray(group.get_offsets()),
            to_hex(group.get_facecolor()[0]),
            group.get_paths()[0].vertices.tobytes(),
        )
        for group in figure.axes[0].collections
    }


@pytest.mark.parametrize("kind", [numpy.int64, numpy.float32, str, object, list])
def test_latent_scatter_has_the_points_of_each_label_under_its_name(kind, x):
    """On the axes, in the legend's colours, and by the name that stands among them."""
    classes = numpy.arange(30) % 3
    labels = classes.tolist() if kind is list else classes.astype(kind)
    model = small_model()
    figure = plotting.latent_scatter(model, x, labels)
    means, groups, axes = model.encode(x).mean, scattered(figure), figure.axes[0]
    assert list(groups) == ["0", "1", "2"] and len({color for _, color, _ in groups.values()}) == 3
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("mean of $z_{1}$", "mean of $z_{2}$")
    legend = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["0", "1", "2"]
    for text, handle, k in zip(axes.texts, legend.legend_handles, range(3), strict=True):
        points, color, _ = groups[str(k)]
        numpy.testing.assert_array_equal(points, means[classes == k])
        assert text.get_text() == str(k) and color == to_hex(handle.get_facecolor()[0])
        assert to_hex(text.get_bbox_patch().get_facecolor()) == color
        assert (points == text.get_position()).all(axis=1).any()


def test_latent_scatter_without_labels_has_no_legend(x):
    figure = plotting.latent_scatter(small_model(), x)
    assert figure.axes[0].get_legend() is None and not figure.axes[0].texts
    numpy.testing.assert_array_equal(scattered(figure).popitem()[1][0], small_model().encode(x).mean)


def test_latent_scatter_takes_at_most_5000_rows_from_all_over_the_data(rng):
    x, labels = rng.random((12_001, 16), dtype=numpy.float32), numpy.arange(12_001) // 4001
    groups = scattered(plotting.latent_scatter(small_model(), x, labels))
    means = small_model().encode(x).mean
    for k in range(3):
        rows = [i for i in range(0, 12_001, 3) if labels[i] == k]
        numpy.testing.assert_array_equal(groups[str(k)][0], means[rows])


def test_latent_scatter_names_the_two_units_that_vary_most(x):
    model = small_model(5)
    means = model.encode(x).mean
    variances = means.var(axis=0)
    first, second = sorted(numpy.argsort(variances)[-2:])
    figure = plotting.latent_scatter(model, x)
    (axes,) = figure.axes
    for label, unit in ((axes.get_xlabel(), first), (axes.get_ylabel(), second)):
        assert label == f"mean of $z_{{{unit + 1}}}$  (of 5 units; variance {variances[unit]:.2g})"
    numpy.testing.assert_array_equal(scattered(figure).popitem()[1][0], means[:, [first, second]])


@pytest.mark.parametrize(
    ("n", "labels", "message"),
    [
        (0, None, "latent_scatter: expected at least one row, received none"),
        (0, [], "latent_scatter: expected at least one row, received none"),
        (30, numpy.arange(29), r"labels of shape \(30,\), one for each row, received \(29,\)"),
        (30, numpy.zeros((30, 10)), r"labels of shape \(30,\), one for each row, received \(30, 10\)"),
    ],
)
def test_latent_scatter_refuses_in_a_sentence(n, labels, message, x):
    with pytest.raises(InputError, match=message):
        plotting.latent_scatter(small_model(), x[:n], labels)


def test_latent_scatter_needs_two_units_and_finite_means(x):
    with pytest.raises(InputError, match="at least two latent units, received 1"):
        plotting.latent_scatter(small_model(1), x)
    model = small_model()
    model.encoder.network.layers[-1].bias.data[0] = numpy.nan
    with pytest.raises(InputError, match="latent_scatter: expected finite values, received 30 that are NaN"):
        plotting.latent_scatter(model, x)


@pytest.mark.parametrize("labels", [None, [3], [0.5], ["a"]])
def test_latent_scatter_of_one_row(labels, x, tmp_path):
    figure = plotting.latent_scatter(small_model(), x[:1], labels)
    plotting.save_figure(figure, tmp_path / "a.png")
    assert len(figure.axes[0].collections[0].get_offsets()) == 1


@pytest.mark.parametrize("labels", [numpy.linspace(0, 1, 200), numpy.arange(200), numpy.arange(200.0)])
def test_numbers_are_a_scale(labels, rng):
    x = rng.random((200, 16), dtype=numpy.float32)
    axes, bar = plotting.latent_scatter(small_model(), x, labels).axes
    (points,) = axes.collections
    numpy.testing.assert_array_equal(points.get_array(), labels)
    assert bar.get_ylabel() == "label" and bar.get_ylim() == (labels[0], labels[-1])
    assert axes.get_legend() is None and not axes.texts


@pytest.mark.parametrize("labels", [numpy.arange(30) / 7, numpy.arange(30.0) % 3])
def test_rows_without_a_label_are_grey(labels, x):
    labels[::5] = numpy.where(numpy.arange(6) < 3, numpy.nan, numpy.inf)
    model = small_model()
    groups = scattered(plotting.latent_scatter(model, x, labels))
    points, color, _ = groups.pop("no label")
    numpy.testing.assert_array_equal(points, model.encode(x[::5]).mean)
    assert color == to_hex("lightgrey") and sum(len(points) for points, *_ in groups.values()) == 24


@pytest.mark.parametrize("n_classes", [10, 47, MOST_CLASSES])
def test_many_classes_can_be_told_apart_and_read(n_classes, rng, tmp_path):
    """No two classes have one look, no name covers another, each stands among its points, and the legend has all."""
    model, x = small_model(), rng.random((40 * n_classes, 16), dtype=numpy.float32)
    figure = plotting.latent_scatter(model, x, numpy.arange(len(x)) % n_classes)
    plotting.save_figure(figure, tmp_path / "a.png")
    (axes,) = figure.axes
    groups = scattered(figure)
    assert len({look for _, *look in groups.values() for look in [tuple(look)]}) == n_classes
    legend = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [str(k) for k in range(n_classes)]
    assert figure.bbox.containsx(legend.get_window_extent().x1 - 1) and legend.get_window_extent().y0 >= 0
    boxes = [text.get_bbox_patch().get_window_extent() for text in axes.texts]
    assert len(boxes) > 0.7 * n_classes
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    for text in axes.texts:
        assert (groups[text.get_text()][0] == text.get_position()).all(axis=1).any()


def test_no_row_with_a_label_is_a_picture_too(x, tmp_path):
    figure = plotting.latent_scatter(small_model(), x, numpy.full(30, numpy.nan))
    plotting.save_figure(figure, tmp_path / "a.png")
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["no label"]


@pytest.mark.parametrize(("label", "name"), [(20150101.0, "20150101"), ("5$ to 10$", "5\\$ to 10\\$"), (True, "True")])
def test_labels_stand_as_they_are(label, name, x, tmp_path):
    labels = numpy.array([label] * 30)
    labels[:5] = "other" if isinstance(label, str) else 0
    figure = plotting.latent_scatter(small_model(), x, labels)
    plotting.save_figure(figure, tmp_path / "a.png")
    assert name in scattered(figure)


def test_classes_of_one_place_leave_one_name(x):
    model = small_model()
    for w in model.encoder.parameters():
        w.data[...] = 0
    (axes,) = plotting.latent_scatter(model, x, numpy.arange(30) % 5).axes
    assert [text.get_text() for text in axes.texts] == ["0"]


def test_too_many_names_are_refused(rng):
    x = rng.random((MOST_CLASSES + 1, 16), dtype=numpy.float32)
    with pytest.raises(InputError, match=f"at most {MOST_CLASSES} classes, received {MOST_CLASSES + 1}"):
        plotting.latent_scatter(small_model(), x, numpy.arange(len(x)).astype(str))


def test_long_names_are_cut(x):
    labels = numpy.where(numpy.arange(30) < 15, "Caloplaca verruculifera", "b")
    groups = scattered(plotting.latent_scatter(small_model(), x, labels))
    assert list(groups) == ["Caloplaca verruculi…", "b"]


def test_all_ways_are_the_latent_spaces(z):
    """The arcs are those of latent_space, too."""
    model = small_model(3)
    figure = plotting.interpolation(model, z[:1], z[1:2], n=4)
    arc = latent_space.spherical_interpolation(z[0], z[1], 4)
    numpy.testing.assert_allclose(cells(figure)[1], decoded(model, *arc), rtol=1e-5)
