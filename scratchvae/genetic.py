"""A genetic search varies strings by crossover and mutation of their symbols, without a latent space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy

from scratchvae.alphabet import Alphabet
from scratchvae.errors import InputError, whole_number
from scratchvae.noise import Noise

__all__ = ["crossover", "mutate", "offspring"]


def crossover(first: Sequence[str], second: Sequence[str], places: Sequence[float]) -> list[str]:
    """child = first[:i] + second[j:],   i and j at the two places, shares in [0, 1) of the lists' lengths"""
    i, j = (int(place * (len(symbols) + 1)) for place, symbols in zip(places, (first, second), strict=True))
    return [*first[:i], *second[j:]]


def mutate(symbols: Sequence[str], alphabet: Sequence[str], draws: Sequence[float]) -> list[str]:
    """Returns the symbols with one of them replaced, one inserted or one removed.

    The three draws in [0, 1) choose the kind of mutation, its place and the new symbol. An empty list gets a symbol.
    """
    what, where = (int(3 * draws[0]), draws[1]) if symbols else (1, 0.0)
    i = int(where * (len(symbols) + (what == 1)))
    new = [alphabet[int(draws[2] * len(alphabet))]] if what < 2 else []
    return [*symbols[:i], *new, *symbols[i + (what != 1) :]]


def offspring(parents: Sequence[str], alphabet: Alphabet, n: int, mutation: float = 0.5, seed: int = 0) -> list[str]:
    """Returns n strings: each is a crossover of two random parents, and mutates once with probability `mutation`.

    The alphabet splits the strings, and inserted symbols are its own. The caller decides which of the strings are valid
    molecules; few crossovers are valid, because they cut rings and branches, and some are empty.

    Raises InputError for no parents, an n below 1 and a mutation that is no probability.
    """
    n = whole_number("offspring", "n", n)
    if isinstance(parents, str) or not len(parents):
        raise InputError("offspring", "a list of parents", repr(parents))
    if not 0 <= mutation <= 1:
        raise InputError("offspring", "a mutation probability from 0 to 1", repr(mutation))
    split = [alphabet.split(parent) for parent in parents]
    draws = Noise(seed).uniform("offspring", (n, 8)).astype(numpy.float64)
    strings = []
    for pair, places, mutated, how in zip(draws[:, :2], draws[:, 2:4], draws[:, 4], draws[:, 5:], strict=True):
        first, second = (split[int(share * len(split))] for share in pair)
        child = crossover(first, second, places)
        strings.append("".join(mutate(child, alphabet.symbols, how) if mutated < mutation else child))
    return strings
