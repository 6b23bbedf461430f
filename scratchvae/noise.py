"""Randomness as a value: the numbers are a pure function of (seed, step, name).

A model that takes its noise as an argument is deterministic: its gradient can be checked, a run can be resumed without
the state of any generator, and two steps never share numbers. Both generators are counter-based.

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
    """A source of random numbers that never changes: the same (seed, step, name, shape) gives the same numbers.

    Parameters
    ----------
    seed, step : int
        From 0 to 2^64 - 1 each. Every training step has a Noise of its own.
    device : "cpu" or "gpu"
        Where the numbers are born. The CPU draws from NumPy's Philox4x64-10, the GPU from Philox4x32-10 with
        Box-Muller; the two differ, so where devices must agree pass a GivenNoise.
    training : bool
        Whether it is the noise of a training step, by which networks drop out. Scores are computed without dropout. The
        numbers are the same.
    words : array of uint32 (2,), optional
        On the GPU the lower and the upper half of a step, in place of the number: a captured step reads them anew.

    Raises InputError for a seed or step that is not such a number.
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
        """Independent draws from Normal(0, 1), float32."""
        if self.device == "cpu":
            return self._generator(name).standard_normal(shape, dtype=numpy.float32)
        return self._draw(NORMAL, normals, name, shape)

    def uniform(self, name: str, shape: tuple[int, ...], start: int = 0) -> Any:
        """Independent draws from the uniform distribution on [0, 1), float32.

        start: how many numbers are left out before them, so that some rows of a large array can be drawn by themselves
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
        """A random order of 0, ..., n - 1; on the CPU, and the same for every device."""
        return self._generator(name).permutation(n)

    def child(self, name: str) -> Noise:
        """Another Noise, for a part of the whole: its seed is a function of this seed and the name."""
        return replace(self, seed=_name_key(f"{self.seed}/{name}"))

    def of_rows(self, part: slice) -> Noise:
        """The noise of some rows of a minibatch, in a training that divides it among processes: see NoiseOfRows."""
        return self

    def without_rows(self) -> Noise:
        """The noise of arrays without a row for each of the minibatch: see NoiseOfRows."""
        return self

    def _generator(self, name: str, block: int = 0) -> numpy.random.Generator:
        counter = numpy.array([block, 0, 0, self.step], dtype=numpy.uint64)
        key = numpy.array([self.seed, _name_key(name)], dtype=numpy.uint64)
        return numpy.random.Generator(numpy.random.Philox(counter=counter, key=key))

    def _draw(
        self, kernel: Kernel, lines: Callable[..., Any], name: str, shape: tuple[int, ...], first: int = 0
    ) -> Any:
        """Float32 numbers of the GPU, by the kernel or the lines that define it: four of each counter first, ..."""
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
    """A Noise that hands out given arrays: for quadrature, and wherever the numbers must be known.

    Parameters
    ----------
    arrays : array, or dict
        One array for every name; or a dict from names to arrays. Under the name of a child a dict holds what that child
        hands out, an array or again a dict; a child that it does not name hands out the same as its parent.
    training : bool
        As in Noise.

    An array is broadcast to the shape that is asked for: zeros of shape () put every z at the mean of its distribution.
    """

    def __init__(self, arrays: Any, training: bool = False) -> None:
        self.arrays, self.training = arrays, training

    def __repr__(self) -> str:
        named = self.arrays.items() if isinstance(self.arrays, dict) else [("", self.arrays)]
        parts = (f"{name}: {shortened(array)}" if name else shortened(array) for name, array in named)
        return f"GivenNoise({', '.join(parts)})"

    def normal(self, name: str, shape: tuple[int, ...]) -> Any:
        """The array of that name in that shape. Raises InputError for another name, ShapeError for another shape."""
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
        """The same as `normal`: the caller decides what the numbers are."""
        return self.normal(name, shape)

    def child(self, name: str) -> GivenNoise:
        """The noise of a part of the whole."""
        named = isinstance(self.arrays, dict) and name in self.arrays
        return GivenNoise(self.arrays[name], self.training) if named else self

    def of_rows(self, part: slice) -> GivenNoise:
        """As in Noise."""
        return self

    def without_rows(self) -> GivenNoise:
        """As in Noise."""
        return self


@dataclass(frozen=True)
class SharedNoise:
    """A Noise that gives every row the same numbers: those of one row, (..., 1, K), broadcast to (..., N, K)."""

    noise: Noise
    training: ClassVar = False  # it is for scores

    def normal(self, name: str, shape: tuple[int, ...]) -> Any:
        """Independent draws from Normal(0, 1), the same for every row."""
        row = self.noise.normal(name, (*shape[:-2], 1, *shape[-1:]))
        return array_module(row).broadcast_to(row, shape)

    def child(self, name: str) -> SharedNoise:
        """The noise of a part of the whole."""
        return SharedNoise(self.noise.child(name))


@dataclass(frozen=True)
class NoiseOfRows:
    """A Noise of which one process has some rows of a minibatch: the whole is drawn, and these rows are kept.

    (..., M, K) of the whole -> (..., m, K)

    noise : of the whole minibatch
    groups : (n, start, stop) for each group of its rows: the process has those from start to stop, of n
    rank : of the process, for draws without rows
    axis : along which arrays have the rows; (m,) has them along its only one
    """

    noise: Noise
    groups: tuple[tuple[int, int, int], ...]
    rank: int
    axis: int = -2

    @property
    def training(self) -> bool:
        """As in Noise."""
        return self.noise.training

    def normal(self, name: str, shape: tuple[int, ...]) -> Any:
        """Independent draws from Normal(0, 1). Raises ShapeError unless there is one for each row along the axis."""
        return self._kept(self.noise.normal, name, shape)

    def uniform(self, name: str, shape: tuple[int, ...]) -> Any:
        """Independent draws from the uniform distribution on [0, 1), likewise."""
        return self._kept(self.noise.uniform, name, shape)

    def child(self, name: str) -> NoiseOfRows:
        """As in Noise."""
        return replace(self, noise=self.noise.child(name))

    def of_rows(self, part: slice) -> NoiseOfRows:
        """The noise of some of its rows, which are whole groups. Raises ShapeError for others."""
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
        """A Noise of this rank alone, for arrays that have no row for each of the minibatch."""
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
    """Four 32-bit words, held in uint64 arrays, for each counter: a bijection of the counter chosen by the key.

    Each round multiplies two of the words by odd constants, and mixes the high halves of the products into the others.
    counter: four words (arrays of shape (B,) or numbers); key: two words.
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
    """Numbers on a grid of 2^-24 in [0, 1), float32, of the upper 24 bits of four words.   (B,) each -> (B, 4)"""
    xp = array_module(words[0])
    return xp.stack([(word >> 8).astype(xp.float32) * 2.0**-24 for word in words], axis=1)


def normals(words: list[Any]) -> Any:
    """r cos t and r sin t, with r = sqrt(-2 log(1 - u)) and t = 2 pi u' of two pairs of uniform numbers: Box-Muller.

    (B,) each -> (B, 4), float32
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
"""`philox4x32` of one counter, which it overwrites."""

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
"""Entries 4 i to 4 i + 3 of `uniforms`, of the counter first + i; 2^-24 = 5.96e-8."""

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
"""Entries 4 i to 4 i + 3 of `normals`."""


def _at_words(kernel: Kernel) -> Kernel:
    """The same numbers, of a step whose two words lie in an array."""
    inputs = COUNTER.replace("uint32 step0, uint32 step1", "uint32 step[]")
    text = f"const unsigned step0 = step[0], step1 = step[1];{kernel.text}"
    return replace(kernel, name=f"{kernel.name}_at_words", inputs=inputs, text=text)


UNIFORM_AT_WORDS, NORMAL_AT_WORDS = _at_words(UNIFORM), _at_words(NORMAL)
AT_WORDS = {UNIFORM.name: UNIFORM_AT_WORDS, NORMAL.name: NORMAL_AT_WORDS}


@lru_cache
def _name_key(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
