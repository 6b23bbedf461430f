"""The engine: what grad returns, what it computes and what it does not, how long graphs live, and what is refused."""

import copy
import gc
import math
import operator
import pickle
import subprocess
import sys
import threading
import time
import weakref

import numpy
import pytest

import scratchvae as sv
from scratchvae import ops
from scratchvae.autodiff import Tensor, elementwise, grad, no_grad, primitive
from scratchvae.backend import array_module, asarray
from scratchvae.errors import DeviceError, InputError, ShapeError


@pytest.fixture
def x(rng):
    return Tensor(rng.standard_normal((3, 4)))


@pytest.fixture
def y(rng):
    return Tensor(rng.standard_normal((3, 4)))


# ---- what grad returns


def test_leaves_and_intermediates(x, y):
    product = x * y
    loss = ops.sum(ops.square(product))
    g_x, g_product, g_loss = grad(loss, [x, product, loss])
    numpy.testing.assert_allclose(g_product, 2 * product.data)
    numpy.testing.assert_allclose(g_x, 2 * product.data * y.data)
    assert g_loss == 1


def test_an_intermediate_result_keeps_its_gradient_while_older_ones_get_theirs(x):
    h = ops.exp(x)
    loss = ops.sum(h * h + 3 * h)
    g_h, g_x = grad(loss, [h, x])
    numpy.testing.assert_allclose(g_h, 2 * h.data + 3)
    numpy.testing.assert_allclose(g_x, g_h * h.data)


def test_what_the_loss_does_not_reach_gives_zeros(x, y):
    younger = ops.exp(x)
    for wanted in (y, younger, Tensor(numpy.float32([1, 2]))):
        (g,) = grad(ops.sum(ops.tanh(x)), [wanted])
        assert g.shape == wanted.shape and g.dtype == wanted.dtype and not g.any()
        (g,) = grad(ops.sum(ops.tanh(x)), [wanted], create_graph=True)
        assert isinstance(g, Tensor) and not g.data.any()


def test_order_repetition_and_nothing_wanted(x, y):
    loss = ops.sum(x * x * y)
    g_y, g_x, again = grad(loss, [y, x, y])
    numpy.testing.assert_allclose(g_y, x.data**2)
    numpy.testing.assert_allclose(g_x, 2 * x.data * y.data)
    numpy.testing.assert_array_equal(again, g_y)
    assert not numpy.shares_memory(again, g_y)
    assert grad(loss, []) == []


def test_a_leaf_can_be_its_own_loss():
    leaf = Tensor(numpy.array(3.0))
    assert grad(leaf, [leaf]) == [1.0]


def test_out_is_written_into(x, y):
    buffer = numpy.full(24, numpy.nan)
    out = [buffer[:12].reshape(3, 4), buffer[12:].reshape(3, 4)]
    expected = grad(ops.sum(x * x), [x, y])
    received = grad(ops.sum(x * x), [x, y], out=out)
    assert all(a is b for a, b in zip(received, out, strict=True))
    numpy.testing.assert_array_equal(buffer.reshape(2, 3, 4), expected)


def test_g_scales_the_gradient(x, y):
    loss = ops.sum(x * x * y)
    for create_graph in (False, True):
        received = grad(loss, [x, y], create_graph=create_graph, g=-3)
        for ours, once in zip(received, grad(loss, [x, y]), strict=True):
            numpy.testing.assert_allclose(sv.to_numpy(ours), -3 * once)


def test_out_of_other_shapes_is_refused(x):
    """Broadcasting into a larger array would hide the mistake."""
    for out in ([numpy.zeros((2, 3, 4))], [numpy.zeros(12)], [], [numpy.zeros((3, 4))] * 2):
        with pytest.raises(ShapeError, match=r"grad: expected out of shapes \[\(3, 4\)\], received \["):
            grad(ops.sum(x), [x], out=out)


def test_out_beside_create_graph_is_refused(x):
    with pytest.raises(InputError, match="grad: expected out or create_graph=True, received both"):
        grad(ops.sum(x), [x], out=[numpy.zeros((3, 4))], create_graph=True)


def test_a_second_grad_gives_the_same(x, y):
    loss = ops.sum(ops.tanh(x @ ops.transpose(y)) + ops.sum(x * y))
    first = grad(loss, [x, y])
    for g in first:
        g *= 0
    grad(loss, [x, y], create_graph=True)
    second, third = grad(loss, [x, y]), grad(loss, [x, y])
    for a, b in zip(second, third, strict=True):
        assert a.any()
        numpy.testing.assert_array_equal(a, b)


def test_create_graph(x):
    (g,) = grad(ops.sum(x * x * x), [x], create_graph=True)
    (h,) = grad(ops.sum(g), [x], create_graph=True)
    (third,) = grad(ops.sum(h), [x])
    numpy.testing.assert_allclose(g.data, 3 * x.data**2)
    numpy.testing.assert_allclose(h.data, 6 * x.data)
    numpy.testing.assert_allclose(third, numpy.full((3, 4), 6.0))


def test_gradient_penalty(rng):
    """d/dw of |d loss / d x|^2, with weights and data in one graph."""
    data, weight = rng.standard_normal((5, 3)), rng.standard_normal((3, 2))

    def penalty(w):
        x = Tensor(data)
        (g,) = grad(ops.sum(ops.tanh(x @ w)), [x], create_graph=True)
        return ops.sum(ops.square(g))

    sv.check_gradients(penalty, weight, order=1)


# ---- accumulation


def test_gradients_are_fresh_and_writable(x, y):
    row = Tensor(numpy.ones(4))
    total = x + y
    loss = ops.sum(total) + ops.sum(ops.broadcast_to(row, (3, 4))) + ops.sum(ops.reshape(x, (12,)))
    wanted = [x, y, row, total, loss]
    gradients = [numpy.atleast_1d(g) for g in grad(loss, wanted)]
    for i, g in enumerate(gradients):
        g[...] = i
    for i, g in enumerate(gradients):
        assert (g == i).all(), "two gradients share memory"
    assert all(numpy.shares_memory(g, t.data) is False for g in gradients for t in (x, y, row, total))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + x,
        lambda x: x + x + x + x,
        lambda x: (x + x) + (x - x) * 2,
        lambda x: ops.stack([x, x, x]),
        lambda x: x * x + x / x - x,
        lambda x: ops.concatenate([x, 2 * x]) + ops.concatenate([x + 1, x]),
        lambda x: x @ ops.transpose(x) + ops.sum(x),
        lambda x: ops.reshape(x, (2, 6)) + ops.reshape(x, (2, 6)) + ops.reshape(x[:, :], (2, 6)),
        lambda x: ops.sum(x) + x + ops.mean(x, axis=0),
    ],
)
def test_shared_arguments_add_up(x, function, device):
    sv.check_gradients(function, asarray(x.data, device))


def test_a_cotangent_that_goes_two_ways_is_not_added_to_in_place(x, device):
    """add hands the same array to both sides; what one side adds must not reach the other."""
    a, b = Tensor(asarray(x.data, device)), Tensor(asarray(x.data, device))
    total = a + b
    loss = ops.sum(total + a * 0.0 + a * 0.0 + a * 5.0)
    g_a, g_b, g_total = map(sv.to_numpy, grad(loss, [a, b, total]))
    assert (g_a == 6).all() and (g_b == 1).all() and (g_total == 1).all()


def test_scalars_do_not_alias(device):
    """A 0-d array of the GPU, unlike a NumPy scalar, is changed in place by +=."""
    a, b = (Tensor(asarray(numpy.array(2.0), device)) for _ in range(2))
    total = a + b
    gradients = grad(total + a + a * 3.0, [a, b, total])
    assert [float(g) for g in gradients] == [5, 1, 1]


def test_paths_double_sixty_times():
    """2^60 paths lead from the loss to x; each node is visited once."""
    x = y = Tensor(numpy.array(1.0))
    for _ in range(60):
        y = 0.5 * (y + y)
    started = time.perf_counter()
    assert grad(y, [x]) == [1.0]
    assert grad(y, [x], create_graph=True)[0].data == 1.0
    assert time.perf_counter() - started < 1


def test_a_diamond_waits_for_both_sides(x):
    h = ops.exp(x)
    long = h
    for _ in range(5):
        long = ops.tanh(long)
    sv.check_gradients(lambda x: (h := ops.exp(x)) * ops.tanh(ops.tanh(h)) + h, x.data)
    (g_h,) = grad(ops.sum(long + h), [h])
    assert (g_h > 1).all()


def test_a_chain_of_100_000_operations():
    x = y = Tensor(numpy.array(1.0))
    for _ in range(100_000):
        y = y + 1e-5
    assert grad(y, [x]) == [1.0]
    assert float(y) == pytest.approx(2.0)
    node = weakref.ref(y)
    del y
    assert node() is None


# ---- what is computed and kept


def test_rules_of_what_is_not_wanted_are_not_asked(x, y):
    @primitive
    def one_sided(x, y):
        return x * y

    def refuse(*_):
        raise AssertionError("a rule that nobody needs was asked")

    one_sided.defvjp(lambda g, out, x, y: g * y, refuse)
    numpy.testing.assert_array_equal(grad(ops.sum(one_sided(x, y)), [x])[0], y.data)
    with pytest.raises(AssertionError, match="nobody needs"):
        grad(ops.sum(one_sided(x, y)), [y])
    elder = Tensor(x.data)  # younger than what came before it: nothing older is walked through
    hidden = one_sided(Tensor(x.data), y)
    (g,) = grad(ops.sum(hidden + elder), [elder])
    assert (g == 1).all()


def test_one_rule_for_all_arguments_is_asked_once_for_those_that_are_wanted(x, y):
    @primitive
    def product(x, y, factor):
        return factor * x * y

    asked = []

    def rule(wanted, g, out, x, y, factor, intermediates):
        asked.append((wanted, intermediates))
        return [{0: g * factor * y, 1: g * factor * x}[i] for i in wanted]

    product.defvjp_together(rule, keep=lambda x, y, factor: (factor * x * y, "kept"))
    assert product(x.data, y.data, 2.0).shape == x.shape and not asked
    for wanted, numbers in (([x], [0]), ([y], [1]), ([y, x], [0, 1])):
        for create_graph in (False, True):
            gradients = grad(ops.sum(product(x, y, 2.0)), wanted, create_graph=create_graph)
            assert asked.pop() == (numbers, "kept") and not asked
            for g, other in zip(gradients, [y if z is x else x for z in wanted], strict=True):
                numpy.testing.assert_array_equal(sv.to_numpy(g), 2 * other.data)


def test_what_precedes_the_rules_is_computed_once_and_handed_to_all(x, y):
    @primitive
    def scaled(x, y, *, factor):
        return factor * x * y

    asked = []

    def before(g, out, x, y, factor):
        asked.append(out)
        return factor * g

    scaled.defvjp(lambda g, out, x, y, factor: g * y, lambda g, out, x, y, factor: g * x, before=before)
    for create_graph in (False, True):
        result = scaled(x, y, factor=3.0)
        kept, *gradients = grad(ops.sum(2 * result), [result, x, y], create_graph=create_graph)
        assert len(asked) == 1 and (asked.pop() is result) == create_graph
        assert (sv.to_numpy(kept) == 2).all()  # the cotangent of the result itself stays what it is
        for ours, other in zip(gradients, (y, x), strict=True):
            numpy.testing.assert_array_equal(sv.to_numpy(ours), 6 * other.data)


def test_what_the_forward_pass_keeps_dies_with_its_node_and_is_not_kept_without_one(x, y):
    @primitive
    def twice(x):
        return 2 * x

    twice.defvjp_together(lambda wanted, g, y, x, intermediates: [2 * g], keep=lambda x: (2 * x, x.copy()))
    node = twice(x)
    kept = weakref.ref(node.options["intermediates"])
    assert kept() is not None
    del node
    assert kept() is None
    with sv.no_grad():
        numpy.testing.assert_array_equal(twice(x), 2 * x.data)


def test_the_graph_is_freed_by_reference_count(rng):
    model = sv.VAE.mlp(input_size=8, latent_size=2, hidden=(5,))
    data = rng.random((4, 8), dtype=numpy.float32)
    gc.collect()
    gc.disable()
    try:
        loss = -ops.mean(model.elbo(data, sv.Noise(0)))
        nodes, waiting = [], [loss]
        while waiting:
            node = waiting.pop()
            nodes.append(weakref.ref(node))
            waiting += [x for x in node.arguments if isinstance(x, Tensor) and x.primitive]
        gradients = grad(loss, model.parameters())
        higher = grad(loss, model.parameters(), create_graph=True)
        del loss, node, higher
        assert len(nodes) > 10 and not any(node() for node in nodes)
        assert gc.collect() == 0
    finally:
        gc.enable()
    assert len(gradients) == len(model.parameters())


def test_an_activation_dies_with_the_last_result_that_needs_it(x):
    h = ops.exp(x)
    node = weakref.ref(h)
    result = ops.tanh(h)
    del h
    assert node() is not None
    del result
    assert node() is None


# ---- recording


def test_arrays_in_arrays_out(x):
    assert type(ops.exp(x.data)) is numpy.ndarray
    assert isinstance(ops.exp(x), Tensor)
    assert ops.exp(0.0) == 1.0


def test_no_grad_gives_plain_arrays(x, y):
    with no_grad():
        result = ops.tanh(x * y + 1) @ ops.transpose(x)
        assert type(result) is numpy.ndarray
        with no_grad():
            assert type(ops.exp(x)) is numpy.ndarray
        assert type(ops.exp(x)) is numpy.ndarray
    assert isinstance(ops.exp(x), Tensor)
    with pytest.raises(ZeroDivisionError), no_grad():
        raise ZeroDivisionError
    assert isinstance(ops.exp(x), Tensor)


def test_no_grad_holds_for_its_thread_alone(x):
    inside, done = threading.Event(), threading.Event()
    types = {}

    def without():
        with no_grad():
            inside.set()
            done.wait(10)
            types["without"] = type(ops.exp(x))

    thread = threading.Thread(target=without)
    thread.start()
    inside.wait(10)
    types["with"] = type(ops.exp(x))
    done.set()
    thread.join()
    assert types == {"without": numpy.ndarray, "with": Tensor}


def test_graphs_are_built_and_differentiated_in_many_threads(rng):
    arrays = rng.standard_normal((8, 5, 5))
    results = [None] * 8

    def work(i):
        for _ in range(50):
            x = Tensor(arrays[i])
            (results[i],) = grad(ops.sum(ops.tanh(x @ x)), [x])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for array, result in zip(arrays, results, strict=True):
        x = Tensor(array)
        numpy.testing.assert_array_equal(result, grad(ops.sum(ops.tanh(x @ x)), [x])[0])


# ---- Tensors


def test_a_tensor_aliases_its_array(rng):
    array = rng.standard_normal(3)
    leaf = Tensor(array)
    assert leaf.data is array and leaf.shape == (3,) and leaf.ndim == 1 and leaf.size == 3 and len(leaf) == 3
    assert leaf.dtype == numpy.float64
    assert Tensor([1.0, 2.0]).dtype == numpy.float64 and float(Tensor(2.5)) == 2.5


def test_a_small_tensor_prints_its_values(device):
    leaf = Tensor(asarray(numpy.array([[1.0, -2.5], [0.25, 2 / 3]]), device))
    assert repr(leaf) == f"Tensor([[ 1. , -2.5 ], [ 0.25 , 0.6667]], leaf, shape=(2, 2), float64, {device})"
    assert repr(2 * leaf[0]) == f"Tensor([ 2., -5.], multiply, shape=(2,), float64, {device})"
    assert repr(leaf.sum() * 12.0) == f"Tensor(-7., multiply, shape=(), float64, {device})"
    assert repr(Tensor(numpy.zeros(13))) == "Tensor(leaf, shape=(13,), float64, cpu)"


@pytest.mark.parametrize(
    "array", [numpy.arange(3), numpy.array([True]), numpy.array([1j]), numpy.array(["a"]), [1, 2], 3]
)
def test_other_types_are_refused(array):
    with pytest.raises(
        InputError, match=r"Tensor: expected an array of floating-point numbers, received .*(float32|x\.real)"
    ):
        Tensor(array)


def test_a_tensor_of_a_tensor_is_refused(x):
    with pytest.raises(InputError, match="Tensor: expected an array, received a Tensor"):
        Tensor(x)


def test_nothing_turns_a_tensor_into_an_array_silently(x):
    for convert in (numpy.asarray, numpy.array, numpy.exp, lambda x: numpy.concatenate([x, x])):
        with pytest.raises(TypeError):
            convert(x)
    with pytest.raises(TypeError, match=r"use sv\.to_numpy\(x\)"):
        numpy.asarray(x)
    target = numpy.zeros((3, 4))
    with pytest.raises(TypeError):
        target += x
    with pytest.raises(TypeError):
        target[...] = x


@pytest.mark.parametrize(
    "formula",
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: a / b,
        lambda a, b: a**b,
        lambda a, b: a @ b.T if isinstance(b, numpy.ndarray) else a @ ops.transpose(b),
    ],
)
def test_operators_on_either_side(formula, device):
    rng = numpy.random.default_rng(0)
    a, b = (rng.uniform(0.5, 2, (3, 4)) for _ in range(2))
    expected = formula(a, b)
    left, right = asarray(a, device), asarray(b, device)
    transposed = ops.transpose(right)
    if "transpose" in formula.__code__.co_names:
        results = [Tensor(left) @ transposed, left @ Tensor(transposed), Tensor(left) @ Tensor(transposed)]
    else:
        results = [formula(Tensor(left), right), formula(left, Tensor(right)), formula(Tensor(left), Tensor(right))]
    for result in results:
        assert isinstance(result, Tensor)
        numpy.testing.assert_allclose(sv.to_numpy(result), expected, rtol=1e-14)


@pytest.mark.parametrize(
    "formula", [lambda x: 2 + x, lambda x: 2 - x, lambda x: 2 * x, lambda x: 2 / x, lambda x: 2**x]
)
def test_numbers_beside_tensors_keep_the_type(formula, device):
    for dtype in (numpy.float32, numpy.float64):
        array = numpy.array([0.5, 1.5], dtype=dtype)
        result = formula(Tensor(asarray(array, device)))
        assert isinstance(result, Tensor) and result.dtype == dtype
        numpy.testing.assert_allclose(sv.to_numpy(result), formula(array), rtol=1e-6)


def test_comparisons_give_plain_truth_values(x, y, device):
    a, b = asarray(x.data, device), asarray(y.data, device)
    for compare in (
        lambda x, y: x < y,
        lambda x, y: x <= y,
        lambda x, y: x > y,
        lambda x, y: x >= y,
    ):
        for result in (compare(Tensor(a), Tensor(b)), compare(Tensor(a), b), compare(a, Tensor(b))):
            assert type(result) is type(a) and result.dtype == bool
            numpy.testing.assert_array_equal(sv.to_numpy(result), compare(x.data, y.data))
    assert (Tensor(a) > 0.0).sum() == (x.data > 0).sum()


def test_indexing_and_iteration(x):
    assert [row.shape for row in x] == [(4,)] * 3
    assert x[1:, ..., None].shape == (2, 4, 1)
    with pytest.raises(IndexError):
        x[3]


def test_a_tensor_without_axes_is_not_iterable(device):
    """NumPy: TypeError, iteration over a 0-d array. An empty iteration would make sum(loss) 0 and list(loss) empty."""
    for loss in (Tensor(asarray(numpy.array(3.0), device)), ops.sum(Tensor(asarray(numpy.ones(2), device)))):
        for consume in (iter, sum, list, tuple, max, lambda x: [*x], lambda x: zip(x, strict=True)):
            with pytest.raises(TypeError, match="iteration over a Tensor without axes"):
                consume(loss)
        with pytest.raises(TypeError, match="iterable"):
            assert 3.0 in loss
        with pytest.raises(TypeError):
            len(loss)


def test_a_tensor_is_summed_row_by_row(x):
    rows = [*x]
    assert [row.primitive for row in rows] == [ops.getitem] * 3
    (g,) = grad(ops.sum(ops.square(sum(rows))), [x])
    numpy.testing.assert_allclose(g, numpy.broadcast_to(2 * x.data.sum(0), (3, 4)))


def test_the_methods_of_arrays(x, device):
    leaf = Tensor(asarray(x.data, device))
    weight = x.data**2
    for formula in (
        lambda x: x.T,
        lambda x: x.T.reshape(2, -1),
        lambda x: x.reshape((6, 2)),
        lambda x: x.reshape(-1),
        lambda x: x.sum(),
        lambda x: x.sum(axis=1),
        lambda x: x.sum((0, 1), keepdims=True),
        lambda x: x.mean(),
        lambda x: x.mean(0),
        lambda x: x.mean(axis=-1, keepdims=True),
    ):
        result, expected = formula(leaf), formula(x.data)
        assert isinstance(result, Tensor) and result.shape == expected.shape
        numpy.testing.assert_allclose(sv.to_numpy(result), expected, rtol=1e-14)
        sv.check_gradients(lambda x, formula=formula: formula(x * weight), x.data)
    with no_grad():
        assert type(leaf.sum()) is type(ops.sum(leaf.data)) and type(leaf.T) is type(leaf.data)


def test_a_tensor_is_hashed_and_kept_by_identity(x):
    assert {x: 1}[x] == 1 and len({x, Tensor(x.data)}) == 2


# ---- what is refused


def test_the_loss_is_a_scalar_tensor(x):
    for loss, received in ((x, r"shape \(3, 4\)"), (x.data, "ndarray"), (1.0, "float"), (ops.sum(x.data), "float64")):
        with pytest.raises(ShapeError, match=f"grad: expected a scalar Tensor as loss, received {received}"):
            grad(loss, [x])


def test_wanted_is_a_list_of_tensors(x):
    for wanted, received in ((x, "Tensor"), ([x.data], "list"), ([x, 1.0], "list")):
        with pytest.raises(InputError, match=f"grad: expected a list of Tensors .*, received {received}"):
            grad(ops.sum(x), wanted)


def test_shapes_that_do_not_fit_are_named(x):
    with pytest.raises(ShapeError, match=r"add: expected shapes that fit, received \(3, 4\) and \(5,\)"):
        x + numpy.ones(5)
    with pytest.raises(ShapeError, match=r"matmul: expected shapes that fit, received \(3, 4\) and \(3, 4\)"):
        x @ x
    with pytest.raises(
        ShapeError, match=r"affine: expected shapes that fit, received \(3, 4\) and \(5, 2\) and \(2,\)"
    ):
        ops.affine(x, numpy.ones((5, 2)), numpy.ones(2))
    with pytest.raises(ShapeError, match=r"reshape: expected shapes that fit, received \(3, 4\)"):
        ops.reshape(x, (5, -1))
    with pytest.raises(ShapeError, match=r"concatenate: .* received \(3, 4\) and \(3, 5\)"):
        ops.concatenate([x, numpy.ones((3, 5))])
    with pytest.raises(ShapeError, match=r"squeeze: expected length 1 along axis 0, received shape \(3, 4\)"):
        ops.squeeze(x, 0)
    with pytest.raises(ShapeError, match="sum: .*out of bounds"):
        ops.sum(x, axis=2)
    with pytest.raises(ShapeError, match="crop: expected shapes that fit"):
        ops.crop(x, ((1, 1),))


def test_mixed_devices_are_named(x, gpu):
    there = asarray(x.data, "gpu")
    for mix in (
        lambda: x * there,
        lambda: there + x,
        lambda: Tensor(there) - x,
        lambda: x @ Tensor(asarray(x.data.T, "gpu")),
        lambda: ops.concatenate([x, there]),
        lambda: ops.maximum(there, x.data),
        lambda: ops.affine(x, asarray(numpy.ones((4, 2)), "gpu"), asarray(numpy.ones(2), "gpu")),
    ):
        with pytest.raises(DeviceError, match=r"expected arrays on one device, received .*(cpu and gpu|gpu and cpu)"):
            mix()


def test_tensors_go_by_position(x, y):
    with pytest.raises(InputError, match="add: expected Tensors by position, received one by name"):
        ops.add(x, y=y)
    with pytest.raises(InputError, match="exp: expected Tensors by position"):
        ops.exp(x=x)


def test_a_missing_rule_is_named(x):
    @elementwise
    def rounded(x):
        return array_module(x).rint(x)

    with pytest.raises(InputError, match="grad: expected a rule for argument 0 of rounded, received none"):
        grad(ops.sum(rounded(x)), [x])
    with pytest.raises(InputError, match="expected a rule for argument 0 of where"):
        condition = Tensor(numpy.ones((3, 4)))
        grad(ops.sum(ops.where(condition, x, x)), [condition])


def test_a_rule_of_the_wrong_shape_is_named(x):
    @primitive
    def row_sums(x):
        return x.sum(axis=1)

    row_sums.defvjp(lambda g, y, x: g)
    with pytest.raises(
        ShapeError, match=r"the rule of row_sums for argument 0: expected shape \(3, 4\), received \(3,\)"
    ):
        grad(ops.sum(row_sums(x)), [x])


def test_errors_of_the_function_itself_are_kept(x):
    @primitive
    def picky(x, mode="a"):
        if mode != "a":
            raise TypeError("modes are called a")
        raise InputError("picky", "luck", "none")

    with pytest.raises(TypeError, match="^modes are called a"):
        picky(x, mode="b")
    with pytest.raises(InputError, match="^picky: expected luck, received none"):
        picky(x)


def test_a_users_own_primitive():
    @sv.elementwise
    def cube(x):
        """x^3"""
        return x**3

    cube.defvjp(lambda g, y, x: 3 * g * x**2)
    sv.check_gradients(cube, numpy.array([0.5, -2.0]))
    assert cube.__doc__ == "x^3" and cube.__name__ == "cube" and repr(cube) == "cube"


def test_the_truth_of_a_tensor_is_that_of_its_value():
    assert Tensor(numpy.array(2.0)) and not Tensor(numpy.array(0.0))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: ops.expand_dims(x, 3), r"expand_dims: expected axes from -3 to 2, received 3"),
        (lambda x: ops.squeeze(x, -4), r"squeeze: expected axes from -2 to 1, received -4"),
        (lambda x: ops.pad(x, 1), r"pad: expected \(before, after\) for each of 2 axes, received 1"),
        (lambda x: ops.exp([1.0]), r"expected an array or a number, received list"),
    ],
)
def test_axes_and_types_that_are_not_there_are_refused(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call(Tensor(numpy.ones((2, 3))))


def test_logsumexp_of_no_probability_at_all_is_minus_infinity_without_a_warning():
    assert ops.logsumexp(numpy.array([-numpy.inf, -numpy.inf])) == -numpy.inf


def test_a_rule_that_writes_into_the_target_gives_the_same_gradient(rng):
    x, w, b = rng.standard_normal((2, 5, 3)), Tensor(rng.standard_normal((3, 4))), Tensor(rng.standard_normal(4))
    loss = ops.sum(ops.square(ops.affine(x, w, b)))
    targets = [numpy.full((3, 4), numpy.nan), numpy.full(4, numpy.nan)]
    same = grad(loss, [w, b], out=targets)
    for written, returned, right in zip(targets, same, grad(loss, [w, b], create_graph=True), strict=True):
        assert returned is written
        numpy.testing.assert_allclose(written, right.data, rtol=1e-14)


@pytest.mark.parametrize("shape", [(1,), (), (1, 4)])
def test_a_bias_that_broadcasts_has_its_gradient(rng, shape, device):
    x, w, b = (asarray(rng.standard_normal(s), device) for s in ((3, 2), (2, 4), shape))
    b = Tensor(b)
    (g,) = grad(ops.sum(ops.affine(x, w, b)), [b])
    numpy.testing.assert_allclose(sv.to_numpy(g), numpy.full(shape, 12 / max(1, math.prod(shape))))


def test_the_first_cotangent_is_a_number(x):
    for g in (None, "a", numpy.ones(2), Tensor(numpy.ones(()))):
        with pytest.raises(InputError, match="grad: expected g as a number, received"):
            grad(ops.sum(x), [x], g=g)


def test_a_weight_that_is_used_twice_adds_up_in_its_target(rng):
    x, w, b = rng.standard_normal((5, 3)), Tensor(rng.standard_normal((3, 3))), numpy.zeros(3)
    loss = ops.sum(ops.affine(ops.tanh(ops.affine(x, w, b)), w, b) + ops.sum(w))
    once, twice = (numpy.full((3, 3), numpy.nan) for _ in range(2))
    grad(loss, [w, w], out=[once, twice])
    expected = grad(loss, [w], create_graph=True)[0].data
    numpy.testing.assert_allclose(once, expected, rtol=1e-13)
    numpy.testing.assert_allclose(twice, expected, rtol=1e-13)


def test_the_checker_sees_a_wrong_rule_that_writes_into_the_target(monkeypatch, rng):
    rule = ops.affine.rules[1]
    right = rule.into
    monkeypatch.setattr(rule, "into", lambda out, *others: numpy.multiply(right(out, *others), 1.001, out=out))
    with pytest.raises(sv.GradientError):
        sv.check_gradients(ops.affine, rng.random((4, 3)), rng.random((3, 2)), rng.random(2), order=1)


# ---- values that change between the forward pass and grad


def changes(w, optimizer):
    """Name -> a change in place of the parameter that `grad` sees."""
    return {
        "step": optimizer.step,
        "multiplied": lambda: setattr(w, "data", operator.imul(w.data, 2.0)),  # w.data *= 2
        "subtracted": lambda: setattr(w, "data", operator.isub(w.data, 1.0)),
        "loaded": lambda: Holder(w).load_state({"w": numpy.full(3, 7.0)}),
    }


class Holder(sv.nn.Module):
    def __init__(self, w):
        self.w = w


@pytest.mark.parametrize("create_graph", [False, True], ids=["arrays", "graph"])
@pytest.mark.parametrize("name", ["step", "multiplied", "subtracted", "loaded"])
def test_a_loss_of_values_that_have_changed_in_place_is_refused(name, create_graph, device):
    """d w^3 / dw was read at the new w from a graph of the old one; neither 3 w^2 of the one nor of the other."""
    w = Tensor(asarray(numpy.array([1.0, 2.0, 3.0]), device))
    optimizer = sv.optim.SGD([w], learning_rate=0.5)
    loss = ops.sum(w * w * w)
    numpy.testing.assert_allclose(sv.to_numpy(grad(loss, [w])[0]), [3, 12, 27])
    optimizer.gradients[0][...] = 1.0
    changes(w, optimizer)[name]()
    sentence = r"grad: expected the values that the loss was computed from, received a leaf of shape \(3,\) that has"
    with pytest.raises(InputError, match=sentence + r" changed since multiply read it \(compute it anew\)"):
        grad(loss, [w], create_graph=create_graph)
    new = sv.to_numpy(w).copy()
    (g,) = grad(ops.sum(w * w * w), [w], create_graph=create_graph)
    numpy.testing.assert_allclose(sv.to_numpy(g), 3 * new**2)


def test_a_change_of_what_the_rules_read_is_seen_though_another_gradient_is_wanted(x):
    """d/dx (x w) is w, which has changed; w is older than x, and nobody asked for its gradient."""
    w = Tensor(numpy.ones((3, 4)))
    younger = Tensor(x.data)
    loss = ops.sum(younger * w)
    w.data *= 3.0
    with pytest.raises(InputError, match="a leaf of shape"):
        grad(loss, [younger])


def test_a_change_elsewhere_or_before_does_not_matter(x, y):
    stranger = Tensor(numpy.ones(2))
    y.data *= 2.0
    branch = ops.sum(ops.square(y))
    loss = ops.sum(x * x) + branch
    stranger.data *= 2.0
    numpy.testing.assert_allclose(grad(loss, [x])[0], 2 * x.data)
    y.data *= 2.0  # the rules between x and the loss read nothing of y
    numpy.testing.assert_allclose(grad(loss, [x])[0], 2 * x.data)
    with pytest.raises(InputError):
        grad(loss, [y])


def test_another_array_in_the_place_of_the_old_one_leaves_the_graph_as_it_was(x):
    """The graph keeps the array that it read; only rules on Tensors would read the new one."""
    before = x.data
    loss = ops.sum(x * x * x)
    x.data = before + 1.0
    numpy.testing.assert_allclose(grad(loss, [x])[0], 3 * before**2)
    with pytest.raises(InputError, match="changed since multiply read it"):
        grad(loss, [x], create_graph=True)
    x.data *= 2.0  # of the new array: refused all the same, as nobody knows whose memory it shares
    with pytest.raises(InputError):
        grad(loss, [x])


def test_a_second_derivative_across_a_change_is_refused(x):
    (g,) = grad(ops.sum(x * x * x), [x], create_graph=True)
    x.data *= 2.0
    with pytest.raises(InputError):
        grad(ops.sum(g), [x])


def test_results_are_not_assigned_to(x):
    y = ops.exp(x)
    with pytest.raises(InputError, match=r"Tensor\.data: expected a leaf to change, received the result of exp"):
        y.data *= 2.0


def test_training_steps_between_whole_passes_are_not_disturbed(x):
    w = Tensor(numpy.ones(4))
    optimizer = sv.optim.SGD([w], learning_rate=0.1)
    for _ in range(3):
        expected = w.data - 0.1 * 2 * w.data
        grad(ops.sum(w * w), [w], out=optimizer.gradients)
        optimizer.step()
        numpy.testing.assert_allclose(w.data, expected)
        sv.check_gradients(lambda w: ops.sum(ops.tanh(w)), w)


# ---- copies and processes


def test_an_unpickled_leaf_is_born_where_it_lands(tmp_path):
    """Births of another process once made every result of this one look older than its leaves: zero gradients."""
    for _ in range(1000):
        leaf = Tensor(numpy.array([1.0, 2.0]))
    assert leaf.birth > 900
    (tmp_path / "leaf").write_bytes(pickle.dumps((leaf, ops.tanh, sv.VAE.mlp(6, 2, (4,)))))
    code = f"""
import pathlib, pickle, numpy, scratchvae as sv
early = sv.Tensor(numpy.array([3.0, 4.0]))
leaf, tanh, model = pickle.loads(pathlib.Path({str(tmp_path / "leaf")!r}).read_bytes())
x = numpy.random.default_rng(0).random((5, 6), dtype=numpy.float32)
loss = sv.ops.sum(tanh(early * leaf)) + sv.ops.sum(model.elbo(x, sv.Noise(0)))
print(*[abs(g).sum() for g in sv.grad(loss, [early, leaf, *model.parameters()])])
"""
    here = {}
    exec(code.replace("print(*", "gradients = ("), here)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    there = [float(word) for word in run.stdout.split()]
    assert len(there) == 10 and min(there) > 0
    assert there == pytest.approx(here["gradients"], rel=1e-5)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_is_a_leaf_of_its_own(copied, x):
    twin = copied(x)
    numpy.testing.assert_array_equal(twin.data, x.data)
    assert twin.birth > x.birth and numpy.shares_memory(twin.data, x.data) == (copied is copy.copy)
    g, other = grad(ops.sum(x * x * twin), [x, twin])
    numpy.testing.assert_allclose(g, 2 * x.data**2)
    numpy.testing.assert_allclose(other, x.data**2)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_result_is_not_copied(copied, x):
    """A graph would come along, to the recursion limit, or its links would be lost without a word."""
    with pytest.raises(InputError, match="copy of a Tensor: expected a leaf, received the result of exp"):
        copied(ops.exp(x))


def test_primitives_are_copied_by_name():
    for name in sv.ops.__all__:
        operation = getattr(ops, name)
        assert copy.deepcopy(operation) is operation and pickle.loads(pickle.dumps(operation)) is operation


def test_births_in_many_threads_are_all_different():
    leaves = [[] for _ in range(8)]

    def work(mine):
        mine += [Tensor(numpy.zeros(1)).birth for _ in range(2000)]

    threads = [threading.Thread(target=work, args=(mine,)) for mine in leaves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({birth for mine in leaves for birth in mine}) == 8 * 2000
    assert all(mine == sorted(mine) for mine in leaves)
