"""The rows of the MNIST table in docs/results.md: each trains a model, scores it, and measures the time.

usage: python -m benchmarks mnist [--data-dir DIR] [--rows NAME ...] [--seeds SEED ...] [--out FILE]

Each result is written to its file at once, and not measured again.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy

import scratchvae as sv
from benchmarks.arguments import parser as options_of
from benchmarks.jobs import Job, Results, command

PROGRAM = "python -m benchmarks mnist"
ROWS: dict[str, dict[str, Any]] = {
    "grey": {},
    "dynamic": {"binarize": "dynamic", "importance_samples": 1000},
    "gaussian": {"likelihood": "gaussian", "std": "learned", "importance_samples": 1000},
    "pytorch grey": {},
}
EPOCHS = 10


def main(arguments: list[str]) -> None:
    """Trains and scores the chosen rows."""
    parser = options_of("mnist", __doc__, "mnist.json")
    parser.add_argument("--data-dir", help="folder with the files of the data set (default: $SCRATCHVAE_DATA)")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="seeds of the trainings (default: 0)")
    options = parser.parse_args(arguments)
    train, test = sv.data.load("mnist", options.data_dir)
    results = Results(options.out)
    for name in options.rows:
        run = pytorch if name.startswith("pytorch") else scratchvae
        for seed in options.seeds:
            measured = partial(run, train.images, test.images, seed, **ROWS[name])
            print(results.measure(job(name, seed), measured), flush=True)


def job(row: str, seed: int) -> Job:
    """Returns the description of a job: one training and its scores."""
    described = {"row": row, "seed": seed, "epochs": EPOCHS}
    return described | {"command": command(PROGRAM, ["--rows", row, "--seeds", seed])}


def scratchvae(
    train: numpy.ndarray, test: numpy.ndarray, seed: int, importance_samples: int | None = None, **settings: Any
) -> dict[str, Any]:
    """Returns the test scores of 784-400-20 relu, Glorot, batch 128, Adam 1e-3, in nats, and the training's seconds."""
    model = sv.VAE.mlp(784, 20, (400,), "relu", seed=seed, **settings)
    start = time.perf_counter()
    sv.fit(model, train, epochs=EPOCHS, batch_size=128, learning_rate=1e-3, seed=seed, progress=False)
    seconds = round(time.perf_counter() - start, 1)
    scores = sv.evaluate(model, test, seed=seed)
    result = {"seconds": seconds} | {name: scores[name] for name in ("elbo", "elbo_standard_error")}
    if importance_samples:
        start = time.perf_counter()
        log_px, error, effective = sv.log_likelihood(model, test, importance_samples, seed)
        result |= {
            "log_px": log_px.mean(),
            "log_px_standard_error": log_px.std(ddof=1) / len(log_px) ** 0.5,
            "monte_carlo_error_per_image": error.mean(),
            "effective_sample_size": effective.mean(),
            "importance_samples": importance_samples,
            "importance_seconds": round(time.perf_counter() - start, 1),
        }
    if model.decoder.likelihood is sv.distributions.Normal:
        result["std"] = float(model.decode(numpy.zeros((1, 20), dtype=numpy.float32)).std)
    return result


def pytorch(train: numpy.ndarray, test: numpy.ndarray, seed: int) -> dict[str, Any]:
    """Returns the same for PyTorch, with the same model, initial values and batches, but its own noise."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, linear, relu

    train, test = torch.tensor(train.reshape(-1, 784)), torch.tensor(test.reshape(-1, 784))
    torch.manual_seed(seed)
    arrays = [sv.to_numpy(p) for p in sv.VAE.mlp(784, 20, (400,), "relu", seed=seed).parameters()]
    parameters = [torch.nn.Parameter(torch.tensor(w.T.copy() if w.ndim == 2 else w)) for w in arrays]
    w1, b1, w2, b2, w3, b3, w4, b4 = parameters
    adam = torch.optim.Adam(parameters, lr=1e-3)

    def negative_elbo(x: Any) -> Any:
        m, log_s = linear(relu(linear(x, w1, b1)), w2, b2).chunk(2, dim=1)
        z = m + log_s.exp() * torch.randn_like(m)
        a = linear(relu(linear(z, w3, b3)), w4, b4)
        kl = 0.5 * (m.square() + (2 * log_s).exp() - 2 * log_s - 1).sum()
        return binary_cross_entropy_with_logits(a, x, reduction="sum") + kl

    start = time.perf_counter()
    for epoch in range(EPOCHS):
        order = torch.tensor(sv.Noise(seed, epoch).permutation("order", len(train)))
        for rows in order.split(128):
            adam.zero_grad()
            (negative_elbo(train[rows]) / len(rows)).backward()
            adam.step()
    seconds = round(time.perf_counter() - start, 1)
    with torch.no_grad():
        elbo = -sum(float(negative_elbo(x)) for x in test.split(1000)) / len(test)
    return {"seconds": seconds, "elbo": elbo}
