"""The semi-supervised variational autoencoder, known as M2."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar

import numpy
from numpy.typing import ArrayLike

from scratchvae import ops
from scratchvae.arrays import Array, as_array
from scratchvae.autodiff import no_grad
from scratchvae.backend import array_module, asarray
from scratchvae.distributions import Categorical, Normal, kl
from scratchvae.distributions.event import draw, log_prob, of_shape
from scratchvae.errors import DataError, InputError
from scratchvae.models.classifiers import Classifier
from scratchvae.models.configuration import Size, constructor
from scratchvae.models.encoders import GaussianEncoder
from scratchvae.models.latent_variable_model import LatentVariableModel
from scratchvae.models.likelihoods import decoder_named
from scratchvae.models.readers import ClassConditional
from scratchvae.models.vae import log_mean_exp
from scratchvae.nn import MLP, ConvolutionalNetwork, Linear, Module, TransposedConvolutionalNetwork
from scratchvae.noise import Noise
from scratchvae.objectives import Record, each, semi_supervised


class SemiSupervisedModel(LatentVariableModel):
    """p(x, y, z) = p(x | y, z) p(y) p(z),   q(y, z | x) = q(y | x) q(z | x, y): the equations of a model with classes.

    A derived class defines the terms of L, U and J~ in `supervised_terms`, `elbo_terms` and `objective_terms`; and
    `classify`, `encode` and `decode`. One without a `classifier`, q(y | x), has a `draw_encoded` of its own.

    Attributes
    ----------
    class_prior, prior : Distribution
        p(y) and p(z).

    See Also
    --------
    SemiSupervisedVAE, StackedVAE : the two models of this form.
    """

    objectives: ClassVar = {"elbo": semi_supervised}

    def supervised(self, x: Any, y: Any, noise: Any, n_samples: int = 1) -> Any:
        """L(x, y) = E_q(z | x, y)[log p(x | y, z)] + log p(y) - KL(q(z | x, y) || p(z)), in nats.

        x (N, D), y (N,) -> (N,). A lower bound of log p(x, y).
        Source: deck, "Supervised ELBO"; Kingma et al. (2014), equation 6.
        """
        y = self.labels(y, (len(x),))
        reconstruction, divergence = self.supervised_terms(x, y, noise, n_samples)
        return reconstruction - divergence

    def unsupervised(
        self, x: Any, noise: Any, n_samples: int = 1, kl_weight: float = 1.0, record: Record = each
    ) -> Any:
        """U(x) = sum over y of q(y | x) L(x, y) + H(q(y | x)), in nats.   (N, D) -> (N,)

        A lower bound of log p(x), the ELBO of a model whose latent space includes y. kl_weight and record: as in
        VAE.elbo; the KL is that of q(y, z | x).

        Source: deck, "Unsupervised ELBO"; Kingma et al. (2014), equation 7.
        """
        reconstruction, divergence = self.elbo_terms(x, noise, n_samples)
        reconstruction, divergence = record(reconstruction=reconstruction, kl=divergence)
        return reconstruction - kl_weight * divergence

    elbo = unsupervised

    def objective(
        self,
        x: Any,
        y: Any,
        noise: Any,
        alpha: float,
        n_samples: int = 1,
        kl_weight: float = 1.0,
        record: Record = each,
    ) -> Any:
        """J~ = sum of L(x_i, y_i) + sum of U(x_j) + alpha sum of log q(y_i | x_i): its value by datapoint, in nats.

        x (N, D): first the labelled rows, then the others; y (N^s,): the labels of the former -> (N,)
        kl_weight and record: as in VAE.elbo. alpha: that of `fit`, but alpha N^s / N where record hands back means, as
        those of log q(y | x) are over the N^s labelled ones of N datapoints.

        Source: deck, "Semi-supervised objective function"; Kingma et al. (2014), equation 9.
        """
        if record is each:  # training has checked all labels before; to look at them would wait for the GPU
            y = as_array("labels", y)
            y = self.labels(y, (min(len(y), len(x)),))
        reconstruction, divergence, log_q = self.objective_terms(x, y, noise, n_samples)
        log_q = ops.pad(log_q, ((0, len(x) - len(y)),))  # zero for the others
        reconstruction, divergence, log_q = record(reconstruction=reconstruction, kl=divergence, classification=log_q)
        return reconstruction - kl_weight * divergence + alpha * log_q

    def importance_weighted_bound(self, x: Any, noise: Any, n_samples: int = 1) -> Any:
        """log (1/S) sum over s of w_s, in nats, as in VAE; `fit` does not train by it.   (N, D) -> (N,)"""
        return log_mean_exp(self.log_weights(x, noise, n_samples))

    def reconstruct(self, x: ArrayLike, draws: bool = False, seed: int = 0) -> Array:
        """Returns the mean of p(x | y, z) at the most probable y and the mean of q(z | x, y), in the shape of x.

        With draws=True every row is a draw x' ~ p(x' | y, z) at a draw of y and z ~ q(y, z | x).
        """
        x, noise = as_array("data", x), Noise(seed, device=self.device)
        if draws:
            return self.draw_decoded(*self.draw_encoded(x, noise), noise).reshape(x.shape)
        y = self.classify(x)
        return self.decode(self.encode(x, y).mean, y).mean.reshape(x.shape)

    def sample(self, n: int, seed: int = 0, y: ArrayLike | None = None, draws: bool = False) -> Array:
        """Returns the means of p(x | y, z) for n draws z ~ p(z), and y ~ p(y) unless y (n,) is given.   (n, D)

        With draws=True each is a draw x ~ p(x | y, z) at the same y and z.
        """
        z, noise = self.prior_draws(n, seed), Noise(seed, device=self.device)
        if y is None:
            y = self.class_prior.sample(noise.uniform("class", (n,)))
        return self.draw_decoded(z, y, noise) if draws else self.decode(z, y).mean

    def draw_encoded(self, x: Any, noise: Any) -> tuple[Any, Any]:
        """Returns z and y, drawn from q(y, z | x).   (N, ...) -> (N, K), (N,)"""
        x = self.network_input(x)
        with no_grad():
            y = self.classifier(x).sample(noise.uniform("class", x.shape[:1]))
        q = self.encode(x, y)
        return q.sample(noise.normal("z", q.shape)), y

    def draw_decoded(self, z: Any, y: Any, noise: Any) -> Any:
        """x ~ p(x | y, z), an array.   z (..., K), y (...) -> (..., D)"""
        return draw(self.decode(z, y), noise)

    def analogies(self, x: ArrayLike, y: ArrayLike | None = None) -> Array:
        """Returns the means of p(x | k, z) for all classes k at the mean z of q(z | x, y).   (N, D) -> (N, C, D)

        y: as in `encode`.   Source: deck, "Style transfer, or visual analogies".
        """
        z = self.encode(x, y).mean[:, None].repeat(self.n_classes, axis=1)
        k = array_module(z).arange(self.n_classes)
        return self.decode(z, array_module(z).broadcast_to(k, z.shape[:-1])).mean

    @property
    def n_classes(self) -> int:
        """C, the number of classes."""
        return self.class_prior.logits.shape[0]

    def labels(self, y: Any, shape: tuple[int, ...], lowest: int = 0) -> Any:
        """Returns labels on the model's device, as int64, checked: the entrance for y.

        Raises DataError for labels that are no array, of another shape, no integers, or outside lowest, ..., C - 1.
        """
        y = as_array("labels", y)
        if y.dtype.kind not in "iu":
            hint = "labels.astype(int)" if y.dtype.kind == "f" else ""
            hint = "an unknown label is -1, not NaN" if hint and bool((y != y).any()) else hint
            raise DataError("labels", "integers", str(y.dtype), hint)
        if tuple(y.shape) != tuple(shape):
            raise DataError("labels", f"an array of shape {tuple(shape)}, one for each row", str(tuple(y.shape)))
        if y.size and not lowest <= int(y.min()) <= int(y.max()) < self.n_classes:
            received = f"values from {int(y.min())} to {int(y.max())}"
            from_one = int(y.max()) == self.n_classes and not bool((y == 0).any())
            hint = "labels - 1 counts from 0" + (", and -1 stays" if int(y.min()) < 0 else "") if from_one else ""
            raise DataError("labels", f"classes from {lowest} to {self.n_classes - 1}", received, hint)
        return asarray(y, self.device).astype(numpy.int64, copy=False)


class SemiSupervisedVAE(SemiSupervisedModel):
    """p(x, y, z) = p(x | y, z) p(y) p(z),   q(y, z | x) = q(y | x) q(z | x, y): a VAE whose latent space includes y.

    class_prior  p(y) = Categorical, uniform                         y one of C classes
    prior        p(z) = Normal(0, I)                                 shape (K,)
    classifier   x (N, D) -> Categorical over y (N,)                 q(y | x)
    encoder      x (N, D), y (..., C) -> Normal over z (..., K)      q(z | x, y)
    decoder      y and z (..., C + K) -> distribution over x         p(x | y, z)

    Networks see a class as its indicator, (..., C), methods as an integer from 0 to C - 1.

    Source: deck, "Defining a joint generative model" to "Semi-supervised objective function"; Kingma, Mohamed, Rezende
    & Welling (2014), sections 2 and 3.1.

    Parameters
    ----------
    classifier, encoder, decoder : Module
        Called with arrays or Tensors, they return distributions; the decoder takes y and z side by side.
    n_classes, latent_size : int
        C and K.
    observed_shape, binarize
        As in VAE.

    Attributes
    ----------
    classifier, encoder, decoder, class_prior, prior
        The five distributions above.

    See Also
    --------
    StackedVAE : this model on the latent units of a VAE.
    scratchvae.VAEClassifier : this model in scikit-learn's conventions.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> model = sv.SemiSupervisedVAE.mlp(input_size=6, n_classes=3, latent_size=2, hidden=(4,))
    >>> x, y = numpy.ones((5, 6), numpy.float32), numpy.zeros(5, int)
    >>> model.classify(x).shape, model.encode(x, y).mean.shape
    ((5,), (5, 2))
    """

    classifier: Any
    class_prior: Categorical

    def __init__(
        self,
        classifier: Module,
        encoder: Module,
        decoder: Module,
        n_classes: int,
        latent_size: int,
        observed_shape: Sequence[int] | None = None,
        binarize: str = "none",
    ) -> None:
        if not isinstance(classifier, Module):
            raise InputError("SemiSupervisedVAE", "a Module as classifier", type(classifier).__name__)
        if not isinstance(n_classes, Integral) or n_classes < 1:
            raise InputError("SemiSupervisedVAE", "n_classes of at least 1", repr(n_classes))
        self.class_prior = Categorical(numpy.zeros(n_classes, dtype=numpy.float32))
        self.classifier = classifier
        self.set_networks(encoder, decoder, latent_size, observed_shape, binarize)

    @classmethod
    @constructor
    def mlp(
        cls,
        input_size: Size = 784,
        n_classes: Size = 10,
        latent_size: Size = 50,
        hidden: Sequence[Size] = (500,),
        activation: str = "relu",
        likelihood: str = "bernoulli",
        std: float | str = 0.1,
        binarize: str = "none",
        seed: int = 0,
    ) -> SemiSupervisedVAE:
        """Returns a model of perceptrons: D -> hidden -> C; D and C -> hidden -> 2 K; C + K -> reversed hidden -> D.

        hidden has at least one width, n_classes is C, and the other parameters are those of VAE.mlp.
        """
        if not isinstance(hidden, Sequence) or len(hidden) == 0:
            raise InputError("SemiSupervisedVAE.mlp", "hidden as widths, at least one", repr(hidden), "hidden=(500,)")
        decoder = decoder_named("SemiSupervisedVAE.mlp", likelihood)
        outputs = decoder.outputs_per_entry(std) * input_size
        noise, inner = Noise(seed), Noise(seed).child("encoder")
        body = Linear(input_size, hidden[0], inner.child("x"))
        head = MLP([*hidden, 2 * latent_size], inner.child("head"), activation)
        classify = MLP([input_size, *hidden, n_classes], noise.child("classifier"), activation)
        encode = ClassConditional(body, head, (n_classes, hidden[0]), inner.child("y"), activation)
        decode = MLP([n_classes + latent_size, *reversed(hidden), outputs], noise.child("decoder"), activation)
        classifier, encoder = Classifier(decoder.reader(classify)), GaussianEncoder(decoder.reader(encode))
        return cls(classifier, encoder, decoder.of(decode, std, 1), n_classes, latent_size, (input_size,), binarize)

    @classmethod
    @constructor
    def convolutional(
        cls,
        image_shape: Sequence[Size] = (28, 28, 1),
        n_classes: Size = 10,
        latent_size: Size = 50,
        channels: Sequence[Size] = (32, 64),
        hidden_size: Size = 128,
        activation: str = "relu",
        likelihood: str = "bernoulli",
        std: float | str = 0.1,
        binarize: str = "none",
        seed: int = 0,
    ) -> SemiSupervisedVAE:
        """Returns a model of convolutional networks for images (N, H, W, C), as in VAE.convolutional.

        The class enters the encoder in a layer of hidden_size units behind the convolutions, and the decoder beside z.
        """
        decoder = decoder_named("SemiSupervisedVAE.convolutional", likelihood)
        noise, inner = Noise(seed), Noise(seed).child("encoder")
        body = ConvolutionalNetwork(image_shape, channels, hidden_size, inner.child("x"), activation)
        head = Linear(hidden_size, 2 * latent_size, inner.child("head"))
        classify = ConvolutionalNetwork(image_shape, channels, n_classes, noise.child("classifier"), activation)
        encode = ClassConditional(body, head, (n_classes, hidden_size), inner.child("y"), activation)
        output_shape = (*image_shape[:2], decoder.outputs_per_entry(std) * image_shape[2])
        decode = TransposedConvolutionalNetwork(
            n_classes + latent_size, channels, output_shape, noise.child("decoder"), activation
        )
        classifier, encoder = Classifier(decoder.reader(classify)), GaussianEncoder(decoder.reader(encode))
        return cls(classifier, encoder, decoder.of(decode, std, 3), n_classes, latent_size, image_shape, binarize)

    def supervised_terms(self, x: Any, y: Any, noise: Any, n_samples: int = 1) -> tuple[Any, Any]:
        """E_q(z | x, y)[log p(x | y, z)] and KL(q(z | x, y) || p(z)) - log p(y), whose difference is L(x, y), in nats.

        x (N, D), y (N,) -> (N,) twice.   y (C, 1), every class for every row -> (C, N) twice
        """
        x = self.rows(x)
        q, z, likelihood = self._inferred(x, y, noise, n_samples)
        return ops.mean(log_prob(likelihood, x, z), axis=0), kl(q, self.prior) - self.class_prior.log_prob(y)

    def elbo_terms(self, x: Any, noise: Any, n_samples: int = 1) -> tuple[Any, Any]:
        """E_q[log p(x | y, z)] and KL(q(y, z | x) || p(y, z)), whose difference is U(x), in nats.   -> (N,), (N,)"""
        x = self.rows(x)
        return self._over_classes(x, self.classifier(x), noise, n_samples)

    def _over_classes(self, x: Any, q: Categorical, noise: Any, n_samples: int) -> tuple[Any, Any]:
        """Returns both terms of L(x, y), averaged over q(y | x); from the second it subtracts H(q(y | x))."""
        weight = ops.transpose(q.mean)
        reconstruction, divergence = self.supervised_terms(x, self._every_class(x), noise, n_samples)
        return ops.sum(weight * reconstruction, axis=0), ops.sum(weight * divergence, axis=0) - q.entropy()

    def objective_terms(self, x: Any, y: Any, noise: Any, n_samples: int = 1) -> tuple[Any, Any, Any]:
        """Returns the terms of L for labelled rows, of U for the others, and log q(y | x).   -> (N,), (N,), (N^s,)"""
        x = self.rows(x)
        logits = self.classifier(x).logits
        labelled, others = slice(None, len(y)), slice(len(y), None)
        parts = []
        if len(y):
            parts.append(self.supervised_terms(x[labelled], y, noise.of_rows(labelled).child("labelled"), n_samples))
        if len(x) > len(y):
            q = Categorical(logits[others])
            parts.append(self._over_classes(x[others], q, noise.of_rows(others), n_samples))
        reconstruction, divergence = (ops.concatenate(terms) for terms in zip(*parts, strict=True))
        return reconstruction, divergence, Categorical(logits[labelled]).log_prob(y)

    def joint_log_weights(self, x: Any, y: Any, noise: Any, n_samples: int = 1) -> Any:
        """log w = log p(x | y, z) + log p(y) + log p(z) - log q(z | x, y) for draws z of q, in nats.   -> (S, N)

        The log of the mean of w estimates log p(x, y). Shapes of x and y as in `supervised_terms`.
        """
        x = self.rows(x)
        q, z, likelihood = self._inferred(x, y, noise, n_samples)
        return log_prob(likelihood, x, z) + self.class_prior.log_prob(y) + self.prior.log_prob(z) - q.log_prob(z)

    def log_weights(self, x: Any, noise: Any, n_samples: int = 1) -> Any:
        """log w = log sum over y of p(x, y, z_y) / q(z_y | x, y) for draws z_y of q(z | x, y), in nats.   -> (S, N)

        The log of the mean of w estimates log p(x).
        """
        return ops.logsumexp(self.joint_log_weights(x, self._every_class(x), noise, n_samples), axis=1)

    def _inferred(self, x: Any, y: Any, noise: Any, n_samples: int) -> tuple[Normal, Any, Any]:
        """Returns q(z | x, y), draws z of it, (S, ..., N, K), and p(x | y, z)."""
        shape = (*numpy.broadcast_shapes(y.shape, x.shape[:1]), self.latent_size)
        q = of_shape("encoder", self.encoder(x, self._indicator(y)), shape)
        z = q.reparameterize(noise.normal("z", (n_samples, *q.shape)))
        return q, z, self.decoder(self._beside(y, z))

    def _indicator(self, y: Any) -> Any:
        """Returns 1 where the class is y, else 0.   (...) -> (..., C)"""
        return (y[..., None] == array_module(y).arange(self.n_classes)).astype(self.prior.mean.dtype)

    def _beside(self, y: Any, z: Any) -> Any:
        """Returns the indicator of y and z side by side, as the decoder takes them.   -> (..., C + K)"""
        y = self._indicator(y)
        return ops.concatenate([array_module(y).broadcast_to(y, (*z.shape[:-1], y.shape[-1])), z], axis=-1)

    def _every_class(self, x: Any) -> Any:
        """Returns all classes, for every row.   (C, 1)"""
        return array_module(x).arange(self.n_classes)[:, None]

    def classify(self, x: ArrayLike) -> Array:
        """Returns the most probable class by q(y | x), as integers.   (N, ...) -> (N,)"""
        with no_grad():
            return self.classifier(self.network_input(x)).mean.argmax(axis=-1)

    def encode(self, x: ArrayLike, y: ArrayLike | None = None) -> Normal:
        """Returns q(z | x, y), holding arrays; without y at the most probable class.   -> Normal over (N, K)"""
        x = self.network_input(x)
        y = self.classify(x) if y is None else self.labels(y, x.shape[:1])
        with no_grad():
            return self.encoder(x, self._indicator(y))

    def decode(self, z: ArrayLike, y: ArrayLike) -> Any:
        """Returns p(x | y, z), holding arrays.   z (..., K), y (...) -> distribution over (..., D)"""
        z = self.latents(z)
        with no_grad():
            return self.decoder(self._beside(self.labels(y, z.shape[:-1]), z))

    def __repr__(self) -> str:
        observed = "..." if self.observed_shape is None else ", ".join(map(str, self.observed_shape))
        z, y = f"z ({self.latent_size},)", f"y of {self.n_classes} classes"
        return (
            f"{type(self).__name__}, {self.count():,} parameters{self.preparation()}\n"
            f"  p(y)         Categorical    {y}    no parameters\n"
            f"  p(z)         Normal(0, I)    {z}    no parameters\n"
            f"  p(x | y, z)  {self.decoder}    x ({observed})    {self.decoder.count():,} parameters\n"
            f"  q(y | x)     {self.classifier}    {y}    {self.classifier.count():,} parameters\n"
            f"  q(z | x, y)  {self.encoder}    {z}    {self.encoder.count():,} parameters"
        )
