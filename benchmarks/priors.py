"""A VAE of MNIST with the priors Normal(0, I), a learned mixture of Gaussians and VampPrior, under one budget.

784-300-40 relu, pixels binarised once, 20,000 rows for 10 epochs of batches of 100, the learning rate of Adam 1e-3; 100
components or pseudo-inputs. Every model is scored by the ELBO on all 10,000 test images and by log p(x) on the first
500, with 1,000 importance samples. Each result is written to its file at once, and not measured again.
"""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Any

import numpy

import scratchvae as sv
from benchmarks.arguments import parser
from benchmarks.jobs import Job, Results, command
from scratchvae.models import PRIORS

PROGRAM = "python -m benchmarks priors"
LATENT, HIDDEN, COMPONENTS = 40, (300,), 100
ROWS, EPOCHS, BATCH_SIZE, RATE = 20_000, 10, 100, 1e-3
SCORED, IMPORTANCE_SAMPLES = 500, 1000


def main(arguments: list[str]) -> None:
    """Trains and scores a model with each chosen prior."""
    options = parser("priors", __doc__, "priors.json")
    options.add_argument("--data-dir", metavar="DIR", help="folder with MNIST's files (default: $SCRATCHVAE_DATA)")
    options.add_argument(
        "--rows", nargs="+", choices=PRIORS, default=list(PRIORS), help="priors to measure (default: all)"
    )
    options.add_argument(
        "--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="seeds of the trainings (default: 0)"
    )
    options = options.parse_args(arguments)
    train, test = (part.images.reshape(-1, 784) for part in sv.data.load("mnist", options.data_dir))
    results = Results(options.out)
    for seed in options.seeds:
        for prior in options.rows:
            measured = partial(measure, prior, seed, train[:ROWS], test)
            print(results.measure(job(prior, seed), measured), flush=True)


def job(prior: str, seed: int) -> Job:
    """Returns the description of a job: one training and its scores."""
    described = {"row": prior, "seed": seed, "rows": ROWS, "epochs": EPOCHS, "components": COMPONENTS}
    return described | {"command": command(PROGRAM, ["--rows", prior, "--seeds", seed])}


def measure(prior: str, seed: int, train: numpy.ndarray, test: numpy.ndarray) -> dict[str, Any]:
    """Trains and scores a model."""
    settings = {"binarize": "static", "prior": prior, "n_components": COMPONENTS, "seed": seed}
    model = sv.VAE.mlp(train.shape[1], LATENT, HIDDEN, **settings)
    start = time.perf_counter()
    sv.fit(model, train, epochs=EPOCHS, batch_size=BATCH_SIZE, learning_rate=RATE, seed=seed, progress=False)
    seconds = time.perf_counter() - start
    scores = sv.evaluate(model, test)
    log_px, error, effective = sv.log_likelihood(model, test[:SCORED], IMPORTANCE_SAMPLES)
    names = ("elbo", "elbo_standard_error", "reconstruction", "kl", "active_units")
    return {name: scores[name] for name in names} | {
        "elbo_of_scored": float(sv.elbo(model, test[:SCORED], n_samples=10).mean()),
        "log_px": log_px.mean(),
        "log_px_standard_error": log_px.std(ddof=1) / math.sqrt(len(log_px)),
        "monte_carlo_error_per_image": error.mean(),
        "median_effective_sample_size": float(numpy.median(effective)),
        "training_seconds": round(seconds, 1),
    }
