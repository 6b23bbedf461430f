"""Two ways to differentiate an expectation by the distribution it is taken over, and what they cost in variance."""

from __future__ import annotations

from typing import Any

from scratchvae import ops
from scratchvae.autodiff import no_grad
from scratchvae.errors import InputError


def reparameterized(model: Any, x: Any, noise: Any, n_samples: int = 1) -> Any:
    """mean over draws of log p(x, m + s e) - log q(m + s e | x), whose gradient flows through the draw.   (N,)

    Source: Kingma & Welling (2014), section 2.4.
    """
    return ops.mean(model.log_weights(x, noise, n_samples), axis=0)


def score_function(model: Any, x: Any, noise: Any, n_samples: int = 1) -> Any:
    """mean over draws of f(z) log q(z | x), f = log p(x, z) - log q(z | x) held fixed.   (N, D) -> (N,)

    Its gradient by the encoder's parameters is REINFORCE; its value has no meaning.
    Source: Williams (1992); Kingma & Welling (2014), section 2.2.
    """
    q, z, f = _draws(model, x, noise, n_samples)
    return ops.mean(f * q.log_prob(z), axis=0)


def score_function_with_baseline(model: Any, x: Any, noise: Any, n_samples: int = 2) -> Any:
    """mean over draws of (f(z_s) - mean of the other draws' f) log q(z_s | x).   (N, D) -> (N,)

    The subtracted mean does not depend on z_s, so the expectation of the gradient stays, while most of f's magnitude
    cancels. At least two draws are needed.
    Source: Kool, van Hoof & Welling (2019), "Buy 4 REINFORCE samples, get a baseline for free!".
    """
    if n_samples < 2:
        raise InputError("score_function_with_baseline", "n_samples of at least 2", repr(n_samples))
    q, z, f = _draws(model, x, noise, n_samples)
    return ops.mean((f - (f.sum(axis=0) - f) / (n_samples - 1)) * q.log_prob(z), axis=0)


ESTIMATORS = {
    "score function": score_function,
    "score function, baseline": score_function_with_baseline,
    "reparameterised": reparameterized,
}
"""Estimators of the ELBO's gradient by name; each returns what is to be differentiated by the encoder's parameters."""


def _draws(model: Any, x: Any, noise: Any, n_samples: int) -> tuple[Any, Any, Any]:
    """Returns q(z | x), draws z from it, and f(z) = log p(x, z) - log q(z | x); z and f are arrays."""
    x = model.rows(x)
    q = model.encoder(x)
    z = q.sample(noise.normal("z", (n_samples, *q.shape)))
    with no_grad():
        return q, z, model.decoder(z).log_prob(x) + model.prior.log_prob(z) - q.log_prob(z)
