"""Reverse-mode automatic differentiation: the file to read first.

A primitive is a plain function on arrays with one rule per argument. The rule turns the cotangent of the output,
g = d loss / d y, into that of the argument, d loss / d x = g dy/dx:

    @elementwise
    def tanh(x):
        return array_module(x).tanh(x)

    tanh.defvjp(lambda g, y, x: g * (1 - y * y))

Called on Tensors, a primitive also leaves a node: a Tensor with its value, the primitive and the arguments; tensor.py
has the class. `grad` walks the nodes from the loss back to what is wanted, from the youngest to the oldest, and adds up
what the rules return. A rule's text runs on raw arrays, and on Tensors when the gradient is to be differentiated again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import update_wrapper
from operator import attrgetter
from typing import Any, overload

from scratchvae.backend import MODULE_OF_TYPE, array_module, misfit, sum_of_leading_axes
from scratchvae.errors import InputError, ShapeError
from scratchvae.tensor import Array, Tensor, births

_birth = attrgetter("birth")
_recording: ContextVar[bool] = ContextVar("recording", default=True)


class Primitive:
    """A Primitive is a function on arrays with a vector-Jacobian rule per argument; see `primitive` and `elementwise`.

    Parameters
    ----------
    function : callable
        Takes arrays, and constants by position or by name, and returns an array.
    elementwise : bool
        Whether it acts entry by entry and broadcasts. The engine then undoes the broadcasting.

    Attributes
    ----------
    function, elementwise
        The parameters of these names.
    rules : dict
        The rule of each argument by its number, as `defvjp` was given them.
    before, together, keep : callable or None
        What `defvjp` and `defvjp_together` were given.

    See Also
    --------
    Tensor : the node that a call leaves.
    scratchvae.check_gradients : compares the rules with differences.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> @sv.elementwise
    ... def cube(x):
    ...     return x * x * x
    >>> cube.defvjp(lambda g, y, x: g * 3 * x * x)
    >>> x = sv.Tensor(numpy.array(2.0))
    >>> sv.grad(cube(x), [x])
    [array(12.)]
    """

    def __init__(self, function: Callable[..., Array], elementwise: bool) -> None:
        update_wrapper(self, function)
        self.function, self.elementwise, self.together, self.keep = function, elementwise, None, None
        self.defvjp()

    def defvjp(self, *rules: Callable[..., Array] | None, before: Callable[..., Array] | None = None) -> None:
        """Takes rules in the order of the arguments: rule(g, y, *arguments, **options) -> cotangent of that argument.

        If `before` is given, it is called once, as before(g, y, *arguments, **options), and all rules receive its
        result in the place of g. None stands for an argument by which the primitive cannot be differentiated, such as
        an index. A rule may have an attribute `into`, the same on arrays: into(out, g, y, *arguments, **options) writes
        the cotangent into `out` and returns it. `grad` then puts a large gradient straight where it belongs.
        """
        self.rules, self.before = dict(enumerate(rules)), before

    def defvjp_together(self, rule: Callable[..., Sequence[Array]], keep: Callable[..., Any] | None = None) -> None:
        """Takes one rule for all arguments: rule(wanted, g, y, *arguments, **options) -> cotangents of the wanted ones.

        wanted: the numbers of those arguments, rising. Where a node is left, keep(*arguments, **options) -> (y,
        intermediates) computes y in the function's place, and the rule finds `intermediates` among the options.
        """
        self.together, self.keep = rule, keep

    @overload
    def __call__(self, x: Tensor, /, *arguments: Any, **options: Any) -> Tensor: ...
    @overload
    def __call__(self, *arguments: Any, **options: Any) -> Any: ...
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from_tensor = False
        arrays = []
        for x in arguments:
            if type(x) is Tensor:
                from_tensor = True
                x = x._data
            arrays.append(x)
        if options and any(type(value) is Tensor for value in options.values()):
            raise InputError(str(self), "Tensors by position", "one by name")
        leaves_node = from_tensor and _recording.get()
        try:
            if leaves_node and self.keep:
                data, options["intermediates"] = self.keep(*arrays, **options)
            else:
                data = self.function(*arrays, **options)
            if type(data) not in MODULE_OF_TYPE:
                array_module(data)
        except (TypeError, ValueError) as error:
            explained = misfit(str(self), error, arrays)
            if explained is error:
                raise
            raise explained from error
        if not leaves_node:
            return data
        node = Tensor.__new__(Tensor)
        node._data, node.primitive, node.arguments, node.arrays, node.options = data, self, arguments, arrays, options
        node.birth = next(births)
        return node

    def __reduce__(self) -> str:
        return self.__qualname__  # as a function: copied and pickled by name

    def __repr__(self) -> str:
        return self.__name__.strip("_")


def primitive(function: Callable[..., Array]) -> Primitive:
    """Makes a function on arrays differentiable, as a decorator. Its rules return the shape of the argument exactly."""
    return Primitive(function, elementwise=False)


def elementwise(function: Callable[..., Array]) -> Primitive:
    """Does the same for functions that act entry by entry and broadcast: the engine undoes the broadcasting."""
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
    loss: Tensor, wanted: Sequence[Tensor], out: Sequence[Array] | None = None, create_graph: bool = False, g: float = 1
) -> list[Any]:
    """g d loss / d x for each x in wanted.   loss: scalar Tensor; wanted: leaves or intermediate results; g: a number

    Returns fresh arrays in the order of wanted; zeros for an x that the loss does not reach. With `out`, arrays of the
    same shapes, the gradients are written there instead. With `create_graph=True` the gradients are Tensors that can be
    differentiated again. Raises InputError unless the loss is a scalar Tensor and wanted holds Tensors, and for a leaf
    that has changed since the loss was computed.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> x = sv.Tensor(numpy.array([3.0, 4.0]))
    >>> sv.grad(sv.ops.sum(x * x), [x])
    [array([6., 8.])]
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

    if not isinstance(g, (int, float)):
        raise InputError("grad", "g as a number", type(g).__name__)
    first = array_module(loss.data).full_like(loss.data, g)
    cotangents = {id(loss): Tensor(first) if create_graph else first}
    ours = set()  # whose cotangent is an array of our own, so that later contributions may be added in place
    if out is None:
        out = [] if create_graph else [array_module(x.data).empty_like(x.data) for x in wanted]
    targets = {id(x): array for x, array in zip(wanted, out, strict=False)}
    final = {id(x) for x in wanted}
    path = _path(loss, wanted)
    _check_values(path, create_graph)
    for node, leading in reversed(path):
        key, rules = id(node), node.primitive.rules
        g = cotangents[key] if key in final else cotangents.pop(key)
        y, arguments = (node, node.arguments) if create_graph else (node._data, node.arrays)
        before, together = node.primitive.before, node.primitive.together
        if before:
            g = before(g, y, *arguments, **node.options)
        contributions = iter(together(leading, g, y, *arguments, **node.options) if together else ())
        for i in leading:
            rule = together or rules.get(i) or _missing_rule(node, i)
            key = id(node.arguments[i])
            if key in targets and key not in cotangents and hasattr(rule, "into"):
                cotangents[key] = rule.into(targets[key], g, y, *arguments, **node.options)
                ours.add(key)
                continue
            contribution = next(contributions) if together else rule(g, y, *arguments, **node.options)
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
    """Returns the nodes between wanted inputs and loss, oldest first, each with the arguments that lead on to it."""
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


def _check_values(path: list[tuple[Tensor, list[int]]], create_graph: bool) -> None:
    """Raises InputError where a rule would read other values of a leaf than the primitive did."""
    written = path and path[0][0].birth < Tensor.latest_write
    for node, _ in path if written or create_graph else ():
        leaves = [i for i, x in enumerate(node.arguments) if type(x) is Tensor and not x.primitive]
        for x, array in ((node.arguments[i], node.arrays[i]) for i in leaves):
            if x.last_write > node.birth or create_graph and x._data is not array:
                received = f"a leaf of shape {x.shape} that has changed since {node.primitive} read it"
                raise InputError("grad", "the values that the loss was computed from", received, "compute it anew")


def _missing_rule(node: Tensor, i: int) -> None:
    raise InputError("grad", f"a rule for argument {i} of {node.primitive}", "none", "defvjp gives it one")


def _unbroadcast(cotangent: Any, node: Tensor, i: int) -> Any:
    """Returns the cotangent of an elementwise primitive's argument i, summed to that argument's shape."""
    shape = node.arrays[i].shape
    if not node.primitive.elementwise:
        raise ShapeError(f"the rule of {node.primitive} for argument {i}", f"shape {shape}", f"{cotangent.shape}")
    return sum_to(cotangent, shape)


@primitive
def broadcast_to(x: Any, shape: tuple[int, ...]) -> Any:
    """y = x repeated along new axes and along axes of length 1, up to the shape

    :Rule: dx = sum_to(g, x.shape), the adjoint
    :Domain: a shape that x broadcasts to
    """
    return array_module(x).broadcast_to(x, shape)


@primitive
def sum_to(x: Any, shape: tuple[int, ...]) -> Any:
    """y = x summed over the axes that broadcasting from the shape would repeat

    :Rule: dx = broadcast_to(g, x.shape), the adjoint
    :Domain: a shape that broadcasts to the shape of x
    """
    if x.shape == shape:
        return x
    new = x.ndim - len(shape)
    repeated = tuple(i for i in range(x.ndim) if i < new or shape[i - new] != x.shape[i])
    if repeated == tuple(range(len(repeated))):
        return sum_of_leading_axes(x, len(repeated)).reshape(shape)
    return x.sum(axis=repeated, keepdims=True).reshape(shape)


broadcast_to.defvjp(lambda g, y, x, shape: sum_to(g, x.shape))
sum_to.defvjp(lambda g, y, x, shape: broadcast_to(g, x.shape))
