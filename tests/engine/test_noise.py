"""Noise is a pure function of (seed, step, name): known answers, golden values, moments, independence."""

import dataclasses
import subprocess
import sys

import numpy
import pytest

from scratchvae import to_numpy
from scratchvae.errors import InputError, ShapeError
from scratchvae.kernels import Kernel, for_gpu
from scratchvae.noise import GivenNoise, Noise
from scratchvae.philox import PHILOX, normals, philox4x32, uniforms

ONES = 0xFFFFFFFF

# Known answers of Random123, the authors' own implementation, for ten rounds: counter, key, output.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def correlation(x, y):
    return float(numpy.corrcoef(to_numpy(x).ravel(), to_numpy(y).ravel())[0, 1])


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_known_answers(counter, key, expected):
    words = philox4x32(numpy, (numpy.array([counter[0]], dtype=numpy.uint64), *counter[1:]), key)
    assert tuple(int(word[0]) for word in words) == expected


def test_philox_known_answers_side_by_side_on_the_gpu(gpu):
    for counter, key, expected in KNOWN:
        columns = [gpu.asarray(numpy.array([word, 0], dtype=numpy.uint64)) for word in counter]
        words = philox4x32(gpu, tuple(columns), key)
        assert tuple(int(word[0]) for word in words) == expected


WORDS = Kernel(
    "philox_words",
    "uint32 c0, uint32 c1, uint32 c2, uint32 c3, uint32 k0, uint32 k1",
    "uint32 out[i]",
    "unsigned word[4] = {c0, c1, c2, c3};  philox4x32(word, k0, k1);  out = word[i];",
    PHILOX,
)


def test_philox_known_answers_of_the_kernel(gpu):
    compiled = for_gpu(WORDS, gpu)
    if compiled is None:
        pytest.skip("the stand-in needs a C++ compiler")
    for counter, key, expected in KNOWN:
        out = gpu.zeros(4, dtype=gpu.uint32)
        compiled(*counter, *key, out)
        assert tuple(to_numpy(out).tolist()) == expected


def test_philox_gives_every_counter_another_block():
    words = philox4x32(numpy, (numpy.arange(10_000, dtype=numpy.uint64), 0, 0, 0), (1, 2))
    assert len({tuple(block) for block in numpy.stack(words, axis=1).tolist()}) == 10_000
    assert max(int(word.max()) for word in words) < 2**32


GOLDEN = {
    "cpu": (
        [-0.6957443356513977, -0.9310060143470764, -0.8488894104957581, -0.25807592272758484],
        [0.6879754662513733, 0.7432231307029724, 0.4758259654045105, 0.13919860124588013],
    ),
    "gpu": (
        [0.41682836413383484, -0.05569443106651306, -0.4031062722206116, 0.09254865348339081],
        [0.1547478437423706, 0.877663254737854, 0.0058165788650512695, 0.3362191915512085],
    ),
}


def test_golden_values(device):
    """A change here breaks every seed that users have written down."""
    noise = Noise(seed=1, step=2, device=device)
    normal, uniform = GOLDEN[device]
    numpy.testing.assert_allclose(to_numpy(noise.normal("z", (4,))), normal, rtol=1e-5)
    assert to_numpy(noise.uniform("z", (4,))).tolist() == uniform
    assert noise.permutation("order", 8).tolist() == [0, 4, 6, 1, 2, 5, 7, 3]
    assert noise.child("encoder") == Noise(10348343494587346690, 2, device)


def test_same_arguments_same_numbers(device):
    for kind in ("normal", "uniform"):
        first, again = (to_numpy(getattr(Noise(3, 4, device), kind)("z", (5, 7))) for _ in range(2))
        numpy.testing.assert_array_equal(first, again)
        assert first.shape == (5, 7) and first.dtype == numpy.float32


def test_same_numbers_in_another_process():
    code = "from scratchvae import Noise; print(Noise(3, 4).normal('z', (3,)).tolist())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(Noise(3, 4).normal("z", (3,)).tolist())


def test_fewer_numbers_are_a_prefix_of_more(device):
    noise = Noise(0, device=device)
    for kind in ("normal", "uniform"):
        more = to_numpy(getattr(noise, kind)("z", (100, 3)))
        for shape in ((), (1,), (5,), (7, 3), (2, 2, 2), (0, 3)):
            fewer = to_numpy(getattr(noise, kind)("z", shape))
            assert fewer.shape == shape
            numpy.testing.assert_array_equal(fewer.ravel(), more.ravel()[: fewer.size])


def test_every_name_step_and_seed_has_numbers_of_its_own(device):
    n = (20_000,)
    sources = [(Noise(0, 0, device), "z"), (Noise(0, 0, device), "pixels"), (Noise(0, 1, device), "z")]
    sources += [(Noise(1, 0, device), "z"), (Noise(0, 0, device).child("encoder"), "z"), (Noise(0, 2**40, device), "z")]
    sources += [(Noise(2**40, 0, device), "z")]
    for kind in ("normal", "uniform"):
        draws = [getattr(noise, kind)(name, n) for noise, name in sources]
        for i, x in enumerate(draws):
            for y in draws[:i]:
                assert abs(correlation(x, y)) < 5 / numpy.sqrt(n[0])


def test_neighbours_are_uncorrelated(device):
    for kind in ("normal", "uniform"):
        x = to_numpy(getattr(Noise(0, device=device), kind)("z", (100_000,)))
        for lag in range(1, 9):
            assert abs(correlation(x[lag:], x[:-lag])) < 0.016
            assert abs(correlation(x[lag:] ** 2, x[:-lag] ** 2)) < 0.016


def test_normal_moments(device):
    stats = pytest.importorskip("scipy.stats")
    x = to_numpy(Noise(0, device=device).normal("z", (200_000,))).astype(numpy.float64)
    assert numpy.isfinite(x).all()
    for k, expected in ((1, 0), (2, 1), (3, 0), (4, 3)):
        assert (x**k).mean() == pytest.approx(expected, abs=5 * (x**k).std() / numpy.sqrt(x.size))
    assert stats.kstest(x, "norm").pvalue > 1e-3
    assert 4 < abs(x).max() < 7


def test_uniform_moments_and_range(device):
    stats = pytest.importorskip("scipy.stats")
    x = to_numpy(Noise(0, device=device).uniform("z", (200_000,)))
    assert 0 <= x.min() < 1e-4 and 1 - 1e-4 < x.max() < 1
    assert stats.kstest(x.astype(numpy.float64), "uniform").pvalue > 1e-3


def test_the_largest_word_stays_below_one():
    full = [numpy.array([ONES], dtype=numpy.uint64)] * 4
    assert uniforms(full).max() == 1 - 2.0**-24
    assert numpy.isfinite(normals(full)).all()


@pytest.mark.parametrize("shape", [(), (4,), (5, 3), (0, 3), (1000,)])
def test_the_kernels_draw_what_the_lines_say(gpu, monkeypatch, shape):
    """The uniform numbers to the bit, and so the words of Philox; sine and logarithm to their rounding."""
    for noise in (Noise(7, 2**40 + 3, "gpu"), Noise(2**63 + 5, 2**32 - 1, "gpu")):
        fast = [to_numpy(draw("z", shape)) for draw in (noise.uniform, noise.normal)]
        with monkeypatch.context() as patch:
            patch.setattr("scratchvae.kernels.for_gpu", lambda *_: None)
            slow = [to_numpy(draw("z", shape)) for draw in (noise.uniform, noise.normal)]
        assert [x.dtype for x in fast] == [numpy.float32] * 2 and fast[0].shape == fast[1].shape == shape
        numpy.testing.assert_array_equal(fast[0], slow[0])
        numpy.testing.assert_allclose(fast[1], slow[1], rtol=1e-6, atol=1e-6)


def test_permutations(device):
    noise = Noise(0, device=device)
    order = noise.permutation("order", 1000)
    assert isinstance(order, numpy.ndarray) and sorted(order.tolist()) == list(range(1000))
    numpy.testing.assert_array_equal(order, Noise(0).permutation("order", 1000))
    assert not numpy.array_equal(order, Noise(0, 1).permutation("order", 1000))
    firsts = [Noise(0, step).permutation("order", 5)[0] for step in range(2000)]
    assert numpy.bincount(firsts).min() > 300


def test_noise_is_an_immutable_value():
    noise = Noise(1, step=2)
    assert noise == Noise(1, 2) and hash(noise) == hash(Noise(1, 2)) and noise != Noise(1, 3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        noise.seed = 3
    assert noise.child("a") == noise.child("a") != noise.child("b")


@pytest.mark.parametrize("seed", [0, 2**64 - 1, numpy.int64(5), numpy.uint64(2**64 - 1)])
def test_every_64_bit_number_is_a_seed_and_a_step(seed, device):
    for noise in (Noise(seed, 1, device), Noise(1, seed, device)):
        assert numpy.isfinite(to_numpy(noise.normal("z", (3,)))).all()
        numpy.testing.assert_array_equal(
            to_numpy(noise.uniform("z", (3,))),
            to_numpy(Noise(int(noise.seed), int(noise.step), device).uniform("z", (3,))),
        )


@pytest.mark.parametrize("wrong", [-1, 2**64, 1.0, "1", None])
def test_other_seeds_and_steps_are_refused(wrong):
    with pytest.raises(InputError, match="Noise: expected an integer seed from 0 to 2.64 - 1, received"):
        Noise(wrong)
    with pytest.raises(InputError, match="Noise: expected an integer step"):
        Noise(0, wrong)
    with pytest.raises(InputError, match='expected "cpu" or "gpu", received \'tpu\''):
        Noise(0, device="tpu")


# ---- given arrays


def test_given_noise_hands_out_what_it_was_given(rng):
    e = rng.standard_normal((2, 3, 4))
    assert GivenNoise(e).normal("z", (2, 3, 4)) is e and GivenNoise(e).normal("prior", [2, 3, 4]) is e
    with pytest.raises(ShapeError, match=r"a request that \(2, 3, 4\) broadcasts to, received \(2, 1, 4\)"):
        GivenNoise(e).normal("z", (2, 1, 4))


def test_given_noise_is_broadcast_to_the_shape(gpu):
    e = gpu.asarray(numpy.arange(4.0))
    received = GivenNoise(e).normal("z", (2, 3, 4))
    assert type(received) is type(e) and received.dtype == e.dtype
    numpy.testing.assert_array_equal(to_numpy(received), numpy.broadcast_to(numpy.arange(4.0), (2, 3, 4)))
    assert not to_numpy(GivenNoise(gpu.asarray(numpy.zeros(()))).normal("z", (2, 3))).any()
    with pytest.raises(ShapeError, match=r"that \(4,\) broadcasts to, received \(2, 3\)"):
        GivenNoise(e).normal("z", (2, 3))


def test_given_noise_has_an_array_for_each_name_and_child(rng):
    e1, e2, e3, e4 = rng.standard_normal((4, 3))
    noise = GivenNoise({"z1": e1, "z": e2, "labelled": e3, "draw 0": {"z": e4}})
    assert noise.normal("z1", (3,)) is e1 and noise.normal("z", (3,)) is e2
    assert noise.child("labelled").normal("z", (3,)) is e3
    assert noise.child("draw 0").normal("z", (3,)) is e4
    assert noise.child("another") is noise and GivenNoise(e1).child("draw 0").normal("z", (3,)) is e1
    with pytest.raises(InputError, match="a request for 'z1' or 'z' or 'labelled' or 'draw 0', received 'pixels'"):
        noise.normal("pixels", (3,))
    with pytest.raises(InputError, match="a request for 'z', received 'z1'"):
        noise.child("draw 0").normal("z1", (3,))


@pytest.mark.parametrize("start", [0, 1, 3, 4, 8, 13, 800])
def test_uniform_numbers_from_a_start_on_are_those_of_the_whole(device, start):
    noise = Noise(3, 7, device)
    whole = to_numpy(noise.uniform("pixels", (1000,)))
    part = to_numpy(noise.uniform("pixels", (10, 19), start))
    assert part.shape == (10, 19) and numpy.array_equal(part.ravel(), whole[start : start + 190])
