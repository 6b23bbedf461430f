"""What users write, with annotations: mypy --strict passes on it (test_typing.py and .ci/run), and it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import numpy.typing

import scratchvae as sv

Array = numpy.typing.NDArray[numpy.float32]


def operators(w: sv.Tensor, x: Array) -> list[sv.Tensor]:
    """Each of Python's operators, with a number, an array and a Tensor on either side."""
    numbers = [w * 2, 2 * w, w + 1.5, 1.5 + w, w - 1, 1 - w, w / 2, 2 / w, w**2, 2**w, -w, abs(w)]
    arrays = [w * x, x * w, w + x, x + w, w - x, x - w, w / x, x / w, w @ x.T, x @ w.T]
    tensors = [w * w, w + w, w - w, w / w, w @ w.T, w**w]
    return numbers + arrays + tensors


def methods(w: sv.Tensor) -> list[sv.Tensor]:
    """Indices, the methods of arrays, and rows one by one."""
    rows = [row * 2 for row in w]
    parts = [w[0], w[:, None], w[..., -1], w[numpy.array([0, 1])]]
    return [*rows, *parts, w.T, w.sum(), w.sum(axis=0), w.mean(0, keepdims=True), w.reshape(-1), w.reshape((-1, 1))]


def facts(w: sv.Tensor) -> tuple[tuple[int, ...], int, int, int, float, bool, str]:
    """Facts of a Tensor, by their types."""
    inside: Array = w.data
    assert inside.dtype == w.dtype and bool((w < 1e9).all()) and bool((w == w).all()) and (w != w).sum() == 0
    return w.shape, w.ndim, w.size, len(w), float(w.sum()), bool(w.sum() > 0), repr(w)


def norm(w: sv.Tensor) -> sv.Tensor:
    """|w|, by operations: of a Tensor they are one, and a function may say so."""
    return sv.ops.sqrt(sv.ops.sum(sv.ops.square(w)))


def average(w: sv.Tensor) -> sv.Tensor:
    """Operations that are made of others."""
    weights = sv.ops.softmax(sv.ops.squeeze(sv.ops.expand_dims(w, 0), 0), axis=-1)
    return sv.ops.mean(sv.ops.exp(w) * weights) + sv.ops.log_softmax(w).sum()


@sv.elementwise
def cube(x: Any) -> Any:
    """x^3,   dy/dx = 3 x^2"""
    return x**3


cube.defvjp(lambda g, y, x: 3 * g * x**2)


class Network(sv.nn.Module):
    """A user's own network."""

    def __init__(self, sizes: tuple[int, ...], noise: sv.Noise) -> None:
        self.layers = [sv.nn.Linear(a, b, noise.child(f"{a} {b}")) for a, b in zip(sizes, sizes[1:])]  # noqa: B905
        self.scale = sv.Tensor(numpy.ones(sizes[-1], dtype=numpy.float32))

    def __call__(self, x: Any) -> Any:
        for layer in self.layers:
            x = sv.ops.tanh(layer(x))
        return self.scale * x


def gradients(w: sv.Tensor) -> list[Any]:
    """d norm / dw, and a step with it."""
    optimizer = sv.optim.Adam([w], learning_rate=sv.optim.LinearSchedule(0.1, 0.0, 10), beta1=0.8)
    loss = norm(cube(w) + average(w))
    sv.grad(loss, optimizer.parameters, out=optimizer.gradients)
    optimizer.step()
    w.data *= 2
    assert sv.check_gradients(cube, numpy.array([0.5, -2.0])) < 1e-6
    return sv.grad(norm(w), [w])


def training(folder: Path, x: Array) -> dict[str, list[float]]:
    """A model of one's own networks, trained, scored, saved and loaded."""
    size, noise = x.shape[1], sv.Noise(seed=0)
    encoder = sv.models.GaussianEncoder(Network((size, 4), noise))
    decoder = sv.models.BernoulliDecoder(Network((2, size), noise))
    model = sv.VAE(encoder, decoder, latent_size=2, observed_shape=(size,)).to(dtype=numpy.float32)
    history = sv.fit(model, x, epochs=1, batch_size=4, learning_rate=1e-3, progress=False)
    scores: dict[str, Any] = sv.evaluate(model, x)
    weights: list[sv.Tensor] = model.encoder.parameters() + model.parameters()
    bound: Array = sv.to_numpy(model.elbo(x, noise))
    with sv.no_grad():
        means: Array = model.encode(x).mean
    sv.save(model, folder / "model.npz")
    loaded: sv.VAE = sv.load(folder / "model.npz", into=model)
    assert len(weights) == 9 and scores["n"] == len(bound) == len(means) == len(model.sample(len(x)))
    assert loaded is model and model.count() == sum(w.size for w in model.parameters()) and model.dtype == x.dtype
    return history


def main(folder: Path) -> None:
    """Run all of it."""
    x = numpy.linspace(0.1, 0.9, 12, dtype=numpy.float32).reshape(3, 4)
    w = sv.Tensor(x.copy())
    assert all(isinstance(y, sv.Tensor) for y in operators(w, x) + methods(w))
    assert facts(w)[:4] == ((3, 4), 2, 12, 3) and norm(w).shape == average(w).shape == ()
    assert gradients(w)[0].shape == (3, 4)
    assert sorted(training(folder, x))[0] == "active_units"
