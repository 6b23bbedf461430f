"""The kinds m2, m2-conv and m1+m2, which learn from few labels: M2, and M2 on the latent variables of a VAE, M1+M2."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy

import scratchvae as sv
from scratchvae.data import Dataset
from scratchvae.errors import DataError, InputError
from scratchvae.kinds import pictures
from scratchvae.kinds.kind import Line, Settings, learning_rate
from scratchvae.kinds.option import COUNT, NOT_NEGATIVE, Option, path
from scratchvae.kinds.shared_options import COMMON, FOLDER
from scratchvae.kinds.vae import (
    ACTIVATION,
    CHANNELS,
    HIDDEN,
    LATENT,
    LIKELIHOOD,
    ImageKind,
    MultilayerVAE,
    refuse_vectors,
)
from scratchvae.objectives import usual_alpha
from scratchvae.scoring import prepared

LABELS = Option(
    "labels", "number of training images whose label is used, the same number of each class", None, COUNT, metavar="N"
)
ALPHA = Option(
    "alpha",
    "weight of the classification loss",
    None,
    NOT_NEGATIVE,
    metavar="ALPHA",
    usual="0.1 x number of images / N of --labels",
)
M1 = Option(
    "m1",
    "run directory or checkpoint file of the VAE to use as M1 (without it, one is trained)",
    conversion=path,
    metavar="RUN",
    resumable=True,
)
M1_EPOCHS = Option(
    "m1_epochs",
    "number of passes over the data in the training of M1",
    conversion=COUNT,
    metavar="N",
    usual="the value of --epochs",
    resumable=True,
)
OF_M1 = (*(option.name for option in LIKELIHOOD), "kl_warmup", "m1_epochs")
"""The options of m1+m2 that only the training of M1 uses."""


class SemiSupervisedKind(ImageKind):
    """A SemiSupervisedKind is a kind that learns from images with labels and images without."""

    pictures = pictures.WITH_CLASSES

    def refuse(self, settings: Settings) -> None:
        """Raises InputError also for a missing --labels, and for --objective iwae, since the objective of M2 is J~."""
        if settings["labels"] is None:
            raise InputError("train", f"--labels N with --model {self.name}", "none")
        if settings["objective"] != "elbo":
            raise InputError("train", f"--objective elbo with --model {self.name}", settings["objective"])
        super().refuse(settings)

    def check(self, settings: Settings, train: Dataset, test: Dataset) -> None:
        """Raises DataError for images without labels, too few labels, or other classes in the test part."""
        super().check(settings, train, test)
        labels(settings, train)
        if test.labels is not None and not 0 <= test.labels.min() <= test.labels.max() <= train.labels.max():
            received = f"classes from {test.labels.min()} to {test.labels.max()}"
            raise DataError(f"test labels of {settings['data']}", f"classes from 0 to {train.labels.max()}", received)

    def training(self, settings: Settings, train: Dataset) -> dict[str, Any]:
        """Returns the arguments of `fit`; an epoch is a pass over the larger of the labelled and the unlabelled set."""
        y = labels(settings, train)
        n_rows = int(max((y >= 0).sum(), (y < 0).sum()))
        of_labels = {"labels": y, "alpha": settings["alpha"], "learning_rate": learning_rate(settings, n_rows)}
        return super().training(settings, train) | of_labels

    def notes(self, settings: Settings, train: Dataset) -> list[str]:
        """Describes the number of labels, and alpha."""
        alpha = settings["alpha"]
        alpha = usual_alpha(settings["labels"], len(train)) if alpha is None else alpha
        return [f"{settings['labels']:,} labels, drawn by seed {settings['seed']}; alpha = {alpha:.4g}"]

    def scores(
        self, model: Any, dataset: Dataset, seed: int = 0, n_samples: int = 0, train: Dataset | None = None
    ) -> list[str]:
        """Returns the share of misclassified images with its standard error, if the images have labels."""
        if dataset.labels is None:
            return []
        error = sv.classification_error(model, dataset.images, dataset.labels, n_samples, seed)
        spread = 100 * (error * (1 - error) / len(dataset)) ** 0.5
        way = f"p(y | x) from {n_samples} importance samples of each class" if n_samples else "q(y | x)"
        name = "error_by_importance" if n_samples else "error"
        figures = {name: error, f"{name}_standard_error": spread / 100}
        return [Line(f"test error {100 * error:.2f} +- {spread:.2f} % of {len(dataset):,}, by {way}", **figures)]


class MultilayerM2(SemiSupervisedKind):
    """MultilayerM2 is the kind m2: M2 with multilayer perceptrons."""

    name, summary = "m2", "semi-supervised model M2, perceptrons (labels for some images)"
    model = sv.SemiSupervisedVAE
    options = (*COMMON, *FOLDER, LABELS, ALPHA, LATENT, HIDDEN, ACTIVATION, *LIKELIHOOD)

    def build(self, settings: Settings, train: Dataset, part: Callable[..., Any]) -> sv.SemiSupervisedVAE:
        """Builds SemiSupervisedVAE.mlp for images of this size."""
        size, hidden = train.images[0].size, settings["hidden"]
        return sv.SemiSupervisedVAE.mlp(size, n_classes=n_classes(train), hidden=hidden, **self.arguments(settings))

    def smallest(self, settings: Settings) -> sv.SemiSupervisedVAE:
        """Returns a model with these settings but one unit in each layer."""
        arguments = self.arguments(settings) | {"latent_size": 1}
        return sv.SemiSupervisedVAE.mlp(1, n_classes=1, hidden=[1] * len(settings["hidden"]), **arguments)


class ConvolutionalM2(SemiSupervisedKind):
    """ConvolutionalM2 is the kind m2-conv: M2 with convolutional networks."""

    name, summary = "m2-conv", "M2 with convolutional networks"
    model = sv.SemiSupervisedVAE
    options = (*COMMON, *FOLDER, LABELS, ALPHA, LATENT, CHANNELS, ACTIVATION, *LIKELIHOOD)

    def check(self, settings: Settings, train: Dataset, test: Dataset) -> None:
        """Raises DataError also for vectors."""
        super().check(settings, train, test)
        refuse_vectors(self, train)

    def build(self, settings: Settings, train: Dataset, part: Callable[..., Any]) -> sv.SemiSupervisedVAE:
        """Builds SemiSupervisedVAE.convolutional for images of this shape."""
        arguments = self.arguments(settings) | {"n_classes": n_classes(train), "channels": settings["channels"]}
        return sv.SemiSupervisedVAE.convolutional(list(train.images.shape[1:]), **arguments)

    def smallest(self, settings: Settings) -> sv.SemiSupervisedVAE:
        """Returns a model with these settings but one unit in each layer."""
        arguments = self.arguments(settings) | {"latent_size": 1, "n_classes": 1, "channels": [1], "hidden_size": 1}
        return sv.SemiSupervisedVAE.convolutional((2, 2, 1), **arguments)


class M1M2(SemiSupervisedKind):
    """M1M2 is the kind m1+m2: a VAE, M1, and then M2 on its latent variables."""

    name, summary = "m1+m2", "VAE M1, and then M2 on its latent variables"
    model = sv.StackedVAE
    options = (*MultilayerM2.options, M1, M1_EPOCHS)

    def complete(self, values: dict[str, Any]) -> dict[str, Any]:
        """Trains M1 for as many epochs as M2, unless --m1-epochs says otherwise."""
        if values["m1"] is not None:
            return values
        return values | {"m1_epochs": values["m1_epochs"] or values["epochs"]}

    def refuse(self, settings: Settings) -> None:
        """Raises InputError also for a change of M1 in a resumed run, and for training options of a given M1."""
        if settings["hidden"] == []:
            raise InputError("train", "--hidden with at least one width for m1+m2", "none")
        given = [option for option in self.options if option.name in settings.given]
        changed = ", ".join(f"{option.flag} {settings[option.name]}" for option in given if option in (M1, M1_EPOCHS))
        if settings.begun and changed:
            raise InputError("train", "M1 unchanged, as the run trains M2 already", changed, "--epochs may grow")
        refused = ", ".join(option.flag for option in given if option.name in OF_M1)
        if settings["m1"] is not None and refused:
            raise InputError("train", "either --m1 or options of an M1 to train", f"--m1 and {refused}")
        super().refuse(settings)
        if settings["m1"] is not None and not settings.begun:
            trained(settings["m1"])

    def smallest(self, settings: Settings) -> sv.VAE:
        """Returns an M1 with these settings but one unit in each layer."""
        return MultilayerVAE().smallest(settings)

    def build(self, settings: Settings, train: Dataset, part: Callable[..., Any]) -> sv.StackedVAE:
        """Builds M2 on the active units of M1: the M1 of the resumed run, the one named by --m1, or a new one."""
        m1, units = self._m1(settings, train, part)
        names = {"n_classes": n_classes(train), "latent_size": settings["latent"], "hidden": settings["hidden"][-1:]}
        names |= {name: settings[name] for name in ("activation", "seed")}
        return sv.StackedVAE.mlp(m1, units, **names)

    def _m1(self, settings: Settings, train: Dataset, part: Callable[..., Any]) -> tuple[sv.VAE, Any]:
        """Returns M1 and the indices of its units that M2 models."""
        if settings.begun:
            stacked = sv.load(part.directory)
            if type(stacked) is not sv.StackedVAE:
                raise DataError(f"resume {part.directory.path}", "a StackedVAE", f"a {type(stacked).__name__}")
            return stacked.first, stacked.units
        if settings["m1"] is not None:
            m1 = trained(settings["m1"])
            m1.rows(train.images[:1])
            m1.to(settings["device"])
        else:
            vae = MultilayerVAE()
            m1 = vae.build(settings, train, part)
            part("m1", m1, settings["m1_epochs"], **vae.training(settings, train))
        return m1, sv.active_units(m1, prepared(m1, train.images, settings["seed"]))

    def training(self, settings: Settings, train: Dataset) -> dict[str, Any]:
        """Returns the arguments of `fit` for M2; the weight of its KL is constant, as --kl-warmup is for M1."""
        return super().training(settings, train) | {"kl_weight": settings["kl_weight"]}


def labels(settings: Settings, train: Dataset) -> numpy.ndarray:
    """Returns the labels of the training images, -1 for images whose label is not used."""
    if train.labels is None:
        hint = "--data-labels names a file of labels, and an .npz file may contain them"
        raise DataError(f"labels of {settings['data']}", "a label for each image", "none", hint)
    return sv.data.label_subset(train.labels, settings["labels"], settings["seed"])


def n_classes(train: Dataset) -> int:
    """C = 1 + the largest label"""
    return int(train.labels.max()) + 1


def trained(run: str) -> sv.VAE:
    """Loads the VAE of a run or a file, as M1. Raises InputError for another model."""
    m1 = sv.load(run)
    if type(m1) is not sv.VAE:
        raise InputError("train", "a VAE as --m1", f"a {type(m1).__name__}")
    return m1
