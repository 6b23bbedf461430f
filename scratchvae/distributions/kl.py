"""Analytic Kullback-Leibler divergences are kept in a registry of pairs of types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scratchvae import ops
from scratchvae.distributions.bernoulli import Bernoulli
from scratchvae.distributions.categorical import Categorical
from scratchvae.distributions.event import on_support, sum_event
from scratchvae.distributions.laplace import Laplace
from scratchvae.distributions.normal import Normal
from scratchvae.distributions.poisson import Poisson
from scratchvae.errors import InputError, ShapeError

DIVERGENCES: dict[tuple[type, type], Callable[[Any, Any], Any]] = {}


def register_kl(q: type, p: type) -> Callable[[Callable[[Any, Any], Any]], Callable[[Any, Any], Any]]:
    """Returns a decorator for the function that computes KL(q || p) of distributions with these two types.

    See Also
    --------
    kl : the divergences that are registered.
    """

    def register(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        DIVERGENCES[q, p] = function
        return function

    return register


def kl(q: Any, p: Any) -> Any:
    """KL(q || p) = E_q[log q(x) - log p(x)], in nats, summed over the event.   (N,)

    Raises InputError for a pair of types without an analytic form, ShapeError for events with different shapes.

    See Also
    --------
    register_kl : adds a pair of types.
    kl_with_draws : an estimate for pairs that have no formula.

    Examples
    --------
    >>> import numpy
    >>> from scratchvae.distributions import Normal, kl
    >>> q, p = Normal(numpy.ones((1, 2)), numpy.zeros((1, 2))), Normal(numpy.zeros((1, 2)), numpy.zeros((1, 2)))
    >>> kl(q, p), kl(p, p)  # (1 + 1) / 2
    (array([1.]), array([0.]))
    """
    try:
        divergence = DIVERGENCES[type(q), type(p)]
    except KeyError:
        pairs = ", ".join(f"({q.__name__}, {p.__name__})" for q, p in DIVERGENCES)
        received = f"({type(q).__name__}, {type(p).__name__})"
        raise InputError("kl", f"a pair among {pairs}", received, "register_kl adds one") from None
    event_shapes = [d.shape[len(d.shape) - d.event_ndim :] for d in (q, p)]
    if event_shapes[0] != event_shapes[1]:
        raise ShapeError("kl", f"events of one shape, {event_shapes[0]} as q's", f"{event_shapes[1]} of p")
    return divergence(q, p)


def kl_with_draws(q: Any, p: Any, z: Any) -> Any:
    """KL(q || p) = E_q[log q(z) - log p(z)], in nats: by formula if `kl` has one, else as a mean over draws z ~ q

    The mean over draws is unbiased but may be negative.   q over (N, K), z (S, N, K) -> (N,)
    """
    if (type(q), type(p)) in DIVERGENCES:
        return kl(q, p)
    return ops.mean(q.log_prob(z) - p.log_prob(z), axis=0)


@register_kl(Normal, Normal)
def kl_normal_normal(q: Normal, p: Normal) -> Any:
    """sum of log s_p - log s_q + (s_q^2 + (m_q - m_p)^2) / (2 s_p^2) - 1/2

    For p = Normal(0, I) this is the formula of Kingma & Welling (2014), appendix B, with the opposite sign.
    """
    return ops.normal_kl(q.mean, q.log_std, p.mean, p.log_std, event_ndim=q.event_ndim)


@register_kl(Laplace, Laplace)
def kl_laplace_laplace(q: Laplace, p: Laplace) -> Any:
    """sum of log b_p - log b_q + (b_q e^-d + D) / b_p - 1,   D = abs(m_q - m_p),   d = D / b_q

    It is computed as e^c - 1 - c + e^c (d + e^-d - 1) with c = log b_q - log b_p: two terms that are never negative.
    """
    log_ratio = q.log_scale - p.log_scale
    distance = ops.abs(q.mean - p.mean) * ops.exp(-q.log_scale)
    moved = ops.exp(log_ratio) * (distance + ops.expm1(-distance))
    return sum_event(ops.expm1(log_ratio) - log_ratio + moved, q)


@register_kl(Poisson, Poisson)
def kl_poisson_poisson(q: Poisson, p: Poisson) -> Any:
    """sum of r_q (l_q - l_p) - r_q + r_p for rates r = e^l, which is r_q (c + e^-c - 1) with c = l_q - l_p"""
    log_ratio = q.log_rate - p.log_rate
    return sum_event(ops.exp(q.log_rate) * (log_ratio + ops.expm1(-log_ratio)), q)


@register_kl(Bernoulli, Bernoulli)
def kl_bernoulli_bernoulli(q: Bernoulli, p: Bernoulli) -> Any:
    """sum of m_q (log m_q - log m_p) + (1 - m_q) (log(1 - m_q) - log(1 - m_p)),   0 where m_q or 1 - m_q is 0"""
    terms = []
    for m_q, log_q, log_p in zip((q.mean, ops.sigmoid(-q.logits)), q.log_means(), p.log_means(), strict=True):
        terms.append(m_q * (on_support(log_q, m_q) - on_support(log_p, m_q)))
    return sum_event(terms[0] + terms[1], q)


@register_kl(Categorical, Categorical)
def kl_categorical_categorical(q: Categorical, p: Categorical) -> Any:
    """sum over classes of pi_q (log pi_q - log pi_p),   0 where pi_q is 0, infinite where pi_p alone is 0"""
    pi, log_q, log_p = q.mean, ops.log_softmax(q.logits), ops.log_softmax(p.logits)
    return ops.sum(pi * (on_support(log_q, pi) - on_support(log_p, pi)), axis=-1)
