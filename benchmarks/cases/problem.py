"""The input that all peers of a case share: minibatches, initial parameters and the shape of the noise."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy


class NotHere(Exception):
    """NotHere tells that this machine or a library cannot measure something, and why; this is no failure."""


def no_change(array: numpy.ndarray) -> Any:
    """Returns the array unchanged."""
    return array


@dataclass
class Problem:
    """data: arrays (B, M, ...), B minibatches in turn.   parameters: initial values by the names of our model

    noise: the shape of the noise e of one step, or None.   rate: the learning rate of Adam
    facts: all other numbers that a peer needs
    """

    data: dict[str, numpy.ndarray]
    noise: tuple[int, ...] | None = None
    parameters: dict[str, numpy.ndarray] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    rate: float = 1e-3

    @property
    def n_batches(self) -> int:
        """Returns B."""
        return len(next(iter(self.data.values())))

    def batches(self, convert: Callable[[numpy.ndarray], Any] = no_change) -> list[tuple[Any, ...]]:
        """Yields the arrays of each minibatch, converted."""
        return [tuple(map(convert, arrays)) for arrays in zip(*self.data.values(), strict=True)]

    def save(self, path: Path) -> None:
        """Writes a file from which another process reads the same problem."""
        parts = {
            f"{part}/{name}": array for part in ("data", "parameters") for name, array in asdict(self)[part].items()
        }
        numpy.savez(path, about=numpy.array(json.dumps([self.noise, self.facts, self.rate])), **parts)

    @classmethod
    def read(cls, path: Path) -> Problem:
        """Reads that file."""
        with numpy.load(path) as file:
            noise, facts, rate = json.loads(str(file["about"]))
            data, parameters = (
                {name.removeprefix(part): file[name] for name in file.files if name.startswith(part)}
                for part in ("data/", "parameters/")
            )
        return cls(data, None if noise is None else tuple(noise), parameters, facts, rate)
