"""Every operation at the edges of its types: the rows of the gradient table, on numbers that are hard for float32.

A row's reference computes in float64, where these numbers are ordinary; a new operation enters by its row.
"""

import math

import numpy
import pytest

import scratchvae as sv
from scratchvae import ops
from scratchvae.autodiff import Tensor, grad
from scratchvae.backend import asarray, to_numpy
from scratchvae.checks.gradient_table import CASES, COMPOSITES, primitives
from scratchvae.errors import InputError, ShapeError
from scratchvae.ops.activations import BIASED
from scratchvae.ops.reductions import LONGEST

INFINITE = numpy.inf
FLOATS = (numpy.float16, numpy.float32)
REGIMES = {
    "truth values": (bool, [True, False, True]),
    "8 bits without a sign": (numpy.uint8, [0, 1, 255, 16, 3]),
    "8 bits with a sign": (numpy.int8, [-128, 127, 0, 1, -3]),
    "integers": (numpy.int64, [-3, 0, 2, 40, 1]),
    "float16": (numpy.float16, [0.5, 20.0, 1000.0, 1.0]),
    "float16, largest": (numpy.float16, [65504.0, 30000.0]),
    "float16, smallest": (numpy.float16, [6e-8, 1e-4]),
    "float32, 1e-25": (numpy.float32, [1e-25, 3e-25, 2e-25]),
    "float32, 1e25": (numpy.float32, [1e25, 3e25, 2e25]),
    "float32, 1e38": (numpy.float32, [1e38, 3e38, 2e38]),
    "float32, -1e38": (numpy.float32, [-1e38, -3e38, -2e38]),
    "float32, subnormal": (numpy.float32, [1e-45, 1e-41, 3e-39]),
    "float32, zero": (numpy.float32, [0.0, 0.0]),
    "float32, 1e4": (numpy.float32, [1e4, -1e4, 0.0]),
    "float32, 100": (numpy.float32, [-100.0, -30.0, 30.0, 80.0]),
    "float32, -infinity": (numpy.float32, [-INFINITE, 0.5, 2.0, -1.0]),
}
LEFT_OUT = {
    **dict.fromkeys(("activated", "mean"), {"float32, 1e38", "float32, -1e38"}),  # the sum is infinite, as NumPy's is
    **{
        name: {"float32, -infinity"} for name in ("matmul", "affine", "scatter_rows", "bernoulli_log_prob")
    },  # infinity less infinity,
    **{name: {"float32, -infinity"} for name in CASES if name.startswith("conv")},  # or times the zeros of a margin
}
SQUARES_PASS_THE_RANGE = {"float16", "float16, largest", "float32, 1e25", "float32, 1e38", "float32, -1e38"}
LEFT_OUT |= dict.fromkeys(("lstm", "lstm_step"), SQUARES_PASS_THE_RANGE)  # those of the normalisation
LEFT_OUT |= {"normal_log_prob": SQUARES_PASS_THE_RANGE | {"float32, -infinity"}}
LEFT_OUT |= {"normal_kl": SQUARES_PASS_THE_RANGE | {"float32, 1e4"}}  # as e^2r does
LEFT_OUT |= dict.fromkeys(("gru", "gru_step"), {"float32, -1e38"})  # h U is infinite, and r is 0
PRODUCTS_PASS_THE_RANGE = {"float16, largest", "float32, 1e25", "float32, 1e38"}
LEFT_OUT_OF_GRADIENTS = {
    "power": {"float16, smallest", "float32, subnormal"},  # the slope, p x^(p - 1), passes infinity
    "lstm": {"float16, smallest", "float32, 100"},  # rounding is compounded by the steps
    "lstm_step": {"float32, 100"},
    "gru": PRODUCTS_PASS_THE_RANGE | {"float16", "float32, -infinity"},  # an infinite h U times a slope of 0; rounding
    "gru_step": PRODUCTS_PASS_THE_RANGE,
    "normal_kl": {"float16, smallest"},  # 1 is taken from e^2r
    "normal_draw": {"float32, -1e38"},  # a sum over draws passes the range, and s is 0
}
OPERATORS = {"add", "subtract", "multiply", "divide"}  # whose rows of one argument are NumPy's own, 3 * x, on arrays
SOFTMAX = {"logsumexp", "log_softmax", "softmax"}  # rounding there is relative to the largest |x|
ONE_LESS_Y = {"activated", "sigmoid", "tanh"}  # rounding of their slopes is relative to 1


ROWS = CASES | COMPOSITES
ELEMENTWISE = {name for name, primitive in primitives().items() if primitive.elementwise}


def regimes_of(name, of_gradients=False):
    """The types and values for an operation; of floating-point numbers alone where gradients are asked."""
    left_out = LEFT_OUT.get(name, set())
    if of_gradients:
        left_out = left_out | LEFT_OUT_OF_GRADIENTS.get(name, set())
    for regime, (dtype, values) in REGIMES.items():
        if regime not in left_out and (dtype in FLOATS or not of_gradients):
            yield dtype, values


def filled(case, dtype, values):
    """The row's inputs with other entries, in turn; each input begins with another one."""
    return [numpy.resize(numpy.roll(numpy.asarray(values, dtype), -i), x.shape) for i, x in enumerate(case.inputs())]


def assert_close(received, expected, added_to):
    """To 16 units in the last place: of the entry, or of what entries have been added to."""
    assert numpy.shape(received) == numpy.shape(expected)
    received = received if received.dtype.kind == "f" else received.astype(numpy.float64)
    kind = numpy.finfo(received.dtype)
    with numpy.errstate(over="ignore", under="ignore", invalid="ignore"):
        expected = numpy.asarray(expected).astype(received.dtype)
    rounding = 16 * float(kind.eps)
    scale = min(max(added_to, float(kind.tiny)), float(kind.max))
    numpy.testing.assert_allclose(received, expected, rtol=rounding, atol=rounding * scale)


def quiet(expected):
    """Overflow is said by infinity; "invalid" may be said only where the reference has NaN."""
    invalid = "ignore" if numpy.isnan(expected).any() else "raise"
    return numpy.errstate(over="ignore", under="ignore", divide="ignore", invalid=invalid)


def largest(*arrays):
    """The largest finite magnitude."""
    return max(float(numpy.max(abs(x), where=numpy.isfinite(x), initial=0.0)) for x in arrays)


@pytest.mark.parametrize("name", ROWS)
def test_values(name):
    for dtype, values in regimes_of(name):
        check_value(name, dtype, values)


def check_value(name, dtype, values):
    for case in ROWS[name]:
        if name in OPERATORS and len(case.domains) == 1 and dtype not in FLOATS:
            continue
        inputs = filled(case, dtype, values)
        doubles = [x.astype(numpy.float64) for x in inputs]
        with numpy.errstate(all="ignore"):
            expected = numpy.asarray(case.reference(*doubles))
        if name.startswith(("conv", "lstm", "gru")) and dtype not in FLOATS:
            with pytest.raises(InputError, match=f"{name}: expected .* of floating-point numbers"):
                case.function(*inputs)
            continue
        with quiet(expected):
            received = numpy.asarray(case.function(*inputs))
        assert received.dtype == dtype or dtype not in FLOATS
        summands = [expected, *doubles] if name in SOFTMAX else [expected]
        summands += [numpy.ones(1)] if name == "normal_kl" else []  # e^2r - 1
        assert_close(received, expected, 0.0 if name in ELEMENTWISE else largest(*summands))


@pytest.mark.parametrize("name", ROWS)
def test_gradients(name):
    for dtype, values in regimes_of(name, of_gradients=True):
        check_gradient(name, dtype, values)


def check_gradient(name, dtype, values):
    """The one of float64, which central differences hold to account at ordinary numbers."""
    for case in ROWS[name]:
        inputs = filled(case, dtype, values)
        doubles = [x.astype(numpy.float64) for x in inputs]
        with numpy.errstate(all="ignore"):
            expected, received = gradients(case.function, doubles), gradients(case.function, inputs)
        for ours, right in zip(received, expected, strict=True):
            assert ours.dtype == dtype
            if name in SOFTMAX:
                added_to = max(1.0, largest(*doubles))
            else:
                added_to = float(name in ONE_LESS_Y) if name in ELEMENTWISE else largest(right)
            assert_close(ours, right, added_to)


def gradients(function, inputs):
    leaves = [Tensor(x) for x in inputs]
    return grad(ops.sum(function(*leaves)), leaves)


# ---- slopes at -infinity, at 0 and at infinity

SLOPES = {
    "abs": (-1, 0, 1),
    "clip": (0, 1, 0),
    "exp": (0, 1, INFINITE),
    "expm1": (0, 1, INFINITE),
    "leaky_relu": (0.01, 0.01, 1),
    "log": (None, INFINITE, 0),
    "log1p": (None, 1, 0),
    "negative": (-1, -1, -1),
    "relu": (0, 0, 1),
    "sigmoid": (0, 0.25, 0),
    "softplus": (0, 0.5, 1),
    "sqrt": (None, INFINITE, 0),
    "square": (-INFINITE, 0, INFINITE),
    "tanh": (0, 1, 0),
}


def slopes(function, *inputs):
    with numpy.errstate(divide="ignore"):
        return gradients(function, [numpy.asarray(x, numpy.float64) for x in inputs])


def test_slopes_of_every_function_of_one_argument():
    one_argument = {name for name in CASES if name in ELEMENTWISE and len(CASES[name][0].domains) == 1}
    assert SLOPES.keys() == one_argument - {"where"}
    for name, expected in SLOPES.items():
        for x, slope in zip((-INFINITE, 0.0, INFINITE), expected, strict=True):
            if slope is not None:
                assert slopes(CASES[name][0].function, x) == [slope], (name, x)


@pytest.mark.parametrize("name", SLOPES)
def test_a_nan_stays_one_and_its_cotangent_is_not_lost(name):
    x = Tensor(numpy.array([numpy.nan]))
    y = CASES[name][0].function(x)
    assert numpy.isnan(y.data).all() and grad(ops.sum(y), [x])[0] != 0


@pytest.mark.parametrize("function", [ops.logsumexp, ops.softmax, ops.log_softmax, ops.max, ops.min, ops.mean])
def test_a_nan_is_in_all_that_it_has_a_part_in(function):
    assert numpy.isnan(function(numpy.array([1.0, numpy.nan, INFINITE]))).all()


def test_a_nan_among_others_is_the_largest_and_the_smallest():
    """As NumPy has it; PyTorch hands a pair's cotangent to both, too."""
    nan = numpy.nan
    for function in (ops.max, ops.min):
        (g,) = slopes(lambda x, function=function: function(x, axis=1), [[1, nan, 2], [3, 3, 3]])
        numpy.testing.assert_allclose(g, [[0, 1, 0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-15)
    for function in (ops.maximum, ops.minimum):
        assert numpy.isnan(function(numpy.array([nan, 1.0]), numpy.array([1.0, nan]))).all()
        for x, y in ((nan, 1.0), (1.0, nan), (nan, nan)):
            assert slopes(function, x, y) == [1, 1]
        assert slopes(function, INFINITE, INFINITE) == [0.5, 0.5]


def test_powers_of_zero():
    assert slopes(ops.power, 0.0, 2.0) == [0, 0]
    assert slopes(ops.power, 0.0, 1.0) == [1, 0]
    assert slopes(ops.power, 0.0, 0.5) == [INFINITE, 0]
    assert slopes(ops.power, 0.0, 0.0) == [0, 0]
    assert slopes(lambda x: x**-1, 2.0) == [-0.25]


def test_logsumexp_of_infinities():
    x = numpy.array([[-INFINITE, -INFINITE], [-INFINITE, 3.0], [INFINITE, 3.0]])
    assert ops.logsumexp(x, axis=1).tolist() == [-INFINITE, 3.0, INFINITE]
    assert [slopes(ops.logsumexp, row)[0].tolist() for row in x] == [[0, 0], [0, 1], [1, 0]]


EDGES = numpy.array(numpy.meshgrid(*[[-INFINITE, -1.5, 0, 3, INFINITE, numpy.nan]] * 3)).reshape(3, -1)
"""All triples of these numbers, one in each column."""


TYPES = [numpy.float32, pytest.param(numpy.float64, marks=pytest.mark.slow)]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["logsumexp", "log_softmax", "softmax"])
def test_kernels_of_a_gpu_have_the_edges_of_the_lines(name, dtype, gpu):
    x, function, g = EDGES.astype(dtype), getattr(ops, name), numpy.array([[1.0], [-2.0], [0.5]], dtype)
    if name == "logsumexp":
        g = g[0]
    for axis, rows in ((0, x), (1, x.T), (1, x.T.reshape(1, 3, 3, -1).swapaxes(1, 2)[0])):
        weights = g if axis == 0 or name == "logsumexp" else numpy.resize(g, (3, *[1] * (rows.ndim - 2)))
        ours, theirs = Tensor(asarray(rows, "gpu")), Tensor(rows)
        with numpy.errstate(invalid="ignore"):
            y, expected = function(ours, axis=axis), function(theirs, axis=axis)
            slope = grad(ops.sum(y * asarray(weights, "gpu")), [ours])[0]
            right = grad(ops.sum(expected * weights), [theirs])[0]
        tolerance = 8 * numpy.finfo(dtype).eps
        numpy.testing.assert_allclose(to_numpy(y.data), expected.data, rtol=tolerance, atol=tolerance)
        numpy.testing.assert_allclose(to_numpy(slope), right, rtol=tolerance, atol=tolerance)


def test_sums_of_logs_along_any_axes(gpu, rng):
    """Neighbouring axes have a kernel; others, and more entries than one thread should add up, have the lines."""
    x = rng.standard_normal((2, 3, 4, 5))
    long = rng.standard_normal((2, LONGEST + 1))
    for values, axis in [(x, axis) for axis in (None, 0, -2, (1, 2), (-1, -2), (0, 2), (0, 1, 2, 3))] + [(long, 1)]:
        for keepdims in (False, True):
            y = to_numpy(ops.logsumexp(asarray(values, "gpu"), axis=axis, keepdims=keepdims))
            right = numpy.logaddexp.reduce(values, axis=tuple(range(4)) if axis is None else axis, keepdims=keepdims)
            numpy.testing.assert_allclose(y, right, rtol=1e-14)
    for axis in (4, -5, (0, 0), (3, 4)):
        with pytest.raises((ValueError, ShapeError)):
            ops.logsumexp(asarray(x, "gpu"), axis=axis)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["relu", "leaky_relu", "tanh", "sigmoid", "softplus"])
def test_activations_of_a_gpu_have_the_edges_of_the_lines(name, dtype, gpu):
    values = [-INFINITE, -1e38, -100, -64.5, -20, -1, -1e-30, 0, 1e-30, 1, 20, 63.9, 64, 100, 1e38, INFINITE, numpy.nan]
    x, tolerance, activation = numpy.array(values, dtype), 8 * numpy.finfo(dtype).eps, getattr(ops, name)
    ours, theirs = Tensor(asarray(x, "gpu")), Tensor(x)
    bias = asarray(numpy.zeros(len(x), dtype), "gpu")
    expected = activation(theirs)
    with numpy.errstate(invalid="ignore"):
        right = grad(ops.sum(2 * expected), [theirs])[0]
    for y in (activation(ours), ops.activated(ours, bias, activation=activation)):
        numpy.testing.assert_allclose(to_numpy(y.data), expected.data, rtol=tolerance, atol=1e-37)
        with numpy.errstate(invalid="ignore"):
            slope = grad(ops.sum(2 * y), [ours])[0]
        numpy.testing.assert_allclose(to_numpy(slope), right, rtol=tolerance, atol=1e-37)


def test_an_activation_of_a_sum_is_one_of_five():
    assert set(BIASED) <= set(sv.nn.linear.ACTIVATIONS.values())
    x = numpy.ones((2, 3))
    expected = "one of the functions tanh, sigmoid, softplus, relu, leaky_relu of scratchvae.ops, received"
    for wrong in (ops.exp, None, "relu", [ops.relu]):
        with pytest.raises(InputError, match=expected):
            ops.activated(x, x, activation=wrong)
    with pytest.raises(InputError, match=expected):
        sv.nn.Linear(3, 2, sv.Noise(0))(x, numpy.tanh)


def test_softmax_of_infinities():
    x = numpy.array([[-INFINITE, 3.0, 3.0], [INFINITE, 3.0, -INFINITE]])
    numpy.testing.assert_allclose(ops.softmax(x), [[0, 0.5, 0.5], [1, 0, 0]], rtol=1e-15)
    numpy.testing.assert_allclose(
        ops.log_softmax(x), [[-INFINITE, -math.log(2), -math.log(2)], [0, -INFINITE, -INFINITE]], rtol=1e-15
    )
    (g,) = slopes(lambda x: ops.softmax(x) * numpy.array([1.0, 2.0, 3.0]), x)
    numpy.testing.assert_allclose(g, [[0, -0.25, 0.25], [0, 0, 0]], atol=1e-15)
    (g,) = slopes(lambda x: ops.log_softmax(x)[:, 1], x[:1])
    numpy.testing.assert_allclose(g, [[0, 0.5, -0.5]], atol=1e-15)


def test_half_precision_adds_up_by_way_of_float32():
    ones = numpy.ones((5000, 2), numpy.float16)
    assert ops.sum(ones, axis=0).tolist() == [5000, 5000] and ops.mean(300 * ones) == 300
    assert ops.logsumexp(ones, axis=0) == pytest.approx([1 + math.log(5000)] * 2, rel=1e-3)


def test_what_has_no_entries_is_refused_or_zero():
    for name in ("max", "min", "mean", "logsumexp"):
        with pytest.raises(ShapeError, match=f"{name}: expected"):
            getattr(ops, name)(numpy.ones((0, 3)), axis=0)
    assert ops.sum(numpy.ones((0, 3)), axis=0).tolist() == [0, 0, 0]
    assert ops.affine(numpy.ones((2, 3, 0)), numpy.ones((0, 4)), numpy.arange(4.0)).shape == (2, 3, 4)


def test_slopes_where_formulas_change():
    """On the bounds of clip; of softplus between where e^-x is lost beside 1 + x and where it is lost beside 1."""
    (slope,) = gradients(lambda x: ops.clip(x, 0.0, 1.0), [numpy.array([-0.1, 0.0, 0.5, 1.0, 1.1])])
    assert slope.tolist() == [0, 1, 1, 1, 0]
    x = numpy.array([10.0, 17.0, 20.0, 30.0])
    (slope,) = gradients(ops.softplus, [x])
    numpy.testing.assert_allclose(1 - slope, numpy.exp(-x) / (1 + numpy.exp(-x)), atol=2e-15)


def test_a_negative_base_has_no_slope_by_its_exponent():
    for base in (-2.0, numpy.array([-2.0])):
        with numpy.errstate(invalid="ignore"):
            (slope,) = gradients(lambda p, base=base: ops.power(base, p), [numpy.array([2.0])])
        assert numpy.isnan(slope).all()


def test_a_slope_may_differ_from_column_to_column(device):
    x, slope = (asarray(numpy.array(values), device) for values in ([[-2.0, 3.0], [-4.0, -5.0]], [0.25, 0.5]))
    x = Tensor(x)
    y = ops.leaky_relu(x, slope)
    assert to_numpy(y.data).tolist() == [[-0.5, 3.0], [-1.0, -2.5]]
    assert to_numpy(grad(ops.sum(y), [x])[0]).tolist() == [[0.25, 1.0], [0.25, 0.5]]
