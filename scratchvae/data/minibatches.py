"""The order in which an epoch meets the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scratchvae.backend import asarray
from scratchvae.noise import Noise


def minibatches(n: int, size: int, noise: Noise) -> Iterator[Any]:
    """Arrays of row numbers that part a random permutation of 0, ..., n - 1: all of the size, but perhaps the last.

    The permutation depends on the noise's seed and step alone; give every epoch a step of its own.
    """
    order = asarray(noise.permutation("order", n), noise.device)
    return (order[start : start + size] for start in range(0, n, size))
