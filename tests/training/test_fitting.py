"""What fit is given of the rows and the units: a share held out, weights, free bits; and a model that goes on."""

from functools import partial

import numpy
import pytest
from builders import N, data, small

import scratchvae as sv
from scratchvae import objectives
from scratchvae.autodiff import grad
from scratchvae.errors import DataError, InputError
from scratchvae.minibatches import held_out
from scratchvae.noise import GivenNoise

pytestmark = pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")


def model(**settings):
    return sv.VAE.mlp(input_size=10, latent_size=2, hidden=(8,), activation="tanh", **settings)


def fit(vae, x=None, epochs=2, **settings):
    settings = {"batch_size": 12, "seed": 3, "progress": False} | settings
    return sv.fit(vae, data() if x is None else x, epochs, **settings)


def bits(vae):
    return {name: numpy.array(array).tobytes() for name, array in vae.state().items()}


# ---- validation as a share


def test_a_share_is_held_out_by_the_seed():
    """As if the two parts had been handed over, row by row; another seed holds out others."""
    rows, held = held_out(45, 0.2, seed=3)
    assert len(held) == 9 and sorted([*rows, *held]) == list(range(45)) and set(held) != set(held_out(45, 0.2, 4)[1])
    share, parts = model(), model()
    histories = [fit(share, validation=0.2), fit(parts, data()[rows], validation=data()[held])]
    for history in histories:
        del history["seconds"]
    assert bits(share) == bits(parts) and histories[0] == histories[1]


def test_labels_and_weights_stay_with_their_rows():
    """The same share of every class and of the rows without one is held out."""
    labels = numpy.arange(45) % 3 - 1
    rows, held = held_out(45, 0.2, 3, labels)
    assert numpy.bincount(labels[held] + 1).tolist() == [3, 3, 3]
    weights = numpy.linspace(1, 2, 45)
    models = [sv.SemiSupervisedVAE.mlp(10, n_classes=2, latent_size=2, hidden=(8,)) for _ in range(2)]
    fit(models[0], validation=0.2, labels=labels, sample_weight=weights)
    fit(models[1], data()[rows], validation=data()[held], labels=labels[rows], sample_weight=weights[rows])
    assert bits(models[0]) == bits(models[1])


# ---- a model that goes on


def test_a_second_fit_goes_on_from_the_parameters_with_a_new_optimizer(tmp_path):
    twice = model()
    fit(twice)
    sv.save(twice, tmp_path / "first.npz")
    fit(twice, seed=4)
    loaded = sv.load(tmp_path / "first.npz")
    before = bits(loaded)
    fit(loaded, seed=4)
    assert bits(twice) == bits(loaded) != before


# ---- sample weights


def gradient(vae, objective, x, noise, weights=None, labels=()):
    weighted = {} if weights is None else {"weights": weights}
    value, means = objective.value(x, *labels, noise, 1, 1.0, **weighted)
    return [numpy.array(g) for g in grad(value, vae.parameters())], float(value.data), means


@pytest.mark.parametrize("name", ["elbo", "iwae", "free bits", "labels"])
def test_a_weight_of_two_is_a_row_twice(name):
    """The gradient of the full batch, to rounding: rows 0 to 4 with weights 2, 1, 1, 1, 1; rows 0, 0, 1, 2, 3, 4."""
    rng = numpy.random.default_rng(0)
    x, noise = rng.uniform(size=(N, 6)).round(), rng.standard_normal((1, N, 2))
    twice = [0, 0, *range(1, N)]
    weights = numpy.array([2.0, 1, 1, 1, 1]) * N / (N + 1)
    vae = small("bernoulli")
    labels, both = (), ()
    make = {"elbo": objectives.elbo, "iwae": objectives.importance_weighted}.get(name)
    make = make or partial(objectives.elbo, free_bits=0.2)
    if name == "labels":
        vae = sv.SemiSupervisedVAE.mlp(6, n_classes=2, latent_size=2, hidden=(4,)).to(dtype=numpy.float64)
        labels, both = (numpy.array([0, 1, 0, 1, 1]),), (numpy.array([0, 0, 1, 0, 1, 1]),)
        makers = [partial(objectives.semi_supervised, labels=y, alpha=3.0) for (y,) in (labels, both)]
    else:
        makers = [make, make]
    once = gradient(vae, makers[0](vae), x, GivenNoise(noise), weights, labels)
    doubled = gradient(vae, makers[1](vae), x[twice], GivenNoise(noise[:, twice]), None, both)
    plain = gradient(vae, makers[0](vae), x, GivenNoise(noise), None, labels)
    assert once[1] == pytest.approx(doubled[1], rel=1e-13) and abs(once[1] - plain[1]) > 1e-3
    for weighted, repeated in zip(once[0], doubled[0], strict=True):
        numpy.testing.assert_allclose(weighted, repeated, rtol=1e-11, atol=1e-14)
    assert all(float(once[2][term].data) == pytest.approx(float(doubled[2][term].data)) for term in ("kl",))


def test_fit_divides_the_weights_by_their_mean(tmp_path):
    """Equal weights of any size change nothing, and a weight of 0 is a row left out of the gradient."""
    trained = []
    for weights in (None, numpy.full(45, 7), [1] * 44 + [5]):
        trained.append(model())
        fit(trained[-1], sample_weight=weights)
    assert bits(trained[0]) == bits(trained[1]) != bits(trained[2])
    x = numpy.concatenate([data()[:12], 1 - data()[:12]])
    histories = [fit(model(), x, 1, batch_size=24, sample_weight=[1] * 12 + [0] * 12)]
    histories.append(fit(model(), x, 1, batch_size=24))
    assert histories[0]["reconstruction"] != histories[1]["reconstruction"]
    fit(model(), run_dir=tmp_path / "run", sample_weight=numpy.ones(45))
    with pytest.raises(InputError, match="sample_weight"):
        fit(model(), epochs=3, run_dir=tmp_path / "run", resume=True)


# ---- free bits


def test_free_bits_by_hand():
    """mean E_q[log p(x | z)] - sum over k of max(mean KL_k, bits), KL_k = (m^2 + s^2 - 1) / 2 - log s; its gradient.

    The floor lies between the mean KLs of the two units, so that one counts and the other is free.
    """
    rng = numpy.random.default_rng(1)
    x, noise = rng.uniform(size=(N, 6)).round(), GivenNoise(rng.standard_normal((1, N, 2)))
    vae = small("bernoulli")
    q = vae.encode(x)
    kl = ((q.mean**2 + numpy.exp(2 * q.log_std) - 1) / 2 - q.log_std).mean(axis=0)
    bits = float(kl.mean())
    assert kl.min() < 0.9 * bits and kl.max() > 1.1 * bits
    reconstruction = float(vae.elbo_terms(x, noise)[0].data.mean())
    slopes, value, means = gradient(vae, objectives.elbo(vae, free_bits=bits), x, noise)
    assert value == pytest.approx(reconstruction - kl.max() - bits, rel=1e-12)
    assert float(means["kl"].data) == pytest.approx(kl.sum(), rel=1e-12)

    def counted():
        """The same without `maximum`: the larger unit's KL alone depends on the parameters."""
        q = vae.encoder(x)
        k = int(kl.argmax())
        m, log_s = q.mean[:, k], q.log_std[:, k]
        divergence = sv.ops.mean((m * m + sv.ops.exp(2 * log_s) - 1) / 2 - log_s)
        return sv.ops.mean(vae.elbo_terms(x, noise)[0]) - divergence

    for slope, expected in zip(slopes, grad(counted(), vae.parameters()), strict=True):
        numpy.testing.assert_allclose(slope, expected, rtol=1e-9, atol=1e-13)


def test_the_elbo_by_unit_is_the_elbo():
    rng = numpy.random.default_rng(2)
    x, noise = rng.uniform(size=(N, 6)).round(), GivenNoise(rng.standard_normal((3, N, 2)))
    vae = small("bernoulli")
    for weight in (1.0, 0.3):
        by_unit, whole = (f(x, noise, 3, weight).data for f in (vae.elbo_by_unit, vae.elbo))
        numpy.testing.assert_allclose(by_unit, whole, rtol=1e-13)


def test_free_bits_keep_units_active(tmp_path):
    """Trained where the KL weighs heavily, each unit carries its free bits, and without them none."""
    kls = [fit(model(), epochs=40, kl_weight=4.0, learning_rate=0.02, free_bits=bits)["kl"][-1] for bits in (0, 0.5)]
    assert kls[0] < 0.2 and 0.9 < kls[1] < 1.5
    fit(model(), run_dir=tmp_path / "run", free_bits=0.5)
    with pytest.raises(InputError, match="free_bits"):
        fit(model(), epochs=3, run_dir=tmp_path / "run", resume=True, free_bits=0.4)


# ---- what is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sample_weight": [1.0] * 44}, "sample_weight: expected one for each of 45 rows, received 44"),
        (
            {"sample_weight": [1.0] * 44, "validation": 0.2},
            "sample_weight: expected one for each of 45 rows, received 44",
        ),
        ({"sample_weight": numpy.ones((45, 1))}, r"numbers \(N,\), received float64 \(45, 1\)"),
        ({"sample_weight": [-1.0] + [1.0] * 44}, "numbers of at least 0 whose sum is finite and above 0"),
        ({"sample_weight": [numpy.nan] * 45}, "numbers of at least 0 whose sum is finite and above 0"),
        ({"sample_weight": numpy.zeros(45)}, "numbers of at least 0 whose sum is finite and above 0"),
        ({"sample_weight": numpy.full(45, 1e308)}, "numbers of at least 0 whose sum is finite and above 0"),
        ({"free_bits": -1.0}, "free_bits as a number of at least 0, received -1.0"),
        ({"free_bits": 0.1, "kl_floor": 1.0}, "kl_floor, for the whole KL, or free_bits, for each latent unit"),
        ({"free_bits": 0.1, "objective": "iwae"}, "free_bits with the ELBO of a VAE"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(settings, message):
    with pytest.raises((InputError, DataError), match=message):
        fit(model(), **settings)


class Own(sv.Objective):
    """An objective of a user's own that knows no weights."""

    def value(self, x, noise, n_samples, kl_weight):
        return super().value(x, noise, n_samples, kl_weight)


def test_an_objective_without_weights_is_not_given_any():
    vae = model()
    own = Own("own", vae.elbo)
    fit(vae, objective=own)
    with pytest.raises(InputError, match="an Objective whose value takes weights, with sample_weight, received 'own'"):
        fit(vae, objective=own, sample_weight=numpy.ones(45))
    classes = sv.SemiSupervisedVAE.mlp(10, n_classes=2, latent_size=2, hidden=(8,))
    with pytest.raises(InputError, match="free_bits with the ELBO of a VAE"):
        fit(classes, free_bits=0.1)


def test_on_the_strict_device_nothing_mixes_with_the_cpu(strict_gpu):
    """Held-out rows, weights, free bits, the best parameters put back, and draws."""
    vae, weights = model(), numpy.linspace(1, 2, 45)
    fit(vae, device="gpu", validation=0.2, sample_weight=weights, free_bits=0.1, callbacks=[sv.EarlyStopping()])
    classes = sv.SemiSupervisedVAE.mlp(10, n_classes=2, latent_size=2, hidden=(8,))
    fit(classes, device="gpu", validation=0.2, sample_weight=weights, labels=numpy.arange(45) % 3 - 1)
    stacked = sv.StackedVAE.mlp(vae, [0, 1], n_classes=2, latent_size=2, hidden=(8,))
    for trained in (vae, classes, stacked):
        assert trained.device == "gpu" and trained.sample(5, draws=True).shape == (5, 10)
        x = strict_gpu.asarray(data()[:5])
        assert sv.to_numpy(trained.reconstruct(x, draws=True)).shape == (5, 10)
