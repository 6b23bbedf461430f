"""SketchRNN is checked from mixtures of Gaussians in the plane to the density of a whole drawing by its equations."""

from __future__ import annotations

import copy
import math
from importlib import import_module
from typing import Any

import numpy

from scratchvae.autodiff import no_grad
from scratchvae.backend import asarray, to_numpy
from scratchvae.checks.row import Section, largest
from scratchvae.distributions import BivariateMixture
from scratchvae.distributions.sketch import n_points
from scratchvae.evaluation import log_likelihood
from scratchvae.models import sketch_rnn
from scratchvae.models.sketch_networks import SketchDecoder
from scratchvae.models.sketch_rnn import SketchRNN
from scratchvae.nn import LSTM, Bidirectional, Packing
from scratchvae.noise import GivenNoise, Noise
from scratchvae.quadrature import normal_nodes

SECTION = Section("sketches")

END_ROW = numpy.array([0.0, 0.0, 0.0, 0.0, 1.0])
MIXTURE = BivariateMixture(
    numpy.array([0.5, -0.2]),
    numpy.array([[0.5, -1.0], [-0.7, 0.4]]),
    numpy.array([[-0.3, 0.2], [0.1, -0.4]]),
    numpy.array([0.9, -1.3]),
)


def small_decoder(latent_size: int = 2, scale: float = 2.5, device: str = "cpu") -> SketchDecoder:
    """Returns a decoder in float64, with weights so large that each row depends on z and on all rows before it."""
    decoder = SketchDecoder(latent_size, 4, 3, Noise(3), scale=scale).to(dtype=numpy.float64)
    rng = numpy.random.default_rng(7)
    for parameter in decoder.parameters():
        parameter.data += 0.5 * rng.standard_normal(parameter.shape)
    return decoder.to(device)


def drawings(lengths: tuple[int, ...] = (3, 1, 5, 0)) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Returns sketches with these numbers of points, padded to 8 rows, and a z for each.   (N, 8, 5), (N, 2)"""
    rng = numpy.random.default_rng(0)
    x = numpy.tile(END_ROW, (len(lengths), 8, 1))
    for sketch, n in zip(x, lengths, strict=True):
        sketch[:n, :2] = 3 * rng.standard_normal((n, 2))
        sketch[:n, 2:] = numpy.eye(3)[rng.integers(0, 2, n)]
    return x, rng.standard_normal((len(lengths), 2))


def log_prob(decoder: SketchDecoder, z: numpy.ndarray, x: numpy.ndarray, device: str) -> numpy.ndarray:
    """Returns log p(x | z), computed on a device; inputs and result are NumPy arrays."""
    with no_grad():
        return to_numpy(decoder(asarray(z, device)).log_prob(asarray(x, device)))


def small_model(latent_size: int = 1, device: str = "cpu") -> SketchRNN:
    """Returns a SketchRNN in float64, with weights so large that each row depends on z."""
    model = SketchRNN.lstm(latent_size, 3, 4, 3, scale=2.5, seed=3).to(dtype=numpy.float64)
    rng = numpy.random.default_rng(7)
    for std, network in ((0.5, model.decoder), (0.2, model.encoder)):
        for parameter in network.parameters():
            parameter.data += std * rng.standard_normal(parameter.shape)
    return model.to(device)


def state_by_hand(p: dict[str, numpy.ndarray], before: numpy.ndarray, h: Any, c: Any, constant: Any = 0.0) -> Any:
    """Returns h and c after one row, by the published equations of an LSTM."""
    special = import_module("scipy.special")
    i, f, o, g = (before @ p["weight"] + p["bias"] + h @ p["recurrent"] + constant).reshape(4, -1)
    c = special.expit(f) * c + special.expit(i) * numpy.tanh(g)
    return special.expit(o) * numpy.tanh(c), c


def parameters_of(module: Any, prefix: str = "") -> dict[str, numpy.ndarray]:
    """Returns the parameters whose names begin with the prefix, by the remainder of the name."""
    named = module.named_parameters().items()
    return {name.removeprefix(prefix): to_numpy(array) for name, array in named if name.startswith(prefix)}


def density_by_hand(decoder: SketchDecoder, x: numpy.ndarray, z: numpy.ndarray) -> float:
    """Returns log p(x | z) of one sketch (T, 5) by the published equations, row by row in NumPy and SciPy."""
    stats, special = import_module("scipy.stats"), import_module("scipy.special")
    p, lstm = parameters_of(decoder), parameters_of(decoder, "lstm.")
    scale, smallest = float(decoder.scale), decoder.head.smallest_std
    h, c = numpy.tanh(z @ p["initial_weight"] + p["initial_bias"]).reshape(2, -1)
    before, total = numpy.array([0.0, 0.0, 1.0, 0.0, 0.0]), 0.0
    for row in x:
        h, c = state_by_hand(lstm, before, h, c, z @ p["constant_weight"])
        y = h @ p["head.linear.weight"] + p["head.linear.bias"]
        total += special.log_softmax(y[:3])[row[2:].argmax()]
        if row[4] == 1:
            break
        log_densities = []
        for logit, *mean, raw_x, raw_y, raw_r in y[3:].reshape(-1, 6):
            s_x, s_y = (scale * smallest * (1 + math.exp(raw) / smallest) for raw in (raw_x, raw_y))
            rho = math.tanh(4 * math.tanh(raw_r / 4))
            covariance = [[s_x**2, rho * s_x * s_y], [rho * s_x * s_y, s_y**2]]
            normal = stats.multivariate_normal(scale * numpy.array(mean), covariance)
            log_densities.append(logit + normal.logpdf(row[:2]))
        total += special.logsumexp(log_densities) - special.logsumexp(y[3::6])
        before = row / numpy.array([scale, scale, 1.0, 1.0, 1.0])
    return total


# ---- the mixture


@SECTION.row("BivariateMixture: one component = SciPy's normal", tolerance=1e-11)
def one_component(device: str = "cpu") -> float:
    """log p(x) equals scipy.stats.multivariate_normal, near the mean and 100 deviations away; relative."""
    stats, rng, errors = import_module("scipy.stats"), numpy.random.default_rng(0), []
    for r in (0.0, 1.3, -2.0, 4.0):
        mean, log_std = rng.standard_normal((2, 2))
        (s, t), rho = numpy.exp(log_std), math.tanh(r)
        x = mean + rng.standard_normal((20, 2)) * numpy.exp(log_std) * numpy.repeat([1, 100], 10)[:, None]
        normal = stats.multivariate_normal(mean, [[s * s, rho * s * t], [rho * s * t, t * t]])
        parameters = (numpy.zeros(1), mean[None], log_std[None], numpy.array([r]))
        received = BivariateMixture(*(asarray(a, device) for a in parameters)).log_prob(asarray(x, device))
        errors.append(to_numpy(received) / normal.logpdf(x) - 1)
    return largest(*errors)


def quadrature(temperature: float, device: str) -> tuple[Any, numpy.ndarray, numpy.ndarray]:
    """Returns the integrals of p, x p and x x' p over the plane."""
    axis = numpy.linspace(-10, 10, 401)
    grid = numpy.stack(numpy.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    mixture = copy.deepcopy(MIXTURE).to(device).at_temperature(temperature)
    p = numpy.exp(to_numpy(mixture.log_prob(asarray(grid, device)))) * (axis[1] - axis[0]) ** 2
    return p.sum(), p @ grid, numpy.einsum("n,na,nb->ab", p, grid, grid)


def averages_of_draws(temperature: float, device: str) -> tuple[Any, numpy.ndarray, numpy.ndarray]:
    """Returns the averages of 1, x and x x' over samples, exact for normal noise, each component with its weight."""
    nodes, weights = numpy.polynomial.hermite_e.hermegauss(4)
    weights = numpy.outer(weights, weights).ravel() / (2 * math.pi)
    normal = numpy.stack(numpy.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    mixture, pi = copy.deepcopy(MIXTURE).to(device).at_temperature(temperature), tempered_weights(temperature)
    x, w = [], numpy.outer(pi, weights).ravel()
    for u in numpy.cumsum(pi) - pi / 2:
        uniform = asarray(numpy.full(len(normal), u), device)
        x.append(to_numpy(mixture.sample(uniform, asarray(normal, device))))
    x = numpy.concatenate(x)
    return w.sum(), w @ x, numpy.einsum("n,na,nb->ab", w, x, x)


def tempered_weights(temperature: float) -> numpy.ndarray:
    """Returns pi_k^(1 / temperature), normalised.   (M,)"""
    powers = numpy.exp(MIXTURE.logits) ** (1 / temperature)
    return powers / powers.sum()


@SECTION.row("BivariateMixture: probabilities sum to 1", tolerance=1e-10)
def mixture_total(device: str = "cpu") -> float:
    """The integral of p(x) over the plane is 1."""
    return abs(quadrature(1.0, device)[0] - 1)


@SECTION.row("BivariateMixture: moments of density and draws", tolerance=1e-9)
def mixture_moments(device: str = "cpu") -> float:
    """E[x] = sum of pi_k m_k = `mean`, E[x x'] = sum of pi_k (m_k m_k' + temperature S_k), at two temperatures"""
    s, rho, m = numpy.exp(MIXTURE.log_stds), numpy.tanh(MIXTURE.r), MIXTURE.means
    covariances = s[:, :, None] * s[:, None, :]
    covariances[:, [0, 1], [1, 0]] *= rho[:, None]
    errors = []
    for temperature in (1.0, 0.5):
        pi = tempered_weights(temperature)
        errors.append(copy.deepcopy(MIXTURE).to(device).at_temperature(temperature).mean - asarray(pi @ m, device))
        second = m[:, :, None] * m[:, None, :] + temperature * covariances
        for received in (quadrature(temperature, device), averages_of_draws(temperature, device)):
            errors += [received[1] - pi @ m, received[2] - numpy.einsum("k,kab->ab", pi, second)]
    return largest(*errors)


# ---- the density of a drawing


@SECTION.row("sketch: log p(x) = its equations, row by row", tolerance=1e-11)
def equations(device: str = "cpu") -> float:
    """log p(x | z) of four sketches of 0 to 5 points, in units other than the model's, equals its equations."""
    (x, z), decoder = drawings(), small_decoder()
    expected = [density_by_hand(decoder, *pair) for pair in zip(x, z, strict=True)]
    return largest(log_prob(decoder.to(device), z, x, device) - expected)


@SECTION.row("sketch: padding and the batch's order change nothing", tolerance=1e-13)
def padding(device: str = "cpu") -> float:
    """log p(x | z) and the encoder's two-way LSTM do not change with 9 more rows of padding, in another order."""
    (x, z), decoder = drawings((3, 1, 5, 2)), small_decoder(device=device)
    order = numpy.array([2, 0, 3, 1])
    padded = numpy.concatenate([x, numpy.tile(END_ROW, (4, 9, 1))], axis=1)[order]
    network = Bidirectional(lambda noise: LSTM(5, 3, noise), Noise(0)).to(dtype=numpy.float64).to(device)

    def read(x: numpy.ndarray) -> numpy.ndarray:
        packing = Packing(x[:, :, 4].argmax(axis=1), device)
        with no_grad():
            return to_numpy(network(packing.pack(asarray(x, device)), packing))

    log_p = log_prob(decoder, z, x, device)
    return largest(log_prob(decoder, z[order], padded, device) - log_p[order], read(padded) - read(x)[order])


@SECTION.row("sketch: draws are steps of its density", tolerance=1e-11)
def draws(device: str = "cpu") -> float:
    """Rows sampled with known noise at temperature 1/2 equal steps decoded one by one, each after the row before."""
    decoder, rng, (_, z) = small_decoder(device=device), numpy.random.default_rng(2), drawings((1, 1, 1))
    uniform, normal = rng.random((6, 3, 2)), rng.standard_normal((6, 3, 2))
    unit = numpy.array([float(decoder.scale)] * 2 + [1.0] * 3)
    arrays = {"pen and component": asarray(uniform, device), "offset": asarray(normal, device)}
    row, errors = numpy.tile([0.0, 0.0, 1.0, 0.0, 0.0], (3, 1)), []
    with no_grad():
        p = decoder(asarray(z, device))
        x, h, c = to_numpy(p.sample(GivenNoise(arrays), temperature=0.5, longest=6)), p.h0, p.c0
        for t in range(6):
            h, c = p.lstm.step(asarray(row, device), (h, c), p.constant)
            step, ended = p.head(h), row[:, 4:] == 1
            probability = numpy.exp(to_numpy(step.pen.logits)) ** 2
            cumulated = (probability / probability.sum(axis=1, keepdims=True)).cumsum(axis=1)
            pen = (uniform[t, :, :1] >= cumulated).sum(axis=1)
            component = arrays["pen and component"][t, :, 1]
            offset = step.offset.at_temperature(0.5).sample(component, arrays["offset"][t])
            row = numpy.concatenate([to_numpy(offset) * (pen < 2)[:, None], numpy.eye(3)[pen]], axis=1)
            row = numpy.where(ended, END_ROW, row)
            errors.append(x[:, t] - row * unit)
    return largest(*errors, x[:, 6] - END_ROW)


@SECTION.row("sketch: lengths of draws, standard errors", tolerance=3.5)
def lengths(device: str = "cpu") -> float:
    """p(n = 0), and p(n = 1) by quadrature over the one offset, agree with frequencies in 20,000 sketches."""
    decoder, axis = small_decoder(latent_size=0, device=device), numpy.linspace(-40, 40, 201)
    offsets = numpy.stack(numpy.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    ends, probability = numpy.tile(END_ROW, (len(offsets), 1)), numpy.zeros(2)
    none = numpy.zeros((len(offsets), 0))
    probability[0] = numpy.exp(log_prob(decoder, none[:1], END_ROW[None, None], device)).item()
    for pen in ([1, 0, 0], [0, 1, 0]):
        points = numpy.concatenate([offsets, numpy.tile(pen, (len(offsets), 1))], axis=1)
        densities = numpy.exp(log_prob(decoder, none, numpy.stack([points, ends], axis=1), device))
        probability[1] += densities.sum() * (axis[1] - axis[0]) ** 2
    with no_grad():
        sample = decoder(asarray(numpy.zeros((20_000, 0)), device)).sample(Noise(2, device=device), longest=3)
    n = to_numpy(sample)[:, :, 4].argmax(axis=1)
    frequency = numpy.array([(n == k).mean() for k in (0, 1)])
    return largest((frequency - probability) / numpy.sqrt(probability * (1 - probability) / len(n)))


# ---- SketchRNN


@SECTION.row("SketchRNN: q(z | x) = its equations", tolerance=1e-12)
def posterior(device: str = "cpu") -> float:
    """Mean and log std of sketches of 1 to 5 points equal the affine functions of both directions' last states."""
    (x, _), model, errors = drawings((3, 1, 5, 2)), small_model(2, device), []
    p = parameters_of(model.encoder.linear)
    q = model.encode(asarray(x, device))
    for i, n in enumerate((3, 1, 5, 2)):
        rows, last = x[i, :n] / numpy.array([2.5, 2.5, 1.0, 1.0, 1.0]), []
        for direction, order in (("forwards", rows), ("backwards", rows[::-1])):
            h, c = numpy.zeros((2, 3))
            for row in order:
                h, c = state_by_hand(parameters_of(model.encoder.lstm, f"{direction}."), row, h, c)
            last.append(h)
        mean, log_std = (numpy.concatenate(last) @ p["weight"] + p["bias"]).reshape(2, 2)
        errors += [to_numpy(q.mean)[i] - mean, to_numpy(q.log_std)[i] - log_std]
    return largest(*errors)


def joint_on_line(model: SketchRNN, x: Any, device: str) -> tuple[numpy.ndarray, numpy.ndarray, float]:
    """Returns a grid over one latent unit, log p(x, z) of one row or prefix x (1, T, 5) on it, and log p(x)."""
    z = numpy.linspace(-12, 12, 2401)
    points = asarray(z[:, None, None], device)
    with no_grad():
        log_joint = to_numpy(model.decoder(points).log_prob(x) + model.prior.log_prob(points))[:, 0]
    return z, log_joint, float(numpy.logaddexp.reduce(log_joint) + math.log(z[1] - z[0]))


@SECTION.row("SketchRNN, 1-D z: ELBO + KL = log p(x)", tolerance=1e-10)
def evidence(device: str = "cpu") -> float:
    """L(x) + KL(q(z | x) || p(z | x)) = log p(x), with the KL and log p(x) on a grid and the ELBO on nodes of q"""
    model, x, errors = small_model(device=device), asarray(drawings((3, 1, 5, 2))[0], device), []
    e, w = normal_nodes(1, n=401, width=10.0)
    noise = GivenNoise(asarray(e[None], device))
    for row in (x[i : i + 1] for i in range(4)):
        z, log_joint, log_px = joint_on_line(model, row, device)
        log_q = to_numpy(model.encode(row).log_prob(asarray(z[:, None], device)))
        divergence = numpy.exp(log_q) @ (log_q - log_joint + log_px) * (z[1] - z[0])
        with no_grad():
            bound = w @ to_numpy(model.elbo(row.repeat(len(e), axis=0), noise))
        errors.append(bound + divergence - log_px)
    return largest(*errors)


@SECTION.row("SketchRNN: log_likelihood, standard errors", tolerance=3.5)
def importance_sampling(device: str = "cpu") -> float:
    """log p(x) of four sketches from 4,000 samples of q agrees with quadrature; the distance is in standard errors."""
    model, x = small_model(device=device), asarray(drawings((3, 1, 5, 2))[0], device)
    log_px, error, _ = log_likelihood(model, x, 4000)
    return largest(*[(log_px[i] - joint_on_line(model, x[i : i + 1], device)[2]) / error[i] for i in range(4)])


@SECTION.row("SketchRNN: completion, standard errors", tolerance=3.5)
def completion(device: str = "cpu") -> float:
    """p(prefix) = mean of w and E[z | prefix] = mean of w z / mean of w; the distance is in standard errors"""
    model, x, errors = small_model(device=device), asarray(drawings((3, 1, 5, 2))[0], device), []
    for i, n in enumerate((2, 1, 3, 2)):
        z, log_joint, log_px = joint_on_line(model, x[i : i + 1, :n], device)
        draws, log_w = (to_numpy(part) for part in model.log_weights_of_prefix(x[i, :n], 2000))
        w, mean = numpy.exp(log_w - log_px), numpy.exp(log_joint - log_px) @ z * (z[1] - z[0])
        for values in (w - 1, w * (draws[:, 0] - mean)):
            errors.append(values.mean() / (values.std() / math.sqrt(len(w))))
    return largest(*errors)


@SECTION.row("sketch: points left out move no other", tolerance=1e-13)
def fewer_points(device: str = "cpu") -> float:
    """Removing points leaves the pen where it was at each remaining row, removes the right number, keeps line ends."""
    x, _ = drawings((7, 6, 1, 5))
    drop = numpy.random.default_rng(1).random((4, 8)) < 0.7
    received = to_numpy(sketch_rnn.without_points(asarray(x, device), asarray(drop, device)))
    errors = []
    for before, after, wanted in zip(x, received, drop, strict=True):
        n, pen = int(n_points(before)), before[:, 2:]
        inside = [pen[t, 0] == 1 and (t == 0 or pen[t - 1, 0] == 1) and t < n - 1 for t in range(n)]
        stay = [t for t in range(n) if not (inside[t] and wanted[t])]
        expected = numpy.tile(END_ROW, (8, 1))
        expected[: len(stay), :2] = numpy.diff(before[:, :2].cumsum(axis=0)[stay], axis=0, prepend=0.0)
        expected[: len(stay), 2:] = pen[stay]
        errors.append(after - expected)
    return largest(*errors)
