"""CPU against GPU: 20 training steps from the same initial values, batches and noise, in float32 and float64."""

from __future__ import annotations

import sys

import numpy

import scratchvae as sv
from scratchvae.backend import asarray
from scratchvae.errors import DeviceError
from scratchvae.noise import GivenNoise

TOLERANCE = {"float32": 1e-3, "float64": 1e-9}


def train(device: str, dtype: str) -> tuple[list[float], list[numpy.ndarray]]:
    """The ELBO of every step, and the final parameters."""
    digits, _ = sv.data.load("drawn-digits")
    model = sv.VAE.mlp(latent_size=10).to(device, dtype)
    optimizer = sv.optim.Adam(model.parameters())
    elbos = []
    for step in range(20):
        x = asarray(digits.images[step * 128 : (step + 1) * 128].astype(dtype), device)
        e = sv.Noise(0, step).normal("z", (1, len(x), model.latent_size))  # the CPU's on either device
        elbo = sv.ops.mean(model.elbo(x, GivenNoise(asarray(e, device))))
        sv.grad(-elbo, optimizer.parameters, out=optimizer.gradients)
        optimizer.step()
        elbos.append(float(elbo))
    return elbos, [sv.to_numpy(x) for x in optimizer.parameters]


def main(arguments: list[str]) -> None:
    """Print the largest differences; exit status 1 if one exceeds its tolerance, 2 without a GPU."""
    for dtype, tolerance in TOLERANCE.items():
        try:
            (cpu_elbos, cpu), (gpu_elbos, gpu) = train("cpu", dtype), train("gpu", dtype)
        except DeviceError as error:
            print(f"parity: {error}", file=sys.stderr)
            sys.exit(2)
        difference = max(float(numpy.abs(a - b).max()) for a, b in zip(cpu, gpu, strict=True))
        drift = max(abs(a / b - 1) for a, b in zip(cpu_elbos, gpu_elbos, strict=True))
        print(f"{dtype}: parameters differ by at most {difference:.2g}, ELBO by a factor of {drift:.2g} (20 steps)")
        if not max(difference, drift) <= tolerance:
            sys.exit(f"parity: expected at most {tolerance:g} in {dtype}")
