"""What a file keeps of a model: the constructor and its arguments, and no change that it could not keep."""

import ast
import copy
import inspect
import json
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy
import pytest

import scratchvae as sv
from scratchvae import checkpoint
from scratchvae.errors import InputError
from scratchvae.models import ClassConditional, GaussianDecoder, GaussianEncoder
from scratchvae.models.configuration import CONSTRUCTORS, Configured, Size, build, constructor
from scratchvae.nn import MLP, Linear
from scratchvae.nn.initializers import at_most, glorot_uniform, he_uniform

pytestmark = pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")


def stack():
    first = sv.VAE.mlp(4, 2, (3,), seed=1)
    return sv.StackedVAE.mlp(first, numpy.array([1]), 2, 2, (3,))


MODELS = {
    "mlp": lambda: sv.VAE.mlp(4, 2, (3, 5), likelihood="gaussian"),
    "convolutional": lambda: sv.VAE.convolutional((4, 4, 1), 2, (3,), likelihood="laplace", std="learned"),
    "mixture": lambda: sv.VAE.mlp(4, 2, (3,), likelihood="negative-binomial", prior="mixture", n_components=3),
    "vamp": lambda: sv.VAE.convolutional((4, 4, 1), 2, (3,), likelihood="student-t", prior="vamp", n_components=3),
    "m2": lambda: sv.SemiSupervisedVAE.mlp(4, 2, 2, (3,)),
    "m2 convolutional": lambda: sv.SemiSupervisedVAE.convolutional((4, 4, 1), 2, 2, (3,), hidden_size=6),
    "m1+m2": stack,
    "sketch": lambda: sv.SketchRNN.lstm(2, 3, 4, 2, scale=3.5, random_scale=0.1),
    "decoder of sketches": lambda: sv.SketchRNN.lstm(0, decoder_size=4, mixtures=2, layer_norm=True),
    "molecules": lambda: sv.MoleculeVAE.gru(
        ["C", "Cl"], 5, 2, 3, "recurrent", properties=["logP"], property_means=numpy.array([2.5])
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_configuration_makes_the_model_again(name):
    model = MODELS[name]()
    plain = json.loads(json.dumps(model.configuration))
    assert plain == model.configuration
    again = build(plain, 10_000)
    assert repr(again) == repr(model) and again.configuration == plain
    assert all(numpy.array_equal(array, again.state()[name]) for name, array in model.state().items())
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert twin.configuration == plain


def test_arguments_are_kept_as_plain_values_by_name_and_with_defaults():
    model = sv.VAE.mlp(numpy.int64(4), 2, range(3, 5), std=numpy.float32(0.5))
    assert model.configuration == {
        "constructor": "VAE.mlp",
        "input_size": 4,
        "latent_size": 2,
        "hidden": [3, 4],
        "activation": "relu",
        "likelihood": "bernoulli",
        "std": 0.5,
        "binarize": "none",
        "seed": 0,
        "missing": False,
        "prior": "normal",
        "n_components": 100,
    }
    assert stack().configuration["first"] == sv.VAE.mlp(4, 2, (3,), seed=1).configuration
    assert stack().configuration["units"] == [1]


def test_what_build_would_not_make_has_no_configuration(tmp_path):
    class Other(sv.VAE):
        pass

    own = sv.VAE(GaussianEncoder(Linear(4, 4, sv.Noise(0))), GaussianDecoder(Linear(2, 4, sv.Noise(1))), 2)
    for model in (Other.mlp(4, 2, (3,)), own, sv.StackedVAE.mlp(own, [0], 2, 2, (3,))):
        assert model.configuration is None
        sv.save(model, tmp_path / "model.npz")
        with pytest.raises(InputError, match=r"a model of a built-in constructor"):
            sv.load(tmp_path / "model.npz")


@pytest.mark.parametrize(("kind", "own"), [("SketchRNN", "lstm"), ("MoleculeVAE", "gru"), ("TableVAE", "mlp")])
def test_a_constructor_that_a_model_cannot_use_is_refused_with_its_own(kind, own):
    """They inherit those of VAE, which make networks of images."""
    sentence = rf"{kind}.convolutional: expected a constructor of its own, received that of VAE \({kind}.{own}\)"
    with pytest.raises(InputError, match=sentence):
        getattr(sv, kind).convolutional()


def test_a_subclass_that_takes_the_same_parts_inherits_the_constructors():
    class Counting(sv.VAE):
        def __init__(self, *parts):
            super().__init__(*parts)
            self.calls = 0

        @classmethod
        def small(cls):
            return cls.mlp(4, 2, (3,))

    assert Counting.small().calls == 0 and Counting.convolutional((4, 4, 1), 2, (3,)).latent_size == 2


class Shift(Configured):
    """A model of a user's own with a constructor that files name."""

    def __init__(self, weight, sign):
        self.weight, self.sign = sv.Tensor(weight), sign

    @classmethod
    @constructor
    def of(cls, sizes: Sequence[Size], sign: float | str = 1.0, *, seed: int = 0) -> "Shift":
        """A matrix of these two sizes."""
        return cls(glorot_uniform(sv.Noise(seed), tuple(sizes)), sign)


def test_a_constructor_of_ones_own_is_saved_and_loaded(tmp_path):
    model = Shift.of((2, 3), "minus", seed=4)
    sv.save(model, tmp_path / "model.npz")
    loaded = sv.load(tmp_path / "model.npz")
    assert type(loaded) is Shift and numpy.array_equal(loaded.weight.data, model.weight.data)
    assert loaded.configuration == {"constructor": "Shift.of", "sizes": [2, 3], "sign": "minus", "seed": 4}
    for change, sentence in (
        ({"sizes": [2, 0]}, "a list of sizes from 1 to 16777216 as sizes"),
        ({"sizes": 3}, "a list of sizes"),
        ({"sign": None}, "a number or a word as sign"),
        ({"seed": "0"}, "a whole number as seed"),
        ({"sizes": [10**6, 10**6]}, r"a model of at most 6 parameters, as the arrays have entries, received .*10{12} "),
    ):
        with pytest.raises(InputError, match=f"^build: expected {sentence}"):
            build(model.configuration | change, 6)


def test_weights_are_counted_before_they_are_drawn():
    for initializer in (glorot_uniform, he_uniform):
        with at_most("this", 12):
            assert initializer(sv.Noise(0), (3, 2)).shape == (3, 2)
            initializer(sv.Noise(0), (3, 2))
            with pytest.raises(InputError, match="^this: expected a model of at most 12 parameters.* sizes for 13 "):
                initializer(sv.Noise(0), (1, 1))
    assert initializer(sv.Noise(0), (5, 5)).shape == (5, 5), "outside there is no bound"


@pytest.mark.parametrize("one", CONSTRUCTORS)
@pytest.mark.parametrize("other", CONSTRUCTORS)
def test_constructors_have_their_common_arguments_in_one_order(one, other):
    first, second = (list(inspect.signature(CONSTRUCTORS[name]).parameters) for name in (one, other))
    assert [name for name in first if name in second] == [name for name in second if name in first]


def test_the_room_of_files_names_no_model():
    tree = ast.parse(Path(checkpoint.__file__).read_text())
    code = [node for node in ast.walk(tree) if isinstance(node, (ast.Name, ast.Attribute, ast.ImportFrom))]
    names = {getattr(node, "id", getattr(node, "attr", getattr(node, "module", ""))) for node in code}
    imported = {alias.name for node in code if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert not {name for name in names | imported if name.endswith("VAE")}


# ---- changes


def replaced_layer(model):
    model.encoder.network.layers[0] = Linear(4, 7, sv.Noise(0))


CHANGES = {
    "binarize": ("mlp", lambda m: setattr(m, "binarize", "threshold"), "binarize = 'none', received 'threshold'"),
    "binarize of m1+m2": ("m1+m2", lambda m: setattr(m, "binarize", "static"), "binarize = 'none', received 'static'"),
    "activation of the encoder": (
        "mlp",
        lambda m: setattr(m.encoder.network, "activation", "tanh"),
        "encoder.network.activation = 'relu', received 'tanh'",
    ),
    "activation of the decoder": (
        "convolutional",
        lambda m: setattr(m.decoder.network, "activation", "tanh"),
        "decoder.network.activation = 'relu', received 'tanh'",
    ),
    "activation of convolutions": (
        "m2 convolutional",
        lambda m: setattr(m.encoder.network.body, "activation", "tanh"),
        "encoder.network.body.activation",
    ),
    "activation of where a class enters": (
        "m2",
        lambda m: setattr(m.encoder.network, "activation", "tanh"),
        "encoder.network.activation",
    ),
    "activation of a classifier": (
        "m2",
        lambda m: setattr(m.classifier.network, "activation", "softplus"),
        "classifier.network.activation",
    ),
    "activation of m1": (
        "m1+m2",
        lambda m: setattr(m.first.decoder.network, "activation", "tanh"),
        "first.decoder.network.activation",
    ),
    "activation of m2": (
        "m1+m2",
        lambda m: setattr(m.second.decoder.network, "activation", "tanh"),
        "second.decoder.network.activation",
    ),
    "stride": (
        "convolutional",
        lambda m: setattr(m.encoder.network.convolutions[0], "stride", 1),
        r"encoder.network.convolutions.0.stride = 2, received 1",
    ),
    "padding": (
        "convolutional",
        lambda m: setattr(m.decoder.network.convolutions[0], "padding", 0),
        r"decoder.network.convolutions.0.padding = 1, received 0",
    ),
    "shapes": ("convolutional", lambda m: m.encoder.network.shapes.reverse(), "encoder.network.shapes"),
    "event_ndim": ("mlp", lambda m: setattr(m.decoder, "event_ndim", 0), "decoder.event_ndim = 1, received 0"),
    "event_ndim of the prior": ("mlp", lambda m: setattr(m.prior, "event_ndim", 0), "prior.event_ndim"),
    "observed_shape": ("mlp", lambda m: setattr(m, "observed_shape", (2, 2)), "observed_shape"),
    "units": ("m1+m2", lambda m: setattr(m, "units", numpy.array([0, 1])), r"units = shape \(1,\)"),
    "likelihood": (
        "m2",
        lambda m: setattr(m.decoder, "likelihood", sv.distributions.Normal),
        "decoder.likelihood = nothing, received <class",
    ),
    "decoder": (
        "mlp",
        lambda m: setattr(m, "decoder", GaussianDecoder(m.decoder.network, "learned")),
        "decoder.log_std = shape .*, received nothing",
    ),
    "a layer of another size": ("mlp", replaced_layer, r"encoder.network.layers.0.weight = shape \(4, 3\), received"),
    "one layer less": ("mlp", lambda m: m.encoder.network.layers.pop(1), "encoder.network.layers.1.* received"),
    "one network more": ("mlp", lambda m: setattr(m, "extra", MLP([2, 2], sv.Noise(0))), "extra.* = nothing"),
    "another prior": (
        "mlp",
        lambda m: setattr(m, "prior", sv.distributions.Laplace(numpy.zeros(2), numpy.zeros(2))),
        "prior.*",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_a_file_would_lose_is_refused(change, tmp_path, rng):
    name, make, sentence = CHANGES[change]
    model = MODELS[name]()
    x = rng.random((8, *model.observed_shape)).astype("f")
    options = {"labels": numpy.arange(8) % 2} if hasattr(model, "n_classes") else {}
    sv.fit(model, x, 1, run_dir=tmp_path / "run", progress=False, **options)
    before = (tmp_path / "run" / "last.npz").read_bytes()
    make(model)
    expected = (
        r"^(VAE|SemiSupervisedVAE|StackedVAE)\.(mlp|convolutional): expected its model unchanged, with " + sentence
    )
    with pytest.raises(InputError, match=expected):
        sv.save(model, tmp_path / "model.npz")
    for run_dir, resume in ((tmp_path / "run", True), (tmp_path / "another", False)):
        with pytest.raises(InputError, match=expected):
            sv.fit(model, x, 2, run_dir=run_dir, resume=resume, progress=False, **options)
    assert not (tmp_path / "model.npz").exists() and (tmp_path / "run" / "last.npz").read_bytes() == before
    with pytest.raises(InputError, match=expected):
        sv.save(copy.deepcopy(model), tmp_path / "model.npz")


def test_a_change_of_m1_is_refused_where_m2_would_keep_it():
    first = sv.VAE.mlp(4, 2, (3,))
    first.encoder.network.activation = "tanh"
    with pytest.raises(InputError, match="encoder.network.activation = 'relu', received 'tanh'"):
        sv.StackedVAE.mlp(first, [0], 2, 2, (3,))


def test_what_a_file_keeps_may_change(tmp_path, rng):
    model = sv.VAE.mlp(4, 2, (3,), likelihood="gaussian", std=0.1)
    x = rng.random((8, 4)).astype("f")
    model.note, model.history = "the first of ten", {"epoch": [1]}
    model.prior = sv.distributions.Normal(numpy.full(2, 3, "f"), numpy.full(2, 0.5, "f"))
    model.decoder.log_std[...] = numpy.log(0.5)
    for parameter in model.parameters():
        parameter.data = parameter.data + 0.1
    sv.fit(model, x, 1, progress=False)
    model.to(dtype=numpy.float64)
    sv.save(model, tmp_path / "model.npz")
    loaded = sv.load(tmp_path / "model.npz")
    assert loaded.dtype == numpy.float64 and repr(loaded) == repr(model)
    assert sv.evaluate(loaded, x) == sv.evaluate(model, x)


def test_without_a_directory_a_changed_model_can_be_trained(rng):
    model = sv.VAE.mlp(4, 2, (3,))
    model.binarize = "dynamic"
    assert len(sv.fit(model, rng.random((8, 4)).astype("f"), 1, progress=False)["elbo"]) == 1


def test_mean_and_spread_of_the_prior_are_arrays_of_their_own():
    model = sv.VAE.mlp(4, 2, (3,))
    model.prior.mean[:] = 1
    assert model.prior.std.tolist() == [1, 1] and not numpy.shares_memory(model.prior.mean, model.prior.log_std)
    again = copy.deepcopy(model).to("cpu", numpy.float64)
    again.prior.log_std[:] = 2
    assert again.prior.mean.tolist() == [1, 1]


def test_the_settings_of_a_class_condition_are_seen():
    model = MODELS["m2"]()
    assert isinstance(model.encoder.network, ClassConditional)
    model.encoder.network.head.activation = "tanh"
    with pytest.raises(InputError, match="encoder.network.head.activation"):
        _ = model.configuration
