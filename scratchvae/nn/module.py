"""Module: a tree of objects that hold parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy

from scratchvae.autodiff import Tensor
from scratchvae.backend import asarray, device_of
from scratchvae.errors import InputError, ShapeError


class Module:
    """Holds Tensors (parameters), arrays (buffers: constants that move along) and other Modules as attributes.

    An attribute may also be a list, tuple or dict of Tensors and Modules. A Module has no mode and its calls change
    nothing in it.
    """

    def _parts(self) -> Iterator[tuple[str, Any]]:
        """The attributes by name, and what lists, tuples and dicts hold, as "name.index"."""
        for name, value in vars(self).items():
            if isinstance(value, (list, tuple, dict)):
                held = value.items() if isinstance(value, dict) else enumerate(value)
                yield from ((f"{name}.{key}", part) for key, part in held if isinstance(part, (Tensor, Module)))
            else:
                yield name, value

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, with the prefix of their attributes' names: "", "encoder.", ..."""
        yield prefix, self
        for name, part in self._parts():
            if isinstance(part, Module):
                yield from part.named_modules(f"{prefix}{name}.")

    def named_parameters(self) -> dict[str, Tensor]:
        """Every Tensor by its dotted name; one that two modules share appears once, by its first name."""
        found = {
            prefix + name: value
            for prefix, module in self.named_modules()
            for name, value in module._parts()
            if isinstance(value, Tensor)
        }
        first_name = {id(value): name for name, value in reversed(found.items())}
        return {name: value for name, value in found.items() if first_name[id(value)] == name}

    def named_buffers(self) -> dict[str, Any]:
        """Every plain array by its dotted name."""
        return {
            prefix + name: value
            for prefix, module in self.named_modules()
            for name, value in vars(module).items()
            if _is_array(value)
        }

    def parameters(self) -> list[Tensor]:
        """Every Tensor once, in the order in which they were set."""
        return list(self.named_parameters().values())

    def count(self) -> int:
        """The number of entries of all parameters."""
        return sum(x.size for x in self.named_parameters().values())

    @property
    def device(self) -> str:
        """Where the parameters lie: "cpu" or "gpu"."""
        return device_of(self.parameters()[0].data)

    @property
    def dtype(self) -> Any:
        """The type of the parameters' entries."""
        return self.parameters()[0].dtype

    def to(self, device: str | None = None, dtype: Any = None) -> Module:
        """Move parameters and buffers to a device, to another floating-point type, or both. Returns the module."""
        if dtype is not None and numpy.dtype(dtype).kind != "f":
            raise InputError("to", "a floating-point dtype", str(dtype))
        for x in self.named_parameters().values():
            x.data = _moved(x.data, device, dtype)
        for _, module in self.named_modules():
            for name, value in vars(module).items():
                if _is_array(value):
                    setattr(module, name, _moved(value, device, dtype))
        return self

    def state(self) -> dict[str, Any]:
        """The arrays of parameters and buffers by name: what a checkpoint keeps."""
        return {name: x.data for name, x in self.named_parameters().items()} | self.named_buffers()

    def load_state(self, state: dict[str, Any]) -> None:
        """Copy arrays into the parameters and buffers of the same names. Raises ShapeError if they do not match."""
        own = self.state()
        for name in own | state:
            shapes = [tuple(arrays[name].shape) if name in arrays else "nothing" for arrays in (own, state)]
            if shapes[0] != shapes[1]:
                raise ShapeError(f"load_state: {name}", str(shapes[0]), str(shapes[1]), "another architecture?")
        for name, array in own.items():
            array[...] = asarray(state[name], device_of(array))

    def __repr__(self) -> str:
        return type(self).__name__


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and not isinstance(value, (Tensor, Module, type, numpy.generic))


def _moved(array: Any, device: str | None, dtype: Any) -> Any:
    array = array if device is None else asarray(array, device)
    return array if dtype is None or array.dtype.kind != "f" or array.dtype == dtype else array.astype(dtype)
