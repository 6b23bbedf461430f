"""Likelihoods by name, end to end: which data each takes, what its ELBO is called, and models that have it."""

import math

import numpy
import pytest
from scipy import stats

import scratchvae as sv
from scratchvae.distributions import Bernoulli, Distribution, Laplace, Normal, Poisson
from scratchvae.errors import DataError, InputError
from scratchvae.evaluation import quantity
from scratchvae.models import LIKELIHOODS, GaussianEncoder
from scratchvae.models.real_decoders import SMALLEST_STD
from scratchvae.nn import Linear, Module
from scratchvae.quadrature import divergence_from_posterior, elbo, exact_posterior, normal_nodes

pytestmark = pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
N, SHAPE, D = 12, (4, 4, 1), 16
SETTINGS = {
    "bernoulli": {"likelihood": "bernoulli"},
    "gaussian": {"likelihood": "gaussian", "std": 0.5},
    "laplace": {"likelihood": "laplace", "std": 0.5},
    "laplace learned": {"likelihood": "laplace", "std": "learned"},
    "laplace decoder": {"likelihood": "laplace", "std": "decoder"},
    "student-t": {"likelihood": "student-t", "std": "learned"},
    "student-t decoder": {"likelihood": "student-t", "std": "decoder"},
    "poisson": {"likelihood": "poisson"},
    "negative-binomial": {"likelihood": "negative-binomial"},
}
CONSTRUCTORS = {
    "mlp": lambda **settings: sv.VAE.mlp(D, 2, (5,), **settings),
    "convolutional": lambda **settings: sv.VAE.convolutional(SHAPE, 2, (3,), **settings),
    "m2": lambda **settings: sv.SemiSupervisedVAE.mlp(D, 3, 2, (5,), **settings),
    "m2 convolutional": lambda **settings: sv.SemiSupervisedVAE.convolutional(
        SHAPE, 3, 2, (3,), hidden_size=6, **settings
    ),
}


def images(kind, rng):
    """Data as the likelihood takes them."""
    if kind in ("poisson", "negative-binomial"):
        return rng.poisson(3, (N, *SHAPE)).astype("f")
    return rng.random((N, *SHAPE)).astype("f") - (0.5 if kind != "bernoulli" else 0)


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("constructor", CONSTRUCTORS)
def test_every_likelihood_end_to_end(constructor, kind, rng, tmp_path, device):
    x = sv.backend.asarray(images(kind, rng), device)
    model = CONSTRUCTORS[constructor](**SETTINGS[kind]).to(device)
    labels = numpy.arange(N) % 3 if "m2" in constructor else None
    history = sv.fit(model, x, 2, 4, labels=labels, run_dir=tmp_path / "run", progress=False)
    assert len(history["elbo"]) == 2 and numpy.isfinite(history["elbo"]).all()
    loaded = sv.load(tmp_path / "run" / "last.npz").to(device)
    assert repr(loaded) == repr(model) and loaded.configuration == model.configuration
    assert sv.evaluate(loaded, x) == sv.evaluate(model, x)
    log_px, _, _ = sv.log_likelihood(model, x, 50)
    assert log_px.shape == (N,) and numpy.isfinite(log_px).all()
    means = model.sample(5)
    assert means.shape[0] == 5 and math.prod(means.shape[1:]) == D and means.dtype == numpy.float32
    assert model.reconstruct(x).shape == x.shape and model.reconstruct(x).dtype == numpy.float32


def test_what_the_decoders_return():
    for name, decoder in LIKELIHOODS.items():
        model = sv.VAE.mlp(3, 2, (4,), likelihood=name)
        assert type(model.decoder) is decoder
        assert type(model.decode(numpy.zeros((1, 2), "f"))) is decoder.likelihood


@pytest.mark.parametrize(("likelihood", "peer"), [("gaussian", stats.norm), ("laplace", stats.laplace)])
def test_std_is_the_standard_deviation(likelihood, peer, rng):
    """And the same number for both: a Laplace of scale b = std / sqrt(2)."""
    x, z = rng.standard_normal((6, 3)), rng.standard_normal((6, 2))
    model = sv.VAE.mlp(3, 2, (4,), likelihood=likelihood, std=0.7).to(dtype=numpy.float64)
    mean = model.decode(z).mean
    scale = 0.7 if likelihood == "gaussian" else 0.7 / math.sqrt(2)
    assert peer(0, scale).std() == pytest.approx(0.7)
    expected = peer(mean, scale).logpdf(x).sum(axis=-1)
    numpy.testing.assert_allclose(model.decode(z).log_prob(x), expected, rtol=1e-6)
    learned = sv.VAE.mlp(3, 2, (4,), likelihood=likelihood, std="learned")
    assert learned.decode(z.astype("f")).std == pytest.approx(0.3 + SMALLEST_STD, rel=1e-6)
    learned.decoder.raw_log_std.data[...] = -50
    assert learned.decode(z.astype("f")).std == pytest.approx(1e-3, rel=1e-5)
    each = sv.VAE.mlp(3, 2, (4,), likelihood=likelihood, std="decoder").to(dtype=numpy.float64)
    output = each.decoder.network(z).data
    numpy.testing.assert_allclose(each.decode(z).mean, output[:, :3], rtol=1e-12)
    numpy.testing.assert_allclose(each.decode(z).std, SMALLEST_STD + numpy.exp(output[:, 3:]), rtol=1e-12)


def test_std_cannot_be_set_where_it_would_change_nothing():
    for std, printed in ((0.1, "std = 0.1)"), ("learned", "std = learned)"), ("decoder", "std = decoder)")):
        decoder = sv.VAE.mlp(3, 2, (4,), likelihood="laplace", std=std).decoder
        assert printed in repr(decoder) and repr(decoder).startswith("Laplace(mean = MLP(")
        with pytest.raises(AttributeError):
            decoder.std = 0.5
    decoder = sv.VAE.mlp(3, 2, (4,), likelihood="gaussian", std=0.1).decoder
    decoder.log_std[...] = math.log(0.5)
    assert "std = 0.5)" in repr(decoder) and decoder(numpy.zeros((1, 2), "f")).std == pytest.approx(0.5)


# ---- the ELBO of counts and of Laplace's data


def small(**settings):
    model = sv.VAE.mlp(2, 1, (3,), "tanh", **settings).to(dtype=numpy.float64)
    rng = numpy.random.default_rng(0)
    for parameter in model.parameters():
        parameter.data += 0.4 * rng.standard_normal(parameter.shape)
    return model


@pytest.mark.parametrize("name", ["poisson", "laplace"])
def test_log_px_is_the_elbo_and_the_divergence_from_the_posterior(name):
    """Of SciPy's densities by quadrature, too."""
    model = small(likelihood=name, **({"std": 3.0} if name == "laplace" else {}))
    z, weight = normal_nodes(1, n=2001)
    for x in ([[0.0, 2.0]], [[5.0, 1.0]]):
        x = numpy.array(x)
        log_px = exact_posterior(model, x).log_px
        with sv.no_grad():
            q, output = model.encoder(x), model.decoder.network(z)
        tolerance = {"poisson": 1e-6, "laplace": 1e-3}[name]  # the kink of a Laplace density costs the rule digits
        assert elbo(model, x) + divergence_from_posterior(model, x, q, log_px) == pytest.approx(log_px, abs=tolerance)
        log_p = stats.poisson(numpy.exp(output)).logpmf if name == "poisson" else stats.laplace(output, 4.5**0.5).logpdf
        expected = math.log(weight @ numpy.exp(log_p(x).sum(axis=1)))
        assert log_px == pytest.approx(expected, abs=10 * tolerance if name == "poisson" else tolerance)


def test_counts_of_any_size_can_be_trained_on_from_the_start(rng):
    """The encoder reads log(1 + x), and no rate is larger than float32 can count to."""
    x = rng.poisson(5000 * rng.random((60, 1)) * rng.random(30)).astype("f")
    model = sv.VAE.mlp(30, 2, (20,), likelihood="poisson")
    assert "MLP(30 -> 20 -> 4, relu) of log(1 + x)" in repr(model)
    history = sv.fit(model, x, 30, 10, 0.02, progress=False)
    assert numpy.isfinite(history["elbo"]).all() and history["elbo"][-1] > 0.2 * history["elbo"][0]
    numpy.testing.assert_allclose(model.decode(numpy.full((1, 2), 1e6, "f")).mean.max(), 2**24, rtol=0.02)
    z = rng.standard_normal((5, 2)).astype("f")
    with sv.no_grad():
        received, output = model.decoder(z).log_rate, model.decoder.network(z)
    small_rates = output < 8
    numpy.testing.assert_allclose(received[small_rates], output[small_rates], atol=2e-4)
    with sv.no_grad():
        q = model.encoder(x)
        expected = model.encoder.network.network(numpy.log1p(x))
    numpy.testing.assert_array_equal(numpy.concatenate([q.mean, q.log_std], axis=1), expected)


def test_a_poisson_vae_gives_all_counts_together_probability_one():
    """log p(x) by quadrature over z, and the sum of p(x) over x: no factor of the likelihood is missing."""
    model = sv.VAE.mlp(1, 1, (3,), "tanh", likelihood="poisson").to(dtype=numpy.float64)
    z, weight = normal_nodes(1, n=129, width=9.0)
    counts = numpy.arange(200.0)[:, None]
    with sv.no_grad():
        log_p = model.decoder(z[:, None, :]).log_prob(counts)
    assert (weight @ numpy.exp(log_p)).sum() == pytest.approx(1, abs=1e-12)
    exact = exact_posterior(model, counts[3:4]).log_px
    assert numpy.log(weight @ numpy.exp(log_p))[3] == pytest.approx(exact, abs=1e-6)


def test_gradients_of_the_elbo(rng):
    for name, settings in (
        ("poisson", {}),
        ("negative-binomial", {}),
        ("laplace", {"std": "decoder"}),
        ("laplace", {"std": "learned"}),
        ("student-t", {"std": "learned"}),
    ):
        model = small(likelihood=name, **settings)
        x = rng.integers(0, 5, (4, 2)).astype(float)
        sv.check_gradients(lambda *_, m=model, x=x: m.elbo(x, sv.Noise(0), 2), *model.parameters(), order=1)


# ---- which data


REFUSED = {
    "bernoulli": [
        ([[0.0, 16.0]], r"values in \[0, 1\], received values from 0 to 16 \(divide by 16, the largest value\)$"),
        ([[0.0, 100.0]], r"from 0 to 100 \(divide by 100, the largest value\)$"),
        ([[0.0, 255.0]], r"from 0 to 255 \(divide by 255\)$"),
        ([[0.0, 250.0]], r"\(divide by 255 if these are 8-bit pixels, else by 250, the largest value\)$"),
        ([[0.0, 4095.0]], r"from 0 to 4095 \(divide by 4095, the largest value\)$"),
        ([[-0.5, 1.0]], r"from -0.5 to 1 \(likelihood=\"gaussian\" takes any real numbers\)$"),
    ],
    "poisson": [
        ([[0.0, -1.0]], r"whole numbers of at least 0, received -1$"),
        ([[0.0, 2.5]], r"whole numbers of at least 0, received 2.5$"),
        ([[0.0, 0.5]], r"received 0.5 \(sv.data.load divides bytes of type uint8 by 255; another type of integers"),
    ],
    "negative-binomial": [([[0.0, -1.0]], r"whole numbers of at least 0, received -1$")],
}


@pytest.mark.parametrize(
    ("name", "x", "sentence"), [(name, x, sentence) for name, cases in REFUSED.items() for x, sentence in cases]
)
def test_data_are_refused_by_the_likelihood(name, x, sentence, device):
    model = sv.VAE.mlp(2, 1, (3,), likelihood=name).to(device)
    words = name.replace("-", " ") if "-" in name else name.capitalize()
    x = sv.backend.asarray(numpy.array(x, dtype="f"), device)
    for use in (model.encode, lambda x: sv.evaluate(model, x), lambda x: sv.fit(model, x, progress=False)):
        with pytest.raises(DataError, match=f"^data for a {words} likelihood: expected .*{sentence}"):
            use(x)


def test_real_numbers_are_taken_by_densities_and_counts_in_any_type():
    signed = numpy.array([[-3.0, 250.5]])
    for name in ("gaussian", "laplace", "student-t"):
        model = sv.VAE.mlp(2, 1, (3,), likelihood=name)
        assert model.observations(signed).dtype == numpy.float32
        with pytest.raises(DataError, match="^data: expected an array of floating-point numbers, received int64"):
            model.observations(signed.astype(int))
    counts = sv.VAE.mlp(2, 1, (3,), likelihood="poisson")
    for dtype in ("u1", "i8", "f4", "f8"):
        x = numpy.array([[0, 255]], dtype=dtype)
        assert counts.observations(x).tolist() == [[0, 255]] and counts.observations(x).dtype == numpy.float32
        assert sv.evaluate(counts, x) == sv.evaluate(counts, x.astype("f"))
    with pytest.raises(DataError, match="expected an array of floating-point numbers, received bool"):
        counts.observations(counts.observations(x) > 0)


class Own(Module):
    """A decoder of a user's own, which says of its likelihood the class alone."""

    def __init__(self, likelihood):
        self.likelihood, self.network = likelihood, Linear(1, 2, sv.Noise(0))

    def __call__(self, z):
        return self.likelihood(self.network(z), numpy.zeros((), "f"))


class Cauchy:
    """A density of a user's own, derived from nothing."""

    def __init__(self, mean, log_scale):
        self.mean, self.log_scale = mean, log_scale

    def log_prob(self, x):
        return sv.ops.sum(
            -sv.ops.log1p(sv.ops.square((x - self.mean) * sv.ops.exp(-self.log_scale)))
            - (self.log_scale + math.log(math.pi)),
            axis=-1,
        )


@pytest.mark.parametrize("kind", [Normal, Laplace, Cauchy])
def test_a_decoder_of_ones_own_needs_no_more_than_a_likelihood(kind, rng):
    model = sv.VAE(GaussianEncoder(Linear(2, 2, sv.Noise(1))), Own(kind), 1)
    x = (5 * rng.standard_normal((8, 2))).astype("f")
    sv.fit(model, x, 2, progress=False)
    assert math.isfinite(sv.evaluate(model, x)["elbo"])
    assert quantity(model, x) == "lower bound of log p(x), a density of real numbers"


def test_a_decoder_of_ones_own_refuses_what_its_likelihood_does():
    for likelihood, x in ((Bernoulli, [[0.0, 16.0]]), (Poisson, [[0.5, 1.0]])):
        model = sv.VAE(GaussianEncoder(Linear(2, 2, sv.Noise(1))), Own(likelihood), 1)
        with pytest.raises(DataError, match=f"^data for a {likelihood.__name__} likelihood: expected "):
            model.encode(numpy.array(x, "f"))


def test_m2_of_a_stack_takes_real_numbers_alone():
    first = sv.VAE.mlp(4, 2)
    for name in ("bernoulli", "poisson"):
        second = sv.SemiSupervisedVAE.mlp(1, 10, 2, (3,), likelihood=name)
        with pytest.raises(InputError, match=f"a second model of real numbers, received a {name.capitalize()} likeli"):
            sv.StackedVAE(first, second, [0])
    for name in ("laplace", "student-t"):
        second = sv.SemiSupervisedVAE.mlp(1, 10, 2, (3,), likelihood=name)
        assert sv.StackedVAE(first, second, [0]).latent_size == 2


# ---- what its ELBO is called


def test_the_elbo_is_called_what_it_is(device):
    grey, bits = numpy.array([[0.0, 0.5, 1.0]], "f"), numpy.array([[0.0, 1.0, 1.0]], "f")
    eight_bit, real = numpy.array([[0, 128, 255]], "f"), numpy.array([[0.1234, 0.7, 0.2]], "f")
    density = "lower bound of log p(x), a density of real numbers"
    dequantize = f"{density}; 8-bit values are to be dequantised"
    cross_entropy = "Bernoulli cross-entropy on grey values, not a log-likelihood"
    for name, x, sentence in [
        ("bernoulli", grey, cross_entropy),
        ("bernoulli", bits, "lower bound of log p(x), values that are 0 or 1"),
        ("bernoulli", None, f"{cross_entropy}, unless all values are 0 or 1"),
        ("gaussian", eight_bit, dequantize),
        ("gaussian", eight_bit / 255, dequantize),
        ("gaussian", real, density),
        ("gaussian", eight_bit / 255 - 0.5, density),
        ("gaussian", eight_bit + 1, density),
        ("laplace", real, density),
        ("laplace", None, dequantize),
        ("poisson", eight_bit, "lower bound of log p(x), a probability of counts"),
        ("poisson", None, "lower bound of log p(x), a probability of counts"),
        ("negative-binomial", eight_bit, "lower bound of log p(x), a probability of counts"),
        ("student-t", real, density),
    ]:
        x = x if x is None else sv.backend.asarray(x, device)
        assert quantity(sv.VAE.mlp(3, 2, (4,), likelihood=name), x) == sentence
    dequantized = sv.data.dequantize(eight_bit / 255, sv.Noise(0))
    assert quantity(sv.VAE.mlp(3, 2, (4,), likelihood="gaussian"), dequantized) == density
    for x in (grey, bits, None):
        assert quantity(sv.VAE.mlp(3, 2, (4,), binarize="dynamic"), x) == "lower bound of log p(x), binarize=dynamic"


def test_a_distribution_without_a_quadrature_says_so():
    with pytest.raises(NotImplementedError, match="^Distribution has no quadrature$"):
        Distribution().quadrature()
