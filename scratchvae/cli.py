"""The command line: train, evaluate, sample, plot, check, data."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy

import scratchvae as sv
from scratchvae import binarization
from scratchvae.backend import asarray, device_module
from scratchvae.checkpoint import write_text
from scratchvae.errors import DataError, InputError
from scratchvae.evaluation import observations, prepared, quantity
from scratchvae.latent_space import has_arc, mean_difference
from scratchvae.models import LIKELIHOODS
from scratchvae.models.semisupervised_vae import usual_alpha
from scratchvae.optim import ExponentialSchedule, LinearSchedule, Schedule
from scratchvae.run_directory import RunDirectory, read_configuration, read_history, refuse_run
from scratchvae.training import OBJECTIVES, summary

TRAIN_DEFAULTS: dict[str, Any] = {
    "data": "drawn-digits",
    "data_dir": None,
    "model": "mlp",
    "labels": None,
    "alpha": None,
    "m1": None,
    "m1_epochs": None,
    "latent": 2,
    "hidden": [300, 150],
    "channels": [32, 64],
    "activation": "tanh",
    "likelihood": "bernoulli",
    "std": "0.1",
    "binarize": "none",
    "epochs": 30,
    "batch_size": 128,
    "learning_rate": 2e-3,
    "learning_rate_decay": 1.0,
    "kl_weight": 1.0,
    "kl_warmup": 0,
    "samples": 1,
    "objective": "elbo",
    "clip_norm": None,
    "seed": 0,
    "device": "cpu",
}
MODELS = ("mlp", "conv", "m2", "m2-conv", "m1+m2")
SEMI_SUPERVISED = ("m2", "m2-conv", "m1+m2")
MODELS_OF = {
    "hidden": ("mlp", "m2", "m1+m2"),
    "channels": ("conv", "m2-conv"),
    "labels": SEMI_SUPERVISED,
    "alpha": SEMI_SUPERVISED,
    "m1": ("m1+m2",),
    "m1_epochs": ("m1+m2",),
}
"""Option -> the kinds of model that take it; all others go with every model."""

OF_FIRST = ("likelihood", "std", "binarize", "kl_warmup", "m1_epochs")
"""Options of m1+m2 that M1 alone takes."""

PLOTS = (
    *("manifold", "latent", "reconstructions", "samples", "curves"),
    *("traversal", "interpolation", "sweep", "classes", "analogies"),
)

MOST_ENCODED, MOST_ATTRIBUTES = 2000, 10  # of a picture of directions


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    The exit status is 0, 2 for bad input, 1 for a training or check that failed, 130 after Ctrl-C, and 141 where nobody
    reads the output any more.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file may have any name
    try:
        options = _parser().parse_args(arguments)
        options.command(options)
        if sys.stdout is not None:
            sys.stdout.flush()  # or nobody hears that the reader has gone
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left has no reader
        return 141
    except (InputError, OSError, _UsageError) as error:
        print(f"scratchvae: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"scratchvae: not enough memory: {error}", file=sys.stderr)
        return 2
    except (sv.NonFiniteError, CheckFailed) as error:
        print(f"scratchvae: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(f"scratchvae: {interrupt or 'interrupted'}", file=sys.stderr)
        return 130
    return 0


class CheckFailed(Exception):
    """A row of `scratchvae check` does not meet its tolerance."""


class _UsageError(Exception):
    """A command line that the parser does not take."""


class _Parser(argparse.ArgumentParser):
    """Refuses in one sentence, as the rest of the package does."""

    def error(self, message: str) -> NoReturn:
        raise _UsageError(f"{message} ({self.prog} --help tells more)")


def _number(kind: type, smallest: float, exclusive: bool = False) -> Callable[[str], Any]:
    """A conversion for argparse: a number of this kind, at least (or, exclusive, above) the smallest."""

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not (smallest < value < math.inf if exclusive else smallest <= value < 10**7):
            expected = "a whole number" if kind is int else "a number"
            bound = f"above {smallest:g}" if exclusive else f"of at least {smallest:g}, below ten million"
            raise argparse.ArgumentTypeError(f"expected {expected} {bound}, received {text!r}")
        return value

    return convert


COUNT, FROM_ZERO, POSITIVE = _number(int, 1), _number(int, 0), _number(float, 0, exclusive=True)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="scratchvae",
        description="Variational autoencoders from scratch, on NumPy and CuPy. All figures are in nats.",
        epilog="scratchvae COMMAND --help tells more. Without any option, `scratchvae train` draws its own data.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"scratchvae {sv.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(name: str, function: Any, summary: str, description: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=summary, description=description, allow_abbrev=False)
        added.set_defaults(command=function)
        return added

    data_help = f"{', '.join(sv.data.DATASETS)}, or the path of a .npy, .npz or idx file"
    data_dir_help = "where the files of a named set lie (default: $SCRATCHVAE_DATA; mnist alone is downloaded, once)"
    run_help = "a run directory, or a checkpoint file"

    train = command(
        "train",
        _train,
        "train a VAE and leave a run directory",
        "Train a VAE of two perceptrons or two convolutional networks, score it on the test part of the data, and "
        "leave a run directory: config.json, options.json, metrics.jsonl, checkpoints (last.npz, and best.npz by the "
        "test part), figures/.",
    )
    option = train.add_argument_group("options").add_argument

    def setting(name: str, help: str, **kind: Any) -> None:
        default = TRAIN_DEFAULTS[name]
        shown = " ".join(map(str, default)) if isinstance(default, list) else default
        help += "" if default is None else f" (default: {shown})"
        option(f"--{name.replace('_', '-')}", default=argparse.SUPPRESS, help=help, **kind)

    setting("data", data_help)
    setting("data_dir", data_dir_help, metavar="DIR")
    setting(
        "model",
        "encoder and decoder: perceptrons, or convolutions for images; m2 and m2-conv: the same, with some labels; "
        "m1+m2: mlp, and then m2 on its latent variables",
        choices=MODELS,
    )
    setting(
        "labels",
        "of m2, m2-conv and m1+m2: how many images keep their label, the same number of each class",
        type=COUNT,
        metavar="N",
    )
    setting(
        "alpha",
        "of the same: multiplies the sum of log q(y | x) over labelled images (default: 0.1 all / labelled ones)",
        type=_number(float, 0),
        metavar="ALPHA",
    )
    setting("m1", "of m1+m2: a run or a checkpoint file of a VAE to take, not to train one", metavar="RUN")
    setting("m1_epochs", "of m1+m2: passes to train M1 (default: as many as --epochs)", type=COUNT, metavar="N")
    setting("latent", "latent dimensions K, of m1+m2 in both", type=COUNT, metavar="K")
    setting(
        "hidden",
        "of mlp, m2 and m1+m2: widths of the encoder's hidden layers; the decoder mirrors them; the last one is M2's",
        type=COUNT,
        nargs="*",
        metavar="H",
    )
    setting(
        "channels",
        "of conv and m2-conv: channels of images halved once, twice, ...; the decoder mirrors them",
        type=COUNT,
        nargs="+",
        metavar="C",
    )
    setting("activation", "of hidden layers", choices=sorted(sv.nn.linear.ACTIVATIONS))
    setting("likelihood", "p(x | z)", choices=[*LIKELIHOODS])
    setting("std", "of a Gaussian or Laplace likelihood: a number, learned (one), or decoder (one per pixel)")
    setting("binarize", "how grey values become Bernoulli data", choices=binarization.MODES)
    setting("epochs", "passes over the training data", type=COUNT, metavar="N")
    setting("batch_size", "images per step", type=COUNT, metavar="M")
    setting("learning_rate", "of Adam", type=POSITIVE, metavar="RATE")
    setting(
        "learning_rate_decay", "multiplies it once an epoch, a little at every step", type=POSITIVE, metavar="FACTOR"
    )
    setting("kl_weight", "multiplies the KL in training", type=_number(float, 0), metavar="WEIGHT")
    setting("kl_warmup", "steps over which that weight (of m1+m2: M1's) grows from 0", type=FROM_ZERO, metavar="STEPS")
    setting("samples", "draws of z per image", type=COUNT, metavar="S")
    setting(
        "objective", "the ELBO, or the importance-weighted bound: log of the mean of S weights", choices=[*OBJECTIVES]
    )
    setting("clip_norm", "largest norm of the gradient", type=POSITIVE, metavar="NORM")
    setting("seed", "of weights, order and noise", type=FROM_ZERO)
    setting("device", "where to compute", choices=["cpu", "gpu"])
    where = train.add_mutually_exclusive_group()
    where.add_argument("--run-dir", metavar="DIR", help="default: the first free of runs/DATA-1, runs/DATA-2, ...")
    where.add_argument(
        "--resume", metavar="DIR", help="go on with the run in DIR, by its own options; --epochs may grow"
    )
    train.add_argument("--quiet", action="store_true", help="no progress bar")

    evaluate = command(
        "evaluate",
        _evaluate,
        "test ELBO and importance-sampled log p(x)",
        "Score a trained model on the test part of its data.",
    )
    evaluate.add_argument("run", help=run_help)
    evaluate.add_argument("--data", help=f"{data_help} (default: what the run was trained on)")
    evaluate.add_argument("--data-dir", metavar="DIR", help=data_dir_help)
    evaluate.add_argument("--samples", type=COUNT, default=1, metavar="S", help="draws of z for the ELBO (default: 1)")
    evaluate.add_argument(
        "--importance-samples", type=COUNT, metavar="S", help="also estimate log p(x), with S draws of z per image"
    )
    evaluate.add_argument("--limit", type=COUNT, metavar="N", help="only the first N images of the test part")
    evaluate.add_argument("--seed", type=FROM_ZERO, default=0, help="of the noise (default: 0)")

    sample = command("sample", _sample, "decoder means of z ~ p(z)", "Draw from the prior and decode.")
    sample.add_argument("run", help=run_help)
    sample.add_argument("--n", type=COUNT, default=100, metavar="N", help="how many (default: 100)")
    sample.add_argument("--seed", type=FROM_ZERO, default=0, help="of z (default: 0)")
    sample.add_argument(
        "--out", default="samples.png", help="a .png, .pdf or .svg picture, or .npy (default: %(default)s)"
    )

    plot = command("plot", _plot, "pictures of a trained model", "Draw pictures of a run, into its folder figures/.")
    plot.add_argument("kind", choices=["all", *PLOTS], help="which picture; the manifold needs a 2-D latent space")
    plot.add_argument("run", help="a run directory")
    plot.add_argument("--data-dir", metavar="DIR", help=data_dir_help)
    plot.add_argument("--out", metavar="FILE", help="another file (not with all)")

    check = command(
        "check",
        _check,
        "prove the mathematics on this machine",
        "Check every gradient, the identities of distributions and estimators, and models whose likelihood is known "
        "exactly. Prints a table of figures and tolerances; the exit status is 1 if one fails.",
    )
    check.add_argument("--device", choices=["cpu", "gpu"], default="cpu", help="where to compute (default: cpu)")

    data = command("data", _data, "describe a data set, and draw some of it", "Load a data set and describe it.")
    data.add_argument("data", nargs="?", default="drawn-digits", help=f"{data_help} (default: %(default)s)")
    data.add_argument("--data-dir", metavar="DIR", help=data_dir_help)
    data.add_argument("--out", metavar="FILE", help="draw the first 100 training images")
    return parser


def _train(options: argparse.Namespace) -> None:
    given = {name: value for name, value in vars(options).items() if name in TRAIN_DEFAULTS}
    settings = TRAIN_DEFAULTS | (_run_options(Path(options.resume), ["data"]) if options.resume else {}) | given
    kind = settings["model"]
    for option, kinds in MODELS_OF.items():
        if option in given and kind not in kinds:
            flag = f"--{option.replace('_', '-')}"
            raise InputError("train", f"{flag} with --model {', '.join(kinds)}", f"--model {kind}")
    if kind in SEMI_SUPERVISED and settings["objective"] != "elbo":
        raise InputError("train", f"--objective elbo with --model {kind}", settings["objective"])
    if Path(settings["data"]).is_file():
        settings["data"] = str(Path(settings["data"]).resolve())
    train, test = sv.data.load(settings["data"], settings["data_dir"])
    directory = Path(options.resume or options.run_dir or _free_directory(settings["data"]))
    settings["image_shape"] = list(train.images.shape[1:])
    shared = {name: settings[name] for name in ("activation", "likelihood", "binarize", "seed")}
    shared |= {"latent_size": settings["latent"], "std": _std(settings["std"])}
    labels = _labels(train, test, settings) if kind in SEMI_SUPERVISED else None
    constructors = sv.VAE
    if kind in ("m2", "m2-conv"):
        constructors, shared["n_classes"] = sv.SemiSupervisedVAE, int(labels.max()) + 1
    if kind in MODELS_OF["hidden"]:
        model = constructors.mlp(train.images[0].size, hidden=settings["hidden"], **shared)
    else:
        model = constructors.convolutional(settings["image_shape"], channels=settings["channels"], **shared)
    begun = options.resume is not None and (kind != "m1+m2" or (directory / "config.json").exists())
    if kind == "m1+m2":
        model, units = _first(model, train, given, settings, directory if begun else None)
    model.to(settings["device"])
    for part in (train, test):
        try:
            observations(model, part.images)
        except DataError as error:
            error.args = (f"{settings['data']}: {error}",)
            raise
    training = {
        "validation": test.images,
        "batch_size": settings["batch_size"],
        "n_samples": settings["samples"],
        "clip_norm": settings["clip_norm"],
        "seed": settings["seed"],
        "progress": not options.quiet,
    }
    kl_weight = settings["kl_weight"]
    warmed_up = LinearSchedule(0.0, kl_weight, settings["kl_warmup"]) if settings["kl_warmup"] else kl_weight
    with RunDirectory(directory) as held:
        if not options.resume:
            for path in (directory, directory / "m1"):
                refuse_run(path)
            _refuse_foreign_options(directory / "options.json")
            write_text(directory / "options.json", json.dumps(settings, indent=2))
        print(model)
        sizes = f"{len(train):,} to train with, {len(test):,} to test with"
        print(f"{settings['data']}: {sizes}; {quantity(model, test.images)}", flush=True)
        if kind == "m1+m2":
            if not begun:
                if settings["m1"] is None:
                    m1 = directory / "m1"
                    sv.fit(
                        model,
                        train.images,
                        settings["m1_epochs"],
                        learning_rate=_learning_rate(settings, len(train)),
                        kl_weight=warmed_up,
                        run_dir=m1,
                        resume=options.resume is not None and (m1 / "config.json").exists(),
                        **training,
                    )
                units = sv.active_units(model, prepared(model, train.images, settings["seed"]))
            second = {"n_classes": int(labels.max()) + 1, "hidden": settings["hidden"][-1:]}
            second |= {name: shared[name] for name in ("latent_size", "activation", "seed")}
            model, warmed_up = sv.StackedVAE.mlp(model, units, **second), kl_weight
            print(model)
        if labels is not None:
            alpha = settings["alpha"]
            alpha = usual_alpha(settings["labels"], len(train)) if alpha is None else alpha
            print(f"{settings['labels']:,} labels, drawn by seed {settings['seed']}; alpha = {alpha:.4g}", flush=True)
        rows = len(train) if labels is None else max((labels >= 0).sum(), (labels < 0).sum())
        sv.fit(
            model,
            train.images,
            settings["epochs"],
            learning_rate=_learning_rate(settings, rows),
            kl_weight=warmed_up,
            objective=settings["objective"],
            labels=labels,
            alpha=settings["alpha"],
            run_dir=held,
            resume=begun,
            **training,
        )
        write_text(directory / "options.json", json.dumps(settings, indent=2))
    history = read_history(directory)
    print(f"after {history['epoch'][-1]} epochs: {summary({name: values[-1] for name, values in history.items()})}")
    print(f"test: {_line(sv.evaluate(model, test.images), model, test.images)}")
    _print_error(model, test)
    _draw_all(model, train, test, directory)


def _learning_rate(settings: dict[str, Any], rows: int) -> float | Schedule:
    """The rate of `fit` for epochs of so many rows."""
    rate, decay = settings["learning_rate"], settings["learning_rate_decay"]
    steps = math.ceil(rows / settings["batch_size"])
    return rate if decay == 1 else ExponentialSchedule(rate, decay ** (1 / steps))


def _first(
    model: sv.VAE, train: sv.data.Dataset, given: dict[str, Any], settings: dict[str, Any], run: Path | None
) -> tuple[sv.VAE, Any]:
    """M1 of m1+m2 and the units that M2 takes of it: those of the run in which M2 has begun, or None so far.

    M1 is that of the run, the one that --m1 names, or else this model, to be trained for m1_epochs.
    """
    if settings["hidden"] == []:
        raise InputError("train", "--hidden with at least one width for m1+m2", "none")
    late = [f"--{name.replace('_', '-')} {given[name]}" for name in ("m1", "m1_epochs") if run and name in given]
    if late:
        raise InputError("train", "the M1 of the run, in which M2 has begun", ", ".join(late), "--epochs may grow")
    refused = [f"--{name.replace('_', '-')}" for name in OF_FIRST if name in given and settings["m1"] is not None]
    if refused:
        raise InputError("train", "either --m1 or options of an M1 to train", f"--m1 and {', '.join(refused)}")
    if run:
        stacked = _load_model(run)
        if type(stacked) is not sv.StackedVAE:
            raise DataError(f"resume {run}", "a StackedVAE", f"a {type(stacked).__name__}")
        return stacked.first, stacked.units
    if settings["m1"] is None:
        settings["m1_epochs"] = settings["m1_epochs"] or settings["epochs"]
        return model, None
    settings["m1"] = os.path.abspath(settings["m1"])
    first = _load_model(settings["m1"])
    if type(first) is not sv.VAE:
        raise InputError("train", "a VAE as --m1", f"a {type(first).__name__}")
    first.rows(train.images[:1])
    return first, None


def _evaluate(options: argparse.Namespace) -> None:
    model, run_options = _load_model(options.run), _run_options(Path(options.run))
    name = options.data or run_options.get("data")
    if name is None:
        raise InputError("evaluate", "--data, as the run does not say what to score", "none")
    _, test = sv.data.load(name, options.data_dir or run_options.get("data_dir"))
    test = sv.data.Dataset(test.images[: options.limit], None if test.labels is None else test.labels[: options.limit])
    x = test.images
    print(f"test: {_line(sv.evaluate(model, x, n_samples=options.samples, seed=options.seed), model, x)}")
    _print_error(model, test, options.seed)
    if options.importance_samples is not None:
        log_px, error, effective = sv.log_likelihood(model, x, options.importance_samples, options.seed)
        spread = log_px.std(ddof=1) / len(log_px) ** 0.5 if len(log_px) > 1 else numpy.inf
        print(
            f"log p(x) {log_px.mean():.2f} +- {spread:.2f} by {options.importance_samples} importance samples, "
            f"Monte Carlo's standard error per image {error.mean():.2f}, effective samples {effective.mean():.0f} "
            f"({quantity(model, x)})"
        )
        _print_error(model, test, options.seed, options.importance_samples)


def _sample(options: argparse.Namespace) -> None:
    model = _load_model(options.run)
    if Path(options.out).suffix == ".npy" and not Path(options.out).is_dir():
        Path(options.out).parent.mkdir(parents=True, exist_ok=True)
        numpy.save(options.out, sv.to_numpy(model.sample(options.n, options.seed)))
    else:
        from scratchvae import plotting

        shape = _run_options(Path(options.run)).get("image_shape")
        plotting.save_figure(plotting.samples(model, options.n, options.seed, shape), options.out)
    print(options.out)


def _plot(options: argparse.Namespace) -> None:
    directory = Path(options.run)
    model, run_options = _load_model(directory), _run_options(directory, ["data"])
    train, test = sv.data.load(run_options["data"], options.data_dir or run_options.get("data_dir"))
    if options.kind == "all":
        if options.out:
            raise InputError("plot", "one picture with --out", "all")
        _draw_all(model, train, test, directory)
        return
    from scratchvae.plotting import save_figure

    pictures = _pictures(model, train, test, directory)
    if options.kind not in pictures:
        raise InputError(f"plot {options.kind}", f"a picture among {', '.join(pictures)}", f"a {type(model).__name__}")
    possible, need, draw = pictures[options.kind]
    if not possible:
        raise InputError(
            f"plot {options.kind}", need, f"rows of shape {test.images.shape[1:]}, K = {model.latent_size}"
        )
    path = options.out or directory / "figures" / f"{options.kind}.png"
    save_figure(draw(), path)
    print(path)


def _check(options: argparse.Namespace) -> None:
    from scratchvae.checks.table import SECTIONS, outcomes

    device_module(options.device)
    started, n, failed = time.perf_counter(), 0, []
    for section in SECTIONS:
        print(f"{section:44}{'figure':>10}  tolerance")
        for outcome in outcomes(section, options.device):
            n += 1
            verdict = "ok" if outcome.passed else f"FAILED {outcome.reason}"
            print(
                f"  {outcome.name:42}{outcome.figure:10.1e}  {outcome.tolerance:9.1e}  {verdict}".rstrip(), flush=True
            )
            if not outcome.passed:
                failed.append(outcome.name)
    seconds = time.perf_counter() - started
    print(f"{n} checks on the {options.device}, {len(failed)} failed, {seconds:.0f} s (NumPy {numpy.__version__})")
    if failed:
        raise CheckFailed(f"check failed: {', '.join(failed)}")


def _data(options: argparse.Namespace) -> None:
    train, test = sv.data.load(options.data, options.data_dir)
    for name, part in (("train", train), ("test", test)):
        x = part.images
        print(f"{name:5s}  {x.shape} {x.dtype}, mean {x.mean():.4f}, from {x.min():g} to {x.max():g}")
        if part.labels is not None:
            labels, counts = numpy.unique(part.labels, return_counts=True)
            print(f"       labels {', '.join(f'{k}: {n}' for k, n in zip(labels, counts, strict=True))}")
    if train.factors:
        print(f"factors {', '.join(train.factors)}")
    if train.attributes:
        print(f"attributes {', '.join(f'{name} {values.mean():.0%}' for name, values in train.attributes.items())}")
    if options.out:
        from scratchvae import plotting

        plotting.save_figure(plotting.images(train.images[:100]), options.out)
        print(options.out)


def _draw_all(model: sv.VAE, train: sv.data.Dataset, test: sv.data.Dataset, directory: Path) -> None:
    """Save the pictures that this model and these data allow, and name the others."""
    from scratchvae.plotting import save_figure

    for kind, (possible, need, draw) in _pictures(model, train, test, directory).items():
        if possible:
            path = directory / "figures" / f"{kind}.png"
            save_figure(draw(), path)
            print(path)
        else:
            given = f"rows have the shape {test.images.shape[1:]}, K = {model.latent_size}"
            print(f"no picture {kind}: it needs {need}; {given}")


def _pictures(
    model: sv.VAE, train: sv.data.Dataset, test: sv.data.Dataset, directory: Path
) -> dict[str, tuple[bool, str, Callable[[], Any]]]:
    """Kind of picture -> whether this model and these data allow it, what it needs, and the function that draws it."""
    from scratchvae import plotting

    *size, channels = test.images.shape[1:]
    images = channels in (1, 3) if len(size) == 2 else math.isqrt(channels) ** 2 == channels
    shape = test.images.shape[1:] if size else None
    attributes, z = _attributes(train), _means(model, test)
    starts, ends = _pairs_with_arcs(z)
    ten_labels = None if test.labels is None else test.labels[:10]

    def traversal() -> Any:
        codes = _means(model, train)
        directions = {name: mean_difference(codes, has) for name, has in attributes.items()}
        return plotting.attribute_traversal(model, z[0], directions, image_shape=shape)

    pictures = {
        "latent": (
            model.latent_size > 1,
            "at least two latent dimensions",
            lambda: plotting.latent_scatter(model, test.images, test.labels),
        ),
        "reconstructions": (images, "images", lambda: plotting.reconstructions(model, test.images)),
        "samples": (images, "images", lambda: plotting.samples(model, image_shape=shape)),
        "curves": (True, "a run", lambda: plotting.training_curves(read_history(directory))),
    }
    if hasattr(model, "n_classes"):
        return pictures | {
            "classes": (images, "images", lambda: plotting.class_conditional(model, image_shape=shape)),
            "analogies": (images, "images", lambda: plotting.analogies(model, test.images[:10], ten_labels, shape)),
        }
    return pictures | {
        "manifold": (
            model.latent_size == 2 and images,
            "a 2-D latent space of images",
            lambda: plotting.decoder_manifold(model, image_shape=shape),
        ),
        "traversal": (
            images and len(attributes) > 0,
            "images, some of them with and some without an attribute or label",
            traversal,
        ),
        "interpolation": (
            images and len(starts) > 0,
            "two test images that an arc around the origin of the latent space connects",
            lambda: plotting.interpolation(model, starts, ends, image_shape=shape),
        ),
        "sweep": (
            images,
            "images",
            lambda: plotting.unit_sweep(model, z[0], _most_varied(z), image_shape=shape),
        ),
    }


def _attributes(dataset: sv.data.Dataset) -> dict[str, numpy.ndarray]:
    """The MOST_ATTRIBUTES attributes of the encoded images nearest to half and half; without any, one per label."""
    labels = () if dataset.labels is None else numpy.unique(dataset.labels)
    attributes = dataset.attributes or {str(label): dataset.labels == label for label in labels}
    held = {name: values[_encoded(dataset)] for name, values in attributes.items()}
    balanced = sorted(held, key=lambda name: abs(held[name].mean() - 0.5))[:MOST_ATTRIBUTES]
    return {name: held[name] for name in held if name in balanced and 0 < held[name].mean() < 1}


def _encoded(dataset: sv.data.Dataset) -> slice:
    """MOST_ENCODED images at most, evenly chosen, since a file may be sorted by label."""
    return slice(None, None, math.ceil(len(dataset) / MOST_ENCODED))


def _means(model: sv.VAE, dataset: sv.data.Dataset) -> numpy.ndarray:
    """The means of q(z | x) of the encoded images."""
    return sv.to_numpy(model.encode(asarray(dataset.images[_encoded(dataset)], model.device)).mean)


def _pairs_with_arcs(z: numpy.ndarray, most: int = 3) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The first points and their successors, where an arc leads from one to the other."""
    n = len(z) // 2
    starts, ends = z[0 : 2 * n : 2], z[1 : 2 * n : 2]
    arcs = has_arc(starts, ends)
    return starts[arcs][:most], ends[arcs][:most]


def _most_varied(z: numpy.ndarray, most: int = 8) -> list[int]:
    """The latent units whose means vary most, the most varied first."""
    return numpy.argsort(-z.var(axis=0), kind="stable")[:most].tolist()


def _labels(train: sv.data.Dataset, test: sv.data.Dataset, settings: dict[str, Any]) -> numpy.ndarray:
    """The labels that `--labels` leaves of the training images, -1 elsewhere; those of the test part must fit them."""
    if settings["labels"] is None:
        raise InputError("train", f"--labels N with --model {settings['model']}", "none")
    if train.labels is None:
        raise DataError(f"labels of {settings['data']}", "a label for each image", "none", "an .npz may hold labels")
    if test.labels is not None and not 0 <= test.labels.min() <= test.labels.max() <= train.labels.max():
        received = f"classes from {test.labels.min()} to {test.labels.max()}"
        raise DataError(f"test labels of {settings['data']}", f"classes from 0 to {train.labels.max()}", received)
    return sv.data.label_subset(train.labels, settings["labels"], settings["seed"])


def _print_error(model: sv.VAE, test: sv.data.Dataset, seed: int = 0, n_samples: int = 0) -> None:
    """Print the share of the test part that a model with classes takes for another class, if there are labels."""
    if hasattr(model, "n_classes") and test.labels is not None:
        error = sv.classification_error(model, test.images, test.labels, n_samples, seed)
        spread = 100 * (error * (1 - error) / len(test)) ** 0.5
        way = f"p(y | x) from {n_samples} importance samples of each class" if n_samples else "q(y | x)"
        print(f"test error {100 * error:.2f} +- {spread:.2f} % of {len(test):,}, by {way}")


def _line(scores: dict[str, Any], model: sv.VAE, x: Any) -> str:
    line = f"ELBO {scores['elbo']:.2f} +- {scores['elbo_standard_error']:.2f} = {scores['reconstruction']:.2f}"
    line += f" - KL {scores['kl']:.2f}, {scores['active_units']} of {model.latent_size} units active"
    return f"{line}, mean of {scores['n']:,} ({quantity(model, x)})"


def _load_model(run: str | Path) -> sv.VAE:
    return sv.load(Path(run) / "last.npz" if Path(run).is_dir() else run)


def _run_options(directory: Path, needed: Sequence[str] = ()) -> dict[str, Any]:
    """The options that a run was trained with, with the epochs of its latest resume; {} for what is no such run."""
    options: dict[str, Any] = {}
    for name, wanted in (("options.json", None), ("config.json", {"epochs"})):
        try:
            values = read_configuration(directory / name)
            options |= {key: value for key, value in values.items() if wanted is None or key in wanted}
        except (FileNotFoundError, NotADirectoryError):
            continue
    if any(name not in options for name in needed):
        raise DataError(f"run directory {directory}", "a run of `scratchvae train`", "none with options.json in it")
    shape = options.get("image_shape", [1])
    if not (isinstance(shape, list) and all(type(size) is int and size > 0 for size in shape)):
        raise DataError(f"run directory {directory}", "image_shape as a list of sizes in options.json", repr(shape))
    return options | _as_parsed(options, directory)


def _as_parsed(options: dict[str, Any], directory: Path) -> dict[str, Any]:
    """What of these options `train` knows, as it would take them from the command line."""
    arguments = ["train"]
    for name, value in options.items():
        if name in TRAIN_DEFAULTS and value != TRAIN_DEFAULTS[name]:
            flag = f"--{name.replace('_', '-')}"
            if isinstance(value, list) and not all(type(item) is int for item in value):
                raise DataError(f"run directory {directory}", f"{name} as whole numbers in options.json", repr(value))
            arguments += [flag, *map(str, value)] if isinstance(value, list) else [f"{flag}={value}"]
    try:
        parsed = vars(_parser().parse_args(arguments))
    except _UsageError as error:
        raise DataError(f"run directory {directory}", "options that `scratchvae train` takes", str(error)) from None
    return {name: parsed[name] for name in parsed.keys() & TRAIN_DEFAULTS.keys()}


def _refuse_foreign_options(path: Path) -> None:
    """Raise InputError for options that no `scratchvae train` wrote; a run that died at once may have left its own."""
    if path.exists() and not read_configuration(path).keys() <= TRAIN_DEFAULTS.keys() | {"image_shape"}:
        raise InputError(f"run directory {path.parent}", "an empty one", f"one with another {path.name}")


def _free_directory(data: str) -> Path:
    name = Path(data).stem
    return next(path for i in range(1, 10**6) if not (path := Path("runs") / f"{name}-{i}").exists())


def _std(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
