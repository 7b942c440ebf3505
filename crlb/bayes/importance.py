"""Importance sampling inside the unit cube: proposals that are mixtures of truncated logistics, and weights.

A component with centre m and Cholesky factor L draws x = m + L z coordinate by coordinate, each z_i from a
logistic of unit variance cut to where 0 <= x_i <= 1. All points lie in the cube and their density is exact,

    q(x) = prod_i  f(z_i) / { L_ii [F(b_i) - F(a_i)] },   [a_i, b_i] the cut given z_1..z_i-1,

also for a centre outside the cube, so no point falls outside the prior. The
tails of the logistic are heavier than a Gaussian's: weights stay bounded. Points of several rounds are
pooled with the deterministic mixture, q = sum_r q_r / R.

Sources: Geweke, Hajivassiliou & Keane (Genz 1992, J. Comp. Graph. Stat. 1, 141) for sequential truncation;
Owen & Zhou 2000, JASA 95, 135 (deterministic mixture); Cappe et al. 2008, Stat. Comput. 18, 447 (refit).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.stats import qmc

LOGISTIC_SCALE = np.sqrt(3) / np.pi  # of the logistic with unit variance
SPREAD = 1.1  # widths of a refitted component, relative to the moments of its points
DEFENSIVE = 0.1  # weight of the last, broad component, which no refit changes
LEAST_MASS = 0.02  # of the weight: a component with less of it is not refitted, and keeps that much
LEAST_TEMPERATURE = 1e-9  # exponent of a weight, from which the search for the largest one starts
EDGE = 1e-12  # distance that uniform numbers keep from 0 and 1, where the quantile is infinite
TINY = 1e-300  # in place of a mass of zero, by which nothing is divided then that is used
ROUNDING = 1e-9  # of the trace: added to the diagonal of a covariance, so that it has a Cholesky factor
SMALLEST_WIDTH = 1e-5  # of the cube, per coordinate: below this float32 spectra do not differ


class Mixture(NamedTuple):
    """Weights, centres and Cholesky factors of the components, the last one the defensive one."""

    weight: Float[Array, "*n k"]
    centre: Float[Array, "*n k d"]
    factor: Float[Array, "*n k d d"]


def sobol(seed: int, n: int, d: int) -> Float[np.ndarray, "n d"]:
    """Returns `n` (a power of two) scrambled Sobol points of the open unit cube."""
    points = qmc.Sobol(d, scramble=True, rng=seed).random(n)
    return np.asarray(np.clip(points, EDGE, 1 - EDGE))


def _log_cut(low: Array, high: Array) -> Array:
    """ln[F(high) - F(low)] of the standard logistic, exact in both tails."""
    return jax.nn.log_sigmoid(high) + jax.nn.log_sigmoid(-low) + jnp.log(-jnp.expm1(low - high))


def draw(mixture: Mixture, uniform: Float[Array, "n d_plus_1"]) -> Float[Array, "n d"]:
    """Returns points of one mixture (k components) from uniform numbers; the first chooses the component."""
    edges = jnp.cumsum(mixture.weight)
    chosen = jnp.minimum(jnp.searchsorted(edges, uniform[:, 0] * edges[-1]), len(edges) - 1)

    def point(centre: Float[Array, " d"], factor: Float[Array, "d d"], u: Float[Array, " d"]) -> Array:
        z, x = jnp.zeros_like(centre), jnp.zeros_like(centre)
        for i in range(len(centre)):
            middle, width = centre[i] + factor[i] @ z, factor[i, i] * LOGISTIC_SCALE
            low, high = -middle / width, (1 - middle) / width
            inside = jnp.exp(_log_cut(low, high))
            below = jax.nn.sigmoid(low) + u[i] * inside
            above = jax.nn.sigmoid(-high) + (1 - u[i]) * inside
            value = jnp.clip(middle + width * (jnp.log(below) - jnp.log(above)), 0.0, 1.0)
            x = x.at[i].set(value)
            z = z.at[i].set((value - middle) / factor[i, i])
        return x

    return jax.vmap(point)(mixture.centre[chosen], mixture.factor[chosen], uniform[:, 1:])


def log_density(mixture: Mixture, x: Float[Array, "n d"]) -> Float[Array, "n k"]:
    """Returns ln(weight_k q_k(x)) of every point and component of one mixture.

    With F(t) = 1/(1 + e^-t) the factors 1 + e^-|.| of all coordinates, each between 1 and 2, are multiplied
    before one logarithm is taken: ln f = -|t| - 2 ln(1 + e^-|t|), ln F = min(t, 0) - ln(1 + e^-|t|).
    """

    def component(centre: Float[Array, " d"], factor: Float[Array, "d d"]) -> Float[Array, " n"]:
        z: list[Array] = []
        total, ratio = jnp.zeros(len(x), x.dtype), jnp.ones(len(x), x.dtype)
        for i in range(len(centre)):
            middle, width = centre[i], factor[i, i] * LOGISTIC_SCALE
            for j, known in enumerate(z):
                middle = middle + factor[i, j] * known
            t, low, high = (x[:, i] - middle) / width, -middle / width, (1 - middle) / width
            total = total - jnp.abs(t) - jnp.minimum(high, 0.0) + jnp.maximum(low, 0.0)
            total = total - jnp.log(-width * jnp.expm1(-1 / width))
            edges = (1 + jnp.exp(-jnp.abs(low))) * (1 + jnp.exp(-jnp.abs(high)))
            ratio = ratio * (edges / (1 + jnp.exp(-jnp.abs(t))) ** 2)
            z.append(t * LOGISTIC_SCALE)
        return total + jnp.log(ratio)

    each = jax.vmap(component, out_axes=1)(mixture.centre, mixture.factor)
    return each + jnp.log(mixture.weight)[None, :]


def pooled_log_density(mixtures: Mixture, x: Float[Array, "n d"]) -> Float[Array, " n"]:
    """Returns ln of the mean over rounds of their mixtures' densities (leading axis: rounds)."""
    each = jax.vmap(lambda m: jax.nn.logsumexp(log_density(m, x), axis=1))(mixtures)
    return jax.nn.logsumexp(each, axis=0) - jnp.log(len(each))


def refit(mixture: Mixture, x: Float[Array, "n d"], weight: Float[Array, " n"]) -> Mixture:
    """Returns the mixture moved towards the weighted points, a step of population Monte Carlo (Cappe).

    Each component takes the share, mean and covariance of the points in proportion to its responsibility
    for them; the first takes those of all points. The last is kept.
    """
    share = jax.nn.softmax(log_density(mixture, x), axis=1).at[:, 0].set(1.0) * weight[:, None]
    mass = share.sum(axis=0)
    centre = (share.T @ x) / jnp.maximum(mass, TINY)[:, None]
    offset = x[:, None, :] - centre[None, :, :]
    covariance = jnp.einsum("nk,nki,nkj->kij", share, offset, offset)
    covariance = covariance / jnp.maximum(mass, TINY)[:, None, None]
    keep = (mass < LEAST_MASS).at[-1].set(True)
    mass = jnp.where(keep, LEAST_MASS, mass).at[-1].set(0.0)
    return Mixture(
        jnp.append((1 - DEFENSIVE) * mass[:-1] / mass.sum(), DEFENSIVE),
        jnp.where(keep[:, None], mixture.centre, centre),
        jnp.where(keep[:, None, None], mixture.factor, factor_of(covariance, SPREAD)),
    )


def factor_of(covariance: Float[Array, "*n d d"], spread: float = 1.0) -> Float[Array, "*n d d"]:
    """Returns the Cholesky factor of a covariance, widened; no direction narrower than float32 resolves."""
    eye = jnp.broadcast_to(jnp.eye(covariance.shape[-1]), covariance.shape)
    rounding = ROUNDING * jnp.trace(covariance, axis1=-2, axis2=-1)[..., None, None]
    factor: Array = spread * jnp.linalg.cholesky(covariance + (rounding + SMALLEST_WIDTH**2) * eye)
    return factor


def ess_of(weight: Float[Array, "*n m"]) -> Float[Array, "*n"]:
    """Returns the effective number of points, (sum w)^2 / sum w^2."""
    return jnp.sum(weight, axis=-1) ** 2 / jnp.sum(weight**2, axis=-1)


@partial(jax.jit, static_argnames="n_steps")
def tempered(
    log_weight: Float[Array, "n m"], target: float | Float[Array, ""], n_steps: int = 20
) -> Float[Array, "n m"]:
    """Returns weights exp(b log_weight), of sum 1, with the largest b <= 1 whose ess reaches `target`."""

    def one(log_weight: Float[Array, " m"]) -> Float[Array, " m"]:
        log_weight = log_weight - log_weight.max()

        def halve(_: int | Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bounds
            middle = 0.5 * (low + high)
            enough = ess_of(jnp.exp(jnp.exp(middle) * log_weight)) >= target
            return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

        low, _ = jax.lax.fori_loop(0, n_steps, halve, (jnp.log(LEAST_TEMPERATURE), jnp.zeros(())))
        full = ess_of(jnp.exp(log_weight)) >= target
        return jax.nn.softmax(jnp.where(full, 1.0, jnp.exp(low)) * log_weight)

    return jax.vmap(one)(log_weight)
