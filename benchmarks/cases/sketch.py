"""SketchRNN: K = 128, LSTMs of 256 (in each direction) and 512 units, 20 mixtures, 100 drawn sketches a step, float32.

    loss = -(1/M) sum over the minibatch of log p(x | z) - KL(q(z | x) || p(z)),   z = m + s e
    log p(x | z) = sum over rows of log q(pen) + log sum over k of pi_k N(dx, dy; m_k, s_k, rho_k)

PyTorch's encoder reads packed sequences, its decoder padded ones, with z beside each row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy

from benchmarks.cases import steps
from benchmarks.cases.problem import Problem

SMALLEST_STD, LARGEST_R = 0.01, 4.0  # the bounds of SketchHead
GATES = [0, 1, 3, 2]  # our blocks i, f, o, g in PyTorch's order i, f, g, o


@dataclass(frozen=True)
class Size:
    """Sizes of the networks and of the minibatch."""

    latent: int = 128
    encoder: int = 256
    decoder: int = 512
    mixtures: int = 20
    batch: int = 100

    def __str__(self) -> str:
        sizes = f"K = {self.latent}, LSTMs {self.encoder} and {self.decoder}, {self.mixtures} mixtures"
        return f"SketchRNN {sizes}, drawn digits, batch {self.batch}"


CASES = {"sketch": Size()}
REFERENCE = "torch"


def model(size: Size, scale: float) -> Any:
    """Returns the model before its first step."""
    import scratchvae as sv

    return sv.SketchRNN.lstm(size.latent, size.encoder, size.decoder, size.mixtures, scale=scale)


def problem(size: Size, data: str | None = None) -> Problem:
    """Returns four minibatches of the strokes of drawn digits."""
    import scratchvae as sv
    from scratchvae.distributions.sketch import n_points

    x = sv.data.draw_sketches(4 * size.batch).sketches
    scale = float(sv.data.describe_sketches(x)["scale"])
    parameters = {name: parameter.data for name, parameter in model(size, scale).named_parameters().items()}
    batches = x.reshape(4, size.batch, *x.shape[1:])
    return Problem({"x": batches, "n": n_points(batches)}, (1, size.batch, size.latent), parameters, {"scale": scale})


def scratchvae(size: Size, problem: Problem) -> steps.Step:
    """Returns the step of scratchvae, on the objective that `fit` ascends."""
    from scratchvae.noise import GivenNoise
    from scratchvae.objectives import elbo

    rnn = model(size, problem.facts["scale"])
    objective = elbo(rnn)
    return steps.scratchvae(problem, rnn, lambda x, n, e: -objective.value(x, GivenNoise(e), 1, 1.0)[0])


def pytorch(size: Size, problem: Problem) -> steps.Step:
    """Returns the same step by PyTorch, with its own LSTMs."""
    import torch
    from torch.nn.functional import cross_entropy, linear, softplus
    from torch.nn.utils.rnn import pack_padded_sequence

    given, scale = problem.parameters, problem.facts["scale"]
    w = {name: steps.torch_parameter(array.T) for name, array in given.items() if ".lstm." not in f".{name}"}

    def lstm(names: list[str], inputs: int, hidden: int, constant: numpy.ndarray | None = None) -> Any:
        """Returns PyTorch's LSTM with the values of our LSTMs, one for each direction; its second bias stays 0."""
        made = torch.nn.LSTM(inputs, hidden, batch_first=True, bidirectional=len(names) == 2)
        order = numpy.arange(4 * hidden).reshape(4, hidden)[GATES].ravel()
        for name, suffix in zip(names, ("", "_reverse"), strict=False):
            weight = given[f"{name}.weight"]
            weight = weight if constant is None else numpy.concatenate([weight, constant])
            ours = {
                "weight_ih_l0": weight,
                "weight_hh_l0": given[f"{name}.recurrent"],
                "bias_ih_l0": given[f"{name}.bias"],
            }
            for key, array in ours.items():
                setattr(made, key + suffix, steps.torch_parameter(array[..., order].T))
            unused = getattr(made, f"bias_hh_l0{suffix}").requires_grad_(False)
            unused.zero_()
        return made

    reader = lstm(["encoder.lstm.forwards", "encoder.lstm.backwards"], 5, size.encoder)
    constant = w.pop("decoder.constant_weight").detach().numpy().T
    writer = lstm(["decoder.lstm"], 5 + size.latent, size.decoder, constant)

    def loss(x: Any, n: Any, e: Any) -> Any:
        x = torch.cat([x[..., :2] / scale, x[..., 2:]], dim=-1)[:, : int(n.max()) + 1]
        _, (last, _) = reader(pack_padded_sequence(x, n, batch_first=True, enforce_sorted=False))
        code = linear(torch.cat([last[0], last[1]], dim=1), w["encoder.linear.weight"], w["encoder.linear.bias"])
        m, log_s = code.chunk(2, dim=1)
        z = m + log_s.exp() * e[0]
        start = torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0]).expand(len(x), 1, 5)
        before = torch.cat([start, x[:, :-1]], dim=1)
        h0, c0 = torch.tanh(linear(z, w["decoder.initial_weight"], w["decoder.initial_bias"])).chunk(2, dim=1)
        inputs = torch.cat([before, z[:, None].expand(-1, x.shape[1], -1)], dim=2)
        h, _ = writer(inputs, (h0[None].contiguous(), c0[None].contiguous()))
        outputs = linear(h, w["decoder.head.linear.weight"], w["decoder.head.linear.bias"])
        row = torch.arange(x.shape[1])
        log_pen = -cross_entropy(outputs[..., :3].transpose(1, 2), x[..., 2:].argmax(-1), reduction="none")
        log_offset = log_mixture(outputs[..., 3:].unflatten(-1, (size.mixtures, 6)), x[..., :2]) - 2 * math.log(scale)
        reconstruction = (log_pen * (row <= n[:, None]) + log_offset * (row < n[:, None])).sum()
        kl = 0.5 * (m.square() + (2 * log_s).exp() - 2 * log_s - 1).sum()
        return (kl - reconstruction) / len(x)

    def log_mixture(components: Any, offset: Any) -> Any:
        """log sum over k of pi_k N(offset; m_k, s_k, rho_k)"""
        smallest = math.log(SMALLEST_STD)
        log_s = smallest + softplus(components[..., 3:5] - smallest)
        rho = torch.tanh(LARGEST_R * torch.tanh(components[..., 5] / LARGEST_R))
        u, v = ((offset[..., None, :] - components[..., 1:3]) * (-log_s).exp()).unbind(-1)
        rest = 1 - rho.square()
        q = (u.square() - 2 * rho * u * v + v.square()) / rest
        log_n = -math.log(2 * math.pi) - log_s.sum(-1) - 0.5 * rest.log() - 0.5 * q
        return torch.logsumexp(components[..., 0].log_softmax(-1) + log_n, dim=-1)

    learned = [p for p in [*w.values(), *reader.parameters(), *writer.parameters()] if p.requires_grad]
    return steps.pytorch(problem, steps.tensors(problem), learned, loss)


PEERS = {"scratchvae": scratchvae, "torch": pytorch}
