"""Networks of encoders and classifiers that read counts, missing entries, or a class beside x."""

from __future__ import annotations

from typing import Any

from scratchvae import ops
from scratchvae.autodiff import Tensor
from scratchvae.nn import Module, glorot_uniform
from scratchvae.nn.linear import ACTIVATIONS, check_activation
from scratchvae.noise import Noise


class OfLogCounts(Module):
    """f(log(1 + x)),   x counts: f reads counts on the scale on which a Poisson decoder gives its rates

    Parameters
    ----------
    network : Module
        f, called with log(1 + x) and, where there is one, the indicator of a class.

    Attributes
    ----------
    network : Module
        f.

    See Also
    --------
    PoissonDecoder, NegativeBinomialDecoder : the decoders of counts.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> layer, x = sv.nn.Linear(2, 3, sv.Noise(0)), numpy.array([[0.0, 100.0]])
    >>> bool((sv.models.OfLogCounts(layer)(x).data == layer(numpy.log1p(x)).data).all())
    True
    """

    def __init__(self, network: Any) -> None:
        self.network = network

    def __call__(self, x: Any, *y: Any) -> Any:
        return self.network(ops.log1p(x), *y)

    def __repr__(self) -> str:
        return f"{self.network} of log(1 + x)"


class OfKnownEntries(Module):
    """f(x with 0 for missing entries, and beside it 1 for every known entry, 0 for the others)

    Without the indicators a missing entry could not be told from one that is 0.

    Sources: zeros as in Nazabal et al. (2020), "Handling incomplete heterogeneous data using VAEs", and Mattei &
    Frellsen (2019), "MIWAE"; the indicators as in Ivanov, Figurnov & Vetrov (2019), "Variational autoencoder with
    arbitrary conditioning".

    Parameters
    ----------
    network : Module
        f, (N, 2 D) -> (N, output); for images, a network of twice the channels.

    Attributes
    ----------
    network : Module
        f.

    See Also
    --------
    DecoderOfKnownEntries : p(x | z) without the missing entries.
    scratchvae.distributions.KnownEntries : the distribution of the known entries.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> layer, x = sv.nn.Linear(4, 3, sv.Noise(0)), numpy.array([[numpy.nan, 5.0]])
    >>> read = numpy.array([[0.0, 5.0, 0.0, 1.0]])
    >>> bool((sv.models.OfKnownEntries(layer)(x).data == layer(read).data).all())
    True
    """

    def __init__(self, network: Any) -> None:
        self.network = network

    def __call__(self, x: Any) -> Any:
        known = x == x  # NaN is not; x may be a Tensor, of pseudo-inputs say
        return self.network(ops.concatenate([ops.where(known, x, 0.0), known.astype(x.dtype)], axis=-1))

    def __repr__(self) -> str:
        return f"{self.network} of known entries and where they are"


class ClassConditional(Module):
    """f(x, y) = head(a(body(x) + y V)),   y the indicator of a class, (..., C);   V (C, H), a an activation

    With a Linear body this is a perceptron of x and y side by side. The body runs once for each x, however many classes
    it meets: x (N, D) and y (C, 1, C), every class for every row, give (C, N, H) and then the head's (C, N, output).

    Parameters
    ----------
    body : Module
        (N, D) -> (N, H).
    head : Module
        (..., H) -> (..., output).
    shape : (int, int)
        C and H.
    noise : Noise
        The source of the initial V.
    activation : str
        a, as in `scratchvae.nn.MLP`.

    Attributes
    ----------
    body, head, activation
        The parameters of these names.
    class_weight : Tensor (C, H)
        V.

    See Also
    --------
    GaussianEncoder : makes q(z | x, y) of such a network.
    scratchvae.SemiSupervisedVAE : the model that it belongs to.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> body, head = sv.nn.Linear(6, 4, sv.Noise(0)), sv.nn.Linear(4, 2, sv.Noise(1))
    >>> network = sv.models.ClassConditional(body, head, (3, 4), sv.Noise(2))
    >>> x, every_class = numpy.zeros((5, 6), numpy.float32), numpy.eye(3, dtype=numpy.float32)[:, None]
    >>> network(x, every_class).shape
    (3, 5, 2)
    """

    def __init__(self, body: Any, head: Any, shape: tuple[int, int], noise: Noise, activation: str = "relu") -> None:
        check_activation("ClassConditional", activation)
        self.activation, self.body, self.head = activation, body, head
        self.class_weight = Tensor(glorot_uniform(noise, shape))

    def __call__(self, x: Any, y: Any) -> Any:
        h = self.body(x) + ops.matmul(y, self.class_weight)
        return self.head(ACTIVATIONS[self.activation](h))

    def __repr__(self) -> str:
        entering = " -> ".join(map(str, self.class_weight.shape))
        return f"{self.head} of {self.activation}({self.body} + y ({entering}))"
