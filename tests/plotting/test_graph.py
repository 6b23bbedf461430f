"""The picture of the engine's graph: every node, every edge between the right boxes, and nothing covered."""

from __future__ import annotations

from itertools import pairwise

import numpy
import pytest
from matplotlib.colors import to_hex
from matplotlib.path import Path

import scratchvae as sv
from scratchvae import plotting
from scratchvae.errors import InputError


def boxes(figure) -> dict[str, tuple[float, float, float, float]]:
    """What is written in a box -> its left and right end, bottom and top."""
    (axes,) = figure.axes
    patches = [patch for patch in axes.patches if hasattr(patch, "get_boxstyle")]
    return {
        text.get_text(): (p.get_x(), p.get_x() + p.get_width(), p.get_y(), p.get_y() + p.get_height())
        for text, p in zip(axes.texts, patches, strict=True)
    }


def edges(figure) -> set[tuple[str, str]]:
    """(source, target) of every arrow: the boxes in which it begins and whose top it ends on."""
    (axes,) = figure.axes
    found = set()
    for patch in axes.patches:
        if hasattr(patch, "get_arrowstyle"):
            assert patch.get_arrowstyle().__class__.__name__ == "CurveFilledB"  # the head is at the end
            path = patch._path_original.vertices
            ends = []
            for x, y in (path[0], path[-1]):
                (name,) = (n for n, (a, b, c, d) in boxes(figure).items() if a < x < b and c - 1e-9 <= y <= d + 1e-9)
                ends.append(name)
            assert path[-1][1] == pytest.approx(boxes(figure)[ends[1]][3])
            found.add(tuple(ends))
    return found


@pytest.fixture
def graph(rng):
    w, b = sv.Tensor(rng.random((3, 2))), sv.Tensor(rng.random(2))
    data = rng.random((5, 3))
    loss = sv.ops.sum(sv.ops.square(sv.ops.tanh(sv.ops.affine(data, w, b))[:, 1] * 2.0 - numpy.ones(5)))
    return plotting.graph(loss, {"parameters": {"w": w, "b": b}, "data": {"x": data}})


def test_graph_names_every_node_with_its_shape_and_group(graph):
    chain = ["affine  (5, 2)", "tanh  (5, 2)", "getitem(·, :, 1)  (5,)", "multiply(·, 2)  (5,)", "subtract(·, 1)  (5,)"]
    assert boxes(graph).keys() == {"w  (3, 2)", "b  (2,)", "x  (5, 3)", *chain, "square  (5,)", "sum  ()"}
    handles = {
        t.get_text(): to_hex(h.get_facecolor())
        for t, h in zip(graph.legends[0].get_texts(), graph.legends[0].legend_handles, strict=True)
    }
    assert list(handles) == ["parameters", "data", "primitives", "loss"] and len(set(handles.values())) == 4
    patches = [patch for patch in graph.axes[0].patches if hasattr(patch, "get_boxstyle")]
    fills = dict(zip(boxes(graph), (to_hex(patch.get_facecolor()) for patch in patches), strict=True))
    groups = {"w  (3, 2)": "parameters", "b  (2,)": "parameters", "x  (5, 3)": "data", "sum  ()": "loss"}
    assert all(fill == handles[groups.get(name, "primitives")] for name, fill in fills.items())


def test_graph_has_an_arrow_from_every_argument_to_its_result(graph):
    chain = ["affine  (5, 2)", "tanh  (5, 2)", "getitem(·, :, 1)  (5,)", "multiply(·, 2)  (5,)", "subtract(·, 1)  (5,)"]
    chain += ["square  (5,)", "sum  ()"]
    leaves = {(leaf, chain[0]) for leaf in ("w  (3, 2)", "b  (2,)", "x  (5, 3)")}
    assert edges(graph) == leaves | set(pairwise(chain))


def test_an_edge_that_skips_rows_passes_beside_the_boxes(rng):
    x = sv.Tensor(rng.random(3))
    loss = sv.ops.sum(sv.ops.exp(sv.ops.tanh(x)) * x)
    figure = plotting.graph(loss, {"data": {"x": x}})
    names = {"tanh  (3,)", "exp  (3,)", "multiply  (3,)", "sum  ()", "x  (3,)"}
    assert boxes(figure).keys() == names
    assert edges(figure) == {
        ("x  (3,)", "tanh  (3,)"),
        ("tanh  (3,)", "exp  (3,)"),
        ("exp  (3,)", "multiply  (3,)"),
        ("x  (3,)", "multiply  (3,)"),
        ("multiply  (3,)", "sum  ()"),
    }
    for patch in figure.axes[0].patches:
        if hasattr(patch, "get_arrowstyle"):
            (curve,) = patch._path_original.to_polygons(closed_only=False)
            route = Path(curve).interpolated(20).vertices
            crossed = {
                n for n, (a, b, c, d) in boxes(figure).items() for x, y in route if a < x < b and c < y < d - 1e-6
            }
            assert len(crossed) == 1, "it leaves the source and touches no other box"


def test_graph_flows_downwards_and_no_boxes_overlap(rng):
    model = sv.VAE.mlp(16, 2, hidden=(6,))
    loss = -sv.ops.mean(model.elbo(rng.random((3, 16), dtype=numpy.float32), sv.Noise(0)))
    (axes,) = plotting.graph(loss, {"parameters": model.named_parameters()}).axes
    places = [patch.get_window_extent() for patch in axes.patches if hasattr(patch, "get_boxstyle")]
    arrows = [patch.get_path() for patch in axes.patches if hasattr(patch, "get_arrowstyle")]
    assert len(places) == len(axes.texts) > 20
    assert len(arrows) >= len(places)
    assert all(arrow.vertices[0, 1] == arrow.vertices[:, 1].max() for arrow in arrows)
    for i, box in enumerate(places):
        assert not any(box.overlaps(other) for other in places[:i])


def test_graph_needs_a_result(rng):
    for loss in (rng.random(3), sv.Tensor(rng.random(3))):
        with pytest.raises(InputError, match="graph: expected a Tensor that was computed from others"):
            plotting.graph(loss, {})
