"""Stochastic gradient descent and Adam on one flat buffer, clipping, and schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from numbers import Integral, Real
from typing import Any

from scratchvae.autodiff import Tensor
from scratchvae.backend import array_module, device_of, shares_memory
from scratchvae.errors import InputError
from scratchvae.kernels import Kernel

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "ExponentialSchedule",
    "LinearSchedule",
    "Optimizer",
    "SaturatingSchedule",
    "Schedule",
    "value_at",
]

Schedule = Callable[[int], float]
BLOCK = 65_536  # entries updated at a time on the CPU: what one block needs stays in cache


class Optimizer:
    """Minimises: parameters <- parameters - update(gradients).

    All parameters move into one flat buffer, and become views of it; so are `gradients`, for `grad` to write into:

        sv.grad(loss, optimizer.parameters, out=optimizer.gradients)
        optimizer.step()

    Parameters
    ----------
    parameters : Tensors, leaves of one type on one device
    learning_rate : number, or function of the step (0, 1, 2, ...)
    clip_norm : number, optional
        If the norm of all gradients together is larger, they are scaled down to it.
    clip_value : number, optional
        Every entry of the gradients is held within [-clip_value, clip_value].
    """

    moments: tuple[str, ...] = ()  # names of the flat buffers, beside the parameters, that a step reads and updates
    kernel: Kernel | None = None  # of the whole update, where there is one
    positive = {"learning_rate", "clip_norm", "clip_value"}  # names of settings above 0
    fractions: set[str] = set()  # names of settings from 0 to 1, without 1
    buffers = {"parameters", "gradients", "state", "_values", "_parameter_views", "_gradient"}  # what is no setting

    def __init__(
        self,
        parameters: Sequence[Tensor],
        learning_rate: float | Schedule = 1e-3,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        alone = isinstance(parameters, Tensor) or not isinstance(parameters, Iterable)
        self.parameters: list[Tensor] = [parameters] if alone else list(parameters)
        others = {type(x).__name__ for x in self.parameters if not isinstance(x, Tensor)}
        if others:
            raise InputError(type(self).__name__, "Tensors", ", ".join(sorted(others)), "model.parameters() gives them")
        if len({id(x) for x in self.parameters}) < len(self.parameters) or any(x.primitive for x in self.parameters):
            raise InputError(type(self).__name__, "leaves, each of them once", "a result or a repetition")
        if not self.parameters or len({(x.dtype, device_of(x.data)) for x in self.parameters}) > 1:
            received = ", ".join(sorted({f"{x.dtype} on {device_of(x.data)}" for x in self.parameters})) or "none"
            raise InputError(type(self).__name__, "parameters of one type on one device", received)
        if any(shares_memory(x.data, y.data) for x, y in combinations(self.parameters, 2)):
            hint = "one Tensor in both places ties them"
            raise InputError(type(self).__name__, "parameters with memory of their own", "two that share it", hint)
        self.learning_rate, self.clip_norm, self.clip_value = learning_rate, clip_norm, clip_value
        self.n_steps = 0
        self._gather()
        xp = array_module(self._values)
        self._gradient = xp.zeros_like(self._values)
        self.gradients = self._views(self._gradient)
        self.state = {name: xp.zeros_like(self._values) for name in self.moments}

    def __setattr__(self, name: str, value: Any) -> None:
        """Check a setting whenever it is set. NumPy's numbers become Python's, which leave float32 as it is."""
        optional = value is None and name.startswith("clip_") or name == "learning_rate" and callable(value)
        if name in self.positive | self.fractions and not optional:
            number = isinstance(value, Real) and not isinstance(value, bool)
            if name in self.positive and not (number and 0 < value < math.inf):
                raise InputError(type(self).__name__, f"a positive {name}", repr(value))
            if name in self.fractions and not (number and 0 <= value < 1):
                raise InputError(type(self).__name__, f"a {name} of at least 0 and below 1", repr(value))
            value = int(value) if isinstance(value, Integral) else float(value)
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        settings = (f"{name}={value!r}" for name, value in vars(self).items() if name not in self.buffers)
        return f"{type(self).__name__}({', '.join(settings)}) of {self._values.size:,} parameters"

    def __getstate__(self) -> dict[str, Any]:
        """All but the parameters' buffer, which `parameters` hold already, and the views."""
        views = ("_values", "_parameter_views", "gradients")
        return {name: value for name, value in vars(self).items() if name not in views}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._gather()
        self.gradients = self._views(self._gradient)

    def _gather(self) -> None:
        """Move the parameters into a flat buffer, of which they become views."""
        self._values = array_module(self.parameters[0].data).concatenate([x.data.reshape(-1) for x in self.parameters])
        self._parameter_views = self._views(self._values)
        for x, view in zip(self.parameters, self._parameter_views, strict=True):
            x.data = view

    def step(self) -> None:
        """Update the parameters by the values in `gradients`."""
        self.apply(self.next_coefficients())
        self.mark_changed()

    def next_coefficients(self) -> tuple[float, ...]:
        """The `coefficients` of the next step, which counts from here on."""
        if any(x.data is not view for x, view in zip(self.parameters, self._parameter_views, strict=True)):
            hint = "make the optimizer after model.to(...) and load"
            raise InputError(type(self).__name__, "parameters as this optimizer holds them", "one moved since", hint)
        rate = value_at(self.learning_rate, self.n_steps)
        self.n_steps += 1
        return self.coefficients(rate)

    def coefficients(self, rate: float) -> tuple[float, ...]:
        """What `update` takes of step n_steps = 1, 2, ... beside the arrays: by default the learning rate alone."""
        return (rate,)

    def apply(self, coefficients: Sequence[Any]) -> None:
        """Clip the gradients and update by them. coefficients: numbers, or arrays of shape () on the device."""
        xp = array_module(self._gradient)
        if self.clip_value is not None:
            xp.clip(self._gradient, -self.clip_value, self.clip_value, out=self._gradient)
        if self.clip_norm is not None:
            norm = xp.sqrt((self._gradient * self._gradient).sum())
            self._gradient *= self.clip_norm / xp.maximum(norm, self.clip_norm)
        n = self._values.size
        one_pass = self.kernel and self.kernel.on(self._values)
        block = n if one_pass or device_of(self._values) == "gpu" else BLOCK
        for start in range(0, n, block):
            part = slice(start, start + block)
            moments = (self.state[name][part] for name in self.moments)
            self.update(self._values[part], self._gradient[part], *moments, *coefficients)

    def mark_changed(self) -> None:
        """Let `grad` refuse what was computed from the parameters' values so far, which change in place."""
        for x, view in zip(self.parameters, self._parameter_views, strict=True):
            x.data = view

    def update(self, *arguments: Any) -> None:
        """update(values, gradient, *moments, *coefficients): one block, in place. A subclass defines it."""
        raise NotImplementedError

    def _views(self, flat: Any) -> list[Any]:
        views, start = [], 0
        for x in self.parameters:
            views.append(flat[start : start + x.size].reshape(x.shape))
            start += x.size
        return views


class SGD(Optimizer):
    """v <- momentum v + g,   w <- w - rate v"""

    moments = ("velocity",)
    fractions = {"momentum"}

    def __init__(
        self,
        parameters: Sequence[Tensor],
        learning_rate: float | Schedule = 1e-2,
        momentum: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(parameters, learning_rate, clip_norm, clip_value)
        self.momentum = momentum

    def update(self, w: Any, g: Any, v: Any, rate: Any) -> None:
        v *= self.momentum
        v += g
        w -= rate * v


ADAM = Kernel(
    "adam",
    "T g[i], T beta1, T rest1, T beta2, T rest2, T eps, T rate",
    "T w[i], T m[i], T v[i]",
    """
    m = beta1 * m + rest1 * g;
    v = beta2 * v + rest2 * (g * g);
    w -= rate * (m / (sqrt(v) + eps));
    """,
)
"""`Adam.update`, with rest1 = 1 - beta1 and rest2 = 1 - beta2, and eps and rate corrected for the step."""


class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2,   w <- w - rate m^ / (sqrt(v^) + eps)

    with m^ = m / (1 - b1^t) and v^ = v / (1 - b2^t) at step t = 1, 2, ...

    Source: Kingma & Ba (2015), algorithm 1.
    """

    moments, kernel = ("mean", "mean_square"), ADAM
    positive = Optimizer.positive | {"eps"}
    fractions = {"beta1", "beta2"}

    def __init__(
        self,
        parameters: Sequence[Tensor],
        learning_rate: float | Schedule = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(parameters, learning_rate, clip_norm, clip_value)
        if self.parameters[0].dtype.itemsize < 4:
            received, hint = str(self.parameters[0].dtype), "eps and the squares of gradients are 0 there"
            raise InputError("Adam", "parameters of float32 or float64", received, hint)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps

    def coefficients(self, rate: float) -> tuple[float, ...]:
        """Rate and eps, into which both corrections go, as after the algorithm."""
        t = self.n_steps
        bias = math.sqrt(1 - self.beta2**t)
        return rate * bias / (1 - self.beta1**t), self.eps * bias

    def update(self, w: Any, g: Any, m: Any, v: Any, rate: Any, eps: Any) -> None:
        compiled = ADAM.on(w)
        if compiled:
            compiled(g, self.beta1, 1 - self.beta1, self.beta2, 1 - self.beta2, eps, rate, w, m, v)
            return
        xp = array_module(w)
        m *= self.beta1
        m += (1 - self.beta1) * g
        v *= self.beta2
        v += (1 - self.beta2) * (g * g)
        step = xp.sqrt(v)
        step += eps
        xp.divide(m, step, out=step)
        step *= rate
        w -= step


class AdamW(Adam):
    """w <- (1 - rate decay) w, and then the step of Adam: weight decay that Adam's denominators do not scale

    weight_decay: of every parameter, biases too; below 1 / rate.   Source: Loshchilov & Hutter (2019), algorithm 2.
    """

    positive = Adam.positive | {"weight_decay"}

    def __init__(
        self,
        parameters: Sequence[Tensor],
        learning_rate: float | Schedule = 1e-3,
        weight_decay: float = 1e-2,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(parameters, learning_rate, beta1, beta2, eps, clip_norm, clip_value)
        self.weight_decay = weight_decay

    def coefficients(self, rate: float) -> tuple[float, ...]:
        """1 - rate decay, and those of Adam."""
        return 1 - rate * self.weight_decay, *super().coefficients(rate)

    def update(self, w: Any, g: Any, m: Any, v: Any, kept: Any, rate: Any, eps: Any) -> None:  # type: ignore[override]
        w *= kept
        super().update(w, g, m, v, rate, eps)


def value_at(value: float | Schedule, step: int) -> float:
    """A number as it is, or a schedule's value at the step. Raises InputError for one below 0, and for no number."""
    number = value(step) if callable(value) else value
    if not (isinstance(number, Real) and math.isfinite(number)):
        raise InputError("schedule", "a finite number", f"{number!r} at step {step}")
    if number < 0:
        raise InputError("schedule", "a number of at least 0", f"{number!r} at step {step}")
    return float(number)


@dataclass(frozen=True)
class LinearSchedule:
    """start + (end - start) step / n_steps, and end from n_steps on: for warming up the KL weight, say."""

    start: float
    end: float
    n_steps: int

    def __post_init__(self) -> None:
        _check_numbers(self)
        if self.n_steps < 1:
            raise InputError("LinearSchedule", "n_steps of at least 1", repr(self.n_steps))

    def __call__(self, step: int) -> float:
        return self.start + (self.end - self.start) * min(1.0, step / self.n_steps)


@dataclass(frozen=True)
class ExponentialSchedule:
    """max(start factor^step, smallest): for a decaying learning rate, say."""

    start: float
    factor: float
    smallest: float = 0.0

    def __post_init__(self) -> None:
        _check_numbers(self)

    def __call__(self, step: int) -> float:
        return max(self.start * self.factor**step, self.smallest)


@dataclass(frozen=True)
class SaturatingSchedule:
    """end - (end - start) factor^step: from start to end, ever more slowly; for annealing the KL weight, say.

    w eta_step, eta_step = 1 - (1 - eta_min) R^step, is SaturatingSchedule(w eta_min, w, R). factor: from 0 to 1.

    Source: Ha & Eck (2017), the annealing of their training loss, with eta_min = 0.01 and R = 0.99995.
    """

    start: float
    end: float
    factor: float

    def __post_init__(self) -> None:
        _check_numbers(self)
        if self.factor > 1:
            raise InputError("SaturatingSchedule", "a factor from 0 to 1", repr(self.factor))

    def __call__(self, step: int) -> float:
        return self.end - (self.end - self.start) * self.factor**step


def _check_numbers(schedule: LinearSchedule | ExponentialSchedule | SaturatingSchedule) -> None:
    """Raise InputError unless every field is a finite number of at least 0."""
    for field in fields(schedule):
        value = getattr(schedule, field.name)
        if isinstance(value, bool) or not (isinstance(value, Real) and 0 <= value < math.inf):
            raise InputError(type(schedule).__name__, f"a number of at least 0 as {field.name}", repr(value))
