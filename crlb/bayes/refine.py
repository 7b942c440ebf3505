"""Points from the posterior of stars that shared templates do not resolve: climbs, then importance sampling.

Two climbs (`crlb.bayes.optimise`) start from the best templates. Rounds of points are drawn from a mixture
around the tops, the weighted templates and a broad component (`crlb.bayes.importance`), all points of all
rounds are weighed together, and the mixture is refitted to them.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from crlb.bayes.importance import Mixture, draw, ess_of, factor_of, pooled_log_density, refit, tempered
from crlb.bayes.likelihood import Likelihood, Stars, labels_of, log_likelihood, newton
from crlb.bayes.optimise import FIRST_DAMPING, accept, damped_step, far_apart, in_batches

BATCH = 32  # stars refined together: one shape to compile
CLIMB_STEPS = 10
LOCATING = 20.0  # effective number of templates from which a broad component is made


class Points(NamedTuple):
    """Weighted points of some stars (leading axis 1: the same points for all), in unit coordinates."""

    unit: Float[np.ndarray, "n m n_labels"]
    weight: Float[np.ndarray, "n_star m"]


class State(NamedTuple):
    """Stars under refinement, their random keys, and per round so far: mixture, points, log-likelihoods."""

    stars: Stars
    keys: Key[np.ndarray | Array, " n"]
    mixtures: Mixture
    unit: Float[np.ndarray, "n m n_labels"]
    log_likelihood: Float[np.ndarray, "n m"]


def start(
    like: Likelihood,
    key: Key[Array, ""],
    unit: np.ndarray,
    log_like: np.ndarray,
    stars: Stars,
    rows: np.ndarray,
) -> State:
    """The first mixture of every star, no points yet."""
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.asarray(rows + 1))
    templates = jnp.asarray(unit)
    mixture = in_batches(lambda a: _first_mixture(like, templates, *a), (log_like, stars), BATCH)
    n = len(rows)
    return State(
        stars,
        keys,
        jax.tree.map(lambda a: a[:, None], mixture),
        np.zeros((n, 0, unit.shape[1])),
        np.zeros((n, 0)),
    )


def one_round(
    like: Likelihood, state: State, base: Array, number: int, target_ess: float
) -> tuple[State, Points, np.ndarray]:
    """New points for every star, all its points weighed, and whether they suffice."""

    def batch(state: State) -> tuple:
        newest = jax.tree.map(lambda a: jnp.asarray(a[:, -1]), state.mixtures)
        unit = _draw_round(state.keys, number, newest, base)
        value = log_likelihood(like, unit, state.stars)
        unit = jnp.concatenate([state.unit, unit], axis=1)
        value = jnp.concatenate([state.log_likelihood, value], axis=1)
        weight, ess, agree, mixture = _weigh(like, state.mixtures, unit, value, len(base))
        return unit, value, weight, (ess >= target_ess) & agree, mixture

    unit, value, weight, good, mixture = in_batches(batch, state, BATCH)
    mixtures = jax.tree.map(lambda a, b: np.concatenate([a, b[:, None]], axis=1), state.mixtures, mixture)
    new = state._replace(mixtures=mixtures, unit=unit, log_likelihood=value)
    return new, Points(unit, weight), good


def keep_stars(state: State, rows: np.ndarray) -> State:
    """The state of some of the stars."""
    return jax.tree.map(lambda a: a[rows], state)


def _first_mixture(like: Likelihood, unit: Array, log_like: np.ndarray, stars: Stars) -> Mixture:
    """Two tops of the likelihood, the weighted templates, and the same broadened as the defensive part."""
    start = unit[far_apart(np.asarray(unit), log_like, 2)]
    top, value, fisher = _climb(like, start, stars)
    templates = jnp.asarray(log_like)
    enough = ess_of(jnp.exp(templates - templates.max(axis=1, keepdims=True))) >= LOCATING
    return _assemble(unit, tempered(templates, LOCATING), enough, top, value, fisher)


@jax.jit
def _assemble(
    unit: Array, weight: Array, informative: Array, top: Array, value: Array, fisher: Array
) -> Mixture:
    d = unit.shape[1]
    mean = weight @ unit
    second = jnp.einsum("nm,mi,mj->nij", weight, unit, unit)
    covariance = second - mean[:, :, None] * mean[:, None, :]
    tops = jnp.linalg.inv(fisher + 12.0 * jnp.broadcast_to(jnp.eye(d), fisher.shape))
    volume = 0.5 * jnp.linalg.slogdet(tops)[1] + value
    share = jnp.clip(jnp.exp(volume - volume.max(axis=1, keepdims=True)), 0.03, 1.0)
    broad = jnp.where(informative, 0.5, 0.03)
    share = share / share.sum(axis=1, keepdims=True) * (0.9 - broad)[:, None]
    return Mixture(
        jnp.concatenate([share, broad[:, None], jnp.full_like(broad, 0.1)[:, None]], axis=1),
        jnp.concatenate([top, mean[:, None], mean[:, None]], axis=1),
        jnp.concatenate(
            [factor_of(tops, 1.1), factor_of(covariance, 1.1)[:, None], factor_of(covariance, 2.0)[:, None]],
            axis=1,
        ),
    )


def _climb(like: Likelihood, unit: Array, stars: Stars) -> tuple[Array, Array, Array]:
    """Levenberg-Marquardt within the cube: tops, their log-likelihood and Fisher matrix."""
    state = newton(like, unit, stars)
    damping = jnp.full(unit.shape[:2], FIRST_DAMPING)
    for _ in range(CLIMB_STEPS):
        tried, gain = damped_step(unit, state, damping)
        if bool((gain < 0.05).all()):
            break
        new = newton(like, tried, stars)
        better = new.log_likelihood > state.log_likelihood
        (unit, state), damping = accept(better, (unit, state), (tried, new), damping)
    return unit, state.log_likelihood, state.fisher


@jax.jit
def _draw_round(keys: Array, number: int | Array, mixture: Mixture, base: Array) -> Array:
    """New points of every star: the same Sobol points, moved around the torus by a shift of its own."""

    def one(key: Array, mixture: Mixture) -> Array:
        shift = jax.random.uniform(jax.random.fold_in(key, number), (base.shape[1],), jnp.float64)
        return draw(mixture, jnp.clip((base + shift[None, :]) % 1.0, 1e-12, 1 - 1e-12))

    return jax.vmap(one)(keys, mixture)


@partial(jax.jit, static_argnames="n_points")
def _weigh(
    like: Likelihood, mixtures: Mixture, unit: Array, log_like: Array, n_points: int
) -> tuple[Array, Array, Array, Mixture]:
    """Weights of all points so far, their effective number, whether halves agree, and the next mixture."""
    log_prior = jax.vmap(jax.vmap(like.prior.log_density))(labels_of(like.prior, unit))
    log_weight = log_like + log_prior - jax.vmap(pooled_log_density)(mixtures, unit)
    weight = jax.nn.softmax(log_weight, axis=1)
    newest = jax.tree.map(lambda a: a[:, -1], mixtures)
    mixture = jax.vmap(refit)(newest, unit, tempered(log_weight, 4.0 * (unit.shape[-1] + 1)))
    return weight, ess_of(weight), _halves_agree(unit, weight, n_points), mixture


def _halves_agree(unit: Array, weight: Array, n_points: int) -> Array:
    """Whether first and second halves of the rounds put every label's mean within half a sigma.

    A half of a Sobol sequence is one itself; each must have a say, and hold at least 30 % of the weight.
    """
    mean = jnp.einsum("nm,nmi->ni", weight, unit)
    sigma = jnp.sqrt(jnp.einsum("nm,nmi->ni", weight, (unit - mean[:, None, :]) ** 2))
    n, _, d = unit.shape
    part = weight.reshape(n, -1, 2, n_points // 2)
    mass = part.sum(axis=(1, 3))
    means = jnp.einsum("nrhm,nrhmi->nhi", part, unit.reshape(*part.shape, d)) / mass[:, :, None]
    close = (jnp.abs(means[:, 0] - means[:, 1]) < 0.5 * sigma).all(axis=1)
    return close & (mass.min(axis=1) > 0.3)
