"""M2: L, U and J~ against SciPy, what trains on which rows, files, classes, and what is refused."""

import json
import math
import signal

import numpy
import pytest
from scipy import special, stats

import scratchvae as sv
from scratchvae import checkpoint, evaluation, scoring
from scratchvae.backend import asarray
from scratchvae.data import label_subset
from scratchvae.errors import DataError, InputError, ShapeError
from scratchvae.minibatches import labelled_minibatches
from scratchvae.models.real_decoders import SMALLEST_STD
from scratchvae.noise import GivenNoise
from scratchvae.objectives import usual_alpha
from scratchvae.optim import SGD

C, D, K, N = 3, 6, 2, 5
LIKELIHOODS = {
    "bernoulli": {"likelihood": "bernoulli"},
    "learned std": {"likelihood": "gaussian", "std": "learned"},
    "decoder std": {"likelihood": "gaussian", "std": "decoder"},
}
quiet = {"progress": False}


def small(kind="bernoulli", dtype=numpy.float64, **settings):
    """A model of few units whose biases are not zero, with a class prior that is not uniform."""
    settings = {"input_size": D, "n_classes": C, "latent_size": K, "hidden": (4,), "activation": "tanh"} | settings
    model = sv.SemiSupervisedVAE.mlp(**settings | LIKELIHOODS[kind]).to(dtype=numpy.float64)
    return perturbed(model).to(dtype=dtype)


def convolutional(dtype=numpy.float64, **settings):
    settings = {"image_shape": (6, 5, 2), "n_classes": C, "latent_size": K, "channels": (3, 2), "hidden_size": 4}
    return perturbed(sv.SemiSupervisedVAE.convolutional(**settings, activation="tanh").to(dtype=numpy.float64))


def perturbed(model):
    rng = numpy.random.default_rng(3)
    for x in model.parameters():
        x.data += 0.3 * rng.standard_normal(x.shape)
    model.class_prior.logits += rng.standard_normal(C)
    return model


@pytest.fixture
def x(rng):
    return rng.uniform(0.05, 0.95, (N, D))


@pytest.fixture
def rows(rng):
    """Rows of three kinds with two degrees of freedom more, and their classes."""
    y = rng.permutation(numpy.arange(45) % C)
    logits = 4 * rng.standard_normal((C, 10))[y] + 2 * rng.standard_normal((45, 2)) @ rng.standard_normal((2, 10))
    return special.expit(logits).astype(numpy.float32), y


# ---- against another computation


def perceptron(held, name, x, activation=numpy.tanh):
    hidden = activation(x @ held[f"{name}.layers.0.weight"] + held[f"{name}.layers.0.bias"])
    return hidden @ held[f"{name}.layers.1.weight"] + held[f"{name}.layers.1.bias"]


def supervised_by_scipy(model, kind, x, y, e):
    """L(x, y) of rows x, classes y (N,) and noise e (S, N, K), with log p(x | y, z) and the divergence."""
    held = {name: tensor.data for name, tensor in model.named_parameters().items()}
    entering = held["encoder.network.class_weight"][y] + held["encoder.network.body.bias"]
    hidden = numpy.tanh(x @ held["encoder.network.body.weight"] + entering)
    code = hidden @ held["encoder.network.head.layers.0.weight"] + held["encoder.network.head.layers.0.bias"]
    mean, std = code[:, :K], numpy.exp(code[:, K:])
    z = mean + std * e
    beside = numpy.concatenate([numpy.broadcast_to(numpy.eye(C)[y], (*z.shape[:-1], C)), z], axis=-1)
    output = perceptron(held, "decoder.network", beside)
    if kind == "bernoulli":
        log_px = stats.bernoulli(special.expit(output)).logpmf(x).sum(axis=-1)
    else:
        raw = held["decoder.raw_log_std"] if kind == "learned std" else output[..., D:]
        log_px = stats.norm(output[..., :D], SMALLEST_STD + numpy.exp(raw)).logpdf(x).sum(axis=-1)
    kl = 0.5 * (mean**2 + std**2 - 1 - 2 * numpy.log(std)).sum(axis=1)
    log_prior = special.log_softmax(model.class_prior.logits)[y]
    log_w = log_px + log_prior + (stats.norm.logpdf(z) - stats.norm(mean, std).logpdf(z)).sum(axis=-1)
    return log_px.mean(axis=0), kl - log_prior, log_w


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_the_objective_equals_that_of_scipy(kind, x, rng):
    model, n_samples = small(kind), 3
    if kind == "bernoulli":
        x = (x > 0.5).astype(float)
    y = numpy.array([2, 0, 1, 1, 2])
    e, e_all = rng.standard_normal((n_samples, N, K)), rng.standard_normal((n_samples, C, N, K))

    reconstruction, divergence, log_w = supervised_by_scipy(model, kind, x, y, e)
    received = model.supervised_terms(x, y, GivenNoise(e), n_samples)
    numpy.testing.assert_allclose(received[0].data, reconstruction, rtol=1e-10)
    numpy.testing.assert_allclose(received[1].data, divergence, rtol=1e-10)
    bound = model.supervised(x, y, GivenNoise(e), n_samples).data
    numpy.testing.assert_allclose(bound, reconstruction - divergence, rtol=1e-10)
    joint = model.joint_log_weights(x, y, GivenNoise(e), n_samples).data
    numpy.testing.assert_allclose(joint, log_w, rtol=1e-10)

    held = {name: tensor.data for name, tensor in model.named_parameters().items()}
    log_q = special.log_softmax(perceptron(held, "classifier.network", x), axis=1)
    unsupervised, reconstruction, weights = 0, 0, []
    for k in range(C):
        log_px, divergence, log_w = supervised_by_scipy(model, kind, x, numpy.full(N, k), e_all[:, k])
        unsupervised += numpy.exp(log_q[:, k]) * (log_px - divergence - log_q[:, k])
        reconstruction += numpy.exp(log_q[:, k]) * log_px
        weights.append(log_w)
    noise = GivenNoise(e_all)
    numpy.testing.assert_allclose(model.unsupervised(x, noise, n_samples).data, unsupervised, rtol=1e-10)
    numpy.testing.assert_allclose(model.elbo(x, noise, n_samples).data, unsupervised, rtol=1e-10)
    numpy.testing.assert_allclose(model.elbo_terms(x, noise, n_samples)[0].data, reconstruction, rtol=1e-10)
    log_weights = special.logsumexp(weights, axis=0)
    numpy.testing.assert_allclose(model.log_weights(x, noise, n_samples).data, log_weights, rtol=1e-10)
    numpy.testing.assert_array_equal(model.classify(x), log_q.argmax(axis=1))


@pytest.mark.parametrize("model", [small(), convolutional()], ids=["mlp", "convolutional"])
def test_j_is_l_of_the_first_rows_and_u_of_the_others(model, rng):
    x, y = rng.random((5, *model.observed_shape)), numpy.array([2, 0, 1])
    noise = sv.Noise(3)
    labelled = model.supervised(x[:3], y, noise.child("labelled"), 2).data
    others = model.unsupervised(x[3:], noise, 2).data
    with sv.no_grad():
        log_q = model.classifier(x[:3]).log_prob(y)
    received = model.objective(x, y, noise, 0.7, 2).data
    numpy.testing.assert_allclose(received, [*(labelled + 0.7 * log_q), *others], rtol=1e-12)
    alone = model.objective(x[:3], y, noise, 0.7, 2).data
    numpy.testing.assert_allclose(alone, received[:3], rtol=1e-12)


@pytest.mark.slow
def test_gradients_of_the_convolutional_model(rng):
    model = convolutional()
    x, y = rng.random((4, 6, 5, 2)), numpy.array([1, 2])
    assert sv.check_gradients(lambda *_: model.objective(x, y, sv.Noise(0), 0.7), *model.parameters(), order=1) < 1e-6


def test_the_first_layer_sees_x_once(x):
    """All classes of all rows: the body runs on N rows, the head on C N."""
    model, shapes = small(), {}

    def watched(name):
        part = getattr(model.encoder.network, name)

        def call(h):
            shapes[name] = h.shape
            return part(h)

        setattr(model.encoder.network, name, call)

    watched("body")
    watched("head")
    model.unsupervised(x, sv.Noise(0))
    assert shapes == {"body": (N, D), "head": (C, N, 4)}


def test_float32_in_gives_float32_out(x):
    model, x = small(dtype=numpy.float32), x.astype(numpy.float32)
    y = numpy.array([0, 1, 2])
    results = [model.objective(x, y, sv.Noise(0), 0.7), model.log_weights(x, sv.Noise(0)), model.analogies(x)]
    results += sv.grad(sv.ops.sum(results[0]), model.parameters())
    results += [model.encode(x).mean, model.reconstruct(x), model.sample(3)]
    assert {result.dtype for result in results} == {numpy.dtype("float32")}
    exact = small().objective(x.astype(float), y, sv.Noise(0), 0.7)
    numpy.testing.assert_allclose(results[0].data, exact.data, rtol=1e-4)


# ---- classes, samples, analogies


def test_what_is_known_of_y_is_used(x):
    model = small()
    y = numpy.array([0, 1, 2, 0, 1])
    with sv.no_grad():
        q = model.encoder(x, numpy.eye(C)[y])
    numpy.testing.assert_array_equal(model.encode(x, y).mean, q.mean)
    numpy.testing.assert_array_equal(model.encode(x).mean, model.encode(x, model.classify(x)).mean)
    guessed = model.classify(x)
    assert model.reconstruct(x).shape == x.shape
    numpy.testing.assert_array_equal(model.reconstruct(x), model.decode(model.encode(x).mean, guessed).mean)
    analogies = model.analogies(x, y)
    assert analogies.shape == (N, C, D)
    for k in range(C):
        numpy.testing.assert_allclose(analogies[:, k], model.decode(q.mean, numpy.full(N, k)).mean, rtol=1e-12)
    assert abs(numpy.diff(analogies, axis=1)).min() > 1e-6


def test_samples_are_of_the_class_that_is_asked_for_or_of_the_prior():
    model = small()
    y = numpy.array([2, 0, 2, 1])
    received = model.sample(4, seed=5, y=y)
    numpy.testing.assert_array_equal(received, model.decode(model.prior_draws(4, 5), y).mean)
    n, drawn = 30_000, []
    model.decode = lambda z, y: drawn.append(y) or sv.SemiSupervisedVAE.decode(model, z, y)
    model.sample(n)
    shares = numpy.bincount(drawn[0], minlength=C) / n
    numpy.testing.assert_allclose(shares, special.softmax(model.class_prior.logits), atol=4 * 0.5 / math.sqrt(n))


@pytest.mark.parametrize("binarize", sv.binarization.MODES)
@pytest.mark.parametrize("n_rows", [7, 2500])
def test_classification_error_counts_all_rows(n_rows, binarize, rng):
    """Grey values stay as they are, but for those that the model takes as black or white."""
    model = small(dtype=numpy.float32, binarize=binarize)
    x = rng.random((n_rows, D), dtype=numpy.float32)
    y = model.classify((x > 0.5).astype(x.dtype) if binarize == "threshold" else x)
    y[::5] = (y[::5] + 1) % C
    assert sv.classification_error(model, x, y) == len(y[::5]) / n_rows


def test_as_many_numbers_are_decoded_at_a_time_as_without_classes(rng, monkeypatch):
    """Two rows of 4 draws for each class, and eight times as many by `evaluate`."""
    model, x, shapes = small(), rng.random((30, D)), []
    monkeypatch.setattr(scoring, "CHUNK_ENTRIES", 4 * C * 2 * D)
    monkeypatch.setattr(sv.Noise, "normal", lambda self, name, shape: shapes.append(shape[:-1]) or numpy.ones(shape))
    sv.log_likelihood(model, x, 4)
    evaluation.log_joint(model, x, 4)
    assert {math.prod(shape) for shape in shapes} == {4 * C * 2}
    shapes.clear()
    sv.evaluate(model, x, n_samples=4)
    assert [math.prod(shape) for shape in shapes] == [4 * C * 16, 4 * C * 14]


def test_scores_of_a_model_with_classes(rng):
    model = small()
    x = rng.random((30, D))
    scores = sv.evaluate(model, x, n_samples=4, batch_size=11)
    assert scores["elbo"] == pytest.approx(scores["reconstruction"] - scores["kl"])
    log_px, error, _ = sv.log_likelihood(model, x, 2000)
    assert log_px.mean() > scores["elbo"] + 0.1 and numpy.median(error) < 0.1
    log_joint = evaluation.log_joint(model, x, 2000)
    assert log_joint.shape == (30, C)
    assert (abs(special.logsumexp(log_joint, axis=1) - log_px) < 6 * error + 1e-3).mean() > 0.9


def test_the_model_prints_its_five_distributions():
    assert repr(sv.SemiSupervisedVAE.mlp(binarize="dynamic")) == (
        "SemiSupervisedVAE, 1,268,394 parameters, binarize=dynamic\n"
        "  p(y)         Categorical    y of 10 classes    no parameters\n"
        "  p(z)         Normal(0, I)    z (50,)    no parameters\n"
        "  p(x | y, z)  Bernoulli(logits = MLP(60 -> 500 -> 784, relu))    x (784)    423,284 parameters\n"
        "  q(y | x)     Categorical(logits = MLP(784 -> 500 -> 10, relu))    y of 10 classes    "
        "397,510 parameters\n"
        "  q(z | x, y)  Normal(mean and log std = MLP(500 -> 100, relu) of relu(Linear(784 -> 500) + y "
        "(10 -> 500)))    z (50,)    447,600 parameters"
    )


# ---- which rows keep their label, and which meet in a minibatch


@pytest.mark.parametrize(("n", "counts"), [(30, {3}), (10, {1}), (34, {3, 4})])
def test_a_label_subset_is_balanced_and_drawn_by_its_seed(n, counts):
    labels = numpy.random.default_rng(0).permutation(numpy.arange(200) % 10)
    known = label_subset(labels, n, seed=4)
    rows = numpy.flatnonzero(known >= 0)
    assert len(rows) == n and set(numpy.bincount(known[rows]).tolist()) == counts
    numpy.testing.assert_array_equal(known[rows], labels[rows])
    assert known[known < 0].tolist() == [-1] * (200 - n)
    numpy.testing.assert_array_equal(known, label_subset(labels, n, seed=4))
    assert not numpy.array_equal(known, label_subset(labels, n, seed=5))


def test_every_row_of_a_class_may_be_drawn():
    labels = numpy.arange(40) % 4
    drawn = [numpy.flatnonzero(label_subset(labels, 8, seed) >= 0) for seed in range(200)]
    shares = numpy.bincount(numpy.concatenate(drawn), minlength=40) / 200
    assert abs(shares - 0.2).max() < 5 * math.sqrt(0.2 * 0.8 / 200)


@pytest.mark.parametrize(("n_labelled", "size"), [(5, 2), (5, 4), (5, 30), (18, 7), (20, 7), (23, 10), (12, 5)])
def test_minibatches_of_two_data_sets(n_labelled, size, rng):
    """Every row of the larger set once; of the smaller one as many in every minibatch, and all about equally often."""
    labels = numpy.full(23, -1)
    chosen = rng.permutation(23)[:n_labelled]
    labels[chosen] = rng.integers(C, size=n_labelled)
    sets = [numpy.flatnonzero(labels >= 0), numpy.flatnonzero(labels < 0)]
    larger, smaller = (0, 1) if n_labelled > 11 else (1, 0)
    steps = list(labelled_minibatches(labels, size, sv.Noise(1)))
    assert len(steps) == -(-len(sets[larger]) // size)
    parts = [[], []]
    for rows, y in steps:
        parts[0].append(rows[: len(y)])
        parts[1].append(rows[len(y) :])
        numpy.testing.assert_array_equal(labels[rows[: len(y)]], y)
        assert (labels[rows[len(y) :]] == -1).all()
    assert sorted(numpy.concatenate(parts[larger])) == sorted(sets[larger])
    assert {len(part) for part in parts[smaller]} == {min(size, len(sets[smaller]))}
    if len(sets[smaller]):
        times = numpy.bincount(numpy.concatenate(parts[smaller]), minlength=23)[sets[smaller]]
        assert times.max() - times.min() <= 1
    other = list(labelled_minibatches(labels, size, sv.Noise(1, 1)))
    assert [rows.tolist() for rows, _ in steps] != [rows.tolist() for rows, _ in other]


def test_the_usual_alpha_is_that_of_the_paper():
    assert [round(usual_alpha(n, 50_000), 2) for n in (100, 600, 1000, 3000)] == [50, 8.33, 5, 1.67]


# ---- training


def train(rows, run_dir=None, labels=None, model=None, epochs=3, rate=0.02, **settings):
    model = model or small(input_size=10, dtype=numpy.float32, binarize="dynamic")
    x, y = rows
    settings = {"batch_size": 8, "seed": 3, "clip_norm": 5.0, "validation": x[:20]} | settings
    labels = label_subset(y, 6, seed=1) if labels is None else labels
    return model, sv.fit(
        model, x, epochs=epochs, labels=labels, learning_rate=rate, run_dir=run_dir, **settings | quiet
    )


def bits(model):
    return [x.data.tobytes() for x in model.parameters()]


class Recorder:
    """A model that writes down the rows and the labels that it is asked to train on."""

    def __init__(self, model):
        self.model, self.asked = model, []

    objective = sv.SemiSupervisedVAE.objective

    def objective_terms(self, x, y, noise, n_samples=1):
        self.asked.append((numpy.array(x), numpy.array(y)))
        return self.model.objective_terms(x, y, noise, n_samples)

    def __getattr__(self, name):
        return getattr(self.model, name)


def test_no_label_outside_the_subset_can_influence_a_parameter(rows):
    """Every label that the model ever meets is that of its own row, and this row is of the subset; and a set in which
    all other labels are false trains to the same bits.
    """
    x, y = rows
    known = label_subset(y, 6, seed=1)
    recorder = Recorder(small(input_size=10, dtype=numpy.float32))
    model, _ = train(rows, model=recorder, labels=known)
    place = {row.tobytes(): i for i, row in enumerate(x)}
    met = set()
    for batch, given in recorder.asked:
        assert len(given) == 6 and len(batch) > 6
        numbers = [place[row.tobytes()] for row in batch]
        assert [known[i] for i in numbers[:6]] == given.tolist() and (given >= 0).all()
        assert {known[i] for i in numbers[6:]} == {-1}
        met |= set(numbers)
    assert len(met) == 45, "and every row is trained on"

    false = numpy.where(known >= 0, y, (y + 1) % C)
    again, _ = train(
        (x, false), labels=numpy.where(known >= 0, false, -1), model=small(input_size=10, dtype=numpy.float32)
    )
    assert bits(again) == bits(model)
    other, _ = train(
        rows, labels=numpy.where(known >= 0, (y + 1) % C, -1), model=small(input_size=10, dtype=numpy.float32)
    )
    assert bits(other) != bits(model), "labels within the subset do"


def test_unlabelled_rows_train_the_classifier_and_labelled_ones_only_by_alpha(rng):
    model = small()
    x, y = rng.random((4, D)), numpy.array([0, 1, 2, 0])
    networks = (model.classifier, model.encoder, model.decoder)

    def largest(value):
        gradients = [sv.grad(sv.ops.sum(value), network.parameters()) for network in networks]
        return [max(float(abs(g).max()) for g in part) for part in gradients]

    without = largest(model.objective(x, y, sv.Noise(0), alpha=0.0))
    assert without[0] == 0 and min(without[1:]) > 1e-3, "the deck's odd thing: no classifier in the labelled sum"
    assert min(largest(model.objective(x, y, sv.Noise(0), alpha=0.1))) > 1e-3
    assert min(largest(model.unsupervised(x, sv.Noise(0)))) > 1e-3


def test_history_and_directory(rows, tmp_path):
    model, history = train(rows, tmp_path / "run")
    shown = ["epoch", "step", "elbo", "reconstruction", "kl", "classification", "active_units"]
    scores = ["validation_elbo", "validation_reconstruction", "validation_kl", "validation_active_units", "seconds"]
    assert list(history) == shown + scores and history["step"] == [5, 10, 15]
    known = label_subset(rows[1], 6, seed=1)
    written = json.loads((tmp_path / "run" / "labelled_rows.json").read_text())
    assert written == numpy.flatnonzero(known >= 0).tolist()
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["alpha"] == usual_alpha(6, 45) == 0.75 and config["model"]["constructor"] == "SemiSupervisedVAE.mlp"
    loaded = sv.load(tmp_path / "run" / "last.npz")
    assert bits(loaded) == bits(model) and repr(loaded) == repr(model)
    numpy.testing.assert_array_equal(loaded.class_prior.logits, model.class_prior.logits)


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_training_learns_the_classes(rows):
    """Of 45 rows of three kinds 6 are labelled; the usual alpha, and what it does."""
    x, y = rows
    model, history = train(rows, epochs=60)
    assert sv.classification_error(model, x, y) < 0.1
    assert history["classification"][-1] > -0.1 and history["elbo"][-1] > history["elbo"][0] + 1


@pytest.mark.parametrize("step", [0, 4, 7, 13])
def test_an_interrupted_run_goes_on_to_the_same_bits(rows, tmp_path, step):
    whole, _ = train(rows, tmp_path / "whole")

    class Rate:
        def __init__(self, at):
            self.at = at

        def __call__(self, now):
            if now == self.at:
                signal.raise_signal(signal.SIGINT)
            return 0.02

        def __repr__(self):
            return "a rate"

    with pytest.raises(KeyboardInterrupt, match=f"stopped after step {step + 1}"):
        train(rows, tmp_path / "run", rate=Rate(step))
    again, _ = train(rows, tmp_path / "run", rate=Rate(None), resume=True)
    assert bits(again) == bits(whole)
    files = [{path.name for path in (tmp_path / name).iterdir()} for name in ("whole", "run")]
    assert files[0] == files[1] >= {"labelled_rows.json", "last.npz", "best.npz"}


def test_a_run_is_not_resumed_with_other_labels_or_another_alpha(rows, tmp_path):
    train(rows, tmp_path / "run", epochs=1)
    for change, name in (({"labels": label_subset(rows[1], 6, seed=2)}, "labels"), ({"alpha": 0.5}, "alpha")):
        with pytest.raises(InputError, match=f"resume .*the settings of the run, .*'{name}'.*only epochs may grow"):
            train(rows, tmp_path / "run", resume=True, **change)


@pytest.mark.parametrize(("term", "name"), [(0, "reconstruction"), (1, "kl"), (2, "classification")])
def test_a_term_that_is_not_finite_stops_and_is_named(rows, tmp_path, term, name):
    model = small(input_size=10, dtype=numpy.float32)
    true = model.objective_terms

    def overflowing(x, y, noise, n_samples=1):
        terms = list(true(x, y, noise, n_samples))
        terms[term] = terms[term] * (math.inf if noise.step == 7 else 1.0)
        return terms

    model.objective_terms = overflowing
    with pytest.raises(sv.NonFiniteError, match=f"^step 7: the {name} is not finite; the last checkpoint is .*npz"):
        train(rows, tmp_path / "run", model=model)


def test_all_rows_may_be_labelled(rows):
    """Fully supervised: one data set, J~ = sum of L + alpha log q."""
    x, y = rows
    model = small(input_size=10)
    twin = small(input_size=10)
    history = sv.fit(model, x, 1, 45, labels=y, alpha=0.3, optimizer=SGD, learning_rate=0.05, **quiet)["elbo"]
    ((batch, given),) = labelled_minibatches(y, 45, sv.Noise(0))
    terms = twin.objective_terms(x[batch].astype(float), given, sv.Noise(0))
    value = sv.ops.mean(terms[0] - terms[1] + 0.3 * terms[2])
    for after, start, g in zip(model.parameters(), twin.parameters(), sv.grad(value, twin.parameters()), strict=True):
        numpy.testing.assert_allclose(after.data, start.data + 0.05 * g, atol=1e-14)
    assert history == [pytest.approx(float(sv.ops.mean(terms[0] - terms[1])), rel=1e-12)]


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_without_labels_u_is_trained_on_all_rows(rows):
    model = small(input_size=10, dtype=numpy.float32)
    history = sv.fit(model, rows[0], epochs=20, batch_size=9, learning_rate=0.02, **quiet)
    assert history["elbo"][-1] > history["elbo"][0] + 1 and "classification" not in history


def test_a_run_on_the_gpu_is_that_of_the_cpu(rows, gpu, monkeypatch, tmp_path):
    monkeypatch.setenv("SCRATCHVAE_CAPTURE", "off")  # the numbers of the CPU come from the host at every step
    for name in ("normal", "uniform"):  # the generators differ: both devices get the numbers of the CPU
        method = getattr(sv.Noise, name)

        def handed_out(self, what, shape, method=method):
            return asarray(method(sv.Noise(self.seed, self.step), what, shape), self.device)

        monkeypatch.setattr(sv.Noise, name, handed_out)
    monkeypatch.setattr(sv.Noise, "fills", lambda *_, **__: False)  # no kernel draws numbers of its own
    runs = [train(rows, tmp_path / device, device=device) for device in ("cpu", "gpu")]
    assert [model.device for model, _ in runs] == ["cpu", "gpu"]
    for name, values in runs[0][1].items():
        if name != "seconds":
            assert runs[1][1][name] == pytest.approx(values, rel=1e-4)
    for a, b in zip(*(model.parameters() for model, _ in runs), strict=True):
        numpy.testing.assert_allclose(sv.to_numpy(b), a.data, atol=1e-5)
    model, x = runs[1][0], asarray(rows[0], "gpu")
    for result in (model.classify(x), model.reconstruct(x), model.analogies(x), model.sample(3)):
        assert type(result) is gpu.ndarray
    errors = [sv.classification_error(trained, rows[0], rows[1], n_samples=20) for trained, _ in runs]
    assert errors[0] == errors[1]


# ---- files


@pytest.mark.parametrize("settings", [{}, {"hidden": (4, 3), "seed": 5}, {"binarize": "dynamic"}], ids=str)
def test_a_model_comes_back(settings, tmp_path, x):
    model = small(**settings)
    sv.save(model, tmp_path / "model.npz")
    loaded = sv.load(tmp_path / "model.npz")
    assert repr(loaded) == repr(model) and json.loads(json.dumps(loaded.configuration)) == loaded.configuration
    numpy.testing.assert_array_equal(loaded.analogies(x), model.analogies(x))


def test_a_convolutional_model_comes_back(tmp_path, rng):
    model = convolutional()
    sv.save(model, tmp_path / "model.npz")
    x = rng.random((2, 6, 5, 2))
    numpy.testing.assert_array_equal(sv.load(tmp_path / "model.npz").reconstruct(x), model.reconstruct(x))
    assert model.analogies(x).shape == (2, C, 6, 5, 2)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"n_classes": 10**12}, "a size from 1 to 16777216 as n_classes"),
        ({"n_classes": 10**7}, "a model of at most .* parameters"),
        ({"n_classes": 0}, "a size from 1"),
        ({"n_classes": True}, "a size from 1"),
        ({"n_classes": [3]}, "a size from 1"),
        ({"n_classes": 4}, "the arrays of the model"),
        ({"hidden": []}, "hidden as widths, at least one"),
        ({"hidden": [10**6]}, "a model of at most .* parameters"),
        ({"constructor": "VAE.mlp"}, "the arguments of VAE.mlp"),
    ],
    ids=str,
)
def test_hostile_configurations(change, sentence, tmp_path):
    model = small()
    arrays = checkpoint.model_arrays(model)
    checkpoint.write(tmp_path / "model.npz", {"configuration": model.configuration | change}, arrays)
    with pytest.raises(InputError, match=sentence):
        sv.load(tmp_path / "model.npz")


@pytest.mark.parametrize("change", [{"hidden_size": 10**6}, {"n_classes": 10**6}, {"latent_size": 10**6}], ids=str)
def test_hostile_configurations_of_convolutions(change, tmp_path):
    model = convolutional()
    arrays = checkpoint.model_arrays(model)
    checkpoint.write(tmp_path / "model.npz", {"configuration": model.configuration | change}, arrays)
    with pytest.raises(InputError, match="a model of at most .* parameters"):
        sv.load(tmp_path / "model.npz")


# ---- what is refused

Y = numpy.arange(45) % C
MISTAKES = {
    "labels of the wrong model": (
        lambda x: sv.fit(sv.VAE.mlp(10, 2, (4,)), x, labels=Y),
        r"^fit: expected a model with classes for labels, received VAE \(sv.SemiSupervisedVAE.mlp\(\)\)$",
    ),
    "floats": (
        lambda x: train((x, Y), labels=Y.astype(float)),
        r"^labels: expected integers, received float64 \(labels.astype\(int\)\)$",
    ),
    "text": (lambda x: train((x, Y), labels="Y"), "^labels: expected an array, received str$"),
    "too few": (
        lambda x: train((x, Y), labels=Y[:9]),
        r"^labels: expected an array of shape \(45,\), one for each row, received \(9,\)$",
    ),
    "outside": (
        lambda x: train((x, Y), labels=Y + 1),
        r"^labels: expected classes from -1 to 2, received values from 1 to 3 \(labels - 1 counts from 0\)$",
    ),
    "below": (lambda x: train((x, Y), labels=Y - 2), "^labels: expected classes from -1 to 2, received values from -2"),
    "a class without a row": (
        lambda x: train((x, Y), labels=numpy.where(Y == 1, -1, Y)),
        "^labels: expected a labelled row of every class, received none of class 1$",
    ),
    "no label at all": (
        lambda x: train((x, Y), labels=numpy.full(45, -1)),
        "^labels: expected a labelled row of every class, received none of class 0, 1, 2$",
    ),
    "iwae": (
        lambda x: train((x, Y), objective="iwae"),
        "^fit: expected an objective among elbo for a SemiSupervisedVAE, received 'iwae'$",
    ),
    "alpha": (
        lambda x: train((x, Y), alpha=-1),
        "^fit: expected alpha as a number of at least 0, with labels, received -1$",
    ),
    "alpha alone": (lambda x: sv.fit(small(input_size=10), x, alpha=2.0), "received 2.0 without labels$"),
    "more than there are": (
        lambda x: label_subset(Y, 46),
        "^label_subset: expected 1[56] rows of class [012] for 46 labels, received 15$",
    ),
    "fewer than classes": (
        lambda x: label_subset(Y, 2),
        "^label_subset: expected at least one label for each of 3 classes, received 2$",
    ),
    "float labels": (
        lambda x: label_subset(Y / 1, 6),
        r"^label_subset: expected integers of shape \(N,\), received float64 of shape \(45,\)$",
    ),
    "no labels": (
        lambda x: label_subset(None, 6),
        "^label_subset: expected an array, received NoneType$",
    ),
    "classes from one on": (
        lambda x: label_subset(Y + 1, 6),
        r"^label_subset: expected classes from 0 on, received labels from 1 to 3 \(labels - 1\)$",
    ),
    "classes from one on, and unknown ones": (
        lambda x: train((x, Y), labels=numpy.where(Y == 0, -1, Y + 1)),
        r"received values from -1 to 3 \(labels - 1 counts from 0, and -1 stays\)$",
    ),
    "other classes too large": (
        lambda x: train((x, Y), labels=numpy.where(Y == 1, 3, Y)),
        "^labels: expected classes from -1 to 2, received values from 0 to 3$",
    ),
    "negative labels": (
        lambda x: label_subset(Y - 1, 6),
        "^label_subset: expected classes from 0 on, received the label -1$",
    ),
    "unknown class to draw": (
        lambda x: small().sample(2, y=numpy.array([0, 3])),
        "^labels: expected classes from 0 to 2, received values from 0 to 3$",
    ),
    "no class to draw": (lambda x: small().sample(2, y=numpy.array([0, -1])), "^labels: expected classes from 0 to 2"),
    "no hidden layer": (
        lambda x: sv.SemiSupervisedVAE.mlp(hidden=()),
        r"^SemiSupervisedVAE.mlp: expected hidden as widths, at least one, received \(\) \(hidden=\(500,\)\)$",
    ),
    "no class": (lambda x: sv.SemiSupervisedVAE.mlp(n_classes=0), "sizes of at least 1, received 500 -> 0$"),
    "a function as classifier": (
        lambda x: sv.SemiSupervisedVAE(len, small().encoder, small().decoder, C, K),
        "^SemiSupervisedVAE: expected a Module as classifier, received builtin_function_or_method$",
    ),
    "labels of other rows": (lambda x: sv.classification_error(small(input_size=10), x, Y[:7]), "one for each row"),
    "an error without classes": (
        lambda x: sv.classification_error(sv.VAE.mlp(10), x, Y),
        r"^classification_error: expected a model with classes, received VAE \(sv.SemiSupervisedVAE.mlp\(\)\)$",
    ),
    "an error of no number of draws": (
        lambda x: sv.classification_error(small(input_size=10), x, numpy.zeros(len(x), int), n_samples=None),
        "^log_joint: expected n_samples of at least 1, received None$",
    ),
    "log p(x, y) without classes": (
        lambda x: evaluation.log_joint(sv.VAE.mlp(10), x),
        "^log_joint: expected a model with classes, received VAE",
    ),
    "a column of labels": (
        lambda x: small(input_size=10).supervised(x, numpy.zeros((len(x), 1), int), sv.Noise(0)),
        "^labels: expected an array of shape .*, one for each row, received ",
    ),
    "no labels in J~": (
        lambda x: small(input_size=10).objective(x, None, sv.Noise(0), 1.0),
        "^labels: expected an array, received NoneType$",
    ),
    "an unknown class in J~": (
        lambda x: small(input_size=10).objective(x, numpy.array([0, C]), sv.Noise(0), 1.0),
        f"^labels: expected classes from 0 to {C - 1}, received values from 0 to {C}$",
    ),
    "more labels than rows": (
        lambda x: small(input_size=10).objective(x[:3], numpy.zeros(4, int), sv.Noise(0), 1.0),
        r"^labels: expected an array of shape \(3,\), one for each row, received \(4,\)$",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_a_sentence(mistake, rows):
    call, sentence = MISTAKES[mistake]
    with pytest.raises(InputError, match=sentence):
        call(rows[0])


def test_what_is_refused_leaves_no_directory(rows, tmp_path):
    with pytest.raises(DataError):
        train(rows, tmp_path / "run", labels=rows[1].astype(float))
    assert not (tmp_path / "run").exists()


def test_rows_of_another_size(x):
    with pytest.raises(ShapeError, match="rows of 6 entries"):
        small().unsupervised(x[:, :5], sv.Noise(0))
