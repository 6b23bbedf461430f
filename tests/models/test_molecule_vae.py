"""MoleculeVAE: data, training, resuming, devices and strings. Its mathematics is in scratchvae/checks/molecules.py."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy
import pytest

import scratchvae as sv
from scratchvae import checkpoint
from scratchvae.checks.molecules import MEANS, PROPERTIES, STDS, STRINGS, small_model
from scratchvae.errors import DataError, DeviceError, InputError
from scratchvae.gradcheck import check_gradients
from scratchvae.latent_space import spherical_interpolation
from scratchvae.models import MoleculeVAE
from scratchvae.noise import GivenNoise, Noise

pytestmark = pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
SYMBOLS = ("C", "Cl", "O", "[nH]")
SETTINGS = {"batch_size": 8, "learning_rate": 1e-2, "kl_floor": 1.0, "clip_norm": 5.0, "progress": False}
ENCODERS = ("convolutional", "recurrent")


def small(encoder="convolutional", known=True, **options):
    """K = 2, at most 9 symbols; two properties."""
    t = {"properties": PROPERTIES, "property_means": MEANS, "property_stds": STDS} if known else {}
    return MoleculeVAE.gru(
        SYMBOLS, **{"longest": 9, "latent_size": 2, "hidden_size": 6, "encoder": encoder} | t | options
    )


def parameters(model):
    return {name: array.tobytes() for name, array in model.state().items()}


@pytest.fixture(scope="module")
def strings():
    """30 strings of 1 to 9 symbols: one symbol again and again, and half of them end with another one."""
    rng = numpy.random.default_rng(0)
    lengths = [9, 1, *rng.integers(2, 10, 28).tolist()]
    return [str(rng.choice(SYMBOLS)) * (n - n % 2) + str(rng.choice(SYMBOLS)) * (n % 2) for n in lengths]


@pytest.fixture(scope="module")
def t(strings):
    """Two properties of each string, about a sixth of them not known."""
    rng = numpy.random.default_rng(1)
    t = numpy.array([[string.count("O"), 300 + 20 * string.count("Cl")] for string in strings], dtype=float)
    t[rng.random(t.shape) < 1 / 6] = numpy.nan
    return t


# ---- data


class Series:
    """Strings as pandas keeps them: entries by position, whatever their index."""

    def __init__(self, values):
        self.array = numpy.array(values, dtype=object)
        self.dtype, self.shape = self.array.dtype, self.array.shape

    def __array__(self, dtype=None, copy=None):
        return self.array

    def __len__(self):
        return len(self.array)

    def tolist(self):
        return self.array.tolist()


def test_strings_of_every_kind_are_the_same_data(strings):
    model = small()
    x = model.observations(strings)
    assert x.shape == (30, 10) and x.dtype == numpy.uint8 and model.alphabet.decode(x) == strings
    others = [
        tuple(strings),
        numpy.array(strings),
        numpy.array(strings, dtype=object),
        Series(strings),
        x.tolist(),
        x.astype(numpy.int64),
        numpy.pad(x, ((0, 0), (0, 7))),
    ]
    for other in others:
        assert numpy.array_equal(model.observations(other), x) and model.observations(other).dtype == numpy.uint8
    assert model.observations(strings[1:2]).shape == (1, 2)


def test_one_long_string_does_not_make_all_of_them_long():
    """NumPy's array of these strings would take 40 GB."""
    with pytest.raises(DataError, match="1 to 9 symbols in each, received 100000 in row 99999, 'CCC"):
        small().observations(["C"] * 99_999 + ["C" * 100_000])


TOKENS = numpy.array([[1, 2, 3, 0, 0], [4, 1, 0, 0, 0]])
MISTAKES = {
    "one string": ("CCO", r"a list of strings, received one string, 'CCO' \(\[x\]\)"),
    "an empty string": (["C", ""], "1 to 9 symbols in each, received 0 in row 1, ''"),
    "an unknown symbol": (["C", "C", "CBr"], r"the 4 symbols C Cl O \[nH\], received 'Br' in row 2, 'CBr'"),
    "too long": (["C", "C" * 10], "1 to 9 symbols in each, received 10 in row 1"),
    "a missing string": (["C", None], "expected strings, received NoneType None in row 1"),
    "NaN for a string": (["C", numpy.nan], "expected strings, received float nan in row 1"),
    "a table of strings": (numpy.array([["C", "O"]]), r"strings \(N,\), or integers \(N, T\), received <U1, shape"),
    "bytes": ([b"CC"], r"strings \(N,\), or integers \(N, T\), received \|S2"),
    "nothing": ([], r"at least one row, received shape \(0,\)"),
    "no rows": (numpy.zeros((0, 5), int), r"at least one row, received shape \(0, 5\)"),
    "a number": (5, r"at least one row, received shape \(\)"),
    "floats": (TOKENS.astype(float), r"strings \(N,\), or integers \(N, T\), received float64"),
    "truth values": (TOKENS > 0, r"strings \(N,\), or integers \(N, T\), received bool"),
    "one row": (TOKENS[0], r"integers of shape \(N, T\), received shape \(5,\)"),
    "symbols behind the end": (
        TOKENS[:, [0, 3, 1, 4]],
        "0 from the end on, in every row, received symbols behind the end in row 0",
    ),
    "no end": (TOKENS[:, :3], "received no end in row 0"),
    "no symbol": (TOKENS * [[1], [0]], "received no symbol in row 1"),
    "negative": (-TOKENS, "symbols from 1, .*received a number below 0 in row 0"),
    "too large": (TOKENS + (TOKENS == 4), "symbols from 0 to 4, received 5 in row 1"),
    "too many symbols": (
        numpy.eye(1, 11, 10, dtype=int) * -1 + 1,
        "at most 9 symbols in each row, received 10 in row 0",
    ),
    "lists of several lengths": ([[1, 0], [1, 2, 0]], "an array, received a list that does not become one"),
    "a generator": ((s for s in ["C"]), r"an array, received generator \(list\(x\)\)"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_no_string_is_refused_in_one_sentence(mistake):
    x, sentence = MISTAKES[mistake]
    model = small()
    for use in (lambda: sv.fit(model, x, progress=False), lambda: sv.evaluate(model, x), lambda: model.encode(x)):
        with pytest.raises(DataError, match=sentence) as error:
            use()
        assert "\n" not in str(error.value)
        if mistake == "a generator":
            break


def test_data_of_another_device_are_refused(gpu, strings):
    model = small()
    x = model.observations(strings)
    with pytest.raises(DeviceError, match="on the model's device, cpu, received one on gpu"):
        model.encode(gpu.asarray(x))


def test_settings_out_of_range_are_refused():
    for options, sentence in (
        ({"encoder": "lstm"}, "an encoder among convolutional, recurrent, received 'lstm'"),
        ({"longest": 0}, "longest of at least 1, received 0"),
        ({"latent_size": 0}, "sizes of at least 1, received 256 -> 0"),
        ({"hidden_size": 0}, "hidden_size of at least 1"),
        ({"property_means": (0.0,)}, "a mean and a standard deviation for each, received 2, 1 and 2"),
        ({"property_stds": (1.0, 0.0)}, "positive standard deviations"),
        ({"property_means": (1.0, numpy.nan)}, "finite means"),
        ({"properties": ("logP", "logP")}, "a list of names that differ"),
        ({"properties": "logP"}, "a list of names that differ, received 'logP'"),
        ({"properties": ()}, "a mean and a standard deviation for each, received 0, 2 and 2"),
    ):
        with pytest.raises(InputError, match=sentence):
            small(**options)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_more_padding_changes_no_bit(encoder):
    """A row that is padded longer, and one of a batch with longer ones, have the same codes and terms."""
    model, noise = small_model(encoder), Noise(3)
    longer = numpy.pad(STRINGS, ((0, 0), (0, 4)))
    for received, expected in zip(model.elbo_terms(longer, noise, 2), model.elbo_terms(STRINGS, noise, 2), strict=True):
        assert numpy.array_equal(received.data, expected.data)


def test_memory_is_bounded_by_the_states_of_all_steps(strings):
    model = small()
    assert model.entries(model.observations(strings)) == 10 * 6 * 6
    assert sv.evaluate(model, strings)["n"] == 30


# ---- properties


def test_properties_of_every_kind_are_the_same(t):
    model = small()
    expected = t.astype(numpy.float32)
    table = {"weight": t[:, 1], "name": ["a"] * 30, "logP": t[:, 0].tolist()}

    class Frame:  # what pandas has: columns in their own order, and other ones
        def keys(self):
            return table.keys()

        def __contains__(self, name):
            return name in table

        def __getitem__(self, name):
            return table[name]

        def __array__(self, dtype=None, copy=None):
            raise AssertionError("by position the columns would be others")

    for given in (t, t.tolist(), table, Frame()):
        received = model.properties(given)
        assert received.dtype == numpy.float32 and numpy.array_equal(received, expected, equal_nan=True)


WRONG_PROPERTIES = {
    "another shape": (numpy.zeros((30, 3)), r"numbers of shape \(N, 2\), received float64, shape \(30, 3\)"),
    "one of two": (numpy.zeros(30), r"numbers of shape \(N, 2\)"),
    "words": (numpy.array([["a", "b"]] * 30), r"numbers of shape \(N, 2\), received <U1"),
    "a missing name": ({"logP": numpy.zeros(30)}, "the properties logP, weight, received none of weight"),
    "no names": ({}, "received none of logP, weight"),
    "several lengths": (
        {"logP": numpy.zeros(30), "weight": numpy.zeros(29)},
        r"arrays of one shape \(N,\), received logP \(30,\), weight \(29,\)",
    ),
    "numbers for columns": ({"logP": 1.0, "weight": 2.0}, r"arrays of one shape \(N,\), received logP \(\)"),
    "a number": (1.0, r"numbers of shape \(N, 2\)"),
    "infinity": (numpy.full((30, 2), numpy.inf), "numbers that float32 holds, or NaN where one is not known"),
    "too large": (numpy.full((30, 2), 1e300), "numbers that float32 holds"),
    "other rows": (numpy.zeros((29, 2)), "a row for each of 30 strings, received 29"),
}


@pytest.mark.parametrize("mistake", WRONG_PROPERTIES)
def test_wrong_properties_are_refused_in_one_sentence(mistake, strings):
    t, sentence = WRONG_PROPERTIES[mistake]
    with pytest.raises(DataError, match=sentence):
        sv.fit(small(), strings, properties=t, progress=False)


def test_properties_of_a_model_without_them_are_refused(strings, t):
    model = small(known=False)
    for use in (
        lambda: sv.fit(model, strings, properties=t, progress=False),
        lambda: model.predict(strings),
        lambda: model.predict_at(numpy.zeros((1, 2), "f")),
    ):
        with pytest.raises(InputError, match=r"a model of properties, received one without .*properties=\.\.\."):
            use()
    with pytest.raises(InputError, match="a model that predicts properties, and its ELBO, received a VAE, 'elbo'"):
        sv.fit(sv.VAE.mlp(4, 2, (3,)), numpy.zeros((30, 4), "f"), properties=t, progress=False)
    with pytest.raises(InputError, match="predicts properties, and its ELBO, received a MoleculeVAE, 'iwae'"):
        sv.fit(small(), strings, properties=t, objective="iwae", progress=False)
    for options in ({"alpha": 1.0}, {"alpha": -1.0, "properties": t}, {"alpha": numpy.nan, "properties": t}):
        with pytest.raises(InputError, match="alpha as a number of at least 0, with properties"):
            sv.fit(small(), strings, progress=False, **options)
    with pytest.raises(InputError, match="a model with classes for labels"):
        sv.fit(small(), strings, labels=numpy.zeros(30, int), progress=False)


def test_predictions_are_in_the_units_of_the_data(strings):
    """A network that is 0 predicts the means; one whose last bias is 2 predicts them plus two standard deviations."""
    model, last = small(), None
    for name, parameter in model.property_decoder.named_parameters().items():
        parameter.data[...] = 0
        last = parameter if name == "network.layers.1.bias" else last
    for bias in (0, 2):
        last.data[...] = bias
        for prediction in (model.predict(strings), model.predict_at(numpy.zeros((30, 2), "f"))):
            assert list(prediction) == list(PROPERTIES)
            for name, mean, std in zip(PROPERTIES, MEANS, STDS, strict=True):
                numpy.testing.assert_allclose(prediction[name], numpy.full(30, mean + bias * std), rtol=1e-6)
    assert model.predict_at(numpy.zeros((3, 4, 2), "f"))["weight"].shape == (3, 4)


# ---- training


@pytest.mark.parametrize("encoder", ENCODERS)
def test_training_lowers_the_loss_in_float32_and_keeps_it(encoder, strings, t):
    model = small(encoder)
    table = dict(zip(PROPERTIES, t.T, strict=True))
    options = SETTINGS | {"learning_rate": 0.03}
    history = sv.fit(model, strings, 8, properties=table, alpha=0.5, validation=strings[:7], **options)
    assert history["elbo"][-1] > history["elbo"][0] + 2 and history["properties"][-1] > history["properties"][0]
    assert history["elbo"] == [a - b for a, b in zip(history["reconstruction"], history["kl"], strict=True)]
    assert history["validation_elbo"][-1] == pytest.approx(sv.evaluate(model, strings[:7])["elbo"], rel=1e-6)
    assert {array.dtype for array in model.state().values()} == {numpy.dtype("float32")}
    assert model.joint_elbo(model.observations(strings), model.properties(t), Noise(0)).dtype == numpy.float32
    assert model.predict(strings)["logP"].dtype == numpy.float32


def test_a_dict_an_array_and_the_equation_take_the_same_steps(strings, t):
    """`fit` against Adam on the mean of joint_elbo: rows of Noise(seed, epoch), noise of Noise(seed, step), alpha."""
    options = {"batch_size": 10, "learning_rate": 0.01, "seed": 5, "alpha": 0.3, "n_samples": 2, "progress": False}
    by_array, by_dict, by_hand = (small().to(dtype=numpy.float64) for _ in range(3))
    sv.fit(by_array, strings, 2, properties=t, **options)
    sv.fit(by_dict, strings, 2, properties=dict(zip(PROPERTIES, t.T, strict=True)), **options)
    assert parameters(by_array) == parameters(by_dict)
    x, optimizer, step = by_hand.observations(strings), sv.optim.Adam(by_hand.parameters(), learning_rate=0.01), 0
    for epoch in range(2):
        order = Noise(5, epoch).permutation("order", 30)
        for rows in order.reshape(3, 10):
            loss = -sv.ops.mean(by_hand.joint_elbo(x[rows], t[rows], Noise(5, step), 0.3, 2))
            sv.grad(loss, optimizer.parameters, out=optimizer.gradients)
            optimizer.step()
            step += 1
    for name, array in by_array.state().items():
        numpy.testing.assert_allclose(by_hand.state()[name], array, rtol=0, atol=1e-12)


def test_alpha_and_the_floor_weigh_what_they_say():
    """L = reconstruction + alpha log p(t) - KL; below the floor the KL has no gradient."""
    model, noise = small_model(), Noise(2)
    t = numpy.array([[2.0, 300.0], [1.0, 410.0], [3.0, numpy.nan], [numpy.nan, numpy.nan]])
    reconstruction, log_t, kl = (term.data for term in model.joint_terms(STRINGS, t, noise))
    received = model.joint_elbo(STRINGS, t, noise, 0.25, kl_weight=3.0)
    numpy.testing.assert_allclose(received.data, reconstruction + 0.25 * log_t - 3 * kl, rtol=1e-13)
    assert log_t[3] == 0 and kl.mean() < 5
    values = {}
    for floor in (0.0, 5.0):
        objective = sv.objectives.with_properties(model, t, 0.25, floor)
        values[floor], means = objective.value(STRINGS, t, noise, 1, 1.0)
        assert float(means["kl"].data) == pytest.approx(kl.mean(), rel=1e-12)
    assert float(values[0.0].data - values[5.0].data) == pytest.approx(5 - kl.mean(), rel=1e-12)
    without_kl = sv.ops.mean(model.joint_elbo(STRINGS, t, noise, 0.25, kl_weight=0.0))
    for received, expected in zip(
        sv.grad(values[5.0], model.parameters()), sv.grad(without_kl, model.parameters()), strict=True
    ):
        numpy.testing.assert_allclose(received, expected, rtol=0, atol=1e-14)


def test_properties_that_are_not_known_change_no_bit(strings, t):
    """With NaN for all the strings alone are learned, and the decoder of properties stays what it was."""
    one, other, start = small(), small(), small()
    sv.fit(one, strings, 2, properties=t * numpy.nan, **SETTINGS)
    sv.fit(other, strings, 2, **SETTINGS)
    assert parameters(one) == parameters(other)
    assert parameters(one.property_decoder) == parameters(start.property_decoder)


KNOWN_AND_NOT = numpy.array([[2.0, 300.0], [numpy.nan, 410.0], [3.0, numpy.nan], [numpy.nan, numpy.nan]])


@pytest.mark.parametrize("encoder", ENCODERS)
def test_gradients_of_the_whole_objective(encoder, rng):
    """With properties, those not known among them, two draws of z, alpha and a weight of the KL.

    The small parameters entry by entry, and all of them together along three random directions.
    """
    model, noise = small_model(encoder), GivenNoise(rng.standard_normal((2, 4, 2)))

    def objective(*_):
        return model.joint_elbo(STRINGS, KNOWN_AND_NOT, noise, 0.7, 2, 0.5)

    chosen = [parameter for parameter in model.parameters() if parameter.data.size <= 24]
    assert len(chosen) >= 9 and check_gradients(objective, *chosen, order=1) < 1e-6
    every = model.parameters()
    starts, gradient = [p.data.copy() for p in every], sv.grad(sv.ops.sum(objective()), every)
    for _ in range(3):
        direction, values = [rng.standard_normal(start.shape) for start in starts], []
        for sign in (1, -1):
            for parameter, start, way in zip(every, starts, direction, strict=True):
                parameter.data[...] = start + sign * 1e-6 * way
            with sv.no_grad():
                values.append(float(objective().sum()))
        slope = sum(float((g * way).sum()) for g, way in zip(gradient, direction, strict=True))
        assert (values[0] - values[1]) / 2e-6 == pytest.approx(slope, rel=1e-5)


def test_second_derivatives_of_the_objective(rng):
    """Twice through z, the decoders, and the KL, from the bias of the encoder's mean and log standard deviation."""
    model, t = small_model("recurrent"), numpy.array([[2.0, numpy.nan]])
    bias = model.encoder.linear.bias
    noise = GivenNoise(rng.standard_normal((1, 1, 2)))
    assert check_gradients(lambda *_: model.joint_elbo(STRINGS[3:, :3], t, noise), bias, order=2) < 1e-5


def test_every_score_of_a_model_of_strings(strings):
    model = small("recurrent")
    sv.fit(model, strings, 4, objective="iwae", n_samples=4, batch_size=8, progress=False)
    scores = sv.evaluate(model, strings)
    assert scores["elbo"] == pytest.approx(scores["reconstruction"] - scores["kl"], rel=1e-6)
    log_px, error, _ = sv.log_likelihood(model, strings, 1000)
    bound = sv.elbo(model, strings, 300)
    assert (log_px - bound > -4 * error).all() and (log_px - bound).mean() > 0
    assert log_px.max() < 0, "probabilities of strings, not densities"
    assert model.quantity() == "lower bound of log p(x), a probability of strings"
    assert sv.active_units(model, strings).ndim == 1


def test_resumed_after_a_kill_it_ends_with_the_same_bits(strings, t, tmp_path):
    """Killed by the system in the third epoch, and resumed; with other properties it is refused."""
    numpy.save(tmp_path / "t.npy", t)
    (tmp_path / "x.json").write_text(json.dumps(strings))
    code = f"""
import os, signal, json, numpy, scratchvae as sv
from scratchvae.models import MoleculeVAE
t, x = numpy.load({str(tmp_path / "t.npy")!r}), json.load(open({str(tmp_path / "x.json")!r}))
model = MoleculeVAE.gru({SYMBOLS!r}, 9, 2, 6, "convolutional", {PROPERTIES!r}, {MEANS!r}, {STDS!r})
augment, n = MoleculeVAE.augment, iter(range(99))
MoleculeVAE.augment = lambda *a: os.kill(os.getpid(), signal.SIGKILL) if next(n) == 9 else augment(*a)
sv.fit(model, x, epochs=4, properties=t, run_dir={str(tmp_path / "run")!r}, **{SETTINGS!r})
"""
    finished = subprocess.run([sys.executable, "-c", code], env=os.environ)
    assert finished.returncode == -signal.SIGKILL
    whole, resumed = small(), small()
    sv.fit(whole, strings, 4, properties=t, **SETTINGS)
    options = {"run_dir": tmp_path / "run", "resume": True}
    for change in ({"properties": t + 1}, {"properties": t, "alpha": 0.5}, {}):
        with pytest.raises(InputError, match="properties|alpha"):
            sv.fit(small(), strings, 4, **change, **options, **SETTINGS)
    sv.fit(resumed, strings, 4, properties=t, **options, **SETTINGS)
    assert parameters(resumed) == parameters(whole)
    assert parameters(sv.load(tmp_path / "run")) == parameters(whole)


# ---- files


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_file_holds_the_model(encoder, strings, t, tmp_path):
    for model in (small(encoder), small(encoder, known=False)):
        sv.fit(model, strings, 1, properties=t if model.property_decoder else None, **SETTINGS)
        sv.save(model, tmp_path / "model.npz")
        again = sv.load(tmp_path / "model.npz")
        assert parameters(again) == parameters(model) and again.configuration == model.configuration
        assert again.alphabet.symbols == SYMBOLS and repr(again) == repr(model)
        assert again.sample(5) == model.sample(5) and again.reconstruct(strings) == model.reconstruct(strings)
    assert "4 symbols" in repr(model)


def test_arrays_are_settings_like_lists(tmp_path):
    model = small(property_means=numpy.array(MEANS), property_stds=numpy.float32(STDS))
    array = MoleculeVAE.gru(numpy.array(SYMBOLS), 9, 2, 6, properties=numpy.array(PROPERTIES))
    for made in (model, array):
        sv.save(made, tmp_path / "model.npz")
        assert sv.load(tmp_path / "model.npz").configuration == made.configuration
        assert made.configuration["symbols"] == list(SYMBOLS)


HOSTILE = {
    "symbols without end": ({"symbols": [str(i) for i in range(200_000)]}, "no header of at most 262144 bytes"),
    "three thousand symbols": ({"symbols": [chr(300 + i) for i in range(3000)]}, "a model of at most .* parameters"),
    "symbols that are no strings": ({"symbols": [1, 2, 3, 4]}, "a word as symbols"),
    "symbols in a string": ({"symbols": "CO"}, "a word as symbols"),
    "no symbols": ({"symbols": []}, "symbols, strings that are not empty"),
    "an empty symbol": ({"symbols": ["C", "", "O", "N"]}, "symbols, strings that are not empty"),
    "a symbol twice": ({"symbols": ["C", "C", "O", "N"]}, "symbols that differ, received 'C' twice"),
    "one symbol less": ({"symbols": ["C", "Cl", "O"]}, "the arrays of the model"),
    "an encoder of another name": ({"encoder": "__import__"}, "an encoder among"),
    "an encoder that is no name": ({"encoder": ["recurrent"]}, "a number or a word as encoder|a word as encoder"),
    "huge strings": ({"longest": 2**24}, "a model of at most .* parameters"),
    "a huge state": ({"hidden_size": 2**24}, "a model of at most .* parameters"),
    "one property less": ({"properties": ["logP"]}, "a mean and a standard deviation for each"),
    "a property that is no name": ({"properties": [1, 2]}, "a word as properties"),
    "a mean that is no number": ({"property_means": ["a", "b"]}, "as property_means"),
    "a mean that is not finite": ({"property_means": [float("nan"), 1.0]}, "finite means"),
    "no spread": ({"property_stds": [0.0, 1.0]}, "positive standard deviations"),
    "another argument": ({"split": "eval"}, "split"),
}


@pytest.mark.parametrize("change", HOSTILE)
def test_a_hostile_configuration_is_refused_in_one_sentence(change, tmp_path):
    arguments, sentence = HOSTILE[change]
    model, path = small(), tmp_path / "model.npz"
    checkpoint.write(path, {"configuration": model.configuration | arguments}, checkpoint.model_arrays(model))
    started = time.perf_counter()
    with pytest.raises(InputError, match=sentence) as error:
        sv.load(path)
    assert len(str(error.value)) < 1000 and "\n" not in str(error.value) and time.perf_counter() - started < 5


def test_a_change_that_a_file_would_lose_is_refused(tmp_path):
    for change, sentence in (
        (lambda m: setattr(m, "alphabet", sv.Alphabet(["O", "C", "Cl", "[nH]"])), r"alphabet = Alphabet\(\['C', 'Cl'"),
        (lambda m: setattr(m, "longest", 20), "longest = 9, received 20"),
        (lambda m: setattr(m.property_decoder, "names", ("weight", "logP")), "property_decoder.names"),
    ):
        model = small()
        change(model)
        with pytest.raises(InputError, match=r"^MoleculeVAE.gru: expected its model unchanged, with " + sentence):
            sv.save(model, tmp_path / "model.npz")


# ---- strings


def test_strings_are_written_in_every_way(strings):
    model = small_model()
    z = numpy.random.default_rng(0).standard_normal((12, 2))
    p = model.decode(z)
    assert model.write(z) == model.alphabet.decode(p.greedy(9))
    assert model.write(z, beam=3) == model.alphabet.decode(p.beam(3, 9))
    drawn = model.write(z, temperature=0.7, seed=4)
    assert drawn == model.alphabet.decode(p.sample(Noise(4).child("symbols"), 0.7, 9))
    assert drawn == model.write(z, temperature=0.7, seed=4) != model.write(z, temperature=0.7, seed=5)
    assert model.sample(12, seed=1) == model.write(model.prior_draws(12, 1))
    x = ["CO", "OOC"]
    assert model.reconstruct(x) == model.write(model.encode(x).mean)
    assert max(map(len, model.write(z, temperature=5.0))) <= 9
    assert len(set(model.write(numpy.repeat(z[:1], 50, axis=0), temperature=9.0))) > 10


def test_strings_near_one_and_between_two():
    model = small_model("recurrent")
    mean = model.encode(["COC"]).mean
    noise = Noise(3).normal("near", (6, 2))
    expected = model.write(mean + 0.5 * noise)
    assert model.near("COC", 6, 0.5, seed=3) == expected
    assert (
        model.near(["COC"], 6, 0.5, seed=3) == expected
        and model.near(numpy.array([[1, 2, 1, 0]]), 6, 0.5, 3) == expected
    )
    assert model.near("COC", 3, 0.0) == model.reconstruct(["COC"]) * 3
    ends = model.encode(["CO", "OO"]).mean
    between = model.interpolate("CO", "OO", 5)
    assert between == model.write(spherical_interpolation(ends[:1], ends[1:], 5)[0])
    assert [between[0], between[-1]] == model.reconstruct(["CO", "OO"])


def test_bad_requests_are_refused():
    model = small_model()
    z = numpy.zeros((2, 2))
    for use, sentence in (
        (lambda: model.write(z, 0.5, beam=3), "a beam or a temperature, received both, 3 and 0.5"),
        (lambda: model.write(z, -1.0), "a positive temperature"),
        (lambda: model.write(z, numpy.nan), "a positive temperature"),
        (lambda: model.write(z, beam=0), "beam from 1 to 1000, received 0"),
        (lambda: model.write(z, beam=2.5), "beam from 1 to 1000, received 2.5"),
        (lambda: model.write(numpy.zeros((2, 3))), r"z of shape \(..., 2\)"),
        (lambda: model.sample(0), "n of at least 1"),
        (lambda: model.near("CO", 0), "n of at least 1"),
        (lambda: model.near(["CO", "OC"], 2), "one string, or one row, received 2"),
        (lambda: model.near("CO", 2, spread=-1.0), "a spread as a number from 0 to 1e.06"),
        (lambda: model.near("CO", 2, spread=numpy.nan), "a spread as a number from 0 to 1e.06"),
        (lambda: model.near("CN", 2), "received 'N' in row 0"),
        (lambda: model.interpolate("CO", "CN"), "received 'N' in row 1"),
        (lambda: model.interpolate("CO", 5), "expected strings, received int 5 in row 1"),
        (lambda: model.interpolate("CO", "OC", 1), "n of at least 2"),
    ):
        with pytest.raises(InputError, match=sentence):
            use()


def test_on_another_device_it_is_the_same(strings, t, gpu):
    """Terms, gradient, a run, predictions and strings, with the same noise."""
    results = {}
    e = numpy.random.default_rng(0).standard_normal((2, 30, 2))
    for encoder in ENCODERS:
        for device in ("cpu", "gpu"):
            model = small(encoder).to(dtype=numpy.float64).to(device)
            x, properties = model.observations(strings), model.properties(t)
            noise = GivenNoise(gpu.asarray(e) if device == "gpu" else e)
            terms = model.joint_terms(x, properties, noise, 2)
            gradient = sv.grad(sv.ops.mean(terms[0] + terms[1] - terms[2]), model.parameters())
            predictions = model.predict(strings).values()
            assert all(type(part) is type(x) for part in predictions)
            results[device] = [sv.to_numpy(part) for part in (*terms, *gradient, *predictions)]
            sv.fit(model, strings, 1, properties=properties, validation=strings, **SETTINGS)
            assert sv.evaluate(model, x)["n"] == 30 and len(sv.log_likelihood(model, strings[:3], 5)[0]) == 3
            for written in (model.sample(3, temperature=0.5), model.near("COC", 3), model.interpolate("CO", "OC", 3)):
                assert len(written) == 3 and all(isinstance(string, str) for string in written)
            assert len(model.reconstruct(x, beam=2)) == 30
        for received, expected in zip(results["gpu"], results["cpu"], strict=True):
            numpy.testing.assert_allclose(received, expected, rtol=1e-9, atol=1e-11)


def test_properties_follow_a_model_that_fit_moves(strings, t, gpu):
    model = small()
    history = sv.fit(model, strings, 1, properties=t, device="gpu", **SETTINGS)
    assert model.device == "gpu" and numpy.isfinite(history["properties"]).all()


@pytest.mark.slow
def test_a_thousand_strings_are_written_in_a_second():
    """Of a model of the size that ZINC takes, whose strings have about 40 symbols; the bound is for a busy machine."""
    model = MoleculeVAE.gru([f"[{i}]" for i in range(62)], 120, 56, 256)
    model.decoder.head.bias.data[0] = 0.5
    z = numpy.random.default_rng(0).standard_normal((1000, 56)).astype("f")
    model.write(z, temperature=1.0)
    started = time.process_time()
    written = model.write(z, temperature=1.0)
    seconds = time.process_time() - started
    mean = sum(string.count("[") for string in written) / 1000
    assert 25 < mean < 60 and seconds < 3
