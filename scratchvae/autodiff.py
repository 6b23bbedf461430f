"""Reverse-mode automatic differentiation: the file to read first.

A primitive is a plain function on arrays with one rule per argument. The rule turns the cotangent of the output,
g = d loss / d y, into that of the argument, d loss / d x = g dy/dx:

    @elementwise
    def tanh(x):
        return array_module(x).tanh(x)

    tanh.defvjp(lambda g, y, x: g * (1 - y * y))

Called on Tensors, a primitive also leaves a node: a Tensor with its value, the primitive and the arguments. `grad`
walks the nodes from the loss back to what is wanted, from the youngest to the oldest, and adds up what the rules
return. A rule's text runs on raw arrays, and on Tensors when the gradient is to be differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, update_wrapper
from itertools import count
from operator import attrgetter
from typing import Any

import numpy

from scratchvae.arrays import as_floats, is_foreign, type_name
from scratchvae.backend import MODULE_OF_TYPE, array_module, device_of, to_numpy
from scratchvae.errors import DeviceError, InputError, ShapeError

Array = Any  # numpy.ndarray or cupy.ndarray
_births, _birth = count(), attrgetter("birth")
_recording: ContextVar[bool] = ContextVar("recording", default=True)


class Tensor:
    """An array to differentiate by, or one computed from such: a node of the graph.

    Tensor(array) is a leaf; it aliases the array, which must hold floating-point numbers. A result of primitives also
    knows its `primitive`, the `arguments` (Tensors, arrays and constants), their values as `arrays`, and the `options`
    (such as an axis). Links go from younger to older only, so there are no cycles, and an activation dies with the last
    result that needs it.
    """

    __slots__ = ("data", "primitive", "arguments", "arrays", "options", "birth", "__weakref__")
    __array_ufunc__ = None  # NumPy leaves array * tensor to Tensor.__rmul__
    __array_priority__ = 1000.0  # and so does CuPy

    def __init__(self, data: Array) -> None:
        if isinstance(data, Tensor):
            raise InputError("Tensor", "an array", "a Tensor", "x.data is its array")
        data = as_floats("Tensor", data)
        self.data, self.primitive, self.arguments, self.arrays, self.options = data, None, (), (), {}
        self.birth = next(_births)

    shape = property(lambda self: self.data.shape, doc="The shape of the array.")
    dtype = property(lambda self: self.data.dtype, doc="The type of the array's entries.")
    ndim = property(lambda self: self.data.ndim, doc="The number of axes.")
    size = property(lambda self: self.data.size, doc="The number of entries.")

    def get(self) -> numpy.ndarray:
        """The value as a NumPy array, as `sv.to_numpy(x)` has it for Tensors and CuPy arrays alike."""
        return to_numpy(self.data)

    def __array__(self, *_: Any, **__: Any) -> numpy.ndarray:
        raise TypeError("a Tensor is not converted silently: use sv.to_numpy(x), or compute inside sv.no_grad()")

    def __float__(self) -> float:
        return float(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"Tensor({self.primitive or 'leaf'}, shape={self.shape}, {self.dtype}, {device_of(self.data)})"


@to_numpy.register
def _(x: Tensor) -> numpy.ndarray:
    return to_numpy(x.data)


class Primitive:
    """A function on arrays with a vector-Jacobian rule per argument; `primitive` and `elementwise` make one."""

    def __init__(self, function: Callable[..., Array], elementwise: bool) -> None:
        update_wrapper(self, function)
        self.function, self.elementwise = function, elementwise
        self.defvjp()

    def defvjp(self, *rules: Callable[..., Array] | None) -> None:
        """Rules in the order of the arguments: rule(g, y, *arguments, **options) -> cotangent of that argument.

        None stands for an argument by which the primitive cannot be differentiated, such as an index. A rule may have
        an attribute `into`, the same on arrays: into(out, g, y, *arguments, **options) writes the cotangent into `out`
        and returns it. `grad` then puts a large gradient straight where it belongs.
        """
        self.rules = dict(enumerate(rules))

    def defvjp_each(self, rule: Callable[..., Array]) -> None:
        """One rule for any number of arguments: rule(i, g, y, *arguments, **options) -> cotangent of argument i."""
        self.rules = _EveryArgument(rule)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from_tensor = False
        arrays = []
        for x in arguments:
            if type(x) is Tensor:
                from_tensor = True
                x = x.data
            arrays.append(x)
        if options and any(type(value) is Tensor for value in options.values()):
            raise InputError(str(self), "Tensors by position", "one by name")
        try:
            data = self.function(*arrays, **options)
            if type(data) not in MODULE_OF_TYPE:
                array_module(data)
        except (TypeError, ValueError) as error:
            explained = self._explain(error, arrays)
            if explained is error:
                raise
            raise explained from error
        if not (from_tensor and _recording.get()):
            return data
        node = Tensor.__new__(Tensor)
        node.data, node.primitive, node.arguments, node.arrays, node.options = data, self, arguments, arrays, options
        node.birth = next(_births)
        return node

    def _explain(self, error: Exception, arrays: list[Any]) -> Exception:
        """The error in the package's form where libraries, devices or shapes do not fit, else the error itself."""
        foreign = next((x for x in arrays if is_foreign(x)), None)
        if foreign is not None:
            return InputError(str(self), "an array or a number", type_name(foreign), "sv.to_numpy(x)")
        arrays = [x for x in arrays if hasattr(x, "shape")]
        devices = [device_of(x) for x in arrays]
        if len(set(devices)) > 1:
            return DeviceError(str(self), "arrays on one device", " and ".join(devices), "asarray(x, device) moves one")
        if isinstance(error, InputError) or not isinstance(error, ValueError):
            return error
        return ShapeError(str(self), "shapes that fit", " and ".join(str(x.shape) for x in arrays), str(error))

    def __repr__(self) -> str:
        return self.__name__.strip("_")


class _EveryArgument:
    """Stands for a dict of rules, one per argument, however many there are."""

    def __init__(self, rule: Callable[..., Array]) -> None:
        self.rule = rule

    def get(self, i: int) -> Callable[..., Array]:
        return partial(self.rule, i)


def primitive(function: Callable[..., Array]) -> Primitive:
    """Decorator: make a function on arrays differentiable. Its rules return the shape of the argument exactly."""
    return Primitive(function, elementwise=False)


def elementwise(function: Callable[..., Array]) -> Primitive:
    """Decorator for functions that act entry by entry and broadcast: the engine undoes the broadcasting."""
    return Primitive(function, elementwise=True)


@contextmanager
def no_grad() -> Iterator[None]:
    """Inside, primitives leave no nodes: from Tensors or arrays they return plain arrays. Per thread and task."""
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


def grad(
    loss: Tensor, wanted: Sequence[Tensor], out: Sequence[Array] | None = None, create_graph: bool = False
) -> list[Any]:
    """d loss / d x for each x in wanted.   loss: scalar Tensor; wanted: leaves or intermediate results

    Returns fresh arrays in the order of wanted; zeros for an x that the loss does not reach. With `out`, arrays of the
    same shapes, the gradients are written there instead. With `create_graph=True` the gradients are Tensors that can be
    differentiated again. Raises InputError unless the loss is a scalar Tensor and wanted holds Tensors.
    """
    if not isinstance(loss, Tensor) or loss.shape != ():
        received = f"shape {loss.shape}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ShapeError("grad", "a scalar Tensor as loss", received, "sum or average it, outside no_grad()")
    if isinstance(wanted, Tensor) or not all(isinstance(x, Tensor) for x in wanted):
        raise InputError("grad", "a list of Tensors to differentiate by", type(wanted).__name__, "grad(loss, [w, b])")
    if out is not None and create_graph:
        raise InputError("grad", "out or create_graph=True", "both", "arrays to write into hold no graph")
    if out is not None and [x.shape for x in out] != [x.shape for x in wanted]:
        raise ShapeError("grad", f"out of shapes {[x.shape for x in wanted]}", f"{[x.shape for x in out]}")

    ones = array_module(loss.data).ones_like(loss.data)
    cotangents = {id(loss): Tensor(ones) if create_graph else ones}
    ours = set()  # whose cotangent is an array of our own, so that later contributions may be added in place
    if out is None:
        out = [] if create_graph else [array_module(x.data).empty_like(x.data) for x in wanted]
    targets = {id(x): array for x, array in zip(wanted, out, strict=False)}
    final = {id(x) for x in wanted}
    for node, leading in reversed(_path(loss, wanted)):
        key, rules = id(node), node.primitive.rules
        g = cotangents[key] if key in final else cotangents.pop(key)
        y, arguments = (node, node.arguments) if create_graph else (node.data, node.arrays)
        for i in leading:
            rule = rules.get(i) or _missing_rule(node, i)
            key = id(node.arguments[i])
            if key in targets and key not in cotangents and hasattr(rule, "into"):
                cotangents[key] = rule.into(targets[key], g, y, *arguments, **node.options)
                ours.add(key)
                continue
            contribution = rule(g, y, *arguments, **node.options)
            if contribution.shape != node.arrays[i].shape:
                contribution = _unbroadcast(contribution, node, i)
            if key not in cotangents:
                cotangents[key] = contribution
            elif key in ours:
                cotangents[key] += contribution
            else:
                cotangents[key] = cotangents[key] + contribution
                if not create_graph:
                    ours.add(key)

    if create_graph:
        return [cotangents.get(id(x), Tensor(array_module(x.data).zeros_like(x.data))) for x in wanted]
    for x, array in zip(wanted, out, strict=True):
        g = cotangents.get(id(x), 0.0)
        if g is not array:
            array[...] = g
    return list(out)


def _path(loss: Tensor, wanted: Sequence[Tensor]) -> list[tuple[Tensor, list[int]]]:
    """The nodes between what is wanted and the loss, oldest first, each with the arguments that lead on to it."""
    oldest = min((x.birth for x in wanted), default=loss.birth)
    seen, waiting, ancestors = {id(loss)}, [loss], []
    while waiting:
        node = waiting.pop()
        ancestors.append(node)
        for x in node.arguments:
            if type(x) is Tensor and x.birth >= oldest and id(x) not in seen:
                seen.add(id(x))
                waiting.append(x)
    ancestors.sort(key=_birth)
    reached, path = {id(x) for x in wanted}, []
    for node in ancestors:
        leading = [i for i, x in enumerate(node.arguments) if id(x) in reached]
        if leading:
            reached.add(id(node))
            path.append((node, leading))
    return path


def _missing_rule(node: Tensor, i: int) -> None:
    raise InputError("grad", f"a rule for argument {i} of {node.primitive}", "none", "defvjp gives it one")


def _unbroadcast(cotangent: Any, node: Tensor, i: int) -> Any:
    """The cotangent of an elementwise primitive's argument i, summed to that argument's shape."""
    shape = node.arrays[i].shape
    if not node.primitive.elementwise:
        raise ShapeError(f"the rule of {node.primitive} for argument {i}", f"shape {shape}", f"{cotangent.shape}")
    return sum_to(cotangent, shape)


@primitive
def broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
    """y = x repeated along new axes and along axes of length 1.   shape: S -> shape.   Adjoint: sum_to"""
    return array_module(x).broadcast_to(x, shape)


@primitive
def sum_to(x: Any, shape: tuple[int, ...]) -> Any:
    """y = x summed over the axes that broadcasting from `shape` would repeat.   S -> shape.   Adjoint: broadcast_to"""
    if x.shape == shape:
        return x
    new = x.ndim - len(shape)
    repeated = tuple(i for i in range(x.ndim) if i < new or shape[i - new] != x.shape[i])
    return x.sum(axis=repeated, keepdims=True).reshape(shape)


broadcast_to.defvjp(lambda g, y, x, shape: sum_to(g, x.shape))
sum_to.defvjp(lambda g, y, x, shape: broadcast_to(g, x.shape))
