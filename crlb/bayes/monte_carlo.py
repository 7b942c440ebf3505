"""Monte-Carlo errors of what is reported of weighted points: mean, sigma and quantiles of every label.

Points come in sets, each a scrambled Sobol sequence with a shift of its own, several to a round of one
proposal. A number T is to first order a sum over points of their influence, w_m h(x_m), so its variance is
the sum over rounds of that between the sets of the round,

    Var T = sum_r  n/(n - 1) sum_s (H_rs - mean_s H_rs)^2,     H_rs = sum of w_m h(x_m) over set s of round r
    mean: h = x - mean,     sigma: [(x - mean)^2 - sigma^2] / (2 sigma),     quantile: (q - [x < x_q]) dx_q/dq

which counts what quasi-random points gain within a set. Sources: Hampel 1974, JASA 69, 383 (influence);
Owen 2013, Monte Carlo theory, methods and examples, section 17.3 (replicated quasi-random points).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

SETS = 4  # of a round
SLOPE_STEP = 0.05  # of probability, on both sides of a quantile: from it to there goes dx_q/dq
TINY = 1e-300  # in place of a sigma of zero


@partial(jax.jit, static_argnames=("levels", "n_rounds", "n_sets"))
def largest_error(
    x: Float[Array, "n m n_labels"],
    weight: Float[Array, "n m"],
    *,
    levels: tuple[float, ...],
    n_rounds: int,
    n_sets: int = SETS,
) -> Float[Array, " n"]:
    """Returns the largest standard error of mean, sigma and quantiles of any label, in sigma of the label.

    Args:
        x: points in the order they were drawn: rounds, in them sets.
        weight: their weights, of sum one.
        levels: probabilities of the quantiles.
        n_rounds: number of rounds.
        n_sets: number of sets in each.
    """
    errors = jax.vmap(
        partial(_errors, levels=jnp.asarray(levels, x.dtype), shape=(n_rounds, n_sets)), (1, None)
    )
    found: Array = jax.lax.map(lambda star: jnp.max(errors(*star)), (x, weight))
    return found


def _errors(
    x: Float[Array, " m"],
    weight: Float[Array, " m"],
    levels: Float[Array, " n_q"],
    shape: tuple[int, int],
) -> Float[Array, " n_numbers"]:
    """Standard errors of mean, sigma and quantiles of one label, in sigma."""
    mean = weight @ x
    sigma = jnp.maximum(jnp.sqrt(weight @ (x - mean) ** 2), TINY)
    z = (x - mean) / sigma
    rows = jnp.concatenate([z[None], (z[None] ** 2 - 1) / 2, _of_quantiles(z, weight, levels)])
    sums = (rows * weight[None, :]).reshape(len(rows), *shape, -1).sum(axis=3)
    scatter = sums - sums.mean(axis=2, keepdims=True)
    return jnp.sqrt(shape[1] / (shape[1] - 1) * (scatter**2).sum(axis=(1, 2)))


def _of_quantiles(
    z: Float[Array, " m"], weight: Float[Array, " m"], levels: Float[Array, " n_q"]
) -> Float[Array, "n_q m"]:
    """Influence of every point on the quantiles."""
    order = jnp.argsort(z)
    cumulative, ordered = jnp.cumsum(weight[order]) - 0.5 * weight[order], z[order]
    step = jnp.minimum(SLOPE_STEP, jnp.minimum(levels, 1 - levels) / 2)
    low, middle, high = jnp.interp(jnp.stack([levels - step, levels, levels + step]), cumulative, ordered)
    below = jnp.where(z[None, :] < middle[:, None], 1.0, 0.0)
    found: Array = (levels[:, None] - below) * ((high - low) / (2 * step))[:, None]
    return found
