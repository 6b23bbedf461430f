"""Modules: the tree of parameters, moves between types and devices, initial values, and the two layers."""

import collections
import copy
import math
import pickle
import tracemalloc
import types

import numpy
import pytest

import scratchvae as sv
from scratchvae.backend import asarray, device_of
from scratchvae.errors import DeviceError, InputError, ShapeError
from scratchvae.nn import MLP, Linear, Module
from scratchvae.nn.initializers import glorot_uniform, he_uniform
from scratchvae.nn.linear import ACTIVATIONS


class Pair(Module):
    """Two layers of which one is used twice, a list of two more, a parameter and two constants of its own."""

    def __init__(self, noise):
        self.first = Linear(3, 2, noise.child("first"))
        self.again = self.first
        self.list = [Linear(2, 4, noise.child("a")), Linear(4, 1, noise.child("b"))]
        self.scale = sv.Tensor(numpy.ones(2, dtype=numpy.float32))
        self.tied = self.list[0].bias
        self.offset = numpy.zeros((2, 1), dtype=numpy.float32)
        self.index = numpy.arange(3)
        self.name, self.sizes = "pair", (3, 2)


@pytest.fixture
def pair():
    return Pair(sv.Noise(0))


# ---- the tree


def test_parameters_have_dotted_names_and_shared_ones_appear_once_by_their_first_name(pair):
    named = pair.named_parameters()
    assert set(named) == {
        "first.weight",
        "first.bias",
        "scale",
        "tied",
        "list.0.weight",
        "list.1.weight",
        "list.1.bias",
    }
    assert named["first.weight"] is pair.first.weight and named["list.1.bias"] is pair.list[1].bias
    assert named["tied"] is pair.list[0].bias
    assert [id(x) for x in pair.parameters()] == [id(x) for x in named.values()]
    assert set(pair.named_buffers()) == {"offset", "index"}
    assert pair.named_buffers()["offset"] is pair.offset


def test_count_is_the_number_of_entries_with_shared_ones_once(pair):
    assert pair.count() == (3 * 2 + 2) + 2 + (2 * 4 + 4) + (4 * 1 + 1)
    model = sv.VAE.mlp(input_size=784, latent_size=20, hidden=(400,))
    assert model.count() == (784 * 400 + 400) + (400 * 40 + 40) + (20 * 400 + 400) + (400 * 784 + 784)
    assert list(model.named_parameters()) == [
        f"{part}.network.layers.{i}.{name}"
        for part in ("encoder", "decoder")
        for i in (0, 1)
        for name in ("weight", "bias")
    ]


def test_modules_are_walked_with_their_prefixes(pair):
    assert [prefix for prefix, _ in pair.named_modules()] == ["", "first.", "again.", "list.0.", "list.1."]


def test_to_dtype_changes_parameters_and_floating_buffers_only(pair):
    before = {name: array.copy() for name, array in pair.state().items()}
    assert pair.to(dtype=numpy.float64) is pair and pair.dtype == numpy.float64
    assert all(x.dtype == numpy.float64 for x in pair.parameters())
    assert pair.offset.dtype == numpy.float64 and pair.index.dtype == before["index"].dtype
    assert pair.first is pair.again and pair.tied is pair.list[0].bias
    for name, array in pair.to(dtype=numpy.float32).state().items():
        numpy.testing.assert_array_equal(array, before[name])


def test_to_the_type_and_device_where_it_is_keeps_the_arrays(pair):
    """An optimiser's parameters are views of its buffer: a move to nowhere must not tear them off."""
    before = {name: id(array) for name, array in pair.state().items()}
    pair.to("cpu", numpy.float32)
    assert {name: id(array) for name, array in pair.state().items()} == before


def test_to_the_gpu_and_back(pair, gpu):
    before = {name: array.copy() for name, array in pair.state().items()}
    assert pair.device == "cpu"
    pair.to("gpu")
    assert pair.device == "gpu" and {device_of(array) for array in pair.state().values()} == {"gpu"}
    with pytest.raises(DeviceError, match="arrays on one device, received (cpu and gpu|gpu and cpu)"):
        pair.first(numpy.ones((1, 3), dtype=numpy.float32))
    pair.load_state(before)  # arrays of the CPU, copied to where the module is
    assert pair.device == "gpu"
    for name, array in pair.to("cpu").state().items():
        assert type(array) is numpy.ndarray
        numpy.testing.assert_array_equal(array, before[name])


def test_state_goes_from_one_module_to_another_by_copy(pair):
    other = Pair(sv.Noise(1))
    other.offset += 3
    held = other.first.weight.data
    assert not numpy.array_equal(held, pair.first.weight.data)
    other.load_state(pair.state())
    assert other.first.weight.data is held
    for name, array in other.state().items():
        numpy.testing.assert_array_equal(array, pair.state()[name])
        assert not numpy.shares_memory(array, pair.state()[name])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda state: state.pop("list.1.weight"), r"load_state: list\.1\.weight: expected \(4, 1\), received nothing"),
        (lambda state: state.update(more=numpy.ones(2)), r"load_state: more: expected nothing, received \(2,\)"),
        (lambda state: state.update(scale=numpy.ones((2, 1))), r"scale: expected \(2,\), received \(2, 1\) \(another"),
        (lambda state: state.pop("offset"), r"load_state: offset: expected \(2, 1\), received nothing"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(pair, change, sentence):
    state = {name: array + 1 for name, array in pair.state().items()}
    change(state)
    before = {name: array.copy() for name, array in pair.state().items()}
    with pytest.raises(ShapeError, match=sentence):
        pair.load_state(state)
    for name, array in pair.state().items():
        numpy.testing.assert_array_equal(array, before[name])


# ---- what lists, tuples and dicts hold, and what cannot hold anything


Two = collections.namedtuple("Two", "left right")


class Nest(Module):
    """Layers and buffers at every depth."""

    def __init__(self):
        self.blocks = [[Linear(2, 3, sv.Noise(1))], [Linear(3, 2, sv.Noise(2)), Linear(2, 2, sv.Noise(3))]]
        self.table = {"a": {"b": (Linear(2, 1, sv.Noise(4)), sv.Tensor(numpy.ones(2, dtype=numpy.float32)))}}
        self.pair = Two(numpy.ones(2, dtype=numpy.float32), [numpy.zeros(3, dtype=numpy.float32), "words", 3])
        self.ordered = collections.OrderedDict(mask=numpy.arange(2))
        self.settings = {"sizes": [1, 2], "name": "nest", "none": None}


NEST = {
    *(f"blocks.{i}.{name}" for i in ("0.0", "1.0", "1.1") for name in ("weight", "bias")),
    "table.a.b.0.weight",
    "table.a.b.0.bias",
    "table.a.b.1",
}


def test_parts_are_found_however_deep_they_are():
    nest = Nest()
    assert set(nest.named_parameters()) == NEST and nest.count() == 9 + 8 + 6 + 3 + 2
    assert set(nest.named_buffers()) == {"pair.0", "pair.1.0", "ordered.mask"}
    assert nest.named_parameters()["table.a.b.1"] is nest.table["a"]["b"][1]
    prefixes = ["", "blocks.0.0.", "blocks.1.0.", "blocks.1.1.", "table.a.b.0."]
    assert [prefix for prefix, _ in nest.named_modules()] == prefixes


def test_deep_parts_are_moved_and_loaded(gpu):
    nest, other = Nest(), Nest()
    before = {name: array.copy() for name, array in nest.state().items()}
    nest.to("gpu", numpy.float64)
    assert {device_of(array) for array in nest.state().values()} == {"gpu"}
    assert {array.dtype.str for name, array in nest.state().items() if name != "ordered.mask"} == {"<f8"}
    assert type(nest.pair) is Two and nest.pair.right[1:] == ["words", 3] and type(nest.ordered) is type(other.ordered)
    for array in other.state().values():
        array += 1
    other.load_state(nest.to("cpu", numpy.float32).state())
    for name, array in other.state().items():
        numpy.testing.assert_array_equal(array, before[name])


def test_deep_layers_are_trained_and_saved(rng, tmp_path):
    class Network(Module):
        def __init__(self):
            self.blocks = [[Linear(6, 8, sv.Noise(1))], {"last": Linear(8, 4, sv.Noise(2))}]

        def __call__(self, x):
            return self.blocks[1]["last"](self.blocks[0][0](x))

    def build():
        decoder = sv.models.BernoulliDecoder(MLP([2, 4, 6], sv.Noise(3)))
        return sv.VAE(sv.models.GaussianEncoder(Network()), decoder, 2, (6,))

    model, x = build(), rng.random((16, 6), dtype=numpy.float32)
    assert model.encoder.count() == 92
    before = {name: array.copy() for name, array in model.state().items() if name.startswith("encoder")}
    sv.fit(model, x, epochs=1, progress=False)
    assert all((model.state()[name] != array).any() for name, array in before.items())
    sv.save(model, tmp_path / "model.npz")
    loaded = sv.load(tmp_path / "model.npz", into=build())
    assert numpy.array_equal(loaded.encode(x).mean, model.encode(x).mean)


def holder(part):
    module = Module()
    module.part = part
    return module


class Plain:
    """No Module, by mistake."""

    def __init__(self):
        self.layer = Linear(2, 1, sv.Noise(0))


@pytest.mark.parametrize(
    "part",
    [
        lambda: {sv.Tensor(numpy.ones(1))},
        lambda: frozenset([Linear(2, 1, sv.Noise(0))]),
        lambda: collections.deque([Linear(2, 1, sv.Noise(0))]),
        lambda: collections.UserList([Linear(2, 1, sv.Noise(0))]),
        lambda: collections.UserDict(a=Linear(2, 1, sv.Noise(0))),
        lambda: types.MappingProxyType({"a": sv.Tensor(numpy.ones(1))}),
        lambda: {"a": Linear(2, 1, sv.Noise(0))}.values(),
        lambda: types.SimpleNamespace(w=sv.Tensor(numpy.ones(1))),
        lambda: [{"a": Plain()}],
        Plain,
    ],
)
def test_what_hides_a_parameter_is_refused(part):
    for ask in (Module.parameters, Module.state, Module.to, Module.count, lambda module: list(module.named_modules())):
        with pytest.raises(InputError, match="Module: expected Tensors and Modules as attributes, or in"):
            ask(holder(part()))


def test_what_holds_no_parameter_is_left_alone():
    for part in ({1, 2}, collections.deque([1.0]), types.SimpleNamespace(a=1), numpy, Plain, len, lambda x: x, "word"):
        assert holder(part).parameters() == [] and holder([part]).state() == {}
    assert set(holder(Plain().layer.__call__).state()) == set(), "a bound method belongs to another module"


def test_arrays_of_objects_are_refused():
    """A file would hold them pickled, and could not be read."""
    for array in (numpy.array([Linear(2, 1, sv.Noise(0))], dtype=object), numpy.array([1, "a", None], dtype=object)):
        with pytest.raises(InputError, match="Module: expected arrays of numbers, received part, an array of objects"):
            holder(array).state()


def test_two_parts_of_one_name_are_refused():
    for part in (
        {1: sv.Tensor(numpy.ones(1)), "1": sv.Tensor(numpy.zeros(1))},
        {"a.b": numpy.ones(1), "a": {"b": numpy.ones(1)}},
        {"a": {"b": sv.Tensor(numpy.ones(1))}, "a.b": numpy.ones(1)},
    ):
        with pytest.raises(InputError, match="Module: expected parts of different names, received two of the name"):
            holder(part).state()


def test_a_module_below_itself_is_refused():
    """A RecursionError, once: a module that knew its parent."""
    parent, child, within = Module(), Linear(6, 4, sv.Noise(1)), [1]
    parent.child, child.parent, child.parents = child, parent, [parent]
    within.append(within)
    for module, received in (
        (parent, "child.parent, which leads back to Module"),
        (child, "parent.child, which leads back to Linear"),
        (holder(within), "part.1, a list within itself"),
    ):
        with pytest.raises(InputError, match=f"Module: expected a tree of modules, received {received}"):
            module.count()
    del child.parent, child.parents
    assert parent.count() == 28


def test_parts_of_a_class_are_refused():
    with pytest.raises(InputError, match=r"class Shared: expected parts that __init__ sets, received layer, which"):

        class Shared(Module):
            layer = Linear(2, 1, sv.Noise(0))


def test_an_array_in_two_places_is_moved_as_one_and_loaded_as_one(gpu):
    array = numpy.zeros(2, dtype=numpy.float32)
    both = holder([array, array, sv.Tensor(array)])
    both.to("gpu", numpy.float64)
    assert both.part[0] is both.part[1] is both.part[2].data and device_of(both.part[0]) == "gpu"
    both.to("cpu")
    both.load_state(dict.fromkeys(both.state(), numpy.array([3.0, 0.5])))
    assert both.part[0] is both.part[1] and both.part[1].tolist() == [3, 0.5]
    values = {"part.2": numpy.ones(2), "part.0": numpy.array([3.0, 0.5]), "part.1": numpy.array([0.5, 0.5])}
    with pytest.raises(InputError, match=r"load_state: part\.\d: expected the values of part\.2, which is the same"):
        both.load_state(values)
    assert both.part[1].tolist() == [3, 0.5]


@pytest.mark.parametrize(
    "build",
    [
        lambda: sv.VAE.mlp(6, 2, (4,), "relu", "gaussian"),
        lambda: sv.SemiSupervisedVAE.mlp(6, 2, hidden=(4,)),
        lambda: sv.VAE.convolutional((8, 8, 1), 2, channels=(2,)),
        Nest,
    ],
)
def test_a_copied_module_is_the_same_and_shares_nothing(build):
    module = build()
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert list(twin.state()) == list(module.state()) and repr(twin) == repr(module)
        for name, array in module.state().items():
            assert numpy.array_equal(twin.state()[name], array)
            assert not numpy.shares_memory(twin.state()[name], array)


# ---- initial values


@pytest.mark.parametrize(
    ("initializer", "variance"), [(glorot_uniform, 2 / (300 + 500)), (he_uniform, 2 / 300)], ids=["glorot", "he"]
)
def test_initial_weights_are_uniform_with_the_stated_variance(initializer, variance):
    w = initializer(sv.Noise(0), (300, 500))
    assert w.shape == (300, 500) and w.dtype == numpy.float32
    bound = math.sqrt(3 * variance)
    assert 0.9999 * bound < w.max() <= bound and -bound <= w.min() < -0.9999 * bound
    assert w.mean() == pytest.approx(0, abs=4 * math.sqrt(variance / w.size))
    assert w.var() == pytest.approx(variance, rel=4 * math.sqrt(0.8 / w.size))
    quarters = numpy.histogram(w, bins=4, range=(-bound, bound))[0]
    assert quarters == pytest.approx(w.size / 4, rel=0.01)


def test_biases_start_at_zero_and_the_seed_decides_the_weights():
    weights = [[layer.weight.data for layer in MLP([5, 5, 5, 5], sv.Noise(seed)).layers] for seed in (0, 0, 1)]
    assert all(numpy.array_equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert not any(numpy.array_equal(a, b) for a, b in zip(weights[0], weights[2], strict=True))
    assert len({w.tobytes() for w in weights[0]}) == 3, "layers of one shape must not start with the same weights"
    assert not any(layer.bias.data.any() for layer in MLP([5, 5, 5], sv.Noise(0)).layers)
    model = sv.VAE.mlp(input_size=4, latent_size=4, hidden=(4,))
    square = [x.data for x in model.parameters() if x.shape == (4, 4)]
    assert len({w.tobytes() for w in square}) == len(square) == 3


def test_a_layer_on_the_gpu_is_born_there(gpu):
    layer = Linear(3, 2, sv.Noise(0, device="gpu"))
    assert layer.device == "gpu" and device_of(layer.bias.data) == "gpu"
    assert sv.to_numpy(layer.weight).std() > 0.1


# ---- layers


NUMPY_ACTIVATIONS = {
    "relu": lambda x: numpy.where(x > 0, x, 0),
    "tanh": lambda x: 1 - 2 / (numpy.exp(2 * x) + 1),
    "softplus": lambda x: numpy.log(1 + numpy.exp(x)),
    "leaky_relu": lambda x: numpy.where(x > 0, x, 0.01 * x),
    "sigmoid": lambda x: 1 / (1 + numpy.exp(-x)),
}


def test_linear_is_a_matrix_product_and_a_sum(rng):
    layer = Linear(4, 3, sv.Noise(0)).to(dtype=numpy.float64)
    layer.bias.data[...] = rng.standard_normal(3)
    for shape in ((4,), (5, 4), (2, 5, 4)):
        x = rng.standard_normal(shape)
        expected = numpy.einsum("...d,dh->...h", x, layer.weight.data) + layer.bias.data
        y = layer(x)
        assert y.shape == (*shape[:-1], 3)
        numpy.testing.assert_allclose(sv.to_numpy(y), expected, atol=1e-14)


@pytest.mark.parametrize("activation", NUMPY_ACTIVATIONS)
def test_mlp_activates_every_layer_but_the_last(rng, activation):
    network = MLP([4, 6, 5, 3], sv.Noise(0), activation).to(dtype=numpy.float64)
    for layer in network.layers:
        layer.bias.data[...] = rng.standard_normal(layer.bias.shape)
    x = expected = rng.standard_normal((7, 4))
    for i, layer in enumerate(network.layers):
        expected = expected @ layer.weight.data + layer.bias.data
        if i < 2:
            expected = NUMPY_ACTIVATIONS[activation](expected)
    y = sv.to_numpy(network(x))
    assert (y < 0).any(), "the last layer must be able to go below zero"
    numpy.testing.assert_allclose(y, expected, atol=1e-13)
    assert sv.check_gradients(lambda *_: network(x), *network.parameters()) < 1e-6


class Doubled(Linear):
    """A layer of a user's own, who knows of no activation."""

    def __call__(self, x):
        return 2 * super().__call__(x)


def swish(x):
    return x * sv.ops.sigmoid(x)


def test_layers_and_activations_of_ones_own_work_in_a_network(rng, monkeypatch):
    x, doubled = rng.standard_normal((5, 4)), Doubled(4, 4, sv.Noise(1))
    monkeypatch.setitem(ACTIVATIONS, "swish", swish)
    for name, activation in (("tanh", sv.ops.tanh), ("swish", swish)):
        network = MLP([4, 4, 3], sv.Noise(0), name)
        for layer in (network.layers[0], doubled, sv.ops.exp):
            network.layers[0] = layer
            expected = network.layers[1](activation(layer(x)))
            numpy.testing.assert_allclose(sv.to_numpy(network(x)), sv.to_numpy(expected), rtol=1e-12)


def test_an_affine_layer_keeps_type_and_shapes_with_an_activation(device):
    x, weight, bias = (asarray(numpy.ones(shape, numpy.float32), device) for shape in ((5, 4), (4, 3), (1, 1, 3)))
    for activation in (None, sv.ops.tanh):
        wide = asarray(numpy.ones(3), device)
        assert sv.ops.affine(x, weight, wide, activation=activation).dtype == numpy.float32
        with pytest.raises(ShapeError, match="affine: .*[(]5, 4[)]"):
            sv.ops.affine(x, weight, bias, activation=activation)


def test_a_layer_with_an_activation_takes_no_more_memory_than_without_fusing():
    x = numpy.ones((2000, 4), numpy.float32)
    layer = Linear(4, 500, sv.Noise(0))
    with sv.no_grad():
        peaks = []
        for compute in (lambda: sv.ops.tanh(layer(x)), lambda: layer(x, sv.ops.tanh)):
            tracemalloc.start()
            compute()
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_float32_stays_float32():
    network = MLP([4, 3, 2], sv.Noise(0))
    y = network(numpy.ones((2, 4), dtype=numpy.float32))
    assert y.dtype == numpy.float32
    assert {g.dtype for g in sv.grad(sv.ops.sum(y), network.parameters())} == {numpy.dtype("float32")}


def test_unknown_activations_and_sizes_are_refused():
    with pytest.raises(InputError, match="MLP: expected an activation among relu, tanh, .*, received 'gelu'"):
        MLP([2, 2], sv.Noise(0), "gelu")
    for sizes in ((0, 2), (2, -1), (2, 1.5), ("2", 2)):
        with pytest.raises(
            InputError, match=f"Linear: expected sizes of at least 1, received {sizes[0]} -> {sizes[1]}"
        ):
            Linear(*sizes, sv.Noise(0))
    assert Linear(numpy.int64(2), numpy.prod((1, 3)), sv.Noise(0)).weight.shape == (2, 3)


def test_modules_print_as_their_sizes():
    assert repr(Linear(3, 2, sv.Noise(0))) == "Linear(3 -> 2)"
    assert repr(MLP([784, 400, 40], sv.Noise(0), "tanh")) == "MLP(784 -> 400 -> 40, tanh)"


def test_groupnorm_adds_a_hundred_thousandth_to_the_variance():
    x = 1e-5**0.5 * numpy.array([[-1.0, 1.0, -1.0, 1.0]])
    numpy.testing.assert_allclose(sv.nn.GroupNorm(1, 4)(x).data, numpy.sign(x) / 2**0.5, rtol=1e-6)
