"""Unknowns in which a spectrum is linear, integrated over their Gaussian prior in closed form.

For y = D^T a + noise of inverse variance W, D_k the spectra that the unknowns a_k multiply, and a ~ N(m, 1/L)
with a diagonal L, 0 where the prior is flat:

    H = D W D^T + L,    b = D W y + L m,    a = H^-1 b
    -2 ln L = sum (y - D^T a)^2 W + (a - m)^T L (a - m) + ln|H|        up to constants

Solved by Cholesky after scaling to unit diagonal. NaN where the spectrum does not tell the unknowns apart.
Source: Hogg, Price-Whelan & Leistedt 2020, arXiv:2005.14199.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.polynomial import legendre

from crlb.observation.conditions import Conditions


class GaussianPrior(NamedTuple):
    """Means and inverse variances of the linear unknowns, independent; inverse variance 0: flat."""

    mean: Float[Array, " k"]
    precision: Float[Array, " k"]


class Solved(NamedTuple):
    """The coefficients of all rows of D at given labels.

    `best` has a leading 1 where the first row counts as known. H = factor factor^T / (scale scale^T) is of
    the unknown ones. `extra` is what they add to -2 ln L besides the residuals: (a - m)^T L (a - m) + ln|H|.
    """

    best: Float[Array, "*n q"]
    factor: Float[Array, "*n k k"]
    scale: Float[Array, "*n k"]
    extra: Float[Array, "*n"]

    def whiten(self, right: Float[Array, "*n k m"]) -> Float[Array, "*n k m"]:
        """Returns R with R^T R = right^T H^-1 right."""
        scaled = self.scale[..., None] * right
        found: Array = jax.scipy.linalg.solve_triangular(self.factor, scaled, lower=True)
        return found

    @property
    def covariance(self) -> Float[Array, "*n k k"]:
        """H^-1: the covariance of the unknowns at given labels."""
        root = self.whiten(jnp.broadcast_to(jnp.eye(self.scale.shape[-1]), self.factor.shape))
        found: Array = jnp.swapaxes(root, -1, -2) @ root
        return found


def solve(gram: Float[Array, "*n q q"], cross: Float[Array, "*n q"], prior: GaussianPrior) -> Solved:
    """Returns the coefficients from D W D^T and D W y, in float64.

    Where `prior` has one fewer than D has rows, the coefficient of the first row is known to be 1.
    """
    gram, cross = gram.astype(jnp.float64), cross.astype(jnp.float64)
    known = cross.shape[-1] - len(prior.mean)
    row = (None,) * (cross.ndim - 1)
    mean, precision = (jnp.broadcast_to(x[row], (*cross.shape[:-1], len(x))) for x in prior)
    if not len(prior.mean):
        none = jnp.zeros_like(gram[..., :0, :0])
        return Solved(jnp.ones_like(cross), none, mean, jnp.zeros_like(cross[..., 0]))
    matrix = gram[..., known:, known:] + precision[..., None] * jnp.eye(len(prior.mean))[(*row, ...)]
    right = cross[..., known:] - gram[..., known:, :known].sum(axis=-1) + precision * mean
    scale = 1 / jnp.sqrt(jnp.diagonal(matrix, axis1=-2, axis2=-1))
    factor = jnp.linalg.cholesky(matrix * scale[..., :, None] * scale[..., None, :])
    log_det = 2 * jnp.sum(jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)) - jnp.log(scale), axis=-1)
    whitened = jax.scipy.linalg.solve_triangular(factor, (scale * right)[..., None], lower=True)
    best = scale * jax.scipy.linalg.solve_triangular(factor, whitened, lower=True, trans=1)[..., 0]
    extra = jnp.sum(precision * (best - mean) ** 2, axis=-1) + log_det
    whole = jnp.concatenate([jnp.ones_like(best[..., :known]), best], axis=-1)
    return Solved(whole, factor, scale, extra)


def chi_squared(
    square: Float[Array, "*n"], gram: Float[Array, "*n q q"], cross: Float[Array, "*n q"], solved: Solved
) -> Float[Array, "*n"]:
    """Returns sum (y - D^T a)^2 W from sum y^2 W and the sums of `solve`: exact in float64 only."""
    model = jnp.sum(gram * solved.best[..., None, :], axis=-1)
    return square + jnp.sum(solved.best * (model - 2 * cross), axis=-1)


def prior_of(conditions: Conditions) -> GaussianPrior:
    """Returns the prior of the unknowns of `conditions`, in float64."""
    mean, precision = conditions.prior_mean, conditions.prior_precision
    return GaussianPrior(jnp.asarray(mean, jnp.float64), jnp.asarray(precision, jnp.float64))


def products_of_legendre(order: int) -> Float[np.ndarray, "order_plus_1 order_plus_1 n"]:
    """Returns E with P_i P_j = sum_l E_ijl P_l, for i and j up to `order`, l up to twice that."""
    unit = np.eye(order + 1)
    table = np.zeros((order + 1, order + 1, 2 * order + 1))
    for i in range(order + 1):
        for j in range(order + 1):
            found = legendre.legmul(unit[i], unit[j])
            table[i, j, : found.size] = found
    return table
