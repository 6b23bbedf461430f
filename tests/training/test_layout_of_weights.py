"""The layout of exported weights: docs/layout.md is enough to compute the ELBO again without this package."""

import json
import sys

import numpy
import pytest
from scipy import special

import scratchvae as sv
from scratchvae.checkpoint import export
from scratchvae.errors import InputError
from scratchvae.noise import GivenNoise

RNG = numpy.random.default_rng(0)
MODELS = {
    "mlp": lambda: sv.VAE.mlp(63, 3, (8, 5), activation="tanh"),
    "conv": lambda: sv.VAE.convolutional((9, 7, 1), 3, channels=[4, 5], activation="tanh"),
}


def model_and_data(kind):
    """A model whose biases are not zero, images, the noise of one draw, and the ELBO of every image."""
    model = MODELS[kind]()
    for x in model.parameters():
        x.data += 0.2 * RNG.standard_normal(x.shape).astype("f4")
    images = RNG.uniform(size=(6, 9, 7, 1)).astype("f4")
    noise = RNG.standard_normal((1, 6, 3)).astype("f4")
    return model, images, noise, sv.to_numpy(model.elbo(images, GivenNoise(noise)))


def by_numpy(w, x, noise):
    """The ELBO of an MLP of the exported arrays w."""
    h = numpy.tanh(x.reshape(6, 63) @ w["encoder.network.layers.0.weight"] + w["encoder.network.layers.0.bias"])
    h = numpy.tanh(h @ w["encoder.network.layers.1.weight"] + w["encoder.network.layers.1.bias"])
    h = h @ w["encoder.network.layers.2.weight"] + w["encoder.network.layers.2.bias"]
    mean, log_std = h[:, :3], h[:, 3:]
    h = mean + numpy.exp(log_std) * noise[0]
    h = numpy.tanh(h @ w["decoder.network.layers.0.weight"] + w["decoder.network.layers.0.bias"])
    h = numpy.tanh(h @ w["decoder.network.layers.1.weight"] + w["decoder.network.layers.1.bias"])
    logits = h @ w["decoder.network.layers.2.weight"] + w["decoder.network.layers.2.bias"]
    log_p = (x.reshape(6, 63) * special.log_expit(logits) + (1 - x.reshape(6, 63)) * special.log_expit(-logits)).sum(1)
    return log_p - 0.5 * (mean**2 + numpy.exp(2 * log_std) - 1 - 2 * log_std).sum(1)


def by_torch(torch, w, x, noise):
    """The ELBO of a convolutional VAE of the exported arrays w, by PyTorch's own layers, channels first."""
    functional, x, noise = torch.nn.functional, torch.from_numpy(x), torch.from_numpy(noise)
    h = x.permute(0, 3, 1, 2)
    for i in range(2):
        kernel = w[f"encoder.network.convolutions.{i}.kernel"].permute(3, 2, 0, 1)
        h = torch.tanh(functional.conv2d(h, kernel, w[f"encoder.network.convolutions.{i}.bias"], 2, 1))
    h = h.permute(0, 2, 3, 1).reshape(6, -1)
    h = functional.linear(h, w["encoder.network.linear.weight"].T, w["encoder.network.linear.bias"])
    mean, log_std = h[:, :3], h[:, 3:]
    h = mean + log_std.exp() * noise[0]
    h = torch.tanh(functional.linear(h, w["decoder.network.linear.weight"].T, w["decoder.network.linear.bias"]))
    h = h.reshape(6, 2, 1, 5).permute(0, 3, 1, 2)
    for i, (height, width) in enumerate([(4, 3), (9, 7)]):
        kernel = w[f"decoder.network.convolutions.{i}.kernel"].permute(3, 2, 0, 1)
        more = (height - 2 * h.shape[2], width - 2 * h.shape[3])  # of an odd height or width
        bias = w[f"decoder.network.convolutions.{i}.bias"]
        h = functional.conv_transpose2d(h, kernel, bias, 2, 1, output_padding=more)
        h = torch.tanh(h) if i == 0 else h
    log_p = -functional.binary_cross_entropy_with_logits(h.permute(0, 2, 3, 1), x, reduction="none").sum((1, 2, 3))
    return (log_p - 0.5 * (mean**2 + (2 * log_std).exp() - 1 - 2 * log_std).sum(1)).numpy()


def test_an_npz_is_read_by_numpy_alone(tmp_path):
    model, x, noise, expected = model_and_data("mlp")
    export(model, tmp_path / "w.npz")
    with numpy.load(tmp_path / "w.npz") as file:
        header = json.loads(str(file["header"]))
        arrays = {name.removeprefix("model/"): file[name] for name in file.files if name.startswith("model/")}
        assert set(file.files) == {"header", *(f"model/{name}" for name in arrays)}
    assert header == {"format": "scratchvae 1", "configuration": model.configuration}
    numpy.testing.assert_allclose(by_numpy(arrays, x, noise), expected, rtol=1e-5)
    assert sv.load(tmp_path / "w.npz").state().keys() == model.state().keys() == arrays.keys()


@pytest.mark.parametrize("kind", MODELS)
def test_safetensors_are_read_by_their_own_library(tmp_path, kind):
    safetensors = pytest.importorskip("safetensors")
    model, x, noise, expected = model_and_data(kind)
    export(model, tmp_path / "w.safetensors")
    with safetensors.safe_open(tmp_path / "w.safetensors", "numpy") as file:
        assert json.loads(file.metadata()["configuration"]) == model.configuration
        arrays = {name: file.get_tensor(name) for name in file.keys()}
    assert {name: array.tobytes() for name, array in arrays.items()} == {
        name: numpy.asarray(array).tobytes() for name, array in model.state().items()
    }
    if kind == "mlp":
        numpy.testing.assert_allclose(by_numpy(arrays, x, noise), expected, rtol=1e-5)


def test_networks_of_missing_entries_stand_one_level_deeper_and_read_what_is_known():
    model, x = sv.VAE.mlp(3, 1, (4,), activation="tanh", missing=True), RNG.uniform(size=(5, 3)).astype("f4")
    x[:2, 0] = x[3, 2] = numpy.nan
    w = model.state()
    u = numpy.concatenate([numpy.where(numpy.isnan(x), 0, x), ~numpy.isnan(x)], axis=1)
    h = numpy.tanh(u @ w["encoder.network.network.layers.0.weight"] + w["encoder.network.network.layers.0.bias"])
    h = h @ w["encoder.network.network.layers.1.weight"] + w["encoder.network.network.layers.1.bias"]
    numpy.testing.assert_allclose(model.encode(x).mean, h[:, :1], rtol=1e-5, atol=1e-6)
    assert {name.split(".layers")[0] for name in w if name.startswith("decoder")} == {"decoder.decoder.network"}
    counts = {name.split(".layers")[0] for name in sv.VAE.mlp(3, 1, (4,), likelihood="poisson").state()}
    assert counts == {"encoder.network.network", "decoder.network", "prior.mean", "prior.log_std"}


@pytest.mark.parametrize(
    ("prior", "shapes"),
    [
        ("normal", {"mean": (2,), "log_std": (2,)}),
        ("mixture", {"logits": (4,), "means": (4, 2), "log_stds": (4, 2)}),
        ("vamp", {"pseudo_inputs": (4, 3)}),
    ],
)
def test_the_arrays_of_a_prior_are_zeros_unless_it_is_learned(prior, shapes):
    model = sv.VAE.mlp(3, 2, (4,), prior=prior, n_components=4)
    sv.fit(model, RNG.uniform(size=(8, 3)), epochs=1, progress=False)
    arrays = {name.removeprefix("prior."): x for name, x in model.state().items() if name.startswith("prior.")}
    assert {name: x.shape for name, x in arrays.items()} == shapes
    assert all((x == 0).all() == (prior == "normal") for x in arrays.values())


def test_pytorch_computes_the_elbo_of_a_convolutional_model(tmp_path):
    torch = pytest.importorskip("torch")
    model, x, noise, expected = model_and_data("conv")
    export(model, tmp_path / "w.npz")
    with numpy.load(tmp_path / "w.npz") as file:
        arrays = {name.removeprefix("model/"): torch.from_numpy(file[name]) for name in file.files if name != "header"}
    numpy.testing.assert_allclose(by_torch(torch, arrays, x, noise), expected, rtol=1e-5)


def test_pytorch_computes_the_elbo_of_safetensors(tmp_path):
    torch, tensors = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    model, x, noise, expected = model_and_data("conv")
    export(model, tmp_path / "w.safetensors")
    arrays = tensors.load_file(tmp_path / "w.safetensors")
    numpy.testing.assert_allclose(by_torch(torch, arrays, x, noise), expected, rtol=1e-5)


def test_other_suffixes_and_a_missing_library_get_one_sentence(tmp_path, monkeypatch):
    model = MODELS["mlp"]()
    with pytest.raises(InputError, match=r"^export: expected the suffix \.safetensors or \.npz, received '.*w\.pt'$"):
        export(model, tmp_path / "w.pt")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(
        InputError, match=r"expected the package safetensors, received none \(pip install safetensors\)"
    ):
        export(model, tmp_path / "w.safetensors")
    assert list(tmp_path.iterdir()) == []
