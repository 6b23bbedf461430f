"""The checker is checked: every primitive with a rule wrong by 0.1 % must fail it, at order 1 and at order 2."""

import numpy
import pytest

import scratchvae as sv
from scratchvae import ops
from scratchvae.autodiff import Tensor, elementwise, grad
from scratchvae.checks.gradient_table import CASES, primitives
from scratchvae.errors import InputError
from scratchvae.gradcheck import GradientError, check_gradients


class Planted:
    """The rules of a primitive, with one of them changed."""

    def __init__(self, rules, i, change):
        self.rules, self.i, self.change = rules, i, change

    def get(self, i):
        return self.change(self.rules.get(i)) if i == self.i else self.rules.get(i)


def slightly_wrong(rule):
    return lambda g, y, *arguments, **options: 1.001 * rule(g, y, *arguments, **options)


def slightly_wrong_on_tensors(rule):
    def wrong(g, y, *arguments, **options):
        cotangent = rule(g, y, *arguments, **options)
        return 1.001 * cotangent if isinstance(g, Tensor) else cotangent

    return wrong


def forgets_the_graph(rule):
    """Right in value on arrays and Tensors, but a constant to whoever differentiates it again."""

    def wrong(g, y, *arguments, **options):
        cotangent = rule(g, y, *arguments, **options)
        return Tensor(cotangent.data) if isinstance(cotangent, Tensor) else cotangent

    return wrong


def differentiated_arguments():
    """(name, argument) for every rule that the rows of the table reach."""
    return [
        pytest.param(name, i, id=f"{name}-{i}")
        for name, cases in CASES.items()
        for i in sorted({i for case in cases for i in reached(case)})
    ]


def reached(case):
    inputs = list(map(Tensor, case.inputs()))
    return [i for i, x in enumerate(case.function(*inputs).arguments) if isinstance(x, Tensor)]


def plant(monkeypatch, name, i, change):
    """Change rule i of the primitive; the rows in which that argument matters."""
    cases = [case for case in CASES[name] if i in reached(case) and matters(case, i)]
    primitive = primitives()[name]
    if primitive.together:
        monkeypatch.setattr(primitive, "together", planted_together(primitive.together, i, change))
    else:
        monkeypatch.setattr(primitive, "rules", Planted(primitive.rules, i, change))
    assert cases
    return cases


def planted_together(rule, i, change):
    """A rule for all arguments, changed for argument i."""

    def wrong(wanted, *arguments, **options):
        cotangents = dict(zip(wanted, rule(wanted, *arguments, **options), strict=True))
        if i in cotangents:
            cotangents[i] = change(lambda *_, **__: cotangents[i])(*arguments, **options)
        return list(cotangents.values())

    return wrong


def matters(case, i):
    y = case.function(*map(Tensor, case.inputs()))
    (gradient,) = grad(ops.sum(y), [y.arguments[i]])
    return numpy.any(gradient != 0)


@pytest.mark.parametrize(("name", "i"), differentiated_arguments())
def test_every_rule_wrong_by_a_thousandth_fails(monkeypatch, name, i):
    for case in plant(monkeypatch, name, i, slightly_wrong):
        with pytest.raises(GradientError):
            check_gradients(case.function, *case.inputs(), order=1)


@pytest.mark.parametrize(("name", "i"), differentiated_arguments())
def test_every_rule_wrong_on_tensors_alone_fails_at_order_2(monkeypatch, name, i):
    case = plant(monkeypatch, name, i, slightly_wrong_on_tensors)[0]
    check_gradients(case.function, *case.inputs(), order=1)
    with pytest.raises(GradientError):
        check_gradients(case.function, *case.inputs(), order=2)


@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "multiply", "matmul", "logsumexp", "softplus", "square"])
def test_a_rule_that_forgets_the_graph_fails_at_order_2(monkeypatch, name):
    case = plant(monkeypatch, name, 0, forgets_the_graph)[0]
    check_gradients(case.function, *case.inputs(), order=1)
    with pytest.raises(GradientError, match="gradient of .*input"):
        check_gradients(case.function, *case.inputs(), order=2)


@elementwise
def holed(x):
    """x^2, with a rule that gives NaN where x is negative"""
    return x * x


holed.defvjp(lambda g, y, x: ops.where(x > 0, 2 * g * x, numpy.nan))


def test_a_nan_is_a_failure():
    with pytest.raises(GradientError, match=r"holed: gradient by input 0 at entry \(1,\): .* received nan"):
        check_gradients(holed, numpy.array([1.0, -1.0]), order=1)
    with numpy.errstate(invalid="ignore"), pytest.raises(GradientError, match="expected nan"):
        check_gradients(ops.log, numpy.array([-1.0]))


def test_the_message_names_function_input_entry_and_both_values():
    @elementwise
    def wrong_product(x, y):
        return x * y

    wrong_product.defvjp(lambda g, out, x, y: g * y, lambda g, out, x, y: g * x * (y > 0))
    y = numpy.array([[1.0, 2.0], [3.0, -1.0]])
    sentence = r"wrong_product: gradient by input 1 at entry \(1, 1\): expected .* by central difference, received -?0 "
    with pytest.raises(GradientError, match=sentence):
        check_gradients(wrong_product, 2.0 * numpy.ones((2, 2)), y, order=1)
    with pytest.raises(GradientError, match="^wrong_product: "):
        check_gradients(lambda x, y: wrong_product(x, y), 2.0 * numpy.ones((2, 2)), y, order=1)


def test_float32_and_integers_are_refused(rng):
    with pytest.raises(InputError, match="expected float64 inputs, received float32"):
        check_gradients(ops.exp, rng.standard_normal(3, dtype=numpy.float32))
    with pytest.raises(InputError, match="expected float64 inputs, received float32"):
        check_gradients(ops.multiply, rng.standard_normal(3), Tensor(numpy.ones(3, dtype=numpy.float32)))
    with pytest.raises(InputError, match="expected an array of floating-point numbers, received int64"):
        check_gradients(ops.exp, numpy.arange(3))


def test_a_function_that_gives_no_tensor_is_refused():
    with pytest.raises(InputError, match="expected a Tensor from first, received ndarray"):

        def first(x):
            return sv.to_numpy(x)

        check_gradients(first, numpy.ones(3))


def test_arrays_and_leaves_are_left_as_they_were(rng, device):
    array = rng.standard_normal((3, 2))
    leaf = Tensor(sv.backend.asarray(array, device))
    before = leaf.data
    check_gradients(lambda x, y: ops.tanh(x @ y), leaf, sv.backend.asarray(rng.standard_normal((2, 2)), device))
    assert leaf.data is before
    numpy.testing.assert_array_equal(sv.to_numpy(leaf), array)
    array.flags.writeable = False
    check_gradients(ops.exp, array)


def test_a_leaf_is_restored_when_the_check_fails(rng):
    leaf = Tensor(-rng.random(3))
    before = leaf.data.copy()
    with pytest.raises(GradientError):
        check_gradients(holed, leaf)
    numpy.testing.assert_array_equal(leaf.data, before)

    calls = []

    def interrupted(x):
        calls.append(x)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return ops.exp(x)

    with pytest.raises(KeyboardInterrupt):
        check_gradients(interrupted, leaf)
    numpy.testing.assert_array_equal(leaf.data, before)


def test_the_largest_error_is_returned(rng):
    error = check_gradients(ops.exp, rng.standard_normal(3))
    assert 0 < error < 1e-8
    assert check_gradients(ops.exp, numpy.zeros((0, 3))) == 0
    with pytest.raises(GradientError):
        check_gradients(ops.exp, rng.standard_normal(3), tolerance=error / 2)


def test_single_numbers_and_inputs_that_do_not_matter():
    check_gradients(lambda x, y: ops.exp(x) + 0 * y, 0.5, numpy.ones(3))
    check_gradients(lambda x, y: ops.exp(x), numpy.array(0.5), numpy.ones(3))


def test_order_3():
    check_gradients(ops.tanh, numpy.array([0.3, -0.7]), order=3)
