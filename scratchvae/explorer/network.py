"""A decoder as plain values: a list of steps that decoder.js carries out on the page, and the weights they refer to.

    {"step": "affine", "weight": {"start": 0, "shape": [2, 150]}, "bias": {"start": 300, "shape": [150]}}

The class of a module determines its steps. A module of a class outside this package is refused, as the page cannot
compute it.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any

import numpy

from scratchvae.backend import to_numpy
from scratchvae.errors import InputError
from scratchvae.models.decoders import (
    LARGEST_RATE,
    BernoulliDecoder,
    Decoder,
    DecoderOfKnownEntries,
    NegativeBinomialDecoder,
    PoissonDecoder,
)
from scratchvae.models.molecule_vae import MoleculeVAE
from scratchvae.models.real_decoders import GaussianDecoder, LaplaceDecoder, StudentTDecoder
from scratchvae.models.semisupervised_vae import SemiSupervisedModel
from scratchvae.models.sketch_networks import LARGEST_R, SketchDecoder, SketchHead
from scratchvae.models.sketch_rnn import LONGEST
from scratchvae.models.stacked_vae import StackedVAE
from scratchvae.models.symbol_networks import PropertyDecoder, SymbolDecoder
from scratchvae.nn import GRU, LSTM, MLP, Linear, TransposedConvolutionalNetwork

Step = dict[str, Any]


class Weights:
    """Weights hold arrays as numbers of one type, one array after the other.

    Sketches and strings are decoded step by step, and rounding in one step would change the next: their decoders need
    float32. With float16, the outputs of other decoders differ from the model's by about 3e-4.

    Parameters
    ----------
    dtype : str
        "float16" or "float32".
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = numpy.dtype(dtype)
        self._parts: list[numpy.ndarray] = []
        self._n_numbers = 0

    @classmethod
    def of(cls, model: Any) -> Weights:
        """Returns empty weights of the type that the decoder of this model needs."""
        return cls("float32" if isinstance(model.decoder, (SketchDecoder, SymbolDecoder)) else "float16")

    def add(self, array: Any) -> dict[str, Any]:
        """Appends an array, and returns its start, in numbers, and its shape. Raises InputError as `packed` does."""
        array = numpy.asarray(to_numpy(getattr(array, "data", array)))
        place = {"start": self._n_numbers, "shape": list(array.shape)}
        self._parts.append(array.reshape(-1))
        self._n_numbers += array.size
        return place

    def written(self) -> dict[str, str]:
        """Returns all numbers in the form that `packed` gives."""
        return packed(numpy.concatenate(self._parts), self.dtype)


def packed(numbers: Any, dtype: Any = numpy.float16) -> dict[str, str]:
    """Returns {"type": "float16", "base64": ...}, numbers in the form that the page reads, low bytes first.

    Raises InputError for NaN, and for numbers beyond the largest of the type, 65504 for float16.
    """
    numbers, dtype = numpy.asarray(numbers), numpy.dtype(dtype)
    largest = float(numpy.finfo(dtype).max)
    if not (numpy.abs(numbers) <= largest).all():
        raise InputError("explorer", f"weights and codes from -{largest:g} to {largest:g}", "larger numbers, or NaN")
    content = numbers.astype(dtype.newbyteorder("<")).tobytes()
    return {"type": dtype.name, "base64": base64.b64encode(content).decode()}


# ---- networks


def _linear(linear: Linear, weights: Weights) -> list[Step]:
    return [{"step": "affine", "weight": weights.add(linear.weight), "bias": weights.add(linear.bias)}]


def _mlp(mlp: MLP, weights: Weights) -> list[Step]:
    written = _linear(mlp.layers[0], weights)
    for layer in mlp.layers[1:]:
        written += [{"step": mlp.activation}, *_linear(layer, weights)]
    return written


def _transposed(network: TransposedConvolutionalNetwork, weights: Weights) -> list[Step]:
    written = _linear(network.linear, weights)
    for i, convolution in enumerate(network.convolutions):
        written.append({"step": network.activation})
        written.append(
            {
                "step": "convolution transposed",
                "kernel": weights.add(convolution.kernel),
                "bias": weights.add(convolution.bias),
                "from": list(network.shapes[i]),
                "to": list(network.shapes[i + 1]),
                "stride": convolution.stride,
                "padding": convolution.padding,
            }
        )
    return written


NETWORKS: dict[type, Callable[[Any, Weights], list[Step]]] = {
    Linear: _linear,
    MLP: _mlp,
    TransposedConvolutionalNetwork: _transposed,
}
"""Class of network -> the function that writes its steps."""


def network_steps(network: Any, weights: Weights) -> list[Step]:
    """Returns the steps of a network. Raises InputError for a network of another class."""
    if type(network) not in NETWORKS:
        raise _refusal(network)
    return NETWORKS[type(network)](network, weights)


# ---- likelihoods: from the output of the network to the mean of x


def _mean_steps(decoder: Decoder, last: Step) -> list[Step]:
    """Returns the steps from the output of the network's last step to the mean of p(x | z)."""
    if type(decoder) is BernoulliDecoder:
        return [{"step": "sigmoid"}]
    if type(decoder) is PoissonDecoder:
        return [{"step": "rate", "log largest": math.log(LARGEST_RATE)}]
    if type(decoder) is NegativeBinomialDecoder:
        half = {"step": "first half", "channels": _outputs(last) // 2}
        return [half, {"step": "rate", "log largest": math.log(LARGEST_RATE)}]
    if type(decoder) in (GaussianDecoder, LaplaceDecoder, StudentTDecoder):
        return [{"step": "first half", "channels": _outputs(last) // 2}] if decoder.std == "decoder" else []
    raise _refusal(decoder)


def _outputs(last: Step) -> int:
    """Returns the number of outputs of a step per pixel, or per row."""
    return last["to"][-1] if "to" in last else last["bias"]["shape"][0]


def _decoder_steps(decoder: Any, weights: Weights) -> list[Step]:
    """Returns the steps from z to the mean of p(x | z)."""
    if type(decoder) is DecoderOfKnownEntries:
        decoder = decoder.decoder
    if not isinstance(decoder, Decoder):
        raise _refusal(decoder)
    steps = network_steps(decoder.network, weights)
    return steps + _mean_steps(decoder, steps[-1])


# ---- recurrent decoders


def _lstm(lstm: LSTM, weights: Weights) -> dict[str, Any]:
    names = ["weight", "recurrent", "bias"]
    names += ["gate_scale", "cell_scale", "cell_shift"] if lstm.layer_norm else []
    return {name: weights.add(getattr(lstm, name)) for name in names}


def _sketch_decoder(decoder: SketchDecoder, weights: Weights) -> dict[str, Any]:
    """Describes the decoder that draws a sketch, with scale and smallest_std as plain numbers."""
    if type(decoder) is not SketchDecoder or type(decoder.lstm) is not LSTM or type(decoder.head) is not SketchHead:
        raise _refusal(decoder)
    return {
        "kind": "sketch",
        "initial": {"step": "affine", "weight": weights.add(decoder.initial_weight)}
        | {"bias": weights.add(decoder.initial_bias)},
        "constant": weights.add(decoder.constant_weight),
        "lstm": _lstm(decoder.lstm, weights),
        "head": _linear(decoder.head.linear, weights)[0],
        "mixtures": decoder.head.mixtures,
        "log smallest": math.log(decoder.head.smallest_std),
        "largest r": LARGEST_R,
        "scale": float(decoder.scale),
        "longest": LONGEST,
    }


def _molecule_decoder(model: MoleculeVAE, weights: Weights) -> dict[str, Any]:
    """Describes the decoder of strings and the predictor of properties, with means and units as plain numbers."""
    decoder, properties = model.decoder, model.property_decoder
    if type(decoder) is not SymbolDecoder or type(decoder.gru) is not GRU:
        raise _refusal(decoder)
    written = {
        "kind": "molecule",
        "initial": _linear(decoder.initial, weights)[0],
        "constant": weights.add(decoder.constant_weight),
        "gru": {
            name: weights.add(getattr(decoder.gru, name)) for name in ("weight", "recurrent", "bias", "recurrent_bias")
        },
        "head": _linear(decoder.head, weights)[0],
        "symbols": ["", *model.alphabet.symbols],
        "longest": model.longest,
    }
    if properties is not None:
        if type(properties) is not PropertyDecoder:
            raise _refusal(properties)
        written["properties"] = {
            "names": list(properties.names),
            "steps": network_steps(properties.network, weights),
            "centre": to_numpy(properties.centre).tolist(),
            "unit": to_numpy(properties.unit).tolist(),
        }
    return written


def written_decoder(model: Any, weights: Weights) -> dict[str, Any]:
    """Returns the decoder of a model as plain values that refer to arrays added to the weights.

    Raises InputError for a decoder with a network or a likelihood that is not of this package.
    """
    if isinstance(model, MoleculeVAE):
        return _molecule_decoder(model, weights)
    if isinstance(model.decoder, SketchDecoder):
        return _sketch_decoder(model.decoder, weights)
    if isinstance(model, StackedVAE):
        steps = _decoder_steps(model.second.decoder, weights)
        steps.append({"step": "scatter", "units": model.units.tolist(), "size": model.first.latent_size})
        steps += _decoder_steps(model.first.decoder, weights)
    else:
        steps = _decoder_steps(model.decoder, weights)
    n_classes = model.n_classes if isinstance(model, SemiSupervisedModel) else 0
    return {"kind": "mean", "classes": n_classes, "steps": steps}


def _refusal(part: Any) -> InputError:
    expected = "a decoder of this package's networks, Linear, MLP, TransposedConvolutionalNetwork, LSTM or GRU"
    return InputError("explorer", expected, f"a {type(part).__name__}", "the page computes no others")
