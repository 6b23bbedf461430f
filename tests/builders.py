"""What several files of tests build: models of a few units, and short runs."""

import json
import math

import numpy

import scratchvae as sv
from scratchvae.distributions import Normal
from scratchvae.nn import Module
from scratchvae.optim import LinearSchedule

# ---- models

D, K, N = 6, 2, 5
LIKELIHOODS = {
    "bernoulli": {"likelihood": "bernoulli"},
    "fixed std": {"likelihood": "gaussian", "std": 0.3},
    "learned std": {"likelihood": "gaussian", "std": "learned"},
    "decoder std": {"likelihood": "gaussian", "std": "decoder"},
}


class LinearGaussian(Module):
    """q(z | x) = Normal((x - c) A, diag(s^2)),   p(x | z) = Normal(z W + c, t^2 I)"""

    def __init__(self, weight, centre, std, inverse, posterior_std):
        self.likelihood = Normal
        self.weight, self.centre, self.log_std = sv.Tensor(weight), centre, numpy.array(math.log(std))
        self.inverse, self.posterior_log_std = sv.Tensor(inverse), numpy.log(posterior_std)

    def encode(self, x):
        mean = (x - self.centre) @ self.inverse
        return Normal(mean, self.posterior_log_std + 0 * mean)

    def decode(self, z):
        return Normal(z @ self.weight + self.centre, self.log_std)


class Part(Module):
    """One half of a LinearGaussian as the encoder or the decoder of a VAE."""

    likelihood = Normal

    def __init__(self, whole, name):
        self.whole, self.name = whole, name

    def __call__(self, x):
        return getattr(self.whole, self.name)(x)


def small(kind, dtype=numpy.float64, **settings):
    """A VAE of a few units whose biases are not zero."""
    settings = {"input_size": D, "latent_size": K, "hidden": (4,), "activation": "tanh"} | LIKELIHOODS[kind] | settings
    model = sv.VAE.mlp(**settings).to(dtype=numpy.float64)
    noise = numpy.random.default_rng(3)
    for x in model.parameters():
        x.data += 0.3 * noise.standard_normal(x.shape)
    return model.to(dtype=dtype)


# ---- runs

EPOCHS, STEPS = 3, 4  # 45 rows in batches of 12: the last batch of an epoch has 9 rows
ENDLESS = 10**9


def data(seed=0):
    rng = numpy.random.default_rng(seed)
    x = 1 / (1 + numpy.exp(-4 * rng.standard_normal((45, 2)) @ rng.standard_normal((2, 10))))
    return x.astype(numpy.float32)


class Spy:
    """A learning rate that counts the steps, and at one of them does something else first."""

    def __init__(self, step=ENDLESS, action=None):
        self.step, self.action = step, action

    def __call__(self, step):
        if step == self.step:
            self.action()
        return 0.02 * 0.95**step

    def __repr__(self):
        return "0.02 * 0.95**step"


def train(run_dir, epochs=EPOCHS, resume=False, rate=None, x=None, **settings):
    model = sv.VAE.mlp(input_size=10, latent_size=2, hidden=(8,), activation="tanh", binarize="dynamic")
    x = data() if x is None else x
    settings = {"batch_size": 12, "seed": 3, "clip_norm": 5.0, "kl_weight": LinearSchedule(0.2, 1.0, 6)} | settings
    history = sv.fit(
        model,
        x,
        epochs=epochs,
        learning_rate=rate or Spy(),
        validation=x[:20],
        run_dir=run_dir,
        resume=resume,
        progress=False,
        **settings,
    )
    return model, history


def without_seconds(run_dir):
    metrics = run_dir / "metrics.jsonl"
    lines = metrics.read_text().splitlines() if metrics.exists() else []
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def arrays(path):
    with numpy.load(path) as file:
        return {name: file[name].tobytes() for name in file.files if name != "header"}


def assert_same_run(run_dir, whole):
    """Parameters, the state of the optimiser, the terms of the last epoch, the best checkpoint and the metrics."""
    for name in ("last.npz", "best.npz"):
        assert arrays(run_dir / name) == arrays(whole / name), name
    assert without_seconds(run_dir) == without_seconds(whole)
    assert sorted(path.name for path in run_dir.iterdir() if not path.name.startswith(".")) == [
        "best.npz",
        "config.json",
        "last.npz",
        "metrics.jsonl",
    ]
