"""Random numbers are a pure function of (seed, step, name).

A model that takes its noise as an argument is deterministic: its gradient can be checked, a run can be resumed without
the state of a generator, and two steps never use the same numbers. The generators of CPU and GPU are counter-based.

Source: Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011), the Philox family.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy

from scratchvae.arrays import shortened
from scratchvae.backend import array_module, device_module
from scratchvae.errors import InputError, ShapeError
from scratchvae.kernels import Kernel
from scratchvae.philox import NORMAL, UNIFORM, at_words, normals, philox4x32, uniforms


@dataclass(frozen=True)
class Noise:
    """Generates random numbers as a function of (seed, step, name, shape); the object itself never changes.

    Parameters
    ----------
    seed, step : int
        Two integers from 0 to 2^64 - 1. Every training step has a Noise of its own. Raises InputError for other values.
    device : "cpu" or "gpu"
        The device that generates the numbers: the CPU by NumPy's Philox4x64-10, the GPU by Philox4x32-10 with
        Box-Muller. The numbers differ, so pass a GivenNoise where two devices must agree.
    training : bool
        Whether networks apply dropout, as they do in a training step and not for a score. The numbers are the same.
    words : array of uint32 (2,), optional
        The lower and the upper half of the step, on the GPU: a captured step reads them again at every launch.

    Attributes
    ----------
    seed, step, device, training, words
        The parameters of these names.

    See Also
    --------
    scratchvae.fit : gives every step a Noise.
    scratchvae.VAE.elbo : an equation with an argument `noise`.

    Examples
    --------
    >>> import scratchvae as sv
    >>> noise = sv.Noise(seed=0, step=3)
    >>> bool((noise.normal("z", (2, 5)) == sv.Noise(0, 3).normal("z", (2, 5))).all())
    True
    >>> noise.child("layer 1").uniform("mask", (4,)).shape
    (4,)
    """

    seed: int
    step: int = 0
    device: str = "cpu"
    training: bool = False
    words: Any = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("seed", "step"):
            value = getattr(self, name)
            if not isinstance(value, (int, numpy.integer)) or not 0 <= value < 2**64:
                raise InputError("Noise", f"an integer {name} from 0 to 2^64 - 1", repr(value))
            object.__setattr__(self, name, int(value))  # a NumPy integer would wrap around, or not mix with uint64
        device_module(self.device)

    def normal(self, name: str, shape: tuple[int, ...]) -> Any:
        """Returns independent draws from Normal(0, 1), float32."""
        if self.device == "cpu":
            return self._generator(name).standard_normal(shape, dtype=numpy.float32)
        return self._draw(NORMAL, normals, name, shape)

    def uniform(self, name: str, shape: tuple[int, ...], start: int = 0) -> Any:
        """Returns independent draws from the uniform distribution on [0, 1), float32.

        start: the number of draws to skip, so that some rows of a large array can be drawn without the others
        """
        n_numbers = math.prod(shape)
        if self.device == "cpu":
            block, skipped = divmod(start, 8)  # a block of the generator is 256 bits
            numbers = self._generator(name, block).random(skipped + n_numbers, dtype=numpy.float32)
        else:
            block, skipped = divmod(start, 4)
            numbers = self._draw(UNIFORM, uniforms, name, (skipped + n_numbers,), block)
        return numbers[skipped:].reshape(shape)

    def permutation(self, name: str, n: int) -> numpy.ndarray:
        """Returns a random permutation of 0, ..., n - 1, on the CPU; it is the same for every device."""
        return self._generator(name).permutation(n)

    def child(self, name: str) -> Noise:
        """Returns a Noise for a part of a model: its seed is a function of this seed and the name."""
        return replace(self, seed=_name_key(f"{self.seed}/{name}"))

    def of_rows(self, part: slice) -> Noise:
        """Returns the noise of some rows of a minibatch that is divided among processes, see NoiseOfRows."""
        return self

    def without_rows(self) -> Noise:
        """Returns the noise of arrays that have no axis of rows, see NoiseOfRows."""
        return self

    def _generator(self, name: str, block: int = 0) -> numpy.random.Generator:
        counter = numpy.array([block, 0, 0, self.step], dtype=numpy.uint64)
        key = numpy.array([self.seed, _name_key(name)], dtype=numpy.uint64)
        return numpy.random.Generator(numpy.random.Philox(counter=counter, key=key))

    def _draw(
        self, kernel: Kernel, lines: Callable[..., Any], name: str, shape: tuple[int, ...], first: int = 0
    ) -> Any:
        """Computes float32 numbers on the GPU, by the kernel or its definition: four for every counter first, ..."""
        xp = device_module(self.device)
        out = xp.empty(shape, dtype=xp.float32)
        if self.fills(out, kernel, name, first=first):
            return out
        step = self._step() if self.words is None else tuple(self.words)
        key, seed = self._key(name)
        counter = (xp.arange(first, first + -(-out.size // 4), dtype=xp.uint64), key, *step)
        return lines(philox4x32(xp, counter, seed)).ravel()[: out.size].reshape(shape)

    def fills(self, out: Any, kernel: Kernel, name: str, *inputs: Any, first: int = 0) -> bool:
        """Fills an array of the GPU by one launch of a kernel whose inputs begin with `philox.COUNTER`.

        The inputs that follow are those of this call. Returns False, and leaves the array as it is, where no kernel can
        be compiled for it.
        """
        compiled = (kernel if self.words is None else at_words(kernel)).on_gpu(out)
        if compiled:
            key, seed = self._key(name)
            step = self._step() if self.words is None else (self.words,)
            compiled(first, key, *step, *seed, out.size, *inputs, out, size=-(-out.size // 4))
        return compiled is not None

    def _key(self, name: str) -> tuple[int, tuple[int, int]]:
        """Returns the word of the counter that stands for the name, and the two words of the seed."""
        return _name_key(name) % 2**32, (self.seed % 2**32, self.seed >> 32)

    def _step(self) -> tuple[int, int]:
        """Returns the two words of the step."""
        return self.step % 2**32, self.step >> 32


class GivenNoise:
    """Returns given arrays in place of random numbers: for quadrature, and wherever the numbers must be known.

    An array is broadcast to the requested shape: zeros of shape () put every z at the mean of its distribution.

    Parameters
    ----------
    arrays : array, or dict
        One array for every name, or a dict from names to arrays. The entry of a child's name is the child's own array
        or dict; a child without an entry returns the same arrays as its parent.
    training : bool
        As in Noise.

    Attributes
    ----------
    arrays, training
        The parameters of these names.

    See Also
    --------
    Noise : random numbers.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.noise import GivenNoise
    >>> noise = GivenNoise({"z": numpy.array([0.5, -0.5]), "decoder": numpy.zeros(())})
    >>> noise.normal("z", (2, 2)).tolist(), noise.child("decoder").uniform("mask", (3,)).tolist()
    ([[0.5, -0.5], [0.5, -0.5]], [0.0, 0.0, 0.0])
    """

    def __init__(self, arrays: Any, training: bool = False) -> None:
        self.arrays, self.training = arrays, training

    def __repr__(self) -> str:
        named = self.arrays.items() if isinstance(self.arrays, dict) else [("", self.arrays)]
        parts = (f"{name}: {shortened(array)}" if name else shortened(array) for name, array in named)
        return f"GivenNoise({', '.join(parts)})"

    def normal(self, name: str, shape: tuple[int, ...]) -> Any:
        """Returns the array of this name, broadcast. Raises InputError for other names, ShapeError for other shapes."""
        array = self.arrays
        if isinstance(array, dict):
            if name not in array:
                raise InputError("GivenNoise", f"a request for {' or '.join(map(repr, array))}", repr(name))
            array = array[name]
        if array.shape == tuple(shape):
            return array
        try:
            return array_module(array).broadcast_to(array, shape)
        except ValueError:
            raise ShapeError("GivenNoise", f"a request that {array.shape} broadcasts to", str(shape)) from None

    def uniform(self, name: str, shape: tuple[int, ...]) -> Any:
        """Returns the same as `normal`: the caller chooses the numbers."""
        return self.normal(name, shape)

    def child(self, name: str) -> GivenNoise:
        """Returns the noise for a part of a model."""
        named = isinstance(self.arrays, dict) and name in self.arrays
        return GivenNoise(self.arrays[name], self.training) if named else self

    def of_rows(self, part: slice) -> GivenNoise:
        """Returns itself, as Noise does."""
        return self

    def without_rows(self) -> GivenNoise:
        """Returns itself, as Noise does."""
        return self


@dataclass(frozen=True)
class SharedNoise:
    """Returns the same random numbers for every row: those of one row, (..., 1, K), broadcast to (..., N, K).

    Parameters
    ----------
    noise : Noise
        The source of the row's numbers.

    Attributes
    ----------
    noise : Noise
        The parameter of this name.
    training : bool
        False: this noise serves scores, which are computed without dropout.

    See Also
    --------
    scratchvae.elbo : uses it with same_draws=True.

    Examples
    --------
    >>> from scratchvae.noise import Noise, SharedNoise
    >>> e = SharedNoise(Noise(0)).normal("z", (3, 2))
    >>> e.shape, bool((e == e[0]).all())
    ((3, 2), True)
    """

    noise: Noise
    training: ClassVar = False

    def normal(self, name: str, shape: tuple[int, ...]) -> Any:
        """Returns independent draws from Normal(0, 1), the same for every row."""
        row = self.noise.normal(name, (*shape[:-2], 1, *shape[-1:]))
        return array_module(row).broadcast_to(row, shape)

    def child(self, name: str) -> SharedNoise:
        """Returns the noise for a part of a model."""
        return SharedNoise(self.noise.child(name))


@dataclass(frozen=True)
class NoiseOfRows:
    """Returns random numbers for the rows of one process: draws those of the whole minibatch, and keeps these rows.

    shape: (..., M, K) for the whole minibatch -> (..., m, K)

    Parameters
    ----------
    noise : Noise
        The noise of the whole minibatch.
    groups : tuple of (n, start, stop)
        The groups of rows in the minibatch: a group has n rows, of which the process has those from start to stop.
    rank : int
        The number of the process, for draws without rows.
    axis : int
        The axis of rows; an array with one axis has the rows along it.

    Attributes
    ----------
    noise, groups, rank, axis
        The parameters of these names.

    See Also
    --------
    Noise : the noise of one process.

    Examples
    --------
    >>> from scratchvae.noise import Noise, NoiseOfRows
    >>> whole = Noise(0)
    >>> part = NoiseOfRows(whole, groups=((6, 2, 4),), rank=1)  # rows 2 and 3 of 6
    >>> bool((part.normal("z", (2, 3)) == whole.normal("z", (6, 3))[2:4]).all())
    True
    """

    noise: Noise
    groups: tuple[tuple[int, int, int], ...]
    rank: int
    axis: int = -2

    @property
    def training(self) -> bool:
        """Whether networks apply dropout, as in Noise."""
        return self.noise.training

    def normal(self, name: str, shape: tuple[int, ...]) -> Any:
        """Returns draws from Normal(0, 1). Raises ShapeError unless the axis of rows has one entry for each row."""
        return self._kept(self.noise.normal, name, shape)

    def uniform(self, name: str, shape: tuple[int, ...]) -> Any:
        """Returns draws from the uniform distribution on [0, 1), with the same condition on the shape."""
        return self._kept(self.noise.uniform, name, shape)

    def child(self, name: str) -> NoiseOfRows:
        """Returns the noise for a part of a model."""
        return replace(self, noise=self.noise.child(name))

    def of_rows(self, part: slice) -> NoiseOfRows:
        """Returns the noise of some of its rows, which must be whole groups. Raises ShapeError for other rows."""
        wanted, ends = range(*part.indices(self._size)), []
        kept: list[tuple[int, int, int]] = []
        for n, start, stop in self.groups:
            ends.append(sum(ends[-1:]) + stop - start)
            if wanted.start <= ends[-1] - (stop - start) and ends[-1] <= wanted.stop:
                kept.append((n, start, stop))
        rest = replace(self, groups=tuple(kept))
        if rest._size != len(wanted):
            raise ShapeError("noise of several ranks", f"groups of rows that end at {ends}", str(part))
        return rest

    def without_rows(self) -> Noise:
        """Returns a Noise of this process alone, for arrays that have no axis of rows."""
        return self.noise.child(f"rank {self.rank}")

    @property
    def _size(self) -> int:
        return sum(stop - start for _, start, stop in self.groups)

    def _kept(self, draw: Callable[..., Any], name: str, shape: tuple[int, ...]) -> Any:
        axis = self.axis % len(shape) if len(shape) > 1 else 0
        if shape[axis] != self._size:
            expected = f"{name} with the {self._size} rows of this rank along axis {self.axis}"
            raise ShapeError("noise of several ranks", expected, f"shape {shape}", "noise.without_rows() has none")
        before, after = tuple(shape[:axis]), tuple(shape[axis + 1 :])
        whole = draw(name, (*before, sum(n for n, _, _ in self.groups), *after))
        parts, offset = [], 0
        for n, start, stop in self.groups:
            parts.append(whole[(slice(None),) * axis + (slice(offset + start, offset + stop),)])
            offset += n
        return parts[0] if len(parts) == 1 else array_module(whole).concatenate(parts, axis=axis)


@lru_cache
def _name_key(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
