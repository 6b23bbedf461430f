"""The generator Philox4x32-10 with Box-Muller computes the random numbers of a GPU from counters.

Every number is a function of its counter and the key alone, so that threads need no common state.

Source: Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any

import numpy

from scratchvae.backend import array_module
from scratchvae.kernels import Kernel


def philox4x32(xp: ModuleType, counter: tuple[Any, ...], key: tuple[int, int], rounds: int = 10) -> list[Any]:
    """Returns four 32-bit words, held in uint64 arrays, for each counter: a bijection of counters, chosen by the key.

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
    """u = 2^-24 floor(w / 2^8) in [0, 1) for each of four words w, float32.   (B,) each -> (B, 4)"""
    xp = array_module(words[0])
    return xp.stack([(word >> 8).astype(xp.float32) * 2.0**-24 for word in words], axis=1)


def normals(words: list[Any]) -> Any:
    """z = r cos t and r sin t,   r = sqrt(-2 log(1 - u)),   t = 2 pi u', for two pairs (u, u') of uniforms: Box-Muller.

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
"""Computes `philox4x32` for one counter, which it overwrites."""

WORDS = "unsigned word[4] = {first + (unsigned)i, name, step0, step1};  philox4x32(word, seed0, seed1);"
"""The four words of the counter first + i, which its kernel turns into numbers."""

COUNTER = "uint32 first, uint32 name, uint32 step0, uint32 step1, uint32 seed0, uint32 seed1, int64 n"

UNIFORM = Kernel(
    "philox_uniform",
    COUNTER,
    "T out[]",
    WORDS
    + """
    for (int j = 0; j < 4 && 4 * i + j < n; ++j) out[4 * i + j] = T(word[j] >> 8) * T(5.9604644775390625e-8);
    """,
    PHILOX,
)
"""Computes the entries 4 i to 4 i + 3 of `uniforms` from the counter first + i; 2^-24 = 5.96e-8."""

NORMAL = Kernel(
    "philox_normal",
    COUNTER,
    "T out[]",
    WORDS
    + """
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
"""Computes the entries 4 i to 4 i + 3 of `normals` from the counter first + i."""


@cache
def at_words(kernel: Kernel) -> Kernel:
    """Returns a kernel of the same numbers that reads the two words of the step from an array."""
    inputs = kernel.inputs.replace("uint32 step0, uint32 step1", "uint32 step[]")
    text = f"const unsigned step0 = step[0], step1 = step[1];{kernel.text}"
    return replace(kernel, name=f"{kernel.name}_at_words", inputs=inputs, text=text)
