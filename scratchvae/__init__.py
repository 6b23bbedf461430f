"""Variational autoencoders from scratch, on NumPy and CuPy.

>>> import scratchvae as sv
>>> train, test = sv.data.load("drawn-digits")
>>> model = sv.VAE.mlp(latent_size=2)
>>> history = sv.fit(model, train.images[:256], epochs=1, progress=False)
>>> model.sample(16).shape
(16, 784)

Docstrings name a source for their equations. "Deck" among them is Brooks Paige, "Variational autoencoders (and other
deep generative models)", COMP0171, week 8, University College London: slides that are not published with this package.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from scratchvae import (
    callbacks,
    chemistry,
    data,
    distributions,
    latent_search,
    latent_space,
    linear,
    models,
    nn,
    objectives,
    ops,
    optim,
)
from scratchvae.alphabet import Alphabet
from scratchvae.autodiff import Tensor, elementwise, grad, no_grad, primitive
from scratchvae.backend import to_numpy
from scratchvae.callbacks import EarlyStopping
from scratchvae.checkpoint import load, save
from scratchvae.codes import fit_codes
from scratchvae.distributions import kl
from scratchvae.estimator import VAEClassifier, VAEEstimator
from scratchvae.evaluation import active_units, classification_error, elbo, evaluate, log_likelihood
from scratchvae.explorer import Explorer, explorer
from scratchvae.gradcheck import GradientError, check_gradients
from scratchvae.models import VAE, MoleculeVAE, SemiSupervisedVAE, SketchRNN, StackedVAE, TableVAE
from scratchvae.noise import Noise
from scratchvae.objectives import Objective
from scratchvae.training import NonFiniteError, PosteriorCollapseWarning, fit

if TYPE_CHECKING:
    from scratchvae import plotting

__version__ = "1.0.0"

__all__ = [
    "VAE",
    "Alphabet",
    "EarlyStopping",
    "Explorer",
    "GradientError",
    "MoleculeVAE",
    "Noise",
    "NonFiniteError",
    "Objective",
    "PosteriorCollapseWarning",
    "SemiSupervisedVAE",
    "SketchRNN",
    "StackedVAE",
    "TableVAE",
    "Tensor",
    "VAEClassifier",
    "VAEEstimator",
    "active_units",
    "callbacks",
    "check_gradients",
    "chemistry",
    "classification_error",
    "data",
    "distributions",
    "elbo",
    "elementwise",
    "evaluate",
    "explorer",
    "fit",
    "fit_codes",
    "grad",
    "kl",
    "latent_search",
    "latent_space",
    "linear",
    "load",
    "log_likelihood",
    "models",
    "nn",
    "no_grad",
    "objectives",
    "ops",
    "optim",
    "plotting",
    "primitive",
    "save",
    "to_numpy",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> ModuleType:
        """Imports `scratchvae.plotting` when it is first used, since importing matplotlib takes time."""
        if name == "plotting":
            return import_module("scratchvae.plotting")
        raise AttributeError(f"module 'scratchvae' has no attribute {name!r}")
