"""The pictures of the examples: which row, label, axis and series is where, read back from the figures."""

from __future__ import annotations

import math

import numpy
import pytest
from matplotlib.colors import to_hex
from mpl_toolkits.mplot3d import Axes3D

import scratchvae as sv
from pictures.analogies import style_transfer
from pictures.anomalies import anomalies
from pictures.conditional_models import conditional_models
from pictures.dictionaries import dictionaries
from pictures.latent_planes import latent_planes
from pictures.latent_sizes import latent_comparison, latent_size_curve
from pictures.pca_ppca import generative_view, principal_subspaces
from pictures.posterior_contours import posterior_contours
from pictures.two_classifiers import two_classifiers
from scratchvae.checks.exact_models import as_vae, gaussian_rows
from scratchvae.linear import NMF, PCA, PPCA, GaussianNaiveBayes, LogisticRegression
from scratchvae.plotting.canvas import BETWEEN, BLUE, ORANGE
from scratchvae.quadrature import exact_posterior


def cells(axes, *size: int) -> numpy.ndarray:
    """The images in a picture of one channel, as rows and columns.   -> (rows, columns, height, width)"""
    picture = numpy.asarray(axes.images[0].get_array()).squeeze()
    rows, columns = (length // part for length, part in zip(picture.shape, size, strict=True))
    return picture.reshape(rows, size[0], columns, size[1]).swapaxes(1, 2)


def names(axis) -> list[str]:
    """What is written along an axis, in the order of the places."""
    labels = [label.get_text() for label in axis.get_ticklabels()]
    return [name for _, name in sorted(zip(axis.get_majorticklocs(), labels, strict=True))]


def lines(axes) -> dict[str, tuple[list[float], list[float]]]:
    """Name of a line -> its points."""
    return {line.get_label(): tuple(map(list, line.get_xydata().T)) for line in axes.lines}


def intervals(container) -> list[tuple[float, float]]:
    """The lower and the upper end of every bar."""
    return [tuple(segment[:, 1]) for segment in container.lines[2][0].get_segments()]


def legend_colors(axes) -> dict[str, str]:
    """Name in the legend -> colour beside it."""
    legend = axes.get_legend()
    colors = {}
    for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True):
        color = handle.get_color() if hasattr(handle, "get_color") else handle.get_facecolor()
        colors[text.get_text()] = to_hex(color[0] if numpy.ndim(color) == 2 else color)
    return colors


# ---- latent spaces


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_posterior_contours(n, rng):
    """In each panel the contours of that row's exact posterior, an ellipse of 90 % for each Gaussian, and the row."""
    rows = gaussian_rows(n=30, d=9)
    model, titles = as_vae(PPCA(2).fit(rows)), ["first", "second", "third", "fourth", "fifth"][:n]
    posteriors = [exact_posterior(model, rows[i : i + 1]) for i in range(n)]
    exact = [model.encode(rows[i : i + 1]) for i in range(n)]
    other = [sv.distributions.Normal(q.mean + [[1.0, -0.5]], q.log_std + [[0.3, -0.7]]) for q in exact]
    approximations = [{"exact": q, "other": p} for q, p in zip(exact, other, strict=True)]
    figure = posterior_contours(rows[:n], posteriors, approximations, titles, "all of them")
    panels = figure.axes[:n]
    assert figure.get_suptitle() == "all of them" and [axes.get_title() for axes in panels] == titles
    assert not any(axes.axison for axes in figure.axes[n:])
    for axes, q, p, row in zip(panels, exact, other, rows, strict=False):
        for mass, path in zip((0.99, 0.9, 0.5), axes.collections[-1].get_paths(), strict=True):
            radius = numpy.sqrt((((path.vertices - q.mean[0]) / q.std) ** 2).sum(axis=1))
            numpy.testing.assert_allclose(radius, math.sqrt(-2 * math.log(1 - mass)), rtol=0.05)
        found = {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}
        assert list(found) == ["exact", "other"]
        for line, gaussian in zip(found.values(), (q, p), strict=True):
            radius = numpy.sqrt((((line.get_xydata() - gaussian.mean[0]) / gaussian.std) ** 2).sum(axis=1))
            numpy.testing.assert_allclose(radius, math.sqrt(-2 * math.log(0.1)), rtol=1e-9)
        means = [line.get_xydata()[0] for line in axes.lines if line.get_marker() == "+"]
        numpy.testing.assert_allclose(means, [q.mean[0], p.mean[0]])
        (inset,) = axes.child_axes
        numpy.testing.assert_array_equal(inset.images[0].get_array().squeeze(), row.reshape(3, 3))
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["exact $p(z\\,|\\,x)$: 50, 90, 99 %", "exact", "other"]
    handles = figure.legends[0].legend_handles[1:]
    assert [h.get_color() for h in handles] == [panels[0].lines[i].get_color() for i in (0, 2)]


def test_posteriors_side_by_side_have_the_same_limits():
    rows = gaussian_rows(n=30, d=9)
    model = as_vae(PPCA(2).fit(rows))
    posteriors = [exact_posterior(model, rows[i : i + 1]) for i in range(3)]
    approximations = [{"exact": model.encode(rows[i : i + 1])} for i in range(3)]
    alone = posterior_contours(rows[:3], posteriors, approximations, "123", "all")
    pair = posterior_contours(rows[:3], posteriors, approximations, "123", "all", "p(z|x, y)", together=2)
    limits = [[axes.get_xlim() for axes in figure.axes[:3]] for figure in (alone, pair)]
    assert limits[1][0] == limits[1][1] and limits[1][2] == limits[0][2]
    assert all(limits[1][0][0] <= low and high <= limits[1][0][1] for low, high in limits[0][:2])
    assert pair.legends[0].get_texts()[0].get_text() == "exact $p(z|x, y)$: 50, 90, 99 %"


def test_latent_planes(rng):
    codes = {name: rng.standard_normal((20, 2)) for name in ("first", "second")}
    labels, x = numpy.arange(20) % 3, rng.random((4, 3, 3, 1))
    reconstructed = {name: rng.random((4, 3, 3, 1)) for name in codes}
    figure = latent_planes(codes, labels, ["error 1", "error 2"], x, reconstructed)
    *planes, pictures = figure.axes
    for axes, (name, z), caption in zip(planes, codes.items(), ("error 1", "error 2"), strict=True):
        assert (
            axes.get_title() == f"{name}\n{caption}" and axes.get_ylabel() == "$z_2$" and axes.get_xlabel() == "$z_1$"
        )
        for label, group in enumerate(axes.collections):
            numpy.testing.assert_array_equal(group.get_offsets(), z[labels == label])
        for text in axes.texts:
            k = int(text.get_text())
            assert (z[labels == k] == text.get_position()).all(axis=1).any()
            assert text.get_bbox_patch().get_facecolor() == tuple(axes.collections[k].get_facecolor()[0][:3]) + (1,)
    assert names(pictures.yaxis) == ["second", "first", "original"]
    expected = numpy.stack([x, *reconstructed.values()])[..., 0]
    numpy.testing.assert_array_equal(cells(pictures, 3, 3), expected)


def test_latent_comparison_has_the_samples_and_captions_of_the_deck(rng):
    models = {k: sv.VAE.mlp(12, k, hidden=(6,), seed=k) for k in (2, 5, 10)}
    figure = latent_comparison(models, rng.random((5, 3, 4, 1)), n=9, seed=2)
    assert figure.get_suptitle().endswith(", by the size of the latent space")
    captions = [axes.get_xlabel() for axes in figure.axes]
    assert captions == ["(a) 2-D latent space", "(b) 5-D latent space", "(c) 10-D latent space"]
    for axes, model in zip(figure.axes, models.values(), strict=True):
        numpy.testing.assert_array_equal(cells(axes, 3, 4).reshape(9, 12), model.sample(9, 2))


def test_latent_size_curve_has_every_series_in_its_panel():
    values = {
        "log_likelihood": {2: -140.0, 20: -100.0, 50: -95.0},
        "log_likelihood_standard_error": {2: 0.7, 20: 0.6, 50: 0.5},
        "elbo": {2: -143.0, 20: -104.0, 50: -101.0},
        "kl": {2: 6.0, 20: 25.0, 50: 26.0},
        "active_units": {2: 2, 20: 15, 50: 16},
    }
    results = [{"latent_size": k} | {name: row[k] for name, row in values.items()} for k in (20, 2, 50)]
    bounds, divergence, active = latent_size_curve(results).axes
    for axes in (bounds, divergence, active):
        assert axes.get_xlabel() == "latent units K" and names(axes.xaxis) == ["2", "20", "50"]
    assert [axes.get_ylabel() for axes in (bounds, divergence, active)] == ["nats per datapoint"] * 2 + ["units"]
    titles = [axes.get_title() for axes in (bounds, divergence, active)]
    assert (
        titles[0] == "Fit to test data" and titles[1].startswith("Information in z: KL") and titles[2] == "Active units"
    )
    (container,) = bounds.containers
    assert list(container.lines[0].get_ydata()) == [-140, -100, -95] and list(container.lines[0].get_xdata()) == [
        2,
        20,
        50,
    ]
    numpy.testing.assert_allclose(intervals(container), [(-140.7, -139.3), (-100.6, -99.4), (-95.5, -94.5)])
    elbo = bounds.lines[-1]
    assert list(elbo.get_ydata()) == [-143, -104, -101]
    notes = {text.get_text(): (text.xy, text.get_color()) for text in bounds.texts}
    assert notes["ELBO"] == ((50, -101), elbo.get_color())
    assert notes["log p(x), importance sampling"] == ((50, -95), container.lines[0].get_color())
    assert list(divergence.lines[0].get_ydata()) == [6, 25, 26]
    numpy.testing.assert_array_equal(*active.lines[0].get_data())
    assert list(active.lines[1].get_ydata()) == [2, 15, 16]
    assert all(axes.get_ylim()[0] == 0 for axes in (divergence, active))


# ---- classes and style


def test_style_transfer_leaves_the_sources_own_class_out():
    """Every point is a pair of a source, to the right, and a digit generated from it as another class, upwards."""
    labels, classes = numpy.array([0, 2, 1, 1]), numpy.arange(3)
    known = {"slant": numpy.array([0.1, 0.2, 0.3, 0.4]), "thickness": numpy.array([1.0, 2.0, 3.0, 4.0])}
    read = {name: values[:, None] + 10 + 100 * classes for name, values in known.items()}
    figure = style_transfer(known, read, labels, {"slant": 0.25, "thickness": 0.75})
    for axes, (name, values), r_squared in zip(figure.axes, known.items(), ("0.25", "0.75"), strict=True):
        (points,) = axes.collections
        sources = list(zip(values, labels, strict=True))
        expected = {(v, v + 10 + 100 * k) for v, y in sources for k in classes if k != y}
        assert set(map(tuple, points.get_offsets().tolist())) == expected
        assert axes.get_title() == f"{name}: $R^2 = {r_squared}$ within a class"
        unit = {"slant": "offset per height", "thickness": "pixels"}[name]
        assert axes.get_xlabel() == f"{name} of the source, {unit}"
        assert axes.get_ylabel() == f"{name} of the generated digit"
        numpy.testing.assert_array_equal(*axes.lines[0].get_data())


def test_conditional_models(rng):
    """A block of every model's digits with the sources in front, a square of correlations each, and the bounds."""
    x, generated = rng.random((3, 4, 4, 1)), {name: rng.random((3, 5, 16)) for name in ("one", "many")}
    correlations = {"one": rng.uniform(-1, 1, (5, 5)), "many": numpy.eye(5)}
    bounds = {
        "one": {10: (-50.0, 0.5), 1000: (-40.0, 0.4)},
        "many": {10: (-55.0, 0.6), 1000: (-41.0, 0.3)},
        "small": {10: (-52.0, 0.7), 1000: (-43.0, 0.2)},
    }
    figure = conditional_models(x, generated, "slant", correlations, bounds)
    sources, *blocks = figure.axes[:3]
    squares, curve, bar = figure.axes[3:5], figure.axes[5], figure.axes[6]
    numpy.testing.assert_array_equal(cells(sources, 4, 4)[:, 0], x[..., 0])
    assert names(sources.xaxis) == ["x"]
    for axes, (name, pictures) in zip(blocks, generated.items(), strict=True):
        assert axes.get_title() == name and names(axes.xaxis) == list("01234")
        numpy.testing.assert_array_equal(cells(axes, 4, 4), pictures.reshape(3, 5, 4, 4))
    for axes, (name, values) in zip(squares, correlations.items(), strict=True):
        mean = (values.sum() - values.trace()) / 20
        assert axes.get_title() == f"{name}:\nbetween different classes {mean:.2f}"
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("class generated", "class of the source")
        numpy.testing.assert_array_equal(axes.images[0].get_array(), values)
        assert axes.images[0].origin == "upper" and axes.yaxis_inverted() and axes.images[0].get_clim() == (-1, 1)
    assert bar.get_xlabel() == "correlation of slant, source and generated"
    assert [container.get_label() for container in curve.containers] == list(bounds)
    for container, points in zip(curve.containers, bounds.values(), strict=True):
        line = container.lines[0]
        assert list(line.get_xdata()) == [10, 1000] and list(line.get_ydata()) == [mean for mean, _ in points.values()]
        expected = [(mean - error, mean + error) for mean, error in points.values()]
        numpy.testing.assert_allclose(intervals(container), expected)
        assert legend_colors(curve)[container.get_label()] == to_hex(line.get_color())
    assert names(curve.xaxis) == ["10", "1,000"] and curve.get_xlabel() == "training images of each class"


# ---- scores


def test_anomalies(rng):
    """The images by name, a panel for each way, every image counted in it, and the area of each other set."""
    images = {name: rng.random((8, 5, 5, 1)) for name in ("own", "a", "b")}
    scores = {way: {name: rng.standard_normal(50) + i for i, name in enumerate(images)} for way in ("x", "y", "z")}
    areas = {way: {"a": 0.25, "b": 0.125} for way in scores}
    pictures, *panels = anomalies(images, scores, areas).axes
    assert pictures.get_title() == "Test images; the model was trained on own" and names(pictures.yaxis) == [
        "b",
        "a",
        "own",
    ]
    numpy.testing.assert_array_equal(cells(pictures, 5, 5)[1, 2], images["a"][2, :, :, 0])
    for axes, way in zip(panels, scores, strict=True):
        assert axes.get_title() == f"Score: {way}"
        assert list(legend_colors(axes).items())[0] == ("own", BLUE.lower())
        assert list(legend_colors(axes))[1:] == ["a: AUC 0.25", "b: AUC 0.12"]
        for patch in axes.patches:
            corners = patch.get_xy()
            heights, widths = corners[1:-1:2, 1], numpy.diff(corners[::2, 0][:61])
            assert heights[: len(widths)].sum() == 50


# ---- linear models


def test_two_classifiers(rng):
    """The boundary of each, the densities of the one that has them, curves by name, and the images."""
    x, y = rng.standard_normal((40, 2)) + numpy.repeat([[0, 0], [2, 1]], 20, axis=0), numpy.repeat([0, 1], 20)
    models = {"regression": LogisticRegression().fit(x, y), "Bayes": GaussianNaiveBayes(True).fit(x, y)}
    errors = {"regression": [(0.4, 0.05), (0.1, 0.01)], "Bayes": [(0.3, 0.02), (0.2, 0.03)]}
    digits = rng.random((4, 10, 5, 5))
    figure = two_classifiers(x, y, models, [10, 100], errors, digits, ("one", "seven"))
    left, right, curves, pictures = figure.axes
    for axes, (name, model) in zip((left, right), models.items(), strict=True):
        assert axes.get_title() == name
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("first principal component", "second principal component")
        boundary = axes.collections[1].get_paths()[0].vertices
        numpy.testing.assert_allclose(model.predict_proba(boundary)[:, 1], 0.5, atol=1e-3)
        scattered = [c for c in axes.collections if len(c.get_offsets()) == 20]
        for k, points in enumerate(scattered):
            numpy.testing.assert_array_equal(points.get_offsets(), x[y == k])
            assert to_hex(points.get_facecolor()[0]) == (ORANGE, BLUE)[k].lower()
        shades = axes.collections[0]
        surest = shades.get_paths()[-1].vertices  # of the class 1
        assert (model.predict_proba(surest)[:, 1] > 0.899).all()
        numpy.testing.assert_allclose(shades.get_facecolor()[-1][:3], BETWEEN(0.95)[:3], atol=0.01)
        assert legend_colors(axes).keys() == {"one", "seven"}
    assert len(right.collections) - len(left.collections) == 2
    bayes = models["Bayes"]
    ellipses = [c for c in right.collections[2:] if len(c.get_offsets()) != 20]
    for k, ellipse in enumerate(ellipses):
        assert to_hex(ellipse.get_edgecolor()[0]) == (ORANGE, BLUE)[k].lower()
        for radius, path in zip((1, 2), ellipse.get_paths(), strict=True):
            distance = (((path.vertices - bayes.theta_[k]) / numpy.sqrt(bayes.var_[k])) ** 2).sum(axis=1) ** 0.5
            inside = distance < 1.5 * radius  # a path that leaves the picture has other vertices
            numpy.testing.assert_allclose(distance[inside], radius, rtol=0.01)
            assert inside.any()
    assert lines(curves) == {name: ([10, 100], [mean for mean, _ in part]) for name, part in errors.items()}
    for band, part in zip(curves.collections, errors.values(), strict=True):
        corners = band.get_paths()[0].vertices
        for size, (mean, error) in zip((10, 100), part, strict=True):
            at = corners[corners[:, 0] == size][:, 1]
            numpy.testing.assert_allclose([at.min(), at.max()], [mean - 2 * error, mean + 2 * error])
    assert [text.get_text() for text in curves.get_legend().get_texts()] == ["regression", "Bayes"]
    assert names(pictures.yaxis) == ["sample", "sample", "mean", "a digit"]
    numpy.testing.assert_array_equal(cells(pictures, 5, 5), digits)


def test_principal_subspaces(rng, monkeypatch):
    """The line goes through the mean along the first axis, the plane along both; a segment from every row to its
    projection; the curves by name.
    """
    surfaces = []
    monkeypatch.setattr(Axes3D, "plot_surface", lambda axes, *corners, **_: surfaces.append(corners))
    plane, space = rng.standard_normal((12, 2)) * [3, 1], rng.standard_normal((12, 3)) * [3, 2, 1]
    models = [PCA(1).fit(plane), PCA(2).fit(space)]
    errors = {"slide": [5.0, 1.0, 3.0], "cured": [2.0, 1.0, 1.0]}
    flat, solid, curves = principal_subspaces(plane, space, models, errors).axes
    assert [axes.get_title() for axes in (flat, solid)] == [
        "The nearest line: 2 columns, K = 1",
        "The nearest plane: 3 columns, K = 2",
    ]
    for axes, rows, model in ((flat, plane, models[0]), (solid, space, models[1])):
        near = model.inverse_transform(model.transform(rows))
        drawn = [line.get_data() if axes is flat else line.get_data_3d() for line in axes.lines]
        drawn = [numpy.array(part).T for part in drawn]
        for segment, row, projection in zip(drawn[:12], rows, near, strict=True):
            numpy.testing.assert_allclose(segment, [row, projection])
        numpy.testing.assert_allclose(drawn[12], rows)
        numpy.testing.assert_allclose(drawn[13], near)
    line = flat.lines[14]
    direction = numpy.subtract(line.get_xy2(), line.get_xy1())
    numpy.testing.assert_allclose(line.get_xy1(), models[0].mean_)
    numpy.testing.assert_allclose(abs(direction @ models[0].components_[0]), 1)
    corners = numpy.reshape(surfaces, (3, 4)).T
    z = models[1].transform(space)
    numpy.testing.assert_allclose(abs(models[1].transform(corners)), 1.1 * abs(z).max(axis=0)[None].repeat(4, axis=0))
    numpy.testing.assert_allclose(models[1].inverse_transform(models[1].transform(corners)), corners)
    numpy.testing.assert_allclose(corners.mean(axis=0), models[1].mean_)
    assert lines(curves) == {name: ([0.5, 1.0, 1.5], values) for name, values in errors.items()}
    assert legend_colors(curves) == {line.get_label(): to_hex(line.get_color()) for line in curves.lines}


def test_generative_view(rng):
    """p(z) with the z, circles of 1, 2 and 3 sigma about W z + mu, regions of p(x), and E[z | x] for each sigma."""
    x = rng.standard_normal((15, 2)) @ [[2, 1], [0.2, 0.4]]
    model, z = PPCA(1).fit(x), 1.2
    projected = (x - model.mean_) @ model.components_.T
    limits = {1.0: projected / 2, 0.5: projected / 1.25, 0.1: projected / 1.01}
    prior, conditional, marginal, *panels = generative_view(model, x, z, limits).axes
    grid, density = prior.lines[0].get_data()
    numpy.testing.assert_allclose(density, numpy.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi))
    numpy.testing.assert_allclose(
        prior.lines[1].get_data(), [[z, z], [0, math.exp(-z * z / 2) / math.sqrt(2 * math.pi)]]
    )
    middle = model.weight_[:, 0] * z + model.mean_
    numpy.testing.assert_allclose(conditional.lines[2].get_xydata(), middle[None])
    for radius, circle in zip((1, 2, 3), conditional.lines[3:], strict=True):
        squares = ((circle.get_xydata() - middle) ** 2).sum(axis=1)
        numpy.testing.assert_allclose(squares, radius**2 * model.noise_variance_, rtol=1e-9)
    assert conditional.get_title() == "$p(x\\,|\\,z = 1.2) = $Normal$(W z + \\mu, \\sigma^2 I)$"
    numpy.testing.assert_array_equal(marginal.lines[0].get_xydata(), x)
    top = model.score_samples(model.mean_[None])[0]
    low, high = marginal.get_xlim(), marginal.get_ylim()
    for level, path in zip((-8, -4.5, -2, -0.5), marginal.collections[0].get_paths(), strict=True):
        inside = (abs(path.vertices - [sum(low) / 2, sum(high) / 2]) < 0.49 * numpy.diff(low)).all(axis=1)
        values = model.score_samples(path.vertices[inside]) - top
        assert abs(values - level).min() < 0.05 and (values > level - 0.05).all()
    for axes, (sigma, means) in zip(panels, limits.items(), strict=True):
        ends = means @ model.components_ + model.mean_
        for segment, row, end in zip(axes.lines[1:16], x, ends, strict=True):
            numpy.testing.assert_allclose(segment.get_xydata(), [row, end])
        off = abs(means - projected).max()
        assert axes.get_title() == f"$W'W = 1$, $\\sigma = {sigma:g}$:\nat most {off:.2g} from PCA"
    for axes in (conditional, marginal, *panels):
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("$x_1$", "$x_2$")


def test_dictionaries(rng):
    """Elements in the order of B, each on its own scale, weights in the places of their elements, x before A B."""
    x = rng.random((30, 6))
    models = {"PCA": PCA(3).fit(x), "NMF": NMF(3).fit(x)}
    figure = dictionaries(models, x[:1], (2, 3))
    for column, (name, model) in enumerate(models.items()):
        elements, weights, pair = figure.axes[column:6:2]
        assert elements.get_title() == name
        B, A = model.dictionary_, model.transform(x[:1])[0]
        shown = cells(elements, 3, 4).reshape(4, 3, 4)
        for k in range(3):
            numpy.testing.assert_allclose(shown[k, :2, :3], (B[k] / abs(B[k]).max()).reshape(2, 3))
        numpy.testing.assert_allclose(weights.images[0].get_array().ravel()[:3], A / abs(A).max())
        for axes in (elements, weights):
            assert axes.images[0].get_clim() == (-1, 1) and axes.images[0].get_cmap().name == "RdBu_r"
        again = model.inverse_transform(model.transform(x[:1]))[0]
        numpy.testing.assert_allclose(cells(pair, 2, 3)[0], [x[0].reshape(2, 3), again.reshape(2, 3)])
        assert pair.get_title() == f"squared error {((x[0] - again) ** 2).sum():.1f}"
        assert weights.get_title() == f"{(abs(A) > 0.05 * abs(A).max()).sum()} of 3 in use"
    assert [axes.get_ylabel() for axes in figure.axes[:6:2]] == ["elements B", "weights A", "x, and\nA B + mean"]
