"""One training step of M2, 784-500-50 softplus, 100 labelled and 100 unlabelled rows, float32: the engine and PyTorch.

Both compute J~ / N with all ten classes of the unlabelled rows in one batch, and the part of x in the encoder's first
layer once for all of them; then all gradients, and an update by Adam. The column "gradients" leaves Adam out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy

import scratchvae as sv
from benchmarks.timing import interleaved
from scratchvae.backend import keep_freed_memory

Step = Callable[[], object]
M, N_CLASSES, N, N_LABELLED = 100, 10, 50_000, 100  # rows of each kind in a step; classes; rows of the data sets
ALPHA = sv.objectives.usual_alpha(N_LABELLED, N)


def engine(x: numpy.ndarray, y: numpy.ndarray) -> tuple[Step, Step]:
    """The gradients alone, and the whole step, by scratchvae."""
    model = sv.SemiSupervisedVAE.mlp(activation="softplus")
    optimizer = sv.optim.Adam(model.parameters())
    labels = numpy.where(numpy.arange(N) < N_LABELLED, numpy.arange(N) % 10, -1)
    objective = sv.objectives.semi_supervised(model, labels)

    def gradients():
        value, _ = objective.value(x, y, sv.Noise(0, optimizer.n_steps), 1, 1.0)
        sv.grad(-value, optimizer.parameters, out=optimizer.gradients)

    def step():
        gradients()
        optimizer.step()

    return gradients, step


def pytorch(x: numpy.ndarray, y: numpy.ndarray) -> tuple[Step, Step]:
    """The same by PyTorch, eager, from the same initial values."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, linear, one_hot, softplus

    model = sv.SemiSupervisedVAE.mlp(activation="softplus")
    w = {
        name: torch.nn.Parameter(torch.tensor(v.data.T.copy() if v.ndim == 2 else v.data.copy()))
        for name, v in model.named_parameters().items()
    }
    adam = torch.optim.Adam(w.values(), lr=1e-3)
    x, y = torch.tensor(x), torch.tensor(y)
    every = torch.eye(N_CLASSES)[:, None]

    def layer(h, name):
        return linear(h, w[f"{name}.weight"], w[f"{name}.bias"])

    def bound(x, y):
        """L(x, y) for indicators y."""
        h = layer(x, "encoder.network.body") + linear(y, w["encoder.network.class_weight"])
        m, log_s = layer(softplus(h), "encoder.network.head.layers.0").chunk(2, dim=-1)
        z = m + log_s.exp() * torch.randn_like(m)
        code = torch.cat([y.expand(*z.shape[:-1], N_CLASSES), z], dim=-1)
        hidden = softplus(layer(code, "decoder.network.layers.0"))
        logits = layer(hidden, "decoder.network.layers.1")
        target = x.expand(logits.shape)
        reconstruction = -binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1)
        kl = 0.5 * (m.square() + (2 * log_s).exp() - 2 * log_s - 1).sum(-1)
        return reconstruction - kl - numpy.log(N_CLASSES)

    def log_q(x):
        h = softplus(layer(x, "classifier.network.layers.0"))
        return layer(h, "classifier.network.layers.1").log_softmax(-1)

    share = N_LABELLED / N

    def gradients():
        labelled, others = x[:M], x[M:]
        supervised = bound(labelled, one_hot(y, N_CLASSES).float()).mean()
        log_prob = log_q(others)
        weight = log_prob.exp().T
        unsupervised = ((weight * bound(others, every)).sum(0) - (log_prob.exp() * log_prob).sum(-1)).mean()
        classification = log_q(labelled).gather(1, y[:, None]).mean()
        adam.zero_grad()
        (-share * (supervised + ALPHA * classification) - (1 - share) * unsupervised).backward()

    def step():
        gradients()
        adam.step()

    return gradients, step


def main(arguments: list[str]) -> None:
    """Print milliseconds per step, and ratios to PyTorch."""
    rng = numpy.random.default_rng(0)
    x, y = rng.random((2 * M, 784), dtype=numpy.float32), rng.integers(N_CLASSES, size=M)
    try:
        pairs = {make.__name__: make(x, y) for make in (engine, pytorch)}
    except ImportError as error:
        print(f"not installed, so there is nothing to compare with: {error.name}")
        return
    keep_freed_memory()  # as `fit` does; PyTorch in the same process has the same good of it
    print("one step of M2, 784-500-50, 100 labelled + 100 unlabelled rows, float32: milliseconds, ratio to PyTorch")
    print(f"{'':16s}{'gradients':>12s}{'ratio':>8s}{'whole step':>14s}{'ratio':>8s}")
    gradients, steps = (
        interleaved({name: pair[i] for name, pair in pairs.items()}, rounds=30, reference="pytorch") for i in (0, 1)
    )
    for name in pairs:
        (gradient, gradient_ratio), (step, step_ratio) = gradients[name], steps[name]
        print(f"{name:16s}{gradient * 1e3:12.2f}{gradient_ratio:8.2f}{step * 1e3:14.2f}{step_ratio:8.2f}")
