"""fit: the only place that reduces over a batch, with its run directory, checkpoints and resume."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any

import numpy

from scratchvae import ops
from scratchvae.autodiff import grad
from scratchvae.backend import array_module, device_module, keep_freed_memory, to_numpy
from scratchvae.binarization import binarize
from scratchvae.errors import DataError, InputError
from scratchvae.evaluation import active_units, evaluate, log_likelihood, observations, prepared
from scratchvae.minibatches import labelled_minibatches, minibatches
from scratchvae.models.semisupervised_vae import usual_alpha
from scratchvae.models.vae import log_mean_exp
from scratchvae.noise import Noise
from scratchvae.optim import Adam, Optimizer, Schedule, value_at
from scratchvae.run_directory import Metrics, Run, fingerprint

Objective = tuple[tuple[str, ...], Callable[..., Any]]
PROBED_STEPS = (0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)


class NonFiniteError(ArithmeticError):
    """A loss, a parameter or a score is not finite: training has stopped, and no checkpoint holds it."""


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
    objective: str = "elbo",
    optimizer: Callable[..., Optimizer] | None = None,
    clip_norm: float | None = None,
    device: str | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: bool = True,
    labels: Any = None,
    alpha: float | None = None,
) -> dict[str, list[float]]:
    """Ascend (1/M) sum over the minibatch of the objective, by default E_q[log p(x | z)] - KL(q(z | x) || p(z)).

    This is the deck's estimator (N/M) sum, divided by N. An epoch is a fresh permutation of the rows; its last, partial
    batch is kept.

    With labels, ascend the deck's J~ / N of a SemiSupervisedVAE: every minibatch has labelled rows and others, M of
    each where there are as many, and each sum is scaled by its own N_k / M_k. An epoch is a pass through the larger of
    the two sets; the smaller one is gone through again and again, in other orders.

    Parameters
    ----------
    model : VAE
        Changed in place.
    data : array (N, ...)
        Rows are reshaped to what the model observes, and moved to its device.
    epochs, batch_size, n_samples : int
        Passes over the data, M, and draws of z per datapoint.
    learning_rate, kl_weight : number, or function of the step (0, 1, 2, ...)
        kl_weight multiplies the KL, or log q(z | x) - log p(z) in the weights of "iwae"; 1 gives a bound of log p(x).
    objective : "elbo" or "iwae"
        The ELBO, its expectation a mean over draws; or the importance-weighted bound, the log of the mean of
        w = p(x | z) p(z) / q(z | x) over the draws (Burda, Grosse & Salakhutdinov, 2016, equation 8).
    seed : int
        Of the order of the rows and of all noise.
    validation : array, optional
        Scored after every epoch by `evaluate`.
    optimizer : callable, optional
        Called as optimizer(parameters, learning_rate=..., clip_norm=...); `Adam` if none is given. functools.partial
        gives it other settings.
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

    Returns
    -------
    dict of lists, one entry an epoch: epoch, step, elbo, reconstruction, kl, active_units, seconds, for "iwae" also
    bound, with labels also classification, and the same scores with the prefix validation_ where there are validation
    data. In nats, means per datapoint over the epoch's steps; elbo is unweighted; active_units are counted on the first
    500 rows. With "iwae" the kl of the training data is estimated by the draws, and bound is what was ascended. With
    labels elbo is J / N, kl is that of y and z, and classification is the mean of log q(y | x) over the labelled rows.

    Raises
    ------
    DataError, ShapeError, InputError : before the first step, for what the model or this function cannot take.
    WriteError : when a file of the run directory cannot be written; says why, and how to go on.
    NonFiniteError : at a step whose loss is not finite; names the step, the term and the last checkpoint.
    KeyboardInterrupt : at Ctrl-C, after the step in progress; a run directory then holds a checkpoint of it.
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("n_samples", n_samples)):
        if not isinstance(value, (int, numpy.integer)) or isinstance(value, bool) or value < 1:
            raise InputError("fit", f"{name} of at least 1", repr(value))
    if not isinstance(objective, str) or objective not in OBJECTIVES:
        raise InputError("fit", f"an objective among {', '.join(OBJECTIVES)}", repr(objective))
    if not hasattr(model, "elbo_terms"):
        raise InputError("fit", "a model", type(model).__name__, "fit(model, data)")
    if objective == "iwae" and getattr(model, "log_weight_terms", None) is None:
        raise InputError("fit", 'a model with log_weight_terms for objective="iwae"', type(model).__name__)
    if not callable(kl_weight) and not (isinstance(kl_weight, Real) and 0 <= kl_weight < math.inf):
        raise InputError("fit", "kl_weight as a number of at least 0 or a schedule", repr(kl_weight))
    if labels is not None and not hasattr(model, "objective_terms"):
        raise InputError("fit", "a model with classes for labels", type(model).__name__, "sv.SemiSupervisedVAE.mlp()")
    if labels is not None and objective != "elbo":
        raise InputError("fit", 'objective="elbo" with labels', repr(objective))
    if alpha is not None and (labels is None or not (isinstance(alpha, Real) and 0 <= alpha < math.inf)):
        received = repr(alpha) + (" without labels" if labels is None else "")
        raise InputError("fit", "alpha as a number of at least 0, with labels", received)
    if optimizer is not None and not callable(optimizer):
        raise InputError("fit", "an optimizer such as sv.optim.Adam", repr(optimizer), "functools.partial sets it up")
    keep_freed_memory()
    if device is not None:
        model.to(device)
    noise = Noise(seed, device=model.device)
    x = observations(model, data)
    validation = None if validation is None else observations(model, validation)
    optimizer = (optimizer or Adam)(model.parameters(), learning_rate=learning_rate, clip_norm=clip_norm)
    if not isinstance(optimizer, Optimizer):
        raise InputError("fit", "an optimizer that makes an Optimizer", type(optimizer).__name__)
    settings = {
        "model": model.configuration or repr(model),
        "data": fingerprint(x) if run_dir else None,
        "validation": fingerprint(validation) if run_dir and validation is not None else None,
        "batch_size": batch_size,
        "learning_rate": _described(learning_rate) if run_dir else None,
        "kl_weight": _described(kl_weight) if run_dir else None,
        "n_samples": n_samples,
        "objective": objective,
        "clip_norm": clip_norm,
        "optimizer": {"name": type(optimizer).__name__} | _numbers(optimizer, learning_rate, clip_norm),
        "seed": seed,
        "device": model.device,
    }
    n, (names, evaluated) = len(x), OBJECTIVES[objective]
    if labels is not None:
        labels = _labels_of_every_class(model, labels, len(x))
        n_labelled = int((labels >= 0).sum())
        alpha = usual_alpha(n_labelled, len(x)) if alpha is None else alpha
        n, (names, evaluated) = max(n_labelled, len(x) - n_labelled), semi_supervised(n_labelled, len(x), alpha)
        settings |= {"labels": fingerprint(labels), "alpha": alpha}
    steps_per_epoch = math.ceil(n / batch_size)
    terms = device_module(model.device).zeros((steps_per_epoch, len(names)), dtype=model.dtype)
    observed = x if model.binarize == "dynamic" else binarize(x, model.binarize, noise)
    read_every = 1 if model.device == "cpu" else 50  # reading a term back makes the CPU wait for the GPU

    with (
        Run(run_dir, resume, settings, epochs, model, optimizer, terms) as run,
        _deferred_interrupt() as interrupted,
        _progress_bar(epochs * steps_per_epoch, run.step, progress) as bar,
        numpy.errstate(all="ignore"),  # what overflows makes a term non-finite, and that stops the run
    ):
        if labels is not None:
            run.write("labelled_rows.json", json.dumps(numpy.flatnonzero(labels >= 0).tolist()))
        while run.step < epochs * steps_per_epoch:
            epoch, first = divmod(run.step, steps_per_epoch)
            batches = _minibatches(len(x), labels, batch_size, Noise(seed, epoch, model.device))
            started = time.perf_counter()
            for i in range(first, steps_per_epoch):
                noise = Noise(seed, run.step, model.device)
                rows, *y = batches[i]
                batch = observed[rows]
                if model.binarize == "dynamic":
                    batch = binarize(batch, "dynamic", noise)
                value, *parts = evaluated(model, batch, *y, noise, n_samples, value_at(kl_weight, run.step))
                for j, part in enumerate(parts):
                    terms[i, j] = part.data
                if (i + 1) % read_every == 0 or i + 1 == steps_per_epoch:
                    _check_finite(to_numpy(terms[i - i % read_every : i + 1]), names, run)
                grad(-value, optimizer.parameters, out=optimizer.gradients)
                optimizer.step()
                stopping = interrupted.is_set() and i + 1 < steps_per_epoch
                if stopping:
                    _check_finite(to_numpy(terms[i - i % read_every : i + 1]), names, run)
                run.step += 1
                bar.update()
                if stopping:
                    run.seconds += time.perf_counter() - started
                    run.save()
                    break
            else:
                run.seconds += time.perf_counter() - started
                means = dict(zip(names, _epoch_means(to_numpy(terms), batch_size, n), strict=True))
                metrics = _epoch_metrics(model, x, validation, means, n_samples, seed)
                _check_epoch(metrics, run)
                run.finish_epoch({"epoch": epoch + 1, "step": run.step} | metrics)
                bar.set_postfix_str(summary(metrics))
            if interrupted.is_set():
                raise KeyboardInterrupt(f"stopped after step {run.step}; {run.how_to_resume()}")

    last = run.history[-1]
    if last["kl"] < 0.1 or last["active_units"] == 0:
        warnings.warn(
            f"posterior collapse: KL {last['kl']:.3g} nats, {last['active_units']} active units; the decoder ignores z "
            "(a KL weight that grows from 0, or a weaker decoder, may help)",
            PosteriorCollapseWarning,
            stacklevel=2,
        )
    return {name: [metrics[name] for metrics in run.history] for name in last}


def _elbo(model: Any, x: Any, noise: Noise, n_samples: int, kl_weight: float) -> tuple[Any, Any, Any]:
    """The mean over the batch of E_q[log p(x | z)] - kl_weight KL(q(z | x) || p(z)), and of its two terms."""
    reconstruction, kl = (ops.mean(term) for term in model.elbo_terms(x, noise, n_samples))
    return reconstruction - kl_weight * kl, reconstruction, kl


def _importance_weighted(
    model: Any, x: Any, noise: Noise, n_samples: int, kl_weight: float
) -> tuple[Any, Any, Any, Any]:
    """The mean over the batch of log (1/S) sum of w_s, of the terms of log w, and of the bound again, to be shown."""
    reconstruction, divergence = model.log_weight_terms(x, noise, n_samples)
    bound = ops.mean(log_mean_exp(reconstruction - kl_weight * divergence))
    return bound, ops.mean(reconstruction), ops.mean(divergence), bound


OBJECTIVES: dict[str, Objective] = {
    "elbo": (("reconstruction", "kl"), _elbo),
    "iwae": (("reconstruction", "kl", "bound"), _importance_weighted),
}
"""Name -> the terms that are recorded at every step, and the function that returns the objective and then the terms."""


def semi_supervised(n_labelled: int, n: int, alpha: float) -> Objective:
    """J~ / N by a minibatch of both data sets, as an entry of OBJECTIVES; its function also takes the labels y.

    (1/N) [N^s / M^s (sum of L + alpha sum of log q(y | x)) + N^u / M^u sum of U], which is a mean over the labelled
    rows times N^s / N and one over the others times N^u / N.
    """
    share = n_labelled / n

    def evaluated(model: Any, x: Any, y: Any, noise: Noise, n_samples: int, kl_weight: float) -> tuple[Any, ...]:
        *bound, log_q = model.objective_terms(x, y, noise, n_samples)
        parts = [(share, slice(None, len(y))), (1 - share, slice(len(y), None))]
        reconstruction, kl = (sum(part * ops.mean(term[rows]) for part, rows in parts if part) for term in bound)
        classification = ops.mean(log_q)
        return reconstruction - kl_weight * kl + share * alpha * classification, reconstruction, kl, classification

    return ("reconstruction", "kl", "classification"), evaluated


def _labels_of_every_class(model: Any, labels: Any, n: int) -> numpy.ndarray:
    """The labels of n rows, checked, as NumPy's. Raises DataError where no row has the label of some class."""
    labels = to_numpy(model.labels(labels, (n,), lowest=-1))
    missing = sorted(set(range(model.n_classes)) - set(labels.tolist()))
    if missing:
        raise DataError("labels", "a labelled row of every class", f"none of class {', '.join(map(str, missing))}")
    return labels


def _minibatches(n: int, labels: Any, size: int, noise: Noise) -> list[tuple[Any, ...]]:
    """(rows,) or, with labels, (rows, labels of the first of them) for every step of an epoch."""
    if labels is None:
        return [(rows,) for rows in minibatches(n, size, noise)]
    return list(labelled_minibatches(labels, size, noise))


def summary(metrics: Metrics) -> str:
    """One line for a person: the ELBO and its two terms, in nats per datapoint, and the active units."""
    line = f"ELBO {metrics['elbo']:.2f} = {metrics['reconstruction']:.2f} - KL {metrics['kl']:.2f}"
    line += f", bound {metrics['bound']:.2f}" if "bound" in metrics else ""
    line += f", log q(y | x) {metrics['classification']:.3f}" if "classification" in metrics else ""
    line += f", {metrics['active_units']} active"
    return line + (f", validation ELBO {metrics['validation_elbo']:.2f}" if "validation_elbo" in metrics else "")


def _check_finite(terms: numpy.ndarray, names: tuple[str, ...], run: Run) -> None:
    """Raise NonFiniteError for the first step with a term that is not finite.

    terms: (steps, len(names)) since the last check, the last of them being the step under way.
    """
    bad = numpy.argwhere(~numpy.isfinite(terms))
    if len(bad):
        step, name = run.step - (len(terms) - 1 - bad[0][0]), names[bad[0][1]]
        raise NonFiniteError(f"step {step}: the {name} is not finite; {run.last_checkpoint()}")


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


def _epoch_metrics(model: Any, x: Any, validation: Any, means: dict[str, float], n_samples: int, seed: int) -> Metrics:
    metrics = {"elbo": means["reconstruction"] - means["kl"]} | means
    metrics["active_units"] = len(active_units(model, prepared(model, x[:500], seed)))
    if validation is not None:
        scores = evaluate(model, validation, seed=seed)
        if "bound" in means:
            scores["bound"] = float(log_likelihood(model, validation, n_samples, seed)[0].mean())
        metrics |= {f"validation_{name}": scores[name] for name in metrics if name in scores}
    return metrics


def _numbers(optimizer: Optimizer, learning_rate: float | Schedule, clip_norm: float | None) -> dict[str, Any]:
    """Every number, word and schedule that an optimizer's updates depend on, unless it is what `fit` gave it."""
    known = {"n_steps": optimizer.n_steps, "learning_rate": learning_rate, "clip_norm": clip_norm}
    settings = {name: value for name, value in vars(optimizer).items() if isinstance(value, Real | str | Callable)}
    return {name: _described(value) for name, value in settings.items() if name not in known or value != known[name]}


def _described(value: float | Schedule) -> Any:
    """A number as it is; a schedule by what it prints as, or, if that is an address, by its name and some values."""
    if not callable(value):
        return value
    text = re.sub(" at 0x[0-9a-fA-F]+", "", repr(value))
    if text == repr(value):
        return text
    return {"name": getattr(value, "__qualname__", text)} | {step: _probe(value, step) for step in PROBED_STEPS}


def _probe(schedule: Schedule, step: int) -> str:
    try:
        return repr(float(schedule(step)))
    except Exception as error:  # a user's table of rates may end before this step
        return type(error).__name__


@contextmanager
def _deferred_interrupt() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets, so that no step is cut in two; the second one interrupts at once."""
    interrupted = threading.Event()
    alone = threading.current_thread() is threading.main_thread()
    if not alone or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, or another's
        yield interrupted
        return

    def handle(*_: Any) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


def _progress_bar(total: int, done: int, shown: bool) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, initial=done, unit="step", disable=not shown or sys.stderr is None, dynamic_ncols=True)
