"""decoder.js gives what the model gives, for every decoder of the package; its weights are rounded as told."""

import math
from pathlib import Path

import numpy
import pytest
from explorer_pages import MOLECULES, SYMBOLS, run_node, stirred

import scratchvae as sv
from scratchvae.errors import InputError
from scratchvae.explorer.network import Weights, packed, written_decoder
from scratchvae.models.decoders import BernoulliDecoder, Decoder, PoissonDecoder
from scratchvae.models.encoders import GaussianEncoder
from scratchvae.models.real_decoders import GaussianDecoder
from scratchvae.nn import MLP, Module
from scratchvae.nn.linear import ACTIVATIONS

SMALL = {"latent_size": 3, "seed": 1}
M1 = {"input_size": 7, "latent_size": 4, "hidden": (5,), "activation": "tanh"}
MODELS = {
    "mlp": lambda: sv.VAE.mlp(6, hidden=(5, 4), activation="relu", **SMALL),
    "gaussian, tanh": lambda: sv.VAE.mlp(6, hidden=(5,), activation="tanh", likelihood="gaussian", **SMALL),
    "decoder std, softplus": lambda: sv.VAE.mlp(
        6, hidden=(5,), activation="softplus", likelihood="gaussian", std="decoder", **SMALL
    ),
    "laplace, leaky relu": lambda: sv.VAE.mlp(
        6, hidden=(5,), activation="leaky_relu", likelihood="laplace", std="learned", **SMALL
    ),
    "poisson, sigmoid": lambda: sv.VAE.mlp(6, hidden=(5,), activation="sigmoid", likelihood="poisson", **SMALL),
    "student-t, decoder std": lambda: sv.VAE.mlp(6, hidden=(5,), likelihood="student-t", std="decoder", **SMALL),
    "negative binomial": lambda: sv.VAE.mlp(6, hidden=(5,), likelihood="negative-binomial", **SMALL),
    "missing, vamp": lambda: sv.VAE.mlp(6, hidden=(5,), missing=True, prior="vamp", n_components=3, **SMALL),
    "no hidden layer": lambda: sv.VAE.mlp(6, hidden=(), **SMALL),
    "convolutional": lambda: sv.VAE.convolutional((9, 14, 3), channels=(4, 5), activation="leaky_relu", **SMALL),
    "convolutional, decoder std": lambda: sv.VAE.convolutional(
        (7, 4, 3), channels=(4, 5), likelihood="gaussian", std="decoder", **SMALL
    ),
    "m2": lambda: sv.SemiSupervisedVAE.mlp(6, n_classes=4, hidden=(5,), **SMALL),
    "convolutional m2": lambda: sv.SemiSupervisedVAE.convolutional(
        (8, 6, 1), n_classes=3, channels=(4,), hidden_size=5, **SMALL
    ),
    "m1+m2": lambda: sv.StackedVAE.mlp(sv.VAE.mlp(**M1), [3, 0, 2], n_classes=3, hidden=(5,), **SMALL),
    "sketch": lambda: sv.SketchRNN.lstm(3, 4, 6, 4, scale=2.5),
    "sketch, layer norm": lambda: sv.SketchRNN.lstm(3, 4, 6, 4, scale=2.5, layer_norm=True, keep=0.8),
    "molecule": lambda: sv.MoleculeVAE.gru(SYMBOLS, 30, 3, 6, properties=["a", "b"], property_stds=[1.5, 200.0]),
}
CODE = """
return given.map(({ description, weights, zs, ys, uniform, normal }) => {
  const decoder = withWeights(description, numbersOf(weights));
  return zs.map((z, i) => {
    if (decoder.kind === "mean") return Array.from(meanOf(decoder, z, ys[i]));
    if (decoder.kind === "sketch") return drawSketch(decoder, z, 0.7, (t) => [...uniform[t][i], normal[t][i]]);
    const sampled = writeMolecule(decoder, z, 0.9, (t) => uniform[t][i]);
    return { greedy: writeMolecule(decoder, z, 0), sampled, properties: predictedProperties(decoder, z) };
  });
});
"""
N, LONGEST = 8, 250


class Given:
    """Noise that hands out the numbers that the page is given."""

    def __init__(self, rng, kind):
        shape = (LONGEST, N) if kind == "molecule" else (LONGEST, N, 2)
        self.numbers = {"uniform": rng.uniform(size=shape), "normal": rng.standard_normal((LONGEST, N, 2))}

    def uniform(self, name, shape):
        return self.numbers["uniform"][: shape[0]].reshape(shape)

    def normal(self, name, shape):
        return self.numbers["normal"][: shape[0]].reshape(shape)


@pytest.fixture(scope="module")
def computed():
    """Name -> the model, the z and y, the noise, and what the page makes of them: one run of Node for all."""
    rng, subjects, given = numpy.random.default_rng(0), {}, []
    for name, make in MODELS.items():
        model = stirred(make())
        weights = Weights.of(model)
        description = written_decoder(model, weights)
        z, y = rng.standard_normal((N, 3)).astype(numpy.float32), numpy.arange(N) % getattr(model, "n_classes", 1)
        noise = Given(rng, description["kind"])
        numbers = {key: value.tolist() for key, value in noise.numbers.items()}
        given.append(
            {"description": description, "weights": weights.written(), "zs": z.tolist(), "ys": y.tolist()} | numbers
        )
        subjects[name] = (model, z, y, noise)
    outputs = run_node(["decoder"], CODE, given)
    return {name: (*subjects[name], output) for name, output in zip(subjects, outputs, strict=True)}


MEANS = [name for name in MODELS if "sketch" not in name and name != "molecule"]


@pytest.mark.parametrize("name", MEANS)
def test_the_mean_of_x_is_that_of_the_model(computed, name):
    model, z, y, _, output = computed[name]
    mean = (model.decode(z, y) if hasattr(model, "n_classes") else model.decode(z)).mean
    assert mean.std(axis=0).max() > 0.01  # it follows z
    numpy.testing.assert_allclose(numpy.array(output), mean.reshape(N, -1), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["sketch", "sketch, layer norm"])
def test_a_sketch_is_drawn_by_the_same_random_numbers(computed, name):
    model, z, _, noise, output = computed[name]
    x = model.decode(z).sample(noise, temperature=0.7, longest=LONGEST)
    lengths = [int((sketch[:, 4] < 0.5).sum()) for sketch in x]
    assert max(lengths) > 5 and len(set(lengths)) > 2
    for sketch, n, rows in zip(x, lengths, output, strict=True):
        assert len(rows) == n
        expected = numpy.column_stack([sketch[:n, :2], sketch[:n, 3]])
        numpy.testing.assert_allclose(numpy.array(rows).reshape(-1, 3), expected, rtol=1e-3, atol=2e-4)


def test_a_molecule_is_written_by_the_same_random_numbers(computed):
    model, z, _, noise, output = computed["molecule"]
    assert [each["greedy"] for each in output] == model.write(z)
    sampled = model.alphabet.decode(model.decode(z).sample(noise, 0.9, 30))
    assert [each["sampled"] for each in output] == sampled and len(set(sampled)) > 4
    for name, values in model.predict_at(z).items():
        predicted = [dict(each["properties"])[name] for each in output]
        numpy.testing.assert_allclose(predicted, values, rtol=1e-5, atol=1e-5)


def test_every_number_of_16_bits_is_read():
    bits = numpy.arange(2**16, dtype=numpy.uint16)
    numbers = [float(x) if math.isfinite(x) else None for x in bits.view(numpy.float16)]
    assert run_node(["decoder"], "return given.map(half);", bits.tolist()) == numbers


def test_random_numbers_are_uniform_normal_and_the_same_for_a_seed():
    code = """
    const draws = (seed) => { const u = generator(seed); return Array.from({ length: 20000 }, u); };
    const u = generator(3);
    const normal = Array.from({ length: 20000 }, () => normalPair(u));
    return { uniform: draws(1), same: draws(1), other: draws(2), normal };
    """
    drawn = run_node(["decoder"], code, None)
    u, normal = numpy.array(drawn["uniform"]), numpy.array(drawn["normal"])
    assert drawn["uniform"] == drawn["same"] != drawn["other"] and 0 <= u.min() and u.max() < 1
    counts = numpy.histogram(u, 20, (0, 1))[0]
    assert (abs(counts - 1000) < 5 * 1000**0.5).all()
    assert abs(normal.mean(axis=0)).max() < 0.03 and abs(numpy.cov(normal.T) - numpy.eye(2)).max() < 0.05
    assert abs((normal**4).mean() - 3) < 0.3


def test_weights_are_rounded_to_16_bits_and_those_of_recurrent_decoders_to_32():
    model = sv.VAE.mlp(6, 2, (5,))
    weights = Weights.of(model)
    place = weights.add(model.decoder.network.layers[1].weight)
    assert place == {"start": 0, "shape": [5, 6]} and weights.written()["type"] == "float16"
    for recurrent in (sv.SketchRNN.lstm(2, 3, 3, 2), sv.MoleculeVAE.gru(SYMBOLS, 30, 2, 3)):
        assert Weights.of(recurrent).dtype == numpy.float32
    assert packed([1.0, -2.0])["base64"] == "ADwAwA=="


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, 7e4])
def test_weights_that_16_bits_do_not_hold_are_refused(value):
    with pytest.raises(InputError, match="weights and codes from -65504 to 65504"):
        packed([0.0, value])


class Own(Module):
    """A user's network."""

    def __init__(self, network):
        self.network = network

    def __call__(self, z):
        return self.network(z)


class OwnMLP(MLP):
    """A user's network that computes something else than its class."""

    def __call__(self, z):
        return 2 * super().__call__(z)


class OwnDecoder(BernoulliDecoder):
    """A user's likelihood."""


@pytest.mark.parametrize(
    "decoder, named",
    [
        (lambda network: BernoulliDecoder(Own(network)), "Own"),
        (lambda network: BernoulliDecoder(OwnMLP([2, 4], sv.Noise(0))), "OwnMLP"),
        (OwnDecoder, "OwnDecoder"),
        (lambda network: type("Other", (Own,), {"likelihood": sv.distributions.Bernoulli})(network), "Other"),
    ],
)
def test_a_users_own_decoder_is_refused(decoder, named):
    encoder = GaussianEncoder(MLP([4, 4], sv.Noise(0)))
    model = sv.VAE(encoder, decoder(MLP([2, 4], sv.Noise(1))), 2)
    with pytest.raises(
        InputError, match=f"explorer: expected a decoder of this package's networks.*received a {named}"
    ):
        sv.explorer(model, numpy.zeros((3, 4), dtype=numpy.float32))


@pytest.mark.parametrize("decoder", [BernoulliDecoder, PoissonDecoder, lambda n: GaussianDecoder(n, "decoder")])
def test_layers_of_the_package_in_a_users_order_are_shown(decoder):
    encoder = GaussianEncoder(MLP([4, 4], sv.Noise(0)))
    model = stirred(sv.VAE(encoder, decoder(MLP([2, 3, 8 if decoder is not BernoulliDecoder else 4], sv.Noise(1))), 2))
    assert isinstance(model.decoder, Decoder)
    weights = Weights.of(model)
    given = {"description": written_decoder(model, weights), "weights": weights.written(), "z": [0.3, -1.0]}
    code = "return Array.from(meanOf(withWeights(given.description, numbersOf(given.weights)), given.z));"
    mean = model.decode(numpy.array([[0.3, -1.0]], dtype=numpy.float32)).mean[0]
    numpy.testing.assert_allclose(run_node(["decoder"], code, given), mean, rtol=1e-5, atol=1e-6)


def test_the_page_knows_every_activation():
    script = (Path(sv.__file__).parent / "explorer" / "decoder.js").read_text(encoding="utf-8")
    layers = script[script.index("const LAYERS") :]
    assert [name for name in ACTIVATIONS if f"\n  {name}: (x)" not in layers] == []


def test_molecules_of_the_tests_have_the_symbols_of_the_model():
    assert set(sv.Alphabet.of(MOLECULES.molecules).symbols) == set(SYMBOLS)
