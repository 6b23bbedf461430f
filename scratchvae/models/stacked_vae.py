"""The stacked semi-supervised model, known as M1+M2: M2 with the latent variables of a VAE as its data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
from numpy.typing import ArrayLike

from scratchvae import ops
from scratchvae.arrays import Array
from scratchvae.autodiff import Tensor, no_grad
from scratchvae.backend import array_module, to_numpy
from scratchvae.distributions import Distribution, Normal
from scratchvae.distributions.distribution import as_likelihood
from scratchvae.distributions.event import draw, log_prob, of_shape
from scratchvae.errors import InputError
from scratchvae.models.configuration import Index, Size, constructor
from scratchvae.models.semisupervised_vae import SemiSupervisedModel, SemiSupervisedVAE
from scratchvae.models.vae import VAE


class StackedVAE(SemiSupervisedModel):
    """p(x, z1, y, z2) = p(x | z1) p(z1 | y, z2) p(y) p(z2),   q(z1, y, z2 | x) = q(z1 | x) q(y | z1) q(z2 | z1, y).

    first   p(x | z1) and q(z1 | x): a VAE that has been trained and does not change, known as M1
    second  the other factors: a SemiSupervisedVAE whose data are units of z1, known as M2

    The units of z1 that M2 does not model keep the prior Normal(0, I). A step of `fit` draws z1 anew and changes M2
    alone; methods that draw nothing take z1 at its mean. "z" in the methods of SemiSupervisedModel is z2 here; the
    classifier and the encoder are `second.classifier` and `second.encoder`, of z1.

    Source: deck, "How good is the classifier?"; Kingma, Mohamed, Rezende & Welling (2014), section 2, "Stacked
    generative semi-supervised model (M1+M2)", and section 4.1.

    Parameters
    ----------
    first : VAE
        M1.
    second : SemiSupervisedVAE
        M2. Its rows have as many entries as there are units, any real numbers. It moves to the first's device and type.
    units : sequence of int
        The units of z1 that M2 models, such as `sv.active_units(first, x)`.

    Attributes
    ----------
    first, second
        The parameters of these names.
    units : array of int
        The units of z1 that M2 models.

    See Also
    --------
    SemiSupervisedVAE : M2 of the data themselves.
    VAE : M1.
    scratchvae.active_units : finds the units that carry information.

    Examples
    --------
    >>> import numpy, scratchvae as sv
    >>> first = sv.VAE.mlp(input_size=6, latent_size=4, hidden=(5,))
    >>> model = sv.StackedVAE.mlp(first, units=[0, 2], n_classes=3, latent_size=2, hidden=(5,))
    >>> model.classify(numpy.ones((5, 6), numpy.float32)).shape
    (5,)
    """

    def __init__(self, first: VAE, second: SemiSupervisedVAE, units: Sequence[int]) -> None:
        units = _checked(first, units)
        if not isinstance(second, SemiSupervisedVAE):
            raise InputError("StackedVAE", "a SemiSupervisedVAE as second", type(second).__name__)
        if second.observed_shape != (len(units),):
            raise InputError("StackedVAE", f"a second model of rows {(len(units),)}", str(second.observed_shape))
        likelihood = as_likelihood(second.decoder.likelihood)
        if likelihood.support != Distribution.support:
            received = f"a {likelihood.__name__} likelihood"
            raise InputError("StackedVAE", "a second model of real numbers", received, '"gaussian"')
        self.first, self.second, self.units = first, second, units
        self.observed_shape, self.binarize = first.observed_shape, first.binarize
        if first.parameters():
            self.to(first.device, first.dtype)

    @classmethod
    @constructor
    def mlp(
        cls,
        first: VAE,
        units: Sequence[Index],
        n_classes: Size = 10,
        latent_size: Size = 50,
        hidden: Sequence[Size] = (500,),
        activation: str = "relu",
        seed: int = 0,
    ) -> StackedVAE:
        """Returns a model whose M2 is that of SemiSupervisedVAE.mlp; p(z1 | y, z2) has one deviation per unit."""
        settings = {"n_classes": n_classes, "latent_size": latent_size, "hidden": hidden, "activation": activation}
        units = _checked(first, units)
        second = SemiSupervisedVAE.mlp(len(units), likelihood="gaussian", std="decoder", seed=seed, **settings)
        return cls(first, second, units)

    def features(self, x: Any, noise: Any) -> tuple[Any, Any]:
        """Returns the units of a draw z1 ~ q(z1 | x) that M2 models, and M1's log weight.   (N, D) -> (N, units), (N,)

        The log weight is log p(x | z1) + log p(z1) - log q(z1 | x) - log Normal(units; 0, I), in nats: it excludes the
        prior of the units that M2 models. Adding a bound on log p(units) gives a bound on log p(x).
        """
        with no_grad():
            x = self.first.rows(x)
            q = of_shape("encoder", self.first.encoder(x), (len(x), self.first.latent_size))
            z1 = q.reparameterize(noise.normal("z1", q.shape))
            log_w = log_prob(self.first.decoder(z1), x, z1) + self.first.prior.log_prob(z1) - q.log_prob(z1)
            units = z1[:, self.units]
            return units, log_w - Normal(0 * units, 0 * units).log_prob(units)

    def supervised_terms(self, x: Any, y: Any, noise: Any, n_samples: int = 1) -> tuple[Any, Any]:
        """E_q[log p(x | z1) + log p(z1 | y, z2) - log q(z1 | x)] and KL(q(z2 | z1, y) || p(z2)) - log p(y), in nats.

        Their difference is L(x, y). z1 is drawn once, z2 n_samples times. Shapes are those of SemiSupervisedVAE.
        """
        units, log_w = self.features(x, noise)
        reconstruction, divergence = self.second.supervised_terms(units, y, noise, n_samples)
        return reconstruction + log_w, divergence

    def elbo_terms(self, x: Any, noise: Any, n_samples: int = 1) -> tuple[Any, Any]:
        """Returns the terms of U(x), in nats: those of L averaged over q(y | z1), and KL(q(y, z2 | z1) || p(y, z2))."""
        units, log_w = self.features(x, noise)
        reconstruction, divergence = self.second.elbo_terms(units, noise, n_samples)
        return reconstruction + log_w, divergence

    def objective_terms(self, x: Any, y: Any, noise: Any, n_samples: int = 1) -> tuple[Any, Any, Any]:
        """Returns the terms of L for labelled rows, of U for the others, and log q(y | z1), as in SemiSupervisedVAE."""
        units, log_w = self.features(x, noise)
        reconstruction, divergence, log_q = self.second.objective_terms(units, y, noise, n_samples)
        return reconstruction + log_w, divergence, log_q

    def joint_log_weights(self, x: Any, y: Any, noise: Any, n_samples: int = 1) -> Any:
        """log w = log p(x, z1, y, z2) / q(z1, z2 | x, y) for draws of z1 and z2, as in SemiSupervisedVAE, in nats."""
        return self._of_every_draw(
            lambda units, noise: self.second.joint_log_weights(units, y, noise), x, noise, n_samples
        )

    def log_weights(self, x: Any, noise: Any, n_samples: int = 1) -> Any:
        """log w = log sum over y of p(x, z1, y, z2) / q(z1, z2 | x, y), in nats, as in SemiSupervisedVAE. -> (S, N)"""
        return self._of_every_draw(self.second.log_weights, x, noise, n_samples)

    def _of_every_draw(self, log_weights: Any, x: Any, noise: Any, n_samples: int) -> Any:
        """Returns M2's log weights for each of n_samples draws of z1, plus M1's log weight."""
        draws = [noise.child(f"draw {s}") for s in range(n_samples)]
        parts = [(self.features(x, draw), draw) for draw in draws]
        return ops.concatenate([log_w + log_weights(units, draw) for (units, log_w), draw in parts])

    def classify(self, x: ArrayLike) -> Array:
        """Returns the most probable class by q(y | z1) at the mean z1 of q(z1 | x), as integers.   (N, ...) -> (N,)"""
        return self.second.classify(self._means(x))

    def encode(self, x: ArrayLike, y: ArrayLike | None = None) -> Normal:
        """Returns q(z2 | z1, y) at the mean z1 of q(z1 | x); y as in SemiSupervisedVAE.   -> Normal over (N, K)"""
        return self.second.encode(self._means(x), y)

    def decode(self, z: ArrayLike, y: ArrayLike) -> Any:
        """Returns p(x | z1) at the mean z1 of p(z1 | y, z).   z (..., K), y (...) -> distribution over (..., D)"""
        units = self.second.decode(z, y).mean
        z1 = array_module(units).zeros((*units.shape[:-1], self.first.latent_size), dtype=units.dtype)
        z1[..., self.units] = units
        return self.first.decode(z1)

    def draw_encoded(self, x: Any, noise: Any) -> tuple[Any, Any]:
        """Returns z2 and y, drawn from q(y, z2 | z1) at a draw z1 ~ q(z1 | x), as in SemiSupervisedVAE."""
        q = self.first.encode(x)
        return self.second.draw_encoded(q.sample(noise.normal("z1", q.shape))[:, self.units], noise)

    def draw_decoded(self, z: Any, y: Any, noise: Any) -> Any:
        """x ~ p(x | z1) at a draw z1 ~ p(z1 | y, z): M2 draws its units, Normal(0, I) the others."""
        units = self.second.draw_decoded(z, y, noise.child("units"))
        z1 = noise.normal("z1", (*units.shape[:-1], self.first.latent_size)).astype(units.dtype, copy=False)
        z1[..., self.units] = units
        return draw(self.first.decode(z1), noise)

    def _means(self, x: Any) -> Any:
        return self.first.encode(x).mean[:, self.units]

    def parameters(self) -> list[Tensor]:
        """Returns the parameters of M2, which `fit` changes."""
        return self.second.parameters()

    def load_state(self, state: dict[str, Any]) -> None:
        """Copies arrays, as in Module. Raises InputError if `units` are no units of the first model."""
        _checked(self.first, state.get("units", self.units))
        super().load_state(state)

    @property
    def decoder(self) -> Any:
        """p(x | z1)"""
        return self.first.decoder

    @property
    def prior(self) -> Normal:
        """p(z2)"""
        return self.second.prior

    @property
    def class_prior(self) -> Any:
        """p(y)"""
        return self.second.class_prior

    def __repr__(self) -> str:
        parts = f"first   {self.first}\nsecond  {self.second}".replace("\n", "\n  ")
        units = f"{len(self.units)} of {self.first.latent_size} latent units of the first"
        return f"{type(self).__name__}, the second of {units}\n  {parts}"


def _checked(first: Any, units: Any) -> numpy.ndarray:
    """Returns units as int64. Raises InputError unless `first` is a VAE that has them, with a standard prior."""
    if not isinstance(first, VAE):
        raise InputError("StackedVAE", "a VAE as first", type(first).__name__)
    if not first.has_standard_prior:
        raise InputError("StackedVAE", "a first model whose prior is Normal(0, I)", repr(first.prior))
    units = to_numpy(units)
    if units.shape == (0,):
        hint = "if none is active, its posterior has collapsed"
        raise InputError("StackedVAE", "at least one unit of the first model", "none", hint)
    if units.ndim != 1:
        raise InputError("StackedVAE", "a sequence of units of the first model", f"units of shape {units.shape}")
    distinct = units.dtype.kind in "iu" and len(set(units.tolist())) == len(units)
    if not distinct or units.min() < 0 or units.max() >= first.latent_size:
        expected = f"distinct units from 0 to {first.latent_size - 1}"
        raise InputError("StackedVAE", expected, ", ".join(map(str, units.tolist())))
    return units.astype(numpy.int64)
