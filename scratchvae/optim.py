"""The optimizers, SGD, Adam and AdamW, update all parameters in one flat buffer; schedules change their rates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import combinations
from numbers import Integral, Real
from typing import Any

from scratchvae.autodiff import Tensor
from scratchvae.backend import array_module, device_of, shares_memory
from scratchvae.errors import InputError
from scratchvae.kernels import Kernel
from scratchvae.schedules import ExponentialSchedule, LinearSchedule, SaturatingSchedule, Schedule, value_at

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

BLOCK = 65_536  # the number of entries updated at a time on the CPU: one block and its moments stay in cache


class Optimizer:
    """parameters <- parameters - update(gradients),   the base of all optimizers, which minimise

    All parameters move into one flat buffer and become views of it; `gradients` are views of another one, for `grad` to
    write into. A subclass defines `update`, and `moments` and `coefficients` if it has moments or several numbers.

    Parameters
    ----------
    parameters : sequence of Tensor
        Leaves of one type on one device.
    learning_rate : number or function
        A function is called with the number of the step, 0, 1, 2, ...
    clip_norm : number, optional
        Gradients whose common norm is larger are scaled down to this norm.
    clip_value : number, optional
        Every entry of the gradients is clipped to [-clip_value, clip_value], before the norm is taken.

    Attributes
    ----------
    parameters : list of Tensor
    gradients : list of arrays
        One for each parameter, in its shape.
    learning_rate, clip_norm, clip_value
        The parameters of these names. They can be set between steps, and are checked then.
    n_steps : int
        The number of steps so far.
    state : dict of arrays
        The moments, flat: "velocity" for SGD, "mean" and "mean_square" for Adam and AdamW.

    See Also
    --------
    SGD, Adam, AdamW : the optimizers.
    scratchvae.grad : computes the gradients.
    scratchvae.fit : trains a model with any of them.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> class SignDescent(sv.optim.Optimizer):
    ...     def update(self, w, g, rate):
    ...         w -= rate * numpy.sign(g)
    >>> w = sv.Tensor(numpy.array([3.0, -1.0]))
    >>> optimizer = SignDescent([w], learning_rate=0.5)
    >>> _ = sv.grad(sv.ops.sum(w * w), optimizer.parameters, out=optimizer.gradients)
    >>> optimizer.step()
    >>> w.data
    array([ 2.5, -0.5])
    """

    moments: tuple[str, ...] = ()  # names of the flat buffers, beside the parameters, that a step reads and updates
    kernel: Kernel | None = None  # the whole update as a kernel, if it has one
    positive = {"learning_rate", "clip_norm", "clip_value"}  # names of settings above 0
    fractions: set[str] = set()  # names of settings from 0 to 1, without 1
    buffers = {"parameters", "gradients", "state", "_values", "_parameter_views", "_gradient"}  # not settings

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
        """Checks a setting whenever it is set, and turns NumPy's numbers into Python's, so that float32 stays so."""
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
        """Returns all attributes except the views and the parameters' buffer, whose values `parameters` hold."""
        views = ("_values", "_parameter_views", "gradients")
        return {name: value for name, value in vars(self).items() if name not in views}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._gather()
        self.gradients = self._views(self._gradient)

    def _gather(self) -> None:
        """Moves the parameters into a flat buffer and makes them views of it."""
        self._values = array_module(self.parameters[0].data).concatenate([x.data.reshape(-1) for x in self.parameters])
        self._parameter_views = self._views(self._values)
        for x, view in zip(self.parameters, self._parameter_views, strict=True):
            x.data = view

    def step(self) -> None:
        """Updates the parameters by the values in `gradients`."""
        self.apply(self.next_coefficients())
        self.mark_changed()

    def next_coefficients(self) -> tuple[float, ...]:
        """Returns the `coefficients` of the next step, and counts that step."""
        if any(x.data is not view for x, view in zip(self.parameters, self._parameter_views, strict=True)):
            hint = "make the optimizer after model.to(...) and load"
            raise InputError(type(self).__name__, "parameters as this optimizer holds them", "one moved since", hint)
        rate = value_at(self.learning_rate, self.n_steps)
        self.n_steps += 1
        return self.coefficients(rate)

    def coefficients(self, rate: float) -> tuple[float, ...]:
        """Returns the numbers that `update` takes at step n_steps = 1, 2, ...: by default the learning rate alone."""
        return (rate,)

    def apply(self, coefficients: Sequence[Any]) -> None:
        """Clips the gradients and updates the parameters. coefficients: numbers, or arrays () on the device."""
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
        """Marks the parameters as changed, so that `grad` refuses results computed from their earlier values."""
        for x, view in zip(self.parameters, self._parameter_views, strict=True):
            x.data = view

    def update(self, *arguments: Any) -> None:
        """Updates one block in place: update(values, gradient, *moments, *coefficients). A subclass defines it."""
        raise NotImplementedError

    def _views(self, flat: Any) -> list[Any]:
        views, start = [], 0
        for x in self.parameters:
            views.append(flat[start : start + x.size].reshape(x.shape))
            start += x.size
        return views


class SGD(Optimizer):
    """v <- momentum v + g,   w <- w - rate v

    Parameters
    ----------
    parameters, learning_rate, clip_norm, clip_value
        As in `Optimizer`.
    momentum : float
        In [0, 1).

    Attributes
    ----------
    momentum
        The parameter of this name.

    See Also
    --------
    Adam : scales the step of each entry by the size of its gradients.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> w = sv.Tensor(numpy.array([3.0, -1.0]))
    >>> optimizer = sv.optim.SGD([w], learning_rate=0.25)
    >>> _ = sv.grad(sv.ops.sum(w * w), optimizer.parameters, out=optimizer.gradients)
    >>> optimizer.step()  # w - 0.25 (2 w)
    >>> w.data
    array([ 1.5, -0.5])
    >>> optimizer
    SGD(learning_rate=0.25, clip_norm=None, clip_value=None, n_steps=1, momentum=0.0) of 2 parameters
    """

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
"""The kernel of `Adam.update`, where rest1 = 1 - beta1, rest2 = 1 - beta2, and eps and rate include the corrections."""


class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2,   w <- w - rate m^ / (sqrt(v^) + eps)

    m^ = m / (1 - b1^t) and v^ = v / (1 - b2^t) at step t = 1, 2, ...

    Source: Kingma & Ba (2015), algorithm 1.

    Parameters
    ----------
    parameters, learning_rate, clip_norm, clip_value
        As in `Optimizer`.
    beta1, beta2, eps : float
        b1 and b2 in [0, 1), and eps above 0.

    Attributes
    ----------
    beta1, beta2, eps
        The parameters of these names.

    See Also
    --------
    AdamW : the same with weight decay.
    SGD : one rate for all entries.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> w = sv.Tensor(numpy.array([3.0, -1.0]))
    >>> optimizer = sv.optim.Adam([w], learning_rate=0.1)
    >>> _ = sv.grad(sv.ops.sum(w * w), optimizer.parameters, out=optimizer.gradients)
    >>> optimizer.step()  # at the first step m^ / sqrt(v^) is the sign of g
    >>> w.data.round(6)
    array([ 2.9, -0.9])
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
        """Returns rate and eps with both corrections in them, as the text below the algorithm says."""
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

    Source: Loshchilov & Hutter (2019), algorithm 2.

    Parameters
    ----------
    parameters, learning_rate, clip_norm, clip_value
        As in `Optimizer`.
    weight_decay : float
        The decay of all parameters, biases included; above 0 and below 1 / rate.
    beta1, beta2, eps
        As in `Adam`.

    Attributes
    ----------
    weight_decay
        The parameter of this name.

    See Also
    --------
    Adam : the same without decay.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> w = sv.Tensor(numpy.array([3.0, -1.0]))
    >>> optimizer = sv.optim.AdamW([w], learning_rate=0.1, weight_decay=0.5)
    >>> optimizer.step()  # the gradients are zero, and the decay is 0.1 x 0.5
    >>> w.data.round(6)
    array([ 2.85, -0.95])
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
        """Returns 1 - rate decay and the coefficients of Adam."""
        return 1 - rate * self.weight_decay, *super().coefficients(rate)

    def update(self, w: Any, g: Any, m: Any, v: Any, kept: Any, rate: Any, eps: Any) -> None:  # type: ignore[override]
        w *= kept
        super().update(w, g, m, v, rate, eps)
