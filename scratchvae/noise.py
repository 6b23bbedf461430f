"""Random numbers are a pure function of (seed, step, name, shape).

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
from types import ModuleType
from typing import Any, ClassVar

import numpy

from scratchvae.arrays import shortened
from scratchvae.backend import array_module, device_module
from scratchvae.errors import InputError, ShapeError
from scratchvae.kernels import Kernel


@dataclass(frozen=True)
class Noise:
    """numbers = f(seed, step, name, shape): a source of random numbers that never changes

    Raises InputError for a seed or a step that is out of range.

    Parameters
    ----------
    seed, step : int
        From 0 to 2^64 - 1 each. Every training step has a Noise of its own.
    device : "cpu" or "gpu"
        The device that draws the numbers: the CPU by NumPy's Philox4x64-10, the GPU by Philox4x32-10 with Box-Muller.
        The two give different numbers; pass a GivenNoise where devices must agree.
    training : bool
        Whether a training step draws from it, so that networks apply dropout. The numbers are the same.
    words : array of uint32 (2,), optional
        On the GPU, the lower and the upper half of the step in place of the number, so that a captured step can read
        another one.

    Attributes
    ----------
    seed, step, device, training, words
        The parameters of these names.

    See Also
    --------
    scratchvae.distributions.Distribution.draw : takes a Noise.

    Examples
    --------
    >>> import scratchvae as sv
    >>> noise = sv.Noise(seed=0)
    >>> bool((noise.normal("z", (2, 3)) == noise.normal("z", (2, 3))).all())
    True
    >>> bool((noise.normal("z", (2, 3)) == sv.Noise(seed=0, step=1).normal("z", (2, 3))).any())
    False
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
        """Returns a random order of 0, ..., n - 1, on the CPU and the same for every device."""
        return self._generator(name).permutation(n)

    def child(self, name: str) -> Noise:
        """Returns another Noise, for a part of a model: its seed is a function of this seed and the name."""
        return replace(self, seed=_name_key(f"{self.seed}/{name}"))

    def of_rows(self, part: slice) -> Noise:
        """Returns the noise for some rows of a minibatch; see NoiseOfRows, where processes divide the minibatch."""
        return self

    def without_rows(self) -> Noise:
        """Returns the noise for arrays that do not have the minibatch's rows; see NoiseOfRows."""
        return self

    def _generator(self, name: str, block: int = 0) -> numpy.random.Generator:
        counter = numpy.array([block, 0, 0, self.step], dtype=numpy.uint64)
        key = numpy.array([self.seed, _name_key(name)], dtype=numpy.uint64)
        return numpy.random.Generator(numpy.random.Philox(counter=counter, key=key))

    def _draw(
        self, kernel: Kernel, lines: Callable[..., Any], name: str, shape: tuple[int, ...], first: int = 0
    ) -> Any:
        """Draws float32 numbers on the GPU, by the kernel or its NumPy lines: four for each counter from `first` on."""
        xp = device_module(self.device)
        key, seed = _name_key(name) % 2**32, (self.seed % 2**32, self.seed >> 32)
        out = xp.empty(shape, dtype=xp.float32)
        n_counters = -(-out.size // 4)
        compiled = (kernel if self.words is None else AT_WORDS[kernel.name]).on(out)
        step = (self.step % 2**32, self.step >> 32) if self.words is None else (self.words,)
        if compiled:
            compiled(first, key, *step, *seed, out.size, out, size=n_counters)
            return out
        step = step if self.words is None else tuple(self.words)
        counter = (xp.arange(first, first + n_counters, dtype=xp.uint64), key, *step)
        return lines(philox4x32(xp, counter, seed)).ravel()[: out.size].reshape(shape)


class GivenNoise:
    """Returns given arrays in place of random numbers: for quadrature, and wherever the numbers must be known.

    An array is broadcast to the requested shape: zeros of shape () put every z at the mean of its distribution.

    Parameters
    ----------
    arrays : array, or dict
        One array for every name, or a dict from names to arrays. The entry for a child's name, an array or a dict, has
        the arrays of that child; a child without an entry has those of its parent.
    training : bool
        As in Noise.

    Attributes
    ----------
    arrays, training
        The parameters of these names.

    See Also
    --------
    Noise : draws random numbers.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.noise import GivenNoise
    >>> GivenNoise({"z": numpy.array([1.0, 2.0])}).normal("z", (2, 2))
    array([[1., 2.],
           [1., 2.]])
    """

    def __init__(self, arrays: Any, training: bool = False) -> None:
        self.arrays, self.training = arrays, training

    def __repr__(self) -> str:
        named = self.arrays.items() if isinstance(self.arrays, dict) else [("", self.arrays)]
        parts = (f"{name}: {shortened(array)}" if name else shortened(array) for name, array in named)
        return f"GivenNoise({', '.join(parts)})"

    def normal(self, name: str, shape: tuple[int, ...]) -> Any:
        """Returns the array for this name, broadcast to this shape.

        Raises InputError if there is none, ShapeError if it does not broadcast.
        """
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
        """Returns the same as `normal`: the caller decides what the numbers are."""
        return self.normal(name, shape)

    def child(self, name: str) -> GivenNoise:
        """Returns the noise for a part of a model, as in Noise."""
        named = isinstance(self.arrays, dict) and name in self.arrays
        return GivenNoise(self.arrays[name], self.training) if named else self

    def of_rows(self, part: slice) -> GivenNoise:
        """Returns itself."""
        return self

    def without_rows(self) -> GivenNoise:
        """Returns itself."""
        return self


@dataclass(frozen=True)
class SharedNoise:
    """Gives every row the same numbers: those of one row, (..., 1, K), broadcast to (..., N, K)."""

    noise: Noise
    training: ClassVar = False  # only scores use it

    def normal(self, name: str, shape: tuple[int, ...]) -> Any:
        """Returns independent draws from Normal(0, 1), the same for every row."""
        row = self.noise.normal(name, (*shape[:-2], 1, *shape[-1:]))
        return array_module(row).broadcast_to(row, shape)

    def child(self, name: str) -> SharedNoise:
        """Returns the noise for a part of a model, as in Noise."""
        return SharedNoise(self.noise.child(name))


@dataclass(frozen=True)
class NoiseOfRows:
    """Draws the numbers of a whole minibatch and keeps those of one process's rows.   (..., M, K) -> (..., m, K)

    Parameters
    ----------
    noise : Noise
        The noise for the whole minibatch.
    groups : tuple of (n, start, stop)
        For each group of n rows, the range of those that the process has.
    rank : int
        The number of the process, on which draws without rows depend.
    axis : int
        The axis of the rows; arrays with one axis have their rows along it.
    """

    noise: Noise
    groups: tuple[tuple[int, int, int], ...]
    rank: int
    axis: int = -2

    @property
    def training(self) -> bool:
        """Whether a training step draws from it, as in Noise."""
        return self.noise.training

    def normal(self, name: str, shape: tuple[int, ...]) -> Any:
        """Returns independent draws from Normal(0, 1). Raises ShapeError unless the shape has the rows on its axis."""
        return self._kept(self.noise.normal, name, shape)

    def uniform(self, name: str, shape: tuple[int, ...]) -> Any:
        """Returns independent draws from the uniform distribution on [0, 1). Raises ShapeError as `normal` does."""
        return self._kept(self.noise.uniform, name, shape)

    def child(self, name: str) -> NoiseOfRows:
        """Returns the noise for a part of a model, as in Noise."""
        return replace(self, noise=self.noise.child(name))

    def of_rows(self, part: slice) -> NoiseOfRows:
        """Returns the noise for some of its rows. Raises ShapeError unless they are whole groups."""
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
        """Returns a Noise for this rank alone, for arrays that do not have the minibatch's rows."""
        return self.noise.child(f"rank {self.rank}")

    @property
    def _size(self) -> int:
        return sum(stop - start for _, start, stop in self.groups)

    def _kept(self, draw: Callable[..., Any], name: str, shape: tuple[int, ...]) -> Any:
        axis = self.axis % len(shape) if len(shape) > 1 else 0
        if shape[axis] != self._size:
            expected = f"{name} with {self._size} rows along axis {self.axis}, those of this rank"
            raise ShapeError("noise of several ranks", expected, f"shape {shape}", "noise.without_rows() has none")
        before, after = tuple(shape[:axis]), tuple(shape[axis + 1 :])
        whole = draw(name, (*before, sum(n for n, _, _ in self.groups), *after))
        parts, offset = [], 0
        for n, start, stop in self.groups:
            parts.append(whole[(slice(None),) * axis + (slice(offset + start, offset + stop),)])
            offset += n
        return parts[0] if len(parts) == 1 else array_module(whole).concatenate(parts, axis=axis)


def philox4x32(xp: ModuleType, counter: tuple[Any, ...], key: tuple[int, int], rounds: int = 10) -> list[Any]:
    """Returns four 32-bit words, in uint64 arrays, for each counter: a bijection of the counter that the key chooses.

    Each round multiplies two of the words by odd constants, and mixes the high halves of the products into the others.
    counter: four words, arrays of shape (B,) or numbers; key: two words.
    """
    first, *others = counter
    c0, c1, c2, c3 = first, *(xp.zeros_like(first) + word for word in others)
    k0, k1 = key
    for _ in range(rounds):
        product0, product1 = c0 * 0xD2511F53, c2 * 0xCD9E8D57
        c0, c1 = (product1 >> 32) ^ c1 ^ k0, product1 & 0xFFFFFFFF
        c2, c3 = (product0 >> 32) ^ c3 ^ k1, product0 & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [c0, c1, c2, c3]


def uniforms(words: list[Any]) -> Any:
    """Returns multiples of 2^-24 in [0, 1), float32, from the upper 24 bits of four words.   (B,) each -> (B, 4)"""
    xp = array_module(words[0])
    return xp.stack([(word >> 8).astype(xp.float32) * 2.0**-24 for word in words], axis=1)


def normals(words: list[Any]) -> Any:
    """z = r cos t and r sin t,   r = sqrt(-2 log(1 - u)),   t = 2 pi u',   for two pairs (u, u') of `uniforms`

    This is the method of Box and Muller.   (B,) each -> (B, 4), float32
    """
    xp, u = array_module(words[0]), uniforms(words)
    radius = xp.sqrt(-2.0 * xp.log1p(-u[:, 0::2]))
    angle = (2.0 * numpy.pi) * u[:, 1::2]
    return xp.concatenate([radius * xp.cos(angle), radius * xp.sin(angle)], axis=1)


PHILOX = """
__device__ void philox4x32(unsigned* c, unsigned k0, unsigned k1) {
    for (int round = 0; round < 10; ++round) {
        const unsigned long long product0 = c[0] * 0xD2511F53ull, product1 = c[2] * 0xCD9E8D57ull;
        const unsigned c1 = c[1], c3 = c[3];
        c[0] = (unsigned)(product1 >> 32) ^ c1 ^ k0;  c[1] = (unsigned)product1;
        c[2] = (unsigned)(product0 >> 32) ^ c3 ^ k1;  c[3] = (unsigned)product0;
        k0 += 0x9E3779B9u;  k1 += 0xBB67AE85u;
    }
}
"""
"""The function `philox4x32` for one counter, which it overwrites."""

COUNTER = "uint32 first, uint32 name, uint32 step0, uint32 step1, uint32 seed0, uint32 seed1, int64 n"

UNIFORM = Kernel(
    "philox_uniform",
    COUNTER,
    "T out[]",
    """
    unsigned word[4] = {first + (unsigned)i, name, step0, step1};
    philox4x32(word, seed0, seed1);
    for (int j = 0; j < 4 && 4 * i + j < n; ++j) out[4 * i + j] = T(word[j] >> 8) * T(5.9604644775390625e-8);
    """,
    PHILOX,
)
"""The kernel of `uniforms`: entries 4 i to 4 i + 3 for the counter first + i; 2^-24 = 5.96e-8."""

NORMAL = Kernel(
    "philox_normal",
    COUNTER,
    "T out[]",
    """
    unsigned word[4] = {first + (unsigned)i, name, step0, step1};
    philox4x32(word, seed0, seed1);
    T z[4];
    for (int j = 0; j < 2; ++j) {
        const T u = T(word[2 * j] >> 8) * T(5.9604644775390625e-8);
        const T angle = T(6.283185307179586) * (T(word[2 * j + 1] >> 8) * T(5.9604644775390625e-8));
        const T radius = sqrt(T(-2) * log1p(-u));
        z[j] = radius * cos(angle);  z[2 + j] = radius * sin(angle);
    }
    for (int j = 0; j < 4 && 4 * i + j < n; ++j) out[4 * i + j] = z[j];
    """,
    PHILOX,
)
"""The kernel of `normals`: entries 4 i to 4 i + 3 for the counter first + i."""


def _at_words(kernel: Kernel) -> Kernel:
    """Returns the kernel for the same numbers that reads the two words of the step from an array."""
    inputs = COUNTER.replace("uint32 step0, uint32 step1", "uint32 step[]")
    text = f"const unsigned step0 = step[0], step1 = step[1];{kernel.text}"
    return replace(kernel, name=f"{kernel.name}_at_words", inputs=inputs, text=text)


UNIFORM_AT_WORDS, NORMAL_AT_WORDS = _at_words(UNIFORM), _at_words(NORMAL)
AT_WORDS = {UNIFORM.name: UNIFORM_AT_WORDS, NORMAL.name: NORMAL_AT_WORDS}


@lru_cache
def _name_key(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
