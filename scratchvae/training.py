"""fit: the only place that reduces over a batch, with its run directory, checkpoints and resume."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Sequence
from inspect import signature
from itertools import islice
from numbers import Real
from typing import Any

import numpy

from scratchvae.arrays import as_array
from scratchvae.backend import array_module, asarray, device_module, device_of, keep_freed_memory, to_numpy
from scratchvae.callbacks import Callback, Callbacks
from scratchvae.errors import DataError, InputError, whole_number
from scratchvae.evaluation import active_units, observations, prepared
from scratchvae.minibatches import held_out
from scratchvae.noise import Noise
from scratchvae.objectives import Objective, choose
from scratchvae.optim import Adam, Optimizer, Schedule
from scratchvae.pixels import Pixels
from scratchvae.progress import deferred_interrupt, progress_bar, summary
from scratchvae.ranks import ranks
from scratchvae.run_directory import Run
from scratchvae.run_files import Metrics, defaults
from scratchvae.run_settings import make_optimizer, settings_of
from scratchvae.steps import NonFiniteError, Steps


class PosteriorCollapseWarning(UserWarning):
    """The posterior equals the prior: the latent variables carry no information about the data."""


def fit(
    model: Any,
    data: Any,
    epochs: int = 10,
    batch_size: int = 128,
    learning_rate: float | Schedule = 1e-3,
    seed: int = 0,
    validation: Any = None,
    kl_weight: float | Schedule = 1.0,
    n_samples: int = 1,
    objective: str | Objective = "elbo",
    optimizer: Callable[..., Optimizer] | None = None,
    clip_norm: float | None = None,
    device: str | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: bool = True,
    labels: Any = None,
    alpha: float | None = None,
    kl_floor: float = 0.0,
    properties: Any = None,
    callbacks: Sequence[Callback | Callable[[Metrics], Any]] = (),
    free_bits: float = 0.0,
    sample_weight: Any = None,
) -> dict[str, list[float]]:
    """Ascend (1/M) sum over the minibatch of the objective, by default E_q[log p(x | z)] - KL(q(z | x) || p(z)).

    This is the deck's estimator (N/M) sum, divided by N. An epoch is a fresh permutation of the rows; its last, partial
    batch is kept.

    With labels, ascend the deck's J~ / N of a SemiSupervisedVAE: every minibatch has labelled rows and others, M of
    each where there are as many, and each sum is scaled by its own N_k / M_k. An epoch is a pass through the larger of
    the two sets; the smaller one is cycled through, in a new order each time.

    A model that was trained before goes on from its parameters, with a new optimizer and schedules from step 0. Another
    seed gives it another order and other noise; for what one longer training would have given, resume a run directory.

    Parameters
    ----------
    model : VAE
        Changed in place.
    data : array (N, ...)
        Rows are reshaped to what the model observes and moved to its device. uint8, unless of counts, means k / 255.
    epochs, batch_size, n_samples : int
        Passes over the data, M, and draws of z per datapoint.
    learning_rate, kl_weight : number, or function of the step (0, 1, 2, ...), such as those of sv.optim
        A learning rate of sv.callbacks.PlateauSchedule falls where the score no longer rises.
        kl_weight multiplies the KL, or log q(z | x) - log p(z) in the weights of "iwae"; 1 gives a bound of log p(x).
    objective : "elbo", "iwae", or an Objective of your own
        The ELBO, its expectation a mean over draws; or the importance-weighted bound, the log of the mean of
        w = p(x | z) p(z) / q(z | x) over the draws (Burda, Grosse & Salakhutdinov, 2016, equation 8). The equations
        stand on the model; `scratchvae.objectives` averages them.
    seed : int
        Of the order of the rows and of all noise.
    validation : array, or number between 0 and 1, optional
        Scored after every epoch by `evaluate`. A number holds out this share of the rows, drawn by the seed, which are
        then not trained on; with labels, the same share of every class and of the rows without one.
    optimizer : callable, optional
        Called as optimizer(parameters, learning_rate=..., clip_norm=...); `Adam` if none is given. functools.partial
        gives it other settings: partial(sv.optim.AdamW, weight_decay=0.01).
    clip_norm : number, optional
        Largest norm of the gradient.
    device : "cpu" or "gpu", optional
        The model moves there first; by default it stays where it is.
    run_dir : path, optional
        Keeps config.json, metrics.jsonl (a line per epoch), last.npz (with all that resuming needs) and, with
        validation data, best.npz. A directory that already holds a run is refused, unless `resume`.
    resume : bool
        Go on from last.npz, to the same bits as without the interruption; `epochs` may grow.
    progress : bool
        Show a progress bar.
    labels : array of integers (N,), optional
        The class of each row, -1 where it is not known. For a SemiSupervisedVAE; every class needs a labelled row. A
        run directory also keeps labelled_rows.json.
    alpha : number, optional
        Multiplies the sum of log q(y | x) over the labelled rows in J~; 0.1 N / N^s by default.
    kl_floor : number, optional
        The mean KL of a minibatch counts as max(mean KL, kl_floor), in nats: so much information in z costs nothing,
        and a decoder that could do without z learns to use it. Not for "iwae".
    properties : array (N, P) or dict of arrays (N,), optional
        The properties t of each row, NaN where one is not known. For a MoleculeVAE that has them; what is ascended is
        then a bound of log p(x, t), log p(t | z) multiplied by alpha, 1 by default.

    callbacks : list of functions and Callbacks, optional
        Called after every epoch with its metrics, before its checkpoint is written; True from a function ends the
        training. `sv.EarlyStopping`, and in `sv.callbacks` a TimeLimit, a CSVLog and TensorBoard. A run is resumed with
        the same ones, but for those without a state; their patience and limits may be other ones.
    free_bits : number, optional
        The mean KL of a minibatch in each latent unit counts as at least so many nats (Kingma et al., 2016, equation
        15). For the ELBO of a VAE, and not with kl_floor, which is of all units together.
    sample_weight : array (N,), optional
        Multiplies what a row adds to the objective; a weight of 2 counts as two rows. The weights are divided by their
        mean over the N rows. Those metrics of the training data that are means become weighted ones.

    With glibc, memory that is freed stays with the process from then on, up to 1 GiB, and is warm at the next step.

    Returns
    -------
    dict of lists, one entry an epoch: epoch, step, elbo, reconstruction, kl, active_units, seconds, for "iwae" also
    bound, with labels also classification, and the same scores with the prefix validation_ where there are validation
    data. In nats, means per datapoint over the epoch's steps; elbo has neither weight nor floor; active_units are
    counted on the first 500 rows. With "iwae" the kl of the training data is estimated by the draws, and bound is what
    was ascended. With properties the mean of log p(t | z) stands beside them, and elbo is that of log p(x) alone. With
    labels elbo is J / N, kl is that of y and z, and classification is the mean of log q(y | x) over
    the labelled rows.

    Raises
    ------
    DataError, ShapeError, InputError : before the first step, for what the model or this function cannot take.
    WriteError : when a file of the run directory cannot be written; says why, and how to go on.
    NonFiniteError : at a step whose loss is not finite; names the step, the term and the last checkpoint.
    KeyboardInterrupt : at Ctrl-C, after the step in progress; a run directory then holds a checkpoint of it.
    """
    epochs = whole_number("fit", "epochs", epochs)
    batch_size = whole_number("fit", "batch_size", batch_size)
    n_samples = whole_number("fit", "n_samples", n_samples)
    if not callable(kl_weight) and not (isinstance(kl_weight, Real) and 0 <= kl_weight < math.inf):
        raise InputError("fit", "kl_weight as a number of at least 0 or a schedule", repr(kl_weight))
    of_rows = {"labels": labels, "properties": properties, "sample_weight": sample_weight}
    rows = None
    if isinstance(validation, Real):
        rows, held, of_rows = _parted(data, validation, seed, of_rows)
    weights = _weights(of_rows.pop("sample_weight"))
    optional = {"alpha": alpha, "kl_floor": kl_floor or None, "free_bits": free_bits or None}
    own, objective = isinstance(objective, str), choose(model, objective, **of_rows, **optional)
    keep_freed_memory()
    if device is not None:
        model.to(device)
    x = observations(model, data)
    if rows is not None:
        x, validation = (_rows_of(x, part) for part in (rows, held))
    elif validation is not None:
        validation = observations(model, validation)
    _check_weights(weights, len(x), objective)
    optimizer = make_optimizer(optimizer or Adam, model.parameters(), learning_rate=learning_rate, clip_norm=clip_norm)
    world = ranks()
    callbacks = Callbacks(callbacks if world.first else (), (optimizer.learning_rate, kl_weight))
    arrays = {"data": x, "validation": validation, "sample_weight": weights}
    asked = {"batch_size": batch_size, "learning_rate": learning_rate, "kl_weight": kl_weight, "n_samples": n_samples}
    asked |= {"clip_norm": clip_norm, "seed": seed}
    settings = settings_of(model, objective, optimizer, arrays, asked) if run_dir or world.size > 1 else {}
    world.check(objective, settings | {"epochs": epochs})
    n = objective.n_rows(len(x))
    steps_per_epoch = math.ceil(n / batch_size)
    terms = device_module(model.device).zeros((steps_per_epoch, len(objective.terms)), dtype=model.dtype)
    data = model.prepare_data(x, Noise(seed, device=model.device))
    weights = None if weights is None else asarray(weights, model.device).astype(model.dtype)

    with (
        world.entered(callbacks.training(model, validation is not None, resume)),
        world.shared(Run(run_dir, resume, settings, epochs, model, optimizer, terms, defaults(fit), callbacks)) as run,
        deferred_interrupt() as interrupted,
        progress_bar(epochs * steps_per_epoch, run.step, progress and world.first) as bar,
        Steps(run, objective, data, weights, seed, n_samples, kl_weight, world, own) as steps,
        numpy.errstate(all="ignore"),  # what overflows makes a term non-finite, and that stops the run
    ):
        for name, text in objective.files.items():
            world.on_all(run.write, name, text)
        while run.step < epochs * steps_per_epoch and not world.decided(run.stopped):
            epoch, first = divmod(run.step, steps_per_epoch)
            started = time.perf_counter()
            for batch in islice(objective.batches(len(x), batch_size, Noise(seed, epoch, model.device)), first, None):
                steps(batch)
                bar.update()
                if world.any(interrupted.is_set()):
                    break
            run.seconds += time.perf_counter() - started
            if run.step == (epoch + 1) * steps_per_epoch:
                means = dict(zip(objective.terms, _epoch_means(to_numpy(terms), batch_size, n), strict=True))
                metrics = world.on_first(_epoch_metrics, model, x, validation, objective, means, n_samples, seed)
                world.on_all(_check_epoch, metrics, run)
                world.end_epoch(run, {"epoch": epoch + 1, "step": run.step} | metrics)
                bar.set_postfix_str(summary(metrics))
            else:
                steps.check(run.step % steps_per_epoch)
                world.on_all(run.save)
            if world.any(interrupted.is_set()):
                raise KeyboardInterrupt(f"stopped after step {run.step}; {run.how_to_resume()}")
        world.finish(run)

    if model.latent_size > 0 and world.first:
        _warn_of_collapse(run.history[-1])
    return {name: [metrics[name] for metrics in run.history] for name in run.history[-1]}


def _parted(data: Any, share: float, seed: int, of_rows: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """The rows to train with and those held out, and what is known of the former."""
    if not 0 < share < 1:
        raise InputError("fit", "validation as data, or as a share between 0 and 1", repr(share))
    try:
        n = len(data)
    except TypeError:
        n = len(as_array("data", data))
    for name, values in of_rows.items():
        for array in values.values() if isinstance(values, dict) else [] if values is None else [values]:
            if len(as_array(name, array)) != n:
                raise DataError(name, f"one for each of {n} rows", str(len(as_array(name, array))))
    labels = of_rows["labels"]
    rows, held = held_out(n, share, seed, None if labels is None else to_numpy(as_array("labels", labels)))
    return rows, held, {name: _taken(name, values, rows) for name, values in of_rows.items()}


def _taken(name: str, values: Any, rows: numpy.ndarray) -> Any:
    """These rows of an array, or of every array of a dict."""
    if isinstance(values, dict):
        return {key: _taken(name, array, rows) for key, array in values.items()}
    return None if values is None else to_numpy(as_array(name, values))[rows]


def _rows_of(x: Any, rows: numpy.ndarray) -> Any:
    """These rows of data, wherever they lie."""
    return x[rows if isinstance(x, Pixels) else asarray(rows, device_of(x))]


def _weights(values: Any) -> numpy.ndarray | None:
    """Weights divided by their mean.   (N,). Raises DataError for others than finite ones of at least 0."""
    if values is None:
        return None
    weights = to_numpy(as_array("sample_weight", values))
    if weights.ndim != 1 or weights.dtype.kind not in "fiu":
        raise DataError("sample_weight", "numbers (N,)", f"{weights.dtype} {weights.shape}")
    weights = weights.astype(numpy.float64)
    with numpy.errstate(over="ignore"):
        total = weights.sum()
    if not ((weights >= 0).all() and 0 < total < math.inf):
        raise DataError("sample_weight", "numbers of at least 0 whose sum is finite and above 0", "others")
    return weights / weights.mean()


def _check_weights(weights: Any, n: int, objective: Objective) -> None:
    """Raise DataError for another number of weights than of rows, InputError for an objective that takes none."""
    if weights is not None and len(weights) != n:
        raise DataError("sample_weight", f"one for each of {n} rows", str(len(weights)))
    if weights is not None and "weights" not in signature(objective.value).parameters:
        raise InputError("fit", "an Objective whose value takes weights, with sample_weight", repr(objective.name))


def _warn_of_collapse(metrics: dict[str, Any]) -> None:
    """Of a KL of the training data below 0.1 nats, or of no active units."""
    if metrics["kl"] < 0.1 or metrics["active_units"] == 0:
        warnings.warn(
            f"posterior collapse: KL {metrics['kl']:.3g} nats, {metrics['active_units']} active units; the decoder "
            "ignores z (a KL weight that grows from 0, or a weaker decoder, may help)",
            PosteriorCollapseWarning,
            stacklevel=3,
        )


def _check_epoch(metrics: Metrics, run: Run) -> None:
    """Raise NonFiniteError if the last step spoilt the parameters or a score, so that no checkpoint keeps it."""
    spoilt = [name for name, value in metrics.items() if not math.isfinite(value)]
    if not all(bool(array_module(x.data).isfinite(x.data).all()) for x in run.optimizer.parameters):
        spoilt.insert(0, "a parameter")
    if spoilt:
        raise NonFiniteError(f"after step {run.step}: {spoilt[0]} is not finite; {run.last_checkpoint()}")


def _epoch_means(terms: numpy.ndarray, batch_size: int, n: int) -> list[float]:
    """Means per datapoint of each term over an epoch of n rows.   (steps, T) -> T numbers"""
    n_rows = numpy.minimum(batch_size, n - batch_size * numpy.arange(len(terms)))
    return ((terms.astype(numpy.float64) * n_rows[:, None]).sum(axis=0) / n).tolist()


def _epoch_metrics(
    model: Any, x: Any, validation: Any, objective: Objective, means: dict[str, float], n_samples: int, seed: int
) -> Metrics:
    metrics = {"elbo": means["reconstruction"] - means["kl"]} | means
    metrics["active_units"] = len(active_units(model, prepared(model, x[:500], seed)))
    if validation is not None:
        scores = objective.scores(model, validation, n_samples, seed)
        metrics |= {f"validation_{name}": scores[name] for name in metrics if name in scores}
    return metrics
