"""The kind sketch: SketchRNN, for drawings as sequences of strokes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import scratchvae as sv
from scratchvae.backend import asarray
from scratchvae.data import Dataset
from scratchvae.distributions.sketch import n_points
from scratchvae.errors import InputError
from scratchvae.kinds.kind import Kind, Line, Settings
from scratchvae.kinds.option import COUNT, FROM_ZERO, NOT_NEGATIVE, POSITIVE, Option, truth
from scratchvae.kinds.pictures import CURVES, Picture, Subject
from scratchvae.kinds.shared_options import COMMON, FREE_BITS
from scratchvae.latent_space import has_arc
from scratchvae.models.sketch_rnn import LONGEST
from scratchvae.optim import SaturatingSchedule

DEFAULTS = {
    "data": "drawn-sketches",
    "epochs": 28,
    "batch_size": 100,
    "learning_rate": 4e-3,
    "learning_rate_decay": 0.88,
    "clip_norm": 10.0,
}
"""The defaults that differ from those of the other kinds."""

KL_FLOOR = 10.0
"""The default of --kl-floor if there is a latent space: without a floor the decoder would almost ignore z."""

KL_WARMUP = 500
"""The default of --kl-warmup without --kl-annealing."""

DEPENDENT = {
    "kl_floor": f"{KL_FLOOR:g} (0 with --latent 0, --objective iwae or --free-bits)",
    "kl_warmup": f"{KL_WARMUP} (0 with --kl-annealing)",
}
"""The options whose defaults depend on other options for sketches -> these defaults in words."""

SMALLEST_SHARE = 0.01
"""The share of the KL's weight with which --kl-annealing begins, eta_min of Ha and Eck (2018)."""

LATENT = Option("latent", "number of latent dimensions, K; 0 trains a decoder alone", 16, FROM_ZERO, metavar="K")
ENCODER_SIZE = Option("encoder_size", "number of units of the encoder's LSTM in each direction", 64, COUNT, metavar="H")
DECODER_SIZE = Option("decoder_size", "number of units of the decoder's LSTM", 128, COUNT, metavar="H")
MIXTURES = Option("mixtures", "number of Gaussians in the mixture for the next point", 10, COUNT, metavar="M")
LAYER_NORM = Option("layer_norm", "normalise the gates and the memory cell of each LSTM", False, truth)
KEEP = Option(
    "keep",
    "recurrent dropout: probability of keeping each candidate value of an LSTM in training; 0.9 in the paper",
    1.0,
    POSITIVE,
    metavar="SHARE",
)
KL_ANNEALING = Option(
    "kl_annealing",
    f"let the weight of the KL grow as WEIGHT (1 - {1 - SMALLEST_SHARE:g} FACTOR^step), instead of by --kl-warmup; "
    "0.99995 in the paper",
    None,
    POSITIVE,
    metavar="FACTOR",
)
RANDOM_SCALE = Option(
    "random_scale",
    "in training, multiply dx and dy of each sketch by factors drawn from 1 - SHARE to 1 + SHARE",
    0.0,
    NOT_NEGATIVE,
    metavar="SHARE",
)
DROP_POINTS = Option(
    "drop_points",
    "probability of leaving out a point within a line in training",
    0.0,
    NOT_NEGATIVE,
    metavar="SHARE",
)

SHOWN_COMPLETIONS, SHOWN_ARCS = 5, 5
"""The numbers of rows in the pictures of completions and of interpolations."""

MOST_COMPLETIONS = 400
"""The most completions of a drawing; they are chosen among twice as many draws of z."""


def _with_latent_space(subject: Subject) -> bool:
    return subject.model.latent_size > 0


def _interpolations(subject: Subject) -> Any:
    x = subject.test.sketches[: 4 * SHOWN_ARCS]
    z = subject.model.encode(asarray(x, subject.model.device)).mean
    arcs = sv.to_numpy(has_arc(z[0::2], z[1::2]))
    start, end = (x[i::2][arcs][:SHOWN_ARCS] for i in (0, 1))
    return sv.plotting.sketch_interpolations(subject.model, start, end)


def _completions(subject: Subject) -> Any:
    x = subject.test.sketches
    rows = [i for i in range(len(x)) if n_points(x[i]) > 1][:SHOWN_COMPLETIONS]
    return sv.plotting.sketch_completions(subject.model, [x[i, : max(1, int(n_points(x[i])) // 2)] for i in rows])


PICTURES = (
    Picture(
        "latent",
        "at least two latent dimensions",
        lambda s: s.model.latent_size > 1,
        lambda s: sv.plotting.sketch_latent(s.model, s.test.sketches, s.test.labels),
    ),
    Picture(
        "reconstructions",
        "a latent space",
        _with_latent_space,
        lambda s: sv.plotting.sketch_reconstructions(s.model, s.test.sketches),
    ),
    Picture("samples", "a run", lambda s: True, lambda s: sv.plotting.sketch_samples(s.model)),
    Picture(
        "interpolation",
        "a latent space, and four test sketches",
        lambda s: _with_latent_space(s) and len(s.test) >= 4,
        _interpolations,
    ),
    Picture(
        "completions",
        "a test sketch of two points",
        lambda s: bool((n_points(s.test.sketches) > 1).any()),
        _completions,
    ),
    CURVES,
)


def _write(path: Path, x: Any, prefix: Any = None) -> None:
    """Writes sketches to a .svg file, or to a picture in which their common prefix is orange."""
    if path.suffix.lower() == ".svg":
        sv.data.write_svg(path, x)
    else:
        sv.plotting.save_figure(sv.plotting.drawings(x, prefix), path)


class Sketch(Kind):
    """Sketch is the kind sketch: SketchRNN, a VAE of drawings."""

    name, summary = "sketch", "SketchRNN, a VAE of drawings"
    model = sv.SketchRNN
    options = (
        *(
            replace(option, default=None, usual=DEPENDENT[option.name])
            if option.name in DEPENDENT
            else replace(option, default=DEFAULTS.get(option.name, option.default))
            for option in COMMON
        ),
        FREE_BITS,
        LATENT,
        ENCODER_SIZE,
        DECODER_SIZE,
        MIXTURES,
        LAYER_NORM,
        KEEP,
        KL_ANNEALING,
        RANDOM_SCALE,
        DROP_POINTS,
    )
    pictures = PICTURES
    datum = "sketch"
    sampling = (
        Option(
            "temperature",
            "temperature of the samples; the lower, the closer they are to the most probable ones",
            0.4,
            POSITIVE,
            metavar="T",
        ),
    )
    completes = True
    rows = "sketches"

    def complete(self, values: dict[str, Any]) -> dict[str, Any]:
        """Sets the defaults of --kl-floor and --kl-warmup.

        The floor is 0 without a latent space, with --objective iwae and with --free-bits. The warm-up is 0 with
        --kl-annealing.
        """
        without = values["latent"] == 0 or values["objective"] == "iwae" or values["free_bits"]
        floor = 0.0 if without else KL_FLOOR
        usual = {"kl_floor": floor, "kl_warmup": 0 if values["kl_annealing"] else KL_WARMUP}
        return values | {name: value for name, value in usual.items() if values[name] is None}

    def refuse(self, settings: Settings) -> None:
        """Raises InputError for settings that the constructor refuses, whatever the data."""
        super().refuse(settings)
        if settings["kl_floor"] and settings["latent"] == 0:
            raise InputError("train", "--kl-floor with at least one latent dimension", "--latent 0")
        if settings["free_bits"] and settings["latent"] == 0:
            raise InputError("train", "--free-bits with at least one latent dimension", "--latent 0")
        if settings["kl_annealing"] and settings["kl_warmup"]:
            raise InputError("train", "--kl-annealing or --kl-warmup", "both")
        self._annealed(settings)
        sv.SketchRNN.lstm(**self._arguments(settings) | {"encoder_size": 1, "decoder_size": 1, "mixtures": 1})

    def build(self, settings: Settings, train: Dataset, part: Callable[..., Any]) -> sv.SketchRNN:
        """Builds SketchRNN.lstm with the scale of the training data; data of whole numbers are dequantised."""
        facts = sv.data.describe_sketches(train.sketches)
        if not facts["scale"] > 0:
            raise InputError("train", "sketches with different offsets", "offsets that are all equal")
        scale = float(f"{facts['scale']:.4g}")
        return sv.SketchRNN.lstm(**self._arguments(settings), scale=scale, dequantize=facts["whole_numbers"])

    def training(self, settings: Settings, train: Dataset) -> dict[str, Any]:
        """Returns the arguments of `fit`, with the weight of the KL from --kl-annealing if it is given."""
        annealed = self._annealed(settings)
        return super().training(settings, train) | ({} if annealed is None else {"kl_weight": annealed})

    def in_other_units(self, model: Any, x: Any, scores: Mapping[str, Any]) -> list[str]:
        """Returns the paper's L_R and L_KL, and bits per sketch for whole numbers.

        L_R = -(E[log p(x | z)] + 2 E[n] log scale) / N_max, without the pen on the padding; L_KL = KL / K
        """
        n, scale = sv.to_numpy(n_points(x)), float(model.decoder.scale)
        l_r = -(scores["reconstruction"] + 2 * n.mean() * math.log(scale)) / n.max()
        l_kl = f"L_KL {scores['kl'] / model.latent_size:.3f}, " if model.latent_size else ""
        line = f"these are nats per sketch; in the paper's units L_R {l_r:.3f}, {l_kl}with N_max {n.max()}"
        bits = f"; {-scores['elbo'] / math.log(2):.1f} bits per sketch" if model.dequantize else ""
        line = f"{line}, K {model.latent_size}, offsets in units of {scale:.4g}, no pen on the padding{bits}"
        return [Line(line, L_R=float(l_r), N_max=int(n.max()), scale=scale)]

    def numbers_of(self, model: Any) -> int:
        """Returns the numbers in the rows (T, 5) of a longest sketch."""
        return 5 * LONGEST

    def draw_samples(self, path: Path, model: Any, n: int, seed: int, shape: Any, **temperature: float) -> None:
        """Draws n sketches into a .svg file, which can be read as data, or into a picture."""
        _write(path, model.sample(n, seed, **temperature))

    def write_completions(self, path: Path, model: Any, x: Any, n: int, seed: int, **temperature: float) -> list[str]:
        """Draws n sketches that begin with the points of x, (T, 5), into a .svg file or a picture.

        Each drawing may lift the pen after the last point or continue the line, as a file of lines cannot tell which.
        """
        if n > MOST_COMPLETIONS:
            raise InputError("complete", f"--n of at most {MOST_COMPLETIONS}", str(n))
        points = x[: int(n_points(x))]
        drawings, facts = model.complete_points(points, n, seed=seed, **temperature)
        _write(path, drawings, sv.to_numpy(points))
        return [
            f"log p of the {len(points)} points {facts['log_p']:.2f} nats, effective sample size "
            f"{facts['effective']:.0f} of {facts['draws']} draws of z; the pen is lifted behind them with probability "
            f"{facts['lifted']:.2f}"
        ]

    def _annealed(self, settings: Mapping[str, Any]) -> SaturatingSchedule | None:
        weight, factor = settings["kl_weight"], settings["kl_annealing"]
        return SaturatingSchedule(SMALLEST_SHARE * weight, weight, factor) if factor else None

    def _arguments(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        names = (
            *("encoder_size", "decoder_size", "mixtures", "layer_norm", "keep"),
            *("random_scale", "drop_points", "seed"),
        )
        return {"latent_size": settings["latent"]} | {name: settings[name] for name in names}
