"""`fit` trains a model, writes checkpoints into a run directory, and resumes from them."""

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
from numpy.typing import ArrayLike

from scratchvae.arrays import as_array
from scratchvae.backend import array_module, asarray, device_module, device_of, keep_freed_memory, to_numpy
from scratchvae.callbacks import Callback, Callbacks
from scratchvae.columns import Table
from scratchvae.errors import DataError, InputError, whole_number
from scratchvae.evaluation import active_units, evaluate
from scratchvae.minibatches import held_out
from scratchvae.models.latent_variable_model import LatentVariableModel
from scratchvae.noise import Noise
from scratchvae.objectives import Objective, choose
from scratchvae.optim import Adam, Optimizer, Schedule
from scratchvae.pixels import Pixels
from scratchvae.progress import deferred_interrupt, progress_bar, summary
from scratchvae.ranks import ranks
from scratchvae.run_directory import Run
from scratchvae.run_files import Metrics, defaults
from scratchvae.run_settings import make_optimizer, settings_of
from scratchvae.scoring import observations, prepared
from scratchvae.steps import NonFiniteError, Steps


class PosteriorCollapseWarning(UserWarning):
    """Is given where the posterior nearly equals the prior, so that latent variables carry no information on the data.

    See Also
    --------
    fit : gives it after a training whose KL is below 0.1 nats, or that leaves no active units.

    Examples
    --------
    >>> import warnings
    >>> import numpy, scratchvae as sv
    >>> model, x = sv.VAE.mlp(input_size=6, latent_size=1, hidden=(4,)), numpy.ones((8, 6), numpy.float32)
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     history = sv.fit(model, x, epochs=1, kl_weight=100.0, learning_rate=0.1, progress=False)
    >>> [warning.category.__name__ for warning in caught]
    ['PosteriorCollapseWarning']
    """


def fit(
    model: LatentVariableModel,
    data: ArrayLike | Table,
    epochs: int = 10,
    batch_size: int = 128,
    learning_rate: float | Schedule = 1e-3,
    seed: int = 0,
    validation: ArrayLike | Table | float | None = None,
    kl_weight: float | Schedule = 1.0,
    n_samples: int = 1,
    objective: str | Objective = "elbo",
    optimizer: Callable[..., Optimizer] | None = None,
    clip_norm: float | None = None,
    device: str | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: bool = True,
    labels: ArrayLike | None = None,
    alpha: float | None = None,
    kl_floor: float = 0.0,
    properties: ArrayLike | Table | None = None,
    callbacks: Sequence[Callback | Callable[[Metrics], Any]] = (),
    free_bits: float = 0.0,
    sample_weight: ArrayLike | None = None,
) -> dict[str, list[float]]:
    """Ascends (1/M) sum over the minibatch of the objective, by default E_q[log p(x | z)] - KL(q(z | x) || p(z)).

    This is the deck's estimator (N/M) sum, divided by N. An epoch is a new permutation of the rows, divided into
    minibatches; the last one may be smaller.

    With labels the objective is the deck's J~ / N for a SemiSupervisedVAE. Every minibatch then has labelled rows and
    others, M of each if there are enough, and each of the two sums is scaled by its own N_k / M_k. An epoch passes
    once through the larger of the two sets; the smaller one is cycled through, in a new order each time.

    A model that was trained before continues from its parameters, with a new optimizer and schedules from step 0.
    Another seed gives another order and other noise. To continue as one longer training would, resume a run directory.

    With glibc, up to 1 GiB of freed memory stays with the process after this call, so that the next step reuses it.

    Parameters
    ----------
    model : VAE
        The model to train, which is changed in place.
    data : array (N, ...)
        Rows are reshaped to the model's shape of observations and moved to its device. Numbers k of type uint8 stand
        for k / 255, unless the likelihood is one of counts.
    epochs, batch_size, n_samples : int
        The number of passes over the data, M, and the number of draws of z per datapoint.
    learning_rate, kl_weight : number, or function of the step (0, 1, 2, ...), such as those of sv.optim
        A sv.callbacks.PlateauSchedule as learning rate falls when the score no longer rises. kl_weight multiplies the
        KL, or log q(z | x) - log p(z) in the weights of "iwae"; 1 gives a lower bound on log p(x).
    objective : "elbo", "iwae", or an Objective of your own
        "elbo" is the ELBO, whose expectation is a mean over draws. "iwae" is the importance-weighted bound, the log of
        the mean of w = p(x | z) p(z) / q(z | x) over the draws (Burda, Grosse & Salakhutdinov, 2016, equation 8). The
        equations are methods of the model; `scratchvae.objectives` averages them.
    seed : int
        Determines the order of the rows and all noise.
    validation : array, or number between 0 and 1, optional
        Data that `evaluate` scores after every epoch. A number is the share of the rows that is held out of training,
        chosen by the seed; with labels, it is the share of every class and of the rows without a label.
    optimizer : callable, optional
        Is called as optimizer(parameters, learning_rate=..., clip_norm=...); the default is `Adam`. functools.partial
        gives it other settings: partial(sv.optim.AdamW, weight_decay=0.01).
    clip_norm : number, optional
        The largest norm of the gradient.
    device : "cpu" or "gpu", optional
        The model moves there first; by default it stays where it is.
    run_dir : path, optional
        The directory for config.json, metrics.jsonl (a line per epoch), last.npz (everything that resuming needs) and,
        with validation data, best.npz. A directory that already has a run is refused, unless `resume` is given.
    resume : bool
        Whether to continue from last.npz, to the same bits as without the interruption; `epochs` may be larger.
    progress : bool
        Whether to show a progress bar.
    labels : array of integers (N,), optional
        The class of each row, -1 where it is unknown, for a SemiSupervisedVAE. Every class needs a labelled row. A run
        directory then also has labelled_rows.json.
    alpha : number, optional
        Multiplies the sum of log q(y | x) over the labelled rows in J~; 0.1 N / N^s by default.
    kl_floor : number, optional
        The mean KL of a minibatch counts as max(mean KL, kl_floor), in nats: this much information in z costs nothing,
        so that a decoder which could do without z learns to use it. It does not apply to "iwae".
    properties : array (N, P) or dict of arrays (N,), optional
        The properties t of each row, NaN where one is unknown, for a MoleculeVAE that predicts them. The objective is
        then a lower bound on log p(x, t), in which alpha, 1 by default, multiplies log p(t | z).
    callbacks : list of functions and Callbacks, optional
        Are called after every epoch with its metrics, before its checkpoint is written. A function that returns True
        ends the training. `sv.EarlyStopping` is one; TimeLimit, CSVLog and TensorBoard are others, in `sv.callbacks`.
        A run is resumed with the same callbacks, except those without a state; patience and limits may change.
    free_bits : number, optional
        A mean KL of a latent unit over the minibatch below this many nats counts as free_bits (Kingma et al., 2016,
        equation 15). It applies to the ELBO of a VAE, and excludes kl_floor, the floor for all units together.
    sample_weight : array (N,), optional
        Multiplies each row's share of the objective, so that a row with weight 2 counts as two rows. The weights are
        divided by their mean over the N rows. Metrics of the training data that are means become weighted means.

    Returns
    -------
    dict of lists with one entry for each epoch: epoch, step, elbo, reconstruction, kl, active_units and seconds, for
    "iwae" also bound, with labels also classification, and with validation data the same scores with the prefix
    validation_. They are means per datapoint over the epoch's steps, in nats. elbo is computed without kl_weight and
    kl_floor, and active_units from the first 500 rows. With "iwae" the kl of the training data is estimated from the
    draws, and bound is the objective. With properties there is also the mean of log p(t | z), and elbo is the bound on
    log p(x) alone. With labels elbo is J / N, kl is the KL of y and z, and classification is the mean of log q(y | x)
    over the labelled rows.

    Raises
    ------
    DataError, ShapeError, InputError
        Before the first step, for data or arguments that the model or this function does not accept.
    WriteError
        If a file of the run directory cannot be written; the message says why, and how to continue.
    NonFiniteError
        At a step whose loss is not finite; the message names the step, the term and the last checkpoint.
    KeyboardInterrupt
        At Ctrl-C, after the current step; a run directory then has a checkpoint of it.

    See Also
    --------
    evaluate : scores a trained model.
    VAEEstimator : the same behind scikit-learn's methods.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> x = (numpy.arange(60).reshape(10, 6) % 7 < 3).astype(numpy.float32)
    >>> model = sv.VAE.mlp(input_size=6, latent_size=1, hidden=(4,))
    >>> history = sv.fit(model, x, epochs=2, batch_size=5, free_bits=0.1, progress=False)
    >>> history["epoch"], history["step"]
    ([1, 2], [2, 4])
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
    """Returns the rows to train with, the rows held out, and the labels, properties and weights of the former."""
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
    """Returns these rows of an array, or of every array in a dict."""
    if isinstance(values, dict):
        return {key: _taken(name, array, rows) for key, array in values.items()}
    return None if values is None else to_numpy(as_array(name, values))[rows]


def _rows_of(x: Any, rows: numpy.ndarray) -> Any:
    """Returns these rows of data on any device."""
    return x[rows if isinstance(x, Pixels) else asarray(rows, device_of(x))]


def _weights(values: Any) -> numpy.ndarray | None:
    """Returns the weights divided by their mean, (N,). Raises DataError unless they are finite and at least 0."""
    if values is None:
        return None
    weights = to_numpy(as_array("sample_weight", values))
    if weights.ndim != 1 or weights.dtype.kind not in "fiu":
        raise DataError("sample_weight", "numbers (N,)", f"{weights.dtype} {weights.shape}")
    weights = weights.astype(numpy.float64)
    with numpy.errstate(over="ignore"):
        total = weights.sum()
    if not ((weights >= 0).all() and 0 < total < math.inf):
        raise DataError("sample_weight", "numbers of at least 0 whose sum is finite and above 0", "other numbers")
    return weights / weights.mean()


def _check_weights(weights: Any, n: int, objective: Objective) -> None:
    """Raises DataError if there is not one weight for each row, InputError for an objective that takes no weights."""
    if weights is not None and len(weights) != n:
        raise DataError("sample_weight", f"one for each of {n} rows", str(len(weights)))
    if weights is not None and "weights" not in signature(objective.value).parameters:
        raise InputError("fit", "an Objective whose value takes weights, with sample_weight", repr(objective.name))


def _warn_of_collapse(metrics: dict[str, Any]) -> None:
    """Warns if the KL of the training data is below 0.1 nats, or no unit is active."""
    if metrics["kl"] < 0.1 or metrics["active_units"] == 0:
        warnings.warn(
            f"posterior collapse: KL {metrics['kl']:.3g} nats, {metrics['active_units']} active units; the decoder "
            "ignores z (a KL weight that grows from 0, or a weaker decoder, may help)",
            PosteriorCollapseWarning,
            stacklevel=3,
        )


def _check_epoch(metrics: Metrics, run: Run) -> None:
    """Raises NonFiniteError if a parameter or a score is not finite, so that no checkpoint keeps such numbers."""
    spoilt = [name for name, value in metrics.items() if not math.isfinite(value)]
    if not all(bool(array_module(x.data).isfinite(x.data).all()) for x in run.optimizer.parameters):
        spoilt.insert(0, "a parameter")
    if spoilt:
        raise NonFiniteError(f"after step {run.step}: {spoilt[0]} is not finite; {run.last_checkpoint()}")


def _epoch_means(terms: numpy.ndarray, batch_size: int, n: int) -> list[float]:
    """Returns the mean per datapoint of each term over an epoch of n rows.   (steps, T) -> T numbers"""
    n_rows = numpy.minimum(batch_size, n - batch_size * numpy.arange(len(terms)))
    return ((terms.astype(numpy.float64) * n_rows[:, None]).sum(axis=0) / n).tolist()


def _epoch_metrics(
    model: Any, x: Any, validation: Any, objective: Objective, means: dict[str, float], n_samples: int, seed: int
) -> Metrics:
    metrics = {"elbo": means["reconstruction"] - means["kl"]} | means
    metrics["active_units"] = len(active_units(model, prepared(model, x[:500], seed)))
    if validation is not None:
        scores = evaluate(model, validation, seed=seed) | objective.scores(model, validation, n_samples, seed)
        metrics |= {f"validation_{name}": scores[name] for name in metrics if name in scores}
    return metrics
