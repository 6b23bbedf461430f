"""SketchRNN: a variational autoencoder of drawings, with an encoder and a decoder of recurrent networks."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import ArrayLike

from scratchvae import ops
from scratchvae.arrays import Array, as_floats
from scratchvae.autodiff import Tensor, grad, no_grad
from scratchvae.backend import array_module, device_module
from scratchvae.dequantization import check_whole, dequantize_sketches
from scratchvae.distributions import Categorical, Normal, SketchDistribution, kl
from scratchvae.distributions.sketch import n_points
from scratchvae.errors import DataError, InputError, ShapeError, whole_number
from scratchvae.latent_space import spherical_interpolation
from scratchvae.models.configuration import Index, Size, constructor
from scratchvae.models.sketch_networks import NoEncoder, SketchDecoder, SketchEncoder
from scratchvae.models.vae import VAE
from scratchvae.nn import Module
from scratchvae.noise import Noise
from scratchvae.optim import Adam, LinearSchedule

LONGEST = 250  # a sketch that the model draws ends after so many points
OTHER_SCALES = {20: 5.0, 3: 8.0, 0: math.inf}
"""Least number of points -> the factor by which their offsets may differ from the model's scale in the same unit."""
PROPOSAL_STEPS, PROPOSAL_DRAWS, PROPOSAL_WIDTH = 120, 32, 1.2  # see `fit_proposal`


class SketchRNN(VAE):
    """p(x, z) = p(x | z) p(z) of sketches x (N, T, 5), rows (dx, dy, down, up, end),   q(z | x) approximates p(z | x).

    prior    p(z) = Normal(0, I)                                                            shape (K,)
    encoder  x (N, T, 5) -> Normal over z (N, K): the last states of a bidirectional LSTM   q(z | x)
    decoder  z (N, K) -> SketchDistribution: row after row, each after those before it      p(x | z)

    The densities are those of x as given, whatever its unit. A decoder that sees all rows before the one that it
    scores can do without z, and ignores it unless `fit` has a kl_floor. K = 0 is that decoder alone: p(x) = p(x | z).

    Source: deck, "A sequence model: SketchRNN"; Ha & Eck (2017), "A neural representation of sketch drawings".

    Parameters
    ----------
    encoder, decoder, latent_size
        As in VAE. The decoder has a buffer `scale`, the unit of its offsets: the standard deviation of those of the
        training data. In training alone, both take a second argument, the noise by which they drop out.
    random_scale : float
        In training dx and dy of a sketch are multiplied by draws from Uniform(1 - random_scale, 1 + random_scale).
    drop_points : float
        In training each point within a line is left out with this probability.
    dequantize : bool
        Whether offsets are whole numbers, to which `dequantize_sketches` adds noise, in scores too.

    Attributes
    ----------
    random_scale, drop_points, dequantize
        The parameters of these names. The others are those of VAE.

    See Also
    --------
    SketchEncoder, SketchDecoder : the networks of `SketchRNN.lstm`.
    scratchvae.data.dequantize_sketches : the noise.

    Examples
    --------
    >>> import scratchvae as sv
    >>> model = sv.SketchRNN.lstm(latent_size=2, encoder_size=4, decoder_size=4, mixtures=2)
    >>> model.latent_size, model.decoder.head.mixtures
    (2, 2)
    """

    smallest_latent_size = 0

    def __init__(
        self,
        encoder: Module,
        decoder: Module,
        latent_size: int,
        random_scale: float = 0.0,
        drop_points: float = 0.0,
        dequantize: bool = False,
    ) -> None:
        for name, share in (("random_scale", random_scale), ("drop_points", drop_points)):
            if not 0 <= share < 1:
                raise InputError("SketchRNN", f"{name} from 0 to below 1", repr(share))
        super().__init__(encoder, decoder, latent_size)
        self.random_scale, self.drop_points, self.dequantize = random_scale, drop_points, dequantize

    @classmethod
    @constructor
    def lstm(
        cls,
        latent_size: Index = 16,
        encoder_size: Size = 64,
        decoder_size: Size = 128,
        mixtures: Size = 10,
        layer_norm: bool = False,
        scale: float = 1.0,
        smallest_std: float = 0.01,
        keep: float = 1.0,
        random_scale: float = 0.0,
        drop_points: float = 0.0,
        dequantize: bool = False,
        seed: int = 0,
    ) -> SketchRNN:
        """Returns a SketchRNN: LSTMs of encoder_size units in each direction, and one of decoder_size units.

        scale: `sv.data.describe_sketches(x)["scale"]` of the training data; smallest_std: in this unit, as in
        SketchHead; keep: as in LSTM, in training alone. The paper's sizes are 128, 256, 512 and 20 mixtures, with
        layer_norm, keep 0.9, random_scale 0.15 and drop_points 0.1.
        """
        noise = Noise(seed)
        drawn = noise.child("decoder")
        decoder = SketchDecoder(latent_size, decoder_size, mixtures, drawn, layer_norm, keep, scale, smallest_std)
        encoder: Module = NoEncoder()
        if latent_size > 0:
            encoder = SketchEncoder(latent_size, encoder_size, noise.child("encoder"), layer_norm, keep, scale)
        return cls(encoder, decoder, latent_size, random_scale, drop_points, dequantize)

    # ---- data

    def quantity(self, x: Any = None) -> str:
        """Returns in words what the ELBO of the sketches x is."""
        if self.dequantize:
            return "lower bound of log p(x), x in whole numbers, dequantised"
        return super().quantity(x)

    def preparation(self) -> str:
        """Returns whether whole numbers are dequantised, as the end of a clause; for `print`."""
        return ", dequantize" if self.dequantize else ""

    def entries(self, x: Any) -> int:
        """Returns T x 8 H, the number of states and gates of all steps."""
        return x.shape[1] * 8 * self.decoder.lstm.hidden_size

    def observations(self, x: Any) -> Any:
        """Returns x as every VAE takes it, checked. Raises DataError for offsets in another unit too."""
        x = super().observations(as_floats("data", x))
        n, scale = int(n_points(x).sum()), float(self.decoder.scale)
        root_mean_square = math.sqrt(float((x[..., :2] ** 2).sum()) / (2 * n))
        most = next(times for fewest, times in OTHER_SCALES.items() if n >= fewest)
        if not scale / most <= root_mean_square < scale * most:
            hint = "absolute coordinates? else scale=sv.data.describe_sketches(x)['scale']"
            received = f"{root_mean_square:.3g}"
            raise DataError("data", f"offsets of about {scale:.3g}, the model's scale, on average", received, hint)
        return x

    def prepare_data(self, x: Any, noise: Any) -> Any:
        """Returns the data unchanged. Raises DataError for offsets to dequantise that are not whole."""
        if self.dequantize:
            check_whole(x)
        return x

    def prepare_batch(self, x: Any, noise: Any) -> Any:
        """Returns a minibatch as it is scored: whole numbers are dequantised."""
        return dequantize_sketches(x, noise) if self.dequantize else x

    def augment(self, x: Any, noise: Any) -> Any:
        """Returns a minibatch as training alone varies it: scaled at random, and with fewer points."""
        if self.random_scale:
            factors = 1 + self.random_scale * (2 * noise.uniform("random scale", (len(x), 1, 2)) - 1)
            x = array_module(x).concatenate([x[..., :2] * factors.astype(x.dtype), x[..., 2:]], axis=2)
        if self.drop_points:
            x = without_points(x, noise.uniform("dropped points", x.shape[:2]) < self.drop_points)
        return x

    def call_encoder(self, x: Any, noise: Any) -> Any:
        """Returns q(z | x), whose LSTMs drop out by the noise of training."""
        return self.encoder(x, noise.child("encoder")) if noise.training else self.encoder(x)

    def call_decoder(self, z: Any, noise: Any) -> Any:
        """Returns p(x | z), whose LSTM drops out by the noise of training."""
        return self.decoder(z, noise.child("decoder")) if noise.training else self.decoder(z)

    # ---- drawing

    def sample(self, n: int, seed: int = 0, temperature: float = 0.4, longest: int = LONGEST) -> Array:
        """Returns n sketches x ~ p(x | z), z ~ p(z), drawn at a temperature.   (n, T, 5)

        temperature: as in SketchStep; z itself is drawn at temperature 1. A sketch ends after `longest` points.
        """
        return self._drawn(self.decode(self.prior_draws(n, seed)), seed, temperature, longest)

    def reconstruct(self, x: ArrayLike, temperature: float = 0.2, seed: int = 0, longest: int = LONGEST) -> Array:
        """x' ~ p(x' | z) at the mean of q(z | x), drawn at a temperature.   (N, T, 5) -> (N, T', 5)"""
        return self._drawn(self.decode(self.encode(x).mean), seed, temperature, longest)

    def interpolate(
        self, start: Any, end: Any, n: int = 10, temperature: float = 0.2, seed: int = 0, longest: int = LONGEST
    ) -> Any:
        """Returns drawings along the arc between the means of q(z | x) of sketches.   (N, T, 5) twice -> (N, n, T', 5)

        Raises the errors of `spherical_interpolation`.
        """
        z = spherical_interpolation(self.encode(start).mean, self.encode(end).mean, n)
        return self._drawn(self.decode(z), seed, temperature, longest)

    def complete(
        self,
        prefix: Any,
        n: int = 9,
        n_draws: int = 400,
        temperature: float = 0.3,
        seed: int = 0,
        longest: int = LONGEST,
    ) -> tuple[Any, float]:
        """Returns n sketches that begin with the prefix.   (P, 5) -> (n, T, 5), and the effective sample size

        p(rest | prefix) = E[p(rest | prefix, z)] over p(z | prefix). With draws z_s ~ q(z) of a proposal and

        w_s = p(prefix | z_s) p(z_s) / q(z_s),

        n of the n_draws z_s are chosen with probabilities in proportion to w_s. As n_draws grows they become draws of
        p(z | prefix); the decoder reads the prefix and goes on. q is a Normal fitted to the prefix, as the encoder,
        which has seen whole sketches only, would propose badly. (sum w)^2 / sum w^2, the effective sample size, says
        how many of the draws count.

        temperature: that of the rest alone.   Raises DataError for rows that are no points.
        """
        z, log_w = self.log_weights_of_prefix(prefix, n_draws, seed)
        drawings = self._resampled(z, log_w, self._prefix(prefix), n, temperature, seed, longest)
        return drawings, effective_sample_size(log_w)

    def complete_points(
        self,
        points: Any,
        n: int = 9,
        n_draws: int = 400,
        temperature: float = 0.3,
        seed: int = 0,
        longest: int = LONGEST,
    ) -> tuple[Any, dict[str, float]]:
        """Does what `complete` does where it is not known whether the pen is lifted behind the last point.

        p(points) = p(points, down) + p(points, up): n_draws draws are made for each, and n are chosen from all.

        Returns sketches (n, T, 5), and a dict: log_p, an estimate of log p(points) in nats; lifted, the probability of
        a lifted pen, given the points; draws, their number, and effective, the effective sample size.
        """
        n, prefix = whole_number("complete", "n", n), self._prefix(points)
        prefixes = prefix.repeat(2, axis=0)
        prefixes[:, -1, 2:4] = array_module(prefix).eye(2, dtype=prefix.dtype)  # down, and up
        drawn = [self.log_weights_of_prefix(rows, n_draws, seed) for rows in prefixes]
        z, log_w = (ops.concatenate(parts) for parts in zip(*drawn, strict=True))
        log_p = ops.logsumexp(log_w)
        facts = {
            "log_p": float(log_p) - math.log(n_draws),
            "lifted": float(ops.exp(ops.logsumexp(drawn[1][1]) - log_p)),
            "draws": len(log_w),
            "effective": effective_sample_size(log_w),
        }
        return self._resampled(z, log_w, prefixes.repeat(n_draws, axis=0), n, temperature, seed, longest), facts

    def _resampled(self, z: Any, log_w: Any, prefix: Any, n: int, temperature: float, seed: int, longest: int) -> Any:
        """Returns n sketches by chosen draws, each with its prefix or the one of all.   (S, K), (S,), (S or 1, P, 5)"""
        uniform = Noise(seed, device=self.device).uniform("resampling", (whole_number("complete", "n", n),))
        chosen = Categorical(log_w).sample(uniform)
        prefix = prefix[chosen] if len(prefix) > 1 else prefix
        return self._drawn(self.decode(z[chosen]), seed, temperature, longest, prefix)

    def log_weights_of_prefix(self, prefix: Any, n_draws: int = 400, seed: int = 0) -> tuple[Any, Any]:
        """z_s ~ q(z) and log w_s = log p(prefix | z_s) + log p(z_s) - log q(z_s), in nats; q is fitted to the prefix.

        The mean of w estimates p(prefix), the density of the points alone.   (P, 5) -> (S, K), (S,)
        """
        n_draws, prefix = whole_number("complete", "n_draws", n_draws), self._prefix(prefix)
        q = self.fit_proposal(prefix, seed)
        with no_grad():
            z = q.sample(Noise(seed, device=self.device).normal("draws", (n_draws, *q.shape)))
            log_w = self.decoder(z).log_prob(prefix) + self.prior.log_prob(z) - q.log_prob(z)
        return z[:, 0], log_w[:, 0]

    def fit_proposal(self, prefix: Any, seed: int = 0) -> Normal:
        """q(z) = Normal(mu, diag((1.2 sigma)^2)),   mu and sigma ascend E_q[log p(prefix | z)] - KL(q || p(z))

        Adam takes 120 steps with 32 draws of z each; the factor makes q wider than p(z | prefix).   (1, P, 5) -> (1, K)
        """
        zeros = device_module(self.device).zeros((1, self.latent_size), dtype=self.dtype)
        mean, log_std = Tensor(zeros), Tensor(zeros.copy())
        optimizer = Adam([mean, log_std], LinearSchedule(0.1, 0.0, PROPOSAL_STEPS))
        for step in range(PROPOSAL_STEPS if self.latent_size else 0):
            q = Normal(mean, log_std)
            z = q.reparameterize(Noise(seed, step, self.device).normal("proposal", (PROPOSAL_DRAWS, *q.shape)))
            bound = ops.mean(self.decoder(z).log_prob(prefix)) - ops.mean(kl(q, self.prior))
            grad(-bound, optimizer.parameters, out=optimizer.gradients)
            optimizer.step()
        return Normal(mean.data, log_std.data + math.log(PROPOSAL_WIDTH))

    def _prefix(self, rows: Any) -> Any:
        """Returns the points of an unfinished drawing, checked.   (P, 5) -> (1, P, 5), of the model's type"""
        rows = as_floats("complete", rows)
        if rows.ndim != 2 or rows.shape[1] != 5:
            raise ShapeError(
                "complete", "a prefix of rows (dx, dy, down, up, end), shape (P, 5)", f"shape {rows.shape}"
            )
        end = array_module(rows).zeros((1, 5), dtype=rows.dtype)
        end[0, 4] = 1
        x = self.observations(array_module(rows).concatenate([rows, end])[None])
        return x[:, : int(n_points(x)[0])]

    def _drawn(self, p: SketchDistribution, seed: int, temperature: float, longest: int, prefix: Any = None) -> Any:
        """Returns sketches drawn from p, with no more rows than the longest needs."""
        x = p.sample(Noise(seed, device=self.device).child("rows"), temperature, prefix, longest)
        return x[..., : int(n_points(x).max()) + 1, :]


def effective_sample_size(log_w: Any) -> float:
    """(sum w)^2 / sum w^2 of log weights, from 1 to S: the number of draws that count.   (S,)"""
    return float(1 / (Categorical(log_w).mean ** 2).sum())


def without_points(x: Any, drop: Any) -> Any:
    """Returns x without those of the points to drop that lie within a line.   (N, T, 5), (N, T) -> (N, T, 5)

    A point lies within a line if the pen is down before and behind it, so lines keep their ends. The offset of the next
    point that stays starts from the last one that stayed.
    """
    xp, down = array_module(x), x[..., 2] > 0.5
    drawn_to = xp.concatenate([xp.ones_like(down[:, :1]), down[:, :-1]], axis=1)
    point_behind = xp.concatenate([x[:, 1:, 4] < 0.5, xp.zeros_like(down[:, :1])], axis=1)
    keep = ~(drop & drawn_to & down & point_behind)
    n, size = x.shape[:2]
    row = xp.cumsum(keep, axis=1) - keep + size * xp.arange(n)[:, None]  # where it goes, or the next one that stays
    moved = xp.concatenate([x[..., :2], x[..., 2:] * keep[..., None]], axis=2).reshape(-1, 5)
    fewer = ops.scatter_add(moved, row.reshape(-1), moved.shape)
    fewer[:, 4] += 1 - fewer[:, 2:].sum(axis=1)  # the end, where no row went
    return fewer.reshape(x.shape)
