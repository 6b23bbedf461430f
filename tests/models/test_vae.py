"""The VAE against closed forms, against an independent computation in NumPy and SciPy, and against differences."""

import math

import numpy
import pytest
from builders import LIKELIHOODS, D, K, N, small
from scipy import special, stats

import scratchvae as sv
from scratchvae.distributions import Bernoulli, Normal
from scratchvae.errors import InputError, ShapeError
from scratchvae.models.decoders import BernoulliDecoder
from scratchvae.models.encoders import GaussianEncoder
from scratchvae.models.real_decoders import SMALLEST_STD, GaussianDecoder
from scratchvae.nn import Linear
from scratchvae.noise import GivenNoise


@pytest.fixture
def x(rng):
    return rng.uniform(0.05, 0.95, (N, D))


# ---- identities of exact models


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_with_the_exact_posterior_every_weight_is_the_marginal_likelihood(ppca, seed, scale):
    model, x, log_px, _ = ppca
    noise = GivenNoise(scale * sv.Noise(seed).normal("z", (7, N, K)))
    received = sv.to_numpy(model.log_weights(x, noise, n_samples=7))
    assert received.shape == (7, N)
    numpy.testing.assert_allclose(received, numpy.broadcast_to(log_px, (7, N)), atol=1e-10 * scale**2)


def test_with_the_exact_posterior_the_elbo_is_the_marginal_likelihood_on_average(ppca):
    model, x, log_px, _ = ppca
    draws = sv.to_numpy(model.elbo(numpy.repeat(x, 4000, axis=0), sv.Noise(0))).reshape(N, 4000)
    standard_error = draws.std(axis=1, ddof=1) / math.sqrt(4000)
    assert (abs(draws.mean(axis=1) - log_px) < 4 * standard_error).all() and (standard_error < 0.05).all()


def test_the_elbo_of_a_linear_gaussian_model_equals_its_closed_form(ppca, rng):
    """E_q[log p(x | z)] = log N(x; W m + c, t^2) - sum over k of s_k^2 |w_k|^2 / (2 t^2), for any diagonal q."""
    model, x, log_px, (weight, centre, std) = ppca
    whole = model.encoder.whole
    whole.inverse.data += 0.2 * rng.standard_normal(whole.inverse.shape)
    whole.posterior_log_std += [0.3, -0.4]
    mean, s = (x - centre) @ whole.inverse.data, numpy.exp(whole.posterior_log_std)
    reconstruction = stats.norm(mean @ weight + centre, std).logpdf(x).sum(axis=1)
    reconstruction -= (s**2 * (weight**2).sum(axis=1)).sum() / (2 * std**2)
    kl = 0.5 * (mean**2 + s**2 - 1 - 2 * numpy.log(s)).sum(axis=1)

    n_samples = 20_000
    terms = model.elbo_terms(x, sv.Noise(1), n_samples)
    numpy.testing.assert_allclose(sv.to_numpy(terms[1]), kl, rtol=1e-12)
    z = mean + s * sv.Noise(1).normal("z", (n_samples, N, K))
    draws = stats.norm(z @ weight + centre, std).logpdf(x).sum(axis=2)
    standard_error = draws.std(axis=0) / math.sqrt(n_samples)
    numpy.testing.assert_allclose(sv.to_numpy(terms[0]), draws.mean(axis=0), rtol=1e-10)
    assert (abs(sv.to_numpy(terms[0]) - reconstruction) < 4 * standard_error).all() and standard_error.max() < 0.2
    assert (reconstruction - kl < log_px).all(), "a lower bound"


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_the_monte_carlo_form_agrees_with_the_analytic_kl(kind, x):
    model, n_samples = small(kind), 20_000
    noise = sv.Noise(0)
    with sv.no_grad():
        weights = model.log_weights(x, noise, n_samples)
        elbo = model.elbo(x, noise, n_samples)
        q = model.encoder(x)
    z = q.reparameterize(noise.normal("z", (n_samples, N, K)))
    ratios = (q.log_prob(z) - model.prior.log_prob(z)) - sv.kl(q, model.prior)  # the same draws: only the KL differs
    standard_error = ratios.std(axis=0) / math.sqrt(n_samples)
    assert (abs(weights.mean(axis=0) - elbo) < 4 * standard_error).all() and standard_error.max() < 0.1
    assert (standard_error > 1e-6).all()


# ---- an independent computation


def perceptron(parameters, x):
    (w1, b1), (w2, b2) = parameters
    return numpy.tanh(x @ w1 + b1) @ w2 + b2


@pytest.mark.parametrize("n_samples", [1, 3])
@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_the_terms_equal_those_of_numpy_and_scipy(kind, n_samples, x, rng):
    model = small(kind)
    held = {name: tensor.data for name, tensor in model.named_parameters().items()}
    encoder, decoder = (
        [[held[f"{part}.network.layers.{i}.{name}"] for name in ("weight", "bias")] for i in (0, 1)]
        for part in ("encoder", "decoder")
    )
    e = rng.standard_normal((n_samples, N, K))
    if kind == "bernoulli":
        x = (x > 0.5).astype(float)
    code = perceptron(encoder, x)
    mean, std = code[:, :K], numpy.exp(code[:, K:])
    z = mean + std * e
    output = perceptron(decoder, z)
    if kind == "bernoulli":
        log_px = stats.bernoulli(special.expit(output)).logpmf(x)
    else:
        sigma = 0.3
        if kind == "learned std":
            sigma = SMALLEST_STD + numpy.exp(held["decoder.raw_log_std"])
        if kind == "decoder std":
            sigma = SMALLEST_STD + numpy.exp(output[..., D:])
        log_px = stats.norm(output[..., :D], sigma).logpdf(x)
    reconstruction = log_px.sum(axis=-1)
    kl = sum(  # of a product: a sum of one-dimensional divergences, by quadrature
        divergence(mean[:, k], std[:, k]) for k in range(K)
    )
    received = model.elbo_terms(x, GivenNoise(e), n_samples)
    rtol = 1e-6 if kind == "fixed std" else 1e-10  # 0.3 was rounded to float32
    numpy.testing.assert_allclose(sv.to_numpy(received[0]), reconstruction.mean(axis=0), rtol=rtol)
    numpy.testing.assert_allclose(sv.to_numpy(received[1]), kl, rtol=1e-8)
    numpy.testing.assert_allclose(
        sv.to_numpy(model.elbo(x, GivenNoise(e), n_samples)), reconstruction.mean(axis=0) - kl, rtol=rtol
    )
    log_w = reconstruction + stats.norm.logpdf(z).sum(axis=-1) - stats.norm(mean, std).logpdf(z).sum(axis=-1)
    numpy.testing.assert_allclose(sv.to_numpy(model.log_weights(x, GivenNoise(e), n_samples)), log_w, rtol=rtol)
    bound = special.logsumexp(log_w, axis=0, b=1 / n_samples)
    numpy.testing.assert_allclose(
        sv.to_numpy(model.importance_weighted_bound(x, GivenNoise(e), n_samples)), bound, rtol=rtol
    )


def divergence(mean, std):
    """KL(Normal(mean, std^2) || Normal(0, 1)) by the trapezoid rule, which is exact for smooth decaying integrands."""
    t = numpy.linspace(-12, 12, 4001)[:, None]
    z = mean + std * t
    integrand = stats.norm.pdf(t) * (stats.norm.logpdf(t) - numpy.log(std) - stats.norm.logpdf(z))
    return integrand.sum(axis=0) * (t[1, 0] - t[0, 0])


def test_one_row_by_hand():
    """q = Normal(1, (1/2)^2), p(x = 1 | z) = sigmoid(2 z), noise 2: z = 2."""
    model = sv.VAE.mlp(input_size=1, latent_size=1, hidden=()).to(dtype=numpy.float64)
    for x, value in zip(model.parameters(), ([[0, 0]], [1, math.log(0.5)], [[2]], [0]), strict=True):
        x.data[...] = value
    noise = GivenNoise(numpy.full((1, 1, 1), 2.0))
    reconstruction = -math.log(1 + math.exp(-4))
    kl = 0.5 * (0.25 + 1 - 1) + math.log(2)
    assert float(model.elbo(numpy.ones((1, 1)), noise).data[0]) == pytest.approx(reconstruction - kl, rel=1e-14)
    log_w = reconstruction - 0.5 * 2**2 - (-0.5 * 2**2 - math.log(0.5))
    assert float(model.log_weights(numpy.ones((1, 1)), noise).data[0, 0]) == pytest.approx(log_w, rel=1e-14)


# ---- gradients


@pytest.mark.parametrize("n_samples", [1, 3])
@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_gradients_by_all_parameters(kind, n_samples, x):
    model = small(kind)
    assert sv.check_gradients(lambda *_: model.elbo(x, sv.Noise(0), n_samples), *model.parameters(), order=1) < 1e-6
    assert sv.check_gradients(lambda *_: model.log_weights(x, sv.Noise(0)), *model.parameters(), order=1) < 1e-6


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_gradients_of_gradients(kind):
    model = small(kind, input_size=2, latent_size=1, hidden=(2,))
    x = numpy.array([[0.2, 0.9], [0.6, 0.4]])
    assert sv.check_gradients(lambda *_: model.elbo(x, sv.Noise(0), 2), *model.parameters(), order=2) < 1e-6


# ---- shapes, types, the entrance


def test_images_are_taken_as_rows_and_reconstructed_as_images(rng):
    model = sv.VAE.mlp(latent_size=2, hidden=(8,))
    images = rng.uniform(size=(3, 28, 28, 1)).astype(numpy.float32)
    flat = images.reshape(3, 784)
    numpy.testing.assert_array_equal(model.elbo(images, sv.Noise(0)).data, model.elbo(flat, sv.Noise(0)).data)
    numpy.testing.assert_array_equal(model.encode(images).mean, model.encode(flat).mean)
    for x in (images, flat, images[..., 0]):
        assert model.reconstruct(x).shape == x.shape and type(model.reconstruct(x)) is numpy.ndarray
    numpy.testing.assert_array_equal(
        model.reconstruct(images).ravel(), model.decode(model.encode(flat).mean).mean.ravel()
    )
    assert model.encode(images).mean.shape == (3, 2)
    assert model.decode(model.encode(images).mean).mean.shape == (3, 784)
    assert model.decode(numpy.zeros((4, 3, 2), dtype=numpy.float32)).mean.shape == (4, 3, 784)


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_float32_in_gives_float32_out(kind, x):
    model, x = small(kind, numpy.float32), x.astype(numpy.float32)
    results = [*model.elbo_terms(x, sv.Noise(0), 2), model.elbo(x, sv.Noise(0)), model.log_weights(x, sv.Noise(0))]
    results += sv.grad(sv.ops.sum(results[2]), model.parameters())
    results += [model.encode(x).mean, model.encode(x).std, model.reconstruct(x), model.sample(3)]
    assert {result.dtype for result in results} == {numpy.dtype("float32")}
    assert [result.shape for result in results[:4]] == [(N,), (N,), (N,), (1, N)]
    exact = small(kind)
    assert exact.elbo(x.astype(float), sv.Noise(0)).dtype == numpy.float64
    numpy.testing.assert_allclose(results[2].data, exact.elbo(x.astype(float), sv.Noise(0)).data, rtol=1e-4)
    assert model.encode(x.astype(float)).mean.dtype == numpy.float32, "the model's type"


@pytest.mark.parametrize("kind", ["learned std", "decoder std"])
def test_no_standard_deviation_falls_below_the_smallest(kind, x):
    model = small(kind)
    raw = model.decoder.raw_log_std.data if kind == "learned std" else model.decoder.network.layers[-1].bias.data[D:]
    for value in (-1e4, -20.0, -5.0, 0.0, 3.0):
        model.decoder.network.layers[-1].weight.data[...] = 0
        raw[...] = value
        std = model.decode(numpy.zeros((1, K))).std
        numpy.testing.assert_allclose(std, SMALLEST_STD + math.exp(value), rtol=1e-9)
        assert (std >= SMALLEST_STD * (1 - 1e-12)).all()
        terms = model.elbo_terms(x, sv.Noise(0))
        gradients = sv.grad(sv.ops.sum(terms[0] - terms[1]), model.parameters())
        assert all(numpy.isfinite(array).all() for array in [*map(sv.to_numpy, terms), *gradients])


def test_a_fixed_standard_deviation_is_the_number_that_was_given(x):
    for std in (0.1, 2, numpy.float64(0.5)):
        model = sv.VAE.mlp(D, K, (4,), likelihood="gaussian", std=std)
        assert float(model.decode(numpy.zeros((1, K), dtype=numpy.float32)).std) == pytest.approx(float(std), rel=1e-6)


def test_the_mean_over_samples_is_the_mean_of_single_ones(x, rng):
    model = small("bernoulli")
    e = rng.standard_normal((4, N, K))
    together = sv.to_numpy(model.elbo(x, GivenNoise(e), 4))
    apart = [sv.to_numpy(model.elbo(x, GivenNoise(e[i : i + 1]))) for i in range(4)]
    numpy.testing.assert_allclose(together, numpy.mean(apart, axis=0), rtol=1e-12)
    assert numpy.ptp(apart, axis=0).min() > 0


def test_the_objective_is_a_function_of_its_noise(x):
    model = small("bernoulli")
    first, again, other = (sv.to_numpy(model.elbo(x, noise)) for noise in (sv.Noise(0), sv.Noise(0), sv.Noise(0, 1)))
    assert numpy.array_equal(first, again) and not numpy.isclose(first, other).any()


def test_samples_are_decoded_means_of_the_prior():
    model = small("bernoulli", numpy.float32)
    samples = model.sample(2000, seed=4)
    assert samples.shape == (2000, D) and samples.min() > 0 and samples.max() < 1
    assert numpy.array_equal(samples, model.sample(2000, seed=4))
    assert not numpy.array_equal(samples, model.sample(2000, seed=5))
    z = numpy.random.default_rng(0).standard_normal((100_000, K), dtype=numpy.float32)
    population = model.decode(z).mean
    standard_error = population.std(axis=0) / math.sqrt(2000)
    assert (abs(samples.mean(axis=0) - population.mean(axis=0)) < 4.5 * standard_error).all()
    assert samples.std(axis=0) == pytest.approx(population.std(axis=0), rel=0.1)


def test_arrays_in_give_arrays_out_and_nothing_changes(x):
    model = small("decoder std")
    before = {name: array.copy() for name, array in model.state().items()}
    x.setflags(write=False)
    q = model.encode(x)
    for result in (q.mean, q.std, model.decode(q.mean).mean, model.reconstruct(x), model.sample(2)):
        assert type(result) is numpy.ndarray
    model.elbo(x, sv.Noise(0))
    for name, array in model.state().items():
        numpy.testing.assert_array_equal(array, before[name])


# ---- a user's own networks, and how a model prints


def test_own_networks(x):
    noise = sv.Noise(0)
    encoder = GaussianEncoder(Linear(D, 2 * K, noise.child("encoder")))
    model = sv.VAE(encoder, BernoulliDecoder(Linear(K, D, noise.child("decoder"))), latent_size=K)
    assert model.elbo(x.astype(numpy.float32), noise).shape == (N,)
    assert model.observed_shape is None and model.configuration is None
    with pytest.raises(ShapeError, match=r"affine: expected shapes that fit, received \(5, 5\) and \(6, 4\)"):
        model.elbo(x[:, :5], noise)
    with pytest.raises(InputError, match='VAE: expected binarize="none" with a likelihood other than Bernoulli'):
        sv.VAE(encoder, GaussianDecoder(Linear(K, D, noise)), K, binarize="dynamic")


def test_the_likelihood_is_the_class_of_what_the_decoder_returns():
    for kind in LIKELIHOODS:
        model = small(kind)
        assert type(model.decode(numpy.zeros((1, K)))) is model.decoder.likelihood
        assert model.decoder.likelihood is (Bernoulli if kind == "bernoulli" else Normal)


def test_a_model_prints_as_p_and_q():
    assert repr(sv.VAE.mlp(binarize="dynamic")) == (
        "VAE, 652,824 parameters, binarize=dynamic\n"
        "  p(z)      Normal(0, I)    z (20,)    no parameters\n"
        "  p(x | z)  Bernoulli(logits = MLP(20 -> 400 -> 784, relu))    x (784)    322,784 parameters\n"
        "  q(z | x)  Normal(mean and log std = MLP(784 -> 400 -> 40, relu))    z (20,)    330,040 parameters"
    )
    gaussian = repr(sv.VAE.mlp(4, 2, (3,), likelihood="gaussian", std="decoder"))
    assert "p(x | z)  Normal(mean = MLP(2 -> 3 -> 8, relu), std = decoder)    x (4)    41 parameters" in gaussian
    assert "std = 0.25)" in repr(sv.VAE.mlp(4, 2, (3,), likelihood="gaussian", std=0.25))


# ---- what a constructor makes of its arguments


def test_the_decoder_mirrors_the_widths_of_the_encoder():
    model = sv.VAE.mlp(7, 2, hidden=(5, 3))
    widths = [[layer.weight.shape for layer in part.network.layers] for part in (model.encoder, model.decoder)]
    assert widths == [[(7, 5), (5, 3), (3, 4)], [(2, 3), (3, 5), (5, 7)]]
    model = sv.SemiSupervisedVAE.mlp(7, 4, 2, hidden=(5, 3))
    widths = [[layer.weight.shape for layer in part.network.layers] for part in (model.classifier, model.decoder)]
    assert widths == [[(7, 5), (5, 3), (3, 4)], [(6, 3), (3, 5), (5, 7)]]
    assert [layer.weight.shape for layer in model.encoder.network.head.layers] == [(5, 3), (3, 4)]


@pytest.mark.parametrize("activation", ["tanh", "softplus", "relu"])
@pytest.mark.parametrize("kind", [sv.VAE, sv.SemiSupervisedVAE])
def test_every_hidden_layer_has_the_activation_that_was_asked_for(kind, activation):
    """The names stand in all networks; what they do there is compared in test_nn.py and test_convolutional_vae.py."""
    for model in (
        kind.mlp(6, latent_size=2, hidden=(4, 3), activation=activation),
        kind.convolutional((4, 4, 1), latent_size=2, channels=(2, 3), activation=activation),
    ):
        named = [module.activation for _, module in model.named_modules() if hasattr(module, "activation")]
        assert set(named) == {activation} and len(named) >= 2
