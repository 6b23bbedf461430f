"""The classifier of a model with classes: a network whose output becomes the probabilities of the classes."""

from __future__ import annotations

from typing import Any

from scratchvae.distributions import Categorical
from scratchvae.nn import Module


class Classifier(Module):
    """q(y | x) = Categorical(softmax(f(x))),   where the network f gives the logits

    Source: deck, "Generative model and inference networks".

    Parameters
    ----------
    network : Module
        f, (N, D) -> (N, C).

    Attributes
    ----------
    network : Module
        f.

    See Also
    --------
    ClassConditional : a network that takes the class beside x.
    scratchvae.SemiSupervisedVAE : the model that q(y | x) belongs to.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> classifier = sv.models.Classifier(sv.nn.MLP([6, 4, 3], sv.Noise(0)))
    >>> classifier(numpy.zeros((5, 6), numpy.float32)).mean.shape
    (5, 3)
    """

    def __init__(self, network: Any) -> None:
        self.network = network

    def __call__(self, x: Any) -> Categorical:
        return Categorical(self.network(x))

    def __repr__(self) -> str:
        return f"Categorical(logits = {self.network})"
