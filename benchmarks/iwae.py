"""VAE and importance-weighted VAE on MNIST, after Burda, Grosse & Salakhutdinov (2016), compared with PyTorch.

usage: python -m benchmarks iwae [--data-dir DIR] [--rows NAME ...] [--seeds SEED ...] [--stages I] [--runs DIR]
                                 [--device cpu|gpu] [--out FILE]

The model is 784-200-200-50 tanh, with pixels binarised anew at every step and batches of 20; stage i = 0, 1, 2, ... has
the learning rate 1e-3 * 10^(-i/7) for 3^i epochs. scratchvae scores every model, with 5,000 importance samples on one
binarised test set. Each result is written to its file at once, with its model beside it, and not measured again. A
training by scratchvae leaves a run directory in --runs, from which it resumes after a stop, or for more stages.
"""

from __future__ import annotations

import argparse
import math
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy

import scratchvae as sv
from benchmarks.arguments import parser as options_of
from benchmarks.jobs import Job, Results, command

PROGRAM = "python -m benchmarks iwae"
ROWS = {
    "vae k=1": ("scratchvae", "elbo", 1),
    "vae k=5": ("scratchvae", "elbo", 5),
    "vae k=50": ("scratchvae", "elbo", 50),
    "iwae k=5": ("scratchvae", "iwae", 5),
    "iwae k=50": ("scratchvae", "iwae", 50),
    "pytorch vae k=1": ("pytorch", "elbo", 1),
    "pytorch iwae k=5": ("pytorch", "iwae", 5),
}
TABLE = ("vae k=1", "iwae k=5", "pytorch vae k=1", "pytorch iwae k=5")
BATCH_SIZE = 20
EPS = 1e-4 / BATCH_SIZE  # the paper's eps belongs to the sum over a batch, this one to its mean
IMPORTANCE_SAMPLES = 5000


def main(arguments: list[str]) -> None:
    """Trains and scores the chosen rows."""
    parser = options_of("iwae", __doc__, "iwae.json")
    parser.add_argument("--data-dir", help="folder with the files of the data set (default: $SCRATCHVAE_DATA)")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(TABLE))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="seeds of the trainings (default: 0)")
    parser.add_argument(
        "--stages",
        type=int,
        default=3,
        help="number of stages; 1, 2, 3, 4, ... stages have 1, 4, 13, 40, ... epochs (default: 3)",
    )
    parser.add_argument("--runs", default="runs/iwae", help="folder of the run directories (default: %(default)s)")
    parser.add_argument(
        "--device", choices=["cpu", "gpu"], default="cpu", help="device for the rows of scratchvae (default: cpu)"
    )
    options = parser.parse_args(arguments)
    train, test = (part.images.reshape(-1, 784) for part in sv.data.load("mnist", options.data_dir))
    results = Results(options.out)
    for seed in options.seeds:
        for name in options.rows:
            measured = partial(measure, name, options.stages, seed, train, test, options)
            described = job(name, options.stages, seed, options.device)
            print(results.measure(described, measured, options.device), flush=True)


def job(row: str, stages: int, seed: int, device: str = "cpu") -> Job:
    """Returns the description of a job: one training and its scores."""
    described = {"row": row, "seed": seed, "epochs": epochs(stages)}
    arguments = ["--rows", row, "--stages", stages, "--seeds", seed, *(["--device", device] if device != "cpu" else [])]
    return described | {"command": command(PROGRAM, arguments)}


def measure(
    row: str, stages: int, seed: int, train: numpy.ndarray, test: numpy.ndarray, options: argparse.Namespace
) -> dict[str, Any]:
    """Trains a model, saves it beside the results, and scores it."""
    framework, objective, k = ROWS[row]
    start = time.perf_counter()
    model, name = initial_model(train, seed), row.replace(" ", "-")
    if framework == "pytorch":
        fit_by_pytorch(model, train, objective, k, stages, seed)
    else:
        model.to(options.device)
        fit(model, train, objective, k, stages, seed, Path(options.runs) / f"{name}-seed-{seed}")
    seconds = time.perf_counter() - start
    sv.save(model, Path(options.out).with_name(f"{name}-{epochs(stages)}-epochs-seed-{seed}.npz"))
    return score(model, test) | {"training_seconds": round(seconds, 1)}


def epochs(stages: int) -> int:
    """n = 1 + 3 + 9 + ... + 3^(stages - 1)"""
    return (3**stages - 1) // 2


def learning_rate(step: int, steps_per_epoch: int) -> float:
    """rate = 1e-3 * 10^(-i/7) in stage i, which lasts 3^i epochs"""
    stage = next(i for i in range(100) if step < epochs(i + 1) * steps_per_epoch)
    return 1e-3 * 10 ** (-stage / 7)


def initial_model(train: numpy.ndarray, seed: int) -> sv.VAE:
    """Returns a model with Glorot uniform weights and zero biases; the output's bias is the logit of the mean image."""
    model = sv.VAE.mlp(784, 50, (200, 200), "tanh", binarize="dynamic", seed=seed)
    mean = train.mean(axis=0, dtype=numpy.float64).clip(0.001, 0.999)
    model.decoder.network.layers[-1].bias.data[...] = numpy.log(mean / (1 - mean))
    return model


def fit(
    model: sv.VAE, train: numpy.ndarray, objective: str, k: int, stages: int, seed: int, run_dir: Path | None = None
) -> sv.VAE:
    """Trains by `scratchvae.fit`, from the last checkpoint of the run directory."""
    rate = partial(learning_rate, steps_per_epoch=math.ceil(len(train) / BATCH_SIZE))
    optimizer = partial(sv.optim.Adam, eps=EPS)
    options = {"learning_rate": rate, "optimizer": optimizer, "n_samples": k, "objective": objective}
    options |= {"run_dir": run_dir, "resume": run_dir is not None and (run_dir / "config.json").exists()}
    sv.fit(model, train, epochs=epochs(stages), batch_size=BATCH_SIZE, seed=seed, progress=False, **options)
    return model


def fit_by_pytorch(model: sv.VAE, train: numpy.ndarray, objective: str, k: int, stages: int, seed: int) -> sv.VAE:
    """Trains the same model by PyTorch, from the same initial values on the same batches, with its own noise."""
    import torch
    from torch.distributions import Normal, kl_divergence
    from torch.nn.functional import binary_cross_entropy_with_logits

    torch.manual_seed(seed)
    parameters = [torch.nn.Parameter(torch.tensor(sv.to_numpy(x))) for x in model.parameters()]
    adam = torch.optim.Adam(parameters, eps=EPS)
    train = torch.tensor(train)
    prior = Normal(torch.zeros(50), torch.ones(50))

    def perceptron(x: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any) -> Any:
        return torch.tanh(torch.tanh(x @ w1 + b1) @ w2 + b2) @ w3 + b3

    def bound(x: Any) -> Any:
        mean, log_std = perceptron(x, *parameters[:6]).chunk(2, dim=1)
        q = Normal(mean, log_std.exp(), validate_args=False)
        z = q.rsample((k,))
        logits = perceptron(z, *parameters[6:])
        log_p = -binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)
        if objective == "elbo":
            return log_p.mean(0) - kl_divergence(q, prior).sum(-1)
        return (log_p + (prior.log_prob(z) - q.log_prob(z)).sum(-1)).logsumexp(0) - math.log(k)

    step, steps_per_epoch = 0, math.ceil(len(train) / BATCH_SIZE)
    for epoch in range(epochs(stages)):
        for rows in sv.data.minibatches(len(train), BATCH_SIZE, sv.Noise(seed, epoch)):
            adam.param_groups[0]["lr"] = learning_rate(step, steps_per_epoch)
            adam.zero_grad()
            (-bound(torch.bernoulli(train[torch.from_numpy(rows)])).mean()).backward()
            adam.step()
            step += 1
    for x, trained in zip(model.parameters(), parameters, strict=True):
        x.data[...] = trained.detach().numpy()
    return model


def score(model: sv.VAE, test: numpy.ndarray) -> dict[str, Any]:
    """Returns the mean of log p(x) over the test set, with its standard error over images, and the ELBO."""
    start = time.perf_counter()
    log_px, error, effective = sv.log_likelihood(model, test, IMPORTANCE_SAMPLES)
    seconds = time.perf_counter() - start
    scores = sv.evaluate(model, test, n_samples=10)
    return {
        "log_px": log_px.mean(),
        "log_px_standard_error": log_px.std(ddof=1) / math.sqrt(len(log_px)),
        "monte_carlo_error_per_image": error.mean(),
        "median_effective_sample_size": float(numpy.median(effective)),
        "elbo": scores["elbo"],
        "elbo_standard_error": scores["elbo_standard_error"],
        "active_units": scores["active_units"],
        "scoring_seconds": round(seconds, 1),
    }
