"""fit: the only place that reduces over a batch, with its run directory, checkpoints and resume."""

from __future__ import annotations

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

from scratchvae.arrays import type_name
from scratchvae.autodiff import Tensor, grad
from scratchvae.backend import array_module, device_module, keep_freed_memory, to_numpy
from scratchvae.errors import InputError, whole_number
from scratchvae.evaluation import active_units, observations, prepared
from scratchvae.noise import Noise
from scratchvae.objectives import Objective, choose
from scratchvae.optim import Adam, Optimizer, Schedule, value_at
from scratchvae.run_directory import Run
from scratchvae.run_files import Metrics, defaults, fingerprint

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
) -> dict[str, list[float]]:
    """Ascend (1/M) sum over the minibatch of the objective, by default E_q[log p(x | z)] - KL(q(z | x) || p(z)).

    This is the deck's estimator (N/M) sum, divided by N. An epoch is a fresh permutation of the rows; its last, partial
    batch is kept.

    With labels, ascend the deck's J~ / N of a SemiSupervisedVAE: every minibatch has labelled rows and others, M of
    each where there are as many, and each sum is scaled by its own N_k / M_k. An epoch is a pass through the larger of
    the two sets; the smaller one is cycled through, in a new order each time.

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
    objective : "elbo", "iwae", or an Objective of your own
        The ELBO, its expectation a mean over draws; or the importance-weighted bound, the log of the mean of
        w = p(x | z) p(z) / q(z | x) over the draws (Burda, Grosse & Salakhutdinov, 2016, equation 8). The equations
        stand on the model; `scratchvae.objectives` averages them.
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
    kl_floor : number, optional
        The mean KL of a minibatch counts as max(mean KL, kl_floor), in nats: so much information in z costs nothing,
        and a decoder that could do without z learns to use it. Not for "iwae".
    properties : array (N, P) or dict of arrays (N,), optional
        The properties t of each row, NaN where one is not known. For a MoleculeVAE that has them; what is ascended is
        then a bound of log p(x, t), log p(t | z) multiplied by alpha, 1 by default.

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
    objective = choose(model, objective, labels=labels, alpha=alpha, kl_floor=kl_floor or None, properties=properties)
    keep_freed_memory()
    if device is not None:
        model.to(device)
    x = observations(model, data)
    validation = None if validation is None else observations(model, validation)
    optimizer = _made(optimizer or Adam, model.parameters(), learning_rate=learning_rate, clip_norm=clip_norm)
    settings = {
        "model": (model.configuration or repr(model)) if run_dir else None,
        "data": fingerprint(x) if run_dir else None,
        "validation": fingerprint(validation) if run_dir and validation is not None else None,
        "batch_size": batch_size,
        "learning_rate": _described(learning_rate) if run_dir else None,
        "kl_weight": _described(kl_weight) if run_dir else None,
        "n_samples": n_samples,
        "objective": objective.name,
        "clip_norm": clip_norm,
        "optimizer": {"name": type(optimizer).__name__}
        | (_optimizer_settings(optimizer, learning_rate, clip_norm) if run_dir else {}),
        "seed": seed,
        "device": model.device,
    } | {name: fingerprint(value) if hasattr(value, "shape") else value for name, value in objective.settings.items()}
    n = objective.n_rows(len(x))
    steps_per_epoch = math.ceil(n / batch_size)
    terms = device_module(model.device).zeros((steps_per_epoch, len(objective.terms)), dtype=model.dtype)
    data = model.prepare_data(x, Noise(seed, device=model.device))

    with (
        Run(run_dir, resume, settings, epochs, model, optimizer, terms, defaults(fit)) as run,
        _deferred_interrupt() as interrupted,
        _progress_bar(epochs * steps_per_epoch, run.step, progress) as bar,
        numpy.errstate(all="ignore"),  # what overflows makes a term non-finite, and that stops the run
    ):
        for name, text in objective.files.items():
            run.write(name, text)
        while run.step < epochs * steps_per_epoch:
            epoch, first = divmod(run.step, steps_per_epoch)
            started = time.perf_counter()
            for i, batch in enumerate(objective.batches(len(x), batch_size, Noise(seed, epoch, model.device))):
                if i < first:
                    continue
                noise = Noise(seed, run.step, model.device, training=True)
                _step(run, objective, data, batch, noise, n_samples, value_at(kl_weight, run.step))
                bar.update()
                if interrupted.is_set():
                    break
            run.seconds += time.perf_counter() - started
            if run.step == (epoch + 1) * steps_per_epoch:
                means = dict(zip(objective.terms, _epoch_means(to_numpy(terms), batch_size, n), strict=True))
                metrics = _epoch_metrics(model, x, validation, objective, means, n_samples, seed)
                _check_epoch(metrics, run)
                run.finish_epoch({"epoch": epoch + 1, "step": run.step} | metrics)
                bar.set_postfix_str(summary(metrics))
            else:
                _check_finite(run, objective.terms, run.step % steps_per_epoch, data)
                run.save()
            if interrupted.is_set():
                raise KeyboardInterrupt(f"stopped after step {run.step}; {run.how_to_resume()}")

    if model.latent_size > 0:
        _warn_of_collapse(run.history[-1])
    return {name: [metrics[name] for metrics in run.history] for name in run.history[-1]}


def _warn_of_collapse(metrics: dict[str, Any]) -> None:
    """Of a KL of the training data below 0.1 nats, or of no active units."""
    if metrics["kl"] < 0.1 or metrics["active_units"] == 0:
        warnings.warn(
            f"posterior collapse: KL {metrics['kl']:.3g} nats, {metrics['active_units']} active units; the decoder "
            "ignores z (a KL weight that grows from 0, or a weaker decoder, may help)",
            PosteriorCollapseWarning,
            stacklevel=3,
        )


def _made(optimizer: Any, parameters: Any, **settings: Any) -> Optimizer:
    """The optimizer of these parameters. Raises InputError for what makes none."""
    if not callable(optimizer):
        raise InputError("fit", "an optimizer such as sv.optim.Adam", repr(optimizer), "functools.partial sets it up")
    made = optimizer(parameters, **settings)
    if not isinstance(made, Optimizer):
        raise InputError("fit", "an optimizer that makes an Optimizer", type(made).__name__)
    return made


def _step(
    run: Run, objective: Objective, data: Any, batch: tuple[Any, ...], noise: Noise, n_samples: int, kl_weight: float
) -> None:
    """One step: the objective of a minibatch, its terms recorded and checked, its gradient, the update."""
    rows, *others = batch
    x = run.model.augment(run.model.prepare_batch(data[rows], noise), noise)
    value, means = objective.value(x, *others, noise, n_samples, kl_weight)
    i = run.step % len(run.terms)
    for j, name in enumerate(objective.terms):
        term = means[name]
        run.terms[i, j] = term.data if isinstance(term, Tensor) else term
    if (i + 1) % _read_every(run.model) == 0 or i + 1 == len(run.terms):
        _check_finite(run, objective.terms, i + 1, data)
    grad(-value, run.optimizer.parameters, out=run.optimizer.gradients)
    run.optimizer.step()
    run.step += 1


def _read_every(model: Any) -> int:
    """After how many steps the terms are looked at: to read one back makes the CPU wait for the GPU."""
    return 1 if model.device == "cpu" else 50


def summary(metrics: Metrics) -> str:
    """One line for a person: the ELBO and its two terms, in nats per datapoint, and the active units."""
    line = f"ELBO {metrics['elbo']:.2f} = {metrics['reconstruction']:.2f} - KL {metrics['kl']:.2f}"
    line += f", bound {metrics['bound']:.2f}" if "bound" in metrics else ""
    line += f", log q(y | x) {metrics['classification']:.3f}" if "classification" in metrics else ""
    line += f", log p(t | z) {metrics['properties']:.3f}" if "properties" in metrics else ""
    line += f", {metrics['active_units']} active"
    return line + (f", validation ELBO {metrics['validation_elbo']:.2f}" if "validation_elbo" in metrics else "")


def _check_finite(run: Run, names: tuple[str, ...], n: int, data: Any) -> None:
    """Raise NonFiniteError for the first term that is not finite among those of this epoch's first n steps.

    What has been looked at before is left out.
    """
    first = (n - 1) // _read_every(run.model) * _read_every(run.model)
    bad = numpy.argwhere(~numpy.isfinite(to_numpy(run.terms[first:n])))
    if len(bad):
        step = run.step // len(run.terms) * len(run.terms) + first + bad[0][0]
        outlook = f"{_scales_in_words(data)}{run.last_checkpoint()}"
        raise NonFiniteError(f"step {step}: the {names[bad[0][1]]} is not finite; {outlook}")


def _scales_in_words(data: Any) -> str:
    """A clause about columns whose standard deviation is above 100, and by how much others differ; else nothing."""
    deviations = to_numpy(data).reshape(len(data), -1).std(axis=0, dtype=numpy.float64)
    deviations = deviations[deviations > 0]
    largest = deviations.max(initial=0)
    if largest <= 100:
        return ""
    power = round(math.log10(largest / deviations.min()))
    subject = f"the columns of the data differ in scale by 10^{power}" if power else f"the data vary by {largest:.0e}"
    return f"{subject} (divide each column by its standard deviation); "


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


def _optimizer_settings(
    optimizer: Optimizer, learning_rate: float | Schedule, clip_norm: float | None
) -> dict[str, Any]:
    """Every number, word and schedule that an optimizer's updates depend on, unless it is what `fit` gave it.

    Raises InputError for settings that hold anything else, which a run directory could not compare or restore.
    """
    known = {"n_steps": optimizer.n_steps, "learning_rate": learning_rate, "clip_norm": clip_norm}
    settings = {name: value for name, value in vars(optimizer).items() if name not in optimizer.buffers}
    return {
        name: _plain(type(optimizer).__name__, name, value)
        for name, value in settings.items()
        if value is not None and (name not in known or value != known[name])
    }


def _plain(optimizer: str, name: str, value: Any) -> Any:
    """A setting of an optimizer, described; lists, tuples and dicts entry by entry."""
    if isinstance(value, (list, tuple)):
        return [_plain(optimizer, name, entry) for entry in value]
    if isinstance(value, dict):
        return {str(key): _plain(optimizer, name, entry) for key, entry in value.items()}
    if value is None or isinstance(value, Real | str | Callable):
        return _described(value)
    hint = "a run directory keeps the arrays that `moments` names"
    raise InputError(
        f"fit with {optimizer}", "settings of numbers, words and schedules", f"{name}, a {type_name(value)}", hint
    )


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
    """tqdm's bar, in a notebook its widget; where none is shown, one that does nothing and needs no tqdm."""
    if not shown or sys.stderr is None:
        return _NoBar()
    from tqdm.auto import tqdm

    return tqdm(total=total, initial=done, unit="step", dynamic_ncols=True)


class _NoBar:
    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self) -> None:
        """A step has been taken."""

    def set_postfix_str(self, text: str) -> None:
        """An epoch has ended."""
