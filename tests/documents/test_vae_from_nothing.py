"""The VAE whose gradients are written by hand, against the engine."""

import importlib.util
from pathlib import Path

import numpy
import pytest

import scratchvae as sv
from scratchvae.noise import GivenNoise


@pytest.fixture(scope="module")
def by_hand():
    path = Path(__file__).parents[2] / "examples" / "vae_from_nothing.py"
    spec = importlib.util.spec_from_file_location("vae_from_nothing", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def setting(by_hand, rng):
    """A model of 12 pixels, 7 hidden and 3 latent units in float64, with data, noise and its parameters as arrays."""
    model = sv.VAE.mlp(input_size=12, latent_size=3, hidden=(7,)).to(dtype="float64")
    for x in model.parameters():
        x.data += 0.1 * rng.standard_normal(x.shape)
    return model, [x.data.copy() for x in model.parameters()], rng.random((5, 12)), rng.standard_normal((5, 3))


def test_elbo_and_gradients_equal_the_engines(by_hand, setting):
    model, parameters, x, e = setting
    elbo, saved = by_hand.elbo(parameters, x, e)
    expected = model.elbo(x, GivenNoise(e[None]))
    numpy.testing.assert_allclose(elbo, sv.to_numpy(expected), rtol=1e-13)
    gradients = by_hand.gradients(parameters, x, e, saved)
    for received, wanted in zip(gradients, sv.grad(sv.ops.mean(expected), model.parameters()), strict=True):
        numpy.testing.assert_allclose(received, wanted, rtol=1e-11, atol=1e-14)


def test_adam_equals_the_packages(by_hand, setting):
    model, parameters, x, e = setting
    adam, optimizer = by_hand.Adam(parameters), sv.optim.Adam(model.parameters())
    for _ in range(10):
        adam.step(by_hand.gradients(parameters, x, e, by_hand.elbo(parameters, x, e)[1]))
        sv.grad(-sv.ops.mean(model.elbo(x, GivenNoise(e[None]))), optimizer.parameters, out=optimizer.gradients)
        optimizer.step()
    for received, wanted in zip(parameters, optimizer.parameters, strict=True):
        numpy.testing.assert_allclose(received, wanted.data, rtol=1e-9, atol=1e-12)


def test_decode_equals_the_models(by_hand, setting):
    model, parameters, _, e = setting
    numpy.testing.assert_allclose(by_hand.decode(parameters, e), model.decode(e).mean, rtol=1e-12)


def test_is_short_and_uses_no_engine(by_hand):
    source = Path(by_hand.__file__).read_text()
    assert len(source.splitlines()) <= 145
    assert not any(name in source for name in ("sv.ops", "sv.Tensor", "sv.grad", "sv.nn", "sv.VAE"))


def test_quick_run_leaves_a_picture(by_hand, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sv.data.DATASETS, "drawn-digits", lambda data_dir, seed: sv.data.draw_digits(1100).cut(1000))
    by_hand.main(["--quick", "--out", str(tmp_path)])
    assert (tmp_path / "vae_from_nothing.png").stat().st_size > 1000
    first, second = (float(line.split()[3]) for line in capsys.readouterr().out.splitlines()[:2])
    assert -600 < first < second < -100
