"""M1+M2: the stacked model against SciPy, what it trains and leaves alone, its files, and the command line."""

import json
import signal
from types import SimpleNamespace

import numpy
import pytest
from scipy import special, stats

import scratchvae as sv
from scratchvae import checkpoint, objectives
from scratchvae.backend import asarray
from scratchvae.cli import main
from scratchvae.errors import DataError, InputError
from scratchvae.noise import GivenNoise
from scratchvae.scoring import prepared

C, D, K1, K2, N, UNITS = 3, 6, 4, 2, 5, [2, 0]


def stack(dtype=numpy.float64, **settings):
    first = sv.VAE.mlp(D, K1, (4,), "tanh", seed=1)
    model = sv.StackedVAE.mlp(first, UNITS, C, K2, (5,), "tanh", seed=2, **settings).to(dtype=dtype)
    rng = numpy.random.default_rng(3)
    for parameter in model.named_parameters().values():
        parameter.data += (0.3 * rng.standard_normal(parameter.shape)).astype(dtype)
    model.class_prior.logits += rng.standard_normal(C).astype(dtype)
    return model


@pytest.fixture
def x(rng):
    return rng.random((N, D))


def labelled_rows(rng):
    """40 rows of three classes, and labels of nine of them."""
    y = numpy.arange(40) % C
    x = special.expit(4 * rng.standard_normal((C, D))[y] + rng.standard_normal((40, D))).astype(numpy.float32)
    return x, numpy.where(numpy.arange(40) < 9, y, -1)


def log_normal(x, distribution):
    return stats.norm(distribution.mean, numpy.exp(distribution.log_std)).logpdf(x).sum(axis=-1)


def by_scipy(model, x, e1, e2):
    """log p(x | z1) + log p(z1 left) - log q(z1 | x), and for every class k the terms of log p(taken, k) and log w."""
    q = model.first.encode(x)
    z1 = q.mean + numpy.exp(q.log_std) * e1
    logits = numpy.tanh(
        z1 @ model.first.decoder.network.layers[0].weight.data + model.first.decoder.network.layers[0].bias.data
    )
    logits = (
        logits @ model.first.decoder.network.layers[1].weight.data + model.first.decoder.network.layers[1].bias.data
    )
    log_px = (x * logits - numpy.log1p(numpy.exp(logits))).sum(axis=1)
    outer = log_px + stats.norm.logpdf(z1[:, [1, 3]]).sum(axis=1) - log_normal(z1, q)
    taken, log_prior, classes = z1[:, UNITS], special.log_softmax(model.class_prior.logits), []
    for k in range(C):
        q2 = model.second.encode(taken, numpy.full(len(x), k))
        z2 = q2.mean + numpy.exp(q2.log_std) * e2[:, k]
        log_p = log_normal(taken, model.second.decode(z2, numpy.full(len(x), k)))
        std = numpy.exp(q2.log_std)
        divergence = 0.5 * (q2.mean**2 + std**2 - 1 - 2 * q2.log_std).sum(axis=1) - log_prior[k]
        log_w = log_p + log_prior[k] + stats.norm.logpdf(z2).sum(axis=1) - log_normal(z2, q2)
        classes.append(SimpleNamespace(log_p=log_p, divergence=divergence, log_w=log_w))
    with sv.no_grad():
        log_q = special.log_softmax(model.second.classifier(taken).logits, axis=1)
    return outer, classes, log_q


def test_every_term_equals_that_of_scipy(x, rng):
    model = stack()
    e1, e2 = rng.standard_normal((N, K1)), rng.standard_normal((N, C, K2))
    outer, classes, log_q = by_scipy(model, x, e1, e2)
    noise = GivenNoise({"z1": e1, "z": e2.transpose(1, 0, 2)})
    reconstruction = outer + sum(numpy.exp(log_q[:, k]) * of.log_p for k, of in enumerate(classes))
    divergence = sum(numpy.exp(log_q[:, k]) * (of.divergence + log_q[:, k]) for k, of in enumerate(classes))
    for received, expected in zip(model.elbo_terms(x, noise), (reconstruction, divergence), strict=True):
        numpy.testing.assert_allclose(received.data, expected, rtol=1e-10)
    numpy.testing.assert_allclose(model.unsupervised(x, noise).data, reconstruction - divergence, rtol=1e-10)
    log_w = outer + special.logsumexp([of.log_w for of in classes], axis=0)
    numpy.testing.assert_allclose(model.log_weights(x, noise, 2).data, [log_w, log_w], rtol=1e-10)
    joint = model.joint_log_weights(x, numpy.arange(C)[:, None], noise).data
    numpy.testing.assert_allclose(joint[0], [outer + of.log_w for of in classes], rtol=1e-10)

    y, noise = numpy.array([2, 0, 1, 1, 2]), GivenNoise({"z1": e1, "z": e2[numpy.arange(N), [2, 0, 1, 1, 2]]})
    expected = outer + [classes[k].log_p[i] - classes[k].divergence[i] for i, k in enumerate(y)]
    numpy.testing.assert_allclose(model.supervised(x, y, noise).data, expected, rtol=1e-10)
    alpha = 0.7
    expected = expected + alpha * log_q[numpy.arange(N), y]
    numpy.testing.assert_allclose(model.objective(x, y, noise, alpha).data, expected, rtol=1e-10)


def test_every_weight_has_a_z1_and_a_z2_of_its_own(x, rng):
    model = stack()
    e1, e2 = rng.standard_normal((3, N, K1)), rng.standard_normal((3, N, C, K2))
    noise = GivenNoise({f"draw {s}": {"z1": e1[s], "z": e2[s].transpose(1, 0, 2)} for s in range(3)})
    parts = [by_scipy(model, x, *each) for each in zip(e1, e2, strict=True)]
    expected = [[outer + of.log_w for of in classes] for outer, classes, _ in parts]
    joint = model.joint_log_weights(x, numpy.arange(C)[:, None], noise, 3).data
    numpy.testing.assert_allclose(joint, expected, rtol=1e-10)
    numpy.testing.assert_allclose(model.log_weights(x, noise, 3).data, special.logsumexp(expected, axis=1), rtol=1e-10)


@pytest.mark.parametrize("terms", ["supervised_terms", "elbo_terms", "objective_terms"])
def test_terms_are_means_over_the_draws_of_z2(terms, x, rng):
    model, y = stack(), [] if terms == "elbo_terms" else [numpy.array([2, 0, 1, 1, 2])]
    e1, e2 = rng.standard_normal((N, K1)), rng.standard_normal((2, 1, 1, K2) if terms == "elbo_terms" else (2, 1, K2))
    together, *alone = (
        [term.data for term in getattr(model, terms)(x, *y, GivenNoise({"z1": e1, "z": latents}), n)]
        for latents, n in ((e2, 2), (e2[0], 1), (e2[1], 1))
    )
    assert abs(alone[0][0] - alone[1][0]).max() > 0.01
    for both, *each in zip(together, *alone, strict=True):
        numpy.testing.assert_allclose(both, numpy.mean(each, axis=0), rtol=1e-10)


def test_methods_that_draw_nothing_take_z1_at_its_mean(x):
    model = stack()
    taken = model.first.encode(x).mean[:, UNITS]
    y = model.second.classify(taken)
    numpy.testing.assert_array_equal(model.classify(x), y)
    numpy.testing.assert_array_equal(model.encode(x).mean, model.second.encode(taken, y).mean)
    z2 = model.encode(x).mean
    z1 = numpy.zeros((N, K1))
    z1[:, UNITS] = model.second.decode(z2, y).mean
    numpy.testing.assert_array_equal(model.reconstruct(x), model.first.decode(z1).mean)
    assert model.analogies(x).shape == (N, C, D) and model.sample(7, y=numpy.arange(7) % C).shape == (7, D)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_second_model_joins_the_first_on_its_device_and_in_its_type(dtype, device, rng):
    first = sv.VAE.mlp(D, K1, (4,)).to(device, dtype)
    model = sv.StackedVAE.mlp(first, UNITS, C, K2, (5,))
    assert (model.device, model.dtype, model.second.prior.mean.dtype) == (device, dtype, dtype)
    x, labels = labelled_rows(rng)
    sv.fit(model, asarray(x, device), epochs=1, labels=labels, progress=False)


def test_the_model_prints_both_of_its_parts():
    lines = repr(stack()).splitlines()
    assert lines[0] == "StackedVAE, the second of 2 of 4 latent units of the first"
    assert lines[1].startswith("  first   VAE, ") and any(line.startswith("  second  SemiSupervised") for line in lines)


# ---- training


def test_fit_changes_m2_and_leaves_m1_alone(device, rng):
    x, labels = labelled_rows(rng)
    model = stack(numpy.float32).to(device)
    before = {name: sv.to_numpy(array).tobytes() for name, array in model.state().items()}
    history = sv.fit(model, x, epochs=2, labels=labels, validation=x[:20], progress=False)
    changed = {name for name, array in model.state().items() if sv.to_numpy(array).tobytes() != before[name]}
    assert changed == {f"second.{name}" for name in model.second.named_parameters()}
    assert history["validation_elbo"][-1] > history["validation_elbo"][0] and model.device == device
    rows = asarray(x, device)
    for array in (model.classify(rows), model.reconstruct(rows), model.sample(3), model.analogies(rows[:2])):
        assert type(array) is type(rows)


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")  # y is all that z1 holds
def test_training_learns_the_classes(rng):
    y = numpy.arange(60) % C
    x = special.expit(4 * rng.standard_normal((C, 30))[y] + 2 * rng.standard_normal((60, 30))).astype(numpy.float32)
    first = sv.VAE.mlp(30, K1, (20,))
    sv.fit(first, x, epochs=60, batch_size=20, learning_rate=5e-3, progress=False)
    model = sv.StackedVAE.mlp(first, sv.active_units(first, x), C, K2, (20,))
    labels = numpy.where(numpy.arange(60) < 6, y, -1)
    sv.fit(model, x, epochs=60, batch_size=20, learning_rate=5e-3, labels=labels, alpha=10.0, progress=False)
    assert sv.classification_error(model, x, y) < 0.1


# ---- files


def test_a_model_comes_back(x, tmp_path):
    model = stack()
    sv.save(model, tmp_path / "model.npz")
    loaded = sv.load(tmp_path / "model.npz")
    assert repr(loaded) == repr(model) and json.loads(json.dumps(loaded.configuration)) == loaded.configuration
    numpy.testing.assert_array_equal(loaded.analogies(x), model.analogies(x))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"units": []}, "at least one unit of the first model"),
        ({"units": [0, 0]}, "distinct units from 0 to 3, received 0, 0"),
        ({"units": [0, 4]}, "distinct units from 0 to 3, received 0, 4"),
        ({"units": [0, -1]}, "a list of sizes from 0 to 16777216 as units"),
        ({"units": 2}, "a list of sizes from 0"),
        ({"units": [0, 1, 2]}, "the arrays of the model"),
        ({"first": None}, "the configuration of a VAE as first"),
        ({"first": {"constructor": "StackedVAE.mlp"}}, "the configuration of a VAE as first"),
        ({"first": {"constructor": "VAE.mlp", "input_size": 10**6}}, "a model of at most .* parameters"),
        ({"first": {"constructor": "VAE.nothing"}}, "a constructor among"),
        ({"hidden": [10**6]}, "a model of at most .* parameters"),
        ({"n_classes": 10**7}, "a model of at most .* parameters"),
    ],
    ids=str,
)
def test_hostile_configurations(change, sentence, tmp_path):
    model = stack()
    configuration = model.configuration | change
    checkpoint.write(tmp_path / "model.npz", {"configuration": configuration}, checkpoint.model_arrays(model))
    with pytest.raises((InputError, DataError), match=sentence):
        sv.load(tmp_path / "model.npz")


@pytest.mark.parametrize("units", [[4, 0], [-1, 0], [1, 1], [0.0, 1.0]], ids=str)
def test_units_that_a_file_holds_are_checked(units, tmp_path):
    model = stack()
    arrays = checkpoint.model_arrays(model) | {"model/units": numpy.array(units)}
    checkpoint.write(tmp_path / "model.npz", {"configuration": model.configuration}, arrays)
    with pytest.raises(InputError, match="distinct units from 0 to 3|values of type int64"):
        sv.load(tmp_path / "model.npz")


# ---- what is refused

MISTAKES = {
    "a first model with classes": (
        lambda: sv.StackedVAE.mlp(sv.SemiSupervisedVAE.mlp(4, 2, 2, (3,)), [0]),
        "^StackedVAE: expected a VAE as first, received SemiSupervisedVAE$",
    ),
    "a second model without": (
        lambda: sv.StackedVAE(sv.VAE.mlp(4, 2), sv.VAE.mlp(1, 2), [0]),
        "^StackedVAE: expected a SemiSupervisedVAE as second, received VAE$",
    ),
    "no unit": (
        lambda: sv.StackedVAE.mlp(sv.VAE.mlp(4, 2), []),
        "^StackedVAE: expected at least one unit of the first model, received none .if none is active",
    ),
    "one unit as a number": (lambda: sv.StackedVAE.mlp(sv.VAE.mlp(4, 2), 0), "a sequence of units of the first model"),
    "a second model of bits": (
        lambda: sv.StackedVAE(sv.VAE.mlp(4, 2), sv.SemiSupervisedVAE.mlp(1, 2, 2, (3,)), [0]),
        "^StackedVAE: expected a second model of real numbers, received a Bernoulli likelihood",
    ),
    "floats": (lambda: sv.StackedVAE.mlp(sv.VAE.mlp(4, 2), [0.5]), "distinct units from 0 to 1, received 0.5"),
    "another size": (
        lambda: sv.StackedVAE(sv.VAE.mlp(4, 2), sv.SemiSupervisedVAE.mlp(2, 2, 2, (3,)), [0]),
        r"^StackedVAE: expected a second model of rows \(1,\), received \(2,\)$",
    ),
    "iwae": (lambda: sv.fit(stack(), numpy.ones((4, D)), objective="iwae"), "an objective among elbo for a StackedVAE"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_a_sentence(mistake):
    call, sentence = MISTAKES[mistake]
    with pytest.raises(InputError, match=sentence):
        call()


# ---- the command line


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    digits, path = sv.data.draw_digits(200, seed=3), tmp_path_factory.mktemp("data") / "digits.npz"
    numpy.savez(path, images=digits.images, labels=digits.labels)
    return str(path)


def train(path, directory, *more):
    options = ["--model", "m1+m2", "--labels", "20", "--latent", "3", "--hidden", "16", "--quiet", "--epochs", "2"]
    return main(["train", "--data", path, "--run-dir", str(directory), *options, *more])


@pytest.fixture(scope="module")
def run(path, tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "run"
    assert train(path, directory, "--m1-epochs", "3", "--kl-warmup", "4") == 0
    return directory


def parameters(run):
    return {name: array.tobytes() for name, array in sv.load(run / "last.npz").state().items()}


def test_one_command_trains_both(run, capsys):
    histories = [sv.run_files.read_history(directory) for directory in (run / "m1", run)]
    assert [history["epoch"][-1] for history in histories] == [3, 2]
    model = sv.load(run / "last.npz")
    assert type(model) is sv.StackedVAE
    for name, array in sv.load(run / "m1" / "last.npz").state().items():
        numpy.testing.assert_array_equal(model.first.state()[name], array)
    assert {path.stem for path in (run / "figures").iterdir()} >= {"classes", "analogies", "curves"}
    assert main(["evaluate", str(run), "--importance-samples", "3", "--limit", "10"]) == 0
    assert "of each class" in capsys.readouterr().out


def test_a_given_m1_is_the_trained_one(path, run, tmp_path):
    assert train(path, tmp_path / "other", "--m1", str(run / "m1"), "--no-pictures") == 0
    assert parameters(tmp_path / "other") == parameters(run) and not (tmp_path / "other" / "m1").exists()


@pytest.mark.parametrize("of", ["m1", "m2"])
def test_an_interrupted_run_goes_on_to_the_same_bits(of, path, run, tmp_path, monkeypatch):
    fit, n_fits = sv.fit, []

    def interrupted(*arguments, **options):
        n_fits.append(0)
        if len(n_fits) == {"m1": 1, "m2": 2}[of]:
            fit(*arguments[:2], 1, *arguments[3:], **options)
            raise KeyboardInterrupt
        return fit(*arguments, **options)

    monkeypatch.setattr(sv, "fit", interrupted)
    assert train(path, tmp_path / "run", "--m1-epochs", "3", "--kl-warmup", "4", "--no-pictures") == 130
    monkeypatch.setattr(sv, "fit", fit)
    assert main(["train", "--resume", str(tmp_path / "run"), "--quiet", "--no-pictures", "--epochs", "2"]) == 0
    assert parameters(tmp_path / "run") == parameters(run)


def test_a_run_that_stopped_in_m1_says_how_to_go_on_and_is_not_begun_anew(path, tmp_path, monkeypatch, capsys):
    directory, batches = tmp_path / "run", objectives.minibatches

    def interrupted(*arguments):
        signal.raise_signal(signal.SIGINT)
        return batches(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(objectives, "minibatches", interrupted)
        assert train(path, directory) == 130
    error = capsys.readouterr().err
    assert (
        f"last checkpoint is {directory / 'm1' / 'last.npz'}, to resume by `scratchvae train --resume {directory}`"
        in error
    )
    before = (directory / "config.json").read_bytes()
    for options in (["--seed", "7"], ["--m1-epochs", "3"], ["--model", "m2"]):
        assert train(path, directory, *options) == 2
        assert "expected an empty one, received one with a run" in capsys.readouterr().err
        assert (directory / "config.json").read_bytes() == before


def test_a_finished_run_is_not_begun_anew(path, run, capsys):
    assert train(path, run, "--m1-epochs", "3") == 2
    assert "expected an empty one, received one with a run" in capsys.readouterr().err


def test_epochs_of_m2_may_grow_and_those_of_m1_may_not(path, tmp_path, capsys):
    assert train(path, tmp_path / "run", "--no-pictures") == 0
    before = (tmp_path / "run" / "m1" / "last.npz").read_bytes()
    assert main(["train", "--resume", str(tmp_path / "run"), "--quiet", "--no-pictures", "--m1-epochs", "5"]) == 2
    error = capsys.readouterr().err
    assert "expected M1 unchanged, as the run trains M2 already, received --m1-epochs 5 (--epochs may grow)" in error
    assert main(["train", "--resume", str(tmp_path / "run"), "--quiet", "--no-pictures", "--epochs", "3"]) == 0
    assert sv.run_files.read_history(tmp_path / "run")["epoch"][-1] == 3
    assert (tmp_path / "run" / "m1" / "last.npz").read_bytes() == before


REFUSED = {
    "m1 of another model": (
        ["--model", "m2", "--m1", "x"],
        "train: expected --m1 with --model m1+m2, received --model m2",
    ),
    "m1 and its options": (
        ["--m1", "x", "--binarize", "dynamic", "--m1-epochs", "3"],
        "--m1 and --binarize, --m1-epochs",
    ),
    "no such m1": (["--m1", "nothing.npz"], "expected a file, received nothing there"),
    "no hidden layer": (["--hidden"], "--hidden with at least one width"),
    "iwae": (["--objective", "iwae"], "expected --objective elbo with --model m1+m2, received iwae"),
    "too few labels": (["--labels", "9"], "at least one label for each of 10 classes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_gives_one_sentence_and_status_2(name, path, tmp_path, capsys):
    options, sentence = REFUSED[name]
    assert train(path, tmp_path / "run", *options, "--no-pictures") == 2
    error = capsys.readouterr().err
    assert error.startswith("scratchvae: ") and sentence in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_an_m1_with_classes_is_refused(path, run, tmp_path, capsys):
    assert train(path, tmp_path / "run", "--m1", str(run), "--no-pictures") == 2
    assert "expected a VAE as --m1, received a StackedVAE" in capsys.readouterr().err


def test_an_m1_of_other_images_is_refused_before_anything_is_written(path, tmp_path, capsys):
    sv.save(sv.VAE.mlp(10, 2, (4,)), tmp_path / "m1.npz")
    assert train(path, tmp_path / "run", "--m1", str(tmp_path / "m1.npz"), "--no-pictures") == 2
    assert "expected rows of 10 entries" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_a_run_goes_on_without_the_file_of_its_m1(path, run, tmp_path, capsys):
    sv.save(sv.load(run / "m1" / "last.npz"), tmp_path / "m1.npz")
    assert train(path, tmp_path / "run", "--m1", str(tmp_path / "m1.npz"), "--epochs", "1", "--no-pictures") == 0
    (tmp_path / "m1.npz").unlink()
    assert main(["train", "--resume", str(tmp_path / "run"), "--quiet", "--no-pictures", "--epochs", "2"]) == 0
    assert parameters(tmp_path / "run") == parameters(run)
    assert main(["train", "--resume", str(tmp_path / "run"), "--quiet", "--no-pictures", "--m1", str(run / "m1")]) == 2
    assert "expected M1 unchanged, as the run trains M2 already, received --m1 " in capsys.readouterr().err


def test_the_units_are_those_that_are_active_on_the_data_that_m1_is_trained_on(path, tmp_path):
    assert train(path, tmp_path / "run", "--binarize", "dynamic", "--no-pictures") == 0
    model, images = sv.load(tmp_path / "run" / "last.npz"), sv.data.load(path)[0].images
    x = prepared(model.first, images, 0)
    assert set(numpy.unique(x)) == {0.0, 1.0}
    numpy.testing.assert_array_equal(model.units, sv.active_units(model.first, x))


def test_classes_are_those_of_the_mean_of_z1_and_of_no_draw(rng):
    """q(y | z1) at the mean of q(z1 | x), whose standard deviation is large here: a draw would be read otherwise."""
    model, x = stack(), rng.random((200, D)).astype(numpy.float32)
    model.first.encoder.network.layers[-1].bias.data[K1:] += 3.0
    means = sv.to_numpy(model.first.encode(x).mean)[:, model.units]
    logits = sv.to_numpy(model.second.classifier(means.astype(model.dtype)).logits.data)
    numpy.testing.assert_array_equal(model.classify(x), logits.argmax(axis=1))
    draws = sv.to_numpy(model.features(x, sv.Noise(0))[0])
    of_draws = sv.to_numpy(model.second.classifier(draws).logits.data).argmax(axis=1)
    assert (of_draws != logits.argmax(axis=1)).mean() > 0.05, "the case tells the two apart"
