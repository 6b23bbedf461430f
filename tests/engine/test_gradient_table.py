"""Every primitive and every public function of ops, on NumPy, on the strict stand-in and, where there is one, a GPU."""

import numpy
import pytest

from scratchvae import ops
from scratchvae.autodiff import Tensor, elementwise, grad
from scratchvae.backend import asarray, to_numpy
from scratchvae.checks.gradient_table import (
    ADJOINT_PAIRS,
    CASES,
    COMPOSITES,
    Case,
    check_adjoint,
    check_case,
    check_types,
    check_unwanted,
    check_value,
    composites,
    primitives,
    real,
    row,
)
from scratchvae.gradcheck import GradientError


def test_the_registry_is_the_test_list():
    assert CASES.keys() == primitives().keys()
    assert COMPOSITES.keys() == composites().keys()


def test_every_row_of_a_primitive_calls_it():
    for name, cases in CASES.items():
        for case in cases:
            assert str(case.function(*map(Tensor, case.inputs())).primitive) == name


@pytest.mark.parametrize("name", CASES | COMPOSITES)
def test_cases(name):
    for i, case in enumerate((CASES | COMPOSITES)[name]):
        assert check_case(case) <= 1e-6, f"row {i}"


def derivatives(case, device):
    """dL/dx without and with a graph, and d(v . dL/dx)/dx, where L = c . y, for random c and v."""

    def weighted(tensors):
        rng = numpy.random.default_rng(0)
        return sum(ops.sum(t * asarray(rng.standard_normal(t.shape), device)) for t in tensors)

    inputs = [Tensor(asarray(x, device)) for x in case.inputs()]
    loss = weighted([case.function(*inputs)])
    with_graph = grad(loss, inputs, create_graph=True)
    return [to_numpy(x) for x in (*grad(loss, inputs), *with_graph, *grad(weighted(with_graph), inputs))]


@pytest.mark.parametrize("name", CASES | COMPOSITES)
def test_another_device_has_the_gradients_of_the_cpu(name, gpu):
    """They equal those that `test_cases` compares with central differences."""
    for i, case in enumerate((CASES | COMPOSITES)[name]):
        check_value(case, "gpu")
        check_types(case, "gpu")
        for received, expected in zip(derivatives(case, "gpu"), derivatives(case, "cpu"), strict=True):
            numpy.testing.assert_allclose(received, expected, rtol=1e-9, atol=1e-9, err_msg=f"row {i}")


@pytest.mark.parametrize("name", CASES)
def test_only_wanted_inputs_are_pulled_back(name):
    for case in CASES[name]:
        check_unwanted(case)


@pytest.mark.parametrize("pair", ADJOINT_PAIRS.values(), ids=ADJOINT_PAIRS)
def test_adjoint_pair(pair, device):
    check_adjoint(pair, device)


# ---- the checks are checked


@elementwise
def scaled(x, factor):
    """x times a number that is not differentiated by"""
    return x * factor


scaled.defvjp(lambda g, y, x, factor: g * factor)


def failing(check, case):
    with pytest.raises(AssertionError) as caught:
        check(case)
    return str(caught.value)


def test_a_wrong_value_fails():
    assert "expected" in failing(check_value, row(lambda x: scaled(x, 2.0), lambda x: 2.002 * x, real(3)))
    assert "shape (1, 3)" in failing(check_value, row(lambda x: scaled(x, 2.0), lambda x: 2 * x[None], real(3)))


def test_a_value_that_is_not_finite_fails():
    assert "not finite" in failing(check_value, row(lambda x: scaled(x, numpy.nan), lambda x: x * numpy.nan, real(3)))


def test_a_wider_type_fails():
    factor = numpy.float64(2.0) * numpy.ones(3)
    assert "float32 in, float64 out" in failing(check_types, row(lambda x: scaled(x, factor), None, real(3)))


def test_writing_to_an_input_fails(strict_gpu):
    @elementwise
    def doubled_in_place(x):
        x *= 2
        return x

    doubled_in_place.defvjp(lambda g, y, x: 2 * g)
    with pytest.raises(ValueError, match="read-only"):
        check_types(row(doubled_in_place, None, real(3)))
    with pytest.raises(AssertionError, match="an input was written to"):
        check_types(row(doubled_in_place, None, real(3)), "gpu")


def test_asking_for_another_rule_fails():
    assert "asked for" in failing(check_unwanted, row(lambda x: ops.multiply(x, 1.0 * x), None, real(3)))


def test_a_wrong_gradient_fails():
    @elementwise
    def wrong(x):
        return x * x

    wrong.defvjp(lambda g, y, x: 2.002 * g * x)
    with pytest.raises(GradientError, match="wrong"):
        check_case(Case(wrong, numpy.square, (real(3),)))


def test_a_pair_that_is_not_adjoint_fails():
    pair = ADJOINT_PAIRS["pad, crop"]
    wrong = type(pair)(pair.forward, lambda y: 1.001 * pair.adjoint(y), pair.x_shape, pair.y_shape)
    assert "differ" in failing(check_adjoint, wrong)
