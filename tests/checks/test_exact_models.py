"""Linear VAEs on real data, and quadrature over z held to what is known in closed form."""

import copy

import numpy
import pytest
from scipy import integrate, stats

import scratchvae as sv
from scratchvae.checks.exact_models import as_vae, gaussian_rows, linear_vae_gap
from scratchvae.distributions import Normal, kl
from scratchvae.errors import InputError
from scratchvae.linear import PPCA
from scratchvae.quadrature import best_normal, divergence_from_posterior, elbo, exact_posterior, normal_nodes

# ---- linear VAEs on real data


@pytest.mark.slow
def test_a_linear_vae_reaches_the_optimum_on_real_digits():
    """8 x 8 digits written by people, in float64: within 0.02 nat a datapoint of PPCA's likelihood."""
    datasets = pytest.importorskip("sklearn.datasets")
    x = datasets.load_digits().data / 16
    assert 0 < linear_vae_gap(x, k=4, epochs=250, batch_size=100) < 0.02


@pytest.mark.slow
def test_a_linear_vae_reaches_the_optimum_on_mnist(mnist_dir):
    """5,000 digits, means of 2 x 2 pixels: all 784 pixels take Adam much longer."""
    _, test = sv.data.load("mnist", mnist_dir)
    x = test.images[:5000].reshape(5000, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(5000, 196).astype(numpy.float64)
    assert 0 < linear_vae_gap(x, k=5, epochs=500, batch_size=200, learning_rate=1e-2) < 0.02


# ---- quadrature


@pytest.mark.parametrize("k", [1, 2])
def test_quadrature_is_exact_for_a_linear_model(k):
    x = gaussian_rows()
    ppca = PPCA(k).fit(x)
    model = as_vae(ppca)
    for i in range(3):
        row = x[i : i + 1]
        found = exact_posterior(model, row)
        assert found.log_px == pytest.approx(ppca.score_samples(row)[0], rel=1e-12)
        assert found.error < 1e-7
        z = numpy.stack(numpy.meshgrid(*found.axes, indexing="ij"), axis=-1)
        posterior = ppca.posterior(row)
        numpy.testing.assert_allclose(found.density.ravel(), numpy.exp(posterior.log_prob(z.reshape(-1, k))), atol=1e-9)
        cell = numpy.prod([axis[1] - axis[0] for axis in found.axes])
        assert found.density.sum() * cell == pytest.approx(1, abs=1e-12)
        assert elbo(model, row) == pytest.approx(found.log_px, rel=1e-11)

        wrong = Normal(posterior.mean + 0.3, posterior.log_std - 0.2)
        expected = float(kl(wrong, posterior)[0])
        assert divergence_from_posterior(model, row, wrong, found.log_px) == pytest.approx(expected, rel=1e-9)
        best, value = best_normal(model, row, Normal(wrong.mean, wrong.log_std + numpy.zeros((1, k))))
        numpy.testing.assert_allclose(best.mean, posterior.mean, atol=1e-5)
        numpy.testing.assert_allclose(best.log_std[0], posterior.log_std, atol=1e-5)
        assert value == pytest.approx(found.log_px, rel=1e-9)


class Ring(sv.nn.Module):
    """p(x | z) = Normal(|z|^2, 0.05^2): for x = 4 the posterior is a thin ring; for K = 1 it has two modes."""

    likelihood = Normal

    def __init__(self, k):
        self.unused = sv.Tensor(numpy.ones(k))

    def __call__(self, z):
        mean = sv.ops.sum(sv.ops.square(z), axis=-1, keepdims=True)
        return Normal(mean, numpy.full(1, numpy.log(0.05)))


@pytest.mark.parametrize("k", [1, 2])
def test_posteriors_of_several_modes_are_found_whole(k):
    encoder = sv.models.GaussianEncoder(sv.nn.Linear(1, 2 * k, sv.Noise(0)))
    model = sv.VAE(encoder, Ring(k), k).to(dtype=numpy.float64)
    found = exact_posterior(model, numpy.array([[4.0]]))
    # x is a chi-squared variable of K degrees of freedom plus noise
    density, _ = integrate.quad(lambda t: stats.chi2(k).pdf(t) * stats.norm(t, 0.05).pdf(4.0), 3, 5, epsabs=1e-12)
    assert found.log_px == pytest.approx(numpy.log(density), abs=1e-7)
    for axis in found.axes:
        assert axis[0] < -2 and axis[-1] > 2


def test_a_posterior_far_from_the_prior_is_found():
    encoder = sv.models.GaussianEncoder(sv.nn.Linear(1, 2, sv.Noise(0)))
    decoder = sv.models.GaussianDecoder(sv.nn.Linear(1, 1, sv.Noise(1)), std=0.01)
    model = sv.VAE(encoder, decoder, 1).to(dtype=numpy.float64)
    decoder.network.weight.data[...] = 1.0
    found = exact_posterior(model, numpy.array([[15.0]]))
    std = float(numpy.exp(decoder.log_std))
    assert found.log_px == pytest.approx(stats.norm(0, numpy.hypot(1, std)).logpdf(15.0), rel=1e-10)


def test_nodes_have_the_moments_of_the_normal():
    for k in (1, 2, 3):
        e, w = normal_nodes(k)
        numpy.testing.assert_allclose(w @ e, numpy.zeros(k), atol=1e-14)
        numpy.testing.assert_allclose(e.T @ (w[:, None] * e), numpy.eye(k), atol=1e-12)
        numpy.testing.assert_allclose(w @ e**4, numpy.full(k, 3.0), rtol=1e-10)


@pytest.mark.parametrize("std", [0.02, 0.05, 0.2])
def test_a_mode_off_the_first_grid_is_found(std):
    """One mode on a point of a coarse grid, one between: p(x | z) = Normal((z - 1.25) (z + 1.40625), std^2)."""

    class Parabola(Ring):
        def __call__(self, z):
            return Normal((z - 1.25) * (z + 1.40625), numpy.full(1, numpy.log(std)))

    encoder = sv.models.GaussianEncoder(sv.nn.Linear(1, 2, sv.Noise(0)))
    model = sv.VAE(encoder, Parabola(1), 1).to(dtype=numpy.float64)
    z = numpy.linspace(-4, 4, 2_000_001)
    density = stats.norm.pdf(z) * stats.norm((z - 1.25) * (z + 1.40625), std).pdf(0)
    found = exact_posterior(model, numpy.zeros((1, 1)))
    assert found.log_px == pytest.approx(numpy.log(density.sum() * (z[1] - z[0])), abs=1e-6)


def test_kinks_are_integrated_too():
    """relu makes the integrand less smooth: the error falls as the square of the step."""
    model = sv.VAE.mlp(4, 1, (6,), "relu", likelihood="gaussian", std="decoder").to(dtype=numpy.float64)
    rng = numpy.random.default_rng(0)
    for parameter in model.parameters():
        parameter.data += 0.5 * rng.standard_normal(parameter.shape)
    for row in rng.standard_normal((3, 1, 4)):
        found = exact_posterior(model, row)
        z = numpy.linspace(-12, 12, 400_001)[:, None]
        with sv.no_grad():
            log_joint = model.decoder(z).log_prob(row) + model.prior.log_prob(z)
        expected = numpy.logaddexp.reduce(log_joint) + numpy.log(z[1, 0] - z[0, 0])
        assert found.log_px == pytest.approx(expected, abs=1e-5)


def test_what_quadrature_cannot_do_is_refused():
    x = numpy.zeros((2, 4))
    model = sv.VAE.mlp(4, 2, (2,))
    for use in (exact_posterior, elbo):
        with pytest.raises(InputError, match="expected one or two latent units, received 3"):
            use(sv.VAE.mlp(4, 3, (2,)), x[:1])
        with pytest.raises(InputError, match=r"expected a model in float64, received float32 \(copy.deepcopy"):
            use(model, x[:1])
    model.to(dtype=numpy.float64)
    for use in (exact_posterior, elbo):
        with pytest.raises(InputError, match="expected one row"):
            use(model, x)
    model.decoder.network.layers[0].weight.data[...] = numpy.nan
    with pytest.raises(ArithmeticError, match="is not finite everywhere"):
        exact_posterior(model, x[:1])

    class Thin(Ring):
        def __call__(self, z):
            return Normal(super().__call__(z).mean, numpy.full(1, -9.0))

    thin = sv.VAE(sv.models.GaussianEncoder(sv.nn.Linear(1, 4, sv.Noise(0))), Thin(2), 2).to(dtype=numpy.float64)
    with pytest.raises(ArithmeticError, match="1025 points along an axis leave an error of"):
        exact_posterior(thin, numpy.array([[4.0]]))


@pytest.mark.slow
def test_the_evidence_on_real_digits(mnist_dir):
    """log p(x) = L(x) + KL(q || p(z | x)) for a 2-D VAE trained on MNIST, in float64."""
    train, test = (part.images.reshape(-1, 784) for part in sv.data.load("mnist", mnist_dir))
    model = sv.VAE.mlp(784, 2, (100,), "tanh", binarize="threshold")
    sv.fit(model, train[:10_000], epochs=5, learning_rate=2e-3, progress=False)
    model, x = copy.deepcopy(model).to(dtype=numpy.float64), (test[:10] > 0.5).astype(numpy.float64)
    for row in (x[i : i + 1] for i in range(10)):
        log_px = exact_posterior(model, row).log_px
        gap = divergence_from_posterior(model, row, model.encode(row), log_px)
        assert log_px == pytest.approx(elbo(model, row) + gap, abs=1e-6)
        assert gap > 0
