"""A device compared with the CPU: 20 training steps of every kind of model, with the same values, batches and noise.

In float64, the parameters and the objective must agree closely; in float32, only the objective must. Adam divides a
gradient by its own size, so a gradient that consists of rounding errors moves a parameter as much as any other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy

import scratchvae as sv
from benchmarks.rows import Rows, settings
from benchmarks.smoke import EXAMPLES, Example
from scratchvae.backend import asarray
from scratchvae.objectives import choose
from scratchvae.scoring import observations

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}


class NoiseOfTheCPU:
    """NoiseOfTheCPU gives the numbers of sv.Noise(seed, step) on the CPU as arrays on a device."""

    def __init__(self, noise: sv.Noise, device: str) -> None:
        self.noise, self.device, self.training = noise, device, noise.training

    def normal(self, name: str, shape: tuple[int, ...]) -> Any:
        return asarray(self.noise.normal(name, shape), self.device)

    def uniform(self, name: str, shape: tuple[int, ...]) -> Any:
        return asarray(self.noise.uniform(name, shape), self.device)

    def permutation(self, name: str, n: int) -> numpy.ndarray:
        return self.noise.permutation(name, n)

    def child(self, name: str) -> NoiseOfTheCPU:
        return NoiseOfTheCPU(self.noise.child(name), self.device)

    def of_rows(self, part: slice) -> NoiseOfTheCPU:
        return self

    def without_rows(self) -> NoiseOfTheCPU:
        return self


def train(
    make: Callable[[int], Example], device: str, dtype: str, steps: int, batch_size: int
) -> tuple[list[float], list[numpy.ndarray]]:
    """Returns the objective at every step of two epochs, and the final parameters.

    The steps are those of `fit`, but `fit` would draw its noise on the device.
    """
    model, x, options = make(steps // 2 * batch_size)
    model.to(device, dtype)
    x = observations(model, x)
    n_samples, clip_norm = options.pop("n_samples", 1), options.pop("clip_norm", None)
    objective = choose(model, options.pop("objective", "elbo"), **options)
    optimizer = sv.optim.Adam(model.parameters(), clip_norm=clip_norm)
    data, values = model.prepare_data(x, NoiseOfTheCPU(sv.Noise(0), device)), list[Any]()
    for epoch in range(2):
        for rows, *others in objective.batches(len(x), batch_size, sv.Noise(0, epoch, device)):
            noise = NoiseOfTheCPU(sv.Noise(0, len(values), training=True), device)
            batch = model.augment(model.prepare_batch(data[rows], noise), noise)
            value, _ = objective.value(batch, *others, noise, n_samples, 1.0)
            sv.grad(-value, optimizer.parameters, out=optimizer.gradients)
            optimizer.step()
            values.append(float(value))
    return values, [sv.to_numpy(parameter) for parameter in optimizer.parameters]


def difference(
    make: Callable[[int], Example], device: str, dtype: str, steps: int = 20, batch_size: int = 64
) -> dict[str, Any]:
    """Returns the largest differences from the CPU: of the parameters, and of the objective as a fraction.

    Raises ArithmeticError if one exceeds its tolerance, or is not finite.
    """
    (expected, cpu), (received, there) = (train(make, where, dtype, steps, batch_size) for where in ("cpu", device))
    parameters = float(numpy.max([abs(a - b).max() for a, b in zip(cpu, there, strict=True)]))
    drift = float(abs(numpy.divide(received, expected) - 1).max())
    judged = numpy.maximum(drift, parameters) if dtype == "float64" else drift
    if not judged <= TOLERANCE[dtype]:
        words = f"parameters by {parameters:.2g}, objective by a factor of {drift:.2g}"
        raise ArithmeticError(f"expected at most {TOLERANCE[dtype]:g}, differ: {words}")
    return {"parameters differ by": parameters, "objective by a factor of": drift, "steps": len(expected)}


def main(arguments: list[str]) -> None:
    """Prints the largest differences of every kind of model in float64 and float32. Exit status 1 if one fails."""
    chosen = settings("parity", __doc__, arguments)
    rows, sizes = Rows(chosen.out), {"steps": 4, "batch_size": 10} if chosen.quick else {}
    for dtype in TOLERANCE:
        for name, make in EXAMPLES.items():
            rows.attempt(f"{name}, {dtype}", partial(difference, make, chosen.device, dtype, **sizes))
    rows.finish()
