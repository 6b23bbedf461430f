"""Each step of a training takes a minibatch and moves the parameters along the gradient of the objective."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy

from scratchvae.autodiff import Tensor, grad
from scratchvae.backend import array_module, to_numpy
from scratchvae.capture import Capture, Plain, wanted
from scratchvae.errors import InputError
from scratchvae.noise import Noise
from scratchvae.objectives import Objective
from scratchvae.optim import Schedule, value_at
from scratchvae.pixels import Pixels, Rows
from scratchvae.ranks import Alone
from scratchvae.run_directory import Run

READ_EVERY = 50
"""The number of steps on a GPU between two checks that the terms are finite."""


class NonFiniteError(ArithmeticError):
    """Is raised if a loss, a parameter or a score is not finite: training stops, and no checkpoint keeps it.

    See Also
    --------
    fit : raises it, with the step, the term and the last checkpoint in the message.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> model = sv.VAE.mlp(input_size=6, latent_size=1, hidden=(4,))
    >>> model.encoder.parameters()[0].data[:] = numpy.inf
    >>> try:
    ...     sv.fit(model, numpy.ones((8, 6), numpy.float32), epochs=1, progress=False)
    ... except sv.NonFiniteError as error:
    ...     print(str(error).partition(";")[0])
    step 0: the reconstruction is not finite
    """


class Steps:
    """Runs the steps of `fit` inside a with statement: `steps(batch)` is the next one, whose number is run.step.

    Parameters
    ----------
    run : Run
        Holds the model, the optimizer, the number of the step and the terms of the epoch's steps.
    objective, n_samples, kl_weight
        As in `fit`, the objective as an Objective.
    data, weights : array (N, ...), array (N,) or None
        The prepared data and the weights of their rows, on the device of the model.
    seed : int
        The seed of the noise.
    world : Alone
        The processes that train together.
    own : bool
        Whether the objective is the package's and not the caller's.
    """

    def __init__(
        self,
        run: Run,
        objective: Objective,
        data: Any,
        weights: Any,
        seed: int,
        n_samples: int,
        kl_weight: float | Schedule,
        world: Alone,
        own: bool,
    ) -> None:
        self.run, self.objective, self.data, self.weights = run, objective, data, weights
        self.seed, self.n_samples, self.kl_weight, self.world = seed, n_samples, kl_weight, world
        self.device = run.model.device
        self.latest = array_module(run.terms).zeros_like(run.terms[0])  # the terms of one step
        unchanged = _is_own(run.model)
        floats = self.device == "gpu" and unchanged and not isinstance(data, Pixels)
        self.gathers = floats and run.model.binarize == "dynamic"  # rows and their draws in one launch
        together = self.device == "gpu" and world.size == 1 and wanted(own and unchanged)
        self.capture = Capture(run.model.dtype) if together else Plain()

    def __enter__(self) -> Steps:
        self.capture.__enter__()
        return self

    def __exit__(self, *failure: Any) -> None:
        self.capture.__exit__(*failure)

    def __call__(self, batch: Sequence[Any]) -> None:
        """Takes one step. Numbers that change with the step are computed here, in float64, all others on the device."""
        run, i = self.run, self.run.step % len(self.run.terms)
        kl_weight = value_at(self.kl_weight, run.step)
        numbers = run.optimizer.next_coefficients()
        self.capture(self._compute, run.step, (kl_weight, *numbers) if callable(self.kl_weight) else numbers, batch)
        run.optimizer.mark_changed()
        if self.device == "gpu":  # to read terms there is to wait for it
            run.terms[i] = self.latest
            if (i + 1) % READ_EVERY == 0 or i + 1 == len(run.terms):
                self.check(i + 1)
        run.step += 1

    def _compute(self, words: Any, numbers: Sequence[Any], batch: Sequence[Any]) -> None:
        """Computes the objective of a minibatch, its terms and its gradient, and updates the parameters."""
        run, objective = self.run, self.objective
        scheduled = [numbers[0]] if callable(self.kl_weight) else []
        kl_weight = scheduled[0] if scheduled else value_at(self.kl_weight, run.step)
        noise = Noise(self.seed, run.step, self.device, training=True, words=words)
        rows, others, weights, of_x, of_z = self.world.part(batch, self.weights, noise, run.model.dtype)
        x = Rows(self.data, rows) if self.gathers else self.data[rows]
        x = run.model.augment(run.model.prepare_batch(x, of_x), of_x)
        weighted = {} if weights is None else {"weights": weights}
        value, means = objective.value(x, *others, of_z, self.n_samples, kl_weight, **weighted)
        for j, name in enumerate(objective.terms):
            term = means[name]
            self.latest[j] = term.data if isinstance(term, Tensor) else term
        self.world.add(self.latest)
        if self.device == "cpu":  # before anything is spoilt
            i = run.step % len(run.terms)
            run.terms[i] = self.latest
            self.check(i + 1)
        grad(value, run.optimizer.parameters, out=run.optimizer.gradients, g=-1)
        self.world.add(run.optimizer._gradient)
        run.optimizer.apply(numbers[len(scheduled) :])

    def check(self, n: int) -> None:
        """Raises NonFiniteError for the first term that is not finite among those of this epoch's first n steps.

        Steps that have been checked before are left out.
        """
        run, every = self.run, 1 if self.device == "cpu" else READ_EVERY
        first = (n - 1) // every * every
        bad = numpy.argwhere(~numpy.isfinite(to_numpy(run.terms[first:n])))
        if len(bad):
            step = run.step // len(run.terms) * len(run.terms) + first + bad[0][0]
            outlook = f"{_scales_in_words(self.data)}{run.last_checkpoint()}"
            raise NonFiniteError(f"step {step}: the {self.objective.terms[bad[0][1]]} is not finite; {outlook}")


def _is_own(model: Any) -> bool:
    """Returns whether one of the package's constructors made the model, from the package's networks, unchanged."""
    try:
        made = model.configuration is not None
    except (AttributeError, InputError):
        return False
    hidden = (callable(getattr(type(part), name, None)) for _, part in model.named_modules() for name in vars(part))
    return made and not any(hidden)  # a method of the class is hidden by an attribute of the model


def _scales_in_words(data: Any) -> str:
    """Returns a clause about columns with a standard deviation above 100 and how much columns differ, or nothing."""
    data = data[:1] if isinstance(data, Pixels) else data  # pixels have one scale
    deviations = to_numpy(data).reshape(len(data), -1).std(axis=0, dtype=numpy.float64)
    deviations = deviations[deviations > 0]
    largest = deviations.max(initial=0)
    if largest <= 100:
        return ""
    power = round(math.log10(largest / deviations.min()))
    subject = f"the columns of the data differ in scale by 10^{power}" if power else f"the data vary by {largest:.0e}"
    return f"{subject} (divide each column by its standard deviation); "
