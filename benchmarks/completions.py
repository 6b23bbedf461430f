"""Which draws of z complete a drawing?   python -m benchmarks completions RUN [--n N] [--out FILE]

Given the first half of the points of each of N test drawings, the probability of the true second half by SketchRNN in
RUN is estimated: log p(rest | prefix) = log E[p(rest | prefix, z)] over p(z | prefix). With draws z_s of a proposal q,

    sum of w_s p(rest | prefix, z_s) / sum of w_s,    w_s = p(prefix | z_s) p(z_s) / q(z_s)

estimates the expectation. Draws of the prior, and of the encoder, which reads the prefix as a whole drawing, are also
used without weights. The table has the mean over the drawings, in nats, with its standard error; the same for the
differences from the fitted q; and the median effective sample size. It takes two and a half minutes on one core.

The proposals: the prior p(z); the encoder's q(z | prefix); both, with the mean of both densities as q; and the q that
`SketchRNN.complete` fits to the prefix, with its 400 draws.
"""

from __future__ import annotations

import json
from typing import Any

import numpy

import scratchvae as sv
from benchmarks.arguments import parser as options_of
from scratchvae.autodiff import no_grad
from scratchvae.distributions.sketch import n_points
from scratchvae.errors import InputError

FITTED, FEW = "fitted q, weighted", 400
END = numpy.array([[0, 0, 0, 0, 1]], dtype=numpy.float32)
DECODED_AT_ONCE = 1000  # draws


def main(arguments: list[str]) -> None:
    parser = options_of("completions", __doc__, "completions.json")
    parser.add_argument("run", help="run with --model sketch on drawn-sketches, or its checkpoint")
    parser.add_argument("--n", type=int, default=100, help="number of test drawings (100)")
    parser.add_argument(
        "--draws", type=int, default=5000, help="number of draws of the prior, and of the encoder (5000)"
    )
    options = parser.parse_args(arguments)
    model = sv.load(options.run)
    if not isinstance(model, sv.SketchRNN) or model.latent_size == 0:
        raise InputError("completions", "a SketchRNN with a latent space", str(options.run))
    x = sv.data.load("drawn-sketches")[1].sketches
    results = table(model, x[n_points(x) > 1][: options.n], options.draws)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    print(options.out.read_text())


def table(model: sv.SketchRNN, x: numpy.ndarray, n_draws: int) -> dict[str, dict[str, float]]:
    """Returns a dict from each proposal to its figures.   x (N, T, 5)"""
    rows = [estimates(model, drawing[: int(n_points(drawing)) + 1], n_draws, seed) for seed, drawing in enumerate(x)]
    results = {}
    for name in rows[0]:
        log_p, effective = numpy.array([row[name] for row in rows]).T
        lost = numpy.array([row[FITTED][0] for row in rows]) - log_p
        figures = {"log_p": log_p.mean(), "log_p_error": error(log_p), "lost": lost.mean(), "lost_error": error(lost)}
        figures["median_effective"] = numpy.median(effective)
        results[name] = {key: round(float(value), 2) for key, value in figures.items()}
    return results


def estimates(model: sv.SketchRNN, drawing: numpy.ndarray, n_draws: int, seed: int) -> dict[str, tuple[float, float]]:
    """Returns log p(rest | first half) and the effective sample size by proposal, for a drawing (T, 5) with its end."""
    prefix, noise = drawing[: (len(drawing) - 1) // 2], sv.Noise(seed)
    q = model.encode(numpy.concatenate([prefix, END])[None])
    drawn = {
        "prior": model.prior_draws(n_draws, seed),
        "encoder": q.sample(noise.normal("encoder", (n_draws, *q.shape)))[:, 0],
    }
    sets = {}
    for name, z in drawn.items():
        log_prefix = log_density(model, prefix, z)
        log_p, log_q = model.prior.log_prob(z), q.log_prob(z[:, None])[:, 0]
        sets[name] = numpy.stack([log_density(model, drawing, z) - log_prefix, log_prefix, log_p, log_q])
    results = {}
    for name in ("encoder", "prior"):
        results[f"{name}, {n_draws} draws without weights"] = estimate(sets[name][0], numpy.zeros(n_draws))
    rest, log_prefix, *_ = sets["prior"]
    results[f"prior, {n_draws} weighted"] = estimate(rest, log_prefix)
    for n in (min(FEW, n_draws), n_draws):
        rest, log_prefix, log_p, log_q = numpy.concatenate([part[:, :n] for part in sets.values()], axis=1)
        log_w = log_prefix + log_p - numpy.logaddexp(log_p, log_q) + numpy.log(2)
        results[f"prior and encoder, {n} + {n} weighted"] = estimate(rest, log_w)
    z, log_w = model.log_weights_of_prefix(prefix, FEW, seed)
    results[FITTED] = estimate(log_density(model, drawing, z) - log_density(model, prefix, z), log_w)
    return results


def estimate(log_rest: numpy.ndarray, log_w: numpy.ndarray) -> tuple[float, float]:
    """Returns the log of the weighted mean of p(rest | prefix, z_s), and the effective sample size.   (S,), (S,)"""
    log_sum, log_square = numpy.logaddexp.reduce(log_w), numpy.logaddexp.reduce(2 * log_w)
    return numpy.logaddexp.reduce(log_w + log_rest) - log_sum, numpy.exp(2 * log_sum - log_square)


def log_density(model: sv.SketchRNN, rows: numpy.ndarray, z: Any) -> numpy.ndarray:
    """log p(rows | z) in nats; without an end the rows are a prefix.   (T, 5), (S, K) -> (S,), float64"""
    parts = [z[start : start + DECODED_AT_ONCE, None] for start in range(0, len(z), DECODED_AT_ONCE)]
    with no_grad():
        return numpy.concatenate([model.decode(part).log_prob(rows[None])[:, 0] for part in parts]).astype(float)


def error(values: numpy.ndarray) -> float:
    """Returns the standard error of the mean."""
    return values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else numpy.inf
