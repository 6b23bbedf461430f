"""MoleculeVAE: K = 56, a GRU of 256 units, the convolutional encoder, batches of 128 strings with their properties.

    loss = -(1/M) sum over the minibatch of log p(x | z) + log p(t | z) - 0.45 KL(q(z | x) || p(z)),   z = m + s e

The norm of the gradient is clipped at 5. PyTorch's GRU reads a one-hot symbol beside z: padded to the longest string of
the minibatch, or packed. `strings` writes 1,000 strings for draws of p(z), the most probable symbol at each step, by a
model whose strings never end before 120 symbols.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy

from benchmarks.cases import steps
from benchmarks.cases.problem import NotHere, Problem
from scratchvae.errors import InputError

KL_WEIGHT, CLIP_NORM = 0.45, 5.0
NEVER = -1e9  # as a logit


@dataclass(frozen=True)
class Size:
    """Sizes of the model, of the minibatch, and how many of them; written: strings to write."""

    latent: int = 56
    hidden: int = 256
    batch: int = 128
    n_batches: int = 20
    written: int = 0

    def __str__(self) -> str:
        does = f"{self.written} strings of 120 symbols" if self.written else f"batch {self.batch}"
        return f"MoleculeVAE, K = {self.latent}, GRU {self.hidden}, {does}"


CASES = {"molecules": Size(), "strings": Size(written=1000)}
REFERENCE = "torch"


def problem(size: Size, data: str | None = None) -> Problem:
    """Minibatches of random rows of a file, or of drawn molecules."""
    import scratchvae as sv
    from scratchvae.distributions.symbol_sequence import n_symbols

    n = size.n_batches * size.batch
    dataset = sv.data.draw_molecule_set(n) if data is None else sv.data.read_molecules(data)
    if len(dataset) < n:
        raise InputError("molecules", f"at least {n} molecules", str(len(dataset)))
    part = dataset.take(sv.Noise(0).permutation("rows", len(dataset))[:n])
    alphabet, known = sv.Alphabet.of(part.molecules), {k: t[numpy.isfinite(t)] for k, t in part.properties.items()}
    if not known or not all(len(t) and t.std() > 0 for t in known.values()):
        raise InputError("molecules", "properties, numbers that differ", ", ".join(known) or "none")
    x = alphabet.encode(part.molecules)
    t = numpy.stack([part.properties[name] for name in known], axis=1).astype(numpy.float32)
    facts = {
        "symbols": alphabet.symbols,
        "longest": 120 if size.written else x.shape[1] - 1,
        "properties": {name: (float(t.mean()), float(t.std())) for name, t in known.items()},
    }
    parameters = {name: parameter.data for name, parameter in model(size, facts).named_parameters().items()}
    batches = {name: a.reshape(size.n_batches, size.batch, *a.shape[1:]) for name, a in {"x": x, "t": t}.items()}
    if size.written:
        return Problem({"n": numpy.array([size.written])}, None, {}, facts)
    return Problem(batches | {"n": n_symbols(batches["x"])}, (1, size.batch, size.latent), parameters, facts)


def model(size: Size, facts: dict[str, Any]) -> Any:
    """Returns the model before its first step."""
    import scratchvae as sv

    means, stds = zip(*facts["properties"].values(), strict=True)
    return sv.MoleculeVAE.gru(
        facts["symbols"],
        facts["longest"],
        size.latent,
        size.hidden,
        properties=list(facts["properties"]),
        property_means=means,
        property_stds=stds,
    )


def scratchvae(size: Size, problem: Problem) -> steps.Step:
    """Returns the step on the objective that `fit` ascends, or decodes strings and returns their mean length."""
    from scratchvae.noise import GivenNoise
    from scratchvae.objectives import choose

    vae = model(size, problem.facts)
    if size.written:
        vae.decoder.head.bias.data[0] = NEVER
        return lambda e: numpy.mean([len(vae.alphabet.split(text)) for text in vae.sample(size.written)])
    objective = choose(vae, "elbo", properties=numpy.concatenate(problem.data["t"]))

    def loss(x: Any, t: Any, n: Any, e: Any) -> Any:
        return -objective.value(x, t, GivenNoise(e), 1, KL_WEIGHT)[0]

    return steps.scratchvae(problem, vae, loss, CLIP_NORM)


def pytorch(size: Size, problem: Problem, packed: bool = False) -> steps.Step:
    """Returns the same step by PyTorch."""
    if size.written:
        raise NotHere("writes no strings")
    loss, parameters = pytorch_loss(model(size, problem.facts), packed)
    return steps.pytorch(problem, steps.tensors(problem), parameters, loss, clip_norm=CLIP_NORM)


def pytorch_loss(model: Any, packed: bool) -> tuple[Callable[..., Any], list[Any]]:
    """Returns the function -(log p(x | z) + log p(t | z)) + w KL, a mean over a batch, and PyTorch's parameters.

    The arguments of the function are symbols (M, T), properties (M, P), lengths (M,) and noise (1, M, K). The
    parameters have the values of the model.
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

    def loss(x: Any, t: Any, lengths: Any, e: Any) -> Any:
        x = x[:, : int(lengths.max()) + 1].long()
        h, within = peer["table"](x[:, :-1]), torch.arange(x.shape[1] - 1) < lengths[:, None]
        h = (h * within[..., None]).transpose(1, 2)
        for layer in convolutions:
            within = within[:, ::2]
            h = relu(layer(h)) * within[:, None]
        h = h.transpose(1, 2).flatten(1)
        code = nn.functional.linear(h, peer["code"].weight[:, : h.shape[1]], peer["code"].bias)
        mean, log_q = code.chunk(2, dim=1)
        z = mean + log_q.exp() * e[0]
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


PEERS = {"scratchvae": scratchvae, "torch": pytorch, "torch-packed": partial(pytorch, packed=True)}
