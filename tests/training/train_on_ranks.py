"""What `test_ranks` starts on several ranks: trainings, whose rank 0 writes the parameters into FOLDER/CASE.npz.

usage: mpiexec -n RANKS python train_on_ranks.py FOLDER CASE...        a case: "iwae float32", say
"""

import os
import signal
import sys
from functools import partial
from pathlib import Path

import numpy

import scratchvae as sv
import scratchvae.ranks
from scratchvae.noise import NoiseOfRows
from scratchvae.ranks import Ranks, ranks

OF_RANKS = {name: getattr(Ranks, name) for name in ("part", "add")}
RUNS = ("directory", "interrupted", "raises", "resumed", "nan")  # cases with a run directory


def forget_the_share(world, batch, weights, noise, dtype):
    rows, others, _, *noises = OF_RANKS["part"](world, batch, weights, noise, dtype)
    return rows, others, numpy.ones(len(rows), dtype), *noises


def noise_of_its_own(world, batch, weights, noise, dtype):
    *others, of_z = OF_RANKS["part"](world, batch, weights, noise, dtype)
    return *others, of_z.noise.child(f"rank {world.rank}")


def without_the_gradient(world, array):
    if array.size < 10:  # terms and flags
        OF_RANKS["add"](world, array)


def nan_in_step_9(noise, name, shape, draw=NoiseOfRows.normal):
    return draw(noise, name, shape) * (numpy.nan if noise.noise.step == 9 else 1)


def at_the_end_of_epoch_2(metrics, case):
    if metrics["epoch"] == 2 and case == "interrupted":
        os.kill(os.getpid(), signal.SIGINT)
    if metrics["epoch"] == 2 and case == "raises":
        raise OSError("no more space")


def plant(case):
    """The fault of this case: a wrong method, or a failure of the last rank."""
    Ranks.part = {"forgotten share": forget_the_share, "own noise": noise_of_its_own}.get(case, OF_RANKS["part"])
    Ranks.add = without_the_gradient if case == "no sum" else OF_RANKS["add"]
    if ranks().rank < ranks().size - 1:
        return
    if case == "nan":
        NoiseOfRows.normal = nan_in_step_9
    if case == "killed":
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        signal.setitimer(signal.ITIMER_REAL, 1.0)
    if case == "fails alone":
        raise RuntimeError("only here")


def train(case, dtype, folder):
    rng = numpy.random.default_rng(0)
    x = (rng.random((203, 12)) < rng.random(12)).astype(dtype)
    x = 1 - x if case == "other data" and ranks().rank else x
    labels = numpy.where(numpy.arange(203) < 30, rng.integers(0, 3, 203), -1)
    vae = partial(sv.VAE.mlp, 12, 3, (16,))
    cases = {
        "iwae": (vae, {"objective": "iwae", "n_samples": 5}),
        "m2": (partial(sv.SemiSupervisedVAE.mlp, 12, 3, 2, (16,)), {"labels": labels}),
        "dynamic": (partial(vae, binarize="dynamic"), {"sample_weight": rng.random(203)}),
        "kl_floor": (vae, {"kl_floor": 0.8}),
        "free_bits": (vae, {"free_bits": 0.3}),
        "plateau": (vae, {"learning_rate": sv.callbacks.PlateauSchedule(0.02, patience=1, metric="kl")}),
    }
    make, settings = cases.get(case, (vae, {}))
    if case in RUNS:
        callbacks = [partial(at_the_end_of_epoch_2, case=case)]
        settings = {"run_dir": folder, "resume": case == "resumed", "callbacks": callbacks, "validation": 0.1}
    model = make().to(dtype=numpy.dtype(dtype))
    rate = {"learning_rate": 0.01 if dtype == "float64" else 0.001}
    epochs = 100_000 if case == "killed" else 8
    sv.fit(model, x, epochs, batch_size=29, seed=3, progress=False, **(rate | settings))
    return model


scratchvae.ranks.PATIENCE = 2.0
folder = Path(sys.argv[1])
for argument in sys.argv[2:]:
    case, dtype = argument.rsplit(" ", 1)
    plant(case)
    model = train(case, dtype, folder)
    if ranks().first:
        folder.mkdir(exist_ok=True)
        numpy.savez(folder / f"{argument}.npz", **model.state())
