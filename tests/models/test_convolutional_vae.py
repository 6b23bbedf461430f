"""The convolutional VAE: against PyTorch, SciPy and differences, and in every place where a VAE is used."""

import json
import tracemalloc

import numpy
import pytest
from scipy import special, stats

import scratchvae as sv
from scratchvae import checkpoint, plotting
from scratchvae.cli import main
from scratchvae.distributions import Bernoulli
from scratchvae.errors import DataError, InputError, ShapeError
from scratchvae.models.real_decoders import INITIAL_STD, SMALLEST_STD
from scratchvae.nn import ConvolutionalNetwork, TransposedConvolutionalNetwork
from scratchvae.noise import GivenNoise

SHAPE, K, N = (5, 4, 2), 2, 3
LIKELIHOODS = {
    "bernoulli": {"likelihood": "bernoulli"},
    "fixed std": {"likelihood": "gaussian", "std": 0.25},
    "learned std": {"likelihood": "gaussian", "std": "learned"},
    "decoder std": {"likelihood": "gaussian", "std": "decoder"},
}
SIZES = [(28, 28, 1), (32, 32, 3), (64, 64, 3), (28, 20, 1), (9, 11, 2)]


def small(kind="bernoulli", dtype=numpy.float64, **settings):
    """A VAE of few units whose biases are not zero, with sides that do not halve evenly."""
    settings = {"image_shape": SHAPE, "latent_size": K, "channels": (3, 2), "activation": "tanh"} | settings
    model = sv.VAE.convolutional(**settings | LIKELIHOODS[kind]).to(dtype=numpy.float64)
    rng = numpy.random.default_rng(3)
    for x in model.parameters():
        x.data += 0.3 * rng.standard_normal(x.shape)
    return model.to(dtype=dtype)


@pytest.fixture
def x(rng):
    return rng.uniform(0.05, 0.95, (N, *SHAPE))


@pytest.fixture(scope="module")
def digits():
    return sv.data.draw_digits(96).images


# ---- against other computations


@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_the_networks_equal_pytorchs(shape, rng):
    torch = pytest.importorskip("torch")
    channels = (4, 3)
    encoder = ConvolutionalNetwork(shape, channels, 5, sv.Noise(0))
    decoder = TransposedConvolutionalNetwork(5, channels, shape, sv.Noise(1))
    for x in [*encoder.parameters(), *decoder.parameters()]:
        x.data = x.data + 0.1 * rng.standard_normal(x.shape)
    images, z = rng.standard_normal((2, *shape)), rng.standard_normal((2, 5))

    def tensor(x):
        return torch.tensor(sv.to_numpy(x))

    h = tensor(images).permute(0, 3, 1, 2)
    for layer in encoder.convolutions:
        kernel = tensor(layer.kernel).permute(3, 2, 0, 1)
        h = torch.relu(torch.nn.functional.conv2d(h, kernel, tensor(layer.bias), stride=2, padding=1))
    y = h.permute(0, 2, 3, 1).flatten(1) @ tensor(encoder.linear.weight) + tensor(encoder.linear.bias)
    numpy.testing.assert_allclose(encoder(images).data, y.numpy(), rtol=1e-12, atol=1e-12)

    h = tensor(z) @ tensor(decoder.linear.weight) + tensor(decoder.linear.bias)
    h = h.reshape(2, shape[0] // 4, shape[1] // 4, 3).permute(0, 3, 1, 2)
    for layer, sides in zip(decoder.convolutions, ([n // 2 for n in shape[:2]], shape[:2]), strict=True):
        odd = [n % 2 for n in sides]
        kernel = tensor(layer.kernel).permute(3, 2, 0, 1)
        h = torch.nn.functional.conv_transpose2d(
            torch.relu(h), kernel, tensor(layer.bias), stride=2, padding=1, output_padding=odd
        )
    numpy.testing.assert_allclose(decoder(z).data, h.permute(0, 2, 3, 1).numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_the_terms_equal_those_of_scipy(kind, x, rng):
    model, e = small(kind), rng.standard_normal((4, N, K))
    if kind == "bernoulli":
        x = x.round()
    code = model.encoder.network(x).data
    mean, std = code[:, :K], numpy.exp(code[:, K:])
    z = mean + std * e
    output = model.decoder.network(z).data
    assert output.shape == (4, N, 5, 4, 4 if kind == "decoder std" else 2)
    if kind == "bernoulli":
        log_px = stats.bernoulli(special.expit(output)).logpmf(x)
    else:
        sigma = 0.25
        if kind == "learned std":
            sigma = SMALLEST_STD + numpy.exp(model.decoder.raw_log_std.data)
        if kind == "decoder std":
            sigma = SMALLEST_STD + numpy.exp(output[..., 2:])
        log_px = stats.norm(output[..., :2], sigma).logpdf(x)
    reconstruction, kl = (term.data for term in model.elbo_terms(x, GivenNoise(e), 4))
    rtol = 1e-6 if kind == "fixed std" else 1e-10  # log 0.25 was rounded to float32
    numpy.testing.assert_allclose(reconstruction, log_px.sum(axis=(2, 3, 4)).mean(axis=0), rtol=rtol)
    numpy.testing.assert_allclose(kl, 0.5 * (mean**2 + std**2 - 1 - 2 * numpy.log(std)).sum(axis=1), rtol=1e-10)
    log_w = log_px.sum(axis=(2, 3, 4)) + (stats.norm.logpdf(z) - stats.norm(mean, std).logpdf(z)).sum(axis=-1)
    numpy.testing.assert_allclose(model.log_weights(x, GivenNoise(e), 4).data, log_w, rtol=rtol)


def test_a_learned_standard_deviation_starts_at_that_of_grey_values():
    model = sv.VAE.convolutional(SHAPE, K, (3, 2), likelihood="gaussian", std="learned")
    std = float(model.decode(numpy.zeros((1, K), dtype=numpy.float32)).std)
    assert std == pytest.approx(INITIAL_STD + SMALLEST_STD, rel=1e-6) and INITIAL_STD == 0.3


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_gradients_by_all_parameters(kind, x):
    model = small(kind, channels=(3, 2) if kind == "bernoulli" else (2,))  # two convolutions once, then the likelihoods
    assert sv.check_gradients(lambda *_: model.elbo(x, sv.Noise(0), 2), *model.parameters(), order=1) < 1e-6


# ---- shapes, types, devices


@pytest.mark.parametrize("shape", SIZES, ids=str)
def test_images_and_rows_are_taken_and_images_come_back(shape, rng):
    model = sv.VAE.convolutional(shape, K, channels=(4, 4))
    images = rng.random((N, *shape), dtype=numpy.float32)
    flat = images.reshape(N, -1)
    assert numpy.array_equal(model.elbo(images, sv.Noise(0), 2).data, model.elbo(flat, sv.Noise(0), 2).data)
    assert model.reconstruct(images).shape == images.shape and model.reconstruct(flat).shape == flat.shape
    assert model.sample(4).shape == (4, *shape) and model.encode(flat).mean.shape == (N, K)
    for leading in [(), (0,), (4, 3)]:
        assert model.decode(numpy.zeros((*leading, K), dtype=numpy.float32)).mean.shape == (*leading, *shape)


def test_images_without_their_one_channel_are_taken(digits):
    model = sv.VAE.convolutional(latent_size=K, channels=(2,))
    for x in (digits[..., 0], digits[:, None, :, :, 0]):
        assert numpy.array_equal(model.encode(x).mean, model.encode(digits).mean)
        assert model.reconstruct(x).shape == x.shape


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_float32_in_gives_float32_out(kind, x):
    model, x = small(kind, numpy.float32), x.astype(numpy.float32)
    results = [*model.elbo_terms(x, sv.Noise(0), 2), model.elbo(x, sv.Noise(0)), model.log_weights(x, sv.Noise(0))]
    results += sv.grad(sv.ops.sum(results[2]), model.parameters())
    results += [model.encode(x).mean, model.reconstruct(x), model.sample(3)]
    assert {result.dtype for result in results} == {numpy.dtype("float32")}
    numpy.testing.assert_allclose(results[2].data, small(kind).elbo(x.astype(float), sv.Noise(0)).data, rtol=1e-4)


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_the_elbo_and_its_gradients_on_another_device(kind, x, gpu, rng):
    e = rng.standard_normal((2, N, K))
    values, gradients = [], []
    for model, data, draws in [
        (small(kind), x, e),
        (small(kind).to("gpu"), gpu.asarray(x), gpu.asarray(e)),
    ]:
        elbo = model.elbo(data, GivenNoise(draws), 2)
        values.append(sv.to_numpy(elbo))
        gradients.append([sv.to_numpy(g) for g in sv.grad(sv.ops.sum(elbo), model.parameters())])
    numpy.testing.assert_allclose(*values, rtol=1e-10)
    for cpu, other in zip(*gradients, strict=True):
        numpy.testing.assert_allclose(other, cpu, rtol=1e-8, atol=1e-10)


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_training_on_another_device(gpu, digits):
    model = sv.VAE.convolutional(latent_size=K, channels=(4, 4), binarize="dynamic")
    history = sv.fit(
        model,
        digits[:32],
        epochs=3,
        batch_size=12,
        learning_rate=5e-3,
        validation=digits[32:40],
        device="gpu",
        progress=False,
    )
    assert model.device == "gpu" and history["elbo"][-1] > history["elbo"][0] + 10
    assert type(model.sample(2)) is gpu.ndarray


# ---- training, files, scores, pictures


def train(digits, **settings):
    model = sv.VAE.convolutional(latent_size=8, channels=(8, 16), binarize="dynamic", seed=1)
    settings = {"epochs": 4, "batch_size": 16, "learning_rate": 3e-3, "progress": False, "seed": 2} | settings
    return model, sv.fit(model, digits, **settings)


def test_training_learns(digits):
    model, history = train(digits, epochs=30, learning_rate=5e-3)
    assert history["elbo"][-1] > -190 and history["active_units"][-1] == 8
    error = ((model.reconstruct(digits) - digits) ** 2).mean()
    assert error < 0.9 * ((digits.mean(axis=0) - digits) ** 2).mean()


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_a_run_resumes_to_the_same_bits(digits, tmp_path):
    whole, _ = train(digits, epochs=2)
    train(digits, epochs=1, run_dir=tmp_path / "run")
    resumed, history = train(digits, epochs=2, run_dir=tmp_path / "run", resume=True)
    assert history["epoch"] == [1, 2]
    loaded = sv.load(tmp_path / "run" / "last.npz").state()
    for name, array in whole.state().items():
        assert numpy.array_equal(array, resumed.state()[name]) and numpy.array_equal(array, loaded[name])


@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_a_model_comes_back(kind, dtype, x, tmp_path):
    model = small(kind, dtype, image_shape=[numpy.int64(n) for n in SHAPE])
    sv.save(model, tmp_path / "model.npz")
    loaded = sv.load(tmp_path / "model.npz")
    assert repr(loaded) == repr(model) and loaded.dtype == dtype
    assert json.loads(json.dumps(loaded.configuration)) == loaded.configuration
    assert numpy.array_equal(loaded.reconstruct(x), model.reconstruct(x))


def configurations():
    good = small("learned std").configuration
    for name, values in {
        "image_shape": [[10**12] * 3, [10**4000] * 3, [5, 4], [5, 4, 2, 1], [5, 4.0, 2], 784, "abc", None, [-5, 4, 2]],
        "channels": [[10**6] * 2, [10**4000], [3] * 20_000, [], [3, "2"], 3, None, [0], {"3": 3}, [True, 2]],
        "latent_size": [10**9, 2**24, [2], None, 0],
        "hidden": [[4]],
        "likelihood": [["bernoulli"], 3],
        "std": [[0.1], "wide"],
    }.items():
        yield from (good | {name: value} for value in values)
    yield {"constructor": "VAE.convolutional"}


@pytest.mark.parametrize("configuration", list(configurations()), ids=lambda value: json.dumps(value)[34:80])
def test_a_file_that_asks_for_another_model_is_refused_before_it_is_built(configuration, tmp_path):
    path = tmp_path / "model.npz"
    checkpoint.write(path, {"configuration": configuration}, checkpoint.model_arrays(small("learned std")))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"^[\w ./-]*(: |: \(.*)expected "):
            sv.load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_scores_are_computed_in_bounded_memory(rng):
    model = sv.VAE.convolutional((64, 64, 3), K, (8, 8, 8), likelihood="gaussian", std="learned")
    x = rng.random((3, 64, 64, 3), dtype=numpy.float32)
    tracemalloc.start()
    try:
        log_px, error, effective = sv.log_likelihood(model, x, 300)
        scores = sv.evaluate(model, x, n_samples=400)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert log_px.shape == error.shape == effective.shape == (3,) and scores["n"] == 3
    assert peak < 400 * 2**20
    assert (log_px > scores["elbo"] - 20).all() and numpy.isfinite(log_px).all()


def test_pictures(digits, tmp_path):
    grey, colour = sv.VAE.convolutional(latent_size=2, channels=(2,)), sv.VAE.convolutional((8, 8, 3), 2, (2,))
    for model, x in [(grey, digits[:6]), (colour, numpy.zeros((6, 8, 8, 3), dtype=numpy.float32))]:
        for figure in (
            plotting.samples(model, n=9),
            plotting.reconstructions(model, x),
            plotting.decoder_manifold(model, n=4),
        ):
            plotting.save_figure(figure, tmp_path / "figure.png")
            assert (tmp_path / "figure.png").stat().st_size > 1000


def test_own_networks_for_images(digits):
    encoder = sv.models.GaussianEncoder(ConvolutionalNetwork((28, 28, 1), (2,), 2 * K, sv.Noise(0)))
    network = TransposedConvolutionalNetwork(K, (2,), (28, 28, 1), sv.Noise(1))
    model = sv.VAE(encoder, sv.models.BernoulliDecoder(network, event_ndim=3), K, observed_shape=(28, 28, 1))
    assert model.elbo(digits, sv.Noise(0)).shape == (len(digits),)
    assert type(model.decode(numpy.zeros((1, K), dtype=numpy.float32))) is Bernoulli


def test_a_model_prints_its_maps():
    assert repr(sv.VAE.convolutional((64, 64, 3), 32, (16, 8), likelihood="gaussian", std="decoder")) == (
        "VAE, 205,166 parameters, binarize=none\n"
        "  p(z)      Normal(0, I)    z (32,)    no parameters\n"
        "  p(x | z)  Normal(mean = TransposedConvolutionalNetwork(32 -> 16 x 16 x 8 -> 32 x 32 x 16 -> 64 x 64 x 6, "
        "relu), std = decoder)    x (64, 64, 3)    71,190 parameters\n"
        "  q(z | x)  Normal(mean and log std = ConvolutionalNetwork(64 x 64 x 3 -> 32 x 32 x 16 -> 16 x 16 x 8 -> 64, "
        "relu))    z (32,)    133,976 parameters"
    )


# ---- what is refused

REFUSED = {
    "too many halvings": (
        {"channels": (4,) * 5},
        r"an image of at least 2\^5 x 2\^5 pixels for 5 channels, .* received 28 x 28 \(at most 4 channels fit\)",
    ),
    "channels first": ({"image_shape": (1, 28, 28)}, r"an image of at least 2\^2 x 2\^2 .* received 1 x 28"),
    "no image": ({"image_shape": (784,)}, r"image_shape as \(H, W, C\), each at least 1, received \(784,\)"),
    "a number": ({"image_shape": 784}, r"image_shape as \(H, W, C\), each at least 1, received 784"),
    "no channels": ({"channels": ()}, "channels as a sequence of counts, received "),
    "one number": ({"channels": 32}, r"channels as a sequence of counts, received 32 \(channels=\(32, 64\)\)"),
    "no count": ({"channels": (32, 0)}, "channels as a sequence of counts, received "),
    "activation": ({"activation": "swish"}, "an activation among relu"),
    "likelihood": (
        {"likelihood": "student"},
        "a likelihood among bernoulli, gaussian, .*, received 'student'",
    ),
    "std": ({"likelihood": "gaussian", "std": "wide"}, "std as a positive number"),
    "latent": ({"latent_size": 0}, "sizes of at least 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_settings_give_one_sentence(name):
    settings, sentence = REFUSED[name]
    with pytest.raises(InputError, match=rf"^[\w.]+: expected {sentence}"):
        sv.VAE.convolutional(**settings)


def test_images_of_another_form_are_refused():
    model = sv.VAE.convolutional((8, 4, 3), K, (2,))
    for shape, hint in [((2, 3, 8, 4), r" \(channels come last: x.transpose\(0, 2, 3, 1\)\)"), ((2, 4, 8, 3), "")]:
        with pytest.raises(ShapeError, match=f"^VAE: expected rows of 8 x 4 x 3 entries, received shape .*{hint}$"):
            model.encode(numpy.zeros(shape, dtype=numpy.float32))
    with pytest.raises(DataError, match="values in"):
        model.encode(numpy.full((2, 8, 4, 3), 2, dtype=numpy.float32))


# ---- the command line


def command(digits, directory, *more):
    numpy.savez(directory / "digits.npz", images=digits[:40])
    return main(
        ["train", "--data", str(directory / "digits.npz"), "--run-dir", str(directory / "run"), "--quiet"]
        + ["--epochs", "1", *more]
    )


@pytest.mark.filterwarnings("ignore::scratchvae.PosteriorCollapseWarning")
def test_train_resume_evaluate_sample(digits, tmp_path, capsys):
    assert command(digits, tmp_path, "--model", "conv", "--channels", "4", "2", "--activation", "relu") == 0
    out = capsys.readouterr().out
    assert "ConvolutionalNetwork(28 x 28 x 1 -> 14 x 14 x 4 -> 7 x 7 x 2 -> 4, relu)" in out
    options = json.loads((tmp_path / "run" / "config.json").read_text())["options"]
    assert options["model"] == "conv" and options["channels"] == [4, 2]
    assert len(list((tmp_path / "run" / "figures").iterdir())) == 7  # no labels, no directions
    run = str(tmp_path / "run")
    assert main(["train", "--resume", run, "--epochs", "2", "--quiet", "--no-pictures"]) == 0
    assert main(["evaluate", run, "--importance-samples", "5"]) == 0
    assert main(["sample", run, "--n", "3", "--out", str(tmp_path / "s.npy")]) == 0
    assert numpy.load(tmp_path / "s.npy").shape == (3, 28, 28, 1)
    capsys.readouterr()
    assert main(["train", "--resume", run, "--hidden", "5"]) == 2
    assert (
        "train: expected --hidden with --model mlp, m2, m1+m2, table, received --model conv" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (
            ["--model", "conv", "--hidden", "5"],
            "train: expected --hidden with --model mlp, m2, m1+m2, table, received --model conv",
        ),
        (["--channels", "5"], "train: expected --channels with --model conv, m2-conv, received --model mlp"),
        (["--model", "conv", "--channels", *"11111"], "an image of at least 2^5 x 2^5 pixels for 5 channels"),
        (["--model", "conv", "--channels"], "--channels: expected at least one argument"),
        (["--model", "transformer"], "--model: invalid choice"),
    ],
)
def test_options_that_do_not_fit_are_refused(more, sentence, digits, tmp_path, capsys):
    assert command(digits, tmp_path, *more) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1 and not (tmp_path / "run").exists()


def test_rows_that_are_no_images_are_refused(tmp_path, capsys):
    assert command(numpy.zeros((40, 10), dtype=numpy.float32), tmp_path, "--model", "conv") == 2
    assert "--model conv: expected images (N, H, W, C), received vectors (32, 10)" in capsys.readouterr().err


@pytest.mark.parametrize("activation", ["tanh", "softplus", "leaky_relu"])
def test_the_networks_apply_their_activation(activation, rng):
    """Behind every convolution but the last of the way back, and nowhere else."""
    a, shape = getattr(sv.ops, activation), (8, 8, 2)
    network = ConvolutionalNetwork(shape, (3, 4), 5, sv.Noise(1), activation)
    x = rng.standard_normal((6, *shape)).astype(numpy.float32)
    first, second = network.convolutions
    h = sv.to_numpy(a(second(a(first(x)))).data).reshape(6, -1)
    numpy.testing.assert_allclose(network(x).data, network.linear(h).data, rtol=1e-5, atol=1e-6)

    network = TransposedConvolutionalNetwork(5, (3, 4), shape, sv.Noise(1), activation)
    z = rng.standard_normal((6, 5)).astype(numpy.float32)
    first, second = network.convolutions
    h = sv.to_numpy(a(network.linear(z)).data).reshape(6, 2, 2, 4)
    numpy.testing.assert_allclose(network(z).data, second(a(first(h))).data, rtol=1e-5, atol=1e-6)


def test_convolutions_of_ones_own_know_of_no_activation():
    class Twice(sv.nn.Conv2d):
        def __call__(self, x):
            return 2 * super().__call__(x)

    class TransposedTwice(sv.nn.ConvTranspose2d):
        def __call__(self, x, output_shape=None):
            return 2 * super().__call__(x, output_shape)

    x, z = numpy.ones((2, 8, 8, 1), numpy.float32), numpy.ones((2, 3), numpy.float32)
    there = ConvolutionalNetwork((8, 8, 1), (2, 2), 3, sv.Noise(1))
    back = TransposedConvolutionalNetwork(3, (2, 2), (8, 8, 1), sv.Noise(1))
    expected = there(x).data.copy(), back(z).data.copy()
    for network, kind in ((there, Twice), (back, TransposedTwice)):
        for convolution in network.convolutions:
            convolution.__class__ = kind
            convolution.kernel.data[...] /= 2
    numpy.testing.assert_array_equal(there(x).data, expected[0])
    numpy.testing.assert_array_equal(back(z).data, expected[1])
