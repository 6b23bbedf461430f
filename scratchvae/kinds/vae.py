"""The kinds mlp and conv: variational autoencoders of images with multilayer perceptrons or convolutions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import scratchvae as sv
from scratchvae import binarization
from scratchvae.data import Dataset
from scratchvae.errors import DataError, InputError
from scratchvae.kinds import pictures
from scratchvae.kinds.kind import Kind, Settings, folder_form
from scratchvae.kinds.option import COUNT, Option, deviation, truth
from scratchvae.kinds.shared_options import COMMON, FOLDER, FREE_BITS
from scratchvae.models import LIKELIHOODS, PRIORS
from scratchvae.models.real_decoders import RealDecoder

LATENT = Option("latent", "number of latent dimensions, K", 2, COUNT, metavar="K")
HIDDEN = Option(
    "hidden",
    "widths of the encoder's hidden layers; the decoder has them in reverse order",
    [300, 150],
    COUNT,
    metavar="H",
    several="*",
)
CHANNELS = Option(
    "channels",
    "number of channels after each stride-2 convolution; the decoder has them in reverse order",
    [32, 64],
    COUNT,
    metavar="C",
    several="+",
)
ACTIVATION = Option(
    "activation", "activation of the hidden layers", "tanh", choices=tuple(sorted(sv.nn.linear.ACTIVATIONS))
)
LIKELIHOOD = (
    Option("likelihood", "likelihood p(x | z)", "bernoulli", choices=tuple(LIKELIHOODS)),
    Option(
        "std",
        "scale of a gaussian, laplace or student-t likelihood: a fixed standard deviation, learned (one for all "
        "pixels), or decoder (the decoder outputs one for each pixel)",
        0.1,
        deviation,
    ),
    Option(
        "binarize",
        "how grey values are made 0 or 1: none keeps them; threshold at 0.5; static draws each value once; dynamic "
        "draws it anew for every use",
        "none",
        choices=binarization.MODES,
    ),
)
PRIOR = (
    Option(
        "prior",
        "prior p(z): normal is Normal(0, I), mixture a learned mixture of Gaussians, vamp the VampPrior",
        "normal",
        choices=tuple(PRIORS),
    ),
    Option(
        "components",
        "number of Gaussians of --prior mixture, or of pseudo-inputs of --prior vamp",
        100,
        COUNT,
        metavar="C",
    ),
)
CODES = Option(
    "codes",
    "draw z from a mixture of C Gaussians fitted to the codes of the training images, instead of from the prior",
    None,
    COUNT,
    metavar="C",
)
MOST_CODES = 10_000
"""The most training images to whose codes the mixture is fitted."""

MISSING = Option(
    "missing", "treat NaN and empty cells as missing entries, and learn from the known entries", False, truth
)


DRAWS = Option(
    "draws", "write draws x ~ p(x | z), with the noise of the data, instead of means of p(x | z)", False, truth
)


class ImageKind(Kind):
    """An ImageKind is a kind whose data are images, and whose constructor takes the arguments of VAE."""

    sampling = (DRAWS,)

    def reading(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the size and colour of the images of a folder, and whether entries may be missing."""
        form = folder_form(options["image_size"], options["image_colour"], options["image_fit"])
        return form | ({"missing": True} if options.get("missing") else {})

    def reading_another(self, options: Mapping[str, Any], path: str, model: Any) -> dict[str, Any]:
        """Returns the size and colour of the run's images, to which the images of another folder are converted."""
        if not Path(path).is_dir() or len(options.get("image_shape", ())) != 3:
            return {"missing": model.missing}
        *size, channels = options["image_shape"]
        return folder_form(size, "grey" if channels == 1 else "colour", options["image_fit"])

    def arguments(self, settings: Settings) -> dict[str, Any]:
        """Returns the arguments that the constructors of all image models take."""
        names = ("activation", "likelihood", "std", "binarize", "seed")
        return {"latent_size": settings["latent"]} | {name: settings[name] for name in names}

    def refuse(self, settings: Settings) -> None:
        """Raises InputError for settings that the constructor refuses; a model of the smallest size tells."""
        super().refuse(settings)
        if "std" in settings.given and not issubclass(LIKELIHOODS[settings["likelihood"]], RealDecoder):
            expected = "--std with a likelihood of real numbers, gaussian, laplace or student-t"
            raise InputError("train", expected, f"--likelihood {settings['likelihood']}")
        self.smallest(settings)

    def smallest(self, settings: Settings) -> Any:
        """Returns a model with these settings but one unit in each layer."""
        raise NotImplementedError


class VAEKind(ImageKind):
    """A VAEKind is a kind whose prior may be learned, and whose data may have missing entries."""

    model = sv.VAE
    pictures = pictures.OF_A_VAE
    sampling = (DRAWS, CODES)
    imputes = True

    def arguments(self, settings: Settings) -> dict[str, Any]:
        """Returns the arguments of all image models, and the prior: Normal(0, I) for the M1 of m1+m2."""
        names = {"prior": "prior", "n_components": "components"}
        return super().arguments(settings) | {
            argument: settings[option] for argument, option in names.items() if option in settings
        }

    def refuse(self, settings: Settings) -> None:
        """Raises InputError also for --components of a normal prior, and for --free-bits with another prior."""
        if settings.get("free_bits") and settings.get("prior", "normal") != "normal":
            raise InputError(
                "train", "--free-bits with --prior normal", f"--prior {settings['prior']}", "--kl-floor takes any"
            )
        if "components" in settings.given and settings["prior"] == "normal":
            raise InputError("train", "--components with --prior mixture or vamp", "--prior normal")
        super().refuse(settings)

    def sampling_arguments(
        self, model: Any, asked: dict[str, Any], train: Callable[[], Dataset], seed: int
    ) -> dict[str, Any]:
        """Fits the mixture of --codes to the codes of at most MOST_CODES training images, evenly chosen."""
        if "codes" not in asked:
            return asked
        x = self.observations(train())
        x = x[:: math.ceil(len(x) / MOST_CODES)]
        return asked | {"codes": sv.fit_codes(model, x, asked["codes"], seed)}

    def write_samples(self, path: Path, model: Any, n: int, seed: int, shape: Any, **asked: Any) -> list[str]:
        """Writes samples as Kind does, and adds a line if z is drawn from the mixture of --codes."""
        lines = super().write_samples(path, model, n, seed, shape, **asked)
        codes = asked.get("codes")
        note = [] if codes is None else [f"z from {codes.n_components} Gaussians fitted to codes, not from the prior"]
        return note + lines


def refuse_vectors(kind: Kind, dataset: Dataset) -> None:
    """Raises DataError for vectors, since a convolution needs images."""
    if dataset.images.ndim == 2:
        raise DataError(f"--model {kind.name}", "images (N, H, W, C)", f"vectors {dataset.images.shape}")


class MultilayerVAE(VAEKind):
    """MultilayerVAE is the kind mlp: a VAE of two multilayer perceptrons."""

    name, summary = "mlp", "VAE with multilayer perceptrons"
    options = (*COMMON, FREE_BITS, *FOLDER, LATENT, HIDDEN, ACTIVATION, *LIKELIHOOD, MISSING, *PRIOR)

    def build(self, settings: Settings, train: Dataset, part: Callable[..., Any]) -> sv.VAE:
        """Builds VAE.mlp for images of this size; the M1 of m1+m2 takes complete images alone."""
        missing, hidden = settings.get("missing", False), settings["hidden"]
        return sv.VAE.mlp(train.images[0].size, hidden=hidden, missing=missing, **self.arguments(settings))

    def smallest(self, settings: Settings) -> sv.VAE:
        """Returns a model with these settings but one unit in each layer."""
        return sv.VAE.mlp(1, hidden=[1] * len(settings["hidden"]), **self.arguments(settings) | {"latent_size": 1})


class ConvolutionalVAE(VAEKind):
    """ConvolutionalVAE is the kind conv: a VAE of convolutional networks."""

    name, summary = "conv", "VAE with convolutional networks"
    options = (*COMMON, FREE_BITS, *FOLDER, LATENT, CHANNELS, ACTIVATION, *LIKELIHOOD, MISSING, *PRIOR)

    def check(self, settings: Settings, train: Dataset, test: Dataset) -> None:
        """Raises DataError also for vectors."""
        super().check(settings, train, test)
        refuse_vectors(self, train)

    def build(self, settings: Settings, train: Dataset, part: Callable[..., Any]) -> sv.VAE:
        """Builds VAE.convolutional for images of this shape."""
        shape = list(train.images.shape[1:])
        missing, channels = settings["missing"], settings["channels"]
        return sv.VAE.convolutional(shape, channels=channels, missing=missing, **self.arguments(settings))

    def smallest(self, settings: Settings) -> sv.VAE:
        """Returns a model with these settings but one unit in each layer."""
        return sv.VAE.convolutional((2, 2, 1), channels=[1], **self.arguments(settings) | {"latent_size": 1})
