"""MoleculeVAE's probability of a string is checked by its equations and by counting, and its properties by theirs."""

from __future__ import annotations

import itertools
import math
from importlib import import_module
from typing import Any

import numpy

from scratchvae.autodiff import no_grad
from scratchvae.backend import asarray, to_numpy
from scratchvae.checks.row import Section, largest
from scratchvae.evaluation import log_likelihood
from scratchvae.models.molecule_vae import MoleculeVAE
from scratchvae.models.symbol_networks import CHANNELS, PropertyDecoder, SymbolDecoder
from scratchvae.noise import GivenNoise, Noise
from scratchvae.quadrature import normal_nodes

SECTION = Section("molecules")

STRINGS = numpy.array([[1, 2, 1, 0, 0, 0], [2, 0, 0, 0, 0, 0], [2, 2, 1, 1, 2, 0], [1, 1, 0, 0, 0, 0]])
PROPERTIES, MEANS, STDS = ("logP", "weight"), (2.5, 330.0), (1.4, 60.0)


def enlarge(module: Any, std: float = 0.5) -> Any:
    """Returns the module in float64, with weights so large that each symbol depends on z and on all earlier symbols."""
    rng = numpy.random.default_rng(7)
    module = module.to(dtype=numpy.float64)
    for parameter in module.parameters():
        parameter.data += std * rng.standard_normal(parameter.shape)
    return module


def small_decoder(device: str = "cpu") -> SymbolDecoder:
    """Returns p(x | z) over two symbols, for z of shape (N, 2)."""
    return enlarge(SymbolDecoder(2, 2, 4, Noise(3))).to(device)


def small_model(encoder: str = "convolutional", device: str = "cpu") -> MoleculeVAE:
    """Returns a model of strings of "C" and "O", with two properties, K = 2."""
    model = MoleculeVAE.gru(["C", "O"], 9, 2, 4, encoder, PROPERTIES, MEANS, STDS, seed=3)
    for part, std in ((model.decoder, 0.5), (model.property_decoder, 0.5), (model.encoder, 0.05)):
        enlarge(part, std)
    return model.to(dtype=numpy.float64).to(device)


def latents(n: int) -> numpy.ndarray:
    """Returns n points z.   (n, 2)"""
    return numpy.random.default_rng(0).standard_normal((n, 2))


def log_prob(decoder: SymbolDecoder, z: numpy.ndarray, x: numpy.ndarray, device: str) -> numpy.ndarray:
    """Returns log p(x | z), computed on a device; inputs and result are NumPy arrays."""
    with no_grad():
        return to_numpy(decoder(asarray(z, device)).log_prob(asarray(x, device)))


def every_string(n: int) -> numpy.ndarray:
    """Returns all 2^n strings of n symbols, 1 or 2, without an end.   (2^n, n)"""
    return numpy.array(list(itertools.product([1, 2], repeat=n)), dtype=numpy.int64).reshape(2**n, n)


def parameters_of(module: Any) -> dict[str, numpy.ndarray]:
    """Returns the parameters by name, as NumPy arrays."""
    return {name: to_numpy(array) for name, array in module.named_parameters().items()}


def step_by_hand(
    p: dict[str, numpy.ndarray], name: str, symbol: int, h: numpy.ndarray, constant: Any = 0.0
) -> numpy.ndarray:
    """Returns h_t of the GRU of this name from a symbol and h_(t-1), by the published equations."""
    special, size = import_module("scipy.special"), len(h)
    weight, bias, recurrent, recurrent_bias = (
        p[f"{name}.{part}"] for part in ("weight", "bias", "recurrent", "recurrent_bias")
    )
    a, b = numpy.eye(len(weight))[symbol] @ weight + bias + constant, h @ recurrent
    r, u = special.expit(a[: 2 * size] + b[: 2 * size]).reshape(2, size)
    return (1 - u) * numpy.tanh(a[2 * size :] + r * (b[2 * size :] + recurrent_bias)) + u * h


def probability_by_hand(decoder: SymbolDecoder, x: numpy.ndarray, z: numpy.ndarray) -> float:
    """Returns log p(x | z) of one string (T,) by the published equations, symbol by symbol in NumPy and SciPy."""
    special, p = import_module("scipy.special"), parameters_of(decoder)
    h, before, total = numpy.tanh(z @ p["initial.weight"] + p["initial.bias"]), 0, 0.0
    for symbol in x:
        h = step_by_hand(p, "gru", before, h, z @ p["constant_weight"])
        total += special.log_softmax(h @ p["head.weight"] + p["head.bias"])[symbol]
        if symbol == 0:
            break
        before = symbol
    return total


# ---- strings


@SECTION.row("strings: log p(x) = its equations, by symbol", tolerance=1e-12)
def equations(device: str = "cpu") -> float:
    """log p(x | z) of four strings of 1 to 5 symbols equals its equations."""
    decoder, z = small_decoder(), latents(4)
    expected = [probability_by_hand(decoder, *pair) for pair in zip(STRINGS, z, strict=True)]
    return largest(log_prob(decoder.to(device), z, STRINGS, device) - expected)


@SECTION.row("strings: probabilities sum to 1", tolerance=1e-13)
def total(device: str = "cpu") -> float:
    """The sum of p(x | z) over all strings of up to 5 symbols, and the probability of 6 symbols or more, is 1."""
    decoder, z = small_decoder(device=device), latents(1)
    errors = 1.0
    for n in range(7):
        x = every_string(n) if n == 6 else numpy.concatenate([every_string(n), numpy.zeros((2**n, 1), int)], axis=1)
        errors -= numpy.exp(log_prob(decoder, z.repeat(len(x), axis=0), x, device)).sum()
    return abs(errors)


@SECTION.row("strings: what is behind the end changes nothing", tolerance=1e-13)
def padding(device: str = "cpu") -> float:
    """log p(x | z) and both encoders do not depend on other rows, their order, or 3 further numbers after the end."""
    decoder, z, order = small_decoder(device=device), latents(4), numpy.array([2, 0, 3, 1])
    padded = numpy.pad(STRINGS, ((0, 0), (0, 3)))[order]
    errors = [log_prob(decoder, z[order], padded, device) - log_prob(decoder, z, STRINGS, device)[order]]
    for encoder in ("convolutional", "recurrent"):
        model = small_model(encoder, device)
        means = to_numpy(model.encode(asarray(padded, device)).mean)
        for i, row in zip(order, means, strict=True):
            alone = STRINGS[i : i + 1, : 1 + (STRINGS[i] > 0).sum()]
            errors.append(row - to_numpy(model.encode(asarray(alone, device)).mean)[0])
    return largest(*errors)


@SECTION.row("strings: frequencies of draws, standard errors", tolerance=4.0)
def frequencies(device: str = "cpu") -> float:
    """p(x | z)^(1 / temperature), step by step, for strings of up to 2 symbols = frequencies of 40,000 samples."""
    decoder, z, n, errors = small_decoder(device=device), latents(1), 40_000, []
    with no_grad():
        p = decoder(asarray(z.repeat(n, axis=0), device))
        for temperature in (1.0, 0.5):
            drawn = to_numpy(p.sample(Noise(1, device=device), temperature, 4))
            for x in ([0], [1, 0], [2, 0], [1, 1, 0], [1, 2, 0], [2, 1, 0], [2, 2, 0]):
                probability = tempered(decoder, z, x, temperature, device)
                frequency = (drawn == numpy.pad(x, (0, 5 - len(x)))).all(axis=1).mean()
                errors.append((frequency - probability) / math.sqrt(probability * (1 - probability) / n))
    return largest(*errors)


def tempered(decoder: SymbolDecoder, z: numpy.ndarray, x: list[int], temperature: float, device: str) -> float:
    """Returns the probability of a string when each symbol's is raised to 1 / temperature and normalised."""
    probability = 1.0
    for t, symbol in enumerate(x):
        candidates = numpy.array([[*x[:t], other] for other in range(3)])
        log_p = log_prob(decoder, z.repeat(3, axis=0), candidates, device) / temperature
        probability *= numpy.exp(log_p - numpy.logaddexp.reduce(log_p))[symbol]
    return probability


@SECTION.row("strings: beam of full width finds the mode", tolerance=0)
def beams(device: str = "cpu") -> float:
    """A beam of full width finds the most probable string that ends within 4 symbols or reaches 4; greedy = beam of 1.

    Over these 100 points z there are eight such strings, and at half of the points the greedy one is another.
    """
    decoder, z, wrong = enlarge(SymbolDecoder(2, 2, 4, Noise(1))), 3 * latents(100), 0
    decoder.head.bias.data[0] -= 3.0  # else the end would be the most probable symbol almost everywhere
    decoder = decoder.to(device)
    strings = [numpy.pad(every_string(n), ((0, 0), (0, 4 - n))) for n in range(5)]
    strings = numpy.concatenate(strings)
    with no_grad():
        p = decoder(asarray(z, device))
        found, one, greedy = (to_numpy(x) for x in (p.beam(40, 4), p.beam(1, 4), p.greedy(4)))
    for point, x in zip(z, found, strict=True):
        log_p = log_prob(decoder, point[None].repeat(len(strings), axis=0), strings, device)
        wrong += (strings[log_p.argmax()] != x[:4]).any()
    return float(wrong + (one != greedy).any())


# ---- properties and encoders


@SECTION.row("properties: density in their units = SciPy's", tolerance=1e-12)
def density(device: str = "cpu") -> float:
    """log p(t | z) and E[t | z] equal those of scipy.stats.norm, with NaN leaving its property out."""
    stats, z, decoder = import_module("scipy.stats"), latents(3), small_model().property_decoder
    t = numpy.array([[2.0, 300.0], [numpy.nan, 410.0], [numpy.nan, numpy.nan]])
    p, means, stds = parameters_of(decoder), numpy.float32(MEANS), numpy.float32(STDS)
    h = numpy.tanh(z @ p["network.layers.0.weight"] + p["network.layers.0.bias"])
    expected_mean = means + stds * (h @ p["network.layers.1.weight"] + p["network.layers.1.bias"])
    log_p = stats.norm(expected_mean, numpy.exp(p["log_std"]) * stds).logpdf(t)
    with no_grad():
        received = decoder.to(device)(asarray(z, device))
        log_t, mean = to_numpy(received.log_prob(asarray(t, device))), to_numpy(received.mean)
    return largest(log_t - numpy.nansum(log_p, axis=1), (mean - expected_mean) / stds)


@SECTION.row("properties: those not known = a smaller model", tolerance=1e-13)
def unknown(device: str = "cpu") -> float:
    """The joint ELBO with NaN for one property equals that of a model without it; with all NaN it equals the ELBO."""
    model, x, noise = small_model(device=device), asarray(STRINGS, device), Noise(2, device=device)
    t = numpy.array([[2.0, 300.0], [1.0, 410.0], [3.0, 200.0], [-1.0, 150.0]])
    smaller = small_model(device=device)
    whole, first = model.property_decoder, PropertyDecoder(2, PROPERTIES[:1], MEANS[:1], STDS[:1], Noise(0))
    smaller.property_decoder = first.to(dtype=numpy.float64).to(device)
    for own, other in zip(first.parameters(), whole.parameters(), strict=True):
        own.data[...] = other.data[..., : own.shape[-1]]
    with no_grad():
        some = model.joint_elbo(x, asarray(numpy.where([True, False], t, numpy.nan), device), noise)
        expected = smaller.joint_elbo(x, asarray(t[:, :1], device), noise)
        none = model.joint_elbo(x, asarray(t * numpy.nan, device), noise)
        return largest(*(to_numpy(a) for a in (some - expected, none - model.elbo(x, noise))))


@SECTION.row("strings: q(z | x) = its equations", tolerance=1e-12)
def posterior(device: str = "cpu") -> float:
    """The convolutional encoder equals its equations, entry by entry: a table, three sums over 5 rows, relu, affine."""
    model = small_model(device=device)
    p, q, errors = parameters_of(model.encoder), model.encode(asarray(STRINGS, device)), []
    for i, x in enumerate(STRINGS):
        h = p["table"][x[x > 0]]
        for layer, channels in enumerate(CHANNELS[1:]):
            kernel, bias = p[f"layers.{layer}.kernel"][:, 0], p[f"layers.{layer}.bias"]
            padded = numpy.pad(h, ((2, 2), (0, 0)))
            rows = [numpy.einsum("kc,kcd->d", padded[t : t + 5], kernel) + bias for t in range(0, len(h), 2)]
            h = numpy.maximum(numpy.reshape(rows, (-1, channels)), 0)
        weight = p["linear.weight"][: h.size]
        mean, log_std = (h.reshape(-1) @ weight + p["linear.bias"]).reshape(2, -1)
        errors += [to_numpy(q.mean)[i] - mean, to_numpy(q.log_std)[i] - log_std]
    return largest(*errors)


@SECTION.row("strings: recurrent q(z | x) = its equations", tolerance=1e-12)
def recurrent_posterior(device: str = "cpu") -> float:
    """q(z | x) reads the last h of a GRU over the symbols, and of one over the reversed symbols, without the end."""
    model = small_model("recurrent", device)
    p, q, errors = parameters_of(model.encoder), model.encode(asarray(STRINGS, device)), []
    size = model.encoder.gru.forwards.hidden_size
    for i, x in enumerate(STRINGS):
        last = []
        for name, symbols in (("gru.forwards", x[x > 0]), ("gru.backwards", x[x > 0][::-1])):
            h = numpy.zeros(size)
            for symbol in symbols:
                h = step_by_hand(p, name, symbol, h)
            last.append(h)
        mean, log_std = (numpy.concatenate(last) @ p["linear.weight"] + p["linear.bias"]).reshape(2, -1)
        errors += [to_numpy(q.mean)[i] - mean, to_numpy(q.log_std)[i] - log_std]
    return largest(*errors)


# ---- MoleculeVAE


def evidence_on_grid(model: MoleculeVAE, x: Any, t: Any, device: str) -> tuple[numpy.ndarray, numpy.ndarray, float]:
    """Returns points z of a grid, log p(x, t, z) on it, and log p(x, t), in nats; without t, no properties."""
    axis = numpy.linspace(-7, 7, 141)
    z = numpy.stack(numpy.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 1, 2)
    points = asarray(z, device)
    with no_grad():
        log_joint = model.decoder(points).log_prob(x) + model.prior.log_prob(points)
        log_joint = log_joint if t is None else log_joint + model.property_decoder(points).log_prob(t)
    log_joint = to_numpy(log_joint)[:, 0]
    return z[:, 0], log_joint, float(numpy.logaddexp.reduce(log_joint) + 2 * math.log(axis[1] - axis[0]))


@SECTION.row("MoleculeVAE, 2-D z: ELBO + KL = log p(x, t)", tolerance=1e-9)
def evidence(device: str = "cpu") -> float:
    """L + KL(q(z | x) || p(z | x, t)) = log p(x, t), with properties and without: by a grid, the ELBO on nodes of q"""
    model, errors = small_model(device=device), []
    e, w = normal_nodes(2, n=81)
    noise, n = GivenNoise(asarray(e[None], device)), len(e)
    for i, t in enumerate([[2.0, 310.0], [3.5, numpy.nan]]):
        x, t = asarray(STRINGS[i : i + 1], device), asarray(numpy.array([t]), device)
        for properties in (None, t):
            z, log_joint, log_px = evidence_on_grid(model, x, properties, device)
            log_q = to_numpy(model.encode(x).log_prob(asarray(z, device)))
            divergence = numpy.exp(log_q) @ (log_q - log_joint + log_px) * 0.1**2
            with no_grad():
                rows = x.repeat(n, axis=0)
                bound = (
                    model.elbo(rows, noise)
                    if properties is None
                    else model.joint_elbo(rows, properties.repeat(n, axis=0), noise)
                )
            errors.append(w @ to_numpy(bound) + divergence - log_px)
    return largest(*errors)


@SECTION.row("MoleculeVAE: log_likelihood, standard errors", tolerance=3.5)
def importance_sampling(device: str = "cpu") -> float:
    """log p(x) of four strings from 4,000 samples of q agrees with the grid; the distance is in standard errors."""
    model, x = small_model(device=device), asarray(STRINGS, device)
    log_px, error, _ = log_likelihood(model, x, 4000)
    exact = [evidence_on_grid(model, x[i : i + 1], None, device)[2] for i in range(len(STRINGS))]
    return largest((log_px - exact) / error)
