"""What all scores share: data are checked, moved and binarised, and decoded in chunks, so that memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy

from scratchvae.alphabet import strings_of
from scratchvae.arrays import is_array
from scratchvae.autodiff import no_grad
from scratchvae.backend import asarray, to_numpy
from scratchvae.binarization import binarize
from scratchvae.columns import is_table
from scratchvae.noise import Noise, SharedNoise
from scratchvae.pixels import Pixels

CHUNK_ENTRIES = 2**20
"""The largest samples x classes x rows x entries that summed_weights decodes at once; elbo_terms uses 8 times this."""
GPU_CHUNK = 16
"""The factor of CHUNK_ENTRIES on a GPU, which small pieces would leave idle; 2^24 entries of float32 are 64 MiB."""
MOST_SAMPLES = 100_000
"""The most draws of z for one row that `evaluate`, `elbo` and `VAE.impute` take. `impute` decodes them all at once."""


def observations(model: Any, x: Any) -> Any:
    """Returns checked data on the model's device; strings, Pixels and tables of the model's kind are not moved."""
    if isinstance(x, Prepared):
        return x
    if hasattr(model, "columns") and is_table(x):
        return model.observations(x)
    moved = (is_array(x) or model.device != "cpu") and not isinstance(x, (str, Pixels)) and strings_of(x) is None
    return model.observations(asarray(x, model.device) if moved else x)


def prepared(model: Any, x: Any, seed: int) -> Any:
    """Returns checked and binarised data on the model's device; Pixels are converted later, when rows are read."""
    x, noise = observations(model, x), Noise(seed, device=model.device)
    if isinstance(x, Pixels):
        return Prepared(model, x, noise)
    return model.prepare_batch(model.prepare_data(x, noise), noise)


class Prepared:
    """Converts Pixels for the scores of a model: `x[start:stop]` are floats, binarised by draws of each row."""

    def __init__(self, model: Any, pixels: Pixels, noise: Noise) -> None:
        self.model, self.pixels, self.noise, self.shape = model, pixels, noise, pixels.shape

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: slice) -> Any:
        first_row = rows.indices(len(self))[0]
        return binarize(self.pixels[rows].numbers(self.model.device), self.model.binarize, self.noise, first_row)


def rows_at_once(model: Any, x: Any, n_samples: int) -> int:
    """Returns how many rows of x are decoded at once, n_samples times each, for every class if there are classes."""
    entries = CHUNK_ENTRIES * (GPU_CHUNK if model.device == "gpu" else 1)
    return max(1, entries // (n_samples * getattr(model, "n_classes", 1) * model.entries(x)))


def elbo_terms(
    model: Any, x: Any, n_samples: int, seed: int, same_draws: bool = False, batch_size: int = 1000
) -> numpy.ndarray:
    """Returns E_q[log p(x | z)] and KL(q(z | x) || p(z)) for every row of x, prepared data.   (2, N), float64"""
    n_draws = min(n_samples, rows_at_once(model, x, 1))
    n_rows = min(batch_size, 8 * rows_at_once(model, x, n_draws))
    means: list[Any] = []
    with no_grad():
        for rows, chunks in _batches(model, x, n_rows, n_samples, n_draws, seed, same_draws):
            mean: Any = 0
            for noise, n in chunks:
                terms = [to_numpy(term) for term in model.elbo_terms(rows, noise, n)]
                mean = mean + n / n_samples * numpy.stack(terms).astype(numpy.float64)
            means.append(mean)
    return numpy.concatenate(means, axis=1)


def summed_weights(
    model: Any, x: Any, log_weights: Any, n_samples: int, seed: int, same_draws: bool = False
) -> tuple[Any, Any]:
    """Returns log sum over s of w_s and log sum over s of w_s^2 for every row, in float64.   (..., N), (..., N)

    x: prepared data. log_weights(rows, noise, n_samples) returns log w_s, (S, ..., rows).
    """
    n_draws = min(n_samples, 100)
    n_rows = rows_at_once(model, x, n_draws)
    sums: list[Any] = []
    with no_grad():
        for rows, chunks in _batches(model, x, n_rows, n_samples, n_draws, seed, same_draws):
            log_sums: list[Any] = [-numpy.inf, -numpy.inf]
            for noise, n in chunks:
                log_w = to_numpy(log_weights(rows, noise, n)).astype(numpy.float64)
                parts = [numpy.logaddexp.reduce(power * log_w, axis=0) for power in (1, 2)]
                log_sums = [numpy.logaddexp(a, b) for a, b in zip(log_sums, parts, strict=True)]
            sums.append(log_sums)
    log_sum, log_square = (numpy.concatenate(part, axis=-1) for part in zip(*sums, strict=True))
    return log_sum, log_square


def _batches(
    model: Any, x: Any, n_rows: int, n_samples: int, n_draws: int, seed: int, same_draws: bool
) -> Iterator[tuple[Any, Iterator[tuple[Any, int]]]]:
    """Yields n_rows rows of x at a time, with (noise, number of samples) for chunks of n_draws of their samples.

    Every chunk has a noise of its own; with same_draws, the chunks of a batch have those of the first batch.
    """
    n_chunks = -(-n_samples // n_draws)

    def chunks(first_step: int) -> Iterator[tuple[Any, int]]:
        for i in range(n_chunks):
            noise = Noise(seed, first_step + i, model.device)
            yield SharedNoise(noise) if same_draws else noise, min(n_draws, n_samples - i * n_draws)

    for batch, start in enumerate(range(0, len(x), n_rows)):
        yield x[start : start + n_rows], chunks(0 if same_draws else batch * n_chunks)
