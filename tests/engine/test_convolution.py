"""Convolutions against explicit loops and PyTorch, in blocks of any size, on bad input, and as layers."""

import itertools
import tracemalloc

import numpy
import pytest

import scratchvae as sv
from scratchvae import ops
from scratchvae.autodiff import Tensor, grad
from scratchvae.checks.gradient_table import loop_conv2d, loop_conv2d_kernel, loop_conv_transpose2d
from scratchvae.errors import DeviceError, InputError, ShapeError
from scratchvae.nn import Conv2d, ConvTranspose2d, GroupNorm, he_uniform
from scratchvae.ops import convolution

SIZES = [(1, 1), (3, 5), (7, 4), (8, 9)]
KERNELS = [(1, 1), (2, 3), (3, 3), (4, 4), (5, 2)]
STRIDES = [(1, 1), (2, 2), (2, 3), (3, 1), (5, 4)]
MARGINS = [((0, 0), (0, 0)), ((1, 1), (1, 1)), ((2, 2), (0, 0)), ((1, 0), (0, 2)), ((0, 3), (4, 1)), ((5, 5), (6, 6))]
GRID = [
    (size, kernel, stride, margins)
    for size, kernel, stride, margins in itertools.product(SIZES, KERNELS, STRIDES, MARGINS)
    if all(n + sum(margin) >= k for n, k, margin in zip(size, kernel, margins, strict=True))
]


def test_the_grid_has_more_than_a_hundred_combinations():
    assert len(GRID) > 400


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_all_three_equal_explicit_loops(rng, size):
    for _, kernel_size, stride, margins in (combination for combination in GRID if combination[0] == size):
        x, kernel = rng.standard_normal((2, *size, 3)), rng.standard_normal((*kernel_size, 3, 2))
        expected = loop_conv2d(x, kernel, stride, margins)
        received = ops.conv2d(x, kernel, stride, margins)
        numpy.testing.assert_allclose(received, expected, rtol=1e-12, atol=1e-12)
        y = rng.standard_normal(expected.shape)
        expected = loop_conv_transpose2d(y, kernel, stride, margins, size)
        received = ops.conv_transpose2d(y, kernel, stride, margins, output_shape=size)
        numpy.testing.assert_allclose(received, expected, rtol=1e-12, atol=1e-12)
        expected = loop_conv2d_kernel(x, y, kernel_size, stride, margins)
        received = ops.conv2d_kernel(x, y, kernel_size, stride, margins)
        numpy.testing.assert_allclose(received, expected, rtol=1e-12, atol=1e-12)


# ---- PyTorch


@pytest.mark.parametrize("dtype", [numpy.float64, numpy.float32])
def test_values_and_gradients_equal_pytorchs(rng, dtype):
    torch = pytest.importorskip("torch")

    def last(x):
        return x.detach().numpy().transpose(0, 2, 3, 1)

    def compare(ours, theirs):
        tolerance = 1e-11 if dtype == numpy.float64 else 2e-4
        assert ours.dtype == dtype
        numpy.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)

    for size, kernel_size, stride, ((top, bottom), (left, right)) in GRID[:: 3 if dtype == numpy.float64 else 11]:
        x, kernel = (rng.standard_normal(shape).astype(dtype) for shape in ((2, *size, 3), (*kernel_size, 3, 2)))
        leaf = torch.tensor(x.transpose(0, 3, 1, 2).copy(), requires_grad=True)
        weight = torch.tensor(kernel.transpose(3, 2, 0, 1).copy(), requires_grad=True)
        padded = torch.nn.functional.pad(leaf, (left, right, top, bottom))
        peer = torch.nn.functional.conv2d(padded, weight, stride=stride)
        y = ops.conv2d(t := Tensor(x), k := Tensor(kernel), stride, ((top, bottom), (left, right)))
        compare(y.data, last(peer))
        cotangent = rng.standard_normal(y.shape).astype(dtype)
        g_x, g_kernel = grad(ops.sum(y * cotangent), [t, k])
        peer.backward(torch.tensor(cotangent.transpose(0, 3, 1, 2).copy()))
        compare(g_x, last(leaf.grad))
        compare(g_kernel, weight.grad.numpy().transpose(2, 3, 1, 0))


@pytest.mark.parametrize(
    ("size", "kernel_size", "stride", "padding", "more"),
    [
        ((3, 4), (4, 4), (2, 2), (1, 1), (0, 0)),
        ((3, 4), (3, 5), (3, 2), (1, 2), (2, 1)),
        ((1, 5), (2, 1), (3, 4), (0, 0), (1, 3)),
        ((4, 2), (5, 5), (1, 1), (2, 1), (0, 0)),
        ((2, 2), (1, 3), (2, 3), (0, 1), (1, 0)),
    ],
)
def test_transposed_values_and_gradients_equal_pytorchs(rng, size, kernel_size, stride, padding, more):
    torch = pytest.importorskip("torch")
    x, kernel = rng.standard_normal((2, *size, 3)), rng.standard_normal((*kernel_size, 2, 3))
    leaf = torch.tensor(x.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    weight = torch.tensor(kernel.transpose(3, 2, 0, 1).copy(), requires_grad=True)
    peer = torch.nn.functional.conv_transpose2d(leaf, weight, stride=stride, padding=padding, output_padding=more)
    output_shape = tuple(peer.shape[2:]) if any(more) else None
    y = ops.conv_transpose2d(t := Tensor(x), k := Tensor(kernel), stride, padding, output_shape)
    numpy.testing.assert_allclose(y.data, peer.detach().numpy().transpose(0, 2, 3, 1), atol=1e-12)
    cotangent = rng.standard_normal(y.shape)
    g_x, g_kernel = grad(ops.sum(y * cotangent), [t, k])
    peer.backward(torch.tensor(cotangent.transpose(0, 3, 1, 2).copy()))
    numpy.testing.assert_allclose(g_x, leaf.grad.numpy().transpose(0, 2, 3, 1), atol=1e-12)
    numpy.testing.assert_allclose(g_kernel, weight.grad.numpy().transpose(2, 3, 1, 0), atol=1e-12)


# ---- what padding means


def test_same_keeps_or_divides_the_size():
    for n, k, s in itertools.product((1, 4, 5, 8), (1, 2, 3, 4, 7), (1, 2, 3)):
        x, kernel = numpy.ones((1, n, n + 1, 1)), numpy.ones((k, k, 1, 2))
        y = ops.conv2d(x, kernel, s, "same")
        assert y.shape == (1, -(-n // s), -(-(n + 1) // s), 2)
        assert ops.conv_transpose2d(y, kernel, s, "same", (n, n + 1)).shape == x.shape
        assert ops.conv_transpose2d(y, kernel, s, "same").shape == (1, y.shape[1] * s, y.shape[2] * s, 1)


def test_same_puts_the_odd_zero_last(rng):
    x, kernel = rng.standard_normal((1, 5, 6, 2)), rng.standard_normal((2, 4, 2, 1))
    numpy.testing.assert_array_equal(
        ops.conv2d(x, kernel, padding="same"), ops.conv2d(x, kernel, padding=((0, 1), (1, 2)))
    )


def test_forms_of_stride_and_padding_mean_the_same(rng):
    x, kernel = rng.standard_normal((1, 5, 6, 2)), rng.standard_normal((3, 3, 2, 1))
    for a, b in [
        ({"padding": 1}, {"stride": [1, 1], "padding": [[1, 1], [1, 1]]}),
        ({"stride": 2, "padding": "valid"}, {"stride": (2, 2), "padding": (0, (0, 0))}),
        ({"padding": (2, 1)}, {"padding": ((2, 2), (1, 1))}),
        ({"stride": numpy.int64(2), "padding": numpy.int64(1)}, {"stride": 2, "padding": 1}),
    ]:
        numpy.testing.assert_array_equal(ops.conv2d(x, kernel, **a), ops.conv2d(x, kernel, **b))


def test_the_default_output_is_the_smallest_that_the_convolution_takes_back():
    for size, kernel_size, stride, margins in GRID:
        y = numpy.ones((1, *size, 1))
        kernel = numpy.ones((*kernel_size, 2, 1))
        default = [s * (n - 1) + k - sum(m) for n, k, s, m in zip(size, kernel_size, stride, margins, strict=True)]
        if min(default) < 1:
            with pytest.raises(ShapeError, match="conv_transpose2d: expected an output of at least 1 x 1"):
                ops.conv_transpose2d(y, kernel, stride, margins)
            continue
        x = ops.conv_transpose2d(y, kernel, stride, margins)
        assert x.shape[1:3] == tuple(default)
        assert ops.conv2d(x, kernel, stride, margins).shape == y.shape


# ---- blocks and memory


@pytest.mark.parametrize("columns", [1, 1000, 5000, 20000])
def test_blocks_of_any_size_give_the_same(rng, monkeypatch, columns):
    x, kernel = rng.standard_normal((7, 9, 8, 3)), rng.standard_normal((4, 3, 3, 5))
    functions = [
        lambda: ops.conv2d(x, kernel, 2, 1),
        lambda: ops.conv_transpose2d(ops.conv2d(x, kernel, 2, 1), kernel, 2, 1, (9, 8)),
        lambda: ops.conv2d_kernel(x, ops.conv2d(x, kernel, 2, 1), (4, 3), 2, 1),
    ]
    whole = [function() for function in functions]
    monkeypatch.setitem(convolution.COLUMN_BYTES, "cpu", columns)
    for function, expected in zip(functions, whole, strict=True):
        numpy.testing.assert_allclose(function(), expected, rtol=1e-12, atol=1e-12)


def test_blocks_cover_every_row_once_and_keep_to_their_size(monkeypatch):
    for columns in (1, 300, 4000, 10**6):
        monkeypatch.setitem(convolution.COLUMN_BYTES, "cpu", columns)
        seen = numpy.zeros((5, 6))
        for block in convolution._blocks(5, 6, row_bytes=576, device="cpu"):
            seen[block] += 1
            n_rows = seen[block].size
            assert n_rows * 576 <= columns or n_rows == 1
        assert (seen == 1).all()


def test_a_reciprocal_divides_exactly(rng):
    """Also the numerators around every multiple of the divisor, and the largest."""
    for divisor in (*range(1, 70), 1021, 4096, 2**20 + 7, 2**31 - 1):
        multiplier, shift = convolution._reciprocal(divisor)
        assert multiplier < 2**32
        multiples = divisor * rng.integers(0, 2**31 // divisor + 1, 50)
        for n in (*multiples, *(multiples - 1), 0, 2**31 - 1):
            if 0 <= n < 2**31:
                assert int(n) * multiplier >> shift == n // divisor


@pytest.mark.parametrize("columns", [1, 3000, 2**20])
def test_the_kernel_text_gives_what_the_numpy_lines_give(rng, gpu, monkeypatch, columns):
    """On the GPU, and, for the stand-in, compiled as C++: exactly the same columns."""
    if not hasattr(gpu, "ElementwiseKernel"):
        pytest.skip("needs a C++ compiler")
    for device in convolution.COLUMN_BYTES:
        monkeypatch.setitem(convolution.COLUMN_BYTES, device, columns)
    for size, kernel_size, stride, margins in GRID[::5]:
        x = rng.standard_normal((3, *size, 2)).astype(numpy.float32)
        ours = convolution._columns(x, kernel_size, stride, margins)
        theirs = convolution._columns(gpu.asarray(x), kernel_size, stride, margins)
        for (block, expected), (same, received) in zip(ours, theirs, strict=True):
            assert block == same
            numpy.testing.assert_array_equal(received.get(), expected)


def test_columns_of_a_large_batch_are_never_there_at_once(rng):
    x, kernel = rng.random((64, 32, 32, 16), dtype=numpy.float32), rng.random((5, 5, 16, 4), dtype=numpy.float32)
    g = ops.conv2d(x, kernel, padding=2)
    for function in (
        lambda: ops.conv2d(x, kernel, padding=2),
        lambda: ops.conv_transpose2d(g, kernel, padding=2),
        lambda: ops.conv2d_kernel(x, g, (5, 5), padding=2),
    ):
        tracemalloc.start()
        function()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3 * x.nbytes, "25 columns of every pixel would be 25 times x"


def test_an_empty_batch_gives_an_empty_batch():
    x, kernel = Tensor(numpy.ones((0, 5, 6, 2))), Tensor(numpy.ones((3, 3, 2, 4)))
    y = ops.conv2d(x, kernel, 2, 1)
    assert y.shape == (0, 3, 3, 4)
    g_x, g_kernel = grad(ops.sum(y), [x, kernel])
    assert g_x.shape == x.shape and not g_kernel.any()


def test_a_stride_beyond_everything_takes_no_memory():
    kernel = numpy.arange(9.0).reshape(3, 3, 1, 1)
    y = ops.conv_transpose2d(numpy.full((1, 1, 1, 1), 2.0), kernel, stride=10**6)
    numpy.testing.assert_array_equal(y, 2 * kernel[None, :, :, 0])


def test_types_and_inputs_are_kept(rng):
    for dtype in (numpy.float32, numpy.float64):
        x, kernel = (rng.random(shape).astype(dtype) for shape in ((2, 5, 4, 3), (3, 3, 3, 2)))
        x.flags.writeable = kernel.flags.writeable = False
        y = ops.conv2d(x, kernel)
        assert y.dtype == ops.conv_transpose2d(y, kernel).dtype == ops.conv2d_kernel(x, y, (3, 3)).dtype == dtype
    assert ops.conv2d(numpy.ones((1, 2, 2, 1), dtype=numpy.uint8), kernel[:1, :1, :1].astype("f")).dtype == "f"


# ---- bad input

X, KERNEL = numpy.ones((2, 4, 5, 3)), numpy.ones((3, 3, 3, 2))
Y = numpy.ones((2, 4, 5, 2))
INTEGERS = "at least 1, one or two integers, received"


@pytest.mark.parametrize(
    ("function", "kind", "sentence"),
    [
        (
            lambda: ops.conv2d(X, numpy.ones((5, 7, 3, 2)), padding=(0, 1)),
            ShapeError,
            "conv2d: expected images of at least 5 x 7 pixels with padding, as the kernel, received 4 x 7 of x of "
            "shape (2, 4, 5, 3)",
        ),
        (
            lambda: ops.conv2d(X, numpy.ones((3, 3, 4, 2))),
            ShapeError,
            "conv2d: expected x of shape (N, H, W, 4) for a kernel of shape (3, 3, 4, 2), received shape (2, 4, 5, 3)",
        ),
        (
            lambda: ops.conv2d(X.transpose(0, 3, 1, 2), KERNEL),
            ShapeError,
            "conv2d: expected x of shape (N, H, W, 3) for a kernel of shape (3, 3, 3, 2), received shape (2, 3, 4, 5) "
            "(channels come last: x.transpose(0, 2, 3, 1))",
        ),
        (lambda: ops.conv2d(X[0], KERNEL), ShapeError, "conv2d: expected x of shape (N, H, W, 3) for a kernel of"),
        (lambda: ops.conv2d(X, KERNEL[0]), ShapeError, "expected a kernel of shape (KH, KW, C_in, C_out), received"),
        (lambda: ops.conv2d(X, KERNEL[:0]), ShapeError, "received shape (0, 3, 3, 2)"),
        (lambda: ops.conv2d(X, KERNEL, 0), InputError, f"conv2d: expected a stride of {INTEGERS} 0"),
        (lambda: ops.conv2d(X, KERNEL, (1, 0)), InputError, f"a stride of {INTEGERS} (1, 0)"),
        (lambda: ops.conv2d(X, KERNEL, (1, 1, 1)), InputError, f"a stride of {INTEGERS} (1, 1, 1)"),
        (lambda: ops.conv2d(X, KERNEL, 1.5), InputError, f"a stride of {INTEGERS} 1.5"),
        (
            lambda: ops.conv2d(X, KERNEL, padding=-1),
            InputError,
            'conv2d: expected padding as an int from 0, (h, w), ((top, bottom), (left, right)), "valid" or "same", '
            "received -1",
        ),
        (lambda: ops.conv2d(X, KERNEL, padding="full"), InputError, "\"same\", received 'full'"),
        (lambda: ops.conv2d(X, KERNEL, padding=((1, 1),)), InputError, '"same", received ((1, 1),)'),
        (lambda: ops.conv2d(X, KERNEL, padding=((1, 1, 1), 0)), InputError, '"same", received ((1, 1, 1), 0)'),
        (
            lambda: ops.conv_transpose2d(X, KERNEL),
            ShapeError,
            "conv_transpose2d: expected x of shape (N, H, W, 2) for a kernel of shape (3, 3, 3, 2), received shape "
            "(2, 4, 5, 3)",
        ),
        (
            lambda: ops.conv_transpose2d(Y.transpose(0, 3, 1, 2), KERNEL),
            ShapeError,
            "received shape (2, 2, 4, 5) (channels come last: x.transpose(0, 2, 3, 1))",
        ),
        (lambda: ops.conv_transpose2d(Y, KERNEL[0]), ShapeError, "a kernel of shape (KH, KW, C_out, C_in), received"),
        (lambda: ops.conv_transpose2d(Y, KERNEL, 0), InputError, f"conv_transpose2d: expected a stride of {INTEGERS}"),
        (
            lambda: ops.conv_transpose2d(Y, KERNEL, 2, 1, (9, 9)),
            ShapeError,
            "conv_transpose2d: expected an output_shape that the convolution takes to the 4 x 5 of x, received (9, 9)",
        ),
        (lambda: ops.conv_transpose2d(Y, KERNEL, 2, 1, X.shape), InputError, "output_shape (H', W') of at least 1"),
        (lambda: ops.conv_transpose2d(Y, KERNEL, 1, 4), ShapeError, "received -2 x -1 of x of shape (2, 4, 5, 2)"),
        (
            lambda: ops.conv2d_kernel(X, Y, (3, 3)),
            ShapeError,
            "conv2d_kernel: expected g of shape (2, 2, 3, C_out), received shape (2, 4, 5, 2)",
        ),
        (lambda: ops.conv2d_kernel(X, Y, (0, 3)), InputError, "conv2d_kernel: expected a kernel_size (KH, KW) of at"),
        (lambda: ops.conv2d_kernel(X, Y, (3, 3, 7)), InputError, f"{INTEGERS} (3, 3, 7)"),
        (lambda: ops.conv2d_kernel(X[0], Y, 3), ShapeError, "conv2d_kernel: expected x of shape (N, H, W, C), each of"),
        (lambda: ops.conv2d(X[:, :0], KERNEL, padding=3), ShapeError, "at least 1, received shape (2, 0, 5, 3)"),
        (lambda: ops.conv_transpose2d(Y[:, :0], KERNEL, 2, "same"), ShapeError, "at least 1, received shape (2, 0, 5"),
        (lambda: ops.conv_transpose2d(Y, KERNEL, 2, numpy.array([1, 1])), InputError, "received array([1, 1])"),
        (
            lambda: ops.conv2d(X.astype(numpy.uint8), KERNEL.astype(numpy.uint8)),
            InputError,
            "conv2d: expected images or a kernel of floating-point numbers, received uint8 and uint8",
        ),
        (lambda: Conv2d(3, 2, 3, sv.Noise(0), stride=0), InputError, f"Conv2d: expected a stride of {INTEGERS} 0"),
        (lambda: Conv2d(3, 2, 3, sv.Noise(0), padding=-1), InputError, "Conv2d: expected padding as an int from 0"),
        (lambda: ConvTranspose2d(3, 2, 3, sv.Noise(0), stride="2"), InputError, f"{INTEGERS} '2'"),
        (lambda: ops.upsample2d(X, 0), InputError, f"upsample2d: expected a factor of {INTEGERS} 0"),
        (lambda: ops.upsample2d(X[0], 2), ShapeError, "upsample2d: expected x of shape (N, H, W, C), received shape"),
    ],
)
def test_bad_input_gets_one_sentence(function, kind, sentence):
    with pytest.raises(kind) as caught:
        function()
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_devices_do_not_mix(gpu):
    with pytest.raises(DeviceError, match="conv2d: expected arrays on one device"):
        ops.conv2d(X, gpu.asarray(KERNEL))


# ---- layers


def test_layers_are_the_operations_and_a_bias(rng):
    x = rng.standard_normal((2, 6, 4, 3))
    for layer, function in (
        (Conv2d(3, 5, 4, sv.Noise(0), stride=2, padding=1), ops.conv2d),
        (ConvTranspose2d(3, 5, (4, 2), sv.Noise(0), stride=2, padding=(1, 0)), ops.conv_transpose2d),
    ):
        layer.to(dtype=numpy.float64)
        layer.bias.data[...] = rng.standard_normal(5)
        expected = function(x, layer.kernel.data, layer.stride, layer.padding) + layer.bias.data
        numpy.testing.assert_allclose(layer(x).data, expected, atol=1e-15)
        assert sv.check_gradients(lambda *_, layer=layer: layer(x), *layer.parameters()) < 1e-6
        assert list(layer.named_parameters()) == ["kernel", "bias"]


def test_a_transposed_layer_undoes_the_shape_of_a_layer():
    x = numpy.ones((2, 8, 6, 3), dtype=numpy.float32)
    y = Conv2d(3, 4, 4, sv.Noise(0), stride=2, padding=1)(x)
    assert y.shape == (2, 4, 3, 4) and y.dtype == numpy.float32
    assert ConvTranspose2d(4, 3, 4, sv.Noise(0), stride=2, padding=1)(y).shape == x.shape


def test_kernels_start_uniform_with_the_variance_of_glorot():
    for layer, shape, fans in (
        (Conv2d(30, 50, (4, 3), sv.Noise(0)), (4, 3, 30, 50), (360, 600)),
        (Conv2d(30, 50, 4, sv.Noise(0), stride=2), (4, 4, 30, 50), (480, 200)),
        (ConvTranspose2d(30, 50, (4, 3), sv.Noise(0)), (4, 3, 50, 30), (360, 600)),
        (ConvTranspose2d(30, 50, 4, sv.Noise(0), stride=(2, 1)), (4, 4, 50, 30), (240, 800)),
    ):
        assert layer.kernel.shape == shape and layer.bias.shape == (50,) and not layer.bias.data.any()
        variance = 2 / sum(fans)
        assert layer.kernel.data.var() == pytest.approx(variance, rel=0.03)
        assert abs(layer.kernel.data).max() == pytest.approx((3 * variance) ** 0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("layer", "side"),
    [
        (Conv2d(40, 30, 4, sv.Noise(1), 2, 1, he_uniform), 32),
        (ConvTranspose2d(40, 30, 4, sv.Noise(1), 2, 1, he_uniform), 8),
    ],
    ids=["convolution", "transposed"],
)
def test_the_fans_count_what_an_entry_is_computed_from(layer, side, rng):
    """Weights of variance 2 / fan_in double the variance, but for the margins."""
    y = layer(rng.standard_normal((8, side, side, 40))).data[:, 2:-2, 2:-2]
    assert y.var() == pytest.approx(2, rel=0.1)


def test_layers_print_as_their_channels_and_refuse_what_is_no_size():
    assert repr(Conv2d(3, 8, 4, sv.Noise(0), 2, 1)) == "Conv2d(3 -> 8, kernel 4 x 4, stride 2, padding 1)"
    transposed = ConvTranspose2d(8, 3, (4, 2), sv.Noise(0), padding="same")
    assert repr(transposed) == "ConvTranspose2d(8 -> 3, kernel 4 x 2, stride 1, padding same)"
    for channels, size in (((0, 3), 3), ((3, 1.5), 3), ((3, 3), 0), ((3, 3), (3, 3, 3))):
        with pytest.raises(InputError, match="Conv2d: expected channels and a kernel of at least 1, received"):
            Conv2d(*channels, size, sv.Noise(0))


def test_layers_on_the_gpu_are_born_there(gpu):
    noise = sv.Noise(0, device="gpu")
    x = noise.normal("x", (2, 4, 4, 2))
    layers = [Conv2d(2, 4, 3, noise, padding=1), GroupNorm(2, 4, "gpu"), ConvTranspose2d(4, 2, 4, noise, 2, 1)]
    for layer in layers:
        assert layer.device == "gpu"
        x = layer(x)
    parameters = [parameter for layer in layers for parameter in layer.parameters()]
    assert all(isinstance(g, gpu.ndarray) for g in grad(ops.sum(ops.square(x)), parameters))


def test_group_norm_has_mean_zero_and_variance_one_in_each_group(rng):
    layer = GroupNorm(2, 6).to(dtype=numpy.float64)
    x = 3 + 2 * rng.standard_normal((4, 5, 3, 6))
    y = layer(x).data.reshape(4, 15, 2, 3)
    numpy.testing.assert_allclose(y.mean(axis=(1, 3)), 0, atol=1e-14)
    numpy.testing.assert_allclose(y.var(axis=(1, 3)), 1, rtol=1e-5)
    layer.scale.data[...], layer.shift.data[...] = rng.standard_normal((2, 6))
    expected = y.reshape(x.shape) * layer.scale.data + layer.shift.data
    numpy.testing.assert_allclose(layer(x).data, expected, atol=1e-14)
    assert sv.check_gradients(lambda x, *_: layer(x), x[:2, :2, :2], *layer.parameters()) < 1e-6
    assert repr(layer) == "GroupNorm(2 groups, 6 channels)"


def test_group_norm_equals_pytorchs(rng):
    torch = pytest.importorskip("torch")
    x = rng.standard_normal((2, 4, 3, 6)).astype(numpy.float32)
    peer = torch.nn.functional.group_norm(torch.tensor(x.transpose(0, 3, 1, 2).copy()), 3).numpy()
    numpy.testing.assert_allclose(GroupNorm(3, 6)(x).data, peer.transpose(0, 2, 3, 1), atol=2e-6)


def test_group_norm_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="GroupNorm: expected groups that divide the channels, received 4 groups, 6"):
        GroupNorm(4, 6)
    with pytest.raises(ShapeError, match=r"GroupNorm: expected x of shape \(N, \.\.\., 6\), received shape \(2, 6, 3"):
        GroupNorm(2, 6)(numpy.ones((2, 6, 3, 3)))
