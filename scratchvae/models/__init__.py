"""The models of the course deck, which docs/deck.md introduces."""

from scratchvae.models.classifiers import Classifier
from scratchvae.models.decoders import (
    BernoulliDecoder,
    Decoder,
    DecoderOfKnownEntries,
    NegativeBinomialDecoder,
    PoissonDecoder,
)
from scratchvae.models.encoders import GaussianEncoder
from scratchvae.models.likelihoods import LIKELIHOODS
from scratchvae.models.molecule_vae import MoleculeVAE
from scratchvae.models.priors import PRIORS, VampPrior
from scratchvae.models.readers import ClassConditional, OfKnownEntries, OfLogCounts
from scratchvae.models.real_decoders import GaussianDecoder, LaplaceDecoder, StudentTDecoder
from scratchvae.models.semisupervised_vae import SemiSupervisedVAE
from scratchvae.models.sketch_networks import SketchDecoder, SketchEncoder
from scratchvae.models.sketch_rnn import SketchRNN
from scratchvae.models.stacked_vae import StackedVAE
from scratchvae.models.symbol_networks import (
    ConvolutionalSymbolEncoder,
    PropertyDecoder,
    RecurrentSymbolEncoder,
    SymbolDecoder,
)
from scratchvae.models.table_networks import RowDecoder, RowReader
from scratchvae.models.table_vae import TableVAE
from scratchvae.models.vae import VAE

__all__ = [
    "LIKELIHOODS",
    "PRIORS",
    "VAE",
    "BernoulliDecoder",
    "ClassConditional",
    "Classifier",
    "ConvolutionalSymbolEncoder",
    "Decoder",
    "DecoderOfKnownEntries",
    "GaussianDecoder",
    "GaussianEncoder",
    "LaplaceDecoder",
    "MoleculeVAE",
    "OfKnownEntries",
    "NegativeBinomialDecoder",
    "OfLogCounts",
    "PoissonDecoder",
    "PropertyDecoder",
    "RecurrentSymbolEncoder",
    "RowDecoder",
    "RowReader",
    "SemiSupervisedVAE",
    "SketchDecoder",
    "SketchEncoder",
    "SketchRNN",
    "StackedVAE",
    "StudentTDecoder",
    "SymbolDecoder",
    "VampPrior",
    "TableVAE",
]
