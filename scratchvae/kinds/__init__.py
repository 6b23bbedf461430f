"""The kinds of model that the command line trains: KINDS maps each value of --model to its kind."""

from __future__ import annotations

from typing import Any

from scratchvae.errors import InputError
from scratchvae.kinds.kind import Kind, Settings
from scratchvae.kinds.molecules import Molecules
from scratchvae.kinds.option import Option
from scratchvae.kinds.pictures import Picture, Subject
from scratchvae.kinds.semi_supervised import M1M2, ConvolutionalM2, MultilayerM2
from scratchvae.kinds.sketch import Sketch
from scratchvae.kinds.table import Table
from scratchvae.kinds.vae import ConvolutionalVAE, MultilayerVAE

__all__ = ["KINDS", "Kind", "Option", "Picture", "Settings", "Subject", "kind_of"]

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        MultilayerVAE(),
        ConvolutionalVAE(),
        MultilayerM2(),
        ConvolutionalM2(),
        M1M2(),
        Sketch(),
        Molecules(),
        Table(),
    )
}
"""The value of --model -> its kind; the first is the default."""


def kind_of(model: Any) -> Kind:
    """Returns the first kind that builds models of this class. Raises InputError if there is none."""
    for kind in KINDS.values():
        if type(model) is kind.model:
            return kind
    raise InputError("kind of model", f"a model among {', '.join(KINDS)}", type(model).__name__)
