"""Module: a tree of objects that hold parameters."""

from __future__ import annotations

from collections import UserList, deque
from collections.abc import Iterator, Mapping, Set, ValuesView
from functools import partial
from types import FunctionType, ModuleType
from typing import Any, TypeVar

import numpy

from scratchvae.autodiff import Tensor
from scratchvae.backend import asarray, device_of, to_numpy
from scratchvae.columns import Column
from scratchvae.errors import InputError, ShapeError

Self = TypeVar("Self", bound="Module")
PLAIN = (str, bytes, int, float, type(None), type, ModuleType, FunctionType, Column)  # they hold no arrays


class Module:
    """A Module holds Tensors (parameters), arrays (buffers: constants that move along) and other Modules as attributes.

    An attribute may also be a list, tuple or dict of these, or of further lists, tuples and dicts. Anything else that
    holds a Tensor or a Module is refused with InputError, since training, moves and files would miss it. A Module below
    itself is refused as well: the objects form a tree. A Module has no mode, and a call changes nothing in it.

    See Also
    --------
    Linear, MLP, Conv2d, GRU : the layers of the package.
    scratchvae.save, scratchvae.load : a Module's arrays in a file.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> class Scaled(sv.nn.Module):
    ...     def __init__(self, noise):
    ...         self.layer, self.scale = sv.nn.Linear(3, 2, noise), sv.Tensor(numpy.ones(2, numpy.float32))
    ...     def __call__(self, x):
    ...         return self.scale * self.layer(x)
    >>> Scaled(sv.Noise(0)).count(), list(Scaled(sv.Noise(0)).named_parameters())
    (10, ['scale', 'layer.weight', 'layer.bias'])
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, value in vars(cls).items():
            if isinstance(value, (Tensor, Module)):
                received, hint = f"{name}, which every instance would share", f"self.{name} = ..."
                raise InputError(f"class {cls.__name__}", "parts that __init__ sets", received, hint)

    def _parts(self) -> Iterator[tuple[str, Any]]:
        """Yields the Tensors, arrays and Modules among the attributes; those in a container as "name.index"."""
        for name, value in vars(self).items():
            yield from _parts(name, value)

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yields this module and all below it, with the prefix of their attributes' names: "", "encoder.", ..."""
        return self._modules(prefix, ())

    def _modules(self, prefix: str, above: tuple[Module, ...]) -> Iterator[tuple[str, Module]]:
        if any(self is module for module in above):
            received = f"{prefix[:-1]}, which leads back to {type(self).__name__}"
            raise InputError("Module", "a tree of modules", received, "a part cannot hold the whole")
        yield prefix, self
        for name, part in self._parts():
            if isinstance(part, Module):
                yield from part._modules(f"{prefix}{name}.", (*above, self))

    def _named_parts(self) -> dict[str, Any]:
        """Returns the Tensors, arrays and Modules of this module and all below it, by dotted name."""
        found: dict[str, Any] = {}
        for prefix, module in self.named_modules():
            for name, part in module._parts():
                if prefix + name in found:
                    raise InputError("Module", "parts of different names", f"two of the name {prefix}{name}")
                found[prefix + name] = part
        return found

    def named_parameters(self) -> dict[str, Tensor]:
        """Returns every Tensor by its dotted name; one that two modules share appears once, by its first name."""
        found = {name: part for name, part in self._named_parts().items() if isinstance(part, Tensor)}
        first_name = {id(value): name for name, value in reversed(found.items())}
        return {name: value for name, value in found.items() if first_name[id(value)] == name}

    def named_buffers(self) -> dict[str, Any]:
        """Returns every plain array by its dotted name."""
        return {name: part for name, part in self._named_parts().items() if _is_array(part)}

    def parameters(self) -> list[Tensor]:
        """Returns every Tensor once, in the order in which they were set."""
        return list(self.named_parameters().values())

    def count(self) -> int:
        """Returns the number of entries of all parameters."""
        return sum(x.size for x in self.named_parameters().values())

    @property
    def device(self) -> str:
        """The device of the parameters: "cpu" or "gpu"."""
        return device_of(self._first_parameter().data)

    @property
    def dtype(self) -> Any:
        """The type of the parameters' entries."""
        return self._first_parameter().dtype

    def _first_parameter(self) -> Tensor:
        for _, module in self.named_modules():
            for _, part in module._parts():
                if isinstance(part, Tensor):
                    return part
        raise InputError(type(self).__name__, "a module with parameters", "one without")

    def to(self: Self, device: str | None = None, dtype: Any = None) -> Self:
        """Moves parameters and buffers to a device, to another floating-point type, or both. Returns the module.

        An array that is stored in two places is one array afterwards, too.
        """
        if dtype is not None and numpy.dtype(dtype).kind != "f":
            raise InputError("to", "a floating-point dtype", str(dtype))
        parts = [part for part in self._named_parts().values() if not isinstance(part, Module)]
        before = [part.data if isinstance(part, Tensor) else part for part in parts]
        after = {id(array): _moved(array, device, dtype) for array in before}
        for x in self.named_parameters().values():
            if after[id(x.data)] is not x.data:
                x.data = after[id(x.data)]
        for _, module in self.named_modules():
            for name, value in vars(module).items():
                setattr(module, name, _replaced(value, after))
        return self

    def state(self) -> dict[str, Any]:
        """Returns the arrays of parameters and buffers by name: the content of a checkpoint."""
        return {name: x.data for name, x in self.named_parameters().items()} | self.named_buffers()

    def load_state(self, state: dict[str, Any]) -> None:
        """Copies arrays into the parameters and buffers of the same names.

        Raises ShapeError if they do not match, and InputError if two names of one array would need different values.
        """
        own = self.state()
        for name in own | state:
            shapes = [tuple(arrays[name].shape) if name in arrays else "nothing" for arrays in (own, state)]
            if shapes[0] != shapes[1]:
                raise ShapeError(f"load_state: {name}", str(shapes[0]), str(shapes[1]), "another architecture?")
        first_name: dict[int, str] = {}
        for name, array in own.items():
            first = first_name.setdefault(id(array), name)
            if first != name and not numpy.array_equal(to_numpy(state[first]), to_numpy(state[name])):
                raise InputError(f"load_state: {name}", f"the values of {first}, which is the same array", "others")
        for name, array in own.items():
            array[...] = asarray(state[name], device_of(array))
        for x in self.named_parameters().values():
            x.data = x.data  # changed in place: `grad` refuses what was computed from the old values

    def __repr__(self) -> str:
        return type(self).__name__


def _parts(name: str, value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yields the Tensors, arrays and Modules that an attribute is or holds."""
    if isinstance(value, (Tensor, Module)):
        yield name, value
    elif isinstance(value, PLAIN):
        return
    elif isinstance(value, (list, tuple, dict)):
        if any(value is container for container in above):
            raise InputError("Module", "a tree of modules", f"{name}, a {type(value).__name__} within itself")
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            if not isinstance(part, PLAIN):
                yield from _parts(f"{name}.{key}", part, (*above, value))
    elif _is_array(value):
        if value.dtype.kind == "O":
            raise InputError("Module", "arrays of numbers", f"{name}, an array of objects", "a list can hold them")
        yield name, value
    elif any(isinstance(part, (Tensor, Module)) for part in _hidden(value)):
        expected = "Tensors and Modules as attributes, or in lists, tuples and dicts"
        hint = "a class of one's own is derived from sv.nn.Module"
        raise InputError("Module", expected, f"{name}, a {type(value).__name__} that holds one", hint)


def _hidden(value: Any) -> Iterator[Any]:
    """Returns an iterator over the values in a container of another kind, or in an object that is no Module."""
    if isinstance(value, (Set, ValuesView, deque, UserList)):
        return iter(value)
    if isinstance(value, Mapping):
        return iter(value.values())
    if isinstance(value, partial):
        return iter((value.func, *value.args, *value.keywords.values()))
    return iter(getattr(value, "__dict__", {}).values())


def _replaced(value: Any, arrays: dict[int, Any]) -> Any:
    """Returns the value with each array exchanged for the one under its id; lists and dicts remain the same objects."""
    if _is_array(value):
        return arrays.get(id(value), value)  # a module that stands in two places has new ones already
    if isinstance(value, dict):
        value.update({key: _replaced(part, arrays) for key, part in value.items()})
    if isinstance(value, list):
        value[:] = [_replaced(part, arrays) for part in value]
    if isinstance(value, tuple):
        parts = [_replaced(part, arrays) for part in value]
        if any(new is not old for new, old in zip(parts, value, strict=True)):
            return value._make(parts) if hasattr(value, "_make") else tuple(parts)
    return value


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and not isinstance(value, (Tensor, Module, numpy.generic, *PLAIN))


def _moved(array: Any, device: str | None, dtype: Any) -> Any:
    array = array if device is None else asarray(array, device)
    return array if dtype is None or array.dtype.kind != "f" or array.dtype == dtype else array.astype(dtype)
