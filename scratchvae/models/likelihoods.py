"""The likelihoods by name, as constructors, the command line and the checks know them."""

from __future__ import annotations

from scratchvae.errors import InputError
from scratchvae.models.decoders import BernoulliDecoder, Decoder, NegativeBinomialDecoder, PoissonDecoder
from scratchvae.models.real_decoders import GaussianDecoder, LaplaceDecoder, StudentTDecoder

LIKELIHOODS: dict[str, type[Decoder]] = {
    "bernoulli": BernoulliDecoder,
    "gaussian": GaussianDecoder,
    "laplace": LaplaceDecoder,
    "student-t": StudentTDecoder,
    "poisson": PoissonDecoder,
    "negative-binomial": NegativeBinomialDecoder,
}
"""Name -> the decoder of that likelihood."""


def decoder_named(operation: str, name: str) -> type[Decoder]:
    """Returns the class in LIKELIHOODS. Raises InputError, in the name of the operation, for another name."""
    if not isinstance(name, str) or name not in LIKELIHOODS:
        raise InputError(operation, f"a likelihood among {', '.join(LIKELIHOODS)}", repr(name))
    return LIKELIHOODS[name]
