"""The rows of the README's MNIST table: what is trained, how it is scored, and how long it took.

usage: python -m benchmarks mnist [--data-dir DIR] [--rows NAME ...] [--out FILE]

Each row is written to the results file as soon as it is done.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy

import scratchvae as sv

ROWS: dict[str, dict[str, Any]] = {
    "grey": {"seeds": [0, 1, 2]},
    "dynamic": {"seeds": [0], "binarize": "dynamic", "importance_samples": 1000},
    "gaussian": {"seeds": [0], "likelihood": "gaussian", "std": "learned", "importance_samples": 1000},
    "pytorch grey": {"seeds": [0, 1, 2]},
}
EPOCHS = 10


def main(arguments: list[str]) -> None:
    """Train and score the rows that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks mnist", description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--out", default="benchmarks/results/mnist.json")
    options = parser.parse_args(arguments)
    train, test = sv.data.load("mnist", options.data_dir)
    out = Path(options.out)
    results = json.loads(out.read_text()) if out.exists() else {}
    for name in options.rows:
        run = pytorch if name.startswith("pytorch") else scratchvae
        results[name] = run(train.images, test.images, **ROWS[name])
        print(name, json.dumps(results[name]), flush=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(results, indent=2) + "\n")


def scratchvae(
    train: numpy.ndarray, test: numpy.ndarray, seeds: list[int], importance_samples: int | None = None, **model: Any
) -> dict[str, Any]:
    """784-400-20 relu, Glorot, batch 128, Adam 1e-3: test scores, one per seed, in nats."""
    elbos, seconds, result = [], [], {}
    for seed in seeds:
        vae = sv.VAE.mlp(784, 20, (400,), "relu", seed=seed, **model)
        start = time.perf_counter()
        sv.fit(vae, train, epochs=EPOCHS, batch_size=128, learning_rate=1e-3, seed=seed, progress=False)
        seconds.append(round(time.perf_counter() - start, 1))
        scores = sv.evaluate(vae, test, seed=seed)
        elbos.append(scores["elbo"])
        if importance_samples:
            start = time.perf_counter()
            log_px, error, effective = sv.log_likelihood(vae, test, importance_samples, seed)
            result = {
                "log_px": log_px.mean(),
                "log_px_standard_error": log_px.std(ddof=1) / len(log_px) ** 0.5,
                "monte_carlo_error_per_image": error.mean(),
                "effective_sample_size": effective.mean(),
                "importance_samples": importance_samples,
                "importance_seconds": round(time.perf_counter() - start, 1),
            }
        if vae.decoder.likelihood is sv.distributions.Normal:
            result["std"] = float(vae.decode(numpy.zeros((1, 20), dtype=numpy.float32)).std)
    return _row(elbos, seconds) | {"elbo_standard_error": scores["elbo_standard_error"]} | result


def pytorch(train: numpy.ndarray, test: numpy.ndarray, seeds: list[int]) -> dict[str, Any]:
    """The same model, initial values and batches by PyTorch, with its own noise."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, linear, relu

    train, test = torch.tensor(train.reshape(-1, 784)), torch.tensor(test.reshape(-1, 784))
    elbos, seconds = [], []
    for seed in seeds:
        torch.manual_seed(seed)
        arrays = [sv.to_numpy(p) for p in sv.VAE.mlp(784, 20, (400,), "relu", seed=seed).parameters()]
        parameters = [torch.nn.Parameter(torch.tensor(w.T.copy() if w.ndim == 2 else w)) for w in arrays]
        w1, b1, w2, b2, w3, b3, w4, b4 = parameters
        adam = torch.optim.Adam(parameters, lr=1e-3)

        def negative_elbo(x, w1=w1, b1=b1, w2=w2, b2=b2, w3=w3, b3=b3, w4=w4, b4=b4):
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
        seconds.append(round(time.perf_counter() - start, 1))
        with torch.no_grad():
            elbos.append(-sum(float(negative_elbo(x)) for x in test.split(1000)) / len(test))
    return _row(elbos, seconds)


def _row(elbos: list[float], seconds: list[float]) -> dict[str, Any]:
    spread = stdev(elbos) if len(elbos) > 1 else None
    return {"elbo": mean(elbos), "elbos": elbos, "spread_over_seeds": spread, "seconds": seconds, "epochs": EPOCHS}
