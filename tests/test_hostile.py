"""What users get wrong, and the one sentence that each mistake is answered with."""

import os
from types import SimpleNamespace

import numpy
import pytest

import scratchvae as sv
from scratchvae.data import Dataset
from scratchvae.distributions import Bernoulli, Categorical, Normal
from scratchvae.errors import DataError, DeviceError, InputError, ShapeError
from scratchvae.models import GaussianDecoder
from scratchvae.nn import MLP
from scratchvae.optim import Adam
from scratchvae.quadrature import exact_posterior

N, D, K = 12, 6, 2
ROWS = numpy.random.default_rng(0).uniform(size=(N, D)).astype(numpy.float32)
IMAGES = numpy.random.default_rng(0).uniform(size=(N, 4, 4, 3)).astype(numpy.float32)
LABELS = numpy.arange(N)


def small(**settings):
    return sv.VAE.mlp(**{"input_size": D, "latent_size": K, "hidden": (4,)} | settings)


def fit(data=ROWS, model=None, **settings):
    return sv.fit(small() if model is None else model, data, **{"epochs": 1, "progress": False} | settings)


def spoilt(value, position=(3, 2)):
    x = ROWS.copy()
    x[position] = value
    return x


DATA = [
    (
        (ROWS > 0.5).astype(numpy.uint8),
        DataError,
        "^data: expected uint8 pixels from 0 to 255, received .* 0 to 1 .*bool",
    ),
    (
        LABELS.reshape(N, 1) * numpy.ones((1, D), int),
        DataError,
        "expected an array of floating-point numbers, received int64",
    ),
    (ROWS > 0.5, DataError, r"expected an array of floating-point numbers, received bool \(x\.astype\('float32'\)\)"),
    (ROWS.astype(object), DataError, "expected an array of floating-point numbers, received object"),
    (ROWS.astype(complex), DataError, "expected an array of floating-point numbers, received complex128"),
    (LABELS, DataError, "expected an array of floating-point numbers, received int64"),
    (LABELS.astype(float), ShapeError, r"VAE: expected rows of 6 entries, received shape \(12,\)"),
    (spoilt(numpy.nan), DataError, "^data: expected finite numbers, received NaN or infinity"),
    (spoilt(numpy.inf), DataError, "expected finite numbers, received NaN or infinity"),
    (
        spoilt(-0.5),
        DataError,
        r"^data for a Bernoulli likelihood: expected values in \[0, 1\], received values from -0\.5 to ",
    ),
    (spoilt(1.001), DataError, r"expected values in \[0, 1\], received values from .* to 1\.001"),
    (255 * ROWS, DataError, r"expected values in \[0, 1\], received values from .* to 25\d.*\(divide by 255"),
    (ROWS[:0], DataError, r"^data: expected at least one row, received shape \(0, 6\)"),
    (numpy.zeros(()), DataError, r"expected at least one row, received shape \(\)"),
    (numpy.zeros((5, 0)), ShapeError, r"expected rows of 6 entries, received shape \(5, 0\)"),
    (ROWS[0], ShapeError, r"VAE: expected rows of 6 entries, received shape \(6,\)"),
    (ROWS[:, :5], ShapeError, r"VAE: expected rows of 6 entries, received shape \(12, 5\)"),
    (ROWS.T, ShapeError, r"VAE: expected rows of 6 entries, received shape \(6, 12\)"),
    (IMAGES, ShapeError, r"VAE: expected rows of 6 entries, received shape \(12, 4, 4, 3\)"),
    (IMAGES.transpose(1, 2, 3, 0), ShapeError, r"expected rows of 6 entries, received shape \(4, 4, 3, 12\)"),
    ([[0.5] * D, [0.5]], DataError, r"^data: expected an array, received a list that does not become one \(its rows"),
    (Dataset(ROWS), DataError, r"^data: expected an array, received Dataset \(x\.images\)$"),
    ((ROWS, LABELS), DataError, "^data: expected an array, received a tuple that does not become one"),
    (None, DataError, "^data: expected an array, received NoneType"),
    ("mnist", DataError, "^data: expected an array, received str"),
    (iter(ROWS), DataError, r"^data: expected an array, received iterator \(list\(x\)\)$"),
    (
        SimpleNamespace(dtype="float32", shape=(3, 6)),
        DataError,
        "^data: expected .*, received (SimpleNamespace|object)",
    ),
]
ENTRANCES = {
    "fit": lambda x: fit(x),
    "validation": lambda x: fit(validation=x) if x is not None else fit(x),
    "evaluate": lambda x: sv.evaluate(small(), x),
    "log_likelihood": lambda x: sv.log_likelihood(small(), x, n_samples=2),
    "encode": lambda x: small().encode(x),
    "reconstruct": lambda x: small().reconstruct(x),
}


@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize(("data", "error", "sentence"), DATA, ids=[sentence[-40:] for _, _, sentence in DATA])
def test_data_that_no_model_takes(data, error, sentence, entrance):
    with pytest.raises(error, match=sentence) as raised:
        ENTRANCES[entrance](data)
    assert type(raised.value) is error


@pytest.mark.parametrize("x", [spoilt(-3.0), 255 * ROWS])
def test_a_gaussian_likelihood_takes_any_finite_number(x):
    assert small(likelihood="gaussian").encode(x).mean.shape == (N, K)


MISTAKES = {
    # training
    "epochs 0": (lambda: fit(epochs=0), InputError, "^fit: expected epochs of at least 1, received 0$"),
    "epochs 1.5": (lambda: fit(epochs=1.5), InputError, "^fit: expected epochs of at least 1, received 1.5$"),
    "batch size 0": (lambda: fit(batch_size=0), InputError, "^fit: expected batch_size of at least 1, received 0$"),
    "batch size None": (lambda: fit(batch_size=None), InputError, "expected batch_size of at least 1, received None"),
    "no samples": (lambda: fit(n_samples=-1), InputError, "^fit: expected n_samples of at least 1, received -1$"),
    "negative seed": (
        lambda: fit(seed=-1),
        InputError,
        r"^Noise: expected an integer seed from 0 to 2\^64 - 1, received -1",
    ),
    "fractional seed": (lambda: fit(seed=0.5), InputError, "^Noise: expected an integer seed .*, received 0.5"),
    "seed None": (lambda: fit(seed=None), InputError, "^Noise: expected an integer seed .*, received None"),
    "negative rate": (
        lambda: fit(learning_rate=-0.1),
        InputError,
        "^Adam: expected a positive learning_rate, received -0.1",
    ),
    "rate as text": (
        lambda: fit(learning_rate="1e-3"),
        InputError,
        "^Adam: expected a positive learning_rate, received '1e-3'",
    ),
    "KL weight": (
        lambda: fit(kl_weight=-1),
        InputError,
        "^fit: expected kl_weight as a number of at least 0 .*, received -1",
    ),
    "KL weight None": (
        lambda: fit(kl_weight=None),
        InputError,
        "^fit: expected kl_weight as a number .*, received None",
    ),
    "clip norm 0": (lambda: fit(clip_norm=0), InputError, "^Adam: expected a positive clip_norm, received 0$"),
    "optimizer name": (
        lambda: fit(optimizer="adam"),
        InputError,
        r"^fit: expected an optimizer such as sv\.optim\.Adam, received 'adam'",
    ),
    "optimizer made": (
        lambda: fit(optimizer=Adam(small().parameters())),
        InputError,
        "^fit: expected an optimizer such as",
    ),
    "objective": (
        lambda: fit(objective="iwea"),
        InputError,
        "^fit: expected an objective among elbo, iwae for a VAE, received 'iwea'$",
    ),
    "device name": (lambda: fit(device="cuda"), InputError, '^device: expected "cpu" or "gpu", received \'cuda\'$'),
    "no run to resume": (lambda: fit(resume=True), InputError, "^resume: expected a run directory, received none"),
    "swapped": (
        lambda: sv.fit(ROWS, small()),
        InputError,
        r"^fit: expected a model, received ndarray \(fit\(model, data\)\)",
    ),
    # construction
    "activation": (
        lambda: small(activation="swish"),
        InputError,
        "^MLP: expected an activation among relu, .*, received 'swish'",
    ),
    "activation function": (
        lambda: small(activation=sv.ops.relu),
        InputError,
        "^MLP: expected an activation among relu, .*, received relu",
    ),
    "likelihood": (
        lambda: small(likelihood="student"),
        InputError,
        "^VAE.mlp: expected a likelihood among bernoulli, gaussian, .*, received 'student'$",
    ),
    "std word": (
        lambda: small(likelihood="gaussian", std="wide"),
        InputError,
        "^GaussianDecoder: expected std as a positive number, .*, received 'wide'",
    ),
    "std 0": (
        lambda: small(likelihood="gaussian", std=0),
        InputError,
        "^GaussianDecoder: expected std as a positive number, .*, received 0",
    ),
    "std NaN": (
        lambda: small(likelihood="gaussian", std=numpy.nan),
        InputError,
        "expected std as a positive number, .*, received nan",
    ),
    "binarize": (
        lambda: small(binarize="random"),
        InputError,
        "^VAE: expected binarize among none, threshold, static, dynamic, received 'random'",
    ),
    "binarize True": (lambda: small(binarize=True), InputError, "^VAE: expected binarize among .*, received True"),
    "binarize gaussian": (
        lambda: small(likelihood="gaussian", binarize="dynamic"),
        InputError,
        "^VAE: expected binarize=\"none\" with a likelihood other than Bernoulli, received 'dynamic'",
    ),
    "no latent unit": (
        lambda: small(latent_size=0),
        InputError,
        "^Linear: expected sizes of at least 1, received 4 -> 0",
    ),
    "half a unit": (
        lambda: small(latent_size=1.5),
        InputError,
        "^Linear: expected sizes of at least 1, received 4 -> 3.0",
    ),
    "hidden number": (
        lambda: small(hidden=400),
        InputError,
        r"^VAE.mlp: expected hidden as a sequence of widths, received 400 \(hidden=\(400,\)\)",
    ),
    "shape for size": (
        lambda: small(input_size=(28, 28)),
        InputError,
        r"^Linear: expected sizes of at least 1, received \(28, 28\) -> 4",
    ),
    "model seed": (lambda: small(seed=-3), InputError, "^Noise: expected an integer seed .*, received -3"),
    "one size": (lambda: MLP([3], sv.Noise(0)), InputError, r"^MLP: expected at least two sizes, received \[3\]"),
    "functions": (
        lambda: sv.VAE(lambda x: x, lambda z: z, 2),
        InputError,
        "^VAE: expected a Module as encoder, received function",
    ),
    "decoder's std": (
        lambda: GaussianDecoder(MLP([2, 6], sv.Noise(0)), True),
        InputError,
        "expected std as a positive number, .*, received True",
    ),
    # use
    "wrong code": (
        lambda: small().decode(numpy.zeros((3, 5))),
        ShapeError,
        r"^decode: expected z of shape \(\.\.\., 2\), received \(3, 5\)",
    ),
    "no code": (lambda: small().decode(None), DataError, "^decode: expected an array, received NoneType$"),
    "integer code": (
        lambda: small().decode(numpy.zeros((1, 2), int)),
        DataError,
        "^decode: expected an array of floating-point numbers, received int64",
    ),
    "samples": (lambda: small().sample(-1), InputError, "^sample: expected n of at least 1, received -1"),
    "sample shape": (
        lambda: small().sample((2, 2)),
        InputError,
        r"^sample: expected n of at least 1, received \(2, 2\)",
    ),
    "sample seed": (lambda: small().sample(1, seed=-1), InputError, "^Noise: expected an integer seed .*, received -1"),
    "scores of nothing": (
        lambda: sv.evaluate(small(), ROWS, n_samples=0),
        InputError,
        "^evaluate: expected n_samples from 1 to 100000, received 0",
    ),
    # linear models and checks; tests/linear/test_ppca.py has more
    "components": (
        lambda: sv.linear.PPCA(D).fit(ROWS),
        InputError,
        "^PPCA: expected n_components from 1 to 5, below the number of columns, n_features = 6, received 6$",
    ),
    "unfitted": (
        lambda: sv.linear.PPCA(1).score(ROWS),
        InputError,
        r"^PPCA.score_samples: expected a fitted PPCA, received one that is not \(fit\(X\) first\)",
    ),
    "3-D quadrature": (
        lambda: exact_posterior(small(latent_size=3), ROWS[:1]),
        InputError,
        "^exact_posterior: expected one or two latent units, received 3",
    ),
    "quadrature of many": (
        lambda: exact_posterior(small().to(dtype="float64"), ROWS),
        InputError,
        r"^exact_posterior: expected one row, x\[i : i \+ 1\], received shape \(12, 6\)",
    ),
    # engine and distributions
    "kl pair": (
        lambda: sv.kl(Normal(ROWS, ROWS), Bernoulli(ROWS)),
        InputError,
        r"^kl: expected a pair among \(Normal, Normal\), .*, received \(Normal, Bernoulli\) \(register_kl adds one\)",
    ),
    "kl of arrays": (
        lambda: sv.kl(ROWS, ROWS),
        InputError,
        r"^kl: expected a pair among .*, received \(ndarray, ndarray\)",
    ),
    "event": (
        lambda: Normal(ROWS, ROWS).log_prob(ROWS[:, :1]),
        ShapeError,
        r"^Normal.log_prob: expected x of shape \(\.\.\., 6\), received \(12, 1\)",
    ),
    "labels as numbers": (
        lambda: Categorical(ROWS).log_prob(LABELS.astype(float)),
        ShapeError,
        "^Categorical.log_prob: expected integer labels, received float64",
    ),
    "integer Tensor": (
        lambda: sv.Tensor(LABELS),
        DataError,
        "^Tensor: expected an array of floating-point numbers, received int64",
    ),
    "loss of rows": (
        lambda: sv.grad(small().elbo(ROWS, sv.Noise(0)), []),
        ShapeError,
        r"^grad: expected a scalar Tensor as loss, received shape \(12,\) \(sum or average it",
    ),
    "one Tensor wanted": (
        lambda: sv.grad(sv.ops.sum(sv.Tensor(ROWS) * 1.0), sv.Tensor(ROWS)),
        InputError,
        "^grad: expected a list of Tensors to differentiate by, received Tensor",
    ),
    # files and data sets
    "data set name": (
        lambda: sv.data.load("minst"),
        InputError,
        "^load: expected drawn-digits, drawn-faces, .*mnist.*, or the path of .*, received 'minst'",
    ),
    "no model file": (
        lambda: sv.load("nothing.npz"),
        DataError,
        r"^load nothing\.npz: expected a file, received nothing there",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(mistake):
    misuse, error, sentence = MISTAKES[mistake]
    with pytest.raises(error, match=sentence) as raised:
        misuse()
    kinds = [kind for kind in type(raised.value).__mro__ if kind.__name__ != "NotFittedError"]  # scikit-learn's
    assert kinds[0] is error and "\n" not in str(raised.value)


def test_the_table_is_not_small():
    assert len(DATA) + len(MISTAKES) > 70


def test_channels_first_in_a_file(tmp_path):
    path = tmp_path / "images.npy"
    numpy.save(path, IMAGES.transpose(0, 3, 1, 2))
    with pytest.raises(
        DataError, match=r"images of .*: .* \(12, 3, 4, 4\) \(channels come last: x\.transpose\(0, 2, 3, 1\)\)"
    ):
        sv.data.load(path)


@pytest.mark.parametrize(
    "action", [lambda: fit(device="gpu"), lambda: small().to("gpu"), lambda: sv.Noise(0, device="gpu")]
)
def test_a_missing_gpu(monkeypatch, action):
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    with pytest.raises(DeviceError, match=r'device="gpu": expected CuPy, received .*cupy.* \(pip install'):
        action()


def test_cupy_without_a_gpu(monkeypatch):
    def none():
        raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")

    runtime = SimpleNamespace(getDeviceCount=none)
    monkeypatch.setitem(__import__("sys").modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(runtime=runtime)))
    with pytest.raises(DeviceError, match="expected an NVIDIA GPU, received none that CuPy can use: cudaErrorNoDevice"):
        small().to("gpu")


def test_every_error_of_a_caller_is_one_that_the_command_line_knows():
    assert issubclass(InputError, ValueError) and all(
        issubclass(e, InputError) for e in (ShapeError, DataError, DeviceError)
    )
    assert str(InputError("op", "a", "b", "c")) == "op: expected a, received b (c)" and os.linesep not in str(
        InputError("", "", "")
    )


def test_an_optimizer_whose_parameters_have_moved_is_refused():
    model = sv.VAE.mlp(10, 2, (4,))
    optimizer = sv.optim.Adam(model.parameters())
    model.to(dtype="float64")
    with pytest.raises(InputError, match="Adam: expected parameters as this optimizer holds them, received one moved"):
        optimizer.step()


def test_lists_and_dicts_of_tensors_and_modules_are_parameters():
    class Network(sv.nn.Module):
        def __init__(self):
            self.scales = [sv.Tensor(numpy.ones(2)), sv.Tensor(numpy.ones(3))]
            self.heads = {"a": sv.nn.Linear(2, 3, sv.Noise(0))}

    assert list(Network().named_parameters()) == ["scales.0", "scales.1", "heads.a.weight", "heads.a.bias"]


def test_equality_is_entry_by_entry_and_a_tensor_can_be_a_key():
    x = sv.Tensor(numpy.array([0.0, 1.0]))
    assert (x == 0.0).tolist() == [True, False] and (x != 0.0).tolist() == [False, True]
    assert {x: 1}[x] == 1 and sv.to_numpy(abs(-x)).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: sv.check_gradients(sv.ops.tanh, numpy.ones(2), order=0), "order of at least 1, received 0"),
        (lambda: sv.optim.LinearSchedule(0.0, 1.0, 0), "n_steps of at least 1"),
        (lambda: sv.data.load(None), "the name of a data set or a path, received NoneType"),
        (lambda: sv.VAE.mlp(4, 2, (3,)).to(dtype="int32"), "a floating-point dtype, received int32"),
        (lambda: sv.binarization.binarize(numpy.ones((2, 2)), "statik", sv.Noise(0)), "a mode among"),
    ],
)
def test_small_mistakes(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()
