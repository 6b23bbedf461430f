"""What `fit` ascends is the text that stands on the models; an Objective adds the mean over a minibatch."""

import numpy
import pytest

import scratchvae as sv
from scratchvae import objectives
from scratchvae.errors import InputError, ShapeError
from scratchvae.optim import SGD

D, N = 6, 20
quiet = {"progress": False}
pytestmark = pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")


@pytest.fixture
def x(rng):
    return rng.random((N, D))


def small(kind=sv.VAE, **settings):
    return kind.mlp(input_size=D, latent_size=2, hidden=(4,), activation="tanh", **settings).to(dtype=numpy.float64)


def after(model, x, rate=0.1, **settings):
    """The parameters after one epoch of plain gradient ascent."""
    sv.fit(model, x, epochs=1, batch_size=8, optimizer=SGD, learning_rate=rate, **quiet, **settings)
    return numpy.concatenate([parameter.data.ravel() for parameter in model.parameters()])


EQUATIONS = {
    "elbo": (sv.VAE, "elbo", {}),
    "iwae": (sv.VAE, "importance_weighted_bound", {"objective": "iwae", "n_samples": 3}),
    "U": (sv.SemiSupervisedVAE, "elbo", {}),
    "J~": (sv.SemiSupervisedVAE, "objective", {"labels": numpy.where(numpy.arange(N) < 10, numpy.arange(N) % 2, -1)}),
}


@pytest.mark.parametrize("name", EQUATIONS)
def test_the_equation_on_the_model_is_what_training_runs(name, x, monkeypatch):
    """Halved there, it moves the parameters half as far in every one of the first epoch's steps."""
    kind, method, settings = EQUATIONS[name]
    classes = {"n_classes": 2} if kind is sv.SemiSupervisedVAE else {}
    equation, asked = getattr(kind, method), []

    def halved(self, *arguments):
        asked.append(self)
        return equation(self, *arguments) * 0.5

    start = after(small(kind, **classes), x, 1e-30, kl_weight=0.7, **settings)
    full = after(small(kind, **classes), x, 1e-6, kl_weight=0.7, **settings) - start
    monkeypatch.setattr(kind, method, halved)
    half = after(small(kind, **classes), x, 1e-6, kl_weight=0.7, **settings) - start
    assert len(asked) in (2, 3) and abs(full).max() > 1e-7
    numpy.testing.assert_allclose(half, full / 2, rtol=1e-3, atol=1e-12)


def beta_vae(model, beta):
    """The objective of a beta-VAE, written by a user."""

    def equation(x, noise, n_samples, kl_weight, record):
        reconstruction, divergence = record(
            **dict(zip(("reconstruction", "kl"), model.elbo_terms(x, noise, n_samples), strict=True))
        )
        return reconstruction - beta * divergence

    return sv.Objective("beta-VAE", equation)


def test_an_objective_of_ones_own(x, tmp_path):
    model, twin = small(), small()
    own = after(model, x, objective=beta_vae(model, 4.0), run_dir=tmp_path / "run")
    numpy.testing.assert_array_equal(own, after(twin, x, kl_weight=4.0))
    assert '"objective": "beta-VAE"' in (tmp_path / "run" / "config.json").read_text()
    with pytest.raises(InputError, match="the settings of the run, .*beta-VAE.*only epochs may grow"):
        after(model, x, run_dir=tmp_path / "run", resume=True)


def test_a_record_hands_back_means_over_the_last_axis(rng):
    terms = {"reconstruction": rng.standard_normal((3, 5)), "kl": rng.standard_normal(5)}
    assert list(objectives.each(**terms)) == list(terms.values())
    means = objectives.Means(5)
    received = list(means(**terms))
    numpy.testing.assert_allclose(received, [terms["reconstruction"].mean(), terms["kl"].mean()])
    assert list(means) == ["reconstruction", "kl"]
    with pytest.raises(ShapeError, match=r"a kl for each of 5 rows .*received \(5, 4\)"):
        means(kl=rng.standard_normal((5, 4)))


def test_j_weights_each_set_by_its_own_share(x):
    """N^s / N times the mean over the labelled rows, N^u / N times that over the others; alpha on the former alone."""
    labels = numpy.where(numpy.arange(N) < 5, numpy.arange(N) % 2, -1)
    model = small(sv.SemiSupervisedVAE, n_classes=2)
    noise, y, alpha = sv.Noise(3), labels[:3], 2.5
    objective = objectives.semi_supervised(model, labels, alpha)
    value, means = objective.value(x[:10], y, noise, 2, 0.3)
    reconstruction, kl, log_q = (sv.to_numpy(term) for term in model.objective_terms(x[:10], y, noise, 2))
    j = reconstruction - 0.3 * kl
    expected = 5 / N * (j[:3].mean() + alpha * log_q.mean()) + 15 / N * j[3:].mean()
    assert float(value) == pytest.approx(expected, rel=1e-12)
    assert float(means["classification"]) == pytest.approx(log_q.mean(), rel=1e-12)
    whole = model.objective(x[:10], y, noise, alpha, 2, 0.3)
    numpy.testing.assert_allclose(sv.to_numpy(whole), j + alpha * numpy.pad(log_q, (0, 7)), rtol=1e-12)


@pytest.mark.parametrize("name", ["elbo", "U", "J~"])
def test_a_kl_below_the_floor_costs_the_floor_and_has_no_gradient(name, x):
    """mean log p - w max(mean KL, floor); what is recorded is the mean KL itself."""
    kind, _, settings = EQUATIONS[name]
    model = small(kind, **({"n_classes": 2} if kind is sv.SemiSupervisedVAE else {}))
    rest = (numpy.array([0, 1, 0]),) if "labels" in settings else ()

    def value(kl_floor, kl_weight=0.7):
        objective = objectives.choose(model, "elbo", labels=settings.get("labels"), kl_floor=kl_floor)
        return objective.value(x[:10], *rest, sv.Noise(3), 2, kl_weight)

    (plain, means), kl = value(None), float(value(None)[1]["kl"])
    for kl_floor in (kl / 2, 3 * kl):
        floored, recorded = value(kl_floor)
        assert float(floored) == pytest.approx(float(plain) - 0.7 * max(kl_floor - kl, 0.0), rel=1e-12)
        assert {name: float(mean) for name, mean in recorded.items() if name != "bound"} == {
            name: float(mean) for name, mean in means.items() if name != "bound"
        }
    parameters = model.parameters()
    for expected, received in ((0.7, kl / 2), (0.0, 3 * kl)):
        for left, right in zip(
            sv.grad(value(received)[0], parameters), sv.grad(value(None, expected)[0], parameters), strict=True
        ):
            numpy.testing.assert_allclose(left, right, atol=1e-12)


def test_a_floor_is_a_setting_of_a_run_and_shows_in_no_figure(x, tmp_path):
    where = {"run_dir": tmp_path / "run", **quiet}
    history = sv.fit(small(), x, epochs=1, kl_floor=5.0, **where)
    plain = sv.fit(small(), x, epochs=1, **quiet)
    assert history["elbo"] == plain["elbo"] and history["kl"] == plain["kl"]
    with pytest.raises(InputError, match="the settings of the run, .*'kl_floor': 5.0.*only epochs may grow"):
        sv.fit(small(), x, epochs=2, resume=True, **where)


MISTAKES = {
    "a floor of weights": (
        lambda x: sv.fit(small(), x, objective="iwae", kl_floor=1.0, **quiet),
        "^fit: expected no kl_floor with importance weights, which have no KL of their own, received 'iwae'$",
    ),
    "a floor below 0": (
        lambda x: sv.fit(small(), x, kl_floor=-1.0, **quiet),
        "^Objective: expected kl_floor as a number of at least 0, received -1.0$",
    ),
    "no equation": (lambda x: sv.Objective("mine", 3), "^Objective: expected an equation that can be called"),
    "no kl": (lambda x: sv.Objective("mine", abs, ("reconstruction",)), "^Objective: expected reconstruction and kl"),
    "labels": (
        lambda x: sv.fit(small(), x, objective=beta_vae(small(), 1.0), labels=numpy.zeros(N, dtype=int)),
        "^fit: expected no labels with an Objective of your own, received 'beta-VAE'$",
    ),
    "another model's equation": (
        lambda x: sv.fit(small(), x, objective=objectives.elbo(small()), **quiet),
        "^fit: expected an Objective of this model's equation, received one of another model's$",
    ),
    "one value for all pixels": (
        lambda x: sv.fit(small(), x, objective=sv.Objective("mine", lambda x, *_: sv.Tensor(x)), **quiet),
        r"^fit: expected one value for each of 20 rows from the objective, received \(20, 6\)$",
    ),
    "labels of fewer rows": (
        lambda x: sv.fit(small(sv.SemiSupervisedVAE, n_classes=2), x, labels=numpy.array([0, 1, -1]), **quiet),
        r"^labels: expected an array of shape \(20,\), one for each row, received \(3,\)$",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_a_sentence(mistake, x):
    misuse, sentence = MISTAKES[mistake]
    with pytest.raises(InputError, match=sentence):
        misuse(x)
