"""One training step of a MoleculeVAE, float32, beside the same in PyTorch, eager; and the writing of 1,000 strings.

A step takes a batch of 128 strings, their joint ELBO with all properties, the gradient, clips its norm at 5 and
updates by Adam. MoleculeVAE.gru with K = 56, 256 units and the convolutional encoder has the same parameters in
PyTorch, whose nn.GRU reads a one-hot symbol beside z: padded to the longest string of the batch, or packed. Both get
the same noise. Each library is in a process of its own, in turns, and threads are as the environment sets them
(OPENBLAS_NUM_THREADS, OMP_NUM_THREADS). Before, the losses of the first steps are compared.

Without --data the strings are drawn molecules. Strings are written for draws of p(z), the most probable symbol at each
step: by the model of --run, else by one whose strings never end, the most that writing can take.
"""

from __future__ import annotations

import json
import os
import platform
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import numpy

import scratchvae as sv
from benchmarks.jobs import command
from benchmarks.timing import interleaved_processes
from scratchvae.alphabet import Alphabet
from scratchvae.backend import keep_freed_memory
from scratchvae.distributions.symbol_sequence import n_symbols
from scratchvae.errors import InputError
from scratchvae.noise import GivenNoise, Noise
from scratchvae.objectives import choose
from scratchvae.optim import Adam

LATENT_SIZE, HIDDEN_SIZE, BATCH_SIZE, N_BATCHES = 56, 256, 128, 20
KL_WEIGHT, CLIP_NORM, LEARNING_RATE = 0.45, 5.0, 1e-3
CHECKED_STEPS, TOLERANCE = 5, 1e-4
WRITTEN, WRITTEN_LONGEST = 1000, 120
NEVER = -1e9  # as a logit

Step = Callable[[], float]


@dataclass
class Problem:
    """What a model is trained on: symbols x (N, T), properties t (N, P) and noise e (N, K) in batches, and sizes."""

    symbols: tuple[str, ...]
    properties: dict[str, tuple[float, float]]
    x: numpy.ndarray
    t: numpy.ndarray
    batch_size: int = BATCH_SIZE
    latent_size: int = LATENT_SIZE
    hidden_size: int = HIDDEN_SIZE

    @classmethod
    def of(cls, dataset: sv.data.Dataset, n_batches: int = N_BATCHES, **sizes: int) -> Problem:
        """Batches of random rows of a dataset."""
        n = n_batches * sizes.get("batch_size", BATCH_SIZE)
        if len(dataset) < n:
            raise InputError("molecule_step", f"at least {n} molecules", str(len(dataset)))
        part = dataset.take(Noise(0).permutation("rows", len(dataset))[:n])
        alphabet, known = Alphabet.of(part.molecules), {k: t[numpy.isfinite(t)] for k, t in part.properties.items()}
        if not known or not all(len(t) and t.std() > 0 for t in known.values()):
            raise InputError("molecule_step", "properties, numbers that differ", ", ".join(known) or "none")
        units = {name: (float(t.mean()), float(t.std())) for name, t in known.items()}
        t = numpy.stack([part.properties[name] for name in units], axis=1).astype(numpy.float32)
        return cls(alphabet.symbols, units, alphabet.encode(part.molecules), t, **sizes)

    def model(self) -> sv.MoleculeVAE:
        """The model before its first step."""
        means, stds = zip(*self.properties.values(), strict=True)
        return sv.MoleculeVAE.gru(
            self.symbols,
            self.x.shape[1] - 1,
            self.latent_size,
            self.hidden_size,
            properties=list(self.properties),
            property_means=means,
            property_stds=stds,
        )

    def batches(self) -> list[tuple[slice, numpy.ndarray]]:
        """The rows of each batch, and the noise of its z."""
        shape = (self.batch_size, self.latent_size)
        return [
            (slice(start, start + self.batch_size), Noise(1, start).normal("z", shape))
            for start in range(0, len(self.x), self.batch_size)
        ]


def engine(problem: Problem) -> Step:
    """A step by scratchvae, as `fit` takes it."""
    model = problem.model()
    keep_freed_memory()
    x, t, batches = model.observations(problem.x), model.properties(problem.t), cycle(problem.batches())
    optimizer = Adam(model.parameters(), LEARNING_RATE, clip_norm=CLIP_NORM)
    objective = choose(model, "elbo", properties=t)

    def step() -> float:
        rows, e = next(batches)
        value, _ = objective.value(x[rows], t[rows], GivenNoise(e[None]), 1, KL_WEIGHT)
        sv.grad(-value, optimizer.parameters, out=optimizer.gradients)
        optimizer.step()
        return -float(value.data)

    return step


def pytorch(problem: Problem, packed: bool) -> Step:
    """The same step by PyTorch."""
    import torch

    loss_of, parameters = pytorch_loss(problem.model(), packed)
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE)
    x, t = torch.tensor(problem.x.astype(numpy.int64)), torch.tensor(problem.t)
    lengths = torch.tensor(n_symbols(problem.x))
    batches = cycle([(rows, torch.tensor(e)) for rows, e in problem.batches()])

    def step() -> float:
        rows, e = next(batches)
        optimizer.zero_grad()
        loss = loss_of(x[rows], lengths[rows], t[rows], e)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
        optimizer.step()
        return float(loss.detach())

    return step


def pytorch_loss(model: sv.MoleculeVAE, packed: bool) -> tuple[Callable[..., Any], list[Any]]:
    """The mean of -(log p(x | z) + log p(t | z)) + w KL over a batch, and PyTorch's parameters, of the model's values.

    The function's arguments: symbols (M, T), their numbers (M,), properties (M, P) and noise (M, K).
    """
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy, one_hot, pad, relu

    def parameter(a: numpy.ndarray) -> Any:
        return nn.Parameter(torch.tensor(numpy.ascontiguousarray(a)))

    def linear(layer: Any) -> Any:
        peer = nn.Linear(*layer.weight.shape)
        peer.weight, peer.bias = parameter(layer.weight.data.T), parameter(layer.bias.data)
        return peer

    values, gru_values = {name: x.data for name, x in model.named_parameters().items()}, model.decoder.gru
    n_symbols, (n_latent, size) = len(model.alphabet) + 1, model.decoder.initial.weight.shape
    peer = nn.ModuleDict({"table": nn.Embedding(*values["encoder.table"].shape)})
    peer["table"].weight = parameter(values["encoder.table"])
    convolutions = nn.ModuleList()
    for layer in model.encoder.layers:
        width, _, inputs, outputs = layer.kernel.shape
        convolutions.append(nn.Conv1d(inputs, outputs, width, stride=2, padding=width // 2))
        convolutions[-1].weight = parameter(layer.kernel.data[:, 0].transpose(2, 1, 0))
        convolutions[-1].bias = parameter(layer.bias.data)
    peer["convolutions"], peer["code"] = convolutions, linear(model.encoder.linear)
    peer["initial"], peer["head"] = linear(model.decoder.initial), linear(model.decoder.head)
    first, last = model.property_decoder.network.layers
    peer["properties"] = nn.Sequential(linear(first), nn.Tanh(), linear(last))
    peer["gru"] = gru = nn.GRU(n_symbols + n_latent, size, batch_first=True)
    both = numpy.concatenate([gru_values.weight.data, values["decoder.constant_weight"]])
    gru.weight_ih_l0, gru.weight_hh_l0 = parameter(both.T), parameter(gru_values.recurrent.data.T)
    gru.bias_ih_l0 = parameter(gru_values.bias.data)
    gru.bias_hh_l0 = parameter(numpy.concatenate([numpy.zeros(2 * size, "f"), gru_values.recurrent_bias.data]))
    gru.bias_hh_l0.register_hook(lambda g: torch.cat([torch.zeros(2 * size), g[2 * size :]]))  # ours has b_n alone
    log_std = parameter(values["property_decoder.log_std"])
    centre, unit = (torch.tensor(a) for a in (model.property_decoder.centre, model.property_decoder.unit))

    def loss(x: Any, lengths: Any, t: Any, e: Any) -> Any:
        x = x[:, : int(lengths.max()) + 1]
        h, within = peer["table"](x[:, :-1]), torch.arange(x.shape[1] - 1) < lengths[:, None]
        h = (h * within[..., None]).transpose(1, 2)
        for layer in convolutions:
            within = within[:, ::2]
            h = relu(layer(h)) * within[:, None]
        h = h.transpose(1, 2).flatten(1)
        code = nn.functional.linear(h, peer["code"].weight[:, : h.shape[1]], peer["code"].bias)
        mean, log_q = code.chunk(2, dim=1)
        z = mean + log_q.exp() * e
        before = one_hot(pad(x, (1, 0))[:, :-1], n_symbols).float()
        inputs = torch.cat([before, z[:, None].expand(-1, x.shape[1], -1)], dim=2)
        h0 = torch.tanh(peer["initial"](z))[None]
        if packed:
            inputs = nn.utils.rnn.pack_padded_sequence(inputs, lengths + 1, batch_first=True, enforce_sorted=False)
            target = nn.utils.rnn.pack_padded_sequence(x, lengths + 1, batch_first=True, enforce_sorted=False).data
            hidden = gru(inputs, h0)[0].data
        else:
            target = x.masked_fill(torch.arange(x.shape[1]) > lengths[:, None], -100).flatten()
            hidden = gru(inputs, h0)[0].flatten(0, 1)
        reconstruction = -cross_entropy(peer["head"](hidden), target, ignore_index=-100, reduction="sum")
        normal = torch.distributions.Normal(centre + unit * peer["properties"](z), log_std.exp() * unit)
        known = ~t.isnan()
        log_t = (normal.log_prob(t.nan_to_num()) * known).sum()
        kl = 0.5 * (mean**2 + (2 * log_q).exp() - 2 * log_q - 1).sum()
        return (KL_WEIGHT * kl - reconstruction - log_t) / len(x)

    return loss, [*peer.parameters(), log_std]


def check(makers: dict[str, Callable[[], Step]], n_steps: int = CHECKED_STEPS) -> dict[str, list[float]]:
    """The losses of the first steps of each. Raises InputError unless they agree."""
    losses = {}
    for name, make in makers.items():
        step = make()
        losses[name] = [step() for _ in range(n_steps)]
    reference = numpy.array(losses["scratchvae"])
    for name, values in losses.items():
        difference = float(abs(values / reference - 1).max())
        if not difference < TOLERANCE:
            raise InputError("molecule_step", f"the losses of scratchvae from {name}", f"others, by {difference:.1e}")
    return losses


def writing(model: sv.MoleculeVAE, n: int, clock: Callable[[], float], repeats: int = 3) -> dict[str, float]:
    """The median of the seconds of n strings for draws of p(z), and their mean number of symbols."""
    seconds = []
    for seed in range(repeats):
        start = clock()
        strings = model.sample(n, seed)
        seconds.append(clock() - start)
    return {"seconds": median(seconds), "symbols": float(numpy.mean([len(model.alphabet.split(x)) for x in strings]))}


def writer(problem: Problem, run: Path | None) -> sv.MoleculeVAE:
    """The model that writes strings."""
    if run is not None:
        model = sv.load(run)
        if not isinstance(model, sv.MoleculeVAE):
            raise InputError("molecule_step", "a MoleculeVAE as --run", type(model).__name__)
        return model
    model = problem.model()
    model.longest = WRITTEN_LONGEST
    model.decoder.head.bias.data[0] = NEVER
    return model


def main(arguments: list[str]) -> None:
    """Print milliseconds and ratios to PyTorch on padded strings. Needs torch (extra `bench`)."""
    parser = ArgumentParser(prog="python -m benchmarks molecule_step", description=__doc__)
    parser.add_argument("--data", metavar="FILE", help="a .csv of SMILES and properties, such as ZINC's, or its .gz")
    parser.add_argument("--run", type=Path, metavar="RUN", help="run of a MoleculeVAE that writes strings")
    parser.add_argument("--cpu", action="store_true", help="CPU time of all threads, for a machine with other work")
    parser.add_argument("--rounds", type=int, default=10, metavar="N", help="turns of each (default: 10)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the results to this .json file")
    settings = parser.parse_args(arguments)
    if settings.rounds < 1:
        raise InputError("molecule_step", "--rounds of at least 1", str(settings.rounds))
    if settings.data is None:
        dataset = sv.data.draw_molecule_set(N_BATCHES * BATCH_SIZE)
    else:
        dataset = sv.data.read_molecules(settings.data)
    results = {"command": command("python -m benchmarks", ["molecule_step", *arguments])}
    results |= measure(Problem.of(dataset), settings)
    if settings.out is not None:
        settings.out.write_text(json.dumps(results, indent=1) + "\n")


def measure(problem: Problem, settings: Namespace) -> dict[str, Any]:
    """All figures, which are printed as they come."""
    clock = time.process_time if settings.cpu else time.perf_counter
    threads = {name: os.environ.get(name, "not set") for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")}
    results: dict[str, Any] = {
        "data": "drawn molecules" if settings.data is None else Path(settings.data).name,
        "symbols": len(problem.symbols),
        "mean length": round(float(n_symbols(problem.x).mean()), 1),
        "parameters": problem.model().count(),
        "clock": "CPU time" if settings.cpu else "wall time",
        "threads": threads,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load before": round(os.getloadavg()[0], 1),
        "numpy": numpy.__version__,
    }
    for name, value in results.items():
        print(f"{name}: {value}", flush=True)
    model = writer(problem, settings.run)
    written: dict[str, Any] = writing(model, WRITTEN, clock)
    results["written"] = written
    which = written["model"] = "as none ends" if settings.run is None else f"by {settings.run.name}"
    print(f"{WRITTEN} strings of {written['symbols']:.1f} symbols ({which}): {written['seconds']:.2f} s", flush=True)
    makers = {
        "padded": partial(pytorch, problem, packed=False),
        "packed": partial(pytorch, problem, packed=True),
        "scratchvae": partial(engine, problem),
    }
    try:
        losses = check(makers)
    except ImportError:
        print("molecule_step: torch is not installed (pip install -e '.[bench]'), so no step is timed")
        return results
    print(f"loss after {CHECKED_STEPS} steps: {', '.join(f'{name} {x[-1]:.4f}' for name, x in losses.items())}")
    times = interleaved_processes(makers, rounds=settings.rounds, reference="padded", clock=clock)
    for name, (seconds, ratio) in times.items():
        print(f"{name:12s}{seconds * 1e3:8.1f} ms a step, {ratio:.2f} of PyTorch padded")
    results["steps"] = {name: {"seconds": seconds, "ratio": ratio} for name, (seconds, ratio) in times.items()}
    results["load after"] = round(os.getloadavg()[0], 1)
    return results
