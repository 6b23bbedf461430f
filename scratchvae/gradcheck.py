"""`check_gradients` checks gradients numerically, for the package's tests and a user's own primitives and models."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.arrays import as_floats
from scratchvae.autodiff import Tensor, grad
from scratchvae.backend import asarray, device_of, to_numpy
from scratchvae.errors import InputError


class GradientError(AssertionError):
    """Is raised if a gradient differs from its central difference, or is not a number.

    See Also
    --------
    check_gradients : raises it.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> @sv.primitive
    ... def square(x):
    ...     return x * x
    >>> square.defvjp(lambda g, y, x: g * x)  # 2 x is right
    >>> try:
    ...     sv.check_gradients(square, numpy.array([3.0]))
    ... except sv.GradientError as error:
    ...     print(str(error).partition(":")[0])
    square
    """


def check_gradients(function: Callable[..., Any], *inputs: Any, order: int = 2, tolerance: float = 1e-6) -> float:
    """df/dx_i = (f(x + h e_i) - f(x - h e_i)) / 2h, checked for every entry of every input.

    Parameters
    ----------
    function : callable
        Takes the inputs as Tensors and returns a Tensor of any shape, which is contracted with a random cotangent.
    *inputs : float64 arrays or leaf Tensors
        A leaf, such as a model's parameter, is perturbed in place and restored.
    order : int
        With 2, the gradient, contracted with random vectors, is itself differentiated and checked, and so on.
    tolerance : float
        The largest |a - b| / max(1, |a|, |b|) that passes.

    Returns
    -------
    float
        The largest such error, over all entries and orders.

    Raises
    ------
    GradientError
        Its message names the function, the input, its worst entry, and what was expected and received there.
    InputError
        If an input is not float64, or the output does not depend on a Tensor.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> sv.check_gradients(sv.ops.tanh, numpy.array([-1.0, 0.5])) < 1e-6
    True
    """
    if not isinstance(order, int) or order < 1:
        raise InputError("check_gradients", "order of at least 1", repr(order))
    leaves = [x if isinstance(x, Tensor) else Tensor(as_floats("check_gradients", x).copy()) for x in inputs]
    for x in leaves:
        if x.dtype != numpy.float64:
            raise InputError("check_gradients", "float64 inputs", str(x.dtype), "rounding hides errors in float32")
    name = getattr(function, "__name__", type(function).__name__)
    return _check(function, function, leaves, name, order, tolerance, numpy.random.default_rng(0))


def _check(
    function: Callable[..., Any],
    value: Callable[..., Any],
    leaves: list[Tensor],
    name: str,
    order: int,
    tolerance: float,
    rng: Any,
) -> float:
    """Returns the largest error of the gradients of `function`; `value` gives its values, perhaps without a graph."""
    output = function(*leaves)
    if not isinstance(output, Tensor):
        raise InputError("check_gradients", f"a Tensor from {name}", type(output).__name__, "nothing to differentiate")
    if name == "<lambda>" and output.primitive:
        name = str(output.primitive)
    cotangent = asarray(rng.standard_normal(output.shape), device_of(output.data))

    def contracted(*leaves: Tensor) -> Any:
        return ops.sum(function(*leaves) * cotangent)

    def contracted_value(*leaves: Tensor) -> Any:
        return ops.sum(value(*leaves) * cotangent)

    readings = [grad(contracted(*leaves), leaves)]
    if order > 1:  # a rule must give the same on Tensors as on arrays
        readings.append(grad(contracted(*leaves), leaves, create_graph=True))
    worst = 0.0
    for i, x in enumerate(leaves):
        expected = _central_differences(contracted_value, leaves, x)
        for gradients in readings:
            received = to_numpy(gradients[i])
            error = numpy.abs(received - expected) / numpy.maximum(1, numpy.maximum(abs(received), abs(expected)))
            error = numpy.where(numpy.isfinite(error), error, numpy.inf)
            if error.size and error.max() > tolerance:
                entry = tuple(int(k) for k in numpy.unravel_index(error.argmax(), error.shape))
                raise GradientError(
                    f"{name}: gradient by input {i} at entry {entry}: expected {expected[entry]:.9g} by central "
                    f"difference, received {received[entry]:.9g} (error {error.max():.2g}, tolerance {tolerance:g})"
                )
            worst = max(worst, error.max(initial=0.0))
    if order == 1:
        return float(worst)

    directions = [asarray(rng.standard_normal(x.shape), device_of(x.data)) for x in leaves]

    def slope(*leaves: Tensor, create_graph: bool = True) -> Any:
        gradients = grad(contracted(*leaves), leaves, create_graph=create_graph)
        return sum(ops.sum(g * direction) for g, direction in zip(gradients, directions, strict=True))

    value = partial(slope, create_graph=False)
    return max(float(worst), _check(slope, value, leaves, f"gradient of {name}", order - 1, tolerance, rng))


def _central_differences(function: Callable[..., Any], leaves: list[Tensor], x: Tensor) -> numpy.ndarray:
    """Returns the slope of the scalar function along each entry of one leaf, in the shape of the leaf."""
    slopes = numpy.zeros(x.shape)
    for entry in numpy.ndindex(*x.shape):
        start = float(x.data[entry])
        h = 6e-6 * max(1.0, abs(start))
        values = []
        try:
            for shifted in (start + h, start - h):
                x.data[entry] = shifted
                values.append(float(to_numpy(function(*leaves))))
        finally:
            x.data[entry] = start
        slopes[entry] = (values[0] - values[1]) / (2 * h)
    return slopes
