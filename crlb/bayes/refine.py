"""Points from the posterior of stars that shared templates do not resolve, by adaptive importance sampling.

The likelihood is maximised from the two best templates (`crlb.bayes.optimise`). Rounds of points are drawn
from a proposal, a mixture around these modes, the weighted templates and a broad component
(`crlb.bayes.importance`); all points of all rounds get importance weights together, and the proposal is
refitted to them.
"""

from functools import partial
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from crlb.bayes.importance import (
    DEFENSIVE,
    EDGE,
    SPREAD,
    Mixture,
    draw,
    ess_of,
    factor_of,
    pooled_log_density,
    refit,
    tempered,
)
from crlb.bayes.likelihood import LogLikelihood
from crlb.bayes.model_spectra import labels_of
from crlb.bayes.monte_carlo import SETS, largest_error
from crlb.bayes.optimise import (
    FIRST_DAMPING,
    UNIFORM_INFORMATION,
    accept,
    damped_step,
    far_apart,
    in_batches,
)

S = TypeVar("S")
BATCH = 32  # stars whose modes are found together: one shape to compile
ROUND_BATCH = 8  # stars that draw points together: of the last ones, few are computed for nothing
MODES = 2  # local maxima per star: spectra that confuse a dwarf with a giant have that many
OPTIMISER_STEPS = 10  # from a template; quadratic convergence takes about five, a bent valley some more
SMALL_GAIN = 0.05  # of ln L: a step that promises less moves a mode by under 0.05^(1/2) of its width
LOCATING = 20.0  # effective number of templates from which a broad component is made
# Weights of the first proposal. A mode keeps at least `LEAST_SHARE` of what the best one has: its volume is
# that of a Gaussian and may be wrong by a factor of thirty. Templates have half where enough carry weight.
LEAST_SHARE = 0.03
TEMPLATE_SHARE, TEMPLATE_SHARE_IF_FEW = 0.5, 0.03
DEFENSIVE_SPREAD = 2.0  # widths of the defensive component, relative to the weighted templates
REFIT_ESS = 4.0  # effective points per label and one more: enough for the moments of a refitted component


class Points(NamedTuple):
    """Weighted points of some stars (leading axis 1: the same points for all), in unit coordinates."""

    unit: Float[np.ndarray, "n m n_labels"]
    weight: Float[np.ndarray, "n_star m"]


class State(NamedTuple):
    """Stars under refinement, their random keys, and per round so far: mixture, points, log-likelihoods."""

    stars: PyTree
    keys: Key[np.ndarray | Array, " n"]
    mixtures: Mixture
    unit: Float[np.ndarray, "n m n_labels"]
    log_likelihood: Float[np.ndarray, "n m"]


def start(
    like: LogLikelihood[S],
    key: Key[Array, ""],
    unit: np.ndarray,
    log_like: np.ndarray,
    stars: S,
    rows: np.ndarray,
) -> State:
    """Returns the first proposal of every star, no points yet.

    Args:
        like: the likelihood.
        key: of the points; every star has its own, by its row number.
        unit: templates, in unit coordinates.
        log_like: ln L of every star and template.
        stars: spectra.
        rows: row numbers of the stars among all that were asked for.
    """
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
    like: LogLikelihood[S],
    state: State,
    base: Array,
    number: int,
    *,
    target_ess: float,
    levels: tuple[float, ...],
    tolerance: float,
) -> tuple[State, Points, np.ndarray]:
    """Returns the state with new points for every star, all its points with weights, and if they suffice.

    Args:
        like: the likelihood.
        state: the stars.
        base: Sobol points of one set.
        number: of the round.
        target_ess: effective number of points that a star needs.
        levels: probabilities of the quantiles.
        tolerance: largest standard error of mean, sigma and quantiles of any label, in sigma of the label.
    """

    def batch(state: State) -> tuple[tuple[Array, ...], Mixture]:
        newest = jax.tree.map(lambda a: jnp.asarray(a[:, -1]), state.mixtures)
        unit = _draw_round(state.keys, number, newest, base)
        value = like.at_points(unit, state.stars)
        unit = jnp.concatenate([state.unit, unit], axis=1)
        value = jnp.concatenate([state.log_likelihood, value], axis=1)
        weight, ess, error, mixture = _weigh(like, state.mixtures, unit, value, levels)
        return (unit, value, weight, (ess >= target_ess) & (error <= tolerance)), mixture

    arrays, mixture = in_batches(batch, state, ROUND_BATCH)
    unit, value, weight, good = map(np.asarray, arrays)
    mixtures = jax.tree.map(lambda a, b: np.concatenate([a, b[:, None]], axis=1), state.mixtures, mixture)
    new = state._replace(mixtures=mixtures, unit=unit, log_likelihood=value)
    return new, Points(unit, weight), good


def keep_stars(state: State, rows: np.ndarray) -> State:
    """Returns the state of some of the stars."""
    kept: State = jax.tree.map(lambda a: a[rows], state)
    return kept


def _first_mixture(like: LogLikelihood[S], unit: Array, log_like: np.ndarray, stars: S) -> Mixture:
    """Modes of the likelihood, the weighted templates, and the same broadened as the defensive part."""
    start = unit[far_apart(np.asarray(unit), log_like, MODES)]
    modes = find_modes(like, start, stars)
    templates = jnp.asarray(log_like)
    enough = ess_of(jnp.exp(templates - templates.max(axis=1, keepdims=True))) >= LOCATING
    mixture: Mixture = _assemble(unit, tempered(templates, LOCATING), enough, *modes)
    return mixture


@jax.jit
def _assemble(
    unit: Array, weight: Array, informative: Array, mode: Array, value: Array, fisher: Array
) -> Mixture:
    """The proposal from weighted templates, whether they locate the star, and modes with ln L and Fisher."""
    d = unit.shape[1]
    mean = weight @ unit
    second = jnp.einsum("nm,mi,mj->nij", weight, unit, unit)
    covariance = second - mean[:, :, None] * mean[:, None, :]
    widths = jnp.linalg.inv(fisher + UNIFORM_INFORMATION * jnp.broadcast_to(jnp.eye(d), fisher.shape))
    volume = 0.5 * jnp.linalg.slogdet(widths)[1] + value
    share = jnp.clip(jnp.exp(volume - volume.max(axis=1, keepdims=True)), LEAST_SHARE, 1.0)
    broad = jnp.where(informative, TEMPLATE_SHARE, TEMPLATE_SHARE_IF_FEW)
    share = share / share.sum(axis=1, keepdims=True) * (1 - DEFENSIVE - broad)[:, None]
    narrow, wide = factor_of(covariance, SPREAD)[:, None], factor_of(covariance, DEFENSIVE_SPREAD)[:, None]
    return Mixture(
        jnp.concatenate([share, broad[:, None], jnp.full_like(broad, DEFENSIVE)[:, None]], axis=1),
        jnp.concatenate([mode, mean[:, None], mean[:, None]], axis=1),
        jnp.concatenate([factor_of(widths, SPREAD), narrow, wide], axis=1),
    )


def find_modes(like: LogLikelihood[S], unit: Array, stars: S) -> tuple[Array, Array, Array]:
    """Returns local maxima of the likelihood within the cube, with ln L and the Fisher matrix there.

    Args:
        like: the likelihood.
        unit: where to start from, points of every star.
        stars: spectra.
    """
    state = like.newton(unit, stars)
    damping = jnp.full(unit.shape[:2], FIRST_DAMPING)
    for _ in range(OPTIMISER_STEPS):
        tried, gain = damped_step(unit, state, damping)
        if bool((gain < SMALL_GAIN).all()):
            break
        new = like.newton(tried, stars)
        better = new.log_likelihood > state.log_likelihood
        (unit, state), damping = accept(better, (unit, state), (tried, new), damping)
    return unit, state.log_likelihood, state.fisher


@jax.jit
def _draw_round(keys: Array, number: int | Array, mixture: Mixture, base: Array) -> Array:
    """New points of every star: sets of the same Sobol points, each moved around the torus by itself."""

    def one(key: Array, mixture: Mixture) -> Array:
        shift = jax.random.uniform(jax.random.fold_in(key, number), (SETS, base.shape[1]), jnp.float64)
        moved = ((base[None] + shift[:, None, :]) % 1.0).reshape(-1, base.shape[1])
        return draw(mixture, jnp.clip(moved, EDGE, 1 - EDGE))

    points: Array = jax.vmap(one)(keys, mixture)
    return points


@partial(jax.jit, static_argnames="levels")
def _weigh(
    like: LogLikelihood[S], mixtures: Mixture, unit: Array, log_like: Array, levels: tuple[float, ...]
) -> tuple[Array, Array, Array, Mixture]:
    """Weights of all points so far, their effective number, the largest error, and the next proposal."""
    log_prior = jax.vmap(jax.vmap(like.prior.log_density))(labels_of(like.prior, unit))
    log_weight = log_like + log_prior - jax.vmap(pooled_log_density)(mixtures, unit)
    weight = jax.nn.softmax(log_weight, axis=1)
    newest = jax.tree.map(lambda a: a[:, -1], mixtures)
    mixture = jax.vmap(refit)(newest, unit, tempered(log_weight, REFIT_ESS * (unit.shape[-1] + 1)))
    error = largest_error(unit, weight, levels=levels, n_rounds=mixtures.weight.shape[1])
    return weight, ess_of(weight), error, mixture
