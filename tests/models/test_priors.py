"""Learned priors: in a model from start to file, against PyTorch step by step, and what is refused."""

import copy
import math

import numpy
import pytest
from scipy import stats

import scratchvae as sv
from scratchvae.distributions import Normal, NormalMixture
from scratchvae.errors import DataError, InputError, ShapeError
from scratchvae.models import PRIORS, GaussianEncoder, VampPrior
from scratchvae.nn import Linear, Module
from scratchvae.noise import GivenNoise
from scratchvae.quadrature import elbo

pytestmark = pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
LEARNED = [name for name in PRIORS if name != "normal"]
N, D, K, C = 12, 16, 2, 5


def vae(prior="normal", **settings):
    return sv.VAE.mlp(D, K, (6,), prior=prior, n_components=C, **settings)


@pytest.fixture
def x(rng):
    return rng.random((N, D), dtype=numpy.float32)


@pytest.mark.parametrize("prior", LEARNED)
@pytest.mark.parametrize("objective", ["elbo", "iwae"])
def test_a_learned_prior_end_to_end(prior, objective, x, tmp_path, device):
    """Trained, resumed, written, scored and drawn from; on CPU and GPU."""
    x, model = sv.backend.asarray(x, device), vae(prior).to(device)
    before = {name: sv.to_numpy(value.data).copy() for name, value in model.named_parameters().items()}
    options = {"batch_size": 4, "run_dir": tmp_path / "run", "progress": False, "objective": objective}
    history = sv.fit(model, x, 1, **options)
    twice = vae(prior).to(device)
    history = sv.fit(twice, x, 2, resume=True, **options)
    assert len(history["elbo"]) == 2 and numpy.isfinite(history["kl"]).all()
    changed = {
        name for name, value in twice.named_parameters().items() if (sv.to_numpy(value.data) != before[name]).any()
    }
    own = {"mixture": {"prior.logits", "prior.means", "prior.log_stds"}, "vamp": {"prior.pseudo_inputs"}}[prior]
    assert own <= changed
    loaded = sv.load(tmp_path / "run").to(device)
    assert repr(loaded) == repr(twice) and loaded.configuration == twice.configuration
    assert loaded.configuration["prior"] == prior and loaded.configuration["n_components"] == C
    assert sv.evaluate(loaded, x) == sv.evaluate(twice, x)
    numpy.testing.assert_array_equal(sv.to_numpy(loaded.sample(7)), sv.to_numpy(twice.sample(7)))
    log_px, _, _ = sv.log_likelihood(twice, x, 200)
    assert numpy.isfinite(log_px).all() and log_px.mean() > sv.evaluate(twice, x, n_samples=20)["elbo"] - 0.1
    copied = copy.deepcopy(twice)
    assert prior != "vamp" or copied.prior.encoder is copied.encoder


def test_the_default_is_what_it_was(x):
    """Normal(0, I), the same weights, no parameters, and an analytic KL."""
    model, given = vae(), sv.VAE.mlp(D, K, (6,))
    assert type(model.prior) is Normal and model.has_standard_prior and repr(model) == repr(given)
    for name, value in given.state().items():
        numpy.testing.assert_array_equal(model.state()[name], value)
    e = numpy.zeros((1, N, K), "f")
    with sv.no_grad():
        _, divergence = model.elbo_terms(x, GivenNoise(e))
        numpy.testing.assert_array_equal(divergence, sv.kl(model.encoder(x), model.prior))
    for prior in LEARNED:
        for name, value in given.named_parameters().items():
            numpy.testing.assert_array_equal(vae(prior).named_parameters()[name].data, value.data)


@pytest.mark.parametrize("prior", LEARNED)
def test_the_log_density_is_that_of_scipys_components(prior, rng):
    model = vae(prior).to(dtype=numpy.float64)
    for parameter in model.parameters():
        parameter.data += 0.3 * rng.standard_normal(parameter.shape)
    p = model.prior if prior == "mixture" else model.prior.mixture()
    with sv.no_grad():
        logits, means, stds = (sv.to_numpy(getattr(part, "data", part)) for part in (p.logits, p.means, p.log_stds))
        z = rng.standard_normal((3, 4, K))
        received = model.prior.log_prob(z)
    weights = numpy.exp(logits) / numpy.exp(logits).sum()
    assert prior == "mixture" or (weights == 1 / C).all()
    components = stats.norm(means, numpy.exp(stds)).pdf(z[..., None, :]).prod(axis=-1)
    numpy.testing.assert_allclose(received, numpy.log(components @ weights), rtol=1e-12)
    if prior == "vamp":
        u = model.prior.pseudo_inputs.data.clip(0, 1)
        numpy.testing.assert_array_equal(means, model.encode(u).mean)


def test_draws_are_of_the_density(rng):
    """Of each unit, by Kolmogorov and Smirnov's distance from the distribution function of the mixture."""
    model = sv.VAE.mlp(D, K, (6,), prior="mixture", n_components=3).to(dtype=numpy.float64)
    p = model.prior
    for part in (p.logits, p.means, p.log_stds):
        part.data += rng.standard_normal(part.shape)
    z = sv.to_numpy(model.prior_draws(20_000, seed=3))
    weights = numpy.exp(p.logits.data) / numpy.exp(p.logits.data).sum()
    for unit in range(K):
        peer = stats.norm(p.means.data[:, unit], numpy.exp(p.log_stds.data[:, unit]))
        distance = stats.kstest(z[:, unit], lambda t, peer=peer: peer.cdf(t[:, None]) @ weights).statistic
        assert distance < 1.95 / 20_000**0.5
    assert (model.prior_draws(5, seed=3) == z[:5]).all() or model.prior_draws(5, seed=3).shape == (5, K)


@pytest.mark.parametrize("prior", ["normal", *LEARNED])
def test_three_steps_are_pytorchs(prior, rng):
    """`fit` with Adam, two draws of z and a KL weight, against torch.distributions with the same noise; float64."""
    torch = pytest.importorskip("torch")
    peers = torch.distributions
    model = vae(prior).to(dtype=numpy.float64)
    x = rng.integers(0, 2, (N, D)).astype(float)
    start = {
        name: torch.tensor(value.data.copy(), requires_grad=True) for name, value in model.named_parameters().items()
    }
    adam = torch.optim.Adam(start.values(), lr=1e-2)

    def perceptron(x, part):
        weights = [start[f"{part}.network.layers.{i}.{name}"] for i in (0, 1) for name in ("weight", "bias")]
        return torch.relu(x @ weights[0] + weights[1]) @ weights[2] + weights[3]

    def encoded(x):
        mean, log_std = perceptron(x, "encoder").chunk(2, dim=-1)
        return peers.Independent(peers.Normal(mean, log_std.exp()), 1)

    def p_z():
        if prior == "normal":
            return peers.Independent(peers.Normal(torch.zeros(K, dtype=torch.float64), 1.0), 1)
        if prior == "mixture":
            components = peers.Normal(start["prior.means"], start["prior.log_stds"].exp())
            return peers.MixtureSameFamily(
                peers.Categorical(logits=start["prior.logits"]), peers.Independent(components, 1)
            )
        q = encoded(start["prior.pseudo_inputs"].clamp(0, 1))
        return peers.MixtureSameFamily(peers.Categorical(logits=torch.zeros(C, dtype=torch.float64)), q)

    t, elbos = torch.tensor(x), []
    for step in range(3):
        rows = torch.from_numpy(sv.Noise(0, step).permutation("order", N))
        e = torch.tensor(sv.Noise(0, step).normal("z", (2, N, K)), dtype=torch.float64)
        q = encoded(t[rows])
        z = q.mean + q.stddev * e
        logits = perceptron(z, "decoder")
        log_p = -torch.nn.functional.binary_cross_entropy_with_logits(
            logits, t[rows].expand_as(logits), reduction="none"
        )
        kl = peers.kl_divergence(q, p_z()) if prior == "normal" else (q.log_prob(z) - p_z().log_prob(z)).mean(0)
        reconstruction = log_p.sum(-1).mean(0)
        adam.zero_grad()
        (0.7 * kl - reconstruction).mean().backward()
        adam.step()
        elbos.append(float((reconstruction - kl).mean().detach()))
    options = {"batch_size": N, "learning_rate": 1e-2, "kl_weight": 0.7, "n_samples": 2, "progress": False}
    history = sv.fit(model, x, 3, **options)
    numpy.testing.assert_allclose(history["elbo"], elbos, rtol=1e-11)
    for name, value in model.named_parameters().items():
        numpy.testing.assert_allclose(value.data, start[name].detach(), atol=1e-9, err_msg=name)


@pytest.mark.parametrize("prior", LEARNED)
def test_gradients(prior, rng):
    model = sv.VAE.mlp(4, 1, (3,), "tanh", prior=prior, n_components=2).to(dtype=numpy.float64)
    for parameter in model.parameters():
        parameter.data += 0.2 * rng.random(parameter.shape)
    x = rng.random((3, 4))
    for objective in (model.elbo, model.importance_weighted_bound):
        sv.check_gradients(lambda *_, f=objective: f(x, sv.Noise(0), 2), *model.parameters(), order=1)


def test_a_mixture_of_one_standard_component_has_the_same_elbo(rng):
    model = sv.VAE.mlp(4, 2, (5,), "tanh", likelihood="gaussian", std=0.5).to(dtype=numpy.float64)
    x = rng.standard_normal((1, 4))
    plain = elbo(model, x)
    zeros = numpy.zeros((1, 2))
    other = sv.VAE(model.encoder, model.decoder, 2, prior=NormalMixture(zeros[0, :1], zeros, zeros))
    assert elbo(other, x) == pytest.approx(plain, abs=1e-9)


def test_rows_of_data_can_be_pseudo_inputs(x):
    encoder = GaussianEncoder(Linear(D, 2 * K, sv.Noise(0)))
    decoder = sv.models.BernoulliDecoder(Linear(K, D, sv.Noise(1)))
    prior = VampPrior(encoder, x[:3], bounds=(0, 1))
    model = sv.VAE(encoder, decoder, K, prior=prior)
    assert model.prior.n_components == 3 and model.prior.shape == (K,)
    assert len(model.parameters()) == 5  # the encoder's are trained once, not twice
    sv.fit(model, x, 1, progress=False)
    assert (prior.pseudo_inputs.data != x[:3]).any() and "(1/3) sum over 3 c of q(z | u_c)" in repr(model)


def test_priors_read_as_p_and_q():
    assert "p(z)      Normal(0, I)    z (2,)    no parameters" in repr(vae())
    mixture = "p(z)      sum over 5 c of w_c Normal(m_c, diag(s_c^2))    z (2,)    25 parameters"
    assert mixture in repr(vae("mixture"))
    assert "p(z)      (1/5) sum over 5 c of q(z | u_c)    z (2,)    80 parameters" in repr(vae("vamp"))
    learned = Normal(sv.Tensor(numpy.ones(K, "f")), sv.Tensor(numpy.zeros(K, "f")))
    model = sv.VAE(vae().encoder, vae().decoder, K, prior=learned)
    assert "p(z)      Normal    z (2,)    4 parameters" in repr(model) and not model.has_standard_prior
    assert model.prior_draws(4).shape == (4, K)


def test_pseudo_inputs_stay_within_what_data_may_be():
    """Counts cannot be negative: log(1 + u) of -2 is no number."""
    for likelihood, bounds in (("bernoulli", (0, 1)), ("poisson", (0, math.inf)), ("gaussian", (-math.inf, math.inf))):
        model = vae("vamp", likelihood=likelihood)
        assert model.prior.bounds == bounds
        model.prior.pseudo_inputs.data[...] = -2
        assert numpy.isfinite(model.prior.mixture().means.data).all()


def test_what_is_refused(x):
    for constructor in (
        lambda **prior: vae(**prior),
        lambda **prior: sv.VAE.convolutional((4, 4, 1), 2, (2,), **prior),
    ):
        for prior in ("vampprior", None, ["vamp"]):
            with pytest.raises(InputError, match=r"^VAE\.\w+: expected a prior among normal, mixture, vamp, received "):
                constructor(prior=prior)
    parts = vae().encoder, vae().decoder, K
    with pytest.raises(InputError, match=r"^VAE: expected a prior with shape, log_prob and sample, received 'vamp' \("):
        sv.VAE(*parts, prior="vamp")
    with pytest.raises(InputError, match="^VAE: expected a prior with shape, log_prob and sample, received Module"):
        sv.VAE(*parts, prior=Module())
    with pytest.raises(ShapeError, match=r"^VAE: expected a prior of shape \(2,\), received \(3,\)$"):
        sv.VAE(*parts, prior=Normal(*numpy.zeros((2, 3), "f")))
    for rows in (numpy.zeros(4, "f"), numpy.zeros((0, 4), "f")):
        with pytest.raises(ShapeError, match=r"^VampPrior: expected rows of pseudo-inputs, \(C, ...\), received "):
            VampPrior(parts[0], rows)
    with pytest.raises(DataError, match="^VampPrior: expected an array of floating-point numbers, received int64"):
        VampPrior(parts[0], numpy.zeros((3, D), int))
    with pytest.raises(
        InputError, match=r"^StackedVAE: expected a first model whose prior is Normal\(0, I\), received"
    ):
        sv.StackedVAE.mlp(vae("mixture"), [0])
    with pytest.raises(InputError, match=r"z \(\.\.\., 2\)|of size|at least|Size|a size"):
        sv.models.configuration.build(vae("vamp").configuration | {"n_components": -1}, 10**4)


def test_a_file_cannot_ask_for_more_pseudo_inputs_than_it_has():
    for prior in LEARNED:
        promised = vae(prior).configuration | {"n_components": 2**24}
        with pytest.raises(InputError, match="expected a model of at most 1000 parameters"):
            sv.models.configuration.build(promised, 1000)


# ---- a mixture of the codes


def test_codes_are_drawn_from_where_the_data_lie(rng):
    """On a model whose codes are two clusters far from the prior's mass, `codes` finds both."""
    model = sv.VAE.mlp(2, 2, (), likelihood="gaussian", std=0.1).to(dtype=numpy.float64)
    layer = model.encoder.network.layers[0]
    layer.weight.data[:, :2], layer.weight.data[:, 2:], layer.bias.data[:2] = numpy.eye(2), 0, 0
    layer.bias.data[2:] = math.log(0.1)
    centres = numpy.array([[6.0, 0.0], [0.0, -5.0]])
    x = centres[rng.integers(0, 2, 2000)] + 0.3 * rng.standard_normal((2000, 2))
    codes = sv.fit_codes(model, x, 2)
    order = numpy.argsort(codes.means_[:, 0])
    numpy.testing.assert_allclose(codes.means_[order], centres[::-1], atol=0.05)
    expected = (0.3**2 + 0.1**2) * numpy.eye(2)  # the data's and q's
    numpy.testing.assert_allclose(codes.covariances_, [expected, expected], atol=0.02)
    z = codes.sample(500, seed=1)
    numpy.testing.assert_array_equal(model.sample(500, 1, codes=codes), model.decode(z).mean)
    assert abs(model.prior_draws(500)).max() < 5 < abs(z).max()
    again = sv.fit_codes(model, x, 2)
    numpy.testing.assert_array_equal(again.means_, codes.means_)


def test_codes_of_a_model_on_the_gpu(x, device):
    model = vae().to(device)
    codes = sv.fit_codes(model, sv.backend.asarray(x, device), 2)
    drawn = model.sample(3, codes=codes)
    assert type(drawn) is type(sv.backend.asarray(x, device)) and drawn.shape == (3, D) and drawn.dtype == numpy.float32
    with pytest.raises(InputError, match="^fit_codes: expected a model without classes, received a SemiSupervisedVAE"):
        sv.fit_codes(sv.SemiSupervisedVAE.mlp(D, 3, 2, (4,)), x)
    with pytest.raises(InputError, match="^GaussianMixture: expected n_components from 1 to 12, the number of rows"):
        sv.fit_codes(model, x, 13)
