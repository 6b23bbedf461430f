"""The configuration that a file keeps beside a model's arrays: the constructor that made it, and the arguments.

    class VAE(Configured):
        @classmethod
        @constructor
        def mlp(cls, input_size: Size = 784, hidden: Sequence[Size] = (400,), ...) -> VAE:

The annotations say which values a file may hold: Size, Index, int, float, str, sequences of these, unions of these, and
the class of a model, which is a configuration itself.
"""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable, Container, Sequence
from functools import wraps
from numbers import Real
from types import UnionType
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

from scratchvae.alphabet import Alphabet
from scratchvae.backend import to_numpy
from scratchvae.errors import InputError
from scratchvae.nn import Module
from scratchvae.nn.initializers import at_most

LARGEST_SIZE = 2**24
Size = Annotated[int, range(1, LARGEST_SIZE + 1)]  # the size of a layer, or of a side of an image
Index = Annotated[int, range(LARGEST_SIZE + 1)]

CONSTRUCTORS: dict[str, Callable[..., Any]] = {}
"""Name, such as "VAE.mlp" -> the function below its decorators."""

P = ParamSpec("P")
Class = TypeVar("Class")
Model = TypeVar("Model", bound="Configured")


class Configured(Module):
    """A Configured is a Module whose `configuration` names its constructor and the arguments.

    Attributes
    ----------
    configuration : dict or None
        The constructor and its arguments; None for a model of a user's own networks.

    See Also
    --------
    scratchvae.save, scratchvae.load : keep the configuration beside the arrays, and build the model from both.

    Examples
    --------
    >>> import scratchvae as sv
    >>> configuration = sv.VAE.mlp(input_size=6, latent_size=2, hidden=(4,)).configuration
    >>> configuration["constructor"], configuration["hidden"]
    ('VAE.mlp', [4])
    """

    _configuration: dict[str, Any] | None = None

    @property
    def configuration(self) -> dict[str, Any] | None:
        """{"constructor": name, argument: value, ...} in plain values, from which `build` makes the model again.

        Raises InputError if the model is no longer what its constructor made: a file would lose the change.
        """
        if self._configuration is not None:
            _refuse_changes(self._configuration["constructor"], self._settings, _settings(self, self._settings))
        return self._configuration

    @configuration.setter
    def configuration(self, configuration: dict[str, Any] | None) -> None:
        self._configuration, self._settings = configuration, _settings(self)


def constructor(function: Callable[Concatenate[type[Class], P], Model]) -> Callable[Concatenate[type[Class], P], Model]:
    """Records in every model that the function makes its `configuration`; a decorator below @classmethod.

    The configuration is None where `build` would not make the same model: where a subclass inherits the constructor,
    and where an argument is a model of a user's own networks.
    """
    signature, name = inspect.signature(function), function.__qualname__

    @wraps(function)
    def construct(cls: type[Class], /, *arguments: P.args, **options: P.kwargs) -> Model:
        inherited = getattr(vars(cls).get(function.__name__), "__func__", None) is not construct
        if inherited:
            _check_parts(cls, function)
        model = function(cls, *arguments, **options)
        bound = signature.bind(cls, *arguments, **options)
        bound.apply_defaults()
        values = {argument: _plain(value) for argument, value in list(bound.arguments.items())[1:]}
        foreign = any(
            isinstance(part, Module) and values.get(argument) is None for argument, part in bound.arguments.items()
        )
        if not inherited and not foreign:
            model.configuration = {"constructor": name} | values
        return model

    CONSTRUCTORS[name] = function
    return construct


def _check_parts(cls: type[Any], function: Callable[..., Any]) -> None:
    """Raises InputError where a class inherits a constructor, but does not take the parts that this one makes."""
    kind, _, method = function.__qualname__.partition(".")
    owner = function.__globals__.get(kind, cls)
    try:
        inspect.signature(cls).bind(*inspect.signature(owner).parameters)
    except TypeError:
        own = ", ".join(name for name in CONSTRUCTORS if name.startswith(f"{cls.__name__}."))
        raise InputError(f"{cls.__name__}.{method}", "a constructor of its own", f"that of {kind}", own) from None


def build(configuration: Any, n_entries: int) -> Any:
    """Returns a new model from {"constructor": name, argument: value, ...}, for arrays that have n_entries entries.

    Raises InputError for any other configuration, and before memory is taken for more weights than that.
    """
    with at_most("build", n_entries):
        return _built(configuration)


def _built(configuration: Any) -> Any:
    arguments = dict(configuration) if isinstance(configuration, dict) else {}
    name = arguments.pop("constructor", None)
    if not isinstance(name, str) or name not in CONSTRUCTORS:
        raise InputError("build", f"a constructor among {', '.join(CONSTRUCTORS)}", reprlib.repr(name))
    function = CONSTRUCTORS[name]
    kind, _, method = name.partition(".")
    make = getattr(function.__globals__[kind], method)
    try:
        bound = inspect.signature(make).bind(**arguments)
    except TypeError as error:
        raise InputError("build", f"the arguments of {name}", str(error), "of another version?") from None
    bound.apply_defaults()
    kinds = get_type_hints(function, include_extras=True)
    return make(**{argument: _read(argument, value, kinds[argument]) for argument, value in bound.arguments.items()})


def _read(name: str, value: Any, kind: Any) -> Any:
    """Returns a value of a file as an argument of this kind. Raises InputError for one that is not of this kind."""
    if isinstance(kind, type) and issubclass(kind, Module):
        if not isinstance(value, dict) or not str(value.get("constructor")).startswith(f"{kind.__name__}."):
            raise InputError("build", f"the configuration of a {kind.__name__} as {name}", reprlib.repr(value))
        return _built(value)
    if not _is_of(kind, value):
        raise InputError("build", f"{_described(kind)} as {name}", reprlib.repr(value), "a damaged file?")
    return value


def _is_of(kind: Any, value: Any) -> bool:
    """Returns whether a value that was read from JSON is of this kind."""
    if get_origin(kind) in (Union, UnionType):
        return any(_is_of(part, value) for part in get_args(kind))
    if get_origin(kind) is Sequence:
        return isinstance(value, (list, tuple)) and all(_is_of(get_args(kind)[0], part) for part in value)
    if get_origin(kind) is Annotated:
        return type(value) is int and value in get_args(kind)[1]
    if kind is float:
        return type(value) is float or _is_of(int, value)
    return type(value) is kind and (kind is not int or abs(value) < 2**64)


def _described(kind: Any) -> str:
    if get_origin(kind) is Sequence:
        return _described(get_args(kind)[0]).replace("a size", "a list of sizes")
    if get_origin(kind) is Annotated:
        sizes = get_args(kind)[1]
        return f"a size from {sizes.start} to {sizes.stop - 1}"
    words = {int: "a whole number", str: "a word"}
    return words.get(kind, "a number or a word")


def _plain(value: Any) -> Any:
    """Returns an argument as JSON has it; a model as its configuration, None for a user's own networks."""
    if isinstance(value, Configured):
        return value.configuration
    if hasattr(value, "dtype"):
        return to_numpy(value).tolist()
    return [_plain(part) for part in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


def _settings(model: Module, before: Container[str] | None = None) -> dict[str, str]:
    """Returns the settings of a model by dotted name: its classes, plain attributes and shapes.

    A plain attribute that was not there before is left out, as a user's own note, unless it hides one of the class.
    """
    described = {name: f"shape {tuple(array.shape)}" for name, array in model.state().items()}
    for prefix, module in model.named_modules():
        described[prefix.removesuffix(".")] = type(module).__name__
        for name, value in vars(module).items():
            known = before is None or prefix + name in before or hasattr(type(module), name)
            if known and not name.startswith("_") and _is_setting(value):
                described[prefix + name] = repr(value)
    return described


def _refuse_changes(name: str, before: dict[str, str], now: dict[str, str]) -> None:
    """Raises InputError, in the name of the constructor, for the first setting that has changed."""
    for setting in before | now:
        was, received = before.get(setting, "nothing"), now.get(setting, "nothing")
        if was != received:
            hint = "a file holds the constructor's arguments alone: make another model"
            raise InputError(name, f"its model unchanged, with {setting} = {was}", received, hint)


def _is_setting(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_setting, value))
    return value is None or isinstance(value, (str, Real, type, Alphabet))
